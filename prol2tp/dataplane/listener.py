"""The UDP sockets of one local L2TP address.

The kernel splits control from data: a reuseport group whose classic BPF program picks the member by the T bit. Member 0
is the control socket (the daemon's), member 1 ours for data; further members only send, with other socket options. The
kernel numbers the group anew when one closes, so all stay open here. Where the program is not allowed there is one
socket, and control datagrams are relayed (`relay`). With `connectable` they always are, and member 0 takes all: then
sockets that are connected to one peer can share the address (`linux`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, EADDRNOTAVAIL
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any

from prol2tp.common.wire import WireError
from prol2tp.dataplane import relay
from prol2tp.dataplane.interface import IN_USE, INVALID, SYSTEM, Address, DataPathError, TunnelSpec
from prol2tp.dataplane.tunnels import Way

if TYPE_CHECKING:
    from prol2tp.dataplane.carrier2 import L2TPCarrier
    from prol2tp.dataplane.carrier3 import L2TPv3Carrier
    from prol2tp.dataplane.forward import Inbound, InboundFrames
    from prol2tp.dataplane.splicing import Onward

SO_ATTACH_REUSEPORT_CBPF = 51
SO_NO_CHECK = 11
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
SO_MEMINFO = 55
IP_PKTINFO = 8
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PMTUDISC_DONT, PMTUDISC_DO = 0, 2
IP_MTU, IPV6_MTU = 14, 24
UDP_NO_CHECK6_TX = 101

HINTS = {EADDRNOTAVAIL: "; no interface has it", EADDRINUSE: "; another program or instance listens there"}

CONTROL_BUFFER = 4 << 20
DATA_BUFFER = 8 << 20

_MEMINFO = Struct("=9I")
_PKTINFO4 = Struct("=i4s4s")
_PKTINFO6 = Struct("=16si")
_INT = Struct("=i")


_STEP = Struct("=HBBI")


def _t_bit_selector() -> bytes:
    """ldb [0]; jset #0x80: ret 0 (control), else ret 1 (data). An empty datagram ends the program with 0."""
    return b"".join((_STEP.pack(0x30, 0, 0, 0), _STEP.pack(0x45, 0, 1, 0x80), _STEP.pack(0x06, 0, 0, 0),
                     _STEP.pack(0x06, 0, 0, 1)))


def _first_selector() -> bytes:
    """ret 0."""
    return _STEP.pack(0x06, 0, 0, 0)


