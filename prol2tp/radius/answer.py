"""What an answer says: Access-Accept, Access-Reject, Access-Challenge, and the changes of a CoA-Request.

RFC 2865 section 5, RFC 2868 (tunnels), RFC 2869, RFC 3162, RFC 4818, RFC 6911, RFC 2548.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.radius import packets, rates, values
from prol2tp.radius.dictionary import ATTRIBUTES, BY_KEY, Key
from prol2tp.radius.packets import MESSAGE_AUTHENTICATOR, Packet
from prol2tp.radius.tunnels import TunnelGroup, TunnelReader
from prol2tp.radius.values import DECODE, Route

USER_SELECTS = "255.255.255.255"
"""Framed-IP-Address: the subscriber may choose (RFC 2865 section 5.8)."""
NAS_SELECTS = "255.255.255.254"
"""Framed-IP-Address: from a pool of ours."""


@dataclass(slots=True)
class Answer:
    """What a user gets, or why not. None, "" and () where the server did not say; times in seconds."""

    user_name: str = ""
    """For accounting, instead of the name that was asked with."""
    service_type: int | None = None
    framed_protocol: int | None = None
    framed_ip_address: str = ""
    framed_ip_netmask: str = ""
    filter_ids: tuple[str, ...] = ()
    framed_mtu: int | None = None
    framed_compression: int | None = None
    reply_message: str = ""
    framed_routes: tuple[Route, ...] = ()
    state: bytes = b""
    classes: tuple[bytes, ...] = ()
    session_timeout: int | None = None
    idle_timeout: int | None = None
    termination_action: int | None = None
    port_limit: int | None = None
    eap_message: bytes = b""
    acct_interim_interval: int | None = None
    framed_pool: str = ""
    chargeable_user_identity: bytes = b""
    framed_interface_id: int | None = None
    framed_ipv6_prefixes: tuple[str, ...] = ()
    framed_ipv6_routes: tuple[Route, ...] = ()
    framed_ipv6_pool: str = ""
    delegated_ipv6_prefixes: tuple[str, ...] = ()
    framed_ipv6_addresses: tuple[str, ...] = ()
    dns_ipv6: tuple[str, ...] = ()
    route_ipv6_information: tuple[str, ...] = ()
    delegated_ipv6_prefix_pool: str = ""
    stateful_ipv6_address_pool: str = ""
    tunnels: tuple[TunnelGroup, ...] = ()
    """Best first (RFC 2868 section 3.8)."""
    tunnel_problems: tuple[str, ...] = ()
    """Why tunnels of this answer are not among them."""
    dns: tuple[str, ...] = ()
    nbns: tuple[str, ...] = ()
    mschap_error: str = ""
    """`E=691 R=1 C=... V=3 M=...`, for the Failure packet (RFC 2548 section 2.1.5)."""
    mschap2_success: str = ""
    """`S=` and 40 hexadecimal digits, for the Success packet."""
    mppe_policy: int | None = None
    mppe_types: int | None = None
    mschap_mppe_keys: bytes = field(default=b"", repr=False)
    """LM-Key(8) and NT-Key(16) of MS-CHAPv1 (RFC 2548 section 2.4.1)."""
    mppe_send_key: bytes = field(default=b"", repr=False)
    mppe_recv_key: bytes = field(default=b"", repr=False)
    rate_up: int | None = None
    """bit/s from the subscriber, 0: not limited (`rates.py`)."""
    rate_down: int | None = None
    """bit/s to the subscriber."""
    data_rate: int | None = None
    """Ascend-Data-Rate, as `xmit_rate`; they are in `rate_up` and `rate_down` already, as is the next."""
    xmit_rate: int | None = None
    rate_limit: str = ""
    """Mikrotik-Rate-Limit."""
    avpairs: tuple[str, ...] = ()
    """Cisco-AVPair."""
    ignored: tuple[str, ...] = ()
    """Names or numbers of attributes that said nothing that could be understood."""


class Malformed(WireError):
    """A known attribute has a value that cannot be (RFC 2865 section 5: then an Access-Accept is a Reject)."""


_ONE = {
    "User-Name": "user_name",
    "Service-Type": "service_type",
    "Framed-Protocol": "framed_protocol",
    "Framed-IP-Address": "framed_ip_address",
    "Framed-IP-Netmask": "framed_ip_netmask",
    "Framed-MTU": "framed_mtu",
    "Framed-Compression": "framed_compression",
    "State": "state",
    "Session-Timeout": "session_timeout",
    "Idle-Timeout": "idle_timeout",
    "Termination-Action": "termination_action",
    "Port-Limit": "port_limit",
    "Acct-Interim-Interval": "acct_interim_interval",
    "Framed-Pool": "framed_pool",
    "Chargeable-User-Identity": "chargeable_user_identity",
    "Framed-Interface-Id": "framed_interface_id",
    "Framed-IPv6-Pool": "framed_ipv6_pool",
    "Delegated-IPv6-Prefix-Pool": "delegated_ipv6_prefix_pool",
    "Stateful-IPv6-Address-Pool": "stateful_ipv6_address_pool",
    "MS-MPPE-Encryption-Policy": "mppe_policy",
    "MS-MPPE-Encryption-Types": "mppe_types",
    "Ascend-Data-Rate": "data_rate",
    "Ascend-Xmit-Rate": "xmit_rate",
    "WISPr-Bandwidth-Max-Up": "rate_up",
    "WISPr-Bandwidth-Max-Down": "rate_down",
    "Mikrotik-Rate-Limit": "rate_limit",
}
_SEVERAL = {
    "Filter-Id": "filter_ids",
    "Mikrotik-Address-List": "filter_ids",
    "Class": "classes",
    "Framed-IPv6-Prefix": "framed_ipv6_prefixes",
    "Delegated-IPv6-Prefix": "delegated_ipv6_prefixes",
    "Framed-IPv6-Address": "framed_ipv6_addresses",
    "DNS-Server-IPv6-Address": "dns_ipv6",
    "Route-IPv6-Information": "route_ipv6_information",
    "MS-Primary-DNS-Server": "dns",
    "MS-Secondary-DNS-Server": "dns",
    "MS-Primary-NBNS-Server": "nbns",
    "MS-Secondary-NBNS-Server": "nbns",
    "Cisco-AVPair": "avpairs",
}
_JOINED = {"Reply-Message": "reply_message", "EAP-Message": "eap_message"}
_ROUTES = {"Framed-Route": "framed_routes", "Framed-IPv6-Route": "framed_ipv6_routes"}
_SALTED = {"MS-MPPE-Send-Key": "mppe_send_key", "MS-MPPE-Recv-Key": "mppe_recv_key"}
_HIDDEN = {"MS-CHAP-MPPE-Keys": "mschap_mppe_keys"}
_AFTER_IDENTIFIER = {"MS-CHAP-Error": "mschap_error", "MS-CHAP2-Success": "mschap2_success"}
"""The first octet of these is the identifier of the exchange."""
_LATER_ORDER = ("MS-Secondary-DNS-Server", "MS-Secondary-NBNS-Server")


class _Reading:
    """Fields as they are collected; `several` become tuples at the end."""

    __slots__ = ("packet", "record", "several", "joined", "tunnels", "ignored", "later")

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.record = Answer()
        self.several: dict[str, list[Any]] = {}
        self.joined: dict[str, list[bytes]] = {}
        self.tunnels: TunnelReader | None = None
        self.ignored: list[str] = []
        self.later: list[tuple[str, Any]] = []


def _row(name: str) -> tuple[str, Callable[[_Reading, bytes], None]]:
    """How an attribute is read: its name, and what does it."""
    decode = DECODE[ATTRIBUTES[name].type]
    if name in _ONE:
        return name, lambda reading, value, to=_ONE[name]: setattr(reading.record, to, decode(value))  # type: ignore
    if name in _LATER_ORDER:
        return name, lambda reading, value: reading.later.append((_SEVERAL[name], decode(value)))
    if name in _SEVERAL:
        return name, lambda reading, value, to=_SEVERAL[name]: (  # type: ignore
            reading.several.setdefault(to, []).append(decode(value)))
    if name in _JOINED:
        return name, lambda reading, value, to=_JOINED[name]: (  # type: ignore
            reading.joined.setdefault(to, []).append(value))
    if name in _ROUTES:
        return name, lambda reading, value, to=_ROUTES[name]: _route(reading, name, to, value)  # type: ignore
    if name in _SALTED:
        return name, lambda reading, value, to=_SALTED[name]: (  # type: ignore
            setattr(reading.record, to, packets.salted(reading.packet, value)))
    if name in _HIDDEN:
        return name, lambda reading, value, to=_HIDDEN[name]: (  # type: ignore
            setattr(reading.record, to, packets.hidden(reading.packet, value)))
    return name, lambda reading, value, to=_AFTER_IDENTIFIER[name]: (  # type: ignore
        setattr(reading.record, to, values.text(value[1:])))


def _route(reading: _Reading, name: str, to: str, value: bytes) -> None:
    """Text that is no route costs that route alone."""
    try:
        found = values.route(values.text(value))
        if (":" in found.prefix) != (to == "framed_ipv6_routes"):
            raise WireError("a route of the other version")
    except WireError:
        reading.ignored.append(name)
        return
    reading.several.setdefault(to, []).append(found)


_READ = {
    ATTRIBUTES[name].key: _row(name)
    for table in (_ONE, _SEVERAL, _JOINED, _ROUTES, _SALTED, _HIDDEN, _AFTER_IDENTIFIER)
    for name in table
}
_SILENT = frozenset((MESSAGE_AUTHENTICATOR, packets.PROXY_STATE))


def read(packet: Packet, rows: Iterable[tuple[Key, bytes]] | None = None) -> Answer:
    """The record of a verified packet's attributes, or of those given. Raises `Malformed`."""
    reading = _Reading(packet)
    for key, value in packets.attributes(packet) if rows is None else rows:
        row = _READ.get(key)
        try:
            if row is not None:
                row[1](reading, value)
            elif key in TunnelReader.KEYS:
                if reading.tunnels is None:
                    reading.tunnels = TunnelReader(packet)
                reading.tunnels.read(key, value)
            elif key not in _SILENT:
                known = BY_KEY.get(key)
                reading.ignored.append(known.name if known else str(key))
        except WireError as error:
            raise Malformed(f"{BY_KEY[key].name}: {error}") from None
    return _finished(reading)


