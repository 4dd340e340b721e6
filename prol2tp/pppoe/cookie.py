"""AC-Cookie without memory (RFC 2516 appendix A): who asked, where and when, signed.

    | time, seconds (32) | nonce (64) | HMAC-SHA-256, first 128 bits |

The nonce makes two requests of one host differ, so that a PADR tells whether it is a copy. Whoever makes a PADO gives
a random one.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from struct import Struct

SECRET_LENGTH = 32
NONCE_LENGTH = 8
LENGTH = 28

_STAMP = Struct("!I")
_STAMP_MASK = 0xFFFFFFFF


def make(secret: bytes, mac: bytes, interface: str, vids: Sequence[int], nonce: bytes, now: float) -> bytes:
    """The cookie of a PADO to `mac`. `now` in seconds, of the clock that `check` is given."""
    stamp = _STAMP.pack(int(now) & _STAMP_MASK)
    return stamp + nonce + _digest(secret, stamp + nonce, mac, interface, vids)


def check(cookie: bytes, secret: bytes, mac: bytes, interface: str, vids: Sequence[int], lifetime: float,
          now: float) -> bool:
    """Whether we gave this cookie to this host, at this place, at most `lifetime` seconds ago."""
    if len(cookie) != LENGTH:
        return False
    head = cookie[: _STAMP.size + NONCE_LENGTH]
    if not hmac.compare_digest(cookie[len(head) :], _digest(secret, head, mac, interface, vids)):
        return False
    return (int(now) - _STAMP.unpack_from(cookie)[0]) & _STAMP_MASK <= lifetime


def _digest(secret: bytes, head: bytes, mac: bytes, interface: str, vids: Sequence[int]) -> bytes:
    # every part but the last has a fixed length: no two places give the same text
    place = b"".join([bytes((len(vids),)), *(vid.to_bytes(2, "big") for vid in vids), interface.encode()])
    return hmac.digest(secret, head + mac + place, "sha256")[: LENGTH - len(head)]
