"""PPPoE cores on a real interface, driven by the test's own thread: `pump` is all the reactor there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prol2tp.net.ethernet import EthernetPort
from prol2tp.pppoe.client import Host
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, Transmit
from tests.netns import Failed, Namespace
from tests.polling import readable


class Loop:
    """The readers of a test."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.cores: list[Station] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def pump(self, until: Callable[[], Any], seconds: float, what: str) -> None:
        """Serve until the condition holds; `Failed` after `seconds`."""
        end = time.monotonic() + seconds
        for station in self.cores:
            station.drain()
        while not until():
            if time.monotonic() > end:
                raise Failed(f"not within {seconds:g} s: {what}")
            ready = readable(self.readers, 0.02)
            for reader in ready:
                reader.doRead()
            for station in self.cores:
                station.tick()

    def close(self) -> None:
        for station in self.cores:
            station.port.close()


class Station:
    """One core on one interface. Routes are given at once, unless `route` does something else."""

    def __init__(self, loop: Loop, host: Namespace, device: str, **options: Any) -> None:
        self.said: list[Any] = []
        self.core: AccessConcentrator | Host
        with host.inside():
            self.port = EthernetPort(loop, device, self._receive, **options)  # type: ignore[arg-type]
        loop.cores.append(self)

    def _receive(self, frame: bytes, interface: str) -> None:
        if isinstance(self.core, Host):
            self.core.receive(frame, time.monotonic())
        else:
            self.core.receive(frame, interface, time.monotonic())
        self.drain()

    def tick(self) -> None:
        due = self.core.deadline()
        now = time.monotonic()
        if due is not None and due <= now:
            self.core.timeout(now)
        self.drain()

    def drain(self) -> None:
        while outputs := self.core.outputs():
            for output in outputs:
                if isinstance(output, Transmit):
                    self.port.send(output.frame)
                    continue
                self.said.append(output)
                if isinstance(output, AskRoute):
                    self.core.routed(output.key, time.monotonic())  # type: ignore[union-attr]

    def of(self, kind: type) -> list[Any]:
        return [output for output in self.said if isinstance(output, kind)]
