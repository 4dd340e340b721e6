"""The data path as a daemon has it: `IDataPlane` spoken as records to prol2tp-pathd.

    path = yield PathClient.connect(reactor, run_dir, owner="prol2tpd")
    yield path.start(events)

All that is asked in one turn of the reactor goes in few datagrams. When the connection is lost, everything that was
asked fails with `DataPathError(GONE)` and `path_lost` is reported; connect anew with a new object.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from errno import EAGAIN, ECONNREFUSED, ENOENT
from operator import attrgetter
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, fail, gatherResults, inlineCallbacks, succeed
from twisted.logger import Logger
from zope.interface import implementer

from prol2tp.common.wire import WireError
from prol2tp.dataplane import records
from prol2tp.dataplane.channel import Channel
from prol2tp.dataplane.interface import (
    GONE,
    INVALID,
    SYSTEM,
    UNSUPPORTED,
    Address,
    DataPathError,
    IDataPlane,
    IPathEvents,
    Listener,
    Netif,
    NetifSpec,
    PPPoESpec,
    SessionSpec,
    TtySpec,
    TunnelSpec,
)
from prol2tp.dataplane.plane import NoEvents

SOCKET_NAME = "pathd.sock"
LOCK_NAME = "pathd.lock"
PATHD_VARIABLE = "PROL2TP_PATHD"
"""In the environment `wait` means that pathd is somebody else's business, a unit's of systemd: it is waited for. One
that we start would stand in the way of that one when it is started anew."""
CONNECT_TIMEOUT = 60.0
"""Seconds until a pathd that we start must answer."""
RETRY_INTERVAL = 0.05
UNAVAILABLE = 3
"""Exit status of a pathd whose `--data-path` the host does not have."""
_UCRED = Struct("=iii")


def take_lock(run_dir: str) -> int:
    """A descriptor of the locked RUN_DIR/pathd.lock: who has it is, or starts, the one pathd of the run directory.
    -1: another has it. Raises `OSError`."""
    lock = os.open(os.path.join(run_dir, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return -1
    return lock


def spawn_pathd(run_dir: str, data_path: str = "auto") -> subprocess.Popen[bytes] | None:
    """Start a prol2tp-pathd with this `--data-path` that ends with its last owner; None if there is one, or another
    daemon starts it now. Not a child in spirit: it has its own session, and lives on when we die. Raises `OSError`."""
    run_dir = os.path.abspath(run_dir)
    lock = take_lock(run_dir)
    if lock < 0:
        return None
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "prol2tp.daemons.pathd", "--run-dir", run_dir, "--ephemeral",
             "--data-path", data_path, "--lock-fd", str(lock)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/", env=environment, pass_fds=(lock,))
    finally:
        os.close(lock)


def _instance(connection: socket.socket) -> str:
    """The process at the other end: its id, and when it was started."""
    pid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0]
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return f"{pid}-{file.read().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


@implementer(IDataPlane)
class PathClient:
    """See the module docstring. Made by `connect`."""

    def __init__(self, reactor: Any, connection: socket.socket) -> None:
        self.name = ""
        self.codecs: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.instance = _instance(connection)
        self._events: IPathEvents = NoEvents()
        self._pending: dict[int, tuple[str, Deferred[Any], dict[int, tuple]]] = {}
        self._last_id = 0
        self._receivers: dict[int, Callable[[bytes], None]] = {}
        self._failed: set[int] = set()
        """Ports whose receiver has failed, and was logged."""
        self._log = Logger()
        self._gone: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.frames_refused = 0
        """Frames not sent because pathd is too slow."""
        self._channel = Channel(reactor, connection, self._received, self._lost)

    @classmethod
    @inlineCallbacks
    def connect(cls, reactor: Any, run_dir: str, owner: str, spawn: bool = True, timeout: float = CONNECT_TIMEOUT,
                data_path: str = "auto") -> Generator[Deferred[Any], Any, PathClient]:
        """-> Deferred(PathClient). Several daemons may do this at once: of the pathds started one stays.

        :param owner: the daemon's name; what a crashed owner of the same name has left is removed.
        :param spawn: start pathd if there is none.
        :param data_path: of a pathd that is started, as its option of the same name.
        """
        path = os.path.join(run_dir, SOCKET_NAME)
        deadline = reactor.seconds() + timeout
        process: subprocess.Popen[bytes] | None = None
        while True:
            try:
                client = cls(reactor, _connected(path))
                client._process = process
                yield client._hello(owner).addTimeout(max(0.0, deadline - reactor.seconds()), reactor)
                return client
            except TimeoutError:
                client._channel.close()
                raise DataPathError(GONE, f"prol2tp-pathd does not answer at {path}") from None
            except OSError as error:
                if error.errno not in (ENOENT, ECONNREFUSED, EAGAIN):
                    raise DataPathError(SYSTEM, f"{path}: {error.strerror}") from None
                reason = f"{path}: {error.strerror}"
                if not spawn:
                    raise DataPathError(GONE, reason) from None
                if process is not None and process.poll() == UNAVAILABLE:
                    raise DataPathError(UNSUPPORTED, f"this host has no data path {data_path}; prol2tp-pathd "
                                                     f"--data-path {data_path} says why") from None
                if process is not None and process.poll():  # 0: the last of others has left it
                    raise DataPathError(GONE, f"prol2tp-pathd ended at once, status {process.returncode}") from None
                if error.errno != EAGAIN:
                    process = _spawned(run_dir, data_path) or process
            except DataPathError as error:
                if error.code != GONE or not spawn:
                    raise
                reason = error.text
            if reactor.seconds() >= deadline:
                raise DataPathError(GONE, f"prol2tp-pathd does not answer: {reason}")
            pause: Deferred[None] = Deferred()
            reactor.callLater(RETRY_INTERVAL, pause.callback, None)
            yield pause

    @inlineCallbacks
    def _hello(self, owner: str) -> Generator[Deferred[Any], Any, None]:
        version, name = yield self._ask("hello", (records.VERSION, owner))
        if version != records.VERSION:
            self._channel.close()
            raise DataPathError(SYSTEM, f"prol2tp-pathd speaks version {version}, not {records.VERSION}")
        self.name = name

    # -- IDataPlane --

    def start(self, events: IPathEvents) -> Deferred[None]:
        self._events = events
        return self._ask("start").addCallback(self._started)

    def _started(self, reply: Sequence[Any]) -> None:
        self.codecs, self.notes = reply

    def stop(self, keep: bool = False) -> Deferred[None]:
        if self._gone is not None:
            return succeed(None)
        return self._ask("stop", (keep,)).addBoth(self._stopped)

    def _stopped(self, _: object) -> None:
        self._gone = "stopped"
        self._events = NoEvents()
        self._receivers.clear()
        self._channel.close()

    def listen(self, address: Address, encapsulation: str = "udp") -> Deferred[Listener]:
        return self._ask("listen", (address, encapsulation))

    def unlisten(self, listener: int) -> Deferred[None]:
        return self._ask("unlisten", (listener,)).addCallback(_nothing)

    def tunnel_add(self, spec: TunnelSpec) -> Deferred[int]:
        return self._ask("tunnel_add", _values(spec)).addCallback(_first)

    def tunnel_modify(self, tunnel: int, peer: Address) -> Deferred[None]:
        return self._ask("tunnel_modify", (tunnel, peer)).addCallback(_nothing)

    def tunnel_delete(self, tunnel: int) -> Deferred[None]:
        return self._ask("tunnel_delete", (tunnel,)).addCallback(_nothing)

    def session_add(self, spec: SessionSpec) -> Deferred[int]:
        return self._ask("session_add", _values(spec)).addCallback(_first)

    def ethernet_add(self, interface: str, tagged: bool = False, strays: bool = False) -> Deferred[int]:
        return self._ask("ethernet_add", (interface, tagged, strays)).addCallback(_first)

    def ethernet_delete(self, ethernet: int) -> Deferred[None]:
        return self._ask("ethernet_delete", (ethernet,)).addCallback(_nothing)

    def pppoe_add(self, spec: PPPoESpec) -> Deferred[int]:
        return self._ask("pppoe_add", _values(spec)).addCallback(_first)

    def tty_add(self, spec: TtySpec) -> Deferred[int]:
        return self._ask("tty_add", _values(spec)).addCallback(_first)

    def port_modify(self, port: int, send_sequence: bool | None = None, receive_sequence: bool | None = None,
                    pcomp: bool | None = None, accomp: bool | None = None, send_accm: int | None = None,
                    receive_accm: int | None = None, rate_up: int | None = None,
                    rate_down: int | None = None) -> Deferred[None]:
        values = (port, send_sequence, receive_sequence, pcomp, accomp, send_accm, receive_accm, rate_up, rate_down)
        return self._ask("port_modify", values).addCallback(_nothing)

    def port_delete(self, port: int) -> Deferred[tuple]:
        self._failed.discard(port)
        self._receivers.pop(port, None)
        return self._ask("port_delete", (port,)).addCallback(lambda reply: reply[0][port])

    def port_compress(self, port: int, send: str = "", receive: str = "", send_option: bytes = b"",
                      receive_option: bytes = b"", send_key: bytes = b"", receive_key: bytes = b"") -> Deferred[None]:
        values = (port, send, receive, send_option, receive_option, send_key, receive_key)
        return self._ask("port_compress", values).addCallback(_nothing)

    def port_reset(self, port: int) -> None:
        if self._gone is None:
            self._channel.send(records.encode_request(0, "port_reset", (port,)))

    def port_receiver(self, port: int, callback: Callable[[bytes], None] | None) -> None:
        self._failed.discard(port)
        if callback is not None:
            known = port in self._receivers
            self._receivers[port] = callback
            if known:
                return
        elif self._receivers.pop(port, None) is None:
            return
        if self._gone is None:
            self._channel.send(records.encode_request(0, "port_receiver", (port, callback is not None)))

    def port_send(self, port: int, frame: bytes) -> None:
        if not self._channel.send_frame(port, frame):
            self.frames_refused += 1

    def netif_attach(self, port: int, spec: NetifSpec) -> Deferred[Netif]:
        return self._ask("netif_attach", (port, *_values(spec))).addCallback(lambda reply: Netif(*reply))

    def netif_modify(self, port: int, protocols: tuple[str, ...] | None = None,
                     prefixes: tuple[str, ...] | None = None, mtu: int | None = None,
                     punt: tuple[str, ...] | None = None) -> Deferred[None]:
        return self._ask("netif_modify", (port, protocols, prefixes, mtu, punt)).addCallback(_nothing)

    def netif_detach(self, port: int) -> Deferred[None]:
        return self._ask("netif_detach", (port,)).addCallback(_nothing)

    def switch_add(self, port: int, other: int) -> Deferred[None]:
        return self._ask("switch_add", (port, other)).addCallback(_nothing)

    def switch_delete(self, port: int) -> Deferred[None]:
        return self._ask("switch_delete", (port,)).addCallback(_nothing)

    def counters(self, ports: list[int] | None = None) -> Deferred[dict[int, tuple]]:
        if ports is None:
            return self._ask("counters", (True, ())).addCallback(_first)
        size = records.PORTS_MAX
        if len(ports) <= size:
            return self._ask("counters", (False, ports)).addCallback(_first)
        parts = [self._ask("counters", (False, ports[at:at + size])).addCallback(_first)
                 for at in range(0, len(ports), size)]
        return gatherResults(parts, consumeErrors=True).addCallbacks(_merged, lambda failure: failure.value.subFailure)

    # -- requests and what comes back --

    def _ask(self, operation: str, values: Sequence[Any] = ()) -> Deferred[Any]:
        if self._gone is not None:
            return fail(DataPathError(GONE, f"the data path is gone: {self._gone}"))
        identifier = self._last_id = self._last_id % 0xFFFFFFFF + 1
        try:
            record = records.encode_request(identifier, operation, values)
        except ValueError as error:
            return fail(DataPathError(INVALID, f"{operation}: {error}"))
        answer: Deferred[Any] = Deferred()
        self._pending[identifier] = (operation, answer, {})
        self._channel.send(record)
        return answer

    def _received(self, datagram: bytes, descriptors: list[int]) -> None:
        receivers = self._receivers
        try:
            for kind, code, identifier, body in records.split(datagram):
                if kind == records.FRAME:
                    receiver = receivers.get(identifier)
                    if receiver is not None:
                        try:
                            receiver(body)
                        except Exception:
                            self._receiver_failed(identifier)
                elif kind == records.EVENT:
                    self._event(code, body)
                else:
                    self._answer(kind, code, identifier, body, descriptors)
        except WireError as error:
            self._channel.close()
            self._lost(f"bad record from prol2tp-pathd: {error}")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _answer(self, kind: int, code: int, identifier: int, body: bytes, descriptors: list[int]) -> None:
        pending = self._pending.get(identifier)
        if pending is None:
            return
        operation, answer, rows = pending
        if kind == records.ERROR:
            del self._pending[identifier]
            answer.errback(DataPathError(*records.decode_error(body)))
            return
        reply = records.decode_reply(code, body)
        if kind == records.PART:
            rows.update(reply[0])
            return
        del self._pending[identifier]
        if rows:
            rows.update(reply[0])
            reply = [rows]
        if operation == "listen":
            if not descriptors:
                self._ask("unlisten", reply[:1]).addErrback(_nothing)
                answer.errback(DataPathError(SYSTEM, "prol2tp-pathd sent no descriptor: too many are open here?"))
                return
            listener, address, relay = reply
            answer.callback(Listener(listener, address, descriptors.pop(0), relay))
            return
        answer.callback(reply)

    def _receiver_failed(self, port: int) -> None:
        if port not in self._failed:  # the peer can do it with every frame
            self._failed.add(port)
            self._log.failure("receiver of port {port}", port=port)

    def _event(self, code: int, body: bytes) -> None:
        event, values = records.decode_event(code, body)
        try:
            getattr(self._events, event.name)(*values)
        except Exception:
            self._log.failure("event {name}", name=event.name)

    def _lost(self, reason: str) -> None:
        if self._gone is not None:
            return
        self._gone = reason
        if self._process is not None:
            self._process.poll()
        self._receivers.clear()
        pending, self._pending = self._pending, {}
        for _, answer, _ in pending.values():
            answer.errback(DataPathError(GONE, f"the data path is gone: {reason}"))
        self._events.path_lost(reason)


def _spawned(run_dir: str, data_path: str) -> subprocess.Popen[bytes] | None:
    if os.environ.get(PATHD_VARIABLE) == "wait":
        return None
    try:
        return spawn_pathd(run_dir, data_path)
    except OSError as error:
        raise DataPathError(SYSTEM, f"cannot start prol2tp-pathd: {error}") from None


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


_FIELDS = {spec: attrgetter(*(field.name for field in dataclasses.fields(spec)))
           for spec in (TunnelSpec, SessionSpec, NetifSpec, PPPoESpec, TtySpec)}


def _values(spec: TunnelSpec | SessionSpec | NetifSpec | PPPoESpec | TtySpec) -> tuple[Any, ...]:
    return _FIELDS[type(spec)](spec)


def _nothing(_: object) -> None:
    return None


def _first(reply: Sequence[Any]) -> Any:
    return reply[0]


def _merged(parts: list[dict[int, tuple]]) -> dict[int, tuple]:
    return {port: row for part in parts for port, row in part.items()}
