"""Tunnels of L2TPv3 without a control connection: both ends are told everything (RFC 3931 section 4.1,
"manually configured" sessions; `ip l2tp` of Linux makes such). Nothing is sent, nothing is heard, nothing times out.
"""

from __future__ import annotations

from typing import Any

from prol2tp.l2tp.messages import Message
from prol2tp.l2tp.table import table
from prol2tp.l2tp.tunnel import Event, State, Tunnel


class StaticTunnel(Tunnel):
    """Established as long as it is there."""

    __slots__ = ()

    NAME = "STATIC"
    static = True

    def _hello_due(self) -> float | None:
        return None

    def send(self, message: Message, session_id: int, now: float, our_session_id: int = 0) -> None:
        """There is nobody who would listen."""

    def begin(self, message: Any, now: float) -> None:
        self.peer_tunnel_id = self.settings.peer_tunnel_id
        self.peer_pseudowires = self.settings.pseudowires
        self.tunnel_open(message, now)

    TABLE = table([
        # states, events, action, new state
        ((State.IDLE,), (Event.OPEN_REQ,), begin, State.ESTABLISHED),
        ((State.ESTABLISHED,), (Event.CLOSE_REQ, Event.XPRT_DOWN), Tunnel.vanish, State.IDLE),
    ])
