"""What the RADIUS cores have seen: totals since the start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    access_requests: int = 0
    """Sent, without retransmissions; again for each server."""
    access_accepts: int = 0
    access_rejects: int = 0
    access_challenges: int = 0
    accounting_starts: int = 0
    accounting_stops: int = 0
    accounting_updates: int = 0
    accounting_others: int = 0
    """Accounting-On, -Off, and of tunnels."""
    accounting_responses: int = 0
    retransmits: int = 0
    timeouts: int = 0
    """Requests that no server answered in time."""
    failovers: int = 0
    status_requests: int = 0
    status_answers: int = 0
    # datagrams that were dropped
    malformed: int = 0
    wrong_address: int = 0
    unknown_identifier: int = 0
    wrong_code: int = 0
    bad_authenticator: int = 0
    refused_here: int = 0
    """Requests that could not be sent: too long, or the queue full."""


@dataclass(slots=True)
class DynamicCounters:
    disconnect_requests: int = 0
    disconnect_responses: int = 0
    coa_requests: int = 0
    coa_responses: int = 0
    duplicates: int = 0
    # datagrams that were dropped
    malformed: int = 0
    unknown_client: int = 0
    bad_authenticator: int = 0
    outside_window: int = 0
    overload: int = 0

    @property
    def discards(self) -> int:
        """Datagrams that were dropped."""
        return (self.malformed + self.unknown_client + self.bad_authenticator + self.outside_window
                + self.overload)
