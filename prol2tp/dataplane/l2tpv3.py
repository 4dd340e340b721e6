"""The header of L2TPv3 data messages (RFC 3931 sections 4.1 and 4.6).

    |T|x|x|x|x|x|x|x|x|x|x|x|  Ver  |          reserved             |   over UDP only
    |                          Session ID                           |
    |                Cookie (0, 32 or 64 bits)                      |
    |x|S|x|x|x|x|x|x|              Sequence Number                  |   the Default L2-Specific Sublayer, if agreed
"""

from __future__ import annotations

from struct import Struct

_U32 = Struct("!I")
_SESSION = _U32.unpack_from

VERSION = 3
OVER_UDP = b"\0\3\0\0"
S_BIT = 0x40
SUBLAYER_LENGTH = 4
COOKIE_LENGTHS = (0, 4, 8)
EARLY_KEY = 1 << 32
"""Added to session ids where those of version 2 are too."""


def session_id(data: bytes, position: int) -> int:
    """The Session ID at `position`, 4 over UDP and 0 over IP; 0: not a valid data message."""
    return _SESSION(data, position)[0] if len(data) >= position + 4 else 0


def head(session: int, cookie: bytes, over_ip: bool) -> bytes:
    """What stands before the sublayer, or before the payload. The ids are the receiver's."""
    return (b"" if over_ip else OVER_UDP) + _U32.pack(session) + cookie


def sublayer(ns: int) -> bytes:
    """The Default L2-Specific Sublayer; `ns` -1: without a number."""
    return bytes(4) if ns < 0 else _U32.pack(S_BIT << 24 | ns)


def number(data: bytes, position: int) -> int:
    """The Sequence Number in the sublayer at `position`, -1 where the S bit is clear."""
    value: int = _SESSION(data, position)[0]
    return value & 0xFFFFFF if value >> 24 & S_BIT else -1
