"""Our own daemons as a user starts them: twistd in a namespace, asked by the command-line tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.netns import Failed, Namespace, Process, wait_until

_OWN = Path(sys.executable).parent
BIN = _OWN if (_OWN / "twistd").exists() else Path(__file__).parent.parent / ".venv" / "bin"
PLUGINS = {"prol2tpd": "prol2tp", "propppd": "proppp", "proacd": "proac"}
DEBUG = {"prol2tpd": "-dd", "propppd": "-dd", "proacd": "-D"}
Row = Mapping[str, Any]


class Suite:
    """prol2tpd, propppd and proacd, as far as they have a configuration, on one host.

    :param patience: seconds that they may take to start.
    """

    def __init__(self, host: Namespace, prol2tpd: str, propppd: str = "", debug: bool = False,
                 proacd: str = "", patience: float = 60) -> None:
        self.host = host
        self.directory = host.world.path(host.name, "prol2tpd.conf").parent
        self.run_dir = self.directory / "run"
        self.debug = debug
        self.processes: dict[str, Process] = {}
        for daemon, text in (("propppd", propppd), ("prol2tpd", prol2tpd), ("proacd", proacd)):
            if text:
                self.configure(daemon, text)
                self.start(daemon)
        wait_until(self._ready, patience, f"{host.name}: control sockets")

    def configure(self, daemon: str, text: str) -> None:
        path = self.directory / f"{daemon}.conf"
        path.write_text(text)
        path.chmod(0o600)

    def start(self, daemon: str) -> None:
        self.processes[daemon] = self.host.spawn(
            BIN / "twistd", "--nodaemon", "--pidfile=", PLUGINS[daemon], *([DEBUG[daemon]] if self.debug else []),
            "-c", self.directory / f"{daemon}.conf", "--run-dir", self.run_dir,
            "--state-dir", self.directory / "state", name=f"{self.host.name}:{daemon}",
        )  # fmt: skip

    def _ready(self) -> bool:
        for process in self.processes.values():
            if not process.running():
                raise Failed(f"{process.name} ended ({process.popen.poll()}):\n{process.output}")
        return all("connected to prol2tpd" in process.output if daemon == "proacd"
                   else (self.run_dir / f"{daemon}.sock").exists() for daemon, process in self.processes.items())

    # the tools

    def tool(self, name: str, *words: str, check: bool = True) -> str:
        """What the tool prints; on an error `Failed` with what it says, unless `check` is off."""
        return self.host.run(BIN / name, "--run-dir", self.run_dir, *words, check=check).stdout

    def json(self, name: str, *words: str) -> Any:
        return json.loads(self.tool(name, *words, "--json"))

    def tunnels(self) -> list[Row]:
        return self.json("prol2tp", "show", "tunnels")

    def sessions(self) -> list[Row]:
        return self.json("prol2tp", "show", "sessions")

    def established(self) -> list[Row]:
        return [row for row in self.sessions() if row["state"] == "ESTABLISHED"]

    def links(self) -> list[Row]:
        return self.json("propppctl", "list")

    def online(self) -> list[Row]:
        """Links with an interface and a network protocol up."""
        return [row for row in self.links() if row["up"] and row["interface"]]

    def wait_online(self, count: int, seconds: float = 30) -> list[Row]:
        wait_until(lambda: len(self.online()) >= count, seconds, f"{self.host.name}: {count} links up", every=0.2)
        return self.online()

    def wait_established(self, count: int, seconds: float = 30) -> list[Row]:
        what = f"{self.host.name}: {count} sessions established"
        wait_until(lambda: len(self.established()) >= count, seconds, what, every=0.2)
        return self.established()

    def wait_gone(self, seconds: float = 15) -> None:
        """No session is left, and of tunnels only those that answer the peer for one more retransmission cycle
        (RFC 2661 section 5.7)."""

        def gone() -> bool:
            return not self.sessions() and all(row["state"] == "CLOSING" for row in self.tunnels())

        wait_until(gone, seconds, f"{self.host.name}: nothing left")

    def stop(self, daemon: str = "") -> None:
        for name in [daemon] if daemon else list(self.processes):
            self.processes.pop(name).stop()
