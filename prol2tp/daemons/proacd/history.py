"""Why routes ended: a record of each in a bounded history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prol2tp.control.paging import texts_page
from prol2tp.daemons.proacd.maclists import host_address
from prol2tp.daemons.proacd.route import Follower, Route
from prol2tp.daemons.proacd.status import ends
from prol2tp.dataplane.interface import COUNTERS
from prol2tp.ppp.causes import acct_terminate_cause
from prol2tp.spool.history import History

FILE = "proacd-history.sqlite"


class RouteHistory(Follower):
    """What has ended. `wall`: seconds since 1970."""

    def __init__(self, clock: Any, history: History, wall: Callable[[], float] = time.time) -> None:
        self.history = history
        self._clock = clock
        self._wall = wall

    def route_closed(self, route: Route) -> None:
        """Follower: a `history-row`."""
        counters = route.counters
        row = {
            **self._times(route), "number": route.number, "name": route.name, "user": route.user, **ends(route),
            "by": route.by, "cause": route.cause, "acct_terminate_cause": acct_terminate_cause(route.cause),
            "message": route.message, "last_state": route.left.value,
            "counters": dict(zip(COUNTERS, counters, strict=False)) if counters is not None else None,
        }
        source = row["source"]
        self.history.add(row, kind=source["kind"], tunnel=source["tunnel_id"], session=source["session_id"],
                         peer=source["peer_mac"], user=route.user)

    def _times(self, route: Route) -> dict[str, float]:
        now, wall = self._clock.seconds(), self._wall()
        closed = route.closed_at if route.closed_at is not None else now
        return {
            "ended_at": wall - (now - closed), "created_at": wall - (now - route.created_at),
            "seconds_up": closed - route.opened_at if route.opened_at is not None else 0.0,
        }

    def page(self, cursor: str | None, limit: int | None, mac: str | None, user: str | None) -> dict[str, Any]:
        """The answer of ListHistory. Raises `Refused` for what is no address of a host."""
        match = {"user": user} if user is not None else {}
        if mac is not None:
            match["peer"] = host_address(mac).hex(":").upper()
        return texts_page(cursor, limit, lambda before, most, room: self.history.read(before, most, room, **match))
