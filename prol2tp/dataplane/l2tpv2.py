"""The header of L2TPv2 data messages (RFC 2661 section 3.1).

    |T|L|x|x|S|x|O|P|x|x|x|x|  Ver  |          Length (opt)         |
    |           Tunnel ID           |           Session ID          |
    |             Ns (opt)          |             Nr (opt)          |
    |      Offset Size (opt)        |    Offset pad... (opt)
"""

from __future__ import annotations

from struct import Struct

_U16 = Struct("!H").unpack_from
_U32 = Struct("!I").unpack_from
_PLAIN = Struct("!HHH")
_SEQUENCED = Struct("!HHHHH")

T_BIT = 0x80
L_BIT = 0x40
S_BIT = 0x08
O_BIT = 0x02
VERSION = 2


def parse(data: bytes) -> tuple[int, int, int, int] | None:
    """-> tunnel id << 16 | session id, Ns or -1, start and end of the payload. None: not a valid data message."""
    end = len(data)
    if end < 6 or data[1] & 0x0F != VERSION:
        return None
    flags = data[0]
    position = 2
    if flags & L_BIT:
        length = _U16(data, 2)[0]
        if length > end:
            return None
        end = length
        position = 4
    if flags & T_BIT or position + 4 > end:
        return None
    key = _U32(data, position)[0]
    position += 4
    ns = -1
    if flags & S_BIT:
        if position + 4 > end:
            return None
        ns = _U16(data, position)[0]
        position += 4
    if flags & O_BIT:
        if position + 2 > end:
            return None
        position += 2 + _U16(data, position)[0]
    if position >= end:
        return None
    return key, ns, position, end


def plain(tunnel_id: int, session_id: int) -> bytes:
    """A header with no optional field."""
    return _PLAIN.pack(VERSION, tunnel_id, session_id)


def sequenced(tunnel_id: int, session_id: int, ns: int) -> bytes:
    """A header with Ns; Nr is reserved in data messages (section 3.1)."""
    return _SEQUENCED.pack(S_BIT << 8 | VERSION, tunnel_id, session_id, ns, 0)
