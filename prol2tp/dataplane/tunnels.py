"""An L2TP tunnel as the data path sees it: where its datagrams go, and where they must come from."""

from __future__ import annotations

from collections.abc import Callable
from errno import EAGAIN, ENOBUFS
from typing import TYPE_CHECKING, Any, Protocol

from prol2tp.dataplane.interface import Address, TunnelSpec

if TYPE_CHECKING:
    from prol2tp.dataplane.ports import Losses

MOVED_INTERVAL = 1.0
"""Seconds between two reports that the peer sends from elsewhere."""


Way = tuple[Any, Callable[[bytes, int], object], Callable[[bytes], object]]
"""The peer's socket address; a function that sends a datagram with a DS field; one that sends with the tunnel's own."""


class Outlet(Protocol):
    """A listener, by its sessions and its way out. The functions raise `OSError`."""

    carriers: dict[int, Any]
    """`L2TPCarrier` by `key`."""

    def way(self, spec: TunnelSpec, peer: Address) -> Way:
        """The way to a peer. Raises `OSError`, `ValueError`."""

    def path_mtu(self, socket_address: Any) -> int:
        """Largest outer packet that the system knows to get through; 0: it does not say."""


class Tunnel:
    """Addresses and sessions of one tunnel."""

    __slots__ = ("id", "spec", "listener", "peer", "socket_address", "_send", "transmit", "copies_tos", "ports",
                 "moved_at", "losses")

    def __init__(self, identifier: int, spec: TunnelSpec, listener: Outlet, losses: Losses) -> None:
        self.id = identifier
        self.spec = spec
        self.listener = listener
        self.copies_tos = spec.tos < 0
        self.ports: set[int] = set()
        self.moved_at = float("-inf")
        self.losses = losses
        self.peer = spec.peer
        self.socket_address: Any
        self.move(spec.peer)

    def move(self, peer: Address) -> None:
        """Send to, and take from, another address. Raises `OSError`, `ValueError`."""
        self.socket_address, self._send, self.transmit = self.listener.way(self.spec, peer)
        self.peer = peer

    def room(self) -> int:
        """Octets of UDP payload that the outer path takes."""
        return self.listener.path_mtu(self.socket_address) - (48 if ":" in self.peer[0] else 28)

    def send(self, datagram: bytes, traffic_class: int) -> bool:
        try:
            self._send(datagram, traffic_class if self.copies_tos else self.spec.tos)
        except OSError as error:
            if error.errno in (EAGAIN, ENOBUFS):
                self.losses.full += 1
            return False
        return True
