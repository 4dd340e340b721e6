"""What a user may have on the network around the link: from a `user` block or a RADIUS answer, changed by a CoA.

What PPP itself negotiates is in the core's `Grant`, which carries one of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from prol2tp.config.propppd import User
from prol2tp.radius.answer import Answer
from prol2tp.radius.values import Route


@dataclass(slots=True)
class Authorization:
    """None, "" and (): as the profile of the link says. Never changed: a CoA gives a link another one."""

    source: str = "Local"
    """Who let the user in, as Acct-Authentic has it: RADIUS, Local, Remote."""
    server: str = ""
    """The RADIUS server."""
    pool: str = ""
    """Framed-Pool."""
    netmask: str = ""
    """Framed-IP-Netmask."""
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
    """bit/s from the user; 0: not limited."""
    rate_down: int | None = None
    """bit/s to the user; 0: not limited."""
    port_limit: int | None = None
    """Links that the user may have at once."""
    interim_interval: float | None = None
    """Seconds between Interim-Updates; 0: none."""
    classes: tuple[bytes, ...] = ()
    """Class: goes back in every accounting record, byte for byte."""
    chargeable_user_identity: bytes = b""
    table: int | None = None
    """Routing table; 0: main."""
    vrf: str = ""


def of_user(user: User) -> Authorization:
    """Of a local user."""
    return Authorization(routes=tuple(Route(str(network), "", None) for network in user.routes))


def of_answer(answer: Answer, server: str) -> Authorization:
    """Of an Access-Accept."""
    return Authorization(
        source="RADIUS", server=server,
        pool=answer.framed_pool,
        routes=answer.framed_routes + answer.framed_ipv6_routes,
        classes=answer.classes,
        chargeable_user_identity=answer.chargeable_user_identity,
    )
