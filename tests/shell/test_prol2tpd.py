"""prol2tpd's wiring: two daemons in one process on a clock that the test turns, a memory data path under each."""

import gc
import random
from errno import ENETUNREACH

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent, globalLogPublisher

from prol2tp.config.prol2tpd import load
from prol2tp.control.command import Gone, NotFound, Refused
from prol2tp.control.commands.prol2tpd import RECORDS
from prol2tp.control.commands.propppd import RECORDS as PPP_RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.attach import Attachment
from prol2tp.daemons.prol2tpd.commands import Commands
from prol2tp.daemons.prol2tpd.datapath import ControlPorts
from prol2tp.daemons.prol2tpd.plane import Plane
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.daemons.prol2tpd.service import Options, Prol2tpdService
from prol2tp.daemons.prol2tpd.status import Status
from prol2tp.dataplane.interface import SYSTEM, DataPathError, Listener
from prol2tp.dataplane.memory import MemoryDataPlane
from prol2tp.l2tp.header import write_control
from prol2tp.l2tp.messages import CDN, ICCN, ICRQ, PROTOCOL_VERSION, SCCCN, SCCRQ, ResultCode, encode

LNS = """
system { hostname "lns"; listen 10.99.0.1:1701 }
pseudowire profile "ppp" { pseudowire_type ppp; ppp_profile "subscribers" }
session profile "lac" { pseudowire_profile "ppp" }
tunnel profile "lac1" { peer 10.99.0.0/24; peer_hostname "lac"; secret "s3cret"; session_profile "lac" }
"""
LAC = """
system { hostname "lac" }
tunnel "one" {
    peer 10.99.0.1
    secret "s3cret"
    session "u1" { pseudowire_type ppp; ppp_profile "client"; user_name "u1@example.com"; user_password "pw1" }
    session "u2" { pseudowire_type ppp; ppp_profile "client"; user_name "u2@example.com"; user_password "pw2" }
}
"""


class Wire:
    """Joins the fake ports of several hosts; delivers in order, in the next turn of the clock."""

    def __init__(self, clock):
        self.clock, self.ports, self.lost = clock, {}, False

    def send(self, data, peer, local):
        if not self.lost:
            self.clock.callLater(0.001, self._arrive, data, peer, local)

    def _arrive(self, data, peer, local):
        port = self.ports.get(peer)
        if port is not None:
            port.receive(data, local, peer, 0)
            port.burst_done()


class FakePort:
    def __init__(self, wire, listener, receive, burst_done):
        self.wire, self.listener, self.receive, self.burst_done = wire, listener, receive, burst_done
        wire.ports[listener.address] = self

    def send(self, data, peer, local, ifindex=0):
        self.wire.send(data, peer, local)

    def close(self):
        self.wire.ports.pop(self.listener.address, None)


class FakePPP:
    """Stands where the attachment to propppd is."""

    def __init__(self):
        self.up, self.down, self.plane, self.grace = [], [], None, 30

    def session_up(self, record):
        self.up.append(record)

    def session_down(self, record, cause, message):
        self.down.append((record, message))

    def session_forgotten(self, record):
        pass


class Host:
    def __init__(self, wire, text, monkeypatch=None):
        self.log = Log("test", Level.CRITICAL)
        self.ppp = FakePPP()
        self.path = MemoryDataPlane()
        self.path.start(object())
        self.plane = Plane(load(text, "test.conf"), self.path, self.ppp, wire.clock, self.log,
                           random.Random(len(text)).randbytes,
                           make_port=lambda reactor, *arguments: FakePort(wire, *arguments))
        self.status = Status(self.plane, "test.conf")
        self.commands = Commands(self.plane, self.status, lambda: "", lambda: {}).table()

    def start(self):
        for address in self.plane.config.system.listen:
            if address.host not in ("0.0.0.0", "::"):
                self.plane.serve((address.host, address.port))
        for tunnel in self.plane.config.tunnels.values():
            self.plane.start_instance(tunnel)

    def call(self, name, **arguments):
        """A control command, as a client would call it."""
        results, failures = [], []
        answer = self.commands[name](None, **arguments)
        if hasattr(answer, "addCallbacks"):
            answer.addCallbacks(results.append, failures.append)
            if failures:
                failures[0].raiseException()
            return results[0] if results else None
        return answer


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.route_source", lambda peer: "10.99.0.2")
    clock = Clock()
    wire = Wire(clock)

    class World:
        pass

    world = World()
    world.clock, world.wire = clock, wire
    world.run = lambda seconds: clock.pump([0.01] * int(seconds * 100))
    world.host = lambda text: Host(wire, text)
    return world


