"""Sessions of peers that prol2tpd offers to proacd (RFC 2661 LTS), and what a LAC says of its subscriber on the way."""

from __future__ import annotations

import pytest

from prol2tp.config.prol2tpd import load
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.attach import Attachment
from prol2tp.l2tp import outputs
from prol2tp.l2tp.avptable import CallErrors
from tests.shell.test_prol2tpd import all_sessions, world  # noqa: F401
from tests.shell.test_prol2tpd_calls import LINE, PROXY, Proacd, call

SWITCH = """
system { hostname "lts"; listen 10.99.0.1:1701 }
session profile "ppp" { ppp_profile "subscribers" }
tunnel profile "switched" { peer 10.99.0.0/24; peer_hostname "lac"; secret "s3cret"; VERSION }
tunnel profile "served" { peer 10.99.0.0/24; peer_hostname "other"; secret "s3cret"; session_profile "ppp" }
"""
LAC = 'system { hostname "lac" }'


def keyed(id, key="k", session=None, **more):
    parameters = {"peer": "10.99.0.1", "secret": "s3cret", **more.pop("tunnel", {})}
    row = call(id, {"key": key, "parameters": parameters}, **more)
    row["session"] = {"parameters": session or {}}
    return row


def switch(world, version="version l2tpv2"):  # noqa: F811
    world.lts, world.lac = world.host(SWITCH.replace("VERSION", version)), world.host(LAC)
    world.lts.start()
    world.upstream, world.proacd = Proacd(world.lac), Proacd(world.lts)
    world.upstream.serve()
    world.proacd.serve(("switched",))
    return world


@pytest.fixture
def lts(world):  # noqa: F811
    return switch(world)


@pytest.mark.parametrize("hide", ["false", "true"])
@pytest.mark.parametrize("version", ["l2tpv2", "l2tpv3"])
def test_what_the_lac_says_of_its_subscriber_arrives_as_it_was(world, version, hide):  # noqa: F811
    lts = switch(world, f"version {version}; hide_avps {hide}")
    lts.upstream.open(keyed(
        "1.1", tunnel={"version": version, "hide_avps": hide}, proxy=PROXY, line=LINE, lcp_want="010405d4",
        lcp_allow="0206ffffffff",
        session={"calling_number": "00:11:22:33:44:55", "called_number": "internet", "sub_address": "7",
                 "connect_speed": "16000000:1000000", "priv_group_id": "vpn1", "access_line": "true"}))
    lts.run(2)
    assert lts.upstream.last("1.1")["state"] == "up"
    (row,) = lts.proacd.offered
    assert (row["proxy"], row["line"], row["lcp_want"], row["lcp_allow"]) == (PROXY, LINE, "010405d4", "0206ffffffff")
    assert (row["calling_number"], row["called_number"], row["sub_address"]) == ("00:11:22:33:44:55", "internet", "7")
    assert (row["tx_connect_speed"], row["rx_connect_speed"]) == (16_000_000, 1_000_000)
    assert (row["tunnel_profile"], row["private_group_id"], row["version"]) == (
        "switched", b"vpn1".hex(), int(version[-1]))
    assert row["peer_host_name"] == "lac" and row["lns"] and row["ppp_profile"] == ""


def test_the_line_is_told_only_to_a_peer_that_is_configured_for_it(lts):
    lts.upstream.open(keyed("1.1", line=LINE, proxy=PROXY))
    lts.run(2)
    (row,) = lts.proacd.offered
    assert row["line"] is None and row["proxy"] == PROXY


def test_status_shows_the_user_whom_the_lac_names_at_both_ends(lts):
    lts.upstream.open(keyed("1.1", proxy=PROXY), keyed("1.2", proxy={"authen_name": "ff" * 300}))
    lts.run(2)
    for host in (lts.lts, lts.lac):
        shown = {row["identifier"] for row in host.call("ListSessions")["rows"]}
        assert shown == {"u1@example.com", "\ufffd" * 255}


