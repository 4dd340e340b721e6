"""The client of propppd: local PPP on sources of ours."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.daemons.logs import Log
from prol2tp.daemons.proacd.choice import Choice
from prol2tp.daemons.proacd.destinations import LocalPPP
from prol2tp.daemons.proacd.exchange import Exchange
from prol2tp.daemons.proacd.route import Route, State

_log = Logger(namespace="proacd")

OWNER = "proacd"
"""By which propppd knows our sessions from prol2tpd's."""


class Attachments:
    """Sources that propppd has, by ids `ROUTE.SERIAL`."""

    def __init__(self, clock: IReactorTime, log: Log, grace: float) -> None:
        self.exchange = Exchange(clock, log, "propppd", "AttachSessions", "DetachSessions", "sessions", grace,
                                 {"owner": OWNER})
        self._log = log
        self._serials = count(1)

    def open(self, route: Route, choice: Choice) -> LocalPPP:
        """Local PPP for a route: its host hears of its session first."""
        link = LocalPPP(f"{route.number}.{next(self._serials)}", route, choice, self.exchange)
        route.source.open().addCallbacks(self._attach, self._no_source, callbackArgs=(link,), errbackArgs=(link,))
        return link

    def _attach(self, _: None, link: LocalPPP) -> None:
        if link.route.state is State.OPENING:
            link.route.source.hand_on()
            self.exchange.begin(link)

    def _no_source(self, failure: Failure, link: LocalPPP) -> None:
        route = link.route
        route.close("NAS Error", failure.getErrorMessage())

    # the connection

    def connected(self, channel: Any) -> None:
        """propppd is there (again): it keeps the links that it still has, and begins those anew that it has not."""
        self._log.notice("connected to propppd")
        self.exchange.attached(channel)
        # it hears who we are also when we have nothing, and ends what we no longer have
        self.exchange.call("AttachSessions", sessions=[], owner=OWNER).addErrback(self._not_said)
        self.exchange.settled(thing for thing in list(self.exchange.things.values()) if isinstance(thing, LocalPPP))

    def _not_said(self, failure: Failure) -> None:
        self._log.warning("propppd: {reason}", reason=failure.getErrorMessage())

    def disconnected(self, channel: Any = None) -> None:
        """propppd has gone."""
        self.exchange.detached()

    def sessions_changed(self, sessions: list[dict[str, Any]]) -> dict[str, Any]:
        """Responder of SessionsChanged."""
        for row in sessions:
            try:
                self._changed(row)
            except Exception:
                # it must not cost the others of its batch
                _log.failure("SessionsChanged: {id!r}", id=row.get("id"))
        return {}

    def _changed(self, row: dict[str, Any]) -> None:
        link = self.exchange.things.get(str(row["id"]))
        if not isinstance(link, LocalPPP):
            return
        if row["state"] == "up":
            link.changed(row)
        elif row["state"] == "closed":
            self.exchange.forget(link.id)
            link.lost(str(row.get("cause") or "User Request"), str(row.get("message") or ""))

    def stop(self) -> None:
        """Nothing is sent any more, and no timer left."""
        self.exchange.stop()
