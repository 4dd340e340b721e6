"""The calls of proacd: opened in batches, told about in batches, kept for a while when it goes away.

One connection has them: the one that has called `ServeCalls` last. A call is never tried again here; what became of it
is told, and proacd decides.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.config.problems import ConfigError
from prol2tp.config.prol2tpd import create_session
from prol2tp.config.tunnels import PSEUDOWIRE_TYPES
from prol2tp.control.command import Invalid, Refused
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd import avps
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.instances import ClientTunnel
from prol2tp.daemons.prol2tpd.shared import ORIGIN, checked, one_line
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.net.deadlines import LazyTimer

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.offers import Offers
    from prol2tp.daemons.prol2tpd.plane import Plane
    from prol2tp.daemons.prol2tpd.records import SessionRecord
    from prol2tp.l2tp.outputs import SessionDown

LONGEST_ID = 64
TURN = 300
"""Calls that are ended or told of again in one turn of the reactor."""
NEVER_UP = "Service Unavailable"
"""Cause of the end of a call that did not come up, where nobody says more."""
_ROW = frozenset({"id", "tunnel", "session", "source", "proxy", "line", "lcp_want", "lcp_allow"})


class Call:
    """One call of proacd; the instance of its session (`records.SessionRecord.instance`)."""

    __slots__ = ("calls", "id", "tunnel", "config", "session_id", "up", "source", "_settings")

    origin = ORIGIN

    def __init__(self, calls: Calls, id: str, tunnel: ClientTunnel, config: Any, settings: SessionSettings,
                 source: SessionRecord | None = None) -> None:
        self.calls = calls
        self.id = id
        self.tunnel = tunnel
        self.config = config
        self.session_id: int | None = None
        self.up = False
        self.source = source
        """The session of a LAC that the call carries on (tunnel switching), until it is up."""
        self._settings: SessionSettings | None = settings

    @property
    def name(self) -> str:
        return self.id

    def settings(self) -> SessionSettings:
        assert self._settings is not None
        return self._settings

    def open(self) -> None:
        """The tunnel is up."""
        try:
            self.calls.room()
            session_id = self.calls.plane.open_session(self)
        except (ValueError, LookupError) as error:
            # the tunnel or the daemon is full, or the tunnel has just ended
            self.calls.over(self, tunnel_up=True, cause=NEVER_UP, message=str(error))
            return
        record = self.calls.plane.find(self.tunnel.tunnel_id or 0, session_id)
        if record is not None and self._settings is not None:
            record.user = avps.user(self._settings.proxy_authen_name)

    def tunnel_failed(self) -> None:
        tunnel = self.tunnel
        message = f"tunnel {tunnel.name}: {tunnel.last_error or 'did not come up'}"
        self.calls.over(self, tunnel_up=False, cause=NEVER_UP, message=message, dns=tunnel.unresolved)

    def came_up(self) -> None:
        self.up = True
        if self._settings is not None:
            avps.forget(self._settings)
            self._settings = None
        source, self.source = self.source, None
        record = self.calls.plane.find(self.tunnel.tunnel_id or 0, self.session_id or 0)
        if source is not None and record is not None:
            self.calls.plane.passing.join(source, record)
        self.calls.tell_up(self)

    def ended(self, output: SessionDown, cause: str, why: str) -> None:
        if not self.up and output.disconnect is None:
            cause = NEVER_UP
        core = self.calls.plane.endpoint.tunnels.get(output.tunnel_id)
        self.calls.over(self, tunnel_up=core is not None and core.established, cause=cause, message=why,
                        by_peer=output.by_peer, result=output.result, error=output.error)

    def closed(self) -> None:
        """The id of its session is free; all was told when it ended."""

    def close(self, message: str) -> None:
        """End it from here: proacd is told."""
        if self.session_id is None:
            self.calls.over(self, tunnel_up=False, cause="Admin Reset", message=message)
        elif (tunnel_id := self.tunnel.tunnel_id) is not None:
            self.calls.plane.close_session(tunnel_id, self.session_id, message=message)


class Calls:
    """Responders of OpenCalls, CloseCalls and ServeCalls, caller of CallsChanged.

    :param offers: the sessions of peers that the same connection is offered.
    """

    def __init__(self, plane: Plane, offers: Offers, clock: IReactorTime, log: Log, grace: float) -> None:
        self.plane = plane
        self.offers = offers
        offers.plane, offers.calls = plane, self
        plane.offers = offers
        self.grace = grace
        self.connection: Any = None
        self._clock = clock
        self._log = log
        self._calls: dict[str, Call] = {}
        self._told: dict[str, dict[str, Any]] = {}
        """What to tell; the last row of a call counts."""
        self._known: set[str] = set()
        """Ids that proacd has told so far since it came."""
        self._ending: deque[tuple[str, str, str]] = deque()
        self._again: deque[str] = deque()
        self._flush_call: Any = None
        self._turn_call: Any = None
        self._grace_timer = LazyTimer(clock, self._grace_over)

    def __len__(self) -> int:
        return len(self._calls)

    def table(self) -> dict[str, Any]:
        """The responders by command."""
        return {"OpenCalls": self.open_calls, "CloseCalls": self.close_calls, "ServeCalls": self.serve_calls}

    # what proacd asks

    def open_calls(self, connection: Any, calls: Any) -> dict[str, Any]:
        self._check(connection)
        return {"results": [self._asked(row) for row in _rows(calls)]}

    def _asked(self, row: dict[str, Any]) -> str | None:
        try:
            call = self._read(row)
        except ValueError as error:
            self._log.notice("call {id} refused: {why}", id=str(row.get("id"))[:LONGEST_ID], why=str(error))
            return str(error)
        self._calls[call.id] = call
        call.tunnel.carry(call)
        return None

    def _read(self, row: dict[str, Any]) -> Call:
        id = row.get("id")
        if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not id.isprintable() or "/" in id:
            raise ValueError(f"id must be 1 to {LONGEST_ID} printable characters without /")
        if id in self._calls:
            raise ValueError(f"there is a call {id} already")
        if not _ROW.issuperset(row):
            raise ValueError(f"there is no {min(set(row) - _ROW)[:40]!r} in a call")
        plane = self.plane
        if plane.stopping:
            raise ValueError("shutting down")
        if plane.config.system.drain_tunnels:
            raise ValueError("drain_tunnels is set")
        self.room()
        session = row.get("session")
        texts = checked(session.get("parameters") if isinstance(session, dict) else None, "session")
        tunnel = plane.shared.find(row.get("tunnel"))
        try:
            config = create_session(plane.config, tunnel.config, id, texts)
        except ConfigError as error:
            raise ValueError(f"session: {one_line(error)}") from None
        config.ppp_profile = ""  # the frames are proacd's, whatever a profile says
        settings = self._settings(config, row)
        source = self.offers.by_key(str(row.get("source") or ""))
        plane.passing.prepare(source, settings)
        return Call(self, id, tunnel, config, settings, source)

    def room(self) -> None:
        """Raises `ValueError` when there is none for one more session: again when the tunnel is up, as many may have
        waited for it."""
        most = self.plane.config.system.max_sessions
        if most and self.plane.session_count >= most:
            raise ValueError("too many sessions")

    def _settings(self, config: Any, row: dict[str, Any]) -> SessionSettings:
        settings = self.plane.admission.session_settings(config)
        if settings.pseudowire != PSEUDOWIRE_TYPES["ppp"]:
            raise ValueError("session: pseudowire_type must be ppp")
        if settings.outgoing_call:
            raise ValueError("session: call must be incoming")
        avps.put_proxy(settings, row.get("proxy"))
        avps.put_line(settings, row.get("line"))
        settings.lcp_want_options = avps.octets(row.get("lcp_want"), "lcp_want")
        settings.lcp_allow_options = avps.octets(row.get("lcp_allow"), "lcp_allow")
        self.plane.endpoint.check_session(settings)
        if not config.access_line:
            settings.line = None
        return settings

    def close_calls(self, connection: Any, calls: Any) -> dict[str, Any]:
        self._check(connection)
        for row in _rows(calls):
            cause, message = str(row.get("cause") or "User Request"), str(row.get("message") or "")
            self._close(str(row.get("id")), cause, message)
        return {}

    def _close(self, id: str, cause: str, message: str) -> None:
        """End a call or an offered session; it is not told of any more."""
        record: SessionRecord | None
        call = self._calls.pop(id, None)
        if call is not None:
            call.tunnel.calls.pop(id, None)
            tunnel_id, session_id = call.tunnel.tunnel_id, call.session_id
            record = self.plane.find(tunnel_id, session_id) if tunnel_id and session_id else None
        else:
            record = self.offers.withdraw(id)
        self._told.pop(id, None)
        if record is not None:
            # the user of a call is the peer's peer, and never one of this end
            self.plane.ppp_closed(record, "Peer Request" if cause == "User Request" else cause, message)

    def serve_calls(self, connection: Any, profiles: Any, calls: Any, more: bool | None = None) -> dict[str, Any]:
        for value, what in ((profiles, "profiles"), (calls if calls is not None else [], "calls")):
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise Invalid(f"{what}: must be a list of text")
        if connection is not self.connection:
            self._take_over(connection)
        ids = calls or []
        unknown = [id for id in ids if id not in self._calls and not self.offers.has(id)]
        self._known.update(ids)
        if more:
            return {"unknown": unknown}
        known, self._known = self._known, set()
        if calls is not None:
            self._end_others(known)
            self._again.extend(id for id in known if id in self._calls)
        for name in profiles:
            if name not in self.plane.config.tunnel_profiles:
                self._log.warning("proacd serves tunnel profile {name}, and there is none of that name", name=name[:64])
        self.offers.serve(frozenset(profiles), known if calls is not None else None)
        self._turn_soon()
        return {"unknown": unknown}

    def _take_over(self, connection: Any) -> None:
        self.connection = connection
        self._known.clear()
        self._told.clear()
        self._ending.clear()
        self._grace_timer.want(None)
        connection.on_lost.append(self._lost)
        self._log.notice("connected to proacd")
        self.offers.taken_over(connection)

    def _end_others(self, known: set[str]) -> None:
        for id in self._calls:
            if id not in known:
                self._ending.append((id, "Lost Carrier", "proacd has forgotten the call"))

    def _check(self, connection: Any) -> None:
        if connection is not self.connection:
            raise Refused("call ServeCalls first: another connection has the calls, or none")

    # what became of calls

    def tell_up(self, call: Call) -> None:
        if self.connection is None:
            return
        tunnel_id = call.tunnel.tunnel_id or 0
        core = self.plane.endpoint.tunnels.get(tunnel_id)
        session = core.sessions.get(call.session_id or 0) if core is not None else None
        record = self.plane.find(tunnel_id, call.session_id or 0)
        if core is None or session is None or record is None:
            return  # its end has come with its beginning, and is told next
        wire = session.pseudowire
        self._tell(call.id, "up", tunnel_id=tunnel_id, session_id=session.session_id,
                   peer_tunnel_id=core.peer_tunnel_id, peer_session_id=session.peer_session_id,
                   peer=text(core.peer), local=core.local[0], host_name=core.settings.host_name,
                   peer_host_name=core.peer_host_name, call_serial_number=session.call_serial_number,
                   port=record.port, version=core.version.number,
                   interface_mtu=wire.mtu if wire is not None and wire.mtu else call.config.mtu, tunnel_up=True,
                   established=True)

    def over(self, call: Call, **why: Any) -> None:
        """A call has ended; one that proacd has closed is told of no more."""
        call.tunnel.calls.pop(call.id, None)
        if self._calls.get(call.id) is not call:
            return
        del self._calls[call.id]
        self._tell(call.id, "closed", tunnel_id=call.tunnel.tunnel_id or 0, session_id=call.session_id or 0,
                   established=call.up, **why)

    def offer_over(self, record: SessionRecord, cause: str, message: str) -> None:
        """The same of a session that was offered."""
        self._tell(record.key, "closed", tunnel_id=record.tunnel.tunnel_id, session_id=record.session_id,
                   tunnel_up=True, established=True, cause=cause, message=message)

    def _tell(self, id: str, state: str, **values: Any) -> None:
        if self.connection is None:
            return
        row = {**_NOTHING, "id": id, "state": state, **values}
        row["message"] = str(row["message"])[:500]
        self._told[id] = row
        if self._flush_call is None:
            self._flush_call = self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """Tell what has not been told yet."""
        if self._flush_call is not None:
            if self._flush_call.active():
                self._flush_call.cancel()
            self._flush_call = None
        rows, self._told = self._told, {}
        if self.connection is not None:
            for batch in batches(rows.values()):
                self.connection.call("CallsChanged", calls=batch).addErrback(self._untold)

    def _untold(self, failure: Failure) -> None:
        """The connection broke (a new one begins with all that there is), or proacd could not take the batch."""
        self._log.warning("proacd: CallsChanged: {reason}", reason=failure.getErrorMessage())

    # the connection

    def _lost(self, connection: Any) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        self._told.clear()
        self._again.clear()
        self.offers.disconnected()
        if self._calls:
            self._log.warning("proacd is gone: {count} calls wait {grace} s for it", count=len(self._calls),
                              grace=self.grace)
            self._grace_timer.want(self._clock.seconds() + self.grace)

    def _grace_over(self, now: float) -> None:
        if self._calls:
            self._log.warning("{count} calls end: proacd did not come back", count=len(self._calls))
        for id in self._calls:
            self._ending.append((id, "NAS Error", "proacd is not running"))
        self._turn_soon()

    # what is much goes in turns

    def end_later(self, id: str, cause: str, message: str) -> None:
        self._ending.append((id, cause, message))
        self._turn_soon()

    def _turn_soon(self) -> None:
        if self._turn_call is None and (self._ending or self._again):
            self._turn_call = self._clock.callLater(0, self._take_turn)

    def _take_turn(self) -> None:
        self._turn_call = None
        for _ in range(min(TURN, len(self._ending))):
            self._close(*self._ending.popleft())
        for _ in range(min(TURN, len(self._again))):
            call = self._calls.get(self._again.popleft())
            if call is not None and call.up:
                self.tell_up(call)
        self._turn_soon()

    def stop(self) -> None:
        """No calls and no timers any more."""
        self.flush()
        self.connection = None
        self._grace_timer.stop()
        self.offers.stop()
        if self._turn_call is not None:
            self._turn_call.cancel()
            self._turn_call = None


_NOTHING: dict[str, Any] = {
    "id": "", "state": "", "tunnel_id": 0, "session_id": 0, "peer_tunnel_id": 0, "peer_session_id": 0, "peer": "",
    "local": "", "host_name": "", "peer_host_name": "", "call_serial_number": 0,
    "port": 0, "version": 0, "interface_mtu": 0, "tunnel_up": False, "dns": False, "established": False,
    "by_peer": False, "cause": "", "message": "", "result": 0, "error": 0,
}


def _rows(calls: Any) -> list[dict[str, Any]]:
    if not isinstance(calls, list) or not all(isinstance(row, dict) for row in calls):
        raise Invalid("calls: must be a list of objects")
    return calls
