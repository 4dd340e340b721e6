"""A port: one PPP channel, what is attached to it, its counters. And the carrier: what brings its frames to the peer.

Everything here works on octets in memory; sockets and interfaces come as callables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from prol2tp.dataplane import packets
from prol2tp.dataplane.compression import CCP, COMPRESSED, CONFIGURE_ACK, Compression, compressible
from prol2tp.dataplane.interface import NetifSpec
from prol2tp.dataplane.policing import Policer
from prol2tp.dataplane.prefixes import allowed, parse_prefix
from prol2tp.dataplane.punting import Punting

if TYPE_CHECKING:
    pass

EARLY_MAX = 4
"""Frames kept for a receiver that is still to come."""

FRAMES_PER_SECOND = 500
"""Most frames of one port that its receiver gets in a second; a negotiation has some tens."""

TOO_BIG_INTERVAL = 0.01
"""Seconds between two "too big" errors of one port."""

IP, IPV6 = 0x0021, 0x0057
FRAME_MAX = 65000
FF03 = b"\xff\x03"
"""The address and control fields of RFC 1662."""

Receiver = Callable[[bytes], None]


def ppp_header(protocol: int, pcomp: bool, accomp: bool) -> bytes:
    """Address, control and protocol fields of a data packet (RFC 1661 sections 6.5 and 6.6)."""
    return (b"" if accomp else b"\xff\x03") + (bytes((protocol,)) if pcomp else protocol.to_bytes(2, "big"))


def ppp_protocol(data: bytes, start: int, end: int) -> tuple[int, int]:
    """-> protocol and where its packet starts; 0 if there is none."""
    if data[start:start + 2] == b"\xff\x03":
        start += 2
    if start >= end:
        return 0, start
    first = data[start]
    if first & 1:
        return first, start + 1
    if start + 2 > end:
        return 0, start
    return first << 8 | data[start + 1], start + 2


class Carrier(Protocol):
    """What a port's frames travel in: `L2TPCarrier`, `pppoe.PPPoECarrier`, `asyncline.TtyCarrier`."""

    def send(self, frame: bytes, traffic_class: int) -> bool:
        """Send a whole PPP frame; False: it was dropped."""

    def room(self) -> int:
        """Largest IP packet that the outer path takes now."""

    def prefix(self, ppp: bytes) -> bytes | None:
        """What stands before every packet with this PPP header; None: each packet needs its own."""

    def changed(self) -> None:
        """What the port may receive the short way has changed."""

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        """As `IDataPlane.port_modify`."""

    def close(self) -> None:
        """The port is deleted."""


class Closed:
    """The carrier of a port that was deleted: whoever still has that port sends nothing."""

    def send(self, frame: bytes, traffic_class: int) -> bool:
        return False

    def room(self) -> int:
        return 0

    def prefix(self, ppp: bytes) -> bytes | None:
        return None

    def changed(self) -> None:
        pass

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        pass

    def close(self) -> None:
        pass


CLOSED = Closed()


class Attachment:
    """A port's end of an interface: the rules for its packets.

    :param write: gives a packet to the interface; raises `OSError`.
    """

    __slots__ = ("spec", "write", "own", "protocols", "prefixes", "mtu", "link", "too_big_at", "punting")

    def __init__(self, spec: NetifSpec, write: Callable[[bytes], object], link: object) -> None:
        self.spec = spec
        self.write = write
        self.link = link
        self.own = spec.mode == "own"
        self.protocols = frozenset(spec.protocols)
        self.prefixes = [parse_prefix(text) for text in spec.prefixes]
        self.mtu = spec.mtu
        self.too_big_at = 0.0
        self.punting: Punting | None = None


class Losses:
    """What was dropped since it was last reported: packets for want of room, and ports that lost frames."""

    __slots__ = ("full", "ports")

    def __init__(self) -> None:
        self.full = 0
        self.ports: set[Port] = set()


