"""A link that is up as plain data, so that it can outlive its daemon. Times are saved as seconds remaining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.authentication import with_eap
from prol2tp.ppp.lcp import ACFC
from prol2tp.ppp.limits import FAR

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link

VERSION = 4

_PLAIN = (
    "mtu",
    "peer_mru",
    "user",
    "run_count",
    "discards",
    "peer_message",
    "_mtu_limit",
)
_LIMITS = ("idle_timeout", "session_timeout")
_DEADLINES = ("idle_at", "session_at", "warn_at")


def to_record(link: Link, now: float) -> dict[str, Any]:
    saved: dict[str, Any] = {"version": VERSION}
    for name in _PLAIN:
        saved[name] = getattr(link, name)
    for name in _LIMITS:
        saved[name] = getattr(link._limits, name)
    for name in _DEADLINES:
        saved[name] = _remaining(getattr(link._limits, name), now)
    saved["auth_done"] = list(link.auth_done)
    saved["proxied"] = list(link.proxied)
    saved["demanded"] = link._demanded.name if link._demanded else ""
    saved["promised"] = link._promised.name if link._promised else ""
    saved["lcp"] = link.lcp.to_record(now)
    saved["ccp"] = link.ccp.to_record(now) if link.ccp else None
    saved["ipcp"] = link.ipcp.to_record(now) if link.ipcp else None
    saved["ipv6cp"] = link.ipv6cp.to_record(now) if link.ipv6cp else None
    for name, method in (("pap", link.pap), ("chap", link.chap)):
        saved[name] = method.to_record(now)
    saved["eap"] = link.eap.to_record(now) if link.eap else None
    return saved


def restore(link: Link, saved: dict[str, Any], now: float) -> None:
    """Raises `ValueError` or `KeyError` for what `to_record` has not written."""
    if saved["version"] != VERSION:
        raise ValueError(f"record of version {saved['version']}")
    for name in _PLAIN:
        setattr(link, name, saved[name])
    for name in _LIMITS:
        setattr(link._limits, name, saved[name])
    for name in _DEADLINES:
        setattr(link._limits, name, FAR if saved[name] is None else now + saved[name])
    link.auth_done = (saved["auth_done"][0], saved["auth_done"][1])
    link.proxied = (saved["proxied"][0], saved["proxied"][1])
    link._demanded = PEER_METHODS.get(saved["demanded"])
    link._promised = PEER_METHODS.get(saved["promised"])
    link.lcp.restore(saved["lcp"], now)
    for ncp, part in ((link.ccp, saved["ccp"]), (link.ipcp, saved["ipcp"]), (link.ipv6cp, saved["ipv6cp"])):
        if ncp is not None and part is not None:
            ncp.restore(part, now)
    link.pap.restore(saved["pap"], now)
    link.chap.restore(saved["chap"], now)
    if saved["eap"] is not None:
        with_eap(link).restore(saved["eap"], now)
    link._lower.accomp = ACFC in link.lcp.granted
    link._lower.peer_mru = link.peer_mru


def _remaining(when: float, now: float) -> float | None:
    return None if when == FAR else when - now
