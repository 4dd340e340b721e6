"""Cisco-AVPair: the pairs `protocol:attribute=value` that mean something here. A `#1` after the attribute, by which
several are put in order, is read over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from prol2tp.common.wire import WireError
from prol2tp.radius.values import Route, route

_PAIR = re.compile(r"\s*([a-z0-9]+):([a-z0-9-]+)(?:#\d*)?\s*[=*]\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)
_VRF = re.compile(r"(?:ip )?vrf forwarding (\S+)", re.IGNORECASE)
LARGEST_TABLE = 0xFFFFFFFF


@dataclass(slots=True)
class Pairs:
    """What the pairs of an answer say; "", () and None where they do not."""

    vrf: str = ""
    table: int | None = None
    pool: str = ""
    dns: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    ignored: list[str] = field(default_factory=list)
    """Pairs without a meaning here, or whose value cannot be."""


def read(pairs: Iterable[str]) -> Pairs:
    """The record of all pairs; a bad one is ignored alone."""
    record = Pairs()
    for text in pairs:
        match = _PAIR.fullmatch(text)
        reader = _READERS.get(f"{match[1]}:{match[2]}".lower()) if match is not None else None
        try:
            if reader is None or match is None or not match[3]:
                raise WireError("not known")
            reader(record, match[3])
        except (WireError, ValueError):
            record.ignored.append(text)
    return record


def _vrf(record: Pairs, value: str) -> None:
    record.vrf = value


def _interface_config(record: Pairs, value: str) -> None:
    match = _VRF.fullmatch(value)
    if match is None:
        raise WireError("not known")
    record.vrf = match[1]


def _table(record: Pairs, value: str) -> None:
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > LARGEST_TABLE:
        raise WireError("no table")
    record.table = int(value)


def _pool(record: Pairs, value: str) -> None:
    record.pool = value


def _dns(record: Pairs, value: str) -> None:
    record.dns += tuple(str(IPv4Address(word)) for word in re.split(r"[\s,]+", value))


def _route(record: Pairs, value: str) -> None:
    """`192.0.2.0 255.255.255.0 [gateway] [metric]`, or the form of a Framed-Route."""
    words = value.split()
    if len(words) > 1 and "/" not in words[0]:
        network = IPv4Network(f"{words[0]}/{IPv4Address(words[1])}", strict=False)
        words = [str(network), *words[2:]]
    found = route(" ".join(words))
    if ":" in found.prefix:
        raise WireError("a route of the other version")
    record.routes += (found,)


def _ipv6_route(record: Pairs, value: str) -> None:
    found = route(value)
    if ":" not in found.prefix:
        raise WireError("a route of the other version")
    record.routes += (found,)


_READERS: dict[str, Callable[[Pairs, str], None]] = {
    "ip:vrf-id": _vrf,
    "lcp:interface-config": _interface_config,
    "ip:table-id": _table,
    "ip:addr-pool": _pool,
    "ip:dns-servers": _dns,
    "ip:route": _route,
    "ipv6:route": _ipv6_route,
}
KNOWN = tuple(_READERS)
"""Protocol and attribute of the pairs that are understood."""
