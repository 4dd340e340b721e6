"""PPP sessions handed to propppd and taken back: batches over its control channel, a grace time while it is away.

A session without `ppp_profile` is none of propppd's business. When propppd is not there, sessions wait for it for the
grace time and are then ended with a reason; when it comes back, all are attached again. `Handed` is what that has in
common with sessions that are offered to proacd (`offers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.control.command import Gone, NotFound, Refused
from prol2tp.control.paging import batches
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd import avps
from prol2tp.daemons.prol2tpd.records import SessionRecord
from prol2tp.l2tp import speeds
from prol2tp.net.deadlines import LazyTimer

TURN = 600
"""Rows handed over in one turn of the reactor: ten thousand at once, after a reconnect, must not stop all else."""


class Channel(Protocol):
    """The connection to the other daemon (control.client, control.connection)."""

    connected: Any

    def call(self, command: str, **arguments: Any) -> Any: ...


class Handed:
    """The sessions that another daemon has or should have. `plane` is set by the plane itself when it is made."""

    DAEMON = ""
    COMMAND, ARGUMENT = "", ""
    """Command that hands over a batch of rows, and its argument."""

    def __init__(self, clock: IReactorTime, log: Log, grace: float) -> None:
        self.plane: Any = None
        self.channel: Channel | None = None
        self.grace = grace
        self.clock = clock
        self.log = log
        self.to_hand: dict[str, SessionRecord] = {}
        self._flush_call: Any = None
        self._grace_timer = LazyTimer(clock, self._grace_over)
        self.pending_since: dict[str, float] = {}

    # what differs

    def row(self, record: SessionRecord) -> dict[str, Any]:
        raise NotImplementedError

    def sessions(self) -> Iterator[SessionRecord]:
        """All that are up and are the other daemon's."""
        raise NotImplementedError

    def gone(self, record: SessionRecord, cause: str, message: str) -> None:
        """The other daemon is to be told that a session of its is gone."""
        raise NotImplementedError

    def failed(self, record: SessionRecord, message: str) -> None:
        """The other daemon does not take the session, or is not there: end it."""
        self.plane.ppp_closed(record, "NAS Error", message)

    # what the core's facts mean for the other daemon

    def session_up(self, record: SessionRecord) -> None:
        self.hand(record)

    def hand(self, record: SessionRecord) -> None:
        record.attached = True
        self.to_hand[record.key] = record
        if self.channel is None or not self.channel.connected:
            self.pending_since[record.key] = self.clock.seconds()
            self._grace_timer.want(next(iter(self.pending_since.values())) + self.grace)
        self.flush_soon()

    def session_down(self, record: SessionRecord, cause: str, message: str) -> None:
        """:param cause: as in a `detach-row`."""
        if not record.attached:
            return
        self.forget(record)
        self.gone(record, cause, message)

    def forget(self, record: SessionRecord) -> None:
        """The other daemon has the session no more."""
        record.attached = record.accepted = False
        self.pending_since.pop(record.key, None)
        self.to_hand.pop(record.key, None)

    def session_forgotten(self, record: SessionRecord) -> None:
        """The session's id may come again for another one; a session that was never down is taken back now."""
        self.session_down(record, "Admin Reset", "")

    # the connection

    def connected(self, channel: Any) -> None:
        """The other daemon is there (again)."""
        self.channel = channel
        self.pending_since.clear()
        self._grace_timer.want(None)
        self.flush_soon()

    def disconnected(self, channel: Any = None) -> None:
        """The other daemon went away: its sessions wait."""
        self.channel = None
        now = self.clock.seconds()
        for record in self.sessions():
            if record.attached:
                self.pending_since[record.key] = now
        if self.pending_since:
            self.log.warning("{daemon} is gone: {count} sessions wait {grace} s for it", daemon=self.DAEMON,
                             count=len(self.pending_since), grace=self.grace)
            self._grace_timer.want(now + self.grace)

    def _grace_over(self, now: float) -> None:
        """Entries are in the order of time; those that have waited long enough end, some in a turn."""
        pending = self.pending_since
        for _ in range(TURN):
            if not pending:
                return
            key, since = next(iter(pending.items()))
            if since + self.grace > now:
                self._grace_timer.want(since + self.grace)
                return
            del pending[key]
            record = self.by_key(key)
            if record is not None:
                self.failed(record, f"{self.DAEMON} is not running")
        self._grace_timer.want(now)

    def by_key(self, key: str) -> SessionRecord | None:
        tunnel, _, session = key.partition("/")
        try:
            found: SessionRecord | None = self.plane.find(int(tunnel), int(session))
        except ValueError:
            return None
        return found

    # batches

    def flush_soon(self) -> None:
        if self._flush_call is None and self.channel is not None and self.channel.connected:
            self._flush_call = self.clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        if self.channel is not None and self.channel.connected:
            self.flush_now()

    def flush_now(self) -> None:
        channel, waiting = self.channel, self.to_hand
        assert channel is not None
        turn = [waiting.pop(key) for key in list(islice(waiting, TURN))]
        if waiting:
            self.flush_soon()
        start = 0
        for rows in batches(self.row(record) for record in turn):
            records = turn[start:start + len(rows)]
            start += len(rows)
            channel.call(self.COMMAND, **{self.ARGUMENT: rows}).addCallbacks(
                self._answered, self._not_handed, callbackArgs=(records,), errbackArgs=(records,))

    def _answered(self, answer: dict[str, Any], records: list[SessionRecord]) -> None:
        for record, problem in zip(records, answer.get("results", ()), strict=False):
            if self.by_key(record.key) is not record or not record.attached:
                continue
            record.accepted = not problem
            if problem:
                self.log.error("session {session} refused by {daemon}: {problem}", session=record.label,
                               daemon=self.DAEMON, problem=problem)
                record.told = True
                self.forget(record)
                self.failed(record, str(problem))

    def _not_handed(self, failure: Failure, records: list[SessionRecord]) -> None:
        """Nobody has taken the sessions; only those that a lost connection took along are handed over again."""
        self.call_failed(failure, self.COMMAND)
        if failure.check(Gone) or self.channel is None or not self.channel.connected:
            return
        for record in records:
            if self.by_key(record.key) is record:
                self.failed(record, f"{self.DAEMON} did not take the session")

    def call_failed(self, failure: Failure, command: str) -> None:
        """The connection broke (then `disconnected` comes too), or the other daemon could not take the batch."""
        self.log.warning("{daemon}: {command}: {reason}", daemon=self.DAEMON, command=command,
                         reason=failure.getErrorMessage())

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


