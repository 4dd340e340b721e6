"""Challenge Handshake Authentication Protocol with MD5, both roles (RFC 1994).

    Challenge, Response  code 1, 2: length(1) Value, Name to the end
    Success, Failure     code 3, 4: Message to the end
"""

from __future__ import annotations

import hmac
from enum import Enum
from hashlib import md5
from typing import Any

from prol2tp.common.wire import Reader, WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED, Authentication
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import LinkSettings

CHALLENGE = 1
RESPONSE = 2
SUCCESS = 3
FAILURE = 4

CODE_NAMES = {CHALLENGE: "Challenge", RESPONSE: "Response", SUCCESS: "Success", FAILURE: "Failure"}

CHALLENGE_LENGTH = 16
DEFAULT_NAME = b"prol2tp"
"""The Name field has at least one octet."""


class OurState(Enum):
    """We are the authenticator."""

    CLOSED = 0
    CHALLENGED = 1
    ASKED = 2
    OPEN = 3
    BADAUTH = 4


class PeerState(Enum):
    """The peer is the authenticator."""

    CLOSED = 0
    LISTEN = 1
    RESPONDED = 2
    OPEN = 3
    BADAUTH = 4


def md5_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """RFC 1994 section 4.1."""
    return md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False).digest()


def verify_md5(identifier: int, secret: bytes, challenge: bytes, response: bytes) -> bool:
    """Whether the response proves that its sender knows the secret. Takes the same time for every wrong one."""
    return hmac.compare_digest(md5_response(identifier, secret, challenge), response)


def read_value(data: bytes) -> tuple[bytes, bytes]:
    """Value and Name of a Challenge or Response. Raises `WireError` for an empty or overlong value."""
    reader = Reader(data)
    length = reader.u8()
    if not length:
        raise WireError("CHAP value is empty")
    return reader.take(length), reader.rest()


def value_data(value: bytes, name: bytes) -> bytes:
    return bytes((len(value),)) + value + name


