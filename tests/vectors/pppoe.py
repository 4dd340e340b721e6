"""PPPoE frames written by hand, with the packets that they are. The first two are examples of RFC 2516 appendix B."""

from __future__ import annotations

from prol2tp.pppoe.packets import BROADCAST, PADI, PADO, PADR, PADS, PADT, Discovery, VlanTag
from prol2tp.pppoe.tags import Line

HOST = bytes.fromhex("020000000001")
AC = bytes.fromhex("0200000000ac")

LINE = Line(b"node1 atm 1/2:8.35", b"customer-7", {0x81: 1_024_000, 0x82: 16_000_000}, bytes((1, 0, 0)))
LINE_TAG = (
    "00000de9"
    "01 12" + b"node1 atm 1/2:8.35".hex() + "02 0a" + b"customer-7".hex()
    + "81 04 000fa000" + "82 04 00f42400" + "90 03 010000"
)  # fmt: skip

FRAMES: dict[str, tuple[bytes, Discovery]] = {
    name: (bytes.fromhex(octets), packet)
    for name, octets, packet in (
        (
            "PADI",
            "ffffffffffff 020000000001 8863 11 09 0000 0004 0101 0000",
            PADI(BROADCAST, HOST, service_names=(b"",)),
        ),
        (
            "PADO",
            "020000000001 0200000000ac 8863 11 07 0000 0020 0101 0000"
            "0102 0018 476f20526564 4261636b202d 206573687368 6573686f6f74",
            PADO(HOST, AC, service_names=(b"",), ac_name=b"Go RedBack - eshsheshoot"),
        ),
        (
            "PADI of two VLANs with a relay and 1500 octets",
            "ffffffffffff 020000000001 88a8 0064 8100 600a 8863 11 09 0000 0018"
            "0101 0003 616263 0103 0001 ff 0110 0002 abcd 0120 0002 05dc",
            PADI(
                BROADCAST, HOST, (VlanTag(0x88A8, 100), VlanTag(0x8100, 0x600A)), service_names=(b"abc",),
                host_uniq=b"\xff", relay_session_id=b"\xab\xcd", max_payload=1500,
            ),
        ),
        (
            "PADR with a line",
            "0200000000ac 020000000001 8100 0007 8863 11 19 0000 004d 0101 0000 0103 0000 0104 0004 01020304"
            + "0105 0035" + LINE_TAG + "0000 0000",
            PADR(
                AC, HOST, (VlanTag(0x8100, 7),), service_names=(b"",), host_uniq=b"", ac_cookie=b"\1\2\3\4", line=LINE,
            ),
        ),
        (
            "PADS",
            "020000000001 0200000000ac 8863 11 65 1234 0008 0101 0004 69737031",
            PADS(HOST, AC, session_id=0x1234, service_names=(b"isp1",)),
        ),
        (
            "PADS that refuses",
            "020000000001 0200000000ac 8863 11 65 0000 0010 0101 0004 69737031 0201 0004 6e6f7065",
            PADS(HOST, AC, service_names=(b"isp1",), errors=((0x0201, b"nope"),)),
        ),
        (
            "PADT",
            "0200000000ac 020000000001 8863 11 a7 1234 0000" + "00" * 40,
            PADT(AC, HOST, session_id=0x1234),
        ),
    )
}
"""The PADR ends with End-Of-List, the PADT with padding: neither is written."""
