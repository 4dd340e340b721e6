"""Accounting follows links: a Start when a user is online, Interim-Updates meanwhile, a Stop with the final counters.

Every record goes to `append`, the durable queue; sending is not its business. All links share one timer, and
what is due together is counted in one exchange with the data path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import uniform
from typing import Any

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
    pack,
    passed,
)
from prol2tp.common.deadlines import Deadlines
from prol2tp.config.radius import Radius
from prol2tp.daemons.propppd.accounting_records import Session, addresses_of, differ, request_of
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import COUNTED_AT_ONCE, Links
from prol2tp.net.deadlines import LazyTimer
from prol2tp.ppp.outputs import NetworkUp
from prol2tp.radius.attributes import Nas

_log = Logger(namespace="accounting")

JITTER = 0.1
"""Part of the interval by which an Interim-Update may come early, so that links that came up together spread."""
CHANGE_DELAY = 3.0
"""Seconds after a change until it is told, so that what changes together is told together."""
START_DELAY = 1.0
"""Seconds that a Start waits for the IPv4 address when IPv6 was faster."""
GATHER = 0.05
"""Seconds for which updates that are due wait for others."""
UPDATED_AT_ONCE = 100


class Accounting(Follower):
    """The sessions of all links.

    :param session_id: of `RadiusUsers`.
    :param nas: who we are.
    :param pack: of a record, for the queue.
    """

    def __init__(self, links: Links, clocks: Clocks, session_id: Callable[[PPPLink, bool], str],
                 nas: Callable[[], Nas], pack: Callable[[Stored], bytes] = pack) -> None:
        self.append: Append | None = None
        """None: nothing is accounted."""
        self.enabled = True
        """There is a server for accounting; without one no new session is accounted."""
        self.interval = 0.0
        """Seconds between Interim-Updates where nobody says otherwise; 0: none."""
        self._links = links
        self._clocks = clocks
        self._session_id = session_id
        self._nas = nas
        self._pack = pack
        self._due = Deadlines()
        self._timer = LazyTimer(links.clock, self._expired)
        self._updating: deque[Session] = deque()
        self._busy = False
        """Some of these are being updated."""
        self._asking: list[tuple[Session, Callable[[Session], None]]] = []
        self._counting = 0

    def configure(self, radius: Radius) -> None:
        """Take over which sessions are accounted, and how often; those that are open have the new interval at once."""
        self.enabled = radius.accounts
        if self.interval != radius.interim_interval:
            self.interval = radius.interim_interval
            self._links.for_all(self._links.by_number.values(), self.replan)

    @property
    def idle(self) -> bool:
        """No record is still to come of a session that is over."""
        return not self._asking and not self._counting

    def addresses_changed(self, link: Any) -> None:
        """The subscriber has got or lost an address or a prefix."""
        session = link.accounting
        if session is None or not session.open or not link.up:
            return
        before, session.addresses = session.addresses, addresses_of(link)
        if differ(before, session.addresses):
            self._soon(session)

    def stop(self) -> None:
        """No timers any more."""
        self._timer.stop()
        self._updating.clear()

    # what becomes of links

    def link_created(self, link: PPPLink) -> None:
        if not link.profile.auth and self._accounted(link):
            self._login(link)

    def link_admitted(self, link: PPPLink) -> None:
        self._login(link)

    def protocol_up(self, link: PPPLink, network: NetworkUp) -> None:
        session = link.accounting
        if session is None:
            return
        if session.began and not session.told and network.protocol == "ip":
            self._start(session)
        else:
            self.addresses_changed(link)

    def link_up(self, link: PPPLink) -> None:
        session = link.accounting
        if session is None or not session.accounted:
            return
        session.down = None
        if session.began is None:
            session.began = self._clocks.now()
            session.up_before = link.seconds_up
            session.addresses = addresses_of(link)
            if session.addresses.ip_address or link.core.ipcp is None:
                self._start(session)
            else:
                self._set(session, self._links.clock.seconds() + START_DELAY)

    def link_changed(self, link: PPPLink, before: Authorization) -> None:
        session = link.accounting
        if session is not None:
            session.authorization = link.authorization
            if session.open:
                self._soon(session)

    def link_down(self, link: PPPLink) -> None:
        session = link.accounting
        if session is not None:
            session.down = self._clocks.now()

    def link_ended(self, link: PPPLink) -> None:
        session = link.accounting
        if session is not None and session.began:
            self._close(session)
            self._counting += 1

    def link_counted(self, link: PPPLink) -> None:
        session = link.accounting
        if session is not None and session.began:
            self._counting -= 1
            if link.totals:
                session.counters = passed(link.totals)
            self._stop(session, link.cause)

    def _accounted(self, link: PPPLink) -> bool:
        if self.append is None or not self.enabled:
            return False
        return link.authorization.source == "RADIUS" or link.profile.accounting

    def _login(self, link: PPPLink) -> None:
        """A user was let in; whoever was on the link before is no longer."""
        old: Session | None = link.accounting
        identifier = self._session_id(link, True)
        accounted = self._accounted(link)
        number = 0
        if old is not None:
            number = old.following
            if old.began:
                self._close(old)
                self._ask(old, lambda session: self._stop(session, "User Request"))
        link.accounting = Session(link, number, identifier, accounted) if accounted or number else None
        if accounted:
            # asked before the network is set up: not one of the user's packets is in it
            self._ask(link.accounting, _take_baseline)

    def _start(self, session: Session) -> None:
        session.told = True
        if session.link.up:
            session.addresses = addresses_of(session.link)
        assert session.began is not None
        self._tell(session, START, session.began)
        self._plan(session)

    def _close(self, session: Session) -> None:
        """It is over, and only its final counters are missing."""
        if not session.told:
            self._start(session)
        self._due.set(session, None)
        session.seconds = session.seconds_at(self._links.clock.seconds())
        session.down = session.down or self._clocks.now()

    def _stop(self, session: Session, cause: str) -> None:
        assert session.down is not None
        self._tell(session, STOP, session.down, session.seconds, cause)

    # updates

    def _plan(self, session: Session) -> None:
        """Set the time of the next Interim-Update."""
        interval = self.interval_of(session)
        now = self._links.clock.seconds()
        self._set(session, now + interval * uniform(1 - JITTER, 1) if interval else None)

    def replan(self, link: PPPLink) -> None:
        """The interval may be another one."""
        session = link.accounting
        if session is not None and session.open and not session.soon:
            self._plan(session)

    def interval_of(self, session: Session) -> float:
        """Seconds; 0: no updates. What the profile says counts more than the server (RFC 2869 section 2.1), and the
        server more than the block `radius`."""
        own, given = session.link.profile.interim_interval, session.authorization.interim_interval
        if own is not None:
            return own
        if given is not None:
            of_a_server = session.authorization.source == "RADIUS"
            return max(given, LEAST_INTERVAL) if given and of_a_server else given
        return self.interval

    def _soon(self, session: Session) -> None:
        if not session.soon:
            session.soon = True
            self._set(session, self._links.clock.seconds() + CHANGE_DELAY)

    def _set(self, session: Session, when: float | None) -> None:
        self._due.set(session, when)
        self._timer.want(self._due.next())

    def _expired(self, now: float) -> None:
        due: list[Any] = self._due.expired(now + GATHER)
        for session in due:
            if session.told:
                self._updating.append(session)
            else:
                self._start(session)
        self._timer.want(self._due.next())
        if not self._busy:
            self._update_some()

    def _update_some(self) -> None:
        """Those that are due, some in each turn of the reactor, so that everybody else goes on meanwhile."""
        some = [self._updating.popleft() for _ in range(min(UPDATED_AT_ONCE, len(self._updating)))]
        self._busy = bool(some)
        if some:
            counted = self._links.dataplane.counters([session.link.port for session in some])
            counted.addErrback(lambda _: {}).addCallback(self._counted, [(one, self._update) for one in some])
            counted.addBoth(lambda _: self._links.clock.callLater(0, self._update_some))

    def _update(self, session: Session) -> None:
        if not session.open:
            return
        session.soon = False
        if session.link.up:
            session.addresses = addresses_of(session.link)
        session.updates += 1
        self._tell(session, INTERIM, self._clocks.now(), session.seconds_at(self._links.clock.seconds()))
        self._plan(session)

    # counters

    def _ask(self, session: Session, then: Callable[[Session], None]) -> None:
        """Read the port's counters into the session, in one exchange for all that is asked in this turn."""
        self._asking.append((session, then))
        if len(self._asking) == 1:
            self._links.clock.callLater(0, self._count)

    def _count(self) -> None:
        asking, self._asking = self._asking, []
        for start in range(0, len(asking), COUNTED_AT_ONCE):
            some = asking[start:start + COUNTED_AT_ONCE]
            self._counting += 1
            counted = self._links.dataplane.counters([session.link.port for session, _ in some])
            counted.addErrback(lambda _: {}).addCallback(self._counted, some).addCallback(self._asked)

    def _counted(self, counters: dict[int, tuple[Any, ...]],
                 asking: list[tuple[Session, Callable[[Session], None]]]) -> None:
        for session, then in asking:
            found = counters.get(session.link.port)
            if found is not None:
                session.counters = passed(found)
            try:
                then(session)
            except Exception:
                _log.failure("accounting of {link}", link=session.link.name)

    def _asked(self, _: None) -> None:
        self._counting -= 1

    # records

    def _tell(self, session: Session, status: str, event: Moment, seconds: float | None = None,
              cause: str = "") -> None:
        append = self.append
        if append is None:
            return
        request = request_of(session, status, event.wall, self._nas(), seconds, cause)
        payload = self._pack(Stored(request, event.monotonic, self._clocks.boot, session.link.port, session.baseline,
                              self._links.dataplane.instance))
        append(session.id, KINDS[status], payload, event.wall).addErrback(_unsaved)


def _take_baseline(session: Session) -> None:
    session.baseline = session.counters


def _unsaved(failure: Any) -> None:
    """The queue says itself what it loses."""
