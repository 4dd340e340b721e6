"""The records between a daemon and prol2tp-pathd: one table of operations and events, coder and decoder made from it.

A SOCK_SEQPACKET datagram (at most 64 KiB) holds one or more records:

    kind    1 octet: REQUEST, REPLY, PART, ERROR, EVENT, FRAME
    code    1 octet: number of the operation or event; 0 in FRAME
    length  2 octets: of the body
    id      4 octets: chosen by the requester and repeated in its answer, 0: no answer is wanted;
            in FRAME the port
    body    the fields of the operation or event in the order of the table; in FRAME a PPP frame

All numbers are in network order. A reply with rows may come as several PART records before the REPLY.
The body of an ERROR is code and text of a `DataPathError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.dataplane.interface import NetifSpec, PPPoESpec, SessionSpec, TtySpec, TunnelSpec

VERSION = 8
"""Exchanged in `hello`, which stays as it is in all versions; both sides must have the same."""

REQUEST, REPLY, PART, ERROR, EVENT, FRAME = 1, 2, 3, 4, 5, 6

HEADER = Struct("!BBHI")
BODY_MAX = 0xFFFF - HEADER.size
DATAGRAM_MAX = 0xFFFF
ROWS_MAX = 700
"""Counter rows in one record."""
PORTS_MAX = 8000
"""Port ids in one request."""

COUNTER_ROW = Struct("!I8Qd")

Fields = tuple[tuple[str, str], ...]
Raw = tuple[int, int, int, bytes]
"""kind, code, id, body"""


@dataclass(slots=True)
class Operation:
    """One line of the table. `spec`: the class that the request's fields are those of."""

    code: int
    name: str
    request: Fields = ()
    reply: Fields = ()
    spec: type | None = None


TUNNEL_FIELDS: Fields = (
    ("listener", "u32"), ("local", "address"), ("peer", "address"), ("tunnel_id", "u32"), ("peer_tunnel_id", "u32"),
    ("version", "u8"), ("ifindex", "u32"), ("udp_checksum", "bool"), ("tos", "i32"), ("pmtu_discovery", "bool"),
    ("encapsulation", "text"),
)
SESSION_FIELDS: Fields = (
    ("tunnel", "u32"), ("session_id", "u32"), ("peer_session_id", "u32"), ("pseudowire", "text"),
    ("send_sequence", "bool"), ("receive_sequence", "bool"), ("reorder_timeout", "f64"), ("lns", "bool"),
    ("vlan", "u16"), ("cookie", "octets"), ("peer_cookie", "octets"), ("receive_sublayer", "bool"),
    ("send_sublayer", "bool"),
)
PPPOE_FIELDS: Fields = (
    ("ethernet", "u32"), ("peer", "octets"), ("session_id", "u32"), ("vlans", "tags"),
)
TTY_FIELDS: Fields = (
    ("device", "text"), ("speed", "u32"), ("crtscts", "bool"), ("xonxoff", "bool"), ("modem", "bool"),
    ("escape", "octets"), ("mru", "u32"),
)
NETIF_FIELDS: Fields = (
    ("name", "text"), ("mode", "text"), ("mtu", "u32"), ("mru", "u32"), ("protocols", "texts"), ("prefixes", "texts"),
    ("source_check", "bool"), ("mss_clamp", "bool"), ("clear_df", "bool"), ("multicast", "bool"),
    ("punt", "texts"),
)

