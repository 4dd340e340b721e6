"""propppd as a process with links that it opens itself: PPPoE over a cable, and ttys; pings pass through ppp0."""

from __future__ import annotations

import os
import signal
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Suite
from tests.netns import Failed, World, wait_until
from tests.pppoe_server import PPPoEServer

pytestmark = pytest.mark.root

CLIENT = """
profile "dsl" { user "u1"; password "pw1"; ipv6 false; lcp_echo_interval 1; lcp_echo_failures 3 }
profile "wrong" { user "u1"; password "pw2"; ipv6 false }
"""
CREATE = ("create", "pppoe", "interface", "eth0", "profile", "dsl")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


class Line:
    """A subscriber with propppd, and a PPPoE server at the other end of its cable."""

    def __init__(self, world: World, mtu: int = 1500, tagged: bool = False, **settings: Any) -> None:
        self.world = world
        self.host, self.bras = world.namespace("host"), world.namespace("bras")
        world.cable(self.host, self.bras, [], [], mtu=mtu)
        self.server = PPPoEServer(self.bras, "eth0", {"u1": "pw1"}, tagged, **settings)
        self.suite = Suite(self.host, "", CLIENT, debug=True)

    def create(self, *words: str) -> str:
        return self.suite.tool("propppctl", *(words or CREATE)).strip()

    def online(self, count: int = 1) -> None:
        self.suite.wait_online(count, 15)

    def show(self, name: str = "session-1") -> dict[str, Any]:
        return self.suite.json("propppctl", "show", name)

    def gone(self) -> None:
        wait_until(lambda: not self.suite.links(), 15, "no link is left", every=0.1)
        wait_until(lambda: self.host.interfaces() == {"lo", "eth0"}, 5, "no interface is left")


@pytest.fixture
def line(world: World) -> Iterator[Line]:
    made = Line(world)
    try:
        yield made
    finally:
        made.server.stop()


def test_a_pppoe_link_carries_pings_and_ends_with_terminate_and_padt(line: Line) -> None:
    assert line.create() == "session-1"
    line.online()
    line.host.ping("10.9.0.1", interface="ppp0")
    line.host.ping("10.9.0.1", interface="ppp0", size=1464)
    record = line.show()
    assert (record["mtu"], record["pppoe"]["max_payload"], record["pppoe"]["state"]) == (1492, 1492, "SESSION")
    assert "mtu 1492" in line.host.run("ip", "link", "show", "ppp0").stdout
    assert max(line.server.pings) == 1492
    text = line.suite.tool("propppctl", "show", "session-1")
    assert "  type: PPPoE\n" in text and " pppoe:\n  interface: eth0\n" in text and "ac name: 'bras1'" in text
    (link,) = line.server.links.values()
    line.suite.tool("propppctl", "destroy", "session-1")
    line.gone()
    wait_until(lambda: line.server.closed, 5, "a PADT")
    assert line.server.closed[0].by_peer and link.lcp.terminated is not None


def test_several_links_share_an_interface(line: Line) -> None:
    for _ in range(3):
        line.create()
    line.online(3)
    for name in ("ppp0", "ppp1", "ppp2"):
        line.host.ping("10.9.0.1", interface=name)
    assert len({line.show(f"session-{n}")["pppoe"]["session_id"] for n in (1, 2, 3)}) == 3


def test_a_link_that_persists_comes_again_after_a_padt_and_after_a_dead_line(line: Line) -> None:
    line.create(*CREATE, "persist", "holdoff", "1")
    line.online()
    first = line.show()["pppoe"]["session_id"]
    (key,) = line.server.links
    line.server.do(lambda: line.server.core.close_session(key, 0.0))
    wait_until(lambda: another(line, first), 20, "another session", every=0.2)
    line.online()
    line.host.ping("10.9.0.1", interface="ppp0")
    second = line.show()["pppoe"]["session_id"]
    line.server.muted = True
    wait_until(lambda: not line.suite.online(), 20, "the echo requests are not answered", every=0.2)
    line.server.muted = False
    wait_until(lambda: another(line, second), 30, "a third session", every=0.2)
    line.online()
    assert [row["name"] for row in line.suite.links()] == ["session-1"]


def another(line: Line, session_id: int) -> bool:
    with suppress(Failed):
        return line.show()["pppoe"]["session_id"] not in (0, session_id)
    return False


def test_a_wrong_password_ends_the_link(line: Line) -> None:
    line.create("create", "pppoe", "interface", "eth0", "profile", "wrong")
    daemon = line.suite.processes["propppd"]
    daemon.wait_for("session-1: ended: Authentication To Peer Failed")
    line.gone()
    wait_until(lambda: line.server.closed, 5, "a PADT")


def test_an_interface_that_goes_down_ends_the_link_and_it_comes_again_when_it_is_up(line: Line) -> None:
    line.create(*CREATE, "persist", "holdoff", "1", "maxfail", "0")
    line.online()
    line.host.run("ip", "link", "set", "eth0", "down")
    line.suite.processes["propppd"].wait_for(r"session-1: ended: Lost Carrier \(interface eth0 is down\)")
    line.host.run("ip", "link", "set", "eth0", "up")
    line.online()
    line.host.ping("10.9.0.1", interface="ppp0")


def test_sigterm_ends_links_and_sessions(line: Line) -> None:
    line.create(*CREATE, "persist")
    line.online()
    assert line.suite.processes["propppd"].stop() in (0, -signal.SIGTERM)
    wait_until(lambda: line.server.closed, 5, "a PADT")
    wait_until(lambda: line.host.interfaces() == {"lo", "eth0"}, 5, "no interface is left")


