"""The command line tools against daemons on real sockets: outputs, JSON, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from prol2tp import __version__
from prol2tp.cli.prol2tp import lookup
from prol2tp.cli.prol2tp import program as prol2tp_program
from prol2tp.cli.shell import Shell
from tests.golden import records
from tests.shell.control_daemons import Daemons, run

GOLDEN = Path(__file__).parents[1] / "golden"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def daemons(tmp_path, monkeypatch):
    monkeypatch.setenv("PROL2TP_RUN_DIR", str(tmp_path))
    daemons = Daemons(tmp_path)
    daemons.start()
    yield daemons
    pytest_twisted.blockon(daemons.stop())


def process(*words, **more):
    """A tool in a process of its own; a Deferred of its result."""
    script = f"import sys; from prol2tp.cli.{words[0]} import main; sys.exit(main())"
    return deferToThread(
        subprocess.run,
        [sys.executable, "-c", script, *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@pytest.mark.parametrize(
    ("line", "golden"),
    [
        ("prol2tp show system", "show-system"),
        ("prol2tp show tunnels", "show-tunnels"),
        ("prol2tp show tunnel id 27774", "show-tunnel"),
        ("prol2tp show tunnel name lac", "show-tunnel"),
        ("prol2tp show session id 34877 in tunnel id 27774 stats", "show-session-stats"),
        ("propppctl status", "propppctl-status"),
        ("propppctl servers", "propppctl-servers"),
        ("propppctl list", "propppctl-list"),
        ("propppctl list down", "propppctl-list-down"),
        ("propppctl show session-1", "propppctl-show"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_tools_print_the_known_outputs(daemons, line, golden):
    outcome = await run(*line.split())
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output == (GOLDEN / f"{golden}.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("prol2tp --json show system", records.SYSTEM),
        ("prol2tp show tunnels --json", [records.TUNNEL_ROW]),
        ("prol2tp --json show tunnel id 27774", records.TUNNEL),
        ("prol2tp --json show session id 1 in tunnel id 2 stats", records.SESSION),
        ("prol2tp --json create tunnel name x peer y", {"tunnel_id": 7, "name": "x"}),
        ("propppctl --json status", records.STATUS),
        ("propppctl --json list", records.link_rows(487)),
        ("propppctl --json list down", []),
        ("propppctl --json show session-1", records.LINK),
        ("propppctl --json create pppol2tp", {"name": "session-4"}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_json_is_the_record(daemons, line, value):
    outcome = await run(*line.split())
    assert (outcome.code, outcome.errors) == (0, "")
    assert json.loads(outcome.output) == value


@pytest_twisted.ensureDeferred
async def test_json_keeps_the_documented_order_of_fields(daemons):
    outcome = await run("prol2tp", "--json", "show", "system")
    assert list(json.loads(outcome.output)) == list(records.SYSTEM)


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (
            "prol2tp create tunnel name x peer 192.0.2.1 secret s persist false",
            ("CreateTunnel", {"parameters": {"name": "x", "peer": "192.0.2.1", "secret": "s", "persist": "false"}}),
        ),
        (
            "prol2tp create session name u in tunnel name x user_name me",
            ("CreateSession", {"parameters": {"name": "u", "user_name": "me"}, "tunnel_name": "x"}),
        ),
        ("prol2tp destroy session id 1 in tunnel id 2", ("DestroySession", {"session_id": 1, "tunnel_id": 2})),
        ("prol2tp set log-level debug", ("SetLogLevel", {"scope": "system", "level": "debug"})),
        (
            "prol2tp set log-level info tunnel id 7",
            ("SetLogLevel", {"scope": "tunnel", "level": "info", "tunnel_id": 7}),
        ),
        (
            "prol2tp set log-level info session id 1 in tunnel name x",
            ("SetLogLevel", {"scope": "session", "level": "info", "session_id": 1, "tunnel_name": "x"}),
        ),
        ("prol2tp reload", ("Reload", {})),
        ("prol2tp reload --dry-run", ("PreviewReload", {})),
        ("propppctl create pppol2tp mru 1400", ("Create", {"words": ["pppol2tp", "mru", "1400"]})),
        ("propppctl destroy session-1", ("Destroy", {"name": "session-1"})),
        ("propppctl set log-level debug session-1", ("SetLogLevel", {"level": "debug", "name": "session-1"})),
        ("propppctl reload", ("Reload", {})),
    ],
)
@pytest_twisted.ensureDeferred
async def test_changes_reach_the_daemon(daemons, line, call):
    outcome = await run(*line.split())
    assert (outcome.code, outcome.errors) == (0, "")
    assert daemons.calls == [call]
    as_json = await run(*line.split(), "--json")
    assert isinstance(json.loads(as_json.output), dict)


@pytest_twisted.ensureDeferred
async def test_exit_code_1_when_the_daemon_refuses(daemons):
    (await run("prol2tp", "destroy", "tunnel", "id", "7")).failed_with(1, "prol2tp: the tunnel is busy")


@pytest_twisted.ensureDeferred
async def test_exit_code_1_when_nothing_is_found(daemons):
    (await run("prol2tp", "show", "tunnel", "id", "1")).failed_with(1, "prol2tp: no tunnel 1")
    (await run("propppctl", "show", "session-9")).failed_with(1, "propppctl: no link session-9")


@pytest_twisted.ensureDeferred
async def test_exit_code_1_when_the_daemon_has_a_fault(daemons):
    (await run("prol2tp", "show", "tunnel", "id", "500")).failed_with(1, "prol2tp: internal error")
    (await run("prol2tp", "show", "tunnel", "id", "600")).failed_with(1, "prol2tp: the daemon's answer")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "what to do?"),
        ("show nothing", "'nothing' is not valid after 'show'"),
        ("show tunnel id 0", "0 is no id"),
        ("--wrong show system", "no such option: --wrong"),
        ("--run-dir", "--run-dir wants DIR"),
        ("--json=x show system", "--json wants no value"),
        ("--jsno show system", "no such option: --jsno; did you mean --json?"),
        ("shw system", "'shw' is not valid; did you mean 'show'?"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_exit_code_2_when_the_usage_is_wrong(daemons, line, text):
    (await run("prol2tp", *line.split())).failed_with(2, text)


@pytest.mark.parametrize("tool", ["prol2tp", "propppctl"])
@pytest_twisted.ensureDeferred
async def test_exit_code_3_when_no_daemon_is_there(tmp_path, tool):
    command = ["show", "system"] if tool == "prol2tp" else ["status"]
    (await run(tool, "--run-dir", str(tmp_path / "none"), *command)).failed_with(3, "is the daemon running?")


@pytest_twisted.ensureDeferred
async def test_exit_code_3_when_a_stale_socket_is_left(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "prol2tpd.sock"))
    (await run("prol2tp", f"--run-dir={tmp_path}", "show", "system")).failed_with(3, "nobody listens")


@pytest_twisted.ensureDeferred
async def test_exit_code_3_when_the_daemon_goes_away_in_the_middle(daemons):
    for connection_lost in (daemons.prol2tpd.responders.table[b"ShowSystem"],):
        daemons.prol2tpd.responders.table[b"ShowSystem"] = (connection_lost[0], lambda c: c.drop("test"))
    (await run("prol2tp", "show", "system")).failed_with(3, "")


@pytest_twisted.ensureDeferred
async def test_exit_codes_of_real_processes(daemons, tmp_path):
    done = await process("prol2tp", "show", "system")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == (GOLDEN / "show-system.txt").read_text("utf-8")
    assert (await process("prol2tp", "show", "tunnel", "id", "1")).returncode == 1
    assert (await process("propppctl", "what")).returncode == 2
    gone = await process("propppctl", "status", env={**os.environ, "PROL2TP_RUN_DIR": str(tmp_path / "none")})
    assert gone.returncode == 3 and gone.stderr.count("\n") == 1 and gone.stdout == ""


@pytest.mark.parametrize("tool", ["prol2tp", "propppctl"])
@pytest_twisted.ensureDeferred
async def test_version_and_help_need_no_daemon(tool):
    outcome = await run(tool, "--version")
    assert (outcome.code, outcome.output) == (0, f"{tool} {__version__}\n")
    outcome = await run(tool, "--help")
    assert outcome.code == 0 and outcome.output.startswith(f"usage: {tool} ")
    assert (await run(tool, "help")).output == outcome.output


@pytest_twisted.ensureDeferred
async def test_ten_thousand_sessions_come_page_by_page_and_all_are_printed(tmp_path):
    daemons = Daemons(tmp_path, sessions=10_000)
    daemons.start()
    try:
        asked = []
        command, responder = daemons.prol2tpd.responders.table[b"ListSessions"]
        daemons.prol2tpd.responders.table[b"ListSessions"] = (
            command,
            lambda c, **values: asked.append(values["cursor"]) or responder(c, **values),
        )
        outcome = await run("prol2tp", "--run-dir", str(tmp_path), "show", "sessions")
    finally:
        await daemons.stop()
    lines = outcome.output.splitlines()
    assert outcome.code == 0 and len(lines) == 10_001 and lines[-1].endswith(" u10000@example.com")
    assert len(asked) >= 20 and asked[0] == ""


@pytest_twisted.ensureDeferred
async def test_a_reader_that_has_had_enough_ends_the_tool_without_a_word(tmp_path):
    daemons = Daemons(tmp_path, sessions=5000)
    daemons.start()
    try:
        script = "import sys; from prol2tp.cli.prol2tp import main; sys.exit(main())"
        done = await deferToThread(
            subprocess.run,
            f'"{sys.executable}" -c "{script}" --run-dir "{tmp_path}" show sessions | head -n 1',
            shell=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        await daemons.stop()
    assert done.stderr == "" and done.stdout.count("\n") == 1


class Follower:
    """`propppctl events` in a process of its own."""

    def __init__(self, daemons, *words):
        self.daemons = daemons
        script = "import sys; from prol2tp.cli.propppctl import main; sys.exit(main())"
        self.process = subprocess.Popen([sys.executable, "-c", script, *words], cwd=ROOT, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    async def subscribed(self):
        while not self.daemons.link_events.subscribers:
            await deferLater(reactor, 0.02, lambda: None)

    async def lines(self, count):
        return [(await deferToThread(self.process.stdout.readline)).rstrip("\n") for _ in range(count)]

    async def end(self, interrupt=True):
        """Exit code and what is said on stderr."""
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        rest = await deferToThread(self.process.communicate, timeout=60)
        return self.process.returncode, rest


LINK_UP = {"name": "session-1", "id": "1/2", "user": "u1@example.com", "interface": "ppp0"}
LINK_DOWN = {**LINK_UP, "user": "u2", "name": "session-2", "cause": "User Request", "message": ""}


@pytest_twisted.ensureDeferred
async def test_events_are_followed_line_by_line_until_interrupted(daemons):
    follower = Follower(daemons, "events")
    await follower.subscribed()
    daemons.link_events.publish("link-up", **LINK_UP)
    at = datetime.fromtimestamp(5).strftime("%Y-%m-%d %H:%M:%S")
    assert await follower.lines(1) == [
        f"{at} link-up name=session-1 id=1/2 user=u1@example.com interface=ppp0"
    ]
    daemons.link_events.publish("link-down", **LINK_DOWN)
    daemons.link_events.publish("server-dead", server="r1", kind="auth")
    assert await follower.lines(2) == [
        f'{at} link-down name=session-2 id=1/2 user=u2 interface=ppp0 cause="User Request"',
        f"{at} server-dead server=r1 kind=auth",
    ]
    assert await follower.end() == (0, ("", ""))


@pytest_twisted.ensureDeferred
async def test_events_are_json_lines_of_those_that_are_wanted(daemons):
    follower = Follower(daemons, "--json", "events", "type", "link-up", "user", "u1@example.com", "type", "link-down",
                        "name", "session-1")
    await follower.subscribed()
    daemons.link_events.publish("link-created", **LINK_UP)
    daemons.link_events.publish("link-down", **LINK_DOWN)
    daemons.link_events.publish("server-dead", server="r1", kind="auth")
    daemons.link_events.publish("link-up", **{**LINK_UP, "name": "session-3"})
    daemons.link_events.publish("link-up", **LINK_UP)
    (line,) = await follower.lines(1)
    assert json.loads(line) == {"event": "link-up", "sequence": 5, "time": 5.0, "data": LINK_UP}
    assert await follower.end() == (0, ("", ""))


@pytest_twisted.ensureDeferred
async def test_a_follower_who_is_too_slow_is_told_what_he_has_lost(daemons, monkeypatch):
    monkeypatch.setattr("prol2tp.control.events.KEPT", 1000)
    follower = Follower(daemons, "events")
    await follower.subscribed()
    for number in range(1200):
        daemons.link_events.publish("link-up", **{**LINK_UP, "user": f"{number:04}"})
    lines = await follower.lines(1001)
    assert lines[0].split()[5] == "user=0000" and lines[-1].split()[5] == "user=1199"
    assert await follower.end() == (0, ("", "propppctl: too slow: 199 events were lost\n"))


@pytest_twisted.ensureDeferred
async def test_following_ends_with_the_daemon_and_refuses_unknown_events(tmp_path):
    daemons = Daemons(tmp_path)
    daemons.start()
    follower = Follower(daemons, "--run-dir", str(tmp_path), "events")
    await follower.subscribed()
    outcome = await run("propppctl", "--run-dir", str(tmp_path), "events", "type", "link-gone")
    outcome.failed_with(2, "no such event: link-gone")
    await daemons.stop()
    code, (output, errors) = await follower.end(interrupt=False)
    assert (code, output) == (3, "") and errors.endswith("propppd.sock: the daemon closed the connection\n")


@pytest_twisted.ensureDeferred
async def test_the_shell_takes_commands_from_a_file(daemons):
    done = await process(
        "prol2tp", "shell", input="# three users\nshow tunnels\nshow nothing\n\nsh sys\nquit\nreload\n"
    )
    golden = (GOLDEN / "show-tunnels.txt").read_text("utf-8") + (GOLDEN / "show-system.txt").read_text("utf-8")
    assert done.stdout == golden and done.stderr.count("\n") == 1 and done.returncode == 2
    assert daemons.calls == []


@pytest_twisted.ensureDeferred
async def test_the_shell_completes_words_ids_and_names(daemons):
    program = prol2tp_program()
    program.options(["--run-dir", daemons.directory])
    shell = Shell(program, lambda key, known: lookup(program, key, known))

    def candidates(line):
        return sorted(shell.candidates(line, line.rpartition(" ")[2]))

    assert await deferToThread(candidates, "sh") == ["shell", "show"]
    assert await deferToThread(candidates, "q") == ["quit"]
    assert await deferToThread(candidates, "show tunnel id 2") == ["27774"]
    assert await deferToThread(candidates, "show session id ") == ["1", "2", "3"]
    assert await deferToThread(candidates, "show session id 2 in tunnel id ") == ["27774"]
    assert await deferToThread(candidates, "show session id 9 in tunnel id ") == []
    assert await deferToThread(candidates, "show 'unfinished ") == []


@pytest_twisted.ensureDeferred
async def test_completion_without_a_daemon_is_silent(tmp_path):
    program = prol2tp_program()
    program.options(["--run-dir", str(tmp_path)])
    shell = Shell(program, lambda key, known: lookup(program, key, known))
    assert await deferToThread(shell.candidates, "show tunnel id ", "") == []


def test_the_tools_import_no_twisted():
    script = (
        "import sys, prol2tp.cli.prol2tp, prol2tp.cli.propppctl, prol2tp.cli.shell;"
        "print([name for name in sys.modules if name.split('.')[0] in ('twisted', 'zope', 'asyncio')])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest_twisted.ensureDeferred
async def test_the_shell_on_a_terminal_completes_and_remembers_all_but_secrets(daemons, tmp_path):
    import pty
    import select

    def session():
        terminal, other = pty.openpty()
        script = "import sys; from prol2tp.cli.prol2tp import main; sys.exit(main())"
        tool = subprocess.Popen(
            [sys.executable, "-c", script, "shell"], cwd=ROOT, stdin=other, stdout=other, stderr=other,
            env={**os.environ, "HOME": str(tmp_path), "TERM": "dumb", "INPUTRC": "/dev/null"})
        os.close(other)
        output = b""

        def until(text):
            nonlocal output
            while text not in output:
                assert select.select([terminal], [], [], 60)[0], output
                output += os.read(terminal, 4096)
            before, _, output = output.partition(text)
            return before
        try:
            until(b"prol2tp> ")
            os.write(terminal, b"sho\tsy\t\n")
            shown = until(b"sessions: 3\r\n")
            until(b"prol2tp> ")
            os.write(terminal, b"show tunnel id 2\t\n")
            until(b"Tunnel 27774 from")
            until(b"prol2tp> ")
            os.write(terminal, b"create tunnel name x peer y secret hidden\n")
            until(b"created")
            until(b"prol2tp> ")
            os.write(terminal, b"\x04")
            return shown, tool.wait(60)
        finally:
            tool.kill()
            os.close(terminal)

    shown, code = await deferToThread(session)
    assert b"show system" in shown and b"hostname: jackdaw" in shown and code == 0
    history = tmp_path / ".prol2tp_history"
    assert history.read_text().split("\n") == ["show system ", "show tunnel id 27774 ", ""]
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("words", "found"), [
    ("show tunnel id ''", ["27774"]), ("show session id '' ", ["1", "2", "3"]), ("show tu", ["tunnel", "tunnels"]),
    ("show session id 1 in tunnel id ''", ["27774"]), ("nonsense ''", [])])
@pytest_twisted.ensureDeferred
async def test_shells_can_ask_what_may_follow(daemons, words, found):
    outcome = await run("prol2tp", "complete", "--", *shlex.split(words))
    assert (outcome.code, outcome.errors, sorted(outcome.output.split())) == (0, "", found)
