"""IPv6 in propppd.conf: pools of prefixes and addresses, and what must fit among them and the profiles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any

from prol2tp.config.parameter import Given, row
from prol2tp.config.problems import Problems, Wrong, shown
from prol2tp.config.types import IPNetwork, Number, Prefix, Reference, Text

LINK, LONGEST_DELEGATED, ADDRESS = 64, 64, 128
"""Lengths: a host makes an address of a /64 only (RFC 4862), so the prefix of a link is one, and a delegated prefix has
to hold one; a pool of addresses has 128."""
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
DOMAINS_MAX = 256
"""Octets of all domain names, so that an advertisement fits into 1280 octets."""
_FOR_PEERS = (IPv6Network("2000::/3"), IPv6Network("fc00::/7"))
SHORTEST = 8


def for_peers(network: IPNetwork) -> bool:
    """Whether a peer may have it: global unicast (RFC 4291 section 2.4) or unique local (RFC 4193) addresses, and not
    all the internet."""
    return (isinstance(network, IPv6Network) and network.prefixlen >= SHORTEST
            and any(network.subnet_of(one) for one in _FOR_PEERS))


class DomainName(Text):
    """A domain name of letters, digits, hyphens and underscores, without a dot at its end."""

    def __init__(self) -> None:
        super().__init__(253, "domain")

    def read(self, text: str, is_string: bool) -> str:
        text = super().read(text, is_string).rstrip(".")
        if not _DOMAIN.fullmatch(text):
            raise Wrong(f"{shown(text)} is no domain name", "for example example.net")
        return text


@dataclass(slots=True)
class IPv6Pool:
    """Prefixes, or addresses, for peers."""

    prefix: tuple[IPNetwork, ...] = row(
        Prefix(6), (), "Networks that prefixes are given out of.", many=True, required=True
    )
    length: int = row(Number(16, 128, "bits"), 64, "Length of the prefixes that are given out; 128: addresses.")
    next: str = row(Reference("ipv6_pool"), "", "Pool that is asked when this one is used up.")
    name: str = ""


def pools_of(file: Given, problems: Problems) -> dict[str, IPv6Pool]:
    """All `ipv6_pool` blocks. They do not overlap: a prefix in two places would be given to two peers."""
    pools: dict[str, IPv6Pool] = {}
    networks: list[tuple[int, int, str, IPNetwork]] = []
    for name, given in file.blocks["ipv6_pool"].items():
        pool = pools[name] = IPv6Pool(name=name, **given.values)
        for network in pool.prefix:
            if network.prefixlen > pool.length:
                wrong = f"{network} is too small for prefixes of length {pool.length}"
                given.wrong(problems, "prefix", wrong, f"give a prefix of length {pool.length} or less")
            if not for_peers(network):
                given.wrong(problems, "prefix", f"{network} has no addresses for peers", "for example 2001:db8::/40")
            networks.append((int(network.network_address), int(network.broadcast_address), name, network))
    end, owner, holder = -1, "", ""
    for first, last, name, network in sorted(networks, key=lambda one: (one[0], -one[1])):
        if first <= end:
            where = holder if owner == name else f'{holder} of ipv6_pool "{shown(owner)}"'
            wrong = f"{network} is in {where} already"
            file.blocks["ipv6_pool"][name].wrong(problems, "prefix", wrong, "a prefix is in one pool only")
        if last > end:
            end, owner, holder = last, name, str(network)
    _check_next(pools, file.blocks["ipv6_pool"], problems)
    return pools


def _check_next(pools: Mapping[str, IPv6Pool], blocks: Mapping[str, Given], problems: Problems) -> None:
    """One that leads to itself, or gives out something else."""
    for name, pool in pools.items():
        following = pools.get(pool.next)
        if following is not None and following.length != pool.length:
            wrong = f'next: ipv6_pool "{shown(pool.next)}" gives out prefixes of length {following.length}'
            blocks[name].wrong(problems, "next", wrong, f"one of length {pool.length}")
        seen, at = {name}, pool.next
        while at in pools and at not in seen:
            seen.add(at)
            at = pools[at].next
        if at == name:
            wrong = f"the pools after {blocks[name].block.title()} lead back to it"
            blocks[name].wrong(problems, "next", wrong, "remove next from one of them")


_USES = (
    ("ipv6_pool", LINK, LINK, "a link needs a prefix of length 64"),
    ("ipv6_address_pool", ADDRESS, ADDRESS, "addresses come from a pool of length 128"),
    ("delegated_pool", 0, LONGEST_DELEGATED, "a network behind the user needs a prefix of length 64 or less"),
)


def check_uses(given: Given, pools: Mapping[str, IPv6Pool], problems: Problems) -> None:
    """The pools that a profile or user names give what they are named for. Unknown ones are reported elsewhere."""
    for parameter, shortest, longest, why in _USES:
        value: Any = given.values.get(parameter, ())
        for name in (value,) if isinstance(value, str) else value:
            pool = pools.get(name)
            if pool is not None and not shortest <= pool.length <= longest:
                wrong = f'{parameter}: ipv6_pool "{shown(name)}" gives out prefixes of length {pool.length}'
                given.wrong(problems, parameter, wrong, why)


def check_profile(given: Given, profile: Any, problems: Problems) -> None:
    """Times and names that do not fit together (RFC 4861 section 6.2.1)."""
    if profile.ipv6_preferred_lifetime > profile.ipv6_valid_lifetime:
        wrong = "ipv6_preferred_lifetime is longer than ipv6_valid_lifetime"
        given.wrong(problems, "ipv6_preferred_lifetime", wrong, "an address is preferred while it is valid")
    if profile.ipv6_preferred_lifetime < profile.ra_interval:
        wrong = "ipv6_preferred_lifetime is shorter than ra_interval: addresses would lapse between advertisements"
        given.wrong(problems, "ipv6_preferred_lifetime", wrong, "twice ra_interval or more")
    if 0 < profile.ra_lifetime < profile.ra_interval:
        wrong = "ra_lifetime is shorter than ra_interval: hosts would lose their router between advertisements"
        given.wrong(problems, "ra_lifetime", wrong, "0, or ra_interval or more")
    if sum(len(domain) + 2 for domain in profile.ipv6_domain) > DOMAINS_MAX:
        given.wrong(problems, "ipv6_domain", "these domain names are too long together", f"{DOMAINS_MAX} octets")
    for parameter in ("ipv6_pool", "ipv6_address_pool", "delegated_pool"):
        if getattr(profile, parameter) and not profile.ipv6 and parameter in given.values:
            given.wrong(problems, parameter, f"{parameter} is given, but IPv6 is turned off", "remove: ipv6 false")
