"""proacd as a twistd plugin (`twistd proac`): options, start, stop, reload."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.python import usage

from prol2tp import __version__
from prol2tp.config.access import DEBUG_CATEGORIES, Debug
from prol2tp.config.proacd import (
    ConfigError,
    L2tpDestination,
    PppDestination,
    ProacdConfig,
    RadiusDestination,
    RadiusProfile,
    load,
)
from prol2tp.config.problems import Wrong
from prol2tp.config.written import written
from prol2tp.control.client import ControlClient
from prol2tp.control.command import Refused
from prol2tp.control.commands import prol2tpd as prol2tpd_commands
from prol2tp.control.commands import propppd as propppd_commands
from prol2tp.control.commands.proacd import CALLBACKS, COMMANDS, EVENTS, SOCKET
from prol2tp.control.events import Events
from prol2tp.control.preview import preview
from prol2tp.control.server import ControlServer
from prol2tp.daemons.base import COPYRIGHT, DaemonOptions, first_problem, make_directory, read_config
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.pathowner import OpenPath, PathOwner
from prol2tp.daemons.proacd import reload, settings
from prol2tp.daemons.proacd.announce import Announcements
from prol2tp.daemons.proacd.choice import ChoiceByKind, StaticChoice
from prol2tp.daemons.proacd.commands import Commands
from prol2tp.daemons.proacd.concentrator import Concentrator
from prol2tp.daemons.proacd.history import FILE as HISTORY_FILE
from prol2tp.daemons.proacd.history import RouteHistory
from prol2tp.daemons.proacd.maclists import MacLists
from prol2tp.daemons.proacd.profiles import Profile, Profiles, forgotten
from prol2tp.daemons.proacd.radius import RadiusChoice
from prol2tp.daemons.proacd.status import Status
from prol2tp.daemons.proacd.trace import Trace
from prol2tp.dataplane.client import PathClient
from prol2tp.net.ethernet import EthernetPort
from prol2tp.net.linkwatch import LinkWatch, link_of
from prol2tp.spool.history import History

STOP_PATIENCE = 3.0
"""Seconds for each step of the end that waits for another daemon."""


class Options(DaemonOptions):
    """Options of proacd."""

    daemon = "proacd"
    default_config = "/etc/prol2tp/proacd.conf"

    def __init__(self) -> None:
        super().__init__()
        self["debug-mask"] = ()

    def opt_debug(self) -> None:
        """Log in detail, all categories."""
        self["debug-mask"] = DEBUG_CATEGORIES

    opt_D = opt_debug

    def opt_debug_mask(self, mask: str) -> None:
        """Log in detail what the mask says: a number, or categories with commas."""
        try:
            self["debug-mask"] = Debug().read(mask, False)
        except Wrong as error:
            raise usage.UsageError(f"-d: {error.wrong}; {error.right}") from None

    opt_d = opt_debug_mask  # type: ignore[assignment]

    def checked(self) -> str:
        """The configuration that results, as text, without secrets."""
        return written(self.config).rstrip("\n")

    def load(self) -> None:
        self.config = load_config(self["config-file"])
        self["log-file"] = self["log-file"] or self.config.system.log_file

    def postOptions(self) -> None:
        super().postOptions()
        make_state_directory(self.config, self["state-dir"])


def make_state_directory(config: ProacdConfig, path: str) -> None:
    """Where accounting has its queues. Raises `usage.UsageError`."""
    if any(profile.accounts for profile in config.radius.values()):
        make_directory(path, "state directory")


def load_config(path: str) -> ProacdConfig:
    """Raises `usage.UsageError` with all that is wrong with the file."""
    try:
        config: ProacdConfig = read_config(path, load)
    except ConfigError as error:
        raise usage.UsageError(str(error)) from error
    for profile in config.radius.values():
        profile.nas_identifier = profile.nas_identifier or socket.gethostname()
    return config


def makeService(options: Options) -> ProacdService:
    from twisted.internet import reactor

    return ProacdService(options, Log("proacd"), reactor)


class ProacdService(PathOwner):
    """Starts with the connections to prol2tpd and propppd, then the data path; stops with the routes first.

    :param open_path: `(reactor, run_dir, owner)` -> Deferred(IDataPlane), as `PathClient.connect`.
    """

    owner = "proacd"

    def __init__(self, options: Options, log: Log, reactor: Any,
                 open_path: OpenPath = PathClient.connect) -> None:
        super().__init__(options, log, reactor, open_path)
        self.config: ProacdConfig = options.config
        self.logs = {category: Log(f"proacd.{category}") for category in DEBUG_CATEGORIES}
        self.logs["system"] = log
        self._set_levels()
        self.events = Events(EVENTS)
        self.profiles = Profiles(self._make_profile)
        static = StaticChoice(settings.static_choice)
        self.radius = RadiusChoice(reactor, os.urandom, self.logs["radius"], self.profiles.by_name)
        self.choice = ChoiceByKind({L2tpDestination: static, PppDestination: static, RadiusDestination: self.radius})
        self.concentrator = Concentrator(
            reactor, self.logs, os.urandom, random.random, socket.gethostname(), self.config, self.choice,
            self._open_ethernet, link_of)
        self.hosts = MacLists(options["state-dir"], log)
        self.concentrator.hosts = self.hosts.merged
        self.concentrator.refresh()
        self.trace = Trace(self._trace)
        self.history = RouteHistory(reactor, History(reactor, lambda line: log.error("{line}", line=line)))
        self.concentrator.routes.followers += (self.profiles, self.trace, self.history,
                                               Announcements(self.events.publish))
        run_dir = options["run-dir"]
        self.control = ControlServer(
            os.path.join(run_dir, SOCKET), COMMANDS, self._responders(), CALLBACKS, reactor=reactor)
        calls_of, attachments = self.concentrator.calls, self.concentrator.attachments
        responders = {"CallsChanged": lambda connection, calls: calls_of.calls_changed(calls),
                      "OfferCalls": lambda connection, calls: calls_of.offer_calls(calls)}
        self.prol2tpd = ControlClient(
            os.path.join(run_dir, prol2tpd_commands.SOCKET), prol2tpd_commands.COMMANDS,
            {name: one for name, one in prol2tpd_commands.CALLBACKS.items() if name in responders},
            {name: one for name, one in responders.items() if name in prol2tpd_commands.CALLBACKS},
            on_connected=calls_of.connected, on_lost=calls_of.disconnected, reactor=reactor)
        self.propppd = ControlClient(
            os.path.join(run_dir, propppd_commands.SOCKET), propppd_commands.COMMANDS,
            {"SessionsChanged": propppd_commands.CALLBACKS["SessionsChanged"]},
            {"SessionsChanged": lambda connection, sessions: attachments.sessions_changed(sessions)},
            on_connected=attachments.connected, on_lost=attachments.disconnected, reactor=reactor)
        self._watch: LinkWatch | None = None

    def _responders(self) -> dict[str, Callable[..., Any]]:
        return {**self._commands().table(), **self.events.responders(), **self.profiles.responders(),
                **self.trace.tracers.responders(),
                "ListHistory": lambda connection, **which: self.history.page(**which)}

    def _commands(self) -> Commands:
        clock = self.reactor
        status = Status(
            self.concentrator, self.options["config-file"],
            lambda moment: time.time() - clock.seconds() + moment, time.time(), lambda: self.log.level,
            lambda: asdict(self.profiles.counters), self.profiles.queue_record)
        return Commands(clock, self.concentrator, status, self.hosts, self.trace, self._set_levels, self.reload,
                        self.preview)

    def startService(self) -> None:
        super().startService()
        self.log.notice("ProAC V{version}", version=__version__)
        self.log.notice("  {copyright}", copyright=COPYRIGHT)
        try:
            self._watch = LinkWatch(self.reactor, self.concentrator.discovery.link_changed,
                                    self.concentrator.discovery.look_soon)
        except OSError as error:
            self.fail(f"cannot watch interfaces: {error.strerror}")
            return
        for name in forgotten(self.options["state-dir"], self.config.radius):
            self.log.warning("{name} in the state directory is of a RADIUS profile that there is no longer: what it "
                             "holds is sent when there is a profile of that name again", name=name)
        self._open_history()
        self._configure_radius().addCallback(self._connected)

    def _open_history(self) -> None:
        self.history.history.limit = self.config.system.history_size
        state_dir = self.options["state-dir"]
        try:
            make_directory(state_dir, "state directory")
        except usage.UsageError as error:
            self.log.error("{why}: history is kept until the daemon ends", why=error)
            return
        self.history.history.open(os.path.join(state_dir, HISTORY_FILE))

    def _connected(self, _: Any) -> None:
        """What was left by a former run is known: routes may come."""
        if not self.ending:
            self.control.startService()
            self.prol2tpd.startService()
            self.propppd.startService()
            self.connect_path()
            self.ready()

    def _open_ethernet(self, interface: str, receive: Any, burst_done: Any, lost: Any, tagged: bool) -> EthernetPort:
        return EthernetPort(self.reactor, interface, receive, burst_done, lost, tagged=tagged)

    # the data path

    def path_ready(self, path: Any) -> Any:
        """Of `PathOwner`."""
        return self.profiles.path_ready(path)

    def use_path(self, path: Any) -> None:
        """Of `PathOwner`."""
        self.concentrator.use(path)

    def frames_lost(self, port: int, count: int) -> None:
        """IPathEvents: PPP repeats what is missing."""

    def peer_moved(self, tunnel: int, peer: Any) -> None:
        """IPathEvents: prol2tpd's business."""

    def netif_gone(self, port: int, name: str) -> None:
        """IPathEvents: propppd's business."""

    def carrier_lost(self, port: int, reason: str) -> None:
        """IPathEvents: our own socket on the interface tells the same."""

    def decompression_failed(self, port: int) -> None:
        """IPathEvents: propppd's business."""

    def overload(self, dropped: int) -> None:
        """IPathEvents: prol2tpd's business."""

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        """IPathEvents."""
        self.concentrator.discovery.stray(ethernet, frame)

    def path_lost(self, reason: str) -> None:
        """IPathEvents."""
        self.path_is_lost()
        if self.ending:
            return
        self.log.critical("the data path process is gone ({reason}): all routes end", reason=reason)
        self.concentrator.path_lost().addCallback(lambda _: self.try_again())

    # configuration

    def hangup(self) -> None:
        try:
            self.log.notice("configuration read: {summary}", summary=self.reload())
        except Refused as error:
            self.log.error("configuration unchanged: {reason}", reason=error)

    def _read(self) -> ProacdConfig:
        """The file as it is now. Raises `Refused`."""
        try:
            config = load_config(self.options["config-file"])
            make_state_directory(config, self.options["state-dir"])
        except usage.UsageError as error:
            raise Refused(first_problem(error)) from None
        return config

    def preview(self) -> dict[str, Any]:
        """What `reload` would do; raises `Refused`."""
        return preview(reload.effects(reload.plan(self.concentrator, self._read())))

    def reload(self) -> str:
        """Read the file again. -> what changed; raises `Refused`, and the old configuration stays."""
        config = self._read()
        summary = self.concentrator.configure(config)
        if config.system.log_file != self.config.system.log_file:
            self.log.warning("log_file: takes effect at the next start")
        self.config = config
        self.history.history.limit = config.system.history_size
        self._set_levels()
        self._configure_radius()
        return summary

    def _make_profile(self, name: str, config: RadiusProfile) -> Profile:
        return Profile(self.reactor, name, config, self.options["state-dir"], self.logs["radius"], self.events.publish)

    def _configure_radius(self) -> Deferred[None]:
        """-> Deferred, when accounting has its queues."""
        self.radius.name = self.config.system.hostname or socket.gethostname()
        self.radius.l2tp = self.config.l2tp
        return self.profiles.configure(self.config.radius).addCallback(self._queues_opened)

    def _queues_opened(self, results: list[Any]) -> None:
        for success, failure in results:
            if not success:
                self.log.error("{reason}: nothing is accounted", reason=failure.getErrorMessage())

    def _set_levels(self, level: Level | None = None) -> None:
        """:param level: by command; None: the configuration's."""
        system = self.config.system
        detailed = {*system.debug, *self.options["debug-mask"]}
        for category, log in self.logs.items():
            configured = Level.DEBUG if category in detailed else Level.named(system.log_level)
            log.level = configured if level is None else level

    def _trace(self, on: bool) -> None:
        """Of `Trace`: lines are made only while there is a trace."""
        self.concentrator.discovery.core.trace = self.trace.discovery if on else None
        self.radius.trace = self.trace.ppp if on else None

    # the end

    def stopService(self) -> Deferred[Any]:
        self.end_tries()
        return self._stop().addErrback(lambda failure: self.log.error("{reason}", reason=failure.getErrorMessage()))

    @inlineCallbacks
    def _stop(self) -> Any:
        concentrator = self.concentrator
        if concentrator.routes:
            self.log.notice("stopping: {count} routes", count=len(concentrator.routes))
        yield self._within(concentrator.end_all("Admin Reboot", "proacd stops"), self.config.system.stop_timeout)
        concentrator.stop()
        for part in (self.prol2tpd, self.propppd, self.control):
            if part.running:
                yield self._within(part.stopService(), STOP_PATIENCE)
        self.radius.stop()
        yield self.profiles.stop()
        if self._watch is not None:
            self._watch.stop()
        if self.path is not None:
            yield self._within(self.path.stop(), STOP_PATIENCE)
        self.history.history.close()
        yield super().stopService()
        self.log.notice("stopped")

    @inlineCallbacks
    def _within(self, done: Deferred[Any], seconds: float) -> Any:
        """Wait for one step of the end, but not for ever; whatever fails, the next one follows."""
        late = deferLater(self.reactor, seconds, lambda: None)
        late.addErrback(lambda _: None)
        done.addErrback(lambda failure: self.log.warning("{reason}", reason=failure.getErrorMessage()))
        yield DeferredList([done, late], fireOnOneCallback=True)
        late.cancel()
