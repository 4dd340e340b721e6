"""The line of a route as RADIUS servers see it: what it is, its number, what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from prol2tp.daemons.proacd.destinations import Call
from prol2tp.daemons.proacd.route import Route
from prol2tp.pppoe.packets import vids
from prol2tp.radius.attributes import (
    IPV4,
    IPV6,
    PPPOE_OVER_ETHERNET,
    PPPOE_OVER_QINQ,
    PPPOE_OVER_VLAN,
    VIRTUAL,
    Port,
    TunnelFacts,
)
from prol2tp.radius.lines import line_attributes

_PPPOE_TYPES = (PPPOE_OVER_ETHERNET, PPPOE_OVER_VLAN, PPPOE_OVER_QINQ)
"""NAS-Port-Type by the number of VLAN tags."""


def port_of(route: Route) -> Port:
    """Without what is known only when its destination is open."""
    source = route.source
    port = _PORTS[source.kind](source)
    port.nas_port = route.number
    port.calling_station_id = source.calling_number
    port.called_station_id = source.called_number
    if source.line is not None:
        port.line = line_attributes(source.line.to_record())
    return port


def _pppoe(source: Any) -> Port:
    tags = vids(source.vlans)
    where = ".".join(map(str, (source.interface, *tags)))
    return Port(nas_port_type=_PPPOE_TYPES[min(len(tags), 2)], nas_port_id=f"pppoe {where}:{source.key.session_id}")


def _l2tp(source: Any) -> Port:
    return Port(nas_port_type=VIRTUAL, nas_port_id=f"l2tp {source.id}")


_PORTS: dict[str, Callable[[Any], Port]] = {"pppoe": _pppoe, "l2tp": _l2tp}


def tunnel_of(route: Route) -> TunnelFacts | None:
    """The tunnel that a route leads to (RFC 2868, RFC 2867): we are its client. None: there is none."""
    place = route.place
    if place is None or route.destination is None:
        return None
    call = cast(Call, route.destination)
    server = _host(call.peer or place.tunnel.get("peer", ""))
    return TunnelFacts(
        medium=IPV6 if ":" in server else IPV4, client_endpoint=call.local or _host(place.tunnel.get("local", "")),
        server_endpoint=server,
        connection=str(call.call_serial_number) if call.call_serial_number else "",
        assignment_id=place.assignment_id, client_auth_id=call.host_name, server_auth_id=call.peer_host_name,
    )


def _host(endpoint: str) -> str:
    """Without the port: of `192.0.2.1:1701`, `[2001:db8::1]:1701`, or an address or name alone."""
    if endpoint.startswith("["):
        return endpoint[1:].partition("]")[0]
    return endpoint.partition(":")[0] if endpoint.count(":") == 1 else endpoint
