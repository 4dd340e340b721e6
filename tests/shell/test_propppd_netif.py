"""Interfaces of links when answers come late, or not as wished."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from prol2tp.config.network import RouteTo
from prol2tp.config.propppd import User
from prol2tp.daemons.propppd import resolv
from prol2tp.dataplane.interface import GONE, DataPathError
from prol2tp.dataplane.network import refused
from tests.shell.propppd_world import CONFIG, LinksWorld

SHARED = CONFIG.replace("auth true", "auth true\n interface shared\n interface_name users\n ipv6 false")


class Late:
    """An operation whose answers are kept back until `release`."""

    def __init__(self, target: Any, name: str) -> None:
        self.waiting: list[tuple[Deferred[Any], Deferred[Any]]] = []
        self._original = getattr(target, name)
        setattr(target, name, self)

    def __call__(self, *arguments: Any, **words: Any) -> Deferred[Any]:
        outer: Deferred[Any] = Deferred()
        self.waiting.append((self._original(*arguments, **words), outer))
        return outer

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        for inner, outer in waiting:
            inner.addBoth(outer.callback)


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld()


def nothing_left(world: LinksWorld) -> None:
    assert world.near.interfaces == {} and world.links.interfaces.names == set()
    assert world.links.interfaces.shared == {}
    assert world.links.addresses.leases == {} and not world.links._closing


@pytest.mark.parametrize("operation", ["netif_attach", "netif_modify"])
def test_a_link_that_ends_while_the_data_path_works_leaves_nothing(world, operation):
    late = Late(world.near, operation)
    _, link = world.client()
    assert late.waiting
    link.lost("Lost Carrier", "")
    assert world.links.addresses.leases, "the address is not free before the interface is gone"
    late.release()
    world.settle()
    nothing_left(world)
    # it was up where only the second protocol was waited for
    assert [row["state"] for row in world.prol2tpd.rows] == ["up", "closed"][operation == "netif_attach":]


@pytest.mark.parametrize(("behind", "exchanges"), [((), 0), (("10.8.0.0/24",), 1)])
def test_an_own_interface_takes_one_exchange_with_the_data_path_where_nothing_else_is_to_be_set(
        behind: tuple[str, ...], exchanges: int) -> None:
    world = LinksWorld(CONFIG.replace("auth true", "auth true\n ipv6 false"))
    name = "u1@example.com"
    route = tuple(RouteTo(prefix, "", None) for prefix in behind)
    world.users.users = {**world.users.users, name: User(name=name, password="pw1", route=route)}
    modified = []
    original = world.near.netif_modify

    def modify(port: int, **words: Any) -> Deferred[None]:
        modified.append(set(world.network.addresses.values()))
        return original(port, **words)

    world.near.netif_modify = modify  # type: ignore[method-assign]
    _, link = world.client()
    assert link.up and len(modified) == exchanges and all(modified)
    (attachment,) = (port.attachment for port in world.near.ports.values() if port.attachment is not None)
    assert attachment.protocols == {"ip"} and len(attachment.prefixes) == 1 + len(behind)


@pytest.mark.parametrize("operation", ["link_set", "address_add"])
def test_a_link_that_ends_while_the_kernel_works_leaves_nothing(world, operation):
    late = Late(world.network, operation)
    _, link = world.client()
    assert late.waiting
    link.lost("Lost Carrier", "")
    for _ in range(5):
        late.release()
    world.settle()
    nothing_left(world)


def test_a_thousandth_of_a_second_between_down_and_up_is_followed(world):
    from prol2tp.ppp.outputs import NetworkDown, NetworkUp

    _, link = world.client(ipv6=False)
    late = Late(world.network, "address_delete")
    link._network_down(NetworkDown("ip"))
    link._network_up(NetworkUp("ip", "10.5.1.1", "10.9.9.9"))
    link._network_down(NetworkDown("ip"))
    link._network_up(NetworkUp("ip", "10.5.1.1", "10.8.8.8"))
    assert not link.up
    late.release()
    assert {text for _, text in world.network.addresses} == {"10.5.1.1/32 10.8.8.8/32"}
    assert link.up and world.links.counts.up == 2 and world.links.counts.down == 1


def test_links_wait_for_the_one_that_sets_up_their_shared_interface(world):
    world.configure(SHARED)
    late = Late(world.network, "link_set")
    _, first = world.client()
    _, second = world.client("u3@example.com", "pw3")
    assert not first.up and not second.up and len(late.waiting) == 1
    late.release()
    assert first.up and second.up and first.interface_name == second.interface_name == "users"


def test_a_link_joins_a_shared_interface_in_one_exchange_with_the_data_path(world):
    world.configure(SHARED)
    world.client()
    late = Late(world.near, "netif_modify")
    _, link = world.client("u3@example.com", "pw3")
    assert link.up and not late.waiting
    attachment = world.near.ports[link.port].attachment
    assert attachment.protocols == {"ip"} and len(attachment.prefixes) == 1
    link.lost("Lost Carrier", "")
    world.settle()
    assert list(world.near.interfaces) == ["users"], "the first link has it"


def test_a_link_that_ends_while_it_joins_a_shared_interface_leaves_nothing(world):
    world.configure(SHARED)
    _, first = world.client()
    late = Late(world.near, "netif_attach")
    _, link = world.client("u3@example.com", "pw3")
    assert late.waiting and not link.up
    link.lost("Lost Carrier", "")
    late.release()
    world.settle()
    assert world.links.interfaces.shared["users"].links == 1
    first.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_when_a_shared_interface_cannot_be_set_up_the_next_user_tries_again(world):
    world.configure(SHARED)
    original, world.network.link_set = world.network.link_set, lambda *a, **k: fail(refused(errno.ENOMEM))
    client, link = world.client()
    assert not link.up and "ip" not in client.networks
    world.network.link_set = original
    _, second = world.client("u3@example.com", "pw3")
    assert second.up and world.network.links[world.near.interfaces["users"]]["up"]
    for one in (link, second):
        one.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_a_route_that_is_there_already_does_not_keep_the_user_off_line(world):
    world.network.routes[("192.0.2.0/24", 0, 0)] = (99, "")
    _, link = world.client("u2@example.com", "pw2")
    assert link.up


def test_default_route_and_proxy_arp_come_and_go_with_the_link(world, tmp_path):
    world.links.interfaces.run_dir = str(tmp_path)
    world.configure(CONFIG.replace('profile "open" {', 'profile "open" { default_route true; proxy_arp true\n'))
    world.network.routes[("0.0.0.0/0", 0, 0)] = (99, "203.0.113.1")
    world.network.networks["10.5.1.0/24"] = 99
    _, link = world.client(profile="open", row={"peer_address": "198.51.100.1"})
    ifindex = world.near.interfaces[link.interface_name]
    assert world.network.routes[("0.0.0.0/0", 0, 0)] == (ifindex, "")
    assert world.network.routes[("198.51.100.1/32", 0, 0)] == (99, "203.0.113.1")
    assert world.network.proxies == {("10.5.1.2", 99)}
    link.lost("Lost Carrier", "")
    world.settle()
    assert world.network.routes == {("0.0.0.0/0", 0, 0): (99, "203.0.113.1")}
    assert world.network.proxies == set()


def test_an_interface_that_somebody_removes_ends_its_link(world):
    from prol2tp.dataplane.interface import NOT_FOUND, DataPathError

    _, link = world.client()
    world.near.refuse["netif_detach"] = DataPathError(NOT_FOUND, "no interface")
    link.close("NAS Error", "interface ppp0 was removed by somebody else")
    world.later(5)
    assert link.ended and link.cause == "NAS Error"


def test_the_final_counters_of_links_that_end_together_are_read_in_one_exchange(world):
    links = [world.client(f"u{n}@example.com", f"pw{n}")[1] for n in (1, 3, 4)]
    calls = []
    original = world.near.counters
    world.near.counters = lambda ports=None: (calls.append(ports), original(ports))[1]
    for link in links:
        link.lost("Lost Carrier", "")
    world.sessions_gone(*links)
    world.settle()
    assert calls == [[link.port for link in links]]
    assert all(link.totals[0] > 3 and link.totals[3] > 3 for link in links)


def test_a_client_waits_for_the_first_frame_of_the_other_side(world):
    near, far = world.session()
    world.attach(world.row(near, "open", lns=False))
    world.settle()
    assert world.near.sent == []
    world.later(1.5)
    assert len(world.near.sent) == 1
    near, _ = world.session()
    world.attach(world.row(near, "open", lns=False, id="1/77"))
    world.near.deliver(near, bytes.fromhex("ff03c0210101000a0506a1b2c3d4"))
    assert [port for port, _ in world.near.sent].count(near) >= 2, "Configure-Request and Configure-Ack"


def test_an_interface_that_could_not_be_set_up_is_not_used_by_the_other_protocol(world):
    original, refusals = world.network.link_set, [refused(errno.ENOBUFS)]

    def link_set(*arguments, **words):
        return fail(refusals.pop()) if refusals else original(*arguments, **words)

    world.network.link_set = link_set
    client, link = world.client()
    assert len(client.networks) == 1 and link.up
    assert world.network.links[world.near.interfaces[link.interface_name]] == {"mtu": 1500, "up": True}
    link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_a_name_that_somebody_else_had_can_be_used_again(world):
    world.near.interfaces["office"] = 77
    _, link = world.client(row={"interface_name": "office"})
    assert link.interface_name == "office1"
    del world.near.interfaces["office"]
    link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)
    _, link = world.client(row={"interface_name": "office"})
    assert link.interface_name == "office"


def test_a_link_is_down_when_both_protocols_go_while_the_data_path_works(world):
    from prol2tp.ppp.outputs import NetworkDown, NetworkUp

    _, link = world.client()
    late = Late(world.near, "netif_modify")
    link._network_down(NetworkDown("ip"))
    link._network_up(NetworkUp("ip", "10.5.1.1", "10.8.8.8"))
    late.release()
    assert late.waiting, "the new addresses are being set"
    link._network_down(NetworkDown("ip"))
    link._network_down(NetworkDown("ipv6"))
    assert not link.up and world.links.counts.down == 1
    for _ in range(5):
        late.release()
    assert not link.up


TWO_PROFILES = SHARED + """
profile "others" { auth true; interface shared; interface_name users; ipv6 false; local_ip 10.5.1.1; ip_pool "pool2" }
ip_pool "pool2" { range 10.6.0.0-10.6.0.3 }
"""


def pool_routes(world):
    return {prefix for prefix, _, _ in world.network.routes}


def test_the_pools_of_all_profiles_are_routed_to_the_interface_that_they_share(world):
    world.configure(TWO_PROFILES)
    world.client()
    one = {"10.5.1.100/31", "10.5.1.102/32"}
    assert pool_routes(world) == one
    client, link = world.client("u3@example.com", "pw3", profile="others")
    assert link.up and pool_routes(world) == one | {"10.6.0.0/30"}
    world.configure(TWO_PROFILES.replace("10.6.0.3", "10.6.0.7"))
    assert pool_routes(world) == one | {"10.6.0.0/29"}


def test_a_pool_that_moves_does_not_cut_off_who_has_an_address_of_it(world):
    world.configure(SHARED)
    _, first = world.client()
    _, second = world.client("u3@example.com", "pw3")
    moved = SHARED.replace("10.5.1.100-10.5.1.102", "10.7.0.0-10.7.0.3")
    world.configure(moved)
    assert pool_routes(world) == {"10.5.1.100/31", "10.7.0.0/30"}
    for link in (first, second):
        link.close()
        world.settle()
        world.client("u4@example.com", "pw4")
    world.configure(moved + "# again\n")
    world.configure(moved.replace("pw4", "pw5"))
    assert pool_routes(world) == {"10.7.0.0/30"}


def test_an_address_that_a_shared_interface_did_not_get_is_set_for_the_next_link(world):
    world.configure(TWO_PROFILES.replace('local_ip 10.5.1.1; ip_pool "pool2"', 'local_ip 10.6.1.1; ip_pool "pool2"'))
    world.client()
    original, world.network.address_add = world.network.address_add, lambda *a: fail(refused(errno.ENOBUFS))
    _, link = world.client("u3@example.com", "pw3", profile="others")
    assert not link.up
    world.network.address_add = original
    _, link = world.client("u4@example.com", "pw4", profile="others")
    assert link.up and (world.near.interfaces["users"], "10.6.1.1/32") in world.network.addresses


def test_name_servers_are_readable_by_all_and_go_with_the_link_or_at_the_next_start(tmp_path):
    old = os.umask(0o077)
    try:
        for interface in ("ppp0", "ppp1"):
            resolv.write(str(tmp_path), interface, ["9.9.9.9", "149.112.112.112"])
    finally:
        os.umask(old)
    file = tmp_path / "resolv-ppp0.conf"
    assert file.read_text() == "nameserver 9.9.9.9\nnameserver 149.112.112.112\n"
    assert file.stat().st_mode & 0o777 == 0o644
    resolv.remove(str(tmp_path), "ppp0")
    assert [entry.name for entry in tmp_path.iterdir()] == ["resolv-ppp1.conf"]
    (tmp_path / "propppd.pid").write_text("1\n")
    resolv.remove_all(str(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["propppd.pid"]


def test_thousands_with_one_interface_name_are_numbered_without_a_search(world):
    interfaces = world.links.interfaces
    names = [interfaces.unused_name("dsl") for _ in range(3000)]
    assert names[:3] == ["dsl", "dsl1", "dsl2"] and len(set(names)) == 3000
    interfaces.names = Counted(interfaces.names)
    assert interfaces.unused_name("dsl") == "dsl3000"
    assert interfaces.names.asked < 10
    interfaces.names.discard("dsl")
    assert interfaces.unused_name("dsl") == "dsl"


class Counted(set):
    """A set that counts how often it was asked."""

    asked = 0

    def __contains__(self, item):
        self.asked += 1
        return super().__contains__(item)


def test_a_link_of_a_lost_data_path_does_not_touch_the_ports_of_the_new_one(world):
    late = Late(world.network, "link_set")
    _, link = world.client()
    assert late.waiting
    asked = []

    class New:
        def __getattr__(self, name):
            return lambda *arguments, **words: asked.append(name) or fail(DataPathError(GONE, ""))

    link.lost("NAS Error", "the data path is gone")
    world.links.use(New())
    late.release()
    world.settle()
    assert [name for name in asked if name.startswith("netif")] == []
    nothing_left(world)
