"""RADIUS servers: their settings, whether they live, their identifiers, and which of them to ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, NamedTuple

from prol2tp.common.tally import Histogram

if TYPE_CHECKING:
    from prol2tp.radius.exchange import Exchange

Kind = Literal["auth", "acct"]
KINDS: tuple[Kind, ...] = ("auth", "acct")
IDENTIFIERS = 256
LONGEST_HOLD = 300.0


@dataclass(slots=True)
class ServerSettings:
    """One server. Times are seconds."""

    name: str
    address: str
    secret: bytes = field(repr=False)
    auth_port: int = 1812
    """0: not for authentication."""
    acct_port: int = 1813
    """0: not for accounting."""
    priority: int = 1
    """Lower is asked first."""
    weight: int = 1
    """Share among servers of the same priority."""
    realms: tuple[str, ...] = ()
    """Realms of users that it is for; none: for all that no server names."""
    timeout: float = 2.0
    """IRT of RFC 5080 section 2.2.1: the first retransmission; doubles with each."""
    max_timeout: float = 16.0
    """MRT."""
    retries: int = 1
    """Retransmissions before the next server is asked; at the last one they go on until the request's time is over."""
    require_message_authenticator: bool = True
    """Drop Access-Accept, Reject and Challenge without it."""
    status_server: bool = True
    """Ask by Status-Server (RFC 5997) whether a dead server lives again."""
    probe_interval: float = 10.0
    dead_time: float = 60.0
    """Without Status-Server: the time after which a dead server is tried again."""
    lanes: int = 8
    """Sockets for each port at most, 256 requests under way on each."""
    source_address: str = ""
    device: str = ""

    def port(self, kind: Kind) -> int:
        return self.auth_port if kind == "auth" else self.acct_port


class Waiting(NamedTuple):
    """What an identifier stands for. `exchange` is None for Status-Server."""

    exchange: Exchange | None
    authenticator: bytes


class Lane:
    """One socket: 256 identifiers. The one free for longest is taken next, so that late answers meet nobody."""

    __slots__ = ("number", "service", "free", "waiting")

    def __init__(self, number: int, service: Service) -> None:
        self.number = number
        self.service = service
        self.free = deque(range(IDENTIFIERS))
        self.waiting: dict[int, Waiting] = {}


class Service:
    """One port of one server: alive or dead apart from the other."""

    __slots__ = (
        "settings", "kind", "host", "port", "alive", "since", "heard_at", "lanes", "parked", "probe", "removed",
        "proved", "hold",
        "round_trips", "requests", "answers", "retransmits", "timeouts", "probes", "dropped", "told_at",
    )

    def __init__(self, settings: ServerSettings, kind: Kind, now: float) -> None:
        self.settings = settings
        self.kind = kind
        self.host = str(ip_address(settings.address))
        self.port = settings.port(kind)
        self.alive = True
        self.since = now
        """Of the state."""
        self.heard_at = float("-inf")
        self.lanes: list[Lane] = []
        self.parked: deque[Exchange] = deque()
        """Exchanges that wait for an identifier."""
        self.probe: tuple[Lane, int] | None = None
        self.removed = False
        self.proved = True
        """It has answered a request since Status-Server said that it lives."""
        self.hold = 0.0
        """Seconds that it stays dead at least, whatever Status-Server says."""
        self.round_trips = Histogram()
        """Seconds from the first transmission of a request to its answer."""
        self.requests = self.answers = self.retransmits = self.timeouts = self.probes = 0
        self.dropped = 0
        """Answers with a wrong authenticator, or without Message-Authenticator."""
        self.told_at = float("-inf")
        """When the last of them was told."""

    def died(self, now: float) -> None:
        """One that answers Status-Server and nothing else (its data base is gone) is believed ever later."""
        self.alive = False
        self.since = now
        self.hold = 0.0 if self.proved else min(max(2 * self.hold, self.settings.probe_interval), LONGEST_HOLD)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def in_progress(self) -> int:
        return sum(len(lane.waiting) for lane in self.lanes)

    def free_lane(self) -> Lane | None:
        """A lane with a free identifier, out of those that are open."""
        for lane in self.lanes:
            if lane.free:
                return lane
        return None

    def exchanges(self) -> list[Exchange]:
        """All that wait here, each once."""
        found = {id(exchange): exchange for exchange in self.parked}
        for lane in self.lanes:
            for waiting in lane.waiting.values():
                if waiting.exchange is not None and waiting.exchange.service is self:
                    found[id(waiting.exchange)] = waiting.exchange
        return list(found.values())


def realm_of(user: str | bytes) -> str:
    """What is behind the last @, in lower case; empty without one (RFC 7542)."""
    name = user.decode("utf-8", "replace") if isinstance(user, bytes) else user
    return name.rpartition("@")[2].lower() if "@" in name else ""


class Services:
    """Who may be asked for what."""

    __slots__ = ("_of_kind", "_of_realm", "_random_bytes")

    def __init__(self, services: Iterable[Service], random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._of_kind: dict[str, list[Service]] = {kind: [] for kind in KINDS}
        self._of_realm: dict[tuple[str, str], list[Service]] = {}
        for service in services:
            if not service.settings.realms:
                self._of_kind[service.kind].append(service)
            for realm in service.settings.realms:
                self._of_realm.setdefault((service.kind, realm.lower()), []).append(service)

    def of(self, kind: Kind, realm: str) -> list[Service]:
        """Those that name the realm, or else those that name none."""
        return self._of_realm.get((kind, realm)) or self._of_kind[kind]

    def everywhere(self, kind: Kind) -> list[Service]:
        """All of a kind, for what is about no user."""
        named = [service for (of, _), group in self._of_realm.items() if of == kind for service in group]
        return list(dict.fromkeys([*self._of_kind[kind], *named]))

    def best(self, group: Sequence[Service], tried: Sequence[Service], prefer: str = "") -> Service | None:
        """The one to ask next: alive before dead, then `prefer`, then priority, then by lot according to weight."""
        left = [service for service in group if service not in tried and not service.removed]
        if not left:
            return None
        if prefer:
            for service in left:
                if service.name == prefer and service.alive:
                    return service
        first = min((not service.alive, service.settings.priority) for service in left)
        left = [service for service in left if (not service.alive, service.settings.priority) == first]
        return left[0] if len(left) == 1 else self._lot(left)

    def _lot(self, services: Sequence[Service]) -> Service:
        total = sum(max(service.settings.weight, 0) for service in services)
        if not total:
            return services[0]
        drawn = int.from_bytes(self._random_bytes(4), "big") * total >> 32
        for service in services:
            drawn -= max(service.settings.weight, 0)
            if drawn < 0:
                return service
        return services[-1]
