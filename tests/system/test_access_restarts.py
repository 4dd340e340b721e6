"""Subscribers behind an access concentrator and an LNS of ours. One daemon after the other is killed on the way: all
notice, nobody is left half online, and who was online is again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.netns import Failed, World, wait_until

pytestmark = [pytest.mark.root, pytest.mark.long]

USERS = ("u1", "u2", "u3")
PROACD = """
system { hostname "lac"; log_level info }
route "static" {
    source pppoe { interface sub0 service any }
    destination l2tp { peer 10.99.0.1 secret "s3cret" auth_mode challenge max_retries 2 idle_timeout 1 }
}
"""
LNS = """
system { hostname "lns"; listen 10.99.0.1:1701; log_level info }
session profile "lac" { pseudowire_type ppp; ppp_profile "users" }
tunnel profile "lac" {
    peer 10.99.0.2; secret "s3cret"; auth_mode challenge; session_profile "lac"; hello_timeout 5; max_retries 2
}
"""
LNS_LINKS = """
profile "users" {
    auth true; auth_methods chap; local_ip 10.5.1.1; ip_pool "p"; ipv6 false; second_login preempt
    lcp_echo_interval 1; lcp_echo_failures 4
}
ip_pool "p" { range 10.5.1.100-10.5.1.199 }
""" + "".join(f'user "{user}" {{ password "pw-{user}" }}\n' for user in USERS)
CLIENT = "".join(
    f"""
profile "{user}" {{
    user "{user}"; password "pw-{user}"; ipv6 false; lcp_echo_interval 1; lcp_echo_failures 4
}}
""" for user in USERS)
TOOLS = {"propppd": ("propppctl", "list"), "prol2tpd": ("prol2tp", "show", "tunnels"), "proacd": ("proac_info", "-r")}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        client, lac, lns = (made.namespace(name) for name in ("client", "lac", "lns"))
        made.cable(client, lac, [], [], device_two="sub0")
        made.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"])
        yield made


class Network:
    def __init__(self, world: World) -> None:
        self.lns = Suite(world.namespaces["lns"], LNS, LNS_LINKS)
        self.lac = Suite(world.namespaces["lac"], 'system { hostname "lac"; log_level info }\n', proacd=PROACD)
        self.client = Suite(world.namespaces["client"], "", CLIENT)
        for user in USERS:
            self.client.tool("propppctl", "create", "pppoe", "interface", "eth0", "persist", "holdoff", "1", "profile",
                             user)

    def in_once(self) -> bool:
        """Each user has one link at both ends, one route and one session between them."""
        names = sorted(USERS)
        routes, calls, sessions = self.lac.json("proac_info", "-r"), self.lac.sessions(), self.lns.sessions()
        links = self.lns.links()
        return (
            sorted(row["user"] for row in self.client.online()) == names
            and sorted(row["user"] for row in links if row["up"]) == names
            and len(links) == len(routes) == len(calls) == len(sessions) == len(names)
        )

    def online(self, seconds: float) -> None:
        wait_until(self.in_once, seconds, "all users are online, once each, everywhere", every=0.3)
        for link in self.client.online():
            self.client.host.ping("10.5.1.1", interface=str(link["interface"]))

    def kill(self, suite: Suite, daemon: str) -> None:
        process = suite.processes[daemon]
        process.popen.kill()
        process.popen.wait()
        suite.start(daemon)

        def answers() -> bool:
            try:
                suite.tool(*TOOLS[daemon])
            except Failed:
                return False
            return True

        wait_until(answers, 20, f"{daemon} is there again", every=0.2)


def test_whatever_daemon_is_killed_the_users_are_online_again_and_nothing_is_left_half_open(world: World) -> None:
    network = Network(world)
    network.online(30)
    for suite, daemon in ((network.lac, "proacd"), (network.lac, "prol2tpd"), (network.lns, "propppd"),
                          (network.lns, "prol2tpd")):
        network.kill(suite, daemon)
        network.online(60)
    for row in network.client.links():
        network.client.tool("propppctl", "destroy", str(row["name"]))
    wait_until(lambda: not network.lns.links() and not network.lac.json("proac_info", "-r"), 15, "nobody is left")
    network.lac.wait_gone()
    network.lns.wait_gone()
    assert network.lns.host.interfaces() == {"lo", "eth0"}
