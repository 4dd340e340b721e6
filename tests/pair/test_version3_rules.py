"""What RFC 3931 and good sense ask of L2TPv3 where two ends do not simply agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from prol2tp.l2tp import header, header3, messages, messages3
from prol2tp.l2tp.messages import ResultCode
from prol2tp.l2tp.outputs import AskTunnelAdmission, CircuitChanged, SessionDown, Transmit, TunnelDown
from prol2tp.l2tp.session import State as SessionState
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.tunnel import State
from prol2tp.l2tp.version3 import Offer
from tests.pair.network import LAC, LNS, Pair
from tests.pair.test_version3 import SECRET, STATIC, STATIC_WIRE, V3, WIRE, pair_of, session, tunnel

AUTO = replace(V3, version="auto")
ATTACKER_TIE = bytes(8)


def to_lac(pair: Pair, data: bytes, port: int = 40000) -> None:
    pair.lac.endpoint.receive(data, LNS, (LAC[0], port), 0, pair.now)
    pair.settle()


def sccrq3(**more: Any) -> bytes:
    body = messages3.encode(messages3.SCCRQ("x", 1, 99, (5, 7), **more))
    return header3.write_control(0, 0, 0, body)


def test_a_static_session_says_nothing_of_its_circuit_either() -> None:
    pair = Pair(1)
    pair.open_session(pair.open_tunnel(STATIC), STATIC_WIRE)
    pair.lac.endpoint.set_circuit(1000, 10, False, pair.now)
    pair.run(None, 1000)
    assert not pair.lac.of(Transmit) and tunnel(pair.lac).established
    assert not session(pair.lac).pseudowire.active


@pytest.mark.parametrize("peer", ["nobody", "l2tpv2", "l2tpv3"])
def test_session_ids_of_an_offer_are_free_again_whatever_becomes_of_it(peer: str) -> None:
    pair = pair_of(AUTO, replace(V3, version=peer) if peer != "nobody" else V3, SessionSettings())
    if peer == "nobody":
        pair.network.loss = 1.0
    tunnel_id = pair.open_tunnel(AUTO)
    for _ in range(5):
        pair.open_session(tunnel_id, SessionSettings())
    pair.run(None, 20)
    if tunnel_id in pair.lac.endpoint.tunnels:
        pair.lac.endpoint.close_tunnel(tunnel_id, pair.now)
    pair.run(None, 900)
    pair.lac.assert_empty()


def test_sessions_of_an_offer_keep_their_ids_to_themselves_over_a_restart() -> None:
    pair = Pair(1)
    pair.network.loss = 1.0
    session_id = pair.open_session(pair.open_tunnel(AUTO), WIRE)
    pair.restart(pair.lac)
    assert isinstance(tunnel(pair.lac).version, Offer)
    assert not pair.lac.endpoint.context.session_ids.claim(session_id)


def test_a_refusal_in_version_3_of_an_offer_is_believed() -> None:
    """The peer wants a challenge answered, and has no secret itself."""
    pair = pair_of(AUTO, replace(V3, challenge=True))
    pair.open_tunnel(AUTO)
    pair.run(lambda: bool(pair.lac.of(TunnelDown)), 3)
    (down,) = pair.lac.of(TunnelDown)
    assert (down.result, down.by_peer) == (4, True)


def test_an_offer_is_acknowledged_in_either_version_and_waits_for_its_answer() -> None:
    pair = Pair(1)
    pair.network.loss = 1.0
    tunnel_id = pair.open_tunnel(AUTO)
    to_lac(pair, header3.write_control(tunnel_id, 0, 1, messages3.encode(messages3.ACK())))
    assert tunnel(pair.lac).channel.drained and isinstance(tunnel(pair.lac).version, Offer)


@pytest.mark.parametrize("wrong", [2, 3])
def test_an_answer_out_of_turn_does_not_settle_the_version(wrong: int) -> None:
    pair = pair_of(AUTO, V3 if wrong == 2 else replace(V3, version="l2tpv2"), SessionSettings())
    tunnel_id = pair.open_tunnel(AUTO)
    if wrong == 2:
        body = messages.encode(messages.SCCRP(0x100, 3, "x", 7))
        to_lac(pair, header.write_control(tunnel_id, 0, 9, 1, body))
    else:
        body = messages3.encode(messages3.SCCRP("x", 1, 7, (7,)))
        to_lac(pair, header3.write_control(tunnel_id, 9, 1, body))
    assert pair.run(lambda: tunnel(pair.lac).established, 30)
    assert tunnel(pair.lac).version.number == 5 - wrong


def test_who_does_not_know_the_secret_wins_no_tie() -> None:
    settings = replace(V3, secret=SECRET)
    pair = pair_of(settings, settings)
    tunnel_id = pair.open_tunnel(settings)
    for forged in (sccrq3(tie_breaker=ATTACKER_TIE), header.write_control(
            0, 0, 0, 0, messages.encode(messages.SCCRQ(0x100, "x", 3, 5, tie_breaker=ATTACKER_TIE)))):
        to_lac(pair, forged)
    assert pair.run(lambda: tunnel_id in pair.lac.endpoint.tunnels and
                    pair.lac.endpoint.tunnels[tunnel_id].established, 30)


def test_the_other_end_of_a_tie_is_known_by_the_secret() -> None:
    settings = replace(V3, secret=SECRET)
    pair = pair_of(settings, settings)
    pair.open_tunnel(settings, LAC[1])
    pair.lns.endpoint.open_tunnel(settings, LAC, LNS, pair.now)
    pair.run(None, 30)
    assert len(pair.lac.endpoint.tunnels) == len(pair.lns.endpoint.tunnels) == 1
    assert tunnel(pair.lac).established and tunnel(pair.lns).established


@pytest.mark.parametrize("copy", [True, False])
def test_a_forged_request_costs_no_tunnel_that_waits_for_its_peer(copy: bool) -> None:
    settings = replace(V3, secret=SECRET)
    pair = pair_of(settings, settings)
    pair.open_tunnel(settings)
    (request,) = pair.lac.of(Transmit)
    assert pair.run(lambda: len(pair.lns.of(Transmit)) == 1, 5)
    waiting = tunnel(pair.lns)
    data = bytearray(request.data)
    data[11] = 1  # acknowledges the SCCRP
    if not copy:
        data[-1] ^= 1
    pair.lns.endpoint.receive(bytes(data), request.local, LNS, 0, pair.now)
    pair.settle()
    assert tunnel(pair.lns) is waiting and not waiting.channel.drained
    assert pair.lns.endpoint.counters.bad_digests == 1
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 1, 30)


def test_version_2_over_ip_is_counted_and_gets_no_answer() -> None:
    pair = pair_of(V3, AUTO)
    body = messages.encode(messages.SCCRQ(0x100, "x", 3, 5))
    pair.lns.endpoint.receive(header.write_control(0, 0, 0, 0, body), (LAC[0], 0), (LNS[0], 0), 0, pair.now)
    pair.settle()
    assert pair.lns.endpoint.counters.bad_versions == 1 and not pair.lns.outputs


def test_a_pseudowire_that_falls_back_to_version_2_is_no_ppp_session() -> None:
    pair = pair_of(AUTO, replace(V3, version="l2tpv2"))
    pair.open_session(pair.open_tunnel(AUTO), WIRE)
    pair.run(None, 30)
    assert tunnel(pair.lac).version.number == 2 and not tunnel(pair.lac).sessions
    assert [(down.result, down.message) for down in pair.lac.of(SessionDown)] == [(5, "L2TPv2 carries PPP alone")]
    assert not pair.lns.of(SessionDown)


def test_a_call_of_version_2_is_not_served_by_an_ethernet_profile() -> None:
    pair = pair_of(TunnelSettings("old"), AUTO, WIRE)
    pair.open_session(pair.open_tunnel(TunnelSettings("old")), SessionSettings())
    pair.run(None, 30)
    assert [down.result for down in pair.lac.of(SessionDown)] == [5]


@pytest.mark.parametrize("end", ["lac", "lns"])
def test_a_sublayer_that_nobody_here_knows_costs_the_session(end: str) -> None:
    pair = pair_of(V3, V3)
    other, one = (pair.lns, pair.lac) if end == "lac" else (pair.lac, pair.lns)
    strange = 2  # ATM-Specific Sublayer, RFC 4454
    name = "icrq" if end == "lns" else "icrp"
    pair.open_tunnel(V3)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 1, 30)
    version = tunnel(other).version
    said = type(version).__dict__[name]

    class Strange(type(version)):  # type: ignore[misc]
        __slots__ = ()

    setattr(Strange, name, lambda self, call: replace(said(self, call), l2_specific_sublayer=strange))
    tunnel(other).version = Strange(version.digests)
    pair.open_session(tunnel(pair.lac).tunnel_id, WIRE)
    pair.run(None, 30)
    assert not tunnel(one).sessions and not tunnel(other).sessions
    assert {(down.result, down.error) for down in other.of(SessionDown)} == {(2, 3)}


@pytest.mark.parametrize(("change", "result"), [
    ({"l2_specific_sublayer": 1}, 2), ({"data_sequencing": 2}, 15), ({"data_sequencing": 0}, 0),
    ({"l2_specific_sublayer": 0}, 0)])
def test_a_last_message_that_contradicts_the_first_costs_the_session(change: dict[str, int], result: int) -> None:
    pair = pair_of(V3, V3)
    pair.open_tunnel(V3)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 1, 30)
    version = tunnel(pair.lac).version

    class Strange(type(version)):  # type: ignore[misc]
        __slots__ = ()

        def iccn(self, call: Any) -> Any:
            return replace(super().iccn(call), **change)

    tunnel(pair.lac).version = Strange(version.digests)
    pair.open_session(tunnel(pair.lac).tunnel_id, WIRE)
    pair.run(None, 30)
    assert [down.result for down in pair.lac.of(SessionDown)] == ([result] if result else [])
    assert bool(tunnel(pair.lns).sessions) is not bool(result)


def test_a_circuit_that_goes_down_before_the_call_is_answered_is_told() -> None:
    """We place an outgoing call, and our circuit goes down while the peer's bearer comes up."""
    pair = pair_of(V3, V3)
    pair.lns.delay = 0.5
    pair.open_session(pair.open_tunnel(V3), replace(WIRE, outgoing_call=True))
    assert pair.run(lambda: session(pair.lac).state is SessionState.WAITCONNECT
                    if tunnel(pair.lac).sessions else False, 30)
    one = session(pair.lac)
    pair.lac.endpoint.set_circuit(one.tunnel_id, one.session_id, False, pair.now)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 30)
    pair.run(None, 5)
    assert not session(pair.lns).pseudowire.peer_active
    assert [output.active for output in pair.lns.of(CircuitChanged)] == [False]


