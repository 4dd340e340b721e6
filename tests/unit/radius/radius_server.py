"""A RADIUS server for virtual time, written on pyrad's high-level interface and a dictionary: not on the code that it
tests."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from pyrad.packet import (
    AccessAccept,
    AccessReject,
    AccessRequest,
    AccountingRequest,
    AcctPacket,
    AuthPacket,
    Packet,
    StatusServer,
)

from prol2tp.radius.client import ClientSettings, RadiusClient
from prol2tp.radius.dictionary import DICTIONARY
from prol2tp.radius.outputs import CloseLane, OpenLane, Output, Transmit
from prol2tp.radius.servers import ServerSettings

SECRET = b"testing123"
Decide = Callable[[Packet, Packet], None]


def server(name: str, address: str, **changes: Any) -> ServerSettings:
    return ServerSettings(name=name, address=address, secret=changes.pop("secret", SECRET), **changes)


class Server:
    """Answers what it gets; `decide(request, reply)` fills the reply."""

    def __init__(self, decide: Decide | None = None, secret: bytes = SECRET, status: bool = True) -> None:
        self.decide = decide or (lambda request, reply: None)
        self.secret = secret
        self.status = status
        self.up = True
        self.delay = 0.01
        self.got: list[Packet] = []
        self.raw: list[bytes] = []
        self.answers: dict[tuple[int, bytes], bytes] = {}

    def answer(self, data: bytes) -> bytes | None:
        if not self.up:
            return None
        request = (AcctPacket if data[0] == AccountingRequest else AuthPacket)(
            secret=self.secret, dict=DICTIONARY, packet=data
        )
        if request.code == AccountingRequest:
            assert request.VerifyAcctRequest()
        else:
            assert data[20] == 80, "Message-Authenticator is first"
            assert request.verify_message_authenticator()
        self.raw.append(data)
        self.got.append(request)
        if request.code == StatusServer and not self.status:
            return None
        reply = request.CreateReply()
        if request.code == AccessRequest:
            reply.code = AccessAccept
        if request.code in (AccessRequest, AccountingRequest):
            self.decide(request, reply)
        return reply.ReplyPacket()

    def of(self, code: int) -> list[Packet]:
        return [packet for packet in self.got if packet.code == code]


def rejects(request: Packet, reply: Packet) -> None:
    if request.code == AccessRequest:
        reply.code = AccessReject
        reply["Reply-Message"] = "no"


class Net:
    """The client and its servers on a lossy network, in virtual time."""

    def __init__(
        self,
        settings: list[ServerSettings],
        servers: dict[str, Server],
        client: ClientSettings | None = None,
        seed: int = 1,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
    ) -> None:
        self.random = random.Random(seed)
        self.client = RadiusClient(settings, self.random.randbytes, 0.0, client)
        self.servers = servers
        self.now = 0.0
        self.loss, self.duplication, self.reordering = loss, duplication, reordering
        self.lanes: dict[int, OpenLane] = {}
        self.events: list[tuple[float, int, str, Any]] = []
        self.said: list[Output] = []
        self.at: dict[int, float] = {}
        self.sent: list[tuple[float, str, bytes]] = []
        self._count = 0
        self.drain()

    def request(self, record: Any, prefer: str = "") -> int:
        handle = self.client.request(record, self.now, prefer)
        self.drain()
        return handle

    def result(self, handle: int) -> Output:
        (found,) = [output for output in self.said if getattr(output, "handle", None) == handle]
        return found

    def drain(self) -> None:
        for output in self.client.outputs():
            if isinstance(output, OpenLane):
                self.lanes[output.lane] = output
            elif isinstance(output, CloseLane):
                del self.lanes[output.lane]
            elif isinstance(output, Transmit):
                lane = self.lanes[output.lane]
                self.sent.append((self.now, lane.address, output.data))
                self._carry("request", (output.lane, lane, output.data))
            else:
                self.said.append(output)
                if hasattr(output, "handle"):
                    assert output.handle not in self.at, "one result for each request"
                    self.at[output.handle] = self.now

    def _carry(self, what: str, item: Any, delay: float = 0.0) -> None:
        copies = 2 if self.random.random() < self.duplication else 1
        for _ in range(copies):
            if self.random.random() < self.loss:
                continue
            late = self.random.random() * 3 if self.random.random() < self.reordering else 0.0
            self._count += 1
            heapq.heappush(self.events, (self.now + 0.001 + delay + late, self._count, what, item))

    def run(self, until: float) -> None:
        while True:
            deadline = self.client.deadline()
            following = self.events[0][0] if self.events else None
            times = [time for time in (deadline, following) if time is not None]
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            if following is not None and following <= self.now:
                self._event()
            else:
                self.client.timeout(self.now)
            self.drain()

    def _event(self) -> None:
        _, _, what, item = heapq.heappop(self.events)
        number, lane, data = item
        if what == "request":
            server = self.servers[lane.address]
            answer = server.answer(data)
            if answer is not None:
                self._carry("answer", (number, lane, answer), server.delay)
        elif number in self.lanes:
            self.client.receive(data, number, (lane.address, lane.port), self.now)
