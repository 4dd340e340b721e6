"""Routes of proacd, from the first PADI to the last counter."""

from __future__ import annotations

import gc

import pytest

from prol2tp.daemons.proacd.choice import Choice, Destination
from prol2tp.daemons.proacd.route import Route
from prol2tp.daemons.proacd.sources import Source
from prol2tp.dataplane.interface import SYSTEM, DataPathError
from prol2tp.dataplane.ports import Port
from prol2tp.ppp.proxy import for_ethernet
from prol2tp.pppoe.packets import PADO, PADS, PADT, VlanTag, write
from prol2tp.pppoe.tags import Line
from tests.shell.proacd_world import CONFIG, ProacdWorld

LCP = bytes.fromhex("c021010100040000")[:8]
FF03 = b"\xff\x03"


@pytest.fixture
def world() -> ProacdWorld:
    return ProacdWorld()


def test_a_static_route_joins_a_host_to_a_call(world: ProacdWorld) -> None:
    host = world.dialled()
    (route,) = world.routes
    assert (route.state.value, route.name) == ("joined", "static")
    assert host.session_id == route.source.key.session_id
    row = world.prol2tpd.rows[route.destination.id]
    assert row["tunnel"]["key"] == "192.0.2.1" and row["tunnel"]["parameters"]["secret"] == "hex:" + b"s3cret".hex()
    assert row["session"]["parameters"]["calling_number"] == "06:00:00:00:00:01"
    host.send(LCP)
    assert world.plane.sent[-1] == (route.destination.port, FF03 + LCP)
    world.plane.deliver(route.destination.port, FF03 + LCP)
    assert world.plane.sent[-1] == (route.source.port, LCP)
    world.check()
    host.hang_up()
    world.settle()
    world.nothing_left()
    (closed,) = world.watcher.closed
    assert (closed.cause, closed.closed_by.value) == ("Peer Request", "source")
    assert closed.counters is not None and closed.counters[:2] == (1, len(LCP))
    counters = world.parts.routes.counters
    assert (counters.tunnels_opened, counters.sessions_opened, counters.sessions_closed) == (1, 1, 1)
    (ended,) = world.prol2tpd.ended.values()
    assert ended["cause"] == "Peer Request"


def test_a_host_is_told_when_its_call_ends(world: ProacdWorld) -> None:
    host = world.dialled()
    (route,) = world.routes
    world.prol2tpd.close(route.destination.id, "Idle Timeout", "nobody speaks")
    world.settle()
    world.nothing_left()
    assert isinstance(host.answers[-1], PADT)
    assert (route.cause, route.closed_by.value) == ("Idle Timeout", "destination")
    assert world.parts.routes.counters.closed_by_destination == 1


def test_the_next_destination_is_tried_when_one_is_dead_and_the_dead_one_is_left_alone(world: ProacdWorld) -> None:
    world.prol2tpd.dead.add("192.0.2.1")
    host = world.dialled()
    (route,) = world.routes
    assert host.session_id and route.place.name == "192.0.2.2"
    counters = world.parts.routes.counters
    assert counters.destination_open_failures == 1
    world.dialled()
    assert counters.destination_open_failures == 1
    world.check()


def test_a_host_is_refused_when_no_destination_opens(world: ProacdWorld) -> None:
    world.prol2tpd.dead |= {"192.0.2.1", "192.0.2.2"}
    host = world.dialled()
    assert isinstance(host.answers[-1], PADS) and not host.session_id and host.answers[-1].errors
    world.nothing_left()
    assert world.parts.routes.counters.destination_open_failures == 2


