"""All tunnels of a daemon: takes commands and answers, keeps time for all.

After every call the caller drains `outputs()` and sets its
timer to `deadline()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prol2tp.common.ids import IdPool
from prol2tp.l2tp import compose, trace
from prol2tp.l2tp.arrivals import Arrivals
from prol2tp.l2tp.avptable import DisconnectCause
from prol2tp.l2tp.calls import NARROW
from prol2tp.l2tp.context import Cause, Context, Counters, Trace
from prol2tp.l2tp.outputs import Address, Output, Transmit, TunnelCreated, TunnelDeleted
from prol2tp.l2tp.reports import Reports
from prol2tp.l2tp.requests import MOST_TUNNELS, Requests
from prol2tp.l2tp.session import UNSET, Session
from prol2tp.l2tp.session import Event as SessionEvent
from prol2tp.l2tp.session import State as SessionState
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.static import StaticTunnel
from prol2tp.l2tp.tunnel import Event, State, Tunnel
from prol2tp.l2tp.version3 import L2TPV3

NOT_IN_TIME = 10


class Endpoint(Arrivals, Reports):
    """The control plane of L2TPv2 and L2TPv3 for all sockets of a daemon. Messages over IP come without the four
    octets of zeros before them, and have port 0 at both ends.

    :param random_bytes: source of ids, challenges and tie breakers.
    :param trace: `trace(kind, tunnel_id, session_id, text)`, or None.
    :param max_pending: most tunnels that the network has opened and that are not established yet.
    :param linear_ids: count ids from 1, for output that can be compared.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], trace: Trace | None = None, max_pending: int = 1000,
                 linear_ids: bool = False) -> None:
        self.context = Context(random_bytes, trace, linear_ids)
        self.tunnels: dict[int, Tunnel] = {}
        self._ids = IdPool(16, random_bytes, linear_ids)
        self._wide_ids = IdPool(32, random_bytes)
        self._requests = Requests(self.context, max_pending)
        self._checked: SessionSettings | None = None

    @property
    def counters(self) -> Counters:
        return self.context.counters

    @property
    def trace(self) -> Trace | None:
        return self.context.trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self.context.trace = trace

    def limit_pending(self, max_pending: int) -> None:
        """Another bound for tunnels that the network has opened and that are not established yet."""
        self._requests.limit(max_pending)

    # commands

    def open_tunnel(self, settings: TunnelSettings, peer: Address, local: Address, now: float, ifindex: int = 0) -> int:
        """Send an SCCRQ. Raises `ValueError` for settings that do not fit their AVPs."""
        compose.check_tunnel(settings)
        if settings.challenge and not settings.secret:
            raise ValueError("a challenge is demanded, and there is no secret")
        if len(self.tunnels) >= MOST_TUNNELS:
            raise ValueError("no tunnel id is free")
        tunnel = self._make(settings, peer, local, ifindex, False, now)
        tunnel.handle(Event.OPEN_REQ, now)
        if not tunnel.static:
            self._requests.add_opening(tunnel)
        self._settle(tunnel, now)
        return tunnel.tunnel_id

    def close_tunnel(self, tunnel_id: int, now: float, result: int = 6, error: int = 0, message: str = "") -> None:
        tunnel = self.tunnels[tunnel_id]
        tunnel.handle(Event.CLOSE_REQ, now, Cause(result, error, message))
        self._settle(tunnel, now)

    def open_session(self, tunnel_id: int, settings: SessionSettings, now: float) -> int:
        """Start a call, or queue it until the tunnel is up. Raises `ValueError` when the tunnel is closing or full."""
        self._check(settings)
        tunnel = self.tunnels[tunnel_id]
        if tunnel.state is State.CLOSING:
            raise ValueError(f"tunnel {tunnel_id} is closing")
        session = tunnel.calls.open(settings, now)
        self._settle(tunnel, now)
        return session.session_id

    def close_session(self, tunnel_id: int, session_id: int, now: float, result: int = 3, error: int = 0,
                      message: str = "", disconnect: DisconnectCause | None = None) -> None:
        tunnel = self.tunnels[tunnel_id]
        tunnel.sessions[session_id].handle(SessionEvent.CLOSE_REQ, now,
                                            Cause(result, error, message[:200], disconnect=disconnect))
        self._settle(tunnel, now)

    # answers; they may come after the tunnel or call has ended

    def tunnel_admitted(self, tunnel_id: int, settings: TunnelSettings, now: float) -> None:
        """Raises `ValueError` for settings that do not fit their AVPs."""
        tunnel = self.tunnels.get(tunnel_id)
        if tunnel is None:
            self.context.counters.late_answers += 1
            return
        tunnel.admit(settings, now)
        self._settle(tunnel, now)

    def tunnel_refused(self, tunnel_id: int, now: float, result: int = 4, error: int = 0, message: str = "") -> None:
        tunnel = self.tunnels.get(tunnel_id)
        if tunnel is None or tunnel.state is not State.WAIT_ADMIT:
            self.context.counters.late_answers += 1
            return
        tunnel.handle(Event.SCCRQ_DENY, now, Cause(result, error, message))
        self._settle(tunnel, now)

    def session_admitted(self, tunnel_id: int, session_id: int, settings: SessionSettings, now: float) -> None:
        self._check(settings)
        session = self._answered(tunnel_id, session_id)
        if session is None or session.state is not SessionState.WAIT_ADMIT or session.ADMITTED is None:
            self.context.counters.late_answers += 1
            return
        fault = session.tunnel.version.admitted(session, settings)
        if fault is not None:
            self.session_refused(tunnel_id, session_id, now, fault.result, fault.error, fault.message)
            return
        session.handle(session.ADMITTED, now, settings)
        if settings.establish_timeout != UNSET.establish_timeout and session.state is not SessionState.IDLE:
            session.tunnel.calls.limit_establishing(session)
        self._settle(session.tunnel, now)

    def session_refused(self, tunnel_id: int, session_id: int, now: float, result: int, error: int = 0,
                        message: str = "") -> None:
        session = self._answered(tunnel_id, session_id)
        if session is None or session.state is not SessionState.WAIT_ADMIT or session.REFUSED is None:
            self.context.counters.late_answers += 1
            return
        self.context.counters.sessions_refused += 1
        session.handle(session.REFUSED, now, Cause(result, error, message[:200]))
        self._settle(session.tunnel, now)

    def data_path_opened(self, tunnel_id: int, session_id: int, now: float) -> None:
        session = self._answered(tunnel_id, session_id)
        if session is None or not session.path_asked:
            self.context.counters.late_answers += 1
            return
        session.handle(session.PATH_OPENED, now)
        self._settle(session.tunnel, now)

    def data_path_failed(self, tunnel_id: int, session_id: int, now: float, message: str = "") -> None:
        """Also for a data path that breaks later."""
        session = self._answered(tunnel_id, session_id)
        if session is None or not (session.path_asked or session.path_open):
            self.context.counters.late_answers += 1
            return
        session.handle(session.PATH_FAILED, now, Cause(2, 4, message[:200] or "no data path"))
        self._settle(session.tunnel, now)

    def check_session(self, settings: SessionSettings) -> None:
        """Raises `ValueError` for settings of a call that do not fit their AVPs."""
        compose.check(settings)

    def _check(self, settings: SessionSettings) -> None:
        if settings is not self._checked:  # a daemon gives the same record again and again
            compose.check(settings)
            self._checked = settings

    def _answered(self, tunnel_id: int, session_id: int) -> Session | None:
        tunnel = self.tunnels.get(tunnel_id)
        return None if tunnel is None else tunnel.sessions.get(session_id)

    # time and outputs

    def timeout(self, now: float) -> None:
        for owner in self.context.deadlines.expired(now):
            if isinstance(owner, tuple):
                self._call_expired(owner[0], owner[1], now)
                continue
            tunnel = self.tunnels.get(owner)  # type: ignore[call-overload]
            if tunnel is not None:
                tunnel.timeout(now)
                self._settle(tunnel, now)

    def _call_expired(self, tunnel_id: int, session_id: int, now: float) -> None:
        session = self._answered(tunnel_id, session_id)
        if session is not None:
            self.context.counters.establish_timeouts += 1
            session.handle(SessionEvent.CLOSE_REQ, now, Cause(NOT_IN_TIME, 0, "not established in time"))
            self._settle(session.tunnel, now)

    def deadline(self) -> float | None:
        return self.context.deadlines.next()

    def outputs(self) -> list[Output]:
        return self.context.drain()

    # tunnels come and go

    def _make(self, settings: TunnelSettings, peer: Address, local: Address, ifindex: int, lns: bool,
              now: float) -> Tunnel:
        kind = StaticTunnel if settings.static else Tunnel
        tunnel = kind(self.context, self._take_id(settings), settings, peer, local, ifindex, lns, now)
        self.tunnels[tunnel.tunnel_id] = tunnel
        self.context.counters.tunnels_created += 1
        self.context.emit(TunnelCreated(tunnel.tunnel_id))
        return tunnel

    def _take_id(self, settings: TunnelSettings) -> int:
        """Of 32 bits for version 3, unless ids are to be counted; small ones may be version 2's too. Raises
        `ValueError` for one of a static tunnel that is in use."""
        if settings.static:
            wanted = settings.tunnel_id
            if not settings.peer_tunnel_id or not (self._wide_ids if wanted > NARROW else self._ids).claim(wanted):
                raise ValueError(f"tunnel id {wanted} is in use, or is none")
            return wanted
        while settings.version == L2TPV3 and not self.context.linear_ids:
            tunnel_id = self._wide_ids.take()
            if tunnel_id > NARROW:
                return tunnel_id
        return self._ids.take()

    def _settle(self, tunnel: Tunnel, now: float) -> None:
        """After every event of a tunnel: send what it has to send, then set its deadline, or forget it."""
        tunnel.settle(now)
        outbox = tunnel.channel.outbox
        if outbox:
            self._flush(tunnel, outbox)
        if not tunnel.settled:
            self._requests.moved_on(tunnel)
        if tunnel.deleted:
            self._forget(tunnel)
        else:
            self.context.deadlines.set(tunnel.tunnel_id, tunnel.deadline())

    def _flush(self, tunnel: Tunnel, outbox: list[tuple[int, int, int, bytes]]) -> None:
        context = self.context
        for session_id, ns, nr, body in outbox:
            if context.trace is not None:
                trace.packet(context.trace, "send", tunnel.tunnel_id, session_id, ns, nr, body)
            data = tunnel.version.write(tunnel, session_id, ns, nr, body)
            context.emit(Transmit(data, tunnel.peer, tunnel.local, tunnel.ifindex, tunnel.tunnel_id))
        context.counters.sent += len(outbox)
        outbox.clear()

    def _transmit(self, data: bytes, peer: Address, local: Address, ifindex: int) -> None:
        self.context.counters.sent += 1
        self.context.emit(Transmit(data, peer, local, ifindex))

    def _drop(self, tunnel: Tunnel, cause: Cause, now: float) -> None:
        tunnel.handle(Event.XPRT_DOWN, now, cause)
        self._settle(tunnel, now)

    def _forget(self, tunnel: Tunnel) -> None:
        if self.tunnels.pop(tunnel.tunnel_id, None) is None:
            return
        self._requests.forget(tunnel)
        self.context.deadlines.set(tunnel.tunnel_id, None)
        (self._wide_ids if tunnel.tunnel_id > NARROW else self._ids).release(tunnel.tunnel_id)
        self.context.counters.tunnels_deleted += 1
        self.context.emit(TunnelDeleted(tunnel.tunnel_id))

    # record

    def ask_again(self) -> None:
        """Repeat every question that is not answered: for a shell that did not live to see them."""
        for tunnel in self.tunnels.values():
            tunnel.ask_again()

    def to_record(self, now: float) -> dict[str, Any]:
        """Plain data; deadlines as seconds left. It holds the secrets of the tunnels."""
        return {
            "tunnels": [tunnel.to_record(now) for tunnel in self.tunnels.values()],
            "serial": self.context.serial,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], now: float, random_bytes: Callable[[int], bytes],
                    trace: Trace | None = None, max_pending: int = 1000, linear_ids: bool = False) -> Endpoint:
        endpoint = cls(random_bytes, trace, max_pending, linear_ids)
        endpoint.context.serial = record["serial"]
        for row in record["tunnels"]:
            kind = StaticTunnel if row["static"] else Tunnel
            tunnel = kind.from_record(endpoint.context, row, now)
            (endpoint._wide_ids if tunnel.tunnel_id > NARROW else endpoint._ids).claim(tunnel.tunnel_id)
            endpoint.tunnels[tunnel.tunnel_id] = tunnel
            endpoint._requests.restore(tunnel)
            endpoint.context.deadlines.set(tunnel.tunnel_id, tunnel.deadline())
        return endpoint
