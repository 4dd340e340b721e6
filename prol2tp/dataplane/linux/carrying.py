"""Which ports the kernel carries: its tunnels, sessions and channels, and their counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.dataplane import ethernet as ethernets
from prol2tp.dataplane import forward
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.interface import IN_USE, SYSTEM, Address, DataPathError, SessionSpec, TunnelSpec
from prol2tp.dataplane.iplistener import IPListener
from prol2tp.dataplane.links import Link
from prol2tp.dataplane.linux.channel import Channel, drain, finish, join, open_with, part
from prol2tp.dataplane.linux.codecs import Primer
from prol2tp.dataplane.linux.genl import GenericSocket
from prol2tp.dataplane.linux.hiding import hide_sessions
from prol2tp.dataplane.linux.probe import Features
from prol2tp.dataplane.linux.tunnels import KernelTunnel
from prol2tp.dataplane.linux.units import EthernetSession, Unit
from prol2tp.dataplane.listener import UDPListener
from prol2tp.dataplane.netifs import failing
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.pppoe import PPPoECarrier
from prol2tp.dataplane.pseudowires import EthernetPort
from prol2tp.dataplane.rtlink import LinkRequests
from prol2tp.dataplane.userspace import UserspaceDataPlane

DRAINED = 256
"""Datagrams read from a tunnel's socket before it is closed."""

Pair = tuple[Any, ...]


