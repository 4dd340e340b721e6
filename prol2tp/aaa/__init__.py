"""What every daemon with a RADIUS client has: its servers, and accounting that survives the daemon."""
