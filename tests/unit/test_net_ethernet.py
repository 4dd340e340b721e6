"""The Ethernet port over a system that is not there: no root, no interface."""

from __future__ import annotations

import socket
import struct
from collections import deque
from errno import EAGAIN, ENETDOWN, ENOBUFS
from typing import Any

import pytest

from prol2tp.net.ethernet import PACKET_AUXDATA, PACKET_STATISTICS, SOL_PACKET, EthernetPort, System, program, with_tag
from prol2tp.pppoe.packets import read, vids
from tests.vectors.pppoe import AC, FRAMES

FRAME = FRAMES["PADI"][0]


def auxdata(status: int, tci: int, tpid: int) -> list[tuple[int, int, bytes]]:
    return [(SOL_PACKET, PACKET_AUXDATA, struct.pack("=IIIHHHH", status, 24, 24, 0, 14, tci, tpid))]


class FakeSocket:
    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[Any] = deque()
        self.sent: list[bytes] = []
        self.error: int | None = None
        self.closed = False
        self.drops: deque[Any] = deque()

    def fileno(self) -> int:
        return self.number

    def recvmsg(self, size: int, ancillary: int) -> Any:
        if not self.queue:
            raise OSError(EAGAIN, "")
        item = self.queue.popleft()
        if isinstance(item, OSError):
            raise item
        return item

    def send(self, data: bytes) -> int:
        if self.error:
            raise OSError(self.error, "")
        self.sent.append(data)
        return len(data)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (SOL_PACKET, PACKET_STATISTICS, 8) and not self.closed
        item = self.drops.popleft() if self.drops else 0
        if isinstance(item, OSError):
            raise item
        return struct.pack("=II", 1000, item)

    def close(self) -> None:
        self.closed = True


class FakeSystem(System):
    def __init__(self) -> None:
        self.opened: dict[tuple[str, int, bool], FakeSocket] = {}

    def open(self, interface: str, ethertype: int, tagged: bool) -> FakeSocket:
        made = self.opened[interface, ethertype, tagged] = FakeSocket(100 + len(self.opened))
        return made

    def address(self, interface: str) -> bytes:
        return AC

    def mtu(self, interface: str) -> int:
        return 1508


class FakeReactor:
    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Rig:
    def __init__(self, **options: Any) -> None:
        self.system, self.reactor = FakeSystem(), FakeReactor()
        self.frames: list[bytes] = []
        self.bursts = self.lost = 0
        self.port = EthernetPort(
            self.reactor, "eth0", self.receive, self.burst_done, self.went_down, system=self.system, **options
        )  # type: ignore[arg-type]
        (self.plain,) = self.system.opened.values()

    def receive(self, frame: bytes, interface: str) -> None:
        assert interface == "eth0"
        self.frames.append(frame)

    def burst_done(self) -> None:
        self.bursts += 1

    def went_down(self) -> None:
        self.lost += 1

    def feed(self, *items: Any) -> None:
        self.plain.queue.extend(items)
        self.port.doRead()


def item(data: bytes = FRAME, ancillary: Any = (), flags: int = 0, interface: str = "eth0") -> Any:
    return data, list(ancillary), flags, (interface, 0x8863, 1, 1, data[6:12])


def test_a_port_knows_its_address_and_mtu_and_what_it_opened() -> None:
    rig = Rig()
    assert (rig.port.address, rig.port.mtu) == (AC, 1508)
    assert set(rig.system.opened) == {("eth0", 0x8863, True)}
    assert rig.reactor.readers == [rig.port] and rig.port.fileno() == 100
    assert set(Rig(tagged=False, ethertype=0x8864).system.opened) == {("eth0", 0x8864, False)}


@pytest.mark.parametrize(("status", "tci", "tpid", "tags"), [
    (0, 0, 0, ""), (0x10, 0x2007, 0, "8100 2007"), (0x50, 7, 0x88A8, "88a8 0007"), (0x50, 0, 0x8100, "8100 0000"),
    (0x41, 7, 0x88A8, ""),
])  # fmt: skip
def test_a_tag_that_the_kernel_took_off_is_put_back(status: int, tci: int, tpid: int, tags: str) -> None:
    frame = with_tag(FRAME, auxdata(status, tci, tpid))
    assert frame == FRAME[:12] + bytes.fromhex(tags) + FRAME[12:]
    read(frame)


def test_short_and_foreign_ancillary_data_is_no_tag() -> None:
    aux = auxdata(0x50, 7, 0x8100)
    assert with_tag(FRAME, [(SOL_PACKET, PACKET_AUXDATA, aux[0][2][:10]), (1, 2, aux[0][2])]) == FRAME


