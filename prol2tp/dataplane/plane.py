"""What our own data paths have in common: the tables of listeners, tunnels, ports and interfaces, and the checks.

A subclass brings sockets and interfaces, or plays them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from prol2tp.dataplane import l2tpv3
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.carrier3 import L2TPv3Carrier
from prol2tp.dataplane.compression import CODECS, Compression
from prol2tp.dataplane.early import Early
from prol2tp.dataplane.forward import receive
from prol2tp.dataplane.interface import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    UNSUPPORTED,
    Address,
    DataPathError,
    IDataPlane,
    IPathEvents,
    Listener,
    SessionSpec,
    TunnelSpec,
)
from prol2tp.dataplane.lines import Lines
from prol2tp.dataplane.links import Link
from prol2tp.dataplane.netifs import Netifs, failing, together
from prol2tp.dataplane.policing import Policer
from prol2tp.dataplane.ports import CLOSED, Losses, Port, Receiver
from prol2tp.dataplane.pppoe import PPPoECarrier
from prol2tp.dataplane.pseudowires import PSEUDOWIRES, EthernetPort, check_vlan
from prol2tp.dataplane.tunnels import Tunnel

ENCAPSULATIONS = ("udp", "ip")
RATE_MAX = 10**13
"""bit/s."""

ENDED_MAX = 50_000
"""Deleted ports whose counters stay readable."""


@implementer(IPathEvents)
class NoEvents:
    """Nobody listens yet."""

    def frames_lost(self, port: int, count: int) -> None:
        """See `IPathEvents`."""

    def peer_moved(self, tunnel: int, peer: Address) -> None:
        """See `IPathEvents`."""

    def netif_gone(self, port: int, name: str) -> None:
        """See `IPathEvents`."""

    def carrier_lost(self, port: int, reason: str) -> None:
        """See `IPathEvents`."""

    def decompression_failed(self, port: int) -> None:
        """See `IPathEvents`."""

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        """See `IPathEvents`."""

    def overload(self, dropped: int) -> None:
        """See `IPathEvents`."""

    def path_lost(self, reason: str) -> None:
        """See `IPathEvents`."""


def check_tunnel(spec: TunnelSpec, encapsulation: str) -> None:
    """Raises `DataPathError`. The encapsulation is the listener's."""
    if spec.version not in (2, l2tpv3.VERSION):
        raise DataPathError(UNSUPPORTED, f"L2TP version {spec.version}")
    largest = 0xFFFF if spec.version == 2 else 0xFFFFFFFF
    if not 0 < spec.tunnel_id <= largest or not 0 < spec.peer_tunnel_id <= largest:
        raise DataPathError(INVALID, f"a tunnel id of version {spec.version} is 1 to {largest}")
    if spec.encapsulation != encapsulation or (encapsulation == "ip" and spec.version == 2):
        raise DataPathError(INVALID, f"version {spec.version} over {spec.encapsulation} on a listener of "
                                     f"{encapsulation}")


def check_session(spec: SessionSpec, version: int) -> None:
    """Raises `DataPathError`."""
    third = version == l2tpv3.VERSION
    if spec.pseudowire != "ppp" and not (third and spec.pseudowire in PSEUDOWIRES):
        raise DataPathError(UNSUPPORTED, f"pseudowire type {spec.pseudowire} in version {version}")
    largest = 0xFFFFFFFF if third else 0xFFFF
    if not 0 < spec.session_id <= largest or not 0 < spec.peer_session_id <= largest:
        raise DataPathError(INVALID, f"a session id of version {version} is 1 to {largest}")
    for cookie in (spec.cookie, spec.peer_cookie):
        if len(cookie) not in (l2tpv3.COOKIE_LENGTHS if third else (0,)):
            raise DataPathError(INVALID, f"a cookie of {len(cookie)} octets in version {version}")
    if spec.send_sequence and third and not spec.send_sublayer:
        raise DataPathError(INVALID, "numbers of version 3 stand in the sublayer: there is none to send")
    check_vlan(spec.pseudowire, spec.vlan)


def bare(port: Port, other: Port) -> bool:
    """What `port` passes on to `other` comes without FF 03, and goes with it."""
    return isinstance(port.carrier, PPPoECarrier) and not isinstance(other.carrier, PPPoECarrier)


