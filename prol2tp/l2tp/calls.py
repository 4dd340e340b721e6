"""The calls of one tunnel: their ids, which of them a message is for, and their common beginning and end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from prol2tp.common.ids import IdPool
from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.incoming import LAIC, LNIC
from prol2tp.l2tp.messages import CDN, ICRQ, OCRQ, MessageError, ResultCode
from prol2tp.l2tp.outgoing import LAOC, LNOC
from prol2tp.l2tp.outputs import CloseDataPath, SessionCreated, SessionDeleted, SessionDown
from prol2tp.l2tp.plain import from_plain
from prol2tp.l2tp.session import NO_PATH, UNSET, Event, Session, State
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.l2tp.staticsession import StaticSession
from prol2tp.l2tp.version3 import LOST, Offer, Version3, tie

if TYPE_CHECKING:
    from prol2tp.l2tp.tunnel import Tunnel

_MACHINES: dict[str, type[Session]] = {machine.NAME: machine for machine in (LAIC, LNIC, LAOC, LNOC, StaticSession)}
RESTING = 64
NARROW = 0xFFFF
"""The largest id of version 2."""
NO_CARRIER = 1
ADMINISTRATIVE = 3
ON_PURPOSE = frozenset({1, 6})
"""Results of StopCCN: cleared, being shut down."""
NO_FACILITIES_NOW = 4


class Calls:
    """Every way a call can end goes through `ended`, once: then its path, its id and its deadline are gone."""

    __slots__ = ("tunnel", "sessions", "asked", "idle_due", "_ids", "_resting", "_waiting", "_by_peer", "_offered")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.sessions: dict[int, Session] = {}
        self.asked: dict[tuple[int, str], Session] = {}
        """Version 3: calls of ours that are not answered, by pseudowire type and Remote End ID."""
        self.idle_due: float | None = None
        self._ids = IdPool(16, tunnel.context.random_bytes, tunnel.context.linear_ids)
        self._resting: deque[int] = deque()  # ids of ended calls, not yet given to others
        self._waiting: dict[int, Session] = {}  # for the tunnel to open
        self._by_peer: dict[int, Session] = {}  # by the peer's id, once it is known
        self._offered: set[int] = set()  # ids that were taken while it could become either version

    # beginning

    def open(self, settings: SessionSettings, now: float) -> Session:
        """A call of ours. Raises `ValueError` when the tunnel is full."""
        limit = self.tunnel.settings.max_sessions
        if limit and len(self.sessions) >= limit:
            raise ValueError(f"tunnel {self.tunnel.tunnel_id} has its {limit} sessions")
        if self.tunnel.static:
            session = self._make(StaticSession, settings, now, self._claim(settings))
        else:
            session = self._make(LNOC if settings.outgoing_call else LAIC, settings, now)
        if session is None:
            raise ValueError(f"tunnel {self.tunnel.tunnel_id} has no session id left")
        session.handle(Event.OPEN_REQ, now)
        if self.tunnel.established:
            self._start(session, now)
        else:
            self._waiting[session.session_id] = session
        return session

    def _claim(self, settings: SessionSettings) -> int:
        """The id of a static session, which nothing else may have. Raises `ValueError`."""
        if not settings.peer_session_id or not self.tunnel.context.session_ids.claim(settings.session_id):
            raise ValueError(f"session id {settings.session_id} is in use, or is none")
        return settings.session_id

    def _make(self, machine: type[Session], settings: SessionSettings, now: float,
              session_id: int | None = None) -> Session | None:
        tunnel = self.tunnel
        session_id = session_id or self._take_id()
        if session_id is None:
            return None
        session = machine(tunnel, session_id, settings, now)
        self.sessions[session_id] = session
        self.idle_due = None
        context = tunnel.context
        context.counters.sessions_created += 1
        context.emit(SessionCreated(tunnel.tunnel_id, session_id))
        self.limit_establishing(session)
        return session

    def _take_id(self) -> int | None:
        """Of version 3, unique over all control connections; one that may become either version is both."""
        version = self.tunnel.version
        try:
            if version.number == Version3.number:
                return self._take_wide()
            while True:
                session_id = self._ids.take()
                if not isinstance(version, Offer) or self._claim_offered(session_id):
                    return session_id
        except LookupError:
            return self._resting.popleft() if self._resting else None

    def _claim_offered(self, session_id: int) -> bool:
        if not self.tunnel.context.session_ids.claim(session_id):
            return False
        self._offered.add(session_id)
        return True

    def _take_wide(self) -> int:
        while True:
            session_id = self.tunnel.context.session_ids.take()
            # the small ones are left to those that may become version 2
            if session_id > NARROW or self.tunnel.context.linear_ids:
                return session_id

    def _rest(self, session_id: int) -> None:
        """What is still on its way for an ended call, frames of a user too, must not reach a new one; but the id of a
        static session is its own."""
        if self.tunnel.static:
            self._release(session_id)
            return
        self._resting.append(session_id)
        if len(self._resting) > RESTING:
            self._release(self._resting.popleft())

    def _release(self, session_id: int) -> None:
        if self.tunnel.version.number == Version3.number or session_id in self._offered:
            self.tunnel.context.session_ids.release(session_id)
            self._offered.discard(session_id)
        self._ids.release(session_id)

    def release(self) -> None:
        """The tunnel is forgotten, and with it the ids of its sessions."""
        while self._resting:
            self._release(self._resting.popleft())

    def limit_establishing(self, session: Session) -> None:
        timeout = session.settings.establish_timeout
        due = session.created_at + timeout if timeout > 0 else None
        self.tunnel.context.deadlines.set((self.tunnel.tunnel_id, session.session_id), due)

    def _start(self, session: Session, now: float) -> None:
        """The tunnel is open: the first message of a call of ours."""
        fault = None if self.tunnel.static else self.tunnel.version.cannot_place(session)
        if fault is not None:
            session.handle(Event.CLOSE_REQ, now, fault)
        elif session.TUNNEL_OPENED is not None:
            session.handle(session.TUNNEL_OPENED, now)
            if session.pseudowire is not None and not self.tunnel.static:
                self.asked[session.pseudowire.type, session.pseudowire.remote_end_id] = session

    def tunnel_opened(self, now: float) -> None:
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for session in waiting:
            self._start(session, now)
        self._watch_idle(now)

    def _watch_idle(self, now: float) -> None:
        timeout = self.tunnel.settings.idle_timeout
        self.idle_due = now + timeout if timeout > 0 and not self.sessions else None

    # messages

    def receive(self, message: Any, session_id: int, now: float) -> None:
        """A message about a call; `session_id` is that of the header, ours."""
        if not session_id:
            if message.number == ICRQ.number:
                self._called(LNIC, message, now)
                return
            if message.number == OCRQ.number:
                self._called(LAOC, message, now)
                return
        session = self.sessions.get(session_id)
        if session is None and not session_id and message.number == CDN.number:
            session = self._by_peer.get(message.assigned_session_id)
        if session is None:
            self.tunnel.context.counters.unknown_sessions += 1
            return
        session.receive(message, now)

    def _called(self, machine: type[Session], message: Any, now: float) -> None:
        """ICRQ or OCRQ: a call of the peer's."""
        tunnel = self.tunnel
        peer_session_id = message.assigned_session_id
        known = self._by_peer.get(peer_session_id)
        if known is not None:  # the peer has forgotten a call, or confuses two: the tables end the one we know
            known.receive(message, now)
            return
        limit = tunnel.settings.max_sessions
        if limit and len(self.sessions) >= limit:
            self.refuse(peer_session_id, Cause(NO_FACILITIES_NOW, 0, "too many sessions"), now)
            return
        fault = tunnel.version.refusal(tunnel, message) or self._tied(message, now)
        if fault is not None:
            self.refuse(peer_session_id, fault, now)
            return
        session = self._make(machine, UNSET, now)
        if session is None:
            self.refuse(peer_session_id, Cause(NO_FACILITIES_NOW, 0, "no session id is free"), now)
            return
        self._by_peer[peer_session_id] = session
        session.handle(Event.ICRQ if machine is LNIC else Event.OCRQ, now, message)

    def _tied(self, message: Any, now: float) -> Cause | None:
        """Version 3: whether a request of ours for the same circuit stands against this one, or gives way to it."""
        if self.tunnel.version.number != Version3.number:
            return None
        ours = self.asked.get((message.pseudowire_type, message.remote_end_id))
        if ours is None or ours.peer_session_id or not message.remote_end_id:
            return None
        stands, theirs = tie(ours, message)
        if not stands:
            self.tunnel.context.counters.lost_ties += 1
            ours.handle(Event.CLOSE_REQ, now, LOST)
        return None if theirs else LOST

    def refuse(self, peer_session_id: int, cause: Cause, now: float) -> None:
        """Refuse a call that never was."""
        self.tunnel.context.counters.sessions_refused += 1
        result = ResultCode(cause.result, cause.error, cause.message)
        self.tunnel.send(self.tunnel.version.cdn(0, peer_session_id, result), peer_session_id, now)

    def rejected(self, error: MessageError, session_id: int, cause: Cause, now: float) -> None:
        """A message about a call could not be decoded: at most that call ends."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.malformed(error.message_type, cause, now)
        elif not session_id and error.message_type in (ICRQ.number, OCRQ.number) and error.assigned_session_id:
            self.refuse(error.assigned_session_id, cause, now)

    # end

    def connected(self, session: Session) -> None:
        self.tunnel.context.deadlines.set((self.tunnel.tunnel_id, session.session_id), None)

    def peer_id_is_free(self, peer_session_id: int) -> bool:
        """Whether the peer has no other call with this id of its own."""
        return peer_session_id not in self._by_peer

    def by_peer_id(self, peer_session_id: int) -> Session | None:
        """The call that has this id at the peer."""
        return self._by_peer.get(peer_session_id)

    def named(self, session: Session) -> None:
        """The peer has said its id for a call of ours."""
        self._by_peer[session.peer_session_id] = session
        self._answered(session)

    def _answered(self, session: Session) -> None:
        wire = session.pseudowire
        if wire is not None and self.asked.get((wire.type, wire.remote_end_id)) is session:
            del self.asked[wire.type, wire.remote_end_id]

    def _forget_by_peer(self, session: Session) -> None:
        if self._by_peer.get(session.peer_session_id) is session:
            del self._by_peer[session.peer_session_id]

    def ended(self, session: Session, cause: Cause, now: float) -> None:
        tunnel_id, session_id = self.tunnel.tunnel_id, session.session_id
        if self.sessions.pop(session_id, None) is None:
            return
        self._waiting.pop(session_id, None)
        self._forget_by_peer(session)
        self._answered(session)
        context = self.tunnel.context
        context.deadlines.set((tunnel_id, session_id), None)
        self._rest(session_id)
        if session.path != NO_PATH:
            session.path = NO_PATH
            context.emit(CloseDataPath(tunnel_id, session_id))
        context.emit(SessionDown(tunnel_id, session_id, *cause))
        context.emit(SessionDeleted(tunnel_id, session_id))
        context.counters.sessions_deleted += 1
        if not self.sessions and self.tunnel.established:
            self._watch_idle(now)

    def tunnel_closed(self, cause: Cause, now: float) -> None:
        """StopCCN clears all calls without a CDN each (section 5.7). Their result is the one that a CDN would have."""
        self.idle_due = None
        text = f"tunnel closed: {cause.message}" if cause.message else "tunnel closed"
        result = ADMINISTRATIVE if cause.result in ON_PURPOSE else NO_CARRIER
        for session in list(self.sessions.values()):
            session.handle(Event.XPRT_DOWN, now, Cause(result, 0, text, cause.by_peer))

    # record

    def to_record(self, now: float) -> dict[str, Any]:
        return {
            "idle_due": None if self.idle_due is None else self.idle_due - now,
            "waiting": list(self._waiting),
            "by_peer": [session.session_id for session in self._by_peer.values()],
            "sessions": [session.to_record(now) for session in self.sessions.values()],
        }

    def restore(self, record: dict[str, Any], now: float) -> None:
        self.idle_due = None if record["idle_due"] is None else now + record["idle_due"]
        for row in record["sessions"]:
            session = _MACHINES[row["machine"]](self.tunnel, row["session_id"], from_plain(row["settings"]), now)
            session.restore(row, now)
            if self.tunnel.version.number == Version3.number:
                self.tunnel.context.session_ids.claim(session.session_id)
            elif isinstance(self.tunnel.version, Offer):
                self._claim_offered(session.session_id)
            if session.pseudowire is not None and session.state is State.WAITREPLY:
                self.asked[session.pseudowire.type, session.pseudowire.remote_end_id] = session
            self._ids.claim(session.session_id)
            self.sessions[session.session_id] = session
            if session.state is not State.ESTABLISHED:
                self.limit_establishing(session)
        self._waiting = {session_id: self.sessions[session_id] for session_id in record["waiting"]}
        self._by_peer = {self.sessions[session_id].peer_session_id: self.sessions[session_id]
                         for session_id in record["by_peer"]}
