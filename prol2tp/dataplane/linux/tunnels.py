"""A tunnel of the kernel, on a connected socket of ours. All but `drop` belongs on the link thread."""

from __future__ import annotations

import socket
from contextlib import suppress

from prol2tp.dataplane.iplistener import IPListener
from prol2tp.dataplane.linux.genl import GenericSocket
from prol2tp.dataplane.linux.sockets import open_ip_tunnel
from prol2tp.dataplane.listener import UDPListener
from prol2tp.dataplane.tunnels import Tunnel


class KernelTunnel:
    """Made with the first session of a tunnel, and there until the tunnel is deleted.

    :ivar socket: None until it is there. Control messages, and data that the kernel has no session for, arrive on it
        (over UDP).
    """

    __slots__ = ("tunnel", "socket", "watched")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.socket: socket.socket | None = None
        self.watched = False
        """The reactor reads the socket."""

    def open(self, requests: GenericSocket) -> None:
        """Raises `OSError`. Nothing happens when it is open."""
        if self.socket is not None:
            return
        spec = self.tunnel.spec
        listener: UDPListener = self.tunnel.listener  # type: ignore[assignment]
        over_ip = isinstance(listener, IPListener)
        if over_ip:
            local = spec.local[0] if listener.wildcard else listener.address[0]
            address = self.tunnel.socket_address
            made = open_ip_tunnel(spec, local, self.tunnel.peer, address[3] if len(address) > 2 else 0)
        else:
            made = listener.connected(spec, self.tunnel.peer)
        try:
            requests.tunnel_create(made.fileno(), spec.version, spec.tunnel_id, spec.peer_tunnel_id, over_ip)
        except OSError:
            made.close()
            raise
        self.socket = made

    def move(self) -> None:
        """The peer is at another address: the kernel sends there too. Raises `OSError`."""
        if self.socket is not None:
            self.socket.connect(self.tunnel.socket_address)

    def close(self, requests: GenericSocket) -> None:
        if self.socket is not None:
            with suppress(OSError):
                requests.tunnel_delete(self.tunnel.spec.tunnel_id)
            self.socket.close()
            self.socket = None
