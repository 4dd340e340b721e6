"""The client of prol2tpd: calls that it opens for routes, and sessions that it offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.control.command import Gone
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Log
from prol2tp.daemons.proacd.choice import Destination as Place
from prol2tp.daemons.proacd.destinations import Call
from prol2tp.daemons.proacd.exchange import Exchange
from prol2tp.daemons.proacd.route import Route
from prol2tp.daemons.proacd.sources import L2TPSource

_log = Logger(namespace="proacd")

Offered = Callable[[dict[str, Any]], "str | None"]
"""Takes a row of OfferCalls -> why it is refused, or None."""
RETRY = 1.0
"""Seconds until calls are claimed again when prol2tpd has not answered."""


class Calls:
    """Calls of both directions, by the ids that prol2tpd knows: `ROUTE.SERIAL` for those that we open, `TUNNEL/SESSION`
    for those that are offered."""

    def __init__(self, clock: IReactorTime, log: Log, offered: Offered, grace: float) -> None:
        self.exchange = Exchange(clock, log, "prol2tpd", "OpenCalls", "CloseCalls", "calls", grace)
        self.tunnels: dict[int, int] = {}
        """Calls that are up, by tunnel."""
        self._clock = clock
        self._log = log
        self._offered = offered
        self._profiles: list[str] = []
        self._serials = count(1)
        self._retry: Any = None
        self._claim_number = 0

    def open(self, route: Route, place: Place) -> Call:
        """Ask for a call. What becomes of it is told to the table of routes."""
        call = Call(f"{route.number}.{next(self._serials)}", route, place, self.exchange, self.tunnels)
        self.exchange.begin(call)
        return call

    def serve(self, profiles: Iterable[str]) -> None:
        """From now on sessions of these tunnel profiles are wanted."""
        wanted = list(profiles)
        if wanted != self._profiles:
            self._profiles = wanted
            if self.exchange.connected:
                self._call("ServeCalls", profiles=wanted, calls=None)

    # the connection

    def connected(self, channel: Any) -> None:
        """prol2tpd is there (again): say which calls we have, and hear which of them it does not have."""
        self._log.notice("connected to prol2tpd")
        self.exchange.attached(channel)
        self._claim()

    def _claim(self) -> None:
        self._retry = None
        self._claim_number += 1
        unanswered = self.exchange.unanswered()
        # those that are to be ended live until they are told why
        ids = [*(id for id in self.exchange.things if not self.exchange.waits(id)), *self.exchange.ending]
        parts: list[list[str]] = list(batches(ids)) or [[]]
        unknown: set[str] = set()
        for number, part in enumerate(parts):
            more = number < len(parts) - 1
            answer = self.exchange.call("ServeCalls", profiles=self._profiles, calls=part, more=more)
            if more:
                answer.addCallbacks(lambda answer: unknown.update(answer["unknown"]), self._ignored)
            else:
                answer.addCallbacks(
                    self._claimed, self._not_claimed,
                    callbackArgs=(unknown, unanswered, self._claim_number), errbackArgs=(self._claim_number,))

    def _ignored(self, failure: Failure) -> None:
        """The last part of the same claim fails too."""

    def _not_claimed(self, failure: Failure, number: int) -> None:
        if number != self._claim_number or failure.check(Gone):
            return
        self._log.error("prol2tpd: ServeCalls: {reason}", reason=failure.getErrorMessage())
        self._retry = self._clock.callLater(RETRY, self._claim)

    def _claimed(self, answer: dict[str, Any], unknown: set[str], unanswered: set[str], number: int) -> None:
        if number != self._claim_number:
            return
        unknown.update(str(id) for id in answer["unknown"])
        for id in unknown - unanswered:
            thing = self.exchange.forget(id)
            if thing is not None:
                thing.lost("NAS Error", "prol2tpd has it no longer")
        again = [self.exchange.things.get(id) for id in unknown & unanswered]
        self.exchange.settled(thing for thing in again if isinstance(thing, Call))

    def disconnected(self, channel: Any = None) -> None:
        """prol2tpd has gone; its calls live on, for the grace time."""
        self._claim_number += 1
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.exchange.detached()

    # what prol2tpd says

    def calls_changed(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Responder of CallsChanged."""
        for row in calls:
            try:
                self._changed(str(row["id"]), row)
            except Exception:
                # it must not cost the others of its batch
                _log.failure("CallsChanged: {id!r}", id=row.get("id"))
        return {}

    def _changed(self, id: str, row: dict[str, Any]) -> None:
        if row["state"] == "closed":
            thing = self.exchange.forget(id)
            if isinstance(thing, Call):
                thing.closed(row)
            elif thing is not None:
                thing.lost(str(row.get("cause") or "Lost Carrier"), str(row.get("message") or ""))
            return
        call = self.exchange.things.get(id)
        if isinstance(call, Call) and not call.up:
            call.opened(row)

    def offer_calls(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Responder of OfferCalls."""
        return {"results": [self._offer(row) for row in calls]}

    def _offer(self, row: dict[str, Any]) -> str | None:
        try:
            known = self.exchange.things.get(str(row["id"]))
            if isinstance(known, L2TPSource):
                if known.port == row["port"]:
                    return None
                self.exchange.forget(known.id)
                known.lost("Lost Carrier", "the session has a new port")
            return self._offered(row)
        except Exception as error:
            _log.failure("OfferCalls: {id!r}", id=row.get("id"))
            return f"internal error: {error!r}"

    def _call(self, command: str, **arguments: Any) -> None:
        self.exchange.call(command, **arguments).addErrback(self._failed, command)

    def _failed(self, failure: Failure, command: str) -> None:
        self._log.warning("prol2tpd: {command}: {reason}", command=command, reason=failure.getErrorMessage())

    def stop(self) -> None:
        """Nothing is sent any more, and no timer left."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.exchange.stop()
