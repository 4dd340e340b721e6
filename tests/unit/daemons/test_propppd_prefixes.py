"""IPv6 pools: what they give out, to whom, and at which cost."""

from __future__ import annotations

import random
from ipaddress import IPv6Network

import pytest

from prol2tp.daemons.propppd.addresses import NoAddress
from prol2tp.daemons.propppd.prefixes import NoPrefix, Prefixes, units
from tests.steps import steps


def prefixes(pools: dict[str, tuple[list[str], int]], *reserved: str) -> Prefixes:
    made = Prefixes()
    configure(made, pools, *reserved)
    return made


def configure(made: Prefixes, pools: dict[str, tuple[list[str], int]], *reserved: str) -> None:
    made.configure({name: ([IPv6Network(text) for text in texts], length) for name, (texts, length) in pools.items()},
                   [IPv6Network(text) for text in reserved])


def all_of(made: Prefixes, *names: str) -> list[str]:
    """All that is left, taken and given back."""
    claims = []
    while True:
        try:
            claims.append(made.take(names, object()))
        except NoAddress:
            break
    for claim in claims:
        made.release(claim)
    return sorted((claim.text for claim in claims), key=IPv6Network)


FOUR = {"p": (["2001:db8::/62"], 64)}
THE_FOUR = [f"2001:db8:0:{number}::/64".replace(":0:0::", "::") for number in range(4)]


def test_a_pool_gives_out_each_prefix_once():
    made = prefixes({"p": (["2001:db8::/62", "2001:db8:5::/64"], 64)})
    assert all_of(made, "p") == [*THE_FOUR, "2001:db8:5::/64"]
    assert len(made) == 0 and made.pools["p"].used == 0
    assert all_of(made, "p") == [*THE_FOUR, "2001:db8:5::/64"], "and again"


def test_pools_of_addresses_leave_out_that_of_all_routers():
    assert all_of(prefixes({"p": (["2001:db8::/126"], 128)}), "p") == [f"2001:db8::{last}/128" for last in (1, 2, 3)]
    assert len(all_of(prefixes({"p": (["2001:db8::/127"], 128)}), "p")) == 2
    assert units([IPv6Network("2001:db8::7/128")], 128) == [(int(IPv6Network("2001:db8::7")[0]),) * 2]


def test_the_next_pool_is_asked_when_one_is_used_up():
    made = prefixes({"p": (["2001:db8::/64"], 64), "q": (["2001:db8:1::/64"], 64)})
    assert [made.take(["p", "q"], owner).text for owner in "ab"] == ["2001:db8::/64", "2001:db8:1::/64"]
    with pytest.raises(NoAddress, match="no free prefix in ipv6_pool p q"):
        made.take(["p", "q"], "c")


def test_a_pool_that_is_not_there_is_named():
    with pytest.raises(NoAddress, match="there is no ipv6_pool 'x'"):
        prefixes(FOUR).take(["x"], "a")


@pytest.mark.parametrize(("own", "left"), [
    ("2001:db8:0:2::/64", [THE_FOUR[0], THE_FOUR[1], THE_FOUR[3]]),
    ("2001:db8:0:2::1/128", [THE_FOUR[0], THE_FOUR[1], THE_FOUR[3]]),
    ("2001:db8:0:2::/63", THE_FOUR[:2]),
    ("2001:db8::/48", []),
    ("2001:db8:1::/64", THE_FOUR),
])
@pytest.mark.parametrize("how", ["reserved", "claimed"])
def test_what_somebody_has_in_or_around_a_prefix_keeps_it_out_of_the_pool(own, left, how):
    made = prefixes(FOUR, *([own] if how == "reserved" else []))
    claim = made.claim(IPv6Network(own), "a") if how == "claimed" else None
    assert all_of(made, "p") == left
    if claim is not None:
        made.release(claim)
        assert all_of(made, "p") == THE_FOUR
        assert made._inside == {64: {}}


def test_a_prefix_of_somebody_else_and_one_inside_it_are_refused():
    made = prefixes(FOUR)
    made.claim(IPv6Network("2001:db8:7::/48"), "a")
    for text in ("2001:db8:7::/48", "2001:db8:7:5::/64"):
        with pytest.raises(NoAddress, match=f"{text} is in use"):
            made.claim(IPv6Network(text), "b")
    assert made.claim(IPv6Network("2001:db8:7:5::/64"), "a").text == "2001:db8:7:5::/64", "their own is theirs"
    assert made.holder(IPv6Network("2001:db8:7:6::/64")).owner == "a"
    assert made.holder(IPv6Network("2001:db8:8::/48")) is None


def test_a_user_gets_the_prefix_that_he_had_when_it_is_free():
    made = prefixes({"p": (["2001:db8::/56"], 64)})
    users = [f"user{number}" for number in range(200)]
    had = {user: made.take(["p"], user, user) for user in users}
    for claim in had.values():
        made.release(claim)
    random.Random(1).shuffle(users)
    again = {user: made.take(["p"], user, user) for user in users}
    assert {user: claim.text for user, claim in again.items()} == {user: claim.text for user, claim in had.items()}
    for claim in again.values():
        made.release(claim)
    somebody = made.claim(IPv6Network(had["user3"].text), "else")
    assert made.take(["p"], "user3", "user3").text != somebody.text


def test_a_user_gets_the_same_after_a_restart_where_nobody_else_has_it():
    pool = {"p": (["2001:db8::/40", "2001:db8:8000::/48"], 64)}
    one, two = prefixes(pool), prefixes(pool)
    users = [f"user{number}" for number in range(50)]
    first = {user: one.take(["p"], user, user).text for user in users}
    assert {user: two.take(["p"], user, user).text for user in reversed(users)} == first
    assert len(set(first.values())) == 50


