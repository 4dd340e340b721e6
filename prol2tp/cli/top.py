"""`prol2tp top` without its terminal: readings of the daemons in, lines of a screen out.

A reading has what each daemon answered to its status command, some pages of tunnels and the newest ends. Rates are
differences of counters that the daemons keep, between two readings and over the last minute; nothing is asked about
single sessions. Tunnels are read at most `ROWS` a reading, so the list of the biggest is one walk old where there are
more.
"""

from __future__ import annotations

import heapq
import time
import unicodedata
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from prol2tp.cli.format import JSON, Columns, clean, clock, duration, host

ROWS = 1000
"""Tunnels that a reading asks for."""
KEPT = 500
"""Tunnels that can be paged through: the first ones in the order of the screen."""
DROPS = 50
"""Ends that a reading asks for."""
WINDOW = 60.0
"""Seconds of the longer rates."""

NORMAL, TITLE, HEAD, BAD = "", "title", "head", "bad"
"""Styles of lines."""
Line = tuple[str, str]
"""A style and a text."""


@dataclass(slots=True)
class Reading:
    """What was found at one time. `system`, `ppp`, `access`: records of ShowSystem and of both Status commands, None
    where the daemon does not answer; then `problem` says why prol2tpd does not."""

    now: float
    wall: float
    system: JSON | None = None
    ppp: JSON | None = None
    access: JSON | None = None
    drops: list[JSON] = field(default_factory=list)
    problem: str = ""


class Counts(NamedTuple):
    """Counters of one line of the table of rates. `there`, `up`: what there is now, None: not known or no such thing;
    `setup`: {bounds, counts} of the time that set-ups took, or None."""

    there: int | None
    up: int | None
    new: int
    ended: int
    setup: JSON | None = None


def _total(numbers: Any) -> int:
    return sum(numbers.values() if isinstance(numbers, dict) else numbers)


def _of_prol2tpd(system: JSON, kind: str) -> Counts:
    setup = system["setup"][kind]
    return Counts(system[kind], system[f"{kind}_up"], _total(setup["counts"]), _total(system["ends"][kind]), setup)


def counts(reading: Reading) -> dict[str, Counts]:
    """The lines of the table of rates."""
    found = {}
    if reading.system is not None:
        found["Tunnels"] = _of_prol2tpd(reading.system, "tunnels")
        found["Sessions"] = _of_prol2tpd(reading.system, "sessions")
    if reading.ppp is not None:
        setup = reading.ppp["setup"]
        found["PPP links"] = Counts(reading.ppp["ppp"]["instances"], None, _total(setup["counts"]),
                                    _total(reading.ppp["ends"]), setup)
    if reading.access is not None:
        routing = reading.access["routing"]
        found["Routes"] = Counts(reading.access["routes"], None, routing["routes_created"], routing["routes_deleted"])
    return found


_RADIUS = (("requests", "access_requests"), ("accepts", "access_accepts"), ("rejects", "access_rejects"),
           ("timeouts", "timeouts"))


def radius_counts(reading: Reading) -> dict[str, int]:
    """RADIUS of propppd."""
    return {} if reading.ppp is None else {word: reading.ppp["radius"][name] for word, name in _RADIUS}


class Sort(NamedTuple):
    """An order of tunnels. `key`: of a row and the sessions that it had a walk before, largest first."""

    word: str
    key: Callable[[JSON, int], Any]


SORTS = (
    Sort("sessions", lambda row, before: row["sessions"]),
    Sort("change", lambda row, before: abs(row["sessions"] - before)),
    Sort("newest", lambda row, before: -row["state_seconds"]),
    Sort("oldest", lambda row, before: row["state_seconds"]),
)


