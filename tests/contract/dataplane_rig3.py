"""Rigs of `dataplane_rig` with an L2TPv3 tunnel: over UDP, over IP, and through prol2tp-pathd."""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any

from twisted.internet import reactor

from prol2tp.dataplane import l2tpv3
from prol2tp.dataplane.interface import Netif, NetifSpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.linux.plane import KernelDataPlane
from tests.contract.dataplane_rig import (
    ETH_P_ALL,
    IPv6Rig,
    KernelRig,
    MemoryRig,
    ProcessRig,
    RelayRig,
    Rig,
    UserspaceRig,
    WildcardRig,
    WireRig,
    features,
    until,
)

OURS, THEIRS = 0x11000000, 0x22000000
"""Session `n` has our id OURS + n and the peer's THEIRS + n."""
COOKIE, PEER_COOKIE = b"ourcook!", b"PEER"
IPPROTO_L2TP = 115
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 0x10


def with_tag(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The kernel takes the VLAN tag out of a frame and tells it beside."""
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
            if status & VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
    return frame


class Third(Rig):
    """What is different with version 3."""

    encapsulation = "udp"
    spec: SessionSpec

    def tunnel_spec(self, **changes: Any) -> TunnelSpec:
        spec = super().tunnel_spec(version=3, tunnel_id=0x10001, peer_tunnel_id=0x20002,
                                   encapsulation=self.encapsulation)
        for name, value in changes.items():
            setattr(spec, name, value)
        return spec

    async def session(self, number: int = 0, **spec: Any) -> int:
        values = {"cookie": COOKIE, "peer_cookie": PEER_COOKIE, **spec}
        self.spec = SessionSpec(self.tunnel, OURS + number, THEIRS + number, **values)
        return await self.plane.session_add(self.spec)

    async def tap(self, port: int, name: str = "l2tpeth0") -> Netif:
        netif = await self.plane.netif_attach(port, NetifSpec(name))
        self.interface_up(netif)
        return netif

    def datagram_of(self, frame: bytes, number: int, ns: int) -> bytes:
        head = l2tpv3.head(OURS + number, self.spec.cookie, self.encapsulation == "ip")
        return head + (l2tpv3.sublayer(ns) if self.spec.receive_sublayer else b"") + frame

    def frame_of(self, data: bytes) -> tuple[int, int, bytes]:
        """(peer session number, Ns, frame) of what the data path has sent."""
        position = 0 if self.encapsulation == "ip" else 4
        if position:
            assert data[:4] == l2tpv3.OVER_UDP
        number = l2tpv3.session_id(data, position) - THEIRS
        position += 4 + len(self.spec.peer_cookie)
        assert data[position - len(self.spec.peer_cookie):position] == self.spec.peer_cookie
        ns = -1
        if self.spec.send_sublayer:
            ns = l2tpv3.number(data, position)
            position += 4
        return number, ns, data[position:]


class MemoryRig3(Third, MemoryRig):
    def peer_send(self, frame: bytes, number: int = 0, ns: int = -1) -> None:
        self.plane.datagram(self.listener.id, self.datagram_of(frame, number, ns), self.peer_address())

    def peer_send_raw(self, data: bytes) -> None:
        self.plane.datagram(self.listener.id, data, self.peer_address())

    async def peer_frames(self, count: int) -> list[tuple[int, int, bytes]]:
        sent, self.plane.sent = self.plane.sent[:count], self.plane.sent[count:]
        assert len(sent) == count
        return [(self.plane.ports[port].carrier.peer_session_id - THEIRS, -1, frame) for port, frame in sent]


class Wire3(Third, WireRig):
    taps: set[str]

    def peer_send(self, frame: bytes, number: int = 0, ns: int = -1) -> None:
        self.peer_send_raw(self.datagram_of(frame, number, ns))

    def peer_send_raw(self, data: bytes) -> None:
        self.peer.sendto(data, self.target())

    async def peer_frames(self, count: int) -> list[tuple[int, int, bytes]]:
        return [self.frame_of(data) for data, _ in await self.datagrams(count)]

    async def tap(self, port: int, name: str = "l2tpeth0") -> Netif:
        netif = await self.plane.netif_attach(port, NetifSpec(name))
        self.host.run("sysctl", "-qw", f"net.ipv6.conf.{netif.name}.disable_ipv6=1")
        self.host.run("ip", "link", "set", netif.name, "up")
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind((netif.name, ETH_P_ALL))
        tap.setblocking(False)
        tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._taps[netif.name] = tap
        self._arrived[netif.name] = deque()
        self.ethernet = netif.name
        return netif

    ethernet = ""

    async def packets(self, netif: Netif, count: int) -> list[bytes]:
        if netif.name != self.ethernet:
            return await super().packets(netif, count)
        arrived = self._arrived[netif.name]

        def enough() -> bool:
            with suppress(BlockingIOError):
                while True:
                    frame, ancillary, _, where = self._taps[netif.name].recvmsg(65535, 64)
                    if where[2] != socket.PACKET_OUTGOING:
                        arrived.append(with_tag(frame, ancillary))
            return len(arrived) >= count

        await until(enough, f"{count} frames from {netif.name}")
        return [arrived.popleft() for _ in range(count)]

    def inject(self, netif: Netif, packet: bytes) -> None:
        if netif.name == self.ethernet:
            self._taps[netif.name].send(packet)
        else:
            super().inject(netif, packet)


class UserspaceRig3(Wire3, UserspaceRig):
    pass


class RelayRig3(Wire3, RelayRig):
    pass


class IPv6Rig3(Wire3, IPv6Rig):
    pass


class WildcardRig3(Wire3, WildcardRig):
    pass


class ProcessRig3(Wire3, ProcessRig):
    pass


class OverIP(Wire3):
    """The peer is a raw socket of protocol 115."""

    encapsulation = "ip"

    async def open(self, **tunnel: Any) -> None:
        self.peer.close()
        family = socket.AF_INET6 if self.ipv6 else socket.AF_INET
        self.peer = socket.socket(family, socket.SOCK_RAW, IPPROTO_L2TP)
        self.peer.bind(self.peer_address())
        self.peer.setblocking(False)
        await super().open(**tunnel)

    def peer_address(self) -> tuple[str, int]:
        return super().peer_address()[0], 0

    async def datagrams(self, count: int) -> list[tuple[bytes, Any]]:
        found = await super().datagrams(count)
        return [(data if self.ipv6 else data[20:], source) for data, source in found]


class OverIPRig3(OverIP, UserspaceRig):
    def local(self) -> tuple[str, int]:
        return "127.0.0.1", 0


class OverIPv6Rig3(OverIP, UserspaceRig):
    ipv6 = True

    def __init__(self) -> None:
        super().__init__()
        self.host.run("ip", "address", "add", "2001:db8::1/128", "dev", "lo", "nodad")
        self.host.run("ip", "address", "add", "2001:db8::2/128", "dev", "lo", "nodad")

    def local(self) -> tuple[str, int]:
        return "2001:db8::1", 0

    def peer_address(self) -> tuple[str, int]:
        # before there are addresses the socket of the base class is bound
        return "::1" if not hasattr(self, "_got") else "2001:db8::2", 0


class OverIPProcessRig3(OverIP, ProcessRig):
    def local(self) -> tuple[str, int]:
        return "127.0.0.1", 0


class KernelRig3(Wire3, KernelRig):
    pass


class KernelOverIPRig3(OverIP, KernelRig):
    def local(self) -> tuple[str, int]:
        return "127.0.0.1", 0


class KernelOverIPv6Rig3(OverIPv6Rig3):
    counts_discards = False

    def __init__(self) -> None:
        super().__init__()
        self.plane = KernelDataPlane(reactor, features())


RIGS3 = {
    "memory": MemoryRig3,
    "userspace": UserspaceRig3,
    "relay": RelayRig3,
    "ipv6": IPv6Rig3,
    "wildcard": WildcardRig3,
    "process": ProcessRig3,
    "over-ip": OverIPRig3,
    "over-ipv6": OverIPv6Rig3,
    "over-ip-process": OverIPProcessRig3,
    "kernel": KernelRig3,
    "kernel-over-ip": KernelOverIPRig3,
    "kernel-over-ipv6": KernelOverIPv6Rig3,
}
