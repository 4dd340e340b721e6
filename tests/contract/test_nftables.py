"""What `ISets` promises, held by the one in memory and by the kernel's (in a namespace of its own)."""

from __future__ import annotations

import errno
import json
import os
import subprocess

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from prol2tp.config.network import NftSet
from prol2tp.dataplane.nftables import (
    IFNAME,
    IPV4_ADDR,
    IPV6_ADDR,
    Element,
    ISets,
    Kind,
    LinuxSets,
    MemorySets,
    elements,
)
from prol2tp.net.netlink import NetlinkError
from tests.contract.test_network import inside

KINDS = {
    "inet fw names": Kind(IFNAME, False),
    "inet fw hosts": Kind(IPV4_ADDR, False),
    "inet fw networks": Kind(IPV4_ADDR, True),
    "inet fw networks6": Kind(IPV6_ADDR, True),
}
RULESET = """
table inet fw {
    set names { type ifname; }
    set hosts { type ipv4_addr; }
    set networks { type ipv4_addr; flags interval; }
    set networks6 { type ipv6_addr; flags interval; }
    set ports { type inet_service; }
}
"""
NAMES, HOSTS, NETWORKS, NETWORKS6 = (NftSet(*name.split()) for name in KINDS)
MISSING = NftSet("inet", "fw", "missing")
NETS = {Element(bytes([10, 0, 0, 0]), bytes([10, 0, 1, 0])): "10.0.0.0/24",
        Element(bytes([10, 0, 7, 7]), bytes([10, 0, 7, 8])): "10.0.7.7"}  # fmt: skip


class Memory:
    def __init__(self):
        self.sets = MemorySets()
        self.sets.kinds = dict(KINDS)

    def members(self, nft):
        names = {Element(b"ppp0".ljust(16, b"\0")): "ppp0", Element(b"ppp1".ljust(16, b"\0")): "ppp1",
                 Element(bytes([10, 0, 0, 1])): "10.0.0.1"}  # fmt: skip
        return {{**names, **NETS}.get(one) or "2001:db8::/48" for one in self.sets.members.get(str(nft), ())}

    def close(self):
        pass


class Kernel:
    def __init__(self):
        self.namespace = f"p2t{os.getpid()}-nft"
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        self.nft("-f", "-", stdin=RULESET)
        self.sets = LinuxSets(reactor)
        with inside(self.namespace):
            self.sets.start()

    def nft(self, *words, stdin=""):
        return subprocess.run(["ip", "netns", "exec", self.namespace, "nft", *words], check=True, capture_output=True,
                              text=True, input=stdin).stdout

    def members(self, nft):
        found = set()
        for one in json.loads(self.nft("-j", "list", "set", *nft))["nftables"]:
            for element in one.get("set", {}).get("elem", ()):
                prefix = element.get("prefix") if isinstance(element, dict) else None
                found.add(f"{prefix['addr']}/{prefix['len']}" if prefix else element)
        return found

    def close(self):
        subprocess.run(["ip", "netns", "del", self.namespace], check=True)


@pytest.fixture(params=[Memory, pytest.param(Kernel, marks=pytest.mark.root)])
def host(request):
    made = request.param()
    verifyObject(ISets, made.sets)
    yield made
    made.sets.stop()
    made.close()


def refused_with(number):
    return pytest.raises(NetlinkError, check=lambda error: error.errno == number)


def test_the_kind_of_a_set_is_known(host):
    assert {name: host.sets.kind(NftSet(*name.split())) for name in KINDS} == KINDS
    with refused_with(errno.ENOENT):
        host.sets.kind(MISSING)


@pytest_twisted.inlineCallbacks
def test_elements_come_and_go(host):
    one, two = (elements(KINDS["inet fw names"], name, ())[0] for name in ("ppp0", "ppp1"))
    yield host.sets.add(NAMES, one)
    yield host.sets.add(NAMES, two)
    assert host.members(NAMES) == {"ppp0", "ppp1"}
    yield host.sets.add(NAMES, one)
    yield host.sets.delete(NAMES, one)
    assert host.members(NAMES) == {"ppp1"}
    with refused_with(errno.ENOENT):
        yield host.sets.delete(NAMES, one)


