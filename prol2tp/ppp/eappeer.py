"""The half of EAP in which the peer is the authenticator (RFC 3748), with the methods MD5-Challenge, MSCHAPv2, TLS."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame
from prol2tp.ppp.auth import WE_FAILED, Authentication
from prol2tp.ppp.challenge import ALGORITHMS, MD5, MSCHAPv2, read_value, value_data
from prol2tp.ppp.eappacket import (
    EAP_METHODS,
    IDENTITY,
    MD5_CHALLENGE,
    MSCHAPV2,
    NAK,
    NOTIFICATION,
    OP_CHALLENGE,
    OP_FAILURE,
    OP_RESPONSE,
    OP_SUCCESS,
    RESPONSE,
    SUCCESS,
    TLS,
    mschapv2_data,
    read_mschapv2,
)
from prol2tp.ppp.eaptls import EMPTY, START, Conversation
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.settings import LinkSettings

ALGORITHMS_INSIDE = {MD5_CHALLENGE: ALGORITHMS[MD5.name], MSCHAPV2: ALGORITHMS[MSCHAPv2.name]}
"""By type."""
_HEADERS = 5
"""Octets of an EAP packet before the type-data."""


class PeerState(Enum):
    """The peer is the authenticator."""

    CLOSED = 0
    LISTEN = 1
    ANSWERED = 2
    DONE = 3
    """The method has come to its end on our side; a Success may follow, and nothing before that."""
    OPEN = 4
    BADAUTH = 5


class EAPPeer(Authentication):
    # fmt: off
    __slots__ = (
        "peer_state", "requests_received", "responses_sent", "_received", "_heard", "_response", "_peer_type",
        "_peer_challenge", "_value", "_reason", "_peer_tls", "_peer_keys",
    )
    # fmt: on

    PROTOCOL = frame.EAP
    COUNTS: ClassVar[tuple[str, ...]] = ("requests_received", "responses_sent", "_received", "_peer_type")
    """What is saved."""
    OCTETS: ClassVar[tuple[str, ...]] = ("_heard", "_response", "_peer_challenge", "_value")

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.peer_state = PeerState.CLOSED
        self.requests_received = 0
        """Requests that came, without repetitions."""
        self.responses_sent = 0
        self._received = 0
        self._heard = b""
        self._response = b""
        self._peer_type = 0
        self._peer_challenge = b""
        self._value = b""
        self._reason = ""
        self._peer_tls: Conversation | None = None
        self._peer_keys: Keys | None = None

    def _known(self, words: tuple[str, ...]) -> list[int]:
        """Methods that can run here."""
        known = [EAP_METHODS[word] for word in words if word in EAP_METHODS]
        return known if self.settings.tls is not None else [kind for kind in known if kind != TLS]

    def _room(self) -> int:
        """Octets of type-data that a packet may have."""
        return min(self.lower.peer_mru, self.settings.mtu) - _HEADERS

    def comply(self, method: str, now: float) -> None:
        self.peer_state = PeerState.LISTEN
        self.requests_received = self.responses_sent = 0
        self._anew()
        self._wait(now)

    def stop(self) -> None:
        self.peer_state = PeerState.CLOSED
        self.peer_at = None
        self._peer_tls = None

    def _is_ours(self, challenge: bytes) -> bool:
        """It is the challenge that we have sent ourselves."""
        raise NotImplementedError

    def _anew(self) -> None:
        self._received = self._peer_type = 0
        self._heard = self._value = b""
        self._reason = ""
        self._peer_tls = self._peer_keys = None

    def _wait(self, now: float) -> None:
        """For the next Request or the verdict."""
        self.peer_at = now + self.settings.eap_timeout if self.settings.eap_timeout else None

    def _verdict_on_us(self, identifier: int) -> None:
        answered = self.peer_state in (PeerState.ANSWERED, PeerState.DONE)
        if not answered or identifier != self._response[1]:
            raise WireError("EAP verdict on no Response of ours")

    def _receive_verdict(self, code: int, identifier: int) -> None:
        self._verdict_on_us(identifier)
        if code == SUCCESS:
            self._receive_success()
        else:
            self.peer_state = PeerState.BADAUTH
            self.failed(WE_FAILED, self._reason or "the peer refuses us by EAP", True)

    def _receive_success(self) -> None:
        if self.peer_state is not PeerState.DONE:
            raise WireError("EAP Success before anything was proved")
        self.peer_state = PeerState.OPEN
        self.peer_at = None
        self._peer_tls = None
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
        allowed = self._known(self.settings.eap_allow_methods)
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
        elif kind == TLS:
            return bytes((TLS,)) + self._answer_tls(data)
        else:
            return self._answer_mschapv2(identifier, data)
        self.peer_state = PeerState.ANSWERED
        return bytes((kind,)) + answer

    def _respond(self, identifier: int, kind: int, data: bytes) -> bytes:
        challenge, _name = read_value(data)
        algorithm = ALGORITHMS_INSIDE[kind]
        algorithm.check_challenge(challenge)
        if self._is_ours(challenge):
            raise WireError("our own EAP challenge comes back: we would prove the peer's case")
        self._peer_challenge = challenge
        self._value = algorithm.respond(identifier, challenge, self.settings, self.lower.random_bytes)
        return value_data(self._value, self.settings.user.encode())

    def _answer_mschapv2(self, identifier: int, data: bytes) -> bytes | None:
        opcode, content = read_mschapv2(data)
        algorithm = ALGORITHMS_INSIDE[MSCHAPV2]
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

    def _answer_tls(self, data: bytes) -> bytes:
        tls = self._peer_tls
        if tls is None:
            if not data or not data[0] & START:
                raise WireError("EAP-TLS without a start")
            assert self.settings.tls is not None
            tls = self._peer_tls = Conversation(self.settings.tls(False))
            answer = tls.start(self._room())
        else:
            answer = tls.receive(data, self._room()) or EMPTY
        self._peer_type = TLS
        self.peer_state = PeerState.ANSWERED
        if tls.engine.failure:
            self._reason = f"EAP-TLS: {tls.engine.failure}"
        elif tls.engine.done:
            self._peer_keys = tls.keys(authenticator=False)
            self.peer_state = PeerState.DONE
        return answer

    def keys(self) -> Keys | None:
        if self._peer_keys is not None or not self._value:
            return self._peer_keys
        return ALGORITHMS_INSIDE[self._peer_type].keys(self._peer_challenge, self._value, self.settings)

    def timeout(self, now: float) -> None:
        if self.peer_at is not None and self.peer_at <= now:
            self.failed(WE_FAILED, self._reason or "EAP comes to no end", False)

    def to_record(self, now: float) -> dict[str, Any]:
        """Only in phase NETWORK: nothing is under way."""
        record = super().to_record(now)
        for name in self.COUNTS:
            record[name] = getattr(self, name)
        for name in self.OCTETS:
            record[name] = getattr(self, name).hex()
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        for name in self.COUNTS:
            setattr(self, name, record[name])
        for name in self.OCTETS:
            setattr(self, name, bytes.fromhex(record[name]))
