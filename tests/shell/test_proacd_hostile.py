"""proacd among hosts that forge and damage discovery packets: nobody but their sender is touched."""

from __future__ import annotations

import random

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.packets import BROADCAST, PADI, PADO, PADR, PADS, PADT, Discovery, VlanTag, write
from tests.shell.proacd_world import MACS, Host, ProacdWorld

AC = MACS["eth0"]
OTHER = b"\x06\0\0\xff\xff\xff"
NO = ((tags.GENERIC_ERROR, b"go away"),)


@pytest.fixture
def world() -> ProacdWorld:
    return ProacdWorld()


def forged(host: Host, session_id: int, source: bytes) -> list[Discovery]:
    """What would end or move the session if it came from the right place."""
    return [
        PADT(AC, source, (), session_id),
        PADT(AC, source, (), session_id, errors=NO),
        PADS(AC, source, (), session_id, (b"static",), host_uniq=host.uniq),
        PADS(AC, source, (), 0, (b"",), host_uniq=host.uniq, errors=NO),
        PADO(AC, source, (), 0, (b"static",), b"lac", host_uniq=host.uniq, ac_cookie=b"x" * 32),
        PADR(AC, source, (), 0, (b"static",), host_uniq=host.uniq, ac_cookie=b"x" * 32),
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["choosing", "opening", "joined"])
def test_packets_of_other_hosts_vlans_and_interfaces_change_nothing(world: ProacdWorld, state: str) -> None:
    world.prol2tpd.auto = state == "joined"
    host = world.dialled("radius" if state == "choosing" else "static")
    (route,) = world.routes
    assert route.state.value == state and (host.session_id != 0) == (state == "joined")
    session_id = route.source.key.session_id  # type: ignore[attr-defined]
    before = (len(host.answers), dict(world.prol2tpd.rows), len(world.prol2tpd.calls))
    for source in (OTHER, AC, BROADCAST, b"\x07" + host.mac[1:], bytes(6)):
        for packet in forged(host, session_id, source):
            world.from_host("eth0", write(packet))
    for packet in forged(host, session_id, host.mac)[:2]:
        packet.vlans = (VlanTag(0x8100, 7),)
        world.from_host("eth0", write(packet))
        packet.vlans, packet.destination = (), MACS["eth1"]
        world.from_host("eth0", write(packet))
        world.from_host("eth1", write(packet))
        packet.destination, packet.session_id = AC, session_id ^ 1
        world.from_host("eth0", write(packet))
    world.settle()
    assert world.routes == [route] and route.state.value == state
    assert before == (len(host.answers), dict(world.prol2tpd.rows), len(world.prol2tpd.calls))
    assert not world.watcher.closed and world.parts.routes.counters.closed_by_source == 0
    counters = world.parts.discovery.core.counters
    assert counters.pads_sent == (1 if state == "joined" else 0) and counters.padt_sent == 0
    world.check()
    # the host's own word counts
    world.from_host("eth0", write(PADT(AC, host.mac, (), session_id)))
    world.settle()
    assert not world.routes and world.parts.routes.counters.closed_by_source == 1
    world.nothing_left()


def test_damaged_discovery_packets_harm_nobody_else(world: ProacdWorld) -> None:
    chance = random.Random(2516)
    kept = [world.dialled(service) for service in ("static", "local", "named")]
    attacker = world.host()
    attacker.dial()
    world.settle()
    offer = next(answer for answer in attacker.answers if isinstance(answer, PADO))
    seeds = [
        write(PADI(BROADCAST, attacker.mac, (), 0, (b"",), host_uniq=b"abc", relay_session_id=b"relay")),
        write(PADR(AC, attacker.mac, (), 0, (b"static",), host_uniq=b"abc", ac_cookie=offer.ac_cookie,
                   max_payload=1500, relay_session_id=b"relay")),
        write(PADT(AC, attacker.mac, (), attacker.session_id)),
    ]  # fmt: skip
    for number in range(6000):
        frame = bytearray(seeds[number % 3])
        for _ in range(chance.randint(0, 3)):
            at = chance.randrange(6, len(frame))
            if 6 <= at < 12:
                continue  # whom it says it is from: forged ones are above
            what = chance.random()
            if what < 0.6:
                frame[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            elif what < 0.8 and at >= 14:
                del frame[at:at + chance.randint(1, 9)]
            elif at >= 14:
                frame[at:at] = chance.randbytes(chance.randint(1, 9))
        world.from_host("eth0", bytes(frame))
        if number % 300 == 0:
            world.settle(0.05)
    world.settle()
    counters = world.parts.discovery.core.counters
    assert counters.invalid_padi_received > 100 and counters.invalid_padr_received > 100
    assert counters.pado_sent > 100 and counters.invalid_padt_received > 100
    assert all(host.session_id for host in kept)
    sources = {route.source.key.peer for route in world.routes}  # type: ignore[attr-defined]
    assert sources <= {host.mac for host in (*kept, attacker)} and len(world.routes) >= len(kept)
    world.check()
