"""What a CoA-Request changes on a link (RFC 5176 section 2.2): all of it, or nothing.

    Session-Timeout                     from now on; 0: no limit
    Idle-Timeout                        0: none
    Acct-Interim-Interval               0: none
    Class                               all that the link has are replaced
    Filter-Id                           the same
    Framed-Route, Framed-IPv6-Route     the same, for one version of IP
    DNS-Server-IPv6-Address             told in router advertisements, and to clients of DHCPv6 when they renew
    Route-IPv6-Information              told in router advertisements
    Port-Limit                          for later logins
    Cisco-AVPair                        ip:route and ipv6:route, as Framed-Route and Framed-IPv6-Route
    rate limits                         see `radius/rates.py`

Service-Type Framed, Framed-Protocol PPP, NAS-Port-Type, State and Reply-Message change nothing. Whatever else there is
cannot be changed on a link that is up: the request is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.radius import avpairs, rates
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import FRAMED, PPP
from prol2tp.radius.dynauth import (
    INVALID_ATTRIBUTE_VALUE,
    MISSING_ATTRIBUTE,
    UNSUPPORTED_ATTRIBUTE,
    UNSUPPORTED_SERVICE,
    Refused,
)

_AUTHORIZATION = {
    "classes": "classes",
    "filter_ids": "filters",
    "port_limit": "port_limit",
    "dns_ipv6": "ipv6_dns",
    "route_ipv6_information": "ipv6_more_specific",
    "acct_interim_interval": "interim_interval",
    "rate_up": "rate_up",
    "rate_down": "rate_down",
}
"""Fields of `Answer`, and what they are in `Authorization`."""
_LINK = ("session_timeout", "idle_timeout")
_ROUTES = {"framed_routes": False, "framed_ipv6_routes": True}
_PART_OF_RATES = ("data_rate", "xmit_rate", "rate_limit")
_NOTHING = ("reply_message", "state", "ignored")
_DEFAULT = Answer()
_HARMLESS = frozenset(("NAS-Port-Type",))


@dataclass(slots=True)
class Changes:
    """None: stays as it is."""

    authorization: dict[str, Any]
    """Fields of `Authorization`."""
    routes: dict[bool, tuple[Any, ...]]
    """By version: whether they are of IPv6."""
    session_timeout: float | None = None
    idle_timeout: float | None = None

    def of(self, authorization: Authorization) -> Authorization:
        """The authorization after the change; the same object when it is none."""
        changed = dict(self.authorization)
        if self.routes:
            kept = tuple(route for route in authorization.routes if (":" in route.prefix) not in self.routes)
            changed["routes"] = kept + tuple(route for routes in self.routes.values() for route in routes)
        changed = {name: value for name, value in changed.items() if getattr(authorization, name) != value}
        return replace(authorization, **changed) if changed else authorization

    def text(self) -> str:
        """For the log: the names of what changes, and values that are no secret of the user's."""
        said = [f"{name} {value:g}" for name, value in (("session_timeout", self.session_timeout),
                                                         ("idle_timeout", self.idle_timeout)) if value is not None]
        for name, value in self.authorization.items():
            said.append(name if name == "classes" else f"{name} {_plain(value)}")
        said += [f"{'IPv6' if ipv6 else 'IPv4'} routes {_plain([route.prefix for route in routes])}"
                 for ipv6, routes in self.routes.items()]
        return ", ".join(said)


def _pairs(answer: Answer, made: Changes) -> None:
    """Routes of Cisco-AVPairs. Raises `Refused`."""
    pairs = avpairs.read(pair for pair in answer.avpairs if not rates.is_interface_config(pair))
    if pairs != avpairs.Pairs(routes=pairs.routes):
        raise Refused(UNSUPPORTED_ATTRIBUTE, "a Cisco-AVPair that cannot be changed")
    for version in (False, True):
        if routes := tuple(route for route in pairs.routes if (":" in route.prefix) == version):
            made.routes[version] = routes


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def changes_of(answer: Answer) -> Changes:
    """Raises `Refused` with what is wrong."""
    if answer.service_type not in (None, FRAMED) or answer.framed_protocol not in (None, PPP):
        raise Refused(UNSUPPORTED_SERVICE)
    unknown = [name for name in answer.ignored if name not in _HARMLESS]
    if any(name in ("Framed-Route", "Framed-IPv6-Route") for name in unknown):
        raise Refused(INVALID_ATTRIBUTE_VALUE, "a route that is none")
    if unknown:
        raise Refused(UNSUPPORTED_ATTRIBUTE, f"{unknown[0]} is not known here")
    made = Changes({}, {})
    _pairs(answer, made)
    for field in fields(Answer):
        value = getattr(answer, field.name)
        if value == getattr(_DEFAULT, field.name):
            continue
        if field.name in _AUTHORIZATION:
            made.authorization[_AUTHORIZATION[field.name]] = value
        elif field.name in _LINK:
            setattr(made, field.name, value)
        elif field.name in _ROUTES:
            version = _ROUTES[field.name]
            made.routes[version] = value + made.routes.get(version, ())
        elif field.name not in (*_PART_OF_RATES, *_NOTHING, "avpairs", "service_type", "framed_protocol"):
            raise Refused(UNSUPPORTED_ATTRIBUTE, f"{field.name} cannot be changed")
    if made == Changes({}, {}):
        raise Refused(MISSING_ATTRIBUTE, "it changes nothing")
    return made
