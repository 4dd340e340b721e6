"""Control packets into a pcapng file (draft-ietf-opsawg-pcapng), for Wireshark and others.

Two interfaces: L2TP messages, in IP and UDP as on the wire (LINKTYPE_RAW; checksums are of our making), and PPP
frames as the daemon had them (LINKTYPE_PPP).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, BinaryIO

LINKTYPE_RAW, LINKTYPE_PPP = 101, 9
L2TP, PPP = 0, 1
"""Interfaces of the file."""
_INBOUND, _OUTBOUND = 1, 2
UDP_PROTOCOL, L2TP_PROTOCOL = 17, 115


class Writer:
    """Writes to a file that is open for bytes; every packet is flushed."""

    def __init__(self, file: BinaryIO, application: str) -> None:
        self._file = file
        options = _option(4, application.encode()) + _option(0, b"")
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)
        for link, name in ((LINKTYPE_RAW, b"l2tp"), (LINKTYPE_PPP, b"ppp")):
            self._block(1, struct.pack("<HHI", link, 0, 0) + _option(2, name) + _option(0, b""))
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self._file.write(struct.pack("<I", kind) + size + body + size)

    def line(self, line: dict[str, Any]) -> None:
        """The packet of a `trace-line` record, if it has one; its text becomes the comment."""
        if not line["packet"]:
            return
        data = bytes.fromhex(line["packet"])
        if line["network"] != "ppp":
            data = datagram(data, line["direction"], line["local"], line["peer"], line["network"] == "udp")
        time = int(line["time"] * 1_000_000)
        direction = _INBOUND if line["direction"] == "in" else _OUTBOUND
        options = _option(1, line["who"].encode("utf-8", "replace")) + _option(2, struct.pack("<I", direction))
        header = struct.pack("<IIIII", PPP if line["network"] == "ppp" else L2TP, time >> 32, time & 0xFFFFFFFF,
                             len(data), len(data))
        self._block(6, header + _padded(data) + options + _option(0, b""))
        self._file.flush()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def datagram(message: bytes, direction: str, local: str, peer: str, udp: bool) -> bytes:
    """An L2TP message as the IP packet that carried it."""
    source, destination = (_address(peer), _address(local)) if direction == "in" else (_address(local), _address(peer))
    version = destination[0].version
    if source[0].version != version:
        # a wildcard socket knows no address of its own
        source = (ipaddress.ip_address("::" if version == 6 else "0.0.0.0"), source[1])
    if udp:
        body = struct.pack(">HHHH", source[1], destination[1], len(message) + 8, 0) + message
        pseudo = source[0].packed + destination[0].packed + struct.pack(">HH", UDP_PROTOCOL, len(body))
        body = body[:6] + struct.pack(">H", _checksum(pseudo + body) or 0xFFFF) + message
    else:
        body = bytes(4) + message
    protocol = UDP_PROTOCOL if udp else L2TP_PROTOCOL
    if version == 6:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source[0].packed + destination[0].packed + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, len(body) + 20, 0, 0, 64, protocol, 0)
    addresses = source[0].packed + destination[0].packed
    return head[:10] + struct.pack(">H", _checksum(head + addresses)) + addresses + body


def _address(text: str) -> tuple[Any, int]:
    host, _, port = text.rpartition(":")
    return ipaddress.ip_address(host.strip("[]").partition("%")[0]), int(port)


def _checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
