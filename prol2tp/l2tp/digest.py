"""Control Message Authentication of L2TPv3: the Message Digest AVP (RFC 3931 sections 4.3 and 5.4.1), and the key of
hidden AVPs (section 5.3).

Every message carries a digest right after its Message Type: of the header, with Ns and Nr, and all AVPs, where the
digest itself stands as zeros. So it is filled in when the header is written, for every transmission anew. A secret of
no octets authenticates nobody; the digest is then a check for damage, which every message may carry.
"""

from __future__ import annotations

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
_FIRST = CONTROL_LENGTH + MESSAGE_TYPE_LENGTH
_VALUE = HEADER_LENGTH + 1
_DIGEST = BY_FIELD["message_digest"].type
_NONCE = BY_FIELD["control_message_authentication_nonce"].type
_SCCRQ = b"\x00\x01"
_SCCRP = b"\x00\x02"


class DigestError(WireError):
    """A control message to drop unread: its digest is wrong or, where there is a secret, missing."""


def hiding_key(secret: bytes) -> bytes:
    """The key of hidden AVPs (section 5.3), in place of the secret itself that version 2 uses."""
    return hmac_digest(secret, b"\x01", "md5")


def authentication_key(secret: bytes) -> bytes:
    """The key of digests (section 5.4.1)."""
    return hmac_digest(secret, b"\x02", "md5")


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
        self._keys = [(authentication_key(secret), hiding_key(secret) if secret else b"") for secret in secrets]
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
        told = self.required and _type_of(message) != _SCCRQ
        nonces = self.local_nonce + self.remote_nonce if told else b""
        name, size = _HASHES[self.digest_type]
        sealed, position = message[:_FIRST], _FIRST
        for key, _ in self._keys:
            start, end = position + _VALUE, position + _VALUE + size
            sealed += message[position:start] + hmac_digest(key, nonces + message, name)
            position = end
        return sealed + message[position:]

    def check(self, message: bytes) -> bytes:
        """Let the message pass, header and body, if one of its digests is right.

        The peer's nonce is read from SCCRP itself, as nothing told it before; the owner keeps it when it passed.

        :return: the key of what this message hides, empty where nothing may be hidden.
        :raises DigestError: before anything else in the message was believed.
        """
        found, blanked = _find(message)
        if not found:
            if self.required:
                raise DigestError("the Message Digest is missing")
            return b""
        signed = self._nonces(message) + blanked
        for name, digest in found:
            for key, hiding in self._keys:
                if compare_digest(hmac_digest(key, signed, name), digest):
                    return hiding
        raise DigestError("the Message Digest is wrong")

    def _nonces(self, message: bytes) -> bytes:
        if not self.required:
            return b""
        number = _type_of(message)
        if number not in {_SCCRQ, _SCCRP}:
            return self.remote_nonce + self.local_nonce
        nonce = _nonce_in(message)
        if not nonce:
            raise DigestError("the Control Message Authentication Nonce is missing")
        return nonce + self.local_nonce if number == _SCCRP else b""


def _type_of(message: bytes) -> bytes:
    return message[_FIRST - 2:_FIRST]


def _find(message: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The digests, each with the name of its hash, and the message with zeros in their place.

    A hidden one, one of an unknown type or of a length that is not its type's is none that could be right: where it
    stands alone it counts as wrong.
    """
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
