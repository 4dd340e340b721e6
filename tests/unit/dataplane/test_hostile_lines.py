"""What strangers on an Ethernet segment or a serial line can do to the data path: nothing but be counted."""

from __future__ import annotations

import random

import pytest

from prol2tp.dataplane.interface import NetifSpec, PPPoESpec, TtySpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.ppp.hdlc import Framer
from prol2tp.pppoe.packets import VlanTag, write_session
from tests.contract.test_dataplane import DOWN, UP, UP6
from tests.unit.dataplane.test_memory import now

PEER = bytes.fromhex("0200000000fe")
FRAMES = (b"\xc0\x21\x01\x01\x00\x04", b"\x00\x21" + UP, b"\x21" + UP, b"\xff\x03\x00\x57" + UP6, b"\x00", b"\xff\x03")


def damaged(chance: random.Random, octets: bytes) -> bytes:
    found = bytearray(octets)
    for _ in range(chance.randint(0, 4)):
        match chance.randrange(4):
            case 0:
                octet = chance.choice((0, 1, 0x7D, 0x7E, 0x81, 0xFF, chance.randrange(256)))
                found[chance.randrange(len(found))] = octet
            case 1:
                del found[chance.randrange(1, len(found) + 1):]
            case 2:
                found[chance.randrange(len(found)):0] = chance.randbytes(chance.randint(1, 6))
            case 3:
                found += chance.randbytes(chance.randint(1, 50))
    return bytes(found)


@pytest.mark.parametrize("tagged", [False, True])
def test_damaged_session_frames_never_raise(tagged: bool) -> None:
    chance = random.Random(7)
    plane = MemoryDataPlane()
    ethernet = now(plane.ethernet_add("eth0", tagged))
    address = plane.ethernets[ethernet].address
    vlans = (VlanTag(0x8100, 7),) if tagged else ()
    port = now(plane.pppoe_add(PPPoESpec(ethernet, PEER, 5, vlans)))
    now(plane.netif_attach(port, NetifSpec(protocols=("ip", "ipv6"), prefixes=("10.0.0.1/32", "2001:db8:1::/64"))))
    got: list[bytes] = []
    plane.port_receiver(port, got.append)
    for _ in range(20_000):
        frame = write_session(address, PEER, vlans, 5, chance.choice(FRAMES))
        plane.ethernet_frame(ethernet, damaged(chance, frame))
    row = now(plane.counters([port]))[port]
    assert row[3] > 1000 and row[5] > 100, "some were good, some were counted"
    assert plane.unknown_sessions > 100 and plane.bad_headers > 0
    assert got and plane.packets and len(plane.early) <= 512


def test_damaged_lines_never_raise() -> None:
    chance = random.Random(8)
    plane = MemoryDataPlane()
    port = now(plane.tty_add(TtySpec("/dev/ttyS0")))
    now(plane.port_modify(port, send_accm=0, receive_accm=0))
    now(plane.netif_attach(port, NetifSpec(protocols=("ip", "ipv6"), prefixes=("10.0.0.1/32", "2001:db8:1::/64"))))
    framer = Framer()
    framer.set_accm(0)
    got: list[bytes] = []
    plane.port_receiver(port, got.append)
    for _ in range(10_000):
        plane.line_octets(port, damaged(chance, framer.frame(chance.choice(FRAMES))))
    row = now(plane.counters([port]))[port]
    assert row[3] > 1000 and row[5] > 1000
    assert got and plane.packets


def test_a_port_that_is_deleted_while_its_frames_come_takes_no_more() -> None:
    plane = MemoryDataPlane()
    ethernet = now(plane.ethernet_add("eth0"))
    address = plane.ethernets[ethernet].address
    port = now(plane.pppoe_add(PPPoESpec(ethernet, PEER, 5)))
    plane.port_receiver(port, lambda frame: plane.port_delete(port))
    for _ in range(2):
        plane.ethernet_frame(ethernet, write_session(address, PEER, (), 5, FRAMES[0]))
    assert not plane.ports and plane.unknown_sessions == 1
    line = now(plane.tty_add(TtySpec("/dev/ttyS0")))
    plane.port_receiver(line, lambda frame: plane.port_delete(line))
    plane.line_octets(line, Framer().frame(FRAMES[0]) * 3)
    assert not plane.ports
    plane.port_send(line, DOWN)
