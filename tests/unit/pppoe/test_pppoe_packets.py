"""Frames against their packets, and what is no good packet."""

from __future__ import annotations

import pytest

from prol2tp.common.wire import WireError
from prol2tp.pppoe import tags
from prol2tp.pppoe.packets import (
    PADI,
    PADS,
    PADT,
    SESSION,
    PacketError,
    VlanTag,
    describe,
    mac_text,
    read,
    read_header,
    vids,
    write,
    write_session,
)
from tests.vectors.pppoe import AC, FRAMES, HOST, LINE

WRITTEN = [name for name in FRAMES if name not in ("PADR with a line", "PADT")]


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_read_as_its_packet(name: str) -> None:
    frame, packet = FRAMES[name]
    assert read(frame) == packet


@pytest.mark.parametrize("name", WRITTEN)
def test_a_packet_is_written_as_its_frame(name: str) -> None:
    frame, packet = FRAMES[name]
    assert write(packet) == frame


def test_nothing_is_read_behind_end_of_list_or_the_length() -> None:
    frame, packet = FRAMES["PADR with a line"]
    assert write(packet) == frame[:-4].replace(bytes.fromhex("1119 0000 004d"), bytes.fromhex("1119 0000 0049"))
    # a tag of 65535 octets behind the end of the list, and rubbish behind the length
    assert tags.read(bytes.fromhex("0101 0000 0000 0000 0103 ffff")) == [(0x0101, b"")]
    assert read(FRAMES["PADI"][0] + bytes.fromhex("0103 ffff")) == FRAMES["PADI"][1]


@pytest.mark.parametrize(("octets", "code"), [
    ("", 0),
    ("ffffffffffff 020000000001 88", 0),
    ("ffffffffffff 020000000001 0800 11 09 0000 0004 0101 0000", 0),
    ("ffffffffffff 020000000001 8100 0001 8100 0002 8100 0003 8863 1109 0000 0004 0101 0000", 0),
    ("ffffffffffff 020000000001 8100 0001 81", 0),
    ("ffffffffffff 020000000001 8863 11 09 0000", 0),
    ("ffffffffffff 020000000001 8864 11 00 0001 0000", 0),
    ("ffffffffffff 020000000001 8863 11 d3 0000 0000", 0),
    ("ffffffffffff 020000000001 8863 21 09 0000 0004 0101 0000", 9),
    ("ffffffffffff 020000000001 8863 11 09 0000 0005 0101 0000", 9),
    ("ffffffffffff 020000000001 8863 11 09 0000 0000", 9),
    ("ffffffffffff 020000000001 8863 11 09 0000 0003 0101 00", 9),
    ("ffffffffffff 020000000001 8863 11 09 0000 0004 0101 0001", 9),
    ("ffffffffffff 020000000001 8863 11 09 0000 0008 0101 0000 0101 0000", 9),
    ("ffffffffffff 020000000001 8863 11 09 0001 0004 0101 0000", 9),
    ("ffffffffffff 030000000001 8863 11 09 0000 0004 0101 0000", 9),
    ("ffffffffffff 000000000000 8863 11 09 0000 0004 0101 0000", 9),
    ("ffffffffffff 020000000001 8863 11 19 0000 0004 0101 0000", 0x19),
    ("020000000001 0200000000ac 8863 11 19 0000 0000", 0x19),
    ("020000000001 0200000000ac 8863 11 07 0000 0004 0101 0000", 7),
    ("020000000001 0200000000ac 8863 11 65 0000 0004 0101 0000", 0x65),
    ("020000000001 0200000000ac 8863 11 a7 0000 0000", 0xA7),
    ("020000000001 0200000000ac 8863 11 a7 ffff 0000", 0xA7),
    ("ffffffffffff 0200000000ac 8863 11 a7 0001 0000", 0xA7),
])  # fmt: skip
def test_a_bad_frame_is_a_packet_error_that_says_which_packet_it_claims_to_be(octets: str, code: int) -> None:
    frame = bytes.fromhex(octets)
    with pytest.raises(PacketError) as raised:
        read(frame)
    assert raised.value.code == code


