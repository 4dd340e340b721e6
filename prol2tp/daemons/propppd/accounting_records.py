"""One login on a link as accounting sees it, and what is told of it."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from prol2tp.aaa.records import Moment, count
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.ipv6 import NOTHING
from prol2tp.daemons.propppd.radius import port_of
from prol2tp.ppp.causes import acct_terminate_cause
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Addresses, Nas

_INTERFACE_ID = (1 << 64) - 1


class Session:
    """A user's session on a link, from his login to the next one or the end of the link."""

    __slots__ = ("link", "number", "id", "accounted", "user", "authorization", "addresses", "baseline",
                 "counters", "began", "told", "up_before", "down", "seconds", "updates", "soon")

    def __init__(self, link: Any, number: int, identifier: str, accounted: bool) -> None:
        self.link = link
        self.number = number
        """Of the sessions on this link before it."""
        self.id = identifier
        """Acct-Session-Id."""
        self.accounted = accounted
        self.authorization: Authorization = link.authorization
        self.user: str | bytes = self.authorization.user_name or link.user
        self.addresses = Addresses()
        """As known last."""
        self.baseline: tuple[int, ...] = ()
        """What had passed the port at the login: an earlier session's is not counted again."""
        self.counters: tuple[int, ...] = ()
        """The same as known last."""
        self.began: Moment | None = None
        """The network came up: there is, or will be, a Start."""
        self.told = False
        """The Start is in the queue."""
        self.up_before: float = link.seconds_up
        self.down: Moment | None = None
        """Since when no packets pass."""
        self.seconds = 0.0
        """Acct-Session-Time, when it is over."""
        self.updates = 0
        self.soon = False
        """An Interim-Update is due because something has changed, whatever the interval."""

    @property
    def open(self) -> bool:
        """It has a Start, and is not over."""
        return self.told and self.link.accounting is self and not self.link.ended

    @property
    def following(self) -> int:
        """The number of the session that the next login begins."""
        return self.number + (self.began is not None)

    def seconds_at(self, now: float) -> float:
        """How long packets could pass until now."""
        link = self.link
        return link.seconds_up - self.up_before + (now - link.up_since if link.up else 0.0)


def addresses_of(link: Any) -> Addresses:
    """What the subscriber has now."""
    interface, authorization = link.interface, link.authorization
    given = NOTHING if link.ipv6 is None else link.ipv6.given
    ip = interface.network("ip") if interface is not None else None
    six = interface.network("ipv6") if interface is not None else None
    subscriber = link.carrier.subscriber or link.profile.auth
    address = "" if ip is None else ip.peer if subscriber else ip.local
    identifier = "" if six is None else six.peer if subscriber else six.local
    return Addresses(
        address, authorization.netmask if address else "",
        int(IPv6Address(identifier)) & _INTERFACE_ID if identifier else None,
        given.prefixes, given.delegated, given.addresses,
    )


def differ(old: Addresses, new: Addresses) -> bool:
    """Whether a server should hear of it at once. An interface identifier alone says nothing about who had which
    address."""
    return (old.ip_address, old.ipv6_prefixes, old.delegated_ipv6_prefixes, old.ipv6_addresses) != (
        new.ip_address, new.ipv6_prefixes, new.delegated_ipv6_prefixes, new.ipv6_addresses)


def request_of(session: Session, status: str, event_time: float, nas: Nas, seconds: float | None = None,
               cause: str = "") -> AccountingRequest:
    """A record of a session; with `seconds` also the counters, with `cause` (a word of `ppp.causes`) of a Stop."""
    authorization = session.authorization
    request = AccountingRequest(
        status, session.id, int(event_time), user=session.user, authentic=authorization.source or "Local",
        classes=authorization.classes, chargeable_user_identity=authorization.chargeable_user_identity,
        filter_ids=authorization.filters, addresses=session.addresses, nas=nas, port=port_of(session.link),
    )
    if seconds is not None:
        request.session_time = int(seconds)
        count(request, session.counters, session.baseline)
    if cause:
        request.terminate_cause = acct_terminate_cause(cause)
    return request
