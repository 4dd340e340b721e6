"""Extensible Authentication Protocol, both roles (RFC 3748), with the methods MD5-Challenge, MSCHAPv2 and TLS.

As authenticator either a method runs here and the shell checks its proof, or the shell gets all Responses and gives the
next Request (`relay`): with `eap_passthrough` the shell says which after it has heard the Identity.
"""

from __future__ import annotations

from enum import Enum

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import PEER_FAILED, Proof, Refusal
from prol2tp.ppp.challenge import read_value, value_data
from prol2tp.ppp.chap import DEFAULT_NAME
from prol2tp.ppp.eappacket import (
    FAILURE,
    IDENTITY,
    MSCHAPV2,
    NAK,
    OP_CHALLENGE,
    OP_FAILURE,
    OP_RESPONSE,
    OP_SUCCESS,
    REQUEST,
    RESPONSE,
    SUCCESS,
    TLS,
    mschapv2_data,
    read_mschapv2,
)
from prol2tp.ppp.eappeer import ALGORITHMS_INSIDE, EAPPeer
from prol2tp.ppp.eaptls import EMPTY, START, Conversation
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings

ROUNDS_MAX = 100
"""Requests of one authentication: those that the shell relays, or of TLS."""


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


class EAP(EAPPeer):
    """Both halves; here that in which we are the authenticator."""

    # fmt: off
    __slots__ = (
        "our_state", "requests", "responses", "_methods", "_identity", "_type", "_challenge", "_request", "_retries",
        "_retry", "_refusal", "_relaying", "_tls", "_held", "_patience", "_our_keys",
    )
    # fmt: on

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_state = OurState.CLOSED
        self.requests = 0
        """As authenticator: Requests sent, without repetitions."""
        self.responses = 0
        self._identifier = lower.random_bytes(1)[0]
        self._methods: list[int] = []
        self._identity = b""
        self._type = 0
        self._challenge = b""
        self._request = b""
        self._retries = 0
        self._retry = False
        self._refusal = ""
        self._relaying = False
        """The method runs behind the shell."""
        self._tls: Conversation | None = None
        self._held: bytes | None = None
        """The end of TLS, which the peer gets when the shell agrees with its certificate."""
        self._patience = settings.eap_restart
        self._our_keys: Keys | None = None

    def demand(self, method: str, now: float) -> None:
        self._begin()
        self._ask_peer(OurState.IDENTITY, IDENTITY, b"", now)

    def _begin(self) -> None:
        self._methods = self._known(self.settings.eap_methods)
        self.requests = self.responses = self._retries = self._type = 0
        self._relaying = False
        self._tls = self._held = self._our_keys = None

    def _take_proof(self, method: str, proof: Proof, now: float) -> None:
        """The Response with the Identity: all else follows here."""
        code, identifier, data = frame.read_packet(proof.response)
        if code != RESPONSE or identifier != proof.identifier:
            raise WireError("no EAP Response")
        self._begin()
        self._identifier = identifier
        self.our_state = OurState.IDENTITY
        self._receive_response(identifier, data, now)

    def stop(self) -> None:
        super().stop()
        self.our_state = OurState.CLOSED
        self.our_at = None
        self._tls = self._held = None

    def receive(self, information: bytes, now: float) -> None:
        code, identifier, data = frame.read_packet(information)
        if code == REQUEST:
            self._receive_request(identifier, data, now)
        elif code == RESPONSE:
            self._receive_response(identifier, data, now)
        elif code in (SUCCESS, FAILURE):
            self._receive_verdict(code, identifier)
        else:
            raise WireError(f"EAP code {code}")

    # we are the authenticator

    def _is_ours(self, challenge: bytes) -> bool:
        return self.our_state is not OurState.CLOSED and challenge == self._challenge

    def _ask_peer(self, state: OurState, kind: int, data: bytes, now: float) -> None:
        """A new Request: a new identifier (RFC 3748 section 4.1)."""
        self._identifier = (self._identifier + 1) & 0xFF
        self._put(state, frame.packet(REQUEST, self._identifier, bytes((kind,)) + data), now)

    def _put(self, state: OurState, request: bytes, now: float, wait: float | None = None) -> None:
        self.our_state = state
        self._request = request
        self._patience = wait or self.settings.eap_restart
        self.requests += 1
        self.transmits = 0
        self._send_request(now)

    def _send_request(self, now: float) -> None:
        self.transmits += 1
        self.our_at = now + self._patience
        self.lower.send(frame.EAP, self._request)

    def _start_method(self, now: float) -> None:
        """The best one that is left."""
        self._type = self._methods.pop(0)
        if self._type == TLS:
            assert self.settings.tls is not None
            self._tls = Conversation(self.settings.tls(True))
            self._ask_peer(OurState.METHOD, TLS, bytes((START,)), now)
            return
        self._challenge = self.lower.random_bytes(ALGORITHMS_INSIDE[self._type].challenge_length)
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
            if self.settings.eap_passthrough or self.settings.access:
                self._ask_server(identifier, data)
            else:
                self._start_method(now)
        elif self._relaying:
            self._ask_server(identifier, data)
        elif kind == TLS == self._type:
            self._tls_response(identifier, data[1:], now)
        else:
            self._proof(state, kind, identifier, data[1:], now)
        self.responses += 1

    def _ask_server(self, identifier: int, data: bytes) -> None:
        packet = frame.packet(RESPONSE, identifier, data)
        self._ask(AskAuthentication("eap", self._identity, identifier, eap=packet))

    def _ask(self, question: AskAuthentication) -> None:
        self.our_state = OurState.ASKED
        self.our_at = None
        self.lower.signal(self, Signal.ASK, question)

    def _proof(self, state: OurState, kind: int, identifier: int, data: bytes, now: float) -> None:
        """A Response of a method that runs here."""
        if kind == NAK and state is OurState.METHOD and not (self._tls and self._tls.begun):
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
            algorithm = ALGORITHMS_INSIDE[kind]
            self._ask(algorithm.question(identifier, self._challenge, value, name or self._identity))
        elif opcode == OP_SUCCESS and state is OurState.CONFIRM:
            self._succeed()
        elif opcode == OP_FAILURE and state is OurState.CONFIRM:
            self._fail("the peer does not believe that we know its password", True)
        elif opcode == OP_FAILURE and state is OurState.REFUSED:
            self._fail(self._refusal, False)
        else:
            raise WireError(f"MSCHAPv2 opcode {opcode} in state {state.name}")

    def _tls_response(self, identifier: int, data: bytes, now: float) -> None:
        tls = self._tls
        assert tls is not None
        if self.requests >= ROUNDS_MAX:
            self._fail("TLS comes to no end", True)
            return
        answer, engine = tls.receive(data, self._room()), tls.engine
        if engine.failure and answer in (None, EMPTY):
            self._fail(f"EAP-TLS: {engine.failure}", True)
        elif answer is None:
            if not engine.done:
                raise WireError("EAP-TLS message without anything in it")
            self._succeed()
        elif engine.done and not engine.failure and self._our_keys is None:
            self._our_keys = tls.keys(authenticator=True)
            self._held = answer
            self._ask(AskAuthentication("tls", self._identity, identifier, certificate=engine.names))
        else:
            self._ask_peer(OurState.METHOD, TLS, answer, now)

    def keys_as_authenticator(self) -> Keys | None:
        return self._our_keys

    def local(self, now: float) -> None:
        """The methods of the settings run here, for the user whose Identity the shell has heard. Raises `ValueError`
        when one runs behind the shell already."""
        if self._relaying:
            raise ValueError("an EAP method does not change hands")
        if self._methods:
            self._start_method(now)
        else:
            self._fail("no EAP method runs here", False)

    def relay(self, packet: bytes, now: float, wait: float | None) -> None:
        """The next Request, as the shell has it from the one who runs the method.

        :param wait: seconds until this Request is repeated, when that one knows better than the settings.
        """
        self._relaying = True
        good = 5 <= len(packet) <= self.lower.peer_mru and packet[0] == REQUEST
        if not good or int.from_bytes(packet[2:4], "big") != len(packet):
            self._fail("the server gives no EAP Request that the link could carry", False)
        elif self.requests >= ROUNDS_MAX:
            self._fail("the server asks for ever", False)
        else:
            self._identifier = packet[1]
            self._put(OurState.METHOD, packet, now, wait)

    def accepted(self, grant: Grant, now: float) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._ask_peer(OurState.METHOD, TLS, held, now)
        elif self._type == MSCHAPV2:
            data = ALGORITHMS_INSIDE[MSCHAPV2].success(grant)
            self._ask_peer(OurState.CONFIRM, MSCHAPV2, mschapv2_data(OP_SUCCESS, self._identifier, data), now)
        else:
            self._succeed()

    def refused(self, refusal: Refusal, now: float) -> bool:
        if self._type != MSCHAPV2:
            self._our_keys = None
            self._send_verdict(OurState.BADAUTH)
            return False
        algorithm = ALGORITHMS_INSIDE[MSCHAPV2]
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
        self._tls = self._held = None
        code = SUCCESS if state is OurState.OPEN else FAILURE
        self.lower.send(frame.EAP, frame.packet(code, self._identifier))

    def _succeed(self) -> None:
        self._send_verdict(OurState.OPEN)
        self.lower.signal(self, Signal.ACCEPTED)

    def _fail(self, message: str, by_peer: bool) -> None:
        self._send_verdict(OurState.BADAUTH)
        self.failed(PEER_FAILED, message or "the peer was refused", by_peer)

    # both

    def timeout(self, now: float) -> None:
        if self.our_at is not None and self.our_at <= now:
            if self.transmits < self.settings.eap_max_requests:
                self._send_request(now)
            elif self.our_state is OurState.REFUSED:
                self._fail(self._refusal, False)
            elif self._tls is not None and self._tls.engine.failure:
                self._fail(f"EAP-TLS: {self._tls.engine.failure}", True)
            else:
                self.failed(PEER_FAILED, "no response to EAP Request", False)
        super().timeout(now)

    COUNTS = (*EAPPeer.COUNTS, "requests", "responses", "_type")
    OCTETS = (*EAPPeer.OCTETS, "_identity")
