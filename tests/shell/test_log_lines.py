"""What an operator finds in the log at the default level: each fact in one line, with ids, names and reasons."""

from __future__ import annotations

import pytest
from twisted.logger import Logger, formatEvent

from prol2tp.config import proacd, prol2tpd, propppd
from prol2tp.daemons.logs import Level, Log
from tests.shell.propppd_world import LinksWorld
from tests.shell.test_prol2tpd import LAC, LNS, FakePPP, Host, pair, world  # noqa: F401


def heard(log: Log, level: Level = Level.NOTICE) -> list[str]:
    """The lines that the log writes from now on."""
    lines: list[str] = []
    log.level = level
    log._logger = Logger(namespace="test", observer=lambda event: lines.append(formatEvent(event)))
    return lines


@pytest.fixture
def links() -> LinksWorld:
    return LinksWorld()


def test_a_user_who_comes_online_is_one_line_with_name_address_interface_and_call(links):
    lines = heard(links.log)
    links.client()
    assert lines == ["session-1: up, user u1@example.com, address 10.5.1.100, interface ppp0, call 1/3"]


def test_a_user_who_goes_offline_is_one_line_with_the_reason_and_the_time_online(links):
    client, link = links.client()
    lines = heard(links.log)
    links.settle(321)
    link.close("Admin Reset", "destroyed by management")
    links.settle(1)
    assert lines == ["session-1: ended: Admin Reset (destroyed by management), user u1@example.com, 321 s up, call 1/3"]


def test_a_wrong_password_is_one_line_with_user_reason_and_caller_but_no_secret(links):
    lines = heard(links.log)
    links.client(password="wr0ng", row={"calling_number": "0123456789"})
    assert lines == ["session-1: user u1@example.com refused: wrong password (chap), call 1/3 from 0123456789"]


def test_an_unknown_user_is_one_line(links):
    lines = heard(links.log)
    links.client(user="nobody", row={"peer_address": "192.0.2.7"})
    assert lines == ["session-1: user nobody refused: unknown user (chap), call 1/3 from 192.0.2.7"]


def test_a_name_from_the_network_cannot_break_a_line_of_the_format(links):
    lines = heard(links.log)
    links.client(user="{link} %s {0}")
    assert lines == ["session-1: user {link} %s {0} refused: unknown user (chap), call 1/3 from "]


def test_where_the_peer_chooses_our_address_a_second_line_tells_it(links):
    lines = heard(links.log)
    links.client(profile="open", ip=False)
    assert len(lines) == 1 and "address fe80::" in lines[0]


def test_a_level_that_was_set_for_one_link_lasts_until_the_reload(links):
    _, link = links.client(row={"log_level": "info"})
    link.level = Level.DEBUG
    link.traced()
    links.links.own_levels()
    assert link.level is Level.INFO and link.core._lower.trace is None


def test_levels_above_notice_hear_nothing_of_users(links):
    lines = heard(links.log, Level.WARNING)
    _, link = links.client()
    link.close()
    links.settle(5)
    assert lines == []


def test_a_tunnel_and_its_sessions_that_come_up_are_a_line_each(world):  # noqa: F811
    lns, lac = Host(world.wire, LNS), Host(world.wire, LAC)
    near, far = heard(lns.log), heard(lac.log)
    lns.start()
    lac.start()
    world.run(2)
    tunnel = lac.plane.instances["one"].tunnel_id
    peer = lns.call("ListTunnels", cursor="", limit=1)["rows"][0]["tunnel_id"]
    port = lac.plane.endpoint.tunnels[tunnel].local[1]
    assert f'tunnel {tunnel} "one" up: peer 10.99.0.1:1701 host lns id {peer}' in far
    assert f"tunnel {peer} up: peer 10.99.0.2:{port} host lac id {tunnel}" in near
    assert sum(line.startswith(f'session {tunnel}/') and '"u' in line and " up: peer id " in line for line in far) == 2
    assert not any("created" in line for line in near + far)


def test_a_refused_tunnel_is_one_line_at_the_host_that_refused_it(world):  # noqa: F811
    lns, lac = Host(world.wire, LNS), Host(world.wire, LAC.replace('hostname "lac"', 'hostname "stranger"'))
    near = heard(lns.log)
    lns.start()
    lac.start()
    world.run(0.5)
    said = [line for line in near if "stranger" in line or " down" in line]
    assert len(said) == 1
    assert "refused: peer 10.99.0.2:" in said[0] and said[0].endswith("host stranger: no tunnel profile for this peer")


