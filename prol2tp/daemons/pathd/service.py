"""prol2tp-pathd under twistd: `twistd prol2tp-path --run-dir DIR`."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import usage

from prol2tp.daemons.base import CommonOptions, DaemonService, number
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.pathd.server import AlreadyRunning, PathServer
from prol2tp.dataplane.choice import CHOICES, choose
from prol2tp.dataplane.client import UNAVAILABLE
from prol2tp.dataplane.interface import DataPathError
from prol2tp.dataplane.userspace import raise_descriptor_limit


class Options(CommonOptions):
    """The daemons' common options, and these. It has no configuration."""

    daemon = "prol2tp-pathd"

    optParameters: list[Any] = [
        ["lock-fd", None, -1, "Descriptor of the locked RUN_DIR/pathd.lock, from the daemon that starts us.", int],
        ["data-path", None, "auto", "auto, kernel or user."],
        ["hold", None, 30.0, "Seconds that a crashed daemon's tunnels and interfaces stay.", number("--hold", float)],
    ]
    optFlags: list[Any] = [
        ["ephemeral", None, "End when the last daemon has left and nothing is held."],
        ["no-split", None, "Relay control datagrams instead of letting the kernel split them from data."],
    ]

    def check(self) -> None:
        if not 0 <= self["hold"] <= 86400:
            raise usage.UsageError("--hold must be 0 to 86400 seconds")
        if self["data-path"] not in CHOICES:
            raise usage.UsageError(f"--data-path must be {', '.join(CHOICES)}, not {self['data-path']!r}")


class PathService(DaemonService):
    """The process: the data path and its server. `reactor.stop` ends it with all interfaces gone."""

    def __init__(self, options: Options, log: Log, reactor: Any) -> None:
        super().__init__(options, log, reactor)
        try:
            self.plane = choose(options["data-path"], reactor, split=not options["no-split"])
        except DataPathError as error:
            log.error("{error}", error=error.text)
            sys.stderr.write(f"prol2tp-pathd: {error}\n")
            sys.exit(UNAVAILABLE)
        self.server = PathServer(reactor, self.plane, options["run-dir"], options["hold"],
                                 self._last_left if options["ephemeral"] else None, options["lock-fd"])

    def startService(self) -> None:
        raise_descriptor_limit()
        try:
            self.server.start()
        except AlreadyRunning as error:
            sys.exit(f"prol2tp-pathd: {error}")
        except OSError as error:
            sys.exit(f"prol2tp-pathd: {error.filename or self.options['run-dir']}: {os.strerror(error.errno or 0)}")
        super().startService()
        self.log.notice("data path {name} ready in {run_dir}", name=self.plane.name, run_dir=self.options["run-dir"])
        for note in self.plane.notes:
            self.log.info("data path: {note}", note=note)
        self.ready()

    def stopService(self) -> Deferred[None]:
        return self.server.stop().addBoth(lambda _: super(PathService, self).stopService())

    def _last_left(self) -> None:
        self.log.info("the last daemon has left")
        self.reactor.stop()


def makeService(options: Options) -> PathService:
    """For the twistd plugin."""
    from twisted.internet import reactor

    level = Level(min(Level.DEBUG, Level.NOTICE + options["debug"]))
    return PathService(options, Log("prol2tp.pathd", level), reactor)