class CHAP(Authentication):
    __slots__ = ("our_state", "peer_state", "renewal", "_challenge", "_peer_identifier", "_response", "_tries")

    PROTOCOL = frame.CHAP

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.renewal = False
        """The challenge is one to a link that is already up."""
        self._challenge = b""
        self._peer_identifier = 0
        self._response = b""
        self._tries = 0

    def demand(self, now: float) -> None:
        self.renewal = False
        self._new_challenge(now)

    def comply(self, now: float) -> None:
        self.peer_state = PeerState.LISTEN

    def _new_challenge(self, now: float) -> None:
        self._identifier = (self._identifier + 1) & 0xFF
        self._challenge = self.lower.random_bytes(CHALLENGE_LENGTH)
        self.our_state = OurState.CHALLENGED
        self.transmits = 0
        self._send_challenge(now)

    def _send_challenge(self, now: float) -> None:
        self.transmits += 1
        self.our_at = now + self.settings.chap_restart
        data = value_data(self._challenge, self.settings.name.encode() or DEFAULT_NAME)
        self.lower.send(frame.CHAP, frame.packet(CHALLENGE, self._identifier, data))

    def accepted(self, message: str, now: float) -> None:
        self.our_state = OurState.OPEN
        interval = self.settings.chap_interval
        self.our_at = now + interval if interval else None
        self._verdict = message.encode()[:1024]
        self._send_verdict()

    def refused(self, message: str, now: float) -> None:
        self.our_state = OurState.BADAUTH
        self._verdict = message.encode()[:1024]
        self._send_verdict()

    def _send_verdict(self) -> None:
        code = SUCCESS if self.our_state is OurState.OPEN else FAILURE
        self.lower.send(frame.CHAP, frame.packet(code, self._identifier, self._verdict))

    def stop(self) -> None:
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.our_at = self.peer_at = None

    def receive(self, information: bytes, now: float) -> None:
        code, identifier, data = frame.read_packet(information)
        if code == CHALLENGE:
            self._receive_challenge(identifier, data, now)
        elif code == RESPONSE:
            self._receive_response(identifier, data)
        elif code == SUCCESS:
            self._expected(identifier)
            if self.peer_state is PeerState.RESPONDED:
                self.peer_state = PeerState.OPEN
                self.peer_at = None
                self.lower.signal(self, Signal.TEXT, frame.text(data))
                self.lower.signal(self, Signal.PROVED)
        elif code == FAILURE:
            self._expected(identifier)
            self.peer_state = PeerState.BADAUTH
            self.failed(WE_FAILED, frame.text(data) or "the peer refuses our CHAP response", True)
        else:
            raise WireError(f"CHAP code {code}")

    def _expected(self, identifier: int) -> None:
        answered = self.peer_state in (PeerState.RESPONDED, PeerState.OPEN)
        if not answered or identifier != self._peer_identifier:
            raise WireError("CHAP verdict on no response of ours")

    def _receive_challenge(self, identifier: int, data: bytes, now: float) -> None:
        if self.peer_state in (PeerState.CLOSED, PeerState.BADAUTH):
            raise WireError("CHAP challenge that was not agreed on")
        challenge, _name = read_value(data)
        if self.our_state is not OurState.CLOSED and challenge == self._challenge:
            raise WireError("our own CHAP challenge comes back: we would prove the peer's case")  # RFC 1994 s. 5
        digest = md5_response(identifier, self.settings.password.encode(), challenge)
        self._response = value_data(digest, self.settings.user.encode())
        self._peer_identifier = identifier
        self.peer_state = PeerState.RESPONDED
        self._tries = 0
        self._send_response(now)

    def _send_response(self, now: float) -> None:
        """The peer's verdict may be lost: the response is repeated until it comes."""
        self._tries += 1
        self.peer_at = now + self.settings.chap_restart
        self.lower.send(frame.CHAP, frame.packet(RESPONSE, self._peer_identifier, self._response))

    def _receive_response(self, identifier: int, data: bytes) -> None:
        if self.our_state is OurState.CLOSED or identifier != self._identifier:
            raise WireError("CHAP response to no challenge of ours")
        response, name = read_value(data)
        if self.our_state in (OurState.OPEN, OurState.BADAUTH):
            self._send_verdict()  # RFC 1994 section 4.2: repeated responses get the same reply
        elif self.our_state is OurState.CHALLENGED:
            self.our_state = OurState.ASKED
            self.our_at = None
            challenge = self._challenge
            ask = AskAuthentication(
                "chap", name, identifier, challenge=challenge, response=response, renewal=self.renewal
            )
            self.lower.signal(self, Signal.ASK, ask)

    def to_record(self, now: float) -> dict[str, Any]:
        record = super().to_record(now)
        record["challenge"] = self._challenge.hex()
        record["response"] = self._response.hex()
        record["peer_identifier"] = self._peer_identifier
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self._challenge = bytes.fromhex(record["challenge"])
        self._response = bytes.fromhex(record["response"])
        self._peer_identifier = record["peer_identifier"]
        self.renewal = True
        if self.our_state is OurState.ASKED:
            # the answer is lost with the daemon that asked: the peer is challenged again
            self.our_state = OurState.CHALLENGED
            self.our_at = now

    def timeout(self, now: float) -> None:
        if self.our_at is not None and self.our_at <= now:
            if self.our_state is OurState.OPEN:
                self.renewal = True
                self._new_challenge(now)
            elif self.transmits >= self.settings.chap_max_challenges:
                self.failed(PEER_FAILED, "no response to CHAP Challenge", False)
            else:
                self._send_challenge(now)
        if self.peer_at is not None and self.peer_at <= now:
            if self._tries >= self.settings.chap_max_challenges:
                self.failed(WE_FAILED, "no verdict on our CHAP response", False)
            else:
                self._send_response(now)
