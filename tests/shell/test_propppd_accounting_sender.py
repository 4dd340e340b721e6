"""From the accounting queue to servers that live, die and come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from prol2tp.aaa.records import Clocks
from prol2tp.aaa.sender import FIRST_RETRY, LAST_RETRY, Sender
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.outputs import ServerAlive, ServerDead
from prol2tp.radius.servers import ServerSettings
from prol2tp.spool.order import START, STOP
from tests.shell.accounting_world import DirectQueue, RadiusPeer
from tests.steps import steps

SERVERS = (ServerSettings("r1", "192.0.2.1", b"s"), ServerSettings("r2", "192.0.2.2", b"s", realms=("b.example",)))


class SenderWorld:
    def __init__(self, path: Path, window: int = 4) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.wall = 1_500_000_000.0
        self.queue = DirectQueue(str(path / "queue"), self.clock)
        self.port = RadiusPeer(SERVERS, window)
        clocks = Clocks(lambda: self.wall, self.clock.seconds, "boot1")
        self.sender = Sender(self.clock, self.queue, self.port, clocks)  # type: ignore[arg-type]
        self.queue.start()

    def put(self, session: str, realm: str = "", kind: int = START, **values: Any) -> None:
        status = {START: "Start", STOP: "Stop"}[kind]
        request = AccountingRequest(status, session, 1_500_000_000, user=f"u@{realm}" if realm else "u")
        self.queue.put(request, kind, **values)

    def settle(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        for _ in range(50):
            self.clock.advance(0)

    def dead(self, name: str) -> None:
        self.port.live(name, False)
        self.sender.server_changed(ServerDead(name, "acct"))
        self.settle()

    def alive(self, name: str) -> None:
        self.port.live(name, True)
        self.sender.server_changed(ServerAlive(name, "acct"))
        self.settle()


@pytest.fixture
def world(tmp_path: Path) -> SenderWorld:
    return SenderWorld(tmp_path)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the sender logs."""
    found: list[str] = []

    def observer(event: Any) -> None:
        if event.get("log_namespace") == "accounting":
            found.append(formatEvent(event))

    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


def test_a_window_is_kept_full_and_what_is_answered_is_gone_from_the_disk(world: SenderWorld) -> None:
    for number in range(10):
        world.put(f"s{number}")
    world.settle()
    assert world.port.sessions == ["s0", "s1", "s2", "s3"]
    world.port.answer(2)
    world.settle()
    assert world.port.sessions == ["s2", "s3", "s4", "s5"] and world.queue.status.depth == 8
    while world.port.asked:
        world.port.answer()
        world.settle()
    assert world.queue.status.depth == 0


def test_records_of_a_session_go_one_after_the_other(world: SenderWorld) -> None:
    world.put("s")
    world.put("s", kind=STOP)
    world.settle()
    assert [record.status for record, _ in world.port.asked] == ["Start"]
    world.port.answer()
    world.settle()
    assert [record.status for record, _ in world.port.asked] == ["Stop"]


@pytest.mark.parametrize(("at", "boot", "wall", "delay"), [
    (970.0, "boot1", 1_500_000_030.0, 30.0),
    (970.0, "boot1", 1_600_000_000.0, 30.0),
    (970.0, "boot1", 1_400_000_000.0, 30.0),
    (970.0, "boot0", 1_500_000_030.0, 30.0),
    (5.0, "", 1_500_000_030.0, 30.0),
    (970.0, "boot0", 1_400_000_000.0, 0.0),
    (2000.0, "boot1", 1_500_000_030.0, 0.0),
], ids=["", "clock set forward", "clock set back", "boot", "boot unknown", "boot and clock set back", "future"])
def test_the_delay_is_the_age_of_the_record_whatever_the_clock(
    world: SenderWorld, at: float, boot: str, wall: float, delay: float
) -> None:
    world.wall = wall
    world.put("s", at=at, boot=boot)
    world.settle()
    assert world.port.asked[0][0].delay == delay
    assert world.port.asked[0][0].event_timestamp == 1_500_000_000


def test_dead_servers_hold_back_their_own_realm_only(world: SenderWorld) -> None:
    for number in range(20):
        world.put(f"a{number}", "a.example")
    world.settle()
    world.put("b0", "b.example")
    world.dead("r1")
    assert sorted(world.port.cancelled) == ["a0", "a1", "a2", "a3"]
    assert world.port.sessions == ["b0"] and world.sender.waiting == 20
    world.port.answer()
    world.settle(100)
    taken = world.queue.takes
    world.settle(1000)
    assert world.port.sessions == [] and world.queue.takes == taken, "nothing is tried for nothing"
    world.alive("r2")
    assert world.port.sessions == []
    world.alive("r1")
    assert world.port.sessions == ["a0", "a1", "a2", "a3"] and world.sender.waiting == 0
    world.put("new", "a.example")
    while world.port.asked:
        world.port.answer()
        world.settle()
    assert world.queue.status.depth == 0


