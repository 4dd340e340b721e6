"""Links whose packets are compressed: what profile, peer and data path together make of CCP."""

from __future__ import annotations

import pytest

from prol2tp.daemons.propppd import status
from prol2tp.dataplane.interface import UNSUPPORTED, DataPathError
from prol2tp.dataplane.memory import MemoryDataPlane
from tests.shell.propppd_world import CONFIG, LinksWorld

BOTH = ("deflate", "predictor1")
DOWN = b"\x45\0\1\x54" + bytes(12) + b"\x0a\5\1\1" + b"\x0a\5\1\x64" + b"again and " * 32
FD = b"\xfd"


def world_with(ccp: str) -> LinksWorld:
    return LinksWorld(CONFIG.replace("auth true\n", f"auth true\n{ccp}\n", 1))


def sent(world: LinksWorld, port: int) -> bytes:
    """What a packet from the interface becomes on its way to the peer."""
    world.near.inject(port, DOWN)
    return world.near.sent[-1][1]


def test_nothing_is_compressed_unless_a_profile_wants_it() -> None:
    world = LinksWorld()
    client, link = world.client(codecs=BOTH)
    assert link.up and client.networks["ip"].local == "10.5.1.100"
    assert link.core.ccp is None and client.core.ccp.sending is None
    assert sent(world, link.port).endswith(DOWN)


@pytest.mark.parametrize(("ccp", "word"), [("ccp deflate", "deflate"), ("ccp predictor1 deflate", "predictor1")])
def test_packets_are_compressed_with_what_profile_and_peer_have_in_common(ccp: str, word: str) -> None:
    world = world_with(ccp)
    client, link = world.client(codecs=BOTH if word == "deflate" else BOTH[1:])
    assert link.up
    frame = sent(world, link.port)
    assert frame.startswith(FD) and len(frame) < len(DOWN) / 2
    # the client compresses with ours in turn
    world.far.port_send(client.port, b"\x21" + DOWN)
    assert world.far.sent[-1][1].startswith(b"\xff\x03\0" + FD)
    record = status.automaton(link, link.core.ccp)
    assert (record["state"], record["got"], record["his"]) == ("OPENED", [word], [word])


def test_the_histories_begin_anew_when_the_peer_asks() -> None:
    world = world_with("ccp deflate")
    client, link = world.client(codecs=BOTH)
    first = sent(world, link.port)
    assert len(sent(world, link.port)) < len(first)
    client.driver.call(client.core.decompression_failed)
    world.settle()
    assert sent(world, link.port) == first


def test_a_peer_without_the_codec_is_served_uncompressed() -> None:
    world = world_with("ccp deflate")
    client, link = world.client()
    assert link.up and client.networks["ip"].local
    assert sent(world, link.port).endswith(DOWN)


def test_what_the_data_path_cannot_do_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryDataPlane, "codecs", ("predictor1",))
    world = world_with("ccp deflate predictor1")
    _, link = world.client(codecs=BOTH)
    assert link.core.settings.codecs == ("predictor1",)
    monkeypatch.setattr(MemoryDataPlane, "codecs", ())
    world.links.use(world.near)
    _, link = world.client(user="u2@example.com", password="pw2", codecs=BOTH)
    assert link.up and link.core.ccp is None


def test_a_data_path_that_refuses_what_was_agreed_on_ends_the_link() -> None:
    world = world_with("ccp deflate")
    world.near.refuse["port_compress"] = DataPathError(UNSUPPORTED, "no such codec")
    _, link = world.client(codecs=BOTH)
    world.later(5)
    assert link.ended and (link.cause, "data path" in link.message) == ("NAS Error", True)


def test_compression_ends_with_the_link() -> None:
    world = world_with("ccp deflate")
    client, link = world.client(codecs=BOTH)
    assert world.near.ports[link.port].compression is not None
    link.close()
    world.later(5)
    assert link.ended and world.near.ports[link.port].compression is None
    assert world.far.ports[client.port].compression is None
