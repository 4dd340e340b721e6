"""How long the parts of a link's life may last: authentication, silence of the user, the whole session."""

from __future__ import annotations

from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED
from prol2tp.ppp.settings import Grant, LinkSettings

FAR = float("inf")


class Limits:
    """Deadlines of one link; `FAR`: none."""

    __slots__ = ("auth_at", "idle_at", "session_at", "warn_at", "idle_timeout", "session_timeout", "_settings")

    def __init__(self, settings: LinkSettings) -> None:
        self.auth_at = FAR
        self.idle_at = FAR
        self.session_at = FAR
        self.warn_at = FAR
        """The peer is told how long the session still lasts (Time-Remaining of RFC 1570)."""
        self.idle_timeout = settings.idle_timeout
        self.session_timeout = settings.session_timeout
        self._settings = settings

    def assign(self, grant: Grant) -> None:
        settings = self._settings
        self.idle_timeout = settings.idle_timeout if grant.idle_timeout is None else grant.idle_timeout
        self.session_timeout = settings.session_timeout if grant.session_timeout is None else grant.session_timeout

    def authenticating(self, now: float) -> None:
        """A peer that negotiates again without having proved itself gets no more time."""
        allowed = self._settings.auth_deadline
        self.auth_at = min(self.auth_at, now + allowed if allowed else FAR)

    def authenticated(self, now: float) -> None:
        """The session counts from the first time."""
        self.auth_at = FAR
        if self.session_timeout and self.session_at == FAR:
            self._end_session_at(now + self.session_timeout, now)
        if self.idle_timeout:
            self.idle_at = now + self.idle_timeout

    def limit_session(self, seconds: float, now: float) -> None:
        self.session_timeout = seconds
        self._end_session_at(now + seconds if seconds else FAR, now)

    def _end_session_at(self, when: float, now: float) -> None:
        self.session_at = when
        ahead = self._settings.time_remaining
        self.warn_at = max(now, when - ahead) if ahead and when != FAR else FAR

    def active(self, idle_seconds: float, now: float) -> None:
        if self.idle_timeout:
            self.idle_at = now - idle_seconds + self.idle_timeout

    def none(self) -> None:
        """The link is at its end, which has limits of its own."""
        self.auth_at = self.idle_at = self.session_at = self.warn_at = FAR

    def deadline(self) -> float:
        return min(self.auth_at, self.idle_at, self.session_at, self.warn_at)

    def warning(self, now: float) -> int | None:
        """Seconds left, when it is time to say so; None: it is not, or was said already."""
        if self.warn_at > now:
            return None
        self.warn_at = FAR
        return max(0, round(self.session_at - now))

    def expired(self, now: float, peer_owes: bool) -> tuple[str, str] | None:
        """Cause and message of the end, when one has come.

        :param peer_owes: it is the peer who has not authenticated itself yet.
        """
        if self.auth_at <= now:
            return PEER_FAILED if peer_owes else WE_FAILED, "authentication took too long"
        if self.session_at <= now:
            return "Session Timeout", ""
        if self.idle_at <= now:
            return "Idle Timeout", ""
        return None