class Walk:
    """All tunnels, some at a time: keeps the first `KEPT` of them and the number of sessions of each."""

    def __init__(self) -> None:
        self.sort = SORTS[0]
        self.tunnels: list[tuple[JSON, int | None]] = []
        """The first ones of the last walk, and by how much their sessions changed since the one before; of the first
        walk as far as it is."""
        self._best: list[tuple[JSON, int | None]] = []
        self._now: dict[int, int] = {}
        self._before: dict[int, int] | None = None

    def page(self, rows: Iterable[JSON], last: bool) -> None:
        """Some rows; `last`: these were the last ones, the next page is a new walk."""
        for row in rows:
            number, sessions = row["tunnel_id"], row["sessions"]
            self._now[number] = sessions
            change = None if self._before is None else sessions - self._before.get(number, 0)
            self._best.append((row, change))
        self._best = self._sorted(self._best)
        if last:
            self.tunnels, self._best = self._best, []
            self._before, self._now = self._now, {}
        elif self._before is None:
            self.tunnels = self._best

    def _sorted(self, rows: list[tuple[JSON, int | None]]) -> list[tuple[JSON, int | None]]:
        key = self.sort.key
        return heapq.nlargest(KEPT, rows, lambda item: (key(item[0], item[0]["sessions"] - (item[1] or 0)),
                                                        -item[0]["tunnel_id"]))

    @property
    def ended(self) -> bool:
        """All tunnels have been seen once."""
        return self._before is not None

    def next_sort(self) -> None:
        """The next order, of those that are kept; the next walks choose by it."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.tunnels = self._sorted(self.tunnels)
        self._best = self._sorted(self._best)

    def restart(self) -> None:
        """The walk could not be ended: begin again."""
        self._best, self._now = [], {}


class Board:
    """The screen: takes readings, gives lines."""

    def __init__(self, interval: float) -> None:
        self.walk = Walk()
        self.interval = interval
        self.paused = False
        self.offset = 0
        """First tunnel that is shown."""
        self._readings: deque[Reading] = deque()

    @property
    def last(self) -> Reading:
        """The newest reading."""
        return self._readings[-1]

    def add(self, reading: Reading) -> None:
        """The next reading."""
        readings = self._readings
        readings.append(reading)
        # one that is as old as the window stays, to have all of it
        while len(readings) > 2 and readings[1].now <= reading.now - WINDOW:
            readings.popleft()

    def scroll(self, lines: int) -> None:
        """Move the list of tunnels."""
        self.offset = max(0, min(self.offset + lines, len(self.walk.tunnels) - 1))

    # rates

    def _rate(self, count: Callable[[Reading], int | None], since: Reading) -> str:
        now = self._readings[-1]
        new, old = count(now), count(since)
        if new is None or old is None or now.now <= since.now or new < old:
            return "-"
        return f"{(new - old) / (now.now - since.now):.1f}"

    def _rates(self, count: Callable[[Reading], int | None]) -> list[str]:
        """Since the last reading, and over the window: `-` where there are not two, or the daemon has started anew."""
        last = self._readings[-2] if len(self._readings) > 1 else self._readings[-1]
        return [self._rate(count, last), self._rate(count, self._readings[0])]

    def _took(self, name: str) -> list[str]:
        now, then = (counts(self._readings[at]).get(name) for at in (-1, 0))
        if now is None or now.setup is None:
            return ["", ""]
        numbers = now.setup["counts"]
        if then is not None and then.setup is not None and then.new < now.new:
            numbers = [new - old for new, old in zip(numbers, then.setup["counts"], strict=True)]
        return [quantile(now.setup["bounds"], numbers, part) for part in (0.5, 0.95)]

    # the screen

    def lines(self, width: int, height: int | None = None) -> list[Line]:
        """The screen. `height` None: as long as it gets, without the line of keys."""
        top = [*self._heading(width), (NORMAL, ""), *self._table(), *self._radius()]
        bottom = [] if height is None else [(HEAD, self._keys())]
        tunnels, drops = self._tunnels(), self._drops()
        if height is not None:
            room = max(0, height - len(top) - len(bottom) - 6)
            for_drops = min(len(drops) - 1, max(room // 2, room - (len(tunnels) - 1)))
            drops = drops[: for_drops + 1]
            tunnels = tunnels[: room - for_drops + 1]
        middle = [(NORMAL, ""), (TITLE, self._tunnels_title(len(tunnels) - 1)), *tunnels,
                  (NORMAL, ""), (TITLE, "Recent drops"), *drops]
        found = [*top, *middle]
        if height is not None:
            found = found[: max(0, height - len(bottom))]
            found += [(NORMAL, "")] * (height - len(found) - len(bottom)) + bottom
            found = found[:height]
        return [(style, fit(text, width).rstrip()) for style, text in found]

    def _heading(self, width: int) -> list[Line]:
        reading = self._readings[-1]
        at = time.strftime("%H:%M:%S", time.localtime(reading.wall))
        if reading.system is None:
            return [(BAD, f"prol2tpd does not answer: {clean(reading.problem)}")]
        system = reading.system
        words = [f"prol2tpd {clean(system['version'])}", clean(system["hostname"]),
                 f"up {duration(reading.wall - system['started_at'])}",
                 f"data path {clean(system['data_path'] or 'none')}"]
        if reading.access is not None and reading.access["draining"]:
            words.append("proacd drains")
        left, right = "  ".join(words), f"PAUSED {at}" if self.paused else at
        return [(TITLE, f"{fit(left, max(0, width - len(right) - 1)):<{max(0, width - len(right))}}{right}")]

    def _table(self) -> list[Line]:
        table = Columns(("", "<", 9), ("Now", ">", 8), ("Up", ">", 8), ("New/s", ">", 8), ("1 min", ">", 8),
                        ("Ended/s", ">", 8), ("1 min", ">", 8), ("Half in", ">", 8), ("95% in", "", 0))
        rows = []
        for name, now in counts(self._readings[-1]).items():
            rows.append([
                name, *("" if value is None else str(value) for value in (now.there, now.up)),
                *self._rates(lambda reading, name=name: _of(reading, name, "new")),  # type: ignore[misc]
                *self._rates(lambda reading, name=name: _of(reading, name, "ended")),  # type: ignore[misc]
                *self._took(name),
            ])
        return _table_lines(table, rows) if rows else []

    def _radius(self) -> list[Line]:
        reading = self._readings[-1]
        found: list[Line] = []
        if radius_counts(reading).get("requests"):
            rates = [f"{self._rates(lambda at, word=word: radius_counts(at).get(word))[0]} {word}"  # type: ignore[misc]
                     for word, _ in _RADIUS]
            found.append((NORMAL, f"RADIUS    per second: {', '.join(rates)}"))
        for name, record in (("propppd", (reading.ppp or {}).get("accounting_queue")),
                             ("proacd", (reading.access or {}).get("queue"))):
            if record and record["depth"]:
                found.append((BAD if record["trouble"] or record["oldest"] > WINDOW else NORMAL,
                              f"Accounting of {name}: {record['depth']} waiting, the oldest"
                              f" {duration(record['oldest'])}"))
        return found

    def _tunnels_title(self, shown: int) -> str:
        total = (self._readings[-1].system or {}).get("tunnels", 0)
        first = min(self.offset + 1, shown + self.offset)
        return f"Tunnels by {self.walk.sort.word}: {first} to {self.offset + shown} of {total}"

    def _tunnels(self) -> list[Line]:
        table = Columns(("TunId", ">", 10), ("Name", "<", 12), ("Peer", "<", 15), ("State", "<", 12), ("Time", ">", 9),
                        ("Sessions", ">", 8), ("Change", "", 0))
        rows = [[str(row["tunnel_id"]), clean(row["name"] or "-"), host(row["peer"]), clean(row["state"]),
                 clock(row["state_seconds"]), str(row["sessions"]), f"{change:+}" if change else ""]
                for row, change in self.walk.tunnels[self.offset :]]
        return _table_lines(table, rows)

    def _drops(self) -> list[Line]:
        table = Columns(("Ended", "<", 8), ("Ids", "<", 11), ("Peer", "<", 15), ("User", "<", 16), ("By", "<", 4),
                        ("Reason", "", 0))
        return _table_lines(table, [_drop_cells(row, self.last.wall) for row in self.last.drops])

    def _keys(self) -> str:
        pause = "go on" if self.paused else "pause"
        return f"q quit  p {pause}  s sort  space read now  arrows, page keys, Home: tunnels"

    def record(self) -> JSON:
        """What --json gives: the last reading and the rates per second since the one before, null where not known."""
        last = self._readings[-1]
        rates = {}
        for name in counts(last):
            pair = [self._rates(lambda at, n=name, w=word: _of(at, n, w))[0]  # type: ignore[misc]
                    for word in ("new", "ended")]
            rates[name.lower().replace(" ", "_")] = {
                word: None if rate == "-" else float(rate) for word, rate in zip(("new", "ended"), pair, strict=True)}
        return {"time": last.wall, "rates": rates, "system": last.system, "propppd": last.ppp, "proacd": last.access,
                "tunnels": [{**row, "change": change} for row, change in self.walk.tunnels], "drops": last.drops}


def _of(reading: Reading, name: str, word: str) -> int | None:
    found = counts(reading).get(name)
    return None if found is None else int(getattr(found, word))


def _table_lines(table: Columns, rows: list[list[str]]) -> list[Line]:
    heading, *lines = list(table.pages([rows])) or [""]
    return [(HEAD, heading), *((NORMAL, line) for line in lines)]


def _drop_cells(row: JSON, wall: float) -> list[str]:
    at = time.localtime(row["ended_at"])
    day = "%H:%M:%S" if wall - row["ended_at"] < 86400 else "%Y-%m-%d"
    ids = f"{row['tunnel_id']}/{row['session_id']}" if row["kind"] == "session" else str(row["tunnel_id"])
    return [time.strftime(day, at), ids, host(row["peer"]),
            clean(row["user"] or row["name"] or "-"), clean(row["by"]), clean(row["reason"])]


def quantile(bounds: list[float], numbers: list[int], part: float) -> str:
    """The bound in seconds below which that part of them is: `0.1 s`, `>10 s`, `-` where there are none."""
    total = sum(numbers)
    if not total:
        return "-"
    at = bisect_left(list(accumulate(numbers)), part * total)
    return f"{bounds[at]:g} s" if at < len(bounds) else f">{bounds[-1]:g} s"


def fit(text: str, width: int) -> str:
    """As much of the text as has room; a wide character takes two columns, one that combines with another none."""
    if text.isascii():
        return text[:width]
    used = 0
    for at, char in enumerate(text):
        used += 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used > width:
            return text[:at]
    return text
