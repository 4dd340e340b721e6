"""IPv6 packets that carry ICMPv6 or UDP (RFC 8200): header, extension headers that may stand before, checksum."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from struct import Struct

from prol2tp.common.wire import WireError

_HEADER = Struct("!IHBB16s16s")
_UDP = Struct("!HHHH")
_PSEUDO = Struct("!16s16sII")
_ONES = 0xFFFF

HEADER_SIZE = 40
UDP_SIZE = 8

HOP_BY_HOP = 0
UDP = 17
ROUTING = 43
ICMPV6 = 58
DESTINATION_OPTIONS = 60

_SKIPPED = frozenset((HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS))

UNSPECIFIED = bytes(16)
ALL_NODES = IPv6Address("ff02::1").packed
ALL_ROUTERS = IPv6Address("ff02::2").packed


@dataclass(slots=True)
class Packet:
    """Addresses are 16 octets; `payload` is what follows the last header that was understood."""

    source: bytes
    destination: bytes
    protocol: int
    hop_limit: int
    payload: bytes = field(repr=False)


def is_link_local(address: bytes) -> bool:
    """fe80::/10 (RFC 4291 section 2.5.6)."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def protocol_of(data: bytes) -> int:
    """The protocol above IPv6 and its extension headers; -1 for what is no whole IPv6 packet, and for fragments."""
    try:
        return _walk(data)[0]
    except WireError:
        return -1


def _walk(data: bytes) -> tuple[int, int, int]:
    """Protocol, where its header starts, and where the packet ends. Each extension header is 8 octets or more, so
    that a packet of n octets has at most n / 8."""
    if len(data) < HEADER_SIZE or data[0] >> 4 != 6:
        raise WireError("not an IPv6 packet")
    end = HEADER_SIZE + (data[4] << 8 | data[5])
    if end > len(data):
        raise WireError(f"IPv6 packet of {end} octets cut to {len(data)}")
    protocol, position = data[6], HEADER_SIZE
    while protocol in _SKIPPED:
        if position + 8 > end:
            raise WireError("extension header past the end")
        protocol, position = data[position], position + 8 + 8 * data[position + 1]
    if position > end:
        raise WireError("extension header past the end")
    return protocol, position, end


def read(data: bytes) -> Packet:
    """Raises `WireError` for what is no whole IPv6 packet. Octets after the packet's length are ignored."""
    protocol, position, end = _walk(data)
    return Packet(data[8:24], data[24:40], protocol, data[7], data[position:end])


def build(source: bytes, destination: bytes, protocol: int, payload: bytes, hop_limit: int) -> bytes:
    return _HEADER.pack(0x60000000, len(payload), protocol, hop_limit, source, destination) + payload


def checksum(source: bytes, destination: bytes, protocol: int, payload: bytes) -> int:
    """Over pseudo-header and payload (RFC 8200 section 8.1): 0 when a payload with its checksum in place is sound."""
    data = _PSEUDO.pack(source, destination, len(payload), protocol) + payload
    if len(data) & 1:
        data += b"\0"
    # the one's complement sum is the number modulo 0xffff; a sum of zero only comes of zeros, and lengths are none
    return ~(int.from_bytes(data, "big") % _ONES or _ONES) & _ONES


def udp(source: bytes, destination: bytes, source_port: int, destination_port: int, data: bytes) -> bytes:
    """An IPv6 packet with one UDP datagram."""
    size = UDP_SIZE + len(data)
    bare = _UDP.pack(source_port, destination_port, size, 0) + data
    # a checksum of 0 would say "none" (RFC 8200 section 8.1)
    total = checksum(source, destination, UDP, bare) or _ONES
    return build(source, destination, UDP, _UDP.pack(source_port, destination_port, size, total) + data, 255)


def read_udp(packet: Packet) -> tuple[int, int, bytes]:
    """Source port, destination port, data. Raises `WireError` for a bad length or checksum, or none."""
    payload = packet.payload
    if len(payload) < UDP_SIZE:
        raise WireError("UDP header past the end")
    source_port, destination_port, size, total = _UDP.unpack_from(payload)
    if not UDP_SIZE <= size <= len(payload):
        raise WireError(f"UDP length {size} in {len(payload)} octets")
    if not total or checksum(packet.source, packet.destination, UDP, payload[:size]):
        raise WireError("UDP checksum")
    return source_port, destination_port, payload[UDP_SIZE:size]
