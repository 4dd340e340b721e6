"""Filter-Ids, and the `filter` blocks that say what they stand for: rate limits, and sets of nftables."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred

from prol2tp.config.network import NftSet
from prol2tp.config.propppd import Filter, Profile
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.leftovers import ELEMENT, Leftovers
from prol2tp.dataplane.nftables import IFNAME, USABLE, Element, Kind, elements
from prol2tp.net.netlink import NetlinkError, allow

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.netif import Owner

MOST_TOLD = 1000
"""Unknown names that are logged; after that they are counted only."""


class Member(NamedTuple):
    """An element that is in a set for a link."""

    set: NftSet
    element: Element


class Found(NamedTuple):
    """The block of a Filter-Id, and the directions for which it counts."""

    block: Filter
    up: bool
    down: bool


class Filters:
    """All filters of the configuration.

    :param sets: an `ISets`.
    """

    def __init__(self, log: Log, sets: Any, leftovers: Leftovers) -> None:
        self.blocks: Mapping[str, Filter] = {}
        self.unknown = 0
        """Filter-Ids without a block, each time that a user came with one."""
        self.failures = 0
        """Elements that could not be put into a set or taken out."""
        self._log = log
        self._sets = sets
        self._leftovers = leftovers
        self._told: set[str] = set()
        self._kinds: dict[NftSet, Kind] = {}
        self._members: dict[Member, int] = {}
        """How many links want it."""

    def configure(self, blocks: Mapping[str, Filter]) -> None:
        """Take over a configuration; links follow it by `change`, and `put_again` is for all `members_now`."""
        self.blocks = blocks
        self._told.clear()
        self._kinds.clear()

    def members_now(self, nft: NftSet | None = None) -> list[Member]:
        """All that is in sets, or in one of them."""
        return [member for member in self._members if nft is None or member.set == nft]

    def made(self, nft: NftSet | None) -> list[Member]:
        """Somebody has made a set anew; None: any. -> whom to `put_again`."""
        if nft is None:
            self._kinds.clear()
        else:
            self._kinds.pop(nft, None)
        members = self.members_now(nft)
        if members:
            self._log.notice("nftables: {what} made anew, {count} elements are put in again",
                             what=f"set {nft} was" if nft is not None else "sets were", count=len(members))
        return members

    def put_again(self, member: Member) -> None:
        """Somebody may have emptied the set."""
        if member in self._members:
            self._put(member)

    def named(self, name: str) -> Found | None:
        """What a Filter-Id stands for: a block of that name, or with `.in` or `.out` after its name the direction from
        or to the user."""
        block = self.blocks.get(name)
        if block is not None:
            return Found(block, True, True)
        base, _, direction = name.rpartition(".")
        block = self.blocks.get(base) if direction in ("in", "out") else None
        return None if block is None else Found(block, direction == "in", direction == "out")

    def of(self, authorization: Authorization, profile: Profile) -> Iterator[Found]:
        """The filters of a user: his own, else those of the profile."""
        for name in authorization.filters or profile.filter:
            found = self.named(name)
            if found is not None:
                yield found

    def missing(self, authorization: Authorization, user: str) -> list[str]:
        """Filter-Ids of a user that stand for nothing: counted, and each is logged once."""
        names = [name for name in authorization.filters if self.named(name) is None]
        for name in names:
            self.unknown += 1
            if name not in self._told and len(self._told) < MOST_TOLD:
                self._told.add(name)
                self._log.warning("Filter-Id {name} of user {user}: there is no such filter in propppd.conf",
                                  name=repr(name[:80]), user=user)
        return names

    def rates(self, link: Owner) -> tuple[int, int]:
        """-> bit/s from the user and to the user, 0: not limited. The user's own limit comes first, then that of his
        filters, then the profile's; in each direction by itself."""
        authorization, profile = link.authorization, link.profile
        up, down = authorization.rate_up, authorization.rate_down
        if up is None or down is None:
            for found in self.of(authorization, profile):
                limit = found.block.rate_limit
                if limit is not None:
                    up = limit.up if up is None and found.up else up
                    down = limit.down if down is None and found.down else down
        profiles = profile.rate_limit or (0, 0)
        return profiles[0] if up is None else up, profiles[1] if down is None else down

    def members(self, link: Owner, device: str, prefixes: Iterable[str]) -> frozenset[Member]:
        """What has to be in which set for a link. Raises `NetlinkError` for a set that is not there when the profile
        has `unknown_filter refuse`.

        :param device: its own interface; empty: it shares one.
        :param prefixes: what is behind the peer.
        """
        found: set[Member] = set()
        outside = [prefix for prefix in prefixes if not prefix.startswith("fe80:")]
        for one in self.of(link.authorization, link.profile):
            for nft in one.block.nft_set:
                kind = self._kind(nft, link.profile)
                if kind is None:
                    continue
                if kind.type not in USABLE or kind == (IFNAME, True):
                    self._tell(f"set {nft} is of no type that users can be told apart by: ifname, ipv4_addr, ipv6_addr")
                elif kind.type == IFNAME and not device:
                    self._tell(f"set {nft} has names of interfaces, and {link.network.name} is shared by many users")
                found.update(Member(nft, element) for element in elements(kind, device, outside))
        return frozenset(found)

    def _kind(self, nft: NftSet, profile: Profile) -> Kind | None:
        kind = self._kinds.get(nft)
        if kind is None:
            try:
                kind = self._kinds[nft] = self._sets.kind(nft)
            except NetlinkError as error:
                self.failures += 1
                self._tell(error.text)
                if profile.unknown_filter == "refuse":
                    raise
        return kind

    def change(self, old: frozenset[Member], new: frozenset[Member]) -> list[Deferred[None]]:
        """A link has other members. -> what to wait for until it is in all of its sets."""
        waiting = []
        for member in new - old:
            count = self._members[member] = self._members.get(member, 0) + 1
            if count == 1:
                self._leftovers.put(*_entry(member))
                waiting.append(self._put(member))
        for member in old - new:
            self._members[member] -= 1
            if not self._members[member]:
                del self._members[member]
                # what somebody has taken out before, or with the whole set, is out
                self._sets.delete(*member).addErrback(allow, errno.ENOENT).addErrback(self._failed, member)
                self._leftovers.done(*_entry(member))
        return waiting

    def _put(self, member: Member) -> Deferred[None]:
        done: Deferred[None] = self._sets.add(*member)
        return done.addErrback(self._failed, member)

    def _failed(self, failure: Any, member: Member) -> None:
        failure.trap(NetlinkError)
        self.failures += 1
        self._kinds.pop(member.set, None)
        self._tell(f"set {member.set}: {failure.value.text}")

    def _tell(self, text: str) -> None:
        """Once, until the next configuration."""
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            self._log.error("nftables: {text}", text=text)


def _entry(member: Member) -> tuple[str, ...]:
    return ELEMENT, *member.set, member.element.key.hex(), member.element.end.hex()