OPERATIONS = (
    Operation(1, "hello", (("version", "u16"), ("owner", "text")), (("version", "u16"), ("name", "text"))),
    Operation(2, "start", (), (("codecs", "texts"), ("notes", "texts"))),
    Operation(3, "stop", (("keep", "bool"),)),
    Operation(4, "listen", (("address", "address"), ("encapsulation", "text")),
              (("id", "u32"), ("address", "address"), ("relay", "bool"))),
    Operation(5, "unlisten", (("listener", "u32"),)),
    Operation(6, "tunnel_add", TUNNEL_FIELDS, (("tunnel", "u32"),), TunnelSpec),
    Operation(7, "tunnel_modify", (("tunnel", "u32"), ("peer", "address"))),
    Operation(8, "tunnel_delete", (("tunnel", "u32"),)),
    Operation(9, "session_add", SESSION_FIELDS, (("port", "u32"),), SessionSpec),
    Operation(10, "port_modify", (("port", "u32"), ("send_sequence", "maybe"), ("receive_sequence", "maybe"),
                                  ("pcomp", "maybe"), ("accomp", "maybe"), ("send_accm", "maybe_u32"),
                                  ("receive_accm", "maybe_u32"), ("rate_up", "maybe_u32"),
                                  ("rate_down", "maybe_u32"))),
    Operation(11, "port_delete", (("port", "u32"),), (("counters", "rows"),)),
    Operation(12, "port_receiver", (("port", "u32"), ("wanted", "bool"))),
    Operation(13, "netif_attach", (("port", "u32"), *NETIF_FIELDS), (("name", "text"), ("ifindex", "u32")), NetifSpec),
    Operation(14, "netif_modify", (("port", "u32"), ("protocols", "maybe_texts"), ("prefixes", "maybe_texts"),
                                   ("mtu", "maybe_u32"), ("punt", "maybe_texts"))),
    Operation(15, "netif_detach", (("port", "u32"),)),
    Operation(16, "switch_add", (("port", "u32"), ("other", "u32"))),
    Operation(17, "switch_delete", (("port", "u32"),)),
    Operation(18, "counters", (("every", "bool"), ("ports", "u32s")), (("counters", "rows"),)),
    Operation(19, "ethernet_add", (("interface", "text"), ("tagged", "bool"), ("strays", "bool")),
              (("ethernet", "u32"),)),
    Operation(20, "ethernet_delete", (("ethernet", "u32"),)),
    Operation(21, "pppoe_add", PPPOE_FIELDS, (("port", "u32"),), PPPoESpec),
    Operation(22, "tty_add", TTY_FIELDS, (("port", "u32"),), TtySpec),
    Operation(23, "port_compress", (("port", "u32"), ("send", "text"), ("receive", "text"), ("send_option", "octets"),
                                    ("receive_option", "octets"), ("send_key", "octets"),
                                    ("receive_key", "octets"))),
    Operation(24, "port_reset", (("port", "u32"),)),
)

EVENTS = (
    Operation(1, "frames_lost", (("port", "u32"), ("count", "u32"))),
    Operation(2, "peer_moved", (("tunnel", "u32"), ("peer", "address"))),
    Operation(3, "netif_gone", (("port", "u32"), ("name", "text"))),
    Operation(4, "overload", (("dropped", "u32"),)),
    Operation(5, "carrier_lost", (("port", "u32"), ("reason", "text"))),
    Operation(6, "decompression_failed", (("port", "u32"),)),
    Operation(7, "stray_frame", (("ethernet", "u32"), ("frame", "octets"))),
)

BY_CODE = {operation.code: operation for operation in OPERATIONS}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
EVENT_BY_CODE = {event.code: event for event in EVENTS}
EVENT_BY_NAME = {event.name: event for event in EVENTS}

_FIXED = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "f64": "d", "bool": "?", "maybe": "b", "maybe_u32": "q"}
_U16 = Struct("!H")
_U32 = Struct("!I")
_TAG = Struct("!HH")

# -- kinds of variable size: (pack(value) -> bytes, unpack(body, position) -> value, position) --


def _pack_text(value: str) -> bytes:
    octets = value.encode()
    return _U16.pack(len(octets)) + octets


def _unpack_text(body: bytes, position: int) -> tuple[str, int]:
    start = position + 2
    end = start + _U16.unpack_from(body, position)[0]
    if end > len(body):
        raise WireError("text runs past the end of its record")
    return body[start:end].decode(), end


def _pack_octets(value: bytes) -> bytes:
    return _U16.pack(len(value)) + value


def _unpack_octets(body: bytes, position: int) -> tuple[bytes, int]:
    start = position + 2
    end = start + _U16.unpack_from(body, position)[0]
    if end > len(body):
        raise WireError("octets run past the end of their record")
    return body[start:end], end


def _pack_tags(values: Sequence[tuple[int, int]]) -> bytes:
    return _pack_octets(b"".join([_TAG.pack(*tag) for tag in values]))


def _unpack_tags(body: bytes, position: int) -> tuple[tuple[tuple[int, int], ...], int]:
    octets, end = _unpack_octets(body, position)
    return tuple(_TAG.iter_unpack(octets)), end


