"""What `IDataPlane` promises of PPPoE sessions and ttys, held by every kind of data path."""

from __future__ import annotations

import os
import socket
import termios
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from prol2tp.dataplane.interface import IN_USE, INVALID, NOT_FOUND, SYSTEM, PPPoESpec, TtySpec
from prol2tp.net.ethernet import System
from prol2tp.ppp.compress import Predictor1Compressor, Predictor1Decompressor
from prol2tp.ppp.hdlc import Deframer, Framer, fcs16
from prol2tp.pppoe.packets import SESSION, read_header, write_session
from tests.contract.dataplane_rig import LCP_ECHO, RIGS, Rig, counter, marked, until
from tests.contract.test_dataplane import DOWN, DOWN6, UP, UP6, ipv4, ipv6, refused, syn, v4_frame

PEER = bytes.fromhex("0200000000fe")
STRANGER = bytes.fromhex("0200000000fd")
LCP = LCP_ECHO[2:]
SHORTEST_FRAME = 60
IPV4, IPV6 = b"\0\x21", b"\0\x57"
KINDS = [marked(kind) for kind in ("memory", "userspace", "process", "kernel")]
WIRES = KINDS[1:]
USER_KINDS = KINDS[:3]
"""As in `test_dataplane`."""


class MemoryHands:
    """The far ends of an interface and of a tty."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.interface = "eth0"
        self.device = "/dev/ttyS7"

    async def ethernet(self, tagged: bool = False, strays: bool = False) -> int:
        handle = await self.rig.plane.ethernet_add(self.interface, tagged, strays)
        self.handle = handle
        self.address = self.rig.plane.ethernets[handle].address
        return handle

    def send(self, frame: bytes) -> None:
        self.rig.plane.ethernet_frame(self.handle, frame)

    async def frames(self, count: int) -> list[bytes]:
        frames = self.rig.plane.ethernets[self.handle].frames
        found, frames[:count] = frames[:count], []
        assert len(found) == count
        return found

    async def tty(self, **spec: Any) -> int:
        self.port = await self.rig.plane.tty_add(TtySpec(self.device, **spec))
        return self.port

    def type(self, octets: bytes) -> None:
        self.rig.plane.line_octets(self.port, octets)

    async def printed(self, count: int) -> bytes:
        """At least so many octets that were sent over the tty."""
        octets = self.rig.plane.ports[self.port].carrier.line.octets
        found = b"".join(octets)
        octets.clear()
        assert len(found) >= count
        return found

    def close(self) -> None:
        """Nothing is open."""


class WireHands(MemoryHands):
    """A veth pair in the rig's namespace, and a pty."""

    def __init__(self, rig: Any) -> None:
        super().__init__(rig)
        run = rig.host.run
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0", "address", PEER.hex(":"))
        for device in ("eth0", "far0"):
            run("ip", "link", "set", device, "up")
        self.address = System().address("eth0")
        self.far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(SESSION))
        self.far.bind(("far0", SESSION))
        self.far.setblocking(False)
        self.got: deque[bytes] = deque()
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        self.device = os.ttyname(self.slave)

    async def ethernet(self, tagged: bool = False, strays: bool = False) -> int:
        self.handle = await self.rig.plane.ethernet_add(self.interface, tagged, strays)
        return self.handle

    def send(self, frame: bytes) -> None:
        self.far.send(frame)

    async def frames(self, count: int) -> list[bytes]:
        def enough() -> bool:
            with suppress(BlockingIOError):
                while True:
                    self.got.append(self.far.recv(65535))
            return len(self.got) >= count

        await until(enough, f"{count} frames on the wire")
        return [self.got.popleft() for _ in range(count)]

    def type(self, octets: bytes) -> None:
        assert os.write(self.master, octets) == len(octets)

    async def printed(self, count: int) -> bytes:
        found = bytearray()

        def enough() -> bool:
            with suppress(BlockingIOError):
                found.extend(os.read(self.master, 65536))
            return len(found) >= count

        await until(enough, f"{count} octets on the line")
        return bytes(found)

    def hang_up(self) -> None:
        master, self.master = self.master, -1
        os.close(master)

    def close(self) -> None:
        self.far.close()
        for descriptor in (self.master, self.slave):
            if descriptor >= 0:
                os.close(descriptor)
        self.rig.host.run("ip", "link", "del", "far0", check=False)


