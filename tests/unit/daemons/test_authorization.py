"""What users may have: the same from a `user` block as from an Access-Accept."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from prol2tp.config.propppd import load
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.authorization import Authorization, of_answer, of_user, place, subnet_of
from prol2tp.daemons.propppd.filters import Filters
from prol2tp.daemons.propppd.leftovers import Leftovers
from prol2tp.daemons.propppd.settings import NetworkSettings
from prol2tp.dataplane.nftables import MemorySets
from prol2tp.radius.answer import NAS_SELECTS, Answer
from prol2tp.radius.values import Route

USER = """
ip_pool "a" { prefix 10.0.0.0/24 }
ipv6_pool "p6" { prefix 2001:db8:100::/40 }
ipv6_pool "a6" { prefix 2001:db8:200::/64; length 128 }
ipv6_pool "d6" { prefix 2001:db8:300::/40; length 56 }
filter "gold" { }
user "u" {
    password "p"
    ip 10.1.2.3
    netmask 255.255.255.248
    ip_pool "a"
    routes 192.0.2.0/24
    route 198.51.100.0/24 via 10.1.2.4 metric 5
    route 2001:db8:9::/48
    ipv6_prefix 2001:db8:1::/64
    ipv6_pool "p6"
    ipv6_address 2001:db8:1::2
    ipv6_address_pool "a6"
    delegated_prefix 2001:db8:4::/56
    delegated_pool "d6"
    ipv6_dns 2620:fe::fe
    filter "gold"
    rate_limit 20M/100M
    port_limit 2
    interim_interval 600
    table 7
}
"""
ANSWER = Answer(
    framed_ip_address="10.1.2.3", framed_ip_netmask="255.255.255.248", framed_pool="a",
    framed_routes=(Route("192.0.2.0/24", "", None), Route("198.51.100.0/24", "10.1.2.4", 5)),
    framed_ipv6_routes=(Route("2001:db8:9::/48", "", None),),
    framed_ipv6_prefixes=("2001:db8:1::/64",), framed_ipv6_pool="p6", framed_ipv6_addresses=("2001:db8:1::2",),
    stateful_ipv6_address_pool="a6", delegated_ipv6_prefixes=("2001:db8:4::/56",), delegated_ipv6_prefix_pool="d6",
    dns_ipv6=("2620:fe::fe",), filter_ids=("gold",), rate_up=20_000_000, rate_down=100_000_000, port_limit=2,
    acct_interim_interval=600, avpairs=("ip:table-id=7",),
)  # fmt: skip


def test_a_user_block_says_what_radius_can_say() -> None:
    local = of_user(load(USER, "x").users["u"])
    radius = of_answer(ANSWER, "r1")
    assert dataclasses.replace(radius, source="Local", server="") == local
    assert local.behind == (Route("10.1.2.0/29", "", None), *local.routes)
    assert local.routes == (
        Route("192.0.2.0/24", "", None), Route("198.51.100.0/24", "10.1.2.4", 5),
        Route("2001:db8:9::/48", "", None))  # fmt: skip
    of_radius_alone = {"source", "server", "user_name", "classes", "chargeable_user_identity", "ipv6_more_specific",
                       "vrf"}
    said = {field.name for field in dataclasses.fields(local)
            if getattr(local, field.name) != getattr(Authorization(), field.name)}
    assert said == {field.name for field in dataclasses.fields(local)} - of_radius_alone


def test_who_is_told_nothing_has_what_the_profile_says() -> None:
    assert of_user(load('user "u" { password "p" }', "x").users["u"]) == Authorization()
    assert of_answer(Answer(), "r1") == Authorization(source="RADIUS", server="r1")


def test_class_and_chargeable_user_identity_stay_octet_for_octet() -> None:
    found = of_answer(Answer(classes=(b"\0\xff", b"b"), chargeable_user_identity=b"\0"), "r1")
    assert (found.classes, found.chargeable_user_identity) == ((b"\0\xff", b"b"), b"\0")


@pytest.mark.parametrize(("address", "netmask"), [
    ("10.0.0.1", "255.255.255.255"), ("10.0.0.1", "0.0.0.0"), ("10.0.0.1", "255.0.255.0"), ("10.0.0.1", "0.0.0.255"),
    ("10.0.0.1", ""), ("", "255.255.255.0"), (NAS_SELECTS, "255.255.255.0"),
])
def test_a_netmask_without_a_network_of_its_own_routes_nothing(address: str, netmask: str) -> None:
    assert subnet_of(address, netmask) == ()


@pytest.mark.parametrize(("authorization", "network", "expected"), [
    (Authorization(), NetworkSettings(), (0, "")),
    (Authorization(), NetworkSettings(table=5), (5, "")),
    (Authorization(), NetworkSettings(vrf="red"), (0, "red")),
    (Authorization(table=0), NetworkSettings(vrf="red"), (0, "")),
    (Authorization(table=7), NetworkSettings(table=5), (7, "")),
    (Authorization(vrf="blue"), NetworkSettings(vrf="red"), (0, "blue")),
    (Authorization(vrf="blue"), NetworkSettings(table=5), (0, "blue")),
])
def test_the_users_table_or_vrf_comes_before_that_of_the_profile(
    authorization: Authorization, network: NetworkSettings, expected: tuple[int, str]
) -> None:
    assert place(authorization, network) == expected


FILTERS = """
filter "gold" { rate_limit 20M/100M }
filter "sets" { nft_set "inet fw gold" }
filter "slow.in" { rate_limit 1M }
profile "p" { filter "gold"; rate_limit 5M/6M }
profile "plain" { }
"""


def link(profile: str, **values: Any) -> Any:
    return SimpleNamespace(profile=load(FILTERS, "x").profiles[profile], authorization=Authorization(**values))


@pytest.mark.parametrize(("profile", "values", "expected"), [
    ("plain", {}, (0, 0)),
    ("p", {}, (20_000_000, 100_000_000)),
    ("p", {"filters": ("sets",)}, (5_000_000, 6_000_000)),
    ("plain", {"filters": ("gold.in",)}, (20_000_000, 0)),
    ("p", {"filters": ("gold.out",)}, (5_000_000, 100_000_000)),
    ("p", {"filters": ("slow.in",)}, (1_000_000, 1_000_000)),
    ("p", {"filters": ("nobody", "gold.down"), "rate_up": 0}, (0, 6_000_000)),
    ("p", {"rate_up": 7, "rate_down": 8}, (7, 8)),
    ("plain", {"filters": ("slow.in", "gold")}, (1_000_000, 1_000_000)),
])  # fmt: skip
def test_rates_are_those_of_the_user_then_of_his_filters_then_of_the_profile(
    profile: str, values: dict[str, Any], expected: tuple[int, int]
) -> None:
    log = Log("test", Level.CRITICAL)
    filters = Filters(log, MemorySets(), Leftovers(log))
    filters.configure(load(FILTERS, "x").filters)
    assert filters.rates(link(profile, **values)) == expected


def test_unknown_filters_are_counted_and_logged_once() -> None:
    lines: list[Any] = []
    log: Any = SimpleNamespace(warning=lambda *text, **values: lines.append(values))
    filters = Filters(log, MemorySets(), Leftovers(log))
    filters.configure(load(FILTERS, "x").filters)
    for _ in range(3):
        assert filters.missing(Authorization(filters=("gold", "gold.in", "lead\n", "lead.up")), "u") == [
            "lead\n", "lead.up"]
    assert filters.unknown == 6
    assert [line["name"] for line in lines] == ["'lead\\n'", "'lead.up'"]
