"""The interfaces of all links: names in use, and those that links share, with the routes to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from prol2tp.config.template import LONGEST
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.filters import Filters
from prol2tp.daemons.propppd.leftovers import RULE, Leftovers
from prol2tp.daemons.propppd.settings import NetworkSettings
from prol2tp.daemons.propppd.steps import soft, together
from prol2tp.dataplane.interface import Netif
from prol2tp.net.netlink import NetlinkError
from prol2tp.net.rtnetlink import TABLE_MAIN
from prol2tp.radius.values import Route

SYSTEM = "lo"
"""Where packets of the system's own come from, for rules."""


class Shared:
    """One interface for many links. `ready` has those that wait for the first link to set it up; None: it is."""

    __slots__ = ("netif", "links", "ready", "locals", "routed", "granted", "pools", "table", "ruled")

    def __init__(self, netif: Netif) -> None:
        self.netif = netif
        self.table = 0
        """Routing table of all its links; 0: main."""
        self.ruled = False
        """Packets from it look into its table by rules of ours."""
        self.links = 0
        self.ready: list[Deferred[None]] | None = []
        self.locals: set[str] = set()
        self.pools: set[str] = set()
        """Pools that are routed to it: those of all profiles whose links it has."""
        self.routed: dict[str, int] = {}
        """Prefixes routed to it, with the number of links that want them; 0: of a pool."""
        self.granted: dict[Route, int] = {}
        """Routes that users were granted, with the number of links that want them."""


