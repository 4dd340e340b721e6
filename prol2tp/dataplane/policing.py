"""The rate of one direction of a port: what is above it is dropped by a token bucket. Pure."""

from __future__ import annotations

from collections.abc import Callable

BURST_TIME = 0.25
"""Seconds at the rate that may pass at once: TCP needs about a round trip to find it."""
BURST_MIN = 32_768
"""Octets; a slow link still takes some large packets in a row."""


class Policed(OSError):
    """A packet is above the rate; without an errno, for no system call has failed."""


class Policer:
    """:param rate: bit/s, above 0.
    :param seconds: the time that `now` is."""

    __slots__ = ("_seconds", "_octets", "_burst", "_left", "_at")

    def __init__(self, rate: int, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._octets = rate / 8
        self._burst = self._left = max(self._octets * BURST_TIME, BURST_MIN)
        self._at = seconds()

    def take(self, size: int, now: float) -> bool:
        """Whether a packet of so many octets may pass; it counts as passed then."""
        left = min(self._burst, self._left + (now - self._at) * self._octets)
        self._at = now
        if size > left:
            self._left = left
            return False
        self._left = left - size
        return True

    def guard(self, transmit: Callable[[bytes], object], overhead: int) -> Callable[[bytes], object]:
        """`transmit` for datagrams whose packet has `overhead` octets before it; raises `Policed`."""
        take, seconds = self.take, self._seconds

        def guarded(datagram: bytes) -> object:
            if take(len(datagram) - overhead, seconds()):
                return transmit(datagram)
            raise Policed

        return guarded