def on(*kinds):
    """Run an `async def test(rig, hands)` on rigs of these kinds."""
    def decorate(test: Callable) -> Callable:
        @pytest.mark.parametrize("kind", kinds)
        @pytest_twisted.ensureDeferred
        async def run(kind: str) -> None:
            rig = RIGS[kind]()
            await rig.open()
            hands = MemoryHands(rig) if kind == "memory" else WireHands(rig)
            try:
                await ensureDeferred(test(rig, hands)).addTimeout(60, reactor)
            finally:
                hands.close()
                await rig.close()

        run.__name__ = run.__qualname__ = test.__name__
        run.__doc__ = test.__doc__
        return run

    return decorate


def session(hands: Any, session_id: int, payload: bytes, source: bytes = PEER, vlans: tuple = ()) -> bytes:
    return write_session(hands.address, source, vlans, session_id, payload)


async def opened(rig: Rig, hands: Any, session_id: int = 5) -> tuple[int, list[bytes]]:
    """A PPPoE port and what its receiver gets."""
    port = await rig.plane.pppoe_add(PPPoESpec(await hands.ethernet(), PEER, session_id))
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.row(port)
    return port, got


@on(*KINDS)
async def test_pppoe_frames_go_both_ways(rig: Rig, hands: Any) -> None:
    port, got = await opened(rig, hands)
    rig.plane.port_send(port, LCP_ECHO)
    (frame,) = await hands.frames(1)
    header = read_header(frame)
    assert (header.destination, header.source, header.ethertype) == (PEER, hands.address, SESSION)
    assert (header.code, header.session_id, header.vlans) == (0, 5, ())
    assert frame[header.start:header.end] == LCP, "without FF 03"
    hands.send(session(hands, 5, LCP).ljust(SHORTEST_FRAME, b"\0"))
    await until(lambda: got, "the frame")
    assert got == [LCP], "without Ethernet's padding"
    row = await rig.row(port)
    assert [counter(row, name) for name in ("tx_packets", "rx_packets", "rx_octets", "rx_errors")] == [1, 1, 10, 0]


@on(*KINDS)
async def test_packets_of_an_interface_go_through_a_pppoe_session(rig: Rig, hands: Any) -> None:
    port, _ = await opened(rig, hands)
    netif = await rig.netif(port, mtu=1492)
    await rig.plane.port_modify(port, accomp=False)
    hands.send(session(hands, 5, IPV4 + UP))
    hands.send(session(hands, 5, IPV6 + UP6))
    assert await rig.packets(netif, 2) == [UP, UP6]
    for packet, protocol in ((DOWN, IPV4), (DOWN6, IPV6)):
        rig.inject(netif, packet)
        (frame,) = await hands.frames(1)
        header = read_header(frame)
        assert frame[header.start:header.end] == protocol + packet
    row = await rig.row(port)
    assert counter(row, "tx_octets") == len(DOWN) + len(DOWN6) + 4 == counter(row, "rx_octets")


@on(*USER_KINDS)
async def test_pppoe_sessions_are_compressed_and_policed_as_others(rig: Rig, hands: Any) -> None:
    port, _ = await opened(rig, hands)
    netif = await rig.netif(port, mtu=1492)
    await rig.plane.port_compress(port, "predictor1", "predictor1")
    rig.inject(netif, DOWN)
    (frame,) = await hands.frames(1)
    header = read_header(frame)
    assert frame[header.start:header.start + 2] == b"\0\xfd"
    packed = frame[header.start + 2:header.end]
    assert Predictor1Decompressor().decompress(packed) == b"\x21" + DOWN
    hands.send(session(hands, 5, b"\0\xfd" + Predictor1Compressor().compress(0x21, UP)))
    assert await rig.packets(netif, 1) == [UP]
    await rig.plane.port_compress(port)
    await rig.plane.port_modify(port, rate_down=8, rate_up=8)
    large = UP[:20] + bytes(1300)
    for _ in range(30):
        hands.send(session(hands, 5, IPV4 + large))
    await rig.counted(port, "rx_discards", 1)
    assert len(await rig.packets(netif, 20)) == 20
    large = DOWN[:20] + bytes(1300)
    for _ in range(30):
        rig.inject(netif, large)
    await rig.counted(port, "tx_errors", 1)
    assert len(await hands.frames(20)) == 20


