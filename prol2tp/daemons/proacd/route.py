"""One route: its states, what it has, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from prol2tp.daemons.proacd.choice import Choice
from prol2tp.daemons.proacd.choice import Destination as Place

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.destinations import Destination
    from prol2tp.daemons.proacd.routes import Routes
    from prol2tp.daemons.proacd.sources import Source

_log = Logger(namespace="proacd")


class State(Enum):
    """Of a route."""

    CHOOSING = "choosing"
    """Where it leads is not known yet."""
    OPENING = "opening"
    """Its destination is being opened, then joined to the source."""
    JOINED = "joined"
    CLOSING = "closing"
    """Both ends are told; the last counters are on their way."""
    CLOSED = "closed"


class Event(Enum):
    """What moves a route on."""

    CHOSEN = "chosen"
    FAILED = "failed"
    """A destination did not open, and there is another one."""
    JOIN = "join"
    CLOSE = "close"
    """By either end, an operator, or because nothing is left to try."""
    END = "end"
    """The last counters are there."""


TABLE = {
    (State.CHOOSING, Event.CHOSEN): State.OPENING,
    (State.CHOOSING, Event.CLOSE): State.CLOSING,
    (State.OPENING, Event.FAILED): State.OPENING,
    (State.OPENING, Event.JOIN): State.JOINED,
    (State.OPENING, Event.CLOSE): State.CLOSING,
    (State.JOINED, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.END): State.CLOSED,
}
"""All else comes too late, and changes nothing."""


class By(Enum):
    """Who ends a route."""

    SOURCE = "source"
    DESTINATION = "destination"
    NEITHER = "neither"
    """We: an operator, a limit, a fault."""


@dataclass(slots=True)
class Counters:
    """Of all routes since the start, in the order of `proac_info -s`."""

    routes_created: int = 0
    route_create_failures: int = 0
    license_denials: int = 0
    """Always 0: there is no license."""
    routes_deleted: int = 0
    route_delete_failures: int = 0
    """Routes whose ports the data path did not take away."""
    destination_open_failures: int = 0
    """Each destination that was tried counts."""
    destination_close_failures: int = 0
    """Ends that could not be told to the daemon that has the destination."""
    source_close_failures: int = 0
    closed_by_destination: int = 0
    closed_by_source: int = 0
    tunnels_opened: int = 0
    sessions_opened: int = 0
    sessions_closed: int = 0
    l2tp_dns_failures: int = 0
    ppp_started: int = 0
    ppp_terminated: int = 0
    ppp_causes: dict[str, int] = field(default_factory=dict)
    """Ends of local PPP by Acct-Terminate-Cause."""


class Route:
    """One row of the table."""

    __slots__ = ("number", "name", "config", "source", "destination", "state", "place", "balanced", "user", "proxy",
                 "choice", "cause", "message", "closed_by", "left", "created_at", "opened_at", "closed_at",
                 "counters", "open_until", "accounting", "waiting", "candidates", "routes")

    def __init__(self, routes: Routes, number: int, config: Any, source: Source, now: float) -> None:
        self.number = number
        """Unique while it lives, 1 to 65535: what `proac_info` prints."""
        self.name: str = config.name
        """Of the `route` block."""
        self.config = config
        self.source = source
        self.destination: Destination | None = None
        """The one that is tried, or joined."""
        self.place: Place | None = None
        """Where that is, of a destination 'l2tp'."""
        self.balanced = False
        """The balance counts a session there."""
        self.state = State.CHOOSING
        self.user = ""
        self.proxy: dict[str, Any] | None = None
        self.choice: Choice | None = None
        self.cause = ""
        """Why it ended, in the words of Acct-Terminate-Cause."""
        self.message = ""
        self.closed_by: By | None = None
        self.left = State.CHOOSING
        """The state in which the end came."""
        self.created_at = now
        self.open_until = 0.0
        """By then a destination must have opened."""
        self.opened_at: float | None = None
        """When it was joined, on the reactor's clock."""
        self.closed_at: float | None = None
        self.counters: tuple | None = None
        """Of the source's port once it has ended (`dataplane.interface.COUNTERS`); None: the data path did not say."""
        self.accounting: Any = None
        """That follower's."""
        self.waiting: Deferred[Any] | None = None
        """The choice that is under way."""
        self.candidates: list[Place] = []
        self.routes = routes

    @property
    def label(self) -> str:
        """For the log."""
        return f"route '{self.name}' {self.number}"

    @property
    def by(self) -> str:
        """Who has ended it, in the words of events and of history."""
        return (self.closed_by or By.NEITHER).value

    def fire(self, event: Event) -> bool:
        """The next state by `TABLE`; False: it is too late for that."""
        state = TABLE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def close(self, cause: str = "Admin Reset", message: str = "") -> None:
        """End it, on both sides."""
        self.routes.close(self, By.NEITHER, cause, message)

    def expired(self, now: float) -> None:
        """Of `ReactorDeadlines`."""
        if self.state is State.OPENING:
            self.routes.no_answer(self)
        else:
            self.close("Session Timeout", "the session's time is over")


class Follower:
    """Hears of routes what it overrides."""

    def route_created(self, route: Route) -> None:
        """A source has come; where it goes is not known yet."""

    def route_opened(self, route: Route) -> None:
        """Source and destination are joined."""

    def destination_failed(self, route: Route, cause: str, dead: bool) -> None:
        """`route.destination` did not open, and another one is tried if there is one. `dead`: nor did its tunnel."""

    def route_closed(self, route: Route) -> None:
        """It has ended, opened or not; `cause`, `message` and the last `counters` are set."""


class Followers(list[Follower]):
    """Told one after the other; what one of them does wrong costs the others nothing."""

    def tell(self, what: str, route: Route, *arguments: object) -> None:
        for follower in self:
            try:
                getattr(follower, what)(route, *arguments)
            except Exception:
                _log.failure("{what} of {route}", what=what, route=route.label)
