"""Sockets of the RADIUS client and of dynamic authorization; their cores are in `prol2tp.radius`.

Own descriptors and not `listenUDP`: connected sockets, so that the kernel drops what comes from elsewhere and says when
nobody listens; a source address; a VRF.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from errno import (
    EAFNOSUPPORT,
    EAGAIN,
    ECONNREFUSED,
    EHOSTUNREACH,
    EINTR,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    EPERM,
    EWOULDBLOCK,
)

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from prol2tp.net.driver import Driver
from prol2tp.net.udp import IP_PKTINFO, is_wildcard
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.dynauth import DynamicAuthorization
from prol2tp.radius.outputs import (
    Accepted,
    AccountingAcknowledged,
    AnswerDropped,
    Asked,
    Challenged,
    CloseLane,
    Discarded,
    NoAnswer,
    OpenLane,
    Rejected,
    Respond,
    ServerAlive,
    ServerDead,
    Transmit,
)

_log = Logger(namespace="radius")

_LARGEST = 4096 + 1
_ANCILLARY = 64
_IP_FREEBIND = 15
"""Of IPPROTO_IP, and good for IPv6 too."""
BURST = 64
"""Datagrams read before timers and other descriptors get their turn."""
RECEIVE_BUFFER = 1 << 20
_NOTHING_NOW = (EAGAIN, EWOULDBLOCK, EINTR)
_UNREACHABLE = (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH)
_OF_THE_MOMENT = (*_NOTHING_NOW, ECONNREFUSED, EHOSTUNREACH, ENOBUFS, EMSGSIZE, EPERM)
"""Errors of sending that say nothing against the socket."""
Result = Accepted | Rejected | Challenged | AccountingAcknowledged | NoAnswer
Address = tuple[str, int]
MakeSocket = Callable[[int], socket.socket]


def udp_socket(family: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


@implementer(IReadDescriptor)
class _Port:
    """One socket in the reactor; `receive(data, peer)` for each datagram."""

    def __init__(self, reactor: IReactorFDSet, made: socket.socket) -> None:
        self._reactor = reactor
        self.socket = made
        made.setblocking(False)
        reactor.addReader(self)

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "radius"

    def connectionLost(self, reason: object) -> None:
        """The reactor takes an ICMP error alone, without a datagram to read, for the end of the connection."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self.socket.fileno() >= 0 else 0
        if not error:
            self.close()
            return
        self._reactor.addReader(self)
        self.failed(error)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self.socket.close()

    def doRead(self) -> None:
        try:
            for _ in range(BURST):
                self.take()
        except OSError as error:
            if error.errno not in _NOTHING_NOW and self.socket.fileno() >= 0:
                self.failed(error.errno or 0)
        finally:
            self.burst_done()

    def take(self) -> None:
        """Read one datagram. Raises `BlockingIOError` when there is none."""
        data, peer = self.socket.recvfrom(_LARGEST)
        self.received(data, (peer[0], peer[1]))

    def received(self, data: bytes, peer: Address) -> None:
        raise NotImplementedError

    def failed(self, errno: int) -> None:
        """An error of the socket: on a connected one also that of an earlier datagram (ICMP)."""

    def burst_done(self) -> None:
        raise NotImplementedError


class _LanePort(_Port):
    def __init__(self, owner: RadiusPort, made: socket.socket, lane: int) -> None:
        self._owner = owner
        self._lane = lane
        super().__init__(owner.reactor, made)

    def received(self, data: bytes, peer: Address) -> None:
        owner = self._owner
        try:
            owner.core.receive(data, self._lane, peer, owner.driver.now())
        except Exception:  # a fault of ours costs this datagram
            _log.failure("answer from {peer}", peer=peer[0])

    def failed(self, errno: int) -> None:
        self._owner.unreachable(self._lane, errno)

    def burst_done(self) -> None:
        self._owner.carry_out()