def test_a_wrong_secret_is_said_with_the_name_and_the_peer_of_the_tunnel_but_not_with_the_secret(world):  # noqa: F811
    lns, lac = Host(world.wire, LNS), Host(world.wire, LAC.replace("s3cret", "gu3ssed"))
    lines = heard(lac.log)
    lns.start()
    lac.start()
    world.run(0.5)
    down = [line for line in lines if " down: " in line]
    assert len(down) == 1 and '"one" to 10.99.0.1:1701 down: by us: ' in down[0]
    assert "wrong challenge response" in down[0] and "gu3ssed" not in "".join(lines)


def test_lines_about_messages_say_of_which_tunnel_and_session_they_are(pair):  # noqa: F811
    lns = pair.lns
    lines = heard(lns.log, Level.DEBUG)
    lns.plane.levels.retrace()
    row = lns.call("ListSessions", cursor="", limit=1)["rows"][0]
    tunnel, session = row["tunnel_id"], row["session_id"]
    lns.call("DestroySession", tunnel_id=tunnel, session_id=session)
    assert f"{tunnel}/{session}: send CDN" in lines
    assert f"FSM: LNIC({tunnel}/{session}) event CLOSE_REQ in state ESTABLISHED" in lines
    assert f"FSM: LNIC({tunnel}/{session}) state change: ESTABLISHED --> IDLE" in lines
    assert any(line.startswith(f"{tunnel}: send Ns ") for line in lines)


@pytest.mark.parametrize(("scope", "same_tunnel", "other"),
                         [("session", False, False), ("tunnel", True, False), ("system", True, True)])
def test_a_level_of_one_tunnel_or_session_changes_the_lines_of_no_other(pair, scope, same_tunnel, other):  # noqa: F811
    lac = pair.lac
    lines = heard(lac.log)
    first, second = lac.call("ListSessions", cursor="", limit=2)["rows"]
    tunnel = first["tunnel_id"]
    assert second["tunnel_id"] == tunnel
    which = {"system": {}, "tunnel": {"tunnel_id": tunnel},
             "session": {"tunnel_id": tunnel, "session_id": first["session_id"]}}
    lac.call("SetLogLevel", scope=scope, level="info", **which[scope])
    lac.call("CreateTunnel", parameters={"name": "other", "peer": "10.99.0.1", "persist": "false"})
    for row in (first, second):
        lac.call("DestroySession", tunnel_id=tunnel, session_id=row["session_id"])
    pair.run(1)
    assert f"{tunnel}/{first['session_id']}: send CDN" in lines
    assert (f"{tunnel}/{second['session_id']}: send CDN" in lines) is same_tunnel
    assert any("SCCRQ" in line for line in lines) is other, lines


def test_levels_and_their_defaults_are_those_of_prol2tp():
    assert [level.name for level in Level] == ["CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"]
    found = {module.__name__: module.load("", "x.conf").system.log_level for module in (prol2tpd, propppd)}
    assert set(found.values()) == {"notice"}
    route = 'route "r" { source pppoe { interface eth1 } destination l2tp { peer 192.0.2.1 } }'
    assert proacd.load(route, "x.conf").system.log_level == "info"


def detachments(host):
    """Hears what the attachment to propppd would."""
    host.ppp = host.plane.ppp = Detachments()
    for record in host.plane.session_roll:
        record.taker = host.ppp


class Detachments(FakePPP):
    def session_down(self, record, cause, message):
        self.down.append((cause, message))


def test_a_peer_that_is_dead_is_named_and_its_sessions_have_lost_their_carrier(pair):  # noqa: F811
    detachments(pair.lns)
    lines = heard(pair.lns.log)
    peer = next(iter(pair.lns.plane.tunnels.values())).peer
    pair.wire.lost = True
    pair.run(300)
    tunnels = [line for line in lines if line.startswith("tunnel ")]
    assert len(tunnels) == 1 and f' to {peer} down: by us: general error: "the peer does not acknowledge"' in tunnels[0]
    assert [cause for cause, _ in pair.lns.ppp.down] == ["Lost Carrier"] * 2


def test_sessions_of_a_tunnel_that_we_close_on_purpose_end_for_administrative_reasons(pair):  # noqa: F811
    detachments(pair.lns)
    pair.lns.call("DestroyTunnel", tunnel_id=next(iter(pair.lns.plane.tunnels)))
    assert pair.lns.ppp.down == [("Admin Reset", 'administrative reasons: "tunnel closed: administrative request"')] * 2


def test_the_reason_why_ppp_ended_at_the_other_end_of_the_tunnel_is_heard(pair):  # noqa: F811
    detachments(pair.lns)
    record = next(iter(next(iter(pair.lac.plane.tunnels.values())).sessions.values()))
    pair.lac.plane.ppp_closed(record, "Peer Dead", "no echo")
    pair.run(1)
    assert pair.lns.ppp.down == [("Peer Dead", 'loss of carrier: "no echo"')]
