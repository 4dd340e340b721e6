"""What commands show of proacd and change in it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import succeed

from prol2tp.cli import access
from prol2tp.config.proacd import load
from prol2tp.control.command import ControlError, Invalid, NotFound, Refused
from prol2tp.control.commands.proacd import COMMANDS, EVENTS, RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd import trace as traces
from prol2tp.daemons.proacd.announce import Announcements
from prol2tp.daemons.proacd.commands import Commands
from prol2tp.daemons.proacd.maclists import FILE, MacLists
from prol2tp.daemons.proacd.status import Status, exit_codes
from prol2tp.daemons.proacd.trace import Filter, Trace
from prol2tp.pppoe.packets import PADT
from prol2tp.pppoe.tags import Line
from tests.shell.proacd_radius_world import World
from tests.shell.proacd_world import CONFIG, ProacdWorld, result

QUIET = Log("test.commands", Level.CRITICAL)


class Told(ProacdWorld):
    """With the responders of the control channel."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        parts = self.parts
        self.levels: list[Level] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.macs = MacLists(str(directory), QUIET)
        parts.hosts = self.macs.merged
        self.trace = Trace(self._traced, lambda: 1_000_000 + self.clock.seconds())
        parts.routes.followers += (self.trace, Announcements(lambda event, **data: self.events.append((event, data))))
        status = Status(parts, "/etc/prol2tp/proacd.conf", lambda moment: 1_000_000 + moment, 5.0, lambda: Level.INFO)
        self.commands = Commands(self.clock, parts, status, self.macs, self.trace, self.levels.append, lambda: "",
                                 dict)

    def _traced(self, on: bool) -> None:
        self.parts.discovery.core.trace = self.trace.discovery if on else None

    def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        answer = self.commands.table()[command](None, **arguments)
        if isinstance(answer, dict):
            return answer
        found: list[Any] = []
        answer.addBoth(found.append)
        self.settle()
        return result(answer) if not found else found[0]

    def rows(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """All pages, whose records have their shape."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.call(command, cursor=cursor, limit=3, **arguments)
            rows += page["rows"]
            cursor = page["cursor"]
            if not cursor:
                break
        record = RECORDS[COMMANDS[command].rows]
        assert [text for row in rows for text in problems(row, record, RECORDS)] == []
        return rows


@pytest.fixture
def world(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_every_command_but_those_of_events_radius_and_history_has_a_responder(world: Told) -> None:
    others = {"Subscribe", "Trace", "Unsubscribe", "Servers", "ListHistory"}
    assert set(world.commands.table()) == set(COMMANDS) - others


def test_status_has_its_shape_and_true_counters(world: Told) -> None:
    world.dialled()
    world.propppd.change(world.dialled("local").world.routes[1].destination.id, "closed", cause="Idle Timeout")
    world.settle()
    status = world.call("Status")["status"]
    assert problems(status, RECORDS["status"], RECORDS) == []
    routing = status["routing"]
    assert (status["routes"], routing["routes_created"], routing["closed_by_destination"]) == (1, 2, 1)
    assert (status["pppoe"]["padi_received"], status["pppoe"]["padt_sent"]) == (2, 1)
    assert (status["l2tp"]["tunnels_opened"], status["l2tp"]["sessions_opened"]) == (1, 1)
    assert (status["pppd"]["started"], status["pppd"]["exit_codes"]["Idle timeout"]) == (1, 1)
    assert "        Idle timeout: 1" in access.status(status)
    assert status["ac_name"].endswith(" lac") and not status["draining"]


def test_causes_that_pppd_does_not_know_count_as_other() -> None:
    found = exit_codes({"Peer Dead": 2, "Port Error": 3, "Service Unavailable": 1})
    assert (found["Peer dead"], found["Other"], sum(found.values())) == (2, 4, 6)


# routes


def test_routes_are_listed_in_their_order_all_or_of_one_block(world: Told) -> None:
    for service in ("static", "local", "static", "static", "radius"):
        world.host(service).dial()
        world.settle()
    world.prol2tpd.offer("7/8")
    world.settle()
    rows = world.rows("ListRoutes")
    assert [row["name"] for row in rows] == ["static", "local", "static", "static", "radius", "switch"]
    assert [row["state"] for row in rows] == ["joined"] * 4 + ["choosing", "joined"]
    assert rows[4]["destination"] is None
    assert [row["source"]["peer_mac"] for row in world.rows("ListRoutes", name="static")] == [
        "06:00:00:00:00:01", "06:00:00:00:00:03", "06:00:00:00:00:04"]
    assert world.rows("ListRoutes", name="none") == []
    number = rows[0]["number"]
    assert world.call("ShowRoute", number=number)["route"] == rows[0]
    assert access.route(rows[0]) == [
        f"Route 'static' {number}:",
        f"    Source     : PPPoE interface eth0 session {rows[0]['source']['session_id']}",
        "                 service name 'static' (advertised)",
        "                 peer MAC 06:00:00:00:00:01",
        "    Destination: L2TP tunnel 100 session 1",
    ]
    text = list(access.routes([rows], verbose=True))
    assert "    Destination: PPP profile 'users'" in text and "    Destination: none yet (choosing)" in text
    with pytest.raises(NotFound, match="there is no route 70000"):
        world.call("ShowRoute", number=70000)


def test_routes_of_a_user_a_host_and_a_line_are_found_with_bounded_pages(world: Told) -> None:
    for number in range(7):
        world.dialled("local" if number == 5 else "static")
    for route in world.routes:
        if route.name == "local":
            world.propppd.change(route.destination.id, "up", user="u6")
        if route.source.calling_number == "06:00:00:00:00:03":
            route.source.line = Line(b"dslam 1/2", b"home")
    (found,) = world.rows("ListRoutes", user="u6")
    assert found["name"] == "local"
    assert [row["source"]["peer_mac"] for row in world.rows("ListRoutes", mac="06:00:00:00:00:02")] == [
        "06:00:00:00:00:02"]
    for line in ("dslam 1/2", "home"):
        assert [row["source"]["peer_mac"] for row in world.rows("ListRoutes", line=line)] == ["06:00:00:00:00:03"]
    assert world.rows("ListRoutes", user="nobody") == []
    first = world.call("ListRoutes", user="u6", limit=3)
    assert first["rows"] == [] and first["cursor"]


def test_a_route_is_closed_by_number_name_or_host(world: Told) -> None:
    hosts = [world.dialled(), world.dialled(), world.dialled("local"), world.dialled("named")]
    number = world.routes[0].number
    assert world.call("CloseRoute", number=number) == {"closed": 1}
    assert world.call("CloseRoute", name="local") == {"closed": 1}
    assert world.call("CloseRoute", mac="06:00:00:00:00:02") == {"closed": 1}
    world.settle()
    assert [route.name for route in world.routes] == ["named"]
    assert all(isinstance(host.answers[-1], PADT) for host in hosts[:3])
    assert {route.cause for route in world.watcher.closed} == {"Admin Reset"}
    for wrong in ({"number": number}, {"name": "local"}, {"mac": "06:00:00:00:00:02"}):
        with pytest.raises(NotFound):
            world.call("CloseRoute", **wrong)
    for none_or_two in ({}, {"name": "named", "number": 1}, {"mac": "06:00"}):
        with pytest.raises((Invalid, Refused)):
            world.call("CloseRoute", **none_or_two)
    world.check()


def test_all_routes_of_a_name_close_without_stopping_the_daemon_for_it(world: Told) -> None:
    for _ in range(30):
        world.host().dial()
    world.settle()
    assert len(world.routes) == 30
    assert world.call("CloseRoute", name="static") == {"closed": 30}
    world.nothing_left()


# interfaces, destinations


def test_interfaces_say_whom_they_serve_or_why_nobody(world: Told) -> None:
    world.dialled()
    world.set_link("eth1", up=False)
    eth0, eth1 = world.rows("ListInterfaces")
    assert (eth0["name"], eth0["state"], eth0["sessions"], eth0["mtu"]) == ("eth0", "up", 1, 1500)
    assert eth0["services"] == ["static", "named", "local", "radius"] and eth0["vlans"] == ["untagged"]
    assert (eth1["name"], eth1["state"], eth1["mac"]) == ("eth1", "is down", "")


def test_a_destination_is_drained_and_comes_back(world: Told) -> None:
    world.dialled()
    assert world.call("Drain", on=True, destination="192.0.2.1") == {"known": True, "sessions": 1}
    assert world.call("Drain", on=False, destination="192.0.2.7") == {"known": False, "sessions": 0}
    world.dialled()
    assert [route.place.name for route in world.routes] == ["192.0.2.1", "192.0.2.2"]
    states = {row["name"]: (row["state"], row["sessions"]) for row in world.rows("ListDestinations")}
    assert states == {"192.0.2.1": ("draining", 1), "192.0.2.2": ("up", 1)}
    world.call("Drain", on=False, destination="192.0.2.1")
    world.dialled()
    assert world.routes[-1].place.name == "192.0.2.1"
    with pytest.raises(Invalid):
        world.call("Drain", on=True, destination="")


def test_a_lockout_is_ended_by_command(world: Told) -> None:
    world.prol2tpd.dead.add("192.0.2.1")
    world.dialled()
    assert world.rows("ListDestinations")[0]["state"] == "locked"
    world.prol2tpd.dead.clear()
    world.call("Unlock", destination="192.0.2.1")
    world.dialled()
    assert world.routes[-1].place.name == "192.0.2.1"
    with pytest.raises(NotFound, match="192.0.2.2 is not locked out"):
        world.call("Unlock", destination="192.0.2.2")


def test_a_daemon_that_drains_offers_nothing_and_keeps_what_is_up(world: Told) -> None:
    world.dialled()
    assert world.call("Drain", on=True) == {"known": True, "sessions": 1}
    refused = world.dialled()
    assert not refused.answers and len(world.routes) == 1
    assert world.call("Status")["status"]["draining"]
    assert world.prol2tpd.offer("7/8") is not None
    world.call("Drain", on=False)
    assert world.dialled().session_id and not world.call("Status")["status"]["draining"]
    world.parts.configure(load("system { drain true }" + CONFIG, "test.conf"))
    with pytest.raises(Refused, match="the configuration says drain"):
        world.call("Drain", on=False)


# lists of hosts


def test_a_host_that_is_denied_by_command_is_kept_out_over_a_restart(world: Told, tmp_path: Path) -> None:
    world.call("AddMac", list="deny", mac="06:00:00:00:00:01")
    assert not world.dialled().answers
    assert world.dialled().session_id
    again = Told(tmp_path)
    again.parts.refresh()
    assert not again.dialled().answers
    assert again.rows("ListMacs") == [
        {"interface": "", "list": "deny", "mac": "06:00:00:00:00:01", "origin": "local"}]
    again.call("RemoveMac", list="deny", mac="06:00:00:00:00:01")
    assert again.host().dial() and json.loads((tmp_path / FILE).read_text()) == []
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) & 0o027 == 0


def test_with_one_host_allowed_all_others_are_kept_out_on_that_interface(world: Told) -> None:
    world.call("AddMac", list="allow", mac="06:00:00:00:00:02", interface="eth0")
    assert not world.dialled().answers
    assert world.dialled().session_id
    assert world.dialled(interface="eth1").session_id
    world.call("AddMac", list="allow", mac="06:00:00")
    assert world.dialled().session_id


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"list": "grey", "mac": "06:00:00:00:00:02"}, "list: must be allow or deny"),
        ({"list": "deny", "mac": "06-00"}, "06-00 is no MAC address"),
        ({"list": "deny", "mac": "06:00:00:00:00:02", "interface": "eth7"}, "no route names an interface eth7"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_line(world: Told, wrong: dict[str, str], error: str) -> None:
    with pytest.raises(ControlError, match=error):
        world.call("AddMac", **wrong)
    assert len(world.macs) == 0


def test_an_entry_that_is_not_there_cannot_be_removed(world: Told) -> None:
    world.call("AddMac", list="deny", mac="06:00:00:00:00:02", interface="eth0")
    with pytest.raises(NotFound, match="is not on the list deny of all interfaces"):
        world.call("RemoveMac", list="deny", mac="06:00:00:00:00:02")


def test_a_file_of_lists_that_cannot_be_read_is_left_alone_until_an_entry_is_added(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('[{"interface": 7')
    lists = MacLists(str(tmp_path), QUIET)
    assert len(lists) == 0 and (tmp_path / FILE).read_text() == '[{"interface": 7'
    lists.add("deny", b"\2\0\0\0\0\1", "")
    assert len(MacLists(str(tmp_path), QUIET)) == 1


def test_lists_that_cannot_be_kept_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lists = MacLists(str(tmp_path / "file"), QUIET)
    with pytest.raises(Refused, match="cannot write"):
        lists.add("deny", b"\2\0\0\0\0\1", "")
    assert len(lists) == 0


# trace


def test_a_trace_of_a_host_has_its_packets_and_its_route_and_nobody_elses(world: Told) -> None:
    world.call("SetTrace", on=True, mac="06:00:00:00:00:02")
    world.dialled()
    host = world.dialled()
    host.hang_up()
    world.settle()
    rows = world.rows("DumpTrace")
    assert {row["mac"] for row in rows} == {"06:00:00:00:00:02"}
    assert [row["kind"] for row in rows].count("discovery") == 5
    words = [row["text"].split()[0] for row in rows if row["kind"] == "route"]
    assert words == ["created", "joined", "ended:"]
    assert world.rows("DumpTrace", route="static") == [row for row in rows if row["kind"] == "route"]
    assert world.rows("DumpTrace", interface="eth1") == []
    assert any(" discovery: " in line for line in access.trace([rows]))


class Tracer:
    """A connection that follows something."""

    def __init__(self, world: Told, **subject: Any) -> None:
        self.on_lost: list[Any] = []
        self.lines: list[dict[str, Any]] = []
        world.trace.tracers.responders()["Trace"](self, subject=subject, packets=False)

    def call(self, name: str, lines: Any, dropped: int) -> Any:
        self.lines += json.loads(lines.encoded)
        return succeed({})


def test_a_host_is_followed_from_discovery_to_its_end_and_nobody_else(world: Told) -> None:
    tracer, other = Tracer(world, mac="06:00:00:00:00:02"), Tracer(world, mac="06:00:00:00:00:99")
    world.dialled()
    host = world.dialled()
    host.hang_up()
    world.settle()
    kinds = [line["kind"] for line in tracer.lines]
    assert kinds.count("discovery") == 5 and kinds.count("route") == 3 and other.lines == []
    whose = {line["who"].partition(" ")[0] for line in tracer.lines}
    assert whose == {"eth0", "route"}
    for one in (tracer, other):
        for function in one.on_lost:
            function(one)
    assert world.parts.discovery.core.trace is None and world.rows("DumpTrace") == []


def test_without_a_trace_no_lines_are_made_and_off_forgets(world: Told) -> None:
    assert world.parts.discovery.core.trace is None
    world.call("SetTrace", on=True)
    world.dialled()
    assert world.rows("DumpTrace")
    world.call("SetTrace", on=False)
    assert world.parts.discovery.core.trace is None and world.rows("DumpTrace") == []
    with pytest.raises(NotFound):
        world.call("SetTrace", on=False, interface="eth0")


def test_a_trace_is_bounded(world: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_LINES", 10)
    world.call("SetTrace", on=True)
    for number in range(25):
        world.trace.discovery("eth0", bytes(6), f"{number}" + "x" * 5000)
    rows = world.rows("DumpTrace")
    assert [int(row["text"].partition("x")[0]) for row in rows] == list(range(15, 25))
    assert all(len(row["text"]) < 1100 for row in rows)
    for number in range(19):
        world.call("SetTrace", on=True, route=f"r{number}")
    with pytest.raises(Refused, match="20 traces are on already"):
        world.call("SetTrace", on=True, route="one more")


# events, log level


def test_events_tell_what_becomes_of_a_route(world: Told) -> None:
    host = world.dialled()
    host.hang_up()
    world.settle()
    assert [event for event, _ in world.events] == ["route-created", "route-opened", "route-closed"]
    assert {event for event, _ in world.events} <= set(EVENTS)
    closed = world.events[-1][1]
    assert (closed["name"], closed["cause"], closed["by"]) == ("static", "Peer Request", "source")
    assert closed["destination"] == "L2TP tunnel 100 session 1 (192.0.2.1)"


def test_the_log_level_is_changed_by_command(world: Told) -> None:
    world.call("SetLogLevel", level="debug")
    assert world.levels == [Level.DEBUG]
    with pytest.raises(Invalid, match="level: must be one of"):
        world.call("SetLogLevel", level="loud")


def test_a_trace_has_the_ppp_of_a_user_without_his_password() -> None:
    world = World("accounting off auth_methods pap")

    def changed(on: bool) -> None:
        world.choice.trace = kept.ppp if on else None

    kept = Trace(changed)
    kept.begin(Filter(route="r1"))
    world.user(password="gehe1m").dial()
    text = "\n".join(access.trace([kept.dump(Filter(), None, 5000)["rows"]]))
    assert "ppp: packet: rcvd LCP" in text and 'user "u1@isp.example" password hidden' in text
    assert "gehe1m" not in text and b"gehe1m".hex() not in text
    kept.end(Filter())
    assert world.choice.trace is None


def test_frames_that_the_kernel_drops_are_shown_also_of_interfaces_that_have_gone(world: Told) -> None:
    world.cables["eth0"].drops = 5
    (eth0, _) = world.rows("ListInterfaces")
    assert (eth0["name"], eth0["frames_dropped"]) == ("eth0", 5)
    assert world.call("Status")["status"]["frames_dropped"] == 5
    world.cables["eth0"].lost()
    assert world.call("Status")["status"]["frames_dropped"] == 5
    world.parts.configure(load(CONFIG.replace("eth0 eth1", "eth1").replace("eth0", "eth1"), "t"))
    assert [row["name"] for row in world.rows("ListInterfaces")] == ["eth1"]
    assert world.call("Status")["status"]["frames_dropped"] == 5
