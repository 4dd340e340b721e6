"""Which LNS is tried first, in virtual time: preference, weight, lockout with a trial, drain."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prol2tp.daemons.proacd.balance import TRIAL_TIME, Balance
from tests.steps import steps


@dataclass
class Lns:
    name: str
    preference: int = 0
    weight: int = 1


A, B, C, D = Lns("a"), Lns("b"), Lns("c", 1), Lns("d", 1)


def balance(**words: float) -> Balance:
    return Balance(random.Random(1).random, **words)  # type: ignore[arg-type]


def names(ordered: list[Lns]) -> str:
    return "".join(one.name for one in ordered)


def test_lower_preferences_come_first_and_all_come_once() -> None:
    one = balance()
    for _ in range(100):
        ordered = names(one.order([D, B, C, A], 0.0))
        assert set(ordered[:2]) == {"a", "b"} and set(ordered[2:]) == {"c", "d"}


def test_equals_share_by_weight() -> None:
    one = balance()
    three, light = Lns("three", 0, 3), Lns("light", 0, 1)
    first = Counter(one.order([light, three], 0.0)[0].name for _ in range(4000))
    assert 2850 < first["three"] < 3150


def test_one_that_fails_is_tried_last_until_its_time_is_over() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 100.0, "no answer")
    for now in (100.0, 115.0, 129.9):
        assert names(one.order([A, B, C], now)) == "bca"
    assert one.rows(115.0)[0] | {"opened": 0} == {
        "name": "a", "state": "locked", "seconds": 15.0, "sessions": 0, "opened": 0, "failed": 1, "refused": 0,
        "reason": "no answer"}


def test_then_one_call_tries_it_and_the_others_go_elsewhere() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 0.0)
    assert names(one.order([A, B], 30.0)) == "ab"
    assert [names(one.order([A, B], 30.0 + late)) for late in (0.0, 1.0, 30.0)] == ["ba"] * 3
    one.opened(A, 45.0)
    assert {names(one.order([A, B], 46.0)) for _ in range(50)} == {"ab", "ba"}


def test_a_trial_that_fails_locks_it_out_again() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 0.0)
    assert names(one.order([A, B], 30.0)) == "ab"
    one.failed(A, 40.0)
    assert [names(one.order([A, B], now)) for now in (41.0, 69.0, 70.0)] == ["ba", "ba", "ab"]


def test_a_trial_of_which_nothing_is_heard_is_made_again_by_another_call() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 0.0)
    assert names(one.order([A, B], 30.0)) == "ab"
    assert names(one.order([A, B], 30.0 + TRIAL_TIME - 1)) == "ba"
    assert names(one.order([A, B], 30.0 + TRIAL_TIME)) == "ab"


def test_a_worse_one_is_not_tried_while_a_better_one_is_up() -> None:
    one = balance(lockout_time=30.0)
    one.failed(C, 0.0)
    assert {names(one.order([A, C], 40.0)) for _ in range(3)} == {"ac"}
    one.failed(A, 41.0)
    assert names(one.order([A, C], 42.0)) == "ca"


def test_many_calls_that_fail_together_do_not_prolong_the_lockout() -> None:
    one = balance(lockout_time=30.0)
    for late in range(20):
        one.failed(A, late / 2)
    assert names(one.order([A, B], 30.0)) == "ab"
    assert one.rows(30.0)[0]["failed"] == 20


def test_when_all_are_locked_out_the_one_whose_time_ends_first_is_tried_first() -> None:
    one = balance(lockout_time=30.0)
    one.failed(B, 0.0)
    one.failed(A, 5.0)
    assert names(one.order([A, B, C], 6.0)) == "cba"
    one.failed(C, 7.0)
    assert names(one.order([A, B, C], 8.0)) == "bac"


def test_one_that_refuses_a_session_lives() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 0.0)
    one.refused(A, 1.0, "no resources")
    assert {names(one.order([A, B], 2.0)) for _ in range(50)} == {"ab", "ba"}
    assert (one.rows(2.0)[0]["state"], one.rows(2.0)[0]["reason"]) == ("up", "no resources")


def test_no_call_goes_to_one_that_is_drained() -> None:
    one = balance(lockout_time=30.0)
    one.opened(A, 0.0)
    one.drain("a", True)
    assert names(one.order([A, B], 1.0)) == "b" and one.order([A], 1.0) == []
    one.failed(A, 2.0)
    assert one.order([A], 100.0) == []
    one.drain("a", False)
    assert names(one.order([A], 100.0)) == "a"
    one.drain("", True)
    assert one.order([A, B], 100.0) == []
    one.drain("", False)
    assert len(one.order([A, B], 100.0)) == 2
    one.drain("nobody", False)
    assert [row["name"] for row in one.rows(0.0)] == ["a"]


def test_a_lockout_can_be_ended_by_hand_and_switched_off() -> None:
    one = balance(lockout_time=30.0)
    one.failed(A, 0.0)
    assert one.unlock("a") and not one.unlock("a") and not one.unlock("nobody")
    assert {names(one.order([A, B], 2.0)) for _ in range(50)} == {"ab", "ba"}
    never = balance(lockout_time=0.0)
    never.failed(A, 0.0)
    assert {names(never.order([A, B], 2.0)) for _ in range(50)} == {"ab", "ba"}


def test_the_table_is_bounded_and_keeps_what_matters() -> None:
    one = balance(lockout_time=30.0, most=10)
    one.drain("kept", True)
    one.opened(Lns("online"), 0.0)
    for number in range(1000):
        one.refused(Lns(f"x{number}"), 0.0)
    assert len(one) == 10
    kept = {row["name"] for row in one.rows(0.0)}
    assert {"kept", "online", "x999"} <= kept
    for number in range(1000):
        one.failed(Lns(f"y{number}"), 0.0)
    assert len(one) == 10 and {"kept", "online"} <= {row["name"] for row in one.rows(0.0)}
    for number in range(1000):
        one.drain(f"z{number}", True)
    assert len(one) == 10
    one.closed(Lns("online"), 0.0)


def test_making_room_costs_the_same_however_many_are_known() -> None:
    def cost(most: int) -> int:
        one = balance(most=most)
        for number in range(most):
            one.refused(Lns(f"x{number}"), 0.0)
        return steps(one.refused, Lns("new"), 0.0)

    # lines of others, of the collector's callbacks too, may be counted: what grew with the number would be thousands
    assert cost(4000) <= cost(100) + 100


class Life(RuleBasedStateMachine):
    """Any sequence of calls that come up, fail, are refused and end, by hand and by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.balance = Balance(random.Random(3).random, 30.0)
        self.now = 0.0
        self.all = [Lns("a", 0, 1), Lns("b", 0, 5), Lns("c", 1, 1), Lns("d", 2, 2)]
        self.up: Counter[str] = Counter()
        self.drained: set[str] = set()

    @rule(seconds=st.sampled_from((0.0, 0.5, 10.0, 30.0, 100.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(outcome=st.sampled_from(("opened", "failed", "refused", "nothing")))
    def a_call(self, outcome: str) -> None:
        ordered = self.balance.order(self.all, self.now)
        assert sorted(names(ordered)) == sorted({one.name for one in self.all} - self.drained)
        states = {row["name"]: row["state"] for row in self.balance.rows(self.now)}
        better = [one for one in ordered if states.get(one.name, "up") == "up"]
        for one, other in zip(better, better[1:], strict=False):
            assert one.preference <= other.preference
        locked = [at for at, one in enumerate(ordered) if states.get(one.name) == "locked"]
        assert locked == list(range(len(ordered) - len(locked), len(ordered))) or not locked or all(
            states.get(one.name) in ("locked", "trying") for one in ordered[locked[0]:])
        if not ordered or outcome == "nothing":
            return
        getattr(self.balance, outcome)(ordered[0], self.now)
        self.up[ordered[0].name] += outcome == "opened"

    @precondition(lambda self: any(self.up.values()))
    @rule()
    def a_session_ends(self) -> None:
        name = next(name for name, count in self.up.items() if count)
        self.up[name] -= 1
        self.balance.closed(Lns(name), self.now)

    @rule(name=st.sampled_from("abcd"), on=st.booleans())
    def drain(self, name: str, on: bool) -> None:
        self.balance.drain(name, on)
        (self.drained.add if on else self.drained.discard)(name)

    @invariant()
    def sessions_are_counted(self) -> None:
        assert {row["name"]: row["sessions"] for row in self.balance.rows(self.now) if row["sessions"]} == {
            name: count for name, count in self.up.items() if count}

    @invariant()
    def at_most_one_tries(self) -> None:
        for row in self.balance.rows(self.now):
            assert row["state"] in ("up", "locked", "due", "trying", "draining")
            assert 0 <= row["seconds"] <= 30


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
