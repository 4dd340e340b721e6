"""What a LAC says of its subscriber over networks that lose, double and reorder: proxy LCP and authentication (RFC 2661
section 4.4.5), LCP options (RFC 3437), the access line and connect speeds (RFC 5515); in both versions."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

import pytest

from prol2tp.l2tp.messages import CSUN, CSURQ, ConnectSpeed, encode
from prol2tp.l2tp.outputs import LinkInfoChanged, SpeedChanged, TunnelDown
from prol2tp.l2tp.settings import AccessLine, SessionSettings, TunnelSettings
from tests.pair.network import Network, Pair
from tests.pair.peer import Peer, World
from tests.pair.test_calls import connected

PROXIES = ("initial_received_lcp_confreq", "last_sent_lcp_confreq", "last_received_lcp_confreq", "proxy_authen_name",
           "proxy_authen_challenge", "proxy_authen_response", "lcp_want_options", "lcp_allow_options",
           "private_group_id")
VERSIONS = pytest.mark.parametrize("version", ["l2tpv2", "l2tpv3"])


def bad(seed: int) -> Network:
    return Network(seed, loss=0.2, duplication=0.2, reordering=0.3, delay=0.02)


def line(choice: random.Random) -> AccessLine:
    """Any of its values, or none."""
    values: dict[str, Any] = {}
    for one in fields(AccessLine):
        if choice.random() < 0.4:
            continue
        if one.name.endswith("_id"):
            values[one.name] = choice.randbytes(choice.randrange(64))
        elif one.name == "access_loop_encapsulation":
            values[one.name] = choice.randbytes(3)
        else:
            values[one.name] = choice.getrandbits(choice.choice((1, 32, 64 if "rate" in one.name else 32)))
    return AccessLine(**values)


def call_settings(choice: random.Random) -> SessionSettings:
    settings = SessionSettings(establish_timeout=3000.0, line=line(choice), speed_updates=choice.random() < 0.5,
                               proxy_authen_type=choice.choice((None, 1, 2, 3, 4, 5, 65535)),
                               proxy_authen_id=choice.choice((None, 0, 255)))
    for name in PROXIES:
        setattr(settings, name, choice.randbytes(choice.choice((0, 1, 40, 1000))))
    return settings


def pair_of(seed: int, version: str, hide: bool, network: Network | None = None) -> Pair:
    pair = Pair(seed, network)
    tunnel = TunnelSettings("end", secret=b"s3cret", hide_avps=hide, version=version, router_id=1, max_retries=60,
                            establish_timeout=3000.0)
    for end in (pair.lac, pair.lns):
        end.tunnel_settings, end.session_settings = tunnel, SessionSettings(establish_timeout=3000.0)
    return pair


@VERSIONS
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_all_that_the_lac_says_arrives_as_it_was_over_a_bad_network(seed: int, hide: bool, version: str) -> None:
    choice = random.Random(seed)
    pair = pair_of(seed, version, hide, bad(seed))
    tunnel_id = pair.open_tunnel(pair.lac.tunnel_settings)
    said = {pair.open_session(tunnel_id, settings): settings for settings in map(call_settings, [choice] * 6)}
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 7)
    for end in (pair.lac, pair.lns):
        pair.restart(end)
    (theirs,) = pair.lns.endpoint.tunnels.values()
    heard = {session.peer_session_id: session for session in theirs.sessions.values()}
    assert set(heard) == set(said)
    for session_id, settings in said.items():
        request, connect = heard[session_id].peer_message, heard[session_id].connect_message
        assert settings.line is not None
        for one in fields(AccessLine):
            assert getattr(request, one.name) == getattr(settings.line, one.name), one.name
        assert request.connect_speed_update_enable is settings.speed_updates
        for name in PROXIES:
            assert (getattr(connect, name) or b"") == getattr(settings, name), name
        assert (connect.proxy_authen_type, connect.proxy_authen_id) == (
            settings.proxy_authen_type, settings.proxy_authen_id)


def up(version: str, seed: int = 1, calls: int = 1, network: Network | None = None) -> Pair:
    pair = pair_of(seed, version, False, network)
    tunnel_id = pair.open_tunnel(pair.lac.tunnel_settings)
    for _ in range(calls):
        pair.open_session(tunnel_id, SessionSettings(tx_connect_speed=10_000_000, rx_connect_speed=1_000_000))
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == calls + 1)
    return pair


def sessions(end: Any) -> list[Any]:
    (tunnel,) = end.endpoint.tunnels.values()
    return list(tunnel.sessions.values())


@VERSIONS
def test_the_lac_tells_new_speeds_and_answers_who_asks(version: str) -> None:
    pair = up(version, calls=100)
    ours = sessions(pair.lac)
    for session in ours[:50]:
        pair.lac.endpoint.send_connect_speed(session.tunnel_id, session.session_id, 20_000_000, 0, pair.now)
    pair.sleep(5)
    changed = pair.lns.of(SpeedChanged)
    assert {one.session_id for one in changed} == {session.peer_session_id for session in ours[:50]}
    assert {(one.tx, one.rx) for one in changed} == {(20_000_000, 0)} and len(changed) == 50
    for session in sessions(pair.lns):
        pair.lns.endpoint.ask_connect_speed(session.tunnel_id, session.session_id, pair.now)
    pair.sleep(10)
    later = pair.lns.of(SpeedChanged)[50:]
    # what is the same as before is no change
    assert {(one.tx, one.rx) for one in later} == {(10_000_000, 1_000_000)} and len(later) == 50
    assert not pair.lac.of(SpeedChanged) and pair.lac.endpoint.counters.unknown_sessions == 0


@VERSIONS
def test_speeds_outlive_a_restart_and_a_bad_network(version: str) -> None:
    pair = up(version, network=bad(3))
    (session,) = sessions(pair.lac)
    pair.lac.endpoint.send_connect_speed(session.tunnel_id, session.session_id, 5, 6, pair.now)
    assert pair.run(lambda: bool(pair.lns.of(SpeedChanged)))
    pair.sleep(30)
    assert len(pair.lns.of(SpeedChanged)) == 1
    pair.restart(pair.lns)
    assert sessions(pair.lns)[0].speeds == (5, 6)


def test_only_the_side_that_has_the_line_tells_and_only_the_other_asks() -> None:
    pair = up("l2tpv2")
    (ours,), (theirs,) = sessions(pair.lac), sessions(pair.lns)
    with pytest.raises(ValueError):
        pair.lns.endpoint.send_connect_speed(theirs.tunnel_id, theirs.session_id, 1, 1, pair.now)
    with pytest.raises(ValueError):
        pair.lac.endpoint.ask_connect_speed(ours.tunnel_id, ours.session_id, pair.now)
    with pytest.raises(ValueError):
        pair.lac.endpoint.send_connect_speed(ours.tunnel_id, ours.session_id, 1 << 32, 0, pair.now)


def test_messages_about_speeds_from_the_wrong_side_or_of_no_call_are_counted_and_change_nothing() -> None:
    world, peer = connected()
    ours = peer.call(5)
    counters = world.endpoint.counters
    peer.send(CSURQ((ConnectSpeed(ours, 0, 0), ConnectSpeed(9999, 0, 0))))
    assert counters.unknown_sessions == 2
    peer.send(CSUN((ConnectSpeed(9999, 1, 1), ConnectSpeed(ours, 7, 8))))
    assert counters.unknown_sessions == 3
    assert world.shell.of(SpeedChanged) == [SpeedChanged(peer.their_id, ours, 7, 8)]
    assert peer.tunnel.sessions[ours].state.name == "ESTABLISHED"


def test_a_message_about_speeds_that_is_damaged_costs_nothing() -> None:
    world, peer = connected()
    peer.call(5)
    for body in ("0008 0000 0000 001c", "0008 0000 0000 001d", "8008 0000 0000 001c 0007 0000 0061 00",
                 "0008 0000 0000 001c 8007 0000 0061 00", "0008 0000 0000 001c 8008 0000 03e7 0000"):
        peer.give(bytes.fromhex(body.replace(" ", "")))
    assert peer.tunnel.state.name == "ESTABLISHED" and len(peer.tunnel.sessions) == 1
    assert not world.shell.of(TunnelDown) and not world.shell.of(SpeedChanged)


def test_speeds_before_the_tunnel_is_up_are_passed_over() -> None:
    world = World()
    peer = Peer(world)
    (reply,) = peer.send(peer.sccrq())
    peer.their_id = reply.message.assigned_tunnel_id
    peer.send(CSUN((ConnectSpeed(1, 1, 1),)))
    assert peer.tunnel.state.name == "WAITCTLCONN"
    assert encode(CSUN((ConnectSpeed(1, 1, 1),)))[:1] == b"\x00"


@VERSIONS
def test_the_lns_tells_the_lac_what_lcp_came_to(version: str) -> None:
    pair = up(version)
    (ours,), (theirs,) = sessions(pair.lac), sessions(pair.lns)
    pair.lns.endpoint.send_link_info(theirs.tunnel_id, theirs.session_id, 1, 2, pair.now, b"\x01\x04\x05\xdc", b"")
    pair.sleep(1)
    assert pair.lac.of(LinkInfoChanged) == [
        LinkInfoChanged(ours.tunnel_id, ours.session_id, 1, 2, b"\x01\x04\x05\xdc", b"")]