def _finished(reading: _Reading) -> Answer:
    record = reading.record
    for name, value in reading.later:
        reading.several.setdefault(name, []).append(value)
    for name, found in reading.several.items():
        setattr(record, name, tuple(found))
    for name, parts in reading.joined.items():
        whole = b"".join(parts)
        setattr(record, name, whole if name == "eap_message" else values.text(whole))
    if reading.tunnels is not None or any(pair.lower().lstrip().startswith("vpdn:") for pair in record.avpairs):
        tunnels = reading.tunnels or TunnelReader(reading.packet)
        record.tunnels, record.tunnel_problems = tunnels.groups(record.avpairs)
    record.ignored = tuple(reading.ignored)
    _rates(record)
    return record


def _rates(record: Answer) -> None:
    if record.data_rate is None and record.xmit_rate is None and not record.rate_limit and not record.avpairs:
        return
    try:
        limits = rates.mikrotik(record.rate_limit) if record.rate_limit else (None, None)
    except WireError as error:
        raise Malformed(f"Mikrotik-Rate-Limit: {error}") from None
    pairs = rates.cisco(record.avpairs)
    record.rate_up = rates.first(record.rate_up, record.data_rate, limits[0], pairs[0])
    record.rate_down = rates.first(record.rate_down, record.xmit_rate, limits[1], pairs[1])
