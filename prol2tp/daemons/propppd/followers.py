"""What hears of links: accounting, IPv6, dynamic authorization and others follow them, and the links know none of
these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger

from prol2tp.ppp.outputs import NetworkUp

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.authorization import Authorization
    from prol2tp.daemons.propppd.link import PPPLink

_log = Logger(namespace="propppd")


class Follower:
    """Hears of links what it overrides, in the order of these methods, each at once."""

    def link_created(self, link: PPPLink) -> None:
        """Before LCP starts."""

    def link_admitted(self, link: PPPLink) -> None:
        """The user was let in: `link.user`, `authorization` and `lease` are set, and no network protocol has started.
        Again when LCP was negotiated anew, even for another user."""

    def protocol_up(self, link: PPPLink, network: NetworkUp) -> None:
        """The interface is set up for 'ip' or 'ipv6', and packets can pass."""

    def link_up(self, link: PPPLink) -> None:
        """The first protocol is up; after its `protocol_up`."""

    def link_changed(self, link: PPPLink, before: Authorization) -> None:
        """`link.authorization` was replaced on a link that is online."""

    def addresses_changed(self, link: PPPLink) -> None:
        """`link.ipv6.given` is another one: a prefix was given or taken away, a client has leased something."""

    def link_closing(self, link: PPPLink) -> None:
        """We end the link: the last moment at which packets can go to the peer."""

    def protocol_down(self, link: PPPLink, protocol: str) -> None:
        """No packet of the protocol passes any more; also for one that was never up."""

    def link_down(self, link: PPPLink) -> None:
        """The last protocol is down; when the link ends, `link.cause` and `message` say why. It may come up again."""

    def link_ended(self, link: PPPLink) -> None:
        """It is over: `link.cause`, `message`; `user`, `authorization` and `lease` are still those it had."""

    def link_counted(self, link: PPPLink) -> None:
        """After the end: `link.totals` are the final counters, or () when the data path did not know them."""


class Followers:
    """All followers, in the order in which they hear. A fault of one is logged and costs the others nothing."""

    __slots__ = ("_told",)

    def __init__(self, followers: Sequence[Follower] = ()) -> None:
        self._told: dict[str, list[Callable[..., None]]] = {}
        for follower in followers:
            self.add(follower)

    def add(self, follower: Follower) -> None:
        for name in _METHODS:
            if getattr(type(follower), name) is not getattr(Follower, name):
                self._told.setdefault(name, []).append(getattr(follower, name))

    def tell(self, name: str, link: PPPLink, *arguments: object) -> None:
        """Call a method of `Follower` on all that override it."""
        for method in self._told.get(name, ()):
            try:
                method(link, *arguments)
            except Exception:
                _log.failure("{what} of {link}", what=name, link=link.name)


_METHODS = tuple(name for name, value in vars(Follower).items() if callable(value))
