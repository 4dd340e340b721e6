"""proacd between PPPoE subscribers and LNSs, where FreeRADIUS says which LNS each of them belongs to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.interop.conftest import BAD, dissect
from tests.interop.test_freeradius import CONFIGURATION
from tests.netns import Capture, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS, L2tpns, users_file

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "tshark")]

INSIDE = "192.0.2.1"
"""Of every LNS, behind the subscribers' links."""
LNS_LINKS = """
profile "subscribers" {
    auth true
    auth_methods chap pap
    proxy_lcp true
    proxy_auth true
    local_ip 192.0.2.1
    ip_pool "all"
    ipv6 false
}
ip_pool "all" { range 10.6.0.101-10.6.0.199 }
user "u1@isp.example" { password "pw1" }
user "u2@isp.example" { password "pw2" }
user "u3@isp.example" { password "pw3" }
"""
PROACD = """
system { hostname "lac1" lockout_time 20 }
profile radius "aaa" {
    server 127.0.0.1 secret "%s" timeout 1
    nas_identifier "lac1"
    accounting sessions tunnels
    interim_interval 0
    %s
}
route "dynamic" { source pppoe { interface sub0 service any } destination radius { profile "aaa" %s } }
"""


def lns_tunnels(address: str, secret: str, name: str = "lns1") -> str:
    return f"""
system {{ hostname "{name}"; listen {address}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "lac1" {{ peer 10.99.0.0/16; secret "{secret}"; auth_mode challenge; session_profile "lac" }}
"""


def tunnel(tag: int, server: str, secret: str, preference: int, more: str = "") -> str:
    return f"""    Tunnel-Type:{tag} = L2TP,
    Tunnel-Medium-Type:{tag} = IPv4,
    Tunnel-Server-Endpoint:{tag} = "{server}",
    Tunnel-Password:{tag} = "{secret}",
    Tunnel-Assignment-ID:{tag} = "isp",
    Tunnel-Client-Auth-ID:{tag} = "lac7",
    Tunnel-Preference:{tag} = {preference}{more}"""



class Network:
    """Subscribers, and LNSs 10.99.N.1, around one access concentrator 10.99.N.2; RADIUS is on its host."""

    def __init__(self, world: World, users: str, profile: str = "", destination: str = "", lnss: int = 1,
                 links: str = "") -> None:
        self.world = world
        self.client, lac = world.namespace("client"), world.namespace("lac")
        world.cable(self.client, lac, [], [], device_two="sub0")
        self.lnss = []
        for number in range(1, lnss + 1):
            lns = world.namespace(f"lns{number}")
            world.cable(lac, lns, [f"10.99.{number}.2/24"], [f"10.99.{number}.1/24"], device_one=f"lns{number}")
            self.lnss.append(lns)
        self.captures = {"pppoes || pppoed": Capture(self.client, "eth0", world.path("hosts.pcap")),
                         "l2tp": Capture(self.lnss[0], "eth0", world.path("capture.pcap"))}
        self.radius = FreeRADIUS(lac, users, configuration=CONFIGURATION)
        self.lac = Suite(lac, 'system { hostname "lac1" }\n', links,
                         proacd=PROACD % (RADIUS_SECRET, profile, destination))
        profiles = "".join(f'profile "u{n}" {{ user "u{n}@isp.example"; password "pw{n}"; ipv6 false }}\n'
                           for n in range(1, 4))
        profiles += 'profile "wrong" { user "u1@isp.example"; password "x" }\n'
        self.subscribers = Suite(self.client, "", profiles)

    def dial(self, *profiles: str) -> None:
        for profile in profiles:
            self.subscribers.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", profile)

    def records(self, status: str, count: int = 1, seconds: float = 10) -> list[dict[str, str]]:
        """Accounting packets of that type, when there are as many."""

        def found() -> list[dict[str, str]]:
            return [record for record in self.radius.records() if record["Acct-Status-Type"] == status]

        wait_until(lambda: len(found()) >= count, seconds, f"{count} records {status}", every=0.1)
        return found()

    def judge(self) -> None:
        """Nothing malformed has passed, on either side."""
        for what, capture in self.captures.items():
            path = str(capture.stop())
            assert dissect(path, what), "nothing was captured"
            bad = dissect(path, BAD)
            assert not bad, "\n".join(bad[:20])


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def user(number: int, *groups: str, more: str = "") -> str:
    """An entry of FreeRADIUS's users file."""
    rows = ",\n".join([*groups, *([f"    {more}"] if more else [])])
    return f'u{number}@isp.example Cleartext-Password := "pw{number}"\n{rows}\n\n'


