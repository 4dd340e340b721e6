"""Parts of accounting for tests in virtual time: a queue without a thread, and a RADIUS client whose answers a test
gives.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from prol2tp.aaa.records import Stored, pack, unpack
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.outputs import AccountingAcknowledged, NoAnswer
from prol2tp.radius.servers import ServerSettings
from prol2tp.spool.file import Record, SpoolFile
from prol2tp.spool.queue import Status


class DirectQueue:
    """An `AccountingQueue` that does at once what it is asked; `on_ready` comes in the next turn."""

    def __init__(self, path: str, clock: Clock, on_ready: Any = None, on_trouble: Any = None) -> None:
        self.on_ready = on_ready
        self.on_trouble = on_trouble
        self.path = path
        self.clock = clock
        self.file = SpoolFile(path, self._say)
        self.acknowledged: list[int] = []
        self.takes = 0

    def _say(self, text: str) -> None:
        raise AssertionError(text)

    @property
    def status(self) -> Status:
        order = self.file.order
        return Status(depth=len(order), ready=order.ready, taken=order.taken, oldest_event_time=self.file.oldest(),
                      refused=self.file.refused)

    def start(self) -> Deferred[None]:
        self.file.open()
        self.ready()
        return succeed(None)

    def ready(self) -> None:
        self.clock.callLater(0, lambda: self.on_ready and self.file.order.ready and self.on_ready())

    def append(self, session: str, kind: int, payload: bytes, event_time: float) -> Deferred[None]:
        self.file.write([(session, kind, event_time, payload)], [])
        self.ready()
        return succeed(None)

    def take(self, limit: int) -> Deferred[list[Record]]:
        self.takes += 1
        return succeed(self.file.read(self.file.order.take(limit)))

    def acknowledge(self, records: Any) -> Deferred[None]:
        records = list(records)
        self.acknowledged += records
        self.file.write([], records)
        self.ready()
        return succeed(None)

    def refuse(self, records: Any) -> Deferred[None]:
        self.file.write([], [], list(records))
        self.ready()
        return succeed(None)

    def release(self, records: Any) -> None:
        self.file.order.release(records)
        self.ready()

    def unfinished(self, after: str, limit: int) -> Deferred[Any]:
        return succeed(self.file.unfinished(after, limit))

    def stop(self) -> Deferred[None]:
        self.file.close()
        return succeed(None)

    # for tests

    def stored(self) -> list[Stored]:
        """All records that can be read, in order."""
        query = "SELECT payload FROM record WHERE length(payload) > 1 ORDER BY id"
        rows = self.file._database.execute(query).fetchall()  # type: ignore[union-attr]
        return [unpack(row[0]) for row in rows]

    def put(self, request: AccountingRequest, kind: int, at: float = 0.0, boot: str = "") -> None:
        self.append(request.session_id, kind, pack(Stored(request, at, boot)), float(request.event_timestamp))


class RadiusPeer:
    """A `RadiusPort` with a client whose servers live and die as a test says."""

    def __init__(self, servers: tuple[ServerSettings, ...], window: int = 4) -> None:
        self.core = RadiusClient(servers, bytes)
        self.core.settings.max_in_progress = window
        self.driver = SimpleNamespace(now=lambda: 0.0)
        self.asked: list[tuple[AccountingRequest, Deferred[Any]]] = []
        self.cancelled: list[str] = []
        self.server_changed: Callable[[Any], None] = lambda change: None

    def carry_out(self) -> None:
        self.core.outputs()

    def request(self, record: AccountingRequest, prefer: str = "") -> Deferred[Any]:
        asked: Deferred[Any] = Deferred(lambda _: self._cancelled(record))
        self.asked.append((record, asked))
        return asked

    def _cancelled(self, record: AccountingRequest) -> None:
        self.cancelled.append(record.session_id)
        self.asked = [one for one in self.asked if one[0] is not record]

    @property
    def sessions(self) -> list[str]:
        """Of the records under way."""
        return [record.session_id for record, _ in self.asked]

    def answer(self, count: int = 1) -> None:
        for _ in range(count):
            self.asked.pop(0)[1].callback(AccountingAcknowledged(1, "r1"))

    def no_answer(self, reason: str = "no server answered in time", unsendable: bool = False) -> None:
        self.asked.pop(0)[1].callback(NoAnswer(1, reason, unsendable))

    def live(self, name: str, alive: bool) -> None:
        self.core.services[name, "acct"].alive = alive