def test_the_tag_within_a_frame_stays_behind_the_one_that_was_taken_off() -> None:
    rig = Rig()
    inner = FRAME[:12] + bytes.fromhex("8100 0007") + FRAME[12:]
    rig.feed(item(inner, auxdata(0x50, 100, 0x88A8)))
    assert [vids(read(frame).vlans) for frame in rig.frames] == [(100, 7)]


def run(instructions: bytes, frame: bytes, packet_type: int) -> bool:
    """What the kernel does with the filter's instructions."""
    steps = list(struct.iter_unpack("=HBBI", instructions))
    at = value = 0
    while True:
        code, true, false, constant = steps[at]
        at += 1
        if code == 0x06:
            return constant > 0
        if code == 0x30:
            assert constant == 0xFFFFF004
            value = packet_type
        elif code == 0x28:
            if constant + 2 > len(frame):
                return False
            value = int.from_bytes(frame[constant : constant + 2], "big")
        else:
            assert code == 0x15
            at += true if value == constant else false


@pytest.mark.parametrize(("types", "with_tags", "without"), [
    ("8863", True, True), ("8864", False, False), ("0800", False, False), ("8100 0007 8863", True, False),
    ("88a8 0007 8863", True, False), ("9100 0007 8863", True, False), ("8100 0007 0800", False, False),
    ("88a8 0001 8100 0002 8863", True, False), ("9100 0001 9100 0002 8863", True, False),
    ("88a8 0001 8100 0002 8864", False, False), ("8100 0001 8100 0002 8100 0003 8863", False, False),
    ("0800 8863 8863 8863", False, False), ("8100 00", False, False),
])  # fmt: skip
def test_the_filter_lets_through_one_ethertype_behind_up_to_two_tags(
    types: str, with_tags: bool, without: bool
) -> None:
    frame = bytes(12) + bytes.fromhex(types)
    for kind in range(3):
        assert run(program(0x8863, True), frame, kind) is with_tags
        assert run(program(0x8863, False), frame, kind) is without
    for tagged in (True, False):
        assert not run(program(0x8863, tagged), frame, 4), "what this host sends"
    assert not run(program(0x8863, False), frame, 3), "what was in a VLAN"
    assert run(program(0x8863, True), frame, 3) is with_tags


def test_a_frame_of_an_interface_above_ours_or_a_cut_one_is_dropped() -> None:
    rig = Rig()
    rig.feed(item(interface="eth0.7"), item(flags=socket.MSG_TRUNC), item())
    assert rig.frames == [FRAME]
    assert (rig.port.received, rig.port.receive_errors, rig.bursts) == (1, 1, 1)


def test_a_burst_is_bounded() -> None:
    rig = Rig()
    rig.feed(*[item()] * 100)
    assert len(rig.frames) == 64 and rig.bursts == 1
    rig.port.doRead()
    assert len(rig.frames) == 100


def test_an_interface_that_goes_down_is_told_and_other_errors_are_counted() -> None:
    rig = Rig()
    rig.feed(item(), OSError(ENETDOWN, ""))
    rig.feed(OSError(ENOBUFS, ""))
    assert (rig.lost, rig.port.receive_errors, rig.bursts) == (1, 1, 2)


def test_frames_that_the_kernel_does_not_take_are_counted() -> None:
    rig = Rig()
    rig.port.send(FRAME)
    rig.plain.error = ENETDOWN
    rig.port.send(FRAME)
    assert rig.plain.sent == [FRAME] and rig.port.send_errors == 1


def test_a_closed_port_reads_and_sends_nothing_more_even_within_a_burst() -> None:
    rig = Rig()
    rig.port._receive = lambda frame, interface: (rig.frames.append(frame), rig.port.close())[0]
    rig.feed(item(), item())
    rig.port.close()
    rig.port.send(FRAME)
    assert len(rig.frames) == 1 and not rig.plain.sent and rig.reactor.readers == []
    assert all(made.closed for made in rig.system.opened.values())


def test_frames_that_the_kernel_drops_are_summed_until_the_port_is_closed() -> None:
    rig = Rig()
    rig.plain.drops += [3, 0, OSError(ENOBUFS, ""), 4, 5]
    assert [rig.port.dropped() for _ in range(4)] == [3, 3, 3, 7]
    rig.port.close()
    assert rig.port.dropped() == rig.port.dropped() == 12
