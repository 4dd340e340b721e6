"""Ethernet frames of PPPoE: discovery packets (RFC 2516 section 5) and session frames (section 6).

    | destination (6) | source (6) | [ TPID (2) | TCI (2) ] ... | ethertype (2) |
    | VER 1 | TYPE 1 | CODE (8) | SESSION_ID (16) | LENGTH (16) | tags or a PPP frame without FF 03 |

Frames are whole, IEEE 802.1Q and 802.1ad tags included. What is behind LENGTH is padding of Ethernet.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple

from prol2tp.common.wire import WireError
from prol2tp.pppoe import tags
from prol2tp.pppoe.tags import Line, Tags

DISCOVERY = 0x8863
SESSION = 0x8864
TPIDS = (0x8100, 0x88A8, 0x9100)
MOST_VLANS = 2
BROADCAST = b"\xff" * 6
HEADER_LENGTH = 6
"""Octets of the PPPoE header."""
LARGEST_TAGS = 1500 - HEADER_LENGTH
"""Octets of tags that fit into every Ethernet frame."""
LARGEST_PADI = 1484
"""Octets of a PADI with its header: a relay needs room for its tag (section 5.1)."""
VERSION_TYPE = 0x11
SESSION_CODE = 0x00
LARGEST_SESSION_ID = 0xFFFE
"""0xffff is reserved (section 4)."""
MAX_PAYLOAD = 1492
"""The PPP MRU that holds without PPP-Max-Payload (section 7)."""

_U16 = Struct("!H")
_VLAN = Struct("!HH")
_PPPOE = Struct("!BBHH")


class VlanTag(NamedTuple):
    """One tag, outer first. `tci`: priority (3), DEI (1), VLAN id (12)."""

    tpid: int
    tci: int

    @property
    def vid(self) -> int:
        return self.tci & 0xFFF


Vlans = tuple[VlanTag, ...]


class PacketError(WireError):
    """A frame that is no good discovery packet. `code`: which one it claims to be; 0 where even that is unknown."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Header(NamedTuple):
    """A frame up to its tags or its PPP frame, which are `frame[start:end]`."""

    destination: bytes
    source: bytes
    vlans: Vlans
    ethertype: int
    code: int
    session_id: int
    start: int
    end: int


@dataclass(slots=True)
class Discovery:
    """What the five packets share. Tags that are absent are None, () or 0; unknown tags are not kept. Of tags that
    may come once the first counts, but a second Service-Name in a PADI or PADR is an error."""

    CODE: ClassVar[int] = 0

    destination: bytes
    source: bytes
    vlans: Vlans = ()
    session_id: int = 0
    service_names: tuple[bytes, ...] = ()
    """UTF-8, not terminated; b"" asks for any service."""
    ac_name: bytes | None = None
    host_uniq: bytes | None = None
    ac_cookie: bytes | None = None
    relay_session_id: bytes | None = None
    max_payload: int = 0
    """PPP-Max-Payload (RFC 4638)."""
    line: Line | None = None
    errors: tuple[tuple[int, bytes], ...] = ()
    """Error tags: type and text."""


@dataclass(slots=True)
class PADI(Discovery):
    """PPPoE Active Discovery Initiation: the host looks for access concentrators."""

    CODE: ClassVar[int] = 0x09


@dataclass(slots=True)
class PADO(Discovery):
    """PPPoE Active Discovery Offer."""

    CODE: ClassVar[int] = 0x07


@dataclass(slots=True)
class PADR(Discovery):
    """PPPoE Active Discovery Request: the host has chosen."""

    CODE: ClassVar[int] = 0x19


@dataclass(slots=True)
class PADS(Discovery):
    """PPPoE Active Discovery Session-confirmation; with session id 0 and an error tag a refusal."""

    CODE: ClassVar[int] = 0x65


@dataclass(slots=True)
class PADT(Discovery):
    """PPPoE Active Discovery Terminate."""

    CODE: ClassVar[int] = 0xA7


PACKETS: dict[int, type[Discovery]] = {packet.CODE: packet for packet in (PADI, PADO, PADR, PADS, PADT)}


def read_header(frame: bytes) -> Header:
    """Raises `PacketError`."""
    end = len(frame)
    if end < 14:
        raise PacketError(f"{end} octets, no Ethernet frame")
    position = 12
    vlans: Vlans = ()
    ethertype = _U16.unpack_from(frame, position)[0]
    while ethertype in TPIDS:
        if len(vlans) == MOST_VLANS:
            raise PacketError("too many VLAN tags")
        if position + 6 > end:
            raise PacketError("cut inside a VLAN tag")
        vlans += (VlanTag(*_VLAN.unpack_from(frame, position)),)
        position += 4
        ethertype = _U16.unpack_from(frame, position)[0]
    position += 2
    if ethertype not in (DISCOVERY, SESSION):
        raise PacketError(f"ethertype 0x{ethertype:04x}")
    if position + HEADER_LENGTH > end:
        raise PacketError("cut inside the PPPoE header")
    version, code, session_id, length = _PPPOE.unpack_from(frame, position)
    position += HEADER_LENGTH
    if version != VERSION_TYPE:
        raise PacketError(f"version and type 0x{version:02x}", code)
    if position + length > end:
        raise PacketError(f"length {length}, {end - position} octets left", code)
    return Header(
        bytes(frame[:6]), bytes(frame[6:12]), vlans, ethertype, code, session_id, position, position + length
    )


