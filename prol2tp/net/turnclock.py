"""The clock of a reactor: the monotonic one, read twice in a turn however often it is asked.

A daemon asks for the time dozens of times for a session. That costs nothing where the C library reads the clock by
itself, and a system call each where it cannot: with the clock sources hpet and acpi_pm, and in User-Mode Linux.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Any


class TurnClock:
    """Time stands still while a reactor serves what is ready, and while it makes the calls that are due. What measures
    how long it takes itself asks `time.monotonic`.

    :param read: the clock.
    """

    __slots__ = ("_read", "_now", "_iterate", "_thread")

    def __init__(self, read: Callable[[], float] = monotonic) -> None:
        self._read = read
        self._now: float | None = None
        self._iterate: Callable[[float | None], None]
        self._thread = -1
        """The reactor's, once it turns: what another sees while that waits is not the time of the next turn."""

    def rule(self, reactor: Any) -> None:
        """From now on this is the reactor's clock. A step of the system's clock does not touch it."""
        self._iterate = reactor.doIteration
        reactor.doIteration = self._turn
        reactor.seconds = self.seconds

    def seconds(self) -> float:
        now = self._now
        if now is None:
            now = self._read()
            if get_ident() == self._thread:
                self._now = now
        return now

    def _turn(self, delay: float | None) -> None:
        """Wait, and serve what is ready."""
        self._thread = get_ident()
        self._now = None
        self._iterate(delay)
        self._now = None
