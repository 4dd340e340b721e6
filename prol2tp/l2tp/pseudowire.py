"""What the two ends of an L2TPv3 session have told each other about it (RFC 3931 section 5.4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Pseudowire:
    """Both halves: what we ask for in what we receive, and what the peer asks for."""

    type: int
    """Pseudowire Type."""
    remote_end_id: str
    """Of the ICRQ or OCRQ, whoever sent it."""
    cookie: bytes = field(default=b"", repr=False)
    sublayer: bool = False
    """We want the Default L2-Specific Sublayer."""
    sequencing: int = 0
    """Data Sequencing that we want."""
    mtu: int = 0
    """Interface MTU of ours; 0: not told."""
    active: bool = True
    """Our circuit is up."""
    peer_cookie: bytes = field(default=b"", repr=False)
    peer_sublayer: bool = False
    peer_sequencing: int = 0
    peer_mtu: int = 0
    peer_active: bool = False
    tie_breaker: bytes | None = None
