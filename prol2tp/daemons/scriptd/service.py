"""prol2tp-scriptd under twistd: `twistd prol2tp-scriptd`, or as a child of prol2tpd."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.python import usage

from prol2tp import __version__
from prol2tp.control.commands.scriptd import COMMANDS, SOCKET
from prol2tp.control.server import AddressInUse, ControlServer
from prol2tp.daemons.base import STATE_DIR, CommonOptions, DaemonService, make_directory, number
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.scriptd import runner, scripts
from prol2tp.daemons.scriptd.feed import RETRY, Feed
from prol2tp.daemons.scriptd.journal import Journal, Row
from prol2tp.daemons.scriptd.schedule import Schedule, Signal, Start
from prol2tp.net.deadlines import LazyTimer

FILE = "scriptd.sqlite"
LOOK = 2.0
"""Seconds between looks at the directory of scripts."""
BACKLOG = 200_000
"""Events on disk above which the daemons have to keep theirs."""
STOP_PATIENCE = 4.0
"""Seconds that SIGTERM waits for the last events of daemons that stop at the same time."""
TOLD_EVERY = 1.0
"""Seconds between log lines about failures of one script."""


class Options(CommonOptions):
    """The daemons' common options, and these. It has no configuration."""

    daemon = "prol2tp-scriptd"

    optParameters: list[Any] = [
        ["state-dir", None, None, "Directory of what must survive a reboot "
                                  "[default: $PROL2TP_STATE_DIR or /var/lib/prol2tp]."],
        ["script-dir", None, scripts.DIRECTORY, "Directory of the scripts."],
        ["max-running", None, 16, "Most scripts that run at once.", number("--max-running", int)],
        ["timeout", None, 30.0, "Seconds that a script may take.", number("--timeout", float)],
    ]

    def check(self) -> None:
        self["state-dir"] = self["state-dir"] or os.environ.get("PROL2TP_STATE_DIR") or STATE_DIR
        self["script-dir"] = os.path.abspath(self["script-dir"])
        if not 1 <= self["max-running"] <= 1000:
            raise usage.UsageError("--max-running must be 1 to 1000 scripts")
        if not 0.1 <= self["timeout"] <= 86400:
            raise usage.UsageError("--timeout must be 0.1 to 86400 seconds")
        make_directory(self["state-dir"], "state directory")


def makeService(options: Options) -> ScriptService:
    from twisted.internet import reactor

    level = Level(min(Level.DEBUG, Level.NOTICE + options["debug"]))
    return ScriptService(options, Log("scriptd", level), reactor)


