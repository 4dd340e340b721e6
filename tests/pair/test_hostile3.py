"""Bad L2TPv3 input against a living endpoint: nothing raises, nothing grows without bound, others stay up."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from prol2tp.l2tp import header3
from prol2tp.l2tp.messages import ACCM, CallErrors, Message, ResultCode
from prol2tp.l2tp.messages3 import (
    ACK,
    CDN,
    HELLO,
    ICCN,
    ICRP,
    ICRQ,
    OCCN,
    OCRP,
    OCRQ,
    SCCCN,
    SCCRP,
    SCCRQ,
    SLI,
    WEN,
    StopCCN,
    encode,
)
from prol2tp.l2tp.outputs import SessionDown, Transmit
from tests.pair.network import LAC, LNS
from tests.pair.test_hostile import mutated
from tests.pair.test_version3 import V3, WIRE, Pair, pair_of, session, tunnel

MUTATIONS, BATCHES = 30_000, 6
SECRET = b"s3cret"


def valid(ours: int, theirs: int) -> list[Message]:
    both = {"local_session_id": theirs, "remote_session_id": ours}
    return [
        SCCRQ("peer", 7, 1234, (5, 7), None, b"12345678", "vendor", 10, "en"),
        SCCRP("peer", 7, 1234, (5,), b"nonce", "vendor", 10), SCCCN(), StopCCN(ResultCode(1, 2, "bye"), 1234), HELLO(),
        ICRQ(theirs + 1, 0, 1, 5, "x", 3, b"cook", b"12345678", 1, 2, 5, 6, 7, "1", "2", "3", b"g", b"l", 1500),
        ICRP(**both, circuit_status=3, assigned_cookie=b"12345678", l2_specific_sublayer=1),
        ICCN(**both, l2_specific_sublayer=1, data_sequencing=2, circuit_status=1, proxy_authen_name=b"n"),
        OCRQ(theirs + 2, 0, 2, 7, "y", 3, b"cook", 1, 2, b"12345678", 1, 2, "5", "6"),
        OCRP(**both, circuit_status=3), OCCN(**both, circuit_status=1),
        CDN(ResultCode(3, 0, "no"), **both), WEN(**both, circuit_errors=CallErrors(1, 2, 3, 4, 5, 6)),
        SLI(**both, circuit_status=1, accm=ACCM(1, 2)), ACK(),
    ]


def connect(pair: Pair, port: int) -> int:
    """A connection with a session from another port of the attacker's; -> its id at our end."""
    before = set(pair.lns.endpoint.tunnels)
    pair.open_session(pair.open_tunnel(V3, port), replace(WIRE, remote_end_id=f"c{port}"))
    pair.run(lambda: any(one.sessions for key, one in pair.lns.endpoint.tunnels.items() if key not in before), 30)
    (made,) = set(pair.lns.endpoint.tunnels) - before
    return made


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutations_of_valid_messages_cost_at_most_their_own_connection(batch: int) -> None:
    choice = random.Random(batch)
    pair = pair_of(V3, V3, max_pending=50)
    bystander = connect(pair, 30000)
    victim, port = connect(pair, 40000), 40000
    for count in range(MUTATIONS // BATCHES):
        if victim not in pair.lns.endpoint.tunnels or not pair.lns.endpoint.tunnels[victim].sessions:
            port = 40001 + count
            for one in list(pair.lac.endpoint.tunnels.values()):
                if one.local[1] != 30000:
                    pair.lac.endpoint.close_tunnel(one.tunnel_id, pair.now)
            pair.run(None, 40)  # what is closed lingers for a retransmission cycle
            victim = connect(pair, port)
        attacked = pair.lns.endpoint.tunnels[victim]
        ours = next(iter(attacked.sessions), 1)
        body = encode(choice.choice(valid(ours, getattr(attacked.sessions.get(ours), "peer_session_id", 1))))
        connection = choice.choice((0, victim, victim, victim))
        data = mutated(header3.write_control(connection, attacked.channel.nr, attacked.channel.ns, body), choice)
        pair.lns.endpoint.receive(data, (LAC[0], port), LNS, 0, pair.now)
        pair.lns.endpoint.outputs()
        pair.lns._alive.clear()
        pair.lns.check = lambda output: None  # type: ignore[method-assign]
        if count % 500 == 0:
            pair.run(None, choice.random() * 3)
            pair.lns.outputs.clear()
            pair.lac.outputs.clear()
        assert len(pair.lns.endpoint.tunnels) <= 120
        assert len(attacked.channel._early) < 12
    pair.run(None, 100)
    assert pair.lns.endpoint.tunnels[bystander].established
    assert [one.state.name for one in pair.lns.endpoint.tunnels[bystander].sessions.values()] == ["ESTABLISHED"]


def test_without_the_secret_no_mutation_reaches_a_session() -> None:
    """Whatever is changed, the digest tells: nothing happens but a count."""
    settings = replace(V3, secret=SECRET)
    pair = pair_of(settings, settings)
    pair.open_session(pair.open_tunnel(settings), WIRE)
    assert pair.run(lambda: len(pair.lac.up) == len(pair.lns.up) == 2, 60)
    sent = [output.data for output in pair.lac.of(Transmit) if int.from_bytes(output.data[4:8], "big")]
    choice = random.Random(1)
    before, peer = len(pair.lns.outputs), tunnel(pair.lns).peer
    for _ in range(20_000):
        data = mutated(choice.choice(sent), choice)
        if data not in sent and int.from_bytes(data[4:8], "big"):
            pair.lns.endpoint.receive(data, peer, LNS, 0, pair.now)
    pair.run(None, 10)
    assert not [output for output in pair.lns.outputs[before:] if isinstance(output, SessionDown)]
    assert session(pair.lns).state.name == "ESTABLISHED"
    assert pair.lns.endpoint.counters.bad_digests > 1000


def test_requests_of_strangers_cost_bounded_memory() -> None:
    pair = pair_of(V3, V3, max_pending=40)
    pair.lns.answer = lambda question, now: None
    for number in range(2000):
        body = encode(SCCRQ("x", 1, number + 1, (5,)))
        pair.lns.endpoint.receive(header3.write_control(0, 0, 0, body), (f"198.51.100.{number % 250}", 1701), LNS, 0,
                                  pair.now)
        pair.lns.endpoint.outputs()
    assert len(pair.lns.endpoint.tunnels) <= 40
