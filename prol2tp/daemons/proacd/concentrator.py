"""The parts of the access concentrator put together: what `service` starts, and tests without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from prol2tp.config.proacd import ProacdConfig
from prol2tp.config.proacd import Route as RouteConfig
from prol2tp.config.serving import RouteIndex
from prol2tp.daemons.logs import Log
from prol2tp.daemons.proacd import reload, settings
from prol2tp.daemons.proacd.attach import Attachments
from prol2tp.daemons.proacd.balance import Balance
from prol2tp.daemons.proacd.calls import Calls
from prol2tp.daemons.proacd.choice import Choice, IChoice
from prol2tp.daemons.proacd.choice import Destination as Place
from prol2tp.daemons.proacd.destinations import Destination
from prol2tp.daemons.proacd.discovery import Discovery, OpenEthernet
from prol2tp.daemons.proacd.joining import join, part
from prol2tp.daemons.proacd.route import Route
from prol2tp.daemons.proacd.routes import NoRoute, Routes
from prol2tp.daemons.proacd.sources import L2TPSource, PPPoESource
from prol2tp.dataplane.interface import IDataPlane
from prol2tp.net.linkwatch import Link
from prol2tp.pppoe import outputs, tags
from prol2tp.pppoe.settings import InterfaceSettings

NO_DATA_PATH = "the data path is not there yet"


class Concentrator:
    """Routes, where they begin and where they lead, by one configuration.

    :param logs: by category (`config.access.DEBUG_CATEGORIES`).
    :param chance: numbers from 0.0 up to 1.0.
    :param hostname: of this machine.
    """

    def __init__(self, clock: IReactorTime, logs: Mapping[str, Log], random_bytes: Callable[[int], bytes],
                 chance: Callable[[], float], hostname: str, config: ProacdConfig, choice: IChoice,
                 open_ethernet: OpenEthernet, link_of: Callable[[str], Link | None]) -> None:
        self.config = config
        self.index = RouteIndex(config.routes.values())
        self.plane: IDataPlane | None = None
        self.balance = Balance(chance, config.system.lockout_time)
        self.routes = Routes(clock, logs["route"], random_bytes, choice, self.balance, self._open_destination, join,
                             part)
        self.routes.refusing = NO_DATA_PATH
        grace = config.system.grace_timeout
        self.calls = Calls(clock, logs["l2tp"], self._offered, grace)
        self.attachments = Attachments(clock, logs["pppd"], grace)
        self.discovery = Discovery(clock, logs["pppoe"], settings.concentrator(config.system, hostname), random_bytes,
                                   open_ethernet, link_of, self._asked)
        self.hosts: Callable[[dict[str, InterfaceSettings]], dict[str, InterfaceSettings]] = dict
        """Puts what commands have said about hosts into the settings of interfaces."""
        self.ac_name = ""
        self._choice = choice
        self._drained = False
        self._hostname = hostname
        self._configure()

    # configuration

    def configure(self, config: ProacdConfig) -> str:
        """Take over another configuration -> what changed; see `reload`."""
        return reload.apply(self, config)

    def use_config(self, config: ProacdConfig) -> None:
        """For all who come from now on."""
        self.config = config
        self.index = RouteIndex(config.routes.values())
        self._configure()

    def _configure(self) -> None:
        system = self.config.system
        self.balance.lockout_time = system.lockout_time
        self.routes.timeout = system.route_timeout
        self.calls.exchange.grace = self.attachments.exchange.grace = system.grace_timeout
        self.calls.serve(self.index.tunnel_profiles)
        self.refresh()

    def refresh(self) -> None:
        """Who is served on the interfaces may be others now."""
        of_all = settings.concentrator(self.config.system, self._hostname)
        self.ac_name = of_all.ac_name
        if self.draining:
            # nobody is to be offered what he will not get
            of_all.delays = ((0, None),)
        self.discovery.configure(of_all, self.hosts(settings.interfaces(self.config, self.index)))

    @property
    def draining(self) -> bool:
        """Nobody new is let in."""
        return self._drained or self.config.system.drain

    def drain(self, on: bool) -> None:
        """Let nobody in, until that is taken back."""
        self._drained = on
        self.refresh()

    # sources

    def _refusal(self, config: RouteConfig) -> str:
        """Why the route takes nobody now; empty: it does."""
        if config.drain or self.draining:
            return "the route takes no new sessions"
        if 0 < self.config.system.max_sessions <= len(self.routes):
            return "too many sessions"
        if 0 < config.max_sessions <= len(self.routes.by_name.get(config.name, ())):
            return "too many sessions on the route"
        return ""

    def _asked(self, asked: outputs.AskRoute, ethernet: int) -> PPPoESource | tuple[int, str] | None:
        """Of `Discovery`."""
        vlans = tuple(tag.vid for tag in asked.vlans if tag.vid)
        config = self.index.find(asked.key.interface, vlans, asked.service_name)
        if config is None:
            return tags.SERVICE_NAME_ERROR, "no such service"
        refusal = self._refusal(config) or self.routes.refusing
        if refusal or self.plane is None:
            self.routes.counters.route_create_failures += 1
            return tags.AC_SYSTEM_ERROR, refusal or NO_DATA_PATH
        if self._choice.busy(config):
            return None
        source = PPPoESource(asked, self.plane, ethernet, self.discovery)
        self.discovery.sources[asked.key] = source
        try:
            self.routes.create(config, source)
        except NoRoute as error:
            del self.discovery.sources[asked.key]
            source.release()
            return tags.AC_SYSTEM_ERROR, str(error)
        return source

    def _offered(self, row: dict[str, Any]) -> str | None:
        """Of `Calls`."""
        config = self.index.find_l2tp(str(row.get("tunnel_profile") or ""))
        refusal = "no route for sessions of this tunnel" if config is None else self._refusal(config)
        refusal = refusal or self.routes.refusing
        if refusal or config is None or self.plane is None:
            self.routes.counters.route_create_failures += 1
            return refusal or NO_DATA_PATH
        source = L2TPSource(row, self.plane, self.calls.exchange.end)
        self.calls.exchange.take(source)
        try:
            self.routes.create(config, source)
        except NoRoute as error:
            self.calls.exchange.forget(source.id)
            return str(error)
        return None

    def _open_destination(self, route: Route, choice: Choice, place: Place | None) -> Destination:
        """Of `Routes`."""
        if place is not None:
            return self.calls.open(route, place)
        return self.attachments.open(route, choice)

    # the data path

    def use(self, plane: IDataPlane) -> None:
        """The data path is there."""
        self.plane = plane
        self.routes.refusing = ""
        self.discovery.use(plane)

    def path_lost(self) -> Deferred[None]:
        """All ports are gone with it: both ends of every route are told. Fires when that is done."""
        self.plane = None
        self.routes.refusing = NO_DATA_PATH
        return self.routes.end_all("NAS Error", "the data path is gone").addCallback(
            lambda _: self.discovery.path_lost())

    # the end

    def end_all(self, cause: str, message: str) -> Deferred[None]:
        """No routes any more; fires when all have ended, and other daemons were told."""
        self.routes.refusing = message

        def flush(_: None) -> Deferred[Any]:
            return gatherResults([self.calls.exchange.flush(), self.attachments.exchange.flush()])

        return self.routes.end_all(cause, message).addCallback(flush)

    def stop(self) -> None:
        """No timers and no sockets any more."""
        self.routes.stop()
        self.discovery.stop()
        self.calls.stop()
        self.attachments.stop()
