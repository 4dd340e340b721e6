"""The client in virtual time: retransmission, failover, dead servers, caps, and everything a network does."""

from __future__ import annotations

import random

import pytest

from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Nas
from prol2tp.radius.client import ClientSettings
from prol2tp.radius.exchange import interval
from prol2tp.radius.outputs import (
    Accepted,
    AccountingAcknowledged,
    AnswerDropped,
    Challenged,
    CloseLane,
    NoAnswer,
    Rejected,
    ServerAlive,
    ServerDead,
)
from tests.unit.radius.radius_server import Net, Server, rejects, server

A, B, C = "192.0.2.1", "192.0.2.2", "2001:db8::3"
NAS = Nas(identifier="lns")


def login(user: str = "u1@example.com", password: bytes = b"pw") -> AccessRequest:
    return AccessRequest(user.encode(), "pap", password=password, nas=NAS)


def stop(number: int = 1, delay: float = 0.0) -> AccountingRequest:
    return AccountingRequest("Stop", f"s{number}", 1_700_000_000, delay=delay, user="u1@example.com", nas=NAS)


def two(**changes: object) -> list:
    return [server("one", A, priority=1, **changes), server("two", B, priority=2, **changes)]


def test_a_login_is_accepted_by_the_only_server() -> None:
    net = Net([server("one", A)], {A: Server(lambda request, reply: reply.AddAttribute("Filter-Id", "gold"))})
    handle = net.request(login())
    net.run(1)
    accepted = net.result(handle)
    assert isinstance(accepted, Accepted)
    assert accepted.answer.filter_ids == ("gold",)
    assert accepted.server == "one"
    counters = net.client.counters
    assert (counters.access_requests, counters.access_accepts, counters.retransmits) == (1, 1, 0)
    assert net.client.auth_in_progress == 0
    assert net.client.deadline() is None


def test_the_server_reads_the_password_and_the_nas() -> None:
    peer = Server()
    net = Net([server("one", A)], {A: peer})
    net.request(login(password=b"a rather long password of more than sixteen octets"))
    net.run(1)
    (got,) = peer.got
    assert got.PwDecrypt(got[2][0]) == "a rather long password of more than sixteen octets"
    assert got["NAS-Identifier"] == ["lns"]
    assert got["User-Name"] == ["u1@example.com"]


def test_a_reject_carries_its_message() -> None:
    net = Net([server("one", A)], {A: Server(rejects)})
    handle = net.request(login())
    net.run(1)
    rejected = net.result(handle)
    assert isinstance(rejected, Rejected)
    assert (rejected.answer.reply_message, rejected.reason) == ("no", "")


def test_a_challenge_is_gone_on_with_at_the_same_server() -> None:
    def challenge(request, reply):  # type: ignore[no-untyped-def]
        if 24 not in request:
            reply.code = 11
            reply[24] = [b"0xstate"]

    peers = {A: Server(challenge), B: Server(challenge)}
    net = Net([server("one", A), server("two", B)], peers)
    for _ in range(8):
        handle = net.request(login())
        net.run(net.now + 1)
        challenged = net.result(handle)
        assert isinstance(challenged, Challenged)
        again = login()
        again.state = challenged.answer.state
        handle = net.request(again, prefer=challenged.server)
        net.run(net.now + 1)
        accepted = net.result(handle)
        assert isinstance(accepted, Accepted)
        assert accepted.server == challenged.server
    assert {len(peer.got) % 2 for peer in peers.values()} == {0}
    assert all(peer.got for peer in peers.values())


def test_retransmissions_follow_rfc_5080_and_repeat_the_same_packet() -> None:
    peer = Server()
    peer.up = False
    net = Net([server("one", A, status_server=False)], {A: peer})
    handle = net.request(login())
    net.run(100)
    assert isinstance(net.result(handle), NoAnswer)
    assert net.at[handle] == pytest.approx(30)
    times = [at for at, _, _ in net.sent]
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert len(gaps) == 3
    for gap, nominal in zip(gaps, (2, 4, 8), strict=True):
        assert nominal * 0.7 < gap < nominal * 1.3
    assert len({data for _, _, data in net.sent}) == 1
    assert net.client.counters.retransmits == 3
    assert net.client.counters.timeouts == 1


