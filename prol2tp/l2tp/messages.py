"""The control messages of RFC 2661 section 6, one record each, and their bodies (what follows the header).

The fields are the AVPs of `avptable` in the order of the RFC: those without a default MUST be present, those
with a default MAY be, None (or False) for absent. Text is `str`, what may be binary is `bytes`.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from struct import error as struct_error
from typing import Any, ClassVar

from prol2tp.l2tp.avp import (
    HEADER,
    HEADER_LENGTH,
    LENGTH,
    MANDATORY,
    BadAVP,
    MessageError,
    RandomBytes,
    UnknownMandatoryAVP,
    read_avps,
    write_avp,
    write_hidden_avp,
    writer,
)
from prol2tp.l2tp.avptable import ACCM, BY_FIELD, CallErrors, DisconnectCause, Q931Cause, ResultCode

__all__ = [
    "ACCM", "CDN", "HELLO", "ICCN", "ICRP", "ICRQ", "MESSAGES", "OCCN", "OCRP", "OCRQ", "PROTOCOL_VERSION",
    "SCCCN", "SCCRP", "SCCRQ", "SLI", "WEN", "BadAVP", "CallErrors", "DisconnectCause", "Message",
    "MessageError", "MissingAVP", "Q931Cause", "ResultCode", "StopCCN", "UnknownMandatoryAVP",
    "UnknownMessageType", "decode", "encode", "message_name", "vendor_name",
]

PROTOCOL_VERSION = 0x0100
"""Protocol Version AVP: version 1, revision 0."""


class Message:
    """Base of the records. `number` is the Message Type; `for_call`: the message is about one call."""

    __slots__ = ()

    number: ClassVar[int]
    for_call: ClassVar[bool] = False


@dataclass(slots=True)
class SCCRQ(Message):
    """Start-Control-Connection-Request (section 6.1)."""

    number: ClassVar[int] = 1

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


@dataclass(slots=True)
class SCCRP(Message):
    """Start-Control-Connection-Reply (section 6.2)."""

    number: ClassVar[int] = 2

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
    """Incoming-Call-Request (section 6.6)."""

    number: ClassVar[int] = 10
    for_call: ClassVar[bool] = True

    assigned_session_id: int
    call_serial_number: int
    bearer_type: int | None = None
    physical_channel_id: int | None = None
    calling_number: str | None = None
    called_number: str | None = None
    sub_address: str | None = None


@dataclass(slots=True)
class ICRP(Message):
    """Incoming-Call-Reply (section 6.7)."""

    number: ClassVar[int] = 11
    for_call: ClassVar[bool] = True

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
    """Set-Link-Info (section 6.14)."""

    number: ClassVar[int] = 16
    for_call: ClassVar[bool] = True

    accm: ACCM


MESSAGES: tuple[type[Message], ...] = (
    SCCRQ, SCCRP, SCCCN, StopCCN, HELLO, OCRQ, OCRP, OCCN, ICRQ, ICRP, ICCN, CDN, WEN, SLI,
)

_OTHER_NAMES = {
    17: "MDMST", 18: "SRRQ", 19: "SRRP", 20: "ACK", 21: "FSQ", 22: "FSR", 23: "MSRQ", 24: "MSRP", 25: "MSE",
    26: "MSI", 27: "MSEN", 28: "CSUN", 29: "CSURQ",
}
"""Messages of later documents, known by name only."""


def message_name(number: int) -> str:
    """`SCCRQ` and so on, `message 99` where no document has a name."""
    layout = _LAYOUTS.get(number)
    return layout.message.__name__ if layout else _OTHER_NAMES.get(number, f"message {number}")


def vendor_name(version: str, sysname: str, release: str, machine: str) -> str:
    """Our Vendor Name, from our version and `uname`: `prol2tp 2.0.0 Linux-6.1.0-18-amd64 (x86_64)`."""
    return f"prol2tp {version} {sysname}-{release} ({machine})"


class MissingAVP(MessageError):
    """An AVP that the message must have is not in it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing")
        self.name = name


class UnknownMessageType(MessageError):
    """A message type that we do not know. `mandatory` False: ignore the message (acknowledge it);
    True: the tunnel must end (section 4.4.1)."""

    error = 8

    def __init__(self, number: int, mandatory: bool) -> None:
        super().__init__(f"unknown message type {number}")
        self.number = number
        self.mandatory = mandatory


