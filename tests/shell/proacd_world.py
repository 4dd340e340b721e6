"""proacd on a data path in memory, with hosts on its interfaces and the other daemons played, in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from prol2tp.config.access import DEBUG_CATEGORIES
from prol2tp.config.proacd import L2tpDestination, PppDestination, RadiusDestination, load
from prol2tp.control.command import Gone
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd.choice import Choice, ChoiceByKind, StaticChoice
from prol2tp.daemons.proacd.concentrator import Concentrator
from prol2tp.daemons.proacd.route import Follower, Route
from prol2tp.daemons.proacd.settings import static_choice
from prol2tp.dataplane.interface import SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.net.linkwatch import Link
from prol2tp.pppoe.packets import (
    BROADCAST,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    Discovery,
    Vlans,
    read,
    write,
    write_session,
)
from prol2tp.pppoe.tags import Line

CONFIG = """
interface default { padi_rate 0 }
route "static" {
    source pppoe { interface eth0 eth1 service "static" }
    destination l2tp { peer 192.0.2.1 { preference 1 } peer 192.0.2.2 { preference 2 } secret "s3cret" }
}
route "named" { source pppoe { interface eth0 service "named" } destination l2tp { tunnel "core" } }
route "local" { source pppoe { interface eth0 service "local" } destination ppp { ppp_profile "users" } }
route "radius" { source pppoe { interface eth0 service "radius" } destination radius { profile "aaa" } }
route "switch" { source l2tp { tunnel_profile "lacs" } destination l2tp { peer 192.0.2.1 secret "s3cret" } }
profile radius "aaa" { server 192.0.2.9 secret "testing123" }
"""
MACS = {"eth0": b"\x02\0\0\0\0\1", "eth1": b"\x02\0\0\0\0\2"}


class Cable:
    """An open interface of the daemon (`net.ethernet.EthernetPort`)."""

    def __init__(self, world: ProacdWorld, interface: str, receive: Any, burst_done: Any, lost: Any,
                 tagged: bool) -> None:
        self.address = world.links[interface].address
        self.mtu = world.links[interface].mtu
        self.closed = False
        self.lost = lost
        self._world = world
        self._interface = interface
        self._receive = receive
        self._burst_done = burst_done
        self.drops = 0

    def dropped(self) -> int:
        return self.drops

    def send(self, frame: bytes) -> None:
        assert not self.closed
        self._world.sent(self._interface, frame)

    def frame(self, frame: bytes) -> None:
        self._receive(frame, self._interface)
        self._burst_done()

    def close(self) -> None:
        self.closed = True


class Host:
    """A PPPoE host, as simple as can be: it answers a PADO at once."""

    def __init__(self, world: ProacdWorld, number: int, interface: str, service: str, vlans: Vlans = ()) -> None:
        self.world = world
        self.vlans = vlans
        self.mac = b"\x06\0\0" + number.to_bytes(3, "big")
        self.interface = interface
        self.service = service.encode()
        self.uniq = number.to_bytes(4, "big")
        self.session_id = 0
        self.answers: list[Discovery] = []
        self.line: Line | None = None
        """What an access node adds."""
        world.hosts[self.mac] = self

    def dial(self) -> Host:
        self.session_id = 0
        self._put(PADI(BROADCAST, self.mac, self.vlans, 0, (self.service,), host_uniq=self.uniq))
        return self

    def _put(self, packet: Discovery) -> None:
        self.world.from_host(self.interface, write(packet))

    def hear(self, frame: bytes) -> None:
        packet = read(frame)
        self.answers.append(packet)
        if isinstance(packet, PADO):
            self._put(PADR(packet.source, self.mac, self.vlans, 0, (self.service,), host_uniq=self.uniq,
                           ac_cookie=packet.ac_cookie, line=self.line))
        elif isinstance(packet, PADS) and packet.session_id:
            self.session_id = packet.session_id
        elif isinstance(packet, PADT) and packet.session_id == self.session_id:
            self.session_id = 0

    def hang_up(self) -> None:
        session_id, self.session_id = self.session_id, 0
        self._put(PADT(self.world.links[self.interface].address, self.mac, self.vlans, session_id))

    def session(self, session_id: int, frame: bytes) -> bytes:
        return write_session(self.world.links[self.interface].address, self.mac, self.vlans, session_id, frame)

    def send(self, frame: bytes) -> None:
        """A PPP frame in the session."""
        self.world.session_frame(self.interface, self.session(self.session_id, frame))


class Daemon:
    """The control channel of another daemon, and what it has."""

    def __init__(self, world: ProacdWorld) -> None:
        self.world = world
        self.connected = False
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.rows: dict[str, dict[str, Any]] = {}
        """What it was asked for and has not ended, by id."""
        self.ended: dict[str, dict[str, Any]] = {}

    def call(self, command: str, **arguments: Any) -> Any:
        if not self.connected:
            return fail(Gone("not connected"))
        self.calls.append((command, arguments))
        answer: Deferred[dict[str, Any]] = Deferred()
        response = getattr(self, f"do_{command}")(**arguments)
        self.world.clock.callLater(0.001, self._answer, answer, response, self.number)
        return answer

    number = 0
    """Of the connection."""

    def _answer(self, answer: Any, response: dict[str, Any], number: int) -> None:
        if number == self.number:
            answer.callback(response)
        else:
            answer.errback(Gone("connection lost"))

    def connect(self) -> None:
        self.connected = True
        self.number += 1
        self.on_connected(self)

    def disconnect(self) -> None:
        self.connected = False
        self.number += 1
        self.on_lost(self)

    on_connected: Callable[[Any], None]
    on_lost: Callable[[Any], None]

    def named(self, command: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == command]


class Prol2tpd(Daemon):
    """Opens calls in a tunnel of the data path as soon as a test says so."""

    def __init__(self, world: ProacdWorld) -> None:
        super().__init__(world)
        self.profiles: list[str] = []
        self.tunnels: dict[str, tuple[int, int]] = {}
        self.ports: dict[str, int] = {}
        self.up: dict[str, dict[str, Any]] = {}
        self.auto = True
        """Calls come up at once."""
        self.dead: set[str] = set()
        """Peers whose tunnels do not come up."""
        self.refuse: dict[str, str] = {}
        """Answers to OpenCalls, by id of the route."""
        self._claimed: set[str] | None = None
        self._numbers = 0

    def do_ServeCalls(self, profiles: list[str], calls: list[str] | None, more: bool = False) -> dict[str, Any]:
        self.profiles = profiles
        if calls is None:
            return {"unknown": []}
        self._claimed = (self._claimed or set()) | set(calls)
        known = [id for id in calls if id in self.rows]
        if not more:
            claimed, self._claimed = self._claimed, None
            for id in [id for id in self.rows if id not in claimed]:
                self.drop(id)
            for id in claimed & self.up.keys():
                if "tunnel_profile" not in self.rows[id]:
                    self.world.clock.callLater(0.002, self._tell_again, id)
        return {"unknown": [id for id in calls if id not in known]}

    def _tell_again(self, id: str) -> None:
        if id in self.up and self.connected:
            self.world.parts.calls.calls_changed([self.up[id]])

    def do_OpenCalls(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        results = []
        for row in calls:
            assert row["id"] not in self.rows
            problem = self.refuse.get(row["id"].partition(".")[0])
            results.append(problem)
            if problem is None:
                self.rows[row["id"]] = row
                if self.auto:
                    self.world.clock.callLater(0.002, self.try_open, row["id"])
        return {"results": results}

    def do_CloseCalls(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        for row in calls:
            self.ended[row["id"]] = row
            self.drop(row["id"])
        return {}

    def drop(self, id: str) -> None:
        """It ends here."""
        self.rows.pop(id, None)
        self.up.pop(id, None)
        port = self.ports.pop(id, 0)
        if port in self.world.plane.ports:
            self.world.plane.port_delete(port)

    def _port(self, name: str) -> tuple[int, int, int]:
        plane = self.world.plane
        if name not in self.tunnels or self.tunnels[name][0] not in plane.tunnels:
            number = 100 + len(self.tunnels)
            listener = result(plane.listen(("127.0.0.1", 0)))
            handle = result(plane.tunnel_add(TunnelSpec(
                listener.id, ("127.0.0.1", 1701), ("192.0.2.1", 1701), number, number + 1000)))
            self.tunnels[name] = (handle, number)
        handle, number = self.tunnels[name]
        self._numbers += 1
        return result(plane.session_add(SessionSpec(handle, self._numbers, self._numbers))), number, self._numbers

    def try_open(self, id: str) -> None:
        row = self.rows.get(id)
        if row is None or not self.connected:
            return
        tunnel = row["tunnel"]
        name = tunnel.get("name") or tunnel["key"]
        if name in self.dead:
            self.close(id, tunnel_up=False, message="no answer")
            return
        port, number, session = self._port(name)
        self.ports[id] = port
        changed = self.up[id] = {
            "id": id, "state": "up", "tunnel_id": number, "session_id": session, "peer_tunnel_id": number + 1000,
            "peer_session_id": session, "peer": "192.0.2.1:1701", "local": "192.0.2.99",
            "host_name": "lac", "peer_host_name": "lns", "call_serial_number": session,
            "port": port, "version": 2, "interface_mtu": 1460,
            "tunnel_up": True, "dns": False, "established": True, "by_peer": False, "cause": "", "message": "",
            "result": 0, "error": 0}
        self.world.parts.calls.calls_changed([changed])

    def close(self, id: str, cause: str = "Lost Carrier", message: str = "CDN", tunnel_up: bool = True,
              dns: bool = False) -> None:
        """The call ends, by the peer or a fault."""
        row = {**self.up.get(id, {"id": id, "port": 0, "tunnel_id": 0, "session_id": 0}), "state": "closed",
               "cause": cause, "message": message, "tunnel_up": tunnel_up, "dns": dns}
        self.drop(id)
        if self.connected:
            self.world.parts.calls.calls_changed([row])

    def offer(self, id: str, **more: Any) -> str | None:
        """A session of a LAC -> why proacd refuses it."""
        port, number, session = self._port("from-lac")
        row = {"id": id, "port": port, "tunnel_id": number, "session_id": session, "peer_tunnel_id": number + 1000,
               "peer_session_id": session, "tunnel_profile": "lacs", "tunnel_name": "lac", "calling_number": "0123",
               "called_number": "456", "mtu": 1460, "peer_address": "192.0.2.7", "tx_connect_speed": 0,
               "rx_connect_speed": 0, "sub_address": "", "line": None, "proxy": None, **more}
        self.rows[id], self.ports[id], self.up[id] = row, port, row
        problem = self.world.parts.calls.offer_calls([row])["results"][0]
        if problem is not None:
            self.drop(id)
        return problem

    def forget_all(self) -> None:
        """Its data path has died."""
        for rows in (self.rows, self.up, self.ports, self.tunnels):
            rows.clear()

    def restart(self) -> None:
        """Nothing of it is left."""
        self.disconnect()
        for id in list(self.rows):
            self.drop(id)


class Propppd(Daemon):
    """Has links as soon as they are attached."""

    def do_AttachSessions(self, sessions: list[dict[str, Any]], owner: str) -> dict[str, Any]:
        assert owner == "proacd"
        self.rows.update({row["id"]: row for row in sessions})
        return {"results": [None] * len(sessions)}

    def do_DetachSessions(self, sessions: list[dict[str, Any]], owner: str) -> dict[str, Any]:
        for row in sessions:
            self.ended[row["id"]] = row
            self.rows.pop(row["id"], None)
        return {}

    def change(self, id: str, state: str, **more: Any) -> None:
        row = {"id": id, "state": state, "user": "u1", "interface": "ppp0", "cause": "", "message": "", **more}
        if state == "closed":
            self.rows.pop(id, None)
        self.world.parts.attachments.sessions_changed([row])


class Watcher(Follower):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.created: list[Route] = []
        self.opened: list[Route] = []
        self.closed: list[Route] = []

    def route_created(self, route: Route) -> None:
        self.created.append(route)

    def route_opened(self, route: Route) -> None:
        self.opened.append(route)

    def route_closed(self, route: Route) -> None:
        self.closed.append(route)


class Asked:
    """A choice that tests make (`IChoice`), of routes 'radius'."""

    def __init__(self) -> None:
        self.waiting: dict[int, Deferred[Choice]] = {}
        self.cancelled: list[int] = []
        self.most = 65535

    def choose(self, route: Route) -> Deferred[Choice]:
        self.waiting[route.number] = Deferred(lambda _: self.cancelled.append(route.number))
        return self.waiting[route.number]

    def busy(self, config: Any) -> bool:
        return len(self.waiting) >= self.most


class ProacdWorld:
    """The daemon's parts as `service` puts them together, without sockets."""

    def __init__(self, config: str = CONFIG, there: bool = True) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.plane = MemoryDataPlane(self.clock)
        self.links = {name: Link(number + 1, True, mac, 1500) for number, (name, mac) in enumerate(MACS.items())}
        self.cables: dict[str, Cable] = {}
        self.hosts: dict[bytes, Host] = {}
        self.looked: list[str] = []
        """Interfaces that were looked at."""
        self.asked = Asked()
        self._random = 0
        static = StaticChoice(static_choice)
        logs = {category: Log(f"test.{category}", Level.CRITICAL) for category in DEBUG_CATEGORIES}
        self.parts = Concentrator(
            self.clock, logs, self.random, lambda: 0.5, "lac", load(config, "test.conf"),
            ChoiceByKind({L2tpDestination: static, PppDestination: static, RadiusDestination: self.asked}),
            self._open_ethernet, self._link_of)
        self.watcher = Watcher()
        self.parts.routes.followers.append(self.watcher)
        self.prol2tpd, self.propppd = Prol2tpd(self), Propppd(self)
        self.prol2tpd.on_connected, self.prol2tpd.on_lost = self.parts.calls.connected, self.parts.calls.disconnected
        self.propppd.on_connected = self.parts.attachments.connected
        self.propppd.on_lost = self.parts.attachments.disconnected
        self.plane.addresses.update(MACS)
        self.plane.start(self)
        if there:
            self.prol2tpd.connect()
            self.propppd.connect()
            self.parts.use(self.plane)
            self.settle()

    def _link_of(self, name: str) -> Link | None:
        self.looked.append(name)
        return self.links.get(name)

    def random(self, count: int) -> bytes:
        self._random += 1
        return hashlib.sha256(self._random.to_bytes(8, "big")).digest()[:count].ljust(count, b"\7")

    # IPathEvents that concern us

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        self.parts.discovery.stray(ethernet, frame)

    def __getattr__(self, name: str) -> Any:
        if name in ("frames_lost", "carrier_lost", "overload", "peer_moved", "netif_gone", "decompression_failed"):
            return lambda *arguments: None
        raise AttributeError(name)

    def new_plane(self) -> None:
        """Another data path, which is not there yet for anybody."""
        self.plane = MemoryDataPlane(self.clock)
        self.plane.addresses.update({name: link.address for name, link in self.links.items()})
        self.plane.start(self)

    # Ethernet

    def _open_ethernet(self, interface: str, receive: Any, burst_done: Any, lost: Any, tagged: bool) -> Cable:
        if interface not in self.links:
            raise OSError(19, "No such device")
        cable = self.cables[interface] = Cable(self, interface, receive, burst_done, lost, tagged)
        return cable

    def sent(self, interface: str, frame: bytes) -> None:
        host = self.hosts.get(frame[:6])
        if host is not None:
            self.clock.callLater(0, host.hear, frame)

    def from_host(self, interface: str, frame: bytes) -> None:
        cable = self.cables.get(interface)
        if cable is not None and not cable.closed:
            cable.frame(frame)

    def session_frame(self, interface: str, frame: bytes) -> None:
        place = self.parts.discovery.places.get(interface)
        if place is not None and place.handle:
            self.plane.ethernet_frame(place.handle, frame)

    def set_link(self, interface: str, **what: Any) -> None:
        """Change an interface, as somebody else would."""
        self.links[interface] = self.links[interface]._replace(**what)
        if what.get("up") is False and interface in self.cables and not self.cables[interface].closed:
            self.cables[interface].lost()
        self.parts.discovery.link_changed(self.links[interface].ifindex)
        self.settle()

    # hosts

    def host(self, service: str = "static", interface: str = "eth0", vlans: Vlans = ()) -> Host:
        return Host(self, len(self.hosts) + 1, interface, service, vlans)

    def dialled(self, service: str = "static", interface: str = "eth0") -> Host:
        """One whose session is up, or was refused."""
        host = self.host(service, interface).dial()
        self.settle()
        return host

    # time

    def settle(self, seconds: float = 0.2) -> None:
        for _ in range(int(seconds / 0.01)):
            self.clock.advance(0.01)

    def later(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
        self.settle()

    # what must be true

    @property
    def routes(self) -> list[Route]:
        return list(self.parts.routes.by_number.values())

    def check(self) -> None:
        """The laws that hold whenever all is quiet: no half of a route anywhere, and counters that sum up."""
        routes, counters = self.parts.routes, self.parts.routes.counters
        assert counters.routes_created - counters.routes_deleted == len(routes)
        assert counters.sessions_opened - counters.sessions_closed == sum(self.parts.calls.tunnels.values())
        assert len(self.watcher.created) - len(self.watcher.closed) == len(routes)
        assert set(routes.roll) == set(routes.by_number)
        assert {route.number for named in routes.by_name.values() for route in named.values()} == set(routes.by_number)
        sessions = {session.key for session in self.parts.discovery.core.sessions()}
        assert sessions == set(self.parts.discovery.sources)
        mine = [route.source.port for route in self.routes if route.source.kind == "pppoe"]
        ports = [port.id for port in self.plane.ports.values() if port.id not in self.prol2tpd.ports.values()]
        assert sorted(ports) == sorted(port for port in mine if port)
        for route in self.routes:
            if route.state.value == "joined" and route.destination.kind == "l2tp":
                peer = self.plane.ports[route.source.port].peer
                assert peer is not None and peer.id == route.destination.port

    def nothing_left(self) -> None:
        self.check()
        assert not self.routes and not self.plane.ports
        for exchange in (self.parts.calls.exchange, self.parts.attachments.exchange):
            assert not exchange.things and not exchange.unanswered()


def result(deferred: Any) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "not fired"
    return found[0]


def settled(value: Any) -> Any:
    return succeed(value)
