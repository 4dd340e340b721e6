"""prol2tpd: the L2TP control plane daemon."""