class Interfaces:
    """The interfaces of all links.

    :param prefixes: networks of an address pool, by its name.
    :param in_use: whether a link has an address of a network.
    """

    def __init__(self, dataplane: Any, network: Any, log: Log, run_dir: str,
                 prefixes: Callable[[str], Iterable[str]], in_use: Callable[[str], bool], filters: Filters,
                 leftovers: Leftovers) -> None:
        self.dataplane = dataplane
        self.network = network
        self.log = log
        self.run_dir = run_dir
        self.prefixes = prefixes
        self.in_use = in_use
        self.filters = filters
        self.leftovers = leftovers
        self.names: set[str] = set()
        """Names of own interfaces in use or about to be."""
        self._numbers: dict[str, int] = {}
        self.shared: dict[str, Shared] = {}
        self._ruled: dict[tuple[int, bool], int] = {}
        """How many interfaces look into a table by rules of ours, by version."""
        self._told_settings = False

    def ipv6_set(self, name: str, settings: NetworkSettings) -> None:
        """Take addresses and default routes from the router advertisements of a provider, and nothing from a user.
        Where the system does not let us, as in a container, that is the operator's."""
        try:
            self.network.ipv6_set(name, not settings.serves, settings.default_route)
        except FileNotFoundError:
            pass  # a system without IPv6, or somebody has removed the interface
        except OSError as error:
            if not self._told_settings:
                self._told_settings = True
                self.log.warning("interface {name}: accept_ra cannot be set: {error}", name=name, error=error.strerror)

    def unused_name(self, wanted: str) -> str:
        """`wanted`, or with a number after it where one of our links has that name. A pattern with %d stays."""
        if "%d" in wanted:
            return wanted
        if wanted not in self.names:
            self._numbers.pop(wanted, None)
            name = wanted
        else:
            # from where the last search ended: thousands may have one name
            number = self._numbers.get(wanted, 0)
            name = wanted
            while name in self.names:
                number += 1
                name = f"{wanted[:LONGEST - len(str(number))]}{number}"
            self._numbers[wanted] = number
        self.names.add(name)
        return name

    @inlineCallbacks
    def pools_changed(self, settings: Iterable[NetworkSettings]) -> Any:
        """After a reload: route what pools have gained to the shared interfaces that serve them, and no longer what
        they have lost, unless a link still has an address there: then at a later reload."""
        pools: dict[str, set[str]] = {}
        for one in settings:
            if one.shared:
                pools.setdefault(one.name, set()).update(one.pools)
        for name, shared in list(self.shared.items()):
            if shared.ready is not None:
                continue
            shared.pools = pools.get(name, set())
            wanted = self._pool_prefixes(shared.pools)
            old = {prefix for prefix, links in shared.routed.items() if links == 0}
            yield self._route(shared, wanted - shared.routed.keys())
            for prefix in old - wanted:
                needed = self.in_use(prefix) and not covered(prefix, wanted)
                if not needed and shared.routed.get(prefix) == 0:
                    del shared.routed[prefix]
                    done = self.network.route_delete(prefix, shared.netif.ifindex, table=shared.table)
                    yield soft(done, self.log, "route " + prefix)

    def _pool_prefixes(self, pools: Iterable[str]) -> set[str]:
        return {prefix for pool in pools for prefix in self.prefixes(pool)}

    async def set_up_shared(self, shared: Shared, settings: NetworkSettings) -> Any:
        """What is set once for all links of a shared interface."""
        shared.table, shared.ruled = await self.place(shared.netif, settings.table, settings.vrf)
        if shared.ruled:
            await together(*[self.rule(shared.netif.name, shared.table, ipv6) for ipv6 in (False, True)])
        try:
            await self.network.link_set(shared.netif.ifindex, mtu=settings.mtu, up=True)
            self.ipv6_set(shared.netif.name, settings)
            await self.serve(shared, settings)
        except Exception:
            await self.take_down_shared(shared)
            raise

    async def take_down_shared(self, shared: Shared) -> Any:
        """Undo what of `set_up_shared` does not go with the interface."""
        if shared.ruled:
            shared.ruled = False
            await together(*[self.unrule(shared.netif.name, shared.table, ipv6) for ipv6 in (False, True)])

    async def place(self, netif: Netif, table: int, vrf: str) -> Any:
        """Put an interface where its packets are routed. -> (table, whether it needs rules). Raises `NetlinkError`."""
        if not vrf:
            return (0, False) if table == TABLE_MAIN else (table, table != 0)
        try:
            master, table = await self.network.vrf(vrf)
            # before it is up: that takes IPv6 addresses away
            await self.network.link_set(netif.ifindex, master=master)
        except NetlinkError as error:
            raise NetlinkError(error.errno, f"VRF {vrf}: {error.text}") from None
        return table, False

    def rule(self, device: str, table: int, ipv6: bool) -> Deferred[Any]:
        """Let packets from an interface look into a table first, and packets of the system's own to its users: answers
        to pings, and what tells that a packet is too big."""
        steps = [self._rule(device, table, ipv6, True)]
        count = self._ruled.get((table, ipv6), 0)
        self._ruled[table, ipv6] = count + 1
        if not count:
            steps.append(self._rule(SYSTEM, table, ipv6, False))
        return Deferred.fromCoroutine(together(*steps))

    def _rule(self, *rule: Any) -> Deferred[Any]:
        self.leftovers.put(RULE, *rule)
        return soft(self.network.rule_add(*rule), self.log, f"rule for {rule[0]}")

    def unrule(self, device: str, table: int, ipv6: bool) -> Deferred[Any]:
        """Undo `rule`."""
        steps = [self._unrule(device, table, ipv6, True)]
        self._ruled[table, ipv6] -= 1
        if not self._ruled[table, ipv6]:
            del self._ruled[table, ipv6]
            steps.append(self._unrule(SYSTEM, table, ipv6, False))
        return Deferred.fromCoroutine(together(*steps))

    def _unrule(self, *rule: Any) -> Deferred[Any]:
        return soft(self.network.rule_delete(*rule)).addCallback(lambda _: self.leftovers.done(RULE, *rule))

    def serve(self, shared: Shared, settings: NetworkSettings) -> Deferred[Any]:
        """Route the pools of one more profile to a shared interface."""
        new = [pool for pool in settings.pools if pool not in shared.pools]
        shared.pools.update(new)
        return self._route(shared, self._pool_prefixes(new) - shared.routed.keys())

    @inlineCallbacks
    def _route(self, shared: Shared, prefixes: Iterable[str]) -> Any:
        for prefix in sorted(prefixes):
            shared.routed[prefix] = 0
            done = self.network.route_add(prefix, shared.netif.ifindex, table=shared.table)
            yield soft(done, self.log, f"route {prefix} to {shared.netif.name}")


def covered(prefix: str, others: Iterable[str]) -> bool:
    """Whether an IPv4 network lies in one of the others."""
    network = IPv4Network(prefix)
    return any(network.subnet_of(IPv4Network(other)) for other in others)
