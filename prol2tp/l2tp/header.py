"""The header of L2TPv2 control and data messages (RFC 2661 section 3.1).

    | T | L | x x | S | x | O | P | x x x x | Ver (4) |  Length (16, if L)    |
    |           Tunnel ID (16)                        |  Session ID (16)      |
    |           Ns (16, if S)                         |  Nr (16, if S)        |
    |           Offset Size (16, if O)                |  offset padding ...

Bits x are reserved and not looked at. Version 3 (RFC 3931) shares the first two octets.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from prol2tp.common.wire import WireError

T = 0x8000
L = 0x4000
S = 0x0800
O = 0x0200
P = 0x0100
VERSION = 0x000F
VERSION_2 = 2
VERSION_3 = 3

CONTROL_LENGTH = 12
"""Octets of a control header; the AVPs follow. A message of this length is a ZLB."""

_CONTROL = Struct("!HHHHHH")
_CONTROL_BITS = T | L | S | VERSION_2
_CONTROL_MASK = T | L | S | O | P | VERSION
_BITS = Struct("!H")
_PAD = Struct("!H")


class UnsupportedVersion(WireError):
    """A well-formed start of another version: `version` is 1 (L2F, RFC 2341), 3 (RFC 3931) or unknown."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version}")
        self.version = version


class ControlHeader(NamedTuple):
    """`length` counts from the first octet of the header; what a datagram holds beyond it is ignored."""

    length: int
    tunnel_id: int
    session_id: int
    ns: int
    nr: int


class DataHeader(NamedTuple):
    """A data message; its payload is `data[start:end]`. `ns` and `nr` are None without the S bit."""

    tunnel_id: int
    session_id: int
    ns: int | None
    nr: int | None
    priority: bool
    start: int
    end: int


def is_control(data: bytes) -> bool:
    """Whether the T bit is set; False for an empty datagram."""
    return bool(data) and data[0] >= 0x80


def read_control(data: bytes) -> ControlHeader:
    """The header of a control message. Raises `WireError`, for another version `UnsupportedVersion`."""
    if len(data) < CONTROL_LENGTH:
        raise WireError(f"{len(data)} octets, no control message")
    bits, length, tunnel_id, session_id, ns, nr = _CONTROL.unpack_from(data)
    if bits & _CONTROL_MASK != _CONTROL_BITS:
        raise _wrong_control_bits(bits)
    if not CONTROL_LENGTH <= length <= len(data):
        raise WireError(f"header Length {length} in a datagram of {len(data)} octets")
    return ControlHeader(length, tunnel_id, session_id, ns, nr)


def _wrong_control_bits(bits: int) -> WireError:
    if not bits & T:
        return WireError("no control message")
    if bits & VERSION != VERSION_2:
        return UnsupportedVersion(bits & VERSION)
    return WireError(f"control header bits {bits:04x}")


def write_control(tunnel_id: int, session_id: int, ns: int, nr: int, body: bytes = b"") -> bytes:
    """A whole control message; a ZLB without a body. The ids are the receiver's."""
    return _CONTROL.pack(_CONTROL_BITS, CONTROL_LENGTH + len(body), tunnel_id, session_id, ns, nr) + body


class _Layout(NamedTuple):
    struct: Struct
    length: int | None
    ids: int
    ns: int | None


def _layout(bits: int) -> _Layout:
    numbers = "H"
    length = ns = None
    if bits & L:
        length = len(numbers)
        numbers += "H"
    ids = len(numbers)
    numbers += "HH"
    if bits & S:
        ns = len(numbers)
        numbers += "HH"
    return _Layout(Struct("!" + numbers), length, ids, ns)


_LAYOUTS = {bits: _layout(bits) for bits in (0, L, S, L | S)}


def read_data(data: bytes) -> DataHeader:
    """The header of a data message. Raises `WireError`."""
    if len(data) < _BITS.size:
        raise WireError(f"{len(data)} octets, no data message")
    bits = _BITS.unpack_from(data)[0]
    if bits & T:
        raise WireError("a control message, no data")
    if bits & VERSION != VERSION_2:
        raise UnsupportedVersion(bits & VERSION)
    struct, length, ids, ns = _LAYOUTS[bits & (L | S)]
    start = struct.size
    end = len(data)
    if end < start:
        raise WireError(f"{end} octets, the header has {start}")
    numbers = struct.unpack_from(data)
    if length is not None:
        end = numbers[length]
    if bits & O:
        pad = _PAD.unpack_from(data, start)[0] if start + _PAD.size <= len(data) else 0
        start += _PAD.size + pad
    if not start <= end <= len(data):
        raise WireError(f"payload from {start} to {end} in a datagram of {len(data)} octets")
    return DataHeader(
        numbers[ids], numbers[ids + 1],
        None if ns is None else numbers[ns], None if ns is None else numbers[ns + 1],
        bool(bits & P), start, end,
    )


def write_data(  # noqa: PLR0917 (the fields of the header, in their order)
    tunnel_id: int,
    session_id: int,
    payload_length: int | None = None,
    ns: int | None = None,
    nr: int = 0,
    offset: int | None = None,
    priority: bool = False,
) -> bytes:
    """The header of a data message, to be put before the payload. The ids are the receiver's.

    :param payload_length: octets of payload; writes the Length field.
    :param ns: writes Ns and Nr; a receiver ignores Nr in data messages.
    :param offset: octets of padding; writes the Offset Size field.
    """
    bits = VERSION_2 | (P if priority else 0)
    pad = b"" if offset is None else _PAD.pack(offset) + bytes(offset)
    sequence: tuple[int, ...] = ()
    if offset is not None:
        bits |= O
    if ns is not None:
        bits |= S
        sequence = (ns, nr)
    if payload_length is None:
        return _LAYOUTS[bits & S].struct.pack(bits, tunnel_id, session_id, *sequence) + pad
    struct = _LAYOUTS[bits & S | L].struct
    length = struct.size + len(pad) + payload_length
    return struct.pack(bits | L, length, tunnel_id, session_id, *sequence) + pad
