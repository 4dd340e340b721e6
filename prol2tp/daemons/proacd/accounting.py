"""Accounting of routes that RADIUS has led to an LNS: Start when source and destination are joined, Interim-Updates,
Stop with the final counters; and of tunnels and their links (RFC 2867).

Every record goes to `append`, the durable queue; sending is not its business. Local PPP is propppd's to account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count as counting
from random import uniform
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from prol2tp.aaa.records import (
    INTERIM,
    KINDS,
    LEAST_INTERVAL,
    START,
    STOP,
    Append,
    Clocks,
    Moment,
    Stored,
    count,
    pack,
    passed,
)
from prol2tp.common.deadlines import Deadlines
from prol2tp.config.routes import RadiusProfile
from prol2tp.daemons.proacd.ports import port_of, tunnel_of
from prol2tp.daemons.proacd.route import Route
from prol2tp.net.deadlines import LazyTimer
from prol2tp.ppp.causes import acct_terminate_cause
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Nas, Port, TunnelFacts

_log = Logger(namespace="accounting")

SESSIONS, LINKS, TUNNELS = "sessions", "links", "tunnels"
"""What records can be made of (`accounting` of a profile)."""
TUNNEL_START, TUNNEL_STOP, TUNNEL_REJECT = "Tunnel-Start", "Tunnel-Stop", "Tunnel-Reject"
LINK_START, LINK_STOP, LINK_REJECT = "Tunnel-Link-Start", "Tunnel-Link-Stop", "Tunnel-Link-Reject"
_KINDS = {**KINDS, **dict.fromkeys((TUNNEL_START, LINK_START), KINDS[START]),
          **dict.fromkeys((TUNNEL_STOP, LINK_STOP, TUNNEL_REJECT, LINK_REJECT), KINDS[STOP])}
"""How the queue takes them: what begins and ends belongs together."""
JITTER = 0.1
"""Part of the interval by which an Interim-Update may come early, so that routes that came up together spread."""
GATHER = 0.05
"""Seconds for which updates that are due wait for others."""
CHANGE_DELAY = 3.0
"""Seconds after a change until it is told, so that what changes together is told together."""
UPDATED_AT_ONCE = 100
_serials = counting(1)
"""Of all profiles together: two of them that tell one server never have the same id, whatever their runs are called."""


class Session:
    """A user's session on a route. It has its id from the first question to RADIUS on."""

    __slots__ = ("route", "accounting", "id", "tunnel", "port", "facts", "counters", "began", "told", "updates")

    def __init__(self, route: Route, accounting: Accounting, identifier: str) -> None:
        self.route = route
        self.accounting = accounting
        self.id = identifier
        """Acct-Session-Id."""
        self.tunnel: Tunnel | None = None
        """The one that it is in, where tunnels are accounted."""
        self.port: Port | None = None
        """As it was when it began; what it came to be known by stays the same in all records."""
        self.facts: TunnelFacts | None = None
        self.counters: tuple[int, ...] = ()
        """As known last."""
        self.began: Moment | None = None
        self.told: frozenset[str] = frozenset()
        """What its Start was told as: sessions, links."""
        self.updates = 0


class Tunnel:
    """A tunnel as long as sessions of one profile are in it."""

    __slots__ = ("number", "id", "facts", "began", "opened_at", "sessions", "links", "counters")

    def __init__(self, number: int, identifier: str, facts: TunnelFacts, began: Moment, now: float) -> None:
        self.number = number
        self.id = identifier
        self.facts = facts
        self.began = began
        self.opened_at = now
        self.sessions = 0
        """That are in it now."""
        self.links = 0
        """That have ever been in it."""
        self.counters = [0, 0, 0, 0]
        """Of those that have ended."""


