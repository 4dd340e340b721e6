"""The accounting queue as a daemon uses it: Deferreds in the reactor, the file on a thread of its own.

All that is asked in one reactor turn, and all that comes while the disk is busy, is one transaction (`CHUNK` at most).
When the disk is full or fails, records are held in memory and tried again; they can be taken and acknowledged as the
others can, and their Deferreds fire when the disk has them or need not have them any more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from prol2tp.spool.file import FAILURES, Fields, Record, SpoolFile, Unfinished, is_damage
from prol2tp.spool.order import INTERIM, KINDS

_log = Logger(namespace="accounting")

CHUNK = 500
"""Writes in one transaction, and callbacks in one reactor turn."""
RETRY_FIRST = 1.0
RETRY_MOST = 30.0


class QueueFailed(Exception):
    """The file could not be opened, or the queue was stopped before the disk took the record. The text says why."""


@dataclass(slots=True)
class Status:
    """The queue as of its last turn; plain numbers, for `propppctl status`."""

    depth: int = 0
    """Records that no server has acknowledged."""
    ready: int = 0
    """Of these: may be taken now."""
    taken: int = 0
    """Of these: in the hands of a sender."""
    unsaved: int = 0
    """Records in memory alone, because the disk takes nothing: lost if the daemon is killed now."""
    oldest_event_time: float | None = None
    """Unix time of the oldest record's event."""
    appended: int = 0
    acknowledged: int = 0
    coalesced: int = 0
    """Interims that gave way to newer ones."""
    refused: int = 0
    """Records that were put aside because they cannot be sent."""
    trouble: str = ""
    """Why the disk takes nothing at present."""


