"""Subscribers of our access concentrator whose PPP ends on the same host: PPPoE by proacd, PPP by propppd. One daemon
after the other is killed, and nobody is left half online."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.netns import Failed, World, wait_until

pytestmark = pytest.mark.root

PROACD = """
system { hostname "bras"; log_level info }
route "local" { source pppoe { interface sub0 service any } destination ppp { ppp_profile "users" } }
"""
PROPPPD = """
system { log_level info }
profile "users" {
    auth true; auth_methods chap; local_ip 10.5.1.1; ip_pool "p"; ipv6 false; one_session_per_user true
}
ip_pool "p" { range 10.5.1.100-10.5.1.199 }
user "u1" { password "pw1" }
user "u2" { password "pw2" }
"""
CLIENT = """
system { log_level info }
profile "u1" { user "u1"; password "pw1"; ipv6 false; lcp_echo_interval 1; lcp_echo_failures 3 }
profile "u2" { user "u2"; password "pw2"; ipv6 false; lcp_echo_interval 1; lcp_echo_failures 3 }
"""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        client, bras = made.namespace("client"), made.namespace("bras")
        made.cable(client, bras, [], [], device_two="sub0", mtu=1508)
        yield made


class Network:
    def __init__(self, world: World) -> None:
        self.host = world.namespaces["client"]
        self.bras = Suite(world.namespaces["bras"], 'system { hostname "bras" }\n', PROPPPD, proacd=PROACD)
        self.client = Suite(self.host, "", CLIENT)
        for user in ("u1", "u2"):
            self.client.tool("propppctl", "create", "pppoe", "interface", "eth0", "persist", "holdoff", "1", "profile",
                             user)
        self.online()

    def online(self, seconds: float = 30) -> None:
        """Both users are in, once each, at both ends, and packets pass."""

        def in_once() -> bool:
            here = [row["user"] for row in self.client.online()]
            there = [row["user"] for row in self.bras.links() if row["up"]]
            routes = self.bras.json("proac_info", "-r")
            return sorted(here) == sorted(there) == ["u1", "u2"] and len(self.bras.links()) == len(routes) == 2

        wait_until(in_once, seconds, "both users are online, once each", every=0.2)
        for link in self.client.online():
            self.host.ping("10.5.1.1", interface=str(link["interface"]))

    def kill(self, daemon: str) -> None:
        process = self.bras.processes[daemon]
        process.popen.kill()
        process.popen.wait()
        self.bras.start(daemon)
        tool, word = {"propppd": ("propppctl", "list"), "proacd": ("proac_info", "-r")}[daemon]

        def answers() -> bool:
            try:
                self.bras.tool(tool, word)
            except Failed:
                return False
            return True

        wait_until(answers, 20, f"{daemon} is there again", every=0.2)


def test_users_are_online_whatever_daemon_is_killed_and_gone_when_they_hang_up(world: World) -> None:
    network = Network(world)
    (link, _) = network.bras.online()
    shown = network.bras.json("propppctl", "show", str(link["name"]))
    assert shown["type"] == "pppoe" and shown["pppoe"]["interface"] == "sub0"
    assert shown["pppoe"]["peer_mac"].count(":") == 5 and shown["pppoe"]["max_payload"] == shown["mtu"] == 1500
    network.host.ping("10.5.1.1", interface=str(network.client.online()[0]["interface"]), size=1472)
    for daemon in ("propppd", "proacd"):
        network.kill(daemon)
        network.online(45)
    for row in network.client.links():
        network.client.tool("propppctl", "destroy", str(row["name"]))
    wait_until(lambda: not network.bras.links() and not network.bras.json("proac_info", "-r"), 10, "nobody is left")
    assert network.host.interfaces() == {"lo", "eth0"}
    assert world.namespaces["bras"].interfaces() == {"lo", "sub0"}
