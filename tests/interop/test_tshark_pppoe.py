"""What tshark makes of our PPPoE frames, in a capture written by hand: well framed, and read as they were meant."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.packets import PADS, PADT, VlanTag, write, write_session
from tests.netns import run
from tests.vectors.pppoe import AC, FRAMES, HOST, LINE

pytestmark = pytest.mark.interop("tshark")

ETHERNET = 1
VLANS = (VlanTag(0x88A8, 100), VlanTag(0x8100, 7))


def capture(path: Path, frames: list[bytes]) -> None:
    records = [struct.pack("=IIII", number, 0, len(frame), len(frame)) + frame for number, frame in enumerate(frames)]
    path.write_bytes(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET) + b"".join(records))


def dissect(path: Path, only: str, *names: str) -> list[list[str]]:
    words = ["tshark", "-n", "-r", path, "-Y", only, "-T", "fields"]
    for name in names:
        words += ["-e", name]
    return [line.split("\t") for line in run(words).stdout.splitlines()]


def test_every_packet_is_well_framed_and_of_the_right_code(tmp_path: Path) -> None:
    packets = [packet for _, packet in FRAMES.values()]
    packets += [PADT(HOST, AC, VLANS, 9, host_uniq=b"h", errors=((tags.GENERIC_ERROR, b"bye"),))]
    capture(tmp_path / "a.pcap", [write(packet) for packet in packets])
    rows = dissect(tmp_path / "a.pcap", "pppoed", "pppoe.code", "pppoe.session_id")
    assert [(int(code, 16), int(session, 16)) for code, session in rows] == [
        (packet.CODE, packet.session_id) for packet in packets
    ]
    assert dissect(tmp_path / "a.pcap", "_ws.malformed || _ws.expert.severity >= 8388608", "frame.number") == []


def test_the_tags_are_those_that_were_written(tmp_path: Path) -> None:
    packet = PADS(HOST, AC, VLANS, 7, (b"gold",), b"our ac", b"\1\2", b"\3\4", b"\5\6", 1500, LINE)
    capture(tmp_path / "a.pcap", [write(packet)])
    names = (
        "ieee8021ad.id", "vlan.id", "pppoed.tags.service_name", "pppoed.tags.ac_name", "pppoed.tags.host_uniq",
        "pppoed.tags.ac_cookie", "pppoed.tags.relay_session_id", "pppoed.tags.max_payload",
        "pppoed.tags.circuit_id", "pppoed.tags.remote_id", "pppoed.tags.act_data_rate_up",
    )  # fmt: skip
    (row,) = dissect(tmp_path / "a.pcap", "pppoed", *names)
    assert row == [
        "100", "7", "gold", "our ac", "0102", "0304", "0506", "05dc", "node1 atm 1/2:8.35", "customer-7", "1024000",
    ]  # fmt: skip


def test_a_session_frame_carries_ppp(tmp_path: Path) -> None:
    capture(tmp_path / "a.pcap", [write_session(AC, HOST, (), 7, bytes.fromhex("c02109010008cafebabe"))])
    assert dissect(tmp_path / "a.pcap", "pppoes", "pppoe.session_id", "ppp.protocol", "lcp.magic_number") == [
        ["0x0007", "0xc021", "0xcafebabe"]
    ]
