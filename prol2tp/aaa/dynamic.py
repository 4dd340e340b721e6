"""Disconnect-Request and CoA-Request (RFC 5176) for the sessions of a daemon: who may ask is in a block
`dynamic_authorization`, and without it there is no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import Logger

from prol2tp.aaa.sessions import Names, SessionIndex
from prol2tp.config.dynamic import DynamicAuthorization as Settings
from prol2tp.config.radius import Radius
from prol2tp.net.radius import DynamicAuthorizationPort, MakeSocket, udp_socket
from prol2tp.radius.attributes import Nas
from prol2tp.radius.counters import DynamicCounters
from prol2tp.radius.dynauth import (
    CAUSE_NAMES,
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

_log = Logger(namespace="radius")

RETRY = 10.0
"""Seconds to the next try to listen where that failed."""


class DynamicServer:
    """Finds the sessions that a request is for. A subclass puts them into `index` and carries requests out.

    :param reactor: with clock and descriptors.
    :param wall: the time of day in seconds since 1970.
    :param log: has `notice`, `warning` and `error`.
    :param nas: who we are towards RADIUS.
    :param names_of: what names a session.
    """

    noun = "session"

    def __init__(self, reactor: Any, wall: Callable[[], float], log: Any, nas: Callable[[], Nas],
                 names_of: Callable[[Any], Names], make_socket: MakeSocket = udp_socket) -> None:
        self.index = SessionIndex(names_of)
        self._reactor = reactor
        self._log = log
        self._nas = nas
        self._settings: Settings | None = None
        self._sources: frozenset[str] = frozenset()
        """Addresses by which RADIUS servers know us."""
        self._retry: Any = None
        self._told: dict[Any, str] = {}
        self._core = DynamicAuthorization(())
        self._port = DynamicAuthorizationPort(reactor, self._core, wall, self._asked, make_socket, self._discarded)

    # of the subclass

    def know_all(self) -> None:
        """Requests are listened for from now on: put the sessions that there are into the index."""
        raise NotImplementedError

    def carry_out(self, output: Asked, sessions: list[Any]) -> None:
        """Answer by `acknowledge` or `refuse`, at once or later. May raise `Refused`."""
        raise NotImplementedError

    def label(self, session: Any) -> str:
        """For the log."""
        raise NotImplementedError

    def user(self, session: Any) -> str:
        """Whose it is, for the log."""
        raise NotImplementedError

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
                self.know_all()
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

    # requests

    def _discarded(self, output: Discarded) -> None:
        self._log.warning("Disconnect or CoA from {peer} dropped: {reason}", peer=output.peer[0],
                          reason=output.reason)

    def _asked(self, output: Asked) -> None:
        try:
            self.carry_out(output, self._named(output.request))
        except Refused as refused:
            self.refuse(output, refused.cause, refused.why)
        except Exception:
            _log.failure("request from {peer}", peer=output.request.client[0])
            self.refuse(output, RESOURCES_UNAVAILABLE, "internal error")

    def _named(self, request: DynamicRequest) -> list[Any]:
        """The sessions that a request is for. Raises `Refused`."""
        self._check_nas(request)
        sessions = self.index.find(request.session)
        if not sessions:
            raise Refused(SESSION_CONTEXT_NOT_FOUND)
        assert self._settings is not None
        if len(sessions) > 1 and self._settings.several_sessions == "refuse":
            raise Refused(MULTIPLE_SESSIONS, f"{len(sessions)} {self.noun}s fit")
        return sessions

    def _check_nas(self, request: DynamicRequest) -> None:
        """RFC 5176 section 3: NAS attributes, where there are any, have to mean us."""
        nas = self._nas()
        if request.nas_identifier and request.nas_identifier != nas.identifier:
            raise Refused(NAS_IDENTIFICATION_MISMATCH, f"NAS-Identifier {request.nas_identifier} is not ours")
        ours = {nas.ip_address, nas.ipv6_address, request.local[0], *self._sources}
        for address in (request.nas_ip_address, request.nas_ipv6_address):
            if address and address not in ours:
                raise Refused(NAS_IDENTIFICATION_MISMATCH, f"{address} is not ours")

    def refuse(self, output: Asked, cause: int, why: str = "") -> None:
        """The NAK."""
        text = CAUSE_NAMES.get(cause, str(cause)) + (f" ({why})" if why else "")
        self.say(output, [], f"refused: {text}")
        self._port.refuse(output.handle, cause)

    def acknowledge(self, output: Asked) -> None:
        """The ACK."""
        self._port.acknowledge(output.handle)

    def say(self, output: Asked, sessions: Sequence[Any], text: str) -> None:
        """A line of the log."""
        kind = "Disconnect" if output.request.disconnect else "CoA"
        if len(sessions) == 1:
            which = f"{self.label(sessions[0])}, user {self.user(sessions[0]) or '-'}: "
        else:
            which = f"{len(sessions)} {self.noun}s, the first is {self.label(sessions[0])}: " if sessions else ""
        self._log.notice("{kind} from {peer}: {which}{text}", kind=kind, peer=output.request.client[0],
                         which=which, text=text)
