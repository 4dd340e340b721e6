"""Which route serves a PPPoE host: by interface, Service-Name and VLAN; and which serves the sessions of a LAC.

The name is looked at first, then the VLAN: a route for a name comes before one for any service, and among those of a
name a route for certain VLANs before one for all. Two routes that would serve one host are refused when the file is
loaded. The cost is a few look-ups, however many routes there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prol2tp.config.access import EVERY_VLAN, UNTAGGED, ServiceName, VlanRange, VlanUnion
from prol2tp.config.parameter import Given
from prol2tp.config.problems import Problems, shown
from prol2tp.config.routes import Interface, L2tpSource, PppoeSource, Route


class _ByVlan:
    """Routes of one service on one interface: ranges that do not overlap, sorted, by outer VLAN; and that for all."""

    __slots__ = ("_ranges", "_starts", "_all")

    def __init__(self) -> None:
        self._ranges: dict[int, list[tuple[VlanRange, Route]]] = {}
        self._starts: dict[int, list[int]] = {}
        self._all: Route | None = None

    def add(self, vlans: VlanRange, route: Route) -> None:
        if vlans == EVERY_VLAN:
            self._all = route
        else:
            self._ranges.setdefault(vlans.outer, []).append((vlans, route))

    def ready(self) -> None:
        for outer, ranges in self._ranges.items():
            ranges.sort(key=lambda entry: entry[0])
            self._starts[outer] = [vlans.first for vlans, _ in ranges]

    @property
    def vlans(self) -> VlanUnion | None:
        """All of them; None: any."""
        if self._all is not None:
            return None
        return VlanUnion(vlans for ranges in self._ranges.values() for vlans, _ in ranges)

    def find(self, vlans: Sequence[int]) -> Route | None:
        outer = vlans[0] if len(vlans) == 2 else 0
        inner = vlans[-1] if vlans else 0
        starts = self._starts.get(outer, ()) if len(vlans) <= 2 else ()
        place = bisect_right(starts, inner)
        if place:
            found, route = self._ranges[outer][place - 1]
            if inner <= found.last:
                return route
        return self._all


class RouteIndex:
    """The routes of a configuration, to be asked."""

    __slots__ = ("_pppoe", "_l2tp", "_services")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._pppoe: dict[tuple[str, str | None], _ByVlan] = {}
        self._services: dict[str, dict[str | None, ServiceName]] = {}
        self._l2tp: dict[str, Route] = {}
        for route in routes:
            source = route.source
            if isinstance(source, L2tpSource):
                self._l2tp.update(dict.fromkeys(source.tunnel_profile, route))
                continue
            for interface, service in _places(source):
                names = self._services.setdefault(interface, {})
                if service.name not in names or service.advertised:
                    names[service.name] = service
                found = self._pppoe.setdefault((interface, service.name), _ByVlan())
                for vlans in source.vlan:
                    found.add(vlans, route)
        for by_vlan in self._pppoe.values():
            by_vlan.ready()

    def find(self, interface: str, vlans: Sequence[int], service: str) -> Route | None:
        """The route for a PPPoE host. `vlans`: ids of its frames, outer first; () untagged."""
        for name in (service, None):
            by_vlan = self._pppoe.get((interface, name))
            found = by_vlan.find(vlans) if by_vlan is not None else None
            if found is not None:
                return found
        return None

    def find_l2tp(self, tunnel_profile: str) -> Route | None:
        """The route for sessions of a tunnel profile."""
        return self._l2tp.get(tunnel_profile)

    @property
    def tunnel_profiles(self) -> list[str]:
        """Those whose sessions have a route."""
        return list(self._l2tp)

    @property
    def interfaces(self) -> list[str]:
        """Those that hosts are served on."""
        return list(self._services)

    def vlans(self, interface: str, service: str | None) -> VlanUnion | None:
        """VLANs on which a service, or any, is served; None: all of the interface. Raises `KeyError`."""
        return self._pppoe[interface, service].vlans

    def services(self, interface: str) -> tuple[tuple[ServiceName, ...], bool]:
        """The names that are served on an interface, in the order of the file, and whether any other is too."""
        names = self._services.get(interface, {})
        return tuple(one for name, one in names.items() if name is not None), None in names


def _places(source: PppoeSource) -> Iterator[tuple[str, ServiceName]]:
    for interface in source.interface:
        for service in source.service:
            yield interface, service


def check_overlaps(
    routes: Mapping[str, Route], interfaces: Mapping[str, Interface], file: Given, problems: Problems
) -> None:
    """Report routes of which two would serve one host, and VLANs of routes that their interface does not serve."""
    taken: dict[tuple[str, str | None, int], list[tuple[VlanRange, Route]]] = {}
    place = {name: number for number, name in enumerate(routes)}
    profiles: dict[str, Route] = {}
    for route in routes.values():
        source = route.source
        if isinstance(source, L2tpSource):
            for profile in source.tunnel_profile:
                other = profiles.setdefault(profile, route)
                if other is not route:
                    _overlap(route, other, "tunnel_profile", f'tunnel profile "{shown(profile)}"', file, problems)
            continue
        _check_vlans(route, source, interfaces, file, problems)
        for interface, served in _places(source):
            for vlans in source.vlan:
                outer = -1 if vlans == EVERY_VLAN else vlans.outer
                taken.setdefault((interface, served.name, outer), []).append((vlans, route))
    for (interface, name, _), entries in taken.items():
        entries.sort(key=lambda entry: entry[0])
        for (before, first), (after, second) in zip(entries, entries[1:], strict=False):
            if after.first <= before.last:
                service = "any service" if name is None else f'service "{shown(name)}"'
                where = f"{service} on {interface}, vlan {max(before, after)}"
                earlier, later = sorted((first, second), key=lambda route: place[route.name])
                _overlap(later, earlier, "interface", where, file, problems)


def _overlap(route: Route, other: Route, parameter: str, what: str, file: Given, problems: Problems) -> None:
    given = file.blocks["route"][route.name]
    source = next(given.blocks[words][""] for words in ("source pppoe", "source l2tp") if "" in given.blocks[words])
    if route is other:
        source.wrong(problems, parameter, f"{what} is named twice", "name it once")
        return
    line = problems.line(file.blocks["route"][other.name].block.offset)
    wrong = f'route "{shown(route.name)}" and route "{shown(other.name)}" both serve {what}'
    source.wrong(problems, parameter, wrong, f"the other one is on line {line}; take it out of one of them")


def _check_vlans(
    route: Route, source: PppoeSource, interfaces: Mapping[str, Interface], file: Given, problems: Problems
) -> None:
    for name in source.interface:
        served = interfaces[name].vlans
        for vlans in source.vlan:
            if EVERY_VLAN in (vlans, *served) or any(_inside(vlans, one) for one in served):
                continue
            given = file.blocks["route"][route.name].blocks["source pppoe"][""]
            what = "untagged frames" if vlans == UNTAGGED else f"vlan {vlans}"
            given.wrong(problems, "vlan", f"interface {name} does not serve {what}",
                        f"add: interface {name} {{ vlans {vlans} }}")


def _inside(vlans: VlanRange, served: VlanRange) -> bool:
    return vlans.outer == served.outer and served.first <= vlans.first and vlans.last <= served.last
