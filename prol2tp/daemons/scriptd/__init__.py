"""prol2tp-scriptd: runs the operator's scripts at events of the daemons."""
