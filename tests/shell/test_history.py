"""Why things ended, as the daemons remember it."""

import json

import pytest

from prol2tp.config.prol2tpd import load
from prol2tp.control.command import Refused
from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.control.shapes import problems
from prol2tp.daemons.proacd.history import RouteHistory
from prol2tp.daemons.prol2tpd.history import EndHistory
from prol2tp.daemons.propppd.history import LinkHistory
from prol2tp.pppoe.packets import mac_text
from prol2tp.spool.history import History
from tests.shell.proacd_world import ProacdWorld
from tests.shell.propppd_world import LinksWorld
from tests.shell.test_prol2tpd import LAC, LNS, world  # noqa: F401


def remember(host, clock):
    host.history = EndHistory(clock, History(clock, lambda line: None), wall=lambda: 1e9 + clock.seconds())
    host.plane.history = host.history


def rows(host, **which):
    asked = {"cursor": None, "limit": None, "tunnel_id": None, "session_id": None, "peer": None, "user": None, **which}
    found = json.loads(host.history.page(**asked)["rows"].encoded)
    for row in found:
        assert problems(row, prol2tpd.RECORDS["history-row"], prol2tpd.RECORDS) == []
    return found


@pytest.fixture
def pair(world):  # noqa: F811
    world.lns, world.lac = world.host(LNS), world.host(LAC)
    for host in (world.lns, world.lac):
        remember(host, world.clock)
        host.start()
    world.run(2)
    return world


def test_a_session_that_was_ended_leaves_why_at_both_ends(pair):
    before = pair.lac.call("ShowSession", tunnel_name="one", session_name="u1")["session"]
    pair.lac.call("DestroySession", tunnel_name="one", session_name="u1")
    pair.run(2)
    (ours,), (theirs,) = rows(pair.lac), rows(pair.lns)
    assert (ours["kind"], ours["name"], ours["tunnel_name"], ours["session_id"]) == (
        "session", "u1", "one", before["session_id"])
    assert (ours["by"], theirs["by"]) == ("us", "peer")
    assert ours["reason"] == theirs["reason"] == 'administrative reasons: "administrative request"'
    assert (ours["result"], ours["cause"], theirs["cause"]) == (3, "Admin Reset", "Lost Carrier")
    assert ours["last_state"] == theirs["last_state"] == "ESTABLISHED"
    assert 1 < ours["seconds_up"] < 2.1 and ours["ended_at"] > ours["created_at"] > 1e9
    assert ours["counters"]["tx_packets"] == 0 and ours["peer"] == "10.99.0.1:1701"


def test_a_tunnel_leaves_a_record_beside_its_sessions(pair):
    number = pair.lns.call("ListTunnels", cursor="", limit=1)["rows"][0]["tunnel_id"]
    pair.lns.call("DestroyTunnel", tunnel_id=number)
    pair.run(1)
    found = rows(pair.lns, tunnel_id=number)
    assert [row["kind"] for row in found].count("session") == 2 and len(found) == 3
    (tunnel,) = (row for row in found if row["kind"] == "tunnel")
    assert (tunnel["last_state"], tunnel["by"], tunnel["cause"], tunnel["counters"]) == ("ESTABLISHED", "us", "", None)
    assert rows(pair.lns, session_id=found[-1]["session_id"]) == [found[-1]]
    assert len(rows(pair.lns, peer="10.99.0.2")) == 3 and rows(pair.lns, peer="10.99.0.7") == []


def test_a_tunnel_that_never_came_up_says_in_which_state_it_gave_up(world):  # noqa: F811
    lac = world.host(LAC.replace("peer 10.99.0.1", "peer 10.99.0.1\n persist false"))
    remember(lac, world.clock)
    lac.start()
    world.run(200)
    (tunnel,) = rows(lac)
    assert (tunnel["last_state"], tunnel["seconds_up"], tunnel["by"]) == ("WAITCTLREPLY", 0.0, "us")
    assert tunnel["reason"]


