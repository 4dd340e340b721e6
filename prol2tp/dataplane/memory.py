"""A data path in memory, for tests: no sockets but the listeners' relay pairs, no interfaces, no ttys, no privileges.

What a session sends is kept in `sent`; `deliver` brings a frame as if from the peer, `inject` a packet as if from the
interface, `packets` holds what was written to interfaces. Two ports, of one or two data paths, are joined by `join`.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from prol2tp.common.bucket import Bucket
from prol2tp.dataplane import forward, l2tpv2, l2tpv3, pppoe
from prol2tp.dataplane.asyncline import TtyCarrier
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.carrier3 import L2TPv3Carrier
from prol2tp.dataplane.interface import IN_USE, Address, DataPathError, IDataPlane, Listener, TtySpec, TunnelSpec
from prol2tp.dataplane.links import Link
from prol2tp.dataplane.plane import BasePlane
from prol2tp.dataplane.pseudowires import EthernetPort
from prol2tp.dataplane.tun import TUN
from prol2tp.dataplane.tunnels import Way
from prol2tp.ppp.hdlc import Deframer
from prol2tp.pppoe.packets import read_header


class MemoryListener:
    """A listener whose datagrams go to the data path's `datagram_sent`."""

    def __init__(self, plane: MemoryDataPlane, identifier: int, address: Address) -> None:
        self.id = identifier
        self.address = address
        self.plane = plane
        self.carriers: dict[int, L2TPCarrier] = {}
        self.carriers3: dict[int, L2TPv3Carrier] = {}
        self.encapsulation = "udp"
        self.tunnels: set[int] = set()
        self.relay, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.relay.setblocking(False)
        self.control = theirs.detach()

    def way(self, spec: TunnelSpec, peer: Address) -> Way:
        """See `tunnels.Outlet`."""
        def send(datagram: bytes, traffic_class: int = 0) -> None:
            self.plane.datagram_sent(self.id, spec.tunnel_id, datagram)

        return peer, send, send

    def path_mtu(self, socket_address: Any) -> int:
        """See `tunnels.Outlet`."""
        return 1500


class MemoryEthernet:
    """An interface (`pppoe.Ethernet`) whose session frames go to the data path's `frame_sent`."""

    def __init__(self, plane: MemoryDataPlane, identifier: int, interface: str, tagged: bool) -> None:
        self.id = identifier
        self.interface = interface
        self.tagged = tagged
        self.address = plane.addresses.setdefault(interface, b"\x02\0\0" + identifier.to_bytes(3, "big"))
        self.carriers: dict[bytes, pppoe.Entry] = {}
        self.own: set[bytes] = set()
        self.handles: set[int] = set()
        self.strays: set[int] = set()
        self.stray_bucket: Bucket | None = None
        self.frames: list[bytes] = []
        """Frames sent, whole."""
        self._plane = plane

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        header = read_header(frame)
        key = pppoe.session_key(self.address, header.destination, header.session_id)
        self._plane.frame_sent(self.carriers[key].port.id, frame[header.start:header.end])

    def alive(self) -> bool:
        return True

    def mtu(self) -> int:
        return 1500


class MemoryLine:
    """A tty (`asyncline.Line`) whose frames go to the data path's `frame_sent`."""

    def __init__(self, plane: MemoryDataPlane, port: int) -> None:
        self.octets: list[bytes] = []
        """What was written, a frame each."""
        self.closed = False
        self._plane = plane
        self._port = port
        self._deframer = Deframer(65535)
        self._deframer.set_accm(0)

    def write(self, octets: bytes, urgent: bool) -> bool:
        self.octets.append(octets)
        for frame in self._deframer.feed(octets):
            self._plane.frame_sent(self._port, frame)
        return True

    def close(self) -> None:
        self.closed = True


