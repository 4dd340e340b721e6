"""Tunnel attributes of an Access-Accept (RFC 2868): one group per tag, best first.

A group that is broken, or asks for a tunnel that there is not, costs itself and no other: it is left out, with a
reason. Tunnels in Cisco-AVPair are one more way to say the same; what the attributes of RFC 2868 say counts more:

    vpdn:tunnel-type=l2tp   vpdn:tunnel-id=NAME (Client-Auth-ID)   vpdn:ip-addresses=A,B/C   vpdn:source-ip=A
    vpdn:l2tp-tunnel-password=SECRET   vpdn:l2tp-hello-interval=SECONDS   vpdn:l2tp-hidden-avp=yes|no
    vpdn:l2tp-tunnel-authen=yes|no     vpdn:l2tp-nosession-timeout=SECONDS

In a Tunnel-Server-Endpoint too `A,B` or `A B` are equals, and `/` stands before those to try when all before it have
failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, ClassVar

from prol2tp.common.wire import WireError
from prol2tp.radius import packets, values
from prol2tp.radius.dictionary import ATTRIBUTES, Key, named_values

LARGEST_TAG = 0x1F
NO_PREFERENCE = 0xFFFFFF
"""Groups without Tunnel-Preference come last."""
MOST_GROUPS = 64
"""Tunnels of one answer, lists of servers taken apart; more than 31 tags there are not."""
L2TP = named_values("Tunnel-Type")["L2TP"]
MEDIA = {None, *(named_values("Tunnel-Medium-Type")[name] for name in ("IPv4", "IPv6"))}
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
_VPDN = re.compile(r"\s*vpdn:([a-z0-9-]+)(?:#\d*)?\s*[=*]\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)


@dataclass(slots=True)
class TunnelGroup:
    """One tunnel that the user's session may be put into."""

    tag: int
    type: int | None = None
    medium: int | None = None
    """The address itself says more: this one is for names."""
    client_endpoint: str = ""
    server_endpoint: str = ""
    """Address or name, perhaps with a port after a colon."""
    password: bytes = field(default=b"", repr=False)
    private_group_id: str = ""
    assignment_id: str = ""
    """Sessions with the same one share a tunnel."""
    preference: int = NO_PREFERENCE
    """Lower is better; equal ones share the load."""
    client_auth_id: str = ""
    server_auth_id: str = ""
    rank: int = 0
    """Of the server in its list: after those of the same preference and a lower one."""
    hello_interval: int | None = None
    """Seconds, as `idle_timeout`; of Cisco-AVPair, as all that follows."""
    idle_timeout: int | None = None
    hide_avps: bool | None = None
    authentication: bool | None = None


@dataclass(slots=True)
class _Broken:
    """In the place of a value: why there is none."""

    reason: str


_FIELDS = {
    "Tunnel-Type": "type",
    "Tunnel-Medium-Type": "medium",
    "Tunnel-Client-Endpoint": "client_endpoint",
    "Tunnel-Server-Endpoint": "server_endpoint",
    "Tunnel-Password": "password",
    "Tunnel-Private-Group-ID": "private_group_id",
    "Tunnel-Assignment-ID": "assignment_id",
    "Tunnel-Preference": "preference",
    "Tunnel-Client-Auth-ID": "client_auth_id",
    "Tunnel-Server-Auth-ID": "server_auth_id",
}


