"""The table of AVPs, one line each, in the order of RFC 2661 section 4.4 and RFC 3931 section 5.4, and the formats
of their values.

A value is read from the octets after the AVP's header and written to them. Text is UTF-8 with every other
octet kept as a surrogate (`surrogateescape`): no text of a peer is refused, and all of it can be sent on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct, pack, unpack
from typing import Any, NamedTuple

from prol2tp.common.wire import WireError


class OutOfRange(WireError):
    """A value that has the right length, and is not allowed (error code 3)."""


class ResultCode(NamedTuple):
    """Result Code AVP (section 4.4.2). `results` has the texts of both numbers."""

    result: int
    error: int = 0
    message: str = ""


class Q931Cause(NamedTuple):
    """Q.931 Cause Code AVP (section 4.4.4): why an ISDN call was cleared."""

    cause_code: int
    cause_msg: int
    advisory: str = ""


class CallErrors(NamedTuple):
    """Call Errors AVP (section 4.4.6): what the LAC's line has seen since the call was connected."""

    crc_errors: int
    framing_errors: int
    hardware_overruns: int
    buffer_overruns: int
    timeout_errors: int
    alignment_errors: int


class ACCM(NamedTuple):
    """ACCM AVP (section 4.4.6): the async control character maps that LCP negotiated."""

    send_accm: int
    receive_accm: int


class DisconnectCause(NamedTuple):
    """PPP Disconnect Cause Code AVP (RFC 3145 section 2). `direction`: 0 does not apply, 1 peer, 2 local."""

    code: int
    protocol: int
    direction: int
    message: str = ""


class ConnectSpeed(NamedTuple):
    """Connect Speed Update AVP (RFC 5515): the call, by the id of who receives it, and bit/s on the subscriber's line
    from the LAC and to the LAC; both 0 where they are asked for."""

    session_id: int
    tx: int
    rx: int


class MessageDigest(NamedTuple):
    """Message Digest AVP (RFC 3931 section 5.4.1). `type`: 0 HMAC-MD5 (16 octets), 1 HMAC-SHA-1 (20 octets)."""

    type: int
    digest: bytes


_U8_PAIR = Struct("!BB")
_U16 = Struct("!H")
_U32 = Struct("!I")
_U64 = Struct("!Q")
_RESULT = Struct("!HH")
_Q931 = Struct("!HB")
_CALL_ERRORS = Struct("!2x6I")
_ACCM = Struct("!2xII")
_DISCONNECT = Struct("!HHB")
_CONNECT_SPEED = Struct("!2xHII")
_CONNECT_SPEED_3 = Struct("!IQQ")


