"""What is particular to L2TPv3 (RFC 3931) on a control connection and its sessions: headers, digests, codec, and our
messages. The methods are those of `version2`, which says what they are for.

An SCCRQ may offer both versions at once (section 4.7.3): `Offer` sends one, `choose` answers one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.l2tp import compose, messages3
from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.digest import DigestError, Digests
from prol2tp.l2tp.header import write_control as write_control_2
from prol2tp.l2tp.header3 import write_control
from prol2tp.l2tp.messages import ACCM, CallErrors, ConnectSpeed, Message, MessageError, ResultCode
from prol2tp.l2tp.messages import encode as encode_2
from prol2tp.l2tp.messages3 import (
    ACK,
    CDN,
    CIRCUIT_ACTIVE,
    CIRCUIT_NEW,
    CSUN,
    CSURQ,
    DEFAULT_SUBLAYER,
    HELLO,
    ICCN,
    ICRP,
    ICRQ,
    NO_SUBLAYER,
    OCCN,
    OCRP,
    OCRQ,
    SCCCN,
    SCCRP,
    SCCRQ,
    SEQUENCE_NOTHING,
    SLI,
    WEN,
    StopCCN,
)
from prol2tp.l2tp.outputs import CircuitChanged, LinkInfoChanged, ModifyDataPath, OpenDataPath, WANErrors
from prol2tp.l2tp.pseudowire import Pseudowire
from prol2tp.l2tp.results import (
    GENERAL_ERROR,
    LOST_TIE,
    MISMATCHING_MTU,
    SEQUENCING_WITHOUT_SUBLAYER,
    UNSUPPORTED_PSEUDOWIRE_TYPE,
)
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.version2 import VERSION_2, Version2

if TYPE_CHECKING:
    from prol2tp.l2tp.session import Session
    from prol2tp.l2tp.tunnel import Tunnel

L2TPV2, L2TPV3, AUTO = "l2tpv2", "l2tpv3", "auto"
"""Values of `TunnelSettings.version`."""
NONCE_LENGTH = 16
VERSION_NOT_SUPPORTED = 5
OUT_OF_RANGE = 3
"""Error code."""


def digests_of(settings: TunnelSettings) -> Digests:
    return Digests((settings.secret,), settings.digest_type)


def initial(settings: TunnelSettings) -> Any:
    """How a tunnel of ours begins."""
    if settings.version == L2TPV3:
        return Version3(digests_of(settings), settings.integrity)
    return Offer(digests_of(settings)) if settings.version == AUTO else VERSION_2


def choose(tunnel: Tunnel) -> Cause | None:
    """The peer's SCCRQ is to be answered with the settings that the tunnel has now: in which version, or why not.

    Raises `DigestError` when the peer proves to know another secret, or none.
    """
    settings, request = tunnel.settings, tunnel.request
    asked = tunnel.version.number
    offered = request if asked == Version3.number else messages3.offered(request)
    if settings.version == L2TPV2 and asked != Version3.number:
        return None
    if offered is None:
        return Cause(VERSION_NOT_SUPPORTED, 3, "only L2TPv3 is served") if settings.version == L2TPV3 else None
    version = Version3(digests_of(settings), settings.integrity)
    try:
        version.check(tunnel.request_message)
    except DigestError:
        if asked == Version3.number or settings.version == L2TPV3:
            raise
        # version 2 has a challenge of its own for those
        return None
    tunnel.version = version
    tunnel.peer_tunnel_id = offered.assigned_control_connection_id
    tunnel.peer_challenge = None
    version.learn(tunnel, offered)
    # said with a digest, or the peer would not believe it
    return Cause(VERSION_NOT_SUPPORTED, 2, "L2TPv3 is not served") if settings.version == L2TPV2 else None


class Version3:
    """Of one control connection."""

    __slots__ = ("digests", "sealing", "_blank", "_ack")

    number = 3

    def __init__(self, digests: Digests, integrity: bool = False) -> None:
        self.digests = digests
        self.sealing = integrity or digests.required
        self._blank = digests.blank() if self.sealing else b""
        self._ack = messages3.encode(ACK(), digests=self._blank)

    # on the wire

    def check(self, message: bytes) -> None:
        self.digests.check(message)

    def write(self, tunnel: Tunnel, session_id: int, ns: int, nr: int, body: bytes) -> bytes:
        message = write_control(tunnel.peer_tunnel_id, ns, nr, body or self._ack)
        return self.digests.seal(message) if self.sealing else message

    def decode(self, tunnel: Tunnel, body: bytes) -> Any:
        return messages3.decode(body, self.digests.hiding_key)

    def encode(self, tunnel: Tunnel, message: Message) -> bytes:
        key = self.digests.hiding_key
        hide = tunnel.settings.hide_avps and bool(key) and message.number != SCCRQ.number
        return messages3.encode(message, key, tunnel.context.random_bytes, hide, digests=self._blank)

    def session_of(self, message: Any, session_id: int) -> int:
        return message.remote_session_id if message.for_call else 0

    def session_of_error(self, error: MessageError, session_id: int) -> int:
        return error.remote_session_id or 0

    # the control connection

    def sccrq(self, tunnel: Tunnel) -> Message:
        settings = tunnel.settings
        return SCCRQ(
            host_name=settings.host_name,
            router_id=settings.router_id,
            assigned_control_connection_id=tunnel.tunnel_id,
            pseudowire_capabilities_list=settings.pseudowires,
            control_message_authentication_nonce=nonce(tunnel, self.digests),
            tie_breaker=tunnel.tie_breaker,
            vendor_name=settings.vendor_name or None,
            receive_window_size=settings.rx_window_size,
            preferred_language=settings.preferred_language or None,
        )

    def sccrp(self, tunnel: Tunnel, response: bytes | None) -> Message:
        settings = tunnel.settings
        return SCCRP(
            host_name=settings.host_name,
            router_id=settings.router_id,
            assigned_control_connection_id=tunnel.tunnel_id,
            pseudowire_capabilities_list=settings.pseudowires,
            control_message_authentication_nonce=nonce(tunnel, self.digests),
            vendor_name=settings.vendor_name or None,
            receive_window_size=settings.rx_window_size,
            preferred_language=settings.preferred_language or None,
        )

    def scccn(self, response: bytes | None) -> Message:
        return SCCCN()

    def stopccn(self, tunnel_id: int, result: ResultCode) -> Message:
        return StopCCN(result, tunnel_id)

    def hello(self) -> Message:
        return HELLO()

    def learn(self, tunnel: Tunnel, message: Any) -> None:
        tunnel.peer_router_id = message.router_id
        tunnel.peer_pseudowires = message.pseudowire_capabilities_list
        self.digests.remote_nonce = message.control_message_authentication_nonce or b""

    # sessions

    def cdn(self, session_id: int, peer_session_id: int, result: ResultCode) -> Message:
        return CDN(result, session_id, peer_session_id)

    def icrq(self, session: Session) -> Message:
        settings = session.settings
        return ICRQ(
            **_request(session),
            tx_connect_speed_bps=settings.tx_connect_speed or None,
            rx_connect_speed_bps=settings.rx_connect_speed or None,
            physical_channel_id=settings.physical_channel_id,
            calling_number=settings.calling_number or None,
            called_number=settings.called_number or None,
            sub_address=settings.sub_address or None,
            **compose.access_line(settings),
        )

    def icrp(self, session: Session) -> Message:
        settings, wire = session.settings, session.pseudowire
        return ICRP(  # by place: every session of the peer needs one
            session.session_id,
            session.peer_session_id,
            _status(wire, CIRCUIT_NEW),
            wire.cookie or None,
            DEFAULT_SUBLAYER if wire.sublayer else None,
            wire.sequencing or None,
            settings.tx_connect_speed or None,
            settings.rx_connect_speed or None,
            settings.physical_channel_id,
            wire.mtu or None,
        )

    def iccn(self, session: Session) -> Message:
        settings, wire = session.settings, session.pseudowire
        return ICCN(
            local_session_id=session.session_id,
            remote_session_id=session.peer_session_id,
            circuit_status=_status(wire, 0),
            **compose.proxy(settings),
        )

    def ocrq(self, session: Session) -> Message:
        settings = session.settings
        return OCRQ(
            **_request(session),
            tx_connect_speed_bps=settings.tx_connect_speed or None,
            rx_connect_speed_bps=settings.rx_connect_speed or None,
            called_number=settings.called_number or None,
            sub_address=settings.sub_address or None,
        )

    def ocrp(self, session: Session) -> Message:
        return OCRP(**_reply(session), physical_channel_id=session.settings.physical_channel_id)

    def occn(self, session: Session) -> Message:
        return OCCN(
            local_session_id=session.session_id,
            remote_session_id=session.peer_session_id,
            circuit_status=_status(session.pseudowire, 0),
            **compose.lcp_options(session.settings),
        )

    def speeds(self, speeds: tuple[ConnectSpeed, ...], request: bool) -> Message:
        return CSURQ(speeds) if request else CSUN(speeds)

    def sli(self, session: Session, accm: ACCM | None, last_sent: bytes = b"", last_received: bytes = b"") -> Message:
        status = _status(session.pseudowire, 0) if accm is None else None
        return SLI(session.session_id, session.peer_session_id, status, accm, last_sent or None, last_received or None)

    def wen(self, session: Session, errors: CallErrors) -> Message:
        return WEN(session.session_id, session.peer_session_id, errors)

    def refusal(self, tunnel: Tunnel, message: Any) -> Cause | None:
        if message.pseudowire_type not in tunnel.settings.pseudowires:
            return Cause(UNSUPPORTED_PSEUDOWIRE_TYPE, 0, "pseudowire type not supported")
        if message.data_sequencing and message.l2_specific_sublayer != DEFAULT_SUBLAYER:
            return Cause(SEQUENCING_WITHOUT_SUBLAYER, 0, "sequence numbers need the sublayer")
        return _unknown_sublayer(message)

    def cannot_place(self, session: Session) -> Cause | None:
        if session.settings.pseudowire not in session.tunnel.peer_pseudowires:
            return Cause(UNSUPPORTED_PSEUDOWIRE_TYPE, 0, "the peer does not serve this pseudowire type")
        return None

    def start(self, session: Session) -> None:
        settings = session.settings
        wire = session.pseudowire = Pseudowire(settings.pseudowire, settings.remote_end_id)
        _ours(session, settings)
        if settings.use_tiebreaker:
            wire.tie_breaker = session.tunnel.context.random_bytes(8)

    def requested(self, session: Session, message: Any) -> None:
        session.pseudowire = Pseudowire(message.pseudowire_type, message.remote_end_id)
        _theirs(session, message)

    def admitted(self, session: Session, settings: SessionSettings) -> Cause | None:
        wire = session.pseudowire
        if settings.pseudowire != wire.type:
            return Cause(UNSUPPORTED_PSEUDOWIRE_TYPE, 0, "another pseudowire type is configured")
        _ours(session, settings)
        return _mismatch(wire)

    def replied(self, session: Session, message: Any) -> Cause | None:
        _theirs(session, message)
        return _unknown_sublayer(message) or _mismatch(session.pseudowire)

    def confirmed(self, session: Session, message: Any) -> Cause | None:
        sublayer, wire = message.l2_specific_sublayer, session.pseudowire
        if sublayer is not None and (sublayer == DEFAULT_SUBLAYER) != wire.peer_sublayer:
            # the data path is being made for what the first message said
            return Cause(GENERAL_ERROR, OUT_OF_RANGE, "another L2-specific sublayer than was asked for")
        if message.data_sequencing and not wire.peer_sublayer:
            return Cause(SEQUENCING_WITHOUT_SUBLAYER, 0, "sequence numbers need the sublayer")
        return None

    def path(self, session: Session) -> OpenDataPath:
        tunnel, wire = session.tunnel, session.pseudowire
        return OpenDataPath(
            tunnel.tunnel_id, session.session_id, tunnel.peer_tunnel_id, session.peer_session_id,
            session.send_sequence, session.receive_sequence, session.lns, Version3.number, wire.type, wire.cookie,
            wire.peer_cookie, wire.sublayer, wire.peer_sublayer, wire.mtu,
        )

    def sequencing(self, session: Session) -> None:
        wire = session.pseudowire
        session.receive_sequence = wire.sequencing != SEQUENCE_NOTHING
        session.send_sequence = wire.peer_sequencing != SEQUENCE_NOTHING or (
            session.settings.send_sequence and wire.peer_sublayer
        )

    def connected(self, session: Session, message: Any) -> None:
        """ICCN or OCCN came: it may still change what is numbered, and the state of the circuit."""
        wire, emit = session.pseudowire, session.tunnel.context.emit
        if message.data_sequencing is not None and wire.peer_sublayer:
            wire.peer_sequencing = message.data_sequencing
            before = session.send_sequence
            self.sequencing(session)
            if session.send_sequence != before:
                emit(ModifyDataPath(
                    session.tunnel_id, session.session_id, session.send_sequence, session.receive_sequence
                ))
        if message.circuit_status is not None:
            wire.peer_active = bool(message.circuit_status & CIRCUIT_ACTIVE)

    def report(self, session: Session, message: Any) -> bool:
        """SLI or WEN of a connected session; both ends may send either."""
        emit, wire = session.tunnel.context.emit, session.pseudowire
        if message.number == WEN.number:
            emit(WANErrors(session.tunnel_id, session.session_id, message.circuit_errors))
            return True
        if message.circuit_status is not None:
            active = bool(message.circuit_status & CIRCUIT_ACTIVE)
            if active != wire.peer_active:
                wire.peer_active = active
                emit(CircuitChanged(session.tunnel_id, session.session_id, active))
        if message.accm is not None:
            send_accm, receive_accm = message.accm
            emit(LinkInfoChanged(session.tunnel_id, session.session_id, send_accm, receive_accm,
                                 message.lns_last_sent_lcp_confreq or b"",
                                 message.lns_last_received_lcp_confreq or b""))
        return True


class Offer(Version2):
    """A tunnel of ours that the peer may take up in version 3 or in version 2: its SCCRQ is one of version 2, with the
    AVPs of version 3 beside it, none of which it must understand (section 4.7.3)."""

    __slots__ = ("digests", "_blank")

    def __init__(self, digests: Digests) -> None:
        self.digests = digests
        self._blank = digests.blank(mandatory=False) if digests.required else b""

    def write(self, tunnel: Tunnel, session_id: int, ns: int, nr: int, body: bytes) -> bytes:
        message = write_control_2(tunnel.peer_tunnel_id, session_id, ns, nr, body)
        sealed = self._blank and int.from_bytes(body[6:8], "big") == SCCRQ.number
        return self.digests.seal(message) if sealed else message

    def sccrq(self, tunnel: Tunnel) -> Message:
        message: Any = super().sccrq(tunnel)
        settings = tunnel.settings
        message.control_message_authentication_nonce = nonce(tunnel, self.digests)
        message.router_id = settings.router_id
        message.assigned_control_connection_id = tunnel.tunnel_id
        message.pseudowire_capabilities_list = settings.pseudowires
        message.preferred_language = settings.preferred_language or None
        return message

    def encode(self, tunnel: Tunnel, message: Message) -> bytes:
        if message.number == SCCRQ.number:
            return encode_2(message, digests=self._blank)
        return super().encode(tunnel, message)

    def taken_up(self, settings: TunnelSettings) -> Version3:
        """The peer has answered in version 3."""
        return Version3(self.digests, settings.integrity)


def nonce(tunnel: Tunnel, digests: Digests) -> bytes | None:
    """Control Message Authentication Nonce (section 5.4.1): only where there is a secret."""
    if not digests.required:
        return None
    digests.local_nonce = digests.local_nonce or tunnel.context.random_bytes(NONCE_LENGTH)
    return digests.local_nonce


def tie(ours: Session, message: Any) -> tuple[bool, bool]:
    """Both ends have asked for the same circuit (section 5.4.4, Session Tie Breaker): whether our request stands, and
    whether the peer's does. The lower value wins, equal values lose both; where nobody sent one, both stand."""
    mine, theirs = ours.pseudowire.tie_breaker, message.tie_breaker
    if mine is None and theirs is None:
        return True, True
    if mine is None or theirs is None:
        return theirs is None, mine is None
    return mine < theirs, theirs < mine


