"""IPv6 over whole links: our LNS, our LAC with a client's own kernel and Debian's dhcpcd on its PPP interface, a host
in the client's network and one in the internet."""

from __future__ import annotations

import signal
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Suite
from tests.interop.conftest import BAD, dissect
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import lac_tunnels, lns_tunnels
from tests.netns import Capture, Namespace, Process, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS
from tests.system.test_suite import answers

pytestmark = [pytest.mark.root, pytest.mark.interop("dhcpcd-base", "tshark")]

INTERNET = "2001:db8:ffff::2"
POOLS = """
ipv6_pool "links" { prefix 2001:db8:1000::/44 }
ipv6_pool "addresses" { prefix 2001:db8:2000::/64; length 128 }
ipv6_pool "delegated" { prefix 2001:db8:3000::/40; length 56 }
"""
FROM_POOLS = 'ipv6_pool "links"; ipv6_address_pool "addresses"; delegated_pool "delegated"; ipv6_dns 2001:db8:ffff::53'
PROFILE = """
profile "subscribers" {
    auth true
    local_ip 10.6.0.1
    ip_pool "pool1"
    %s
}
ip_pool "pool1" { range 10.6.0.2-10.6.0.9 }
"""
CLIENT = 'profile "client" { auth false; default_route true }\n'
DHCPCD = """
ipv6only
noipv6rs
noipv4ll
allowinterfaces ppp0 lan0
option domain_name_servers
interface ppp0
ipv6rs
ia_na 1
ia_pd 2 lan0/1/64
"""


class Subscriber:
    """The client's host, with a network of its own behind it, and the LNS with the internet behind it."""

    def __init__(self, world: World, profile: str = FROM_POOLS, links: str = "", router: bool = True) -> None:
        self.world = world
        self.host, lns = world.namespaces["lac"], world.namespaces["lns"]
        self.lan, internet = world.namespace("lan"), world.namespace("net")
        world.cable(self.host, self.lan, [], [], device_one="lan0")
        world.cable(lns, internet, ["2001:db8:ffff::1/64"], [f"{INTERNET}/64"], device_one="up0")
        internet.run("ip", "-6", "route", "add", "default", "via", "2001:db8:ffff::1")
        lns.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        if router:
            self.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        users = 'user "u1@example.com" { password "pw1" }\n'
        self.server = Suite(lns, lns_tunnels(), links or PROFILE % profile + POOLS + users)
        self.client = Suite(self.host, lac_tunnels(("u1", "pw1")), CLIENT)
        self.server.wait_online(1)
        self.client.wait_online(1)
        self.lns: Namespace = lns

    def addresses(self, device: str, host: Namespace | None = None) -> list[str]:
        """Global ones."""
        words = (host or self.host).run("ip", "-6", "-o", "addr", "show", "dev", device, "scope", "global").stdout
        return [line.split("inet6 ")[1].split()[0] for line in words.splitlines()]

    def routes(self, table: str = "main") -> set[str]:
        """IPv6 prefixes that the LNS routes to its links."""
        lines = self.lns.run("ip", "-6", "route", "show", "table", table, check=False).stdout.splitlines()
        found = {line.split()[0] for line in lines if " dev ppp0 " in line or " dev users " in line}
        return {one for one in found if not one.startswith("fe80")}

    def reaches_the_internet(self) -> bool:
        return self.host.run("ping", "-c", "1", "-W", "1", INTERNET, check=False).returncode == 0

    def dhcpcd(self) -> Process:
        """On the link; without a lease at the end."""
        config = self.world.file("dhcpcd.conf", DHCPCD)
        state, run = self.world.path("dhcpcd-state", "x").parent, self.world.path("dhcpcd-run", "x").parent
        (run / "dhcpcd").mkdir()
        mounts: dict[Path, str] = {state: "/var/lib/dhcpcd", run: "/run"}
        return self.host.spawn("dhcpcd", "-B", "-d", "-c", "/bin/true", "-f", config, "ppp0", mounts=mounts)

    def show(self) -> dict[str, Any]:
        (row,) = self.server.links()
        return self.server.json("propppctl", "show", str(row["name"]))


def is_within(address: str, network: str) -> bool:
    return IPv6Address(address.partition("/")[0]) in IPv6Network(network)


def test_a_host_s_kernel_makes_its_address_and_default_route_of_our_advertisement(world: World) -> None:
    subscriber = Subscriber(world, router=False)
    (address,) = wait_until(lambda: subscriber.addresses("ppp0"), 20, "an address of the prefix")
    assert is_within(address, "2001:db8:1000::/44")
    (route,) = subscriber.routes()
    assert is_within(address, route)
    default = subscriber.host.run("ip", "-6", "route", "show", "default").stdout
    assert "dev ppp0 proto ra" in default
    subscriber.host.ping(INTERNET)
    # the identifier that IPv6CP has agreed on (RFC 5072 section 5)
    assert int(IPv6Address(address.partition("/")[0])) & (1 << 64) - 1 == int(IPv6Address(
        subscriber.client.json("propppctl", "show", "session-1")["ipv6cp"]["local"])) & (1 << 64) - 1


def test_after_a_crash_of_propppd_the_user_has_the_same_prefix_and_reaches_the_internet(world: World) -> None:
    subscriber = Subscriber(world, router=False)
    (address,) = wait_until(lambda: subscriber.addresses("ppp0"), 20, "an address of the prefix")
    routes = subscriber.routes()
    subscriber.server.processes.pop("propppd").stop(signal.SIGKILL)
    subscriber.server.start("propppd")
    answers(subscriber.server, "propppctl", "status")
    subscriber.server.wait_online(1, 60)
    wait_until(subscriber.reaches_the_internet, 30, "the internet is reached again", every=0.5)
    assert subscriber.routes() == routes
    assert [one for one in subscriber.addresses("ppp0") if is_within(one, next(iter(routes)))]


