"""What the access concentrator counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """As `proac_info -s` shows them, in its order. A packet that is invalid or a copy is counted as received too;
    a PADT for no session of its sender is invalid; a PADS that refuses is sent."""

    padi_received: int = 0
    invalid_padi_received: int = 0
    pado_sent: int = 0
    padr_received: int = 0
    invalid_padr_received: int = 0
    resent_padr_received: int = 0
    pads_sent: int = 0
    padt_received: int = 0
    invalid_padt_received: int = 0
    padt_sent: int = 0


@dataclass(slots=True)
class Discards:
    """Why good packets had no answer, and packets that are nobody's."""

    other_packets: int = 0
    """Not for an access concentrator, or of no known code."""
    other_destinations: int = 0
    other_vlans: int = 0
    denied_hosts: int = 0
    unknown_services: int = 0
    padi_over_rate: int = 0
    padi_over_limit: int = 0
    padi_over_load: int = 0
    padr_over_rate: int = 0
    padr_over_load: int = 0
    late_answers: int = 0
