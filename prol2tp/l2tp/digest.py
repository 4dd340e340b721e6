"""Control Message Authentication of L2TPv3: the Message Digest AVP (RFC 3931 sections 4.3 and 5.4.1), and the key of
hidden AVPs (section 5.3).

Every message carries a digest right after its Message Type: of the header, with Ns and Nr, and all AVPs, where the
digest itself stands as zeros. So it is filled in when the header is written, for every transmission anew. A secret of
no octets authenticates nobody; the digest is then a check for damage, which every message may carry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from hmac import compare_digest
from hmac import digest as hmac_digest

from prol2tp.common.wire import WireError
from prol2tp.l2tp.avp import HEADER, HEADER_LENGTH, HIDDEN, LENGTH, MANDATORY
from prol2tp.l2tp.avptable import BY_FIELD
from prol2tp.l2tp.header import CONTROL_LENGTH
from prol2tp.l2tp.layout import MESSAGE_TYPE_LENGTH

HMAC_MD5 = 0
HMAC_SHA_1 = 1
"""Digest Types."""

MOST_SECRETS = 2
"""Secrets that may hold at once while one takes the other's place, and digests that a message may have."""

_HASHES = {HMAC_MD5: ("md5", 16), HMAC_SHA_1: ("sha1", 20)}
_BLOCK = 64
"""Octets that both hashes take at once."""
_INNER, _OUTER = bytes(octet ^ 0x36 for octet in range(256)), bytes(octet ^ 0x5C for octet in range(256))
"""RFC 2104 section 2, as translations of the key."""
_FIRST = CONTROL_LENGTH + MESSAGE_TYPE_LENGTH
_VALUE = HEADER_LENGTH + 1
_DIGEST = BY_FIELD["message_digest"].type
_NONCE = BY_FIELD["control_message_authentication_nonce"].type
_LONE = {HEADER.pack(MANDATORY | _VALUE + size, 0, _DIGEST) + bytes((number,)): (name, size)
         for number, (name, size) in _HASHES.items()}
"""The octets before a digest as nearly all messages have it."""
_ANOTHER = HEADER.pack(0, 0, _DIGEST)[2:]
_SCCRQ = b"\x00\x01"
_SCCRP = b"\x00\x02"
_REQUESTS = frozenset({_SCCRQ, _SCCRP})
"""Messages of which no nonce, or one of them, is known before."""


class DigestError(WireError):
    """A control message to drop unread: its digest is wrong or, where there is a secret, missing."""


def hiding_key(secret: bytes) -> bytes:
    """The key of hidden AVPs (section 5.3), in place of the secret itself that version 2 uses."""
    return hmac_digest(secret, b"\x01", "md5")


def authentication_key(secret: bytes) -> bytes:
    """The key of digests (section 5.4.1)."""
    return hmac_digest(secret, b"\x02", "md5")


Keyed = Callable[[bytes, bytes], bytes]
"""HMAC of two pieces of one text."""


@lru_cache(maxsize=128)
def _keys(secret: bytes) -> tuple[dict[str, Keyed], bytes]:
    """Of each hash what makes digests, and the key of hidden AVPs, empty where there is no secret."""
    key = authentication_key(secret)
    return {name: _keyed(key, name) for name, _ in _HASHES.values()}, hiding_key(secret) if secret else b""


def _keyed(key: bytes, name: str) -> Keyed:
    """HMAC with the key's part done once: it is half of the work for a message."""
    block = key.ljust(_BLOCK, b"\0")
    inner = hashlib.new(name, block.translate(_INNER)).copy
    outer = hashlib.new(name, block.translate(_OUTER)).copy

    def digest(first: bytes, second: bytes) -> bytes:
        text, whole = inner(), outer()
        text.update(first)
        text.update(second)
        whole.update(text.digest())
        return whole.digest()

    return digest


