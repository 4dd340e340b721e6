"""Our messages, from settings: what this end says of itself (RFC 2661 section 6).

A setting of 0 or "" that the settings call "left out" is None here, and so is not on the wire.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from prol2tp.l2tp.avptable import ACCESS_LINE, COOKIE_LENGTHS, OCTETS, OCTETS_3, U64
from prol2tp.l2tp.messages import ICCN, ICRQ, OCCN, OCRQ, PROTOCOL_VERSION, SCCRP, SCCRQ, encode
from prol2tp.l2tp.settings import AccessLine, SessionSettings, TunnelSettings

_LONGEST_TEXT = 1000
"""Octets that fit an AVP even when it is hidden."""
_LINE = tuple(one.name for one in fields(AccessLine))
_FORMATS = {avp.field: avp.format for avp in ACCESS_LINE.values()}


def sccrq(settings: TunnelSettings, tunnel_id: int, challenge: bytes | None, tie_breaker: bytes | None) -> SCCRQ:
    return SCCRQ(
        protocol_version=PROTOCOL_VERSION,
        host_name=settings.host_name,
        framing_capabilities=settings.framing_caps,
        assigned_tunnel_id=tunnel_id,
        bearer_capabilities=settings.bearer_caps or None,
        receive_window_size=settings.rx_window_size,
        challenge=challenge,
        tie_breaker=tie_breaker,
        firmware_revision=settings.firmware_revision or None,
        vendor_name=settings.vendor_name or None,
    )


def sccrp(settings: TunnelSettings, tunnel_id: int, challenge: bytes | None, response: bytes | None) -> SCCRP:
    return SCCRP(
        protocol_version=PROTOCOL_VERSION,
        framing_capabilities=settings.framing_caps,
        host_name=settings.host_name,
        assigned_tunnel_id=tunnel_id,
        bearer_capabilities=settings.bearer_caps or None,
        firmware_revision=settings.firmware_revision or None,
        vendor_name=settings.vendor_name or None,
        receive_window_size=settings.rx_window_size,
        challenge=challenge,
        challenge_response=response,
    )


def icrq(settings: SessionSettings, session_id: int, call_serial_number: int) -> ICRQ:
    return ICRQ(
        assigned_session_id=session_id,
        call_serial_number=call_serial_number,
        bearer_type=settings.bearer_type or None,
        physical_channel_id=settings.physical_channel_id,
        calling_number=settings.calling_number or None,
        called_number=settings.called_number or None,
        sub_address=settings.sub_address or None,
        **access_line(settings),
    )


def access_line(settings: SessionSettings) -> dict[str, Any]:
    """What a LAC says in ICRQ of the subscriber's line (RFC 5515), in both versions."""
    values: dict[str, Any] = {"connect_speed_update_enable": True} if settings.speed_updates else {}
    if settings.line is not None:
        values |= {name: getattr(settings.line, name) for name in _LINE}
    return values


def proxy(settings: SessionSettings) -> dict[str, Any]:
    """What a LAC hands over in ICCN, in both versions: proxy LCP and authentication, and the group."""
    return {
        "initial_received_lcp_confreq": settings.initial_received_lcp_confreq or None,
        "last_sent_lcp_confreq": settings.last_sent_lcp_confreq or None,
        "last_received_lcp_confreq": settings.last_received_lcp_confreq or None,
        "proxy_authen_type": settings.proxy_authen_type,
        "proxy_authen_name": settings.proxy_authen_name or None,
        "proxy_authen_challenge": settings.proxy_authen_challenge or None,
        "proxy_authen_id": settings.proxy_authen_id,
        "proxy_authen_response": settings.proxy_authen_response or None,
        "private_group_id": settings.private_group_id or None,
        **lcp_options(settings),
    }


def lcp_options(settings: SessionSettings) -> dict[str, Any]:
    """What a LAC says in ICCN and OCCN of LCP on the subscriber's line (RFC 3437 section 2)."""
    return {
        "lcp_want_options": settings.lcp_want_options or None,
        "lcp_allow_options": settings.lcp_allow_options or None,
    }


