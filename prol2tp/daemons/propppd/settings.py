"""From a profile of propppd.conf and what carries the link to the settings of that link: the one place of both."""

from __future__ import annotations

from dataclasses import dataclass

from prol2tp.config import propppd
from prol2tp.config.propppd import Profile
from prol2tp.daemons.propppd.carriers import Carrier
from prol2tp.ppp.settings import LinkSettings


def limits(profile: Profile, carrier: Carrier) -> tuple[int, int]:
    """MTU and MRU of a link to begin with: what the profile says, and never more than what carries it. The user's
    Framed-MTU and the peer's MRU lower the MTU further, in the core (`link.mtu`)."""
    if not carrier.mtu:
        return profile.mtu, profile.mru
    return min(profile.mtu, carrier.mtu), min(profile.mru, carrier.mtu)


def link_settings(profile: Profile, carrier: Carrier, password: str) -> LinkSettings:
    """The settings of a link: those of its profile, and what its carrier adds."""
    values = {**propppd.link_settings(profile), **carrier.lcp}
    for name, value in carrier.lcp_defaults.items():
        if values[name] is None:
            values[name] = value
    settings = LinkSettings(**values)
    settings.mtu, settings.mru = limits(profile, carrier)
    settings.proxy_mru = profile.mru
    # after the Identity it is known whether the user is one of ours
    settings.eap_passthrough = profile.use_radius
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
    serves: bool = False
    """The peer has its addresses from us."""
    default_route: bool = False
    proxy_arp: bool = False
    table: int = 0
    """Routing table; 0: main."""
    vrf: str = ""
    """VRF device, whose table counts then."""
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


_SAME_NAME = ("default_route", "proxy_arp", "table", "vrf", "usepeerdns", "mss_clamp", "clear_df", "mtu")

_GIVING = ("auth", "ip_pool", "peer_ip", "ipv6_pool", "ipv6_address_pool", "delegated_pool")


def network_settings(profile: Profile) -> NetworkSettings:
    """The network settings of a profile. Packets from a provider may have any source: the source is checked only
    where we give the peer its address."""
    serves = any(getattr(profile, name) for name in _GIVING) and not profile.default_route
    return NetworkSettings(
        shared=profile.interface == "shared", name=profile.interface_name, pools=profile.ip_pool, serves=serves,
        source_check=profile.source_check and serves, **{name: getattr(profile, name) for name in _SAME_NAME},
    )