def test_subscribers_go_where_freeradius_says_and_are_online_without_a_second_negotiation(world: World) -> None:
    there = tunnel(1, "10.99.1.1", "s3cret", 1)
    pairs = ",\n".join(f'    Cisco-AVPair += "vpdn:{pair}"' for pair in (
        "tunnel-type=l2tp", "ip-addresses=10.99.1.1", "l2tp-tunnel-password=s3cret", "tunnel-id=lac7"))
    network = Network(world, user(1, there, more='Class = "gold"') + user(2, there) + user(3, pairs))
    lns = Suite(network.lnss[0], lns_tunnels("10.99.1.1", "s3cret"), LNS_LINKS)
    network.dial("u1", "u2", "u3", "wrong")
    links = network.subscribers.wait_online(3)
    assert {row["user"] for row in lns.wait_online(3)} == {f"u{n}@isp.example" for n in (1, 2, 3)}
    for link in links:
        network.client.ping(INSIDE, interface=str(link["interface"]), size=1432)
    shared, own = sorted(lns.tunnels(), key=lambda row: -row["sessions"])
    assert (shared["sessions"], own["sessions"]) == (2, 1), "who has the same Assignment-ID shares a tunnel"
    for row in (shared, own):
        assert "lac7" in lns.tool("prol2tp", "show", "tunnel", "id", str(row["tunnel_id"]))
    shown = lns.tool("propppctl", "show", "session-1")
    assert "proxied: as the access concentrator has negotiated it" in shown
    assert "proxied: the proof was given to the access concentrator" in shown

    starts = {record["User-Name"]: record for record in network.records("Start", 3)}
    start = starts["u1@isp.example"]
    assert start["Class"] == f"0x{b'gold'.hex()}" and start["NAS-Identifier"] == "lac1"
    assert {name: start[f"Tunnel-{name}:0"] for name in (
        "Type", "Medium-Type", "Client-Endpoint", "Server-Endpoint", "Assignment-Id", "Client-Auth-Id",
        "Server-Auth-Id")} == {
            "Type": "L2TP", "Medium-Type": "IPv4", "Client-Endpoint": "10.99.1.2", "Server-Endpoint": "10.99.1.1",
            "Assignment-Id": "isp", "Client-Auth-Id": "lac7", "Server-Auth-Id": "lns1"}
    assert len({record["Acct-Tunnel-Connection"] for record in starts.values()}) == 3
    begun = {record["Acct-Session-Id"] for record in network.records("Tunnel-Start", 2)}
    assert {record["Acct-Multi-Session-Id"] for record in starts.values()} == begun

    servers = network.lac.tool("proac_info", "servers")
    assert "aaa/127.0.0.1" in servers and " UP " in servers
    for link in network.subscribers.online():
        network.subscribers.tool("propppctl", "destroy", str(link["name"]))
    stops = {record["User-Name"]: record for record in network.records("Stop", 3)}
    for name, stop in stops.items():
        assert stop["Acct-Session-Id"] == starts[name]["Acct-Session-Id"]
        assert stop["Acct-Terminate-Cause"] == "User-Request"
        assert int(stop["Acct-Input-Octets"]) > 1432 and int(stop["Acct-Output-Octets"]) > 1432
    ended = network.records("Tunnel-Stop", 2)
    assert sum(int(record["Acct-Input-Octets"]) for record in ended) == sum(
        int(stop["Acct-Input-Octets"]) for stop in stops.values())
    wait_until(lambda: not lns.sessions(), 10, "no session is left")
    said = network.lac.processes["proacd"].output + network.lac.processes["prol2tpd"].output
    assert not [word for word in ("s3cret", "pw1", RADIUS_SECRET) if word in said]
    network.judge()


@pytest.mark.interop("l2tpns")
@pytest.mark.parametrize("method", ["pap", "chap"])
def test_subscribers_are_online_at_l2tpns_behind_our_access_concentrator(world: World, method: str) -> None:
    network = Network(world, user(1, tunnel(1, "10.99.1.1", "s3cret", 1)), f"auth_methods {method}")
    lns = network.lnss[0]
    lns.address("lo", f"{INSIDE}/32")
    FreeRADIUS(lns, users_file([("u1@isp.example", "pw1", "10.6.0.101")]))
    L2tpns(lns, "10.99.1.1", secret="s3cret").wait_ready()
    network.dial("u1")
    (link,) = network.subscribers.wait_online(1)
    network.client.run("ip", "route", "replace", f"{INSIDE}/32", "dev", str(link["interface"]))
    network.client.ping(INSIDE, interface=str(link["interface"]))
    network.client.ping(INSIDE, interface=str(link["interface"]), size=1300)
    (start,) = network.records("Start")
    assert start["Tunnel-Server-Endpoint:0"] == "10.99.1.1"
    network.subscribers.tool("propppctl", "destroy", str(link["name"]))
    (stop,) = network.records("Stop")
    assert int(stop["Acct-Input-Octets"]) > 1300
    network.judge()


