"""Tunnels in answers (RFC 2868): groups by tag, lists of servers, forms of vendors, and what is broken."""

from __future__ import annotations

import random

import pytest
from pyrad.packet import AccessAccept, AuthPacket

from prol2tp.radius import packets
from prol2tp.radius.answer import Answer, read
from prol2tp.radius.dictionary import ATTRIBUTES, DICTIONARY
from prol2tp.radius.tunnels import MOST_GROUPS, NO_PREFERENCE, TunnelReader

SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))


def packet_of(*rows: tuple[str, object], raw: tuple[tuple[str, bytes], ...] = ()) -> AuthPacket:
    packet = AuthPacket(AccessAccept, 7, SECRET, AUTHENTICATOR, dict=DICTIONARY)
    for name, value in rows:
        packet.AddAttribute(name, value)
    for name, octets in raw:
        packet.setdefault(ATTRIBUTES[name].key, []).append(octets)
    return packet


def answer(*rows: tuple[str, object], raw: tuple[tuple[str, bytes], ...] = ()) -> Answer:
    decoded = packets.decode(packet_of(*rows, raw=raw).ReplyPacket(), SECRET)
    decoded.request_authenticator = AUTHENTICATOR
    return read(decoded)


def test_a_broken_group_costs_itself_alone() -> None:
    found = answer(
        ("Tunnel-Server-Endpoint:1", "192.0.2.1"), ("Tunnel-Server-Endpoint:2", "192.0.2.2"),
        raw=(("Tunnel-Password", b"\x01\x80\x01short"),))
    assert [group.server_endpoint for group in found.tunnels] == ["192.0.2.2"]
    assert found.tunnel_problems == ("tunnel 1: Tunnel-Password: Invalid length of salt encrypted value",)


def test_a_broken_value_for_all_groups_costs_those_that_have_none_of_their_own() -> None:
    found = answer(
        ("Tunnel-Server-Endpoint:1", "192.0.2.1"), ("Tunnel-Server-Endpoint:2", "192.0.2.2"),
        ("Tunnel-Password:2", "its own"), raw=(("Tunnel-Password", b"\x00\x80\x01short"),))
    assert [(group.tag, group.password) for group in found.tunnels] == [(2, b"its own")]
    assert len(found.tunnel_problems) == 1


@pytest.mark.parametrize("octets", [b"\x20\x00\x00\x01", b"\x01\x00\x01", b"", b"\x01\x00\x00\x00\x01"])
def test_a_number_whose_group_is_not_known_costs_no_group(octets: bytes) -> None:
    found = answer(("Tunnel-Server-Endpoint:1", "192.0.2.1"), raw=(("Tunnel-Preference", octets),))
    assert [group.preference for group in found.tunnels] == [NO_PREFERENCE]
    assert len(found.tunnel_problems) == 1 and "Tunnel-Preference" in found.tunnel_problems[0]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Tunnel-Type:1", "PPTP", "Tunnel-Type 1 is not L2TP"),
        ("Tunnel-Medium-Type:1", 6, "Tunnel-Medium-Type 6 is neither IPv4 nor IPv6"),
        ("Tunnel-Client-Endpoint:1", "lac.example", "Tunnel-Client-Endpoint 'lac.example' is no address"),
        ("Tunnel-Server-Endpoint:1", "300.1.2.3", "'300.1.2.3' is neither an address nor a name"),
        ("Tunnel-Server-Endpoint:1", "lns:99999", "'lns:99999' is neither an address nor a name"),
        ("Tunnel-Server-Endpoint:1", "a b;c", "'b;c' is neither an address nor a name"),
        ("Tunnel-Server-Endpoint:1", "224.0.0.1", "'224.0.0.1' is neither an address nor a name"),
    ],
)
def test_what_is_no_tunnel_of_ours_is_left_out_with_a_reason(name: str, value: object, reason: str) -> None:
    rows = {"Tunnel-Server-Endpoint:1": "192.0.2.1", "Tunnel-Server-Endpoint:2": "192.0.2.2", name: value}
    found = answer(*rows.items())
    assert [group.tag for group in found.tunnels] == [2]
    assert found.tunnel_problems[0].startswith("tunnel 1: ") and reason in found.tunnel_problems[0]


