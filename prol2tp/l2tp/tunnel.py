"""The control connection of one tunnel: its table (CCE, RFC 2661 section 7.2) and what carries its messages.

The endpoint makes tunnels, gives them their datagrams and time, and sends what their channel holds. The messages of a
tunnel are taken apart here; those of a call go on to its `Session` (by way of `calls`).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from prol2tp.common.fsm import IllegalEvent, Machine
from prol2tp.l2tp import auth, compose, speeds, trace
from prol2tp.l2tp.calls import Calls
from prol2tp.l2tp.channel import Channel
from prol2tp.l2tp.context import Cause, Context
from prol2tp.l2tp.digest import DigestError
from prol2tp.l2tp.messages import (
    CSUN,
    CSURQ,
    HELLO,
    SCCCN,
    SCCRP,
    Message,
    MessageError,
    MissingAVP,
    ResultCode,
    StopCCN,
    UnknownMandatoryAVP,
    UnknownMessageType,
)
from prol2tp.l2tp.outputs import Address, AskTunnelAdmission, TunnelDown, TunnelUp
from prol2tp.l2tp.plain import from_plain, to_plain
from prol2tp.l2tp.settings import TunnelSettings
from prol2tp.l2tp.table import Word, table
from prol2tp.l2tp.version2 import VERSION_2
from prol2tp.l2tp.version3 import choose, initial, restored, versions_record


class State(Word):
    IDLE = "IDLE"
    WAITCTLREPLY = "WAITCTLREPLY"
    WAITCTLCONN = "WAITCTLCONN"
    ESTABLISHED = "ESTABLISHED"
    CLOSING = "CLOSING"
    WAIT_ADMIT = "WAIT_ADMIT"  # ours: the shell has been asked whether the tunnel may come in


class Event(Word):
    OPEN_REQ = "OPEN_REQ"
    SCCRQ_ACCEPT = "SCCRQ_ACCEPT"
    SCCRQ_DENY = "SCCRQ_DENY"
    SCCRP_ACCEPT = "SCCRP_ACCEPT"
    SCCRP_DENY = "SCCRP_DENY"
    LOSETIE = "LOSETIE"
    SCCCN_ACCEPT = "SCCCN_ACCEPT"
    SCCCN_DENY = "SCCCN_DENY"
    CLOSE_REQ = "CLOSE_REQ"
    STOPCCN = "STOPCCN"
    XPRT_DOWN = "XPRT_DOWN"
    SCCRQ = "SCCRQ"  # ours: it came, and the shell is to be asked
    CLOSED = "CLOSED"  # ours: the peer has all that a closed tunnel owes it


IDLE, WAIT_ADMIT, WAITCTLREPLY, WAITCTLCONN = State.IDLE, State.WAIT_ADMIT, State.WAITCTLREPLY, State.WAITCTLCONN
ESTABLISHED, CLOSING = State.ESTABLISHED, State.CLOSING

_EVENTS = {"SCCRQ": Event.SCCRQ, "SCCRP": Event.SCCRP_ACCEPT, "SCCCN": Event.SCCCN_ACCEPT}
_SPEEDS = (CSUN.number, CSURQ.number)
_RIGHT_STATES = {"SCCRP": WAITCTLREPLY, "SCCCN": WAITCTLCONN}

ANOTHER_VERSION = 5
NOT_AUTHORIZED = 4
STATE_ERROR = 7
GENERAL_ERROR = 2
CLEARED = 1
OUR_VERSION = 0x0100
"""Error code of result 5: the highest version that we speak."""


def wrong_version(version: int) -> Cause | None:
    """Protocol Version AVP: any revision of version 1 (section 4.4.3)."""
    if version >> 8 == OUR_VERSION >> 8:
        return None
    return Cause(ANOTHER_VERSION, OUR_VERSION, f"protocol version {version >> 8}.{version & 0xFF}")


class Tunnel(Machine):
    """One tunnel.

    :ivar peer_tunnel_id: 0 until the peer has said it.
    :ivar lns: the peer opened it (we got the SCCRQ).
    :ivar origin: 'net' or 'local'.
    :ivar deleted: nothing is left to say; the endpoint forgets it.
    :ivar settled: the endpoint has nothing more to note about how it was set up.
    :ivar was_up: it has been ESTABLISHED.
    :ivar version: what is particular to the version that it speaks (`version2`, `version3`).
    :ivar request: the SCCRQ, until it is answered.
    :ivar request_message: all its octets, where a digest may be in it.
    :ivar request_key: by which `requests` knows it.
    :ivar request_checksum: CRC of the SCCRQ that made it, to tell a copy of that from a new one with the same id.
    :ivar calls: the calls and their ids; `sessions` is its dictionary.
    """

    __slots__ = (
        "context", "version", "tunnel_id", "peer_tunnel_id", "peer", "local", "ifindex", "settings", "created_at",
        "lns", "peer_host_name", "peer_vendor_name", "peer_framing_caps", "peer_bearer_caps", "peer_router_id",
        "peer_pseudowires", "calls", "sessions", "channel", "tie_breaker", "challenge", "peer_challenge", "deleted",
        "settled", "was_up", "request", "request_message", "request_checksum", "request_key",
        "_establish_due", "_closed_due",
    )

    NAME = "CCE"
    static = False
    """Without a control connection."""

    def __init__(self, context: Context, tunnel_id: int, settings: TunnelSettings, peer: Address, local: Address,
                 ifindex: int, lns: bool, now: float) -> None:
        super().__init__(IDLE, now)
        self.context = context
        self.version: Any = initial(settings)
        self.tunnel_id = tunnel_id
        self.peer_tunnel_id = 0
        self.peer = peer
        self.local = local
        self.ifindex = ifindex
        self.settings = settings
        self.created_at = now
        self.lns = lns
        self.peer_host_name = ""
        self.peer_vendor_name = ""
        self.peer_framing_caps = 0
        self.peer_bearer_caps = 0
        self.peer_router_id = 0
        self.peer_pseudowires: tuple[int, ...] = ()
        self.channel = Channel(settings, context.counters, now)
        self.calls = Calls(self)
        self.sessions = self.calls.sessions
        self.tie_breaker: bytes | None = None
        self.challenge: bytes | None = None  # ours, until it is answered
        self.peer_challenge: bytes | None = None
        self.deleted = False
        self.settled = False
        self.was_up = False
        self.request: Any = None
        self.request_message = b""
        self.request_checksum = 0
        self.request_key: Any = None
        self._establish_due: float | None = None
        self._closed_due: float | None = None
        self.limit_establishing(now)

    @property
    def stopped(self) -> bool:
        """The peer has cleared this tunnel, and has no right to more than acknowledgements of its StopCCN."""
        return self._closed_due is not None

    @property
    def origin(self) -> str:
        return "net" if self.lns else "local"

    @property
    def established(self) -> bool:
        return self.state is ESTABLISHED

    # events

    def handle(self, event: Event, now: float, argument: Any = None) -> bool:
        """Fire; an event that the state does not know is counted, and changes nothing."""
        try:
            self.fire(event, now, argument)
        except IllegalEvent:
            self.context.counters.illegal_events += 1
            return False
        return True

    def receive(self, ns: int, nr: int, session_id: int, body: bytes, now: float) -> None:
        """One control message from the peer; `body` is empty for a ZLB."""
        for call, whole in self.channel.receive(ns, nr, session_id, body, now):
            self._deliver(call, whole, now)

    def _deliver(self, session_id: int, body: bytes, now: float) -> None:
        try:
            message = self.version.decode(self, body)
        except MessageError as error:
            self._rejected(error, self.version.session_of_error(error, session_id), now)
            return
        session_id = self.version.session_of(message, session_id)
        if self.context.trace is not None:
            trace.message(self.context.trace, "receive", message, self.tunnel_id, session_id)
        if message.for_call:
            if self.state is ESTABLISHED:
                self.calls.receive(message, session_id, now)
            elif self.state is not CLOSING:
                self.context.counters.illegal_events += 1
        elif message.number == HELLO.number:
            self.context.counters.hellos_received += 1
        elif message.number in _SPEEDS:
            if self.state is ESTABLISHED:
                speeds.receive(self, message, now)
        else:
            self.handle(*self._judge(message, now))

    def _judge(self, message: Any, now: float) -> tuple[Event, float, Any]:
        """The event that a message about the tunnel is, by its content."""
        if message.number == StopCCN.number:
            self.peer_tunnel_id = self.peer_tunnel_id or message.assigned_tunnel_id
            result, error, text = message.result_code
            return Event.STOPCCN, now, Cause(result, error, text, True)
        name = type(message).__name__
        if self.state is not _RIGHT_STATES.get(name):
            out_of_place = Cause(STATE_ERROR, 0, f"{name} in state {self.state.name}")
            return _EVENTS[name], now, out_of_place
        response: bytes | None = message.challenge_response
        fault = None
        identifier = auth.SCCCN_IDENTIFIER
        reply = message.number == SCCRP.number
        if reply:
            self.peer_tunnel_id = message.assigned_tunnel_id
            identifier = auth.SCCRP_IDENTIFIER
            fault = wrong_version(message.protocol_version) or self.unanswerable(message.challenge)
        fault = fault or self._wrong_response(identifier, response)
        if fault is None:
            return _EVENTS[name], now, message
        return (Event.SCCRP_DENY if reply else Event.SCCCN_DENY), now, fault

    def unanswerable(self, challenge: bytes | None) -> Cause | None:
        """The peer wants an answer to its challenge, and we have no secret (section 5.1.1)."""
        if challenge is None or self.settings.secret:
            return None
        self.context.counters.authentication_failures += 1
        return Cause(NOT_AUTHORIZED, 0, "a challenge, and no secret is configured")

    def _wrong_response(self, identifier: int, response: bytes | None) -> Cause | None:
        if self.challenge is None:
            return None
        if auth.response_is_right(identifier, self.settings.secret, self.challenge, response):
            self.challenge = None
            return None
        self.context.counters.authentication_failures += 1
        return Cause(NOT_AUTHORIZED, 0, "no challenge response" if response is None else "wrong challenge response")

    def _rejected(self, error: MessageError, session_id: int, now: float) -> None:
        """The message cannot be accepted: section 4.1 for its AVPs, 4.4.1 for its type, 7 for what is malformed."""
        counters = self.context.counters
        if isinstance(error, UnknownMessageType):
            counters.unknown_messages += 1
        elif isinstance(error, UnknownMandatoryAVP):
            counters.unknown_mandatory_avps += 1
        elif isinstance(error, MissingAVP):
            counters.missing_avps += 1
        else:
            counters.bad_avps += 1
        if self.context.trace is not None:
            self.context.trace("message", self.tunnel_id, session_id, f"receive: rejected, {error}")
        cause = Cause(error.result, error.error, str(error))
        if isinstance(error, UnknownMessageType):
            if error.mandatory:
                self.handle(Event.CLOSE_REQ, now, cause)
        elif error.for_call:
            if self.state is ESTABLISHED:
                self.calls.rejected(error, session_id, cause, now)
        elif error.message_type == StopCCN.number:
            self.handle(Event.STOPCCN, now, cause._replace(by_peer=True))
        elif error.message_type is not None and error.message_type not in _SPEEDS:
            # what does not even say what it is, is dropped; and what need not be known, need not be right
            denied = {SCCRP.number: (WAITCTLREPLY, Event.SCCRP_DENY), SCCCN.number: (WAITCTLCONN, Event.SCCCN_DENY)}
            state, event = denied.get(error.message_type, (self.state, Event.CLOSE_REQ))
            if error.message_type == SCCRP.number and not self.peer_tunnel_id:
                self.peer_tunnel_id = error.assigned_tunnel_id or 0
            self.handle(event if state is self.state else Event.CLOSE_REQ, now, cause)

    def send(self, message: Message, session_id: int, now: float, our_session_id: int = 0) -> None:
        """Encode and queue; `session_id` is the peer's, for the header."""
        body = self.version.encode(self, message)
        if self.context.trace is not None:
            trace.message(self.context.trace, "send", message, self.tunnel_id, our_session_id)
        self.channel.send(session_id, body, now)

    def admit(self, settings: TunnelSettings, now: float) -> None:
        """The shell's answer. Raises `ValueError` for settings that do not fit their AVPs."""
        compose.check_tunnel(settings)
        if self.state is not WAIT_ADMIT:
            self.context.counters.late_answers += 1
            return
        self.settings = settings
        self.channel.configure(settings)
        self.limit_establishing(self.created_at)
        try:
            fault = choose(self) or self.unanswerable(self.peer_challenge)
        except DigestError as error:
            # not even a StopCCN for who does not know the secret (RFC 3931 section 4.3)
            self.context.counters.bad_digests += 1
            self.handle(Event.XPRT_DOWN, now, Cause(NOT_AUTHORIZED, 0, str(error)))
            return
        finally:
            self.request, self.request_message = None, b""
        if settings.challenge and not settings.secret:
            fault = Cause(NOT_AUTHORIZED, 0, "a challenge is demanded, and no secret is configured")
        self.handle(Event.SCCRQ_DENY if fault else Event.SCCRQ_ACCEPT, now, fault)

    # time

    def timeout(self, now: float) -> None:
        self.channel.timeout(now)
        if self._establish_due is not None and self._establish_due <= now:
            self._establish_due = None
            self.context.counters.establish_timeouts += 1
            self.handle(Event.CLOSE_REQ, now, Cause(CLEARED, 0, "not established in time"))
        elif self.calls.idle_due is not None and self.calls.idle_due <= now:
            self.calls.idle_due = None
            self.handle(Event.CLOSE_REQ, now, Cause(CLEARED, 0, "idle"))
        elif self._closed_due is not None and self._closed_due <= now:
            self.handle(Event.CLOSED, now)
        elif (due := self._hello_due()) is not None and due <= now:
            self._hello(now)

    def settle(self, now: float) -> None:
        """After every event, before the channel's outbox is sent."""
        channel = self.channel
        if channel.dead and not self.deleted:
            self.context.counters.retry_timeouts += 1
            self.handle(Event.XPRT_DOWN, now, Cause(GENERAL_ERROR, 0, "the peer does not acknowledge"))
        elif self.state is CLOSING and self._closed_due is None and channel.drained:
            self.handle(Event.CLOSED, now)
        channel.acknowledge(now)

    def deadline(self) -> float | None:
        soonest = self.channel.deadline()
        due = self._hello_due()
        if due is not None and (soonest is None or due < soonest):
            soonest = due
        if (due := self._establish_due) is not None and (soonest is None or due < soonest):
            soonest = due
        if (due := self.calls.idle_due) is not None and (soonest is None or due < soonest):
            soonest = due
        if (due := self._closed_due) is not None and (soonest is None or due < soonest):
            soonest = due
        return soonest

    def _hello_due(self) -> float | None:
        """Only silence of the peer asks for a HELLO, and only while nothing else of ours waits for its answer."""
        if self.state is not ESTABLISHED or not self.channel.drained:
            return None
        timeout = self.settings.hello_timeout
        return self.channel.heard + timeout if timeout > 0 else None

    def _hello(self, now: float) -> None:
        self.context.counters.hellos_sent += 1
        self.send(self.version.hello(), 0, now)

    def probe(self, now: float) -> None:
        """Find out whether the peer still knows this tunnel."""
        if self.state is ESTABLISHED and self.channel.drained:
            self._hello(now)

    def limit_establishing(self, since: float) -> None:
        timeout = self.settings.establish_timeout
        self._establish_due = since + timeout if timeout > 0 else None

    def traced(self, event: Enum, old: Enum, new: Enum) -> None:
        if self.context.trace is not None:
            trace.event(self.context.trace, self.NAME, self.tunnel_id, 0, event, old, new)

    # actions

    def send_sccrq(self, message: Any, now: float) -> None:
        settings, random_bytes = self.settings, self.context.random_bytes
        if settings.challenge and settings.secret and self.version.number == VERSION_2.number:
            self.challenge = random_bytes(16)
        if settings.use_tiebreaker:
            self.tie_breaker = random_bytes(8)
        self.send(self.version.sccrq(self), 0, now)

    def ask_admission(self, message: Any, now: float) -> None:
        self._learn(message)
        self.request = message
        self.peer_challenge = message.challenge
        self.context.emit(AskTunnelAdmission(self.tunnel_id, self.peer, self.local, message))

    def ask_again(self) -> None:
        """Repeat the questions that are not answered."""
        if self.state is WAIT_ADMIT:
            self.context.emit(AskTunnelAdmission(self.tunnel_id, self.peer, self.local, self.request))
        for session in self.sessions.values():
            session.ask_again()

    def send_sccrp(self, message: Any, now: float) -> None:
        settings = self.settings
        if settings.challenge and settings.secret and self.version.number == VERSION_2.number:
            self.challenge = self.context.random_bytes(16)
        if self.context.pressed:  # a flood: no retransmissions for those who may not be there
            self.channel.max_retries = min(1, settings.max_retries)
        response = self._response(auth.SCCRP_IDENTIFIER)
        self.send(self.version.sccrp(self, response), 0, now)

    def send_scccn(self, message: Any, now: float) -> None:
        self._learn(message)
        self.peer_challenge = message.challenge
        self.send(self.version.scccn(self._response(auth.SCCCN_IDENTIFIER)), 0, now)
        self.tunnel_open(message, now)

    def tunnel_open(self, message: Any, now: float) -> None:
        self.channel.max_retries = self.settings.max_retries
        self._establish_due = None
        self.was_up = True
        self.context.emit(TunnelUp(self.tunnel_id))
        self.calls.tunnel_opened(now)

    def refuse(self, cause: Cause, now: float) -> None:
        """The shell does not let it in. In a flood that is said once: the place is wanted, and a peer that is there
        asks again."""
        if self.context.pressed:
            self.channel.max_retries = 0
        self.send_stopccn(cause, now)

    def send_stopccn(self, cause: Cause, now: float) -> None:
        self._down(cause, now)
        self.channel.drop_unsent()
        result = ResultCode(cause.result, cause.error, cause.message[:200])
        self.send(self.version.stopccn(self.tunnel_id, result), 0, now)

    def stop(self, cause: Cause, now: float) -> None:
        """The peer has cleared the tunnel; what it sends again is acknowledged for a full cycle (section 5.7)."""
        self._down(cause, now)
        self.stop_again(cause, now)

    def stop_again(self, cause: Cause, now: float) -> None:
        if self._closed_due is None:
            self.channel.stop()
            self._closed_due = now + self.channel.cycle()

    def vanish(self, cause: Cause, now: float) -> None:
        self._down(cause, now)
        self.delete(cause, now)

    def delete(self, message: Any, now: float) -> None:
        self.channel.stop()
        self.calls.release()
        self.deleted = True

    def _down(self, cause: Cause, now: float) -> None:
        self._establish_due = None
        self.calls.tunnel_closed(cause, now)
        self.context.emit(TunnelDown(self.tunnel_id, cause.result, cause.error, cause.message, cause.by_peer))

    def _learn(self, message: Any) -> None:
        if message.number == SCCRP.number or not self.peer_tunnel_id:
            self.peer_tunnel_id = message.assigned_tunnel_id
        self.peer_host_name = message.host_name
        self.peer_vendor_name = message.vendor_name or ""
        self.peer_framing_caps = message.framing_capabilities
        self.peer_bearer_caps = message.bearer_capabilities or 0
        self.channel.set_peer_window(message.receive_window_size)
        self.version.learn(self, message)

    def _response(self, identifier: int) -> bytes | None:
        if self.peer_challenge is None:
            return None
        return auth.challenge_response(identifier, self.settings.secret, self.peer_challenge)

    TABLE = table([
        # states, events, action, new state
        ((IDLE,), (Event.OPEN_REQ,), send_sccrq, WAITCTLREPLY),
        ((IDLE,), (Event.SCCRQ,), ask_admission, WAIT_ADMIT),
        ((WAIT_ADMIT,), (Event.SCCRQ_ACCEPT,), send_sccrp, WAITCTLCONN),
        ((WAIT_ADMIT,), (Event.SCCRQ_DENY,), refuse, CLOSING),
        ((IDLE,), (Event.SCCRP_ACCEPT, Event.SCCRP_DENY, Event.SCCCN_ACCEPT, Event.SCCCN_DENY), None, IDLE),
        ((WAITCTLREPLY,), (Event.SCCRP_ACCEPT,), send_scccn, ESTABLISHED),
        ((WAITCTLREPLY,), (Event.SCCRP_DENY,), send_stopccn, CLOSING),
        ((WAITCTLREPLY,), (Event.LOSETIE,), vanish, IDLE),
        ((WAITCTLREPLY,), (Event.SCCRQ, Event.SCCCN_ACCEPT), send_stopccn, CLOSING),
        ((WAITCTLCONN,), (Event.SCCCN_ACCEPT,), tunnel_open, ESTABLISHED),
        ((WAITCTLCONN,), (Event.SCCCN_DENY,), send_stopccn, CLOSING),
        ((WAIT_ADMIT,), (Event.SCCRQ, Event.SCCRP_ACCEPT, Event.SCCCN_ACCEPT), send_stopccn, CLOSING),
        ((WAITCTLCONN,), (Event.SCCRQ, Event.SCCRP_ACCEPT), send_stopccn, CLOSING),
        ((ESTABLISHED,), (Event.SCCRQ, Event.SCCRP_ACCEPT, Event.SCCCN_ACCEPT), send_stopccn, CLOSING),
        ((WAIT_ADMIT, WAITCTLREPLY, WAITCTLCONN, ESTABLISHED), (Event.CLOSE_REQ,), send_stopccn, CLOSING),
        ((WAIT_ADMIT, WAITCTLREPLY, WAITCTLCONN, ESTABLISHED), (Event.STOPCCN,), stop, CLOSING),
        ((WAIT_ADMIT, WAITCTLREPLY, WAITCTLCONN, ESTABLISHED), (Event.XPRT_DOWN,), vanish, IDLE),
        ((CLOSING,), (Event.STOPCCN,), stop_again, CLOSING),
        ((CLOSING,), (Event.CLOSED, Event.XPRT_DOWN), delete, IDLE),
        ((CLOSING,), (Event.SCCRQ, Event.SCCRP_ACCEPT, Event.SCCCN_ACCEPT, Event.CLOSE_REQ), None, CLOSING),
    ])

    # record

    def to_record(self, now: float) -> dict[str, Any]:
        record: dict[str, Any] = {name: getattr(self, name) for name in _RECORDED}
        for name in ("tie_breaker", "challenge", "peer_challenge", "request"):
            record[name] = to_plain(getattr(self, name))
        for name in ("establish_due", "closed_due"):
            due = getattr(self, "_" + name)
            record[name] = None if due is None else due - now
        record.update(
            peer=list(self.peer), local=list(self.local), settings=to_plain(self.settings), state=self.state.name,
            state_since=self.state_since - now, created_at=self.created_at - now,
            channel=self.channel.to_record(now), calls=self.calls.to_record(now),
            request_key=None if self.request_key is None else [list(self.request_key[0]), *self.request_key[1:]],
            version=versions_record(self.version), request_message=self.request_message.hex(),
            peer_pseudowires=list(self.peer_pseudowires), static=self.static,
        )
        return record

    @classmethod
    def from_record(cls, context: Context, record: dict[str, Any], now: float) -> Tunnel:
        settings = from_plain(record["settings"])
        peer, local = (record["peer"][0], record["peer"][1]), (record["local"][0], record["local"][1])
        tunnel = cls(context, record["tunnel_id"], settings, peer, local, record["ifindex"], record["lns"], now)
        for name in _RECORDED:
            setattr(tunnel, name, record[name])
        for name in ("tie_breaker", "challenge", "peer_challenge", "request"):
            setattr(tunnel, name, from_plain(record[name]))
        for name in ("establish_due", "closed_due"):
            setattr(tunnel, "_" + name, None if record[name] is None else now + record[name])
        tunnel.state = State[record["state"]]
        tunnel.state_since = now + record["state_since"]
        tunnel.created_at = now + record["created_at"]
        if record["request_key"] is not None:
            address, peer_id, number = record["request_key"]
            tunnel.request_key = ((address[0], address[1]), peer_id, number)
        tunnel.version = restored(record["version"], settings)
        tunnel.request_message = bytes.fromhex(record["request_message"])
        tunnel.peer_pseudowires = tuple(record["peer_pseudowires"])
        tunnel.channel = Channel.from_record(record["channel"], settings, context.counters, now)
        tunnel.calls.restore(record["calls"], now)
        return tunnel


_RECORDED = ("tunnel_id", "peer_tunnel_id", "ifindex", "lns", "was_up", "request_checksum", "peer_router_id",
             "peer_host_name", "peer_vendor_name", "peer_framing_caps", "peer_bearer_caps")
