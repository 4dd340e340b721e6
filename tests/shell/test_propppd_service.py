"""propppd's service around its links: a data path that comes late, or goes again while it comes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from prol2tp.daemons import base
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.pathowner import FIRST_DELAY
from prol2tp.daemons.propppd.service import STARTING, Options, PropppdService
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.network import MemoryNetwork
from prol2tp.dataplane.shaping import MemoryShaping
from tests.shell.propppd_world import CONFIG


class Service:
    """The service on a clock, with data paths that come when a test says so."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # the test's time, not that of the system; and its signals are its own
        monkeypatch.setattr(base, "use_monotonic_clock", lambda reactor: None)
        monkeypatch.setattr(base.DaemonService, "startService", lambda service: None)
        (tmp_path / "propppd.conf").write_text(CONFIG)
        options = Options()
        options.parseOptions(["-c", str(tmp_path / "propppd.conf"), "--run-dir", str(tmp_path),
                              "--state-dir", str(tmp_path)])
        self.clock = Clock()
        self.opening: list[Deferred[Any]] = []
        self.service = PropppdService(options, Log("test", Level.CRITICAL), self.clock, self.open, MemoryNetwork(),
                                      MemoryShaping())
        self.service.sets = SimpleNamespace(start=lambda: None, stop=lambda: None)  # type: ignore[assignment]
        self.started: list[str] = []
        self.service.control.startService = lambda: self.started.append("control")  # type: ignore[method-assign]

    def open(self, reactor: Any, run_dir: str, owner: str) -> Deferred[Any]:
        self.opening.append(Deferred())
        return self.opening[-1]

    def come(self) -> MemoryDataPlane:
        path = MemoryDataPlane(self.clock)
        self.opening[-1].callback(path)
        return path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(tmp_path, monkeypatch)


def test_links_are_taken_when_the_data_path_is_there(world: Service) -> None:
    world.service.startService()
    assert world.service.links.refusing == STARTING
    path = world.come()
    assert world.service.links.dataplane is path and not world.service.links.refusing
    assert world.started == ["control"]
    world.service.path_lost("it died")
    assert world.service.links.refusing == STARTING
    world.clock.advance(FIRST_DELAY)
    path = world.come()
    assert world.service.links.dataplane is path and not world.service.links.refusing


def test_a_data_path_that_goes_while_it_comes_is_not_used(world: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[Deferred[None]] = [Deferred(), succeed(None)]
    answers = iter(reading)
    monkeypatch.setattr(world.service.accounting, "path_ready", lambda path: next(answers))
    world.service.startService()
    lost = world.come()
    world.service.path_lost("it died")
    reading[0].callback(None)
    assert world.service.links.dataplane is not lost and world.service.links.refusing == STARTING
    world.clock.advance(FIRST_DELAY)
    path = world.come()
    assert world.service.links.dataplane is path and not world.service.links.refusing


def test_a_daemon_that_is_stopped_while_it_starts_starts_nothing_more(world: Service) -> None:
    world.service.startService()
    stopped = world.service.stopService()
    world.clock.advance(0)
    world.come()
    world.clock.pump([1.0] * 20)
    assert stopped.called and world.started == []
    assert world.clock.getDelayedCalls() == []
