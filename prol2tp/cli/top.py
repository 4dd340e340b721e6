"""`prol2tp top` without its terminal: readings of the daemons in, lines of a screen out.

A reading has what each daemon answered to its status command, some pages of tunnels and the newest ends. Rates are
differences of counters that the daemons keep, between two readings and over the last minute. Tunnels are read at most
`ROWS` a reading, so the list of the biggest is one walk old where there are more; who moves the most is measured by the
daemons, which walk as slowly.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from prol2tp.cli import traffic
from prol2tp.cli.fitting import Column, fit, table
from prol2tp.cli.format import JSON, clean, clock, duration, host

ROWS = 1000
"""Tunnels that a reading asks for."""
KEPT = 500
"""Tunnels that can be paged through: the first ones in the order of the screen."""
BUSIEST = 10
"""Lines of each list of the busiest where all is printed."""
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
    where the daemon does not answer; then `problem` says why prol2tpd does not. `traffic`, `ppp_traffic`: answers of
    ShowTraffic of prol2tpd and propppd. `servers`: RADIUS servers of propppd."""

    now: float
    wall: float
    system: JSON | None = None
    ppp: JSON | None = None
    access: JSON | None = None
    drops: list[JSON] = field(default_factory=list)
    traffic: JSON | None = None
    ppp_traffic: JSON | None = None
    servers: list[JSON] = field(default_factory=list)
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


BY_SESSIONS, BUSY_TUNNELS, BUSY_SESSIONS, BUSY_USERS = VIEWS = ("tunnels", "busiest tunnels", "busiest sessions",
                                                                "busiest users")
