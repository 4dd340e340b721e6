"""The RADIUS profiles of the configuration at work: each has its servers, its accounting and its counters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks

from prol2tp.aaa.records import Clocks, Recent, boot_name, run_name
from prol2tp.aaa.servers import RadiusServers
from prol2tp.aaa.service import AccountingService
from prol2tp.config.routes import RadiusProfile
from prol2tp.control.paging import page
from prol2tp.daemons.logs import Log
from prol2tp.daemons.proacd.accounting import Accounting
from prol2tp.daemons.proacd.choice import L2TP
from prol2tp.daemons.proacd.dynamic import DynamicRequests
from prol2tp.daemons.proacd.route import Follower, Route
from prol2tp.net.radius import MakeSocket, RadiusPort, udp_socket
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.attributes import Nas
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.outputs import Accepted, AnswerDropped, NoAnswer, ServerAlive, ServerDead

_PREFIX, _SUFFIX = "proacd-accounting-", ".sqlite"


@dataclass(slots=True)
class RequestCounters:
    """Of questions about routes, as `proac_info -s` shows them."""

    successes: int = 0
    """Access-Accept."""
    failures: int = 0
    """Every other end of a question."""
    timeouts: int = 0
    """Of these: no server has answered in time."""
    dns_failures: int = 0
    """Names of servers that could not be resolved."""


def file_of(profile: str) -> str:
    """The queue of a profile, in the state directory."""
    return f"{_PREFIX}{quote(profile, safe='')[:200]}{_SUFFIX}"


def forgotten(state_dir: str, profiles: Iterable[str]) -> list[str]:
    """Queues in the state directory that none of the profiles empties."""
    known = {file_of(name) for name in profiles}
    try:
        found = os.listdir(state_dir)
    except OSError:
        return []
    return sorted(name for name in found if fnmatch(name, f"{_PREFIX}*{_SUFFIX}") and name not in known)


class Profile:
    """One of them.

    :param publish: of `control.events.Events`.
    :param port: a `RadiusPort`; left out: one of its own.
    """

    def __init__(self, reactor: Any, name: str, config: RadiusProfile, state_dir: str, log: Log,
                 publish: Callable[..., None], random_bytes: Callable[[int], bytes] = os.urandom,
                 wall: Callable[[], float] = time.time, port: Any = None,
                 make_socket: MakeSocket = udp_socket) -> None:
        self.name = name
        self.config = config
        self.counters = RequestCounters()
        self.negotiating = 0
        """Routes that wait for an answer."""
        self.port = port or RadiusPort(reactor, RadiusClient((), random_bytes, reactor.seconds()))
        self.port.server_changed = self._server_changed
        self.servers = RadiusServers(self.port, reactor, log, publish)
        clocks, recent = Clocks(wall, reactor.seconds, boot_name()), Recent()
        self.run = run_name(wall, random_bytes)
        self.accounting = Accounting(reactor, clocks, self.run, lambda: self.nas, recent.pack)
        self.queue = AccountingService(reactor, self.accounting, clocks, recent, self.run, lambda: self.nas, self.port,
                                       os.path.join(state_dir, file_of(name)), log,
                                       lambda event, reason: publish(event, profile=name, reason=reason))
        self.servers.replaced = self.queue.servers_changed
        self.dynamic = DynamicRequests(reactor, wall, log, self, make_socket)

    @property
    def nas(self) -> Nas:
        """Who we are, in every request."""
        return self.port.core.nas  # type: ignore[no-any-return]

    def configure(self, config: RadiusProfile) -> Deferred[None]:
        """Take over; fires when the queue is open. Fails with `QueueFailed`."""
        self.config = config
        self.servers.configure(config)
        self.dynamic.configure(config)
        return self.queue.configure(config)

    def session_id(self, route: Route) -> str:
        """Acct-Session-Id of the session on a route: the same in all requests about it."""
        return self.accounting.session_of(route).id

    def request(self, record: AccessRequest) -> Deferred[Any]:
        """Ask; as `RadiusPort.request`."""
        return self.port.request(record).addCallback(self._counted)  # type: ignore[no-any-return]

    def _counted(self, result: Any) -> Any:
        if isinstance(result, Accepted):
            self.counters.successes += 1
        else:
            self.counters.failures += 1
            self.counters.timeouts += isinstance(result, NoAnswer) and not result.unsendable
        return result

    def _server_changed(self, change: ServerDead | ServerAlive | AnswerDropped) -> None:
        """Of `RadiusPort`."""
        self.servers.changed(change)
        self.queue.server_changed(change)

    @inlineCallbacks
    def stop(self) -> Any:
        """After all routes."""
        self.dynamic.stop()
        yield self.queue.stop()
        self.servers.stop()
        self.port.stop()


Make = Callable[[str, RadiusProfile], Profile]


class Profiles(Follower):
    """All of them. Hears of routes, and tells their accounting.

    :param make: a `Profile` that is not configured yet.
    """

    def __init__(self, make: Make) -> None:
        self.by_name: dict[str, Profile] = {}
        """Those of the configuration."""
        self._make = make
        self._former: list[Profile] = []
        """Those that it has no longer: their routes and records live on."""
        self._path: Any = None

    def configure(self, configs: Mapping[str, RadiusProfile]) -> Deferred[list[Any]]:
        """Take over; fires when all queues are open, with (success, result or failure) of each."""
        for name in [name for name in self.by_name if name not in configs]:
            former = self.by_name.pop(name)
            former.dynamic.stop()
            self._former.append(former)
        opened = []
        for name, config in configs.items():
            profile = self.by_name.get(name) or self._former_of(name)
            if profile is None:
                profile = self._make(name, config)
                if self._path is not None:
                    profile.queue.path_ready(self._path)
            self.by_name[name] = profile
            opened.append(profile.configure(config))
        return DeferredList(opened, consumeErrors=True)

    def _former_of(self, name: str) -> Profile | None:
        for profile in self._former:
            if profile.name == name:
                self._former.remove(profile)
                return profile
        return None

    @property
    def all(self) -> list[Profile]:
        return [*self.by_name.values(), *self._former]

    def path_ready(self, plane: Any) -> Deferred[list[Any]]:
        """Before any port is made on it -> Deferred."""
        self._path = plane
        return DeferredList([profile.queue.path_ready(plane) for profile in self.all], consumeErrors=True)

    def stop(self) -> Deferred[list[Any]]:
        """After all routes."""
        return DeferredList([profile.stop() for profile in self.all], consumeErrors=True)

    # status

    @property
    def counters(self) -> RequestCounters:
        """Sums."""
        total = RequestCounters()
        for profile in self.all:
            total.successes += profile.counters.successes
            total.failures += profile.counters.failures
            total.timeouts += profile.counters.timeouts
            total.dns_failures += profile.servers.dns_failures
        return total

    def queue_record(self) -> dict[str, Any] | None:
        """An `accounting-queue` record of all queues together; None: there is none."""
        records = [record for profile in self.all if (record := profile.queue.record()) is not None]
        if not records:
            return None
        total = records[0]
        for record in records[1:]:
            for name in ("depth", "waiting", "unsaved", "coalesced", "refused"):
                total[name] += record[name]
            total["oldest"] = max(total["oldest"], record["oldest"])
            total["trouble"] = total["trouble"] or record["trouble"]
        return total

    def responders(self) -> dict[str, Callable[..., Any]]:
        """Of the control channel, by command."""
        return {"Servers": lambda connection, cursor=None, limit=None: self.server_rows(cursor, limit)}

    def server_rows(self, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of `server-row` records of the configuration's profiles, named `PROFILE/SERVER`."""
        keys = dict(enumerate((profile, name, kind) for profile in self.by_name.values()
                              for name, kind in profile.servers.services()))

        def row(key: int) -> dict[str, Any]:
            profile, name, kind = keys[key]
            return {**profile.servers.row(name, kind), "name": f"{profile.name}/{name}"}

        return page(keys, cursor, limit, row)

    # what becomes of routes

    def _of(self, route: Route) -> Profile | None:
        return self.by_name.get(getattr(route.config.destination, "profile", ""))

    def route_opened(self, route: Route) -> None:
        """Of `Follower`."""
        profile = self._of(route)
        if profile is not None and route.choice is not None and route.choice.kind == L2TP:
            profile.accounting.opened(route)
            profile.dynamic.opened(route)

    def destination_failed(self, route: Route, cause: str, dead: bool) -> None:
        """Of `Follower`."""
        profile = self._of(route)
        if profile is not None and route.place is not None:
            profile.accounting.failed(route, cause, dead)

    def route_closed(self, route: Route) -> None:
        """Of `Follower`."""
        if route.accounting is not None:
            route.accounting.accounting.closed(route)
        for profile in self.all:
            profile.dynamic.closed(route)
