"""What a host that dials again and again leaves behind in proacd: nothing that grows."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest

from prol2tp.control import events
from prol2tp.control.commands.proacd import EVENTS
from prol2tp.daemons.proacd.announce import Announcements
from prol2tp.daemons.proacd.history import RouteHistory
from prol2tp.daemons.proacd.trace import Trace
from prol2tp.spool.history import History
from tests.shell.proacd_world import ProacdWorld

KEPT = 60


class Service(ProacdWorld):
    """With all that the service lets follow routes."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.events = events.Events(EVENTS)
        history = History(self.clock, lambda line: None, limit=50)
        history.open(str(directory / "history.sqlite"))
        followers = self.parts.routes.followers
        followers.remove(self.watcher)
        followers += (Trace(lambda on: None), RouteHistory(self.clock, history), Announcements(self.events.publish))

    def redial(self, service: str, times: int) -> None:
        for _ in range(times):
            host = self.host(service=service)
            host.dial()
            self.settle()
            assert host.session_id
            host.hang_up()
            self.settle()
        assert not self.parts.routes
        # what the others of this world remember
        self.hosts.clear()
        for daemon in (self.prol2tpd, self.propppd):
            daemon.calls.clear()
            daemon.ended.clear()
        self.plane.sent.clear()
        self.clock.advance(120)
        self.settle()


def ours() -> Counter[str]:
    gc.collect()
    kinds = Counter(f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects())
    return Counter({kind: count for kind, count in kinds.items() if kind.startswith("prol2tp")})


@pytest.mark.parametrize("service", ["static", "local"])
def test_a_host_that_dials_again_and_again_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          service: str) -> None:
    monkeypatch.setattr(events, "KEPT", KEPT)
    world = Service(tmp_path)
    world.redial(service, 40)
    before = ours()
    assert before["prol2tp.control.events._Event"] == KEPT
    world.redial(service, 80)
    assert ours() - before == Counter()
    parts = world.parts
    for table in (parts.discovery.sources, parts.calls.exchange.things, parts.attachments.exchange.things,
                  parts.calls.tunnels, parts.routes.by_name, parts.routes.rolls):
        assert not table
    assert len(parts.routes.roll._keys) <= 64 and len(parts.balance.rows(world.clock.seconds())) <= 2
