"""A record of accounting as the queue keeps it, and what every follower that makes such records needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from prol2tp.dataplane.interface import COUNTERS
from prol2tp.radius.accounting import AccountingRequest, from_record, to_record
from prol2tp.spool import order

START, INTERIM, STOP = "Start", "Interim-Update", "Stop"
KINDS = {START: order.START, INTERIM: order.INTERIM, STOP: order.STOP}
"""What the queue has to know of a record, by its Acct-Status-Type."""
LEAST_INTERVAL = 60.0
"""Seconds between Interim-Updates that a server can ask for at least (RFC 2869 section 5.16)."""
passed: Callable[[Sequence[Any]], tuple[int, ...]] = itemgetter(
    *map(COUNTERS.index, ("rx_octets", "tx_octets", "rx_packets", "tx_packets"))
)
"""Of a port's counters: what is accounted, from the subscriber first."""
_COUNTS = ("input_octets", "output_octets", "input_packets", "output_packets")
MOST_RECENT = 1024
_written = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

Append = Callable[[str, int, bytes, float], Any]
"""`AccountingQueue.append`."""


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


def boot_name() -> str:
    """The kernel's name for this boot; empty when it does not tell."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip().replace("-", "")[:16]
    return ""


def run_name(wall: Callable[[], float], random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """What Acct-Session-Ids begin with: no other run of the daemon has it.

    :param random_bytes: tells runs apart that begin at one time, as those of machines without a clock of their own.
    """
    return f"{int(wall()) & 0xFFFFFFFF:08x}{random_bytes(2).hex()}"


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
