"""The network side of a link: its interface, attached when the first network protocol opens, and what is set on it.

A `LinkInterface` is told what should be (`up`, `down`, `close`) and makes it so step by step; what it was told
meanwhile is found when the step is done. The steps of one link wait for the data path and the kernel, never those of
another one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.config.propppd import Profile
from prol2tp.config.template import interface_name
from prol2tp.daemons.propppd import around
from prol2tp.daemons.propppd.around import Around
from prol2tp.daemons.propppd.authorization import Authorization, place
from prol2tp.daemons.propppd.carriers import Carrier
from prol2tp.daemons.propppd.interfaces import Interfaces, Shared
from prol2tp.daemons.propppd.settings import NetworkSettings
from prol2tp.daemons.propppd.steps import soft, together
from prol2tp.dataplane.interface import IN_USE, DataPathError, Netif, NetifSpec
from prol2tp.net.netlink import NetlinkError, allow
from prol2tp.ppp.outputs import NetworkUp

PROTOCOLS = ("ip", "ipv6")
NAME_TRIES = 10
"""Names that are tried when somebody else's interface has the wanted one."""

_log = Logger(namespace="propppd")


class Owner(Protocol):
    """What an interface asks of its link."""

    carrier: Carrier
    profile: Profile
    network: NetworkSettings
    user: str
    authorization: Authorization

    @property
    def name(self) -> str: ...

    @property
    def mtu(self) -> int: ...

    @property
    def mru(self) -> int: ...

    def network_ready(self, protocol: str) -> None: ...

    def network_failed(self, protocol: str, text: str) -> None: ...


