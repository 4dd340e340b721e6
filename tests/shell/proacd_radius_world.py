"""Routes led by RADIUS, for tests in virtual time: users on the one side, a RADIUS client whose answers a test gives on
the other, and destinations that come up as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from prol2tp.config.proacd import ProacdConfig, load
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd.balance import Balance
from prol2tp.daemons.proacd.choice import Choice
from prol2tp.daemons.proacd.choice import Destination as Place
from prol2tp.daemons.proacd.profiles import Profile, Profiles
from prol2tp.daemons.proacd.radius import RadiusChoice
from prol2tp.daemons.proacd.route import Route
from prol2tp.daemons.proacd.routes import Routes
from prol2tp.dataplane.interface import COUNTERS
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import LinkDown, SendFrame
from prol2tp.ppp.settings import LinkSettings
from prol2tp.pppoe.outputs import SessionKey
from prol2tp.pppoe.tags import Line
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import IPV4, L2TP
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.outputs import Accepted, AccountingAcknowledged, NoAnswer, Rejected
from prol2tp.radius.tunnels import TunnelGroup
from tests.ppp_ends import random_source

CONFIG = """
system { hostname "lac1" }
profile l2tp "isps" { secret "default" hello_timeout 20 session { connect_speed 1000000 } }
profile radius "aaa" {
    server 192.0.2.53 secret "s3cret"
    nas_identifier "lac1"
    l2tp_profile "isps"
    %s
}
route "r1" { source pppoe { interface eth0 service any } destination radius { profile "aaa" %s } }
"""
LINE = Line(b"eth 1/0:7", b"home", {0x81: 1_000_000, 0x82: 20_000_000})
LNS = TunnelGroup(1, L2TP, IPV4, server_endpoint="192.0.2.1", assignment_id="isp")


class User:
    """The host of a PPPoE session."""

    def __init__(self, world: World, name: str, password: str, line: Line | None = LINE, kind: str = "pppoe") -> None:
        self.world = world
        self.kind = kind
        self.link = Link(LinkSettings(user=name, password=password, restart_interval=1.0), world.random)
        self.line = line
        self.port = world.next_port()
        self.plane = world.plane
        self.key = SessionKey("eth0", b"\x02\x00\x00\x00\x00\x01", self.port)
        self.calling_number, self.called_number = "02:00:00:00:00:01", "internet"
        self.mtu, self.interface, self.vlans = 1492, "eth0", ()
        self.service_name, self.advertised = "internet", False
        self.route: Any = None
        self.label = f"user {name}"
        self.opened: Deferred[None] = succeed(None)
        self.callback: Callable[[bytes], None] | None = None
        self.sent: deque[bytes] = deque()
        self.closed: list[tuple[str, str]] = []
        self.down: LinkDown | None = None
        self.released = False
        self.counters: tuple | None = None
        self.offer: dict[str, Any] = {}
        self.id = "7/8"

    @property
    def proxy(self) -> dict[str, Any] | None:
        return self.offer.get("proxy")

    # what proacd asks of a source

    def open(self) -> Deferred[None]:
        return self.opened

    def frames(self, callback: Callable[[bytes], None] | None) -> None:
        self.callback = callback

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def close(self, cause: str, message: str) -> bool:
        self.closed.append((cause, message))
        return True

    def release(self) -> Deferred[tuple | None]:
        self.released = True
        return succeed(self.counters)

    # the user himself

    def dial(self) -> Route:
        route = self.world.routes.create(self.world.config.routes["r1"], self)  # type: ignore[arg-type]
        self.link.open(self.world.clock.seconds())
        self.world.settle()
        return route

    def work(self) -> bool:
        """Take and give frames -> whether there were any."""
        busy = False
        now = self.world.clock.seconds()
        if (deadline := self.link.deadline()) is not None and deadline <= now:
            self.link.timeout(now)
        while self.sent:
            self.link.receive(self.sent.popleft(), now)
            busy = True
        for output in self.link.outputs():
            busy = True
            if isinstance(output, LinkDown):
                self.down = output
            elif isinstance(output, SendFrame) and self.callback is not None:
                self.callback(output.frame)
        return busy


class Server:
    """A `RadiusPort` whose answers a test gives."""

    def __init__(self, world: World) -> None:
        self.core = RadiusClient((), world.random)
        self.driver = SimpleNamespace(now=world.clock.seconds)
        self.asked: list[tuple[Any, Deferred[Any]]] = []
        self.told: list[tuple[AccountingRequest, Deferred[Any]]] = []
        self.cancelled = 0
        self.server_changed: Callable[[Any], None] = lambda change: None

    def carry_out(self) -> None:
        self.core.outputs()

    def request(self, record: Any, prefer: str = "") -> Deferred[Any]:
        asked: Deferred[Any] = Deferred(lambda _: self._cancel(record))
        where = self.asked if isinstance(record, AccessRequest) else self.told
        where.append((record, asked))
        return asked

    def _cancel(self, record: Any) -> None:
        self.cancelled += 1
        self.asked = [one for one in self.asked if one[0] is not record]

    def stop(self) -> None:
        for _, asked in self.told:
            asked.callback(NoAnswer(1, "the client stops"))
        self.told.clear()


class Call:
    """A destination that comes up as a test says."""

    def __init__(self, world: World, route: Route, choice: Choice, place: Place | None) -> None:
        self.world, self.route, self.choice, self.place = world, route, choice, place
        self.kind = choice.kind
        self.label = place.name if place is not None else "local PPP"
        self.port = world.next_port()
        self.closed: list[tuple[str, str]] = []
        self.tunnel_id, self.session_id, self.peer = 100, self.port, f"{place.name if place else ''}:1701"
        self.local, self.host_name, self.peer_host_name, self.call_serial_number = "192.0.2.99", "lac1", "lns1", 77

    def up(self, tunnel: int = 100) -> None:
        self.tunnel_id = tunnel
        self.world.routes.destination_opened(self.route, self)  # type: ignore[arg-type]
        self.world.settle()

    def fail(self, dead: bool, cause: str = "Service Unavailable") -> None:
        self.world.calls.remove(self)
        self.world.routes.destination_failed(self.route, self, cause, "no", dead)  # type: ignore[arg-type]
        self.world.settle()

    def end(self, cause: str = "User Request", message: str = "", dead: bool = False) -> None:
        self.world.calls.remove(self)
        self.world.routes.destination_closed(self.route, self, cause, message, dead)  # type: ignore[arg-type]
        self.world.settle()

    def close(self, cause: str, message: str) -> bool:
        self.closed.append((cause, message))
        return True


class Plane:
    instance = "path"

    def __init__(self) -> None:
        self.counts: dict[int, tuple] = {}

    def counters(self, ports: list[int] | None = None) -> Deferred[dict[int, tuple]]:
        return succeed({port: row for port, row in self.counts.items() if ports is None or port in ports})


def row(rx_octets: int = 0, tx_octets: int = 0, rx_packets: int = 0, tx_packets: int = 0) -> tuple:
    """Counters of a port."""
    given = {"rx_octets": rx_octets, "tx_octets": tx_octets, "rx_packets": rx_packets, "tx_packets": tx_packets}
    return tuple(given.get(name, 0) for name in COUNTERS)


class World:
    make_socket: Any = None

    def __init__(self, profile: str = "accounting off", destination: str = "", state_dir: str = "/nowhere") -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.random = random_source(5)
        self.log = Log("proacd", Level.DEBUG)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.state_dir = state_dir
        self.users: list[User] = []
        self.calls: list[Call] = []
        self.plane = Plane()
        self._ports = 0
        self.server = Server(self)
        self.balance = Balance(iter(lambda: 0.5, None).__next__, 60.0)
        self.profiles = Profiles(self.make)
        self.choice = RadiusChoice(self.clock, self.random, self.log, self.profiles.by_name)
        self.routes = Routes(self.clock, self.log, self.random, self.choice, self.balance, self.open, self.join,
                             self.part)
        self.routes.followers.append(self.profiles)
        self.configure(profile, destination)

    def configure(self, profile: str, destination: str = "") -> None:
        self.config: ProacdConfig = load(CONFIG % (profile, destination), "test.conf")
        results: list[Any] = []
        self.profiles.configure(self.config.radius).addCallback(results.extend)
        assert all(success for success, _ in results), results
        self.choice.name, self.choice.l2tp = self.config.system.hostname, self.config.l2tp

    def make(self, name: str, config: Any) -> Profile:
        return Profile(self.clock, name, config, self.state_dir, self.log,
                       lambda event, **data: self.events.append((event, data)), self.random,
                       lambda: 1_500_000_000 + self.clock.seconds(), self.server, self.make_socket)

    def next_port(self) -> int:
        self._ports += 1
        return self._ports

    def user(self, name: str = "u1@isp.example", password: str = "pw", **words: Any) -> User:
        user = User(self, name, password, **words)
        self.users.append(user)
        return user

    def open(self, route: Route, choice: Choice, place: Place | None) -> Any:
        call = Call(self, route, choice, place)
        self.calls.append(call)
        return call

    def join(self, route: Route) -> Deferred[None]:
        return succeed(None)

    def part(self, route: Route) -> Deferred[Any]:
        return route.source.release()

    def settle(self, seconds: float = 0.0) -> None:
        """Let frames pass, and time."""
        end = self.clock.seconds() + seconds
        while True:
            for _ in range(200):
                self.clock.advance(0)
                if not any([user.work() for user in self.users]):
                    break
            if self.clock.seconds() >= end:
                return
            self.clock.advance(min(0.25, end - self.clock.seconds()))

    # RADIUS

    @property
    def request(self) -> AccessRequest:
        """The last that was asked."""
        found: AccessRequest = self.server.asked[-1][0]
        return found

    def answer(self, output: Any, index: int = -1) -> None:
        self.server.asked.pop(index)[1].callback(output)
        self.settle()

    def accept(self, *tunnels: TunnelGroup, index: int = -1, **values: Any) -> None:
        self.answer(Accepted(1, Answer(tunnels=tunnels, **values), "r1"), index)

    def reject(self, message: str = "") -> None:
        self.answer(Rejected(1, Answer(reply_message=message), "r1"))

    def acknowledge(self) -> list[AccountingRequest]:
        """Take all accounting records."""
        taken = []
        while self.server.told:
            record, asked = self.server.told.pop(0)
            taken.append(record)
            asked.callback(AccountingAcknowledged(1, "r1"))
            self.settle()
        return taken