@pytest.fixture
def pair(world):
    world.lns, world.lac = world.host(LNS), world.host(LAC)
    world.lns.start()
    world.lac.start()
    world.run(2)
    return world


def states(host):
    tunnels = host.call("ListTunnels", cursor="", limit=100)["rows"]
    sessions = host.call("ListSessions", cursor="", limit=100)["rows"]
    return [row["state"] for row in tunnels], [row["state"] for row in sessions]


def test_the_tunnel_and_both_sessions_of_the_configuration_come_up(pair):
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)
    assert len(pair.lns.ppp.up) == 2 and len(pair.lac.ppp.up) == 2


def test_status_shows_profiles_names_and_peers(pair):
    row = pair.lns.call("ListTunnels", cursor="", limit=10)["rows"][0]
    tunnel = pair.lns.call("ShowTunnel", tunnel_id=row["tunnel_id"])["tunnel"]
    assert (tunnel["mode"], tunnel["profile"], tunnel["peer_host_name"], tunnel["origin"]) == (
        "LNS", "lac1", "lac", "net")
    row = pair.lns.call("ListSessions", cursor="", limit=10)["rows"][0]
    session = pair.lns.call("ShowSession", tunnel_id=row["tunnel_id"], session_id=row["session_id"],
                            stats=True)["session"]
    assert (session["profile"], session["pseudowire_profile"], session["mode"]) == ("lac", "ppp", "LNS")
    assert session["stats"]["tx_packets"] == 0
    mine = pair.lac.call("ShowSession", tunnel_name="one", session_name="u1")["session"]
    assert (mine["origin"], mine["tunnel_name"], mine["name"], mine["identifier"]) == (
        "config", "one", "u1", "u1@example.com")


def test_status_records_have_the_declared_shape(pair):
    row = pair.lns.call("ListSessions", cursor="", limit=10)["rows"][0]
    ids = {"tunnel_id": row["tunnel_id"], "session_id": row["session_id"]}
    shown = [
        ("system", pair.lns.call("ShowSystem")["system"]),
        ("tunnel-row", pair.lns.call("ListTunnels", cursor="", limit=10)["rows"][0]),
        ("tunnel", pair.lns.call("ShowTunnel", tunnel_id=row["tunnel_id"])["tunnel"]),
        ("session-row", row),
        ("session", pair.lns.call("ShowSession", **ids, stats=True)["session"]),
        ("session", pair.lac.call("ShowSession", tunnel_name="one", session_name="u2")["session"]),
    ]
    for name, record in shown:
        assert problems(record, RECORDS[name], RECORDS) == [], name


def test_a_destroyed_session_of_the_configuration_is_not_tried_again(pair):
    pair.lac.call("DestroySession", tunnel_name="one", session_name="u1")
    pair.run(200)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"])
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"])


def test_a_session_ended_by_the_peer_is_opened_again(pair):
    row = pair.lns.call("ListSessions", cursor="", limit=10)["rows"][0]
    pair.lns.call("DestroySession", tunnel_id=row["tunnel_id"], session_id=row["session_id"])
    pair.run(5)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)
    assert len(pair.lns.ppp.up) == 3


def test_a_tunnel_ended_by_the_peer_is_opened_again_with_its_sessions(pair):
    row = pair.lns.call("ListTunnels", cursor="", limit=10)["rows"][0]
    pair.lns.call("DestroyTunnel", tunnel_id=row["tunnel_id"])
    pair.run(60)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_a_peer_that_is_silent_at_first_is_tried_until_it_answers(world):
    lac = world.host(LAC)
    lac.start()
    world.run(400)
    lns = world.host(LNS)
    lns.start()
    world.run(200)
    assert states(lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_a_tunnel_with_persist_false_is_tried_once(world):
    lac = world.host(LAC.replace("peer 10.99.0.1", "peer 10.99.0.1\n persist false"))
    lac.start()
    world.run(400)
    assert states(lac) == ([], []) and not lac.plane.instances and not world.wire.ports


def test_a_wrong_secret_is_refused_and_said(world):
    lns, lac = world.host(LNS.replace("s3cret", "other")), world.host(LAC)
    lns.start()
    lac.start()
    world.run(5)
    assert "ESTABLISHED" not in states(lns)[0]
    assert lac.plane.instances["one"].last_error


def test_a_peer_without_a_profile_is_refused(world):
    lns, lac = world.host(LNS.replace('"lac"; secret', '"someone"; secret')), world.host(LAC)
    lns.start()
    lac.start()
    world.run(5)
    assert not lns.ppp.up and "not authorized" in lac.plane.instances["one"].last_error


def test_draining_refuses_new_tunnels_and_keeps_those_that_are_up(pair):
    drained = LNS.replace("listen 10", "drain_tunnels true; listen 10")
    assert "drain_tunnels" in reload.apply(pair.lns.plane, load(drained, "test.conf"))
    pair.run(100)
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)
    pair.lac.call("CreateTunnel", parameters={"name": "two", "peer": "10.99.0.1", "secret": "s3cret"})
    pair.run(3)
    assert states(pair.lns)[0].count("ESTABLISHED") == 1


