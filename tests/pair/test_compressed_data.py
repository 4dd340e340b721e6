"""Two ends whose data paths carry out what CCP has agreed on, over lines that lose, double and reorder packets."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from prol2tp.dataplane.interface import NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.plane import NoEvents
from prol2tp.net.driver import Driver
from prol2tp.ppp import outputs
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.settings import LinkSettings
from tests.shell.propppd_world import result

OURS, THEIRS = "10.0.0.1", "10.0.0.2"


class Plane(MemoryDataPlane):
    """A data path whose data messages go to `transmit`."""

    transmit: Callable[[bytes], None]

    def datagram_sent(self, listener: int, tunnel_id: int, datagram: bytes) -> None:
        super().datagram_sent(listener, tunnel_id, datagram)
        self.transmit(self.sent.pop()[1])


class End(NoEvents):
    """A PPP core on a port with an interface."""

    def __init__(self, clock: Clock, chance: random.Random, settings: LinkSettings) -> None:
        self.plane = plane = Plane(clock)
        plane.start(self)
        listener = result(plane.listen(("192.0.2.1", 1701)))
        os.close(listener.control)
        tunnel = result(plane.tunnel_add(TunnelSpec(listener.id, ("192.0.2.1", 1701), ("192.0.2.2", 1701), 1, 1)))
        self.port = result(plane.session_add(SessionSpec(tunnel, 1, 1)))
        self.core = Link(settings, chance.randbytes)
        self.down: outputs.LinkDown | None = None
        self.failures = 0
        nothing = dict.fromkeys((outputs.LinkOpened, outputs.LinkAuthenticated, outputs.NetworkUp), lambda output: None)
        self.driver = Driver(self.core, {
            **nothing,
            outputs.SendFrame: lambda output: plane.port_send(self.port, output.frame),
            outputs.CompressionUp: lambda output: result(plane.port_compress(
                self.port, output.send, output.receive, output.send_option, output.receive_option)),
            outputs.CompressionDown: lambda output: result(plane.port_compress(self.port)),
            outputs.CompressionReset: self._reset,
            outputs.LinkDown: lambda output: setattr(self, "down", output),
        }, clock)
        result(plane.netif_attach(self.port, NetifSpec(protocols=("ip",), source_check=False)))
        plane.port_receiver(self.port, lambda frame: self.driver.call(self.core.receive, frame))

    def _reset(self, output: outputs.CompressionReset) -> None:
        if output.direction == "send":
            self.plane.port_reset(self.port)

    def decompression_failed(self, port: int) -> None:
        self.failures += 1
        self.driver.call(self.core.decompression_failed)

    def received(self) -> list[bytes]:
        packets, self.plane.packets = [packet for _, packet in self.plane.packets], []
        return packets


class Line:
    """Two ends and what is between them."""

    def __init__(self, seed: int, *codecs: str) -> None:
        self.clock = Clock()
        self.chance = random.Random(seed)
        self.rates = (0.0, 0.0, 0.0)
        self.ends = (
            End(self.clock, self.chance, LinkSettings(local_ip=OURS, peer_ip=THEIRS, codecs=codecs, ipv6=False)),
            End(self.clock, self.chance, LinkSettings(codecs=codecs, ipv6=False)),
        )
        for side, end in enumerate(self.ends):
            end.plane.transmit = lambda frame, to=self.ends[1 - side]: self._carry(to, frame)  # type: ignore[misc]
        self.number = 0
        for end in self.ends:
            end.driver.call(end.core.open)
        self.later(5)

    def _carry(self, to: End, frame: bytes) -> None:
        loss, double, reorder = self.rates
        for _ in range(2 if self.chance.random() < double else 1):
            if self.chance.random() >= loss:
                delay = 0.01 + (self.chance.random() * 0.05 if self.chance.random() < reorder else 0.0)
                self.clock.callLater(delay, to.plane.deliver, to.port, frame)

    def later(self, seconds: float, step: float = 0.01) -> None:
        self.clock.pump([step] * round(seconds / step))

    def packet(self) -> bytes:
        """IPv4, of text that can be compressed and noise that cannot, with a number."""
        self.number += 1
        text = b" line %d of the text" % (self.number % 7) * self.chance.randrange(0, 40)
        body = self.number.to_bytes(4, "big") + text + self.chance.randbytes(self.chance.randrange(0, 60))
        return b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body

    def traffic(self, packets: int) -> tuple[list[bytes], list[bytes]]:
        """So many in both directions -> those sent by each end."""
        sent: tuple[list[bytes], list[bytes]] = ([], [])
        for _ in range(packets):
            for side, end in enumerate(self.ends):
                packet = self.packet()
                sent[side].append(packet)
                end.plane.inject(end.port, packet)
            self.later(self.chance.choice((0.0, 0.01, 0.05)))
        return sent


CODECS = [("deflate",), ("predictor1",), ("predictor1", "deflate")]


@pytest.mark.parametrize("codecs", CODECS, ids="+".join)
def test_on_a_clean_line_every_packet_arrives_and_the_line_carries_less(codecs: tuple[str, ...]) -> None:
    line = Line(1, *codecs)
    assert [end.core.phase for end in line.ends] == [Phase.NETWORK] * 2
    sent = line.traffic(200)
    line.later(1)
    for side, end in enumerate(line.ends):
        assert end.received() == sent[1 - side]
        assert end.failures == 0
        octets = end.plane.ports[end.port].tx_octets
        assert octets < 0.7 * sum(len(packet) for packet in sent[side])


@pytest.mark.parametrize("codecs", CODECS, ids="+".join)
@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_costs_packets_and_alters_none_and_a_good_one_loses_no_more(codecs, seed: int) -> None:
    line = Line(seed, *codecs)
    line.rates = (0.05, 0.03, 0.1)
    sent = line.traffic(250)
    line.rates = (0.0, 0.0, 0.0)
    line.later(8)
    assert all(end.down is None and end.failures for end in line.ends)
    for side, end in enumerate(line.ends):
        arrived = end.received()
        # one that was lost costs those until the histories begin anew
        assert len(arrived) > 40
        assert set(arrived) <= set(sent[1 - side])
    # a trouble that nobody has seen yet may be left from before
    line.traffic(60)
    line.later(3)
    for end in line.ends:
        end.received()
    last = line.traffic(50)
    line.later(1)
    for side, end in enumerate(line.ends):
        assert end.received() == last[1 - side]
