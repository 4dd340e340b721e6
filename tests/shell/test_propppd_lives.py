"""Links that live at random on a slow system that sometimes refuses: whatever comes in whatever order, nothing of a
link is left when it is over, and its accounting adds up.
"""

from __future__ import annotations

import errno
import gc
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from prol2tp.config.propppd import load
from prol2tp.daemons.propppd import reload
from prol2tp.daemons.propppd.dynamic import DynamicRequests
from prol2tp.daemons.propppd.rates import PATH, TC, Rates
from prol2tp.dataplane.interface import GONE, DataPathError
from prol2tp.dataplane.nftables import IFNAME, IPV4_ADDR, Kind
from prol2tp.dataplane.shaping import Abilities, MemoryShaping
from prol2tp.net.netlink import NetlinkError
from prol2tp.ppp.link import Phase
from prol2tp.ppp.settings import LinkSettings
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.values import Route
from tests.shell.propppd_world import Client
from tests.shell.test_propppd_accounting import AccountingWorld, check, reopen

PARAMETERS = """
    auth true; auth_methods chap pap; accounting true; local_ip 10.5.1.1; ip_pool "pool1"
    ipv6_pool "links"; ipv6_address_pool "addresses"; delegated_pool "delegated"; filter "gold"; idle_timeout %d
"""
CONFIG = f"""
profile "own" {{ {PARAMETERS % 40}; second_login preempt; unknown_filter refuse }}
profile "policed" {{ {PARAMETERS % 0}; rate_limit 1M/2M; rate_limit_by path }}
profile "shared" {{ {PARAMETERS % 30}; interface shared; interface_name users; table 77; rate_limit 3M/4M }}
profile "proxied" {{ {PARAMETERS % 0}; proxy_arp true; port_limit 2 }}
ip_pool "pool1" {{ range 10.5.1.100-10.5.1.105 }}
ipv6_pool "links" {{ prefix 2001:db8:1::/61 }}
ipv6_pool "addresses" {{ prefix 2001:db8:2::/125; length 128 }}
ipv6_pool "delegated" {{ prefix 2001:db8:100::/53; length 56 }}
filter "gold" {{ nft_set "inet fw gold" "inet fw addresses" }}
filter "slow" {{ rate_limit 64k/128k }}
user "u0" {{ password "pw"; ip 10.5.1.150; routes 192.0.2.0/24 }}
user "u1" {{ password "pw"; table 100; filter "slow"; rate_limit 5M/6M }}
user "u2" {{ password "pw"; vrf "red"; ipv6_prefix 2001:db8:9::/64 }}
user "u3" {{ password "pw"; filter "gold"; route 198.51.100.0/24 }}
user "u4" {{ password "pw"; delegated_prefix 2001:db8:a::/56; session_timeout 25 }}
user "u5" {{ password "pw"; vrf "nowhere" }}
user "u6" {{ password "pw"; rate_limit 0 }}
user "u7" {{ password "wrong" }}
radius {{ nas_identifier "lns7"; server "r1" {{ address 192.0.2.53; secret "s3cret" }}
    dynamic_authorization {{ client "aaa" {{ network 192.0.2.50; secret "s3cret" }} }} }}
"""
REFUSED = ("route_add", "address_add", "link_set", "rule_add", "netif_modify",
           "netif_attach", "port_modify", "egress", "ingress", "add")


class Slow:
    """A system that answers after a while, in the order in which it was asked, and at times with a refusal.

    :param error: what refuses.
    """

    def __init__(self, system: Any, chance: random.Random, clock: Clock, error: Any) -> None:
        self.system = system
        self.refusing = True
        self._chance = chance
        self._clock = clock
        self._error = error
        self._waiting: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.system, name)
        if not callable(found):
            return found

        def operation(*arguments: Any, **words: Any) -> Any:
            if self.refusing and name in REFUSED and self._chance.random() < 0.04:
                answer: Any = Deferred()
                answer.errback(self._error())
            else:
                answer = found(*arguments, **words)
            if not isinstance(answer, Deferred):
                return answer
            late: Deferred[Any] = Deferred()
            self._waiting.append((answer, late))
            self._clock.callLater(self._chance.choice((0, 0, 0.05, 0.7)), self._answer)
            return late

        return operation

    def _answer(self) -> None:
        answer, late = self._waiting.pop(0)
        answer.addBoth(late.callback)


