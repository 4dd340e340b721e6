"""IPv6 of the links on which we are the provider: prefixes and addresses taken when IPv6CP is up, router advertisements
and DHCPv6 served out of them, routes to what the peer has, all given back when IPv6CP is down.

A prefix is routed, and let through the source check, before the peer is told of it; of a lease, that is when a client
takes it and not earlier, or packets to it would go round between us and a router that does not know it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.addresses import NoAddress, chain
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.interfaces import soft
from prol2tp.daemons.propppd.ipv6_offer import (
    Kind,
    Offer,
    advertiser_settings,
    lease_of,
    offer_of,
    server_settings,
)
from prol2tp.daemons.propppd.link import IPV6_HEADERS, PPPLink
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.prefixes import Claim, NoPrefix
from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.outputs import (
    AddressDeclined,
    AddressLeased,
    AddressReleased,
    Output,
    PrefixDelegated,
    PrefixReleased,
    SendPacket,
)
from prol2tp.ipv6.packet import UDP, protocol_of
from prol2tp.ipv6.ra import Advertiser, AdvertiserCounters, AdvertiserSettings
from prol2tp.ipv6.server import DHCPv6Server, ServerCounters
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import NetworkUp

_log = Logger(namespace="propppd")

PUNT = ("ra", "dhcpv6")


@dataclass(slots=True)
class Given:
    """What a link has of IPv6 now; never changed, but replaced."""

    prefixes: tuple[str, ...] = ()
    """Framed-IPv6-Prefix."""
    addresses: tuple[str, ...] = ()
    """Framed-IPv6-Address: leased at present."""
    delegated: tuple[str, ...] = ()
    """Delegated-IPv6-Prefix: leased at present."""


NOTHING = Given()


class IPv6(Follower):
    """Opens, changes and closes the IPv6 of links (`PPPLink.ipv6`).

    :param duid: gives the DUID of our DHCPv6 server.
    """

    def __init__(self, links: Links, duid: Callable[[], bytes]) -> None:
        self._links = links
        self._duid = duid

    def protocol_up(self, link: PPPLink, network: NetworkUp) -> None:
        if network.protocol != "ipv6":
            return
        if link.ipv6 is not None:
            link.ipv6.close()
            link.ipv6 = None
        offer = offer_of(link.profile, link.authorization)
        if offer and link.network.serves:
            self._open(link, network.local, offer)

    def _open(self, link: PPPLink, local: str, offer: Offer) -> None:
        link.ipv6 = LinkIPv6(link, self._links, self._duid, local)
        link.ipv6.open(offer)

    def link_changed(self, link: PPPLink, before: Authorization) -> None:
        network = link.interface.network("ipv6") if link.interface is not None else None
        if network is None or not link.network.serves:
            return
        offer = offer_of(link.profile, link.authorization)
        if offer == offer_of(link.profile, before):
            return
        if link.ipv6 is not None and link.ipv6.running:
            link.ipv6.change(offer)
        elif offer and link.core.ipv6cp is not None and link.core.ipv6cp.announced:
            self._open(link, network.local, offer)

    def link_closing(self, link: PPPLink) -> None:
        if link.ipv6 is not None:
            link.ipv6.say_goodbye()

    def protocol_down(self, link: PPPLink, protocol: str) -> None:
        if protocol == "ipv6" and link.ipv6 is not None:
            link.ipv6.close()
            if link.core.phase is Phase.NETWORK and link.ipv6.given != NOTHING:
                # the link goes on without IPv6; one that ends keeps what it had, for its last record
                link.ipv6.given = NOTHING
                self._links.followers.tell("addresses_changed", link)

    def link_ended(self, link: PPPLink) -> None:
        if link.ipv6 is not None:
            link.ipv6.close()


class LinkIPv6:
    """IPv6 of one link, from IPv6CP up to down."""

    __slots__ = ("link", "offer", "given", "prefixes", "addresses", "delegated", "advertiser", "server", "running",
                 "strays", "_links", "_duid", "_local", "_leased", "_routed", "_todo", "_busy", "_told")

    def __init__(self, link: PPPLink, links: Links, duid: Callable[[], bytes], local: str) -> None:
        self.link = link
        self.offer = Offer()
        self.given = NOTHING
        self.prefixes: tuple[Claim, ...] = ()
        """Announced on the link."""
        self.addresses: tuple[Claim, ...] = ()
        """DHCPv6 may lease them."""
        self.delegated: tuple[Claim, ...] = ()
        """DHCPv6 may delegate them."""
        self.advertiser: Advertiser | None = None
        self.server: DHCPv6Server | None = None
        """None until the peer speaks DHCPv6."""
        self.running = False
        self.strays = 0
        """Packets that are for no core: cut short, or nothing that we serve."""
        self._links = links
        self._duid = duid
        self._local = local
        self._leased: dict[str, bool] = {}
        """Addresses and prefixes (True) that a client has."""
        self._routed: tuple[str, ...] = ()
        self._todo: deque[Output] = deque()
        self._busy = False
        self._told = False
        """The log has a packet of the peer that could not be read."""

    # what the link has

    def open(self, offer: Offer) -> None:
        """IPv6CP is up."""
        self.running = True
        self._assign(offer)
        if self.prefixes:
            self.link.say(Level.INFO, "ipv6: prefix {what}", what=" ".join(claim.text for claim in self.prefixes))
        if any(offer.kinds) and not self._claims():
            # not from within the report that IPv6 is up
            self._links.clock.callLater(0, self._failed)
            return
        self._changed()
        self._then(self._opened)

    def _opened(self, _: Any) -> None:
        if not self.running or not self.link.profile.ra:
            return
        self.advertiser = Advertiser(self._advertised(), self._local, self._links.random_bytes)
        self.advertiser.open(self._links.clock.seconds())
        self._drain()

    def _failed(self) -> None:
        """There is nothing for the user: without IPv6CP the peer knows."""
        if self.running and not self.link.ended:
            self.link.tell(self.link.core.network_failed, "ipv6")

    def change(self, offer: Offer) -> None:
        """The user may have something else from now on. What he loses is withdrawn, and given back then."""
        before = self._claims()
        self._assign(offer)
        waiting, self._todo = self._todo, deque()
        if self.server is not None:
            settings = server_settings(self.link.profile, offer, self._duid())
            self.server.update(settings, self._lease(), self._links.clock.seconds())
            waiting += self.server.outputs()
        for output in waiting:
            # an answer that waits may be wrong by now, and the client will ask again
            if not isinstance(output, SendPacket):
                self._note(output)
        self._changed()
        # the prefixes first, then the advertisement
        self._then(self._advertise_change)
        kept = self._claims()
        for claim in before:
            if claim not in kept:
                self._links.prefixes.release(claim)
        self._drain()

    def _advertise_change(self, _: Any) -> None:
        if self.running and self.advertiser is not None:
            self.advertiser.update(self._advertised(), self._links.clock.seconds())
            self._drain()

    def say_goodbye(self) -> None:
        """The link is about to be closed: no default router any more (RFC 4861 section 6.2.5)."""
        if self.running and self.advertiser is not None:
            self.advertiser.close(self._links.clock.seconds())
            for output in self.advertiser.outputs():
                self._send(output.packet)

    def close(self) -> None:
        """IPv6CP is down: all is given back, and only `given` is left."""
        if not self.running:
            return
        self.running = False
        self._links.deadlines.set(self, None)
        self._todo.clear()
        self._leased.clear()
        claims = self._claims()
        self.prefixes = self.addresses = self.delegated = ()
        # requests of who gets them next come after ours
        self._update()
        for claim in claims:
            self._links.prefixes.release(claim)
        self.advertiser = self.server = None
        # no cycle is left for the garbage collector
        del self.link

    def _claims(self) -> tuple[Claim, ...]:
        return tuple(dict.fromkeys((*self.prefixes, *self.addresses, *self.delegated)))

    def _assign(self, offer: Offer) -> None:
        """Take what is offered; what the link has already stays where it fits."""
        self.offer = offer
        for text in offer.refused:
            self._warn(Level.WARNING, f"prefix {text} is no user's")
        have = self._claims()
        # a prefix may be of two kinds
        own = {claim.text: claim for claim in have}
        pooled = [[claim for claim in kind if claim.pool is not None]
                  for kind in (self.prefixes, self.addresses, self.delegated)]
        self.prefixes, self.addresses, self.delegated = (
            self._take(kind, own, old) for kind, old in zip(offer.kinds, pooled, strict=True))

    def _take(self, kind: Kind, own: dict[str, Claim], old: Sequence[Claim]) -> tuple[Claim, ...]:
        claims = []
        try:
            for network in kind.fixed:
                claim = own.get(str(network)) or self._claim(network)
                own[claim.text] = claim
                claims.append(claim)
            if kind.pools:
                prefixes = self._links.prefixes
                pools = list(chain(prefixes.pools, kind.pools))
                kept = [claim for claim in old if claim.pool in pools]
                claims += kept[:1] or [prefixes.take(kind.pools, self.link, self.link.user)]
        except NoAddress as error:
            # that a pool is used up is said once for all
            self._warn(Level.INFO if isinstance(error, NoPrefix) else Level.WARNING, str(error))
        return tuple(claims)

    def _warn(self, level: Level, problem: str) -> None:
        self.link.say(level, "ipv6, user {user}: {problem}", user=self.link.shown_user or "-", problem=problem)

    def _claim(self, network: IPv6Network) -> Claim:
        """A user's own prefix. Who logs in again while the old link is not known to be dead takes it over. Raises
        `NoAddress`."""
        prefixes, link = self._links.prefixes, self.link
        held = prefixes.holder(network)
        holder = None if held is None else held.owner
        if isinstance(holder, PPPLink) and holder is not link and not holder.ended and holder.user == link.user:
            holder.say(Level.NOTICE, "user {user} has come again as {other}", user=link.user, other=link.name)
            holder.close("Port Preempted", "the user has logged in again")
        return prefixes.claim(network, link, link.user)

    def _advertised(self) -> AdvertiserSettings:
        link = self.link
        return advertiser_settings(link.profile, self.offer, self.prefixes, self.addresses, min(link.mtu, link.mru))

    def _lease(self) -> Lease:
        return lease_of(self.link.profile, self.addresses, self.delegated)

    def record(self) -> dict[str, Any]:
        """An `ipv6` record of the control protocol."""
        advertised = self.advertiser.counters if self.advertiser is not None else AdvertiserCounters()
        served = self.server.counters if self.server is not None else ServerCounters()
        return {
            "prefixes": [claim.text for claim in self.prefixes],
            "addresses": [claim.address for claim in self.addresses],
            "delegated": [claim.text for claim in self.delegated],
            "leased": list(self._leased),
            "dns": list(self.offer.dns),
            "routes": list(self.offer.routes),
            "solicitations": advertised.solicitations,
            "advertisements": advertised.advertisements,
            "dhcpv6_received": served.received,
            "dhcpv6_sent": served.sent,
            "bad": advertised.bad + served.bad + self.strays,
        }

    # routes, and what the data path lets through

    def _update(self) -> Deferred[Any]:
        """Route what the peer has now, and nothing else; fires when that is done."""
        link, routed = self.link, self._wanted()
        interface = link.interface
        if interface is None or interface.netif is None:
            self._routed = ()
            return DeferredList([])
        network, ifindex, table = self._links.interfaces.network, interface.netif.ifindex, interface.table
        steps = [soft(network.route_delete(prefix, ifindex, table=table))
                 for prefix in self._routed if prefix not in routed]
        # after a crash the interface of the link before may still have it for a moment
        steps += [soft(network.route_add(prefix, ifindex, table=table, beside=True), self._links.log,
                       f"{link.name}: route {prefix}") for prefix in routed if prefix not in self._routed]
        self._routed = interface.behind = routed
        interface.punt = PUNT if self.running else ()
        steps.append(interface.refresh())
        return DeferredList(steps)

    def _then(self, callback: Callable[[Any], None]) -> None:
        """When the routes are as they should be. A fault of ours costs the link its IPv6 and nothing else."""
        name = self.link.name
        self._update().addCallback(callback).addErrback(
            lambda failure: _log.failure("IPv6 of {link}", failure=failure, link=name))

    def _wanted(self) -> tuple[str, ...]:
        """Delegated prefixes first: most of the traffic is theirs."""
        framed = [claim.text for claim in self.prefixes]
        networks = [IPv6Network(text) for text in framed]
        prefixes = [text for text, delegated in self._leased.items() if delegated]
        addresses = [IPv6Network(text) for text, delegated in self._leased.items() if not delegated]
        single = [str(one) for one in addresses if not any(one.subnet_of(network) for network in networks)]
        return tuple(dict.fromkeys((*prefixes, *single, *framed)))

    def _changed(self) -> None:
        """What the link has is another."""
        given = Given(tuple(claim.text for claim in self.prefixes),
                      tuple(text for text, delegated in self._leased.items() if not delegated),
                      tuple(text for text, delegated in self._leased.items() if delegated))
        if given != self.given:
            self.given = given
            self._links.followers.tell("addresses_changed", self.link)

    # packets

    def receive(self, frame: bytes) -> None:
        """A PPP frame with an IPv6 packet that the data path has punted."""
        if not self.running:
            return
        packet = frame[next(len(header) for header in IPV6_HEADERS if frame.startswith(header)):]
        now = self._links.clock.seconds()
        core: Advertiser | DHCPv6Server | None = self.advertiser
        if protocol_of(packet) == UDP:
            core = self._server(now) if self.link.profile.dhcpv6 else None
        if core is None or not core.receive(packet, now):
            self.strays += 1
            return
        self._complain(core.counters)
        self._drain()

    def _server(self, now: float) -> DHCPv6Server:
        if self.server is None:
            settings = server_settings(self.link.profile, self.offer, self._duid())
            self.server = DHCPv6Server(settings, self._lease(), self._local, now)
        return self.server

    def _complain(self, counters: AdvertiserCounters | ServerCounters) -> None:
        if counters.bad and not self._told:
            self._told = True
            self.link.say(Level.INFO, "ipv6: a packet of the peer cannot be read: {why}", why=counters.last_bad)

    def expired(self, now: float) -> None:
        """The deadline of a core has come."""
        for core in (self.advertiser, self.server):
            if core is not None and (deadline := core.deadline()) is not None and deadline <= now:
                core.timeout(now)
        self._drain()

    def _drain(self) -> None:
        cores = [core for core in (self.advertiser, self.server) if core is not None]
        for core in cores:
            self._todo += core.outputs()
        self._carry_out()
        deadlines = [deadline for core in cores if (deadline := core.deadline()) is not None]
        if self.running:
            self._links.deadlines.set(self, min(deadlines, default=None))

    def _carry_out(self) -> None:
        """In order: a packet waits until the changes before it are done."""
        while self._todo and not self._busy:
            output = self._todo.popleft()
            if isinstance(output, SendPacket):
                self._send(output.packet)
                continue
            self._note(output)
            while self._todo and not isinstance(self._todo[0], SendPacket):
                self._note(self._todo.popleft())
            self._busy = True
            self._then(self._done)
            self._changed()

    def _done(self, _: Any) -> None:
        self._busy = False
        self._carry_out()

    def _note(self, output: Output) -> None:
        """What a client has leased or given back."""
        say = self.link.say
        if isinstance(output, AddressLeased | PrefixDelegated):
            text, delegated = _leased(output)
            self._leased[text] = delegated
            say(Level.INFO, "ipv6: {what} leased", what=text)
        elif isinstance(output, AddressReleased | PrefixReleased):
            text, _ = _leased(output)
            self._leased.pop(text, None)
            say(Level.INFO, "ipv6: {what} given back", what=text)
        elif isinstance(output, AddressDeclined):
            say(Level.NOTICE, "ipv6: the client says that {address} is in use elsewhere", address=output.address)

    def _send(self, packet: bytes) -> None:
        his = self.link.core.lcp.his
        header = IPV6_HEADERS[("accomp" in his) * 2 + ("pcomp" in his)]
        self._links.dataplane.port_send(self.link.port, header + packet)


def _leased(output: Any) -> tuple[str, bool]:
    """The address or prefix of an output, as text, and whether it is a delegated prefix."""
    delegated = isinstance(output, PrefixDelegated | PrefixReleased)
    return (output.prefix, True) if delegated else (output.address, False)
