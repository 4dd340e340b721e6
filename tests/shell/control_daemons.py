"""Daemons on real UNIX sockets that answer every command from tables: the other end of the command line tools."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.threads import deferToThread

from prol2tp.cli import proac_info, prol2tp, propppctl
from prol2tp.control.command import Invalid, NotFound, Refused
from prol2tp.control.commands import prol2tpd, propppd
from prol2tp.control.events import Events
from prol2tp.control.paging import Roll, page
from prol2tp.control.server import ControlServer
from tests.golden import records


class Daemons:
    """prol2tpd.sock and propppd.sock in a directory; `calls` has what was asked."""

    def __init__(self, directory: Any, sessions: int = 3) -> None:
        self.directory = str(directory)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.rows = {
            number: {**records.SESSION_ROWS[0], "session_id": number, "identifier": f"u{number}@example.com"}
            for number in range(1, sessions + 1)
        }
        self.roll = Roll(self.rows)
        self.events = Events(prol2tpd.EVENTS, wall_clock=lambda: 5.0)
        self.link_events = Events(propppd.EVENTS, wall_clock=lambda: 5.0)
        self.prol2tpd = ControlServer(
            f"{self.directory}/prol2tpd.sock",
            prol2tpd.COMMANDS,
            {
                "ShowSystem": lambda c: {"system": records.SYSTEM},
                "ListTunnels": lambda c, cursor, limit: page({27774: 0}, cursor, limit, lambda key: records.TUNNEL_ROW),
                "ShowTunnel": self._tunnel,
                "ListSessions": self._sessions,
                "ShowSession": self._session,
                "ListHistory": lambda c, cursor, limit, **which: page(
                    dict(enumerate(records.END_ROWS)), cursor, limit, records.END_ROWS.__getitem__
                ),
                "ShowTraffic": lambda c, limit: records.TRAFFIC,
                "CreateTunnel": self._seen("CreateTunnel", {"tunnel_id": 7, "name": "x"}),
                "CreateSession": self._seen("CreateSession", {"tunnel_id": 7, "session_id": 8, "name": "u"}),
                "DestroyTunnel": self._refuse,
                "DestroySession": self._seen("DestroySession", {}),
                "SetLogLevel": self._seen("SetLogLevel", {}),
                "Reload": self._seen("Reload", {"summary": "nothing changed"}),
                "PreviewReload": self._seen("PreviewReload", records.PREVIEW),
                **self.events.responders(),
            },
            prol2tpd.CALLBACKS,
        )
        self.propppd = ControlServer(
            f"{self.directory}/propppd.sock",
            propppd.COMMANDS,
            {
                "Status": lambda c: {"status": records.STATUS},
                "Servers": lambda c, cursor, limit: page(
                    dict(enumerate(records.SERVER_ROWS)), cursor, limit, records.SERVER_ROWS.__getitem__
                ),
                "ShowTraffic": lambda c, limit: records.PPP_TRAFFIC,
                "List": self._links,
                "Show": self._link,
                "Create": self._seen("Create", {"name": "session-4"}),
                "Destroy": self._seen("Destroy", {}),
                "Reload": self._seen("Reload", {"summary": "1 profile changed"}),
                "SetLogLevel": self._seen("SetLogLevel", {}),
                "AttachSessions": self._attach,
                **self.link_events.responders(),
            },
            propppd.CALLBACKS,
        )

    def start(self) -> None:
        self.prol2tpd.startService()
        self.propppd.startService()

    def stop(self) -> Any:
        self.prol2tpd.stopService()
        return self.propppd.stopService()

    def _seen(self, name: str, answer: dict[str, Any]) -> Any:
        def responder(connection: Any, **arguments: Any) -> dict[str, Any]:
            self.calls.append((name, {key: value for key, value in arguments.items() if value is not None}))
            return answer

        return responder

    def _refuse(self, connection: Any, tunnel_id: int | None, tunnel_name: str | None) -> None:
        raise Refused("the tunnel is\nbusy")

    def _tunnel(self, connection: Any, tunnel_id: int | None, tunnel_name: str | None) -> dict[str, Any]:
        if tunnel_id == 0:
            raise Invalid("tunnel_id: 0 is no id")
        if tunnel_id == 500:
            raise ZeroDivisionError("a fault")
        if tunnel_id == 600:
            return {"tunnel": {"unexpected": 1}}
        if tunnel_id != 27774 and tunnel_name != "lac":
            raise NotFound(f"no tunnel {tunnel_id or tunnel_name}")
        return {"tunnel": records.TUNNEL}

    def _sessions(
        self, connection: Any, tunnel_id: int | None, tunnel_name: str | None, cursor: str | None, limit: int | None
    ) -> dict[str, Any]:
        return page(self.roll, cursor, limit, self.rows.get)

    def _session(self, connection: Any, stats: bool | None, **which: Any) -> dict[str, Any]:
        return {"session": {**records.SESSION, "stats": records.SESSION["stats"] if stats else None}}

    def _links(self, connection: Any, filter: str | None, cursor: str | None, limit: int | None) -> dict[str, Any]:
        rows = {number: row for number, row in enumerate(records.link_rows(487)) if filter != "down"}
        return page(rows, cursor, limit, rows.get)

    def _link(self, connection: Any, name: str) -> dict[str, Any]:
        if name != "session-1":
            raise NotFound(f"no link {name}")
        return {"link": records.LINK}

    def _attach(self, connection: Any, sessions: Any, owner: Any = None) -> Any:
        """Answers after the other side has answered our own call on the same connection."""
        changed = [{"id": row["id"], "state": "up"} for row in sessions]
        called = connection.call("SessionsChanged", sessions=changed)
        return called.addCallback(lambda _: {"results": [None] * len(sessions)})


TOOLS: dict[str, Any] = {"prol2tp": prol2tp, "propppctl": propppctl, "proac_info": proac_info}


class Outcome:
    """What one run of a tool gave."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output
        self.errors = errors

    def failed_with(self, code: int, text: str) -> None:
        """It ended with that code and one line on stderr that has the text."""
        assert self.code == code, (self.code, self.errors)
        assert self.errors.count("\n") == 1 and self.errors.endswith("\n") and text in self.errors, self.errors


def run(tool: str, *words: str) -> Any:
    """Run a tool in a thread, as a process would; a Deferred of its `Outcome`."""

    def blocking() -> Outcome:
        program = TOOLS[tool].program()
        program._output, program._errors = io.StringIO(), io.StringIO()
        code = program.run(words)
        return Outcome(code, program._output.getvalue(), program._errors.getvalue())

    return deferToThread(blocking)
