"""Whom the access concentrator answers, with what, how often, and what it keeps."""

from __future__ import annotations

import random
from typing import Any

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, SessionClosed, SessionKey, SessionOpened, Transmit
from prol2tp.pppoe.packets import (
    BROADCAST,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    Discovery,
    VlanTag,
    read,
    write,
    write_session,
)
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings, Service
from tests.vectors.pppoe import AC, HOST, LINE

IF = "eth0"
OTHER = bytes.fromhex("020000000002")
SERVICES = (Service("gold"), Service("silver"), Service("hidden", advertised=False))


class Bench:
    """One access concentrator, fed by hand at times that we say."""

    def __init__(self, settings: ConcentratorSettings | None = None, **interface: Any) -> None:
        self.now = 1000.0
        self.traced: list[str] = []
        self.core = AccessConcentrator(settings or ConcentratorSettings("ac"), random.Random(1).randbytes)
        interface.setdefault("services", SERVICES)
        self.core.configure_interface(IF, InterfaceSettings(AC, **interface), self.now)

    def tell(self, packet: Discovery, interface: str = IF) -> list[Any]:
        self.core.receive(write(packet), interface, self.now)
        return self.outputs()

    def outputs(self) -> list[Any]:
        """Outputs, frames read back."""
        found = self.core.outputs()
        return [read(output.frame) if isinstance(output, Transmit) else output for output in found]

    def offer(self, name: bytes = b"", source: bytes = HOST, **fields: Any) -> PADO | None:
        found = self.tell(PADI(BROADCAST, source, service_names=(name,), **fields))
        assert len(found) < 2
        return found[0] if found else None

    def request(self, name: bytes = b"", source: bytes = HOST, **fields: Any) -> list[Any]:
        offer = self.offer(name, source, **fields)
        assert offer is not None
        return self.tell(PADR(AC, source, service_names=(name,), ac_cookie=offer.ac_cookie, **fields))

    def session(self, source: bytes = HOST, **fields: Any) -> SessionKey:
        (question,) = self.request(b"", source, **fields)
        self.core.routed(question.key, self.now)
        confirmation, opened = self.outputs()
        assert isinstance(confirmation, PADS) and isinstance(opened, SessionOpened)
        return question.key


# services


@pytest.mark.parametrize(("asked", "offered"), [
    (b"", (b"", b"gold", b"silver")),
    (b"gold", (b"gold", b"silver")),
    (b"hidden", (b"hidden", b"gold", b"silver")),
    (b"bronze", None),
    (b"\xff\xfe", None),
])  # fmt: skip
def test_an_offer_names_what_was_asked_for_then_all_that_is_advertised(
    asked: bytes, offered: tuple[bytes, ...] | None
) -> None:
    offer = Bench().offer(asked)
    assert (offer and offer.service_names) == offered


@pytest.mark.parametrize(("asked", "given", "advertised"), [
    (b"", "gold", True), (b"silver", "silver", True), (b"hidden", "hidden", False),
])  # fmt: skip
def test_a_host_gets_the_service_that_it_asked_for_or_the_first(asked: bytes, given: str, advertised: bool) -> None:
    bench = Bench()
    (question,) = bench.request(asked)
    assert (question.service_name, question.advertised) == (given, advertised)
    bench.core.routed(question.key, bench.now)
    confirmation = bench.outputs()[0]
    assert confirmation.service_names == (given.encode(),)


def test_a_concentrator_of_any_service_gives_every_name() -> None:
    bench = Bench(services=(), any_service=True)
    for name in (b"", b"bronze"):
        offer = bench.offer(name)
        assert offer is not None and offer.service_names == (name,)
    (question,) = bench.request(b"bronze")
    assert (question.service_name, question.advertised) == ("bronze", False)


