"""What thousands of ports cost others when their daemon, or their tunnel, goes: slices of a few milliseconds."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from prol2tp.daemons.pathd import removal as removals
from prol2tp.daemons.pathd.owner import Owner
from prol2tp.daemons.pathd.removal import SLICE, Removal
from prol2tp.daemons.pathd.server import PathServer
from prol2tp.dataplane import records
from prol2tp.dataplane.channel import Channel
from prol2tp.dataplane.interface import IN_USE, NOT_FOUND, NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.plane import NoEvents
from tests.shell.propppd_world import result
from tests.unit.dataplane.test_channel import Reactor

ADDRESS, PEER = ("127.0.0.1", 1701), ("127.0.0.2", 1701)


class Busy(Clock):
    """Time passes while things are done: a millisecond each time somebody looks."""

    def seconds(self) -> float:
        self.rightNow += 0.001
        return self.rightNow

    def turn(self) -> None:
        """What is due, and not what that asks for."""
        due, self.calls = [call for call in self.calls if call.getTime() <= self.rightNow], []
        for call in due:
            call.func(*call.args, **call.kw)


class Sent:
    """A channel that remembers."""

    crowded = False
    closed = False

    def __init__(self) -> None:
        self.records: list[records.Raw] = []

    def send(self, record: bytes) -> None:
        self.records += records.split(record)

    def send_descriptor(self, record: bytes, descriptor: int) -> None:
        os.close(descriptor)
        self.send(record)


class World:
    """A pathd with prol2tpd, which has a tunnel of ports, and propppd, which has put interfaces on them."""

    def __init__(self, ports: int) -> None:
        self.clock = Busy()
        self.plane = MemoryDataPlane()
        result(self.plane.start(NoEvents()))
        self.server = PathServer(self.clock, self.plane, "/nowhere")
        self.prol2tpd, self.propppd = self.owner("prol2tpd"), self.owner("propppd")
        self.answer(self.prol2tpd, "listen", ADDRESS, "udp")
        (self.listener,) = self.plane.listeners
        self.tunnel = self.make_tunnel()
        self.ports = [self.answer(self.prol2tpd, "session_add", *self.fields(SessionSpec(self.tunnel, n, n)))[0]
                      for n in range(1, ports + 1)]
        for port in self.ports:
            self.answer(self.propppd, "netif_attach", port, *self.fields(NetifSpec()))

    def owner(self, name: str) -> Owner:
        owner = self.server.join(name, Sent())  # type: ignore[arg-type]
        return owner

    def make_tunnel(self) -> int:
        return self.answer(self.prol2tpd, "tunnel_add", *self.fields(TunnelSpec(self.listener, ADDRESS, PEER, 1, 2)))[0]

    @staticmethod
    def fields(spec: object) -> list:
        table = {TunnelSpec: records.TUNNEL_FIELDS, SessionSpec: records.SESSION_FIELDS,
                 NetifSpec: records.NETIF_FIELDS}
        return [getattr(spec, name) for name, _ in table[type(spec)]]

    def ask(self, owner: Owner, name: str, *values: object) -> Sent:
        sent: Sent = owner.channel  # type: ignore[assignment]
        sent.records.clear()
        owner.received(records.encode_request(1, name, values))
        return sent

    def answer(self, owner: Owner, name: str, *values: object) -> list:
        """The reply's values, or the error's code."""
        ((kind, code, _, body),) = self.ask(owner, name, *values).records
        return [records.decode_error(body)[0]] if kind == records.ERROR else records.decode_reply(code, body)

    def turns(self, done: object) -> int:
        count = 0
        while not done():  # type: ignore[operator]
            self.clock.turn()
            count += 1
            assert count < 1000
        return count


@pytest.fixture(autouse=True)
def time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removals, "monotonic", Busy().seconds)


def attached(world: World) -> int:
    return sum(world.plane.ports[port].attachment is not None for port in world.ports)


def test_a_removal_takes_a_slice_in_each_turn_and_waits_for_what_it_began() -> None:
    clock, waiting, taken = Busy(), [], []

    def steps() -> Iterator[Deferred[None]]:
        for number in range(20):
            taken.append(number)
            waiting.append(Deferred())
            yield waiting[-1]

    removal = Removal(clock, steps())
    assert len(taken) <= SLICE * 1000 + 1
    slices = 1
    while not removal.done.called:
        before = len(taken)
        clock.turn()
        assert len(taken) - before <= SLICE * 1000 + 1
        slices += 1
    assert slices >= 4 and len(taken) == 20 and not removal.gone.called
    for one in waiting:
        one.callback(None)
    assert removal.gone.called


def test_a_removal_minds_no_failure_and_can_be_hurried() -> None:
    removal = Removal(Busy(), iter([fail(OSError()), succeed(None)] * 50))
    assert not removal.done.called
    removal.finish()
    assert removal.done.called and removal.gone.called
    removal.finish()


def test_a_daemon_that_comes_back_waits_until_its_place_is_empty() -> None:
    world = World(200)
    world.server.lost(world.propppd)
    vacated = world.server.vacate("propppd")
    assert not vacated.called and 0 < attached(world) < 200
    # meanwhile others are served, and may take what is theirs
    port = world.ports[-1]
    assert port in world.answer(world.prol2tpd, "port_delete", port)[0]
    world.ports.remove(port)
    assert world.turns(lambda: vacated.called) > 10
    assert attached(world) == 0 and world.propppd not in world.server.owners
    again = world.owner("propppd")
    assert world.answer(again, "netif_attach", world.ports[0], *world.fields(NetifSpec())) != [IN_USE]


def test_a_tunnel_of_many_sessions_goes_in_slices() -> None:
    world = World(200)
    asked = world.ask(world.prol2tpd, "tunnel_delete", world.tunnel)
    assert not asked.records and 0 < len(world.plane.ports) < 200
    assert world.answer(world.prol2tpd, "tunnel_delete", world.tunnel) == [NOT_FOUND]
    asked.records.clear()
    assert world.turns(lambda: asked.records) > 10
    assert asked.records[0][0] == records.REPLY
    assert not world.plane.ports and not world.plane.tunnels and not world.plane.interfaces
    assert not world.prol2tpd.ports and not world.propppd.netifs
    # what they have carried can still be read
    assert set(world.answer(world.propppd, "counters", False, world.ports)[0]) == set(world.ports)


@pytest.mark.parametrize("operation", ["session_add", "unlisten"])
def test_what_is_in_the_way_of_a_request_goes_before_it(operation: str) -> None:
    world = World(200)
    world.ask(world.prol2tpd, "tunnel_delete", world.tunnel)
    assert world.plane.ports
    if operation == "unlisten":
        sent = world.ask(world.prol2tpd, "unlisten", world.listener)
        assert [kind for kind, *_ in sent.records] == [records.REPLY] * 2
        assert not world.plane.listeners and not world.plane.ports
    else:
        values = world.fields(SessionSpec(world.make_tunnel(), 200, 200))
        sent = world.ask(world.prol2tpd, "session_add", *values)
        assert records.REPLY in [kind for kind, *_ in sent.records]
        assert len(world.plane.ports) == 1


def test_a_daemon_may_be_back_before_its_end_was_read() -> None:
    world = World(10)
    reactor = Reactor()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    owner = world.propppd
    owner.channel = Channel(reactor, ours, lambda datagram, descriptors: None, lambda reason: world.server.lost(owner))
    assert world.server.vacate("propppd").called and attached(world) == 10, "it is there"
    theirs.send(b"something that nobody has read yet")
    theirs.close()
    vacated = world.server.vacate("propppd")
    world.turns(lambda: vacated.called)
    assert attached(world) == 0 and world.propppd not in world.server.owners


def test_two_ends_of_one_daemon_are_one() -> None:
    world = World(200)
    stopping = world.ask(world.propppd, "stop", False)
    assert not stopping.records
    world.server.lost(world.propppd)
    vacated = world.server.vacate("propppd")
    world.turns(lambda: vacated.called)
    assert attached(world) == 0
    assert not stopping.records, "nobody is there to hear of it"
