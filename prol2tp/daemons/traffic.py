"""Who moves how much: bits and packets a second of everything that has a port of the data path.

Counters are read in a walk, some ports at a time, which goes on only while somebody asks; what was measured is as old
as the last walk. Nothing is kept when nobody asks any more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from prol2tp.control.command import Invalid
from prol2tp.control.paging import Roll
from prol2tp.dataplane.interface import COUNTERS

AT_ONCE = 500
"""Ports that are read in one exchange."""
PAUSE = 0.1
"""Seconds between exchanges of a walk: 5000 ports a second."""
LEAST = 1.0
"""Seconds from one walk to the next at the least."""
LINGER = 30.0
"""Seconds after the last question for which walks go on."""
MOST = 100
"""Rows of a list that can be asked for."""
DEFAULT = 20
_COUNTED = tuple(COUNTERS.index(name) for name in ("rx_octets", "tx_octets", "rx_packets", "tx_packets"))


class Rates(NamedTuple):
    """Per second. rx is from the peer to us, as in the counters."""

    rx_bits: float
    tx_bits: float
    rx_packets: float
    tx_packets: float

    @property
    def bits(self) -> float:
        """Both ways: what the busiest are found by."""
        return self.rx_bits + self.tx_bits

    def __add__(self, other: Rates) -> Rates:  # type: ignore[override]
        return Rates(*(one + two for one, two in zip(self, other, strict=True)))

    def record(self) -> dict[str, float]:
        """Its fields, in whole bits and tenths of packets."""
        return {"rx_bits": round(self.rx_bits), "tx_bits": round(self.tx_bits),
                "rx_packets": round(self.rx_packets, 1), "tx_packets": round(self.tx_packets, 1)}


NOTHING = Rates(0.0, 0.0, 0.0, 0.0)
Measured = tuple[Any, Rates]
"""A thing, or a group of them, and its rates."""


class Traffic:
    """The walk and what it has found.

    :param roll: the things, in the order in which they came.
    :param port_of: the port of a key of the roll; 0: none.
    :param counters: reads ports, as `IDataPlane.counters`.
    :param group_of: what a key of the roll is part of; None: there are no groups.
    """

    def __init__(self, clock: IReactorTime, roll: Roll, port_of: Callable[[Any], int],
                 counters: Callable[[list[int]], Deferred[dict[int, tuple]]],
                 group_of: Callable[[Any], Hashable] | None = None) -> None:
        self._clock = clock
        self._roll = roll
        self._port_of = port_of
        self._counters = counters
        self._group_of = group_of
        self._until = 0.0
        self._call: Any = None
        self._walking = False
        self._number = 0
        """Of the walk: an answer of one that was given up changes nothing."""
        self._began = 0.0
        self._forget()

    def _forget(self) -> None:
        self._before: dict[int, tuple[float, tuple[int, ...]]] = {}
        """Of the last walk, by port: when it was read, and the counters."""
        self.measured_at: float | None = None
        """On the clock; None: nothing is known yet."""
        self.took = 0.0
        self.total, self.measured = NOTHING, 0
        self.busiest: list[Measured] = []
        self.groups: list[Measured] = []

    def ask(self, limit: int | None = None) -> int:
        """Somebody wants to know: measure, from now on for a while. -> how many rows he gets. Raises `Invalid`."""
        limit = DEFAULT if limit is None else limit
        if not 0 < limit <= MOST:
            raise Invalid(f"limit: must be 1 to {MOST}")
        self._until = self._clock.seconds() + LINGER
        if not self._walking and self._call is None:
            self._begin()
        return limit

    def record(self) -> dict[str, Any]:
        """`traffic` of the control channel."""
        now = self._clock.seconds()
        return {"age": round(now - self.measured_at, 3) if self.measured_at is not None else None,
                "took": round(self.took, 3), "measured": self.measured, **self.total.record()}

    def stop(self) -> None:
        """No timer any more."""
        self._until = 0.0
        self._number += 1
        self._walking = False
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # the walk

    def _begin(self) -> None:
        self._call = None
        if self._clock.seconds() > self._until:
            self._forget()
            return
        self._walking = True
        self._number += 1
        self._began = self._clock.seconds()
        self._read: dict[int, tuple[float, tuple[int, ...]]] = {}
        self._sum, self._count = NOTHING, 0
        self._best: list[Measured] = []
        self._by_group: dict[Hashable, Rates] = {}
        self._page(0)

    def _page(self, serial: int) -> None:
        self._call = None
        page = list(islice(self._roll.after(serial), AT_ONCE))
        if not page:
            self._done()
            return
        ports = {port: key for _, key in page if (port := self._port_of(key))}
        following, number = page[-1][0], self._number
        if ports:
            self._counters(list(ports)).addCallbacks(
                self._counted, self._failed, callbackArgs=(ports, following, number), errbackArgs=(number,))
        else:
            self._call = self._clock.callLater(PAUSE, self._page, following)

    def _failed(self, _: object, number: int) -> None:
        """The data path is gone, or does not answer: what was measured is no longer true."""
        if number == self._number:
            self._walking = False
            self._forget()

    def _counted(self, found: dict[int, tuple], ports: dict[int, Any], following: int, number: int) -> None:
        if number != self._number:
            return
        now = self._clock.seconds()
        for port, row in found.items():
            self._one(port, ports[port], now, tuple(row[at] for at in _COUNTED))
        self._best = heapq.nlargest(MOST, self._best, key=_bits)
        self._call = self._clock.callLater(PAUSE, self._page, following)

    def _one(self, port: int, key: Any, now: float, counts: tuple[int, ...]) -> None:
        self._read[port] = now, counts
        before = self._before.get(port)
        if before is None or now <= before[0]:
            return
        time, old = before
        seconds = now - time
        rates = Rates((counts[0] - old[0]) * 8 / seconds, (counts[1] - old[1]) * 8 / seconds,
                      (counts[2] - old[2]) / seconds, (counts[3] - old[3]) / seconds)
        self._count += 1
        if not rates.bits > 0:
            return
        self._sum += rates
        self._best.append((key, rates))
        if self._group_of is not None:
            group = self._group_of(key)
            self._by_group[group] = self._by_group.get(group, NOTHING) + rates

    def _done(self) -> None:
        now = self._clock.seconds()
        self._walking = False
        if self._count or not self._read:
            self.measured_at, self.took = now, now - self._began
            self.total, self.measured, self.busiest = self._sum, self._count, self._best
            self.groups = heapq.nlargest(MOST, self._by_group.items(), key=_bits)
        self._before = self._read
        self._call = self._clock.callLater(max(PAUSE, self._began + LEAST - now), self._begin)


def _bits(measured: Measured) -> float:
    return measured[1].bits