class Carrying(UserspaceDataPlane):
    """The part of the kernel's data path below the interfaces."""

    requests: GenericSocket
    links_requests: LinkRequests
    primer: Primer

    def __init__(self, reactor: Any, features: Features) -> None:
        super().__init__(reactor, split=False)
        self.features = features
        self.specs: dict[int, SessionSpec] = {}
        """Of L2TP ports."""
        self.kernel: dict[int, Channel | EthernetSession] = {}
        """What the kernel carries, by port."""
        self.sessions: dict[tuple[int, int], tuple[EthernetSession, Link]] = {}
        """By ids of tunnel and session."""
        self.channels: dict[tuple[int, int], Channel] = {}
        """The same of PPP."""
        self._tunnels: dict[int, KernelTunnel] = {}
        self._handles: dict[int, int] = {}
        """Of these, by tunnel id."""
        self._pairs: dict[Pair, list[int]] = {}
        """Tunnels by both addresses and ports, where the kernel cannot tell them apart."""
        self._carrying: dict[int, list[Deferred[Channel]]] = {}
        self._log = Logger()

    def open_requests(self) -> None:
        self.requests = GenericSocket()
        self.links_requests = LinkRequests()
        self.primer = Primer(self.requests)

    def close_requests(self) -> None:
        self.primer.close()
        self.requests.close()
        self.links_requests.close()

    def drain_for(self, descriptor: int, channel: Channel, gone: Callable[[], None]) -> Callable[[int, float], None]:
        return drain(descriptor, channel, gone, self.unreadable)

    def unreadable(self, port: Port, now: float) -> None:
        """The kernel could not decompress a packet."""

    # -- listeners and tunnels --

    def make_listener(self, identifier: int, address: Address, over_ip: bool) -> UDPListener:
        return IPListener(identifier, address) if over_ip else UDPListener(identifier, address, False, True)

    def kernel_tunnel(self, port: Port) -> KernelTunnel:
        """Of an L2TP port."""
        carrier: Any = port.carrier
        tunnel = carrier.tunnel
        self._handles[tunnel.spec.tunnel_id] = tunnel.id
        return self._tunnels.setdefault(tunnel.id, KernelTunnel(tunnel))

    def watch_tunnel(self, kernel: KernelTunnel) -> None:
        """Read what arrives on its socket."""
        listener: Any = kernel.tunnel.listener
        if kernel.watched or kernel.socket is None or isinstance(listener, IPListener) or self._poller is None:
            return
        kernel.watched = True
        self._poller.add(kernel.socket.fileno(), forward.drain_mixed(self, listener, kernel.socket))

    @failing
    def tunnel_add(self, spec: TunnelSpec) -> Deferred[int]:
        added = super().tunnel_add(spec)

        def paired(handle: int) -> int:
            if not self.features.shared_address and handle in self.tunnels:
                self._pairs.setdefault(self._pair(handle), []).append(handle)
            return handle

        return added.addCallback(paired)

    def _pair(self, handle: int) -> Pair:
        tunnel: Any = self.tunnels[handle]
        local = tunnel.spec.local[0] if tunnel.listener.wildcard else tunnel.listener.address[0]
        return local, tunnel.listener.address[1], tunnel.listener.encapsulation, tunnel.socket_address

    @failing
    def tunnel_modify(self, tunnel: int, peer: Address) -> Deferred[None]:
        if tunnel in self.tunnels:
            self._unpair(tunnel)
        modified = super().tunnel_modify(tunnel, peer)
        if tunnel in self.tunnels and not self.features.shared_address:
            self._pairs.setdefault(self._pair(tunnel), []).append(tunnel)
        kernel = self._tunnels.get(tunnel)
        if kernel is not None:
            try:
                kernel.move()
            except OSError as error:
                raise DataPathError(SYSTEM, f"tunnel to {peer[0]}: {error.strerror}") from None
        return modified

    def _unpair(self, tunnel: int) -> None:
        if self.features.shared_address:
            return
        pair = self._pair(tunnel)
        rest = [one for one in self._pairs.pop(pair, []) if one != tunnel]
        if rest:
            self._pairs[pair] = rest

    @failing
    def tunnel_delete(self, tunnel: int) -> Deferred[None]:
        if tunnel in self.tunnels:
            self._unpair(tunnel)
        deleted = super().tunnel_delete(tunnel)
        gone = self.forget_tunnel(tunnel)
        return deleted.addCallback(lambda _: gone)

    def forget_tunnel(self, tunnel: int) -> Deferred[None]:
        """Close the kernel's tunnel, if there is one."""
        kernel = self._tunnels.pop(tunnel, None)
        if kernel is None or self._thread is None:
            return succeed(None)
        if self._handles.get(kernel.tunnel.spec.tunnel_id) == tunnel:
            del self._handles[kernel.tunnel.spec.tunnel_id]
        if kernel.watched and kernel.socket is not None and self._poller is not None:
            # what the peer has sent last: an acknowledgement, perhaps
            listener: Any = kernel.tunnel.listener
            drain_last = forward.drain_mixed(self, listener, kernel.socket)
            self._poller.serve(kernel.socket.fileno(), drain_last, DRAINED, self.seconds())
            self._poller.remove(kernel.socket.fileno())
        return self._thread.call(kernel.close, self.requests)

    # -- sessions --

    @failing
    def session_add(self, spec: SessionSpec) -> Deferred[int]:
        tunnel = self.tunnels.get(spec.tunnel)
        if tunnel is not None and not self.features.shared_address:
            self._check_shared(spec)
        return super().session_add(spec).addCallback(self._session_added, spec)

    def _check_shared(self, spec: SessionSpec) -> None:
        """This kernel would take this session's packets for those of another tunnel's session."""
        for other in self._pairs.get(self._pair(spec.tunnel), ()):
            if other != spec.tunnel and self._kernel_has(other, spec.session_id):
                raise DataPathError(IN_USE, f"session id {spec.session_id} is in use in another tunnel to the same "
                                            "peer, and this kernel cannot tell them apart")

    def _kernel_has(self, tunnel: int, session_id: int) -> bool:
        return any(self.specs[port].session_id == session_id for port in self.tunnels[tunnel].ports
                   if port in self.kernel)

    def _session_added(self, port: int, spec: SessionSpec) -> Any:
        entry = self.ports.get(port)
        if entry is None:
            return port
        self.specs[port] = spec
        self.refresh_filter(self.tunnels[spec.tunnel].listener)
        numbered = spec.send_sequence or spec.receive_sequence
        if not numbered or isinstance(entry, EthernetPort) or self.why_not(entry):
            return port
        return self.carry(entry).addBoth(lambda _: port)

    def why_not(self, port: Port) -> str:
        """Why the kernel cannot carry a port; empty: it can."""
        carrier = port.carrier
        if isinstance(carrier, Channel):
            return ""
        if port.compression is not None and not isinstance(port, EthernetPort) and port.peer is not None:
            return "it compresses"
        if isinstance(carrier, PPPoECarrier):
            if not self.features.pppoe:
                return "the kernel has no PPPoE"
            return "the kernel's PPPoE has interfaces instead of VLAN tags" if carrier.vids else ""
        if not isinstance(carrier, L2TPCarrier):
            return "it is a tty"
        return self._why_not_l2tp(port, carrier)

    def _why_not_l2tp(self, port: Port, carrier: L2TPCarrier) -> str:
        tunnel, spec = carrier.tunnel, self.specs[port.id]
        listener: Any = tunnel.listener
        if not isinstance(listener, IPListener) and not listener.connectable:
            return "the kernel does not let sockets share the tunnel's address"
        if isinstance(listener, IPListener) and not self.features.over_ip:
            return "the kernel has no L2TP over IP"
        if tunnel.spec.tos < 0:
            return "the kernel copies no DS field"
        if tunnel.spec.pmtu_discovery:
            return "the kernel fragments outer packets"
        if isinstance(port, EthernetPort):
            if not self.features.ethernet:
                return "the kernel has no Ethernet pseudowires"
            if port.tagged:
                return "the kernel has no pseudowires of type VLAN"
        if spec.send_sublayer != spec.receive_sublayer:
            return "the sublayer is that of one direction only"
        if tunnel.spec.version == 3 and carrier.send_sequence and carrier.sequence is None:
            return "the kernel numbers no packets for a peer that numbers none"
        return self._why_not_shared(port)

    def _why_not_shared(self, port: Port) -> str:
        if self.features.shared_address:
            return ""
        spec = self.specs[port.id]
        others = [one for one in self._pairs.get(self._pair(spec.tunnel), ()) if one != spec.tunnel]
        if any(one in self._tunnels for one in others):
            return "another tunnel has the same addresses and ports, and Linux before 6.11 takes one only"
        ids = (self.specs[number].session_id for one in others for number in self.tunnels[one].ports)
        return "another tunnel of the peer has this session id" if spec.session_id in ids else ""

    # -- channels --

    def carry_with(self, port: Port, work: Callable[[Channel], Any]) -> Deferred[Any]:
        """As `carry`, and then `work` on the link thread, in one go with it. -> Deferred of what that gives."""
        if isinstance(port.carrier, Channel) or port.id in self._carrying:
            thread: Any = self._thread
            return self.carry(port).addCallback(lambda channel: thread.call(work, channel))
        return self.carry(port, work).addCallback(Channel.take_made)

    def carry(self, port: Port, work: Callable[[Channel], object] | None = None) -> Deferred[Channel]:
        """-> Deferred(Channel): the kernel carries the port from then on. Fails with `OSError` when it cannot. `work`
        is carried out with a new channel on the link thread, and what comes of it is `Channel.made`."""
        if isinstance(port.carrier, Channel):
            return succeed(port.carrier)
        waiting: Deferred[Channel] = Deferred()
        if port.id in self._carrying:
            self._carrying[port.id].append(waiting)
            return waiting
        self._carrying[port.id] = [waiting]
        l2tp = isinstance(port.carrier, L2TPCarrier)
        channel = Channel(port, port.carrier, self.kernel_tunnel(port) if l2tp else None)
        assert self._thread is not None
        opened = self._thread.call(open_with, channel, self.requests, self.current_spec(port) if l2tp else None, work)
        # whatever goes wrong there, who waits hears of it
        opened.addCallback(self._carried, channel).addErrback(self._not_carried, channel)
        return waiting

    def current_spec(self, port: Port) -> SessionSpec:
        carrier: Any = port.carrier
        return replace(self.specs[port.id], send_sequence=carrier.send_sequence,
                       receive_sequence=carrier.sequence is not None)

    def _carried(self, _: None, channel: Channel) -> None:
        port = channel.port
        assert self._thread is not None and self._poller is not None
        if channel.tunnel is not None:
            self.watch_tunnel(channel.tunnel)
        if self.ports.get(port.id) is not port:
            raise DataPathError(IN_USE, f"port {port.id} was deleted")
        self._take_over(channel)
        self._poller.add(channel.descriptor, self.drain_for(channel.descriptor, channel,
                                                            lambda: self._channel_dead(channel)))
        for one in self._carrying.pop(port.id):
            one.callback(channel)

    def _take_over(self, channel: Channel) -> None:
        port, user = channel.port, channel.user
        if isinstance(user, L2TPCarrier):
            listener: Any = user.tunnel.listener
            forward.prepare_inbound(listener, user, -1)
        elif isinstance(user, PPPoECarrier):
            socket: Any = user.ethernet
            assert self._poller is not None
            # frames of all sessions may wait there
            self._poller.serve(socket.socket.fileno(), ethernets.drain(self, socket), DRAINED, self.seconds())
            user.inbound = {}
            channel.hide()
        self.kernel[port.id] = channel
        if channel.tunnel is not None:
            self.channels[channel.tunnel.tunnel.spec.tunnel_id, self.specs[port.id].session_id] = channel
        port.carrier = channel
        port.prepare()
        self._refresh_filter_for(user)

    def _not_carried(self, failure: Failure, channel: Channel) -> None:
        """The port is as it was, and who waits hears of it."""
        error, port = failure.value, channel.port.id
        opened = channel.descriptor >= 0
        if not failure.check(OSError, DataPathError):
            self._log.failure("port {port}", failure, port=port)
            error = DataPathError(SYSTEM, "internal error") if opened else OSError(0, str(error))
        if opened:
            self._give_back(channel)
        if isinstance(error, OSError):
            self._log.info("port {port} stays in user space: {reason}", port=port, reason=error.strerror or str(error))
        for one in self._carrying.pop(port):
            one.errback(error)

    def _give_back(self, channel: Channel) -> None:
        """The kernel has the session, and shall not have it."""
        port, made = channel.port, channel.take_made()
        assert self._thread is not None and self._poller is not None
        self._poller.remove(channel.descriptor)
        if isinstance(made, Unit):
            self._thread.close(made)
        self._thread.call(channel.shut)
        if self.ports.get(port.id) is port:
            channel.uncover()
            if self.kernel.get(port.id) is channel:
                del self.kernel[port.id]
            self._forget(channel)
            port.carrier = channel.user
            port.prepare()
            self._refresh_filter_for(channel.user)

    def _forget(self, channel: Channel) -> None:
        """Nobody is told of its end any more."""
        spec = self.specs.get(channel.port.id)
        if channel.tunnel is not None and spec is not None:
            ids = channel.tunnel.tunnel.spec.tunnel_id, spec.session_id
            if self.channels.get(ids) is channel:
                del self.channels[ids]

    def kernel_tunnel_gone(self, tunnel_id: int) -> None:
        """Somebody has deleted a tunnel of the kernel, with its sessions."""
        handle = self._handles.get(tunnel_id)
        kernel = self._tunnels.get(handle) if handle is not None else None
        if handle is not None and kernel is not None and kernel.socket is not None:
            self.forget_tunnel(handle)
            for port in list(kernel.tunnel.ports):
                channel = self.kernel.get(port)
                if isinstance(channel, Channel):
                    self._channel_dead(channel)

    def session_gone(self, tunnel_id: int, session_id: int) -> None:
        """Somebody has deleted a session of the kernel with PPP."""
        channel = self.channels.get((tunnel_id, session_id))
        if channel is not None:
            self._channel_dead(channel)

    def _channel_dead(self, channel: Channel) -> None:
        """Somebody has deleted the kernel's session, or its interface went down."""
        assert self._poller is not None
        self._poller.remove(channel.descriptor)
        if not channel.dead:
            channel.dead = True
            self.carrier_lost(channel.port, "the kernel's session is gone")

    # -- joined ports --

    @failing
    def switch_add(self, port: int, other: int) -> Deferred[None]:
        return super().switch_add(port, other).addCallback(self._bridge, port, other)

    def _bridge(self, _: None, port: int, other: int) -> Any:
        """Let the kernel join them; where it cannot, they are joined here."""
        one, two = self.ports.get(port), self.ports.get(other)
        if one is None or two is None or not self.features.bridge or isinstance(one, EthernetPort) \
                or isinstance(two, EthernetPort) or self.why_not(one) or self.why_not(two):
            return None
        carriers = [getattr(entry.carrier, "user", entry.carrier) for entry in (one, two)]
        if not any(isinstance(carrier, L2TPCarrier) for carrier in carriers):
            return None  # the kernel would count nothing

        def carried(first: Channel) -> Deferred[Any]:
            return self.carry(two).addCallback(self._join, first)

        return self.carry(one).addCallback(carried).addErrback(lambda _: None)

    def _join(self, two: Channel, one: Channel) -> Any:
        if one.port.peer is not two.port or self._thread is None:
            return None
        return self._thread.call(join, one, two)

    @failing
    def switch_delete(self, port: int) -> Deferred[None]:
        deleted = super().switch_delete(port)
        # when the link thread has taken them apart
        return deleted.addCallback(lambda _: self._thread.call(_nothing) if self._thread is not None else None)

    def _unswitch(self, port: Port) -> None:
        other = port.peer
        super()._unswitch(port)
        if other is not None and isinstance(port.carrier, Channel) and isinstance(other.carrier, Channel) \
                and self._thread is not None:
            self._thread.call(part, port.carrier, other.carrier).addErrback(lambda _: None)

    # -- ports --

    def port_delete(self, port: int) -> Deferred[tuple]:
        kernel = self.kernel.pop(port, None)
        carrier: Any = getattr(self.ports.get(port), "carrier", None)
        user = getattr(carrier, "user", carrier)
        deleted = super().port_delete(port)
        if isinstance(kernel, Channel):
            self._forget(kernel)
        self.specs.pop(port, None)
        self._refresh_filter_for(user)
        if kernel is None or self._thread is None:
            return deleted
        if isinstance(kernel, Channel):
            assert self._poller is not None
            self._poller.remove(kernel.descriptor)
            shut = self._thread.after(finish, kernel)
        else:
            shut = self._thread.call(_nothing)  # after its interface

        def final(counters: tuple) -> Deferred[tuple]:
            def add(_: object) -> tuple:
                total = self.ended[port] = kernel.add_to(counters, self.seconds())
                return total

            return shut.addBoth(add)

        return deleted.addCallback(final)

    @failing
    def counters(self, ports: list[int] | None = None) -> Deferred[dict[int, tuple]]:
        wanted = self.kernel if ports is None else [port for port in ports if port in self.kernel]
        asked = {port: self.kernel[port] for port in wanted}
        if not asked or self._thread is None:
            return super().counters(ports)
        measured = self._thread.call(self._measure, list(asked.values()))

        def rows(_: object) -> Deferred[dict[int, tuple]]:
            return super(Carrying, self).counters(ports).addCallback(add)

        def add(found: dict[int, tuple]) -> dict[int, tuple]:
            now = self.seconds()
            for port, kernel in asked.items():
                if port in found and port in self.ports:
                    found[port] = kernel.add_to(found[port], now)
            return found

        return measured.addCallback(rows)

    def _measure(self, wanted: list[Channel | EthernetSession]) -> None:
        """On the link thread."""
        for kernel in wanted:
            if isinstance(kernel, EthernetSession):
                kernel.measure(self.requests, self.links_requests, self.seconds())
                continue
            if kernel.descriptor < 0:
                continue
            attachment: Any = kernel.port.attachment
            unit = attachment.link.tun if attachment is not None else None
            if isinstance(unit, Unit) and kernel.unit >= 0:
                unit.measure()
            else:
                kernel.measure()

    # -- what our own sockets need not see --

    def _refresh_filter_for(self, user: Any) -> None:
        if isinstance(user, PPPoECarrier):
            self.refresh_filter(user.ethernet)
        elif isinstance(user, L2TPCarrier):
            self.refresh_filter(user.tunnel.listener)

    def refresh_filter(self, source: Any) -> None:
        hide_sessions(source, self.kernel)


def _nothing() -> None:
    """What was asked of the link thread before is done."""