class Format(NamedTuple):
    """How a value stands on the wire. `read` raises `struct.error` or `WireError` for octets that do not fit.
    `fixed` is the struct of a value that is one number. `each`: a message may have several of the AVP; `read` gives a
    tuple of one value, the message has a tuple of all, and `write` takes one."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    fixed: Struct | None = None
    each: bool = False


def _number(struct: Struct) -> Format:
    unpack = struct.unpack
    return Format(lambda value: unpack(value)[0], struct.pack, struct)


def _read_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _write_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _read_name(value: bytes) -> str:
    if not value:
        raise OutOfRange("an empty name")
    return _read_text(value)


def _octets_of(size: int) -> Format:
    def exact(value: bytes) -> bytes:
        if len(value) != size:
            raise WireError(f"{len(value)} octets where {size} belong")
        return bytes(value)

    return Format(exact, exact)


def _read_nothing(value: bytes) -> bool:
    if value:
        raise WireError(f"{len(value)} octets where none belong")
    return True


def _read_window(value: bytes) -> int:
    window: int = _U16.unpack(value)[0]
    if not window:
        raise OutOfRange("a window of 0")
    return window


def _read_last_octet(value: bytes) -> int:
    return int(_U8_PAIR.unpack(value)[1])


def _read_result(value: bytes) -> ResultCode:
    if len(value) == 2:
        return ResultCode(_U16.unpack(value)[0])
    result, error = _RESULT.unpack_from(value)
    return ResultCode(result, error, _read_text(value[4:]))


def _write_result(value: ResultCode) -> bytes:
    result, error, message = value
    if not error and not message:
        return _U16.pack(result)
    return _RESULT.pack(result, error) + _write_text(message)


def _read_q931(value: bytes) -> Q931Cause:
    code, msg = _Q931.unpack_from(value)
    return Q931Cause(code, msg, _read_text(value[3:]))


def _write_q931(value: Q931Cause) -> bytes:
    return _Q931.pack(value[0], value[1]) + _write_text(value[2])


def _read_disconnect(value: bytes) -> DisconnectCause:
    code, protocol, direction = _DISCONNECT.unpack_from(value)
    return DisconnectCause(code, protocol, direction, _read_text(value[5:]))


def _write_disconnect(value: DisconnectCause) -> bytes:
    return _DISCONNECT.pack(value[0], value[1], value[2]) + _write_text(value[3])


def _read_digest(value: bytes) -> MessageDigest:
    if not value:
        raise WireError("no digest type")
    return MessageDigest(value[0], bytes(value[1:]))


def _connect_speeds(struct: Struct) -> Format:
    return Format(
        lambda value: (ConnectSpeed._make(struct.unpack(value)),), lambda value: struct.pack(*value), each=True
    )


def _read_types(value: bytes) -> tuple[int, ...]:
    if not value or len(value) % 2:
        raise WireError(f"{len(value)} octets, no list of types")
    return unpack(f"!{len(value) // 2}H", value)


def _read_cookie(value: bytes) -> bytes:
    if len(value) not in COOKIE_LENGTHS:
        raise WireError(f"a cookie of {len(value)} octets")
    return bytes(value)


def _write_cookie(value: bytes) -> bytes:
    if len(value) not in COOKIE_LENGTHS:
        raise ValueError(f"a cookie of {len(value)} octets")
    return value


COOKIE_LENGTHS = (0, 4, 8)
"""Octets that a cookie may have (RFC 3931 section 5.4.4)."""

U16 = _number(_U16)
U32 = _number(_U32)
U64 = _number(_U64)
PLAIN = (U16, U32, U64)
"""Numbers that are read without a look at them."""
TEXT = Format(_read_text, _write_text)
NAME = Format(_read_name, _write_text)
OCTETS = Format(bytes, bytes)
OCTETS_3 = _octets_of(3)
OCTETS_8 = _octets_of(8)
OCTETS_16 = _octets_of(16)
WINDOW = Format(_read_window, _U16.pack, _U16)
LAST_OCTET = Format(_read_last_octet, lambda value: _U8_PAIR.pack(0, value))
FLAG = Format(lambda value: True, lambda value: b"")
"""Its being there is all that counts."""
PRESENCE = Format(_read_nothing, lambda value: b"")
RESULT = Format(_read_result, _write_result)
Q931 = Format(_read_q931, _write_q931)
CALL_ERRORS = Format(
    lambda value: CallErrors._make(_CALL_ERRORS.unpack(value)), lambda value: _CALL_ERRORS.pack(*value)
)
ACCMS = Format(lambda value: ACCM._make(_ACCM.unpack(value)), lambda value: _ACCM.pack(*value))
DISCONNECT = Format(_read_disconnect, _write_disconnect)
CONNECT_SPEED = _connect_speeds(_CONNECT_SPEED)
CONNECT_SPEED_3 = _connect_speeds(_CONNECT_SPEED_3)
DIGEST = Format(_read_digest, lambda value: bytes((value[0],)) + value[1])
TYPES = Format(_read_types, lambda value: pack(f"!{len(value)}H", *value))
COOKIE = Format(_read_cookie, _write_cookie)
UNREAD = None
"""Known by name only: for section 4.1 such an AVP is not recognized."""


class AVP(NamedTuple):
    vendor: int
    type: int
    name: str
    format: Format | None
    mandatory: bool
    """The M bit that we send."""
    hidable: bool
    section: str

    @property
    def field(self) -> str:
        """The name as it stands in messages: `(Tx) Connect Speed` is `tx_connect_speed`."""
        return re.sub(r"\W+", "_", re.sub(r"[.()]", "", self.name)).lower()


IETF = 0
DSL_FORUM = 3561
M = True
H = True
_ = False

# fmt: off
OF_VERSION_2 = (
    # vendor, type, name, value, M bit, may be hidden, section of RFC 2661
    AVP(IETF, 0, "Message Type", U16, M, _, "4.4.1"),
    AVP(IETF, 36, "Random Vector", OCTETS, M, _, "4.4.1"),

    AVP(IETF, 1, "Result Code", RESULT, M, _, "4.4.2"),

    AVP(IETF, 2, "Protocol Version", U16, M, _, "4.4.3"),
    AVP(IETF, 3, "Framing Capabilities", U32, M, H, "4.4.3"),
    AVP(IETF, 4, "Bearer Capabilities", U32, M, H, "4.4.3"),
    AVP(IETF, 5, "Tie Breaker", OCTETS_8, _, _, "4.4.3"),
    AVP(IETF, 6, "Firmware Revision", U16, _, H, "4.4.3"),
    AVP(IETF, 7, "Host Name", NAME, M, _, "4.4.3"),
    AVP(IETF, 8, "Vendor Name", TEXT, _, H, "4.4.3"),
    AVP(IETF, 9, "Assigned Tunnel ID", U16, M, H, "4.4.3"),
    AVP(IETF, 10, "Receive Window Size", WINDOW, M, _, "4.4.3"),
    AVP(IETF, 11, "Challenge", OCTETS, M, H, "4.4.3"),
    AVP(IETF, 13, "Challenge Response", OCTETS_16, M, H, "4.4.3"),

    AVP(IETF, 12, "Q.931 Cause Code", Q931, M, _, "4.4.4"),
    AVP(IETF, 14, "Assigned Session ID", U16, M, H, "4.4.4"),
    AVP(IETF, 15, "Call Serial Number", U32, M, H, "4.4.4"),
    AVP(IETF, 16, "Minimum BPS", U32, M, H, "4.4.4"),
    AVP(IETF, 17, "Maximum BPS", U32, M, H, "4.4.4"),
    AVP(IETF, 18, "Bearer Type", U32, M, H, "4.4.4"),
    AVP(IETF, 19, "Framing Type", U32, M, H, "4.4.4"),
    AVP(IETF, 21, "Called Number", TEXT, M, H, "4.4.4"),
    AVP(IETF, 22, "Calling Number", TEXT, M, H, "4.4.4"),
    AVP(IETF, 23, "Sub-Address", TEXT, M, H, "4.4.4"),
    AVP(IETF, 24, "(Tx) Connect Speed", U32, M, H, "4.4.4"),
    AVP(IETF, 38, "Rx Connect Speed", U32, _, H, "4.4.4"),
    AVP(IETF, 25, "Physical Channel ID", U32, _, H, "4.4.4"),
    AVP(IETF, 37, "Private Group ID", OCTETS, _, H, "4.4.4"),
    AVP(IETF, 39, "Sequencing Required", PRESENCE, M, _, "4.4.4"),

    AVP(IETF, 26, "Initial Received LCP CONFREQ", OCTETS, _, H, "4.4.5"),
    AVP(IETF, 27, "Last Sent LCP CONFREQ", OCTETS, _, H, "4.4.5"),
    AVP(IETF, 28, "Last Received LCP CONFREQ", OCTETS, _, H, "4.4.5"),
    AVP(IETF, 29, "Proxy Authen Type", U16, _, H, "4.4.5"),
    AVP(IETF, 30, "Proxy Authen Name", OCTETS, _, H, "4.4.5"),
    AVP(IETF, 31, "Proxy Authen Challenge", OCTETS, _, H, "4.4.5"),
    AVP(IETF, 32, "Proxy Authen ID", LAST_OCTET, _, H, "4.4.5"),
    AVP(IETF, 33, "Proxy Authen Response", OCTETS, _, H, "4.4.5"),

    AVP(IETF, 34, "Call Errors", CALL_ERRORS, M, H, "4.4.6"),
    AVP(IETF, 35, "ACCM", ACCMS, M, H, "4.4.6"),

    # later documents
    AVP(IETF, 20, "Packet Processing Delay", UNREAD, _, _, "draft"),
    AVP(IETF, 40, "Rx Minimum BPS", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 41, "Rx Maximum BPS", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 42, "Service Category", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 43, "Service Name", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 44, "Calling Sub-Address", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 45, "VPI/VCI Identifier", UNREAD, M, H, "RFC 3301"),
    AVP(IETF, 46, "PPP Disconnect Cause Code", DISCONNECT, _, H, "RFC 3145"),
    AVP(IETF, 47, "Control Connection DS", UNREAD, _, H, "RFC 3308"),
    AVP(IETF, 48, "Session DS", UNREAD, _, H, "RFC 3308"),
    AVP(IETF, 49, "LCP Want Options", OCTETS, _, H, "RFC 3437"),
    AVP(IETF, 50, "LCP Allow Options", OCTETS, _, H, "RFC 3437"),
    AVP(IETF, 51, "LNS Last Sent LCP Confreq", OCTETS, _, H, "RFC 3437"),
    AVP(IETF, 52, "LNS Last Received LCP Confreq", OCTETS, _, H, "RFC 3437"),
    AVP(IETF, 53, "Modem On-Hold Capable", UNREAD, _, H, "RFC 3573"),
    AVP(IETF, 54, "Modem On-Hold Status", UNREAD, _, H, "RFC 3573"),
    AVP(IETF, 55, "PPPoE Relay", UNREAD, _, H, "RFC 3817"),
    AVP(IETF, 56, "PPPoE Relay Response Capability", UNREAD, _, H, "RFC 3817"),
    AVP(IETF, 57, "PPPoE Relay Forward Capability", UNREAD, _, H, "RFC 3817"),
    AVP(IETF, 76, "Failover Capability", UNREAD, _, H, "RFC 4951"),
    AVP(IETF, 77, "Tunnel Recovery", UNREAD, M, H, "RFC 4951"),
    AVP(IETF, 78, "Suggested Control Sequence", UNREAD, _, H, "RFC 4951"),
    AVP(IETF, 79, "Failover Session State", UNREAD, M, H, "RFC 4951"),
    AVP(IETF, 97, "Connect Speed Update", CONNECT_SPEED, _, H, "RFC 5515"),
    AVP(IETF, 98, "Connect Speed Update Enable", FLAG, _, H, "RFC 5515"),

    # the subscriber's line: rates in bit/s, delays in milliseconds
    AVP(DSL_FORUM, 1, "Agent Circuit ID", OCTETS, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 2, "Agent Remote ID", OCTETS, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 129, "Actual Data Rate Upstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 130, "Actual Data Rate Downstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 131, "Minimum Data Rate Upstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 132, "Minimum Data Rate Downstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 133, "Attainable Data Rate Upstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 134, "Attainable Data Rate Downstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 135, "Maximum Data Rate Upstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 136, "Maximum Data Rate Downstream", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 137, "Minimum Data Rate Upstream Low-Power", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 138, "Minimum Data Rate Downstream Low-Power", U64, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 139, "Maximum Interleaving Delay Upstream", U32, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 140, "Actual Interleaving Delay Upstream", U32, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 141, "Maximum Interleaving Delay Downstream", U32, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 142, "Actual Interleaving Delay Downstream", U32, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 144, "Access Loop Encapsulation", OCTETS_3, _, H, "RFC 5515"),
    AVP(DSL_FORUM, 254, "IWF Session", U32, _, H, "RFC 5515"),
)

ADDED_BY_VERSION_3 = (
    # Extended Vendor ID is not recognized, because what is in it would not be. What sets up a control connection is
    # sent without the M bit, as it stands in an SCCRQ that offers both versions too (RFC 3931 section 4.7.3)
    AVP(IETF, 58, "Extended Vendor ID", UNREAD, M, H, "RFC 3931 5.1"),
    AVP(IETF, 59, "Message Digest", DIGEST, M, _, "RFC 3931 5.4.1"),
    AVP(IETF, 73, "Control Message Authentication Nonce", OCTETS, M, _, "RFC 3931 5.4.1"),

    AVP(IETF, 60, "Router ID", U32, _, _, "RFC 3931 5.4.3"),
    AVP(IETF, 61, "Assigned Control Connection ID", U32, _, H, "RFC 3931 5.4.3"),
    AVP(IETF, 62, "Pseudowire Capabilities List", TYPES, _, H, "RFC 3931 5.4.3"),
    AVP(IETF, 72, "Preferred Language", TEXT, _, H, "RFC 3931 5.4.3"),

    AVP(IETF, 63, "Local Session ID", U32, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 64, "Remote Session ID", U32, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 65, "Assigned Cookie", COOKIE, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 66, "Remote End ID", TEXT, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 68, "Pseudowire Type", U16, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 69, "L2-Specific Sublayer", U16, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 70, "Data Sequencing", U16, M, H, "RFC 3931 5.4.4"),
    AVP(IETF, 74, "Tx Connect Speed BPS", U64, _, H, "RFC 3931 5.4.4"),
    AVP(IETF, 75, "Rx Connect Speed BPS", U64, _, H, "RFC 3931 5.4.4"),

    AVP(IETF, 71, "Circuit Status", U16, M, H, "RFC 3931 5.4.5"),

    # later documents
    AVP(IETF, 80, "Multicast Capability", UNREAD, _, H, "RFC 4045"),
    AVP(IETF, 81, "New Outgoing Sessions", UNREAD, _, H, "RFC 4045"),
    AVP(IETF, 82, "New Outgoing Sessions Acknowledgement", UNREAD, _, H, "RFC 4045"),
    AVP(IETF, 83, "Withdraw Outgoing Sessions", UNREAD, _, H, "RFC 4045"),
    AVP(IETF, 84, "Multicast Packets Priority", UNREAD, _, H, "RFC 4045"),
    AVP(IETF, 85, "Frame-Relay Header Length", UNREAD, M, H, "RFC 4591"),
    AVP(IETF, 86, "ATM Maximum Concatenated Cells", UNREAD, _, H, "RFC 4454"),
    AVP(IETF, 87, "OAM Emulation Required", UNREAD, _, H, "RFC 4454"),
    AVP(IETF, 88, "ATM Alarm Status", UNREAD, _, H, "RFC 4454"),
    AVP(IETF, 89, "Attachment Group Identifier", OCTETS, _, H, "RFC 4667"),
    AVP(IETF, 90, "Local End Identifier", OCTETS, _, H, "RFC 4667"),
    AVP(IETF, 91, "Interface Maximum Transmission Unit", U16, _, H, "RFC 4667"),
    AVP(IETF, 92, "FCS Retention", UNREAD, _, H, "RFC 4720"),
    AVP(IETF, 93, "Tunnel Switching Aggregator ID", UNREAD, _, H, "draft"),
    AVP(IETF, 94, "Maximum Receive Unit", UNREAD, _, H, "RFC 4623"),
    AVP(IETF, 95, "Maximum Reassembled Receive Unit", UNREAD, _, H, "RFC 4623"),
    AVP(IETF, 96, "VCCV Capability", UNREAD, _, H, "RFC 5085"),
)

CHANGED_BY_VERSION_3 = (
    # another name, another M bit or another form than version 2 has
    AVP(IETF, 5, "Tie Breaker", OCTETS_8, M, _, "RFC 3931 5.4.3"),
    AVP(IETF, 15, "Serial Number", U32, _, H, "RFC 3931 5.4.4"),
    AVP(IETF, 34, "Circuit Errors", CALL_ERRORS, _, H, "RFC 3931 5.4.5"),
    AVP(IETF, 97, "Connect Speed Update", CONNECT_SPEED_3, _, H, "RFC 5515"),
)
# fmt: on

TABLE = OF_VERSION_2 + ADDED_BY_VERSION_3
"""All AVPs, every number once, as far as they are version 2's in the words of RFC 2661."""

_CHANGED = {(avp.vendor, avp.type): avp for avp in CHANGED_BY_VERSION_3}
OF_VERSION_3 = tuple(_CHANGED.get((avp.vendor, avp.type), avp) for avp in TABLE)
"""The same in the words of RFC 3931: version 3 shares the AVPs of version 2, as PPP over version 3 needs them."""

BY_NUMBER = {(avp.vendor, avp.type): avp for avp in TABLE}
BY_FIELD = {avp.field: avp for avp in TABLE}
ACCESS_LINE = {avp.type: avp for avp in TABLE if avp.vendor == DSL_FORUM}
"""The AVPs about the subscriber's line by their numbers, which are those of the sub-options of RFC 4679 too."""


def avp_name(vendor: int, attribute: int) -> str:
    """The name to show: `Host Name (7)`, or numbers only for what is not in the table."""
    avp = BY_NUMBER.get((vendor, attribute))
    number = str(attribute) if vendor == IETF else f"{vendor}/{attribute}"
    return f"AVP {number}" if avp is None else f"{avp.name} ({number})"
