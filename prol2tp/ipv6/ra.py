"""Router advertisements on a point-to-point link (RFC 4861 section 6.2): when they are sent, and what they say.

To all nodes: three at the start, 16 s apart at most, then at random intervals, never closer than 3 s. A solicitation is
answered at once and to the one who asks, a few times; then as often as one in 3 s. A PPP link has no link-layer
addresses and nobody else on it, so that a prefix is autonomous and not on-link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from prol2tp.common.bucket import Bucket
from prol2tp.common.wire import WireError
from prol2tp.ipv6 import icmpv6, names, packet
from prol2tp.ipv6.icmpv6 import INFINITY, PrefixInformation, RouteInformation, RouterAdvertisement
from prol2tp.ipv6.outputs import SendPacket

# RFC 4861 section 10, seconds
MAX_INITIAL_RTR_ADVERT_INTERVAL = 16.0
MAX_INITIAL_RTR_ADVERTISEMENTS = 3
MIN_DELAY_BETWEEN_RAS = 3.0

SOLICITED_BURST = 3
"""Answers at once; after that one in MIN_DELAY_BETWEEN_RAS."""
DNS_LIFETIME_INTERVALS = 3
"""RFC 8106 section 5.1: in units of max_interval."""
VERSION = 1


@dataclass(slots=True)
class AdvertisedPrefix:
    """RFC 4861 section 6.2.1, AdvPrefixList. Lifetimes are seconds, `INFINITY` for ever."""

    prefix: str
    """As "2001:db8:1::/64"; only /64 gives the client an address by itself."""
    valid_lifetime: int = 2592000
    preferred_lifetime: int = 604800
    on_link: bool = False
    autonomous: bool = True


@dataclass(slots=True)
class AdvertiserSettings:
    """RFC 4861 section 6.2.1. `check` finds what that section forbids."""

    prefixes: tuple[AdvertisedPrefix, ...] = ()
    routes: tuple[str, ...] = ()
    """Networks that are reached through us, told as such beside the default router (RFC 4191)."""
    managed: bool = False
    """M: addresses by DHCPv6."""
    other: bool = False
    """O: other configuration by DHCPv6."""
    hop_limit: int = 64
    mtu: int = 0
    """0: not said."""
    router_lifetime: int = 1800
    """Seconds; 0: no default router."""
    max_interval: float = 600.0
    min_interval: float = 200.0
    dns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises `ValueError`."""
        if not 4 <= self.max_interval <= 1800:
            raise ValueError("max_interval: from 4 to 1800 seconds")
        if not 3 <= self.min_interval <= 0.75 * self.max_interval:
            raise ValueError("min_interval: from 3 seconds to 0.75 max_interval")
        if self.router_lifetime and not self.max_interval <= self.router_lifetime <= 9000:
            raise ValueError("router_lifetime: 0, or from max_interval to 9000 seconds")
        if self.mtu and not 1280 <= self.mtu <= 0xFFFF:
            raise ValueError("mtu: from 1280 octets")
        for prefix in self.prefixes:
            IPv6Network(prefix.prefix)
            if not 0 <= prefix.preferred_lifetime <= prefix.valid_lifetime <= INFINITY:
                raise ValueError(f"{prefix.prefix}: preferred for longer than valid")
        for route in self.routes:
            IPv6Network(route)
        for server in self.dns:
            IPv6Address(server)
        names.encode(self.domains)


@dataclass(slots=True)
class AdvertiserCounters:
    solicitations: int = 0
    advertisements: int = 0
    foreign: int = 0
    """Advertisements by the peer: it wants to be our router."""
    bad: int = 0
    last_bad: str = ""