LOST = Cause(LOST_TIE, 0, "the other request for this circuit stands")


def _ours(session: Session, settings: SessionSettings) -> None:
    wire = session.pseudowire
    if settings.cookie_length and not wire.cookie:
        wire.cookie = session.tunnel.context.random_bytes(settings.cookie_length)
    wire.sublayer = settings.l2_sublayer or settings.data_sequencing != SEQUENCE_NOTHING
    wire.sequencing = settings.data_sequencing
    wire.mtu = settings.interface_mtu
    wire.active = settings.circuit_active


def _theirs(session: Session, message: Any) -> None:
    wire = session.pseudowire
    wire.peer_cookie = message.assigned_cookie or b""
    wire.peer_sublayer = message.l2_specific_sublayer == DEFAULT_SUBLAYER
    wire.peer_sequencing = message.data_sequencing or SEQUENCE_NOTHING
    wire.peer_mtu = message.interface_maximum_transmission_unit or 0
    wire.peer_active = bool(message.circuit_status & CIRCUIT_ACTIVE)


def _unknown_sublayer(message: Any) -> Cause | None:
    if message.l2_specific_sublayer in (None, NO_SUBLAYER, DEFAULT_SUBLAYER):
        return None
    return Cause(GENERAL_ERROR, OUT_OF_RANGE, f"L2-specific sublayer {message.l2_specific_sublayer} is not served")