def test_services_are_offered_on_their_vlans_alone() -> None:
    tag = (VlanTag(0x8100, 7),)
    services = (Service("gold", vlans={(7,)}), Service("silver"), Service("iron", vlans={()}))
    bench = Bench(services=services, vlans=None, any_service=True, any_service_vlans={(8,)})
    for vlans, asked, offered in (
        (tag, b"", (b"", b"gold", b"silver")), ((), b"", (b"", b"silver", b"iron")), (tag, b"iron", None),
        ((), b"gold", None), ((VlanTag(0x8100, 8),), b"gold", (b"gold", b"silver")), ((), b"bronze", None),
    ):  # fmt: skip
        offer = bench.offer(asked, vlans=vlans)
        assert (offer and offer.service_names) == offered
    (question,) = bench.request(b"", vlans=tag)
    assert question.service_name == "gold"
    (question,) = bench.request(b"", b"\2" * 6)
    assert question.service_name == "silver"


def test_hosts_that_ask_for_any_service_are_not_told_of_hidden_ones() -> None:
    bench = Bench(services=(Service("hidden", advertised=False),))
    assert bench.offer(b"") is None
    assert bench.offer(b"hidden") is not None
    assert bench.core.discards.unknown_services == 1


def test_a_request_for_a_service_that_was_not_offered_is_refused_by_name() -> None:
    bench = Bench()
    offer = bench.offer(b"gold")
    assert offer is not None
    (refusal,) = bench.tell(PADR(AC, HOST, service_names=(b"iron",), ac_cookie=offer.ac_cookie, host_uniq=b"h"))
    assert (refusal.session_id, refusal.service_names, refusal.host_uniq) == (0, (b"iron",), b"h")
    assert refusal.errors[0][0] == tags.SERVICE_NAME_ERROR
    assert bench.core.session_count == 0


# tags


@pytest.mark.parametrize("length", [0, 1, 4, 12, 100, 600])
def test_host_uniq_and_relay_session_id_of_any_length_come_back_in_every_answer(length: int) -> None:
    bench = Bench()
    echoed = {"host_uniq": b"h" * length, "relay_session_id": b"r" * length}
    offer = bench.offer(b"", **echoed)
    assert offer is not None
    (question,) = bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie, **echoed))
    bench.core.routed(question.key, bench.now)
    confirmation = bench.outputs()[0]
    bench.core.close_session(question.key, bench.now, "bye")
    end = bench.outputs()[0]
    assert isinstance(end, PADT) and end.errors == ((tags.GENERIC_ERROR, b"bye"),)
    for packet in (offer, confirmation, end):
        assert (packet.host_uniq, packet.relay_session_id) == (b"h" * length, b"r" * length)


def test_tags_that_leave_no_room_for_an_answer_make_the_packet_invalid() -> None:
    bench = Bench()
    assert bench.offer(b"", host_uniq=bytes(1480)) is None
    assert bench.core.counters.invalid_padi_received == 1
    offer = bench.offer(b"")
    assert offer is not None
    bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie, host_uniq=bytes(1480)))
    assert bench.core.counters.invalid_padr_received == 1 and bench.core.session_count == 0


def test_an_offer_of_too_many_services_stays_within_an_ethernet_frame() -> None:
    bench = Bench(services=tuple(Service(f"{number:0200d}") for number in range(20)))
    offer = bench.offer(b"", host_uniq=bytes(100))
    assert offer is not None
    assert len(write(offer)) <= 14 + 1500 and len(offer.service_names) == 7


def test_the_line_that_the_access_node_adds_reaches_the_route() -> None:
    bench = Bench()
    (question,) = bench.request(line=LINE)
    assert question.line == LINE


