"""What a link is to have of IPv6, from its user's authorization and its profile, and what the cores of `prol2tp.ipv6`
are told of it. Pure.

A link has prefixes of its own, which hosts on it make addresses of (Framed-IPv6-Prefix, RFC 3162); addresses that
DHCPv6 leases (Framed-IPv6-Address, RFC 6911); and prefixes that DHCPv6 delegates to the router behind it
(Delegated-IPv6-Prefix, RFC 4818). Each comes from the user, else from the pool that the user names, else from those of
the profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from math import ceil
from typing import NamedTuple

from prol2tp.config import ipv6
from prol2tp.config.propppd import Profile
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.prefixes import BITS, Claim
from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.ra import AdvertisedPrefix, AdvertiserSettings
from prol2tp.ipv6.server import ServerSettings

MOST = 8
"""Prefixes, servers and routes of each kind that a user may have: all of them fit into one advertisement."""
MINIMUM_MTU = 1280
MINIMUM_REFRESH = 600


class Kind(NamedTuple):
    """Where the prefixes of one kind come from: these, or else one out of the first of these pools that has one."""

    fixed: tuple[IPv6Network, ...] = ()
    pools: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fixed or self.pools)


@dataclass(slots=True)
class Offer:
    """What a link is to have."""

    prefixes: Kind = Kind()
    addresses: Kind = Kind()
    delegated: Kind = Kind()
    dns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """Told in router advertisements (RFC 4191)."""
    refused: tuple[str, ...] = ()
    """Prefixes of the user that nobody can have."""

    @property
    def kinds(self) -> tuple[Kind, Kind, Kind]:
        return self.prefixes, self.addresses, self.delegated

    def __bool__(self) -> bool:
        return any(self.kinds) or bool(self.dns or self.routes)


def offer_of(profile: Profile, user: Authorization) -> Offer:
    """Of a link. A Framed-IPv6-Prefix of length 128 is the address of a user who has no Framed-IPv6-Address."""
    refused: list[str] = []
    prefixes = _networks(user.ipv6_prefixes, refused)
    addresses = _networks(user.ipv6_addresses, refused)
    if not addresses:
        addresses = tuple(one for one in prefixes if one.prefixlen == BITS)
        prefixes = tuple(one for one in prefixes if one.prefixlen < BITS)
    delegated = _networks(user.delegated_prefixes, refused)
    return Offer(
        Kind(prefixes, () if prefixes else _pools(user.ipv6_pool, profile.ipv6_pool)),
        Kind(addresses, () if addresses else _pools(user.ipv6_address_pool, profile.ipv6_address_pool)),
        Kind(delegated, () if delegated else _pools(user.delegated_pool, profile.delegated_pool)),
        (user.ipv6_dns or profile.ipv6_dns)[:MOST], profile.ipv6_domain, user.ipv6_more_specific[:MOST],
        tuple(refused),
    )


def _networks(texts: Sequence[str], refused: list[str]) -> tuple[IPv6Network, ...]:
    networks: dict[IPv6Network, None] = {}
    for text in texts[:MOST]:
        network = IPv6Network(text, strict=False)
        if ipv6.for_peers(network):
            networks[network] = None
        else:
            refused.append(text)
    return tuple(networks)


def _pools(of_user: str, of_profile: tuple[str, ...]) -> tuple[str, ...]:
    return (of_user,) if of_user else of_profile


def advertiser_settings(profile: Profile, offer: Offer, prefixes: Sequence[Claim], addresses: Sequence[Claim],
                        mtu: int) -> AdvertiserSettings:
    """For the router advertisements. Of a prefix shorter than 64 the first of that length is announced; of a longer
    one no host can make an address, and it is announced as it is."""
    valid, preferred = int(profile.ipv6_valid_lifetime), int(profile.ipv6_preferred_lifetime)
    announced = []
    for claim in prefixes:
        text = claim.text if claim.length >= ipv6.LINK else f"{claim.address}/{ipv6.LINK}"
        announced.append(AdvertisedPrefix(text, valid, preferred, autonomous=claim.length <= ipv6.LINK))
    return AdvertiserSettings(
        prefixes=tuple(announced), routes=offer.routes,
        managed=bool(addresses) and profile.dhcpv6, other=profile.dhcpv6,
        hop_limit=profile.ra_hop_limit, mtu=mtu if profile.ra_mtu and mtu >= MINIMUM_MTU else 0,
        router_lifetime=ceil(profile.ra_lifetime),
        max_interval=profile.ra_interval, min_interval=max(3.0, 0.33 * profile.ra_interval),
        dns=offer.dns, domains=offer.domains,
    )


def lease_of(profile: Profile, addresses: Sequence[Claim], delegated: Sequence[Claim]) -> Lease:
    """For DHCPv6."""
    return Lease(tuple(claim.address for claim in addresses), tuple(claim.text for claim in delegated),
                 int(profile.ipv6_preferred_lifetime), int(profile.ipv6_valid_lifetime))


def server_settings(profile: Profile, offer: Offer, duid: bytes) -> ServerSettings:
    """For DHCPv6. Who got only configuration asks again when an address would lapse."""
    refresh = max(MINIMUM_REFRESH, int(profile.ipv6_valid_lifetime))
    return ServerSettings(duid, dns=offer.dns, domains=offer.domains, refresh_time=refresh)
