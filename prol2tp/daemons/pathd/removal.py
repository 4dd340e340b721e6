"""Taking many things away, in slices: packets and other daemons have their turns between."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

SLICE = 0.004
"""Seconds in one turn of the reactor."""


class Removal:
    """Takes the steps of an iterator, each a Deferred of its own.

    :ivar done: fires when all steps have been taken: the tables are empty.
    :ivar gone: fires when all that they began has come to its end too.
    """

    def __init__(self, reactor: IReactorTime, steps: Iterator[Deferred[Any]]) -> None:
        self.done: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._reactor = reactor
        self._steps = steps
        self._waiting = 1
        self._turn()

    def finish(self) -> None:
        """Take the rest at once."""
        self._take(None)

    def _turn(self) -> None:
        self._take(monotonic() + SLICE)

    def _take(self, until: float | None) -> None:
        if self.done.called:
            return
        for step in self._steps:
            self._waiting += 1
            step.addBoth(self._ended)
            if until is not None and monotonic() >= until:
                self._reactor.callLater(0, self._turn)
                return
        self.done.callback(None)
        self._ended(None)

    def _ended(self, _: object) -> None:
        self._waiting -= 1
        if not self._waiting:
            self.gone.callback(None)
