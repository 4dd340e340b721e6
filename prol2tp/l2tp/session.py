"""What the four call machines have in common (RFC 2661 sections 7.4 and 7.5): ids, data path, records.

The tables are in `incoming` (LAIC, LNIC) and `outgoing` (LAOC, LNOC). States and events have the names that ProL2TP
logs; those of our own are marked.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from prol2tp.common.fsm import IllegalEvent, Machine
from prol2tp.l2tp import trace
from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.messages import CDN, Message, ResultCode
from prol2tp.l2tp.outputs import AskSessionAdmission, SessionUp
from prol2tp.l2tp.plain import from_plain, to_plain
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.l2tp.table import Word

if TYPE_CHECKING:
    from prol2tp.l2tp.tunnel import Tunnel


class State(Word):
    IDLE = "IDLE"
    WAITTUNNEL = "WAITTUNNEL"
    WAITREPLY = "WAITREPLY"
    WAITCONNECT = "WAITCONNECT"
    WAITCSANSWER = "WAITCSANSWER"
    ESTABLISHED = "ESTABLISHED"
    WAIT_ADMIT = "WAIT_ADMIT"  # ours: the shell has been asked whether the call may come in
    WAIT_DATAPATH = "WAIT_DATAPATH"  # ours: connected, and the data path is not open yet


class Event(Word):
    OPEN_REQ = "OPEN_REQ"
    INCALL_IND = "INCALL_IND"
    ENDCALL_IND = "ENDCALL_IND"
    TUNNEL_OPEN_IND = "TUNNEL_OPEN_IND"
    TUNNEL_OPEN = "TUNNEL_OPEN"
    ICRQ = "ICRQ"
    ICRQ_ACCEPT = "ICRQ_ACCEPT"
    ICRQ_DENY = "ICRQ_DENY"
    ICRP = "ICRP"
    ICRP_ACCEPT = "ICRP_ACCEPT"
    ICRP_DENY = "ICRP_DENY"
    ICCN = "ICCN"
    ICCN_ACCEPT = "ICCN_ACCEPT"
    ICCN_DENY = "ICCN_DENY"
    OCRQ = "OCRQ"
    OCRQ_ACCEPT = "OCRQ_ACCEPT"
    OCRQ_DENY = "OCRQ_DENY"
    OCRP = "OCRP"
    OCRP_ACCEPT = "OCRP_ACCEPT"
    OCRP_DENY = "OCRP_DENY"
    OCCN = "OCCN"
    BEARER_UP = "BEARER_UP"
    BEARER_DOWN = "BEARER_DOWN"
    CDN = "CDN"
    CLOSE_REQ = "CLOSE_REQ"
    XPRT_DOWN = "XPRT_DOWN"
    DATAPATH_OPENED = "DATAPATH_OPENED"  # ours
    DATAPATH_FAILED = "DATAPATH_FAILED"  # ours
    UNEXPECTED = "UNEXPECTED"  # ours: a message of the other call direction


NO_PATH, PATH_ASKED, PATH_OPEN = range(3)
UNSET = SessionSettings()
"""Stands for the settings of a call that is not admitted yet."""
NOT_IN_TIME = 10
GENERAL_ERROR = 2
VENDOR_ERROR = 6


class Session(Machine):
    """One call. Its tunnel makes it, hands it its messages, and holds it until it has ended.

    :ivar peer_session_id: 0 until the peer has said it.
    :ivar peer_message: the ICRQ or OCRQ of the peer; None where we made the call.
    :ivar connect_message: the ICCN or OCCN of the peer.
    :ivar speeds: connect speeds that a CSUN has told, bit/s to and from the subscriber; None: none has.
    :ivar pseudowire: what version 3 agrees on for a session (`version3.Pseudowire`).
    """

    __slots__ = (
        "tunnel", "session_id", "peer_session_id", "settings", "created_at", "send_sequence", "receive_sequence",
        "peer_message", "connect_message", "call_serial_number", "path", "pseudowire", "speeds",
    )

    lns: ClassVar[bool]
    outgoing_call: ClassVar[bool]
    origin: ClassVar[str]
    EVENTS: ClassVar[dict[str, Event]]
    """Name of a message -> event. What is not here, is UNEXPECTED."""
    DENIED: ClassVar[dict[int, Event]] = {}
    """Type of a message that cannot be accepted -> event, where the table has one of its own."""
    ADMITTED: ClassVar[Event | None] = None
    REFUSED: ClassVar[Event | None] = None
    TUNNEL_OPENED: ClassVar[Event | None] = None
    PATH_OPENED: ClassVar[Event] = Event.DATAPATH_OPENED
    PATH_FAILED: ClassVar[Event] = Event.DATAPATH_FAILED

    def __init__(self, tunnel: Tunnel, session_id: int, settings: SessionSettings, now: float) -> None:
        super().__init__(State.IDLE, now)
        self.tunnel = tunnel
        self.session_id = session_id
        self.peer_session_id = 0
        self.settings = settings
        self.created_at = now
        self.send_sequence = False
        self.receive_sequence = False
        self.peer_message: Any = None
        self.connect_message: Any = None
        self.call_serial_number = 0
        self.path = NO_PATH
        self.pseudowire: Any = None
        self.speeds: tuple[int, int] | None = None

    @property
    def tunnel_id(self) -> int:
        return self.tunnel.tunnel_id

    @property
    def path_asked(self) -> bool:
        return self.path == PATH_ASKED

    @property
    def path_open(self) -> bool:
        return self.path == PATH_OPEN

    # events

    def handle(self, event: Enum, now: float, argument: Any = None) -> bool:
        """Fire; an event that the state does not know is counted, and changes nothing."""
        try:
            self.fire(event, now, argument)
        except IllegalEvent:
            self.tunnel.context.counters.illegal_events += 1
            return False
        return True

    def receive(self, message: Any, now: float) -> None:
        """One message for this call, decoded."""
        name = type(message).__name__
        if name in ("SLI", "WEN"):
            self._report(message)
            return
        event = self.EVENTS.get(name, Event.UNEXPECTED)
        argument: Any = message
        if message.number == CDN.number:
            result, error, text = message.result_code
            argument = Cause(result, error, text, True, message.ppp_disconnect_cause_code)
        else:
            event, fault = self.judge(event, message)
            if fault is not None:
                argument = fault
        self.handle(event, now, argument)
        if self.state is State.WAIT_DATAPATH and self.path == PATH_OPEN:
            self.handle(Event.DATAPATH_OPENED, now)

    def malformed(self, message_type: int | None, cause: Cause, now: float) -> None:
        """A message for this call could not be decoded (section 4.1): that ends the call."""
        if message_type == CDN.number:
            self.handle(Event.CDN, now, cause)
        else:
            self.handle(self.DENIED.get(message_type or 0, Event.CLOSE_REQ), now, cause)

    def judge(self, event: Event, message: Any) -> tuple[Event, Cause | None]:
        """The event that the message is, by its content; with the cause where it is wrong or out of place."""
        return event, self.out_of_place(message)

    def out_of_place(self, message: Any) -> Cause:
        return Cause(GENERAL_ERROR, VENDOR_ERROR, f"{type(message).__name__} in state {self.state.name}")

    def wrong_peer_id(self, peer_session_id: int) -> Cause | None:
        """The id in an answer to our request, where another call of the peer has it: frames would go astray."""
        if self.tunnel.calls.peer_id_is_free(peer_session_id):
            return None
        return Cause(GENERAL_ERROR, VENDOR_ERROR, f"session id {peer_session_id} is another call's")

    def _report(self, message: Message) -> None:
        connected = self.state in (State.ESTABLISHED, State.WAIT_DATAPATH) or (
            # whoever has asked us may tell of its circuit before we have connected
            self.pseudowire is not None and self.state is State.WAITCSANSWER)
        if not connected or not self.tunnel.version.report(self, message):
            self.tunnel.context.counters.illegal_events += 1

    def traced(self, event: Enum, old: Enum, new: Enum) -> None:
        if self.tunnel.context.trace is not None:
            trace.event(self.tunnel.context.trace, self.NAME, self.tunnel.tunnel_id, self.session_id, event, old, new)

    # actions

    def send(self, message: Message, now: float) -> None:
        self.tunnel.send(message, self.peer_session_id, now, self.session_id)

    def ask_admission(self, message: Any, now: float) -> None:
        self.tunnel.context.emit(AskSessionAdmission(self.tunnel.tunnel_id, self.session_id, message))

    def ask_again(self) -> None:
        """Repeat the question that is not answered."""
        if self.state is State.WAIT_ADMIT:
            self.ask_admission(self.peer_message, 0.0)
        elif self.path == PATH_ASKED:
            self._ask_path()

    def clean_up(self, cause: Cause, now: float) -> None:
        self.tunnel.calls.ended(self, cause, now)

    def send_cdn(self, cause: Cause, now: float) -> None:
        result_code = ResultCode(cause.result, cause.error, cause.message)
        message: Any = self.tunnel.version.cdn(self.session_id, self.peer_session_id, result_code)
        message.ppp_disconnect_cause_code = cause.disconnect
        self.send(message, now)
        self.tunnel.calls.ended(self, cause, now)

    def path_opened(self, message: Any, now: float) -> None:
        """The data path is open before the call is connected."""
        self.path = PATH_OPEN

    def report_up(self, message: Any, now: float) -> None:
        self.path = PATH_OPEN
        self.tunnel.calls.connected(self)
        self.tunnel.context.emit(SessionUp(self.tunnel.tunnel_id, self.session_id))

    def open_data_path(self) -> None:
        """Both ids are known. The peer's wish for sequence numbers may become known only later."""
        self.tunnel.version.sequencing(self)
        self.path = PATH_ASKED
        self._ask_path()

    def _ask_path(self) -> None:
        self.tunnel.context.emit(self.tunnel.version.path(self))

    def connected_by(self, message: Any, now: float) -> None:
        """ICCN or OCCN came."""
        self.connect_message = message
        self.tunnel.version.connected(self, message)

    # record

    def to_record(self, now: float) -> dict[str, Any]:
        return {
            "machine": self.NAME, "session_id": self.session_id, "peer_session_id": self.peer_session_id,
            "state": self.state.name, "state_since": self.state_since - now, "created_at": self.created_at - now,
            "send_sequence": self.send_sequence, "receive_sequence": self.receive_sequence, "path": self.path,
            "call_serial_number": self.call_serial_number, "settings": to_plain(self.settings),
            "peer_message": to_plain(self.peer_message), "connect_message": to_plain(self.connect_message),
            "pseudowire": to_plain(self.pseudowire), "speeds": to_plain(self.speeds),
        }

    def restore(self, record: dict[str, Any], now: float) -> None:
        for name in ("peer_session_id", "send_sequence", "receive_sequence", "path", "call_serial_number"):
            setattr(self, name, record[name])
        self.state = State[record["state"]]
        self.state_since = now + record["state_since"]
        self.created_at = now + record["created_at"]
        self.peer_message = from_plain(record["peer_message"])
        self.connect_message = from_plain(record["connect_message"])
        self.pseudowire = from_plain(record["pseudowire"])
        self.speeds = from_plain(record["speeds"])
