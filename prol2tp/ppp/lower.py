"""What the protocols of one link share: the way down for frames, and the way up for what happened.

Protocols never call the link: they leave signals, which the link takes when the call is over. So no protocol is
entered twice at once, and protocols and link form no reference cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from prol2tp.ppp import frame
from prol2tp.ppp.outputs import Output, SendFrame


class Signal(Enum):
    UP = "up"  # tlu
    DOWN = "down"  # tld
    FINISHED = "finished"  # tlf
    ASK = "ask"  # value: AskAuthentication
    ACCEPTED = "accepted"  # the peer has proved who it is, and knows that we think so
    PROVED = "proved"  # the peer has taken our proof of who we are
    TEXT = "text"  # value: what the peer tells us in words
    FAILED = "failed"  # value: (cause, message, by_peer): the link has to end
    PROTOCOL_REJECTED = "protocol rejected"  # value: protocol number


class Lower:
    """`queue` is what the link gives to its shell."""

    __slots__ = ("queue", "signals", "random_bytes", "accomp", "peer_mru", "trace", "_identifier")

    def __init__(self, random_bytes: Callable[[int], bytes], trace: Callable[[str, str], None] | None) -> None:
        self.queue: list[Output] = []
        self.signals: list[tuple[Any, Signal, Any]] = []
        self.random_bytes = random_bytes
        self.accomp = False
        self.peer_mru = frame.DEFAULT_MRU
        self.trace = trace
        self._identifier = 0

    def next_identifier(self) -> int:
        """For packets that stand alone: Code-Reject, Protocol-Reject, Echo-Request."""
        self._identifier = (self._identifier + 1) & 0xFF
        return self._identifier

    def send(self, protocol: int, information: bytes) -> None:
        self.queue.append(SendFrame(frame.header(protocol, self.accomp) + information))
        if self.trace is not None:
            from prol2tp.ppp.dissect import describe  # only traced links pay for it

            self.trace("packet", f"sent {describe(protocol, information)}")

    def signal(self, source: Any, signal: Signal, value: Any = None) -> None:
        self.signals.append((source, signal, value))
