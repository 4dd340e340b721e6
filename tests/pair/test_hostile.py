"""Bad input against a living endpoint: nothing raises, nothing grows without bound, other tunnels stay up."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from prol2tp.l2tp.channel import QUEUE_LIMIT
from prol2tp.l2tp.header import write_control
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
    SCCCN,
    SCCRP,
    SCCRQ,
    SLI,
    WEN,
    CallErrors,
    Message,
    ResultCode,
    StopCCN,
    encode,
)
from tests.pair.peer import OURS, Peer, World

MUTATIONS, BATCHES = 100_000, 20


def valid(ours: int) -> list[Message]:
    return [
        SCCRQ(0x0100, "peer", 3, 1234, 3, 10, b"challenge", b"12345678", 1, "vendor"),
        SCCRP(0x0100, 3, "peer", 1234, 3, 1, "vendor", 10, b"challenge", bytes(16)),
        SCCCN(bytes(16)), StopCCN(1234, ResultCode(1, 2, "bye")), HELLO(),
        ICRQ(44, 1, 1, 1, "1", "2", "3"), ICRP(44), ICCN(1, 1, b"1", b"2", b"3", 2, b"n", b"c", 1, b"r", b"g", 5, True),
        OCRQ(45, 1, 1, 1, 1, 1, "5", "6"), OCRP(45, 1), OCCN(1, 1, 5, True), CDN(ResultCode(1, 2, "bye"), 44),
        WEN(CallErrors(1, 2, 3, 4, 5, 6)), SLI(ACCM(1, 2)),
    ]


def flip(data: bytearray, choice: random.Random) -> bytearray:
    data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
    return data


def overwrite(data: bytearray, choice: random.Random) -> bytearray:
    data[choice.randrange(len(data))] = choice.choice((0, 1, 5, 6, 0x7F, 0x80, 0xFF))
    return data


def truncate(data: bytearray, choice: random.Random) -> bytearray:
    return data[:choice.randrange(len(data))]


def extend(data: bytearray, choice: random.Random) -> bytearray:
    return data + choice.randbytes(choice.randrange(40))


def double(data: bytearray, choice: random.Random) -> bytearray:
    start = choice.randrange(min(12, len(data)), len(data) + 1)
    return data[:start] + data[start:choice.randrange(start, len(data) + 1)] + data[start:]


def number(data: bytearray, choice: random.Random) -> bytearray:
    start = choice.choice((2, 4, 6, 8, 10, 12))
    return data[:start] + bytearray(choice.randbytes(2)) + data[start + 2:]


KINDS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (flip, overwrite, truncate, extend, double, number)


def mutated(data: bytes, choice: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(choice.randrange(1, 4)):
        if result:
            result = choice.choice(KINDS)(result, choice)
    if len(result) >= 4 and choice.random() < 0.7:  # often a right length, to get past the header
        result[2:4] = len(result).to_bytes(2, "big")
    return bytes(result)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutations_of_valid_messages_cost_at_most_their_own_tunnel(batch: int) -> None:
    choice = random.Random(batch)
    world = World(batch, max_pending=50)
    bystanders = [Peer(world, ("198.51.100.1", 1701), 1), Peer(world, ("198.51.100.2", 1701), 2)]
    for peer in bystanders:
        peer.connect()
        peer.call(9)
    world.sleep(1)
    world.heard()
    attacker, ours, ids = Peer(world), 0, 0
    for count in range(MUTATIONS // BATCHES):
        if attacker.their_id not in world.endpoint.tunnels:
            ids = ids % 65000 + 1
            attacker = Peer(world, ("192.0.2.66", 2000 + ids % 60000), ids)
            attacker.connect()
            ours = attacker.call(choice.randrange(1, 65536))
        tunnel = attacker.tunnel
        attacker.ns, attacker.nr = tunnel.channel.nr, tunnel.channel.ns
        session_id = choice.choice((0, ours, choice.randrange(65536)))
        message = choice.choice(valid(ours))
        data = mutated(attacker.raw(encode(message), session_id), choice)
        world.endpoint.receive(data, attacker.address, OURS, 0, world.now)
        world.settle()
        world.sent.clear()
        if count % 500 == 0:
            world.sleep(choice.random() * 3)
            for peer in bystanders:
                peer.nr = peer.tunnel.channel.ns
                peer.zlb()
            world.sent.clear()
            world.shell.outputs.clear()
        assert len(world.endpoint.tunnels) <= 60
        assert tunnel.channel.queued <= QUEUE_LIMIT and len(tunnel.channel._early) < 10
    for peer in bystanders:
        assert peer.tunnel.established
        assert [call.state.name for call in peer.tunnel.sessions.values()] == ["ESTABLISHED"]
        peer.nr = peer.tunnel.channel.ns
        peer.zlb()
    world.sleep(50)
    for peer in bystanders:
        peer.heard()
        assert peer.tunnel.established
    assert world.endpoint.counters.received > MUTATIONS // BATCHES


def test_every_truncation_of_every_message_is_survived() -> None:
    for message in valid(0):
        world = World()
        peer = Peer(world)
        peer.connect()
        ours = peer.call()
        body = encode(message)
        for session_id in (0, ours):
            for length in range(len(body)):
                if peer.their_id not in world.endpoint.tunnels or not peer.tunnel.established:
                    peer = Peer(world, ("192.0.2.1", peer.address[1] + 1))
                    peer.connect()
                peer.give(body[:length], session_id)
                whole = write_control(peer.their_id, session_id, peer.ns, peer.nr, body)
                world.give(whole[:length], peer.address)


def test_random_datagrams_are_survived() -> None:
    world = World()
    choice = random.Random(7)
    for _ in range(5000):
        data = b"\xc8\x02" + choice.randbytes(choice.randrange(60))
        world.give(data, ("192.0.2.1", 1701))
    assert not world.endpoint.tunnels


def test_an_avp_of_length_zero_ends_the_reading() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    ours = peer.call()
    peer.give(encode(ICCN(1, 1)) + b"\x80\0\0\0\0\x18" * 50, ours)
    assert not peer.tunnel.sessions and peer.tunnel.established


def test_calls_that_are_never_finished_are_bounded_by_the_id_space_and_end() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    world.shell.check = lambda output: None  # type: ignore[method-assign]
    for session_id in range(1, 66000):
        peer.nr = peer.tunnel.channel.ns
        world.endpoint.receive(peer.raw(encode(ICRQ(session_id % 65535 + 1, 1))), peer.address, OURS, 0,
                               world.now)
        if session_id % 100 == 0:
            world.settle()
            world.sent.clear()
            world.shell.outputs.clear()
        if peer.their_id not in world.endpoint.tunnels:
            break
    assert len(world.endpoint.tunnels[peer.their_id].sessions) <= 65535
    world.sleep(200)
    assert not world.endpoint.tunnels and world.endpoint.deadline() is None


def test_a_peer_that_asks_without_end_and_acknowledges_nothing_is_dropped() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    world.shell.answer = lambda question, now: world.endpoint.session_refused(
        question.tunnel_id, question.session_id, now, 4)
    peer.nr = peer.tunnel.channel.ns
    request = encode(ICRQ(1, 1))
    for _ in range(QUEUE_LIMIT + 10):
        if peer.their_id not in world.endpoint.tunnels:
            break
        world.endpoint.receive(peer.raw(request), peer.address, OURS, 0, world.now)
        for output in world.endpoint.outputs():
            if type(output).__name__ == "AskSessionAdmission":
                world.shell.answer(output, world.now)
    assert peer.their_id not in world.endpoint.tunnels


@pytest.mark.parametrize(("mandatory", "kept"), [(False, True), (True, False)])
@pytest.mark.parametrize("number", [27, 26, 17, 99, 65535, 5])
def test_an_unknown_message_type_is_ignored_or_ends_the_tunnel_by_its_m_bit(number: int, mandatory: bool,
                                                                             kept: bool) -> None:
    """MSEN (27) and MSI (26) are of RFC 4045, which we do not speak."""
    world = World()
    peer = Peer(world)
    peer.connect()
    ours = peer.call()
    body = struct.pack("!HHHH", (0x8000 if mandatory else 0) | 8, 0, 0, number)
    answers = peer.give(body, 0 if number % 2 else ours)
    assert peer.tunnel.established is kept and bool(peer.tunnel.sessions) is kept
    assert peer.tunnel.channel.nr == peer.ns and world.endpoint.counters.unknown_messages == 1
    assert [one.message.result_code[:2] for one in answers if one.name == "StopCCN"] == [(2, 8)] * (not kept)


def test_a_peer_that_vanishes_after_a_cdn_or_a_stopccn_is_no_failure_of_ours() -> None:
    """A LAC is known to crash on CDN, and on StopCCN while its ICRQ waits."""
    world = World()
    peer = Peer(world)
    peer.connect()
    peer.send(ICRQ(5, 5))
    world.endpoint.close_tunnel(peer.their_id, world.now)
    world.sleep(60)
    world.shell.assert_empty()


def test_a_zlb_storm_out_of_order_makes_no_answers() -> None:
    world = World()
    peer = Peer(world)
    peer.connect()
    world.sleep(1)
    peer.heard()
    for ns in range(0, 65536, 64):
        assert peer.zlb(ns) == []