def test_intervals_double_to_the_largest_and_jitter_by_a_tenth() -> None:
    source = random.Random(3).randbytes
    firsts = [interval(0, 2, 16, source) for _ in range(200)]
    assert min(firsts) >= 1.8
    assert max(firsts) <= 2.2
    assert max(firsts) - min(firsts) > 0.3
    assert 14.4 <= interval(15, 2, 16, source) <= 17.6
    assert 7.6 <= interval(4, 2, 16, source) <= 8.4


def test_an_accounting_record_sent_later_has_its_new_delay_and_a_new_identifier() -> None:
    peer = Server()
    peer.up = False
    net = Net([server("one", A, status_server=False)], {A: peer})
    handle = net.request(stop(delay=100))
    net.run(5)
    peer.up = True
    net.run(29)
    assert isinstance(net.result(handle), AccountingAcknowledged)
    (got,) = peer.got
    assert 105 <= got["Acct-Delay-Time"][0] <= 108
    assert got["Event-Timestamp"] == [1_700_000_000]
    assert len({data[1] for _, _, data in net.sent}) == len(net.sent) == 3
    assert not any(lane.waiting for service in net.client.services.values() for lane in service.lanes)


def test_the_answer_to_an_earlier_transmission_of_a_record_is_good_too() -> None:
    peer = Server()
    peer.delay = 2.5
    net = Net([server("one", A)], {A: peer})
    handle = net.request(stop())
    net.run(10)
    assert isinstance(net.result(handle), AccountingAcknowledged)
    assert net.at[handle] == pytest.approx(2.5, abs=0.1)
    assert net.client.counters.unknown_identifier == 1


def test_a_black_holed_server_delays_logins_once_and_is_used_again_when_it_answers() -> None:
    peers = {A: Server(), B: Server()}
    peers[A].up = False
    net = Net(two(), peers)
    first = [net.request(login()) for _ in range(5)]
    net.run(3)
    late = net.request(login())
    net.run(20)
    assert max(net.at[handle] for handle in first) < 2.2 + 4.4 + 0.1
    assert net.at[late] < 7
    assert [output for output in net.said if isinstance(output, ServerDead)] == [ServerDead("one", "auth")]
    asked_at = net.now
    handle = net.request(login())
    net.run(net.now + 1)
    assert net.at[handle] - asked_at < 0.1
    assert net.result(handle).server == "two"  # type: ignore[union-attr]
    peers[A].up = True
    net.run(net.now + 12)
    assert ServerAlive("one", "auth") in net.said
    handle = net.request(login())
    net.run(net.now + 1)
    assert net.result(handle).server == "one"  # type: ignore[union-attr]


def test_all_that_wait_leave_a_server_when_it_is_found_dead() -> None:
    peers = {A: Server(), B: Server()}
    peers[A].up = False
    net = Net(two(), peers)
    net.request(login())
    net.run(5.0)
    handles = [net.request(login()) for _ in range(50)]
    net.run(8)
    assert {type(net.result(handle)) for handle in handles} == {Accepted}


def test_a_server_that_answers_others_is_not_dead_for_one_lost_request() -> None:
    silent = Server()
    plain = silent.answer
    silent.answer = lambda data: None if b"quiet" in data else plain(data)  # type: ignore[method-assign]
    net = Net(two(), {A: silent, B: Server()})
    handle = net.request(login("quiet"))
    for _ in range(12):
        net.request(login())
        net.run(net.now + 1)
    assert net.result(handle).server == "two"  # type: ignore[union-attr]
    assert not [output for output in net.said if isinstance(output, ServerDead)]


def test_without_status_server_a_dead_server_is_tried_again_after_its_time() -> None:
    peers = {A: Server(), B: Server()}
    peers[A].up = False
    net = Net(two(status_server=False, dead_time=30.0), peers)
    net.request(login())
    net.run(15)
    peers[A].up = True
    net.run(60)
    assert ServerAlive("one", "auth") in net.said
    handle = net.request(login())
    net.run(61)
    assert net.result(handle).server == "one"  # type: ignore[union-attr]
    assert net.client.counters.status_requests == 0


