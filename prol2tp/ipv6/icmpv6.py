"""ICMPv6 (RFC 4443) as far as a router on a point-to-point link needs it: Router Solicitation and Advertisement with
their options (RFC 4861, 4191, 8106).

    type(1) code(1) checksum(2) body; options: type(1) length(1, in 8 octets, never 0) value
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from prol2tp.common.wire import WireError
from prol2tp.ipv6 import names
from prol2tp.ipv6.packet import ICMPV6, UNSPECIFIED, Packet, build, checksum, is_link_local

# RFC 4861 section 4
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134

# RFC 4861 section 4.6, RFC 4191 section 2.3, RFC 8106 section 5
SOURCE_LINK_LAYER_ADDRESS = 1
PREFIX_INFORMATION = 3
MTU = 5
ROUTE_INFORMATION = 24
RECURSIVE_DNS_SERVER = 25
DNS_SEARCH_LIST = 31

INFINITY = 0xFFFFFFFF
HOP_LIMIT = 255
"""A packet with another one has come through a router (RFC 4861 section 6.1)."""

_CHECKSUM = Struct("!H")
_ADVERTISEMENT = Struct("!BBHII")
_PREFIX = Struct("!BBBBII4x16s")
_ROUTE = Struct("!BBI")
_U32 = Struct("!I")

_ON_LINK = 0x80
_AUTONOMOUS = 0x40
_MANAGED = 0x80
_OTHER = 0x40


@dataclass(slots=True)
class RouterSolicitation:
    """RFC 4861 section 4.1."""

    link_layer_address: bytes = b""


@dataclass(slots=True)
class PrefixInformation:
    """RFC 4861 section 4.6.2. `prefix` is 16 octets; lifetimes are seconds, `INFINITY` for ever."""

    prefix: bytes
    length: int
    on_link: bool
    autonomous: bool
    valid_lifetime: int
    preferred_lifetime: int


@dataclass(slots=True)
class RouteInformation:
    """RFC 4191 section 2.3. `prefix` is 16 octets, the lifetime seconds, `preference` 1 (high), 0 (medium) or -1 (low).
    """

    prefix: bytes
    length: int
    lifetime: int
    preference: int = 0


@dataclass(slots=True)
class RouterAdvertisement:
    """RFC 4861 section 4.2. Times as on the wire: lifetimes seconds, the two timers milliseconds."""

    hop_limit: int = 64
    managed: bool = False
    other: bool = False
    router_lifetime: int = 1800
    reachable_time: int = 0
    retransmit_timer: int = 0
    mtu: int = 0
    """0: option left out."""
    prefixes: tuple[PrefixInformation, ...] = ()
    routes: tuple[RouteInformation, ...] = ()
    dns: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
    """(lifetime, server addresses) of each Recursive DNS Server option (RFC 8106 section 5.1)."""
    domains: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """(lifetime, names) of each DNS Search List option (RFC 8106 section 5.2)."""


def message(source: bytes, destination: bytes, kind: int, body: bytes, code: int = 0) -> bytes:
    """An IPv6 packet with one ICMPv6 message; `body` is what follows the checksum."""
    head = bytes((kind, code))
    total = checksum(source, destination, ICMPV6, head + b"\0\0" + body)
    return build(source, destination, ICMPV6, head + _CHECKSUM.pack(total) + body, HOP_LIMIT)


def _option(kind: int, value: bytes) -> bytes:
    value += bytes(-(2 + len(value)) % 8)
    units = (2 + len(value)) // 8
    if units > 255:
        raise ValueError(f"option {kind} of {len(value)} octets")
    return bytes((kind, units)) + value


def encode_solicitation(solicitation: RouterSolicitation) -> bytes:
    """The body for `message`."""
    address = solicitation.link_layer_address
    return bytes(4) + (_option(SOURCE_LINK_LAYER_ADDRESS, address) if address else b"")


def encode_advertisement(advertisement: RouterAdvertisement) -> bytes:
    """The body for `message`."""
    flags = (_MANAGED if advertisement.managed else 0) | (_OTHER if advertisement.other else 0)
    parts = [
        _ADVERTISEMENT.pack(
            advertisement.hop_limit,
            flags,
            advertisement.router_lifetime,
            advertisement.reachable_time,
            advertisement.retransmit_timer,
        )
    ]
    if advertisement.mtu:
        parts.append(_option(MTU, b"\0\0" + _U32.pack(advertisement.mtu)))
    for prefix in advertisement.prefixes:
        flags = (_ON_LINK if prefix.on_link else 0) | (_AUTONOMOUS if prefix.autonomous else 0)
        parts.append(
            _PREFIX.pack(
                PREFIX_INFORMATION, 4, prefix.length, flags, prefix.valid_lifetime, prefix.preferred_lifetime,
                prefix.prefix,
            )
        )
    for route in advertisement.routes:
        octets = 8 * -(-route.length // 64)
        head = _ROUTE.pack(route.length, (route.preference & 3) << 3, route.lifetime)
        parts.append(_option(ROUTE_INFORMATION, head + route.prefix[:octets]))
    for lifetime, servers in advertisement.dns:
        parts.append(_option(RECURSIVE_DNS_SERVER, b"\0\0" + _U32.pack(lifetime) + b"".join(servers)))
    for lifetime, domains in advertisement.domains:
        parts.append(_option(DNS_SEARCH_LIST, b"\0\0" + _U32.pack(lifetime) + names.encode(domains)))
    return b"".join(parts)


def read_message(packet: Packet) -> tuple[int, int, bytes]:
    """Type, code and body of an ICMPv6 packet. Raises `WireError` for a bad checksum."""
    payload = packet.payload
    if len(payload) < 4:
        raise WireError("ICMPv6 header past the end")
    if checksum(packet.source, packet.destination, ICMPV6, payload):
        raise WireError("ICMPv6 checksum")
    return payload[0], payload[1], payload[4:]


def _options(body: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """RFC 4861 section 4.6: an option of length 0 spoils the packet."""
    while position < len(body):
        if position + 2 > len(body):
            raise WireError("option past the end")
        end = position + 8 * body[position + 1]
        if end == position or end > len(body):
            raise WireError("option of length 0 or past the end")
        yield body[position], body[position + 2 : end]
        position = end


def _check(packet: Packet, code: int, body: bytes, least: int) -> None:
    if packet.hop_limit != HOP_LIMIT or code or len(body) < least:
        raise WireError(f"hop limit {packet.hop_limit}, code {code}, {len(body)} octets")


def read_solicitation(packet: Packet, code: int, body: bytes) -> RouterSolicitation:
    """Raises `WireError` for what RFC 4861 section 6.1.1 has discarded."""
    _check(packet, code, body, 4)
    solicitation = RouterSolicitation()
    for kind, value in _options(body, 4):
        if kind == SOURCE_LINK_LAYER_ADDRESS:
            if packet.source == UNSPECIFIED:
                raise WireError("link-layer address of nobody")
            solicitation.link_layer_address = value
    return solicitation


def read_advertisement(packet: Packet, code: int, body: bytes) -> RouterAdvertisement:
    """Raises `WireError` for what RFC 4861 section 6.1.2 has discarded. Options that cannot be read are left out."""
    _check(packet, code, body, _ADVERTISEMENT.size)
    if not is_link_local(packet.source):
        raise WireError("router without a link-local address")
    hop_limit, flags, lifetime, reachable, retransmit = _ADVERTISEMENT.unpack_from(body)
    found = RouterAdvertisement(
        hop_limit, bool(flags & _MANAGED), bool(flags & _OTHER), lifetime, reachable, retransmit
    )
    prefixes: list[PrefixInformation] = []
    routes: list[RouteInformation] = []
    dns: list[tuple[int, tuple[bytes, ...]]] = []
    domains: list[tuple[int, tuple[str, ...]]] = []
    for kind, value in _options(body, _ADVERTISEMENT.size):
        if kind == MTU and len(value) == 6:
            found.mtu = _U32.unpack_from(value, 2)[0]
        elif kind == PREFIX_INFORMATION and len(value) == 30:
            length, flags, valid, preferred, prefix = _PREFIX.unpack(b"\0\0" + value)[2:]
            if length <= 128 and preferred <= valid:  # RFC 4862 section 5.5.3 c
                on_link, autonomous = bool(flags & _ON_LINK), bool(flags & _AUTONOMOUS)
                prefixes.append(PrefixInformation(prefix, length, on_link, autonomous, valid, preferred))
        elif kind == ROUTE_INFORMATION and len(value) in (6, 14, 22):
            if (route := _route_information(value)) is not None:
                routes.append(route)
        elif kind == RECURSIVE_DNS_SERVER and len(value) >= 22 and len(value) % 16 == 6:
            servers = tuple(value[start : start + 16] for start in range(6, len(value), 16))
            dns.append((_U32.unpack_from(value, 2)[0], servers))
        elif kind == DNS_SEARCH_LIST and len(value) >= 14:
            try:
                domains.append((_U32.unpack_from(value, 2)[0], names.decode(value[6:])))
            except WireError:
                continue
    found.prefixes, found.routes = tuple(prefixes), tuple(routes)
    found.dns, found.domains = tuple(dns), tuple(domains)
    return found


def _route_information(value: bytes) -> RouteInformation | None:
    """None for what has to be ignored: the reserved preference, and a prefix that does not fit its option."""
    length, flags, lifetime = _ROUTE.unpack_from(value)
    preference = flags >> 3 & 3
    if preference == 2 or length > 8 * (len(value) - _ROUTE.size):
        return None
    prefix = value[_ROUTE.size :].ljust(16, b"\0")
    return RouteInformation(prefix, length, lifetime, -1 if preference == 3 else preference)
