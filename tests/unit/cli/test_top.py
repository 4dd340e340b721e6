"""`prol2tp top` without a terminal: rates, walks through tunnels, what fits on a screen."""

from __future__ import annotations

import pytest

from prol2tp.cli.fitting import Column, fit, table
from prol2tp.cli.top import BAD, KEPT, SORTS, VIEWS, Board, Walk, quantile
from prol2tp.cli.traffic import scaled, total
from tests.golden.boards import board, gone, reading, row
from tests.steps import steps


def rates(made: Board, name: str) -> list[str]:
    return next(text for _, text in made.lines(120) if text.startswith(name)).split()


def test_rates_are_those_since_the_last_reading_and_of_the_last_minute():
    made = Board(2.0)
    for second in range(0, 121, 2):
        made.add(reading(float(second), new=second if second <= 90 else 90))
    assert rates(made, "Sessions")[3:7] == ["0.0", "0.5", "0.0", "0.0"]


def test_a_daemon_that_has_started_anew_has_no_rate_until_the_next_reading():
    made = Board(2.0)
    made.add(reading(0.0, new=100))
    made.add(reading(2.0, new=3))
    assert rates(made, "Sessions")[3:5] == ["-", "-"]
    made.add(reading(4.0, new=5))
    assert rates(made, "Sessions")[3:5] == ["1.0", "-"]


def test_memory_does_not_grow_with_time():
    made = Board(2.0)
    for second in range(1000):
        made.add(reading(float(second)))
    assert len(made._readings) == 61


def test_set_up_times_are_those_of_the_last_minute():
    made = board()
    assert rates(made, "Sessions")[7:] == ["0.05", "s", "1", "s"]


@pytest.mark.parametrize(("numbers", "part", "text"), [
    ([0, 0, 0], 0.5, "-"), ([10, 0, 0], 0.95, "0.1 s"), ([5, 5, 0], 0.5, "0.1 s"), ([5, 5, 0], 0.95, "1 s"),
    ([0, 0, 3], 0.5, ">1 s")])
def test_a_quantile_is_the_bound_below_which_so_many_are(numbers, part, text):
    assert quantile([0.1, 1.0], numbers, part) == text


def test_a_walk_keeps_the_biggest_and_says_by_how_much_they_changed():
    walk = Walk()
    walk.page([row(number, number) for number in range(1, 2 * KEPT)], last=True)
    assert [kept["tunnel_id"] for kept, _ in walk.tunnels[:2]] == [2 * KEPT - 1, 2 * KEPT - 2]
    assert len(walk.tunnels) == KEPT and walk.tunnels[0][1] is None
    walk.page([row(7, 9000)], last=False)
    assert walk.tunnels[0][0]["tunnel_id"] == 2 * KEPT - 1, "half a walk must not be seen"
    walk.page([row(8, 9), row(9, 9), row(5000, 4)], last=True)
    assert [(kept["tunnel_id"], change) for kept, change in walk.tunnels] == [(7, 8993), (8, 1), (9, 0), (5000, 4)]


@pytest.mark.parametrize(("word", "first"), [("sessions", 3), ("change", 2), ("newest", 1), ("oldest", 4)])
def test_tunnels_can_be_sorted_in_every_way(word, first):
    walk = Walk()
    before = [row(1, 5, state_seconds=1), row(2, 50, state_seconds=2), row(3, 90), row(4, 1, state_seconds=1e6)]
    walk.page(before, last=True)
    walk.page([before[0], {**before[1], "sessions": 10}, *before[2:]], last=True)
    while walk.sort.word != word:
        walk.next_sort()
    assert walk.tunnels[0][0]["tunnel_id"] == first


def test_all_orders_come_by_the_key():
    walk = Walk()
    seen = []
    for _ in SORTS:
        seen.append(walk.sort)
        walk.next_sort()
    assert tuple(seen) == SORTS and walk.sort == SORTS[0]


def test_a_walk_that_could_not_be_ended_leaves_nothing_behind():
    walk = Walk()
    walk.page([row(1, 5)], last=False)
    walk.restart()
    walk.page([row(2, 6)], last=True)
    assert [kept["tunnel_id"] for kept, _ in walk.tunnels] == [2]