@implementer(IDataPlane)
class MemoryDataPlane(BasePlane):
    """See the module docstring.

    :param clock: gives the time, and carries joined frames over in its next turn. Without one, time stands still and
        `pump` carries them.
    """

    name = "memory"

    def __init__(self, clock: Any = None) -> None:
        super().__init__()
        self._clock = clock
        self.sent: list[tuple[int, bytes]] = []
        """Frames sent, as (port, frame), control and data alike."""
        self.packets: list[tuple[int, bytes]] = []
        """Packets written to interfaces, as (ifindex, packet)."""
        self.refuse: dict[str, DataPathError] = {}
        """Errors for coming operations, by method name; each is used once."""
        self.relays: dict[int, socket.socket] = {}
        """The other ends of the listeners' `control`; framing in `relay`."""
        self.interfaces: dict[str, int] = {}
        self.addresses: dict[str, bytes] = {}
        """Of Ethernet interfaces, by name."""
        self._joined: dict[int, tuple[MemoryDataPlane, int]] = {}
        self._moving: deque[tuple[MemoryDataPlane, int, bytes]] = deque()
        self._by_peer: dict[tuple[int, int, int], int] = {}
        self._last_ifindex = 0
        self._last_ephemeral = 49151

    def seconds(self) -> float:
        return self._clock.seconds() if self._clock is not None else 0.0

    # -- what tests do --

    def deliver(self, port: int, frame: bytes, ns: int = -1) -> None:
        """A PPP frame from the peer, in L2TP with Ns if it is not -1."""
        entry = self.ports[port]
        carrier = entry.carrier
        if isinstance(carrier, L2TPCarrier):
            carrier.receive(ns, frame, self.seconds())
        else:
            entry.receive(frame, self.seconds())

    def ethernet_frame(self, ethernet: int, frame: bytes) -> None:
        """A session frame from an interface, header and all."""
        pppoe.receive(self, self.ethernets[ethernet], frame, self.seconds())

    def line_octets(self, port: int, octets: bytes) -> None:
        """What comes over a tty."""
        carrier = self.ports[port].carrier
        assert isinstance(carrier, TtyCarrier)
        carrier.receive(octets, self.seconds())

    def datagram(self, listener: int, data: bytes, source: Address) -> None:
        """A datagram from the network, header and all."""
        forward.receive(self, self.listeners[listener], data, source, self.seconds())

    def inject(self, port: int, packet: bytes) -> None:
        """A packet from the port's interface, a frame when it is a TAP."""
        entry = self.ports[port]
        if isinstance(entry, EthernetPort):
            entry.forward(packet, self.seconds())
        else:
            forward.encapsulate(entry, packet, self.seconds())

    def inject_shared(self, name: str, packet: bytes) -> None:
        """A packet from a shared interface: its destination chooses the port."""
        table = self.links[name].table
        assert table is not None
        port = table.find(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
        if port is not None:
            forward.encapsulate(port, packet, self.seconds())

    def join(self, port: int, other: MemoryDataPlane, other_port: int) -> None:
        """Frames sent on one port arrive on the other, in both directions."""
        self._joined[port] = (other, other_port)
        other._joined[other_port] = (self, port)

    def pump(self) -> int:
        """Carry over what joined ports have sent, and what that made them send. -> how many frames."""
        count = 0
        while self._moving:
            plane, port, frame = self._moving.popleft()
            count += 1
            if port in plane.ports:
                plane.deliver(port, frame)
                if plane is not self and self._clock is None:
                    count += plane.pump()
        return count

    def hang_up(self, port: int, reason: str = "hang-up") -> None:
        """The port's tty hangs up, or its Ethernet interface is gone."""
        self.carrier_lost(self.ports[port], reason)

    def lose(self, reason: str = "test") -> None:
        """The data path dies."""
        self.events.path_lost(reason)

    def take_interface_away(self, port: int) -> None:
        """Somebody else removes the port's interface."""
        attachment = self.ports[port].attachment
        assert attachment is not None
        self.link_gone(attachment.link)  # type: ignore[arg-type]

    # -- what the base asks for --

    def asked(self, operation: str) -> None:
        error = self.refuse.pop(operation, None)
        if error is not None:
            raise error

    def open_listener(self, identifier: int, address: Address,
                      encapsulation: str) -> tuple[MemoryListener, Listener]:
        if address[1] == 0 and encapsulation == "udp":
            self._last_ephemeral += 1
            address = (address[0], self._last_ephemeral)
        listener = MemoryListener(self, identifier, address)
        self.relays[identifier] = listener.relay
        return listener, Listener(identifier, address, listener.control, True)

    def close_listener(self, listener: MemoryListener) -> None:
        self.relays.pop(listener.id).close()

    def open_ethernet(self, identifier: int, interface: str, tagged: bool) -> MemoryEthernet:
        return MemoryEthernet(self, identifier, interface, tagged)

    def close_ethernet(self, ethernet: MemoryEthernet) -> None:
        """Nothing is open."""

    def open_tty(self, carrier: TtyCarrier, spec: TtySpec) -> MemoryLine:
        if any(isinstance(one.carrier, TtyCarrier) and one.carrier.device == spec.device
               for one in self.ports.values()):
            raise DataPathError(IN_USE, f"{spec.device} is in use")
        return MemoryLine(self, carrier.port.id)

    def open_link(self, name: str, multicast: bool, shared: bool, ethernet: bool) -> Deferred[TUN]:
        number = 0
        made = name
        if "%d" in name:
            while name.replace("%d", str(number)) in self.interfaces:
                number += 1
            made = name.replace("%d", str(number))
        if made in self.interfaces:
            return fail(DataPathError(IN_USE, f"interface {made} is there already"))
        self._last_ifindex += 1
        self.interfaces[made] = self._last_ifindex
        return succeed(TUN(-1, made, self._last_ifindex))

    def open_circuit(self, name: str, port: EthernetPort) -> Deferred[TUN]:
        self._last_ifindex += 1
        return succeed(TUN(-1, name, self._last_ifindex))

    def close_link(self, link: Link) -> Deferred[None]:
        assert link.tun is not None
        if link.foreign:
            return succeed(None)
        del self.interfaces[link.tun.name]
        return succeed(None)

    def watch_link(self, link: Link) -> None:
        """Packets come by `inject`."""

    def writer(self, link: Link) -> Callable[[bytes], object]:
        assert link.tun is not None
        ifindex = link.tun.ifindex
        return lambda packet: self.packets.append((ifindex, packet))

    def expire_at(self, carrier: L2TPCarrier, deadline: float) -> None:
        if self._clock is not None:
            self._clock.callLater(max(0.0, deadline - self.seconds()), lambda: carrier.expire(self.seconds()))

    def session_changed(self, carrier: L2TPCarrier) -> None:
        tunnel = carrier.tunnel.spec
        self._by_peer[tunnel.listener, tunnel.tunnel_id, carrier.peer_session_id] = carrier.port.id

    def datagram_sent(self, listener: int, tunnel_id: int, datagram: bytes) -> None:
        """A session of ours has sent a data message."""
        over_ip = self.listeners[listener].encapsulation == "ip"
        if over_ip or datagram[1] & 0x0F == l2tpv3.VERSION:
            port = self._by_peer[listener, tunnel_id, l2tpv3.session_id(datagram, 0 if over_ip else 4)]
            carrier = self.ports[port].carrier
            assert isinstance(carrier, L2TPv3Carrier)
            header = len(carrier.header) + (l2tpv3.SUBLAYER_LENGTH if carrier.send_sublayer else 0)
            self.frame_sent(port, datagram[header:])
            return
        parsed = l2tpv2.parse(datagram)
        assert parsed is not None
        key, _, start, end = parsed
        self.frame_sent(self._by_peer[listener, tunnel_id, key & 0xFFFF], datagram[start:end])

    def frame_sent(self, port: int, frame: bytes) -> None:
        """A port has sent a frame."""
        self.sent.append((port, frame))
        joined = self._joined.get(port)
        if joined is not None:
            self._moving.append((*joined, frame))
            if self._clock is not None:
                self._clock.callLater(0, self.pump)
