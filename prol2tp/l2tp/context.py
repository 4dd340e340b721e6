"""What the machines of one endpoint share: where outputs go, counters, the trace, deadlines, the random source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from prol2tp.common.deadlines import Deadlines
from prol2tp.common.ids import IdPool
from prol2tp.l2tp.avptable import DisconnectCause
from prol2tp.l2tp.outputs import Output

Trace = Callable[[str, int, int, str], None]
"""`trace(kind, tunnel_id, session_id, text)`; kind 'fsm', 'message', 'avp' or 'transport'."""


class Cause(NamedTuple):
    """Why a tunnel or call ends: result and error code of section 4.4.2 and the text that goes with them."""

    result: int
    error: int = 0
    message: str = ""
    by_peer: bool = False
    disconnect: DisconnectCause | None = None
    """Of a call: why PPP ended (RFC 3145)."""


class Counters:
    """What the endpoint has seen, since it was made. Plain integers."""

    __slots__ = (
        "received", "sent", "data_messages", "bad_headers", "bad_versions", "unknown_tunnels", "wrong_sources",
        "unknown_sessions", "duplicate_requests", "bad_requests", "pending_refused", "pending_evicted", "lost_ties",
        "bad_avps", "missing_avps", "unknown_mandatory_avps", "unknown_messages", "illegal_events",
        "late_answers", "sessions_refused", "authentication_failures", "retry_timeouts", "establish_timeouts",
        "hellos_sent", "hellos_received", "retransmits", "duplicates", "out_of_order", "discards",
        "bad_nr", "zlbs_received", "zlbs_sent", "bad_digests",
        "tunnels_created", "tunnels_deleted", "sessions_created", "sessions_deleted",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    received: int
    sent: int
    data_messages: int
    bad_headers: int
    bad_versions: int
    unknown_tunnels: int
    wrong_sources: int
    unknown_sessions: int
    duplicate_requests: int
    bad_requests: int
    pending_refused: int
    pending_evicted: int
    lost_ties: int
    bad_avps: int
    missing_avps: int
    unknown_mandatory_avps: int
    unknown_messages: int
    illegal_events: int
    late_answers: int
    sessions_refused: int
    authentication_failures: int
    retry_timeouts: int
    establish_timeouts: int
    hellos_sent: int
    hellos_received: int
    retransmits: int
    duplicates: int
    out_of_order: int
    discards: int
    bad_nr: int
    zlbs_received: int
    zlbs_sent: int
    bad_digests: int
    tunnels_created: int
    tunnels_deleted: int
    sessions_created: int
    sessions_deleted: int

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Context:
    """Made once by the endpoint, held by every tunnel."""

    __slots__ = ("random_bytes", "trace", "linear_ids", "counters", "deadlines", "emitted", "emit", "pressed", "serial",
                 "session_ids")

    def __init__(self, random_bytes: Callable[[int], bytes], trace: Trace | None, linear_ids: bool) -> None:
        self.random_bytes = random_bytes
        self.trace = trace
        self.linear_ids = linear_ids
        self.counters = Counters()
        self.deadlines = Deadlines()
        """Owners: a tunnel by its id, a call that is not up yet by (tunnel id, session id)."""
        self.emitted: list[Output] = []
        self.emit: Callable[[Output], None] = self.emitted.append
        self.pressed = False
        """So many tunnels are half open that it looks like a flood."""
        self.serial = 0
        self.session_ids = IdPool(32, random_bytes, linear_ids)
        """Of version 3: a data message names no tunnel."""

    def call_serial_number(self) -> int:
        """Call Serial Number AVP (section 4.4.4): unique over all tunnels of ours."""
        self.serial = (self.serial + 1) & 0xFFFFFFFF
        return self.serial

    def drain(self) -> list[Any]:
        emitted = self.emitted
        if not emitted:
            return []
        outputs = emitted.copy()
        emitted.clear()
        return outputs