def test_local_ppp_is_attached_once_the_host_knows_of_its_session(world: ProacdWorld) -> None:
    host = world.dialled("local")
    (route,) = world.routes
    assert route.state.value == "joined" and host.session_id
    (row,) = world.propppd.rows.values()
    assert (row["carrier"], row["port"], row["ppp_profile"]) == ("pppoe", route.source.port, "users")
    world.propppd.change(row["id"], "up")
    assert (route.user, route.destination.interface) == ("u1", "ppp0")
    world.propppd.change(row["id"], "closed", cause="Idle Timeout")
    world.settle()
    world.nothing_left()
    assert world.parts.routes.counters.ppp_causes == {"Idle Timeout": 1}


def test_sessions_of_lacs_are_switched(world: ProacdWorld) -> None:
    assert world.prol2tpd.profiles == ["lacs"]
    assert world.prol2tpd.offer("7/8") is None
    world.settle()
    (route,) = world.routes
    assert route.state.value == "joined"
    assert world.prol2tpd.rows[route.destination.id]["source"] == "7/8"
    world.plane.deliver(route.source.port, FF03 + LCP)
    assert world.plane.sent[-1] == (route.destination.port, FF03 + LCP)
    world.prol2tpd.close("7/8")
    world.settle()
    (ended,) = world.prol2tpd.ended.values()
    assert not world.routes and ended["cause"] == "Lost Carrier"
    assert world.prol2tpd.offer("7/9", tunnel_profile="others") is not None


def test_an_lns_that_does_not_answer_in_its_share_of_the_time_gives_way_to_the_next_one(world: ProacdWorld) -> None:
    world.prol2tpd.auto = False
    host = world.dialled()
    (route,) = world.routes
    first = route.destination
    world.later(15)
    assert route.place.name == "192.0.2.2" and first.id in world.prol2tpd.ended
    world.prol2tpd.try_open(route.destination.id)
    world.settle()
    assert host.session_id and route.state.value == "joined"
    world.later(40)
    assert route.state.value == "joined"
    world.prol2tpd.auto = True
    world.dialled()
    assert [one.place.name for one in world.routes] == ["192.0.2.2", "192.0.2.2"], "the dead one is left alone"
    world.check()


def test_a_host_is_refused_when_nothing_answers(world: ProacdWorld) -> None:
    world.prol2tpd.auto = False
    host = world.dialled()
    world.later(32)
    assert not host.session_id and isinstance(host.answers[-1], PADS) and host.answers[-1].errors
    world.nothing_left()
    assert not world.prol2tpd.rows


def test_a_host_gets_its_session_before_frames_of_the_lns(world: ProacdWorld) -> None:
    world.prol2tpd.auto = False
    host = world.dialled()
    (route,) = world.routes
    assert not host.session_id
    world.prol2tpd.try_open(route.destination.id)
    world.settle()
    assert host.session_id
    world.check()


def test_interfaces_that_go_down_take_their_routes_along_and_serve_again_when_they_are_up(world: ProacdWorld) -> None:
    hosts = [world.dialled(), world.dialled(), world.dialled(interface="eth1")]
    assert all(host.session_id for host in hosts)
    world.set_link("eth0", up=False)
    (left,) = world.routes
    assert left.source.interface == "eth1"
    assert {route.cause for route in world.watcher.closed} == {"Lost Carrier"}
    assert {row["cause"] for row in world.prol2tpd.ended.values()} == {"Lost Carrier"}
    assert len(world.plane.ethernets) == 1
    world.check()
    hosts[0].dial()
    world.settle()
    assert len(world.routes) == 1
    world.set_link("eth0", up=True)
    hosts[0].dial()
    world.settle()
    assert len(world.routes) == 2 and hosts[0].session_id
    gone = world.links.pop("eth0")
    world.parts.discovery.link_changed(gone.ifindex, None)
    world.settle()
    assert len(world.routes) == 1
    world.check()


