"""What is set around a link's interface: routes that the user was granted, sets of nftables, and a default route, proxy
ARP and name servers where the profile wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from prol2tp.daemons.propppd import resolv
from prol2tp.daemons.propppd.interfaces import Interfaces, Shared
from prol2tp.daemons.propppd.leftovers import HOST_ROUTE, PROXY
from prol2tp.daemons.propppd.steps import soft, together
from prol2tp.dataplane.interface import Netif
from prol2tp.dataplane.network import DEFAULT_ROUTE
from prol2tp.net.netlink import NetlinkError
from prol2tp.ppp.outputs import NetworkUp
from prol2tp.radius.values import Route

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.filters import Member
    from prol2tp.daemons.propppd.netif import Owner


EVERYTHING = (DEFAULT_ROUTE, "::/0")
"""Networks that no user is given in the main table."""


def wanted(link: Owner) -> bool:
    """Whether there is anything to set."""
    authorization = link.authorization
    return bool(authorization.behind or link.network.around or authorization.filters or link.profile.filter)


class Around:
    """What one link has around its interface. A step that fails is logged, and keeps nobody off line, but for a set of
    nftables where `unknown_filter` is `refuse`.

    :param table: routing table; 0: main.
    """

    __slots__ = ("_interfaces", "_link", "_netif", "_shared", "_table", "_routes", "_members", "_default", "_saved",
                 "_proxy", "_resolv")

    def __init__(self, interfaces: Interfaces, link: Owner, netif: Netif, shared: Shared | None, table: int) -> None:
        self._interfaces = interfaces
        self._link = link
        self._netif = netif
        self._shared = shared
        self._table = table
        self._routes: dict[Route, None] = {}
        self._members: frozenset[Member] = frozenset()
        self._default = False
        self._saved: Any = None
        """What `default_route_restore` needs."""
        self._proxy: tuple[str, int] | None = None
        self._resolv = ""

    # up

    async def up(self, network: NetworkUp, protocols: Iterable[str], prefixes: Iterable[str]) -> Any:
        """A protocol comes up: before its packets pass. Raises `NetlinkError`."""
        await self.follow(protocols, prefixes)
        if network.protocol == "ip":
            await self._profile(network)

    async def follow(self, protocols: Iterable[str], prefixes: Iterable[str]) -> Any:
        """Make routes and sets those of the link's authorization. Raises `NetlinkError`.

        :param protocols: those that are up, or about to be.
        :param prefixes: all that is behind the peer.
        """
        up = set(protocols)
        routes = [route for route in self._link.authorization.behind if version(route) in up]
        for route in [route for route in self._routes if route not in routes]:
            await self._unroute(route)
        for route in routes:
            if route not in self._routes:
                await self._route(route)
        device = "" if self._shared is not None else self._netif.name
        members = self._interfaces.filters.members(self._link, device, prefixes) if up else frozenset()
        await together(*self._join(members))

    async def _route(self, route: Route) -> Any:
        granted = self._shared.granted if self._shared is not None else None
        if granted is not None:
            granted[route] = granted.get(route, 0) + 1
        self._routes[route] = None
        if granted is not None and granted[route] > 1:
            return
        if route.prefix in EVERYTHING and not self._table:
            self._interfaces.log.warning("{link}: route {prefix} is not set: it would take the default route of the "
                                         "system", link=self._link.name, prefix=route.prefix)
            return
        done = self._interfaces.network.route_add(route.prefix, self._netif.ifindex, route.gateway, self._table,
                                                  route.metric or 0, onlink=True, beside=True)
        await soft(done, self._interfaces.log, f"{self._link.name}: route {route.prefix}")

    async def _unroute(self, route: Route) -> Any:
        granted = self._shared.granted if self._shared is not None else None
        del self._routes[route]
        if granted is not None:
            granted[route] -= 1
            if granted[route]:
                return
            del granted[route]
        if route.prefix in EVERYTHING and not self._table:
            return
        await soft(self._interfaces.network.route_delete(route.prefix, self._netif.ifindex, route.gateway, self._table,
                                                         route.metric or 0))

    def _join(self, members: frozenset[Member]) -> list[Deferred[None]]:
        before, self._members = self._members, members
        return self._interfaces.filters.change(before, members)

    async def _profile(self, network: NetworkUp) -> Any:
        link, interfaces, settings = self._link, self._interfaces, self._link.network
        if settings.default_route and not self._default:
            await self._take_default_route()
        if settings.proxy_arp:
            found = await soft(interfaces.network.proxy_arp_add(network.peer), interfaces.log,
                               f"{link.name}: proxy ARP")
            if found:
                self._proxy = (network.peer, found)
                interfaces.leftovers.put(PROXY, *self._proxy)
        if settings.usepeerdns and network.dns:
            try:
                name = self._netif.name if self._shared is None else f"{self._netif.name}-{link.name}"
                resolv.write(interfaces.run_dir, name, network.dns)
                self._resolv = name
            except OSError as error:
                interfaces.log.warning("{link}: name servers: {error}", link=link.name, error=error)

    async def _take_default_route(self) -> Any:
        link, interfaces, ifindex = self._link, self._interfaces, self._netif.ifindex
        self._default = True
        if self._table:
            done = interfaces.network.route_add(DEFAULT_ROUTE, ifindex, table=self._table, beside=True)
        else:
            done = interfaces.network.default_route_add(ifindex, replace=True, keep=link.carrier.underlay)
        self._saved = await soft(done, interfaces.log, f"{link.name}: default route")
        for entry in interfaces.network.left_behind(self._saved):
            interfaces.leftovers.put(HOST_ROUTE, *entry)

    # down

    async def down(self, protocol: str, others: Iterable[str], prefixes: Iterable[str]) -> Any:
        """A protocol went down; the interface stays.

        :param others: protocols that are still up.
        :param prefixes: what is behind the peer still.
        """
        if protocol == "ip":
            await self._put_back()
        if others:
            try:
                await self.follow(others, prefixes)
            except NetlinkError as error:
                self._interfaces.log.warning("{link}: {reason}", link=self._link.name, reason=error.text)
            return
        for route in list(self._routes):
            await self._unroute(route)
        self._join(frozenset())

    async def over(self) -> Any:
        """The link leaves its interface. What is on one of its own goes with that."""
        await self._put_back()
        if self._shared is not None:
            for route in list(self._routes):
                await self._unroute(route)
        self._join(frozenset())

    async def _put_back(self) -> Any:
        network, leftovers = self._interfaces.network, self._interfaces.leftovers
        if self._default:
            self._default = False
            await soft(network.route_delete(DEFAULT_ROUTE, self._netif.ifindex, table=self._table))
            if self._saved is not None:
                saved, self._saved = self._saved, None
                entries = network.left_behind(saved)
                await soft(network.default_route_restore(saved))
                for entry in entries:
                    leftovers.done(HOST_ROUTE, *entry)
        if self._proxy is not None:
            proxy, self._proxy = self._proxy, None
            await soft(network.proxy_arp_delete(*proxy))
            leftovers.done(PROXY, *proxy)
        if self._resolv:
            resolv.remove(self._interfaces.run_dir, self._resolv)
            self._resolv = ""


def version(route: Route) -> str:
    """The protocol of a route."""
    return "ipv6" if ":" in route.prefix else "ip"