def test_who_has_no_tunnel_is_online_by_local_ppp_without_a_second_negotiation(world: World) -> None:
    network = Network(world, user(1, more="Session-Timeout = 3600"), "", 'ppp_profile "subscribers"', links=LNS_LINKS)
    network.dial("u1")
    (link,) = network.subscribers.wait_online(1)
    network.client.ping(INSIDE, interface=str(link["interface"]))
    (local,) = network.lac.wait_online(1)
    assert local["user"] == "u1@isp.example"
    assert "proxied: the proof was given" in network.lac.tool("propppctl", "show", str(local["name"]))
    for capture in network.captures.values():
        capture.stop()


SIX = """
system { hostname "lns6"; listen [2001:db8:99::1]:1701 }
session profile "lac" { pseudowire_type ppp; ppp_profile "subscribers" }
tunnel profile "lac1" { peer 2001:db8:99::/64; secret "s3cret"; auth_mode challenge; session_profile "lac" }
"""


def test_a_subscriber_reaches_an_lns_that_freeradius_names_by_its_ipv6_address(world: World) -> None:
    group = tunnel(1, "2001:db8:99::1", "s3cret", 1).replace("IPv4", "IPv6")
    network = Network(world, user(1, group))
    world.namespaces["lac"].address("lns1", "2001:db8:99::2/64")
    network.lnss[0].address("eth0", "2001:db8:99::1/64")
    lns = Suite(network.lnss[0], SIX, LNS_LINKS)
    network.dial("u1")
    (link,) = network.subscribers.wait_online(1)
    network.client.ping(INSIDE, interface=str(link["interface"]), size=1400)
    assert lns.wait_online(1)[0]["user"] == "u1@isp.example"
    (route,) = network.lac.json("proac_info", "-r")
    assert route["destination"]["peer"] == "[2001:db8:99::1]:1701"
    (start,) = network.records("Start")
    assert {name: start[f"Tunnel-{name}:0"] for name in ("Medium-Type", "Client-Endpoint", "Server-Endpoint")} == {
        "Medium-Type": "IPv6", "Client-Endpoint": "2001:db8:99::2", "Server-Endpoint": "2001:db8:99::1"}
    network.judge()


SWITCHED = """
system { hostname "switch" }
profile radius "aaa" { server 127.0.0.1 secret "%s" timeout 1 ask realm }
route "wholesale" { source l2tp { tunnel_profile "lacs" } destination radius { profile "aaa" } }
"""


def test_a_switch_of_tunnels_asks_radius_where_each_realm_goes(world: World) -> None:
    hosts = {name: world.namespace(name) for name in ("client", "lac", "switch", "lns")}
    world.cable(hosts["client"], hosts["lac"], [], [], device_two="sub0")
    world.cable(hosts["lac"], hosts["switch"], ["10.98.0.2/24"], ["10.98.0.1/24"], device_one="up0")
    world.cable(hosts["switch"], hosts["lns"], ["10.99.1.2/24"], ["10.99.1.1/24"], device_one="lns1")
    users = f'isp.example Cleartext-Password := "isp.example"\n{tunnel(1, "10.99.1.1", "s3cret", 1)}\n'
    radius = FreeRADIUS(hosts["switch"], users, configuration=CONFIGURATION)
    lns = Suite(hosts["lns"], lns_tunnels("10.99.1.1", "s3cret"), LNS_LINKS)
    lacs = 'system { hostname "switch" }\nsession profile "any" { pseudowire_type ppp }\n'
    lacs += 'tunnel profile "lacs" { peer 10.98.0.0/24; secret "between"; session_profile "any" }\n'
    Suite(hosts["switch"], lacs, proacd=SWITCHED % RADIUS_SECRET)
    Suite(hosts["lac"], 'system { hostname "lac1" }\n', proacd="""
        route "all" { source pppoe { interface sub0 } destination l2tp { peer 10.98.0.1 secret "between" } }""")
    client = Suite(hosts["client"], "", 'profile "u1" { user "u1@isp.example"; password "pw1"; ipv6 false }\n')
    client.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", "u1")
    (link,) = client.wait_online(1)
    hosts["client"].ping(INSIDE, interface=str(link["interface"]), size=1300)
    (online,) = lns.wait_online(1)
    assert online["user"] == "u1@isp.example"
    assert "proxied: the proof was given" in lns.tool("propppctl", "show", str(online["name"]))
    client.tool("propppctl", "destroy", str(link["name"]))
    wait_until(lambda: not lns.sessions(), 15, "no session is left at the LNS")

    def stops() -> list[dict[str, str]]:
        return [record for record in radius.records() if record["Acct-Status-Type"] == "Stop"]

    wait_until(stops, 10, "a Stop")
    (stop,) = stops()
    assert stop["User-Name"] == "u1@isp.example" and int(stop["Acct-Input-Octets"]) > 1300
    assert stop["NAS-Port-Id"].startswith("l2tp ")