def test_an_interface_with_another_address_begins_anew_and_one_with_another_mtu_does_not(world: ProacdWorld) -> None:
    host = world.dialled()
    world.set_link("eth0", mtu=1600)
    assert len(world.routes) == 1 and world.parts.discovery.core.interfaces["eth0"].settings.mtu == 1600
    world.plane.addresses["eth0"] = b"\x02\0\0\0\0\x77"
    world.set_link("eth0", address=b"\x02\0\0\0\0\x77")
    assert not world.routes
    host.dial()
    world.settle()
    assert host.session_id
    world.check()


def test_a_restart_of_prol2tpd_ends_routes_on_both_sides(world: ProacdWorld) -> None:
    host = world.dialled()
    ppp = world.dialled("local")
    world.prol2tpd.restart()
    world.settle()
    assert len(world.routes) == 2, "they wait for it"
    world.prol2tpd.connect()
    world.settle()
    (left,) = world.routes
    assert left.destination.kind == "ppp" and ppp.session_id and not host.session_id
    world.check()


def test_calls_live_on_while_the_connection_to_prol2tpd_is_lost_for_a_moment(world: ProacdWorld) -> None:
    host, other = world.dialled(), world.dialled()
    assert world.prol2tpd.offer("7/8") is None
    world.settle()
    world.prol2tpd.disconnect()
    other.hang_up()
    late = world.dialled()
    (closed,) = world.watcher.closed
    world.prol2tpd.connect()
    world.settle()
    assert len(world.routes) == 3 and host.session_id and late.session_id
    assert len(world.prol2tpd.rows) == 4
    (ended,) = world.prol2tpd.ended.values()
    assert ended["cause"] == closed.cause, "told when it is there again"
    world.check()


def test_what_was_asked_for_when_the_connection_was_lost_is_asked_for_again(world: ProacdWorld) -> None:
    host = world.host().dial()
    for _ in range(3):
        world.clock.advance(0)
    (route,) = world.routes
    assert route.destination.id in world.prol2tpd.rows, "asked for, and not answered yet"
    world.prol2tpd.restart()
    world.settle()
    world.prol2tpd.connect()
    world.settle()
    assert host.session_id and route.state.value == "joined"
    world.check()


def test_routes_do_not_wait_for_prol2tpd_for_ever(world: ProacdWorld) -> None:
    host = world.dialled()
    world.prol2tpd.offer("7/8")
    world.settle()
    world.prol2tpd.disconnect()
    world.later(31)
    assert not world.routes and not host.session_id
    late = world.dialled()
    assert not late.session_id and late.answers[-1].errors
    world.prol2tpd.connect()
    world.settle()
    world.nothing_left()


def test_a_restart_of_propppd_begins_ppp_anew(world: ProacdWorld) -> None:
    host = world.dialled("local")
    (route,) = world.routes
    world.propppd.disconnect()
    world.propppd.rows.clear()
    world.later(5)
    world.propppd.connect()
    world.settle()
    (row,) = world.propppd.rows.values()
    assert row["proxy"] is None and row["port"] == route.source.port and host.session_id
    world.propppd.disconnect()
    world.later(31)
    assert not world.routes and not host.session_id
    world.nothing_left()


def test_a_lost_data_path_ends_all_and_the_next_one_serves_again(world: ProacdWorld) -> None:
    hosts = [world.dialled(), world.dialled("local")]
    world.parts.path_lost()
    world.settle()
    assert not world.routes and not any(host.session_id for host in hosts)
    assert not world.prol2tpd.rows and not world.propppd.rows
    assert not world.dialled().session_id
    world.new_plane()
    world.parts.use(world.plane)
    world.settle()
    assert world.dialled().session_id
    world.check()


def test_the_end_tells_everybody(world: ProacdWorld) -> None:
    hosts = [world.dialled(), world.dialled("local"), world.dialled(interface="eth1")]
    world.prol2tpd.offer("7/8")
    world.settle()
    done = world.parts.end_all("Admin Reboot", "proacd stops")
    world.settle()
    assert done.called
    assert not any(host.session_id for host in hosts)
    assert {row["cause"] for row in world.prol2tpd.ended.values()} == {"Admin Reboot"}
    assert {row["cause"] for row in world.propppd.ended.values()} == {"Admin Reboot"}
    world.nothing_left()
    world.parts.stop()
    assert not world.plane.ethernets and not world.clock.getDelayedCalls()


