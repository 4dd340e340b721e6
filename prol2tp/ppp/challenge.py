"""The algorithms that answer a challenge: MD5 (RFC 1994), MS-CHAP (RFC 2433), MS-CHAPv2 (RFC 2759). CHAP and EAP
carry them alike."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import md5
from typing import ClassVar

from prol2tp.common.wire import Reader, WireError
from prol2tp.ppp import mppe, mschap
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings

USE_NT_RESPONSE = 1
"""Flags of a Response of MS-CHAPv1."""


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


class MD5:
    """The Value of a Response is one digest; Success and Failure are texts. The base of the other two."""

    name: ClassVar[str] = "chap"
    challenge_length: ClassVar[int] = 16
    """Of ours."""
    proves_both: ClassVar[bool] = False
    """A Success proves that the authenticator knows the password too."""
    retries: ClassVar[bool] = False
    """A Failure may carry a new challenge."""

    def check_challenge(self, challenge: bytes) -> None:
        """Raises `WireError` for a challenge that the algorithm cannot have sent."""

    def question(self, identifier: int, challenge: bytes, value: bytes, name: bytes) -> AskAuthentication:
        """What to ask the shell about a Response. Raises `WireError` for a Value of another shape."""
        return AskAuthentication(self.name, name, identifier, challenge=challenge, response=value)

    def success(self, grant: Grant) -> bytes:
        """Message of our Success."""
        return grant.message.encode()[:1024]

    def failure(self, message: str, error: int, retry: bool, challenge: bytes) -> bytes:
        """Message of our Failure."""
        return message.encode()[:1024]

    def respond(
        self, identifier: int, challenge: bytes, settings: LinkSettings, random_bytes: Callable[[int], bytes]
    ) -> bytes:
        """Value of our Response."""
        return md5_response(identifier, settings.password.encode(), challenge)

    def proves(self, success: bytes, challenge: bytes, value: bytes, settings: LinkSettings) -> bool:
        """Whether the peer's Success is by one who knows our password; MD5 cannot tell.

        :param value: that of our Response.
        """
        return True

    def message(self, success: bytes) -> bytes:
        """The text for people in a Success."""
        return success

    def reason(self, failure: bytes) -> str:
        """The text for people in a Failure."""
        return mschap.failure_reason(failure)

    def keys(self, challenge: bytes, value: bytes, settings: LinkSettings) -> mppe.Keys | None:
        """MPPE start keys, as the one who has responded."""
        return None


class MSCHAPv1(MD5):
    """Only for peers that have nothing better: it proves the peer to us, never us to the peer, and its digest can be
    searched for the password."""

    name = "mschapv1"
    challenge_length = 8
    retries = True

    def check_challenge(self, challenge: bytes) -> None:
        if len(challenge) != self.challenge_length:
            raise WireError(f"{self.name} challenge of {len(challenge)} octets")

    def question(self, identifier: int, challenge: bytes, value: bytes, name: bytes) -> AskAuthentication:
        if len(value) != 49:
            raise WireError(f"{self.name} response of {len(value)} octets")
        # RFC 2433 section 5: without this flag the LM-Response is meant, which proves next to nothing: no NT-Response
        # then, which is never right
        response = value[24:48] if value[48] == USE_NT_RESPONSE else b""
        return AskAuthentication(
            self.name, name, identifier, challenge=challenge, response=response, flags=value[48]
        )

    def failure(self, message: str, error: int, retry: bool, challenge: bytes) -> bytes:
        return mschap.failure_text(message, error, retry, challenge)

    def respond(
        self, identifier: int, challenge: bytes, settings: LinkSettings, random_bytes: Callable[[int], bytes]
    ) -> bytes:
        nt_hash = mschap.nt_password_hash(settings.password)
        return bytes(24) + mschap.challenge_response(challenge, nt_hash) + bytes((USE_NT_RESPONSE,))

    def keys(self, challenge: bytes, value: bytes, settings: LinkSettings) -> mppe.Keys | None:
        key = mppe.start_key_v1(mschap.nt_password_hash(settings.password), challenge)
        return mppe.Keys(key, key)


class MSCHAPv2(MSCHAPv1):
    """Both ends prove that they know the password."""

    name = "mschapv2"
    proves_both = True
    challenge_length = 16

    def question(self, identifier: int, challenge: bytes, value: bytes, name: bytes) -> AskAuthentication:
        if len(value) != 49:
            raise WireError(f"{self.name} response of {len(value)} octets")
        return AskAuthentication(
            self.name,
            name,
            identifier,
            challenge=challenge,
            response=value[24:48],
            peer_challenge=value[:16],
            flags=value[48],
        )

    def success(self, grant: Grant) -> bytes:
        said = grant.authenticator_response
        if len(said) != 42 or not said.startswith("S="):
            raise ValueError("a grant for MS-CHAPv2 needs its authenticator_response")
        return f"{said} M={grant.message}".encode()[:1024]

    def respond(
        self, identifier: int, challenge: bytes, settings: LinkSettings, random_bytes: Callable[[int], bytes]
    ) -> bytes:
        peer_challenge = random_bytes(16)
        nt_hash = mschap.nt_password_hash(settings.password)
        response = mschap.nt_response(challenge, peer_challenge, settings.user.encode(), nt_hash)
        return peer_challenge + bytes(8) + response + b"\0"

    def proves(self, success: bytes, challenge: bytes, value: bytes, settings: LinkSettings) -> bool:
        nt_hash = mschap.nt_password_hash(settings.password)
        expected = mschap.authenticator_response(
            nt_hash, value[24:48], value[:16], challenge, settings.user.encode()
        )
        return hmac.compare_digest(expected.encode(), success[:42].upper())

    def message(self, success: bytes) -> bytes:
        return mschap.success_message(success)

    def keys(self, challenge: bytes, value: bytes, settings: LinkSettings) -> mppe.Keys | None:
        nt_hash = mschap.nt_password_hash(settings.password)
        return mppe.start_keys_v2(nt_hash, value[24:48], authenticator=False)


ALGORITHMS: dict[str, MD5] = {algorithm.name: algorithm for algorithm in (MD5(), MSCHAPv1(), MSCHAPv2())}
"""By the word that settings and status use."""
