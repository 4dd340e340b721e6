"""Address pools."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prol2tp.daemons.propppd.addresses import Addresses, NoAddress, chain
from tests.steps import steps


def span(text):
    first, last = text.split("-")
    return int(IPv4Address(first)), int(IPv4Address(last))


def pools(reserved=(), **ranges):
    made = Addresses()
    made.configure({name: [span(text) for text in texts] for name, texts in ranges.items()}, reserved)
    return made


def test_addresses_come_in_order_and_each_once():
    addresses = pools(a=["10.0.0.5-10.0.0.6", "10.0.0.1-10.0.0.1"])
    assert [addresses.take(["a"], n).text for n in range(3)] == ["10.0.0.1", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(NoAddress):
        addresses.take(["a"], 4)


def test_the_address_that_is_free_for_longest_comes_first():
    addresses = pools(a=["10.0.0.1-10.0.0.3"])
    one, two, three = [addresses.take(["a"], n) for n in range(3)]
    for lease in (two, three, one):
        addresses.release(lease)
    assert [addresses.take(["a"], n).text for n in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.1"]


def test_the_next_pool_is_asked_when_one_is_used_up():
    addresses = pools(a=["10.0.0.1-10.0.0.1"], b=["10.1.0.1-10.1.0.1"])
    assert [addresses.take(["a", "b"], n).text for n in range(2)] == ["10.0.0.1", "10.1.0.1"]
    with pytest.raises(NoAddress, match="a b"):
        addresses.take(["a", "b"], 3)


def test_an_address_is_one_users_within_a_vrf_and_a_pool_gives_each_of_its_own_once():
    addresses = pools(a=["10.0.0.1-10.0.0.3"])
    first = addresses.take(["a"], "x", "red")
    assert (first.text, addresses.holder("10.0.0.1"), addresses.holder("10.0.0.1", "red")) == ("10.0.0.1", None, "x")
    own, others = addresses.claim("10.9.0.9", "y", "red"), addresses.claim("10.9.0.9", "z", "blue")
    with pytest.raises(NoAddress, match="10.9.0.9 is in use"):
        addresses.claim("10.9.0.9", "w", "red")
    addresses.release(own)
    assert (addresses.holder("10.9.0.9", "red"), addresses.holder("10.9.0.9", "blue")) == (None, "z")
    addresses.release(others)
    # one that a user of red has for himself is red's alone, but the pool's users elsewhere may have it
    own = addresses.claim("10.0.0.2", "y", "red")
    assert addresses.take(["a"], "z", "red").text == "10.0.0.3"
    with pytest.raises(NoAddress):
        addresses.take(["a"], "w", "red")
    addresses.release(own)
    assert addresses.take(["a"], "w", "red").text == "10.0.0.2"
    assert addresses.pools["a"].free == 0 and set(addresses.tables) == {"", "red"}


def test_an_address_that_ends_in_one_vrf_goes_to_where_nobody_has_it():
    addresses = pools(a=["10.0.0.1-10.0.0.1"])
    old = addresses.take(["a"], "x", "red")
    own = addresses.claim("10.0.0.1", "y", "blue")
    addresses.end(old)
    with pytest.raises(NoAddress):
        addresses.take(["a"], "z", "blue")
    new = addresses.take(["a"], "z")
    assert new.text == "10.0.0.1" and addresses.holder("10.0.0.1", "red") is None
    for lease in (own, new, old):
        addresses.release(lease)
    assert addresses.pools["a"].free == 1 and addresses.take(["a"], "v", "blue").text == "10.0.0.1"


def test_reserved_addresses_are_for_their_users():
    addresses = pools(["10.0.0.1"], a=["10.0.0.1-10.0.0.2"])
    assert addresses.take(["a"], "x").text == "10.0.0.2"
    lease = addresses.claim("10.0.0.1", "y")
    assert addresses.holder("10.0.0.1") == "y"
    with pytest.raises(NoAddress):
        addresses.claim("10.0.0.1", "z")
    addresses.release(lease)
    addresses.release(lease)
    assert addresses.holder("10.0.0.1") is None


def test_a_reservation_that_is_lifted_gives_the_address_back_to_its_pool():
    addresses = pools(["10.0.0.1"], a=["10.0.0.1-10.0.0.2"])
    addresses.take(["a"], "x")
    addresses.configure({"a": [span("10.0.0.1-10.0.0.2")]}, [])
    assert addresses.take(["a"], "y").text == "10.0.0.1"


def test_a_pool_that_is_gone_gives_nothing_and_takes_its_addresses_back():
    addresses = pools(a=["10.0.0.1-10.0.0.2"])
    lease = addresses.take(["a"], "x")
    addresses.configure({}, [])
    with pytest.raises(NoAddress):
        addresses.take(["a"], "y")
    addresses.release(lease)
    assert addresses.leases == {}


def test_a_pool_of_sixteen_million_addresses_is_as_cheap_as_a_small_one():
    addresses = pools(a=["10.0.0.0-10.255.255.255"])
    leases = [addresses.take(["a"], n) for n in range(1000)]
    for lease in leases:
        addresses.release(lease)
    pool = addresses.pools["a"]
    assert len(pool._free) == 1000 and pool.size == 1 << 24
    assert pool.prefixes() == ["10.0.0.0/8"]


@given(st.lists(st.tuples(st.sampled_from(("take", "release", "resize", "claim")), st.integers(0, 30)), max_size=200))
def test_no_address_is_ever_with_two_owners(steps):
    addresses = pools(["10.0.0.7"], a=["10.0.0.0-10.0.0.9"], b=["10.0.0.20-10.0.0.25"])
    held, vrfs = [], ["", "red", "blue"]
    for step, number in steps:
        try:
            if step == "take":
                held.append(addresses.take(["a", "b"], object(), vrfs[number % 3]))
            elif step == "claim":
                held.append(addresses.claim(f"10.0.0.{number}", object(), vrfs[number % 3]))
            elif step == "release" and held:
                addresses.release(held.pop(number % len(held)))
            elif step == "resize":
                addresses.configure({"a": [span(f"10.0.0.{number // 2}-10.0.0.{number // 2 + 5}")],
                                     "b": [span("10.0.0.40-10.0.0.42")]}, ["10.0.0.7"])
        except NoAddress:
            pass
        places = [(lease.vrf, lease.text) for lease in held]
        assert len(set(places)) == len(places)
        assert sum(map(len, addresses.tables.values())) == len(held)
    for lease in held:
        addresses.release(lease)
    taken = []
    while True:
        try:
            taken.append(addresses.take(["a", "b"], object()).address)
        except NoAddress:
            break
    usable = [n for pool in addresses.pools.values() for first, last in pool.ranges for n in range(first, last + 1)]
    assert sorted(taken) == sorted(set(usable) - {int(IPv4Address("10.0.0.7"))})
    assert all(a != b for a, b in pairwise(sorted(taken)))


def test_an_address_that_the_ranges_have_moved_to_is_free_again_when_its_owner_leaves():
    addresses = pools(a=["10.0.0.1-10.0.0.2"])
    lease = addresses.claim("10.0.0.9", "x")
    addresses.configure({"a": [span("10.0.0.9-10.0.0.9")]}, [])
    with pytest.raises(NoAddress):
        addresses.take(["a"], "y")
    addresses.release(lease)
    assert addresses.take(["a"], "y").text == "10.0.0.9"


def test_a_user_who_comes_every_day_with_an_address_of_the_pool_costs_no_memory():
    addresses = pools(a=["10.0.0.1-10.0.0.3"])
    addresses.release(addresses.take(["a"], "x"))
    for _ in range(100):
        addresses.release(addresses.claim("10.0.0.1", "x"))
    assert list(addresses.pools["a"]._free) == [int(IPv4Address("10.0.0.1"))]


def test_pools_that_follow_each_other_are_asked_in_turn_and_each_once():
    addresses = Addresses()
    spans = {"a": "10.0.0.1-10.0.0.1", "b": "10.0.1.1-10.0.1.1", "c": "10.0.2.1-10.0.2.1"}
    addresses.configure({name: [span(text)] for name, text in spans.items()}, [], {"a": "b", "b": "c", "c": "a"})
    assert [pool.name for pool in chain(addresses.pools, ["a", "c"])] == ["a", "b", "c"]
    assert [addresses.take(["a"], n).text for n in range(3)] == ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
    assert addresses.could_give(int(IPv4Address("10.0.2.1")), ["a"])
    with pytest.raises(NoAddress, match="no free address in ip_pool a"):
        addresses.take(["a"], 4)


def test_a_pool_that_is_not_there_is_named():
    with pytest.raises(NoAddress, match="there is no ip_pool 'gold'"):
        pools(a=["10.0.0.1-10.0.0.1"]).take(["gold"], "x")


def test_a_pool_says_once_that_it_is_used_up_and_once_that_it_has_room():
    said = []
    addresses = Addresses(lambda pool: said.append((pool.name, pool.exhausted)))
    addresses.configure({"a": [span("10.0.0.0-10.0.0.99")]}, [])
    leases = [addresses.take(["a"], n) for n in range(100)]
    assert said == []
    for _ in range(3):
        with pytest.raises(NoAddress):
            addresses.take(["a"], "x")
    for lease in leases[:5]:
        addresses.release(lease)
    assert said == [("a", True)] and addresses.pools["a"].failures == 3
    addresses.release(leases[5])
    assert said == [("a", True), ("a", False)]


def test_a_pool_that_grows_has_room():
    said = []
    addresses = Addresses(lambda pool: said.append((pool.name, pool.exhausted)))
    addresses.configure({"a": [span("10.0.0.1-10.0.0.1")]}, [])
    addresses.take(["a"], "x")
    with pytest.raises(NoAddress):
        addresses.take(["a"], "y")
    addresses.configure({"a": [span("10.0.0.1-10.0.0.9")]}, [])
    assert said == [("a", True), ("a", False)]


@given(st.lists(st.tuples(st.sampled_from(("take", "release", "resize", "claim", "reserve")), st.integers(0, 30)),
                max_size=100))
def test_counts_of_a_pool_are_those_of_its_addresses(steps):
    addresses = pools(["10.0.0.7"], a=["10.0.0.0-10.0.0.9"], b=["10.0.0.20-10.0.0.25"])
    held, spans, reserved = [], {"a": "10.0.0.0-10.0.0.9", "b": "10.0.0.20-10.0.0.25"}, "10.0.0.7"
    vrfs = ["", "red", "blue"]
    for step, number in steps:
        try:
            if step == "take":
                held.append(addresses.take(["a", "b"], object(), vrfs[number % 3]))
            elif step == "claim":
                held.append(addresses.claim(f"10.0.0.{number}", object(), vrfs[number % 3]))
            elif step == "release" and held:
                addresses.release(held.pop(number % len(held)))
            elif step in ("resize", "reserve"):
                if step == "resize":
                    spans = {"a": f"10.0.0.{number // 2}-10.0.0.{number // 2 + 5}", "b": "10.0.0.40-10.0.0.42"}
                else:
                    reserved = f"10.0.0.{number}"
                addresses.configure({name: [span(text)] for name, text in spans.items()}, [reserved])
        except NoAddress:
            pass
        fixed = int(IPv4Address(reserved))
        for pool in addresses.pools.values():
            within = {n for first, last in pool.ranges for n in range(first, last + 1)}
            leased = set().union(*addresses.tables.values())
            assert pool.used == len((within & leased) - {fixed})
            assert pool.reserved == (fixed in within)
            assert pool.free == len(within - leased - {fixed})


def test_the_address_of_a_link_that_is_over_is_given_out_last_but_before_none_is():
    addresses = pools(a=["10.0.0.1-10.0.0.3"])
    old = addresses.take(["a"], "old")
    addresses.end(old)
    assert [addresses.take(["a"], n).text for n in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.1"]
    addresses.release(old)
    assert addresses.holder("10.0.0.1") == 2 and addresses.pools["a"].used == 3
    with pytest.raises(NoAddress):
        addresses.take(["a"], "x")


def test_an_address_that_was_given_back_is_not_given_out_as_one_that_ends():
    addresses = pools(a=["10.0.0.1-10.0.0.1"])
    old = addresses.take(["a"], "old")
    addresses.end(old)
    addresses.release(old)
    assert addresses.take(["a"], "x").text == "10.0.0.1"
    with pytest.raises(NoAddress):
        addresses.take(["a"], "y")


def test_the_cost_of_an_address_does_not_grow_with_the_users():
    def cost(users):
        addresses = Addresses()
        addresses.configure({"a": [span("10.0.0.0-10.3.255.255")], "b": [span("10.9.0.0-10.9.255.255")]}, [])
        for n in range(users):
            addresses.take(["a"], n)

        def one():
            lease = addresses.take(["a"], "x")
            addresses.end(lease)
            addresses.release(lease)
            addresses.release(addresses.claim("10.9.1.1", "x"))

        return steps(one)

    assert cost(5000) <= cost(5)
