"""From proacd.conf to the settings of cores, and to what routes are asked."""

from __future__ import annotations

from dataclasses import replace

from prol2tp import __version__
from prol2tp.config.access import vlan_set
from prol2tp.config.proacd import (
    Interface,
    L2tpDestination,
    PppDestination,
    ProacdConfig,
    Route,
    System,
)
from prol2tp.config.serving import RouteIndex
from prol2tp.daemons.proacd.choice import L2TP, PPP, REFUSED, Choice, Destination
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings, Service

_NO_ADDRESS = bytes(6)
UNTAGGED = frozenset({()})


def concentrator(system: System, hostname: str) -> ConcentratorSettings:
    """What holds for all interfaces.

    :param hostname: of this machine.
    """
    name = system.ac_name or f"ProL2TP V{__version__} {system.hostname or hostname}"
    return ConcentratorSettings(
        # cut where an octet too many would be: the name is for people
        ac_name=name.encode()[:255].decode(errors="ignore"),
        max_sessions=system.max_sessions,
        cookie_lifetime=system.cookie_lifetime,
        route_timeout=system.route_timeout,
        delays=tuple((delay.sessions, delay.seconds) for delay in system.pado_delay),
        max_delayed=system.max_delayed,
    )


def interfaces(config: ProacdConfig, index: RouteIndex) -> dict[str, InterfaceSettings]:
    """Settings of all interfaces that hosts are served on. Address and MTU are missing: `on_link` adds them."""
    return {name: _interface(config.interfaces[name], index) for name in index.interfaces}


def _interface(interface: Interface, index: RouteIndex) -> InterfaceSettings:
    names, any_service = index.services(interface.name)
    return InterfaceSettings(
        mac=_NO_ADDRESS,
        services=tuple(
            Service(one.name or "", one.advertised, index.vlans(interface.name, one.name)) for one in names
        ),
        any_service=any_service,
        any_service_vlans=index.vlans(interface.name, None) if any_service else None,
        vlans=vlan_set(interface.vlans),
        mtu=interface.mtu,
        max_sessions=interface.max_sessions,
        max_sessions_per_mac=interface.max_sessions_per_mac,
        replace=interface.replace,
        padi_burst=interface.padi_burst,
        padi_rate=float(interface.padi_rate),
        allow=frozenset(interface.allow_mac) or None,
        deny=frozenset(interface.deny_mac),
    )


def on_link(settings: InterfaceSettings, mac: bytes, mtu: int) -> InterfaceSettings:
    """For an interface as it is now. A configured MTU counts as far as the interface carries it."""
    return replace(settings, mac=mac, mtu=min(settings.mtu, mtu) if settings.mtu else mtu)


def tagged(settings: InterfaceSettings) -> bool:
    """Frames with VLAN tags are served."""
    return settings.vlans != UNTAGGED


def static_choice(route: Route) -> Choice:
    """Where a route leads by the configuration alone."""
    destination = route.destination
    if isinstance(destination, PppDestination):
        return Choice(PPP, ppp_profile=destination.ppp_profile)
    if not isinstance(destination, L2tpDestination):
        return Choice(REFUSED, message="the configuration does not say where the route leads")
    if destination.tunnel:
        only = Destination(destination.tunnel, tunnel={"name": destination.tunnel}, session=destination.session)
        return Choice(L2TP, (only,))
    return Choice(L2TP, tuple(
        Destination(peer.name, peer.preference, peer.weight, peer.tunnel, peer.session, peer.name)
        for peer in destination.peers
    ))  # fmt: skip
