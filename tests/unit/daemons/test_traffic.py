"""The walk that measures who moves how much."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from prol2tp.control.command import Invalid
from prol2tp.control.paging import Roll
from prol2tp.daemons.traffic import AT_ONCE, LINGER, MOST, PAUSE, Traffic
from tests.steps import steps


class Path:
    """Ports 1 to `count`: each moves ten octets a second for each of its number, a tenth as much the other way."""

    def __init__(self, count: int, groups: bool = True) -> None:
        self.clock = Clock()
        self.roll = Roll(range(1, count + 1))
        self.asked: list[int] = []
        self.broken = False
        self.traffic = Traffic(self.clock, self.roll, lambda number: number, self.counters,
                               (lambda number: number % 2) if groups else None)

    def counters(self, ports: list[int]) -> Deferred[dict[int, tuple]]:
        self.asked.append(len(ports))
        if self.broken:
            return fail(OSError("gone"))
        now = self.clock.seconds()
        return succeed({port: self.row(port, now) for port in ports if port in self.roll})

    @staticmethod
    def row(port: int, now: float) -> tuple[Any, ...]:
        rx, tx = int(now * 10 * port), int(now * port)
        return (tx // 10, tx, 0, rx // 10, rx, 0, 0, 0, -1.0)

    def later(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)


def test_nothing_is_read_until_somebody_asks():
    path = Path(5)
    path.later(100)
    assert not path.asked and path.traffic.record()["age"] is None


def test_the_busiest_come_first_and_all_are_summed():
    path = Path(40)
    assert path.traffic.ask(3) == 3
    path.later(5)
    record = path.traffic.record()
    assert record["measured"] == 40 and record["age"] < 1.2
    assert record["rx_bits"] == pytest.approx(8 * 10 * sum(range(1, 41)), rel=0.01)
    assert record["tx_bits"] == pytest.approx(8 * sum(range(1, 41)), rel=0.05)
    assert record["rx_packets"] == pytest.approx(sum(range(1, 41)), rel=0.05)
    assert [key for key, _ in path.traffic.busiest[:3]] == [40, 39, 38]
    (first, even), (second, odd) = path.traffic.groups
    assert (first, second) == (0, 1) and even.bits > odd.bits


def test_a_walk_through_many_reads_some_at_a_time_and_keeps_a_bounded_number():
    path = Path(1800, groups=False)
    path.traffic.ask()
    path.later(4)
    assert max(path.asked) == AT_ONCE and path.traffic.record()["measured"] == 1800
    assert len(path.traffic.busiest) == MOST and path.traffic.groups == []


def test_an_answer_costs_the_same_however_many_there_are():
    few, many = Path(50), Path(5000)
    for path in (few, many):
        path.traffic.ask()
        path.later(6)
    assert steps(many.traffic.ask) == steps(few.traffic.ask)
    assert steps(many.traffic.record) == steps(few.traffic.record)


def test_the_walks_end_when_nobody_asks_any_more_and_leave_nothing():
    path = Path(10)
    path.traffic.ask()
    path.later(LINGER + 5)
    read = len(path.asked)
    path.later(60)
    assert len(path.asked) == read and not path.clock.getDelayedCalls()
    assert path.traffic.record()["age"] is None and not path.traffic.busiest and not path.traffic._before


def test_who_comes_and_goes_between_walks_has_no_rate_that_is_not_true():
    path = Path(3)
    path.traffic.ask()
    path.later(3)
    path.roll.discard(3)
    path.roll.add(4)
    path.later(1.2 + PAUSE)
    assert {key for key, _ in path.traffic.busiest} <= {1, 2, 4}
    path.later(3)
    assert [key for key, _ in path.traffic.busiest] == [4, 2, 1]


def test_counters_that_begin_anew_make_no_rate_below_nothing():
    path = Path(1)
    path.traffic.ask()
    path.later(2)
    path.row = lambda port, now: (0,) * 8 + (-1.0,)  # type: ignore[method-assign]
    path.later(3)
    record = path.traffic.record()
    assert record["rx_bits"] == 0 and path.traffic.busiest == []


def test_a_data_path_that_is_gone_is_asked_again_with_the_next_question():
    path = Path(4)
    path.traffic.ask()
    path.later(3)
    path.broken = True
    path.later(3)
    read = len(path.asked)
    path.later(5)
    assert len(path.asked) == read and path.traffic.record()["age"] is None
    path.broken = False
    path.traffic.ask()
    path.later(3)
    assert path.traffic.record()["measured"] == 4


def test_with_nothing_there_that_is_what_is_said():
    path = Path(0)
    path.traffic.ask()
    path.later(1)
    assert path.traffic.record() == {"age": pytest.approx(0, abs=1.2), "took": 0.0, "measured": 0, "rx_bits": 0,
                                     "tx_bits": 0, "rx_packets": 0.0, "tx_packets": 0.0}


@pytest.mark.parametrize("limit", [0, -1, MOST + 1])
def test_a_limit_that_cannot_be_is_refused(limit):
    path = Path(1)
    with pytest.raises(Invalid, match="limit: must be 1 to 100"):
        path.traffic.ask(limit)
    assert not path.clock.getDelayedCalls()