@on(*USER_KINDS)
async def test_rules_hold_for_packets_of_a_pppoe_session(rig: Rig, hands: Any) -> None:
    port, got = await opened(rig, hands)
    netif = await rig.netif(port, mtu=1492)
    large = ipv4("10.0.0.1", "192.0.2.1", bytes(1400))
    clamped = ipv4("10.0.0.1", "192.0.2.1", syn(1460), protocol=6)
    punted = ipv6("2001:db8:1::5", "ff02::5")
    short = ipv4("10.0.0.1", "192.0.2.1", b"x")
    for packet in (large, clamped, short):
        hands.send(session(hands, 5, IPV4 + packet).ljust(SHORTEST_FRAME, b"\0"))
    hands.send(session(hands, 5, IPV4 + ipv4("10.0.0.9", "192.0.2.1", bytes(100))))
    hands.send(session(hands, 5, IPV4[1:] + large))
    hands.send(session(hands, 5, IPV6 + punted))
    first, second, third, fourth, fifth = await rig.packets(netif, 5)
    assert (first, third, fourth, fifth) == (large, short, large, punted)
    assert second != clamped and second[20 + 22:20 + 24] == (1452).to_bytes(2, "big")
    row = await rig.row(port)
    assert [counter(row, name) for name in ("rx_packets", "rx_discards", "rx_errors")] == [6, 1, 0]
    assert counter(row, "rx_octets") == 2 * len(large) + len(clamped) + len(short) + len(punted) + 120 + 2 * 5 + 1
    await rig.plane.netif_modify(port, protocols=("ipv6",))
    hands.send(session(hands, 5, IPV4 + large))
    await rig.received(port, 7)
    assert counter(await rig.row(port), "rx_discards") == 2
    await rig.plane.netif_detach(port)
    hands.send(session(hands, 5, IPV4 + large))
    await until(lambda: got, "what has no interface goes to the receiver")
    assert got == [IPV4 + large]


@on(*KINDS)
async def test_links_of_all_kinds_share_an_interface(rig: Rig, hands: Any) -> None:
    ports = [await rig.session(), (await opened(rig, hands))[0], await hands.tty()]
    await rig.plane.port_modify(ports[2], send_accm=0, receive_accm=0)
    for number, port in enumerate(ports):
        netif = await rig.netif(port, name="users", mode="shared", prefixes=(f"10.0.0.{number + 1}/32",), mtu=1492)
    to_one, to_two, to_three = (ipv4("192.0.2.1", f"10.0.0.{number}", bytes(100)) for number in (1, 2, 3))
    for packet in (to_one, to_two, to_three):
        rig.inject(netif, packet)
    assert [frame for _, _, frame in await rig.peer_frames(1)] == [v4_frame(to_one)]
    (frame,) = await hands.frames(1)
    assert frame[20:] == IPV4 + to_two
    assert from_line(await hands.printed(len(to_three))) == [v4_frame(to_three)]
    hands.send(session(hands, 5, IPV4 + ipv4("10.0.0.2", "192.0.2.1", bytes(100))))
    hands.send(session(hands, 5, IPV4 + ipv4("10.0.0.1", "192.0.2.1", bytes(100))))
    await rig.received(ports[1], 2)
    assert len(await rig.packets(netif, 1)) == 1
    assert counter(await rig.row(ports[1]), "rx_discards") == 1


@on(*KINDS)
async def test_only_the_peers_frames_of_the_session_are_taken(rig: Rig, hands: Any) -> None:
    port, got = await opened(rig, hands)
    hands.send(session(hands, 5, LCP, source=STRANGER))
    hands.send(session(hands, 6, LCP))
    hands.send(write_session(STRANGER, PEER, (), 5, LCP))
    hands.send(write_session(b"\xff" * 6, PEER, (), 5, LCP))
    good = session(hands, 5, LCP)
    hands.send((good[:18] + b"\x05\xdc" + good[20:]).ljust(SHORTEST_FRAME, b"\0"))
    hands.send((good[:18] + b"\0\0").ljust(SHORTEST_FRAME, b"\0"))
    hands.send(good)
    await until(lambda: got, "the good frame")
    assert got == [LCP]
    row = await rig.row(port)
    assert (counter(row, "rx_packets"), counter(row, "rx_errors")) == (1, 2)


