"""ICMPv6 and DHCPv6 with hostile subscribers, and their codecs there and back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.common.wire import WireError
from prol2tp.ipv6 import dhcpv6, icmpv6, names, packet
from prol2tp.ipv6.dhcpv6 import IA, Item, Message, Status
from prol2tp.ipv6.icmpv6 import PrefixInformation, RouteInformation, RouterAdvertisement, RouterSolicitation
from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.outputs import SendPacket
from prol2tp.ipv6.ra import Advertiser
from prol2tp.ipv6.server import ALL_AGENTS
from tests.ipv6_ends import (
    ADDRESS,
    ADVERTISED,
    CLIENT,
    DUID,
    OURS,
    PREFIX,
    THEIR_OCTETS,
    sent,
    server,
    solicitation,
)
from tests.steps import steps

MUTATIONS = 100_000

octets16 = st.binary(min_size=16, max_size=16)
u32 = st.integers(0, 0xFFFFFFFF)
u16 = st.integers(0, 0xFFFF)
labels = st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True)
domain_names = st.lists(labels, min_size=1, max_size=3).map(".".join)
statuses = st.none() | st.builds(Status, u16, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
addresses = st.builds(Item, octets16, st.just(128), u32, u32)
prefixes = st.builds(Item, octets16, st.integers(0, 128), u32, u32)


def associations(items: st.SearchStrategy[Item]) -> st.SearchStrategy[tuple[IA, ...]]:
    ias = st.builds(IA, u32, u32, u32, st.lists(items, max_size=4).map(tuple), statuses)
    return st.lists(ias, max_size=4, unique_by=lambda ia: ia.iaid).map(tuple)


duids = st.just(b"") | st.binary(min_size=3, max_size=130)
messages = st.builds(
    Message, st.integers(0, 255), st.integers(0, 0xFFFFFF), duids, duids, associations(addresses),
    associations(prefixes), st.none() | st.lists(u16, max_size=20).map(tuple), st.none() | st.integers(0, 255),
    st.none() | u16, statuses, st.booleans(), st.lists(octets16, max_size=3).map(tuple),
    st.lists(domain_names, max_size=3).map(tuple), st.none() | u32,
)
informations = st.tuples(octets16, st.integers(0, 128), st.booleans(), st.booleans(), u32, u32).map(
    lambda one: PrefixInformation(*one[:4], max(one[4:]), min(one[4:]))
)
routes = st.builds(
    lambda prefix, length, lifetime, preference: RouteInformation(
        prefix[: 8 * -(-length // 64)].ljust(16, b"\0"), length, lifetime, preference
    ),
    octets16, st.integers(0, 128), u32, st.integers(-1, 1),
)
advertisements = st.builds(
    RouterAdvertisement, st.integers(0, 255), st.booleans(), st.booleans(), u16, u32, u32, u32,
    st.lists(informations, max_size=4).map(tuple),
    st.lists(routes, max_size=3).map(tuple),
    st.lists(st.tuples(u32, st.lists(octets16, min_size=1, max_size=3).map(tuple)), max_size=2).map(tuple),
    st.lists(st.tuples(u32, st.lists(domain_names, min_size=1, max_size=3).map(tuple)), max_size=2).map(tuple),
)


@given(messages)
def test_dhcpv6_messages_come_back_as_they_were(message: Message) -> None:
    assert dhcpv6.decode(dhcpv6.encode(message)) == message


@given(advertisements)
def test_advertisements_come_back_as_they_were(advertisement: RouterAdvertisement) -> None:
    body = icmpv6.encode_advertisement(advertisement)
    seen = packet.read(icmpv6.message(THEIR_OCTETS, packet.ALL_NODES, 134, body))
    kind, code, again = icmpv6.read_message(seen)
    assert (kind, code) == (134, 0)
    assert icmpv6.read_advertisement(seen, code, again) == advertisement


@given(st.sampled_from([b"", bytes(6), b"\2\0\0\0\0\1"]))
def test_solicitations_come_back_as_they_were(address: bytes) -> None:
    wanted = RouterSolicitation(address)
    seen = packet.read(icmpv6.message(THEIR_OCTETS, packet.ALL_ROUTERS, 133, icmpv6.encode_solicitation(wanted)))
    _, code, body = icmpv6.read_message(seen)
    assert icmpv6.read_solicitation(seen, code, body) == wanted


@given(octets16, octets16, u16, u16, st.binary(max_size=100))
def test_udp_comes_back_as_it_was_and_no_damage_passes(
    source: bytes, destination: bytes, port: int, other: int, data: bytes
) -> None:
    whole = packet.udp(source, destination, port, other, data)
    assert packet.read_udp(packet.read(whole)) == (port, other, data)
    for position in (8, 24, 40, 47, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        with pytest.raises(WireError):
            packet.read_udp(packet.read(bytes(damaged)))


@given(st.lists(domain_names, max_size=4))
def test_domain_names_come_back_as_they_were(wanted: list[str]) -> None:
    assert names.decode(names.encode(wanted)) == tuple(wanted)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_no_octets_raise_anything_but_wire_error(data: bytes) -> None:
    for read in (dhcpv6.decode, names.decode, packet.read):
        try:
            read(data)
        except WireError:
            pass


def seeds() -> list[bytes]:
    """Sound packets of every kind that a subscriber sends."""
    address = IA(1, 0, 0, (Item(bytes.fromhex("20010db8ffff") + bytes(9) + b"\7", 128, 1, 2),))
    prefix = IA(2, 0, 0, (Item(bytes.fromhex("20010db80100") + bytes(10), 56, 1, 2),), Status(0, "x"))
    found = [
        sent(Message(kind, 5, CLIENT, server_id, (address,), (prefix,), (23, 24, 32), None, 7, None, True))
        for kind in range(1, 14) for server_id in (b"", DUID)
    ]
    for kind in (dhcpv6.SOLICIT, dhcpv6.REQUEST, dhcpv6.CONFIRM, dhcpv6.RENEW, dhcpv6.REBIND, dhcpv6.RELEASE):
        server_id = DUID if kind in (dhcpv6.REQUEST, dhcpv6.RENEW, dhcpv6.RELEASE) else b""
        some = (prefix,) if kind != dhcpv6.CONFIRM else ()
        found += 4 * [sent(Message(kind, 5, CLIENT, server_id, (address,), some, (23, 24)))]
    found.append(sent(Message(dhcpv6.INFORMATION_REQUEST, 5, requested=(23,))))
    found += [solicitation(), solicitation(packet.UNSPECIFIED)]
    advertisement = Advertiser(ADVERTISED, OURS, bytes).advertisement(1800)
    body = icmpv6.encode_advertisement(advertisement)
    found.append(icmpv6.message(THEIR_OCTETS, packet.ALL_NODES, 134, body))
    return found


def repaired(data: bytes) -> bytes:
    """The packet with length and checksum put right, so that damage goes deeper than these."""
    if len(data) < 48:
        return data
    source, destination, payload = data[8:24], data[24:40], data[40:]
    if data[6] == packet.UDP:
        return packet.udp(source, destination, 546, 547, payload[8:])
    return icmpv6.message(source, destination, payload[0], payload[4:], payload[1])


def mutated(chance: random.Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        position = chance.randrange(len(data)) if chance.random() < 0.3 else chance.randrange(40, len(data))
        match chance.randrange(4):
            case 0:
                data[position] = chance.randrange(256)
            case 1:
                data[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[position : position + chance.randrange(1, 20)]
            case _:
                data[position:position] = data[chance.randrange(len(data)) :][: chance.randrange(1, 60)]
        if len(data) <= 40:
            break
    return repaired(bytes(data)) if chance.random() < 0.8 else bytes(data)


def test_hundred_thousand_mutated_packets_raise_nothing_and_have_bounded_answers() -> None:
    chance = random.Random(6)
    sound = seeds()
    core = server(Lease((ADDRESS,), (PREFIX, "2001:db8:300::/56"), 1000, 2000))
    advertiser = Advertiser(ADVERTISED, OURS, chance.randbytes)
    advertiser.open(0.0)
    now, answers = 0.0, 0
    for _ in range(MUTATIONS):
        now += 0.5
        data = mutated(chance, chance.choice(sound))
        mine = core.receive(data, now), advertiser.receive(data, now)
        assert mine != (True, True)
        said = core.outputs()
        assert len(said) <= 1 + 2 * 3
        for output in said:
            if isinstance(output, SendPacket):
                answers += 1
                assert len(output.packet) <= len(data) + 400
                dhcpv6.decode(packet.read_udp(packet.read(output.packet))[2])
        assert len(advertiser.outputs()) <= 1
        assert len(core.leases.bindings) <= 3
        if (deadline := core.deadline()) is not None and deadline <= now:
            core.timeout(now)
    assert answers > MUTATIONS // 10
    assert core.counters.bad > MUTATIONS // 50
    assert advertiser.counters.bad > 100


def test_every_truncation_of_every_message_is_survived() -> None:
    core = server()
    advertiser = Advertiser(ADVERTISED, OURS, bytes)
    advertiser.open(0.0)
    for number, seed in enumerate(seeds()):
        for length in range(len(seed)):
            for data in (seed[:length], repaired(seed[:length])):
                core.receive(data, number * 1e6 + length)
                advertiser.receive(data, number * 1e6 + length)
                core.outputs()
    assert core.counters.bad > 100


def option(code: int, value: bytes) -> bytes:
    return code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def bombs() -> list[bytes]:
    head = b"\1\0\0\1" + option(1, CLIENT)
    nested = b""
    while len(nested) < 60_000:
        nested = option(3, bytes(12) + nested)
    deep = b""
    while len(deep) < 60_000:
        deep = option(5, bytes(24) + option(13, b"\0\0") + deep)
    many = b"".join(option(3, number.to_bytes(4, "big") + bytes(8)) for number in range(4000))
    full = option(25, bytes(12) + b"".join(option(26, bytes(25)) for _ in range(2200)))
    return [
        head + nested, head + option(3, bytes(12) + deep), head + many, head + full,
        head + option(0, b"") * 16_000, head + option(6, bytes(65_000)), head + option(24, b"\0" * 65_000),
        head + option(24, b"\1a" * 32_000), head + option(13, bytes(65_000)), head + option(23, bytes(65_008 - 16)),
    ]


@pytest.mark.parametrize("number", range(len(bombs())))
def test_option_bombs_cost_little_and_are_answered_with_little(number: int) -> None:
    core = server()
    bomb = packet.udp(THEIR_OCTETS, ALL_AGENTS, 546, 547, bombs()[number][: 65_535 - 8])
    assert 0 < steps(core.receive, bomb, 0.0) < 20 * len(bomb)
    assert sum(len(output.packet) for output in core.outputs() if isinstance(output, SendPacket)) < 1500


def test_extension_header_chains_end() -> None:
    chain = (packet.DESTINATION_OPTIONS.to_bytes(1, "big") + bytes(7)) * 8000
    data = packet.build(THEIR_OCTETS, ALL_AGENTS, packet.HOP_BY_HOP, chain, 1)
    assert packet.protocol_of(data) == -1
    inner = packet.read(sent(Message(dhcpv6.SOLICIT, 1, CLIENT))).payload
    carried = packet.build(THEIR_OCTETS, ALL_AGENTS, packet.HOP_BY_HOP, b"\x11" + bytes(7) + inner, 1)
    core = server()
    assert core.receive(carried, 0.0)
    assert len(core.outputs()) == 1
