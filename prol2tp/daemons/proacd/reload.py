"""Another configuration taken over as a difference: what does not have to end lives on.

A route ends when its block is gone, or serves its source no longer, or leads elsewhere; and when its interface or VLAN
is no longer served. All else counts for those who come after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prol2tp.config.access import EVERY_VLAN, UNTAGGED, VlanUnion
from prol2tp.config.diff import Change, describe, diff
from prol2tp.config.proacd import (
    L2tpDestination,
    PppoeSource,
    ProacdConfig,
    RadiusDestination,
)
from prol2tp.config.proacd import Route as RouteConfig
from prol2tp.config.serving import RouteIndex
from prol2tp.control.preview import AT_ONCE, DROPS, LATER, RESTART, Effect
from prol2tp.daemons.proacd import settings
from prol2tp.daemons.proacd.sources import L2TPSource, PPPoESource
from prol2tp.pppoe.packets import vids

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.concentrator import Concentrator
    from prol2tp.daemons.proacd.route import Route

MOST_SAID = 20
"""Changes that the summary names."""


@dataclass(slots=True)
class Plan:
    """What a configuration would change."""

    changes: list[Change]
    ends: list[tuple[Route, str]] = field(default_factory=list)
    """Routes that would end, and why."""

    def summary(self) -> str:
        """One line."""
        if not self.changes:
            return "nothing changed"
        said = [describe(change) for change in self.changes[:MOST_SAID]]
        if len(self.changes) > MOST_SAID:
            said.append(f"and {len(self.changes) - MOST_SAID} changes more")
        if self.ends:
            said.append(f"{len(self.ends)} {'routes end' if len(self.ends) > 1 else 'route ends'}")
        return "; ".join(said)


def plan(concentrator: Concentrator, new: ProacdConfig) -> Plan:
    """What would change; nothing does. Only routes of blocks and interfaces that differ are looked at."""
    old = concentrator.config
    made = Plan(diff(old, new))
    changed = {change.name[0] for change in made.changes if change.kind == "route"}
    interfaces = {change.name[0] for change in made.changes if change.kind == "interface"}
    interfaces |= set(concentrator.index.interfaces) - set(RouteIndex(new.routes.values()).interfaces)
    for name, routes in concentrator.routes.by_name.items():
        config = old.routes.get(name)
        touched = config is None or _touches(config, interfaces)
        if name not in changed and not touched:
            continue
        judge = _Judge(new, new.routes.get(name), old)
        made.ends += [(route, why) for route in routes.values() if (why := judge.why_ends(route))]
    return made


def effects(made: Plan) -> Iterator[tuple[Change, Effect]]:
    """The same, change by change: a route ends by the change of its block, else of its interface, else by the first."""
    by_change: dict[tuple[str, ...], list[tuple[Route, str]]] = {}
    names = {(change.kind, *change.name) for change in made.changes}
    for route, why in made.ends:
        places = [("route", route.config.name), ("interface", getattr(route.source, "interface", ""))]
        first = (made.changes[0].kind, *made.changes[0].name)
        by_change.setdefault(next((place for place in places if place in names), first), []).append((route, why))
    for change in made.changes:
        ends = by_change.get((change.kind, *change.name), [])
        if ends:
            drops = [f'route {route.number} "{route.config.name}"' for route, _ in ends]
            yield change, Effect(DROPS, "; ".join(dict.fromkeys(why for _, why in ends)), drops)
        elif change.kind == "system" and change.parameters == ("log_file",):
            yield change, Effect(RESTART, "the log file is opened at the start")
        else:
            later = change.kind == "route"
            yield change, Effect(LATER if later else AT_ONCE, "for hosts that come from then on" if later else "")


def _touches(config: RouteConfig, interfaces: set[str]) -> bool:
    return isinstance(config.source, PppoeSource) and not interfaces.isdisjoint(config.source.interface)


class _Judge:
    """Of the routes of one block. What is the same for all of them is found once."""

    def __init__(self, new: ProacdConfig, config: RouteConfig | None, old: ProacdConfig) -> None:
        self._config = config
        self._old = old
        self._new = new
        self._served: dict[str, tuple[str, VlanUnion | None]] = {}
        """By interface: why all end there, else the VLANs whose hosts do not; None: all."""
        self._index = RouteIndex([config] if config is not None else [])
        self._places: list[tuple[str, dict[str, str], dict[str, str]]] = []
        if config is not None and isinstance(config.destination, L2tpDestination):
            choice = settings.static_choice(config)
            self._places = [(place.name, place.tunnel, place.session) for place in choice.destinations]

    def why_ends(self, route: Route) -> str:
        """Empty: it does not."""
        if self._config is None:
            return "the route is no longer configured"
        return self._source(route) or self._destination(route, self._config)

    def _source(self, route: Route) -> str:
        source = route.source
        if isinstance(source, L2TPSource):
            profile = str(source.offer.get("tunnel_profile") or "")
            return "" if self._index.find_l2tp(profile) else "the route no longer serves this LAC"
        if not isinstance(source, PPPoESource):
            return ""
        vlans = tuple(vid for vid in vids(source.vlans) if vid)
        if self._index.find(source.interface, vlans, source.service_name) is None:
            return "the route no longer serves this host"
        return self._interface(source.interface, vlans)

    def _interface(self, name: str, vlans: tuple[int, ...]) -> str:
        found = self._served.get(name)
        if found is None:
            found = self._served[name] = self._vlans_of(name)
        why, served = found
        return why or ("" if served is None or vlans in served else "the VLAN is no longer served")

    def _vlans_of(self, name: str) -> tuple[str, VlanUnion | None]:
        before, now = self._old.interfaces[name].vlans, self._new.interfaces[name].vlans
        if before == now or EVERY_VLAN in now and set(before) != {UNTAGGED}:
            return "", None
        if (set(before) == {UNTAGGED}) != (set(now) == {UNTAGGED}):
            # its socket for session frames is another one
            return f"interface {name} is opened again, with or without VLAN tags", None
        return "", VlanUnion(now)

    def _destination(self, route: Route, config: RouteConfig) -> str:
        old, new = route.config.destination, config.destination
        if old == new:
            return ""
        place = route.place
        if isinstance(new, L2tpDestination) and isinstance(old, L2tpDestination):
            if place is None or (place.name, place.tunnel, place.session) in self._places:
                return ""
            return "the LNS is no longer that of the route, or has other parameters"
        if isinstance(new, RadiusDestination) and isinstance(old, RadiusDestination):
            local = route.choice is not None and place is None
            if not local or route.choice is None or route.choice.ppp_profile == new.ppp_profile:
                return ""
        return "the route leads elsewhere"


def apply(concentrator: Concentrator, new: ProacdConfig) -> str:
    """Take `new` over. -> one line: what changed."""
    made = plan(concentrator, new)
    for route, why in made.ends:
        route.close("Admin Reset", why)
    concentrator.use_config(new)
    for name, routes in concentrator.routes.by_name.items():
        config = new.routes.get(name)
        if config is not None:
            for route in routes.values():
                route.config = config
    return made.summary()
