"""A data path under test, its L2TP peer, and hands on its interfaces; one rig for each kind of data path."""

from __future__ import annotations

import functools
import os
import signal
import socket
import struct
from collections import deque
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface import implementer

from prol2tp.dataplane import l2tpv2, relay
from prol2tp.dataplane.client import PathClient
from prol2tp.dataplane.interface import (
    COUNTERS,
    IDataPlane,
    IPathEvents,
    Listener,
    Netif,
    NetifSpec,
    SessionSpec,
    TunnelSpec,
)
from prol2tp.dataplane.linux.plane import KernelDataPlane
from prol2tp.dataplane.linux.probe import Features, probe
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.userspace import UserspaceDataPlane
from tests.netns import World

LCP_ECHO = b"\xff\x03\xc0\x21\x09\x01\x00\x08abcd"
ETH_P_ALL = 3


def pause(seconds: float = 0.002) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


async def until(predicate: Any, what: str, seconds: float = 10.0) -> Any:
    for _ in range(int(seconds / 0.002)):
        value = predicate()
        if value:
            return value
        await pause()
    raise AssertionError(f"not within {seconds} s: {what}")


def counter(row: tuple, name: str) -> int:
    return row[COUNTERS.index(name)]


@implementer(IPathEvents)
class Events:
    """Remembers what the data path tells."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def frames_lost(self, port, count):
        self.seen.append(("frames_lost", port, count))

    def peer_moved(self, tunnel, peer):
        self.seen.append(("peer_moved", tunnel, peer))

    def netif_gone(self, port, name):
        self.seen.append(("netif_gone", port, name))

    def carrier_lost(self, port, reason):
        self.seen.append(("carrier_lost", port, reason))

    def decompression_failed(self, port):
        self.seen.append(("decompression_failed", port))

    def stray_frame(self, ethernet, frame):
        self.seen.append(("stray_frame", ethernet, frame))

    def overload(self, dropped):
        self.seen.append(("overload", dropped))

    def path_lost(self, reason):
        self.seen.append(("path_lost", reason))

    def named(self, name):
        return [event[1:] for event in self.seen if event[0] == name]


class Rig:
    """What the tests use. Session `n` has our id 100 + n and the peer's id 200 + n, in tunnel 11 (ours), 22."""

    wire = True
    counts_discards = True
    """The kernel says nothing of packets that an interface of its own did not take."""
    encapsulation = "udp"
    plane: Any

    def __init__(self) -> None:
        self.events = Events()
        self.listener: Listener
        self.tunnel = 0

    async def open(self, **tunnel: Any) -> None:
        assert IDataPlane.providedBy(self.plane)
        await self.plane.start(self.events)
        self.listener = await self.plane.listen(self.local(), self.encapsulation)
        self.tunnel = await self.plane.tunnel_add(self.tunnel_spec(**tunnel))

    def local(self) -> tuple[str, int]:
        return "127.0.0.1", 0

    def peer_address(self) -> tuple[str, int]:
        return "127.0.0.2", 1701

    def tunnel_spec(self, **changes: Any) -> TunnelSpec:
        spec = TunnelSpec(self.listener.id, self.listener.address, self.peer_address(), 11, 22)
        for name, value in changes.items():
            setattr(spec, name, value)
        return spec

    async def session(self, number: int = 0, **spec: Any) -> int:
        return await self.plane.session_add(SessionSpec(self.tunnel, 100 + number, 200 + number, **spec))

    async def netif(self, port: int, **spec: Any) -> Netif:
        spec.setdefault("protocols", ("ip", "ipv6"))
        spec.setdefault("prefixes", ("10.0.0.1/32", "2001:db8:1::/64"))
        netif = await self.plane.netif_attach(port, NetifSpec(**spec))
        self.interface_up(netif)
        return netif

    async def row(self, port: int) -> tuple:
        return (await self.plane.counters([port]))[port]

    async def received(self, port: int, count: int) -> None:
        """So many packets have come from the peer."""
        await self.counted(port, "rx_packets", count)

    async def counted(self, port: int, name: str, count: int) -> None:
        """A counter has come so far."""
        for _ in range(2000):
            if counter(await self.row(port), name) >= count:
                return
            await pause()
        raise AssertionError(f"{name} is below {count}")

    # -- by kind --

    def peer_send(self, frame: bytes, number: int = 0, ns: int = -1) -> None: ...

    async def peer_frames(self, count: int) -> list[tuple[int, int, bytes]]:
        """(peer session number, Ns, frame) of the next data messages."""
        raise NotImplementedError

    def interface_up(self, netif: Netif) -> None: ...

    def inject(self, netif: Netif, packet: bytes) -> None: ...

    async def packets(self, netif: Netif, count: int) -> list[bytes]:
        """The next packets that the data path gave to the interface."""
        raise NotImplementedError

    def interfaces(self) -> set[str]:
        raise NotImplementedError

    async def close(self) -> None:
        await self.plane.stop()
        with suppress(OSError):
            os.close(self.listener.control)


