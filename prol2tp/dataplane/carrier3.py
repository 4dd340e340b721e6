"""An L2TPv3 session (RFC 3931 section 4): the carrier of a PPP or an Ethernet port."""

from __future__ import annotations

from collections.abc import Callable

from prol2tp.common.sequence import MODULUS_24
from prol2tp.dataplane import l2tpv3
from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.interface import SessionSpec, TunnelSpec
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.sequencing import ReceiveSequence
from prol2tp.dataplane.tunnels import Tunnel


class L2TPv3Carrier(L2TPCarrier):
    """As the carrier of version 2, with a cookie and perhaps a sublayer before each frame. Both ends number what they
    have agreed on: nobody follows the other.

    :ivar start: where the payload begins in what we receive, behind cookie and sublayer.
    """

    __slots__ = ("cookie", "cookie_at", "cookie_end", "start", "receive_sublayer", "send_sublayer", "over_ip")

    def __init__(self, port: Port, tunnel: Tunnel, spec: SessionSpec,
                 changed: Callable[[L2TPCarrier], None]) -> None:
        over_ip = tunnel.spec.encapsulation == "ip"
        self.over_ip = over_ip
        self.cookie = spec.cookie
        self.cookie_at = 4 if over_ip else 8
        self.cookie_end = self.cookie_at + len(spec.cookie)
        self.receive_sublayer = spec.receive_sublayer
        self.send_sublayer = spec.send_sublayer
        self.start = self.cookie_end + (l2tpv3.SUBLAYER_LENGTH if spec.receive_sublayer else 0)
        super().__init__(port, tunnel, spec, changed)
        self.lns = True

    def _identify(self, tunnel: TunnelSpec, spec: SessionSpec) -> tuple[int, bytes]:
        return spec.session_id, l2tpv3.head(spec.peer_session_id, spec.peer_cookie, self.over_ip)

    def expect_sequence(self, wanted: bool) -> None:
        self.sequence = ReceiveSequence(self.port.receive, self.reorder_timeout, MODULUS_24) if wanted else None

    def send(self, frame: bytes, traffic_class: int) -> bool:
        header = self.header
        if self.send_sublayer:
            if self.send_sequence:
                header += l2tpv3.sublayer(self.ns)
                self.ns = (self.ns + 1) % MODULUS_24
            else:
                header += l2tpv3.sublayer(-1)
        return self.tunnel.send(header + frame, traffic_class)

    def room(self) -> int:
        room = self.tunnel.room() - len(self.header) - (l2tpv3.SUBLAYER_LENGTH if self.send_sublayer else 0) - 4
        return room + 8 if self.over_ip else room  # no UDP header

    def prefix(self, ppp: bytes) -> bytes | None:
        if self.tunnel.copies_tos or self.send_sublayer and self.send_sequence:
            return None
        return self.header + (l2tpv3.sublayer(-1) if self.send_sublayer else b"") + ppp

    def take(self, data: bytes, now: float) -> float | None:
        """A whole data message of this session. -> when `expire` must be called."""
        if data[self.cookie_at:self.cookie_end] != self.cookie or len(data) < self.start:
            self.port.rx_errors += 1
            return None
        ns = l2tpv3.number(data, self.cookie_end) if self.receive_sublayer else -1
        return self.receive(ns, data[self.start:], now)

    def receive(self, ns: int, frame: bytes, now: float) -> float | None:
        """As that of version 2. Numbers that were agreed on and are not there mean nothing (section 4.6)."""
        sequence = self.sequence
        if ns < 0 or sequence is None:
            self.port.receive(frame, now)
            return None
        sequence.receive(ns, frame, now)
        self._count(sequence)
        return sequence.deadline