class LinkInterface:
    """The interface of one link."""

    __slots__ = ("_interfaces", "_link", "netif", "_place", "table", "_ruled", "_rules", "_shared",
                 "_wanted", "_applied", "_around", "_busy", "_closing", "_waiting", "_mtu", "_routed",
                 "_plane", "behind", "punt", "_stale")

    def __init__(self, interfaces: Interfaces, link: Owner) -> None:
        self._interfaces = interfaces
        self._link = link
        self.netif: Netif | None = None
        self._plane = interfaces.dataplane
        """The data path that has it; when that was lost, another one may have our port's number for another."""
        self._place = 0, ""
        """Routing table and VRF that the interface was put in."""
        self.table = 0
        """Routing table of all that is routed to the link; 0: main."""
        self._ruled = False
        """Packets from the interface look into that table by rules of ours."""
        self._rules: tuple[str, ...] = ()
        """Protocols that have one."""
        self._shared: Shared | None = None
        self._wanted: dict[str, NetworkUp] = {}
        self._applied: dict[str, NetworkUp] = {}
        self._around: Around | None = None
        """None: nothing was set so far."""
        self._busy = False
        self._closing = False
        self._waiting: list[Deferred[None]] = []
        self._mtu = 0
        self._routed = ""
        """The address that we have routed to a shared interface, as a prefix."""
        self.behind: tuple[str, ...] = ()
        """IPv6 prefixes that the link has now, beside its routes; who changes this or `punt` calls `refresh`."""
        self.punt: tuple[str, ...] = ()
        """As `NetifSpec.punt`."""
        self._stale: list[Deferred[None]] = []
        """Who waits for the data path to hear of a change."""

    @property
    def passing(self) -> bool:
        """Whether a protocol is set up as it should be."""
        return any(self._wanted.get(protocol) is network for protocol, network in self._applied.items())

    def network(self, protocol: str) -> NetworkUp | None:
        """What a protocol is set up with, or is being set up with."""
        return self._wanted.get(protocol)

    def up(self, network: NetworkUp) -> None:
        """A network protocol has opened: `link.network_ready` or `network_failed` follows."""
        self._wanted[network.protocol] = network
        self._go()

    def down(self, protocol: str) -> None:
        self._wanted.pop(protocol, None)
        self._go()

    def refresh(self) -> Deferred[None]:
        """Make routes and sets those of the link's authorization, and tell the data path anew what is behind the peer.
        Fires when it knows, or when the interface goes."""
        done: Deferred[None] = Deferred()
        self._stale.append(done)
        self._go()
        return done

    def close(self) -> Deferred[None]:
        """Take everything away; fires when that is done."""
        self._closing = True
        self._wanted.clear()
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._go()
        return done

    def _go(self) -> None:
        if not self._busy:
            self._busy = True
            # one Deferred for all of it: every one less is felt when thousands come at once
            settled = Deferred.fromCoroutine(self._settle())
            settled.addErrback(lambda failure: _log.failure("interface of {link}", failure=failure,
                                                            link=self._link.name))

    async def _settle(self) -> Any:
        try:
            try:
                await self._follow()
            finally:
                if self._closing:
                    await self._remove()
        finally:
            self._busy = False
            if self._closing:
                waiting, self._waiting, self._stale = self._waiting + self._stale, [], []
                for done in waiting:
                    done.callback(None)

    async def _follow(self) -> Any:
        """Make it as it is wanted, until the link is over."""
        while not self._closing:
            changed = [p for p in PROTOCOLS if self._applied.get(p) is not self._wanted.get(p)]
            # first what is over: the next user has nothing of the one before
            protocol = next((p for p in changed if p in self._applied), changed[0] if changed else None)
            if protocol is None:
                if not self._stale:
                    return
                await self._tell()
                continue
            if protocol in self._applied:
                await self._take_down(protocol, self._applied.pop(protocol))
                continue
            wanted = self._wanted.get(protocol)
            if wanted is not None and not self._closing:
                await self._try(protocol, wanted)

    async def _tell(self) -> Any:
        stale, self._stale = self._stale, []
        try:
            if self.netif is not None:
                await self._retell()
        finally:
            for waiting in stale:
                waiting.callback(None)

    async def _retell(self) -> Any:
        prefixes = self._prefixes(self._applied)
        try:
            await self._surround(None, self._applied, prefixes)
        except NetlinkError as error:
            self._interfaces.log.warning("{link}: {reason}", link=self._link.name, reason=error.text)
        done = self._plane.netif_modify(self._link.carrier.port, prefixes=prefixes, punt=self.punt)
        await soft(done, self._interfaces.log, f"{self._link.name}: prefixes")

    async def _try(self, protocol: str, wanted: NetworkUp) -> Any:
        try:
            await self._bring_up(protocol, wanted)
        except (DataPathError, NetlinkError) as error:
            text = error.text
        except Exception as error:
            _log.failure("interface of {link}", link=self._link.name)
            text = repr(error)
        else:
            if self._wanted.get(protocol) is wanted:
                self._link.network_ready(protocol)
            return
        if self.netif is not None:
            await self._take_down(protocol, wanted)
        if self._wanted.get(protocol) is wanted:
            del self._wanted[protocol]
            self._link.network_failed(protocol, text)

    # up

    async def _bring_up(self, protocol: str, wanted: NetworkUp) -> Any:
        link = self._link
        if self.netif is not None and self._shared is None and not self._applied and self._place != self._placing():
            # LCP was negotiated anew, and another user came in
            await self._remove()
        if self.netif is None and await self._attach(wanted):
            self._applied[protocol] = wanted
            return
        assert self.netif is not None
        steps = self._shared_steps(wanted) if self._shared is not None else self._own_steps(wanted)
        await together(*steps)
        networks = {**self._applied, protocol: wanted}
        prefixes = self._prefixes(networks)
        if self._around is not None or around.wanted(link):
            await self._surround(wanted, networks, prefixes)
        await self._plane.netif_modify(link.carrier.port, protocols=tuple(p for p in PROTOCOLS if p in networks),
                                       prefixes=prefixes,
                                       mtu=link.mtu if self._mtu != link.mtu else None)
        self._mtu = link.mtu
        self._applied[protocol] = wanted

    def _placing(self) -> tuple[int, str]:
        return place(self._link.authorization, self._link.network)

    async def _surround(self, wanted: NetworkUp | None, networks: Mapping[str, NetworkUp],
                        prefixes: tuple[str, ...]) -> None:
        """Set what is around the interface; `wanted`: the protocol that comes up, if one does."""
        if self._around is None:
            if not around.wanted(self._link):
                return
            assert self.netif is not None
            self._around = Around(self._interfaces, self._link, self.netif, self._shared, self.table)
        if wanted is None:
            await self._around.follow(networks, prefixes)
        else:
            await self._around.up(wanted, networks, prefixes)

    async def _attach(self, wanted_network: NetworkUp) -> bool:
        """Attach the interface. -> whether the protocol is set up on it already: on one of its own, and on a shared one
        that is ready for it, where nothing around the link is to be set before packets may pass."""
        link, interfaces = self._link, self._interfaces
        settings, carrier = link.network, link.carrier
        template = settings.name if settings.shared else carrier.interface_name or settings.name
        wanted = template if settings.shared else interface_name(template, link.user, *carrier.numbers)
        spec = NetifSpec(name=wanted, mode="shared" if settings.shared else "own", mtu=link.mtu, mru=link.mru,
                         source_check=settings.source_check, mss_clamp=settings.mss_clamp, clear_df=settings.clear_df)
        ready = (self._ready(interfaces.shared.get(template), wanted_network) if settings.shared
                 else not around.wanted(link))
        if ready:
            # one exchange with the data path instead of two
            spec.protocols = (wanted_network.protocol,)
            spec.prefixes = self._prefixes({wanted_network.protocol: wanted_network})
        self._mtu = link.mtu
        self.netif = netif = await (self._plane.netif_attach(carrier.port, spec) if settings.shared
                                    else self._own(spec))
        try:
            if settings.shared:
                await self._join(netif)
            else:
                interfaces.names.add(netif.name)
                self._place = table, vrf = self._placing()
                if table or vrf:
                    self.table, self._ruled = await interfaces.place(netif, table, vrf)
                up = interfaces.network.link_set(netif.ifindex, mtu=link.mtu, up=True)
                # nothing passes before it is up, and it is up with its address
                await together(up, *(self._own_steps(wanted_network) if ready else ()))
        except Exception:
            # one that is half set up is of no use to the other protocol either
            await self._detach()
            raise
        if not settings.shared:
            return ready and not around.wanted(link)
        # another one of the name may be there meanwhile
        return ready and self._ready(self._shared, wanted_network)

    def _ready(self, shared: Shared | None, wanted: NetworkUp) -> bool:
        """Nothing has to be set on a shared interface, or around the link, for this protocol."""
        return (shared is not None and shared.ready is None and wanted.protocol == "ip"
                and wanted.local in shared.locals and self._covered(shared, wanted.peer)
                and shared.pools.issuperset(self._link.network.pools) and not around.wanted(self._link))

    async def _own(self, spec: NetifSpec) -> Any:
        """Attach an interface with the name that the specification wishes for, or with a number after it where that
        is taken. -> Netif"""
        interfaces, wanted = self._interfaces, spec.name
        tried = []
        try:
            for attempt in range(NAME_TRIES):
                spec.name = interfaces.unused_name(wanted)
                tried.append(spec.name)
                try:
                    return await self._plane.netif_attach(self._link.carrier.port, spec)
                except DataPathError as error:
                    if error.code != IN_USE or "%d" in wanted or attempt == NAME_TRIES - 1:
                        raise
                    # somebody else's: it stays reserved for now, so that the next try takes another one
        finally:
            interfaces.names.difference_update(tried)

    async def _join(self, netif: Netif) -> Any:
        """Count ourselves in on the shared interface; the first one sets it up, and the others wait for that."""
        shared = self._interfaces.shared.get(netif.name)
        if shared is not None and shared.netif.ifindex == netif.ifindex:
            self._shared = shared
            shared.links += 1
            if shared.ready is not None:
                waiting: Deferred[None] = Deferred()
                shared.ready.append(waiting)
                await waiting
            if not shared.pools.issuperset(self._link.network.pools):
                await self._interfaces.serve(shared, self._link.network)
            self.table, self._ruled = shared.table, shared.ruled
            return
        self._shared = shared = self._interfaces.shared[netif.name] = Shared(netif)
        shared.links = 1
        failure: Failure | None = None
        try:
            await self._interfaces.set_up_shared(shared, self._link.network)
        except Exception:
            failure = Failure()
            # who comes next tries again
            self._interfaces.shared.pop(netif.name, None)
        waiters, shared.ready = shared.ready, None
        for waiter in waiters or ():
            if failure is None:
                waiter.callback(None)
            else:
                waiter.errback(failure)
        if failure is not None:
            raise failure.value
        self.table, self._ruled = shared.table, shared.ruled

    def _own_steps(self, wanted: NetworkUp) -> list[Deferred[Any]]:
        assert self.netif is not None
        network, ifindex = self._interfaces.network, self.netif.ifindex
        steps = []
        if self._mtu != self._link.mtu:
            steps.append(network.link_set(ifindex, mtu=self._link.mtu))
        if wanted.protocol == "ipv6":
            # before the address, at which the kernel asks for routers
            self._interfaces.ipv6_set(self.netif.name, self._link.network)
        if not has_addresses(wanted):
            return steps
        if self._ruled:
            steps += self._in_table(wanted)
        else:
            steps.append(network.address_add(ifindex, wanted.local, wanted.peer))
        return steps

    def _in_table(self, wanted: NetworkUp) -> list[Deferred[Any]]:
        """An address whose peer is routed in a table of its own. Link-local addresses are of the interface alone."""
        assert self.netif is not None
        network, ifindex, protocol = self._interfaces.network, self.netif.ifindex, wanted.protocol
        steps = [network.address_add(ifindex, wanted.local, wanted.peer, routed=protocol == "ipv6")]
        if protocol not in self._rules:
            self._rules += (protocol,)
            steps.append(self._interfaces.rule(self.netif.name, self.table, protocol == "ipv6"))
        if protocol == "ip":
            steps.append(network.route_add(f"{wanted.peer}/32", ifindex, table=self.table, beside=True))
        return steps

    def _shared_steps(self, wanted: NetworkUp) -> list[Deferred[Any]]:
        assert self._shared is not None
        shared, network = self._shared, self._interfaces.network
        ifindex = shared.netif.ifindex
        steps = []
        if wanted.local not in shared.locals and has_addresses(wanted):
            shared.locals.add(wanted.local)
            local = f"{wanted.local}/64" if wanted.protocol == "ipv6" else wanted.local
            # the address may be on another interface too, and that is fine
            steps.append(network.address_add(ifindex, local).addErrback(allow, errno.EEXIST)
                         .addErrback(self._not_local, shared, wanted.local))
        if wanted.protocol == "ip" and has_addresses(wanted) and not self._covered(shared, wanted.peer):
            steps += self._share_route(f"{wanted.peer}/32")
        return steps

    @staticmethod
    def _not_local(failure: Failure, shared: Shared, address: str) -> Failure:
        # the next link tries again
        shared.locals.discard(address)
        return failure

    def _covered(self, shared: Shared, address: str) -> bool:
        lease = getattr(self._link, "lease", None)
        return lease is not None and lease.pool is not None and lease.pool.name in shared.pools

    def _share_route(self, prefix: str) -> list[Deferred[Any]]:
        assert self._shared is not None
        count = self._shared.routed.get(prefix)
        if count == 0:
            return []
        self._shared.routed[prefix] = (count or 0) + 1
        self._routed = prefix
        return [] if count else [self._interfaces.network.route_add(prefix, self._shared.netif.ifindex,
                                                                    table=self.table)]

    def _routes(self, protocol: str) -> Iterable[str]:
        return [route.prefix for route in self._link.authorization.behind
                if (":" in route.prefix) == (protocol == "ipv6")]

    def _prefixes(self, networks: Mapping[str, NetworkUp]) -> tuple[str, ...]:
        """What is behind the peer: its addresses, and the prefixes and routes that it was granted."""
        prefixes: list[str] = []
        for protocol in PROTOCOLS:
            network = networks.get(protocol)
            if network is None:
                continue
            if has_addresses(network):
                prefixes.append(f"{network.peer}/{32 if protocol == 'ip' else 128}")
            if protocol == "ipv6":
                prefixes += self.behind
            prefixes += self._routes(protocol)
        return tuple(prefixes)

    # down

    async def _take_down(self, protocol: str, was: NetworkUp) -> Any:
        """The interface stays, for the other protocol or for the next time."""
        assert self.netif is not None
        interfaces, ifindex = self._interfaces, self.netif.ifindex
        protocols = tuple(p for p in PROTOCOLS if p in self._applied)
        await soft(self._plane.netif_modify(self._link.carrier.port, protocols=protocols))
        if self._around is not None:
            await self._around.down(protocol, protocols, self._prefixes(self._applied))
        await self._leave(protocol)
        if self._shared is None and has_addresses(was):
            if self._ruled and protocol == "ip":
                await soft(interfaces.network.route_delete(f"{was.peer}/32", ifindex, table=self.table))
            await soft(interfaces.network.address_delete(ifindex, was.local, was.peer))

    async def _leave(self, protocol: str) -> Any:
        """Take this link's address off a shared interface."""
        shared, prefix = self._shared, self._routed
        if shared is None or protocol != "ip" or not prefix:
            return
        self._routed = ""
        shared.routed[prefix] -= 1
        if not shared.routed[prefix]:
            del shared.routed[prefix]
            await soft(self._interfaces.network.route_delete(prefix, shared.netif.ifindex, table=self.table))

    async def _remove(self) -> Any:
        if self.netif is None:
            return
        applied, self._applied = self._applied, {}
        try:
            if self._around is not None:
                gone, self._around = self._around, None
                await gone.over()
        finally:
            # whatever could not be taken away, the interface can
            for protocol in applied:
                await self._leave(protocol)
            await self._detach()

    async def _detach(self) -> Any:
        """Give the interface back, with all that was set on it."""
        assert self.netif is not None
        interfaces, shared, netif = self._interfaces, self._shared, self.netif
        if shared is not None:
            shared.links -= 1
            if not shared.links and interfaces.shared.get(shared.netif.name) is shared:
                del interfaces.shared[shared.netif.name]
                await interfaces.take_down_shared(shared)
        rules, self._rules = self._rules, ()
        for protocol in rules:
            await interfaces.unrule(netif.name, self.table, protocol == "ipv6")
        await soft(self._plane.netif_detach(self._link.carrier.port))
        interfaces.names.discard(netif.name)
        self.netif = None
        self._shared = None
        self.table, self._ruled = 0, False


def has_addresses(network: NetworkUp) -> bool:
    return network.local not in ("", "0.0.0.0", "::") and network.peer not in ("", "0.0.0.0", "::")
