"""What is particular to L2TPv2 (RFC 2661) on a tunnel and its calls: headers, codec, and our messages.

`version3` has the same methods for L2TPv3; tunnels and calls know nothing of either beyond these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.l2tp import compose
from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.header import write_control
from prol2tp.l2tp.messages import (
    ACCM,
    CDN,
    CSUN,
    CSURQ,
    HELLO,
    ICRP,
    OCRP,
    SCCCN,
    SCCRQ,
    SLI,
    WEN,
    CallErrors,
    ConnectSpeed,
    Message,
    MessageError,
    ResultCode,
    StopCCN,
    decode,
    encode,
)
from prol2tp.l2tp.messages3 import PPP
from prol2tp.l2tp.outputs import LinkInfoChanged, ModifyDataPath, OpenDataPath, WANErrors
from prol2tp.l2tp.settings import SessionSettings

if TYPE_CHECKING:
    from prol2tp.l2tp.session import Session
    from prol2tp.l2tp.tunnel import Tunnel


NOT_PPP = Cause(5, 0, "L2TPv2 carries PPP alone")


class Version2:
    """One for all tunnels: it has no state."""

    __slots__ = ()

    number = 2

    # on the wire

    def check(self, message: bytes) -> None:
        """Whether a whole control message may be believed; raises `digest.DigestError`."""

    def write(self, tunnel: Tunnel, session_id: int, ns: int, nr: int, body: bytes) -> bytes:
        """A whole control message; a ZLB for no body. `session_id` is the peer's."""
        return write_control(tunnel.peer_tunnel_id, session_id, ns, nr, body)

    def decode(self, tunnel: Tunnel, body: bytes) -> Any:
        """Raises `MessageError`."""
        return decode(body, tunnel.settings.secret)

    def encode(self, tunnel: Tunnel, message: Message) -> bytes:
        """The body of a message of ours."""
        settings = tunnel.settings
        hide = settings.hide_avps and bool(settings.secret) and not isinstance(message, SCCRQ)
        return encode(message, settings.secret, tunnel.context.random_bytes, hide)

    def session_of(self, message: Message, session_id: int) -> int:
        """Our id of the call that a message is about; `session_id` is the header's."""
        return session_id

    def session_of_error(self, error: MessageError, session_id: int) -> int:
        """The same for a message that could not be decoded."""
        return session_id

    # the control connection

    def sccrq(self, tunnel: Tunnel) -> Message:
        return compose.sccrq(tunnel.settings, tunnel.tunnel_id, tunnel.challenge, tunnel.tie_breaker)

    def sccrp(self, tunnel: Tunnel, response: bytes | None) -> Message:
        return compose.sccrp(tunnel.settings, tunnel.tunnel_id, tunnel.challenge, response)

    def scccn(self, response: bytes | None) -> Message:
        return SCCCN(response)

    def stopccn(self, tunnel_id: int, result: ResultCode) -> Message:
        return StopCCN(tunnel_id, result)

    def hello(self) -> Message:
        return HELLO()

    def learn(self, tunnel: Tunnel, message: Any) -> None:
        """What an SCCRQ or SCCRP says, beyond what both versions have."""

    # calls

    def cdn(self, session_id: int, peer_session_id: int, result: ResultCode) -> Message:
        return CDN(result, session_id)

    def icrq(self, session: Session) -> Message:
        return compose.icrq(session.settings, session.session_id, session.call_serial_number)

    def icrp(self, session: Session) -> Message:
        return ICRP(session.session_id)

    def iccn(self, session: Session) -> Message:
        return compose.iccn(session.settings)

    def ocrq(self, session: Session) -> Message:
        return compose.ocrq(session.settings, session.session_id, session.call_serial_number)

    def ocrp(self, session: Session) -> Message:
        return OCRP(session.session_id, session.settings.physical_channel_id)

    def occn(self, session: Session) -> Message:
        return compose.occn(session.settings)

    def speeds(self, speeds: tuple[ConnectSpeed, ...], request: bool) -> Message:
        return CSURQ(speeds) if request else CSUN(speeds)

    def sli(self, session: Session, accm: ACCM, last_sent: bytes = b"", last_received: bytes = b"") -> Message:
        return SLI(accm, last_sent or None, last_received or None)

    def wen(self, session: Session, errors: CallErrors) -> Message:
        return WEN(errors)

    def refusal(self, tunnel: Tunnel, message: Any) -> Cause | None:
        """Why the peer's ICRQ or OCRQ cannot be served whatever the shell says."""
        if message.number == 7 and not message.framing_type & tunnel.settings.framing_caps:
            return Cause(5, 0, "framing type not supported")
        return None

    def cannot_place(self, session: Session) -> Cause | None:
        """Why a call of ours cannot be asked of this peer."""
        tunnel, settings = session.tunnel, session.settings
        if settings.pseudowire != PPP:
            return NOT_PPP
        if session.outgoing_call and not (
            settings.framing_type & tunnel.peer_framing_caps
            and (settings.bearer_type & tunnel.peer_bearer_caps or not settings.bearer_type)
        ):
            return Cause(5, 0, "the peer cannot place calls of this framing and bearer type")
        return None

    def start(self, session: Session) -> None:
        """A call of ours is about to be asked for."""

    def requested(self, session: Session, message: Any) -> None:
        """ICRQ or OCRQ of the peer."""

    def admitted(self, session: Session, settings: SessionSettings) -> Cause | None:
        """Why the peer's call cannot be served with these settings, which the shell gives it."""
        return None if settings.pseudowire == PPP else NOT_PPP

    def replied(self, session: Session, message: Any) -> Cause | None:
        """ICRP or OCRP of the peer; why the call cannot go on."""
        return None

    def confirmed(self, session: Session, message: Any) -> Cause | None:
        """ICCN or OCCN of the peer; why the call cannot go on."""
        return None

    def path(self, session: Session) -> OpenDataPath:
        """The data path of a call: both ids are known. The peer's wish for sequence numbers may become known later."""
        tunnel = session.tunnel
        return OpenDataPath(
            tunnel.tunnel_id, session.session_id, tunnel.peer_tunnel_id, session.peer_session_id,
            session.send_sequence, session.receive_sequence, session.lns,
        )

    def sequencing(self, session: Session) -> None:
        """Who numbers data messages, as far as it is known when the data path is opened."""
        settings = session.settings
        session.receive_sequence = settings.sequencing_required
        session.send_sequence = settings.send_sequence or settings.sequencing_required

    def connected(self, session: Session, message: Any) -> None:
        """ICCN or OCCN came: the LAC says whether it requires sequence numbers (section 4.4.4)."""
        if message.sequencing_required and not (session.send_sequence and session.receive_sequence):
            session.send_sequence = session.receive_sequence = True
            session.tunnel.context.emit(ModifyDataPath(session.tunnel_id, session.session_id, True, True))

    def report(self, session: Session, message: Any) -> bool:
        """SLI or WEN of a connected call; False where it is not the peer's to send."""
        emit = session.tunnel.context.emit
        if session.lns and isinstance(message, WEN):
            emit(WANErrors(session.tunnel_id, session.session_id, message.call_errors))
        elif not session.lns and isinstance(message, SLI):
            send_accm, receive_accm = message.accm
            emit(LinkInfoChanged(session.tunnel_id, session.session_id, send_accm, receive_accm,
                                 message.lns_last_sent_lcp_confreq or b"",
                                 message.lns_last_received_lcp_confreq or b""))
        else:
            return False
        return True


VERSION_2 = Version2()