@on(*KINDS)
async def test_first_frames_wait_for_their_session(rig: Rig, hands: Any) -> None:
    ethernet = await hands.ethernet()
    hands.send(session(hands, 5, LCP))
    # another round on the same way: the frame has been read when this one is answered
    other = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 9))
    hands.send(session(hands, 9, LCP))
    await rig.received(other, 1)
    port = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 5))
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await until(lambda: got, "the early frame")
    assert got == [LCP]


@on(*KINDS)
async def test_sessions_in_vlans_are_known_by_their_ids(rig: Rig, hands: Any) -> None:
    ethernet = await hands.ethernet(tagged=True)
    spec = PPPoESpec(ethernet, PEER, 5, ((0x8100, 0xA000 | 7),))
    port = await rig.plane.pppoe_add(spec)
    plain = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 6))
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    rig.plane.port_send(port, LCP_ECHO)
    await rig.row(port)
    if hands.__class__ is MemoryHands:
        (frame,) = await hands.frames(1)
        assert read_header(frame).vlans == ((0x8100, 0xA007),)
    tagged = tuple(read_header(session(hands, 5, LCP, vlans=((0x8100, tci),))).vlans for tci in (7, 8))
    hands.send(session(hands, 5, LCP, vlans=tagged[0]))
    hands.send(session(hands, 5, LCP, vlans=tagged[1]))
    hands.send(session(hands, 5, LCP))
    hands.send(session(hands, 6, LCP))
    await rig.received(plain, 1)
    await until(lambda: got, "the tagged frame")
    assert got == [LCP]
    assert counter(await rig.row(port), "rx_errors") == 2


@on(*KINDS)
async def test_what_cannot_be_a_pppoe_session_is_refused(rig: Rig, hands: Any) -> None:
    plane = rig.plane
    ethernet = await hands.ethernet()
    await refused(plane.ethernet_add("no/such"), INVALID)
    await refused(plane.ethernet_delete(999), NOT_FOUND)
    await refused(plane.pppoe_add(PPPoESpec(999, PEER, 5)), NOT_FOUND)
    for peer, session_id, vlans in ((b"", 5, ()), (b"\xff" * 6, 5, ()), (bytes(6), 5, ()), (PEER, 0, ()),
                                    (PEER, 0xFFFF, ()), (PEER, 5, ((0x8100, 7),)), (PEER, 5, ((0x0800, 7),))):
        await refused(plane.pppoe_add(PPPoESpec(ethernet, peer, session_id, vlans)), INVALID)
    port = await plane.pppoe_add(PPPoESpec(ethernet, PEER, 5))
    await refused(plane.pppoe_add(PPPoESpec(ethernet, PEER, 5)), IN_USE)
    await plane.port_delete(port)
    port = await plane.pppoe_add(PPPoESpec(ethernet, PEER, 5))
    await plane.ethernet_delete(ethernet)
    await refused(plane.port_delete(port), NOT_FOUND)
    await hands.ethernet()


@on(*KINDS)
async def test_a_pppoe_session_is_switched_into_an_l2tp_session(rig: Rig, hands: Any) -> None:
    port, _ = await opened(rig, hands)
    tunneled = await rig.session()
    await rig.plane.switch_add(port, tunneled)
    hands.send(session(hands, 5, LCP))
    assert [frame for _, _, frame in await rig.peer_frames(1)] == [LCP_ECHO]
    rig.peer_send(LCP_ECHO)
    (frame,) = await hands.frames(1)
    assert frame[20:30] == LCP
    rows = await rig.plane.counters([port, tunneled])
    assert [counter(rows[port], name) for name in ("rx_packets", "tx_packets")] == [1, 1]
    assert [counter(rows[tunneled], name) for name in ("rx_packets", "tx_packets")] == [1, 1]


@on(*USER_KINDS)
async def test_joined_frames_of_every_kind_and_size_pass_both_ways_and_are_counted(rig: Rig, hands: Any) -> None:
    await joined(rig, hands)


@on(*USER_KINDS)
async def test_joined_frames_get_sequence_numbers_in_l2tp(rig: Rig, hands: Any) -> None:
    await joined(rig, hands, sequenced=True)


@on(*KINDS)
async def test_joined_frames_keep_their_vlan(rig: Rig, hands: Any) -> None:
    await joined(rig, hands, tagged=True)