class Advertiser:
    """One link's advertising interface.

    :param local: our link-local address on the link.
    :param random_bytes: the random source, called with a length.

    Raises `ValueError` for settings that `check` refuses.
    """

    __slots__ = (
        "settings", "counters", "_local", "_random_bytes", "_outputs", "_running", "_initial", "_periodic_at",
        "_multicast_at", "_answer_at", "_answer_to", "_bucket", "_withdrawn",
    )

    def __init__(self, settings: AdvertiserSettings, local: str, random_bytes: Callable[[int], bytes]) -> None:
        settings.check()
        self.settings = settings
        self.counters = AdvertiserCounters()
        self._local = IPv6Address(local).packed
        self._random_bytes = random_bytes
        self._outputs: list[SendPacket] = []
        self._running = False
        self._initial = 0  # advertisements of the first burst that were sent
        self._periodic_at: float | None = None
        self._multicast_at = float("-inf")  # when the last was sent to all
        self._answer_at: float | None = None
        self._answer_to = b""
        self._bucket = Bucket(SOLICITED_BURST, MIN_DELAY_BETWEEN_RAS, 0.0)
        self._withdrawn: dict[str, int] = {}  # prefix: advertisements that still have to say it is gone

    def open(self, now: float) -> None:
        """IPv6CP is up."""
        self._running = True
        self._initial = 0
        self._bucket = Bucket(SOLICITED_BURST, MIN_DELAY_BETWEEN_RAS, now)
        self._to_all(now)

    def update(self, settings: AdvertiserSettings, now: float) -> None:
        """Say the new settings as soon as allowed, as at the start. Prefixes that are gone are said to be so."""
        settings.check()
        remain = {prefix.prefix for prefix in settings.prefixes}
        for prefix in self.settings.prefixes:
            self._withdrawn[prefix.prefix] = MAX_INITIAL_RTR_ADVERTISEMENTS
        for text in remain.intersection(self._withdrawn):
            del self._withdrawn[text]
        self.settings = settings
        if self._running:
            self._initial = 0
            self._periodic_at = max(now, self._multicast_at + MIN_DELAY_BETWEEN_RAS)
            self.timeout(now)

    def close(self, now: float) -> None:
        """No router any more (RFC 4861 section 6.2.5): said once, for the link is about to go."""
        if self._running:
            self._running = False
            self._periodic_at = self._answer_at = None
            self._send(packet.ALL_NODES, 0)

    def receive(self, data: bytes, now: float) -> bool:
        """One IPv6 packet from the subscriber; whether it was a solicitation or advertisement."""
        if packet.protocol_of(data) != packet.ICMPV6:
            return False
        try:
            seen = packet.read(data)
            kind = seen.payload[0] if seen.payload else 0
            if kind not in (icmpv6.ROUTER_SOLICITATION, icmpv6.ROUTER_ADVERTISEMENT):
                return False
            kind, code, body = icmpv6.read_message(seen)
            if kind == icmpv6.ROUTER_ADVERTISEMENT:
                icmpv6.read_advertisement(seen, code, body)
                self.counters.foreign += 1
                return True
            icmpv6.read_solicitation(seen, code, body)
        except WireError as error:
            self.counters.bad += 1
            self.counters.last_bad = str(error)
            return True
        self.counters.solicitations += 1
        if self._running:
            self._solicited(seen.source, now)
        return True

    def _solicited(self, source: bytes, now: float) -> None:
        if not packet.is_link_local(source):
            # nobody to answer to: all hear it, as soon as allowed (RFC 4861 section 6.2.6)
            self._periodic_at = max(now, self._multicast_at + MIN_DELAY_BETWEEN_RAS)
            self.timeout(now)
        elif self._answer_at is not None:
            self._answer_to = source
        elif self._bucket.take(now):
            self._send(source, self.settings.router_lifetime)
        else:
            self._answer_at, self._answer_to = self._bucket.next(now), source

    def timeout(self, now: float) -> None:
        if self._answer_at is not None and self._answer_at <= now:
            self._answer_at = None
            self._bucket.take(now)
            self._send(self._answer_to, self.settings.router_lifetime)
        if self._periodic_at is not None and self._periodic_at <= now:
            self._to_all(now)

    def _to_all(self, now: float) -> None:
        self._multicast_at = now
        self._send(packet.ALL_NODES, self.settings.router_lifetime)
        for text in list(self._withdrawn):
            self._withdrawn[text] -= 1
            if not self._withdrawn[text]:
                del self._withdrawn[text]
        self._initial += 1
        least, most = self.settings.min_interval, self.settings.max_interval
        wait = least + (most - least) * int.from_bytes(self._random_bytes(4), "big") / 0x100000000
        if self._initial < MAX_INITIAL_RTR_ADVERTISEMENTS:
            wait = min(wait, MAX_INITIAL_RTR_ADVERT_INTERVAL)
        self._periodic_at = now + wait

    def _send(self, destination: bytes, router_lifetime: int) -> None:
        body = icmpv6.encode_advertisement(self.advertisement(router_lifetime))
        self.counters.advertisements += 1
        self._outputs.append(
            SendPacket(icmpv6.message(self._local, destination, icmpv6.ROUTER_ADVERTISEMENT, body))
        )

    def advertisement(self, router_lifetime: int) -> RouterAdvertisement:
        """What is said at present."""
        settings = self.settings
        said = [
            _information(one.prefix, one.on_link, one.autonomous, one.valid_lifetime, one.preferred_lifetime)
            for one in settings.prefixes
        ]
        said += [_information(text, False, True, 0, 0) for text in self._withdrawn]
        lifetime = int(DNS_LIFETIME_INTERVALS * settings.max_interval)
        servers = tuple(IPv6Address(server).packed for server in settings.dns)
        return RouterAdvertisement(
            hop_limit=settings.hop_limit,
            managed=settings.managed,
            other=settings.other,
            router_lifetime=router_lifetime,
            mtu=settings.mtu,
            prefixes=tuple(said),
            routes=tuple(_route(text, lifetime if self._running else 0) for text in settings.routes),
            dns=((lifetime, servers),) if servers else (),
            domains=((lifetime, settings.domains),) if settings.domains else (),
        )

    def deadline(self) -> float | None:
        if self._answer_at is None:
            return self._periodic_at
        return self._answer_at if self._periodic_at is None else min(self._answer_at, self._periodic_at)

    def outputs(self) -> list[SendPacket]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def to_record(self, now: float) -> dict[str, Any]:
        """For a daemon that begins anew while the link stays; an answer that waits is not kept."""
        return {
            "version": VERSION,
            "running": self._running,
            "initial": self._initial,
            "periodic": None if self._periodic_at is None else self._periodic_at - now,
            "withdrawn": dict(self._withdrawn),
        }

    @classmethod
    def from_record(
        cls,
        record: dict[str, Any],
        settings: AdvertiserSettings,
        local: str,
        random_bytes: Callable[[int], bytes],
        now: float,
    ) -> Advertiser:
        """Raises `ValueError` or `KeyError` for what `to_record` has not written."""
        if record["version"] != VERSION:
            raise ValueError(f"record of version {record['version']}")
        advertiser = cls(settings, local, random_bytes)
        advertiser._running = record["running"]
        advertiser._initial = record["initial"]
        advertiser._periodic_at = None if record["periodic"] is None else now + record["periodic"]
        advertiser._multicast_at = now
        advertiser._bucket = Bucket(SOLICITED_BURST, MIN_DELAY_BETWEEN_RAS, now)
        advertiser._withdrawn = dict(record["withdrawn"])
        return advertiser


def _information(text: str, on_link: bool, autonomous: bool, valid: int, preferred: int) -> PrefixInformation:
    network = IPv6Network(text)
    return PrefixInformation(
        network.network_address.packed, network.prefixlen, on_link, autonomous, valid, preferred
    )


def _route(text: str, lifetime: int) -> RouteInformation:
    network = IPv6Network(text)
    return RouteInformation(network.network_address.packed, network.prefixlen, lifetime)
