"""Codecs: what one end compresses the other reads, and nothing else does harm."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from prol2tp.common.wire import WireError
from prol2tp.ppp import compress
from prol2tp.ppp.compress import (
    DeflateCompressor,
    DeflateDecompressor,
    Predictor1Compressor,
    Predictor1Decompressor,
)

TEXT = b"the quick brown fox jumps over the lazy dog, and again the quick brown fox. " * 8
PAIRS: Any = [(DeflateCompressor, DeflateDecompressor), (Predictor1Compressor, Predictor1Decompressor)]


def packets(seed: int, count: int = 60) -> list[tuple[int, bytes]]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        length = rng.randrange(1, 1400)
        text = rng.randbytes(length) if rng.random() < 0.3 else (TEXT * 3)[rng.randrange(50) :][:length]
        found.append((rng.choice((0x21, 0x57, 0x8021)), text))
    return found


@pytest.mark.parametrize(("out", "into"), PAIRS)
def test_packets_come_back_in_any_mixture(out: Any, into: Any) -> None:
    for seed in range(5):
        sender, receiver = out(), into()
        gained = 0
        for protocol, information in packets(seed):
            squeezed = sender.compress(protocol, information)
            if squeezed is None:
                receiver.passed(protocol, information)
            else:
                gained += len(information) - len(squeezed)
                assert receiver.decompress(squeezed) == compress.packed(protocol, information)
        assert gained > 1000


@pytest.mark.parametrize(("out", "into"), PAIRS)
def test_after_a_loss_nothing_is_read_until_both_start_anew(out: Any, into: Any) -> None:
    sender, receiver = out(), into()
    first = [sender.compress(0x21, TEXT[number:]) for number in range(4)]
    assert receiver.decompress(first[0]) == b"\x21" + TEXT
    broken = bytearray(first[2])
    broken[0] ^= 1
    for octets in (bytes(broken), first[3], first[3]):
        with pytest.raises(WireError):
            receiver.decompress(octets)
    sender.reset()
    receiver.reset()
    assert receiver.decompress(sender.compress(0x57, TEXT)) == b"\x57" + TEXT


def test_deflate_is_raw_deflate_with_a_number_and_without_the_end_of_its_flush() -> None:
    sender = DeflateCompressor()
    for number in range(3):
        octets = sender.compress(0x21, TEXT)
        assert octets is not None and octets[:2] == number.to_bytes(2, "big") and octets[-4:] != b"\0\0\xff\xff"
        if number == 0:
            assert zlib.decompressobj(-15).decompress(octets[2:] + b"\0\0\xff\xff") == b"\x21" + TEXT


def test_a_packet_that_would_expand_without_end_is_dropped() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    octets = b"\0\0" + (bomb.compress(bytes(10_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with pytest.raises(WireError, match="not one packet"):
        DeflateDecompressor(limit=1500).decompress(octets)


def test_predictor_1_as_the_rfc_counts() -> None:
    """A new table guesses zeros: three of them are one flag octet."""
    out = Predictor1Compressor()
    assert out.compress(0x21, b"\0\0\0")[2:4] == b"\x0e\x21"
    octets = Predictor1Compressor().compress(0x21, bytes(100))
    assert len(octets) < 20 and Predictor1Decompressor().decompress(octets) == b"\x21" + bytes(100)


def test_the_check_sequence_is_that_of_rfc_1662() -> None:
    assert compress.fcs16(b"123456789") == 0x906E


@pytest.mark.parametrize("into", [DeflateDecompressor, Predictor1Decompressor])
def test_invented_packets_raise_nothing_but_wire_errors(into: Any) -> None:
    rng = random.Random(7)
    receiver = into(limit=1500)
    good = 0
    for _ in range(20_000):
        octets = bytearray(rng.randbytes(rng.randrange(0, 40)))
        octets[:2] = b"\0\0" if rng.random() < 0.5 else rng.choice((b"\x80\x10", b"\0\x08"))
        try:
            assert len(receiver.decompress(bytes(octets))) <= 1500
            good += 1
        except WireError:
            pass
        receiver.reset()
    assert good or into is Predictor1Decompressor
