"""Types of values about hosts: VLANs, addresses, service names, delay by load; and debug categories."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prol2tp.config.lexer import quoted
from prol2tp.config.problems import Wrong, right_name, shown
from prol2tp.config.types import Mac, Number, Seconds, Text, Type

DEBUG_CATEGORIES = (
    "route", "pppoe", "l2tp", "radius", "ppp", "pppfsm", "lcpfsm", "ctrl", "trace", "pppd", "system", "parser",
)  # fmt: skip
"""What `-d` names, in the order of the bits of a mask."""
ALL = "all"

HIGHEST_VLAN = 4094
MOST_VLANS = 65536
_VLAN = re.compile(r"(?:([0-9]{1,4})\.)?([0-9]{1,4})(?:-([0-9]{1,4}))?")
_VENDOR = re.compile(r"(?:[0-9a-fA-F]{2}:){2}[0-9a-fA-F]{2}")


class VlanRange(NamedTuple):
    """VLAN ids from first to last, inside the VLAN `outer` (IEEE 802.1ad) unless that is 0."""

    outer: int
    first: int
    last: int

    def __str__(self) -> str:
        if self == UNTAGGED:
            return "untagged"
        if self == EVERY_VLAN:
            return "any"
        head = f"{self.outer}." if self.outer else ""
        return f"{head}{self.first}" if self.first == self.last else f"{head}{self.first}-{self.last}"


UNTAGGED = VlanRange(0, 0, 0)
EVERY_VLAN = VlanRange(0, 0, 4095)


class VlanUnion:
    """VLAN ids of frames, as () or (id,) or (outer, inner): `in` costs the same however many ranges there are."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[VlanRange]) -> None:
        self._ranges: dict[int, tuple[list[int], list[int]]] = {}
        """By outer VLAN: where ranges begin and end, in order and apart from each other. Untagged is 0 to 0."""
        for one in sorted(ranges):
            starts, ends = self._ranges.setdefault(one.outer, ([], []))
            if starts and one.first <= ends[-1] + 1 and one.first > 1:
                ends[-1] = max(ends[-1], one.last)
            else:
                starts.append(one.first)
                ends.append(one.last)

    def __contains__(self, vlans: object) -> bool:
        if not isinstance(vlans, tuple) or len(vlans) > 2 or 0 in vlans:
            return False
        starts, ends = self._ranges.get(vlans[0] if len(vlans) == 2 else 0, _NO_RANGES)
        place = bisect_right(starts, vlans[-1] if vlans else 0)
        return place > 0 and (vlans[-1] if vlans else 0) <= ends[place - 1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VlanUnion) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(tuple(self._ranges))


_NO_RANGES: tuple[list[int], list[int]] = ([], [])


def vlan_set(ranges: Iterable[VlanRange]) -> frozenset[tuple[int, ...]] | None:
    """All of them one by one, as frames have them: () is untagged. None: every VLAN."""
    found: set[tuple[int, ...]] = set()
    for one in ranges:
        if one == EVERY_VLAN:
            return None
        if one == UNTAGGED:
            found.add(())
        elif one.outer:
            found.update((one.outer, vlan) for vlan in range(one.first, one.last + 1))
        else:
            found.update((vlan,) for vlan in range(one.first, one.last + 1))
    return frozenset(found)


class Vlans(Type):
    """VLAN ids, ranges of them, and either inside an outer one: `untagged`, `10`, `10-19`, `200.10`, `200.10-19`.

    `any` stands for all, untagged too.
    """

    metavar = "vlan|any|untagged"
    whole = True

    def read(self, text: str, is_string: bool) -> VlanRange:
        if text == "untagged":
            return UNTAGGED
        if text == "any":
            return EVERY_VLAN
        match = _VLAN.fullmatch(text)
        if match is None:
            raise Wrong(f"{shown(text)} is no VLAN", "for example 10, 10-19, 200.10, 200.10-19, untagged or any")
        outer, first = int(match[1] or 0), int(match[2])
        last = int(match[3]) if match[3] else first
        for vlan in (first, last, outer if match[1] else first):
            if not 0 < vlan <= HIGHEST_VLAN:
                raise Wrong(f"{vlan} is no VLAN id", f"from 1 to {HIGHEST_VLAN}")
        if last < first:
            raise Wrong(f"{shown(text)} ends before it begins", f"did you mean {last}-{first}?")
        return VlanRange(outer, first, last)

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> tuple[VlanRange, ...]:
        ranges = tuple(self.read(text, is_string) for text, is_string in texts)
        if EVERY_VLAN in ranges and len(ranges) > 1:
            raise Wrong("any stands alone")
        if EVERY_VLAN not in ranges and sum(one.last - one.first + 1 for one in ranges) > MOST_VLANS:
            raise Wrong("these are too many VLANs", f"at most {MOST_VLANS}, or any")
        return ranges

    def write(self, value: Sequence[VlanRange]) -> str:
        return " ".join(map(str, value))