class _Layout:
    """What decoding and encoding need to know of one message, made once from its record."""

    __slots__ = (
        "message", "names", "required", "flags", "assigned", "get", "get_is_plural", "writers", "avps",
        "message_type",
    )

    def __init__(self, message: type[Message]) -> None:
        members = fields(message)  # type: ignore[arg-type]
        self.message = message
        self.names = tuple(member.name for member in members)
        self.required = sum(member.default is MISSING for member in members)
        self.flags = tuple(member.name for member in members if member.default is False)
        self.assigned = _assigned_position(message, self.names)
        self.get = attrgetter(*self.names) if members else None
        self.get_is_plural = len(members) > 1
        self.avps = tuple(BY_FIELD[name] for name in self.names)
        self.writers = tuple(writer(avp) for avp in self.avps)
        message_type = BY_FIELD["message_type"]
        self.message_type = write_avp(message_type, message.number.to_bytes(2, "big"))

    def values(self, message: Message) -> tuple[Any, ...]:
        if self.get is None:
            return ()
        values = self.get(message)
        return values if self.get_is_plural else (values,)


def _assigned_position(message: type[Message], names: tuple[str, ...]) -> int | None:
    """Where the id stands that this message assigns and that may not be 0. In StopCCN and CDN it may be: the
    sender need not have one."""
    if message in (StopCCN, CDN):
        return None
    for name in ("assigned_tunnel_id", "assigned_session_id"):
        if name in names:
            return names.index(name)
    return None


_LAYOUTS = {message.number: _Layout(message) for message in MESSAGES}


def decode(body: bytes, secret: bytes = b"", ignored: list[str] | None = None) -> Any:
    """The message in the body (the octets between the header and the header's Length, not empty).

    :param secret: the tunnel's shared secret, for hidden AVPs.
    :param ignored: gets a line of text for every AVP that was left out (no M bit, unrecognized or malformed).
    :raises MessageError: `UnknownMessageType`, `UnknownMandatoryAVP`, `BadAVP`, `MissingAVP`.
    """
    number, position = _read_message_type(body)
    layout = _LAYOUTS[number]
    values: dict[str, Any] = {}
    try:
        read_avps(body, position, secret, values, ignored)
        for name in layout.flags:
            values.setdefault(name, False)
        arguments = tuple(map(values.get, layout.names))
        if None in arguments[:layout.required]:
            raise MissingAVP(BY_FIELD[layout.names[arguments.index(None)]].name)
        if layout.assigned is not None and not arguments[layout.assigned]:
            raise BadAVP(f"{layout.avps[layout.assigned].name} is 0", 3)
    except MessageError as error:
        error.message_type = number
        error.for_call = layout.message.for_call
        error.assigned_tunnel_id = values.get("assigned_tunnel_id")
        error.assigned_session_id = values.get("assigned_session_id")
        raise
    return layout.message(*arguments)


def _read_message_type(body: bytes) -> tuple[int, int]:
    """The number of a message we know, and where its other AVPs begin."""
    if len(body) < HEADER_LENGTH + 2:
        raise BadAVP(f"{len(body)} octets, no Message Type")
    bits, vendor, attribute = HEADER.unpack_from(body)
    if vendor or attribute or bits & ~MANDATORY != HEADER_LENGTH + 2:
        raise BadAVP("the first AVP is no Message Type", 2 if bits & LENGTH != HEADER_LENGTH + 2 else 3)
    number = int.from_bytes(body[6:8], "big")
    if number not in _LAYOUTS:
        error = UnknownMessageType(number, bool(bits & MANDATORY))
        error.message_type = number
        raise error
    return number, HEADER_LENGTH + 2


def encode(
    message: Message, secret: bytes = b"", random_bytes: RandomBytes | None = None, hide: bool = False
) -> bytes:
    """The body of the message.

    :param hide: hide the AVPs that may be hidden (section 4.3); needs `secret` and `random_bytes`.
    :raises ValueError: for a value that does not fit its AVP.
    """
    layout = _LAYOUTS[message.number]
    values = layout.values(message)
    if hide:
        if not secret or random_bytes is None:
            raise ValueError("hiding needs a secret and a random source")
        return _encode_hidden(layout, values, secret, random_bytes)
    parts = [layout.message_type]
    try:
        for value, write in zip(values, layout.writers):  # noqa: B905 (of one length by construction)
            if value is not None and value is not False:
                parts.append(write(value))
    except struct_error as error:
        raise ValueError(f"{message_name(message.number)}: {error}") from error
    return b"".join(parts)


def _encode_hidden(
    layout: _Layout, values: tuple[Any, ...], secret: bytes, random_bytes: RandomBytes
) -> bytes:
    random_vector = random_bytes(16)
    parts = [layout.message_type, write_avp(BY_FIELD["random_vector"], random_vector)]
    for value, avp, write in zip(values, layout.avps, layout.writers, strict=True):
        if value is None or value is False:
            continue
        if avp.hidable and avp.format is not None:
            parts.append(write_hidden_avp(avp, avp.format.write(value), secret, random_vector, random_bytes))
        else:
            parts.append(write(value))
    return b"".join(parts)
