"""Ends of PPP links for tests: one end with a scripted peer, and two ends with a lossy line, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from prol2tp.ppp import chap, frame, mppe, mschap
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, NetworkUp, SendFrame
from prol2tp.ppp.settings import Grant, LinkSettings

Packet = tuple[int, int, int, bytes]
"""Protocol, code, identifier, data."""


def random_source(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def packets(outputs: list[Any]) -> list[Packet]:
    """The control packets among outputs."""
    found = []
    for output in outputs:
        if isinstance(output, SendFrame):
            protocol, start = frame.read_header(output.frame)
            found.append((protocol, *frame.read_packet(output.frame[start:])))
    return found


def facts(outputs: list[Any]) -> list[Any]:
    return [output for output in outputs if not isinstance(output, SendFrame)]


class End:
    """A link and a peer whose packets the test writes. `said` is what the last input made the link do."""

    def __init__(self, seed: int = 1, trace: Any = None, **settings: Any) -> None:
        self.link = Link(LinkSettings(**settings), random_source(seed), trace)
        self.now = 100.0
        self.said: list[Any] = []
        self.all: list[Any] = []
        self.link.open(self.now)
        self._drain()

    def _drain(self) -> None:
        self.said = self.link.outputs()
        self.all += self.said

    def hear(self, protocol: int, code: int, identifier: int, data: bytes = b"") -> list[Packet]:
        return self.hear_frame(frame.header(protocol) + frame.packet(code, identifier, data))

    def hear_frame(self, octets: bytes) -> list[Packet]:
        self.link.receive(octets, self.now)
        self._drain()
        return packets(self.said)

    def call(self, name: str, *arguments: Any, **keywords: Any) -> list[Packet]:
        getattr(self.link, name)(*arguments, now=self.now, **keywords)
        self._drain()
        return packets(self.said)

    def wait(self, seconds: float) -> list[Packet]:
        """Let time pass; the packets sent meanwhile."""
        end = self.now + seconds
        said: list[Any] = []
        while (when := self.link.deadline()) is not None and when <= end:
            self.now = max(self.now, when)
            self.link.timeout(self.now)
            said += self.link.outputs()
        self.now = end
        self.said = said
        self.all += said
        return packets(said)

    def last_request(self, protocol: int) -> Packet:
        return [p for p in packets(self.all) if p[0] == protocol and p[1] == frame.CONFIGURE_REQUEST][-1]

    def acknowledge(self, protocol: int) -> list[Packet]:
        """The peer takes our last Configure-Request as it is."""
        _, _, identifier, data = self.last_request(protocol)
        return self.hear(protocol, frame.CONFIGURE_ACK, identifier, data)

    def open_lcp(self, wishes: bytes = b"") -> None:
        self.hear(frame.LCP, frame.CONFIGURE_REQUEST, 1, wishes)
        self.acknowledge(frame.LCP)

    def open_ip(self, address: bytes = b"\x0a\x00\x00\x63") -> None:
        self.hear(frame.IPCP, frame.CONFIGURE_REQUEST, 1, b"\x03\x06" + address)
        self.acknowledge(frame.IPCP)

    @property
    def down(self) -> LinkDown | None:
        return next((output for output in self.all if isinstance(output, LinkDown)), None)

    def facts(self) -> list[Any]:
        return facts(self.said)


def users(**passwords: str) -> Callable[[AskAuthentication], Grant | str]:
    """An authentication server with these users."""

    def answer(ask: AskAuthentication) -> Grant | str:
        password = passwords.get(ask.user.decode("utf-8", "replace"), "")
        secret = password.encode()
        grant = Grant(peer_ip="10.0.0.99")
        if ask.method == "pap":
            good = ask.password == secret
        elif ask.method == "chap":
            good = chap.verify_md5(ask.identifier, secret, ask.challenge, ask.response)
        else:
            good = microsoft(ask, mschap.nt_password_hash(password), grant)
        return grant if good and secret else "no such user"

    return answer


def microsoft(ask: AskAuthentication, nt_hash: bytes, grant: Grant) -> bool:
    """Check a proof of MS-CHAP of either version; the grant gets what the peer wants to see."""
    if ask.method == "mschapv1":
        return mschap.verify_v1(nt_hash, ask.challenge, ask.response)
    assert ask.method == "mschapv2"
    parts = (ask.response, ask.peer_challenge, ask.challenge, ask.user)
    grant.authenticator_response = mschap.authenticator_response(nt_hash, *parts)
    grant.mppe_send_key, grant.mppe_receive_key = mppe.start_keys_v2(nt_hash, ask.response, authenticator=True)
    return mschap.verify_v2(nt_hash, *parts)


class Pair:
    """Two links and a line that loses, doubles and reorders frames; time is virtual."""

    def __init__(
        self,
        a: LinkSettings,
        b: LinkSettings,
        seed: int = 1,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        answer: Callable[[AskAuthentication], Grant | str] | None = None,
        answer_delay: float = 0.05,
    ) -> None:
        self.random = random.Random(seed)
        self.links = (Link(a, self.random.randbytes), Link(b, self.random.randbytes))
        self.rates = (loss, duplicate, reorder)
        self.answer = answer or users()
        self.answer_delay = answer_delay
        self.now = 0.0
        self.facts: tuple[list[Any], list[Any]] = ([], [])
        self.frames = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def start(self) -> None:
        for side in (0, 1):
            self.do(side, lambda link: link.open(self.now))

    def do(self, side: int, act: Callable[[Link], None]) -> None:
        link = self.links[side]
        act(link)
        for output in link.outputs():
            if isinstance(output, SendFrame):
                self._transmit(1 - side, output.frame)
            else:
                self.facts[side].append(output)
                if isinstance(output, AskAuthentication):
                    self._ask(side, output)

    def _later(self, delay: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, act))

    def _transmit(self, to: int, octets: bytes) -> None:
        self.frames += 1
        loss, duplicate, reorder = self.rates
        for _ in range(2 if self.random.random() < duplicate else 1):
            if self.random.random() >= loss:
                delay = 0.01 + (self.random.random() * 0.2 if self.random.random() < reorder else 0.0)
                self._later(delay, lambda: self.do(to, lambda link: link.receive(octets, self.now)))

    def _ask(self, side: int, ask: AskAuthentication) -> None:
        def tell(link: Link) -> None:
            answer = self.answer(ask)
            if isinstance(answer, Grant):
                link.authenticated(answer, self.now)
            else:
                link.refused(answer, self.now)

        self._later(self.answer_delay, lambda: self.do(side, tell))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + seconds
        while not until():
            times = [when for link in self.links if (when := link.deadline()) is not None]
            if self._events:
                times.append(self._events[0][0])
            if not times or min(times) > end:
                self.now = end
                return
            self.now = max(self.now, min(times))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for side, link in enumerate(self.links):
                when = link.deadline()
                if when is not None and when <= self.now:
                    self.do(side, lambda link: link.timeout(self.now))

    def settled(self) -> bool:
        """Both ends are up with all they have, or at their end."""
        return all(link.over or self.is_up(side) for side, link in enumerate(self.links))

    def is_up(self, side: int) -> bool:
        link = self.links[side]
        return link.phase is Phase.NETWORK and any(ncp.announced for ncp in link._network)

    def ups(self, side: int) -> list[NetworkUp]:
        return [fact for fact in self.facts[side] if isinstance(fact, NetworkUp)]
