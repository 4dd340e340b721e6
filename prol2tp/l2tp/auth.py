"""What the shared secret of a tunnel is good for: the challenge response (RFC 2661 section 5.1.1) and the key
stream of hidden AVPs (section 4.3). Both are MD5, as the RFC wants them; neither protects more than it says.
"""

from __future__ import annotations

from hashlib import md5
from hmac import compare_digest

SCCRP_IDENTIFIER = 2
"""The ID octet of a Challenge Response in SCCRP: the message type of SCCRP (section 4.4.3)."""
SCCCN_IDENTIFIER = 3
"""The same in SCCCN."""

_BLOCK = 16


def challenge_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """The 16 octets of the Challenge Response AVP: MD5(identifier, secret, challenge).

    :param identifier: the message type of the message that carries the response, 2 or 3.
    """
    return md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False).digest()


def response_is_right(identifier: int, secret: bytes, challenge: bytes, response: bytes | None) -> bool:
    """Whether the peer answered our challenge with our secret; None (no answer) never does. Constant time."""
    right = challenge_response(identifier, secret, challenge)
    return response is not None and compare_digest(right, response)


def hide(attribute: int, value: bytes, secret: bytes, random_vector: bytes) -> bytes:
    """The Hidden AVP Subformat `value` (length, original value, padding), enciphered (section 4.3)."""
    blocks = []
    seed = attribute.to_bytes(2, "big") + secret + random_vector
    for start in range(0, len(value), _BLOCK):
        block = _xor(value[start:start + _BLOCK], md5(seed, usedforsecurity=False).digest())
        blocks.append(block)
        seed = secret + block
    return b"".join(blocks)


def reveal(attribute: int, value: bytes, secret: bytes, random_vector: bytes) -> bytes:
    """The inverse of `hide`."""
    blocks = []
    seed = attribute.to_bytes(2, "big") + secret + random_vector
    for start in range(0, len(value), _BLOCK):
        block = value[start:start + _BLOCK]
        blocks.append(_xor(block, md5(seed, usedforsecurity=False).digest()))
        seed = secret + block
    return b"".join(blocks)


def _xor(block: bytes, key: bytes) -> bytes:
    size = len(block)
    return (int.from_bytes(block, "big") ^ int.from_bytes(key[:size], "big")).to_bytes(size, "big")
