"""The RADIUS client: all requests, all servers.

A request waits for its turn (the cap on requests under way), is sent to the best server of its realm, again and again
by RFC 5080, then to the next server. A server that answered nothing while a request used up its tries there is dead:
all that wait for it go on to others at once, and it is asked by Status-Server (RFC 5997) until it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from pyrad.packet import Packet

from prol2tp.common.deadlines import Deadlines
from prol2tp.common.wire import WireError
from prol2tp.radius import packets
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import OF_THE_NAS, AccountingRequest
from prol2tp.radius.answer import Answer, Malformed, read
from prol2tp.radius.attributes import NAS, Nas, write
from prol2tp.radius.counters import Counters
from prol2tp.radius.exchange import Exchange, Line, interval
from prol2tp.radius.outputs import (
    Accepted,
    AccountingAcknowledged,
    AnswerDropped,
    Challenged,
    CloseLane,
    NoAnswer,
    OpenLane,
    Output,
    Rejected,
    ServerAlive,
    ServerDead,
    Transmit,
)
from prol2tp.radius.servers import KINDS, Kind, Lane, ServerSettings, Service, Services, Waiting, realm_of

_CODES: dict[str, tuple[int, ...]] = {
    "auth": (packets.ACCESS_ACCEPT, packets.ACCESS_REJECT, packets.ACCESS_CHALLENGE),
    "acct": (packets.ACCOUNTING_RESPONSE,),
}
_REQUEST_CODE = {"auth": packets.ACCESS_REQUEST, "acct": packets.ACCOUNTING_REQUEST}
TOLD_AGAIN = 60.0
"""Seconds in which a server's bad answers are told once."""
_COUNTED = {"Start": "accounting_starts", "Stop": "accounting_stops", "Interim-Update": "accounting_updates"}


@dataclass(slots=True)
class ClientSettings:
    """Times are seconds."""

    duration: float = 30.0
    """MRD of RFC 5080: the longest that a request lasts, waiting for its turn included."""
    max_in_progress: int = 512
    """Requests under way at once, for authentication and for accounting each: what a server is thought to bear."""
    max_queue: int = 20_000
    """Requests that wait for their turn, for each; more are refused."""


