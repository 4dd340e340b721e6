"""What becomes of routes, as events of the control channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prol2tp.daemons.proacd.route import Follower, Route


class Announcements(Follower):
    """:param publish: of `control.events.Events`."""

    def __init__(self, publish: Callable[..., None]) -> None:
        self._publish = publish

    def route_created(self, route: Route) -> None:
        self._publish("route-created", **_facts(route))

    def route_opened(self, route: Route) -> None:
        self._publish("route-opened", **_facts(route))

    def route_closed(self, route: Route) -> None:
        self._publish("route-closed", **_facts(route), cause=route.cause, message=route.message, by=route.by)


def _facts(route: Route) -> dict[str, Any]:
    destination = route.destination
    return {
        "name": route.name,
        "number": route.number,
        "user": route.user,
        "source": route.source.label,
        "destination": destination.label if destination is not None else "",
    }
