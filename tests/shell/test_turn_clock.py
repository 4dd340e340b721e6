"""The daemons' clock: how often it is read, and that timers come when they are due."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from twisted.internet.epollreactor import EPollReactor

from prol2tp.net.turnclock import TurnClock


class Turning:
    """A reactor of which only the turns are there; each waits until `wake` and then calls `serve`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0
        self.clock = TurnClock(self.read)
        self.serve = lambda: None
        self.wait = lambda: None
        self.seconds = lambda: 0.0
        self.clock.rule(self)

    def read(self) -> float:
        self.reads += 1
        return self.now

    def doIteration(self, delay: float | None) -> None:  # noqa: N802 - Twisted's name
        self.wait()
        self.now += delay or 0.0
        self.serve()


@pytest.fixture
def turning() -> Iterator[Turning]:
    yield Turning()


def test_time_stands_still_within_a_turn_and_has_passed_in_the_next(turning: Turning) -> None:
    seen = []

    def serve() -> None:
        for _ in range(10):
            seen.append(turning.seconds())
            turning.now += 0.25

    turning.serve = serve
    turning.doIteration(5.0)
    assert seen == [5.0] * 10 and turning.reads == 1
    assert turning.seconds() == turning.seconds() == 7.5 and turning.reads == 2
    turning.doIteration(1.0)
    assert seen[10:] == [8.5] * 10 and turning.reads == 3


def test_it_is_read_each_time_before_the_reactor_turns(turning: Turning) -> None:
    turning.now = 1.0
    assert turning.seconds() == 1.0
    turning.now = 2.0
    assert turning.seconds() == 2.0


def test_another_thread_does_not_stop_the_time_while_the_reactor_waits(turning: Turning) -> None:
    def wait() -> None:
        other = threading.Thread(target=turning.seconds)
        other.start()
        other.join()

    turning.doIteration(0.0)
    turning.wait = wait
    seen = []
    turning.serve = lambda: seen.append(turning.seconds())
    turning.doIteration(9.0)
    assert seen == [9.0]


def test_a_reactor_that_it_rules_calls_in_order_and_not_too_early() -> None:
    reactor = EPollReactor()
    clock = TurnClock()
    clock.rule(reactor)
    called: list[tuple[str, bool]] = []
    begun = clock.seconds()
    for name, delay in (("second", 0.02), ("first", 0.01), ("now", 0.0)):
        reactor.callLater(delay, lambda name=name, delay=delay: called.append(
            (name, reactor.seconds() - begun >= delay)))
    reactor.callLater(0.03, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert called == [("now", True), ("first", True), ("second", True)]