def _pack_texts(values: Sequence[str]) -> bytes:
    return _U16.pack(len(values)) + b"".join([_pack_text(value) for value in values])


def _unpack_texts(body: bytes, position: int) -> tuple[tuple[str, ...], int]:
    count = _U16.unpack_from(body, position)[0]
    position += 2
    values = []
    for _ in range(count):
        value, position = _unpack_text(body, position)
        values.append(value)
    return tuple(values), position


def _pack_maybe_texts(values: Sequence[str] | None) -> bytes:
    return b"\0" if values is None else b"\1" + _pack_texts(values)


def _unpack_maybe_texts(body: bytes, position: int) -> tuple[tuple[str, ...] | None, int]:
    if position >= len(body):
        raise WireError("record is too short")
    return _unpack_texts(body, position + 1) if body[position] else (None, position + 1)


def _pack_address(value: tuple[str, int]) -> bytes:
    return _pack_text(value[0]) + _U16.pack(value[1])


def _unpack_address(body: bytes, position: int) -> tuple[tuple[str, int], int]:
    host, position = _unpack_text(body, position)
    return (host, _U16.unpack_from(body, position)[0]), position + 2


def _pack_u32s(values: Sequence[int]) -> bytes:
    return Struct(f"!I{len(values)}I").pack(len(values), *values)


def _unpack_u32s(body: bytes, position: int) -> tuple[list[int], int]:
    count = _U32.unpack_from(body, position)[0]
    end = position + 4 + 4 * count
    if end > len(body):
        raise WireError("list runs past the end of its record")
    return list(Struct(f"!{count}I").unpack_from(body, position + 4)), end


def _pack_rows(rows: dict[int, tuple]) -> bytes:
    pack = COUNTER_ROW.pack
    return _U32.pack(len(rows)) + b"".join([pack(port, *row) for port, row in rows.items()])


def _unpack_rows(body: bytes, position: int) -> tuple[dict[int, tuple], int]:
    count = _U32.unpack_from(body, position)[0]
    start = position + 4
    end = start + count * COUNTER_ROW.size
    if end > len(body):
        raise WireError("rows run past the end of their record")
    return {row[0]: row[1:] for row in COUNTER_ROW.iter_unpack(body[start:end])}, end


_Pack = Callable[[Any], bytes]
_Unpack = Callable[[bytes, int], tuple[Any, int]]

_VARIABLE: dict[str, tuple[_Pack, _Unpack]] = {
    "text": (_pack_text, _unpack_text),
    "octets": (_pack_octets, _unpack_octets),
    "tags": (_pack_tags, _unpack_tags),
    "texts": (_pack_texts, _unpack_texts),
    "maybe_texts": (_pack_maybe_texts, _unpack_maybe_texts),
    "address": (_pack_address, _unpack_address),
    "u32s": (_pack_u32s, _unpack_u32s),
    "rows": (_pack_rows, _unpack_rows),
}
_FROM_MAYBE: dict[str, Callable[[Any], Any]] = {
    "maybe": lambda value: None if value < 0 else bool(value),
    "maybe_u32": lambda value: None if value < 0 else value,
}


class _Codec:
    """Coder of one list of fields: runs of fixed size by one Struct, the others one by one."""

    __slots__ = ("_steps", "_maybe", "_count")

    def __init__(self, fields: Fields) -> None:
        self._count = len(fields)
        self._maybe = tuple((index, _FROM_MAYBE[kind]) for index, (_, kind) in enumerate(fields) if kind in _FROM_MAYBE)
        self._steps: list[tuple[Struct | None, int, _Pack, _Unpack]] = []
        run = ""
        for _, kind in (*fields, ("", "")):
            if kind in _FIXED:
                run += _FIXED[kind]
                continue
            if run:
                self._steps.append((Struct("!" + run), len(run), _pack_text, _unpack_text))
                run = ""
            if kind:
                self._steps.append((None, 1, *_VARIABLE[kind]))

    def encode(self, values: Sequence[Any]) -> bytes:
        if len(values) != self._count:
            raise ValueError(f"{len(values)} values for {self._count} fields")
        if self._maybe:
            values = list(values)
            for index, _ in self._maybe:
                if values[index] is None:
                    values[index] = -1
                elif values[index] < 0:
                    raise ValueError(f"{values[index]} is below 0")
        parts = []
        at = 0
        for fixed, count, pack, _ in self._steps:
            if fixed is None:
                parts.append(pack(values[at]))
            else:
                parts.append(fixed.pack(*values[at:at + count]))
            at += count
        return b"".join(parts)

    def decode(self, body: bytes) -> list[Any]:
        values: list[Any] = []
        position = 0
        try:
            for fixed, _, _, unpack in self._steps:
                if fixed is None:
                    value, position = unpack(body, position)
                    values.append(value)
                else:
                    values.extend(fixed.unpack_from(body, position))
                    position += fixed.size
        except (StructError, UnicodeDecodeError) as error:
            raise WireError(f"bad record: {error}") from None
        if position != len(body):
            raise WireError(f"{len(body) - position} octets behind the fields of a record")
        for index, convert in self._maybe:
            values[index] = convert(values[index])
        return values


