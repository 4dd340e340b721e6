"""The short way of packets: what a port does not use costs nothing."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EAGAIN
from typing import Any

import pytest

from prol2tp.dataplane import forward
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.ethernet import drain
from prol2tp.dataplane.interface import NetifSpec, PPPoESpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.links import Link
from prol2tp.dataplane.linux.channel import Channel
from prol2tp.dataplane.memory import MemoryDataPlane, MemoryListener
from prol2tp.dataplane.plane import NoEvents
from prol2tp.dataplane.pppoe import PPPoECarrier, _transmitter
from prol2tp.dataplane.splicing import onward_from_pppoe
from prol2tp.net.ethernet import PACKET_AUXDATA, SOL_PACKET
from prol2tp.pppoe.packets import write_session
from tests.shell.propppd_world import result
from tests.steps import steps

IPV4 = b"\x45" + bytes(8) + b"\x11" + bytes(10) + b"x" * 80
TCP6 = b"\x60" + bytes(5) + b"\x06" + bytes(33) + b"x" * 13 + b"\x10" + b"x" * 40
UDP6 = b"\x60" + bytes(5) + b"\x11" + bytes(33) + b"x" * 60
KINDS = [(b"\x21", IPV4), (b"\x57", TCP6), (b"\x57", UDP6)]
PACKETS = 100


class Socket:
    """Gives what is put into it."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        if not self.waiting:
            raise OSError(EAGAIN, "empty")
        return self.waiting.popleft(), ("192.0.2.2", 1701)


