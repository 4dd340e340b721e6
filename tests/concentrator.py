"""What an access concentrator says to a prol2tpd that runs: calls opened and closed over its control socket."""

from __future__ import annotations

import time
from typing import Any

from prol2tp.control.blocking import Connection
from prol2tp.control.command import COMMAND, read_values
from prol2tp.control.commands.prol2tpd import CALLBACKS, COMMANDS
from tests.daemons import Suite
from tests.netns import Failed


class Concentrator(Connection):
    """Serves no profile. `changed` is the last row of `CallsChanged` of each call."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(str(suite.run_dir / "prol2tpd.sock"), timeout=1.0)
        self.changed: dict[str, dict[str, Any]] = {}
        self.call(COMMANDS["ServeCalls"], profiles=[], calls=[])

    def open(self, *rows: dict[str, Any]) -> list[str | None]:
        results: list[str | None] = self.call(COMMANDS["OpenCalls"], calls=list(rows))["results"]
        return results

    def end(self, *ids: str, cause: str = "User Request") -> None:
        self.call(COMMANDS["CloseCalls"], calls=[{"id": id, "cause": cause, "message": ""} for id in ids])

    def wait(self, id: str, state: str, seconds: float = 15.0) -> dict[str, Any]:
        """The row that says that a call has this state."""
        return self._wait(state, seconds, id)

    def first(self, state: str, seconds: float = 15.0) -> dict[str, Any]:
        """The row of any call that has this state."""
        return self._wait(state, seconds)

    def _wait(self, state: str, seconds: float, *ids: str) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for id in ids or list(self.changed):
                if self.changed.get(id, {}).get("state") == state:
                    return self.changed[id]
            self.call(COMMANDS["ShowSystem"])  # what the daemon had to say comes before its answer
            time.sleep(0.02)
        raise Failed(f"no call {' '.join(ids)} is {state}: {self.changed}")

    def _read_box(self) -> dict[bytes, bytes]:
        box = super()._read_box()
        if box.get(COMMAND) == b"CallsChanged":
            for row in read_values(CALLBACKS["CallsChanged"].arguments, box)["calls"]:
                self.changed[row["id"]] = row
        return box
