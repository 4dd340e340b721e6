"""Password Authentication Protocol, both roles (RFC 1334 section 2).

    Authenticate-Request  code 1: length(1) Peer-ID, length(1) Password
    Authenticate-Ack, -Nak  code 2, 3: length(1) Message
"""

from __future__ import annotations

from enum import Enum

from prol2tp.common.wire import Reader, WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED, Authentication, Proof, Refusal
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings

AUTHENTICATE_REQUEST = 1
AUTHENTICATE_ACK = 2
AUTHENTICATE_NAK = 3

CODE_NAMES = {
    AUTHENTICATE_REQUEST: "Authenticate-Request",
    AUTHENTICATE_ACK: "Authenticate-Ack",
    AUTHENTICATE_NAK: "Authenticate-Nak",
}


class OurState(Enum):
    """We are the authenticator."""

    CLOSED = 0
    LISTEN = 1
    ASKED = 2
    OPEN = 3
    BADAUTH = 4


class PeerState(Enum):
    """The peer is the authenticator."""

    CLOSED = 0
    AUTHREQ = 1
    OPEN = 2
    BADAUTH = 3


def read_request(data: bytes) -> tuple[bytes, bytes]:
    """Peer-ID and Password. Raises `WireError` where a length runs past the end."""
    reader = Reader(data)
    return reader.take(reader.u8()), reader.take(reader.u8())


def request_data(user: bytes, password: bytes) -> bytes:
    """Neither longer than 255 octets."""
    return bytes((len(user),)) + user + bytes((len(password),)) + password


def read_message(data: bytes) -> str:
    """The text of an Ack or Nak. Some peers leave the length octet out, or let it say too much."""
    return frame.text(data[1 : 1 + data[0]]) if data else ""


def message_data(message: str) -> bytes:
    octets = message.encode()[:255]
    return bytes((len(octets),)) + octets


class PAP(Authentication):
    __slots__ = ("our_state", "peer_state", "_request_identifier")

    PROTOCOL = frame.PAP

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self._request_identifier = 0

    def demand(self, method: str, now: float) -> None:
        self.our_state = OurState.LISTEN
        self.our_at = now + self.settings.pap_timeout if self.settings.pap_timeout else None

    def _take_proof(self, method: str, proof: Proof, now: float) -> None:
        if len(proof.name) > 255 or len(proof.response) > 255:
            raise WireError("PAP name or password of a length that no packet has")
        self.our_state = OurState.LISTEN
        self._authenticate_request(proof.identifier, request_data(proof.name, proof.response))

    def comply(self, method: str, now: float) -> None:
        self.peer_state = PeerState.AUTHREQ
        self.transmits = 0
        self._send_request(now)

    def _send_request(self, now: float) -> None:
        data = request_data(self.settings.user.encode(), self.settings.password.encode())
        self._identifier = (self._identifier + 1) & 0xFF
        self.transmits += 1
        self.peer_at = now + self.settings.pap_restart
        self.lower.send(frame.PAP, frame.packet(AUTHENTICATE_REQUEST, self._identifier, data))

    def accepted(self, grant: Grant, now: float) -> None:
        self.our_state = OurState.OPEN
        self._verdict = message_data(grant.message)
        self._send_verdict()
        self.lower.signal(self, Signal.ACCEPTED)

    def refused(self, refusal: Refusal, now: float) -> bool:
        self.our_state = OurState.BADAUTH
        self._verdict = message_data(refusal.message)
        self._send_verdict()
        return False

    def _send_verdict(self) -> None:
        code = AUTHENTICATE_ACK if self.our_state is OurState.OPEN else AUTHENTICATE_NAK
        self.lower.send(frame.PAP, frame.packet(code, self._request_identifier, self._verdict))

    def stop(self) -> None:
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.our_at = self.peer_at = None

    def receive(self, information: bytes, now: float) -> None:
        code, identifier, data = frame.read_packet(information)
        if code == AUTHENTICATE_REQUEST:
            self._authenticate_request(identifier, data)
        elif code == AUTHENTICATE_ACK:
            self._expected()
            self.peer_state = PeerState.OPEN
            self.peer_at = None
            self.lower.signal(self, Signal.TEXT, read_message(data))
            self.lower.signal(self, Signal.PROVED)
        elif code == AUTHENTICATE_NAK:
            self._expected()
            self.peer_state = PeerState.BADAUTH
            self.failed(WE_FAILED, read_message(data) or "the peer refuses our PAP name or password", True)
        else:
            raise WireError(f"PAP code {code}")

    def _expected(self) -> None:
        """Any identifier will do: a slow answer may be for an earlier try with the same name and password."""
        if self.peer_state is not PeerState.AUTHREQ:
            raise WireError("PAP answer to no request of ours")

    def _authenticate_request(self, identifier: int, data: bytes) -> None:
        if self.our_state is OurState.CLOSED:
            raise WireError("PAP request that nobody asked for")
        user, password = read_request(data)
        self._request_identifier = identifier
        if self.our_state in (OurState.OPEN, OurState.BADAUTH):
            self._send_verdict()  # RFC 1334 section 2.2.1: repeated requests get the same answer
            return
        if self.our_state is OurState.LISTEN:
            self.our_state = OurState.ASKED
            self.our_at = None
            ask = AskAuthentication("pap", user, identifier, password=password)
            self.lower.signal(self, Signal.ASK, ask)

    def timeout(self, now: float) -> None:
        if self.our_at is not None and self.our_at <= now:
            self.failed(PEER_FAILED, "the peer sends no PAP request", False)
        if self.peer_at is not None and self.peer_at <= now:
            if self.transmits >= self.settings.pap_max_requests:
                self.failed(WE_FAILED, "no answer to PAP Authenticate-Request", False)
            else:
                self._send_request(now)
