"""One daemon's part of the data path: what it made, what it receives, and what it asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.common.wire import WireError
from prol2tp.daemons.pathd.removal import Removal
from prol2tp.dataplane import records
from prol2tp.dataplane.channel import Channel
from prol2tp.dataplane.interface import (
    GONE,
    IN_USE,
    INVALID,
    NOT_FOUND,
    SYSTEM,
    DataPathError,
    Listener,
    Netif,
    NetifSpec,
)

if TYPE_CHECKING:
    from prol2tp.daemons.pathd.server import PathServer


class Owner:
    """A daemon by its connection; `channel` is None while it is held for a daemon that crashed."""

    def __init__(self, server: PathServer, name: str) -> None:
        self.server = server
        self.plane = server.plane
        self.name = name
        self.channel: Channel | None = None
        self.listeners: set[int] = set()
        self.tunnels: set[int] = set()
        self.ethernets: set[int] = set()
        self.ports: set[int] = set()
        self.netifs: set[int] = set()
        """Ports whose interface it attached; the port may be another's."""
        self.receiving: set[int] = set()
        self.switched: set[int] = set()
        self.altered: set[int] = set()
        """Ports that were told how to send; the port may be another's."""
        self.expiry: Any = None
        self.stopping = False
        self.removal: Removal | None = None
        self._removals: dict[tuple[str, int], Removal] = {}
        self._lost: dict[int, int] = {}
        self._log = Logger()

    # -- records in --

    def received(self, datagram: bytes) -> None:
        """A datagram of the daemon. Raises `WireError`."""
        send = self.plane.port_send
        for kind, code, identifier, body in records.split(datagram):
            if kind == records.FRAME:
                send(identifier, body)
            elif kind == records.REQUEST:
                operation, values = records.decode_request(code, body)
                self._request(operation.name, identifier, values)
            else:
                raise WireError(f"a daemon may not send records of kind {kind}")

    def _request(self, name: str, identifier: int, values: list[Any]) -> None:
        if name == "counters":
            self._counters(identifier, *values)
            return
        try:
            if self.stopping:
                raise DataPathError(GONE, f"{self.name} has stopped")
            answer = getattr(self, f"_do_{name}")(*values)
        except DataPathError as error:
            self._refuse(name, identifier, error)
            return
        except Exception:
            self._log.failure("operation {name}", name=name)
            self._refuse(name, identifier, DataPathError(SYSTEM, "internal error"))
            return
        if isinstance(answer, Deferred):
            answer.addCallbacks(lambda result: self._reply(name, identifier, result),
                                lambda failure: self._failed(name, identifier, failure))
        else:
            self._reply(name, identifier, answer)

    def _reply(self, name: str, identifier: int, result: Any) -> None:
        channel = self.channel
        if isinstance(result, Listener):
            if channel is None:
                os.close(result.control)
                return
            values = (result.id, result.address, result.relay)
            channel.send_descriptor(records.encode_reply(identifier, name, values), result.control)
        elif isinstance(result, Netif):
            self.send(records.encode_reply(identifier, name, (result.name, result.ifindex)))
        elif identifier:
            self.send(records.encode_reply(identifier, name, () if result is None else result))

    def _failed(self, name: str, identifier: int, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, DataPathError):
            self._log.failure("operation {name}", failure, name=name)
            error = DataPathError(SYSTEM, str(error))
        self._refuse(name, identifier, error)

    def _refuse(self, name: str, identifier: int, error: DataPathError) -> None:
        if identifier:
            self.send(records.encode_error(identifier, name, error.code, error.text))

    def send(self, record: bytes) -> None:
        if self.channel is not None:
            self.channel.send(record)

    # -- operations: each returns a Deferred or the reply's values --

    def _do_hello(self, version: int, owner: str) -> Any:
        raise DataPathError(INVALID, "hello was said already")

    def _do_start(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.plane.codecs, self.plane.notes

    def _do_stop(self, keep: bool) -> Deferred[None]:
        self.stopping = True
        return self.server.leave(self, keep)

    def _do_listen(self, address: Any, encapsulation: str) -> Deferred[Listener]:
        def listening(listener: Listener) -> Listener:
            self.listeners.add(listener.id)
            return listener

        return self.plane.listen(address, encapsulation).addCallback(listening)

    def _do_unlisten(self, listener: int) -> Deferred[None]:
        unlistened = self.plane.unlisten(listener).addErrback(self._again, self.plane.unlisten, listener)
        return unlistened.addCallback(lambda _: self.server.forget_listener(listener))

    def _do_tunnel_add(self, *values: Any) -> Deferred[tuple[int]]:
        spec = records.TunnelSpec(*values)

        def added(tunnel: int) -> tuple[int]:
            self.tunnels.add(tunnel)
            return (tunnel,)

        return self.plane.tunnel_add(spec).addCallback(added)

    def _do_tunnel_modify(self, tunnel: int, peer: Any) -> Deferred[None]:
        return self.plane.tunnel_modify(tunnel, peer)

    def _do_tunnel_delete(self, tunnel: int) -> Deferred[None]:
        if tunnel not in self.plane.tunnels:
            return self.plane.tunnel_delete(tunnel)
        return self._remove("tunnel", tunnel, self._tunnel(tunnel))

    def _do_session_add(self, *values: Any) -> Deferred[tuple[int]]:
        spec = records.SessionSpec(*values)
        added = self.plane.session_add(spec)
        if self._removals:
            added.addErrback(self._again, self.plane.session_add, spec)
        return added.addCallback(self._added)

    def _again(self, failure: Failure, method: Callable[..., Deferred[Any]], *arguments: Any) -> Any:
        """What is in the way may be half taken away already."""
        if failure.check(DataPathError) is None or failure.value.code != IN_USE:
            return failure
        for removal in list(self._removals.values()):
            removal.finish()
        return method(*arguments)

    def _added(self, port: int) -> tuple[int]:
        self.ports.add(port)
        return (port,)

    def _do_ethernet_add(self, interface: str, tagged: bool, strays: bool) -> Deferred[tuple[int]]:
        def added(ethernet: int) -> tuple[int]:
            self.ethernets.add(ethernet)
            return (ethernet,)

        return self.plane.ethernet_add(interface, tagged, strays).addCallback(added)

    def _do_ethernet_delete(self, ethernet: int) -> Deferred[None]:
        if ethernet not in self.plane.ethernets:
            return self.plane.ethernet_delete(ethernet)
        return self._remove("Ethernet interface", ethernet, self._ethernet(ethernet))

    def _do_pppoe_add(self, *values: Any) -> Deferred[tuple[int]]:
        return self.plane.pppoe_add(records.PPPoESpec(*values)).addCallback(self._added)

    def _do_tty_add(self, *values: Any) -> Deferred[tuple[int]]:
        return self.plane.tty_add(records.TtySpec(*values)).addCallback(self._added)

    def _do_port_modify(self, port: int, *values: Any) -> Deferred[None]:
        return self.plane.port_modify(port, *values).addCallback(self._altered, port)

    def _altered(self, _: None, port: int) -> None:
        self.altered.add(port)

    def _do_port_compress(self, port: int, *values: Any) -> Deferred[None]:
        return self.plane.port_compress(port, *values).addCallback(self._altered, port)

    def _do_port_reset(self, port: int) -> None:
        self.plane.port_reset(port)

    def _do_port_delete(self, port: int) -> Deferred[tuple[dict[int, tuple]]]:
        deleted = self.plane.port_delete(port)
        self.server.forget_port(port)
        return deleted.addCallback(lambda counters: ({port: counters},))

    def _do_port_receiver(self, port: int, wanted: bool) -> None:
        if port not in self.plane.ports:
            return
        if wanted:
            for owner in self.server.owners:
                owner.receiving.discard(port)
            self.receiving.add(port)
            self.plane.port_receiver(port, partial(self._frame, port))
        elif port in self.receiving:
            self.receiving.discard(port)
            self.plane.port_receiver(port, None)

    def _do_netif_attach(self, port: int, *values: Any) -> Deferred[Netif]:
        spec = NetifSpec(*values)

        def attached(netif: Netif) -> Netif:
            if port in self.plane.ports:
                self.netifs.add(port)
                if self.stopping:
                    self._do_netif_detach(port)
            return netif

        return self.plane.netif_attach(port, spec).addCallback(attached)

    def _do_netif_modify(self, *values: Any) -> Deferred[None]:
        return self.plane.netif_modify(*values)

    def _do_netif_detach(self, port: int) -> Deferred[None]:
        detached = self.plane.netif_detach(port)
        self.server.forget_netif(port)
        return detached

    def _do_switch_add(self, port: int, other: int) -> Deferred[None]:
        return self.plane.switch_add(port, other).addCallback(lambda _: self._switched(port))

    def _do_switch_delete(self, port: int) -> Deferred[None]:
        return self.plane.switch_delete(port)

    def _switched(self, port: int) -> None:
        self.switched.add(port)

    def _counters(self, identifier: int, every: bool, ports: list[int], at: int = 0) -> None:
        """A page in each turn of the reactor, so that packets and others have theirs between."""
        if every:
            ports = list(self.plane.ports)
        following = at + records.ROWS_MAX
        last = following >= len(ports)

        def page(rows: dict[int, tuple]) -> None:
            self.send(records.encode_reply(identifier, "counters", (rows,), last))

        self.plane.counters(ports[at:following]).addCallback(page)
        if not last and self.channel is not None:
            self.server.reactor.callLater(0, self._counters, identifier, False, ports, following)

    # -- frames and events out --

    def _frame(self, port: int, frame: bytes) -> None:
        channel = self.channel
        if channel is None or not channel.send_frame(port, frame):
            self._lost[port] = self._lost.get(port, 0) + 1
            self.server.lossy.add(self)

    def report_lost(self) -> None:
        """Say which frames were dropped since the last time."""
        lost, self._lost = self._lost, {}
        for port, count in lost.items():
            self.event("frames_lost", port, count)

    def event(self, name: str, *values: Any) -> None:
        if self.channel is not None and not self.channel.crowded:
            self.channel.send(records.encode_event(name, values))

    # -- the end --

    def remove_all(self) -> Removal:
        """Take away all that it made; asked for again, the same."""
        if self.removal is None:
            for port in self.receiving:
                self.plane.port_receiver(port, None)
            self.receiving.clear()
            self.removal = Removal(self.server.reactor, self._everything())
        return self.removal

    def _everything(self) -> Iterator[Deferred[Any]]:
        # each is looked up when its turn comes: others may have taken it away by then
        plane = self.plane
        for port in list(self.switched):
            yield plane.switch_delete(port)
        for port in self.altered - self.ports:
            # as a new owner expects to find it
            yield plane.port_modify(port, pcomp=False, accomp=False, rate_up=0, rate_down=0)
            yield plane.port_compress(port)
        for port in list(self.netifs):
            if port in self.netifs:
                yield self._do_netif_detach(port)
        for tunnel in list(self.tunnels):
            yield from self._tunnel(tunnel)
        for ethernet in list(self.ethernets):
            yield from self._ethernet(ethernet)
        yield from self._ports(self.ports)
        for listener in list(self.listeners):
            yield plane.unlisten(listener)
        for entries in (self.listeners, self.switched, self.altered):
            entries.clear()

    def _ports(self, ports: Iterable[int]) -> Iterator[Deferred[Any]]:
        for port in list(ports):
            if port in self.plane.ports:
                yield self._do_port_delete(port)

    def _tunnel(self, tunnel: int) -> Iterator[Deferred[Any]]:
        entry = self.plane.tunnels.get(tunnel)
        if entry is not None:
            yield from self._ports(entry.ports)
            yield self.plane.tunnel_delete(tunnel)
        self.server.forget_tunnel(tunnel)

    def _ethernet(self, ethernet: int) -> Iterator[Deferred[Any]]:
        entry = self.plane.ethernets.get(ethernet)
        if entry is not None:
            yield from self._ports([carrier.port.id for carrier in entry.carriers.values()
                                    if carrier.handle == ethernet])
            yield self.plane.ethernet_delete(ethernet)
        self.server.forget_ethernet(ethernet)

    def _remove(self, what: str, identifier: int, steps: Iterator[Deferred[Any]]) -> Deferred[None]:
        """Of one tunnel or interface with its ports."""
        key = (what, identifier)
        if key in self._removals:
            raise DataPathError(NOT_FOUND, f"there is no {what} {identifier}")
        removal = Removal(self.server.reactor, steps)
        if not removal.done.called:
            self._removals[key] = removal
            removal.done.addCallback(lambda _: self._removals.pop(key, None))
        return removal.gone
