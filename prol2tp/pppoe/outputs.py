"""What PPPoE discovery asks of its shell, in the order in which to carry it out.

Both cores use the same words: on the access concentrator `SessionKey.peer` is the host, on the host it is the access
concentrator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from prol2tp.pppoe.packets import Vlans
from prol2tp.pppoe.tags import Line


class SessionKey(NamedTuple):
    """Names a session: ids are unique per interface and peer, whatever the VLAN."""

    interface: str
    peer: bytes
    """MAC address."""
    session_id: int


@dataclass(slots=True)
class Transmit:
    """Send this Ethernet frame out of the interface. It is whole but for padding, VLAN tags included."""

    interface: str
    frame: bytes = field(repr=False)


@dataclass(slots=True)
class AskRoute:
    """A host wants a session. Answer `routed(key, now)` or `refused(key, now, error, message)`."""

    key: SessionKey
    vlans: Vlans
    service_name: str
    """The service that it gets; '' for any."""
    advertised: bool
    max_payload: int
    """The largest PPP payload: 1492, or what PPP-Max-Payload has settled (RFC 4638)."""
    line: Line | None


@dataclass(slots=True)
class SessionOpened:
    """PPP frames may pass."""

    key: SessionKey
    vlans: Vlans
    service_name: str
    max_payload: int
    ac_name: str = ""
    """Who the access concentrator says it is (host core only)."""


@dataclass(slots=True)
class SessionClosed:
    """The id is free again. Comes once for every `AskRoute` that was not refused, opened or not, and for every
    session that the host core opened."""

    key: SessionKey
    by_peer: bool
    message: str


@dataclass(slots=True)
class DiscoveryFailed:
    """The host core has no session and has stopped trying; `error` is the tag of a refusal (RFC 2516 appendix A)."""

    error: int | None
    message: str


Output = Transmit | AskRoute | SessionOpened | SessionClosed | DiscoveryFailed
