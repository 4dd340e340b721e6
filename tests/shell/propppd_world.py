"""propppd's links on a data path in memory, with PPP clients at the other ends of its ports, in virtual time."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from prol2tp.config.propppd import load
from prol2tp.control.commands.propppd import ATTACH_ROW, CHANGED_ROW
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd import reload
from prol2tp.daemons.propppd.aaa import Chain, LocalUsers
from prol2tp.daemons.propppd.attach import Owners
from prol2tp.daemons.propppd.commands import Commands
from prol2tp.daemons.propppd.dials import Dials
from prol2tp.daemons.propppd.ipv6 import IPv6
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links, World
from prol2tp.daemons.propppd.pppoe import PPPoEDial
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.daemons.propppd.tty import TtyDial
from prol2tp.dataplane.interface import SessionSpec, TunnelSpec
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.dataplane.network import MemoryNetwork
from prol2tp.net.driver import Driver
from prol2tp.ppp import outputs
from prol2tp.ppp.link import Link
from prol2tp.ppp.settings import LinkSettings
from tests.ipv6_ends import DUID

CONFIG = """
profile "subscribers" {
    auth true
    auth_methods chap pap
    local_ip 10.5.1.1
    ip_pool "pool1"
    dns 9.9.9.9 149.112.112.112
}
profile "open" { local_ip 10.5.1.1; peer_ip 10.5.1.2 }
ip_pool "pool1" { range 10.5.1.100-10.5.1.102 }
user "u1@example.com" { password "pw1" }
user "u2@example.com" { password "pw2"; ip 10.5.1.150; routes 192.0.2.0/24 }
user "u3@example.com" { password "pw3" }
user "u4@example.com" { password "pw4" }
"""


class Events:
    """IPathEvents that nobody minds."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Prol2tpd:
    """The other end of the control connection."""

    def __init__(self) -> None:
        self.on_lost: list[Any] = []
        self.calls: list[list[dict[str, Any]]] = []

    def call(self, name: str, **arguments: Any) -> Any:
        if name == "ClaimSession":
            return self.claim(**arguments)
        assert name == "SessionsChanged"
        rows = list(arguments["sessions"])
        assert all(list(row) == [field.name for field in CHANGED_ROW.fields] for row in rows)
        self.calls.append(rows)
        return succeed({})

    def claim(self, **arguments: Any) -> Any:
        """Answers ClaimSession; set by a test."""
        raise AssertionError(arguments)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for call in self.calls for row in call]

    def lose(self) -> None:
        for function in self.on_lost:
            function(self)


class Client:
    """A PPP peer on the other end of a joined port."""

    def __init__(self, world: LinksWorld, port: int, settings: LinkSettings) -> None:
        self.core = Link(settings, world.random)
        self.port = port
        self.networks: dict[str, outputs.NetworkUp] = {}
        self.down: outputs.LinkDown | None = None
        self.said: list[outputs.PeerSays] = []
        self.driver = Driver(self.core, {
            outputs.SendFrame: lambda output: world.far.port_send(port, output.frame),
            outputs.NetworkUp: lambda output: self.networks.__setitem__(output.protocol, output),
            outputs.NetworkDown: lambda output: self.networks.pop(output.protocol),
            outputs.LinkDown: lambda output: setattr(self, "down", output),
            outputs.CompressionUp: lambda output: world.far.port_compress(
                port, output.send, output.receive, output.send_option, output.receive_option),
            outputs.CompressionDown: lambda output: world.far.port_compress(port),
            outputs.CompressionReset: self._reset,
            outputs.LinkOpened: lambda output: None,
            outputs.PeerSays: self.said.append,
            outputs.LinkAuthenticated: lambda output: None,
        }, world.clock)
        world.far.port_receiver(port, lambda frame: self.driver.call(self.core.receive, frame))

        self._world = world

    def _reset(self, output: outputs.CompressionReset) -> None:
        if output.direction == "send":
            self._world.far.port_reset(self.port)

    def open(self) -> Client:
        self.driver.call(self.core.open)
        return self