def test_max_tunnels_and_max_sessions_are_limits(world):
    lns = world.host(LNS.replace("listen 10", "max_sessions 1; listen 10"))
    lac = world.host(LAC)
    lns.start()
    lac.start()
    world.run(3)
    assert len(lns.ppp.up) == 1


def test_a_reload_that_changes_nothing_touches_nothing(pair):
    before = pair.lac.call("ListSessions", cursor="", limit=10)["rows"]
    assert reload.apply(pair.lac.plane, load(LAC, "test.conf")) == "nothing changed"
    pair.run(1)
    after = pair.lac.call("ListSessions", cursor="", limit=10)["rows"]
    assert [row["session_id"] for row in before] == [row["session_id"] for row in after]


def test_a_reload_closes_only_the_session_that_is_gone_and_opens_the_new_one(pair):
    kept = pair.lac.plane.instances["one"].sessions["u2"].session_id
    text = LAC.replace('session "u1"', 'session "u3"')
    reload.apply(pair.lac.plane, load(text, "test.conf"))
    pair.run(3)
    sessions = pair.lac.plane.instances["one"].sessions
    assert set(sessions) == {"u2", "u3"} and sessions["u2"].session_id == kept
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_a_reload_with_another_secret_opens_that_tunnel_anew(pair):
    first = pair.lac.plane.instances["one"].tunnel_id
    text = LAC.replace("secret", "hello_timeout 30\n secret")
    reload.apply(pair.lac.plane, load(text, "test.conf"))
    pair.run(60)
    assert pair.lac.plane.instances["one"].tunnel_id not in (None, first)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_created_tunnels_and_sessions_come_up_and_are_local(pair):
    answer = pair.lac.commands["CreateTunnel"](
        None, parameters={"name": "two", "peer": "10.99.0.1", "secret": "s3cret"})
    pair.run(2)
    assert answer.result["tunnel_id"] == pair.lac.plane.instances["two"].tunnel_id
    pair.lac.call("CreateSession", tunnel_name="two", parameters={"name": "x"})
    pair.run(2)
    tunnel = pair.lac.call("ShowTunnel", tunnel_name="two")["tunnel"]
    assert (tunnel["origin"], tunnel["state"], tunnel["sessions"]) == ("local", "ESTABLISHED", 1)
    assert len(pair.lns.ppp.up) == 3


def test_stopping_sends_stopccn_and_leaves_no_socket_session_or_timer(pair):
    done = []
    pair.lac.plane.stop(3).addCallback(done.append)
    pair.run(1)
    assert done
    pair.run(60)
    assert states(pair.lns) == ([], []) and states(pair.lac) == ([], [])
    assert pair.lac.path.counters().result == {}
    pair.lac.plane.close()
    pair.lns.plane.close()
    assert [call for call in pair.clock.getDelayedCalls() if call.active()] == []


def test_a_data_path_that_refuses_costs_only_the_session(pair):
    pair.lns.path.refuse["session_add"] = DataPathError(SYSTEM, "no room")
    pair.lac.call("CreateSession", tunnel_name="one", parameters={"name": "x", "persist": "false"})
    pair.run(3)
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


# answers that take their time


class SlowPath:
    """A data path whose answers come later, in order: the process behind a socket, and not a call."""

    def __init__(self, path, clock, wait=0.05):
        self.path, self.clock, self.wait = path, clock, wait
        self.asked = []

    def __getattr__(self, name):
        real = getattr(self.path, name)
        if name not in ("listen", "unlisten", "tunnel_add", "tunnel_delete", "session_add", "port_delete",
                        "port_modify"):
            return real

        def late(*arguments, **keywords):
            self.asked.append((name, arguments, keywords))
            done = Deferred()
            real(*arguments, **keywords).addBoth(
                lambda result: self.clock.callLater(self.wait, lambda: done.called or done.callback(result)))
            return done

        return late