@pytest.mark.parametrize(("asked", "mtu", "answered"), [
    (0, 1508, 0), (1492, 1508, 0), (1400, 1508, 0), (1500, 1508, 1500), (1500, 1500, 0), (9000, 1508, 1500),
    (1500, 9000, 1500),
])  # fmt: skip
def test_ppp_max_payload_is_agreed_up_to_what_our_ethernet_carries(asked: int, mtu: int, answered: int) -> None:
    bench = Bench(mtu=mtu)
    offer = bench.offer(max_payload=asked)
    (question,) = bench.request(max_payload=asked)
    bench.core.routed(question.key, bench.now)
    assert offer is not None and offer.max_payload == answered
    assert bench.outputs()[0].max_payload == answered
    assert question.max_payload == (answered or 1492)


# whom it serves


def test_vlans_are_served_as_configured_and_answered_with_their_own_tags() -> None:
    tagged, stacked = (VlanTag(0x8100, 0xA007),), (VlanTag(0x88A8, 100), VlanTag(0x9100, 7))
    bench = Bench(vlans=frozenset({(7,), (100, 7)}))
    assert bench.offer() is None
    assert bench.offer(vlans=(VlanTag(0x8100, 8),)) is None
    assert bench.core.discards.other_vlans == 2
    for vlans in (tagged, stacked):
        offer = bench.offer(vlans=vlans)
        assert offer is not None and offer.vlans == vlans
    assert Bench(vlans=None).offer(vlans=stacked) is not None
    assert Bench().offer(vlans=(VlanTag(0x8100, 0xE000),)) is not None


def test_a_cookie_is_worth_nothing_in_another_vlan_or_for_another_host() -> None:
    bench = Bench(vlans=None)
    offer = bench.offer(vlans=(VlanTag(0x8100, 7),))
    assert offer is not None
    for source, vlans in ((HOST, ()), (HOST, (VlanTag(0x8100, 8),)), (OTHER, (VlanTag(0x8100, 7),))):
        assert bench.tell(PADR(AC, source, vlans, service_names=(b"",), ac_cookie=offer.ac_cookie)) == []
    assert bench.core.counters.invalid_padr_received == 3 and bench.core.session_count == 0


def test_hosts_are_denied_and_allowed_by_address_or_by_vendor() -> None:
    assert Bench(deny=frozenset({HOST})).offer() is None
    assert Bench(deny=frozenset({HOST[:3]})).offer() is None
    assert Bench(deny=frozenset({OTHER})).offer() is not None
    assert Bench(allow=frozenset({OTHER})).offer() is None
    assert Bench(allow=frozenset({HOST})).offer() is not None
    assert Bench(allow=frozenset({HOST[:3]}), deny=frozenset({HOST})).offer() is None
    bench = Bench(allow=frozenset())
    assert bench.offer() is None and bench.core.discards.denied_hosts == 1


def test_frames_for_other_addresses_and_from_unknown_interfaces_are_not_counted_as_ours() -> None:
    bench = Bench()
    assert bench.tell(PADI(OTHER, HOST, service_names=(b"",))) == []
    assert bench.tell(PADI(BROADCAST, HOST, service_names=(b"",)), "eth9") == []
    assert bench.core.counters.padi_received == 0 and bench.core.discards.other_destinations == 2
    assert len(bench.tell(PADI(AC, HOST, service_names=(b"",)))) == 1
    assert bench.tell(PADO(AC, OTHER, service_names=(b"",), ac_name=b"rogue")) == []
    assert bench.core.discards.other_packets == 1


# limits


def test_padis_over_the_rate_are_dropped_and_the_rate_comes_back() -> None:
    bench = Bench(padi_burst=3, padi_rate=10)
    assert sum(bench.offer() is not None for _ in range(10)) == 3
    assert bench.core.discards.padi_over_rate == 7
    bench.now += 0.1
    assert sum(bench.offer() is not None for _ in range(10)) == 1
    bench.now += 100
    assert sum(bench.offer() is not None for _ in range(10)) == 3


