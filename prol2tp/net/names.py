"""Host names to addresses, by the resolver of the system, which blocks: it runs in threads."""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

MOST = 8
"""Names that are looked up at a time; others wait."""


def addresses_of(host: str) -> Deferred[Any]:
    """-> Deferred(list of addresses as text, the one to use first). A literal is answered at once; names are looked up
    off the reactor's thread, and fail with `OSError`."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return succeed([host])
    return _lookups.ask(host)


class _Lookups:
    """Not the reactor's pool: its threads are waited for at the end, and a resolver without an answer takes half a
    minute. Threads of this one die with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Deferred[Any]]] = deque()
        self._threads = 0

    def ask(self, host: str) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        with self._lock:
            self._waiting.append((host, done))
            if self._threads < MOST:
                self._threads += 1
                threading.Thread(target=self._run, name="resolver", daemon=True).start()
        return done

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                host, done = self._waiting.popleft()
            answer: Any
            try:
                answer = list(dict.fromkeys(
                    str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)))
            except Exception:
                answer = Failure()
            # a Failure given to `callback` goes to the errbacks
            reactor.callFromThread(done.callback, answer)  # type: ignore[attr-defined]


_lookups = _Lookups()