async def joined(rig: Rig, hands: Any, sequenced: bool = False, tagged: bool = False) -> None:
    vlans = ((0x8100, 7),) if tagged else ()
    ethernet = await hands.ethernet(tagged=tagged)
    port = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 5, vlans))
    tunneled = await rig.session(send_sequence=sequenced, lns=True)
    await rig.plane.switch_add(port, tunneled)
    tags = read_header(session(hands, 5, LCP, vlans=((0x8100, 7),))).vlans if vlans else ()
    frames = [LCP, b"\xc0\x21", IPV4 + bytes(20), b"\x21" + bytes(1000), bytes.fromhex("00fd") + bytes(1490)]
    for frame in frames:
        hands.send(session(hands, 5, frame, vlans=tags))
        (got,) = await rig.peer_frames(1)
        assert got[2] == b"\xff\x03" + frame
    for frame in frames:
        rig.peer_send(b"\xff\x03" + frame)
        rig.peer_send(frame)
        for sent in await hands.frames(2):
            header = read_header(sent)
            assert sent[header.start:header.end] == frame
    size, count = sum(map(len, frames)), len(frames)
    rows = await rig.plane.counters([port, tunneled])
    names = ("rx_packets", "rx_octets", "tx_packets", "tx_octets")
    assert [counter(rows[port], name) for name in names] == [count, size, 2 * count, 2 * size]
    assert [counter(rows[tunneled], name) for name in names] == [
        2 * count, 2 * size + 2 * count, count, size + 2 * count]


@on(*USER_KINDS)
async def test_joined_frames_follow_the_tunnel_and_stop_with_either_port(rig: Rig, hands: Any) -> None:
    ethernet = await hands.ethernet()
    port = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 5))
    tunneled = await rig.session()
    await rig.plane.switch_add(port, tunneled)
    hands.send(session(hands, 5, LCP))
    await rig.peer_frames(1)
    await rig.plane.tunnel_modify(rig.tunnel, ("127.0.0.9" if ":" not in rig.peer_address()[0] else "::9", 9))
    hands.send(session(hands, 5, LCP))
    await rig.received(port, 2)
    assert counter(await rig.row(tunneled), "rx_packets") == 0
    if rig.plane.name == "memory":
        rig.plane.sent.clear()  # has no addresses
    await rig.plane.port_delete(tunneled)
    hands.send(session(hands, 5, LCP))
    await rig.received(port, 3)
    again = await rig.session()
    await rig.plane.tunnel_modify(rig.tunnel, rig.peer_address())
    await rig.plane.switch_add(again, port)
    assert [frame for _, _, frame in await rig.peer_frames(1)] == [LCP_ECHO], "what has waited"
    await rig.plane.port_delete(port)
    rig.peer_send(LCP_ECHO)
    await rig.received(again, 1)
    assert counter(await rig.row(again), "tx_packets") == 1


@on(*KINDS)
async def test_frames_that_came_before_two_ports_were_joined_go_first(rig: Rig, hands: Any) -> None:
    port = await rig.plane.pppoe_add(PPPoESpec(await hands.ethernet(), PEER, 5))
    tunneled = await rig.session()
    early = [b"\xc0\x21\x09" + bytes((number, 0, 8, 0, 0, 0, 0)) for number in range(3)]
    for frame in early:
        hands.send(session(hands, 5, frame))
    await rig.received(port, 3)
    await rig.plane.switch_add(port, tunneled)
    hands.send(session(hands, 5, LCP))
    assert [frame[2:] for _, _, frame in await rig.peer_frames(4)] == [*early, LCP]
    await rig.plane.switch_delete(port)
    hands.send(session(hands, 5, LCP))
    await rig.received(port, 5)
    assert counter(await rig.row(tunneled), "tx_packets") == 4


@on(*KINDS)
async def test_an_interface_has_several_handles_each_with_its_own_ports(rig: Rig, hands: Any) -> None:
    plane = rig.plane
    first, second = await hands.ethernet(), await hands.ethernet()
    one, two = [await plane.pppoe_add(PPPoESpec(handle, PEER, number))
                for number, handle in ((5, first), (6, second))]
    await refused(plane.pppoe_add(PPPoESpec(second, PEER, 5)), IN_USE)
    await plane.ethernet_delete(first)
    await refused(plane.port_delete(one), NOT_FOUND)
    hands.send(session(hands, 6, LCP))
    await rig.received(two, 1)
    await plane.ethernet_delete(second)
    await refused(plane.ethernet_delete(second), NOT_FOUND)


