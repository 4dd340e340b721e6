"""Disconnect-Request and CoA-Request carried out on routes that RADIUS has led to an LNS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from prol2tp.aaa.dynamic import DynamicServer
from prol2tp.aaa.sessions import NONE, Names, one
from prol2tp.daemons.proacd.ports import port_of
from prol2tp.daemons.proacd.route import Route
from prol2tp.net.radius import MakeSocket
from prol2tp.radius.answer import Answer
from prol2tp.radius.dynauth import MISSING_ATTRIBUTE, UNSUPPORTED_ATTRIBUTE, Refused
from prol2tp.radius.outputs import Asked

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.profiles import Profile

CHANGED = ("session_timeout", "classes", "acct_interim_interval")
"""Fields of `Answer` that a CoA may change on a route that is up."""
PASSED_OVER = ("service_type", "framed_protocol", "reply_message", "state", "ignored")
_DEFAULT = Answer()
_HARMLESS = frozenset(("NAS-Port-Type",))


class DynamicRequests(DynamicServer):
    """Of one RADIUS profile."""

    noun = "route"

    def __init__(self, reactor: Any, wall: Callable[[], float], log: Any, profile: Profile,
                 make_socket: MakeSocket) -> None:
        super().__init__(reactor, wall, log, lambda: profile.nas, self._names, make_socket)
        self._profile = profile
        self._routes: dict[Route, None] = {}
        """That are joined."""

    def opened(self, route: Route) -> None:
        """It is joined to an LNS."""
        self._routes[route] = None
        if self._settings is not None:
            self.index.put(route)

    def closed(self, route: Route) -> None:
        """It has ended."""
        if route in self._routes:
            del self._routes[route]
            self.index.drop(route)

    def know_all(self) -> None:
        for route in self._routes:
            self.index.put(route)

    def label(self, session: Route) -> str:
        return session.label

    def user(self, session: Route) -> str:
        return session.user

    def _names(self, route: Route) -> Names:
        """As in requests about it; what an LNS gives the user is not known here."""
        port, choice = port_of(route), route.choice
        answer = choice.answer if choice is not None else None
        tunnel = route.accounting.tunnel if route.accounting is not None else None
        return (
            one(route.user), one(self._profile.session_id(route)), NONE, NONE, NONE, NONE, NONE,
            one(port.called_station_id), one(port.calling_station_id), one(port.nas_port), one(port.nas_port_id),
            one(answer.chargeable_user_identity if answer is not None else b""),
            one(tunnel.id if tunnel is not None else ""),
        )

    def carry_out(self, output: Asked, sessions: list[Route]) -> None:
        if output.request.disconnect:
            self.say(output, sessions, "they end" if len(sessions) > 1 else "it ends")
            self.acknowledge(output)
            for route in sessions:
                route.close("Admin Reset", "ended by RADIUS")
            return
        changes = changes_of(output.request.changes)
        for route in sessions:
            self._change(route, changes)
        self.say(output, sessions, ", ".join(sorted(changes)))
        self.acknowledge(output)

    def _change(self, route: Route, changes: dict[str, Any]) -> None:
        choice = route.choice
        assert choice is not None
        if (seconds := changes.get("session_timeout")) is not None:
            route.routes.limit(route, seconds)
        told = {name: value for name, value in changes.items() if name != "session_timeout"}
        if told:
            # an answer may be that of others too
            choice.answer = replace(choice.answer or _DEFAULT, **told)
            choice.class_ = choice.answer.classes
            self._profile.accounting.changed(route)


def changes_of(answer: Answer) -> dict[str, Any]:
    """What a CoA changes, by field of `Answer`. Raises `Refused`."""
    unknown = [name for name in answer.ignored if name not in _HARMLESS]
    if unknown:
        raise Refused(UNSUPPORTED_ATTRIBUTE, f"{unknown[0]} cannot be changed")
    found: dict[str, Any] = {}
    for field in fields(Answer):
        value = getattr(answer, field.name)
        if value == getattr(_DEFAULT, field.name) or field.name in PASSED_OVER:
            continue
        if field.name not in CHANGED:
            raise Refused(UNSUPPORTED_ATTRIBUTE, f"{field.name} cannot be changed")
        found[field.name] = value
    if not found:
        raise Refused(MISSING_ATTRIBUTE, "it changes nothing")
    return found
