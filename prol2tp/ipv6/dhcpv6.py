"""DHCPv6 messages between client and server (RFC 8415 section 8): octets to records and back.

    msg-type(1) transaction-id(3) options: code(2) length(2) value

Options hold options two deep at most, and each depth is read by its own loop: nothing recurses. Elements above the
limits below are not read: a subscriber needs a handful.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from prol2tp.common.wire import WireError
from prol2tp.ipv6 import names

CLIENT_PORT = 546
SERVER_PORT = 547

# RFC 8415 section 7.3
SOLICIT = 1
ADVERTISE = 2
REQUEST = 3
CONFIRM = 4
RENEW = 5
REBIND = 6
REPLY = 7
RELEASE = 8
DECLINE = 9
RECONFIGURE = 10
INFORMATION_REQUEST = 11
RELAY_FORW = 12
RELAY_REPL = 13

MESSAGE_NAMES = {
    SOLICIT: "SOLICIT",
    ADVERTISE: "ADVERTISE",
    REQUEST: "REQUEST",
    CONFIRM: "CONFIRM",
    RENEW: "RENEW",
    REBIND: "REBIND",
    REPLY: "REPLY",
    RELEASE: "RELEASE",
    DECLINE: "DECLINE",
    RECONFIGURE: "RECONFIGURE",
    INFORMATION_REQUEST: "INFORMATION-REQUEST",
    RELAY_FORW: "RELAY-FORW",
    RELAY_REPL: "RELAY-REPL",
}

# RFC 8415 section 21
OPTION_CLIENTID = 1
OPTION_SERVERID = 2
OPTION_IA_NA = 3
OPTION_IA_TA = 4
OPTION_IAADDR = 5
OPTION_ORO = 6
OPTION_PREFERENCE = 7
OPTION_ELAPSED_TIME = 8
OPTION_RELAY_MSG = 9
OPTION_AUTH = 11
OPTION_UNICAST = 12
OPTION_STATUS_CODE = 13
OPTION_RAPID_COMMIT = 14
OPTION_USER_CLASS = 15
OPTION_VENDOR_CLASS = 16
OPTION_VENDOR_OPTS = 17
OPTION_INTERFACE_ID = 18
OPTION_RECONF_MSG = 19
OPTION_RECONF_ACCEPT = 20
# RFC 3646
OPTION_DNS_SERVERS = 23
OPTION_DOMAIN_LIST = 24
# RFC 8415 section 21.21 on
OPTION_IA_PD = 25
OPTION_IAPREFIX = 26
OPTION_INFORMATION_REFRESH_TIME = 32

# RFC 8415 section 21.13
SUCCESS = 0
UNSPEC_FAIL = 1
NO_ADDRS_AVAIL = 2
NO_BINDING = 3
NOT_ON_LINK = 4
USE_MULTICAST = 5
NO_PREFIX_AVAIL = 6

INFINITY = 0xFFFFFFFF
DUID_MAX = 130
"""RFC 8415 section 11.1: a type of 2 octets and at most 128 more."""
IAS_MAX = 8
ITEMS_MAX = 16
REQUESTED_MAX = 64

_U16 = Struct("!H")
_U32 = Struct("!I")
_OPTION = Struct("!HH")
_IA = Struct("!III")
_ADDRESS = Struct("!16sII")
_PREFIX = Struct("!IIB16s")


def duid_uuid(uuid: bytes) -> bytes:
    """A DUID of 16 octets that are unique and stay, such as a machine's id (RFC 8415 section 11.5)."""
    if len(uuid) != 16:
        raise ValueError(f"UUID of {len(uuid)} octets")
    return b"\0\x04" + uuid


@dataclass(slots=True)
class Status:
    """RFC 8415 section 21.13."""

    code: int
    text: str = ""


@dataclass(slots=True)
class Item:
    """An IA Address option (section 21.6), or an IA Prefix option (21.22). `octets` are 16; `length` is 128 for an
    address. Lifetimes are seconds."""

    octets: bytes
    length: int
    preferred_lifetime: int = 0
    valid_lifetime: int = 0