def test_frames_of_sessions_from_before_a_restart_are_answered_with_padt(world: ProacdWorld) -> None:
    host = world.host()
    host.session_id = 4711
    host.send(LCP)
    world.settle()
    assert isinstance(host.answers[-1], PADT) and not host.session_id


def test_a_spoofed_padt_changes_nothing(world: ProacdWorld) -> None:
    host = world.dialled()
    thief = world.host()
    thief.session_id = host.session_id
    thief.hang_up()
    world.settle()
    assert len(world.routes) == 1 and world.parts.discovery.core.counters.invalid_padt_received == 1


def test_routes_that_the_configuration_takes_away_end_and_others_stay(world: ProacdWorld) -> None:
    from prol2tp.config.proacd import load
    from tests.shell.proacd_world import CONFIG

    kept, changed = world.dialled(), world.dialled("named")
    world.parts.configure(load(CONFIG.replace('tunnel "core"', 'tunnel "edge"'), "test.conf"))
    world.settle()
    (route,) = world.routes
    assert kept.session_id and not changed.session_id and route.name == "static"
    changed.dial()
    world.settle()
    assert world.routes[-1].place.tunnel == {"name": "edge"}
    world.check()


def test_a_route_takes_no_more_than_its_sessions_and_none_while_it_drains() -> None:
    text = 'route "r" { max_sessions 1 %s source pppoe { interface eth0 } destination ppp { ppp_profile "users" } }'
    world = ProacdWorld(text % "")
    assert world.dialled("").session_id
    refused = world.dialled("")
    assert not refused.session_id and refused.answers[-1].errors
    assert world.parts.routes.counters.route_create_failures == 1
    drained = ProacdWorld(text % "drain true")
    assert not drained.dialled("").session_id


def test_a_choice_that_is_under_way_is_cancelled_when_the_host_goes(world: ProacdWorld) -> None:
    host = world.dialled("radius")
    (route,) = world.routes
    assert route.state.value == "choosing" and not host.session_id
    route.source.open()
    world.settle()
    frames: list[bytes] = []
    host.send(LCP)
    route.source.frames(frames.append)
    host.send(LCP)
    assert frames == [LCP, LCP]
    route.source.send(FF03 + LCP)
    assert world.plane.sent[-1] == (route.source.port, LCP)
    host.hang_up()
    world.settle()
    assert world.asked.cancelled == [route.number]
    world.nothing_left()


def test_frames_that_come_while_the_destination_opens_reach_it_in_order(world: ProacdWorld) -> None:
    host = world.dialled("radius")
    (route,) = world.routes
    route.source.open()
    route.source.frames(lambda frame: None)
    world.prol2tpd.auto = False
    route.source.frames(None)
    proxy = {"authen_type": 2}
    world.asked.waiting[route.number].callback(
        Choice("l2tp", [Destination("lns", tunnel={"peer": "192.0.2.1"}, key="a")], proxy=proxy, user="u1"))
    world.settle()
    frames = [LCP[:-1] + bytes((number,)) for number in range(12)]
    for frame in frames:
        host.send(frame)
    assert world.prol2tpd.rows[route.destination.id]["proxy"] == proxy
    world.prol2tpd.try_open(route.destination.id)
    host.send(LCP)
    world.settle()
    onward = [frame for port, frame in world.plane.sent if port == route.destination.port]
    assert onward == [FF03 + frame for frame in [*frames[:8], LCP]]
    assert route.user == "u1"
    world.check()


