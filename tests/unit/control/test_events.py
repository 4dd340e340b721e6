"""Events that are kept: who was away goes on where it was."""

import json

import pytest
from twisted.internet.defer import Deferred

from prol2tp.control import events as module
from prol2tp.control.command import Gone, Invalid
from prol2tp.control.events import Events

NAMES = ("up", "down")


class Connection:
    """Answers each Notify at once, or when `answer` is called."""

    def __init__(self, at_once=True):
        self.on_lost, self.calls, self.open, self.at_once = [], [], [], at_once

    def call(self, name, events, dropped, instance):
        assert name == "Notify"
        self.calls.append((json.loads(events.encoded), dropped))
        done = Deferred()
        if self.at_once:
            done.callback({})
        else:
            self.open.append(done)
        return done

    def answer(self):
        self.open.pop(0).callback({})

    def lose(self):
        for function in self.on_lost:
            function(self)
        for done in self.open:
            done.errback(Gone("lost"))

    @property
    def heard(self):
        return [event["sequence"] for events, _ in self.calls for event in events]

    @property
    def dropped(self):
        return sum(dropped for _, dropped in self.calls)


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now
    return Clock()


@pytest.fixture
def events(clock):
    return Events(NAMES, wall_clock=lambda: 5.0, monotonic=clock)


def subscribe(events, connection, names=None, **more):
    return events.responders()["Subscribe"](connection, events=names, **more)


def publish(events, count, name="up"):
    for _ in range(count):
        events.publish(name, number=events.sequence + 1)


def test_who_subscribes_hears_what_happens_from_then_on(events):
    publish(events, 3)
    connection = Connection()
    assert subscribe(events, connection) == {"instance": events.instance, "sequence": 3}
    publish(events, 2)
    assert (connection.heard, connection.dropped) == ([4, 5], 0)


def test_who_was_away_goes_on_after_the_last_event_that_it_has_seen(events):
    publish(events, 10)
    connection = Connection()
    subscribe(events, connection, instance=events.instance, after=7)
    assert (connection.heard, connection.dropped) == ([8, 9, 10], 0)


def test_of_another_run_of_the_daemon_all_events_that_are_kept_are_given(events):
    publish(events, 4)
    connection = Connection()
    subscribe(events, connection, instance="another", after=3000)
    assert connection.heard == [1, 2, 3, 4]


def test_events_that_are_kept_no_more_are_counted(events, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 100)
    publish(events, 250)
    connection = Connection()
    subscribe(events, connection, instance=events.instance, after=50)
    assert (connection.heard, connection.dropped) == (list(range(151, 251)), 100)
    assert len(events.kept) == 100


def test_only_events_that_were_asked_for_count_as_lost_to_a_slow_subscriber(events, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    slow = Connection(at_once=False)
    subscribe(events, slow, ["down"])
    publish(events, 1, "down")
    for _ in range(20):
        publish(events, 1, "up")
        publish(events, 1, "down")
    slow.answer()
    assert slow.dropped == 15 and len(slow.heard) == 6


def test_for_a_keeper_that_is_away_everything_is_kept(events, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    first = Connection(at_once=False)
    subscribe(events, first, keeper="scripts")
    publish(events, 5)
    first.answer()
    first.lose()
    publish(events, 100)
    second = Connection()
    subscribe(events, second, keeper="scripts")
    # the first has answered for one event, and was given four more
    assert (second.heard, second.dropped) == (list(range(2, 106)), 0)
    publish(events, 50)
    assert len(events.kept) == 10


def test_a_keeper_says_itself_what_it_has_where_its_answer_was_lost(events):
    first = Connection(at_once=False)
    subscribe(events, first, keeper="scripts")
    publish(events, 3)
    first.lose()
    second = Connection()
    subscribe(events, second, keeper="scripts", instance=events.instance, after=1)
    assert second.heard == [2, 3]


def test_a_keeper_is_not_given_what_it_did_not_want_at_that_time(events):
    first = Connection()
    subscribe(events, first, ["down"], keeper="scripts")
    publish(events, 1, "down")
    publish(events, 5, "up")
    first.lose()
    second = Connection()
    subscribe(events, second, ["up", "down"], keeper="scripts", instance=events.instance, after=1)
    assert second.heard == []


def test_what_is_kept_for_keepers_is_bounded_and_the_rest_is_counted(events, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    monkeypatch.setattr(module, "KEPT_FOR_KEEPERS", 50)
    events.expect("scripts")
    publish(events, 120)
    assert len(events.kept) == 50
    connection = Connection()
    subscribe(events, connection, keeper="scripts")
    assert (connection.heard, connection.dropped) == (list(range(71, 121)), 70)


def test_a_keeper_that_stays_away_is_forgotten(events, clock, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    events.expect("scripts")
    publish(events, 100)
    clock.now = module.KEEPER_PATIENCE + 1
    publish(events, 1)
    assert len(events.kept) == 10


def test_other_names_on_the_same_connection_lose_nothing(events):
    slow = Connection(at_once=False)
    subscribe(events, slow, ["down"])
    publish(events, 2, "down")
    publish(events, 1, "up")
    subscribe(events, slow, ["up", "down"])
    slow.answer()
    assert slow.heard == [1, 2, 3]


def test_keepers_are_few(events):
    for number in range(module.MAX_KEEPERS):
        subscribe(events, Connection(), keeper=f"k{number}")
    with pytest.raises(Invalid, match="keeper: there are 8 already"):
        subscribe(events, Connection(), keeper="one more")


def test_an_event_that_does_not_fit_is_told_without_its_data(events):
    connection = Connection()
    subscribe(events, connection)
    events.publish("up", text="x" * 70_000)
    ((told,), dropped), = connection.calls
    assert (told["event"], told["data"], dropped) == ("up", {}, 0)
