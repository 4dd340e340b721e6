"""Tunnels and sessions that this daemon opens itself: from the configuration, or by command.

An instance is tried until it is up, for ever if it persists: the waits double from one second to the configured
longest, with jitter, and the peer's name is resolved anew for every try. A tunnel gets a socket of its own on an
ephemeral port for each try.
"""

from __future__ import annotations

import random
from socket import gaierror
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from prol2tp.daemons.prol2tpd.addresses import route_source
from prol2tp.dataplane.interface import Address, Listener
from prol2tp.net.deadlines import LazyTimer
from prol2tp.net.names import addresses_of
from prol2tp.net.udp import ControlPort, is_wildcard

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.calls import Call
    from prol2tp.daemons.prol2tpd.plane import Plane
    from prol2tp.l2tp.outputs import SessionDown
    from prol2tp.l2tp.settings import SessionSettings

RETRY = 1.0
"""Seconds after a failure in which calls cause no new try."""
STEADY = 30.0
"""Seconds up after which a failure starts with the shortest wait again."""


class Backoff:
    """Waits of 1, 2, 4, ... seconds up to `longest`, each shortened at random by up to a quarter."""

    __slots__ = ("longest", "_step")

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._step = 0

    def next(self) -> float:
        wait = min(self.longest, 2.0 ** min(self._step, 16))
        self._step += 1
        return wait * (0.75 + 0.25 * random.random())

    def reset(self) -> None:
        self._step = 0


class _Instance:
    """What tunnels and sessions have in common: a wait, then a try, until told to stop."""

    def __init__(self, plane: Plane, config: Any, longest: float, origin: str) -> None:
        self.plane = plane
        self.config = config
        self.origin = origin
        """'config' or 'command'."""
        self.stopped = False
        self._backoff = Backoff(longest)
        self._timer = LazyTimer(plane.clock, self._due)
        self._up_since: float | None = None
        self._first: list[Deferred] | None = []

    def first_try(self) -> Deferred:
        """-> Deferred(id) of the first try, or 0 when there is nothing to try yet; fails with `OSError` or
        `LookupError` when it cannot even be started."""
        done: Deferred = Deferred()
        if self._first is None:
            done.callback(self.identifier or 0)
        else:
            self._first.append(done)
        return done

    @property
    def identifier(self) -> int | None:
        """The id of the try under way."""
        raise NotImplementedError

    def _tried(self, problem: BaseException | None = None) -> None:
        waiting, self._first = self._first or [], None
        for done in waiting:
            if problem is None:
                done.callback(self.identifier or 0)
            else:
                done.errback(problem)

    @property
    def name(self) -> str:
        return self.config.name

    def start(self) -> None:
        self._timer.want(self.plane.clock.seconds())

    def _due(self, now: float) -> None:
        if not self.stopped:
            self.attempt()

    def attempt(self) -> None:
        raise NotImplementedError

    def came_up(self) -> None:
        self._up_since = self.plane.clock.seconds()

    def went_down(self) -> None:
        """Try again, unless once was enough."""
        now = self.plane.clock.seconds()
        if self._up_since is not None and now - self._up_since >= STEADY:
            self._backoff.reset()
        self._up_since = None
        if self.stopped or not self.config.persist:
            self._timer.stop()
            self.finished()
            return
        wait = self._backoff.next()
        self.plane.log.notice("{what}: next try in {wait:.1f} s", what=self.describe(), wait=wait)
        self._timer.want(now + wait)

    def finished(self) -> None:
        """No further try."""

    def describe(self) -> str:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True
        self._timer.stop()
        self._tried()


