"""Who may have one more link, with which address, and who has to go for it."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.config.propppd import User
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.propppd.admission import admit
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.ppp.settings import Grant
from tests.shell.propppd_world import CONFIG, LinksWorld
from tests.shell.test_log_lines import heard
from tests.steps import steps


def configured(world: LinksWorld, parameters: str, more: str = "") -> None:
    world.configure(CONFIG.replace("auth true", f"auth true\n ipv6 false\n {parameters}", 1) + more)


def users(world: LinksWorld, **values: Any) -> None:
    """Give a user other values."""
    name = "u1@example.com"
    world.users.users = {**world.users.users, name: User(name=name, password="pw1", **values)}


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld()


def test_a_second_login_is_refused_and_the_log_says_why(world: LinksWorld) -> None:
    configured(world, "second_login refuse")
    lines = heard(world.log)
    _, link = world.client()
    client, refused = world.client()
    assert link.up and refused.ended and client.networks == {}
    assert "user u1@example.com refused: online already, and second_login is refuse" in lines[-1] + lines[-2]
    _, other = world.client("u3@example.com", "pw3")
    assert other.up


def test_a_second_login_ends_the_first(world: LinksWorld) -> None:
    configured(world, "second_login preempt")
    first, old = world.client()
    client, new = world.client()
    assert new.up and client.networks["ip"].local == "10.5.1.101"
    assert old.ended and (old.cause, old.message) == ("Port Preempted", "the user has logged in again")
    world.later(4)
    assert first.down is not None and first.down.message == "the user has logged in again"
    assert [row["state"] for row in world.prol2tpd.rows] == ["up", "closed", "up"]
    assert world.links.online.of("u1@example.com") == [new]


def test_a_dead_peer_does_not_keep_its_user_out(world: LinksWorld) -> None:
    configured(world, "second_login preempt")
    _, old = world.client()
    world.far.port_receiver(old.port, None)
    _, new = world.client()
    assert new.up and not old.ended, "the old one waits for its Terminate-Ack"
    assert world.links.online.of("u1@example.com") == [new]
    world.later(10)
    assert old.ended and new.up


def test_a_user_who_just_hangs_up_may_come_again_at_once(world: LinksWorld) -> None:
    configured(world, "second_login refuse")
    _, old = world.client()
    world.far.port_receiver(old.port, None)
    old.close()
    _, new = world.client()
    assert new.up and not old.ended


def test_the_port_limit_counts_links_of_all_profiles(world: LinksWorld) -> None:
    more = 'profile "others" { auth true; ipv6 false; local_ip 10.5.1.1; ip_pool "pool1"; port_limit 2 }\n'
    configured(world, "port_limit 2", more)
    lines = heard(world.log)
    links = [world.client()[1], world.client(profile="others")[1]]
    _, refused = world.client()
    assert [link.up for link in links] == [True, True] and refused.ended
    assert any("online 2 times, and the port limit is 2" in line for line in lines)
    links[0].close()
    world.settle()
    assert world.client()[1].up


def test_the_users_limit_comes_before_that_of_the_profile(world: LinksWorld) -> None:
    configured(world, "port_limit 1")
    users(world, port_limit=2)
    assert [world.client()[1].up for _ in range(3)] == [True, True, False]
    users(world, port_limit=0)
    assert world.client()[1].up


def test_of_several_links_the_oldest_goes(world: LinksWorld) -> None:
    configured(world, "second_login preempt\n port_limit 2")
    first, second, third = (world.client()[1] for _ in range(3))
    assert first.ended and second.up and third.up


def test_whoever_is_refused_is_not_online(world: LinksWorld) -> None:
    configured(world, "second_login refuse")
    for _ in range(3):
        world.client("u1@example.com", "wrong")
    world.client("u2@example.com", "pw2")
    world.client("u2@example.com", "pw2")
    assert len(world.links.online) == 1
    for link in list(world.links.by_number.values()):
        link.close()
    world.settle()
    assert len(world.links.online) == 0


def test_a_users_pools_come_before_those_of_the_profile(world: LinksWorld) -> None:
    configured(world, "", 'ip_pool "gold" { range 10.7.0.1; next "pool1" }')
    users(world, ip_pool=("gold",))
    addresses = [world.client()[0].networks["ip"].local for _ in range(3)]
    assert addresses == ["10.7.0.1", "10.5.1.100", "10.5.1.101"]


def test_a_pool_that_is_used_up_is_logged_once(world: LinksWorld) -> None:
    configured(world, "")
    lines = heard(world.log)
    events: list[Any] = []
    world.links.publish = lambda event, **data: events.append((event, data))
    links = [world.client(f"u{n}@example.com", f"pw{n}")[1] for n in (1, 3, 4)]
    for _ in range(3):
        assert world.client()[1].ended
    said = [line for line in lines if "is used up" in line]
    assert said == ["ip_pool pool1 is used up: 3 addresses, 0 of them reserved"]
    assert world.links.addresses.pools["pool1"].failures == 3
    links[0].close()
    world.settle()
    assert lines[-1] == "ip_pool pool1 has 1 free addresses again"
    assert events == [(event, {"pool": "pool1", "kind": "ip_pool"}) for event in ("pool-exhausted", "pool-relieved")]


def test_our_own_address_is_given_to_nobody(world: LinksWorld) -> None:
    configured(world, "")
    users(world, ip="10.5.1.1")
    lines = heard(world.log)
    _, link = world.client()
    assert link.ended and any("address 10.5.1.1 is our own" in line for line in lines)


def test_a_user_whose_vrf_is_missing_is_refused(world: LinksWorld) -> None:
    configured(world, "")
    users(world, vrf="red")
    lines = heard(world.log)
    _, link = world.client()
    assert link.ended and any("refused: VRF red: No such device" in line for line in lines)
    assert world.links.addresses.leases == {} and len(world.links.online) == 0


def test_a_user_with_a_table_of_his_own_does_not_come_in_on_a_shared_interface(world: LinksWorld) -> None:
    configured(world, "interface shared\n interface_name users")
    users(world, table=7)
    lines = heard(world.log)
    _, link = world.client()
    assert link.ended
    assert any("interface users is shared, and the user has routing table 7 of his own" in line for line in lines)


@pytest.mark.parametrize(("policy", "comes"), [("ignore", True), ("refuse", False)])
def test_unknown_filters_keep_a_user_out_only_when_that_is_wanted(
    world: LinksWorld, policy: str, comes: bool
) -> None:
    configured(world, f"unknown_filter {policy}")
    users(world, filter=("gold",))
    _, link = world.client()
    assert link.up is comes and world.links.filters.unknown == 1


def test_pools_are_listed_with_what_is_free() -> None:
    world = LinksWorld(CONFIG.replace("range 10.5.1.100-10.5.1.102", "range 10.5.1.100-10.5.1.102; next \"pool2\"")
                       + 'ip_pool "pool2" { prefix 10.9.0.0/30 }\n'
                       + 'ipv6_pool "homes" { prefix 2001:db8::/48; length 56 }\n'
                       + 'user "fixed" { password "p"; ip 10.5.1.102 }')  # fmt: skip
    for _ in range(3):
        world.client(ipv6=False)
    status = Status(world.links, ConfigCounts(), "x", world.log)
    rows = status.pools(None, None)["rows"]
    assert [problems(row, RECORDS["pool-row"], RECORDS) for row in rows] == [[], [], []]
    values = [(row["name"], row["kind"], row["length"], row["size"], row["used"], row["reserved"], row["free"],
               row["exhausted"], row["failures"], row["next"]) for row in rows]
    assert values == [
        ("pool1", "ip_pool", 32, 3, 2, 1, 0, True, 1, "pool2"),
        ("pool2", "ip_pool", 32, 2, 1, 0, 1, False, 0, ""),
        ("homes", "ipv6_pool", 56, 256, 0, 0, 256, False, 0, ""),
    ]


def test_a_login_costs_the_same_however_many_use_the_same_name() -> None:
    def cost(links: int) -> int:
        world = LinksWorld(CONFIG.replace("10.5.1.100-10.5.1.102", "10.5.0.2-10.5.255.254").replace(
            "auth true", "auth true\n ipv6 false\n port_limit 1000000", 1))
        for _ in range(links):
            world.links.online.add("u1@example.com", object())  # type: ignore[arg-type]
        _, link = world.client()
        assert link.up
        grant = Grant(user="u1@example.com", authorization=Authorization())
        return steps(admit, world.links, link, grant)

    assert cost(3000) <= cost(3)


def test_an_address_that_is_taken_over_leaves_the_dead_link_at_once(world: LinksWorld) -> None:
    configured(world, "second_login preempt")
    users(world, ip="10.5.1.150")
    _, old = world.client()
    world.far.port_receiver(old.port, None)
    _, new = world.client()
    assert new.up and not old.ended and old.lease is None
    assert new.interface is not None and new.interface.netif is not None
    ifindex = new.interface.netif.ifindex
    assert set(world.network.addresses) == {(ifindex, "10.5.1.1/32 10.5.1.150/32")}
