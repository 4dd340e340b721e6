"""prol2tpwatch and propppwatch: lines, CSV, options, and their pages."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from prol2tp.cli import watch
from prol2tp.cli.watch import PROL2TPWATCH, PROPPPWATCH, Watch, parser

MAN = Path(__file__).parents[3] / "man"
TOOLS = (PROL2TPWATCH, PROPPPWATCH)
SESSION = {
    "handle": 3, "tunnel_id": 27774, "session_id": 34877, "peer_tunnel_id": 64947, "peer_session_id": 32602,
    "tunnel_name": "", "name": "", "profile": "spp0", "pseudowire_profile": "pp0", "type": "ppp", "interface": "ppp0",
    "user": "u1@example.com", "local": "192.0.2.1:1701", "peer": "192.0.2.2:1701",
}
TUNNEL = {
    "handle": 1, "tunnel_id": 27774, "peer_tunnel_id": 64947, "name": "one", "profile": "tp0", "version": 2,
    "encapsulation": "udp", "local": "192.0.2.1:1701", "peer": "192.0.2.2:1701", "peer_host_name": "lac",
}
DOWN = {"result": 3, "error": 0, "message": "", "by_peer": True, "reason": "administrative reasons"}
LINK = {"name": "session-1", "id": "27774/34877", "type": "pppol2tp", "profile": "users", "user": "u1@example.com",
        "interface": "ppp0", "address": "10.5.1.100"}
END = {"cause": "User Request", "message": "it's\nover"}


def tool_of(event):
    return PROPPPWATCH if event.startswith("link") else PROL2TPWATCH


def text(event, data, *words):
    tool = tool_of(event)
    made = Watch(tool, parser(tool).parse_args(words), io.StringIO(), io.StringIO())
    return made.text({"event": event, "sequence": 1, "time": 0.0, "data": data})


@pytest.mark.parametrize(("event", "data", "words", "line"), [
    ("session-created", SESSION, (),
     "SESSION CREATED: handle=3 tid=27774 sid=34877 name='' profile='spp0' pw_profile='pp0'"),
    ("session-up", SESSION, (), "SESSION UP: handle=3 tid=27774 sid=34877 peer_tid=64947 peer_sid=32602"),
    ("session-down", SESSION | DOWN, (),
     "SESSION DOWN: handle=3 tid=27774 sid=34877 peer_tid=64947 peer_sid=32602 result=3 error=0 message=''"),
    ("session-deleted", SESSION, (), "SESSION DELETED: handle=3 tid=27774 sid=34877"),
    ("session-deleted", SESSION, ("-v",), "SESSION DELETED: handle=3 tid=27774 sid=34877 pw_type=ppp interface='ppp0'"),
    ("tunnel-created", TUNNEL, (), "TUNNEL CREATED: handle=1 tid=27774 name='one' profile='tp0'"),
    ("tunnel-up", TUNNEL, ("-v",),
     "TUNNEL UP: handle=1 tid=27774 peer_tid=64947 version=2 encap=udp peer=192.0.2.2:1701"),
    ("tunnel-down", TUNNEL | DOWN | {"message": "bye\n"}, (),
     "TUNNEL DOWN: handle=1 tid=27774 peer_tid=64947 result=3 error=0 message='bye\\x0a'"),
    ("tunnel-deleted", TUNNEL, (), "TUNNEL DELETED: handle=1 tid=27774"),
    ("link-created", LINK, (), "PPP CREATED: name=session-1 id=27774/34877 profile='users'"),
    ("link-up", LINK, (),
     "PPP UP: name=session-1 id=27774/34877 user='u1@example.com' interface='ppp0' address=10.5.1.100"),
    ("link-down", LINK | END, (), "PPP DOWN: name=session-1 id=27774/34877 user='u1@example.com' interface='ppp0'"
                                  " cause='User Request' message='it\\x27s\\x0aover'"),
    ("link-destroyed", LINK | END, ("-v",), "PPP DESTROYED: name=session-1 id=27774/34877 user='u1@example.com'"
                                            " cause='User Request' message='it\\x27s\\x0aover' type=pppol2tp"),
])
def test_lines_are_the_known_ones(event, data, words, line):
    assert text(event, data, *words) == line


def test_csv_has_the_same_columns_for_all_events():
    lines = [text(event, data, "-c", "-v") for event, data in (
        ("session-down", SESSION | DOWN | {"message": 'a "quoted", one'}), ("tunnel-up", TUNNEL))]
    assert lines == [
        'SESSION,DOWN,3,27774,64947,,,3,0,"a ""quoted"", one",34877,32602,,,,,ppp,ppp0',
        "TUNNEL,UP,1,27774,64947,,,,,,,,,2,udp,192.0.2.2:1701,,",
    ]


@pytest.mark.parametrize("words", [("-p",), ("-p", "-c")])
def test_the_time_stands_first(words):
    assert re.match(r"... ... \d\d \d\d:\d\d:\d\d \d{4}[ ,]SESSION", text("session-up", SESSION, *words))


def test_only_events_that_are_asked_for_are_subscribed_to():
    words = ("-s", "up,down", "-t", "none")
    made = Watch(PROL2TPWATCH, parser(PROL2TPWATCH).parse_args(words), io.StringIO(), io.StringIO())
    assert made.names == ["session-up", "session-down"]


@pytest.mark.parametrize(("words", "said"), [
    (("-s", "gone"), "argument -s/--session-events: 'gone': a list of created,up,down,deleted, or none"),
    (("-n", "0"), "argument -n/--max-events: '0' is no number of events"),
    (("-T", "soon"), "argument -T/--timeout: 'soon' is no number of seconds"),
    (("now",), "unrecognized arguments: now; see --help"),
])
def test_bad_options_are_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parser(PROL2TPWATCH).parse_args(words)
    assert ended.value.code == 2 and capsys.readouterr().err == f"prol2tpwatch: {said}\n"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_page_has_all_options_all_columns_and_no_others(tool):
    page = (MAN / f"{tool.name}.1").read_text()
    options = {option for action in parser(tool)._actions for option in action.option_strings}
    described = {f"-{word}" for line in page.splitlines() if line.startswith(".It Fl ")
                 for word in re.findall(r"Fl (\S+)", line)}
    assert described == options
    output = page.partition(".Sh OUTPUT")[2].partition(".Sh EXIT")[0]
    wanted = [column.name for kind in tool.kinds for column in kind.columns]
    assert re.findall(r"^\.It Cm (\S+)$", output, re.MULTILINE) == wanted
    assert re.findall(r"^Events: (.*)\.$", output, re.MULTILINE) == [", ".join(kind.words) for kind in tool.kinds]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_columns_are_fields_of_the_records(tool):
    records = tool.module.RECORDS
    for kind in tool.kinds:
        fields = {field.name for field in records[f"{kind.prefix}-event"].fields}
        ends = {"cause", "message"} if kind.prefix == "link" else {
            field.name for field in records["down-event"].fields}
        for column in kind.columns:
            assert column.field in (fields | ends if column.on & {"down", "destroyed"} else fields)
        assert [f"{kind.prefix}-{word}" in tool.module.EVENTS for word in kind.words] == [True] * len(kind.words)
    assert set(watch.columns(tool, True)) >= set(watch.columns(tool, False))


def test_a_name_that_a_peer_chose_cannot_end_its_quotes():
    spoofed = text("link-up", LINK | {"user": "u' interface='ppp9"})
    assert "user='u\\x27 interface=\\x27ppp9' interface='ppp0'" in spoofed
