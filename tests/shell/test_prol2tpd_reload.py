"""What a reload does beside the differences of the files: it ends what commands did until the next reload."""

from __future__ import annotations

from prol2tp.config.prol2tpd import load
from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd import reload
from tests.shell.test_prol2tpd import LAC, pair, states, world  # noqa: F401


def test_a_tunnel_that_was_destroyed_is_opened_again_by_a_reload_of_the_same_file(pair):  # noqa: F811
    pair.lac.call("DestroyTunnel", tunnel_name="one")
    pair.run(60)
    assert states(pair.lac) == ([], [])
    assert reload.apply(pair.lac.plane, load(LAC, "test.conf")) == 'tunnel "one" opened again'
    pair.run(2)
    assert states(pair.lac) == (["ESTABLISHED"], ["ESTABLISHED"] * 2)


def test_a_session_that_was_destroyed_is_opened_again_by_a_reload_of_the_same_file(pair):  # noqa: F811
    kept = pair.lac.plane.instances["one"].sessions["u2"].session_id
    pair.lac.call("DestroySession", tunnel_name="one", session_name="u1")
    pair.run(60)
    assert states(pair.lac)[1] == ["ESTABLISHED"]
    assert reload.apply(pair.lac.plane, load(LAC, "test.conf")) == 'session "one" "u1" opened again'
    pair.run(2)
    assert states(pair.lac)[1] == ["ESTABLISHED"] * 2
    assert pair.lac.plane.instances["one"].sessions["u2"].session_id == kept


def test_a_destroyed_tunnel_stays_away_where_the_new_file_forbids_own_tunnels(pair):  # noqa: F811
    pair.lac.call("DestroyTunnel", tunnel_name="one")
    text = LAC.replace('hostname "lac"', 'hostname "lac"; deny_local_tunnel_creates true')
    reload.apply(pair.lac.plane, load(text, "test.conf"))
    pair.run(2)
    assert pair.lac.plane.instances == {}


def test_log_levels_that_were_set_by_command_last_until_the_reload(pair):  # noqa: F811
    row = pair.lac.call("ListSessions", cursor="", limit=1)["rows"][0]
    ids = {"tunnel_id": row["tunnel_id"], "session_id": row["session_id"]}
    pair.lac.call("SetLogLevel", scope="tunnel", level="debug", tunnel_id=ids["tunnel_id"])
    pair.lac.call("SetLogLevel", scope="session", level="debug", **ids)
    reload.apply(pair.lac.plane, load(LAC, "test.conf"))
    record = pair.lac.plane.find(**ids)
    assert (record.log_level, record.tunnel.log_level) == (None, None)
    assert pair.lac.plane.endpoint.trace is None


def test_log_levels_of_the_file_come_back_with_the_reload(pair):  # noqa: F811
    text = LAC.replace('tunnel "one" {', 'tunnel "one" { log_level warning')
    plane = pair.lac.plane
    reload.apply(plane, load(text, "test.conf"))
    pair.run(60)
    tunnel = plane.instances["one"].tunnel_id
    assert plane.tunnels[tunnel].log_level is Level.WARNING
    pair.lac.call("SetLogLevel", scope="tunnel", level="debug", tunnel_id=tunnel)
    reload.apply(plane, load(text, "test.conf"))
    assert plane.tunnels[tunnel].log_level is Level.WARNING
