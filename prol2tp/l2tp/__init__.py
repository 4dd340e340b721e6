"""L2TPv2 (RFC 2661); L2TPv3 (RFC 3931) finds its place here. Pure: bytes and time in, outputs out."""
