"""The daemons as seen from here: asked every two seconds, their events heard as they come."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, succeed
from twisted.python.failure import Failure

from prol2tp.control.client import ControlClient
from prol2tp.control.command import Command, ControlError, Gone
from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.daemons.webd.series import DROPS as KEPT_DROPS
from prol2tp.daemons.webd.series import Drops, Series
from prol2tp.daemons.webd.table import of_propppd

INTERVAL = 2.0
PATIENCE = 5.0
"""Seconds within which a daemon has to answer; one that takes longer is away until it does."""
GATHERED = 0.25
"""Seconds in which drops are told together: tens of thousands may come at once."""
EVENTS_KEPT = 5000
ROWS = 200
"""Rows of a list that are asked for."""
DAEMONS: Mapping[str, Any] = {"prol2tpd": prol2tpd, "propppd": propppd, "proacd": proacd}
STATUS: Mapping[str, tuple[Command, str]] = {
    "prol2tpd": (prol2tpd.SHOW_SYSTEM, "system"), "propppd": (propppd.STATUS, "status"),
    "proacd": (proacd.STATUS, "status"),
}
GAUGES = ("tunnels", "sessions", "links", "routes")
TOTALS = ("setups", "ends", "requests", "rejects", "timeouts", "trips", "trip_seconds")
DROPS = {"session-down": "prol2tpd", "link-down": "propppd"}


class Watch(MultiService):
    """:param tell: called with a kind ('sample', 'drops') and a JSON-able value."""

    def __init__(self, reactor: Any, run_dir: str, tell: Callable[[str, Any], None]) -> None:
        super().__init__()
        self.series = Series(GAUGES, TOTALS)
        self.drops = Drops()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.records: dict[str, dict[str, Any] | None] = {}
        """The status of each daemon that was ever there; None: it does not answer now."""
        self.servers: list[dict[str, Any]] = []
        self.pools: list[dict[str, Any]] = []
        self._reactor = reactor
        self._tell = tell
        self._next: Any = None
        self._waiting: dict[str, list[Deferred[None]]] = {}
        """Daemons with an open question about their state, and who waits for the answer."""
        self._late: dict[str, Any] = {}
        """Calls that end the wait for these; None: it has ended, and they are away."""
        self._untold: deque[dict[str, Any]] = deque(maxlen=KEPT_DROPS)
        self._telling: Any = None
        self._seen: dict[str, tuple[str, int]] = {}
        self.clients: dict[str, ControlClient] = {}
        for name, commands in DAEMONS.items():
            self.clients[name] = client = ControlClient(
                os.path.join(run_dir, commands.SOCKET), commands.COMMANDS, {"Notify": commands.CALLBACKS["Notify"]},
                {"Notify": partial(self._heard, name)}, on_connected=partial(self._connected, name), reactor=reactor)
            client.setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        self._round()

    def stopService(self) -> Deferred[Any]:
        for call in (self._next, self._telling, *self._late.values()):
            if call is not None and call.active():
                call.cancel()
        self._next = self._telling = None
        return super().stopService()

    def call(self, daemon: str, command: Command, **arguments: Any) -> Deferred[dict[str, Any]]:
        """Fails with a `ControlError`, `Gone` where the daemon is not there or does not answer."""
        answer = self.clients[daemon].call(command.name, **arguments)
        answer.addTimeout(PATIENCE, self._reactor)
        return answer.addErrback(partial(_no_answer, daemon))

    # the state of the daemons

    def refresh(self) -> Deferred[None]:
        """Ask all daemons that are there. Fires when all have answered or are late; never fails."""
        return DeferredList([self._ask(name) for name in STATUS]).addCallback(lambda _: None)

    def _ask(self, name: str) -> Deferred[None]:
        """A daemon has one question at a time, and one that is late is not waited for again."""
        if not self.clients[name].connected:
            self._away(name)
            return succeed(None)
        if name not in self._waiting:
            self._waiting[name] = []
            self._late[name] = self._reactor.callLater(PATIENCE, self._overdue, name)
            DeferredList(self._questions(name), consumeErrors=True).addCallback(lambda _: self._answered(name))
        done: Deferred[None] = Deferred()
        if self._late.get(name) is None:
            done.callback(None)
        else:
            self._waiting[name].append(done)
        return done

    def _questions(self, name: str) -> list[Deferred[Any]]:
        client, (command, field) = self.clients[name], STATUS[name]
        asked = [client.call(command.name).addCallbacks(partial(self._status, name, field),
                                                        partial(self._no_status, name))]
        if name == "propppd":
            for what, rows in (("servers", propppd.SERVERS), ("pools", propppd.POOLS)):
                asked.append(client.call(rows.name, limit=ROWS).addCallback(partial(self._rows, what)))
        return asked

    def _rows(self, what: str, page: dict[str, Any]) -> None:
        setattr(self, what, page["rows"])

    def _answered(self, name: str) -> None:
        call = self._late.pop(name, None)
        if call is not None and call.active():
            call.cancel()
        for done in self._waiting.pop(name, ()):
            done.callback(None)

    def _overdue(self, name: str) -> None:
        self._late[name] = None
        self._away(name)
        waiting, self._waiting[name] = self._waiting[name], []
        for done in waiting:
            done.callback(None)

    def _away(self, name: str) -> None:
        if name in self.records:
            self.records[name] = None
        if name == "propppd":
            self.servers, self.pools = [], []

    def is_up(self, name: str) -> bool:
        """It is there, and answers."""
        return self.clients[name].connected and not (name in self._late and self._late[name] is None)

    def _status(self, name: str, field: str, values: dict[str, Any]) -> None:
        self.records[name] = values[field]

    def _no_status(self, name: str, failure: Failure) -> None:
        failure.trap(ControlError)
        if name in self.records:
            self.records[name] = None

    def _round(self) -> None:
        self._next = None
        self.refresh().addCallback(self._sample)

    def _sample(self, _: None) -> None:
        sample = self.series.add(time.time(), self._values())
        self._tell("sample", {"sample": sample, "state": self.state()})
        if self.running:
            self._next = self._reactor.callLater(INTERVAL, self._round)

    def _values(self) -> dict[str, float | None]:
        system = self.records.get("prol2tpd") or {}
        status = self.records.get("propppd")
        ppp = of_propppd(status) if status else {}
        radius = ppp.get("radius_counts", {})
        trips = [row["round_trips"] for row in self.servers]
        setup = (system.get("setup") or {}).get("sessions") or {}
        return {
            "tunnels": system.get("tunnels_up"), "sessions": system.get("sessions_up"), "links": ppp.get("links_up"),
            "routes": (self.records.get("proacd") or {}).get("routes"),
            "setups": sum(setup["counts"]) if setup else None,
            "ends": sum(system["ends"]["sessions"].values()) if system else None,
            "requests": radius.get("access_requests"), "rejects": radius.get("access_rejects"),
            "timeouts": radius.get("timeouts"),
            "trips": sum(sum(one["counts"]) for one in trips) if trips else None,
            "trip_seconds": sum(one["sum"] for one in trips) if trips else None,
        }

    def state(self) -> dict[str, Any]:
        """What is shown beside the series."""
        return {
            "daemons": {name: self.is_up(name) for name in DAEMONS
                        if self.clients[name].connected or name in self.records},
            "servers": [{key: value for key, value in row.items() if key != "round_trips"} for row in self.servers],
            "pools": [{key: row[key] for key in ("name", "size", "used")} for row in self.pools],
            "causes": self.drops.causes(),
            "queue": ((self.records.get("propppd") or {}).get("accounting_queue") or {}).get("depth"),
        }

    # events

    def _connected(self, name: str, client: ControlClient) -> None:
        arguments: dict[str, Any] = {}
        if name in self._seen:
            arguments = {"instance": self._seen[name][0], "after": self._seen[name][1]}
        answer = client.call("Subscribe", **arguments)
        answer.addCallbacks(lambda values: self._subscribed(name, values), lambda failure: failure.trap(ControlError))

    def _subscribed(self, name: str, values: dict[str, Any]) -> None:
        known = self._seen.get(name)
        if known is None or known[0] != values["instance"]:
            self._seen[name] = (values["instance"], values["sequence"])

    def _heard(self, name: str, connection: Any, events: list[dict[str, Any]], dropped: int,
               instance: str | None = None) -> None:
        run = instance or self._seen.get(name, ("",))[0]
        if events and run:
            self._seen[name] = (run, events[-1]["sequence"])
        for event in events:
            row = {"daemon": name, "event": event["event"], "time": event["time"], "data": event["data"]}
            self.events.append(row)
            if DROPS.get(event["event"]) == name:
                data = event["data"]
                drop = {"time": event["time"], "daemon": name, "user": data.get("user", ""),
                        "cause": data.get("cause") or "unknown",
                        "reason": data.get("reason") or data.get("message") or "",
                        "id": data.get("id") or f"{data.get('tunnel_id')}/{data.get('session_id')}"}
                if self.drops.add(drop):
                    self._untold.append(drop)
        if self._untold and self._telling is None:
            self._telling = self._reactor.callLater(GATHERED, self._tell_drops)

    def _tell_drops(self) -> None:
        self._telling = None
        self._tell("drops", list(self._untold))
        self._untold.clear()

    def events_of(self, words: set[str]) -> list[dict[str, Any]]:
        """Events that have one of these as id, name of a link or `TUNNEL/SESSION`, oldest first."""
        found = []
        for row in self.events:
            data = row["data"]
            key = f"{data.get('tunnel_id')}/{data.get('session_id')}" if "session_id" in data else ""
            if data.get("id") in words or key in words or ("link" in row["event"] and data.get("name") in words):
                found.append(row)
        return found


def _no_answer(daemon: str, failure: Failure) -> Failure:
    if failure.check(TimeoutError):
        raise Gone(f"{daemon} does not answer")
    return failure