def slow(host, world, wait=0.05):
    path = SlowPath(host.path, world.clock, wait)
    host.plane.path = host.plane.paths._path = path
    return path


def test_sequence_numbers_that_the_peer_requires_reach_a_port_that_was_still_being_made(world):
    lns = world.host(LNS)
    lac = world.host(LAC.replace("user_name \"u1", "sequencing_required true; user_name \"u1"))
    path = slow(lns, world)
    lns.start()
    lac.start()
    world.run(5)
    sessions = [session for tunnel in lns.plane.endpoint.tunnels.values() for session in tunnel.sessions.values()]
    assert sorted(session.receive_sequence for session in sessions) == [False, True]
    modified = [keywords for name, _, keywords in path.asked if name == "port_modify"]
    assert modified == [{"send_sequence": True, "receive_sequence": True}]


def test_a_tunnel_that_ends_while_the_data_path_makes_it_gives_its_socket_back(world):
    lns, lac = world.host(LNS), world.host(LAC)
    slow(lac, world, 0.5)
    lns.start()
    lac.start()
    while not any(name == "tunnel_add" for name, _, _ in lac.plane.path.asked):
        world.run(0.01)
    lac.call("DestroyTunnel", tunnel_name="one")
    world.run(60)
    assert lac.path.listeners == {} and lac.path.tunnels == {}
    assert list(lac.plane.ports) == []


def test_a_tunnel_that_is_removed_while_its_socket_is_made_gives_it_back(world):
    lac = world.host(LAC)
    slow(lac, world, 0.5)
    lac.start()
    world.run(0.1)
    lac.call("DestroyTunnel", tunnel_name="one")
    world.run(5)
    assert lac.path.listeners == {} and list(lac.plane.ports) == [] and not lac.plane.instances


def test_a_tunnel_that_cannot_be_opened_gives_its_socket_back_once(world):
    lac = world.host(LAC.replace("peer 10", "persist false; peer 10"))

    def refuse(*arguments, **keywords):
        raise ValueError("no tunnel id is free")

    lac.plane.endpoint.open_tunnel = refuse
    made = []
    add = lac.plane.add_port
    lac.plane.add_port = lambda listener: made.append(listener) or add(listener)
    lac.start()
    world.run(2)
    assert len(made) == 1 and list(lac.plane.ports) == [] and lac.path.listeners == {}


# limits and draining


def hammer(world, lns, count, host_name="stranger", source="10.98.0.9"):
    """So many requests from addresses that nobody has to own."""
    for number in range(count):
        body = encode(SCCRQ(PROTOCOL_VERSION, host_name, 3, number + 1))
        lns.plane._received(write_control(0, 0, 0, 0, body), (source, 1024 + number), ("10.99.0.1", 1701), 0)


def call_of_the_peer(pair):
    """One more call of the LAC; whether the LNS let it in."""
    before = len(pair.lns.ppp.up)
    pair.lac.call("CreateSession", tunnel_name="one", parameters={"name": "x", "persist": "false"})
    pair.run(2)
    return len(pair.lns.ppp.up) > before


def test_draining_the_daemon_refuses_new_sessions_too(pair):
    reload.apply(pair.lns.plane, load(LNS.replace("listen 10", "drain_tunnels true; listen 10"), "test.conf"))
    assert not call_of_the_peer(pair)
    assert states(pair.lns) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_draining_a_profile_refuses_new_sessions_in_tunnels_that_it_let_in_before(pair):
    reload.apply(pair.lns.plane, load(LNS.replace("peer_host", "drain true; peer_host"), "test.conf"))
    assert not call_of_the_peer(pair)
    reload.apply(pair.lns.plane, load(LNS, "test.conf"))
    assert call_of_the_peer(pair)


def test_new_sessions_of_a_tunnel_get_their_profile_as_it_is_now(pair):
    reload.apply(pair.lns.plane, load(LNS.replace('"subscribers"', '"others"'), "test.conf"))
    assert call_of_the_peer(pair)
    assert [record.profile.ppp_profile for record in pair.lns.ppp.up] == ["subscribers"] * 2 + ["others"]