@on(*KINDS)
async def test_frames_for_no_session_are_told_to_who_wants_them(rig: Rig, hands: Any) -> None:
    ethernet = await hands.ethernet(strays=True)
    port = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 5))
    frame = session(hands, 7, LCP)
    for _ in range(200):
        hands.send(frame)
    hands.send(session(hands, 5, LCP))
    await rig.received(port, 1)
    told = rig.events.named("stray_frame")
    assert 40 <= len(told) <= 100, "at a bounded rate"
    assert all(handle == ethernet and got[:len(frame)] == frame for handle, got in told)


@on(*KINDS)
async def test_sessions_of_another_handle_are_no_strays(rig: Rig, hands: Any) -> None:
    other = await hands.ethernet(tagged=True)
    ethernet = await hands.ethernet(strays=True)
    port = await rig.plane.pppoe_add(PPPoESpec(other, PEER, 5))
    mine = await rig.plane.pppoe_add(PPPoESpec(ethernet, PEER, 6))
    # the far end's frames reach both sockets, one after the other in memory
    for handle in (other, ethernet):
        hands.handle = handle
        hands.send(session(hands, 5, LCP))
        hands.send(session(hands, 8, LCP))
        hands.send(session(hands, 6, LCP))
    await rig.received(mine, 1)
    await rig.received(port, 1)
    assert rig.events.named("stray_frame") == [], "8 may be a session that the other handle is just making"


@on(*WIRES)
async def test_an_interface_that_is_not_there_is_refused(rig: Rig, hands: Any) -> None:
    await refused(rig.plane.ethernet_add("eth9"), SYSTEM)
    await refused(rig.plane.ethernet_add("lo", True), INVALID)


@on(*WIRES)
async def test_an_interface_that_is_removed_can_be_opened_when_it_is_there_again(rig: Any, hands: Any) -> None:
    port, _ = await opened(rig, hands)
    run = rig.host.run
    run("ip", "link", "del", "eth0")
    await until(lambda: rig.events.named("carrier_lost"), "the event")
    assert rig.events.named("carrier_lost")[0][0] == port
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0", "address", PEER.hex(":"))
    dead = hands.handle
    await hands.ethernet()
    await rig.plane.ethernet_delete(dead)
    await refused(rig.plane.port_delete(port), NOT_FOUND)
    await rig.plane.pppoe_add(PPPoESpec(hands.handle, PEER, 5))


@on(*WIRES)
async def test_an_interface_that_goes_down_takes_its_sessions_along(rig: Any, hands: Any) -> None:
    port, _ = await opened(rig, hands)
    rig.host.run("ip", "link", "set", "eth0", "down")
    await until(lambda: rig.events.named("carrier_lost"), "the event")
    assert rig.events.named("carrier_lost") == [(port, "interface eth0 is down")]
    rig.plane.port_send(port, LCP_ECHO)
    assert counter(await rig.row(port), "tx_errors") == 1


def on_line(frame: bytes) -> bytes:
    return Framer().frame(frame)


def from_line(octets: bytes) -> list[bytes]:
    deframer = Deframer(2000)
    deframer.set_accm(0)
    return deframer.feed(octets)


@on(*KINDS)
async def test_frames_go_both_ways_over_a_tty(rig: Rig, hands: Any) -> None:
    port = await hands.tty()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.row(port)
    rig.plane.port_send(port, LCP_ECHO)
    wanted = on_line(LCP_ECHO)
    assert await hands.printed(len(wanted)) == wanted
    line = on_line(LCP_ECHO)
    hands.type(line[:5])
    hands.type(b"\x11\x13" + line[5:] + line[:6])
    hands.type(b"x" + line[6:])
    await until(lambda: got, "the frame")
    row = await rig.row(port)
    assert got == [LCP_ECHO]
    assert (counter(row, "rx_packets"), counter(row, "rx_errors"), counter(row, "tx_packets")) == (1, 1, 1)


