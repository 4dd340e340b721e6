"""Accounting of routes: every session is started and stopped, with its tunnel, its counters and its cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prol2tp.control.commands.proacd import COMMANDS, RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.proacd.accounting import UPDATED_AT_ONCE
from prol2tp.daemons.proacd.profiles import file_of, forgotten
from prol2tp.radius import accounting, packets
from prol2tp.radius.attributes import IPV4
from prol2tp.radius.dictionary import BY_KEY
from prol2tp.radius.tunnels import TunnelGroup
from tests.shell.accounting_world import DirectQueue
from tests.shell.proacd_radius_world import LNS, World, row

FIRST = replace(LNS, preference=1)
SECOND = TunnelGroup(2, server_endpoint="192.0.2.2", preference=9)


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prol2tp.aaa.service.AccountingQueue", DirectQueue)


class AccountedWorld(World):
    def __init__(self, directory: Path, profile: str = "", destination: str = "") -> None:
        super().__init__(profile, destination, str(directory))
        self.profile = self.profiles.by_name["aaa"]
        self.records: list[Any] = []
        self.told()

    def told(self) -> list[str]:
        """What servers have heard since."""
        self.settle()
        taken = self.acknowledge()
        self.records += taken
        return [record.status for record in taken]

    def online(self, *groups: TunnelGroup, tunnel: int = 100, **answer: Any) -> Any:
        user = self.user()
        route = user.dial()
        self.accept(*(groups or (LNS,)), **answer)
        self.calls[-1].up(tunnel)
        return route


@pytest.fixture
def world(tmp_path: Path, direct: None) -> AccountedWorld:
    return AccountedWorld(tmp_path)


def wire(record: Any) -> dict[str, bytes]:
    data, _ = accounting.encode(record, 0, 1, b"x")
    return {BY_KEY[key].name: value for key, value in packets.attributes(packets.decode(data, b"x"))}


def test_a_session_has_a_start_with_its_tunnel_and_a_stop_with_its_counters_and_cause(world: AccountedWorld) -> None:
    assert [record.status for record in world.records] == ["Accounting-On"]
    route = world.online(classes=(b"gold",), user_name="Customer 7", chargeable_user_identity=b"cui")
    assert world.told() == ["Start"]
    start = world.records[-1]
    tunnel = start.port.tunnel
    assert (start.user, start.classes, start.authentic, start.chargeable_user_identity) == (
        "Customer 7", (b"gold",), "RADIUS", b"cui")
    assert (tunnel.medium, tunnel.client_endpoint, tunnel.server_endpoint, tunnel.connection) == (
        IPV4, "192.0.2.99", "192.0.2.1", "77")
    assert (tunnel.assignment_id, tunnel.client_auth_id, tunnel.server_auth_id) == ("isp", "lac1", "lns1")
    on_wire = wire(start)
    assert on_wire["Acct-Tunnel-Connection"] == b"77" and on_wire["Agent-Circuit-Id"] == b"eth 1/0:7"
    assert start.session_id == route.accounting.id
    route.source.counters = row(1 << 33, 2000, 30, 40)
    world.settle(100)
    world.calls[0].end("User Request", "bye")
    assert world.told() == ["Stop"]
    stop = world.records[-1]
    assert (stop.session_time, stop.input_octets, stop.output_octets, stop.input_packets, stop.output_packets) == (
        100, 1 << 33, 2000, 30, 40)
    assert (stop.session_id, stop.terminate_cause, stop.port.tunnel) == (start.session_id, 1, tunnel)
    assert wire(stop)["Acct-Input-Gigawords"] == (2).to_bytes(4, "big")
    assert stop.event_timestamp == start.event_timestamp + 100
    assert world.profile.accounting.idle


def test_the_access_request_and_all_records_have_one_id_and_no_two_sessions_the_same(world: AccountedWorld) -> None:
    ids = []
    for _ in range(3):
        user = world.user()
        user.dial()
        asked = world.request.acct_session_id
        world.accept(LNS)
        world.calls[-1].up()
        world.told()
        assert world.records[-1].session_id == asked
        ids.append(asked)
    again = world.make("aaa", world.config.radius["aaa"])
    assert len(set(ids)) == 3 and again.run != world.profile.run
    again.accounting._run = world.profile.run
    assert again.accounting._identifier() not in ids


def test_updates_come_as_the_server_or_the_profile_says(world: AccountedWorld) -> None:
    route = world.online(acct_interim_interval=10)
    assert world.told() == ["Start"]
    world.plane.counts[route.source.port] = row(5, 6, 7, 8)
    world.settle(53)
    assert world.told() == [], "no server may ask for more than one a minute"
    world.settle(8)
    assert world.told() == ["Interim-Update"]
    record = world.records[-1]
    assert (record.input_octets, record.output_octets, record.terminate_cause) == (5, 6, None)
    assert 53 <= record.session_time <= 61
    world.configure("interim_interval 30")
    world.online()
    world.told()
    world.settle(31)
    assert world.told() == ["Interim-Update"]
    world.configure("")
    world.settle(200)
    assert set(world.told()) == {"Interim-Update"} and len(world.profile.accounting._due) == 1


def test_sessions_that_end_while_others_are_updated_hold_up_nobody(world: AccountedWorld) -> None:
    routes = []
    for _ in range(2 * UPDATED_AT_ONCE + 20):
        user = world.user()
        routes.append(user.dial())
        world.accept(LNS, acct_interim_interval=60)
        world.calls[-1].up()
        world.users.clear()
    world.told()
    count = world.plane.counters

    def counters(ports: list[int]) -> Any:
        world.plane.counters = count  # type: ignore[method-assign]
        for session in list(world.profile.accounting._updating)[:UPDATED_AT_ONCE]:
            session.route.close("Admin Reset")
        return count(ports)

    world.plane.counters = counters  # type: ignore[method-assign]
    for session in world.profile.accounting.open:
        world.profile.accounting._due.set(session, world.clock.seconds() + 59)
    world.settle(60)
    told = Counter(world.told())
    assert told == {"Interim-Update": UPDATED_AT_ONCE + 20, "Stop": UPDATED_AT_ONCE}


def test_the_last_counters_that_are_known_are_told_when_the_data_path_is_gone(world: AccountedWorld) -> None:
    route = world.online(acct_interim_interval=60)
    world.plane.counts[route.source.port] = row(5, 6, 7, 8)
    world.settle(61)
    route.source.counters = None
    route.close("NAS Error", "the data path is gone")
    assert world.told() == ["Start", "Stop"] or world.records[-1].status == "Stop"
    assert (world.records[-1].input_octets, world.records[-1].terminate_cause) == (5, 9)


def test_what_never_came_up_and_local_ppp_are_not_accounted(tmp_path: Path, direct: None) -> None:
    world = AccountedWorld(tmp_path, "", 'ppp_profile "users"')
    user = world.user()
    user.dial()
    world.reject("no")
    world.settle(5)
    world.user().dial()
    world.accept()
    world.calls[-1].up()
    world.calls[-1].end()
    world.user().dial()
    world.accept(LNS)
    world.calls[-1].fail(True)
    assert world.told() == []


def test_a_session_that_comes_up_at_its_second_lns_is_told_with_that_one(world: AccountedWorld) -> None:
    world.user().dial()
    world.accept(FIRST, SECOND)
    world.calls[0].fail(True)
    world.calls[0].up()
    assert world.told() == ["Start"]
    assert world.records[-1].port.tunnel.server_endpoint == "192.0.2.2"
    assert world.records[-1].port.tunnel.assignment_id == ""


def test_tunnels_and_links_are_told_where_the_profile_says(tmp_path: Path, direct: None) -> None:
    world = AccountedWorld(tmp_path, "accounting sessions links tunnels")
    first, second = world.online(), world.online()
    assert Counter(world.told()) == {"Tunnel-Start": 1, "Start": 2, "Tunnel-Link-Start": 2}
    tunnel = next(record for record in world.records if record.status == "Tunnel-Start")
    assert tunnel.port.tunnel.server_endpoint == "192.0.2.1" and "User-Name" not in wire(tunnel)
    assert "NAS-Port-Type" not in wire(tunnel)
    links = [record for record in world.records if record.status == "Tunnel-Link-Start"]
    assert {link.multi_session_id for link in links} == {tunnel.session_id}
    assert {link.session_id for link in links} == {first.accounting.id, second.accounting.id}
    world.settle(10)
    first.source.counters, second.source.counters = row(1, 2, 3, 4), row(10, 20, 30, 40)
    first.close("Admin Reset")
    assert Counter(world.told()) == {"Stop": 1, "Tunnel-Link-Stop": 1}
    second.close("Admin Reset")
    assert Counter(world.told()) == {"Stop": 1, "Tunnel-Link-Stop": 1, "Tunnel-Stop": 1}
    stop = next(record for record in world.records if record.status == "Tunnel-Stop")
    assert (stop.session_id, stop.session_time, stop.link_count, stop.terminate_cause) == (
        tunnel.session_id, 10, 2, 6)
    assert (stop.input_octets, stop.output_octets, stop.input_packets, stop.output_packets) == (11, 22, 33, 44)
    world.online()
    assert "Tunnel-Start" in world.told()


def test_lnss_that_refuse_are_told_too(tmp_path: Path, direct: None) -> None:
    world = AccountedWorld(tmp_path, "accounting links tunnels")
    world.user().dial()
    world.accept(FIRST, SECOND)
    world.calls[0].fail(True, "Service Unavailable")
    assert world.told() == ["Tunnel-Reject"]
    reject = world.records[-1]
    assert (reject.port.tunnel.server_endpoint, reject.terminate_cause) == ("192.0.2.1", 15)
    world.calls[0].fail(False, "NAS Error")
    assert world.told() == ["Tunnel-Link-Reject"]
    assert world.records[-1].port.tunnel.server_endpoint == "192.0.2.2"
    world.configure("accounting sessions")
    world.user().dial()
    world.accept(LNS)
    world.calls[-1].fail(True)
    assert world.told() == []


@pytest.mark.parametrize(("server", "host", "medium"), [
    ("192.0.2.1:1702", "192.0.2.1", 1), ("[2001:db8::1]:1702", "2001:db8::1", 2), ("2001:db8::1", "2001:db8::1", 2),
    ("lns.example:1702", "lns.example", 1), ("192.0.2.1", "192.0.2.1", 1),
])
def test_an_lns_that_was_never_there_is_told_by_its_address(
    tmp_path: Path, direct: None, server: str, host: str, medium: int
) -> None:
    world = AccountedWorld(tmp_path, "accounting tunnels")
    world.user().dial()
    world.accept(TunnelGroup(1, server_endpoint=server, client_endpoint="192.0.2.7"))
    world.calls[0].peer = world.calls[0].local = ""
    world.calls[0].fail(True)
    world.told()
    tunnel = world.records[-1].port.tunnel
    assert (tunnel.server_endpoint, tunnel.medium, tunnel.client_endpoint) == (host, medium, "192.0.2.7")


def test_sessions_that_a_killed_daemon_left_get_their_stop_from_what_the_data_path_knows(
    tmp_path: Path, direct: None
) -> None:
    world = AccountedWorld(tmp_path, "accounting sessions links tunnels")
    route = world.online()
    told = world.told()
    assert len(told) == 3
    world.profile.queue.queue.file.close()
    again = World("accounting sessions links tunnels", state_dir=str(tmp_path))
    profile = again.profiles.by_name["aaa"]
    profile.accounting._run = profile.run = profile.queue.run = "next"
    again.plane.counts[route.source.port] = row(5, 6, 7, 8)
    again.profiles.path_ready(again.plane)
    again.settle()
    records = [record for record in again.acknowledge() if record.status != "Accounting-On"]
    assert Counter(record.status for record in records) == {"Stop": 1, "Tunnel-Link-Stop": 1, "Tunnel-Stop": 1}
    stop = next(record for record in records if record.status == "Stop")
    assert (stop.session_id, stop.terminate_cause, stop.input_octets) == (route.accounting.id, 11, 5)


def test_a_profile_that_the_file_has_no_longer_ends_its_sessions_with_a_stop(world: AccountedWorld) -> None:
    route = world.online()
    assert world.told() == ["Start"]
    world.profiles.configure({})
    assert world.profiles.by_name == {} and world.profiles.all == [world.profile]
    route.close("Admin Reset")
    assert world.told() == ["Stop"]
    world.configure("")
    assert world.profiles.by_name == {"aaa": world.profile} and world.profiles.all == [world.profile]


def test_accounting_that_is_turned_off_still_ends_what_it_began(world: AccountedWorld) -> None:
    route = world.online()
    assert world.told() == ["Start"]
    world.configure("accounting off")
    world.online()
    route.close("Admin Reset")
    assert world.told() == ["Stop"]


def test_the_end_of_the_daemon_waits_for_records_and_says_accounting_off(world: AccountedWorld) -> None:
    world.online()
    world.told()
    world.routes.end_all("Admin Reboot", "proacd stops")
    done = world.profiles.stop()
    world.settle(0.5)
    assert not done.called
    assert world.told() == ["Stop", "Accounting-Off"]
    world.settle(0.5)
    assert done.called


def test_queues_of_profiles_that_there_are_no_longer_are_found(tmp_path: Path) -> None:
    for name in ("aaa", "b/b"):
        (tmp_path / file_of(name)).write_text("")
    (tmp_path / f"{file_of('aaa')}-wal").write_text("")
    (tmp_path / "propppd-accounting.sqlite").write_text("")
    assert forgotten(str(tmp_path), ["aaa"]) == [file_of("b/b")]
    assert forgotten(str(tmp_path), ["aaa", "b/b"]) == [] == forgotten(str(tmp_path / "nowhere"), [])


def test_the_servers_of_all_profiles_are_shown(world: AccountedWorld) -> None:
    answer = world.profiles.responders()["Servers"](None)
    rows = answer["rows"]
    assert [(row["name"], row["kind"], row["address"]) for row in rows] == [
        ("aaa/192.0.2.53", "auth", "192.0.2.53:1812"), ("aaa/192.0.2.53", "acct", "192.0.2.53:1813")]
    assert [text for row in rows for text in problems(row, RECORDS[COMMANDS["Servers"].rows], RECORDS)] == []
    assert [row["kind"] for row in world.profiles.server_rows(None, 1)["rows"]] == ["auth"]


def test_every_profile_has_a_queue_of_its_own_whatever_its_name(tmp_path: Path) -> None:
    assert file_of("aaa") == "proacd-accounting-aaa.sqlite"
    assert "/" not in file_of("../a/b") and file_of("a b") != file_of("a_b")
    assert len(file_of("x" * 255)) < 255


def test_status_has_the_queue_and_the_counters_of_all_profiles(world: AccountedWorld) -> None:
    world.online()
    record = world.profiles.queue_record()
    assert record is not None and record["depth"] == 1
    world.told()
    record = world.profiles.queue_record()
    assert record is not None and record["depth"] == 0
    assert world.profiles.counters.successes == 1
    assert World().profiles.queue_record() is None
