"""Readiness of the hot descriptors: an epoll set of its own inside the reactor's.

The reactor takes some 7 us for an event; sockets and TUNs with a packet or two each cannot pay that. The reactor
watches the one descriptor of this set, and each wake-up is bounded, so that timers and requests get their turn.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from errno import EBADF, ENOENT

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

EVENTS = 32
"""Descriptors served in one wake-up."""
PACKETS = 256
"""Packets moved in one wake-up, about."""
BATCH = 64
"""Packets read from one descriptor in one wake-up."""

Drain = Callable[[int, float], None]
"""`(quota, now)`: read at most `quota` packets."""


@implementer(IReadDescriptor)
class Poller:
    """Calls the drain function of each readable descriptor; the kernel turns the set, so that all get their share."""

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._drains: dict[int, Drain] = {}
        self._log = Logger()
        self._failed: set[int] = set()
        reactor.addReader(self)

    def add(self, descriptor: int, drain: Drain) -> None:
        """Raises `OSError`."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._drains[descriptor] = drain

    def remove(self, descriptor: int) -> None:
        """Must come before the descriptor is closed."""
        if self._drains.pop(descriptor, None) is None:
            return
        self._failed.discard(descriptor)
        try:
            self._epoll.unregister(descriptor)
        except OSError as error:
            if error.errno not in (EBADF, ENOENT):
                raise

    def close(self) -> None:
        if not self._epoll.closed:
            self._reactor.removeReader(self)
            self._drains.clear()
            self._epoll.close()

    def fileno(self) -> int:
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "data path"

    def connectionLost(self, reason: object) -> None:
        self.close()

    def doRead(self) -> None:
        ready = self._epoll.poll(0, EVENTS)
        if not ready:
            return
        now = time.monotonic()
        quota = min(BATCH, max(8, PACKETS // len(ready)))
        drains = self._drains
        for descriptor, _ in ready:
            drain = drains.get(descriptor)
            if drain is not None:
                self.serve(descriptor, drain, quota, now)

    def serve(self, descriptor: int, drain: Drain, quota: int, now: float) -> None:
        """Call a drain function, in its turn or out of it; a fault costs no other descriptor anything."""
        try:
            drain(quota, now)
        except Exception:
            if descriptor not in self._failed:
                self._failed.add(descriptor)
                self._log.failure("data path descriptor {descriptor}", descriptor=descriptor)
