"""prol2tp-scriptd as a process, killed and started again; the daemon whose events it hears is in the test."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from prol2tp.control.blocking import Connection
from prol2tp.control.commands import prol2tpd, scriptd
from prol2tp.control.events import Events
from prol2tp.control.server import ControlServer
from prol2tp.control.shapes import problems
from prol2tp.daemons.scriptd.scripts import SCRIPTS

ROOT = Path(__file__).parents[2]
NOTE = '#!/bin/sh\necho "$1 $2 ${3:--} $PROL2TP_ATTEMPT" >> "${0%/*}/ran"\n'


class World:
    """A daemon with events, a directory of scripts, and prol2tp-scriptd."""

    def __init__(self, directory):
        self.directory = directory
        self.scripts = directory / "scripts"
        self.scripts.mkdir()
        self.events = Events(prol2tpd.EVENTS)
        self.events.expect("scriptd")
        self.server = ControlServer(str(directory / "prol2tpd.sock"), prol2tpd.COMMANDS, self.events.responders(),
                                    prol2tpd.CALLBACKS)
        self.server.startService()
        self.process = None

    def script(self, name, text=NOTE):
        path = self.scripts / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "prol2tp.daemons.scriptd", "-f", "--run-dir", str(self.directory),
             "--state-dir", str(self.directory), "--script-dir", str(self.scripts),
             "-o", str(self.directory / "log"), *words],
            cwd=ROOT, stdout=(self.directory / "out").open("ab"), stderr=subprocess.STDOUT)

    async def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return await deferToThread(self.process.wait, 30)

    async def status(self):
        def ask():
            with Connection(str(self.directory / "scriptd.sock")) as connection:
                return connection.call(scriptd.SHOW_SCRIPTS)["scripts"]
        return await deferToThread(ask)

    async def until(self, condition, seconds=60):
        for _ in range(int(seconds / 0.05)):
            found = condition()
            if found:
                return found
            await deferLater(reactor, 0.05, lambda: None)
        said = "".join((self.directory / name).read_text() for name in ("log", "out"))
        raise AssertionError(f"not in time, status {self.process.poll()}:\n{said}")

    def ran(self):
        path = self.scripts / "ran"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def lines(self):
        path = self.scripts / "ran"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def publish(self, event, tunnel, session=None, **more):
        ids = {"tunnel_id": tunnel} if session is None else {"tunnel_id": tunnel, "session_id": session}
        self.events.publish(event, **ids, **more)

    async def stop(self):
        if self.process is not None and self.process.poll() is None:
            await self.kill()
        await self.server.stopService()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    pytest_twisted.blockon(ensureDeferred(world.stop()))


@pytest_twisted.ensureDeferred
async def test_a_script_is_told_what_has_happened(world):
    world.script("session-down", '#!/bin/sh\n{ echo "$@"; env; } > "$(dirname "$0")/told.new"\n'
                                 'mv "$(dirname "$0")/told.new" "$(dirname "$0")/told"\n')
    world.publish("session-down", 7, 8, name="u1", type="ppp", interface="ppp0", peer="192.0.2.1:1701", result=3,
                  by_peer=True, message="bye\0bye", user="u1@example.com", unheard_of=1)
    world.start()
    told = world.scripts / "told"
    await world.until(told.exists)
    lines = told.read_text().splitlines()
    assert lines[0] == "session-down 7 8"
    told_of = set(lines[1:])
    assert {"PROL2TP_EVENT=session-down", "PROL2TP_DAEMON=prol2tpd", "PROL2TP_ATTEMPT=1", "TUNNEL_ID=7", "SESSION_ID=8",
            "NAME=u1", "PW_TYPE=ppp", "IFNAME=ppp0", "PEER_ADDR=192.0.2.1:1701", "RESULT=3", "BY_PEER=true",
            "MESSAGE=byebye", "USER_NAME=u1@example.com", f"PROL2TP_RUN_DIR={world.directory}"} <= told_of
    assert not any("unheard" in line.lower() or "HOME" in line for line in told_of)


async def lives(world, tunnels, sessions, words=()):
    """All four events of every tunnel and of its sessions, with prol2tp-scriptd killed again and again meanwhile."""
    world.start(*words)
    total = 0
    for what in ("created", "up", "down", "deleted"):
        for tunnel in range(1, tunnels + 1):
            world.publish(f"tunnel-{what}", tunnel)
            total += 1
            for session in range(1, sessions + 1):
                world.publish(f"session-{what}", tunnel, session)
                total += 1
        enough = len(world.ran()) + total // 12
        await world.until(lambda enough=enough: world.lines() > enough, 300)
        await world.kill()
        world.start(*words)
    return total


def first_runs(world):
    """For each instance the scripts in the order in which they ran, doubles of one that was begun anew left out."""
    found = {}
    for script, tunnel, session, _ in world.ran():
        ran = found.setdefault((tunnel, session), [])
        if script not in ran:
            ran.append(script)
    return found


async def check_lives(world, tunnels, sessions, timeout):
    # `timeout` is long enough for a busy machine: a script that is ended before it has begun leaves no line
    for name in SCRIPTS:
        world.script(name)
    world.script("tunnel-up", NOTE + "exec sleep 1000\n")
    world.script("session-down", NOTE + "echo no such thing >&2\nexit 3\n")
    began = time.monotonic()
    total = await lives(world, tunnels, sessions, ("--timeout", timeout, "--max-running", "12"))

    def all_ran():
        return world.lines() >= total and sum(map(len, first_runs(world).values())) == total

    await world.until(all_ran, 300)
    order = ("created", "up", "down", "deleted")
    for (_, session), ran in first_runs(world).items():
        kind = "tunnel" if session == "-" else "session"
        assert ran == [f"{kind}-{what}" for what in order]
    for _ in range(600):
        status = await world.status()
        if not status["waiting"] and not status["running"]:
            break
        await deferLater(reactor, 0.1, lambda: None)
    assert problems(status, scriptd.RECORDS["scripts"], scriptd.RECORDS) == [] and status["lost"] == 0
    rows = {row["script"]: row for row in status["scripts"]}
    assert (status["waiting"], status["running"]) == (0, 0)
    assert rows["session-down"]["failed"] == rows["session-down"]["run"] > 0
    assert rows["session-down"]["last_error"].endswith(": status 3: no such thing")
    assert rows["session-up"]["failed"] == rows["tunnel-down"]["failed"] == 0
    attempts = [int(attempt) for *_, attempt in world.ran()]
    # of four kills each may have met as many as ran at that moment
    assert len(attempts) - total <= 4 * 12
    print(f"{total} events in {time.monotonic() - began:.0f} s, one script hangs, one fails, killed 4 times: "
          f"none lost, order kept, {len(attempts) - total} scripts began anew")


@pytest_twisted.ensureDeferred
async def test_no_event_is_lost_and_order_is_kept_when_scripts_hang_and_fail_and_we_are_killed(world):
    await check_lives(world, 4, 20, "1")


@pytest.mark.long
@pytest_twisted.ensureDeferred
async def test_ten_thousand_events_with_a_script_that_hangs_and_one_that_fails(world):
    await check_lives(world, 25, 99, "2")


@pytest_twisted.ensureDeferred
async def test_a_script_that_ran_while_we_were_killed_is_waited_for_and_not_run_twice(world):
    world.script("tunnel-up", NOTE + 'while [ ! -e "$(dirname "$0")/go" ]; do sleep 0.05; done\n')
    world.script("tunnel-down")
    world.start()
    world.publish("tunnel-up", 1)
    world.publish("tunnel-down", 1)
    await world.until(world.ran)
    await world.status()  # it has saved what it began before it answers
    await world.kill()
    world.start()
    await world.until(lambda: (world.directory / "log").read_text().count("are heard") == 2 or
                      "2 events wait" in (world.directory / "log").read_text())
    assert len(world.ran()) == 1
    (world.scripts / "go").touch()
    await world.until(lambda: len(world.ran()) >= 2)
    assert world.ran() == [["tunnel-up", "1", "-", "1"], ["tunnel-down", "1", "-", "1"]]


@pytest_twisted.ensureDeferred
async def test_a_script_that_is_begun_again_knows_it_whenever_we_were_killed(world):
    world.script("tunnel-up", NOTE + '[ $PROL2TP_ATTEMPT != 1 ] || kill -9 $PPID\n')
    for tunnel in ("1", "2", "3"):
        world.start()
        world.publish("tunnel-up", int(tunnel))
        assert await deferToThread(world.process.wait, 30) == -signal.SIGKILL
    world.start()
    await world.until(lambda: {(tunnel, "2") for tunnel in "123"} <= {(ran[1], ran[3]) for ran in world.ran()})
    # a script that had not ended when the next one killed us was begun a third time, never a second time as the same
    for tunnel in "123":
        attempts = sorted(int(ran[3]) for ran in world.ran() if ran[1] == tunnel)
        assert attempts == list(range(1, len(attempts) + 1))


@pytest_twisted.ensureDeferred
async def test_events_wait_in_the_daemon_while_we_are_away_and_follow_a_restart_of_it(world):
    world.script("tunnel-created")
    world.start()
    world.publish("tunnel-created", 1)
    await world.until(lambda: len(world.ran()) == 1)
    assert await world.kill(signal.SIGTERM) == -signal.SIGTERM
    world.publish("tunnel-created", 2)
    world.start()
    await world.until(lambda: len(world.ran()) == 2)
    await world.server.stopService()
    world.events = Events(prol2tpd.EVENTS)
    world.server = ControlServer(str(world.directory / "prol2tpd.sock"), prol2tpd.COMMANDS, world.events.responders(),
                                 prol2tpd.CALLBACKS)
    world.publish("tunnel-created", 3)
    world.server.startService()
    await world.until(lambda: len(world.ran()) == 3)
    assert [tunnel for _, tunnel, *_ in world.ran()] == ["1", "2", "3"]


@pytest_twisted.ensureDeferred
async def test_scripts_that_everybody_may_write_or_that_cannot_run_are_failures_with_a_reason(world):
    world.script("tunnel-created")
    (world.scripts / "tunnel-created").chmod(0o757)
    world.script("tunnel-up", "#!/no/such/shell\n")
    world.script("tunnel-down", "no program\n")
    (world.scripts / "tunnel-deleted").write_text(NOTE)
    world.start()
    for what in ("created", "up", "down", "deleted"):
        world.publish(f"tunnel-{what}", 1)
    log = world.directory / "log"
    await world.until(lambda: log.exists() and log.read_text().count("script ") >= 4)
    rows = {row["script"]: row for row in (await world.status())["scripts"]}
    errors = {name: row["last_error"] for name, row in rows.items() if row["failed"]}
    assert errors == {"tunnel-created": "everybody may write it", "tunnel-up": "No such file or directory",
                      "tunnel-down": "Exec format error", "tunnel-deleted": "is not executable"}
    assert json.dumps(errors) and not world.ran()


@pytest_twisted.ensureDeferred
async def test_a_script_that_comes_later_is_found_and_only_what_has_a_script_is_heard(world):
    world.script("tunnel-up")
    world.start()
    world.publish("tunnel-up", 1)
    await world.until(lambda: len(world.ran()) == 1)
    world.publish("tunnel-down", 1)
    world.script("tunnel-down")
    subscriber, = world.events._subscribers.values()
    await world.until(lambda: "tunnel-down" in subscriber.events)
    world.publish("tunnel-down", 2)
    await world.until(lambda: len(world.ran()) == 2)
    assert world.ran()[1][:2] == ["tunnel-down", "2"]
    assert os.path.exists(world.directory / "scriptd.sqlite")


MARK = '#!/bin/sh\nmkdir -p "${0%/*}/$1-$2"\n'


def fill_disk(world, full=True):
    """No file of the process can grow. Directories still can be made, which is what the scripts here do."""
    _, hard = resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))


def marks(world):
    return {path.name for path in world.scripts.iterdir() if path.is_dir()}


@pytest_twisted.ensureDeferred
async def test_while_the_disk_is_full_events_wait_and_those_on_it_are_run(world):
    world.script("tunnel-up", MARK + 'while [ ! -e "$(dirname "$0")/go" ]; do sleep 0.05; done\n')
    world.script("tunnel-down", MARK)
    world.start("--max-running", "1")
    for tunnel in range(1, 6):
        world.publish("tunnel-up", tunnel)
        world.publish("tunnel-down", tunnel)
    await world.until(lambda: "tunnel-up-1" in marks(world))
    await world.until(lambda: world.events.has_taken_all("scriptd"))
    fill_disk(world)
    (world.scripts / "go").mkdir()
    await world.until(lambda: len(marks(world)) == 11)
    world.publish("tunnel-up", 6)
    # a daemon that begins anew while we cannot save, and one that tells again what is not answered for
    await world.server.stopService()
    world.server.startService()
    await world.until(lambda: world.events.is_listening("scriptd"))
    world.publish("tunnel-down", 6)
    fill_disk(world, full=False)
    await world.until(lambda: {"tunnel-up-6", "tunnel-down-6"} <= marks(world))
    status = await world.status()
    assert (status["waiting"], status["running"], status["lost"]) == (0, 0, 0)
    assert [row["run"] for row in status["scripts"] if row["run"]] == [6, 6]
    # what had ended while it could not be said to the disk is not run again
    world.script("tunnel-down", MARK.replace("$1", "again"))
    assert await world.kill() == -signal.SIGKILL
    world.start()
    await world.until(lambda: "0 events wait" in (world.directory / "log").read_text().splitlines()[-1] or
                      (world.directory / "log").read_text().count("are heard") >= 2)
    assert not any(name.startswith("again") for name in marks(world))


@pytest_twisted.ensureDeferred
async def test_a_script_may_print_much_and_leave_something_running(world):
    world.script("tunnel-up", '#!/bin/sh\nhead -c 50000000 /dev/zero | tr "\\0" x\n'
                              '(trap "" PIPE; while [ ! -e "${0%/*}/go" ]; do echo still here; sleep 0.05; done;'
                              ' mkdir "${0%/*}/left-$2") &\nexit 1\n')
    world.start()
    world.publish("tunnel-up", 1)
    log = world.directory / "log"
    await world.until(lambda: log.exists() and "tunnel-up 1: status 1: x" in log.read_text())
    line = next(line for line in log.read_text().splitlines() if "status 1" in line)
    assert len(line) < 2200
    status = await world.status()
    assert status["running"] == 0
    (world.scripts / "go").mkdir()
    await world.until(lambda: "left-1" in marks(world))


@pytest_twisted.ensureDeferred
async def test_what_peers_call_themselves_is_a_value_and_nothing_else(world):
    world.script("session-up", '#!/bin/sh\nenv -0 > "${0%/*}/told.new"\nmv "${0%/*}/told.new" "${0%/*}/told"\n')
    names = ["$(touch /tmp/owned)`id`", "a\nPATH=/evil", "%n%s", "\x1b[2J", "x" * 253, "caf\udce9", ""]
    world.start()
    for number, name in enumerate(names, 1):
        told = world.scripts / "told"
        told.unlink(missing_ok=True)
        world.publish("session-up", number, 1, user=name)
        await world.until(told.exists)
        told_of = dict(entry.split(b"=", 1) for entry in told.read_bytes().split(b"\0") if entry)
        assert told_of[b"USER_NAME"] == name.encode("utf-8", "replace")
        assert told_of[b"PATH"].startswith(b"/usr/local/sbin:")


@pytest_twisted.ensureDeferred
async def test_events_of_another_version_are_passed_over(world):
    world.script("tunnel-up")
    world.start()
    world.publish("tunnel-up", 1)
    await world.until(lambda: len(world.ran()) == 1)
    await world.kill(signal.SIGTERM)
    with contextlib.closing(sqlite3.connect(world.directory / "scriptd.sqlite", isolation_level=None)) as database:
        for source, event in (("prol2tpe", "tunnel-up"), ("prol2tpd", "tunnel-sideways"), ("prol2tpd", "tunnel-up")):
            database.execute("INSERT INTO event (source, event, time, data) VALUES (?, ?, 0, '{\"tunnel_id\": 2}')",
                             (source, event))
    world.start()
    await world.until(lambda: len(world.ran()) == 2)
    log = (world.directory / "log").read_text()
    assert "tunnel-up of prol2tpe: another version" in log and "tunnel-sideways of prol2tpd: another version" in log
    assert (await world.status())["waiting"] == 0
