"""Calls: both roles, both directions, the data path early, late and never, and how calls end."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.l2tp.messages import (
    ACCM,
    CDN,
    HELLO,
    ICCN,
    ICRP,
    ICRQ,
    OCCN,
    OCRP,
    OCRQ,
    SLI,
    WEN,
    CallErrors,
    ResultCode,
    encode,
)
from prol2tp.l2tp.outputs import (
    AskSessionAdmission,
    CloseDataPath,
    LinkInfoChanged,
    ModifyDataPath,
    OpenDataPath,
    SessionDown,
    SessionUp,
    Transmit,
    WANErrors,
)
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from tests.pair.network import Pair, Shell
from tests.pair.peer import Peer, World


def connected(**fields: Any) -> tuple[World, Peer]:
    world = World()
    peer = Peer(world)
    peer.connect(**fields)
    world.sleep(0.5)
    peer.heard()
    return world, peer


def up(pair: Pair, calls: int = 1) -> bool:
    return pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == calls + 1, 200)


def kinds(shell: Shell) -> list[str]:
    return [type(output).__name__ for output in shell.outputs]


@pytest.mark.parametrize("outgoing_call", [False, True])
@pytest.mark.parametrize("by_initiator", [False, True])
def test_calls_of_both_directions_are_made_by_either_end_of_a_tunnel(outgoing_call: bool, by_initiator: bool) -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    assert pair.run(lambda: len(pair.lns.up) == 1)
    caller, called = (pair.lac, pair.lns) if by_initiator else (pair.lns, pair.lac)
    tunnel_id = next(iter(caller.endpoint.tunnels))
    settings = SessionSettings(outgoing_call=outgoing_call, called_number="555", calling_number="444")
    session_id = pair.open_session(tunnel_id, settings, caller)
    assert up(pair)
    ours = caller.endpoint.tunnels[tunnel_id].sessions[session_id]
    (theirs,) = next(iter(called.endpoint.tunnels.values())).sessions.values()
    assert (ours.peer_session_id, theirs.peer_session_id) == (theirs.session_id, ours.session_id)
    assert ours.lns is outgoing_call and theirs.lns is not outgoing_call
    assert (ours.origin, theirs.origin) == ("local", "net")
    assert ours.outgoing_call is theirs.outgoing_call is outgoing_call
    assert type(theirs.peer_message).__name__ == ("OCRQ" if outgoing_call else "ICRQ")
    assert theirs.peer_message.called_number == "555"
    assert ours.call_serial_number == theirs.call_serial_number == 1
    assert type((ours if outgoing_call else theirs).connect_message).__name__ == ("OCCN" if outgoing_call else "ICCN")
    called.endpoint.close_session(theirs.tunnel_id, theirs.session_id, pair.now, 3, 0, "enough")
    pair.run(lambda: not caller.endpoint.tunnels[tunnel_id].sessions)
    (down,) = caller.of(SessionDown)
    assert (down.result, down.message, down.by_peer) == (3, "enough", True)
    assert not called.of(SessionDown)[0].by_peer


def test_a_call_waits_for_its_tunnel() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    for outgoing_call in (False, True):
        session_id = pair.open_session(tunnel_id, SessionSettings(outgoing_call=outgoing_call))
        assert pair.lac.endpoint.tunnels[tunnel_id].sessions[session_id].state.name == "WAITTUNNEL"
    assert up(pair, 2)


def test_a_waiting_call_may_be_given_up() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    session_id = pair.open_session(tunnel_id)
    pair.lac.endpoint.close_session(tunnel_id, session_id, pair.now)
    pair.run(lambda: len(pair.lns.up) == 1)
    pair.sleep(5)
    assert pair.lac.count["SessionDeleted"] == 1 and pair.lns.count["SessionCreated"] == 0


@pytest.mark.parametrize("outgoing_call", [False, True])
def test_the_data_path_is_asked_for_once_before_up_and_the_call_is_up_only_with_it(outgoing_call: bool) -> None:
    for end_with_delay in ("lac", "lns"):
        pair = Pair(1)
        pair.open_tunnel()
        assert pair.run(lambda pair=pair: len(pair.lns.up) == 1)
        slow: Shell = getattr(pair, end_with_delay)
        slow.delay = 30.0
        caller = pair.lns if outgoing_call else pair.lac
        pair.open_session(next(iter(caller.endpoint.tunnels)), SessionSettings(outgoing_call=outgoing_call), caller)
        assert up(pair)
        for end in (pair.lac, pair.lns):
            assert end.count["OpenDataPath"] == 1
            assert kinds(end).index("OpenDataPath") < kinds(end).index("SessionUp")


def test_the_lns_asks_for_the_data_path_before_its_icrp_goes_out() -> None:
    world, peer = connected()
    world.shell.outputs.clear()
    peer.send(ICRQ(5, 5))
    order = kinds(world.shell)
    assert order.index("OpenDataPath") < order.index("Transmit")
    (path,) = world.shell.of(OpenDataPath)
    assert (path.peer_tunnel_id, path.peer_session_id, path.lns) == (peer.tunnel_id, 5, True)


@pytest.mark.parametrize("late", [False, True])
def test_the_answer_about_the_data_path_may_come_before_or_after_the_iccn(late: bool) -> None:
    world, peer = connected()
    asked: list[Any] = []
    accept = world.shell.accept
    world.shell.answer = lambda question, now: (
        asked.append(question) if isinstance(question, OpenDataPath) else accept(question, now))
    (icrp,) = peer.send(ICRQ(5, 5))
    ours = icrp.message.assigned_session_id
    session = peer.tunnel.sessions[ours]
    steps = [lambda: world.endpoint.data_path_opened(peer.their_id, ours, world.now),
             lambda: peer.send(ICCN(1, 1), ours)]
    for step in reversed(steps) if late else steps:
        assert not world.shell.of(SessionUp)
        step()
        world.settle()
    assert world.shell.of(SessionUp) and session.state.name == "ESTABLISHED"
    world.endpoint.data_path_opened(peer.their_id, ours, world.now)
    assert world.endpoint.counters.late_answers == 1 and world.endpoint.outputs() == []


@pytest.mark.parametrize("outgoing_call", [False, True])
@pytest.mark.parametrize("failing", ["lac", "lns"])
def test_a_data_path_that_fails_ends_the_call_at_both_ends(outgoing_call: bool, failing: str) -> None:
    pair = Pair(1)
    pair.open_tunnel()
    assert pair.run(lambda: len(pair.lns.up) == 1)
    end: Shell = getattr(pair, failing)

    def fail(question: Any, now: float) -> None:
        if isinstance(question, OpenDataPath):
            end.endpoint.data_path_failed(question.tunnel_id, question.session_id, now, "no interface")
        else:
            end.accept(question, now)

    end.answer = fail
    caller = pair.lns if outgoing_call else pair.lac
    pair.open_session(next(iter(caller.endpoint.tunnels)), SessionSettings(outgoing_call=outgoing_call), caller)
    pair.sleep(5)
    for shell in (pair.lac, pair.lns):
        assert shell.count["SessionDown"] == shell.count["SessionDeleted"] == shell.count["SessionCreated"] == 1
        assert shell.count["OpenDataPath"] == shell.count["CloseDataPath"]
        assert shell.of(SessionDown)[0].message == "no interface"
        assert not next(iter(shell.endpoint.tunnels.values())).sessions


def test_a_data_path_that_breaks_later_ends_the_call() -> None:
    world, peer = connected()
    ours = peer.call()
    world.endpoint.data_path_failed(peer.their_id, ours, world.now, "gone")
    (cdn,) = [one for one in peer.heard() if one.name == "CDN"]
    assert cdn.session_id == 5 and cdn.message.assigned_session_id == ours
    assert world.shell.count["CloseDataPath"] == 1


def test_a_refused_call_gets_its_cdn_addressed_to_the_peers_id() -> None:
    for outgoing_call in (False, True):
        world, peer = connected()
        endpoint = world.endpoint
        world.shell.answer = lambda question, now, e=endpoint: e.session_refused(
            question.tunnel_id, question.session_id, now, 4, 0, "full")
        request = OCRQ(5, 1, 0, 9, 1, 1, "555") if outgoing_call else ICRQ(5, 5)
        (cdn,) = peer.send(request)
        assert cdn.name == "CDN" and cdn.session_id == 5 and cdn.message.result_code == (4, 0, "full")
        assert not peer.tunnel.sessions and endpoint.counters.sessions_refused == 1


def test_a_call_that_ends_before_the_peer_said_its_id_is_named_by_ours() -> None:
    world, peer = connected()
    session_id = world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    world.settle()
    world.endpoint.close_session(peer.their_id, session_id, world.now, 3)
    icrq, cdn = peer.heard()
    assert icrq.name == "ICRQ" and icrq.session_id == 0
    assert cdn.name == "CDN" and cdn.session_id == 0 and cdn.message.assigned_session_id == session_id
    peer.send(ICRP(9), session_id)
    assert world.endpoint.counters.unknown_sessions == 1 and not peer.tunnel.sessions
    assert peer.tunnel.established


def test_a_cdn_with_session_id_0_ends_the_call_that_it_names() -> None:
    world, peer = connected()
    peer.send(ICRQ(5, 5))
    peer.send(ICRQ(6, 6))
    peer.send(CDN(ResultCode(10), 5))
    assert [call.peer_session_id for call in peer.tunnel.sessions.values()] == [6]
    peer.send(CDN(ResultCode(10), 5))
    peer.send(CDN(ResultCode(10), 0))
    assert world.endpoint.counters.unknown_sessions == 2
    ours = next(iter(peer.tunnel.sessions))
    peer.send(ICCN(1, 1), ours)
    peer.send(CDN(ResultCode(10), 6))  # it knows our id by now; but which call it means is clear
    assert not peer.tunnel.sessions


def test_the_limit_of_sessions_refuses_calls_of_the_peer_and_our_own() -> None:
    world = World()
    world.shell.tunnel_settings = TunnelSettings("us", max_sessions=2)
    peer = Peer(world)
    peer.connect()
    peer.call(1)
    peer.call(2)
    (cdn,) = [one for one in peer.send(ICRQ(3, 3)) if one.name == "CDN"]
    assert cdn.session_id == 3 and cdn.message.result_code[0] == 4
    with pytest.raises(ValueError):
        world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    assert world.shell.count["SessionCreated"] == 2


@pytest.mark.parametrize("lns_settings", [SessionSettings(), SessionSettings(send_sequence=True)])
@pytest.mark.parametrize("required", [False, True])
def test_the_lac_decides_about_sequence_numbers_by_its_avp(required: bool, lns_settings: SessionSettings) -> None:
    pair = Pair(1)
    pair.lns.session_settings = lns_settings
    tunnel_id = pair.open_tunnel()
    pair.open_session(tunnel_id, SessionSettings(sequencing_required=required))
    assert up(pair)
    (lac,), (lns,) = (next(iter(end.endpoint.tunnels.values())).sessions.values() for end in (pair.lac, pair.lns))
    assert (lac.send_sequence, lac.receive_sequence) == (required, required)
    assert (lns.send_sequence, lns.receive_sequence) == (required or lns_settings.send_sequence, required)
    assert [(m.send_sequence, m.receive_sequence) for m in pair.lns.of(ModifyDataPath)] == [(True, True)] * required
    assert pair.lac.of(ModifyDataPath) == []


def test_an_lns_that_requires_sequence_numbers_asks_for_them_from_the_start() -> None:
    world, peer = connected()
    world.shell.session_settings = SessionSettings(sequencing_required=True)
    peer.send(ICRQ(5, 5))
    (path,) = world.shell.of(OpenDataPath)
    assert path.send_sequence and path.receive_sequence


def test_link_info_goes_from_lns_to_lac_and_wan_errors_from_lac_to_lns() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    session_id = pair.open_session(tunnel_id)
    assert up(pair)
    lns_ids = next(iter(pair.lns.up - {(next(iter(pair.lns.endpoint.tunnels)), 0)}))
    errors = CallErrors(1, 2, 3, 4, 5, 6)
    pair.lns.endpoint.send_link_info(*lns_ids, 0xFFFFFFFF, 0xA0000, pair.now)
    pair.lac.endpoint.send_wan_errors(tunnel_id, session_id, errors, pair.now)
    pair.sleep(1)
    assert pair.lac.of(LinkInfoChanged) == [LinkInfoChanged(tunnel_id, session_id, 0xFFFFFFFF, 0xA0000)]
    assert pair.lns.of(WANErrors) == [WANErrors(*lns_ids, errors)]
    with pytest.raises(ValueError):
        pair.lac.endpoint.send_link_info(tunnel_id, session_id, 0, 0, pair.now)
    with pytest.raises(ValueError):
        pair.lns.endpoint.send_wan_errors(*lns_ids, errors, pair.now)


def test_link_info_and_wan_errors_in_the_wrong_direction_or_too_early_change_nothing() -> None:
    world, peer = connected()
    (icrp,) = peer.send(ICRQ(5, 5))
    ours = icrp.message.assigned_session_id
    peer.send(WEN(CallErrors(1, 1, 1, 1, 1, 1)), ours)
    peer.send(ICCN(1, 1), ours)
    peer.send(SLI(ACCM(1, 1)), ours)
    assert world.endpoint.counters.illegal_events == 2 and peer.tunnel.sessions[ours].state.name == "ESTABLISHED"
    assert not world.shell.of(WANErrors) and not world.shell.of(LinkInfoChanged)


def test_a_call_that_is_not_connected_in_time_ends_and_others_stay() -> None:
    world, peer = connected()
    world.shell.session_settings = SessionSettings(establish_timeout=20.0)
    kept = peer.call(5)
    peer.send(ICRQ(6, 6))
    peer.zlb()
    world.sleep(15)
    peer.send(HELLO())
    assert len(peer.tunnel.sessions) == 2
    world.sleep(5.2)
    (cdn,) = [one for one in peer.heard() if one.name == "CDN"]
    assert cdn.session_id == 6 and cdn.message.result_code[0] == 10
    assert list(peer.tunnel.sessions) == [kept]


def test_a_call_without_an_answer_about_admission_ends_too() -> None:
    world, peer = connected()
    world.shell.answer = lambda question, now: None
    peer.send(ICRQ(6, 6))
    for _ in range(5):
        world.sleep(30)
        peer.send(HELLO())
    assert not peer.tunnel.sessions and world.shell.of(AskSessionAdmission)


@pytest.mark.parametrize("wrong", [ICRP(9), ICRQ(9, 9), OCRP(9), OCCN(1, 1), OCRQ(9, 9, 1, 1, 1, 1, "5"), ICCN(1, 1)])
def test_a_message_out_of_place_ends_its_call_and_no_other(wrong: Any) -> None:
    world, peer = connected()
    first, second = peer.call(5), peer.call(6)
    (cdn,) = [one for one in peer.send(wrong, second) if one.name == "CDN"]
    assert cdn.session_id == 6 and cdn.message.result_code[:2] == (2, 6)
    assert list(peer.tunnel.sessions) == [first] and peer.tunnel.established


def test_a_request_for_a_call_that_is_being_set_up_ends_that_call() -> None:
    world, peer = connected()
    peer.send(ICRQ(5, 5))
    heard = peer.send(ICRQ(5, 6))
    assert [one.name for one in heard] == ["CDN"] and not peer.tunnel.sessions


def test_messages_about_calls_that_are_not_there_are_counted() -> None:
    world, peer = connected()
    for message in (ICRP(9), ICCN(1, 1), OCRP(9), OCCN(1, 1), CDN(ResultCode(1), 4), WEN(CallErrors(*range(6))),
                    SLI(ACCM(1, 1))):
        peer.send(message, 4321)
    assert world.endpoint.counters.unknown_sessions == 7 and peer.tunnel.established


def test_an_outgoing_call_is_not_asked_of_a_peer_that_cannot_place_it() -> None:
    for fields in ({"framing_capabilities": 2}, {"bearer_capabilities": None}, {"bearer_capabilities": 2}):
        world, peer = connected(**fields)
        session_id = world.endpoint.open_session(peer.their_id, SessionSettings(outgoing_call=True), world.now)
        assert peer.heard() == []
        (down,) = world.shell.of(SessionDown)
        assert down.session_id == session_id and down.result == 5


def test_an_outgoing_call_of_a_framing_type_that_we_lack_is_refused() -> None:
    world = World()
    world.shell.tunnel_settings = TunnelSettings("us", framing_caps=1)
    peer = Peer(world)
    peer.connect()
    (cdn,) = [one for one in peer.send(OCRQ(5, 1, 0, 9, 1, 2, "555")) if one.name == "CDN"]
    assert cdn.session_id == 5 and cdn.message.result_code[0] == 5


def test_a_malformed_reply_or_connect_ends_its_call() -> None:
    world, peer = connected()
    session_id = world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    peer.heard()
    (cdn,) = [one for one in peer.give(encode(ICRP(9))[:8], session_id) if one.name == "CDN"]
    assert cdn.message.assigned_session_id == session_id and not peer.tunnel.sessions
    assert world.endpoint.counters.missing_avps == 1
    ours = peer.call(6)
    peer.give(encode(CDN(ResultCode(1), 6))[:8], ours)
    assert not peer.tunnel.sessions and world.shell.of(SessionDown)[-1].result == 2


def test_thousands_of_calls_in_one_tunnel_close_with_it_and_leave_nothing() -> None:
    world, peer = connected()
    for session_id in range(1, 3001):
        peer.call(session_id)
    assert len(peer.tunnel.sessions) == 3000
    world.endpoint.close_tunnel(peer.their_id, world.now)
    world.settle()
    assert world.shell.count["SessionDeleted"] == world.shell.count["CloseDataPath"] == 3000
    peer.heard()
    peer.zlb()
    world.shell.assert_empty()
    assert len(world.endpoint.context.deadlines) == 0


def test_a_shell_that_asks_for_everything_in_order_sees_no_transmit_after_deletion() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    pair.open_session(tunnel_id)
    assert up(pair)
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 100)
    for end in (pair.lac, pair.lns):
        assert kinds(end)[-1] == "TunnelDeleted" and end.of(Transmit) and end.of(CloseDataPath)


def test_the_id_of_an_ended_call_rests_before_it_is_used_again() -> None:
    world = World(linear_ids=True)
    peer = Peer(world)
    peer.connect()
    used = []
    for session_id in range(1, 200):
        ours = peer.call(session_id)
        used.append(ours)
        peer.send(CDN(ResultCode(3), session_id), ours)
    calls = peer.tunnel.calls
    assert not peer.tunnel.sessions and calls._ids.used == set(used[-64:])
    for session_id in range(1, 65536):  # when no other is left, it is used all the same
        calls._ids.claim(session_id)
    assert peer.call(9) == used[-64]


def test_a_request_with_the_id_of_a_call_that_is_up_ends_that_call() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    ours = peer.call(5)
    other = peer.call(6)
    answers = peer.send(ICRQ(5, 9))
    assert [(one.name, one.session_id) for one in answers if one.name != "ZLB"] == [("CDN", 5)]
    assert list(peer.tunnel.sessions) == [other]
    assert peer.call(5) != ours


def test_an_answer_with_the_id_of_another_call_of_the_peer_ends_only_the_new_call() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    kept = peer.call(5)
    new = world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    assert [one.name for one in peer.heard()] == ["ICRQ"]
    answers = [one for one in peer.send(ICRP(5), new) if one.name != "ZLB"]
    assert [(one.name, one.session_id, one.message.assigned_session_id) for one in answers] == [("CDN", 0, new)]
    assert list(peer.tunnel.sessions) == [kept]


def test_the_peers_id_of_an_ended_call_may_come_again_from_either_side() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    new = world.endpoint.open_session(peer.their_id, SessionSettings(), world.now)
    peer.heard()
    peer.send(ICRP(5), new)
    assert world.endpoint.tunnels[peer.their_id].sessions[new].state.name == "ESTABLISHED"
    world.endpoint.close_session(peer.their_id, new, world.now)
    peer.heard()
    peer.zlb()
    peer.call(5)
    assert not world.endpoint.tunnels[peer.their_id].calls._by_peer.keys() - {5}
