"""Links on lines that we open ourselves: made by `propppctl create`, opened again while they shall persist."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.control.command import Refused
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.carriers import DialledCarrier
from prol2tp.daemons.propppd.create import DialRequest, check
from prol2tp.daemons.propppd.links import Links, RefusedLink, number_of
from prol2tp.dataplane.interface import DataPathError

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink

_log = Logger(namespace="propppd")

LONGEST_HOLDOFF = 300.0
"""Seconds to which the time between tries grows, unless holdoff is longer."""
SHORTEST_HOLDOFF = 1.0
JITTER = 0.1
"""Part of the time by which lines differ, so that they do not all dial again at once."""
FINAL = frozenset(("Admin Reset", "Admin Reboot", "User Request"))
"""Causes after which nobody wants the link again."""


class NoLine(Exception):
    """The line could not be opened; the text says why."""


def allow_gone(failure: Failure) -> None:
    """What the data path has lost need not be removed from it."""
    failure.trap(DataPathError)


class Dial:
    """One line, and the links on it: at most one at a time, all with the same name. It is their listener.

    A kind brings `carrier`, `prepare`, `launch` and `release`.
    """

    def __init__(self, dials: Dials, request: Any) -> None:
        self.dials = dials
        self.links = dials.links
        self.request: Any = request
        self.number = self.links.reserve()
        self.link: PPPLink | None = None
        self.failures = 0
        """Tries in a row that did not bring a network protocol up."""
        self.life = 0
        """Counts the tries: what an earlier one has asked for is given back when it comes."""
        self.destroyed = False
        self._was_up = False
        self._persists = False
        self._level: Level | None = None
        """Log level that was set for the link: it outlives it."""
        self._timer: Any = None

    # what a kind brings

    def carrier(self) -> DialledCarrier:
        """A new one, nothing of it there yet."""
        raise NotImplementedError

    def prepare(self) -> Deferred[None]:
        """Open what can be refused at once. Fails with `NoLine`, and then nothing is left to release."""
        raise NotImplementedError

    def launch(self) -> None:
        """The link is made: bring it its carrier (`links.carried`), or end it."""
        raise NotImplementedError

    def release(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    # life

    @property
    def name(self) -> str:
        return f"session-{self.number}"

    def create(self) -> Deferred[str]:
        """-> the link's name. Fails with `Refused`, and nothing is left."""
        return self.prepare().addCallbacks(self._created, self._refused)

    def _created(self, _: object) -> str:
        try:
            self._attach()
        except Exception as error:
            self.release()
            if isinstance(error, RefusedLink):
                raise Refused(str(error)) from None
            raise
        self.dials.by_number[self.number] = self
        self._launch()
        return self.name

    def _launch(self) -> None:
        try:
            self.launch()
        except Exception:
            _log.failure("{link}: ended by a fault", link=self.name)
            self.end("NAS Error", "internal error")

    def _refused(self, failure: Failure) -> str:
        failure.trap(NoLine)
        raise Refused(str(failure.value))

    def _attach(self) -> None:
        otherwise = check(self.request.options)
        self.link = link = self.links.attach(self.carrier(), "", self, otherwise, self.number,
                                             again=self.number in self.dials.by_number)
        if self._level is not None:
            link.level = self._level
            link.traced()

    def lcp_up(self, link: PPPLink) -> None:
        """Of a listener."""

    def link_up(self, link: PPPLink) -> None:
        """Of a listener."""
        self._was_up = True
        self.failures = 0
        assert isinstance(link.carrier, DialledCarrier)
        link.carrier.failures = 0

    def link_closed(self, link: PPPLink, user: str) -> None:
        """Of a listener."""
        self.link = None
        self._level = link.level
        self.life += 1
        self._stop_timer()
        self.release()
        if not self._was_up:
            self.failures += 1
        self._was_up = False
        request: DialRequest = self.request
        self._persists = request.persist and not self.destroyed and link.cause not in FINAL
        if self._persists and 0 < request.maxfail <= self.failures:
            self._persists = False
            self.dials.log.emit(Level.WARNING, "{link}: given up after {count} tries", link=self.name,
                                count=self.failures)

    def link_gone(self, link: PPPLink) -> None:
        """Of a listener."""
        if self._persists and not self.destroyed:
            self._wait()
        else:
            self.dials.forget(self)

    def _wait(self) -> None:
        """A link that has not started stands for the line until the next try."""
        self._timer = None
        delay = self._delay()
        try:
            self._attach()
        except RefusedLink as error:
            self.dials.log.emit(Level.WARNING, "{link}: {reason}; next try in {delay:.0f} s", link=self.name,
                                reason=error, delay=delay)
            self._timer = self.dials.clock.callLater(delay, self._wait)
            return
        assert self.link is not None
        carrier = self.link.carrier
        assert isinstance(carrier, DialledCarrier)
        carrier.failures, carrier.redial_at = self.failures, self.dials.clock.seconds() + delay
        self.link.say(Level.INFO, "next try in {delay:.0f} s", delay=delay)
        self._timer = self.dials.clock.callLater(delay, self._redial)

    def _delay(self) -> float:
        holdoff = max(SHORTEST_HOLDOFF, float(self.request.holdoff))
        grown = min(holdoff * 2 ** min(max(self.failures - 1, 0), 20), max(holdoff, LONGEST_HOLDOFF))
        return grown * (1 + (self.links.random_bytes(1)[0] / 127.5 - 1) * JITTER)

    def _redial(self) -> None:
        self._timer = None
        life = self.life

        def ready(_: object) -> None:
            if self.life == life:
                self._launch()

        def failed(failure: Failure) -> None:
            if self.life != life:
                return
            if not failure.check(NoLine):
                _log.failure("{link}: ended by a fault", failure, link=self.name)
            self.end("Lost Carrier", failure.getErrorMessage())

        maybeDeferred(self.prepare).addCallbacks(ready, failed)

    def end(self, cause: str, message: str) -> None:
        """The line is gone, or does not come."""
        if self.link is not None:
            self.link.lost(cause, message)

    def destroy(self) -> None:
        """The operator wants it gone, with LCP Terminate where there is a link."""
        self.destroyed = True
        if self.link is not None:
            self.link.close("Admin Reset", "destroyed by management")
        elif self._timer is not None:
            self._stop_timer()
            self.dials.forget(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """No next try."""
        self.destroyed = True
        self._stop_timer()


class Dials:
    """All lines that were made by command.

    :param kinds: what makes a `Dial` of a request, by the request's kind.
    :param open_ethernet: `(interface, receive, lost, tagged)` -> an `EthernetPort`; raises `OSError`.
    """

    def __init__(self, links: Links, clock: IReactorTime, log: Log, kinds: dict[str, Callable[[Dials, Any], Dial]],
                 open_ethernet: Callable[..., Any]) -> None:
        self.links = links
        self.clock = clock
        self.log = log
        self.open_ethernet = open_ethernet
        self.by_number: dict[int, Dial] = {}
        self.accesses: dict[Any, Any] = {}
        """Ethernet interfaces in use (`pppoe.Access`)."""
        self._kinds = kinds

    def create(self, request: DialRequest) -> Deferred[str]:
        """-> the link's name; fails with `Refused`."""
        links = self.links
        if links.refusing:
            raise Refused(links.refusing)
        if request.profile not in links.profiles:
            raise Refused(f"there is no PPP profile {request.profile[:40]!r} in propppd.conf")
        return self._kinds[request.kind](self, request).create()

    def named(self, name: str) -> Dial | None:
        """By `session-N`."""
        return self.by_number.get(number_of(name))

    def forget(self, dial: Dial) -> None:
        self.by_number.pop(dial.number, None)

    def stop(self) -> None:
        """Nothing is dialled any more; links that are there end by themselves."""
        for dial in list(self.by_number.values()):
            dial.stop()
