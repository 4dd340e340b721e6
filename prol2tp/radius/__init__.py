"""RADIUS exchanges and accounting rules (RFC 2865, RFC 2866) on pyrad's codec. Pure."""
