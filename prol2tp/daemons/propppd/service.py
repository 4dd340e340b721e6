"""propppd as a twistd plugin (`twistd proppp`): options, start, stop, reload."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.python import usage

from prol2tp import __version__
from prol2tp.aaa.servers import RadiusServers
from prol2tp.config.links import LOG_CATEGORIES
from prol2tp.config.propppd import ConfigError, PropppdConfig, load
from prol2tp.control.command import Refused
from prol2tp.control.commands.propppd import CALLBACKS, COMMANDS, EVENTS, SOCKET
from prol2tp.control.events import Events
from prol2tp.control.preview import preview
from prol2tp.control.server import AddressInUse, ControlServer
from prol2tp.daemons.base import (
    COPYRIGHT,
    DaemonOptions,
    first_problem,
    make_directory,
    may_set_up_networks,
    read_config,
)
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.pathowner import OpenPath, PathOwner
from prol2tp.daemons.propppd import leftovers, reload, resolv
from prol2tp.daemons.propppd.aaa import Chain, LocalUsers
from prol2tp.daemons.propppd.accounting_service import FILE, AccountingService
from prol2tp.daemons.propppd.attach import Owners
from prol2tp.daemons.propppd.commands import Commands
from prol2tp.daemons.propppd.dials import Dials
from prol2tp.daemons.propppd.directory import Directory
from prol2tp.daemons.propppd.duid import ServerDUID
from prol2tp.daemons.propppd.dynamic import DynamicRequests
from prol2tp.daemons.propppd.history import FILE as HISTORY_FILE
from prol2tp.daemons.propppd.history import LinkHistory
from prol2tp.daemons.propppd.ipv6 import IPv6
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links, World
from prol2tp.daemons.propppd.pppoe import PPPoEDial
from prol2tp.daemons.propppd.radius import RadiusUsers
from prol2tp.daemons.propppd.rates import Rates
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.daemons.propppd.steps import soft
from prol2tp.daemons.propppd.tallies import Tallies
from prol2tp.daemons.propppd.tls import BadTLS, TLSProfiles
from prol2tp.daemons.propppd.tty import TtyDial
from prol2tp.dataplane.client import PathClient
from prol2tp.dataplane.network import LinuxNetwork
from prol2tp.dataplane.nftables import LinuxSets
from prol2tp.dataplane.shaping import LinuxShaping, group_of
from prol2tp.net.ethernet import EthernetPort
from prol2tp.net.netlink import NetlinkError
from prol2tp.net.radius import RadiusPort
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.outputs import AnswerDropped, ServerAlive, ServerDead
from prol2tp.spool.history import History

STOP_PATIENCE = 3.0
"""Seconds that SIGTERM waits for Terminate-Acks."""
REMOVE_PATIENCE = 5.0
"""Seconds for the interfaces to go after that."""
STARTING = "the data path is not there yet"


class Options(DaemonOptions):
    """Options of propppd."""

    daemon = "propppd"
    default_config = "/etc/prol2tp/propppd.conf"

    def load(self) -> None:
        self.config = load_config(self["config-file"])

    def postOptions(self) -> None:
        super().postOptions()
        if self.config.radius.accounts:
            make_directory(self["state-dir"], "state directory")


def load_config(path: str) -> PropppdConfig:
    """Raises `usage.UsageError` with all that is wrong with the file."""
    try:
        config = read_config(path, load)
    except ConfigError as error:
        raise usage.UsageError(str(error)) from error
    certificates = TLSProfiles()
    for profile in config.profiles.values():
        try:
            certificates.of(profile)
        except BadTLS as error:
            raise usage.UsageError(f"{path}: profile \"{profile.profile_name}\": {error}") from error
        profile.name = profile.name or socket.gethostname()
    config.radius.nas_identifier = config.radius.nas_identifier or socket.gethostname()
    return config


def makeService(options: Options) -> PropppdService:
    from twisted.internet import reactor

    log = Log("propppd", options.level(options.config.system.log_level))
    return PropppdService(options, log, reactor)


class PropppdService(PathOwner):
    """Starts in this order: netlink, control channel, data path; stops with the links first.

    :param open_path: `(reactor, run_dir, owner)` -> Deferred(IDataPlane), as `PathClient.connect`.
    """

    owner = "propppd"

    def __init__(self, options: Options, log: Log, reactor: Any,
                 open_path: OpenPath = PathClient.connect, network: Any = None,
                 shaping: Any = None) -> None:
        super().__init__(options, log, reactor, open_path)
        self.config: PropppdConfig = options.config
        self.network = network or LinuxNetwork(reactor)
        self.sets = LinuxSets(reactor)
        self.events = Events(EVENTS)
        self.users = LocalUsers(self.config.users)
        self.configs = ConfigCounts()
        self.logs = {category: log if category == "main" else Log(f"propppd.{category}") for category in LOG_CATEGORIES}
        self.radius_port = RadiusPort(reactor, RadiusClient((), os.urandom, reactor.seconds()))
        self.radius = RadiusUsers(self.radius_port, time.time)
        self.links = Links(World(reactor, None, self.network, Chain([self.users, self.radius]),
                                 self.logs["ppp"], self.logs["event"], options["run-dir"], event=self._event,
                                 sets=self.sets))
        # before those that tell of what it gives
        self.links.followers.add(IPv6(self.links, ServerDUID(options["state-dir"], log)))
        self.accounting = AccountingService(reactor, self.links, self.radius, self.radius_port,
                                            os.path.join(options["state-dir"], FILE), self.logs["radius"],
                                            self._accounting_event)
        self.shaping = shaping or LinuxShaping(reactor, group_of(options["run-dir"]))
        self.rates = Rates(self.links, self.shaping, log)
        self.links.followers.add(self.rates)
        tallies = Tallies()
        self.links.followers.add(tallies)
        directory = Directory()
        self.links.followers.add(directory)
        self.history = LinkHistory(History(reactor, lambda line: log.error("{line}", line=line)))
        self.links.followers.add(self.history)
        self.accounting.left_over = self.history.left_over
        self.dynamic = DynamicRequests(self.links, self.radius, reactor, self.logs["radius"], rates=self.rates)
        self.links.followers.add(self.dynamic)
        self.links.publish = self.events.publish
        self.links.refusing = STARTING
        self.dials = Dials(self.links, reactor, self.logs["ppp"], {"pppoe": PPPoEDial, "tty": TtyDial},
                           self._open_ethernet)
        self.radius_servers = RadiusServers(self.radius_port, reactor, self.logs["radius"], self.events.publish)
        self.radius_servers.replaced = self.accounting.servers_changed
        self.radius_port.server_changed = self._server_changed
        self.attachments = Owners(self.links, reactor, self.logs["mgmt"])
        status = Status(self.links, self.configs, options["config-file"], log, self.radius_port.core,
                        self.dynamic.counters, self.accounting, self.rates, tallies,
                        directory)
        commands = Commands(self.links, status, self.attachments, self.dials, self.reload, self.preview,
                            self.set_level)
        responders = {**commands.table(), **self.radius_servers.responders(), **self.events.responders(),
                      **self.links.tracers.responders(),
                      "ListHistory": lambda connection, **which: self.history.page(**which)}
        self.control = ControlServer(os.path.join(options["run-dir"], SOCKET), COMMANDS, responders, CALLBACKS,
                                     reactor=reactor)

    def startService(self) -> None:
        super().startService()
        self.log.notice("ProPPP V{version}", version=__version__)
        self.log.notice("  {copyright}", copyright=COPYRIGHT)
        if not may_set_up_networks():
            self.log.error("not allowed to make interfaces (CAP_NET_ADMIN is missing): users cannot come online; "
                           "run propppd as root")
        self._start().addErrback(lambda failure: self.fail(f"cannot start: {failure.getErrorMessage()}"))

    def _open_history(self) -> None:
        self.history.history.limit = self.config.system.history_size
        state_dir = self.options["state-dir"]
        try:
            make_directory(state_dir, "state directory")
        except usage.UsageError as error:
            self.log.error("{why}: history is kept until the daemon ends", why=error)
            return
        self.history.history.open(os.path.join(state_dir, HISTORY_FILE))

    def _start_sets(self) -> None:
        try:
            self.sets.start()
        except NetlinkError as error:
            # who names a set is told when a user wants it
            self.log.info("no nftables: {reason}", reason=error.text)

    @inlineCallbacks
    def _start(self) -> Any:
        self._set_levels()
        self._open_history()
        yield self.network.start()
        self._start_sets()
        self.radius_servers.configure(self.config.radius)
        yield self.accounting.configure(self.config.radius)
        yield reload.configure(self.links, self.users, self.config)
        yield self.connect_path()
        if self.ending:
            return
        try:
            self.control.startService()
            # not before it is sure that nobody else runs here
            resolv.remove_all(self.options["run-dir"])
            left = self.links.leftovers.open(self.options["run-dir"])
            leftovers.undo(left, self.network, self.sets, self.log)
            yield soft(self.shaping.start(), self.log, "rate limits")
            self.dynamic.configure(self.config.radius)
        except (AddressInUse, OSError) as error:
            self.fail(str(error))
            return
        self.ready()

    # the data path

    def path_ready(self, path: Any) -> Any:
        """Of `PathOwner`."""
        return self.accounting.path_ready(path)

    def use_path(self, path: Any) -> None:
        """Of `PathOwner`."""
        self.links.use(path)
        self.links.refusing = ""

    def frames_lost(self, port: int, count: int) -> None:
        """IPathEvents."""
        link = self.links.by_port.get(port)
        if link is not None:
            link.say(Level.WARNING, "{count} frames were lost on the way from the data path", count=count)

    def peer_moved(self, tunnel: int, peer: Any) -> None:
        """IPathEvents: prol2tpd's business."""

    def netif_gone(self, port: int, name: str) -> None:
        """IPathEvents."""
        link = self.links.by_port.get(port)
        if link is not None:
            link.close("NAS Error", f"interface {name} was removed by somebody else")

    def decompression_failed(self, port: int) -> None:
        """IPathEvents."""
        link = self.links.by_port.get(port)
        if link is not None and not link.ended:
            link.say(Level.DEBUG, "a packet of the peer cannot be decompressed: it is asked to begin anew")
            link.tell(link.core.decompression_failed)

    def carrier_lost(self, port: int, reason: str) -> None:
        """IPathEvents."""
        link = self.links.by_port.get(port)
        if link is not None:
            link.lost("Lost Carrier", reason)

    def stray_frame(self, ethernet: int, frame: bytes) -> None:
        """IPathEvents: proacd's business."""

    def overload(self, dropped: int) -> None:
        """IPathEvents: prol2tpd's business."""

    def path_lost(self, reason: str) -> None:
        """IPathEvents."""
        self.path_is_lost()
        if self.ending:
            return
        self.log.critical("the data path process is gone ({reason}): all links end", reason=reason)
        self.links.refusing = STARTING
        self.links.path_lost("the data path is gone").addCallback(lambda _: self.try_again())

    def _open_ethernet(self, interface: str, receive: Any, lost: Callable[[], None], tagged: bool) -> EthernetPort:
        """Of `Dials`."""
        return EthernetPort(self.reactor, interface, receive, lost=lost, tagged=tagged)

    # events

    def _event(self, name: str, link: PPPLink) -> None:
        data: dict[str, Any] = {
            "name": link.name, "id": link.carrier.id, "type": link.carrier.kind, "profile": link.carrier.ppp_profile,
            "user": link.shown_user, "interface": link.interface_name,
            "address": link.lease.text if link.lease is not None else ""}
        if name in ("link-down", "link-destroyed"):
            data |= {"cause": link.cause, "message": link.message}
        self.events.publish(name, **data)

    def _server_changed(self, change: ServerDead | ServerAlive | AnswerDropped) -> None:
        """Of `RadiusPort`."""
        self.radius_servers.changed(change)
        self.accounting.server_changed(change)

    def _accounting_event(self, name: str, reason: str) -> None:
        self.events.publish(name, reason=reason)

    # configuration

    def hangup(self) -> None:
        try:
            self.log.notice("configuration read: {summary}", summary=self.reload())
        except Refused as error:
            self.log.error("configuration unchanged: {reason}", reason=error)

    def _read(self) -> PropppdConfig:
        """The file as it is now. Raises `Refused`."""
        try:
            config = load_config(self.options["config-file"])
            if config.radius.accounts:
                make_directory(self.options["state-dir"], "state directory")
        except usage.UsageError as error:
            raise Refused(first_problem(error)) from None
        return config

    def preview(self) -> dict[str, Any]:
        """What `reload` would do; raises `Refused`."""
        return preview(reload.plan(self.links, self.config, self._read()))

    def reload(self) -> str:
        """Read the file again. -> what changed; raises `Refused`, and the old configuration stays."""
        try:
            config = self._read()
        except Refused:
            self.configs.failures += 1
            raise
        summary, routed = reload.apply(self.links, self.users, self.config, config)
        routed.addErrback(lambda failure: self.log.error("{reason}", reason=failure.getErrorMessage()))
        self.rates.reloaded()
        self.radius_servers.configure(config.radius)
        self.dynamic.configure(config.radius)
        self.accounting.configure(config.radius).addErrback(
            lambda failure: self.log.error("{reason}: nothing is accounted", reason=failure.getErrorMessage()))
        self.config = config
        self.history.history.limit = config.system.history_size
        self.configs.updates += 1
        self._set_levels()
        self.links.own_levels()
        return summary

    def set_level(self, level: Level) -> None:
        """One log level for all categories, until the next reload."""
        for log in self.logs.values():
            log.level = level
        self.links.level_changed()

    def _set_levels(self) -> None:
        for category, log in self.logs.items():
            log.level = self.options.level(getattr(self.config.system.log_categories, category))
        self.links.level_changed()

    # the end

    def stopService(self) -> Deferred[Any]:
        self.end_tries()
        return self._stop().addErrback(lambda failure: self.log.error("{reason}", reason=failure.getErrorMessage()))

    @inlineCallbacks
    def _stop(self) -> Any:
        links = self.links
        links.refusing = "propppd is stopping"
        self.dials.stop()
        if len(links):
            self.log.notice("stopping: {count} links", count=len(links))
            yield links.end_all("Admin Reboot", "propppd stops", STOP_PATIENCE)
        yield self._within(links.interfaces_gone())
        self.attachments.stop()
        yield self._within(self.control.stopService())
        links.stop()
        yield self.accounting.stop()
        self.radius_servers.stop()
        self.dynamic.stop()
        self.radius_port.stop()
        if self.path is not None:
            yield self._within(self.path.stop())
        yield self._within(self.shaping.stop())
        yield self.network.stop()
        self.sets.stop()
        links.leftovers.close()
        self.history.history.close()
        yield super().stopService()
        self.log.notice("stopped")

    @inlineCallbacks
    def _within(self, done: Deferred[Any]) -> Any:
        """Wait for one step of the end, but not for ever; whatever fails, the next one follows."""
        late = deferLater(self.reactor, REMOVE_PATIENCE, lambda: None)
        late.addErrback(lambda _: None)
        done.addErrback(lambda failure: self.log.warning("{reason}", reason=failure.getErrorMessage()))
        yield DeferredList([done, late], fireOnOneCallback=True)
        late.cancel()
