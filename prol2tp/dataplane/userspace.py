"""The user-space data path: UDP sockets and TUN interfaces, packets moved in this process (see `forward`).

It lives in prol2tp-pathd. It needs CAP_NET_ADMIN in its own user namespace and /dev/net/tun, and no kernel L2TP or PPP.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from prol2tp.dataplane import ethernet, forward
from prol2tp.dataplane.asyncline import TtyCarrier
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.circuit import CircuitSocket, drain_circuit
from prol2tp.dataplane.ethernet import EthernetSocket
from prol2tp.dataplane.interface import SYSTEM, Address, DataPathError, IDataPlane, IPathEvents, Listener, TtySpec
from prol2tp.dataplane.iplistener import IPListener
from prol2tp.dataplane.links import Link
from prol2tp.dataplane.listener import UDPListener
from prol2tp.dataplane.plane import BasePlane
from prol2tp.dataplane.poller import Poller
from prol2tp.dataplane.pppoe import PPPoECarrier
from prol2tp.dataplane.pseudowires import EthernetPort, drain_tap
from prol2tp.dataplane.splicing import onward_from_pppoe
from prol2tp.dataplane.ttydevice import TtyDevice
from prol2tp.dataplane.tun import GROUP_MAX, TUN, LinkThread

REPORT_INTERVAL = 1.0
"""Seconds between looks at what was lost."""

SHARED_QUEUE = 4000
"""Packets that the kernel queues for us on a shared interface."""


def raise_descriptor_limit() -> None:
    """A descriptor for each session's interface: take all that the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@implementer(IDataPlane)
