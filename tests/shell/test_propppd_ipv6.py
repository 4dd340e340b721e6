"""IPv6 of propppd's links: what they get, what the peer is told, what is routed, and that all is given back."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.ipv6 import Given
from prol2tp.daemons.propppd.link import IPV6_HEADERS, PPPLink
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.ipv6 import dhcpv6, icmpv6, packet
from prol2tp.ipv6.dhcpv6 import IA, Message
from prol2tp.ipv6.icmpv6 import RouterAdvertisement
from tests.ipv6_ends import CLIENT, Client, sent, solicitation
from tests.shell.propppd_world import LinksWorld

POOLS = """
ipv6_pool "links" { prefix 2001:db8:1::/62 }
ipv6_pool "addresses" { prefix 2001:db8:2::/126; length 128 }
ipv6_pool "delegated" { prefix 2001:db8:100::/54; length 56 }
"""
PROFILE = """
profile "subscribers" {
    auth true
    local_ip 10.5.1.1
    ip_pool "pool1"
    local_interface_id ::1
    peer_interface_id ::2
    %s
}
ip_pool "pool1" { range 10.5.1.100-10.5.1.199 }
user "u1@example.com" { password "pw1"; %s }
user "u2@example.com" { password "pw2" }
user "u3@example.com" { password "pw3" }
user "u4@example.com" { password "pw4" }
user "u5@example.com" { password "pw5" }
"""
ALL = """
    ipv6_pool "links"
    ipv6_address_pool "addresses"
    delegated_pool "delegated"
    ipv6_dns 2001:db8::53
    ipv6_domain example.net
"""
HEADER = b"\x57"
"""The peers of these tests allow both compressions, and so do we."""


class Changes(Follower):
    """Hears of `addresses_changed`."""

    def __init__(self) -> None:
        self.given: list[Given] = []

    def addresses_changed(self, link: PPPLink) -> None:
        assert link.ipv6 is not None
        self.given.append(link.ipv6.given)


class Subscriber:
    """The peer's IPv6 on the other end of a link."""

    def __init__(self, world: LinksWorld, user: str = "u1@example.com", **words: Any) -> None:
        self.world = world
        self.packets: list[bytes] = []
        self.dhcp: Client | None = None
        self._port: int | None = None
        make, world.far.port_receiver = world.far.port_receiver, self._receiver
        password = "pw" + user[1]
        self.ppp, self.link = world.client(user, password, **words)
        world.far.port_receiver = make

    def _receiver(self, port: int, callback: Any) -> None:
        self._port = port
        type(self.world.far).port_receiver(self.world.far, port, lambda frame: self._receive(frame, callback))

    def _receive(self, frame: bytes, callback: Any) -> None:
        if not frame.startswith(HEADER):
            callback(frame)
            return
        data = frame[1:]
        self.packets.append(data)
        if self.dhcp is not None and packet.read(data).protocol == packet.UDP:
            self.dhcp.receive(data, self.world.clock.seconds())

    def send(self, data: bytes) -> None:
        assert self._port is not None
        self.world.far.port_send(self._port, HEADER + data)
        self.world.settle()

    def advertisements(self) -> list[RouterAdvertisement]:
        """Those that came since the last call."""
        found = []
        for data in self.packets:
            seen = packet.read(data)
            if seen.protocol == packet.ICMPV6:
                kind, code, body = icmpv6.read_message(seen)
                assert kind == icmpv6.ROUTER_ADVERTISEMENT
                found.append(icmpv6.read_advertisement(seen, code, body))
        self.packets.clear()
        return found

    def bind(self) -> Client:
        """Get an address and a prefix by DHCPv6."""
        self.dhcp = Client()
        for _ in range(4):
            if self.dhcp.state != "BOUND":
                self.send(self.dhcp.timeout(self.world.clock.seconds()))
        assert self.dhcp.state == "BOUND"
        return self.dhcp

    def ask(self, message: Message) -> Message:
        """The answer to a message."""
        self.packets.clear()
        self.send(sent(message))
        (answer,) = self.packets
        return dhcpv6.decode(packet.read_udp(packet.read(answer))[2])


def world_of(profile: str = ALL, user: str = "", extra: str = POOLS) -> LinksWorld:
    return LinksWorld(PROFILE % (profile, user) + extra)


