"""Unused identifiers: random, so that they cannot be guessed; linear on request, so that output can be compared."""

from __future__ import annotations

from collections.abc import Callable


class IdPool:
    """Gives ids of `bits` width, never 0, never one in use.

    :param random_bytes: the random source, called with a length.
    :param linear: count 1, 2, 3 instead.
    """

    __slots__ = ("_random_bytes", "_octets", "_largest", "_linear", "_next", "used")

    def __init__(self, bits: int, random_bytes: Callable[[int], bytes], linear: bool = False) -> None:
        self._random_bytes = random_bytes
        self._octets = bits // 8
        self._largest = (1 << bits) - 1
        self._linear = linear
        self._next = 0
        self.used: set[int] = set()

    def take(self) -> int:
        """An unused id. Raises `LookupError` when all are taken."""
        if len(self.used) >= self._largest:
            raise LookupError("no identifier is free")
        if not self._linear:
            for _ in range(16):
                candidate = int.from_bytes(self._random_bytes(self._octets), "big")
                if candidate and candidate not in self.used:
                    self.used.add(candidate)
                    return candidate
            # crowded: walk on from a random place, so that the cost stays bounded
            self._next = int.from_bytes(self._random_bytes(self._octets), "big")
        while True:
            self._next = self._next % self._largest + 1
            if self._next not in self.used:
                self.used.add(self._next)
                return self._next

    def claim(self, identifier: int) -> bool:
        """Take this very id; False if it is used or out of range."""
        if not 0 < identifier <= self._largest or identifier in self.used:
            return False
        self.used.add(identifier)
        return True

    def release(self, identifier: int) -> None:
        self.used.discard(identifier)
