"""Routes of proacd, from the first PADI to the last counter."""

from __future__ import annotations

import pytest

from prol2tp.pppoe.packets import PADS, PADT
from tests.shell.proacd_world import ProacdWorld

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
    assert (closed.cause, closed.closed_by.value) == ("User Request", "source")
    assert closed.counters is not None and closed.counters[:2] == (1, len(LCP))
    counters = world.parts.routes.counters
    assert (counters.tunnels_opened, counters.sessions_opened, counters.sessions_closed) == (1, 1, 1)
    assert world.prol2tpd.ended[closed.destination.id]["cause"] == "User Request"


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
    world.plane.deliver(route.source.port, FF03 + LCP)
    assert world.plane.sent[-1] == (route.destination.port, FF03 + LCP)
    world.prol2tpd.close("7/8")
    world.settle()
    assert not world.routes and world.prol2tpd.ended[route.destination.id]["cause"] == "Lost Carrier"
    assert world.prol2tpd.offer("7/9", tunnel_profile="others") is not None