def test_after_a_crash_of_propppd_the_interface_is_free_for_a_new_link(line: Line) -> None:
    line.create()
    line.online()
    assert line.suite.processes["propppd"].stop(signal.SIGKILL) == -signal.SIGKILL
    line.suite.start("propppd")
    wait_until(lambda: not line.host.interfaces() - {"lo", "eth0"}, 20, "what was left is gone", every=0.2)
    wait_until(lambda: line.suite.tool("propppctl", "status", check=False), 20, "propppd is there again", every=0.2)
    line.create()
    line.online()
    line.host.ping("10.9.0.1", interface="ppp0")


def test_after_a_crash_of_the_data_path_a_link_that_persists_comes_again(line: Line) -> None:
    line.create(*CREATE, "persist", "holdoff", "1")
    line.online()
    pathd = [pid for pid in line.host.pids()
             if b"prol2tp.daemons.pathd" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(pathd[0], signal.SIGKILL)
    line.suite.processes["propppd"].wait_for("session-1: ended: NAS Error")
    line.online()
    line.host.ping("10.9.0.1", interface="ppp0")


def test_an_unknown_interface_is_refused_in_one_line(line: Line) -> None:
    for name, why in (("eth7", "No such device"), ("a-name-that-is-far-too-long", ""),
                      ("lo", "is no Ethernet interface")):
        with pytest.raises(Failed, match=f"interface {name}:? {why}"):
            line.create("create", "pppoe", "interface", name, "profile", "dsl")
    assert line.suite.links() == []


def test_packets_of_1500_octets_pass_where_the_interface_has_room(world: World) -> None:
    line = Line(world, mtu=1508)
    try:
        line.create()
        line.online()
        assert (line.show()["mtu"], line.show()["pppoe"]["max_payload"]) == (1500, 1500)
        line.host.ping("10.9.0.1", interface="ppp0", size=1472)
        assert max(line.server.pings) == 1500
    finally:
        line.server.stop()


def test_a_vlan_needs_no_interface(world: World) -> None:
    line = Line(world, tagged=True)
    try:
        line.create(*CREATE, "vlan", "7")
        line.online()
        line.host.ping("10.9.0.1", interface="ppp0")
        assert all(tags[0].vid == 7 for tags in line.server._vlans.values())
    finally:
        line.server.stop()


class Serial:
    """Two ptys joined by a cable that a thread plays: what comes out of one goes into the other."""

    def __init__(self) -> None:
        pairs = [os.openpty(), os.openpty()]
        for _, slave in pairs:
            # else it echoes what comes before anybody has opened it
            tty.setraw(slave)
        self.masters = [pair[0] for pair in pairs]
        self.slaves = [pair[1] for pair in pairs]
        self.devices = [os.ttyname(slave) for slave in self.slaves]
        one, two = self.masters
        self.threads = [threading.Thread(target=self._carry, args=way, daemon=True) for way in ((one, two), (two, one))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _carry(source: int, target: int) -> None:
        with suppress(OSError):
            while octets := os.read(source, 4096):
                os.write(target, octets)

    def close(self) -> None:
        for descriptor in self.slaves:
            os.close(descriptor)
        for descriptor in self.masters:
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def serial() -> Iterator[Serial]:
    made = Serial()
    yield made
    made.close()


def pair(world: World, serial: Serial) -> list[Suite]:
    profiles = ('profile "serial" { local_ip 10.7.0.1; peer_ip 10.7.0.2; auth true; name "far" }\n'
                'user "me" { password "pw" }',
                'profile "serial" { user "me"; password "pw" }')
    suites = [Suite(world.namespace(name), "", text) for name, text in zip(("far", "near"), profiles, strict=True)]
    for suite, device in zip(suites, serial.devices, strict=True):
        suite.tool("propppctl", "create", "tty", device, "115200", "local", "profile", "serial")
    for suite in suites:
        suite.wait_online(1, 20)
    return suites


def test_two_daemons_ping_each_other_over_a_tty(world: World, serial: Serial) -> None:
    far, near = pair(world, serial)
    near.host.ping("10.7.0.1", interface="ppp0")
    near.host.ping("10.7.0.1", interface="ppp0", size=1472, count=10)
    far.host.ping("10.7.0.2", interface="ppp0", size=1472)
    text = near.tool("propppctl", "show", "session-1")
    assert f" tty:\n  device: {serial.devices[1]}, speed: 115200\n" in text
    assert "  send asyncmap: 00000000, receive asyncmap: 00000000\n" in text
    near.tool("propppctl", "destroy", "session-1")
    for suite in (far, near):
        wait_until(lambda suite=suite: not suite.links(), 15, "no link is left", every=0.1)  # type: ignore[misc]
        wait_until(lambda suite=suite: suite.host.interfaces() == {"lo"}, 5, "no ppp0")  # type: ignore[misc]


def test_a_tty_that_hangs_up_ends_its_link(world: World) -> None:
    suite = Suite(world.namespace("near"), "", 'profile "serial" { max_configure 255 }')
    master, slave = os.openpty()
    suite.tool("propppctl", "create", "tty", os.ttyname(slave), "profile", "serial")
    wait_until(lambda: os.read(master, 4096), 10, "a Configure-Request")
    os.close(master)
    suite.processes["propppd"].wait_for(r"session-1: ended: Lost Carrier \(hang-up\)")
    os.close(slave)
    assert suite.links() == []


def test_a_file_that_is_no_tty_is_refused_in_one_line(world: World) -> None:
    suite = Suite(world.namespace("near"), "", 'profile "serial" { }')
    with pytest.raises(Failed, match="/dev/null is no tty"):
        suite.tool("propppctl", "create", "tty", "/dev/null", "profile", "serial")
    path = Path(world.path("file"))
    path.write_text("")
    with pytest.raises(Failed, match="is no tty"):
        suite.tool("propppctl", "create", "tty", str(path), "profile", "serial")
