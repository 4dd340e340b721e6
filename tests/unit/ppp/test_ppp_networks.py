"""IPCP and IPv6CP, and what their failures mean for the link (RFC 1332, 1877, 5072; RFC 1661 section 3.7)."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.automaton import State
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import NetworkDown, NetworkUp
from tests.ppp_ends import End

LCP, IPCP, IPV6CP = frame.LCP, frame.IPCP, frame.IPV6CP


def up(**settings: Any) -> End:
    """An end in phase NETWORK."""
    end = End(**({"magic": False, "pcomp": False, "accomp": False} | settings))
    end.open_lcp()
    assert end.link.phase is Phase.NETWORK
    return end


def ups(end: End) -> list[NetworkUp]:
    return [output for output in end.all if isinstance(output, NetworkUp)]


# IPCP


def test_a_peer_that_asks_for_nothing_gets_its_address_by_nak() -> None:
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.7")
    assert end.hear(IPCP, 1, 1, b"\x03\x06\0\0\0\0") == [(IPCP, 3, 1, b"\x03\x06\x0a\0\0\x07")]
    assert end.hear(IPCP, 1, 2, b"\x03\x06\x0a\0\0\x07") == [(IPCP, 2, 2, b"\x03\x06\x0a\0\0\x07")]
    end.acknowledge(IPCP)
    assert ups(end) == [NetworkUp("ip", "10.0.0.1", "10.0.0.7")]


def test_another_address_than_the_one_assigned_is_naked_unless_accept_remote() -> None:
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.7")
    assert end.hear(IPCP, 1, 1, b"\x03\x06\x0a\0\0\x08") == [(IPCP, 3, 1, b"\x03\x06\x0a\0\0\x07")]
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.7", accept_remote=True)
    assert end.hear(IPCP, 1, 1, b"\x03\x06\x0a\0\0\x08") == [(IPCP, 2, 1, b"\x03\x06\x0a\0\0\x08")]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.5", "224.0.0.1", "255.255.255.255", "10.0.0.1"])
def test_addresses_that_no_peer_may_have_are_refused(address: str) -> None:
    end = up(local_ip="10.0.0.1")
    octets = bytes(int(part) for part in address.split("."))
    assert end.hear(IPCP, 1, 1, b"\x03\x06" + octets) == [(IPCP, 4, 1, b"\x03\x06" + octets)]


def test_name_servers_are_given_on_request_and_those_that_we_have_not_are_rejected() -> None:
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.7", dns=("9.9.9.9", "149.112.112.112"), nbns=("10.0.0.2",))
    ask = b"\x81\x06\0\0\0\0\x82\x06\0\0\0\0\x83\x06\0\0\0\0\x84\x06\0\0\0\0"
    assert end.hear(IPCP, 1, 1, ask) == [(IPCP, 4, 1, b"\x84\x06\0\0\0\0")]
    ((_, code, _, data),) = end.hear(IPCP, 1, 2, b"\x03\x06\x0a\0\0\x07" + ask[:18])
    assert (code, data) == (3, b"\x81\x06\x09\x09\x09\x09\x82\x06\x0a\0\0\x02\x83\x06\x95\x70\x70\x70")
    assert end.hear(IPCP, 1, 3, b"\x03\x06\x0a\0\0\x07" + data)[0][1] == 2


def test_vj_compression_and_the_old_addresses_option_are_rejected() -> None:
    end = up(local_ip="10.0.0.1")
    vj, old = b"\x02\x06\x00\x2d\x0f\x01", b"\x01\x0a\x0a\0\0\x07\x0a\0\0\x01"
    assert end.hear(IPCP, 1, 1, b"\x03\x06\x0a\0\0\x07" + vj + old) == [(IPCP, 4, 1, vj + old)]


def test_a_client_takes_its_address_and_name_servers_from_naks() -> None:
    end = up(usepeerdns=True, ipv6=False)
    assert end.last_request(IPCP)[3] == b"".join(
        bytes((kind, 6, 0, 0, 0, 0)) for kind in (3, 129, 130, 131, 132)
    )
    end.hear(IPCP, 4, 1, b"\x82\x06\0\0\0\0\x84\x06\0\0\0\0")
    said = end.hear(IPCP, 3, 2, b"\x03\x06\x0a\0\0\x07\x81\x06\x09\x09\x09\x09\x83\x06\x08\x08\x08\x08")
    assert said == [(IPCP, 1, 3, b"\x03\x06\x0a\0\0\x07\x81\x06\x09\x09\x09\x09\x83\x06\x08\x08\x08\x08")]
    end.acknowledge(IPCP)
    end.hear(IPCP, 1, 1, b"\x03\x06\x0a\0\0\x01")
    assert ups(end) == [NetworkUp("ip", "10.0.0.7", "10.0.0.1", ("9.9.9.9", "8.8.8.8"))]


def test_our_own_address_is_kept_against_a_nak_unless_accept_local() -> None:
    end = up(local_ip="10.0.0.1")
    assert end.hear(IPCP, 3, 1, b"\x03\x06\x0a\0\0\x02") == [(IPCP, 1, 2, b"\x03\x06\x0a\0\0\x01")]
    end = up(local_ip="10.0.0.1", accept_local=True)
    assert end.hear(IPCP, 3, 1, b"\x03\x06\x0a\0\0\x02") == [(IPCP, 1, 2, b"\x03\x06\x0a\0\0\x02")]


def test_a_peer_that_does_not_negotiate_its_address_is_told_it_once() -> None:
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.7")
    assert end.hear(IPCP, 1, 1) == [(IPCP, 3, 1, b"\x03\x06\x0a\0\0\x07")]
    assert end.hear(IPCP, 1, 2) == [(IPCP, 2, 2, b"")]
    end.acknowledge(IPCP)
    assert ups(end) == [NetworkUp("ip", "10.0.0.1", "10.0.0.7")]


def test_a_client_whose_address_option_is_rejected_has_no_ip_but_keeps_the_link() -> None:
    end = up()
    end.hear(IPCP, 4, 1, b"\x03\x06\0\0\0\0")
    end.acknowledge(IPCP)
    end.hear(IPCP, 1, 1, b"\x03\x06\x0a\0\0\x01")
    assert ups(end) == []
    assert end.link.ipcp is not None
    assert (end.link.ipcp.state, end.link.ipcp.failure) == (State.CLOSING, "no IPv4 address for us")
    assert end.link.phase is Phase.NETWORK


# IPv6CP


def ifid(value: int) -> bytes:
    return b"\x01\x0a" + value.to_bytes(8, "big")


def test_different_identifiers_are_acknowledged() -> None:
    end = up(ip=False, local_interface_id=1)
    assert end.last_request(IPV6CP)[3] == ifid(1)
    assert end.hear(IPV6CP, 1, 1, ifid(2)) == [(IPV6CP, 2, 1, ifid(2))]
    end.acknowledge(IPV6CP)
    assert ups(end) == [NetworkUp("ipv6", "fe80::1", "fe80::2")]


def test_no_identifier_and_our_own_are_naked_with_another() -> None:
    for asked in (0, 1):
        end = up(ip=False, local_interface_id=1)
        ((_, code, _, data),) = end.hear(IPV6CP, 1, 1, ifid(asked))
        assert code == 3 and data not in (ifid(0), ifid(1))
        assert not data[2] & 0x02


def test_the_identifier_that_a_server_gives_is_insisted_on() -> None:
    end = up(ip=False, local_interface_id=1, peer_interface_id=5)
    assert end.hear(IPV6CP, 1, 1, ifid(9)) == [(IPV6CP, 3, 1, ifid(5))]
    assert end.hear(IPV6CP, 1, 2, ifid(5)) == [(IPV6CP, 2, 2, ifid(5))]
    end = up(ip=False, local_interface_id=1, peer_interface_id=5, accept_remote=True)
    assert end.hear(IPV6CP, 1, 1, ifid(9)) == [(IPV6CP, 2, 1, ifid(9))]


def test_a_suggestion_is_taken_and_one_that_is_none_is_not() -> None:
    end = up(ip=False, local_interface_id=1)
    assert end.hear(IPV6CP, 3, 1, ifid(7)) == [(IPV6CP, 1, 2, ifid(7))]
    ((_, _, _, data),) = end.hear(IPV6CP, 3, 2, ifid(0))
    assert data not in (ifid(0), ifid(7))


def test_two_ends_with_one_identifier_come_apart() -> None:
    from prol2tp.ppp.settings import LinkSettings
    from tests.ppp_ends import Pair

    for seed in range(20):
        pair = Pair(
            LinkSettings(ip=False, local_interface_id=77),
            LinkSettings(ip=False, local_interface_id=77),
            seed=seed,
        )
        pair.start()
        pair.run(20.0)
        (a,), (b,) = pair.ups(0), pair.ups(1)
        assert a.local != a.peer and (a.local, a.peer) == (b.peer, b.local)


def test_identifier_compression_is_rejected() -> None:
    end = up(ip=False)
    assert end.hear(IPV6CP, 1, 1, ifid(2) + b"\x02\x04\x00\x4f") == [(IPV6CP, 4, 1, b"\x02\x04\x00\x4f")]


# the link


def test_a_network_that_the_peer_does_not_have_leaves_the_other_up() -> None:
    end = up(local_ip="10.0.0.1")
    end.open_ip()
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\x80\x57\x01\x01\x00\x0e")
    assert end.link.ipv6cp is not None and end.link.ipv6cp.state is State.STOPPED
    end.wait(100.0)
    assert end.link.phase is Phase.NETWORK and end.down is None


def test_a_network_that_the_peer_never_answers_leaves_the_other_up() -> None:
    end = up(local_ip="10.0.0.1")
    end.open_ip()
    end.wait(100.0)
    assert end.link.phase is Phase.NETWORK and end.down is None
    end.hear(IPV6CP, 1, 1, ifid(2))
    end.acknowledge(IPV6CP)
    assert [up.protocol for up in ups(end)] == ["ip", "ipv6"]


def test_without_any_network_the_link_ends_with_a_cause() -> None:
    end = up(local_ip="10.0.0.1")
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\x80\x57\x01\x01\x00\x0e")
    assert end.link.phase is Phase.NETWORK
    said = end.hear(LCP, frame.PROTOCOL_REJECT, 2, b"\x80\x21\x01\x01\x00\x0a")
    assert [packet[1] for packet in said] == [frame.TERMINATE_REQUEST]
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Negotiation Failed"
    assert "the peer rejects IPCP" in end.down.message
    end = up(local_ip="10.0.0.1")
    end.wait(60.0)
    assert end.down is not None and end.down.cause == "Negotiation Failed"


def test_a_network_that_is_closed_after_it_was_up_does_not_end_the_link() -> None:
    end = up(local_ip="10.0.0.1", ipv6=False)
    end.open_ip()
    end.hear(IPCP, frame.TERMINATE_REQUEST, 9)
    assert end.facts() == [NetworkDown("ip")]
    end.wait(100.0)
    assert end.link.phase is Phase.NETWORK and end.down is None
    end.hear(IPCP, 1, 10, b"\x03\x06\x0a\0\0\x63")
    end.acknowledge(IPCP)
    assert len(ups(end)) == 2


def test_the_shell_closes_one_network_that_it_cannot_configure() -> None:
    end = up(local_ip="10.0.0.1")
    end.open_ip()
    said = end.call("network_failed", "ip")
    assert [packet[:2] for packet in said] == [(IPCP, frame.TERMINATE_REQUEST)]
    assert end.facts() == [NetworkDown("ip")]
    end.hear(IPCP, frame.TERMINATE_ACK, said[0][2])
    assert [packet[1] for packet in end.hear(IPCP, 1, 9, b"\x03\x06\x0a\0\0\x63")] == [frame.TERMINATE_ACK]
    assert end.link.phase is Phase.NETWORK


def test_protocol_reject_of_the_data_protocol_takes_its_network_down() -> None:
    end = up(local_ip="10.0.0.1")
    end.open_ip()
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\x00\x21\x45\x00")
    assert end.facts() == [NetworkDown("ip")]


def test_packets_of_a_network_that_stray_onto_the_control_path_are_dropped() -> None:
    end = up(local_ip="10.0.0.1")
    assert end.hear_frame(b"\xff\x03\x00\x21" + bytes(20)) == []
    assert end.link.discards == 1


def test_a_peer_that_does_not_negotiate_its_identifier_is_told_one_once() -> None:
    end = up(ip=False, local_interface_id=1)
    ((_, code, _, data),) = end.hear(IPV6CP, 1, 1)
    assert (code, data[:2]) == (3, b"\x01\x0a")
    assert end.hear(IPV6CP, 1, 2) == [(IPV6CP, 2, 2, b"")]


def test_naks_of_wrong_length_take_the_option_away() -> None:
    end = up(local_ip="10.0.0.1", usepeerdns=True)
    ((_, _, _, data),) = end.hear(IPCP, 3, 1, b"\x81\x03\x09\x82\x02\x83\x02\x84\x02")
    assert data == b"\x03\x06\x0a\0\0\x01"


def test_status_words_of_the_networks() -> None:
    end = up(local_ip="10.0.0.1", peer_ip="10.0.0.99", dns=("9.9.9.9",), usepeerdns=True)
    assert end.link.ipcp is not None and end.link.ipv6cp is not None
    assert end.link.ipcp.want == ("negaddr", "reqaddr", "dns1", "wins1", "dns2", "wins2")
    assert end.link.ipcp.allow == ("negaddr", "dns1")
    assert end.link.ipv6cp.want == end.link.ipv6cp.allow == ("ifid",)
    end.hear(IPCP, 4, 1, b"".join(bytes((kind, 6, 0, 0, 0, 0)) for kind in (129, 130, 131, 132)))
    end.open_ip()
    assert end.link.ipcp.got == end.link.ipcp.his == ("negaddr",)