def test_requests_of_strangers_do_not_use_up_max_tunnels(world):
    lns, lac = world.host(LNS.replace("listen 10", "max_tunnels 1; listen 10")), world.host(LAC)
    lns.start()
    hammer(world, lns, 20)
    lac.start()
    world.run(3)
    assert len(lns.ppp.up) == 2
    lac.call("CreateTunnel", parameters={"name": "two", "peer": "10.99.0.1", "secret": "s3cret"})
    world.run(3)
    assert states(lns)[0].count("ESTABLISHED") == 1
    assert "too many tunnels" in lac.plane.instances["two"].last_error


def test_tunnels_that_come_up_at_the_same_time_do_not_pass_max_tunnels(world):
    lns = world.host(LNS.replace("listen 10", "max_tunnels 1; listen 10"))
    text = LAC.replace('tunnel "one" {', 'tunnel "two" { peer 10.99.0.1; secret "s3cret" }\ntunnel "one" {')
    lac = world.host(text)
    lns.start()
    lac.start()
    world.run(3)
    assert states(lns)[0].count("ESTABLISHED") == 1


def test_a_closed_tunnel_that_lingers_makes_room_for_the_next(world):
    lns, lac = world.host(LNS.replace("listen 10", "max_tunnels 1; listen 10")), world.host(LAC)
    lns.start()
    lac.start()
    world.run(2)
    lac.call("DestroyTunnel", tunnel_name="one")
    lac.plane.start_instance(lac.plane.config.tunnels["one"])
    world.run(3)
    assert states(lns)[0].count("ESTABLISHED") == 1


def lines(host):
    written = []
    host.log.level = Level.NOTICE
    host.log._logger = Logger(namespace="test", observer=lambda event: written.append(formatEvent(event)))
    return written


def test_a_flood_of_requests_is_not_a_flood_of_log_lines(world):
    lns, lac = world.host(LNS), world.host(LAC)
    written = lines(lns)
    lns.start()
    hammer(world, lns, 900, source="10.98.0.9")
    world.run(5)
    assert len(written) < 200
    del written[:]
    lac.start()
    world.run(30)
    assert any("tunnel requests were not logged" in line for line in written)
    assert any(" up: peer 10.99.0.2" in line for line in written)


def test_the_end_of_what_was_up_is_logged(pair):
    written = lines(pair.lns)
    pair.lac.call("DestroyTunnel", tunnel_name="one")
    pair.run(2)
    assert sum("by peer" in line for line in written) == 3


# when something of our own is wrong


def test_a_datagram_on_which_the_core_fails_costs_only_itself(pair):
    receive = pair.lns.plane.endpoint.receive

    def fail(data, peer, local, ifindex, now):
        raise RuntimeError("a fault of ours")

    pair.lns.plane.endpoint.receive = fail
    for _ in range(1000):
        pair.lns.plane._received(b"x", ("10.99.0.9", 5), ("10.99.0.1", 1701), 0)
    pair.lns.plane.endpoint.receive = receive
    assert pair.lns.plane.faults == 1000
    assert call_of_the_peer(pair)


def test_a_timer_on_which_the_core_fails_does_not_stop_time(pair):
    timeout = pair.lns.plane.endpoint.timeout

    def fail(now):
        pair.lns.plane.endpoint.timeout = timeout
        raise RuntimeError("a fault of ours")

    pair.lns.plane.endpoint.timeout = fail
    assert call_of_the_peer(pair)
    pair.run(70)
    assert pair.lns.plane.endpoint.counters.hellos_sent


def test_a_port_is_found_by_its_address_or_the_wildcard_of_its_family():
    class Port:
        def __init__(self, *address):
            self.listener = Listener(1, address, -1)

    ports = ControlPorts()
    wild, exact, other = Port("0.0.0.0", 1701), Port("10.0.0.1", 1701), Port("10.0.0.1", 40000)
    for port in (wild, exact, other):
        ports.add(port)
    assert ports.find(("10.0.0.1", 1701)) is exact
    assert ports.find(("10.0.0.2", 1701)) is wild
    assert ports.find(("10.0.0.1", 40000)) is other
    assert ports.find(("::1", 1701)) is None and ports.find(("10.0.0.2", 40000)) is None
    ports.remove(exact)
    ports.remove(exact)
    assert ports.find(("10.0.0.1", 1701)) is wild and list(ports) == [wild, other]


# propppd


class FakeChannel:
    """The connection to propppd: the test answers."""

    def __init__(self):
        self.connected, self.calls = True, []

    def call(self, name, **arguments):
        done = Deferred()
        if arguments["sessions"]:  # an empty list only says who we are
            self.calls.append((name, [row["id"] for row in arguments["sessions"]], done))
        return done


