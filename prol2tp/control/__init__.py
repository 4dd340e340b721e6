"""The AMP control channel: commands, server, clients, events."""