@dataclass(slots=True)
class _Append:
    session: str
    kind: int
    event_time: float
    payload: bytes
    waiting: list[Deferred[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Acknowledge:
    records: tuple[int, ...]
    waiting: list[Deferred[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Refuse:
    records: tuple[int, ...]
    waiting: list[Deferred[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Unfinished:
    after: str
    limit: int
    waiting: list[Deferred[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Take:
    limit: int
    waiting: list[Deferred[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Release:
    records: tuple[int, ...]


_Done = list[tuple[list[Deferred[Any]], Any]]


class AccountingQueue:
    """A durable queue of accounting records, at least once, in order within a session.

    :param path: the file; its directory must be there.
    :param reactor: all Deferreds fire in it.
    :param on_ready: called in the reactor when records may be taken: at start, after appends, acknowledgements and
        releases, once for each turn. Not after `take`.
    :param on_trouble: called in the reactor with the reason when the disk takes nothing, with "" when it does again.

    `on_ready` and `on_trouble` may be set any time. A sender keeps its window full so: when called, `take` what fits
    the window, send, `acknowledge` what the server has answered, `release` what it gives up.
    """

    def __init__(
        self,
        path: str,
        reactor: Any,
        on_ready: Callable[[], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self.status = Status()
        self.on_ready = on_ready
        self.on_trouble = on_trouble
        self._reactor = reactor
        self._file = SpoolFile(path, self._say)
        self._condition = threading.Condition()
        self._asked: list[Any] = []
        self._interims: dict[str, _Append] = {}  # of self._asked, by session
        self._replaced = 0  # Interims replaced before the thread had them
        self._stopping = False
        self._started: Deferred[None] = Deferred()
        self._stopped: Deferred[None] = Deferred()
        self._thread = threading.Thread(target=self._run, name="accounting queue", daemon=True)
        # of the thread alone
        self._writes: list[Any] = []  # asked, neither saved nor held
        self._waiting: list[list[Deferred[Any]]] = []  # for what is held
        self._fresh = False  # a new file was begun and has taken nothing yet: it is not the file that is at fault
        self._unread = False  # a `take` has failed: its sender must hear when to try again
        self._retry_at = 0.0
        self._retry_after = RETRY_FIRST
        self._trouble = ""
        self._counted = 0
        self._counted_acknowledged = 0

    # in the reactor

    def start(self) -> Deferred[None]:
        """Open the file; fires when what it holds may be taken. Fails with `QueueFailed`: then the queue is no good."""
        self._thread.start()
        return self._started

    def append(self, session: str, kind: int, payload: bytes, event_time: float) -> Deferred[None]:
        """Save a record; fires when it is on the disk. Records of one session are sent in the order of the calls.

        :param session: the session's key, such as its Acct-Session-Id; ACCOUNTING_ON and OFF have a key of their own.
        :param kind: Acct-Status-Type, of `order.KINDS`. An Interim replaces one of its session that still waits; that
            one's Deferred fires with the newer one's.
        :param event_time: Unix time.

        Raises `ValueError` or `UnicodeError` for what cannot be saved.
        """
        if kind not in KINDS or not math.isfinite(event_time):
            raise ValueError(f"accounting record of kind {kind} at {event_time}")
        session.encode()
        done: Deferred[None] = Deferred()
        with self._condition:
            if self._stopping:
                done.errback(QueueFailed("the queue is stopped"))
                return done
            waiting = self._interims.get(session) if kind == INTERIM else None
            if waiting is not None:
                waiting.payload, waiting.event_time = bytes(payload), event_time
                waiting.waiting.append(done)
                self._replaced += 1
                return done
            record = _Append(session, int(kind), float(event_time), bytes(payload), [done])
            if kind == INTERIM:
                self._interims[session] = record
            else:
                self._interims.pop(session, None)
            self._ask(record)
        return done

    def take(self, limit: int) -> Deferred[list[Record]]:
        """Up to `limit` records that may be sent now, oldest first: of each session the oldest, if it is not taken yet.
        They are the caller's until it acknowledges or releases them."""
        done: Deferred[list[Record]] = Deferred()
        with self._condition:
            if self._stopping:
                done.callback([])
            else:
                self._ask(_Take(int(limit), [done]))
        return done

    def acknowledge(self, records: Iterable[int]) -> Deferred[None]:
        """A server has these; fires when they are gone from the disk. Their sessions' next may be taken."""
        done: Deferred[None] = Deferred()
        with self._condition:
            if self._stopping:
                done.errback(QueueFailed("the queue is stopped"))
            else:
                self._ask(_Acknowledge(tuple(map(int, records)), [done]))
        return done

    def refuse(self, records: Iterable[int]) -> Deferred[None]:
        """These cannot be sent, ever: they are put aside in the file for people to look at, and their sessions go
        on."""
        done: Deferred[None] = Deferred()
        with self._condition:
            if self._stopping:
                done.errback(QueueFailed("the queue is stopped"))
            else:
                self._ask(_Refuse(tuple(map(int, records)), [done]))
        return done

    def unfinished(self, after: str, limit: int) -> Deferred[list[Unfinished]]:
        """The sessions without a Stop, with event time and payload of their last Start or Interim: at most `limit`, in
        the order of their keys, those behind `after`. Fails with `QueueFailed`."""
        done: Deferred[list[Unfinished]] = Deferred()
        with self._condition:
            if self._stopping:
                done.errback(QueueFailed("the queue is stopped"))
            else:
                self._ask(_Unfinished(after, int(limit), [done]))
        return done

    def release(self, records: Iterable[int]) -> None:
        """No server took these: they may be taken again."""
        with self._condition:
            if not self._stopping:
                self._ask(_Release(tuple(map(int, records))))

    def stop(self) -> Deferred[None]:
        """Save what was asked, close the file, end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.ident is None:
            self._stopped.callback(None)
        return self._stopped

    def _ask(self, request: Any) -> None:
        self._asked.append(request)
        if len(self._asked) == 1:
            self._condition.notify()

    def _deliver(self, done: _Done, status: Status, ready: bool) -> None:
        before, self.status = self.status, status
        if bool(before.trouble) != bool(status.trouble) and self.on_trouble is not None:
            self.on_trouble(status.trouble)
        for waiting, result in done:
            for deferred in waiting:
                if isinstance(result, Exception):
                    deferred.errback(result)
                else:
                    deferred.callback(result)
        if ready and status.ready and self.on_ready is not None:
            try:
                self.on_ready()
            except Exception:
                _log.failure("sending accounting records")

    def _say(self, text: str) -> None:
        self._reactor.callFromThread(lambda: _log.error("{text}", text=text))

    # in the thread

    def _run(self) -> None:
        try:
            self._file.open()
        except FAILURES as error:
            locked = ": another process has it" if "locked" in str(error) else ""
            failed = QueueFailed(f"accounting queue {self._file.path}: {error}{locked}")
            with self._condition:
                self._stopping = True
                refused, self._asked = self._asked, []
            ended = [(request.waiting, failed) for request in refused if not isinstance(request, _Release)]
            self._end([([self._started], failed), *ended])
            return
        self._reactor.callFromThread(self._deliver, [([self._started], None)], self._status(), True)
        try:
            while self._turn():
                pass
        except Exception as error:  # a fault of ours: nobody may wait for ever
            self._trouble = repr(error)
            with self._condition:
                self._stopping = True
                self._writes += self._asked
        lost = QueueFailed(f"accounting queue: not saved: {self._trouble}")
        if self._writes or self._waiting:
            count = len(self._file.held) + len([one for one in self._writes if isinstance(one, _Append)])
            self._say(f"accounting queue {self._file.path}: {count} records lost: {self._trouble}")
        ended = [(request.waiting, lost) for request in self._writes if not isinstance(request, _Release)]
        ended += [(waiting, lost) for waiting in self._waiting]
        with suppress(*FAILURES):
            self._file.finish()
        status = self._status()
        self._file.close()
        self._end(ended, status)

    def _end(self, done: _Done, status: Status | None = None) -> None:
        done.append(([self._stopped], None))
        self._reactor.callFromThread(self._deliver, done, status or Status(), False)

    def _turn(self) -> bool:
        """Wait for requests, or the time to try again, and do them; False after the last turn."""
        with self._condition:
            if not self._asked and not self._stopping:
                self._condition.wait(self._patience())
            asked, self._asked = self._asked, []
            self._interims = {}
            last = self._stopping
        others: list[_Take | _Unfinished | _Release] = []
        for request in asked:
            if isinstance(request, (_Append, _Acknowledge, _Refuse)):
                self._writes.append(request)
            else:
                others.append(request)
        due = last or time.monotonic() >= self._retry_at
        while self._writes or (self._waiting and due):
            if not due:
                self._hold()
            elif not self._write():
                due = False
        if due and not asked and self._file.flush_in() == 0:
            self._write()
        done: _Done = []
        changed = self._unread and time.monotonic() >= self._retry_at
        if changed:
            self._unread = False
        for other in others:
            if isinstance(other, _Take):
                done.append((other.waiting, self._take(other.limit)))
            elif isinstance(other, _Unfinished):
                done.append((other.waiting, self._read_unfinished(other)))
            else:
                self._file.order.release(other.records)
                changed = True
        self._reactor.callFromThread(self._deliver, done, self._status(), changed)
        return not last

    def _patience(self) -> float | None:
        """Seconds until something is to be done that nobody asks for; None: nothing is."""
        flush = self._file.flush_in()
        retry = max(0.0, self._retry_at - time.monotonic())
        if self._waiting or self._unread:
            return retry
        return None if flush is None else max(flush, retry)

    def _chunk(self) -> tuple[list[Any], list[Fields], list[int], list[int]]:
        some = self._writes[:CHUNK]
        appends: list[Fields] = []
        acknowledged: list[int] = []
        refused: list[int] = []
        for request in some:
            if isinstance(request, _Append):
                appends.append((request.session, request.kind, request.event_time, request.payload))
            elif isinstance(request, _Acknowledge):
                acknowledged += request.records
            else:
                refused += request.records
        return some, appends, acknowledged, refused

    def _settle(self, some: list[Any], appends: list[Fields], acknowledged: list[int], done: _Done) -> None:
        del self._writes[:CHUNK]
        self._counted += len(appends)
        self._counted_acknowledged += len(acknowledged)
        if some:
            self._reactor.callFromThread(self._deliver, done, self._status(), True)

    def _write(self) -> bool:
        """One transaction; False when the disk does not take it."""
        some, appends, acknowledged, refused = self._chunk()
        try:
            self._file.write(appends, acknowledged, refused)
        except FAILURES as error:
            if is_damage(error) and not self._fresh and self._renewed(error):
                self._fresh = True
                return True
            self._troubled(error)
            return False
        self._fresh = False
        self._recovered()
        done: _Done = [(waiting, None) for waiting in self._waiting]
        done += [(request.waiting, None) for request in some]
        self._waiting = []
        self._settle(some or done, appends, acknowledged, done)
        return True

    def _hold(self) -> None:
        """Into memory, until the disk is tried again."""
        some, appends, acknowledged, refused = self._chunk()
        self._file.hold(appends, acknowledged, refused)
        self._waiting += [request.waiting for request in some]
        self._settle(some, appends, acknowledged, [])

    def _renewed(self, error: Exception) -> bool:
        try:
            self._file.set_aside(error)
        except FAILURES as again:
            self._troubled(again)
            return False
        return True

    def _recovered(self) -> None:
        if self._trouble:
            self._say(f"accounting queue {self._file.path}: the disk takes records again")
        self._trouble, self._retry_after, self._retry_at = "", RETRY_FIRST, 0.0

    def _troubled(self, error: Exception) -> None:
        """Said once, until it is over; tried again later and later."""
        if not self._trouble:
            self._say(
                f"accounting queue {self._file.path}: {error}: records are held in memory, and the disk is tried"
                f" again"
            )
        self._trouble = str(error)
        self._retry_at = time.monotonic() + self._retry_after
        self._retry_after = min(2 * self._retry_after, RETRY_MOST)

    def _take(self, limit: int) -> list[Record]:
        taken = self._file.order.take(limit)
        if not taken:
            return []
        try:
            records = self._file.read(taken)
            if not self._waiting:
                self._recovered()
            return records
        except FAILURES as error:
            self._file.order.release(taken)
            if not is_damage(error) or not self._renewed(error):
                self._troubled(error)
                self._unread = True
            return []

    def _read_unfinished(self, asked: _Unfinished) -> list[Unfinished] | QueueFailed:
        try:
            return self._file.unfinished(asked.after, asked.limit)
        except FAILURES as error:
            return QueueFailed(f"accounting queue {self._file.path}: {error}")

    def _status(self) -> Status:
        order = self._file.order
        try:
            oldest = self._file.oldest()
        except FAILURES:
            oldest = None
        return Status(
            depth=len(order),
            ready=order.ready,
            taken=order.taken,
            unsaved=len(self._file.held),
            oldest_event_time=oldest,
            appended=self._counted,
            acknowledged=self._counted_acknowledged,
            coalesced=self._file.coalesced + self._replaced,
            refused=self._file.refused,
            trouble=self._trouble,
        )
