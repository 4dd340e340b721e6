"""How fast the accounting queue takes records, and what that costs the reactor.

    python bench/accounting-queue.py [DIRECTORY]

For each load: appends/s; CPU of the process for one; from `append` to durable; how late a 1 ms reactor timer is
meanwhile; then how fast a sender empties the queue. The directory must be on the disk in question, not a tmpfs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import deferLater, react

from prol2tp.spool.order import START
from prol2tp.spool.queue import AccountingQueue

LOADS = ((50, 0.0, 20_000), (10, 0.01, 5_000), (1, 0.001, 2_000))
"""Appends in one turn, seconds between turns, records."""
PAYLOAD = bytes(300)
TICK = 0.001


class Ticks:
    """A timer that notes how late it is."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.running = True
        self._tick(None)

    def _tick(self, due: float | None) -> None:
        now = time.perf_counter()
        if due is not None:
            self.late.append(now - due)
        if self.running:
            reactor.callLater(TICK, self._tick, now + TICK)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int((len(values) - 1) * part)] * 1000


@inlineCallbacks
def measure(directory: str, each: int, pause: float, total: int) -> Any:
    queue = AccountingQueue(f"{directory}/queue-{each}.sqlite", reactor)
    yield queue.start()
    took: list[float] = []
    waiting: list[Deferred[Any]] = []
    ticks, began, cpu = Ticks(), time.perf_counter(), time.process_time()
    for number in range(total):
        if number % each == 0:
            yield deferLater(reactor, pause)
        asked = time.perf_counter()
        waiting.append(queue.append(f"session-{number}", START, PAYLOAD, 1.0))
        waiting[-1].addCallback(lambda _, asked=asked: took.append(time.perf_counter() - asked))
    yield DeferredList(waiting)
    wall, cpu, ticks.running = time.perf_counter() - began, time.process_time() - cpu, False
    print(
        f"{each:3} each {pause * 1000:3.0f} ms: {total / wall:6.0f}/s, {cpu / total * 1e6:4.0f} us CPU; durable after"
        f" p50 {percentile(took, 0.5):.2f} p99 {percentile(took, 0.99):.2f} ms; reactor late"
        f" p99 {percentile(ticks.late, 0.99):.2f} max {percentile(ticks.late, 1):.2f} ms", end="; ",
    )
    began = time.perf_counter()
    while records := (yield queue.take(256)):
        yield queue.acknowledge(record.id for record in records)
    print(f"emptied {total / (time.perf_counter() - began):.0f}/s")
    yield queue.stop()


@inlineCallbacks
def main(_: Any, parent: str = "/var/tmp") -> Any:
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        for load in LOADS:
            yield measure(directory, *load)


if __name__ == "__main__":
    react(main, sys.argv[1:])