def test_a_server_that_answers_nothing_but_status_server_is_believed_ever_later() -> None:
    ill = Server()
    plain = ill.answer
    ill.answer = lambda data: plain(data) if data[0] == 12 else None  # type: ignore[method-assign]
    net = Net(two(), {A: ill, B: Server()})
    deaths = []
    for _ in range(600):
        net.request(login())
        net.run(net.now + 1)
        deaths = [output for output in net.said if isinstance(output, ServerDead)]
    assert 3 <= len(deaths) <= 8
    ill.answer = plain  # type: ignore[method-assign]
    net.run(net.now + 320)
    handle = net.request(login())
    net.run(net.now + 1)
    assert net.result(handle).server == "one"  # type: ignore[union-attr]
    assert net.client.services["one", "auth"].proved


def test_when_all_servers_are_dead_requests_are_still_sent_and_a_revived_one_takes_them() -> None:
    peers = {A: Server(), B: Server()}
    for peer in peers.values():
        peer.up = False
    net = Net(two(probe_interval=3.0), peers)
    net.request(login())
    net.run(29)
    assert len([output for output in net.said if isinstance(output, ServerDead)]) == 2
    handle = net.request(login())
    net.run(net.now + 6)
    peers[A].up = True
    net.run(net.now + 20)
    assert isinstance(net.result(handle), Accepted)


def test_connection_refused_moves_logins_to_the_next_server_at_once() -> None:
    peers = {A: Server(), B: Server()}
    peers[A].up = False
    net = Net(two(), peers)
    handle = net.request(login())
    (lane,) = net.lanes
    net.client.unreachable(lane, 0.01)
    net.drain()
    net.run(1)
    assert net.result(handle).server == "two"  # type: ignore[union-attr]


def test_an_icmp_error_does_not_kill_a_server_that_answered_just_now() -> None:
    net = Net(two(), {A: Server(), B: Server()})
    net.request(login())
    net.run(0.5)
    net.client.unreachable(next(iter(net.lanes)), 0.6)
    net.drain()
    assert net.client.services["one", "auth"].alive


def test_authentication_and_accounting_of_a_server_live_apart() -> None:
    peer = Server()
    plain = peer.answer
    peer.answer = lambda data: None if data[0] == 4 else plain(data)  # type: ignore[method-assign]
    net = Net([server("one", A)], {A: peer})
    record, question = net.request(stop()), net.request(login())
    net.run(29)
    assert isinstance(net.result(question), Accepted)
    assert net.client.services["one", "auth"].alive
    net.run(31)
    assert isinstance(net.result(record), NoAnswer)


def test_realms_choose_their_servers_and_the_others_get_the_rest() -> None:
    peers = {A: Server(), B: Server(), C: Server()}
    net = Net([server("one", A), server("two", B, realms=("isp.example",)), server("six", C, realms=("V6.example",))],
              peers)
    wanted = {"u@isp.example": "two", "u@ISP.EXAMPLE": "two", "u@v6.example": "six", "u@other": "one", "u": "one"}
    for user, name in wanted.items():
        handle = net.request(login(user))
        net.run(net.now + 1)
        assert net.result(handle).server == name, user  # type: ignore[union-attr]


def test_weights_share_the_load_and_priorities_do_not() -> None:
    peers = {A: Server(), B: Server(), C: Server()}
    net = Net([server("one", A, weight=3), server("two", B, weight=1), server("six", C, priority=2)], peers)
    for _ in range(400):
        net.request(login())
        net.run(net.now + 0.1)
    assert 250 <= len(peers[A].got) <= 350
    assert len(peers[B].got) == 400 - len(peers[A].got)
    assert not peers[C].got


def test_two_thousand_logins_at_once_stay_within_the_cap_and_all_are_answered() -> None:
    peer = Server()
    peer.delay = 0.05
    net = Net([server("one", A, lanes=4)], {A: peer}, ClientSettings(max_in_progress=600))
    handles = [net.request(login()) for _ in range(2000)]
    assert len(net.sent) == 600
    assert len(net.lanes) == 3
    assert net.client.auth_in_progress == 2000
    net.run(5)
    assert {type(net.result(handle)) for handle in handles} == {Accepted}
    assert net.client.counters.retransmits == 0