def test_a_host_waits_without_an_answer_while_nobody_can_say_where_to(world: ProacdWorld) -> None:
    world.asked.most = 0
    host = world.host(service="radius").dial()
    world.settle()
    assert [type(answer) for answer in host.answers] == [PADO] and not world.routes
    world.asked.most = 1
    host.hear(write(host.answers.pop()))
    world.settle()
    (number,) = world.asked.waiting
    world.asked.waiting[number].callback(Choice("ppp", ppp_profile="users"))
    world.settle()
    assert host.session_id and len(world.routes) == 1


def test_a_refused_choice_closes_the_session(world: ProacdWorld) -> None:
    host = world.dialled("radius")
    (route,) = world.routes
    route.source.open()
    world.settle()
    world.asked.waiting[route.number].callback(Choice("refused", cause="User Error", message="wrong password"))
    world.settle()
    assert (route.cause, route.message) == ("User Error", "wrong password")
    assert isinstance(host.answers[-1], PADT) and not host.session_id
    world.nothing_left()


def test_a_session_ends_when_its_time_is_over(world: ProacdWorld) -> None:
    world.dialled("radius")
    (route,) = world.routes
    world.asked.waiting[route.number].callback(Choice("ppp", ppp_profile="users", session_timeout=60))
    world.settle()
    world.later(59)
    assert route.state.value == "joined"
    world.later(2)
    assert route.cause == "Session Timeout"
    world.nothing_left()


def test_the_next_end_hears_what_the_line_of_the_user_cannot_do(world: ProacdWorld) -> None:
    world.dialled()
    (route,) = world.routes
    line = for_ethernet(1492).to_record()
    row = world.prol2tpd.rows[route.destination.id]
    assert (row["lcp_want"], row["lcp_allow"]) == (line["want_options"], line["allow_options"])
    assert row["proxy"] is None


def test_what_a_lac_says_of_its_user_goes_on_to_the_next_lns(world: ProacdWorld) -> None:
    proxy = {"last_sent_confreq": "0304c023", "last_received_confreq": "", "authen_type": 4}
    assert world.prol2tpd.offer("7/8", proxy=proxy, lcp_want="010405d4", lcp_allow="0702") is None
    world.settle()
    (route,) = world.routes
    row = world.prol2tpd.rows[route.destination.id]
    assert (row["proxy"], row["lcp_want"], row["lcp_allow"]) == (proxy, "010405d4", "0702")


def test_sessions_of_lacs_count_for_the_limit_of_the_daemon_and_of_the_route() -> None:
    for where in ("system { max_sessions 2 }\n", ""):
        text = where + (CONFIG if where else CONFIG.replace('route "switch" {', 'route "switch" { max_sessions 2'))
        world = ProacdWorld(text)
        assert [world.prol2tpd.offer(f"7/{number}") is None for number in range(3)] == [True, True, False]
        world.settle()
        assert len(world.routes) == 2 and world.parts.routes.counters.route_create_failures == 1
        world.prol2tpd.close("7/0")
        world.settle()
        assert world.prol2tpd.offer("7/4") is None


def test_an_interface_that_cannot_be_opened_is_tried_again(world: ProacdWorld) -> None:
    world.set_link("eth0", up=False)
    world.plane.refuse["ethernet_add"] = DataPathError(SYSTEM, "no buffer space available")
    world.set_link("eth0", up=True)
    assert not world.dialled().session_id
    assert world.parts.discovery.places["eth0"].trouble == "no buffer space available"
    world.later(11)
    assert world.dialled().session_id
    world.check()


def test_a_host_is_refused_when_the_data_path_does_not_take_its_session(world: ProacdWorld) -> None:
    for operation in ("pppoe_add", "switch_add"):
        world.plane.refuse[operation] = DataPathError(SYSTEM, "no buffer space available")
        host = world.dialled()
        assert not host.session_id
        assert world.watcher.closed[-1].cause == "NAS Error"
        assert "no buffer space" in world.watcher.closed[-1].message
        world.nothing_left()
    assert world.dialled().session_id


