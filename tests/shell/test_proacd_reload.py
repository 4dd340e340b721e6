"""A reload of proacd ends the routes that it has to end, and no others."""

from __future__ import annotations

import pytest

from prol2tp.config.proacd import load
from prol2tp.control.commands.proacd import RECORDS
from prol2tp.control.preview import preview
from prol2tp.control.shapes import problems
from prol2tp.daemons.proacd import reload
from prol2tp.pppoe.packets import VlanTag
from tests.shell.proacd_world import CONFIG, ProacdWorld


@pytest.fixture
def world() -> ProacdWorld:
    world = ProacdWorld()
    for service in ("static", "named", "local", "radius"):
        world.dialled(service)
    world.dialled("static", "eth1")
    world.prol2tpd.offer("7/8")
    world.settle()
    assert len(world.routes) == 6
    return world


def reloaded(world: ProacdWorld, *changes: tuple[str, str]) -> tuple[str, list[str]]:
    """The summary, and who was ended with the reason; a plan says the same and changes nothing."""
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    config = load(text, "test.conf")
    made = reload.plan(world.parts, config)
    before = len(world.routes)
    assert world.parts.config is not config
    summary = world.parts.configure(config)
    world.settle()
    world.check()
    ended = [f"{route.name}: {route.message}" for route in world.watcher.closed]
    assert ended == [f"{route.name}: {why}" for route, why in made.ends] and len(world.routes) == before - len(ended)
    assert {route.cause for route in world.watcher.closed} <= {"Admin Reset"}
    assert made.summary() == summary
    assert all(route.config is config.routes[route.name] for route in world.routes)
    return summary, ended


def test_the_same_file_changes_nothing(world: ProacdWorld) -> None:
    assert reloaded(world) == ("nothing changed", [])


def test_limits_and_intervals_end_nothing(world: ProacdWorld) -> None:
    system = "system { grace_timeout 9 lockout_time 5 }"
    summary, ended = reloaded(world, ("padi_rate 0", "padi_rate 0 max_sessions 1"),
                              ('route "static" {', f'{system} route "static" {{ max_sessions 2'))
    assert not ended
    assert summary == ('system changed (lockout_time, grace_timeout); interface "default" changed (max_sessions); '
                       'interface "eth0" changed (max_sessions); interface "eth1" changed (max_sessions); '
                       'route "static" changed (max_sessions)')
    assert world.parts.balance.lockout_time == 5


def test_a_route_that_is_gone_ends_with_its_sessions(world: ProacdWorld) -> None:
    gone = 'route "local" { source pppoe { interface eth0 service "local" } destination ppp { ppp_profile "users" } }\n'
    summary, ended = reloaded(world, (gone, ""))
    assert ended == ["local: the route is no longer configured"]
    assert summary == 'route "local" removed; 1 route ends'


def test_a_secret_that_changed_ends_only_sessions_to_that_lns(world: ProacdWorld) -> None:
    before = '{ tunnel_profile "lacs" } destination l2tp { peer 192.0.2.1 secret "s3cret" }'
    summary, ended = reloaded(world, (before, before.replace("s3cret", "new")))
    assert ended == ["switch: the LNS is no longer that of the route, or has other parameters"]
    assert summary == 'route "switch" changed (destination); 1 route ends' and "new" not in summary


def test_an_lns_beside_those_in_use_ends_nothing(world: ProacdWorld) -> None:
    assert reloaded(world, ("peer 192.0.2.2 { preference 2 }", "peer 192.0.2.3 { preference 2 }"),
                    ("192.0.2.1 { preference 1 }", "192.0.2.1 { preference 1 weight 3 }"))[1] == []


def test_another_destination_ends_a_route(world: ProacdWorld) -> None:
    assert reloaded(world, ('ppp { ppp_profile "users" }', 'ppp { ppp_profile "others" }'),
                    ('l2tp { tunnel "core" }', 'radius { profile "aaa" }'))[1] == [
        "named: the route leads elsewhere", "local: the route leads elsewhere"]


def test_what_radius_has_said_stands(world: ProacdWorld) -> None:
    assert reloaded(world, ('radius { profile "aaa" }', 'radius { profile "aaa" ppp_profile "users" }'),
                    ('secret "testing123"', 'secret "testing123" timeout 5'))[1] == []