def test_what_waits_for_a_server_costs_nothing_while_others_are_served(world: SenderWorld) -> None:
    def costs(waiting: int) -> int:
        for number in range(waiting):
            world.put(f"a{waiting}.{number}", "a.example")
        world.dead("r1")
        world.settle()

        def serve() -> None:
            for number in range(20):
                world.put(f"b{waiting}.{number}", "b.example")
                world.settle()
                world.port.answer()
                world.settle()

        return steps(serve)

    few = costs(10)
    assert costs(500) < 1.5 * few


def test_nothing_is_read_while_all_servers_are_dead(world: SenderWorld) -> None:
    world.settle()
    world.dead("r1")
    world.dead("r2")
    taken = world.queue.takes
    for number in range(20):
        world.put(f"s{number}")
        world.settle()
    assert (world.queue.takes, world.sender.waiting, world.sender.busy) == (taken, 20, False)
    world.alive("r1")
    assert world.port.sessions == ["s0", "s1", "s2", "s3"] and world.sender.busy


def test_a_realm_without_a_server_waits_for_one(world: SenderWorld) -> None:
    world.port.core.set_servers(SERVERS[1:], 0.0)
    world.put("a", "a.example")
    world.settle(100)
    assert world.port.sessions == [] and world.sender.waiting == 1
    world.port.core.set_servers(SERVERS, 0.0)
    world.sender.servers_changed()
    world.settle()
    assert world.port.sessions == ["a"]


def test_what_living_servers_leave_unanswered_is_tried_later_and_later(
    world: SenderWorld, lines: list[str]
) -> None:
    world.put("s")
    world.put("other")
    world.settle()
    world.port.asked.reverse()
    world.port.answer()
    gaps = []
    for _ in range(12):
        world.port.no_answer()
        began = world.clock.seconds()
        while not world.port.asked:
            world.settle(1)
        gaps.append(world.clock.seconds() - began)
    assert gaps[0] == pytest.approx(FIRST_RETRY, abs=1) and gaps[-1] == pytest.approx(LAST_RETRY, abs=1)
    assert gaps == sorted(gaps)
    assert [line for line in lines if "acknowledges accounting record 1," in line] == lines and len(lines) == 1
    world.port.answer()
    world.settle()
    assert world.queue.status.depth == 0


@pytest.mark.parametrize("payload", [
    b"", b"\xff\xfe", b"[]", b"null", b'{"record": 5}',
    b'{"at":0,"boot":"","port":0,"baseline":[],"path":"","record":{}}',
    b'{"at":0,"boot":"","port":0,"baseline":[],"path":"","record":{"status":"Start","session_id":"x","nonsense":1}}',
    b'{"at":0,"boot":"","port":0,"baseline":[],"path":"","record":{"status":["Start"],"session_id":"x"}}',
    b'{"at":0,"boot":"","port":0,"baseline":[],"path":"","record":{"status":"Start","session_id":"x","user":7}}',
    b"[" * 100_000,
])
def test_a_record_that_cannot_be_read_is_put_aside_and_its_session_goes_on(
    world: SenderWorld, payload: bytes, request: pytest.FixtureRequest
) -> None:
    world.queue.append("s", START, payload, 1_500_000_000.0)
    world.put("s", kind=STOP)
    world.put("t")
    world.settle()
    assert world.port.sessions == ["t", "s"]
    assert (world.sender.refusals, world.queue.status.refused) == (1, 1)
    aside = world.queue.file._database.execute("SELECT session, payload FROM refused").fetchall()  # type: ignore[union-attr]
    assert aside == [("s", payload)]


def test_a_record_that_makes_no_packet_is_put_aside(world: SenderWorld) -> None:
    world.put("s")
    world.settle()
    world.port.no_answer("the packet is too long", unsendable=True)
    world.settle(2000)
    assert world.port.sessions == [] and world.queue.status.depth == 0 and world.queue.status.refused == 1


def test_after_its_stop_nothing_is_sent_and_what_was_answered_is_gone(world: SenderWorld) -> None:
    for number in range(6):
        world.put(f"s{number}")
    world.settle()
    world.port.answer()
    world.sender.stop()
    assert world.queue.acknowledged == [1]
    world.port.no_answer("the client stops")
    world.settle(1000)
    assert len(world.port.asked) == 2 and world.queue.takes == 1 and world.queue.status.depth == 5
    assert not world.clock.getDelayedCalls()
