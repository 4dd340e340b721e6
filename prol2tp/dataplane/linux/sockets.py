"""Sockets of the kernel's L2TP and PPPoE, and the layouts of their addresses (linux/if_pppox.h, linux/l2tp.h)."""

from __future__ import annotations

import ctypes
import os
import socket
from errno import EINTR
from fcntl import ioctl
from struct import Struct
from typing import Any

from prol2tp.dataplane.interface import Address, TunnelSpec
from prol2tp.dataplane.iplistener import IPPROTO_L2TP
from prol2tp.dataplane.linux.genl import Stats
from prol2tp.net.ethernet import attach_filter

AF_PPPOX, PX_PROTO_OE, PX_PROTO_OL2TP = 24, 0, 1
SOL_PPPOL2TP = 273
SO_RECVSEQ, SO_SENDSEQ, SO_LNSMODE, SO_REORDERTO = 2, 3, 4, 5
PPPIOCGL2TPSTATS = 2 << 30 | 72 << 16 | ord("t") << 8 | 54

_HEAD = Struct("=HIii")  # family, protocol, pid, descriptor of the tunnel's socket
_IDS2, _IDS3 = Struct("=HHHH"), Struct("=IIII")
_IN = Struct("=HH4s8x")
_IN6 = Struct("=HHI16sI")
_PPPOE = Struct("=HI2s6s16s")
_L2TPIP = Struct("=HH4sI4x")
_L2TPIP6 = Struct("=HHI16sII")
_STATS = Struct("=HHI8Q")
_DROP = Struct("=HBBI").pack(0x06, 0, 0, 0)

_libc = ctypes.CDLL(None, use_errno=True)


def _called(name: str, member: socket.socket, address: bytes) -> None:
    while getattr(_libc, name)(member.fileno(), address, len(address)):
        number = ctypes.get_errno()
        if number != EINTR:
            raise OSError(number, os.strerror(number))


def _inet(peer: Any) -> bytes:
    """A struct sockaddr_in or sockaddr_in6 of a socket address of Python's."""
    if len(peer) == 2:
        return _IN.pack(socket.AF_INET, socket.htons(peer[1]), socket.inet_aton(peer[0]))
    return _IN6.pack(socket.AF_INET6, socket.htons(peer[1]), 0, socket.inet_pton(socket.AF_INET6, peer[0]), peer[3])


def pppol2tp_address(version: int, peer: Any, ids: tuple[int, int, int, int], descriptor: int = -1) -> bytes:
    """`ids`: tunnel, session, peer's tunnel, peer's session."""
    head = _HEAD.pack(AF_PPPOX, PX_PROTO_OL2TP, 0, descriptor)
    numbers = (_IDS2 if version == 2 else _IDS3).pack(*ids)
    inet = _inet(peer)
    # sockaddr_pppol2tp and its kin of version 3 have the address first, those of IPv6 last
    return head + (inet + numbers if len(peer) == 2 else numbers + inet)


def pppoe_address(session_id: int, peer: bytes, interface: str) -> bytes:
    return _PPPOE.pack(AF_PPPOX, PX_PROTO_OE, session_id.to_bytes(2, "big"), peer, interface.encode())


def open_pppol2tp(version: int, peer: Any, ids: tuple[int, int, int, int]) -> socket.socket:
    """The PPP side of a session; in version 2 that makes it. Raises `OSError`."""
    return _pppox(socket.SOCK_DGRAM, PX_PROTO_OL2TP, pppol2tp_address(version, peer, ids))


def open_pppoe(session_id: int, peer: bytes, interface: str) -> socket.socket:
    """Raises `OSError`."""
    return _pppox(socket.SOCK_STREAM, PX_PROTO_OE, pppoe_address(session_id, peer, interface))


def _pppox(kind: int, protocol: int, address: bytes) -> socket.socket:
    made = socket.socket(AF_PPPOX, kind | socket.SOCK_CLOEXEC, protocol)
    try:
        _called("connect", made, address)
    except OSError:
        made.close()
        raise
    return made


def open_ip_tunnel(spec: TunnelSpec, local: str, peer: Address, scope: int) -> socket.socket:
    """The socket of a tunnel over IP, which carries and reads nothing itself: control messages are the raw socket's.
    Raises `OSError`."""
    ipv6 = ":" in peer[0]
    made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC,
                         IPPROTO_L2TP)
    try:
        attach_filter(made, _DROP)
        _called("bind", made, _ip_address(local, spec.tunnel_id, scope))
        _called("connect", made, _ip_address(peer[0], spec.peer_tunnel_id, scope))
    except OSError:
        made.close()
        raise
    return made


def _ip_address(host: str, connection: int, scope: int) -> bytes:
    """A struct sockaddr_l2tpip or sockaddr_l2tpip6."""
    host = host.partition("%")[0]
    if ":" in host:
        return _L2TPIP6.pack(socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, host), scope, connection)
    return _L2TPIP.pack(socket.AF_INET, 0, socket.inet_aton(host), connection)


def session_stats(member: socket.socket) -> Stats:
    """Raises `OSError`."""
    request = bytearray(_STATS.size)
    ioctl(member.fileno(), PPPIOCGL2TPSTATS, request)
    _, _, _, tx, tx_octets, tx_errors, rx, rx_octets, discards, late, rx_errors = _STATS.unpack(request)
    return Stats(tx, tx_octets, tx_errors, rx, rx_octets, rx_errors, late, discards)