def iccn(settings: SessionSettings) -> ICCN:
    return ICCN(
        tx_connect_speed=settings.tx_connect_speed,
        framing_type=settings.framing_type,
        **proxy(settings),
        rx_connect_speed=settings.rx_connect_speed or None,
        sequencing_required=settings.sequencing_required,
    )


def ocrq(settings: SessionSettings, session_id: int, call_serial_number: int) -> OCRQ:
    return OCRQ(
        assigned_session_id=session_id,
        call_serial_number=call_serial_number,
        minimum_bps=settings.minimum_bps,
        maximum_bps=settings.maximum_bps,
        bearer_type=settings.bearer_type,
        framing_type=settings.framing_type,
        called_number=settings.called_number,
        sub_address=settings.sub_address or None,
    )


def occn(settings: SessionSettings) -> OCCN:
    return OCCN(
        tx_connect_speed=settings.tx_connect_speed,
        framing_type=settings.framing_type,
        rx_connect_speed=settings.rx_connect_speed or None,
        sequencing_required=settings.sequencing_required,
        **lcp_options(settings),
    )


def check_tunnel(settings: TunnelSettings) -> None:
    """Raise `ValueError` for a value that does not fit its AVP, while there is a caller to tell."""
    if not settings.host_name:
        raise ValueError("host_name is empty")
    if not 0 < settings.rx_window_size <= 1 << 15:
        raise ValueError(f"rx_window_size is {settings.rx_window_size}, not 1 to 32768")
    if not 0 <= settings.router_id < 1 << 32:
        raise ValueError(f"router_id is {settings.router_id}, which does not fit 32 bits")
    for text in (settings.host_name, settings.vendor_name, settings.preferred_language):
        if len(text.encode("utf-8", "surrogateescape")) > _LONGEST_TEXT:
            raise ValueError(f"a name is longer than {_LONGEST_TEXT} octets")
    encode(sccrq(settings, 1, None, None))


def check(settings: SessionSettings) -> None:
    """Raise `ValueError` for a value that does not fit its AVP, while there is a caller to tell."""
    for name in ("calling_number", "called_number", "sub_address", "remote_end_id", "private_group_id",
                 "initial_received_lcp_confreq", "last_sent_lcp_confreq", "last_received_lcp_confreq",
                 "proxy_authen_name", "proxy_authen_challenge", "proxy_authen_response", "lcp_want_options",
                 "lcp_allow_options"):
        value = getattr(settings, name)
        if len(value) * 4 <= _LONGEST_TEXT:
            continue
        if len(value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")) > _LONGEST_TEXT:
            raise ValueError(f"{name} is longer than {_LONGEST_TEXT} octets")
    for name in ("framing_type", "bearer_type", "minimum_bps", "maximum_bps", "tx_connect_speed", "rx_connect_speed",
                 "physical_channel_id"):
        number = getattr(settings, name)
        if number is not None and not 0 <= number < 1 << 32:
            raise ValueError(f"{name} is {number}, which does not fit 32 bits")
    for name, limit in (("proxy_authen_type", 1 << 16), ("proxy_authen_id", 1 << 8), ("pseudowire", 1 << 16),
                        ("data_sequencing", 3), ("interface_mtu", 1 << 16)):
        number = getattr(settings, name)
        if number is not None and not 0 <= number < limit:
            raise ValueError(f"{name} is {number}, which is not under {limit}")
    for length in (settings.cookie_length, len(settings.cookie), len(settings.peer_cookie)):
        if length not in COOKIE_LENGTHS:
            raise ValueError(f"a cookie of {length} octets: it has none, 4 or 8")
    if settings.line is not None:
        _check_line(settings.line)


def _check_line(line: AccessLine) -> None:
    for name in _LINE:
        value, form = getattr(line, name), _FORMATS[name]
        if value is None:
            continue
        if form is OCTETS and len(value) > _LONGEST_TEXT:
            raise ValueError(f"{name} is longer than {_LONGEST_TEXT} octets")
        if form is OCTETS_3 and len(value) != 3:
            raise ValueError(f"{name} has {len(value)} octets, not 3")
        if isinstance(value, int) and not 0 <= value < 1 << (64 if form is U64 else 32):
            raise ValueError(f"{name} is {value}, which does not fit its AVP")
