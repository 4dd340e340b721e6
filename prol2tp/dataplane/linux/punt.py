"""Router Solicitations and DHCPv6 from the kernel's PPP interfaces: one packet socket sees those of all of them.

The system's own stack sees them too, which makes nothing of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN

from prol2tp.dataplane.linux.filters import solicitations
from prol2tp.dataplane.ports import Attachment, Port
from prol2tp.dataplane.punting import Punting
from prol2tp.net.ethernet import attach_filter

ETH_P_IPV6 = 0x86DD
BUFFER = 1 << 20
SO_RCVBUFFORCE = 33
LARGEST = 2048
_SHORTEST = 40
_HEAD = b"\xff\x03\x00\x57"


class PuntSocket:
    """Opening raises `OSError`.

    :param find: the port of an interface, by its index.
    """

    def __init__(self, find: Callable[[int], Port | None]) -> None:
        self._find = find
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                                    socket.htons(ETH_P_IPV6))
        try:
            attach_filter(self.socket, solicitations())
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        except OSError:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def drain(self, quota: int, now: float) -> None:
        """The drain function."""
        for _ in range(quota):
            try:
                packet, where = self.socket.recvfrom(LARGEST)
            except OSError as error:
                if error.errno != EAGAIN:
                    continue
                return
            with suppress(OSError):
                port = self._find(socket.if_nametoindex(where[0]))
                if port is not None:
                    take(port, packet, now)


def take(port: Port, packet: bytes, now: float) -> None:
    """A packet of a port's interface: to the port's receiver, if it is one of those that are punted."""
    attachment: Attachment | None = port.attachment
    punting: Punting | None = attachment.punting if attachment is not None else None
    if attachment is None or punting is None or len(packet) < _SHORTEST or not punting.wants(packet):
        return
    port.punt(attachment, punting, packet, _HEAD + packet, now)
