"""The table of routes: each joins a source to a destination, from the first packet to the last counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.common.ids import IdPool
from prol2tp.control.paging import Roll
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd.balance import Balance
from prol2tp.daemons.proacd.choice import REFUSED, Choice, IChoice
from prol2tp.daemons.proacd.choice import Destination as Place
from prol2tp.daemons.proacd.route import By, Counters, Event, Followers, Route, State
from prol2tp.net.deadlines import ReactorDeadlines
from prol2tp.ppp.causes import CAUSES

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.destinations import Destination
    from prol2tp.daemons.proacd.sources import Source

_log = Logger(namespace="proacd")


MARGIN = 1.0
"""Seconds that destinations have less than the host's PADR waits for its answer."""
SHORTEST = 3.0
"""Seconds that every destination gets."""
TURN = 500
"""Routes that are ended in one turn of the reactor."""


class NoRoute(Exception):
    """A source gets no route; the text says why."""


Open = Callable[[Route, Choice, "Place | None"], "Destination"]
"""Makes the destination of a route and begins to open it; the place is None for local PPP."""


class Routes:
    """All routes. Sources and destinations report to the methods below; nothing else changes a route's state.

    :param choice: where routes lead.
    :param open_destination: see `Open`.
    :param join: joins the ends of a route in the data path; part: takes them apart again -> Deferred(counters).
    :param timeout: seconds for a destination to open, shared by those that are tried.
    """

    def __init__(self, clock: IReactorTime, log: Log, random_bytes: Callable[[int], bytes], choice: IChoice,
                 balance: Balance, open_destination: Open, join: Callable[[Route], Deferred[None]],
                 part: Callable[[Route], Deferred[Any]], timeout: float = 30.0) -> None:
        self.choice = choice
        self.timeout = timeout
        self.balance = balance
        self.counters = Counters()
        self.followers = Followers()
        self.by_number: dict[int, Route] = {}
        self.by_name: dict[str, dict[int, Route]] = {}
        self.rolls: dict[str, Roll] = {}
        """As `roll`, of each name."""
        self.roll = Roll()
        """Numbers in the order of creation, for pages."""
        self.refusing = ""
        """Why there are no new routes now."""
        self._empty: list[Deferred[None]] = []
        """Fire when the last route has gone (`end_all`)."""
        self._clock = clock
        self._log = log
        self._ids = IdPool(16, random_bytes)
        self._open = open_destination
        self._join = join
        self._part = part
        self._limits = ReactorDeadlines(clock)

    def __len__(self) -> int:
        return len(self.by_number)

    def of_name(self, name: str) -> list[Route]:
        """All of a `route` block."""
        return list(self.by_name.get(name, {}).values())

    # begin

    def create(self, config: Any, source: Source) -> Route:
        """A route for a source, which is told about it from now on. Raises `NoRoute`.

        :param config: the `route` block; `config.name` is used here, the rest by `choice`.
        """
        try:
            if self.refusing:
                raise NoRoute(self.refusing)
            number = self._ids.take()
        except (NoRoute, LookupError) as error:
            self.counters.route_create_failures += 1
            raise NoRoute(str(error)) from None
        route = Route(self, number, config, source, self._clock.seconds())
        source.route = route
        self.by_number[number] = route
        self.by_name.setdefault(route.name, {})[number] = route
        self.rolls.setdefault(route.name, Roll()).add(number)
        self.roll.add(number)
        self.counters.routes_created += 1
        self._say(route, Level.INFO, "created for {source}", source=source.label)
        self.followers.tell("route_created", route)
        self._choose(route)
        return route

    def _choose(self, route: Route) -> None:
        try:
            route.waiting = self.choice.choose(route)
        except Exception:
            self._not_chosen(Failure(), route)
            return
        route.waiting.addCallback(self._chosen, route).addErrback(self._not_chosen, route)

    def _not_chosen(self, failure: Failure, route: Route) -> None:
        route.waiting = None
        if failure.check(CancelledError) is None:
            _log.failure("{route}: no choice", failure, route=route.label)
        self.close(route, By.NEITHER, "NAS Error", "nobody could say where to")

    def _chosen(self, choice: Choice, route: Route) -> None:
        route.waiting = None
        if route.state is not State.CHOOSING:
            return
        route.choice = choice
        route.user = choice.user or route.user
        route.proxy = choice.proxy if choice.proxy is not None else route.source.proxy
        if choice.kind == REFUSED:
            self.close(route, By.NEITHER, choice.cause or "NAS Error", choice.message or "refused")
            return
        route.fire(Event.CHOSEN)
        # before the host is refused for want of an answer
        route.open_until = self._clock.seconds() + max(self.timeout - MARGIN, 0.0)
        if choice.kind == "l2tp":
            route.candidates = self.balance.order(choice.destinations, self._clock.seconds())
            self._try_next(route, "Service Unavailable", "no LNS can be asked now")
        else:
            self._begin(route, None)

    def _try_next(self, route: Route, cause: str, message: str) -> None:
        if not route.candidates:
            self.close(route, By.NEITHER, cause, message)
            return
        self._begin(route, route.candidates.pop(0))

    def _begin(self, route: Route, place: Place | None) -> None:
        assert route.choice is not None
        now = self._clock.seconds()
        share = (route.open_until - now) / (len(route.candidates) + 1)
        self._limits.set(route, now + max(share, SHORTEST))
        route.place = place
        route.destination = self._open(route, route.choice, place)

    def no_answer(self, route: Route) -> None:
        """The destination has not opened in its time: it is as good as dead."""
        destination = route.destination
        if destination is None:
            return
        message = "no answer in time"
        if route.balanced:
            # it is up, and the data path hangs
            self.close(route, By.NEITHER, "NAS Error", message)
            return
        if not destination.close("NAS Error", message):
            self.counters.destination_close_failures += 1
        if self._clock.seconds() >= route.open_until:
            route.candidates.clear()
        self.destination_failed(route, destination, "NAS Error", message, dead=True)

    # what destinations report

    def destination_opened(self, route: Route, destination: Destination) -> None:
        """It can take frames."""
        if route.destination is not destination or route.state is not State.OPENING:
            return
        if route.place is not None:
            route.balanced = True
            self.balance.opened(route.place, self._clock.seconds())
        self._join(route).addCallbacks(self._joined, self._not_joined, callbackArgs=(route,), errbackArgs=(route,))

    def destination_failed(self, route: Route, destination: Destination, cause: str, message: str,
                           dead: bool = False) -> None:
        """It did not open. `dead`: its tunnel did not either; then it is not asked for a while."""
        if route.destination is not destination or route.state is not State.OPENING:
            return
        self.counters.destination_open_failures += 1
        self._say(route, Level.NOTICE, "{destination} did not open: {cause}: {reason}", cause=cause, reason=message,
                  destination=destination.label)
        if route.place is not None:
            report = self.balance.failed if dead else self.balance.refused
            report(route.place, self._clock.seconds(), message or cause)
        self.followers.tell("destination_failed", route, cause, dead)
        route.destination = None
        route.fire(Event.FAILED)
        self._try_next(route, cause, message)

    def destination_closed(self, route: Route, destination: Destination, cause: str, message: str,
                           dead: bool = False) -> None:
        """It has ended by itself. `dead`: its tunnel has died."""
        if route.destination is not destination:
            return
        if dead and route.balanced and route.place is not None:
            self.balance.failed(route.place, self._clock.seconds(), message or cause)
        self.close(route, By.DESTINATION, cause, message)

    def _joined(self, _: object, route: Route) -> None:
        if not route.fire(Event.JOIN):
            return
        now = route.opened_at = self._clock.seconds()
        limit = route.choice.session_timeout if route.choice is not None else 0
        self._limits.set(route, now + limit if limit else None)
        self._say(route, Level.INFO, "joined to {destination}",
                  destination=route.destination.label if route.destination is not None else "")
        self.followers.tell("route_opened", route)

    def _not_joined(self, failure: Failure, route: Route) -> None:
        if failure.check(CancelledError) is None:
            self.close(route, By.NEITHER, "NAS Error", failure.getErrorMessage())

    # the end

    def limit(self, route: Route, seconds: float) -> None:
        """It may last so long from now on, once it is joined; 0: for ever."""
        if route.state is State.JOINED:
            self._limits.set(route, self._clock.seconds() + seconds if seconds else None)

    def source_closed(self, route: Route, cause: str, message: str) -> None:
        """The source has ended by itself."""
        self.close(route, By.SOURCE, cause, message)

    def close(self, route: Route, by: By, cause: str, message: str = "") -> None:
        """End it: the other end, or both, are told why."""
        left = route.state
        if not route.fire(Event.CLOSE):
            return
        route.left, route.cause, route.closed_by = left, cause, by
        route.message = message or (CAUSES[cause].text if cause in CAUSES else "")
        route.closed_at = self._clock.seconds()
        if left is State.OPENING and route.destination is not None and by is By.DESTINATION:
            self.counters.destination_open_failures += 1
        self.counters.closed_by_source += by is By.SOURCE
        self.counters.closed_by_destination += by is By.DESTINATION
        self._limits.set(route, None)
        if route.balanced and route.place is not None:
            route.balanced = False
            self.balance.closed(route.place, route.closed_at)
        self._say(route, Level.INFO, "ends: {cause}: {reason} (by {by})", cause=cause, reason=route.message,
                  by=route.by)
        if route.waiting is not None:
            route.waiting.cancel()
        parted = self._part(route)
        if by is not By.SOURCE and not route.source.close(cause, message):
            self.counters.source_close_failures += 1
        if by is not By.DESTINATION and route.destination is not None and not route.destination.close(cause, message):
            self.counters.destination_close_failures += 1
        parted.addCallbacks(self._ended, self._not_parted, callbackArgs=(route,), errbackArgs=(route,))

    def _not_parted(self, failure: Failure, route: Route) -> None:
        self.counters.route_delete_failures += 1
        self._say(route, Level.ERROR, "the data path: {reason}", reason=failure.getErrorMessage())
        self._ended(None, route)

    def _ended(self, counters: tuple | None, route: Route) -> None:
        route.counters = counters
        route.fire(Event.END)
        del self.by_number[route.number]
        named = self.by_name[route.name]
        del named[route.number]
        self.rolls[route.name].discard(route.number)
        if not named:
            del self.by_name[route.name], self.rolls[route.name]
        self.roll.discard(route.number)
        self._ids.release(route.number)
        self.counters.routes_deleted += 1
        self.followers.tell("route_closed", route)
        # no cycle is left for the garbage collector
        route.source.route = route.destination = route.accounting = None
        if not self.by_number:
            empty, self._empty = self._empty, []
            for waiting in empty:
                waiting.callback(None)

    def end_all(self, cause: str, message: str) -> Deferred[None]:
        """End all; fires when none is left."""
        done: Deferred[None] = Deferred()
        if not self.by_number:
            done.callback(None)
            return done
        self._empty.append(done)
        self._end_some(iter(list(self.by_number.values())), cause, message)
        return done

    def _end_some(self, routes: Iterator[Route], cause: str, message: str) -> None:
        """Other things have their turns between."""
        turn = list(islice(routes, TURN))
        for route in turn:
            self.close(route, By.NEITHER, cause, message)
        if len(turn) == TURN:
            self._clock.callLater(0, self._end_some, routes, cause, message)

    def stop(self) -> None:
        """No timers any more."""
        self._limits.stop()

    def _say(self, route: Route, level: Level, text: str, **values: Any) -> None:
        if self._log.enabled(level):
            self._log.emit(level, "{route}: " + text, route=route.label, **values)
