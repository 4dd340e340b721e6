"""The tags of discovery packets: type(2) length(2) value (RFC 2516 section 4 and appendix A, RFC 4638 section 3), and
the line description that an access node adds in a Vendor-Specific tag (TR-101 appendix A, values of RFC 4679).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from prol2tp.common.wire import WireError

END_OF_LIST = 0x0000
SERVICE_NAME = 0x0101
AC_NAME = 0x0102
HOST_UNIQ = 0x0103
AC_COOKIE = 0x0104
VENDOR_SPECIFIC = 0x0105
RELAY_SESSION_ID = 0x0110
PPP_MAX_PAYLOAD = 0x0120
SERVICE_NAME_ERROR = 0x0201
AC_SYSTEM_ERROR = 0x0202
GENERIC_ERROR = 0x0203

NAMES = {
    END_OF_LIST: "End-Of-List",
    SERVICE_NAME: "Service-Name",
    AC_NAME: "AC-Name",
    HOST_UNIQ: "Host-Uniq",
    AC_COOKIE: "AC-Cookie",
    VENDOR_SPECIFIC: "Vendor-Specific",
    RELAY_SESSION_ID: "Relay-Session-Id",
    PPP_MAX_PAYLOAD: "PPP-Max-Payload",
    SERVICE_NAME_ERROR: "Service-Name-Error",
    AC_SYSTEM_ERROR: "AC-System-Error",
    GENERIC_ERROR: "Generic-Error",
}
ERRORS = (SERVICE_NAME_ERROR, AC_SYSTEM_ERROR, GENERIC_ERROR)
LARGEST_VALUE = 0xFFFF

ADSL_FORUM = 3561
"""The enterprise number of TR-101's vendor tag."""
AGENT_CIRCUIT_ID = 0x01
AGENT_REMOTE_ID = 0x02
ACCESS_LOOP_ENCAPSULATION = 0x90
LINE_NUMBERS = {
    0x81: "Actual-Data-Rate-Upstream",
    0x82: "Actual-Data-Rate-Downstream",
    0x83: "Minimum-Data-Rate-Upstream",
    0x84: "Minimum-Data-Rate-Downstream",
    0x85: "Attainable-Data-Rate-Upstream",
    0x86: "Attainable-Data-Rate-Downstream",
    0x87: "Maximum-Data-Rate-Upstream",
    0x88: "Maximum-Data-Rate-Downstream",
    0x89: "Minimum-Data-Rate-Upstream-Low-Power",
    0x8A: "Minimum-Data-Rate-Downstream-Low-Power",
    0x8B: "Maximum-Interleaving-Delay-Upstream",
    0x8C: "Actual-Interleaving-Delay-Upstream",
    0x8D: "Maximum-Interleaving-Delay-Downstream",
    0x8E: "Actual-Interleaving-Delay-Downstream",
}
"""Sub-tags with a 32-bit number, by the names of RFC 4679 section 3.3: rates in bit/s, delays in milliseconds."""

Tags = list[tuple[int, bytes]]

_OCTETS = ("circuit_id", "remote_id", "encapsulation")
_HEADER = Struct("!HH")
_U32 = Struct("!I")


@dataclass(slots=True)
class Line:
    """What the access node says about the subscriber's line. A sub-tag that is absent is None, or missing in
    `numbers`; RFC 4679 gives the attributes the same numbers."""

    circuit_id: bytes | None = None
    remote_id: bytes | None = None
    numbers: dict[int, int] = field(default_factory=dict)
    """By sub-tag, see `LINE_NUMBERS`."""
    encapsulation: bytes | None = None
    """Three octets: data link, encapsulation 1, encapsulation 2 (RFC 4679 section 3.3.18)."""

    def to_record(self) -> dict[str, Any]:
        """As on the control channel: octets as hex text, what is absent left out."""
        record: dict[str, Any] = {}
        for name in _OCTETS:
            value = getattr(self, name)
            if value is not None:
                record[name] = value.hex()
        if self.numbers:
            record["numbers"] = {str(kind): number for kind, number in self.numbers.items()}
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Line:
        """Raises `ValueError` for what is no such record."""
        numbers = record.get("numbers") or {}
        if not isinstance(numbers, dict):
            raise ValueError("numbers of a line: no object")
        values = {name: record[name] for name in _OCTETS if record.get(name) is not None}
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError("octets of a line: no text")
        return cls(numbers={int(kind): int(number) for kind, number in numbers.items()},
                   **{name: bytes.fromhex(value) for name, value in values.items()})


def read(data: bytes, start: int = 0, end: int | None = None) -> Tags:
    """The tags in order, up to End-Of-List or the end. Raises `WireError` where a tag runs past the end."""
    end = len(data) if end is None else end
    tags: Tags = []
    position = start
    while position < end:
        if position + 4 > end:
            raise WireError(f"{end - position} octets after the last tag")
        kind, length = _HEADER.unpack_from(data, position)
        if kind == END_OF_LIST:
            break
        position += 4
        if position + length > end:
            raise WireError(f"{name(kind)} of {length} octets, {end - position} left")
        tags.append((kind, bytes(data[position : position + length])))
        position += length
    return tags


def write(tags: Iterable[tuple[int, bytes]]) -> bytes:
    """Raises `ValueError` for a value over 65535 octets."""
    parts = []
    for kind, value in tags:
        if len(value) > LARGEST_VALUE:
            raise ValueError(f"{name(kind)} of {len(value)} octets")
        parts.append(_HEADER.pack(kind, len(value)) + value)
    return b"".join(parts)


def name(kind: int) -> str:
    return NAMES.get(kind) or f"tag 0x{kind:04x}"


def read_line(value: bytes) -> Line | None:
    """The line in a Vendor-Specific tag; None for another vendor's tag or one that is broken: what an access node
    writes must not keep its subscribers out. Unknown sub-tags and numbers of a wrong length are passed over."""
    if len(value) < 4 or _U32.unpack_from(value)[0] != ADSL_FORUM:
        return None
    line = Line()
    position, end = 4, len(value)
    while position < end:
        if position + 2 > end:
            return None
        kind, length = value[position], value[position + 1]
        position += 2
        if position + length > end:
            return None
        content = value[position : position + length]
        position += length
        if kind == AGENT_CIRCUIT_ID:
            line.circuit_id = content
        elif kind == AGENT_REMOTE_ID:
            line.remote_id = content
        elif kind in LINE_NUMBERS and length == 4:
            line.numbers[kind] = _U32.unpack(content)[0]
        elif kind == ACCESS_LOOP_ENCAPSULATION and length == 3:
            line.encapsulation = content
    return line


def write_line(line: Line) -> bytes:
    """The value of the Vendor-Specific tag. Raises `ValueError` for an id over 255 octets or an unknown number."""
    subtags = [(AGENT_CIRCUIT_ID, line.circuit_id), (AGENT_REMOTE_ID, line.remote_id)]
    for kind, number in line.numbers.items():
        if kind not in LINE_NUMBERS or not 0 <= number <= 0xFFFFFFFF:
            raise ValueError(f"line number 0x{kind:02x} is {number}")
        subtags.append((kind, _U32.pack(number)))
    subtags.append((ACCESS_LOOP_ENCAPSULATION, line.encapsulation))
    parts = [_U32.pack(ADSL_FORUM)]
    for kind, content in subtags:
        if content is not None:
            if len(content) > 255:
                raise ValueError(f"sub-tag 0x{kind:02x} of {len(content)} octets")
            parts.append(bytes((kind, len(content))) + content)
    return b"".join(parts)