@pytest.mark.parametrize("height", range(0, 40))
@pytest.mark.parametrize("width", [1, 20, 79, 200])
def test_a_screen_of_any_size_is_filled_and_never_left(width, height):
    lines = board().lines(width, height)
    assert len(lines) == height
    assert all(len(text) <= width for _, text in lines)


def test_a_short_list_of_drops_leaves_its_room_to_the_tunnels():
    texts = [text for _, text in board().lines(100, 40)]
    assert sum("192.0.2." in text for text in texts[14:]) == 18
    assert texts[-5] == "Recent drops" and texts[-1].startswith("q quit")
    made = board()
    made.last.drops = made.last.drops * 25
    texts = [text for _, text in made.lines(100, 40)]
    assert sum("192.0.2." in text for text in texts[14:]) == 10


def test_scrolling_ends_at_the_last_tunnel():
    made = board()
    made.scroll(-5)
    assert made.offset == 0
    made.scroll(1000)
    assert made.offset == 29
    assert any(text.startswith("Tunnels by sessions: 30 to 30 of 30") for _, text in made.lines(80, 24))


def test_a_daemon_that_is_gone_is_said_in_one_line_in_its_own_style():
    style, text = gone().lines(80, 10)[0]
    assert style == BAD and text.startswith("prol2tpd does not answer: no such\\x0asocket")


def test_what_peers_call_themselves_cannot_break_the_screen():
    made = board()
    made.walk.page([row(1, 1, name="\x1b[2J")], last=True)
    made.last.drops[0] = {**made.last.drops[0], "user": "a\nb", "reason": "\x1b]0;x\x07"}
    assert all(text.isprintable() for _, text in made.lines(200))


@pytest.mark.parametrize(("text", "width", "fitting"), [
    ("abc", 2, "ab"), ("日本語", 5, "日本"), ("e\u0301e\u0301", 1, "e\u0301"), ("näh", 10, "näh"), ("日", 1, "")])
def test_text_is_cut_by_the_columns_that_it_takes(text, width, fitting):
    assert fit(text, width) == fitting


def test_a_reading_costs_no_more_after_a_day():
    made = Board(2.0)
    for second in range(0, 200, 2):
        made.add(reading(float(second)))
    early = steps(made.add, reading(200.0))
    for second in range(202, 2000, 2):
        made.add(reading(float(second)))
    late = steps(made.add, reading(2000.0))
    assert late == early


def test_the_first_walk_is_seen_as_far_as_it_is():
    walk = Walk()
    walk.page([row(1, 5)], last=False)
    assert len(walk.tunnels) == 1 and not walk.ended
    walk.page([row(2, 6)], last=True)
    assert len(walk.tunnels) == 2 and walk.ended


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (999.4, "999"), (999.6, "1.00k"), (12_340, "12.3k"), (310e6, "310M"), (1.2345e9, "1.23G"),
    (999.96e9, "1.00T"), (5e15, "5.00e+03T")])
def test_numbers_have_three_digits_and_a_letter(value, text):
    assert scaled(value) == text


def test_what_is_not_measured_yet_is_said():
    assert total("L2TP", {"age": None}) == "Traffic   L2TP is being measured"


def test_columns_go_by_their_rank_until_the_line_fits():
    columns = (Column("a", "<", 5), Column("b", "<", 5, 2), Column("c", "<", 5, 1), Column("d"))
    rows = [["1", "2", "3", "some words that are cut"]]
    assert [table(columns, rows, width)[0].split() for width in (None, 40, 29, 24, 1)] == [
        ["a", "b", "c", "d"], ["a", "b", "c", "d"], ["a", "c", "d"], ["a", "c", "d"], ["a", "d"]]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [1, 20, 79, 200])
def test_every_list_fits_and_scrolls(view, width):
    made = board()
    while made.view != view:
        made.next_view()
    made.scroll(1000)
    assert made.offset == (29 if view == VIEWS[0] else 1)
    assert all(len(text) <= width for _, text in made.lines(width, 30))


def test_a_server_that_is_dead_and_a_queue_that_is_old_stand_out():
    lines = board().lines(100)
    assert [style for style, text in lines if "is dead for" in text] == [BAD]
    made = board()
    made.last.servers = [server | {"alive": True} for server in made.last.servers]
    assert not any("is dead for" in text for _, text in made.lines(100))
