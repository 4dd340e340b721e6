"""The calls that proacd opens at prol2tpd, and the sessions of peers that it is offered: two daemons on one clock."""

from __future__ import annotations

from socket import gaierror
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from prol2tp.config.prol2tpd import load
from prol2tp.control.command import Gone, Invalid, Refused
from prol2tp.control.commands.prol2tpd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.calls import Calls
from prol2tp.daemons.prol2tpd.offers import Offers
from tests.shell.test_prol2tpd import LNS, all_sessions, states, world  # noqa: F401

AC = """
system { hostname "lac" }
session profile "default" { ppp_profile "users" }
tunnel "core" { peer 10.99.0.1; secret "s3cret" }
"""
PROXY = {"initial_received_confreq": "0104", "last_sent_confreq": "0506", "last_received_confreq": "0708",
         "authen_type": 2, "authen_name": b"u1@example.com".hex(), "authen_challenge": "00" * 16, "authen_id": 7,
         "authen_response": "11" * 16}
LINE = {"circuit_id": b"eth 1/2".hex(), "remote_id": b"cpe".hex(), "numbers": {"129": 1_000_000, "130": 16_000_000_000},
        "encapsulation": "010203"}


class Proacd:
    """The connection of proacd, as prol2tpd sees it."""

    def __init__(self, host: Any, grace: float = 30.0) -> None:
        self.host = host
        self.calls = Calls(host.plane, Offers(host.plane.clock, host.log, grace), host.plane.clock, host.log, grace)
        self.connected: Any = True
        self.on_lost: list[Any] = []
        self.changed: list[dict[str, Any]] = []
        self.offered: list[dict[str, Any]] = []
        self.batches = 0
        self.refuse = ""
        self.broken = False

    def call(self, command: str, calls: list[dict[str, Any]]) -> Deferred[dict[str, Any]]:
        if self.broken:
            return fail(Gone("the connection was lost"))
        self.batches += 1
        name = "call-changed-row" if command == "CallsChanged" else "offer-row"
        for row in calls:
            assert problems(row, RECORDS[name], RECORDS) == []
        if command == "CallsChanged":
            self.changed += calls
            return succeed({})
        self.offered += calls
        return succeed({"results": [self.refuse or None for _ in calls]})

    def serve(self, profiles: tuple[str, ...] = (), calls: Any = (), more: bool | None = None) -> list[str]:
        calls = None if calls is None else list(calls)
        answer = self.calls.serve_calls(self, list(profiles), calls, more)
        unknown: list[str] = answer["unknown"]
        return unknown

    def open(self, *rows: dict[str, Any]) -> list[str | None]:
        results: list[str | None] = self.calls.open_calls(self, list(rows))["results"]
        return results

    def close(self, id: str, cause: str = "User Request") -> None:
        self.calls.close_calls(self, [{"id": id, "cause": cause, "message": "bye"}])

    def lose(self) -> None:
        self.broken, self.connected = True, False
        for function in self.on_lost:
            function(self)
        self.on_lost = []

    def back(self) -> None:
        self.broken, self.connected = False, True
        self.changed.clear()
        self.offered.clear()

    def last(self, id: str) -> dict[str, Any]:
        return [row for row in self.changed if row["id"] == id][-1]


def call(id: str, tunnel: Any = None, **more: Any) -> dict[str, Any]:
    keyed = {"key": "lns1", "parameters": {"peer": "10.99.0.1", "secret": "s3cret"}}
    return {"id": id, "tunnel": tunnel if tunnel is not None else keyed, "session": {"parameters": {}}, **more}


@pytest.fixture
def ac(world):  # noqa: F811
    world.lns, world.lac = world.host(LNS), world.host(AC)
    world.lns.start()
    world.proacd = Proacd(world.lac)
    world.proacd.serve()
    return world


