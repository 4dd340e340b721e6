"""Rate limits in attributes of vendors, as bit/s from the subscriber (up) and to it (down); 0: not limited.

    WISPr-Bandwidth-Max-Up, -Down       a number each
    Ascend-Data-Rate, Ascend-Xmit-Rate  a number each, up and down
    Mikrotik-Rate-Limit                 up[/down] and what follows about bursts, which is not used; suffixes k, M, G
    Cisco-AVPair                        lcp:interface-config=rate-limit input|output [access-group n] rate ...

Where several say something about one direction, the first of this list counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prol2tp.common.wire import WireError

_UNITS = {"": 1, "k": 1000, "K": 1000, "M": 1000_000, "G": 1000_000_000}
_RATE = re.compile(r"([0-9]{1,12})([kKMG]?)")
_INTERFACE_CONFIG = re.compile(r"lcp:interface-config(?:#[0-9]+)?[=*](.*)", re.DOTALL)
_RATE_LIMIT = re.compile(r"\s*rate-limit\s+(input|output)\s+(?:access-group\s+\S+\s+)?([0-9]{1,12})(?:\s|$)")
MOST = 1 << 40
"""bit/s; what is more is a mistake."""


def _rate(text: str) -> int:
    match = _RATE.fullmatch(text)
    value = int(match[1]) * _UNITS[match[2]] if match is not None else MOST
    if value >= MOST:
        raise WireError("not a rate")
    return value


def mikrotik(text: str) -> tuple[int, int]:
    """Up and down of a Mikrotik-Rate-Limit: its rx is what the router receives. Raises `WireError`."""
    words = text.split()
    if not words:
        raise WireError("not a rate")
    up, slash, down = words[0].partition("/")
    first = _rate(up)
    return first, _rate(down) if slash else first


def is_interface_config(pair: str) -> bool:
    """Whether a Cisco-AVPair has a rate limit."""
    match = _INTERFACE_CONFIG.fullmatch(pair)
    return match is not None and _RATE_LIMIT.match(match[1]) is not None


def cisco(pairs: Iterable[str]) -> tuple[int | None, int | None]:
    """Up and down of Cisco-AVPairs, None where they say nothing. Raises `WireError`."""
    found: dict[str, int] = {}
    for pair in pairs:
        match = _INTERFACE_CONFIG.fullmatch(pair)
        limit = _RATE_LIMIT.match(match[1]) if match is not None else None
        if limit is not None:
            found.setdefault(limit[1], _rate(limit[2]))
    return found.get("input"), found.get("output")


def first(*rates: int | None) -> int | None:
    return next((rate for rate in rates if rate is not None), None)
