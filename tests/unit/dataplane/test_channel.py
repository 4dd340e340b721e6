"""The connection to prol2tp-pathd: how much is carried, and how long it may hold others up."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from prol2tp.dataplane import channel as channels
from prol2tp.dataplane import records
from prol2tp.dataplane.channel import BATCH, Channel


class Reactor(Clock):
    """Virtual time; remembers who is read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()

    def addReader(self, reader: object) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: object) -> None: ...

    def removeWriter(self, writer: object) -> None: ...


class Ends:
    """Two channels; what the second received, and what it does on each datagram."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.got: list[bytes] = []
        self.cost = 0.0
        self.one = Channel(self.reactor, one, lambda datagram, descriptors: None, lambda reason: None)
        self.two = Channel(self.reactor, two, self.received, lambda reason: None)

    def received(self, datagram: bytes, descriptors: list[int]) -> None:
        self.got.append(datagram)
        self.reactor.rightNow += self.cost


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    ends = Ends()
    monkeypatch.setattr(channels, "monotonic", ends.reactor.seconds)
    yield ends
    ends.one.close()
    ends.two.close()


def test_many_requests_of_one_turn_come_in_pieces_that_hold_nobody_up(ends: Ends) -> None:
    record = records.encode_request(1, "port_delete", (7,))
    for _ in range(3000):
        ends.one.send(record)
    ends.reactor.advance(0)
    while len(b"".join(ends.got)) < 3000 * len(record):
        before = len(ends.got)
        ends.two.doRead()
        assert len(ends.got) > before
    assert max(map(len, ends.got)) <= BATCH + len(record) <= 5000
    assert sum(len(records.split(datagram)) for datagram in ends.got) == 3000


def test_what_takes_long_is_one_piece_a_turn(ends: Ends) -> None:
    for _ in range(2000):
        ends.one.send(records.encode_request(1, "port_delete", (7,)))
    ends.reactor.advance(0)
    ends.cost = 0.02
    ends.two.doRead()
    assert len(ends.got) == 1
    ends.cost = 0.0
    ends.two.doRead()
    assert len(ends.got) == 1 + channels.READS


def test_a_channel_that_pauses_reads_nothing_until_it_resumes(ends: Ends) -> None:
    ends.one.send(records.encode_request(1, "port_delete", (7,)))
    ends.reactor.advance(0)
    ends.two.pause()
    assert ends.two not in ends.reactor.readers
    ends.two.doRead()
    ends.two.flush()
    assert not ends.got and ends.two not in ends.reactor.readers
    ends.two.resume()
    assert ends.two in ends.reactor.readers
    ends.two.doRead()
    assert len(ends.got) == 1