def routes(world: LinksWorld) -> set[str]:
    """IPv6 prefixes that are routed."""
    return {prefix for prefix, _, _ in world.network.routes if ":" in prefix}


def behind(world: LinksWorld, link: PPPLink) -> set[str]:
    """IPv6 prefixes that the data path lets the link send from."""
    attachment = world.near.ports[link.port].attachment
    assert attachment is not None
    return {f"{IPv6Address(network)}/{bits}" for network, bits in attachment.prefixes if len(network) == 16}


def text_of(information: Any) -> str:
    return f"{IPv6Address(information.prefix)}/{information.length}"


def is_within(text: str, network: str) -> bool:
    return IPv6Network(text).subnet_of(IPv6Network(network))


def nothing_left(world: LinksWorld) -> None:
    assert routes(world) == set()
    assert len(world.links.prefixes) == 0
    assert all(pool.used == 0 for pool in world.links.prefixes.pools.values())
    assert len(world.links.deadlines) == 0


def test_a_link_gets_a_prefix_of_the_pool_and_hears_of_it_and_of_the_servers():
    world = world_of()
    subscriber = Subscriber(world)
    (heard,) = subscriber.advertisements()
    (prefix,) = heard.prefixes
    assert is_within(text_of(prefix), "2001:db8:1::/62") and prefix.length == 64
    assert (prefix.autonomous, prefix.on_link) == (True, False)
    assert (prefix.valid_lifetime, prefix.preferred_lifetime) == (7200, 3600)
    assert (heard.managed, heard.other, heard.hop_limit, heard.mtu) == (True, True, 64, 1500)
    assert heard.router_lifetime == 1800
    assert heard.dns == ((1800, (IPv6Address("2001:db8::53").packed,)),)
    assert heard.domains == ((1800, ("example.net",)),)
    assert routes(world) == {text_of(prefix)}
    assert behind(world, subscriber.link) == {"fe80::2/128", text_of(prefix)}
    assert subscriber.link.ipv6.given == Given((text_of(prefix),))


def test_address_and_prefix_are_routed_when_a_client_has_leased_them_and_no_longer_when_it_gave_them_back():
    world = world_of()
    changes = Changes()
    world.links.followers.add(changes)
    subscriber = Subscriber(world)
    framed = subscriber.link.ipv6.given.prefixes[0]
    client = subscriber.bind()
    address = f"{IPv6Address(client.address.items[0].octets)}/128"
    item = client.prefix.items[0]
    delegated = f"{IPv6Address(item.octets)}/{item.length}"
    assert is_within(address, "2001:db8:2::/126") and is_within(delegated, "2001:db8:100::/54")
    assert routes(world) == {framed, address, delegated}
    assert behind(world, subscriber.link) == {"fe80::2/128", framed, address, delegated}
    assert changes.given[-1] == Given((framed,), (address[:-4],), (delegated,))
    release = Message(dhcpv6.RELEASE, 9, CLIENT, client.server_id, addresses=(client.address,),
                      prefixes=(client.prefix,))
    assert subscriber.ask(release).status.code == dhcpv6.SUCCESS
    assert routes(world) == {framed}
    assert behind(world, subscriber.link) == {"fe80::2/128", framed}
    assert changes.given[-1] == Given((framed,))
    assert len(changes.given) == 3


def test_a_lease_is_routed_before_the_client_hears_of_it():
    world = world_of()
    subscriber = Subscriber(world)
    steps: list[str] = []
    send, add = world.near.port_send, world.network.route_add

    def port_send(port: int, frame: bytes) -> None:
        steps.append("send")
        send(port, frame)

    def route_add(prefix: str, *arguments: Any, **words: Any) -> Any:
        steps.append("route")
        return add(prefix, *arguments, **words)

    world.near.port_send, world.network.route_add = port_send, route_add
    subscriber.bind()
    assert steps == ["send", "route", "route", "send"]


def test_the_user_s_own_prefixes_come_before_those_of_pools():
    own = "ipv6_prefix 2001:db8:a::/64; ipv6_address 2001:db8:b::5; delegated_prefix 2001:db8:c::/48"
    world = world_of(user=own + "; ipv6_dns 2001:db8::99")
    subscriber = Subscriber(world)
    (heard,) = subscriber.advertisements()
    assert [text_of(one) for one in heard.prefixes] == ["2001:db8:a::/64"]
    assert heard.dns[0][1] == (IPv6Address("2001:db8::99").packed,)
    subscriber.bind()
    assert subscriber.link.ipv6.given == Given(("2001:db8:a::/64",), ("2001:db8:b::5",), ("2001:db8:c::/48",))
    assert all(pool.used == 0 for pool in world.links.prefixes.pools.values())


