"""Disconnect-Request and CoA-Request carried out on links (RFC 5176); who may ask is in the block
`dynamic_authorization` of propppd.conf, and without it there is no socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from prol2tp.config.dynamic import DynamicAuthorization as Settings
from prol2tp.config.radius import Radius
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.changes import Changes, changes_of
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.radius import RadiusUsers
from prol2tp.daemons.propppd.rates import Rates
from prol2tp.daemons.propppd.sessions import SessionIndex
from prol2tp.net.radius import DynamicAuthorizationPort, MakeSocket, udp_socket
from prol2tp.ppp.outputs import NetworkUp
from prol2tp.radius.counters import DynamicCounters
from prol2tp.radius.dynauth import (
    CAUSE_NAMES,
    INVALID_ATTRIBUTE_VALUE,
    MULTIPLE_SESSIONS,
    NAS_IDENTIFICATION_MISMATCH,
    RESOURCES_UNAVAILABLE,
    SESSION_CONTEXT_NOT_FOUND,
    DynamicAuthorization,
    DynamicClient,
    DynamicRequest,
    DynamicSettings,
    Refused,
)
from prol2tp.radius.outputs import Asked, Discarded

_log = Logger(namespace="propppd")

RETRY = 10.0
"""Seconds to the next try to listen where that failed."""


class DynamicRequests(Follower):
    """Ends and changes links on request.

    :param reactor: with clock and descriptors.
    :param users: knows who we are towards RADIUS, and the links' Acct-Session-Ids.
    :param rates: says whether a link has its rate limits.
    """

    def __init__(self, links: Links, users: RadiusUsers, reactor: Any, log: Log,
                 make_socket: MakeSocket = udp_socket, rates: Rates | None = None) -> None:
        self.index = SessionIndex(users.session_id)
        self._links = links
        self._users = users
        self._reactor = reactor
        self._log = log
        self._rates = rates
        self._settings: Settings | None = None
        self._sources: frozenset[str] = frozenset()
        """Addresses by which RADIUS servers know us."""
        self._retry: Any = None
        self._told: dict[Any, str] = {}
        self._core = DynamicAuthorization(())
        self._port = DynamicAuthorizationPort(reactor, self._core, links.wall, self._asked, make_socket,
                                              self._discarded)

    @property
    def counters(self) -> DynamicCounters:
        return self._core.counters

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where requests are listened for."""
        return self._port.addresses

    # configuration

    def configure(self, radius: Radius) -> None:
        """Take over a configuration. Sockets that stay lose nothing."""
        settings = radius.dynamic
        on = settings is not None and self._settings is None
        self._settings = settings
        self._sources = frozenset(server.source for server in radius.servers.values() if server.source)
        if settings is None:
            self._core.set_clients(())
            self.index.clear()
        else:
            self._core.set_clients([
                DynamicClient(str(client.network), client.secret.encode(), client.require_message_authenticator,
                              client.require_event_timestamp) for client in settings.clients.values()])
            self._core.settings = DynamicSettings(window=settings.window)
            if on:
                # links that came before
                self._links.for_all(self._links.by_number.values(), self._known)
        self._told.clear()
        self._listen()

    def stop(self) -> None:
        self._cancel()
        self._port.stop()

    def _cancel(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _listen(self) -> None:
        self._cancel()
        settings = self._settings
        addresses = [(address, settings.port) for address in settings.address] if settings is not None else []
        failed = self._port.listen(addresses, settings.device if settings is not None else "")
        for address, reason in failed.items():
            if self._told.get(address) != reason:
                self._told[address] = reason
                self._log.error("no Disconnect and CoA on {host} port {port}: {reason}", host=address[0],
                                port=address[1], reason=reason)
        if failed:
            self._retry = self._reactor.callLater(RETRY, self._again)

    def _again(self) -> None:
        self._retry = None
        self._listen()

    # links

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

    def _discarded(self, output: Discarded) -> None:
        self._log.warning("Disconnect or CoA from {peer} dropped: {reason}", peer=output.peer[0],
                          reason=output.reason)

    def _asked(self, output: Asked) -> None:
        request = output.request
        try:
            links = self._named(request)
            changes = None if request.disconnect else changes_of(request.changes)
            self._check_filters(links, changes)
        except Refused as refused:
            self._refuse(output, refused.cause, refused.why)
            return
        except Exception:
            _log.failure("request from {peer}", peer=request.client[0])
            self._refuse(output, RESOURCES_UNAVAILABLE, "internal error")
            return
        if changes is None:
            self._say(output, Level.NOTICE, links, "they end" if len(links) > 1 else "it ends")
            self._port.acknowledge(output.handle)
            self._links.for_all(links, lambda link: link.close("Admin Reset"))
        else:
            self._change(output, links, changes)

    def _named(self, request: DynamicRequest) -> list[PPPLink]:
        """The links that a request is for. Raises `Refused`."""
        self._check_nas(request)
        links = self.index.find(request.session)
        if not links:
            raise Refused(SESSION_CONTEXT_NOT_FOUND)
        assert self._settings is not None
        if len(links) > 1 and self._settings.several_sessions == "refuse":
            raise Refused(MULTIPLE_SESSIONS, f"{len(links)} links fit")
        return links

    def _check_nas(self, request: DynamicRequest) -> None:
        """RFC 5176 section 3: NAS attributes, where there are any, have to mean us."""
        nas = self._users.nas
        if request.nas_identifier and request.nas_identifier != nas.identifier:
            raise Refused(NAS_IDENTIFICATION_MISMATCH, f"NAS-Identifier {request.nas_identifier} is not ours")
        ours = {nas.ip_address, nas.ipv6_address, request.local[0], *self._sources}
        for address in (request.nas_ip_address, request.nas_ipv6_address):
            if address and address not in ours:
                raise Refused(NAS_IDENTIFICATION_MISMATCH, f"{address} is not ours")

    def _check_filters(self, links: Sequence[PPPLink], changes: Changes | None) -> None:
        """Names that stand for nothing, where the profile keeps out who has one."""
        if changes is None or "filters" not in changes.authorization:
            return
        for link in links:
            missing = self._links.filters.missing(changes.of(link.authorization), link.user)
            if missing and link.profile.unknown_filter == "refuse":
                raise Refused(INVALID_ATTRIBUTE_VALUE, f"there is no filter {missing[0][:80]!r}")

    def _refuse(self, output: Asked, cause: int, why: str = "") -> None:
        text = CAUSE_NAMES.get(cause, str(cause)) + (f" ({why})" if why else "")
        self._say(output, Level.NOTICE, [], f"refused: {text}")
        self._port.refuse(output.handle, cause)

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
                self._refuse(output, RESOURCES_UNAVAILABLE, failures[0].getErrorMessage())
                return
            for link in links:
                self._limit(link, changes)
            self._say(output, Level.NOTICE, links, changes.text())
            self._port.acknowledge(output.handle)

        def failed(failure: Any) -> None:
            _log.failure("change of links", failure=failure)
            self._refuse(output, RESOURCES_UNAVAILABLE, "internal error")

        self._links.for_all(links, change).addCallback(applied).addCallback(over).addErrback(failed)

    def _limit(self, link: PPPLink, changes: Changes) -> None:
        if link.ended:
            return
        self._links.limit(link, changes.session_timeout, changes.idle_timeout)

    def _say(self, output: Asked, level: Level, links: Sequence[PPPLink], text: str) -> None:
        kind = "Disconnect" if output.request.disconnect else "CoA"
        if len(links) == 1:
            which = f"{links[0].name}, user {links[0].shown_user or '-'}: "
        else:
            which = f"{len(links)} links, the first is {links[0].name}: " if links else ""
        self._log.emit(level, "{kind} from {peer}: {which}{text}", kind=kind, peer=output.request.client[0],
                       which=which, text=text)
