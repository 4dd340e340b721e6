"""One reactor timer for a core, or for thousands of them.

`callLater` is cheap and moving a DelayedCall to an earlier time is not (a linear search), so a timer that is too early
is let fire and set again, and one that is too late is cancelled and made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from prol2tp.common.deadlines import Deadlines

_log = Logger(namespace="net")


class LazyTimer:
    """Calls `callback(now)` at or after the wanted time. `clock` is a reactor or `task.Clock`."""

    __slots__ = ("_clock", "_callback", "_call", "_at", "_wanted")

    def __init__(self, clock: IReactorTime, callback: Callable[[float], Any]) -> None:
        self._clock = clock
        self._callback = callback
        self._call: IDelayedCall | None = None
        self._at = 0.0
        self._wanted: float | None = None

    def want(self, when: float | None) -> None:
        """Replace the wanted time; None: no call."""
        self._wanted = when
        if when is None:
            return
        if self._call is not None:
            if self._at <= when:
                return
            self._call.cancel()
        self._at = when
        self._call = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._fire)

    def stop(self) -> None:
        """No call any more, and no timer left in the reactor."""
        self._wanted = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        wanted = self._wanted
        if wanted is None:
            return
        now = self._clock.seconds()
        if wanted > now:
            self.want(wanted)
            return
        self._wanted = None
        self._callback(now)


class Expiring(Protocol):
    """What `ReactorDeadlines` calls."""

    def expired(self, now: float) -> None:
        """The deadline has come; set a new one if there is one."""


class ReactorDeadlines:
    """Deadlines of many owners (hashable, with `expired(now)`) on one reactor timer."""

    __slots__ = ("_deadlines", "_timer")

    def __init__(self, clock: IReactorTime) -> None:
        self._deadlines = Deadlines()
        self._timer = LazyTimer(clock, self._expired)

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, owner: Expiring, when: float | None) -> None:
        """Replace the owner's deadline; None takes it away."""
        self._deadlines.set(owner, when)  # type: ignore[arg-type]
        if when is not None:
            timer = self._timer
            if timer._wanted is None or when < timer._wanted:
                timer.want(when)

    def stop(self) -> None:
        self._timer.stop()

    def _expired(self, now: float) -> None:
        for owner in self._deadlines.expired(now):
            try:
                owner.expired(now)  # type: ignore[attr-defined]
            except Exception:
                _log.failure("deadline of {owner!r}", owner=owner)
        self._timer.want(self._deadlines.next())
