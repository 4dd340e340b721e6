"""Rules over packets, headers and numbers that need no socket."""

from __future__ import annotations

import random
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR, IPOption_Security
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_RS,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from prol2tp.common.wire import WireError
from prol2tp.dataplane import l2tpv2, packets, relay
from prol2tp.dataplane.forward import Inbound
from prol2tp.dataplane.interface import NetifSpec
from prol2tp.dataplane.ports import Attachment, ppp_header, ppp_protocol
from prol2tp.dataplane.prefixes import PrefixTable, allowed, contains, parse_prefix
from prol2tp.dataplane.punting import PUNTS, Punting
from prol2tp.dataplane.sequencing import HELD_MAX, RESYNC, ReceiveSequence


def valid(packet: bytes, layer=IP):
    """Read by scapy; its own checksums must come out the same."""
    read = layer(packet)
    again = layer(packet)
    for part in (IP, TCP, ICMP, ICMPv6PacketTooBig):
        if part in again:
            delattr(again[part], "cksum" if part is ICMPv6PacketTooBig else "chksum")
    assert bytes(again) == packet
    return read


# -- MSS --


@pytest.mark.parametrize("options, where", [
    ([("MSS", 1460)], 2), ([("NOP", None), ("MSS", 1460)], 3), ([("SAckOK", b""), ("MSS", 1460), ("WScale", 7)], 4),
    ([("NOP", None), ("NOP", None), ("NOP", None), ("MSS", 1460), ("NOP", None)], 5),
])
@pytest.mark.parametrize("flags", ["S", "SA"])
def test_the_mss_of_a_syn_is_lowered_wherever_it_is(options, where, flags) -> None:
    for layer, limit in ((IP(src="10.0.0.1", dst="10.0.0.2"), 1360),
                         (IPv6(src="2001:db8::1", dst="2001:db8::2"), 1340)):
        packet = bytes(layer / TCP(sport=1, dport=80, flags=flags, options=options) / Raw(b"odd"))
        changed = valid(packets.clamp_mss(packet, 1400), type(layer))
        assert dict(changed[TCP].options)["MSS"] == limit
        assert len(bytes(changed)) == len(packet)


def test_the_mss_is_lowered_behind_ipv6_extension_headers() -> None:
    tcp = TCP(sport=1, dport=80, flags="S", options=[("MSS", 1460)])
    base = IPv6(src="2001:db8::1", dst="2001:db8::2")
    for headers in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
                    IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()):
        packet = bytes(base / headers / tcp / Raw(b"odd"))
        changed = valid(packets.clamp_mss(packet, 1400), IPv6)
        assert dict(changed[TCP].options)["MSS"] == 1340
    fragment = bytes(base / IPv6ExtHdrFragment(offset=1) / tcp)
    assert packets.clamp_mss(fragment, 1400) is fragment


def test_what_an_ipv6_packet_carries_is_found_or_not_there() -> None:
    whole = bytes(IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP() / Raw(b"data"))
    assert packets.upper_layer6(whole) == (17, 56)
    for size in range(40, 56):
        assert packets.upper_layer6(whole[:size]) in ((-1, 0), (17, 56))
    assert packets.upper_layer6(bytes(6) + b"\0" + bytes(33)) == (-1, 0)
    endless = bytes(IPv6(nh=60)) + b"\x3c\0\0\0\0\0\0\0" * 200
    assert packets.upper_layer6(endless) == (-1, 0)


def test_what_needs_no_clamp_is_the_very_same_object() -> None:
    for packet in (IP() / TCP(flags="A", options=[("MSS", 1460)]), IP() / TCP(flags="S", options=[("MSS", 1300)]),
                   IP() / TCP(flags="S"), IP() / UDP() / Raw(bytes(60)),
                   IP(frag=5) / TCP(flags="S", options=[("MSS", 1460)]),
                   IPv6() / UDP(), IPv6(nh=0) / Raw(bytes(60))):
        octets = bytes(packet)
        assert packets.clamp_mss(octets, 1400) is octets


@pytest.mark.parametrize("options", [b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x02\xff\x05\xb4", b"\x01\x01\x01\x02",
                                     b"\x03\x03\x00\x00", b"\x00\x02\x04\x05", b"\x02\x03\x05\xb4"])
def test_broken_tcp_options_are_left_alone(options: bytes) -> None:
    packet = bytes(IP() / Raw(struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x60, 2, 512, 0, 0) + options))
    packet = packet[:9] + b"\x06" + packet[10:]
    assert packets.clamp_mss(packet, 1400) is packet


def test_a_data_offset_beyond_the_packet_is_left_alone() -> None:
    packet = bytes(IP() / TCP(flags="S", dataofs=15, options=[("MSS", 1300)]))
    assert packets.clamp_mss(packet, 1400) is packet


