"""Whether interfaces are up, as the kernel tells it (RTMGRP_LINK of rtnetlink)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import EAGAIN, EINTR, ENOBUFS
from fcntl import ioctl
from struct import Struct
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

RTMGRP_LINK = 1
RTM_NEWLINK, RTM_DELLINK = 16, 17
IFF_UP, IFF_RUNNING = 0x1, 0x40
_HEADER = Struct("=IHHII")
_LINK = Struct("=BxHiII")
_RECEIVE = 1 << 16
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFREQ = Struct("=16sH22x")
_IFREQ_INT = Struct("=16si")
_ADDRESS_AT = 18
"""Behind the name and the family of a `sockaddr`."""
BURST = 64
"""Datagrams read before others get their turn."""


def changes(datagram: bytes) -> list[tuple[int, int | None]]:
    """What a datagram of the kernel says: index of the interface and its flags, None when it is gone. What is cut off
    or of another kind is left out."""
    found: list[tuple[int, int | None]] = []
    at = 0
    while at + _HEADER.size + _LINK.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size + _LINK.size:
            break
        if kind in (RTM_NEWLINK, RTM_DELLINK):
            family, _, ifindex, flags, _ = _LINK.unpack_from(datagram, at + _HEADER.size)
            # a bridge tells of its ports in its own family
            if family == 0:
                found.append((ifindex, flags if kind == RTM_NEWLINK else None))
        at += (length + 3) & ~3
    return found


def flags_of(ifindex: int) -> int | None:
    """An interface's flags as they are now, None when it is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        try:
            name = socket.if_indextoname(ifindex).encode()
            flags: int = _IFREQ.unpack(ioctl(asked.fileno(), _SIOCGIFFLAGS, _IFREQ.pack(name, 0)))[1]
        except OSError:
            return None
    return flags


class Link(NamedTuple):
    """An Ethernet interface as it is now."""

    ifindex: int
    up: bool
    address: bytes
    mtu: int
    """Octets of Ethernet payload."""


def link_of(name: str) -> Link | None:
    """None: there is no interface of that name."""
    asking = _IFREQ.pack(name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        try:
            ifindex = socket.if_nametoindex(name)
            flags = _IFREQ.unpack(ioctl(asked.fileno(), _SIOCGIFFLAGS, asking))[1]
            address = ioctl(asked.fileno(), _SIOCGIFHWADDR, asking)[_ADDRESS_AT : _ADDRESS_AT + 6]
            mtu = _IFREQ_INT.unpack_from(ioctl(asked.fileno(), _SIOCGIFMTU, asking))[1]
        except OSError:
            return None
    return Link(ifindex, bool(flags & IFF_UP), address, mtu)


@implementer(IReadDescriptor)
class LinkWatch:
    """Tells of every change, in the network namespace of the thread that makes it.

    :param changed: called with an interface's index and flags (IFF_...), None when it is gone.
    :param lost: called when the kernel had more to tell than fits: what is known may be out of date.
    """

    def __init__(self, reactor: Any, changed: Callable[[int, int | None], None],
                 lost: Callable[[], None] = lambda: None) -> None:
        self._reactor = reactor
        self._changed = changed
        self._lost = lost
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK))
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "links"

    def connectionLost(self, reason: object) -> None:
        self.stop()

    def doRead(self) -> None:
        for _ in range(BURST):
            try:
                datagram, (port, _) = self._socket.recvfrom(_RECEIVE)
            except OSError as error:
                if error.errno == ENOBUFS:
                    self._lost()
                elif error.errno not in (EAGAIN, EINTR):
                    self.stop()
                return
            if port:  # not the kernel
                continue
            for ifindex, flags in changes(datagram):
                self._changed(ifindex, flags)

    def stop(self) -> None:
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()
