"""One login on a link as accounting sees it, what is told of it, and how the queue keeps that."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from operator import itemgetter
from typing import Any, NamedTuple

from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.ipv6 import NOTHING
from prol2tp.daemons.propppd.radius import port_of
from prol2tp.dataplane.interface import COUNTERS
from prol2tp.ppp.causes import CAUSES
from prol2tp.radius.accounting import AccountingRequest, from_record, to_record
from prol2tp.radius.attributes import Addresses, Nas

START, INTERIM, STOP = "Start", "Interim-Update", "Stop"
NAS_ERROR = CAUSES["NAS Error"].acct_terminate_cause
passed: Callable[[Sequence[Any]], tuple[int, ...]] = itemgetter(
    *map(COUNTERS.index, ("rx_octets", "tx_octets", "rx_packets", "tx_packets"))
)
"""Of a port's counters: what is accounted, from the subscriber first."""
_COUNTS = ("input_octets", "output_octets", "input_packets", "output_packets")
MOST_RECENT = 1024
_INTERFACE_ID = (1 << 64) - 1
_written = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Moment(NamedTuple):
    """When something happened, by both clocks."""

    wall: float
    """Unix time."""
    monotonic: float


@dataclass(slots=True)
class Clocks:
    """The clocks by which the age of a record is known: of the wall (seconds since 1970), and of this boot of the
    system, which nobody sets."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    boot: str = ""
    """A name for this boot; empty: unknown."""

    def now(self) -> Moment:
        return Moment(self.wall(), self.monotonic())


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
        found = CAUSES.get(cause)
        request.terminate_cause = found.acct_terminate_cause if found is not None else NAS_ERROR
    return request


def count(request: AccountingRequest, counters: Sequence[int], baseline: Sequence[int]) -> None:
    """What passed the port since the baseline; nothing when that is not known. Both are of `passed`."""
    for name, now, before in zip(_COUNTS, counters, baseline or (0, 0, 0, 0), strict=False):
        setattr(request, name, max(0, now - before))


@dataclass(slots=True)
class Stored:
    """What the queue keeps of a record. `port`, `baseline` and `path` are for a daemon that finds a session without a
    Stop: the port, what had passed it at the login, and the data path process whose port it is."""

    request: AccountingRequest
    at: float
    """By the clock of that boot."""
    boot: str
    port: int = 0
    baseline: tuple[int, ...] = ()
    path: str = ""

    def age(self, clocks: Clocks) -> float:
        """Seconds since it happened. The wall clock is asked only across a reboot: it may have been set since."""
        if self.boot and self.boot == clocks.boot:
            return max(0.0, clocks.monotonic() - self.at)
        return max(0.0, clocks.wall() - self.request.event_timestamp)


def pack(stored: Stored) -> bytes:
    """The payload for the queue."""
    return _written({
        "at": round(stored.at, 3), "boot": stored.boot, "port": stored.port, "baseline": stored.baseline,
        "path": stored.path, "record": to_record(stored.request),
    }).encode()


def unpack(payload: bytes) -> Stored:
    """Of a payload. Raises `ValueError` for what `pack` cannot have given."""
    try:
        found = json.loads(payload)
        stored = Stored(from_record(found["record"]), float(found["at"]), str(found["boot"]), int(found["port"]),
                        tuple(map(int, found["baseline"])), str(found["path"]))
        if stored.request.problem() or not isinstance(stored.request.event_timestamp, int):
            raise ValueError(stored.request.problem() or "event_timestamp is no number")
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return stored


class Recent:
    """`pack` and `unpack` of records that are sent a moment after they were made: what is still known is not read
    again. The oldest is forgotten first."""

    __slots__ = ("_stored",)

    def __init__(self) -> None:
        self._stored: dict[bytes, Stored] = {}

    def pack(self, stored: Stored) -> bytes:
        """As `pack`."""
        payload = pack(stored)
        self._stored[payload] = stored
        if len(self._stored) > MOST_RECENT:
            del self._stored[next(iter(self._stored))]
        return payload

    def unpack(self, payload: bytes) -> Stored:
        """As `unpack`. A record that was given is forgotten: who changes it changes nobody else's."""
        return self._stored.pop(payload, None) or unpack(payload)
