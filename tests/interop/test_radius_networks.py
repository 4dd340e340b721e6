"""What FreeRADIUS grants, as the kernel shows it: addresses, networks, routes, tables, sets of nftables, timeouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from prol2tp.daemons.propppd import leftovers
from tests.daemons import Suite
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import lac_links, lac_tunnels, lns_links, lns_tunnels
from tests.netns import Namespace, World, wait_until
from tests.peers import FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "tshark")]

USERS = """\
u1@example.com Cleartext-Password := "pw1"
    Framed-IP-Address = 10.6.0.101,
    Framed-IP-Netmask = 255.255.255.248,
    Framed-Route = "192.0.2.0/24 10.6.0.102 5",
    Framed-Route += "198.51.100.0/24",
    Framed-IPv6-Route = "2001:db8:77::/48 :: 7",
    Framed-MTU = 1400,
    Filter-Id = "gold.in",
    MS-Primary-DNS-Server = 9.9.9.9

u2@example.com Cleartext-Password := "pw2"
    Framed-IP-Address = 10.6.0.120,
    Filter-Id = "garden",
    Session-Timeout = 6

u3@example.com Cleartext-Password := "pw3"
    Framed-IP-Address = 10.6.0.130,
    Cisco-AVPair = "ip:table-id=77",
    Cisco-AVPair += "ip:route=203.0.113.0 255.255.255.0"

u4@example.com Cleartext-Password := "pw4"
    Port-Limit = 1,
    Cisco-AVPair = "ip:addr-pool=gold"
"""
FILTERS = """
filter "gold" { nft_set "inet fw gold" }
filter "garden" { nft_set "inet fw garden" }
"""
RULES = """
table inet fw {
    set gold { type ifname; }
    set garden { type ipv4_addr; flags interval; }
    chain input { type filter hook input priority 0; ip saddr @garden drop; }
}
"""


def listed(host: Namespace, *words: str) -> list[dict[str, Any]]:
    return json.loads(host.run("ip", "-j", *words).stdout or "[]")


def routes(host: Namespace, *words: str) -> dict[str, tuple[str, str, int]]:
    """Device, gateway and metric by network."""
    return {route["dst"]: (route["dev"], route.get("gateway", ""), route.get("metric", 0))
            for route in listed(host, *words)}


def elements(host: Namespace, name: str) -> list[Any]:
    found = json.loads(host.run("nft", "-j", "list", "set", "inet", "fw", name).stdout)["nftables"]
    return [element for one in found for element in one.get("set", {}).get("elem", ())]


class Users:
    """An LNS with FreeRADIUS, and users who come from one LAC."""

    def __init__(self, world: World, *names: str) -> None:
        self.lns, self.lac = world.namespaces["lns"], world.namespaces["lac"]
        self.lns.run("nft", "-f", world.file("rules.nft", RULES))
        FreeRADIUS(self.lns, USERS, configuration=CONFIGURATION)
        self.ours = Suite(self.lns, lns_tunnels(), lns_links("chap") + FILTERS)
        users = [(name, f"pw{name[1:]}") for name in names]
        self.theirs = Suite(self.lac, lac_tunnels(*users), lac_links("chap"))

    def online(self, count: int) -> dict[str, str]:
        """Interfaces of the LNS by user."""
        return {str(row["user"]).partition("@")[0]: str(row["interface"]) for row in self.ours.wait_online(count)}

    def client(self, address: str) -> str:
        """The interface of the LAC that has an address."""
        return next(link["ifname"] for link in listed(self.lac, "address") for one in link["addr_info"]
                    if one.get("local") == address)


@pytest.fixture
def users(world: World) -> Iterator[Users]:
    yield Users(world, "u1", "u2", "u3")


def test_networks_routes_tables_sets_and_timeouts_of_an_accept_take_effect(users: Users) -> None:
    lns, lac = users.lns, users.lac
    found = users.online(3)
    one, two, three = found["u1"], found["u2"], found["u3"]
    main = routes(lns, "route")
    assert main["10.6.0.96/29"] == (one, "", 0) and main["10.6.0.101"][0] == one
    assert main["192.0.2.0/24"] == (one, "10.6.0.102", 5) and main["198.51.100.0/24"] == (one, "", 0)
    wait_until(lambda: routes(lns, "-6", "route").get("2001:db8:77::/48") == (one, "", 7), 10, "the route of IPv6")
    assert listed(lns, "link", "show", one)[0]["mtu"] == 1400

    assert "10.6.0.130" not in main
    assert set(routes(lns, "route", "show", "table", "77")) == {"10.6.0.130", "203.0.113.0/24"}
    rules = {rule["iif"] for rule in listed(lns, "rule") if str(rule.get("table")) == "77"}
    assert rules == {three, "lo"}

    # there and back: to a host behind the user, and to our address
    lac.run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
    # our address is behind each of the three: the host answers through the user that it is behind
    lac.run("ip", "rule", "add", "from", "192.0.2.7", "table", "7")
    lac.run("ip", "route", "add", "10.6.0.1", "dev", users.client("10.6.0.101"), "table", "7")
    lns.ping("192.0.2.7")
    lac.ping("10.6.0.1", interface=users.client("10.6.0.101"))
    lac.ping("10.6.0.1", interface=users.client("10.6.0.130"))

    assert elements(lns, "gold") == [one]
    assert elements(lns, "garden") == ["10.6.0.120"]
    words = ("ping", "-c", "1", "-W", "1", "-I", users.client("10.6.0.120"), "10.6.0.1")
    assert lac.run(*words, check=False).returncode == 1
    said = users.ours.processes["propppd"]
    said.wait_for(r"ended: Session Timeout.*user u2@example\.com", 20)
    wait_until(lambda: elements(lns, "garden") == [] and two not in lns.interfaces(), 10, "the timed out user is gone")

    users.theirs.stop()
    wait_until(lambda: lns.interfaces() == {"lo", "eth0"}, 15, "all interfaces are gone")
    assert elements(lns, "gold") == [] and not [rule for rule in listed(lns, "rule") if "iif" in rule]
    assert list(leftovers.read(str(users.ours.run_dir / leftovers.FILE))) == []


def test_a_user_has_as_many_links_as_port_limit_says(world: World) -> None:
    users = Users(world, "u4")
    (name,) = users.online(1).values()
    assert f"10.7.0.1 dev {name}" in users.lns.run("ip", "route").stdout
    once = lac_tunnels(("u4", "pw4"))
    again = once.replace('"one"', '"two"').replace('session "u4"', 'session "again"')
    users.theirs.configure("prol2tpd", once + again.partition("\n")[2])
    users.theirs.tool("prol2tp", "reload")
    users.ours.processes["propppd"].wait_for("u4@example.com refused: online 1 times, and the port limit is 1", 20)
    assert len(users.ours.online()) == 1


def test_what_a_daemon_set_that_was_killed_is_taken_away_by_the_next_one(world: World) -> None:
    users = Users(world, "u1", "u3")
    before = users.online(2)
    users.ours.processes["propppd"].popen.kill()
    wait_until(lambda: not users.ours.processes["propppd"].running(), 10, "killed")
    users.theirs.stop()
    assert elements(users.lns, "gold") == [before["u1"]]
    assert len([rule for rule in listed(users.lns, "rule") if "iif" in rule]) == 2
    users.ours.start("propppd")
    users.ours.processes["propppd"].wait_for("settings of a daemon that died are taken away", 20)
    wait_until(lambda: elements(users.lns, "gold") == [], 10, "the set is empty")
    wait_until(lambda: not [rule for rule in listed(users.lns, "rule") if "iif" in rule], 10, "no rules are left")
