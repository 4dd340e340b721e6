"""The control socket, its clients and its events, on real UNIX sockets."""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.threads import deferToThread
from twisted.protocols import amp

from prol2tp.control import blocking, client
from prol2tp.control import events as events_module
from prol2tp.control import server as server_module
from prol2tp.control.amp import amp_commands
from prol2tp.control.client import ControlClient
from prol2tp.control.command import Argument, Command, Gone, Internal, Invalid, NotFound, Unknown, table
from prol2tp.control.commands import prol2tpd, propppd
from prol2tp.control.server import AddressInUse, ControlServer
from tests.golden import records
from tests.shell.control_daemons import Daemons


@pytest.fixture
def daemons(tmp_path):
    daemons = Daemons(tmp_path / "run")
    daemons.start()
    yield daemons
    pytest_twisted.blockon(daemons.stop())


def asked(path, command, **arguments):
    """One question of the blocking client, in a thread."""

    def blocked():
        with blocking.Connection(path) as connection:
            return connection.call(command, **arguments)

    return deferToThread(blocked)


def test_the_socket_is_for_its_owner_in_a_directory_for_owner_and_group(daemons):
    assert stat.S_IMODE(os.stat(daemons.prol2tpd.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(daemons.directory).st_mode) == 0o750


@pytest_twisted.ensureDeferred
async def test_the_socket_goes_with_the_service(tmp_path):
    daemons = Daemons(tmp_path)
    daemons.start()
    await daemons.stop()
    assert os.listdir(tmp_path) == []


@pytest_twisted.ensureDeferred
async def test_a_stale_socket_is_cleared_and_a_living_one_is_not(tmp_path):
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    first = ControlServer(path, {}, {})
    first.startService()
    with pytest.raises(AddressInUse):
        ControlServer(path, {}, {}).startService()
    await first.stopService()


def test_a_file_in_place_of_the_socket_is_left_alone(tmp_path):
    path = tmp_path / "x.sock"
    path.write_text("precious")
    with pytest.raises(AddressInUse):
        ControlServer(str(path), {}, {}).startService()
    assert path.read_text() == "precious"


def test_a_socket_that_cannot_be_bound_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        ControlServer(str(tmp_path / ("x" * 120)), {}, {}).startService()


@pytest_twisted.ensureDeferred
async def test_the_socket_of_a_successor_is_left_alone(tmp_path):
    path = str(tmp_path / "x.sock")
    first, second = ControlServer(path, {}, {}), ControlServer(path, {}, {})
    first.startService()
    os.unlink(path)
    second.startService()
    await first.stopService()
    assert os.path.exists(path)
    await second.stopService()


@pytest_twisted.ensureDeferred
async def test_another_user_is_not_let_in(daemons, monkeypatch):
    monkeypatch.setattr(server_module, "_CREDENTIALS", _Somebody())
    with pytest.raises(blocking.Unreachable):
        await asked(daemons.prol2tpd.path, prol2tpd.SHOW_SYSTEM)
    assert not daemons.prol2tpd.connections


@pytest_twisted.ensureDeferred
async def test_another_user_of_an_allowed_group_is_let_in(tmp_path, monkeypatch):
    server = ControlServer(
        str(tmp_path / "x.sock"),
        prol2tpd.COMMANDS,
        {"ShowSystem": lambda connection: {"system": list(connection.peer)}},
        gids=[os.getegid()],
    )
    server.startService()
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o660
    monkeypatch.setattr(server_module, "_CREDENTIALS", _Somebody(gid=os.getegid()))
    assert await asked(server.path, prol2tpd.SHOW_SYSTEM) == {"system": [1, 65000, os.getegid()]}
    await server.stopService()


class _Somebody:
    """SO_PEERCRED of another user."""

    size = 12

    def __init__(self, gid=65000):
        self.gid = gid

    def unpack(self, data):
        assert len(data) == self.size
        return 1, 65000, self.gid


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_a_process_of_another_user_really_is_not_let_in(daemons):
    """With modes that would let everybody in, the kernel's word about the peer still keeps him out."""
    os.chmod(daemons.prol2tpd.path, 0o777)
    for directory in (Path(daemons.directory), *Path(daemons.directory).parents):
        if directory.owner() == "root" and str(directory).startswith("/tmp/"):
            os.chmod(directory, 0o755)
    script = (
        "import os, socket; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        f"s.connect({daemons.prol2tpd.path!r}); print(s.recv(1))"
    )
    done = await deferToThread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert "ConnectionResetError" in done.stderr or done.stdout == "b''\n", done.stderr


@pytest_twisted.ensureDeferred
async def test_errors_reach_the_blocking_client_as_what_they_are(daemons):
    path = daemons.prol2tpd.path
    for number, error in ((1, NotFound), (0, Invalid), (500, Internal)):
        with pytest.raises(error):
            await asked(path, prol2tpd.SHOW_TUNNEL, tunnel_id=number)
    with pytest.raises(Unknown):
        await asked(path, propppd.STATUS)


@pytest_twisted.ensureDeferred
async def test_the_blocking_client_follows_pages(daemons):
    def rows():
        with blocking.Connection(daemons.prol2tpd.path) as connection:
            return list(connection.rows(prol2tpd.LIST_SESSIONS, limit=2)), list(
                connection.pages(prol2tpd.LIST_SESSIONS, limit=2)
            )

    all_rows, pages = await deferToThread(rows)
    assert all_rows == list(daemons.rows.values()) and [len(page) for page in pages] == [2, 1]


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 400\r\n\r\n", b"\0\1a\0\1b" * 1000, b"\0\1a", b"\xff\xff"])
@pytest_twisted.ensureDeferred
async def test_the_blocking_client_takes_no_nonsense(tmp_path, data):
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        question = asked(path, prol2tpd.SHOW_SYSTEM)
        other, _ = await deferToThread(listener.accept)
        other.sendall(data)
        other.shutdown(socket.SHUT_WR)
        with pytest.raises(blocking.Unreachable):
            await question
        other.close()


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_does_not_answer_counts_as_not_reachable(tmp_path):
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def blocked():
            blocking.Connection(path, timeout=0.05).call(prol2tpd.SHOW_SYSTEM)

        with pytest.raises(blocking.Unreachable, match="no answer"):
            await deferToThread(blocked)


@pytest_twisted.ensureDeferred
async def test_bad_boxes_cost_their_connection_and_no_other(daemons):
    good = blocking.Connection(daemons.prol2tpd.path)
    await deferToThread(good.call, prol2tpd.SHOW_SYSTEM)

    def bad():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(daemons.prol2tpd.path)
            connection.sendall(b"\xff\xff nonsense")
            connection.settimeout(10)
            try:
                return connection.recv(1)
            except ConnectionResetError:
                return b""

    assert await deferToThread(bad) == b""
    assert (await deferToThread(good.call, prol2tpd.SHOW_SYSTEM))["system"] == records.SYSTEM
    good.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_reads_holds_bounded_memory(daemons):
    question = blocking.write_box({b"_command": b"ListSessions", b"_ask": b"1"})
    flood = socket.socket(socket.AF_UNIX)
    flood.connect(daemons.prol2tpd.path)
    flood.setblocking(False)
    await asked(daemons.prol2tpd.path, prol2tpd.SHOW_SYSTEM)
    connection = next(c for c in daemons.prol2tpd.connections)

    def send():
        flood.settimeout(0.3)
        sent = 0
        try:
            while sent < 1 << 22:
                sent += flood.send(question * 1000)
        except TimeoutError:
            pass
        return sent

    assert await deferToThread(send) < 1 << 22
    transport = connection.transport
    assert len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer)) < 1 << 20
    assert (await asked(daemons.prol2tpd.path, prol2tpd.SHOW_SYSTEM))["system"] == records.SYSTEM
    flood.close()


