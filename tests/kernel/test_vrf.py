"""Users in VRFs of a real kernel: their addresses and routes, the way through, and a RADIUS server that only a VRF has.

Two networks have the same addresses, `red` and `blue`, and so have a user of each.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_networks import listed, routes
from tests.interop.test_radius_users import lac_links, lac_tunnels, lns_links, lns_tunnels
from tests.kernel.paths import on
from tests.netns import Namespace, World, wait_until
from tests.peers import FreeRADIUS

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop("freeradius"),
    pytest.mark.kernel("l2tp_ppp", "ppp", guests=("umldeb",)),
]

TABLES = {"red": "1001", "blue": "1002"}
SERVER = "172.16.0.10"
USERS = """\
u1@example.com Cleartext-Password := "pw1"
    Framed-IP-Address = 10.6.0.101,
    Framed-Route = "192.0.2.0/24",
    Framed-IPv6-Prefix = 2001:db8:1:1::/64,
    Framed-IPv6-Route = "2001:db8:77::/48"

u2@example.com Cleartext-Password := "pw2"
    Framed-IP-Address = 10.6.0.101,
    Framed-Route = "192.0.2.0/24",
    Framed-IPv6-Route = "2001:db8:77::/48",
    Cisco-AVPair = "ip:vrf-id=blue"

u3@example.com Cleartext-Password := "pw3"
    Framed-IP-Address = 10.6.0.103,
    Framed-Route = "192.0.2.0/24",
    Cisco-AVPair = "ip:table-id=77"

u4@example.com Cleartext-Password := "pw4"
    Cisco-AVPair = "ip:vrf-id=green"
"""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        lns.run("modprobe", "vrf")
        lns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for name, table in TABLES.items():
            network = made.namespace(name)
            made.cable(network, lns, [f"{SERVER}/24"], ["172.16.0.1/24"], device_two=f"to-{name}")
            network.run("ip", "route", "add", "default", "via", "172.16.0.1")
            lns.run("ip", "link", "add", name, "type", "vrf", "table", table)
            lns.run("ip", "link", "set", name, "up")
            lns.run("ip", "link", "set", f"to-{name}", "master", name)
        yield made


def users_of(world: World, path: str) -> tuple[Suite, Suite]:
    """LNS and clients: u1 has the VRF of the profile, u2 one of his own, u3 a table; the VRF of u4 does not exist."""
    FreeRADIUS(world.namespaces["red"], USERS, SERVER, "172.16.0.0/24", configuration=CONFIGURATION)
    links = lns_links("chap").replace("local_ip", 'vrf "red"\n    local_ip').replace(
        "address 127.0.0.1", f'address {SERVER}; device "red"')
    ours = Suite(world.namespaces["lns"], on(path, lns_tunnels()), links)
    users = [(f"u{number}", f"pw{number}") for number in range(1, 5)]
    return ours, Suite(world.namespaces["lac"], lac_tunnels(*users), lac_links("chap"))


def interfaces(ours: Suite) -> dict[str, str]:
    """By user."""
    return {str(row["user"]).partition("@")[0]: str(row["interface"]) for row in ours.wait_online(3)}


def of_table(host: Namespace, table: str) -> dict[str, str]:
    """Interface by network, IPv4 and IPv6, without what every interface has."""
    found = {**routes(host, "route", "show", "table", table), **routes(host, "-6", "route", "show", "table", table)}
    return {network: row[0] for network, row in found.items()
            if network.startswith(("10.6.0.10", "192.0.2.", "2001:"))}


def check_places(lns: Namespace, found: dict[str, str]) -> None:
    """Everybody's address and routes are where they belong, and nowhere else."""
    one, two, three = found["u1"], found["u2"], found["u3"]
    masters = {link["ifname"]: link.get("master") for link in listed(lns, "link")}
    assert (masters[one], masters[two], masters[three]) == ("red", "blue", None)
    both = ("10.6.0.101", "192.0.2.0/24", "2001:db8:77::/48")
    wait_until(lambda: of_table(lns, "1001") == {"2001:db8:1:1::/64": one, **dict.fromkeys(both, one)}, 10, "table red")
    wait_until(lambda: of_table(lns, "1002") == dict.fromkeys(both, two), 10, "table blue")
    assert of_table(lns, "77") == dict.fromkeys(("10.6.0.103", "192.0.2.0/24"), three)
    assert of_table(lns, "main") == {}


def client(lac: Namespace, theirs: Suite, user: str) -> str:
    return next(str(row["interface"]) for row in theirs.online() if str(row["user"]).startswith(user))


@pytest.mark.parametrize("path", ["kernel", pytest.param("user", marks=pytest.mark.long)])
def test_users_with_one_address_live_in_their_vrfs_and_leave_nothing_there(world: World, path: str) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    assert "unreachable" in lns.run("ip", "route", "get", SERVER, check=False).stderr.lower()
    ours, theirs = users_of(world, path)
    found = interfaces(ours)
    check_places(lns, found)
    ours.processes["propppd"].wait_for("VRF green")

    # each reaches the one host of that address that is in his VRF
    theirs.wait_online(3)
    for user, other in (("u1", "blue"), ("u2", "red")):
        silent = world.namespaces[other]
        silent.run("ip", "link", "set", "eth0", "down")
        lac.ping(SERVER, interface=client(lac, theirs, user))
        silent.run("ip", "link", "set", "eth0", "up")
        silent.run("ip", "route", "replace", "default", "via", "172.16.0.1")
    lac.ping("10.6.0.1", interface=client(lac, theirs, "u3"))

    ours.processes["propppd"].stop(signal.SIGKILL)
    ours.start("propppd")
    ours.processes["propppd"].wait_for("up, user", 40, count=3)
    found = interfaces(ours)
    check_places(lns, found)

    theirs.stop()
    wait_until(lambda: not ours.links(), 15, "all users are gone")
    wait_until(lambda: not any(name in lns.interfaces() for name in found.values()), 10, "their interfaces are gone")
    assert [of_table(lns, table) for table in ("1001", "1002", "77", "main")] == [{}] * 4
