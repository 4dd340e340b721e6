"""IPv4 address pools: which address a user gets, and who has which. Pure.

A pool is a list of ranges, however large: taking and giving back cost the same for a /8 as for ten addresses.
Pools may be chained: the next is asked when one is used up. A change of the ranges leaves the addresses in use alone;
one outside the new ranges is not given out again. A pool that is used up says so once, until it has room again.

An address is one user's within a VRF. Two VRFs may have the same one when it is their users' own; a pool gives each of
its addresses to one user, wherever he is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import TypeVar

Range = tuple[int, int]
"""First and last address, as numbers."""
ROOM = 20
"""A pool that was used up has room again when one in this many of its addresses is free."""


class NoAddress(Exception):
    """There is none to give; the text says why."""


def merged(ranges: Iterable[Range]) -> list[Range]:
    """In order, without overlap."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


class Pool:
    """One pool."""

    __slots__ = ("name", "next", "size", "used", "reserved", "exhausted", "failures", "ending", "_ranges",
                 "_firsts", "_at", "_cursor", "_free")

    def __init__(self, name: str, ranges: Iterable[Range] = ()) -> None:
        self.name = name
        self.next = ""
        """Pool that is asked when this one is used up."""
        self.used = 0
        """Addresses of the ranges that somebody has."""
        self.reserved = 0
        """Addresses of the ranges that are not given out, not counted in `used`."""
        self.exhausted = False
        """It was used up, and has no room again yet."""
        self.failures = 0
        """Times that it had no address to give."""
        self.ending: OrderedDict[int, Lease] = OrderedDict()
        """Addresses of links that are over, whose interfaces wait to be removed."""
        self.resize(ranges)

    @property
    def free(self) -> int:
        return self.size - self.used - self.reserved

    def resize(self, ranges: Iterable[Range]) -> None:
        """Replace the ranges; they may overlap."""
        self._ranges = merged(ranges)
        self._firsts = [first for first, _ in self._ranges]
        self.size = sum(last - first + 1 for first, last in self._ranges)
        self._at = 0
        self._cursor = self._firsts[0] if self._firsts else 0
        # what was given back before is found again by the walk
        self._free: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, address: int) -> bool:
        index = bisect_right(self._firsts, address) - 1
        return index >= 0 and address <= self._ranges[index][1]

    @property
    def ranges(self) -> Sequence[Range]:
        return self._ranges

    def prefixes(self) -> list[str]:
        """The networks that cover the pool exactly: what to route to a shared interface."""
        return [str(network) for first, last in self._ranges
                for network in summarize_address_range(IPv4Address(first), IPv4Address(last))]

    def candidate(self) -> int | None:
        """The next address to try: each one once, then those given back, the longest unused first."""
        while self._at < len(self._ranges):
            first, last = self._ranges[self._at]
            if self._cursor <= last:
                self._cursor += 1
                return self._cursor - 1
            self._at += 1
            if self._at < len(self._ranges):
                self._cursor = self._ranges[self._at][0]
        return self._free.popitem(last=False)[0] if self._free else None

    def returned(self, address: int) -> None:
        """An address is free again, whoever gave it out. One that is still ahead of the walk is found there."""
        if address in self and (self._at >= len(self._ranges) or address < self._cursor):
            self._free[address] = None
            self._free.move_to_end(address)


AnyPool = TypeVar("AnyPool", bound=Pool)


def chain(pools: Mapping[str, AnyPool], names: Iterable[str]) -> Iterator[AnyPool]:
    """The pools of these names and those that follow each, every one once."""
    seen = set()
    for name in names:
        while (pool := pools.get(name)) is not None and name not in seen:
            seen.add(name)
            yield pool
            name = pool.next


class Lease:
    """An address that somebody has; give it back with `Addresses.release`."""

    __slots__ = ("address", "owner", "pool", "vrf")

    def __init__(self, address: int, owner: Hashable, pool: Pool | None, vrf: str = "") -> None:
        self.address = address
        self.owner = owner
        self.pool = pool
        self.vrf = vrf

    @property
    def text(self) -> str:
        address = self.address
        return f"{address >> 24}.{address >> 16 & 0xFF}.{address >> 8 & 0xFF}.{address & 0xFF}"


