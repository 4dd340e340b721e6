"""The hot loops: data messages from a socket to interfaces, packets from an interface to a socket.

The short way of L2TP takes one dict look-up: the first 10 octets of a data message without optional fields, with FF 03
and a full protocol field, name port and protocol at once; the first 8 of version 3 name an Ethernet port. Whatever is
not in the dict, or needs a rule of its own, goes the long way (`ports`), where all is looked at. Each packet costs one
system call to read and one to write.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from errno import EAGAIN, EINTR, EMSGSIZE, ENOBUFS
from typing import TYPE_CHECKING, Any

from prol2tp.dataplane import l2tpv2, l2tpv3
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.carrier3 import L2TPv3Carrier
from prol2tp.dataplane.iplistener import CONTROL, IPListener
from prol2tp.dataplane.listener import UDPListener
from prol2tp.dataplane.packets import EXTENSIONS
from prol2tp.dataplane.ports import Attachment, Port
from prol2tp.dataplane.prefixes import PrefixTable, is_link_local
from prol2tp.dataplane.pseudowires import HEADER_LENGTH, EthernetPort
from prol2tp.dataplane.splicing import FF03, onward_from_l2tp
from prol2tp.dataplane.tunnels import MOVED_INTERVAL, Tunnel

if TYPE_CHECKING:
    from prol2tp.dataplane.plane import BasePlane

LARGEST = 65535
_PKTINFO_SPACE = socket.CMSG_SPACE(20)
_FF03 = b"\xff\x03\x00"


class Inbound:
    """An entry of `UDPListener.inbound` or `limited`, or of `PPPoECarrier.inbound`: where packets with one header and
    protocol go.

    `start`, `stop`, `source`: the octets of the datagram that hold the allowed inner source; empty: no check.

    :param begin: octets before the inner packet.
    """

    __slots__ = ("port", "attachment", "descriptor", "clamp", "ipv4", "start", "stop", "source", "tunnel")

    def __init__(self, port: Port, attachment: Attachment, descriptor: int, ipv4: bool, begin: int) -> None:
        self.port = port
        self.tunnel: Tunnel
        """Of L2TP."""
        self.attachment = attachment
        self.descriptor = descriptor
        self.clamp = attachment.mtu if attachment.spec.mss_clamp else 0
        self.ipv4 = ipv4
        self.start = self.stop = 0
        self.source = b""
        if attachment.spec.source_check:
            first = begin + (12 if ipv4 else 8)
            # a peer's traffic comes from its global addresses
            for network, bits in sorted(attachment.prefixes, key=lambda prefix: is_link_local(prefix[0])):
                if len(network) == (4 if ipv4 else 16) and bits % 8 == 0:
                    self.start, self.stop = first, first + bits // 8
                    self.source = network[:bits // 8]
                    return
            self.source = b"\0"  # matches nothing: the long way


class InboundFrames:
    """An entry of `UDPListener.frames`: where the frames of a pseudowire of type Ethernet without sublayer go."""

    __slots__ = ("port", "tunnel", "descriptor", "cookie", "start")

    def __init__(self, carrier: L2TPv3Carrier, descriptor: int) -> None:
        self.port = carrier.port
        self.tunnel = carrier.tunnel
        self.descriptor = descriptor
        self.cookie = carrier.cookie
        self.start = carrier.cookie_end

    def take(self, data: bytes, source: Any, now: float) -> bool:
        """The short way of a data message. False: the long way."""
        start = self.start
        size = len(data) - start
        if source != self.tunnel.socket_address or data[8:start] != self.cookie or size < HEADER_LENGTH:
            return False
        port = self.port
        port.rx_packets += 1
        port.rx_octets += size
        port.last = now
        try:
            os.write(self.descriptor, data[start:])
        except OSError:
            port.rx_discards += 1
        return True


def prepare_inbound(listener: UDPListener, carrier: L2TPCarrier, descriptor: int) -> None:
    """Work out a session's entries anew. `descriptor` is the interface's, -1 if there is none."""
    for key in carrier.keys:
        if listener.inbound.pop(key, None) is None and listener.limited.pop(key, None) is None:
            listener.frames.pop(key, None)
    carrier.keys = []
    if isinstance(carrier, L2TPv3Carrier):
        _prepare_frames(listener, carrier, descriptor)
        return
    if carrier.port.peer is not None:
        onward = onward_from_l2tp(carrier)
        if onward is not None:
            key = b"\0\2" + carrier.key.to_bytes(4, "big") + FF03
            listener.frames[key] = onward
            carrier.keys.append(key)
        return
    if carrier.send_sequence and not carrier.lns:
        return
    inbound = listener.inbound if carrier.port.up is None else listener.limited
    for protocol, entry in short_ways(carrier.port, descriptor, 10).items():
        key = b"\0\2" + carrier.key.to_bytes(4, "big") + _FF03 + protocol
        entry.tunnel = carrier.tunnel
        inbound[key] = entry
        carrier.keys.append(key)


def _prepare_frames(listener: UDPListener, carrier: L2TPv3Carrier, descriptor: int) -> None:
    port = carrier.port
    if (isinstance(port, EthernetPort) and not port.tagged and port.peer is None and descriptor >= 0
            and not carrier.over_ip and not carrier.receive_sublayer):
        key = l2tpv3.head(carrier.key, b"", False)
        listener.frames[key] = InboundFrames(carrier, descriptor)
        carrier.keys.append(key)


def short_ways(port: Port, descriptor: int, begin: int) -> dict[bytes, Inbound]:
    """Entries of a port by the last octet of the protocol field; none where every packet needs a rule of its own.
    `descriptor` is the interface's, -1 if there is none; `begin` as in `Inbound`."""
    attachment = port.attachment
    if attachment is None or descriptor < 0 or port.peer is not None:
        return {}
    if port.compression is not None and port.compression.decompressor is not None:
        return {}  # its history takes every packet
    return {octet: Inbound(port, attachment, descriptor, protocol == "ip", begin)
            for protocol, octet in (("ip", b"\x21"), ("ipv6", b"\x57")) if protocol in attachment.protocols}


