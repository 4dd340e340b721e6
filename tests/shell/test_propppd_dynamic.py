"""Disconnect and CoA on links, from the datagram to the answer, in virtual time."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyrad.packet import CoAPacket, CoARequest, DisconnectRequest
from twisted.internet.defer import Deferred, fail

from prol2tp.aaa.dynamic import RETRY
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.dynamic import DynamicRequests
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.ipv6 import Given
from prol2tp.daemons.propppd.rates import Rates
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.dataplane.shaping import MemoryShaping
from prol2tp.radius.attributes import Nas
from prol2tp.radius.dictionary import DICTIONARY
from prol2tp.radius.dynauth import Identification
from tests.property.test_radius_wire import mutated
from tests.shell.propppd_world import CONFIG, LinksWorld
from tests.shell.test_log_lines import heard
from tests.steps import steps

SECRET = b"s3cret"
BLOCK = """
radius {
    nas_identifier "lns7"
    dynamic_authorization {
        address 192.0.2.1
        client "aaa" { network 192.0.2.50; secret "s3cret" }
        client "other" { network 198.51.100.0/24; secret "0ther" }
    }
}
"""
AAA = ("192.0.2.50", 40000)
LOCAL = ("192.0.2.1", 3799)
ACK, NAK = 1, 2


class Socket:
    """A UDP socket whose other end is the test."""

    opened: list[Socket] = []

    def __init__(self, family: int) -> None:
        self.family = family
        self.came: list[tuple[bytes, Any]] = []
        self.sent: list[bytes] = []
        self.number = 9

    def fileno(self) -> int:
        return self.number

    def bind(self, address: Any) -> None:
        self.address = address
        if address[0] in TAKEN:
            raise OSError(98, "Address already in use")
        Socket.opened.append(self)

    def getsockname(self) -> Any:
        return self.address

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, *words: Any) -> None: ...

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        if not self.came:
            raise BlockingIOError(11, "nothing")
        return self.came.pop(0)

    def sendto(self, data: bytes, peer: Any) -> None:
        assert peer == AAA
        self.sent.append(data)

    def close(self) -> None:
        self.number = -1
        if self in Socket.opened:
            Socket.opened.remove(self)


TAKEN: set[str] = set()


class DynamicWorld(LinksWorld):
    def __init__(self, block: str = BLOCK) -> None:
        super().__init__(CONFIG + block)
        TAKEN.clear()
        Socket.opened.clear()
        self.readers: list[Any] = []
        self.clock.addReader, self.clock.removeReader = self.readers.append, self.readers.remove
        users: Any = SimpleNamespace(nas=Nas(identifier="lns7"), session_id=lambda link: f"run1-{link.number}")
        self.radius_log = Log("radius")
        self.lines = heard(self.radius_log)
        self.dynamic = DynamicRequests(self.links, users, self.clock, self.radius_log, Socket)
        self.links.followers.add(self.dynamic)
        self.dynamic.configure(self.config.radius)
        self._identifier = 0

    def packet(self, disconnect: bool, *repeated: tuple[str, Any], **named: Any) -> CoAPacket:
        self._identifier = self._identifier % 255 + 1
        packet = CoAPacket(DisconnectRequest if disconnect else CoARequest, self._identifier, SECRET, dict=DICTIONARY)
        for name, value in (*((name.replace("_", "-"), value) for name, value in named.items()), *repeated):
            if name == "number":
                packet[value] = [b"1"]  # not in our dictionary
            else:
                packet.AddAttribute(name, value)
        packet.encoded = packet.RequestPacket()
        return packet

    def give(self, packet: CoAPacket) -> None:
        made = Socket.opened[0]
        made.came.append((packet.encoded, AAA))
        next(reader for reader in self.readers if reader.socket is made).doRead()
        self.settle()

    def answer(self, packet: CoAPacket) -> tuple[int, str]:
        """1 or 2 for ACK or NAK, with its Error-Cause; 0 for none."""
        sent, Socket.opened[0].sent = Socket.opened[0].sent, []
        if not sent:
            return 0, ""
        (data,) = sent
        reply = packet.CreateReply(packet=data)
        assert packet.VerifyReply(reply)
        return reply.code - packet.code, reply.get("Error-Cause", [""])[0]

    def disconnect(self, **named: Any) -> tuple[int, str]:
        packet = self.packet(True, **named)
        self.give(packet)
        return self.answer(packet)

    def coa(self, *repeated: tuple[str, Any], **named: Any) -> tuple[int, str]:
        packet = self.packet(False, *repeated, **named)
        self.give(packet)
        return self.answer(packet)


@pytest.fixture
def world() -> Iterator[DynamicWorld]:
    yield DynamicWorld()


def test_without_the_block_there_is_no_socket_and_nothing_is_kept() -> None:
    world = DynamicWorld("")
    world.client()
    assert (Socket.opened, len(world.dynamic.index), world.readers) == ([], 0, [])


def test_a_disconnect_ends_the_link_and_says_who_asked(world: DynamicWorld) -> None:
    client, link = world.client()
    _, other = world.client("u3@example.com", "pw3")
    assert world.disconnect(User_Name="u1@example.com") == (ACK, "")
    world.settle(1)
    assert (link.ended, link.cause, other.ended) == (True, "Admin Reset", False)
    assert client.core.lcp.terminated is not None and not client.networks
    assert world.lines == ["Disconnect from 192.0.2.50: session-1, user u1@example.com: it ends"]
    assert world.disconnect(User_Name="u1@example.com") == (NAK, "Session-Context-Not-Found")
    status = Status(world.links, ConfigCounts(), "t", world.log, None, world.dynamic.counters)
    counts = status.system()["radius"]
    assert (counts["disconnect_requests"], counts["disconnect_responses"], counts["coa_requests"]) == (2, 2, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("User-Name", "u1@example.com"), ("Acct-Session-Id", "run1-1"), ("Framed-IP-Address", "10.5.1.100"),
     ("Calling-Station-Id", "0123"), ("Called-Station-Id", "0800"), ("NAS-Port", 1), ("NAS-Port-Id", "l2tp 1/3")],
)  # fmt: skip
def test_every_identification_attribute_finds_the_link_and_all_of_them_must_fit(
    world: DynamicWorld, name: str, value: Any
) -> None:
    _, link = world.client(row={"calling_number": "0123", "called_number": "0800", "id": "1/3"})
    assert world.coa(**{name.replace("-", "_"): value, "Idle_Timeout": 60}) == (ACK, "")
    assert link.idle_timeout == 60
    wrong = 77 if isinstance(value, int) else "10.5.1.77" if "IP" in name else "no"
    named = {"User_Name": "u1@example.com", "Port_Limit": 1, name.replace("-", "_"): wrong}
    assert world.coa(**named) == (NAK, "Session-Context-Not-Found")
    assert world.coa(Acct_Multi_Session_Id="m", Acct_Session_Id="run1-1", Idle_Timeout=1)[0] == NAK


def test_ipv6_attributes_find_the_link(world: DynamicWorld) -> None:
    client, link = world.client()
    identifier = client.networks["ipv6"].local.partition("%")[0]
    link.authorization = type(link.authorization)(
        ipv6_prefixes=("2001:db8:1::/64",), ipv6_addresses=("2001:db8::9",), delegated_prefixes=("2001:db8:2::/56",),
        chargeable_user_identity=b"cui")
    world.links.followers.tell("link_changed", link, link.authorization)
    groups = socket.inet_pton(socket.AF_INET6, identifier)[8:].hex(":", 2)
    for name, value in (("Framed_IPv6_Prefix", "2001:db8:1::/64"), ("Framed_IPv6_Address", "2001:db8::9"),
                        ("Delegated_IPv6_Prefix", "2001:db8:2::/56"), ("Chargeable_User_Identity", b"cui"),
                        ("Framed_Interface_Id", groups)):  # fmt: skip
        assert world.coa(**{name: value, "Idle_Timeout": 60}) == (ACK, ""), name


def test_what_a_link_has_from_pools_finds_it_as_long_as_it_has_it(world: DynamicWorld) -> None:
    _, link = world.client()
    for given in (Given(("2001:db8:1::/64",), (), ("2001:db8:2::/56",)), Given(("2001:db8:1::/64",))):
        link.ipv6 = SimpleNamespace(given=given, close=lambda: None)
        world.links.followers.tell("addresses_changed", link)
        for name, values in (("Framed_IPv6_Prefix", given.prefixes), ("Delegated_IPv6_Prefix", given.delegated)):
            for value in values:
                assert world.coa(**{name: value, "Idle_Timeout": 60}) == (ACK, "")
    assert world.coa(Delegated_IPv6_Prefix="2001:db8:2::/56", Idle_Timeout=60) == (NAK, "Session-Context-Not-Found")


def test_what_does_not_mean_us_is_refused(world: DynamicWorld) -> None:
    _, link = world.client()
    mismatch = (NAK, "NAS-Identification-Mismatch")
    assert world.disconnect(User_Name="u1@example.com", NAS_Identifier="lns8") == mismatch
    assert world.disconnect(User_Name="u1@example.com", NAS_IP_Address="192.0.2.2") == mismatch
    assert not link.ended
    assert world.disconnect(User_Name="u1@example.com", NAS_Identifier="lns7", NAS_IP_Address="192.0.2.1") == (ACK, "")


def test_a_repeated_request_is_answered_again_and_carried_out_once(world: DynamicWorld) -> None:
    _, link = world.client()
    packet = world.packet(False, User_Name="u1@example.com", Session_Timeout=100)
    world.give(packet)
    assert world.answer(packet) == (ACK, "")
    world.settle(20)
    world.give(packet)
    assert world.answer(packet) == (ACK, "")
    assert world.dynamic.counters.duplicates == 1
    world.later(79)
    assert not link.ended
    world.later(2)
    assert (link.ended, link.cause) == (True, "Session Timeout")


def test_strangers_and_wrong_secrets_get_no_answer_and_one_line(world: DynamicWorld) -> None:
    _, link = world.client()
    packet = world.packet(True, User_Name="u1@example.com")
    packet.secret = b"wrong"
    packet.encoded = packet.RequestPacket()
    for _ in range(3):
        world.give(packet)
    assert world.answer(packet) == (0, "")
    assert not link.ended
    assert world.lines == ["Disconnect or CoA from 192.0.2.50 dropped: not signed with the secret of this client"]


def test_a_session_timeout_counts_from_the_request_and_can_be_taken_away(world: DynamicWorld) -> None:
    _, link = world.client()
    _, other = world.client("u3@example.com", "pw3")
    world.later(50)
    for user in ("u1@example.com", "u3@example.com"):
        assert world.coa(User_Name=user, Session_Timeout=100) == (ACK, "")
    assert world.coa(User_Name="u3@example.com", Session_Timeout=0) == (ACK, "")
    world.later(99)
    assert not link.ended
    world.later(2)
    assert (link.ended, other.ended) == (True, False)
    world.later(5000, 60)
    assert not other.ended


def test_an_idle_timeout_holds_at_once(world: DynamicWorld) -> None:
    _, link = world.client()
    world.later(100)
    assert world.coa(Acct_Session_Id="run1-1", Idle_Timeout=30) == (ACK, "")
    world.later(40)
    assert (link.ended, link.cause) == (True, "Idle Timeout")


class Listening(Follower):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, Any]] = []

    def link_changed(self, link: Any, before: Any) -> None:
        self.heard.append((before, link.authorization))


def test_a_coa_gives_another_authorization_and_tells_who_follows(world: DynamicWorld) -> None:
    follower = Listening()
    world.links.followers.add(follower)
    _, link = world.client("u2@example.com", "pw2")
    routes = link.authorization.routes
    assert world.coa(
        ("Class", b"one"), ("Class", b"two"), User_Name="u2@example.com", WISPr_Bandwidth_Max_Up=1_000_000,
        Mikrotik_Rate_Limit="5M/10M", Acct_Interim_Interval=120, Port_Limit=2, Reply_Message="hello",
        Service_Type="Framed", Framed_Protocol="PPP", Framed_IPv6_Route="2001:db8:9::/48 ::",
        DNS_Server_IPv6_Address="2001:db8::53", Route_IPv6_Information="2001:db8:8::/48",
    ) == (ACK, "")  # fmt: skip
    (before, after) = follower.heard[0]
    assert after is link.authorization and before is not after
    assert (after.rate_up, after.rate_down) == (1_000_000, 10_000_000)
    assert (after.classes, after.interim_interval, after.port_limit) == ((b"one", b"two"), 120, 2)
    assert (after.ipv6_dns, after.ipv6_more_specific) == (("2001:db8::53",), ("2001:db8:8::/48",))
    assert after.routes[0] == routes[0] and after.routes[1].prefix == "2001:db8:9::/48"
    assert world.coa(User_Name="u2@example.com", Acct_Interim_Interval=120) == (ACK, "")
    assert len(follower.heard) == 1, "nothing has changed"
    assert "classes, port_limit 2" in world.lines[0]
    assert "one" not in world.lines[0].partition("user")[2].replace("IPv", "")


@pytest.mark.parametrize(
    ("named", "cause"),
    [
        ({"Framed_MTU": 1400}, "Unsupported-Attribute"),
        ({"Framed_Pool": "gold"}, "Unsupported-Attribute"),
        ({"Cisco_AVPair": "ip:vrf-id=red"}, "Unsupported-Attribute"),
        ({"Reply_Message": "x", "number": 19}, "Unsupported-Attribute"),
        ({"Mikrotik_Rate_Limit": "fast"}, "Invalid-Attribute-Value"),
        ({"Framed_Route": "nowhere"}, "Invalid-Attribute-Value"),
        ({"Service_Type": 1}, "Unsupported-Service"),
        ({}, "Missing-Attribute"),
    ],
)
def test_what_cannot_be_changed_refuses_the_whole_request(
    world: DynamicWorld, named: dict[str, Any], cause: str
) -> None:
    _, link = world.client()
    before = link.authorization
    if named:
        named = {**named, "Session_Timeout": 5, "Port_Limit": 9}
    assert world.coa(User_Name="u1@example.com", **named) == (NAK, cause)
    assert link.authorization is before
    world.later(10)
    assert not link.ended


def test_routes_of_pairs_are_routes_and_a_filter_that_is_not_there_may_be_refused() -> None:
    world = DynamicWorld(BLOCK + 'filter "slow" { rate_limit 64k }')
    _, link = world.client()
    pair = ("Cisco-AVPair", "ip:route=203.0.113.0 255.255.255.0")
    assert world.coa(pair, User_Name="u1@example.com", Framed_Route="198.51.100.0/24") == (ACK, "")
    assert [route.prefix for route in link.authorization.routes] == ["198.51.100.0/24", "203.0.113.0/24"]
    assert world.coa(User_Name="u1@example.com", Filter_Id="fast") == (ACK, "")
    link.profile.unknown_filter = "refuse"
    assert world.coa(User_Name="u1@example.com", Filter_Id="fast") == (NAK, "Invalid-Attribute-Value")
    assert world.coa(User_Name="u1@example.com", Filter_Id="slow") == (ACK, "")
    assert link.authorization.filters == ("slow",)


def test_routes_are_there_when_the_answer_comes_and_the_old_ones_are_gone(world: DynamicWorld) -> None:
    world.client("u2@example.com", "pw2")
    assert {prefix for prefix, _, _ in world.network.routes} == {"192.0.2.0/24"}
    assert world.coa(User_Name="u2@example.com", Framed_Route="203.0.113.0/24 0.0.0.0 5") == (ACK, "")
    assert {(prefix, metric) for prefix, _, metric in world.network.routes} == {("203.0.113.0/24", 5)}


def test_several_links_are_changed_and_ended_together(world: DynamicWorld) -> None:
    links = [world.client()[1] for _ in range(3)]
    assert world.coa(User_Name="u1@example.com", Port_Limit=5) == (ACK, "")
    assert [link.authorization.port_limit for link in links] == [5, 5, 5]
    assert world.disconnect(User_Name="u1@example.com", NAS_Port=2) == (ACK, "")
    world.settle(1)
    assert [link.ended for link in links] == [False, True, False]
    assert world.disconnect(User_Name="u1@example.com") == (ACK, "")
    world.settle(1)
    assert all(link.ended for link in links)
    assert world.lines[-1] == "Disconnect from 192.0.2.50: 2 links, the first is session-1: they end"


def test_several_links_are_refused_where_the_operator_wants_that() -> None:
    world = DynamicWorld(BLOCK.replace("address 192", "several_sessions refuse; address 192"))
    links = [world.client()[1] for _ in range(2)]
    assert world.disconnect(User_Name="u1@example.com") == (NAK, "Multiple-Session-Selection-Unsupported")
    assert not any(link.ended for link in links)


def test_what_cannot_be_carried_out_on_one_link_is_taken_back_on_all(world: DynamicWorld) -> None:
    links = [world.client()[1] for _ in range(3)]
    before = [link.authorization for link in links]
    apply = world.links.apply
    waiting: Deferred[None] = Deferred()

    def refusing(link: Any, authorization: Any) -> Any:
        apply(link, authorization)
        bad = link is links[1] and authorization is not before[1]
        return fail(ValueError("no room")) if bad else waiting

    world.links.apply = refusing  # type: ignore[method-assign]
    packet = world.packet(False, User_Name="u1@example.com", Port_Limit=5, Session_Timeout=3)
    world.give(packet)
    assert world.answer(packet) == (0, ""), "it is not over yet"
    waiting.callback(None)
    assert world.answer(packet) == (NAK, "Resources-Unavailable")
    assert [link.authorization for link in links] == before
    assert world.lines == ["CoA from 192.0.2.50: refused: Resources-Unavailable (no room)"]
    world.later(10)
    assert not any(link.ended for link in links)


def test_a_rate_that_the_kernel_refuses_is_a_nak_and_the_old_one_stays() -> None:
    world = DynamicWorld(BLOCK + 'user "slow@example.com" { password "pw"; rate_limit 1M/2M }')
    shaping = MemoryShaping()
    world.dynamic._rates = Rates(world.links, shaping, world.log)
    world.links.followers.add(world.dynamic._rates)
    _, link = world.client("slow@example.com", "pw")
    before = link.authorization
    shaping.refuse["ingress"] = 28
    assert world.coa(User_Name="slow@example.com", Mikrotik_Rate_Limit="3M/4M") == (NAK, "Resources-Unavailable")
    assert link.authorization == before
    assert sorted(shaping.limits.values()) == [1_000_000, 2_000_000]
    # what has nothing to do with rates is done all the same
    assert world.coa(User_Name="slow@example.com", Class=b"1") == (ACK, "")
    shaping.refuse.clear()
    assert world.coa(User_Name="slow@example.com", Mikrotik_Rate_Limit="3M/4M") == (ACK, "")
    assert sorted(shaping.limits.values()) == [3_000_000, 4_000_000]


def test_requests_of_any_shape_end_no_link_that_they_do_not_name(world: DynamicWorld) -> None:
    source = random.Random(5)
    _, link = world.client()
    good = world.packet(False, User_Name="u1@example.com", Session_Timeout=600, Filter_Id="x", Class=b"c",
                        Framed_Route="203.0.113.0/24", Mikrotik_Rate_Limit="1M/2M", Cisco_AVPair="ip:route=a").encoded
    seen: dict[int, int] = {}
    for number in range(3000):
        octets = mutated(source, good)
        if len(octets) >= 20:
            signature = hashlib.md5(octets[:4] + bytes(16) + octets[20:] + SECRET).digest()
            octets = octets[:4] + signature + octets[20:]
        Socket.opened[0].came.append((octets, AAA))
        next(reader for reader in world.readers if reader.socket is Socket.opened[0]).doRead()
        for data in Socket.opened[0].sent:
            seen[data[0]] = seen.get(data[0], 0) + 1
        Socket.opened[0].sent.clear()
        if number % 100 == 0:
            world.settle(1)
    assert not link.ended and link.up
    assert seen[44] > 5 and seen[45] > 300, seen
    assert not any("internal error" in line for line in world.lines)


def test_a_reload_keeps_the_socket_and_takes_over_clients(world: DynamicWorld) -> None:
    _, link = world.client()
    (before,) = Socket.opened
    text = CONFIG + BLOCK.replace('"s3cret"', '"n3w"').replace("lns7", "lns9")
    summary = world.configure(text)
    assert summary == "radius: 1 changed, client: 1 changed"
    world.dynamic.configure(world.config.radius)
    assert Socket.opened == [before]
    assert world.disconnect(User_Name="u1@example.com") == (0, "")
    assert not link.ended


def test_links_that_came_before_the_block_are_found_too() -> None:
    world = DynamicWorld("")
    _, link = world.client()
    assert world.configure(CONFIG + BLOCK).startswith("radius: 1 changed, dynamic_authorization: 1 added")
    world.dynamic.configure(world.config.radius)
    assert world.disconnect(User_Name="u1@example.com") == (ACK, "")
    world.configure(CONFIG)
    world.dynamic.configure(world.config.radius)
    assert (Socket.opened, len(world.dynamic.index)) == ([], 0)
    world.settle(1)
    assert link.ended


def test_an_address_that_is_taken_is_told_once_and_tried_again() -> None:
    world = DynamicWorld("")
    TAKEN.add("192.0.2.1")
    world.configure(CONFIG + BLOCK)
    world.dynamic.configure(world.config.radius)
    world.later(RETRY * 3)
    assert world.lines == ["no Disconnect and CoA on 192.0.2.1 port 3799: Address already in use"]
    TAKEN.clear()
    world.later(RETRY)
    assert world.dynamic.addresses == [LOCAL]
    TAKEN.add("192.0.2.1")
    world.dynamic.stop()
    assert not world.clock.getDelayedCalls() or all(
        call.func != world.dynamic._again for call in world.clock.getDelayedCalls())


def test_a_link_that_has_ended_leaves_nothing_behind(world: DynamicWorld) -> None:
    _, link = world.client()
    assert len(world.dynamic.index) == 1
    link.lost("Lost Carrier", "gone")
    assert len(world.dynamic.index) == 0
    assert not any(world.dynamic.index._tables)


def test_another_user_on_the_same_link_is_found_by_the_new_name_alone(world: DynamicWorld) -> None:
    _, link = world.client()
    link.user = "another"
    world.links.followers.tell("link_admitted", link)
    assert world.coa(User_Name="u1@example.com", Port_Limit=1)[0] == NAK
    assert world.coa(User_Name="another", Port_Limit=1)[0] == ACK


def test_a_look_up_does_not_grow_with_the_number_of_links(world: DynamicWorld) -> None:
    config = CONFIG.replace("10.5.1.100-10.5.1.102", "10.5.1.100-10.5.1.149")
    world.configure(config + BLOCK)
    names = {"user_name": "u1@example.com", "called_station_id": "0800"}
    world.client(row={"called_number": "0800"})
    few = steps(world.dynamic.index.find, Identification(**names))
    for _ in range(20):
        world.client("u3@example.com", "pw3", row={"called_number": "0800"})
    assert len(world.dynamic.index.find(Identification(called_station_id="0800"))) == 21
    assert steps(world.dynamic.index.find, Identification(**names)) <= few + 5