def test_a_call_over_a_tunnel_by_key_comes_up_and_is_told_with_all_that_joins_it(ac):
    assert ac.proacd.open(call("1.1")) == [None]
    ac.run(2)
    row = ac.proacd.last("1.1")
    (session,) = all_sessions(ac.lac).values()
    (theirs,) = all_sessions(ac.lns).values()
    assert (row["state"], row["port"], row["peer"], row["version"], row["interface_mtu"]) == (
        "up", session.port, "10.99.0.1:1701", 2, 1460)
    assert (row["tunnel_id"], row["session_id"]) == (session.tunnel.tunnel_id, session.session_id)
    assert (row["peer_tunnel_id"], row["peer_session_id"]) == (theirs.tunnel.tunnel_id, theirs.session_id)
    assert [record.profile.ppp_profile for record in ac.lac.ppp.up] == [""]


def test_calls_with_one_key_share_a_tunnel_and_other_parameters_have_their_own(ac):
    other = {"key": "lns1", "parameters": {"peer": "10.99.0.1", "secret": "s3cret", "hello_timeout": "10"}}
    assert ac.proacd.open(*(call(f"{number}.1") for number in range(20)), call("x", other)) == [None] * 21
    ac.run(2)
    assert [row["state"] for row in ac.proacd.changed] == ["up"] * 21
    assert sorted(row["sessions"] for row in ac.lac.call("ListTunnels")["rows"]) == [1, 20]
    assert len({row["tunnel_id"] for row in ac.proacd.changed}) == 2


