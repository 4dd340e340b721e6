"""Commands that take long: one line on a terminal, and nothing else anywhere."""

from __future__ import annotations

import contextlib
import io
import socket
import threading

import pytest
from twisted.internet.task import Clock

from prol2tp.cli.program import Program
from prol2tp.cli.progress import Progress
from prol2tp.cli.prol2tp import ACTIONS, GRAMMAR
from prol2tp.control import blocking
from prol2tp.control.blocking import Connection, Unreachable
from prol2tp.control.commands import prol2tpd


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        """What is to be seen in its line."""
        shown = ""
        for part in self.getvalue().split("\r"):
            shown = part + shown[len(part):]
        return shown.rstrip()


def test_nothing_is_said_in_the_first_second_and_the_line_goes_away():
    clock, terminal = Clock(), Terminal()
    with Progress("tool", terminal, False, clock.seconds) as progress:
        clock.advance(0.9)
        progress.waiting()
        assert terminal.getvalue() == ""
        clock.advance(0.1)
        progress.waiting()
        assert terminal.screen() == "tool: waiting for the answer, 1 s"
        clock.advance(9)
        progress.waiting()
        assert terminal.screen() == "tool: waiting for the answer, 10 s"
    assert terminal.screen() == ""


def test_rows_are_counted_and_not_too_often():
    clock, terminal = Clock(), Terminal()
    with Progress("tool", terminal, False, clock.seconds) as progress:
        pages = progress.counted([[1] * 500, [1] * 250] + [[1]] * 100)
        clock.advance(2)
        next(pages)
        assert terminal.screen() == "tool: 500 rows, 2 s"
        clock.advance(1)
        next(pages)
        assert terminal.screen() == "tool: 750 rows, 3 s"
        said = terminal.getvalue()
        assert len(list(pages)) == 100 and terminal.getvalue() == said


def test_rows_that_go_to_a_terminal_are_progress_enough():
    clock, terminal = Clock(), Terminal()
    with Progress("tool", terminal, True, clock.seconds) as progress:
        clock.advance(2)
        progress.waiting()
        assert terminal.screen() != ""
        pages = progress.counted([[1], [2]])
        next(pages)
        assert terminal.screen() == ""
        clock.advance(2)
        progress.waiting()
        list(pages)
        assert terminal.screen() == ""


@pytest.mark.parametrize(("errors", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_nothing_is_said_where_nobody_reads_it(errors, quiet):
    program = Program("prol2tp", "x", GRAMMAR, ACTIONS, "", output=io.StringIO(), errors=errors)
    program.quiet = quiet
    with program.progress() as progress:
        progress._start -= 100
        progress.waiting()
    assert errors.getvalue() == ""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A daemon that answers when its event is set."""
    monkeypatch.setattr(blocking, "TICK", 0.001)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "prol2tpd.sock"))
    listener.listen()
    event = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        # the client may have given up
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            event.wait(60)
            connection.sendall(blocking.write_box({b"_answer": b"1"}))

    thread = threading.Thread(target=serve)
    thread.start()
    yield tmp_path / "prol2tpd.sock", event
    event.set()
    thread.join()
    listener.close()


def test_a_command_says_so_while_its_daemon_takes_its_time(slow, monkeypatch):
    path, event = slow
    terminal = Terminal()
    program = Program("prol2tp", path.name, GRAMMAR, ACTIONS, "", output=io.StringIO(), errors=terminal)
    seen = []

    def waiting(self: Progress) -> None:
        self._start -= 1.0
        said(self)
        seen.append(terminal.screen())
        if terminal.screen():
            event.set()

    said = Progress.waiting
    monkeypatch.setattr(Progress, "waiting", waiting)
    assert program.run(["--run-dir", str(path.parent), "destroy", "tunnel", "id", "7"]) == 0
    assert seen[0].startswith("prol2tp: waiting for the answer, ")
    assert terminal.screen() == ""


def test_a_daemon_that_says_nothing_is_given_up_all_the_same(slow):
    path, _ = slow
    with Connection(str(path), timeout=0.01) as connection:
        connection.waiting = lambda: None
        with pytest.raises(Unreachable, match="no answer"):
            connection.call(prol2tpd.DESTROY_TUNNEL, tunnel_id=7)
