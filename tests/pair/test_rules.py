"""What RFC 2661 demands when packets are lost, doubled or reordered, one test for each rule."""

from __future__ import annotations

import struct

import pytest

from prol2tp.l2tp.header import write_data
from prol2tp.l2tp.messages import (
    CDN,
    HELLO,
    ICCN,
    ICRQ,
    ResultCode,
    StopCCN,
    encode,
)
from prol2tp.l2tp.outputs import TunnelDown
from prol2tp.l2tp.settings import TunnelSettings
from tests.pair.network import LAC, LNS, Pair
from tests.pair.peer import Peer, World


def connected(**endpoint: object) -> tuple[World, Peer]:
    world = World(**endpoint)
    peer = Peer(world)
    peer.connect()
    world.sleep(0.5)
    peer.heard()
    return world, peer


def avp(attribute: int, value: bytes, mandatory: bool = True, vendor: int = 0) -> bytes:
    return struct.pack("!HHH", (0x8000 if mandatory else 0) | len(value) + 6, vendor, attribute) + value


def test_rule_01_duplicates_are_acknowledged() -> None:
    world, peer = connected()
    peer.call()
    world.sleep(0.5)
    peer.heard()
    for _ in range(3):
        (ack,) = peer.send(ICRQ(5, 5), ns=2)
        assert (ack.name, ack.nr) == ("ZLB", 4)
    assert len(peer.tunnel.sessions) == 1


@pytest.mark.parametrize("behind", [1, 100, 32767, 32768])
def test_rule_02_numbers_compare_modulo_65536_within_32767(behind: int) -> None:
    world, peer = connected()
    peer.tunnel.channel.nr = peer.ns = 10
    (ack,) = peer.send(HELLO(), ns=(10 - behind) % 65536)
    assert ack.name == "ZLB" and peer.tunnel.channel.nr == 10  # behind: a duplicate
    assert peer.send(HELLO(), ns=(10 + 32767) % 65536) == []  # ahead: no duplicate
    peer.send(HELLO(), ns=10)
    assert peer.tunnel.channel.nr == 11


def test_rule_03_a_zlb_takes_no_number_and_is_never_answered_with_a_zlb() -> None:
    world, peer = connected()
    for ns in (peer.ns, peer.ns + 1, peer.ns - 1, 0, 40000):
        assert peer.zlb(ns % 65536) == []
    world.sleep(5)
    assert peer.heard() == []
    assert peer.tunnel.channel.nr == peer.ns


def test_rule_04_a_retransmission_keeps_ns_and_refreshes_nr() -> None:
    world, peer = connected()
    (first,) = peer.send(ICRQ(5, 5))
    peer.nr = first.ns  # the peer has not seen it
    assert peer.send(HELLO()) == []
    world.sleep(1.0)
    again = [one for one in peer.heard() if one.name == "ICRP"]
    assert [(one.ns, one.message) for one in again] == [(first.ns, first.message)]
    assert again[0].nr == (first.nr + 1) % 65536


def test_rule_05_retries_start_at_one_second_and_double_up_to_eight() -> None:
    world, peer = connected()
    started = world.now
    peer.send(ICRQ(5, 5))
    times = []
    while peer.their_id in world.endpoint.tunnels:
        due = world.endpoint.deadline()
        assert due is not None
        world.sleep(due - world.now)
        times += [round(world.now - started, 3) for one in peer.heard() if one.name == "ICRP"]
    assert times == [1, 3, 7, 15, 23]
    assert TunnelSettings("h").retry_cap >= 8


def test_rule_06_after_five_tries_tunnel_and_sessions_are_cleared() -> None:
    world, peer = connected()
    peer.call(5)
    peer.send(ICRQ(6, 6))
    world.sleep(31.5)
    assert not world.endpoint.tunnels
    (down,) = world.shell.of(TunnelDown)
    assert down.message == "the peer does not acknowledge" and not down.by_peer
    assert world.shell.count["SessionDeleted"] == 2 and world.shell.count["TunnelDeleted"] == 1
    world.shell.assert_empty()


def test_rule_07_a_closed_tunnel_answers_for_a_full_retransmission_cycle() -> None:
    world, peer = connected()
    stop, ns = StopCCN(peer.tunnel_id, ResultCode(1)), peer.ns
    peer.send(stop)
    world.sleep(0.2)
    assert [one.name for one in peer.heard()] == ["ZLB"]
    for _ in range(3):
        world.sleep(10)
        (ack,) = peer.send(stop, ns=ns)
        assert (ack.name, ack.nr) == ("ZLB", ns + 1)
    world.sleep(2)
    assert peer.send(stop, ns=ns) == []
    world.shell.assert_empty()


def test_rule_08_four_messages_may_be_unacknowledged_and_a_window_of_zero_is_invalid() -> None:
    world = World()
    peer = Peer(world)
    peer.connect(receive_window_size=None)
    for session_id in range(1, 20):
        peer.send(ICRQ(session_id, session_id))
    world.sleep(0.5)
    peer.zlb()
    for session_id in range(20, 40):
        peer.send(ICRQ(session_id, session_id), ns=None)
    channel = peer.tunnel.channel
    assert (channel.tx_window, channel.cwnd) == (4, 4)

    other = Peer(world, ("192.0.2.9", 1701))
    body = encode(other.sccrq(receive_window_size=None)) + avp(10, b"\0\0")
    (answer,) = other.give(body)
    assert answer.name == "StopCCN" and answer.message.result_code[:2] == (2, 3)