class Accounting:
    """Of all routes of one RADIUS profile.

    :param run: what Acct-Session-Ids begin with.
    :param nas: who we are.
    :param pack: of a record, for the queue.
    """

    def __init__(self, clock: IReactorTime, clocks: Clocks, run: str, nas: Callable[[], Nas],
                 pack: Callable[[Stored], bytes] = pack) -> None:
        self.append: Append | None = None
        """None: nothing is accounted."""
        self.told: frozenset[str] = frozenset()
        """What records of new sessions are made of."""
        self.interval = 0.0
        """Seconds between Interim-Updates where no server says otherwise; 0: none."""
        self.open: dict[Session, None] = {}
        """Sessions that have begun and not ended."""
        self._clock = clock
        self._clocks = clocks
        self._run = run
        self._nas = nas
        self._pack = pack
        self._tunnels: dict[int, Tunnel] = {}
        self._due = Deadlines()
        self._timer = LazyTimer(clock, self._expired)
        self._updating: deque[Session] = deque()
        self._busy = False

    @property
    def idle(self) -> bool:
        """No record is still to come of a session that is over."""
        return not self.open

    def configure(self, radius: Any) -> None:
        """Take over a `RadiusProfile`; sessions that are open have the new interval at once."""
        profile: RadiusProfile = radius
        self.told = frozenset(profile.accounting) if profile.accounts else frozenset()
        if self.interval != profile.interim_interval:
            self.interval = profile.interim_interval
            for session in self.open:
                self._plan(session)

    def stop(self) -> None:
        """No timers any more."""
        self._timer.stop()
        self._updating.clear()

    def session_of(self, route: Route) -> Session:
        """The session on a route, begun with the first question about it."""
        session: Session | None = route.accounting
        if session is None:
            session = route.accounting = Session(route, self, self._identifier())
        return session

    def _identifier(self) -> str:
        return f"{self._run}{next(_serials):08x}"

    # what becomes of routes

    def opened(self, route: Route) -> None:
        """It is joined to an LNS."""
        if self.append is None or not self.told:
            return
        session = self.session_of(route)
        if session.began is not None:
            return
        session.began = self._clocks.now()
        session.told = self.told
        session.port, session.facts = port_of(route), tunnel_of(route)
        self.open[session] = None
        if TUNNELS in session.told and session.facts is not None:
            self._enter_tunnel(session)
        if SESSIONS in session.told:
            self._tell(session, START, session.began)
        if LINKS in session.told:
            self._tell(session, LINK_START, session.began)
        self._plan(session)

    def closed(self, route: Route) -> None:
        """It has ended; the last counters are there."""
        session: Session | None = route.accounting
        if session is None or session not in self.open:
            return
        del self.open[session]
        self._due.set(session, None)
        if route.counters is not None:
            session.counters = passed(route.counters)
        now, seconds = self._clocks.now(), self._seconds(session)
        if SESSIONS in session.told:
            self._tell(session, STOP, now, seconds, route.cause)
        if LINKS in session.told:
            self._tell(session, LINK_STOP, now, seconds, route.cause)
        self._leave_tunnel(session, now, route.cause)

    def failed(self, route: Route, cause: str, dead: bool) -> None:
        """An LNS has not taken the call. `dead`: there is no tunnel to it."""
        what, status = (TUNNELS, TUNNEL_REJECT) if dead else (LINKS, LINK_REJECT)
        if self.append is None or what not in self.told:
            return
        session = self.session_of(route)
        now = self._clocks.now()
        request = self._request(session, status, session.id, now, cause=cause or "NAS Error")
        request.port.tunnel = tunnel_of(route)
        self._put(f"{session.id}/{self._identifier()}", request, now)

    def changed(self, route: Route) -> None:
        """What its records say is another thing from now on."""
        session: Session | None = route.accounting
        if session in self.open and SESSIONS in session.told:  # type: ignore[union-attr]
            self._due.set(session, self._clock.seconds() + CHANGE_DELAY)  # type: ignore[arg-type]
            self._timer.want(self._due.next())

    # tunnels

    def _enter_tunnel(self, session: Session) -> None:
        assert session.began is not None and session.facts is not None
        number = session.route.destination.tunnel_id  # type: ignore[union-attr]
        tunnel = self._tunnels.get(number)
        if tunnel is None:
            tunnel = Tunnel(number, self._identifier(), session.facts, session.began, self._clock.seconds())
            self._tunnels[number] = tunnel
            self._tell_tunnel(tunnel, TUNNEL_START, session.began)
        tunnel.sessions += 1
        tunnel.links += 1
        session.tunnel = tunnel

    def _leave_tunnel(self, session: Session, now: Moment, cause: str) -> None:
        tunnel, session.tunnel = session.tunnel, None
        if tunnel is None:
            return
        tunnel.sessions -= 1
        tunnel.counters = [total + one for total, one in
                           zip(tunnel.counters, session.counters or (0, 0, 0, 0), strict=True)]
        if not tunnel.sessions:
            del self._tunnels[tunnel.number]
            self._tell_tunnel(tunnel, TUNNEL_STOP, now, cause)

    def _tell_tunnel(self, tunnel: Tunnel, status: str, event: Moment, cause: str = "") -> None:
        port = Port(nas_port_type=None, service_type=None, framed_protocol=None, tunnel=tunnel.facts)
        request = AccountingRequest(status, tunnel.id, int(event.wall), nas=self._nas(), port=port,
                                    link_count=tunnel.links or None)
        if cause:
            request.session_time = int(self._clock.seconds() - tunnel.opened_at)
            count(request, tunnel.counters, ())
            request.terminate_cause = acct_terminate_cause(cause)
        self._put(tunnel.id, request, event)

    # updates

    def _plan(self, session: Session) -> None:
        """Set the time of the next Interim-Update."""
        interval = self.interval_of(session) if SESSIONS in session.told else 0.0
        now = self._clock.seconds()
        self._due.set(session, now + interval * uniform(1 - JITTER, 1) if interval else None)
        self._timer.want(self._due.next())

    def interval_of(self, session: Session) -> float:
        """Seconds; 0: no updates. What a server says counts more than the profile."""
        choice = session.route.choice
        given = choice.answer.acct_interim_interval if choice is not None and choice.answer is not None else None
        if given is None:
            return self.interval
        return max(float(given), LEAST_INTERVAL) if given else 0.0

    def _expired(self, now: float) -> None:
        due: list[Any] = self._due.expired(now + GATHER)
        self._updating.extend(due)
        self._timer.want(self._due.next())
        if not self._busy:
            self._update_some()

    def _update_some(self) -> None:
        """Those that are due, some in each turn of the reactor, so that everybody else goes on meanwhile."""
        some: list[Session] = []
        while self._updating and len(some) < UPDATED_AT_ONCE:
            session = self._updating.popleft()
            if session in self.open:
                some.append(session)
        self._busy = bool(some)
        if not some:
            return
        source = some[0].route.source
        counted: Deferred[Any] = source.plane.counters([session.route.source.port for session in some])
        counted.addErrback(lambda _: {}).addCallback(self._update, some)
        counted.addBoth(lambda _: self._clock.callLater(0, self._update_some))

    def _update(self, counters: dict[int, tuple[Any, ...]], sessions: list[Session]) -> None:
        now = self._clocks.now()
        for session in sessions:
            if session not in self.open:
                continue
            found = counters.get(session.route.source.port)
            if found is not None:
                session.counters = passed(found)
            session.updates += 1
            try:
                self._tell(session, INTERIM, now, self._seconds(session))
            except Exception:  # a fault of ours costs this record
                _log.failure("accounting of {route}", route=session.route.label)
            self._plan(session)

    def _seconds(self, session: Session) -> float:
        """How long frames could pass."""
        route = session.route
        if route.opened_at is None:
            return 0.0
        return (self._clock.seconds() if route.closed_at is None else route.closed_at) - route.opened_at

    # records

    def _request(self, session: Session, status: str, identifier: str, event: Moment, seconds: float | None = None,
                 cause: str = "") -> AccountingRequest:
        route = session.route
        choice = route.choice
        answer = choice.answer if choice is not None else None
        port = session.port or port_of(route)
        port.tunnel = session.facts
        request = AccountingRequest(
            status, identifier, int(event.wall), user=route.user, nas=self._nas(), port=port,
            classes=choice.class_ if choice is not None else (),
            chargeable_user_identity=answer.chargeable_user_identity if answer is not None else b"",
            multi_session_id=session.tunnel.id if session.tunnel is not None else "",
        )
        if seconds is not None:
            request.session_time = int(seconds)
            if session.counters:
                count(request, session.counters, ())
        if cause:
            request.terminate_cause = acct_terminate_cause(cause)
        return request

    def _tell(self, session: Session, status: str, event: Moment, seconds: float | None = None,
              cause: str = "") -> None:
        key = f"{session.id}/link" if status in (LINK_START, LINK_STOP) else session.id
        self._put(key, self._request(session, status, session.id, event, seconds, cause), event, session.route)

    def _put(self, key: str, request: AccountingRequest, event: Moment, route: Route | None = None) -> None:
        append = self.append
        if append is None:
            return
        port, path = 0, ""
        if route is not None:
            port, path = route.source.port, route.source.plane.instance
        payload = self._pack(Stored(request, event.monotonic, self._clocks.boot, port, (), path))
        append(key, _KINDS[request.status], payload, event.wall).addErrback(_unsaved)


def _unsaved(failure: Any) -> None:
    """The queue says itself what it loses."""
