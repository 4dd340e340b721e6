"""prol2tpwatch as a process, beside a daemon that ends and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

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
