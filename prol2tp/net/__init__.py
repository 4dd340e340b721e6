"""Twisted shells: bytes in from sockets, outputs of the cores carried out."""
