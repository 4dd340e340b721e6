"""How the kernel takes sessions over from the sockets of the data path, with sockets in the place of the kernel's."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from errno import ENOSPC
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from prol2tp.dataplane import userspace
from prol2tp.dataplane.ethernet import EthernetSocket
from prol2tp.dataplane.interface import DataPathError, NetifSpec, PPPoESpec
from prol2tp.dataplane.linux import plane as planes
from prol2tp.dataplane.linux.channel import Channel
from prol2tp.dataplane.linux.hiding import hide_sessions
from prol2tp.dataplane.linux.plane import KernelDataPlane
from prol2tp.dataplane.linux.probe import Features
from prol2tp.dataplane.linux.units import Unit
from prol2tp.dataplane.plane import NoEvents
from prol2tp.dataplane.pppoe import PPPoECarrier
from prol2tp.dataplane.tun import TUN
from prol2tp.pppoe.packets import write_session
from tests.shell.propppd_world import result
from tests.steps import steps
from tests.unit.dataplane.test_channel import Reactor

OURS, PEER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ECHO, ACKNOWLEDGE = bytes.fromhex("c0210901000800000000"), bytes.fromhex("80210201000a0306c0000201")
PAIR = socket.AF_UNIX, socket.SOCK_DGRAM


class Thread:
    """A link thread that works when the test says so."""

    def __init__(self, pair: Callable[[], tuple[socket.socket, socket.socket]]) -> None:
        self.pair = pair
        self.jobs: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.closed: list[TUN] = []

    def call(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((done, lambda: work(*arguments)))
        return done

    after = call

    def open(self, name: str, *_: Any) -> Deferred[Any]:
        return self.call(lambda: TUN(self.pair()[1].fileno(), name, 9))

    def close(self, tun: TUN) -> Deferred[Any]:
        self.closed.append(tun)
        return self.call(lambda: None)

    def work(self) -> None:
        while self.jobs:
            done, job = self.jobs.pop(0)
            done.callback(job())


class World:
    """A data path with an Ethernet interface; `wire` is the other end of that, `kernel` of each port's channel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sockets: list[socket.socket] = []
        self.kernel: dict[int, socket.socket] = {}
        self.shut: list[int] = []
        self.units: list[Unit] = []
        self.received: dict[int, list[bytes]] = {}
        self.thread = Thread(self.pair)
        self.wire, self.ours = self.pair()
        self.patch(monkeypatch)
        self.plane = plane = KernelDataPlane(Reactor(), Features(pppoe=True))
        plane.requests = plane.links_requests = plane.primer = None  # type: ignore[assignment]
        # without what is the kernel's
        super(KernelDataPlane, plane).start(NoEvents())
        poller = plane._poller
        assert poller is not None
        self.poller = poller
        self.handle = result(plane.ethernet_add("eth0"))

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def make(ethernet: Any, identifier: int, interface: str, tagged: bool) -> None:
            ethernet.id, ethernet.interface, ethernet.tagged, ethernet.address = identifier, interface, tagged, OURS
            ethernet.carriers, ethernet.own, ethernet.stray_bucket = {}, set(), None
            ethernet.handles, ethernet.strays = set(), set()
            ethernet.socket, ethernet.send = self.ours, self.ours.send

        def open_channel(channel: Channel, *_: Any) -> None:
            self.kernel[channel.port.id], ours = self.pair()
            channel.descriptor = ours.fileno()

        def shut(channel: Channel) -> None:
            self.shut.append(channel.port.id)
            channel.descriptor = -1

        def open_unit(links: Any, primer: Any, channel: Channel, spec: NetifSpec, codecs: Any) -> Unit:
            descriptor = self.pair()[1].fileno()
            self.units.append(Unit(descriptor, spec.name, 7, channel, links, spec.protocols))
            return self.units[-1]

        monkeypatch.setattr(userspace, "LinkThread", lambda *_: self.thread)
        monkeypatch.setattr(EthernetSocket, "__init__", make)
        monkeypatch.setattr(EthernetSocket, "alive", lambda _: True)
        monkeypatch.setattr(Channel, "open", open_channel)
        monkeypatch.setattr(Channel, "measure", lambda *_: None)
        monkeypatch.setattr(Channel, "shut", shut)
        monkeypatch.setattr(planes, "open_unit", open_unit)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair(*PAIR)
        self.sockets += pair
        for end in pair:
            end.setblocking(False)
        return pair

    def session(self, number: int) -> int:
        port: int = result(self.plane.pppoe_add(PPPoESpec(self.handle, PEER, number)))
        self.received[port] = []
        self.plane.port_receiver(port, self.received[port].append)
        return port

    def carry(self, port: int) -> Any:
        waiting = self.plane.carry(self.plane.ports[port])
        self.thread.work()
        return result(waiting)

    def from_peer(self, number: int, frame: bytes) -> None:
        """It comes to the packet socket; what the kernel carries comes by its channel too."""
        self.wire.send(write_session(OURS, PEER, (), number, frame))

    def close(self) -> None:
        self.poller.close()
        for one in self.sockets:
            one.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(monkeypatch)
    yield world
    world.close()


