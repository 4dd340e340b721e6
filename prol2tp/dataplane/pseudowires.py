"""Ports whose frames are Ethernet's: an L2TPv3 pseudowire and a TAP interface (RFC 3931, RFC 4719).

A pseudowire of type Ethernet carries every frame as it is. One of type Ethernet VLAN carries tagged frames of one VLAN:
what is not in it stays out, and a frame from the peer gets our VLAN ID, which need not be the peer's (RFC 4719 section
2.1).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EAGAIN, EINTR

from prol2tp.dataplane.interface import INVALID, DataPathError
from prol2tp.dataplane.ports import Losses, Port

LARGEST = 65535
HEADER_LENGTH = 14
TAGGED_LENGTH = 18
TAGS = (b"\x81\x00", b"\x88\xa8")
"""EtherTypes of a VLAN tag: 802.1Q, and the outer one of 802.1ad."""
LARGEST_VLAN = 4094
PSEUDOWIRES = ("eth", "vlan")


def check_vlan(pseudowire: str, vlan: int) -> None:
    """Raises `DataPathError`."""
    if not 0 <= vlan <= LARGEST_VLAN:
        raise DataPathError(INVALID, f"VLAN {vlan}: 0 (any) to {LARGEST_VLAN}")
    if vlan and pseudowire != "vlan":
        raise DataPathError(INVALID, f"a pseudowire of type {pseudowire} has no VLAN")


class EthernetPort(Port):
    """A port of Ethernet frames. There is no receiver for it: without an interface its frames are dropped.

    :param vlan: 0: of type Ethernet, or of any VLAN when `tagged`.
    """

    __slots__ = ("vlan", "tagged")

    def __init__(self, identifier: int, losses: Losses, pseudowire: str, vlan: int) -> None:
        super().__init__(identifier, losses)
        self.tagged = pseudowire == "vlan"
        self.vlan = vlan

    def prepare(self) -> None:
        self.head4 = None
        if self.attachment is not None and self.peer is None and not self.tagged:
            self.head4 = self.carrier.prefix(b"")
        self.carrier.changed()

    def receive(self, frame: bytes, now: float) -> None:
        """A frame from the peer."""
        self.rx_packets += 1
        self.rx_octets += len(frame)
        attachment = self.attachment
        if self.tagged:
            frame = self._with_our_tag(frame)
        if len(frame) < HEADER_LENGTH:
            self.rx_errors += 1
            return
        self.last = now
        if self.peer is not None:
            self.peer.send(frame)
            return
        if attachment is None:
            self.rx_discards += 1
            return
        try:
            attachment.write(frame)
        except OSError:
            self.rx_discards += 1

    def _with_our_tag(self, frame: bytes) -> bytes:
        """Empty for a frame without a tag."""
        if len(frame) < TAGGED_LENGTH or frame[12:14] not in TAGS:
            return b""
        if not self.vlan:
            return frame
        # priority and drop eligibility are the frame's own
        return frame[:14] + bytes((frame[14] & 0xF0 | self.vlan >> 8, self.vlan & 0xFF)) + frame[16:]

    def _ours(self, frame: bytes) -> bool:
        """Whether a frame of the interface is in our VLAN."""
        if len(frame) < TAGGED_LENGTH or frame[12:14] not in TAGS:
            return False
        return not self.vlan or (frame[14] & 0x0F) << 8 | frame[15] == self.vlan

    def send_packet(self, packet: bytes, now: float) -> None:
        """A frame from the interface."""
        if self.attachment is None or self.peer is not None or (self.tagged and not self._ours(packet)):
            return
        self.last = now
        self.send(packet)

    def forward(self, frame: bytes, now: float) -> None:
        """The short way of `send_packet`."""
        head = self.head4
        if head is None:
            self.send_packet(frame, now)
            return
        try:
            self.transmit(head + frame)  # type: ignore[misc]
        except OSError as error:
            self.tx_errors += 1
            if error.errno in (EAGAIN,):
                self.losses.full += 1
            return
        self.tx_packets += 1
        self.tx_octets += len(frame)
        self.last = now

    def receive_control(self, frame: bytes, now: float) -> None:
        """There is none on Ethernet."""


def drain_tap(descriptor: int, port: EthernetPort, gone: Callable[[], None]) -> Callable[[int, float], None]:
    """The drain function of a TAP. `gone`: the interface was removed."""
    read, forward = os.read, port.forward

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                frame = read(descriptor, LARGEST)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    gone()
                return
            if frame:
                forward(frame, now)

    return drain
