"""Rate limits of links: which, by whom, when they change and when they go."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from prol2tp.daemons.propppd.rates import RateError, Rates
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.dataplane.interface import UNSUPPORTED, DataPathError
from prol2tp.dataplane.shaping import Abilities, MemoryShaping
from tests.shell.propppd_world import CONFIG, LinksWorld, result
from tests.shell.test_log_lines import heard
from tests.shell.test_propppd_accounting import reopen

LIMITED = CONFIG.replace("auth true", "auth true; rate_limit 2M/8M", 1) + """
filter "gold" { rate_limit 50M/200M }
user "gold@example.com" { password "pw"; filter "gold" }
user "fast@example.com" { password "pw"; rate_limit 0 }
user "slow@example.com" { password "pw"; rate_limit 64k/1M }
"""


class RatesWorld(LinksWorld):
    def __init__(self, config: str = LIMITED, abilities: Abilities | None = None) -> None:
        super().__init__(config.replace("10.5.1.100-10.5.1.102", "10.5.1.100-10.5.1.149"))
        self.shaping = MemoryShaping(abilities)
        self.rates = Rates(self.links, self.shaping, self.log)
        self.links.followers.add(self.rates)
        self.policed: dict[tuple[int, str], int] = {}
        self.modified: list[Any] = []
        self._modify = self.near.port_modify
        self.near.port_modify = self.port_modify  # type: ignore[method-assign]

    def port_modify(self, port: int, **values: Any) -> Deferred[None]:
        rates = {name: values.pop(name) for name in ("rate_up", "rate_down") if values.get(name) is not None}
        self.policed.update({(port, name): rate for name, rate in rates.items()})
        return self._modify(port, **values) if values else succeed(None)

    def tc(self, link: Any) -> tuple[int, int]:
        index = link.interface.netif.ifindex
        limits = self.shaping.limits
        return limits.get(("ingress", index), 0), limits.get(("egress", index), 0)

    def path(self, link: Any) -> tuple[int, int]:
        return self.policed.get((link.port, "rate_up"), 0), self.policed.get((link.port, "rate_down"), 0)

    def change(self, link: Any, **values: Any) -> None:
        self.links.apply(link, replace(link.authorization, **values))


@pytest.fixture
def world() -> Iterator[RatesWorld]:
    yield RatesWorld()


def test_without_a_limit_nothing_is_asked_of_the_kernel() -> None:
    world = RatesWorld(CONFIG)
    world.client()
    assert (len(world.rates), world.shaping.operations, world.rates.abilities) == (0, 0, "")


@pytest.mark.parametrize(
    ("user", "up", "down"),
    [("u1", 2_000_000, 8_000_000), ("gold", 50_000_000, 200_000_000), ("slow", 64_000, 1_000_000), ("fast", 0, 0)],
)
def test_a_user_has_his_own_limit_or_that_of_filter_or_profile(
    world: RatesWorld, user: str, up: int, down: int
) -> None:
    _, link = world.client(f"{user}@example.com", "pw1" if user == "u1" else "pw")
    assert world.tc(link) == (up, down)
    assert len(world.rates) == bool(up)


def test_both_protocols_set_it_once(world: RatesWorld) -> None:
    client, link = world.client()
    assert set(client.networks) == {"ip", "ipv6"}
    assert world.shaping.operations == 2


def test_another_user_on_the_same_link_has_his_own_limit(world: RatesWorld) -> None:
    _, link = world.client()
    link.authorization = replace(link.authorization, rate_up=3_000, rate_down=0)
    world.links.followers.tell("link_admitted", link)
    world.links.followers.tell("protocol_up", link, link.interface.network("ip"))  # type: ignore[union-attr]
    assert world.tc(link) == (3_000, 0)


ELSEWHERE = LIMITED + 'user "far@example.com" { password "pw"; table 100; rate_limit %s }'


@pytest.mark.parametrize("limit", ["0", "64k/1M"])
@pytest.mark.parametrize("by", ["path", "tc"])
def test_another_user_who_gets_another_interface_has_his_own_limit_whoever_sees_to_it(by: str, limit: str) -> None:
    world = RatesWorld((ELSEWHERE % limit).replace("rate_limit 2M", f"rate_limit_by {by}; rate_limit 2M", 1))
    client, link = world.client()
    before = link.interface.netif.ifindex  # type: ignore[union-attr]
    client.core.settings.user, client.core.settings.password = "far@example.com", "pw"
    reopen(client)
    world.settle()
    assert link.up and link.interface.netif.ifindex != before  # type: ignore[union-attr]
    wanted = (64_000, 1_000_000) if limit != "0" else (0, 0)
    assert {"tc": world.tc(link), "path": world.path(link)} == {"tc": (0, 0), "path": (0, 0), by: wanted}
    assert before not in {ifindex for _, ifindex in world.shaping.limits}


def test_an_interface_that_goes_while_its_limit_is_set_leaves_the_next_one_limited() -> None:
    world = RatesWorld(ELSEWHERE % "64k/1M")
    waiting: list[Deferred[None]] = []
    egress = world.shaping.egress
    world.shaping.egress = lambda *words: waiting.append(Deferred()) or waiting[-1]  # type: ignore[method-assign]
    client, link = world.client()
    client.core.settings.user, client.core.settings.password = "far@example.com", "pw"
    reopen(client)
    world.settle()
    world.shaping.egress = egress  # type: ignore[method-assign]
    waiting[0].callback(None)
    assert link.up and world.tc(link) == (64_000, 1_000_000)
    link.lost("Lost Carrier", "")
    assert world.shaping.limits == {} and len(world.rates) == 0


def test_a_change_is_a_change_of_the_rate_and_unlimited_takes_it_away(world: RatesWorld) -> None:
    _, link = world.client()
    world.change(link, rate_down=100_000)
    assert world.tc(link) == (2_000_000, 100_000)
    assert world.shaping.operations == 3
    world.change(link, rate_up=0, rate_down=0)
    assert world.tc(link) == (0, 0)
    world.change(link, rate_up=5_000, rate_down=None)
    assert world.tc(link) == (5_000, 8_000_000)
    result(world.rates.settled(link))


def test_the_end_of_the_link_takes_all_away(world: RatesWorld) -> None:
    _, link = world.client()
    _, other = world.client("u3@example.com", "pw3")
    link.lost("Lost Carrier", "")
    world.settle(1)
    assert len(world.shaping.limits) == 2
    assert len(world.rates) == 1
    other.lost("Lost Carrier", "")
    assert world.shaping.limits == {}


def test_a_shared_interface_is_left_to_the_data_path() -> None:
    world = RatesWorld(LIMITED.replace("auth true", "auth true; interface shared", 1))
    _, link = world.client()
    assert (world.tc(link), world.path(link)) == ((0, 0), (2_000_000, 8_000_000))
    assert world.rates.of(link).by == ["path", "path"]  # type: ignore[union-attr]
    world.change(link, rate_up=0, rate_down=9_000)
    assert world.path(link) == (0, 9_000)
    link.lost("Lost Carrier", "")
    assert (len(world.rates), world.path(link)) == (0, (0, 0)), "the port may carry another link"


def test_what_the_kernel_cannot_do_is_done_by_the_data_path() -> None:
    world = RatesWorld(abilities=Abilities(True, False, reason="nothing from users"))
    _, link = world.client()
    assert (world.tc(link), world.path(link)) == ((0, 8_000_000), (2_000_000, 0))
    world = RatesWorld(abilities=Abilities(reason="no ifb device"))
    _, link = world.client()
    assert (world.tc(link), world.path(link)) == ((0, 0), (2_000_000, 8_000_000))


def test_the_operator_may_choose_who_limits() -> None:
    world = RatesWorld(LIMITED.replace("rate_limit 2M", "rate_limit_by path; rate_limit 2M", 1))
    _, link = world.client()
    assert (world.tc(link), world.path(link)) == ((0, 0), (2_000_000, 8_000_000))
    only = LIMITED.replace("rate_limit 2M", "rate_limit_by tc; interface shared; rate_limit 2M", 1)
    world = RatesWorld(only)
    lines = heard(world.log)
    _, link = world.client()
    assert (world.path(link), world.rates.failures, link.up) == ((0, 0), 2, True)
    assert "session-1: rate limit up not set: rate_limit_by tc, and the interface is shared" in lines
    world = RatesWorld(only.replace("interface shared; ", ""), Abilities(reason="no htb"))
    lines = heard(world.log)
    world.client()
    assert "session-1: rate limit up not set: rate_limit_by tc, and the kernel cannot shape (no htb)" in lines


def test_a_refusal_of_the_kernel_is_told_and_the_user_stays_online(world: RatesWorld) -> None:
    world.shaping.refuse["egress"] = errno.EEXIST
    lines = heard(world.log)
    _, link = world.client()
    assert link.up and world.tc(link) == (2_000_000, 0)
    assert "session-1: rate limit down not set: File exists" in lines
    with pytest.raises(RateError, match="File exists"):
        result(world.rates.settled(link))
    del world.shaping.refuse["egress"]
    world.change(link, rate_up=7_000)
    assert world.tc(link) == (7_000, 8_000_000)


def test_a_data_path_that_cannot_police_is_told() -> None:
    world = RatesWorld(abilities=Abilities())
    refused = DataPathError(UNSUPPORTED, "this data path does not police")
    world.near.port_modify = lambda port, **values: fail(refused)  # type: ignore[method-assign]
    lines = heard(world.log)
    _, link = world.client()
    assert link.up
    assert "session-1: rate limit up not set: this data path does not police" in lines


def test_changes_that_come_while_one_is_under_way_are_not_lost(world: RatesWorld) -> None:
    _, link = world.client()
    waiting: list[Deferred[None]] = []
    egress = world.shaping.egress

    def slow(ifindex: int, rate: int) -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1].addCallback(lambda _: egress(ifindex, rate))

    world.shaping.egress = slow  # type: ignore[method-assign]
    for rate in (1_000, 2_000, 3_000):
        world.change(link, rate_down=rate)
    done = world.rates.settled(link)
    assert len(waiting) == 1
    waiting[0].callback(None)
    waiting[1].callback(None)
    result(done)
    assert world.tc(link)[1] == 3_000


def test_a_link_that_ends_while_its_limit_is_set_leaves_nothing(world: RatesWorld) -> None:
    waiting: Deferred[None] = Deferred()
    ingress = world.shaping.ingress
    world.shaping.ingress = lambda ifindex, rate: waiting.addCallback(  # type: ignore[method-assign]
        lambda _: ingress(ifindex, rate))
    _, link = world.client()
    assert len(world.rates) == 1
    link.lost("Lost Carrier", "")
    waiting.callback(None)
    assert (world.shaping.limits, len(world.rates)) == ({}, 0)


def test_a_reload_of_filters_reaches_users_who_are_online(world: RatesWorld) -> None:
    _, link = world.client("gold@example.com", "pw")
    world.configure(LIMITED.replace("50M/200M", "60M/300M"))
    result(world.rates.reloaded())
    assert world.tc(link) == (60_000_000, 300_000_000)


def test_what_the_kernel_can_do_is_told_once_to_all_who_wait_for_it(world: RatesWorld) -> None:
    lines = heard(world.log)
    waiting: list[Deferred[Abilities]] = []

    def probe(again: bool = False) -> Deferred[Abilities]:
        waiting.append(Deferred())
        return waiting[-1]

    world.shaping.probe = probe  # type: ignore[method-assign]
    links = [world.client()[1] for _ in range(3)]
    world.client()[1].lost("Lost Carrier", "")
    for one in waiting:
        one.callback(Abilities(True, True))
    assert (len(world.shaping.limits), len(world.rates)) == (6, 3)
    assert [world.tc(link) for link in links] == [(2_000_000, 8_000_000)] * 3
    assert len([line for line in lines if line.startswith("rate limits")]) == 1


def test_a_reload_finds_what_the_kernel_has_got_meanwhile() -> None:
    world = RatesWorld(abilities=Abilities(reason="no ifb device"))
    lines = heard(world.log)
    _, link = world.client()
    world.shaping.abilities = Abilities(True, True)
    world.configure(LIMITED)
    result(world.rates.reloaded())
    assert world.path(link) == (2_000_000, 8_000_000), "what is set stays as it is"
    world.change(link, rate_up=5_000)
    assert (world.tc(link), world.path(link)) == ((5_000, 0), (0, 8_000_000))
    assert [line for line in lines if line.startswith("rate limits")] == [
        "rate limits: the kernel cannot shape (no ifb device)",
        "rate limits: to users by htb and from users by htb on ifb devices, queues: bfifo"]


def test_show_and_status_say_what_there_is(world: RatesWorld) -> None:
    status = Status(world.links, ConfigCounts(), "t", world.log, rates=world.rates)
    assert status.system()["rate_limits"] is None
    _, link = world.client()
    assert status.link(link)["rate"] == {"up": 2_000_000, "up_by": "tc", "down": 8_000_000, "down_by": "tc"}
    assert status.system()["rate_limits"] == {
        "links": 1, "failures": 0, "kernel": "to users by htb and from users by htb on ifb devices, queues: bfifo"}
    world.change(link, rate_up=0, rate_down=0)
    assert status.link(link)["rate"] is None
