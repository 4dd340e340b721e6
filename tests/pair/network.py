"""Two endpoints and a bad network between them, in virtual time.

`Pair` carries out the outputs of both ends as a shell would: datagrams travel (or are lost, doubled, delayed),
questions are answered by the `Shell` of the end. Everything is seeded; nothing sleeps.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from prol2tp.l2tp.endpoint import Endpoint
from prol2tp.l2tp.outputs import (
    AskSessionAdmission,
    AskTunnelAdmission,
    CloseDataPath,
    ModifyDataPath,
    OpenDataPath,
    SessionCreated,
    SessionDeleted,
    SessionDown,
    SessionUp,
    Transmit,
    TunnelCreated,
    TunnelDeleted,
    TunnelDown,
    TunnelUp,
)
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings

LAC = ("192.0.2.1", 1701)
LNS = ("192.0.2.2", 1701)


class Network:
    """Delivers datagrams late, twice or not at all. Rates are probabilities per datagram."""

    def __init__(self, seed: int = 0, loss: float = 0.0, duplication: float = 0.0, reordering: float = 0.0,
                 delay: float = 0.01) -> None:
        self.random = random.Random(seed)
        self.loss, self.duplication, self.reordering, self.delay = loss, duplication, reordering, delay
        self.in_flight: list[tuple[float, int, Transmit]] = []
        self.sent = 0

    def send(self, datagram: Transmit, now: float) -> None:
        copies = 2 if self.random.random() < self.duplication else 1
        for _ in range(copies):
            if self.random.random() < self.loss:
                continue
            late = self.delay
            if self.random.random() < self.reordering:
                late *= 1 + 20 * self.random.random()
            self.sent += 1
            heappush(self.in_flight, (now + late, self.sent, datagram))


class Shell:
    """What a daemon does with the outputs of its endpoint, and a check of the order in which they come."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.tunnel_settings = TunnelSettings(host_name="shell")
        self.session_settings = SessionSettings()
        self.outputs: list[Any] = []
        self.count: Counter[str] = Counter()
        self.answer: Callable[[Any, float], None] = self.accept
        self.delay = 0.0
        self.up: set[Any] = set()
        self._alive: dict[Any, str] = {}
        self._paths: set[tuple[int, int]] = set()
        self.later: list[tuple[float, int, Any]] = []
        self._ever_up: set[Any] = set()

    def of(self, kind: type) -> list[Any]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def accept(self, question: Any, now: float) -> None:
        endpoint = self.endpoint
        if isinstance(question, AskTunnelAdmission):
            endpoint.tunnel_admitted(question.tunnel_id, self.tunnel_settings, now)
        elif isinstance(question, AskSessionAdmission):
            endpoint.session_admitted(question.tunnel_id, question.session_id, self.session_settings, now)
        elif isinstance(question, OpenDataPath):
            endpoint.data_path_opened(question.tunnel_id, question.session_id, now)

    def take(self, output: Any, now: float) -> None:
        self.count[type(output).__name__] += 1
        self.check(output)
        self.outputs.append(output)
        if isinstance(output, (AskTunnelAdmission, AskSessionAdmission, OpenDataPath)):
            if self.delay:
                heappush(self.later, (now + self.delay, self.count.total(), output))
            else:
                self.answer(output, now)

    def check(self, output: Any) -> None:
        """Created, up, down, deleted: each once, in this order; a tunnel's calls are gone before it is down."""
        if isinstance(output, (Transmit, AskTunnelAdmission, AskSessionAdmission)):
            return
        tunnel_id = output.tunnel_id
        call = (tunnel_id, getattr(output, "session_id", 0))
        if isinstance(output, (TunnelCreated, SessionCreated)):
            assert call not in self._alive, output
            assert isinstance(output, TunnelCreated) or self._alive[tunnel_id, 0] in ("created", "up"), output
            self._alive[call] = "created"
        elif isinstance(output, (TunnelUp, SessionUp)):
            assert self._alive[call] == "created", output
            assert isinstance(output, TunnelUp) or (call in self._paths and self._alive[tunnel_id, 0] == "up"), output
            self._alive[call] = "up"
            self.up.add(call)
        elif isinstance(output, (TunnelDown, SessionDown)):
            assert self._alive[call] in ("created", "up"), output
            assert call not in self._paths
            self._alive[call] = "down"
            self.up.discard(call)
            if isinstance(output, TunnelDown):
                assert not any(other[0] == tunnel_id and other[1] for other in self._alive), output
        elif isinstance(output, (TunnelDeleted, SessionDeleted)):
            assert self._alive.pop(call) == "down", output
        elif isinstance(output, OpenDataPath):
            assert call not in self._paths and self._alive[call] == "created", output
            self._paths.add(call)
        elif isinstance(output, CloseDataPath):
            self._paths.remove(call)
        elif isinstance(output, ModifyDataPath):
            assert call in self._paths

    def forget_questions(self) -> None:
        """What was asked and not answered is lost with the process."""
        for _, _, question in self.later:
            if isinstance(question, OpenDataPath):
                self._paths.discard((question.tunnel_id, question.session_id))
        self.later.clear()

    def assert_empty(self) -> None:
        """Nothing is left behind: no tunnel, call, path, id, deadline or pending request."""
        endpoint = self.endpoint
        assert not endpoint.tunnels and not self._alive and not self._paths
        assert endpoint.deadline() is None
        assert len(endpoint._requests) == 0 and not endpoint._requests._known and not endpoint._requests._opening
        assert not endpoint._requests._by_address
        assert not endpoint._ids.used and not endpoint._wide_ids.used and not endpoint.context.session_ids.used
        assert endpoint.outputs() == []