class LinksWorld:
    """The daemon's parts as `service` puts them together, without sockets."""

    def __init__(self, config: str = CONFIG, run_dir: str = "/nonexistent") -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.near, self.far = MemoryDataPlane(self.clock), MemoryDataPlane(self.clock)
        self.network = MemoryNetwork()
        self.log = Log("test", Level.CRITICAL)
        self.config = load(config, "test.conf")
        self.users = LocalUsers(self.config.users)
        self.events: list[tuple[str, str]] = []
        self._random = 0
        self.links = Links(World(
            self.clock, self.near, self.network, Chain([self.users]), self.log, self.log, run_dir, self.random,
            lambda: 1_500_000_000 + self.clock.seconds(), lambda name, link: self.events.append((name, link.name))))
        self.links.followers.add(IPv6(self.links, lambda: DUID))
        reload.configure(self.links, self.users, self.config)
        self.segments: dict[str, Any] = {}
        """What opens an Ethernet interface, by its name: `(receive, lost, tagged)`."""
        self.dials = Dials(self.links, self.clock, self.log, {"pppoe": PPPoEDial, "tty": TtyDial}, self._open_ethernet)
        self.prol2tpd = Prol2tpd()
        self.attachments = Owners(self.links, self.clock, self.log)
        self._tunnel = {plane: self._start(plane) for plane in (self.near, self.far)}
        self._sessions = 0

    def configure(self, text: str) -> str:
        """What SIGHUP does with a new file."""
        old, self.config = self.config, load(text, "test.conf")
        summary, done = reload.apply(self.links, self.users, old, self.config)
        result(done)
        return summary

    def _open_ethernet(self, interface: str, *arguments: Any) -> Any:
        if interface not in self.segments:
            raise OSError(errno.ENODEV, "no such device")
        return self.segments[interface](*arguments)

    def commands(self) -> dict[str, Any]:
        """Responders of the control channel."""
        status = Status(self.links, ConfigCounts(), "/etc/prol2tp/propppd.conf", self.log)
        return Commands(self.links, status, self.attachments, self.dials, lambda: "nothing changed", dict,
                        lambda level: None).table()

    def random(self, length: int) -> bytes:
        self._random += 1
        return self._random.to_bytes(8, "big").rjust(length, b"\5")[-length:]

    def _start(self, plane: MemoryDataPlane) -> int:
        plane.start(Events())
        listener = result(plane.listen(("192.0.2.1", 1701)))
        os.close(listener.control)
        spec = TunnelSpec(listener.id, ("192.0.2.1", 1701), ("192.0.2.2", 1701), 1, 1)
        return result(plane.tunnel_add(spec))

    def session(self) -> tuple[int, int]:
        """A session in the tunnel: its ports at both ends."""
        self._sessions += 1
        ports = [result(plane.session_add(SessionSpec(tunnel, self._sessions, self._sessions)))
                 for plane, tunnel in self._tunnel.items()]
        self.near.join(ports[0], self.far, ports[1])
        return ports[0], ports[1]

    def row(self, port: int, profile: str = "subscribers", **values: Any) -> dict[str, Any]:
        """An attach row."""
        defaults = {"text": "", "integer": 0, "boolean": True, "json": None}
        row = {field.name: defaults[field.type] for field in ATTACH_ROW.fields}
        return {**row, "id": f"1/{port}", "port": port, "tunnel_id": 1, "session_id": port, "version": 2,
                "ppp_profile": profile, **values}

    def attach(self, *rows: dict[str, Any]) -> list[str | None]:
        """What prol2tpd does."""
        return self.attachments.attach(self.prol2tpd, list(rows))["results"]

    def client(self, user: str = "u1@example.com", password: str = "pw1", profile: str = "subscribers",
               row: dict[str, Any] | None = None, **settings: Any) -> tuple[Client, PPPLink]:
        """A session with both of its ends, LCP started."""
        near, far = self.session()
        assert self.attach(self.row(near, profile, **(row or {}))) == [None]
        link = self.links.by_port[near]
        client = Client(self, far, LinkSettings(user=user, password=password, **settings))
        client.open()
        self.settle()
        return client, link

    def settle(self, seconds: float = 0.0) -> None:
        """Let all that is due happen."""
        self.clock.advance(seconds)
        for _ in range(400):
            due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
            if not due:
                return
            self.clock.advance(0)
        raise AssertionError("it does not come to rest")

    def later(self, seconds: float, step: float = 0.5) -> None:
        """Time passes, with all that is due on the way."""
        for _ in range(int(seconds / step)):
            self.settle(step)

    def sessions_gone(self, *links: PPPLink) -> None:
        """What prol2tpd does when it is told `closed`."""
        for link in links:
            self.near.port_delete(link.port)


def result(deferred: Any) -> Any:
    """The value of a Deferred that has fired."""
    found: list[Any] = []
    failed: list[Any] = []
    deferred.addCallbacks(found.append, failed.append)
    if failed:
        failed[0].raiseException()
    assert found, "no result yet"
    return found[0]
