"""What MS-CHAP computes (RFC 2433, RFC 2759), and its texts. MD4 and DES come from pycryptodomex.

    Response value, version 1   LM-Response(24) NT-Response(24) flags(1); flags 1: the NT-Response is the one to use
    Response value, version 2   Peer-Challenge(16) zero(8) NT-Response(24) flags(1)
    Success, version 2          S=authenticator response in hex, M=message
    Failure                     E=error R=retry allowed C=new challenge V=version M=message
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha1

from Cryptodome.Cipher import DES
from Cryptodome.Hash import MD4

from prol2tp.ppp import frame

VERSION = 3
"""V of a Failure: which Change-Password packet the authenticator would take."""
ERRORS = {
    646: "restricted logon hours",
    647: "account disabled",
    648: "password expired",
    649: "no dial-in permission",
    691: "authentication failure",
    709: "error changing password",
}
AUTHENTICATION_FAILURE = 691
CHANGING_PASSWORD = 709

_MAGIC_1 = b"Magic server to client signing constant"
_MAGIC_2 = b"Pad to make it do more than one iteration"


def nt_password_hash(password: str) -> bytes:
    """RFC 2759 section 8.3: 16 octets that are as good as the password itself."""
    return MD4.new(password.encode("utf-16-le", "surrogatepass")).digest()


def hash_nt_password_hash(nt_hash: bytes) -> bytes:
    """RFC 2759 section 8.4."""
    return MD4.new(nt_hash).digest()


def account(name: bytes) -> bytes:
    """The user's name without a domain in front: the part that is hashed (RFC 2759 section 8.2)."""
    return name.rpartition(b"\\")[2]


def challenge_hash(peer_challenge: bytes, authenticator_challenge: bytes, name: bytes) -> bytes:
    """RFC 2759 section 8.2."""
    return sha1(peer_challenge + authenticator_challenge + account(name), usedforsecurity=False).digest()[:8]


def challenge_response(challenge: bytes, nt_hash: bytes) -> bytes:
    """RFC 2759 section 8.5, RFC 2433 section A.5: 24 octets.

    :param challenge: 8 octets.
    :param nt_hash: 16 octets.
    """
    key = nt_hash + bytes(5)
    return b"".join(
        DES.new(_des_key(key[start : start + 7]), DES.MODE_ECB).encrypt(challenge) for start in (0, 7, 14)
    )


def _des_key(key: bytes) -> bytes:
    """56 bits with room for a parity bit, which nobody looks at, after each seven."""
    bits = int.from_bytes(key, "big")
    return bytes((bits >> shift & 0x7F) << 1 for shift in range(49, -1, -7))


def nt_response(authenticator_challenge: bytes, peer_challenge: bytes, name: bytes, nt_hash: bytes) -> bytes:
    """RFC 2759 section 8.1."""
    return challenge_response(challenge_hash(peer_challenge, authenticator_challenge, name), nt_hash)


def authenticator_response(
    nt_hash: bytes, response: bytes, peer_challenge: bytes, authenticator_challenge: bytes, name: bytes
) -> str:
    """RFC 2759 section 8.7: `S=` and 40 hex digits, by which the authenticator shows that it knows the password too.

    :param response: the NT-Response.
    """
    digest = sha1(hash_nt_password_hash(nt_hash) + response + _MAGIC_1, usedforsecurity=False).digest()
    challenge = challenge_hash(peer_challenge, authenticator_challenge, name)
    return "S=" + sha1(digest + challenge + _MAGIC_2, usedforsecurity=False).hexdigest().upper()


def verify_v1(nt_hash: bytes, challenge: bytes, response: bytes) -> bool:
    """Whether an NT-Response of version 1 proves that its sender knows the password."""
    return hmac.compare_digest(challenge_response(challenge, nt_hash), response)


def verify_v2(
    nt_hash: bytes, response: bytes, peer_challenge: bytes, authenticator_challenge: bytes, name: bytes
) -> bool:
    """Whether an NT-Response of version 2 proves that its sender knows the password."""
    expected = nt_response(authenticator_challenge, peer_challenge, name, nt_hash)
    return hmac.compare_digest(expected, response)


def failure_text(message: str, error: int, retry: bool, challenge: bytes) -> bytes:
    """Message of a Failure (RFC 2759 section 6, RFC 2433 section 6).

    :param challenge: for the next Response when retry is allowed.
    """
    text = f"E={error} R={int(retry)} C={challenge.hex().upper()} V={VERSION}"
    return (f"{text} M={message}" if message else text).encode()[:1024]


_FAILURE = re.compile(rb"\AE=(\d{1,10})(?: R=(\d))?(?: C=([0-9A-Fa-f]*))?(?: V=(\d{1,10}))?(?: ?M=(.*))?", re.DOTALL)


def failure_reason(data: bytes) -> str:
    """The peer's Failure as one line for people. Anything may be in it."""
    match = _FAILURE.match(data[:1024])
    if match is None:
        return frame.text(data)
    error = int(match[1])
    name = ERRORS.get(error, "error")
    message = frame.text(match[5] or b"")
    return f"{message} ({name}, {error})" if message else f"{name} ({error})"


def success_message(data: bytes) -> bytes:
    """The text for people in a Success of version 2."""
    return data[42:].lstrip().removeprefix(b"M=") if data[:2] == b"S=" else b""
