"""proacd as a process between a PPPoE client and an LNS: static L2TP, local PPP, tunnel switching; restarts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

PAYLOAD = 1508
"""MTU of the cables: PPP packets of 1500 octets pass (RFC 4638)."""
CLIENT = """
profile "dsl" { auth false; user "u1"; password "pw1"; ipv6 false; mtu 1500; mru 1500 }
profile "lac" { auth false; user "u3"; password "pw3"; ipv6 false }
"""
LAC_CLIENT = """
tunnel "switch" { peer 10.98.0.2; secret "upstream"
    session "s" { pseudowire_type ppp; ppp_profile "lac"; user_name "u3"; user_password "pw3" } }
"""
PROACD = """
system { ac_name "lac-1" }
route "static" { source pppoe { interface access service "static" }
                 destination l2tp { peer 10.99.0.1 secret "s3cret" } }
route "local" { source pppoe { interface access service "local" } destination ppp { ppp_profile "users" } }
route "switch" { source l2tp { tunnel_profile "lacs" } destination l2tp { peer 10.99.0.1 secret "s3cret" } }
"""
LAC_PPP = """
profile "users" { auth true; auth_methods chap; local_ip 10.6.0.1; ip_pool "pool"; ipv6 false }
ip_pool "pool" { range 10.6.0.100-10.6.0.199 }
user "u1" { password "pw1" }
"""
LAC_L2TP = """
system { hostname "lac"; listen 10.98.0.2:1701 }
tunnel profile "lacs" { peer 10.98.0.0/24; secret "upstream" }
"""
LNS_L2TP = """
system { hostname "lns"; listen 10.99.0.1:1701 }
pseudowire profile "ppp" { pseudowire_type ppp; ppp_profile "users" }
session profile "homes" { pseudowire_profile "ppp" }
tunnel profile "access" { peer 10.99.0.0/24; secret "s3cret"; session_profile "homes" }
"""
LNS_PPP = """
profile "users" { auth true; auth_methods chap; local_ip 10.5.0.1; ip_pool "pool"; ipv6 false; mtu 1500; mru 1500 }
ip_pool "pool" { range 10.5.0.100-10.5.0.199 }
user "u1" { password "pw1" }
user "u3" { password "pw3" }
"""


class Access:
    """Three hosts: client, access concentrator, LNS."""

    def __init__(self, world: World, client_l2tp: str = "", proacd: str = PROACD) -> None:
        self.world = world
        client, lac, lns = (world.namespace(name) for name in ("client", "lac", "lns"))
        world.cable(client, lac, ["10.98.0.1/24"], ["10.98.0.2/24"], device_two="access", mtu=PAYLOAD)
        world.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"], device_one="core", mtu=1600)
        self.lns = Suite(lns, LNS_L2TP, LNS_PPP)
        self.lac = Suite(lac, LAC_L2TP, LAC_PPP, debug=True, proacd=proacd)
        self.proacd.wait_for("interface access: serving")
        self.client = Suite(client, client_l2tp, CLIENT, debug=True)

    @property
    def proacd(self):
        return self.lac.processes["proacd"]

    def dial(self, service: str, *words: str) -> str:
        return self.client.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", "dsl",
                                "service", service, *words).strip()


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_pppoe_hosts_are_online_by_l2tp_and_by_local_ppp_and_large_packets_pass(world: World) -> None:
    access = Access(world)
    assert access.dial("static") == "session-1"
    access.client.wait_online(1)
    assert len(access.lns.wait_online(1)) == 1
    host = access.client.host
    host.ping("10.5.0.1", interface="ppp0")
    host.ping("10.5.0.1", interface="ppp0", size=1472)
    (row,) = access.lns.established()
    session = access.lns.json("prol2tp", "show", "session", "id", str(row["session_id"]), "in", "tunnel", "id",
                              str(row["tunnel_id"]))
    assert session["calling_number"] == host.run("cat", "/sys/class/net/eth0/address").stdout.strip().upper()
    seen = access.lns.json("prol2tp", "top", "--once")
    assert seen["traffic"]["traffic"]["measured"] == seen["propppd_traffic"]["traffic"]["measured"] == 1
    access.dial("local")
    access.client.wait_online(2)
    (link,) = access.lac.wait_online(1)
    assert link["user"] == "u1"
    host.ping("10.6.0.1", interface="ppp1", size=1464)
    access.client.tool("propppctl", "destroy", "session-2")
    access.proacd.wait_for("ends: Peer Request")
    wait_until(lambda: not access.lac.links(), 10, "no link is left at the concentrator", every=0.2)
    (ended,) = access.lac.json("proac_info", "history", "u1")
    assert (ended["by"], ended["cause"]) == ("source", "Peer Request") and ended["counters"]["rx_octets"] > 1464
    assert access.lac.json("proac_info", "history", ended["source"]["peer_mac"]) == [ended]
    # the end of the daemon is told to both sides
    proacd = access.lac.processes.pop("proacd")
    assert proacd.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in proacd.output
    access.client.processes["propppd"].wait_for("session-1: ended: Peer Request")
    wait_until(lambda: not access.lns.sessions() and not access.lac.sessions(), 10, "no session is left", every=0.2)


TAGGED = """
interface access { vlans 7-8 }
route "seven" { source pppoe { interface access vlan 7 } destination l2tp { peer 10.99.0.1 secret "s3cret" } }
route "eight" { source pppoe { interface access vlan 8 } destination ppp { ppp_profile "users" } }
"""


def test_hosts_in_vlans_that_no_interface_is_made_for_take_their_routes(world: World) -> None:
    access = Access(world, proacd=TAGGED)
    for vlan in ("7", "8"):
        access.client.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", "dsl", "vlan", vlan)
    links = {row["name"]: row["interface"] for row in access.client.wait_online(2)}
    access.lns.wait_online(1)
    access.lac.wait_online(1)
    for name, inside in (("session-1", "10.5.0.1"), ("session-2", "10.6.0.1")):
        access.client.host.ping(inside, interface=links[name], size=1400)
    routes = {row["name"]: row for row in access.lac.json("proac_info", "-r")}
    assert {name: row["source"]["vlans"] for name, row in routes.items()} == {"seven": [7], "eight": [8]}
    shown = access.lac.tool("proac_info", "-r", "seven")
    assert "vlan 7" in shown and "Destination: L2TP tunnel " in shown
    # nobody is served elsewhere
    access.client.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", "dsl", "vlan", "9")
    wait_until(lambda: access.lac.json("proac_info", "-s")["discards"]["other_vlans"], 10, "a PADI of another VLAN")
    assert access.lac.json("proac_info", "-s")["pppoe"]["pado_sent"] == 2
    # the cable is pulled: everybody behind hears so
    access.lac.host.run("ip", "link", "set", "access", "down")
    wait_until(lambda: not access.lns.sessions() and not access.lac.links(), 10, "no session is left", every=0.2)
    access.proacd.wait_for("ends: Lost Carrier: interface access is down", count=2)
    access.lns.processes["propppd"].wait_for("ended: Lost Carrier")
    assert access.lac.json("proac_info", "interfaces")[0]["state"] == "is down"


def test_whatever_is_killed_at_the_concentrator_nothing_is_half_open_and_hosts_dial_again(world: World) -> None:
    access = Access(world)
    access.dial("static", "persist", "holdoff", "1")
    access.client.wait_online(1)
    (before,) = access.lac.established()
    access.proacd.stop(signal.SIGKILL)
    access.lac.start("proacd")
    access.proacd.wait_for("interface access: serving")
    # what the host sends in a session that nobody knows is answered with a PADT
    access.client.host.run("ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", "ppp0", "10.5.0.1", check=False)
    wait_until(lambda: [row["session_id"] for row in access.lac.established()] not in ([], [before["session_id"]]),
               20, "another session", every=0.2)
    access.client.wait_online(1)
    wait_until(lambda: access.client.host.run("ping", "-c", "1", "-W", "1", "-I", "ppp0", "10.5.0.1",
                                              check=False).returncode == 0, 20, "a ping")
    assert len(access.lac.established()) == 1
    # prol2tpd goes: the host is told, and dials again when it is back
    access.lac.stop("prol2tpd")
    access.lac.start("prol2tpd")
    access.lac.processes["prol2tpd"].wait_for("connected to proacd")
    access.proacd.wait_for("route 'static' .* ends", count=1)
    access.lac.wait_established(1, 30)
    wait_until(lambda: access.client.host.run("ping", "-c", "1", "-W", "1", "-I", "ppp0", "10.5.0.1",
                                              check=False).returncode == 0, 20, "a ping")
    # all that the daemons share goes: they begin anew with another one, and so do the hosts
    kill_path(access.lac)
    access.proacd.wait_for("interface access: serving", count=2)
    wait_until(lambda: access.client.host.run("ping", "-c", "1", "-W", "1", "-I", "ppp0", "10.5.0.1",
                                              check=False).returncode == 0, 30, "a ping")
    (route,), (session,) = access.lac.json("proac_info", "-r"), access.lac.established()
    assert route["destination"]["session_id"] == session["session_id"]
    assert all("Traceback" not in process.output for process in access.lac.processes.values())


def kill_path(suite: Suite) -> None:
    """End the process of the data path."""
    (pid,) = [pid for pid in suite.host.pids()
              if b"prol2tp.daemons.pathd" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(pid, signal.SIGKILL)


def test_sessions_of_a_lac_are_switched_to_the_next_lns(world: World) -> None:
    access = Access(world, LAC_CLIENT)
    access.client.wait_online(1)
    (link,) = access.lns.wait_online(1)
    assert link["user"] == "u3"
    access.client.host.ping("10.5.0.1", interface="ppp0")
    assert len(access.lac.established()) == 2 and not access.lac.links()
    access.lns.tool("propppctl", "destroy", link["name"])
    access.proacd.wait_for("ends:")
