"""What our own sockets need not see: packets of the sessions that the kernel carries."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from typing import Any

from prol2tp.dataplane.ethernet import EthernetSocket
from prol2tp.dataplane.iplistener import IPListener
from prol2tp.dataplane.linux.filters import LISTED_MAX, l2tp_ip_sessions, pppoe_sessions
from prol2tp.net.ethernet import attach_filter, program
from prol2tp.pppoe.packets import SESSION

_ALL = b"\x06\0\0\0\xff\xff\xff\xff"
"""A program that takes everything."""


def hide_sessions(source: Any, kernel: Container[int]) -> None:
    """Give the socket for all packets of an interface, or of protocol 115, its filter anew; others need none.

    :param kernel: ports that the kernel carries.
    """
    if isinstance(source, EthernetSocket):
        steps, member = _of_interface(source), source.socket
    elif isinstance(source, IPListener):
        steps, member = _of_listener(source, kernel), source.data
    else:
        return
    with suppress(OSError):
        attach_filter(member, steps)


def _of_interface(source: EthernetSocket) -> bytes:
    others = program(SESSION, source.tagged)
    if len(source.own) == len(source.carriers) or len(source.own) > LISTED_MAX:
        return others
    return pppoe_sessions([int.from_bytes(key[-2:], "big") for key in source.own], others)


def _of_listener(source: IPListener, kernel: Container[int]) -> bytes:
    ours = {key for key, carrier in source.carriers3.items() if carrier.port.id not in kernel}
    return len(ours) < len(source.carriers3) and l2tp_ip_sessions(ours, source.ipv6) or _ALL
