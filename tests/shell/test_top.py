"""`prol2tp top` as a process: once into a pipe, and live on a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from prol2tp.cli import terminal
from prol2tp.cli.top import ROWS, Board
from prol2tp.control.blocking import Unreachable
from prol2tp.control.command import Command
from prol2tp.control.paging import page
from tests.golden import records
from tests.shell.control_daemons import Daemons, run

ROOT = Path(__file__).parents[2]
SCRIPT = """
import signal, sys
from prol2tp.cli.prol2tp import main
# a test run in the background of a shell ignores SIGINT, and so would the process
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


@pytest.fixture
def daemons(tmp_path, monkeypatch):
    monkeypatch.setenv("PROL2TP_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(terminal.time, "sleep", lambda seconds: None)
    daemons = Daemons(tmp_path)
    daemons.start()
    yield daemons
    pytest_twisted.blockon(daemons.stop())


class Screen:
    """A process with a terminal of 80 columns and 24 lines."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = ""
        # with LINES and COLUMNS curses does not ask the terminal for its size
        inherited = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *words], cwd=ROOT, stdin=slave, stdout=slave, stderr=subprocess.PIPE,
            text=True, env={**inherited, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}, start_new_session=True)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _until(self, text: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while text not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", self.seen):
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")

    async def shows(self, text: str) -> None:
        """The terminal gets this text, since the last key."""
        await deferToThread(self._until, text, 20.0)

    def press(self, keys: str) -> None:
        self.seen = ""
        os.write(self.master, keys.encode())

    def _drain(self) -> int:
        end = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end: {self.seen!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.process.returncode

    async def end(self) -> tuple[int, str]:
        """Exit code and stderr. The terminal is as it was."""
        code = await deferToThread(self._drain)
        assert termios.tcgetattr(self.slave) == self.before
        assert self.process.stderr is not None
        return code, self.process.stderr.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screen(daemons):
    made: list[Screen] = []

    def start(*words: str, **environment: str) -> Screen:
        made.append(Screen(*words, **environment))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest_twisted.ensureDeferred
async def test_once_prints_one_screen_of_the_daemons_that_there_are(daemons):
    outcome = await run("prol2tp", "top", "--once")
    assert (outcome.code, outcome.errors) == (0, "")
    lines = outcome.output.splitlines()
    assert lines[0].startswith("prol2tpd 2.0.0  jackdaw")
    assert [line.split()[0] for line in lines[3:6]] == ["Tunnels", "Sessions", "PPP"]
    assert "Tunnels by sessions: 1 to 1 of 1" in lines
    assert lines[-2].split()[1:4] == ["27774/34877", "192.168.211.1", "u1@example.com"]


@pytest_twisted.ensureDeferred
async def test_once_as_json_is_one_object_with_records_and_rates(daemons):
    outcome = await run("prol2tp", "--json", "top", "--once")
    found = json.loads(outcome.output)
    assert list(found) == ["time", "rates", "system", "propppd", "proacd", "traffic", "propppd_traffic", "servers",
                           "tunnels", "drops"]
    assert (found["traffic"], found["propppd_traffic"]) == (records.TRAFFIC, records.PPP_TRAFFIC)
    assert found["system"] == records.SYSTEM and found["proacd"] is None
    assert found["tunnels"] == [{**records.TUNNEL_ROW, "change": 0}] and found["drops"] == records.END_ROWS
    assert found["rates"]["sessions"] == {"new": 0.0, "ended": 0.0}


@pytest.mark.parametrize(("words", "text"), [(("top",), "--once prints one screen"),
                                             (("--json", "top"), "top --json wants --once")])
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_shown_is_said(daemons, words, text, monkeypatch):
    monkeypatch.setattr(sys, "stdout", open(os.devnull, "w"))  # noqa: SIM115
    outcome = await run("prol2tp", *words)
    sys.stdout.close()
    outcome.failed_with(2, text.replace("--once prints", "`top --once` prints"))


@pytest_twisted.ensureDeferred
async def test_nothing_is_shown_without_prol2tpd(daemons):
    await daemons.prol2tpd.stopService()
    (await run("prol2tp", "top", "--once")).failed_with(3, "prol2tpd.sock")


@pytest_twisted.ensureDeferred
async def test_the_screen_lives_by_its_keys_and_leaves_the_terminal_as_it_was(screen):
    top = screen("top")
    await top.shows("Tunnels by sessions: 1 to 1 of 1")
    await top.shows("q quit  h help  p pause")
    top.press("s")
    await top.shows("change")
    top.press("p")
    await top.shows("PAUSED")
    top.press("p")
    await top.shows("pause")
    top.press("q")
    assert await top.end() == (0, "")
    assert "\x1b[?1049l" in top.seen, "the screen of before is not back"


@pytest_twisted.ensureDeferred
async def test_the_list_is_of_tunnels_or_of_who_moves_the_most(screen):
    top = screen("top")
    await top.shows("Traffic   L2TP in 1.23 Gbit/s 110k pkt/s, out 310 Mbit/s")
    # the terminal is sent only what changes
    for changed in ("Busiest", "Identifier", "Link", "ESTABLISHED"):
        top.press("v")
        await top.shows(changed)
    top.press("\t")
    await top.shows("Busiest")
    top.press("q")
    assert await top.end() == (0, "")


@pytest_twisted.ensureDeferred
async def test_the_keys_are_explained_until_another_one_is_pressed(screen):
    top = screen("top")
    await top.shows("q quit")
    top.press("h")
    await top.shows("this page; any key ends it")
    top.press("x")
    await top.shows("Recent drops")
    top.press("?")
    await top.shows("this page; any key ends it")
    top.press("q")
    assert await top.end() == (0, "")


@pytest_twisted.ensureDeferred
async def test_a_narrow_terminal_has_the_columns_that_say_the_most(screen):
    top = screen("top")
    await top.shows("q quit")
    top.seen = ""
    top.resize(42, 20)
    os.kill(top.process.pid, signal.SIGWINCH)
    await top.shows("New/s")
    await top.shows("q quit  h help")
    top.press("q")
    assert await top.end() == (0, "")


@pytest_twisted.ensureDeferred
async def test_the_screen_follows_the_size_of_the_terminal(screen):
    top = screen("top")
    await top.shows("q quit")
    top.seen = ""
    top.resize(120, 40)
    os.kill(top.process.pid, signal.SIGWINCH)
    await top.shows("Home: list")
    top.press("q")
    assert await top.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest_twisted.ensureDeferred
async def test_a_signal_ends_it_with_the_terminal_as_it_was(screen, number):
    top = screen("top")
    await top.shows("q quit")
    os.kill(top.process.pid, number)
    assert await top.end() == (0 if number == signal.SIGINT else 128 + number, "")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
@pytest_twisted.ensureDeferred
async def test_there_are_colours_unless_they_are_unwanted(screen, environment, coloured):
    top = screen("top", **environment)
    await top.shows("q quit")
    assert ("\x1b[36m" in top.seen) is coloured
    top.press("q")
    await top.end()


@pytest_twisted.ensureDeferred
async def test_a_terminal_of_no_known_kind_is_one_line(screen):
    code, errors = await screen("top", TERM="nonsense").end()
    assert code == 1 and errors.count("\n") == 1 and "'nonsense' cannot be used" in errors


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_ends_and_comes_back_is_found_again(screen, daemons, tmp_path):
    top = screen("top")
    await top.shows("q quit")
    await daemons.prol2tpd.stopService()
    top.press(" ")
    await top.shows("prol2tpd does not answer")
    daemons.prol2tpd.startService()
    await deferLater(reactor, 0, lambda: None)
    top.press(" ")
    await top.shows("jackdaw")
    top.press("q")
    assert (await top.end())[0] == 0


class Many:
    """A prol2tpd with 3500 tunnels, as the program's connections show it; it notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []

    def connect(self, socket: str, timeout: float) -> Many:
        if socket != "prol2tpd.sock":
            raise Unreachable(socket)
        return self

    def call(self, command: Command, **arguments: object) -> dict:
        self.asked.append((command.name, arguments))
        if command.name == "ListTunnels":
            rows = {number: {**records.TUNNEL_ROW, "tunnel_id": number, "sessions": number}
                    for number in range(1, 3501)}
            return page(rows, str(arguments["cursor"]), int(str(arguments["limit"])), rows.__getitem__)
        if command.name == "ShowTraffic":
            return {"traffic": records.TRAFFIC["traffic"] | {"age": None}, "tunnels": [], "sessions": []}
        return {"system": records.SYSTEM} if command.name == "ShowSystem" else {"rows": [], "cursor": "x"}


def test_a_reading_asks_for_a_bounded_number_of_rows_and_never_for_sessions():
    many, board = Many(), Board(1.0)
    source = terminal.Source(many)
    for reading in range(1, 5):
        many.asked.clear()
        source.read(board)
        rows = sum(int(str(arguments["limit"])) for name, arguments in many.asked if name == "ListTunnels")
        assert rows <= 2 * ROWS and {name for name, _ in many.asked} == {
            "ShowSystem", "ListHistory", "ListTunnels", "ShowTraffic"}
        assert board.walk.ended is (reading == 4)
    assert board.walk.tunnels[0][0]["tunnel_id"] == 3500
