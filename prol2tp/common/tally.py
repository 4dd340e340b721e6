"""What is counted to be looked at from afar: durations by size, and ends by their cause. Adding costs no more than a
search among a dozen bounds, and the memory is bounded, whatever peers say."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of a duration."""
MOST_WORDS = 64
OTHER = "other"


class Histogram:
    """How often what was seen lay within each bound.

    :param bounds: ascending; above the last there is one bucket more.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """A value; one below 0, of a clock that was set back, counts as 0."""
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def record(self) -> dict[str, Any]:
        """{bounds, counts, sum}: `counts` has one more than `bounds`, and none counts what is in another."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": round(self.sum, 6)}


class Tally:
    """How often each word came. Beyond `MOST_WORDS` all new ones are `other`."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, word: str) -> None:
        counts = self.counts
        if word not in counts and len(counts) >= MOST_WORDS:
            word = OTHER
        counts[word] = counts.get(word, 0) + 1

    def record(self) -> dict[str, int]:
        """{word: number}."""
        return dict(self.counts)
