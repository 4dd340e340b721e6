"""The socket of prol2tp-pathd: daemons come, own their part of the data path, and go.

RUN_DIR/pathd.sock is a SOCK_SEQPACKET socket of mode 0600; only root and our own user may use it. RUN_DIR/pathd.lock is
locked while we run, so that there is one of us for a run directory.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from prol2tp.common.wire import WireError
from prol2tp.daemons.pathd.owner import Owner
from prol2tp.dataplane import records
from prol2tp.dataplane.channel import Channel
from prol2tp.dataplane.client import SOCKET_NAME, take_lock
from prol2tp.dataplane.interface import Address, IPathEvents
from prol2tp.dataplane.netifs import together
from prol2tp.dataplane.plane import BasePlane

BACKLOG = 64
ACCEPTS = 16
HELLO_TIMEOUT = 10.0
"""Seconds a connection may be silent before it says who it is."""
FIRST_OWNER_TIMEOUT = 30.0
"""Seconds until an ephemeral pathd that nobody came to ends."""
REPORT_INTERVAL = 1.0
_UCRED = Struct("=iii")


class AlreadyRunning(Exception):
    """Another prol2tp-pathd has the run directory."""


class _Stranger:
    """A connection that has not said who it is."""

    def __init__(self, server: PathServer, connection: socket.socket) -> None:
        self._server = server
        self.owner: Owner | None = None
        self._waiting = False
        """For its predecessor's things to go."""
        self.channel = Channel(server.reactor, connection, self._received, self._lost, patient=True)
        self._timeout = server.reactor.callLater(HELLO_TIMEOUT, self._give_up)

    def _received(self, datagram: bytes, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            if self.owner is not None:
                self.owner.received(datagram)
            else:
                self._hello(datagram)
        except WireError as error:
            self._server.log.warn("bad record from {name}: {error}", error=str(error),
                                  name=self.owner.name if self.owner else "a stranger")
            self.close()
            self._lost("bad record")

    def _hello(self, datagram: bytes) -> None:
        (kind, code, identifier, body), *rest = records.split(datagram)
        if kind != records.REQUEST:
            raise WireError("a connection begins with hello")
        operation, values = records.decode_request(code, body)
        if operation.name != "hello" or rest:
            raise WireError("a connection begins with hello alone")
        version, name = values
        if self._waiting:
            raise WireError("hello was said already")
        if version == records.VERSION:
            self._stop_timeout()
            self._waiting = True
            self._server.vacate(name).addCallback(lambda _: self._join(identifier, name))
        else:
            self._answer(identifier)

    def _join(self, identifier: int, name: str) -> None:
        if not self.channel.closed:
            self.owner = self._server.join(name, self.channel)
            self._answer(identifier)

    def _answer(self, identifier: int) -> None:
        self.channel.send(records.encode_reply(identifier, "hello", (records.VERSION, self._server.plane.name)))

    def _give_up(self) -> None:
        self.close()
        self._server.strangers.discard(self)

    def _lost(self, reason: str) -> None:
        self._stop_timeout()
        self._server.strangers.discard(self)
        if self.owner is not None:
            self._server.lost(self.owner)

    def _stop_timeout(self) -> None:
        if self._timeout.active():
            self._timeout.cancel()

    def close(self) -> None:
        self._stop_timeout()
        self.channel.close()


@implementer(IReadDescriptor, IPathEvents)
class PathServer:
    """Owners and their connections.

    :param hold: seconds that a crashed owner's part stays.
    :param left: called when the last owner has left and nothing is held (None: never); also when none comes.
    :param lock: a descriptor of the lock, taken by who started us.
    """

    def __init__(self, reactor: Any, plane: BasePlane, run_dir: str, hold: float = 30.0,
                 left: Callable[[], None] | None = None, lock: int = -1) -> None:
        self.reactor = reactor
        self.plane = plane
        self.owners: list[Owner] = []
        self.strangers: set[_Stranger] = set()
        self.lossy: set[Owner] = set()
        self.log = Logger()
        self._hold = hold
        self._left = left
        self._path = os.path.join(run_dir, SOCKET_NAME)
        self._run_dir = run_dir
        self._lock = lock
        self._socket: socket.socket | None = None
        self._timers: list[Any] = []

    # -- begin and end --

    def start(self) -> Deferred[None]:
        """Listen. Raises `AlreadyRunning`, `OSError`."""
        if self._lock < 0:
            self._lock = take_lock(self._run_dir)
            if self._lock < 0:
                raise AlreadyRunning(f"another prol2tp-pathd runs on {self._run_dir}")
        os.set_inheritable(self._lock, False)
        # by another name first: who finds the socket can connect to it
        beginning = self._path + ".new"
        with suppress(FileNotFoundError):
            os.unlink(beginning)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            listening.bind(beginning)
        finally:
            os.umask(mask)
        listening.listen(BACKLOG)
        os.rename(beginning, self._path)
        self._socket = listening
        self.reactor.addReader(self)
        self._timers.append(self.reactor.callLater(REPORT_INTERVAL, self._report))
        if self._left is not None:
            self._timers.append(self.reactor.callLater(FIRST_OWNER_TIMEOUT, self._check_left))
        return self.plane.start(self)

    def stop(self) -> Deferred[None]:
        """Remove everything, then give up the lock."""
        if self._socket is None:
            return succeed(None)
        self._left = None
        self.reactor.removeReader(self)
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        self._socket.close()
        self._socket = None
        for timer in (*self._timers, *(owner.expiry for owner in self.owners)):
            if timer is not None and timer.active():
                timer.cancel()
        owners, self.owners = self.owners, []
        strangers, self.strangers = self.strangers, set()

        def removed(_: object) -> Deferred[None]:
            for stranger in strangers:
                stranger.close()
            return self.plane.stop()

        gone = together([owner.remove_all().gone for owner in owners])
        return gone.addCallback(removed).addCallback(self._unlock)

    def _unlock(self, _: object) -> None:
        os.close(self._lock)

    # -- connections --

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    def logPrefix(self) -> str:
        return "pathd"

    def connectionLost(self, reason: Any) -> None:
        self.log.error("the listening socket is lost: {reason}", reason=str(reason))

    def doRead(self) -> None:
        assert self._socket is not None
        for _ in range(ACCEPTS):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self.log.error("accept: {error}", error=error.strerror)
                self.reactor.removeReader(self)
                self._timers.append(self.reactor.callLater(1, self.reactor.addReader, self))
                return
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            _, uid, _ = _UCRED.unpack(credentials)
            if uid not in (0, os.geteuid()):
                self.log.warn("user {uid} may not use the data path", uid=uid)
                connection.close()
                continue
            self.strangers.add(_Stranger(self, connection))

    def vacate(self, name: str) -> Deferred[None]:
        """Take away what a daemon of this name has left that crashed, or is leaving; its interfaces may take longer to
        go, but their names are free."""
        for owner in list(self.owners):
            if owner.name == name and owner.channel is not None:
                owner.channel.notice_end()  # it may have crashed in this very turn
        leaving = [owner for owner in self.owners if owner.name == name and (owner.channel is None or owner.removal)]
        for owner in leaving:
            self._drop(owner)
        return together([owner.removal.done for owner in leaving if owner.removal is not None])

    def join(self, name: str, channel: Channel) -> Owner:
        """A daemon has said who it is."""
        owner = Owner(self, name)
        owner.channel = channel
        self.owners.append(owner)
        return owner

    def lost(self, owner: Owner) -> None:
        """Its connection closed without `stop`."""
        owner.channel = None
        if owner not in self.owners or owner.stopping:
            return
        self.log.info("{name} has gone without a word; what it made stays for {hold} s", name=owner.name,
                      hold=self._hold)
        self._silence(owner)
        owner.expiry = self.reactor.callLater(self._hold, self._drop, owner)

    def leave(self, owner: Owner, keep: bool) -> Deferred[None]:
        """An orderly end. With `keep` forwarding goes on until a daemon of the same name comes, or we end."""
        if keep:
            self._silence(owner)
            return succeed(None)
        return self._drop(owner)

    def _silence(self, owner: Owner) -> None:
        for port in owner.receiving:
            self.plane.port_receiver(port, None)
        owner.receiving.clear()

    def _drop(self, owner: Owner) -> Deferred[None]:
        """Take away all that it made; asked for again, the same."""
        if owner.removal is not None:
            return owner.removal.gone
        owner.stopping = True
        if owner.expiry is not None and owner.expiry.active():
            owner.expiry.cancel()
        self.lossy.discard(owner)
        removal = owner.remove_all()
        removal.done.addCallback(lambda _: self.owners.remove(owner) if owner in self.owners else None)
        removal.gone.addCallback(self._removed)
        return removal.gone

    def _removed(self, _: object) -> None:
        if self._left is not None:
            # a turn later, so that the reply to `stop` leaves first
            self._timers = [timer for timer in self._timers if timer.active()]
            self._timers.append(self.reactor.callLater(0.1, self._check_left))

    def _check_left(self) -> None:
        if self._left is not None and not self.owners and not self.strangers:
            left, self._left = self._left, None
            left()
        elif self._left is not None and not self.owners:
            self._timers.append(self.reactor.callLater(1, self._check_left))

    # -- what is gone --

    def forget_listener(self, listener: int) -> None:
        for owner in self.owners:
            owner.listeners.discard(listener)

    def forget_tunnel(self, tunnel: int) -> None:
        for owner in self.owners:
            owner.tunnels.discard(tunnel)

    def forget_ethernet(self, ethernet: int) -> None:
        for owner in self.owners:
            owner.ethernets.discard(ethernet)

    def forget_port(self, port: int) -> None:
        for owner in self.owners:
            owner.ports.discard(port)
            owner.netifs.discard(port)
            owner.receiving.discard(port)
            owner.switched.discard(port)
            owner.altered.discard(port)

    def forget_netif(self, port: int) -> None:
        for owner in self.owners:
            owner.netifs.discard(port)

    # -- IPathEvents --

    def frames_lost(self, port: int, count: int) -> None:
        for owner in self.owners:
            if port in owner.receiving or port in owner.ports:
                owner.event("frames_lost", port, count)

    def peer_moved(self, tunnel: int, peer: Address) -> None:
        for owner in self.owners:
            if tunnel in owner.tunnels:
                owner.event("peer_moved", tunnel, peer)

    def netif_gone(self, port: int, name: str) -> None:
        for owner in self.owners:
            if port in owner.netifs:
                owner.netifs.discard(port)
                owner.event("netif_gone", port, name)

    def carrier_lost(self, port: int, reason: str) -> None:
        for owner in self.owners:
            if port in owner.receiving or port in owner.ports:
                owner.event("carrier_lost", port, reason)

    def decompression_failed(self, port: int) -> None:
        for owner in self.owners:
            if port in owner.receiving:
                owner.event("decompression_failed", port)

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        for owner in self.owners:
            if ethernet in owner.ethernets:
                owner.event("stray_frame", ethernet, frame)

    def overload(self, dropped: int) -> None:
        for owner in self.owners:
            owner.event("overload", min(dropped, 0xFFFFFFFF))

    def path_lost(self, reason: str) -> None:
        """Never: we are the data path."""

    def _report(self) -> None:
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self.reactor.callLater(REPORT_INTERVAL, self._report))
        lossy, self.lossy = self.lossy, set()
        for owner in lossy:
            owner.report_lost()
