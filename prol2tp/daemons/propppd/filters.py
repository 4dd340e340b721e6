"""Filter-Ids, and the `filter` blocks that say what they stand for: rate limits, and sets of nftables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from prol2tp.config.propppd import Filter, Profile
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.authorization import Authorization

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink

MOST_TOLD = 1000
"""Unknown names that are logged; after that they are counted only."""


class Found(NamedTuple):
    """The block of a Filter-Id, and the directions for which it counts."""

    block: Filter
    up: bool
    down: bool


class Filters:
    """All filters of the configuration."""

    def __init__(self, log: Log) -> None:
        self.blocks: Mapping[str, Filter] = {}
        self.unknown = 0
        """Filter-Ids without a block, each time that a user came with one."""
        self._log = log
        self._told: set[str] = set()

    def configure(self, blocks: Mapping[str, Filter]) -> None:
        self.blocks = blocks
        self._told.clear()

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

    def rates(self, link: PPPLink) -> tuple[int, int]:
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