class UserspaceDataPlane(BasePlane):
    """See the module docstring.

    :param split: False: never let the kernel split control from data.
    """

    name = "user"
    group_max = GROUP_MAX
    """Interfaces removed in one request."""

    def __init__(self, reactor: Any, split: bool = True) -> None:
        super().__init__()
        self._reactor = reactor
        self._split = split
        self._poller: Poller | None = None
        self._thread: LinkThread | None = None
        self._report: Any = None
        self._expiries: dict[L2TPCarrier, Any] = {}

    def seconds(self) -> float:
        return time.monotonic()

    def start(self, events: IPathEvents) -> Deferred[None]:
        if self._poller is None:
            self._poller = Poller(self._reactor)
            self._thread = LinkThread(self._reactor, self.group_max)
            self._report = self._reactor.callLater(REPORT_INTERVAL, self._report_losses)
        return super().start(events)

    def stop(self, keep: bool = False) -> Deferred[None]:
        return super().stop(keep).addCallback(self._stopped)

    def _stopped(self, _: object) -> Deferred[None] | None:
        if self._poller is None or self._thread is None:
            return None
        if self._report.active():
            self._report.cancel()
        self._poller.close()
        thread, self._poller, self._thread = self._thread, None, None
        return thread.stop()

    # -- listeners --

    def open_listener(self, identifier: int, address: Address, encapsulation: str) -> tuple[UDPListener, Listener]:
        assert self._poller is not None
        listener = self.make_listener(identifier, address, encapsulation == "ip")
        poller = self._poller
        try:
            if isinstance(listener, IPListener):
                poller.add(listener.data.fileno(), forward.drain_raw(self, listener))
            elif listener.relay is None:
                poller.add(listener.data.fileno(), forward.drain_listener(self, listener))
            else:
                poller.add(listener.data.fileno(), forward.drain_mixed(self, listener))
            if listener.relay is not None:
                poller.add(listener.relay.fileno(), lambda quota, now: listener.send_relayed(quota, poller.remove))
            control = listener.control_descriptor()
        except OSError as error:
            self.close_listener(listener)
            raise DataPathError(SYSTEM, f"{address[0]} port {address[1]}: {error.strerror}") from None
        return listener, Listener(identifier, listener.address, control, listener.relay is not None)

    def make_listener(self, identifier: int, address: Address, over_ip: bool) -> UDPListener:
        """Raises `DataPathError`."""
        return IPListener(identifier, address) if over_ip else UDPListener(identifier, address, self._split)

    def close_listener(self, listener: UDPListener) -> None:
        assert self._poller is not None
        self._poller.remove(listener.data.fileno())
        if listener.relay is not None:
            self._poller.remove(listener.relay.fileno())
        listener.close()

    # -- PPPoE and ttys --

    def open_ethernet(self, identifier: int, interface: str, tagged: bool) -> EthernetSocket:
        assert self._poller is not None
        opened = EthernetSocket(identifier, interface, tagged)
        try:
            self._poller.add(opened.socket.fileno(), ethernet.drain(self, opened))
        except OSError as error:
            opened.close()
            raise DataPathError(SYSTEM, f"interface {interface}: {error.strerror}") from None
        return opened

    def close_ethernet(self, ethernet: EthernetSocket) -> None:
        assert self._poller is not None
        self._poller.remove(ethernet.socket.fileno())
        ethernet.close()

    def pppoe_changed(self, carrier: PPPoECarrier) -> None:
        attachment = carrier.port.attachment
        link: Any = attachment.link if attachment is not None else None
        # one with a rate or tags takes the long way
        plain = link is not None and not carrier.vids and carrier.port.up is None
        descriptor = link.tun.descriptor if plain else -1
        carrier.inbound = {b"\0" + protocol: entry
                           for protocol, entry in forward.short_ways(carrier.port, descriptor, ethernet.BEGIN).items()}
        carrier.onward = onward_from_pppoe(carrier)

    def open_tty(self, carrier: TtyCarrier, spec: TtySpec) -> TtyDevice:
        return TtyDevice(self._reactor, spec, carrier.receive, lambda reason: self.carrier_lost(carrier.port, reason))

    # -- interfaces --

    def open_link(self, name: str, multicast: bool, shared: bool, ethernet: bool) -> Deferred[TUN]:
        assert self._thread is not None
        return self._thread.open(name, multicast, SHARED_QUEUE if shared else 0, ethernet)

    def close_link(self, link: Link) -> Deferred[None]:
        assert self._thread is not None and self._poller is not None and link.tun is not None
        self._poller.remove(link.tun.descriptor)
        if isinstance(link.tun, CircuitSocket):
            link.tun.close()
            return succeed(None)
        return self._thread.close(link.tun)

    def open_circuit(self, name: str, port: EthernetPort) -> Deferred[TUN]:
        return maybeDeferred(CircuitSocket, name, port)

    def watch_link(self, link: Link) -> None:
        assert self._poller is not None and link.tun is not None
        descriptor = link.tun.descriptor

        def gone() -> None:
            self.link_gone(link)

        if link.table is None:
            (port,) = link.ports
            if isinstance(port, EthernetPort) and isinstance(link.tun, CircuitSocket):
                drain = drain_circuit(link.tun, port, gone)
            elif isinstance(port, EthernetPort):
                drain = drain_tap(descriptor, port, gone)
            else:
                drain = forward.drain_tun(descriptor, port, gone)
        else:
            drain = forward.drain_shared(descriptor, link.table, gone)
        self._poller.add(descriptor, drain)

    def writer(self, link: Link) -> Callable[[bytes], object]:
        assert link.tun is not None
        descriptor = link.tun.descriptor
        return lambda packet: os.write(descriptor, packet)

    # -- sessions --

    def session_changed(self, carrier: L2TPCarrier) -> None:
        listener = self.listeners[carrier.tunnel.spec.listener]
        attachment = carrier.port.attachment
        link: Any = attachment.link if attachment is not None else None
        forward.prepare_inbound(listener, carrier, link.tun.descriptor if link is not None else -1)

    def expire_at(self, carrier: L2TPCarrier, deadline: float) -> None:
        """Call the carrier's `expire` then; asked for again while the timer runs, nothing happens."""
        if carrier not in self._expiries:
            delay = max(0.0, deadline - time.monotonic())
            self._expiries[carrier] = self._reactor.callLater(delay, self._expire, carrier)

    def _expire(self, carrier: L2TPCarrier) -> None:
        del self._expiries[carrier]
        if carrier.port.id not in self.ports:
            return
        carrier.expire(time.monotonic())
        if carrier.sequence is not None and carrier.sequence.deadline is not None:
            self.expire_at(carrier, carrier.sequence.deadline)

    # -- reports --

    def _report_losses(self) -> None:
        self._report = self._reactor.callLater(REPORT_INTERVAL, self._report_losses)
        losses = self.losses
        dropped, losses.full = losses.full, 0
        for listener in self.listeners.values():
            dropped += listener.kernel_drops()
        ports, losses.ports = losses.ports, set()
        for port in ports:
            lost, port.frames_lost = port.frames_lost, 0
            if lost and port.id in self.ports:
                self.events.frames_lost(port.id, lost)
        if dropped:
            self.events.overload(dropped)
