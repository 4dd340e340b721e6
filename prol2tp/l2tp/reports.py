"""What an endpoint is told to say of calls that are up: link info, errors, circuits, connect speeds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from prol2tp.l2tp import speeds
from prol2tp.l2tp.messages import ACCM, CallErrors
from prol2tp.l2tp.session import Session, State
from prol2tp.l2tp.version3 import Version3

if TYPE_CHECKING:
    from prol2tp.l2tp.tunnel import Tunnel

TOLD = (State.WAITCONNECT, State.WAIT_DATAPATH, State.ESTABLISHED)
"""States in which the peer has heard of our circuit."""


class Reports:
    """The part of `Endpoint` with these commands."""

    tunnels: dict[int, Tunnel]

    def _settle(self, tunnel: Tunnel, now: float) -> None:
        raise NotImplementedError

    def send_link_info(self, tunnel_id: int, session_id: int, send_accm: int, receive_accm: int, now: float,
                       last_sent: bytes = b"", last_received: bytes = b"") -> None:
        """SLI, from the LNS of an established call, with what LCP came to (RFC 3437). Raises `ValueError` elsewhere."""
        session = self._connected(tunnel_id, session_id, True)
        accm = ACCM(send_accm, receive_accm)
        session.send(session.tunnel.version.sli(session, accm, last_sent, last_received), now)
        self._settle(session.tunnel, now)

    def send_connect_speed(self, tunnel_id: int, session_id: int, tx: int, rx: int, now: float) -> None:
        """CSUN, from the LAC of an established call, bit/s to and from the subscriber. Raises `ValueError` elsewhere,
        and for speeds that do not fit 32 bits."""
        session = self._connected(tunnel_id, session_id, False)
        if not (0 <= tx < 1 << 32 and 0 <= rx < 1 << 32):
            raise ValueError(f"connect speeds {tx} and {rx} do not fit 32 bits")
        session.speeds = tx, rx
        speeds.tell(session.tunnel, [session], now)
        self._settle(session.tunnel, now)

    def ask_connect_speed(self, tunnel_id: int, session_id: int, now: float) -> None:
        """CSURQ, from the LNS of an established call: `SpeedChanged` may follow. Raises `ValueError` elsewhere."""
        session = self._connected(tunnel_id, session_id, True)
        speeds.ask(session.tunnel, [session], now)
        self._settle(session.tunnel, now)

    def set_circuit(self, tunnel_id: int, session_id: int, active: bool, now: float) -> None:
        """Our attachment circuit of a session of version 3 went up or down: the peer is told (RFC 3931 section 6.14).
        Raises `ValueError` for a call of version 2."""
        session = self.tunnels[tunnel_id].sessions[session_id]
        wire = session.pseudowire
        if session.tunnel.version.number != Version3.number:
            raise ValueError(f"session {tunnel_id}/{session_id} is one of L2TPv2: it has no circuit")
        session.settings = replace(session.settings, circuit_active=active)
        if wire is not None and wire.active != active:
            wire.active = active
            if session.state in TOLD:
                session.send(session.tunnel.version.sli(session, None), now)
                self._settle(session.tunnel, now)

    def send_wan_errors(self, tunnel_id: int, session_id: int, counters: CallErrors, now: float) -> None:
        """WEN, from the LAC of an established call. Raises `ValueError` elsewhere."""
        session = self._connected(tunnel_id, session_id, False)
        session.send(session.tunnel.version.wen(session, counters), now)
        self._settle(session.tunnel, now)

    def _connected(self, tunnel_id: int, session_id: int, lns: bool) -> Session:
        session = self.tunnels[tunnel_id].sessions[session_id]
        if session.state is not State.ESTABLISHED or session.lns is not lns:
            role = "LNS" if lns else "LAC"
            raise ValueError(f"session {tunnel_id}/{session_id} is not an established call of our {role}")
        return session
