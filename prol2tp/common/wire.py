"""The error that the peer's bytes cause, and a bounded reader over them."""

from __future__ import annotations

from struct import Struct

_U16 = Struct("!H")
_U32 = Struct("!I")


class WireError(Exception):
    """The peer's bytes break the protocol. The text says what; the owner counts it and drops, or closes the call."""


class Reader:
    """Reads fields off `data[start:end]`; raises `WireError` where they run past the end."""

    __slots__ = ("_data", "_position", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._position = start
        self._end = len(data) if end is None else min(end, len(data))

    def __len__(self) -> int:
        return self._end - self._position

    def take(self, length: int) -> bytes:
        start = self._position
        stop = start + length
        if length < 0 or stop > self._end:
            raise WireError(f"{length} octets wanted, {self._end - start} left")
        self._position = stop
        return bytes(self._data[start:stop])

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return _U16.unpack(self.take(2))[0]

    def u32(self) -> int:
        return _U32.unpack(self.take(4))[0]

    def rest(self) -> bytes:
        return self.take(self._end - self._position)