class Addresses:
    """All pools, and every address in use, from a pool or not.

    :param changed: hears of a pool whose `exhausted` has changed.
    """

    def __init__(self, changed: Callable[[Pool], None] | None = None) -> None:
        self.pools: dict[str, Pool] = {}
        self.leases: dict[int, Lease] = {}
        """Of users without a VRF."""
        self.tables: dict[str, dict[int, Lease]] = {"": self.leases}
        """By VRF: those of its users."""
        self.reserved: set[int] = set()
        """Never given out by a pool: users' own addresses and ours."""
        self._changed = changed or (lambda pool: None)
        self._spans: list[tuple[int, int, Pool]] = []
        """The ranges of all pools, which do not overlap, in order."""

    def configure(self, pools: Mapping[str, Iterable[Range]], reserved: Iterable[str],
                  following: Mapping[str, str] | None = None) -> None:
        """Take over a configuration: the ranges of all pools, addresses that they leave out, and which pool is asked
        after which. Pools that are gone give nothing out any more."""
        left_out = {int(IPv4Address(text)) for text in reserved}
        walk_again = not self.reserved <= left_out
        self.reserved = left_out
        for name in self.pools.keys() - pools.keys():
            del self.pools[name]
        for name, ranges in pools.items():
            pool = self.pools.get(name)
            ranges = merged(ranges)
            if pool is None:
                pool = self.pools[name] = Pool(name, ranges)
            elif walk_again or ranges != pool.ranges:
                pool.resize(ranges)
                pool.ending.clear()
            pool.next = (following or {}).get(name, "")
        self._count()

    def _count(self) -> None:
        self._spans = sorted(((first, last, pool) for pool in self.pools.values() for first, last in pool.ranges),
                             key=lambda span: span[0])
        for pool in self.pools.values():
            pool.used = pool.reserved = 0
        for address in self.reserved:
            if (found := self._pool_of(address)) is not None:
                found.reserved += 1
        for address in set().union(*self.tables.values()) - self.reserved:
            if (found := self._pool_of(address)) is not None:
                found.used += 1
        for pool in self.pools.values():
            self._relieve(pool)

    def _pool_of(self, address: int) -> Pool | None:
        index = bisect_right(self._spans, address, key=lambda span: span[0]) - 1
        return self._spans[index][2] if index >= 0 and address <= self._spans[index][1] else None

    def take(self, names: Sequence[str], owner: Hashable, vrf: str = "") -> Lease:
        """An address out of the first of these pools that has one. Raises `NoAddress`."""
        taken = self.tables.get(vrf, {})
        for pool in chain(self.pools, names):
            while (address := pool.candidate()) is not None:
                if address not in taken and address not in self.reserved:
                    return self._lease(address, owner, pool, vrf)
            ending = next((lease for lease in pool.ending.values()
                           if taken.get(lease.address, lease) is lease), None)
            if ending is not None:
                # its interface goes in a moment, and a user who cannot come in has waited for longer
                self.release(ending)
                return self._lease(ending.address, owner, pool, vrf)
            pool.failures += 1
            if not pool.exhausted:
                pool.exhausted = True
                self._changed(pool)
        unknown = [name for name in names if name not in self.pools]
        if unknown:
            raise NoAddress(f"there is no ip_pool {' '.join(map(repr, unknown))}")
        raise NoAddress(f"no free address in ip_pool {' '.join(names)}")

    def claim(self, text: str, owner: Hashable, vrf: str = "") -> Lease:
        """This very address (a user's own, or one that a server named). Raises `NoAddress` when it is in use there;
        `holder` says by whom."""
        address = int(IPv4Address(text))
        if address in self.tables.get(vrf, ()):
            raise NoAddress(f"address {text} is in use")
        return self._lease(address, owner, self._pool_of(address), vrf)

    def end(self, lease: Lease) -> None:
        """The link of a lease is over, but its interface is still there: the address is given out again last."""
        pool = self._pool_of(lease.address)
        if pool is not None and lease.address not in self.reserved and self._of(lease):
            pool.ending[lease.address] = lease

    def could_give(self, address: int, names: Sequence[str]) -> bool:
        """Whether one of these pools has the address to give."""
        return address not in self.reserved and any(address in pool for pool in chain(self.pools, names))

    def holder(self, text: str, vrf: str = "") -> Hashable | None:
        """Who has the address."""
        lease = self.tables.get(vrf, {}).get(int(IPv4Address(text)))
        return None if lease is None else lease.owner

    def any_within(self, prefix: str) -> bool:
        """Whether somebody has an address of a network. Looks at all: not for every day."""
        network = IPv4Network(prefix)
        first, last = int(network.network_address), int(network.broadcast_address)
        return any(first <= address <= last for table in self.tables.values() for address in table)

    def release(self, lease: Lease) -> None:
        """Give an address back. A second time does nothing."""
        address = lease.address
        if not self._of(lease):
            return
        del self.tables[lease.vrf][address]
        if lease.vrf and not self.tables[lease.vrf]:
            del self.tables[lease.vrf]
        # not the lease's own: the ranges may have moved since
        pool = self._pool_of(address)
        if pool is not None and pool.ending.get(address) is lease:
            del pool.ending[address]
        if pool is not None and not self._used(address):
            pool.returned(address)
            if address not in self.reserved:
                pool.used -= 1
                self._relieve(pool)

    def _relieve(self, pool: Pool) -> None:
        if pool.exhausted and pool.free > pool.size // ROOM:
            pool.exhausted = False
            self._changed(pool)

    def _of(self, lease: Lease) -> bool:
        """Whether it counts still."""
        return self.tables.get(lease.vrf, {}).get(lease.address) is lease

    def _used(self, address: int) -> bool:
        """Whether anybody has it, in whatever VRF."""
        return any(address in table for table in self.tables.values())

    def _lease(self, address: int, owner: Hashable, pool: Pool | None, vrf: str) -> Lease:
        if pool is not None and address not in self.reserved and not self._used(address):
            pool.used += 1
        table = self.tables.setdefault(vrf, {})
        table[address] = lease = Lease(address, owner, pool, vrf)
        return lease
