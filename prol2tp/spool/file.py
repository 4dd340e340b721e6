"""The rows of the accounting queue: an sqlite file in WAL mode, used by one thread of one process.

    record(id INTEGER PRIMARY KEY, session TEXT, kind INTEGER, event_time REAL, payload BLOB)
    refused(the same)                                   what cannot be sent, for people to look at
    unfinished(session TEXT PRIMARY KEY, event_time REAL, payload BLOB)
                                                        a late Start or Interim of each session without a Stop

A row of `record` is there from the commit that saved it until the commit that removes it; `unfinished` follows in
the same commits, so that after a crash it is known which sessions never got their Stop. Interims change it later, in
the order of the sessions and not of time: a row each in a place of its own would be most of what is written.
`synchronous=FULL`: a commit has reached the disk when it returns, so that not even a power failure takes it back. The
file is locked as long as it is open.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from prol2tp.spool.order import INTERIM, START, STOP, Order

VERSION = 1
"""Of the table, in the file's user_version."""
FLUSH_AFTER = 60.0
"""Seconds between two rounds through `unfinished`."""
FLUSHED_AT_ONCE = 200
SIDE_FILES = ("", "-wal", "-shm", "-journal")
OF_THE_SYSTEM = ("locked", "full", "unable to open", "readonly", "disk I/O", "access permission", "not open", "memory")
"""Words of sqlite's errors for which the file is not to blame."""
READ_AT_ONCE = 500
"""Below the 999 variables that old sqlite libraries allow a statement."""
ROWS_AT_ONCE = 64
"""Rows of a statement. Few statements: sqlite3 gives the interpreter to other threads, and waits for it, at each."""
FRESH = 1000
"""Records of the last commits that are still known when a sender takes them."""
_COLUMNS = (
    "(id INTEGER PRIMARY KEY, session TEXT NOT NULL, kind INTEGER NOT NULL, event_time REAL NOT NULL,"
    " payload BLOB NOT NULL)"
)
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS record {_COLUMNS}",
    f"CREATE TABLE IF NOT EXISTS refused {_COLUMNS}",
    "CREATE TABLE IF NOT EXISTS unfinished (session TEXT PRIMARY KEY, event_time REAL NOT NULL, payload BLOB NOT NULL)"
    " WITHOUT ROWID",
)
_WRONG_TYPES = (
    "SELECT 1 FROM record WHERE (typeof(session), typeof(kind), typeof(event_time), typeof(payload))"
    " IS NOT ('text', 'integer', 'real', 'blob') LIMIT 1",
    "SELECT 1 FROM unfinished WHERE (typeof(session), typeof(event_time), typeof(payload))"
    " IS NOT ('text', 'real', 'blob') LIMIT 1",
)

Fields = tuple[str, int, float, bytes]
"""Session, kind, event time, payload."""
Unfinished = tuple[str, float, bytes]
"""Session, event time, payload."""


@dataclass(slots=True)
class Record:
    """What the queue gives to a sender. `id` is for `acknowledge` and `release` and holds until the daemon ends."""

    id: int
    session: str
    kind: int
    """Acct-Status-Type."""
    event_time: float
    """When it happened, in seconds of the Unix epoch."""
    payload: bytes = field(repr=False)


class Damaged(Exception):
    """The file cannot be read as a queue. The text says why."""


FAILURES = (sqlite3.Error, UnicodeError, Damaged, OSError)
"""All that a method of `SpoolFile` raises when file or disk are at fault."""


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, and not the disk, a lock or a missing right."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in OF_THE_SYSTEM)
    return isinstance(error, (Damaged, sqlite3.DatabaseError, UnicodeError))