def test_requests_without_a_free_identifier_wait_for_one() -> None:
    peer = Server()
    peer.delay = 0.05
    net = Net([server("one", A, lanes=1)], {A: peer}, ClientSettings(max_in_progress=600))
    handles = [net.request(login()) for _ in range(600)]
    assert len(net.sent) == 256
    assert len(net.lanes) == 1
    net.run(5)
    assert {type(net.result(handle)) for handle in handles} == {Accepted}


def test_a_full_queue_refuses_and_a_queued_request_ends_in_time() -> None:
    peer = Server()
    peer.up = False
    net = Net([server("one", A)], {A: peer}, ClientSettings(max_in_progress=2, max_queue=3, duration=10))
    handles = [net.request(login()) for _ in range(6)]
    assert net.result(handles[5]) == NoAnswer(handles[5], "too many requests wait")
    net.run(60)
    assert {type(net.result(handle)) for handle in handles} == {NoAnswer}
    assert max(net.at.values()) == pytest.approx(10, abs=0.01)
    assert net.client.auth_in_progress == 0
    assert net.client._exchanges == {}


def test_a_cancelled_request_says_nothing_and_gives_its_turn_on() -> None:
    peer = Server()
    net = Net([server("one", A)], {A: peer}, ClientSettings(max_in_progress=1))
    first, second, third = (net.request(login()) for _ in range(3))
    net.client.cancel(first, 0.0)
    net.client.cancel(second, 0.0)
    net.drain()
    net.run(1)
    assert list(net.at) == [third]
    assert net.client.auth_in_progress == 0


def test_twenty_thousand_queued_requests_that_nobody_can_answer_end_without_recursion() -> None:
    net = Net([server("one", A)], {A: Server()}, ClientSettings(max_in_progress=1))
    handles = [net.request(stop(number)) for number in range(20_000)]
    net.client.set_servers([], 0.0)
    net.drain()
    assert {type(net.result(handle)) for handle in handles[:5]} == {NoAnswer}
    assert len(net.at) == 20_000
    assert net.lanes == {}


def test_what_radius_cannot_carry_is_refused_before_it_is_sent() -> None:
    net = Net([server("one", A)], {A: Server()})
    for record in (
        login("u" * 254),
        login(password=b"p" * 129),
        AccessRequest(b"u", "chap", challenge=b"c" * 16, response=b"short"),
        AccessRequest(b"u", "mschapv2", challenge=b"c" * 16, response=b"r" * 24),
        AccessRequest(b"u", "eap", eap_message=b""),
    ):
        rejected = net.result(net.request(record))
        assert isinstance(rejected, Rejected)
        assert rejected.reason
        assert rejected.server == ""
    assert net.sent == []


def test_replaced_servers_take_over_what_waits_and_unchanged_ones_keep_their_state() -> None:
    peers = {A: Server(), B: Server()}
    peers[A].up = False
    net = Net(two(), peers)
    handle = net.request(login())
    kept = net.client.services["two", "auth"]
    net.client.set_servers([two()[1]], 0.5)
    net.drain()
    net.run(2)
    assert net.result(handle).server == "two"  # type: ignore[union-attr]
    assert net.client.services["two", "auth"] is kept
    assert [lane.address for lane in net.lanes.values()] == [B]
    assert not any(isinstance(output, CloseLane) for output in net.said)


def test_a_reply_without_message_authenticator_counts_only_where_the_operator_says_so() -> None:
    def bare(request, reply):  # type: ignore[no-untyped-def]
        reply.message_authenticator = False
        reply.pop(80, None)

    strict = Net([server("one", A)], {A: Server(bare)})
    handle = strict.request(login())
    strict.run(40)
    assert isinstance(strict.result(handle), NoAnswer)
    service = strict.client.services["one", "auth"]
    assert strict.client.counters.bad_authenticator == service.dropped > 1
    assert [output for output in strict.said if isinstance(output, AnswerDropped)] == [
        AnswerDropped("one", "auth", "it has no Message-Authenticator, which require_message_authenticator demands")
    ]
    lax = Net([server("one", A, require_message_authenticator=False)], {A: Server(bare)})
    handle = lax.request(login())
    lax.run(1)
    assert isinstance(lax.result(handle), Accepted)


