"""Rows of AttachSessions: from JSON to carriers and proxy records. What is not as declared refuses its own session."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from prol2tp.config.propppd import Profile
from prol2tp.control.command import Invalid
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.carriers import Carrier, L2TPSession, PPPoEAccess
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.radius.dictionary import Key
from prol2tp.radius.lines import line_attributes

_LEVELS = frozenset(("", *Level.__members__))
_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool}
_PAYLOADS = (128, 1 << 16)
"""Largest PPP payloads that an Ethernet may carry (RFC 4638)."""
DEFAULT_PAYLOAD = 1492
_VLANS = 2


class _Kind(NamedTuple):
    carrier: type[Carrier]
    columns: tuple[tuple[str, type, Any], ...]
    """Field, type, default; None: it must be there."""


def _kind(carrier: type[Carrier], *required: str) -> _Kind:
    return _Kind(carrier, tuple(
        (field.name, _TYPES[str(field.type)], None if field.name in required else field.default)
        for field in fields(carrier) if str(field.type) in _TYPES
    ))


_KINDS = {
    "l2tp": _kind(L2TPSession, "id", "port", "ppp_profile", "tunnel_id", "session_id"),
    "pppoe": _kind(PPPoEAccess, "id", "port", "ppp_profile", "interface", "session_id", "peer_mac"),
}
_WORDS = {str: "text", int: "a number", bool: "a boolean"}


def rows_of(sessions: Any) -> list[dict[str, Any]]:
    """Raises `Invalid`."""
    if not isinstance(sessions, list) or not all(isinstance(row, dict) for row in sessions):
        raise Invalid("sessions: must be a list of objects")
    return sessions


def carrier_of(row: Mapping[str, Any], prefix: str = "") -> L2TPSession | PPPoEAccess:
    """The carrier of a row. Raises `ValueError` for one that is not as declared.

    :param prefix: of its id among all links.
    """
    word = row.get("carrier") or "l2tp"
    kind = _KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise ValueError("carrier must be l2tp or pppoe")
    values: dict[str, Any] = {}
    for name, of, default in kind.columns:
        value = row.get(name, default)
        if type(value) is not of:
            raise ValueError(f"{name} must be {_WORDS[of]}")
        # the same few texts come with every session
        values[name] = sys.intern(value) if type(value) is str else value
    if values["log_level"].upper() not in _LEVELS:
        raise ValueError("log_level must be empty, or a level of the log")
    values["id"] = prefix + values["id"]
    carrier: Any = kind.carrier(**values)
    carrier.line = _line(row.get("line"))
    if word == "pppoe":
        _complete(carrier, row)
    return carrier  # type: ignore[no-any-return]


def _line(record: Any) -> tuple[tuple[Key, bytes], ...]:
    if record is not None and not isinstance(record, Mapping):
        raise ValueError("line must be an object")
    return line_attributes(record)


def _complete(carrier: PPPoEAccess, row: Mapping[str, Any]) -> None:
    vlans = row.get("vlans") or []
    if not isinstance(vlans, list) or len(vlans) > _VLANS or not all(type(vid) is int for vid in vlans):
        raise ValueError("vlans must be a list of at most two numbers")
    carrier.vlans = tuple(vlans)
    carrier.max_payload = carrier.max_payload or DEFAULT_PAYLOAD
    low, above = _PAYLOADS
    if not low <= carrier.max_payload < above:
        raise ValueError(f"max_payload must be a number from {low} to {above - 1}")
    carrier.mtu = min(carrier.mtu, carrier.max_payload) if carrier.mtu else carrier.max_payload


def proxy_of(row: Mapping[str, Any]) -> ProxyRecord | None:
    """What another end has negotiated, and what it restricts (RFC 3437). Raises `ValueError`."""
    found = row.get("proxy")
    want, allow = row.get("lcp_want") or None, row.get("lcp_allow") or None
    if not found and want is None and allow is None:
        return None
    record = dict(found) if isinstance(found, Mapping) else {} if found is None else found
    if isinstance(record, dict):
        record |= {name: text for name, text in (("want_options", want), ("allow_options", allow)) if text is not None}
    return ProxyRecord.from_record(record)


def options_of(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Parameters of the profile that are otherwise for this link, as text. Raises `ValueError`."""
    options = row.get("options") or {}
    if not isinstance(options, dict) or not all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in options.values()):
        raise ValueError("options must be an object of lists of text")
    return options


def trusted(record: ProxyRecord, carrier: Carrier, profile: Profile) -> ProxyRecord:
    """What of a record counts. A LAC could give a proof that it has heard long ago: whether it is believed is the
    operator's to say."""
    if carrier.ours:
        return record
    if not profile.proxy_lcp:
        return record.without_lcp()
    return record if profile.proxy_auth else record.without_authentication()