def test_a_group_without_a_server_is_no_tunnel() -> None:
    found = answer(("Tunnel-Type:1", "L2TP"), ("Tunnel-Assignment-ID:1", "isp"))
    assert found.tunnels == () and found.tunnel_problems == ("tunnel 1: no Tunnel-Server-Endpoint",)


@pytest.mark.parametrize(
    "server", ["192.0.2.1", "192.0.2.1:1702", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:1702", "lns.example",
               "lns1", "lns.example:1702"])
def test_servers_are_addresses_and_names_with_a_port_or_without(server: str) -> None:
    (group,) = answer(("Tunnel-Server-Endpoint:1", server)).tunnels
    assert group.server_endpoint == server


def test_lists_of_servers_are_taken_apart_equals_and_those_to_try_later() -> None:
    found = answer(
        ("Tunnel-Server-Endpoint:1", "192.0.2.1,192.0.2.2 192.0.2.3/192.0.2.4"), ("Tunnel-Preference:1", 5),
        ("Tunnel-Server-Endpoint:2", "192.0.2.9"), ("Tunnel-Preference:2", 4))
    assert [(group.server_endpoint, group.preference, group.rank) for group in found.tunnels] == [
        ("192.0.2.9", 4, 0), ("192.0.2.1", 5, 0), ("192.0.2.2", 5, 0), ("192.0.2.3", 5, 0), ("192.0.2.4", 5, 1)]


def test_several_servers_of_one_group_are_equals() -> None:
    found = answer(("Tunnel-Server-Endpoint:1", "192.0.2.1"), ("Tunnel-Server-Endpoint:1", "192.0.2.2"))
    assert [group.server_endpoint for group in found.tunnels] == ["192.0.2.1", "192.0.2.2"]


def test_a_list_without_end_is_cut() -> None:
    found = answer(*((f"Tunnel-Server-Endpoint:{tag}", ",".join(f"10.0.0.{host}" for host in range(6)))
                     for tag in range(1, 25)))
    assert len(found.tunnels) == MOST_GROUPS


def test_tags_and_untagged_values_are_told_apart_by_their_first_octet() -> None:
    (group,) = answer(raw=(("Tunnel-Server-Endpoint", b"\x00192.0.2.1"), ("Tunnel-Assignment-ID", b"isp"),
                           ("Tunnel-Client-Auth-ID", b"\x00lac\x00"))).tunnels
    assert (group.tag, group.server_endpoint, group.assignment_id, group.client_auth_id) == (
        0, "192.0.2.1", "isp", "lac")


def test_a_password_without_its_tag_is_one_for_all() -> None:
    packet = packet_of(("Tunnel-Password:3", "s3cret"))
    (octets,) = packet[69]
    found = answer(("Tunnel-Server-Endpoint:1", "192.0.2.1"), ("Tunnel-Server-Endpoint:2", "192.0.2.2"),
                   raw=(("Tunnel-Password", octets[1:]),))
    assert [group.password for group in found.tunnels] == [b"s3cret", b"s3cret"]


def test_pairs_of_vpdn_make_a_tunnel_of_their_own() -> None:
    found = answer(*(("Cisco-AVPair", pair) for pair in (
        "vpdn:tunnel-type=l2tp", "vpdn:tunnel-id=lac7", "vpdn:ip-addresses=192.0.2.1,192.0.2.2/192.0.2.3",
        "vpdn:l2tp-tunnel-password=s3cret", "vpdn:l2tp-hello-interval=30", "vpdn:l2tp-hidden-avp=yes",
        "vpdn:l2tp-tunnel-authen=no", "vpdn:l2tp-nosession-timeout=15", "vpdn:source-ip=192.0.2.99",
        "ip:addr-pool=other")))
    assert [(group.server_endpoint, group.rank) for group in found.tunnels] == [
        ("192.0.2.1", 0), ("192.0.2.2", 0), ("192.0.2.3", 1)]
    best = found.tunnels[0]
    assert (best.password, best.client_auth_id, best.client_endpoint) == (b"s3cret", "lac7", "192.0.2.99")
    assert (best.hello_interval, best.idle_timeout, best.hide_avps, best.authentication) == (30, 15, True, False)
    assert found.tunnel_problems == () and "s3cret" not in repr(best)


