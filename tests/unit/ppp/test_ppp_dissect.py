"""What a traced link says of its packets."""

from __future__ import annotations

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.dissect import describe
from tests.vectors.ppp import VALID


@pytest.mark.parametrize("octets", VALID, ids=lambda octets: octets.hex()[:40])
def test_every_valid_frame_has_a_name_and_nothing_wrong(octets: bytes) -> None:
    protocol, start = frame.read_header(octets)
    line = describe(protocol, octets[start:])
    assert "malformed" not in line and "bad options" not in line
    assert line.startswith(frame.PROTOCOL_NAMES[protocol])
    assert f"id {octets[start + 1]}" in line


@pytest.mark.parametrize(
    ("protocol", "information", "line"),
    [
        (
            frame.LCP,
            "0101000a0104 05d4 7003",
            "LCP Configure-Request id 1 <bad options: option 112 of length 3, 2 octets left>",
        ),
        (
            frame.LCP,
            "01010009 0104 05d4 77",
            "LCP Configure-Request id 1 <bad options: option without a length>",
        ),
        (frame.LCP, "0102000b 0104 05d4 63 03 07", "LCP Configure-Request id 2 <MRU 1492> <option 99 07>"),
        (frame.LCP, "0907000801020304", "LCP Echo-Request id 7 magic 0x01020304"),
        (frame.LCP, "0807000680fd", "LCP Protocol-Reject id 7 CCP"),
        (frame.LCP, "0707000863010004", "LCP Code-Reject id 7 code 99"),
        (frame.LCP, "05030007627965", 'LCP Terminate-Request id 3 "bye"'),
        (frame.LCP, "0503000a6279650a0d1b", 'LCP Terminate-Request id 3 "bye\\n\\r\\x1b"'),
        (frame.IPCP, "0303000a03060a000007", "IPCP Configure-Nak id 3 <IP-Address 10.0.0.7>"),
        (
            frame.IPV6CP,
            "0103000e010a0102030405060708",
            "IPV6CP Configure-Request id 3 <Interface-Identifier 0x0102030405060708>",
        ),
        (frame.PAP, "0105000b02753103707731", 'PAP Authenticate-Request id 5 user "u1" password hidden'),
        (frame.PAP, "02050006014f", 'PAP Authenticate-Ack id 5 "O"'),
        (frame.CHAP, "0305000648 69", 'CHAP Success id 5 "Hi"'),
        (frame.CHAP, "0705000C0102030405060708", "CHAP Change-Password id 5 8 octets"),
        (frame.CHAP, "01", "CHAP malformed: packet of 1 octets"),
        (frame.CCP, "0101", "CCP malformed: packet of 2 octets"),
        (frame.CCP, "0107000a120601000040", "CCP Configure-Request id 7 <MPPE 0x01000040>"),
        (frame.CCP, "0e070004", "CCP Reset-Request id 7 0 octets"),
        (0x1235, "00", "protocol 0x1235 1 octets"),
    ],
)
def test_packets_read_like_this(protocol: int, information: str, line: str) -> None:
    assert describe(protocol, bytes.fromhex(information)) == line
