"""The order in which `prol2tp trace` shows the lines of several daemons."""

from __future__ import annotations

from prol2tp.cli.trace import HOLD, Held


def line(time: float) -> dict[str, object]:
    return {"time": time, "who": "x", "text": str(time)}


def test_lines_of_daemons_are_shown_in_the_order_of_their_times() -> None:
    held = Held()
    for daemon, time in (("propppd", 10.2), ("propppd", 10.3), ("prol2tpd", 10.1), ("prol2tpd", 10.25)):
        held.add(daemon, line(time))
    assert list(held.ready(10.4)) == []
    shown = [(daemon, one["time"]) for daemon, one in held.ready(10.25 + HOLD)]
    assert shown == [("prol2tpd", 10.1), ("propppd", 10.2), ("prol2tpd", 10.25)]
    assert [one["time"] for _, one in held.ready()] == [10.3]


def test_lines_of_one_time_keep_the_order_they_came_in() -> None:
    held = Held()
    for daemon in ("prol2tpd", "propppd", "prol2tpd"):
        held.add(daemon, line(1.0))
    assert [daemon for daemon, _ in held.ready()] == ["prol2tpd", "propppd", "prol2tpd"]


def test_there_is_a_time_to_wait_while_lines_are_held() -> None:
    held = Held()
    assert held.wait(5.0) is None
    held.add("propppd", line(5.0))
    assert held.wait(5.0 + HOLD / 2) == HOLD / 2
    assert held.wait(9.0) == 0.0


def test_a_clock_that_was_set_back_holds_nothing_for_long() -> None:
    held = Held()
    held.add("propppd", line(5000.0))
    assert held.wait(10.0) == HOLD
    assert [one["time"] for _, one in held.ready(10.0)] == [5000.0]
