"""Lines for the trace of a tunnel, in ProL2TP's words. Called only when there is a trace."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

from prol2tp.l2tp.context import Trace

SECRET = frozenset({
    "challenge", "challenge_response", "proxy_authen_challenge", "proxy_authen_response",
    "initial_received_lcp_confreq", "last_sent_lcp_confreq", "last_received_lcp_confreq",
    "assigned_cookie",
})
"""AVPs of which only the length is shown."""


def event(trace: Trace, name: str, tunnel_id: int, session_id: int, event: Enum, old: Enum, new: Enum) -> None:
    label = f"FSM: {name}({tunnel_id}/{session_id})" if session_id else f"FSM: {name}({tunnel_id})"
    trace("fsm", tunnel_id, session_id, f"{label} event {event.name} in state {old.name}")
    if new is not old:
        trace("fsm", tunnel_id, session_id, f"{label} state change: {old.name} --> {new.name}")


def message(trace: Trace, direction: str, message: Any, tunnel_id: int, session_id: int) -> None:
    """One line for the message, one for each of its AVPs; the ids are ours."""
    name = type(message).__name__
    trace("message", tunnel_id, session_id, f"{direction} {name}")
    for field in fields(message):
        value = getattr(message, field.name)
        if value is None or value is False:
            continue
        if field.name in SECRET:
            value = f"{len(value)} octets"
        trace("avp", tunnel_id, session_id, f"{direction} {name}: {field.name} {value!r}")


def packet(trace: Trace, direction: str, tunnel_id: int, header_session_id: int, ns: int, nr: int, body: bytes) -> None:
    """One line for a datagram; the session id in its header is the receiver's."""
    what = f"session {header_session_id}, {len(body)} octets" if body else "ZLB"
    trace("transport", tunnel_id, 0, f"{direction} Ns {ns} Nr {nr}, {what}")
