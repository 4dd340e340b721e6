"""What accounting tells of links, in virtual time: every record as it goes to the queue."""

from __future__ import annotations

import random
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import succeed

from prol2tp.aaa.records import MOST_RECENT, Clocks, Recent, Stored, pack, unpack
from prol2tp.daemons.propppd.aaa import Question
from prol2tp.daemons.propppd.accounting import CHANGE_DELAY, JITTER, LEAST_INTERVAL, Accounting
from prol2tp.daemons.propppd.accounting_records import Session, request_of
from prol2tp.daemons.propppd.ipv6 import Given
from prol2tp.daemons.propppd.radius import grant_of
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.dataplane.interface import GONE, DataPathError
from prol2tp.ppp.link import Phase
from prol2tp.ppp.settings import LinkSettings
from prol2tp.ppp.states import Event
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import Nas
from prol2tp.radius.outputs import Accepted, Rejected
from prol2tp.spool.order import INTERIM, START, STOP
from tests.shell.propppd_world import Client
from tests.shell.test_propppd_radius import ROW, TEXT, RadiusWorld

KINDS = {START: "Start", INTERIM: "Interim-Update", STOP: "Stop"}
IPV4 = b"\x00\x21\x45" + bytes(19)


class AccountingWorld(RadiusWorld):
    """Records that were appended, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Stored] = []
        clocks = Clocks(self.links.wall, self.clock.seconds, "boot1")
        self.accounting = Accounting(self.links, clocks, self.source.session_id, lambda: self.source.nas)
        self.accounting.append = self.append
        self.links.followers.add(self.accounting)

    def append(self, session: str, kind: int, payload: bytes, event_time: float) -> Any:
        stored = unpack(payload)
        request = stored.request
        assert (session, KINDS[kind], int(event_time)) == (
            request.session_id, request.status, request.event_timestamp)
        self.stored.append(stored)
        return succeed(None)

    @property
    def told(self) -> list[AccountingRequest]:
        return [stored.request for stored in self.stored]

    @property
    def said(self) -> list[str]:
        return [record.status for record in self.told]

    def online(self, user: str = "r@example.com", **accept: Any) -> tuple[Any, Any]:
        client, link = self.client(user, "pw", row=ROW)
        self.accept(**accept)
        assert link.up
        return client, link

    def traffic(self, link: Any, received: int, sent: int) -> None:
        """Packets of 22 octets."""
        for _ in range(received):
            self.near.deliver(link.port, IPV4)
        for _ in range(sent):
            self.near.inject(link.port, IPV4[2:])


@pytest.fixture
def world() -> AccountingWorld:
    return AccountingWorld()


def test_a_start_says_who_where_and_with_which_address(world: AccountingWorld) -> None:
    _, link = world.client("r@example.com", "pw", row=ROW)
    asked = world.server.asked[0][0]
    world.accept(classes=(b"0x123", b"\0\xff"), chargeable_user_identity=b"cui", user_name="alias", dns=("10.0.0.53",))
    (record,) = world.told
    assert (record.status, record.user, record.authentic) == ("Start", "alias", "RADIUS")
    assert record.session_id == asked.acct_session_id
    assert (record.port, record.nas) == (asked.port, asked.nas)
    assert (record.classes, record.chargeable_user_identity) == ((b"0x123", b"\0\xff"), b"cui")
    assert record.addresses.ip_address == "10.1.2.3"
    assert record.event_timestamp == 1_500_000_000 + int(link.up_since)
    assert record.session_time is record.input_octets is record.terminate_cause is None


def test_a_name_that_is_no_text_is_told_as_it_was_asked_about(world: AccountingWorld) -> None:
    _, link = world.online()
    octets = b"m\xfcller@example.com"
    question = Question("pap", "m\ufffdller@example.com", 1, b"pw", b"", b"", False, link, name=octets)
    for answer, name in ((Answer(), octets), (Answer(user_name="alias"), "alias")):
        grant = grant_of(answer, question, "r1")
        link.user, link.authorization = grant.user, grant.authorization
        assert request_of(Session(link, 0, "1", True), "Start", 0.0, Nas()).user == name


def test_a_stop_has_what_passed_since_the_login_how_long_it_took_and_why_it_ended(world: AccountingWorld) -> None:
    client, link = world.online()
    before = world.near.ports[link.port].counters(0)
    world.traffic(link, 5, 3)
    world.later(42)
    client.driver.call(client.core.close)
    world.later(5)
    assert world.said == ["Start", "Stop"]
    start, stop = world.told
    assert (stop.session_id, stop.user, stop.classes, stop.addresses, stop.port) == (
        start.session_id, start.user, start.classes, start.addresses, start.port)
    assert stop.session_time == stop.event_timestamp - start.event_timestamp == 42
    assert stop.terminate_cause == 1
    totals = link.totals
    assert (stop.input_packets, stop.input_octets) != (0, 0)
    # LCP and the login passed before it, IPCP and the end of LCP are part of it
    assert 0 < totals[3] - stop.input_packets < before[3] and 0 < totals[1] - stop.output_octets < before[1]
    assert stop.input_octets >= 5 * len(IPV4) and stop.output_octets >= 3 * len(IPV4)
    assert world.accounting.idle


def test_who_is_refused_or_only_local_is_not_accounted(world: AccountingWorld) -> None:
    world.client("r@example.com", "pw")
    world.answer(Rejected(1, Answer(), "r1"))
    _, link = world.client()
    assert link.up
    link.lost("Lost Carrier", "")
    world.later(2)
    assert world.said == []
    assert Status(world.links, ConfigCounts(), "t", world.log).link(link)["radius"] is None


def test_a_profile_may_have_local_users_and_unknown_peers_accounted(world: AccountingWorld) -> None:
    text = world_text("accounting true").replace('profile "open" {', 'profile "open" { accounting true;')
    world.configure(text)
    _, link = world.client()
    _, other = world.client("", profile="open")
    assert link.up and other.up
    link.lost("Lost Carrier", "")
    other.lost("Lost Carrier", "")
    world.later(2)
    assert sorted(world.said) == ["Start", "Start", "Stop", "Stop"]
    assert {(record.user, record.authentic) for record in world.told} == {("u1@example.com", "Local"), ("", "Local")}


def world_text(profile: str = "", radius: str = "") -> str:
    return TEXT.replace("auth true", f"auth true; {profile}", 1).replace("nas_identifier", f"{radius}; nas_identifier")


def test_nothing_is_accounted_without_a_queue(world: AccountingWorld) -> None:
    world.accounting.append = None
    _, link = world.online()
    link.lost("Lost Carrier", "")
    world.later(2)
    assert world.said == [] and world.accounting.idle


def test_updates_come_at_the_interval_with_what_passed_until_then(world: AccountingWorld) -> None:
    world.accounting.interval = 100.0
    _, link = world.online()
    world.traffic(link, 1, 2)
    world.later(1050)
    link.lost("Lost Carrier", "")
    world.later(1)
    updates = world.told[1:-1]
    assert {record.status for record in updates} == {"Interim-Update"}
    times = [record.event_timestamp for record in world.told[:-1]]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(100 * (1 - JITTER) - 1 <= gap <= 101 for gap in gaps)
    assert [record.session_time for record in updates] == [at - times[0] for at in times[1:]]
    octets = [(record.input_octets, record.output_octets) for record in world.told[1:]]
    assert octets == sorted(octets)
    assert updates[0].input_octets >= len(IPV4)
    shown = Status(world.links, ConfigCounts(), "t", world.log).link(link)["radius"]
    assert shown["accounting_updates"] == len(updates)


@pytest.mark.parametrize(("profile", "radius", "accept", "expected"), [
    ("", 0, None, 0), ("", 300, None, 300), ("", 300, 600, 600), ("", 300, 0, 0), ("", 300, 5, LEAST_INTERVAL),
    ("interim_interval 10", 300, 600, 10), ("interim_interval 0", 300, 600, 0),
])
def test_the_interval_is_the_profiles_else_the_servers_else_the_general_one(
    world: AccountingWorld, profile: str, radius: int, accept: int | None, expected: float
) -> None:
    world.configure(world_text(profile or "mru 1500"))
    world.accounting.interval = float(radius)
    _, link = world.online(acct_interim_interval=accept)
    assert world.accounting.interval_of(link.accounting) == expected


def test_a_changed_address_is_told_once_soon_and_without_any_interval(world: AccountingWorld) -> None:
    _, link = world.online()
    for prefixes in ((), ("2001:db8:5::/56",), ("2001:db8:5::/56", "2001:db8:6::/56")):
        link.ipv6 = SimpleNamespace(given=Given(("2001:db8:1::/64",), (), prefixes), close=lambda: None)
        world.links.followers.tell("addresses_changed", link)
    world.later(CHANGE_DELAY + 1)
    world.accounting.addresses_changed(link)
    world.later(100)
    assert world.said == ["Start", "Interim-Update"]
    addresses = world.told[1].addresses
    assert addresses.delegated_ipv6_prefixes == ("2001:db8:5::/56", "2001:db8:6::/56")
    assert (addresses.ip_address, addresses.ipv6_prefixes) == ("10.1.2.3", ("2001:db8:1::/64",))
    link.lost("Lost Carrier", "")
    world.later(1)
    assert world.told[-1].addresses == addresses


def test_a_second_login_on_a_link_is_a_session_of_its_own(world: AccountingWorld) -> None:
    client, link = world.online()
    world.traffic(link, 4, 0)
    world.later(10)
    client.core.settings.user = "s@example.com"
    reopen(client)
    world.settle(1)
    (asked, _), = world.server.asked
    world.accept(framed_ip_address="10.1.2.9")
    world.traffic(link, 2, 0)
    world.later(20)
    link.lost("Lost Carrier", "")
    world.later(1)
    assert world.said == ["Start", "Stop", "Start", "Stop"]
    first, stop, second, last = world.told
    assert (stop.user, stop.session_id, stop.addresses.ip_address) == ("r@example.com", first.session_id, "10.1.2.3")
    assert (last.user, last.session_id, last.addresses.ip_address) == ("s@example.com", second.session_id, "10.1.2.9")
    assert first.session_id != second.session_id == asked.acct_session_id
    assert stop.session_time in (10, 11) and last.session_time in (20, 21)
    assert (stop.terminate_cause, last.terminate_cause) == (1, 2)
    assert stop.input_octets + last.input_octets < link.totals[4]
    assert stop.input_octets >= 4 * len(IPV4) and 2 * len(IPV4) <= last.input_octets < stop.input_octets


def reopen(client: Any) -> None:
    """The client negotiates LCP anew."""
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)


def test_a_start_that_waits_for_an_address_is_told_when_it_comes_or_after_a_second_or_with_the_end(
    world: AccountingWorld
) -> None:
    world.configure(world_text("mru 1500").replace('ip_pool "pool1"\n', "", 1))
    said: list[list[str]] = []
    for what in ("login", "end", "nothing"):
        world.stored.clear()
        client, link = world.client(f"r{len(said)}@example.com", "pw", row=ROW)
        began = world.links.wall()
        world.server.asked.pop()[1].callback(Accepted(1, Answer(), "r1"))
        world.settle(0.2)
        assert link.up and "ip" not in client.networks and world.said == []
        if what == "nothing":
            world.later(1.5)
            assert world.said == ["Start"]
        if what == "login":
            reopen(client)
            world.settle(0.2)
            world.accept(framed_ip_address="10.1.2.7")
            assert [record.addresses.ip_address for record in world.told] == ["", "", "10.1.2.7"]
        link.lost("Lost Carrier", "")
        world.settle(1)
        assert world.told[0].event_timestamp == int(began)
        said.append(world.said)
    assert said == [["Start", "Stop", "Start", "Stop"], ["Start", "Stop"], ["Start", "Stop"]]


def test_a_port_that_carried_an_earlier_link_counts_from_the_login_on(world: AccountingWorld) -> None:
    client, link = world.online()
    world.traffic(link, 50, 50)
    link.lost("Lost Carrier", "")
    world.later(1)
    assert world.attach(world.row(link.port, id="2/7", **ROW)) == [None]
    again = world.links.by_port[link.port]
    Client(world, client.port, LinkSettings(user="s@example.com", password="pw")).open()
    world.settle()
    world.accept(framed_ip_address="10.1.2.4")
    assert again.up
    world.traffic(again, 7, 6)
    again.lost("Lost Carrier", "")
    world.later(1)
    first, second = [record for record in world.told if record.status == "Stop"]
    assert first.session_id != second.session_id
    assert first.input_packets >= 50 <= first.output_packets
    assert 7 <= second.input_packets < 20 and 6 <= second.output_packets < 20


def test_a_data_path_that_is_lost_leaves_what_was_known_last(world: AccountingWorld) -> None:
    world.accounting.interval = 10.0
    _, link = world.online()
    world.traffic(link, 7, 0)
    world.later(15)
    known = world.told[-1]
    world.traffic(link, 7, 0)
    world.near.refuse["counters"] = DataPathError(GONE, "gone")
    world.links.path_lost("the data path is gone")
    world.settle(1)
    stop = world.told[-1]
    assert (stop.status, stop.terminate_cause) == ("Stop", 9)
    assert (stop.input_octets, stop.output_octets) == (known.input_octets, known.output_octets)
    assert stop.session_time in (15, 16)


def check(records: list[AccountingRequest]) -> None:
    """What holds of the records of one session."""
    statuses = [record.status for record in records]
    assert statuses[0] == "Start" and statuses[-1] == "Stop"
    assert set(statuses[1:-1]) <= {"Interim-Update"}
    assert len({(record.user, record.authentic) for record in records}) == 1
    assert len({(record.port.nas_port, record.port.nas_port_id) for record in records}) == 1
    for before, after in pairwise(records[1:]):
        for name in ("session_time", "input_octets", "output_octets", "input_packets", "output_packets"):
            assert getattr(before, name) <= getattr(after, name)
    stop = records[-1]
    assert stop.terminate_cause and stop.session_time <= stop.event_timestamp - records[0].event_timestamp + 1


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_each_session_has_one_start_and_one_stop_and_no_octet_is_told_twice(seed: int) -> None:
    chance = random.Random(seed)
    world = AccountingWorld()
    world.configure(world_text("mru 1500"))
    world.accounting.interval = chance.choice((0.0, 7.0))
    ends: list[tuple[Any, Any]] = []

    def answer() -> None:
        while world.server.asked:
            if chance.random() < 0.8:
                world.accept(framed_ip_address=f"10.1.{len(ends)}.{chance.randrange(1, 5)}")
            else:
                world.answer(Rejected(1, Answer(), "r1"))

    for _ in range(60):
        choice = chance.randrange(8)
        if choice < 2 and len(ends) < 6:
            ends.append(world.client(f"r{len(ends)}@example.com", "pw", row=ROW))
            answer()
        elif not ends:
            continue
        client, link = chance.choice(ends)
        if choice == 2 and not link.ended and client.core.phase is Phase.NETWORK:
            client.core.settings.user = f"v{chance.randrange(100)}@example.com"
            reopen(client)
            world.settle(chance.choice((0.0, 2.0)))
            answer()
        elif choice == 3 and link.up:
            world.traffic(link, chance.randrange(5), chance.randrange(5))
        elif choice == 4:
            world.later(chance.randrange(1, 12))
            answer()
        elif choice == 5 and chance.random() < 0.4:
            link.lost("Lost Carrier", "")
        elif choice == 6 and chance.random() < 0.4:
            link.close("Admin Reset", "")
        elif choice == 7 and link.up and chance.random() < 0.5:
            world.links.followers.tell("link_changed", link, link.authorization)
    for _, link in ends:
        link.lost("Lost Carrier", "")
    world.later(10)
    assert world.accounting.idle and len(world.accounting._due) == 0
    sessions: dict[str, list[AccountingRequest]] = {}
    octets: dict[int, list[int]] = {}
    for record in world.told:
        sessions.setdefault(record.session_id, []).append(record)
    for records in sessions.values():
        check(records)
        port = octets.setdefault(records[-1].port.nas_port or 0, [])
        port.append(records[-1].input_octets or 0)
    # no protocol goes down and up again without a new login here
    assert len(sessions) == world.links.counts.up > 0
    for _, link in ends:
        assert sum(octets.get(link.number, ())) <= link.totals[4]


def test_a_record_that_was_made_a_moment_ago_is_not_read_again() -> None:
    def stored(number: int) -> Stored:
        request = AccountingRequest("Start", f"s{number}", 1_500_000_000, user="u", nas=Nas(identifier="lns"))
        return Stored(request, 12.5, "boot1", 7, (1, 2, 3), "path")

    recent, first = Recent(), stored(0)
    payload = recent.pack(first)
    assert payload == pack(first) and recent.unpack(payload) is first
    again = recent.unpack(payload)
    assert again == first and again is not first
    payloads = [recent.pack(stored(number)) for number in range(MOST_RECENT + 100)]
    assert len(recent._stored) == MOST_RECENT
    assert [recent.unpack(one).request.session_id for one in payloads] == [f"s{n}" for n in range(MOST_RECENT + 100)]
    assert not recent._stored
