"""Tunnels: how they come up, are refused, live side by side, and end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prol2tp.l2tp import auth
from prol2tp.l2tp.endpoint import Endpoint
from prol2tp.l2tp.header import read_control, write_control
from prol2tp.l2tp.messages import (
    HELLO,
    ICRP,
    ICRQ,
    SCCCN,
    SCCRP,
    ResultCode,
    StopCCN,
    decode,
    encode,
)
from prol2tp.l2tp.outputs import (
    AskTunnelAdmission,
    SessionDeleted,
    SessionDown,
    TunnelDown,
)
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from tests.pair.network import LAC, LNS, Pair
from tests.pair.peer import OURS, Peer, World

RIGHT, WRONG = b"s3cret", b"wrong"


def opened(settings: TunnelSettings | None = None) -> tuple[World, Peer]:
    """A world whose endpoint has sent an SCCRQ to the peer."""
    world = World()
    peer = Peer(world, ("192.0.2.9", 1701))
    world.endpoint.open_tunnel(settings or TunnelSettings("us", use_tiebreaker=False), peer.address, OURS, world.now)
    (request,) = peer.heard()
    assert request.name == "SCCRQ" and request.tunnel_id == 0
    peer.their_id = request.message.assigned_tunnel_id
    return world, peer


def sccrp(peer: Peer, **fields: Any) -> SCCRP:
    values: dict[str, Any] = dict(protocol_version=0x0100, framing_capabilities=3, host_name="them",
                                  assigned_tunnel_id=peer.tunnel_id, bearer_capabilities=3)
    return SCCRP(**values | fields)


@pytest.mark.parametrize("challenges", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("hide", [False, True])
def test_a_shared_secret_opens_the_tunnel_whoever_challenges(challenges: tuple[bool, bool], hide: bool) -> None:
    pair = Pair(1)
    pair.lns.tunnel_settings = TunnelSettings("lns", secret=RIGHT, challenge=challenges[1], hide_avps=hide)
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", secret=RIGHT, challenge=challenges[0], hide_avps=hide))
    pair.open_session(tunnel_id)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2)
    assert pair.lac.endpoint.tunnels[tunnel_id].peer_host_name == "lns"


@pytest.mark.parametrize(("lac", "lns", "refuser"), [
    ((RIGHT, True), (WRONG, False), "lac"),
    ((RIGHT, False), (WRONG, True), "lns"),
    ((b"", False), (RIGHT, True), "lac"),
    ((RIGHT, True), (b"", False), "lns"),
])
def test_a_wrong_or_missing_secret_is_not_authorized(lac: tuple[bytes, bool], lns: tuple[bytes, bool],
                                                     refuser: str) -> None:
    pair = Pair(1)
    pair.lns.tunnel_settings = TunnelSettings("lns", secret=lns[0], challenge=lns[1])
    pair.open_tunnel(TunnelSettings("lac", secret=lac[0], challenge=lac[1]))
    pair.run(None, 100)
    for end in (pair.lac, pair.lns):
        (down,) = end.of(TunnelDown)
        assert down.result == 4 and end.endpoint.counters.tunnels_deleted == 1
        assert down.by_peer is (end is not getattr(pair, refuser))
        assert not end.up
        end.assert_empty()
    assert getattr(pair, refuser).endpoint.counters.authentication_failures == 1


def test_no_response_to_a_challenge_is_refused_at_either_end() -> None:
    world, peer = opened(TunnelSettings("us", secret=RIGHT, challenge=True))
    (stop,) = peer.send(sccrp(peer))
    assert stop.name == "StopCCN" and stop.message.result_code[0] == 4 and stop.tunnel_id == peer.tunnel_id
    world = World()
    world.shell.tunnel_settings = TunnelSettings("us", secret=RIGHT, challenge=True)
    peer = Peer(world)
    (reply,) = peer.send(peer.sccrq())
    assert reply.message.challenge
    peer.their_id = reply.message.assigned_tunnel_id
    (stop,) = peer.send(SCCCN())
    assert stop.name == "StopCCN" and stop.message.result_code[0] == 4
    assert not world.shell.up


def test_the_response_is_that_of_the_rfc() -> None:
    world = World()
    world.shell.tunnel_settings = TunnelSettings("us", secret=RIGHT)
    peer = Peer(world)
    (reply,) = peer.send(peer.sccrq(challenge=b"challenge"))
    assert reply.message.challenge_response == auth.challenge_response(2, RIGHT, b"challenge")


@pytest.mark.parametrize("version", [0x0200, 0x0000, 0xFFFF])
def test_another_protocol_version_is_refused_with_ours(version: int) -> None:
    world = World()
    peer = Peer(world)
    (stop,) = peer.send(peer.sccrq(protocol_version=version))
    assert stop.name == "StopCCN" and stop.message.result_code[:2] == (5, 0x0100) and stop.tunnel_id == 77
    assert not world.endpoint.tunnels
    world, peer = opened()
    (stop,) = peer.send(sccrp(peer, protocol_version=version))
    assert stop.message.result_code[:2] == (5, 0x0100)
    assert peer.send(sccrp(peer, protocol_version=0x0101)) == [] or world.endpoint.tunnels


def test_a_refused_request_gets_its_reason_again_until_it_is_acknowledged() -> None:
    world = World()
    refuse = world.endpoint.tunnel_refused
    world.shell.answer = lambda question, now: refuse(question.tunnel_id, now, 4, 0, "no profile")
    peer = Peer(world)
    (stop,) = peer.send(peer.sccrq())
    assert stop.message.result_code == (4, 0, "no profile") and stop.tunnel_id == peer.tunnel_id
    world.sleep(1.5)
    assert [one.name for one in peer.heard()] == ["StopCCN"]
    peer.their_id = stop.message.assigned_tunnel_id
    peer.zlb()
    world.shell.assert_empty()


def test_an_answer_may_come_late_or_after_the_end() -> None:
    world = World()
    asked: list[Any] = []
    world.shell.answer = lambda question, now: asked.append(question)
    peer = Peer(world)
    assert peer.send(peer.sccrq()) == []
    world.sleep(0.5)
    (ack,) = peer.heard()
    assert ack.name == "ZLB" and ack.nr == 1 and ack.tunnel_id == peer.tunnel_id
    assert isinstance(asked[0], AskTunnelAdmission) and asked[0].message.host_name == "peer"
    tunnel_id = asked[0].tunnel_id
    world.sleep(130)
    assert world.shell.of(TunnelDown)
    world.sleep(60)
    world.shell.assert_empty()
    world.endpoint.tunnel_admitted(tunnel_id, TunnelSettings("us"), world.now)
    world.endpoint.tunnel_refused(tunnel_id, world.now)
    world.endpoint.data_path_opened(tunnel_id, 1, world.now)
    world.endpoint.session_admitted(tunnel_id, 1, SessionSettings(), world.now)
    assert world.endpoint.counters.late_answers == 4 and world.endpoint.outputs() == []


def test_unknown_ids_and_bad_settings_are_the_callers_mistake() -> None:
    world, peer = opened()
    endpoint = world.endpoint
    for call in (lambda: endpoint.close_tunnel(1 if peer.their_id != 1 else 2, 0.0),
                 lambda: endpoint.open_session(0, SessionSettings(), 0.0),
                 lambda: endpoint.close_session(peer.their_id, 9, 0.0)):
        with pytest.raises(KeyError):
            call()
    before = len(endpoint.tunnels)
    with pytest.raises(ValueError):
        endpoint.open_tunnel(TunnelSettings("h" * 2000), peer.address, OURS, 0.0)
    with pytest.raises(ValueError):
        endpoint.open_session(peer.their_id, SessionSettings(calling_number="5" * 2000), 0.0)
    assert len(endpoint.tunnels) == before and not endpoint.tunnels[peer.their_id].sessions


def test_the_same_request_again_is_a_duplicate_of_the_same_tunnel() -> None:
    world = World()
    peer = Peer(world)
    (reply,) = peer.send(peer.sccrq())
    (ack,) = peer.send(peer.sccrq(), ns=0)
    assert ack.name == "ZLB" and len(world.endpoint.tunnels) == 1
    peer.their_id = reply.message.assigned_tunnel_id
    peer.ns = 1
    peer.send(SCCCN())
    assert peer.tunnel.established
    peer.their_id, their_id = 0, peer.their_id
    assert [one.name for one in peer.send(peer.sccrq(), ns=0)] == ["ZLB"]
    assert list(world.endpoint.tunnels) == [their_id]


def test_peers_behind_one_nat_address_and_tunnels_between_the_same_hosts_live_side_by_side() -> None:
    world = World()
    peers = [Peer(world, ("192.0.2.1", port), tunnel_id) for port in (1701, 40000) for tunnel_id in (1, 2, 3)]
    for peer in peers:
        peer.connect()
    assert len({peer.their_id for peer in peers}) == 6
    sessions = [peer.call(9) for peer in peers]
    peers[0].send(StopCCN(1, ResultCode(1)))
    assert [len(peer.tunnel.sessions) for peer in peers] == [0, 1, 1, 1, 1, 1]
    assert sessions[5] in peers[5].tunnel.sessions


def test_datagrams_from_another_source_are_dropped_and_counted() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    world.heard()
    for address in (("192.0.2.1", 40001), ("192.0.2.200", 40000)):
        world.give(peer.raw(encode(StopCCN(77, ResultCode(1))), ns=peer.ns), address)
    assert world.endpoint.counters.wrong_sources == 2 and peer.tunnel.established
    assert world.heard() == []


def test_the_responder_may_answer_from_another_port_once() -> None:
    world, peer = opened()
    peer.address = ("192.0.2.9", 5555)
    (connected,) = peer.send(sccrp(peer))
    assert connected.name == "SCCCN" and connected.to == ("192.0.2.9", 5555)
    assert peer.tunnel.peer == ("192.0.2.9", 5555)
    world.give(peer.raw(encode(HELLO())), ("192.0.2.9", 1701))
    assert world.endpoint.counters.wrong_sources == 1


def test_the_responder_may_not_answer_from_another_address() -> None:
    world, peer = opened()
    peer.address = ("192.0.2.10", 1701)
    assert peer.send(sccrp(peer)) == []
    assert world.endpoint.counters.wrong_sources == 1 and peer.tunnel.state.name == "WAITCTLREPLY"


def test_stopccn_may_refuse_from_another_port_too() -> None:
    world, peer = opened()
    peer.address = ("192.0.2.9", 5555)
    peer.send(StopCCN(peer.tunnel_id, ResultCode(2, 4, "full")))
    (down,) = world.shell.of(TunnelDown)
    assert (down.result, down.error, down.message, down.by_peer) == (2, 4, "full", True)
    world.sleep(0.2)
    (ack,) = peer.heard()
    assert ack.to == ("192.0.2.9", 5555) and ack.tunnel_id == peer.tunnel_id


def test_a_close_before_the_peers_id_is_known_is_found_by_the_id_it_carries() -> None:
    pair = Pair(1)
    pair.lns.delay = 1.5
    tunnel_id = pair.open_tunnel()
    pair.run(lambda: bool(pair.lns.endpoint.tunnels))
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 100)
    (down,) = pair.lns.of(TunnelDown)
    assert down.by_peer and down.result == 6
    pair.lac.assert_empty()
    pair.lns.assert_empty()


def test_closing_clears_all_calls_first_and_tells_the_peer_once() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    for _ in range(10):
        pair.open_session(tunnel_id)
    assert pair.run(lambda: len(pair.lns.up) == 11)
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now, 1, 0, "bye")
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 100)
    for end in (pair.lac, pair.lns):
        kinds = [type(output) for output in end.outputs]
        assert kinds.index(TunnelDown) > max(n for n, kind in enumerate(kinds) if kind in (SessionDown, SessionDeleted))
        assert end.of(TunnelDown)[0].message == "bye"
        end.assert_empty()


def test_both_ends_may_close_at_once() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    assert pair.run(lambda: len(pair.lns.up) == 1)
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.lns.endpoint.close_tunnel(next(iter(pair.lns.endpoint.tunnels)), pair.now)
    pair.run(None, 100)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


def test_no_session_starts_in_a_closing_tunnel() -> None:
    world, peer = opened()
    world.endpoint.close_tunnel(peer.their_id, world.now)
    with pytest.raises(ValueError):
        world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)


def test_a_tunnel_that_nobody_answers_is_given_up() -> None:
    world, peer = opened()
    world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    world.sleep(32)
    (down,) = world.shell.of(TunnelDown)
    assert not down.by_peer
    world.shell.assert_empty()


def test_an_idle_tunnel_is_closed_after_its_time_and_not_while_it_has_calls() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", idle_timeout=300.0))
    session_id = pair.open_session(tunnel_id)
    pair.sleep(1000)
    assert len(pair.lns.up) == 2
    pair.lac.endpoint.close_session(tunnel_id, session_id, pair.now)
    pair.sleep(290)
    assert len(pair.lns.up) == 1
    pair.open_session(tunnel_id)
    pair.sleep(400)
    assert len(pair.lns.up) == 2
    for session_id in list(pair.lac.endpoint.tunnels[tunnel_id].sessions):
        pair.lac.endpoint.close_session(tunnel_id, session_id, pair.now)
    pair.sleep(400)
    assert pair.lac.of(TunnelDown)[0].message == "idle"
    pair.lac.assert_empty()


def test_a_peer_that_starts_anew_with_the_same_id_gets_in_again() -> None:
    """Its old tunnel ends when the old self does not answer; a single forged request does not end it."""
    world = World()
    old = Peer(world)
    old.connect(tie_breaker=b"11111111")
    old.call()
    old.zlb()
    world.sleep(5)
    old.heard()
    new = Peer(world)
    assert [one.name for one in new.send(new.sccrq(tie_breaker=b"22222222"))] == ["HELLO"]
    assert old.tunnel.established
    for _ in range(40):  # it sends on; nobody answers our HELLO
        world.sleep(1)
        if [one.name for one in new.send(new.sccrq(tie_breaker=b"22222222"), ns=0)] == ["SCCRP"]:
            break
    else:
        pytest.fail("locked out")
    assert len(world.endpoint.tunnels) == 1 and len(world.shell.of(TunnelDown)) == 1


def test_a_forged_request_with_the_same_id_does_not_end_a_living_tunnel() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    assert pair.run(lambda: len(pair.lns.up) == 1)
    peer = Peer(World(), tunnel_id=tunnel_id)
    for _ in range(20):
        forged = write_control(0, 0, 0, 0, encode(peer.sccrq()))
        pair.lns.endpoint.receive(forged, (LAC[0], 40000), LNS, 0, pair.now)
        pair.settle()
        pair.run(None, 3)
    assert len(pair.lns.up) == 1 and len(pair.lac.up) == 1 and len(pair.lns.endpoint.tunnels) == 1


def test_a_peer_that_closed_and_opens_at_once_with_the_same_id_gets_in() -> None:
    world = World()
    old = Peer(world)
    old.connect(challenge=None, tie_breaker=b"11111111")
    old.send(StopCCN(77, ResultCode(1)))
    new = Peer(world)
    assert [one.name for one in new.send(new.sccrq(tie_breaker=b"22222222"))] == ["SCCRP"]
    assert len(world.endpoint.tunnels) == 1


def test_a_late_copy_of_the_request_of_a_closed_tunnel_makes_nothing() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    peer.send(StopCCN(77, ResultCode(1)))
    world.sleep(1)
    peer.heard()
    peer.their_id = 0
    assert peer.send(peer.sccrq(), ns=0) == []
    assert len(world.endpoint.tunnels) == 1
    world.sleep(31)
    assert [one.name for one in peer.send(peer.sccrq(), ns=0)] == ["SCCRP"]


def test_version_3_and_data_and_garbage_are_counted_drops() -> None:
    world = World()
    for data in (b"", b"\0", b"\x80", bytes(100), b"\xc8\x03" + bytes(20), b"\xc8\x02\0\x0c" + bytes(4), b"\xff" * 40):
        world.give(data, ("192.0.2.1", 1))
    counters = world.endpoint.counters
    assert (counters.bad_versions, counters.bad_headers, counters.data_messages) == (1, 3, 3)
    assert not world.endpoint.tunnels and world.heard() == []


def test_only_an_sccrq_makes_a_tunnel() -> None:
    world = World()
    peer = Peer(world)
    for message in (HELLO(), SCCCN(), ICRQ(1, 1), ICRP(1), sccrp(peer), StopCCN(3, ResultCode(1))):
        assert peer.send(message, ns=0) == []
    assert peer.send(peer.sccrq(), ns=3) == []
    assert peer.send(peer.sccrq(), session_id=4, ns=0) == []
    assert peer.zlb() == []
    assert not world.endpoint.tunnels and world.endpoint.deadline() is None


def test_a_flood_from_forged_addresses_costs_bounded_memory_and_few_packets() -> None:
    world = World(max_pending=100)
    living = Peer(world, ("192.0.2.7", 1701))
    living.connect()
    sent = octets_in = octets_out = 0
    for number in range(5000):
        peer = Peer(world, (f"10.{number >> 8}.{number & 255}.1", 1701), number % 65535 + 1)
        data = peer.raw(encode(peer.sccrq()), ns=0)
        octets_in += len(data)
        world.give(data, peer.address)
        world.sleep(0.01)
        sent += len(world.sent)
        octets_out += sum(len(output.data) for output in world.sent)
        world.sent.clear()
        world.shell.outputs.clear()
        assert len(world.endpoint.tunnels) <= 101
    assert octets_out < 2 * octets_in and sent < 2 * 5000
    world.sleep(200)
    assert world.endpoint.counters.pending_refused + world.endpoint.counters.pending_evicted > 3000
    assert len(world.endpoint.context.deadlines) <= 1 and len(world.endpoint._requests) == 0


def test_a_flood_from_one_address_does_not_keep_others_out() -> None:
    world = World(max_pending=100)
    for number in range(1, 2000):
        peer = Peer(world, ("10.0.0.1", number), 5)
        world.give(peer.raw(encode(peer.sccrq()), ns=0), peer.address)
    assert len(world.endpoint.tunnels) == 25
    honest = Peer(world, ("192.0.2.7", 1701))
    honest.connect()


def test_a_flood_of_everybody_does_not_keep_a_newcomer_out_for_long() -> None:
    world = World(max_pending=20)
    for number in range(100):
        peer = Peer(world, (f"10.0.0.{number}", 1), 5)
        world.give(peer.raw(encode(peer.sccrq()), ns=0), peer.address)
    world.sleep(2.5)
    Peer(world, ("192.0.2.7", 1701)).connect()
    assert world.endpoint.counters.pending_evicted == 1


def test_the_trace_speaks_prol2tps_words_and_tells_no_secret() -> None:
    lines: list[tuple[str, int, int, str]] = []
    pair = Pair(1, trace=lambda *line: lines.append(line))
    pair.lns.tunnel_settings = TunnelSettings("lns", secret=b"s3cret", challenge=True)
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", secret=b"s3cret", challenge=True))
    pair.open_session(tunnel_id, SessionSettings(proxy_authen_type=2, proxy_authen_response=b"pa55word"))
    assert pair.run(lambda: len(pair.lns.up) == 2)
    lns_id = next(iter(pair.lns.endpoint.tunnels))
    texts = [text for _, _, _, text in lines]
    assert f"FSM: CCE({lns_id}) event SCCRQ_ACCEPT in state WAIT_ADMIT" in texts
    assert f"FSM: CCE({tunnel_id}) state change: IDLE --> WAITCTLREPLY" in texts
    assert {kind for kind, _, _, _ in lines} == {"fsm", "message", "avp", "transport"}
    challenge = decode(read_control_body(pair, "SCCRP")).challenge
    for text in texts:
        for secret in (b"s3cret", b"pa55word", challenge):
            assert repr(secret)[2:-1] not in text and secret.hex() not in text


def read_control_body(pair: Pair, name: str) -> bytes:
    from prol2tp.l2tp.outputs import Transmit
    for output in pair.lns.of(Transmit):
        body = output.data[12:read_control(output.data).length]
        if body and type(decode(body)).__name__ == name:
            return body
    raise AssertionError(name)


def test_an_endpoint_is_written_and_read_back_whole() -> None:
    pair = Pair(3)
    pair.lns.tunnel_settings = TunnelSettings("lns", secret=b"\xff\0", challenge=True, hello_timeout=16.0)
    first = pair.open_tunnel(TunnelSettings("lac", secret=b"\xff\0", challenge=True))
    pair.open_session(first)
    pair.open_session(first, SessionSettings(calling_number="\udc80x", private_group_id=b"\xfe"))
    assert pair.run(lambda: len(pair.lns.up) == 3)
    second = pair.open_tunnel(TunnelSettings("lac", secret=b"\xff\0"), port=40001)
    pair.open_session(second)
    for end in (pair.lac, pair.lns):
        pair.now = 1024.0
        record = json.loads(json.dumps(end.endpoint.to_record(pair.now)))
        again = Endpoint.from_record(record, pair.now, pair.random.randbytes)
        assert again.to_record(pair.now) == end.endpoint.to_record(pair.now)
        assert again.deadline() == pytest.approx(end.endpoint.deadline())
        end.endpoint = again
    pair.network.in_flight.clear()
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 5)
    for tunnel_id in (first, second):
        pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 100)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


def test_linear_ids_count_from_one() -> None:
    pair = Pair(1, linear_ids=True)
    assert [pair.open_tunnel(port=port) for port in (1, 2)] == [1, 2]
    assert [pair.open_session(1) for _ in range(3)] == [1, 2, 3]


def test_a_shell_that_did_not_live_to_answer_is_asked_again() -> None:
    pair = Pair(1)
    for end in (pair.lac, pair.lns):
        end.delay = 5.0
    questions = 0
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", establish_timeout=500.0))
    pair.open_session(tunnel_id, SessionSettings(establish_timeout=500.0))
    while len(pair.lac.up) < 2 or len(pair.lns.up) < 2:
        for end in (pair.lac, pair.lns):
            if end.later:
                questions += len(end.later)
                end.forget_questions()
                pair.restart(end)
                end.endpoint.ask_again()
                end.delay = 0.0
                pair.settle()
                end.delay = 5.0
        assert pair.step()
    assert questions == 3  # tunnel, session with its path, and the path of the other end
    assert pair.lns.count["AskTunnelAdmission"] == pair.lns.count["AskSessionAdmission"] == 2


def test_an_initiator_learns_its_own_address_from_the_answer() -> None:
    world = World()
    peer = Peer(world, ("192.0.2.9", 1701))
    world.endpoint.open_tunnel(TunnelSettings("us"), peer.address, ("0.0.0.0", 0), world.now)
    (request,) = peer.heard()
    peer.their_id = request.message.assigned_tunnel_id
    peer.send(sccrp(peer))
    assert peer.tunnel.local == OURS


def test_settings_never_show_their_secrets() -> None:
    shown = repr(TunnelSettings("h", secret=b"s3cret")) + repr(SessionSettings(proxy_authen_response=b"s3cret"))
    assert "s3cret" not in shown


def test_a_challenge_that_is_demanded_and_has_no_secret_lets_nobody_in() -> None:
    world = World()
    world.shell.tunnel_settings = TunnelSettings(host_name="shell", challenge=True)
    peer = Peer(world)
    (reply,) = peer.send(peer.sccrq())
    assert (reply.name, reply.message.result_code.result) == ("StopCCN", 4)
    with pytest.raises(ValueError, match="there is no secret"):
        world.endpoint.open_tunnel(TunnelSettings(host_name="x", challenge=True), ("192.0.2.9", 1701), OURS, world.now)


def test_in_a_flood_a_refusal_is_sent_once_and_soon_forgotten() -> None:
    world = World(max_pending=100)
    refuse = world.endpoint.tunnel_refused
    world.shell.answer = lambda question, now: refuse(question.tunnel_id, now, 4, 0, "no profile")
    for number in range(100):
        peer = Peer(world, (f"10.0.{number}.1", 1701), number + 1)
        world.give(peer.raw(encode(peer.sccrq()), ns=0), peer.address)
    assert len(world.endpoint.tunnels) == 100
    world.sent.clear()
    world.sleep(1.1)
    assert len(world.endpoint.tunnels) <= 26 and len(world.sent) <= 26
    late = Peer(world, ("192.0.2.7", 1701))
    assert [one.name for one in late.send(late.sccrq())] == ["StopCCN"]
