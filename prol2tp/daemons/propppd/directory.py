"""Links by their user: the question of everybody who calls the hotline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.daemons.propppd.followers import Follower

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink


class Directory(Follower):
    """A look-up costs what it finds."""

    def __init__(self) -> None:
        self._of_user: dict[str, dict[PPPLink, None]] = {}
        self._user_of: dict[PPPLink, str] = {}

    def link_admitted(self, link: PPPLink) -> None:
        """Follower: again when another user comes on the same link."""
        self.link_ended(link)
        if link.user:
            self._user_of[link] = link.user
            self._of_user.setdefault(link.user, {})[link] = None

    def link_ended(self, link: PPPLink) -> None:
        """Follower."""
        user = self._user_of.pop(link, None)
        if user is None:
            return
        links = self._of_user[user]
        del links[link]
        if not links:
            del self._of_user[user]

    def find(self, user: str) -> list[PPPLink]:
        """Links of the user, the oldest first."""
        return list(self._of_user.get(user, ()))
