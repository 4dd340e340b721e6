"""Hosts against access concentrators on a segment that loses, doubles and reorders, in virtual time."""

from __future__ import annotations

import json

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.client import Host, State
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, DiscoveryFailed, SessionClosed, SessionOpened
from prol2tp.pppoe.packets import PADR, PADS, PADT, read, write
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings, Service
from tests.pair.pppoe_segment import IF, Segment

AC, AC2 = bytes.fromhex("0200000000ac"), bytes.fromhex("0200000000ad")
HOST = bytes.fromhex("020000000001")


def mac(number: int) -> bytes:
    return b"\x02\x01" + number.to_bytes(4, "big")


def kinds(segment: Segment) -> list[str]:
    return [type(read(frame)).__name__ for frame in segment.frames]


def test_a_host_finds_the_concentrator_and_each_says_so_once() -> None:
    segment = Segment()
    core, host = segment.concentrator(AC), segment.host(HOST)
    host.open(segment.now)
    segment.run(1)
    assert kinds(segment) == ["PADI", "PADO", "PADR", "PADS"]
    (ours,), (theirs,) = segment.of(AC, SessionOpened), segment.of(HOST, SessionOpened)
    assert (ours.key.peer, theirs.key.peer, theirs.ac_name) == (HOST, AC, "ac")
    assert ours.key.session_id == theirs.key.session_id
    assert ours.max_payload == theirs.max_payload == 1492
    assert core.deadline() is host.deadline() is None
    host.close(segment.now, "bye")
    segment.run(1)
    assert segment.of(AC, SessionClosed) == [SessionClosed(ours.key, True, "bye")]
    assert segment.of(HOST, SessionClosed) == [SessionClosed(theirs.key, False, "bye")]
    assert core.session_count == 0 and not core.interfaces[IF].requests and host.state is State.IDLE


def test_the_concentrator_ends_a_session_and_the_host_learns_why() -> None:
    segment = Segment()
    core, host = segment.concentrator(AC), segment.host(HOST)
    host.open(segment.now)
    segment.run(1)
    core.close_session(segment.of(AC, SessionOpened)[0].key, segment.now, "maintenance")
    segment.run(1)
    closed = segment.of(HOST, SessionClosed)
    assert [(output.by_peer, output.message) for output in closed] == [(True, "maintenance")]
    assert host.key is None


@pytest.mark.parametrize(("host_mtu", "ac_mtu", "agreed"), [
    (1500, 1500, 1492), (1508, 1500, 1492), (1500, 1508, 1492), (1508, 1508, 1500), (1508, 9000, 1500),
    (9000, 1508, 1500), (1501, 1508, 1493),
])  # fmt: skip
def test_both_agree_on_the_smaller_payload(host_mtu: int, ac_mtu: int, agreed: int) -> None:
    segment = Segment()
    segment.concentrator(AC, mtu=ac_mtu)
    segment.host(HOST, mtu=host_mtu).open(segment.now)
    segment.run(1)
    assert [output.max_payload for output in segment.of(AC, SessionOpened)] == [agreed]
    assert [output.max_payload for output in segment.of(HOST, SessionOpened)] == [agreed]


@pytest.mark.parametrize("wanted", [{"ac_name": "second"}, {"service_name": "gold"}])
def test_a_host_takes_the_offer_that_suits(wanted: dict[str, str]) -> None:
    segment = Segment()
    segment.concentrator(AC, ConcentratorSettings("first"), services=(Service("silver"),))
    segment.concentrator(AC2, ConcentratorSettings("second"), services=(Service("gold"),))
    segment.host(HOST, **wanted).open(segment.now)
    segment.run(5)
    (opened,) = segment.of(HOST, SessionOpened)
    assert (opened.key.peer, opened.ac_name, opened.service_name) == (AC2, "second", "gold")
    assert not segment.of(AC, AskRoute)


def test_a_loaded_concentrator_offers_later_than_an_idle_one_and_a_full_one_not_at_all() -> None:
    segment = Segment()
    segment.concentrator(AC, ConcentratorSettings("loaded", delays=((0, 0.5), (2, None))))
    segment.concentrator(AC2, ConcentratorSettings("idle", max_sessions=1))
    for number in range(5):
        segment.host(mac(number)).open(segment.now)
        segment.run(2)
    taken = [output.ac_name for number in range(5) for output in segment.of(mac(number), SessionOpened)]
    assert taken == ["idle", "loaded", "loaded"]


