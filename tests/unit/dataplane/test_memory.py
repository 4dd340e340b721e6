"""The data path in memory: what tests of other parts rely on, and hostile datagrams."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from prol2tp.dataplane import relay
from prol2tp.dataplane.interface import SYSTEM, DataPathError, NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane

LCP = b"\xff\x03\xc0\x21\x01\x01\x00\x04"


def now(deferred):
    """The result of a Deferred that has fired."""
    results: list = []
    deferred.addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


class End:
    """A data path with a listener, a tunnel and a session."""

    def __init__(self, clock: Clock | None = None, **session) -> None:
        self.plane = MemoryDataPlane(clock)
        now(self.plane.start(self.plane.events))
        self.listener = now(self.plane.listen(("10.0.0.1", 1701)))
        self.tunnel = now(self.plane.tunnel_add(
            TunnelSpec(self.listener.id, ("10.0.0.1", 1701), ("10.0.0.2", 1701), 11, 22)))
        self.port = now(self.plane.session_add(SessionSpec(self.tunnel, 100, 200, **session)))
        self.got: list[bytes] = []
        self.plane.port_receiver(self.port, self.got.append)


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    clock = Clock()
    made = End(clock), End(clock)
    made[0].clock = clock
    yield made
    for end in made:
        now(end.plane.stop())
        os.close(end.listener.control)


def test_joined_ports_carry_frames_in_the_next_turn(ends) -> None:
    one, two = ends
    one.plane.join(one.port, two.plane, two.port)
    one.plane.port_send(one.port, LCP)
    assert two.got == []
    one.clock.advance(0)
    assert two.got == [LCP]
    two.plane.port_send(two.port, b"\xc0\x21")
    one.clock.advance(0)
    assert one.got == [b"\xc0\x21"]
    assert one.plane.sent == [(one.port, LCP)]


def test_without_a_clock_frames_are_pumped() -> None:
    one, two = End(), End()
    one.plane.join(one.port, two.plane, two.port)
    two.plane.port_receiver(two.port, lambda frame: two.plane.port_send(two.port, frame[::-1]))
    one.plane.port_send(one.port, LCP)
    assert one.plane.pump() >= 1
    assert one.got == [LCP[::-1]]
    for end in (one, two):
        now(end.plane.stop())
        os.close(end.listener.control)


def test_an_operation_can_be_made_to_fail_once(ends) -> None:
    plane = ends[0].plane
    plane.refuse["netif_attach"] = DataPathError(SYSTEM, "no more")
    with pytest.raises(DataPathError):
        now(plane.netif_attach(ends[0].port, NetifSpec()))
    assert now(plane.netif_attach(ends[0].port, NetifSpec())).name == "ppp0"


def test_control_datagrams_go_through_the_relay_pair(ends) -> None:
    end = ends[0]
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=os.dup(end.listener.control))
    with daemon:
        end.plane.relays[end.listener.id].send(relay.encode(b"\xc8\x02", ("10.0.0.2", 1701), ("10.0.0.1", 1701)))
        assert relay.decode(daemon.recv(65535))[0] == b"\xc8\x02"


def test_last_activity_is_seconds_since_the_last_packet(ends) -> None:
    end = ends[0]
    now(end.plane.netif_attach(end.port, NetifSpec(protocols=("ip",), source_check=False)))
    assert now(end.plane.counters([end.port]))[end.port][-1] == -1
    end.plane.deliver(end.port, b"\x21\x45" + bytes(30))
    end.clock.advance(7)
    end.plane.deliver(end.port, LCP)
    assert now(end.plane.counters([end.port]))[end.port][-1] == 7


@pytest.mark.parametrize("session", [{}, {"lns": True, "receive_sequence": True},
                                     {"receive_sequence": True, "reorder_timeout": 0.1, "send_sequence": True}])
def test_mutated_datagrams_raise_nothing_and_leave_the_session_alive(session) -> None:
    clock = Clock()
    end = End(clock, **session)
    plane, chance = end.plane, random.Random(8)
    now(plane.netif_attach(end.port, NetifSpec(protocols=("ip", "ipv6"), prefixes=("0.0.0.0/0", "::/0"), mtu=100)))
    ip = bytes.fromhex("4500003c00010000400600000a0000010a000002"
                       "0001005000000000000000006002200000000000020405b4") + bytes(16)
    ipv6 = bytes.fromhex("60000000001806402001") + bytes(30) + ip[20:]
    head = b"\x00\x02\x00\x0b\x00\x64"
    originals = [
        head + b"\xff\x03\x00\x21" + ip, head + b"\xff\x03\x00\x57" + ipv6, head + b"\x21" + ip, head + LCP,
        b"\x48\x02\x00\x50\x00\x0b\x00\x64\x00\x05\x00\x00\xff\x03\x00\x21" + ip + bytes(20),
        b"\x0a\x02\x00\x0b\x00\x64\x00\x05\x00\x00\x00\x02\x00\x00\xff\x03\x00\x57" + ipv6,
    ]
    peer = ("10.0.0.2", 1701)
    for _ in range(34_000):
        octets = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 3)):
            octets[chance.randrange(len(octets))] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
        data = bytes(octets[:chance.randint(0, len(octets))]) if chance.random() < 0.3 else bytes(octets)
        plane.datagram(end.listener.id, data, peer)
    row = now(plane.counters())[end.port]
    assert row[3] > 1000 and plane.bad_headers > 1000 and plane.unknown_sessions > 1000
    assert len(plane.packets) > 1000
    end.got.clear()
    clock.advance(1)
    plane.datagram(end.listener.id, head + LCP, peer)
    assert end.got == [LCP]
    now(plane.stop())
    os.close(end.listener.control)


def test_mutated_packets_from_an_interface_raise_nothing() -> None:
    end = End()
    plane, chance = end.plane, random.Random(9)
    now(plane.netif_attach(end.port, NetifSpec(protocols=("ip", "ipv6"), mtu=90, clear_df=True)))
    for _ in range(20_000):
        first = chance.choice((0x45, 0x46, 0x4F, 0x60, chance.randrange(256)))
        plane.inject(end.port, bytes((first,)) + chance.randbytes(chance.randint(0, 200)))
    assert all(len(frame) <= 94 for _, frame in plane.sent)
    assert len(plane.sent) > 1000
    now(plane.stop())
    os.close(end.listener.control)