class LivesWorld(AccountingWorld):
    """Everything that follows links, over slow systems."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.failures: list[Any] = []
        links = self.links
        self.shaping = MemoryShaping(Abilities(True, chance.random() < 0.5))

        def refused() -> Exception:
            return NetlinkError(errno.ENOBUFS, "no buffer space")

        self.slow_path = Slow(self.near, chance, self.clock, lambda: DataPathError(GONE, "no such port"))
        self.slow_network = Slow(self.network, chance, self.clock, refused)
        self.slow_sets = Slow(links.filters._sets, chance, self.clock, refused)
        self.slow_shaping = Slow(self.shaping, chance, self.clock, refused)
        self.slow = (self.slow_path, self.slow_network, self.slow_sets, self.slow_shaping)
        self.network.vrfs = {"red": (90, 1090)}
        links.filters._sets.kinds = {"inet fw gold": Kind(IFNAME, False), "inet fw addresses": Kind(IPV4_ADDR, True)}
        links.use(self.slow_path)
        links.interfaces.network = self.slow_network
        links.filters._sets = self.slow_sets
        links.authentication = Slow(links.authentication, chance, self.clock, None)
        self.rates = Rates(links, self.slow_shaping, self.log)
        links.followers.add(self.rates)
        self.dynamic = DynamicRequests(links, self.source, self.clock, self.log)
        links.followers.add(self.dynamic)
        self.configure(CONFIG)
        self.dynamic._settings = self.config.radius.dynamic

    def reload(self, text: str) -> None:
        old, self.config = self.config, load(text, "test.conf")
        _, done = reload.apply(self.links, self.users, old, self.config)
        done.addErrback(self.failures.append)
        self.rates.reloaded()

    def peer(self, near: int, far: int, user: str) -> tuple[Client, Any]:
        client = Client(self, far, LinkSettings(user=user, password="pw"))
        client.open()
        return client, self.links.by_port[near]

    def removed_interfaces(self) -> None:
        """What the kernel does with an interface that goes."""
        there = set(self.near.interfaces.values())
        for index in {index for index, _ in self.network.routes.values()} | set(self.network.links):
            if index not in there and index != 90:
                self.network.removed(index)


@pytest.fixture
def faults() -> Iterator[list[Any]]:
    """Tracebacks in the log."""
    found: list[Any] = []

    def hear(event: Any) -> None:
        if "log_failure" in event:
            found.append((event.get("log_format"), event["log_failure"].getTraceback()))

    globalLogPublisher.addObserver(hear)
    yield found
    gc.collect()
    globalLogPublisher.removeObserver(hear)
    assert not found


def step(world: LivesWorld, ends: list[tuple[Any, Any]]) -> None:
    """Something happens."""
    chance = world.chance
    living = [end for end in ends if not end[1].ended]
    if len(living) < 5 or chance.random() < 0.1:
        user = f"u{chance.randrange(8)}"
        profile = chance.choice(("own", "policed", "shared", "proxied"))
        near, far = world.session()
        if world.attach(world.row(near, profile)) == [None]:
            ends.append(world.peer(near, far, user))
        return
    client, link = chance.choice(living)
    what = chance.randrange(12)
    if what == 0 and client.core.phase is Phase.NETWORK:
        client.core.settings.user = f"u{chance.randrange(9)}"
        reopen(client)
    elif what == 1:
        link.lost("Lost Carrier", "")
    elif what == 2:
        link.close("Admin Reset")
    elif what == 3:
        world.links.for_all(world.links.online.of(link.user), lambda one: one.close("Admin Reset"))
    elif what in (4, 5) and link.up:
        values: dict[str, Any] = chance.choice((
            {"filters": ("gold",)}, {"filters": ()}, {"rate_up": 7_000_000}, {"rate_down": 0},
            {"classes": (b"other",)}, {"routes": (Route("203.0.113.0/24", "", None),)},
        ))
        world.links.apply(link, replace(link.authorization, **values))
    elif what == 6 and link.up:
        world.near.deliver(link.port, b"\x00\x21\x45" + bytes(19))
    elif what == 7:
        world.reload(CONFIG.replace("10.5.1.105", chance.choice(("10.5.1.105", "10.5.1.115"))))
    elif what == 8:
        client.driver.call(client.core.network_failed, chance.choice(("ip", "ipv6")))
    elif what == 9:
        world.attachments.detach(world.prol2tpd, [{"id": link.carrier.id}])
    elif what == 10:
        client.driver.call(client.core.close)


def come_to_rest(world: LivesWorld) -> None:
    """Until nothing is under way, and no timer of a link has just begun something."""
    world.later(5, 0.1)
    for _ in range(100):
        links = world.links.by_number.values()
        busy = [limit for limit in world.rates._limits.values() if limit.busy]
        setting = [link for link in links if link.interface is not None and link.interface._busy]
        if not busy and not setting and not world.links._closing:
            return
        world.later(0.1, 0.1)
    raise AssertionError("it does not come to rest")


def nothing_is_mixed_up(world: LivesWorld) -> None:
    """What the tables say is what there is."""
    links = world.links
    limits: dict[tuple[str, int], int] = {}
    for link in links.by_number.values():
        limit, entry = world.rates.of(link), world.near.ports[link.port]
        rates, by = (limit.rates, limit.by) if limit is not None else ([0, 0], ["", ""])
        policed = [0 if way is None else int(way._octets * 8) for way in (entry.up, entry.down)]
        assert policed == [rate if who == PATH else 0 for rate, who in zip(rates, by, strict=True)]
        for name, rate, who in zip(("ingress", "egress"), rates, by, strict=True):
            if who == TC:
                assert limit is not None and link.interface is not None
                assert link.interface.netif is None or link.interface.netif.ifindex == limit.ifindex
                limits[name, limit.ifindex] = rate
        assert (link in links.online._links.get(link.user, ())) == bool(link.user)
        if link.lease is not None:
            assert links.addresses.tables[link.lease.vrf][link.lease.address] is link.lease and link.lease.owner is link
    assert world.shaping.limits == limits
    assert sum(map(len, links.online._links.values())) == sum(bool(link.user) for link in links.by_number.values())
    leased = sum(map(len, links.addresses.tables.values()))
    assert leased == sum(link.lease is not None for link in links.by_number.values())
    assert links.counts.up - links.counts.down == sum(link.up for link in links.by_number.values())


def nothing_is_left(world: LivesWorld) -> None:
    links, network = world.links, world.network
    world.removed_interfaces()
    assert not links.by_number and not links.by_id and not links.by_port and not links._closing
    assert not len(links.online) and not links._uncounted and not any(links._of_profile.values())
    assert links.addresses.tables == {"": {}}
    assert not any(pool.used or pool.ending for pool in links.addresses.pools.values())
    assert not links.prefixes.claims and not any(pool.used for pool in links.prefixes.pools.values())
    assert not links.filters._members and not any(world.slow_sets.members.values())
    assert not links.leftovers._lines
    assert not links.interfaces.names and not links.interfaces.shared and not links.interfaces._ruled
    assert not world.near.interfaces and not network.rules and not network.proxies
    assert not network.routes and not network.addresses
    assert not len(world.rates) and not world.shaping.limits
    assert not len(world.dynamic.index) and not any(world.dynamic.index._tables)
    assert not len(links.deadlines._deadlines) and not len(links.idle._due)
    assert world.accounting.idle and not len(world.accounting._due)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_of_a_link_is_left_when_it_is_over(
    seed: int, faults: list[Any]
) -> None:
    chance = random.Random(seed)
    world = LivesWorld(chance)
    world.accounting.interval = 7.0
    ends: list[tuple[Any, Any]] = []
    for _ in range(120):
        step(world, ends)
        world.later(chance.choice((0.0, 0.1, 0.5, 3.0)), 0.1)
    for system in world.slow:
        system.refusing = False
    come_to_rest(world)
    nothing_is_mixed_up(world)
    if chance.random() < 0.5:
        world.links.path_lost("the data path is gone")
    world.links.end_all("Admin Reboot", "", 3.0)
    world.later(20, 0.1)
    nothing_is_left(world)
    sessions: dict[str, list[AccountingRequest]] = {}
    for record in world.told:
        sessions.setdefault(record.session_id, []).append(record)
    assert sessions
    for records in sessions.values():
        check(records)
    world.attachments.stop()
    world.accounting.stop()
    world.links.stop()
    world.settle()
    assert not world.failures
