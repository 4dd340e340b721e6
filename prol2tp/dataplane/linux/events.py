"""What the kernel tells of tunnels and sessions that somebody deletes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import EAGAIN

from prol2tp.dataplane.linux.genl import NETLINK_GENERIC, deleted

SOL_NETLINK, ADD_MEMBERSHIP = 270, 1


class EventSocket:
    """Opening raises `OSError`.

    :param gone: called with tunnel id and session id; session 0: the tunnel with all its sessions.
    """

    def __init__(self, group: int, gone: Callable[[int, int], None]) -> None:
        self._gone = gone
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                                    NETLINK_GENERIC)
        try:
            self.socket.bind((0, 0))
            self.socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        except OSError:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def drain(self, quota: int, now: float) -> None:
        """The drain function."""
        for _ in range(quota):
            try:
                data = self.socket.recv(65536)
            except OSError as error:
                if error.errno != EAGAIN:
                    continue  # too many at once: interfaces that are gone are noticed by their daemon
                return
            for tunnel_id, session_id in deleted(data):
                self._gone(tunnel_id, session_id)
