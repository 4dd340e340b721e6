"""The table of authentication protocols, and what they have in common."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings


class Method(NamedTuple):
    """One way of proving who one is."""

    name: str
    protocol: int
    option: bytes
    """Data of LCP's Authentication-Protocol option (RFC 1661 section 6.2)."""


PEER_METHODS = {
    method.name: method
    for method in (
        Method("pap", frame.PAP, b"\xc0\x23"),
        Method("chap", frame.CHAP, b"\xc2\x23\x05"),  # MD5, RFC 1994
        Method("mschapv1", frame.CHAP, b"\xc2\x23\x80"),  # RFC 2433
        Method("mschapv2", frame.CHAP, b"\xc2\x23\x81"),  # RFC 2759
        Method("eap", frame.EAP, b"\xc2\x27"),  # RFC 3748
    )
}
"""All methods that a link can demand or answer, by the word that settings and status use."""

_BY_OPTION = {method.option: method for method in PEER_METHODS.values()}


def method_of(option: bytes) -> Method | None:
    """The method that an Authentication-Protocol option asks for; None when we do not have it."""
    return _BY_OPTION.get(option)


PEER_FAILED = "Authentication Failed"
WE_FAILED = "Authentication To Peer Failed"


class Refusal(NamedTuple):
    """No, and how the peer is told."""

    message: str
    error: int = AUTHENTICATION_FAILURE
    """Number of an MS-CHAP failure."""
    retry: bool = False
    """The peer may try another password, where the method has that."""


class Proof(NamedTuple):
    """What the peer has answered to another end's question (RFC 2661 section 4.4.5)."""

    identifier: int
    name: bytes
    challenge: bytes
    """Empty for PAP and EAP."""
    response: bytes
    """PAP: the password; CHAP: Value of the Response; EAP: the whole Response."""


class Asking:
    """The question to the shell that is open, at most one: answers carry no name. When the link starts anew while one
    is open, its answer does not matter any more, and the next question is kept back until that answer has come."""

    __slots__ = ("question", "_stale", "_next")

    def __init__(self) -> None:
        self.question: AskAuthentication | None = None
        self._stale = False
        self._next: AskAuthentication | None = None

    def ask(self, question: AskAuthentication) -> AskAuthentication | None:
        """What to ask the shell now."""
        if self.question is not None:
            self._next = question
            return None
        self.question = question
        return question

    @property
    def matters(self) -> bool:
        return self.question is not None and not self._stale

    def forget(self) -> None:
        """No answer matters any more."""
        self._next = None
        self._stale = self.question is not None

    def answered(self) -> tuple[AskAuthentication | None, AskAuthentication | None]:
        """The question that the answer is for, None when it does not matter; and what to ask next."""
        question, stale = self.question, self._stale
        self.question, self._next = self._next, None
        self._stale = False
        return None if stale else question, self.question


class Authentication:
    """One authentication protocol on one link, in both roles: `demand` makes us the authenticator, `comply` the one
    who is asked. Signals: ASK (then `accepted` or `refused` is the answer), ACCEPTED, PROVED, FAILED."""

    __slots__ = ("lower", "settings", "our_at", "peer_at", "transmits", "_identifier", "_verdict")

    PROTOCOL: ClassVar[int]
    our_state: Any
    peer_state: Any

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        self.lower = lower
        self.settings = settings
        self.our_at: float | None = None
        """Deadline of the exchange in which we are the authenticator."""
        self.peer_at: float | None = None
        """Deadline of the one in which the peer is."""
        self.transmits = 0
        self._identifier = 0
        self._verdict = b""
        """The text of our Ack or Nak: repeated requests get the same."""

    def demand(self, method: str, now: float) -> None:
        raise NotImplementedError

    def proxied(self, method: str, proof: Proof, now: float) -> bool:
        """The peer has given its proof to another end, which has handed it to us: ask about it, in place of `demand`.
        False: it is none."""
        try:
            self._take_proof(method, proof, now)
        except WireError:
            self.stop()
            return False
        return True

    def _take_proof(self, method: str, proof: Proof, now: float) -> None:
        """Raises `WireError` for a proof that the method cannot have."""
        raise NotImplementedError

    def count_from(self, identifier: int) -> None:
        """Our next packet has the identifier after this one."""
        self._identifier = identifier & 0xFF

    def comply(self, method: str, now: float) -> None:
        raise NotImplementedError

    def accepted(self, grant: Grant, now: float) -> None:
        """ACCEPTED is signalled now, or when the peer has confirmed it."""
        raise NotImplementedError

    def refused(self, refusal: Refusal, now: float) -> bool:
        """Whether the exchange goes on: the peer may try again, or is to confirm."""
        raise NotImplementedError

    def unanswered(self, now: float) -> None:
        """Nobody could judge the proof of a peer that is in already: it stays."""
        raise NotImplementedError

    def keys(self) -> Keys | None:
        """MPPE start keys from the exchange in which the peer is the authenticator."""
        return None

    def keys_as_authenticator(self) -> Keys | None:
        """... from the one in which we are, when the method and not the grant has them."""
        return None

    def stop(self) -> None:
        """The link leaves the phases in which authentication may pass."""
        raise NotImplementedError

    def receive(self, information: bytes, now: float) -> None:
        """Raises `WireError` for a packet to be discarded."""
        raise NotImplementedError

    def timeout(self, now: float) -> None:
        raise NotImplementedError

    def to_record(self, now: float) -> dict[str, Any]:
        return {
            "our_state": self.our_state.name,
            "peer_state": self.peer_state.name,
            "our": None if self.our_at is None else self.our_at - now,
            "peer": None if self.peer_at is None else self.peer_at - now,
            "transmits": self.transmits,
            "identifier": self._identifier,
            "verdict": self._verdict.hex(),
        }

    def restore(self, record: dict[str, Any], now: float) -> None:
        self.our_state = type(self.our_state)[record["our_state"]]
        self.peer_state = type(self.peer_state)[record["peer_state"]]
        self.our_at = None if record["our"] is None else now + record["our"]
        self.peer_at = None if record["peer"] is None else now + record["peer"]
        self.transmits = record["transmits"]
        self._identifier = record["identifier"]
        self._verdict = bytes.fromhex(record["verdict"])

    def failed(self, cause: str, message: str, by_peer: bool) -> None:
        self.our_at = self.peer_at = None
        self.lower.signal(self, Signal.FAILED, (cause, message, by_peer))