def refuse(world: World, monkeypatch: pytest.MonkeyPatch, port: int, error: Exception) -> None:
    """The channel of a port cannot be watched."""
    add = world.poller.add

    def refusing(descriptor: int, drain: Any) -> None:
        if descriptor == getattr(world.plane.ports[port].carrier, "descriptor", -1):
            raise error
        add(descriptor, drain)

    monkeypatch.setattr(world.poller, "add", refusing)


def test_frames_of_a_session_that_the_kernel_carries_are_passed_over(world: World) -> None:
    one, two = world.session(1), world.session(2)
    world.carry(one)
    world.from_peer(1, ECHO)
    world.from_peer(2, ECHO)
    world.poller.doRead()
    assert (world.received[one], world.received[two]) == ([], [ECHO])
    world.kernel[one].send(ECHO)
    world.poller.doRead()
    assert world.received[one] == [ECHO]


def test_one_session_more_costs_the_same_however_many_the_kernel_carries(world: World) -> None:
    ethernet = world.plane.ethernets[world.handle]
    ours = world.session(1000)

    def more(number: int) -> int:
        for one in range(number, number + 50):
            world.carry(world.session(one))
        return steps(hide_sessions, ethernet, world.plane.kernel)

    assert more(1) == more(51)
    assert (len(ethernet.carriers), ethernet.own) == (101, {world.plane.ports[ours].carrier.key})
    world.plane.port_delete(ours)
    assert len(ethernet.carriers) == 100 and not ethernet.own


def test_a_session_is_taken_over_while_frames_of_another_one_wait(world: World) -> None:
    one, two = world.session(1), world.session(2)
    world.carry(one)
    world.from_peer(1, ECHO)
    world.from_peer(2, ACKNOWLEDGE)
    attached = world.plane.netif_attach(two, NetifSpec("ppp2", source_check=False, protocols=("ip",)))
    world.thread.work()
    assert result(attached).name == "ppp2"
    assert isinstance(world.plane.ports[two].carrier, Channel)
    # what came before the kernel had it
    assert world.received[two] == [ACKNOWLEDGE]


def test_a_fault_in_a_frame_of_another_session_does_not_stop_a_take_over(world: World) -> None:
    def fault(frame: bytes) -> None:
        raise ZeroDivisionError

    one, two = world.session(1), world.session(2)
    world.plane.port_receiver(one, fault)
    world.from_peer(1, ECHO)
    assert world.carry(two) is world.plane.ports[two].carrier


@pytest.mark.parametrize(("error", "told"), [
    (OSError(ENOSPC, os.strerror(ENOSPC)), OSError), (ZeroDivisionError("fault"), DataPathError)])
def test_a_session_that_cannot_be_taken_over_stays_in_user_space(
        world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, told: type[Exception]) -> None:
    port = world.session(1)
    with monkeypatch.context() as patch:
        refuse(world, patch, port, error)
        with pytest.raises(told, match="No space|internal error"):
            world.carry(port)
    assert isinstance(world.plane.ports[port].carrier, PPPoECarrier)
    assert (world.plane.kernel, world.shut) == ({}, [port])
    world.from_peer(1, ECHO)
    world.poller.doRead()
    assert world.received[port] == [ECHO]
    world.plane.port_send(port, ECHO)
    assert world.wire.recv(100) == write_session(PEER, OURS, (), 1, ECHO)
    # and it may be tried again
    assert world.carry(port) is world.plane.ports[port].carrier


def test_where_the_kernel_cannot_take_a_session_over_its_interface_is_in_user_space(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port = world.session(1)
    refuse(world, monkeypatch, port, OSError(ENOSPC, os.strerror(ENOSPC)))
    attached = world.plane.netif_attach(port, NetifSpec("ppp1", source_check=False))
    world.thread.work()
    assert result(attached).name == "ppp1"
    assert isinstance(world.plane.ports[port].carrier, PPPoECarrier)
    # the name was free again
    assert world.thread.closed == world.units


def test_a_port_that_is_deleted_while_the_kernel_takes_it_leaves_nothing(world: World) -> None:
    port = world.session(1)
    attached = world.plane.netif_attach(port, NetifSpec("ppp1", source_check=False))
    world.plane.port_delete(port)
    world.thread.work()
    with pytest.raises(DataPathError):
        result(attached)
    assert (world.plane.kernel, world.shut, world.thread.closed) == ({}, [port], world.units)
    assert len(world.units) == 1


def test_an_interface_that_cannot_be_watched_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(link: Any) -> None:
        raise ZeroDivisionError("fault")

    port = world.session(1)
    monkeypatch.setattr(world.plane, "watch_link", fault)
    attached = world.plane.netif_attach(port, NetifSpec("ppp1", source_check=False))
    world.thread.work()
    with pytest.raises(DataPathError, match="interface ppp1: .*fault"):
        result(attached)
    assert world.thread.closed == world.units
    assert world.plane.ports[port].attachment is None and world.plane.ports[port].pending is None