def test_a_user_without_a_prefix_of_the_link_gets_a_delegated_one_over_link_local_addresses():
    world = world_of('delegated_pool "delegated"')
    subscriber = Subscriber(world)
    (heard,) = subscriber.advertisements()
    assert (heard.prefixes, heard.managed, heard.other) == ((), False, True)
    answer = subscriber.ask(Message(dhcpv6.SOLICIT, 1, CLIENT, rapid_commit=True, prefixes=(IA(1),)))
    delegated = answer.prefixes[0].items[0]
    assert delegated.length == 56
    assert routes(world) == {f"{IPv6Address(delegated.octets)}/56"}
    assert behind(world, subscriber.link) == {"fe80::2/128", *routes(world)}


def test_a_link_without_anything_to_give_hears_nothing_and_costs_nothing():
    world = world_of("")
    subscriber = Subscriber(world)
    assert "ipv6" in subscriber.ppp.networks
    subscriber.send(solicitation())
    assert subscriber.packets == [] and subscriber.link.ipv6 is None


def test_a_link_on_which_we_are_the_customer_advertises_nothing():
    world = LinksWorld(PROFILE % ("default_route true", "") + POOLS)
    subscriber = Subscriber(world)
    assert "ipv6" in subscriber.ppp.networks and subscriber.link.ipv6 is None
    assert world.network.settings["ppp0"] == {"accept_ra": "2", "accept_ra_defrtr": "1", "accept_redirects": "0"}


@pytest.mark.parametrize("shared", ["", "interface shared; interface_name users"])
def test_the_kernel_takes_no_advertisements_from_users(shared):
    world = world_of(ALL + shared)
    Subscriber(world)
    assert world.network.settings["users" if shared else "ppp0"]["accept_ra"] == "0"


@pytest.mark.parametrize("how", ["close", "lost", "peer", "ipv6cp"])
@pytest.mark.parametrize("shared", ["", "interface shared; interface_name users"])
def test_everything_is_given_back_when_the_link_or_ipv6cp_ends(how, shared):
    world = world_of(ALL + shared)
    subscriber = Subscriber(world)
    subscriber.bind()
    assert len(routes(world)) == 3
    subscriber.advertisements()
    link = subscriber.link
    had = link.ipv6.given
    if how == "close":
        link.close("Admin Reset", "")
        world.settle()
        (goodbye,) = subscriber.advertisements()
        assert goodbye.router_lifetime == 0
    elif how == "lost":
        link.lost("Lost Carrier", "")
    elif how == "peer":
        subscriber.ppp.driver.call(subscriber.ppp.core.close)
    else:
        subscriber.ppp.driver.call(subscriber.ppp.core.network_failed, "ipv6")
    world.settle()
    assert routes(world) == set() and len(world.links.prefixes) == 0
    if how == "ipv6cp":
        assert link.ipv6.given == Given() and not link.ended and behind(world, link) == set()
    else:
        world.later(4)
        assert link.ended and link.ipv6.given == had, "the last record of accounting has it"
        nothing_left(world)


def test_a_link_that_ends_while_its_prefix_is_being_routed_leaves_nothing():
    world = world_of()
    modify = world.near.netif_modify
    waiting: list[Any] = []

    def late(*arguments: Any, **words: Any) -> Any:
        outer: Deferred[Any] = Deferred()
        if "punt" in words:
            waiting.append(lambda: modify(*arguments, **words).addBoth(outer.callback))
            return outer
        return modify(*arguments, **words)

    world.near.netif_modify = late
    subscriber = Subscriber(world)
    assert len(waiting) == 1 and subscriber.packets == []
    subscriber.link.lost("Lost Carrier", "")
    for _ in range(3):
        while waiting:
            waiting.pop()()
        world.settle()
    assert subscriber.packets == []
    nothing_left(world)


