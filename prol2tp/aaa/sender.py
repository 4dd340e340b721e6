"""From the queue to the servers: a window full of records under way, those whose servers are dead out of the way.

A record belongs to a group: the servers of its user's realm. While none of a group lives (the RADIUS client finds out,
and when one lives again), its records are parked by their numbers, and those of other groups go on. A record that its
living servers leave unanswered is tried again later and later. One that cannot be sent at all is put aside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from prol2tp.aaa.records import Clocks, Stored, unpack
from prol2tp.common.bucket import Bucket
from prol2tp.common.deadlines import Deadlines
from prol2tp.net.deadlines import LazyTimer
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.outputs import AccountingAcknowledged, AnswerDropped, NoAnswer, ServerAlive, ServerDead
from prol2tp.spool.file import Record
from prol2tp.spool.queue import AccountingQueue

_log = Logger(namespace="accounting")

FIRST_RETRY, LAST_RETRY = 5.0, 600.0
"""Seconds until a record that got no answer is sent again: doubles each time."""

COMPLAIN_AFTER = 3
"""Tries of one record until the log has it, and not more than one such line a minute."""
Group = tuple[str, ...]


class Sender:
    """Empties a queue.

    :param port: a `net.radius.RadiusPort`.
    :param unpack: of a record's payload.
    """

    def __init__(self, clock: Any, queue: AccountingQueue, port: Any, clocks: Clocks,
                 unpack: Callable[[bytes], Stored] = unpack) -> None:
        self.refusals = 0
        self._clock = clock
        self._queue = queue
        self._port = port
        self._clocks = clocks
        self._unpack = unpack
        self._under_way: dict[int, tuple[Group, Deferred[Any] | None]] = {}
        self._parked: dict[Group, list[int]] = {}
        self._tries: dict[int, int] = {}
        self._later = Deadlines()
        self._timer = LazyTimer(clock, self._due)
        self._acknowledged: list[int] = []
        self._complaints = Bucket(1, 60.0, clock.seconds())
        self._taking = False
        self._stopped = False
        queue.on_ready = self.fill

    @property
    def waiting(self) -> int:
        """Records whose servers are all dead, as far as that has been looked at."""
        return sum(map(len, self._parked.values())) + (0 if self._hopeful() else self._queue.status.ready)

    @property
    def busy(self) -> bool:
        """Something is under way, or will be at once."""
        return bool(self._under_way or self._acknowledged or self._taking or (
            self._queue.status.ready and self._hopeful()))

    def _hopeful(self) -> bool:
        """A server lives."""
        return any(service.alive for (_, kind), service in self._port.core.services.items() if kind == "acct")

    def fill(self) -> None:
        """Take what fits the window; nothing while all servers are dead."""
        room = self._port.core.settings.max_in_progress - len(self._under_way)
        if self._taking or self._stopped or room <= 0 or not self._hopeful():
            return
        self._taking = True
        self._queue.take(room).addCallback(self._taken)

    def _taken(self, records: list[Record]) -> None:
        self._taking = False
        if self._stopped:
            return
        for record in records:
            try:
                self._send(record)
            except Exception as error:  # whatever the file holds costs this record
                self._under_way.pop(record.id, None)
                self._refuse(record.id, f"{type(error).__name__}: {error}")
        if records:
            self.fill()

    def _send(self, record: Record) -> None:
        stored = self._unpack(record.payload)
        request = stored.request
        group = self._group(request)
        if not self._alive(group):
            self._parked.setdefault(group, []).append(record.id)
            return
        request.delay = stored.age(self._clocks)
        self._under_way[record.id] = (group, None)
        asked = self._port.request(request)
        if record.id in self._under_way:
            self._under_way[record.id] = (group, asked)
        asked.addBoth(self._over, record.id, group)

    def _over(self, result: Any, record: int, group: Group) -> None:
        self._under_way.pop(record, None)
        if self._stopped:
            return
        if isinstance(result, AccountingAcknowledged):
            self._tries.pop(record, None)
            self._acknowledged.append(record)
            if len(self._acknowledged) == 1:
                self._clock.callLater(0, self._acknowledge)
        elif isinstance(result, NoAnswer) and result.unsendable:
            self._refuse(record, result.reason)
        elif not self._alive(group):
            self._parked.setdefault(group, []).append(record)
        else:
            tries = self._tries[record] = self._tries.get(record, 0) + 1
            if tries == COMPLAIN_AFTER and self._complaints.take(self._clock.seconds()):
                _log.warn("no server acknowledges accounting record {record}, although they answer others: tried again",
                          record=record)
            self._later.set(record, self._clock.seconds() + min(FIRST_RETRY * 2.0 ** min(tries - 1, 16), LAST_RETRY))
            self._timer.want(self._later.next())

    def _acknowledge(self) -> None:
        records, self._acknowledged = self._acknowledged, []
        if records:
            self._queue.acknowledge(records).addErrback(_unsaved)
            self.fill()

    def _refuse(self, record: int, reason: str) -> None:
        self._tries.pop(record, None)
        self.refusals += 1
        _log.error("an accounting record cannot be sent ({reason}): it is put aside, see the table refused of the "
                   "queue", reason=reason)
        self._queue.refuse([record]).addErrback(_unsaved)

    def _due(self, now: float) -> None:
        self._queue.release(self._later.expired(now))  # type: ignore[arg-type]
        self._timer.want(self._later.next())

    # servers

    def _group(self, request: AccountingRequest) -> Group:
        return tuple(service.name for service in self._port.core.group_of(request))

    def _alive(self, group: Group) -> bool:
        services = self._port.core.services
        return any((service := services.get((name, "acct"))) is not None and service.alive for name in group)

    def server_changed(self, change: ServerDead | ServerAlive | AnswerDropped) -> None:
        """Of `RadiusPort`."""
        if change.kind != "acct" or self._stopped or isinstance(change, AnswerDropped):
            return
        if isinstance(change, ServerAlive):
            self._unpark([group for group in self._parked if change.server in group])
            self.fill()
            return
        dead = {group for group, _ in self._under_way.values() if change.server in group and not self._alive(group)}
        if dead:
            # a turn later: the client is within its own work
            self._clock.callLater(0, self._give_up, dead)

    def _give_up(self, groups: set[Group]) -> None:
        """Room in the window for records whose servers live."""
        for group, asked in list(self._under_way.values()):
            if group in groups and asked is not None and not self._alive(group):
                asked.cancel()
        self.fill()

    def servers_changed(self) -> None:
        """There are other servers now."""
        self._unpark(list(self._parked))
        self.fill()

    def _unpark(self, groups: list[Group]) -> None:
        for group in groups:
            self._queue.release(self._parked.pop(group))

    def stop(self) -> None:
        """Nothing is sent any more; what is under way stays in the queue, but for what was answered."""
        self._stopped = True
        self._acknowledge()
        self._timer.stop()


def _unsaved(failure: Any) -> None:
    """The queue says itself what it loses; what is not acknowledged is sent again, at worst."""
