"""From what RADIUS says of tunnels (RFC 2868) to the destinations of a route."""

from __future__ import annotations

from prol2tp.config.routes import L2tpProfile
from prol2tp.daemons.proacd.choice import Destination
from prol2tp.radius.tunnels import TunnelGroup

_NO_AUTHENTICATION, _CHALLENGE = "none", "challenge"
_LONGEST_KEY = 255


def destinations_of(groups: tuple[TunnelGroup, ...], defaults: L2tpProfile | None) -> list[Destination]:
    """Groups of an answer, best first; those of one level (preference, and rank in a list of servers) are equals.

    :param defaults: what holds where the answer says nothing.
    """
    levels = sorted({(group.preference, group.rank) for group in groups})
    places = {level: place for place, level in enumerate(levels)}
    return [_destination(group, places[group.preference, group.rank], defaults) for group in groups]


def _destination(group: TunnelGroup, preference: int, defaults: L2tpProfile | None) -> Destination:
    tunnel = {**defaults.tunnel} if defaults is not None else {}
    session = {**defaults.session} if defaults is not None else {}
    if defaults is not None and defaults.tunnel_profile:
        tunnel["tunnel_profile"] = defaults.tunnel_profile
    tunnel["peer"] = group.server_endpoint
    if group.password:
        tunnel["secret"] = _octets(group.password)
    if group.client_endpoint:
        tunnel["local"] = group.client_endpoint
    if group.client_auth_id:
        tunnel["hostname"] = group.client_auth_id
    if group.hello_interval is not None:
        tunnel["hello_timeout"] = str(group.hello_interval)
    if group.idle_timeout is not None:
        tunnel["idle_timeout"] = str(group.idle_timeout)
    if group.hide_avps is not None:
        tunnel["hide_avps"] = "true" if group.hide_avps else "false"
    if group.authentication is not None:
        tunnel["auth_mode"] = _CHALLENGE if group.authentication else _NO_AUTHENTICATION
    if group.private_group_id:
        session["priv_group_id"] = _octets(group.private_group_id.encode())
    return Destination(group.server_endpoint, preference, 1, tunnel, session, _key(group), group.assignment_id)


def _octets(value: bytes) -> str:
    """As parameters of type octets have it, whatever is in them."""
    return f"hex:{value[:255].hex()}"


def _key(group: TunnelGroup) -> str:
    """Sessions with one Tunnel-Assignment-ID to one server share a tunnel (RFC 2868 section 3.7); those without one
    share that which has no name."""
    name = "".join(char if char.isprintable() else "?" for char in group.assignment_id)
    server = f"@{group.server_endpoint}"
    return f"{name or 'radius'}"[:_LONGEST_KEY - len(server)] + server