@pytest_twisted.inlineCallbacks
def test_one_bad_element_costs_no_other_of_its_turn(host):
    one = elements(KINDS["inet fw hosts"], "", ["10.0.0.1/32"])[0]
    good = [host.sets.add(HOSTS, one), host.sets.add(NAMES, elements(KINDS["inet fw names"], "ppp0", ())[0])]
    bad = host.sets.add(MISSING, one)
    yield from good
    with refused_with(errno.ENOENT):
        yield bad
    assert host.members(HOSTS) == {"10.0.0.1"} and host.members(NAMES) == {"ppp0"}


@pytest_twisted.inlineCallbacks
def test_networks_are_intervals_that_do_not_overlap(host):
    networks = ["10.0.0.1/32", "10.0.0.0/25", "10.0.0.128/25", "10.0.7.7/32", "2001:db8::/48"]
    found = elements(KINDS["inet fw networks"], "ppp0", networks)
    assert set(found) == set(NETS)
    for one in found:
        yield host.sets.add(NETWORKS, one)
    assert host.members(NETWORKS) == {"10.0.0.0/24", "10.0.7.7"}
    (six,) = elements(KINDS["inet fw networks6"], "ppp0", networks)
    yield host.sets.add(NETWORKS6, six)
    assert host.members(NETWORKS6) == {"2001:db8::/48"}
    for one in found:
        yield host.sets.delete(NETWORKS, one)
    yield host.sets.delete(NETWORKS6, six)
    assert host.members(NETWORKS) == host.members(NETWORKS6) == set()


def test_what_a_set_cannot_hold_stands_for_nobody():
    assert elements(Kind(12, False), "ppp0", ["10.0.0.1/32"]) == []
    assert elements(Kind(IFNAME, False), "", ["10.0.0.1/32"]) == []
    assert elements(Kind(IPV4_ADDR, False), "ppp0", ["10.0.0.0/24", "2001:db8::1/128"]) == []
    assert elements(Kind(IPV4_ADDR, True), "", ["255.255.255.0/24"]) == [Element(b"\xff\xff\xff\0")]


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_sets_that_are_made_anew_are_told():
    host = Kernel()
    made = []
    sets = LinuxSets(reactor)
    sets.watch(made.append)
    with inside(host.namespace):
        sets.start()
    try:
        yield sets.add(NAMES, elements(KINDS["inet fw names"], "ppp0", ())[0])
        for _ in range(3):
            yield deferLater(reactor, 0, lambda: None)
        assert made == []
        host.nft("flush", "ruleset")
        host.nft("-f", "-", stdin=RULESET)
        while len(made) < 5:
            yield deferLater(reactor, 0.01, lambda: None)
        assert {NAMES, HOSTS, NETWORKS, NETWORKS6} < set(made)
    finally:
        sets.stop()
        host.sets.stop()
        host.close()


@pytest.mark.root
@pytest_twisted.inlineCallbacks
def test_many_elements_are_few_transactions():
    host = Kernel()
    try:
        kind = KINDS["inet fw hosts"]
        added = [host.sets.add(HOSTS, elements(kind, "", [f"10.1.{n // 250}.{n % 250}/32"])[0]) for n in range(1000)]
        yield from added
        assert len(host.members(HOSTS)) == 1000 and host.sets.transactions == 10
        host.nft("flush", "ruleset")
        with refused_with(errno.ENOENT):
            host.sets.kind(HOSTS)
        with refused_with(errno.ENOENT):
            yield host.sets.add(HOSTS, elements(kind, "", ["10.0.0.1/32"])[0])
    finally:
        host.sets.stop()
        host.close()
