"""Two PPP links over an asynchronous line that damages octets and puts in flow control characters, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prol2tp.ppp.automaton import State
from prol2tp.ppp.hdlc import ALL, Deframer, Framer
from prol2tp.ppp.link import Link
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import Pair, users

XON, XOFF = 0x11, 0x13


class AsyncPair(Pair):
    """As propppd and its data path do it: maps are set when LCP is open. `damage` is the rate per octet."""

    def __init__(self, a: LinkSettings, b: LinkSettings, damage: float = 0.0, flow: float = 0.0, **rates: Any) -> None:
        super().__init__(a, b, **rates)
        self.damage, self.flow = damage, flow
        self.framers = (Framer(), Framer())
        self.deframers = (Deframer(1504), Deframer(1504))
        self.line: list[bytes] = []

    def do(self, side: int, act: Callable[[Link], None]) -> None:
        super().do(side, act)
        lcp = self.links[side].lcp
        opened = lcp.state is State.OPENED
        self.framers[side].set_accm(lcp.peer_accm if opened else self.framers[side].accm)
        self.deframers[side].set_accm(lcp.accm if opened else self.deframers[side].accm)

    def _transmit(self, to: int, octets: bytes) -> None:
        line = bytearray()
        for octet in self.framers[1 - to].frame(octets):
            if self.random.random() < self.flow:
                line.append(self.random.choice((XON, XOFF)))
            line.append(octet ^ (1 << self.random.randrange(8)) if self.random.random() < self.damage else octet)
        self.line.append(bytes(line))
        for frame in self.deframers[to].feed(bytes(line)):
            super()._transmit(to, frame)


def pair(asyncmap: int | None = 0, **rates: Any) -> AsyncPair:
    server = LinkSettings(auth=True, auth_methods=("chap",), local_ip="10.0.0.1", asyncmap=asyncmap, name="server",
                          auth_deadline=600.0, max_configure=60, chap_max_challenges=60)
    client = LinkSettings(user="u", password="pw", asyncmap=asyncmap, max_configure=60, auth_deadline=600.0)

    def answer(ask: Any) -> Grant | str:
        return users(u="pw")(ask)

    made = AsyncPair(server, client, answer=answer, **rates)
    made.start()
    return made


@pytest.mark.parametrize("asyncmap", [None, 0, 0x000A0000, ALL])
def test_a_link_opens_with_every_map(asyncmap: int | None) -> None:
    both = pair(asyncmap)
    both.run(20, both.settled)
    assert both.is_up(0) and both.is_up(1)
    agreed = ALL if asyncmap is None else asyncmap
    assert {framer.accm for framer in both.framers} == {deframer.accm for deframer in both.deframers} == {agreed}
    assert all(deframer.errors == 0 for deframer in both.deframers)


@pytest.mark.parametrize("seed", range(10))
def test_a_link_opens_over_a_line_that_damages_octets(seed: int) -> None:
    both = pair(seed=seed, damage=0.008)
    both.run(300, both.settled)
    assert both.is_up(0) and both.is_up(1)
    assert sum(deframer.errors for deframer in both.deframers) > 0


def test_a_link_opens_over_a_line_with_flow_control_that_its_map_allows_for() -> None:
    both = pair(0x000A0000, flow=0.05)
    both.run(100, both.settled)
    assert both.is_up(0) and both.is_up(1)
    assert all(deframer.errors == 0 for deframer in both.deframers)


def test_a_peer_that_starts_anew_is_understood_although_its_map_is_the_default_again() -> None:
    both = pair(0)
    both.run(20, both.settled)
    both.links = (both.links[0], Link(both.links[1].settings, both.random.randbytes))
    both.framers[1].set_accm(ALL)
    both.deframers[1].set_accm(ALL)
    both.do(1, lambda link: link.open(both.now))
    both.run(60, lambda: both.is_up(1) and both.is_up(0) and both.links[1].ipcp is not None
             and both.links[1].ipcp.announced)
    assert both.is_up(0) and both.is_up(1)