def drain_listener(plane: BasePlane, listener: UDPListener) -> Callable[[int, float], None]:
    """The drain function of a data socket that gets data messages only."""
    recvfrom = listener.data.recvfrom
    find, limited, frames = listener.inbound.get, listener.limited.get, listener.frames.get
    write = os.write

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data, source = recvfrom(LARGEST)
            except OSError as error:
                if error.errno != EAGAIN:
                    continue
                return
            entry = find(data[:10])
            if (entry is None or source != entry.tunnel.socket_address
                    or data[entry.start:entry.stop] != entry.source):
                if entry is None and (way := frames(data[:8])) is not None and way.take(data, source, now):
                    continue
                entry = limited(data[:10]) if entry is None else None
                if entry is None or not take_limited(entry, data, source, now):
                    receive(plane, listener, data, source, now)
                continue
            size = len(data)
            if entry.ipv4:
                if size < 44 or data[10] != 0x45 or (data[19] == 6 and data[43] & 2 and entry.clamp):
                    receive(plane, listener, data, source, now)
                    continue
            elif size < 64 or data[10] >> 4 != 6 or (data[63] & 2 and entry.clamp if data[16] == 6
                                                     else data[34] >= 0xFE or data[16] in EXTENSIONS):
                receive(plane, listener, data, source, now)
                continue
            port = entry.port
            port.rx_packets += 1
            port.rx_octets += size - 6
            port.last = now
            try:
                write(entry.descriptor, data[10:])
            except OSError:
                port.rx_discards += 1

    return drain


def take_limited(entry: Inbound, data: bytes, source: Any, now: float) -> bool:
    """The short way, as in `drain_listener`, for a port with a rate. False: the long way."""
    port = entry.port
    size = len(data)
    if port.up is None or source != entry.tunnel.socket_address or data[entry.start:entry.stop] != entry.source:
        return False
    if entry.ipv4:
        if size < 44 or data[10] != 0x45 or (data[19] == 6 and data[43] & 2 and entry.clamp):
            return False
    elif size < 64 or data[10] >> 4 != 6 or (data[63] & 2 and entry.clamp if data[16] == 6
                                             else data[34] >= 0xFE or data[16] in EXTENSIONS):
        return False
    port.rx_packets += 1
    port.rx_octets += size - 6
    if not port.up.take(size - 10, now):
        port.rx_discards += 1
        return True
    port.last = now
    try:
        os.write(entry.descriptor, data[10:])
    except OSError:
        port.rx_discards += 1
    return True


def drain_mixed(plane: BasePlane, listener: UDPListener, member: socket.socket | None = None
                ) -> Callable[[int, float], None]:
    """The drain function of a socket that gets control datagrams too; `member`: another than that for data."""
    recvmsg = (member or listener.data).recvmsg

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data, ancillary, _, source = recvmsg(LARGEST, _PKTINFO_SPACE)
            except OSError as error:
                if error.errno != EAGAIN:
                    continue
                return
            if not data or data[0] & l2tpv2.T_BIT:
                listener.relay_control(data, ancillary, source)
            else:
                receive(plane, listener, data, source, now)

    return drain


