"""Responders of proacd's control commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator

from prol2tp.control.command import Invalid, NotFound, Refused
from prol2tp.control.commands.shared import LEVELS
from prol2tp.control.paging import Roll, page
from prol2tp.daemons.logs import Level
from prol2tp.daemons.proacd.maclists import MacLists, host_address, read_address
from prol2tp.daemons.proacd.status import Status
from prol2tp.daemons.proacd.trace import Filter, Trace

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.concentrator import Concentrator
    from prol2tp.daemons.proacd.route import Route

_ADMINISTRATIVE = ("Admin Reset", "administrative request")


class Commands:
    """`table()` gives {command name: responder(connection, **arguments)}.

    :param set_level: sets the log level of the daemon.
    :param reload: reads the file again; -> one line. Raises `Refused`.
    :param preview: what `reload` would do: the answer of PreviewReload. Raises `Refused`.
    """

    def __init__(self, clock: IReactorTime, concentrator: Concentrator, status: Status, hosts: MacLists, trace: Trace,
                 set_level: Callable[[Level], None], reload: Callable[[], str],
                 preview: Callable[[], dict[str, Any]]) -> None:
        self._clock = clock
        self._parts = concentrator
        self._status = status
        self._hosts = hosts
        self._trace = trace
        self._set_level = set_level
        self._reload = reload
        self._preview = preview
        self._slices = Cooperator(scheduler=lambda step: clock.callLater(0, step))

    def table(self) -> dict[str, Any]:
        return {
            "Status": lambda connection: {"status": self._status.status()},
            "ListRoutes": self.list_routes,
            "ShowRoute": self.show_route,
            "CloseRoute": self.close_route,
            "ListInterfaces": self.list_interfaces,
            "ListDestinations": self.list_destinations,
            "Drain": self.drain,
            "Unlock": self.unlock,
            "ListMacs": self.list_macs,
            "AddMac": self.add_mac,
            "RemoveMac": self.remove_mac,
            "SetTrace": self.set_trace,
            "DumpTrace": self.dump_trace,
            "SetLogLevel": self.set_log_level,
            "Reload": lambda connection: {"summary": self._reload()},
            "PreviewReload": lambda connection: self._preview(),
        }

    # routes

    def list_routes(self, connection: Any, name: str | None = None, user: str | None = None, mac: str | None = None,
                    line: str | None = None, cursor: str | None = None, limit: int | None = None) -> dict[str, Any]:
        routes = self._parts.routes
        host = host_address(mac).hex(":").upper() if mac is not None else None

        def row(number: int) -> dict[str, Any] | None:
            route = routes.by_number[number]
            if user is not None and route.user != user or host is not None and _mac_of(route) != host:
                return None
            record = self._status.route(route)
            if line is not None and line not in (record["source"]["circuit_id"], record["source"]["remote_id"]):
                return None
            return record

        roll = routes.roll if name is None else routes.rolls.get(name) or Roll()
        return page(roll, cursor, limit, row)

    def show_route(self, connection: Any, number: int) -> dict[str, Any]:
        return {"route": self._status.route(self._route(number))}

    def _route(self, number: int) -> Route:
        route = self._parts.routes.by_number.get(number)
        if route is None:
            raise NotFound(f"there is no route {number}")
        return route

    def close_route(self, connection: Any, number: int | None = None, name: str | None = None,
                    mac: str | None = None) -> dict[str, Any] | Deferred[dict[str, Any]]:
        if sum(given is not None for given in (number, name, mac)) != 1:
            raise Invalid("give the route's number, its name, or a host")
        if number is not None:
            self._route(number).close(*_ADMINISTRATIVE)
            return {"closed": 1}
        if mac is not None:
            found = self._of_host(host_address(mac))
            what = f"host {mac} has no route"
        else:
            found = self._parts.routes.of_name(name or "")
            what = f'there is no route named "{name}"'
        if not found:
            raise NotFound(what)
        return self._close(found)

    def _close(self, found: list[Route]) -> Deferred[dict[str, Any]]:
        """In slices: there may be tens of thousands."""

        def close() -> Iterator[None]:
            for route in found:
                route.close(*_ADMINISTRATIVE)
                yield None

        answer = {"closed": len(found)}
        return self._slices.coiterate(close()).addCallback(lambda _: answer)

    def _of_host(self, mac: bytes) -> list[Route]:
        discovery = self._parts.discovery
        sources = [
            discovery.sources.get(session.key)
            for interface in discovery.core.interfaces.values()
            for session in interface.of_host(mac)
        ]
        return [source.route for source in sources if source is not None and source.route is not None]

    # interfaces, destinations

    def list_interfaces(self, connection: Any, cursor: str | None = None, limit: int | None = None) -> dict[str, Any]:
        places = list(self._parts.discovery.places.values())
        return page(dict(enumerate(places)), cursor, limit, lambda key: self._status.interface(places[key]))

    def list_destinations(self, connection: Any, cursor: str | None = None,
                          limit: int | None = None) -> dict[str, Any]:
        rows = self._parts.balance.rows(self._clock.seconds())
        return page(dict(enumerate(rows)), cursor, limit, rows.__getitem__)

    def drain(self, connection: Any, on: bool, destination: str | None = None) -> dict[str, Any]:
        parts = self._parts
        if destination is None:
            parts.drain(on)
            if parts.draining and not on:
                raise Refused("the configuration says drain: take it out there, then reload")
            return {"known": True, "sessions": len(parts.routes)}
        sessions = parts.balance.sessions(_named(destination))
        parts.balance.drain(destination, on)
        return {"known": sessions is not None, "sessions": sessions or 0}

    def unlock(self, connection: Any, destination: str) -> dict[str, Any]:
        if not self._parts.balance.unlock(_named(destination)):
            raise NotFound(f"destination {destination} is not locked out")
        return {}

    # lists of hosts

    def list_macs(self, connection: Any, interface: str | None = None, cursor: str | None = None,
                  limit: int | None = None) -> dict[str, Any]:
        rows = [
            {"interface": name, "list": which, "mac": mac.hex(":"), "origin": origin}
            for name, which, mac, origin in self._entries()
            if interface in (None, name) or not name
        ]
        return page(dict(enumerate(rows)), cursor, limit, rows.__getitem__)

    def _entries(self) -> Iterator[tuple[str, str, bytes, str]]:
        config = self._parts.config
        for name in self._parts.discovery.places:
            interface = config.interfaces[name]
            for which, macs in (("allow", interface.allow_mac), ("deny", interface.deny_mac)):
                for mac in macs:
                    yield name, which, mac, "config"
        for name, which, mac in self._hosts:
            yield name, which, mac, "local"

    def add_mac(self, connection: Any, list: str, mac: str, interface: str | None = None) -> dict[str, Any]:
        self._known(interface)
        self._hosts.add(list, read_address(mac), interface or "")
        self._parts.refresh()
        return {}

    def remove_mac(self, connection: Any, list: str, mac: str, interface: str | None = None) -> dict[str, Any]:
        self._hosts.remove(list, read_address(mac), interface or "")
        self._parts.refresh()
        return {}

    def _known(self, interface: str | None) -> None:
        if interface is not None and interface not in self._parts.discovery.places:
            raise NotFound(f"no route names an interface {interface}")

    # trace, log

    def set_trace(self, connection: Any, on: bool, interface: str | None = None, mac: str | None = None,
                  route: str | None = None) -> dict[str, Any]:
        wanted = _filter(interface, mac, route)
        if on:
            self._trace.begin(wanted)
        else:
            self._trace.end(wanted)
        return {}

    def dump_trace(self, connection: Any, interface: str | None = None, mac: str | None = None,
                   route: str | None = None, cursor: str | None = None, limit: int | None = None) -> dict[str, Any]:
        return self._trace.dump(_filter(interface, mac, route), cursor, limit)

    def set_log_level(self, connection: Any, level: str) -> dict[str, Any]:
        if level not in LEVELS:
            raise Invalid(f"level: must be one of {', '.join(LEVELS)}")
        self._set_level(Level.named(level))
        return {}


def _mac_of(route: Route) -> str:
    """As `status` writes it; empty for a session of a LAC."""
    return route.source.calling_number.upper() if route.source.kind == "pppoe" else ""


def _named(destination: str) -> str:
    # an empty name stands for all destinations there
    if not destination:
        raise Invalid("destination: is empty")
    return destination


def _filter(interface: str | None, mac: str | None, route: str | None) -> Filter:
    return Filter(interface or "", host_address(mac).hex(":").upper() if mac else "", route or "")
