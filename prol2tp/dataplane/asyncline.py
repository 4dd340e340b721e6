"""A tty as a port: PPP frames in the framing of RFC 1662."""

from __future__ import annotations

from typing import Protocol

from prol2tp.dataplane.interface import INVALID, DataPathError, TtySpec
from prol2tp.dataplane.ports import Port, ppp_protocol
from prol2tp.ppp.hdlc import Deframer, Framer

HEADER_ROOM = 4
"""Octets of a PPP header beside the information field."""
_XON_XOFF = frozenset((0x11, 0x13))
NETWORK_LAYER_END = 0x8000
"""Protocols from here on are control protocols."""


class Line(Protocol):
    """An open tty."""

    def write(self, octets: bytes, urgent: bool) -> bool:
        """False: too much waits already, and it was dropped; what is urgent may wait longer."""

    def close(self) -> None: ...


def check_tty(spec: TtySpec) -> None:
    """Raises `DataPathError`."""
    if not spec.device or "\0" in spec.device:
        raise DataPathError(INVALID, "a tty needs the name of its device")
    if not 128 <= spec.mru <= 65535:
        raise DataPathError(INVALID, f"MRU {spec.mru} is not in 128 to 65535")
    try:
        Framer(frozenset(spec.escape))
    except ValueError as error:
        raise DataPathError(INVALID, str(error)) from None


class TtyCarrier:
    """One line. `line` is set when it is open."""

    __slots__ = ("port", "device", "line", "_framer", "_deframer", "_errors")

    def __init__(self, port: Port, spec: TtySpec) -> None:
        self.port = port
        self.device = spec.device
        self.line: Line
        self._framer = Framer(frozenset(spec.escape) | (_XON_XOFF if spec.xonxoff else frozenset()))
        # RFC 1661 section 6.1: 1500 octets are taken whatever was agreed
        self._deframer = Deframer(max(spec.mru, 1500) + HEADER_ROOM)
        self._errors = 0

    def send(self, frame: bytes, traffic_class: int) -> bool:
        control = ppp_protocol(frame, 0, len(frame))[0] >= NETWORK_LAYER_END
        return self.line.write(self._framer.frame(frame), control)

    def room(self) -> int:
        return 65535

    def prefix(self, ppp: bytes) -> bytes | None:
        return None

    def changed(self) -> None:
        """There is no short way."""

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        if send_accm is not None:
            self._framer.set_accm(send_accm)
        if receive_accm is not None:
            self._deframer.set_accm(receive_accm)

    def close(self) -> None:
        self.line.close()

    def receive(self, octets: bytes, now: float) -> None:
        """What has come over the line."""
        port = self.port
        for frame in self._deframer.feed(octets):
            port.receive(frame, now)
        errors = self._deframer.errors
        if errors != self._errors:
            port.rx_errors += errors - self._errors
            self._errors = errors
