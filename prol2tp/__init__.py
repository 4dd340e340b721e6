"""L2TP, PPP and access concentrator daemons for Linux."""

__version__ = "0.1.0"
