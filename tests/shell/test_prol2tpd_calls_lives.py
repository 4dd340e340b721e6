"""Random lives of proacd's calls: all that were taken end by being told once, or by proacd, and nothing is left."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.shell.test_prol2tpd import LNS, Host, Wire, all_sessions
from tests.shell.test_prol2tpd_calls import AC, Proacd, call

LIVES = 120
STEPS = 60
GRACE = 10.0


class Life:
    """proacd keeps book of what it may believe: the calls that it has opened and has heard no end of."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)
        self.clock = Clock()
        self.wire = Wire(self.clock)
        self.lns, self.lac = Host(self.wire, LNS), Host(self.wire, AC)
        self.lns.start()
        self.lac.start()
        self.proacd = Proacd(self.lac, GRACE)
        self.proacd.serve()
        self.mine: set[str] = set()
        self.ended: set[str] = set()
        self.heard = 0
        self.serial = 0
        self.away_since: float | None = None

    def run(self, seconds: float) -> None:
        self.clock.pump([0.02] * max(1, int(seconds * 50)))
        rows = self.proacd.changed
        for row in rows[self.heard:]:
            if row["state"] == "closed":
                assert row["id"] not in self.ended, "told twice"
                assert row["id"] in self.mine, "told of a call that is not proacd's"
                self.mine.discard(row["id"])
                self.ended.add(row["id"])
            else:
                assert row["id"] in self.mine and row["port"], "up, and not proacd's"
        self.heard = len(rows)

    def tunnel(self) -> dict[str, Any]:
        peers = ("10.99.0.1", "10.99.0.1", "10.99.0.1", "10.99.0.66")
        if self.choice.random() < 0.2:
            return {"name": "core"}
        return {"key": self.choice.choice("ab"), "parameters": {
            "peer": self.choice.choice(peers), "secret": "s3cret", "max_retries": "2", "idle_timeout": "2",
            "max_sessions": self.choice.choice(("0", "3"))}}

    def open(self) -> None:
        rows = []
        for _ in range(self.choice.randint(1, 6)):
            self.serial += 1
            rows.append(call(f"{self.serial}.1", self.tunnel()))
        results = self.proacd.open(*rows)
        self.mine.update(row["id"] for row, result in zip(rows, results, strict=True) if result is None)

    def close(self) -> None:
        for id in self.choice.sample(sorted(self.mine), min(len(self.mine), self.choice.randint(0, 3))):
            # what has been told already and not been read yet is no matter: proacd has let go of it
            self.proacd.close(id)
            self.mine.discard(id)
            self.ended.add(id)
            self.proacd.changed[self.heard:] = [
                row for row in self.proacd.changed[self.heard:] if row["id"] != id]

    def peer_closes(self) -> None:
        for record in list(all_sessions(self.lns).values())[:self.choice.randint(0, 2)]:
            self.lns.plane.close_session(record.tunnel.tunnel_id, record.session_id, result=3)

    def peer_stops_a_tunnel(self) -> None:
        for tunnel_id, tunnel in list(self.lns.plane.endpoint.tunnels.items())[:1]:
            if tunnel.established:
                self.lns.plane.close_tunnel(tunnel_id)

    def operator(self) -> None:
        for record in list(all_sessions(self.lac).values())[:1]:
            record.instance.close("administrative request")

    def cable(self) -> None:
        self.wire.lost = not self.wire.lost

    def connection(self) -> None:
        if self.away_since is None:
            self.proacd.lose()
            self.away_since = self.clock.seconds()
            return
        self.proacd.back()
        self.heard = 0
        known = {id for id in self.mine if self.choice.random() < 0.9}
        self.mine = known - set(self.proacd.serve(calls=sorted(known)))
        self.ended.clear()
        self.away_since = None

    def step(self) -> None:
        away = self.away_since is not None
        step = self.choice.choice(
            [self.peer_closes, self.peer_stops_a_tunnel, self.operator, self.cable, self.connection]
            + [self.open, self.open, self.open, self.close] * (not away))
        step()
        self.run(self.choice.choice((0.0, 0.1, 1.0, 5.0)))

    def check(self) -> None:
        """Our tables agree with each other, and with the protocol's."""
        calls = self.proacd.calls
        tunnels = [*self.lac.plane.shared, *self.lac.plane.instances.values()]
        carried = {id: tunnel for tunnel in tunnels for id in tunnel.calls}
        if self.away_since is None:
            assert set(calls._calls) == self.mine | {id for id, *_ in calls._ending}
        for id, one in calls._calls.items():
            assert carried.get(id) is one.tunnel
        assert set(carried) == set(calls._calls)
        sessions = {record.instance.id for record in all_sessions(self.lac).values()}
        assert {id for id, one in calls._calls.items() if one.up} <= sessions


@pytest.mark.parametrize("first", range(0, LIVES, 30))
def test_calls_live_random_lives_and_all_end_in_order(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.route_source", lambda peer: "10.99.0.2")
    for seed in range(first, first + 30):
        life = Life(seed)
        for _ in range(STEPS):
            life.step()
            life.check()
        if life.away_since is not None:
            life.connection()
        life.wire.lost = False
        life.run(90)
        life.check()
        for id in sorted(life.mine):
            life.proacd.close(id)
        life.lac.call("DestroyTunnel", tunnel_name="core")
        life.run(150)
        assert not len(life.proacd.calls) and not len(life.lac.plane.shared) and not life.lac.plane.instances
        assert not all_sessions(life.lac) and not all_sessions(life.lns)
        assert not life.lac.plane.tunnels and life.lac.path.listeners == {} == life.lac.path.tunnels
