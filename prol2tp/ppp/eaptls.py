"""EAP-TLS (RFC 5216; with TLS 1.3 RFC 9190): TLS messages in fragments, between the EAP exchange and a TLS engine.

    type-data   flags(1) [length of the whole message(4)] a part of it
    flags       0x80 length is there, 0x40 more fragments follow, 0x20 start

One end says a message, fragment by fragment, each of which the other end acknowledges with empty type-data (flags 0);
then it is the other's turn. TLS itself is done by an engine that the shell brings: no TLS is ever written here.
"""

from __future__ import annotations

from typing import Protocol

from prol2tp.common.wire import Reader, WireError
from prol2tp.ppp.mppe import Keys

LENGTH = 0x80
MORE = 0x40
START = 0x20
EMPTY = b"\0"
"""Acknowledges a fragment."""
MESSAGE_MAX = 1 << 16
"""Octets of one message, all fragments together: some twenty certificates."""
_KEY = 32


class TLSEngine(Protocol):
    """One end of one TLS handshake. Nothing that the peer sends makes it raise."""

    failure: str
    """Why it came to nothing, one line; empty: it has not."""
    done: bool
    """Both ends have proved themselves by their certificates. Of a client on TLS 1.3: and the server has said that it
    is content (RFC 9190 section 2.5)."""
    names: tuple[str, ...]
    """Names in the peer's certificate, once that was verified: those of subjectAltName, then the common name."""

    def receive(self, records: bytes) -> bytes:
        """TLS records of the peer, b"" to start as the client. -> records to send, or an alert; may be empty."""

    def key_material(self) -> bytes:
        """The MSK, 64 octets (RFC 5216 section 2.3, RFC 9190 section 2.3); when `done`."""


def _read(data: bytes) -> tuple[int, int, bytes]:
    """Flags, length of the whole message or 0, and the part. Raises `WireError`."""
    reader = Reader(data)
    flags = reader.u8()
    total = reader.u32() if flags & LENGTH else 0
    if flags & START:
        raise WireError("EAP-TLS start where none belongs")
    if total > MESSAGE_MAX:
        raise WireError(f"EAP-TLS message of {total} octets")
    return flags, total, reader.rest()


class Conversation:
    """One end's part in one run of the method."""

    __slots__ = ("engine", "begun", "_heard", "_total", "_said", "_at")

    def __init__(self, engine: TLSEngine) -> None:
        self.engine = engine
        self.begun = False
        """The peer has said something."""
        self._heard = b""
        """Fragments of a message that goes on."""
        self._total = 0
        self._said = b""
        self._at = 0

    def start(self, room: int) -> bytes:
        """The client's first message."""
        self._say(self.engine.receive(b""))
        return self._fragment(room)

    def receive(self, data: bytes, room: int) -> bytes | None:
        """Type-data of the peer. -> ours, at most `room` octets; None when the peer has heard all and says nothing.
        Raises `WireError` for what cannot be here."""
        flags, total, part = _read(data)
        if self._at < len(self._said):
            if part or flags & MORE:
                raise WireError("EAP-TLS message before ours was over")
            return self._fragment(room)
        heard = self._heard + part
        self._total = total = self._total or total
        more = bool(flags & MORE)
        if len(heard) > (total or MESSAGE_MAX) or (more and not part) or (not more and len(heard) < total):
            self._heard, self._total = b"", 0
            raise WireError("EAP-TLS message of another length than it says")
        self.begun = True
        if more:
            self._heard = heard
            return EMPTY
        self._heard, self._total = b"", 0
        if not heard:
            return None
        self._say(self.engine.receive(heard))
        return self._fragment(room)

    def _say(self, message: bytes) -> None:
        self._said, self._at = message, 0

    def _fragment(self, room: int) -> bytes:
        rest = len(self._said) - self._at
        if rest < room:
            header = EMPTY
        elif self._at:
            header = bytes((MORE,))
        else:
            header = bytes((MORE | LENGTH,)) + rest.to_bytes(4, "big")
        part = self._said[self._at : self._at + room - len(header)]
        self._at += len(part)
        return header + part

    def keys(self, authenticator: bool) -> Keys:
        """MPPE start keys (RFC 5216 section 2.3: the MSK is the key to the authenticator, then the one from it)."""
        material = self.engine.key_material()
        to_authenticator, from_authenticator = material[:_KEY], material[_KEY : 2 * _KEY]
        if authenticator:
            return Keys(from_authenticator, to_authenticator)
        return Keys(to_authenticator, from_authenticator)
