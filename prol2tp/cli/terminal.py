"""`prol2tp top` on a terminal, or once for a pipe. What is on the screen: `top.py`."""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import shutil
import signal
import sys
import time
from typing import Any

from prol2tp.cli.grammar import UsageError
from prol2tp.cli.program import DONE, FAILED, Program
from prol2tp.cli.top import BAD, DROPS, HEAD, ROWS, TITLE, Board, Reading
from prol2tp.control.blocking import Connection, Unreachable
from prol2tp.control.command import Command, ControlError
from prol2tp.control.commands import proacd, prol2tpd, propppd

INTERVAL = 2.0
"""Seconds between readings."""
PATIENCE = 5.0
"""Seconds without an answer after which a daemon counts as dead: the keys wait as long."""
BUSY = 100
"""Busiest tunnels, sessions and users that a reading asks for."""
SERVERS = 100
"""RADIUS servers that a reading asks for."""
MEASURED = 10.0
"""Seconds for which --once waits until somebody has measured."""
ONCE = 20
"""Tunnels and drops that --once prints."""


class Source:
    """The daemons: connections that stay, and are made anew when they are lost."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._connections: dict[str, Connection] = {}
        self._cursor = ""

    def read(self, board: Board) -> None:
        """One reading, with some pages of tunnels, to the board."""
        reading = Reading(time.monotonic(), time.time())
        try:
            reading.system = self._call(prol2tpd.SOCKET, prol2tpd.SHOW_SYSTEM)["system"]
            reading.drops = self._call(prol2tpd.SOCKET, prol2tpd.LIST_HISTORY, limit=DROPS)["rows"]
            reading.traffic = self._call(prol2tpd.SOCKET, prol2tpd.SHOW_TRAFFIC, limit=BUSY)
            self._tunnels(board)
        except (Unreachable, ControlError) as error:
            reading.system, reading.problem = None, str(error)
            board.walk.restart()
            self._cursor = ""
        try:
            reading.ppp = self._call(propppd.SOCKET, propppd.STATUS)["status"]
            reading.ppp_traffic = self._call(propppd.SOCKET, propppd.SHOW_TRAFFIC, limit=BUSY)
            reading.servers = self._call(propppd.SOCKET, propppd.SERVERS, limit=SERVERS)["rows"]
        except (Unreachable, ControlError):
            reading.ppp = None
        reading.access = self._status(proacd.SOCKET, proacd.STATUS)
        board.add(reading)

    def _tunnels(self, board: Board) -> None:
        read = 0
        while read < ROWS:
            answer = self._call(prol2tpd.SOCKET, prol2tpd.LIST_TUNNELS, cursor=self._cursor, limit=ROWS - read)
            rows, self._cursor = answer["rows"], answer["cursor"]
            board.walk.page(rows, last=not self._cursor)
            read += len(rows)
            if not self._cursor or not rows:
                return

    def _status(self, socket: str, command: Command) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = self._call(socket, command)["status"]
            return record
        except (Unreachable, ControlError):
            return None

    def _call(self, socket: str, command: Command, **arguments: Any) -> dict[str, Any]:
        connection = self._connections.get(socket)
        if connection is None:
            connection = self._connections[socket] = self._program.connect(socket, timeout=PATIENCE)
        try:
            return connection.call(command, **arguments)
        except Unreachable:
            del self._connections[socket]
            raise


def once(program: Program) -> int:
    """Two readings a second apart, and one screen."""
    board, source = Board(1.0), Source(program)
    with program.progress() as progress:
        _first(program, board, source)
        time.sleep(1.0)
        progress.waiting()
        source.read(board)
        end = time.monotonic() + MEASURED
        while board.last.system is not None and not (board.walk.ended and _measured(board.last)):
            if board.walk.ended:
                if time.monotonic() > end:
                    break
                time.sleep(0.5)
            source.read(board)
            progress.waiting()
    board.walk.tunnels = board.walk.tunnels[:ONCE]
    reading = board.last
    reading.drops = reading.drops[:ONCE]
    if program.json:
        program.record(board.record(), lambda record: [])
    else:
        program.write(text for _, text in board.lines(shutil.get_terminal_size((120, 24)).columns))
    return DONE


def _measured(reading: Reading) -> bool:
    return all(answer is None or answer["traffic"]["age"] is not None
               for answer in (reading.traffic, reading.ppp_traffic))


def _first(program: Program, board: Board, source: Source) -> None:
    source.read(board)
    if board.last.system is None:
        raise Unreachable(board.last.problem)


def live(program: Program) -> int:
    """Until `q` or a signal. Raises `UsageError` without a terminal, `Unreachable` without prol2tpd."""
    if program.json:
        raise UsageError("top --json wants --once")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top wants a terminal; `top --once` prints one screen")
    board, source = Board(INTERVAL), Source(program)
    _first(program, board, source)
    locale.setlocale(locale.LC_ALL, "")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        curses.wrapper(_Screen(board, source).run)
    except curses.error as error:
        return program.complain(f"top: the terminal {os.environ.get('TERM', '')!r} cannot be used: {error}", FAILED)
    except KeyboardInterrupt:
        pass
    return DONE


def _end(number: int, frame: object) -> None:
    # ends in the terminal's old state
    raise SystemExit(128 + number)


class _Screen:
    def __init__(self, board: Board, source: Source) -> None:
        self._board = board
        self._source = source
        self._styles: dict[str, int] = {}
        self._page = 10

    def run(self, window: curses.window) -> None:
        self._styles = _styles()
        due = time.monotonic() + self._board.interval
        while True:
            self._paint(window)
            window.timeout(-1 if self._board.paused else max(0, int((due - time.monotonic()) * 1000)))
            key = window.getch()
            if key == ord("q"):
                return
            if key == ord(" ") or (not self._board.paused and time.monotonic() >= due):
                self._source.read(self._board)
                due = time.monotonic() + self._board.interval
            self._press(key)

    def _press(self, key: int) -> None:
        board = self._board
        if board.help and key not in (curses.ERR, curses.KEY_RESIZE):
            board.help = False
        elif key in (ord("h"), ord("?")):
            board.help = True
        elif key == ord("p"):
            board.paused = not board.paused
        elif key in (ord("v"), ord("\t")):
            board.next_view()
        elif key == ord("s"):
            board.walk.next_sort()
            board.offset = 0
        elif key == curses.KEY_HOME:
            board.offset = 0
        else:
            board.scroll({curses.KEY_UP: -1, curses.KEY_DOWN: 1, curses.KEY_PPAGE: -self._page,
                          curses.KEY_NPAGE: self._page}.get(key, 0))

    def _paint(self, window: curses.window) -> None:
        height, width = window.getmaxyx()
        self._page = max(1, height // 3)
        window.erase()
        # the last column stays empty: a terminal may go on to the next line after it
        for at, (style, text) in enumerate(self._board.lines(width - 1, height)):
            window.addstr(at, 0, text, self._styles.get(style, curses.A_NORMAL))
        window.refresh()


def _styles() -> dict[str, int]:
    with contextlib.suppress(curses.error):  # a cursor that cannot be hidden
        curses.curs_set(0)
    styles = {TITLE: curses.A_BOLD, HEAD: curses.A_REVERSE, BAD: curses.A_BOLD}
    if not os.environ.get("NO_COLOR") and curses.has_colors():
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_CYAN, -1)
        curses.init_pair(2, curses.COLOR_RED, -1)
        styles = {TITLE: curses.A_BOLD | curses.color_pair(1), HEAD: curses.A_REVERSE,
                  BAD: curses.A_BOLD | curses.color_pair(2)}
    return styles
