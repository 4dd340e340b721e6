"""The daemons as twistd plugins; nothing of a daemon is imported until it is chosen."""

from twisted.application.service import ServiceMaker

prol2tp = ServiceMaker("prol2tpd", "prol2tp.daemons.prol2tpd.service", "L2TP control plane daemon.", "prol2tp")
proppp = ServiceMaker("propppd", "prol2tp.daemons.propppd.service", "PPP daemon for all links.", "proppp")
proac = ServiceMaker("proacd", "prol2tp.daemons.proacd.service", "Access concentrator.", "proac")
path = ServiceMaker("prol2tp-pathd", "prol2tp.daemons.pathd.service", "Owner of the data path.", "prol2tp-path")
scripts = ServiceMaker("prol2tp-scriptd", "prol2tp.daemons.scriptd.service", "Runs scripts at events.",
                       "prol2tp-scriptd")
web = ServiceMaker("prol2tp-webd", "prol2tp.daemons.webd.service", "Metrics and a live page.", "prol2tp-web")
