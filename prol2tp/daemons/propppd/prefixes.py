"""IPv6 pools: which prefix or address a link gets, and who has which. Pure.

A pool gives out prefixes of one length; an address is a prefix of 128. Whatever its size, taking and giving back cost
the same. A user gets the prefix again that he had last; one who was never here gets the place in the pool that his name
leads to, so that it is the same after a restart too; both when it is free. A prefix that somebody has in or around
another one, from wherever, keeps that one out of the pools.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from itertools import accumulate

from prol2tp.daemons.propppd.addresses import ROOM, NoAddress, Pool, Range, chain, merged

BITS = 128
REMEMBERED = 100_000
"""Users of a pool whose last prefix is remembered."""

Networks = tuple[Sequence[IPv6Network], int]
"""What a pool consists of, and the length that it gives out."""


class NoPrefix(NoAddress):
    """The pools are used up, which `Prefixes` has said already."""


def units(networks: Iterable[IPv6Network], length: int) -> list[Range]:
    """First and last prefix of that length in each network, as numbers of `length` bits. Of addresses the first is left
    out: it is that of all routers (RFC 4291 section 2.6.1)."""
    shift = BITS - length
    ranges = []
    for network in networks:
        first, last = int(network.network_address) >> shift, int(network.broadcast_address) >> shift
        if length == BITS and network.prefixlen < BITS - 1:
            first += 1
        ranges.append((first, last))
    return ranges


class PrefixPool(Pool):
    """One pool; its numbers are prefixes without the bits behind `length`."""

    __slots__ = ("length", "remembered", "skipped", "_ends")

    def __init__(self, name: str, ranges: Iterable[Range], length: int) -> None:
        self.length = length
        self.remembered: OrderedDict[str, int] = OrderedDict()
        """The last prefix of users who are gone."""
        self.skipped = False
        """The walk has left out prefixes that may be free by now."""
        super().__init__(name, ranges)

    def resize(self, ranges: Iterable[Range]) -> None:
        super().resize(ranges)
        self._ends = list(accumulate(last - first + 1 for first, last in self._ranges))
        self.skipped = False

    def remember(self, user: str, number: int) -> None:
        if user and number in self:
            self.remembered[user] = number
            self.remembered.move_to_end(user)
            if len(self.remembered) > REMEMBERED:
                self.remembered.popitem(last=False)

    def wishes(self, user: str) -> list[int]:
        """The prefixes that the user should have rather than any other, best first."""
        if not user or not self._ends:
            return []
        index = int.from_bytes(blake2b(user.encode(), digest_size=16).digest(), "big") % self._ends[-1]
        at = bisect_right(self._ends, index)
        place = self._ranges[at][1] - (self._ends[at] - 1 - index)
        last = self.remembered.get(user)
        return [place] if last is None or last not in self else [last, place]


class Claim:
    """A prefix that somebody has; give it back with `Prefixes.release`."""

    __slots__ = ("number", "length", "owner", "user", "pool")

    def __init__(self, number: int, length: int, owner: Hashable, user: str, pool: PrefixPool | None) -> None:
        self.number = number
        self.length = length
        self.owner = owner
        self.user = user
        self.pool = pool

    @property
    def address(self) -> str:
        """The first address; of a claim of length 128 the only one."""
        return str(IPv6Address(self.number << BITS - self.length))

    @property
    def text(self) -> str:
        return f"{self.address}/{self.length}"

    def __repr__(self) -> str:
        return f"<Claim {self.text} of {self.owner}>"


class Prefixes:
    """All pools, and every prefix in use, from a pool or not.

    :param changed: hears of a pool whose `exhausted` has changed.
    """

    def __init__(self, changed: Callable[[PrefixPool], None] | None = None) -> None:
        self._changed = changed or (lambda pool: None)
        self.pools: dict[str, PrefixPool] = {}
        self.claims: dict[int, dict[int, Claim]] = {}
        """By length and number."""
        self.reserved: dict[int, set[int]] = {}
        """Never given out by a pool: users' own."""
        self._inside: dict[int, dict[int, int]] = {}
        """For each length of a pool: prefixes with longer ones of others in them, and how many of these."""

    def __len__(self) -> int:
        return sum(map(len, self.claims.values()))

    def configure(self, pools: Mapping[str, Networks], reserved: Iterable[IPv6Network],
                  following: Mapping[str, str] | None = None) -> None:
        """Take over a configuration: all pools, prefixes that they leave out, and which pool is asked after which.
        Pools that are gone give nothing out any more."""
        self.reserved = {}
        for network in reserved:
            number = int(network.network_address) >> BITS - network.prefixlen
            self.reserved.setdefault(network.prefixlen, set()).add(number)
        for name in self.pools.keys() - pools.keys():
            del self.pools[name]
        for name, (networks, length) in pools.items():
            ranges = units(networks, length)
            pool = self.pools.get(name)
            if pool is None or pool.length != length:
                self.pools[name] = PrefixPool(name, ranges, length)
            else:
                pool.resize(ranges)
            self.pools[name].next = (following or {}).get(name, "")
        self._recount()

    def _recount(self) -> None:
        self._inside = {pool.length: {} for pool in self.pools.values()}
        for length, held in [*self.claims.items(), *self.reserved.items()]:
            for number in held:
                self._count(number, length, 1)
        for pool in self.pools.values():
            pool.used, pool.reserved = 0, self._left_out(pool)
        for held in self.claims.values():
            for claim in held.values():
                claim.pool = self._pool_of(claim.number, claim.length)
                if claim.pool is not None:
                    claim.pool.used += 1
        for pool in self.pools.values():
            self._relieve(pool)

    def _pool_of(self, number: int, length: int) -> PrefixPool | None:
        """The pool that counts it as used."""
        if number in self.reserved.get(length, ()):
            return None
        return next((pool for pool in self.pools.values() if pool.length == length and number in pool), None)

    def _left_out(self, pool: PrefixPool) -> int:
        """How many of the pool's prefixes are reserved."""
        found: set[Range] = set()
        for length, numbers in self.reserved.items():
            for number in numbers:
                if length >= pool.length:
                    first = last = number >> length - pool.length
                else:
                    first = number << pool.length - length
                    last = first + (1 << pool.length - length) - 1
                for low, high in pool.ranges:
                    if first <= high and low <= last:
                        found.add((max(first, low), min(last, high)))
        return sum(last - first + 1 for first, last in merged(found))

    def take(self, names: Sequence[str], owner: Hashable, user: str = "") -> Claim:
        """A prefix out of the first of these pools, and of those that follow each, that has one. Raises `NoAddress`."""
        for pool in chain(self.pools, names):
            number = self._choose(pool, user)
            if number is not None:
                return self._claim(number, pool.length, owner, user, pool)
            pool.failures += 1
            if not pool.exhausted:
                pool.exhausted = True
                self._changed(pool)
        unknown = [name for name in names if name not in self.pools]
        if unknown:
            raise NoAddress(f"there is no ipv6_pool {unknown[0][:40]!r}")
        raise NoPrefix(f"no free prefix in ipv6_pool {' '.join(names)}")

    def _choose(self, pool: PrefixPool, user: str) -> int | None:
        length = pool.length
        for number in pool.wishes(user):
            if self.is_free(number, length):
                return number
        for _ in range(2):
            while (candidate := pool.candidate()) is not None:
                if self.is_free(candidate, length):
                    return candidate
            if not pool.skipped:
                return None
            pool.resize(pool.ranges)
        return None

    def claim(self, network: IPv6Network, owner: Hashable, user: str = "") -> Claim:
        """This very prefix. Raises `NoAddress` when somebody else has it, or one around it; `holder` says who."""
        length = network.prefixlen
        number = int(network.network_address) >> BITS - length
        holder = self.holder(network)
        if holder is not None and (holder.owner != owner or holder.length == length):
            raise NoAddress(f"{network} is in use")
        return self._claim(number, length, owner, user, self._pool_of(number, length))

    def holder(self, network: IPv6Network) -> Claim | None:
        """The claim on the prefix or the longest one around it."""
        address = int(network.network_address)
        for length in sorted(self.claims, reverse=True):
            if length <= network.prefixlen:
                found = self.claims[length].get(address >> BITS - length)
                if found is not None:
                    return found
        return None

    def is_free(self, number: int, length: int) -> bool:
        """Whether nobody has the prefix, one around it or one in it; the last is known for lengths of pools."""
        for other in (self.claims, self.reserved):
            for shorter, held in other.items():
                if shorter <= length and number >> length - shorter in held:
                    return False
        return number not in self._inside.get(length, ())

    def release(self, claim: Claim) -> None:
        """Give a prefix back. A second time does nothing."""
        held = self.claims.get(claim.length, {})
        if held.get(claim.number) is not claim:
            return
        del held[claim.number]
        if not held:
            del self.claims[claim.length]
        self._count(claim.number, claim.length, -1)
        if claim.pool is not None:
            claim.pool.used -= 1
            self._relieve(claim.pool)
        for pool in self.pools.values():
            if pool.length == claim.length:
                pool.returned(claim.number)
                pool.remember(claim.user, claim.number)
            elif pool.length < claim.length:
                pool.returned(claim.number >> claim.length - pool.length)
            else:
                pool.skipped = True

    def _claim(self, number: int, length: int, owner: Hashable, user: str, pool: PrefixPool | None) -> Claim:
        claim = Claim(number, length, owner, user, pool)
        if pool is not None:
            pool.used += 1
        self.claims.setdefault(length, {})[number] = claim
        self._count(number, length, 1)
        return claim

    def _relieve(self, pool: PrefixPool) -> None:
        if pool.exhausted and pool.free > pool.size // ROOM:
            pool.exhausted = False
            self._changed(pool)

    def _count(self, number: int, length: int, step: int) -> None:
        """One more or less of the prefixes within longer ones of pools."""
        for shorter, inside in self._inside.items():
            if shorter < length:
                around = number >> length - shorter
                inside[around] = inside.get(around, 0) + step
                if not inside[around]:
                    del inside[around]
