"""propppd: the PPP daemon, one process for all links."""
