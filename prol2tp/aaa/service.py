"""Accounting as a daemon has it: the queue in the state directory, who fills it, who empties it, start and stop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater

from prol2tp.aaa.records import Append, Clocks, Recent, Stored, pack
from prol2tp.aaa.recovery import Recovery
from prol2tp.aaa.sender import Sender
from prol2tp.config.radius import Radius
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Nas
from prol2tp.radius.outputs import AnswerDropped, ServerAlive, ServerDead
from prol2tp.spool.order import ACCOUNTING_OFF, ACCOUNTING_ON
from prol2tp.spool.queue import AccountingQueue, QueueFailed

SENDING_PATIENCE = 5.0
"""Seconds that the end of the daemon waits for servers; what is left is sent after the next start."""
LOOK = 0.05
_NO_PATH = SimpleNamespace(instance=None)


class Accounting(Protocol):
    """Who makes the records."""

    append: Append | None
    """None: nothing is accounted."""

    @property
    def idle(self) -> bool:
        """No record is still to come of a session that is over."""

    def configure(self, radius: Radius) -> None:
        """Take over what concerns who is accounted, and how often."""

    def stop(self) -> None:
        """No timers any more."""


class AccountingService:
    """Starts with the first configuration that has a server for accounting.

    :param accounting: fills the queue, with records that `recent` has packed.
    :param run: of `run_name`.
    :param nas: who we are.
    :param port: a `net.radius.RadiusPort`.
    :param path: of the queue's file.
    :param log: has `notice` and `error`.
    :param event: called as `event(name, reason=text)` with 'accounting-trouble' and 'accounting-restored'.
    """

    def __init__(self, reactor: Any, accounting: Accounting, clocks: Clocks, recent: Recent, run: str,
                 nas: Callable[[], Nas], port: Any, path: str, log: Any, event: Callable[..., None]) -> None:
        self._clocks = clocks
        self._recent = recent
        self._accounting = accounting
        self.path = path
        self.queue: AccountingQueue | None = None
        self.sender: Sender | None = None
        self._reactor = reactor
        self.run = run
        self._nas = nas
        self._port = port
        self._log = log
        self._event = event
        self._realms: set[str] = set()
        """One for each group of servers; empty: those that are for no realm."""
        self._told: set[str] = set()
        """Realms whose servers know that we are here."""
        self._ports_made = False
        self.left_over: Callable[[AccountingRequest], None] = lambda stop: None
        """Hears of each session that a former run has left without a Stop."""

    def configure(self, radius: Radius) -> Deferred[None]:
        """Take over; the first time with a server fires when the queue is open. Fails with `QueueFailed`."""
        self._accounting.configure(radius)
        opened: Deferred[None] = succeed(None)
        if radius.accounts and self.queue is None:
            opened = self._open()
        if self.queue is not None:
            self._announce(_realms(radius))
        return opened

    def _open(self) -> Deferred[None]:
        queue = self.queue = AccountingQueue(self.path, self._reactor, on_trouble=self._trouble)
        self.sender = Sender(self._reactor, queue, self._port, self._clocks, self._recent.unpack)
        self._accounting.append = queue.append

        def failed(failure: Any) -> Any:
            self.queue = self.sender = self._accounting.append = None
            self._told.clear()
            return failure

        return queue.start().addCallbacks(lambda _: self._opened(queue), failed)

    def _opened(self, queue: AccountingQueue) -> None:
        if self._ports_made:
            # too late to tell what passed a port before ours were there: the last records have to do
            self._end_former(Recovery(queue, self._clocks, self.run, self.left_over), _NO_PATH, {})

    def server_changed(self, change: ServerDead | ServerAlive | AnswerDropped) -> None:
        """Of `RadiusPort`."""
        if self.sender is not None:
            self.sender.server_changed(change)

    def servers_changed(self) -> None:
        """There are other servers."""
        if self.sender is not None:
            self.sender.servers_changed()

    def _trouble(self, reason: str) -> None:
        self._event("accounting-trouble" if reason else "accounting-restored", reason=reason)

    def record(self) -> dict[str, Any] | None:
        """An `accounting-queue` record."""
        if self.queue is None or self.sender is None:
            return None
        status = self.queue.status
        oldest = status.oldest_event_time
        return {
            "depth": status.depth,
            "oldest": 0 if oldest is None else round(max(0.0, self._clocks.wall() - oldest), 3),
            "waiting": self.sender.waiting, "unsaved": status.unsaved, "coalesced": status.coalesced,
            "refused": status.refused, "trouble": status.trouble,
        }

    # the NAS as a whole

    def _announce(self, realms: set[str]) -> None:
        """Accounting-On for servers that have not heard it; who hears it again ends the sessions that are open."""
        for realm in sorted(realms - self._told):
            self._of_nas("Accounting-On", ACCOUNTING_ON, realm)
        self._told |= realms
        self._realms = realms

    def _of_nas(self, status: str, kind: int, realm: str) -> Deferred[Any]:
        assert self.queue is not None
        now = self._clocks.wall()
        user = f"@{realm}" if realm else ""
        request = AccountingRequest(status, f"{self.run}00000000", int(now), user=user, nas=self._nas())
        payload = pack(Stored(request, self._clocks.monotonic(), self._clocks.boot))
        return self.queue.append(f"nas {realm}", kind, payload, now).addErrback(lambda _: None)

    # the data path

    @inlineCallbacks
    def path_ready(self, dataplane: Any) -> Any:
        """Before any port is made on it. -> Deferred, when what was there before is known; Stops of sessions that
        never got theirs follow by themselves."""
        queue = self.queue
        self._ports_made = True
        if queue is None:
            return
        recovery = Recovery(queue, self._clocks, self.run, self.left_over)
        try:
            live = yield recovery.snapshot(dataplane)
        except QueueFailed:
            return
        self._end_former(recovery, dataplane, live)

    def _end_former(self, recovery: Recovery, dataplane: Any, live: Any) -> None:
        def ended(_: Any) -> None:
            if recovery.ended:
                self._log.notice("{count} sessions of a former run got their Stop", count=recovery.ended)
            if recovery.unreadable:
                self._log.error("{count} sessions of a former run cannot be read from {path}",
                                count=recovery.unreadable, path=self.path)

        recovery.end_all(dataplane, live).addCallbacks(ended, lambda failure: self._log.error(
            "sessions of a former run: {reason}; tried again at the next start", reason=failure.getErrorMessage()))

    # the end

    @inlineCallbacks
    def stop(self) -> Any:
        """After all sessions: Accounting-Off, and a while for sending."""
        queue, sender = self.queue, self.sender
        if queue is None or sender is None:
            self._accounting.stop()
            return
        deadline = self._reactor.seconds() + SENDING_PATIENCE
        while not self._accounting.idle and self._reactor.seconds() < deadline:
            yield deferLater(self._reactor, LOOK)
        self._accounting.stop()
        # a disk that takes nothing answers when the queue stops
        told = [self._of_nas("Accounting-Off", ACCOUNTING_OFF, realm) for realm in sorted(self._realms)]
        while (sender.busy or not all(one.called for one in told)) and self._reactor.seconds() < deadline:
            yield deferLater(self._reactor, LOOK)
        sender.stop()
        yield queue.stop()
        if queue.status.depth:
            self._log.notice("{count} accounting records are kept for the next start", count=queue.status.depth)


def _realms(radius: Radius) -> set[str]:
    """One realm for each set of servers that are asked alike."""
    groups: dict[frozenset[str], str] = {}
    asked: dict[str, set[str]] = {}
    for name, server in radius.servers.items():
        if server.acct_port:
            for realm in server.realms or ("",):
                asked.setdefault(realm.lower(), set()).add(name)
    for realm, names in sorted(asked.items()):
        groups.setdefault(frozenset(names), realm)
    return set(groups.values())