@pytest_twisted.ensureDeferred
async def test_twisteds_own_amp_speaks_with_us(daemons):
    protocol = await connectProtocol(UNIXClientEndpoint(reactor, daemons.prol2tpd.path), amp.AMP())
    commands = amp_commands(prol2tpd.COMMANDS)
    answer = await protocol.callRemote(commands["ListSessions"], limit=2)
    assert answer["rows"] == list(daemons.rows.values())[:2] and answer["cursor"]
    with pytest.raises(NotFound, match="no tunnel 5"):
        await protocol.callRemote(commands["ShowTunnel"], tunnel_id=5)
    await protocol.callRemote(commands["CreateTunnel"], parameters={"name": "x"})
    assert daemons.calls == [("CreateTunnel", {"parameters": {"name": "x"}})]
    lost = Deferred()
    protocol.connectionLost = lambda reason: lost.callback(None)
    protocol.transport.loseConnection()
    await lost


@pytest_twisted.ensureDeferred
async def test_commands_go_both_ways_over_one_connection(daemons):
    heard, connected = [], Deferred()
    tool = ControlClient(
        daemons.propppd.path,
        propppd.COMMANDS,
        propppd.CALLBACKS,
        {"SessionsChanged": lambda connection, sessions: heard.extend(sessions)},
        on_connected=connected.callback,
    )
    tool.startService()
    assert await connected is tool and tool.connected
    answer = await tool.call("AttachSessions", sessions=[{"id": "1/2"}, {"id": "1/3"}])
    assert answer == {"results": [None, None]}
    assert heard == [{"id": "1/2", "state": "up"}, {"id": "1/3", "state": "up"}]
    await tool.stopService()
    assert not tool.connected
    with pytest.raises(Gone):
        await tool.call("Status")


