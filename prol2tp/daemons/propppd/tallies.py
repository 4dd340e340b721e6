"""How long links took to come up, and why they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.common.tally import Histogram, Tally
from prol2tp.daemons.propppd.followers import Follower

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink


class Tallies(Follower):
    """Since the start of the daemon."""

    def __init__(self) -> None:
        self.setup = Histogram()
        """Seconds from the link's beginning to its first network protocol."""
        self.ends = Tally()
        """By Acct-Terminate-Cause."""

    def link_up(self, link: PPPLink) -> None:
        """Follower. Only of the first time: later ones are no set-up."""
        if not link.seconds_up:
            self.setup.observe(link.links.clock.seconds() - link.created_on)

    def link_ended(self, link: PPPLink) -> None:
        """Follower."""
        self.ends.add(link.cause)