class MemoryRig(Rig):
    wire = False

    def __init__(self) -> None:
        super().__init__()
        self.plane = MemoryDataPlane()
        self._attached: dict[int, tuple[int, str]] = {}

    def peer_send(self, frame: bytes, number: int = 0, ns: int = -1) -> None:
        port = next(port.id for port in self.plane.ports.values() if port.carrier.key == 11 << 16 | 100 + number)
        self.plane.deliver(port, frame, ns)

    async def peer_frames(self, count: int) -> list[tuple[int, int, bytes]]:
        sent, self.plane.sent = self.plane.sent[:count], self.plane.sent[count:]
        assert len(sent) == count
        return [(self.plane.ports[port].carrier.peer_session_id - 200, -1, frame) for port, frame in sent]

    def inject(self, netif: Netif, packet: bytes) -> None:
        if netif.name in self.plane.links:
            self.plane.inject_shared(netif.name, packet)
            return
        for port in self.plane.ports.values():
            if port.attachment is not None and port.attachment.link.tun.ifindex == netif.ifindex:
                self.plane.inject(port.id, packet)
                return

    async def packets(self, netif: Netif, count: int) -> list[bytes]:
        mine = [entry for entry in self.plane.packets if entry[0] == netif.ifindex][:count]
        assert len(mine) == count
        for entry in mine:
            self.plane.packets.remove(entry)
        return [packet for _, packet in mine]

    def interfaces(self) -> set[str]:
        return set(self.plane.interfaces)

    async def close(self) -> None:
        await super().close()
        assert not self.plane.ports and not self.plane.links and not self.plane.relays


