"""What our own data paths have in common: the tables of listeners, tunnels, ports and interfaces, and the checks.

A subclass brings sockets and interfaces, or plays them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from prol2tp.dataplane.early import Early
from prol2tp.dataplane.forward import receive
from prol2tp.dataplane.interface import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    SYSTEM,
    UNSUPPORTED,
    Address,
    DataPathError,
    IDataPlane,
    IPathEvents,
    Listener,
    Netif,
    NetifSpec,
    SessionSpec,
    TunnelSpec,
)
from prol2tp.dataplane.links import Link, check_netif, check_rules
from prol2tp.dataplane.ports import Attachment, L2TPCarrier, Losses, Port, Receiver
from prol2tp.dataplane.prefixes import parse_prefix
from prol2tp.dataplane.tun import TUN
from prol2tp.dataplane.tunnels import Tunnel

ENDED_MAX = 50_000
"""Deleted ports whose counters stay readable."""

Result = TypeVar("Result")


@implementer(IPathEvents)
class NoEvents:
    """Nobody listens yet."""

    def frames_lost(self, port: int, count: int) -> None:
        """See `IPathEvents`."""

    def peer_moved(self, tunnel: int, peer: Address) -> None:
        """See `IPathEvents`."""

    def netif_gone(self, port: int, name: str) -> None:
        """See `IPathEvents`."""

    def overload(self, dropped: int) -> None:
        """See `IPathEvents`."""

    def path_lost(self, reason: str) -> None:
        """See `IPathEvents`."""


def _failing(method: Callable[..., Deferred[Result]]) -> Callable[..., Deferred[Result]]:
    """A `DataPathError` raised at once becomes the Deferred's failure."""

    def call(*args: Any, **kwargs: Any) -> Deferred[Result]:
        try:
            args[0].asked(method.__name__)
            return method(*args, **kwargs)
        except DataPathError as error:
            return fail(error)

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


def _fire(result: Any, waiting: list[Deferred[None]]) -> None:
    for done in waiting:
        done.callback(None)


def _together(waiting: list[Deferred]) -> Deferred[None]:
    if not waiting:
        return succeed(None)
    return DeferredList(waiting, consumeErrors=True).addCallback(lambda _: None)


