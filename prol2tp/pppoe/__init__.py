"""PPPoE discovery and sessions (RFC 2516, RFC 4638). Pure. Discovery of both ends."""
