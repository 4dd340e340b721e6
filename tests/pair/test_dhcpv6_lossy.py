"""DHCPv6 server and client over a line that loses, doubles and delays, in virtual time."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from typing import Any

import pytest

from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.outputs import AddressLeased, AddressReleased, PrefixDelegated, PrefixReleased, SendPacket
from prol2tp.ipv6.server import DHCPv6Server
from tests.ipv6_ends import ADDRESS, OURS, PREFIX, SETTINGS, Client, server, texts

LEASE = Lease((ADDRESS,), (PREFIX,), 60, 100)


class Line:
    """Carries packets both ways; `loss`, `doubling` are chances, `delay` seconds at most."""

    def __init__(self, seed: int, rapid: bool, loss: float = 0.3, doubling: float = 0.2, delay: float = 0.4) -> None:
        self.chance = random.Random(seed)
        self.loss, self.doubling, self.delay = loss, doubling, delay
        self.server, self.client = server(LEASE), Client(rapid=rapid)
        self.now, self.count = 0.0, 0
        self.flying: list[tuple[float, int, Any, bytes]] = []
        self.routes: set[str] = set()

    def post(self, target: Any, data: bytes) -> None:
        for _ in range(1 + (self.chance.random() < self.doubling)):
            if self.chance.random() >= self.loss:
                self.count += 1
                heappush(self.flying, (self.now + self.chance.random() * self.delay, self.count, target, data))

    def drain(self) -> None:
        for output in self.server.outputs():
            match output:
                case SendPacket(data):
                    self.post(self.to_client, data)
                case AddressLeased(text) | PrefixDelegated(text):
                    assert text not in self.routes, "routed twice"
                    self.routes.add(text)
                case AddressReleased(text) | PrefixReleased(text):
                    self.routes.remove(text)

    def to_client(self, data: bytes) -> None:
        self.client.receive(data, self.now)
        if self.client.state == "BOUND":
            assert self.routes == {ADDRESS, PREFIX}, "told before it was routed"

    def to_server(self, data: bytes) -> None:
        self.server.receive(data, self.now)

    def run(self, until: float) -> None:
        while True:
            due = [self.client.next_at, self.server.deadline(), self.flying[0][0] if self.flying else None]
            moment = min((when for when in due if when is not None), default=until)
            if moment >= until:
                self.now = until
                return
            self.now = max(self.now, moment)
            if self.flying and self.flying[0][0] <= self.now:
                _, _, target, data = heappop(self.flying)
                target(data)
            elif self.client.next_at is not None and self.client.next_at <= self.now:
                self.post(self.to_server, self.client.timeout(self.now))
            else:
                self.server.timeout(self.now)
            self.drain()


@pytest.mark.parametrize("rapid", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_a_client_gets_and_keeps_its_lease_over_a_bad_line(seed: int, rapid: bool) -> None:
    line = Line(seed, rapid)
    line.run(60.0)
    assert line.client.replies
    assert texts(line.client.address.items) == [ADDRESS + "/128"]
    assert texts(line.client.prefix.items) == [PREFIX]
    line.run(2000.0)
    assert line.client.replies > 30
    assert line.routes == {ADDRESS, PREFIX}


@pytest.mark.parametrize("seed", range(5))
def test_a_silent_client_loses_its_routes_when_the_lease_ends(seed: int) -> None:
    line = Line(seed, False, loss=0.0)
    line.run(20.0)
    assert line.routes == {ADDRESS, PREFIX}
    line.loss = 1.0
    line.run(300.0)
    assert line.routes == set() and line.server.deadline() is None
    line.loss = 0.0
    line.run(400.0)
    assert line.routes == {ADDRESS, PREFIX}


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_of_the_server_between_is_not_seen_by_the_client(seed: int) -> None:
    line = Line(seed, True, loss=0.1)
    for step in range(20):
        line.run(25.0 * (step + 1))
        record = line.server.to_record(line.now)
        line.server = DHCPv6Server.from_record(record, SETTINGS, LEASE, OURS, line.now)
    assert line.client.replies > 10
    assert line.routes == {ADDRESS, PREFIX}
    line.server = server(LEASE)
    line.routes.clear()
    line.run(900.0)
    assert line.routes == {ADDRESS, PREFIX}
