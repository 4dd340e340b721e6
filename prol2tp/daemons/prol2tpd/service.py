"""prol2tpd as a twistd plugin: options, start, stop, reload."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python import usage
from zope.interface import implementer

from prol2tp import __version__
from prol2tp.config.prol2tpd import ConfigError, load
from prol2tp.control.client import ControlClient
from prol2tp.control.command import Refused
from prol2tp.control.commands import propppd as propppd_commands
from prol2tp.control.commands.prol2tpd import CALLBACKS, COMMANDS, EVENTS, SOCKET
from prol2tp.control.events import Events
from prol2tp.control.preview import preview
from prol2tp.control.server import ControlServer
from prol2tp.daemons.base import (
    COPYRIGHT,
    DaemonOptions,
    DaemonService,
    first_problem,
    make_directory,
    read_config,
)
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.attach import Attachment
from prol2tp.daemons.prol2tpd.calls import Calls
from prol2tp.daemons.prol2tpd.commands import Commands
from prol2tp.daemons.prol2tpd.history import FILE, EndHistory
from prol2tp.daemons.prol2tpd.offers import Offers
from prol2tp.daemons.prol2tpd.plane import Plane
from prol2tp.daemons.prol2tpd.scripts import ScriptDaemon
from prol2tp.daemons.prol2tpd.status import Status
from prol2tp.dataplane.client import PathClient
from prol2tp.dataplane.interface import IPathEvents
from prol2tp.spool.history import History

STOP_PATIENCE = 3.0
"""Seconds that SIGTERM waits for the peers to acknowledge StopCCN."""


DRAIN_PATIENCE = 2.0
"""Seconds for prol2tp-scriptd to take the last events."""


class Options(DaemonOptions):
    """Options of prol2tpd."""

    daemon = "prol2tpd"
    default_config = "/etc/prol2tp/prol2tpd.conf"

    def load(self) -> None:
        self.config = load_config(self["config-file"])


def load_config(path: str) -> Any:
    """Raises `usage.UsageError` with all that is wrong with the file."""
    try:
        config = read_config(path, load)
    except ConfigError as error:
        raise usage.UsageError(str(error)) from error
    return config


def makeService(options: Options) -> Prol2tpdService:
    from twisted.internet import reactor

    log = Log("prol2tpd", options.level(options.config.system.log_level))
    return Prol2tpdService(options, log, reactor)


class Prol2tpdService(DaemonService):
    """Starts in this order: data path, listeners, control channel, propppd, own tunnels; stops the other way round."""

    def __init__(self, options: Options, log: Log, reactor: Any) -> None:
        super().__init__(options, log, reactor)
        self.config = options.config
        self.path: PathClient | None = None
        self.attachment: Attachment
        self.plane: Plane
        self.calls: Calls
        self.control: ControlServer | None = None
        self.propppd: ControlClient | None = None
        self.events = Events(EVENTS)
        self.scripts = ScriptDaemon(reactor, log, options)
        self.history = History(reactor, lambda line: log.error("{line}", line=line))
        self.ends = EndHistory(reactor, self.history)
        self._started = False
        self._stopping = False

    def startService(self) -> None:
        super().startService()
        self.log.notice("ProL2TP V{version}", version=__version__)
        self.log.notice("  {copyright}", copyright=COPYRIGHT)
        self._open_history()
        self._start().addErrback(self._start_failed)

    def _open_history(self) -> None:
        state_dir = self.options["state-dir"]
        try:
            make_directory(state_dir, "state directory")
        except usage.UsageError as error:
            self.log.error("{why}: history is kept until the daemon ends", why=error)
            return
        self.history.open(os.path.join(state_dir, FILE))

    def _compare_paths(self, wanted: str, found: str) -> None:
        if wanted not in ("auto", found):
            self.log.warning("data_path {wanted}: prol2tp-pathd runs already, with data path {found}", wanted=wanted,
                             found=found)

    @inlineCallbacks
    def _start(self) -> Any:
        run_dir = self.options["run-dir"]
        self.path = yield PathClient.connect(self.reactor, run_dir, "prol2tpd",
                                             data_path=self.config.system.data_path)
        if self._stopping:
            yield self.path.stop()
            return
        self.attachment = Attachment(self.reactor, self.log, self.config.system.propppd_grace_timeout)
        self.plane = Plane(self.config, self.path, self.attachment, self.reactor, self.log, secrets.token_bytes)
        yield self.path.start(PathEvents(self))
        self._compare_paths(self.config.system.data_path, self.path.name)
        yield self._listen()
        if self._stopping:
            return
        if not self.config.system.router_id:
            self.log.notice("router_id is not given: it is derived from the address of this host")
        self.log.notice("L2TPv3 router-id {number}", number=self.plane.router_id())
        status = Status(self.plane, self.options["config-file"])
        commands = Commands(self.plane, status, self.reload, self.preview)
        grace = self.config.system.proacd_grace_timeout
        self.calls = Calls(self.plane, Offers(self.reactor, self.log, grace), self.reactor, self.log, grace)
        self.plane.events = self.events
        self._set_categories()
        self.plane.history = self.ends
        self.ends.configure(self.config.system)
        self.scripts.configure(self.config.system, self.events)
        self.control = ControlServer(os.path.join(run_dir, SOCKET), COMMANDS,
                                     {**commands.table(), **self.events.responders(), **self.plane.tracers.responders(),
                                      "ListHistory": lambda connection, **which: self.ends.page(**which),
                                      **self.calls.table()}, CALLBACKS,
                                     reactor=self.reactor)
        self.control.startService()
        self.propppd = ControlClient(
            os.path.join(run_dir, propppd_commands.SOCKET), propppd_commands.COMMANDS, propppd_commands.CALLBACKS,
            {"SessionsChanged": lambda connection, sessions: self.attachment.sessions_changed(sessions),
             "ClaimSession": lambda connection, **claim: self.attachment.claim_session(**claim)},
            on_connected=self.attachment.connected, on_lost=self.attachment.disconnected, reactor=self.reactor)
        self.propppd.startService()
        self._started = True
        if not self.config.system.deny_local_tunnel_creates:
            for tunnel in self.config.tunnels.values():
                self.plane.start_instance(tunnel)
        self.ready()

    def _set_categories(self) -> None:
        given = asdict(self.config.system.log_categories)
        self.plane.levels.configure({kind: self.options.level(level) for kind, level in given.items() if level})

    @inlineCallbacks
    def _listen(self) -> Any:
        if self.config.system.deny_remote_tunnel_creates:
            return
        for host, port in reload.listening(self.config.system):
            try:
                yield self.plane.serve((host, port))
            except Exception as error:
                # a host without IPv6 serves IPv4; an address that was asked for by name has to work
                if host != "::":
                    raise
                self.log.notice("not listening on {address}: {why}", address=text((host, port)), why=str(error))

    def _start_failed(self, failure: Any) -> None:
        if not self._stopping:
            self.fail(f"cannot start: {failure.getErrorMessage()}")

    def hangup(self) -> None:
        try:
            self.log.notice("configuration read: {summary}", summary=self.reload())
        except Refused as error:
            self.log.error("configuration unchanged: {why}", why=str(error))

    def _read(self) -> Any:
        """The file as it is now. Raises `Refused`."""
        if not self._started:
            raise Refused("the daemon is still starting")
        try:
            return load_config(self.options["config-file"])
        except usage.UsageError as error:
            raise Refused(first_problem(error)) from None

    def preview(self) -> dict[str, Any]:
        """What `reload` would do; raises `Refused`."""
        return preview(reload.plan(self.plane, self._read()))

    def reload(self) -> str:
        """Read the file again. -> what changed; raises `Refused`."""
        config = self._read()
        summary = reload.apply(self.plane, config)
        self.config = config
        self.log.level = self.options.level(config.system.log_level)
        self._set_categories()
        self.scripts.configure(config.system, self.events)
        self.ends.configure(config.system)
        return summary

    def reopen_log(self) -> None:
        """SIGUSR1; prol2tp-scriptd, which logs to the same file, does it too."""
        super().reopen_log()
        self.scripts.reopen_log()

    def stopService(self) -> Deferred:
        self._stopping = True
        return self._stop().addErrback(lambda failure: self.log.error("{why}", why=failure.getErrorMessage()))

    @inlineCallbacks
    def _stop(self) -> Any:
        if self._started:
            self.log.notice("stopping: {tunnels} tunnels, {sessions} sessions", tunnels=len(self.plane.tunnels),
                            sessions=self.plane.session_count)
            yield self._stop_parts(STOP_PATIENCE)
        yield self.scripts.stop()
        if self.path is not None:
            yield self.path.stop()
        # the last counters have come by now
        self.history.close()
        yield super().stopService()
        self.log.notice("stopped")

    @inlineCallbacks
    def _stop_parts(self, patience: float) -> Any:
        self._started = False
        yield self.plane.stop(patience)
        self.attachment.flush()
        self.calls.flush()
        yield self.scripts.drained(DRAIN_PATIENCE)
        for part in (self.propppd, self.control):
            if part is not None:
                yield part.stopService()
        self.attachment.stop()
        self.calls.stop()
        self.plane.close()

    def path_lost(self, reason: str) -> None:
        """All sessions are without a data path: end them properly, and start again with a new one."""
        if self._stopping or not self._started:
            return
        self.log.critical("the data path process is gone ({reason}): all tunnels end, starting again", reason=reason)
        self._start_again().addErrback(self._start_failed)

    @inlineCallbacks
    def _start_again(self) -> Any:
        yield self._stop_parts(patience=1.0)
        if not self._stopping:
            yield self._start()


@implementer(IPathEvents)
class PathEvents:
    """What the data path tells the daemon (IPathEvents)."""

    def __init__(self, service: Prol2tpdService) -> None:
        self._service = service

    def frames_lost(self, port: int, count: int) -> None:
        """propppd's business."""

    def peer_moved(self, tunnel: int, peer: tuple[str, int]) -> None:
        self._service.log.info("data path: tunnel handle {tunnel}: data from {peer}", tunnel=tunnel, peer=text(peer))

    def carrier_lost(self, port: int, reason: str) -> None:
        """propppd's business."""

    def netif_gone(self, port: int, name: str) -> None:
        self._service.plane.netif_gone(port, name)

    def decompression_failed(self, port: int) -> None:
        """propppd's business."""

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        """proacd's business."""

    def overload(self, dropped: int) -> None:
        self._service.log.warning("data path: {count} packets dropped: overload", count=dropped)

    def path_lost(self, reason: str) -> None:
        self._service.path_lost(reason)
