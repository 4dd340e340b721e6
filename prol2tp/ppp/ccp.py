"""Compression Control Protocol (RFC 1962): what packets are compressed with, for each direction, and MPPE (RFC 3078).

An option in a Configure-Request says what its sender can take: what we ask for is how the peer compresses, what we
acknowledge is how we do. One algorithm for each direction; only those that settings allow, all others are rejected.
"""

from __future__ import annotations

from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame, options
from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.lower import Lower
from prol2tp.ppp.outputs import CompressionReset
from prol2tp.ppp.settings import LinkSettings
from prol2tp.ppp.states import State

PREDICTOR_1 = 1
MPPE = 18
BSD_COMPRESS = 21
DEFLATE = 26

OPTIONS = options.table(
    #  type         name           flag          format length more   default
    (PREDICTOR_1, "Predictor-1", "predictor1", "flag", 0, False, b""),  # RFC 1978
    (MPPE, "MPPE", "mppe", "hex", 4, False, b""),  # RFC 3078: supported bits
    (BSD_COMPRESS, "BSD-Compress", "bsd", "hex", 1, False, b"\x2c"),  # RFC 1977: version(3 bits) 1, size of codes(5)
    (DEFLATE, "Deflate", "deflate", "hex", 2, False, b"\x78\x00"),  # RFC 1979: window(4) method(4) zero(6) check(2)
)
CODECS = {option.flag: option.type for option in OPTIONS.values()}
"""By the word that settings and status use."""

RESET_REQUEST = 14
RESET_ACK = 15
RESET_INTERVAL = 1.0
"""Seconds between Reset-Requests while none is answered."""

STATELESS = 0x01000000
STRENGTHS = {128: 0x40, 56: 0x80, 40: 0x20}
"""Bits of an MPPE key to their supported bit, strongest first (RFC 3078 section 2.1)."""


class CCP(Automaton):
    __slots__ = ("keyed", "required", "strengths", "_left", "_chosen", "_reset", "_reset_at")

    NAME = "CCP"
    PROTOCOL = frame.CCP
    OPTIONS = OPTIONS
    SAVED = (*Automaton.SAVED, "keyed", "required", "strengths")

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.keyed = False
        """Authentication gave keys, without which MPPE is out of the question."""
        self.required = settings.mppe_required
        """No network protocol without MPPE in both directions."""
        self.strengths: tuple[int, ...] = settings.mppe_strengths
        """Bits of keys that we let ourselves in for."""
        self._left: list[int] = []
        self._chosen = False
        self._reset: int | None = None
        self._reset_at = 0.0

    def _usable(self) -> list[int]:
        words = ("mppe",) if self.required else self.settings.codecs
        usable = [CODECS[word] for word in words if word in CODECS and word in self.settings.codecs]
        return [kind for kind in usable if kind != MPPE or (self.keyed and self._strengths())]

    def _strengths(self) -> list[int]:
        """Supported bits that we let ourselves in for, strongest first."""
        return [bit for bits, bit in STRENGTHS.items() if bits in self.strengths]

    # our wishes

    def begin(self) -> None:
        self._left = self._usable()
        self._next()

    def _next(self) -> None:
        """One at a time, best first; nothing when all were rejected: then the peer does not compress."""
        self.asked.clear()
        if self._left:
            kind = self._left.pop(0)
            self.asked[kind] = self._wish(kind)

    def _wish(self, kind: int) -> bytes:
        return (STATELESS | self._strengths()[0]).to_bytes(4, "big") if kind == MPPE else OPTIONS[kind].default

    def naked(self, kind: int, data: bytes) -> None:
        agreed = self._agree(kind, data) if OPTIONS[kind].fits(data) else None
        if agreed is not None and agreed != self.asked[kind]:
            self.asked[kind] = agreed
        else:
            self.rejected(kind)

    def rejected(self, kind: int) -> None:
        self._next()

    # the peer's wishes

    def _judge(self, wishes: list[tuple[int, bytes]]) -> tuple[int, list[tuple[int, bytes]]]:
        self._chosen = False
        return super()._judge(wishes)

    def consider(self, kind: int, data: bytes) -> bytes | None:
        if self._chosen or kind not in self._usable():
            return None
        self._chosen = True
        return self._agree(kind, data) or self._wish(kind)

    def propose(self, kind: int) -> bytes | None:
        if self._chosen or kind not in self._usable():
            return None
        self._chosen = True
        return self._wish(kind)

    def _agree(self, kind: int, data: bytes) -> bytes | None:
        """The value nearest to what the peer names that we can do; None when there is none."""
        if kind == MPPE:
            return self._agree_mppe(int.from_bytes(data, "big"))
        if kind == DEFLATE:
            # a window of 2**8 octets is beyond zlib
            return data if data[0] & 0x0F == 8 and 0x10 <= data[0] < 0x80 and data[1] & 3 == 0 else None
        if kind == BSD_COMPRESS:
            return data if data[0] >> 5 == 1 and 9 <= data[0] & 0x1F <= 15 else None
        return data

    def _agree_mppe(self, bits: int) -> bytes | None:
        strength = next((bit for bit in self._strengths() if bits & bit), 0)
        if not strength:
            return None
        stateless = STATELESS if bits & STATELESS or not self.settings.mppe_stateful else 0
        return (stateless | strength).to_bytes(4, "big")

    # what was agreed

    @property
    def sending(self) -> tuple[int, bytes] | None:
        """What we compress with: type and data of the option."""
        return next(iter(self.granted.items()), None)

    @property
    def receiving(self) -> tuple[int, bytes] | None:
        """What the peer compresses with."""
        return next(iter(self.asked.items()), None)

    @property
    def encrypts(self) -> bool:
        """Both directions are encrypted."""
        return MPPE in self.granted and MPPE in self.asked

    # resets

    def extended(self, code: int, identifier: int, data: bytes, now: float) -> bool:
        if code not in (RESET_REQUEST, RESET_ACK):
            return False
        if self.state is not State.OPENED:
            raise WireError("reset of what is not there")
        if code == RESET_REQUEST:
            if self.sending is not None:
                self.lower.queue.append(CompressionReset("send"))
                if MPPE not in self.granted:  # RFC 3078 section 7.2: the next packet itself says so
                    self._send((RESET_ACK, identifier, data))
        elif identifier == self._reset:
            self._reset = None
            self._reset_at = now
            self.lower.queue.append(CompressionReset("receive"))
        else:
            raise WireError("Reset-Ack to no request of ours")
        return True

    def request_reset(self, now: float) -> None:
        """The data path cannot decompress what comes; it says so for every packet."""
        if self.state is State.OPENED and self.receiving is not None and now >= self._reset_at:
            if self._reset is None:
                self._reset = self.lower.next_identifier()
            self._reset_at = now + RESET_INTERVAL
            self._send((RESET_REQUEST, self._reset, b""))

    # status

    @property
    def want(self) -> tuple[str, ...]:
        return tuple(word for word in self.settings.codecs if word in CODECS)

    allow = want

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self._reset = None
