"""What the host takes for an answer to itself, and what it does not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.client import Host, State
from prol2tp.pppoe.outputs import DiscoveryFailed, SessionClosed, SessionKey, SessionOpened
from prol2tp.pppoe.packets import PADI, PADO, PADR, PADS, PADT, Discovery, VlanTag, read, write
from prol2tp.pppoe.settings import HostSettings
from tests.vectors.pppoe import AC, HOST

OTHER = bytes.fromhex("0200000000ad")


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.host = Host("eth0", HostSettings(HOST, **settings), random.Random(1).randbytes, self.now)
        self.sent: list[Discovery] = []

    def tell(self, packet: Discovery) -> list[Any]:
        self.host.receive(write(packet), self.now)
        return self.drain()

    def drain(self) -> list[Any]:
        return [read(output.frame) if hasattr(output, "frame") else output for output in self.host.outputs()]

    def opened(self) -> PADI:
        self.host.open(self.now)
        (packet,) = self.drain()
        return packet

    def offer(self, **fields: Any) -> PADO:
        given: dict[str, Any] = {"service_names": (b"",), "ac_name": b"ac", "host_uniq": self.host.host_uniq}
        return PADO(HOST, AC, **{**given, **fields})

    def confirmation(self, session_id: int = 7, **fields: Any) -> PADS:
        given: dict[str, Any] = {"service_names": (b"",), "host_uniq": self.host.host_uniq}
        return PADS(HOST, AC, session_id=session_id, **{**given, **fields})

    def session(self) -> None:
        self.opened()
        self.tell(self.offer())
        assert isinstance(self.tell(self.confirmation())[0], SessionOpened)


def test_every_search_has_a_host_uniq_of_its_own() -> None:
    bench = Bench()
    first = bench.opened().host_uniq
    bench.host.close(bench.now)
    second = bench.opened().host_uniq
    assert first is not None and second is not None and first != second and len(first) == 16


def test_the_request_repeats_what_the_offer_wants_back() -> None:
    bench = Bench(service_name="gold", vlans=((0x8100, 7),), mtu=1508)
    initiation = bench.opened()
    assert (initiation.service_names, initiation.vlans, initiation.max_payload) == ((b"gold",), ((0x8100, 7),), 1500)
    (request,) = bench.tell(bench.offer(
        vlans=(VlanTag(0x8100, 7),), service_names=(b"iron", b"gold"), ac_cookie=b"cookie", relay_session_id=b"relay",
    ))  # fmt: skip
    assert isinstance(request, PADR) and request.destination == AC
    assert (request.service_names, request.ac_cookie, request.relay_session_id) == ((b"gold",), b"cookie", b"relay")
    assert (request.vlans, request.max_payload, request.host_uniq) == (((0x8100, 7),), 1500, initiation.host_uniq)


@pytest.mark.parametrize("wrong", [
    {"host_uniq": b"x"}, {"host_uniq": None}, {"service_names": (b"iron",)}, {"ac_name": b"other"},
    {"vlans": (VlanTag(0x8100, 7),)}, {"errors": ((tags.AC_SYSTEM_ERROR, b"full"),)},
])  # fmt: skip
def test_an_offer_that_does_not_suit_is_left(wrong: dict[str, Any]) -> None:
    bench = Bench(service_name="gold", ac_name="ac")
    bench.opened()
    right = bench.offer(service_names=(b"gold",))
    assert bench.tell(bench.offer(**{"service_names": (b"gold",), **wrong})) == []
    assert isinstance(bench.tell(right)[0], PADR)
    assert bench.tell(right) == []


@pytest.mark.parametrize(("asked", "answered", "agreed"), [
    (1500, 1500, 1500), (1500, 1496, 1496), (1500, 9000, 1500), (1500, 1492, 1492), (1500, 0, 1492),
    (1492, 1500, 1492), (None, 1500, 1492),
])  # fmt: skip
def test_the_payload_is_what_both_have_said(asked: int | None, answered: int, agreed: int) -> None:
    bench = Bench(max_payload=asked)
    bench.opened()
    bench.tell(bench.offer(max_payload=answered))
    (opened,) = bench.tell(bench.confirmation(max_payload=answered))
    assert opened == SessionOpened(SessionKey("eth0", AC, 7), (), "", agreed, "ac")


def test_a_refusal_says_which_and_why_and_a_new_search_may_follow() -> None:
    bench = Bench()
    bench.opened()
    bench.tell(bench.offer())
    refusal = bench.confirmation(0, errors=((tags.SERVICE_NAME_ERROR, b"n\xf6"),))
    assert bench.tell(refusal) == [DiscoveryFailed(tags.SERVICE_NAME_ERROR, "n\\xf6")]
    assert bench.host.state is State.IDLE and bench.host.deadline() is None
    assert isinstance(bench.opened(), PADI)


def test_a_confirmation_that_comes_after_the_search_went_on_is_taken() -> None:
    bench = Bench(padr_tries=1)
    bench.opened()
    bench.tell(bench.offer())
    bench.now += 10
    bench.host.timeout(bench.now)
    assert isinstance(bench.drain()[0], PADI)
    assert isinstance(bench.tell(bench.confirmation())[0], SessionOpened)


def test_a_second_session_of_a_copied_request_is_ended() -> None:
    bench = Bench()
    bench.session()
    assert bench.tell(bench.confirmation()) == []
    (end,) = bench.tell(bench.confirmation(8))
    assert isinstance(end, PADT) and (end.destination, end.session_id) == (AC, 8)
    assert bench.host.state is State.SESSION


@pytest.mark.parametrize(("source", "session_id", "vlans"), [
    (OTHER, 7, ()), (AC, 8, ()), (AC, 7, (VlanTag(0x8100, 1),)),
])  # fmt: skip
def test_a_termination_of_another_session_changes_nothing(
    source: bytes, session_id: int, vlans: tuple[VlanTag, ...]
) -> None:
    bench = Bench()
    bench.session()
    assert bench.tell(PADT(HOST, source, vlans, session_id=session_id)) == []
    assert bench.host.state is State.SESSION


def test_a_termination_ends_the_session_once() -> None:
    bench = Bench()
    bench.session()
    end = PADT(HOST, AC, session_id=7, errors=((tags.GENERIC_ERROR, b"bye"),))
    assert bench.tell(end) == [SessionClosed(SessionKey("eth0", AC, 7), True, "bye")]
    assert bench.tell(end) == []
    bench.host.close(bench.now)
    assert bench.drain() == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_an_interface_that_goes_down_stops_everything_without_a_packet(steps: int) -> None:
    bench = Bench()
    if steps:
        bench.opened()
    if steps > 1:
        bench.tell(bench.offer())
    if steps > 2:
        bench.tell(bench.confirmation())
    bench.host.lower_down(bench.now)
    wanted = [SessionClosed(SessionKey("eth0", AC, 7), False, "interface down")] if steps == 3 else []
    assert bench.drain() == wanted
    assert bench.host.state is State.IDLE and bench.host.deadline() is None


def test_opening_twice_is_opening_once_and_no_time_passes_early() -> None:
    bench = Bench()
    bench.opened()
    bench.host.open(bench.now)
    bench.host.timeout(bench.now)
    assert bench.drain() == []


def test_damaged_packets_in_every_state_raise_nothing_and_open_no_wrong_session() -> None:
    source = random.Random(2516)
    for steps in range(3):
        bench = Bench()
        bench.opened()
        if steps:
            bench.tell(bench.offer(ac_cookie=b"c" * 28))
        if steps == 2:
            bench.tell(bench.confirmation())
        seeds = [write(bench.offer()), write(bench.confirmation()), write(PADT(HOST, AC, session_id=7))]
        for number in range(5000):
            frame = bytearray(seeds[number % 3])
            for _ in range(source.randint(1, 3)):
                frame[source.randrange(len(frame))] = source.randrange(256)
            bench.host.receive(bytes(frame), bench.now)
            for output in bench.host.outputs():
                assert not isinstance(output, SessionOpened) or frame[6:12] == bench.host._peer