def test_two_users_never_have_the_same_and_a_user_gets_the_same_again():
    world = world_of()
    first = {user: Subscriber(world, user) for user in ("u1@example.com", "u2@example.com", "u3@example.com")}
    had = {user: subscriber.link.ipv6.given.prefixes for user, subscriber in first.items()}
    assert len(set(had.values())) == 3
    for subscriber in first.values():
        subscriber.link.lost("Lost Carrier", "")
    world.settle()
    for user in reversed(list(had)):
        assert Subscriber(world, user).link.ipv6.given.prefixes == had[user]


def test_a_user_for_whom_nothing_is_left_has_no_ipv6_and_keeps_ipv4():
    world = world_of('ipv6_pool "one"', extra='ipv6_pool "one" { prefix 2001:db8:1::/64 }')
    one, two = Subscriber(world), Subscriber(world, "u2@example.com")
    assert one.link.ipv6.given == Given(("2001:db8:1::/64",))
    assert set(two.ppp.networks) == {"ip"} and not two.link.ended
    assert two.packets == [] and routes(world) == {"2001:db8:1::/64"}
    one.link.lost("Lost Carrier", "")
    world.settle()
    assert Subscriber(world, "u3@example.com").link.ipv6.given == Given(("2001:db8:1::/64",))


def test_a_user_of_ipv6_alone_for_whom_nothing_is_left_goes_off_line():
    world = world_of('ip false; ipv6_pool "one"', extra='ipv6_pool "one" { prefix 2001:db8:1::/64 }')
    one, two = Subscriber(world), Subscriber(world, "u2@example.com")
    world.later(10)
    assert not one.link.ended and two.link.ended
    assert routes(world) == {"2001:db8:1::/64"}


def test_a_user_who_comes_again_takes_his_own_prefix_from_his_dead_link():
    world = world_of("", user="ipv6_prefix 2001:db8:a::/64; delegated_prefix 2001:db8:c::/48")
    one = Subscriber(world)
    one.ask(Message(dhcpv6.SOLICIT, 1, CLIENT, rapid_commit=True, prefixes=(IA(1),)))
    assert routes(world) == {"2001:db8:a::/64", "2001:db8:c::/48"}
    two = Subscriber(world)
    world.settle()
    assert two.link.ipv6.given == Given(("2001:db8:a::/64",))
    assert routes(world) == {"2001:db8:a::/64"}
    assert one.link.cause == "Port Preempted"
    world.later(8)
    assert one.link.ended and not two.link.ended and routes(world) == {"2001:db8:a::/64"}


def test_somebody_else_s_own_prefix_is_not_to_be_had():
    world = world_of('ipv6_pool "links"', user="ipv6_prefix 2001:db8:1:2::/64")
    thief = 'user "u9@example.com" { password "pw9"; ipv6_prefix 2001:db8:1:2::/64 }'
    world.configure(PROFILE % ('ipv6_pool "links"', "ipv6_prefix 2001:db8:1:2::/64") + POOLS + thief)
    others = [Subscriber(world, f"u{number}@example.com") for number in (2, 3, 4)]
    assert "2001:db8:1:2::/64" not in [other.link.ipv6.given.prefixes[0] for other in others]
    owner = Subscriber(world)
    assert owner.link.ipv6.given.prefixes == ("2001:db8:1:2::/64",)
    refused = Subscriber(world, "u9@example.com")
    assert set(refused.ppp.networks) == {"ip"}
    assert owner.link.ipv6.given.prefixes == ("2001:db8:1:2::/64",) and not owner.link.ended


@pytest.mark.parametrize(("framed", "announced", "routed"), [
    ("2001:db8:a::/56", ("2001:db8:a::/64", True), {"2001:db8:a::/56"}),
    ("2001:db8:a::/96", ("2001:db8:a::/96", False), {"2001:db8:a::/96"}),
])
def test_a_prefix_of_another_length_than_64_is_routed_and_announced_as_hosts_can_use_it(framed, announced, routed):
    world = world_of("", user=f"ipv6_prefix {framed}")
    subscriber = Subscriber(world)
    (heard,) = subscriber.advertisements()
    assert [(text_of(one), one.autonomous) for one in heard.prefixes] == [announced]
    assert routes(world) == routed


def test_a_framed_prefix_of_128_is_the_address_that_dhcpv6_leases():
    world = world_of("", user="ipv6_prefix 2001:db8:a::7")
    subscriber = Subscriber(world)
    (heard,) = subscriber.advertisements()
    assert heard.prefixes == () and heard.managed
    answer = subscriber.ask(Message(dhcpv6.SOLICIT, 1, CLIENT, rapid_commit=True, addresses=(IA(1),)))
    assert IPv6Address(answer.addresses[0].items[0].octets) == IPv6Address("2001:db8:a::7")
    assert routes(world) == {"2001:db8:a::7/128"}