class Port:
    """Counters and hot fields; see `interface.COUNTERS`."""

    __slots__ = ("id", "carrier", "receiver", "early", "second", "frames", "frames_lost", "losses", "attachment",
                 "pending", "peer", "bare",
                 "pcomp", "accomp", "compression", "up", "down",
                 "head4", "head6", "overhead", "mtu", "clamp", "last", "transmit",
                 "tx_packets", "tx_octets", "tx_errors", "rx_packets", "rx_octets", "rx_errors",
                 "rx_out_of_sequence", "rx_discards")

    def __init__(self, identifier: int, losses: Losses) -> None:
        self.id = identifier
        self.carrier: Carrier
        self.receiver: Receiver | None = None
        self.early: list[bytes] = []
        self.second = float("-inf")
        self.frames = 0
        """Frames for the receiver since `second`."""
        self.frames_lost = 0
        self.losses = losses
        self.attachment: Attachment | None = None
        self.pending: tuple[object] | None = None
        """Holds the interface that is being made."""
        self.peer: Port | None = None
        """Where a switched port's frames go."""
        self.bare = False
        """They come without FF 03 and go with it; what comes from there is stripped of it."""
        self.pcomp = False
        self.accomp = False
        self.compression: Compression | None = None
        self.up: Policer | None = None
        self.down: Policer | None = None
        """Of what the peer sends, and of what it is sent."""
        self.head4: bytes | None = None
        """What stands before an IPv4 packet towards the peer; None: the long way."""
        self.head6: bytes | None = None
        self.overhead = 0
        """Octets of the PPP header in `head4`, `head6`."""
        self.mtu = 0
        self.clamp = False
        self.transmit: Callable[[bytes], object] | None = None
        """Sends a whole datagram that begins with a head."""
        self.last = -1.0
        self.tx_packets = self.tx_octets = self.tx_errors = 0
        self.rx_packets = self.rx_octets = self.rx_errors = 0
        self.rx_out_of_sequence = self.rx_discards = 0

    def counters(self, now: float) -> tuple:
        """`COUNTERS` + last_activity."""
        return (self.tx_packets, self.tx_octets, self.tx_errors, self.rx_packets, self.rx_octets, self.rx_errors,
                self.rx_out_of_sequence, self.rx_discards, now - self.last if self.last >= 0 else -1.0)

    def prepare(self) -> None:
        """Work out the short ways anew, after any change."""
        self.head4 = self.head6 = None
        attachment = self.attachment
        compressing = self.compression is not None and self.compression.compressor is not None
        if attachment is not None and self.peer is None and not compressing:
            self.mtu = attachment.mtu
            self.clamp = attachment.spec.mss_clamp
            self.overhead = len(ppp_header(IP, self.pcomp, self.accomp))
            if "ip" in attachment.protocols:
                self.head4 = self.carrier.prefix(ppp_header(IP, self.pcomp, self.accomp))
            if "ipv6" in attachment.protocols:
                self.head6 = self.carrier.prefix(ppp_header(IPV6, self.pcomp, self.accomp))
        self.carrier.changed()
        head = self.head4 or self.head6
        if self.down is not None and head is not None and self.transmit is not None:
            self.transmit = self.down.guard(self.transmit, len(head))
        if self.peer is not None:
            self.peer.carrier.changed()

    # -- towards the peer --

    def send(self, frame: bytes, traffic_class: int = 0) -> None:
        """A whole PPP frame."""
        if self.compression is not None:
            frame = self._compressed(self.compression, frame)
        if self.carrier.send(frame, traffic_class):
            self.tx_packets += 1
            self.tx_octets += len(frame)
        else:
            self.tx_errors += 1

    def _compressed(self, compression: Compression, frame: bytes) -> bytes:
        if compression.compressor is None:
            return frame
        protocol, start = ppp_protocol(frame, 0, len(frame))
        if not compressible(protocol):
            return frame
        information = compression.compressor.compress(protocol, frame[start:])
        return frame if information is None else ppp_header(COMPRESSED, self.pcomp, self.accomp) + information

    def send_packet(self, packet: bytes, now: float) -> None:
        """An IP packet from the interface, by all the rules. The short way is `forward.encapsulate`."""
        attachment = self.attachment
        if attachment is None or self.peer is not None or len(packet) < 20:
            return
        version = packet[0] >> 4
        if version == 4 and "ip" in attachment.protocols:
            protocol = IP
        elif version == 6 and "ipv6" in attachment.protocols and len(packet) >= 40:
            protocol = IPV6
        else:
            return
        mtu = attachment.mtu
        if self.compression is not None:
            mtu -= self.compression.expansion
        if self.down is not None and not self.down.take(len(packet), now):
            self.tx_errors += 1
            return
        if attachment.spec.mss_clamp:
            packet = packets.clamp_mss(packet, mtu)
        self.last = now
        head = ppp_header(protocol, self.pcomp, self.accomp)
        traffic_class = packets.traffic_class(packet)
        if len(packet) <= mtu:
            self.send(head + packet, traffic_class)
            return
        fragments: list[bytes] = []
        if version == 4 and (attachment.spec.clear_df or not packets.dont_fragment(packet)):
            fragments = packets.fragment4(packet, mtu)
        for fragment in fragments:
            self.send(head + fragment, traffic_class)
        if not fragments:
            self.tx_errors += 1
            self.refuse(packet, mtu, now)

    def refuse(self, packet: bytes, mtu: int, now: float) -> None:
        """Tell the sender of a packet from the interface that it is larger than `mtu` (0: than the outer path takes);
        not too often."""
        attachment = self.attachment
        if attachment is None or now < attachment.too_big_at:
            return
        attachment.too_big_at = now + TOO_BIG_INTERVAL
        mtu = mtu or self.carrier.room()
        if mtu < packets.MINIMUM_MTU4:
            return
        answer = packets.too_big(packet, mtu)
        if answer:
            try:
                attachment.write(answer)
            except OSError:
                pass

    # -- from the peer --

    def receive(self, frame: bytes, now: float) -> None:
        """A PPP frame in its order."""
        self.rx_packets += 1
        self.rx_octets += len(frame)
        if self.peer is not None:
            self.pass_on(frame)
            return
        protocol, start = ppp_protocol(frame, 0, len(frame))
        if self.compression is not None or (protocol == CCP and frame[start:start + 1] == CONFIGURE_ACK):
            self._decompressed(protocol, frame, start, now)
        else:
            self._take(protocol, frame, start, now)

    def pass_on(self, frame: bytes) -> None:
        """To the port that it is joined to."""
        peer = self.peer
        if peer is None:
            return
        if self.bare:
            peer.send(frame if frame[:2] == FF03 else FF03 + frame)
        else:
            peer.send(frame[2:] if peer.bare and frame[:2] == FF03 else frame)

    def _take(self, protocol: int, frame: bytes, start: int, now: float) -> None:
        attachment = self.attachment
        if attachment is not None and protocol in (IP, IPV6):
            self._to_interface(attachment, protocol, frame, start, now)
        else:
            self.receive_control(frame, now)

    def _decompressed(self, protocol: int, frame: bytes, start: int, now: float) -> None:
        compression = self.compression
        if compression is None:
            compression = self.compression = Compression()
        if protocol == CCP:
            compression.overhear(frame[start:], now)
        elif compression.decompressor is None:
            if protocol == COMPRESSED and compression.holds(frame, now):
                return
        elif protocol == COMPRESSED:
            packet = compression.decompress(frame[start:], now)
            if packet is None:
                self.rx_errors += 1
                return
            frame = packet
            protocol, start = ppp_protocol(frame, 0, len(frame))
        elif compressible(protocol):
            compression.decompressor.passed(protocol, frame[start:])
        self._take(protocol, frame, start, now)

    def compress(self, compression: Compression | None, now: float) -> None:
        """Codecs have changed; None: there are none any more. What has waited for them is read now."""
        self.compression = compression
        self.prepare()
        if compression is not None:
            held, compression.held = compression.held, []
            for frame in held:
                protocol, start = ppp_protocol(frame, 0, len(frame))
                self._decompressed(protocol, frame, start, now)

    def _to_interface(self, attachment: Attachment, protocol: int, frame: bytes, start: int, now: float) -> None:
        packet = frame[start:]
        size = len(packet)
        if protocol == IP:
            if size < 20 or packet[0] >> 4 != 4:
                self.rx_errors += 1
                return
            open_, source = "ip" in attachment.protocols, packet[12:16]
        else:
            if size < 40 or packet[0] >> 4 != 6:
                self.rx_errors += 1
                return
            open_, source = "ipv6" in attachment.protocols, packet[8:24]
            punting = attachment.punting
            if punting is not None and packet[24] >= 0xFE and punting.wants(packet):
                self.punt(attachment, punting, packet, frame, now)
                return
        if not open_ or (attachment.spec.source_check and not allowed(source, attachment.prefixes, attachment.own)):
            self.rx_discards += 1
            return
        if self.up is not None and not self.up.take(size, now):
            self.rx_discards += 1
            return
        if attachment.spec.mss_clamp:
            packet = packets.clamp_mss(packet, attachment.mtu)
        self.last = now
        try:
            attachment.write(packet)
        except OSError:
            self.rx_discards += 1

    def punt(self, attachment: Attachment, punting: Punting, packet: bytes, frame: bytes, now: float) -> None:
        known = (not attachment.spec.source_check or punting.source_allowed(packet)
                 or allowed(packet[8:24], attachment.prefixes, attachment.own))
        if known and punting.admits(now):
            self.receive_control(frame, now)
        else:
            self.rx_discards += 1

    def receive_control(self, frame: bytes, now: float) -> None:
        """A frame for the receiver; it waits if there is none yet. Of a flood the rest of the second is dropped: all
        sessions share the way to the daemon."""
        if now - self.second >= 1.0:
            self.second = now
            self.frames = 0
        self.frames += 1
        if self.frames > FRAMES_PER_SECOND:
            self.lost(1)
        elif self.receiver is not None:
            self.receiver(frame)
        elif len(self.early) < EARLY_MAX:
            self.early.append(frame)
        else:
            self.lost(1)

    def lost(self, count: int) -> None:
        self.frames_lost += count
        self.losses.ports.add(self)

    def set_receiver(self, receiver: Receiver | None) -> None:
        self.receiver = receiver
        if receiver is not None and self.early:
            early, self.early = self.early, []
            for frame in early:
                receiver(frame)
