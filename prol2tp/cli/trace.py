"""`prol2tp trace`: one tunnel, session, peer, host or user through all daemons, and its packets into a file."""

from __future__ import annotations

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


class Follow:
    """One run."""

    def __init__(self, program: Program, subject: dict[str, Any], path: str) -> None:
        self._program = program
        self._subject = subject
        self._path = path
        self._found: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=10_000)
        self._connected: dict[str, Connection] = {}

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
        while self._connected:
            daemon, line = self._found.get()
            if isinstance(line, Invalid):
                return self._program.complain(f"{daemon}: {line.text}", USAGE)
            if isinstance(line, Exception):
                self._program.complain(f"{daemon}: {line}", DONE)
                self._connected.pop(daemon).close()
            elif "lost" in line:
                self._program.complain(f"{daemon}: too slow: {line['lost']} lines were lost", DONE)
            else:
                self._show(daemon, line, output, writer)
        return UNREACHABLE

    def _show(self, daemon: str, line: dict[str, Any], output: TextIO, writer: Writer | None) -> None:
        if writer is not None:
            writer.line(line)
        if self._program.json:
            output.write(clean_json(write_row({"daemon": daemon, **line}).decode()) + "\n")
        elif line["text"]:
            output.write(line_text(daemon, line) + "\n")
        output.flush()
