"""prol2tp-webd: what all daemons do, for Prometheus and on a page."""
