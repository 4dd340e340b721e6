"""The session frames of an Ethernet interface, read and written on an AF_PACKET socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from errno import ENETDOWN
from typing import TYPE_CHECKING

from prol2tp.common.bucket import Bucket
from prol2tp.dataplane.interface import INVALID, SYSTEM, DataPathError
from prol2tp.dataplane.packets import EXTENSIONS
from prol2tp.dataplane.pppoe import KEY_END, START, Entry, receive
from prol2tp.net.ethernet import System, vids_of, with_tag
from prol2tp.pppoe.packets import SESSION

if TYPE_CHECKING:
    from prol2tp.dataplane.plane import BasePlane

LARGEST = 65535 + 64
"""The kernel may hand on what it has put together of several frames."""
BEGIN = START + 2
"""Octets before an inner packet in a frame without VLAN tags."""
_ANCILLARY = 64


class EthernetSocket:
    """A `pppoe.Ethernet`. Raises `DataPathError` when the interface cannot be opened."""

    def __init__(self, identifier: int, interface: str, tagged: bool) -> None:
        self.id = identifier
        self.interface = interface
        self.tagged = tagged
        self.carriers: dict[bytes, Entry] = {}
        self.own: set[bytes] = set()
        self.handles: set[int] = set()
        self.strays: set[int] = set()
        self.stray_bucket: Bucket | None = None
        system = System()
        try:
            self.address = system.address(interface)
            self.socket: socket.socket = system.open(interface, SESSION, tagged)  # type: ignore[assignment]
            self._ifindex = socket.if_nametoindex(interface)
        except OSError as error:
            raise DataPathError(SYSTEM, f"interface {interface}: {error.strerror or error}") from None
        if len(self.address) != 6 or not any(self.address):
            self.socket.close()
            raise DataPathError(INVALID, f"interface {interface} is no Ethernet interface")
        self.send = self.socket.send

    def alive(self) -> bool:
        try:
            same = System().address(self.interface) == self.address
            return same and socket.if_nametoindex(self.interface) == self._ifindex
        except OSError:
            return False

    def mtu(self) -> int:
        try:
            return System().mtu(self.interface)
        except OSError:
            return 0

    def close(self) -> None:
        self.socket.close()


def drain(plane: BasePlane, ethernet: EthernetSocket) -> Callable[[int, float], None]:
    """The drain function of its socket."""
    recv, recvmsg = ethernet.socket.recv, ethernet.socket.recvmsg
    find = ethernet.carriers.get
    write = os.write

    def plain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data = recv(LARGEST)
            except OSError as error:
                _failed(plane, ethernet, error)
                return
            carrier = find(data[:KEY_END])
            size = len(data)
            if carrier is not None and carrier.onward is not None and size > BEGIN and data[START] != 0xFF:
                end = START + (data[KEY_END] << 8 | data[KEY_END + 1])
                if START < end <= size:
                    carrier.onward.pass_on(data[START:end])
                    continue
            entry = carrier.inbound.get(data[START:BEGIN]) if carrier is not None else None
            # as in `forward.drain_listener`, 12 octets further on; short frames are padded
            if (entry is None or data[KEY_END] << 8 | data[KEY_END + 1] != size - START
                    or data[entry.start:entry.stop] != entry.source):
                receive(plane, ethernet, data, now)
                continue
            if entry.ipv4:
                if size < 56 or data[22] != 0x45 or (data[31] == 6 and data[55] & 2 and entry.clamp):
                    receive(plane, ethernet, data, now)
                    continue
            elif size < 76 or data[22] >> 4 != 6 or (data[75] & 2 and entry.clamp if data[28] == 6
                                                     else data[46] >= 0xFE or data[28] in EXTENSIONS):
                receive(plane, ethernet, data, now)
                continue
            port = entry.port
            port.rx_packets += 1
            port.rx_octets += size - START
            port.last = now
            try:
                write(entry.descriptor, data[BEGIN:])
            except OSError:
                port.rx_discards += 1

    def tagged(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data, ancillary, _, _ = recvmsg(LARGEST, _ANCILLARY)
            except OSError as error:
                _failed(plane, ethernet, error)
                return
            carrier = find(data[:KEY_END])
            if (carrier is not None and carrier.onward is not None and len(data) > BEGIN and data[START] != 0xFF
                    and carrier.vids == vids_of(ancillary)):
                end = START + (data[KEY_END] << 8 | data[KEY_END + 1])
                if START < end <= len(data):
                    carrier.onward.pass_on(data[START:end])
                    continue
            receive(plane, ethernet, with_tag(data, ancillary), now)

    return tagged if ethernet.tagged else plain


def _failed(plane: BasePlane, ethernet: EthernetSocket, error: OSError) -> None:
    if error.errno == ENETDOWN:
        plane.ethernet_lost(ethernet, f"interface {ethernet.interface} is down")
