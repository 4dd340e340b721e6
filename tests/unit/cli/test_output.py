"""What the tools print is safe on a terminal, whatever names peers and users have chosen."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from prol2tp.cli import access, format, links, reports, tunnels
from prol2tp.cli.program import FAILED, Program
from prol2tp.cli.prol2tp import ACTIONS, GRAMMAR
from tests.golden import records

EVIL = "a\x1b]0;x\x07\x9b31m\u202eb\u2066c\u2028d\x7f"


def is_safe(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


def tool(**streams: io.StringIO) -> Program:
    return Program("prol2tp", "prol2tpd.sock", GRAMMAR, ACTIONS, "", **streams)


def test_text_cannot_speak_to_the_terminal_or_turn_its_direction() -> None:
    assert is_safe(format.clean(EVIL)) and format.clean("näh ツ") == "näh ツ"


def test_json_cannot_speak_to_the_terminal_and_is_the_same_json() -> None:
    output = io.StringIO()
    program = tool(output=output)
    program.json = True
    program.record({"peer_host_name": EVIL, "näh": "ツ"}, lambda record: [])
    assert is_safe(output.getvalue()) and "näh" in output.getvalue()
    assert json.loads(output.getvalue()) == {"peer_host_name": EVIL, "näh": "ツ"}


def test_rows_of_json_cannot_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pages:
        def __enter__(self) -> Pages:
            return self

        def __exit__(self, *_: object) -> None: ...

        def pages(self, command: object) -> list[list[dict[str, str]]]:
            return [[{"name": EVIL}], [{"name": "b"}]]

    output = io.StringIO()
    program = tool(output=output)
    program.json = True
    monkeypatch.setattr(program, "connect", Pages)
    program.rows(None, lambda pages: iter(()))  # type: ignore[arg-type]
    assert is_safe(output.getvalue()) and json.loads(output.getvalue()) == [{"name": EVIL}, {"name": "b"}]


def test_an_error_is_one_safe_line() -> None:
    errors = io.StringIO()
    assert tool(errors=errors).complain(f"no tunnel {EVIL}\nat all", FAILED) == FAILED
    assert is_safe(errors.getvalue()) and errors.getvalue().count("\n") == 1
    assert errors.getvalue().endswith(" at all\n")


LAYOUTS: dict[str, tuple[Callable[[Any], Iterable[str]], Any]] = {
    "system": (tunnels.system, records.SYSTEM),
    "tunnels": (lambda row: tunnels.tunnels([[row]]), records.TUNNEL_ROW),
    "tunnel": (tunnels.tunnel, records.TUNNEL),
    "sessions": (lambda rows: tunnels.sessions([rows]), list(records.SESSION_ROWS)),
    "session": (tunnels.session, records.SESSION),
    "ends": (lambda rows: reports.ends([rows]), list(records.END_ROWS)),
    "route ends": (lambda rows: reports.route_ends([rows]), list(records.ROUTE_END_ROWS)),
    "link ends": (lambda rows: reports.link_ends([rows]), list(records.LINK_END_ROWS)),
    "preview": (reports.preview, records.PREVIEW),
    "scripts": (reports.scripts, records.SCRIPTS),
    "status": (links.status, records.STATUS),
    "pools": (lambda rows: links.pools([rows]), list(records.POOL_ROWS)),
    "servers": (lambda rows: links.servers([rows]), list(records.SERVER_ROWS)),
    "link": (links.link, records.LINK),
    "networks of a link": (links.link, records.NETWORK_LINK),
    "rates of a link": (links.link, records.RATE_LINK),
    "links": (lambda rows: links.links([rows]), records.link_rows(2)),
    "status of proacd": (lambda record: access.status(record) + access.details(record), records.ACCESS_STATUS),
    "routes": (lambda rows: access.routes([rows], verbose=True), [*records.ROUTES, *records.OTHER_ROUTES]),
    "interfaces": (lambda rows: access.interfaces([rows]), list(records.INTERFACE_ROWS)),
    "destinations": (lambda rows: access.destinations([rows]), list(records.DESTINATION_ROWS)),
    "hosts": (lambda rows: access.macs([rows]), list(records.MAC_ROWS)),
    "trace of proacd": (lambda rows: access.trace([rows]), list(records.TRACE_ROWS)),
}


def texts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a text in a record."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(inner, (*place, key))


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_text_of_any_record_reaches_the_terminal_as_it_is(name: str) -> None:
    layout, record = LAYOUTS[name]
    shown = 0
    for *above, last in texts(record):
        hostile = inner = copy.deepcopy(record)
        for key in above:
            inner = inner[key]
        inner[last] = EVIL
        try:
            lines = list(layout(hostile))
        except (LookupError, ValueError):  # a word of ours, or an address: not for peers to choose
            continue
        assert all(line.isprintable() for line in lines), (above, last)
        shown += any("\\x1b]0;x" in line for line in lines)
    assert shown


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_fault(closed: str) -> None:
    script = "import sys; from prol2tp.cli.prol2tp import main; sys.argv = ['prol2tp', '--version']; sys.exit(main())"
    outcome = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script], capture_output=True,
                             text=True, timeout=60, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
