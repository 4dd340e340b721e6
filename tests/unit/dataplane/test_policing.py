"""The rate of a port in virtual time."""

from __future__ import annotations

import random

import pytest

from prol2tp.dataplane.policing import BURST_MIN, BURST_TIME, Policed, Policer


class Time:
    now = 100.0

    def seconds(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [64_000, 10_000_000, 1_000_000_000])
def test_what_passes_in_a_while_is_the_rate_and_one_burst(rate: int) -> None:
    time, chance = Time(), random.Random(rate)
    policer = Policer(rate, time.seconds)
    passed = offered = 0
    while time.now < 110.0:
        size = chance.randint(40, 1500)
        offered += size
        passed += size * policer.take(size, time.now)
        time.now += size * 8 / rate * chance.uniform(0.1, 0.9)
    burst = max(BURST_MIN, rate / 8 * BURST_TIME)
    allowed = rate / 8 * 10 + burst
    assert allowed - 3000 < passed <= allowed < offered


def test_traffic_below_the_rate_passes_whole() -> None:
    policer = Policer(1_000_000, Time().seconds)
    assert all(policer.take(1250, 100.0 + number * 0.0101) for number in range(5000))


def test_a_pause_gives_one_burst_and_no_more() -> None:
    policer = Policer(80, Time().seconds)
    assert not policer.take(BURST_MIN + 1, 100_000.0)
    assert policer.take(BURST_MIN, 100_000.0)
    assert not policer.take(1, 100_000.0)
    assert policer.take(1, 100_000.125)


def test_the_short_way_is_guarded_with_the_size_of_the_packet_alone() -> None:
    time, sent = Time(), []
    policer = Policer(80, time.seconds)
    transmit = policer.guard(sent.append, 10)
    transmit(bytes(BURST_MIN + 10))
    with pytest.raises(Policed) as caught:
        transmit(bytes(11))
    assert caught.value.errno is None and len(sent) == 1
    time.now += 0.125
    transmit(bytes(11))
    assert len(sent) == 2
