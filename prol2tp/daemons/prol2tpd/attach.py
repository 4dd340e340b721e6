"""PPP sessions handed to propppd and taken back: batches over its control channel, a grace time while it is away.

A session without `ppp_profile` is none of propppd's business. When propppd is not there, sessions wait for it for the
grace time and are then ended with a reason; when it comes back, all are attached again.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.control.command import Gone, NotFound, Refused
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd.records import SessionRecord
from prol2tp.net.deadlines import LazyTimer

TURN = 600
"""Rows attached in one turn of the reactor: ten thousand at once, after a reconnect, must not stop everything else."""


class Channel(Protocol):
    """The connection to propppd (control.client)."""

    connected: bool

    def call(self, command: str, **arguments: Any) -> Any: ...


class Attachment:
    """The sessions that propppd has or should have. `plane` is set by the plane itself when it is made."""

    def __init__(self, clock: IReactorTime, log: Log, grace: float) -> None:
        self.plane: Any = None
        self.channel: Channel | None = None
        self.grace = grace
        self._clock = clock
        self._log = log
        self._to_attach: dict[str, SessionRecord] = {}
        self._to_detach: list[dict[str, Any]] = []
        self._flush_call: Any = None
        self._grace_timer = LazyTimer(clock, self._grace_over)
        self.pending_since: dict[str, float] = {}

    # what the core's facts mean for PPP

    def session_up(self, record: SessionRecord) -> None:
        if not ppp_profile(record):
            return
        record.attached = True
        self._to_attach[record.key] = record
        if self.channel is None or not self.channel.connected:
            self.pending_since[record.key] = self._clock.seconds()
            self._grace_timer.want(next(iter(self.pending_since.values())) + self.grace)
        self._flush_soon()

    def session_down(self, record: SessionRecord, cause: str, message: str) -> None:
        """:param cause: as in a `detach-row`."""
        if not record.attached:
            return
        record.attached = False
        key = record.key
        self.pending_since.pop(key, None)
        self._to_attach.pop(key, None)
        self._to_detach.append({"id": key, "cause": cause, "message": message, "counters": None})
        self._flush_soon()

    def session_forgotten(self, record: SessionRecord) -> None:
        """The session's id may come again for another one; a session that was never down is taken back now."""
        self.session_down(record, "Admin Reset", "")

    # the connection

    def connected(self, channel: Any) -> None:
        """propppd is there (again): attach all."""
        self.channel = channel
        self._log.notice("connected to propppd")
        # propppd learns who we are also when no session wants PPP: one may be claimed
        channel.call("AttachSessions", sessions=[]).addErrback(self._call_failed, "AttachSessions")
        for record in self.plane.ppp_sessions():
            self._to_attach[record.key] = record
            record.attached = True
        self.pending_since.clear()
        self._grace_timer.want(None)
        self._flush_soon()

    def disconnected(self, channel: Any = None) -> None:
        """propppd went away: its sessions wait."""
        self.channel = None
        self._to_detach.clear()
        now = self._clock.seconds()
        for record in self.plane.ppp_sessions():
            if record.attached:
                self.pending_since[record.key] = now
        if self.pending_since:
            self._log.warning("propppd is gone: {count} sessions wait {grace} s for it",
                              count=len(self.pending_since), grace=self.grace)
            self._grace_timer.want(now + self.grace)

    def _grace_over(self, now: float) -> None:
        """Entries are in the order of time; those that have waited long enough end."""
        pending = self.pending_since
        while pending:
            key, since = next(iter(pending.items()))
            if since + self.grace > now:
                self._grace_timer.want(since + self.grace)
                return
            del pending[key]
            record = self._by_key(key)
            if record is not None:
                self.plane.ppp_closed(record, "NAS Error", "propppd is not running")

    def _by_key(self, key: str) -> SessionRecord | None:
        tunnel, _, session = key.partition("/")
        try:
            return self.plane.find(int(tunnel), int(session))
        except ValueError:
            return None

    # batches

    def _flush_soon(self) -> None:
        if self._flush_call is None and self.channel is not None and self.channel.connected:
            self._flush_call = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        channel = self.channel
        if channel is None or not channel.connected:
            return
        # detach first: an id can be in both lists when it was used again at once
        detach, self._to_detach = self._to_detach, []
        for rows in batches(detach):
            channel.call("DetachSessions", sessions=rows).addErrback(self._call_failed, "DetachSessions")
        waiting = self._to_attach
        turn = [waiting.pop(key) for key in list(islice(waiting, TURN))]
        if waiting:
            self._flush_soon()
        start = 0
        for rows in batches(attach_row(self.plane, record) for record in turn):
            records = turn[start:start + len(rows)]
            start += len(rows)
            channel.call("AttachSessions", sessions=rows).addCallbacks(
                self._attach_answered, self._attach_failed, callbackArgs=(records,), errbackArgs=(records,))

    def _attach_answered(self, answer: dict[str, Any], records: list[SessionRecord]) -> None:
        for record, problem in zip(records, answer.get("results", ()), strict=False):
            if problem and self._by_key(record.key) is record:
                self._log.error("session {session} refused by propppd: {problem}", session=record.label,
                                problem=problem)
                record.told = True
                record.attached = False
                self.plane.ppp_closed(record, "NAS Error", str(problem))

    def _attach_failed(self, failure: Failure, records: list[SessionRecord]) -> None:
        """Without an answer there is no PPP; only those that a lost connection took along are attached again."""
        self._call_failed(failure, "AttachSessions")
        if failure.check(Gone) or self.channel is None or not self.channel.connected:
            return
        for record in records:
            if self._by_key(record.key) is record:
                self.plane.ppp_closed(record, "NAS Error", "propppd did not take the session")

    def _call_failed(self, failure: Failure, command: str) -> None:
        """The connection broke (then `disconnected` comes too), or propppd could not take the batch."""
        self._log.warning("propppd: {command}: {reason}", command=command, reason=failure.getErrorMessage())

    def sessions_changed(self, sessions: list[dict[str, Any]]) -> dict[str, Any]:
        """Responder of SessionsChanged: what became of PPP on our sessions."""
        for row in sessions:
            record = self._by_key(str(row.get("id", "")))
            if record is None:
                continue
            if row.get("state") == "released":
                record.attached, record.claim = False, None
            elif row.get("state") == "closed":
                record.attached = False
                self.plane.ppp_closed(record, str(row.get("cause") or "User Request"), str(row.get("message") or ""))
            else:
                record.user = str(row.get("user") or "")
                record.interface = str(row.get("interface") or "")
        return {}

    def claim_session(self, tunnel_id: int, session_id: int, ppp_profile: str,
                      options: dict[str, list[str]]) -> dict[str, Any]:
        """Responder of ClaimSession: PPP for a session that has none."""
        record = self.plane.find(tunnel_id, session_id)
        if record is None:
            raise NotFound(f"there is no session {session_id} in tunnel {tunnel_id}")
        if record.attached:
            raise Refused(f"session {record.key} has PPP already")
        core = self.plane.endpoint.tunnels[tunnel_id].sessions[session_id]
        if not record.port or core.state.name != "ESTABLISHED":
            raise Refused(f"session {record.key} is not up")
        record.claim = (ppp_profile, options)
        record.attached = True
        return {"row": attach_row(self.plane, record)}

    def flush(self) -> None:
        """Send what is waiting, now: the daemon is about to leave."""
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush()

    def stop(self) -> None:
        self._grace_timer.stop()
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None


