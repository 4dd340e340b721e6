"""How long tunnels and sessions took to come up, and why they ended."""

from __future__ import annotations

from typing import Any

from prol2tp.common.tally import Histogram, Tally


class Tallies:
    """Since the start of the daemon."""

    __slots__ = ("tunnel_setup", "session_setup", "tunnel_ends", "session_ends", "sessions_up")

    def __init__(self) -> None:
        self.tunnel_setup = Histogram()
        """Seconds from the first message to ESTABLISHED."""
        self.session_setup = Histogram()
        self.tunnel_ends = Tally()
        """By result and error code, in words."""
        self.session_ends = Tally()
        """By cause, in the words of Acct-Terminate-Cause."""
        self.sessions_up = 0
        """Now."""

    def setup(self) -> dict[str, Any]:
        """For ShowSystem."""
        return {"tunnels": self.tunnel_setup.record(), "sessions": self.session_setup.record()}

    def ends(self) -> dict[str, Any]:
        """For ShowSystem."""
        return {"tunnels": self.tunnel_ends.record(), "sessions": self.session_ends.record()}
