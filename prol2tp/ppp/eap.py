"""Extensible Authentication Protocol, both roles (RFC 3748), with the methods MD5-Challenge and MSCHAPv2
(draft-kamath-pppext-eap-mschapv2).

    Request, Response  code 1, 2: type(1) type-data
    Success, Failure   code 3, 4: nothing
    MSCHAPv2           opcode(1), then unless alone: MS-CHAPv2-ID(1) length(2) of all from the opcode, and
                       Challenge, Response  opcode 1, 2: length(1) Value, Name
                       Success, Failure     opcode 3, 4: Message

As authenticator either a method runs here and the shell checks its proof, or (`eap_passthrough`) the shell gets all
Responses and gives the next Request (`relay`).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from prol2tp.common.wire import Reader, WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED, Authentication, Refusal
from prol2tp.ppp.challenge import ALGORITHMS, MD5, MSCHAPv2, read_value, value_data
from prol2tp.ppp.chap import DEFAULT_NAME
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings

REQUEST = 1
RESPONSE = 2
SUCCESS = 3
FAILURE = 4

CODE_NAMES = {REQUEST: "Request", RESPONSE: "Response", SUCCESS: "Success", FAILURE: "Failure"}

IDENTITY = 1
NOTIFICATION = 2
NAK = 3
MD5_CHALLENGE = 4
MSCHAPV2 = 26

TYPE_NAMES = {
    IDENTITY: "Identity",
    NOTIFICATION: "Notification",
    NAK: "Nak",
    MD5_CHALLENGE: "MD5-Challenge",
    5: "One-Time Password",
    6: "Generic Token Card",
    13: "TLS",
    21: "TTLS",
    25: "PEAP",
    MSCHAPV2: "MSCHAPv2",
    254: "Expanded",
}

OP_CHALLENGE = 1
OP_RESPONSE = 2
OP_SUCCESS = 3
OP_FAILURE = 4

EAP_METHODS = {"md5": MD5_CHALLENGE, "mschapv2": MSCHAPV2}
"""Methods that can run here, by the word that settings use."""
_ALGORITHMS = {MD5_CHALLENGE: ALGORITHMS[MD5.name], MSCHAPV2: ALGORITHMS[MSCHAPv2.name]}

ROUNDS_MAX = 100
"""Requests of one authentication that the shell may relay."""


class OurState(Enum):
    """We are the authenticator."""

    CLOSED = 0
    IDENTITY = 1
    METHOD = 2
    ASKED = 3
    CONFIRM = 4
    """The peer is right; MSCHAPv2 has it confirm that we are."""
    REFUSED = 5
    """The peer is wrong; MSCHAPv2 has it confirm that, or try again."""
    OPEN = 6
    BADAUTH = 7


class PeerState(Enum):
    """The peer is the authenticator."""

    CLOSED = 0
    LISTEN = 1
    ANSWERED = 2
    DONE = 3
    """The method has come to its end on our side; a Success may follow, and nothing before that."""
    OPEN = 4
    BADAUTH = 5


def read_mschapv2(data: bytes) -> tuple[int, bytes]:
    """Opcode and what follows the header. Raises `WireError`. Octets after the length are not looked at."""
    reader = Reader(data)
    opcode = reader.u8()
    if not len(reader):
        return opcode, b""
    reader.u8()
    length = reader.u16()
    if length < 4:
        raise WireError(f"MSCHAPv2 length {length}")
    return opcode, reader.take(length - 4)


def mschapv2_data(opcode: int, identifier: int, data: bytes) -> bytes:
    return bytes((opcode, identifier)) + (len(data) + 4).to_bytes(2, "big") + data


class EAP(Authentication):
    # fmt: off
    __slots__ = (
        "our_state", "peer_state", "requests", "responses", "requests_received", "responses_sent", "_methods",
        "_identity", "_type", "_challenge", "_request", "_retries", "_retry", "_refusal", "_received", "_heard",
        "_response", "_peer_type", "_peer_challenge", "_value", "_reason",
    )
    # fmt: on

    PROTOCOL = frame.EAP

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.requests = 0
        """As authenticator: Requests sent, without repetitions."""
        self.responses = 0
        self.requests_received = 0
        """As peer: Requests that came, without repetitions."""
        self.responses_sent = 0
        self._identifier = lower.random_bytes(1)[0]
        self._methods: list[int] = []
        self._identity = b""
        self._type = 0
        self._challenge = b""
        self._request = b""
        self._retries = 0
        self._retry = False
        self._refusal = ""
        self._received = 0
        self._heard = b""
        self._response = b""
        self._peer_type = 0
        self._peer_challenge = b""
        self._value = b""
        self._reason = ""

    def demand(self, method: str, now: float) -> None:
        self._methods = [EAP_METHODS[word] for word in self.settings.eap_methods if word in EAP_METHODS]
        self.requests = self.responses = self._retries = 0
        self._ask_peer(OurState.IDENTITY, IDENTITY, b"", now)

    def comply(self, method: str, now: float) -> None:
        self.peer_state = PeerState.LISTEN
        self.requests_received = self.responses_sent = 0
        self._anew()
        self._wait(now)

    def stop(self) -> None:
        self.our_state = OurState.CLOSED
        self.peer_state = PeerState.CLOSED
        self.our_at = self.peer_at = None

    def receive(self, information: bytes, now: float) -> None:
        code, identifier, data = frame.read_packet(information)
        if code == REQUEST:
            self._receive_request(identifier, data, now)
        elif code == RESPONSE:
            self._receive_response(identifier, data, now)
        elif code == SUCCESS:
            self._verdict_on_us(identifier)
            self._receive_success()
        elif code == FAILURE:
            self._verdict_on_us(identifier)
            self.peer_state = PeerState.BADAUTH
            self.failed(WE_FAILED, self._reason or "the peer refuses us by EAP", True)
        else:
            raise WireError(f"EAP code {code}")

    # we are the authenticator

    def _ask_peer(self, state: OurState, kind: int, data: bytes, now: float) -> None:
        """A new Request: a new identifier (RFC 3748 section 4.1)."""
        self._identifier = (self._identifier + 1) & 0xFF
        self._put(state, frame.packet(REQUEST, self._identifier, bytes((kind,)) + data), now)

    def _put(self, state: OurState, request: bytes, now: float) -> None:
        self.our_state = state
        self._request = request
        self.requests += 1
        self.transmits = 0
        self._send_request(now)

    def _send_request(self, now: float) -> None:
        self.transmits += 1
        self.our_at = now + self.settings.eap_restart
        self.lower.send(frame.EAP, self._request)

    def _start_method(self, now: float) -> None:
        """The best one that is left."""
        self._type = self._methods.pop(0)
        self._challenge = self.lower.random_bytes(_ALGORITHMS[self._type].challenge_length)
        data = value_data(self._challenge, self.settings.name.encode() or DEFAULT_NAME)
        if self._type == MSCHAPV2:
            data = mschapv2_data(OP_CHALLENGE, (self._identifier + 1) & 0xFF, data)
        self._ask_peer(OurState.METHOD, self._type, data, now)

    def _receive_response(self, identifier: int, data: bytes, now: float) -> None:
        state = self.our_state
        waiting = state in (OurState.IDENTITY, OurState.METHOD, OurState.CONFIRM, OurState.REFUSED)
        if not waiting or identifier != self._identifier:
            raise WireError("EAP Response to no Request of ours")
        if not data:
            raise WireError("EAP Response without a type")
        kind = data[0]
        if state is OurState.IDENTITY:
            if kind != IDENTITY:
                raise WireError(f"EAP Response of type {kind} to a Request for the identity")
            self._identity = data[1:]
            if not self.settings.eap_passthrough:
                self._start_method(now)
        elif not self.settings.eap_passthrough:
            self._proof(state, kind, identifier, data[1:], now)
        self.responses += 1
        if self.settings.eap_passthrough:
            packet = frame.packet(RESPONSE, identifier, data)
            self._ask(AskAuthentication("eap", self._identity, identifier, eap=packet))

    def _ask(self, question: AskAuthentication) -> None:
        self.our_state = OurState.ASKED
        self.our_at = None
        self.lower.signal(self, Signal.ASK, question)

    def _proof(self, state: OurState, kind: int, identifier: int, data: bytes, now: float) -> None:
        """A Response of a method that runs here."""
        if kind == NAK and state is OurState.METHOD:
            self._methods = [one for one in self._methods if one in data]
            if self._methods:
                self._start_method(now)
            else:
                self._fail("the peer does none of the EAP methods that it is asked for", True)
            return
        if kind != self._type:
            raise WireError(f"EAP Response of type {kind} to a Request of type {self._type}")
        opcode = OP_RESPONSE
        if kind == MSCHAPV2:
            opcode, data = read_mschapv2(data)
        if opcode == OP_RESPONSE and (state is OurState.METHOD or (state is OurState.REFUSED and self._retry)):
            value, name = read_value(data)
            algorithm = _ALGORITHMS[kind]
            self._ask(algorithm.question(identifier, self._challenge, value, name or self._identity))
        elif opcode == OP_SUCCESS and state is OurState.CONFIRM:
            self._succeed()
        elif opcode == OP_FAILURE and state is OurState.CONFIRM:
            self._fail("the peer does not believe that we know its password", True)
        elif opcode == OP_FAILURE and state is OurState.REFUSED:
            self._fail(self._refusal, False)
        else:
            raise WireError(f"MSCHAPv2 opcode {opcode} in state {state.name}")

    def relay(self, packet: bytes, now: float) -> None:
        """The next Request, as the shell has it from the one who runs the method."""
        good = 5 <= len(packet) <= self.lower.peer_mru and packet[0] == REQUEST
        if not good or int.from_bytes(packet[2:4], "big") != len(packet):
            self._fail("the server gives no EAP Request that the link could carry", False)
        elif self.requests >= ROUNDS_MAX:
            self._fail("the server asks for ever", False)
        else:
            self._identifier = packet[1]
            self._put(OurState.METHOD, packet, now)

    def accepted(self, grant: Grant, now: float) -> None:
        if self._type == MSCHAPV2 and not self.settings.eap_passthrough:
            data = _ALGORITHMS[MSCHAPV2].success(grant)
            self._ask_peer(OurState.CONFIRM, MSCHAPV2, mschapv2_data(OP_SUCCESS, self._identifier, data), now)
        else:
            self._succeed()

    def refused(self, refusal: Refusal, now: float) -> bool:
        if self._type != MSCHAPV2 or self.settings.eap_passthrough:
            self._send_verdict(OurState.BADAUTH)
            return False
        algorithm = _ALGORITHMS[MSCHAPV2]
        self._retry = refusal.retry and self._retries < self.settings.mschap_retries
        self._retries += 1
        self._refusal = refusal.message
        self._challenge = self.lower.random_bytes(algorithm.challenge_length)
        text = algorithm.failure(refusal.message, refusal.error, self._retry, self._challenge)
        self._ask_peer(OurState.REFUSED, MSCHAPV2, mschapv2_data(OP_FAILURE, self._identifier, text), now)
        return True

    def _send_verdict(self, state: OurState) -> None:
        """RFC 3748 section 4.2: sent once, never confirmed."""
        self.our_state = state
        self.our_at = None
        code = SUCCESS if state is OurState.OPEN else FAILURE
        self.lower.send(frame.EAP, frame.packet(code, self._identifier))

    def _succeed(self) -> None:
        self._send_verdict(OurState.OPEN)
        self.lower.signal(self, Signal.ACCEPTED)

    def _fail(self, message: str, by_peer: bool) -> None:
        self._send_verdict(OurState.BADAUTH)
        self.failed(PEER_FAILED, message or "the peer was refused", by_peer)

    # the peer is

    def _anew(self) -> None:
        self._received = self._peer_type = 0
        self._heard = self._value = b""
        self._reason = ""

    def _wait(self, now: float) -> None:
        """For the next Request or the verdict."""
        self.peer_at = now + self.settings.eap_timeout if self.settings.eap_timeout else None

    def _verdict_on_us(self, identifier: int) -> None:
        answered = self.peer_state in (PeerState.ANSWERED, PeerState.DONE)
        if not answered or identifier != self._response[1]:
            raise WireError("EAP verdict on no Response of ours")

    def _receive_success(self) -> None:
        if self.peer_state is not PeerState.DONE:
            raise WireError("EAP Success before anything was proved")
        self.peer_state = PeerState.OPEN
        self.peer_at = None
        self.lower.signal(self, Signal.PROVED)

    def network_heard(self) -> None:
        """A network protocol of the peer has come. Success is sent once and may be lost: a peer that goes on has
        accepted us (RFC 3748 section 4.2)."""
        if self.peer_state is PeerState.DONE:
            self._receive_success()

    def _receive_request(self, identifier: int, data: bytes, now: float) -> None:
        if self.peer_state in (PeerState.CLOSED, PeerState.BADAUTH):
            raise WireError("EAP Request that was not agreed on")
        if not data:
            raise WireError("EAP Request without a type")
        request = bytes((identifier,)) + data
        if request == self._heard:
            self.lower.send(frame.EAP, self._response)  # section 4.1: a repetition gets the same Response
            return
        if self.peer_state is PeerState.OPEN:
            self._anew()
        if self._received >= self.settings.eap_max_received:
            self.failed(WE_FAILED, "the peer asks for ever", True)
            return
        answer = self._answer(identifier, data[0], data[1:])
        if answer is None:
            return
        self._received += 1
        self.requests_received += 1
        self.responses_sent += 1
        self._heard = request
        self._response = frame.packet(RESPONSE, identifier, answer)
        if self.peer_state is not PeerState.OPEN:
            self._wait(now)
        self.lower.send(frame.EAP, self._response)

    def _answer(self, identifier: int, kind: int, data: bytes) -> bytes | None:
        """Type and data of the Response; None when the link ends instead."""
        allowed = [EAP_METHODS[word] for word in self.settings.eap_allow_methods if word in EAP_METHODS]
        if kind == NOTIFICATION:
            self.lower.signal(self, Signal.TEXT, frame.text(data))
            if self.peer_state is PeerState.LISTEN:
                self.peer_state = PeerState.ANSWERED
            return bytes((NOTIFICATION,))
        if self._peer_type not in (0, kind):
            raise WireError(f"EAP Request of type {kind} within type {self._peer_type}")  # section 2.1
        if kind == IDENTITY:
            answer = self.settings.user.encode()
        elif kind not in allowed:
            kind, answer = NAK, bytes(allowed or [0])
        elif kind == MD5_CHALLENGE:
            answer = self._respond(identifier, kind, data)
            self._peer_type = kind
            self.peer_state = PeerState.DONE
            return bytes((kind,)) + answer
        else:
            return self._answer_mschapv2(identifier, data)
        self.peer_state = PeerState.ANSWERED
        return bytes((kind,)) + answer

    def _respond(self, identifier: int, kind: int, data: bytes) -> bytes:
        challenge, _name = read_value(data)
        algorithm = _ALGORITHMS[kind]
        algorithm.check_challenge(challenge)
        if self.our_state is not OurState.CLOSED and challenge == self._challenge:
            raise WireError("our own EAP challenge comes back: we would prove the peer's case")
        self._peer_challenge = challenge
        self._value = algorithm.respond(identifier, challenge, self.settings, self.lower.random_bytes)
        return value_data(self._value, self.settings.user.encode())

    def _answer_mschapv2(self, identifier: int, data: bytes) -> bytes | None:
        opcode, content = read_mschapv2(data)
        algorithm = _ALGORITHMS[MSCHAPV2]
        if opcode == OP_CHALLENGE and len(data) > 1:
            answer = mschapv2_data(OP_RESPONSE, data[1], self._respond(identifier, MSCHAPV2, content))
            self._peer_type = MSCHAPV2
            self.peer_state = PeerState.ANSWERED
        elif opcode == OP_SUCCESS and self._value:
            if not algorithm.proves(content, self._peer_challenge, self._value, self.settings):
                self.peer_state = PeerState.BADAUTH
                self.failed(WE_FAILED, "the peer says yes, but does not know our password", False)
                return None
            self.lower.signal(self, Signal.TEXT, frame.text(algorithm.message(content)))
            self.peer_state = PeerState.DONE
            answer = bytes((OP_SUCCESS,))
        elif opcode == OP_FAILURE and self._value:
            self._reason = algorithm.reason(content)
            self.peer_state = PeerState.ANSWERED
            answer = bytes((OP_FAILURE,))
        else:
            raise WireError(f"MSCHAPv2 opcode {opcode} in a Request")
        return bytes((MSCHAPV2,)) + answer

    def keys(self) -> Keys | None:
        if not self._value:
            return None
        return _ALGORITHMS[self._peer_type].keys(self._peer_challenge, self._value, self.settings)

    # both

    def timeout(self, now: float) -> None:
        if self.our_at is not None and self.our_at <= now:
            if self.transmits < self.settings.eap_max_requests:
                self._send_request(now)
            elif self.our_state is OurState.REFUSED:
                self._fail(self._refusal, False)
            else:
                self.failed(PEER_FAILED, "no response to EAP Request", False)
        if self.peer_at is not None and self.peer_at <= now:
            self.failed(WE_FAILED, self._reason or "EAP comes to no end", False)

    _COUNTS = ("requests", "responses", "requests_received", "responses_sent", "_received", "_peer_type", "_type")
    _OCTETS = ("_identity", "_heard", "_response", "_peer_challenge", "_value")

    def to_record(self, now: float) -> dict[str, Any]:
        """Only in phase NETWORK: as authenticator we are at the end."""
        record = super().to_record(now)
        for name in self._COUNTS:
            record[name] = getattr(self, name)
        for name in self._OCTETS:
            record[name] = getattr(self, name).hex()
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        for name in self._COUNTS:
            setattr(self, name, record[name])
        for name in self._OCTETS:
            setattr(self, name, bytes.fromhex(record[name]))
