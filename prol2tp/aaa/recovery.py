"""Sessions that a former run of the daemon left without a Stop, because it was killed: they get theirs now.

The queue knows their last records. The data path, if it is the one of then, knows what passed their ports; else
the last record is the best that is known, and the session has lasted until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from prol2tp.aaa.records import KINDS, STOP, Clocks, Stored, count, pack, passed, unpack
from prol2tp.radius.accounting import TERMINATE_CAUSES, AccountingRequest
from prol2tp.spool.queue import AccountingQueue

AT_ONCE = 100
"""Sessions in one turn of the reactor."""
_STOPS = {"Tunnel-Start": "Tunnel-Stop", "Tunnel-Link-Start": "Tunnel-Link-Stop"}
"""Of what began otherwise than a session does (RFC 2867)."""
NAS_REBOOT = TERMINATE_CAUSES["NAS-Reboot"]
Counters = Mapping[int, tuple[Any, ...]]


class Recovery:
    """Ends the sessions of former runs.

    :param run: what the Acct-Session-Ids of this run begin with.
    :param tell: called with each Stop.
    """

    def __init__(self, queue: AccountingQueue, clocks: Clocks, run: str,
                 tell: Callable[[AccountingRequest], None] = lambda stop: None) -> None:
        self.ended = 0
        """Sessions that got their Stop."""
        self.unreadable = 0
        self._queue = queue
        self._clocks = clocks
        self._run = run
        self._tell = tell

    @inlineCallbacks
    def snapshot(self, dataplane: Any) -> Any:
        """-> Deferred(counters of all ports, or none when nothing is left). Before any link is made on them: what
        passes from then on is another session's."""
        left = yield self._queue.unfinished("", 1)
        if not left:
            return {}
        return (yield dataplane.counters(None))

    @inlineCallbacks
    def end_all(self, dataplane: Any, live: Counters) -> Any:
        """-> Deferred(None), when all have their Stop in the queue. `live`: of `snapshot`."""
        after = ""
        while True:
            rows = yield self._queue.unfinished(after, AT_ONCE)
            if not rows:
                return
            after = rows[-1][0]
            found: list[tuple[str, Stored]] = []
            saved: list[Deferred[None]] = []
            for session, event_time, payload in rows:
                if session.startswith(self._run):
                    continue
                try:
                    found.append((session, unpack(payload)))
                except ValueError:
                    self.unreadable += 1
                    # as a record that nobody can read it is put aside, and not found again at every start
                    saved.append(self._queue.append(session, KINDS[STOP], payload, event_time))
            counters = yield self._counters(dataplane, live, (stored for _, stored in found))
            saved += [self._end(session, stored, counters) for session, stored in found]
            yield gatherResults(saved, consumeErrors=True)

    @inlineCallbacks
    def _counters(self, dataplane: Any, live: Counters, sessions: Iterable[Stored]) -> Any:
        """Of those whose port is or was this data path's."""
        ports = {stored.port for stored in sessions if stored.path and stored.path == dataplane.instance}
        gone = [port for port in ports if port not in live]
        ended = (yield dataplane.counters(gone)) if gone else {}
        return {port: counters for port in ports if (counters := live.get(port) or ended.get(port)) is not None}

    def _end(self, session: str, stored: Stored, counters: Counters) -> Deferred[None]:
        clocks, request = self._clocks, stored.request
        stop = replace(request, status=_STOPS.get(request.status, STOP), terminate_cause=NAS_REBOOT,
                       session_time=request.session_time or 0)
        at, boot = stored.at, stored.boot
        known = counters.get(stored.port) if stored.path else None
        if known is not None:
            # it was served until now
            count(stop, passed(known), stored.baseline)
            stop.session_time = (request.session_time or 0) + int(stored.age(clocks))
            stop.event_timestamp, at, boot = int(clocks.wall()), clocks.monotonic(), clocks.boot
        self.ended += 1
        self._tell(stop)
        payload = pack(Stored(stop, at, boot, stored.port, stored.baseline, stored.path))
        return self._queue.append(session, KINDS[STOP], payload, float(stop.event_timestamp))
