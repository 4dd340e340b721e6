"""A DHCPv6 client for one IA_NA and one IA_PD, small and strict, and packets as a subscriber sends them."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from prol2tp.ipv6 import dhcpv6, icmpv6, packet
from prol2tp.ipv6.dhcpv6 import IA, Item, Message
from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.ra import AdvertisedPrefix, AdvertiserSettings
from prol2tp.ipv6.server import ALL_AGENTS, DHCPv6Server, ServerSettings

OURS = "fe80::1"
THEIRS = "fe80::2"
THEIR_OCTETS = IPv6Address(THEIRS).packed
DUID = b"\0\x04" + bytes(range(16))
CLIENT = b"\0\x03\0\x01\x02\0\0\0\0\x01"
ADDRESS = "2001:db8:ffff::7"
PREFIX = "2001:db8:100::/56"

SETTINGS = ServerSettings(DUID, dns=("2001:db8::53", "2001:db8::54"), domains=("example.net", "corp.example"))
LEASE = Lease((ADDRESS,), (PREFIX,), 1000, 2000)
ADVERTISED = AdvertiserSettings(
    prefixes=(AdvertisedPrefix("2001:db8:1:2::/64", 7200, 3600),),
    other=True,
    mtu=1460,
    dns=("2001:db8::53",),
    domains=("example.net",),
)


def server(lease: Lease = LEASE, settings: ServerSettings = SETTINGS) -> DHCPv6Server:
    return DHCPv6Server(settings, lease, OURS, 0.0)


def sent(message: Message, source: str = THEIRS, destination: bytes = ALL_AGENTS) -> bytes:
    """A client's message as an IPv6 packet."""
    octets = IPv6Address(source).packed
    return packet.udp(octets, destination, dhcpv6.CLIENT_PORT, dhcpv6.SERVER_PORT, dhcpv6.encode(message))


def received(data: bytes) -> Message:
    """A server's packet as its client reads it."""
    seen = packet.read(data)
    assert (seen.source, seen.destination) == (IPv6Address(OURS).packed, THEIR_OCTETS)
    source, destination, body = packet.read_udp(seen)
    assert (source, destination) == (547, 546)
    return dhcpv6.decode(body)


def solicitation(source: bytes = THEIR_OCTETS) -> bytes:
    body = icmpv6.encode_solicitation(icmpv6.RouterSolicitation())
    return icmpv6.message(source, packet.ALL_ROUTERS, icmpv6.ROUTER_SOLICITATION, body)


class Client:
    """SOLICIT, REQUEST, then RENEW at T1 and REBIND at T2, each repeated every second until answered; asks for all."""

    def __init__(self, duid: bytes = CLIENT, rapid: bool = False) -> None:
        self.duid, self.rapid = duid, rapid
        self.state = "SOLICIT"
        self.server_id = b""
        self.address: IA | None = None
        self.prefix: IA | None = None
        self.bound_at = 0.0
        self.next_at: float | None = 0.0
        self.transaction = 1
        self.waits_for = 0
        self.replies = 0

    def _message(self, kind: int) -> Message:
        return Message(kind, self.transaction, self.duid, addresses=(self.address or IA(1),),
                       prefixes=(self.prefix or IA(2),), requested=(23, 24))

    def _begin(self, state: str, now: float) -> None:
        self.state = state
        self.transaction += 1
        self.next_at = now

    def timeout(self, now: float) -> bytes:
        """The packet to send; only when `next_at` has come."""
        if self.state == "BOUND":
            self._begin("RENEW", now)
        if self.state in ("RENEW", "REBIND"):
            assert self.address is not None
            if now >= self.bound_at + self.address.items[0].valid_lifetime:
                self.address = self.prefix = None
                self._begin("SOLICIT", now)
            elif self.state == "RENEW" and now >= self.bound_at + self.address.t2:
                self._begin("REBIND", now)
        self.next_at = now + 1.0
        message = self._message(getattr(dhcpv6, self.state))
        if self.state in ("REQUEST", "RENEW"):
            message.server_id = self.server_id
        message.rapid_commit = self.state == "SOLICIT" and self.rapid
        return sent(message)

    def receive(self, data: bytes, now: float) -> None:
        message = received(data)
        if message.transaction_id != self.transaction or self.state == "BOUND":
            return  # an answer to something older, or doubled
        assert message.client_id == self.duid
        assert message.server_id == DUID
        if message.type == dhcpv6.ADVERTISE and self.state == "SOLICIT":
            self.server_id = message.server_id
            self.address, self.prefix = message.addresses[0], message.prefixes[0]
            self._begin("REQUEST", now)
        elif message.type == dhcpv6.REPLY and (self.state != "SOLICIT" or message.rapid_commit):
            self.server_id = message.server_id
            self._replied(message, now)

    def _replied(self, message: Message, now: float) -> None:
        (self.address,), (self.prefix,) = message.addresses, message.prefixes
        if self.address.status or self.prefix.status or not self.address.items[0].valid_lifetime:
            self.address = self.prefix = None
            self._begin("SOLICIT", now)
            return
        self.replies += 1
        self.state = "BOUND"
        self.bound_at = now
        self.next_at = now + self.address.t1


def texts(items: tuple[Item, ...]) -> list[str]:
    return [f"{IPv6Address(item.octets)}/{item.length}" for item in items]


def exchange(core: DHCPv6Server, message: Message, now: float = 0.0) -> tuple[list[Any], Message]:
    """Outputs before the answer, and the answer."""
    assert core.receive(sent(message), now)
    *changes, answer = core.outputs()
    return changes, received(answer.packet)
