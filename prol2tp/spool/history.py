"""What has ended and why: the newest records of a daemon, in an sqlite file that outlives it.

    record(id INTEGER PRIMARY KEY, kind TEXT, tunnel INTEGER, session INTEGER, peer TEXT, user TEXT, text BLOB)

Used by one process and one thread. Records are kept in memory for a moment and written together; commits are not
synced, since after a power failure a few records less hurt nobody. A file that is damaged or cannot be written costs
history and nothing else.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

VERSION = 1
AT_ONCE = 500
"""Records that are written together at the latest."""
WRITE_AFTER = 1.0
"""Seconds that a record waits in memory."""
SLACK = 1000
"""Records beyond the limit that are there before the oldest are removed."""
_CREATE = (
    "CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
    " tunnel INTEGER NOT NULL, session INTEGER NOT NULL, peer TEXT NOT NULL, user TEXT NOT NULL, text BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS by_user ON record (user, id)",
    "CREATE INDEX IF NOT EXISTS by_tunnel ON record (tunnel, session, id)",
    "CREATE INDEX IF NOT EXISTS by_peer ON record (peer, id)",
)
KEYS = ("kind", "tunnel", "session", "peer", "user")
"""What records are found by."""


class History:
    """The file; in memory until `open`, and for good when that fails.

    :param clock: a reactor or `task.Clock`.
    :param say: called with a line for the log when the file is at fault.
    """

    def __init__(self, clock: Any, say: Callable[[str], None], limit: int = 100_000) -> None:
        self.limit = limit
        """Most records; 0: none are kept."""
        self._clock = clock
        self._say = say
        self._path = ""
        self._waiting: list[tuple[Any, ...]] = []
        self._call: Any = None
        self._count = 0
        self._failed = False
        self._database = self._memory()

    def _memory(self) -> sqlite3.Connection:
        database = sqlite3.connect(":memory:", isolation_level=None)
        for statement in _CREATE:
            database.execute(statement)
        return database

    def open(self, path: str) -> None:
        """Use this file from now on. What is wrong with it is said; a damaged one is moved aside."""
        self._path = path
        try:
            try:
                self._database = self._file(path)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.DatabaseError, ValueError) as error:
                aside = f"{path}.damaged-{time.time_ns()}"
                for side in ("", "-wal", "-shm"):
                    if os.path.exists(path + side):
                        os.rename(path + side, aside + side)
                self._say(f"{path} is damaged ({error}): moved to {aside}")
                self._database = self._file(path)
        except (sqlite3.Error, OSError, ValueError) as error:
            self._say(f"{path}: {error}: history is kept until the daemon ends")
            self._database = self._memory()
        self._count = self._database.execute("SELECT count(*) FROM record").fetchone()[0]

    @staticmethod
    def _file(path: str) -> sqlite3.Connection:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, timeout=0.5, isolation_level=None)
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF", "journal_size_limit=16777216"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
            database.close()
            raise ValueError("another version")
        for statement in _CREATE:
            database.execute(statement)
        database.execute(f"PRAGMA user_version={VERSION}")
        database.execute("COMMIT")
        return database

    def add(self, record: Mapping[str, Any], **keys: Any) -> None:
        """A record, by `KEYS`; those that make no sense for it are left out."""
        if not self.limit:
            return
        text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        self._waiting.append((keys["kind"], keys.get("tunnel", 0), keys.get("session", 0),
                              _clean(keys.get("peer", "")), _clean(keys.get("user", "")), text))
        if len(self._waiting) >= AT_ONCE:
            self.flush()
        elif self._call is None:
            self._call = self._clock.callLater(WRITE_AFTER, self._due)

    def _due(self) -> None:
        self._call = None
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        try:
            self._write(rows)
        except sqlite3.Error as error:
            if not self._failed:
                self._say(f"{self._path}: {error}: records of what has ended are lost")
            self._failed = True
        else:
            self._failed = False

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        database = self._database
        database.execute("BEGIN")
        try:
            database.executemany(
                "INSERT INTO record (kind, tunnel, session, peer, user, text) VALUES (?, ?, ?, ?, ?, ?)", rows)
            count = self._count + len(rows)
            if count > self.limit + SLACK:
                oldest = database.execute("SELECT id FROM record ORDER BY id LIMIT 1 OFFSET ?",
                                          (count - self.limit,)).fetchone()[0]
                count -= database.execute("DELETE FROM record WHERE id < ?", (oldest,)).rowcount
            database.execute("COMMIT")
            self._count = count
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def read(self, before: int, limit: int, room: int, **match: Any) -> tuple[list[bytes], int]:
        """Records as JSON, newest first, that have these `KEYS`: at most `limit`, and `room` octets with a comma each.

        :param before: where to go on, from the call before; 0: at the newest.
        :returns: the records, and where to go on; 0: there are no more.
        """
        self.flush()
        words, values = [], []
        for name, value in match.items():
            if name not in KEYS:
                raise ValueError(f"no key {name}")
            words.append(f"{name} = ?")
            values.append(_clean(value) if isinstance(value, str) else value)
        if before:
            words.append("id < ?")
            values.append(before)
        where = f"WHERE {' AND '.join(words)}" if words else ""
        texts: list[bytes] = []
        last = 0
        found = self._database.execute(f"SELECT id, text FROM record {where} ORDER BY id DESC LIMIT ?",
                                       (*values, limit + 1))
        for id, text in found:
            room -= len(text) + 1
            if len(texts) == limit or (room < 0 and texts):
                return texts, last
            texts.append(text)
            last = id
        return texts, 0

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.flush()
        self._database.close()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
