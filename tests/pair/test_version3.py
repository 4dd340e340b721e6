"""L2TPv3 between two endpoints: control connections, digests, both versions at once, pseudowires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from prol2tp.l2tp.outputs import (
    AskSessionAdmission,
    AskTunnelAdmission,
    CircuitChanged,
    ModifyDataPath,
    OpenDataPath,
    SessionDown,
    Transmit,
    TunnelDown,
    TunnelUp,
)
from prol2tp.l2tp.session import State as SessionState
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.tunnel import State
from tests.pair.network import LNS, Network, Pair

SECRET = b"s3cret"
V3 = TunnelSettings("lcce", version="l2tpv3", router_id=7)
WIRE = SessionSettings(pseudowire=5, remote_end_id="circuit-1")


def pair_of(lac: TunnelSettings, lns: TunnelSettings, session: SessionSettings = WIRE, **arguments: Any) -> Pair:
    pair = Pair(1, **arguments)
    pair.lns.tunnel_settings, pair.lns.session_settings = lns, session
    pair.lac.tunnel_settings, pair.lac.session_settings = lac, session
    return pair


def connected(lac: TunnelSettings = V3, lns: TunnelSettings = V3, ours: SessionSettings = WIRE,
              theirs: SessionSettings = WIRE, **arguments: Any) -> Pair:
    """Both ends with a tunnel and a session that are up."""
    pair = pair_of(lac, lns, theirs, **arguments)
    pair.open_session(pair.open_tunnel(lac), ours)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 60), pair.lac.outputs
    return pair


def tunnel(shell: Any) -> Any:
    (found,) = shell.endpoint.tunnels.values()
    return found


def session(shell: Any) -> Any:
    (found,) = tunnel(shell).sessions.values()
    return found


@pytest.mark.parametrize("secret", [b"", SECRET])
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("digest_type", [0, 1])
def test_a_session_comes_up_with_what_both_ends_say(secret: bytes, hide: bool, digest_type: int) -> None:
    settings = replace(V3, secret=secret, hide_avps=hide, digest_type=digest_type)
    ours = replace(WIRE, cookie_length=8, l2_sublayer=True)
    theirs = replace(WIRE, cookie_length=4, data_sequencing=2)
    pair = connected(settings, replace(settings, router_id=9), ours, theirs)
    assert tunnel(pair.lac).version.number == tunnel(pair.lns).version.number == 3
    assert (tunnel(pair.lac).peer_router_id, tunnel(pair.lns).peer_router_id) == (9, 7)
    assert tunnel(pair.lac).tunnel_id > 0xFFFF < session(pair.lac).session_id
    assert tunnel(pair.lac).peer_tunnel_id == tunnel(pair.lns).tunnel_id
    (one,), (other,) = pair.lac.of(OpenDataPath), pair.lns.of(OpenDataPath)
    assert (one.version, one.pseudowire, other.pseudowire) == (3, 5, 5)
    assert len(one.cookie) == 8 == len(other.peer_cookie) and one.cookie == other.peer_cookie
    assert len(other.cookie) == 4 and other.cookie == one.peer_cookie
    # they want numbers, which stand in a sublayer; we want the sublayer alone
    assert (one.receive_sublayer, one.send_sublayer) == (other.send_sublayer, other.receive_sublayer) == (True, True)
    assert (one.send_sequence, one.receive_sequence) == (True, False)
    assert (other.send_sequence, other.receive_sequence) == (False, True)
    assert session(pair.lns).pseudowire.remote_end_id == "circuit-1"


def test_both_ends_close_and_nothing_is_left() -> None:
    pair = connected(replace(V3, secret=SECRET), replace(V3, secret=SECRET))
    pair.lac.endpoint.close_tunnel(tunnel(pair.lac).tunnel_id, pair.now, 6, 0, "bye")
    pair.run(None, 300)
    (down,) = pair.lns.of(TunnelDown)
    assert (down.result, down.message, down.by_peer) == (6, "bye", True)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


@pytest.mark.parametrize("end", ["lac", "lns"])
def test_a_session_is_ended_by_either_side_with_its_result(end: str) -> None:
    pair = connected()
    one = getattr(pair, end)
    other = pair.lns if one is pair.lac else pair.lac
    one.endpoint.close_session(tunnel(one).tunnel_id, session(one).session_id, pair.now, 3, 0, "enough")
    pair.run(None, 10)
    (down,) = other.of(SessionDown)
    assert (down.result, down.message, down.by_peer) == (3, "enough", True)
    assert not tunnel(one).sessions and not tunnel(other).sessions


@pytest.mark.parametrize("secrets", [(SECRET, b"wrong"), (SECRET, b""), (b"", SECRET)])
def test_another_secret_gets_no_answer_and_is_counted(secrets: tuple[bytes, bytes]) -> None:
    pair = pair_of(replace(V3, secret=secrets[0]), replace(V3, secret=secrets[1]))
    pair.open_tunnel(replace(V3, secret=secrets[0]))
    pair.run(None, 300)
    assert not pair.lac.of(TunnelUp) and not pair.lns.of(TunnelUp)
    assert pair.lns.endpoint.counters.bad_digests > 0
    assert all(down.result == 4 for down in pair.lns.of(TunnelDown))
    assert not pair.lns.of(Transmit)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


def test_a_forged_or_changed_message_costs_nothing_and_is_counted() -> None:
    settings = replace(V3, secret=SECRET)
    pair = connected(settings, settings)
    sent = [output for output in pair.lac.of(Transmit)]
    before = pair.lns.endpoint.counters.bad_digests
    for datagram in sent:
        for position in range(12, len(datagram.data), 3):
            data = bytearray(datagram.data)
            data[position] ^= 0x40
            if int.from_bytes(data[4:8], "big"):
                pair.lns.endpoint.receive(bytes(data), datagram.local, LNS, 0, pair.now)
    pair.run(None, 30)
    assert pair.lns.endpoint.counters.bad_digests > before + 10
    assert len(pair.lac.up) == len(pair.lns.up) == 2


def test_a_replayed_message_is_a_duplicate() -> None:
    settings = replace(V3, secret=SECRET)
    pair = connected(settings, settings)
    before = len(pair.lns.outputs)
    for datagram in pair.lac.of(Transmit):
        pair.lns.endpoint.receive(datagram.data, datagram.local, LNS, 0, pair.now)
    pair.run(None, 30)
    assert {type(output) for output in pair.lns.outputs[before:]} == {Transmit}
    assert len(pair.lac.up) == len(pair.lns.up) == 2


@pytest.mark.parametrize("secret", [b"", SECRET])
@pytest.mark.parametrize(("lac", "lns", "version"), [
    ("auto", "auto", 3), ("auto", "l2tpv3", 3), ("auto", "l2tpv2", 2), ("l2tpv2", "auto", 2), ("l2tpv3", "auto", 3),
    ("l2tpv2", "l2tpv3", 0), ("l2tpv3", "l2tpv2", 0),
])
def test_two_ends_agree_on_the_best_version_that_both_speak(secret: bytes, lac: str, lns: str, version: int) -> None:
    challenge = bool(secret)
    ours = replace(V3, version=lac, secret=secret, challenge=challenge)
    theirs = replace(V3, version=lns, secret=secret, challenge=challenge)
    pair = pair_of(ours, theirs, SessionSettings())
    pair.open_session(pair.open_tunnel(ours), SessionSettings(remote_end_id="x"))
    pair.run(None, 60)
    if not version:
        assert not pair.lac.up and not pair.lns.up
        assert {down.result for down in pair.lac.of(TunnelDown)} == {5}
        return
    assert tunnel(pair.lac).version.number == tunnel(pair.lns).version.number == version
    assert session(pair.lac).state is session(pair.lns).state is SessionState.ESTABLISHED
    assert pair.lac.of(OpenDataPath)[0].version == version


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("version", ["l2tpv3", "auto"])
def test_everything_comes_up_and_goes_over_a_bad_network(seed: int, version: str) -> None:
    settings = replace(V3, version=version, secret=SECRET, max_retries=10)
    pair = pair_of(settings, settings, network=Network(seed, loss=0.2, duplication=0.2, reordering=0.3))
    tunnel_id = pair.open_tunnel(settings)
    for number in range(10):
        pair.open_session(tunnel_id, replace(WIRE, remote_end_id=f"c{number}"))
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 11, 300)
    pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 900)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


@pytest.mark.parametrize("steps", range(1, 26, 2))
def test_a_restart_at_any_moment_is_not_noticed(steps: int) -> None:
    settings = replace(V3, secret=SECRET, version="auto" if steps % 3 else "l2tpv3")
    pair = pair_of(settings, settings)
    pair.lac.delay = pair.lns.delay = 0.005
    pair.open_session(pair.open_tunnel(settings), replace(WIRE, cookie_length=8))
    for _ in range(steps):
        pair.step()
    for end in (pair.lac, pair.lns):
        end.forget_questions()
        pair.restart(end)
        end.endpoint.ask_again()
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 100)
    assert session(pair.lac).pseudowire.cookie == session(pair.lns).pseudowire.peer_cookie
    pair.lns.endpoint.close_tunnel(tunnel(pair.lns).tunnel_id, pair.now)
    pair.run(None, 900)
    pair.lac.assert_empty()
    pair.lns.assert_empty()


def test_circuits_that_go_down_are_told_both_ways() -> None:
    pair = connected()
    one, other = session(pair.lac), session(pair.lns)
    assert one.pseudowire.peer_active and other.pseudowire.peer_active
    pair.lac.endpoint.set_circuit(one.tunnel_id, one.session_id, False, pair.now)
    pair.lns.endpoint.set_circuit(other.tunnel_id, other.session_id, False, pair.now)
    pair.run(None, 10)
    assert [output.active for end in (pair.lac, pair.lns) for output in end.of(CircuitChanged)] == [False, False]
    pair.lac.endpoint.set_circuit(one.tunnel_id, one.session_id, True, pair.now)
    pair.run(None, 10)
    assert [output.active for output in pair.lns.of(CircuitChanged)] == [False, True]
    assert not one.pseudowire.peer_active


def test_a_circuit_that_is_down_from_the_start_says_so() -> None:
    pair = connected(ours=replace(WIRE, circuit_active=False))
    assert not session(pair.lns).pseudowire.peer_active and session(pair.lac).pseudowire.peer_active


@pytest.mark.parametrize(("ours", "theirs", "result"), [
    (WIRE, replace(WIRE, pseudowire=4), 14),
    (replace(WIRE, interface_mtu=1500), replace(WIRE, interface_mtu=1400), 23),
])
def test_ends_that_do_not_fit_are_told_why(ours: SessionSettings, theirs: SessionSettings, result: int) -> None:
    pair = pair_of(V3, V3, theirs)
    pair.open_session(pair.open_tunnel(V3), ours)
    pair.run(None, 30)
    for end in (pair.lac, pair.lns):
        assert [down.result for down in end.of(SessionDown)] == [result]
    assert tunnel(pair.lac).state is State.ESTABLISHED


def test_a_type_that_the_peer_does_not_list_is_not_asked_for() -> None:
    lns = replace(V3, pseudowires=(7,))
    pair = pair_of(V3, lns)
    pair.open_session(pair.open_tunnel(V3), WIRE)
    pair.run(None, 30)
    assert [down.result for down in pair.lac.of(SessionDown)] == [14]
    assert not pair.lns.of(AskSessionAdmission)


@pytest.mark.parametrize("both", [True, False])
def test_of_two_requests_for_one_circuit_the_lower_tie_breaker_stands(both: bool) -> None:
    pair = pair_of(V3, V3)
    tunnel_id = pair.open_tunnel(V3)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 1, 30)
    pair.open_session(tunnel_id, WIRE)
    pair.open_session(tunnel(pair.lns).tunnel_id, replace(WIRE, use_tiebreaker=both), pair.lns)
    pair.run(None, 30)
    assert len(tunnel(pair.lac).sessions) == len(tunnel(pair.lns).sessions) == 1
    assert session(pair.lac).peer_session_id == session(pair.lns).session_id
    lost = [down.result for end in (pair.lac, pair.lns) for down in end.of(SessionDown)]
    assert set(lost) == {13}
    if not both:
        assert session(pair.lac).origin == "local"


def test_calls_the_other_way_come_up_too() -> None:
    pair = pair_of(V3, V3, replace(WIRE, pseudowire=7))
    pair.open_session(pair.open_tunnel(V3), replace(WIRE, pseudowire=7, outgoing_call=True, called_number="5"))
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 60)
    (question,) = pair.lns.of(AskSessionAdmission)
    assert (type(question.message).__name__, question.message.called_number) == ("OCRQ", "5")


def test_a_version_2_and_a_version_3_peer_live_in_one_endpoint() -> None:
    ppp = replace(WIRE, pseudowire=7)
    pair = pair_of(V3, replace(V3, version="auto"), ppp)
    first = pair.open_tunnel(V3, 40000)
    second = pair.open_tunnel(TunnelSettings("old"), 40001)
    pair.open_session(first, ppp)
    pair.open_session(second, SessionSettings())
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 4, 60)
    assert sorted(one.version.number for one in pair.lns.endpoint.tunnels.values()) == [2, 3]


def test_a_number_wish_that_comes_late_changes_the_data_path() -> None:
    """ICCN may still say what is to be numbered."""
    pair = pair_of(V3, V3, replace(WIRE))
    pair.open_session(pair.open_tunnel(V3), replace(WIRE, l2_sublayer=True))
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 60)
    responder = session(pair.lns)
    from prol2tp.l2tp.messages3 import ICCN
    message = ICCN(responder.peer_session_id, responder.session_id, data_sequencing=2)
    tunnel(pair.lns).version.connected(responder, message)
    pair.settle()
    (change,) = pair.lns.of(ModifyDataPath)
    assert change.send_sequence and not change.receive_sequence


def test_silence_is_probed_and_a_dead_peer_noticed() -> None:
    pair = connected()
    pair.run(None, 100)
    assert pair.lac.endpoint.counters.hellos_sent + pair.lns.endpoint.counters.hellos_sent
    assert len(pair.lac.up) == len(pair.lns.up) == 2
    pair.network.loss = 1.0
    pair.run(None, 300)
    assert not pair.lac.up and not pair.lns.up


def test_questions_name_the_peer_before_it_is_let_in() -> None:
    pair = connected()
    (question,) = pair.lns.of(AskTunnelAdmission)
    assert (question.message.host_name, question.message.router_id) == ("lcce", 7)
    (call,) = pair.lns.of(AskSessionAdmission)
    assert (call.message.pseudowire_type, call.message.remote_end_id) == (5, "circuit-1")


STATIC = replace(V3, static=True, tunnel_id=1000, peer_tunnel_id=2000)
STATIC_WIRE = replace(WIRE, session_id=10, peer_session_id=20, cookie=b"ourcooky", peer_cookie=b"peer")


def test_a_static_session_is_up_without_a_word_and_goes_when_told() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel(STATIC)
    assert tunnel_id == 1000
    pair.open_session(tunnel_id, STATIC_WIRE)
    assert pair.lac.up == {(1000, 0), (1000, 10)}
    (path,) = pair.lac.of(OpenDataPath)
    assert (path.peer_tunnel_id, path.peer_session_id) == (2000, 20)
    assert (path.cookie, path.peer_cookie) == (b"ourcooky", b"peer")
    pair.run(None, 10_000)
    pair.restart(pair.lac)
    assert session(pair.lac).state is SessionState.ESTABLISHED and session(pair.lac).pseudowire.peer_cookie == b"peer"
    with pytest.raises(ValueError, match="1000 is in use"):
        pair.lac.endpoint.open_tunnel(STATIC, LNS, ("192.0.2.1", 5000), pair.now)
    with pytest.raises(ValueError, match="10 is in use"):
        pair.lac.endpoint.open_session(1000, STATIC_WIRE, pair.now)
    pair.lac.endpoint.close_session(1000, 10, pair.now)
    pair.open_session(1000, STATIC_WIRE)
    pair.lac.endpoint.close_tunnel(1000, pair.now)
    pair.settle()
    assert not pair.lac.of(Transmit)
    pair.lac.assert_empty()


def test_what_comes_for_a_static_tunnel_is_not_for_it() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel(STATIC)
    stop = bytes.fromhex("c803 0014 000003e8 0000 0000 8008 0000 0000 0004")
    pair.lac.endpoint.receive(stop, LNS, ("192.0.2.1", 40000), 0, pair.now)
    pair.settle()
    assert tunnel_id in pair.lac.endpoint.tunnels and pair.lac.endpoint.counters.unknown_tunnels == 1
