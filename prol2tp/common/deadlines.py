"""Many deadlines, one timer: a heap of (time, owner) with lazy removal.

An owner has at most one live deadline. Moving it later is free until the old entry comes up; entries of owners that
moved or left are dropped when they are reached, or when they are more than half.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush

SLACK = 64



class Deadlines:
    __slots__ = ("_heap", "_due", "_queued", "_count")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable]] = []
        self._due: dict[Hashable, float] = {}
        self._queued: dict[Hashable, float] = {}  # the one heap entry of an owner that counts
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, owner: Hashable, when: float | None) -> None:
        """Replace the owner's deadline; None takes it away."""
        if when is None:
            self._due.pop(owner, None)
            if len(self._heap) > 2 * len(self._due) + SLACK:
                self._compact()
            return
        self._due[owner] = when
        queued = self._queued.get(owner)
        if queued is None or when < queued:
            self._push(owner, when)

    def _push(self, owner: Hashable, when: float) -> None:
        self._count += 1
        self._queued[owner] = when
        heappush(self._heap, (when, self._count, owner))

    def _compact(self) -> None:
        """Entries of owners that left hold them until their old time comes: give them up when they are most."""
        self._heap = []
        self._queued = {}
        for owner, when in self._due.items():
            self._push(owner, when)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap:
            when, _, owner = self._heap[0]
            if self._queued.get(owner) != when:
                heappop(self._heap)
                continue
            due = self._due.get(owner)
            if due == when:
                return when
            heappop(self._heap)
            del self._queued[owner]
            if due is not None:
                self._push(owner, due)
        return None

    def expired(self, now: float) -> list[Hashable]:
        """Owners whose deadline has come, earliest first; they have none afterwards."""
        owners: list[Hashable] = []
        while (when := self.next()) is not None and when <= now:
            owner = heappop(self._heap)[2]
            del self._due[owner]
            del self._queued[owner]
            owners.append(owner)
        return owners
