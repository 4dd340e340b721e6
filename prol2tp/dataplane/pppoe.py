"""PPPoE sessions as ports: the frames of one Ethernet interface, to and from the ports they belong to."""

from __future__ import annotations

from collections.abc import Callable
from errno import EAGAIN, ENOBUFS
from typing import TYPE_CHECKING, Any, Protocol

from prol2tp.common.bucket import Bucket
from prol2tp.dataplane.interface import INVALID, DataPathError, PPPoESpec
from prol2tp.dataplane.ports import Port
from prol2tp.pppoe.packets import (
    HEADER_LENGTH,
    LARGEST_SESSION_ID,
    MOST_VLANS,
    SESSION,
    TPIDS,
    PacketError,
    VlanTag,
    read_header,
    vids,
    write_session,
)

if TYPE_CHECKING:
    from prol2tp.dataplane.lines import Lines

START = 20
"""Octets before the PPP frame where there are no VLAN tags."""
KEY_END = 18
"""So far an untagged frame names its session: both addresses, ethertype, version, type, code and session id."""
_FF03 = b"\xff\x03"
_UNTAGGED = SESSION.to_bytes(2, "big")


class Taker(Protocol):
    """The port of an `Entry`."""

    id: int
    rx_errors: int

    def receive(self, frame: bytes, now: float) -> None:
        """A PPP frame."""


class Entry(Protocol):
    """Who takes the frames of a session from an interface: its carrier, or what stands in its place."""

    handle: int
    vids: tuple[int, ...]
    inbound: dict[bytes, Any]
    onward: Any

    @property
    def port(self) -> Taker: ...


class Ethernet(Protocol):
    """An interface whose session frames we take. `carriers` are by the first `KEY_END` octets of an untagged frame
    from the peer."""

    id: int
    interface: str
    tagged: bool
    address: bytes
    carriers: dict[bytes, Entry]
    own: set[bytes]
    """Keys of those that are carriers, and no stand-ins."""
    handles: set[int]
    """Who has it open."""
    strays: set[int]
    """Of these, who wants frames for no session."""
    stray_bucket: Bucket | None

    def alive(self) -> bool:
        """The interface is still the one that was opened."""

    def send(self, frame: bytes) -> object:
        """Raises `OSError`."""

    def mtu(self) -> int:
        """Octets of Ethernet payload; 0: not known."""


def session_key(ours: bytes, peer: bytes, session_id: int) -> bytes:
    return ours + peer + b"\x88\x64\x11\x00" + session_id.to_bytes(2, "big")


def check_pppoe(spec: PPPoESpec, ethernet: Ethernet) -> None:
    """Raises `DataPathError`."""
    if len(spec.peer) != 6 or spec.peer[0] & 1 or not any(spec.peer):
        raise DataPathError(INVALID, f"{spec.peer.hex(':') or 'nothing'} is no Ethernet address of a host")
    if not 0 < spec.session_id <= LARGEST_SESSION_ID:
        raise DataPathError(INVALID, f"a PPPoE session id is 1 to {LARGEST_SESSION_ID}")
    if len(spec.vlans) > MOST_VLANS or any(tpid not in TPIDS or tci > 0xFFFF for tpid, tci in spec.vlans):
        raise DataPathError(INVALID, f"VLAN tags {spec.vlans} cannot be sent")
    if spec.vlans and not ethernet.tagged:
        raise DataPathError(INVALID, f"{ethernet.interface} is open without VLAN tags")


class PPPoECarrier:
    """A PPPoE session (RFC 2516 section 6).

    :param changed: called when `inbound` and `onward` must be worked out anew.
    """

    __slots__ = ("port", "ethernet", "handle", "key", "vids", "transmit", "inbound", "onward",
                 "on_changed", "_losses")

    def __init__(self, port: Port, ethernet: Ethernet, spec: PPPoESpec,
                 changed: Callable[[PPPoECarrier], None]) -> None:
        self.port = port
        self.on_changed = changed
        self.inbound: dict[bytes, Any] = {}
        """Short ways (`forward.Inbound`) by the protocol field of untagged frames."""
        self.onward: Any = None
        """The short way (`splicing.Onward`) of all frames of a joined port."""
        self.ethernet = ethernet
        self.handle = spec.ethernet
        self.key = session_key(ethernet.address, spec.peer, spec.session_id)
        vlans = tuple(VlanTag(*vlan) for vlan in spec.vlans)
        self.vids = vids(vlans)
        self._losses = port.losses
        # all but the last field, the length
        header = write_session(spec.peer, ethernet.address, vlans, spec.session_id, b"")[:-2]
        self.transmit = _transmitter(ethernet.send, header)
        self.take()

    def send(self, frame: bytes, traffic_class: int) -> bool:
        try:
            self.transmit(frame[2:] if frame[:2] == _FF03 else frame)
        except OSError as error:
            if error.errno in (EAGAIN, ENOBUFS):
                self._losses.full += 1
            return False
        return True

    def room(self) -> int:
        return self.ethernet.mtu() - HEADER_LENGTH - 2

    def prefix(self, ppp: bytes) -> bytes | None:
        return ppp[2:] if ppp[:2] == _FF03 else ppp

    def changed(self) -> None:
        self.port.transmit = self.transmit
        self.on_changed(self)

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        """Nothing of this is PPPoE's."""

    def take(self) -> None:
        """Have the frames of the session from the interface."""
        self.ethernet.carriers[self.key] = self
        self.ethernet.own.add(self.key)

    def close(self) -> None:
        if self.ethernet.carriers.get(self.key) is self:
            del self.ethernet.carriers[self.key]
            self.ethernet.own.discard(self.key)


def _transmitter(send: Callable[[bytes], object], header: bytes) -> Callable[[bytes], object]:
    return lambda frame: send(header + len(frame).to_bytes(2, "big") + frame)


def receive(plane: Lines, ethernet: Ethernet, data: bytes, now: float) -> None:
    """A session frame from the interface, whole but for the FCS."""
    key = data[:KEY_END]
    carrier = ethernet.carriers.get(key)
    if carrier is not None and not carrier.vids:
        end = START + (data[KEY_END] << 8 | data[KEY_END + 1]) if len(data) >= START else START
        if START < end <= len(data):
            carrier.port.receive(data[START:end], now)
        else:
            carrier.port.rx_errors += 1
        return
    if data[12:14] == _UNTAGGED and not ethernet.tagged:
        _unknown(plane, ethernet, key, data, now)
        return
    _receive_tagged(plane, ethernet, data, now)


def _receive_tagged(plane: Lines, ethernet: Ethernet, data: bytes, now: float) -> None:
    try:
        header = read_header(data)
    except PacketError:
        plane.bad_headers += 1
        return
    if header.destination != ethernet.address or header.ethertype != SESSION or header.code:
        plane.bad_headers += 1
        return
    key = session_key(ethernet.address, header.source, header.session_id)
    carrier = ethernet.carriers.get(key)
    if carrier is None:
        _unknown(plane, ethernet, key, data, now)
    elif carrier.vids != vids(header.vlans) or header.start >= header.end:
        carrier.port.rx_errors += 1
    else:
        carrier.port.receive(data[header.start:header.end], now)


def _unknown(plane: Lines, ethernet: Ethernet, key: bytes, data: bytes, now: float) -> None:
    plane.unknown_sessions += 1
    if data[:6] == ethernet.address:
        again = plane.early.keep(ethernet.id, key, data, None, now)
        if ethernet.strays:
            plane.stray(ethernet, key, data, again, now)