def test_the_default_route_or_a_link_local_prefix_is_given_to_no_user():
    world = world_of("", user="ipv6_prefix ::/0; delegated_prefix fe80::/64")
    subscriber = Subscriber(world)
    assert routes(world) == set() and subscriber.packets == []


def test_a_solicitation_is_answered_and_the_last_of_many_later():
    world = world_of()
    subscriber = Subscriber(world)
    subscriber.advertisements()
    subscriber.send(solicitation())
    assert len(subscriber.advertisements()) == 1
    for _ in range(50):
        subscriber.send(solicitation())
    assert len(subscriber.advertisements()) <= 3
    world.later(3)
    assert len(subscriber.advertisements()) == 1


def test_advertisements_come_again_for_as_long_as_the_link_is_up():
    world = world_of()
    subscriber = Subscriber(world)
    world.later(3600, 5)
    count = len(subscriber.advertisements())
    assert 3 + 3600 / 600 - 1 <= count <= 3 + 3600 / 200 + 1


@pytest.mark.parametrize("junk", [
    b"", b"\x60", bytes(40), sent(Message(dhcpv6.SOLICIT, 1, CLIENT))[:-3],
    packet.udp(IPv6Address("fe80::2").packed, IPv6Address("ff02::1:2").packed, 546, 547, b"\x01\0\0\1\0\1\0\xff"),
])
def test_what_cannot_be_read_costs_nothing(junk):
    world = world_of()
    subscriber = Subscriber(world)
    subscriber.advertisements()
    subscriber.send(junk)
    subscriber.link.receive(HEADER + junk)
    world.settle()
    assert not subscriber.link.ended
    subscriber.bind()


def test_a_route_that_the_kernel_does_not_take_is_logged_and_the_user_stays():
    world = world_of()
    world.network.refuse["route_add"] = errno.EEXIST
    subscriber = Subscriber(world)
    assert len(subscriber.advertisements()) == 1 and not subscriber.link.ended


@pytest.mark.parametrize(("error", "lines"), [(FileNotFoundError(2, "no"), 0), (PermissionError(13, "not allowed"), 1)])
def test_where_the_kernel_s_settings_cannot_be_changed_that_is_said_once(error, lines):
    world = world_of()
    said: list[str] = []

    class Said(Log):
        def emit(self, level: Level, text: str, /, own: Level | None = None, **values: Any) -> None:
            said.append(text.format(**values))

    def refuse(*arguments: Any) -> None:
        raise error

    world.links.interfaces.log = Said("test", Level.INFO)
    world.network.ipv6_set = refuse
    for number in (1, 2, 3):
        assert Subscriber(world, f"u{number}@example.com").link.ipv6.running
    wanted = ["interface ppp0: accept_ra cannot be set: not allowed"] * lines
    assert [text for text in said if "accept_ra" in text] == wanted


def test_the_profile_s_routing_table_has_the_routes():
    world = world_of(ALL + "; table 77")
    Subscriber(world).bind()
    assert {table for prefix, table, _ in world.network.routes if ":" in prefix} == {77}
    assert len(routes(world)) == 3


def test_advertisements_and_dhcpv6_can_be_turned_off():
    world = world_of(ALL + "; ra false; dhcpv6 false")
    subscriber = Subscriber(world)
    subscriber.send(solicitation())
    subscriber.send(sent(Message(dhcpv6.SOLICIT, 1, CLIENT)))
    assert subscriber.packets == []
    assert len(routes(world)) == 1


def test_what_advertisements_say_is_as_the_profile_says():
    world = world_of('ipv6_pool "links"; ra_interval 30; ra_lifetime 0; ra_hop_limit 32; ra_mtu false; dhcpv6 false;'
                     "ipv6_valid_lifetime 10m; ipv6_preferred_lifetime 5m")
    (heard,) = Subscriber(world).advertisements()
    assert (heard.managed, heard.other, heard.router_lifetime, heard.hop_limit, heard.mtu) == (False, False, 0, 32, 0)
    assert (heard.prefixes[0].valid_lifetime, heard.prefixes[0].preferred_lifetime) == (600, 300)