def test_tunnels_of_proacd_are_shown_with_their_key_and_origin_and_found_by_name(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    (row,) = ac.lac.call("ListTunnels")["rows"]
    assert (row["origin"], row["name"]) == ("proacd", "lns1")
    (row,) = ac.lac.call("ListSessions")["rows"]
    assert (row["origin"], row["name"], row["tunnel_name"]) == ("proacd", "1.1", "lns1")
    assert ac.lac.call("ShowSession", tunnel_name="lns1", session_name="1.1")["session"]["state"] == "ESTABLISHED"
    ac.lac.call("DestroySession", tunnel_name="lns1", session_name="1.1")
    ac.run(1)
    assert ac.proacd.last("1.1")["state"] == "closed"


def test_a_tunnel_by_key_goes_when_it_has_been_without_calls_for_its_time(ac):
    ac.proacd.open(call("1.1", {"key": "k", "parameters": {"peer": "10.99.0.1", "secret": "s3cret",
                                                           "idle_timeout": "5"}}))
    ac.run(2)
    ac.proacd.close("1.1")
    ac.run(4)
    assert states(ac.lac) == (["ESTABLISHED"], [])
    ac.run(60)
    assert states(ac.lac) == ([], []) and not len(ac.lac.plane.shared) and ac.lac.path.listeners == {}


def test_a_tunnel_by_key_without_an_idle_timeout_goes_after_half_a_minute(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    ac.proacd.close("1.1")
    ac.run(28)
    assert states(ac.lac)[0] == ["ESTABLISHED"]
    ac.run(60)
    assert states(ac.lac)[0] == []


def test_calls_whose_tunnel_does_not_come_up_are_all_told_at_once(ac):
    dead = {"key": "dead", "parameters": {"peer": "10.99.0.77", "max_retries": "2"}}
    ac.proacd.open(*(call(f"{number}", dead) for number in range(50)))
    ac.run(2)
    assert not ac.proacd.changed
    ac.run(10)
    assert [(row["state"], row["tunnel_up"], row["dns"], row["cause"]) for row in ac.proacd.changed] == [
        ("closed", False, False, "Service Unavailable")] * 50
    assert "dead" in ac.proacd.changed[0]["message"] and ac.proacd.batches == 1
    assert not len(ac.proacd.calls) and not len(ac.lac.plane.shared)


def test_a_name_that_has_no_address_is_a_failure_of_its_own_kind(ac, monkeypatch):
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.addresses_of",
                        lambda host: fail(gaierror(-2, "Name or service not known")))
    ac.proacd.open(call("1.1", {"key": "k", "parameters": {"peer": "lns.example.com"}}))
    ac.run(0.1)
    row = ac.proacd.last("1.1")
    assert (row["state"], row["tunnel_up"], row["dns"]) == ("closed", False, True)
    assert "Name or service not known" in row["message"]


def test_every_address_of_a_name_is_tried_before_its_calls_fail(ac, monkeypatch):
    addresses = ["10.99.0.55", "10.99.0.1"]
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.addresses_of", lambda host: succeed(list(addresses)))
    named = {"key": "k", "parameters": {"peer": "lns.example.com", "secret": "s3cret", "max_retries": "2"}}
    ac.proacd.open(call("1.1", named))
    ac.run(20)
    assert ac.proacd.last("1.1")["state"] == "up" and ac.proacd.last("1.1")["peer"] == "10.99.0.1:1701"
    addresses[:] = ["10.99.0.55", "10.99.0.56"]
    named["parameters"]["hello_timeout"] = "20"
    ac.proacd.open(call("2.1", named))
    ac.run(10)
    assert len(ac.proacd.changed) == 1
    ac.run(10)
    assert ac.proacd.last("2.1")["tunnel_up"] is False and len(ac.lac.plane.shared) == 1


def test_what_was_said_of_a_subscriber_is_not_kept_once_the_peer_has_been_told(ac):
    ac.proacd.open(call("1.1", proxy=PROXY, line=LINE, session={"parameters": {"access_line": "true"}}))
    ac.run(2)
    (theirs,) = all_sessions(ac.lns).values()
    assert theirs.core.connect_message.proxy_authen_response.hex() == PROXY["authen_response"]
    (ours,) = all_sessions(ac.lac).values()
    assert ours.core.settings.proxy_authen_response == b"" and ours.core.settings.line is None


def test_a_crowd_of_calls_to_a_peer_without_a_route_costs_one_try_a_second(ac, monkeypatch):
    tries = []

    def unreachable(peer):
        tries.append(peer)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.route_source", unreachable)
    for number in range(100):
        ac.proacd.open(call(f"{number}"))
        ac.run(0.01)
    assert len(ac.proacd.changed) == 100 and len(tries) == 1
    ac.run(1)
    ac.proacd.open(call("last"))
    ac.run(0.1)
    assert len(tries) == 2 and len(ac.lac.plane.shared._failed) == 1


def test_a_tunnel_of_the_configuration_is_used_by_name_whether_it_is_up_or_has_ended(ac):
    ac.lac.start()
    ac.run(2)
    assert ac.proacd.open(call("1.1", {"name": "core"})) == [None]
    ac.run(1)
    assert ac.proacd.last("1.1")["state"] == "up"
    ac.lac.call("DestroyTunnel", tunnel_name="core")
    ac.run(1)
    row = ac.proacd.last("1.1")
    assert (row["state"], row["tunnel_up"], row["established"]) == ("closed", False, True)
    assert ac.proacd.open(call("1.2", {"name": "core"})) == [None]
    ac.run(2)
    assert ac.proacd.last("1.2")["state"] == "up"


def test_a_call_makes_a_tunnel_that_waits_for_its_next_try_try_now(ac):
    ac.wire.lost = True
    ac.lac.start()
    ac.run(100)
    ac.wire.lost = False
    while ac.lac.plane.instances["core"].trying:
        ac.run(1)
    ac.run(2)
    assert ac.proacd.open(call("1.1", {"name": "core"})) == [None]
    ac.run(1)
    assert ac.proacd.last("1.1")["state"] == "up"


@pytest.mark.parametrize(("row", "why"), [
    ({"id": "a/b"}, "without /"),
    ({"id": ""}, "1 to 64"),
    (call("1", {"name": "nobody"}), "no tunnel named 'nobody'"),
    (call("1", {"key": "k", "parameters": {}}), "peer is missing"),
    (call("1", {"key": "k", "parameters": {"peer": "10.99.0.1", "nonsense": "1"}}), "nonsense"),
    (call("1", {"key": "", "parameters": {"peer": "10.99.0.1"}}), "key must be"),
    (call("1", {"key": "k", "name": "core"}), "a name, or a key"),
    (call("1", {"key": "k", "parameters": {"peer": "10.99.0.1", "drain": "true"}}), "drain"),
    (call("1", {"key": "k", "parameters": {"peer": "10.99.0.1", "static": "true", "tunnel_id": "1",
                                           "peer_tunnel_id": "1", "local": "10.99.0.2:1701"}}), "static"),
    (call("1", session={"parameters": {"calling_number": "x" * 65}}), "calling_number"),
    (call("1", session={"parameters": {"call": "outgoing"}}), "must be incoming"),
    (call("1", session={}), "parameters must be"),
    (call("1", proxy={"authen_name": "xyz"}), "hex"),
    (call("1", proxy={"authen_type": "2"}), "number"),
    (call("1", proxy={"authen_id": 256}), "proxy_authen_id"),
    (call("1", proxy={"nonsense": 1}), "nonsense"),
    (call("1", proxy={"authen_name": "00" * 1001}), "longer than 1000"),
    (call("1", line={"numbers": {"7": 1}}), "no sub-option"),
    (call("1", line={"encapsulation": "0102"}), "not 3"),
    (call("1", line={"numbers": {"139": 1 << 32}}), "does not fit"),
    (call("1", nonsense=1), "nonsense"),
])
def test_a_bad_row_is_refused_with_what_is_wrong_and_costs_no_other(ac, row, why):
    first, second = ac.proacd.open(row, call("2.2"))
    assert why in first and second is None
    ac.run(2)
    assert ac.proacd.last("2.2")["state"] == "up" and len(ac.proacd.calls) == 1


def test_an_id_that_is_taken_is_refused(ac):
    first, second = ac.proacd.open(call("1.1"), call("1.1"))
    assert first is None and "already" in second


def test_calls_are_refused_where_the_operator_wants_none(ac):
    reload.apply(ac.lac.plane, load(AC.replace("system {", "system { deny_local_tunnel_creates true;"), "test.conf"))
    assert "deny_local_tunnel_creates" in ac.proacd.open(call("1"))[0]
    reload.apply(ac.lac.plane, load(AC.replace("system {", "system { max_sessions 1;"), "test.conf"))
    assert ac.proacd.open(call("1"), call("1.2")) == [None] * 2  # both wait for the tunnel
    ac.run(1)
    assert ac.proacd.last("1")["state"] == "up" and "too many" in ac.proacd.last("1.2")["message"]
    assert "too many" in ac.proacd.open(call("2"))[0]
    reload.apply(ac.lac.plane, load(AC.replace("system {", "system { drain_tunnels true;"), "test.conf"))
    assert "drain_tunnels" in ac.proacd.open(call("3"))[0]
    assert len(all_sessions(ac.lac)) == 1


def test_only_the_connection_that_serves_may_open_and_close(ac):
    other = Proacd.__new__(Proacd)
    with pytest.raises(Refused):
        ac.proacd.calls.open_calls(other, [])
    with pytest.raises(Refused):
        ac.proacd.calls.close_calls(other, [])
    for wrong in ("x", [1], {}):
        with pytest.raises(Invalid):
            ac.proacd.calls.open_calls(ac.proacd, wrong)
        with pytest.raises(Invalid):
            ac.proacd.calls.serve_calls(ac.proacd, wrong, [])


def test_a_call_that_proacd_closes_ends_at_the_peer_with_the_cause_and_is_not_told_of(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    ac.proacd.changed.clear()
    ac.proacd.close("1.1", "Idle Timeout")
    ac.run(1)
    (_, message), = ac.lns.ppp.down
    assert "bye" in message and not ac.proacd.changed and not len(ac.proacd.calls)
    assert not all_sessions(ac.lac) and not all_sessions(ac.lns)


def test_a_call_may_be_closed_while_it_waits_for_its_tunnel(ac):
    ac.proacd.open(call("1.1"), call("1.2"))
    ac.proacd.close("1.1")
    ac.run(2)
    assert [row["id"] for row in ac.proacd.changed] == ["1.2"] and len(all_sessions(ac.lns)) == 1


def test_the_end_of_a_call_by_the_peer_is_told_with_its_cause_and_code(ac):
    ac.proacd.open(call("1.1"), call("1.2"), call("1.3"))
    ac.run(2)
    theirs = list(all_sessions(ac.lns).values())
    ac.lns.plane.ppp_closed(theirs[0], "Peer Request", "the user hung up")
    ac.lns.plane.close_session(theirs[1].tunnel.tunnel_id, theirs[1].session_id, result=4, message="full")
    ac.run(1)
    rows = {row["id"]: row for row in ac.proacd.changed if row["state"] == "closed"}
    assert sorted((row["cause"], row["result"], row["by_peer"], row["established"]) for row in rows.values()) == [
        ("Lost Carrier", 4, True, True), ("Peer Request", 1, True, True)]
    assert any("the user hung up" in row["message"] for row in rows.values())


def test_a_call_that_the_peer_refuses_is_told_with_the_tunnel_up(ac):
    text = LNS.replace("listen 10", "max_sessions 1; listen 10")
    reload.apply(ac.lns.plane, load(text, "test.conf"))
    ac.proacd.open(call("1.1"), call("1.2"))
    ac.run(2)
    (row,) = [row for row in ac.proacd.changed if row["state"] == "closed"]
    assert (row["tunnel_up"], row["established"], row["result"], row["cause"], row["by_peer"]) == (
        True, False, 4, "Service Unavailable", True)


def test_a_call_beyond_what_the_tunnel_carries_is_told_with_the_tunnel_up(ac):
    small = {"key": "k", "parameters": {"peer": "10.99.0.1", "secret": "s3cret", "max_sessions": "1"}}
    ac.proacd.open(call("1", small), call("2", small))
    ac.run(2)
    assert ac.proacd.last("1")["state"] == "up"
    row = ac.proacd.last("2")
    assert (row["state"], row["tunnel_up"]) == ("closed", True) and "1 sessions" in row["message"]


def test_a_tunnel_that_dies_ends_its_calls_and_is_not_tried_again(ac):
    ac.proacd.open(*(call(f"{number}") for number in range(10)))
    ac.run(2)
    ac.wire.lost = True
    ac.run(120)
    closed = [row for row in ac.proacd.changed if row["state"] == "closed"]
    assert len(closed) == 10 and all(not row["tunnel_up"] and row["cause"] == "Lost Carrier" for row in closed)
    assert states(ac.lac) == ([], []) and not len(ac.lac.plane.shared)


def test_a_tunnel_by_key_speaks_the_newest_version_that_both_ends_have(ac):
    text = LNS.replace("secret", "version auto; secret")
    reload.apply(ac.lns.plane, load(text, "test.conf"))
    newest = {"key": "k", "parameters": {"peer": "10.99.0.1", "secret": "s3cret", "version": "auto"}}
    ac.proacd.open(call("1", newest), call("2"))
    ac.run(2)
    assert (ac.proacd.last("1")["version"], ac.proacd.last("2")["version"]) == (3, 2)


# the connection


def test_calls_wait_for_proacd_for_the_grace_time_and_no_longer(ac):
    ac.proacd.open(*(call(f"{number}") for number in range(1000)))
    ac.run(3)
    ac.proacd.lose()
    ac.run(29)
    assert len(all_sessions(ac.lns)) == 1000
    ac.run(5)
    assert not all_sessions(ac.lns) and not len(ac.proacd.calls)
    assert "proacd is not running" in ac.lns.ppp.down[0][1]


def test_proacd_that_comes_back_keeps_the_calls_that_it_knows_and_is_told_of_them_again(ac):
    ac.proacd.open(call("kept"), call("forgotten"), call("ended"))
    ac.run(2)
    ac.proacd.lose()
    ended = [record for record in all_sessions(ac.lac).values() if record.instance.id == "ended"]
    ac.lac.plane.close_session(ended[0].tunnel.tunnel_id, ended[0].session_id)
    ac.run(10)
    ac.proacd.back()
    assert ac.proacd.serve(calls=["kept", "ended", "never"]) == ["ended", "never"]
    ac.run(1)
    assert [(row["id"], row["state"]) for row in ac.proacd.changed] == [("kept", "up")]
    assert len(all_sessions(ac.lns)) == 1
    ac.run(100)
    assert len(all_sessions(ac.lns)) == 1


def test_the_ids_that_proacd_knows_may_come_in_several_parts(ac):
    ac.proacd.open(*(call(f"{number}") for number in range(30)))
    ac.run(2)
    ac.proacd.lose()
    ac.proacd.back()
    assert ac.proacd.serve(calls=[f"{number}" for number in range(10)], more=True) == []
    ac.run(1)
    assert len(all_sessions(ac.lns)) == 30 and not ac.proacd.changed
    ac.proacd.serve(calls=[f"{number}" for number in range(10, 20)])
    ac.run(1)
    assert len(all_sessions(ac.lns)) == 20 and len(ac.proacd.changed) == 20


def test_proacd_that_comes_back_while_its_calls_are_being_ended_keeps_the_others(ac):
    ac.proacd.open(*(call(f"{number}") for number in range(1000)))
    ac.run(9)
    ac.proacd.lose()
    calls = ac.proacd.calls
    calls._grace_over(ac.clock.seconds())
    calls._turn_call.cancel()
    calls._take_turn()
    assert 0 < len(calls) < 1000
    ac.proacd.back()
    unknown = ac.proacd.serve(calls=[f"{number}" for number in range(1000)])
    kept = 1000 - len(unknown)
    ac.run(5)
    assert kept == len(ac.proacd.calls) == len(all_sessions(ac.lns)) == len(ac.proacd.changed) and 0 < kept < 1000


def test_a_subscriber_who_hangs_up_is_told_to_the_peer_as_such(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    causes = []
    down = ac.lns.ppp.session_down
    ac.lns.ppp.session_down = lambda record, cause, message: (causes.append(cause), down(record, cause, message))
    ac.proacd.close("1.1", "User Request")
    ac.run(1)
    assert causes == ["Peer Request"]


def test_another_connection_takes_the_calls_over_and_the_end_of_the_first_means_nothing(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    first = list(ac.proacd.on_lost)
    second = Proacd.__new__(Proacd)
    second.__dict__.update(ac.proacd.__dict__, on_lost=[], changed=[], offered=[])
    assert second.serve(calls=["1.1"]) == []
    for function in first:
        function(ac.proacd)
    ac.run(100)
    assert len(all_sessions(ac.lns)) == 1 and second.last("1.1")["state"] == "up"


def test_a_stopping_daemon_tells_the_end_of_its_calls_and_leaves_no_timer(ac):
    ac.proacd.open(call("1.1"))
    ac.run(2)
    done = []
    ac.lac.plane.stop(3).addCallback(done.append)
    assert ac.proacd.open(call("1.2")) == ["shutting down"]
    ac.proacd.calls.flush()
    assert ac.proacd.last("1.1")["state"] == "closed"
    ac.run(60)
    ac.proacd.calls.stop()
    ac.lac.plane.close()
    ac.lns.plane.close()
    assert done and [one for one in ac.clock.getDelayedCalls() if one.active()] == []
