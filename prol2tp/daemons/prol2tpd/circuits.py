"""Which of our own sessions is for a circuit that the peer may ask for too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.instances import ClientSession


class Circuits:
    """Our sessions by Remote End ID; several peers may have one of the same name."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[ClientSession, None]] = {}

    def add(self, session: ClientSession) -> None:
        end = session.config.remote_end_id
        if end:
            self._sessions.setdefault(end, {})[session] = None

    def discard(self, session: ClientSession) -> None:
        found = self._sessions.get(session.config.remote_end_id)
        if found is not None:
            found.pop(session, None)
            if not found:
                del self._sessions[session.config.remote_end_id]

    def find(self, remote_end_id: str, peer: str) -> ClientSession | None:
        """The session for a circuit of this peer that is still wanted."""
        for session in self._sessions.get(remote_end_id, ()):
            if session.tunnel.peer == peer and not session.stopped:
                return session
        return None
