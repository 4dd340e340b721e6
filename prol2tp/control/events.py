"""Subscribe and notify: who wants to hear of events, and a bounded queue for each.

One `Notify` is open to a subscriber at a time and carries all that came meanwhile; a subscriber that is too slow loses
the oldest events and is told how many.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from prol2tp.control.command import MAX_VALUE, Invalid, Rows, write_row
from prol2tp.control.connection import Connection, Responder

QUEUE = 1000
"""Most events that wait for one subscriber."""


class _Subscriber:
    __slots__ = ("connection", "events", "queue", "dropped", "open")

    def __init__(self, connection: Connection, events: frozenset[str]) -> None:
        self.connection = connection
        self.events = events
        self.queue: deque[bytes] = deque()
        self.dropped = 0
        self.open = False

    def add(self, text: bytes) -> None:
        if len(self.queue) >= QUEUE:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(text)
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
        self.connection.call("Notify", events=rows, dropped=dropped).addCallbacks(self._taken, self._refused)

    def _taken(self, _: Any) -> None:
        self.open = False
        self.send()

    def _refused(self, _: Any) -> None:
        # gone, or it does not know Notify: it keeps `open`, so nothing more is sent, and the queue stays bounded
        self.queue.clear()


class Events:
    """The events of a daemon. `names`: all that there are. Put `responders()` into the ControlServer's responders, and
    `Notify` into its callbacks."""

    def __init__(self, names: Collection[str], wall_clock: Callable[[], float] = time.time) -> None:
        self._names = frozenset(names)
        self._clock = wall_clock
        self._subscribers: dict[Connection, _Subscriber] = {}

    def __bool__(self) -> bool:
        """Is there anybody to tell? Ask before you gather the data of an event."""
        return bool(self._subscribers)

    def responders(self) -> dict[str, Responder]:
        """The responders of Subscribe and Unsubscribe."""
        return {"Subscribe": self._subscribe, "Unsubscribe": self._unsubscribe}

    def publish(self, event: str, **data: Any) -> None:
        """Tell all who want to hear of this event. Costs a dict look-up when nobody listens."""
        if not self._subscribers:
            return
        if event not in self._names:
            raise ValueError(f"no such event: {event}")
        text: bytes | None = None
        for subscriber in list(self._subscribers.values()):
            if event in subscriber.events:
                if text is None:
                    text = write_row({"event": event, "time": self._clock(), "data": data})
                if len(text) > MAX_VALUE - 3:
                    subscriber.dropped += 1
                    continue
                subscriber.add(text)

    def _subscribe(self, connection: Connection, events: Any) -> None:
        names = self._names
        if events is not None:
            if not isinstance(events, list) or not all(isinstance(name, str) for name in events):
                raise Invalid("events: must be a list of names")
            names = frozenset(events)
            unknown = names - self._names
            if unknown:
                raise Invalid(f"no such event: {', '.join(sorted(unknown))}")
        if connection in self._subscribers:
            self._subscribers[connection].events = names
        else:
            self._subscribers[connection] = _Subscriber(connection, names)
            connection.on_lost.append(self._forget)

    def _unsubscribe(self, connection: Connection) -> None:
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._subscribers.pop(connection, None)
