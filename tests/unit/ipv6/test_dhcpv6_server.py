"""The DHCPv6 server of one link, message by message (RFC 8415 sections 16 and 18.3)."""

from __future__ import annotations

import json

import pytest

from prol2tp.ipv6 import dhcpv6, packet
from prol2tp.ipv6.dhcpv6 import IA, Item, Message, Status
from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.outputs import (
    AddressDeclined,
    AddressLeased,
    AddressReleased,
    PrefixDelegated,
    PrefixReleased,
)
from prol2tp.ipv6.server import ALL_AGENTS, DHCPv6Server, ServerSettings
from tests.ipv6_ends import (
    ADDRESS,
    CLIENT,
    DUID,
    LEASE,
    OURS,
    PREFIX,
    SETTINGS,
    THEIR_OCTETS,
    exchange,
    sent,
    server,
    texts,
)

OTHER = b"\0\x03\0\x01\x02\0\0\0\0\x02"


def ask(kind: int, client: bytes = CLIENT, iaid: int = 1, **fields: object) -> Message:
    """With our id where the client must name its server."""
    server_id = DUID if kind in (dhcpv6.REQUEST, dhcpv6.RENEW, dhcpv6.RELEASE, dhcpv6.DECLINE) else b""
    parts = {"addresses": (IA(iaid),), "prefixes": (IA(iaid),), "requested": (23, 24), "server_id": server_id}
    return Message(kind, 0xABCDEF, client, **{**parts, **fields})  # type: ignore[arg-type]


def bound(lease: Lease = LEASE) -> tuple[DHCPv6Server, Message]:
    core = server(lease)
    _, reply = exchange(core, ask(dhcpv6.REQUEST))
    return core, reply


def silent(core: DHCPv6Server, message: Message | bytes) -> None:
    data = message if isinstance(message, bytes) else sent(message)
    assert core.receive(data, 0.0)
    assert core.outputs() == []


def test_solicit_is_answered_by_an_advertise_that_binds_nothing():
    core = server()
    changes, answer = exchange(core, ask(dhcpv6.SOLICIT))
    assert changes == []
    assert (answer.type, answer.transaction_id) == (dhcpv6.ADVERTISE, 0xABCDEF)
    assert (answer.client_id, answer.server_id, answer.preference) == (CLIENT, DUID, 255)
    (address,), (prefix,) = answer.addresses, answer.prefixes
    assert texts(address.items) == [ADDRESS + "/128"]
    assert texts(prefix.items) == [PREFIX]
    assert (address.t1, address.t2) == (500, 800)
    assert (prefix.items[0].preferred_lifetime, prefix.items[0].valid_lifetime) == (1000, 2000)
    assert len(answer.dns) == 2 and answer.domains == ("example.net", "corp.example")
    assert core.deadline() is None


def test_request_binds_and_says_so_before_the_reply_and_once_when_repeated():
    core = server()
    changes, answer = exchange(core, ask(dhcpv6.REQUEST))
    assert changes == [AddressLeased(ADDRESS), PrefixDelegated(PREFIX)]
    assert answer.type == dhcpv6.REPLY and answer.status is None
    again, second = exchange(core, ask(dhcpv6.REQUEST), 1.0)
    assert again == [] and second == answer
    assert core.deadline() == 2001.0


def test_rapid_commit_binds_at_once_unless_switched_off():
    changes, answer = exchange(server(), ask(dhcpv6.SOLICIT, rapid_commit=True))
    assert len(changes) == 2 and answer.type == dhcpv6.REPLY and answer.rapid_commit
    changes, answer = exchange(
        server(settings=ServerSettings(DUID, rapid_commit=False)), ask(dhcpv6.SOLICIT, rapid_commit=True)
    )
    assert changes == [] and answer.type == dhcpv6.ADVERTISE and not answer.rapid_commit


