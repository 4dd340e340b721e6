"""The events of one daemon: heard from where we left off, saved before they are answered for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from prol2tp.control.client import ControlClient
from prol2tp.daemons.logs import Log
from prol2tp.daemons.scriptd.journal import Journal
from prol2tp.daemons.scriptd.scripts import Source

KEEPER = "scriptd"
"""Our name with the daemons: they keep our events while we are away."""
RETRY = 5.0
"""Seconds between tries to save when the disk takes nothing."""


class Feed:
    """One daemon. It is connected to while there are scripts for its events.

    :param taken: called with (source, id, event, data) of each event that is saved.
    :param room: -> Deferred that fires when more events may come.
    """

    def __init__(self, source: Source, path: str, journal: Journal, log: Log, reactor: Any,
                 taken: Callable[[Source, int, str, dict[str, Any]], None], room: Callable[[], Deferred[Any]]) -> None:
        self.source = source
        self.lost = 0
        self.names: list[str] = []
        self._journal = journal
        self._log = log
        self._reactor = reactor
        self._taken = taken
        self._room = room
        self._instance = ""
        self._sequence = 0
        self._unsaved: list[tuple[str, list[dict[str, Any]]]] = []
        """Events that the disk has not taken yet, with the run of the daemon that told them."""
        self._waiting: list[Deferred[Any]] = []
        self._retry: Any = None
        self._client = ControlClient(path, source.module.COMMANDS, source.module.CALLBACKS, {"Notify": self._notify},
                                     on_connected=self._connected, reactor=reactor)

    @property
    def connected(self) -> bool:
        return self._client.connected

    def want(self, names: list[str]) -> None:
        """Hear these events from now on."""
        if names == self.names:
            return
        before, self.names = self.names, names
        if not before:
            self._client.startService()
        elif not names:
            self._client.stopService()
        elif self._client.connected:
            self._client.call("Subscribe", events=names).addErrback(self._refused)

    def _connected(self, client: ControlClient) -> None:
        found = self._journal.cursor(self.source.daemon)
        where = {} if found is None else {"instance": found[0], "after": found[1]}
        asked = client.call("Subscribe", events=self.names, keeper=KEEPER, **where)
        asked.addCallbacks(self._subscribed, self._refused)

    def _subscribed(self, answer: dict[str, Any]) -> None:
        self._log.info("events of {daemon} are heard", daemon=self.source.daemon)

    def _refused(self, failure: Any) -> None:
        self._log.error("no events of {daemon}: {reason}", daemon=self.source.daemon, reason=failure.getErrorMessage())

    def _notify(self, connection: Any, events: Any, dropped: int, instance: str | None = None) -> Deferred[Any]:
        if dropped:
            self.lost += dropped
            self._log.error("{count} events of {daemon} were lost", count=dropped, daemon=self.source.daemon)
        if instance and instance != self._instance:
            found = self._journal.cursor(self.source.daemon)
            self._instance = instance
            self._sequence = found[1] if found is not None and found[0] == instance else 0
        # an answer of ours may have been lost
        new = [event for event in events if event["sequence"] > self._sequence]
        if new:
            self._sequence = new[-1]["sequence"]
            self._unsaved.append((self._instance, new))
        return self._save()

    def _save(self) -> Deferred[Any]:
        """Fires when all that was heard is on the disk, and there is room for more."""
        reason = self._write()
        if not reason:
            return self._room()
        if self._retry is None:
            self._log.error("events cannot be saved: {reason}; trying again", reason=reason)
            self._retry = self._reactor.callLater(RETRY, self._again)
        done: Deferred[Any] = Deferred()
        self._waiting.append(done)
        return done

    def _again(self) -> None:
        self._retry = None
        if self._write():
            self._retry = self._reactor.callLater(RETRY, self._again)
            return
        self._log.notice("events are saved again")
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            self._room().chainDeferred(done)

    def _write(self) -> str:
        """Why the disk does not take what was heard; empty: it does."""
        while self._unsaved:
            instance, events = self._unsaved[0]
            wanted = [event for event in events if event["event"] in self.source.scripts]
            try:
                ids = self._journal.append(self.source.daemon, instance, events[-1]["sequence"],
                                           [(event["event"], event["time"], event["data"]) for event in wanted])
            except sqlite3.Error as error:
                return str(error) or type(error).__name__
            del self._unsaved[0]
            for id, event in zip(ids, wanted, strict=True):
                self._taken(self.source, id, event["event"], event["data"])
        return ""

    def stop(self) -> Deferred[Any]:
        if self._retry is not None:
            self._retry.cancel()
        return self._client.stopService() if self._client.running else succeed(None)
