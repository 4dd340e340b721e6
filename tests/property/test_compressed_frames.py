"""Compressed packets of a hostile peer: nothing is raised, nothing grows, and the session lives on."""

from __future__ import annotations

import os
import random
import zlib

import pytest

from prol2tp.dataplane.interface import NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.plane import NoEvents
from prol2tp.ppp import compress
from tests.shell.propppd_world import result

OPTIONS = {"deflate": b"\x78\0", "predictor1": b""}
MAKE = {"deflate": compress.DeflateCompressor, "predictor1": compress.Predictor1Compressor}
FD, IP, CCP = b"\xff\x03\0\xfd", b"\xff\x03\0\x21", b"\xff\x03\x80\xfd"
RESET_ACK = CCP + b"\x0f\1\0\4"


class Events(NoEvents):
    def __init__(self) -> None:
        self.failures = 0

    def decompression_failed(self, port: int) -> None:
        self.failures += 1


def port_with(word: str) -> tuple[MemoryDataPlane, int, Events]:
    plane, events = MemoryDataPlane(), Events()
    plane.start(events)
    listener = result(plane.listen(("192.0.2.1", 1701)))
    os.close(listener.control)
    tunnel = result(plane.tunnel_add(TunnelSpec(listener.id, ("192.0.2.1", 1701), ("192.0.2.2", 1701), 1, 1)))
    port = result(plane.session_add(SessionSpec(tunnel, 1, 1)))
    result(plane.netif_attach(port, NetifSpec(protocols=("ip",), source_check=False)))
    result(plane.port_compress(port, word, word, OPTIONS[word], OPTIONS[word]))
    return plane, port, events


def packet(chance: random.Random) -> bytes:
    return b"\x45" + bytes(19) + b"text " * chance.randrange(60) + chance.randbytes(chance.randrange(30))


def mutated(frame: bytes, chance: random.Random) -> bytes:
    octets = bytearray(frame)
    for _ in range(chance.randrange(1, 6)):
        if len(octets) < 5:
            break
        place = chance.randrange(4, len(octets))
        kind = chance.randrange(4)
        if kind == 0:
            octets[place] = chance.randrange(256)
        elif kind == 1:
            del octets[place:place + chance.randrange(1, 9)]
        elif kind == 2:
            octets[place:place] = chance.randbytes(chance.randrange(1, 9))
        else:
            del octets[place:]
    return bytes(octets)


@pytest.mark.parametrize("word", OPTIONS)
def test_mutated_frames_raise_nothing_and_leave_the_session_alive(word: str) -> None:
    chance = random.Random(word)
    plane, port, events = port_with(word)
    theirs = MAKE[word]()
    for _ in range(3000):
        inner = packet(chance)
        squeezed = theirs.compress(0x21, inner)
        frame = IP + inner if squeezed is None or chance.random() < 0.1 else FD + squeezed
        if chance.random() < 0.3:
            frame = mutated(frame, chance)
        plane.deliver(port, frame)
        if chance.random() < 0.2:
            plane.deliver(port, mutated(RESET_ACK, chance))
        if chance.random() < 0.1:
            theirs.reset()
            plane.deliver(port, RESET_ACK)
        assert len(plane.ports[port].compression.held) <= 4
    assert events.failures > 100
    theirs.reset()
    plane.deliver(port, RESET_ACK)
    plane.packets.clear()
    last = [b"\x45" + bytes(19) + b"text " * count for count in range(20, 40)]
    for inner in last:
        plane.deliver(port, FD + theirs.compress(0x21, inner))
    assert [inner for _, inner in plane.packets] == last


def test_a_small_packet_that_would_become_a_large_one_is_an_error() -> None:
    plane, port, events = port_with("deflate")
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(bytes(50_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    plane.deliver(port, FD + b"\0\0" + bomb[:60_000])
    assert events.failures == 1 and not plane.packets
    assert plane.ports[port].rx_errors == 1


def test_a_packet_that_does_not_end_where_its_octets_do_breaks_no_later_one_out() -> None:
    plane, port, events = port_with("deflate")
    # fixed Huffman codes without an end: what comes after would be read as more of them
    plane.deliver(port, FD + b"\0\0" + b"\x4a\x4c\x4c\x4c")
    plane.deliver(port, IP + b"\x45" + bytes(range(200)))
    plane.deliver(port, FD + b"\0\2" + b"\x4a")
    assert events.failures
    theirs = compress.DeflateCompressor()
    plane.deliver(port, RESET_ACK)
    plane.packets.clear()
    inner = b"\x45" + bytes(99)
    plane.deliver(port, FD + theirs.compress(0x21, inner))
    assert [last for _, last in plane.packets] == [inner]