_REQUESTS = {operation.code: _Codec(operation.request) for operation in OPERATIONS}
_REPLIES = {operation.code: _Codec(operation.reply) for operation in OPERATIONS}
_EVENTS = {event.code: _Codec(event.request) for event in EVENTS}
_ERROR = _Codec((("code", "text"), ("text", "text")))


def _record(kind: int, code: int, identifier: int, body: bytes) -> bytes:
    if len(body) > BODY_MAX:
        raise ValueError(f"{len(body)} octets do not fit into a record")
    return HEADER.pack(kind, code, len(body), identifier) + body


def _encoded(codec: _Codec, values: Sequence[Any]) -> bytes:
    try:
        return codec.encode(values)
    except (StructError, AttributeError, TypeError) as error:
        raise ValueError(f"a value does not fit its field: {error}") from None


def encode_request(identifier: int, name: str, values: Sequence[Any] = ()) -> bytes:
    """A request, `values` in the table's order. Raises `ValueError` for values that do not fit."""
    code = BY_NAME[name].code
    return _record(REQUEST, code, identifier, _encoded(_REQUESTS[code], values))


def encode_reply(identifier: int, name: str, values: Sequence[Any] = (), last: bool = True) -> bytes:
    code = BY_NAME[name].code
    return _record(REPLY if last else PART, code, identifier, _encoded(_REPLIES[code], values))


def encode_error(identifier: int, name: str, code: str, text: str) -> bytes:
    return _record(ERROR, BY_NAME[name].code, identifier, _ERROR.encode((code, text[:1000])))


def encode_event(name: str, values: Sequence[Any]) -> bytes:
    code = EVENT_BY_NAME[name].code
    return _record(EVENT, code, 0, _encoded(_EVENTS[code], values))


def encode_frame(port: int, frame: bytes) -> bytes:
    return HEADER.pack(FRAME, 0, len(frame), port) + frame


def split(datagram: bytes) -> list[Raw]:
    """The records of a datagram, bodies not yet read. Raises `WireError`."""
    records = []
    unpack = HEADER.unpack_from
    position, total = 0, len(datagram)
    try:
        while position < total:
            kind, code, length, identifier = unpack(datagram, position)
            position += 8
            end = position + length
            records.append((kind, code, identifier, datagram[position:end]))
            position = end
    except StructError:
        raise WireError("a record's header runs past the end of the datagram") from None
    if position != total:
        raise WireError("a record runs past the end of the datagram")
    return records


def _codec_of(table: dict[int, _Codec], code: int) -> _Codec:
    codec = table.get(code)
    if codec is None:
        raise WireError(f"unknown code {code}")
    return codec


def decode_request(code: int, body: bytes) -> tuple[Operation, list[Any]]:
    """-> the operation and its values. Raises `WireError`."""
    values = _codec_of(_REQUESTS, code).decode(body)
    return BY_CODE[code], values


def decode_reply(code: int, body: bytes) -> list[Any]:
    return _codec_of(_REPLIES, code).decode(body)


def decode_event(code: int, body: bytes) -> tuple[Operation, list[Any]]:
    values = _codec_of(_EVENTS, code).decode(body)
    return EVENT_BY_CODE[code], values


def decode_error(body: bytes) -> tuple[str, str]:
    code, text = _ERROR.decode(body)
    return code, text
