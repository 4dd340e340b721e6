"""Types of values about the network of a user: netmasks, routes, rate limits, devices, nftables sets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from prol2tp.config.problems import Wrong, shown
from prol2tp.config.types import Ip, Prefix, Type

_RATE = re.compile(r"([0-9]{1,13}(?:\.[0-9]{1,3})?)([kMG]?)")
_THOUSANDS = {"": 1, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}
LARGEST_RATE = 1_000_000_000_000
_DEVICE = re.compile(r"[^\s/:\x00-\x1f\x7f]{1,15}")
_NFT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,127}")
NFT_FAMILIES = ("ip", "ip6", "inet")


class RouteTo(NamedTuple):
    """A network behind a user."""

    prefix: str
    gateway: str
    """A host behind the user; empty: the user himself."""
    metric: int | None


class RateLimit(NamedTuple):
    """bit/s from the user and to the user; 0: not limited."""

    up: int
    down: int


class NftSet(NamedTuple):
    """A set of nftables."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return " ".join(self)


class Netmask(Type):
    """An IPv4 netmask as text: ones, then zeros."""

    metavar = "netmask"

    def read(self, text: str, is_string: bool) -> str:
        try:
            value = int(ipaddress.IPv4Address(text))
        except ValueError:
            value = 1
        inverted = value ^ 0xFFFFFFFF
        if inverted & (inverted + 1):
            raise Wrong(f"{shown(text)} is no netmask", "for example 255.255.255.0")
        return text


class RouteOf(Type):
    """`192.0.2.0/24 via 10.5.1.150 metric 5`; gateway and metric may be left out."""

    metavar = "prefix [via ip] [metric number]"
    whole = True

    def __init__(self) -> None:
        self._prefix, self._ip = Prefix(), Ip()

    def read(self, text: str, is_string: bool) -> str:
        return text

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> tuple[RouteTo, ...]:
        words = [text for text, _ in texts]
        network = self._prefix.read(words[0], False)
        gateway, metric = "", None
        rest = words[1:]
        while rest:
            word, value = rest[0], rest[1] if len(rest) > 1 else ""
            if word == "via" and not gateway:
                gateway = self._ip.read(value, False)
                if ipaddress.ip_address(gateway).version != network.version:
                    raise Wrong(f"{shown(gateway)} is no gateway to {network}", "give both of one version of IP")
            elif word == "metric" and metric is None:
                if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > 0xFFFFFFFF:
                    raise Wrong(f"{shown(value)} is no metric", f"a number from 0 to {0xFFFFFFFF}")
                metric = int(value)
            else:
                raise Wrong(f"{shown(word)} is not known here", f"write: {self.metavar}")
            rest = rest[2:]
        return (RouteTo(str(network), gateway, metric),)

    def write(self, value: Sequence[RouteTo]) -> str:
        return "; ".join(_route_text(one) for one in value)


def _route_text(route: RouteTo) -> str:
    via = f" via {route.gateway}" if route.gateway else ""
    metric = f" metric {route.metric}" if route.metric is not None else ""
    return f"{route.prefix}{via}{metric}"


class RateLimitOf(Type):
    """`20M/100M`: bit/s from the user and to the user; one value is for both."""

    metavar = "up[/down]"

    def read(self, text: str, is_string: bool) -> RateLimit:
        up, slash, down = text.partition("/")
        return RateLimit(self._rate(up, text), self._rate(down if slash else up, text))

    @staticmethod
    def _rate(text: str, whole: str) -> int:
        match = _RATE.fullmatch(text)
        if match is None:
            right = "bit/s from the user and to the user, with k, M or G: 20M/100M; 0: not limited"
            raise Wrong(f"{shown(whole)} is no rate limit", right)
        value = int(float(match[1]) * _THOUSANDS[match[2]])
        if value > LARGEST_RATE or 0 < value < 1000:
            raise Wrong(f"{shown(text)} is out of range", "from 1k to 1000G bit/s, or 0: not limited")
        return value

    def write(self, value: RateLimit) -> str:
        return f"{_rate_text(value.up)}/{_rate_text(value.down)}"


def _rate_text(value: int) -> str:
    for unit in ("G", "M", "k"):
        if value and value % _THOUSANDS[unit] == 0:
            return f"{value // _THOUSANDS[unit]}{unit}"
    return str(value)


class Device(Type):
    """The name of a network device."""

    metavar = "device"

    def read(self, text: str, is_string: bool) -> str:
        if not _DEVICE.fullmatch(text) or text in (".", ".."):
            raise Wrong(f"{shown(text)} cannot be the name of a device", "1 to 15 octets, no space, slash or colon")
        return text

    def write(self, value: str) -> str:
        return f'"{value}"'


class NftSetOf(Type):
    """`"inet fw gold"`: family, table and name of a set of nftables."""

    metavar = "set"

    def read(self, text: str, is_string: bool) -> NftSet:
        words = text.split()
        if len(words) != 3 or words[0] not in NFT_FAMILIES or not all(map(_NFT_NAME.fullmatch, words[1:])):
            right = f'family ({", ".join(NFT_FAMILIES)}), table and set in quotes: "inet fw gold"'
            raise Wrong(f"{shown(text)} is no set of nftables", right)
        return NftSet(*words)

    def write(self, value: NftSet) -> str:
        return f'"{value}"'
