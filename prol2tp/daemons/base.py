"""Habits that the daemons share: options, logging, signals, clock, run directory."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import getopt
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorCore
from twisted.python import usage

from prol2tp import __version__
from prol2tp.config.problems import ConfigError
from prol2tp.daemons.logs import FACILITIES, TARGETS, Level, Log, Output, writable
from prol2tp.daemons.supervisor import Supervisor
from prol2tp.net.turnclock import TurnClock

RUN_DIR = "/run/prol2tp"
STATE_DIR = "/var/lib/prol2tp"
CAP_NET_ADMIN = 12
COPYRIGHT = "(c) Copyright 2026 the prol2tp authors"

FALLBACKS = {"PROL2TP_RUN_DIR": ("run-dir", RUN_DIR), "PROL2TP_STATE_DIR": ("state-dir", STATE_DIR)}


def default_run_dir() -> str:
    """The run directory without an option: PROL2TP_RUN_DIR, else /run/prol2tp."""
    return os.environ.get("PROL2TP_RUN_DIR") or RUN_DIR


command_line: list[str] = []
"""Path and words of the console script that started this process."""

_outputs: list[Output] = []


def chosen_output() -> Output:
    """The log observer that the options chose; twistd wants to find it by name."""
    return _outputs[0]


def number(option: str, type: Callable[[str], float]) -> Callable[[str], float]:
    """Reads the value of an option."""
    def read(text: str) -> float:
        try:
            return type(text)
        except ValueError:
            raise ValueError(f"{option} {text}: must be a number") from None
    return read


class CommonOptions(usage.Options):
    """Options of every daemon under twistd; the console scripts map theirs on these. Subclasses set `daemon`, and
    `check(self)`, which raises `usage.UsageError`."""

    daemon = ""

    optParameters: list[Any] = [
        ["log-file", "o", None, "Log to this file instead of syslog (or the terminal in the foreground); also -l."],
        ["log-target", None, "auto", "Where lines go without -o: terminal, syslog or journal; auto: the journal under "
                                     "systemd, the terminal in the foreground, else syslog."],
        ["log-facility", "L", "daemon", "Of the lines in syslog and the journal: daemon, user or local0 to local7."],
        ["run-dir", None, None, "Directory of sockets and pid files [default: $PROL2TP_RUN_DIR or /run/prol2tp]."],
    ]

    optFlags: list[Any] = [
        ["log-json", None, "Log lines of JSON."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["debug"] = 0
        self.output: Output | None = None
        self.in_foreground = True

    def opt_debug(self) -> None:
        """Raise verbosity: once for info, twice for debug."""
        self["debug"] += 1

    opt_d = opt_debug

    def opt_l(self, path: str) -> None:
        """The same as -o."""
        self["log-file"] = path

    def opt_version(self) -> None:
        """Print version and copyright."""
        print(f"{self.daemon} V{__version__}\n  {COPYRIGHT}")
        sys.exit(0)

    opt_v = opt_version

    def opt_help(self) -> None:
        """Display this help and exit."""
        super().opt_help()

    opt_h = opt_help

    def parseArgs(self, *words: str) -> None:
        """Daemons have options only."""
        if words:
            raise usage.UsageError(f"unexpected argument: {words[0]}")

    def parseOptions(self, options: Any = None) -> None:
        """One clear message instead of twistd's page of usage."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            unknown = isinstance(error.__context__, getopt.error)
            text = str(error).removeprefix("Parameter type enforcement failed: ")
            sys.stderr.write(f"{self.daemon}: {text}{'; see --help' if unknown else ''}\n")
            sys.exit(1)

    def getSynopsis(self) -> str:
        return f"Usage: {self.daemon} [options]"

    def postOptions(self) -> None:
        self["run-dir"] = self["run-dir"] or default_run_dir()
        self.check()
        make_directory(self["run-dir"], "run directory")
        path = self["log-file"]
        if path and (reason := writable(path)):
            raise usage.UsageError(f"cannot write log file {path}: {reason}")
        if self["log-target"] not in TARGETS:
            raise usage.UsageError(f"--log-target: one of {', '.join(TARGETS)}")
        if self["log-facility"] not in FACILITIES:
            raise usage.UsageError(f"--log-facility: one of {', '.join(FACILITIES)}")
        parent = getattr(self, "parent", None)
        if parent is not None:
            self.in_foreground = bool(parent.get("nodaemon"))
            try:
                self.output = Output(self.daemon, path, bool(parent.get("nodaemon")), self["log-target"],
                                     bool(self["log-json"]), self["log-facility"])
            except OSError as error:
                raise usage.UsageError(f"cannot reach the journal: {os.strerror(error.errno or 0)}") from None
            _outputs[:] = [self.output]
            parent["logger"] = "prol2tp.daemons.base.chosen_output"

    def level(self, configured: str) -> Level:
        """The log level: the configuration's, raised by -d."""
        return Level(min(Level.DEBUG, max(Level.named(configured), Level.NOTICE) + self["debug"])) \
            if self["debug"] else Level.named(configured)

    def check(self) -> None:
        """Look at what the options mean. Raises `usage.UsageError` with text for people."""


class DaemonOptions(CommonOptions):
    """Options of a daemon with a configuration. Subclasses set `default_config`, and `load(self)`, which reads it and
    raises `usage.UsageError`."""

    default_config = ""

    optParameters: list[Any] = [
        ["config-file", "c", None, "Configuration file."],
        ["state-dir", None, None, "Directory of what must survive a reboot "
                                  "[default: $PROL2TP_STATE_DIR or /var/lib/prol2tp]."],
    ]
    optFlags: list[Any] = [
        ["dry-run", "n", "Read the configuration, report errors, do nothing else."],
    ]

    def check(self) -> None:
        self["config-file"] = self["config-file"] or self.default_config
        self["state-dir"] = self["state-dir"] or os.environ.get("PROL2TP_STATE_DIR") or STATE_DIR
        self.load()
        if self["dry-run"]:
            print(self.checked())
            sys.exit(0)

    def checked(self) -> str:
        """What a dry run prints when all is well."""
        return f"{self['config-file']}: no errors found"

    def load(self) -> None:
        """Read the configuration. Raises `usage.UsageError` with text for people."""


