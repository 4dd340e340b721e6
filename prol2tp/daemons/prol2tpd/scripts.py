"""prol2tp-scriptd as a child: started where there are scripts, started again when it dies, ended with us."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from prol2tp.control.events import Events
from prol2tp.daemons import base
from prol2tp.daemons.logs import Log

KEEPER = "scriptd"
"""Its name as a subscriber."""
NAMES = frozenset(f"{kind}-{what}" for kind in ("tunnel", "session") for what in ("created", "up", "down", "deleted"))
PPP_NAMES = frozenset(f"ppp-{what}" for what in ("created", "up", "down", "destroyed"))
ROUTE_NAMES = frozenset(f"route-{what}" for what in ("created", "opened", "closed"))
FIRST_DELAY, LAST_DELAY = 1.0, 60.0
STEADY = 30.0
"""Seconds of life after which it is started again at once when it dies."""
DRAIN_LOOK = 0.02


def wanted(system: Any) -> bool:
    """Whether the configuration, or what is in the directory, asks for it."""
    if system.scripts != "auto":
        return bool(system.scripts == "true")
    return any(os.access(os.path.join(system.script_dir, name), os.X_OK) for name in NAMES | PPP_NAMES | ROUTE_NAMES)


def command() -> list[str]:
    """The program beside ours, else its module."""
    ours = (base.command_line or sys.argv)[0]
    program = os.path.join(os.path.dirname(os.path.abspath(ours)), "prol2tp-scriptd")
    return [program] if os.access(program, os.X_OK) else [sys.executable, "-m", "prol2tp.daemons.scriptd"]


class _Child(ProcessProtocol):
    def __init__(self, ended: Callable[[Any], None]) -> None:
        self._ended = ended

    def processEnded(self, reason: Any) -> None:
        self._ended(reason.value)


class ScriptDaemon:
    """The child. `configure` at start and after each reload; it watches itself from then on."""

    def __init__(self, reactor: Any, log: Log, options: Any) -> None:
        self._reactor = reactor
        self._log = log
        self._options = options
        self._process: Any = None
        self._retry: Any = None
        self._delay = FIRST_DELAY
        self._since = 0.0
        self._words: list[str] = []
        """Its options of the configuration; empty: it is not wanted."""
        self._events: Events | None = None
        self._stopping = False
        self._gone: Deferred[None] | None = None

    def configure(self, system: Any, events: Events) -> None:
        """Start or end it as the configuration says."""
        self._events = events
        words: list[str] = []
        if wanted(system):
            events.expect(KEEPER)
            words = ["--script-dir", system.script_dir, "--timeout", f"{system.script_timeout:g}",
                     "--max-running", str(system.max_scripts)]
        if words == self._words and (self._process is not None or self._retry is not None or not words):
            return
        self._words = words
        if self._process is not None:
            self._signal()  # its end starts the next one
        elif words and self._retry is None:
            self._start()

    def _start(self) -> None:
        self._retry = None
        if self._stopping or not self._words or self._process is not None:
            return
        if self._events is not None and self._events.is_listening(KEEPER):
            # one that was started by somebody else does it
            self._again()
            return
        words = [*command(), "-f", *self._words]
        if self._options["log-file"]:
            words += ["-o", os.path.abspath(self._options["log-file"])]
        else:
            words += ["--log-target", self._target(), "--log-facility", self._options["log-facility"]]
        if self._options["log-json"]:
            words.append("--log-json")
        if self._options["debug"]:
            words.append("-" + "d" * self._options["debug"])
        environment = {**os.environ, "PROL2TP_RUN_DIR": os.path.abspath(self._options["run-dir"]),
                       "PROL2TP_STATE_DIR": os.path.abspath(self._options["state-dir"]),
                       "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._since = self._reactor.seconds()
        self._process = self._reactor.spawnProcess(_Child(self._ended), words[0], words, environment, path="/",
                                                   childFDs={0: 0, 1: 1, 2: 2})
        self._log.info("prol2tp-scriptd started, pid {pid}", pid=self._process.pid)

    def _target(self) -> str:
        """It is in the foreground in any case, and we may be in the background."""
        target = str(self._options["log-target"])
        if target == "auto" and not self._options.in_foreground:
            return "syslog"
        return target

    def _ended(self, reason: Any) -> None:
        self._process = None
        if self._gone is not None:
            self._gone.callback(None)
            return
        if not self._words:
            return
        self._log.warning("prol2tp-scriptd ended: {reason}; it is started again", reason=reason)
        if self._reactor.seconds() - self._since >= STEADY:
            self._delay = FIRST_DELAY
        self._again()

    def _again(self) -> None:
        self._retry = self._reactor.callLater(self._delay, self._start)
        self._delay = min(LAST_DELAY, self._delay * 2)

    def _signal(self, name: str = "TERM") -> None:
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess(name)

    def reopen_log(self) -> None:
        """Its lines go into our file: after a rotation it opens that again, too."""
        if self._process is not None and self._options["log-file"]:
            self._signal("USR1")

    def drained(self, patience: float) -> Deferred[None]:
        """Fires when it has taken all events, or after `patience` seconds."""
        done: Deferred[None] = Deferred()
        end = self._reactor.seconds() + patience

        def look() -> None:
            if (self._process is None or self._events is None or self._events.has_taken_all(KEEPER)
                    or self._reactor.seconds() >= end):
                done.callback(None)
            else:
                self._reactor.callLater(DRAIN_LOOK, look)

        look()
        return done

    def stop(self) -> Deferred[None]:
        """End it; call it when our control channel is closed, so that it waits for no more."""
        self._stopping = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._process is None:
            return succeed(None)
        self._gone = Deferred()
        self._signal()
        return self._gone
