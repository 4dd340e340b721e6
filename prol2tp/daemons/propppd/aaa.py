"""Who may come in: the question a link asks, and the users of the configuration file as one who answers it.

An `IAuthentication` answers with a Deferred: a `Grant`, or `Denied`. `Chain` asks several in order; other sources
(RADIUS) are one more of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import Interface, implementer

from prol2tp.config.propppd import User, user_grant
from prol2tp.ppp.chap import verify_md5
from prol2tp.ppp.settings import Grant


class Denied(Exception):
    """No. The text is for the peer: it does not say what was wrong. `reason`, for the log, does."""

    def __init__(self, message: str = "Authentication failed", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or message


class NotMine(Exception):
    """This source does not know the user; the next one is asked."""


@dataclass(slots=True)
class Question:
    """What a peer has claimed or proved, and on which link."""

    method: str
    """'pap' or 'chap'."""
    user: str
    identifier: int
    password: bytes
    challenge: bytes
    response: bytes
    renewal: bool
    link: Any
    """The `links.PPPLink`: profile, carrier, name."""

    def __repr__(self) -> str:
        return f"<Question {self.method} {self.user!r}>"


class IAuthentication(Interface):
    """A source of users."""

    def authenticate(question: Question):
        """-> Deferred(Grant). Fails with `Denied`, or `NotMine`."""


def pap_matches(password: bytes, secret: str) -> bool:
    """RFC 1334 section 2: the password itself, compared in constant time."""
    return hmac.compare_digest(password, secret.encode())


@implementer(IAuthentication)
class LocalUsers:
    """The `user` blocks of propppd.conf; `users` may be replaced at any time."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users

    def authenticate(self, question: Question) -> Deferred[Grant]:
        user = self.users.get(question.user)
        # an unknown name costs the same as a wrong password
        secret = user.password if user is not None else "\0"
        if question.method == "pap":
            matches = pap_matches(question.password, secret)
        elif question.method == "chap":
            matches = verify_md5(question.identifier, secret.encode(), question.challenge, question.response)
        else:
            return fail(Denied(reason=f"local users cannot answer {question.method}"))
        if user is None:
            return fail(NotMine())
        if not matches or not secret:
            return fail(Denied(reason="wrong password"))
        return succeed(Grant(**user_grant(user)))


@implementer(IAuthentication)
class Chain:
    """Asks its sources in order until one knows the user."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = list(sources)

    def authenticate(self, question: Question) -> Deferred[Grant]:
        return self._ask(question, 0)

    def _ask(self, question: Question, index: int) -> Deferred[Grant]:
        if index >= len(self.sources):
            return fail(Denied(reason="unknown user"))

        def failed(failure: Any) -> Any:
            failure.trap(NotMine)
            return self._ask(question, index + 1)

        return maybeDeferred(self.sources[index].authenticate, question).addErrback(failed)
