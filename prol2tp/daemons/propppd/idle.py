"""Idle time of links, from the data path's counters: one timer and one exchange for all links that are due.

A link is asked about when it could have been idle for long enough, not before; one that has traffic is so asked about
once per idle timeout.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from prol2tp.common.deadlines import Deadlines
from prol2tp.dataplane.interface import COUNTERS, DataPathError
from prol2tp.net.deadlines import LazyTimer

GATHER = 1.0
"""Seconds for which links that are due wait for others."""
LAST_ACTIVITY = len(COUNTERS)


class Idler(Hashable, Protocol):
    """A link with an idle timeout."""

    idle_timeout: float
    up_since: float
    """0: it is down."""

    @property
    def port(self) -> int: ...

    def idle(self, seconds: float) -> None:
        """There was no traffic for so long."""


class IdleWatch:
    """Watches links that have an idle timeout."""

    def __init__(self, clock: IReactorTime, dataplane: Any) -> None:
        self._clock = clock
        self.dataplane = dataplane
        self._due = Deadlines()
        self._timer = LazyTimer(clock, self._expired)

    def watch(self, link: Idler) -> None:
        """The link is up; its timeout may have changed."""
        self._set(link, self._clock.seconds() + link.idle_timeout if link.idle_timeout else None)

    def forget(self, link: Idler) -> None:
        self._due.set(link, None)

    def stop(self) -> None:
        self._timer.stop()

    def _set(self, link: Idler, when: float | None) -> None:
        self._due.set(link, when)
        self._timer.want(self._due.next())

    def _expired(self, now: float) -> None:
        links: list[Any] = self._due.expired(now + GATHER)
        if links:
            counters = self.dataplane.counters([link.port for link in links])
            counters.addCallbacks(self._counted, self._failed, callbackArgs=(links,), errbackArgs=(links,))
        self._timer.want(self._due.next())

    def _counted(self, counters: dict[int, tuple[Any, ...]], links: list[Any]) -> None:
        now = self._clock.seconds()
        for link in links:
            counted = counters.get(link.port)
            # it may have gone down meanwhile, and is watched again when it is up again
            if counted is None or not link.idle_timeout or not link.up_since:
                continue
            since = counted[LAST_ACTIVITY]
            # never any traffic: since the network came up
            idle = now - link.up_since if since < 0 else min(since, now - link.up_since)
            self._set(link, now + max(link.idle_timeout - idle, GATHER))
            link.idle(idle)

    def _failed(self, failure: Any, links: list[Any]) -> None:
        failure.trap(DataPathError)
        now = self._clock.seconds()
        for link in links:
            if link.idle_timeout and link.up_since:
                self._set(link, now + max(link.idle_timeout, GATHER))