@implementer(IDataPlane)
class BasePlane:
    """Tables and checks. Subclasses give the methods whose names begin with `open_`, `close_`, `watch_`, ..."""

    name = ""

    def __init__(self) -> None:
        self.events: IPathEvents = NoEvents()
        self.listeners: dict[int, Any] = {}
        self.tunnels: dict[int, Tunnel] = {}
        self.ports: dict[int, Port] = {}
        self.links: dict[str, Link] = {}
        """Shared interfaces by the name asked for."""
        self.ended: OrderedDict[int, tuple] = OrderedDict()
        self.losses = Losses()
        self.bad_headers = 0
        """Datagrams that are no valid data message."""
        self.unknown_sessions = 0
        """Data messages for sessions that are not there, or not yet."""
        self.early = Early()
        self._last_id = 0

    # -- what a subclass brings --

    def asked(self, operation: str) -> None:
        """Called before each operation; may raise `DataPathError`."""

    def seconds(self) -> float:
        raise NotImplementedError

    def open_listener(self, identifier: int, address: Address) -> tuple[Any, Listener]:
        raise NotImplementedError

    def close_listener(self, listener: Any) -> None:
        raise NotImplementedError

    def open_link(self, name: str, multicast: bool, shared: bool) -> Deferred[TUN]:
        raise NotImplementedError

    def close_link(self, link: Link) -> Deferred[None]:
        raise NotImplementedError

    def watch_link(self, link: Link) -> None:
        """Packets from the interface: to `forward.encapsulate` of its port."""
        raise NotImplementedError

    def writer(self, link: Link) -> Callable[[bytes], object]:
        """A function that gives a packet to the interface."""
        raise NotImplementedError

    def session_changed(self, carrier: L2TPCarrier) -> None:
        """A short way of receiving must be worked out anew."""

    def expire_at(self, carrier: L2TPCarrier, deadline: float) -> None:
        """Call the carrier's `expire` then; asked for again while the timer runs, nothing happens."""
        raise NotImplementedError

    # -- IDataPlane --

    def start(self, events: IPathEvents) -> Deferred[None]:
        self.events = events
        return succeed(None)

    def stop(self, keep: bool = False) -> Deferred[None]:
        waiting = [self.tunnel_delete(tunnel) for tunnel in list(self.tunnels)]
        for listener in list(self.listeners):
            self.unlisten(listener)
        self.events = NoEvents()
        return _together(waiting)

    @_failing
    def listen(self, address: Address) -> Deferred[Listener]:
        taken = [entry for entry in self.listeners.values() if entry.address == tuple(address)]
        if taken:
            raise DataPathError(IN_USE, f"{address[0]} port {address[1]} is listened on already")
        identifier = self._next_id()
        self.listeners[identifier], answer = self.open_listener(identifier, address)
        return succeed(answer)

    @_failing
    def unlisten(self, listener: int) -> Deferred[None]:
        entry = self._find(self.listeners, listener, "listener")
        if entry.tunnels:
            raise DataPathError(IN_USE, f"listener {listener} has tunnels")
        del self.listeners[listener]
        self.close_listener(entry)
        return succeed(None)

    @_failing
    def tunnel_add(self, spec: TunnelSpec) -> Deferred[int]:
        listener = self._find(self.listeners, spec.listener, "listener")
        if spec.version != 2:
            raise DataPathError(UNSUPPORTED, f"L2TP version {spec.version}")
        if not 0 < spec.tunnel_id <= 0xFFFF or not 0 < spec.peer_tunnel_id <= 0xFFFF:
            raise DataPathError(INVALID, "a tunnel id of version 2 is 1 to 65535")
        try:
            tunnel = Tunnel(self._last_id + 1, spec, listener, self.losses)
        except (OSError, ValueError) as error:
            raise DataPathError(INVALID, f"tunnel to {spec.peer[0]}: {error}") from None
        self.tunnels[self._next_id()] = tunnel
        listener.tunnels.add(tunnel.id)
        return succeed(tunnel.id)

    @_failing
    def tunnel_modify(self, tunnel: int, peer: Address) -> Deferred[None]:
        entry = self._find(self.tunnels, tunnel, "tunnel")
        try:
            entry.move(peer)
        except (OSError, ValueError) as error:
            raise DataPathError(INVALID, f"tunnel to {peer[0]}: {error}") from None
        for port in entry.ports:
            self.ports[port].prepare()
        return succeed(None)

    @_failing
    def tunnel_delete(self, tunnel: int) -> Deferred[None]:
        entry = self._find(self.tunnels, tunnel, "tunnel")
        waiting: list[Deferred] = [self.port_delete(port) for port in list(entry.ports)]
        del self.tunnels[tunnel]
        self.listeners[entry.spec.listener].tunnels.discard(tunnel)
        return _together(waiting)

    @_failing
    def session_add(self, spec: SessionSpec) -> Deferred[int]:
        tunnel = self._find(self.tunnels, spec.tunnel, "tunnel")
        if spec.pseudowire != "ppp":
            raise DataPathError(UNSUPPORTED, f"pseudowire type {spec.pseudowire}")
        if not 0 < spec.session_id <= 0xFFFF or not 0 < spec.peer_session_id <= 0xFFFF:
            raise DataPathError(INVALID, "a session id of version 2 is 1 to 65535")
        listener = self.listeners[tunnel.spec.listener]
        if tunnel.spec.tunnel_id << 16 | spec.session_id in listener.carriers:
            raise DataPathError(IN_USE, f"session {tunnel.spec.tunnel_id}/{spec.session_id} is there already")
        port = Port(self._next_id(), self.losses)
        carrier = port.carrier = L2TPCarrier(port, tunnel, spec, self.session_changed)
        listener.carriers[carrier.key] = carrier
        tunnel.ports.add(port.id)
        self.ports[port.id] = port
        port.prepare()
        now = self.seconds()
        for data, source in self.early.take(listener.id, carrier.key, now):
            receive(self, listener, data, source, now)
        return succeed(port.id)

    @_failing
    def port_modify(self, port: int, send_sequence: bool | None = None, receive_sequence: bool | None = None,
                    pcomp: bool | None = None, accomp: bool | None = None) -> Deferred[None]:
        entry = self._port(port)
        carrier = entry.carrier
        if isinstance(carrier, L2TPCarrier):
            if send_sequence is not None:
                carrier.send_sequence = send_sequence
            if receive_sequence is not None and receive_sequence != (carrier.sequence is not None):
                carrier.expect_sequence(receive_sequence)
        if pcomp is not None:
            entry.pcomp = pcomp
        if accomp is not None:
            entry.accomp = accomp
        entry.prepare()
        return succeed(None)

    @_failing
    def port_delete(self, port: int) -> Deferred[tuple]:
        entry = self._port(port)
        carrier = entry.carrier
        self._unswitch(entry)
        entry.receiver = None
        gone = self._detach(entry)
        del self.ports[port]
        if isinstance(carrier, L2TPCarrier):
            listener = self.listeners[carrier.tunnel.spec.listener]
            del listener.carriers[carrier.key]
            carrier.tunnel.ports.discard(port)
        counters = self.ended[port] = entry.counters(self.seconds())
        if len(self.ended) > ENDED_MAX:
            self.ended.popitem(last=False)
        return gone.addCallback(lambda _: counters)

    def port_receiver(self, port: int, callback: Receiver | None) -> None:
        entry = self.ports.get(port)
        if entry is not None:
            entry.set_receiver(callback)

    def port_send(self, port: int, frame: bytes) -> None:
        entry = self.ports.get(port)
        if entry is not None:
            entry.send(frame)

    @_failing
    def netif_attach(self, port: int, spec: NetifSpec) -> Deferred[Netif]:
        entry = self._port(port)
        check_netif(spec)
        if entry.peer is not None or entry.attachment is not None or entry.pending is not None:
            raise DataPathError(IN_USE, f"port {port} is joined or has an interface already")
        shared = spec.mode == "shared"
        link = self.links.get(spec.name) if shared else None
        new = link is None
        if link is None:
            link = Link(spec.name, shared)
            if shared:
                self.links[spec.name] = link
        token = entry.pending = (link,)
        link.ports.add(entry)
        ready = self._link_ready(link)
        if new:
            # last: it may answer at once, and a link without ports and waiters is closed again
            self.open_link(spec.name, spec.multicast, shared).addCallbacks(
                self._link_opened, self._link_failed, callbackArgs=(link,), errbackArgs=(link,))
        ready.addCallbacks(lambda _: self._attach(entry, link, spec, token),
                           lambda failure: self._not_attached(entry, token, failure))
        return ready

    @_failing
    def netif_modify(self, port: int, protocols: tuple[str, ...] | None = None,
                     prefixes: tuple[str, ...] | None = None, mtu: int | None = None) -> Deferred[None]:
        entry = self._port(port)
        attachment = entry.attachment
        if attachment is None:
            raise DataPathError(NOT_FOUND, f"port {port} has no interface")
        check_rules(protocols, prefixes, mtu)
        if protocols is not None:
            attachment.protocols = frozenset(protocols)
        if mtu is not None:
            attachment.mtu = mtu
        if prefixes is not None:
            self._forget_prefixes(entry, attachment)
            attachment.prefixes = [parse_prefix(text) for text in prefixes]
            self._set_prefixes(entry, attachment)
        entry.prepare()
        return succeed(None)

    @_failing
    def netif_detach(self, port: int) -> Deferred[None]:
        entry = self._port(port)
        if entry.attachment is None and entry.pending is None:
            raise DataPathError(NOT_FOUND, f"port {port} has no interface")
        return self._detach(entry)

    @_failing
    def switch_add(self, port: int, other: int) -> Deferred[None]:
        one, two = self._port(port), self._port(other)
        if one is two:
            raise DataPathError(INVALID, f"port {port} cannot be joined to itself")
        for entry in (one, two):
            if entry.peer is not None or entry.attachment is not None or entry.pending is not None:
                raise DataPathError(IN_USE, f"port {entry.id} is joined or has an interface already")
        one.peer, two.peer = two, one
        for entry in (one, two):
            early, entry.early = entry.early, []
            for frame in early:
                entry.peer.send(frame)  # type: ignore[union-attr]
            entry.prepare()
        return succeed(None)

    @_failing
    def switch_delete(self, port: int) -> Deferred[None]:
        entry = self._port(port)
        if entry.peer is None:
            raise DataPathError(NOT_FOUND, f"port {port} is not joined")
        self._unswitch(entry)
        return succeed(None)

    @_failing
    def counters(self, ports: list[int] | None = None) -> Deferred[dict[int, tuple]]:
        now = self.seconds()
        if ports is None:
            return succeed({identifier: port.counters(now) for identifier, port in self.ports.items()})
        found = {}
        for identifier in ports:
            port = self.ports.get(identifier)
            if port is not None:
                found[identifier] = port.counters(now)
            elif identifier in self.ended:
                found[identifier] = self.ended[identifier]
        return succeed(found)

    # -- interfaces --

    def link_gone(self, link: Link) -> None:
        """Somebody else removed an interface."""
        name = link.tun.name if link.tun else link.name
        for port in list(link.ports):
            self._detach(port)
            self.events.netif_gone(port.id, name)

    def _link_ready(self, link: Link) -> Deferred[Any]:
        if link.tun is not None:
            return succeed(None)
        ready: Deferred[None] = Deferred()
        link.waiting.append(ready)
        return ready

    def _link_opened(self, tun: TUN, link: Link) -> None:
        link.tun = tun
        if link.ports:
            try:
                self.watch_link(link)
            except OSError as error:
                self.close_link(link)
                self._link_failed(Failure(DataPathError(SYSTEM, f"interface {tun.name}: {error.strerror}")), link)
                return
        waiting, link.waiting = link.waiting, []
        leaving, link.leaving = link.leaving, []
        if link.ports:
            _fire(None, leaving)
        else:
            self._forget_link(link)
            self.close_link(link).addBoth(_fire, leaving)
        for ready in waiting:
            ready.callback(None)

    def _link_failed(self, failure: Failure, link: Link) -> None:
        self._forget_link(link)
        link.ports.clear()
        _fire(None, link.leaving)
        waiting, link.waiting = link.waiting, []
        for ready in waiting:
            ready.errback(failure)

    def _attach(self, port: Port, link: Link, spec: NetifSpec, token: object) -> Netif:
        if port.pending is not token:
            raise DataPathError(NOT_FOUND, f"port {port.id} was deleted or detached")
        assert link.tun is not None
        port.pending = None
        port.attachment = Attachment(spec, self.writer(link), link)
        self._set_prefixes(port, port.attachment)
        port.prepare()
        return Netif(link.tun.name, link.tun.ifindex)

    @staticmethod
    def _not_attached(port: Port, token: object, failure: Failure) -> Failure:
        if port.pending is token:
            port.pending = None
        return failure

    def _detach(self, port: Port) -> Deferred[None]:
        """Also ends an attachment that is being made."""
        attachment, port.attachment = port.attachment, None
        if attachment is not None:
            link: Link = attachment.link  # type: ignore[assignment]
            self._forget_prefixes(port, attachment)
            port.prepare()
        elif port.pending is not None:
            link = port.pending[0]  # type: ignore[assignment]
        else:
            port.prepare()
            return succeed(None)
        port.pending = None
        link.ports.discard(port)
        if link.ports:
            return succeed(None)
        if link.tun is not None:
            self._forget_link(link)
            return self.close_link(link)
        gone: Deferred[None] = Deferred()
        link.leaving.append(gone)
        return gone

    def _forget_link(self, link: Link) -> None:
        if self.links.get(link.name) is link:
            del self.links[link.name]

    def _set_prefixes(self, port: Port, attachment: Attachment) -> None:
        table = attachment.link.table  # type: ignore[attr-defined]
        if table is not None:
            for network, bits in attachment.prefixes:
                table.add(network, bits, port)

    def _forget_prefixes(self, port: Port, attachment: Attachment) -> None:
        table = attachment.link.table  # type: ignore[attr-defined]
        if table is not None:
            for network, bits in attachment.prefixes:
                table.remove(network, bits, port)

    # -- the rest --

    def _unswitch(self, port: Port) -> None:
        other, port.peer = port.peer, None
        if other is not None:
            other.peer = None
            other.prepare()
            port.prepare()

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _port(self, port: int) -> Port:
        return self._find(self.ports, port, "port")

    @staticmethod
    def _find(table: dict[int, Any], identifier: int, what: str) -> Any:
        entry = table.get(identifier)
        if entry is None:
            raise DataPathError(NOT_FOUND, f"there is no {what} {identifier}")
        return entry
