"""The session frames of an Ethernet interface, read and written on an AF_PACKET socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from errno import ENETDOWN
from typing import TYPE_CHECKING

from prol2tp.dataplane.interface import INVALID, SYSTEM, DataPathError
from prol2tp.dataplane.pppoe import PPPoECarrier, receive
from prol2tp.net.ethernet import System, with_tag
from prol2tp.pppoe.packets import SESSION

if TYPE_CHECKING:
    from prol2tp.dataplane.plane import BasePlane

LARGEST = 65535 + 64
"""The kernel may hand on what it has put together of several frames."""
BUFFER = 4 << 20
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
_ANCILLARY = 64


class EthernetSocket:
    """A `pppoe.Ethernet`. Raises `DataPathError` when the interface cannot be opened."""

    def __init__(self, identifier: int, interface: str, tagged: bool, system: System | None = None) -> None:
        self.id = identifier
        self.interface = interface
        self.tagged = tagged
        self.carriers: dict[bytes, PPPoECarrier] = {}
        self._system = system or System()
        try:
            self.address = self._system.address(interface)
            self.socket = self._system.open(interface, SESSION, tagged)
        except OSError as error:
            raise DataPathError(SYSTEM, f"interface {interface}: {error.strerror or error}") from None
        if len(self.address) != 6 or not any(self.address):
            self.socket.close()
            raise DataPathError(INVALID, f"interface {interface} is no Ethernet interface")
        if isinstance(self.socket, socket.socket):
            for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
                with suppress(OSError):
                    self.socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self.send = self.socket.send

    def mtu(self) -> int:
        try:
            return self._system.mtu(self.interface)
        except OSError:
            return 0

    def close(self) -> None:
        self.socket.close()


def drain(plane: BasePlane, ethernet: EthernetSocket) -> Callable[[int, float], None]:
    """The drain function of its socket."""
    recvmsg = ethernet.socket.recvmsg
    tagged = ethernet.tagged

    def read(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data, ancillary, _, _ = recvmsg(LARGEST, _ANCILLARY)
            except OSError as error:
                if error.errno == ENETDOWN:
                    plane.ethernet_lost(ethernet, f"interface {ethernet.interface} is down")
                return
            receive(plane, ethernet, with_tag(data, ancillary) if tagged else data, now)

    return read