@dataclass(slots=True)
class IA:
    """Identity association for addresses (section 21.4) or for prefixes (21.21)."""

    iaid: int
    t1: int = 0
    t2: int = 0
    items: tuple[Item, ...] = ()
    status: Status | None = None


@dataclass(slots=True)
class Message:
    """A client's or server's message. An option that must not come twice counts by its first."""

    type: int
    transaction_id: int
    client_id: bytes = b""
    server_id: bytes = b""
    addresses: tuple[IA, ...] = ()
    prefixes: tuple[IA, ...] = ()
    requested: tuple[int, ...] | None = None
    """Option codes; None: no ORO."""
    preference: int | None = None
    elapsed_time: int | None = None
    """Hundredths of a second."""
    status: Status | None = None
    rapid_commit: bool = False
    dns: tuple[bytes, ...] = ()
    domains: tuple[str, ...] = ()
    refresh_time: int | None = None


@dataclass(slots=True)
class _Found:
    """Of one message while it is read."""

    first: dict[int, bytes] = field(default_factory=dict)
    addresses: dict[int, IA] = field(default_factory=dict)
    prefixes: dict[int, IA] = field(default_factory=dict)


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + value


def _status(status: Status | None) -> bytes:
    if status is None:
        return b""
    return _option(OPTION_STATUS_CODE, _U16.pack(status.code) + status.text.encode())


def _ia(code: int, ia: IA) -> bytes:
    parts = [_IA.pack(ia.iaid, ia.t1, ia.t2)]
    for item in ia.items:
        preferred, valid = item.preferred_lifetime, item.valid_lifetime
        if code == OPTION_IA_NA:
            parts.append(_option(OPTION_IAADDR, _ADDRESS.pack(item.octets, preferred, valid)))
        else:
            parts.append(_option(OPTION_IAPREFIX, _PREFIX.pack(preferred, valid, item.length, item.octets)))
    parts.append(_status(ia.status))
    return _option(code, b"".join(parts))


def encode(message: Message) -> bytes:
    """The UDP payload."""
    parts = [_U32.pack(message.type << 24 | message.transaction_id)]
    if message.client_id:
        parts.append(_option(OPTION_CLIENTID, message.client_id))
    if message.server_id:
        parts.append(_option(OPTION_SERVERID, message.server_id))
    parts += [_ia(OPTION_IA_NA, ia) for ia in message.addresses]
    if message.requested is not None:
        parts.append(_option(OPTION_ORO, b"".join(map(_U16.pack, message.requested))))
    if message.preference is not None:
        parts.append(_option(OPTION_PREFERENCE, bytes((message.preference,))))
    if message.elapsed_time is not None:
        parts.append(_option(OPTION_ELAPSED_TIME, _U16.pack(message.elapsed_time)))
    parts.append(_status(message.status))
    if message.rapid_commit:
        parts.append(_option(OPTION_RAPID_COMMIT, b""))
    if message.dns:
        parts.append(_option(OPTION_DNS_SERVERS, b"".join(message.dns)))
    if message.domains:
        parts.append(_option(OPTION_DOMAIN_LIST, names.encode(message.domains)))
    parts += [_ia(OPTION_IA_PD, ia) for ia in message.prefixes]
    if message.refresh_time is not None:
        parts.append(_option(OPTION_INFORMATION_REFRESH_TIME, _U32.pack(message.refresh_time)))
    return b"".join(parts)


