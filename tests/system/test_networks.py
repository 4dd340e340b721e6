"""Users on a shared interface, routed in a table of their own, with a network behind one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

LNS_TUNNELS = """
system { hostname "lns"; listen 10.99.0.1:1701 }
session profile "lac" { pseudowire_type ppp; ppp_profile "subscribers" }
tunnel profile "lac1" { peer 10.99.0.0/24; session_profile "lac" }
"""
LNS_LINKS = """
profile "subscribers" {
    auth true
    local_ip 10.6.0.1
    ip_pool "pool"
    interface shared
    interface_name users
    table 55
}
ip_pool "pool" { prefix 10.6.0.0/28 }
user "u1@example.com" { password "pw1"; ip 10.7.0.9; netmask 255.255.255.248; routes 192.0.2.0/24 }
user "u2@example.com" { password "pw2" }
user "u3@example.com" { password "pw3"; table 0 }
"""
LAC_TUNNELS = """
system { hostname "lac" }
tunnel "one" {
    peer 10.99.0.1
    session "u1" { pseudowire_type ppp; ppp_profile "client"; user_name "u1@example.com"; user_password "pw1" }
    session "u2" { pseudowire_type ppp; ppp_profile "client"; user_name "u2@example.com"; user_password "pw2" }
    session "u3" { pseudowire_type ppp; ppp_profile "client"; user_name "u3@example.com"; user_password "pw3" }
}
"""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"])
        yield made


def test_a_shared_interface_has_its_own_table(world: World) -> None:
    host, lac = world.namespaces["lns"], world.namespaces["lac"]
    lns = Suite(host, LNS_TUNNELS, LNS_LINKS)
    theirs = Suite(lac, LAC_TUNNELS, 'profile "client" { auth false }')
    lns.wait_online(2)
    devices = {str(row["user"])[:2]: str(row["interface"]) for row in theirs.wait_online(2)}
    said = lns.processes["propppd"]
    said.wait_for("u3@example.com refused: interface users is shared, and the user has routing table 0 of his own")

    table = host.run("ip", "route", "show", "table", "55").stdout
    for network in ("10.7.0.9 ", "10.7.0.8/29 ", "192.0.2.0/24 "):
        assert f"{network}dev users" in table
    main = host.run("ip", "route").stdout
    assert "users" not in main
    rules = [rule for rule in json.loads(host.run("ip", "-j", "rule").stdout) if "iif" in rule]
    assert {(rule["iif"], str(rule["table"])) for rule in rules} == {("users", "55"), ("lo", "55")}

    for user in ("u1", "u2"):
        lac.ping("10.6.0.1", interface=devices[user])
    lac.run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
    lac.run("ip", "address", "add", "10.7.0.14/32", "dev", "lo")
    host.ping("192.0.2.7")
    host.ping("10.7.0.14")

    theirs.stop()
    wait_until(lambda: host.interfaces() == {"lo", "eth0"}, 15, "the interface is gone")
    assert not [rule for rule in json.loads(host.run("ip", "-j", "rule").stdout) if "iif" in rule]
    assert host.run("ip", "route", "show", "table", "55", check=False).stdout == ""