def test_no_more_is_remembered_than_the_configuration_says(pair):
    pair.lac.history.configure(load('system { history_size 0 }', "f").system)
    pair.lac.call("DestroySession", tunnel_name="one", session_name="u1")
    pair.run(1)
    assert rows(pair.lac) == []


def test_a_link_that_has_ended_leaves_why_with_its_user_address_and_counters():
    made = LinksWorld()
    history = LinkHistory(History(made.clock, lambda line: None))
    made.links.followers.add(history)
    _, link = made.client()
    made.later(10)
    link.close("Admin Reset", "destroyed by management")
    made.later(20)
    (row,) = json.loads(history.page(None, None, "u1@example.com")["rows"].encoded)
    assert problems(row, propppd.RECORDS["history-row"], propppd.RECORDS) == []
    assert (row["cause"], row["message"], row["acct_terminate_cause"]) == ("Admin Reset", "destroyed by management", 6)
    assert row["seconds_up"] >= 10 and row["address"] and row["counters"]["tx_packets"] >= 0


def test_a_user_who_was_refused_is_found_by_the_name_that_he_gave_with_the_reason():
    made = LinksWorld()
    history = LinkHistory(History(made.clock, lambda line: None))
    made.links.followers.add(history)
    made.client(password="wr0ng")
    made.later(20)
    (row,) = json.loads(history.page(None, None, "u1@example.com")["rows"].encoded)
    assert (row["cause"], row["message"]) == ("Authentication Failed", "refused: wrong password (chap)")
    assert row["seconds_up"] == 0 and not row["address"]


def routes_of(made, **which):
    asked = {"cursor": None, "limit": None, "mac": None, "user": None, **which}
    found = json.loads(made.history.page(**asked)["rows"].encoded)
    for row in found:
        assert problems(row, proacd.RECORDS["history-row"], proacd.RECORDS) == []
    return found


@pytest.fixture
def access():
    made = ProacdWorld()
    made.history = RouteHistory(made.clock, History(made.clock, lambda line: None),
                                wall=lambda: 1e9 + made.clock.seconds())
    made.parts.routes.followers.append(made.history)
    return made


def test_a_route_that_has_ended_leaves_who_ended_it_why_and_what_passed(access):
    host = access.dialled()
    access.later(5)
    ended = access.clock.seconds()
    host.hang_up()
    access.settle()
    (row,) = routes_of(access)
    assert (row["name"], row["by"], row["cause"]) == ("static", "source", "Peer Request")
    assert row["acct_terminate_cause"] == 1
    assert (row["message"], row["last_state"]) == ("the host has ended the session", "joined")
    assert (row["source"]["peer_mac"], row["destination"]["name"]) == (mac_text(host.mac).upper(), "192.0.2.1")
    assert row["counters"]["rx_packets"] == 0 and 4.9 < row["seconds_up"] < 6
    assert row["created_at"] < row["ended_at"] and row["ended_at"] - 1e9 == pytest.approx(ended, abs=0.1)


def test_a_route_that_nobody_takes_leaves_a_record_without_destination(access):
    access.prol2tpd.dead = {"192.0.2.1", "192.0.2.2"}
    access.dialled()
    (row,) = routes_of(access)
    assert (row["by"], row["destination"], row["last_state"], row["seconds_up"]) == ("neither", None, "opening", 0.0)
    assert row["cause"] and row["message"]


def test_ended_routes_are_found_by_host_and_user(access):
    for service in ("static", "local"):
        access.dialled(service)
    for route in list(access.parts.routes.by_number.values()):
        route.user = f"{route.name}@example.com"
        route.close("Admin Reset", "administrative request")
    access.settle()
    assert len(routes_of(access)) == 2
    (row,) = routes_of(access, user="local@example.com")
    assert row["destination"]["ppp_profile"] == "users"
    assert routes_of(access, mac=row["source"]["peer_mac"].lower()) == [row]
    assert routes_of(access, mac="02:00:00:00:00:99") == []
    with pytest.raises(Refused):
        routes_of(access, mac="02:00:00")
