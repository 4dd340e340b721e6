"""A daemon's connection to another daemon: made again for ever, with commands in both directions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger

from prol2tp.control.command import Command, Gone
from prol2tp.control.connection import Connection, Responder, Responders

FIRST_DELAY = 0.1
LAST_DELAY = 5.0


class _ClientConnection(Connection):
    client: ControlClient

    def connectionMade(self) -> None:
        super().connectionMade()
        self.on_lost.append(lambda _: self.client._lost())
        self.client._made(self)


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, client: ControlClient) -> None:
        self.client = client

    def buildProtocol(self, addr: Any) -> Connection:
        connection = _ClientConnection(self.client.responders, self.client.commands)
        connection.client = self.client
        return connection

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        number = getattr(reason.value, "osError", None)
        self.client._failed(os.strerror(number) if isinstance(number, int) else reason.getErrorMessage())


class ControlClient(Service):
    """The service. `commands`: what the daemon at `path` answers. `callbacks` with `responders`: what it may call here.

    `connected` tells whether `call` can be carried out now. `on_connected(client)` and `on_lost(client)` are called at
    each change; between tries the delay doubles from 0.1 to 5 seconds.
    """

    log = Logger("prol2tp.control")

    def __init__(
        self,
        path: str,
        commands: Mapping[str, Command],
        callbacks: Mapping[str, Command] | None = None,
        responders: Mapping[str, Responder] | None = None,
        *,
        on_connected: Callable[[ControlClient], Any] | None = None,
        on_lost: Callable[[ControlClient], Any] | None = None,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.path = path
        self.commands = commands
        self.responders = Responders(callbacks or {}, responders or {})
        self.connection: Connection | None = None
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._reactor = reactor
        self._connector: Any = None
        self._delay = FIRST_DELAY
        self._retry: Any = None
        self._told = False
        self._stopped: Deferred[None] | None = None

    @property
    def connected(self) -> bool:
        return self.connection is not None

    def call(self, name: str, /, **arguments: Any) -> Deferred[dict[str, Any]]:
        """As `Connection.call`; fails with `Gone` at once when not connected."""
        if self.connection is None:
            return fail(Gone(f"{self.path}: not connected"))
        return self.connection.call(name, **arguments)

    def startService(self) -> None:
        Service.startService(self)
        self._delay = FIRST_DELAY
        self._connect()

    def stopService(self) -> Deferred[None]:
        """Fires when the connection is closed."""
        Service.stopService(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.connection is None:
            if self._connector is not None and self._connector.state == "connecting":
                self._connector.stopConnecting()
            return succeed(None)
        self._stopped = Deferred()
        self.connection.transport.loseConnection()
        return self._stopped

    def _connect(self) -> None:
        self._retry = None
        self._connector = self._reactor.connectUNIX(self.path, _Factory(self))

    def _made(self, connection: Connection) -> None:
        self.connection = connection
        self._delay = FIRST_DELAY
        self._told = False
        if self._on_connected is not None:
            self._on_connected(self)

    def _lost(self) -> None:
        self.connection = None
        if self._on_lost is not None:
            self._on_lost(self)
        if self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
        self._again()

    def _failed(self, reason: str) -> None:
        # once an outage: the tries go on for ever
        if self.running and not self._told:
            self._told = True
            self.log.warn("cannot connect to {path}: {reason}; trying again", path=self.path, reason=reason)
        self._again()

    def _again(self) -> None:
        if not self.running or self._retry is not None:
            return
        self._retry = self._reactor.callLater(self._delay, self._connect)
        self._delay = min(LAST_DELAY, self._delay * 2)
