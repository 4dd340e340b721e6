"""The option negotiation automaton (RFC 1661 section 4), one for LCP and all network control protocols.

A protocol derives from `Automaton`, names its option table, and says what it asks for (`begin`), what it makes of the
peer's wishes (`consider`, `propose`, `missing`) and of the answers to its own (`naked`, `rejected`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar

from prol2tp.common.fsm import Machine, Row
from prol2tp.common.wire import WireError
from prol2tp.ppp import frame, options
from prol2tp.ppp.frame import CONFIGURE_ACK, CONFIGURE_NAK, CONFIGURE_REJECT, CONFIGURE_REQUEST
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.settings import LinkSettings
from prol2tp.ppp.states import ENDED, LOWER_DOWN, NEGOTIATING, RFC_TABLE, TIMED, Event, State

DUPLICATE_WINDOW = 1.0
"""Seconds in which a Configure-Request that we have just acknowledged counts as a copy made by the network when it
comes again. Below any restart interval, so a peer that really starts again is mistaken for one try at most."""
REQUESTS_MAX = 100
"""Configure-Requests in one negotiation, whatever the peer answers; then it has failed."""
REFUSALS_MAX = 15
"""Naks and Rejects from the peer, beyond max_failure, in one negotiation; then it has failed."""

Message = tuple[int, int, bytes]
"""(code, identifier, data) of what is to be sent in answer."""


class Automaton(Machine):
    """`lower_up`, `open`, `receive`, `timeout` drive it; signals UP, DOWN and FINISHED come of it."""

    __slots__ = (
        "lower",
        "settings",
        "asked",
        "granted",
        "announced",
        "failed",
        "failure",
        "terminated",
        "reason",
        "restart_at",
        "retransmits",
        "naks",
        "naks_since_ack",
        "previous",
        "_counter",
        "_identifier",
        "_request",
        "_answered",
        "_requests",
        "_refusals",
        "_nak_refused",
        "_ack",
        "_ack_at",
    )

    PROTOCOL: ClassVar[int]
    OPTIONS: ClassVar[options.Table]

    state: State

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(State.INITIAL, 0.0)
        self.lower = lower
        self.settings = settings
        self.asked: dict[int, bytes] = {}
        """What our Configure-Request carries: type to data."""
        self.granted: dict[int, bytes] = {}
        """What we have acknowledged to the peer."""
        self.announced = False
        """The link has told its shell that this protocol is up."""
        self.failed = False
        """The last negotiation came to nothing."""
        self.failure = ""
        self.terminated: str | None = None
        """The text of the peer's Terminate-Request."""
        self.reason = b""
        """Data of our Terminate-Request."""
        self.restart_at: float | None = None
        self.retransmits = 0
        self.naks = 0
        self.naks_since_ack = 0
        self.previous = State.INITIAL
        self._counter = 0
        self._identifier = 0
        self._request = b""
        self._answered = True
        self._requests = 0
        self._refusals = 0
        self._nak_refused = False
        self._ack = b""
        self._ack_at = 0.0

    # what a protocol says

    def begin(self) -> None:
        """Fill `asked` with what we wish for: a negotiation starts."""
        raise NotImplementedError

    def consider(self, kind: int, data: bytes) -> bytes | None:
        """The peer asks for an option of good length: the same octets acknowledge it, others are the Nak's, None
        rejects it."""
        raise NotImplementedError

    def propose(self, kind: int) -> bytes | None:
        """What to Nak with when the peer's option has a bad length or is missing; None rejects it."""
        return self.OPTIONS[kind].default or None

    def missing(self, granted: dict[int, bytes]) -> list[int]:
        """Options that the peer should have asked for; they are added to the Nak."""
        return []

    def naked(self, kind: int, data: bytes) -> None:
        """The peer wants another value of an option in `asked`. The data may have any length."""
        raise NotImplementedError

    def rejected(self, kind: int) -> None:
        """The peer does not do an option in `asked`."""
        self.asked.pop(kind, None)

    def extended(self, code: int, identifier: int, data: bytes, now: float) -> bool:
        """A code above Code-Reject. False: not known."""
        return False

    # what happens to it

    def open(self, now: float) -> None:
        self.fire(Event.OPEN, now)

    def close(self, now: float) -> None:
        self.fire(Event.CLOSE, now)

    def lower_up(self, now: float) -> None:
        if self.state in LOWER_DOWN:
            self.fire(Event.UP, now)

    def lower_down(self, now: float) -> None:
        if self.state not in LOWER_DOWN:
            self.fire(Event.DOWN, now)

    def give_up(self, failure: str, now: float) -> None:
        """The negotiation cannot succeed (RXJ-: RFC 1661 section 4.3)."""
        if self.state not in LOWER_DOWN:
            self.failure = failure
            self.fire(Event.RXJ_MINUS, now)
            self.failed = True

    def deadline(self) -> float | None:
        return self.restart_at

    def timeout(self, now: float) -> None:
        if self.restart_at is None or self.restart_at > now:
            return
        if self._requests > REQUESTS_MAX:
            self.give_up("negotiation does not converge", now)
        elif self._counter > 0:
            self.retransmits += 1
            self.fire(Event.TO_PLUS, now)
        else:
            if self.state in NEGOTIATING and not self.failure:
                self.failure = "no acceptable answer to Configure-Request"
            self.fire(Event.TO_MINUS, now)

    def receive(self, information: bytes, now: float) -> None:
        """A packet of this protocol. Raises `WireError` for one to be discarded."""
        code, identifier, data = frame.read_packet(information)
        if self.state in LOWER_DOWN:
            raise WireError("packet before the lower layer is up")
        take = _RECEIVE.get(code)
        if take is not None:
            take(self, identifier, data, now)
        elif not self.extended(code, identifier, data, now):
            identifier = self.lower.next_identifier()
            rejected = information[: self.lower.peer_mru - 4]
            self.fire(Event.RUC, now, (frame.CODE_REJECT, identifier, rejected))

    def fire(self, event: Enum, now: float, message: Any = None) -> None:
        super().fire(event, now, message)
        if self.state not in TIMED:
            self.restart_at = None

    def traced(self, event: Enum, old: Enum, new: Enum) -> None:
        self.previous = old  # type: ignore[assignment]
        if self.lower.trace is not None:
            self.lower.trace("fsm", f"{self.NAME}: event {event.value} in state {old.name} -> {new.name}")

    # packets of the peer

    def _configure_request(self, identifier: int, data: bytes, now: float) -> None:
        if self.state in ENDED and self.state is not State.STOPPED:
            self.fire(Event.RCR_PLUS, now, (CONFIGURE_ACK, identifier, b""))
            return
        received = frame.packet(CONFIGURE_ACK, identifier, data)
        if self.state is State.OPENED and received == self._ack and now - self._ack_at < DUPLICATE_WINDOW:
            self.lower.send(self.PROTOCOL, received)
            return
        code, answer = self._judge(options.read(data))
        if code == CONFIGURE_ACK:
            self._ack = received
            self._ack_at = now
            self.fire(Event.RCR_PLUS, now, (CONFIGURE_ACK, identifier, data))
        else:
            self.fire(Event.RCR_MINUS, now, (code, identifier, options.write(answer)))

    def _judge(self, wishes: list[tuple[int, bytes]]) -> tuple[int, list[tuple[int, bytes]]]:
        """The code of the answer, and its options unless it is an Ack."""
        granted: dict[int, bytes] = {}
        naks: list[tuple[int, bytes]] = []
        instead: list[tuple[int, bytes]] = []  # the wishes that the Naks are for
        rejects: list[tuple[int, bytes]] = []
        for wish in wishes:
            kind, data = wish
            option = self.OPTIONS.get(kind)
            if option is None or kind in granted:  # none of ours may be listed twice (RFC 1661 section 6)
                rejects.append(wish)
                continue
            granted[kind] = data
            answer = self.consider(kind, data) if option.fits(data) else self.propose(kind)
            if answer is None:
                rejects.append(wish)
            elif answer != data:
                naks.append((kind, answer))
                instead.append(wish)
        if naks and (self._nak_refused or self.naks_since_ack >= self.settings.max_failure):
            naks, rejects = [], rejects + instead
        if rejects:
            return CONFIGURE_REJECT, rejects
        if not self._nak_refused and self.naks_since_ack < self.settings.max_failure:
            for kind in self.missing(granted):
                proposal = self.propose(kind)
                if proposal is not None:
                    naks.append((kind, proposal))
        if naks:
            return CONFIGURE_NAK, naks
        self.granted = granted
        return CONFIGURE_ACK, naks

    def _expected(self, identifier: int) -> None:
        """Answers count once, and only to the last request."""
        if self._answered or identifier != self._identifier:
            raise WireError("answer to no request of ours")

    def _configure_ack(self, identifier: int, data: bytes, now: float) -> None:
        if self.state not in ENDED:
            self._expected(identifier)
            if data != self._request:
                raise WireError("Configure-Ack with other options than were asked for")
            self._answered = True
            self._refusals = 0
        self.fire(Event.RCA, now, (frame.TERMINATE_ACK, identifier, b""))

    def _configure_nak(self, identifier: int, data: bytes, now: float) -> None:
        self._refused(CONFIGURE_NAK, identifier, data, now)

    def _configure_reject(self, identifier: int, data: bytes, now: float) -> None:
        self._refused(CONFIGURE_REJECT, identifier, data, now)

    def _refused(self, code: int, identifier: int, data: bytes, now: float) -> None:
        if self.state not in ENDED:
            self._expected(identifier)
            values = options.read(data)
            about = {kind: value for kind, value in values if kind in self.asked}
            if code == CONFIGURE_REJECT and not about:
                raise WireError("Configure-Reject of nothing that was asked for")
            self._answered = True
            self._refusals += 1
            if self._refusals > self.settings.max_failure + REFUSALS_MAX:
                self.give_up("the peer accepts no Configure-Request", now)
                return
            settled = code == CONFIGURE_REJECT or self._refusals > self.settings.max_failure
            for kind, value in about.items():
                if settled:
                    self.rejected(kind)
                else:
                    self.naked(kind, value)
            if self.lower.signals:
                return  # what we must have is refused: the link ends
        self.fire(Event.RCN, now, (frame.TERMINATE_ACK, identifier, b""))

    def _terminate_request(self, identifier: int, data: bytes, now: float) -> None:
        if self.state not in ENDED:
            self.terminated = frame.text(data)
        self.fire(Event.RTR, now, (frame.TERMINATE_ACK, identifier, b""))

    def _terminate_ack(self, identifier: int, data: bytes, now: float) -> None:
        self.fire(Event.RTA, now)

    def _code_reject(self, identifier: int, data: bytes, now: float) -> None:
        """RFC 1661 section 5.6. A peer that does not know Configure-Nak gets Rejects from now on, so that the same
        Nak does not go round and round."""
        if not data:
            raise WireError("empty Code-Reject")
        if data[0] in (CONFIGURE_REQUEST, CONFIGURE_ACK, CONFIGURE_REJECT):
            name = frame.CODE_NAMES[data[0]]
            self.give_up(f"the peer rejects the code {name}", now)
            return
        if data[0] == CONFIGURE_NAK:
            self._nak_refused = True
        self.fire(Event.RXJ_PLUS, now)

    # sending

    def _send(self, message: Message) -> None:
        self.lower.send(self.PROTOCOL, frame.packet(*message))

    def _send_configure_request(self, _message: Message | None, now: float) -> None:
        if self.previous not in NEGOTIATING:
            self._requests = self._refusals = self.naks_since_ack = 0
            self.failure = ""
            self.failed = False
            self.terminated = None
            self.asked = {}
            self.begin()
            self._answered = True
        request = options.write(self.asked.items())
        if self._answered or request != self._request:
            self._identifier = (self._identifier + 1) & 0xFF
        self._request = request
        self._answered = False
        self._requests += 1
        self._counter -= 1
        self.restart_at = now + self.settings.restart_interval
        self._send((CONFIGURE_REQUEST, self._identifier, request))

    def _send_configure_ack(self, message: Message, now: float) -> None:
        self.naks_since_ack = 0
        self._send(message)

    def _send_configure_nak(self, message: Message, now: float) -> None:
        """Configure-Nak or Configure-Reject."""
        if message[0] == CONFIGURE_NAK:
            self.naks += 1
            self.naks_since_ack += 1
        self._send(message)

    def _send_terminate_request(self, _message: Message | None, now: float) -> None:
        if self.previous not in (State.CLOSING, State.STOPPING):
            self._identifier = (self._identifier + 1) & 0xFF
            self._answered = True
        self._counter -= 1
        self.restart_at = now + self.settings.restart_interval
        self._send((frame.TERMINATE_REQUEST, self._identifier, self.reason))

    def _send_terminate_ack(self, message: Message, now: float) -> None:
        self._send((frame.TERMINATE_ACK, message[1], b""))

    def _send_message(self, message: Message, now: float) -> None:
        self._send(message)

    # the other actions

    def _initialize_restart_count(self, _message: Message | None, now: float) -> None:
        ending = self.state in (State.CLOSING, State.STOPPING)
        self._counter = self.settings.max_terminate if ending else self.settings.max_configure

    def _zero_restart_count(self, _message: Message | None, now: float) -> None:
        self._counter = 0
        self.restart_at = now + self.settings.restart_interval

    def _this_layer_up(self, _message: Message | None, now: float) -> None:
        self._requests = 0
        self.lower.signal(self, Signal.UP)

    def _this_layer_down(self, _message: Message | None, now: float) -> None:
        self.lower.signal(self, Signal.DOWN)

    def _this_layer_started(self, _message: Message | None, now: float) -> None:
        """The lower layer is the link's business."""

    def _this_layer_finished(self, _message: Message | None, now: float) -> None:
        if self.previous in NEGOTIATING:
            self.failed = True
        self.lower.signal(self, Signal.FINISHED)

    # as status shows it

    @property
    def want(self) -> tuple[str, ...]:
        """pppd's words for the options that we would ask for."""
        raise NotImplementedError

    @property
    def allow(self) -> tuple[str, ...]:
        """... that the peer may ask for."""
        raise NotImplementedError

    @property
    def got(self) -> tuple[str, ...]:
        """... that the peer has acknowledged."""
        return self.words(self.asked) if self.state is State.OPENED else ()

    @property
    def his(self) -> tuple[str, ...]:
        """... that we have acknowledged."""
        return self.words(self.granted)

    def words(self, values: dict[int, bytes]) -> tuple[str, ...]:
        return options.flags(self.OPTIONS, values)

    # saving

    SAVED: ClassVar[tuple[str, ...]] = (
        "announced",
        "failed",
        "failure",
        "terminated",
        "retransmits",
        "naks",
        "naks_since_ack",
        "_counter",
        "_identifier",
        "_answered",
        "_requests",
        "_refusals",
        "_nak_refused",
    )

    def to_record(self, now: float) -> dict[str, Any]:
        record: dict[str, Any] = {name: getattr(self, name) for name in self.SAVED}
        record["state"] = self.state.name
        record["state_age"] = now - self.state_since
        record["asked"] = [[kind, data.hex()] for kind, data in self.asked.items()]
        record["granted"] = [[kind, data.hex()] for kind, data in self.granted.items()]
        record["restart"] = None if self.restart_at is None else self.restart_at - now
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        for name in self.SAVED:
            setattr(self, name, record[name])
        self.state = self.previous = State[record["state"]]
        self.state_since = now - record["state_age"]
        self.asked = {kind: bytes.fromhex(data) for kind, data in record["asked"]}
        self.granted = {kind: bytes.fromhex(data) for kind, data in record["granted"]}
        self._request = options.write(self.asked.items())
        self.restart_at = None if record["restart"] is None else now + record["restart"]


