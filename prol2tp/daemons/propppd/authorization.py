"""What a user may have on the network around the link: from a `user` block or a RADIUS answer, changed by a CoA.

What PPP itself negotiates is in the core's `Grant`, which carries one of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from prol2tp.config.propppd import User
from prol2tp.daemons.propppd.settings import NetworkSettings
from prol2tp.radius import avpairs
from prol2tp.radius.answer import NAS_SELECTS, USER_SELECTS, Answer
from prol2tp.radius.values import Route

FROM_A_POOL = ("", "0.0.0.0", NAS_SELECTS, USER_SELECTS)
"""Framed-IP-Address that names none. A choice of the subscriber's could be an address of somebody else."""


@dataclass(slots=True)
class Authorization:
    """None, "" and (): as the profile of the link says. Never changed: a CoA gives a link another one."""

    source: str = "Local"
    """Who let the user in, as Acct-Authentic has it: RADIUS, Local, Remote."""
    server: str = ""
    """The RADIUS server."""
    pools: tuple[str, ...] = ()
    """Framed-Pool: the next one when one is used up."""
    netmask: str = ""
    """Framed-IP-Netmask."""
    subnet: tuple[Route, ...] = ()
    """The network that it makes of the address, as a route."""
    routes: tuple[Route, ...] = ()
    """Framed-Route and Framed-IPv6-Route."""
    ipv6_prefixes: tuple[str, ...] = ()
    """Framed-IPv6-Prefix: announced on the link."""
    ipv6_pool: str = ""
    """Framed-IPv6-Pool."""
    ipv6_addresses: tuple[str, ...] = ()
    """Framed-IPv6-Address: leased by DHCPv6."""
    ipv6_address_pool: str = ""
    """Stateful-IPv6-Address-Pool."""
    delegated_prefixes: tuple[str, ...] = ()
    """Delegated-IPv6-Prefix."""
    delegated_pool: str = ""
    """Delegated-IPv6-Prefix-Pool."""
    ipv6_dns: tuple[str, ...] = ()
    """DNS-Server-IPv6-Address."""
    ipv6_more_specific: tuple[str, ...] = ()
    """Route-IPv6-Information: told in router advertisements (RFC 4191)."""
    filters: tuple[str, ...] = ()
    """Filter-Id."""
    rate_up: int | None = None
    """bit/s from the user; 0: not limited. What counts on a link is `Filters.rates`."""
    rate_down: int | None = None
    """bit/s to the user; 0: not limited."""
    port_limit: int | None = None
    """Links that the user may have at once; 0: any number."""
    interim_interval: float | None = None
    """Seconds between Interim-Updates; 0: none."""
    classes: tuple[bytes, ...] = ()
    """Class: goes back in every accounting record, byte for byte."""
    chargeable_user_identity: bytes = b""
    user_name: bytes = b""
    """User-Name for accounting where the octets that the server knows are not those of the user's name as text."""
    table: int | None = None
    """Routing table; 0: main."""
    vrf: str = ""

    @property
    def behind(self) -> tuple[Route, ...]:
        """All that is routed to the user, beside his address."""
        return self.subnet + self.routes


NOTHING = Authorization(source="")
"""Of a link whose user was not asked who he is."""


def of_user(user: User) -> Authorization:
    """Of a local user."""
    up, down = user.rate_limit or (None, None)
    return Authorization(
        pools=user.ip_pool,
        netmask=user.netmask,
        subnet=subnet_of(user.ip or "", user.netmask),
        routes=tuple(Route(str(network), "", None) for network in user.routes)
        + tuple(Route(*route) for route in user.route),
        ipv6_prefixes=tuple(map(str, user.ipv6_prefix)),
        ipv6_pool=user.ipv6_pool,
        ipv6_addresses=user.ipv6_address,
        ipv6_address_pool=user.ipv6_address_pool,
        delegated_prefixes=tuple(map(str, user.delegated_prefix)),
        delegated_pool=user.delegated_pool,
        ipv6_dns=user.ipv6_dns,
        filters=user.filter,
        rate_up=up,
        rate_down=down,
        port_limit=user.port_limit,
        interim_interval=user.interim_interval,
        table=user.table,
        vrf=user.vrf,
    )


def of_answer(answer: Answer, server: str) -> Authorization:
    """Of an Access-Accept."""
    pairs = avpairs.read(answer.avpairs)
    return Authorization(
        source="RADIUS",
        server=server,
        pools=one(answer.framed_pool or pairs.pool),
        netmask=answer.framed_ip_netmask,
        subnet=subnet_of(answer.framed_ip_address, answer.framed_ip_netmask),
        routes=answer.framed_routes + answer.framed_ipv6_routes + pairs.routes,
        ipv6_prefixes=answer.framed_ipv6_prefixes,
        ipv6_pool=answer.framed_ipv6_pool,
        ipv6_addresses=answer.framed_ipv6_addresses,
        ipv6_address_pool=answer.stateful_ipv6_address_pool,
        delegated_prefixes=answer.delegated_ipv6_prefixes,
        delegated_pool=answer.delegated_ipv6_prefix_pool,
        ipv6_dns=answer.dns_ipv6,
        ipv6_more_specific=answer.route_ipv6_information,
        filters=answer.filter_ids,
        rate_up=answer.rate_up,
        rate_down=answer.rate_down,
        port_limit=answer.port_limit,
        interim_interval=answer.acct_interim_interval,
        classes=answer.classes,
        chargeable_user_identity=answer.chargeable_user_identity,
        table=pairs.table,
        vrf=pairs.vrf,
    )


def one(name: str) -> tuple[str, ...]:
    return (name,) if name else ()


def is_netmask(text: str) -> bool:
    """Ones, then zeros."""
    inverted = int(IPv4Address(text)) ^ 0xFFFFFFFF
    return not inverted & (inverted + 1)


def subnet_of(address: str, netmask: str) -> tuple[Route, ...]:
    """The network that an address has with a netmask, as a route; none for one address alone, for all of them, and
    for a mask that is none."""
    if address in FROM_A_POOL or not netmask or not is_netmask(netmask):
        return ()
    length = int(IPv4Address(netmask)).bit_count()
    if not 0 < length < 32:
        return ()
    return (Route(str(IPv4Network(f"{address}/{length}", strict=False)), "", None),)


def place(authorization: Authorization, network: NetworkSettings) -> tuple[int, str]:
    """Routing table and VRF of a link: the user's, else the profile's. With a VRF the table is that of its device."""
    if authorization.vrf:
        return 0, authorization.vrf
    if authorization.table is not None:
        return authorization.table, ""
    return (0, network.vrf) if network.vrf else (network.table, "")
