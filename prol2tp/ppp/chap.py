"""Challenge Handshake Authentication Protocol, both roles (RFC 1994), with any of the algorithms of `challenge.py`.

    Challenge, Response  code 1, 2: length(1) Value, Name to the end
    Success, Failure     code 3, 4: Message to the end

The Microsoft algorithms may allow another try: a Failure then carries a new challenge, and the next Response has the
next identifier (RFC 2759 section 6). Passwords are not changed (codes 5 to 7): who tries is refused.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED, Authentication, Proof, Refusal
from prol2tp.ppp.challenge import ALGORITHMS, MD5, md5_response, read_value, value_data, verify_md5
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.mschap import CHANGING_PASSWORD
from prol2tp.ppp.settings import Grant, LinkSettings

__all__ = ["CHAP", "OurState", "PeerState", "md5_response", "read_value", "value_data", "verify_md5"]

CHALLENGE = 1
RESPONSE = 2
SUCCESS = 3
FAILURE = 4
CHANGE_PASSWORD = (5, 6, 7)
"""RFC 2433 sections 7 and 8, RFC 2759 section 7."""

CODE_NAMES = {
    CHALLENGE: "Challenge",
    RESPONSE: "Response",
    SUCCESS: "Success",
    FAILURE: "Failure",
    5: "Change-Password",
    6: "Change-Password",
    7: "Change-Password",
}

DEFAULT_NAME = b"prol2tp"
"""The Name field has at least one octet."""


class OurState(Enum):
    """We are the authenticator."""

    CLOSED = 0
    CHALLENGED = 1
    ASKED = 2
    OPEN = 3
    BADAUTH = 4
    RETRY = 5
    """The peer was refused, and may try again with the challenge of our Failure."""
    UNANSWERED = 6
    """The peer was in, and was challenged again, and nobody could be asked about its Response. It hears nothing: a
    Success of MS-CHAPv2 has a proof in it that only a server could give."""


class PeerState(Enum):
    """The peer is the authenticator."""

    CLOSED = 0
    LISTEN = 1
    RESPONDED = 2
    OPEN = 3
    BADAUTH = 4


class CHAP(Authentication):
    # fmt: off
    __slots__ = (
        "our_state", "peer_state", "renewal", "_our_algorithm", "_peer_algorithm", "_challenge", "_retries",
        "_peer_identifier", "_peer_challenge", "_response", "_tries", "_proved",
    )
    # fmt: on

    PROTOCOL = frame.CHAP

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.renewal = False
        """The challenge is one to a link that is already up."""
        self._our_algorithm = self._peer_algorithm = ALGORITHMS[MD5.name]
        self._challenge = b""
        self._retries = 0
        self._peer_identifier = 0
        self._peer_challenge = b""
        self._response = b""
        self._tries = 0
        self._proved = False
        """The peer has taken our proof once."""

    def demand(self, method: str, now: float) -> None:
        self._our_algorithm = ALGORITHMS[method]
        self.renewal = False
        self._new_challenge(now)

    def _take_proof(self, method: str, proof: Proof, now: float) -> None:
        self._our_algorithm = algorithm = ALGORITHMS[method]
        if not 0 < len(proof.challenge) < 256 or len(proof.response) > 255:
            raise WireError("CHAP value of a length that no packet has")
        algorithm.check_challenge(proof.challenge)
        self.renewal = False
        self.transmits = self._retries = 0
        self._identifier = proof.identifier
        self._challenge = proof.challenge
        self.our_state = OurState.CHALLENGED
        self._receive_response(proof.identifier, value_data(proof.response, proof.name))

    def comply(self, method: str, now: float) -> None:
        self._peer_algorithm = ALGORITHMS[method]
        self._response = b""
        self._proved = False
        self.peer_state = PeerState.LISTEN

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
            self._receive_success(data)
        elif code == FAILURE:
            self._expected(identifier)
            self.peer_state = PeerState.BADAUTH
            reason = self._peer_algorithm.reason(data)
            self.failed(WE_FAILED, reason or "the peer refuses our CHAP response", True)
        elif code in CHANGE_PASSWORD and self.our_state is OurState.RETRY:
            self._refuse_change(identifier)
        else:
            raise WireError(f"CHAP code {code}")

    # we are the authenticator

    def _new_challenge(self, now: float) -> None:
        self._identifier = (self._identifier + 1) & 0xFF
        self._challenge = self.lower.random_bytes(self._our_algorithm.challenge_length)
        self.our_state = OurState.CHALLENGED
        self.transmits = self._retries = 0
        self._send_challenge(now)

    def _send_challenge(self, now: float) -> None:
        self.transmits += 1
        self.our_at = now + self.settings.chap_restart
        data = value_data(self._challenge, self.settings.name.encode() or DEFAULT_NAME)
        self.lower.send(frame.CHAP, frame.packet(CHALLENGE, self._identifier, data))

    def accepted(self, grant: Grant, now: float) -> None:
        self._verdict = self._our_algorithm.success(grant)
        self.our_state = OurState.OPEN
        interval = self.settings.chap_interval
        self.our_at = now + interval if interval else None
        self._send_verdict(self._identifier)
        self.lower.signal(self, Signal.ACCEPTED)

    def unanswered(self, now: float) -> None:
        interval = self.settings.chap_interval
        self.our_at = now + interval if interval else None
        self.our_state = OurState.UNANSWERED
        if not self._our_algorithm.proves_both:
            self.our_state = OurState.OPEN
            self._verdict = self._our_algorithm.success(Grant())
            self._send_verdict(self._identifier)

    def refused(self, refusal: Refusal, now: float) -> bool:
        algorithm = self._our_algorithm
        retry = refusal.retry and algorithm.retries and self._retries < self.settings.mschap_retries
        challenge = self.lower.random_bytes(algorithm.challenge_length) if algorithm.retries else b""
        self._verdict = algorithm.failure(refusal.message, refusal.error, retry, challenge)
        self.our_state = OurState.RETRY if retry else OurState.BADAUTH
        self._send_verdict(self._identifier)
        if retry:
            self._retries += 1
            self._challenge = challenge
            self._identifier = (self._identifier + 1) & 0xFF
            # a person may have to type; no longer than a peer that does not answer at all is given
            self.our_at = now + self.settings.chap_restart * self.settings.chap_max_challenges
        return retry

    def _send_verdict(self, identifier: int) -> None:
        code = SUCCESS if self.our_state is OurState.OPEN else FAILURE
        self.lower.send(frame.CHAP, frame.packet(code, identifier, self._verdict))

    def _receive_response(self, identifier: int, data: bytes) -> None:
        state = self.our_state
        if state is OurState.RETRY and identifier == (self._identifier - 1) & 0xFF:
            read_value(data)
            self._send_verdict(identifier)
            return
        if state in (OurState.CLOSED, OurState.UNANSWERED) or identifier != self._identifier:
            raise WireError("CHAP response to no challenge of ours")
        value, name = read_value(data)
        if state in (OurState.OPEN, OurState.BADAUTH):
            self._send_verdict(identifier)  # RFC 1994 section 4.2: repeated responses get the same reply
        elif state in (OurState.CHALLENGED, OurState.RETRY):
            ask = self._our_algorithm.question(identifier, self._challenge, value, name)
            ask.renewal = self.renewal
            self.our_state = OurState.ASKED
            self.our_at = None
            self.lower.signal(self, Signal.ASK, ask)

    def _refuse_change(self, identifier: int) -> None:
        message = "passwords are not changed here"
        self._verdict = self._our_algorithm.failure(message, CHANGING_PASSWORD, False, self._challenge)
        self.our_state = OurState.BADAUTH
        self._send_verdict(identifier)
        self.failed(PEER_FAILED, "the peer wants to change its password", True)

    # the peer is

    def _expected(self, identifier: int) -> None:
        answered = self.peer_state in (PeerState.RESPONDED, PeerState.OPEN)
        if not answered or identifier != self._peer_identifier:
            raise WireError("CHAP verdict on no response of ours")

    def _receive_challenge(self, identifier: int, data: bytes, now: float) -> None:
        if self.peer_state in (PeerState.CLOSED, PeerState.BADAUTH):
            raise WireError("CHAP challenge that was not agreed on")
        challenge, _name = read_value(data)
        algorithm = self._peer_algorithm
        algorithm.check_challenge(challenge)
        if self.our_state is not OurState.CLOSED and challenge == self._challenge:
            raise WireError("our own CHAP challenge comes back: we would prove the peer's case")  # RFC 1994 s. 5
        if not self._response or (identifier, challenge) != (self._peer_identifier, self._peer_challenge):
            self._response = algorithm.respond(identifier, challenge, self.settings, self.lower.random_bytes)
            self._peer_identifier = identifier
            self._peer_challenge = challenge
        self.peer_state = PeerState.RESPONDED
        self._tries = 0
        self._send_response(now)

    def _send_response(self, now: float) -> None:
        """The peer's verdict may be lost: the response is repeated until it comes."""
        self._tries += 1
        self.peer_at = now + self.settings.chap_restart
        data = value_data(self._response, self.settings.user.encode())
        self.lower.send(frame.CHAP, frame.packet(RESPONSE, self._peer_identifier, data))

    def _receive_success(self, data: bytes) -> None:
        if self.peer_state is not PeerState.RESPONDED:
            return
        algorithm = self._peer_algorithm
        if not algorithm.proves(data, self._peer_challenge, self._response, self.settings):
            self.peer_state = PeerState.BADAUTH
            self.failed(WE_FAILED, "the peer says yes, but does not know our password", False)
            return
        self.peer_state = PeerState.OPEN
        self.peer_at = None
        self._proved = True
        self.lower.signal(self, Signal.TEXT, frame.text(algorithm.message(data)))
        self.lower.signal(self, Signal.PROVED)

    def keys(self) -> Keys | None:
        return self._peer_algorithm.keys(self._peer_challenge, self._response, self.settings)

    # both

    def to_record(self, now: float) -> dict[str, Any]:
        record = super().to_record(now)
        record["algorithms"] = [self._our_algorithm.name, self._peer_algorithm.name]
        record["challenge"] = self._challenge.hex()
        record["retries"] = self._retries
        record["peer_challenge"] = self._peer_challenge.hex()
        record["response"] = self._response.hex()
        record["peer_identifier"] = self._peer_identifier
        record["proved"] = self._proved
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self._our_algorithm, self._peer_algorithm = (ALGORITHMS[name] for name in record["algorithms"])
        self._challenge = bytes.fromhex(record["challenge"])
        self._retries = record["retries"]
        self._peer_challenge = bytes.fromhex(record["peer_challenge"])
        self._response = bytes.fromhex(record["response"])
        self._peer_identifier = record["peer_identifier"]
        self._proved = record["proved"]
        self.renewal = True
        if self.our_state is OurState.ASKED:
            # the answer is lost with the daemon that asked: the peer is challenged again
            self.our_state = OurState.CHALLENGED
            self.our_at = now

    def timeout(self, now: float) -> None:
        if self.our_at is not None and self.our_at <= now:
            if self.our_state in (OurState.OPEN, OurState.UNANSWERED):
                self.renewal = True
                self._new_challenge(now)
            elif self.our_state is OurState.RETRY:
                self.failed(PEER_FAILED, "the peer was refused, and does not try again", False)
            elif self.transmits >= self.settings.chap_max_challenges:
                self.failed(PEER_FAILED, "no response to CHAP Challenge", False)
            else:
                self._send_challenge(now)
        if self.peer_at is not None and self.peer_at <= now:
            if self._tries >= self.settings.chap_max_challenges and self._proved:
                # a challenge while the link is up: its authenticator may have nobody to ask
                self.peer_state = PeerState.OPEN
                self.peer_at = None
            elif self._tries >= self.settings.chap_max_challenges:
                self.failed(WE_FAILED, "no verdict on our CHAP response", False)
            else:
                self._send_response(now)
