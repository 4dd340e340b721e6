"""Framing of control datagrams between the data path and a daemon where the kernel cannot split them.

Used where `Listener.relay` is set. One SOCK_SEQPACKET datagram carries one UDP datagram, the same in both directions:

    family      1 octet: 4 or 6
    peer port   2 octets
    local port  2 octets
    ifindex     4 octets: interface it came by or shall leave by; 0: any
    peer        4 or 16 octets
    local       4 or 16 octets: our address; all zero when sending: the kernel chooses
    payload     the rest
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from struct import Struct

from prol2tp.common.wire import WireError
from prol2tp.dataplane.interface import Address

_HEAD = Struct("!BHHI")
OVERHEAD = _HEAD.size + 32
"""Most octets that the framing adds."""


def encode(payload: bytes, peer: Address, local: Address, ifindex: int = 0) -> bytes:
    """A relay datagram. Raises `OSError` for what is not an address, `struct.error` for what is not a port."""
    host = peer[0].partition("%")[0]
    if ":" in host:
        return b"".join((_HEAD.pack(6, peer[1], local[1], ifindex), inet_pton(AF_INET6, host),
                         inet_pton(AF_INET6, local[0].partition("%")[0]), payload))
    return b"".join((_HEAD.pack(4, peer[1], local[1], ifindex), inet_pton(AF_INET, host),
                     inet_pton(AF_INET, local[0]), payload))


def decode(datagram: bytes) -> tuple[bytes, Address, Address, int]:
    """-> payload, peer, local, ifindex. Raises `WireError`."""
    if len(datagram) < _HEAD.size:
        raise WireError("relay datagram is too short")
    number, port, local_port, ifindex = _HEAD.unpack_from(datagram)
    if number == 4:
        family, size = AF_INET, 4
    elif number == 6:
        family, size = AF_INET6, 16
    else:
        raise WireError(f"relay datagram of unknown family {number}")
    middle = _HEAD.size + size
    end = middle + size
    if len(datagram) < end:
        raise WireError("relay datagram is too short")
    peer = inet_ntop(family, datagram[_HEAD.size:middle])
    local = inet_ntop(family, datagram[middle:end])
    return datagram[end:], (peer, port), (local, local_port), ifindex
