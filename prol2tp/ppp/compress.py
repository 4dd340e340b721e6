"""Codecs for compressed packets, one object for each direction of a link: Deflate (RFC 1979) and Predictor-1
(RFC 1978). BSD-Compress and MPPE have none here.

A packet is its protocol number, in one octet where that is possible, and its information. `compress` gives
the information of a frame of protocol 0x00FD, or None when the packet is to go as it is; `decompress` takes such
information, `passed` a packet that came as it was.
"""

from __future__ import annotations

import zlib
from binascii import crc_hqx
from collections.abc import Iterator

from prol2tp.common.wire import WireError

_TAIL = b"\x00\x00\xff\xff"
"""End of what a synchronising flush gives; not sent."""
_STORED_MAX = 0xFFFF


def packed(protocol: int, information: bytes) -> bytes:
    """What is compressed."""
    number = bytes((protocol,)) if protocol < 0x100 and protocol & 1 else protocol.to_bytes(2, "big")
    return number + information


def _sequence(information: bytes) -> int:
    if len(information) < 3:
        raise WireError(f"compressed packet of {len(information)} octets")
    return int.from_bytes(information[:2], "big")


class DeflateCompressor:
    """RFC 1979: sequence(2), then DEFLATE without the octets that end its flush.

    :param window: of the option, log2 of the octets, 9 to 15.
    """

    __slots__ = ("_window", "_stream", "_next")

    def __init__(self, window: int = 15) -> None:
        self._window = window
        self.reset()

    def reset(self) -> None:
        self._stream = zlib.compressobj(6, zlib.DEFLATED, -self._window)
        self._next = 0

    def compress(self, protocol: int, information: bytes) -> bytes | None:
        """None when nothing is gained: the peer takes the packet as it is into its history."""
        packet = packed(protocol, information)
        squeezed = self._stream.compress(packet) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        number, self._next = self._next, (self._next + 1) & 0xFFFF
        result = number.to_bytes(2, "big") + squeezed[: -len(_TAIL)]
        return result if len(result) < len(information) else None


class DeflateDecompressor:
    """After a `WireError` all is dropped until `reset`.

    :param limit: most octets of a packet.
    """

    __slots__ = ("_window", "_limit", "_stream", "_next", "_broken")

    def __init__(self, window: int = 15, limit: int = 16384) -> None:
        self._window = window
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        self._stream = zlib.decompressobj(-self._window)
        self._next = 0
        self._broken = False

    def decompress(self, information: bytes) -> bytes:
        """Protocol number and information. Raises `WireError`: then a reset has to be asked for."""
        number = _sequence(information)
        if self._broken or number != self._next:
            self._broken = True
            raise WireError(f"compressed packet {number}, expected was {self._next}")
        try:
            packet = self._stream.decompress(information[2:] + _TAIL, self._limit + 1)
        except zlib.error as error:
            self._broken = True
            raise WireError(f"compressed packet {number}: {error}") from None
        if len(packet) > self._limit or self._stream.unconsumed_tail or self._stream.eof or not packet:
            self._broken = True
            raise WireError(f"compressed packet {number} is not one packet")
        self._next = (self._next + 1) & 0xFFFF
        return packet

    def passed(self, protocol: int, information: bytes) -> None:
        """A packet came as it was: it counts, and is part of the history, as a stored block would be."""
        if self._broken:
            return
        packet = packed(protocol, information)
        for start in range(0, len(packet), _STORED_MAX):
            block = packet[start : start + _STORED_MAX]
            length = len(block)
            header = b"\0" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
            try:
                same = self._stream.decompress(header + block, length + 1) == block
            except zlib.error:
                same = False
            if not same:  # the compressed packet before did not end where its octets did
                self._broken = True
                return
        self._next = (self._next + 1) & 0xFFFF


class _Guesses:
    """RFC 1978: for the hash of the octets before, the octet that came last time."""

    __slots__ = ("table", "hash")

    def __init__(self) -> None:
        self.table = bytearray(0x10000)
        self.hash = 0

    def squeeze(self, data: bytes) -> bytes:
        """For eight octets each: a flag octet, whose bits say which were guessed, and those that were not."""
        table, place = self.table, self.hash
        result = bytearray()
        for start in range(0, len(data), 8):
            flags = 0
            missed = bytearray()
            for bit, octet in enumerate(data[start : start + 8]):
                if table[place] == octet:
                    flags |= 1 << bit
                else:
                    table[place] = octet
                    missed.append(octet)
                place = (place << 4 ^ octet) & 0xFFFF
            result.append(flags)
            result += missed
        self.hash = place
        return bytes(result)

    def expand(self, data: bytes, length: int) -> bytes:
        """Raises `WireError` when the data are not those of so many octets."""
        table, place = self.table, self.hash
        result = bytearray()
        source: Iterator[int] = iter(data)
        try:
            while len(result) < length:
                flags = next(source)
                for bit in range(min(8, length - len(result))):
                    octet = table[place] if flags >> bit & 1 else next(source)
                    table[place] = octet
                    result.append(octet)
                    place = (place << 4 ^ octet) & 0xFFFF
        except StopIteration:
            raise WireError("compressed packet ends early") from None
        self.hash = place
        if next(source, None) is not None:
            raise WireError("compressed packet with octets left over")
        return bytes(result)

    def learn(self, data: bytes) -> None:
        self.squeeze(data)


_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def fcs16(data: bytes) -> int:
    """The frame check sequence of RFC 1662 section C.2: CRC-CCITT with the bits the other way round."""
    value = crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return _REVERSED[value & 0xFF] << 8 | _REVERSED[value >> 8]


class Predictor1Compressor:
    """RFC 1978: flag and length(2), data, FCS(2) over length and packet. A packet that does not shrink goes inside
    such a frame as it is, flag clear."""

    __slots__ = ("_guesses",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._guesses = _Guesses()

    def compress(self, protocol: int, information: bytes) -> bytes:
        packet = packed(protocol, information)
        length = len(packet).to_bytes(2, "big")
        check = fcs16(length + packet).to_bytes(2, "little")
        squeezed = self._guesses.squeeze(packet)
        if len(squeezed) < len(packet):
            return bytes((length[0] | 0x80, length[1])) + squeezed + check
        return length + packet + check


class Predictor1Decompressor:
    """After a `WireError` all is dropped until `reset`.

    :param limit: most octets of a packet.
    """

    __slots__ = ("_guesses", "_limit", "_broken")

    def __init__(self, limit: int = 16384) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        self._guesses = _Guesses()
        self._broken = False

    def decompress(self, information: bytes) -> bytes:
        """Protocol number and information. Raises `WireError`: then a reset has to be asked for."""
        if self._broken or len(information) < 5:
            raise WireError("compressed packet that cannot be read")
        self._broken = True
        flag_and_length = int.from_bytes(information[:2], "big")
        length = flag_and_length & 0x7FFF
        data = information[2:-2]
        if not 0 < length <= self._limit:
            raise WireError(f"compressed packet of {length} octets")
        if flag_and_length & 0x8000:
            packet = self._guesses.expand(data, length)
        else:
            packet = data
            self._guesses.learn(packet)
        if fcs16(length.to_bytes(2, "big") + packet) != int.from_bytes(information[-2:], "little"):
            raise WireError("compressed packet with a wrong check sequence")
        self._broken = False
        return packet

    def passed(self, protocol: int, information: bytes) -> None:
        """A packet came as it was: it is no part of the history."""
