"""The control messages of RFC 3931 section 6, one record each: L2TPv3. `messages` has those of version 2.

The fields are the AVPs of `avptable` in the order of the RFC, as `layout` explains; then those that a PPP pseudowire
takes over from version 2, and those of RFC 4667, RFC 3437 and RFC 5515. Message Digest and Random Vector are no fields:
`digest` fills in the one, hiding makes the other. Control Connection and Session Tie Breaker are one AVP,
`tie_breaker`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from prol2tp.l2tp import messages
from prol2tp.l2tp.avptable import (
    ACCM,
    OF_VERSION_3,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    Q931Cause,
    ResultCode,
)
from prol2tp.l2tp.layout import Codec, Message

ETHERNET_VLAN = 4
ETHERNET = 5
PPP = 7

PSEUDOWIRE_TYPES = {
    1: "Frame Relay DLCI",
    2: "ATM AAL5 SDU VCC",
    3: "ATM cell, port mode",
    ETHERNET_VLAN: "Ethernet VLAN",
    ETHERNET: "Ethernet",
    6: "HDLC",
    PPP: "PPP",
    9: "ATM cell, VCC mode",
    10: "ATM cell, VPC mode",
    11: "IP",
}
"""Pseudowire Type and Pseudowire Capabilities List; those that other documents brought by name only."""

NO_SUBLAYER = 0
DEFAULT_SUBLAYER = 1
"""L2-Specific Sublayer: what its sender wants before every payload it receives (section 4.6)."""

SEQUENCE_NOTHING = 0
SEQUENCE_NON_IP = 1
SEQUENCE_ALL = 2
"""Data Sequencing: which payloads its sender wants numbered."""

CIRCUIT_ACTIVE = 0x0001
CIRCUIT_NEW = 0x0002
"""Circuit Status: its bits A and N; a receiver looks at no other."""

_ORDER = (
    "host_name", "vendor_name", "receive_window_size", "router_id", "assigned_control_connection_id",
    "pseudowire_capabilities_list", "control_message_authentication_nonce", "preferred_language",
)
_CONNECTION: tuple[str, ...] = ("assigned_control_connection_id",)
_SESSION: tuple[str, ...] = ("local_session_id",)
_BOTH_SESSIONS: tuple[str, ...] = ("local_session_id", "remote_session_id")


class _OfConnection(Message):
    """A message about the control connection, with the fields that version 2 has in its place."""

    __slots__ = ()

    protocol_version: ClassVar[int] = messages.PROTOCOL_VERSION
    framing_capabilities: ClassVar[int] = 3
    bearer_capabilities: ClassVar[int] = 3
    challenge: ClassVar[None] = None
    challenge_response: ClassVar[None] = None

    @property
    def assigned_tunnel_id(self) -> int:
        return getattr(self, "assigned_control_connection_id", None) or 0


class _OfSession(Message):
    """A message about a session, with the names that version 2 has for its fields."""

    __slots__ = ()

    for_call: ClassVar[bool] = True

    @property
    def assigned_session_id(self) -> int:
        found: int = self.local_session_id  # type: ignore[attr-defined]
        return found

    @property
    def call_serial_number(self) -> int:
        found: int = self.serial_number  # type: ignore[attr-defined]
        return found


@dataclass(slots=True)
class SCCRQ(_OfConnection):
    """Start-Control-Connection-Request (section 6.1)."""

    number: ClassVar[int] = 1
    nonzero: ClassVar[tuple[str, ...]] = _CONNECTION
    order: ClassVar[tuple[str, ...]] = (*_ORDER, "tie_breaker")

    host_name: str
    router_id: int
    assigned_control_connection_id: int
    pseudowire_capabilities_list: tuple[int, ...]
    control_message_authentication_nonce: bytes | None = None
    tie_breaker: bytes | None = None
    vendor_name: str | None = None
    receive_window_size: int | None = None
    preferred_language: str | None = None


@dataclass(slots=True)
class SCCRP(_OfConnection):
    """Start-Control-Connection-Reply (section 6.2)."""

    number: ClassVar[int] = 2
    nonzero: ClassVar[tuple[str, ...]] = _CONNECTION
    order: ClassVar[tuple[str, ...]] = _ORDER

    host_name: str
    router_id: int
    assigned_control_connection_id: int
    pseudowire_capabilities_list: tuple[int, ...]
    control_message_authentication_nonce: bytes | None = None
    vendor_name: str | None = None
    receive_window_size: int | None = None
    preferred_language: str | None = None


@dataclass(slots=True)
class SCCCN(_OfConnection):
    """Start-Control-Connection-Connected (section 6.3)."""

    number: ClassVar[int] = 3


@dataclass(slots=True)
class StopCCN(_OfConnection):
    """Stop-Control-Connection-Notification (section 6.4)."""

    number: ClassVar[int] = 4

    result_code: ResultCode
    assigned_control_connection_id: int | None = None


@dataclass(slots=True)
class HELLO(Message):
    """Hello (section 6.5)."""

    number: ClassVar[int] = 6


@dataclass(slots=True)
class ICRQ(_OfSession):
    """Incoming-Call-Request (section 6.6)."""

    number: ClassVar[int] = 10
    nonzero: ClassVar[tuple[str, ...]] = _SESSION

    local_session_id: int
    remote_session_id: int
    serial_number: int
    pseudowire_type: int
    remote_end_id: str
    circuit_status: int
    assigned_cookie: bytes | None = field(default=None, repr=False)
    tie_breaker: bytes | None = None
    l2_specific_sublayer: int | None = None
    data_sequencing: int | None = None
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    physical_channel_id: int | None = None
    calling_number: str | None = None
    called_number: str | None = None
    sub_address: str | None = None
    attachment_group_identifier: bytes | None = None
    local_end_identifier: bytes | None = None
    interface_maximum_transmission_unit: int | None = None
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
class ICRP(_OfSession):
    """Incoming-Call-Reply (section 6.7)."""

    number: ClassVar[int] = 11
    nonzero: ClassVar[tuple[str, ...]] = _BOTH_SESSIONS

    local_session_id: int
    remote_session_id: int
    circuit_status: int
    assigned_cookie: bytes | None = field(default=None, repr=False)
    l2_specific_sublayer: int | None = None
    data_sequencing: int | None = None
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    physical_channel_id: int | None = None
    interface_maximum_transmission_unit: int | None = None


@dataclass(slots=True)
class ICCN(_OfSession):
    """Incoming-Call-Connected (section 6.8)."""

    number: ClassVar[int] = 12
    nonzero: ClassVar[tuple[str, ...]] = _BOTH_SESSIONS

    local_session_id: int
    remote_session_id: int
    l2_specific_sublayer: int | None = None
    data_sequencing: int | None = None
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    circuit_status: int | None = None
    framing_type: int | None = None
    initial_received_lcp_confreq: bytes | None = None
    last_sent_lcp_confreq: bytes | None = None
    last_received_lcp_confreq: bytes | None = None
    proxy_authen_type: int | None = None
    proxy_authen_name: bytes | None = None
    proxy_authen_challenge: bytes | None = None
    proxy_authen_id: int | None = None
    proxy_authen_response: bytes | None = field(default=None, repr=False)
    private_group_id: bytes | None = None
    lcp_want_options: bytes | None = None
    lcp_allow_options: bytes | None = None


@dataclass(slots=True)
class OCRQ(_OfSession):
    """Outgoing-Call-Request (section 6.9)."""

    number: ClassVar[int] = 7
    nonzero: ClassVar[tuple[str, ...]] = _SESSION

    local_session_id: int
    remote_session_id: int
    serial_number: int
    pseudowire_type: int
    remote_end_id: str
    circuit_status: int
    assigned_cookie: bytes | None = field(default=None, repr=False)
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    tie_breaker: bytes | None = None
    l2_specific_sublayer: int | None = None
    data_sequencing: int | None = None
    called_number: str | None = None
    sub_address: str | None = None
    attachment_group_identifier: bytes | None = None
    local_end_identifier: bytes | None = None
    interface_maximum_transmission_unit: int | None = None


@dataclass(slots=True)
class OCRP(_OfSession):
    """Outgoing-Call-Reply (section 6.10)."""

    number: ClassVar[int] = 8
    nonzero: ClassVar[tuple[str, ...]] = _BOTH_SESSIONS

    local_session_id: int
    remote_session_id: int
    circuit_status: int
    assigned_cookie: bytes | None = field(default=None, repr=False)
    l2_specific_sublayer: int | None = None
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    data_sequencing: int | None = None
    physical_channel_id: int | None = None
    interface_maximum_transmission_unit: int | None = None


@dataclass(slots=True)
class OCCN(_OfSession):
    """Outgoing-Call-Connected (section 6.11)."""

    number: ClassVar[int] = 9
    nonzero: ClassVar[tuple[str, ...]] = _BOTH_SESSIONS

    local_session_id: int
    remote_session_id: int
    l2_specific_sublayer: int | None = None
    tx_connect_speed_bps: int | None = None
    rx_connect_speed_bps: int | None = None
    data_sequencing: int | None = None
    circuit_status: int | None = None
    framing_type: int | None = None
    lcp_want_options: bytes | None = None
    lcp_allow_options: bytes | None = None


@dataclass(slots=True)
class CDN(_OfSession):
    """Call-Disconnect-Notify (section 6.12). Both ids may be 0: nobody need have assigned one."""

    number: ClassVar[int] = 14

    result_code: ResultCode
    local_session_id: int
    remote_session_id: int
    q931_cause_code: Q931Cause | None = None
    ppp_disconnect_cause_code: DisconnectCause | None = None


@dataclass(slots=True)
class WEN(_OfSession):
    """WAN-Error-Notify (section 6.13).

    The RFC draws four counters and gives the length of six: those of version 2 it is.
    """

    number: ClassVar[int] = 15
    nonzero: ClassVar[tuple[str, ...]] = _SESSION

    local_session_id: int
    remote_session_id: int
    circuit_errors: CallErrors


@dataclass(slots=True)
class SLI(_OfSession):
    """Set-Link-Info (section 6.14)."""

    number: ClassVar[int] = 16
    nonzero: ClassVar[tuple[str, ...]] = _SESSION

    local_session_id: int
    remote_session_id: int
    circuit_status: int | None = None
    accm: ACCM | None = None
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


@dataclass(slots=True)
class ACK(Message):
    """Explicit-Acknowledgement (section 6.15). It takes no number, as a ZLB takes none."""

    number: ClassVar[int] = 20


MESSAGES: tuple[type[Message], ...] = (
    SCCRQ, SCCRP, SCCCN, StopCCN, HELLO, OCRQ, OCRP, OCCN, ICRQ, ICRP, ICCN, CDN, WEN, SLI, CSUN, CSURQ, ACK,
)

CODEC = Codec(MESSAGES, OF_VERSION_3, "assigned_control_connection_id", "local_session_id", reserved=0)
decode = CODEC.decode
encode = CODEC.encode


def offered(request: messages.SCCRQ) -> SCCRQ | None:
    """The request of version 3 that one of version 2 stands for, None where it offers no version 3 (section 4.7.3)."""
    connection_id = request.assigned_control_connection_id
    types = request.pseudowire_capabilities_list
    if not connection_id or request.router_id is None or types is None:
        return None
    return SCCRQ(
        request.host_name,
        request.router_id,
        connection_id,
        types,
        request.control_message_authentication_nonce,
        request.tie_breaker,
        request.vendor_name,
        request.receive_window_size,
        request.preferred_language,
    )