# -- fragments --


def test_fragments_put_together_are_the_packet() -> None:
    payload = bytes(random.Random(1).randrange(256) for _ in range(3001))
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=77, flags="DF") / UDP() / Raw(payload))
    got = bytearray()
    fragments = packets.fragment4(packet, 1003)
    for index, fragment in enumerate(fragments):
        read = valid(fragment)
        assert len(fragment) <= 1003 and read.id == 77
        assert read.flags == ("MF" if index < len(fragments) - 1 else 0)
        assert read.frag * 8 == len(got)
        got += fragment[20:]
    assert bytes(got) == packet[20:]


def test_a_fragment_can_be_cut_again() -> None:
    packet = bytes(IP(frag=10, flags="MF") / Raw(bytes(160)))
    cut = [IP(fragment) for fragment in packets.fragment4(packet, 100)]
    assert [(part.frag, part.flags.MF, len(part.payload)) for part in cut] == [(10, 1, 80), (20, 1, 80)]


def test_only_copied_options_are_in_later_fragments() -> None:
    packet = bytes(IP(options=[IPOption_RR(routers=["1.2.3.4"]), IPOption_Security(security=3)]) / Raw(bytes(400)))
    first, *later = [valid(fragment) for fragment in packets.fragment4(packet, 200)]
    assert [option.__class__.__name__ for option in first.options][:2] == ["IPOption_RR", "IPOption_Security"]
    assert all(part.options[0].__class__ is IPOption_Security for part in later)
    assert sum(len(part.payload) for part in (first, *later)) == 400


@pytest.mark.parametrize("packet, mtu", [(b"\x45" + bytes(19), 1000), (b"\x41" + bytes(99), 1000),
                                         (bytes(IP() / Raw(bytes(100))), 60),
                                         (bytes(IP(len=5000) / Raw(bytes(90))), 70)])
def test_what_cannot_be_cut_gives_nothing(packet: bytes, mtu: int) -> None:
    assert packets.fragment4(packet, mtu) == []


# -- too big --


def test_fragmentation_needed_says_the_mtu_and_quotes_the_packet() -> None:
    packet = bytes(IP(src="10.0.0.1", dst="192.0.2.1", flags="DF") / UDP(sport=4, dport=5) / Raw(bytes(1400)))
    answer = valid(packets.too_big(packet, 1280))
    assert (answer.src, answer.dst, answer[ICMP].type, answer[ICMP].code, answer[ICMP].nexthopmtu) == \
        ("192.0.2.1", "10.0.0.1", 3, 4, 1280)
    assert bytes(answer[ICMP].payload) == packet[:28]


def test_packet_too_big_of_ipv6_stays_within_1280() -> None:
    packet = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP() / Raw(bytes(1601)))
    octets = packets.too_big(packet, 1400)
    answer = valid(octets, IPv6)
    assert answer[ICMPv6PacketTooBig].mtu == 1400
    assert (answer.src, answer.dst) == ("2001:db8::2", "2001:db8::1")
    assert len(octets) == 1280


@pytest.mark.parametrize("packet", [
    IP() / ICMP(type=3, code=4) / Raw(bytes(1400)), IP(dst="224.0.0.5") / UDP() / Raw(bytes(1400)),
    IP(frag=3) / Raw(bytes(1400)), IPv6(dst="ff02::1") / UDP() / Raw(bytes(1400)),
    IPv6() / ICMPv6PacketTooBig() / Raw(bytes(1400)),
])
def test_errors_answer_no_errors_fragments_or_groups(packet) -> None:
    assert packets.too_big(bytes(packet), 1280) == b""


def test_a_large_ping_is_answered() -> None:
    assert packets.too_big(bytes(IP(flags="DF") / ICMP() / Raw(bytes(1400))), 1280)
    assert packets.too_big(bytes(IPv6() / ICMPv6EchoRequest() / Raw(bytes(1400))), 1280)


def test_the_traffic_class_is_where_each_version_has_it() -> None:
    assert packets.traffic_class(bytes(IP(tos=0xB8))) == 0xB8
    assert packets.traffic_class(bytes(IPv6(tc=0xB9))) == 0xB9


