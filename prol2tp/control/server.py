"""The control socket of a daemon: a UNIX stream socket in the run directory, for root and the daemon's own user."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Collection, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from prol2tp.control.command import Command
from prol2tp.control.connection import Connection, Responder, Responders

MAX_CONNECTIONS = 256
_CREDENTIALS = struct.Struct("iII")


class AddressInUse(Exception):
    """Another process answers on the socket."""


class ServerConnection(Connection):
    """A connection that somebody made to us: let in only after a look at who it is."""

    factory: _Factory

    def connectionMade(self) -> None:
        super().connectionMade()
        server = self.factory.server
        self.peer = _CREDENTIALS.unpack(
            self.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        _, uid, gid = self.peer
        if uid not in (0, os.geteuid()) and gid not in server.gids:
            self.drop("not allowed")
        elif len(server.connections) >= MAX_CONNECTIONS:
            self.drop(f"more than {MAX_CONNECTIONS} connections")
        else:
            server.connections.add(self)
            self.on_lost.append(server.connections.discard)


class _Factory(Factory):
    noisy = False

    def __init__(self, server: ControlServer) -> None:
        self.server = server

    def buildProtocol(self, addr: Any) -> Connection:
        connection = ServerConnection(self.server.responders, self.server.callbacks)
        connection.factory = self
        return connection


class _Port(unix.Port):
    """A port that leaves the name to `ControlServer`: Twisted's would remove that of a successor too."""

    def connectionLost(self, reason: Any) -> None:
        tcp.Port.connectionLost(self, reason)


class ControlServer(Service):
    """The service. `commands` with `responders` is what the daemon answers; `callbacks` what it may call on the other
    side (`connection.call`). `gids`: groups whose members are let in besides root and our own user.

    Responders are called as `responder(connection, **arguments)` with every declared argument, None for those left
    out; they return a dict, None or a Deferred, and raise `Refused`, `NotFound` or `Invalid`.
    """

    log = Logger("prol2tp.control")

    def __init__(
        self,
        path: str,
        commands: Mapping[str, Command],
        responders: Mapping[str, Responder],
        callbacks: Mapping[str, Command] | None = None,
        *,
        gids: Collection[int] = (),
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.path = path
        self.responders = Responders(commands, responders)
        self.callbacks = callbacks or {}
        self.gids = frozenset(gids)
        self.connections: set[Connection] = set()
        self._reactor = reactor
        self._port: Any = None
        self._inode = (0, 0)

    def startService(self) -> None:
        """Bind and listen. Raises `AddressInUse` when another daemon lives there, OSError when it cannot be bound."""
        Service.startService(self)
        directory = os.path.dirname(self.path)
        if directory:
            os.makedirs(directory, mode=0o750, exist_ok=True)
        clear_stale(self.path)
        mode = 0o660 if self.gids else 0o600
        port = _Port(os.fsencode(self.path), _Factory(self), 64, mode, self._reactor)
        # the mode must be right from the first moment on
        mask = os.umask(0o777 & ~mode)
        try:
            port.startListening()
        except CannotListenError as error:
            raise error.socketError from None
        finally:
            os.umask(mask)
        self._port = port
        self._inode = _inode(self.path)
        if self.gids:
            os.chown(self.path, -1, min(self.gids))

    def stopService(self) -> Deferred[Any]:
        """Stop listening, remove the socket, end the connections."""
        Service.stopService(self)
        port, self._port = self._port, None
        # a successor may have bound the name already
        if port is not None and _inode(self.path) == self._inode:
            os.unlink(self.path)
        for connection in list(self.connections):
            connection.transport.loseConnection()
        return maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)


def _inode(path: str) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino


def clear_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more. Raises `AddressInUse` when somebody does."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise AddressInUse(f"{path}: exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(path)
    # EAGAIN: somebody listens, with a full queue
    if problem in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise AddressInUse(f"{path}: another daemon answers there")
    os.unlink(path)
