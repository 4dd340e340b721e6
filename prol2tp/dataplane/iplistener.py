"""The raw sockets of L2TPv3 over IP, protocol 115 (RFC 3931 section 4.1.1).

One socket receives control and data of an address. What has the Session ID 0 is a control message: it is relayed to the
daemon (`relay`) without those four octets, and with port 0 at both ends.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from errno import EPERM
from typing import Any

from prol2tp.dataplane import relay
from prol2tp.dataplane.interface import INVALID, SYSTEM, Address, DataPathError, TunnelSpec
from prol2tp.dataplane.listener import DATA_BUFFER, UDPListener, _sender, _set_buffers, _transmitter
from prol2tp.dataplane.tunnels import Way

IPPROTO_L2TP = 115
CONTROL = bytes(4)


class IPListener(UDPListener):
    """See the module docstring. Opening raises `DataPathError`; it needs CAP_NET_RAW."""

    def __init__(self, identifier: int, address: Address, split: bool = False) -> None:
        if address[1]:
            raise DataPathError(INVALID, f"L2TP over IP has no ports, not {address[1]}")
        super().__init__(identifier, address, False)

    def _socket(self) -> socket.socket:
        member = socket.socket(socket.AF_INET6 if self.ipv6 else socket.AF_INET,
                               socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, IPPROTO_L2TP)
        self._set_df(member, False)
        return member

    def _open(self, split: bool) -> None:
        try:
            first = self._members[False, True] = self._socket()
        except OSError as error:
            if error.errno == EPERM:
                raise DataPathError(SYSTEM, "L2TP over IP needs CAP_NET_RAW") from None
            raise
        self._receive_local_address(first)
        _set_buffers(first, DATA_BUFFER)
        first.bind(self._bound)
        self._relay_pair()

    def _sending_member(self, df: bool, udp_checksum: bool) -> socket.socket:
        key = (df, True)
        if key not in self._members:
            member = self._members[key] = self._socket()
            _set_buffers(member, DATA_BUFFER)
            # a raw socket that is not read must not receive
            member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            with suppress(OSError):
                member.shutdown(socket.SHUT_RD)
            self._set_df(member, df)
            member.bind(self._bound)
        return self._members[key]

    def way(self, spec: TunnelSpec, peer: Address) -> Way:
        host = peer[0].partition("%")[0]
        if (":" in host) != self.ipv6:
            raise ValueError(f"peer {peer[0]} is not of the listener's address family")
        if not -1 <= spec.tos <= 255:
            raise ValueError(f"{spec.tos} is not a DS field")
        member = self._sending_member(spec.pmtu_discovery, True)
        family = socket.AF_INET6 if self.ipv6 else socket.AF_INET
        packed = socket.inet_pton(family, host)
        text = socket.inet_ntop(family, packed)
        address: Any = (text, 0)
        if self.ipv6:
            link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
            address = (text, 0, 0, spec.ifindex if link_local else 0)
        ancillary = self._source(spec)
        return address, _sender(member, address, ancillary, self.ipv6), \
            _transmitter(member, address, ancillary, max(spec.tos, 0), self.ipv6)

    def payload(self, packet: bytes) -> bytes:
        """What the IP header carries: the kernel gives it along with IPv4."""
        return packet if self.ipv6 or not packet else packet[(packet[0] & 0x0F) * 4:]

    def relay_control(self, data: bytes, ancillary: list[tuple[int, int, bytes]], source: Any) -> None:
        super().relay_control(data[len(CONTROL):], ancillary, (source[0], 0))

    def _send_relayed(self, datagram: bytes) -> None:
        payload, peer, local, ifindex = relay.decode(datagram)
        spec = TunnelSpec(self.id, local, peer, 0, 0, ifindex=ifindex)
        self.way(spec, peer)[2](CONTROL + payload)
