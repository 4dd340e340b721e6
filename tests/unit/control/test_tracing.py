"""Who follows what: lines for those that they are for, held until the user is known, bounded."""

import json

import pytest
from twisted.internet.defer import Deferred

from prol2tp.control import tracing
from prol2tp.control.command import Invalid
from prol2tp.control.commands.shared import TRACE_LINE
from prol2tp.control.shapes import problems
from prol2tp.control.tracing import Tracers


class Connection:
    def __init__(self):
        self.on_lost, self.lines, self.dropped, self.open, self.at_once = [], [], 0, [], True

    def call(self, name, lines, dropped):
        assert name == "Traced"
        self.lines += json.loads(lines.encoded)
        self.dropped += dropped
        done = Deferred()
        if self.at_once:
            done.callback({})
        else:
            self.open.append(done)
        return done

    @property
    def texts(self):
        return [line["text"] for line in self.lines]


def follow(tracers, packets=False, **subject):
    connection = Connection()
    tracers.responders()["Trace"](connection, subject=subject, packets=packets)
    return connection


LINK = {"tunnel": 7, "session": 8, "peer": "192.0.2.1", "mac": "", "user": "u1"}


@pytest.mark.parametrize(("subject", "heard"), [
    ({"tunnel": 7}, True), ({"tunnel": 7, "session": 8}, True), ({"session": 9}, False), ({"user": "u1"}, True),
    ({"peer": "192.0.2.1", "user": "u2"}, False), ({"mac": "00:11:22:33:44:55"}, False)])
def test_all_that_was_given_has_to_fit(subject, heard):
    tracers = Tracers(wall=lambda: 5.0)
    connection = follow(tracers, **subject)
    assert tracers.wants(LINK) == heard
    tracers.tell(1, LINK, "session-1", "phase", "up")
    assert connection.texts == (["up"] if heard else [])
    for line in connection.lines:
        assert problems(line, TRACE_LINE, {}) == []


def test_what_came_before_the_user_was_known_is_told_when_it_is_he():
    tracers = Tracers()
    first, second = follow(tracers, user="u1"), follow(tracers, user="u2")
    nobody = {**LINK, "user": ""}
    assert tracers.wants(nobody)
    for number in range(3):
        tracers.tell(1, nobody, "session-1", "phase", str(number))
        tracers.tell(2, nobody, "session-2", "phase", f"other {number}")
    assert first.lines == second.lines == []
    tracers.tell(1, LINK, "session-1", "phase", "known")
    tracers.tell(2, {**LINK, "user": "u3"}, "session-2", "phase", "known")
    assert (first.texts, second.texts) == (["0", "1", "2", "known"], [])
    assert not any(tracer.held for tracer in tracers._all.values())


def test_what_is_held_is_bounded(monkeypatch):
    monkeypatch.setattr(tracing, "HELD", 5)
    tracers = Tracers()
    follow(tracers, user="u1")
    for number in range(1000):
        tracers.tell(number % 9, {**LINK, "user": ""}, "x", "phase", "text")
    (tracer,) = tracers._all.values()
    assert len(tracer.held) <= 5 and all(len(held) <= tracing.HELD_EACH for held in tracer.held.values())


def test_packets_are_for_those_who_want_them():
    tracers = Tracers()
    with_packets, without = follow(tracers, packets=True, tunnel=7), follow(tracers, tunnel=7)
    tracers.tell(1, LINK, "x", "packet", "", b"\x01\x02", network="ppp", direction="in")
    tracers.tell(1, LINK, "x", "message", "send ICRQ")
    assert [line["packet"] for line in with_packets.lines] == ["0102", ""]
    assert without.texts == ["send ICRQ"] and without.lines[0]["packet"] == ""


def test_who_is_too_slow_loses_the_oldest_lines_and_is_told_how_many(monkeypatch):
    monkeypatch.setattr(tracing, "QUEUE", 10)
    tracers = Tracers()
    slow = follow(tracers, tunnel=7)
    slow.at_once = False
    for number in range(31):
        tracers.tell(1, LINK, "x", "message", str(number))
    slow.open.pop().callback({})
    assert (slow.texts, slow.dropped) == (["0", *map(str, range(21, 31))], 20)


def test_a_trace_ends_with_its_connection_and_both_are_said():
    changes = []
    tracers = Tracers(lambda: changes.append(bool(tracers)))
    connection = follow(tracers, tunnel=7)
    assert tracers
    for function in connection.on_lost:
        function(connection)
    assert not tracers and changes == [True, False]


@pytest.mark.parametrize("subject", [{}, None, [], {"moon": 1}, {"tunnel": "7"}, {"tunnel": True}, {"user": 5}])
def test_a_subject_that_is_none_is_refused(subject):
    with pytest.raises(Invalid, match="subject: "):
        Tracers().responders()["Trace"](Connection(), subject=subject, packets=None)
