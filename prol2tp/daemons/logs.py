"""Logging of the daemons: levels with ProL2TP's names, and where the lines go.

A line is formatted only when it is written: callers on hot paths ask `enabled(level)` first, everything else is
filtered here before formatting. Control characters in values (a peer chooses its host name) cannot break a line.
"""

from __future__ import annotations

import os
import sys
import syslog
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TextIO

from twisted.logger import Logger, LogLevel, formatEvent


class Level(IntEnum):
    """Severities, most severe first."""

    CRITICAL = 0
    ERROR = 1
    WARNING = 2
    NOTICE = 3
    INFO = 4
    DEBUG = 5

    @classmethod
    def named(cls, name: str) -> Level:
        """By its lower-case name as in the configuration. Raises `KeyError`."""
        return cls[name.upper()]


_TWISTED = {
    Level.CRITICAL: LogLevel.critical,
    Level.ERROR: LogLevel.error,
    Level.WARNING: LogLevel.warn,
    Level.NOTICE: LogLevel.info,
    Level.INFO: LogLevel.info,
    Level.DEBUG: LogLevel.debug,
}
_OURS = {
    LogLevel.critical: Level.CRITICAL,
    LogLevel.error: Level.ERROR,
    LogLevel.warn: Level.WARNING,
    LogLevel.info: Level.INFO,
    LogLevel.debug: Level.DEBUG,
}
_SYSLOG = {
    Level.CRITICAL: syslog.LOG_CRIT,
    Level.ERROR: syslog.LOG_ERR,
    Level.WARNING: syslog.LOG_WARNING,
    Level.NOTICE: syslog.LOG_NOTICE,
    Level.INFO: syslog.LOG_INFO,
    Level.DEBUG: syslog.LOG_DEBUG,
}
_CONTROL = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    **{0xDC00 + octet: f"\\x{octet:02x}" for octet in range(128, 256)},  # octets of a peer that are no UTF-8
    **{code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
"""What ends a line, speaks to a terminal or turns the direction of writing."""


class Log:
    """A daemon's log. `level` is what the system writes; a tunnel or session may have its own, given per call."""

    __slots__ = ("level", "_logger")

    def __init__(self, namespace: str, level: Level = Level.NOTICE) -> None:
        self.level = level
        self._logger = Logger(namespace=namespace)

    def enabled(self, level: Level, own: Level | None = None) -> bool:
        """Whether a line of this level is written, where `own` is the level of the object that it is about."""
        return level <= (self.level if own is None else own)

    def emit(self, level: Level, text: str, /, own: Level | None = None, **values: Any) -> None:
        """`text` is a format with the values' names in braces."""
        if level <= (self.level if own is None else own):
            self._logger.emit(_TWISTED[level], text, prol2tp_level=level, **values)

    def critical(self, text: str, /, **values: Any) -> None:
        self.emit(Level.CRITICAL, text, **values)

    def error(self, text: str, /, **values: Any) -> None:
        self.emit(Level.ERROR, text, **values)

    def warning(self, text: str, /, **values: Any) -> None:
        self.emit(Level.WARNING, text, **values)

    def notice(self, text: str, /, **values: Any) -> None:
        self.emit(Level.NOTICE, text, **values)

    def info(self, text: str, /, **values: Any) -> None:
        self.emit(Level.INFO, text, **values)

    def debug(self, text: str, /, **values: Any) -> None:
        self.emit(Level.DEBUG, text, **values)


def _level(event: dict[str, Any]) -> Level:
    return event.get("prol2tp_level") or _OURS.get(event.get("log_level"), Level.INFO)  # type: ignore[arg-type]


def text_of(event: dict[str, Any]) -> str:
    """One line for an event; a failure adds its traceback, indented."""
    line = formatEvent(event).translate(_CONTROL)
    failure = event.get("log_failure")
    if failure is not None:
        trace = failure.getTraceback(elideFrameworkCode=True).rstrip().replace("\n", "\n    ")
        line = f"{line}\n    {trace}"
    return line


def _open(path: str) -> TextIO:
    return open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


class FileObserver:
    """Lines of the form `Thu Nov 29 17:45:08 2018 text` into a file or stream; `reopen` after a rotation."""

    def __init__(self, path: str | None = None, stream: TextIO | None = None) -> None:
        self._path = path
        self._stream: TextIO = stream if path is None else _open(path)  # type: ignore[assignment]

    def __call__(self, event: dict[str, Any]) -> None:
        stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(event.get("log_time", 0)))
        try:
            self._stream.write(f"{stamp} {text_of(event)}\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # a full disk must not stop the daemon

    def reopen(self) -> None:
        if self._path is not None:
            self._stream.close()
            self._stream = _open(self._path)


def syslog_observer(name: str) -> Callable[[dict[str, Any]], None]:
    """Events to syslog under the daemon's name, with their own severity."""
    syslog.openlog(name, syslog.LOG_PID, syslog.LOG_DAEMON)

    def observe(event: dict[str, Any]) -> None:
        syslog.syslog(_SYSLOG[_level(event)], text_of(event))

    return observe


_NOISE = ("twisted.internet", "twisted.scripts", "twisted.application", "twisted.plugin")


class Output:
    """Where a daemon's lines go; filters what Twisted itself has to say below a warning."""

    def __init__(self, name: str, path: str | None, to_terminal: bool) -> None:
        self._file: FileObserver | None = None
        if path:
            self._file = FileObserver(path)
        elif to_terminal:
            self._file = FileObserver(stream=sys.stderr)
        self._observe = self._file or syslog_observer(name)

    def __call__(self, event: dict[str, Any]) -> None:
        if "prol2tp_level" not in event and _level(event) > Level.WARNING:
            system = event.get("log_namespace") or ""
            if system.startswith(_NOISE) or system in ("log_legacy", "-"):
                return
        self._observe(event)

    def reopen(self) -> None:
        if self._file is not None:
            self._file.reopen()


def writable(path: str) -> str | None:
    """Why a log file cannot be written, or None."""
    try:
        with open(path, "a", encoding="utf-8"):
            return None
    except OSError as error:
        return os.strerror(error.errno or 0)
