"""Subscribe and notify: the last events of a daemon, numbered, and who wants to hear of them.

Events are kept whether anybody listens or not, so that who was away goes on where it was. One `Notify` is open to a
subscriber at a time and carries all that came meanwhile. What is kept is bounded: a subscriber that is too slow loses
the oldest events and is told how many. A keeper (a subscriber with a name) is waited for longer, even while it is away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import Any

from prol2tp.control.command import MAX_VALUE, Invalid, Rows, write_row
from prol2tp.control.connection import Connection, Responder

KEPT = 10_000
"""Events that are always kept, the newest."""
KEPT_FOR_KEEPERS = 200_000
"""Most events that are kept while a keeper has not taken them."""
KEEPER_PATIENCE = 3600.0
"""Seconds after which a keeper that is away is forgotten."""
MAX_KEEPERS = 8


class _Event:
    __slots__ = ("sequence", "name", "time", "data", "text")

    def __init__(self, sequence: int, name: str, time: float, data: dict[str, Any]) -> None:
        self.sequence = sequence
        self.name = name
        self.time = time
        self.data: dict[str, Any] | None = data
        self.text = b""

    def encoded(self) -> bytes:
        if self.data is not None:
            row = {"event": self.name, "sequence": self.sequence, "time": self.time, "data": self.data}
            text = write_row(row)
            if len(text) > MAX_VALUE - 3:
                text = write_row({**row, "data": {}})
            self.text, self.data = text, None
        return self.text


class _Keeper:
    __slots__ = ("taken", "away_since")

    def __init__(self, taken: int, now: float) -> None:
        self.taken = taken
        """The last event that it has answered for."""
        self.away_since: float | None = now


class _Subscriber:
    __slots__ = ("ring", "connection", "events", "cursor", "dropped", "open", "keeper", "told")

    def __init__(self, ring: Events, connection: Connection, events: frozenset[str], cursor: int) -> None:
        self.ring = ring
        self.connection = connection
        self.events = events
        self.cursor = cursor
        """The last event that was sent or passed over."""
        self.dropped = 0
        self.open = False
        self.keeper: _Keeper | None = None
        self.told = False
        """It knows which run of the daemon this is."""

    def send(self) -> None:
        ring = self.ring
        texts: list[bytes] = []
        room = MAX_VALUE - 2
        cursor = self.cursor
        while cursor < ring.sequence:
            event = ring.kept[cursor + 1]
            if event.name in self.events:
                text = event.encoded()
                if len(text) + 1 > room:
                    break
                room -= len(text) + 1
                texts.append(text)
            cursor += 1
        self.cursor = cursor
        if not texts and not self.dropped:
            self._taken()
            return
        rows: Rows = Rows()
        rows.encoded = b"[" + b",".join(texts) + b"]"
        dropped, self.dropped = self.dropped, 0
        self.open = True
        instance = None if self.told else self.ring.instance
        self.told = True
        answer = self.connection.call("Notify", events=rows, dropped=dropped, instance=instance)
        answer.addCallbacks(self._answered, self._refused)

    def _taken(self) -> None:
        if self.keeper is not None:
            self.keeper.taken = self.cursor

    def _answered(self, _: Any) -> None:
        self._taken()
        self.open = False
        if self.cursor < self.ring.sequence or self.dropped:
            self.send()

    def _refused(self, _: Any) -> None:
        # gone, or it does not know Notify: it keeps `open`, so nothing more is sent
        self.ring.forget(self.connection)


class Events:
    """The events of a daemon. `names`: all that there are. Put `responders()` into the ControlServer's responders, and
    `Notify` into its callbacks.

    :param monotonic: for how long a keeper has been away.
    """

    def __init__(self, names: Collection[str], wall_clock: Callable[[], float] = time.time,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = frozenset(names)
        self._clock = wall_clock
        self._monotonic = monotonic
        self.instance = f"{os.getpid()}-{time.time_ns()}"
        """Sequence numbers hold for this run of the daemon."""
        self.sequence = 0
        """Of the last event; the first has 1."""
        self.kept: dict[int, _Event] = {}
        self._oldest = 1
        self._subscribers: dict[Connection, _Subscriber] = {}
        self._keepers: dict[str, _Keeper] = {}

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    def responders(self) -> dict[str, Responder]:
        """The responders of Subscribe and Unsubscribe."""
        return {"Subscribe": self._subscribe, "Unsubscribe": self._unsubscribe}

    def expect(self, keeper: str) -> None:
        """Keep everything for a keeper from now on, before it has subscribed for the first time."""
        if keeper not in self._keepers:
            self._keepers[keeper] = _Keeper(self.sequence, self._monotonic())

    def is_listening(self, keeper: str) -> bool:
        """Whether this keeper is subscribed now."""
        known = self._keepers.get(keeper)
        return known is not None and known.away_since is None

    def has_taken_all(self, keeper: str) -> bool:
        """Whether this keeper has answered for all events; also when there is none of that name."""
        known = self._keepers.get(keeper)
        return known is None or known.taken >= self.sequence

    def publish(self, event: str, **data: Any) -> None:
        """Keep an event and tell all who want to hear of it. `data` is not to be changed any more."""
        if event not in self._names:
            raise ValueError(f"no such event: {event}")
        self.sequence = sequence = self.sequence + 1
        self.kept[sequence] = _Event(sequence, event, self._clock(), data)
        if len(self.kept) > KEPT:
            self._drop_oldest()
        for subscriber in list(self._subscribers.values()) if self._subscribers else ():
            if not subscriber.open:
                subscriber.send()

    def _drop_oldest(self) -> None:
        """What nobody has to be given, and in any case what is too much."""
        now = self._monotonic()
        for name, keeper in list(self._keepers.items()):
            if keeper.away_since is not None and now - keeper.away_since > KEEPER_PATIENCE:
                del self._keepers[name]
        taken = min((keeper.taken for keeper in self._keepers.values()), default=self.sequence)
        limit = max(self.sequence - KEPT, 0)
        last = max(min(taken, limit), self.sequence - KEPT_FOR_KEEPERS)
        while self._oldest <= last:
            event = self.kept.pop(self._oldest)
            self._oldest += 1
            for subscriber in self._subscribers.values():
                if subscriber.cursor < event.sequence:
                    subscriber.cursor = event.sequence
                    subscriber.dropped += event.name in subscriber.events

    def _subscribe(self, connection: Connection, events: Any, instance: str | None = None, after: int | None = None,
                   keeper: str | None = None) -> dict[str, Any]:
        names = self._chosen(events)
        subscriber = self._subscribers.get(connection)
        if subscriber is not None:
            subscriber.events = names
            return {"instance": self.instance, "sequence": self.sequence}
        if keeper and keeper not in self._keepers and len(self._keepers) >= MAX_KEEPERS:
            raise Invalid(f"keeper: there are {MAX_KEEPERS} already")
        subscriber = _Subscriber(self, connection, names, self.sequence)
        if instance is not None or after is not None:
            self._resume(subscriber, after or 0 if instance in (None, self.instance) else 0)
        if keeper:
            self._keep(subscriber, keeper, resumed=instance is not None or after is not None)
        self._subscribers[connection] = subscriber
        connection.on_lost.append(self.forget)
        if subscriber.cursor < self.sequence or subscriber.dropped:
            subscriber.send()
        return {"instance": self.instance, "sequence": self.sequence}

    def _chosen(self, events: Any) -> frozenset[str]:
        if events is None:
            return self._names
        if not isinstance(events, list) or not all(isinstance(name, str) for name in events):
            raise Invalid("events: must be a list of names")
        names = frozenset(events)
        unknown = names - self._names
        if unknown:
            raise Invalid(f"no such event: {', '.join(sorted(unknown))}")
        return names

    def _resume(self, subscriber: _Subscriber, after: int) -> None:
        after = min(max(after, 0), self.sequence)
        # of events that are gone the names are gone too: all count
        subscriber.dropped = max(0, self._oldest - 1 - after)
        subscriber.cursor = max(after, self._oldest - 1)

    def _keep(self, subscriber: _Subscriber, name: str, resumed: bool) -> None:
        known = self._keepers.get(name)
        if known is not None:
            # what it did not want then is not given to it now
            if not resumed or known.taken > subscriber.cursor:
                subscriber.dropped = 0
                self._resume(subscriber, known.taken)
        else:
            known = self._keepers[name] = _Keeper(subscriber.cursor, self._monotonic())
        for other in self._subscribers.values():
            if other.keeper is known:
                other.keeper = None
        known.away_since = None
        subscriber.keeper = known

    def _unsubscribe(self, connection: Connection) -> None:
        self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """It does not listen any more."""
        subscriber = self._subscribers.pop(connection, None)
        if subscriber is not None:
            subscriber.open = True
            if subscriber.keeper is not None:
                subscriber.keeper.away_since = self._monotonic()