def test_what_the_lease_lacks_is_refused_by_status_and_the_rest_is_given():
    _, answer = exchange(server(Lease((), (PREFIX,))), ask(dhcpv6.REQUEST))
    assert answer.addresses[0].status.code == dhcpv6.NO_ADDRS_AVAIL
    assert texts(answer.prefixes[0].items) == [PREFIX]
    _, answer = exchange(server(Lease((ADDRESS,))), ask(dhcpv6.SOLICIT))
    assert answer.prefixes[0].status.code == dhcpv6.NO_PREFIX_AVAIL
    assert answer.addresses[0].status is None


def test_several_prefixes_go_to_one_association_or_one_to_each():
    lease = Lease((), ("2001:db8:1::/56", "2001:db8:2::/60", "2001:db8:3::/56"))
    _, answer = exchange(server(lease), ask(dhcpv6.REQUEST))
    assert len(answer.prefixes[0].items) == 3
    hint = Item(bytes(16), 60)
    _, answer = exchange(server(lease), ask(dhcpv6.REQUEST, prefixes=(IA(1), IA(2, items=(hint,)))))
    first, second = answer.prefixes
    assert texts(first.items) == ["2001:db8:1::/56", "2001:db8:3::/56"]
    assert texts(second.items) == ["2001:db8:2::/60"]
    _, answer = exchange(server(LEASE), ask(dhcpv6.REQUEST, prefixes=(IA(1), IA(2))))
    assert [ia.status and ia.status.code for ia in answer.prefixes] == [None, dhcpv6.NO_PREFIX_AVAIL]


def test_request_for_an_address_of_another_link_is_not_on_link():
    strange = IA(1, items=(Item(bytes.fromhex("20010db8") + bytes(12), 128),))
    changes, answer = exchange(server(), ask(dhcpv6.REQUEST, addresses=(strange,)))
    assert changes == [PrefixDelegated(PREFIX)]
    assert answer.addresses == (IA(1, status=Status(dhcpv6.NOT_ON_LINK)),)


def test_renew_and_rebind_extend_the_binding():
    for kind in (dhcpv6.RENEW, dhcpv6.REBIND):
        core, reply = bound()
        held = {"addresses": reply.addresses, "prefixes": reply.prefixes}
        changes, answer = exchange(core, ask(kind, **held), 500.0)
        assert changes == []
        assert (answer.addresses, answer.prefixes) == (reply.addresses, reply.prefixes)
        assert core.deadline() == 2500.0


def test_renew_of_what_is_unknown_but_free_is_bound_anew():
    _, reply = bound()
    core = server()
    changes, answer = exchange(core, ask(dhcpv6.RENEW, addresses=reply.addresses, prefixes=reply.prefixes))
    assert len(changes) == 2
    assert answer.addresses == reply.addresses


def test_another_client_takes_over_by_request_and_the_old_one_has_no_binding():
    core, reply = bound()
    changes, answer = exchange(core, ask(dhcpv6.REQUEST, OTHER, 9))
    assert changes == [] and texts(answer.prefixes[0].items) == [PREFIX]
    _, answer = exchange(core, ask(dhcpv6.RENEW, addresses=reply.addresses, prefixes=reply.prefixes))
    assert [ia.status.code for ia in answer.addresses + answer.prefixes] == [dhcpv6.NO_BINDING] * 2
    changes, answer = exchange(core, ask(dhcpv6.RENEW, OTHER, 9), 1.0)
    assert texts(answer.addresses[0].items) == [ADDRESS + "/128"]


def test_a_new_lease_releases_the_old_prefix_and_renewing_clients_hear_lifetime_0():
    core, reply = bound()
    core.update(SETTINGS, Lease((ADDRESS,), ("2001:db8:200::/56",)), 10.0)
    assert core.outputs() == [PrefixReleased(PREFIX)]
    changes, answer = exchange(core, ask(dhcpv6.RENEW, prefixes=reply.prefixes), 20.0)
    assert changes == [PrefixDelegated("2001:db8:200::/56")]
    (prefix,) = answer.prefixes
    assert texts(prefix.items) == ["2001:db8:200::/56", PREFIX]
    assert (prefix.items[1].preferred_lifetime, prefix.items[1].valid_lifetime) == (0, 0)
    assert prefix.status is None