class RadiusPort:
    """Carries out what a `RadiusClient` asks.

    :param reactor: with clock and descriptors.
    :param make_socket: makes a UDP socket of a family; for another network namespace.
    :param server_changed: called with `ServerDead`, `ServerAlive` and `AnswerDropped`.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        core: RadiusClient,
        make_socket: MakeSocket = udp_socket,
        server_changed: Callable[[ServerDead | ServerAlive | AnswerDropped], None] | None = None,
    ) -> None:
        self.reactor = reactor
        self.core = core
        self._make_socket = make_socket
        self.server_changed = server_changed or (lambda change: None)
        self._lanes: dict[int, OpenLane] = {}
        self._ports: dict[int, _LanePort] = {}
        """Of lanes that have a socket."""
        self._told: set[tuple[str, str, str]] = set()
        """Sockets that cannot be made, and of which the log has heard."""
        self._waiting: dict[int, Deferred[Result]] = {}
        self.send_errors = 0
        self.driver = Driver(
            core,
            {
                OpenLane: self._open,
                CloseLane: self._close,
                Transmit: self._transmit,
                ServerDead: self._changed,
                ServerAlive: self._changed,
                AnswerDropped: self._changed,
                **dict.fromkeys((Accepted, Rejected, Challenged, AccountingAcknowledged, NoAnswer), self._result),
            },
            reactor,  # type: ignore[arg-type]
        )
        self.driver.drain()

    def request(self, record: AccessRequest | AccountingRequest, prefer: str = "") -> Deferred[Result]:
        """Ask. Fires with the output that is the result, never with a failure; cancelling gives the request up.

        `prefer` names the server of the Challenge that this goes on from.
        """
        core, driver = self.core, self.driver
        handle = core.request(record, driver.now(), prefer)
        deferred: Deferred[Result] = Deferred(lambda cancelled: self._cancel(handle))
        self._waiting[handle] = deferred
        self.carry_out()
        return deferred

    def carry_out(self) -> None:
        """Drain the core and set its timer."""
        self.driver.drain()
        self.driver.reschedule()

    def unreachable(self, lane: int, errno: int) -> None:
        """An error on the socket of a lane."""
        self.send_errors += 1
        if errno in _UNREACHABLE:
            self.core.unreachable(lane, self.driver.now())
            self.carry_out()

    def stop(self) -> None:
        """Close all sockets; who still waits for a result gets `NoAnswer`."""
        waiting, self._waiting = self._waiting, {}
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        now = self.driver.now()
        for handle in waiting:
            self.core.cancel(handle, now)
        # nothing is due any more, also for a caller that we are within
        self.core.set_servers((), now)
        self.driver.stop()
        for handle, deferred in waiting.items():
            deferred.callback(NoAnswer(handle, "the client stops"))

    def _cancel(self, handle: int) -> None:
        if self._waiting.pop(handle, None) is not None:
            self.core.cancel(handle, self.driver.now())
            self.carry_out()

    def _open(self, output: OpenLane) -> None:
        self._lanes[output.lane] = output
        if self._socket(output) is None:
            self.core.unreachable(output.lane, self.driver.now())

    def _socket(self, output: OpenLane) -> _LanePort | None:
        """A socket for a lane that has none. None: not possible at present, and tried again with the next datagram;
        an address of ours or a VRF may come later than we do, and may come back."""
        family = socket.AF_INET6 if ":" in output.address else socket.AF_INET
        where = (output.address, output.source_address, output.device)
        made = self._make_socket(family)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if output.device:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, output.device.encode())
            if output.source_address:
                made.bind((output.source_address, 0))
            made.connect((output.address, output.port))
        except OSError as error:
            if where not in self._told:
                self._told.add(where)
                source = f" from {output.source_address}" if output.source_address else ""
                through = f" through {output.device}" if output.device else ""
                _log.error("socket to {address}{source}{through}: {error}", address=output.address, source=source,
                           through=through, error=error.strerror)
            made.close()
            self.send_errors += 1
            return None
        self._told.discard(where)
        port = self._ports[output.lane] = _LanePort(self, made, output.lane)
        return port

    def _close(self, output: CloseLane) -> None:
        self._lanes.pop(output.lane, None)
        port = self._ports.pop(output.lane, None)
        if port is not None:
            port.close()

    def _transmit(self, output: Transmit) -> None:
        port = self._ports.get(output.lane) or self._socket(self._lanes[output.lane])
        if port is None:
            return
        try:
            port.socket.send(output.data)
        except OSError as error:
            self.send_errors += 1
            if error.errno in _UNREACHABLE:
                self.core.unreachable(output.lane, self.driver.now())
            if error.errno not in _OF_THE_MOMENT:
                # what it is bound to is gone: a new socket for what is sent next
                self._ports.pop(output.lane).close()

    def _changed(self, output: ServerDead | ServerAlive | AnswerDropped) -> None:
        self.server_changed(output)

    def _result(self, output: Result) -> None:
        deferred = self._waiting.pop(output.handle, None)
        if deferred is not None:
            deferred.callback(output)


class _ListeningPort(_Port):
    """:param address: as it was asked for, by which it is known."""

    def __init__(self, owner: DynamicAuthorizationPort, made: socket.socket, address: Address) -> None:
        self._owner = owner
        self.wanted = address
        self.address: Address = made.getsockname()[:2]
        self.any = is_wildcard(address[0])
        super().__init__(owner.reactor, made)

    def has(self, local: Address) -> bool:
        """Whether datagrams to an address come in here."""
        if not self.any:
            return self.address == local
        return self.address[1] == local[1] and (":" in self.address[0]) == (":" in local[0])

    def take(self) -> None:
        if not self.any:
            super().take()
            return
        data, ancillary, _, peer = self.socket.recvmsg(_LARGEST, _ANCILLARY)
        local = self.address
        for _, kind, value in ancillary:
            if kind == IP_PKTINFO and self.socket.family == socket.AF_INET:
                local = (socket.inet_ntoa(value[8:12]), local[1])
            elif kind == socket.IPV6_PKTINFO:
                local = (socket.inet_ntop(socket.AF_INET6, value[:16]), local[1])
        self.received(data, (peer[0], peer[1]), local)

    def received(self, data: bytes, peer: Address, local: Address | None = None) -> None:
        owner = self._owner
        try:
            owner.core.receive(data, peer, local or self.address, owner.wall(), owner.driver.now())
        except Exception:  # a fault of ours costs this datagram
            _log.failure("request from {peer}", peer=peer[0])

    def send(self, data: bytes, peer: Address, local: Address) -> None:
        """From the address that was asked: the client takes the answer from no other. Raises `OSError`."""
        if not self.any:
            self.socket.sendto(data, peer)
        elif self.socket.family == socket.AF_INET:
            info = bytes(4) + socket.inet_aton(local[0]) + bytes(4)
            self.socket.sendmsg((data,), ((socket.IPPROTO_IP, IP_PKTINFO, info),), 0, peer)
        else:
            # a link-local peer has its interface in its address
            info = socket.inet_pton(socket.AF_INET6, local[0]) + bytes(4)
            self.socket.sendmsg((data,), ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info),), 0, peer)

    def burst_done(self) -> None:
        self._owner.driver.drain()


class DynamicAuthorizationPort:
    """Listens for Disconnect-Request and CoA-Request (UDP port 3799), where `listen` says.

    :param wall: the time of day in seconds since 1970.
    :param asked: called with `Asked`; answers `acknowledge` or `refuse`, at once or later.
    :param discarded: called with `Discarded`.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        core: DynamicAuthorization,
        wall: Callable[[], float],
        asked: Callable[[Asked], None],
        make_socket: MakeSocket = udp_socket,
        discarded: Callable[[Discarded], None] = lambda output: None,
    ) -> None:
        self.reactor = reactor
        self.core = core
        self.wall = wall
        self.send_errors = 0
        self._make_socket = make_socket
        self.driver = Driver(core, {Respond: self._respond, Asked: asked, Discarded: discarded},
                             reactor)  # type: ignore[arg-type]
        self._ports: dict[Address, _ListeningPort] = {}
        self._device = ""

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return [port.address for port in self._ports.values()]

    def listen(self, addresses: Iterable[Address], device: str = "") -> dict[Address, str]:
        """Listen there and nowhere else; a socket that is there already loses nothing.

        :param device: VRF or interface that datagrams come from; empty: any.
        :return: what could not be, with the reason.
        """
        wanted = list(addresses)
        for address, port in list(self._ports.items()):
            if address not in wanted or device != self._device:
                port.close()
                del self._ports[address]
        self._device = device
        failed = {}
        for address in wanted:
            if address not in self._ports:
                try:
                    self._ports[address] = _ListeningPort(self, self._bound(address, device), address)
                except OSError as error:
                    # a host without IPv6 has no address that is meant by ::
                    if error.errno != EAFNOSUPPORT or not is_wildcard(address[0]):
                        failed[address] = error.strerror or str(error)
        return failed

    def _bound(self, address: Address, device: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        made = self._make_socket(family)
        try:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if is_wildcard(address[0]):
                if family == socket.AF_INET:
                    made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
                else:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            if device:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            # the address may come later than we, or only while we are the active one of two
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
        return made

    def acknowledge(self, handle: int) -> None:
        self.driver.call(self.core.acknowledge, handle)

    def refuse(self, handle: int, cause: int) -> None:
        """`cause`: a number of `dynauth.ERROR_CAUSES`."""
        self.driver.call(self.core.refuse, handle, cause)

    def stop(self) -> None:
        self.driver.stop()
        for port in self._ports.values():
            port.close()
        self._ports.clear()

    def _respond(self, output: Respond) -> None:
        port = next((port for port in self._ports.values() if port.has(output.local)), None)
        if port is None:
            return  # it is no longer listened to
        try:
            port.send(output.data, output.peer, output.local)
        except OSError:
            self.send_errors += 1