def test_an_interface_that_leaves_a_route_ends_its_hosts_there(world: ProacdWorld) -> None:
    assert reloaded(world, ("interface eth0 eth1", "interface eth0"))[1] == [
        "static: the route no longer serves this host"]


def test_a_service_that_a_route_has_no_longer_ends_its_hosts(world: ProacdWorld) -> None:
    assert reloaded(world, ('service "named"', 'service "renamed"'))[1] == [
        "named: the route no longer serves this host"]
    assert world.dialled("renamed").session_id


def test_a_more_particular_route_does_not_take_over_who_is_up(world: ProacdWorld) -> None:
    more = ('route "more" { source pppoe { interface eth0 service "static" vlan untagged } '
            "destination ppp { ppp_profile p } }")
    assert reloaded(world, ('route "static"', f'{more}\nroute "static"'))[1] == []
    host = world.dialled("static")
    assert host.session_id and world.routes[-1].name == "more"


def test_an_interface_that_serves_other_vlans_ends_who_is_on_none_of_them(world: ProacdWorld) -> None:
    _, ended = reloaded(world, ("interface default {", "interface eth1 { vlans 10 } interface default {"))
    assert ended == ["static: interface eth1 is opened again, with or without VLAN tags"]


def test_who_is_on_a_vlan_that_is_no_longer_served_ends_and_nobody_else() -> None:
    text = CONFIG.replace("interface default {", "interface eth0 { vlans untagged 5-7 9 } interface default {")
    world = ProacdWorld(text)
    untagged, tagged = world.dialled(), world.dialled()
    for route in world.routes:
        if route.source.calling_number.endswith("02"):
            route.source.vlans = (VlanTag(0x8100, 6),)
    for vlans, left in (("untagged 5-7", 2), ("any", 2), ("untagged 6", 2), ("untagged 5 9", 1)):
        world.parts.configure(load(text.replace("untagged 5-7 9", vlans), "test.conf"))
        world.settle()
        assert len(world.routes) == left
    assert untagged.session_id and not tagged.session_id
    (route,) = world.watcher.closed
    assert route.message == "the VLAN is no longer served"


def test_a_lac_that_is_no_longer_served_loses_its_sessions(world: ProacdWorld) -> None:
    assert reloaded(world, ('tunnel_profile "lacs"', 'tunnel_profile "others"'))[1] == [
        "switch: the route no longer serves this LAC"]
    assert world.prol2tpd.profiles == ["others"]


def test_a_thousand_changes_are_one_line(world: ProacdWorld) -> None:
    to = "destination ppp { ppp_profile p }"
    many = "".join(f'route "n{n}" {{ source pppoe {{ interface eth0 service "n{n}" }} {to} }}\n' for n in range(1000))
    summary, ended = reloaded(world, ('route "static"', f'{many}route "static"'))
    assert not ended and "\n" not in summary and len(summary) < 2000 and summary.endswith("and 980 changes more")


def test_a_preview_names_what_ends_first_and_why(world: ProacdWorld) -> None:
    text = "system { log_file \"/var/log/other.log\" }" + CONFIG.replace('tunnel "core"', 'tunnel "other"').replace(
        "padi_rate 0", "padi_rate 7").replace('route "local" {', 'route "local" { max_sessions 9')
    answer = preview(reload.effects(reload.plan(world.parts, load(text, "test.conf"))))
    assert [text for row in answer["changes"] for text in problems(row, RECORDS["change"], RECORDS)] == []
    (named,) = [route.number for route in world.routes if route.name == "named"]
    first, *others = answer["changes"]
    assert (first["kind"], first["name"], first["effect"]) == ("route", ["named"], "drops")
    assert first["drops"] == [f'route {named} "named"'] and first["why"].startswith("the LNS is no longer")
    effects = {(row["kind"], *row["name"]): row["effect"] for row in others}
    assert effects == {("system",): "restart", ("interface", "default"): "at once", ("interface", "eth0"): "at once",
                       ("interface", "eth1"): "at once", ("route", "local"): "later"}
    assert (answer["total"], answer["drops"], len(world.routes)) == (6, 1, 6)
