"""A thousand seeded runs over a network that loses, doubles and reorders: everything comes up, and goes down."""

from __future__ import annotations

import random

import pytest

from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from tests.pair.network import Network, Pair, Shell

RUNS, BATCH = 1000, 50


def bad_network(seed: int) -> Network:
    choice = random.Random(seed)
    return Network(seed, loss=choice.choice((0.0, 0.1, 0.2, 0.3)), duplication=choice.choice((0.0, 0.1, 0.3)),
                   reordering=choice.choice((0.0, 0.2, 0.5)), delay=choice.choice((0.001, 0.02, 0.2)))


def settings(seed: int, name: str) -> TunnelSettings:
    choice = random.Random(seed * 2 + len(name))
    return TunnelSettings(
        host_name=name, secret=b"s3cret", challenge=choice.random() < 0.5, hide_avps=choice.random() < 0.3,
        use_tiebreaker=choice.random() < 0.5, rx_window_size=choice.choice((1, 2, 4, 10)),
        tx_window_size=choice.choice((1, 4, 10)), max_retries=60, establish_timeout=3000.0, hello_timeout=10.0,
    )


def call_settings(outgoing_call: bool = False) -> SessionSettings:
    return SessionSettings(outgoing_call=outgoing_call, establish_timeout=3000.0)


def one_run(seed: int) -> None:
    choice = random.Random(seed)
    pair = Pair(seed, bad_network(seed))
    pair.lns.tunnel_settings = settings(seed, "lns")
    for end in (pair.lac, pair.lns):
        end.session_settings = call_settings()
        end.delay = choice.choice((0.0, 0.0, 0.3))
    tunnels = [pair.open_tunnel(settings(seed, "lac"), port) for port in range(40000, 40000 + choice.randint(1, 2))]
    calls = choice.randint(0, 6)
    for tunnel_id in tunnels:
        for _ in range(calls):
            pair.open_session(tunnel_id, call_settings(choice.random() < 0.3))
    wanted = len(tunnels) * (1 + calls)
    if choice.random() < 0.3:
        pair.run(lambda: len(pair.lac.up) > wanted // 2)
        pair.restart(pair.lac)
        pair.restart(pair.lns)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == wanted), (seed, pair.lac.up, pair.lns.up)
    no_repeated_delivery(pair)

    for tunnel_id in tunnels:  # half of the calls one by one, from either side; then the tunnels
        for session_id in list(pair.lac.endpoint.tunnels[tunnel_id].sessions)[::2]:
            pair.lac.endpoint.close_session(tunnel_id, session_id, pair.now)
    for tunnel in list(pair.lns.endpoint.tunnels.values()):
        for session_id in list(tunnel.sessions)[::3]:
            pair.lns.endpoint.close_session(tunnel.tunnel_id, session_id, pair.now)
    pair.run(lambda: False, choice.choice((0.0, 1.0, 30.0)))
    for end in (pair.lac, pair.lns):
        for tunnel in end.endpoint.tunnels.values():
            assert tunnel.calls._ids.used == set(tunnel.sessions) | set(tunnel.calls._resting)
    closer: Shell = choice.choice((pair.lac, pair.lns))
    for tunnel_id in list(closer.endpoint.tunnels):
        closer.endpoint.close_tunnel(tunnel_id, pair.now)
    assert pair.run(lambda: not pair.lac.endpoint.tunnels and not pair.lns.endpoint.tunnels), seed
    pair.run(None, 0.0)
    for end in (pair.lac, pair.lns):
        end.assert_empty()
        count = end.count
        # a copy of an SCCRQ that comes seconds after its tunnel has gone makes another, which soon gives up
        assert count["TunnelUp"] == len(tunnels)
        assert count["TunnelCreated"] == count["TunnelDown"] == count["TunnelDeleted"] >= len(tunnels)
        assert count["SessionCreated"] == count["SessionUp"] == count["SessionDown"] == count["SessionDeleted"]
        assert count["SessionCreated"] == len(tunnels) * calls
        assert count["OpenDataPath"] == count["CloseDataPath"] == len(tunnels) * calls


def no_repeated_delivery(pair: Pair) -> None:
    """A message that came twice would have made a call twice, or ended one."""
    for end in (pair.lac, pair.lns):
        assert end.count["SessionDown"] == end.count["TunnelDown"] == 0
        assert end.endpoint.counters.illegal_events == end.endpoint.counters.unknown_sessions == 0
    assert pair.lac.count["SessionCreated"] == pair.lns.count["SessionCreated"]


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_every_tunnel_and_session_comes_up_and_goes_down_over_a_bad_network(first: int) -> None:
    for seed in range(first, first + BATCH):
        one_run(seed)


def test_a_perfect_network_needs_no_retransmission() -> None:
    pair = Pair(1)
    tunnel_id = pair.open_tunnel()
    for _ in range(50):
        pair.open_session(tunnel_id)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 51)
    for end in (pair.lac, pair.lns):
        counters = end.endpoint.counters
        assert counters.retransmits == counters.duplicates == counters.out_of_order == 0


def test_a_dead_network_ends_everything_by_itself() -> None:
    pair = Pair(2)
    tunnel_id = pair.open_tunnel()
    pair.open_session(tunnel_id)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2)
    pair.network.loss = 1.0
    started = pair.now
    assert pair.run(lambda: not pair.lac.endpoint.tunnels and not pair.lns.endpoint.tunnels)
    assert 60 + 31 <= pair.now - started < 60 + 31 + 5
    for end in (pair.lac, pair.lns):
        end.assert_empty()
        assert end.endpoint.counters.retry_timeouts == 1