class HostAddress(Mac):
    """The MAC address of a host as six octets, or the first three for all hosts of a vendor."""

    metavar = "mac|vendor"

    def read(self, text: str, is_string: bool) -> bytes:
        if _VENDOR.fullmatch(text):
            return bytes.fromhex(text.replace(":", ""))
        try:
            return super().read(text, is_string)
        except Wrong as error:
            raise Wrong(error.wrong, "for example 11:22:ef:01:a3:b9, or 11:22:ef for all of a vendor") from None


class ServiceName(NamedTuple):
    """A Service-Name (RFC 2516) that a route serves. None: every name that no other route of the interface has."""

    name: str | None
    advertised: bool = True


ANY_SERVICE = ServiceName(None, False)


class ServiceNames(Type):
    """Service names, each with `hidden` after it when it is not advertised; `any`."""

    metavar = "name [hidden]|any"
    whole = True
    _name = Text(255)

    def read(self, text: str, is_string: bool) -> ServiceName:
        if text == "any" and not is_string:
            return ANY_SERVICE
        if text == "hidden" and not is_string:
            raise Wrong("hidden follows a service name", 'write: service "name" hidden')
        return ServiceName(self._name.read(text, is_string))

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> tuple[ServiceName, ...]:
        found: list[ServiceName] = []
        for text, is_string in texts:
            if text == "hidden" and not is_string and found and found[-1].advertised:
                found[-1] = ServiceName(found[-1].name, False)
                continue
            found.append(self.read(text, is_string))
        return tuple(found)

    def write(self, value: Sequence[ServiceName]) -> str:
        return " ".join(
            "any" if one.name is None else quoted(one.name) + ("" if one.advertised else " hidden") for one in value
        )


class Delay(NamedTuple):
    """With so many sessions a PADO waits so many seconds; None: there is none."""

    sessions: int
    seconds: float | None


class DelayOf(Type):
    """`sessions:seconds`, or `sessions:none`."""

    metavar = "sessions:seconds|none"
    _sessions, _seconds = Number(0, 65535), Seconds(0, 60)

    def read(self, text: str, is_string: bool) -> Delay:
        sessions, colon, seconds = text.partition(":")
        if not colon:
            raise Wrong(f"{shown(text)} is no delay", "sessions:seconds, for example 1000:0.5, or 5000:none")
        count = self._sessions.read(sessions, False)
        return Delay(count, None if seconds == "none" else self._seconds.read(seconds, False))

    def write(self, value: Delay) -> str:
        return f"{value.sessions}:{'none' if value.seconds is None else self._seconds.write(value.seconds)}"


class Debug(Type):
    """Debug categories as a mask, decimal or `0x` and hexadecimal, or as words with commas; `all`."""

    metavar = "mask"

    def read(self, text: str, is_string: bool) -> tuple[str, ...]:
        if re.fullmatch(r"0x[0-9a-fA-F]{1,8}|[0-9]{1,10}", text):
            mask = int(text, 0) if text.startswith("0x") else int(text)
            return tuple(word for bit, word in enumerate(DEBUG_CATEGORIES) if mask >> bit & 1)
        words = [word for word in text.split(",") if word]
        if ALL in words:
            return DEBUG_CATEGORIES
        for word in words:
            if word not in DEBUG_CATEGORIES:
                right = right_name(word, (*DEBUG_CATEGORIES, ALL), "category")
                raise Wrong(f"{shown(word)} is no category", right or ", ".join((*DEBUG_CATEGORIES, ALL)))
        return tuple(word for word in DEBUG_CATEGORIES if word in words)

    def write(self, value: Sequence[str]) -> str:
        return ALL if len(value) == len(DEBUG_CATEGORIES) else ",".join(value) or "0"