class RadiusClient:
    """Sans I/O. Drain `outputs()` after every call.

    :param random_bytes: the random source: authenticators and jitter.
    :param nas: who we are, for Status-Server.
    :raises ValueError: for a server whose address is none, or two of one name.
    """

    def __init__(
        self,
        servers: Sequence[ServerSettings],
        random_bytes: Callable[[int], bytes],
        now: float = 0.0,
        settings: ClientSettings | None = None,
        nas: Nas | None = None,
    ) -> None:
        self.settings = settings or ClientSettings()
        self.nas = nas or Nas()
        self.counters = Counters()
        self.services: dict[tuple[str, Kind], Service] = {}
        self._random_bytes = random_bytes
        self._lines: dict[Kind, Line] = {kind: Line() for kind in KINDS}
        self._lanes: dict[int, Lane] = {}
        self._exchanges: dict[int, Exchange] = {}
        self._deadlines = Deadlines()
        self._outputs: list[Output] = []
        self._handles = 0
        self._lane_numbers = 0
        self.set_servers(servers, now)

    # commands

    def set_servers(self, servers: Sequence[ServerSettings], now: float) -> None:
        """Replace all servers. One that stays as it is keeps its state; what waits for one that goes is asked of
        another."""
        if len({server.name for server in servers}) != len(servers):
            raise ValueError("two servers of one name")
        wanted: dict[tuple[str, Kind], Service] = {}
        for server in servers:
            ip_address(server.address)
            for kind in KINDS:
                if server.port(kind):
                    old = self.services.get((server.name, kind))
                    kept = old if old is not None and old.settings == server else None
                    wanted[server.name, kind] = kept or Service(server, kind, now)
        leaving = [service for service in self.services.values() if service not in wanted.values()]
        self.services = wanted
        self._groups = Services(wanted.values(), self._random_bytes)
        for service in leaving:
            self._remove(service, now)

    def request(self, record: AccessRequest | AccountingRequest, now: float, prefer: str = "") -> int:
        """Ask. `prefer` names the server of an earlier Challenge. The answer comes as an output with this handle."""
        self._handles += 1
        exchange = Exchange(self._handles, record, prefer, now, self.settings.duration)
        self._exchanges[exchange.handle] = exchange
        problem = record.problem()
        line = self._lines[exchange.kind]
        if problem:
            self._cannot_be_sent(exchange, problem, now, unsendable=True)
        elif line.in_progress < self.settings.max_in_progress:
            self._give_turn(exchange, line, now)
        elif line.queued >= self.settings.max_queue:
            self._cannot_be_sent(exchange, "too many requests wait", now)
        else:
            exchange.state = "queued"
            line.waiting.append(exchange)
            line.queued += 1
            self._deadlines.set(exchange, exchange.ends_at)
        return exchange.handle

    def cancel(self, handle: int, now: float) -> None:
        """Nobody waits for the answer any more."""
        exchange = self._exchanges.get(handle)
        if exchange is not None:
            self._over(exchange, None, now)

    # what the network says

    def receive(self, data: bytes, lane: int, peer: tuple[str, int], now: float) -> None:
        """A datagram on a lane; `peer` is where it came from, the address as `inet_ntop` writes it."""
        counters = self.counters
        where = self._lanes.get(lane)
        if where is None:
            counters.unknown_identifier += 1
            return
        service = where.service
        if peer[1] != service.port or peer[0] != service.host:
            counters.wrong_address += 1
            return
        try:
            packet = packets.decode(data, service.settings.secret)
        except WireError:
            counters.malformed += 1
            return
        waiting = where.waiting.get(packet.id)
        if waiting is None:
            counters.unknown_identifier += 1
            return
        if packet.code not in _CODES[service.kind]:
            counters.wrong_code += 1
            return
        if not self._verified(packet, waiting, service):
            self._drop(packet, waiting, service, now)
            return
        service.heard_at = now
        service.answers += 1
        if waiting.exchange is None:
            counters.status_answers += 1
            if now < service.since + service.hold:
                return
            service.proved = False
        else:
            service.proved = True
            service.round_trips.observe(now - waiting.exchange.sent_at)
            self._answered(waiting.exchange, packet, service, now)
        if not service.alive:
            self._revive(service, now)

    def _drop(self, packet: Packet, waiting: Waiting, service: Service, now: float) -> None:
        self.counters.bad_authenticator += 1
        service.dropped += 1
        if now < service.told_at + TOLD_AGAIN:
            return
        service.told_at = now
        reason = "its authenticator is wrong: do the secrets differ?"
        if not packet.message_authenticator and self._verified(packet, waiting, service, strict=False):
            reason = "it has no Message-Authenticator, which require_message_authenticator demands"
        self._outputs.append(AnswerDropped(service.name, service.kind, reason))

    @staticmethod
    def _verified(packet: Packet, waiting: Waiting, service: Service, strict: bool = True) -> bool:
        """`strict`: with the Message-Authenticator that the server's settings ask for."""
        settings = service.settings
        if waiting.exchange is None:
            # forged by collision it could only make us ask a dead server: its signature is not insisted on
            code, insist = packets.STATUS_SERVER, False
        else:
            code, insist = _REQUEST_CODE[service.kind], strict and settings.require_message_authenticator
        return packets.reply_verified(
            packet, code, packet.id, waiting.authenticator, settings.secret, insist
        )

    def unreachable(self, lane: int, now: float) -> None:
        """The socket of a lane says that nobody listens there (ICMP). Not proof: one who answered lately stays."""
        where = self._lanes.get(lane)
        if where is not None and now - where.service.heard_at > where.service.settings.timeout:
            self._declare_dead(where.service, now)

    def _answered(self, exchange: Exchange, packet: Packet, service: Service, now: float) -> None:
        handle, name, counters = exchange.handle, service.name, self.counters
        if exchange.kind == "acct":
            counters.accounting_responses += 1
            self._over(exchange, AccountingAcknowledged(handle, name), now)
            return
        reason = ""
        try:
            answer = read(packet)
        except Malformed as error:
            answer, reason = Answer(), str(error)
        output: Output
        if packet.code == packets.ACCESS_ACCEPT:
            counters.access_accepts += 1
            # RFC 2865 section 5: an Access-Accept with a bad attribute is to be treated as a Reject
            output = Rejected(handle, answer, name, reason) if reason else Accepted(handle, answer, name)
        elif packet.code == packets.ACCESS_CHALLENGE:
            counters.access_challenges += 1
            output = Rejected(handle, answer, name, reason) if reason else Challenged(handle, answer, name)
        else:
            counters.access_rejects += 1
            output = Rejected(handle, answer, name, reason)
        self._over(exchange, output, now)

    # time

    def timeout(self, now: float) -> None:
        for owner in self._deadlines.expired(now):
            if isinstance(owner, Exchange):
                self._expired(owner, now)
            elif isinstance(owner, Service):
                self._probe(owner, now)

    def deadline(self) -> float | None:
        return self._deadlines.next()

    def outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _expired(self, exchange: Exchange, now: float) -> None:
        if exchange.state == "over":
            return
        if now >= exchange.ends_at or exchange.service is None:
            self.counters.timeouts += 1
            self._over(exchange, NoAnswer(exchange.handle, "no server answered in time"), now)
            return
        service = exchange.service
        if exchange.state == "sent" and exchange.tries > service.settings.retries:
            service.timeouts += exchange.tries == service.settings.retries + 1
            if service.alive and service.heard_at < exchange.sent_at:
                self._declare_dead(service, now)
            # the death of the server may have moved it already
            if exchange.service is not service or self._move(exchange, now):
                return
        self._send_again(exchange, now)

    # one request

    def group_of(self, record: AccessRequest | AccountingRequest) -> list[Service]:
        """The servers that may be asked: those of the user's realm. Of the NAS as a whole: those of no realm, if there
        are any, else all."""
        if isinstance(record, AccountingRequest):
            group = self._groups.of("acct", realm_of(record.user))
            return group or (self._groups.everywhere("acct") if record.status in OF_THE_NAS else group)
        return self._groups.of("auth", realm_of(record.user))

    def _start(self, exchange: Exchange, now: float) -> None:
        exchange.group = self.group_of(exchange.record)
        service = self._groups.best(exchange.group, (), exchange.prefer)
        if service is None:
            self._cannot_be_sent(exchange, "no server is configured", now)
            return
        self._use(exchange, service, now)

    def _use(self, exchange: Exchange, service: Service, now: float) -> None:
        exchange.service = service
        exchange.tried.append(service)
        exchange.tries = 0
        exchange.interval = 0.0
        exchange.sent_at = now
        self._send_new(exchange, now)

    def _move(self, exchange: Exchange, now: float, hopefully: bool = True) -> bool:
        """To the next server, if one is left. From a dead one also to a living one that was tried before (it has come
        back since), and `hopefully` to one that is dead too."""
        left = exchange.service
        assert left is not None
        following = self._groups.best(exchange.group, exchange.tried)
        if not left.alive and (following is None or not following.alive):
            back = self._groups.best(exchange.group, (left,))
            following = back if back is not None and back.alive else following if hopefully else None
        if following is None or (left.alive and not following.alive):
            return False
        self.counters.failovers += 1
        self._use(exchange, following, now)
        return True

    def _send_new(self, exchange: Exchange, now: float) -> None:
        """With an identifier of its own; without a free one it is parked until there is."""
        service = exchange.service
        assert service is not None
        lane = self._lane(service)
        if lane is None:
            exchange.state = "parked"
            service.parked.append(exchange)
            self._deadlines.set(exchange, exchange.ends_at)
            return
        identifier = lane.free.popleft()
        try:
            authenticator = exchange.encode(identifier, now, self._random_bytes)
        except Exception as error:  # stored by an older version, perhaps: whatever is wrong costs this request
            lane.free.append(identifier)
            self._cannot_be_sent(exchange, str(error), now, unsendable=True)
            return
        lane.waiting[identifier] = Waiting(exchange, authenticator)
        exchange.sendings.append((lane, identifier))
        if exchange.tries == 0:
            exchange.sent_at = now
            service.requests += 1
            self._count(exchange)
        exchange.state = "sent"
        self._transmit(exchange, lane, now)

    def _send_again(self, exchange: Exchange, now: float) -> None:
        service = exchange.service
        assert service is not None
        if exchange.state == "parked":
            return
        self.counters.retransmits += 1
        service.retransmits += 1
        # a new Acct-Delay-Time is a new packet with a new identifier (RFC 2866 section 5.2); the answer to the old one
        # is as good
        if exchange.delay_at(now) != exchange.delay and self._lane(service) is not None:
            self._send_new(exchange, now)
        else:
            self._transmit(exchange, exchange.sendings[-1][0], now)

    def _transmit(self, exchange: Exchange, lane: Lane, now: float) -> None:
        settings = lane.service.settings
        exchange.tries += 1
        exchange.interval = interval(exchange.interval, settings.timeout, settings.max_timeout, self._random_bytes)
        self._deadlines.set(exchange, min(now + exchange.interval, exchange.ends_at))
        self._outputs.append(Transmit(lane.number, exchange.data))

    def _count(self, exchange: Exchange) -> None:
        record, counters = exchange.record, self.counters
        if isinstance(record, AccessRequest):
            counters.access_requests += 1
        else:
            name = _COUNTED.get(record.status, "accounting_others")
            setattr(counters, name, getattr(counters, name) + 1)

    def _cannot_be_sent(self, exchange: Exchange, reason: str, now: float, unsendable: bool = False) -> None:
        self.counters.refused_here += 1
        if exchange.kind == "auth" and exchange.record.problem():
            self._over(exchange, Rejected(exchange.handle, Answer(), "", reason), now)
        else:
            self._over(exchange, NoAnswer(exchange.handle, reason, unsendable), now)

    def _over(self, exchange: Exchange, output: Output | None, now: float) -> None:
        """Give everything back that it held, and the turn to the next."""
        line = self._lines[exchange.kind]
        state, exchange.state = exchange.state, "over"
        del self._exchanges[exchange.handle]
        self._deadlines.set(exchange, None)
        if output is not None:
            self._outputs.append(output)
        if state == "parked" and exchange.service is not None:
            exchange.service.parked.remove(exchange)
        sendings, exchange.sendings = exchange.sendings, []
        for lane, identifier in sendings:
            self._release(lane, identifier, now)
        if state == "queued":
            line.queued -= 1
            line.forget_the_over()
        elif exchange.has_turn:
            line.in_progress -= 1
            self._next_turns(line, now)

    def _next_turns(self, line: Line, now: float) -> None:
        if line.turning:  # a request that ends at once gives its turn on in the loop that gave it
            return
        line.turning = True
        while line.waiting and line.in_progress < self.settings.max_in_progress:
            following = line.waiting.popleft()
            if following.state == "queued":
                line.queued -= 1
                self._give_turn(following, line, now)
        line.turning = False

    def _give_turn(self, exchange: Exchange, line: Line, now: float) -> None:
        exchange.state = "new"
        exchange.has_turn = True
        line.in_progress += 1
        self._start(exchange, now)

    # servers

    def _lane(self, service: Service) -> Lane | None:
        """One with a free identifier, opened if need be."""
        lane = service.free_lane()
        if lane is None and len(service.lanes) < service.settings.lanes:
            self._lane_numbers += 1
            lane = Lane(self._lane_numbers, service)
            self._lanes[lane.number] = lane
            service.lanes.append(lane)
            settings = service.settings
            self._outputs.append(
                OpenLane(lane.number, service.host, service.port, settings.source_address, settings.device)
            )
        return lane

    def _release(self, lane: Lane, identifier: int, now: float) -> None:
        del lane.waiting[identifier]
        lane.free.append(identifier)
        parked = lane.service.parked
        if parked and not lane.service.removed:
            exchange = parked.popleft()
            exchange.state = "new"
            self._send_new(exchange, now)

    def _declare_dead(self, service: Service, now: float) -> None:
        if not service.alive or service.removed:
            return
        service.died(now)
        self._outputs.append(ServerDead(service.name, service.kind))
        self._probe(service, now)
        for exchange in service.exchanges():
            self._leave(exchange, now)

    def _leave(self, exchange: Exchange, now: float) -> None:
        """Away from a server that died, if a living one is left."""
        parked_at = exchange.service if exchange.state == "parked" else None
        if self._move(exchange, now, hopefully=False) and parked_at is not None:
            parked_at.parked.remove(exchange)

    def _probe(self, service: Service, now: float) -> None:
        """Ask a dead server whether it lives."""
        self._end_probe(service, now)
        if service.alive or service.removed:
            return
        settings = service.settings
        if not settings.status_server:
            if now >= service.since + settings.dead_time:
                self._revive(service, now)
            else:
                self._deadlines.set(service, service.since + settings.dead_time)
            return
        every = settings.probe_interval
        self._deadlines.set(service, now + interval(0, every, 2 * every, self._random_bytes))
        lane = self._lane(service)
        if lane is None:
            return
        identifier = lane.free.popleft()
        authenticator = self._random_bytes(16)
        lane.waiting[identifier] = Waiting(None, authenticator)
        service.probe = (lane, identifier)
        attributes = bytearray()
        write(self.nas, NAS, attributes)
        self.counters.status_requests += 1
        service.probes += 1
        self._outputs.append(
            Transmit(lane.number, packets.status_server(identifier, authenticator, settings.secret, attributes))
        )

    def _end_probe(self, service: Service, now: float) -> None:
        if service.probe is not None:
            lane, identifier = service.probe
            service.probe = None
            self._release(lane, identifier, now)

    def _revive(self, service: Service, now: float) -> None:
        service.alive = True
        service.since = now
        self._deadlines.set(service, None)
        self._end_probe(service, now)
        self._outputs.append(ServerAlive(service.name, service.kind))

    def _remove(self, service: Service, now: float) -> None:
        """What waited there is asked anew of those that are left."""
        service.removed = True
        self._deadlines.set(service, None)
        self._end_probe(service, now)
        exchanges = service.exchanges()
        service.parked.clear()
        for lane in service.lanes:
            del self._lanes[lane.number]
            self._outputs.append(CloseLane(lane.number))
        for exchange in exchanges:
            exchange.sendings = [sending for sending in exchange.sendings if sending[0].service is not service]
            exchange.state = "new"
            exchange.tried = []
            self._start(exchange, now)

    # status

    @property
    def auth_in_progress(self) -> int:
        """Access-Requests that wait for their turn or an answer."""
        return self._lines["auth"].in_progress + self._lines["auth"].queued

    @property
    def acct_in_progress(self) -> int:
        return self._lines["acct"].in_progress + self._lines["acct"].queued
