"""prol2tp-webd towards clients and daemons that behave badly, on loopback and with virtual time."""

from __future__ import annotations

import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from prol2tp.control.commands import propppd
from prol2tp.daemons.webd import streams
from prol2tp.daemons.webd.pages import Page, QuietSite
from prol2tp.daemons.webd.streams import Streams
from prol2tp.daemons.webd.watch import PATIENCE, Watch
from tests.shell.control_daemons import Daemons

TOKEN = "0123456789abcdef"
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"


class Web:
    """The page on a port of loopback, in front of daemons of the test. `clock` is the time of questions to them."""

    def __init__(self, directory):
        self.daemons = Daemons(directory)
        self.daemons.start()
        self.clock = Clock()
        self.streams = Streams()
        self.watch = Watch(reactor, str(directory), self.streams.tell)
        self.watch._reactor = self.clock
        self.watch.startService()
        self.port = reactor.listenTCP(0, QuietSite(Page(self.watch, self.streams, TOKEN)), interface="127.0.0.1")
        self.clients = []

    async def connected(self):
        while not all(self.watch.clients[name].connected for name in ("prol2tpd", "propppd")):
            await later(0.01)

    def client(self, request):
        made = socket.create_connection(("127.0.0.1", self.port.getHost().port), 10)
        self.clients.append(made)
        made.sendall(request.encode("latin-1"))
        return made

    async def ask(self, request):
        """Code and body of the answer."""
        data = await deferToThread(lambda: until_end(self.client(request)))
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    async def get(self, path, head=HEAD):
        return await self.ask(f"GET {path} HTTP/1.0\r\n{head}\r\n")

    async def stop(self):
        for client in self.clients:
            client.close()
        await self.watch.stopService()
        await self.port.stopListening()
        await self.daemons.stop()


def later(seconds):
    return deferLater(reactor, seconds, lambda: None)


def until_end(client):
    found = b""
    while data := client.recv(65536):
        found += data
    return found


@pytest.fixture
def web(tmp_path):
    web = Web(tmp_path)
    pytest_twisted.blockon(ensureDeferred(web.connected()))
    yield web
    pytest_twisted.blockon(ensureDeferred(web.stop()))


def silence(daemon, command):
    """The daemon does not answer this any more. -> the questions, to be answered late."""
    asked = []

    def hang(connection, **_):
        asked.append(Deferred())
        return asked[-1]

    daemon.responders.table[command.name.encode()] = (command, hang)
    return asked


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_hangs_is_down_and_hides_no_other(web):
    asked = silence(web.daemons.propppd, propppd.STATUS)
    scrape = ensureDeferred(web.get("/metrics"))
    while not asked or "prol2tpd" in web.watch._late:
        await later(0.01)
    web.clock.advance(PATIENCE)
    code, body = await scrape
    assert code == 200
    assert 'prol2tp_daemon_up{daemon="prol2tpd"} 1.0' in body and "prol2tp_tunnels_up" in body
    assert "proppp_links_up" not in body
    # nobody waits for it again, and it is not asked more and more
    code, body = await web.get("/metrics")
    assert code == 200 and "prol2tp_tunnels_up" in body
    assert len(asked) == 1 and web.watch.state()["daemons"]["propppd"] is False


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_answers_late_is_up_again(web):
    answer = (await web.watch.call("propppd", propppd.STATUS))["status"]
    asked = silence(web.daemons.propppd, propppd.STATUS)
    first = web.watch.refresh()
    while not asked:
        await later(0.01)
    web.clock.advance(PATIENCE)
    await first
    assert not web.watch.is_up("propppd")
    asked[0].callback({"status": answer})
    while not web.watch.is_up("propppd"):
        await later(0.01)
    web.watch.refresh()
    while len(asked) < 2:
        await later(0.01)


@pytest_twisted.ensureDeferred
async def test_a_question_that_nobody_answers_is_an_error_and_not_a_page_that_waits(web):
    asked = silence(web.daemons.propppd, propppd.FIND)
    search = ensureDeferred(web.get("/api/find?user=u1"))
    while not asked:
        await later(0.01)
    web.clock.advance(PATIENCE)
    assert await search == (503, "propppd does not answer\n")


@pytest_twisted.ensureDeferred
async def test_a_listener_who_does_not_read_costs_little_and_gets_all_when_he_reads_again(web):
    client = web.client(f"GET /stream HTTP/1.0\r\n{HEAD}\r\n")
    while not web.streams._open:
        await later(0.01)
    transport = web.streams._open[0].request.transport
    text = "x" * 10_000
    for number in range(3000):
        web.streams.tell("sample", {"number": number, "text": text})
        if number % 100 == 0:
            await later(0)
    waiting = len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer))
    assert waiting < 200_000
    web.watch.drops.add({"time": 1.0, "daemon": "propppd", "id": "1/2", "user": "late", "cause": "x", "reason": ""})

    def read():
        client.settimeout(10)
        found = b""
        while b'"late"' not in found:
            data = client.recv(1 << 20)
            assert data, "the stream has ended"
            found += data
        return found

    found = await deferToThread(read)
    assert found.count(b"event: hello") >= 2 and len(found) < 20_000_000


@pytest_twisted.ensureDeferred
async def test_the_oldest_listener_gives_way_when_there_are_too_many(web, monkeypatch):
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)
    first = web.client(f"GET /stream HTTP/1.0\r\n{HEAD}\r\n")
    while len(web.streams._open) < 1:
        await later(0.01)
    for _ in range(2):
        web.client(f"GET /stream HTTP/1.0\r\n{HEAD}\r\n")
    assert b"event: hello" in await deferToThread(until_end, first)
    assert len(web.streams._open) == 2


@pytest_twisted.ensureDeferred
async def test_drops_that_come_together_are_told_together(web):
    told = []
    web.watch._tell = lambda kind, value: told.append((kind, value))
    for number in range(1000):
        web.daemons.link_events.publish("link-down", name=f"session-{number}", id=f"1/{number}", user="u",
                                        cause="Lost Carrier", message="")
    while not web.watch.events or web.watch.events[-1]["data"]["id"] != "1/999":
        await later(0.01)
    web.clock.advance(1)
    drops = [value for kind, value in told if kind == "drops"]
    assert len(drops) <= 2 and drops[-1][-1]["id"] == "1/999" and len(drops[-1]) <= 200


@pytest.mark.parametrize(("path", "code"), [
    ("/api/tunnels/x", 200), ("/api/tunnels/x/y", 404), ("/api/tunnels/x?cursor=%00", 400),
    ("/api/session/%c2%b2-%c2%b2", 404), ("/api/session/" + "9" * 5000 + "-1", 404), ("/api/link/%ff%00", 404),
    ("/../../etc/passwd", 404), ("/%2e%2e/page.js", 404), ("/api", 404), ("/metrics/x", 404), ("/metrics/x/y", 404),
])
@pytest_twisted.ensureDeferred
async def test_no_path_is_a_fault_of_ours(web, path, code):
    assert (await web.get(path))[0] == code


@pytest_twisted.ensureDeferred
async def test_what_is_sent_with_a_request_is_not_kept(web, monkeypatch):
    made = []
    monkeypatch.setattr(Page, "render", lambda page, request: made.append(request.content.read()) or b"")
    size = 3_000_000
    code, _ = await web.ask(f"POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n" + "x" * size)
    assert code == 200 and made == [b""]