def test_a_tie_is_seen_after_a_restart_too() -> None:
    pair = pair_of(V3, V3)
    tunnel_id = pair.open_tunnel(V3)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 1, 30)
    pair.open_session(tunnel_id, WIRE)
    pair.open_session(tunnel(pair.lns).tunnel_id, WIRE, pair.lns)
    for end in (pair.lac, pair.lns):
        pair.restart(end)
    pair.run(None, 30)
    assert len(tunnel(pair.lac).sessions) == len(tunnel(pair.lns).sessions) == 1
    assert not tunnel(pair.lac).calls.asked and not tunnel(pair.lns).calls.asked


@pytest.mark.parametrize("values", [
    {"remote_end_id": "x" * 1001}, {"cookie_length": 5}, {"cookie": b"12345"}, {"interface_mtu": 1 << 16},
    {"data_sequencing": 3}, {"pseudowire": -1}])
def test_settings_that_fit_no_avp_are_refused_while_there_is_somebody_to_tell(values: dict[str, Any]) -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel(V3)
    with pytest.raises(ValueError, match=next(iter(values)).partition("_length")[0]):
        pair.open_session(tunnel_id, replace(WIRE, **values))
    for tunnel_values in ({"router_id": 1 << 32}, {"preferred_language": "x" * 1001}):
        with pytest.raises(ValueError, match=r"router_id|longer"):
            pair.open_tunnel(replace(V3, **tunnel_values))


