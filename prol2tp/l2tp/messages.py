"""The control messages of RFC 2661 section 6, one record each, and their bodies (what follows the header).

The fields are the AVPs of `avptable` in the order of the RFC, as `layout` explains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from prol2tp.l2tp.avp import BadAVP, MessageError, UnknownMandatoryAVP
from prol2tp.l2tp.avptable import (
    ACCM,
    ADDED_BY_VERSION_3,
    OF_VERSION_2,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    Q931Cause,
    ResultCode,
)
from prol2tp.l2tp.layout import Codec, Message, MissingAVP, UnknownMessageType

__all__ = [
    "ACCM", "CDN", "CSUN", "CSURQ", "HELLO", "ICCN", "ICRP", "ICRQ", "MESSAGES", "OCCN", "OCRP", "OCRQ",
    "PROTOCOL_VERSION", "SCCCN", "SCCRP", "SCCRQ", "SLI", "WEN", "BadAVP", "CallErrors", "ConnectSpeed",
    "DisconnectCause", "Message", "MessageError", "MissingAVP", "Q931Cause", "ResultCode", "StopCCN",
    "UnknownMandatoryAVP", "UnknownMessageType", "decode", "encode", "message_name", "vendor_name",
]

PROTOCOL_VERSION = 0x0100
"""Protocol Version AVP: version 1, revision 0."""


@dataclass(slots=True)
class SCCRQ(Message):
    """Start-Control-Connection-Request (section 6.1)."""

    number: ClassVar[int] = 1
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_tunnel_id",)

    protocol_version: int
    host_name: str
    framing_capabilities: int
    assigned_tunnel_id: int
    bearer_capabilities: int | None = None
    receive_window_size: int | None = None
    challenge: bytes | None = None
    tie_breaker: bytes | None = None
    """8 octets; the lower wins, which is the order of `bytes` too."""
    firmware_revision: int | None = None
    vendor_name: str | None = None
    control_message_authentication_nonce: bytes | None = None
    """From here on the AVPs that offer version 3 beside version 2 (RFC 3931 section 4.7.3)."""
    router_id: int | None = None
    assigned_control_connection_id: int | None = None
    pseudowire_capabilities_list: tuple[int, ...] | None = None
    preferred_language: str | None = None


@dataclass(slots=True)
class SCCRP(Message):
    """Start-Control-Connection-Reply (section 6.2)."""

    number: ClassVar[int] = 2
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_tunnel_id",)

    protocol_version: int
    framing_capabilities: int
    host_name: str
    assigned_tunnel_id: int
    bearer_capabilities: int | None = None
    firmware_revision: int | None = None
    vendor_name: str | None = None
    receive_window_size: int | None = None
    challenge: bytes | None = None
    challenge_response: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class SCCCN(Message):
    """Start-Control-Connection-Connected (section 6.3)."""

    number: ClassVar[int] = 3

    challenge_response: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class StopCCN(Message):
    """Stop-Control-Connection-Notification (section 6.4)."""

    number: ClassVar[int] = 4

    assigned_tunnel_id: int
    result_code: ResultCode


@dataclass(slots=True)
class HELLO(Message):
    """Hello (section 6.5)."""

    number: ClassVar[int] = 6


@dataclass(slots=True)
class ICRQ(Message):
    """Incoming-Call-Request (section 6.6); the access line of RFC 5515."""

    number: ClassVar[int] = 10
    for_call: ClassVar[bool] = True
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_session_id",)

    assigned_session_id: int
    call_serial_number: int
    bearer_type: int | None = None
    physical_channel_id: int | None = None
    calling_number: str | None = None
    called_number: str | None = None
    sub_address: str | None = None
    connect_speed_update_enable: bool = False
    """From here on RFC 5515."""
    agent_circuit_id: bytes | None = None
    agent_remote_id: bytes | None = None
    actual_data_rate_upstream: int | None = None
    actual_data_rate_downstream: int | None = None
    minimum_data_rate_upstream: int | None = None
    minimum_data_rate_downstream: int | None = None
    attainable_data_rate_upstream: int | None = None
    attainable_data_rate_downstream: int | None = None
    maximum_data_rate_upstream: int | None = None
    maximum_data_rate_downstream: int | None = None
    minimum_data_rate_upstream_low_power: int | None = None
    minimum_data_rate_downstream_low_power: int | None = None
    maximum_interleaving_delay_upstream: int | None = None
    actual_interleaving_delay_upstream: int | None = None
    maximum_interleaving_delay_downstream: int | None = None
    actual_interleaving_delay_downstream: int | None = None
    access_loop_encapsulation: bytes | None = None
    iwf_session: int | None = None


@dataclass(slots=True)
class ICRP(Message):
    """Incoming-Call-Reply (section 6.7)."""

    number: ClassVar[int] = 11
    for_call: ClassVar[bool] = True
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_session_id",)

    assigned_session_id: int


@dataclass(slots=True)
class ICCN(Message):
    """Incoming-Call-Connected (section 6.8); the LCP options of RFC 3437."""

    number: ClassVar[int] = 12
    for_call: ClassVar[bool] = True

    tx_connect_speed: int
    framing_type: int
    initial_received_lcp_confreq: bytes | None = None
    last_sent_lcp_confreq: bytes | None = None
    last_received_lcp_confreq: bytes | None = None
    proxy_authen_type: int | None = None
    proxy_authen_name: bytes | None = None
    proxy_authen_challenge: bytes | None = None
    proxy_authen_id: int | None = None
    proxy_authen_response: bytes | None = field(default=None, repr=False)
    private_group_id: bytes | None = None
    rx_connect_speed: int | None = None
    sequencing_required: bool = False
    lcp_want_options: bytes | None = None
    lcp_allow_options: bytes | None = None


@dataclass(slots=True)
class OCRQ(Message):
    """Outgoing-Call-Request (section 6.9)."""

    number: ClassVar[int] = 7
    for_call: ClassVar[bool] = True
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_session_id",)

    assigned_session_id: int
    call_serial_number: int
    minimum_bps: int
    maximum_bps: int
    bearer_type: int
    framing_type: int
    called_number: str
    sub_address: str | None = None


@dataclass(slots=True)
class OCRP(Message):
    """Outgoing-Call-Reply (section 6.10)."""

    number: ClassVar[int] = 8
    for_call: ClassVar[bool] = True
    nonzero: ClassVar[tuple[str, ...]] = ("assigned_session_id",)

    assigned_session_id: int
    physical_channel_id: int | None = None


@dataclass(slots=True)
class OCCN(Message):
    """Outgoing-Call-Connected (section 6.11); the LCP options of RFC 3437."""

    number: ClassVar[int] = 9
    for_call: ClassVar[bool] = True

    tx_connect_speed: int
    framing_type: int
    rx_connect_speed: int | None = None
    sequencing_required: bool = False
    lcp_want_options: bytes | None = None
    lcp_allow_options: bytes | None = None


@dataclass(slots=True)
class CDN(Message):
    """Call-Disconnect-Notify (section 6.12); the disconnect cause of RFC 3145."""

    number: ClassVar[int] = 14
    for_call: ClassVar[bool] = True

    result_code: ResultCode
    assigned_session_id: int
    q931_cause_code: Q931Cause | None = None
    ppp_disconnect_cause_code: DisconnectCause | None = None


@dataclass(slots=True)
class WEN(Message):
    """WAN-Error-Notify (section 6.13)."""

    number: ClassVar[int] = 15
    for_call: ClassVar[bool] = True

    call_errors: CallErrors


@dataclass(slots=True)
class SLI(Message):
    """Set-Link-Info (section 6.14); what LCP came to, of RFC 3437."""

    number: ClassVar[int] = 16
    for_call: ClassVar[bool] = True

    accm: ACCM
    lns_last_sent_lcp_confreq: bytes | None = None
    lns_last_received_lcp_confreq: bytes | None = None


@dataclass(slots=True)
class CSUN(Message):
    """Connect-Speed-Update-Notification (RFC 5515): from the LAC, about calls of the tunnel."""

    number: ClassVar[int] = 28
    mandatory: ClassVar[bool] = False

    connect_speed_update: tuple[ConnectSpeed, ...]


@dataclass(slots=True)
class CSURQ(Message):
    """Connect-Speed-Update-Request (RFC 5515): from the LNS, which asks for the speeds of these calls."""

    number: ClassVar[int] = 29
    mandatory: ClassVar[bool] = False

    connect_speed_update: tuple[ConnectSpeed, ...]


MESSAGES: tuple[type[Message], ...] = (
    SCCRQ, SCCRP, SCCCN, StopCCN, HELLO, OCRQ, OCRP, OCCN, ICRQ, ICRP, ICCN, CDN, WEN, SLI, CSUN, CSURQ,
)

_OFFERED = ("message_digest", "control_message_authentication_nonce", "router_id", "assigned_control_connection_id",
            "pseudowire_capabilities_list", "preferred_language")
_OFFER = tuple(avp._replace(mandatory=False) for avp in ADDED_BY_VERSION_3 if avp.field in _OFFERED)
"""AVPs of version 3 in an SCCRQ of version 2: never with the M bit."""

CODEC = Codec(MESSAGES, OF_VERSION_2 + _OFFER, "assigned_tunnel_id", "assigned_session_id")
decode = CODEC.decode
encode = CODEC.encode

_NAMES = {message.number: message.__name__ for message in MESSAGES} | {
    17: "MDMST", 18: "SRRQ", 19: "SRRP", 20: "ACK", 21: "FSQ", 22: "FSR", 23: "MSRQ", 24: "MSRP", 25: "MSE",
    26: "MSI", 27: "MSEN",
}
"""Those of later documents are known by name only, but for the ACK of version 3."""


def message_name(number: int) -> str:
    """`SCCRQ` and so on, `message 99` where no document has a name."""
    return _NAMES.get(number, f"message {number}")


def vendor_name(version: str, sysname: str, release: str, machine: str) -> str:
    """Our Vendor Name, from our version and `uname`: `prol2tp 2.0.0 Linux-6.1.0-18-amd64 (x86_64)`."""
    return f"prol2tp {version} {sysname}-{release} ({machine})"
