"""One request from the question to its answer: when it is sent again (RFC 5080 section 2.2.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from prol2tp.radius import access, accounting
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.servers import Kind, Lane, Service

SLACK = 64
JITTER = 0.1
"""RAND is within plus and minus this."""


def interval(previous: float, first: float, largest: float, random_bytes: Callable[[int], bytes]) -> float:
    """The retransmission time after `previous` (0: the first): RT of RFC 5080 section 2.2.1."""
    rand = (int.from_bytes(random_bytes(2), "big") / 0xFFFF * 2 - 1) * JITTER
    wanted = first + rand * first if previous == 0 else 2 * previous + rand * previous
    return largest + rand * largest if wanted > largest else wanted


class Exchange:
    """State of one request. It holds an identifier for every packet of it that an answer may still come to."""

    __slots__ = (
        "handle", "record", "kind", "prefer", "group", "asked_at", "ends_at", "service", "tried", "sent_at", "tries",
        "interval", "sendings", "data", "delay", "state", "has_turn",
    )

    def __init__(
        self, handle: int, record: AccessRequest | AccountingRequest, prefer: str, now: float, duration: float
    ) -> None:
        self.handle = handle
        self.record = record
        self.kind: Kind = "auth" if isinstance(record, AccessRequest) else "acct"
        self.prefer = prefer
        self.group: list[Service] = []
        self.asked_at = now
        self.ends_at = now + duration
        self.service: Service | None = None
        self.tried: list[Service] = []
        self.sent_at = now
        """First transmission to `service`."""
        self.tries = 0
        """Transmissions to `service`."""
        self.interval = 0.0
        self.sendings: list[tuple[Lane, int]] = []
        self.data = b""
        self.delay = -1
        """Acct-Delay-Time of `data`."""
        self.state = "new"
        """new, queued (waits for its turn), parked (waits for an identifier), sent, over."""
        self.has_turn = False

    def delay_at(self, now: float) -> int:
        """Acct-Delay-Time (RFC 2866 section 5.2); an Access-Request has none."""
        record = self.record
        return int(record.delay + now - self.asked_at) if isinstance(record, AccountingRequest) else -1

    def encode(self, identifier: int, now: float, random_bytes: Callable[[int], bytes]) -> bytes:
        """Make `data` anew; gives its authenticator. Raises `ValueError`."""
        assert self.service is not None
        secret = self.service.settings.secret
        record = self.record
        if isinstance(record, AccountingRequest):
            self.delay = self.delay_at(now)
            self.data, authenticator = accounting.encode(record, self.delay, identifier, secret)
        else:
            authenticator = random_bytes(16)
            self.data = access.encode(record, identifier, authenticator, secret)
        return authenticator


class Line:
    """Requests of one kind: those under way are counted, the others wait."""

    __slots__ = ("waiting", "queued", "in_progress", "turning")

    def __init__(self) -> None:
        self.waiting: deque[Exchange] = deque()
        self.queued = 0
        self.in_progress = 0
        self.turning = False

    def forget_the_over(self) -> None:
        """Requests that were given up stay in the queue until they are more than those that wait."""
        if len(self.waiting) > 2 * self.queued + SLACK:
            self.waiting = deque(one for one in self.waiting if one.state == "queued")
