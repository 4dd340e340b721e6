"""Two clients behind one address translator are two peers: a tunnel is found by address, port and id."""

from __future__ import annotations

from tests.daemons import Suite
from tests.netns import World, wait_until
from tests.system.test_suite import CLIENT, SUBSCRIBERS, client, pytestmark, server

__all__ = ["pytestmark"]

MASQUERADE = """
table ip nat {
    chain post {
        type nat hook postrouting priority 100;
        oifname "eth0" masquerade
    }
}
"""
OUTSIDE, LNS = "10.99.0.2", "10.99.0.1"


def test_two_clients_behind_one_address_are_online_and_one_leaves_alone() -> None:
    with World() as world:
        nat, lns = world.namespace("nat"), world.namespace("lns")
        world.cable(nat, lns, [f"{OUTSIDE}/24"], [f"{LNS}/24"])
        insides = []
        for number in (1, 2):
            host = world.namespace(f"lac{number}")
            world.cable(host, nat, [f"192.168.{number}.2/24"], [f"192.168.{number}.1/24"], device_two=f"in{number}")
            host.run("ip", "route", "add", "default", "via", f"192.168.{number}.1")
            insides.append(host)
        nat.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        nat.run("nft", "-f", world.file("nat.nft", MASQUERADE))
        ours = Suite(lns, server(), SUBSCRIBERS.format(extra=""))
        clients = []
        for number, host in enumerate(insides, 1):
            # the same port inside: only the translator keeps them apart
            text = client(number, tunnel="local 0.0.0.0:1702").replace('user_name "u1', f'user_name "u{number * 2 - 1}')
            text = text.replace('user_password "pw1"', f'user_password "pw{number * 2 - 1}"')
            clients.append(Suite(host, text, CLIENT.format(extra="")))
        ours.wait_online(3)
        assert {row["peer"].rpartition(":")[0] for row in ours.tunnels()} == {OUTSIDE}
        assert len({row["peer"] for row in ours.tunnels()}) == 2
        for suite, count in zip(clients, (1, 2), strict=True):
            for row in suite.wait_online(count):
                suite.host.ping("10.5.1.1", interface=row["interface"])
        clients[0].stop()
        wait_until(lambda: len(ours.online()) == 2, 15, "one client's user is gone")
        row = clients[1].wait_online(2)[0]
        clients[1].host.ping("10.5.1.1", interface=row["interface"])
