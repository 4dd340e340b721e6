"""Addresses as text, and the local address towards a peer."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

from prol2tp.dataplane.interface import Address
from prol2tp.net.udp import is_wildcard


def text(address: Address) -> str:
    """`192.0.2.1:1701`, `[2001:db8::1]:1701`"""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def route_source(peer: Address) -> str:
    """The local address from which the kernel would talk to `peer`. Raises `OSError` when there is no route."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(peer)
        return str(probe.getsockname()[0])


def router_id(listening: list[Address]) -> int:
    """The id of a host that has none configured: an IPv4 address of its own as an integer, 0 if it has none."""
    for host, _ in listening:
        if ":" not in host and not is_wildcard(host):
            return int(IPv4Address(host))
    try:
        return int(IPv4Address(route_source(("192.0.2.1", 1701))))
    except OSError:
        return 0
