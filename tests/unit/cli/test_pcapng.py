"""Packets of a trace as another reader of pcapng sees them."""

import io

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.utils import PcapNgReader, RawPcapNgReader

from prol2tp.cli.pcapng import Writer

MESSAGE = bytes.fromhex("c802000c0001000000000001")
LINE = {"time": 1543513508.25, "who": "tunnel 1", "kind": "packet", "text": "", "packet": MESSAGE.hex(),
        "network": "udp", "direction": "out", "local": "192.0.2.1:1701", "peer": "192.0.2.2:5000"}


def written(*lines):
    file = io.BytesIO()
    writer = Writer(file, "test")
    for line in lines:
        writer.line({**LINE, **line})
    file.seek(0)
    return file


def packets(*lines):
    return list(PcapNgReader(written(*lines)))


def test_l2tp_messages_are_in_ip_and_udp_with_right_checksums():
    out, back = packets({}, {"direction": "in"})
    assert (out[IP].src, out[IP].dst, out[UDP].sport, out[UDP].dport) == ("192.0.2.1", "192.0.2.2", 1701, 5000)
    assert (back[IP].src, back[UDP].sport) == ("192.0.2.2", 5000)
    for packet in (out, back):
        assert bytes(packet[UDP].payload) == MESSAGE
        again = IP(bytes(packet))
        del again[IP].chksum, again[UDP].chksum
        assert bytes(again) == bytes(packet)
    assert float(out.time) == 1543513508.25


def test_messages_over_ipv6_and_over_protocol_115():
    six, ip = packets({"local": "[::]:1701", "peer": "[2001:db8::1]:1701"},
                      {"network": "ip", "local": "192.0.2.1:0", "peer": "192.0.2.2:0"})
    assert (six[IPv6].dst, six[IPv6].src, six[UDP].dport) == ("2001:db8::1", "::", 1701)
    again = IPv6(bytes(six))
    del again[UDP].chksum
    assert bytes(again) == bytes(six)
    assert ip[IP].proto == 115 and bytes(ip[IP].payload) == bytes(4) + MESSAGE


def test_ppp_frames_have_an_interface_of_their_own_and_lines_without_a_packet_leave_none():
    found = list(RawPcapNgReader(written({"packet": ""}, {"network": "ppp", "packet": "ff03c0210101000405"})))
    ((data, meta),) = found
    assert (data, meta.linktype) == (bytes.fromhex("ff03c0210101000405"), 9)
    assert Raw(data)
