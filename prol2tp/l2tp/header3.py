"""The headers of L2TPv3 control and data messages, over UDP and over IP (RFC 3931 sections 3.2, 4.1 and 4.6).

Control, over IP after four octets of zeros:

    | T | L | x x | S | x x x x x x x | Ver (4) |  Length (16)  |
    |               Control Connection ID (32)                  |
    |           Ns (16)           |           Nr (16)           |

Data, over IP from the Session ID on:

    | T | x x x x x x x x x x x | Ver (4) |    reserved (16)    |
    |                     Session ID (32)                       |
    |                 Cookie (0, 32 or 64)                      |
    | x | S | x x x x x x |       Sequence Number (24)          |    the Default L2-Specific Sublayer, if agreed

Bits x are reserved and not looked at. Over UDP, version 2 shares the port: `is_control` of `header` and `version` come
first.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from prol2tp.common.wire import WireError
from prol2tp.l2tp.avptable import COOKIE_LENGTHS
from prol2tp.l2tp.header import CONTROL_LENGTH, VERSION, VERSION_3, L, S, T, UnsupportedVersion
from prol2tp.l2tp.header import ControlHeader as ControlHeaderOfBoth

__all__ = [
    "CONTROL_LENGTH", "OVER_IP", "OVER_UDP", "SESSION_ID_LENGTH", "SUBLAYER_LENGTH", "ControlHeader", "DataHeader",
    "WrongCookie", "control_over_ip", "read_control", "read_control_over_udp", "read_data", "read_session_id",
    "version", "write_control", "write_data",
]

OVER_IP = bytes(4)
"""What stands before a control message over IP: the Session ID 0. It is no part of the message."""

OVER_UDP = VERSION_3.to_bytes(2, "big") + bytes(2)
"""What stands before the Session ID of a data message over UDP."""

SESSION_ID_LENGTH = 4
SUBLAYER_LENGTH = 4
"""Octets of the Default L2-Specific Sublayer."""

_CONTROL = Struct("!HHIHH")
_CONTROL_BITS = T | L | S | VERSION_3
_U32 = Struct("!I")
_SEQUENCED = 0x40000000
_SEQUENCE_NUMBER = 0x00FFFFFF


class ControlHeader(NamedTuple):
    """The message is `data[start:end]`, its AVPs `data[body:end]`; a ZLB has none. What follows it is ignored."""

    connection_id: int
    ns: int
    nr: int
    start: int
    body: int
    end: int


class DataHeader(NamedTuple):
    """The payload is `data[start:]`. `ns` (24 bits) is None without a sublayer or its S bit."""

    ns: int | None
    start: int


class WrongCookie(WireError):
    """The cookie is not that of the session (section 4.5)."""


def version(data: bytes) -> int:
    """The Ver field of a datagram over UDP, control or data; 0 for one that is too short."""
    return data[1] & VERSION if len(data) > 1 else 0


def control_over_ip(data: bytes) -> bool:
    """Whether this packet of IP protocol 115 is a control message: the Session ID is 0."""
    return data.startswith(OVER_IP)


def read_control(data: bytes, over_ip: bool = False) -> ControlHeader:
    """The header of a control message. Raises `WireError`, for another version `UnsupportedVersion`."""
    start = len(OVER_IP) if over_ip else 0
    body = start + CONTROL_LENGTH
    if len(data) < body:
        raise WireError(f"{len(data)} octets, no control message")
    if over_ip and not data.startswith(OVER_IP):
        raise WireError("no control message: the Session ID is not 0")
    bits, length, connection_id, ns, nr = _CONTROL.unpack_from(data, start)
    if bits & (_CONTROL_BITS | VERSION) != _CONTROL_BITS:
        raise _wrong_control_bits(bits)
    end = start + length
    if not body <= end <= len(data):
        raise WireError(f"header Length {length} in a datagram of {len(data)} octets")
    return ControlHeader(connection_id, ns, nr, start, body, end)


def read_control_over_udp(data: bytes) -> ControlHeaderOfBoth:
    """The same over UDP in the form that version 2 has."""
    if len(data) < CONTROL_LENGTH:
        raise WireError(f"{len(data)} octets, no control message")
    bits, length, connection_id, ns, nr = _CONTROL.unpack_from(data)
    if bits & (_CONTROL_BITS | VERSION) != _CONTROL_BITS:
        raise _wrong_control_bits(bits)
    if not CONTROL_LENGTH <= length <= len(data):
        raise WireError(f"header Length {length} in a datagram of {len(data)} octets")
    return ControlHeaderOfBoth(length, connection_id, 0, ns, nr)


def _wrong_control_bits(bits: int) -> WireError:
    if not bits & T:
        return WireError("no control message")
    if bits & VERSION != VERSION_3:
        return UnsupportedVersion(bits & VERSION)
    return WireError(f"control header bits {bits:04x}")


def write_control(connection_id: int, ns: int, nr: int, body: bytes = b"") -> bytes:
    """A whole control message; a ZLB without a body. The id is the receiver's. Over IP it goes after `OVER_IP`, and
    only then: digests are of what this returns."""
    return _CONTROL.pack(_CONTROL_BITS, CONTROL_LENGTH + len(body), connection_id, ns, nr) + body


def read_session_id(data: bytes, over_ip: bool = False) -> int:
    """The receiver's id of the session that a data message is for, which tells how to read the rest.

    :raises WireError: `UnsupportedVersion` over UDP for another version.
    """
    start = 0 if over_ip else len(OVER_UDP)
    if len(data) < start + SESSION_ID_LENGTH:
        raise WireError(f"{len(data)} octets, no data message")
    if not over_ip:
        if data[0] >= 0x80:
            raise WireError("a control message, no data")
        if data[1] & VERSION != VERSION_3:
            raise UnsupportedVersion(data[1] & VERSION)
    session_id: int = _U32.unpack_from(data, start)[0]
    if not session_id:
        raise WireError("the Session ID is 0")
    return session_id


def read_data(data: bytes, cookie: bytes = b"", sublayer: bool = False, over_ip: bool = False) -> DataHeader:
    """What follows the Session ID, by what was agreed for the session.

    :param cookie: the cookie that we assigned.
    :param sublayer: we asked for the Default L2-Specific Sublayer.
    :raises WireError: `WrongCookie` for another cookie than ours.
    """
    position = (0 if over_ip else len(OVER_UDP)) + SESSION_ID_LENGTH
    if cookie:
        if not data.startswith(cookie, position):
            raise WrongCookie("the cookie is wrong")
        position += len(cookie)
    if not sublayer:
        return DataHeader(None, position)
    if len(data) < position + SUBLAYER_LENGTH:
        raise WireError(f"{len(data)} octets, no L2-Specific Sublayer")
    bits: int = _U32.unpack_from(data, position)[0]
    return DataHeader(bits & _SEQUENCE_NUMBER if bits & _SEQUENCED else None, position + SUBLAYER_LENGTH)


def write_data(
    session_id: int, cookie: bytes = b"", sublayer: bool = False, ns: int | None = None, over_ip: bool = False
) -> bytes:
    """The header of a data message, to be put before the payload.

    :param session_id: the receiver's, as `cookie` is.
    :param sublayer: the receiver asked for the Default L2-Specific Sublayer.
    :param ns: the Sequence Number of 24 bits, for which there must be a sublayer; None for none.
    :raises ValueError: for what no header can say.
    """
    if not session_id:
        raise ValueError("a Session ID of 0 is a control message's")
    if len(cookie) not in COOKIE_LENGTHS:
        raise ValueError(f"a cookie of {len(cookie)} octets")
    header = (b"" if over_ip else OVER_UDP) + _U32.pack(session_id) + cookie
    if sublayer:
        return header + _U32.pack(0 if ns is None else _SEQUENCED | ns & _SEQUENCE_NUMBER)
    if ns is not None:
        raise ValueError("a Sequence Number needs a sublayer")
    return header
