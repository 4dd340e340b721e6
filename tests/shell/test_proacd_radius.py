"""RADIUS says where a route leads: what is asked, what comes of the answers, and what the user hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from prol2tp.ppp.chap import verify_md5
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, SendFrame
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import Grant, LinkSettings
from prol2tp.radius import access, packets
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import PPPOE_OVER_ETHERNET
from prol2tp.radius.dictionary import ATTRIBUTES
from prol2tp.radius.outputs import Accepted, Challenged, NoAnswer
from prol2tp.radius.tunnels import TunnelGroup
from tests.shell.proacd_radius_world import LNS, User, World

USER = b"u1@isp.example"


@pytest.fixture
def world() -> World:
    return World()


def sent(request: Any) -> dict[Any, bytes]:
    """Attributes of an Access-Request on the wire."""
    return dict(packets.attributes(packets.decode(access.encode(request, 1, bytes(16), b"x"), b"x")))


def test_a_user_is_asked_who_he_is_and_radius_where_he_belongs(world: World) -> None:
    route = world.user().dial()
    request = world.request
    assert (request.user, request.method, request.nas.identifier) == (USER, "chap", "lac1")
    assert verify_md5(request.identifier, b"pw", request.challenge, request.response)
    port = request.port
    assert (port.nas_port, port.nas_port_type, port.nas_port_id) == (
        route.number, PPPOE_OVER_ETHERNET, f"pppoe eth0:{route.source.port}")
    assert (port.calling_station_id, port.called_station_id) == ("02:00:00:00:00:01", "internet")
    wire = sent(request)
    assert (wire[3561, 1], wire[3561, 130]) == (b"eth 1/0:7", (20_000_000).to_bytes(4, "big"))
    assert (wire[6], wire[7]) == (bytes((0, 0, 0, 2)), bytes((0, 0, 0, 1)))
    assert next(iter(wire)) == 80, "Message-Authenticator first"
    assert request.acct_session_id.startswith(world.profiles.by_name["aaa"].run)
    world.accept(LNS)
    (call,) = world.calls
    assert call.place is not None
    assert (call.place.name, call.place.key) == ("192.0.2.1", "isp@192.0.2.1")
    assert call.place.tunnel == {"peer": "192.0.2.1", "secret": f"hex:{b'default'.hex()}", "hello_timeout": "20"}
    call.up()
    assert (route.state.value, route.user) == ("joined", "u1@isp.example")


def test_pap_is_asked_about_with_its_password(world: World) -> None:
    world.configure("accounting off auth_methods pap")
    world.user().dial()
    assert (world.request.method, world.request.password) == ("pap", b"pw")


def test_what_was_negotiated_is_handed_to_the_lns_which_goes_on_from_there(world: World) -> None:
    user = world.user()
    route = user.dial()
    world.accept(LNS)
    record = ProxyRecord.from_record(route.proxy)
    assert (record.authen_type, record.authen_name, record.authen_id) == (2, USER, world.calls[0].choice and
                                                                         record.authen_id)
    assert record.authen_challenge is not None and len(record.authen_response or b"") == 16
    assert record.last_sent_confreq and record.last_received_confreq and record.initial_received_confreq
    settings = LinkSettings(auth=True, mru=1492, mtu=1492, local_ip="10.0.0.1", pcomp=False, accomp=False)
    lns = Link(settings, world.random)
    now = world.clock.seconds()
    lns.open(now, proxy=record)
    asked = [output for output in lns.outputs() if isinstance(output, AskAuthentication)]
    assert [one.user for one in asked] == [USER]
    assert verify_md5(asked[0].identifier, b"pw", asked[0].challenge, asked[0].response)
    user.callback = lambda frame: lns.receive(frame, world.clock.seconds())
    lns.authenticated(Grant(peer_ip="10.0.0.9"), now)
    for _ in range(20):
        for output in lns.outputs():
            if isinstance(output, SendFrame):
                user.send(output.frame)
        world.settle()
    assert user.link.ipcp is not None and user.link.ipcp.state.name == "OPENED"


def test_the_link_is_silent_after_it_was_handed_over(world: World) -> None:
    user = world.user()
    user.dial()
    world.accept(LNS)
    assert user.callback is None
    said: list[bytes] = []
    user.send = said.append  # type: ignore[method-assign]
    world.calls[0].up()
    world.settle(100)
    assert not said and not user.closed and len(world.choice.deadlines) == 0


def test_passwords_and_servers_of_radius_become_parameters_of_tunnels(world: World) -> None:
    world.user().dial()
    world.accept(
        TunnelGroup(1, server_endpoint="[2001:db8::1]:1702", password=b"s\xff", client_auth_id="lac7", preference=5,
                    client_endpoint="2001:db8::7", hello_interval=30, idle_timeout=15, hide_avps=True,
                    authentication=True, private_group_id="vpn"),
        TunnelGroup(2, server_endpoint="lns.example", preference=7, authentication=False, hide_avps=False))
    (call,) = world.calls
    assert call.place is not None and (call.place.preference, call.place.name) == (0, "[2001:db8::1]:1702")
    assert call.place.tunnel == {
        "peer": "[2001:db8::1]:1702", "secret": "hex:73ff", "hostname": "lac7", "local": "2001:db8::7",
        "hello_timeout": "30", "idle_timeout": "15", "hide_avps": "true", "auth_mode": "challenge"}
    assert call.place.session["priv_group_id"] == "hex:76706e"
    assert call.place.session["connect_speed"]
    assert "73ff" not in repr(call.place)
    call.fail(True)
    (second,) = world.calls
    assert second.place is not None and second.place.preference == 1
    assert (second.place.tunnel["auth_mode"], second.place.tunnel["hide_avps"]) == ("none", "false")


def test_names_class_and_time_of_the_answer_are_those_of_the_route(world: World) -> None:
    route = world.user().dial()
    world.accept(LNS, user_name="Customer 7", classes=(b"gold", b"x"), session_timeout=600)
    assert route.user == "Customer 7" and route.choice is not None
    assert (route.choice.class_, route.choice.session_timeout) == ((b"gold", b"x"), 600)
    assert ProxyRecord.from_record(route.proxy).authen_name == USER, "the LNS hears what the user said"
    world.calls[0].up()
    world.settle(601)
    assert world.calls[0].closed == [("Session Timeout", "the session's time is over")]


def test_a_user_who_is_rejected_is_told_why_then_the_link_ends_and_the_session(world: World) -> None:
    user = world.user()
    user.dial()
    world.reject("account closed")
    world.settle(5)
    assert user.down == LinkDown("Authentication To Peer Failed", "account closed", True)
    assert user.closed == [("Authentication Failed", "account closed")] and not world.calls
    counters = world.profiles.counters
    assert (counters.successes, counters.failures, counters.timeouts) == (0, 1, 0)


def test_a_challenge_is_a_reject(world: World) -> None:
    user = world.user()
    user.dial()
    world.answer(Challenged(1, Answer(reply_message="token?"), "r1"))
    world.settle(5)
    assert user.closed == [("Authentication Failed", "token?")]


def test_servers_that_do_not_answer_are_not_the_users_fault(world: World) -> None:
    user = world.user()
    user.dial()
    world.answer(NoAnswer(1, "no server answered in time"))
    world.settle(5)
    assert user.down is not None and user.down.cause == "Peer Request"
    assert user.closed == [("NAS Error", "no answer from RADIUS: no server answered in time")]
    counters = world.profiles.counters
    assert (counters.successes, counters.failures, counters.timeouts) == (0, 1, 1)


def test_without_a_tunnel_the_user_is_refused_or_gets_local_ppp(world: World) -> None:
    user = world.user()
    user.dial()
    world.accept()
    world.settle(5)
    assert user.closed == [("NAS Error", "RADIUS server r1 names no tunnel")]
    world.configure("accounting off", 'ppp_profile "users"')
    route = world.user("u2@isp.example").dial()
    world.accept(session_timeout=60)
    (call,) = world.calls
    assert (call.choice.kind, call.choice.ppp_profile) == ("ppp", "users")
    assert ProxyRecord.from_record(route.proxy).authen_name == b"u2@isp.example"


@pytest.mark.parametrize("answer", [
    Answer(tunnel_problems=("tunnel 1: Tunnel-Type 1 is not L2TP",)), Answer(service_type=1, tunnels=(LNS,)),
])
def test_an_answer_that_cannot_be_served_is_a_reject(world: World, answer: Answer) -> None:
    world.configure("accounting off", 'ppp_profile "users"')
    user = world.user()
    user.dial()
    world.answer(Accepted(1, answer, "r1"))
    world.settle(5)
    assert user.closed[0][0] == "Authentication Failed" and not world.calls


def test_a_broken_tunnel_costs_no_user_who_has_another(world: World) -> None:
    world.user().dial()
    world.accept(LNS, tunnel_problems=("tunnel 2: no Tunnel-Server-Endpoint",))
    assert len(world.calls) == 1


def test_a_realm_is_asked_about_with_a_password_of_its_own(world: World) -> None:
    world.configure('accounting off ask realm password "cisco"')
    route = world.user().dial()
    request = world.request
    assert (request.user, request.method, request.password) == (b"isp.example", "pap", b"cisco")
    assert request.port.service_type == 5
    world.accept(LNS)
    assert route.user == "u1@isp.example"
    assert ProxyRecord.from_record(route.proxy).authen_name == USER
    user = world.user("nobody")
    user.dial()
    world.settle(5)
    assert user.closed == [("NAS Error", "the user names no realm")] and not world.server.asked
    world.configure("accounting off ask realm realm_delimiter %", 'ppp_profile "users"')
    world.user("nobody").dial()
    assert world.calls[-1].choice.kind == "ppp"


def test_a_line_is_asked_about_before_the_user_speaks(world: World) -> None:
    world.configure("accounting off ask line")
    user = world.user()
    route = user.dial()
    request = world.request
    assert (request.user, request.password, request.port.service_type) == (b"eth 1/0:7", b"eth 1/0:7", 10)
    assert dict(request.port.line)[ATTRIBUTES["Actual-Data-Rate-Downstream"].key] == (20_000_000).to_bytes(4, "big")
    assert not user.sent and user.callback is None, "LCP is the LNS's"
    world.accept(LNS)
    assert route.user == "eth 1/0:7"
    record = ProxyRecord.from_record(route.proxy)
    assert record.want_options and record.allow_options and record.last_sent_confreq is None
    world.user(line=None).dial()
    assert world.request.user == b"02:00:00:00:00:01"
    world.reject("no such line")
    assert world.users[1].closed == [("Authentication Failed", "no such line")]
    world.configure("accounting off ask line line_name remote_id")
    lost = world.user(line=None)
    lost.dial()
    assert lost.closed == [("NAS Error", "nothing is known of the line")]


def test_a_source_that_goes_takes_its_question_along(world: World) -> None:
    user = world.user()
    route = user.dial()
    assert world.profiles.by_name["aaa"].negotiating == 1
    world.routes.source_closed(route, "User Request", "PADT")
    world.settle(100)
    assert not world.server.asked and world.server.cancelled == 1 and len(world.routes) == 0
    assert world.profiles.by_name["aaa"].negotiating == 0 and len(world.choice.deadlines) == 0
    assert user.released and user.callback is None


def test_a_source_that_goes_while_it_speaks_leaves_nothing(world: World) -> None:
    user = world.user()
    user.link = Link(LinkSettings(silent=True), world.random)
    route = user.dial()
    world.settle(1)
    world.routes.source_closed(route, "User Request", "PADT")
    assert len(world.choice.deadlines) == 0 and world.profiles.by_name["aaa"].negotiating == 0
    pending = world.user()
    pending.opened = Deferred()
    route = pending.dial()
    world.routes.source_closed(route, "User Request", "PADT")
    assert pending.opened.called and world.profiles.by_name["aaa"].negotiating == 0


def test_a_source_that_cannot_be_opened_is_refused(world: World) -> None:
    user = world.user()
    user.opened = Deferred()
    user.dial()
    user.opened.errback(ValueError("no port"))
    assert user.closed == [("NAS Error", "no port")]


def test_a_user_who_says_nothing_is_given_up(world: World) -> None:
    world.configure("accounting off negotiation_timeout 10")
    user = world.user()
    user.work = lambda: False  # type: ignore[method-assign]
    user.dial()
    world.settle(9)
    assert not user.closed
    world.settle(30)
    assert user.closed and len(world.choice.deadlines) == 0 and world.profiles.by_name["aaa"].negotiating == 0


def test_no_more_users_log_in_at_a_time_than_the_profile_says(world: World) -> None:
    world.configure("accounting off max_negotiations 2")
    users = [world.user() for _ in range(3)]
    for user in users:
        user.dial()
    assert users[2].closed == [("NAS Error", "too many users are logging in")]
    world.accept(LNS)
    world.user().dial()
    assert len(world.server.asked) == 2


def test_a_user_who_begins_anew_while_radius_thinks_is_asked_about_again(world: World) -> None:
    user = world.user()
    route = user.dial()
    assert len(world.server.asked) == 1
    again = Link(LinkSettings(user="u2@isp.example", password="pw2"), world.random)
    user.link = again
    again.open(world.clock.seconds())
    world.settle(10)
    assert [record.user for record, _ in world.server.asked] == [USER]
    world.accept(LNS)
    assert not world.calls and world.request.user == b"u2@isp.example"
    world.accept(LNS)
    assert ProxyRecord.from_record(route.proxy).authen_name == b"u2@isp.example"


def test_an_answer_for_a_user_who_has_just_begun_anew_is_not_used(world: World) -> None:
    user = world.user()
    route = user.dial()
    user.link = Link(LinkSettings(user="u2@isp.example", password="pw2", silent=True), world.random)
    # a Configure-Request alone takes the link back to the beginning
    restart = Link(LinkSettings(user="u2@isp.example", password="pw2"), world.random)
    restart.open(world.clock.seconds())
    (first, *_) = [output for output in restart.outputs() if isinstance(output, SendFrame)]
    user.link = restart
    assert user.callback is not None
    user.callback(first.frame)
    user.work = lambda: False  # type: ignore[method-assign]
    world.accept(LNS)
    assert not world.calls and route.state.value == "choosing"
    del user.work  # type: ignore[method-assign]
    world.settle(10)
    assert world.request.user == b"u2@isp.example"
    world.accept(LNS)
    assert len(world.calls) == 1


def test_an_lns_that_is_dead_is_left_out_until_one_user_has_tried_it_again(world: World) -> None:
    groups = (TunnelGroup(1, server_endpoint="192.0.2.1", preference=1),
              TunnelGroup(2, server_endpoint="192.0.2.2", preference=2))
    world.user().dial()
    world.accept(*groups)
    world.calls[0].fail(True)
    assert [call.label for call in world.calls] == ["192.0.2.2"]
    world.calls[0].up()
    world.user().dial()
    world.accept(*groups)
    assert world.calls[1].label == "192.0.2.2"
    world.calls[1].up()
    world.settle(61)
    for user in [world.user() for _ in range(3)]:
        user.dial()
        world.accept(*groups)
    assert [call.label for call in world.calls[2:]] == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]


def test_an_lns_that_has_no_room_is_tried_again_by_the_next_user(world: World) -> None:
    groups = (TunnelGroup(1, server_endpoint="192.0.2.1", preference=1),
              TunnelGroup(2, server_endpoint="192.0.2.2", preference=2))
    world.user().dial()
    world.accept(*groups)
    world.calls[0].fail(False, "NAS Error")
    assert [call.label for call in world.calls] == ["192.0.2.2"]
    world.user().dial()
    world.accept(*groups)
    assert world.calls[1].label == "192.0.2.1"
    assert {row["name"]: row["refused"] for row in world.balance.rows(0.0)}["192.0.2.1"] == 1


def test_an_lns_that_dies_under_its_sessions_gets_no_new_ones(world: World) -> None:
    groups = (TunnelGroup(1, server_endpoint="192.0.2.1", preference=1),
              TunnelGroup(2, server_endpoint="192.0.2.2", preference=2))
    for _ in range(3):
        world.user().dial()
        world.accept(*groups)
        world.calls[-1].up()
    assert world.balance.rows(0.0)[0]["sessions"] == 3
    for call in list(world.calls):
        call.end("Lost Carrier", "no answer", dead=True)
    assert world.balance.rows(0.0)[0]["sessions"] == 0
    world.user().dial()
    world.accept(*groups)
    assert world.calls[-1].label == "192.0.2.2"


def behind_a_lac(world: World, **record: Any) -> User:
    """A user whom a LAC in front of us has negotiated with: his link is where the LAC has left it."""
    user = world.user(kind="l2tp")
    lcp = {"last_sent_confreq": "0304c0230506aabbccdd", "last_received_confreq": "050611223344"}
    user.offer["proxy"] = {**lcp, **record}
    return user


PROVED = {"authen_type": 3, "authen_name": USER.hex(), "authen_id": 4, "authen_response": b"pw".hex()}


def test_a_user_of_a_lac_in_front_is_asked_about_without_a_word_to_him(world: World) -> None:
    user = behind_a_lac(world, **PROVED)
    user.link = Link(LinkSettings(silent=True), world.random)
    route = user.dial()
    assert (world.request.user, world.request.method, world.request.password) == (USER, "pap", b"pw")
    assert world.request.port.nas_port_id == "l2tp 7/8"
    assert not user.sent
    world.accept(LNS)
    assert route.proxy == user.offer["proxy"]


def test_a_user_of_a_lac_in_front_who_is_rejected_hears_of_it(world: World) -> None:
    user = behind_a_lac(world, **PROVED)
    user.link = Link(LinkSettings(silent=True), world.random)
    said: list[bytes] = []
    user.send = said.append  # type: ignore[method-assign]
    user.dial()
    world.reject("account closed")
    world.settle(0.1)
    assert said[0].endswith(b"account closed") and b"\xc0\x23\x03" in said[0], "a PAP Nak"
    world.settle(20)
    assert user.closed == [("Authentication Failed", "account closed")]
    assert world.profiles.by_name["aaa"].negotiating == 0


def test_what_a_lac_in_front_has_negotiated_is_handed_on_although_radius_is_asked_about_the_line(world: World) -> None:
    world.configure("accounting off ask line")
    user = behind_a_lac(world)
    user.link = Link(LinkSettings(silent=True), world.random)
    route = user.dial()
    world.accept(LNS)
    assert route.proxy == user.offer["proxy"]


def test_a_lacs_proxy_record_that_is_nonsense_costs_a_negotiation(world: World) -> None:
    user = world.user(kind="l2tp")
    user.offer["proxy"] = {"authen_id": "x"}
    user.dial()
    assert world.request.user == USER


def test_thousands_of_users_who_log_in_together_all_get_their_answer(world: World) -> None:
    users: list[User] = []
    for number in range(300):
        users.append(world.user(f"u{number}@isp.example"))
        users[-1].dial()
    assert len(world.server.asked) == 300
    while world.server.asked:
        record, asked = world.server.asked.pop()
        asked.callback(Accepted(1, Answer(tunnels=(LNS,)), "r1"))
    world.settle()
    assert len(world.calls) == 300 and len(world.choice.deadlines) == 0
