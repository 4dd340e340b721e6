"""PPPoE frames: what is written is read back, scapy agrees, and damage raises nothing but `PacketError`."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoED, PPPoED_Tags

from prol2tp.common.wire import WireError
from prol2tp.pppoe import tags
from prol2tp.pppoe.packets import (
    BROADCAST,
    PACKETS,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    Discovery,
    PacketError,
    VlanTag,
    describe,
    read,
    read_header,
    write,
    write_session,
)
from tests.steps import steps
from tests.vectors.pppoe import AC, FRAMES, HOST

MUTATIONS = 100_000
SHORT = st.binary(max_size=64)
LINES = st.builds(
    tags.Line,
    st.none() | SHORT,
    st.none() | SHORT,
    st.dictionaries(st.sampled_from(sorted(tags.LINE_NUMBERS)), st.integers(0, 0xFFFFFFFF)),
    st.none() | st.binary(min_size=3, max_size=3),
)
HOSTS = st.binary(min_size=6, max_size=6).map(lambda mac: bytes((mac[0] & 0xFE | 2,)) + mac[1:])


@st.composite
def packets(draw: st.DrawFn) -> Discovery:
    kind = draw(st.sampled_from(sorted(PACKETS)))
    names = draw(st.lists(SHORT, min_size=1, max_size=1 if kind in (PADI.CODE, PADR.CODE) else 5))
    errors = draw(st.lists(st.tuples(st.sampled_from(tags.ERRORS), SHORT), max_size=2))
    session_id = draw(st.integers(1, 0xFFFE)) if kind in (PADS.CODE, PADT.CODE) else 0
    vlan = st.builds(VlanTag, st.sampled_from((0x8100, 0x88A8, 0x9100)), st.integers(0, 0xFFFF))
    return PACKETS[kind](
        BROADCAST if kind == PADI.CODE else draw(HOSTS), draw(HOSTS), tuple(draw(st.lists(vlan, max_size=2))),
        session_id, tuple(names), draw(SHORT) if kind == PADO.CODE else draw(st.none() | SHORT),
        draw(st.none() | st.binary(max_size=700)), draw(st.none() | SHORT), draw(st.none() | SHORT),
        draw(st.integers(0, 0xFFFF)), draw(st.none() | LINES), tuple(errors),
    )  # fmt: skip


@given(packets(), st.binary(max_size=40))
def test_every_packet_comes_back_as_it_was_whatever_the_padding(packet: Discovery, padding: bytes) -> None:
    assert read(write(packet) + padding) == packet


@given(st.lists(st.tuples(st.integers(1, 0xFFFF), SHORT)))
def test_all_tags_come_back_in_order(found: tags.Tags) -> None:
    assert tags.read(tags.write(found)) == found


@given(LINES)
def test_every_line_comes_back(line: tags.Line) -> None:
    assert tags.read_line(tags.write_line(line)) == line


@given(packets())
def test_scapy_reads_our_tags_as_we_do(packet: Discovery) -> None:
    packet.vlans = tuple(vlan for vlan in packet.vlans if vlan.tpid != 0x9100)  # scapy knows no such tag
    plain = Ether(write(packet))
    layer = plain[PPPoED]
    assert (layer.version, layer.type, layer.code, layer.sessionid) == (1, 1, packet.CODE, packet.session_id)
    header = read_header(write(packet))
    found = tags.read(write(packet), header.start, header.end)
    theirs = [(tag.tag_type, tag.tag_value) for tag in layer[PPPoED_Tags].tag_list] if found else []
    assert theirs == found


def test_we_read_what_scapy_writes() -> None:
    theirs = Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01", type=0x8863)
    theirs /= PPPoED(code=9) / PPPoED_Tags(bytes.fromhex("0101 0003 616263 0103 0002 beef"))
    packet = read(bytes(theirs))
    assert packet == PADI(BROADCAST, HOST, service_names=(b"abc",), host_uniq=b"\xbe\xef")


def read_any(frame: bytes) -> Discovery | None:
    """A packet or None; every other error is a fault of ours. What is read can be shown and written."""
    try:
        header = read_header(frame)
        assert 0 < header.start <= header.end <= len(frame)
        packet = read(frame)
    except PacketError:
        return None
    describe(packet)
    assert read(write(packet)) == packet
    return packet


def test_a_truncated_frame_is_never_a_packet() -> None:
    for frame, packet in FRAMES.values():
        whole = len(frame) - (40 if packet.CODE == PADT.CODE else 0)  # the padding may go
        for size in range(whole):
            with pytest.raises(PacketError):
                read(frame[:size])


def mutated(source: random.Random, frame: bytes) -> bytes:
    """A copy with one to four faults; most spare the Ethernet header, so that they reach the tags."""
    octets = bytearray(frame)
    for _ in range(source.randint(1, 4)):
        first = 12 if source.random() < 0.2 else 20
        position = source.randrange(min(first, len(octets)), len(octets) + 1)
        kind = source.randrange(6)
        if kind == 0:
            octets[position:position] = source.randbytes(source.randint(1, 8))
        elif kind == 1 and position < len(octets):
            octets[position] ^= 1 << source.randrange(8)
        elif kind == 2 and position < len(octets):
            octets[position] = source.choice((0, 1, 2, 3, 4, 5, 0x10, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            del octets[position : position + source.randint(1, 8)]
        elif kind == 4:
            octets += octets[position : position + 40]
        else:
            octets[position : position + 2] = source.choice((b"\x00\x00", b"\x01\x01", b"\x01\x05", b"\xff\xff"))
    return bytes(octets)


def test_a_hundred_thousand_damaged_frames_raise_nothing_but_packet_errors_and_take_few_steps() -> None:
    source = random.Random(2516)
    frames = [frame for frame, _ in FRAMES.values()]
    frames += [write_session(AC, HOST, (), 5, b"\xc0\x21\x09\x01\x00\x08abcd")]
    accepted, longest = 0, 0
    for number in range(MUTATIONS):
        frame = mutated(source, frames[number % len(frames)])
        accepted += read_any(frame) is not None
        if number % 100 == 0:
            longest = max(longest, steps(read_any, frame))
    assert 1000 < accepted < MUTATIONS
    assert 0 < longest < 20_000


@pytest.mark.parametrize("filler", ["0101 0000", "0999 0000", "0105 0004 00000de9", "0201 0000", "0103 0000"])
def test_the_largest_frame_of_anything_is_read_in_bounded_steps(filler: str) -> None:
    octets = bytes.fromhex(filler)
    payload = octets * (65000 // len(octets))
    frame = HOST + AC + bytes.fromhex("8863 1107 0000") + len(payload).to_bytes(2, "big") + payload
    with pytest.raises(WireError):
        read(frame)
    assert 0 < steps(read_any, frame) < 20 * len(frame)
