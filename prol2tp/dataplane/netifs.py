"""What our own data paths do with interfaces: attach, change and detach them, own or shared.

A subclass makes and removes the interfaces themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.python.failure import Failure

from prol2tp.dataplane.interface import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    SYSTEM,
    DataPathError,
    IPathEvents,
    Netif,
    NetifSpec,
)
from prol2tp.dataplane.links import Link, check_netif, check_rules
from prol2tp.dataplane.ports import Attachment, Port
from prol2tp.dataplane.prefixes import parse_prefix
from prol2tp.dataplane.pseudowires import EthernetPort
from prol2tp.dataplane.punting import Punting
from prol2tp.dataplane.tun import TUN

Result = TypeVar("Result")


def failing(method: Callable[..., Deferred[Result]]) -> Callable[..., Deferred[Result]]:
    """A `DataPathError` raised at once becomes the Deferred's failure."""

    def call(*args: Any, **kwargs: Any) -> Deferred[Result]:
        try:
            args[0].asked(method.__name__)
            return method(*args, **kwargs)
        except DataPathError as error:
            return fail(error)

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


def together(waiting: list[Deferred[Any]]) -> Deferred[None]:
    """Fires when all have, with or without success."""
    if not waiting:
        return succeed(None)
    return DeferredList(waiting, consumeErrors=True).addCallback(lambda _: None)


def _fire(result: Any, waiting: list[Deferred[None]]) -> None:
    for done in waiting:
        done.callback(None)


class Netifs:
    """The part of a data path that has to do with interfaces."""

    events: IPathEvents
    links: dict[str, Link]
    """Shared interfaces by the name asked for."""

    # -- what a subclass brings --

    def open_link(self, name: str, multicast: bool, shared: bool, ethernet: bool) -> Deferred[TUN]:
        raise NotImplementedError

    def open_circuit(self, name: str, port: EthernetPort) -> Deferred[TUN]:
        """An interface of the host."""
        raise NotImplementedError

    def open_for(self, port: Port, spec: NetifSpec) -> Deferred[TUN]:
        """The interface that a port asks for."""
        ethernet = isinstance(port, EthernetPort)
        if isinstance(port, EthernetPort) and spec.mode == "circuit":
            return self.open_circuit(spec.name, port)
        return self.open_link(spec.name, spec.multicast, spec.mode == "shared", ethernet)

    def close_link(self, link: Link) -> Deferred[None]:
        raise NotImplementedError

    def watch_link(self, link: Link) -> None:
        """Packets from the interface: to `forward.encapsulate` of its port."""
        raise NotImplementedError

    def writer(self, link: Link) -> Callable[[bytes], object]:
        """A function that gives a packet to the interface."""
        raise NotImplementedError

    def seconds(self) -> float:
        raise NotImplementedError

    def find_port(self, port: int) -> Port:
        """Raises `DataPathError`."""
        raise NotImplementedError

    # -- operations --

    @failing
    def netif_attach(self, port: int, spec: NetifSpec) -> Deferred[Netif]:
        entry = self.find_port(port)
        check_netif(spec)
        if entry.peer is not None or entry.attachment is not None or entry.pending is not None:
            raise DataPathError(IN_USE, f"port {port} is joined or has an interface already")
        shared = spec.mode == "shared"
        if shared and isinstance(entry, EthernetPort):
            raise DataPathError(INVALID, "Ethernet ports have interfaces of their own; join them in a bridge")
        circuit = spec.mode == "circuit"
        if circuit and not isinstance(entry, EthernetPort):
            raise DataPathError(INVALID, "only Ethernet ports are joined to an interface of the host")
        link = self.links.get(spec.name) if shared else None
        new = link is None
        if link is None:
            link = Link(spec.name, shared, circuit)
            if shared:
                self.links[spec.name] = link
        token = entry.pending = (link,)
        link.ports.add(entry)
        ready = self._link_ready(link)
        if new:
            # last: it may answer at once, and a link without ports and waiters is closed again
            self.open_for(entry, spec).addCallbacks(
                self._link_opened, self._link_failed, callbackArgs=(link,), errbackArgs=(link,))
        ready.addCallbacks(lambda _: self._attach(entry, link, spec, token),
                           lambda failure: self._not_attached(entry, token, failure))
        return ready

    @failing
    def netif_modify(self, port: int, protocols: tuple[str, ...] | None = None,
                     prefixes: tuple[str, ...] | None = None, mtu: int | None = None,
                     punt: tuple[str, ...] | None = None) -> Deferred[None]:
        entry = self.find_port(port)
        attachment = entry.attachment
        if attachment is None:
            raise DataPathError(NOT_FOUND, f"port {port} has no interface")
        check_rules(protocols, prefixes, mtu, punt)
        if protocols is not None:
            attachment.protocols = frozenset(protocols)
        if mtu is not None:
            attachment.mtu = mtu
        if punt is not None:
            attachment.punting = Punting(punt, self.seconds()) if punt else None
        if prefixes is not None:
            self._forget_prefixes(entry, attachment)
            attachment.prefixes = [parse_prefix(text) for text in prefixes]
            self._set_prefixes(entry, attachment)
        entry.prepare()
        return succeed(None)

    @failing
    def netif_detach(self, port: int) -> Deferred[None]:
        entry = self.find_port(port)
        if entry.attachment is None and entry.pending is None:
            raise DataPathError(NOT_FOUND, f"port {port} has no interface")
        return self._detach(entry)

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
            except Exception as error:
                reason = getattr(error, "strerror", None) or repr(error)
                self.close_link(link)
                self._link_failed(Failure(DataPathError(SYSTEM, f"interface {tun.name}: {reason}")), link)
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
        if spec.punt:
            port.attachment.punting = Punting(spec.punt, self.seconds())
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
