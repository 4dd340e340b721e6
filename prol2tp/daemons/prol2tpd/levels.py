"""How much is logged of each tunnel and session, and the core's trace while somebody reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane

TRACE_LEVEL = {"message": Level.INFO, "fsm": Level.DEBUG, "avp": Level.DEBUG, "transport": Level.DEBUG}


class Levels:
    """Log levels of tunnels, sessions and kinds of trace beside that of the log."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._verbose = 0
        """Tunnels and sessions that want the trace."""
        self._categories: dict[str, Level] = {}

    def of(self, record: SessionRecord) -> Level | None:
        return record.tunnel.log_level if record.log_level is None else record.log_level

    def configure(self, levels: dict[str, Level]) -> None:
        """Levels of kinds of trace that do not go by the log's."""
        self._categories = levels
        self.retrace()

    def retrace(self) -> None:
        """Ask the core for its trace only while somebody wants to read it."""
        wanted = self._verbose or self._plane.tracers or any(
            level <= self._categories.get(kind, self._plane.log.level) for kind, level in TRACE_LEVEL.items())
        self._plane.endpoint.trace = self._trace if wanted else None

    def set(self, record: TunnelRecord | SessionRecord, level: Level | None) -> None:
        """Give a tunnel or session a log level of its own; None: none."""
        self._verbose += (level is not None and level >= Level.INFO) - (
            record.log_level is not None and record.log_level >= Level.INFO)
        record.log_level = level
        self.retrace()

    def _trace(self, kind: str, tunnel_id: int, session_id: int, line: str) -> None:
        if self._plane.tracers:
            self._plane.tracing.line(kind, tunnel_id, session_id, line)
        own: Level | None = None
        tunnel = self._plane.tunnels.get(tunnel_id)
        if tunnel is not None:
            own = tunnel.log_level
            session = tunnel.sessions.get(session_id)
            if session is not None and session.log_level is not None:
                own = session.log_level
        level = TRACE_LEVEL.get(kind, Level.DEBUG)
        if own is None:
            own = self._categories.get(kind)
        if self._plane.log.enabled(level, own):
            # an event of a machine names its tunnel and session itself
            where = "" if kind == "fsm" else f"{tunnel_id}/{session_id}: " if session_id else f"{tunnel_id}: "
            self._plane.log.emit(level, "{where}{line}", own=own, where=where, line=line)
