"""proac_info against a daemon on a real socket, which answers from records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from prol2tp.control.command import NotFound
from prol2tp.control.commands.proacd import CALLBACKS, COMMANDS, EVENTS, SOCKET
from prol2tp.control.events import Events
from prol2tp.control.paging import page
from prol2tp.control.server import ControlServer
from tests.golden import records
from tests.shell.control_daemons import Outcome, run

GOLDEN = Path(__file__).parents[1] / "golden"


class Proacd:
    """Its socket; `calls` has what was asked beside what was shown."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.server = ControlServer(
            f"{directory}/{SOCKET}",
            COMMANDS,
            {
                **{name: self._seen(name) for name in COMMANDS},
                "Status": lambda c: {"status": records.ACCESS_STATUS},
                "ListRoutes": self._routes,
                "ShowRoute": self._route,
                "ListHistory": self._history,
                "ListInterfaces": self._rows(records.INTERFACE_ROWS),
                "ListDestinations": self._rows(records.DESTINATION_ROWS),
                "ListMacs": self._rows(records.MAC_ROWS),
                "DumpTrace": self._rows(records.TRACE_ROWS),
                **Events(EVENTS).responders(),
            },
            CALLBACKS,
        )

    def _seen(self, name: str) -> Any:
        def responder(connection: Any, **arguments: Any) -> dict[str, Any]:
            self.calls.append((name, {key: value for key, value in arguments.items() if value is not None}))
            answers = {
                "CloseRoute": {"closed": 2}, "Reload": {"summary": "nothing changed"},
                "Drain": {"known": arguments.get("destination") != "192.0.2.7", "sessions": 1},
            }  # fmt: skip
            return answers.get(name, {})

        return responder

    def _history(self, connection: Any, **which: Any) -> dict[str, Any]:
        asked = {name: value for name, value in which.items() if name in ("mac", "user") and value is not None}
        if asked:
            self.calls.append(("ListHistory", asked))
        return self._rows(records.ROUTE_END_ROWS)(connection, which["cursor"], which["limit"])

    @staticmethod
    def _rows(rows: list[dict[str, Any]]) -> Any:
        return lambda connection, cursor, limit, **_: page(dict(enumerate(rows)), cursor, limit, rows.__getitem__)

    def _routes(self, connection: Any, name: str | None, user: str | None, cursor: str | None, limit: int | None,
                **_: Any) -> dict[str, Any]:
        rows = [row for row in records.ROUTES if name in (None, row["name"]) and user in (None, row["user"])]
        return page(dict(enumerate(rows)), cursor, limit, rows.__getitem__)

    def _route(self, connection: Any, number: int) -> dict[str, Any]:
        for row in records.ROUTES:
            if row["number"] == number:
                return {"route": row}
        raise NotFound(f"there is no route {number}")

    def run(self, *words: str) -> Any:
        return run("proac_info", "--run-dir", self.directory, *words)


@pytest.fixture
def proacd(tmp_path: Path) -> Iterator[Proacd]:
    daemon = Proacd(tmp_path)
    daemon.server.startService()
    yield daemon
    pytest_twisted.blockon(daemon.server.stopService())


@pytest.mark.parametrize(
    ("words", "golden"),
    [
        (["-s"], "proac_info-s"), (["-s", "-v"], "proac_info-s-v"), (["-r"], "proac_info-r"),
        (["-r", "33975"], "proac_info-r-33975"), (["-r", "r1"], "proac_info-r-33975"),
        (["interfaces"], "proac_info-interfaces"), (["destinations"], "proac_info-destinations"),
        (["history"], "proac_info-history"), (["macs"], "proac_info-macs"), (["trace", "dump"], "proac_info-trace"),
    ],
)  # fmt: skip
@pytest_twisted.inlineCallbacks
def test_what_is_shown_is_the_known_text(proacd: Proacd, words: list[str], golden: str) -> Any:
    outcome: Outcome = yield proacd.run(*words)
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output == (GOLDEN / f"{golden}.txt").read_text()


