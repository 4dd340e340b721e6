"""What CCP has agreed on (RFC 1962), carried out on the packets of one port.

Packets of protocols up to 0x3FFF are compressed; all others, CCP among them, pass as they are. The codecs are those of
`ppp.compress`. Of CCP itself two packets are overheard, because others follow at their heels: a Configure-Ack, after
which compressed packets may come before our daemon has had its say, and a Reset-Ack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from prol2tp.common.wire import WireError
from prol2tp.dataplane.interface import INVALID, UNSUPPORTED, DataPathError
from prol2tp.ppp import compress

COMPRESSED, CCP = 0x00FD, 0x80FD
INDIVIDUAL = 0x00FB
"""A compressed packet of one link of a bundle."""
CONFIGURE_ACK, RESET_ACK = b"\x02", b"\x0f"

HELD_MAX = 4
HOLD = 1.0
"""Seconds after a Configure-Ack in which compressed packets wait for their codec."""
REPORT_INTERVAL = 1.0
"""Seconds between two reports that packets cannot be read; the first of a new trouble comes at once."""


class Compressor(Protocol):
    """See `ppp.compress`."""

    def compress(self, protocol: int, information: bytes) -> bytes | None: ...

    def reset(self) -> None: ...


class Decompressor(Protocol):
    """See `ppp.compress`."""

    def decompress(self, information: bytes) -> bytes: ...

    def passed(self, protocol: int, information: bytes) -> None: ...

    def reset(self) -> None: ...


def _deflate(option: bytes) -> tuple[int]:
    """RFC 1979 section 3: log2 of the window, less 8, in the upper half of the first octet."""
    if len(option) != 2 or option[0] & 0x0F != 8 or not 0x10 <= option[0] < 0x80:
        raise DataPathError(INVALID, f"option {option.hex()!r} is none of deflate")
    return ((option[0] >> 4) + 8,)


def _predictor1(option: bytes) -> tuple[()]:
    if option:
        raise DataPathError(INVALID, f"option {option.hex()!r} is none of predictor1")
    return ()


CODECS: dict[str, tuple[Callable[..., Compressor], Callable[..., Decompressor], Callable[[bytes], tuple], int]] = {
    "deflate": (compress.DeflateCompressor, compress.DeflateDecompressor, _deflate, 0),
    "predictor1": (compress.Predictor1Compressor, compress.Predictor1Decompressor, _predictor1, 5),
}
"""By the word: what is made for each direction, the arguments that the data of its option give, and by how many octets
a packet may grow."""


def compressible(protocol: int) -> bool:
    """Network-layer packets that are not compressed already (RFC 1979 section 2, RFC 1978 section 3)."""
    return 0 < protocol < 0x4000 and protocol not in (COMPRESSED, INDIVIDUAL)


class Compression:
    """Codecs of one port. None: nothing is compressed in that direction."""

    __slots__ = ("compressor", "decompressor", "expansion", "report", "reported_at", "acknowledged_at", "held")

    def __init__(self) -> None:
        self.compressor: Compressor | None = None
        self.decompressor: Decompressor | None = None
        self.expansion = 0
        """Octets by which a packet that we send may grow."""
        self.report: Callable[[], Any] | None = None
        self.reported_at = float("-inf")
        self.acknowledged_at = float("-inf")
        self.held: list[bytes] = []
        """Frames of compressed packets that came before their codec."""

    def set(self, send: str, receive: str, send_option: bytes, receive_option: bytes,
            report: Callable[[], Any]) -> None:
        """Both directions anew. Raises `DataPathError` and leaves all as it was."""
        for word in (send, receive):
            if word and word not in CODECS:
                raise DataPathError(UNSUPPORTED, f"this data path has no codec {word!r}")
        compressor, decompressor, expansion = None, None, 0
        if send:
            make_compressor, _, arguments, expansion = CODECS[send]
            compressor = make_compressor(*arguments(send_option))
        if receive:
            _, make_decompressor, arguments, _ = CODECS[receive]
            decompressor = make_decompressor(*arguments(receive_option))
        self.compressor, self.decompressor, self.expansion = compressor, decompressor, expansion
        self.report = report
        self.reported_at = float("-inf")

    def overhear(self, packet: bytes, now: float) -> None:
        """A CCP packet of the peer that is on its way to our daemon."""
        code = packet[:1]
        if code == RESET_ACK:
            if self.decompressor is not None:
                self.decompressor.reset()
                self.reported_at = float("-inf")
        elif code == CONFIGURE_ACK and self.decompressor is None:
            self.acknowledged_at = now
            self.held = []

    def holds(self, frame: bytes, now: float) -> bool:
        """Whether a compressed packet is kept until its codec comes."""
        if now - self.acknowledged_at > HOLD or len(self.held) >= HELD_MAX:
            return False
        self.held.append(frame)
        return True

    def unreadable(self, now: float) -> None:
        """A packet could not be decompressed: tell the owner, not for each of them."""
        if now - self.reported_at >= REPORT_INTERVAL and self.report is not None:
            self.reported_at = now
            self.report()

    def decompress(self, information: bytes, now: float) -> bytes | None:
        """Protocol number and information; None: it cannot be read, which is reported."""
        assert self.decompressor is not None
        try:
            return self.decompressor.decompress(information)
        except WireError:
            self.unreadable(now)
            return None