def test_waiting_doubles_up_to_its_bound_and_the_host_gives_up_after_its_last_try() -> None:
    segment = Segment()
    host = segment.host(HOST, padi_tries=7, timeout=1.0, max_timeout=8.0)
    times = []
    host.open(segment.now)
    while host.state is not State.IDLE:
        segment.settle()
        times.append(segment.now)
        when = host.deadline()
        assert when is not None
        segment.now = when
        host.timeout(when)
    segment.settle()
    waits = [later - earlier for earlier, later in zip(times, [*times[1:], segment.now], strict=True)]
    assert len(waits) == 7
    for wait, wanted in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert abs(wait - wanted) <= 0.1 * wanted
    assert segment.of(HOST, DiscoveryFailed) == [DiscoveryFailed(None, "no access concentrator answers")]
    assert host.deadline() is None


def test_a_host_whose_requests_are_not_confirmed_looks_for_another_concentrator() -> None:
    segment = Segment()
    segment.concentrator(AC, ConcentratorSettings("mute", route_timeout=10_000))
    segment.route = lambda core, question, now: None
    host = segment.host(HOST, padr_tries=3, padi_tries=2)
    host.open(segment.now)
    segment.run(3600)
    assert kinds(segment) == ["PADI", "PADO", "PADR", "PADR", "PADR", "PADI", "PADO", "PADR", "PADR", "PADR"]
    assert segment.of(HOST, DiscoveryFailed) and host.state is State.IDLE


def test_a_refusal_ends_the_search_with_its_reason() -> None:
    segment = Segment()
    core = segment.concentrator(AC)
    segment.route = lambda core, question, now: core.refused(question.key, now, tags.AC_SYSTEM_ERROR, "no LNS")
    segment.host(HOST).open(segment.now)
    segment.run(60)
    assert segment.of(HOST, DiscoveryFailed) == [DiscoveryFailed(tags.AC_SYSTEM_ERROR, "no LNS")]
    assert core.session_count == 0 and not segment.of(AC, SessionClosed)


def test_a_host_that_closes_while_it_asks_leaves_nothing_behind() -> None:
    segment = Segment()
    core = segment.concentrator(AC)
    host = segment.host(HOST)
    host.open(segment.now)
    segment.run(10, lambda: host.state is State.PADR_SENT)
    host.close(segment.now)
    segment.run(10)
    assert kinds(segment) == ["PADI", "PADO", "PADR", "PADS", "PADT"]
    assert core.session_count == 0 and not segment.of(HOST, SessionOpened)


@pytest.mark.parametrize("seed", range(8))
def test_thirty_hosts_come_up_on_a_bad_segment_and_all_sessions_agree(seed: int) -> None:
    segment = Segment(seed, loss=0.25, duplication=0.2, reordering=0.2)
    segment.concentrator(AC, ConcentratorSettings("ac", cookie_lifetime=60))
    macs = [mac(number) for number in range(30)]
    for host in [segment.host(address, service_name="") for address in macs]:
        host.open(segment.now)
    assert segment.run(3600, lambda: all(segment.open_sessions(address) for address in macs))
    segment.run(60)
    for address in macs:
        (key,) = segment.open_sessions(address)
        assert key._replace(peer=address) in segment.open_sessions(AC)


@pytest.mark.parametrize("seed", range(8))
def test_with_copies_and_late_frames_but_no_loss_no_session_is_left_over(seed: int) -> None:
    segment = Segment(seed, duplication=0.4, reordering=0.4)
    core = segment.concentrator(AC, ConcentratorSettings("ac", cookie_lifetime=60))
    macs = [mac(number) for number in range(20)]
    for address in macs:
        segment.host(address).open(segment.now)
    segment.run(600)
    assert core.session_count == len(macs)
    for address in macs:
        segment.hosts[address].close(segment.now)
    segment.run(600)
    for interface in core.interfaces.values():
        assert not interface.requests and not interface._ids
    assert core.session_count == 0 and core.deadline() is None
    assert all(not keys for keys in map(segment.open_sessions, (AC, *macs)))


