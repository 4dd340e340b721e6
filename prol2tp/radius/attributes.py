"""Plain records and the attributes that carry their fields: tables, one row per attribute, and what walks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from prol2tp.radius.dictionary import ATTRIBUTES, Key, named_values
from prol2tp.radius.packets import attribute, laid_out
from prol2tp.radius.values import ENCODE, FIXED

KNOWN = 256
"""Values of one attribute that are kept as they go on the wire, the latest: those of tunnels, not those of users."""


class Table(NamedTuple):
    """Fields of a record, and the attributes that carry them."""

    fields: Callable[[Any], tuple[Any, ...]]
    """The values of the fields of a record."""
    encoders: tuple[Callable[[Any], bytes], ...]
    """For each of them: its attribute, or all of its attributes, on the wire."""


def rows(*table: tuple[str, str]) -> Table:
    """A table of at least two rows (field, attribute name). A field that ends in `*` is a tuple, one attribute each;
    one that ends in `=` is the same in many requests."""
    encoders = []
    for name, of in table:
        entry = ATTRIBUTES[of]
        encode = _encoder(entry.key, entry.type)
        encoders.append(_several(encode) if name.endswith("*") else _known(encode) if name.endswith("=") else encode)
    return Table(attrgetter(*(name.rstrip("*=") for name, _ in table)), tuple(encoders))


def _encoder(key: Key, type_name: str) -> Callable[[Any], bytes]:
    encode, length = ENCODE[type_name], FIXED.get(type_name)
    if length is None:
        return lambda value: attribute(key, encode(value))
    header = attribute(key, bytes(length))[:-length]
    return lambda value: header + encode(value)


def _several(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda values: b"".join(map(encode, values))


def _known(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lru_cache(KNOWN)(encode)


def write(record: Any, table: Table, into: bytearray) -> None:
    """Append the attributes of a record's fields; None, "" and () are left out. Raises `ValueError`."""
    fields, encoders = table
    for value, encode in zip(fields(record), encoders, strict=True):
        if value or type(value) is int:
            into += encode(value)


@dataclass(slots=True)
class Nas:
    """Who asks: in every request. At least one has to be set (RFC 2865 section 4.1)."""

    ip_address: str = ""
    ipv6_address: str = ""
    identifier: str = ""


NAS = rows(
    ("ip_address=", "NAS-IP-Address"), ("identifier=", "NAS-Identifier"), ("ipv6_address=", "NAS-IPv6-Address")
)

SERVICE_TYPES = named_values("Service-Type")
NAS_PORT_TYPES = named_values("NAS-Port-Type")
FRAMED = SERVICE_TYPES["Framed"]
PPP = named_values("Framed-Protocol")["PPP"]
VIRTUAL = NAS_PORT_TYPES["Virtual"]
ASYNC = NAS_PORT_TYPES["Async"]
PPPOE_OVER_ETHERNET = NAS_PORT_TYPES["PPPoEoE"]
PPPOE_OVER_VLAN = NAS_PORT_TYPES["PPPoEoVLAN"]
PPPOE_OVER_QINQ = NAS_PORT_TYPES["PPPoEoQinQ"]
L2TP = named_values("Tunnel-Type")["L2TP"]
IPV4 = named_values("Tunnel-Medium-Type")["IPv4"]
IPV6 = named_values("Tunnel-Medium-Type")["IPv6"]


@dataclass(slots=True)
class TunnelFacts:
    """The tunnel that a session came through (RFC 2868, RFC 2867): as attributes of requests."""

    type: int = L2TP
    medium: int = IPV4
    client_endpoint: str = ""
    """The LAC's address."""
    server_endpoint: str = ""
    """The LNS's address."""
    connection: str = ""
    """Acct-Tunnel-Connection: the Call Serial Number of L2TP."""
    assignment_id: str = ""
    client_auth_id: str = ""
    """Host Name of the LAC."""
    server_auth_id: str = ""
    packets_lost: int | None = None


TUNNEL_FACTS = rows(
    ("type=", "Tunnel-Type"),
    ("medium=", "Tunnel-Medium-Type"),
    ("client_endpoint=", "Tunnel-Client-Endpoint"),
    ("server_endpoint=", "Tunnel-Server-Endpoint"),
    ("connection", "Acct-Tunnel-Connection"),
    ("assignment_id=", "Tunnel-Assignment-ID"),
    ("packets_lost", "Acct-Tunnel-Packets-Lost"),
    ("client_auth_id=", "Tunnel-Client-Auth-ID"),
    ("server_auth_id=", "Tunnel-Server-Auth-ID"),
)


@dataclass(slots=True)
class Port:
    """The link that a request is about."""

    nas_port: int | None = None
    service_type: int | None = FRAMED
    framed_protocol: int | None = PPP
    called_station_id: str = ""
    calling_station_id: str = ""
    nas_port_type: int | None = VIRTUAL
    connect_info: str = ""
    nas_port_id: str = ""
    agent_circuit_id: str = ""
    """RFC 4679, as `agent_remote_id`."""
    agent_remote_id: str = ""
    tunnel: TunnelFacts | None = None
    line: tuple[tuple[Key, bytes], ...] = ()
    """Of the subscriber, as it goes on the wire: `lines.line_attributes`. Instead of the two ids above."""


PORT = rows(
    ("nas_port", "NAS-Port"),
    ("service_type=", "Service-Type"),
    ("framed_protocol=", "Framed-Protocol"),
    ("called_station_id=", "Called-Station-Id"),
    ("calling_station_id", "Calling-Station-Id"),
    ("nas_port_type=", "NAS-Port-Type"),
    ("connect_info=", "Connect-Info"),
    ("nas_port_id", "NAS-Port-Id"),
    ("agent_circuit_id", "Agent-Circuit-Id"),
    ("agent_remote_id", "Agent-Remote-Id"),
)


def write_tunnel(facts: TunnelFacts, into: bytearray) -> None:
    """Tunnel attributes of a request, tag 0: its octet is a number's first, and nothing before text."""
    write(facts, TUNNEL_FACTS, into)


def write_port(nas: Nas, port: Port, into: bytearray) -> None:
    write(nas, NAS, into)
    write(port, PORT, into)
    if port.line:
        into += laid_out(port.line)
    if port.tunnel is not None:
        write_tunnel(port.tunnel, into)


@dataclass(slots=True)
class Addresses:
    """What a session has got, as text: in accounting, and as hints in an Access-Request."""

    ip_address: str = ""
    ip_netmask: str = ""
    interface_id: int | None = None
    ipv6_prefixes: tuple[str, ...] = ()
    delegated_ipv6_prefixes: tuple[str, ...] = ()
    ipv6_addresses: tuple[str, ...] = ()


ADDRESSES = rows(
    ("ip_address", "Framed-IP-Address"),
    ("ip_netmask", "Framed-IP-Netmask"),
    ("interface_id", "Framed-Interface-Id"),
    ("ipv6_prefixes*", "Framed-IPv6-Prefix"),
    ("delegated_ipv6_prefixes*", "Delegated-IPv6-Prefix"),
    ("ipv6_addresses*", "Framed-IPv6-Address"),
)