def test_of_tags_that_come_twice_the_first_counts_and_unknown_ones_are_ignored() -> None:
    found = "0101 0000 0103 0001 61 0103 0001 62 0999 0002 ffff 0120 0001 09 0120 0002 05dc"
    payload = bytes.fromhex(found)
    header = bytes.fromhex("ffffffffffff 020000000001 8863 11 09 0000") + len(payload).to_bytes(2, "big")
    packet = read(header + payload)
    assert isinstance(packet, PADI)
    assert (packet.host_uniq, packet.max_payload) == (b"a", 1500)


def test_a_line_is_read_without_its_unknown_parts_and_a_broken_one_is_no_line() -> None:
    value = tags.write_line(LINE)
    assert tags.read_line(value + bytes.fromhex("fe00 7f03616263 8302ffff 900101")) == LINE
    assert tags.read_line(bytes.fromhex("00000de8") + value[4:]) is None
    assert tags.read_line(value + b"\x01") is None
    assert tags.read_line(value + b"\x01\x05abcd") is None
    assert tags.read_line(b"\x00\x00\x0d") is None
    assert tags.read_line(bytes.fromhex("00000de9")) == tags.Line()


def test_values_that_do_not_fit_are_refused_to_the_caller() -> None:
    with pytest.raises(ValueError):
        tags.write([(tags.HOST_UNIQ, bytes(65536))])
    with pytest.raises(ValueError):
        tags.write_line(tags.Line(circuit_id=bytes(256)))
    with pytest.raises(ValueError):
        tags.write_line(tags.Line(numbers={0x01: 5}))
    with pytest.raises(ValueError):
        tags.write_line(tags.Line(numbers={0x81: -1}))
    with pytest.raises(ValueError):
        write(PADS(HOST, AC, session_id=1, host_uniq=bytes(40000), ac_cookie=bytes(40000)))


def test_tags_refuse_a_value_that_runs_past_the_end_by_one_octet() -> None:
    with pytest.raises(WireError, match="Host-Uniq of 2 octets, 1 left"):
        tags.read(bytes.fromhex("0103 0002 ff"))


def test_a_session_frame_carries_its_ppp_frame_after_any_vlan_tags() -> None:
    vlans = (VlanTag(0x88A8, 5), VlanTag(0x8100, 6))
    frame = write_session(AC, HOST, vlans, 0x1234, b"\xc0\x21\x09")
    assert frame == bytes.fromhex("0200000000ac 020000000001 88a80005 81000006 8864 1100 1234 0003 c02109")
    header = read_header(frame + b"padding")
    assert (header.ethertype, header.session_id, vids(header.vlans)) == (SESSION, 0x1234, (5, 6))
    assert (frame + b"padding")[header.start : header.end] == b"\xc0\x21\x09"


def test_a_priority_tag_is_no_vlan() -> None:
    assert vids((VlanTag(0x8100, 0xE000),)) == ()
    assert vids((VlanTag(0x8100, 0xE001),)) == (1,)
    assert VlanTag(0x8100, 0xE001).vid == 1


def test_a_trace_line_names_everything() -> None:
    frame = FRAMES["PADI of two VLANs with a relay and 1500 octets"][0]
    assert describe(read(frame)) == (
        "PADI 02:00:00:00:00:01>FF:FF:FF:FF:FF:FF vlan 100 vlan 10 session 0 <Service-Name 'abc'> <Host-Uniq ff>"
        " <Relay-Session-Id abcd> <PPP-Max-Payload 05dc>"
    )
    refusal = describe(PADT(AC, HOST, session_id=7, errors=((tags.GENERIC_ERROR, b"\xffbye"),)))
    assert refusal.endswith("session 7 <Generic-Error '\\\\xffbye'>")
    assert mac_text(AC) == "02:00:00:00:00:AC"
