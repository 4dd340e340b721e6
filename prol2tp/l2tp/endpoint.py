"""All tunnels of a daemon: finds the tunnel for a datagram, makes one from an SCCRQ, keeps time for all.

A peer is address, port and id, never an address alone. After every call the caller drains `outputs()` and sets its
timer to `deadline()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from prol2tp.common.ids import IdPool
from prol2tp.common.wire import WireError
from prol2tp.l2tp import compose, header3, messages, messages3, trace
from prol2tp.l2tp.avptable import DisconnectCause
from prol2tp.l2tp.calls import NARROW
from prol2tp.l2tp.context import Cause, Context, Counters, Trace
from prol2tp.l2tp.digest import DigestError
from prol2tp.l2tp.header import (
    CONTROL_LENGTH,
    VERSION_3,
    ControlHeader,
    UnsupportedVersion,
    is_control,
    read_control,
)
from prol2tp.l2tp.messages import SCCRQ, MessageError, StopCCN
from prol2tp.l2tp.outputs import Address, Output, Transmit, TunnelCreated, TunnelDeleted
from prol2tp.l2tp.reports import Reports
from prol2tp.l2tp.requests import MOST_TUNNELS, Requests, refusal
from prol2tp.l2tp.session import UNSET, Session
from prol2tp.l2tp.session import Event as SessionEvent
from prol2tp.l2tp.session import State as SessionState
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.static import StaticTunnel
from prol2tp.l2tp.tunnel import Event, State, Tunnel, wrong_version
from prol2tp.l2tp.version2 import VERSION_2
from prol2tp.l2tp.version3 import L2TPV3, Offer, Version3

NOT_IN_TIME = 10
UNKNOWN = TunnelSettings(host_name="")
"""Stands for the settings of a tunnel that is not admitted yet."""
UNKNOWN_3 = TunnelSettings(host_name="", version=L2TPV3)
_ACK = messages3.ACK.number.to_bytes(2, "big")


def is_type(body: bytes, message: Any) -> bool:
    """Whether the body is that of a message, by its Message Type."""
    return int.from_bytes(body[6:8], "big") == message.number


def knows_secret(tunnel: Tunnel, whole: bytes) -> bool:
    """Whether a message has the digest that the tunnel demands; version 2 demands none."""
    try:
        tunnel.version.check(whole)
    except DigestError:
        return False
    return True


class Endpoint(Reports):
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

    # the network

    def receive(self, data: bytes, peer: Address, local: Address, ifindex: int, now: float) -> None:
        """One datagram. Data messages are only counted."""
        counters = self.context.counters
        counters.received += 1
        if not is_control(data):
            counters.data_messages += 1
            return
        try:
            if header3.version(data) == VERSION_3:
                header = header3.read_control_over_udp(data)
                decoder: Any = messages3
            else:
                header = read_control(data)
                decoder = messages
                if not local[1]:
                    raise UnsupportedVersion(VERSION_2.number)  # protocol 115 is version 3's
        except UnsupportedVersion:
            counters.bad_versions += 1
            return
        except WireError:
            counters.bad_headers += 1
            return
        message = data[:header.length]
        if header.tunnel_id == 0:
            self._receive_unaddressed(decoder, header, message, peer, local, ifindex, now)
            return
        tunnel = self.tunnels.get(header.tunnel_id)
        if tunnel is None or tunnel.static:
            counters.unknown_tunnels += 1
        elif decoder is not messages or tunnel.version is not VERSION_2:
            self._receive_checked(tunnel, decoder, header, message, peer, local, ifindex, now)
        else:
            self._receive_known(tunnel, header, data[CONTROL_LENGTH:header.length], peer, local, ifindex, now)

    def _receive_checked(self, tunnel: Tunnel, decoder: Any, header: ControlHeader, message: bytes, peer: Address,
                         local: Address, ifindex: int, now: float) -> None:
        """Version 3, or a tunnel that may become either: nothing is believed before the digest is right."""
        counters = self.context.counters
        version = tunnel.version
        if decoder is messages3 and isinstance(version, Offer) and tunnel.state is State.WAITCTLREPLY:
            version = version.taken_up(tunnel.settings)
        if (decoder is messages3) != (version.number == Version3.number):
            counters.bad_versions += 1
            return
        if tunnel.peer[0] != peer[0]:
            counters.wrong_sources += 1
            return
        try:
            version.check(message)
        except DigestError:
            counters.bad_digests += 1
            return
        body = message[CONTROL_LENGTH:]
        if body[6:8] == _ACK and decoder is messages3:
            body = b""
        if isinstance(tunnel.version, Offer) and not self._choose(tunnel, version, header, body):
            counters.bad_versions += 1
            return
        self._receive_known(tunnel, header, body, peer, local, ifindex, now)

    @staticmethod
    def _choose(tunnel: Tunnel, version: Any, header: ControlHeader, body: bytes) -> bool:
        """An answer to our offer of both versions: the one of its SCCRP is settled, if that can be the next message.
        False: no answer in version 3."""
        due = header.ns == tunnel.channel.nr
        if version is tunnel.version:
            if due and is_type(body, messages.SCCRP):
                tunnel.version = VERSION_2
            return True
        if due and (is_type(body, messages3.SCCRP) or is_type(body, messages3.StopCCN)):
            # the challenge was for version 2: here the digest has proved what it asks for
            tunnel.version, tunnel.challenge = version, None
            return True
        return not body

    def _receive_known(self, tunnel: Tunnel, header: ControlHeader, body: bytes, peer: Address, local: Address,
                       ifindex: int, now: float) -> None:
        counters = self.context.counters
        if tunnel.state is State.WAITCTLREPLY and tunnel.peer[0] == peer[0]:
            self._receive_answer(tunnel, header, body, peer, local, ifindex, now)
        elif tunnel.peer == peer:
            self._receive_for(tunnel, header, body, now)
        else:
            counters.wrong_sources += 1

    def _receive_for(self, tunnel: Tunnel, header: ControlHeader, body: bytes, now: float) -> None:
        if self.context.trace is not None:
            trace.packet(self.context.trace, "receive", tunnel.tunnel_id, header.session_id, header.ns, header.nr, body)
        tunnel.receive(header.ns, header.nr, header.session_id, body, now)
        self._settle(tunnel, now)

    def _receive_answer(self, tunnel: Tunnel, header: ControlHeader, body: bytes, peer: Address, local: Address,
                        ifindex: int, now: float) -> None:
        """The peer answers our SCCRQ from a port of its choice (section 8.1); its SCCRP or StopCCN settles which."""
        if self.context.trace is not None:
            trace.packet(self.context.trace, "receive", tunnel.tunnel_id, header.session_id, header.ns, header.nr, body)
        tunnel.receive(header.ns, header.nr, header.session_id, body, now)
        if tunnel.state is not State.WAITCTLREPLY:
            tunnel.peer, tunnel.local, tunnel.ifindex = peer, local, ifindex
        self._settle(tunnel, now)

    def _receive_unaddressed(self, decoder: Any, header: ControlHeader, whole: bytes, peer: Address, local: Address,
                             ifindex: int, now: float) -> None:
        """Tunnel id 0: an SCCRQ, or the StopCCN of a peer that does not know our id yet.

        :param decoder: the module of the version that it is in, `messages` or `messages3`.
        """
        counters = self.context.counters
        body = whole[CONTROL_LENGTH:]
        if not body:
            counters.unknown_tunnels += 1
            return
        version = Version3.number if decoder is messages3 else VERSION_2.number
        try:
            message = decoder.decode(body)
        except MessageError as error:
            counters.bad_requests += 1
            self._refuse_malformed(error, version, header, peer, local, ifindex)
            return
        known = self._requests.find(peer, getattr(message, "assigned_tunnel_id", 0), version)
        if message.number == StopCCN.number:
            self._stopped_unaddressed(known, header, whole, now)
            return
        if message.number != SCCRQ.number or header.session_id or header.ns:
            counters.unknown_tunnels += 1
            return
        if known is not None and not self._is_new(self.tunnels[known], header, whole, now):
            return
        self._requested(message, header, whole, version, peer, local, ifindex, now)

    def _stopped_unaddressed(self, known: int | None, header: ControlHeader, whole: bytes, now: float) -> None:
        """A StopCCN that names the peer's id instead of ours."""
        if known is None:
            self.context.counters.unknown_tunnels += 1
            return
        tunnel = self.tunnels[known]
        try:
            tunnel.version.check(whole)
        except DigestError:
            self.context.counters.bad_digests += 1
            return
        self._receive_for(tunnel, header, whole[CONTROL_LENGTH:], now)

    def _refuse_malformed(self, error: MessageError, version: int, header: ControlHeader, peer: Address,
                          local: Address, ifindex: int) -> None:
        if error.message_type == 1 and error.assigned_tunnel_id and header.ns == 0:
            cause = Cause(error.result, error.error, str(error))
            self._transmit(refusal(error.assigned_tunnel_id, cause, version), peer, local, ifindex)

    def _is_new(self, tunnel: Tunnel, header: ControlHeader, whole: bytes, now: float) -> bool:
        """Whether an SCCRQ that names a tunnel we have is a new request all the same: the peer has started anew."""
        if not tunnel.established and not knows_secret(tunnel, whole):
            self.context.counters.bad_digests += 1
            return False
        body = whole[CONTROL_LENGTH:]
        copy = tunnel.request_checksum == crc32(body)
        if not copy and not tunnel.established:
            self._drop(tunnel, Cause(1, 0, "the peer has started anew", True), now)
            return True
        self.context.counters.duplicate_requests += 1
        if tunnel.established and (not copy or now - tunnel.state_since > tunnel.channel.cycle()):
            # anybody could have sent this, so ask: the peer's new self will not answer a HELLO for the old tunnel
            tunnel.probe(now)
            self._settle(tunnel, now)
        elif not tunnel.stopped:
            self._receive_for(tunnel, header, body, now)
        return False

    def _requested(self, message: Any, header: ControlHeader, whole: bytes, version: int, peer: Address,
                   local: Address, ifindex: int, now: float) -> None:
        cause = wrong_version(message.protocol_version)
        if cause is not None:
            self.context.counters.bad_requests += 1
            self._transmit(refusal(message.assigned_tunnel_id, cause), peer, local, ifindex)
            return
        if not self._wins_tie(message, whole, peer, now):
            self.context.counters.lost_ties += 1
            return
        oldest = self._requests.room_for(peer, len(self.tunnels), now)
        if oldest is None:
            self.context.counters.pending_refused += 1
            return
        if oldest:
            self.context.counters.pending_evicted += 1
            self._drop(self.tunnels[oldest], Cause(2, 4, "too many tunnels are being set up"), now)
        unset = UNKNOWN_3 if version == Version3.number else UNKNOWN
        tunnel = self._make(unset, peer, local, ifindex, True, now)
        body = whole[CONTROL_LENGTH:]
        if version == Version3.number or getattr(message, "assigned_control_connection_id", None):
            tunnel.request_message = whole
        self._requests.add(tunnel, message.assigned_tunnel_id, now)
        # the SCCRQ passes through the channel too: it has a number, and is acknowledged
        tunnel.channel.receive(header.ns, header.nr, 0, body, now)
        tunnel.request_checksum = crc32(body)
        if self.context.trace is not None:
            trace.message(self.context.trace, "receive", message, tunnel.tunnel_id, 0)
        tunnel.handle(Event.SCCRQ, now, message)
        self._settle(tunnel, now)

    def _wins_tie(self, message: Any, whole: bytes, peer: Address, now: float) -> bool:
        """Both ends have sent an SCCRQ (section 4.4.3, Tie Breaker): the lower value wins, equal values lose both. Who
        does not know the secret of our tunnel of version 3 is not its other end."""
        theirs = message.tie_breaker
        wins = True
        for tunnel_id in self._requests.opening(peer[0]):
            tunnel = self.tunnels[tunnel_id]
            ours = tunnel.tie_breaker
            if ours is None and theirs is None or not knows_secret(tunnel, whole):
                continue
            if theirs is None or (ours is not None and ours <= theirs):
                wins = False
            if ours is None or (theirs is not None and theirs <= ours):
                self.context.counters.lost_ties += 1
                tunnel.handle(Event.LOSETIE, now, Cause(3, 0, "the peer won the tie"))
                self._settle(tunnel, now)
        return wins

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