def test_one_cookie_does_not_ask_for_routes_without_end() -> None:
    bench = Bench(padi_burst=3, padi_rate=1)
    offer = bench.offer()
    assert offer is not None
    asked = 0
    for _ in range(100):
        outputs = bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie))
        for question in outputs:
            asked += 1
            bench.core.refused(question.key, bench.now)
            bench.outputs()
    assert asked == 3 and bench.core.discards.padr_over_rate == 97


def test_a_host_that_is_passed_over_hears_nothing_and_may_ask_again_with_the_same_cookie() -> None:
    bench = Bench()
    offer = bench.offer()
    assert offer is not None
    request = PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie)
    (question,) = bench.tell(request)
    bench.core.passed_over(question.key, bench.now)
    assert not bench.outputs() and bench.core.session_count == 0 and bench.core.discards.padr_over_load == 1
    (question,) = bench.tell(request)
    bench.core.routed(question.key, bench.now)
    assert isinstance(bench.outputs()[0], PADS)
    bench.core.passed_over(question.key, bench.now)
    assert bench.core.session_count == 1 and bench.core.discards.late_answers == 1


def test_a_denied_host_takes_nothing_of_the_rate_of_the_others() -> None:
    bench = Bench(padi_burst=1, padi_rate=1, deny=frozenset({OTHER}))
    for _ in range(100):
        assert bench.offer(source=OTHER) is None
    assert bench.offer() is not None


def test_a_storm_of_five_thousand_initiations_leaves_no_memory() -> None:
    bench = Bench(padi_rate=0)
    for number in range(5000):
        assert bench.offer(source=b"\x02\x02" + number.to_bytes(4, "big"), host_uniq=b"x") is not None
    place = bench.core.interfaces[IF]
    assert not place.sessions and not place.requests and not place._ids and not bench.core._delayed
    assert bench.core.deadline() is None and bench.core.counters.pado_sent == 5000


@pytest.mark.parametrize("limit", ["mac", "interface", "all"])
def test_at_a_limit_there_is_no_offer_and_a_request_is_refused(limit: str) -> None:
    bench = Bench(
        ConcentratorSettings("ac", max_sessions=2 if limit == "all" else 0),
        max_sessions=2 if limit == "interface" else 0, max_sessions_per_mac=2 if limit == "mac" else 0,
    )  # fmt: skip
    offers = [bench.offer(host_uniq=bytes((number,))) for number in range(3)]
    answers = [
        bench.tell(PADR(AC, HOST, service_names=(b"",), host_uniq=bytes((number,)), ac_cookie=offer.ac_cookie))[0]
        for number, offer in enumerate(offers) if offer is not None
    ]  # fmt: skip
    assert [type(answer) for answer in answers] == [AskRoute, AskRoute, PADS]
    assert answers[2].errors[0][0] == tags.AC_SYSTEM_ERROR and answers[2].session_id == 0
    assert bench.offer() is None and bench.core.discards.padi_over_limit == 1
    assert (bench.offer(source=OTHER) is not None) is (limit == "mac")


def test_a_host_that_restarts_replaces_its_oldest_session_where_that_is_wanted() -> None:
    bench = Bench(max_sessions_per_mac=2, replace=True)
    first = bench.session()
    bench.now += 1
    second = bench.session()
    bench.now += 1
    answers = bench.request()
    assert isinstance(answers[0], PADT) and answers[0].session_id == first.session_id
    assert answers[1] == SessionClosed(first, False, "replaced by a new session")
    assert isinstance(answers[2], AskRoute) and bench.core.session_count == 2
    assert (HOST, second.session_id) in bench.core.interfaces[IF].sessions


def test_session_ids_of_one_host_are_unique_and_neither_0_nor_65535() -> None:
    bench = Bench(padi_rate=0)
    keys = {bench.session() for _ in range(500)}
    assert len(keys) == 500
    assert all(0 < key.session_id < 0xFFFF for key in keys)