def test_attributes_of_the_standard_count_more_than_pairs_of_vpdn() -> None:
    (group,) = answer(("Cisco-AVPair", "vpdn:ip-addresses=192.0.2.1"), ("Cisco-AVPair", "vpdn:tunnel-id=lac7"),
                      ("Tunnel-Server-Endpoint:4", "192.0.2.4")).tunnels
    assert (group.tag, group.server_endpoint, group.client_auth_id) == (4, "192.0.2.4", "lac7")


def test_pairs_of_vpdn_without_a_server_are_no_tunnel_and_bad_ones_are_said() -> None:
    found = answer(("Cisco-AVPair", "vpdn:tunnel-id=lac7"))
    assert found.tunnels == () and found.tunnel_problems == ()
    found = answer(("Cisco-AVPair", "vpdn:ip-addresses=192.0.2.1"), ("Cisco-AVPair", "vpdn:l2tp-hello-interval=x"))
    assert found.tunnels == ()
    assert found.tunnel_problems == ("Cisco-AVPair vpdn:l2tp-hello-interval has no value that it can have",)
    found = answer(("Cisco-AVPair", "vpdn:ip-addresses=192.0.2.1"), ("Cisco-AVPair", "vpdn:gw-password=x"))
    assert len(found.tunnels) == 1
    assert found.tunnel_problems == ("Cisco-AVPair vpdn:gw-password means nothing here",)


def test_mutated_tunnel_attributes_raise_nothing_and_give_only_what_can_be_a_tunnel() -> None:
    good = packet_of(
        ("Tunnel-Type:1", "L2TP"), ("Tunnel-Medium-Type:1", "IPv4"), ("Tunnel-Server-Endpoint:1", "192.0.2.1,lns/b"),
        ("Tunnel-Password:1", "secret"), ("Tunnel-Preference:1", 7), ("Tunnel-Assignment-ID:1", "isp"),
        ("Tunnel-Private-Group-ID:1", "group"), ("Tunnel-Client-Auth-ID:1", "lac"), ("Tunnel-Server-Auth-ID:1", "lns"))
    decoded = packets.decode(good.ReplyPacket(), SECRET)
    decoded.request_authenticator = AUTHENTICATOR
    rows = [(key, value) for key, value in packets.attributes(decoded) if key in TunnelReader.KEYS]
    source = random.Random(7)
    usable = broken = 0
    for _ in range(20_000):
        reader = TunnelReader(decoded)
        for key, value in rows:
            octets = bytearray(value)
            for _ in range(source.randint(0, 2)):
                at = source.randrange(len(octets) + 1)
                choice = source.random()
                if choice < 0.5 and at < len(octets):
                    octets[at] = source.choice((0, 1, 2, 0x1F, 0x20, 0x2F, 0x7F, 0x80, 0xFF, source.randrange(256)))
                elif choice < 0.75:
                    del octets[at : at + source.randint(1, 9)]
                else:
                    octets[at:at] = source.randbytes(source.randint(1, 9))
            reader.read(key, bytes(octets))
        groups, problems = reader.groups()
        usable += bool(groups)
        broken += bool(problems)
        for group in groups:
            assert group.server_endpoint and len(group.server_endpoint) <= 260
            assert not set(group.server_endpoint) & set(" ,/\0")
            assert 0 <= group.preference <= NO_PREFERENCE and 0 <= group.tag <= 0x1F
    assert usable > 1000 and broken > 1000
