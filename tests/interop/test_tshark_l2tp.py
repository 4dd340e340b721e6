"""What tshark makes of our L2TP messages, in a capture written by hand: well framed, and read as they were meant."""

from __future__ import annotations

import random
import struct
import subprocess

import pytest

from prol2tp.l2tp.header import write_control, write_data
from prol2tp.l2tp.messages import encode
from tests.vectors import l2tp as vectors

pytestmark = pytest.mark.interop("tshark")

RAW_IP = 101
LCP_ECHO = bytes.fromhex("ff03c02109010008cafebabe")


def ip_packet(payload, protocol=17, source=1, destination=2):
    """An IPv4 packet between hosts of 192.0.2.0/24."""
    header = bytearray(struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
        bytes((192, 0, 2, source)), bytes((192, 0, 2, destination)),
    ))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(header) + payload


def udp_datagram(payload):
    return struct.pack("!HHHH", 1701, 1701, 8 + len(payload), 0) + payload


def write_packets(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW_IP))
        for second, packet in enumerate(packets):
            file.write(struct.pack("=IIII", second, 0, len(packet), len(packet)) + packet)


def capture(path, datagrams):
    """A pcap file of UDP datagrams from and to port 1701 on two documentation addresses."""
    write_packets(path, [ip_packet(udp_datagram(payload)) for payload in datagrams])


def dissect(path, *fields, only="l2tp", options=()):
    command = ["tshark", "-n", "-r", str(path), "-Y", only, "-T", "fields"]
    for option in options:
        command += ["-o", option]
    for field in fields:
        command += ["-e", field]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [line.split("\t") for line in output.splitlines()]


@pytest.fixture
def control_messages():
    source = random.Random(1701)
    messages = [message for _, message in vectors.MESSAGES.values()]
    clear = [encode(message) for message in messages]
    return messages + messages, clear + [encode(message, b"s3cret", source.randbytes, True) for message in messages]


def test_every_control_message_is_well_framed_and_of_the_right_type(control_messages, tmp_path):
    messages, bodies = control_messages
    path = tmp_path / "control.pcap"
    capture(path, [write_control(5, 6, number, 2, body) for number, body in enumerate(bodies)])
    rows = dissect(path, "l2tp.tunnel", "l2tp.session", "l2tp.Ns", "l2tp.avp.message_type")
    assert rows == [["5", "6", str(number), str(message.number)] for number, message in enumerate(messages)]
    assert dissect(path, "frame.number", "_ws.expert.message", only="_ws.malformed or _ws.expert") == []


def test_the_values_are_those_that_were_written(tmp_path):
    path = tmp_path / "values.pcap"
    body = encode(vectors.MESSAGES["SCCRQ"][1])
    capture(path, [write_control(0, 0, 0, 0, body)])
    rows = dissect(
        path, "l2tp.avp.host_name", "l2tp.avp.vendor_name", "l2tp.avp.assigned_tunnel_id",
        "l2tp.avp.receive_window_size", "l2tp.avp.chap_challenge",
    )
    assert rows == [[
        "lac", "prol2tp 2.0.0 Linux-6.1.0 (armv7)", str(0x2A5F), "10", "00112233445566778899aabbccddeeff",
    ]]


def test_data_messages_of_every_shape_carry_their_ppp_frame(tmp_path):
    path = tmp_path / "data.pcap"
    shapes = [(length, ns, offset) for length in (None, len(LCP_ECHO)) for ns in (None, 7) for offset in (None, 0, 4)]
    capture(path, [write_data(5, 6, length, ns, 0, offset) + LCP_ECHO for length, ns, offset in shapes])
    rows = dissect(path, "l2tp.tunnel", "l2tp.session", "ppp.protocol", "lcp.magic_number")
    assert [row[:2] for row in rows] == [["5", "6"]] * len(shapes)
    assert {int(row[2], 16) for row in rows} == {0xC021}
    assert dissect(path, "frame.number", only="_ws.malformed") == []