class Plane(MemoryDataPlane):
    """With the listener's short way, and interfaces that are datagram sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.interface = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.ours, self.interface):
            end.setblocking(False)

    def writer(self, link: Link) -> Callable[[bytes], object]:
        return self.ours.send

    def session_changed(self, carrier: L2TPCarrier) -> None:
        super().session_changed(carrier)
        listener: Any = self.listeners[carrier.tunnel.spec.listener]
        forward.prepare_inbound(listener, carrier, self.ours.fileno())


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    original = MemoryListener.__init__

    def made(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self.inbound, self.limited, self.frames, self.data = {}, {}, {}, Socket()

    monkeypatch.setattr(MemoryListener, "__init__", made)
    plane = Plane()
    result(plane.start(NoEvents()))
    listener = result(plane.listen(("192.0.2.1", 1701)))
    os.close(listener.control)
    tunnel = result(plane.tunnel_add(TunnelSpec(listener.id, ("192.0.2.1", 1701), ("192.0.2.2", 1701), 1, 2)))
    port = result(plane.session_add(SessionSpec(tunnel, 1, 1)))
    result(plane.netif_attach(port, NetifSpec(protocols=("ip", "ipv6"), source_check=False, punt=("ra", "dhcpv6"))))
    yield plane
    plane.stop()
    plane.ours.close()
    plane.interface.close()


def up(plane: Plane, protocol: bytes, packet: bytes) -> float:
    """Steps for a packet from the peer."""
    (listener,) = plane.listeners.values()
    drain = forward.drain_listener(plane, listener)
    listener.data.waiting.extend([b"\0\2\0\1\0\1\xff\x03\0" + protocol + packet] * PACKETS)
    taken = steps(drain, PACKETS, 1.0)
    for _ in range(PACKETS):
        assert plane.interface.recv(2000) == packet
    return taken / PACKETS


def down(plane: Plane, packet: bytes) -> float:
    """Steps for a packet to the peer."""
    (port,) = plane.ports.values()
    drain = forward.drain_tun(plane.ours.fileno(), port, lambda: None)
    sent: list[bytes] = []
    port.carrier.tunnel.transmit = sent.append  # type: ignore[attr-defined]
    port.prepare()
    for _ in range(PACKETS):
        plane.interface.send(packet)
    taken = steps(drain, PACKETS, 1.0)
    assert len(sent) == PACKETS
    return taken / PACKETS


@pytest.mark.parametrize(("protocol", "packet"), KINDS, ids=["IPv4", "TCP", "UDP"])
def test_a_packet_of_a_plain_port_takes_few_steps(plane: Plane, protocol: bytes, packet: bytes) -> None:
    assert up(plane, protocol, packet) < 19
    assert down(plane, packet) < 17


@pytest.mark.parametrize(("protocol", "packet"), KINDS, ids=["IPv4", "TCP", "UDP"])
def test_a_port_with_a_rate_has_a_short_way_too(plane: Plane, protocol: bytes, packet: bytes) -> None:
    ((number, port),) = plane.ports.items()
    result(plane.port_modify(number, rate_up=10**9, rate_down=10**9))
    assert up(plane, protocol, packet) < 33
    assert down(plane, packet) < 30
    octets = len(packet) + 4
    assert (port.rx_packets, port.rx_octets, port.rx_discards) == (PACKETS, PACKETS * octets, 0)
    result(plane.port_modify(number, rate_up=8))
    (listener,) = plane.listeners.values()
    many = 32768 // len(packet) + 50
    listener.data.waiting.extend([b"\0\2\0\1\0\1\xff\x03\0" + protocol + packet] * many)
    arrived = 0
    while listener.data.waiting:
        forward.drain_listener(plane, listener)(PACKETS, 1.0)
        with suppress(BlockingIOError):
            while plane.interface.recv(2000):
                arrived += 1
    assert (port.rx_discards, arrived, port.rx_packets) == (50, many - 50, PACKETS + many)


def test_what_was_used_once_and_no_more_costs_nothing(plane: Plane) -> None:
    (port,) = plane.ports
    before = up(plane, b"\x21", IPV4), down(plane, IPV4)
    result(plane.port_modify(port, rate_up=10**12, rate_down=10**12))
    result(plane.port_compress(port, "predictor1", "predictor1"))
    assert up(plane, b"\x21", IPV4) > 2 * before[0]
    result(plane.port_compress(port))
    assert up(plane, b"\x21", IPV4) > before[0]
    result(plane.port_modify(port, rate_up=0, rate_down=0))
    assert (up(plane, b"\x21", IPV4), down(plane, IPV4)) == before


class Interface:
    """An Ethernet interface by the drain functions of the real one (`EthernetSocket`)."""

    def __init__(self, ethernet: Any, vlan: int = 0) -> None:
        self.waiting: deque[bytes] = deque()
        self.carriers = ethernet.carriers
        self.tagged = bool(vlan)
        self.interface, self.address = ethernet.interface, ethernet.address
        self.socket = self
        tci = struct.pack("=IIIHHHH", 0x10, 0, 0, 0, 0, vlan, 0)
        self.ancillary = [(SOL_PACKET, PACKET_AUXDATA, tci)] if vlan else []

    def recv(self, size: int) -> bytes:
        if not self.waiting:
            raise OSError(EAGAIN, "empty")
        return self.waiting.popleft()

    def recvmsg(self, size: int, room: int) -> tuple[bytes, Any, int, Any]:
        return self.recv(size), self.ancillary, 0, None


@pytest.mark.parametrize("vlan", [0, 7])
def test_frames_of_joined_ports_take_few_steps(plane: Plane, monkeypatch: pytest.MonkeyPatch, vlan: int) -> None:
    def changed(self: Plane, carrier: PPPoECarrier) -> None:
        carrier.onward = onward_from_pppoe(carrier)

    monkeypatch.setattr(Plane, "pppoe_changed", changed)
    (tunnel,) = plane.tunnels
    tunneled = result(plane.session_add(SessionSpec(tunnel, 5, 6)))
    handle = result(plane.ethernet_add("eth0", bool(vlan)))
    peer = b"\x06\0\0\0\0\1"
    tags = ((0x8100, vlan),) if vlan else ()
    port = result(plane.pppoe_add(PPPoESpec(handle, peer, 9, tags)))
    result(plane.switch_add(port, tunneled))
    entry = plane.ethernets[handle]
    sent: list[bytes] = []
    plane.tunnels[tunnel].transmit = sent.append
    entry.send = entry.frames.append
    carrier: Any = plane.ports[port].carrier
    carrier.transmit = _transmitter(entry.send, write_session(peer, entry.address, (), 9, b"")[:-2])
    plane.ports[tunneled].prepare()
    plane.ports[port].prepare()
    # to the LNS
    frame = b"\0\x21" + IPV4
    interface: Any = Interface(entry, vlan)
    interface.waiting.extend([write_session(entry.address, peer, (), 9, frame)] * PACKETS)
    assert steps(drain(plane, interface), PACKETS, 1.0) / PACKETS < (23 if not vlan else 34)
    assert sent == [b"\0\2\0\2\0\6\xff\x03" + frame] * PACKETS
    # and back
    (listener,) = plane.listeners.values()
    listener.data.waiting.extend([b"\0\2\0\1\0\5\xff\x03" + frame] * PACKETS)
    assert steps(forward.drain_listener(plane, listener), PACKETS, 1.0) / PACKETS < 25
    assert len(entry.frames) == PACKETS and entry.frames[0].endswith(frame)
    for number in (port, tunneled):
        assert plane.ports[number].counters(0.0)[::3][:2] == (PACKETS, PACKETS)


@pytest.mark.parametrize("vlan", [0, 7])
def test_frames_of_a_session_that_the_kernel_has_pass_nobody_and_hold_up_nobody(plane: Plane, vlan: int) -> None:
    handle = result(plane.ethernet_add("eth0", bool(vlan)))
    peer, lcp = b"\x06\0\0\0\0\1", b"\xc0\x21\x09\x01\0\x08\0\0\0\0"
    tags = ((0x8100, vlan),) if vlan else ()
    kernels, ours = (result(plane.pppoe_add(PPPoESpec(handle, peer, number, tags))) for number in (9, 10))
    got: list[tuple[int, bytes]] = []
    for port in (kernels, ours):
        plane.port_receiver(port, lambda frame, port=port: got.append((port, frame)))  # type: ignore[misc]
    entry = plane.ethernets[handle]
    channel = Channel(plane.ports[kernels], plane.ports[kernels].carrier, None)
    channel.hide()
    interface: Any = Interface(entry, vlan)
    interface.waiting.extend(write_session(entry.address, peer, (), number, lcp) for number in (9, 10))
    drain(plane, interface)(PACKETS, 1.0)
    assert got == [(ours, lcp)]
    channel.uncover()
    interface.waiting.append(write_session(entry.address, peer, (), 9, lcp))
    drain(plane, interface)(PACKETS, 1.0)
    assert got == [(ours, lcp), (kernels, lcp)]