@pytest.fixture
def attached(world):
    world.lns, world.lac = world.host(LNS), world.host(LAC)
    attachment = world.attachment = Attachment(world.clock, world.lns.log, 30)
    attachment.plane, world.lns.plane.ppp = world.lns.plane, attachment
    world.channel = FakeChannel()
    attachment.connected(world.channel)
    world.lns.start()
    world.lac.start()
    world.run(2)
    return world


def all_sessions(host):
    return {record.key: record for tunnel in host.plane.tunnels.values() for record in tunnel.sessions.values()}


def test_sessions_of_a_batch_that_propppd_could_not_take_end_with_a_reason(attached):
    first = all_sessions(attached.lns)
    assert len(first) == 2
    for name, _, done in list(attached.channel.calls):
        assert name == "AttachSessions"
        done.errback(ValueError("no such command"))
    assert not all_sessions(attached.lns)


def test_a_batch_that_the_lost_connection_took_along_is_attached_again(attached):
    calls, attached.channel.calls = attached.channel.calls, []
    attached.channel.connected = False
    for _, _, done in calls:
        done.errback(Gone("connection lost"))
    attached.attachment.disconnected()
    attached.run(5)
    attached.channel.connected = True
    attached.attachment.connected(attached.channel)
    attached.run(1)
    assert sorted(key for _, keys, _ in attached.channel.calls for key in keys) == sorted(all_sessions(attached.lns))
    assert len(all_sessions(attached.lns)) == 2


def test_a_late_refusal_does_not_end_the_session_that_has_the_id_now(attached):
    (_, keys, done), *_ = attached.channel.calls
    key = keys[0]
    old = all_sessions(attached.lns)[key]
    tunnel = old.tunnel
    tunnel.sessions[old.session_id] = SessionRecord(tunnel, old.session_id, old.core)
    done.callback({"results": ["no such profile"] + [None] * (len(keys) - 1)})
    assert key in all_sessions(attached.lns)


def test_sessions_wait_for_propppd_for_the_grace_time_and_no_longer(attached):
    attached.channel.connected = False
    attached.attachment.disconnected()
    attached.run(29)
    assert len(all_sessions(attached.lns)) == 2
    attached.run(1.5)
    assert not all_sessions(attached.lns) and not attached.attachment.pending_since


