"""What a daemon says to the service manager that started it (systemd: sd_notify(3), sd_watchdog_enabled(3)).

State goes as one datagram of lines `NAME=value` to the socket that the environment names. Without one nothing is said.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Any


class Supervisor:
    """Takes its variables out of the environment, so that children do not speak for the daemon.

    :param reactor: gives the time and the calls of the watchdog.
    """

    def __init__(self, reactor: Any, environment: MutableMapping[str, str] = os.environ) -> None:
        self._reactor = reactor
        address = environment.pop("NOTIFY_SOCKET", "")
        interval, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        self.watchdog = int(interval) / 1e6 if mine and interval.isdigit() else 0.0
        """Seconds within which the daemon must say that it is alive; 0: nobody waits for that."""
        self._ready = False
        self._alive: Any = None
        self._socket: socket.socket | None = None
        if address[:1] in ("/", "@"):
            self._address = "\0" + address[1:] if address[0] == "@" else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def ready(self, status: str = "") -> None:
        """The daemon serves. From now on it also says that it is alive, twice in the time that it is given."""
        self._ready = True
        self._say(f"READY=1\nSTATUS={status}")
        if self.watchdog and self._alive is None:
            self._live()

    def reloading(self) -> None:
        """The configuration is being read again; `reloaded` ends it. Before the daemon serves neither is said."""
        if self._ready:
            # CLOCK_MONOTONIC, as Type=notify-reload wants it
            self._say(f"RELOADING=1\nMONOTONIC_USEC={int(self._reactor.seconds() * 1e6)}")

    def reloaded(self) -> None:
        """Whatever became of it."""
        if self._ready:
            self._say("READY=1")

    def stopping(self) -> None:
        """The daemon ends; that it is alive is said until then, since calls of thousands take their time."""
        self._say("STOPPING=1")

    def close(self) -> None:
        """Say no more."""
        if self._alive is not None and self._alive.active():
            self._alive.cancel()
        self._alive = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _live(self) -> None:
        self._say("WATCHDOG=1")
        self._alive = self._reactor.callLater(self.watchdog / 2, self._live)

    def _say(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a service manager that has gone is no reason to
                self._socket.sendto(text.encode(), self._address)
