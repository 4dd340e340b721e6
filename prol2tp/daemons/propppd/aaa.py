"""Who may come in: the question a link asks, and the users of the configuration file as one who answers it.

An `IAuthentication` answers with a Deferred: a `Grant`, or `Denied`. `Chain` asks several in order; other sources
(RADIUS) are one more of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import Interface, implementer

from prol2tp.config.propppd import User, user_grant
from prol2tp.daemons.propppd.authorization import of_user
from prol2tp.ppp import mppe, mschap
from prol2tp.ppp.chap import verify_md5
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.settings import Grant


class Denied(Exception):
    """No. The text is for the peer: it does not say what was wrong. `reason`, for the log, does. `error` is the number
    of an MS-CHAP failure; with `retry` the peer may try another password, where its method has that."""

    def __init__(
        self,
        message: str = "Authentication failed",
        reason: str = "",
        error: int = AUTHENTICATION_FAILURE,
        retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or message
        self.error = error
        self.retry = retry


@dataclass(slots=True)
class EapRequest:
    """Neither yes nor no: the next EAP Request to the peer, as a server has it (RFC 3579)."""

    packet: bytes
    server: str = ""
    state: bytes = b""
    """What the source that gives it wants to see again when the peer has responded: `Question.before`."""
    wait: float | None = None
    """Seconds until it is repeated; None: as the profile says."""


@dataclass(slots=True)
class EapLocal:
    """Neither yes nor no: the user is one of ours, and the methods of the profile run here."""


class Unanswered(Denied):
    """Nobody could be asked. A user who is online already stays."""


class NotMine(Exception):
    """This source does not know the user; the next one is asked."""


@dataclass(slots=True)
class Question:
    """What a peer has claimed or proved, and on which link."""

    method: str
    """As in `ppp.outputs.AskAuthentication`, as all that follows."""
    user: str
    identifier: int
    password: bytes
    challenge: bytes
    response: bytes
    renewal: bool
    link: Any
    """The `links.PPPLink`: profile, carrier, name."""
    peer_challenge: bytes = b""
    flags: int = 0
    eap: bytes = b""
    name: bytes = b""
    """The octets of `user`, which are part of what MS-CHAPv2 proves."""
    certificate: tuple[str, ...] = ()
    before: EapRequest | None = None
    """'eap' only: the Request that the peer responds to; None: it is the first Response of its exchange."""

    def __repr__(self) -> str:
        return f"<Question {self.method} {self.user!r}>"


class IAuthentication(Interface):
    """A source of users."""

    def authenticate(question: Question):
        """-> Deferred(Grant, or EapRequest or EapLocal when the method is 'eap'). Fails with `Denied`, or `NotMine`;
        this may be raised instead, at once: it costs less."""


def pap_matches(password: bytes, secret: str) -> bool:
    """RFC 1334 section 2: the password itself, compared in constant time."""
    return hmac.compare_digest(password, secret.encode())


def mschap_matches(question: Question, secret: str, grant: Grant) -> bool:
    """RFC 2433, RFC 2759. The grant gets what MS-CHAPv2 proves to the peer, and the keys for MPPE."""
    nt_hash = mschap.nt_password_hash(secret)
    if question.method == "mschapv1":
        key = mppe.start_key_v1(nt_hash, question.challenge)
        grant.mppe_send_key = grant.mppe_receive_key = key
        return mschap.verify_v1(nt_hash, question.challenge, question.response)
    parts = (question.response, question.peer_challenge, question.challenge, question.name)
    grant.authenticator_response = mschap.authenticator_response(nt_hash, *parts)
    keys = mppe.start_keys_v2(nt_hash, question.response, authenticator=True)
    grant.mppe_send_key, grant.mppe_receive_key = keys.send, keys.receive
    return mschap.verify_v2(nt_hash, *parts)


@implementer(IAuthentication)
class LocalUsers:
    """The `user` blocks of propppd.conf; `users` may be replaced at any time."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users

    def authenticate(self, question: Question) -> Deferred[Grant | EapLocal]:
        if question.method == "eap":
            # one whose exchange a server has begun stays with that server
            mine = question.user in self.users and question.before is None
            if not mine:
                raise NotMine
            return succeed(EapLocal())
        user = self.users.get(question.user)
        # an unknown name costs the same as a wrong password
        secret = user.password if user is not None else "\0"
        grant = Grant(**user_grant(user), authorization=of_user(user)) if user is not None else Grant()
        if question.method == "pap":
            matches = pap_matches(question.password, secret)
        elif question.method == "chap":
            matches = verify_md5(question.identifier, secret.encode(), question.challenge, question.response)
        elif question.method in ("mschapv1", "mschapv2"):
            matches = mschap_matches(question, secret, grant)
        elif question.method == "tls":
            return self._certified(question, user, grant)
        else:
            return fail(Denied(reason=f"local users cannot answer {question.method}"))
        if user is None:
            raise NotMine
        if not matches or not secret:
            return fail(Denied(reason="wrong password", retry=True))
        return succeed(grant)

    def _certified(self, question: Question, user: User | None, grant: Grant) -> Deferred[Grant | EapLocal]:
        """The certificate is good; is it this user's?"""
        if user is None:
            raise NotMine
        wanted = user.certificate or user.name
        if wanted not in question.certificate:
            names = ", ".join(question.certificate[:4]) or "nobody"
            return fail(Denied(reason=f"the certificate is for {names}, not for {wanted}"))
        return succeed(grant)


@implementer(IAuthentication)
class Chain:
    """Asks its sources in order until one knows the user."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = list(sources)

    def authenticate(self, question: Question) -> Deferred[Grant | EapRequest | EapLocal]:
        return self._ask(question, 0)

    def _ask(self, question: Question, index: int) -> Deferred[Grant | EapRequest | EapLocal]:
        for number, source in enumerate(self.sources[index:], index + 1):
            try:
                asked: Deferred[Any] = source.authenticate(question)
            except NotMine:
                continue
            return asked.addErrback(self._next, question, number)
        # told in the same way as a wrong password
        return fail(Denied(reason="unknown user", retry=True))

    def _next(self, failure: Any, question: Question, index: int) -> Any:
        failure.trap(NotMine)
        return self._ask(question, index)