def _attach_selector(member: socket.socket, program: bytes) -> None:
    """Raises `OSError` where it is not allowed."""
    import ctypes

    steps = ctypes.create_string_buffer(program, len(program))
    member.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
                      Struct("@HP").pack(len(program) // _STEP.size, ctypes.addressof(steps)))


def _set_buffers(member: socket.socket, size: int) -> None:
    for force, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            member.setsockopt(socket.SOL_SOCKET, force, size)
        except OSError:
            with suppress(OSError):
                member.setsockopt(socket.SOL_SOCKET, plain, size)


class UDPListener:
    """See the module docstring. Opening raises `DataPathError`."""

    def __init__(self, identifier: int, address: Address, split: bool = True, connectable: bool = False) -> None:
        self.id = identifier
        self.connectable = connectable
        self.ipv6 = ":" in address[0]
        self.limited: dict[bytes, Inbound] = {}
        """The same for ports with a rate."""
        self.inbound: dict[bytes, Inbound] = {}
        """The short way in: header, PPP header -> port. See `forward`."""
        self.frames: dict[bytes, InboundFrames | Onward] = {}
        """The same for Ethernet of version 3, and for joined ports: the first 8 octets -> port."""
        self.carriers: dict[int, L2TPCarrier] = {}
        """By tunnel id << 16 | session id."""
        self.carriers3: dict[int, L2TPv3Carrier] = {}
        """Those of version 3, by session id."""
        self.tunnels: set[int] = set()
        self.dropped_seen = 0
        self.relayed_lost = 0
        self.control: socket.socket | None = None
        self.relay: socket.socket | None = None
        self._members: dict[tuple[bool, bool], socket.socket] = {}
        self._scope = 0
        try:
            info = socket.getaddrinfo(address[0], address[1], type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        except (OSError, UnicodeError, OverflowError):
            raise DataPathError(INVALID, f"{address[0]} port {address[1]} is not an address") from None
        self._bound: Any = (address[0].partition("%")[0], *info[4][1:])
        self.wildcard = address[0] in ("0.0.0.0", "::")
        try:
            self._open(split)
        except OSError as error:
            self.close()
            code = IN_USE if error.errno == EADDRINUSE else SYSTEM
            hint = HINTS.get(error.errno or 0, "")
            raise DataPathError(code, f"{address[0]} port {address[1]}: {error.strerror}{hint}") from None
        self.address: Address = (address[0], self._bound[1])

    def _socket(self) -> socket.socket:
        member = socket.socket(socket.AF_INET6 if self.ipv6 else socket.AF_INET,
                               socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if self.ipv6:
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._set_df(member, False)
        return member

    def _set_df(self, member: socket.socket, df: bool) -> None:
        value = PMTUDISC_DO if df else PMTUDISC_DONT
        if self.ipv6:
            member.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)
        else:
            member.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, value)

    def _set_checksum(self, member: socket.socket, wanted: bool) -> None:
        if wanted:
            return
        if self.ipv6:
            member.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
        else:
            member.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)

    def _receive_local_address(self, member: socket.socket) -> None:
        if self.ipv6:
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            member.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)

    def _open(self, split: bool) -> None:
        # reuseport would let us join another process's group: only a bind without it tells that the address is taken
        with self._socket() as probe:
            probe.bind(self._bound)
            self._bound = (self._bound[0], probe.getsockname()[1], *self._bound[2:])
        first = self._socket()
        self._members[False, True] = first
        if split:
            try:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _attach_selector(first, _t_bit_selector())
            except OSError:
                split = False
                first.close()
                first = self._members[False, True] = self._socket()
        if split:
            # member 0 must be there first: until the second comes, all goes to it
            del self._members[False, True]
            self.control = first
            self._receive_local_address(first)
            _set_buffers(first, CONTROL_BUFFER)
            first.bind(self._bound)
            self._members[False, True] = self._member(False, True)
            return
        self._receive_local_address(first)
        _set_buffers(first, DATA_BUFFER)
        if self.connectable:
            try:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _attach_selector(first, _first_selector())
            except OSError:
                self.connectable = False
        first.bind(self._bound)
        self._relay_pair()

    def _relay_pair(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        ours.setblocking(False)
        for end in (ours, theirs):
            _set_buffers(end, CONTROL_BUFFER)
        self.relay, self.control = ours, theirs

    def _member(self, df: bool, udp_checksum: bool) -> socket.socket:
        member = self._socket()
        try:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _set_buffers(member, DATA_BUFFER)
            self._set_df(member, df)
            self._set_checksum(member, udp_checksum)
            member.bind(self._bound)
        except OSError:
            member.close()
            raise
        return member

    def connected(self, spec: TunnelSpec, peer: Address) -> socket.socket:
        """A socket of a tunnel of its own: what comes from its peer arrives there alone. Raises `OSError`."""
        address = self.way(spec, peer)[0]
        member = self._socket()
        try:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._receive_local_address(member)
            _set_buffers(member, DATA_BUFFER)
            self._set_df(member, spec.pmtu_discovery)
            self._set_checksum(member, spec.udp_checksum)
            if spec.tos > 0:
                level, kind, value = _tos(spec.tos, self.ipv6)
                member.setsockopt(level, kind, value)
            local = spec.local[0].partition("%")[0] if self.wildcard and spec.local[0] else self._bound[0]
            member.bind((local, *self._bound[1:]))
            member.connect(address)
        except OSError:
            member.close()
            raise
        return member

    @property
    def data(self) -> socket.socket:
        """The socket that data messages arrive on."""
        return self._members[False, True]

    def control_descriptor(self) -> int:
        """A descriptor for the daemon, its own to close."""
        assert self.control is not None
        descriptor = os.dup(self.control.fileno())
        os.set_inheritable(descriptor, False)
        if self.relay is not None:
            self.control.close()  # so that the daemon's closing is seen
        return descriptor

    def close(self) -> None:
        for member in (*self._members.values(), self.control, self.relay):
            if member is not None:
                member.close()

    # -- out --

    def way(self, spec: TunnelSpec, peer: Address) -> Way:
        """See `tunnels.Outlet`. Raises `OSError`, `ValueError`."""
        host = peer[0].partition("%")[0]
        if (":" in host) != self.ipv6:
            raise ValueError(f"peer {peer[0]} is not of the listener's address family")
        if not 0 < peer[1] < 65536:
            raise ValueError(f"{peer[1]} is not a port")
        if not -1 <= spec.tos <= 255:
            raise ValueError(f"{spec.tos} is not a DS field")
        member = self._sending_member(spec.pmtu_discovery, spec.udp_checksum)
        family = socket.AF_INET6 if self.ipv6 else socket.AF_INET
        address: Any = (socket.inet_ntop(family, socket.inet_pton(family, host)), peer[1])
        if self.ipv6:
            packed = socket.inet_pton(family, host)
            link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
            address = (*address, 0, spec.ifindex if link_local else 0)
        ancillary = self._source(spec)
        return address, _sender(member, address, ancillary, self.ipv6), \
            _transmitter(member, address, ancillary, max(spec.tos, 0), self.ipv6)

    def _sending_member(self, df: bool, udp_checksum: bool) -> socket.socket:
        key = (df, udp_checksum)
        if key not in self._members:
            if self.relay is not None and not self.connectable:
                return self.data  # without a group there is only this one
            self._members[key] = self._member(df, udp_checksum)
        return self._members[key]

    def _source(self, spec: TunnelSpec) -> list[tuple[int, int, bytes]]:
        """Ancillary data that make a wildcard socket send from the tunnel's own address."""
        if not self.wildcard or spec.local[0] in ("0.0.0.0", "::", ""):
            return []
        host = spec.local[0].partition("%")[0]
        if self.ipv6:
            packed = socket.inet_pton(socket.AF_INET6, host)
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(packed, 0))]
        return [(socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO4.pack(0, socket.inet_pton(socket.AF_INET, host), bytes(4)))]

    def path_mtu(self, socket_address: Any) -> int:
        """See `tunnels.Outlet`. 0: it cannot be asked now."""
        level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if self.ipv6 else (socket.IPPROTO_IP, IP_MTU)
        try:
            with socket.socket(self.data.family, socket.SOCK_DGRAM) as probe:
                probe.connect(socket_address)
                return probe.getsockopt(level, option)
        except OSError:
            return 0

    # -- relay --

    def relay_control(self, data: bytes, ancillary: list[tuple[int, int, bytes]], source: Any) -> None:
        """Hand a control datagram to the daemon; lost if it does not read."""
        assert self.relay is not None
        local, ifindex = self.address[0], 0
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                ifindex, _, packed = _PKTINFO4.unpack_from(value)
                local = socket.inet_ntop(socket.AF_INET, packed)
            elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                packed, ifindex = _PKTINFO6.unpack_from(value)
                local = socket.inet_ntop(socket.AF_INET6, packed)
        try:
            self.relay.send(relay.encode(data, source[:2], (local, self.address[1]), ifindex))
        except OSError:
            self.relayed_lost += 1

    def send_relayed(self, quota: int, unwatch: Callable[[int], None]) -> None:
        """Send what the daemon gave us; `unwatch` is called when it has closed its end."""
        assert self.relay is not None
        for _ in range(quota):
            try:
                datagram = self.relay.recv(65535 + relay.OVERHEAD)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                unwatch(self.relay.fileno())
                return
            try:
                self._send_relayed(datagram)
            except (OSError, ValueError, WireError, StructError):
                self.relayed_lost += 1

    def _send_relayed(self, datagram: bytes) -> None:
        payload, peer, local, ifindex = relay.decode(datagram)
        spec = TunnelSpec(self.id, local, peer, 0, 0, ifindex=ifindex)
        self.way(spec, peer)[2](payload)

    def kernel_drops(self) -> int:
        """Datagrams dropped for want of room since the last call."""
        option = self.data.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        total = _MEMINFO.unpack(option)[8] if len(option) == _MEMINFO.size else 0
        new, self.dropped_seen = (total - self.dropped_seen) & 0xFFFFFFFF, total
        return new


