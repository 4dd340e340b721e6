"""An Ethernet segment in virtual time: access concentrators and hosts on it, and frames that are lost, doubled or late.

The shell of an access concentrator answers `AskRoute` at once, unless `route` says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from prol2tp.pppoe.client import Host
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, SessionClosed, SessionKey, SessionOpened, Transmit
from prol2tp.pppoe.settings import ConcentratorSettings, HostSettings, InterfaceSettings

IF = "eth0"


class Segment:
    """Rates are probabilities per frame and receiver. Everything is seeded; nothing sleeps."""

    def __init__(self, seed: int = 0, loss: float = 0.0, duplication: float = 0.0, reordering: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss, self.duplication, self.reordering = loss, duplication, reordering
        self.now = 1000.0
        self.concentrators: dict[bytes, AccessConcentrator] = {}
        self.hosts: dict[bytes, Host] = {}
        self.seen: dict[bytes, list[Any]] = {}
        self.frames: list[bytes] = []
        self.route: Callable[[AccessConcentrator, AskRoute, float], None] = (
            lambda core, question, now: core.routed(question.key, now)
        )
        self._in_flight: list[tuple[float, int, bytes, bytes]] = []
        self._sent = 0
        self._open: dict[bytes, set[SessionKey]] = {}
        self._asked: dict[bytes, set[SessionKey]] = {}

    def concentrator(self, mac: bytes, settings: ConcentratorSettings | None = None,
                     **interface: Any) -> AccessConcentrator:
        core = AccessConcentrator(settings or ConcentratorSettings("ac"), self.random.randbytes)
        core.configure_interface(IF, InterfaceSettings(mac, **interface), self.now)
        self.concentrators[mac] = core
        self._register(mac)
        return core

    def host(self, mac: bytes, **settings: Any) -> Host:
        host = Host(IF, HostSettings(mac, **settings), self.random.randbytes, self.now)
        self.hosts[mac] = host
        self._register(mac)
        return host

    def _register(self, mac: bytes) -> None:
        self.seen[mac], self._open[mac], self._asked[mac] = [], set(), set()

    def of(self, mac: bytes, kind: type) -> list[Any]:
        return [output for output in self.seen[mac] if isinstance(output, kind)]

    def open_sessions(self, mac: bytes) -> set[SessionKey]:
        return self._open[mac]

    # frames

    def _send(self, sender: bytes, frame: bytes) -> None:
        self.frames.append(frame)
        for mac in (*self.concentrators, *self.hosts):
            if mac != sender and frame[:6] in (mac, b"\xff" * 6):
                self._deliver(mac, frame)

    def _deliver(self, mac: bytes, frame: bytes) -> None:
        for _ in range(2 if self.random.random() < self.duplication else 1):
            if self.random.random() < self.loss:
                continue
            late = 0.001 + (self.random.random() * 4 if self.random.random() < self.reordering else 0)
            self._sent += 1
            heappush(self._in_flight, (self.now + late, self._sent, mac, frame))

    def _cores(self) -> list[tuple[bytes, Any]]:
        return [*self.concentrators.items(), *self.hosts.items()]

    def settle(self) -> None:
        """Carry out what all want now, and check the order of what they say."""
        quiet = False
        while not quiet:
            quiet = True
            for mac, core in self._cores():
                for output in core.outputs():
                    quiet = False
                    self.seen[mac].append(output)
                    self._take(mac, core, output)

    def _take(self, mac: bytes, core: Any, output: Any) -> None:
        opened = self._open[mac]
        if isinstance(output, Transmit):
            assert output.interface == IF
            self._send(mac, output.frame)
        elif isinstance(output, AskRoute):
            assert output.key not in opened and output.key not in self._asked[mac]
            self._asked[mac].add(output.key)
            self.route(core, output, self.now)
        elif isinstance(output, SessionOpened):
            assert output.key not in opened
            assert mac in self.hosts or output.key in self._asked[mac]
            opened.add(output.key)
        elif isinstance(output, SessionClosed):
            assert output.key in opened or output.key in self._asked[mac]
            opened.discard(output.key)
            self._asked[mac].discard(output.key)

    # time

    def next(self) -> float | None:
        times = [core.deadline() for _, core in self._cores()]
        times += [self._in_flight[0][0]] if self._in_flight else []
        return min((when for when in times if when is not None), default=None)

    def run(self, seconds: float = 600.0, until: Callable[[], bool] | None = None) -> bool:
        """Until the condition holds (True) or the time is over (False, or True without a condition)."""
        end = self.now + seconds
        self.settle()
        while until is None or not until():
            when = self.next()
            if when is None or when > end:
                self.now = end
                return until is None
            self.now = max(self.now, when)
            while self._in_flight and self._in_flight[0][0] <= self.now:
                _, _, mac, frame = heappop(self._in_flight)
                if mac in self.concentrators:
                    self.concentrators[mac].receive(frame, IF, self.now)
                else:
                    self.hosts[mac].receive(frame, self.now)
                self.settle()
            for _, core in self._cores():
                due = core.deadline()
                if due is not None and due <= self.now:
                    core.timeout(self.now)
                    after = core.deadline()
                    assert after is None or after > self.now
            self.settle()
        return True