def ppp_profile(record: SessionRecord) -> str:
    """The PPP profile of a session; empty: L2TP only."""
    if record.claim is not None:
        return record.claim[0]
    return getattr(record.profile, "ppp_profile", "") or ""


def _speed(core: Any, way: str) -> int:
    """bit/s of the subscriber's line, as the peer says; 0: it does not."""
    for message in (core.connect_message, core.peer_message):
        for name in (f"{way}_connect_speed", f"{way}_connect_speed_bps"):
            found = getattr(message, name, None)
            if found:
                return int(found)
    return 0


def attach_row(plane: Any, record: SessionRecord) -> dict[str, Any]:
    """The `attach-row` of a session that is up."""
    tunnel = plane.endpoint.tunnels[record.tunnel.tunnel_id]
    core = tunnel.sessions[record.session_id]
    profile = record.profile
    message = core.peer_message
    own = profile is not None and record.claim is None
    return {
        "id": record.key, "port": record.port,
        "tunnel_id": tunnel.tunnel_id, "session_id": record.session_id,
        "peer_tunnel_id": tunnel.peer_tunnel_id, "peer_session_id": core.peer_session_id,
        "lns": core.lns, "version": tunnel.version.number, "ppp_profile": ppp_profile(record),
        "user_name": profile.user_name if own else "", "user_password": profile.user_password if own else "",
        "interface_name": str(profile.interface_name or "") if own else "",
        "peer_address": tunnel.peer[0], "local_address": tunnel.local[0],
        "calling_number": getattr(message, "calling_number", None) or core.settings.calling_number,
        "called_number": getattr(message, "called_number", None) or core.settings.called_number,
        "tunnel_name": tunnel.settings.name, "session_name": core.settings.name,
        "host_name": tunnel.settings.host_name, "peer_host_name": tunnel.peer_host_name,
        "call_serial_number": core.call_serial_number,
        "tx_connect_speed": _speed(core, "tx"), "rx_connect_speed": _speed(core, "rx"),
        "mtu": profile.mtu if profile is not None else 0, "log_level": "",
        "options": record.claim[1] if record.claim is not None else None, "proxy": None,
    }