def receive(plane: BasePlane, listener: Any, data: bytes, source: Any, now: float) -> None:
    """A data message, the long way."""
    if len(data) > 1 and data[1] & 15 == l2tpv3.VERSION or listener.encapsulation == "ip":
        receive3(plane, listener, data, source, now)
        return
    parsed = l2tpv2.parse(data)
    if parsed is None:
        plane.bad_headers += 1
        return
    key, ns, start, end = parsed
    carrier = listener.carriers.get(key)
    if carrier is None:
        plane.unknown_sessions += 1
        plane.early.keep(listener.id, key, data, source, now)
        return
    if source != carrier.tunnel.socket_address:
        elsewhere(plane, carrier, source, now)
        return
    deadline = carrier.receive(ns, data[start:end], now)
    if deadline is not None:
        plane.expire_at(carrier, deadline)


def elsewhere(plane: BasePlane, carrier: L2TPCarrier, source: Any, now: float) -> None:
    """A data message that does not come from the tunnel's peer: an error, and reported now and then."""
    tunnel = carrier.tunnel
    carrier.port.rx_errors += 1
    if now - tunnel.moved_at >= MOVED_INTERVAL:
        tunnel.moved_at = now
        plane.events.peer_moved(tunnel.id, (source[0], source[1]))


def receive3(plane: BasePlane, listener: Any, data: bytes, source: Any, now: float) -> None:
    """A data message of version 3, from the Session ID on when it came over IP."""
    session_id = l2tpv3.session_id(data, 0 if listener.encapsulation == "ip" else 4)
    if not session_id:
        plane.bad_headers += 1
        return
    carrier = listener.carriers3.get(session_id)
    if carrier is None:
        plane.unknown_sessions += 1
        plane.early.keep(listener.id, l2tpv3.EARLY_KEY | session_id, data, source, now)
        return
    if source != carrier.tunnel.socket_address:
        elsewhere(plane, carrier, source, now)
        return
    deadline = carrier.take(data, now)
    if deadline is not None:
        plane.expire_at(carrier, deadline)


def drain_raw(plane: BasePlane, listener: IPListener) -> Callable[[int, float], None]:
    """The drain function of protocol 115."""
    recvmsg, payload = listener.data.recvmsg, listener.payload
    ipv6 = listener.ipv6

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                data, ancillary, _, source = recvmsg(LARGEST, _PKTINFO_SPACE)
            except OSError as error:
                if error.errno != EAGAIN:
                    continue
                return
            data = payload(data)
            if data.startswith(CONTROL):
                listener.relay_control(data, ancillary, source)
            else:
                receive3(plane, listener, data, (source[0], 0, 0, source[3]) if ipv6 else source, now)

    return drain


def encapsulate(port: Port, packet: bytes, now: float) -> None:
    """A packet from an interface to the peer."""
    size = len(packet)
    first = packet[0]
    if first == 0x45:
        head = port.head4
        syn = port.clamp and size > 39 and packet[9] == 6 and packet[33] & 2
    else:
        head = port.head6 if first >> 4 == 6 else None
        syn = port.clamp and size > 59 and (packet[53] & 2 if packet[6] == 6 else packet[6] in EXTENSIONS)
    if head is None or syn or size > port.mtu:
        port.send_packet(packet, now)
        return
    try:
        port.transmit(head + packet)  # type: ignore[misc]
    except OSError as error:
        send_failed(port, packet, error, now)
        return
    port.tx_packets += 1
    port.tx_octets += size + port.overhead
    port.last = now


def send_failed(port: Port, packet: bytes, error: OSError, now: float) -> None:
    """Count; tell the sender where the outer path is too narrow."""
    port.tx_errors += 1
    if error.errno in (EAGAIN, ENOBUFS):
        port.losses.full += 1
    elif error.errno == EMSGSIZE:
        port.refuse(packet, 0, now)


def drain_tun(descriptor: int, port: Port, gone: Callable[[], None]) -> Callable[[int, float], None]:
    """The drain function of a port's own TUN. `gone`: the interface was removed."""
    read = os.read

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                packet = read(descriptor, LARGEST)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    gone()
                return
            if packet:
                encapsulate(port, packet, now)

    return drain


def drain_shared(descriptor: int, table: PrefixTable[Port], gone: Callable[[], None]) -> Callable[[int, float], None]:
    """The drain function of a shared TUN: the inner destination chooses the port."""
    read = os.read
    hosts, find = table.hosts, table.find

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                packet = read(descriptor, LARGEST)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    gone()
                return
            if not packet:
                continue
            destination = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
            port = hosts.get(destination) or find(destination)
            if port is not None:
                encapsulate(port, packet, now)

    return drain