def test_a_lac_that_says_nothing_gives_empty_records(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    (row,) = lts.proacd.offered
    assert (row["proxy"], row["line"], row["lcp_want"], row["lcp_allow"]) == (None, None, "", "")


def test_only_sessions_of_the_profiles_that_proacd_serves_are_offered(lts):
    lts.upstream.open(keyed("1.1"), keyed("2.1", "other", tunnel={"hostname": "other"}))
    lts.run(2)
    assert len(lts.proacd.offered) == 1 and len(lts.lts.ppp.up) == 1
    assert lts.lts.ppp.up[0].profile.ppp_profile == "subscribers"


def test_a_session_that_proacd_refuses_ends_with_the_reason(lts):
    lts.proacd.refuse = "no route for it"
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    row = lts.upstream.last("1.1")
    assert (row["state"], row["by_peer"], row["result"]) == ("closed", True, 2) and "no route for it" in row["message"]
    assert not lts.proacd.changed and not all_sessions(lts.lts)


def test_the_end_by_the_peer_is_told_to_proacd_with_its_cause(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    lts.upstream.close("1.1", "Admin Reset")
    lts.run(1)
    (row,) = lts.proacd.changed
    assert (row["id"], row["state"], row["cause"]) == (lts.proacd.offered[0]["id"], "closed", "Admin Reset")


def test_a_session_that_proacd_closes_ends_at_the_peer_and_is_not_told_of(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    lts.proacd.close(lts.proacd.offered[0]["id"], "Peer Request")
    lts.run(1)
    assert lts.upstream.last("1.1")["cause"] == "Peer Request"
    assert not lts.proacd.changed and not all_sessions(lts.lts)


def test_sessions_wait_for_proacd_for_the_grace_time_and_new_ones_too(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    lts.proacd.lose()
    lts.run(15)
    lts.upstream.open(keyed("1.2"))
    lts.run(14)
    assert len(all_sessions(lts.lts)) == 2
    lts.run(3)
    assert lts.upstream.last("1.1")["state"] == "closed" and lts.upstream.last("1.2")["state"] == "up"
    lts.run(15)
    assert lts.upstream.last("1.2")["state"] == "closed" and not all_sessions(lts.lts)
    assert "proacd is not running" in lts.upstream.last("1.2")["message"]


def test_proacd_that_comes_back_keeps_what_it_knows_and_is_offered_what_is_new(lts):
    lts.upstream.open(keyed("1.1"), keyed("1.2"))
    lts.run(2)
    known, forgotten = [row["id"] for row in lts.proacd.offered]
    lts.proacd.lose()
    lts.upstream.open(keyed("1.3"))
    lts.run(10)
    lts.proacd.back()
    assert lts.proacd.serve(("switched",), calls=[known, "7/7"]) == ["7/7"]
    lts.run(1)
    assert len(lts.proacd.offered) == 1 and lts.proacd.offered[0]["id"] not in (known, forgotten)
    assert set(all_sessions(lts.lts)) == {known, lts.proacd.offered[0]["id"]}
    lts.run(100)
    assert len(all_sessions(lts.lts)) == 2


def test_an_offer_that_the_lost_connection_took_along_is_made_again(lts):
    lts.proacd.broken = True
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    assert not lts.proacd.offered
    lts.proacd.lose()
    lts.proacd.back()
    lts.proacd.serve(("switched",))
    lts.run(1)
    assert len(lts.proacd.offered) == 1 and len(all_sessions(lts.lts)) == 1


def test_a_new_connection_that_keeps_all_is_offered_what_nobody_has_taken_yet(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    lts.proacd.lose()
    lts.upstream.open(keyed("1.2"))
    lts.run(2)
    taken = lts.proacd.offered[0]["id"]
    lts.proacd.back()
    lts.proacd.serve(("switched",), calls=None)
    lts.run(1)
    assert len(lts.proacd.offered) == 1 and lts.proacd.offered[0]["id"] != taken
    lts.run(60)
    assert len(all_sessions(lts.lts)) == 2


def test_sessions_without_ppp_that_were_up_before_are_offered_when_proacd_serves_them(world):  # noqa: F811
    lts = switch(world)
    lts.proacd.serve(())
    lts.upstream.open(keyed("1.1"), keyed("2.1", "other", tunnel={"hostname": "other"}))
    lts.run(2)
    assert not lts.proacd.offered and len(lts.lts.ppp.up) == 2
    lts.proacd.serve(("switched", "served"), calls=None)
    lts.run(1)
    assert [row["tunnel_profile"] for row in lts.proacd.offered] == ["switched"]
    lts.proacd.serve(("switched",), calls=None)
    lts.run(1)
    assert len(lts.proacd.offered) == 1


def test_a_profile_that_is_served_no_more_keeps_its_sessions_and_new_ones_go_elsewhere(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    lts.proacd.serve((), calls=None)
    lts.upstream.open(keyed("1.2"))
    lts.run(2)
    assert len(lts.proacd.offered) == 1 and len(lts.lts.ppp.up) == 1
    lts.proacd.close(lts.proacd.offered[0]["id"])
    lts.run(1)
    assert lts.upstream.last("1.1")["state"] == "closed" and lts.upstream.last("1.2")["state"] == "up"


def test_an_id_that_comes_again_is_told_as_closed_before_it_is_offered(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    order = []
    told = lts.proacd.call

    def noted(command, calls):
        order.append(command)
        return told(command, calls)

    lts.proacd.call = noted
    (record,) = all_sessions(lts.lts).values()
    lts.lts.plane.offers.session_down(record, "Lost Carrier", "gone")
    lts.lts.plane.offers.hand(record)
    lts.run(1)
    assert order == ["CallsChanged", "OfferCalls"]


def test_thousands_of_offers_go_in_turns_and_a_reload_changes_the_grace_time(lts):
    lts.upstream.open(*(keyed(f"{number}") for number in range(1500)))
    lts.run(12)
    assert len(lts.proacd.offered) == 1500
    text = SWITCH.replace("VERSION", "").replace("system {", "system { proacd_grace_timeout 5;")
    reload.apply(lts.lts.plane, load(text, "test.conf"))
    lts.proacd.lose()
    lts.run(8)
    assert not all_sessions(lts.lts)


def test_an_lns_gets_no_call_into_a_tunnel_that_was_made_for_calls_of_proacd(lts):
    lts.upstream.open(keyed("1.1"))
    lts.run(2)
    (theirs,) = all_sessions(lts.lts).values()
    assert lts.upstream.last("1.1")["state"] == "up"
    settings = lts.lts.plane.admission.session_settings(None)
    lts.lts.plane.driver.call(lts.lts.plane.endpoint.open_session, theirs.tunnel.tunnel_id, settings)
    lts.run(1)
    assert len(all_sessions(lts.lac)) == 1 and len(all_sessions(lts.lts)) == 1


NEXT = """
system { hostname "lns"; listen 10.99.0.9:1701 }
session profile "ppp" { ppp_profile "subscribers" }
tunnel profile "lts" { peer 10.99.0.0/24; secret "next"; session_profile "ppp"; version auto }
"""


class Switched:
    """A call from the LAC through the switch to the next LNS; records of it at each."""

    def __init__(self, world, version="l2tpv2"):  # noqa: F811
        self.world = switch(world)
        self.lns = world.host(NEXT)
        self.lns.start()
        world.upstream.open(keyed("1.1"))
        world.run(2)
        (self.offer,) = world.proacd.offered
        self.lac, self.source = (next(iter(all_sessions(host).values())) for host in (world.lac, world.lts))
        # the LAC has an address of its own
        onward = {"key": "n", "parameters": {"peer": "10.99.0.9", "local": "10.99.0.3", "secret": "next",
                                             "version": version}}
        assert world.proacd.open(call("1.1", onward, source=self.offer["id"])) == [None]
        world.run(2)
        assert world.proacd.last("1.1")["state"] == "up"
        (self.end,) = all_sessions(self.lns).values()
        self.call = world.lts.plane.find(world.proacd.last("1.1")["tunnel_id"], world.proacd.last("1.1")["session_id"])

    def said(self, host, output):
        """What this host hears from now on."""
        heard = []
        carry = host.plane.driver._actions[output]

        def both(one):
            heard.append(one)
            carry(one)

        host.plane.driver._actions[output] = both
        return heard

    def say(self, host, what, record, **more):
        host.plane.driver.call(getattr(host.plane.endpoint, what), record.tunnel.tunnel_id, record.session_id, **more)
        self.world.run(1)


@pytest.mark.parametrize("version", ["l2tpv2", "l2tpv3"])
def test_a_switch_keeps_the_call_serial_number_and_passes_wen_on_and_sli_back(world, version):  # noqa: F811
    switched = Switched(world, version)
    assert switched.end.core.call_serial_number == switched.source.core.call_serial_number
    errors = switched.said(switched.lns, outputs.WANErrors)
    counters = CallErrors(1, 2, 3, 4, 5, 6)
    switched.say(world.lac, "send_wan_errors", switched.lac, counters=counters)
    assert [one.counters for one in errors] == [counters]
    links = switched.said(world.lac, outputs.LinkInfoChanged)
    switched.say(switched.lns, "send_link_info", switched.end, send_accm=0xA0000, receive_accm=0,
                 last_sent=b"\x05\x06abcd")
    (link,) = links
    assert (link.send_accm, link.receive_accm, link.last_sent, link.last_received) == (
        0xA0000, 0, b"\x05\x06abcd", b"")


def test_a_switch_passes_new_speeds_on_to_an_lns_that_was_told_of_them_or_that_asks(world):  # noqa: F811
    switched = Switched(world)
    heard = switched.said(switched.lns, outputs.SpeedChanged)
    switched.say(world.lac, "send_connect_speed", switched.lac, tx=50_000_000, rx=10_000_000)
    assert switched.call.core.speeds == (50_000_000, 10_000_000) and not heard
    switched.say(switched.lns, "ask_connect_speed", switched.end)
    assert [(one.tx, one.rx) for one in heard] == [(50_000_000, 10_000_000)]
    switched.call.core.settings.speed_updates = True
    switched.say(world.lac, "send_connect_speed", switched.lac, tx=6, rx=5)
    assert [(one.tx, one.rx) for one in heard][1:] == [(6, 5)]


def test_what_is_said_while_the_other_end_goes_is_lost_and_hurts_nobody(world):  # noqa: F811
    switched = Switched(world)
    world.lts.call("DestroySession", tunnel_id=switched.call.tunnel.tunnel_id, session_id=switched.call.session_id)
    switched.say(world.lac, "send_wan_errors", switched.lac, counters=CallErrors(1, 2, 3, 4, 5, 6))
    assert switched.source.joined in (None, switched.call)
    world.run(120)
    assert switched.source.joined is None and world.lts.plane.faults == 0


def test_a_call_that_carries_on_nothing_that_there_is_is_a_call_like_others(lts):
    lns = lts.host(NEXT)
    lns.start()
    onward = {"key": "n", "parameters": {"peer": "10.99.0.9", "secret": "next"}}
    assert lts.proacd.open(call("1.1", onward, source="7/8"), call("2.1", onward, source="x"),
                           call("3.1", onward, source=None)) == [None] * 3
    lts.run(2)
    assert [row["state"] for row in lts.proacd.changed] == ["up"] * 3


@pytest.mark.parametrize(("send", "receive"), [(0, 0), (0xA0000, 0xFFFFFFFF)])
def test_a_lac_hears_what_ppp_has_agreed_to_escape(world, send, receive):  # noqa: F811
    switched = Switched(world)
    heard = switched.said(world.lac, outputs.LinkInfoChanged)
    record = switched.end
    attachment = Attachment(world.clock, switched.lns.log, 30)
    attachment.plane = switched.lns.plane
    attachment.sessions_changed([{"id": record.key, "state": "lcp", "send_accm": send, "receive_accm": receive}])
    world.run(1)
    # through the switch
    assert [(one.send_accm, one.receive_accm) for one in heard] == [(send, receive)]
    assert record.core.state.name == "ESTABLISHED" and record.user == ""
