"""What happens, as lines in memory: of all, or of an interface, a host or a route. Off, it costs nothing.

Passwords do not come here: PPP packets are described by `ppp.dissect`, which leaves them out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from prol2tp.control.command import NotFound, Refused
from prol2tp.control.paging import Roll, page
from prol2tp.control.tracing import Tracers
from prol2tp.daemons.proacd.route import Follower

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.route import Route

MOST_FILTERS = 20
MOST_LINES = 20_000
"""Of all traces together; the oldest go."""
LONGEST = 1000
"""Characters of a line."""


class Filter(NamedTuple):
    """What a trace is about; what is empty may be anything."""

    interface: str = ""
    mac: str = ""
    """As text, upper case."""
    route: str = ""
    """Name or number."""

    def matches(self, line: Line) -> bool:
        return (
            (not self.interface or self.interface == line.interface)
            and (not self.mac or self.mac == line.mac)
            and (not self.route or self.route in (line.route, str(line.number)))
        )


class Line(NamedTuple):
    """One line; `route` and `number` are empty and 0 where there is no route yet."""

    time: float
    kind: str
    interface: str
    mac: str
    route: str
    number: int
    text: str


class Trace(Follower):
    """All traces that are on, and the lines that they keep.

    :param changed: called when the first begins or the last ends, with whether there are any: who has lines to give
        says so only then.
    """

    def __init__(self, changed: Callable[[bool], None], wall_clock: Callable[[], float] = time.time) -> None:
        self._changed = changed
        self._wall_clock = wall_clock
        self._filters: list[Filter] = []
        self._lines: dict[int, Line] = {}
        self._roll = Roll()
        self._serial = 0
        self.tracers = Tracers(self._update, wall_clock)
        """Those who follow a host or user as it happens (`prol2tp trace`)."""
        self._was_on = False

    @property
    def on(self) -> bool:
        return bool(self._filters or self.tracers)

    def _update(self) -> None:
        if self.on != self._was_on:
            self._was_on = self.on
            self._changed(self.on)

    def begin(self, wanted: Filter) -> None:
        """Raises `Refused` when there are too many."""
        if wanted in self._filters:
            return
        if len(self._filters) >= MOST_FILTERS:
            raise Refused(f"{MOST_FILTERS} traces are on already")
        self._filters.append(wanted)
        self._update()

    def end(self, wanted: Filter) -> None:
        """With an empty filter all end, and their lines are forgotten. Raises `NotFound`."""
        if wanted == Filter():
            self._filters.clear()
            self._lines.clear()
            self._roll = Roll()
            self._update()
            return
        if wanted not in self._filters:
            raise NotFound("there is no such trace")
        self._filters.remove(wanted)
        self._update()

    def dump(self, wanted: Filter, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of the lines that match."""

        def row(serial: int) -> dict[str, Any] | None:
            line = self._lines[serial]
            return line._asdict() if wanted.matches(line) else None

        return page(self._roll, cursor, limit, row)

    # who has lines to give

    def discovery(self, interface: str, mac: bytes, text: str) -> None:
        """Of the AccessConcentrator core."""
        line = Line(self._wall_clock(), "discovery", interface, mac.hex(":").upper(), "", 0, text)
        if self.tracers:
            key = (interface, line.mac)
            self.tracers.tell(key, {"mac": line.mac, "user": ""}, " ".join(key), line.kind, text)
        self._keep(line)

    def ppp(self, route: Route, kind: str, text: str) -> None:
        """Of the PPP core of a source, while it is negotiated here."""
        self._of_route(route, "ppp", f"{kind}: {text}")

    def route_created(self, route: Route) -> None:
        self._of_route(route, "route", f"created for {route.source.label}")

    def route_opened(self, route: Route) -> None:
        destination = route.destination
        self._of_route(route, "route", f"joined to {destination.label if destination is not None else 'nothing'}")

    def route_closed(self, route: Route) -> None:
        message = f": {route.message}" if route.message else ""
        self._of_route(route, "route", f"ended: {route.cause}{message}")

    def _of_route(self, route: Route, kind: str, text: str) -> None:
        if not self.on:
            return
        source = route.source
        mac = source.calling_number.upper() if source.kind == "pppoe" else ""
        if self.tracers:
            self._tell(route, mac, kind, text)
        self._keep(Line(self._wall_clock(), kind, source.interface, mac, route.name, route.number, text))

    def _tell(self, route: Route, mac: str, kind: str, text: str) -> None:
        destination = route.destination
        identity = {
            "mac": mac, "user": route.user, "tunnel": getattr(destination, "tunnel_id", 0),
            "session": getattr(destination, "session_id", 0),
        }
        key = (route.source.interface, mac) if mac else route.number
        self.tracers.tell(key, identity, f'route {route.number} "{route.name}"', kind, text)

    def _keep(self, line: Line) -> None:
        if not any(one.matches(line) for one in self._filters):
            return
        if len(line.text) > LONGEST:
            line = line._replace(text=line.text[:LONGEST] + "...")
        self._serial += 1
        self._lines[self._serial] = line
        self._roll.add(self._serial)
        if len(self._lines) > MOST_LINES:
            oldest = next(iter(self._lines))
            del self._lines[oldest]
            self._roll.discard(oldest)
