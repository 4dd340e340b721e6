"""Log lines about requests that anybody can send: so many in a time, the rest counted."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from prol2tp.net.deadlines import LazyTimer

MOST = 50
INTERVAL = 10.0
"""Seconds."""


class Quota:
    """At most `most` in `interval` seconds.

    :param report: called with the number of those that were refused, at the end of an interval that had any.
    """

    __slots__ = ("_clock", "_report", "_most", "_interval", "_taken", "_missed", "_end", "_timer")

    def __init__(self, clock: IReactorTime, report: Callable[[int], None], most: int = MOST,
                 interval: float = INTERVAL) -> None:
        self._clock = clock
        self._report = report
        self._most = most
        self._interval = interval
        self._taken = self._missed = 0
        self._end = 0.0
        self._timer = LazyTimer(clock, self._over)

    def take(self) -> bool:
        """Whether there is room for one more."""
        now = self._clock.seconds()
        if now >= self._end:
            self._end = now + self._interval
            self._taken = 0
        if self._taken < self._most:
            self._taken += 1
            return True
        self._missed += 1
        if self._missed == 1:
            self._timer.want(self._end)
        return False

    def _over(self, now: float) -> None:
        missed, self._missed = self._missed, 0
        self._report(missed)

    def stop(self) -> None:
        self._timer.stop()
