"""Rate limits of links: what a link should have, and who holds it to that, the kernel or the data path.

An own interface is shaped by the system's traffic control where the kernel can do that (packets wait, and are dropped
when too many do). On a shared interface, and where the kernel cannot, the data path drops what is too much. The two
directions are settled each by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.logger import Logger

from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.dataplane.interface import DataPathError
from prol2tp.dataplane.shaping import Abilities
from prol2tp.net.netlink import NetlinkError
from prol2tp.ppp.outputs import NetworkUp

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink
    from prol2tp.daemons.propppd.links import Links

_log = Logger(namespace="propppd")

UP, DOWN = WAYS = 0, 1
_NAMES = ("up", "down")
TC, PATH = "tc", "path"
_RATE_OF = ("rate_up", "rate_down")


class RateError(Exception):
    """A limit could not be set; the text says why."""


class Limit:
    """What a link has: bit/s by direction (`UP`, `DOWN`), and who sees to it."""

    __slots__ = ("link", "ifindex", "rates", "by", "tried", "busy", "again", "waiting")

    def __init__(self, link: PPPLink, ifindex: int) -> None:
        self.link = link
        self.ifindex = ifindex
        self.rates = [0, 0]
        self.by = ["", ""]
        """`TC`, `PATH`, or empty: not limited."""
        self.tried = (0, 0)
        """What was to be set the last time."""
        self.busy = False
        self.again = False
        """Something has happened since the last step was begun."""
        self.waiting: list[Deferred[None]] = []


class Rates(Follower):
    """:param shaping: an `IShaping`."""

    def __init__(self, links: Links, shaping: Any, log: Log) -> None:
        self._links = links
        self._shaping = shaping
        self._log = log
        self._limits: dict[PPPLink, Limit] = {}
        self._abilities: Abilities | None = None
        self._again = False
        """The kernel is to be asked again."""
        self.failures = 0
        """Limits that could not be set."""

    def __len__(self) -> int:
        """Links with a limit."""
        return len(self._limits)

    def of(self, link: PPPLink) -> Limit | None:
        """What a link has; None: nothing."""
        return self._limits.get(link)

    @property
    def abilities(self) -> str:
        """What the kernel can do; empty: nobody has asked yet."""
        return "" if self._abilities is None else str(self._abilities)

    def settled(self, link: PPPLink) -> Deferred[None]:
        """Fires when the link has the limits that it should have. Fails with `RateError`."""
        limit = self._limits.get(link)
        if limit is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        limit.waiting.append(done)
        self._go(limit)
        return done

    # followed

    def protocol_up(self, link: PPPLink, network: NetworkUp) -> None:
        limit, interface = self._limits.get(link), link.interface
        netif = interface.netif if interface is not None else None
        # the second protocol comes to an interface that has its limit, or was refused it
        if (limit is None or netif is None or netif.ifindex != limit.ifindex
                or limit.tried != self._links.filters.rates(link)):
            self._look(link)

    def link_changed(self, link: PPPLink, before: Authorization) -> None:
        if link.up:
            self._look(link)

    def link_ended(self, link: PPPLink) -> None:
        limit = self._limits.get(link)
        if limit is not None and not limit.busy:
            self._forget(limit)

    def reloaded(self) -> Deferred[None]:
        """Filters may have changed: links that are up follow. The kernel may have got what it did not have."""
        self._again = self._abilities is not None and not (self._abilities.egress and self._abilities.ingress)
        return self._links.for_all(self._links.by_number.values(), self._reloaded)

    def _reloaded(self, link: PPPLink) -> None:
        if link.up:
            self._look(link)

    def _look(self, link: PPPLink) -> None:
        interface = link.interface
        netif = interface.netif if interface is not None else None
        if netif is None or link.ended:
            return
        limit = self._limits.get(link)
        if limit is None:
            if not any(self._links.filters.rates(link)):
                return
            limit = self._limits[link] = Limit(link, netif.ifindex)
        self._go(limit)

    def _follow(self, limit: Limit) -> None:
        """The link may have another interface than before: nothing is set there, but in the data path."""
        interface = limit.link.interface
        netif = interface.netif if interface is not None else None
        if netif is None or netif.ifindex == limit.ifindex:
            return
        self._shaping.removed(limit.ifindex)
        limit.ifindex = netif.ifindex
        for way in WAYS:
            if limit.by[way] == TC:
                limit.rates[way], limit.by[way] = 0, ""

    def _forget(self, limit: Limit) -> None:
        link = limit.link
        if self._limits.pop(link, None) is None:
            return
        if TC in limit.by:
            self._shaping.removed(limit.ifindex)
        policed = {_RATE_OF[way]: 0 for way in WAYS if limit.by[way] == PATH}
        if policed:
            # the port may live on and carry another link
            self._links.dataplane.port_modify(link.port, **policed).addErrback(_gone)

    # set

    def _go(self, limit: Limit) -> None:
        limit.again = True
        if not limit.busy:
            limit.busy = True
            self._settle(limit).addErrback(self._broken, limit)

    def _broken(self, failure: Any, limit: Limit) -> None:
        _log.failure("rate limit of {link}", failure=failure, link=limit.link.name)
        self._over(limit, "internal error")

    @inlineCallbacks
    def _settle(self, limit: Limit) -> Any:
        link, error = limit.link, ""
        while limit.again and not link.ended:
            limit.again, error = False, ""
            self._follow(limit)
            limit.tried = self._links.filters.rates(link)
            for way, rate in zip(WAYS, limit.tried, strict=True):
                if limit.rates[way] == rate or link.ended:
                    continue
                try:
                    yield from self._set(limit, way, rate)
                except (NetlinkError, DataPathError, RateError) as refused:
                    error = getattr(refused, "text", "") or str(refused)
                    self.failures += 1
                    if not link.ended:
                        link.say(Level.ERROR, "rate limit {way} not set: {reason}", way=_NAMES[way], reason=error)
        self._over(limit, error)

    def _over(self, limit: Limit, error: str) -> None:
        limit.busy = False
        waiting, limit.waiting = limit.waiting, []
        if limit.link.ended:
            self._forget(limit)
        for done in waiting:
            if error:
                done.errback(RateError(error))
            else:
                done.callback(None)

    def _set(self, limit: Limit, way: int, rate: int) -> Any:
        """A part of `_settle`."""
        if self._abilities is None or self._again:
            again, self._again = self._again, False
            found = yield self._shaping.probe(again)
            # many may have waited for it
            if found != self._abilities:
                self._abilities = found
                self._log.notice("rate limits: {abilities}", abilities=found)
        link, had = limit.link, limit.by[way]
        if link.ended:
            return
        by = self._by(link, way) if rate else ""
        if had and had != by:
            yield self._tell(limit, way, had, 0)
            limit.rates[way], limit.by[way] = 0, ""
        if rate:
            yield self._tell(limit, way, by, rate)
            limit.rates[way], limit.by[way] = rate, by

    def _by(self, link: PPPLink, way: int) -> str:
        """Who is to see to a limit. Raises `RateError`."""
        wanted, abilities = link.profile.rate_limit_by, self._abilities
        assert abilities is not None
        if wanted == PATH:
            return PATH
        can = abilities.ingress if way == UP else abilities.egress
        if can and not link.network.shared:
            return TC
        if wanted == TC:
            raise RateError("rate_limit_by tc, and the interface is shared" if link.network.shared
                            else f"rate_limit_by tc, and {abilities}")
        return PATH

    def _tell(self, limit: Limit, way: int, by: str, rate: int) -> Deferred[Any]:
        if by == TC:
            shape = self._shaping.ingress if way == UP else self._shaping.egress
            return shape(limit.ifindex, rate)  # type: ignore[no-any-return]
        return self._links.dataplane.port_modify(  # type: ignore[no-any-return]
            limit.link.port, **{_RATE_OF[way]: rate})


def _gone(failure: Any) -> None:
    failure.trap(DataPathError)