def test_rule_09_acknowledgements_are_not_withheld() -> None:
    """Nothing is free for the calls, nobody answers for them: the channel acknowledges all the same."""
    world, peer = connected()
    world.shell.answer = lambda question, now: None
    for session_id in range(1, 100):
        peer.send(ICRQ(session_id, session_id))
    world.sleep(0.2)
    peer.heard()
    assert peer.tunnel.channel.nr == peer.ns == 101
    (ack,) = peer.send(ICRQ(1, 1), ns=2)
    assert ack.nr == peer.ns


def test_rule_10_slow_start_begins_at_one_halves_on_loss_and_begins_again() -> None:
    pair = Pair(1)
    pair.lns.tunnel_settings = TunnelSettings("lns", rx_window_size=32)
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", tx_window_size=32))
    channel = pair.lac.endpoint.tunnels[tunnel_id].channel
    assert channel.cwnd == 1
    for _ in range(30):
        pair.open_session(tunnel_id)
    assert pair.run(lambda: len(pair.lns.up) == 31)
    cwnd = channel.cwnd
    assert cwnd > 16
    pair.network.loss = 1.0
    pair.open_session(tunnel_id)
    pair.run(lambda: channel.retries == 1)
    assert (channel.cwnd, channel.ssthresh) == (1, cwnd // 2)


def test_rule_11_out_of_order_messages_are_queued_or_dropped_never_delivered() -> None:
    world, peer = connected()
    ns = peer.ns
    peer.send(ICRQ(6, 6), ns=ns + 1)
    peer.send(ICRQ(9, 9), ns=ns + 60)
    assert not peer.tunnel.sessions
    peer.send(ICRQ(5, 5), ns=ns)
    assert [call.peer_session_id for call in peer.tunnel.sessions.values()] == [5, 6]


def test_rule_12_an_unknown_mandatory_avp_ends_its_call_or_its_tunnel_and_others_are_ignored() -> None:
    world, peer = connected()
    kept, lost = peer.call(5), peer.call(6)
    world.sleep(0.5)
    peer.heard()
    peer.give(encode(ICRQ(7, 7)) + avp(999, b"x", mandatory=False))
    assert len(peer.tunnel.sessions) == 3
    (refused,) = [one for one in peer.give(encode(ICRQ(8, 8)) + avp(999, b"x")) if one.name == "CDN"]
    assert refused.session_id == 8 and refused.message.result_code[:2] == (2, 8)
    assert len(peer.tunnel.sessions) == 3
    (cdn,) = [one for one in peer.give(encode(ICCN(1, 1)) + avp(1, b"x", vendor=9), lost) if one.name == "CDN"]
    assert cdn.session_id == 6 and cdn.message.result_code[:2] == (2, 8)
    assert kept in peer.tunnel.sessions and lost not in peer.tunnel.sessions
    peer.give(encode(HELLO()) + avp(999, b"x", mandatory=False))
    assert peer.tunnel.established
    (stop,) = [one for one in peer.give(encode(HELLO()) + avp(999, b"x")) if one.name == "StopCCN"]
    assert stop.message.result_code[:2] == (2, 8)
    assert world.shell.count["SessionDown"] == 3


@pytest.mark.parametrize(("ours", "theirs", "up"), [
    (b"\0" * 7 + b"\1", b"\0" * 7 + b"\2", 1),
    (b"\xff" * 8, b"\xfe" * 8, 1),
    (b"\5" * 8, b"\5" * 8, 0),
    (b"\5" * 8, None, 1),
    (None, b"\5" * 8, 1),
    (None, None, 2),
])
def test_rule_13_the_tie_breaker_decides_when_both_ends_open(ours: bytes | None, theirs: bytes | None, up: int) -> None:
    pair = Pair(1)
    for end, address, other, tie in ((pair.lac, LAC, LNS, ours), (pair.lns, LNS, LAC, theirs)):
        end.endpoint.context.random_bytes = lambda length, tie=tie: (tie or b"") if length == 8 else bytes(length)
        end.endpoint.open_tunnel(TunnelSettings("end", use_tiebreaker=tie is not None), other, address, pair.now)
    pair.run(lambda: False, 30)
    for end in (pair.lac, pair.lns):
        assert [tunnel.state.name for tunnel in end.endpoint.tunnels.values()] == ["ESTABLISHED"] * up
    if up == 1:
        winner = pair.lac if theirs is None or (ours is not None and ours < theirs) else pair.lns
        assert [tunnel.lns for tunnel in winner.endpoint.tunnels.values()] == [False]


def test_rule_14_hello_is_sent_only_after_silence() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel(TunnelSettings("lac", hello_timeout=60.0))
    pair.lns.tunnel_settings = TunnelSettings("lns", hello_timeout=0)
    for _ in range(20):
        pair.open_session(tunnel_id)
        pair.sleep(50)
    counters = pair.lac.endpoint.counters
    assert counters.hellos_sent == 0
    pair.sleep(61)
    assert counters.hellos_sent == 1
    pair.sleep(600)
    assert 9 <= counters.hellos_sent <= 11
    assert pair.lns.endpoint.counters.hellos_received == counters.hellos_sent
    assert pair.lns.endpoint.counters.hellos_sent == 0 and pair.lac.endpoint.tunnels[tunnel_id].established


def test_rule_15_data_messages_never_break_control() -> None:
    world, peer = connected()
    ours = peer.call()
    world.sleep(0.5)
    peer.heard()
    for ns in (None, 0, 9, 65535):
        world.give(write_data(peer.their_id, ours, 4, ns=ns) + b"data", peer.address)
    assert world.endpoint.counters.data_messages == 4
    assert peer.heard() == [] and peer.tunnel.sessions[ours].state.name == "ESTABLISHED"
    peer.send(CDN(ResultCode(3), 5), ours)
    assert not peer.tunnel.sessions


