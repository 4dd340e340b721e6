"""What is set around the interfaces of links: routes, tables, VRFs and sets; changed live, and taken away again."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path
from typing import Any

import pytest

from prol2tp.config.network import NftSet, RouteTo
from prol2tp.config.propppd import User
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.propppd import around, leftovers
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.leftovers import Leftovers
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.dataplane.nftables import IFNAME, IPV4_ADDR, IPV6_ADDR, Element, Kind, MemorySets
from prol2tp.ppp.settings import LinkSettings
from prol2tp.radius.values import Route
from tests.shell.propppd_world import CONFIG, Client, LinksWorld, result
from tests.shell.test_log_lines import heard

FILTERS = """
filter "gold" { nft_set "inet fw gold" "inet fw addresses" }
filter "garden" { nft_set "inet fw garden" }
"""
PEER = "10.5.1.100"


def element(name: str) -> Element:
    return Element(name.encode().ljust(16, b"\0"))


def world_of(parameters: str = "", more: str = "", **values: Any) -> LinksWorld:
    """A world whose first user has these values."""
    world = LinksWorld(CONFIG.replace("auth true", f"auth true\n ipv6 false\n {parameters}", 1) + FILTERS + more)
    sets = world.links.filters._sets
    sets.kinds = {"inet fw gold": Kind(IFNAME, False), "inet fw garden": Kind(IFNAME, False),
                  "inet fw addresses": Kind(IPV4_ADDR, True)}  # fmt: skip
    name = "u1@example.com"
    world.users.users = {**world.users.users, name: User(name=name, password="pw1", **values)}
    return world


def members(world: LinksWorld, name: str) -> set[Element]:
    return world.links.filters._sets.members.get(f"inet fw {name}", set())


def change(world: LinksWorld, link: Any, **values: Any) -> None:
    world.links.apply(link, dataclasses.replace(link.authorization, **values))
    world.settle()


def nothing_left(world: LinksWorld) -> None:
    world.settle()
    network = world.network
    assert world.near.interfaces == {} and network.rules == set() and world.links.filters._members == {}
    assert not any(world.links.filters._sets.members.values())
    assert world.links.leftovers._lines == {} and world.links.interfaces.shared == {}


def test_a_shared_interface_that_cannot_be_set_up_leaves_no_rules() -> None:
    world = world_of("interface shared; interface_name users; table 77")
    world.network.refuse["link_set"] = errno.ENOBUFS
    _, link = world.client()
    assert not link.up
    link.lost("Lost Carrier", "")
    nothing_left(world)
    assert world.links.interfaces._ruled == {}


@pytest.mark.parametrize("method", ["_put_back", "_unroute", "_join"])
@pytest.mark.parametrize("shared", ["", "interface shared; interface_name users; table 77"])
def test_a_fault_at_the_end_of_a_link_leaves_no_interface(
    method: str, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(shared, route=(RouteTo("192.0.2.0/24", "", None),))
    _, link = world.client()
    assert link.up
    gone = []
    monkeypatch.setattr(link.listener, "link_gone", gone.append)

    def fault(*arguments: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(around.Around, method, fault)
    link.lost("Lost Carrier", "")
    world.settle()
    assert gone == [link] and world.links.addresses.leases == {}
    assert world.near.interfaces == {} and not world.network.rules
    assert not world.links.interfaces.names and not world.links.interfaces.shared


def test_a_fault_while_a_change_is_carried_out_is_no_reason_to_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(route=(RouteTo("192.0.2.0/24", "", None),))
    _, link = world.client()

    def fault(*arguments: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(around.Around, "follow", fault)
    result(link.refresh())
    link.lost("Lost Carrier", "")
    nothing_left(world)


# routes


def test_routes_have_gateway_and_metric_and_go_with_the_link() -> None:
    world = world_of(route=(RouteTo("192.0.2.0/24", "", None), RouteTo("198.51.100.0/24", PEER, 7)),
                     ip="10.5.1.77", netmask="255.255.255.248")
    _, link = world.client()
    ifindex = world.near.interfaces["ppp0"]
    assert world.network.routes == {
        ("10.5.1.72/29", 0, 0): (ifindex, ""), ("192.0.2.0/24", 0, 0): (ifindex, ""),
        ("198.51.100.0/24", 0, 7): (ifindex, PEER)}  # fmt: skip
    link.close()
    nothing_left(world)


def test_a_change_adds_and_removes_only_what_differs() -> None:
    world = world_of(route=(RouteTo("192.0.2.0/24", "", None), RouteTo("198.51.100.0/24", "", 7)))
    heard_of: list[Any] = []

    class Hears(Follower):
        def link_changed(self, link: Any, before: Any) -> None:
            heard_of.append((link, before.routes, link.authorization.routes))

    world.links.followers.add(Hears())
    _, link = world.client()
    before = world.network.requests
    change(world, link, routes=(Route("198.51.100.0/24", "", 7), Route("203.0.113.0/24", "", None)))
    assert {key[0] for key in world.network.routes} == {"198.51.100.0/24", "203.0.113.0/24"}
    assert world.network.requests == before + 2
    assert [(one, len(old), len(new)) for one, old, new in heard_of] == [(link, 2, 2)]
    change(world, link, routes=())
    assert world.network.routes == {}
    change(world, link, routes=(Route("203.0.113.0/24", "", None),))
    assert list(world.network.routes) == [("203.0.113.0/24", 0, 0)]


def test_a_link_without_anything_around_gets_routes_later_and_the_data_path_hears_of_them() -> None:
    world = world_of()
    _, link = world.client()
    assert link.interface is not None and link.interface._around is None
    told: list[Any] = []
    original = world.near.netif_modify
    world.near.netif_modify = lambda port, **words: told.append(words) or original(port, **words)  # type: ignore
    change(world, link, routes=(Route("192.0.2.0/24", "", None),))
    assert list(world.network.routes) == [("192.0.2.0/24", 0, 0)]
    assert told[-1]["prefixes"] == (f"{PEER}/32", "192.0.2.0/24")


def test_a_route_that_the_kernel_refuses_costs_that_route_alone() -> None:
    world = world_of(routes=(), route=(RouteTo("192.0.2.0/24", "10.5.1.1", None),))
    world.network.refuse["route_add"] = errno.EINVAL
    lines = heard(world.log)
    _, link = world.client()
    assert link.up and "session-1: route 192.0.2.0/24: Invalid argument" in lines


def test_the_route_of_a_user_who_comes_again_stays_when_the_old_link_goes() -> None:
    world = world_of("second_login preempt", route=(RouteTo("192.0.2.0/24", "", None),))
    world.client()
    _, new = world.client()
    assert new.up and new.interface is not None and new.interface.netif is not None
    assert world.network.routes == {("192.0.2.0/24", 0, 0): (new.interface.netif.ifindex, "")}


def test_users_of_a_shared_interface_have_one_route_together() -> None:
    world = world_of("interface shared\n interface_name users", route=(RouteTo("192.0.2.0/24", "", 5),))
    _, first = world.client()
    _, second = world.client()
    assert ("192.0.2.0/24", 0, 5) in world.network.routes
    first.close()
    world.settle()
    assert ("192.0.2.0/24", 0, 5) in world.network.routes
    second.close()
    nothing_left(world)
    assert ("192.0.2.0/24", 0, 5) not in world.network.routes


# tables and VRFs


@pytest.mark.parametrize(("profile", "user", "table"), [("table 77", {}, 77), ("", {"table": 5}, 5),
                                                        ("table 77", {"table": 5}, 5)])
def test_a_user_is_routed_in_his_table(profile: str, user: dict[str, Any], table: int) -> None:
    world = world_of(profile, route=(RouteTo("192.0.2.0/24", "", None),), **user)
    _, link = world.client()
    ifindex = world.near.interfaces["ppp0"]
    assert world.network.routes == {(f"{PEER}/32", table, 0): (ifindex, ""), ("192.0.2.0/24", table, 0): (ifindex, "")}
    assert world.network.rules == {("ppp0", table, False), ("lo", table, False)}
    assert world.network.unrouted == {(ifindex, f"10.5.1.1/32 {PEER}/32")}
    assert link.interface is not None and link.interface.table == table
    link.close()
    nothing_left(world)


def test_the_main_table_by_its_number_needs_no_rule() -> None:
    world = world_of("table 254")
    world.client()
    assert world.network.rules == set() and world.network.unrouted == set()


def test_both_protocols_have_a_rule() -> None:
    world = world_of("table 7")
    world.configure(CONFIG.replace("auth true", "auth true\n table 7", 1) + FILTERS)
    _, link = world.client()
    assert world.network.rules == {(name, 7, ipv6) for name in ("ppp0", "lo") for ipv6 in (False, True)}
    link.close()
    nothing_left(world)


def test_a_shared_interface_has_one_rule_for_all_its_users() -> None:
    world = world_of("interface shared\n interface_name users\n table 7")
    links = [world.client()[1], world.client("u3@example.com", "pw3")[1]]
    assert world.network.rules == {(name, 7, ipv6) for name in ("users", "lo") for ipv6 in (False, True)}
    assert {key[1] for key in world.network.routes} == {7}
    for link in links:
        link.close()
    nothing_left(world)


def test_an_interface_becomes_a_member_of_its_vrf() -> None:
    world = world_of('vrf "red"', route=(RouteTo("192.0.2.0/24", "", None),))
    world.network.vrfs["red"] = (50, 10)
    _, link = world.client()
    ifindex = world.near.interfaces["ppp0"]
    assert world.network.links[ifindex] == {"master": 50, "mtu": 1500, "up": True}
    assert world.network.routes == {("192.0.2.0/24", 10, 0): (ifindex, "")} and world.network.rules == set()
    assert link.interface is not None and link.interface.table == 10


def test_a_vrf_that_goes_between_login_and_interface_costs_the_protocol() -> None:
    world = world_of()
    world.configure(CONFIG.replace("auth true", "ipv6 false\n vrf red", 1).replace("auth_methods chap pap", ""))
    lines = heard(world.log)
    _, link = world.client()
    assert not link.up and any("ip: VRF red: No such device" in line for line in lines)


def test_a_default_route_goes_into_the_table() -> None:
    world = world_of("table 7\n default_route true")
    _, link = world.client()
    assert ("0.0.0.0/0", 7, 0) in world.network.routes
    link.close()
    nothing_left(world)


# sets


def test_a_users_interface_and_address_are_in_the_sets_of_his_filters() -> None:
    world = world_of(filter=("gold",))
    _, link = world.client()
    assert members(world, "gold") == {element("ppp0")}
    assert members(world, "addresses") == {Element(bytes([10, 5, 1, 100]), bytes([10, 5, 1, 101]))}
    assert members(world, "garden") == set()
    link.close()
    nothing_left(world)


def test_another_filter_is_changed_live() -> None:
    world = world_of(filter=("garden",))
    _, link = world.client()
    assert members(world, "garden") == {element("ppp0")}
    change(world, link, filters=("gold",))
    assert members(world, "garden") == set() and members(world, "gold") == {element("ppp0")}
    change(world, link, filters=())
    assert members(world, "gold") == set()


def test_users_are_in_the_set_before_their_packets_pass() -> None:
    world = world_of(filter=("garden",))
    seen: list[bool] = []
    original = world.near.netif_modify

    def modify(port: int, **words: Any) -> Any:
        if words.get("protocols"):
            seen.append(members(world, "garden") == {element("ppp0")})
        return original(port, **words)

    world.near.netif_modify = modify  # type: ignore[method-assign]
    world.client()
    assert seen == [True]


def test_a_filter_of_the_profile_is_for_users_without_one() -> None:
    world = world_of('filter "garden"', filter=("gold",))
    world.client()
    world.client("u3@example.com", "pw3")
    assert members(world, "gold") == {element("ppp0")} and members(world, "garden") == {element("ppp1")}


def test_a_reload_puts_everybody_in_again_and_follows_other_sets() -> None:
    world = world_of(filter=("garden",))
    world.client()
    sets = world.links.filters._sets
    sets.members.clear()
    same = CONFIG.replace("auth true", "auth true\n ipv6 false\n ", 1) + FILTERS
    assert world.configure(same) == "nothing changed"
    world.settle()
    assert members(world, "garden") == {element("ppp0")}
    world.configure(CONFIG.replace("auth true", "auth true\n ipv6 false", 1) + FILTERS.replace(
        '"garden" { nft_set "inet fw garden" }', '"garden" { nft_set "inet fw gold" }'))
    world.settle()
    assert members(world, "garden") == set() and members(world, "gold") == {element("ppp0")}


def test_a_set_that_somebody_makes_anew_is_filled_again() -> None:
    world = world_of(filter=("garden",))
    world.client()
    world.client("u3@example.com", "pw3")
    sets = world.links.filters._sets
    sets.members.clear()
    lines = heard(world.log)
    sets.made(NftSet("inet", "fw", "gold"))
    world.settle()
    assert members(world, "garden") == set() and lines == []
    sets.made(NftSet("inet", "fw", "garden"))
    world.settle()
    assert members(world, "garden") == {element("ppp0")}
    assert lines == ["nftables: set inet fw garden was made anew, 1 elements are put in again"]
    sets.members.clear()
    sets.made(None)
    world.settle()
    assert members(world, "garden") == {element("ppp0")}


def test_a_set_that_is_missing_is_told_once_and_keeps_nobody_out() -> None:
    world = world_of(filter=("garden",))
    world.links.filters._sets.kinds.clear()
    lines = heard(world.log)
    assert all(world.client()[1].up for _ in range(2))
    assert [line for line in lines if "nftables" in line] == [
        "nftables: set inet fw garden: No such file or directory"]
    assert world.links.filters.failures == 2
    assert Status(world.links, ConfigCounts(), "x", world.log).system()["filters"] == {"unknown": 0, "failures": 2}


def test_a_set_that_is_missing_keeps_out_where_unknown_filters_do() -> None:
    world = world_of("unknown_filter refuse", filter=("garden",))
    world.links.filters._sets.kinds.clear()
    _, link = world.client()
    assert not link.up


def test_names_of_a_shared_interface_are_no_users() -> None:
    world = world_of("interface shared\n interface_name users", filter=("gold",))
    lines = heard(world.log)
    _, link = world.client()
    assert members(world, "gold") == set() and len(members(world, "addresses")) == 1
    assert any("inet fw gold has names of interfaces, and users is shared" in line for line in lines)
    link.close()
    nothing_left(world)


def test_links_of_a_shared_interface_have_a_file_of_name_servers_each(tmp_path: Path) -> None:
    world = LinksWorld('profile "client" { interface shared; interface_name wan; usepeerdns true; ipv6 false }',
                       str(tmp_path))
    ends = {"local_ip": "10.0.0.1", "dns": ("9.9.9.9",)}
    links = [world.client(profile="client", peer_ip=f"10.0.0.{n}", **ends)[1] for n in (2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "resolv-wan-session-1.conf", "resolv-wan-session-2.conf"]
    links[0].close()
    world.settle()
    assert [path.name for path in tmp_path.iterdir()] == ["resolv-wan-session-2.conf"]


# what a daemon leaves that dies


def opened(world: LinksWorld, directory: Path) -> Leftovers:
    world.links.leftovers.open(str(directory))
    return world.links.leftovers


def test_the_next_daemon_takes_away_what_one_left_that_died(tmp_path: Path) -> None:
    world = world_of("table 7\n proxy_arp true\n default_route false", filter=("gold",))
    world.network.networks = {"10.5.1.0/24": 3}
    opened(world, tmp_path)
    world.client()
    assert world.network.proxies == {(PEER, 3)}
    left = Leftovers(world.log).open(str(tmp_path))
    assert sorted(entry[0] for entry in left) == ["element", "element", "proxy-arp", "rule", "rule"]
    result(leftovers.undo(left, world.network, world.links.filters._sets, world.log))
    assert world.network.rules == set() and world.network.proxies == set()
    assert not any(world.links.filters._sets.members.values())
    assert Leftovers(world.log).open(str(tmp_path)) == []


def test_the_kept_way_to_the_peer_of_a_client_is_taken_away_too(tmp_path: Path) -> None:
    world = LinksWorld('profile "client" { default_route true; ipv6 false }')
    world.network.routes[("0.0.0.0/0", 0, 0)] = (2, "192.0.2.254")
    opened(world, tmp_path)
    client, link = world.client(profile="client", row={"peer_address": "198.51.100.7"}, local_ip="10.0.0.1",
                                peer_ip="10.0.0.2")
    assert ("198.51.100.7/32", 0, 0) in world.network.routes
    (entry,) = Leftovers(world.log).open(str(tmp_path))
    assert entry == ["host-route", "198.51.100.7/32", 2, "192.0.2.254"]
    result(leftovers.undo([entry], world.network, MemorySets(), world.log))
    assert ("198.51.100.7/32", 0, 0) not in world.network.routes


def test_a_journal_is_empty_when_all_is_taken_away_and_never_grows_without_end(tmp_path: Path) -> None:
    world = world_of(filter=("gold",))
    journal = opened(world, tmp_path)
    for _ in range(3):
        _, link = world.client()
        link.close()
        world.settle()
    for number in range(5000):
        journal.put(leftovers.RULE, "ppp0", number, False, True)
        journal.done(leftovers.RULE, "ppp0", number, False, True)
    path = tmp_path / leftovers.FILE
    assert path.stat().st_size < 60000 and list(leftovers.read(str(path))) == []
    journal.put(leftovers.RULE, "ppp0", 1, False, True)
    journal.put(leftovers.RULE, "ppp0", 1, False, True)
    journal.done(leftovers.RULE, "ppp0", 1, False, True)
    assert list(leftovers.read(str(path))) == [["rule", "ppp0", 1, False, True]]
    journal.done(leftovers.RULE, "ppp0", 1, False, True)
    journal.close()
    assert not path.exists()


@pytest.mark.parametrize("text", [b"+", b"+[", b"+{}\n", b"+[]\n", b'+["x"]\n', b"\xff\xff\n", b'+["rule"]\n',
                                  b'+["element","inet","a","b","zz",""]\n', b'+["rule","ppp0",1'])
def test_a_journal_that_is_broken_stops_no_start(tmp_path: Path, text: bytes) -> None:
    (tmp_path / leftovers.FILE).write_bytes(b'+["rule","ppp0",1,false,true]\n' + text)
    world = LinksWorld()
    world.network.rules = {("ppp0", 1, False)}
    left = Leftovers(world.log).open(str(tmp_path))
    result(leftovers.undo(left, world.network, MemorySets(), world.log))
    assert world.network.rules == set()


def test_a_run_directory_that_cannot_be_written_costs_only_the_journal(tmp_path: Path) -> None:
    world = world_of("table 7")
    lines = heard(world.log)
    assert world.links.leftovers.open(str(tmp_path / "missing")) == []
    _, link = world.client()
    assert link.up and sum("would stay after a crash" in line for line in lines) == 1


def test_a_link_shows_what_its_user_has_on_the_network() -> None:
    world = world_of('vrf "red"', filter=("gold",), route=(RouteTo("192.0.2.0/24", PEER, 5),))
    world.network.vrfs["red"] = (50, 10)
    _, link = world.client()
    record = Status(world.links, ConfigCounts(), "x", world.log).link(link)
    assert problems(record, RECORDS["link"], RECORDS) == []
    assert record["network"] == {"pool": "pool1", "routes": [f"192.0.2.0/24 via {PEER} metric 5"], "filters": ["gold"],
                                 "table": 10, "vrf": "red"}


def test_a_set_of_another_type_is_told_once() -> None:
    world = world_of(filter=("garden",))
    world.links.filters._sets.kinds["inet fw garden"] = Kind(12, False)
    lines = heard(world.log)
    assert all(world.client()[1].up for _ in range(2))
    assert len([line for line in lines if "inet fw garden is of no type" in line]) == 1


def test_another_user_on_the_same_link_has_nothing_of_the_one_before() -> None:
    world = world_of(table=7, filter=("gold",), route=(RouteTo("192.0.2.0/24", "", None),))
    client, link = world.client()
    assert world.network.rules == {("ppp0", 7, False), ("lo", 7, False)}
    client = Client(world, client.port, LinkSettings(user="u3@example.com", password="pw3", ipv6=False)).open()
    world.later(10)
    assert link.up and link.user == "u3@example.com"
    assert world.network.rules == set() and members(world, "gold") == set()
    assert world.network.routes == {} and link.interface is not None and link.interface.table == 0
    Client(world, client.port, LinkSettings(user="u1@example.com", password="pw1", ipv6=False)).open()
    world.later(10)
    assert link.user == "u1@example.com" and world.network.rules == {("ppp0", 7, False), ("lo", 7, False)}
    assert len(members(world, "gold")) == 1
    link.close()
    nothing_left(world)


def test_a_change_while_no_protocol_is_up_sets_nothing() -> None:
    world = world_of(filter=("gold",), route=(RouteTo("192.0.2.0/24", "", None),))
    _, link = world.client()
    assert link.interface is not None
    link.interface.down("ip")
    world.settle()
    assert members(world, "gold") == set() and world.network.routes == {}
    change(world, link, filters=("garden",), routes=())
    assert members(world, "garden") == set()


def test_prefixes_behind_a_user_are_in_sets_of_ipv6_as_they_come_and_go() -> None:
    world = world_of(filter=("garden",))
    world.configure(CONFIG + FILTERS)
    name = "u1@example.com"
    world.users.users = {**world.users.users, name: User(name=name, password="pw1", filter=("garden",))}
    world.links.filters._sets.kinds["inet fw garden"] = Kind(IPV6_ADDR, True)
    _, link = world.client()
    assert members(world, "garden") == set(), "link-local addresses are nobody's"
    assert link.interface is not None
    link.interface.behind = ("2001:db8:1::/64",)
    link.interface.refresh()
    world.settle()
    assert [one.key[:8].hex() for one in members(world, "garden")] == ["20010db800010000"]
    link.interface.behind = ()
    link.interface.refresh()
    world.settle()
    assert members(world, "garden") == set()


@pytest.mark.parametrize(("parameters", "there"), [("", False), ("table 7", True)])
def test_no_user_takes_the_default_route_of_the_system(parameters: str, there: bool) -> None:
    world = world_of(parameters, route=(RouteTo("0.0.0.0/0", "", None),))
    world.network.routes["0.0.0.0/0", 0, 0] = (2, "192.0.2.254")
    lines = heard(world.log)
    _, link = world.client()
    assert link.up and (("0.0.0.0/0", 7, 0) in world.network.routes) is there
    assert any("it would take the default route of the system" in line for line in lines) is not there
    link.close()
    nothing_left(world)
    assert world.network.routes == {("0.0.0.0/0", 0, 0): (2, "192.0.2.254")}


def test_a_reload_gives_a_user_who_is_online_what_has_changed_in_his_block() -> None:
    user = 'user "u1@example.com" { password "pw1"'
    text = CONFIG.replace("auth true", "auth true; ipv6 false", 1) + FILTERS
    world = LinksWorld(text)
    world.links.filters._sets.kinds = {"inet fw garden": Kind(IFNAME, False)}
    _, link = world.client()
    _, other = world.client("u3@example.com", "pw3")
    changed = text.replace(user, user + '; filter "garden"; routes 203.0.113.0/24; rate_limit 5M; idle_timeout 60')
    assert world.configure(changed) == "user: 1 changed"
    world.settle()
    assert members(world, "garden") == {element("ppp0")} and list(world.network.routes) == [("203.0.113.0/24", 0, 0)]
    assert world.links.filters.rates(link) == (5_000_000, 5_000_000) and link.idle_timeout == 60
    assert world.links.filters.rates(other) == (0, 0)
    # a CoA in between has the say about what the file does not change
    change(world, link, rate_up=7_000_000)
    world.configure(changed.replace("routes 203.0.113.0/24", "routes 198.51.100.0/24; session_timeout 5; ip 10.9.9.9"))
    world.settle()
    assert list(world.network.routes) == [("198.51.100.0/24", 0, 0)]
    assert world.links.filters.rates(link) == (7_000_000, 5_000_000)
    assert link.lease is not None and link.lease.text == PEER
    world.configure(text)
    world.later(4)
    assert members(world, "garden") == set() and world.network.routes == {} and link.idle_timeout == 0
    world.later(10)
    assert link.up, "the session timeout is that of the profile again"


def test_a_user_who_leaves_a_set_that_somebody_has_emptied_is_no_failure() -> None:
    world = world_of(filter=("garden",))
    _, link = world.client()
    world.links.filters._sets.members.clear()
    lines = heard(world.log)
    link.close()
    nothing_left(world)
    assert world.links.filters.failures == 0 and not any("nftables" in line for line in lines)