def _tos(value: int, ipv6: bool) -> tuple[int, int, bytes]:
    if ipv6:
        return (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(value))
    return (socket.IPPROTO_IP, socket.IP_TOS, _INT.pack(value))


def _sender(member: socket.socket, address: Any, ancillary: list, ipv6: bool) -> Callable[[bytes, int], object]:
    sendto, sendmsg = member.sendto, member.sendmsg
    by_tos: dict[int, list] = {}

    def send(datagram: bytes, traffic_class: int) -> object:
        if not traffic_class and not ancillary:
            return sendto(datagram, address)
        messages = by_tos.get(traffic_class)
        if messages is None:
            messages = by_tos[traffic_class] = [*ancillary, _tos(traffic_class, ipv6)] if traffic_class else ancillary
        return sendmsg((datagram,), messages, 0, address)

    return send


def _transmitter(member: socket.socket, address: Any, ancillary: list, tos: int, ipv6: bool
                 ) -> Callable[[bytes], object]:
    sendto, sendmsg = member.sendto, member.sendmsg
    if not ancillary and not tos:
        return lambda datagram: sendto(datagram, address)
    messages = [*ancillary, _tos(tos, ipv6)] if tos else ancillary
    return lambda datagram: sendmsg((datagram,), messages, 0, address)
