"""A bound on how often a peer may make us answer: so many at once, then one for each interval."""

from __future__ import annotations


class Bucket:
    """:param burst: answers that may follow each other at once.
    :param interval: seconds after which one more may."""

    __slots__ = ("_burst", "_interval", "_full_at")

    def __init__(self, burst: int, interval: float, now: float) -> None:
        self._burst = burst
        self._interval = interval
        self._full_at = now  # when all of the burst is there again

    def take(self, now: float) -> bool:
        """Whether one may be sent now; it counts as sent then."""
        if self.next(now) > now:
            return False
        self._full_at = max(self._full_at, now) + self._interval
        return True

    def next(self, now: float) -> float:
        """When one may be sent: `now`, or later."""
        return max(now, self._full_at - (self._burst - 1) * self._interval)