_Action = Callable[[Any, Any, float], None]

ACTIONS: dict[str, _Action] = {
    "tlu": Automaton._this_layer_up,
    "tld": Automaton._this_layer_down,
    "tls": Automaton._this_layer_started,
    "tlf": Automaton._this_layer_finished,
    "irc": Automaton._initialize_restart_count,
    "zrc": Automaton._zero_restart_count,
    "scr": Automaton._send_configure_request,
    "sca": Automaton._send_configure_ack,
    "scn": Automaton._send_configure_nak,
    "str": Automaton._send_terminate_request,
    "sta": Automaton._send_terminate_ack,
    "scj": Automaton._send_message,
    "ser": Automaton._send_message,
}

_RECEIVE = {
    CONFIGURE_REQUEST: Automaton._configure_request,
    CONFIGURE_ACK: Automaton._configure_ack,
    CONFIGURE_NAK: Automaton._configure_nak,
    CONFIGURE_REJECT: Automaton._configure_reject,
    frame.TERMINATE_REQUEST: Automaton._terminate_request,
    frame.TERMINATE_ACK: Automaton._terminate_ack,
    frame.CODE_REJECT: Automaton._code_reject,
}


def _in_order(names: list[str]) -> _Action | None:
    actions = [ACTIONS[name] for name in names]
    if len(actions) < 2:
        return actions[0] if actions else None

    def run(machine: Automaton, message: Any, now: float) -> None:
        for action in actions:
            action(machine, message, now)

    return run


def read_table(text: str) -> dict[tuple[Enum, Enum], Row]:
    """RFC 1661's table as rows."""
    lines = [line.split() for line in text.strip().splitlines()]
    states = [State(int(number)) for number in lines[0]]
    rows: dict[tuple[Enum, Enum], Row] = {}
    for word, *cells in lines[1:]:
        for state, cell in zip(states, cells, strict=True):
            if cell == "-":
                continue
            actions, _, target = cell.rpartition("/")
            names = actions.split(",") if actions else []
            rows[state, Event(word)] = Row(_in_order(names), State(int(target.rstrip("rpx"))))
    return rows


Automaton.TABLE = read_table(RFC_TABLE)
