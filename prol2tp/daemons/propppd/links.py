"""All links of the daemon: made for sessions, found by name, id and port, ended one by one or all at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from prol2tp.config.propppd import Filter, Profile, contradictions
from prol2tp.control.paging import Roll
from prol2tp.control.tracing import Tracers
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.addresses import Addresses, NoAddress, Pool
from prol2tp.daemons.propppd.admission import Online
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.carriers import Carrier
from prol2tp.daemons.propppd.filters import Filters
from prol2tp.daemons.propppd.followers import Followers
from prol2tp.daemons.propppd.idle import IdleWatch
from prol2tp.daemons.propppd.interfaces import Interfaces
from prol2tp.daemons.propppd.leftovers import Leftovers
from prol2tp.daemons.propppd.link import Listener, PPPLink
from prol2tp.daemons.propppd.prefixes import Prefixes, PrefixPool
from prol2tp.daemons.propppd.rows import trusted
from prol2tp.daemons.propppd.settings import NetworkSettings, limits, link_settings, network_settings
from prol2tp.daemons.propppd.tls import BadTLS, TLSProfiles
from prol2tp.daemons.traffic import Traffic
from prol2tp.dataplane.nftables import MemorySets
from prol2tp.net.deadlines import ReactorDeadlines
from prol2tp.ppp.link import Link
from prol2tp.ppp.proxy import ProxyRecord, restricted
from prol2tp.ppp.settings import LinkSettings

_log = Logger(namespace="propppd")

Thing = TypeVar("Thing")
COUNTED_AT_ONCE = 500
PER_TURN = 100
"""Links that are closed in one turn of the reactor when all have to go."""


def number_of(name: str) -> int:
    """N of `session-N`; 0: the name is none of ours."""
    word, _, number = name.partition("-")
    if word != "session" or not number.isascii() or not number.isdigit() or len(number) > 18:
        return 0
    return int(number)


class RefusedLink(Exception):
    """The session gets no link; the text says why."""


@dataclass(slots=True)
class Counts:
    """What `status` shows."""

    create_requests: int = 0
    create_failures: int = 0
    destroy_requests: int = 0
    destroy_failures: int = 0
    created: int = 0
    destroyed: int = 0
    up: int = 0
    down: int = 0


def _no_event(event: str, link: PPPLink) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class World:
    """What links live in."""

    clock: IReactorTime
    dataplane: Any
    network: Any
    authentication: Any
    log: Log
    """What links do; `come_and_go` is for links that are made, up and ended."""
    come_and_go: Log
    run_dir: str
    random_bytes: Callable[[int], bytes] = os.urandom
    wall: Callable[[], float] = time.time
    event: Callable[[str, PPPLink], None] = field(default=_no_event)
    sets: Any = field(default_factory=MemorySets)
    """An `ISets`."""


class Links:
    """All links of the daemon."""

    def __init__(self, world: World) -> None:
        self.clock = world.clock
        self.dataplane = world.dataplane
        self.authentication = world.authentication
        self.log = world.log
        self.come_and_go = world.come_and_go
        self.random_bytes = world.random_bytes
        self.wall = world.wall
        self.event = world.event
        self.publish: Callable[..., None] = lambda event, **data: None
        """Tells who follows events of something that is no link's."""
        self.followers = Followers()
        self.tracers = Tracers(self._tracers_changed)
        self.addresses = Addresses(self._pool_changed)
        self.leftovers = Leftovers(world.log)
        self.filters = Filters(world.log, world.sets, self.leftovers)
        world.sets.watch(lambda nft: self.for_all(self.filters.made(nft), self.filters.put_again))
        self.prefixes = Prefixes(self._prefixes_changed)
        self.interfaces = Interfaces(world.dataplane, world.network, world.log, world.run_dir, self._pool_prefixes,
                                     self.addresses.any_within, self.filters, self.leftovers)
        self.deadlines = ReactorDeadlines(world.clock)
        self.idle = IdleWatch(world.clock, world.dataplane)
        self.counts = Counts()
        self.profiles: dict[str, tuple[Profile, NetworkSettings]] = {}
        self.max_links = 0
        self.by_number: dict[int, PPPLink] = {}
        self.by_id: dict[str, PPPLink] = {}
        self.by_port: dict[int, PPPLink] = {}
        self.roll = Roll()
        """Numbers of the links, for lists."""
        self.traffic = Traffic(world.clock, self.roll, lambda number: self.by_number[number].port, self._counters)
        self.online = Online()
        """Authenticated users."""
        self._of_profile: dict[str, int] = {}
        self._settings: dict[Any, LinkSettings] = {}
        self._tls = TLSProfiles()
        # without the universal bit (RFC 5072 section 4.1)
        self._shared_identifier = int.from_bytes(self.random_bytes(8), "big") & ~(2 << 56) or 1
        """Our interface identifier on shared interfaces: one link-local address there, not one for each link."""
        self._next = 1
        self._made = 0
        self._traced = self.log.enabled(Level.DEBUG)
        self._uncounted: list[PPPLink] = []
        self._when_empty: Callable[[], None] | None = None
        self._closing: set[Deferred[None]] = set()
        self.refusing = ""
        """Why no new link is taken; empty: they are."""

    def __len__(self) -> int:
        return len(self.by_number)

    def _pool_prefixes(self, name: str) -> list[str]:
        pool = self.addresses.pools.get(name)
        return [] if pool is None else pool.prefixes()

    def _pool_changed(self, pool: Pool) -> None:
        if pool.exhausted:
            self.log.error("ip_pool {name} is used up: {size} addresses, {reserved} of them reserved", name=pool.name,
                           size=pool.size, reserved=pool.reserved)
        else:
            self.log.notice("ip_pool {name} has {free} free addresses again", name=pool.name, free=pool.free)
        self._publish_pool(pool, "ip_pool")

    def _publish_pool(self, pool: Pool, kind: str) -> None:
        self.publish("pool-exhausted" if pool.exhausted else "pool-relieved", pool=pool.name, kind=kind)

    def _prefixes_changed(self, pool: PrefixPool) -> None:
        if pool.exhausted:
            self.log.error("ipv6_pool {name} is used up: {size} prefixes, {reserved} of them reserved", name=pool.name,
                           size=pool.size, reserved=pool.reserved)
        else:
            self.log.notice("ipv6_pool {name} has {free} free prefixes again", name=pool.name, free=pool.free)
        self._publish_pool(pool, "ipv6_pool")

    def configure(self, profiles: Mapping[str, Profile], max_links: int = 0) -> Deferred[Any]:
        """Take over profiles; `addresses` has its pools already. Links that exist keep their settings."""
        self.profiles = {name: (profile, network_settings(profile)) for name, profile in profiles.items()}
        self.max_links = max_links
        self.files_changed()
        return self.interfaces.pools_changed(network for _, network in self.profiles.values())

    def files_changed(self) -> None:
        """Certificates are read anew for links that are made from now on."""
        self._settings.clear()
        self._tls.forget()

    def named(self, name: str) -> PPPLink | None:
        """By `session-N`."""
        return self.by_number.get(number_of(name))

    def reserve(self) -> int:
        """A number for links that come one after the other."""
        self._next += 1
        return self._next - 1

    def attach(self, carrier: Carrier, password: str, listener: Listener,
               otherwise: Mapping[str, Any] | None = None, number: int = 0, again: bool = False,
               proxy: ProxyRecord | None = None) -> PPPLink:
        """A link for a session; it starts now, or when its carrier is there (`carried`). `otherwise`: parameters of the
        profile with other values for this link. `number`: one that is reserved; `again`: nobody has asked for it this
        time. `proxy`: what another end has negotiated with the peer. Who is asked counts requests and failures. Raises
        `RefusedLink`."""
        link = self._make(carrier, password, listener, otherwise, number or self.reserve(), again, proxy)
        self.counts.created += 1
        self.by_number[link.number] = self.by_id[carrier.id] = link
        self.roll.add(link.number)
        self._of_profile[carrier.ppp_profile] = self._of_profile.get(carrier.ppp_profile, 0) + 1
        link.tell_all(Level.INFO, "created, profile {profile}", profile=carrier.ppp_profile)
        self.event("link-created", link)
        if carrier.port:
            self._start(link)
        return link

    def carried(self, link: PPPLink, port: int) -> None:
        """What carries a link is there: its frames come and go through `port`, and `link.carrier` knows the rest."""
        link.carrier.port = port
        mtu, mru = limits(link.profile, link.carrier)
        settings = link.core.settings
        if (settings.mtu, settings.mru) != (mtu, mru):
            link.core = Link(replace(settings, mtu=mtu, mru=mru), self.random_bytes)
            link.traced()
        self._start(link)

    def _start(self, link: PPPLink) -> None:
        self.by_port[link.port] = link
        link.start()

    def _make(self, carrier: Carrier, password: str, listener: Listener, otherwise: Mapping[str, Any] | None,
              number: int, again: bool, proxy: ProxyRecord | None) -> PPPLink:
        if self.refusing and not again:
            raise RefusedLink(self.refusing)
        found = self.profiles.get(carrier.ppp_profile)
        if found is None:
            raise RefusedLink(f"there is no PPP profile {carrier.ppp_profile!r} in propppd.conf")
        profile, network = found
        if otherwise:
            profile = replace(profile, **otherwise)
            for parameter, wrong, right in contradictions(profile):
                raise RefusedLink(f"{parameter}: {wrong}; {right}")
            network = network_settings(profile)
        if carrier.port and carrier.port in self.by_port:
            raise RefusedLink(f"port {carrier.port} has a link, {self.by_port[carrier.port].name}")
        if self.max_links and len(self.by_number) >= self.max_links:
            raise RefusedLink(f"there are {self.max_links} links, as many as max_links allows")
        if profile.max_sessions and self._of_profile.get(carrier.ppp_profile, 0) >= profile.max_sessions:
            raise RefusedLink(f"profile {carrier.ppp_profile!r} has {profile.max_sessions} links, its max_sessions")
        settings = self._link_settings(profile, carrier, password, cached=not otherwise)
        if proxy is not None:
            settings = restricted(settings, proxy)
        lease = None
        if settings.ip and not settings.auth and profile.ip_pool:
            # nobody will be asked for it later
            try:
                lease = self.addresses.take(profile.ip_pool, carrier.id, network.vrf)
            except NoAddress as error:
                raise RefusedLink(str(error)) from None
            settings = replace(settings, peer_ip=lease.text)
        try:
            link = PPPLink(self, number, carrier, profile, network, settings, listener)
        except ValueError as error:
            if lease is not None:
                self.addresses.release(lease)
            raise RefusedLink(f"profile {carrier.ppp_profile!r}: {error}") from None
        if proxy is not None:
            link.proxy = trusted(proxy, carrier, profile)
        self._made += 1
        link.serial = self._made
        if lease is not None:
            lease.owner = link
            link.lease = lease
        return link

    def _link_settings(self, profile: Profile, carrier: Carrier, password: str, cached: bool) -> LinkSettings:
        """One record for all links that are told the same."""
        key = (carrier.ppp_profile, type(carrier), carrier.mtu)
        cached = cached and not carrier.user_name
        settings = self._settings.get(key) if cached else None
        if settings is None:
            settings = link_settings(profile, carrier, password)
            try:
                settings.tls = self._tls.of(profile)
            except BadTLS as error:
                raise RefusedLink(f"profile {carrier.ppp_profile!r}: {error}") from None
            settings.codecs = tuple(word for word in settings.codecs if word in self.dataplane.codecs)
            if profile.interface == "shared" and not settings.local_interface_id:
                settings.local_interface_id = self._shared_identifier
            if cached:
                self._settings[key] = settings
        return settings

    def configure_filters(self, blocks: Mapping[str, Filter]) -> None:
        """Take over filters; links that have some follow. What is in sets is put there again."""
        changed = blocks != self.filters.blocks
        self.filters.configure(blocks)
        self.for_all(self.filters.members_now(), self.filters.put_again)
        if changed:
            self.for_all(self.by_number.values(), PPPLink.refresh)

    def apply(self, link: PPPLink, authorization: Authorization) -> Deferred[None]:
        """Give a link another authorization (RFC 5176): what differs is changed, and followers hear `link_changed`.
        Fires when routes and filters are changed."""
        before, link.authorization = link.authorization, authorization
        done = link.refresh()
        self.followers.tell("link_changed", link, before)
        return done

    def limit(self, link: PPPLink, session_timeout: float | None, idle_timeout: float | None) -> None:
        """Other timeouts from now on; None: as before."""
        if session_timeout is not None:
            link.tell(link.core.limit_session, session_timeout)
        if idle_timeout is not None:
            link.idle_timeout = idle_timeout
            if link.up:
                self.idle.watch(link)

    def ended(self, link: PPPLink, user: str) -> None:
        """A link is over: its interface and address follow, then nothing of it is left."""
        self.counts.destroyed += 1
        self.by_number.pop(link.number, None)
        if self.by_id.get(link.carrier.id) is link:
            del self.by_id[link.carrier.id]
        if self.by_port.get(link.port) is link:
            del self.by_port[link.port]
        self.roll.discard(link.number)
        self._of_profile[link.carrier.ppp_profile] -= 1
        link.listener.link_closed(link, user)
        removed = link.interface.close() if link.interface is not None else succeed(None)
        if link.lease is not None:
            self.addresses.end(link.lease)
        self._closing.add(removed)

        def over(_: Any) -> None:
            self._closing.discard(removed)
            self.event("link-destroyed", link)
            link.interface = None  # no cycle is left for the garbage collector
            if link.lease is not None:
                self.addresses.release(link.lease)
                link.lease = None
            link.listener.link_gone(link)

        removed.addBoth(over)
        if link.started:
            self._uncounted.append(link)
            if len(self._uncounted) == 1:
                self.clock.callLater(0, self._count)
        if self._when_empty is not None:
            self._when_empty()

    def _count(self) -> None:
        """The final counters of all links that have ended in this turn, in one exchange."""
        links, self._uncounted = self._uncounted, []
        for start in range(0, len(links), COUNTED_AT_ONCE):
            some = links[start:start + COUNTED_AT_ONCE]
            counted = self.dataplane.counters([link.port for link in some])
            counted.addErrback(lambda _: {}).addCallback(self._counted, some)

    def _counted(self, counters: Mapping[int, tuple[Any, ...]], links: Iterable[PPPLink]) -> None:
        for link in links:
            found = counters.get(link.port)
            if found is not None:
                link.totals = found
                link.say(Level.INFO, "sent {tx} packets, {txo} octets; received {rx} packets, {rxo} octets",
                         tx=found[0], txo=found[1], rx=found[3], rxo=found[4])
            self.followers.tell("link_counted", link)

    def for_all(self, things: Iterable[Thing], action: Callable[[Thing], object]) -> Deferred[None]:
        """Do something to many links or other things, some in each turn of the reactor, so that the others go on
        meanwhile."""
        waiting = list(things)
        done: Deferred[None] = Deferred()

        def turn() -> None:
            for _ in range(min(PER_TURN, len(waiting))):
                thing = waiting.pop()
                try:
                    action(thing)
                except Exception:
                    # the others have their turn still, and who waits for them does not wait for ever
                    _log.failure("{thing}", thing=thing)
            if waiting:
                self.clock.callLater(0, turn)
            else:
                done.callback(None)

        turn()
        return done

    def path_lost(self, reason: str) -> Deferred[None]:
        """The data path went away with all ports and interfaces."""
        return self.for_all(self.by_number.values(), lambda link: link.lost("NAS Error", reason))

    def use(self, dataplane: Any) -> None:
        """A new data path, after the old one was lost."""
        self.dataplane = self.interfaces.dataplane = self.idle.dataplane = dataplane
        self._settings.clear()  # codecs are what the data path has

    def level_changed(self) -> None:
        """The log has a new level; links follow where they have none of their own."""
        traced = self.log.enabled(Level.DEBUG)
        if traced != self._traced:
            self._traced = traced
            self.for_all(self.by_number.values(), PPPLink.traced)

    def _tracers_changed(self) -> None:
        self.for_all(self.by_number.values(), PPPLink.traced)

    def own_levels(self) -> None:
        """Levels that were set by command for one link last until now."""
        for link in self.by_number.values():
            own = Level.named(link.carrier.log_level) if link.carrier.log_level else None
            if link.level is not own:
                link.level = own
                link.traced()

    def end_all(self, cause: str, message: str, patience: float) -> Deferred[None]:
        """Terminate all links; fires when they have ended, after `patience` seconds in any case."""
        done: Deferred[None] = Deferred()

        def over() -> None:
            rest = self.for_all(self.by_number.values(), lambda link: link.lost(cause, message))
            rest.chainDeferred(done)

        deadline = self.clock.callLater(patience, over)

        def look() -> None:
            if not self.by_number and deadline.active():
                deadline.cancel()
                done.callback(None)

        self._when_empty = look
        self.for_all(self.by_number.values(), lambda link: link.close(cause, message))
        return done

    def interfaces_gone(self) -> Deferred[Any]:
        """Fires when all interfaces of ended links have been removed."""
        return DeferredList(list(self._closing))

    def _counters(self, ports: list[int]) -> Deferred[dict[int, tuple]]:
        """Of the data path that there is now."""
        found: Deferred[dict[int, tuple]] = self.dataplane.counters(ports)
        return found

    def stop(self) -> None:
        """No timers any more."""
        self.deadlines.stop()
        self.idle.stop()
        self.traffic.stop()
