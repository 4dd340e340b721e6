"""The RADIUS servers of the configuration, as the client has them: names are resolved, and again from time to time."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from prol2tp.common.tally import Histogram
from prol2tp.config.radius import Radius, RadiusServer
from prol2tp.control.paging import page
from prol2tp.net.deadlines import LazyTimer
from prol2tp.net.names import addresses_of
from prol2tp.radius.attributes import Nas
from prol2tp.radius.client import ClientSettings
from prol2tp.radius.outputs import AnswerDropped, ServerAlive, ServerDead
from prol2tp.radius.servers import KINDS, Kind, ServerSettings

_COUNTS = ("requests", "answers", "retransmits", "timeouts", "in_progress", "probes", "dropped")
"""Fields of a `server-row` record that are attributes of `radius.servers.Service`."""
RETRY = 10.0
"""Seconds to the next try while a name has no address."""


class RadiusServers:
    """Keeps the servers of a client.

    :param port: a `net.radius.RadiusPort`.
    :param log: has `info`, `notice`, `warning` and `error`.
    :param publish: of `control.events.Events`.
    :param resolve: host -> Deferred(addresses as text, best first).
    """

    def __init__(self, port: Any, clock: IReactorTime, log: Any, publish: Callable[..., None],
                 resolve: Callable[[str], Deferred[list[str]]] = addresses_of) -> None:
        self._port = port
        self._clock = clock
        self._log = log
        self._publish = publish
        self._resolve = resolve
        self.dns_failures = 0
        """Names that could not be resolved, each time."""
        self.replaced: Callable[[], None] = lambda: None
        """Called when the client has got other servers."""
        self._radius = Radius()
        self._addresses: dict[str, list[str]] = {}
        """Of each host that was resolved; the first is in use."""
        self._hosts: set[str] = set()
        self._looking: dict[str, Deferred[Any]] = {}
        self._complained: set[str] = set()
        self._timer = LazyTimer(clock, self._again)

    def configure(self, radius: Radius) -> None:
        """Take over servers; requests under way at one that is gone are asked of others."""
        self._radius = radius
        core = self._port.core
        core.nas = Nas(radius.nas_ip_address, radius.nas_ipv6_address, radius.nas_identifier)
        core.settings = ClientSettings(radius.request_timeout, radius.max_requests, radius.max_waiting)
        self._hosts = {server.address for server in radius.servers.values() if server.is_name}
        self._addresses = {host: found for host, found in self._addresses.items() if host in self._hosts}
        self._complained &= self._hosts
        self._apply()
        self._again()

    def changed(self, change: ServerDead | ServerAlive | AnswerDropped) -> None:
        """What `RadiusPort` says of a server: to the log, and to who follows events."""
        name, log = change.server, self._log
        kind = "authentication" if change.kind == "auth" else "accounting"
        if isinstance(change, AnswerDropped):
            log.error("answer of server {name} dropped ({kind}): {reason}", name=name, kind=kind, reason=change.reason)
        elif isinstance(change, ServerAlive):
            log.notice("server {name} answers again ({kind})", name=name, kind=kind)
            self._publish("server-alive", server=name, kind=change.kind)
        else:
            log.warning("server {name} does not answer ({kind})", name=name, kind=kind)
            self._publish("server-dead", server=name, kind=change.kind)
            server = self._radius.servers.get(name)
            if server is not None and server.is_name:
                # perhaps it has another address by now
                self._look_up(server.address)

    def responders(self) -> dict[str, Callable[..., Any]]:
        """Of the control channel, by command."""
        return {"Servers": lambda connection, cursor, limit: self.rows(cursor, limit)}

    def rows(self, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of `server-row` records, in the order of the file."""
        keys = dict(enumerate(self.services()))
        return page(keys, cursor, limit, lambda key: self.row(*keys[key]))

    def services(self) -> list[tuple[str, Kind]]:
        """What there is a row of: a server, and what it does."""
        return [(name, kind) for name, server in self._radius.servers.items() for kind in KINDS
                if (server.auth_port if kind == "auth" else server.acct_port)]

    def row(self, name: str, kind: Kind) -> dict[str, Any]:
        """A `server-row` record."""
        service = self._port.core.services.get((name, kind))
        if service is None:
            host, port = self._radius.servers[name].address, 0
            return {"name": name, "kind": kind, "address": f"{host}:{port}", "alive": False, "state_seconds": 0,
                    **dict.fromkeys(_COUNTS, 0), "round_trips": Histogram().record()}
        host = f"[{service.host}]" if ":" in service.host else service.host
        return {
            "name": name, "kind": kind, "address": f"{host}:{service.port}", "alive": service.alive,
            "state_seconds": round(self._clock.seconds() - service.since, 3),
            **{count: getattr(service, count) for count in _COUNTS}, "round_trips": service.round_trips.record(),
        }

    def stop(self) -> None:
        """No look-ups any more."""
        self._timer.stop()
        self._hosts = set()
        for looking in list(self._looking.values()):
            looking.cancel()

    def _apply(self) -> None:
        port = self._port
        port.core.set_servers(servers_of(self._radius, self._addresses), port.driver.now())
        port.carry_out()
        self.replaced()

    def _again(self, now: float = 0.0) -> None:
        for host in self._hosts:
            self._look_up(host)
        self._set_timer()

    def _set_timer(self) -> None:
        every = self._radius.resolve_interval
        if self._hosts - self._addresses.keys():
            every = min(every, RETRY)
        self._timer.want(self._clock.seconds() + every if self._hosts else None)

    def _look_up(self, host: str) -> None:
        if host in self._looking:
            return
        looking = self._looking[host] = self._resolve(host)

        def over(result: Any) -> Any:
            self._looking.pop(host, None)
            return result

        looking.addBoth(over)
        looking.addCallbacks(self._found, self._not_found, callbackArgs=(host,), errbackArgs=(host,))

    def _found(self, addresses: list[str], host: str) -> None:
        if host not in self._hosts or not addresses:
            return
        self._complained.discard(host)
        known = self._addresses.get(host)
        if known is not None and known[0] in addresses:
            # what is in use stays in use as long as it is right
            addresses = sorted(addresses, key=lambda address: address != known[0])
        self._addresses[host] = addresses
        if known is None or known[0] != addresses[0]:
            self._log.info("server name {host} has address {address}", host=host, address=addresses[0])
            self._set_timer()
        self._apply()

    def _not_found(self, failure: Any, host: str) -> None:
        if host not in self._hosts:
            return
        self.dns_failures += 1
        if host in self._complained:
            return
        self._complained.add(host)
        kept = self._addresses.get(host)
        then = f"its address stays {kept[0]}" if kept else "its server is not asked until it can be"
        reason = getattr(failure.value, "strerror", None) or failure.getErrorMessage()
        self._log.error("server name {host} cannot be resolved ({reason}): {then}", host=host, reason=reason, then=then)


def servers_of(radius: Radius, addresses: dict[str, list[str]]) -> list[ServerSettings]:
    """The client's settings of all servers whose address is known."""
    found = []
    for server in radius.servers.values():
        address = _address(server, addresses)
        if address:
            found.append(_settings(server, address))
    return found


def _address(server: RadiusServer, addresses: dict[str, list[str]]) -> str:
    """The first of those that the source can talk to; empty: none."""
    if not server.is_name:
        return server.address
    known = addresses.get(server.address, ())
    if not server.source:
        return known[0] if known else ""
    version = ip_address(server.source).version
    return next((address for address in known if ip_address(address).version == version), "")


def _settings(server: RadiusServer, address: str) -> ServerSettings:
    return ServerSettings(
        server.name, address, server.secret.encode(), server.auth_port, server.acct_port, server.priority,
        server.weight, server.realms, server.timeout, max(server.timeout, server.max_timeout), server.retries,
        server.require_message_authenticator, server.status_server, server.status_interval, server.dead_time,
        server.sockets, server.source, server.device,
    )
