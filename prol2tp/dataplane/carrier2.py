"""The carrier of an L2TPv2 session: what brings the frames of its port to the peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prol2tp.dataplane import l2tpv2
from prol2tp.dataplane.interface import SessionSpec, TunnelSpec
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.sequencing import ReceiveSequence

if TYPE_CHECKING:
    from prol2tp.dataplane.tunnels import Tunnel


class L2TPCarrier:
    """An L2TPv2 session (RFC 2661 section 3.1).

    :param changed: called when the short way of receiving must be worked out anew.
    """

    __slots__ = ("port", "tunnel", "table", "key", "header", "peer_tunnel_id", "peer_session_id", "lns",
                 "send_sequence", "ns", "sequence", "reorder_timeout", "on_changed", "keys")

    def __init__(self, port: Port, tunnel: Tunnel, spec: SessionSpec, changed: Callable[[L2TPCarrier], None]) -> None:
        self.port = port
        self.tunnel = tunnel
        self.table: dict[int, Any] = {}
        """Of the listener: where it stands under its key."""
        self.peer_tunnel_id = tunnel.spec.peer_tunnel_id
        self.peer_session_id = spec.peer_session_id
        self.key, self.header = self._identify(tunnel.spec, spec)
        self.lns = spec.lns
        self.send_sequence = spec.send_sequence
        self.ns = 0
        self.reorder_timeout = spec.reorder_timeout
        self.sequence: ReceiveSequence | None = None
        self.on_changed = changed
        self.keys: list[bytes] = []
        """Of the listener's `inbound`."""
        self.expect_sequence(spec.receive_sequence)

    def _identify(self, tunnel: TunnelSpec, spec: SessionSpec) -> tuple[int, bytes]:
        """The key by which a data message finds us, and what stands before those that we send."""
        return tunnel.tunnel_id << 16 | spec.session_id, l2tpv2.plain(tunnel.peer_tunnel_id, spec.peer_session_id)

    def expect_sequence(self, wanted: bool) -> None:
        self.sequence = ReceiveSequence(self.port.receive, self.reorder_timeout) if wanted else None

    def send(self, frame: bytes, traffic_class: int) -> bool:
        if self.send_sequence:
            header = l2tpv2.sequenced(self.peer_tunnel_id, self.peer_session_id, self.ns)
            self.ns = (self.ns + 1) & 0xFFFF
        else:
            header = self.header
        return self.tunnel.send(header + frame, traffic_class)

    def room(self) -> int:
        return self.tunnel.room() - (10 if self.send_sequence else 6) - 4

    def prefix(self, ppp: bytes) -> bytes | None:
        return None if self.send_sequence or self.tunnel.copies_tos else self.header + ppp

    def changed(self) -> None:
        self.port.transmit = self.tunnel.transmit
        self.on_changed(self)

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        if send_sequence is not None:
            self.send_sequence = send_sequence
        if receive_sequence is not None and receive_sequence != (self.sequence is not None):
            self.expect_sequence(receive_sequence)

    def close(self) -> None:
        del self.table[self.key]
        self.tunnel.ports.discard(self.port.id)

    def receive(self, ns: int, frame: bytes, now: float) -> float | None:
        """A data message's payload; `ns` -1: it has none. -> when `expire` must be called."""
        port = self.port
        if not self.lns and (ns >= 0) != self.send_sequence:
            # the LAC follows the LNS (RFC 2661 section 5.4)
            self.send_sequence = ns >= 0
            port.prepare()
        sequence = self.sequence
        if ns < 0 or sequence is None:
            port.receive(frame, now)
            return None
        sequence.receive(ns, frame, now)
        self._count(sequence)
        return sequence.deadline

    def expire(self, now: float) -> None:
        """The reorder timeout has come."""
        if self.sequence is not None:
            self.sequence.expire(now)
            self._count(self.sequence)

    def _count(self, sequence: ReceiveSequence) -> None:
        port = self.port
        port.rx_out_of_sequence += sequence.out_of_sequence
        port.rx_discards += sequence.discards
        sequence.out_of_sequence = sequence.discards = 0
