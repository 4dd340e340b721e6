"""proacd: the access concentrator daemon. Its wiring comes with PPPoE."""