def test_answers_from_elsewhere_with_other_secrets_codes_or_identifiers_are_dropped_and_counted() -> None:
    peer = Server()
    net = Net([server("one", A)], {A: peer})
    handle = net.request(login())
    (lane,) = net.lanes
    request = net.sent[0][2]
    good = peer.answer(request)
    assert good is not None
    client, counters = net.client, net.client.counters
    client.receive(good, lane, (B, 1812), 0.1)
    client.receive(good, lane, (A, 1813), 0.1)
    assert counters.wrong_address == 2
    client.receive(good, 99, (A, 1812), 0.1)
    client.receive(good[:1] + bytes((good[1] ^ 1,)) + good[2:], lane, (A, 1812), 0.1)
    assert counters.unknown_identifier == 2
    client.receive(b"\x05" + good[1:], lane, (A, 1812), 0.1)
    assert counters.wrong_code == 1
    client.receive(good[:-1] + b"x", lane, (A, 1812), 0.1)
    wrong = Server(secret=b"other")
    wrong.secret = b"other"
    client.receive(good[:4] + bytes(16) + good[20:], lane, (A, 1812), 0.1)
    assert counters.bad_authenticator == 2
    client.receive(good[:19], lane, (A, 1812), 0.1)
    client.receive(good[:2] + b"\x20\x00" + good[4:], lane, (A, 1812), 0.1)
    assert counters.malformed == 2
    told = AnswerDropped("one", "auth", "its authenticator is wrong: do the secrets differ?")
    assert client.outputs() == [told]
    client.receive(good[:-1] + b"x", lane, (A, 1812), 59.0)
    assert client.outputs() == []
    client.receive(good[:-1] + b"x", lane, (A, 1812), 61.0)
    assert client.outputs() == [told]
    client.receive(good, lane, (A, 1812), 61.0)
    net.drain()
    assert isinstance(net.result(handle), Accepted)


def test_a_second_copy_of_an_answer_changes_nothing() -> None:
    net = Net([server("one", A)], {A: Server()}, duplication=1.0)
    handle = net.request(login())
    net.run(5)
    assert isinstance(net.result(handle), Accepted)
    assert net.client.counters.unknown_identifier == 3


def test_an_accept_with_an_impossible_value_is_a_reject() -> None:
    def bad(request, reply):  # type: ignore[no-untyped-def]
        reply[8] = [b"\x01\x02\x03"]

    net = Net([server("one", A)], {A: Server(bad)})
    handle = net.request(login())
    net.run(1)
    rejected = net.result(handle)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "Framed-IP-Address: value of 3 octets, 4 wanted"


@pytest.mark.parametrize("seed", range(20))
def test_every_request_gets_one_result_however_bad_the_network_is(seed: int) -> None:
    chance = random.Random(seed)
    peers = {A: Server(), B: Server(rejects if seed % 2 else None)}
    net = Net(
        [server("one", A, lanes=2), server("two", B, lanes=2, priority=1 + seed % 2)],
        peers,
        ClientSettings(max_in_progress=40, duration=30),
        seed=seed,
        loss=chance.uniform(0, 0.5),
        duplication=chance.uniform(0, 0.3),
        reordering=chance.uniform(0, 0.5),
    )
    handles = []
    for step in range(150):
        handles.append(net.request(login() if step % 3 else stop(step)))
        if chance.random() < 0.05:
            peer = peers[chance.choice((A, B))]
            peer.up = not peer.up
        net.run(net.now + chance.uniform(0, 0.5))
    net.run(net.now + 40)
    assert sorted(net.at) == handles
    assert net.client.auth_in_progress == net.client.acct_in_progress == 0
    client = net.client
    assert client._exchanges == {}
    for service in client.services.values():
        probes = 1 if service.probe else 0
        assert service.in_progress == probes
        assert sum(len(lane.free) for lane in service.lanes) == 256 * len(service.lanes) - probes
        assert not service.parked
    acknowledged = [o for o in net.said if isinstance(o, AccountingAcknowledged)]
    heard = {packet["Acct-Session-Id"][0] for peer in peers.values() for packet in peer.of(4)}
    assert len(heard) >= len(acknowledged) > 0
