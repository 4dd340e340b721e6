"""What fails in the middle leaves nothing: descriptors, listeners, records of who is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from errno import EMFILE, ENOSPC

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.logger import Logger

from prol2tp.daemons.pathd.owner import Owner
from prol2tp.daemons.pathd.server import PathServer
from prol2tp.dataplane import listener as listeners
from prol2tp.dataplane import records
from prol2tp.dataplane.client import PathClient
from prol2tp.dataplane.interface import GONE, SYSTEM, DataPathError, NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.plane import NoEvents
from prol2tp.dataplane.userspace import UserspaceDataPlane
from tests.unit.dataplane.test_channel import Reactor


def result(deferred):
    """What an operation that answers at once has given, or raises its failure."""
    got: list = []
    deferred.addBoth(got.append)
    assert got, "no answer at once"
    if hasattr(got[0], "raiseException"):
        got[0].raiseException()
    return got[0]


@pytest.fixture
def plane() -> Iterator[UserspaceDataPlane]:
    from twisted.internet import reactor

    plane = UserspaceDataPlane(reactor)
    result(plane.start(NoEvents()))
    yield plane
    plane.stop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_listener_without_a_descriptor_for_the_daemon_leaves_nothing(plane, monkeypatch) -> None:
    def no_more(descriptor: int) -> int:
        raise OSError(EMFILE, os.strerror(EMFILE))

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(listeners.os, "dup", no_more)
        with pytest.raises(DataPathError) as caught:
            result(plane.listen(("127.0.0.1", 0)))
    assert caught.value.code == SYSTEM and "Too many open files" in caught.value.text
    assert descriptors() == before and not plane.listeners
    listener = result(plane.listen(("127.0.0.1", 0)))
    os.close(listener.control)


def test_an_interface_that_cannot_be_watched_is_removed_and_the_asker_told(monkeypatch) -> None:
    plane = MemoryDataPlane()
    result(plane.start(NoEvents()))
    listener = result(plane.listen(("127.0.0.1", 1701)))
    os.close(listener.control)
    tunnel = result(plane.tunnel_add(TunnelSpec(listener.id, ("127.0.0.1", 1701), ("127.0.0.2", 1701), 1, 2)))
    port = result(plane.session_add(SessionSpec(tunnel, 1, 1)))

    def no_room(link: object) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(plane, "watch_link", no_room)
        with pytest.raises(DataPathError) as caught:
            result(plane.netif_attach(port, NetifSpec()))
    assert caught.value.code == SYSTEM and not plane.interfaces
    assert result(plane.netif_attach(port, NetifSpec())).name == "ppp0"
    plane.stop()


def test_a_path_mtu_that_cannot_be_asked_is_not_taken_for_a_narrow_path(plane, monkeypatch) -> None:
    listener = result(plane.listen(("127.0.0.1", 0)))
    os.close(listener.control)
    udp = plane.listeners[listener.id]
    wide = udp.path_mtu(("127.0.0.1", 9))
    assert wide > 1500

    def no_more(*arguments: object) -> socket.socket:
        raise OSError(EMFILE, os.strerror(EMFILE))

    monkeypatch.setattr(listeners.socket, "socket", no_more)
    assert udp.path_mtu(("127.0.0.1", 9)) == 0


def test_a_listener_whose_descriptor_did_not_arrive_is_given_back() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    reactor = Reactor()
    client = PathClient(reactor, ours)
    failures: list = []
    client.listen(("127.0.0.1", 1701)).addErrback(failures.append)
    reactor.advance(0)
    (_, _, identifier, _), = records.split(theirs.recv(65536))
    theirs.send(records.encode_reply(identifier, "listen", (7, ("127.0.0.1", 1701), False)))
    client._channel.doRead()
    reactor.advance(0)
    assert failures[0].value.code == SYSTEM
    (_, code, _, body), = records.split(theirs.recv(65536))
    operation, values = records.decode_request(code, body)
    assert (operation.name, values) == ("unlisten", [7])
    client._channel.close()
    theirs.close()


@pytest_twisted.ensureDeferred
async def test_a_pathd_that_never_answers_is_given_up(tmp_path) -> None:
    from twisted.internet import reactor

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as deaf:
        deaf.bind(str(tmp_path / "pathd.sock"))
        deaf.listen()
        before = descriptors()
        connecting = PathClient.connect(reactor, str(tmp_path), "prol2tpd", timeout=0.2)
        with pytest.raises(DataPathError) as caught:
            await connecting.addTimeout(5, reactor)
        assert caught.value.code == GONE and "does not answer" in caught.value.text
        assert descriptors() <= before


def test_a_receiver_that_fails_at_every_frame_is_logged_once() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client = PathClient(Reactor(), ours)
    lines: list = []
    client._log = Logger(observer=lines.append)  # type: ignore[arg-type]
    good: list[bytes] = []
    client.port_receiver(1, lambda frame: good[1000])
    client.port_receiver(2, good.append)
    for _ in range(20):
        theirs.send(records.encode_frame(1, b"a") + records.encode_frame(2, b"b"))
        client._channel.doRead()
    assert good == [b"b"] * 20 and len(lines) == 1
    client.port_receiver(1, lambda frame: good[2000])
    theirs.send(records.encode_frame(1, b"a"))
    client._channel.doRead()
    assert len(lines) == 2
    client._channel.close()
    theirs.close()


class Sent:
    """A channel that remembers."""

    crowded = False

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def send(self, record: bytes) -> None:
        self.records.append(record)


def test_who_has_stopped_makes_nothing_more() -> None:
    plane = MemoryDataPlane()
    result(plane.start(NoEvents()))
    listener = result(plane.listen(("127.0.0.1", 1701)))
    os.close(listener.control)
    server = PathServer(Clock(), plane, "/nowhere")
    owner = Owner(server, "prol2tpd")
    owner.channel = sent = Sent()  # type: ignore[assignment]
    server.owners.append(owner)
    owner.received(records.encode_request(1, "stop", (False,)))
    spec = TunnelSpec(listener.id, ("127.0.0.1", 1701), ("127.0.0.2", 1701), 1, 2)
    values = tuple(getattr(spec, name) for name, _ in records.TUNNEL_FIELDS)
    owner.received(records.encode_request(2, "tunnel_add", values) + records.encode_request(3, "stop", (False,)))
    assert not plane.tunnels
    kinds = [records.split(record)[0][0] for record in sent.records]
    assert kinds == [records.REPLY, records.ERROR, records.ERROR]


def test_nobody_can_fill_the_way_to_the_daemon_with_frames_of_one_session() -> None:
    clock = Clock()
    plane = MemoryDataPlane(clock)
    result(plane.start(NoEvents()))
    listener = result(plane.listen(("127.0.0.1", 1701)))
    os.close(listener.control)
    tunnel = result(plane.tunnel_add(TunnelSpec(listener.id, ("127.0.0.1", 1701), ("127.0.0.2", 1701), 1, 2)))
    noisy, quiet = (result(plane.session_add(SessionSpec(tunnel, number, number))) for number in (1, 2))
    got: list[int] = []
    for port in (noisy, quiet):
        plane.port_receiver(port, lambda frame, port=port: got.append(port))
    clock.advance(5)
    for _ in range(10_000):
        plane.deliver(noisy, b"\xff\x03\xc0\x21\x09\x01\x00\x08\0\0\0\0")
    plane.deliver(quiet, b"\xff\x03\xc0\x21\x09\x01\x00\x08\0\0\0\0")
    assert 100 <= got.count(noisy) <= 1000 and got.count(quiet) == 1
    assert plane.losses.ports == {plane.ports[noisy]}
    clock.advance(1)
    before = got.count(noisy)
    plane.deliver(noisy, b"\xff\x03\xc0\x21\x09\x01\x00\x08\0\0\0\0")
    assert got.count(noisy) == before + 1
    plane.stop()
