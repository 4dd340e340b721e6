"""A peer that does everything in any order, but never proves who it is, gets no network."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkOpened, NetworkUp
from prol2tp.ppp.settings import Grant
from tests.ppp_ends import End

LIVES = 1500
STEPS = 50
LCP, PAP, CHAP, IPCP, IPV6CP = frame.LCP, frame.PAP, frame.CHAP, frame.IPCP, frame.IPV6CP
PAP_OPTION, CHAP_OPTION = b"\x03\x04\xc0\x23", b"\x03\x05\xc2\x23\x05"
WISHES = (b"", b"\x01\x04\x05\x78", PAP_OPTION, CHAP_OPTION, b"\x03\x05\xc2\x23\x81", b"\x03\x03\xc2")
RESPONSE = b"\x10" + bytes(16) + b"u1"


def packet(rng: random.Random, end: End) -> tuple[int, int, int, bytes]:
    """One that has to do with how far the link is."""
    link = end.link
    protocol = rng.choice((LCP, LCP, LCP, PAP, CHAP, CHAP, IPCP, IPV6CP))
    identifier = rng.choice((0, 1, 2, 3))
    if protocol == LCP:
        code = rng.choice((1, 1, 1, 2, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10))
        data = {
            1: rng.choice(WISHES), 3: rng.choice(WISHES[2:]), 4: rng.choice(WISHES[2:]),
            7: bytes((rng.randrange(1, 9),)), 8: rng.choice((PAP, CHAP, IPCP, IPV6CP, LCP)).to_bytes(2, "big"),
        }.get(code, bytes(4))
        if code in (2, 3, 4):
            _, _, identifier, request = end.last_request(LCP)
            data = request if code == 2 else data
    elif protocol == PAP:
        code, data = rng.choice(((1, b"\x02u1\x03pw1"), (2, b"\x02ok"), (3, b"\x02no")))
    elif protocol == CHAP:
        code = rng.randrange(1, 5)
        data = RESPONSE if code < 3 else b""
        identifier = rng.choice((identifier, link.chap._identifier))
    else:
        code = rng.choice((1, 1, 2, 2))
        ncp = link.ipcp if protocol == IPCP else link.ipv6cp
        assert ncp is not None
        data = b"\x03\x06\x0a\0\0\x09" if protocol == IPCP else b"\x01\x0a" + bytes(7) + b"\x09"
        if code == 2:
            identifier, data = ncp._identifier, ncp._request
    return protocol, code, identifier, data


class Watched:
    """An end, what was asked of its shell, and whether the peer has proved itself since LCP opened last."""

    def __init__(self, end: End, methods: tuple[str, ...]) -> None:
        self.end = end
        self.methods = methods
        self.proved = False
        self.question: AskAuthentication | None = None
        self.epoch = self.asked_in = 0
        self.seen = {"asked": 0, "let in": 0, "stale": 0}

    def look(self) -> None:
        for output in self.end.said:
            if isinstance(output, LinkOpened):
                self.epoch, self.proved = self.epoch + 1, False
            elif isinstance(output, AskAuthentication):
                assert self.question is None and output.method in self.methods
                self.question, self.asked_in = output, self.epoch
                self.seen["asked"] += 1
            elif isinstance(output, NetworkUp):
                assert self.proved
        assert self.proved or self.end.link.phase is not Phase.NETWORK
        assert self.question is not None or not self.end.link.asking

    def answer(self, rng: random.Random) -> None:
        question, self.question = self.question, None
        useful = self.end.link.asking
        assert question is not None and (not useful or question.renewal or self.asked_in == self.epoch)
        if rng.random() < 0.3:
            self.proved = self.proved or useful
            self.seen["let in" if useful else "stale"] += 1
            self.end.call("authenticated", Grant(user="u1", peer_ip="10.0.0.9"))
        else:
            self.end.call("refused", "no")


@pytest.mark.parametrize("methods", [("chap",), ("pap",), ("chap", "pap")])
def test_no_order_of_packets_gets_around_authentication(methods: tuple[str, ...]) -> None:
    rng = random.Random(repr(methods))
    seen: Counter[str] = Counter()
    for life in range(LIVES):
        end = End(seed=life, auth=True, auth_methods=methods, user="us", password="pw", local_ip="10.0.0.1",
                  passive=life % 5 == 0, silent=life % 7 == 0)
        watched = Watched(end, methods)
        for _ in range(STEPS):
            if end.link.over:
                break
            what = rng.random()
            if not end.all:
                end.hear(LCP, 1, 1)  # silent: before its first request there is nothing to acknowledge
            elif what < 0.85:
                end.hear(*packet(rng, end))
            elif what < 0.92:
                end.wait(rng.choice((0.5, 3.0, 10.0)))
            elif watched.question is not None:
                watched.answer(rng)
            watched.look()
        seen.update(watched.seen)
    assert min(seen.values()) > 10, seen
