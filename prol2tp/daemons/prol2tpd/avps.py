"""What proacd and propppd know of the subscriber's side of a call as JSON (docs/interfaces.md), and the AVPs that it
is: proxy LCP and authentication (RFC 2661 section 4.4.5), LCP options (RFC 3437), the access line (RFC 5515).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from prol2tp.l2tp.avptable import ACCESS_LINE
from prol2tp.l2tp.settings import AccessLine, SessionSettings

LONGEST_USER = 255
# key of the record, AVP in ICCN, setting
_PROXY_OCTETS = (
    ("initial_received_confreq", "initial_received_lcp_confreq"),
    ("last_sent_confreq", "last_sent_lcp_confreq"),
    ("last_received_confreq", "last_received_lcp_confreq"),
    ("authen_name", "proxy_authen_name"),
    ("authen_challenge", "proxy_authen_challenge"),
    ("authen_response", "proxy_authen_response"),
)
_PROXY_NUMBERS = (("authen_type", "proxy_authen_type"), ("authen_id", "proxy_authen_id"))
_LINE_OCTETS = (
    ("circuit_id", "agent_circuit_id"),
    ("remote_id", "agent_remote_id"),
    ("encapsulation", "access_loop_encapsulation"),
)
_OCTETS = {field for _, field in _LINE_OCTETS}
_LINE_NUMBERS = {str(number): avp.field for number, avp in ACCESS_LINE.items() if avp.field not in _OCTETS}
_LINE = tuple(one.name for one in fields(AccessLine))


def proxy_record(connect_message: Any) -> dict[str, Any] | None:
    """The proxy record of an ICCN; None where the LAC says nothing of the kind."""
    record: dict[str, Any] = {}
    for key, field in _PROXY_OCTETS:
        value = getattr(connect_message, field, None)
        if value is not None:
            record[key] = value.hex()
    for key, field in _PROXY_NUMBERS:
        value = getattr(connect_message, field, None)
        if value is not None:
            record[key] = value
    return record or None


def line_record(request: Any) -> dict[str, Any] | None:
    """The line record of an ICRQ; None where the LAC says nothing of the line."""
    record: dict[str, Any] = {}
    for key, field in _LINE_OCTETS:
        value = getattr(request, field, None)
        if value is not None:
            record[key] = value.hex()
    numbers = {
        key: value for key, field in _LINE_NUMBERS.items() if (value := getattr(request, field, None)) is not None
    }
    if numbers:
        record["numbers"] = numbers
    return record or None


def lcp_options(connect_message: Any) -> tuple[str, str]:
    """LCP Want Options and LCP Allow Options of an ICCN or OCCN as hex; empty: it has none."""
    want = getattr(connect_message, "lcp_want_options", None)
    allow = getattr(connect_message, "lcp_allow_options", None)
    return (want or b"").hex(), (allow or b"").hex()


def user(name: bytes | None) -> str:
    """Proxy Authen Name as text for status; empty: there is none."""
    return (name or b"").decode("utf-8", "replace")[:LONGEST_USER]


def put_proxy(settings: SessionSettings, record: Any) -> None:
    """Fill the settings from a proxy record. Raises `ValueError`."""
    if record is None:
        return
    known = dict(_object(record, "proxy"))
    for key, field in _PROXY_OCTETS:
        setattr(settings, field, octets(known.pop(key, None), f"proxy: {key}"))
    for key, field in _PROXY_NUMBERS:
        setattr(settings, field, _number(known.pop(key, None), f"proxy: {key}"))
    _nothing_left(known, "proxy")


def put_line(settings: SessionSettings, record: Any) -> None:
    """Fill the settings from a line record. Raises `ValueError`."""
    if record is None:
        return
    known = dict(_object(record, "line"))
    line = AccessLine()
    for key, field in _LINE_OCTETS:
        value = known.pop(key, None)
        if value is not None:
            setattr(line, field, octets(value, f"line: {key}"))
    numbers = known.pop("numbers", None)
    for key, value in _object(numbers if numbers is not None else {}, "line: numbers").items():
        field = _LINE_NUMBERS.get(key, "")
        if not field:
            raise ValueError(f"line: numbers: {key[:20]!r} is no sub-option with a number")
        setattr(line, field, _number(value, f"line: numbers: {key}"))
    _nothing_left(known, "line")
    if any(getattr(line, name) is not None for name in _LINE):
        settings.line = line


def forget(settings: SessionSettings) -> None:
    """The peer has been told: what was said of the subscriber, his password too, is not kept."""
    settings.line = None
    settings.lcp_want_options = settings.lcp_allow_options = b""
    for _, field in _PROXY_OCTETS:
        setattr(settings, field, b"")


def octets(value: Any, what: str) -> bytes:
    """From hex; none for null and for empty text. Raises `ValueError`."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise ValueError(f"{what}: must be octets as hex")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError(f"{what}: must be octets as hex") from None


def _number(value: Any, what: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{what}: must be a number")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: must be an object")
    return value


def _nothing_left(known: dict[str, Any], what: str) -> None:
    if known:
        raise ValueError(f"{what}: there is no {next(iter(known))[:40]!r} in it")