class Pair:
    """`pair.lac` and `pair.lns` are `Shell`s; `run` moves time on to the next thing that happens."""

    def __init__(self, seed: int = 0, network: Network | None = None, trace: Any = None, **endpoint: Any) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self.network = network or Network(seed)
        self.lac = Shell(Endpoint(self.random.randbytes, trace=trace, **endpoint))
        self.lns = Shell(Endpoint(self.random.randbytes, trace=trace, **endpoint))
        self.ends = {LAC[0]: self.lac, LNS[0]: self.lns}

    def open_tunnel(self, settings: TunnelSettings | None = None, port: int = 40000) -> int:
        settings = settings or TunnelSettings(host_name="lac")
        tunnel_id = self.lac.endpoint.open_tunnel(settings, LNS, (LAC[0], port), self.now)
        self.settle()
        return tunnel_id

    def open_session(self, tunnel_id: int, settings: SessionSettings | None = None, end: Shell | None = None) -> int:
        session_id = (end or self.lac).endpoint.open_session(tunnel_id, settings or SessionSettings(), self.now)
        self.settle()
        return session_id

    def settle(self) -> None:
        """Carry out what both ends want now."""
        while True:
            quiet = True
            for end in self.ends.values():
                for output in end.endpoint.outputs():
                    quiet = False
                    end.take(output, self.now)
                    if isinstance(output, Transmit):
                        self.network.send(output, self.now)
            if quiet:
                return

    def next(self) -> float | None:
        times = [end.endpoint.deadline() for end in self.ends.values()]
        times += [end.later[0][0] for end in self.ends.values() if end.later]
        if self.network.in_flight:
            times.append(self.network.in_flight[0][0])
        return min((when for when in times if when is not None), default=None)

    def step(self) -> bool:
        when = self.next()
        if when is None:
            return False
        self.now = max(self.now, when)
        in_flight = self.network.in_flight
        if in_flight and in_flight[0][0] <= self.now:
            datagram = heappop(in_flight)[2]
            end = self.ends.get(datagram.peer[0])
            if end is not None:
                end.endpoint.receive(datagram.data, datagram.local, datagram.peer, 0, self.now)
        for end in self.ends.values():
            while end.later and end.later[0][0] <= self.now:
                end.answer(heappop(end.later)[2], self.now)
            due = end.endpoint.deadline()
            if due is not None and due <= self.now:
                end.endpoint.timeout(self.now)
        self.settle()
        return True

    def run(self, until: Callable[[], bool] | None = None, seconds: float = 3600.0) -> bool:
        """Until the condition holds (True), or nothing is left to happen in `seconds` (False)."""
        self.settle()
        end = self.now + seconds
        while until is None or not until():
            when = self.next()
            if when is None or when > end:
                self.now = end if until is None else self.now
                return until is None
            self.step()
        return True

    def sleep(self, seconds: float) -> None:
        self.run(None, seconds)

    def restart(self, end: Shell) -> None:
        """The end's endpoint is written down, thrown away and read back."""
        import json
        record = json.loads(json.dumps(end.endpoint.to_record(self.now)))
        end.endpoint = Endpoint.from_record(record, self.now, self.random.randbytes)
