"""The short way between two joined ports: one look-up, one header for another.

What needs a rule of its own goes the long way (`ports.Port.receive`): sequence numbers, frames without FF 03 in L2TP,
a second VLAN tag, compression.
"""

from __future__ import annotations

from errno import EAGAIN, ENOBUFS
from typing import TYPE_CHECKING, Any

from prol2tp.dataplane.pppoe import PPPoECarrier

if TYPE_CHECKING:
    from prol2tp.dataplane.carrier2 import L2TPCarrier
    from prol2tp.dataplane.ports import Port
    from prol2tp.dataplane.tunnels import Tunnel

L2TP_HEADER = 6
"""Octets of a data message's header without optional fields."""
FF03 = b"\xff\x03"


class Onward:
    """An entry of `UDPListener.frames`, or `PPPoECarrier.onward`: where frames of a joined port go.

    :param head: what stands before them there.
    :param start: octets of a data message before what is passed on.
    """

    __slots__ = ("port", "peer", "transmit", "head", "start", "tunnel")

    def __init__(self, port: Port, peer: Port, head: bytes, start: int = 0, tunnel: Tunnel | None = None) -> None:
        self.port = port
        self.peer = peer
        self.transmit: Any = peer.transmit
        self.head = head
        self.start = start
        self.tunnel: Any = tunnel

    def take(self, data: bytes, source: Any, now: float) -> bool:
        """A data message. False: the long way."""
        if source != self.tunnel.socket_address or len(data) <= self.start:
            return False
        port = self.port
        port.rx_packets += 1
        port.rx_octets += len(data) - L2TP_HEADER
        self._send(data[self.start:], len(data) - self.start)
        return True

    def pass_on(self, frame: bytes) -> None:
        """A frame of PPPoE."""
        port = self.port
        port.rx_packets += 1
        port.rx_octets += len(frame)
        self._send(frame, len(frame) + len(FF03))

    def _send(self, frame: bytes, size: int) -> None:
        peer = self.peer
        try:
            self.transmit(self.head + frame)
        except OSError as error:
            if error.errno in (EAGAIN, ENOBUFS):
                peer.losses.full += 1
            peer.tx_errors += 1
        else:
            peer.tx_packets += 1
            peer.tx_octets += size


def onward_from_l2tp(carrier: L2TPCarrier) -> Onward | None:
    """None: all goes the long way."""
    port = carrier.port
    peer = port.peer
    if peer is None or peer.transmit is None or peer.compression is not None or port.compression is not None:
        return None
    if carrier.send_sequence and not carrier.lns:
        return None
    head = peer.carrier.prefix(b"")
    if head is None:
        return None
    # PPPoE goes without FF 03
    start = L2TP_HEADER + (len(FF03) if isinstance(peer.carrier, PPPoECarrier) else 0)
    return Onward(port, peer, head, start, carrier.tunnel)


def onward_from_pppoe(carrier: PPPoECarrier) -> Onward | None:
    """None: all goes the long way."""
    port = carrier.port
    peer = port.peer
    if peer is None or peer.transmit is None or peer.compression is not None or port.compression is not None:
        return None
    head = peer.carrier.prefix(FF03) if port.bare else None
    return Onward(port, peer, head) if head is not None else None