@on(*KINDS)
async def test_the_map_that_was_agreed_holds_for_all_but_lcp(rig: Rig, hands: Any) -> None:
    port = await hands.tty(escape=b"\xff")
    netif = await rig.netif(port)
    await rig.plane.port_modify(port, send_accm=0x000A0000, receive_accm=0)
    rig.inject(netif, DOWN)
    octets = await hands.printed(len(DOWN) + 8)
    assert from_line(octets) == [v4_frame(DOWN)]
    plain = v4_frame(DOWN) + fcs16(v4_frame(DOWN))
    assert octets.count(b"\0") == plain.count(b"\0") and b"\xff" not in octets
    request = b"\xff\x03\xc0\x21\x01\x01\x00\x04"
    rig.plane.port_send(port, request)
    octets = await hands.printed(10)
    assert from_line(octets) == [request] and min(octets) >= 0x20
    framer = Framer()
    framer.set_accm(0)
    hands.type(framer.frame(v4_frame(UP)))
    assert await rig.packets(netif, 1) == [UP]


@on(*KINDS)
async def test_octets_of_software_flow_control_are_escaped_whatever_the_map(rig: Rig, hands: Any) -> None:
    port = await hands.tty(xonxoff=True)
    await rig.plane.port_modify(port, send_accm=0)
    frame = b"\xff\x03\xc0\x23\x11\x13\x12"
    rig.plane.port_send(port, frame)
    octets = await hands.printed(13)
    assert from_line(octets) == [frame] and not {0x11, 0x13} & set(octets) and 0x12 in octets


@on(*KINDS)
async def test_what_cannot_be_a_tty_is_refused(rig: Rig, hands: Any) -> None:
    for wrong in (TtySpec(""), TtySpec(hands.device, escape=b"\x30"), TtySpec(hands.device, mru=70000)):
        await refused(rig.plane.tty_add(wrong), INVALID)
    port = await hands.tty()
    await refused(hands.tty(), IN_USE)
    await rig.plane.port_delete(port)
    await hands.tty()


@on(*WIRES)
async def test_what_is_no_tty_is_refused(rig: Rig, hands: Any) -> None:
    await refused(rig.plane.tty_add(TtySpec("/dev/null")), INVALID)
    await refused(rig.plane.tty_add(TtySpec("/dev/no-such-tty")), SYSTEM)
    await refused(rig.plane.tty_add(TtySpec(hands.device, speed=12345)), INVALID)


@on(*WIRES)
async def test_a_tty_gets_its_settings_and_has_its_old_ones_back(rig: Rig, hands: Any) -> None:
    before = termios.tcgetattr(hands.slave)
    port = await hands.tty(speed=19200, crtscts=True, modem=False)
    now = termios.tcgetattr(hands.slave)
    assert now[4] == now[5] == termios.B19200
    assert not now[0] & (termios.IXON | termios.IXOFF)
    assert now[2] & termios.CRTSCTS and now[2] & termios.CLOCAL and not now[2] & termios.PARENB
    assert not now[3] & (termios.ECHO | termios.ICANON)
    await rig.plane.port_delete(port)
    assert termios.tcgetattr(hands.slave) == before


@on(*WIRES)
async def test_a_tty_that_hangs_up_is_told_once(rig: Rig, hands: Any) -> None:
    port = await hands.tty()
    hands.hang_up()
    await until(lambda: rig.events.named("carrier_lost"), "the event")
    rig.plane.port_send(port, LCP_ECHO)
    assert counter(await rig.row(port), "tx_errors") == 1
    assert rig.events.named("carrier_lost") == [(port, "hang-up")]


@on(*WIRES)
async def test_a_line_that_takes_nothing_costs_a_bounded_queue(rig: Rig, hands: Any) -> None:
    port = await hands.tty()
    data = v4_frame(DOWN.ljust(1400, b"x"))
    for _ in range(200):
        rig.plane.port_send(port, data)
    row = await rig.row(port)
    assert counter(row, "tx_errors") > 100
    rig.plane.port_send(port, LCP_ECHO)
    assert counter(await rig.row(port), "tx_packets") == counter(row, "tx_packets") + 1
    octets = b""

    def arrived() -> bool:
        nonlocal octets
        with suppress(BlockingIOError):
            octets += os.read(hands.master, 65536)
        return from_line(octets)[-1:] == [LCP_ECHO]

    await until(arrived, "the control frame")
    assert len(from_line(octets)) == counter(await rig.row(port), "tx_packets")