def _mismatch(wire: Pseudowire) -> Cause | None:
    if wire.peer_sequencing != SEQUENCE_NOTHING and not wire.peer_sublayer:
        return Cause(SEQUENCING_WITHOUT_SUBLAYER, 0, "sequence numbers need the sublayer")
    if wire.mtu and wire.peer_mtu and wire.mtu != wire.peer_mtu:
        return Cause(MISMATCHING_MTU, 0, f"interface MTU {wire.peer_mtu}, here {wire.mtu}")
    return None


def _status(wire: Pseudowire, new: int) -> int:
    return new | (CIRCUIT_ACTIVE if wire.active else 0)


def _half(session: Session) -> dict[str, Any]:
    """Fields of all four messages that set a session up."""
    wire = session.pseudowire
    return {
        "local_session_id": session.session_id,
        "remote_session_id": session.peer_session_id,
        "circuit_status": _status(wire, CIRCUIT_NEW),
        "assigned_cookie": wire.cookie or None,
        "l2_specific_sublayer": DEFAULT_SUBLAYER if wire.sublayer else None,
        "data_sequencing": wire.sequencing or None,
        "interface_maximum_transmission_unit": wire.mtu or None,
    }


def _request(session: Session) -> dict[str, Any]:
    wire = session.pseudowire
    return {
        **_half(session),
        "serial_number": session.call_serial_number,
        "pseudowire_type": wire.type,
        "remote_end_id": wire.remote_end_id,
        "tie_breaker": wire.tie_breaker,
    }


_reply = _half


# record


def versions_record(version: Any) -> dict[str, Any]:
    """What a tunnel's version is to be restored from, with its nonces."""
    record: dict[str, Any] = {"number": version.number, "offer": isinstance(version, Offer)}
    if version is not VERSION_2:
        record |= {"local_nonce": version.digests.local_nonce.hex(), "remote_nonce": version.digests.remote_nonce.hex()}
    return record


def restored(record: dict[str, Any], settings: TunnelSettings) -> Any:
    if record["number"] == VERSION_2.number and not record["offer"]:
        return VERSION_2
    digests = digests_of(settings)
    digests.local_nonce = bytes.fromhex(record["local_nonce"])
    digests.remote_nonce = bytes.fromhex(record["remote_nonce"])
    return Offer(digests) if record["offer"] else Version3(digests, settings.integrity)
