"""One line of business through prol2tpd and propppd: what it tells, what it does not, and nobody else's log."""

import json

import pytest
from twisted.internet.defer import succeed

from prol2tp.daemons.logs import Level
from tests.shell.propppd_world import LinksWorld
from tests.shell.test_prol2tpd import pair, world  # noqa: F401


class Connection:
    def __init__(self, tracers, packets=True, **subject):
        self.on_lost, self.lines = [], []
        tracers.responders()["Trace"](self, subject=subject, packets=packets)

    def call(self, name, lines, dropped):
        assert name == "Traced" and not dropped
        self.lines += json.loads(lines.encoded)
        return succeed({})

    def lose(self):
        for function in self.on_lost:
            function(self)

    @property
    def texts(self):
        return [line["text"] for line in self.lines if line["text"]]

    @property
    def packets(self):
        return [bytes.fromhex(line["packet"]) for line in self.lines if line["packet"]]


def kinds(packets):
    """Message types of L2TPv2 control packets, 0 for a ZLB."""
    return [int.from_bytes(data[18:20], "big") if len(data) > 12 else 0 for data in packets]


def test_a_session_is_followed_and_nobody_else(pair):  # noqa: F811
    lac = pair.lac
    one = lac.call("ShowSession", tunnel_name="one", session_name="u1")["session"]
    connection = Connection(lac.plane.tracers, tunnel=one["tunnel_id"], session=one["session_id"])
    assert lac.plane.log.level is Level.CRITICAL
    lac.call("DestroySession", tunnel_name="one", session_name="u2")
    lac.call("DestroySession", tunnel_name="one", session_name="u1")
    pair.run(1)
    who = f'session {one["tunnel_id"]}/{one["session_id"]} "u1"'
    assert {line["who"] for line in connection.lines} == {who}
    assert "send CDN" in connection.texts
    assert 'session-down administrative reasons: "administrative request"' in connection.texts
    assert kinds(connection.packets) == [14]
    connection.lose()
    assert lac.plane.endpoint.trace is None


def test_a_peer_is_followed_from_its_first_packet(world):  # noqa: F811
    from tests.shell.test_prol2tpd import LAC, LNS

    lns, lac = world.host(LNS), world.host(LAC)
    connection = Connection(lns.plane.tracers, peer="10.99.0.2")
    stranger = Connection(lns.plane.tracers, peer="10.99.0.77")
    lns.start()
    lac.start()
    world.run(2)
    found = [kind for kind in kinds(connection.packets) if kind]
    assert found[:3] == [1, 2, 3] and found.count(10) == found.count(11) == found.count(12) == 2
    directions = {line["direction"] for line in connection.lines if line["packet"]}
    assert directions == {"in", "out"} and stranger.lines == []
    assert "s3cret" not in json.dumps(connection.lines)


def test_a_session_that_is_opened_for_a_user_is_followed_with_its_packets(pair):  # noqa: F811
    connection = Connection(pair.lac.plane.tracers, user="u2@example.com")
    pair.lns.call("DestroySession", **{
        key: pair.lns.call("ListSessions", cursor="", limit=10)["rows"][1][key] for key in ("tunnel_id", "session_id")})
    pair.run(5)
    assert [kind for kind in kinds(connection.packets) if kind] == [14, 10, 11, 12]


@pytest.mark.parametrize("method", ["pap", "chap"])
def test_a_user_is_followed_from_lcp_on_and_his_password_is_nowhere(method):
    made = LinksWorld()
    connection = Connection(made.links.tracers, user="u1@example.com")
    other = Connection(made.links.tracers, user="u2@example.com")
    made.client(allow_methods=(method,))
    assert any("LCP Configure-Request" in text for text in connection.texts)
    assert any(text.startswith("up, user u1@example.com") for text in connection.texts)
    assert other.lines == []
    assert connection.packets[0][-2:] and b"pw1" not in b"".join(connection.packets)
    assert "pw1" not in json.dumps(connection.texts)
    requests = [data for data in connection.packets if b"\xc0\x23\x01" in data[:5]]
    assert bool(requests) == (method == "pap") and all(data.endswith(b"***") for data in requests)
    connection.lose()
    other.lose()
    made.settle()
    assert not any(link.traces for link in made.links.by_number.values())


def test_a_login_that_fails_is_followed_too():
    made = LinksWorld()
    connection = Connection(made.links.tracers, user="mallory")
    made.client(user="mallory", password="gu3ss", allow_methods=("pap",))
    made.later(5)
    assert any("Authentication Failed" in text for text in connection.texts)
    assert any("LCP Configure-Request" in text for text in connection.texts)
    assert b"gu3ss" not in b"".join(connection.packets)


def test_without_a_trace_links_tell_nothing():
    made = LinksWorld()
    _, link = made.client()
    assert not link.traces and link.core._lower.trace is None
    connection = Connection(made.links.tracers, user="u1@example.com")
    made.settle()
    assert link.traces and link.core._lower.trace is not None
    connection.lose()
    made.settle()
    assert not link.traces and link.core._lower.trace is None
