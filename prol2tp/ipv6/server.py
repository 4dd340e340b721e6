"""A DHCPv6 server for one point-to-point link (RFC 8415 section 18.3): addresses (IA_NA), delegated prefixes (IA_PD)
and configuration, out of the lease that the owner of the link gives.

Not served: relay agents, temporary addresses, authentication, Reconfigure. Packets are answered from our link-local
address, port 547, to the client's, port 546.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

from prol2tp.common.bucket import Bucket
from prol2tp.common.wire import WireError
from prol2tp.ipv6 import dhcpv6, names, packet
from prol2tp.ipv6.dhcpv6 import IA, Item, Message, Status
from prol2tp.ipv6.leases import Lease, Leases, Resource
from prol2tp.ipv6.outputs import AddressDeclined, Output, SendPacket

ALL_AGENTS = IPv6Address("ff02::1:2").packed
"""All_DHCP_Relay_Agents_and_Servers, RFC 8415 section 7.1."""
ANSWERS_AT_ONCE = 20
ANSWER_INTERVAL = 0.25
"""A client repeats once a second at most (RFC 8415 section 7.6); all above this is a fault or worse."""
VERSION = 1


@dataclass(slots=True)
class ServerSettings:
    duid: bytes
    """Ours (RFC 8415 section 11), the same for all links and over restarts."""
    dns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    rapid_commit: bool = True
    preference: int = 255
    """255: the client takes our Advertise without waiting for others, of which there are none. 0: not said."""
    refresh_time: int = 86400
    """Seconds after which a client asks again by Information-request; 0: not said."""

    def check(self) -> None:
        """Raises `ValueError`."""
        if not 2 < len(self.duid) <= dhcpv6.DUID_MAX:
            raise ValueError(f"DUID of {len(self.duid)} octets")
        if not 0 <= self.preference <= 255:
            raise ValueError("preference: from 0 to 255")
        if self.refresh_time and self.refresh_time < 600:
            raise ValueError("refresh_time: 0, or from 600 seconds")  # RFC 8415 section 21.23: IRT_MINIMUM
        for server in self.dns:
            IPv6Address(server)
        names.encode(self.domains)


@dataclass(slots=True)
class ServerCounters:
    received: int = 0
    sent: int = 0
    relayed: int = 0
    """From a relay agent: dropped."""
    dropped: int = 0
    """Sound, but not for us, or not to be answered."""
    limited: int = 0
    """Above the rate of a client in its right mind."""
    bad: int = 0
    last_bad: str = ""


class DHCPv6Server:
    """One link's server.

    :param local: our link-local address on the link.

    Raises `ValueError` for settings or a lease that cannot be sent.
    """

    __slots__ = ("settings", "counters", "leases", "_local", "_outputs", "_running", "_bucket")

    def __init__(self, settings: ServerSettings, lease: Lease, local: str, now: float) -> None:
        settings.check()
        self.settings = settings
        self.counters = ServerCounters()
        self._local = IPv6Address(local).packed
        self._outputs: list[Output] = []
        self.leases = Leases(lease, self._outputs)
        self._running = True
        self._bucket = Bucket(ANSWERS_AT_ONCE, ANSWER_INTERVAL, now)

    def update(self, settings: ServerSettings, lease: Lease, now: float) -> None:
        """What the lease does not have any more is released at once; the client hears it when it renews."""
        settings.check()
        self.leases.replace(lease)
        self.settings = settings

    def close(self, now: float) -> None:
        """The link is down: all is released, nothing is answered any more."""
        self._running = False
        self.leases.clear()

    def receive(self, data: bytes, now: float) -> bool:
        """One IPv6 packet from the subscriber; whether it was for a DHCPv6 server."""
        if packet.protocol_of(data) != packet.UDP:
            return False
        try:
            seen = packet.read(data)
            if seen.payload[2:4] != b"\x02\x23":
                return False
            _, _, body = packet.read_udp(seen)
            self.counters.received += 1
            self._message(seen, body, now)
        except WireError as error:
            self.counters.bad += 1
            self.counters.last_bad = str(error)
        return True

    def _message(self, seen: packet.Packet, body: bytes, now: float) -> None:
        kind = dhcpv6.message_type(body)
        if kind in (dhcpv6.RELAY_FORW, dhcpv6.RELAY_REPL):
            self.counters.relayed += 1
            return
        rule = _RULES.get(kind)
        if rule is None or not self._running or not packet.is_link_local(seen.source):
            self.counters.dropped += 1
            return
        if not self._bucket.take(now):
            self.counters.limited += 1
            return
        message = dhcpv6.decode(body)
        if not self._valid(rule, message):
            self.counters.dropped += 1
            return
        self.leases.expire(now)
        reply = Message(dhcpv6.REPLY, message.transaction_id, message.client_id, self.settings.duid)
        if seen.destination != ALL_AGENTS:
            # RFC 8415 section 18.4; we never send a Server Unicast option
            answer = rule.names_server is True
            reply.status = Status(dhcpv6.USE_MULTICAST)
        else:
            answer = rule.action(self, message, reply, now)
        if not answer:
            self.counters.dropped += 1
            return
        self.counters.sent += 1
        self._outputs.append(
            SendPacket(
                packet.udp(
                    self._local, seen.source, dhcpv6.SERVER_PORT, dhcpv6.CLIENT_PORT, dhcpv6.encode(reply)
                )
            )
        )

    def _valid(self, rule: _Rule, message: Message) -> bool:
        """RFC 8415 section 16."""
        if rule.names_client and not message.client_id:
            return False
        if rule.names_server is None:
            return not message.server_id or message.server_id == self.settings.duid
        return message.server_id == (self.settings.duid if rule.names_server else b"")

    # what is done for each message; whether there is a reply

    def _solicit(self, message: Message, reply: Message, now: float) -> bool:
        if message.rapid_commit and self.settings.rapid_commit:
            reply.rapid_commit = True
            return self._assign(message, reply, now)
        reply.type = dhcpv6.ADVERTISE
        if self.settings.preference:
            reply.preference = self.settings.preference
        reply.addresses, reply.prefixes = (
            tuple(self._offer(message, delegated, True, None)) for delegated in (False, True)
        )
        self._configure(message, reply)
        return True

    def _request(self, message: Message, reply: Message, now: float) -> bool:
        strange = [ia for ia in message.addresses if self._strange(ia, False)]
        message.addresses = tuple(ia for ia in message.addresses if ia not in strange)
        self._assign(message, reply, now)
        reply.addresses += tuple(IA(ia.iaid, status=Status(dhcpv6.NOT_ON_LINK)) for ia in strange)
        return True

    def _assign(self, message: Message, reply: Message, now: float) -> bool:
        reply.addresses, reply.prefixes = (
            tuple(self._offer(message, delegated, True, now)) for delegated in (False, True)
        )
        self._configure(message, reply)
        return True

    def _confirm(self, message: Message, reply: Message, now: float) -> bool:
        """RFC 8415 section 18.3.3: whether addresses fit the link; not whether they are still leased."""
        if not any(ia.items for ia in message.addresses):
            return False
        fits = not any(self._strange(ia, False) for ia in message.addresses)
        reply.status = Status(dhcpv6.SUCCESS if fits else dhcpv6.NOT_ON_LINK)
        return True

    def _renew(self, message: Message, reply: Message, now: float) -> bool:
        """Renew and Rebind, sections 18.3.4 and 18.3.5. Nobody else serves this link, so that what is free may be bound
        anew, as after a restart without a record."""
        reply.addresses, reply.prefixes = (
            tuple(self._renewed(message, delegated, now)) for delegated in (False, True)
        )
        self._configure(message, reply)
        return True

    def _release(self, message: Message, reply: Message, now: float) -> bool:
        reply.addresses, reply.prefixes = (
            tuple(self._given_back(message, delegated)) for delegated in (False, True)
        )
        reply.status = Status(dhcpv6.SUCCESS)
        return True

    def _decline(self, message: Message, reply: Message, now: float) -> bool:
        before = set(self.leases.bindings)
        reply.addresses = tuple(self._given_back(message, False))
        for resource in before.difference(self.leases.bindings):
            self.leases.declined.add(resource)
            self._outputs.append(AddressDeclined(resource.text()))
        reply.status = Status(dhcpv6.SUCCESS)
        return True

    def _information_request(self, message: Message, reply: Message, now: float) -> bool:
        if message.addresses or message.prefixes:
            return False  # RFC 8415 section 16.12
        self._configure(message, reply)
        wanted = message.requested is None or dhcpv6.OPTION_INFORMATION_REFRESH_TIME in message.requested
        if wanted and self.settings.refresh_time:
            reply.refresh_time = self.settings.refresh_time
        return True

    # parts of replies

    def _configure(self, message: Message, reply: Message) -> None:
        """What the client asks for; a client that sends no list gets all."""
        wanted = message.requested
        if wanted is None or dhcpv6.OPTION_DNS_SERVERS in wanted:
            reply.dns = tuple(IPv6Address(server).packed for server in self.settings.dns)
        if wanted is None or dhcpv6.OPTION_DOMAIN_LIST in wanted:
            reply.domains = self.settings.domains

    def _offer(self, message: Message, delegated: bool, take_over: bool, now: float | None) -> list[IA]:
        """Every IA with what it may have, bound if there is a `now`."""
        ias = message.prefixes if delegated else message.addresses
        if not ias:
            return []
        offered = []
        for ia, given in zip(ias, self.leases.allot(message.client_id, ias, delegated, take_over), strict=True):
            if now is not None:
                for resource in given:
                    self.leases.bind(resource, message.client_id, ia.iaid, now)
            offered.append(self._filled(ia, given) if given else IA(ia.iaid))
            if not given:
                none = dhcpv6.NO_PREFIX_AVAIL if delegated else dhcpv6.NO_ADDRS_AVAIL
                offered[-1].status = Status(none)
        return offered

    def _filled(self, ia: IA, given: list[Resource]) -> IA:
        lease = self.leases.lease
        items = tuple(
            Item(one.octets, one.length, lease.preferred_lifetime, lease.valid_lifetime) for one in given
        )
        return IA(ia.iaid, *lease.times(), items)

    def _renewed(self, message: Message, delegated: bool, now: float) -> list[IA]:
        ias = message.prefixes if delegated else message.addresses
        renewed = []
        for ia, answer in zip(ias, self._offer(message, delegated, False, now), strict=True):
            # lifetimes of 0: not to be used any more
            gone = tuple(Item(item.octets, item.length) for item in self._strange(ia, delegated))
            answer.items += gone
            if answer.status is not None:
                answer.status = None if gone else Status(dhcpv6.NO_BINDING)
            renewed.append(answer)
        return renewed

    def _strange(self, ia: IA, delegated: bool) -> list[Item]:
        """What the client names and this link does not have; the unspecified address only names a length."""
        ours = self.leases.resources
        return [
            item for item in ia.items
            if item.octets != packet.UNSPECIFIED and Resource(delegated, item.octets, item.length) not in ours
        ]

    def _given_back(self, message: Message, delegated: bool) -> list[IA]:
        """Unbind what the IAs name and hold; those that hold nothing are answered (RFC 8415 section 18.3.7)."""
        unknown = []
        for ia in message.prefixes if delegated else message.addresses:
            held = list(self.leases.held(message.client_id, ia, delegated))
            if not held:
                unknown.append(IA(ia.iaid, status=Status(dhcpv6.NO_BINDING)))
            named = {(item.octets, item.length) for item in ia.items}
            for resource in held:
                if (resource.octets, resource.length) in named:
                    self.leases.release(resource)
        return unknown

    # time, outputs, restart

    def timeout(self, now: float) -> None:
        self.leases.expire(now)

    def deadline(self) -> float | None:
        return self.leases.deadline()

    def outputs(self) -> list[Output]:
        outputs = self._outputs[:]
        self._outputs.clear()
        return outputs

    def to_record(self, now: float) -> dict[str, Any]:
        return {"version": VERSION, "running": self._running, **self.leases.to_record(now)}

    @classmethod
    def from_record(
        cls, record: dict[str, Any], settings: ServerSettings, lease: Lease, local: str, now: float
    ) -> DHCPv6Server:
        """Bindings go on, without outputs for them. Raises `ValueError` or `KeyError` for what `to_record` has not
        written."""
        if record["version"] != VERSION:
            raise ValueError(f"record of version {record['version']}")
        server = cls(settings, lease, local, now)
        server._running = record["running"]
        server.leases.restore(record, now)
        return server


@dataclass(slots=True)
class _Rule:
    """How a message must be (RFC 8415 section 16) and what is done then."""

    names_client: bool
    names_server: bool | None
    """True: must name us; False: must name no server; None: us or none."""
    action: Callable[[DHCPv6Server, Message, Message, float], bool]


_RULES = {
    dhcpv6.SOLICIT: _Rule(True, False, DHCPv6Server._solicit),
    dhcpv6.REQUEST: _Rule(True, True, DHCPv6Server._request),
    dhcpv6.CONFIRM: _Rule(True, False, DHCPv6Server._confirm),
    dhcpv6.RENEW: _Rule(True, True, DHCPv6Server._renew),
    dhcpv6.REBIND: _Rule(True, False, DHCPv6Server._renew),
    dhcpv6.RELEASE: _Rule(True, True, DHCPv6Server._release),
    dhcpv6.DECLINE: _Rule(True, True, DHCPv6Server._decline),
    dhcpv6.INFORMATION_REQUEST: _Rule(False, None, DHCPv6Server._information_request),
}