def read_config(path: str, load: Callable[[str, str], Any]) -> Any:
    """`load(text, path)`; an unreadable file is a `usage.UsageError`, what `load` raises is the caller's."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        hint = "; who runs the daemon must be able to read it" if error.errno == errno.EACCES else ""
        raise usage.UsageError(f"{path}: {os.strerror(error.errno or 0)}{hint}") from None
    return load(text, path)


def first_problem(error: usage.UsageError) -> str:
    """In one line why a configuration was refused by `load_config` of a daemon."""
    return error.__cause__.first if isinstance(error.__cause__, ConfigError) else str(error)


def may_set_up_networks() -> bool:
    """This process has CAP_NET_ADMIN, as root has."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return True


def make_directory(path: str, what: str) -> None:
    """Make a run or state directory, mode 0750. Raises `usage.UsageError`."""
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except FileExistsError:
        raise usage.UsageError(f"{what} {path} is no directory") from None
    except OSError as error:
        raise usage.UsageError(f"cannot make {what} {path}: {os.strerror(error.errno or 0)}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        refused = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
        raise usage.UsageError(f"cannot write in {what} {path}: {os.strerror(refused)}")


def use_monotonic_clock(reactor: Any) -> None:
    """A step of the system's clock must not fire or freeze the protocol timers. What only tells the time, and does not
    turn by itself (a `task.Clock`), keeps its own."""
    ruler = getattr(reactor.seconds, "__self__", None)
    if IReactorCore.providedBy(reactor) and not isinstance(ruler, TurnClock):
        TurnClock().rule(reactor)


def tune_garbage_collection() -> None:
    """Long-lived objects are what a daemon mostly has: a full collection that walks tens of thousands of sessions
    would stop it for a tenth of a second and find nothing. What is there at start is never walked again, and full
    collections are rare; cycles are rare too, since the per-session objects are taken apart by hand."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1000)


def set_process_title(name: str) -> None:
    """The process name (15 octets), and instead of Python's command line the one that was given to the console script:
    what `ps` and the service manager show."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    if command_line:
        with contextlib.suppress(OSError, ValueError, IndexError):
            _show_command_line(b"\0".join(map(os.fsencode, command_line)))


def _show_command_line(line: bytes) -> None:
    """Put `line` where the kernel finds our arguments (proc(5): arg_start, arg_end); Python has its own copy of them.
    Nothing happens when there is not enough room."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if start and len(line) < end - start:
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


class DaemonService(MultiService):
    """Top service of a daemon: signals and the process title. `reload` is called on SIGHUP."""

    def __init__(self, options: CommonOptions, log: Log, reactor: Any) -> None:
        super().__init__()
        self.options = options
        self.log = log
        self.reactor = reactor
        self.exit_status = 0
        self._told_no_file = False
        use_monotonic_clock(reactor)
        self.supervisor = Supervisor(reactor)

    def startService(self) -> None:
        set_process_title(self.options.daemon)
        tune_garbage_collection()
        signal.signal(signal.SIGHUP, self._on_signal)
        signal.signal(signal.SIGUSR1, self._on_signal)
        self.reactor.addSystemEventTrigger("before", "shutdown", self.supervisor.stopping)
        self.reactor.addSystemEventTrigger("after", "shutdown", self.supervisor.close)
        super().startService()

    def ready(self) -> None:
        """All that the configuration asks for is served."""
        self.supervisor.ready()

    def _on_signal(self, number: int, frame: Any) -> None:
        self.reactor.callFromThread(self._hung_up if number == signal.SIGHUP else self.reopen_log)

    def _hung_up(self) -> None:
        self.supervisor.reloading()
        try:
            self.hangup()
        finally:
            self.supervisor.reloaded()

    def hangup(self) -> None:
        """SIGHUP: re-read the configuration; what is wrong is logged and the old one stays."""

    def reopen_log(self) -> None:
        """SIGUSR1: reopen the log file after a rotation; without one say once that there is none."""
        output = self.options.output
        if output is None:
            return
        try:
            if not output.reopen() and not self._told_no_file:
                self._told_no_file = True
                self.log.notice("SIGUSR1 opens the log file again, and there is none: lines go to the {target}",
                                target={"syslog": "system's log"}.get(output.target, output.target))
        except OSError as error:
            self.log.error("cannot open the log file again: {reason}", reason=os.strerror(error.errno or 0))

    def fail(self, text: str) -> None:
        """Give up: one line, and the process ends with status 1."""
        self.log.critical("{text}", text=text)
        if self.options.get("log-file") and sys.__stderr__ is not None:
            # who started it, systemctl say, does not look into a file; sys.stderr is a log under twistd
            print(f"{self.options.daemon}: {text}", file=sys.__stderr__, flush=True)
        self.exit_status = 1
        self.reactor.addSystemEventTrigger("after", "shutdown", self._exit)
        # at once, or as soon as it runs
        self.reactor.callWhenRunning(self.reactor.stop)

    def _exit(self) -> None:
        # twistd has no way to set the status of a clean stop, and would remove its pid file only after that
        parent = getattr(self.options, "parent", None)
        if parent is not None and parent.get("pidfile"):
            with contextlib.suppress(OSError):
                os.unlink(parent["pidfile"])
        os._exit(1)
