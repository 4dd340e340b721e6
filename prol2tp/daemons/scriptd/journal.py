"""What scripts have still to be run for, on disk: sqlite in WAL mode, used by one process.

    event(id INTEGER PRIMARY KEY, source TEXT, event TEXT, time REAL, data TEXT, attempts INTEGER, pid INTEGER,
          started TEXT)
    cursor(source TEXT PRIMARY KEY, instance TEXT, sequence INTEGER)

An event and the cursor of its daemon are saved in one transaction, so that each is taken once. A row goes when its
script has ended. Commits survive the death of the process, not that of the machine, with which the daemons die too.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
_CREATE = (
    "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, event TEXT NOT NULL,"
    " time REAL NOT NULL, data TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL DEFAULT 0,"
    " started TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS cursor (source TEXT PRIMARY KEY, instance TEXT NOT NULL, sequence INTEGER NOT NULL)"
    " WITHOUT ROWID",
)


@dataclass(slots=True)
class Row:
    """An event whose script has not ended. `attempts`: how often it was begun. `pid`, `started`: of the
    process that runs it; 0: none is known."""

    id: int
    source: str
    event: str
    time: float
    data: dict[str, Any] = field(repr=False)
    attempts: int
    pid: int
    started: str


class Journal:
    """The file. Every method blocks for some tens of microseconds, `open` longer. They raise `sqlite3.Error`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.moved = ""
        """Where a damaged file went."""
        self._database: sqlite3.Connection

    def open(self) -> None:
        """Open or make it; a damaged file is moved aside. Raises `sqlite3.Error` (another process has it) or
        `OSError`."""
        try:
            self._open()
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, ValueError):
            self._database.close()
            self.moved = f"{self.path}.damaged-{time.time_ns()}"
            for side in ("", "-wal", "-shm"):
                if os.path.exists(self.path + side):
                    os.rename(self.path + side, self.moved + side)
            self._open()

    def _open(self) -> None:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        database = self._database = sqlite3.connect(self.path, timeout=0.5, isolation_level=None)
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL",
                       "journal_size_limit=16777216"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
            raise ValueError("another version")
        for statement in _CREATE:
            database.execute(statement)
        database.execute(f"PRAGMA user_version={VERSION}")
        database.execute("COMMIT")
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise ValueError("damaged")

    def close(self) -> None:
        self._database.close()

    def cursor(self, source: str) -> tuple[str, int] | None:
        """Run of the daemon, and the sequence number of its last event that we have."""
        found = self._database.execute("SELECT instance, sequence FROM cursor WHERE source = ?", (source,)).fetchone()
        return (found[0], found[1]) if found else None

    def append(self, source: str, instance: str, sequence: int,
               events: Sequence[tuple[str, float, dict[str, Any]]]) -> list[int]:
        """Save events (name, time, data) and how far the daemon has been heard. -> their ids, growing."""
        database = self._database
        ids: list[int] = []
        database.execute("BEGIN IMMEDIATE")
        try:
            for event, when, data in events:
                values = (source, event, when, json.dumps(data, separators=(",", ":")))
                made = database.execute("INSERT INTO event (source, event, time, data) VALUES (?, ?, ?, ?)", values)
                ids.append(int(made.lastrowid or 0))
            database.execute("REPLACE INTO cursor VALUES (?, ?, ?)", (source, instance, sequence))
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return ids

    def rows(self) -> Iterable[Row]:
        """All that is left, oldest first."""
        for row in self._database.execute(
                "SELECT id, source, event, time, data, attempts, pid, started FROM event ORDER BY id"):
            yield _row(row)

    def read(self, id: int) -> Row | None:
        found = self._database.execute(
            "SELECT id, source, event, time, data, attempts, pid, started FROM event WHERE id = ?", (id,)).fetchone()
        return _row(found) if found else None

    def begun(self, id: int, attempts: int, pid: int, started: str) -> None:
        """The script of an event is about to run (`pid` 0), or runs as this process."""
        self._database.execute("UPDATE event SET attempts = ?, pid = ?, started = ? WHERE id = ?",
                               (attempts, pid, started, id))

    def done(self, ids: Iterable[int]) -> None:
        """The scripts of these events have ended."""
        self._database.executemany("DELETE FROM event WHERE id = ?", [(id,) for id in ids])


def _row(row: tuple[Any, ...]) -> Row:
    id, source, event, when, data, attempts, pid, started = row
    return Row(id, source, event, when, json.loads(data), attempts, pid, started)