class ClientTunnel(_Instance):
    """One `tunnel` block, with its sessions."""

    def __init__(self, plane: Plane, config: Any, origin: str = "config") -> None:
        super().__init__(plane, config, plane.config.system.tunnel_persist_pend_timeout, origin)
        self.tunnel_id: int | None = None
        self.sessions: dict[str, ClientSession] = {}
        for session in config.sessions.values():
            self.sessions[session.name] = ClientSession(plane, self, session, origin)
        self.peer = ""
        """The address that was tried last."""
        self.last_error = ""
        self.calls: dict[str, Call] = {}
        """Calls of proacd that wait for the tunnel, or are in it."""
        self.trying = False
        self.failed_at: float | None = None
        """When the last try failed; None once one has come up."""
        self.unresolved = False
        """The last try failed because the name of the peer has no address."""
        self.addresses = 1
        """How many the name of the peer has."""
        self._trying: Deferred | None = None
        self._failures = 0
        """Tries that did not come up: of several addresses of the peer each gets its turn."""

    @property
    def identifier(self) -> int | None:
        return self.tunnel_id

    def describe(self) -> str:
        return f"tunnel {self.name}"

    def attempt(self) -> None:
        host, port = self.config.peer.host, self.config.peer.port
        peer: list[Address] = []
        self.trying = True

        def resolved(addresses: list[str]) -> Deferred:
            self._trying = None  # a socket that is being made is not called back: it would be nobody's
            self.addresses = len(addresses)
            peer.append((addresses[self._failures % len(addresses)], port))
            wanted = self.config.local
            host = wanted[0] if wanted else ""
            if not host or is_wildcard(host):
                host = route_source(peer[0])
            if self.config.encap == "ip":
                peer[0] = (peer[0][0], 0)
                return self.plane.ip_port(host)
            if self.config.static and (shared := self.plane.ports.find((host, wanted[1]))) is not None:
                return succeed(shared)
            return self.plane.path.listen((host, wanted[1] if wanted else 0))

        self._trying = trying = addresses_of(host)
        trying.addCallback(resolved)  # at once for an address
        trying.addCallback(lambda way: self._listening(way, peer[0]))
        trying.addErrback(self._failed)

    def _listening(self, way: Listener | ControlPort, peer: Address) -> None:
        if self.stopped:
            if isinstance(way, Listener):
                self.plane.unlisten(self.plane.add_port(way))
            return
        self.peer = peer[0]
        self.tunnel_id = self.plane.open_tunnel(self, way, peer)
        self._tried()

    def _failed(self, failure: Failure) -> None:
        self._trying = None
        if self.stopped or failure.check(CancelledError):
            return
        self._failures += 1
        error = failure.value
        self.unresolved = isinstance(error, (gaierror, UnicodeError))
        self.last_error = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        host = self.config.peer.host
        self.plane.log.error("tunnel {name}: cannot try {host}: {reason}", name=self.name, host=host,
                             reason=self.last_error)
        self._tried(error)
        self._not_up()
        self.went_down()

    def up(self) -> None:
        """The tunnel is established: open its sessions."""
        self.came_up()
        self.trying, self.failed_at, self.unresolved = False, None, False
        for session in self.sessions.values():
            session.start()
        for call in list(self.calls.values()):
            call.open()

    def closed(self) -> None:
        """The tunnel's id is gone."""
        self.tunnel_id = None
        if self._up_since is None:
            self._failures += 1
            self.unresolved = False
            self._not_up()
        for session in self.sessions.values():
            session.tunnel_gone()
        self.went_down()

    def _not_up(self) -> None:
        """A try has failed: calls do not wait for the next, unless that comes at once."""
        self.trying, self.failed_at = False, self.plane.clock.seconds()
        if self.goes_on:
            return
        for call in list(self.calls.values()):
            call.tunnel_failed()

    @property
    def goes_on(self) -> bool:
        """Whether after a failure the next address of the peer is tried at once."""
        return False

    @property
    def is_up(self) -> bool:
        return self.tunnel_id is not None and self._up_since is not None

    def carry(self, call: Call) -> None:
        """Open a call in the tunnel, as soon as that is up. The one that waits for a further try makes it now."""
        self.calls[call.id] = call
        now = self.plane.clock.seconds()
        if self.is_up:
            call.open()
        elif not self.trying and self.failed_at is not None and now - self.failed_at < RETRY:
            call.tunnel_failed()
        elif not self.trying:
            self._timer.want(now)

    def finished(self) -> None:
        for session in self.sessions.values():
            self.plane.circuits.discard(session)
        self.plane.instance_finished(self)

    def add_session(self, config: Any, origin: str) -> ClientSession:
        session = ClientSession(self.plane, self, config, origin)
        self.sessions[config.name] = session
        if self.tunnel_id is not None and self._up_since is not None:
            session.start()
        else:
            session.not_yet()
        return session

    def stop(self) -> None:
        super().stop()
        for session in self.sessions.values():
            session.stop()
        if self._trying is not None:
            self._trying.cancel()

    def close(self, message: str) -> None:
        """Stop for good, and end the tunnel if there is one."""
        self.stop()
        if self.tunnel_id is not None:
            self.plane.close_tunnel(self.tunnel_id, message=message)
        else:
            self.last_error = message or self.last_error
            self._not_up()
            self.finished()


class ClientSession(_Instance):
    """One `session` block of a tunnel."""

    def __init__(self, plane: Plane, tunnel: ClientTunnel, config: Any, origin: str) -> None:
        super().__init__(plane, config, plane.config.system.session_persist_pend_timeout, origin)
        self.tunnel = tunnel
        self.session_id: int | None = None
        self.elsewhere: int | None = None
        """The tunnel that the session is in, where it is not ours."""
        plane.circuits.add(self)

    @property
    def identifier(self) -> int | None:
        return self.session_id

    def describe(self) -> str:
        return f"session {self.name} of tunnel {self.tunnel.name}"

    def start(self) -> None:
        if not self.stopped and self.session_id is None:
            super().start()

    def settings(self) -> SessionSettings:
        return self.plane.admission.session_settings(self.config)

    def ended(self, output: SessionDown, cause: str, why: str) -> None:
        """The call is over; `closed` follows when its id is gone."""

    def attempt(self) -> None:
        if self.tunnel.tunnel_id is None or self.session_id is not None:
            self._tried()
            return
        try:
            self.session_id = self.plane.open_session(self)
        except (ValueError, LookupError) as error:
            self.plane.log.error("{what}: {reason}", what=self.describe(), reason=str(error))
            self._tried(error)
            self.went_down()
            return
        self._tried()

    def taken_over(self, tunnel_id: int, session_id: int) -> None:
        """The peer has opened a session for the same circuit, perhaps in a tunnel of its own."""
        self._timer.stop()
        self.session_id = session_id
        self.elsewhere = tunnel_id if tunnel_id != self.tunnel.tunnel_id else None

    def not_yet(self) -> None:
        """The tunnel is not up: the first try comes with it."""
        self._tried()

    def closed(self) -> None:
        """The session's id is gone; the tunnel may still be there."""
        self.session_id = self.elsewhere = None
        if self.tunnel.tunnel_id is not None:
            self.went_down()

    def tunnel_gone(self) -> None:
        if self.elsewhere is not None:
            return
        self.session_id = None
        self._up_since = None
        self._timer.stop()

    def finished(self) -> None:
        self.plane.circuits.discard(self)
        if self.tunnel.sessions.get(self.name) is self:
            del self.tunnel.sessions[self.name]

    def close(self, message: str) -> None:
        self.stop()
        tunnel_id = self.elsewhere or self.tunnel.tunnel_id
        if self.session_id is not None and tunnel_id is not None:
            self.plane.close_session(tunnel_id, self.session_id, message=message)
        else:
            self.finished()
