"""What is told in an Accounting-Request (RFC 2866, RFC 2867 for tunnels, RFC 2869 Gigawords and Event-Timestamp)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from prol2tp.radius import packets
from prol2tp.radius.attributes import ADDRESSES, Addresses, Nas, Port, TunnelFacts, rows, write, write_port
from prol2tp.radius.dictionary import key, named_values
from prol2tp.radius.packets import attribute, laid_out

STATUS_TYPES = named_values("Acct-Status-Type")
AUTHENTIC = named_values("Acct-Authentic")
TERMINATE_CAUSES = named_values("Acct-Terminate-Cause")
NAS_ERROR = TERMINATE_CAUSES["NAS-Error"]
OF_THE_NAS = frozenset(("Accounting-On", "Accounting-Off"))
"""Status types that are about the NAS as a whole."""


def terminate_cause(cause: str | int) -> int:
    """The number of a cause (RFC 2866 section 5.10), also when its words are spaced; NAS Error for an unknown word: a
    record must not be lost for it."""
    return cause if isinstance(cause, int) else TERMINATE_CAUSES.get(cause.replace(" ", "-"), NAS_ERROR)


@dataclass(slots=True)
class AccountingRequest:
    """One record. `input` is what came from the subscriber, `output` what went there."""

    status: str
    """Start, Interim-Update, Stop, Accounting-On, Accounting-Off; RFC 2867: Tunnel-Start and the others."""
    session_id: str
    event_timestamp: int
    """When it happened: seconds since 1970. The same at every attempt, so that doubles can be told."""
    delay: float = 0.0
    """Seconds from then until the record is given to the client (a record that was stored for a while)."""
    user: str | bytes = ""
    multi_session_id: str = ""
    authentic: str = "RADIUS"
    """RADIUS, Local or Remote."""
    session_time: int | None = None
    input_octets: int | None = None
    output_octets: int | None = None
    input_packets: int | None = None
    output_packets: int | None = None
    terminate_cause: str | int | None = None
    link_count: int | None = None
    classes: tuple[bytes, ...] = ()
    chargeable_user_identity: bytes = b""
    filter_ids: tuple[str, ...] = ()
    addresses: Addresses = field(default_factory=Addresses)
    nas: Nas = field(default_factory=Nas)
    port: Port = field(default_factory=Port)
    extra: tuple[tuple[packets.Key, bytes], ...] = ()

    def problem(self) -> str:
        """Why this cannot be sent; empty: it can."""
        return "" if self.status in STATUS_TYPES else "unknown status type"


_NESTED: dict[str, type] = {"addresses": Addresses, "nas": Nas, "port": Port, "tunnel": TunnelFacts}
_FIELDS: dict[type, tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any], ...]]] = {}
"""Of each class: what reads all fields of a record, and their names and defaults."""
for _made in (AccountingRequest("", "", 0), Addresses(), Nas(), Port(), TunnelFacts()):
    _read = attrgetter(*(_field.name for _field in fields(_made)))
    _FIELDS[type(_made)] = _read, tuple(zip((_field.name for _field in fields(_made)), _read(_made), strict=True))


def to_record(request: AccountingRequest) -> dict[str, Any]:
    """As JSON can have it, without what is as by default. Octets are text of hexadecimal digits after `hex:`."""
    return _plain(request)


def from_record(record: Mapping[str, Any]) -> AccountingRequest:
    """What `to_record` gave. Raises `ValueError`, `TypeError` or `KeyError` for what it cannot have given."""
    return AccountingRequest(**{"status": "", "session_id": "", "event_timestamp": 0, **_arguments(record)})


def _plain(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    read, names = _FIELDS[type(record)]
    for value, (name, default) in zip(read(record), names, strict=True):
        if value is default:  # most of them
            continue
        if name in _NESTED:
            if value is not None:
                found[name] = _plain(value)
        elif value != default:
            found[name] = value if type(value) is int else _plain_value(value)
    return found


def _plain_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return "hex:" + value.hex()
    if isinstance(value, tuple):
        return [_plain_value(one) for one in value]
    # text that looks like ours is kept as octets
    return "hex:" + value.encode().hex() if isinstance(value, str) and value.startswith("hex:") else value


def _arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _NESTED[name](**_arguments(value)) if name in _NESTED else _value(value)
        for name, value in record.items()
    }


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(one) for one in value)
    return bytes.fromhex(value[4:]) if isinstance(value, str) and value.startswith("hex:") else value


_RECORD = rows(
    ("user", "User-Name"),
    ("filter_ids*", "Filter-Id"),
    ("classes*", "Class"),
    ("session_id", "Acct-Session-Id"),
    ("session_time", "Acct-Session-Time"),
    ("multi_session_id", "Acct-Multi-Session-Id"),
    ("link_count", "Acct-Link-Count"),
    ("event_timestamp", "Event-Timestamp"),
    ("chargeable_user_identity", "Chargeable-User-Identity"),
)
_COUNTS = (
    ("input_octets", key("Acct-Input-Octets"), key("Acct-Input-Gigawords")),
    ("output_octets", key("Acct-Output-Octets"), key("Acct-Output-Gigawords")),
    ("input_packets", key("Acct-Input-Packets"), None),
    ("output_packets", key("Acct-Output-Packets"), None),
)
_STATUS_TYPE = key("Acct-Status-Type")
_DELAY_TIME = key("Acct-Delay-Time")
_AUTHENTIC = key("Acct-Authentic")
_TERMINATE_CAUSE = key("Acct-Terminate-Cause")


def encode(record: AccountingRequest, delay: int, identifier: int, secret: bytes) -> tuple[bytes, bytes]:
    """The packet, which says that it is `delay` seconds late, and its authenticator. Raises `ValueError`."""
    attributes = bytearray(attribute(_STATUS_TYPE, STATUS_TYPES[record.status].to_bytes(4, "big")))
    if record.status in OF_THE_NAS:
        write(record, _OF_NAS, attributes)
        write_port(record.nas, _NO_PORT, attributes)
    else:
        write(record, _RECORD, attributes)
        attributes += attribute(_AUTHENTIC, AUTHENTIC[record.authentic].to_bytes(4, "big"))
        _counts(record, attributes)
        if record.terminate_cause is not None:
            attributes += attribute(_TERMINATE_CAUSE, terminate_cause(record.terminate_cause).to_bytes(4, "big"))
        write_port(record.nas, record.port, attributes)
        write(record.addresses, ADDRESSES, attributes)
    attributes += attribute(_DELAY_TIME, min(max(delay, 0), 0xFFFFFFFF).to_bytes(4, "big"))
    attributes += laid_out(record.extra)
    return packets.accounting_request(identifier, secret, attributes)


_OF_NAS = rows(("session_id", "Acct-Session-Id"), ("event_timestamp", "Event-Timestamp"))
_NO_PORT = Port(service_type=None, framed_protocol=None, nas_port_type=None)


def _counts(record: AccountingRequest, attributes: bytearray) -> None:
    for name, low, high in _COUNTS:
        count = getattr(record, name)
        if count is None:
            continue
        attributes += attribute(low, (count & 0xFFFFFFFF).to_bytes(4, "big"))
        # RFC 2869 section 5.1: only when the count has wrapped
        if high is not None and count >> 32:
            attributes += attribute(high, (count >> 32 & 0xFFFFFFFF).to_bytes(4, "big"))