class WireRig(Rig):
    """On the loopback of a namespace of its own. The peer is a UDP socket."""

    split = True
    ipv6 = False

    def __init__(self) -> None:
        super().__init__()
        self._exits = ExitStack()
        self.world = self._exits.enter_context(World())
        self.host = self.world.namespace("path")
        self._exits.enter_context(self.host.inside())
        self.peer = socket.socket(socket.AF_INET6 if self.ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(self.peer_address())
        self.peer.setblocking(False)
        self._taps: dict[str, socket.socket] = {}
        self._arrived: dict[str, deque[bytes]] = {}
        self._got: deque[tuple[bytes, Any]] = deque()

    def target(self) -> tuple[str, int]:
        return self.listener.address

    def peer_send(self, frame: bytes, number: int = 0, ns: int = -1) -> None:
        if ns < 0:
            header = l2tpv2.plain(11, 100 + number)
        else:
            header = l2tpv2.sequenced(11, 100 + number, ns)
        self.peer.sendto(header + frame, self.target())

    def _drain_peer(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._got.append(self.peer.recvfrom(65535))

    async def datagrams(self, count: int) -> list[tuple[bytes, Any]]:
        def enough() -> bool:
            self._drain_peer()
            return len(self._got) >= count

        await until(enough, f"{count} datagrams at the peer")
        return [self._got.popleft() for _ in range(count)]

    async def peer_frames(self, count: int) -> list[tuple[int, int, bytes]]:
        frames = []
        for data, source in await self.datagrams(count):
            assert source[:2] == self.target()
            parsed = l2tpv2.parse(data)
            assert parsed is not None and parsed[0] >> 16 == 22
            frames.append(((parsed[0] & 0xFFFF) - 200, parsed[1], data[parsed[2]:parsed[3]]))
        return frames

    def interface_up(self, netif: Netif) -> None:
        if netif.name in self._taps:
            return
        self.host.run("ip", "link", "set", netif.name, "up")
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        tap.bind((netif.name, ETH_P_ALL))
        tap.setblocking(False)
        self._taps[netif.name] = tap
        self._arrived[netif.name] = deque()

    def inject(self, netif: Netif, packet: bytes) -> None:
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self._taps[netif.name].sendto(packet, (netif.name, kind, 0, 0, b""))

    async def packets(self, netif: Netif, count: int) -> list[bytes]:
        arrived = self._arrived[netif.name]

        def enough() -> bool:
            with suppress(BlockingIOError):
                while True:
                    packet, where = self._taps[netif.name].recvfrom(65535)
                    if where[2] != socket.PACKET_OUTGOING:
                        arrived.append(packet)
            return len(arrived) >= count

        await until(enough, f"{count} packets from {netif.name}")
        return [arrived.popleft() for _ in range(count)]

    def interfaces(self) -> set[str]:
        return self.host.interfaces() - {"lo"}

    async def close(self) -> None:
        try:
            await super().close()
            left = self.interfaces()
        finally:
            self.peer.close()
            for tap in self._taps.values():
                tap.close()
            self._exits.close()
        assert left == set()


class UserspaceRig(WireRig):
    def __init__(self) -> None:
        super().__init__()
        self.plane = UserspaceDataPlane(reactor, split=self.split)


class RelayRig(UserspaceRig):
    split = False


class IPv6Rig(UserspaceRig):
    ipv6 = True

    def local(self) -> tuple[str, int]:
        return "::1", 0

    def peer_address(self) -> tuple[str, int]:
        return "::1", 1701


class WildcardRig(UserspaceRig):
    def local(self) -> tuple[str, int]:
        return "0.0.0.0", 0

    def target(self) -> tuple[str, int]:
        return "127.0.0.5", self.listener.address[1]

    def tunnel_spec(self, **changes: Any) -> TunnelSpec:
        return super().tunnel_spec(local=self.target(), **changes)


@functools.cache
def features() -> Features:
    """What the guest's kernel can do."""
    return probe()


class KernelRig(WireRig):
    """In a guest; see `tests.kernel`."""

    counts_discards = False

    def __init__(self) -> None:
        super().__init__()
        self.plane = KernelDataPlane(reactor, features())


class KernelIPv6Rig(KernelRig):
    ipv6 = True

    def local(self) -> tuple[str, int]:
        return "::1", 0

    def peer_address(self) -> tuple[str, int]:
        return "::1", 1701


class KernelWildcardRig(KernelRig):
    def local(self) -> tuple[str, int]:
        return "0.0.0.0", 0

    def target(self) -> tuple[str, int]:
        return "127.0.0.5", self.listener.address[1]

    def tunnel_spec(self, **changes: Any) -> TunnelSpec:
        return super().tunnel_spec(local=self.target(), **changes)


class ProcessRig(WireRig):
    """Through `PathClient` and a prol2tp-pathd of its own."""

    async def open(self, **tunnel: Any) -> None:
        self.run_dir = str(self.world.path("run", "x").parent)
        self.plane = await PathClient.connect(reactor, self.run_dir, "tester")
        await super().open(**tunnel)

    def pathd_pid(self) -> int:
        credentials = self.plane._channel._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("=iii", credentials)[0]

    async def close(self) -> None:
        await super().close()
        socket_path = os.path.join(self.run_dir, "pathd.sock")
        await until(lambda: not os.path.exists(socket_path), "the ephemeral pathd has ended")

    def kill(self) -> None:
        os.kill(self.pathd_pid(), signal.SIGKILL)


RIGS = {
    "memory": MemoryRig,
    "userspace": UserspaceRig,
    "relay": RelayRig,
    "ipv6": IPv6Rig,
    "wildcard": WildcardRig,
    "process": ProcessRig,
    "kernel": KernelRig,
    "kernel-ipv6": KernelIPv6Rig,
    "kernel-wildcard": KernelWildcardRig,
}
KERNEL_FEATURES = ("l2tp", "l2tp_ip", "l2tp_eth", "l2tp_ppp", "ppp", "pppoe")


def marked(kind: str) -> Any:
    """A kind of rig as a parameter, with the marks of its tests."""
    marks: list[Any] = [] if kind.startswith("memory") else [pytest.mark.root]
    if kind.startswith("kernel"):
        marks.append(pytest.mark.kernel(*KERNEL_FEATURES))
        if kind not in ("kernel", "kernel-over-ip"):
            marks.append(pytest.mark.long)  # `tests/kernel` has the essence
    return pytest.param(kind, marks=marks)


class ControlEnd:
    """The daemon's end of a listener, blocking calls replaced by waiting."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        kind = socket.SOCK_SEQPACKET if listener.relay else socket.SOCK_DGRAM
        family = socket.AF_UNIX if listener.relay else \
            socket.AF_INET6 if ":" in listener.address[0] else socket.AF_INET
        self.socket = socket.socket(family, kind, fileno=os.dup(listener.control))
        self.socket.setblocking(False)

    async def receive(self) -> tuple[bytes, tuple[str, int]]:
        got: list[Any] = []

        def arrived() -> bool:
            with suppress(BlockingIOError):
                got.append(self.socket.recvfrom(65535))
            return bool(got)

        await until(arrived, "a control datagram")
        data, source = got[0]
        if self.listener.relay:
            payload, peer, local, _ = relay.decode(data)
            self.local = local
            return payload, peer
        return data, source[:2]

    def send(self, data: bytes, peer: tuple[str, int], local: tuple[str, int]) -> None:
        if self.listener.relay:
            self.socket.send(relay.encode(data, peer, local))
        else:
            self.socket.sendto(data, peer)

    def close(self) -> None:
        self.socket.close()
