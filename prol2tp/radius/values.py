"""The data types of attributes: RFC 2865 section 5, RFC 3162 section 2, RFC 4818 section 3.

Addresses are text, prefixes text with a length (`2001:db8::/56`), numbers int, interface identifiers int, text str.
Decoders raise `WireError` for a value of the wrong length.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from prol2tp.common.wire import WireError

LARGEST = 253
"""Octets of a value: the length octet counts the two octets before it too."""
LARGEST_VENDOR = 247
"""The same within a Vendor-Specific attribute."""

_U32 = Struct("!I")
_U64 = Struct("!Q")


def exactly(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise WireError(f"value of {len(value)} octets, {length} wanted")
    return value


def integer(value: bytes) -> int:
    return _U32.unpack(exactly(value, 4))[0]


def ipaddr(value: bytes) -> str:
    a, b, c, d = exactly(value, 4)
    return f"{a}.{b}.{c}.{d}"


def ipv6addr(value: bytes) -> str:
    return str(IPv6Address(exactly(value, 16)))


def ipv6prefix(value: bytes) -> str:
    """A reserved octet, the length, and as many octets of the prefix as the sender liked; bits beyond the length,
    which have to be zero, are taken as zero."""
    if not 2 <= len(value) <= 18 or value[1] > 128:
        raise WireError("bad IPv6 prefix")
    rest = 128 - value[1]
    return f"{IPv6Address(int.from_bytes(value[2:].ljust(16, bytes(1)), 'big') >> rest << rest)}/{value[1]}"


def ifid(value: bytes) -> int:
    return _U64.unpack(exactly(value, 8))[0]


def text(value: bytes) -> str:
    """UTF-8; what is not is shown by replacement characters."""
    return value.decode("utf-8", "replace")


def octets(value: bytes) -> bytes:
    return value


DECODE: dict[str, Callable[[bytes], Any]] = {
    "integer": integer,
    "date": integer,
    "ipaddr": ipaddr,
    "ipv6addr": ipv6addr,
    "ipv6prefix": ipv6prefix,
    "ifid": ifid,
    "string": text,
    "octets": octets,
}


def _encode_integer(value: int) -> bytes:
    try:
        return _U32.pack(value)
    except StructError:
        return _U32.pack(min(max(int(value), 0), 0xFFFFFFFF))


def _encode_ipaddr(value: str) -> bytes:
    """Made of four numbers: an `IPv4Address` on the way costs six times as much."""
    packed = bytes(map(int, value.split(".")))
    if len(packed) != 4:
        raise ValueError(f"{value} is no IPv4 address")
    return packed


def _encode_string(value: str | bytes) -> bytes:
    """What is too long is cut: at the start of a character when it is text."""
    if isinstance(value, bytes):
        return value[:LARGEST]
    encoded = value.encode("utf-8", "replace")
    return encoded if len(encoded) <= LARGEST else encoded[:LARGEST].decode("utf-8", "ignore").encode()


def _encode_ipv6prefix(value: str) -> bytes:
    network = IPv6Network(value, strict=False)
    length = network.prefixlen
    return bytes((0, length)) + network.network_address.packed[: (length + 7) // 8]


ENCODE: dict[str, Callable[[Any], bytes]] = {
    "integer": _encode_integer,
    "date": _encode_integer,
    "ipaddr": _encode_ipaddr,
    "ipv6addr": lambda value: IPv6Address(value).packed,
    "ipv6prefix": _encode_ipv6prefix,
    "ifid": _U64.pack,
    "string": _encode_string,
    "octets": bytes,
}


FIXED = {"integer": 4, "date": 4, "ipaddr": 4, "ipv6addr": 16, "ifid": 8}
"""Octets of the values whose length is always the same."""


class Route(NamedTuple):
    """A Framed-Route or Framed-IPv6-Route."""

    prefix: str
    gateway: str
    """Empty: the subscriber itself."""
    metric: int | None


def route(line: str) -> Route:
    """The text of RFC 2865 section 5.22 and RFC 3162 section 2.5: prefix, gateway, metrics, of which the first counts.

    The gateway may be missing; an unspecified one means the subscriber. A prefix without length has the one of its
    class (IPv4), or is one address when it has bits beyond that, or is IPv6. Raises `WireError`.
    """
    words = line.split()
    try:
        network = ip_network(_with_length(words[0]), strict=False)
        gateway = ""
        if len(words) > 1:
            address = (IPv4Address if network.version == 4 else IPv6Address)(words[1])
            gateway = "" if address.is_unspecified else str(address)
        metric = int(words[2]) if len(words) > 2 else None
    except (ValueError, IndexError):
        raise WireError("not a route") from None
    return Route(str(network), gateway, metric if metric is not None and 0 <= metric <= 0xFFFFFFFF else None)


def _with_length(prefix: str) -> str:
    if "/" in prefix or ":" in prefix:
        return prefix
    packed = int(IPv4Address(prefix))
    length = 8 if packed < 0x80000000 else 16 if packed < 0xC0000000 else 24
    if packed == 0:
        length = 0
    return f"{prefix}/{length if packed & ((1 << (32 - length)) - 1) == 0 else 32}"
