"""Why tunnels and sessions ended: a record of each in a bounded history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from prol2tp.config.prol2tpd import System
from prol2tp.control.paging import texts_page
from prol2tp.daemons.prol2tpd import facts
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.dataplane.interface import COUNTERS
from prol2tp.l2tp.outputs import SessionDown, TunnelDown
from prol2tp.spool.history import History

FILE = "prol2tpd-history.sqlite"


class EndHistory:
    """What has ended. `wall`: seconds since 1970."""

    def __init__(self, clock: Any, history: History, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._history = history
        self._wall = wall

    def configure(self, system: System) -> None:
        """As many records as the configuration says."""
        self._history.limit = system.history_size

    def tunnel_down(self, record: TunnelRecord, output: TunnelDown, reason: str) -> None:
        """A `history-row` of a tunnel."""
        fact = facts.tunnel(record)
        row = {
            **self._times(record), "kind": "tunnel", "session_id": 0, "peer_session_id": 0,
            "tunnel_name": fact["name"], "type": "", "interface": "", "user": "", "pseudowire_profile": "",
            **{name: fact[name] for name in ("tunnel_id", "peer_tunnel_id", "name", "profile", "local", "peer")},
            **_end(output, reason), "cause": "", "last_state": record.core.left.name, "counters": None,
        }
        self._history.add(row, kind="tunnel", tunnel=record.tunnel_id, peer=_host(fact["peer"]))

    def session_down(self, record: SessionRecord, output: SessionDown, cause: str, reason: str,
                     counted: Deferred[Any] | None) -> None:
        """The same of a session, with its counters when the data path has told them."""
        fact = facts.session(record)
        del fact["handle"]
        row = {
            **self._times(record), "kind": "session", **fact, **_end(output, reason), "cause": cause,
            "last_state": record.core.left.name if record.core is not None else "IDLE", "counters": None,
        }

        def over(counters: Any) -> None:
            if isinstance(counters, tuple):
                row["counters"] = dict(zip(COUNTERS, counters, strict=False))
            self._history.add(row, kind="session", tunnel=record.tunnel.tunnel_id, session=record.session_id,
                              peer=_host(fact["peer"]), user=record.user)

        if counted is None:
            over(None)
        else:
            counted.addBoth(over)

    def _times(self, record: TunnelRecord | SessionRecord) -> dict[str, Any]:
        now, wall = self._clock.seconds(), self._wall()
        return {
            "ended_at": wall, "created_at": wall - (now - record.core.created_at) if record.core is not None else wall,
            "seconds_up": now - record.up_at if record.up_at else 0.0,
        }

    def page(self, cursor: str | None, limit: int | None, tunnel_id: int | None, session_id: int | None,
             peer: str | None, user: str | None) -> dict[str, Any]:
        """The answer of ListHistory."""
        given = {"tunnel": tunnel_id, "session": session_id, "peer": peer, "user": user}
        match = {name: value for name, value in given.items() if value is not None}
        return texts_page(cursor, limit, lambda before, most, room: self._history.read(before, most, room, **match))


def _end(output: TunnelDown | SessionDown, reason: str) -> dict[str, Any]:
    return {"by": "peer" if output.by_peer else "us", "result": output.result, "error": output.error,
            "message": output.message, "reason": reason}


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