class SpoolFile:
    """The file and the order of its records. Every method blocks.

    :param say: called with a line of text for the log.
    """

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self.path = path
        self.order = Order()
        self.coalesced = 0
        """Interims that were removed because a newer one came before a server had them."""
        self.held: dict[int, Fields] = {}
        """Records that are not in the file, by id, in order."""
        self.unremoved: set[int] = set()
        """Records that are still in the file and should not be."""
        self.refused = 0
        """Records that were put aside, in the file's whole life."""
        self._fresh: dict[int, Fields] = {}
        """Records of the last commits that are not read again."""
        self._refusing: set[int] = set()
        """Records that are to be put aside when the disk takes it."""
        self._last: dict[str, Unfinished | None] = {}
        """What `unfinished` should have and has not because the disk took nothing; None: the session has stopped."""
        self._newer: dict[str, Unfinished] = {}
        """Interims that `unfinished` gets in its next round."""
        self._round: list[str] = []
        """Sessions of this round that are still to come, the next one last."""
        self._round_at = time.monotonic() + FLUSH_AFTER
        self._say = say
        self._next = 1
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the file and read its order. A damaged file is moved aside, with a line in the log.

        Raises `sqlite3.OperationalError` (another process has it, no right to write) or `OSError`.
        """
        try:
            self._open()
        except FAILURES as error:
            if not is_damage(error):
                self.close()
                raise
            self.set_aside(error)

    def _open(self) -> None:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False,
                                   cached_statements=4 * ROWS_AT_ONCE)
        self._database = database
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA journal_size_limit=16777216")
        database.execute("BEGIN IMMEDIATE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise Damaged(f"version {version} of the file, {VERSION} expected")
        for statement in _CREATE:
            database.execute(statement)
        database.execute(f"PRAGMA user_version={VERSION}")
        database.execute("COMMIT")
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(str(found).splitlines()[-1])
        for statement in _WRONG_TYPES:
            if database.execute(statement).fetchone() is not None:
                raise Damaged("values of the wrong type")
        self.refused = database.execute("SELECT count(*) FROM refused").fetchone()[0]
        order = Order()
        last = 0
        for record, session, kind in database.execute("SELECT id, session, kind FROM record ORDER BY id"):
            order.add(session, record, kind)
            last = record
        for record, fields in self.held.items():
            order.add(fields[0], record, fields[1])
        self.order = order
        self.unremoved = set()
        self._refusing = set()
        self._fresh = {}
        self._next = max(self._next, last + 1)  # a sender may still hold ids of a file that was set aside

    def set_aside(self, error: Exception) -> None:
        """Rename the damaged file, so that somebody may look at it, and begin a new one."""
        lost = len(self.order)
        self.close()
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        number = 1
        while os.path.exists(aside):
            number += 1
            aside = f"{aside.partition('~')[0]}~{number}"
        for side in SIDE_FILES:
            if os.path.exists(self.path + side):
                os.rename(self.path + side, aside + side)
        known = f", {lost} records were queued" if lost else ""
        self._say(f"accounting queue {self.path} is damaged ({error}{known}): moved to {aside}, a new one is begun")
        self._open()

    def finish(self) -> None:
        """Bring `unfinished` up to date, at an orderly end. Raises as `write`."""
        self._round_at = 0.0
        while self._newer:
            self.write([], [])
            self._round_at = 0.0

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error:
                pass

    def write(self, appends: Sequence[Fields], acknowledged: Iterable[int], refused: Iterable[int] = ()) -> None:
        """Save records in this order and remove what is acknowledged or superseded, with all that was held, in one
        transaction; what is refused goes aside. After an error nothing has changed, neither in the file nor in the
        order."""
        put_aside = self._refusing.union(refused)
        removed, superseded = self._removed(appends, [*acknowledged, *put_aside])
        rows = [
            (record, *fields) for record, fields in self.held.items() if record not in removed or record in put_aside
        ]
        rows += [(record, *fields) for record, fields in enumerate(appends, self._next)]
        last = {**self._last, **_first_and_last_words(appends)}
        flushed = self._next_of_round()
        # some may have stopped since the round began
        newer = (self._newer[session] for session in flushed if session in self._newer)
        last.update((row[0], row) for row in newer if row[0] not in last)
        self._commit(rows, put_aside, removed.difference(self.held) | put_aside | self.unremoved, last)
        self.held = {}
        self.unremoved = set()
        self._refusing = set()
        self._last = {}
        del self._round[len(self._round) - len(flushed):]
        for session in flushed:
            self._newer.pop(session, None)
        self._fresh.update(enumerate(appends, self._next))
        if len(self._fresh) > FRESH:
            for record in list(islice(self._fresh, len(self._fresh) - FRESH)):
                del self._fresh[record]
        self._note_interims(appends)
        self.refused += len(put_aside)
        self._apply(appends, removed, superseded)

    def hold(self, appends: Sequence[Fields], acknowledged: Iterable[int], refused: Iterable[int] = ()) -> None:
        """As `write`, but in memory, for a disk that takes nothing: records can be taken and acknowledged, and those
        that are left are saved by the next `write`, which puts aside what is refused."""
        self._refusing.update(refused)
        removed, superseded = self._removed(appends, acknowledged)
        for record in removed:
            if self.held.pop(record, None) is None:
                self.unremoved.add(record)
        self.held.update(enumerate(appends, self._next))
        self._last.update(_first_and_last_words(appends))
        self._note_interims(appends)
        self._apply(appends, removed, superseded)

    def _note_interims(self, appends: Iterable[Fields]) -> None:
        for session, kind, event_time, payload in appends:
            if kind == INTERIM:
                self._newer[session] = (session, event_time, payload)
            else:
                self._newer.pop(session, None)

    def _next_of_round(self) -> list[str]:
        """Sessions whose Interims go into `unfinished` with this commit."""
        if not self._round and self._newer and time.monotonic() >= self._round_at:
            self._round = sorted(self._newer, reverse=True)
            self._round_at = time.monotonic() + FLUSH_AFTER
        return self._round[-FLUSHED_AT_ONCE:]

    def flush_in(self) -> float | None:
        """Seconds until a write without records is wanted; None: it is not."""
        if self._round:
            return 0.0
        return max(0.0, self._round_at - time.monotonic()) if self._newer else None

    def _removed(self, appends: Sequence[Fields], acknowledged: Iterable[int]) -> tuple[set[int], int]:
        """Records that go, and how many of them give way to newer ones."""
        removed = set(acknowledged)
        known = len(removed)
        for session, kind, _, _ in appends:
            if kind == INTERIM and (record := self.order.superseded(session)) is not None:
                removed.add(record)
        return removed, len(removed) - known

    def _apply(self, appends: Sequence[Fields], removed: set[int], superseded: int) -> None:
        self.coalesced += superseded
        self.order.remove(removed)
        for record in removed:
            self._fresh.pop(record, None)
        for record, (session, kind, _, _) in enumerate(appends, self._next):
            self.order.add(session, record, kind)
        self._next += len(appends)

    def _commit(
        self,
        rows: Sequence[tuple[int, str, int, float, bytes]],
        put_aside: Iterable[int],
        removed: Iterable[int],
        last: Mapping[str, Unfinished | None],
    ) -> None:
        database = self._database
        if database is None:
            raise sqlite3.OperationalError("the file is not open")
        try:
            database.execute("BEGIN IMMEDIATE")
            _put(database, "INSERT INTO record (id, session, kind, event_time, payload)", rows)
            for some in _parts(put_aside):
                database.execute(
                    "INSERT INTO refused (session, kind, event_time, payload) SELECT session, kind, event_time, payload"
                    f" FROM record WHERE id IN {_marks(some)} ORDER BY id", some
                )
            for some in _parts(removed):
                database.execute(f"DELETE FROM record WHERE id IN {_marks(some)}", some)
            _put(database, "REPLACE INTO unfinished (session, event_time, payload)", list(filter(None, last.values())))
            for some in _parts(session for session, row in last.items() if not row):
                database.execute(f"DELETE FROM unfinished WHERE session IN {_marks(some)}", some)
            database.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back(database)
            raise

    @staticmethod
    def _roll_back(database: sqlite3.Connection) -> None:
        try:
            if database.in_transaction:
                database.execute("ROLLBACK")
        except sqlite3.Error:
            pass

    def read(self, records: Sequence[int]) -> list[Record]:
        """The records of these ids, in the order of ids."""
        if self._database is None:
            raise sqlite3.OperationalError("the file is not open")
        known = {**self._fresh, **self.held} if self.held else self._fresh
        found = [Record(record, *known[record]) for record in records if record in known]
        saved = [record for record in records if record not in known] if found else records
        for start in range(0, len(saved), READ_AT_ONCE):
            some = saved[start : start + READ_AT_ONCE]
            rows = self._database.execute(
                f"SELECT id, session, kind, event_time, payload FROM record WHERE id IN {_marks(some)}", some
            )
            found += [Record(*row) for row in rows]
        found.sort(key=lambda record: record.id)
        return found

    def oldest(self) -> float | None:
        """Event time of the record that came first; of the file's, if it has any."""
        if self._database is None:
            return None
        row = self._database.execute("SELECT event_time FROM record ORDER BY id LIMIT 1").fetchone()
        if row is None:
            row = next(((fields[2],) for fields in self.held.values()), None)
        return row[0] if row else None

    def unfinished(self, after: str, limit: int) -> list[Unfinished]:
        """Sessions that have a Start and no Stop, with the last record that is known: a page, in the order of keys."""
        if self._database is None:
            raise sqlite3.OperationalError("the file is not open")
        rows = self._database.execute(
            "SELECT session, event_time, payload FROM unfinished WHERE session > ? ORDER BY session LIMIT ?",
            (after, limit),
        ).fetchall()
        waiting = [record for row in rows if (record := self.order.last(row[0], INTERIM)) is not None]
        newer = {record.session: (record.session, record.event_time, record.payload) for record in self.read(waiting)}
        newer.update((row[0], self._newer[row[0]]) for row in rows if row[0] in self._newer)
        return [newer.get(row[0], row) for row in rows]


def _first_and_last_words(appends: Iterable[Fields]) -> dict[str, Unfinished | None]:
    """What `unfinished` says at once of these sessions."""
    words: dict[str, Unfinished | None] = {}
    for session, kind, event_time, payload in appends:
        if kind == START:
            words[session] = (session, event_time, payload)
        elif kind == STOP:
            words[session] = None
    return words


def _marks(row: Sequence[Any]) -> str:
    return f"({','.join('?' * len(row))})"


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    """As many as one statement has."""
    left = list(values)
    for start in range(0, len(left), ROWS_AT_ONCE):
        yield left[start : start + ROWS_AT_ONCE]


def _put(database: sqlite3.Connection, what: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for some in _parts(rows):
        database.execute(f"{what} VALUES {','.join([_marks(some[0])] * len(some))}", list(chain.from_iterable(some)))
