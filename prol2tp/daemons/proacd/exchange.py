"""Things of ours that another daemon has: begun and ended in batches over its control channel, while it comes and
goes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.control.command import Gone
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Log
from prol2tp.net.deadlines import LazyTimer

TURN = 600
"""Rows begun in one turn of the reactor: tens of thousands at once, after a reconnect, must not stop everything else.
"""


class Channel(Protocol):
    """The connection (control.client)."""

    @property
    def connected(self) -> bool: ...

    def call(self, command: str, **arguments: Any) -> Any: ...


class Held(Protocol):
    """What the other daemon has."""

    id: str

    def lost(self, cause: str, message: str) -> None:
        """The other daemon does not take it, or has it no longer."""


class Begun(Held, Protocol):
    """What it has because we asked for it."""

    def row(self) -> dict[str, Any]:
        """Of the command that begins it."""

    def accepted(self) -> None:
        """The other daemon has it."""


class Exchange:
    """Rows for one daemon.

    :param daemon: its name, for texts.
    :param begin: the command that begins things; end: the one that ends them; argument: both commands' list of rows.
    :param more: further arguments of both.
    :param grace: seconds that things wait for the daemon while it is away.
    """

    def __init__(self, clock: IReactorTime, log: Log, daemon: str, begin: str, end: str, argument: str, grace: float,
                 more: dict[str, Any] | None = None) -> None:
        self.grace = grace
        self.channel: Channel | None = None
        self.things: dict[str, Held] = {}
        """All that have not ended, by id."""
        self._clock = clock
        self._log = log
        self._daemon = daemon
        self._begin, self._end, self._argument = begin, end, argument
        self._more = more or {}
        self._to_begin: dict[str, Begun] = {}
        self._to_end: dict[str, dict[str, Any]] = {}
        self._ends_sent = 0
        """Commands that end things, without an answer yet."""
        self._all_told: list[Deferred[None]] = []
        self._unanswered: set[str] = set()
        """Ids of things whose begin has no answer yet."""
        self._flush_call: Any = None
        self._held = True
        """Nothing is sent yet: the connection is not there, or not settled."""
        self._patience = clock.seconds() + grace
        """Until when things wait for a daemon that is away."""
        self._timer = LazyTimer(clock, self._out_of_patience)

    @property
    def connected(self) -> bool:
        return self.channel is not None and self.channel.connected

    @property
    def away(self) -> bool:
        """So long away that nothing waits for it any more."""
        return not self.connected and self._clock.seconds() >= self._patience

    # things

    def begin(self, thing: Begun) -> None:
        """Ask for it."""
        self.take(thing)
        self._to_begin[thing.id] = thing
        self._flush_soon()

    def take(self, thing: Held) -> None:
        """The other daemon has it already."""
        self.things[thing.id] = thing
        if not self.connected:
            self._timer.want(max(self._patience, self._clock.seconds()))

    def waits(self, id: str) -> bool:
        """It was not asked for yet."""
        return id in self._to_begin

    def end(self, id: str, cause: str, message: str) -> bool:
        """End a thing. While the daemon is away it hears of that when it is there again; False: it is away for so long
        that nothing waits for it any more."""
        self.things.pop(id, None)
        self._unanswered.discard(id)
        if self._to_begin.pop(id, None) is not None and not self.connected:
            return True
        if self.away:
            return False
        self._to_end[id] = {"id": id, "cause": cause, "message": message}
        if not self.connected:
            self._timer.want(self._patience)
        self._flush_soon()
        return True

    @property
    def ending(self) -> list[str]:
        """Ids whose end waits to be told."""
        return list(self._to_end)

    def forget(self, id: str) -> Held | None:
        """It has ended at the other daemon."""
        self._to_begin.pop(id, None)
        self._unanswered.discard(id)
        return self.things.pop(id, None)

    # the connection

    def attached(self, channel: Channel) -> None:
        """The daemon is there (again). Nothing is sent before `settled`."""
        self.channel = channel
        self._timer.want(None)

    def settled(self, again: Iterable[Begun]) -> None:
        """:param again: what has to be begun once more."""
        self._held = False
        self._unanswered.clear()
        for thing in again:
            if self.things.get(thing.id) is thing:
                self._to_begin[thing.id] = thing
        self._flush_soon()

    def unanswered(self) -> set[str]:
        """Of these nobody knows whether the daemon has them."""
        return set(self._unanswered)

    def call(self, command: str, **arguments: Any) -> Any:
        """One command, at once -> Deferred."""
        if self.channel is None:
            return fail(Gone(f"{self._daemon} is not running"))
        return self.channel.call(command, **arguments)

    def detached(self) -> None:
        """The daemon has gone: things wait for it."""
        self.channel = None
        self._held = True
        self._patience = self._clock.seconds() + self.grace
        if self.things:
            self._log.warning("{daemon} is gone: {count} of ours wait {grace:.0f} s for it", daemon=self._daemon,
                              count=len(self.things), grace=self.grace)
        if self.things or self._to_end:
            self._timer.want(self._patience)

    def _out_of_patience(self, now: float) -> None:
        waiting = list(self.things.values())
        self._to_begin.clear()
        self._to_end.clear()
        self._unanswered.clear()
        for thing in waiting:
            if self.things.get(thing.id) is thing:
                del self.things[thing.id]
                thing.lost("NAS Error", f"{self._daemon} is not running")

    # batches

    def _flush_soon(self) -> None:
        if self._flush_call is None and not self._held:
            self._flush_call = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        channel = self.channel
        if channel is None or self._held:
            return
        # ends first: they make room
        ended, self._to_end = self._to_end, {}
        for rows in batches(ended.values()):
            self._ends_sent += 1
            told = channel.call(self._end, **{self._argument: rows}, **self._more)
            told.addErrback(self._failed, self._end).addCallback(self._end_told)
        waiting = self._to_begin
        turn = [waiting.pop(id) for id in list(islice(waiting, TURN))]
        if waiting:
            self._flush_soon()
        self._unanswered.update(thing.id for thing in turn)
        start = 0
        for rows in batches(thing.row() for thing in turn):
            things = turn[start:start + len(rows)]
            start += len(rows)
            channel.call(self._begin, **{self._argument: rows}, **self._more).addCallbacks(
                self._answered, self._not_begun, callbackArgs=(things,), errbackArgs=(things,))

    def _answered(self, answer: dict[str, Any], things: list[Begun]) -> None:
        results = list(answer.get("results") or ())
        for thing, problem in zip(things, results + [None] * (len(things) - len(results)), strict=False):
            if self.things.get(thing.id) is not thing:
                continue
            self._unanswered.discard(thing.id)
            if problem is None:
                thing.accepted()
            else:
                del self.things[thing.id]
                thing.lost("NAS Error", str(problem))

    def _not_begun(self, failure: Failure, things: list[Begun]) -> None:
        """Those that a lost connection took along stay; without an answer for another reason there is nothing."""
        self._failed(failure, self._begin)
        if failure.check(Gone) or not self.connected:
            return
        for thing in things:
            if self.things.get(thing.id) is thing:
                self._unanswered.discard(thing.id)
                del self.things[thing.id]
                thing.lost("NAS Error", f"{self._daemon}: {failure.getErrorMessage()}")

    def _failed(self, failure: Failure, command: str) -> None:
        self._log.warning("{daemon}: {command}: {reason}", daemon=self._daemon, command=command,
                          reason=failure.getErrorMessage())

    def _end_told(self, _: object) -> None:
        self._ends_sent -= 1
        if not self._ends_sent:
            told, self._all_told = self._all_told, []
            for waiting in told:
                waiting.callback(None)

    def flush(self) -> Deferred[None]:
        """Send what is waiting, now. Fires when all ends that could be told are told."""
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush()
        done: Deferred[None] = Deferred()
        if self._ends_sent:
            self._all_told.append(done)
        else:
            done.callback(None)
        return done

    def stop(self) -> None:
        """Nothing is sent any more, and no timer left."""
        self._held = True
        self._timer.stop()
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