def test_hosts_in_vlans_take_the_route_of_their_vlan() -> None:
    world = ProacdWorld("""
    interface eth0 { vlans untagged 7 100.8 }
    route "plain" { source pppoe { interface eth0 vlan untagged } destination ppp { ppp_profile "users" } }
    route "seven" { source pppoe { interface eth0 vlan 7 } destination l2tp { peer 192.0.2.1 secret "s" } }
    route "inner" { source pppoe { interface eth0 vlan 100.8 } destination l2tp { peer 192.0.2.2 secret "s" } }
    """)
    tags = {"plain": (), "seven": (VlanTag(0x8100, 0xA007),), "inner": (VlanTag(0x88A8, 100), VlanTag(0x8100, 8))}
    hosts = {name: world.host("", vlans=vlans).dial() for name, vlans in tags.items()}
    other = world.host("", vlans=(VlanTag(0x8100, 9),)).dial()
    world.settle()
    assert sorted(route.name for route in world.routes) == sorted(tags) and not other.answers
    for route in world.routes:
        host = hosts[route.name]
        assert host.session_id == route.source.key.session_id and host.answers[-1].vlans == tags[route.name]
        if route.name != "plain":
            host.send(LCP)
            assert world.plane.sent[-1] == (route.destination.port, FF03 + LCP)
    hosts["seven"].hang_up()
    world.settle()
    assert len(world.routes) == 2
    world.check()


def test_a_line_and_its_speed_are_told_to_the_lns_and_read_back(world: ProacdWorld) -> None:
    line = Line(b"dslam 1/1", b"\xff\x00", {0x81: 1_000_000, 0x82: 16_000_000}, b"\1\2\3")
    host = world.host()
    host.line = line
    host.dial()
    world.settle()
    (row,) = world.prol2tpd.rows.values()
    assert row["session"]["parameters"]["connect_speed"] == "16000000:1000000"
    assert Line.from_record(row["line"]) == line
    assert row["line"]["circuit_id"] == b"dslam 1/1".hex()
    for broken in ({"numbers": [1]}, {"circuit_id": 7}, {"remote_id": "no hex"}, {"numbers": {"x": 1}}):
        with pytest.raises((ValueError, TypeError)):
            Line.from_record(broken)
    assert world.prol2tpd.offer("7/8", line={"circuit_id": 7}) is not None
    assert world.prol2tpd.offer("7/9", line=line.to_record()) is None
    world.settle()
    world.check()


def test_interfaces_of_others_cost_nothing(world: ProacdWorld) -> None:
    world.looked.clear()
    for ifindex in range(100, 1100):
        world.parts.discovery.link_changed(ifindex, 0x41)
    world.settle()
    assert world.looked == []
    world.set_link("eth1", mtu=1600)
    assert world.looked == ["eth1"]
    world.set_link("eth0", up=False)
    world.looked.clear()
    for ifindex in range(100, 1100):
        world.parts.discovery.link_changed(ifindex, 0x41)
    world.settle()
    assert world.looked == ["eth0"], "it may be one of these, once for all of them"


def test_sessions_that_have_ended_leave_nothing_for_the_garbage_collector(world: ProacdWorld) -> None:
    gc.collect()
    gc.disable()
    try:
        for service in ("static", "local", "radius"):
            host = world.dialled(service)
            if service == "radius":
                (choice,) = world.asked.waiting.values()
                choice.callback(Choice("l2tp", [Destination("lns", tunnel={"peer": "192.0.2.1"}, key="a")]))
                world.settle()
            assert host.session_id
            host.hang_up()
            world.settle()
        world.nothing_left()
        watched = world.watcher
        world.asked.waiting.clear()
        watched.created, watched.opened, watched.closed = [], [], []
        del host
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [thing for thing in gc.garbage if isinstance(thing, (Route, Source, Port))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