def test_a_loaded_concentrator_offers_late_and_keeps_a_bounded_number_of_offers() -> None:
    bench = Bench(ConcentratorSettings("ac", delays=((1, 0.5), (2, 2.0), (3, None)), max_delayed=5), padi_rate=0)
    bench.session(source=OTHER)
    assert bench.offer() is None
    assert bench.core.deadline() == bench.now + 0.5
    bench.now += 0.5
    bench.core.timeout(bench.now)
    (offer,) = bench.outputs()
    assert isinstance(offer, PADO) and bench.core.deadline() is None
    for _ in range(20):
        assert bench.offer() is None
    assert len(bench.core._delayed) == 5 and bench.core.discards.padi_over_load == 15
    bench.now += 1
    bench.core.timeout(bench.now)
    assert len(bench.outputs()) == 5
    (question,) = bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie))
    bench.core.routed(question.key, bench.now)
    bench.outputs()
    assert bench.offer() is None and bench.core.deadline() == bench.now + 2


# cookies and copies


@pytest.mark.parametrize("cookie", [None, b"", bytes(28), bytes(27), bytes(1000)])
def test_a_request_without_a_good_cookie_is_invalid_and_has_no_answer(cookie: bytes | None) -> None:
    bench = Bench()
    assert bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=cookie)) == []
    assert (bench.core.counters.padr_received, bench.core.counters.invalid_padr_received) == (1, 1)
    assert not bench.core.interfaces[IF]._ids


def test_a_cookie_dies_of_age_but_a_copy_of_the_request_is_answered_all_the_same() -> None:
    bench = Bench()
    old = bench.offer()
    assert old is not None
    key = bench.session()
    bench.now += 31
    assert bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=old.ac_cookie)) == []
    session = bench.core.interfaces[IF].sessions[HOST, key.session_id]
    (confirmation,) = bench.tell(PADR(AC, HOST, service_names=(b"",), ac_cookie=session.cookie))
    assert confirmation.session_id == key.session_id
    assert bench.core.counters.resent_padr_received == 1


def test_a_copy_that_comes_before_the_route_waits_for_it() -> None:
    bench = Bench()
    offer = bench.offer()
    assert offer is not None
    request = PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie)
    (question,) = bench.tell(request)
    assert bench.tell(request) == []
    bench.core.routed(question.key, bench.now)
    assert len(bench.outputs()) == 2


def test_two_sessions_of_one_host_need_no_host_uniq() -> None:
    bench = Bench()
    assert bench.session() != bench.session()
    assert bench.core.session_count == 2


def test_a_late_copy_of_a_request_does_not_open_an_ended_session_again() -> None:
    bench = Bench(max_sessions_per_mac=1, replace=True)
    first = bench.session()
    cookie = bench.core.interfaces[IF].sessions[HOST, first.session_id].cookie
    copy = PADR(AC, HOST, service_names=(b"",), ac_cookie=cookie)
    assert isinstance(bench.request()[0], PADT)
    assert bench.tell(copy) == []
    assert bench.core.counters.invalid_padr_received == 1 and bench.core.session_count == 1


def test_spent_cookies_are_not_kept_longer_than_they_live() -> None:
    bench = Bench(padi_rate=0)
    for _ in range(200):
        key = bench.session()
        bench.core.close_session(key, bench.now)
        bench.outputs()
        bench.now += 1
        assert len(bench.core._spent) <= 32
    old = bench.session()
    bench.now += 1000
    bench.core.close_session(old, bench.now)
    assert len(bench.core._spent) <= 32


# ends


def test_a_route_that_does_not_come_in_time_is_a_refusal() -> None:
    bench = Bench()
    (question,) = bench.request()
    assert bench.core.deadline() == bench.now + 30
    bench.now += 30
    bench.core.timeout(bench.now)
    refusal, closed = bench.outputs()
    assert (refusal.session_id, refusal.errors[0][0]) == (0, tags.AC_SYSTEM_ERROR)
    assert closed == SessionClosed(question.key, False, "no route in time")
    bench.core.routed(question.key, bench.now)
    bench.core.refused(question.key, bench.now)
    assert bench.outputs() == [] and bench.core.discards.late_answers == 2 and bench.core.session_count == 0