def test_the_mtu_that_is_told_is_the_link_s():
    world = world_of('ipv6_pool "links"; mtu 1452')
    (heard,) = Subscriber(world, row={"mtu": 1440}).advertisements()
    assert heard.mtu == 1440


def changed(link: PPPLink, **fields: Any) -> None:
    """What a CoA does."""
    before, link.authorization = link.authorization, replace(link.authorization, **fields)
    link.links.followers.tell("link_changed", link, before)


def test_a_change_of_authorization_withdraws_the_old_prefix_and_gives_the_new_one():
    world = world_of(user="ipv6_prefix 2001:db8:a::/64; delegated_prefix 2001:db8:c::/48")
    subscriber = Subscriber(world)
    subscriber.bind()
    subscriber.advertisements()
    (address,) = subscriber.link.ipv6.given.addresses
    world.later(4)
    changed(subscriber.link, ipv6_prefixes=("2001:db8:d::/64",), delegated_prefixes=("2001:db8:e::/48",),
            ipv6_more_specific=("2001:db8:f::/48",))
    world.settle()
    heard = subscriber.advertisements()[-1]
    assert {text_of(one): one.valid_lifetime for one in heard.prefixes} == {
        "2001:db8:d::/64": 7200, "2001:db8:a::/64": 0}
    assert [text_of(one) for one in heard.routes] == ["2001:db8:f::/48"]
    assert routes(world) == {"2001:db8:d::/64", f"{address}/128"}
    assert subscriber.link.ipv6.given == Given(("2001:db8:d::/64",), (address,))
    renewed = subscriber.dhcp
    renewed.timeout(0.0)
    subscriber.send(renewed.timeout(world.clock.seconds()))
    world.settle()
    assert "2001:db8:e::/48" in routes(world)
    subscriber.link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_a_change_can_give_a_link_its_first_prefix():
    world = world_of("")
    subscriber = Subscriber(world)
    changed(subscriber.link, ipv6_prefixes=("2001:db8:d::/64",))
    world.settle()
    (heard,) = subscriber.advertisements()
    assert [text_of(one) for one in heard.prefixes] == ["2001:db8:d::/64"]


def test_pools_change_while_links_keep_what_they_have():
    world = world_of('ipv6_pool "links"')
    one = Subscriber(world)
    (had,) = one.link.ipv6.given.prefixes
    world.configure(PROFILE % ('ipv6_pool "links"', "") + 'ipv6_pool "links" { prefix 2001:db8:9::/48 }')
    two = Subscriber(world, "u2@example.com")
    assert is_within(two.link.ipv6.given.prefixes[0], "2001:db8:9::/48")
    assert one.link.ipv6.given.prefixes == (had,)
    one.link.lost("Lost Carrier", "")
    two.link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_routes_of_a_shared_interface_lead_to_the_link_that_has_the_prefix():
    world = world_of(ALL + "interface shared; interface_name users")
    one, two = Subscriber(world), Subscriber(world, "u2@example.com")
    one.bind()
    two.bind()
    delegated = two.link.ipv6.given.delegated[0]
    host = IPv6Network(delegated)[77].packed
    data = packet.udp(IPv6Address("2001:db8:ffff::1").packed, host, 1, 2, b"hello")
    for subscriber in (one, two):
        subscriber.dhcp = None
        subscriber.packets.clear()
    world.near.inject_shared("users", data)
    world.settle()
    assert two.packets == [data] and one.packets == []


def test_what_a_link_has_is_shown():
    world = world_of()
    subscriber = Subscriber(world)
    status = Status(world.links, ConfigCounts(), "test.conf", world.log)
    subscriber.send(solicitation())
    subscriber.bind()
    shown = status.link(subscriber.link)["ipv6"]
    assert problems(shown, RECORDS["ipv6"], RECORDS) == []
    given = subscriber.link.ipv6.given
    assert (shown["prefixes"], shown["addresses"], shown["delegated"]) == (
        list(given.prefixes), list(given.addresses), list(given.delegated))
    assert sorted(shown["leased"]) == sorted((*given.addresses, *given.delegated))
    assert (shown["solicitations"], shown["advertisements"]) == (1, 2)
    assert (shown["dhcpv6_received"], shown["dhcpv6_sent"], shown["bad"]) == (2, 2, 0)
    assert shown["dns"] == ["2001:db8::53"] and shown["routes"] == []
    subscriber.link.lost("Lost Carrier", "")
    assert status.link(subscriber.link)["ipv6"] is None


