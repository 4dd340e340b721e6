"""Octet-stuffed framing of PPP on asynchronous lines (RFC 1662 sections 3 and 4, FCS of appendix C.2).

    | Flag 0x7e | PPP frame | FCS (16, least significant octet first) | Flag |

Between flags an octet that the line might not pass goes as 0x7d and the octet with bit 5 inverted. Which control
characters these are says the Async-Control-Character-Map (ACCM) of each direction: bit N stands for character N.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Callable

FLAG, ESCAPE, INVERTED = 0x7E, 0x7D, 0x20
FLAG_OCTET = b"\x7e"
ALL = 0xFFFFFFFF
"""The ACCM until LCP is open (section 7.1)."""
FCS_LENGTH = 2
SHORTEST = 2 + FCS_LENGTH
"""Octets between flags that make a frame; what is shorter says nothing (section 4.3)."""
NEVER_ESCAPED = frozenset((*range(0x20, 0x40), 0x5D, 0x5E))
"""Octets that cannot be asked to be escaped: inverted they would be control characters, a flag or an escape."""

_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
_LCP = (b"\xff\x03\xc0\x21", b"\xc0\x21")
_LCP_LINK_CODES = range(1, 8)
_SIMPLE = frozenset((*range(32), FLAG, ESCAPE))
_ESCAPED = re.compile(rb"\x7d(.)", re.DOTALL)
_INVERT = {bytes((octet,)): bytes((octet ^ INVERTED,)) for octet in range(256)}


def fcs16(data: bytes) -> bytes:
    """The FCS of a frame as it is sent: CRC-16 of X.25 (appendix C.2)."""
    # the library's CRC has the same polynomial with the bits of each octet the other way round
    value = crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return bytes((_REVERSED[value >> 8], _REVERSED[value & 0xFF]))


def needs_default_map(frame: bytes) -> bool:
    """Whether a PPP frame is an LCP packet of the codes 1 to 7, which go with all control characters escaped whatever
    was agreed: the peer may have started anew (section 7)."""
    start = 4 if frame[:4] == _LCP[0] else 2 if frame[:2] == _LCP[1] else 0
    return start > 0 and len(frame) > start and frame[start] in _LCP_LINK_CODES


def escaper(accm: int, also: frozenset[int] = frozenset()) -> Callable[[bytes], bytes]:
    """A function that escapes flags, escapes, the control characters of `accm` and the octets of `also`. Raises
    `ValueError` for octets that cannot be escaped."""
    if also & NEVER_ESCAPED:
        raise ValueError(f"octet 0x{min(also & NEVER_ESCAPED):02x} cannot be escaped")
    octets = {octet for octet in range(32) if accm >> octet & 1} | also | {FLAG, ESCAPE}
    if octets <= _SIMPLE:
        # nothing that an escape leads to has to be escaped itself: one pass for each octet, the escape's first
        pairs = [(bytes((octet,)), bytes((ESCAPE, octet ^ INVERTED))) for octet in sorted(octets, key=_escape_first)]

        def replace(data: bytes) -> bytes:
            for octet, escaped in pairs:
                data = data.replace(octet, escaped)
            return data

        return replace
    pattern = re.compile(b"[" + b"".join(re.escape(bytes((octet,))) for octet in sorted(octets)) + b"]")
    table = {bytes((octet,)): bytes((ESCAPE, octet ^ INVERTED)) for octet in octets}

    def substitute(data: bytes) -> bytes:
        return pattern.sub(lambda match: table[match[0]], data)

    return substitute


def _escape_first(octet: int) -> int:
    return -1 if octet == ESCAPE else octet


class Framer:
    """The way out: PPP frames to octets of the line."""

    __slots__ = ("accm", "_also", "_escape", "_escape_all")

    def __init__(self, also: frozenset[int] = frozenset()) -> None:
        self.accm = ALL
        self._also = also
        self._escape_all = self._escape = escaper(ALL, also)

    def set_accm(self, accm: int) -> None:
        """What the peer wants escaped, once LCP is open."""
        self.accm = accm
        self._escape = escaper(accm, self._also)

    def frame(self, data: bytes) -> bytes:
        """A whole PPP frame as it goes on the line, flags at both ends."""
        escape = self._escape_all if needs_default_map(data) else self._escape
        return FLAG_OCTET + escape(data + fcs16(data)) + FLAG_OCTET


class Deframer:
    """The way in: octets of the line, in any portions, to PPP frames.

    :param largest: octets of the largest PPP frame taken.
    """

    __slots__ = ("accm", "bad_fcs", "aborted", "too_long", "_longest", "_dropped", "_pending", "_skipping")

    def __init__(self, largest: int) -> None:
        self.bad_fcs = 0
        self.aborted = 0
        """Frames that the sender has given up: an escape before the flag (section 4.3)."""
        self.too_long = 0
        self._longest = largest + FCS_LENGTH
        self._pending = bytearray()
        self._skipping = False
        """In a frame that is too long: what comes until the next flag is part of it."""
        self.set_accm(ALL)

    def set_accm(self, accm: int) -> None:
        """Control characters that the peer escapes: where they stand unescaped, the line has put them in."""
        self.accm = accm
        self._dropped = bytes(octet for octet in range(32) if accm >> octet & 1)

    @property
    def errors(self) -> int:
        """Frames lost in all."""
        return self.bad_fcs + self.aborted + self.too_long

    def feed(self, data: bytes) -> list[bytes]:
        """-> the frames that are whole now, without FCS."""
        if self._dropped:
            data = data.translate(None, self._dropped)
        pieces = data.split(FLAG_OCTET)
        last = pieces.pop()
        frames = []
        for piece in pieces:
            frame = self._finish(piece)
            if frame is not None:
                frames.append(frame)
        if last and not self._skipping:
            self._pending += last
            # every octet may come escaped
            if len(self._pending) > 2 * self._longest:
                self._pending.clear()
                self._skipping = True
                self.too_long += 1
        return frames

    def _finish(self, piece: bytes) -> bytes | None:
        """A flag has come after `piece`."""
        if self._skipping:
            self._skipping = False
            return None
        if self._pending:
            piece = bytes(self._pending) + piece
            self._pending.clear()
        if ESCAPE in piece:
            if piece[-1] == ESCAPE and _ends_with_escape(piece):
                self.aborted += 1
                return None
            piece = _ESCAPED.sub(_unescape, piece)
        if len(piece) < SHORTEST:
            return None
        if len(piece) > self._longest:
            self.too_long += 1
            return None
        frame = piece[:-FCS_LENGTH]
        if fcs16(frame) != piece[-FCS_LENGTH:]:
            self.bad_fcs += 1
            return None
        return frame


def _ends_with_escape(piece: bytes) -> bool:
    """Whether the last escape octet is one, and not an escaped octet itself."""
    return (len(piece) - len(piece.rstrip(b"\x7d"))) % 2 == 1


def _unescape(match: re.Match[bytes]) -> bytes:
    return _INVERT[match[1]]
