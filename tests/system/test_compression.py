"""Two hosts whose PPP link is compressed: TCP goes through it, the line carries less, and losses are got over."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from tests.netns import World, wait_until
from tests.system.test_suite import client, pair, server

pytestmark = pytest.mark.root

TEXT = b"".join(b"line %d of a text that is much like the others\n" % number for number in range(8000))


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"])
        yield made


def through(world: World, data: bytes) -> bytes:
    """What arrives at the other host of what is sent over the link by TCP."""
    with world.namespaces["lns"].inside():
        listening = socket.create_server(("10.5.1.1", 0))
    with world.namespaces["lac"].inside():
        sender = socket.create_connection(listening.getsockname(), timeout=20)
    receiver, _ = listening.accept()
    arrived = bytearray()
    with listening, sender, receiver:
        for end in (sender, receiver):
            end.setblocking(False)
        waiting = memoryview(data)

        def moved() -> bool:
            nonlocal waiting
            try:
                waiting = waiting[sender.send(waiting):] if waiting else waiting
            except BlockingIOError:
                pass
            try:
                arrived.extend(receiver.recv(1 << 20))
            except BlockingIOError:
                pass
            return len(arrived) >= len(data)

        wait_until(moved, 60, "all of it", every=0.005)
    return bytes(arrived)


@pytest.mark.parametrize(("codec", "interface"), [("deflate", "own"), ("predictor1", "shared")])
def test_tcp_goes_through_a_compressed_link_in_fewer_octets(world: World, codec: str, interface: str) -> None:
    lns, lac = pair(world, server(), client(1), subscribers=f"ccp {codec}; interface {interface}",
                    clients="ccp deflate predictor1")
    lns.wait_online(1)
    lac.wait_online(1)
    ends = [suite.json("propppctl", "show", "session-1")["ccp"] for suite in (lns, lac)]
    assert [(end["state"], end["got"], end["his"]) for end in ends] == [("OPENED", [codec], [codec])] * 2
    assert f"got: {codec}" in lns.tool("propppctl", "show", "session-1")
    assert through(world, TEXT) == TEXT
    one = lns.sessions()[0]
    stats = lns.json("prol2tp", "show", "session", "id", str(one["session_id"]), "in", "tunnel", "id",
                     str(one["tunnel_id"]), "stats")["stats"]
    assert stats["rx_octets"] < len(TEXT) * 0.6
    assert stats["rx_packets"] > len(TEXT) / 1500


def test_a_compressed_link_gets_over_losses(world: World) -> None:
    lns, lac = pair(world, server(), client(1), subscribers="ccp deflate", clients="ccp deflate")
    lns.wait_online(1)
    row = lac.wait_online(1)[0]
    lost = "udp dport 1701 numgen inc mod 40 == 7 drop"
    world.namespaces["lns"].run("nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
                                       f"add rule ip t in {lost}")
    assert through(world, TEXT[:100_000]) == TEXT[:100_000]
    world.namespaces["lns"].run("nft", "delete table ip t")
    world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    one = lns.sessions()[0]
    stats = lns.json("prol2tp", "show", "session", "id", str(one["session_id"]), "in", "tunnel", "id",
                     str(one["tunnel_id"]), "stats")["stats"]
    # packets that came after a lost one, until the histories began anew
    assert stats["rx_errors"] > 0
    assert len(lns.online()) == 1


def test_after_a_crash_of_propppd_both_ends_compress_from_the_beginning(world: World) -> None:
    lns, lac = pair(world, server(), client(1), subscribers="ccp deflate", clients="ccp deflate")
    lns.wait_online(1)
    lac.wait_online(1)
    assert through(world, TEXT[:50_000]) == TEXT[:50_000]
    lns.processes.pop("propppd").stop(signal.SIGKILL)
    lns.start("propppd")
    lns.processes["propppd"].wait_for(": up, user")

    def online() -> bool:
        ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", "10.5.1.1")
        return world.namespaces["lac"].run(*ping, check=False).returncode == 0

    wait_until(online, 60, "the user online again", every=0.3)
    assert through(world, TEXT[:50_000]) == TEXT[:50_000]
    shown = lns.json("propppctl", "show", lns.online()[0]["name"])["ccp"]
    assert (shown["state"], shown["got"], shown["his"]) == ("OPENED", ["deflate"], ["deflate"])