def test_a_termination_by_the_host_ends_the_session_and_is_not_answered() -> None:
    bench = Bench()
    key = bench.session()
    end = PADT(AC, HOST, session_id=key.session_id, errors=((tags.GENERIC_ERROR, b"user request"),))
    assert bench.tell(end) == [SessionClosed(key, True, "user request")]
    assert bench.tell(end) == []
    counters = bench.core.counters
    assert (counters.padt_received, counters.invalid_padt_received, counters.padt_sent) == (2, 1, 0)


@pytest.mark.parametrize(("source", "vlans"), [(OTHER, ()), (HOST, (VlanTag(0x8100, 7),))])
def test_a_termination_from_another_host_or_vlan_is_invalid(source: bytes, vlans: tuple[VlanTag, ...]) -> None:
    bench = Bench(vlans=None)
    key = bench.session()
    assert bench.tell(PADT(AC, source, vlans, session_id=key.session_id)) == []
    assert bench.core.counters.invalid_padt_received == 1 and bench.core.session_count == 1


def test_an_interface_that_goes_down_closes_silently_and_one_that_is_removed_says_so() -> None:
    bench = Bench()
    key = bench.session()
    bench.core.interface_down(IF, bench.now)
    assert bench.outputs() == [SessionClosed(key, False, "interface down")]
    key = bench.session()
    bench.core.remove_interface(IF, bench.now, "shutdown")
    end, closed = bench.outputs()
    assert end.errors == ((tags.GENERIC_ERROR, b"shutdown"),) and closed == SessionClosed(key, False, "shutdown")
    assert bench.core.session_count == 0
    with pytest.raises(KeyError):
        bench.core.close_session(key, bench.now)
    with pytest.raises(KeyError):
        bench.core.interface_down(IF, bench.now)


def test_other_settings_keep_the_sessions_and_another_address_ends_them() -> None:
    bench = Bench()
    key = bench.session()
    bench.core.configure_interface(IF, InterfaceSettings(AC, (Service("iron"),)), bench.now)
    assert bench.outputs() == [] and bench.offer(b"iron") is not None and bench.offer(b"gold") is None
    bench.core.configure_interface(IF, InterfaceSettings(OTHER), bench.now)
    assert bench.outputs() == [SessionClosed(key, False, "interface down")]


@pytest.mark.parametrize("mac", [b"", bytes(6), b"\xff" * 6, bytes(5)])
def test_settings_that_make_no_sense_are_refused(mac: bytes) -> None:
    bench = Bench()
    with pytest.raises(ValueError):
        bench.core.configure_interface("eth1", InterfaceSettings(mac), bench.now)
    assert "eth1" not in bench.core.interfaces
    with pytest.raises(ValueError):
        bench.core.configure_interface(IF, InterfaceSettings(AC, (Service("x" * 256),)), bench.now)
    with pytest.raises(ValueError):
        bench.core.configure(ConcentratorSettings(""))


def test_stray_session_frames_are_answered_with_a_termination_at_a_bounded_rate() -> None:
    bench = Bench()
    key = bench.session()
    bench.core.receive_stray(write_session(AC, HOST, (), key.session_id, b"\xc0\x21"), IF, bench.now)
    bench.core.receive_stray(write_session(OTHER, HOST, (), 77, b"\xc0\x21"), IF, bench.now)
    bench.core.receive_stray(write_session(AC, HOST, (), 77, b"\xc0\x21")[:19], IF, bench.now)
    assert bench.outputs() == []
    for _ in range(1000):
        bench.core.receive_stray(write_session(AC, OTHER, (), 77, b"\xc0\x21"), IF, bench.now)
    ends = bench.outputs()
    assert len(ends) == 50 and bench.core.counters.padt_sent == 50
    assert all((end.destination, end.session_id) == (OTHER, 77) for end in ends)


