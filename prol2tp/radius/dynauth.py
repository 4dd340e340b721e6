"""Dynamic authorization (RFC 5176): the server of Disconnect-Request and CoA-Request.

Who may ask is a table of networks and secrets; what is asked is verified by its authenticator, its
Message-Authenticator if it has one, and its Event-Timestamp; what was asked before is answered from the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.radius import packets
from prol2tp.radius.answer import Answer, read
from prol2tp.radius.attributes import SERVICE_TYPES
from prol2tp.radius.counters import DynamicCounters
from prol2tp.radius.dictionary import ATTRIBUTES, Key, key, named_values
from prol2tp.radius.outputs import Asked, Discarded, Output, Respond
from prol2tp.radius.values import DECODE

ERROR_CAUSES = named_values("Error-Cause")
CAUSE_NAMES = {number: name for name, number in ERROR_CAUSES.items()}
UNSUPPORTED_ATTRIBUTE = ERROR_CAUSES["Unsupported-Attribute"]
MISSING_ATTRIBUTE = ERROR_CAUSES["Missing-Attribute"]
NAS_IDENTIFICATION_MISMATCH = ERROR_CAUSES["NAS-Identification-Mismatch"]
INVALID_REQUEST = ERROR_CAUSES["Invalid-Request"]
UNSUPPORTED_SERVICE = ERROR_CAUSES["Unsupported-Service"]
INVALID_ATTRIBUTE_VALUE = ERROR_CAUSES["Invalid-Attribute-Value"]
SESSION_CONTEXT_NOT_FOUND = ERROR_CAUSES["Session-Context-Not-Found"]
SESSION_CONTEXT_NOT_REMOVABLE = ERROR_CAUSES["Session-Context-Not-Removable"]
RESOURCES_UNAVAILABLE = ERROR_CAUSES["Resources-Unavailable"]
MULTIPLE_SESSIONS = ERROR_CAUSES["Multiple-Session-Selection-Unsupported"]

Address = tuple[str, int]


@dataclass(slots=True)
class DynamicClient:
    """Who may ask."""

    network: str
    """Address or prefix, as text; the longest that holds the sender counts."""
    secret: bytes = field(repr=False)
    require_message_authenticator: bool = False
    require_event_timestamp: bool = False


@dataclass(slots=True)
class DynamicSettings:
    window: float = 300.0
    """Seconds by which an Event-Timestamp may differ from our clock (RFC 5176 section 6.3)."""
    cache_time: float = 30.0
    """Seconds for which a request is remembered (RFC 5080 section 2.2.2); longer than its sender repeats it."""
    max_cached: int = 32768
    """Requests that are remembered; beyond it new ones are dropped."""


@dataclass(slots=True)
class Identification:
    """What names the session or sessions (RFC 5176 section 3): all that are given must match."""

    user_name: str = ""
    acct_session_id: str = ""
    acct_multi_session_id: str = ""
    framed_ip_address: str = ""
    framed_interface_id: int | None = None
    framed_ipv6_prefix: str = ""
    framed_ipv6_address: str = ""
    delegated_ipv6_prefix: str = ""
    called_station_id: str = ""
    calling_station_id: str = ""
    nas_port: int | None = None
    nas_port_id: str = ""
    chargeable_user_identity: bytes = b""


@dataclass(slots=True)
class DynamicRequest:
    """A verified request."""

    disconnect: bool
    """False: CoA."""
    client: Address
    local: Address
    """Where it was sent to."""
    session: Identification
    nas_ip_address: str = ""
    nas_ipv6_address: str = ""
    nas_identifier: str = ""
    changes: Answer = field(default_factory=Answer)
    """CoA: what the session is to have from now on; only what is set changes."""


_SESSION = {
    "User-Name": "user_name",
    "Acct-Session-Id": "acct_session_id",
    "Acct-Multi-Session-Id": "acct_multi_session_id",
    "Framed-IP-Address": "framed_ip_address",
    "Framed-Interface-Id": "framed_interface_id",
    "Framed-IPv6-Prefix": "framed_ipv6_prefix",
    "Framed-IPv6-Address": "framed_ipv6_address",
    "Delegated-IPv6-Prefix": "delegated_ipv6_prefix",
    "Called-Station-Id": "called_station_id",
    "Calling-Station-Id": "calling_station_id",
    "NAS-Port": "nas_port",
    "NAS-Port-Id": "nas_port_id",
    "Chargeable-User-Identity": "chargeable_user_identity",
}
_NAS = {
    "NAS-IP-Address": "nas_ip_address",
    "NAS-IPv6-Address": "nas_ipv6_address",
    "NAS-Identifier": "nas_identifier",
}


def _table(names: dict[str, str]) -> dict[Key, tuple[str, Any]]:
    return {ATTRIBUTES[name].key: (to, DECODE[ATTRIBUTES[name].type]) for name, to in names.items()}


_READ_SESSION = _table(_SESSION)
_READ_NAS = _table(_NAS)
_EVENT_TIMESTAMP = key("Event-Timestamp")
_SERVICE_TYPE = key("Service-Type")
_ERROR_CAUSE = key("Error-Cause")
_AUTHORIZE_ONLY = SERVICE_TYPES["Authorize-Only"].to_bytes(4, "big")
_NO_CHANGE = frozenset((_EVENT_TIMESTAMP, packets.MESSAGE_AUTHENTICATOR, packets.PROXY_STATE, *_READ_NAS))
_ACK = {packets.DISCONNECT_REQUEST: packets.DISCONNECT_ACK, packets.COA_REQUEST: packets.COA_ACK}
_NAK = {packets.DISCONNECT_REQUEST: packets.DISCONNECT_NAK, packets.COA_REQUEST: packets.COA_NAK}


_MOST_TOLD = 100
"""Senders and reasons of which `Discarded` is said, until clients change."""


class Refused(Exception):
    """A verified request that we answer with a NAK. `why`, for the log, adds to the Error-Cause."""

    def __init__(self, cause: int, why: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.why = why


class _Pending:
    """A request that was seen: `response` is empty until it is answered."""

    __slots__ = ("packet", "peer", "local", "seen_at", "signed", "response", "handle")

    def __init__(self, packet: packets.Packet, peer: Address, local: Address, seen_at: float, signed: bool) -> None:
        self.packet: packets.Packet | None = packet
        self.peer = peer
        self.local = local
        self.seen_at = seen_at
        self.signed = signed
        """The request has a Message-Authenticator; so gets the reply."""
        self.response = b""
        self.handle = 0


class DynamicAuthorization:
    """Sans I/O. Drain `outputs()` after every call. Keeps no deadline: the cache is aged by what comes in.

    :raises ValueError: for a network that is none.
    """

    def __init__(self, clients: Sequence[DynamicClient], settings: DynamicSettings | None = None) -> None:
        self.settings = settings or DynamicSettings()
        self.counters = DynamicCounters()
        self._seen: OrderedDict[tuple[Address, bytes], _Pending] = OrderedDict()
        self._open: dict[int, _Pending] = {}
        self._handles = 0
        self._outputs: list[Output] = []
        self._told: set[tuple[str, str]] = set()
        self.set_clients(clients)

    def set_clients(self, clients: Sequence[DynamicClient]) -> None:
        """Who may ask from now on. Raises `ValueError` for a network that is none."""
        self._told.clear()
        networks = [(ip_network(client.network, strict=False), client) for client in clients]
        self._clients = sorted(networks, key=lambda row: -row[0].prefixlen)

    def receive(self, data: bytes, peer: Address, local: Address, wall: float, now: float) -> None:
        """A datagram. `wall` is the time of day, in seconds since 1970."""
        client = self._client(peer[0])
        if client is None:
            self._discard("unknown_client", peer, "it is not in the network of any client")
            return
        try:
            packet = packets.decode(data, client.secret)
        except WireError as error:
            self._discard("malformed", peer, f"malformed: {error}")
            return
        if packet.code not in _ACK:
            self._discard("malformed", peer, f"code {packet.code} is no Disconnect-Request and no CoA-Request")
            return
        signed = packets.MESSAGE_AUTHENTICATOR in packet
        if not packets.request_verified(packet):
            self._discard("bad_authenticator", peer, "not signed with the secret of this client")
            return
        if client.require_message_authenticator and not signed:
            self._discard("bad_authenticator", peer, "no Message-Authenticator")
            return
        self._age(now)
        name = (peer, packets.digest(packet.raw_packet))
        before = self._seen.get(name)
        if before is not None:
            self.counters.duplicates += 1
            if before.response:
                self._outputs.append(Respond(before.response, peer, local))
            return
        if not self._timely(packet, client, wall):
            self._discard("outside_window", peer, "Event-Timestamp is missing or too far from our clock")
            return
        if len(self._seen) >= self.settings.max_cached:
            self._discard("overload", peer, "too many requests")
            return
        self._take(name, _Pending(packet, peer, local, now, signed))

    def acknowledge(self, handle: int, now: float) -> None:
        """It was done. A handle that is not open (any more) is no error."""
        self._answer(handle, _ACK, None)

    def refuse(self, handle: int, cause: int, now: float) -> None:
        """It was not done: NAK with an Error-Cause (RFC 5176 section 3.5)."""
        self._answer(handle, _NAK, cause)

    def outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def deadline(self) -> float | None:
        return None

    def timeout(self, now: float) -> None:
        """Nothing is ever due."""

    def _discard(self, counter: str, peer: Address, reason: str) -> None:
        setattr(self.counters, counter, getattr(self.counters, counter) + 1)
        # senders may be forged: there is an end to what is said about them
        if len(self._told) < _MOST_TOLD and (peer[0], counter) not in self._told:
            self._told.add((peer[0], counter))
            self._outputs.append(Discarded(peer, reason))

    def _client(self, host: str) -> DynamicClient | None:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return None
        for network, client in self._clients:
            if address in network:
                return client
        return None

    def _timely(self, packet: packets.Packet, client: DynamicClient, wall: float) -> bool:
        stamps = packet.get(_EVENT_TIMESTAMP)
        if not stamps:
            return not client.require_event_timestamp
        return len(stamps[0]) == 4 and abs(int.from_bytes(stamps[0], "big") - wall) <= self.settings.window

    def _age(self, now: float) -> None:
        oldest = now - self.settings.cache_time
        while self._seen:
            name, pending = next(iter(self._seen.items()))
            if pending.seen_at > oldest:
                return
            del self._seen[name]
            self._open.pop(pending.handle, None)

    def _take(self, name: tuple[Address, bytes], pending: _Pending) -> None:
        packet, counters = pending.packet, self.counters
        assert packet is not None
        if packet.code == packets.DISCONNECT_REQUEST:
            counters.disconnect_requests += 1
        else:
            counters.coa_requests += 1
        self._handles += 1
        pending.handle = self._handles
        self._seen[name] = pending
        self._open[pending.handle] = pending
        try:
            self._outputs.append(Asked(pending.handle, _request(packet, pending.peer, pending.local)))
        except Refused as refused:
            self._answer(pending.handle, _NAK, refused.cause)

    def _answer(self, handle: int, codes: dict[int, int], cause: int | None) -> None:
        pending = self._open.pop(handle, None)
        if pending is None or pending.packet is None:
            return
        packet = pending.packet
        rows: packets.Attributes = [(packets.PROXY_STATE, value) for value in packet.get(packets.PROXY_STATE, ())]
        if cause is not None:
            rows.append((_ERROR_CAUSE, cause.to_bytes(4, "big")))
            # RFC 5176 section 3.2: a NAK to Authorize Only repeats it
            if packet.get(_SERVICE_TYPE) == [_AUTHORIZE_ONLY]:
                rows.append((6, _AUTHORIZE_ONLY))
        pending.response = packets.reply(
            codes[packet.code], packet.id, packet.authenticator, packet.secret, rows, pending.signed
        )
        pending.packet = None
        if packet.code == packets.DISCONNECT_REQUEST:
            self.counters.disconnect_responses += 1
        else:
            self.counters.coa_responses += 1
        self._outputs.append(Respond(pending.response, pending.peer, pending.local))


def _request(packet: packets.Packet, peer: Address, local: Address) -> DynamicRequest:
    """Raises `Refused`."""
    disconnect = packet.code == packets.DISCONNECT_REQUEST
    if packet.get(_SERVICE_TYPE) == [_AUTHORIZE_ONLY]:
        raise Refused(UNSUPPORTED_SERVICE)
    request = DynamicRequest(disconnect, peer, local, Identification())
    changes: packets.Attributes = []
    named = False
    try:
        for attribute, value in packets.attributes(packet):
            if attribute in _READ_NAS:
                name, decode = _READ_NAS[attribute]
                setattr(request, name, decode(value))
            elif attribute in _READ_SESSION:
                name, decode = _READ_SESSION[attribute]
                setattr(request.session, name, decode(value))
                named = True
            elif attribute not in _NO_CHANGE:
                changes.append((attribute, value))
        if not disconnect:
            request.changes = read(packet, changes)
    except WireError:
        raise Refused(INVALID_ATTRIBUTE_VALUE) from None
    if not named:
        raise Refused(MISSING_ATTRIBUTE)
    return request
