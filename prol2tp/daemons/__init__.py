"""The daemons: wiring and policy. No daemon imports another; they meet over the control channel."""
