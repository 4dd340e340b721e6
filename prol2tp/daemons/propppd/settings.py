"""From a profile of propppd.conf and the session it is for to the settings of one link: the one place of both."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from prol2tp.config import propppd
from prol2tp.config.propppd import Profile
from prol2tp.ppp.settings import LinkSettings


@dataclass(slots=True)
class Carrier:
    """The L2TP session under a link: what an `attach-row` says, without the secret."""

    id: str
    port: int
    tunnel_id: int
    session_id: int
    peer_tunnel_id: int
    peer_session_id: int
    lns: bool
    version: int
    ppp_profile: str
    user_name: str
    interface_name: str
    peer_address: str
    local_address: str
    calling_number: str
    called_number: str
    tunnel_name: str
    session_name: str
    mtu: int
    log_level: str


_DEFAULTS: dict[str, Any] = {
    "peer_tunnel_id": 0, "peer_session_id": 0, "lns": False, "version": 2, "user_name": "", "interface_name": "",
    "peer_address": "", "local_address": "", "calling_number": "", "called_number": "", "tunnel_name": "",
    "session_name": "", "mtu": 0, "log_level": "",
}
_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool}
_FIELDS = [(field.name, _TYPES[str(field.type)]) for field in fields(Carrier)]


def carrier_of(row: Mapping[str, Any]) -> Carrier:
    """The carrier of an attach row. Raises `ValueError` for one that is not as declared."""
    values: list[Any] = []
    for name, kind in _FIELDS:
        value = row.get(name, _DEFAULTS.get(name))
        if type(value) is not kind:
            raise ValueError(f"{name} must be {'text' if kind is str else 'a number' if kind is int else 'a boolean'}")
        # the same few texts come with every session
        values.append(sys.intern(value) if type(value) is str else value)
    return Carrier(*values)


def link_settings(profile: Profile, carrier: Carrier, password: str) -> LinkSettings:
    """The settings of a link: those of its profile, and what its session adds.

    MTU and MRU are what the profile says, and never more than the tunnel carries; the peer's MRU lowers the MTU
    further when LCP is up (`link.mtu`).
    """
    settings = LinkSettings(**propppd.link_settings(profile))
    if carrier.mtu:
        settings.mtu = min(settings.mtu, carrier.mtu)
        settings.mru = min(settings.mru, carrier.mtu)
    # only the data path knows of traffic: propppd watches it (`idle.IdleWatch`)
    settings.idle_timeout = 0.0
    if carrier.user_name:
        settings.user = carrier.user_name
        settings.password = password
    return settings


@dataclass(slots=True)
class NetworkSettings:
    """What a profile says about the interface and the network around it; one for all links of the profile."""

    shared: bool = False
    name: str = "ppp%d"
    """Interface name: a template for own interfaces, the name itself for the shared one."""
    default_route: bool = False
    proxy_arp: bool = False
    table: int = 0
    """Routing table; 0: main."""
    usepeerdns: bool = False
    source_check: bool = True
    mss_clamp: bool = True
    clear_df: bool = False
    pools: tuple[str, ...] = ()
    """Pools whose networks are routed to the shared interface."""
    mtu: int = 1500

    @property
    def around(self) -> bool:
        """Whether anything is set outside of the interface, but for a user's routes."""
        return self.default_route or self.proxy_arp or self.usepeerdns


_SAME_NAME = ("default_route", "proxy_arp", "table", "usepeerdns", "mss_clamp", "clear_df", "mtu")


def network_settings(profile: Profile) -> NetworkSettings:
    """The network settings of a profile. Packets from a provider may have any source: the source is checked only
    where we give the peer its address."""
    gives = bool(profile.auth or profile.ip_pool or profile.peer_ip) and not profile.default_route
    return NetworkSettings(
        shared=profile.interface == "shared", name=profile.interface_name, pools=profile.ip_pool,
        source_check=profile.source_check and gives, **{name: getattr(profile, name) for name in _SAME_NAME},
    )
