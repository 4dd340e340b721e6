"""The kernel's data path: L2TP tunnels and sessions by generic netlink, PPP channels and units by /dev/ppp, PPPoE."""