def _options(data: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    end = len(data)
    while position < end:
        if position + 4 > end:
            raise WireError("option past the end")
        code, length = _OPTION.unpack_from(data, position)
        position += 4 + length
        if position > end:
            raise WireError(f"option {code} of {length} octets past the end")
        yield code, data[position - length : position]


def _read_status(value: bytes) -> Status:
    if len(value) < 2:
        raise WireError("status of less than 2 octets")
    return Status(_U16.unpack_from(value)[0], value[2:].decode("utf-8", "replace"))


def _read_ia(code: int, value: bytes) -> IA:
    if len(value) < _IA.size:
        raise WireError("identity association cut short")
    ia = IA(*_IA.unpack_from(value))
    items: list[Item] = []
    for kind, part in _options(value, _IA.size):
        if kind == OPTION_STATUS_CODE and ia.status is None:
            ia.status = _read_status(part)
        elif len(items) >= ITEMS_MAX:
            continue
        elif kind == OPTION_IAADDR and code == OPTION_IA_NA:
            if len(part) < _ADDRESS.size:
                raise WireError("address cut short")
            octets, preferred, valid = _ADDRESS.unpack_from(part)
            items.append(Item(octets, 128, preferred, valid))
        elif kind == OPTION_IAPREFIX and code == OPTION_IA_PD:
            if len(part) < _PREFIX.size:
                raise WireError("prefix cut short")
            preferred, valid, length, octets = _PREFIX.unpack_from(part)
            if length > 128:
                raise WireError(f"prefix of {length} bits")
            items.append(Item(octets, length, preferred, valid))
    ia.items = tuple(items)
    return ia


def message_type(data: bytes) -> int:
    """Raises `WireError` for an empty message."""
    if not data:
        raise WireError("empty message")
    return data[0]


def decode(data: bytes) -> Message:
    """Raises `WireError`. Unknown options are passed over. Not for relay messages, which have another head."""
    if len(data) < 4:
        raise WireError("message cut short")
    found = _Found()
    for code, value in _options(data, 4):
        if code in (OPTION_IA_NA, OPTION_IA_PD):
            group = found.addresses if code == OPTION_IA_NA else found.prefixes
            if len(group) < IAS_MAX:
                ia = _read_ia(code, value)
                group.setdefault(ia.iaid, ia)
        else:
            found.first.setdefault(code, value)
    head = _U32.unpack_from(data)[0]
    message = Message(head >> 24, head & 0xFFFFFF)
    message.addresses = tuple(found.addresses.values())
    message.prefixes = tuple(found.prefixes.values())
    _read_single(message, found.first)
    return message


def _read_single(message: Message, first: dict[int, bytes]) -> None:
    for code, attribute in ((OPTION_CLIENTID, "client_id"), (OPTION_SERVERID, "server_id")):
        if (value := first.get(code)) is not None:
            if not 2 < len(value) <= DUID_MAX:
                raise WireError(f"DUID of {len(value)} octets")
            setattr(message, attribute, value)
    if (value := first.get(OPTION_ORO)) is not None:
        if len(value) % 2:
            raise WireError("option request of odd length")
        codes = (_U16.unpack_from(value, start)[0] for start in range(0, min(len(value), 2 * REQUESTED_MAX), 2))
        message.requested = tuple(codes)
    if (value := first.get(OPTION_PREFERENCE)) is not None:
        message.preference = _exactly(value, 1)
    if (value := first.get(OPTION_ELAPSED_TIME)) is not None:
        message.elapsed_time = _exactly(value, 2)
    if (value := first.get(OPTION_INFORMATION_REFRESH_TIME)) is not None:
        message.refresh_time = _exactly(value, 4)
    if (value := first.get(OPTION_STATUS_CODE)) is not None:
        message.status = _read_status(value)
    message.rapid_commit = OPTION_RAPID_COMMIT in first
    if (value := first.get(OPTION_DNS_SERVERS)) is not None:
        if len(value) % 16:
            raise WireError("DNS servers cut short")
        message.dns = tuple(value[start : start + 16] for start in range(0, len(value), 16))
    if (value := first.get(OPTION_DOMAIN_LIST)) is not None:
        message.domains = names.decode(value)


def _exactly(value: bytes, length: int) -> int:
    if len(value) != length:
        raise WireError(f"{len(value)} octets where {length} belong")
    return int.from_bytes(value, "big")