def test_mutated_packets_raise_nothing() -> None:
    chance = random.Random(4)
    originals = [bytes(packet) for packet in (
        IP(options=[IPOption_RR(routers=["1.2.3.4"])]) / TCP(flags="S", options=[("MSS", 1460)]) / Raw(bytes(50)),
        IPv6() / TCP(flags="S", options=[("MSS", 1460)]) / Raw(bytes(50)), IP() / UDP() / Raw(bytes(300)),
        IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(flags="S", options=[("MSS", 1460)]),
        IPv6(dst="ff02::2") / IPv6ExtHdrDestOpt() / ICMPv6ND_RS())]
    punting = Punting(PUNTS, 0.0)
    for _ in range(20_000):
        octets = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 5)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        packet = bytes(octets[:chance.randint(20, len(octets))])
        packets.clamp_mss(packet, chance.choice((60, 1400)))
        for fragment in packets.fragment4(packet, 100):
            assert len(fragment) <= 100
        packets.too_big(packet, 100)
        if len(packet) >= 40:
            punting.wants(packet)
            punting.source_allowed(packet)


# -- prefixes --


@pytest.mark.parametrize("prefix, inside, outside", [
    ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"), ("10.1.0.0/20", "10.1.15.255", "10.1.16.0"),
    ("10.0.0.1", "10.0.0.1", "10.0.0.2"), ("0.0.0.0/0", "1.2.3.4", "::1"),
    ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"), ("10.9.9.9/31", "10.9.9.8", "10.9.9.7"),
])
def test_an_address_is_in_its_prefix(prefix: str, inside: str, outside: str) -> None:
    network, bits = parse_prefix(prefix)
    table: PrefixTable[str] = PrefixTable()
    table.add(network, bits, "found")
    for text, expected in ((inside, True), (outside, False)):
        address = parse_prefix(text)[0]
        assert contains(address, network, bits) is expected
        assert (table.find(address) == "found") is expected


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    chance = random.Random(5)
    entries = [("10.0.0.0/8", "8"), ("10.1.0.0/16", "16"), ("10.1.1.0/24", "24"), ("10.1.1.128/25", "25"),
               ("10.1.1.1", "32")]
    for _ in range(20):
        chance.shuffle(entries)
        table: PrefixTable[str] = PrefixTable()
        for prefix, value in entries:
            table.add(*parse_prefix(prefix), value)
        found = [table.find(parse_prefix(text)[0]) for text in
                 ("10.2.0.0", "10.1.2.0", "10.1.1.3", "10.1.1.200", "10.1.1.1", "9.0.0.0")]
        assert found == ["8", "16", "24", "25", "32", None]


def test_a_newer_owner_keeps_a_prefix_that_the_older_one_gives_up() -> None:
    table: PrefixTable[str] = PrefixTable()
    for prefix in ("10.0.0.1/32", "10.1.0.0/24"):
        table.add(*parse_prefix(prefix), "old")
        table.add(*parse_prefix(prefix), "new")
        table.remove(*parse_prefix(prefix), "old")
        assert table.find(parse_prefix(prefix)[0]) == "new"
        table.remove(*parse_prefix(prefix), "new")
        assert table.find(parse_prefix(prefix)[0]) is None


def test_a_short_address_is_nowhere() -> None:
    table: PrefixTable[str] = PrefixTable()
    table.add(*parse_prefix("0.0.0.0/1"), "x")
    assert table.find(b"") is None and table.find(b"\x01") is None


def test_a_link_local_source_that_must_be_known_is_in_the_prefixes() -> None:
    known = [parse_prefix("fe80::1/128")]
    assert allowed(parse_prefix("fe80::1")[0], known, link_local=False)
    assert not allowed(parse_prefix("fe80::2")[0], known, link_local=False)
    assert not allowed(parse_prefix("fe80::1")[0], [], link_local=False)


def test_the_short_way_is_for_the_prefix_that_most_packets_come_from() -> None:
    spec = NetifSpec(protocols=("ip", "ipv6"), prefixes=("fe80::1/128", "10.0.0.1/32", "2001:db8:1::/56"))
    inbound = Inbound(None, Attachment(spec, bytes, None), 0, ipv4=False, begin=10)  # type: ignore[arg-type]
    assert inbound.source == parse_prefix("2001:db8:1::")[0][:7]
    assert (inbound.start, inbound.stop) == (18, 25)


def test_link_local_sources_are_always_allowed() -> None:
    assert allowed(parse_prefix("fe80::1")[0], [])
    assert allowed(parse_prefix("febf::1")[0], [])
    assert not allowed(parse_prefix("fec0::1")[0], [])
    assert not allowed(parse_prefix("254.128.0.1")[0], [])


# -- PPP and L2TP headers --


@pytest.mark.parametrize("protocol", [0x21, 0x57])
def test_every_ppp_header_form_is_read_back(protocol: int) -> None:
    for pcomp in (False, True):
        for accomp in (False, True):
            head = ppp_header(protocol, pcomp, accomp)
            assert ppp_protocol(head + b"x", 0, len(head) + 1) == (protocol, len(head))