class TunnelReader:
    """Collects the attributes of one packet.

    Attributes with tag 0 hold for every group that does not say otherwise; alone they are a group of their own.
    """

    __slots__ = ("_packet", "_groups", "_problems")

    KEYS: ClassVar[dict[Key, tuple[str, bool, bool, str]]] = {
        ATTRIBUTES[name].key: (to, ATTRIBUTES[name].type == "integer", ATTRIBUTES[name].salted, name)
        for name, to in _FIELDS.items()
    }

    def __init__(self, packet: packets.Packet) -> None:
        self._packet = packet
        self._groups: dict[int, dict[str, Any]] = {}
        self._problems: list[str] = []

    def read(self, key: Key, value: bytes) -> None:
        """One attribute. What cannot be read breaks its group."""
        field_name, number, salted, name = self.KEYS[key]
        if number and (len(value) != 4 or value[0] > LARGEST_TAG):
            # not even the group is known
            self._problems.append(f"{name}: {'bad tag' if len(value) == 4 else f'{len(value)} octets'}")
            return
        if salted:
            # the tag is always there (RFC 2868 section 3.5); some leave it out, which the length shows
            tagged, known = len(value) % 16 != 2, bool(value) and value[0] <= LARGEST_TAG
        else:
            tagged = known = bool(value) and value[0] <= LARGEST_TAG
        tag = value[0] if tagged and known else 0
        rest = value[1:] if tagged else value
        found: Any
        try:
            found = int.from_bytes(rest, "big") if number else self._text(rest, salted)
        except WireError as error:
            found = _Broken(f"{name}: {error}")
        self._set(tag, field_name, found)

    def _text(self, value: bytes, salted: bool) -> str | bytes:
        if salted:
            return packets.salted(self._packet, value)
        return values.text(value.rstrip(b"\0"))

    def _set(self, tag: int, name: str, found: Any) -> None:
        group = self._groups.setdefault(tag, {})
        before = group.get(name)
        if name == "server_endpoint" and isinstance(before, str):
            # several servers of one group are equals
            group[name] = f"{before},{found}"
        elif before is None:
            # the first counts
            group[name] = found

    def groups(self, avpairs: Iterable[str] = ()) -> tuple[tuple[TunnelGroup, ...], tuple[str, ...]]:
        """All that can be used, best first, and what was wrong with the others. Once, at the end.

        :param avpairs: values of Cisco-AVPair.
        """
        pairs = self._pairs(avpairs)
        shared = self._groups.pop(0, None)
        if shared is None and not self._groups and "server_endpoint" not in pairs:
            return (), tuple(self._problems)
        common = {**pairs, **(shared or {})}
        made: list[TunnelGroup] = []
        for tag, own in (self._groups or {0: {}}).items():
            try:
                made += _servers(tag, {**common, **own})
            except WireError as error:
                self._problems.append(f"tunnel {tag}: {error}" if tag else str(error))
        made.sort(key=lambda group: (group.preference, group.rank, group.tag))
        return tuple(made[:MOST_GROUPS]), tuple(self._problems)

    def _pairs(self, avpairs: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for text in avpairs:
            match = _VPDN.fullmatch(text)
            if match is None:
                continue
            row = _PAIRS.get(match[1].lower())
            if row is None:
                self._problems.append(f"Cisco-AVPair vpdn:{match[1].lower()[:40]} means nothing here")
                continue
            name, decode = row
            try:
                value: Any = decode(match[2])
            except (ValueError, KeyError):
                value = _Broken(f"Cisco-AVPair vpdn:{match[1].lower()} has no value that it can have")
            found.setdefault(name, value)
        return found


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(text)
    return int(text)


_PAIRS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "tunnel-type": ("type", lambda text: {"l2tp": L2TP}[text.lower()]),
    "tunnel-id": ("client_auth_id", str),
    "ip-addresses": ("server_endpoint", str),
    "source-ip": ("client_endpoint", str),
    "l2tp-tunnel-password": ("password", str.encode),
    "l2tp-hello-interval": ("hello_interval", _number),
    "l2tp-nosession-timeout": ("idle_timeout", _number),
    "l2tp-hidden-avp": ("hide_avps", lambda text: {"yes": True, "no": False}[text.lower()]),
    "l2tp-tunnel-authen": ("authentication", lambda text: {"yes": True, "no": False}[text.lower()]),
}
VPDN = tuple(_PAIRS)
"""Pairs of the protocol vpdn that are understood."""


def _servers(tag: int, given: dict[str, Any]) -> list[TunnelGroup]:
    """The group of a tag, once for each of its servers. Raises `WireError` when it cannot be used."""
    for value in given.values():
        if isinstance(value, _Broken):
            raise WireError(value.reason)
    group = TunnelGroup(tag, **given)
    if group.type not in (None, L2TP):
        raise WireError(f"Tunnel-Type {group.type} is not L2TP")
    if group.medium not in MEDIA:
        raise WireError(f"Tunnel-Medium-Type {group.medium} is neither IPv4 nor IPv6")
    group.client_endpoint = group.client_endpoint.strip()
    if group.client_endpoint and not _is_address(group.client_endpoint):
        raise WireError(f"Tunnel-Client-Endpoint {_shown(group.client_endpoint)} is no address")
    found = []
    for rank, equals in enumerate(group.server_endpoint.split("/")):
        for server in re.split(r"[\s,]+", equals):
            if server:
                found.append(replace(group, server_endpoint=_endpoint(server), rank=rank))
    if not found:
        raise WireError("no Tunnel-Server-Endpoint")
    return found


def _shown(text: str) -> str:
    return repr(text[:80])


def _is_address(text: str) -> bool:
    try:
        return not ip_address(text).is_multicast
    except ValueError:
        return False


def _endpoint(text: str) -> str:
    """An address or a name, as it is written, perhaps with a port. Raises `WireError`."""
    if _is_address(text):
        return text
    match = _WITH_PORT.fullmatch(text)
    if match is not None and (match[3] is None or 0 < int(match[3]) <= 0xFFFF):
        host = match[1] or match[2]
        if _is_address(host) or not match[1] and _is_name(host):
            return text
    raise WireError(f"Tunnel-Server-Endpoint {_shown(text)} is neither an address nor a name")


def _is_name(text: str) -> bool:
    # a last label of digits alone would be a mistyped address
    return len(text) <= 253 and _NAME.fullmatch(text) is not None and not text.rstrip(".").split(".")[-1].isdigit()
