"""Connect speeds of calls that are up (RFC 5515): the LAC says that they have changed (CSUN), the LNS asks (CSURQ).

Both messages are about calls of a whole tunnel, and name each by the id of who receives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prol2tp.l2tp.avptable import ConnectSpeed
from prol2tp.l2tp.messages import CSURQ
from prol2tp.l2tp.outputs import SpeedChanged
from prol2tp.l2tp.session import Session, State

if TYPE_CHECKING:
    from prol2tp.l2tp.tunnel import Tunnel

MOST = 40
"""Calls in one message of ours, which then fits any path."""


def receive(tunnel: Tunnel, message: Any, now: float) -> None:
    """CSUN or CSURQ of the peer; what it says of calls that are not its to name is counted, and changes nothing."""
    asked: list[Session] = []
    request = message.number == CSURQ.number
    for session_id, tx, rx in message.connect_speed_update:
        session = tunnel.sessions.get(session_id)
        if session is None or session.state is not State.ESTABLISHED or session.lns is request:
            tunnel.context.counters.unknown_sessions += 1
        elif request:
            asked.append(session)
        elif session.speeds != (tx, rx):
            session.speeds = tx, rx
            tunnel.context.emit(SpeedChanged(tunnel.tunnel_id, session_id, tx, rx))
    if asked:
        tell(tunnel, dict.fromkeys(asked), now)


def tell(tunnel: Tunnel, sessions: Iterable[Session], now: float) -> None:
    """CSUN about calls of which we are the LAC."""
    _send(tunnel, [ConnectSpeed(session.peer_session_id, *of(session)) for session in sessions], False, now)


def ask(tunnel: Tunnel, sessions: Iterable[Session], now: float) -> None:
    """CSURQ about calls of which we are the LNS."""
    _send(tunnel, [ConnectSpeed(session.peer_session_id, 0, 0) for session in sessions], True, now)


def of(session: Session) -> tuple[int, int]:
    """Speeds of the subscriber's line as we know them, bit/s to and from the subscriber; 0: not known."""
    if session.speeds is not None:
        return session.speeds
    if session.lns:
        for message in (session.connect_message, session.peer_message):
            for tail in ("", "_bps"):
                tx = getattr(message, "tx_connect_speed" + tail, None)
                rx = getattr(message, "rx_connect_speed" + tail, None)
                if tx or rx:
                    return tx or 0, rx or 0
        return 0, 0
    settings = session.settings
    return settings.tx_connect_speed, settings.rx_connect_speed or settings.tx_connect_speed


def _send(tunnel: Tunnel, speeds: list[ConnectSpeed], request: bool, now: float) -> None:
    for start in range(0, len(speeds), MOST):
        tunnel.send(tunnel.version.speeds(tuple(speeds[start:start + MOST]), request), 0, now)
