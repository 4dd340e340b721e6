"""Receiving numbered data messages (RFC 2661 section 5.4, RFC 3931 section 4.6): late and doubled ones are dropped, or
all put in order."""

from __future__ import annotations

from collections.abc import Callable

from prol2tp.common.sequence import MODULUS_16, before, distance

RESYNC = 32
"""So many late packets that are in order among themselves mean that the peer began to count anew."""

HELD_MAX = 64


class ReceiveSequence:
    """One session's receive numbers.

    :param deliver: called with each frame in order, and `now`.
    :param timeout: how long a frame waits for those before it, seconds; 0: frames after a gap pass at once.
    :param modulus: of the numbers: 2^16, in version 3 2^24.
    """

    __slots__ = ("_deliver", "_timeout", "_modulus", "_next", "_late_run", "_late_next", "_held", "_deadline",
                 "out_of_sequence", "discards")

    def __init__(self, deliver: Callable[[bytes, float], None], timeout: float = 0.0,
                 modulus: int = MODULUS_16) -> None:
        self._deliver = deliver
        self._modulus = modulus
        self._timeout = timeout
        self._next = -1
        self._late_run = 0
        self._late_next = -1
        self._held: dict[int, bytes] = {}
        self._deadline: float | None = None
        self.out_of_sequence = 0
        self.discards = 0

    @property
    def deadline(self) -> float | None:
        return self._deadline

    def receive(self, ns: int, frame: bytes, now: float) -> None:
        """One frame with its Ns. Counters say what was out of sequence and what was dropped."""
        if ns == self._next or self._next < 0:
            self._pass(ns, frame, now)
            if self._held:
                self._release(now)
            return
        self.out_of_sequence += 1
        modulus = self._modulus
        if before(ns, self._next, modulus) or distance(self._next, ns, modulus) == modulus // 2:
            self._late(ns, frame, now)
        elif not self._timeout:
            self._pass(ns, frame, now)
        elif ns in self._held:
            self.discards += 1
        else:
            self._held[ns] = frame
            if self._deadline is None:
                self._deadline = now + self._timeout
            if len(self._held) > HELD_MAX:
                self._skip(now)

    def expire(self, now: float) -> None:
        """The deadline has come: give up waiting for what is missing."""
        if self._deadline is not None and now >= self._deadline:
            self._skip(now)

    def _pass(self, ns: int, frame: bytes, now: float) -> None:
        self._next = (ns + 1) % self._modulus
        self._late_run = 0
        self._deliver(frame, now)

    def _late(self, ns: int, frame: bytes, now: float) -> None:
        self._late_run = self._late_run + 1 if ns == self._late_next else 1
        self._late_next = (ns + 1) % self._modulus
        if self._late_run < RESYNC:
            self.discards += 1
            return
        self.discards += len(self._held)
        self._held.clear()
        self._deadline = None
        self._pass(ns, frame, now)

    def _skip(self, now: float) -> None:
        first = min(self._held, key=lambda ns: distance(self._next, ns, self._modulus))
        self._pass(first, self._held.pop(first), now)
        self._release(now)

    def _release(self, now: float) -> None:
        while self._held:
            frame = self._held.pop(self._next, None)
            if frame is None:
                break
            self._pass(self._next, frame, now)
        self._deadline = now + self._timeout if self._held else None
