"""What `INetwork` promises, held by the one in memory and by the kernel's (in a namespace of its own)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import subprocess
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from prol2tp.dataplane.network import INetwork, LinuxNetwork, MemoryNetwork
from prol2tp.net import rtnetlink
from prol2tp.net.netlink import NetlinkError, NetlinkSocket

ONE, TWO = "ppp-test0", "ppp-test1"


class Memory:
    """`MemoryNetwork`, with a look at what it holds."""

    def __init__(self) -> None:
        self.network = MemoryNetwork({11, 12})
        self.network.networks = {"192.0.2.0/24": 12}
        self.index = {ONE: 11, TWO: 12}

    def addresses(self, name):
        return {text for index, text in self.network.addresses if index == self.index[name]}

    def routes(self, table=0):
        return {(prefix.removesuffix("/32"), {v: k for k, v in self.index.items()}[index], metric)
                for (prefix, place, metric), (index, _) in self.network.routes.items() if place == table}

    def gateways(self):
        return {(prefix, via) for (prefix, _, _), (_, via) in self.network.routes.items() if via}

    def routed(self, name):
        """Peers that the kernel routes to an interface by itself."""
        return {text.partition(" ")[2] for index, text in self.network.addresses.keys() - self.network.unrouted
                if index == self.index[name]}

    def rules(self):
        return self.network.rules

    def way(self, address):
        """The interface that packets to an address take."""
        routes = {(prefix, dev) for prefix, dev, _ in self.routes()}
        return next(dev for wanted in (address, "0.0.0.0/0") for prefix, dev in routes if prefix == wanted)

    def mtu(self, name):
        return self.network.links[self.index[name]]["mtu"]

    def proxies(self):
        return {address for address, _ in self.network.proxies}

    def ipv6_set(self, name, *values):
        if name not in self.index:
            raise FileNotFoundError(name)
        self.network.ipv6_set(name, *values)
        return self.network.settings[name]

    def close(self):
        pass


class Kernel:
    """A namespace with two TUN interfaces."""

    def __init__(self) -> None:
        self.namespace = f"p2t{os.getpid()}-net"
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        for name in (ONE, TWO):
            self.ip("tuntap", "add", name, "mode", "tun")
        self.ip("addr", "add", "192.0.2.1/24", "dev", TWO)
        self.ip("link", "set", TWO, "up")
        self.index = {name: self.show("link", "show", name)[0]["ifindex"] for name in (ONE, TWO)}
        self.network = LinuxNetwork(reactor, self.open)

    def open(self, reactor):
        with inside(self.namespace):
            return NetlinkSocket(reactor)

    def ip(self, *words):
        subprocess.run(["ip", "-n", self.namespace, *words], check=True)

    def show(self, *words):
        out = subprocess.run(["ip", "-n", self.namespace, "-j", *words], check=True, capture_output=True).stdout
        return json.loads(out or "[]")

    def addresses(self, name):
        found = set()
        for entry in self.show("addr", "show", name)[0]["addr_info"]:
            if "local" in entry:
                length = 32 if entry["family"] == "inet" else 128
                other = entry.get("address")
                found.add(f"{entry['local']}/{length} {other}/{entry['prefixlen']}" if other
                          else f"{entry['local']}/{entry['prefixlen']}")
        return found

    def gateways(self):
        return {(entry["dst"], entry["gateway"]) for version in "46"
                for entry in self.show(f"-{version}", "route", "show", "proto", "static") if "gateway" in entry}

    def routed(self, name):
        return {f"{entry['dst']}/32" for entry in self.show("route", "show", "dev", name, "proto", "kernel")}

    def rules(self):
        return {(rule["iif"], int(rule["table"]), version == "6") for version in "46"
                for rule in self.show(f"-{version}", "rule", "show") if "iif" in rule}

    def routes(self, table=0):
        found = set()
        for entry in self.show("route", "show", "table", str(table or "main"), "proto", "static"):
            prefix = "0.0.0.0/0" if entry["dst"] == "default" else entry["dst"]
            found.add((prefix, entry["dev"], entry.get("metric", 0)))
        return found

    def way(self, address):
        return self.show("route", "get", address)[0]["dev"]

    def mtu(self, name):
        return self.show("link", "show", name)[0]["mtu"]

    def proxies(self):
        return {entry["dst"] for entry in self.show("neigh", "show", "proxy")}

    def ipv6_set(self, name, *values):
        keys = ("accept_ra", "accept_ra_defrtr", "accept_redirects")
        with inside(self.namespace):
            self.network.ipv6_set(name, *values)
            settings = {key: Path(f"/proc/sys/net/ipv6/conf/{name}/{key}").read_text().strip() for key in keys}
        if settings["accept_ra"] == "0":
            del settings["accept_ra_defrtr"]  # of no meaning then
        return settings

    def close(self):
        subprocess.run(["ip", "netns", "del", self.namespace], check=True)


@contextlib.contextmanager
def inside(namespace):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as there:
        assert libc.setns(there.fileno(), 0x40000000) == 0
        try:
            yield
        finally:
            assert libc.setns(before.fileno(), 0x40000000) == 0


@pytest.fixture(params=[Memory, pytest.param(Kernel, marks=pytest.mark.root)])
def host(request):
    made = request.param()
    verifyObject(INetwork, made.network)
    made.network.start()
    yield made
    made.network.stop()
    made.close()


def refused_with(number):
    return pytest.raises(NetlinkError, check=lambda error: error.errno == number)


@pytest_twisted.inlineCallbacks
def test_an_interface_gets_mtu_addresses_and_nothing_of_the_kernels_own(host):
    ppp = host.index[ONE]
    yield host.network.link_set(ppp, link_local=False)
    yield host.network.link_set(ppp, mtu=1400, up=True)
    yield host.network.address_add(ppp, "10.5.1.1", "10.5.1.100")
    yield host.network.address_add(ppp, "fe80::1", "fe80::2")
    assert host.mtu(ONE) == 1400
    assert host.addresses(ONE) == {"10.5.1.1/32 10.5.1.100/32", "fe80::1/128 fe80::2/128"}
    yield host.network.address_delete(ppp, "10.5.1.1", "10.5.1.100")
    assert host.addresses(ONE) == {"fe80::1/128 fe80::2/128"}


@pytest_twisted.inlineCallbacks
def test_requests_of_one_turn_are_carried_out_in_order(host):
    ppp = host.index[ONE]
    waiting = [host.network.link_set(ppp, up=True), host.network.address_add(ppp, "10.5.1.1", "10.5.1.100"),
               *(host.network.route_add(f"10.7.{n}.0/24", ppp) for n in range(200)),
               host.network.route_delete("10.7.0.0/24", ppp)]
    yield from waiting
    assert host.routes() == {(f"10.7.{n}.0/24", ONE, 0) for n in range(1, 200)}


@pytest_twisted.inlineCallbacks
def test_what_is_there_already_and_what_is_not_are_errors_of_their_own(host):
    ppp = host.index[ONE]
    yield host.network.link_set(ppp, up=True)
    yield host.network.address_add(ppp, "10.5.1.1", "10.5.1.100")
    with refused_with(errno.EEXIST):
        yield host.network.address_add(ppp, "10.5.1.1", "10.5.1.100")
    with refused_with(errno.EADDRNOTAVAIL):
        yield host.network.address_delete(ppp, "10.5.1.9", "10.5.1.100")
    with refused_with(errno.ESRCH):
        yield host.network.route_delete("10.8.0.0/24", ppp)
    with refused_with(errno.ENODEV):
        yield host.network.address_add(4000, "10.5.1.1", "10.5.1.100")


@pytest_twisted.inlineCallbacks
def test_of_routes_beside_each_other_the_newest_counts_and_the_older_is_not_lost(host):
    one, two = host.index[ONE], host.index[TWO]
    yield host.network.link_set(one, up=True)
    yield host.network.route_add("10.8.0.0/24", two)
    yield host.network.route_add("10.8.0.0/24", one, beside=True)
    assert host.way("10.8.0.0/24" if host.network.name == "memory" else "10.8.0.1") == ONE
    for index in (one, two):
        with refused_with(errno.EEXIST):
            yield host.network.route_add("10.8.0.0/24", index, beside=True)
    yield host.network.route_delete("10.8.0.0/24", one)
    assert host.routes() == {("10.8.0.0/24", TWO, 0)}
    yield host.network.route_add("10.8.0.0/24", one, beside=True)
    yield host.network.route_delete("10.8.0.0/24", two)
    assert host.routes() == {("10.8.0.0/24", ONE, 0)}


@pytest_twisted.inlineCallbacks
def test_a_gateway_behind_an_interface_needs_no_route_to_it(host):
    one = host.index[ONE]
    yield host.network.link_set(one, up=True)
    yield host.network.route_add("10.8.0.0/24", one, via="203.0.113.77", metric=5, onlink=True)
    yield host.network.route_add("2001:db8:8::/48", one, via="2001:db8:7::1", metric=5, onlink=True)
    assert host.gateways() == {("10.8.0.0/24", "203.0.113.77"), ("2001:db8:8::/48", "2001:db8:7::1")}
    yield host.network.route_delete("10.8.0.0/24", one, via="203.0.113.77", metric=5)
    yield host.network.route_delete("2001:db8:8::/48", one, via="2001:db8:7::1", metric=5)
    assert host.gateways() == set()


@pytest_twisted.inlineCallbacks
def test_a_peer_can_be_routed_in_a_table_of_its_own(host):
    one = host.index[ONE]
    yield host.network.link_set(one, up=True)
    yield host.network.address_add(one, "10.5.1.1", "10.5.1.100", routed=False)
    yield host.network.route_add("10.5.1.100/32", one, table=7777)
    yield host.network.rule_add(ONE, 7777)
    yield host.network.rule_add(ONE, 7777, ipv6=True)
    assert host.routed(ONE) == set() and host.routes() == set()
    assert host.routes(7777) == {("10.5.1.100", ONE, 0)}
    assert host.rules() == {(ONE, 7777, False), (ONE, 7777, True)}
    with refused_with(errno.EEXIST):
        yield host.network.rule_add(ONE, 7777)
    yield host.network.rule_add("lo", 7777, defaults=False)
    assert ("lo", 7777, False) in host.rules()
    yield host.network.rule_delete("lo", 7777, defaults=False)
    yield host.network.rule_delete(ONE, 7777)
    with refused_with(errno.ENOENT):
        yield host.network.rule_delete(ONE, 7777)
    yield host.network.address_delete(one, "10.5.1.1", "10.5.1.100")
    yield host.network.address_add(one, "10.5.1.1", "10.5.1.100")
    assert host.routed(ONE) == {"10.5.1.100/32"} and host.rules() == {(ONE, 7777, True)}


@pytest_twisted.inlineCallbacks
def test_a_vrf_that_is_not_there_is_an_error(host):
    with refused_with(errno.ENODEV):
        yield host.network.vrf("no-such-vrf")


@pytest_twisted.inlineCallbacks
def test_a_replaced_default_route_comes_back(host):
    one, two = host.index[ONE], host.index[TWO]
    yield host.network.link_set(one, up=True)
    yield host.network.default_route_add(two, via="192.0.2.254")
    with refused_with(errno.EEXIST):
        yield host.network.default_route_add(one)
    saved = yield host.network.default_route_add(one, replace=True, keep="198.51.100.7")
    assert host.way("203.0.113.9") == ONE
    assert host.way("198.51.100.7") == TWO, "the tunnel's peer stays where it was"
    yield host.network.route_delete("0.0.0.0/0", one)
    yield host.network.default_route_restore(saved)
    assert host.routes() == {("0.0.0.0/0", TWO, 0)}


@pytest_twisted.inlineCallbacks
def test_who_comes_after_a_crash_can_take_away_the_kept_way(host):
    one, two = host.index[ONE], host.index[TWO]
    yield host.network.link_set(one, up=True)
    yield host.network.default_route_add(two, via="192.0.2.254")
    assert host.network.left_behind(None) == []
    saved = yield host.network.default_route_add(one, replace=True)
    assert host.network.left_behind(saved) == []
    yield host.network.route_delete("0.0.0.0/0", one)
    yield host.network.default_route_restore(saved)
    saved = yield host.network.default_route_add(one, replace=True, keep="198.51.100.7")
    assert host.network.left_behind(saved) == [("198.51.100.7/32", two, "192.0.2.254")]
    yield host.network.route_delete(*host.network.left_behind(saved)[0])
    assert "198.51.100.7" not in {prefix for prefix, _, _ in host.routes()}


@pytest_twisted.inlineCallbacks
def test_a_default_route_that_cannot_be_set_leaves_the_old_one(host):
    yield host.network.default_route_add(host.index[TWO], via="192.0.2.254")
    with refused_with(errno.ENODEV):
        yield host.network.default_route_add(4000, replace=True)
    assert host.routes() == {("0.0.0.0/0", TWO, 0)}


@pytest_twisted.inlineCallbacks
def test_proxy_arp_is_answered_on_the_interface_of_the_network(host):
    assert (yield host.network.proxy_arp_add("192.0.2.77")) == host.index[TWO]
    assert host.proxies() == {"192.0.2.77"}
    assert (yield host.network.proxy_arp_add("203.0.113.1")) == 0
    yield host.network.proxy_arp_delete("192.0.2.77", host.index[TWO])
    assert host.proxies() == set()


@pytest_twisted.inlineCallbacks
def test_after_stop_requests_fail_and_do_not_hang(host):
    yield host.network.stop()
    if host.network.name == "linux":
        with refused_with(errno.ESHUTDOWN):
            yield host.network.address_add(host.index[ONE], "10.5.1.1", "10.5.1.100")
    yield host.network.start()
    yield host.network.link_set(host.index[ONE], mtu=1300)
    assert host.mtu(ONE) == 1300


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_another_device_is_no_vrf(kernel):
    with refused_with(errno.ENOTSUP):
        yield kernel.network.vrf(ONE)


def test_a_vrf_device_has_an_index_and_a_table():
    data = rtnetlink.attribute(1, struct.pack("=I", 77))
    info = rtnetlink.attribute(1, b"vrf\0") + rtnetlink.attribute(2, data)
    head = struct.pack("=IHHII", 0, 16, 0, 0, 0) + struct.pack("=BxHiII", 0, 0, 5, 0, 0)
    name = rtnetlink.attribute(3, b"red\0")
    assert rtnetlink.vrf(head + name + rtnetlink.attribute(18, info)) == (5, 77)
    assert rtnetlink.vrf(head + name + rtnetlink.attribute(18, rtnetlink.attribute(1, b"tun\0"))) is None
    assert rtnetlink.vrf(head + name) is None


PEER = "198.51.100.7"


@pytest.fixture
def kernel():
    made = Kernel()
    made.network.start()
    made.ip("link", "set", ONE, "up")
    yield made
    made.network.stop()
    made.close()


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_the_old_default_route_counts_again_when_nobody_lives_to_restore_it(kernel):
    kernel.ip("route", "add", "default", "via", "192.0.2.254")
    yield kernel.network.default_route_add(kernel.index[ONE], replace=True, keep=PEER)
    assert kernel.way("203.0.113.9") == ONE
    kernel.ip("link", "del", ONE)
    assert kernel.way("203.0.113.9") == TWO


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_the_tunnels_peer_keeps_a_way_without_gateway(kernel):
    kernel.ip("route", "add", "default", "dev", TWO)
    saved = yield kernel.network.default_route_add(kernel.index[ONE], replace=True, keep=PEER)
    assert kernel.way(PEER) == TWO
    yield kernel.network.route_delete("0.0.0.0/0", kernel.index[ONE])
    yield kernel.network.default_route_restore(saved)
    assert kernel.show("route", "show", PEER) == []


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_the_way_to_a_peer_of_two_links_stays_until_both_are_gone(kernel):
    kernel.ip("route", "add", "default", "via", "192.0.2.254")
    kernel.ip("tuntap", "add", "ppp-test2", "mode", "tun")
    kernel.ip("link", "set", "ppp-test2", "up")
    third = kernel.show("link", "show", "ppp-test2")[0]["ifindex"]
    first = yield kernel.network.default_route_add(kernel.index[ONE], replace=True, keep=PEER)
    second = yield kernel.network.default_route_add(third, replace=True, keep=PEER)
    yield kernel.network.route_delete("0.0.0.0/0", kernel.index[ONE])
    yield kernel.network.default_route_restore(first)
    assert kernel.way(PEER) == TWO and kernel.way("203.0.113.9") == "ppp-test2"
    yield kernel.network.route_delete("0.0.0.0/0", third)
    yield kernel.network.default_route_restore(second)
    assert kernel.way("203.0.113.9") == TWO and kernel.show("route", "show", PEER) == []


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_the_systems_own_route_to_the_tunnels_peer_is_not_taken_away(kernel):
    kernel.ip("route", "add", "default", "via", "192.0.2.254")
    kernel.ip("route", "add", PEER, "via", "192.0.2.254")
    saved = yield kernel.network.default_route_add(kernel.index[ONE], replace=True, keep=PEER)
    yield kernel.network.default_route_restore(saved)
    assert len(kernel.show("route", "show", PEER)) == 1


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_many_addresses_are_listed_once_for_all_who_ask_at_the_same_time(kernel):
    script = "".join(f"addr add 10.9.{n // 250}.{n % 250 + 1}/32 dev {ONE}\n" for n in range(1500))
    subprocess.run(["ip", "-n", kernel.namespace, "-batch", "-"], input=script.encode(), check=True)
    before = kernel.network._netlink.requests
    asked = [kernel.network.proxy_arp_add(f"192.0.2.{n}") for n in (50, 51, 52)]
    asked.append(kernel.network.default_route_add(kernel.index[ONE], replace=True))
    found = []
    for one in asked:
        found.append((yield one))
    assert found[:3] == [kernel.index[TWO]] * 3
    assert kernel.proxies() == {"192.0.2.50", "192.0.2.51", "192.0.2.52"}
    # two dumps, three entries, one route
    assert kernel.network._netlink.requests == before + 6


@pytest_twisted.inlineCallbacks
def test_a_list_that_the_kernel_could_not_finish_is_an_error_and_no_short_list():
    sock = NetlinkSocket(reactor)
    try:
        answer = Deferred()
        sock._sent[7] = (answer, [])
        sock._read(struct.pack("=IHHIIi", 20, 3, 2, 7, 0, -errno.EMSGSIZE))
        with refused_with(errno.EMSGSIZE):
            yield answer
        answer = Deferred()
        sock._sent[8] = (answer, [b"part"])
        sock._read(struct.pack("=IHHIIi", 20, 3, 2, 8, 0, 0))
        assert (yield answer) == [b"part"]
    finally:
        sock.close()


def test_an_interface_takes_router_advertisements_as_it_is_told(host):
    assert host.ipv6_set(ONE, True, True) == {"accept_ra": "2", "accept_ra_defrtr": "1", "accept_redirects": "0"}
    assert host.ipv6_set(ONE, True, False) == {"accept_ra": "2", "accept_ra_defrtr": "0", "accept_redirects": "0"}
    assert host.ipv6_set(ONE, False, False) == {"accept_ra": "0", "accept_redirects": "0"}
    with pytest.raises(OSError):
        host.ipv6_set("ppp-none", False, False)
