"""The sockets of RADIUS on loopback, against a server on plain sockets."""

from __future__ import annotations

import errno
import random
import socket
from typing import Any

import pytest
from pyrad.packet import CoAPacket, DisconnectRequest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from prol2tp.net.radius import DynamicAuthorizationPort, RadiusPort
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.attributes import Nas
from prol2tp.radius.client import ClientSettings, RadiusClient
from prol2tp.radius.dictionary import DICTIONARY
from prol2tp.radius.dynauth import DynamicAuthorization, DynamicClient
from prol2tp.radius.outputs import Accepted, Asked, NoAnswer
from prol2tp.radius.servers import ServerSettings
from tests.netns import World
from tests.unit.radius.radius_server import SECRET, Server

QUESTION = AccessRequest(b"u", "pap", password=b"pw", nas=Nas(identifier="lns"))


class LoopbackServer:
    """`radius_server.Server` behind a socket in the reactor."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.server = Server()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()[:2]
        self.senders: set[Any] = set()
        reactor.addReader(self)  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "server"

    def connectionLost(self, reason: object) -> None: ...

    def doRead(self) -> None:
        data, peer = self.socket.recvfrom(4096)
        self.senders.add(peer[:2])
        answer = self.server.answer(data)
        if answer is not None:
            self.socket.sendto(answer, peer)

    def stop(self) -> None:
        reactor.removeReader(self)  # type: ignore[attr-defined]
        self.socket.close()


def client_of(*servers: LoopbackServer | tuple[str, int], duration: float = 30.0, **changes: Any) -> RadiusPort:
    settings = []
    for number, one in enumerate(servers):
        host, port = one.address if isinstance(one, LoopbackServer) else one
        settings.append(ServerSettings(f"s{number}", host, SECRET, port, 0, priority=number, **changes))
    ours = ClientSettings(duration=duration, max_in_progress=1000)
    core = RadiusClient(settings, random.Random(1).randbytes, settings=ours)
    return RadiusPort(reactor, core)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@ensureDeferred
async def test_a_question_is_answered_over_ipv4_and_ipv6(host: str) -> None:
    server = LoopbackServer(host)
    port = client_of(server)
    try:
        result = await port.request(QUESTION)
        assert isinstance(result, Accepted)
        assert result.server == "s0"
    finally:
        port.stop()
        server.stop()


@ensureDeferred
async def test_five_hundred_questions_use_two_sockets() -> None:
    server = LoopbackServer()
    port = client_of(server)
    try:
        results = [await one for one in [port.request(QUESTION) for _ in range(500)]]
        assert {type(result) for result in results} == {Accepted}
        assert len(server.senders) == 2
    finally:
        port.stop()
        server.stop()


@ensureDeferred
async def test_a_source_address_is_used() -> None:
    server = LoopbackServer()
    port = client_of(server, source_address="127.0.0.5")
    try:
        await port.request(QUESTION)
        assert {host for host, _ in server.senders} == {"127.0.0.5"}
    finally:
        port.stop()
        server.stop()


@pytest.mark.root
@ensureDeferred
async def test_requests_go_through_a_device() -> None:
    server = LoopbackServer()
    port = client_of(server, device="lo")
    try:
        assert isinstance(await port.request(QUESTION), Accepted)
        (lane,) = port._ports.values()
        assert lane.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"
    finally:
        port.stop()
        server.stop()


@pytest.mark.root
@ensureDeferred
async def test_a_device_that_is_not_there_is_no_answer() -> None:
    server = LoopbackServer()
    port = client_of(server, device="no-such-vrf", timeout=0.1, duration=0.5)
    try:
        assert isinstance(await port.request(QUESTION), NoAnswer)
        assert server.senders == set() and port.send_errors > 0
    finally:
        port.stop()
        server.stop()


async def errors(port: RadiusPort, count: int) -> None:
    """Until there are so many more."""
    wanted = port.send_errors + count
    while port.send_errors < wanted:
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


@pytest.mark.root
@ensureDeferred
async def test_an_address_of_ours_may_come_later_and_come_back() -> None:
    with World() as world:
        host = world.namespace("aaa")
        with host.inside():
            server = LoopbackServer()
        settings = ServerSettings("s", "127.0.0.1", SECRET, server.address[1], 0, source_address="10.9.9.9",
                                  timeout=0.1, max_timeout=0.1, probe_interval=0.1)
        core = RadiusClient([settings], random.Random(1).randbytes)
        port = RadiusPort(reactor, core, host.socket)  # type: ignore[arg-type]
        try:
            waiting = port.request(QUESTION)
            await errors(port, 2)
            assert not waiting.called and server.senders == set()
            host.run("ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
            assert isinstance(await waiting, Accepted)
            assert {sender[0] for sender in server.senders} == {"10.9.9.9"}
            host.run("ip", "addr", "del", "10.9.9.9/32", "dev", "lo")
            waiting = port.request(QUESTION)
            await errors(port, 2)
            host.run("ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
            assert isinstance(await waiting, Accepted)
        finally:
            port.stop()
            server.stop()


@ensureDeferred
async def test_a_closed_port_is_found_out_without_waiting_for_a_timeout() -> None:
    closed, server = LoopbackServer(), LoopbackServer()
    closed.stop()
    port = client_of(closed, server, timeout=20.0)
    try:
        result = await port.request(QUESTION).addTimeout(5, reactor)  # type: ignore[arg-type]
        assert isinstance(result, Accepted)
        assert result.server == "s1"
    finally:
        port.stop()
        server.stop()


@ensureDeferred
async def test_a_socket_that_cannot_be_made_leaves_the_next_server() -> None:
    server = LoopbackServer()
    core = RadiusClient(
        [ServerSettings("bad", "127.0.0.1", SECRET, 1, 0, timeout=20.0, source_address="192.0.2.200"),
         ServerSettings("good", "127.0.0.1", SECRET, server.address[1], 0, priority=2)],
        random.Random(1).randbytes,
    )  # fmt: skip
    port = RadiusPort(reactor, core)  # type: ignore[arg-type]
    try:
        result = await port.request(QUESTION).addTimeout(5, reactor)  # type: ignore[arg-type]
        assert isinstance(result, Accepted)
        assert result.server == "good"
    finally:
        port.stop()
        server.stop()


@ensureDeferred
async def test_stopping_ends_what_waits_and_leaves_nothing_in_the_reactor() -> None:
    server = LoopbackServer()
    server.server.up = False
    readers = len(reactor.getReaders())  # type: ignore[attr-defined]
    port = client_of(server)
    waiting = port.request(QUESTION)
    assert len(reactor.getReaders()) == readers + 1  # type: ignore[attr-defined]
    port.stop()
    assert isinstance(await waiting, NoAnswer)
    assert len(reactor.getReaders()) == readers  # type: ignore[attr-defined]
    assert not [call for call in reactor.getDelayedCalls() if "LazyTimer" in str(call)]  # type: ignore[attr-defined]
    server.stop()


@ensureDeferred
async def test_cancelling_gives_the_request_up() -> None:
    server = LoopbackServer()
    server.server.up = False
    port = client_of(server)
    waiting = port.request(QUESTION)
    failed: list[Any] = []
    waiting.addErrback(failed.append)
    waiting.cancel()
    assert failed
    assert port.core.auth_in_progress == 0
    port.stop()
    server.stop()


@ensureDeferred
async def test_a_disconnect_request_is_answered_from_the_address_it_came_to() -> None:
    asked: list[Asked] = []
    port = DynamicAuthorizationPort(
        reactor, DynamicAuthorization([DynamicClient("127.0.0.0/8", SECRET)]),  # type: ignore[arg-type]
        lambda: 1_700_000_000.0, asked.append,
    )  # fmt: skip
    assert port.listen([("127.0.0.1", 0), ("::1", 0)]) == {}
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(5)
    try:
        sender.connect(port.addresses[0])
        packet = CoAPacket(DisconnectRequest, 3, SECRET, dict=DICTIONARY)
        packet.AddAttribute("Acct-Session-Id", "abc")
        sender.send(packet.RequestPacket())
        for _ in range(100):
            if asked:
                break
            await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
        assert asked[0].request.session.acct_session_id == "abc"
        port.acknowledge(asked[0].handle)
        reply = packet.CreateReply(packet=sender.recv(4096))
        assert packet.VerifyReply(reply)
        assert reply.code == 41
    finally:
        sender.close()
        port.stop()


def test_an_address_in_use_is_said_and_the_others_are_listened_to() -> None:
    taken = LoopbackServer()
    readers = len(reactor.getReaders())  # type: ignore[attr-defined]
    port = DynamicAuthorizationPort(reactor, DynamicAuthorization([]), lambda: 0.0, lambda asked: None)  # type: ignore[arg-type]
    assert port.listen([("127.0.0.1", 0), taken.address]) == {taken.address: "Address already in use"}
    assert len(port.addresses) == 1
    port.stop()
    assert len(reactor.getReaders()) == readers  # type: ignore[attr-defined]
    taken.stop()


def test_sockets_that_stay_are_not_opened_anew() -> None:
    port = DynamicAuthorizationPort(reactor, DynamicAuthorization([]), lambda: 0.0, lambda asked: None)  # type: ignore[arg-type]
    try:
        port.listen([("127.0.0.1", 0), ("127.0.0.2", 0)])
        one, two = port.addresses
        port.listen([("127.0.0.2", 0), ("127.0.0.3", 0)])
        assert port.addresses[0] == two and one not in port.addresses and len(port.addresses) == 2
        port.listen([("127.0.0.2", 0)], "lo")
        assert port.addresses != [two]
        port.listen([])
        assert port.addresses == []
    finally:
        port.stop()


@pytest.mark.parametrize(("wildcard", "asked_at"), [("0.0.0.0", "127.0.0.7"), ("::", "::1")])
@ensureDeferred
async def test_a_wildcard_answers_from_the_address_that_was_asked(wildcard: str, asked_at: str) -> None:
    asked: list[Asked] = []
    clients = [DynamicClient("127.0.0.0/8", SECRET), DynamicClient("::1", SECRET)]
    port = DynamicAuthorizationPort(reactor, DynamicAuthorization(clients), lambda: 1_700_000_000.0, asked.append)  # type: ignore[arg-type]
    port.listen([("0.0.0.0", 0), ("::", 0)])
    (number,) = [address[1] for address in port.addresses if address[0] == wildcard]
    family = socket.AF_INET6 if ":" in wildcard else socket.AF_INET
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.settimeout(5)
    try:
        # a connected socket takes nothing from another address
        sender.connect((asked_at, number))
        packet = CoAPacket(DisconnectRequest, 3, SECRET, dict=DICTIONARY)
        packet.AddAttribute("Acct-Session-Id", "abc")
        sender.send(packet.RequestPacket())
        for _ in range(100):
            if asked:
                break
            await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
        assert asked[0].request.local == (asked_at, number)
        port.acknowledge(asked[0].handle)
        assert packet.CreateReply(packet=sender.recv(4096)).code == 41
    finally:
        sender.close()
        port.stop()


def test_a_host_without_ipv6_has_nothing_to_complain_of() -> None:
    def make(family: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return socket.socket(family, socket.SOCK_DGRAM)

    port = DynamicAuthorizationPort(reactor, DynamicAuthorization([]), lambda: 0.0, lambda asked: None, make)  # type: ignore[arg-type]
    try:
        assert port.listen([("0.0.0.0", 0), ("::", 0)]) == {}
        assert list(port.listen([("2001:db8::1", 0)])) == [("2001:db8::1", 0)]
    finally:
        port.stop()
