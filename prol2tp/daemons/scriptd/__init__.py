"""prol2tp-scriptd: runs event scripts. Its wiring comes with the events."""
