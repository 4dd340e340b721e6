"""A peer written by hand: sends what the test says, and shows what the endpoint answered."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from prol2tp.l2tp.endpoint import Endpoint
from prol2tp.l2tp.header import read_control, write_control
from prol2tp.l2tp.messages import ICCN, ICRQ, PROTOCOL_VERSION, SCCCN, SCCRQ, Message, decode, encode
from prol2tp.l2tp.outputs import Address, Transmit
from tests.pair.network import Shell

OURS: Address = ("192.0.2.2", 1701)


class Heard(NamedTuple):
    tunnel_id: int
    session_id: int
    ns: int
    nr: int
    message: Any
    """None for a ZLB."""
    to: Address

    @property
    def name(self) -> str:
        return type(self.message).__name__ if self.message else "ZLB"


class World:
    """One endpoint, its shell and the time. `heard(peer)` is what was sent to that address since last asked."""

    def __init__(self, seed: int = 1, **endpoint: Any) -> None:
        self.now = 100.0
        self.shell = Shell(Endpoint(random.Random(seed).randbytes, **endpoint))
        self.sent: list[Transmit] = []

    @property
    def endpoint(self) -> Endpoint:
        return self.shell.endpoint

    def settle(self) -> None:
        while outputs := self.endpoint.outputs():
            for output in outputs:
                self.shell.take(output, self.now)
                if isinstance(output, Transmit):
                    self.sent.append(output)

    def give(self, data: bytes, peer: Address) -> None:
        self.endpoint.receive(data, peer, OURS, 0, self.now)
        self.settle()

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.endpoint.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.timeout(self.now)
            self.settle()
        self.now = end

    def heard(self, peer: Address | None = None, secret: bytes = b"") -> list[Heard]:
        self.settle()
        mine = [output for output in self.sent if peer in (None, output.peer)]
        self.sent = [output for output in self.sent if output not in mine]
        result = []
        for output in mine:
            header = read_control(output.data)
            body = output.data[12:header.length]
            message = decode(body, secret) if body else None
            result.append(Heard(header.tunnel_id, header.session_id, header.ns, header.nr, message, output.peer))
        return result


class Peer:
    """Sends with right numbers unless told otherwise; acknowledges only by what it sends."""

    def __init__(self, world: World, address: Address = ("192.0.2.1", 40000), tunnel_id: int = 77) -> None:
        self.world, self.address, self.tunnel_id = world, address, tunnel_id
        self.their_id = 0
        self.ns = self.nr = 0
        self.secret = b""

    def heard(self) -> list[Heard]:
        heard = self.world.heard(self.address, self.secret)
        for one in heard:
            if one.message is not None:
                self.nr = (one.ns + 1) & 0xFFFF
        return heard

    def raw(self, body: bytes, session_id: int = 0, ns: int | None = None, nr: int | None = None) -> bytes:
        if ns is None:
            ns = self.ns
            self.ns = (self.ns + bool(body)) & 0xFFFF
        return write_control(self.their_id, session_id, ns, self.nr if nr is None else nr, body)

    def give(self, body: bytes, session_id: int = 0, ns: int | None = None, nr: int | None = None) -> list[Heard]:
        self.world.give(self.raw(body, session_id, ns, nr), self.address)
        return self.heard()

    def send(self, message: Message, session_id: int = 0, ns: int | None = None) -> list[Heard]:
        return self.give(encode(message), session_id, ns)

    def zlb(self, ns: int | None = None) -> list[Heard]:
        return self.give(b"", 0, ns)

    def sccrq(self, **fields: Any) -> SCCRQ:
        values: dict[str, Any] = dict(protocol_version=PROTOCOL_VERSION, host_name="peer", framing_capabilities=3,
                                      assigned_tunnel_id=self.tunnel_id, bearer_capabilities=3, receive_window_size=10)
        return SCCRQ(**values | fields)

    def connect(self, **fields: Any) -> None:
        """As the initiator."""
        (reply,) = self.send(self.sccrq(**fields))
        assert reply.name == "SCCRP"
        self.their_id = reply.message.assigned_tunnel_id
        self.send(SCCCN())
        assert self.tunnel.state.name == "ESTABLISHED"

    @property
    def tunnel(self) -> Any:
        return self.world.endpoint.tunnels[self.their_id]

    def call(self, session_id: int = 5) -> int:
        """An incoming call of this peer's LAC; our session id."""
        heard = [one for one in self.send(ICRQ(session_id, session_id)) if one.name == "ICRP"]
        assert len(heard) == 1 and heard[0].session_id == session_id
        self.send(ICCN(64000, 1), heard[0].message.assigned_session_id)
        return heard[0].message.assigned_session_id