@pytest_twisted.ensureDeferred
async def test_two_sides_that_ask_much_of_each_other_at_once_both_get_answers(tmp_path):
    echo = table((Command("Echo", (Argument("text", "text"),), (Argument("text", "text"),), "."),))
    responders = {"Echo": lambda connection, text: {"text": text}}
    server = ControlServer(str(tmp_path / "s"), echo, responders, echo)
    server.startService()
    connected = Deferred()
    client = ControlClient(server.path, echo, echo, responders, on_connected=connected.callback)
    client.startService()
    await connected
    await deferToThread(lambda: None)
    while not server.connections:
        await deferToThread(lambda: None)
    (there,) = server.connections
    answers = [side.call("Echo", text="x" * 10_000) for _ in range(200) for side in (client, there)]
    try:
        for answer in await gatherResults(answers).addTimeout(20, reactor):
            assert len(answer["text"]) == 10_000
    finally:
        for answer in answers:
            answer.addErrback(lambda _: None)
        await client.stopService()
        await server.stopService()


@pytest_twisted.ensureDeferred
async def test_a_client_connects_again_when_the_daemon_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    waiting = []

    def next_of(name):
        waiting.append((name, Deferred()))
        return waiting[-1][1]

    def happened(name):
        wanted, deferred = waiting.pop(0)
        assert wanted == name
        deferred.callback(None)

    tool = ControlClient(
        str(tmp_path / "propppd.sock"),
        propppd.COMMANDS,
        on_connected=lambda _: happened("connected"),
        on_lost=lambda _: happened("lost"),
    )
    first = next_of("connected")
    tool.startService()
    for _ in range(2):
        daemons = Daemons(tmp_path)
        daemons.start()
        await first
        assert (await tool.call("Status"))["status"] == records.STATUS
        lost, first = next_of("lost"), next_of("connected")
        await daemons.stop()
        await lost
        assert not tool.connected
    await tool.stopService()