@implementer(IDataPlane)
class BasePlane(Netifs, Lines):
    """Tables and checks. Subclasses give the methods whose names begin with `open_`, `close_`, `watch_`, ..."""

    name = ""
    codecs = tuple(CODECS)
    instance = ""
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.events: IPathEvents = NoEvents()
        self.listeners: dict[int, Any] = {}
        self.ethernets: dict[int, Any] = {}
        self.interfaces_open: dict[tuple[str, bool], Any] = {}
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

    def open_listener(self, identifier: int, address: Address, encapsulation: str) -> tuple[Any, Listener]:
        raise NotImplementedError

    def close_listener(self, listener: Any) -> None:
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
        waiting: list[Deferred[Any]] = [self.tunnel_delete(tunnel) for tunnel in list(self.tunnels)]
        for listener in list(self.listeners):
            self.unlisten(listener)
        waiting += [self.ethernet_delete(ethernet) for ethernet in list(self.ethernets)]
        waiting += [self.port_delete(port) for port in list(self.ports)]
        self.events = NoEvents()
        return together(waiting)

    @failing
    def listen(self, address: Address, encapsulation: str = "udp") -> Deferred[Listener]:
        if encapsulation not in ENCAPSULATIONS:
            raise DataPathError(INVALID, f"encapsulation {encapsulation!r} is neither udp nor ip")
        over_ip = encapsulation == "ip"
        taken = [entry for entry in self.listeners.values()
                 if entry.address == tuple(address) and (entry.encapsulation == "ip") is over_ip]
        if taken:
            where = "protocol 115" if over_ip else f"port {address[1]}"
            raise DataPathError(IN_USE, f"{address[0]} {where} is listened on already")
        identifier = self.next_id()
        listener, answer = self.open_listener(identifier, address, encapsulation)
        listener.encapsulation = encapsulation
        self.listeners[identifier] = listener
        return succeed(answer)

    @failing
    def unlisten(self, listener: int) -> Deferred[None]:
        entry = self._find(self.listeners, listener, "listener")
        if entry.tunnels:
            raise DataPathError(IN_USE, f"listener {listener} has tunnels")
        del self.listeners[listener]
        self.close_listener(entry)
        return succeed(None)

    @failing
    def tunnel_add(self, spec: TunnelSpec) -> Deferred[int]:
        listener = self._find(self.listeners, spec.listener, "listener")
        check_tunnel(spec, listener.encapsulation)
        try:
            tunnel = Tunnel(self._last_id + 1, spec, listener, self.losses)
        except (OSError, ValueError) as error:
            raise DataPathError(INVALID, f"tunnel to {spec.peer[0]}: {error}") from None
        self.tunnels[self.next_id()] = tunnel
        listener.tunnels.add(tunnel.id)
        return succeed(tunnel.id)

    @failing
    def tunnel_modify(self, tunnel: int, peer: Address) -> Deferred[None]:
        entry = self._find(self.tunnels, tunnel, "tunnel")
        try:
            entry.move(peer)
        except (OSError, ValueError) as error:
            raise DataPathError(INVALID, f"tunnel to {peer[0]}: {error}") from None
        for port in entry.ports:
            self.ports[port].prepare()
        return succeed(None)

    @failing
    def tunnel_delete(self, tunnel: int) -> Deferred[None]:
        entry = self._find(self.tunnels, tunnel, "tunnel")
        waiting: list[Deferred] = [self.port_delete(port) for port in list(entry.ports)]
        del self.tunnels[tunnel]
        self.listeners[entry.spec.listener].tunnels.discard(tunnel)
        return together(waiting)

    @failing
    def session_add(self, spec: SessionSpec) -> Deferred[int]:
        tunnel = self._find(self.tunnels, spec.tunnel, "tunnel")
        check_session(spec, tunnel.spec.version)
        listener = self.listeners[tunnel.spec.listener]
        third = tunnel.spec.version == l2tpv3.VERSION
        table = listener.carriers3 if third else listener.carriers
        key = spec.session_id if third else tunnel.spec.tunnel_id << 16 | spec.session_id
        if key in table:
            raise DataPathError(IN_USE, f"session {tunnel.spec.tunnel_id}/{spec.session_id} is there already")
        if spec.pseudowire in PSEUDOWIRES:
            port: Port = EthernetPort(self.next_id(), self.losses, spec.pseudowire, spec.vlan)
        else:
            port = Port(self.next_id(), self.losses)
        of_version = L2TPv3Carrier if third else L2TPCarrier
        carrier = port.carrier = of_version(port, tunnel, spec, self.session_changed)
        carrier.table = table
        table[key] = carrier
        tunnel.ports.add(port.id)
        self.ports[port.id] = port
        port.prepare()
        now = self.seconds()
        for data, source in self.early.take(listener.id, l2tpv3.EARLY_KEY | key if third else key, now):
            receive(self, listener, data, source, now)
        return succeed(port.id)

    @failing
    def port_modify(self, port: int, send_sequence: bool | None = None, receive_sequence: bool | None = None,
                    pcomp: bool | None = None, accomp: bool | None = None, send_accm: int | None = None,
                    receive_accm: int | None = None, rate_up: int | None = None,
                    rate_down: int | None = None) -> Deferred[None]:
        entry = self.find_port(port)
        for rate in (rate_up or 0, rate_down or 0):
            if not 0 <= rate <= RATE_MAX:
                raise DataPathError(INVALID, f"{rate} is not a rate in bit/s")
            if rate and isinstance(entry, EthernetPort):
                raise DataPathError(UNSUPPORTED, f"port {port} carries Ethernet, which is not policed")
        entry.carrier.modify(send_sequence, receive_sequence, send_accm, receive_accm)
        if pcomp is not None:
            entry.pcomp = pcomp
        if accomp is not None:
            # frames of PPPoE never have the fields, whatever LCP has agreed on (RFC 2516 section 7)
            entry.accomp = accomp or isinstance(entry.carrier, PPPoECarrier)
        if rate_up is not None:
            entry.up = Policer(rate_up, self.seconds) if rate_up else None
        if rate_down is not None:
            entry.down = Policer(rate_down, self.seconds) if rate_down else None
        entry.prepare()
        return succeed(None)

    @failing
    def port_delete(self, port: int) -> Deferred[tuple]:
        entry = self.find_port(port)
        self._unswitch(entry)
        entry.receiver = None
        gone = self._detach(entry)
        del self.ports[port]
        entry.carrier.close()
        counters = self.ended[port] = entry.counters(self.seconds())
        entry.carrier = CLOSED  # no cycle is left for the garbage collector
        if len(self.ended) > ENDED_MAX:
            self.ended.popitem(last=False)
        return gone.addCallback(lambda _: counters)

    @failing
    def port_compress(self, port: int, send: str = "", receive: str = "", send_option: bytes = b"",
                      receive_option: bytes = b"", send_key: bytes = b"", receive_key: bytes = b"") -> Deferred[None]:
        entry = self.find_port(port)
        if entry.peer is not None:
            raise DataPathError(IN_USE, f"port {port} is joined")
        if isinstance(entry, EthernetPort):
            raise DataPathError(UNSUPPORTED, f"port {port} carries Ethernet, which is not compressed")
        if send_key or receive_key:
            raise DataPathError(UNSUPPORTED, "this data path does not encrypt")
        compression = entry.compression or Compression()
        compression.set(send, receive, send_option, receive_option, lambda: self.events.decompression_failed(port))
        entry.compress(compression if send or receive else None, self.seconds())
        return succeed(None)

    def port_reset(self, port: int) -> None:
        entry = self.ports.get(port)
        if entry is not None and entry.compression is not None and entry.compression.compressor is not None:
            entry.compression.compressor.reset()

    def port_receiver(self, port: int, callback: Receiver | None) -> None:
        entry = self.ports.get(port)
        if entry is not None:
            entry.set_receiver(callback)

    def port_send(self, port: int, frame: bytes) -> None:
        entry = self.ports.get(port)
        if entry is not None:
            entry.send(frame)

    @failing
    def switch_add(self, port: int, other: int) -> Deferred[None]:
        one, two = self.find_port(port), self.find_port(other)
        if one is two:
            raise DataPathError(INVALID, f"port {port} cannot be joined to itself")
        for entry in (one, two):
            if entry.peer is not None or entry.attachment is not None or entry.pending is not None:
                raise DataPathError(IN_USE, f"port {entry.id} is joined or has an interface already")
        one.peer, two.peer = two, one
        one.bare, two.bare = bare(one, two), bare(two, one)
        for entry in (one, two):
            early, entry.early = entry.early, []
            for frame in early:
                entry.pass_on(frame)
            entry.prepare()
        return succeed(None)

    @failing
    def switch_delete(self, port: int) -> Deferred[None]:
        entry = self.find_port(port)
        if entry.peer is None:
            raise DataPathError(NOT_FOUND, f"port {port} is not joined")
        self._unswitch(entry)
        return succeed(None)

    @failing
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

    # -- the rest --

    def _unswitch(self, port: Port) -> None:
        other, port.peer = port.peer, None
        if other is not None:
            other.peer = None
            other.bare = port.bare = False
            other.prepare()
            port.prepare()

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def find_port(self, port: int) -> Port:
        return self._find(self.ports, port, "port")

    @staticmethod
    def _find(table: dict[int, Any], identifier: int, what: str) -> Any:
        entry = table.get(identifier)
        if entry is None:
            raise DataPathError(NOT_FOUND, f"there is no {what} {identifier}")
        return entry