"""What the list in the middle of the screen shows."""
HELP = (
    "The table  what there is, what comes and ends a second, now and in the last",
    "           minute, and in which time half and 95 of 100 came up",
    "Traffic    of all L2TP sessions and of all PPP links; in is from the peer",
    "",
    "v          the next list: tunnels, the busiest tunnels, sessions, users",
    "s          another order of tunnels: sessions, change, newest, oldest",
    "arrows, page keys, Home: move in the list",
    "p          pause, and go on",
    "space      read now",
    "h or ?     this page; any key ends it",
    "q          quit",
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
        self.help = False
        self.view = BY_SESSIONS
        self.offset = 0
        """First line of the list that is shown."""
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
        """Move the list."""
        self.offset = max(0, min(self.offset + lines, self._rows() - 1))

    def next_view(self) -> None:
        """The next list."""
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]
        self.offset = 0

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
        bottom = [] if height is None else [(HEAD, self._keys(width))]
        if self.help:
            return [(style, fit(text, width)) for style, text in (
                *self._heading(width), (NORMAL, ""), *((NORMAL, text) for text in HELP))][:height]
        top = [*self._heading(width), (NORMAL, ""), *self._table(width), *self._traffic(), *self._radius()]
        tunnels, drops = self._list(width), self._drops(width)
        if height is not None:
            room = max(0, height - len(top) - len(bottom) - 6)
            for_drops = min(len(drops) - 1, max(room // 2, room - (len(tunnels) - 1)))
            drops = drops[: for_drops + 1]
            tunnels = tunnels[: room - for_drops + 1]
        middle = [(NORMAL, ""), (TITLE, self._list_title(len(tunnels) - 1)), *tunnels,
                  *(self._busiest(width) if height is None else ()),
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

    def _table(self, width: int) -> list[Line]:
        rows = []
        for name, now in counts(self._readings[-1]).items():
            rows.append([
                name, *("" if value is None else str(value) for value in (now.there, now.up)),
                *self._rates(lambda reading, name=name: _of(reading, name, "new")),  # type: ignore[misc]
                *self._rates(lambda reading, name=name: _of(reading, name, "ended")),  # type: ignore[misc]
                *self._took(name),
            ])
        return _styled(table(_COLUMNS, rows, width)) if rows else []

    def _traffic(self) -> list[Line]:
        reading = self.last
        return [(NORMAL, traffic.total(name, answer["traffic"]))
                for name, answer in (("L2TP", reading.traffic), ("PPP ", reading.ppp_traffic)) if answer]

    def _radius(self) -> list[Line]:
        reading = self._readings[-1]
        found: list[Line] = []
        if radius_counts(reading).get("requests"):
            rates = [f"{self._rates(lambda at, word=word: radius_counts(at).get(word))[0]} {word}"  # type: ignore[misc]
                     for word, _ in _RADIUS]
            found.append((NORMAL, f"RADIUS    per second: {', '.join(rates)}"))
        for server in reading.servers:
            if not server["alive"]:
                found.append((BAD, f"RADIUS    server {clean(server['name'])} ({clean(server['kind'])},"
                                   f" {clean(server['address'])}) is dead for {duration(server['state_seconds'])}"))
        for name, record in (("propppd", (reading.ppp or {}).get("accounting_queue")),
                             ("proacd", (reading.access or {}).get("queue"))):
            if record and record["depth"]:
                found.append((BAD if record["trouble"] or record["oldest"] > WINDOW else NORMAL,
                              f"Accounting of {name}: {record['depth']} waiting, the oldest"
                              f" {duration(record['oldest'])}"))
        return found

    def _list_title(self, shown: int) -> str:
        first = min(self.offset + 1, shown + self.offset)
        if self.view != BY_SESSIONS:
            return f"{self.view.capitalize()}: {first} to {self.offset + shown}"
        total = (self.last.system or {}).get("tunnels", 0)
        return f"Tunnels by {self.walk.sort.word}: {first} to {self.offset + shown} of {total}"

    def _busy(self, view: str) -> list[JSON]:
        """What was measured for a list."""
        answer = self.last.ppp_traffic if view == BUSY_USERS else self.last.traffic
        rows: list[JSON] = (answer or {}).get(_BUSY[view][0], [])
        return rows

    def _rows(self) -> int:
        return len(self.walk.tunnels if self.view == BY_SESSIONS else self._busy(self.view))

    def _list(self, width: int) -> list[Line]:
        if self.view == BY_SESSIONS:
            return self._tunnels(width)
        return _styled(_BUSY[self.view][1](self._busy(self.view)[self.offset :], width))

    def _busiest(self, width: int) -> list[Line]:
        """The other lists, where all is printed."""
        found: list[Line] = []
        for view in VIEWS[1:]:
            if rows := self._busy(view):
                found += [(NORMAL, ""), (TITLE, view.capitalize()), *_styled(_BUSY[view][1](rows[:BUSIEST], width))]
        return found

    def _tunnels(self, width: int) -> list[Line]:
        rows = [[str(row["tunnel_id"]), clean(row["name"] or "-"), host(row["peer"]), clean(row["state"]),
                 clock(row["state_seconds"]), str(row["sessions"]), f"{change:+}" if change else ""]
                for row, change in self.walk.tunnels[self.offset :]]
        return _styled(table(_TUNNELS, rows, width))

    def _drops(self, width: int) -> list[Line]:
        return _styled(table(_DROPS, [_drop_cells(row, self.last.wall) for row in self.last.drops], width))

    def _keys(self, width: int) -> str:
        pause = "go on" if self.paused else "pause"
        keys = f"q quit  h help  p {pause}  v view  s sort"
        more = (f"{keys}  space read now  arrows, page keys, Home: list", f"{keys}  space read now  arrows: list")
        return next((text for text in more if len(text) <= width), keys)

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
                "traffic": last.traffic, "propppd_traffic": last.ppp_traffic, "servers": last.servers,
                "tunnels": [{**row, "change": change} for row, change in self.walk.tunnels], "drops": last.drops}


def _of(reading: Reading, name: str, word: str) -> int | None:
    found = counts(reading).get(name)
    return None if found is None else int(getattr(found, word))


_COLUMNS = (Column("", "<", 9), Column("Now", ">", 8), Column("Up", ">", 8, 3), Column("New/s", ">", 8),
            Column("1 min", ">", 8, 2), Column("Ended/s", ">", 8), Column("1 min", ">", 8, 2),
            Column("Half in", ">", 8, 4), Column("95% in"))
_TUNNELS = (Column("TunId", ">", 10), Column("Name", "<", 12, 2), Column("Peer", "<", 15), Column("State", "<", 12, 3),
            Column("Time", ">", 9, 4), Column("Sessions", ">", 8), Column("Change"))
_DROPS = (Column("Ended", "<", 8), Column("Ids", "<", 11, 3), Column("Peer", "<", 15, 2), Column("User", "<", 16),
          Column("By", "<", 4, 4), Column("Reason"))
_BUSY: dict[str, tuple[str, Callable[[list[JSON], int | None], list[str]]]] = {
    BUSY_TUNNELS: ("tunnels", traffic.tunnels),
    BUSY_SESSIONS: ("sessions", traffic.sessions),
    BUSY_USERS: ("links", traffic.users),
}
"""Of each view: the list of the answer, and its layout."""


def _styled(lines: list[str]) -> list[Line]:
    heading, *lines = lines or [""]
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
