"""Disconnect-Request and CoA-Request carried out on links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from prol2tp.aaa.dynamic import DynamicServer
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.changes import Changes, changes_of
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.radius import RadiusUsers
from prol2tp.daemons.propppd.rates import Rates
from prol2tp.daemons.propppd.sessions import names_by
from prol2tp.net.radius import MakeSocket, udp_socket
from prol2tp.ppp.outputs import NetworkUp
from prol2tp.radius.dynauth import INVALID_ATTRIBUTE_VALUE, RESOURCES_UNAVAILABLE, Refused
from prol2tp.radius.outputs import Asked

_log = Logger(namespace="propppd")


class DynamicRequests(DynamicServer, Follower):
    """Ends and changes links on request.

    :param reactor: with clock and descriptors.
    :param users: knows who we are towards RADIUS, and the links' Acct-Session-Ids.
    :param rates: says whether a link has its rate limits.
    """

    noun = "link"

    def __init__(self, links: Links, users: RadiusUsers, reactor: Any, log: Log,
                 make_socket: MakeSocket = udp_socket, rates: Rates | None = None) -> None:
        super().__init__(reactor, links.wall, log, lambda: users.nas, names_by(users.session_id), make_socket)
        self._links = links
        self._rates = rates

    # links

    def know_all(self) -> None:
        self._links.for_all(self._links.by_number.values(), self._known)

    def label(self, session: PPPLink) -> str:
        return session.name

    def user(self, session: PPPLink) -> str:
        return session.shown_user

    def _known(self, link: PPPLink) -> None:
        if self._settings is not None and not link.ended and (link.user or link.up):
            self.index.put(link)

    def link_admitted(self, link: PPPLink) -> None:
        self._known(link)

    def protocol_up(self, link: PPPLink, network: NetworkUp) -> None:
        if self._settings is not None:
            self.index.put(link)

    def link_changed(self, link: PPPLink, before: Authorization) -> None:
        self._known(link)

    def addresses_changed(self, link: PPPLink) -> None:
        self._known(link)

    def link_ended(self, link: PPPLink) -> None:
        self.index.drop(link)

    # requests

    def carry_out(self, output: Asked, sessions: list[PPPLink]) -> None:
        changes = None if output.request.disconnect else changes_of(output.request.changes)
        self._check_filters(sessions, changes)
        if changes is None:
            self.say(output, sessions, "they end" if len(sessions) > 1 else "it ends")
            self.acknowledge(output)
            self._links.for_all(sessions, lambda link: link.close("Admin Reset"))
        else:
            self._change(output, sessions, changes)

    def _check_filters(self, links: Sequence[PPPLink], changes: Changes | None) -> None:
        """Names that stand for nothing, where the profile keeps out who has one."""
        if changes is None or "filters" not in changes.authorization:
            return
        for link in links:
            missing = self._links.filters.missing(changes.of(link.authorization), link.user)
            if missing and link.profile.unknown_filter == "refuse":
                raise Refused(INVALID_ATTRIBUTE_VALUE, f"there is no filter {missing[0][:80]!r}")

    def _change(self, output: Asked, links: Sequence[PPPLink], changes: Changes) -> None:
        """Change all links, or put back what was changed."""
        done: list[tuple[PPPLink, Authorization, Authorization]] = []
        steps: list[Deferred[Any]] = []

        def change(link: PPPLink) -> None:
            before, after = link.authorization, changes.of(link.authorization)
            if after is not before and not link.ended:
                done.append((link, before, after))
                rates = self._links.filters.rates(link)
                steps.append(maybeDeferred(self._links.apply, link, after))
                if self._rates is not None and self._links.filters.rates(link) != rates:
                    steps.append(self._rates.settled(link))

        def applied(_: Any) -> Any:
            return DeferredList(steps, consumeErrors=True)

        def over(results: list[tuple[bool, Any]]) -> None:
            failures = [result for good, result in results if not good]
            if failures:
                for link, before, after in done:
                    if link.authorization is after and not link.ended:
                        maybeDeferred(self._links.apply, link, before).addErrback(lambda _: None)
                self.refuse(output, RESOURCES_UNAVAILABLE, failures[0].getErrorMessage())
                return
            for link in links:
                self._limit(link, changes)
            self.say(output, links, changes.text())
            self.acknowledge(output)

        def failed(failure: Any) -> None:
            _log.failure("change of links", failure=failure)
            self.refuse(output, RESOURCES_UNAVAILABLE, "internal error")

        self._links.for_all(links, change).addCallback(applied).addCallback(over).addErrback(failed)

    def _limit(self, link: PPPLink, changes: Changes) -> None:
        if link.ended:
            return
        self._links.limit(link, changes.session_timeout, changes.idle_timeout)
