"""The reliable control channel: Ns and Nr, windows, retransmission, acknowledgement (RFC 2661 section 5.8, appendix A).

It carries encoded message bodies and knows no messages. Its owner calls `receive`, `send` and `timeout`, then
`acknowledge`, then puts headers before what `outbox` holds: `(session_id, ns, nr, body)`, the body empty for a ZLB.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from prol2tp.l2tp.context import Counters
from prol2tp.l2tp.settings import TunnelSettings

ACK_DELAY = 0.005
"""Seconds that an acknowledgement waits for a message to ride on, and for others to share it: long enough for a burst
of calls, short enough for a peer whose window is still one message."""

DEFAULT_WINDOW = 4
"""The peer's receive window when it sends no Receive Window Size AVP (section 4.4.3)."""

ACK_AT_ONCE = DEFAULT_WINDOW
"""Messages that are acknowledged without delay: a peer that may send no more of them is waiting."""

QUEUE_LIMIT = 1 << 16
"""Messages that may wait for a peer which does not acknowledge: one for every possible call."""

_HALF = 1 << 15
_MASK = (1 << 16) - 1


class Channel:
    """One direction pair of a control connection.

    :ivar nr: the Ns that is expected next, sent as Nr.
    :ivar cwnd: congestion window in messages; never more than `tx_window`.
    :ivar tx_window: the smaller of the peer's receive window and our own bound.
    :ivar retries: retransmissions of the oldest unacknowledged message.
    :ivar heard: when anything last came from the peer.
    :ivar dead: the peer did not acknowledge in time, or let the queue grow without end.
    """

    __slots__ = (
        "settings", "counters", "nr", "cwnd", "ssthresh", "tx_window", "peer_window", "retries", "max_retries",
        "heard", "dead", "outbox",
        "_queue", "_una", "_sent", "_in_flight", "_grown", "_rto", "_retry_due", "_ack_due", "_owed", "_early",
    )

    def __init__(self, settings: TunnelSettings, counters: Counters, now: float) -> None:
        self.settings = settings
        self.counters = counters
        self.nr = 0
        self.cwnd = 1
        self.peer_window = DEFAULT_WINDOW
        self.tx_window = max(1, min(DEFAULT_WINDOW, settings.tx_window_size))
        self.ssthresh = self.tx_window
        self.retries = 0
        self.max_retries = settings.max_retries
        self.heard = now
        self.dead = False
        self.outbox: list[tuple[int, int, int, bytes]] = []
        self._queue: deque[tuple[int, bytes]] = deque()  # not yet acknowledged; the head has Ns `_una`
        self._una = 0
        self._sent = 0  # how many of the queue were ever sent: numbers that the peer may acknowledge
        self._in_flight = 0  # how many count against the window; fewer than _sent after a loss
        self._grown = 0  # acknowledgements since cwnd last grew, in congestion avoidance
        self._rto = settings.retry_timeout
        self._retry_due: float | None = None
        self._ack_due: float | None = None
        self._owed = 0  # messages delivered and not yet acknowledged
        self._early: dict[int, tuple[int, bytes]] = {}  # out of order, by Ns

    # what the owner sets

    def configure(self, settings: TunnelSettings) -> None:
        """Settings that became known only with the peer's name."""
        self.settings = settings
        self.max_retries = settings.max_retries
        self._rto = settings.retry_timeout
        self.set_peer_window(self.peer_window)

    def set_peer_window(self, size: int | None) -> None:
        """The peer's Receive Window Size AVP, or None where it sent none."""
        self.peer_window = DEFAULT_WINDOW if size is None else size
        self.tx_window = max(1, min(self.peer_window, self.settings.tx_window_size))
        self.ssthresh = self.tx_window
        self.cwnd = min(self.cwnd, self.tx_window)

    # what the owner reads

    @property
    def ns(self) -> int:
        """The Ns of the next new message, as a ZLB carries it."""
        return (self._una + self._sent) & _MASK

    @property
    def drained(self) -> bool:
        """Everything that was sent is acknowledged."""
        return not self._queue

    @property
    def settled(self) -> bool:
        """Everything is acknowledged, in both directions."""
        return not self._queue and self._ack_due is None

    @property
    def queued(self) -> int:
        return len(self._queue)

    def cycle(self) -> float:
        """A full retransmission cycle in seconds (section 5.7: how long a closed tunnel still answers)."""
        total, rto = 0.0, self.settings.retry_timeout
        for _ in range(self.settings.max_retries + 1):
            total += rto
            rto = min(rto * 2, self.settings.retry_cap)
        return total

    # sending

    def send(self, session_id: int, body: bytes, now: float) -> None:
        """Queue one message; it is sent as soon as the window allows."""
        self._queue.append((session_id, body))
        if len(self._queue) > QUEUE_LIMIT:
            self.dead = True
        if self._in_flight < self.cwnd:
            self._transmit(now)

    def drop_unsent(self) -> None:
        """Forget what was never sent: it has no number on the wire yet, and a closing tunnel has no use for it."""
        while len(self._queue) > self._sent:
            self._queue.pop()

    def stop(self) -> None:
        """Send and retransmit nothing more, only acknowledge: the peer has cleared the tunnel."""
        self._una = self.ns
        self._queue.clear()
        self._sent = self._in_flight = self.retries = 0
        self._retry_due = None

    def _transmit(self, now: float) -> None:
        queue, limit = self._queue, min(self.cwnd, len(self._queue))
        if self._in_flight >= limit:
            return
        while self._in_flight < limit:
            session_id, body = queue[self._in_flight]
            self.outbox.append((session_id, (self._una + self._in_flight) & _MASK, self.nr, body))
            self._in_flight += 1
            if self._in_flight > self._sent:
                self._sent = self._in_flight
            else:
                self.counters.retransmits += 1
        if self._retry_due is None:
            self._retry_due = now + self._rto
        self._ack_due = None
        self._owed = 0

    # receiving

    def receive(self, ns: int, nr: int, session_id: int, body: bytes, now: float) -> list[tuple[int, bytes]]:
        """Take one message off the wire; what can be delivered now, in order: `(session_id, body)`."""
        self.heard = now
        self._acknowledged(nr, now)
        if not body:  # a ZLB takes no number, so its Ns means nothing, and it is never answered
            self.counters.zlbs_received += 1
            return []
        ahead = (ns - self.nr) & _MASK
        if ahead == 0:
            return self._deliver(session_id, body, now)
        if ahead >= _HALF or ns in self._early:
            self.counters.duplicates += 1
            self._ack_due = now
        elif ahead < self.settings.rx_window_size:
            self.counters.out_of_order += 1
            self._early[ns] = (session_id, body)
            self._owe(now)
        else:
            self.counters.discards += 1
            self._owe(now)
        return []

    def _deliver(self, session_id: int, body: bytes, now: float) -> list[tuple[int, bytes]]:
        delivered = [(session_id, body)]
        self.nr = (self.nr + 1) & _MASK
        while self._early and (early := self._early.pop(self.nr, None)) is not None:
            delivered.append(early)
            self.nr = (self.nr + 1) & _MASK
        self._owed += len(delivered)
        if self._owed >= ACK_AT_ONCE or self._owed * 2 >= self.settings.rx_window_size:
            self._ack_due = now
        else:
            self._owe(now)
        return delivered

    def _owe(self, now: float) -> None:
        if self._ack_due is None:
            self._ack_due = now + ACK_DELAY

    def acknowledge(self, now: float) -> None:
        """Send the ZLB that is due, unless a message took the acknowledgement along."""
        if self._ack_due is not None and self._ack_due <= now:
            self.outbox.append((0, self.ns, self.nr, b""))
            self.counters.zlbs_sent += 1
            self._ack_due = None
            self._owed = 0

    def _acknowledged(self, nr: int, now: float) -> None:
        count = (nr - self._una) & _MASK
        if count == 0:
            return
        if count > self._sent:
            if count < _HALF:
                self.counters.bad_nr += 1
            return
        for _ in range(count):
            self._queue.popleft()
            self._grow()
        self._una = nr
        self._sent -= count
        self._in_flight = max(0, self._in_flight - count)
        self.retries = 0
        self._rto = self.settings.retry_timeout
        self._retry_due = now + self._rto if self._in_flight else None
        if self._queue:
            self._transmit(now)

    def _grow(self) -> None:
        if self.cwnd >= self.tx_window:
            return
        if self.cwnd < self.ssthresh:  # slow start
            self.cwnd += 1
            return
        self._grown += 1  # congestion avoidance: one more for a whole window that arrived
        if self._grown >= self.cwnd:
            self._grown = 0
            self.cwnd += 1

    # time

    def timeout(self, now: float) -> None:
        if self._retry_due is None or self._retry_due > now:
            return
        if self.retries >= self.max_retries:
            self.dead = True
            self._retry_due = None
            return
        if self.retries == 0:  # the same loss does not halve twice
            self.ssthresh = max(self.cwnd // 2, 1)
        self.retries += 1
        self.cwnd = 1
        self._grown = 0
        self._in_flight = 0
        self._rto = min(self._rto * 2, self.settings.retry_cap)
        self._retry_due = now + self._rto
        self._transmit(now)

    def deadline(self) -> float | None:
        retry, ack = self._retry_due, self._ack_due
        if retry is None:
            return ack
        return retry if ack is None or retry < ack else ack

    # record

    def to_record(self, now: float) -> dict[str, Any]:
        """Plain data; deadlines as seconds left."""
        return {
            "nr": self.nr, "cwnd": self.cwnd, "ssthresh": self.ssthresh,
            "tx_window": self.tx_window, "peer_window": self.peer_window,
            "retries": self.retries, "max_retries": self.max_retries, "dead": self.dead,
            "una": self._una, "sent": self._sent, "in_flight": self._in_flight, "grown": self._grown,
            "rto": self._rto, "owed": self._owed,
            "heard": self.heard - now,
            "retry_due": None if self._retry_due is None else self._retry_due - now,
            "ack_due": None if self._ack_due is None else self._ack_due - now,
            "queue": [[session_id, body.hex()] for session_id, body in self._queue],
            "early": [[ns, session_id, body.hex()] for ns, (session_id, body) in self._early.items()],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], settings: TunnelSettings, counters: Counters, now: float) -> Channel:
        channel = cls(settings, counters, now)
        for name in ("nr", "cwnd", "ssthresh", "tx_window", "peer_window", "retries", "max_retries", "dead"):
            setattr(channel, name, record[name])
        for name in ("una", "sent", "in_flight", "grown", "rto", "owed"):
            setattr(channel, "_" + name, record[name])
        channel.heard = now + record["heard"]
        channel._retry_due = None if record["retry_due"] is None else now + record["retry_due"]
        channel._ack_due = None if record["ack_due"] is None else now + record["ack_due"]
        channel._queue.extend((session_id, bytes.fromhex(body)) for session_id, body in record["queue"])
        channel._early = {ns: (session_id, bytes.fromhex(body)) for ns, session_id, body in record["early"]}
        return channel
