"""What a daemon that was killed has left: every session that had its Start gets its Stop, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prol2tp.aaa.records import Clocks, Stored, pack
from prol2tp.aaa.recovery import NAS_REBOOT, Recovery
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.propppd.history import LinkHistory
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.spool.history import History
from prol2tp.spool.order import START
from tests.shell.accounting_world import DirectQueue
from tests.shell.propppd_world import result
from tests.shell.test_propppd_accounting import IPV4, AccountingWorld


class KilledWorld(AccountingWorld):
    """Links whose records are in a file, and what a second run does with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.queue = DirectQueue(str(path / "queue"), self.clock)
        self.queue.file.open()
        self.accounting.append = self.queue.append
        self.near.instance = "path 1"
        self.boot, self.wall_step = "boot1", 0.0

    def end_all(self, run: str = "run2") -> Recovery:
        """What a new daemon does at its start."""
        clocks = Clocks(lambda: self.links.wall() + self.wall_step, self.clock.seconds, self.boot)
        self.history = LinkHistory(History(self.clock, lambda line: None))
        recovery = Recovery(self.queue, clocks, run, self.history.left_over)  # type: ignore[arg-type]
        live = result(recovery.snapshot(self.near))
        result(recovery.end_all(self.near, live))
        return recovery

    @property
    def stops(self) -> list[AccountingRequest]:
        return [stored.request for stored in self.queue.stored() if stored.request.status == "Stop"]

    @property
    def start(self) -> AccountingRequest:
        return self.queue.stored()[0].request


@pytest.fixture
def world(tmp_path: Path) -> KilledWorld:
    return KilledWorld(tmp_path)


def test_a_session_that_was_open_gets_a_stop_with_what_the_data_path_has_counted(world: KilledWorld) -> None:
    _, link = world.online(classes=(b"gold",))
    world.traffic(link, 10, 5)
    world.later(30)
    world.traffic(link, 10, 5)
    recovery = world.end_all()
    start, (stop,) = world.start, world.stops
    assert recovery.ended == 1 and recovery.unreadable == 0
    assert (stop.session_id, stop.user, stop.classes, stop.addresses, stop.port, stop.nas) == (
        start.session_id, start.user, start.classes, start.addresses, start.port, start.nas)
    assert (stop.terminate_cause, stop.session_time) == (NAS_REBOOT, 30)
    assert stop.event_timestamp == start.event_timestamp + 30
    counters = result(world.near.counters([link.port]))[link.port]
    assert 20 * len(IPV4) <= stop.input_octets < counters[4] and 10 * len(IPV4) <= stop.output_octets < counters[1]
    assert world.end_all().ended == 0, "once"


def test_a_port_that_ended_meanwhile_is_counted_too(world: KilledWorld) -> None:
    _, link = world.online()
    world.traffic(link, 10, 0)
    world.near.port_delete(link.port)
    world.end_all()
    assert world.stops[0].input_packets >= 10


@pytest.mark.parametrize(("instance", "boot"), [("path 2", "boot1"), ("", "boot1"), ("path 2", "boot2")])
def test_without_the_old_data_path_the_last_record_is_the_end(world: KilledWorld, instance: str, boot: str) -> None:
    world.accounting.interval = 10.0
    _, link = world.online()
    world.traffic(link, 10, 0)
    world.later(15)
    update = world.queue.stored()[1]
    world.traffic(link, 10, 0)
    world.later(2)
    world.near.instance, world.boot = instance, boot
    world.end_all()
    stored = world.queue.stored()[-1]
    stop = stored.request
    assert (stop.status, stop.terminate_cause) == ("Stop", NAS_REBOOT)
    for name in ("event_timestamp", "session_time", "input_octets", "output_octets", "input_packets"):
        assert getattr(stop, name) == getattr(update.request, name)
    assert stop.input_octets and (stored.at, stored.boot) == (update.at, "boot1")


def test_a_session_that_had_its_start_only_has_lasted_no_time_that_is_known(world: KilledWorld) -> None:
    world.online()
    world.later(5)
    world.near.instance = "path 2"
    world.end_all()
    (stop,) = world.stops
    assert (stop.session_time, stop.event_timestamp, stop.input_octets) == (0, world.start.event_timestamp, None)


def test_a_clock_that_was_set_does_not_make_the_session_longer(world: KilledWorld) -> None:
    world.online()
    world.later(20)
    world.wall_step = 86400.0
    world.end_all()
    (stop,) = world.stops
    assert (stop.session_time, stop.event_timestamp) == (20, world.start.event_timestamp + 20 + 86400)


def test_sessions_of_the_new_run_and_those_that_have_their_stop_are_left_alone(world: KilledWorld) -> None:
    _, link = world.online()
    world.online("s@example.com", framed_ip_address="10.1.2.4")
    link.lost("Lost Carrier", "")
    world.later(1)
    assert len(world.stops) == 1
    assert world.end_all(run=world.source.run).ended == 0
    assert world.end_all().ended == 1


def test_the_octets_of_a_link_on_the_same_port_are_counted_in_one_of_the_two_sessions(world: KilledWorld) -> None:
    _, link = world.online()
    world.traffic(link, 10, 0)
    recovery = Recovery(world.queue, Clocks(world.links.wall, world.clock.seconds, "boot1"), "run2")  # type: ignore[arg-type]
    live = result(recovery.snapshot(world.near))
    # what passes from now on belongs to the new run's session, which is there before the old one is ended
    world.traffic(link, 100, 0)
    result(recovery.end_all(world.near, live))
    assert 10 <= world.stops[0].input_packets < 100


def test_thousands_of_sessions_end_in_turns_and_what_cannot_be_read_costs_none_of_them(
    world: KilledWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prol2tp.aaa.recovery.AT_ONCE", 7)
    for number in range(50):
        request = AccountingRequest("Start", f"s{number:03}", 1_500_000_000)
        world.queue.append(request.session_id, START, pack(Stored(request, 1.0, "boot0", number)), 1.5e9)
        world.queue.append(f"x{number:03}", START, b"{", 1.5e9)
    recovery = world.end_all()
    assert (recovery.ended, recovery.unreadable) == (50, 50)
    assert [stop.session_id for stop in world.stops] == [f"s{number:03}" for number in range(50)]
    assert (world.end_all().ended, world.end_all().unreadable) == (0, 0)


def test_nothing_is_asked_of_the_data_path_when_nothing_is_left(world: KilledWorld) -> None:
    asked: list[Any] = []
    world.near.counters = lambda ports=None: asked.append(ports)  # type: ignore[method-assign, assignment, return-value]
    world.end_all()
    assert asked == []


def test_a_session_that_was_open_leaves_a_record_of_what_accounting_knew(world: KilledWorld) -> None:
    _, link = world.online()
    world.traffic(link, 10, 5)
    world.later(30)
    world.end_all()
    (stop,) = world.stops
    (row,) = json.loads(world.history.page(None, None, "r@example.com")["rows"].encoded)
    assert problems(row, RECORDS["history-row"], RECORDS) == []
    assert (row["cause"], row["acct_terminate_cause"]) == ("NAS Reboot", stop.terminate_cause)
    assert (row["type"], row["id"], row["address"]) == ("pppol2tp", link.carrier.id, "10.1.2.3")
    assert row["message"] == "the daemon was killed, or has crashed" and row["seconds_up"] >= 30
    assert (row["counters"]["rx_packets"], row["counters"]["tx_octets"]) == (
        stop.input_packets, stop.output_octets)
    assert row["ended_at"] == stop.event_timestamp == row["created_at"] + row["seconds_up"]
