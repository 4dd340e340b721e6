"""prol2tpwatch as a process, beside a daemon that ends and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from prol2tp.control.commands import prol2tpd
from tests.shell.control_daemons import Daemons

ROOT = Path(__file__).parents[2]


class Watcher:
    def __init__(self, directory, *words, tool="prol2tpwatch"):
        script = f"import sys; from prol2tp.cli.watch import {tool}; sys.exit({tool}())"
        self.process = subprocess.Popen([sys.executable, "-c", script, "--run-dir", str(directory), *words], cwd=ROOT,
                                        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    async def line(self):
        return (await deferToThread(self.process.stdout.readline)).rstrip("\n")

    async def end(self):
        out, errors = await deferToThread(self.process.communicate, timeout=30)
        return self.process.returncode, out, errors


async def subscribed(events):
    while not events.subscribers:
        await deferLater(reactor, 0.02, lambda: None)


@pytest.fixture
def daemons(tmp_path):
    daemons = Daemons(tmp_path)
    daemons.start()
    yield daemons
    pytest_twisted.blockon(ensureDeferred(_stop(daemons)))


async def _stop(daemons):
    await daemons.stop()


@pytest_twisted.ensureDeferred
async def test_it_ends_after_as_many_events_as_wanted(daemons, tmp_path):
    watcher = Watcher(tmp_path, "-n", "2", "-s", "up", "-t", "none")
    await subscribed(daemons.events)
    for number in range(3):
        daemons.events.publish("session-created", handle=number, tunnel_id=1, session_id=number)
        daemons.events.publish("session-up", handle=number, tunnel_id=1, session_id=number)
    assert await watcher.end() == (
        0, "".join(f"SESSION UP: handle={n} tid=1 sid={n} peer_tid=- peer_sid=-\n" for n in range(2)), "")


@pytest_twisted.ensureDeferred
async def test_it_ends_after_as_long_as_wanted(daemons, tmp_path):
    watcher = Watcher(tmp_path, "-T", "0.3", tool="propppwatch")
    await subscribed(daemons.link_events)
    daemons.link_events.publish("link-created", name="session-1", id="1/2", profile="p")
    assert await watcher.end() == (0, "PPP CREATED: name=session-1 id=1/2 profile='p'\n", "")


@pytest_twisted.ensureDeferred
async def test_it_ends_with_the_daemon(daemons, tmp_path):
    watcher = Watcher(tmp_path)
    await subscribed(daemons.events)
    await daemons.prol2tpd.stopService()
    assert await watcher.end() == (0, "", "")
    code, out, errors = await Watcher(tmp_path).end()
    assert (code, out) == (3, "") and errors.startswith("prol2tpwatch: ") and errors.count("\n") == 1


@pytest_twisted.ensureDeferred
async def test_it_goes_on_where_it_was_when_the_daemon_is_back(daemons, tmp_path):
    watcher = Watcher(tmp_path, "-r", "--json", "-n", "4")
    await subscribed(daemons.events)
    daemons.events.publish("tunnel-up", tunnel_id=1)
    assert json.loads(await watcher.line())["data"] == {"tunnel_id": 1}
    for connection in list(daemons.prol2tpd.connections):
        connection.transport.abortConnection()
    while daemons.events.subscribers:
        await deferLater(reactor, 0.01, lambda: None)
    daemons.events.publish("tunnel-up", tunnel_id=2)
    daemons.events.publish("tunnel-up", tunnel_id=3)
    assert [json.loads(await watcher.line())["data"]["tunnel_id"] for _ in range(2)] == [2, 3]
    await daemons.stop()
    again = Daemons(tmp_path)
    again.events.publish("tunnel-up", tunnel_id=4)
    again.start()
    code, out, _ = await watcher.end()
    assert code == 0 and json.loads(out)["data"] == {"tunnel_id": 4}
    await again.stop()


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_ends_the_connection_before_it_answers_is_a_failure(daemons, tmp_path):
    daemons.prol2tpd.responders.table[b"Subscribe"] = (prol2tpd.COMMANDS["Subscribe"],
                                                       lambda connection, **_: connection.drop("not allowed"))
    code, out, errors = await Watcher(tmp_path).end()
    assert (code, out) == (3, "") and "the daemon closed the connection" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("words", ["-T 0.3", "--what"])
@pytest_twisted.ensureDeferred
async def test_it_can_do_without_output_and_errors(daemons, tmp_path, words, closed):
    script = "import sys; from prol2tp.cli.watch import prol2tpwatch; sys.exit(prol2tpwatch())"
    line = f'exec "{sys.executable}" -c "{script}" --run-dir "{tmp_path}" {words} {closed}'
    process = subprocess.Popen(["sh", "-c", line], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = await deferToThread(process.communicate, timeout=30)
    assert process.returncode == (0 if words == "-T 0.3" else 2), errors
    assert "Traceback" not in errors and not out


@pytest.mark.parametrize("said", [
    {"events": [{"sequence": 1}], "dropped": 0}, {"events": [5], "dropped": 0}, {"events": None, "dropped": 0},
    {"events": [{"sequence": 1, "event": "else", "time": 0, "data": {}}], "dropped": 0},
    {"events": [{"sequence": 1, "event": "tunnel-up", "time": "x", "data": {}}], "dropped": 0},
])
@pytest_twisted.ensureDeferred
async def test_what_a_daemon_of_another_kind_says_is_one_line(daemons, tmp_path, said):
    def subscribe(connection, **_):
        connection.call("Notify", instance="1", **said).addErrback(lambda _: None)
        return {"instance": "1", "sequence": 1}

    daemons.prol2tpd.responders.table[b"Subscribe"] = (prol2tpd.COMMANDS["Subscribe"], subscribe)
    code, _, errors = await Watcher(tmp_path, "-p", "-T", "20").end()
    assert code == 1 and errors.startswith("prol2tpwatch: what the daemon says is not understood: ")
    assert errors.count("\n") == 1


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_hangs_is_not_waited_for_longer_than_wanted(daemons, tmp_path):
    daemons.prol2tpd.responders.table[b"Subscribe"] = (prol2tpd.COMMANDS["Subscribe"],
                                                       lambda connection, **_: Deferred())
    code, out, errors = await Watcher(tmp_path, "-T", "0.3").end()
    assert (code, out) == (3, "") and errors.endswith("prol2tpd.sock: no answer\n")
