"""Where a route leads: the question, its answer, and the form of it that the configuration answers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.route import Route

L2TP, PPP, REFUSED = "l2tp", "ppp", "refused"


@dataclass(slots=True)
class Destination:
    """An LNS that a route may lead to. Parameters are text, as in CreateTunnel and CreateSession of prol2tpd."""

    name: str
    """For logs and `drain`."""
    preference: int = 0
    """The lowest is tried first."""
    weight: int = 1
    """Share of the routes among those of the same preference."""
    tunnel: dict[str, str] = field(default_factory=dict, repr=False)
    """Parameters of a `tunnel` block. `{"name": ...}` alone: a tunnel of prol2tpd.conf. Has secrets."""
    session: dict[str, str] = field(default_factory=dict)
    """Parameters of a `session` block."""
    key: str = ""
    """Calls with the same key and tunnel parameters share a tunnel."""
    assignment_id: str = ""
    """Tunnel-Assignment-ID, where RADIUS gave one."""


@dataclass(slots=True)
class Choice:
    """The answer for one route."""

    kind: str
    """'l2tp', 'ppp' or 'refused'."""
    destinations: Sequence[Destination] = ()
    ppp_profile: str = ""
    proxy: dict[str, Any] | None = field(default=None, repr=False)
    """A proxy record (RFC 2661 section 4.4.5), as on the control channel."""
    user: str = ""
    class_: tuple[bytes, ...] = ()
    session_timeout: int = 0
    """Seconds that the route may last once it is joined; 0: for ever."""
    cause: str = ""
    """Of a refusal, a word of Acct-Terminate-Cause; empty: NAS Error."""
    message: str = ""
    """Of a refusal."""
    answer: Any = None
    """The `Answer` of RADIUS, where there was one."""


class IChoice(Protocol):
    """Who says where a route leads."""

    def choose(self, route: Route) -> Deferred[Choice]:
        """The Deferred is cancelled when the source goes away before it has fired. Who wants PPP frames of the source
        first opens it (`Source.open`), then takes them (`Source.frames`) and gives them back (`frames(None)`)."""

    def busy(self, config: Any) -> bool:
        """Routes of this `route` block had better be asked for again a little later."""


class StaticChoice:
    """The configuration says where (`IChoice`).

    :param choice_of: the choice for a `route` block.
    """

    def __init__(self, choice_of: Callable[[Any], Choice]) -> None:
        self._choice_of = choice_of

    def choose(self, route: Route) -> Deferred[Choice]:
        return succeed(self._choice_of(route.config))

    def busy(self, config: Any) -> bool:
        return False


class ChoiceByKind:
    """Asks who can answer for the kind of destination that a `route` block has (`IChoice`).

    :param choices: by class of the block's `destination`.
    """

    def __init__(self, choices: Mapping[type, IChoice]) -> None:
        self._choices = choices

    def choose(self, route: Route) -> Deferred[Choice]:
        return self._choices[type(route.config.destination)].choose(route)

    def busy(self, config: Any) -> bool:
        return self._choices[type(config.destination)].busy(config)