def test_a_created_tunnel_that_cannot_be_tried_is_refused_and_leaves_its_name_free(pair, monkeypatch):
    def unreachable(peer):
        raise OSError(ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.route_source", unreachable)
    answers = []
    for _ in range(2):
        pair.lac.commands["CreateTunnel"](None, parameters={"name": "two", "peer": "10.99.0.1"}).addErrback(
            lambda failure: answers.append(failure.getErrorMessage()))
        pair.run(1)
    assert answers == ["Network is unreachable"] * 2
    assert set(pair.lac.plane.instances) == {"one"}


def test_a_created_session_that_cannot_be_tried_is_refused_and_leaves_its_name_free(pair):
    def full(*arguments, **keywords):
        raise ValueError("tunnel 1 has no session id left")

    pair.lac.plane.endpoint.open_session = full
    answers = []
    for _ in range(2):
        pair.lac.commands["CreateSession"](None, tunnel_name="one", parameters={"name": "x"}).addErrback(
            lambda failure: answers.append(failure.getErrorMessage()))
        pair.run(1)
    assert answers == ["tunnel 1 has no session id left"] * 2
    assert set(pair.lac.plane.instances["one"].sessions) == {"u1", "u2"}


# reload and the life of the daemon


def test_a_reload_may_open_and_close_the_daemon_for_requests(world):
    closed = LNS.replace("listen 10", "deny_remote_tunnel_creates true; listen 10")
    lns = world.host(LNS)
    lns.start()
    assert len(list(lns.plane.ports)) == 1
    reload.apply(lns.plane, load(closed, "test.conf"))
    assert not list(lns.plane.ports) and lns.path.listeners == {}
    reload.apply(lns.plane, load(LNS, "test.conf"))
    lac = world.host(LAC)
    lac.start()
    world.run(3)
    assert len(lns.ppp.up) == 2


def test_a_reload_that_allows_own_tunnels_starts_them(world):
    lns, lac = world.host(LNS), world.host(LAC.replace("system {", "system { deny_local_tunnel_creates true;"))
    lns.start()
    reload.apply(lac.plane, load(LAC, "test.conf"))
    world.run(3)
    assert len(lns.ppp.up) == 2


def service(world, host, path):
    options = Options()
    options.config = load(LNS, "test.conf")
    options.update({"config-file": str(path), "run-dir": str(path.parent)})
    daemon = Prol2tpdService(options, host.log, world.clock)
    daemon.plane = host.plane
    return daemon


def test_what_was_reloaded_counts_when_the_data_path_process_is_started_again(world, tmp_path):
    lns = world.host(LNS)
    file = tmp_path / "prol2tpd.conf"
    file.write_text(LNS.replace("listen 10", "max_tunnels 7; listen 10"))
    daemon = service(world, lns, file)
    daemon._started = True
    daemon.reload()
    assert daemon.config.system.max_tunnels == 7


def test_a_daemon_that_is_stopped_while_it_starts_leaves_its_data_path(world, tmp_path, monkeypatch):
    lns = world.host(LNS)
    connecting, stopped = Deferred(), []
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.service.PathClient.connect", lambda *_, **__: connecting)
    lns.path.stop = lambda: stopped.append(1) or succeed(None)
    daemon = service(world, lns, tmp_path / "prol2tpd.conf")
    daemon._start().addErrback(daemon._start_failed)
    daemon.stopService()
    connecting.callback(lns.path)
    assert stopped and not daemon._started and daemon.control is None


def test_a_name_with_several_addresses_is_tried_at_each_in_turn(world, monkeypatch):
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.addresses_of",
                        lambda host: succeed(["2001:db8::1", "10.99.0.9", "10.99.0.1"]))
    tried = []

    def source(peer):
        tried.append(peer[0])
        if ":" in peer[0]:
            raise OSError(ENETUNREACH, "Network is unreachable")
        return "10.99.0.2"

    monkeypatch.setattr("prol2tp.daemons.prol2tpd.instances.route_source", source)
    lns, lac = world.host(LNS), world.host(LAC.replace("peer 10.99.0.1", "peer lns.example.net"))
    lns.start()
    lac.start()
    world.run(60)
    assert tried[:3] == ["2001:db8::1", "10.99.0.9", "10.99.0.1"] and len(lns.ppp.up) == 2
    lac.plane.instances["one"].attempt()
    assert tried[3:] == ["10.99.0.1"]


def test_a_socket_for_answers_that_comes_late_is_not_given_to_the_tunnel_that_has_the_id_now(world):
    lns = world.host(LNS.replace("peer_host", "reply_port ephemeral; peer_host"))
    lns.start()
    slow(lns, world, 0.5)
    hammer(world, lns, 1, "lac", "10.99.0.9")
    (old,) = lns.plane.tunnels.values()
    new = lns.plane.tunnels[old.tunnel_id] = TunnelRecord(old.tunnel_id, None, old.core)
    assert len(lns.path.listeners) == 2
    world.run(1)
    assert new.port is None and len(lns.path.listeners) == 1


