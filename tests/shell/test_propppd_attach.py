"""Sessions that prol2tpd attaches to propppd, and what becomes of them when one of the two goes away."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred, succeed

from prol2tp.control.command import Invalid, NotFound, Refused
from prol2tp.control.commands.propppd import LINK_RECORD, LINK_ROW, RECORDS
from prol2tp.control.commands.propppd_status import STATUS_RECORD
from prol2tp.daemons.propppd.attach import Owners
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from tests.shell.propppd_world import CONFIG, LinksWorld, Prol2tpd, result


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld()


def test_a_session_with_an_unknown_profile_is_refused_in_clear_words(world):
    near, _ = world.session()
    assert world.attach(world.row(near, "nosuch")) == ["there is no PPP profile 'nosuch' in propppd.conf"]
    assert len(world.links) == 0 and world.links.counts.create_failures == 1


def test_one_bad_row_does_not_spoil_the_batch(world):
    near, _ = world.session()
    other, _ = world.session()
    bad = world.row(other)
    bad["port"] = "seven"
    assert world.attach(bad, world.row(near)) == ["port must be a number", None]
    assert len(world.links) == 1


@pytest.mark.parametrize("sessions", [None, 7, "x", [1], [[]], {"a": 1}])
def test_what_is_no_list_of_rows_is_invalid(world, sessions):
    with pytest.raises(Invalid):
        world.attachments.attach(world.prol2tpd, sessions)
    with pytest.raises(Invalid):
        world.attachments.detach(world.prol2tpd, sessions)


def test_no_secret_is_in_what_a_link_shows_of_itself(world):
    near, _ = world.session()
    world.attach(world.row(near, user_name="me", user_password="topsecret"))
    link = world.links.by_port[near]
    status = Status(world.links, ConfigCounts(), "f", world.log)
    assert "topsecret" not in repr(link) + repr(link.carrier) + json.dumps(status.link(link))


def test_changes_of_one_turn_go_out_in_one_call(world):
    clients = [world.client(f"u{n}@example.com", f"pw{n}") for n in (1, 3, 4)]
    world.prol2tpd.calls.clear()
    for _, link in clients:
        link.lost("Lost Carrier", "test")
    world.settle()
    assert [len(call) for call in world.prol2tpd.calls] == [3]


def test_a_session_that_is_gone_takes_its_link_with_it_without_a_reply(world):
    client, link = world.client()
    world.prol2tpd.calls.clear()
    world.attachments.detach(world.prol2tpd, [{"id": link.carrier.id, "cause": "Lost Carrier", "message": "CDN",
                                               "counters": None}, {"id": "9/9", "cause": "", "message": ""}])
    world.settle()
    assert link.ended and (link.cause, link.message) == ("Lost Carrier", "CDN")
    assert world.near.interfaces == {} and world.prol2tpd.calls == []


def test_a_second_prol2tpd_that_has_the_same_sessions_keeps_the_links(world):
    client, link = world.client()
    world.prol2tpd.lose()
    world.later(10, 5)
    again = Prol2tpd()
    row = world.row(link.port, id=link.carrier.id)
    assert world.attachments.attach(again, [row]) == {"results": [None]}
    world.later(60, 5)
    assert not link.ended and link.up
    assert [(row["state"], row["user"]) for row in again.rows] == [("up", "u1@example.com")]


def test_a_session_that_comes_again_with_another_port_gets_a_new_link(world):
    client, link = world.client()
    near, far = world.session()
    world.prol2tpd.calls.clear()
    assert world.attach(world.row(near, id=link.carrier.id)) == [None]
    world.settle()
    assert link.ended and world.links.by_id[link.carrier.id].port == near
    assert all(row["state"] != "closed" for row in world.prol2tpd.rows), "it would end the new session"


def test_links_end_when_prol2tpd_stays_away(world):
    client, link = world.client()
    world.prol2tpd.lose()
    world.later(29)
    assert not link.ended and link.up
    world.later(10)
    assert link.ended and world.near.interfaces == {}


def test_links_that_are_not_attached_again_end_after_the_grace_time(world):
    _, kept = world.client()
    _, forgotten = world.client("u3@example.com", "pw3")
    world.prol2tpd.lose()
    again = Prol2tpd()
    world.attachments.attach(again, [world.row(kept.port, id=kept.carrier.id)])
    world.later(40)
    assert not kept.ended and forgotten.ended
    assert [row["id"] for row in again.rows if row["state"] == "closed"] == [forgotten.carrier.id]


def test_when_the_data_path_dies_links_end_with_a_cause_and_new_ones_are_refused(world):
    client, link = world.client()
    world.links.refusing = "the data path is not there yet"
    world.links.path_lost("the data path is gone")
    world.settle()
    assert link.ended and world.prol2tpd.rows[-1]["message"] == "the data path is gone"
    near, _ = world.session()
    assert world.attach(world.row(near)) == ["the data path is not there yet"]


def test_all_links_are_terminated_at_the_end_and_a_silent_peer_is_not_waited_for_long(world):
    client, link = world.client()
    silent, other = world.client("u3@example.com", "pw3")
    world.far.port_delete(silent.port)
    ended: list[object] = []
    world.links.end_all("Admin Reboot", "propppd stops", 3.0).addCallback(ended.append)
    world.settle()
    assert link.ended and not other.ended and not ended
    world.later(4)
    assert other.ended and ended and world.near.interfaces == {}
    result(world.links.interfaces_gone())
    assert [row["cause"] for row in world.prol2tpd.rows if row["state"] == "closed"] == ["Admin Reboot"] * 2


def test_a_reload_keeps_links_and_gives_new_ones_the_new_profile(world):
    _, link = world.client()
    assert world.configure(CONFIG) == "nothing changed"
    summary = world.configure(CONFIG.replace("auth true", "auth true\n mtu 1400").replace("pw3", "new"))
    assert summary == "profile: 1 changed, user: 1 changed"
    assert link.up and link.mtu == 1500
    assert world.client("u4@example.com", "pw4")[1].mtu == 1400
    assert world.client("u3@example.com", "pw3")[1].ended
    assert not world.client("u3@example.com", "new")[1].ended


def test_a_pool_that_shrinks_leaves_addresses_in_use_alone(world):
    first, link = world.client()
    world.configure(CONFIG.replace("10.5.1.100-10.5.1.102", "10.5.1.110-10.5.1.110"))
    second, _ = world.client("u3@example.com", "pw3")
    assert first.networks["ip"].local == "10.5.1.100" and link.up
    assert second.networks["ip"].local == "10.5.1.110"
    link.close()
    world.settle()
    assert world.client("u4@example.com", "pw4")[1].ended, "the old address is not given out any more"


def test_the_routes_of_a_shared_interface_follow_its_pools(world):
    shared = CONFIG.replace("auth true", "auth true\n interface shared")
    world.configure(shared)
    _, link = world.client(ipv6=False)
    world.configure(shared.replace("10.5.1.100-10.5.1.102", "10.5.1.100-10.5.1.103"))
    assert {prefix for prefix, _, _ in world.network.routes} == {"10.5.1.100/30"}
    assert link.up


def shape(record, fields, records):
    """The record has all declared fields, and each nested record too."""
    assert list(record) == [field.name for field in fields]
    for field in fields:
        value = record[field.name]
        nested = records.get(field.type.rstrip("?"))
        if nested is not None and value is not None:
            shape(value, nested.fields, records)
        elif nested is None:
            kinds = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "words": list,
                     "json": object}
            assert isinstance(value, kinds[field.type.rstrip("?")]), (field.name, value)
        else:
            assert field.type.endswith("?")


def commands(world):
    return world.commands()


def test_the_records_are_those_of_the_control_protocol(world):
    world.client()
    near, _ = world.session()
    world.attach(world.row(near))
    answer = commands(world)
    shape(answer["Status"](None)["status"], STATUS_RECORD.fields, RECORDS)
    rows = answer["List"](None, None, None, None)["rows"]
    for row in rows:
        shape(row, LINK_ROW.fields, RECORDS)
        shape(answer["Show"](None, row["name"])["link"], LINK_RECORD.fields, RECORDS)
    assert [(row["name"], row["interface"], row["up"], row["state"], row["user"]) for row in rows] == [
        ("session-1", "ppp0", True, "RUNNING", "u1@example.com"), ("session-2", "", False, "ESTABLISH", "")]


def test_show_tells_how_a_chap_user_came_in(world):
    world.client()
    link = commands(world)["Show"](None, "session-1")["link"]
    assert link["chap"]["local_state"] == ["lowerup", "started", "done"]
    assert link["chap"]["peer_state"] == ["lowerup"]
    assert link["pap"]["our_state"] == link["pap"]["peer_state"] == "CLOSED"
    assert link["auth"] == {"remote_name": "u1@example.com", "config_local": ["chap", "pap"], "config_peer": [],
                            "done_local": ["chap"], "done_peer": [], "proxied": False}
    assert (link["ipcp"]["local"], link["ipcp"]["peer"]) == ("10.5.1.1", "10.5.1.100")
    assert link["lcp"]["state"] == "OPENED"


def test_list_can_be_of_those_that_are_up_or_down(world):
    world.client()
    near, _ = world.session()
    world.attach(world.row(near))
    answer = commands(world)
    assert [row["name"] for row in answer["List"](None, "up", None, None)["rows"]] == ["session-1"]
    assert [row["name"] for row in answer["List"](None, "down", None, None)["rows"]] == ["session-2"]
    with pytest.raises(Invalid):
        answer["List"](None, "sideways", None, None)


def test_a_list_of_many_links_is_read_in_pages(world):
    rows = [world.row(world.session()[0]) for _ in range(25)]
    assert world.attach(*rows) == [None] * 25
    answer = commands(world)
    names, cursor = [], ""
    while True:
        page = answer["List"](None, None, cursor, 10)
        names += [row["name"] for row in page["rows"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert names == [f"session-{n}" for n in range(1, 26)]


@pytest.mark.parametrize("name", ["", "session-", "session-9", "session-1x", "ppp0", "session-" + "9" * 30,
                                  "session--1"])
def test_names_that_are_none_are_not_found(world, name):
    world.client()
    with pytest.raises(NotFound):
        commands(world)["Destroy"](None, name)
    assert world.links.counts.destroy_failures == 1


WORDS = ["pppol2tp", "tunnel-id", "7", "session-id", "9", "profile", "open", "mru", "1400", "noipv6"]


def test_create_puts_ppp_on_a_session_that_has_none(world):
    row = world.row(world.session()[0], "open", options={"mru": ["1400"], "ipv6": ["false"]})
    claims = []
    world.attach()
    world.prol2tpd.claim = lambda **claim: claims.append(claim) or succeed({"row": row})
    answer = result(commands(world)["Create"](None, WORDS))
    assert claims == [{"tunnel_id": 7, "session_id": 9, "ppp_profile": "open",
                       "options": {"mru": ["1400"], "ipv6": ["false"]}}]
    link = world.links.named(answer["name"])
    assert (link.core.settings.mru, link.core.settings.ipv6, link.carrier.id) == (1400, False, row["id"])
    assert (world.links.counts.create_requests, world.links.counts.create_failures) == (1, 0)


def test_a_claimed_session_whose_link_is_refused_is_released(world):
    world.attach()
    world.links.max_links = 1
    world.client()
    row = world.row(world.session()[0], "open")
    world.prol2tpd.claim = lambda **claim: succeed({"row": row})
    with pytest.raises(Refused, match="max_links"):
        result(commands(world)["Create"](None, WORDS))
    world.settle()
    assert [(row["id"], row["state"]) for row in world.prol2tpd.rows if row["state"] == "released"] == [
        (row["id"], "released")]


@pytest.mark.parametrize(("words", "error", "text"), [
    (["pppoe", "eth0"], Invalid, "no option 'eth0'"),
    (["pppoe", "service", "x"], Invalid, "interface eth0"),
    (["pppoe", "interface", "eth0"], Refused, "interface eth0: No such device"),
    (["pppoe", "interface", "eth0", "profile", "nobody"], Refused, "no PPP profile"),
    (["pppoe", "interface"], Invalid, "interface needs a value"),
    (["pppoe", "interface", "eth0", "host-uniq", "xyz"], Invalid, "hexadecimal"),
    (["pppoe", "interface", "eth0", "vlan", "4095"], Invalid, "1 to 4094"),
    (["pppoe", "interface", "eth0", "mru", "1"], Invalid, "128 to 16384"),
    (["tty"], Invalid, "needs a device"),
    (["tty", "ttyS0", "escape", "30"], Invalid, "octet 30"),
    (["tty", "ttyS0", "escape", "zz"], Invalid, "11,13"),
    (["tty", "ttyS0", "asyncmap", "0x100000000"], Invalid, "a0000"),
    (["tty", "ttyS0", "maxfail", "many"], Invalid, "needs a number"),
    (["tty", "ttyS0", "10.0.0.300:"], Invalid, "10.0.0.300"),
    (["tty", "ttyS0", ":"], Invalid, "no option ':'"),
    (["tty", "ttyS0", "unit", "x"], Invalid, "unit needs a number"),
    (["ppp"], Invalid, "pppol2tp, pppoe, tty"),
    ([], Invalid, "type of the link"),
    (["pppol2tp", "tunnel-id", "7"], Invalid, "session-id"),
    ([*WORDS[:5], "profile", "nobody"], Refused, "no PPP profile"),
    ([*WORDS[:5], "mru", "1"], Invalid, "128 to 16384"),
    ([*WORDS[:5], "bogus"], Invalid, "no option 'bogus'"),
    ([*WORDS[:5], "refuse-chap", "refuse-pap", "refuse-mschap", "refuse-mschap-v2", "refuse-eap"], Invalid,
     "leave one"),
])
def test_create_refuses_in_one_line_and_claims_nothing(world, words, error, text):
    world.attach()
    with pytest.raises(error, match=text):
        result(commands(world)["Create"](None, words))
    assert world.links.counts.create_failures == 1


@pytest.mark.parametrize(("options", "text"), [
    ({"local_ip": ["10.0.0.1"], "peer_ip": ["10.0.0.1"]}, "peer_ip: local_ip and peer_ip are both 10.0.0.1; give one"),
    ({"table": ["5"], "vrf": ["red"]}, "table: table and vrf together: a VRF has its own table; remove one of them"),
    ({"ccp": ["none", "deflate"]}, "ccp: none stands alone"),
])
def test_options_that_contradict_each_other_are_refused_like_those_of_the_file(world, options, text):
    (refusal,) = world.attach(world.row(world.session()[0], "open", options=options))
    assert refusal.startswith(text) and len(world.links) == 0


def test_requests_and_failures_are_counted_once_however_long_they_take(world):
    world.attach()
    claim = Deferred()
    world.prol2tpd.claim = lambda **_: claim
    commands(world)["Create"](None, WORDS).addErrback(lambda _: None)
    near, _ = world.session()
    assert world.attach(world.row(near, "open")) == [None]
    assert world.attach(world.row(near, "open")) == [None], "it keeps its link"
    claim.errback(NotFound("there is no session 9 in tunnel 7"))
    counts = world.links.counts
    assert (counts.create_requests, counts.create_failures, counts.created) == (2, 1, 1)
    bad = world.row(world.session()[0], "open", options={"mru": ["1"]})
    nowhere = world.row(world.session()[0], "open", mtu="x")
    assert None not in world.attach(bad, nowhere)
    assert (counts.create_requests, counts.create_failures, counts.created) == (4, 3, 1)


def test_create_without_prol2tpd_is_refused(world):
    with pytest.raises(Refused, match="not connected"):
        result(commands(world)["Create"](None, WORDS))


def test_the_log_level_of_one_link_turns_its_trace_on_and_off(world):
    _, link = world.client()
    answer = commands(world)
    answer["SetLogLevel"](None, "debug", "session-1")
    assert answer["Show"](None, "session-1")["link"]["debug"] == 7
    assert link.core._lower.trace is not None
    answer["SetLogLevel"](None, "notice", "session-1")
    assert link.core._lower.trace is None
    with pytest.raises(Invalid):
        answer["SetLogLevel"](None, "loud", None)


def test_nothing_is_left_in_the_reactor_after_stop(world):
    client, link = world.client()
    world.prol2tpd.lose()
    client.driver.stop()
    link.lost("Lost Carrier", "")
    world.settle()
    world.attachments.stop()
    world.links.stop()
    assert world.clock.getDelayedCalls() == []
    assert isinstance(world.attachments, Owners)


def test_a_session_that_cannot_be_attached_does_not_cost_the_others_of_its_batch(world):
    one, two = world.session()[0], world.session()[0]
    receiver = world.near.port_receiver

    def broken(port, callback):
        if port == one and callback is not None:
            raise RuntimeError("no such port")
        receiver(port, callback)

    world.near.port_receiver = broken
    attach = world.links.attach

    def attached(carrier, *rest, **words):
        return 1 / 0 if carrier.port == two else attach(carrier, *rest, **words)

    world.links.attach = attached
    three = world.session()[0]
    results = world.attach(world.row(one), world.row(two), world.row(three))
    assert results[0] is None and "ZeroDivisionError" in results[1] and results[2] is None
    assert list(world.links.by_port) == [three]


def test_a_port_has_one_link(world):
    port = world.session()[0]
    assert world.attach(world.row(port)) == [None]
    assert "has a link" in world.attach(world.row(port, id="9/9"))[0]
    assert world.links.by_port[port].carrier.id != "9/9"


@pytest.mark.parametrize(("asyncmap", "maps"), [(0, (0, 0xFFFFFFFF)), (0xA0000, (0xA0000, 0xFFFFFFFF)), (None, None)])
def test_the_lac_is_told_at_once_what_lcp_has_agreed_to_escape(world, asyncmap, maps):
    client, link = world.client(password="wrong" if asyncmap else "pw1", asyncmap=asyncmap)
    world.later(10)
    told = [(row["send_accm"], row["receive_accm"]) for row in world.prol2tpd.rows if row["state"] == "lcp"]
    assert told == ([maps] if maps else [])
    # before authentication, which the client's line could not carry otherwise
    states = [row["state"] for row in world.prol2tpd.rows]
    assert states == (["lcp"] if maps else []) + (["closed"] if asyncmap else ["up"])


def test_a_session_whose_lac_we_are_tells_nobody_of_maps(world):
    world.client(asyncmap=0, row={"lns": False})
    world.later(5)
    assert "lcp" not in [row["state"] for row in world.prol2tpd.rows]


def test_maps_of_both_directions_are_told_in_one_row():
    world = LinksWorld(CONFIG.replace("auth_methods chap pap", "auth_methods chap pap; asyncmap 0"))
    world.client(asyncmap=0x20000)
    world.later(5)
    assert [row["state"] for row in world.prol2tpd.rows] == ["lcp", "up"]
    assert (world.prol2tpd.rows[0]["send_accm"], world.prol2tpd.rows[0]["receive_accm"]) == (0x20000, 0)