class Digests:
    """The digests of one control connection.

    :param secrets: the shared secret; while it is being changed the new one and the old one, and every message gets a
        digest for each. `(b"",)` for a check of integrity alone.
    :param digest_type: what we send; a peer may use either.
    :ivar local_nonce: the nonce that we advertised to the peer, `remote_nonce` what it advertised; empty until then.
    :ivar hiding_key: of the first secret, empty where it is: nothing is hidden without authentication.
    """

    __slots__ = ("digest_type", "local_nonce", "remote_nonce", "required", "hiding_key", "_keys")

    def __init__(self, secrets: tuple[bytes, ...] = (b"",), digest_type: int = HMAC_MD5) -> None:
        if not 1 <= len(secrets) <= MOST_SECRETS or digest_type not in _HASHES:
            raise ValueError(f"{len(secrets)} secrets, digest type {digest_type}")
        if len(secrets) > 1 and b"" in secrets:
            raise ValueError("beside no secret, a secret would protect nothing")
        self.digest_type = digest_type
        self.local_nonce = b""
        self.remote_nonce = b""
        self.required = secrets != (b"",)
        self._keys = [_keys(secret) for secret in secrets]
        self.hiding_key = self._keys[0][1]

    def blank(self, mandatory: bool = True) -> bytes:
        """The digest AVPs as zeros, for `encode`.

        :param mandatory: False in an SCCRQ of version 2 (section 4.7.3).
        """
        size = _HASHES[self.digest_type][1]
        bits = (MANDATORY if mandatory else 0) | _VALUE + size
        return (HEADER.pack(bits, 0, _DIGEST) + bytes((self.digest_type,)) + bytes(size)) * len(self._keys)

    def seal(self, message: bytes) -> bytes:
        """The message, header and body, with the digests filled in that `blank` left room for."""
        told = self.required and message[_FIRST - 2:_FIRST] != _SCCRQ
        nonces = self.local_nonce + self.remote_nonce if told else b""
        name, size = _HASHES[self.digest_type]
        if len(self._keys) == 1:
            start = _FIRST + _VALUE
            return message[:start] + self._keys[0][0][name](nonces, message) + message[start + size:]
        sealed, position = message[:_FIRST], _FIRST
        for keyed, _ in self._keys:
            start, end = position + _VALUE, position + _VALUE + size
            sealed += message[position:start] + keyed[name](nonces, message)
            position = end
        return sealed + message[position:]

    def check(self, message: bytes) -> bytes:
        """Let the message pass, header and body, if one of its digests is right.

        The peer's nonce is read from SCCRP itself, as nothing told it before; the owner keeps it when it passed.

        :return: the key of what this message hides, empty where nothing may be hidden.
        :raises DigestError: before anything else in the message was believed.
        """
        if not self.required and message[_FIRST + 2:_FIRST + HEADER_LENGTH] != _ANOTHER:
            return b""
        found, blanked = _find(message)
        if not found:
            if self.required:
                raise DigestError("the Message Digest is missing")
            return b""
        nonces = self._nonces(message)
        for name, digest in found:
            for keyed, hiding in self._keys:
                if compare_digest(keyed[name](nonces, blanked), digest):
                    return hiding
        raise DigestError("the Message Digest is wrong")

    def _nonces(self, message: bytes) -> bytes:
        if not self.required:
            return b""
        number = message[_FIRST - 2:_FIRST]
        if number not in _REQUESTS:
            return self.remote_nonce + self.local_nonce
        nonce = _nonce_in(message)
        if not nonce:
            raise DigestError("the Control Message Authentication Nonce is missing")
        return nonce + self.local_nonce if number == _SCCRP else b""


def _find(message: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The digests, each with the name of its hash, and the message with zeros in their place.

    A hidden one, one of an unknown type or of a length that is not its type's is none that could be right: where it
    stands alone it counts as wrong.
    """
    lone = _LONE.get(message[_FIRST:_FIRST + _VALUE])
    if lone is not None:
        name, size = lone
        start, end = _FIRST + _VALUE, _FIRST + _VALUE + size
        if len(message) >= end and message[end + 2:end + HEADER_LENGTH] != _ANOTHER:
            return [(name, message[start:end])], message[:start] + bytes(size) + message[end:]
    found: list[tuple[str, bytes]] = []
    blanked, position = message, _FIRST
    for _ in range(MOST_SECRETS):
        if position + _VALUE > len(message):
            break
        bits, vendor, attribute = HEADER.unpack_from(message, position)
        end = position + (bits & LENGTH)
        start = position + _VALUE
        if vendor or attribute != _DIGEST or not start <= end <= len(message):
            break
        name, size = _HASHES.get(message[start - 1], ("md5", 0))
        right = size == end - start and not bits & HIDDEN
        found.append((name, message[start:end] if right else b""))
        blanked = blanked[:start] + bytes(end - start) + blanked[end:]
        position = end
    return found, blanked


def _nonce_in(message: bytes) -> bytes:
    position, end = _FIRST, len(message)
    while position + HEADER_LENGTH <= end:
        bits, vendor, attribute = HEADER.unpack_from(message, position)
        length = bits & LENGTH
        if length < HEADER_LENGTH:
            break
        if not vendor and attribute == _NONCE and not bits & HIDDEN:
            return message[position + HEADER_LENGTH:position + length]
        position += length
    return b""