@pytest.mark.parametrize("frame", [b"", b"\xff\x03", b"\xff\x03\x00", b"\x00", b"\xff"])
def test_a_short_frame_has_no_protocol_that_is_ours(frame: bytes) -> None:
    assert ppp_protocol(frame, 0, len(frame))[0] not in (0x21, 0x57)


def test_l2tp_headers_are_read_back() -> None:
    assert l2tpv2.parse(l2tpv2.plain(1, 2) + b"abc") == (1 << 16 | 2, -1, 6, 9)
    assert l2tpv2.parse(l2tpv2.sequenced(1, 2, 65535) + b"abc") == (1 << 16 | 2, 65535, 10, 13)


def test_mutated_l2tp_headers_stay_within_their_packet() -> None:
    chance = random.Random(6)
    for _ in range(20_000):
        data = bytes((chance.choice((0, 0x40, 0x08, 0x02, 0x4A, chance.randrange(256))), 2)) + bytes(
            chance.choice((0, 0, 1, 5, 12, 255)) for _ in range(chance.randint(0, 20)))
        parsed = l2tpv2.parse(data)
        if parsed is not None:
            assert 6 <= parsed[2] < parsed[3] <= len(data)


# -- relay --


@pytest.mark.parametrize("peer, local", [(("192.0.2.1", 1701), ("10.0.0.1", 1701)),
                                         (("2001:db8::1", 65535), ("::", 1))])
def test_relayed_datagrams_come_back_as_they_were(peer, local) -> None:
    assert relay.decode(relay.encode(b"payload", peer, local, 7)) == (b"payload", peer, local, 7)
    assert relay.decode(relay.encode(b"", peer, local)) == (b"", peer, local, 0)


def test_truncated_relay_datagrams_are_errors() -> None:
    for datagram in (relay.encode(b"", ("192.0.2.1", 1), ("10.0.0.1", 2)), relay.encode(b"", ("::1", 1), ("::2", 2))):
        for length in range(len(datagram)):
            with pytest.raises(WireError):
                relay.decode(datagram[:length])
    with pytest.raises(WireError):
        relay.decode(b"\x05" + bytes(60))


# -- sequence numbers --


def received(numbers, timeout=0.0, now=0.0):
    got: list[bytes] = []
    sequence = ReceiveSequence(lambda frame, when: got.append(frame), timeout)
    for ns in numbers:
        sequence.receive(ns, b"%d" % ns, now)
    return [int(frame) for frame in got], sequence


def test_numbers_wrap() -> None:
    got, sequence = received([65534, 65535, 0, 1])
    assert got == [65534, 65535, 0, 1]
    assert (sequence.out_of_sequence, sequence.discards) == (0, 0)


def test_a_gap_is_counted_and_passed() -> None:
    got, sequence = received([0, 5, 6])
    assert got == [0, 5, 6]
    assert (sequence.out_of_sequence, sequence.discards) == (1, 0)


def test_a_peer_that_begins_anew_is_heard_again() -> None:
    numbers = list(range(100)) + list(range(60))
    got, sequence = received(numbers)
    assert got == list(range(100)) + list(range(RESYNC - 1, 60))
    assert sequence.discards == RESYNC - 1


def test_scattered_late_packets_never_begin_anew() -> None:
    got, sequence = received([*range(200), *(0, 50) * 100, 200])
    assert got == list(range(201))
    assert sequence.discards == 200


def test_reordering_waits_until_the_deadline() -> None:
    got, sequence = received([0, 3, 2], timeout=0.1, now=5.0)
    assert got == [0] and sequence.deadline == 5.1
    sequence.expire(5.0)
    assert sequence.deadline == 5.1
    order: list[bytes] = []
    sequence._deliver = lambda frame, when: order.append(frame)
    sequence.expire(5.1)
    assert order == [b"2", b"3"] and sequence.deadline is None
    sequence.receive(1, b"1", 5.2)
    assert order == [b"2", b"3"] and sequence.discards == 1


def test_what_is_held_is_bounded() -> None:
    got, sequence = received([0, *range(10, 10 + HELD_MAX + 1)], timeout=10.0)
    assert got == [0, *range(10, 10 + HELD_MAX + 1)]
    assert sequence.deadline is None


def test_any_order_with_reordering_gives_each_once_and_in_order() -> None:
    chance = random.Random(7)
    for _ in range(300):
        numbers = list(range(1, 40))
        for index in range(len(numbers) - 1):
            if chance.random() < 0.3:
                numbers[index], numbers[index + 1] = numbers[index + 1], numbers[index]
        doubled = [ns for ns in numbers for _ in range(chance.choice((1, 1, 2)))]
        got, _ = received([0, *doubled], timeout=1.0)
        assert got == list(range(40))