def test_release_unbinds_what_is_named_and_is_a_success_for_the_rest():
    core, reply = bound()
    changes, answer = exchange(core, ask(dhcpv6.RELEASE, addresses=(), prefixes=reply.prefixes))
    assert changes == [PrefixReleased(PREFIX)]
    assert answer.status.code == dhcpv6.SUCCESS and answer.prefixes == ()
    changes, answer = exchange(core, ask(dhcpv6.RELEASE, addresses=(), prefixes=reply.prefixes))
    assert changes == [] and answer.status.code == dhcpv6.SUCCESS
    assert answer.prefixes == (IA(1, status=Status(dhcpv6.NO_BINDING)),)
    changes, _ = exchange(core, ask(dhcpv6.RELEASE, OTHER, addresses=reply.addresses, prefixes=()))
    assert changes == [], "another client cannot release it"


def test_a_declined_address_is_not_given_again_before_a_new_lease():
    core, reply = bound()
    changes, answer = exchange(core, ask(dhcpv6.DECLINE, addresses=reply.addresses, prefixes=()))
    assert changes == [AddressReleased(ADDRESS), AddressDeclined(ADDRESS)]
    assert answer.status.code == dhcpv6.SUCCESS
    _, answer = exchange(core, ask(dhcpv6.SOLICIT))
    assert answer.addresses[0].status.code == dhcpv6.NO_ADDRS_AVAIL
    core.update(SETTINGS, LEASE, 1.0)
    _, answer = exchange(core, ask(dhcpv6.SOLICIT))
    assert answer.addresses[0].status is None


def test_confirm_says_whether_addresses_fit_the_link():
    core, reply = bound()
    _, answer = exchange(core, ask(dhcpv6.CONFIRM, addresses=reply.addresses, prefixes=()))
    assert answer.status.code == dhcpv6.SUCCESS
    strange = (IA(1, items=(Item(bytes(15) + b"\x09", 128),)),)
    _, answer = exchange(core, ask(dhcpv6.CONFIRM, addresses=strange, prefixes=()))
    assert answer.status.code == dhcpv6.NOT_ON_LINK
    silent(core, ask(dhcpv6.CONFIRM))


def test_information_request_gives_configuration_and_nothing_else():
    core = server()
    plain = Message(dhcpv6.INFORMATION_REQUEST, 7, requested=(23, 32))
    _, answer = exchange(core, plain)
    assert answer.type == dhcpv6.REPLY and answer.client_id == b"" and answer.server_id == DUID
    assert len(answer.dns) == 2 and answer.domains == () and answer.refresh_time == 86400
    _, answer = exchange(core, Message(dhcpv6.INFORMATION_REQUEST, 7, CLIENT, DUID))
    assert answer.domains and answer.dns and answer.refresh_time
    silent(core, Message(dhcpv6.INFORMATION_REQUEST, 7, CLIENT, b"\0\x04other"))
    silent(core, Message(dhcpv6.INFORMATION_REQUEST, 7, CLIENT, addresses=(IA(1),)))


@pytest.mark.parametrize("kind", [1, 3, 4, 5, 6, 8, 9])
def test_messages_without_a_client_id_or_with_the_wrong_server_id_are_dropped(kind: int):
    core, reply = bound()
    held = {"addresses": reply.addresses}
    silent(core, ask(kind, b"", **held))
    silent(core, ask(kind, **held, server_id=b"\0\x04other"))
    wrong = b"" if ask(kind).server_id else DUID
    silent(core, ask(kind, **held, server_id=wrong))
    assert core.counters.dropped == 3
    assert len(core.leases.bindings) == 2


def test_messages_of_servers_relays_and_unknown_ones_are_dropped():
    core = server()
    for kind in (dhcpv6.ADVERTISE, dhcpv6.REPLY, dhcpv6.RECONFIGURE, 200):
        silent(core, ask(kind, server_id=DUID))
    for kind in (dhcpv6.RELAY_FORW, dhcpv6.RELAY_REPL):
        silent(core, ask(kind))
    assert (core.counters.dropped, core.counters.relayed, core.counters.sent) == (4, 2, 0)


