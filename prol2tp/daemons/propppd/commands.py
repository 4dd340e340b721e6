"""The commands of the control channel, answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from prol2tp.control.command import Invalid, NotFound
from prol2tp.control.commands.shared import LEVELS
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.attach import Owners
from prol2tp.daemons.propppd.create import DialRequest, L2TPRequest, parse
from prol2tp.daemons.propppd.dials import Dials
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.status import Status


class Commands:
    """Responders of all commands but Subscribe and Unsubscribe."""

    def __init__(self, links: Links, status: Status, attachments: Owners, dials: Dials,
                 reload: Callable[[], str], preview: Callable[[], dict[str, Any]],
                 set_level: Callable[[Level], None]) -> None:
        self._links = links
        self._status = status
        self._attachments = attachments
        self._dials = dials
        self._reload = reload
        self._preview = preview
        self._set_level = set_level

    def table(self) -> dict[str, Callable[..., Any]]:
        """By command."""
        return {
            "Status": lambda connection: {"status": self._status.system()},
            "Pools": lambda connection, cursor, limit: self._status.pools(cursor, limit),
            "List": self._list,
            "Find": lambda connection, user: {"rows": self._status.of_user(user)},
            "Show": self._show,
            "ShowTraffic": lambda connection, limit: self._status.traffic(limit),
            "Create": self._create,
            "Destroy": self._destroy,
            "SetLogLevel": self._set_log_level,
            "Reload": lambda connection: {"summary": self._reload()},
            "PreviewReload": lambda connection: self._preview(),
            "AttachSessions": self._attachments.attach,
            "DetachSessions": self._attachments.detach,
        }

    def _link(self, name: str) -> PPPLink:
        link = self._links.named(name)
        if link is None:
            raise NotFound(f"there is no link {name[:40]!r}")
        return link

    def _list(self, connection: Any, filter: str | None, cursor: str | None, limit: int | None) -> dict[str, Any]:
        if filter not in (None, "", "up", "down"):
            raise Invalid("filter: up or down")
        return self._status.list(filter, cursor, limit)

    def _show(self, connection: Any, name: str) -> dict[str, Any] | Deferred[dict[str, Any]]:
        link = self._link(name)
        if not link.carrier.counted or not link.port:
            return {"link": self._status.link(link)}

        def counted(counters: dict[int, tuple[Any, ...]]) -> dict[str, Any]:
            return {"link": self._status.link(link, counters.get(link.port))}

        return self._links.dataplane.counters([link.port]).addErrback(lambda _: {}).addCallback(counted)

    def _create(self, connection: Any, words: Any) -> Deferred[dict[str, Any]]:
        counts = self._links.counts
        counts.create_requests += 1

        def failed(failure: Failure) -> Failure:
            counts.create_failures += 1
            return failure

        def make() -> Deferred[str]:
            request = parse(words)
            if isinstance(request, L2TPRequest):
                return self._attachments.prol2tpd.create(request)
            assert isinstance(request, DialRequest)
            return self._dials.create(request)

        made = maybeDeferred(make)
        return made.addCallbacks(lambda name: {"name": name}, failed)

    def _destroy(self, connection: Any, name: str) -> None:
        counts = self._links.counts
        counts.destroy_requests += 1
        dial = self._dials.named(name)
        if dial is not None:
            dial.destroy()
            return
        try:
            link = self._link(name)
        except NotFound:
            counts.destroy_failures += 1
            raise
        link.close("Admin Reset", "destroyed by management")

    def _set_log_level(self, connection: Any, level: str, name: str | None) -> None:
        if level not in LEVELS:
            raise Invalid(f"level: one of {', '.join(LEVELS)}")
        if name:
            link = self._link(name)
            link.level = Level.named(level)
            link.traced()
            return
        self._set_level(Level.named(level))
