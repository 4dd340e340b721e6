"""The control side of an L2TP listener: datagrams in from its descriptor, datagrams out with the right source address.

Read by an own descriptor and not `listenUDP`, because an answer has to leave from the address that the request came to
(IP_PKTINFO), and because the socket is made by the data path (`dataplane.interface.Listener`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import EAGAIN, EINTR, EWOULDBLOCK
from struct import Struct
from struct import error as StructError

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

from prol2tp.dataplane import relay
from prol2tp.dataplane.interface import Address, Listener

IP_PKTINFO = 8
_PKTINFO4 = Struct("=i4s4s")  # ifindex, local address of the route, destination address of the header
_PKTINFO6 = Struct("=16si")
_ANCILLARY = 64
_LARGEST = 65535
_LINK_LOCAL = ("fe8", "fe9", "fea", "feb")
"""fe80::/10 as `inet_ntop` writes it."""
BURST = 64
"""Datagrams read before timers and other descriptors get their turn."""

Receive = Callable[[bytes, Address, Address, int], None]
"""`(data, peer, local, ifindex)`"""


@implementer(IReadDescriptor)
class ControlPort:
    """Control datagrams of one listener.

    :param receive: called for every datagram.
    :param burst_done: called after each burst, for what is done once for many datagrams.
    """

    def __init__(self, reactor: IReactorFDSet, listener: Listener, receive: Receive,
                 burst_done: Callable[[], None]) -> None:
        self._reactor = reactor
        self.listener = listener
        self._receive = receive
        self._burst_done = burst_done
        kind = socket.SOCK_SEQPACKET if listener.relay else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in listener.address[0] else socket.AF_INET
        if listener.relay:
            self._socket = socket.socket(socket.AF_UNIX, kind, fileno=listener.control)
        else:
            self._socket = socket.socket(family, kind, fileno=listener.control)
        self._socket.setblocking(False)
        self._family = family
        self._port = listener.address[1]
        self._concrete = not is_wildcard(listener.address[0])
        self.send_errors = 0
        self.received = 0
        if listener.relay:
            self._read, self.send = self._read_relayed, self._send_relayed
        elif family == socket.AF_INET6:
            self._read, self.send = self._read6, self._send6
        else:
            self._read, self.send = self._read4, self._send4
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "l2tp"

    def connectionLost(self, reason: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def doRead(self) -> None:
        read = self._read
        receive = self._receive
        try:
            for _ in range(BURST):
                datagram = read()
                if datagram is not None:
                    self.received += 1
                    receive(*datagram)
        except OSError as error:
            if error.errno not in (EAGAIN, EWOULDBLOCK, EINTR):
                self.send_errors += 1
        except EOFError:
            self.close()
        finally:
            self._burst_done()

    def _read4(self) -> tuple[bytes, Address, Address, int] | None:
        data, ancillary, _, peer = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        local, ifindex = self.listener.address, 0
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                ifindex, _, destination = _PKTINFO4.unpack_from(value)
                local = (socket.inet_ntoa(destination), self._port)
        return data, peer, local, ifindex

    def _read6(self) -> tuple[bytes, Address, Address, int] | None:
        data, ancillary, _, peer = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        local, ifindex = self.listener.address, 0
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                destination, ifindex = _PKTINFO6.unpack_from(value)
                local = (socket.inet_ntop(socket.AF_INET6, destination), self._port)
        return data, (peer[0], peer[1]), local, ifindex

    def _read_relayed(self) -> tuple[bytes, Address, Address, int] | None:
        datagram = self._socket.recv(_LARGEST + 64)
        if not datagram:
            raise EOFError
        return relay.decode(datagram)

    def _send4(self, data: bytes, peer: Address, local: Address, ifindex: int = 0) -> None:
        try:
            if self._concrete:
                self._socket.sendto(data, peer)
            else:
                info = _PKTINFO4.pack(0, socket.inet_aton(local[0]), b"\0\0\0\0")
                self._socket.sendmsg((data,), ((socket.IPPROTO_IP, IP_PKTINFO, info),), 0, peer)
        except OSError:
            self.send_errors += 1

    def _send6(self, data: bytes, peer: Address, local: Address, ifindex: int = 0) -> None:
        scope = ifindex if peer[0].startswith(_LINK_LOCAL) else 0
        try:
            if self._concrete:
                self._socket.sendto(data, (*peer, 0, scope))
            else:
                info = _PKTINFO6.pack(socket.inet_pton(socket.AF_INET6, local[0]), scope)
                self._socket.sendmsg((data,), ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info),), 0,
                                     (*peer, 0, scope))
        except OSError:
            self.send_errors += 1

    def _send_relayed(self, data: bytes, peer: Address, local: Address, ifindex: int = 0) -> None:
        try:
            self._socket.send(relay.encode(data, peer, local, ifindex))
        except (OSError, StructError):
            self.send_errors += 1


def is_wildcard(host: str) -> bool:
    """0.0.0.0 or ::"""
    return host in ("0.0.0.0", "::")