def test_the_counters_are_what_was_on_the_wire() -> None:
    segment = Segment(7, loss=0.2, duplication=0.2, reordering=0.3)
    core = segment.concentrator(AC)
    for number in range(20):
        segment.host(mac(number)).open(segment.now)
    segment.run(300)
    for number in range(10):
        segment.hosts[mac(number)].close(segment.now)
    segment.run(60)
    sent = [frame for frame in segment.frames if frame[6:12] == AC]
    wire = kinds_of(sent)
    counters = core.counters
    assert counters.pado_sent == wire.count("PADO") and counters.pads_sent == wire.count("PADS")
    assert counters.padt_sent == wire.count("PADT")
    assert counters.resent_padr_received > 0 and counters.padr_received > counters.resent_padr_received
    assert counters.invalid_padi_received == 0
    opened = len(segment.of(AC, SessionOpened))
    assert opened == counters.padr_received - counters.resent_padr_received - counters.invalid_padr_received
    assert counters.pads_sent == opened + counters.resent_padr_received
    assert counters.padt_received - counters.invalid_padt_received == len(segment.of(AC, SessionClosed))


def kinds_of(frames: list[bytes]) -> list[str]:
    return [type(read(frame)).__name__ for frame in frames]


def test_copies_of_a_request_make_one_session_and_are_answered_alike() -> None:
    segment = Segment()
    segment.concentrator(AC)
    segment.host(HOST).open(segment.now)
    segment.run(1)
    (request,) = [frame for frame in segment.frames if isinstance(read(frame), PADR)]
    confirmations = [frame for frame in segment.frames if isinstance(read(frame), PADS)]
    core = segment.concentrators[AC]
    for _ in range(3):
        core.receive(request, IF, segment.now + 1000)
        confirmations += [output.frame for output in core.outputs()]
    assert len(confirmations) == 4 and len(set(confirmations)) == 1
    assert core.counters.resent_padr_received == 3 and core.session_count == 1


def test_a_spoofed_end_or_confirmation_from_another_address_changes_nothing() -> None:
    segment = Segment()
    core, host = segment.concentrator(AC), segment.host(HOST)
    host.open(segment.now)
    segment.run(10, lambda: host.state is State.PADR_SENT)
    forged = [PADS(HOST, AC2, session_id=9, service_names=(b"",), host_uniq=host.host_uniq)]
    forged += [PADS(HOST, AC, session_id=9, service_names=(b"",), host_uniq=b"other")]
    forged += [PADS(HOST, AC, session_id=9, service_names=(b"",))]
    for packet in forged:
        host.receive(write(packet), segment.now)
    assert host.state is State.PADR_SENT and not host.outputs()
    segment.run(1)
    (key,) = segment.open_sessions(AC)
    for source, session_id in ((AC2, key.session_id), (AC, key.session_id ^ 1 or 2)):
        host.receive(write(PADT(HOST, source, session_id=session_id)), segment.now)
        core.receive(write(PADT(AC, source, session_id=session_id)), IF, segment.now)
    core.receive(write(PADT(AC, HOST, session_id=key.session_id ^ 1 or 2)), IF, segment.now)
    segment.run(1)
    assert core.session_count == 1 and host.state is State.SESSION
    assert core.counters.invalid_padt_received == 3 and core.counters.padt_sent == 0


def test_both_ends_go_on_from_their_records_at_any_moment() -> None:
    segment = Segment(3, loss=0.2)
    segment.concentrator(AC, services=(Service("gold"),))
    macs = [mac(number) for number in range(10)]
    for address in macs:
        segment.host(address).open(segment.now)
    for _ in range(100):
        segment.run(4)
        core = segment.concentrators[AC]
        record = json.loads(json.dumps(core.to_record(segment.now)))
        settings = {IF: InterfaceSettings(AC, (Service("gold"),))}
        restored = AccessConcentrator.from_record(
            record, core.settings, settings, segment.random.randbytes, segment.now
        )
        assert restored.to_record(segment.now) == core.to_record(segment.now)
        segment.concentrators[AC] = restored
        for address, host in segment.hosts.items():
            kept = json.loads(json.dumps(host.to_record(segment.now)))
            segment.hosts[address] = Host.from_record(
                kept, IF, host.settings, segment.random.randbytes, segment.now
            )
            assert segment.hosts[address].to_record(segment.now) == kept
    assert all(segment.open_sessions(address) for address in macs)
    assert {key.peer for key in segment.open_sessions(AC)} == set(macs)
    for host in segment.hosts.values():
        host.close(segment.now)
    segment.loss = 0
    segment.run(60)
    assert segment.concentrators[AC].session_count == 0
    assert all(len(segment.of(address, SessionClosed)) == 1 for address in macs)