def test_a_user_without_ipv6_is_told_of_once_for_all_when_a_pool_is_used_up():
    world = world_of('ipv6_pool "one"', extra='ipv6_pool "one" { prefix 2001:db8:1::/64 }')
    said: list[tuple[Level, str]] = []

    class Said(Log):
        def emit(self, level: Level, text: str, /, own: Level | None = None, **values: Any) -> None:
            said.append((level, text.format(**values)))

    world.links.log = Said("test", Level.INFO)
    for number in range(1, 6):
        Subscriber(world, f"u{number}@example.com")
    used_up = [text for level, text in said if "used up" in text]
    assert used_up == ["ipv6_pool one is used up: 1 prefixes, 0 of them reserved"]
    assert not [text for level, text in said if level in (Level.WARNING, Level.ERROR) and text not in used_up]
    assert sum("no free prefix in ipv6_pool one" in text for level, text in said if level is Level.INFO) == 4


def test_a_fault_of_ours_costs_the_link_its_ipv6_and_nothing_else(monkeypatch):
    def broken(*arguments: Any) -> Any:
        raise ValueError("fault")

    monkeypatch.setattr("prol2tp.daemons.propppd.ipv6.advertiser_settings", broken)
    world = world_of()
    subscriber = Subscriber(world)
    assert subscriber.packets == [] and not subscriber.link.ended and set(subscriber.ppp.networks) == {"ip", "ipv6"}
    subscriber.link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


def test_one_prefix_may_be_that_of_the_link_and_the_delegated_one():
    world = world_of("", user="ipv6_prefix 2001:db8:a::/64; delegated_prefix 2001:db8:a::/64")
    subscriber = Subscriber(world)
    answer = subscriber.ask(Message(dhcpv6.SOLICIT, 1, CLIENT, rapid_commit=True, prefixes=(IA(1),)))
    assert subscriber.link.ipv6.given == Given(("2001:db8:a::/64",), (), ("2001:db8:a::/64",))
    assert routes(world) == {"2001:db8:a::/64"}
    subscriber.ask(Message(dhcpv6.RELEASE, 2, CLIENT, answer.server_id, prefixes=answer.prefixes))
    assert subscriber.link.ipv6.given == Given(("2001:db8:a::/64",))
    assert routes(world) == {"2001:db8:a::/64"}
    subscriber.link.lost("Lost Carrier", "")
    world.settle()
    nothing_left(world)


@pytest.mark.parametrize(("pcomp", "accomp", "header"), [
    (True, True, b"\x57"), (True, False, b"\xff\x03\x57"), (False, True, b"\0\x57"), (False, False, b"\xff\x03\0\x57"),
])
def test_what_we_send_is_compressed_as_the_peer_allows_and_what_comes_is_read_in_every_form(pcomp, accomp, header):
    world = world_of()
    sent: list[bytes] = []
    send = world.near.port_send
    world.near.port_send = lambda port, frame: (sent.append(frame), send(port, frame))
    subscriber = Subscriber(world, pcomp=pcomp, accomp=accomp)
    assert sent[-1].startswith(header) and packet.read(sent[-1][len(header):]).protocol == packet.ICMPV6
    for form in IPV6_HEADERS:
        count = len(sent)
        subscriber.world.far.port_send(subscriber._port, form + solicitation())
        world.settle(3)
        assert len(sent) == count + 1 and sent[-1].startswith(header)


def test_damaged_packets_never_harm_the_link():
    world = world_of()
    subscriber = Subscriber(world)
    chance = random.Random(3)
    kinds = (solicitation(), *(sent(Message(kind, 1, CLIENT, b"x", addresses=(IA(1),), prefixes=(IA(2),)))
                               for kind in range(1, 14)))
    for _ in range(600):
        damaged = bytearray(chance.choice(kinds))
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(6, len(damaged))] = chance.randrange(256)
        subscriber.link.receive(HEADER + bytes(damaged[:chance.randrange(len(damaged) // 2, len(damaged) + 1)]))
    world.later(30)
    assert not subscriber.link.ended and set(subscriber.ppp.networks) == {"ip", "ipv6"}
    assert subscriber.link.ipv6.record()["bad"] > 100
    subscriber.bind()