@pytest_twisted.inlineCallbacks
def test_json_is_the_record_or_the_rows(proacd: Proacd) -> Any:
    outcome = yield proacd.run("--json", "-r")
    assert json.loads(outcome.output) == records.ROUTES
    outcome = yield proacd.run("--json", "-r", "33975")
    assert json.loads(outcome.output) == records.ROUTES[1]
    outcome = yield proacd.run("--json", "-s")
    assert json.loads(outcome.output) == records.ACCESS_STATUS


CHANGES = [
    (["close", "r1"], "CloseRoute", {"name": "r1"}),
    (["close", "33975"], "CloseRoute", {"number": 33975}),
    (["close", "mac", "08:00:27:64:4a:2b"], "CloseRoute", {"mac": "08:00:27:64:4a:2b"}),
    (["history", "08:00:27:64:4a:2B"], "ListHistory", {"mac": "08:00:27:64:4a:2B"}),
    (["history", "u1@example.com"], "ListHistory", {"user": "u1@example.com"}),
    (["drain"], "Drain", {"on": True}),
    (["drain", "192.0.2.1"], "Drain", {"on": True, "destination": "192.0.2.1"}),
    (["undrain", "192.0.2.1"], "Drain", {"on": False, "destination": "192.0.2.1"}),
    (["unlock", "192.0.2.1"], "Unlock", {"destination": "192.0.2.1"}),
    (["allow", "08:00:27"], "AddMac", {"list": "allow", "mac": "08:00:27"}),
    (["deny", "08:00:27", "on", "eth0"], "AddMac", {"list": "deny", "mac": "08:00:27", "interface": "eth0"}),
    (["remove", "deny", "08:00:27"], "RemoveMac", {"list": "deny", "mac": "08:00:27"}),
    (["remove", "allow", "08:00:27", "on", "eth0"], "RemoveMac",
     {"list": "allow", "mac": "08:00:27", "interface": "eth0"}),
    (["trace", "on"], "SetTrace", {"on": True}),
    (["trace", "on", "interface", "eth0", "mac", "08:00:27:64:4a:2b"], "SetTrace",
     {"on": True, "interface": "eth0", "mac": "08:00:27:64:4a:2b"}),
    (["trace", "off", "route", "r1"], "SetTrace", {"on": False, "route": "r1"}),
    (["set", "log-level", "debug"], "SetLogLevel", {"level": "debug"}),
    (["reload"], "Reload", {}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "command", "arguments"), CHANGES)
@pytest_twisted.inlineCallbacks
def test_what_is_changed_is_asked_of_the_daemon(
    proacd: Proacd, words: list[str], command: str, arguments: dict[str, Any]
) -> Any:
    outcome = yield proacd.run(*words)
    assert (outcome.code, outcome.errors) == (0, "")
    assert proacd.calls == [(command, arguments)]


@pytest_twisted.inlineCallbacks
def test_who_drains_hears_of_those_that_stay_and_of_a_name_that_nobody_knows(proacd: Proacd) -> Any:
    for words, said in (("drain", "1 session stays"), ("drain 192.0.2.1", "1 session stays"),
                        ("undrain 192.0.2.1", "1 session there"),
                        ("drain 192.0.2.7", "no session has been sent there yet")):
        outcome = yield proacd.run(*words.split())
        assert (outcome.code, outcome.output) == (0, f"{said}\n")


@pytest_twisted.inlineCallbacks
def test_a_user_is_found(proacd: Proacd) -> Any:
    outcome = yield proacd.run("find", "user", "u1@example.com")
    assert outcome.output.startswith("Route 'r2' 13564:\n") and "user 'u1@example.com'" in outcome.output
    outcome = yield proacd.run("find", "line", "x")
    assert outcome.code == 0
    outcome = yield proacd.run("find", "user", "nobody")
    assert (outcome.code, outcome.errors) == (1, "proac_info: there is no route of 'nobody'\n")


@pytest_twisted.inlineCallbacks
def test_a_route_that_is_not_there_is_said_in_one_line(proacd: Proacd) -> Any:
    for name in ("r9", "12"):
        outcome = yield proacd.run("-r", name)
        assert (outcome.code, outcome.output) == (1, "")
        assert outcome.errors == f"proac_info: there is no route '{name}'\n"