def test_questions_are_asked_again_after_a_restart() -> None:
    bench = Bench()
    (question,) = bench.request(line=LINE, relay_session_id=b"r")
    record = bench.core.to_record(bench.now)
    settings = {IF: InterfaceSettings(AC, SERVICES)}
    core = AccessConcentrator.from_record(record, bench.core.settings, settings, random.Random(2).randbytes, 5.0)
    core.ask_again(5.0)
    assert core.outputs() == [question]
    gone = AccessConcentrator.from_record(record, bench.core.settings, {}, random.Random(2).randbytes, 5.0)
    assert gone.session_count == 0


def test_the_counters_are_those_of_proac_info_in_its_order() -> None:
    names = [name.replace("_", " ") for name in AccessConcentrator(
        ConcentratorSettings("ac"), random.Random(1).randbytes).counters.__slots__]
    assert names == [
        "padi received", "invalid padi received", "pado sent", "padr received", "invalid padr received",
        "resent padr received", "pads sent", "padt received", "invalid padt received", "padt sent",
    ]  # fmt: skip


def test_broken_packets_are_counted_by_what_they_claim_to_be() -> None:
    bench = Bench()
    for code in (PADI.CODE, PADR.CODE, PADT.CODE, 0xD3):
        bench.core.receive(AC + HOST + bytes((0x88, 0x63, 0x11, code, 0, 0, 0, 9)), IF, bench.now)
    counters = bench.core.counters
    assert (counters.padi_received, counters.invalid_padi_received) == (1, 1)
    assert (counters.padr_received, counters.invalid_padr_received) == (1, 1)
    assert (counters.padt_received, counters.invalid_padt_received) == (1, 1)
    assert bench.core.discards.other_packets == 1 and bench.outputs() == []


def test_the_trace_shows_every_packet_with_its_interface_and_host() -> None:
    bench = Bench()
    seen: list[tuple[str, bytes, str]] = []
    bench.core.trace = lambda interface, mac, text: seen.append((interface, mac, text))
    bench.session()
    bench.core.receive(AC + HOST + b"\x88\x63\x11", IF, bench.now)
    assert [(interface, mac) for interface, mac, _ in seen] == [(IF, HOST)] * 5
    assert [text.split()[:2] for _, _, text in seen] == [
        ["receive", "PADI"], ["send", "PADO"], ["receive", "PADR"], ["send", "PADS"], ["receive", "invalid"],
    ]  # fmt: skip


def test_damaged_packets_in_any_state_raise_nothing_and_every_answer_goes_to_its_sender() -> None:
    source = random.Random(4638)
    bench = Bench(vlans=None, padi_rate=0)
    offer = bench.offer()
    assert offer is not None
    key = bench.session()
    seeds = [
        write(PADI(BROADCAST, HOST, service_names=(b"",), host_uniq=b"abc", line=LINE)),
        write(PADR(AC, HOST, service_names=(b"",), ac_cookie=offer.ac_cookie, max_payload=1500)),
        write(PADT(AC, HOST, session_id=key.session_id)),
    ]
    answered = 0
    for number in range(30_000):
        frame = bytearray(seeds[number % 3])
        for _ in range(source.randint(0, 2)):
            frame[source.randrange(len(frame))] = source.randrange(256)
        bench.core.receive(bytes(frame), IF, bench.now)
        outputs = bench.core.outputs()
        assert len(outputs) <= 1
        for output in outputs:
            if isinstance(output, Transmit):
                answered += 1
                assert output.frame[:6] == frame[6:12] and output.frame[6:12] == AC
                assert len(output.frame) <= 1518 + 4
            elif isinstance(output, AskRoute):
                bench.core.refused(output.key, bench.now, tags.GENERIC_ERROR)
                bench.core.outputs()
    assert answered > 1000