class Attachment(Handed):
    """The sessions that propppd has or should have."""

    DAEMON = "propppd"
    COMMAND, ARGUMENT = "AttachSessions", "sessions"

    def __init__(self, clock: IReactorTime, log: Log, grace: float) -> None:
        super().__init__(clock, log, grace)
        self._to_detach: list[dict[str, Any]] = []

    def row(self, record: SessionRecord) -> dict[str, Any]:
        return attach_row(self.plane, record)

    def sessions(self) -> Iterator[SessionRecord]:
        found: Iterator[SessionRecord] = self.plane.ppp_sessions()
        return found

    def session_up(self, record: SessionRecord) -> None:
        if ppp_profile(record):
            self.hand(record)

    def gone(self, record: SessionRecord, cause: str, message: str) -> None:
        self._to_detach.append({"id": record.key, "cause": cause, "message": message, "counters": None})
        self.flush_soon()

    # the connection

    def connected(self, channel: Any) -> None:
        """propppd is there (again): attach all."""
        self.channel = channel
        self.log.notice("connected to propppd")
        # propppd learns who we are also when no session wants PPP: one may be claimed
        channel.call("AttachSessions", sessions=[]).addErrback(self.call_failed, "AttachSessions")
        for record in self.sessions():
            self.to_hand[record.key] = record
            record.attached = True
        super().connected(channel)

    def disconnected(self, channel: Any = None) -> None:
        self._to_detach.clear()
        super().disconnected(channel)

    def flush_now(self) -> None:
        assert self.channel is not None
        # detach first: an id can be in both lists when it was used again at once
        detach, self._to_detach = self._to_detach, []
        for rows in batches(detach):
            self.channel.call("DetachSessions", sessions=rows).addErrback(self.call_failed, "DetachSessions")
        super().flush_now()

    # what propppd says

    def sessions_changed(self, sessions: list[dict[str, Any]]) -> dict[str, Any]:
        """Responder of SessionsChanged: what became of PPP on our sessions."""
        for row in sessions:
            record = self.by_key(str(row.get("id", "")))
            if record is None:
                continue
            if row.get("state") == "lcp":
                self.plane.passing.negotiated(record, int(row["send_accm"]), int(row["receive_accm"]))
            elif row.get("state") == "released":
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


def ppp_profile(record: SessionRecord) -> str:
    """The PPP profile of a session; empty: L2TP only."""
    if record.claim is not None:
        return record.claim[0]
    return getattr(record.profile, "ppp_profile", "") or ""


def attach_row(plane: Any, record: SessionRecord) -> dict[str, Any]:
    """The `attach-row` of a session that is up."""
    tunnel = plane.endpoint.tunnels[record.tunnel.tunnel_id]
    core = tunnel.sessions[record.session_id]
    profile = record.profile
    message = core.peer_message
    own = profile is not None and record.claim is None
    tx, rx = speeds.of(core) if core.lns else (0, 0)
    want, allow = avps.lcp_options(core.connect_message)
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
        "tx_connect_speed": tx, "rx_connect_speed": rx,
        "mtu": profile.mtu if profile is not None else 0, "log_level": "",
        "options": record.claim[1] if record.claim is not None else None,
        "proxy": avps.proxy_record(core.connect_message), "line": avps.line_record(message),
        "lcp_want": want, "lcp_allow": allow,
    }