def test_users_without_a_name_are_not_remembered():
    made = prefixes(FOUR)
    made.release(made.take(["p"], "a"))
    assert made.pools["p"].remembered == {}


def test_only_so_many_users_are_remembered(monkeypatch):
    monkeypatch.setattr("prol2tp.daemons.propppd.prefixes.REMEMBERED", 10)
    made = prefixes({"p": (["2001:db8::/48"], 64)})
    for number in range(50):
        made.release(made.take(["p"], "a", f"user{number}"))
    assert list(made.pools["p"].remembered) == [f"user{number}" for number in range(40, 50)]


def test_a_pool_can_be_changed_while_its_prefixes_are_out():
    made = prefixes(FOUR)
    kept = made.take(["p"], "a", "user")
    configure(made, {"p": (["2001:db8:1::/63"], 64)})
    assert all_of(made, "p") == ["2001:db8:1::/64", "2001:db8:1:1::/64"]
    made.release(kept)
    assert all_of(made, "p") == ["2001:db8:1::/64", "2001:db8:1:1::/64"]
    kept = made.take(["p"], "a", "user")
    configure(made, {"p": (["2001:db8:1::/56"], 60)})
    assert kept.text not in [text.replace("/60", "/64") for text in all_of(made, "p")]
    assert made.pools["p"].used == 0, "it is none of this pool's"
    made.release(kept)
    made.release(kept)
    assert len(all_of(made, "p")) == 16
    configure(made, {})
    with pytest.raises(NoAddress):
        made.take(["p"], "a")


def test_taking_and_giving_back_cost_the_same_in_a_large_and_full_pool():
    def cost(count: int, network: str) -> int:
        made = prefixes({"p": ([network], 64)})
        claims = [made.take(["p"], number, f"user{number}") for number in range(count)]
        random.Random(1).shuffle(claims)
        for claim in claims[:10]:
            made.release(claim)
        return steps(lambda: [made.release(made.take(["p"], "x", "somebody")) for _ in range(100)])

    assert cost(4000, "2001:db8::/52") < 2 * cost(40, "2001:db8::/32")


def test_random_use_never_gives_one_prefix_to_two():
    chance = random.Random(7)
    made = prefixes({"links": (["2001:db8::/58"], 64), "delegated": (["2001:db8:1::/52"], 56),
                     "addresses": (["2001:db8:2::/122"], 128)}, "2001:db8:0:3::/64")
    before = {length: dict(inside) for length, inside in made._inside.items()}
    claims: list = []
    for number in range(3000):
        if claims and chance.random() < 0.5:
            made.release(claims.pop(chance.randrange(len(claims))))
            continue
        try:
            if chance.random() < 0.7:
                claims.append(made.take([chance.choice(["links", "delegated", "addresses"])], number,
                                        f"user{chance.randrange(40)}"))
                new = IPv6Network(claims[-1].text)
                assert not any(new.overlaps(IPv6Network(other.text)) for other in claims[:-1])
                assert not new.overlaps(IPv6Network("2001:db8:0:3::/64"))
            else:
                length = chance.choice([60, 62, 64, 128])
                text = f"2001:db8:{chance.randrange(3)}:{chance.randrange(64):x}::/{length}"
                claims.append(made.claim(IPv6Network(text, strict=False), number))
        except NoAddress:
            continue
    for claim in claims:
        made.release(claim)
    assert len(made) == 0 and made._inside == before
    assert all(pool.used == 0 for pool in made.pools.values())
    assert len(all_of(made, "links")) == 63


def test_a_pool_that_is_used_up_says_so_once_until_it_has_room_again():
    heard: list[tuple[str, bool]] = []
    made = Prefixes(lambda pool: heard.append((pool.name, pool.exhausted)))
    configure(made, FOUR, "2001:db8:0:2::/64", "2001:db8:0:2:1::/80")
    pool = made.pools["p"]
    assert (pool.size, pool.reserved, pool.free) == (4, 1, 3)
    claims = [made.take(["p"], number) for number in range(3)]
    assert (pool.free, heard) == (0, [])
    for _ in range(3):
        with pytest.raises(NoPrefix):
            made.take(["p"], "a")
    assert heard == [("p", True)] and pool.failures == 3
    own = made.claim(IPv6Network("2001:db8:0:2::/64"), "owner")
    made.release(own)
    assert pool.used == 3, "a reserved one is not counted twice"
    made.release(claims[0])
    assert heard == [("p", True), ("p", False)] and pool.used == 2


def test_what_is_reserved_is_counted_in_units_of_the_pool():
    made = prefixes({"p": (["2001:db8::/60"], 64), "q": (["2001:db8:1::/48"], 56)},
                    "2001:db8::/62", "2001:db8:0:1::/64", "2001:db8:0:8::1/128", "2001:db8:1:100::/64",
                    "2001:db8:9::/48")
    assert (made.pools["p"].reserved, made.pools["q"].reserved) == (5, 1)


def test_pools_follow_each_other():
    made = Prefixes()
    one, two = [IPv6Network("2001:db8:1::/64")], [IPv6Network("2001:db8:2::/64")]
    made.configure({"p": (one, 64), "q": (two, 64)}, [], {"p": "q", "q": "p"})
    assert [made.take(["p"], owner).text for owner in "ab"] == ["2001:db8:1::/64", "2001:db8:2::/64"]
    with pytest.raises(NoPrefix, match="no free prefix in ipv6_pool p"):
        made.take(["p"], "c")
    assert (made.pools["p"].failures, made.pools["q"].failures) == (2, 1)
