"""Following one tunnel, session, peer, host or user through a daemon, for whoever asks, beside the log.

A tracer is a connection that has called `Trace`. What is told of a thing whose user is not known yet is held, and given
to the tracer of that user when he turns out to be it. All of it is bounded: a tracer that is too slow loses the oldest
lines and is told how many.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from prol2tp.control.command import MAX_VALUE, Invalid, Rows, write_row
from prol2tp.control.connection import Connection, Responder

SUBJECTS = {"tunnel": int, "session": int, "peer": str, "mac": str, "user": str}
QUEUE = 5000
"""Lines that wait for one tracer."""
HELD, HELD_EACH = 1000, 60
"""Things whose lines are held for a tracer, and lines of each."""
MAX_TRACERS = 16
LONGEST = 4000
"""Characters of a line, and octets of a packet."""

Identity = Mapping[str, Any]
"""What a thing is: of `SUBJECTS` those that it has; an empty user: it may become known."""


class _Tracer:
    __slots__ = ("connection", "subject", "packets", "queue", "held", "dropped", "open")

    def __init__(self, connection: Connection, subject: dict[str, Any], packets: bool) -> None:
        self.connection = connection
        self.subject = subject
        self.packets = packets
        self.queue: deque[bytes] = deque()
        self.held: dict[Hashable, deque[bytes]] = {}
        self.dropped = 0
        self.open = False

    def judge(self, identity: Identity) -> bool | None:
        """Whether it is about that; None: if the user turns out to be the one."""
        verdict: bool | None = True
        for name, value in self.subject.items():
            found = identity.get(name)
            if found != value:
                if name != "user" or found != "":
                    return False
                verdict = None
        return verdict

    def take(self, verdict: bool | None, key: Hashable, row: bytes) -> None:
        if verdict:
            for held in self.held.pop(key, ()):
                self.add(held)
            self.add(row)
        elif verdict is None:
            if key not in self.held and len(self.held) >= HELD:
                del self.held[next(iter(self.held))]
            self.held.setdefault(key, deque(maxlen=HELD_EACH)).append(row)
        else:
            self.held.pop(key, None)

    def add(self, row: bytes) -> None:
        if len(self.queue) >= QUEUE:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(row)
        if not self.open:
            self.send()

    def send(self) -> None:
        texts: list[bytes] = []
        room = MAX_VALUE - 2
        while self.queue and len(self.queue[0]) + 1 <= room:
            text = self.queue.popleft()
            room -= len(text) + 1
            texts.append(text)
        if not texts:
            return
        rows: Rows = Rows()
        rows.encoded = b"[" + b",".join(texts) + b"]"
        dropped, self.dropped = self.dropped, 0
        self.open = True
        answer = self.connection.call("Traced", lines=rows, dropped=dropped)
        answer.addCallbacks(self._taken, lambda _: self.queue.clear())

    def _taken(self, _: Any) -> None:
        self.open = False
        self.send()


class Tracers:
    """All tracers of a daemon. `changed` is called when one comes or goes. False while there is none: ask before
    anything is gathered for them."""

    def __init__(self, changed: Callable[[], None] = lambda: None, wall: Callable[[], float] = time.time) -> None:
        self.changed = changed
        self._wall = wall
        self._all: dict[Connection, _Tracer] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def responders(self) -> dict[str, Responder]:
        """The responder of Trace."""
        return {"Trace": self._trace}

    def wants(self, identity: Identity) -> bool:
        """Whether anybody follows this, or may."""
        return any(tracer.judge(identity) is not False for tracer in self._all.values())

    def tell(self, key: Hashable, identity: Identity, who: str, kind: str, text: str, packet: bytes = b"",
             **more: Any) -> None:
        """A line about a thing. `key` names it while it lives; `packet` with `more` (`network`, `direction`, `local`,
        `peer`) is for those who want packets; then `text` may be empty."""
        row: bytes | None = None
        bare: bytes | None = None
        for tracer in list(self._all.values()):
            verdict = tracer.judge(identity)
            if packet and not text and not tracer.packets:
                continue
            if verdict is False and not tracer.held:
                continue
            if packet and tracer.packets:
                if row is None:
                    row = self._row(who, kind, text, packet, **more)
                tracer.take(verdict, key, row)
            else:
                if bare is None:
                    bare = self._row(who, kind, text, b"")
                tracer.take(verdict, key, bare)

    def _row(self, who: str, kind: str, text: str, packet: bytes, network: str = "", direction: str = "",
             local: str = "", peer: str = "") -> bytes:
        return write_row({
            "time": self._wall(), "who": who, "kind": kind, "text": text[:LONGEST], "packet": packet[:LONGEST].hex(),
            "network": network, "direction": direction, "local": local, "peer": peer,
        })

    def _trace(self, connection: Connection, subject: Any, packets: bool | None = None) -> None:
        if not isinstance(subject, dict) or not subject:
            raise Invalid(f"subject: an object with one or more of {', '.join(SUBJECTS)}")
        for name, value in subject.items():
            if name not in SUBJECTS or type(value) is not SUBJECTS[name]:
                raise Invalid(f"subject: {str(name)[:40]!r} is none of {', '.join(SUBJECTS)}, or of another type")
        if connection not in self._all and len(self._all) >= MAX_TRACERS:
            raise Invalid(f"there are {MAX_TRACERS} traces already")
        if connection not in self._all:
            connection.on_lost.append(self._forget)
        self._all[connection] = _Tracer(connection, subject, bool(packets))
        self.changed()

    def _forget(self, connection: Connection) -> None:
        if self._all.pop(connection, None) is not None:
            self.changed()