def read(frame: bytes) -> Discovery:
    """One discovery packet, checked by the rules of its code. Raises `PacketError`."""
    header = read_header(frame)
    code = header.code
    kind = PACKETS.get(code)
    if header.ethertype != DISCOVERY or kind is None:
        raise PacketError(f"no discovery packet: ethertype 0x{header.ethertype:04x}, code 0x{code:02x}")
    packet = kind(header.destination, header.source, header.vlans, header.session_id)
    try:
        _take_tags(packet, tags.read(frame, header.start, header.end))
    except WireError as error:
        raise PacketError(str(error), code) from None
    wrong = _fault(packet)
    if wrong:
        raise PacketError(wrong, code)
    return packet


def _take_tags(packet: Discovery, found: Tags) -> None:
    names: list[bytes] = []
    errors: list[tuple[int, bytes]] = []
    for kind, value in found:
        if kind == tags.SERVICE_NAME:
            names.append(value)
        elif kind == tags.HOST_UNIQ:
            packet.host_uniq = value if packet.host_uniq is None else packet.host_uniq
        elif kind == tags.RELAY_SESSION_ID:
            packet.relay_session_id = value if packet.relay_session_id is None else packet.relay_session_id
        elif kind == tags.AC_COOKIE:
            packet.ac_cookie = value if packet.ac_cookie is None else packet.ac_cookie
        elif kind == tags.AC_NAME:
            packet.ac_name = value if packet.ac_name is None else packet.ac_name
        elif kind == tags.PPP_MAX_PAYLOAD and len(value) == 2:
            packet.max_payload = _U16.unpack(value)[0]
        elif kind == tags.VENDOR_SPECIFIC and packet.line is None:
            packet.line = tags.read_line(value)
        elif kind in tags.ERRORS:
            errors.append((kind, value))
    packet.service_names = tuple(names)
    packet.errors = tuple(errors)


def _fault(packet: Discovery) -> str:
    """What breaks the rules of sections 5.1 to 5.5; '' for a good packet."""
    code = packet.CODE
    if packet.source[0] & 1 or not any(packet.source):
        return "the source is no host's address"
    if code in (PADI.CODE, PADO.CODE, PADR.CODE) and packet.session_id:
        return f"session id {packet.session_id} before there is a session"
    if code in (PADI.CODE, PADR.CODE) and len(packet.service_names) != 1:
        return f"{len(packet.service_names)} Service-Name tags"
    if code != PADI.CODE and packet.destination[0] & 1:
        return "not sent to one host"
    if code == PADO.CODE and packet.ac_name is None:
        return "no AC-Name"
    if code == PADT.CODE and not 0 < packet.session_id <= LARGEST_SESSION_ID:
        return f"session id {packet.session_id}"
    if code == PADS.CODE and not packet.session_id and not packet.errors:
        return "no session id and no error"
    return ""


def tags_of(packet: Discovery) -> Tags:
    """The packet's tags as they are written."""
    found: Tags = [(tags.SERVICE_NAME, name) for name in packet.service_names]
    for kind, value in (
        (tags.AC_NAME, packet.ac_name),
        (tags.HOST_UNIQ, packet.host_uniq),
        (tags.AC_COOKIE, packet.ac_cookie),
        (tags.RELAY_SESSION_ID, packet.relay_session_id),
        (tags.PPP_MAX_PAYLOAD, _U16.pack(packet.max_payload) if packet.max_payload else None),
        (tags.VENDOR_SPECIFIC, None if packet.line is None else tags.write_line(packet.line)),
    ):
        if value is not None:
            found.append((kind, value))
    found.extend(packet.errors)
    return found


def write(packet: Discovery) -> bytes:
    """The frame. Raises `ValueError` for values that their fields cannot hold."""
    return _frame(packet, DISCOVERY, packet.CODE, packet.session_id, tags.write(tags_of(packet)))


def _frame(to: Discovery | Header, ethertype: int, code: int, session_id: int, payload: bytes) -> bytes:
    if len(payload) > 0xFFFF:
        raise ValueError(f"{len(payload)} octets of payload")
    vlans = b"".join([_VLAN.pack(*vlan) for vlan in to.vlans])
    header = _PPPOE.pack(VERSION_TYPE, code, session_id, len(payload))
    return to.destination + to.source + vlans + _U16.pack(ethertype) + header + payload


def write_session(destination: bytes, source: bytes, vlans: Vlans, session_id: int, payload: bytes) -> bytes:
    """A session frame; `payload` is the PPP frame from its protocol number on."""
    return _frame(
        Header(destination, source, vlans, SESSION, SESSION_CODE, session_id, 0, 0),
        SESSION, SESSION_CODE, session_id, payload,
    )  # fmt: skip


def vids(vlans: Vlans) -> tuple[int, ...]:
    """VLAN ids, outer first. A tag of VLAN 0 says a priority and no VLAN (802.1Q): it does not count."""
    return tuple([tci & 0xFFF for _, tci in vlans if tci & 0xFFF])


def mac_text(mac: bytes) -> str:
    """Upper case, with colons."""
    return mac.hex(":").upper()


def describe(packet: Discovery) -> str:
    """One line for a trace; a cookie is no secret."""
    words = [type(packet).__name__, f"{mac_text(packet.source)}>{mac_text(packet.destination)}"]
    words += [f"vlan {vid}" for vid in vids(packet.vlans)]
    words.append(f"session {packet.session_id}")
    for kind, value in tags_of(packet):
        readable = kind in (tags.SERVICE_NAME, tags.AC_NAME, *tags.ERRORS)
        words.append(f"<{tags.name(kind)} {text(value)!r}>" if readable else f"<{tags.name(kind)} {value.hex()}>")
    return " ".join(words)


def text(value: bytes) -> str:
    """Octets that should be UTF-8, as text that can be shown."""
    return value.decode("utf-8", "backslashreplace")