@pytest_twisted.ensureDeferred
async def test_subscribers_hear_what_they_asked_for(daemons):
    heard, done, connected = [], Deferred(), Deferred()

    def notify(connection, events, dropped, instance):
        heard.extend(events)
        assert dropped == 0
        if heard[-1]["event"] == "tunnel-deleted":
            done.callback(None)

    tool = ControlClient(
        daemons.prol2tpd.path,
        prol2tpd.COMMANDS,
        prol2tpd.CALLBACKS,
        {"Notify": notify},
        on_connected=connected.callback,
    )
    daemons.events.publish("tunnel-up", tunnel_id=0)
    tool.startService()
    await connected
    assert daemons.events.subscribers == 0
    with pytest.raises(Invalid, match="no such event: moon"):
        await tool.call("Subscribe", events=["moon"])
    await tool.call("Subscribe", events=["tunnel-up", "tunnel-deleted"])
    assert daemons.events.subscribers == 1
    for number in range(300):
        daemons.events.publish("tunnel-up", tunnel_id=number)
        daemons.events.publish("session-up", session_id=number)
    daemons.events.publish("tunnel-deleted", tunnel_id=1)
    await done
    assert [event["data"]["tunnel_id"] for event in heard] == [*range(300), 1]
    assert heard[0] == {"event": "tunnel-up", "sequence": 2, "time": 5.0, "data": {"tunnel_id": 0}}
    await tool.call("Unsubscribe")
    assert daemons.events.subscribers == 0
    await tool.stopService()


@pytest_twisted.ensureDeferred
async def test_a_slow_subscriber_loses_the_oldest_events_and_is_told_how_many(daemons, monkeypatch):
    monkeypatch.setattr(events_module, "KEPT", 1000)
    heard, answer, connected, done = [], Deferred(), Deferred(), Deferred()

    def notify(connection, events, dropped, instance):
        heard.append((events, dropped))
        if len(heard) == 1:
            return answer
        if events[-1]["data"]["tunnel_id"] == 1500:
            done.callback(None)
        return None

    tool = ControlClient(
        daemons.prol2tpd.path,
        prol2tpd.COMMANDS,
        prol2tpd.CALLBACKS,
        {"Notify": notify},
        on_connected=connected.callback,
    )
    tool.startService()
    await connected
    await tool.call("Subscribe")
    for number in range(1501):
        daemons.events.publish("tunnel-up", tunnel_id=number)
    answer.callback(None)
    await done
    assert [event["data"]["tunnel_id"] for event in heard[0][0]] == [0]
    assert heard[1][1] == 500 and heard[1][0][0]["data"]["tunnel_id"] == 501
    assert sum(len(events) for events, _ in heard) == 1001
    await tool.stopService()


@pytest_twisted.ensureDeferred
async def test_a_subscriber_that_is_gone_is_forgotten(daemons):
    connected = Deferred()
    tool = ControlClient(
        daemons.prol2tpd.path,
        prol2tpd.COMMANDS,
        prol2tpd.CALLBACKS,
        {"Notify": lambda *_: None},
        on_connected=connected.callback,
    )
    tool.startService()
    await connected
    await tool.call("Subscribe")
    connection = next(iter(daemons.prol2tpd.connections))
    lost = Deferred()
    connection.on_lost.append(lost.callback)
    await tool.stopService()
    await lost
    assert daemons.events.subscribers == 0
    daemons.events.publish("tunnel-up", tunnel_id=1)


@pytest_twisted.ensureDeferred
async def test_the_client_of_the_page_works(daemons):
    page = (Path(__file__).parents[2] / "docs" / "control-protocol.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(program.splitlines()) == 10
    done = await deferToThread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={"PROL2TP_RUN_DIR": daemons.directory},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stderr, done.stdout) == (
        "",
        "session-1 u1@example.com\nsession-2 u2@example.com\nsession-3 u3@example.com\n",
    )


def test_credentials_have_the_size_that_the_kernel_gives():
    assert server_module._CREDENTIALS.size == struct.calcsize("iII") == 12
