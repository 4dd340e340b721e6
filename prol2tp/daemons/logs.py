"""Logging of the daemons: levels with ProL2TP's names, and where the lines go.

A line is formatted only when it is written: callers on hot paths ask `enabled(level)` first, everything else is
filtered here before formatting. Control characters in values (a peer chooses its host name) cannot break a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import syslog
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TextIO

from twisted.logger import Logger, LogLevel, formatEvent

JOURNAL = "/run/systemd/journal/socket"
MOST_OCTETS = 100_000
"""Of one entry of the journal."""


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
FACILITIES = {
    **{"daemon": syslog.LOG_DAEMON, "default": syslog.LOG_DAEMON, "user": syslog.LOG_USER},
    **{f"local{number}": getattr(syslog, f"LOG_LOCAL{number}") for number in range(8)},
}
"""Of syslog, by the names of `-L`."""
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


def fields_of(event: dict[str, Any]) -> dict[str, Any]:
    """The values of a line by name, as JSON has them: `tunnel`, `peer`, `user`, ..."""
    found: dict[str, Any] = {}
    for name, value in event.items():
        if not name.startswith(("log_", "prol2tp_")) and name != "format":
            found[name] = value if isinstance(value, str | int | float | None) else str(value)
    return found


def _open(path: str) -> TextIO:
    """A file that is made is not for everybody: who was online when, and from where."""
    return open(path, "a", encoding="utf-8", errors="backslashreplace",  # noqa: SIM115
                opener=lambda path, flags: os.open(path, flags, 0o640))


def plain(event: dict[str, Any]) -> str:
    """`Thu Nov 29 17:45:08 2018 text`."""
    stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(event.get("log_time", 0)))
    return f"{stamp} {text_of(event)}"


class JSONLine:
    """An event as one line of JSON: time (seconds since 1970), level, daemon, pid, category and message, and under
    `fields` the values in the message by name."""

    def __init__(self, daemon: str) -> None:
        self._daemon = daemon

    def __call__(self, event: dict[str, Any]) -> str:
        return json.dumps({
            "time": event.get("log_time", 0), "level": _level(event).name.lower(), "daemon": self._daemon,
            "pid": os.getpid(), "category": event.get("log_namespace") or "", "message": text_of(event),
            "fields": fields_of(event),
        })


class FileObserver:
    """Lines into a file or stream; `reopen` after a rotation."""

    def __init__(self, path: str | None = None, stream: TextIO | None = None,
                 form: Callable[[dict[str, Any]], str] = plain) -> None:
        self._path = path
        self._form = form
        self._stream: TextIO = stream if path is None else _open(path)  # type: ignore[assignment]

    def __call__(self, event: dict[str, Any]) -> None:
        line = self._form(event)
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # a full disk must not stop the daemon

    def reopen(self) -> None:
        """Raises `OSError`; then lines go where they went."""
        if self._path is not None:
            stream = _open(self._path)
            with contextlib.suppress(OSError):  # what a full disk has not taken
                self._stream.close()
            self._stream = stream


def syslog_observer(name: str, form: Callable[[dict[str, Any]], str] = text_of,
                    facility: str = "daemon") -> Callable[[dict[str, Any]], None]:
    """Events to syslog under the daemon's name, with their own severity and one of `FACILITIES`."""
    syslog.openlog(name, syslog.LOG_PID, FACILITIES[facility])

    def observe(event: dict[str, Any]) -> None:
        syslog.syslog(_SYSLOG[_level(event)], form(event))

    return observe


class JournalObserver:
    """Events to systemd's journal by its own protocol, with the values of the message as fields `PROL2TP_NAME`.

    Raises `OSError` when there is no journal.
    """

    def __init__(self, name: str, path: str = JOURNAL, facility: str = "daemon") -> None:
        self._name = name
        self._facility = str(FACILITIES[facility] >> 3)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.connect(path)

    def __call__(self, event: dict[str, Any]) -> None:
        fields = {
            "MESSAGE": text_of(event), "PRIORITY": str(_SYSLOG[_level(event)]), "SYSLOG_IDENTIFIER": self._name,
            "SYSLOG_FACILITY": self._facility, "SYSLOG_PID": str(os.getpid()),
            "PROL2TP_CATEGORY": event.get("log_namespace") or "",
            **{f"PROL2TP_{name.upper()}": str(value) for name, value in fields_of(event).items()},
        }
        try:
            self._socket.send(b"".join(_journal_field(*field) for field in fields.items())[:MOST_OCTETS])
        except OSError:
            pass  # a journal that is too slow must not stop the daemon


def _journal_field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
    return b"%s=%s\n" % (name.encode(), data)


def under_journal(descriptor: int = 2) -> bool:
    """Whether the service manager has connected this descriptor with the journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(descriptor)
        return bool(inode) and (status.st_dev, status.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


_NOISE = ("twisted.internet", "twisted.scripts", "twisted.application", "twisted.plugin")
TARGETS = ("auto", "terminal", "syslog", "journal")


class Output:
    """Where a daemon's lines go; filters what Twisted itself has to say below a warning.

    :param path: a file; then `target` does not count.
    :param target: one of `TARGETS`; 'auto': the journal under systemd, the terminal in the foreground, else
        syslog.
    :param as_json: lines are JSON; the journal has fields of its own.
    :param facility: of syslog and of the journal's entries, one of `FACILITIES`.

    `target` says where lines really go: one of `TARGETS` but 'auto', or 'file'.
    """

    def __init__(self, name: str, path: str | None, to_terminal: bool, target: str = "auto",
                 as_json: bool = False, facility: str = "daemon") -> None:
        self._file: FileObserver | None = None
        self.target = "file" if path else target
        if self.target == "auto":
            if not as_json and under_journal():
                self.target = "journal"
            else:
                self.target = "terminal" if to_terminal else "syslog"
        self._observe = self._observer(name, path, JSONLine(name) if as_json else None, facility)

    def _observer(self, name: str, path: str | None, form: JSONLine | None,
                  facility: str) -> Callable[[dict[str, Any]], None]:
        if self.target == "journal":
            return JournalObserver(name, facility=facility)
        if self.target == "syslog":
            return syslog_observer(name, form or text_of, facility)
        if self.target == "terminal":
            return FileObserver(stream=sys.stderr, form=form or plain)
        self._file = FileObserver(path, form=form or plain)
        return self._file

    def __call__(self, event: dict[str, Any]) -> None:
        if "prol2tp_level" not in event and _level(event) > Level.WARNING:
            system = event.get("log_namespace") or ""
            if system.startswith(_NOISE) or system in ("log_legacy", "-"):
                return
        self._observe(event)

    def reopen(self) -> bool:
        """Whether there is a file that was opened again. Raises `OSError`, and writes on in the old one then."""
        if self._file is None:
            return False
        self._file.reopen()
        return True


def writable(path: str) -> str | None:
    """Why a log file cannot be written, or None."""
    try:
        _open(path).close()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None
