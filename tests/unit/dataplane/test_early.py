"""First frames that overtake the request to make their session are not lost, and cost bounded memory."""

from __future__ import annotations

from prol2tp.dataplane.early import HOLD, MOST_MESSAGES, MOST_SESSIONS, Early
from prol2tp.dataplane.forward import receive
from prol2tp.dataplane.interface import SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.l2tp.header import write_data

PEER = ("192.0.2.1", 1701)
LCP = bytes.fromhex("ff03c0210101000a0506deadbeef")


class Listening:
    def __init__(self) -> None:
        self.plane = MemoryDataPlane()
        self.listener = self.plane.listen(("192.0.2.2", 1701)).result.id
        self.tunnel = self.plane.tunnel_add(TunnelSpec(
            listener=self.listener, local=("192.0.2.2", 1701), peer=PEER, tunnel_id=7, peer_tunnel_id=8)).result
        self.frames: list[bytes] = []

    def arrives(self, session_id: int, source: tuple[str, int] = PEER, now: float = 0.0) -> None:
        receive(self.plane, self.plane.listeners[self.listener], write_data(7, session_id) + LCP, source, now)

    def opens(self, session_id: int) -> None:
        port = self.plane.session_add(SessionSpec(tunnel=self.tunnel, session_id=session_id, peer_session_id=5)).result
        self.plane.port_receiver(port, self.frames.append)


def test_a_frame_that_comes_before_its_session_is_delivered_with_it() -> None:
    one = Listening()
    one.arrives(3)
    one.opens(3)
    assert one.frames == [LCP]
    assert len(one.plane.early) == 0


def test_an_early_frame_from_another_address_is_not_delivered() -> None:
    one = Listening()
    one.arrives(3, source=("192.0.2.66", 1701))
    one.opens(3)
    assert one.frames == []


def test_a_frame_of_another_session_stays_where_it_is() -> None:
    one = Listening()
    one.arrives(4)
    one.opens(3)
    assert one.frames == []


def test_what_is_too_old_is_not_delivered() -> None:
    early = Early()
    early.keep(1, 2, b"old", PEER, 0.0)
    assert list(early.take(1, 2, HOLD + 0.1)) == []


def test_old_messages_of_an_id_make_room_for_new_ones() -> None:
    early = Early()
    early.keep(1, 2, b"old", PEER, 0.0)
    early.keep(1, 2, b"new", PEER, HOLD + 0.1)
    assert list(early.take(1, 2, HOLD + 0.2)) == [(b"new", PEER)]


def test_a_flood_costs_bounded_memory() -> None:
    early = Early()
    for number in range(20_000):
        early.keep(1, number, b"x" * 1000, PEER, 0.0)
        early.keep(1, 5, b"x" * 1000, PEER, 0.0)
    assert len(early) <= MOST_SESSIONS
    assert len(list(early.take(1, 19_999, 0.0))) == 1
    for _ in range(100):
        early.keep(1, 6, b"y", PEER, 0.0)
    assert len(list(early.take(1, 6, 0.0))) == MOST_MESSAGES
