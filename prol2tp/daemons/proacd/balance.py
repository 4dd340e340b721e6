"""Which LNS is tried first: preference, then weight; one that is dead is left alone for a time, then tried by one call.

Pure: `now` is an argument, chance comes from outside. A destination is known by its name, whichever route or answer of
RADIUS names it. The states of a destination:

    up        ordered by preference and weight
    locked    it has failed: tried when nothing else is left, until `lockout_time` is over
    due       the time is over: the next call goes there first of its preference, the others elsewhere
    trying    that call is under way
    draining  an operator has taken it out: no new call; may be so in every other state
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from typing import Any, Protocol, TypeVar

MOST = 4096
"""Destinations that are remembered. The one that was used longest ago, and is not held by a session, a lockout or an
operator, is forgotten first."""
LOOKED_AT = 64
"""Of the oldest, so that making room costs the same however many are known."""
TRIAL_TIME = 60.0
"""Seconds until a call that tries a destination, and of which nothing was heard, is taken for lost."""


class Candidate(Protocol):
    """What is looked at of a `choice.Destination`."""

    name: str
    preference: int
    weight: int


Chosen = TypeVar("Chosen", bound=Candidate)


@dataclass(slots=True)
class _Known:
    """What is remembered of a destination."""

    name: str
    locked_until: float | None = None
    """None: it is up."""
    trial_until: float = 0.0
    draining: bool = False
    sessions: int = 0
    opened: int = 0
    failed: int = 0
    refused: int = 0
    reason: str = ""
    """Of the last failure."""

    @property
    def held(self) -> bool:
        return self.draining or self.sessions > 0 or self.locked_until is not None

    def state(self, now: float) -> str:
        if self.draining:
            return "draining"
        if self.locked_until is None:
            return "up"
        if now < self.locked_until:
            return "locked"
        return "trying" if now < self.trial_until else "due"


class Balance:
    """Of all destinations of the daemon.

    :param random: a number from 0.0 up to 1.0, as `random.random`.
    :param lockout_time: seconds; 0: a destination that fails is not locked out.
    """

    def __init__(self, random: Callable[[], float], lockout_time: float = 60.0, most: int = MOST) -> None:
        self.lockout_time = lockout_time
        self.draining_all = False
        """No call goes anywhere."""
        self._random = random
        self._most = most
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def order(self, destinations: Sequence[Chosen], now: float) -> list[Chosen]:
        """All that may be tried, in the order in which to try them; those that are locked out last."""
        if self.draining_all:
            return []
        ready: list[Chosen] = []
        due: list[Chosen] = []
        locked: list[tuple[float, Chosen]] = []
        for one in destinations:
            known = self._known.get(one.name)
            state = known.state(now) if known is not None else "up"
            if state == "up":
                ready.append(one)
            elif state == "due":
                due.append(one)
            elif state != "draining":
                assert known is not None and known.locked_until is not None
                locked.append((max(known.locked_until, known.trial_until), one))
        ordered = self._shared(ready)
        locked.sort(key=lambda row: row[0])
        first = self._trial(ordered, due, now)
        rest = [one for one in due if one is not first]
        return [*([first] if first is not None else ()), *ordered, *rest, *(one for _, one in locked)]

    def _trial(self, ordered: list[Chosen], due: list[Chosen], now: float) -> Chosen | None:
        """The destination that this call tries: none while a better one is up."""
        if not due:
            return None
        first = min(due, key=lambda one: one.preference)
        if ordered and ordered[0].preference < first.preference:
            return None
        self._known[first.name].trial_until = now + TRIAL_TIME
        return first

    def _shared(self, destinations: list[Chosen]) -> list[Chosen]:
        """By preference; among equals each comes first as often as its weight says."""
        if len(destinations) < 2:
            return destinations
        keyed = []
        for one in destinations:
            # of exponential times with these rates the shortest is each one's in proportion to its rate
            chance = 1.0 - self._random()
            keyed.append(((one.preference, _time(chance, one.weight)), one))
        keyed.sort(key=lambda row: row[0])
        return [one for _, one in keyed]

    def opened(self, destination: Candidate, now: float) -> None:
        """A session is up there."""
        known = self._of(destination.name)
        known.opened += 1
        known.sessions += 1
        known.locked_until = None
        known.trial_until = 0.0
        known.reason = ""

    def closed(self, destination: Candidate, now: float) -> None:
        """A session that was `opened` has ended, for whatever reason."""
        known = self._known.get(destination.name)
        if known is not None and known.sessions:
            known.sessions -= 1

    def failed(self, destination: Candidate, now: float, reason: str = "") -> None:
        """Its tunnel does not come up, or has died: it is locked out. Calls that have failed with the one that locked
        it do not prolong that."""
        known = self._of(destination.name)
        known.failed += 1
        known.reason = reason[:200]
        fresh = known.locked_until is None or now >= known.locked_until
        if self.lockout_time > 0 and fresh:
            known.locked_until = now + self.lockout_time
        known.trial_until = 0.0

    def refused(self, destination: Candidate, now: float, reason: str = "") -> None:
        """It lives, and takes no session, as one that is full: the next one is tried, and it stays in the order."""
        known = self._of(destination.name)
        known.refused += 1
        known.reason = reason[:200]
        known.locked_until = None
        known.trial_until = 0.0

    def drain(self, name: str, on: bool) -> None:
        """Send no new calls there, or again; empty name: all destinations. Sessions that are up stay."""
        if not name:
            self.draining_all = on
        elif on or name in self._known:
            self._of(name).draining = on

    def sessions(self, name: str) -> int | None:
        """That are up there; None: nothing is known of it."""
        known = self._known.get(name)
        return known.sessions if known is not None else None

    def unlock(self, name: str) -> bool:
        """End a lockout. -> whether there was one."""
        known = self._known.get(name)
        if known is None or known.locked_until is None:
            return False
        known.locked_until = None
        known.trial_until = 0.0
        return True

    def rows(self, now: float) -> list[dict[str, Any]]:
        """For status, by name: state, seconds until a lockout is over, counts, last reason."""
        return [
            {
                "name": known.name, "state": known.state(now),
                "seconds": round(max(0.0, known.locked_until - now), 3) if known.locked_until is not None else 0.0,
                "sessions": known.sessions, "opened": known.opened, "failed": known.failed, "refused": known.refused,
                "reason": known.reason,
            }
            for known in sorted(self._known.values(), key=lambda known: known.name)
        ]

    def _of(self, name: str) -> _Known:
        """What is remembered, as the one that was used last."""
        known = self._known.pop(name, None)
        if known is None:
            known = _Known(name)
            if len(self._known) >= self._most:
                self._forget()
        self._known[name] = known
        return known

    def _forget(self) -> None:
        """Make room for one."""
        oldest = list(islice(self._known.values(), LOOKED_AT))
        for spared in (lambda known: known.held, lambda known: known.draining or known.sessions > 0,
                       lambda known: known.draining, lambda known: False):
            found = next((known for known in oldest if not spared(known)), None)
            if found is not None:
                del self._known[found.name]
                return


def _time(chance: float, weight: int) -> float:
    """Exponential with rate `weight`, of an even chance in (0, 1]."""
    return -log(chance) / max(weight, 1)
