"""Options of pppd, as parameters of a `profile` block of propppd.conf."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from prol2tp.config.links import PROFILE
from prol2tp.config.problems import shown
from prol2tp.convert.source import File, Place, rows
from prol2tp.convert.written import Block

FLAGS: dict[str, tuple[str, str]] = {
    "defaultroute": ("default_route", "true"), "nodefaultroute": ("default_route", "false"),
    "-defaultroute": ("default_route", "false"),
    "proxyarp": ("proxy_arp", "true"), "noproxyarp": ("proxy_arp", "false"), "usepeerdns": ("usepeerdns", "true"),
    "ipcp-accept-local": ("accept_local", "true"), "ipcp-accept-remote": ("accept_remote", "true"),
    "noip": ("ip", "false"), "-ip": ("ip", "false"), "noipv6": ("ipv6", "false"), "+ipv6": ("ipv6", "true"),
    "noccp": ("ccp", "none"), "-ccp": ("ccp", "none"),
    "nomppe": ("mppe_required", "false"), "mppe-stateful": ("mppe_stateful", "true"),
    "nomppe-stateful": ("mppe_stateful", "false"),
    "nomagic": ("magic", "false"), "-mn": ("magic", "false"), "nopcomp": ("pcomp", "false"),
    "-pc": ("pcomp", "false"), "noaccomp": ("accomp", "false"), "-ac": ("accomp", "false"),
    "passive": ("passive", "true"), "-p": ("passive", "true"), "silent": ("silent", "true"),
    "lcp-echo-adaptive": ("lcp_echo_adaptive", "true"),
}
"""Options without a value, and the parameter that each sets."""
VALUES = {
    "mru": "mru", "mtu": "mtu", "ifname": "interface_name", "user": "user", "password": "password", "name": "name",
    "lcp-echo-interval": "lcp_echo_interval", "lcp-echo-failure": "lcp_echo_failures",
    "lcp-restart": "restart_interval", "lcp-max-configure": "max_configure", "lcp-max-terminate": "max_terminate",
    "lcp-max-failure": "max_failure", "pap-restart": "pap_restart", "pap-timeout": "pap_timeout",
    "pap-max-authreq": "pap_max_requests", "chap-restart": "chap_restart", "chap-interval": "chap_interval",
    "chap-max-challenge": "chap_max_challenges", "eap-restart": "eap_restart", "eap-timeout": "eap_timeout",
    "eap-max-sreq": "eap_max_requests", "eap-max-rreq": "eap_max_received",
    "idle": "idle_timeout", "maxconnect": "session_timeout",
}
"""Options with one value, and the parameter that takes it."""
SEVERAL = {"ms-dns": "dns", "ms-wins": "nbns"}
"""Options whose values add up."""
METHODS = {"chap": "chap", "pap": "pap", "mschap": "mschapv1", "mschap-v2": "mschapv2", "eap": "eap"}
OLD_WORDS = {
    "+pap": "require-pap", "-pap": "refuse-pap", "+chap": "require-chap", "-chap": "refuse-chap",
    "+mschap": "require-mschap", "+mschap-v2": "require-mschap-v2", "+mppe": "require-mppe",
    "+mppe-40": "require-mppe-40", "+mppe-128": "require-mppe-128",
    "ms-dns1": "ms-dns", "ms-dns2": "ms-dns", "dns-addr": "ms-dns", "wins-addr": "ms-wins",
}
NOTHING = frozenset((
    "nodetach", "updetach", "-detach", "lock", "nolock", "modem", "local", "crtscts", "nocrtscts", "cdtrcts",
    "nocdtrcts", "xonxoff", "sync", "notty", "pty", "novj", "-vj", "novjccomp", "-vjccomp", "novjccompression",
    "noipdefault", "hide-password", "show-password", "nobsdcomp", "-bsdcomp", "nodeflate", "nopredictor1",
    "noipx", "default-asyncmap", "-am", "default-mru", "nomultilink", "nomp", "noendpoint", "nolog",
    "noremoteip", "ktune", "noktune", "dump", "dryrun", "nopersist", "nompshortseq", "nodefaultroute6",
    "noreplacedefaultroute",
))
"""What we always do, or never, or what a session of L2TP has no use for."""
NOTHING_WITH_VALUE = frozenset((
    "asyncmap", "connect-delay", "escape", "logfd", "bsdcomp", "vj-max-slots", "child-timeout", "kdebug",
))
MEANINGS: dict[str, tuple[int, str]] = {
    "plugin": (1, "a plugin of pppd; for radius.so: use_radius true, and a radius block with the servers"),
    "radius-config-file": (1, "servers of RADIUS; here: use_radius true, and a radius block"),
    "avpair": (1, "attributes for RADIUS; here: radius block"),
    "ipparam": (1, "a word for pppd's scripts; here: prol2tp-scriptd(8), whose scripts know tunnel, session and user"),
    "login": (0, "passwords of the system; here: user blocks, or use_radius with a server that asks the system"),
    "logfile": (1, "a log for each pppd; here: one log, and propppctl set log-level for a single link"),
    "linkname": (1, "a name for the pid file; there is one process for all"),
    "unit": (1, 'a fixed number of ppp; here: interface_name "pppN" in a profile of its own'),
    "persist": (0, "dialling again; here: persist of the session in prol2tpd.conf, which is on"),
    "maxfail": (1, "tries until it is given up; here they go on as long as persist is true"),
    "holdoff": (1, "time between tries; here: session_persist_pend_timeout in prol2tpd.conf"),
    "demand": (0, "dialling on traffic; here sessions are up always, or made by prol2tp create"),
    "remotename": (1, "the peer's name in secrets files; here a profile has one user and password"),
    "connect": (1, "a script for a modem; sessions of L2TP have none"),
    "disconnect": (1, "a script for a modem; sessions of L2TP have none"),
    "init": (1, "a script for a modem; sessions of L2TP have none"),
    "welcome": (1, "a script when the peer connects; here: prol2tp-scriptd(8), ppp-created"),
    "ip-up-script": (1, "here: prol2tp-scriptd(8), /etc/prol2tp/ppp-up"),
    "ip-down-script": (1, "here: prol2tp-scriptd(8), /etc/prol2tp/ppp-down"),
    "ip-pre-up-script": (1, "here: prol2tp-scriptd(8), /etc/prol2tp/ppp-created"),
    "ipv6-up-script": (1, "here: prol2tp-scriptd(8), /etc/prol2tp/ppp-up"),
    "ipv6-down-script": (1, "here: prol2tp-scriptd(8), /etc/prol2tp/ppp-down"),
    "multilink": (0, "several links as one (RFC 1990); not spoken here"),
    "mp": (0, "several links as one (RFC 1990); not spoken here"),
    "mrru": (1, "several links as one (RFC 1990); not spoken here"),
    "endpoint": (1, "several links as one (RFC 1990); not spoken here"),
    "netmask": (1, "a netmask of the interface; links are point to point, routes of a user stand in his block"),
    "domain": (1, "a domain after the own name; here: name with its domain"),
    "chapms-strip-domain": (0, "a domain before the name is cut off; here users are written as they log in"),
    "allow-ip": (1, "addresses that peers may use; here source_check holds each to the address that he was given"),
    "active-filter": (1, "packets that count as traffic; here all do, for idle_timeout"),
    "pass-filter": (1, "packets that pass; here: nftables, and filter blocks with nft_set"),
    "replacedefaultroute": (0, "an existing default route is replaced; here default_route stands beside it, by metric"),
    "papcrypt": (0, "encrypted passwords; here: RADIUS"),
    "defaultroute6": (0, "the default route of IPv6; it comes by router advertisements"),
    "call": (1, "a file of /etc/ppp/peers; convert it with --ppp-options"),
    "ipcp-restart": (1, "a timer of IPCP alone; here restart_interval is that of all protocols"),
    "ipcp-max-configure": (1, "a counter of IPCP alone; here max_configure is that of all protocols"),
    "ipcp-max-terminate": (1, "a counter of IPCP alone; here max_terminate is that of all protocols"),
    "ipcp-max-failure": (1, "a counter of IPCP alone; here max_failure is that of all protocols"),
    "ipv6": (1, "interface identifiers; here: local_interface_id and peer_interface_id"),
    "deflate": (1, "windows of Deflate; here: ccp deflate"),
    "need-peer-eap": (0, "EAP of the peer; here: auth_methods eap"),
}
"""Words without a counterpart: how many values they have, what they mean and what to do instead."""
_ADDRESSES = re.compile(r"((?:\d{1,3}(?:\.\d{1,3}){3})?):((?:\d{1,3}(?:\.\d{1,3}){3})?)")
DEMANDED = ("mschapv2", "chap", "pap")
"""What we demand where pppd would take any method, best first."""
ORDER = ("eap", "mschapv2", "chap", "mschapv1", "pap")


@dataclass(slots=True)
class Words:
    """Collects the options of one pppd."""

    profile: Block
    files: Mapping[str, File]
    """Option files that were given, by the name by which they are called for."""
    auth: bool | None = None
    required: dict[str, Place] = field(default_factory=dict)
    refused: dict[str, Place] = field(default_factory=dict)
    lists: dict[str, tuple[list[str], Place]] = field(default_factory=dict)
    strengths: list[str] = field(default_factory=list)
    debug: bool = False
    open: list[str] = field(default_factory=list)
    """Files being read, so that none reads itself."""

    def note(self, place: Place, what: str, meaning: str) -> None:
        self.profile.notes.append(f"{place}: {what}: {meaning}")

    def read(self, name: str, place: Place) -> None:
        """The option file of this name. Raises `Refused`."""
        file = self.files.get(name)
        if file is None:
            self.note(place, f"options of {shown(name)}", "the file was not read; name it with --ppp-options")
            return
        if name in self.open:
            raise place.refuse(f"{shown(name)} reads itself")
        self.open.append(name)
        queue = [(word, where) for words, where in rows(file) for word in words]
        while queue:
            self._option(queue)
        self.open.pop()

    def _option(self, queue: list[tuple[str, Place]]) -> None:
        given, place = queue.pop(0)
        word = OLD_WORDS.get(given, given)

        def value() -> str:
            if not queue:
                raise place.refuse(f"{shown(given)} has no value", "write it after the option")
            return queue.pop(0)[0]

        if word == "file":
            self.read(value(), place)
        elif word in VALUES:
            self.profile.put(VALUES[word], value(), place)
        elif word in SEVERAL:
            self.lists.setdefault(SEVERAL[word], ([], place))[0].append(value())
        elif word in NOTHING_WITH_VALUE:
            value()
        elif word in MEANINGS:
            count, meaning = MEANINGS[word]
            self.note(place, " ".join([word, *(shown(value()) for _ in range(count))]), meaning)
            if word == "replacedefaultroute":
                self.profile.put("default_route", "true", place)
        else:
            self.flag(word, place)

    def flag(self, word: str, place: Place) -> None:
        """A word without a value; one that is not known gets a note."""
        verb, _, method = word.partition("-")
        if word in FLAGS:
            self.profile.put(*FLAGS[word], place)
        elif word in ("auth", "noauth"):
            self.auth = word == "auth"
        elif word == "debug":
            self.debug = True
        elif verb == "require" and method.startswith("mppe"):
            self.profile.put("mppe_required", "true", place)
            self.strengths += [bits for bits in ("128", "56", "40") if method == f"mppe-{bits}"]
        elif verb == "require" and method in METHODS:
            self.required[METHODS[method]] = place
        elif verb == "refuse" and method in METHODS:
            self.refused[METHODS[method]] = place
        elif match := _ADDRESSES.fullmatch(word):
            for parameter, text in (("local_ip", match[1]), ("peer_ip", match[2])):
                if text and text != "0.0.0.0":
                    self.profile.put(parameter, text, place)
        elif word not in NOTHING:
            self.note(place, shown(word), "not known here; see pppd(8) for what it did")

    def finish(self, lns: bool) -> None:
        """The parameters that several words make together."""
        profile = self.profile
        auth = self.auth if self.auth is not None else lns or bool(self.required)
        profile.put("auth", "true" if auth else "false")
        if auth:
            methods = [one for one in ORDER if one in self.required] if self.required else list(DEMANDED)
            profile.put("auth_methods", methods, next(iter(self.required.values()), None))
        if auth and not self.required:
            profile.notes.append("no method was required, so pppd took any; leave in auth_methods what is needed")
        if self.auth is None and lns and not self.required:
            profile.notes.append("nothing said whether users prove who they are; here they have to")
        allowed = [one for one in ("chap", "mschapv2", "pap", "eap") if one not in self.refused]
        if allowed and not lns:
            profile.put("allow_methods", allowed)
        if self.refused:
            profile.put("refuse_methods", [one for one in ORDER if one in self.refused])
        for parameter, (values, place) in self.lists.items():
            profile.put(parameter, list(dict.fromkeys(values)), place)
        if self.strengths:
            profile.put("mppe_strengths", list(dict.fromkeys(self.strengths)))


def new_profile(name: str) -> Block:
    return Block(PROFILE, name)
