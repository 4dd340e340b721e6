"""What a reload does beside the differences of the files: it ends what commands did until the next reload."""

from __future__ import annotations

import pytest

from prol2tp.config.prol2tpd import load
from prol2tp.control.command import Refused
from prol2tp.control.commands.shared import CHANGE
from prol2tp.control.preview import preview
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.service import Prol2tpdService
from tests.shell.test_prol2tpd import LAC, LNS, pair, states, world  # noqa: F401


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


SITES = 100


def sites(secret="s3cret", number=0):
    """A LAC with so many tunnels to one LNS; one of them with another secret."""
    blocks = [f'tunnel "t{n}" {{ peer 10.99.0.1; secret "{secret if n == number else "s3cret"}"\n session "u" {{ }} }}'
              for n in range(1, SITES + 1)]
    return "\n".join(['system { hostname "lac" }', *blocks])


def told(plane, text):
    return [(change.kind, change.name, change.parameters, effect.word, list(effect.drops), effect.why)
            for change, effect in reload.plan(plane, load(text, "test.conf"))]


def test_of_a_hundred_tunnels_only_the_one_whose_secret_changed_is_named_and_drops(world):  # noqa: F811
    lns, lac = world.host(LNS), world.host(sites())
    lns.start()
    lac.start()
    world.run(5)
    assert states(lac) == (["ESTABLISHED"] * SITES, ["ESTABLISHED"] * SITES)
    before = {name: (one.tunnel_id, one.sessions["u"].session_id) for name, one in lac.plane.instances.items()}
    text = sites("another", 42)
    number = before["t42"][0]
    assert told(lac.plane, text) == [
        ("tunnel", ("t42",), ("secret",), "drops", [f'tunnel {number} "t42" with 1 session'],
         "secret cannot change while it is up: it is opened again")]
    world.run(1)
    assert {name: (one.tunnel_id, one.sessions["u"].session_id)
            for name, one in lac.plane.instances.items()} == before
    assert reload.apply(lac.plane, load(text, "test.conf")) == 'tunnel "t42" changed (secret)'
    world.run(1)
    after = {name: (one.tunnel_id, one.sessions["u"].session_id) for name, one in lac.plane.instances.items()}
    assert {name for name in before if after[name] != before[name]} == {"t42"}
    assert states(lac)[0].count("ESTABLISHED") == SITES - 1


def test_a_preview_says_what_drops_what_opens_and_what_stays(pair):  # noqa: F811
    tunnel = pair.lac.plane.instances["one"].tunnel_id
    session = pair.lac.plane.instances["one"].sessions["u2"].session_id
    text = LAC.replace('tunnel "one" {', 'tunnel "two" { peer 10.99.0.9 }\ntunnel "one" { log_level info')
    text = text.replace('user_name "u2@example.com"', 'user_name "u3@example.com"')
    assert {row[1]: row[3:] for row in told(pair.lac.plane, text)} == {
        ("two",): ("opens", [], "a new tunnel"),
        ("one",): ("at once", [], "it stays up"),
        ("one", "u1"): ("at once", [], "it stays up"),
        ("one", "u2"): ("drops", [f'session {tunnel}/{session} "u2"'],
                        "user_name cannot change while it is up: it is opened again"),
    }
    assert told(pair.lac.plane, LAC) == []
    assert told(pair.lac.plane, 'system { hostname "lac" }')[-1][3:] == (
        "drops", [f'tunnel {tunnel} "one" with 2 sessions'], "it is no longer in the file")


def test_what_a_preview_says_ends_is_what_ends(pair):  # noqa: F811
    variants = [LAC, LAC.replace("s3cret", "other"), LAC.replace('"u1@', '"u9@'), 'system { hostname "lac" }',
                LAC.replace('hostname "lac"', 'hostname "lac"; deny_local_tunnel_creates true')]
    for text in (*variants, *reversed(variants)):
        plane = pair.lac.plane
        named = [one for *_, drops, _ in told(plane, text) for one in drops]
        before = {f'tunnel {one.tunnel_id} "{name}"': one for name, one in plane.instances.items() if one.tunnel_id}
        reload.apply(plane, load(text, "test.conf"))
        ended = [label for label, one in before.items() if one.stopped]
        assert ended == [one.partition(" with")[0] for one in named if one.startswith("tunnel")]
        pair.run(3)


def test_a_preview_is_the_record_that_is_declared(pair):  # noqa: F811
    found = preview(reload.plan(pair.lac.plane, load('system { hostname "x" }\ntunnel "t" { peer 10.0.0.1 }', "f")))
    assert [change["effect"] for change in found["changes"]] == ["drops", "opens", "at once", "later"]
    for change in found["changes"]:
        assert problems(change, CHANGE, {}) == []
    assert (found["total"], found["drops"]) == (len(found["changes"]), 1)


def test_a_file_with_an_error_is_refused_by_preview_and_reload_and_changes_nothing(tmp_path, pair):  # noqa: F811
    path = tmp_path / "prol2tpd.conf"
    path.write_text(LAC.replace("secret", "sceret"))
    service = Prol2tpdService.__new__(Prol2tpdService)
    service.options, service._started, service.plane = {"config-file": str(path)}, True, pair.lac.plane
    config, before = pair.lac.plane.config, states(pair.lac)
    for ask in (service.preview, service.reload):
        with pytest.raises(Refused, match=r"prol2tpd.conf:5:5: unknown parameter sceret.*did you mean secret\?"):
            ask()
    pair.run(2)
    assert pair.lac.plane.config is config and states(pair.lac) == before


def test_a_category_has_a_level_of_its_own(pair):  # noqa: F811
    plane, lines = pair.lac.plane, []

    class Told(Log):
        def emit(self, level, text, /, own=None, **values):
            if self.enabled(level, own):
                lines.append(text.format(**values))

    plane.log = Told("test", Level.CRITICAL)
    plane.levels.configure({"message": Level.INFO, "fsm": Level.WARNING})
    assert plane.endpoint.trace is not None
    pair.lac.call("DestroySession", tunnel_name="one", session_name="u1")
    number = plane.instances["one"].tunnel_id
    assert any(line.startswith(f"{number}/") and line.endswith("send CDN") for line in lines)
    assert not any("FSM:" in line or "Ns" in line for line in lines)
    plane.levels.configure({})
    assert plane.endpoint.trace is None