@pytest.mark.parametrize("state", [State.WAIT_ADMIT, State.WAITCTLCONN, State.ESTABLISHED, State.CLOSING])
def test_a_stopccn_is_acknowledged_in_every_state(state: State) -> None:
    pair = pair_of(V3, V3)
    if state is State.WAIT_ADMIT:
        pair.lns.answer = lambda question, now: None
    pair.open_tunnel(V3)
    if state is State.WAITCTLCONN:
        assert pair.run(lambda: bool(pair.lns.of(Transmit)), 5)
        pair.network.in_flight.clear()
    else:
        pair.run(lambda: bool(pair.lns.of(AskTunnelAdmission)), 5)
        if state is not State.WAIT_ADMIT:
            assert pair.run(lambda: len(pair.lns.up) == 1, 5)
    if state is State.CLOSING:
        pair.network.loss = 1.0
        pair.lns.endpoint.close_tunnel(tunnel(pair.lns).tunnel_id, pair.now)
        pair.settle()
    one = tunnel(pair.lns)
    assert one.state is state
    before, ns = len(pair.lns.of(Transmit)), one.channel.nr
    stop = header3.write_control(one.tunnel_id, ns, one.channel.ns, messages3.encode(
        messages3.StopCCN(ResultCode(1, 0, ""), one.peer_tunnel_id)))
    pair.network.loss = 1.0
    for _ in range(2):
        pair.lns.endpoint.receive(stop, one.peer, LNS, 0, pair.now)
        pair.sleep(0.1)
    acknowledged = [int.from_bytes(output.data[10:12], "big") for output in pair.lns.of(Transmit)[before:]]
    assert acknowledged == [ns + 1, ns + 1] and one.state is State.CLOSING
    pair.run(None, 900)
    pair.lns.assert_empty()
