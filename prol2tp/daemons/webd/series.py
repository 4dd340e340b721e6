"""The last minutes as numbers: what the page draws. Pure: time comes in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 900
"""Samples; of two seconds each that is half an hour."""
DROPS = 200
"""Ends of sessions and links that are kept, the newest."""
TOGETHER = 60.0
"""Seconds within which a session and the link on it end together."""


class Series:
    """Samples of totals, given back as what happened between them.

    :param gauges: names of values that are taken as they are.
    :param totals: names of values that only grow; one that shrinks begins anew (the daemon did).
    """

    __slots__ = ("_gauges", "_totals", "_last", "samples")

    def __init__(self, gauges: Sequence[str], totals: Sequence[str]) -> None:
        self._gauges = tuple(gauges)
        self._totals = tuple(totals)
        self._last: tuple[float, dict[str, float]] | None = None
        self.samples: deque[dict[str, Any]] = deque(maxlen=KEPT)
        """{"time", a value per gauge, a rate per second for each total}; None where the daemon did not answer."""

    def add(self, time: float, values: Mapping[str, float | None]) -> dict[str, Any]:
        """A sample. -> what was added."""
        sample: dict[str, Any] = {"time": round(time, 3)}
        for name in self._gauges:
            sample[name] = values.get(name)
        now = {name: value for name in self._totals if (value := values.get(name)) is not None}
        before = self._last
        for name in self._totals:
            sample[name] = self._rate(name, time, now, before)
        self._last = (time, now)
        self.samples.append(sample)
        return sample

    @staticmethod
    def _rate(name: str, time: float, now: Mapping[str, float],
              before: tuple[float, dict[str, float]] | None) -> float | None:
        if before is None or name not in now or name not in before[1] or time <= before[0]:
            return None
        grown = now[name] - before[1][name]
        return round((grown if grown >= 0 else now[name]) / (time - before[0]), 3)


class Drops:
    """Ends that were told of, newest last, and how many of each cause."""

    __slots__ = ("recent", "_by_id")

    def __init__(self) -> None:
        self.recent: deque[dict[str, Any]] = deque(maxlen=DROPS)
        self._by_id: dict[str, dict[str, Any]] = {}
        """The newest of those that are kept, by id."""

    def add(self, row: dict[str, Any]) -> bool:
        """False: the link of that session, or the session of that link, was told of a moment ago."""
        known = self._by_id.get(row["id"])
        if known is not None and known["daemon"] != row["daemon"] and row["time"] - known["time"] <= TOGETHER:
            return False
        if len(self.recent) == DROPS and self._by_id.get(self.recent[0]["id"]) is self.recent[0]:
            del self._by_id[self.recent[0]["id"]]
        self.recent.append(row)
        self._by_id[row["id"]] = row
        return True

    def causes(self) -> dict[str, int]:
        """Of those that are kept, the most frequent first."""
        counts: dict[str, int] = {}
        for row in self.recent:
            counts[row["cause"]] = counts.get(row["cause"], 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))