def test_a_user_of_ipv6_alone_in_a_routing_table_of_its_own(world: World) -> None:
    subscriber = Subscriber(world, FROM_POOLS + "; ip false; table 77", router=False)
    (address,) = wait_until(lambda: subscriber.addresses("ppp0"), 20, "an address of the prefix")
    assert subscriber.routes() == set(), "the main table has nothing of it"
    (route,) = subscriber.routes("77")
    assert is_within(address, route)
    # the way back is the operator's
    subscriber.lns.run("ip", "-6", "rule", "add", "iif", "up0", "lookup", "77")
    subscriber.lns.run("ip", "-6", "route", "add", "2001:db8:ffff::/64", "dev", "up0", "table", "77")
    subscriber.host.ping(INTERNET)


@pytest.mark.parametrize("options", ["", "; interface shared; interface_name users"])
def test_dhcpcd_gets_address_and_prefix_and_a_host_behind_it_reaches_the_internet(world: World, options: str) -> None:
    subscriber = Subscriber(world, FROM_POOLS + "; ipv6_domain example.net" + options)
    capture = Capture(subscriber.host, "ppp0", world.path("ppp0.pcap"))
    dhcpcd = subscriber.dhcpcd()
    (inside,) = wait_until(lambda: subscriber.addresses("lan0"), 40, "an address of the delegated prefix")
    assert is_within(inside, "2001:db8:3000::/40")
    wait_until(lambda: any(is_within(one, "2001:db8:2000::/64") for one in subscriber.addresses("ppp0")), 20,
               "the leased address")
    routes = subscriber.routes()
    assert len(routes) == 3
    assert any(is_within(inside, route) for route in routes if route.endswith("/56"))
    prefix = IPv6Network(inside, strict=False)
    subscriber.lan.address("eth0", f"{prefix[77]}/64")
    subscriber.lan.run("ip", "-6", "route", "add", "default", "via", inside.partition("/")[0])
    subscriber.lan.ping(INTERNET)
    world.namespaces["net"].ping(str(prefix[77]))
    subscriber.lan.run("ip", "-6", "addr", "add", "2001:db8:dead::1/64", "dev", "eth0", "nodad")
    spoofed = subscriber.lan.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "-I", "2001:db8:dead::1", INTERNET,
                                 check=False)
    assert spoofed.returncode, "the source is not the subscriber's"

    def released() -> bool:
        # dhcpcd 9 loses the signal now and then when it is busy
        if dhcpcd.running():
            dhcpcd.popen.send_signal(signal.SIGALRM)
        return len(subscriber.routes()) == 1

    wait_until(released, 20, "a release", every=0.5)
    path = str(capture.stop())
    assert not dissect(path, BAD)
    said = "\n".join(dissect(path, "icmpv6.type == 134 || dhcpv6.msgtype == 7", "-V"))
    for text in ("Managed address configuration: Set", "Recursive DNS Server 2001:db8:ffff::53",
                 "DNS Search List Option example.net", "Identity Association for Prefix Delegation",
                 "Identity Association for Non-temporary Address"):
        assert text in said, text
    world.namespaces["lac"].run("ip", "link", "del", "lan0")
    subscriber.client.stop("propppd")
    wait_until(lambda: not subscriber.server.links(), 20, "the link has ended")
    assert subscriber.routes() == set()


USERS = """\
u1@example.com Cleartext-Password := "pw1"
    Framed-IPv6-Prefix = 2001:db8:a::/64,
    Framed-IPv6-Address = 2001:db8:b::5,
    Delegated-IPv6-Prefix = 2001:db8:c000::/48,
    DNS-Server-IPv6-Address = 2001:db8:ffff::53,
    Route-IPv6-Information = 2001:db8:ffff::/48
"""


@pytest.mark.interop("freeradius")
def test_what_freeradius_gives_a_user_is_on_the_interface(world: World) -> None:
    radius = FreeRADIUS(world.namespaces["lns"], USERS, configuration=CONFIGURATION)
    links = PROFILE % "use_radius true" + f'radius {{ server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}" }} }}'
    subscriber = Subscriber(world, links=links)
    subscriber.dhcpcd()
    (inside,) = wait_until(lambda: subscriber.addresses("lan0"), 40, "an address of the delegated prefix")
    assert is_within(inside, "2001:db8:c000::/48")
    wait_until(lambda: "2001:db8:b::5/128" in subscriber.addresses("ppp0"), 20, "the leased address")
    assert subscriber.routes() == {"2001:db8:a::/64", "2001:db8:b::5", "2001:db8:c000::/48"}
    wait_until(lambda: "tentative" not in subscriber.host.run("ip", "-6", "addr", "show", "dev", "lan0").stdout, 20,
               "the address can be used")
    subscriber.host.ping(INTERNET, interface=inside.partition("/")[0])
    subscriber.client.stop("propppd")
    wait_until(lambda: not subscriber.server.links(), 20, "the link has ended")
    assert subscriber.routes() == set()
    wait_until(lambda: radius.detail.exists() and "Status-Type = Stop" in radius.detail.read_text(), 20, "a Stop")
    stop = radius.detail.read_text().partition("Status-Type = Stop")[2]
    for attribute in ("Framed-IPv6-Prefix = 2001:db8:a::/64", "Framed-IPv6-Address = 2001:db8:b::5",
                      "Delegated-IPv6-Prefix = 2001:db8:c000::/48"):
        assert attribute in stop