@pytest.fixture
def faults():
    """What actions and forgotten answers have raised."""
    seen = []

    def observe(event):
        if event.get("log_failure") is not None:
            seen.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_in_whatever_order_nothing_is_left_behind(world, seed, faults):
    chance = random.Random(seed)
    lns = world.host(LNS.replace("peer_host", "reply_port ephemeral; peer_host") if seed % 2 else LNS)
    lac = world.host(LAC)
    for host in (lns, lac):
        slow(host, world, chance.choice((0.01, 0.05, 0.3)))
    lns.start()
    lac.start()

    def command(host, name, **arguments):
        try:
            answer = host.commands[name](None, **arguments)
        except (NotFound, Refused):
            return
        if isinstance(answer, Deferred):
            answer.addErrback(lambda failure: failure.trap(Refused, NotFound))

    def anything():
        what, number = chance.randrange(9), str(chance.randrange(3))
        host = chance.choice((lns, lac))
        tunnel = chance.choice([*host.plane.tunnels, 0])
        sessions = host.plane.tunnels[tunnel].sessions if tunnel else {}
        persist = chance.choice(("true", "false"))
        if what == 0:
            command(lac, "CreateTunnel", parameters={"name": number, "peer": "10.99.0.1", "secret": "s3cret",
                                                     "persist": persist})
        elif what == 1:
            command(lac, "DestroyTunnel", tunnel_name=chance.choice((number, "one")))
        elif what == 2:
            command(lac, "CreateSession", tunnel_name=chance.choice((number, "one")),
                    parameters={"name": "x", "persist": persist})
        elif what == 3:
            command(host, "DestroyTunnel", tunnel_id=tunnel)
        elif what == 4:
            command(host, "DestroySession", tunnel_id=tunnel, session_id=chance.choice([*sessions, 1]))
        elif what == 5:
            changes = chance.choice(("", "hello_timeout 9\n", "idle_timeout 5\n"))
            reload.apply(lac.plane, load(LAC.replace("secret", changes + "secret"), "test.conf"))
        elif what == 6:
            world.wire.lost = not world.wire.lost
        elif what == 7:
            chance.choice((lns, lac)).path.refuse[chance.choice(("listen", "tunnel_add", "session_add"))] = (
                DataPathError(SYSTEM, "no room"))
        else:
            world.run(chance.choice((1, 10, 60)))

    for _ in range(150):
        anything()
        world.run(chance.choice((0.01, 0.05, 0.5)))
    world.wire.lost = False
    world.run(40)
    for host in (lac, lns):
        host.path.refuse.clear()
        host.plane.stop(3)
    world.run(60)
    for host in (lac, lns):
        plane = host.plane
        assert not plane.tunnels and not plane.endpoint.tunnels and not len(plane.tunnel_roll)
        assert plane.session_count == plane.established == 0
        assert host.path.tunnels == {} and host.path.ports == {}
        assert list(plane.ports) == plane.server_ports and len(host.path.listeners) == len(plane.server_ports)
        assert set(host.ppp.up) <= {record for record, _ in host.ppp.down}
        plane.close()
    assert [call for call in world.clock.getDelayedCalls() if call.active()] == []
    gc.collect()
    assert faults == []


def test_a_call_whose_end_overtakes_its_connect_is_no_fault(world, faults):
    lns = world.host(LNS.replace('secret "s3cret"', "auth_mode none"))
    written = lines(lns)
    lns.start()
    peer, ours = ("10.99.0.9", 1701), ("10.99.0.1", 1701)

    def give(ns, body, tunnel_id=0, session_id=0):
        lns.plane._received(write_control(tunnel_id, session_id, ns, 0, body), peer, ours, 0)

    give(0, encode(SCCRQ(PROTOCOL_VERSION, "lac", 3, 7)))
    (tunnel_id,) = lns.plane.tunnels
    give(1, encode(SCCCN()), tunnel_id)
    give(2, encode(ICRQ(5, 5)), tunnel_id)
    (session_id,) = lns.plane.tunnels[tunnel_id].sessions
    give(4, encode(CDN(ResultCode(1), 5)), tunnel_id, session_id)
    give(3, encode(ICCN(64000, 1)), tunnel_id, session_id)
    assert faults == [] and lns.plane.session_count == 0
    assert not lns.ppp.up
    assert ["down" in line for line in written if "session" in line] == [True]


BARE = LNS.replace('; ppp_profile "subscribers"', "")


def test_a_session_without_ppp_can_be_claimed_once_and_released(world):
    lns, lac = world.host(BARE), world.host(LAC)
    attachment, channel = Attachment(world.clock, lns.log, 30), FakeChannel()
    attachment.plane, lns.plane.ppp = lns.plane, attachment
    attachment.connected(channel)
    lns.start()
    lac.start()
    world.run(2)
    assert channel.calls == []
    row = lns.call("ListSessions", cursor="", limit=10)["rows"][0]
    ids = {"tunnel_id": row["tunnel_id"], "session_id": row["session_id"]}
    claimed = attachment.claim_session(**ids, ppp_profile="p", options={"mru": ["1400"]})["row"]
    assert problems(claimed, PPP_RECORDS["attach-row"], PPP_RECORDS) == []
    assert (claimed["ppp_profile"], claimed["options"], claimed["port"] > 0) == ("p", {"mru": ["1400"]}, True)
    with pytest.raises(Refused, match="has PPP already"):
        attachment.claim_session(**ids, ppp_profile="p", options={})
    with pytest.raises(NotFound):
        attachment.claim_session(tunnel_id=1, session_id=1, ppp_profile="p", options={})
    # a propppd that comes again is given it again
    attachment.disconnected()
    attachment.connected(channel)
    world.run(1)
    assert [keys for _, keys, _ in channel.calls] == [[claimed["id"]]]
    attachment.sessions_changed([{"id": claimed["id"], "state": "released"}])
    assert attachment.claim_session(**ids, ppp_profile="q", options={})["row"]["ppp_profile"] == "q"
