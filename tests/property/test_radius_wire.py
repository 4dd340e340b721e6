"""RADIUS with hostile bytes: mutated, truncated and invented packets, and round trips of every value."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st
from pyrad.packet import AccessAccept, AuthPacket, CoAPacket

from prol2tp.common.wire import WireError
from prol2tp.radius import access, accounting, packets
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.answer import read
from prol2tp.radius.attributes import Nas
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.dictionary import BY_KEY, DICTIONARY
from prol2tp.radius.dynauth import DynamicAuthorization, DynamicClient
from prol2tp.radius.outputs import Accepted, AnswerDropped, Transmit
from prol2tp.radius.servers import ServerSettings
from prol2tp.radius.values import DECODE, ENCODE, route

MUTATIONS = 100_000
SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))


def full_accept() -> bytes:
    packet = AuthPacket(AccessAccept, 0, SECRET, AUTHENTICATOR, dict=DICTIONARY)
    for name, value in {
        "Framed-IP-Address": "10.0.0.1", "Framed-Route": "10.0.0.0/8 0.0.0.0 1", "Filter-Id": "gold",
        "Session-Timeout": 60, "Framed-IPv6-Prefix": "2001:db8::/64", "Delegated-IPv6-Prefix": "2001:db8::/56",
        "Framed-Interface-Id": "1:2:3:4", "Framed-IPv6-Address": "2001:db8::1", "Tunnel-Type:1": 3,
        "Tunnel-Server-Endpoint:1": "192.0.2.1", "Tunnel-Password:1": "secret", "Tunnel-Preference:1": 7,
        "MS-MPPE-Send-Key": b"k" * 16, "MS-Primary-DNS-Server": "10.0.0.53", "Framed-IPv6-Route": "::/0 ::",
        "Cisco-AVPair": "a=b", "Reply-Message": "hello",
    }.items():  # fmt: skip
        packet.AddAttribute(name, value)
    packet[25], packet[79] = [b"0x1234"], [b"\x01\x02\x00\x04"]
    packet[(311, 26)] = [b"\x01S=" + b"0" * 40]
    return packet.ReplyPacket()


ACCEPT = full_accept()


def mutated(source: random.Random, octets: bytes) -> bytes:
    changed = bytearray(octets)
    for _ in range(source.randint(1, 4)):
        choice = source.random()
        at = source.randrange(len(changed)) if changed else 0
        if choice < 0.6 and changed:
            changed[at] = source.choice((0, 1, 2, 3, 0x1F, 0x20, 0x7F, 0x80, 0xFF, source.randrange(256)))
        elif choice < 0.75:
            del changed[at : at + source.randint(1, 20)]
        elif choice < 0.9:
            changed[at:at] = source.randbytes(source.randint(1, 8))
        else:
            del changed[at:]
    if source.random() < 0.8 and len(changed) >= 4:  # most keep a right length, to come further
        changed[2:4] = len(changed).to_bytes(2, "big")
    return bytes(changed)


def test_mutated_answers_raise_nothing_but_wire_errors() -> None:
    source = random.Random(1)
    understood = 0
    for _ in range(MUTATIONS):
        octets = mutated(source, ACCEPT)
        try:
            packet = packets.decode(octets, SECRET)
            packet.request_authenticator = AUTHENTICATOR
            read(packet)
            understood += 1
        except WireError:
            pass
    assert MUTATIONS // 20 < understood < MUTATIONS


def test_mutated_answers_to_a_client_change_nothing_but_counters() -> None:
    source = random.Random(2)
    client = RadiusClient([ServerSettings("one", "192.0.2.1", SECRET)], source.randbytes)
    client.request(AccessRequest(b"u", "pap", nas=Nas(identifier="x")), 0.0)
    (lane, sent) = (output for output in client.outputs())
    assert isinstance(sent, Transmit)
    request = AuthPacket(secret=SECRET, dict=DICTIONARY, packet=sent.data)
    reply = request.CreateReply()
    reply.AddAttribute("Filter-Id", "gold")
    good = reply.ReplyPacket()
    for _ in range(MUTATIONS // 4):
        octets = mutated(source, good)
        if octets[: len(good)] != good:
            client.receive(octets, lane.lane, ("192.0.2.1", 1812), 0.1)
    assert [type(output) for output in client.outputs()] == [AnswerDropped], "all of them are told once"
    counters = client.counters
    assert min(counters.malformed, counters.bad_authenticator, counters.unknown_identifier, counters.wrong_code) > 10
    client.receive(good, lane.lane, ("192.0.2.1", 1812), 0.1)
    assert isinstance(client.outputs()[0], Accepted)


def test_mutated_dynamic_requests_that_are_signed_anew_are_answered_or_dropped() -> None:
    source = random.Random(3)
    packet = CoAPacket(43, 1, SECRET, dict=DICTIONARY)
    for name, value in {
        "Acct-Session-Id": "abc", "User-Name": "u", "Framed-IP-Address": "10.0.0.1", "NAS-Identifier": "lns",
        "Session-Timeout": 60, "Filter-Id": "gold", "Framed-Interface-Id": "1:2:3:4", "Cisco-AVPair": "a=b",
    }.items():  # fmt: skip
        packet.AddAttribute(name, value)
    good = packet.RequestPacket()
    server = DynamicAuthorization([DynamicClient("192.0.2.0/24", SECRET)])
    said = 0
    for step in range(MUTATIONS // 4):
        octets = mutated(source, good)
        if len(octets) >= 20:
            signature = packets.md5(octets[:4] + bytes(16) + octets[20:] + SECRET).digest()
            octets = octets[:4] + signature + octets[20:]
        server.receive(octets, ("192.0.2.9", 5), ("192.0.2.1", 3799), 0.0, step / 100)
        outputs = server.outputs()
        assert len(outputs) <= 1
        said += len(outputs)
    assert said > 1000
    assert len(server._seen) <= server.settings.max_cached


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_packet_or_a_wire_error(octets: bytes) -> None:
    try:
        read(packets.decode(b"\x02\x00" + (len(octets) + 20).to_bytes(2, "big") + bytes(16) + octets, SECRET))
    except WireError:
        pass


@settings(max_examples=300)
@given(st.text(max_size=80))
def test_any_text_is_a_route_or_a_wire_error(line: str) -> None:
    try:
        route(line)
    except WireError:
        pass


@given(
    st.integers(0, 0xFFFFFFFF), st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 128),
    st.integers(0, 2**64 - 1), st.text(max_size=60), st.binary(max_size=253),
)  # fmt: skip
def test_values_come_back_as_they_were(
    number: int, four: IPv4Address, six: IPv6Address, length: int, ifid: int, text: str, octets: bytes
) -> None:
    prefix = str(IPv6Network((six, length), strict=False))
    for kind, value in (
        ("integer", number), ("date", number), ("ipaddr", str(four)), ("ipv6addr", str(six)), ("ipv6prefix", prefix),
        ("ifid", ifid), ("string", text), ("octets", octets),
    ):  # fmt: skip
        assert DECODE[kind](ENCODE[kind](value)) == value


@settings(max_examples=200)
@given(st.data())
def test_values_of_every_attribute_decode_or_raise_wire_errors(data: st.DataObject) -> None:
    attribute = data.draw(st.sampled_from(sorted(BY_KEY.values())))
    octets = data.draw(st.binary(max_size=40))
    try:
        DECODE[attribute.type](octets)
    except WireError:
        pass


@settings(max_examples=200)
@given(st.binary(max_size=253), st.binary(max_size=128), st.binary(min_size=1, max_size=40), st.binary(max_size=253))
def test_requests_carry_any_name_and_password_and_class(
    user: bytes, password: bytes, secret: bytes, value: bytes
) -> None:
    record = AccessRequest(user, "pap", password=password, classes=(value,), nas=Nas(identifier="x"))
    assert record.problem() == ""
    packet = AuthPacket(secret=secret, packet=access.encode(record, 1, AUTHENTICATOR, secret))
    assert packet.verify_message_authenticator()
    assert packet.get(1, [b""]) == [user]
    assert packet[25] == [value]


@settings(max_examples=200)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_octet_counts_come_back_from_octets_and_gigawords(received: int, sent: int) -> None:
    record = AccountingRequest("Stop", "s", 1, input_octets=received, output_octets=sent)
    data, _ = accounting.encode(record, 0, 1, SECRET)
    packet = packets.decode(data, SECRET)

    def count(low: int, high: int) -> int:
        return int.from_bytes(packet.get(high, [b"\0"])[0], "big") << 32 | int.from_bytes(packet[low][0], "big")

    assert (count(42, 52), count(43, 53)) == (received, sent)
