"""`prol2tp trace`: one tunnel, session, peer, host or user through all daemons, and its packets into a file."""

from __future__ import annotations

import heapq
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from prol2tp import __version__
from prol2tp.cli.format import clean, clean_json
from prol2tp.cli.pcapng import Writer
from prol2tp.cli.program import DONE, FAILED, UNREACHABLE, USAGE, Program
from prol2tp.control.blocking import Connection, Unreachable
from prol2tp.control.command import ControlError, Invalid, write_row
from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.control.commands.shared import TRACE, TRACED

HOLD = 0.5
"""Seconds that a line waits for earlier ones of other daemons, which send theirs a few times a second."""

DAEMONS = (("prol2tpd", prol2tpd.SOCKET), ("propppd", propppd.SOCKET), ("proacd", proacd.SOCKET))


class _Reader(threading.Thread):
    """The lines of one daemon into the queue: (daemon, line), or (daemon, exception) at its end."""

    def __init__(self, daemon: str, lines: Iterator[dict[str, Any]], found: queue.Queue[tuple[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._name = daemon
        self._lines = lines
        self._found = found

    def run(self) -> None:
        try:
            for line in self._lines:
                self._found.put((self._name, line))
        except (ControlError, Unreachable) as error:
            self._found.put((self._name, error))


def _told(connection: Connection, subject: dict[str, Any], packets: bool) -> Iterator[dict[str, Any]]:
    for told in connection.called(TRACE, TRACED, subject=subject, packets=packets):
        if told["dropped"]:
            yield {"lost": told["dropped"]}
        yield from told["lines"]


def line_text(daemon: str, line: dict[str, Any]) -> str:
    """`11:45:08.123 prol2tpd session 7/8: send ICRP`."""
    at = time.strftime("%H:%M:%S", time.localtime(line["time"])) + f".{int(line['time'] * 1000) % 1000:03}"
    return f"{at} {daemon} {clean(line['who'])}: {clean(line['text'])}"


class Held:
    """Lines of several daemons, put into the order of their times: each is held back for `HOLD` seconds."""

    __slots__ = ("_added", "_lines")

    def __init__(self) -> None:
        self._lines: list[tuple[float, int, str, dict[str, Any]]] = []
        self._added = 0

    def add(self, daemon: str, line: dict[str, Any]) -> None:
        self._added += 1
        heapq.heappush(self._lines, (line["time"], self._added, daemon, line))

    def ready(self, now: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(daemon, line) of those that have been held for long enough, earliest first; all of them without `now`."""
        while self._lines and (now is None or not now - HOLD < self._lines[0][0] <= now):
            _, _, daemon, line = heapq.heappop(self._lines)
            yield daemon, line

    def wait(self, now: float) -> float | None:
        """Seconds until one is ready; None: there is none."""
        return min(HOLD, max(0.0, self._lines[0][0] + HOLD - now)) if self._lines else None


class Follow:
    """One run."""

    def __init__(self, program: Program, subject: dict[str, Any], path: str) -> None:
        self._program = program
        self._subject = subject
        self._path = path
        self._found: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=10_000)
        self._connected: dict[str, Connection] = {}
        self._held = Held()

    def run(self, output: TextIO | None = None) -> int:
        """Until interrupted, or all daemons have ended. The exit code."""
        if self._path:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            except OSError as error:
                return self._program.complain(f"{self._path}: {error.strerror}", FAILED)
            with os.fdopen(descriptor, "wb") as file:
                return self._follow(output or sys.stdout, Writer(file, f"prol2tp {__version__}"))
        return self._follow(output or sys.stdout, None)

    def _follow(self, output: TextIO, writer: Writer | None) -> int:
        problem = ""
        for daemon, socket in DAEMONS:
            try:
                connection = self._program.connect(socket)
            except Unreachable as error:
                problem = problem or str(error)
                continue
            self._connected[daemon] = connection
            _Reader(daemon, _told(connection, self._subject, writer is not None), self._found).start()
        if not self._connected:
            return self._program.complain(problem, UNREACHABLE)
        try:
            return self._print(output, writer)
        except KeyboardInterrupt:
            return DONE

    def _print(self, output: TextIO, writer: Writer | None) -> int:
        try:
            while self._connected:
                code = self._next()
                for daemon, line in self._held.ready(time.time()):
                    self._show(daemon, line, output, writer)
                if code is not None:
                    return code
            return UNREACHABLE
        finally:
            for daemon, line in self._held.ready():
                self._show(daemon, line, output, writer)

    def _next(self) -> int | None:
        """Take what a daemon says, if one does in time; an exit code if that is the end."""
        try:
            daemon, line = self._found.get(timeout=self._held.wait(time.time()))
        except queue.Empty:
            return None
        if isinstance(line, Invalid):
            return self._program.complain(f"{daemon}: {line.text}", USAGE)
        if isinstance(line, Exception):
            self._program.complain(f"{daemon}: {line}", DONE)
            self._connected.pop(daemon).close()
        elif "lost" in line:
            self._program.complain(f"{daemon}: too slow: {line['lost']} lines were lost", DONE)
        else:
            self._held.add(daemon, line)
        return None

    def _show(self, daemon: str, line: dict[str, Any], output: TextIO, writer: Writer | None) -> None:
        if writer is not None:
            writer.line(line)
        if self._program.json:
            output.write(clean_json(write_row({"daemon": daemon, **line}).decode()) + "\n")
        elif line["text"]:
            output.write(line_text(daemon, line) + "\n")
        output.flush()