class ScriptService(DaemonService):
    """The process: feeds fill the journal, the schedule says what runs, processes run it."""

    def __init__(self, options: Options, log: Log, reactor: Any) -> None:
        super().__init__(options, log, reactor)
        run_dir = options["run-dir"]
        self.journal = Journal(os.path.join(options["state-dir"], FILE))
        self.schedule = Schedule(options["max-running"], options["timeout"])
        self.feeds = [
            Feed(source, os.path.join(run_dir, source.module.SOCKET), self.journal, log, reactor, self._taken,
                 self._room)
            for source in scripts.SOURCES]
        self.processes: dict[int, runner.Process] = {}
        self.last_errors: dict[str, str] = {}
        self.skipped = 0
        """Events whose script was gone when its turn came."""
        self._over_on_disk: list[int] = []
        """Events that are over and still on the disk, which takes nothing."""
        self._told: dict[str, tuple[float, int]] = {}
        self._waiting: list[Deferred[Any]] = []
        self._timer = LazyTimer(reactor, self._timeout)
        self._look: Any = None
        self._draining = False
        self.control = ControlServer(os.path.join(run_dir, SOCKET), COMMANDS,
                                     {"ShowScripts": lambda connection: {"scripts": self.status()}}, reactor=reactor)

    def startService(self) -> None:
        super().startService()
        try:
            self.control.startService()
            self.journal.open()
        except (AddressInUse, OSError, sqlite3.Error) as error:
            self.fail(f"{self.journal.path}: {error}" if isinstance(error, sqlite3.Error) else str(error))
            return
        if self.journal.moved:
            self.log.error("{path} was damaged and is now {moved}; what waited in it is lost", path=self.journal.path,
                           moved=self.journal.moved)
        rows = list(self.journal.rows())
        self.log.notice("ProL2TP scripts V{version}: {directory}, {count} events wait", version=__version__,
                        directory=self.options["script-dir"], count=len(rows))
        for row in rows:
            self._left(row)
        self._scan()
        self._drain()

    def _left(self, row: Row) -> None:
        """An event of the time before us; its script may still run."""
        source = scripts.BY_NAME.get(row.source)
        if source is None or row.event not in source.scripts:
            self.log.warning("{event} of {source}: another version has left it; it is passed over", event=row.event,
                             source=row.source)
            self.journal.done([row.id])
            return
        key, script = scripts.key(source, row.event, row.data), source.scripts[row.event]
        now = self.reactor.seconds()
        if row.pid:
            process = runner.adopt(self.reactor, row.pid, row.started, lambda process: self._ended(row.id, process))
            if process is not None:
                self.processes[row.id] = process
                self.schedule.add_running(row.id, (row.source, key), script, now)
                return
        self.schedule.add(row.id, (row.source, key), script, now)

    def _scan(self) -> None:
        """Hear the events that have scripts; look again later, since files come and go."""
        for feed in self.feeds:
            feed.want([event for event, script in feed.source.scripts.items() if os.path.exists(self.path(script))])
        self._look = self.reactor.callLater(LOOK, self._scan)

    def path(self, script: str) -> str:
        return os.path.join(self.options["script-dir"], script)

    # events

    def _taken(self, source: scripts.Source, id: int, event: str, data: dict[str, Any]) -> None:
        key = (source.daemon, scripts.key(source, event, data))
        self.schedule.add(id, key, source.scripts[event], self.reactor.seconds())
        self._drain()

    def _room(self) -> Deferred[Any]:
        if len(self.schedule) < BACKLOG:
            return succeed(None)
        done: Deferred[Any] = Deferred()
        self._waiting.append(done)
        return done

    # scripts

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        try:
            while found := self.schedule.outputs():
                for output in found:
                    if isinstance(output, Start):
                        self._start(output.job, output.script)
                    elif isinstance(output, Signal):
                        self._signal(output)
        finally:
            self._draining = False
        self._timer.want(self.schedule.deadline())
        if self._waiting and len(self.schedule) < BACKLOG:
            waiting, self._waiting = self._waiting, []
            for done in waiting:
                done.callback(None)

    def _timeout(self, now: float) -> None:
        self.schedule.timeout_at(now)
        self._drain()

    def _signal(self, output: Signal) -> None:
        process = self.processes.get(output.job)
        if process is not None:
            process.signal(output.kill)

    def _start(self, id: int, script: str) -> None:
        try:
            row = self.journal.read(id)
        except sqlite3.Error as error:
            self._tell(self.journal.path, f"{self.journal.path}: {error}")
            self.reactor.callLater(RETRY, self._start, id, script)
            return
        path = self.path(script)
        if row is None or not os.path.exists(path):
            self.skipped += 1
            self._over(id, script, "")
            return
        problem = runner.unfit(path)
        if not problem:
            source = scripts.BY_NAME[row.source]
            words = scripts.arguments(source, row.event, row.data)
            environment = scripts.environment(source, row.event, row.time, row.data, row.attempts + 1,
                                              self.options["run-dir"])
            # first of all, so that a script that we begin and die over knows when it is begun again
            self._begun(row)
            try:
                process = runner.run(self.reactor, path, words, environment,
                                     lambda process: self._ended(id, process, script, words))
            except (OSError, ValueError) as error:
                problem = getattr(error, "strerror", None) or str(error)
            else:
                self.processes[id] = process
                self._begun(row, process.pid)
                self.log.debug("{script} {words}: pid {pid}", script=script, words=" ".join(words[1:]), pid=process.pid)
                return
        self._over(id, script, problem)

    def _begun(self, row: Row, pid: int = 0) -> None:
        try:
            self.journal.begun(row.id, row.attempts + 1, pid, runner.started(pid) if pid else "")
        except sqlite3.Error as error:
            # should we die now, it is run twice, and not told
            self._tell(self.journal.path, f"{self.journal.path}: {error}")

    def _ended(self, id: int, process: runner.Process, script: str = "", words: list[str] | None = None) -> None:
        script = script or self.schedule.script(id)
        self.processes.pop(id, None)
        problem = ""
        if process.status:
            how = f"status {process.status}" if process.status > 0 else f"ended by signal {-process.status}"
            if self.schedule.late(id):
                how = f"ended by force after {self.options['timeout']:g} s"
            said = process.tail.decode("utf-8", "replace").strip()
            what = " ".join([script, *(words or ())[1:]])
            problem = f"{what}: {how}" + (f": {said}" if said else "")
        elif process.tail and self.log.enabled(Level.DEBUG):
            self.log.debug("{script}: {said}", script=script, said=process.tail.decode("utf-8", "replace").strip())
        self._over(id, script, problem)
        self._drain()

    def _over(self, id: int, script: str, problem: str) -> None:
        self._over_on_disk.append(id)
        try:
            self.journal.done(self._over_on_disk)
        except sqlite3.Error as error:
            self._tell(self.journal.path, f"{self.journal.path}: {error}: what has ended may be run again")
        else:
            self._over_on_disk.clear()
        self.schedule.ended(id, not problem, self.reactor.seconds())
        if problem:
            self.last_errors[script] = problem.splitlines()[0]
            self._tell(script, f"script {problem}")

    def _tell(self, what: str, problem: str) -> None:
        """A line about a failure, but not one for each of thousands."""
        now = self.reactor.seconds()
        last, untold = self._told.get(what, (-TOLD_EVERY, 0))
        if now - last < TOLD_EVERY:
            self._told[what] = (last, untold + 1)
            return
        self._told[what] = (now, 0)
        more = f" ({untold} more failures were not told)" if untold else ""
        self.log.warning("{problem}{more}", problem=problem, more=more)

    # status

    def status(self) -> dict[str, Any]:
        """A `scripts` record."""
        return {
            "version": __version__, "directory": self.options["script-dir"], "most": self.schedule.most,
            "timeout": self.schedule.timeout, "running": self.schedule.running,
            "waiting": len(self.schedule) - self.schedule.running, "lost": sum(feed.lost for feed in self.feeds),
            "connected": [feed.source.daemon for feed in self.feeds if feed.connected],
            "scripts": [self._row(script) for script in scripts.SCRIPTS],
        }

    def _row(self, script: str) -> dict[str, Any]:
        counts = self.schedule.count(script)
        return {
            "script": script, "there": not runner.unfit(self.path(script)), "run": counts.run, "failed": counts.failed,
            "timed_out": counts.timed_out, "running": counts.running, "waiting": counts.waiting,
            "suspect": counts.suspect, "last_error": self.last_errors.get(script, ""),
        }

    # the end

    @inlineCallbacks
    def stopService(self) -> Any:
        """Scripts that run go on; what waits is run after the next start."""
        patience = time.monotonic() + STOP_PATIENCE
        while any(feed.connected for feed in self.feeds) and time.monotonic() < patience:
            yield deferLater(self.reactor, 0.05, lambda: None)
        if self._look is not None and self._look.active():
            self._look.cancel()
        for feed in self.feeds:
            yield feed.stop()
        self._timer.stop()
        for process in self.processes.values():
            process.forget()
        yield self.control.stopService()
        yield super().stopService()
        self.log.notice("stopped, {count} events wait", count=len(self.schedule))
