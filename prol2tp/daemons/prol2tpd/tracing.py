"""What prol2tpd tells those who follow a tunnel, a session, a peer or a user: lines and control packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.control.tracing import Tracers
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.dataplane.interface import Address

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane

ASSIGNED_SESSION = {2: b"\0\0\0\x0e", 3: b"\0\0\0\x3f"}
"""By version: vendor and type of the AVP with the sender's session id."""
HIDDEN = 0x4000
"""Flag of an AVP (RFC 2661 section 4.1)."""


REMEMBERED = 1000
"""Sessions."""


class PlaneTracing:
    """Asked only while there are tracers."""

    def __init__(self, plane: Plane, tracers: Tracers) -> None:
        self._plane = plane
        self._tracers = tracers
        self._known: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {}
        """Sessions that were told of: their last packets go when they have ended."""

    def identity(self, tunnel_id: int, session_id: int) -> tuple[str, dict[str, Any]]:
        """Name and identity of a tunnel or session."""
        tunnel = self._plane.tunnels.get(tunnel_id)
        if tunnel is None:
            return str(tunnel_id), {"tunnel": tunnel_id}
        found: dict[str, Any] = {"tunnel": tunnel_id, "peer": tunnel.core.peer[0]}
        if not session_id:
            return f"tunnel {tunnel.label}", found
        found["session"] = session_id
        session = tunnel.sessions.get(session_id)
        if session is None:
            return self._known.get((tunnel_id, session_id)) or (
                f"session {tunnel_id}/{session_id}", {**found, "user": ""})
        found["user"] = session.user or getattr(session.profile, "user_name", "") or ""
        known = self._known[tunnel_id, session_id] = f"session {session.label}", found
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return known

    def line(self, kind: str, tunnel_id: int, session_id: int, line: str) -> None:
        who, identity = self.identity(tunnel_id, session_id)
        self._tracers.tell((tunnel_id, session_id), identity, who, kind, line)

    def received(self, data: bytes, peer: Address, local: Address) -> None:
        """A datagram that the core has taken."""
        version = data[1] & 15 if len(data) >= 12 else 0
        if not len(data) >= 12 or not data[0] & 0x80:
            return
        tunnel_id = int.from_bytes(data[4:6] if version == 2 else data[4:8], "big")
        session_id = int.from_bytes(data[6:8], "big") if version == 2 else 0
        tunnel = self._plane.tunnels.get(tunnel_id)
        if tunnel is not None and not session_id:
            peers_id = self._assigned(data, version)
            session = tunnel.core.calls.by_peer_id(peers_id) if peers_id else None
            session_id = session.session_id if session is not None else 0
        self._packet(tunnel_id, session_id, "in", data, peer, local)

    def transmitted(self, tunnel_id: int, data: bytes, peer: Address, local: Address) -> None:
        """A datagram of ours."""
        version = data[1] & 15
        session_id = 0
        tunnel = self._plane.tunnels.get(tunnel_id)
        if tunnel is not None:
            session_id = self._assigned(data, version)
            peers_id = int.from_bytes(data[6:8], "big") if version == 2 else 0
            if not session_id and peers_id:
                session = tunnel.core.calls.by_peer_id(peers_id)
                session_id = session.session_id if session is not None else 0
        self._packet(tunnel_id, session_id, "out", data, peer, local)

    @staticmethod
    def _assigned(data: bytes, version: int) -> int:
        wanted = ASSIGNED_SESSION.get(version)
        at = 12
        while at + 6 <= len(data):
            flags = int.from_bytes(data[at:at + 2], "big")
            length = flags & 0x3FF
            if data[at + 2:at + 6] == wanted:
                return 0 if flags & HIDDEN else int.from_bytes(data[at + 6:at + length], "big")
            at += max(length, 6)
        return 0

    def _packet(self, tunnel_id: int, session_id: int, direction: str, data: bytes, peer: Address,
                local: Address) -> None:
        who, identity = self.identity(tunnel_id, session_id)
        self._tracers.tell((tunnel_id, session_id), {"peer": peer[0], **identity}, who, "packet", "", data,
                           network="udp" if local[1] else "ip", direction=direction, local=text(local),
                           peer=text(peer))
