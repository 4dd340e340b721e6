"""Sessions that prol2tpd and proacd hand over: attached in batches, told about in batches, kept for a while when their
owner goes away."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from prol2tp.control.command import Invalid, Refused
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.carriers import NO_MAPS
from prol2tp.daemons.propppd.create import L2TPRequest, check
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links, RefusedLink
from prol2tp.daemons.propppd.rows import carrier_of, options_of, proxy_of, rows_of

_log = Logger(namespace="propppd")

GRACE = 30.0
"""Seconds that links wait for their owner to come again."""
SETTLED = 15.0
"""Seconds that an owner that came again may let pass until it attaches the next session that it had: what it has not
attached by then it has no more."""
OWNERS = ("prol2tpd", "proacd")
TEXT = 500
"""Most characters of a message or name in a row."""


class Connection(Protocol):
    """A connection of the control channel."""

    on_lost: list[Any]

    def call(self, name: str, **arguments: Any) -> Any: ...


class Owners:
    """All who attach sessions: ids, connections and grace times of each are its own."""

    def __init__(self, links: Links, clock: IReactorTime, log: Log, grace: float = GRACE) -> None:
        self.by_name = {name: Attachments(links, clock, log, grace, name) for name in OWNERS}
        self.prol2tpd = self.by_name[OWNERS[0]]

    def attach(self, connection: Connection, sessions: Any, owner: str | None = None) -> dict[str, Any]:
        """Responder of AttachSessions."""
        return self._owner(owner).attach(connection, sessions)

    def detach(self, connection: Connection, sessions: Any, owner: str | None = None) -> None:
        """Responder of DetachSessions."""
        self._owner(owner).detach(connection, sessions)

    def _owner(self, name: str | None) -> Attachments:
        found = self.by_name.get(name or OWNERS[0])
        if found is None:
            raise Invalid(f"owner: must be one of {', '.join(OWNERS)}")
        return found

    def stop(self) -> None:
        """No calls and no timers any more."""
        for attachments in self.by_name.values():
            attachments.stop()


class Attachments:
    """The sessions of one owner: responders of AttachSessions and DetachSessions, caller of SessionsChanged.

    There is one daemon of its name: the connection that attached last is the one that is told.
    """

    def __init__(self, links: Links, clock: IReactorTime, log: Log, grace: float = GRACE,
                 owner: str = OWNERS[0]) -> None:
        self.owner = owner
        self._prefix = "" if owner == OWNERS[0] else f"{owner}/"
        """Of its ids among all links."""
        self.links = links
        self.grace = grace
        self._clock = clock
        self._log = log
        self._connection: Connection | None = None
        self._rows: dict[str, dict[str, Any]] = {}
        """What to tell; the last row of a session counts."""
        self._opened: dict[str, dict[str, Any]] = {}
        """What to tell before that: LCP came up."""
        self._flush: Any = None
        self._waiting: Any = None

    # what prol2tpd asks

    def attach(self, connection: Connection, sessions: Any) -> dict[str, Any]:
        """Responder of AttachSessions."""
        rows = rows_of(sessions)
        if connection is not self._connection:
            self._connection = connection
            connection.on_lost.append(self._lost)
            self._settling()
        return {"results": [self._asked(row) for row in rows]}

    def _settling(self) -> None:
        if self._waiting is not None:
            self._waiting.reset(SETTLED)

    def _asked(self, row: dict[str, Any]) -> str | None:
        """A session that keeps the link that it has is no request for one."""
        counts = self.links.counts
        created = counts.created
        refusal = self._attach(row)
        counts.create_requests += refusal is not None or counts.created > created
        counts.create_failures += refusal is not None
        return refusal

    def _attach(self, row: dict[str, Any]) -> str | None:
        try:
            carrier, proxy, options = carrier_of(row, self._prefix), proxy_of(row), options_of(row)
        except ValueError as error:
            return str(error)
        link = self.links.by_id.get(carrier.id)
        if link is not None:
            if link.port == carrier.port:
                if not link.confirmed:
                    link.confirmed = True
                    self._settling()
                if link.up:
                    # the one who asks again has forgotten
                    self.link_up(link)
                return None
            link.lost("Lost Carrier", "the session has a new port")
            self._rows.pop(self._id(link), None)
            self._opened.pop(self._id(link), None)
        try:
            self.links.attach(carrier, str(row.get("user_password") or ""), self, check(options),
                              proxy=proxy)
        except (RefusedLink, Invalid) as error:
            self._log.notice("session {id} is refused: {reason}", id=carrier.id, reason=error)
            return str(error)
        except Exception as error:
            # it must not cost the others of its batch
            _log.failure("session {id} is refused", id=carrier.id)
            return f"internal error: {error!r}"
        return None

    def _id(self, link: PPPLink) -> str:
        """As its owner knows it."""
        return link.carrier.id[len(self._prefix):]

    def create(self, request: L2TPRequest) -> Deferred[str]:
        """Put PPP on an L2TP session that has none. -> the link's name; fails with `Refused`, `NotFound`."""
        if self._connection is None:
            raise Refused("prol2tpd is not connected")
        if request.profile not in self.links.profiles:
            raise Refused(f"there is no PPP profile {request.profile[:40]!r} in propppd.conf")
        connection = self._connection
        claim = connection.call("ClaimSession", tunnel_id=request.tunnel_id, session_id=request.session_id,
                                ppp_profile=request.profile, options=request.options)
        return claim.addCallback(self._claimed)

    def _claimed(self, answer: dict[str, Any]) -> str:
        row = answer["row"]
        if not isinstance(row, dict):
            raise Refused("prol2tpd gave no session")
        refusal = self._attach(row)
        link = self.links.by_id.get(str(row.get("id")))
        if refusal is not None or link is None:
            self._tell(str(row.get("id")), "released", "", "", "", refusal or "")
            raise Refused(refusal or "the link has ended already")
        return link.name

    def detach(self, connection: Connection, sessions: Any) -> None:
        """Responder of DetachSessions."""
        for row in rows_of(sessions):
            link = self.links.by_id.get(self._prefix + str(row.get("id")))
            if link is not None and link.listener is self:
                cause, message = str(row.get("cause") or "Lost Carrier"), str(row.get("message") or "")
                link.say(Level.INFO, "the session is gone: {cause}", cause=cause)
                link.lost(cause, message)
                self._rows.pop(self._id(link), None)
                self._opened.pop(self._id(link), None)

    # what links report

    def lcp_up(self, link: PPPLink) -> None:
        # who has negotiated himself knows
        accms = link.carrier.maps_to_tell(link.core.lcp) if not link.core.proxied[0] else None
        if accms is not None:
            self._put(self._opened, self._id(link), "lcp", accms=accms)

    def link_up(self, link: PPPLink) -> None:
        self._tell(self._id(link), "up", link.shown_user, link.interface_name, "", "")

    def link_closed(self, link: PPPLink, user: str) -> None:
        self._tell(self._id(link), "closed", user, link.interface_name, link.cause, link.message)

    def link_gone(self, link: PPPLink) -> None:
        """The session is its owner's: nothing is left to do."""

    def _tell(self, id: str, state: str, user: str, interface: str, cause: str, message: str) -> None:
        self._put(self._rows, id, state, user, interface, cause, message)

    def _put(self, rows: dict[str, dict[str, Any]], id: str, state: str, user: str = "", interface: str = "",
             cause: str = "", message: str = "", accms: tuple[int, int] = NO_MAPS) -> None:
        if self._connection is None:
            return
        rows[id] = {"id": id, "state": state, "user": user[:TEXT], "interface": interface, "cause": cause,
                    "message": message[:TEXT], "send_accm": accms[0], "receive_accm": accms[1]}
        if self._flush is None:
            self._flush = self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """Tell what has not been told yet."""
        if self._flush is not None:
            if self._flush.active():
                self._flush.cancel()
            self._flush = None
        rows = [*self._opened.values(), *self._rows.values()]
        self._opened, self._rows = {}, {}
        if self._connection is not None:
            for batch in batches(rows):
                self._connection.call("SessionsChanged", sessions=batch).addErrback(self._untold)

    def _untold(self, failure: Any) -> None:
        self._log.info("{owner}: {reason}", owner=self.owner, reason=failure.getErrorMessage())

    # the connection

    def _lost(self, connection: Any) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._rows.clear()
        self._opened.clear()
        attached = [link for link in self.links.by_number.values() if link.listener is self]
        if not attached:
            return
        for link in attached:
            link.confirmed = False
        self._log.warning("{owner} is gone: {count} links wait {grace:.0f} s for it", owner=self.owner,
                          count=len(attached), grace=self.grace)
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self._clock.callLater(self.grace, self._over)

    def _over(self) -> None:
        self._waiting = None
        forgotten = [link for link in self.links.by_number.values() if not link.confirmed and link.listener is self]
        if forgotten:
            self._log.warning("{count} links end: their sessions were not attached again", count=len(forgotten))
            if self._connection is not None:
                why = f"{self.owner} has come again without the session"
                self.links.for_all(forgotten, lambda link: link.lost("Lost Carrier", why))
            else:
                why = f"{self.owner} is not running"
                self.links.for_all(forgotten, lambda link: link.close("Lost Carrier", why))

    def stop(self) -> None:
        """No calls and no timers any more."""
        self.flush()
        self._connection = None
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = None