def test_unicast_is_refused_with_use_multicast_or_dropped():
    core = server()
    core.receive(sent(ask(dhcpv6.REQUEST), destination=THEIR_OCTETS), 0.0)
    (answer,) = core.outputs()
    reply = dhcpv6.decode(packet.read_udp(packet.read(answer.packet))[2])
    assert reply.status.code == dhcpv6.USE_MULTICAST and not reply.addresses
    silent(core, sent(ask(dhcpv6.SOLICIT), destination=THEIR_OCTETS))


def test_packets_that_are_not_for_the_server_are_left_to_others():
    core = server()
    other = packet.udp(THEIR_OCTETS, ALL_AGENTS, 546, 548, b"\1\0\0\0")
    for data in (b"", b"\x45" + bytes(60), other, bytes(40), b"\x60" + bytes(39)):
        assert not core.receive(data, 0.0)
    silent(core, sent(ask(dhcpv6.SOLICIT), source="2001:db8::9"))
    damaged = bytearray(sent(ask(dhcpv6.SOLICIT)))
    damaged[-1] ^= 1
    silent(core, bytes(damaged))
    assert (core.counters.bad, core.counters.last_bad, core.counters.dropped) == (1, "UDP checksum", 1)


def test_bindings_expire_and_are_released():
    core, _ = bound()
    core.timeout(1999.0)
    assert core.outputs() == []
    core.timeout(core.deadline())
    assert core.outputs() == [AddressReleased(ADDRESS), PrefixReleased(PREFIX)]
    assert core.deadline() is None


def test_leases_for_ever_have_no_deadline():
    core, reply = bound(Lease((ADDRESS,), (PREFIX,), dhcpv6.INFINITY, dhcpv6.INFINITY))
    assert core.deadline() is None
    assert reply.addresses[0].t1 == reply.addresses[0].t2 == dhcpv6.INFINITY


def test_closing_releases_all_and_answers_nobody():
    core, _ = bound()
    core.close(1.0)
    assert core.outputs() == [AddressReleased(ADDRESS), PrefixReleased(PREFIX)]
    silent(core, ask(dhcpv6.SOLICIT))


def test_a_flood_is_answered_at_the_rate_of_a_client():
    core = server()
    for _ in range(1000):
        core.receive(sent(ask(dhcpv6.SOLICIT)), 0.0)
    assert len(core.outputs()) == 20 and core.counters.limited == 980
    exchange(core, ask(dhcpv6.SOLICIT), 0.25)


def test_a_record_brings_bindings_back_without_saying_them_again():
    core, reply = bound(Lease((ADDRESS,), (PREFIX, "2001:db8:300::/56"), 1000, 2000))
    record = json.loads(json.dumps(core.to_record(500.0)))
    again = DHCPv6Server.from_record(record, SETTINGS, LEASE, OURS, 10_000.0)
    assert again.outputs() == [PrefixReleased("2001:db8:300::/56")]
    assert again.deadline() == 11_500.0
    changes, answer = exchange(again, ask(dhcpv6.RENEW, addresses=reply.addresses, prefixes=()), 10_001.0)
    assert changes == [] and answer.addresses == reply.addresses
    with pytest.raises(ValueError):
        DHCPv6Server.from_record({**record, "version": 9}, SETTINGS, LEASE, OURS, 0.0)


@pytest.mark.parametrize("wrong", [
    ServerSettings(b""), ServerSettings(DUID, preference=256), ServerSettings(DUID, refresh_time=5),
    ServerSettings(DUID, dns=("192.0.2.1",)), ServerSettings(DUID, domains=("a..b",)),
    Lease(("192.0.2.1",)), Lease((), ("2001:db8::1/56",)), Lease((), (), 10, 5), Lease(t1=-1),
])
def test_settings_that_cannot_be_sent_are_refused(wrong: ServerSettings | Lease):
    with pytest.raises(ValueError):
        server(wrong) if isinstance(wrong, Lease) else server(settings=wrong)
