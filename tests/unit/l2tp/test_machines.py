"""Every cell of the five tables: the legal ones go where RFC 2661 section 7 says, all others raise `IllegalEvent`."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.common.fsm import IllegalEvent, Machine
from prol2tp.l2tp import session as call
from prol2tp.l2tp import tunnel as control
from prol2tp.l2tp.incoming import LAIC, LNIC
from prol2tp.l2tp.outgoing import LAOC, LNOC

# state -> {new state: events}; "-" is the same state. Written from the RFC, apart from the tables.
CCE = {
    "IDLE": {"WAITCTLREPLY": "OPEN_REQ", "WAIT_ADMIT": "SCCRQ",
             "-": "SCCRP_ACCEPT SCCRP_DENY SCCCN_ACCEPT SCCCN_DENY"},
    "WAIT_ADMIT": {"WAITCTLCONN": "SCCRQ_ACCEPT", "IDLE": "XPRT_DOWN",
                   "CLOSING": "SCCRQ SCCRQ_DENY SCCRP_ACCEPT SCCCN_ACCEPT CLOSE_REQ STOPCCN"},
    "WAITCTLREPLY": {"ESTABLISHED": "SCCRP_ACCEPT", "IDLE": "LOSETIE XPRT_DOWN",
                     "CLOSING": "SCCRQ SCCRP_DENY SCCCN_ACCEPT CLOSE_REQ STOPCCN"},
    "WAITCTLCONN": {"ESTABLISHED": "SCCCN_ACCEPT", "IDLE": "XPRT_DOWN",
                    "CLOSING": "SCCRQ SCCRP_ACCEPT SCCCN_DENY CLOSE_REQ STOPCCN"},
    "ESTABLISHED": {"IDLE": "XPRT_DOWN", "CLOSING": "SCCRQ SCCRP_ACCEPT SCCCN_ACCEPT CLOSE_REQ STOPCCN"},
    "CLOSING": {"IDLE": "CLOSED XPRT_DOWN", "-": "SCCRQ SCCRP_ACCEPT SCCCN_ACCEPT CLOSE_REQ STOPCCN"},
}
LAC_INCOMING = {
    "IDLE": {"WAITTUNNEL": "OPEN_REQ INCALL_IND", "-": "ICCN ICRP_ACCEPT ICRP_DENY CDN"},
    "WAITTUNNEL": {"WAITREPLY": "TUNNEL_OPEN_IND", "IDLE": "ENDCALL_IND CLOSE_REQ XPRT_DOWN"},
    "WAITREPLY": {"WAIT_DATAPATH": "ICRP_ACCEPT",
                  "IDLE": "ICRP_DENY ICRQ UNEXPECTED CDN ICCN CLOSE_REQ ENDCALL_IND XPRT_DOWN"},
    "WAIT_DATAPATH": {"ESTABLISHED": "DATAPATH_OPENED",
                      "IDLE": "CDN ICRQ ICRP_ACCEPT ICRP_DENY ICCN UNEXPECTED ENDCALL_IND CLOSE_REQ XPRT_DOWN"},
    "ESTABLISHED": {"IDLE": "CDN ICRQ ICRP_ACCEPT ICRP_DENY ICCN UNEXPECTED ENDCALL_IND CLOSE_REQ XPRT_DOWN"},
}
LNS_INCOMING = {
    "IDLE": {"WAIT_ADMIT": "ICRQ", "-": "ICRP ICCN_ACCEPT ICCN_DENY CDN"},
    "WAIT_ADMIT": {"WAITCONNECT": "ICRQ_ACCEPT",
                   "IDLE": "ICRQ_DENY ICRQ ICRP ICCN_ACCEPT ICCN_DENY UNEXPECTED CDN CLOSE_REQ XPRT_DOWN"},
    "WAITCONNECT": {"WAIT_DATAPATH": "ICCN_ACCEPT", "-": "DATAPATH_OPENED",
                    "IDLE": "ICCN_DENY ICRQ ICRP UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
    "WAIT_DATAPATH": {"ESTABLISHED": "DATAPATH_OPENED",
                      "IDLE": "ICRQ ICRP ICCN_ACCEPT ICCN_DENY UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
    "ESTABLISHED": {"IDLE": "ICRQ ICRP ICCN_ACCEPT ICCN_DENY UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
}
LAC_OUTGOING = {
    "IDLE": {"WAIT_ADMIT": "OCRQ", "-": "OCRP OCCN CDN"},
    "WAIT_ADMIT": {"WAITCSANSWER": "OCRQ_ACCEPT",
                   "IDLE": "OCRQ_DENY OCRQ OCRP OCCN UNEXPECTED CDN CLOSE_REQ XPRT_DOWN"},
    "WAITCSANSWER": {"ESTABLISHED": "BEARER_UP",
                     "IDLE": "BEARER_DOWN OCRQ OCRP OCCN UNEXPECTED CDN CLOSE_REQ XPRT_DOWN"},
    "ESTABLISHED": {"IDLE": "OCRQ OCRP OCCN UNEXPECTED CDN BEARER_DOWN CLOSE_REQ XPRT_DOWN"},
}
LNS_OUTGOING = {
    "IDLE": {"WAITTUNNEL": "OPEN_REQ", "-": "OCCN OCRP_ACCEPT OCRP_DENY CDN"},
    "WAITTUNNEL": {"WAITREPLY": "TUNNEL_OPEN", "IDLE": "CLOSE_REQ XPRT_DOWN"},
    "WAITREPLY": {"WAITCONNECT": "OCRP_ACCEPT", "IDLE": "OCRP_DENY OCCN OCRQ UNEXPECTED CDN CLOSE_REQ XPRT_DOWN"},
    "WAITCONNECT": {"WAIT_DATAPATH": "OCCN", "-": "DATAPATH_OPENED",
                    "IDLE": "OCRQ OCRP_ACCEPT OCRP_DENY UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
    "WAIT_DATAPATH": {"ESTABLISHED": "DATAPATH_OPENED",
                      "IDLE": "OCRQ OCRP_ACCEPT OCRP_DENY OCCN UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
    "ESTABLISHED": {"IDLE": "OCRQ OCRP_ACCEPT OCRP_DENY OCCN UNEXPECTED DATAPATH_FAILED CDN CLOSE_REQ XPRT_DOWN"},
}
MACHINES: list[tuple[type[Machine], Any, dict[str, dict[str, str]]]] = [
    (control.Tunnel, control, CCE), (LAIC, call, LAC_INCOMING), (LNIC, call, LNS_INCOMING),
    (LAOC, call, LAC_OUTGOING), (LNOC, call, LNS_OUTGOING),
]


def cells() -> list[Any]:
    every = []
    for machine, words, expected in MACHINES:
        legal = {(state, event): (state if new == "-" else new)
                 for state, rows in expected.items() for new, events in rows.items() for event in events.split()}
        every += [pytest.param(machine, state, event, legal.get((state.name, event.name)),
                               id=f"{machine.NAME}-{state.name}-{event.name}")
                  for state in words.State for event in words.Event]
    return every


class Bare(Machine):
    """A machine with the table of another, and actions that only say that they ran."""

    __slots__ = ("ran",)

    def __init__(self, state: Any) -> None:
        super().__init__(state, 0.0)
        self.ran: list[Any] = []


@pytest.mark.parametrize(("machine", "state", "event", "new"), cells())
def test_every_cell_is_legal_and_right_or_raises(machine: type[Machine], state: Any, event: Any,
                                                 new: str | None) -> None:
    bare = Bare(state)
    bare.__class__ = type(  # the same table, its actions replaced
        "Bare", (Bare,), {"__slots__": (), "TABLE": {
            cell: row._replace(action=(lambda self, message, now, name=row.action.__name__: self.ran.append(name))
                               if row.action else None)
            for cell, row in machine.TABLE.items()}})
    if new is None:
        with pytest.raises(IllegalEvent):
            bare.fire(event, 5.0)
        assert bare.state is state and not bare.ran
        return
    bare.fire(event, 5.0)
    assert bare.state.name == new
    assert bare.state_since == (0.0 if bare.state is state else 5.0)


@pytest.mark.parametrize(("machine", "telling", "silent"), [
    (LAIC, "CLOSE_REQ ENDCALL_IND ICRQ", "CDN XPRT_DOWN"),
    (LNIC, "CLOSE_REQ ICRQ ICRP", "CDN XPRT_DOWN"),
    (LAOC, "CLOSE_REQ OCRQ OCRP OCCN", "CDN XPRT_DOWN"),
    (LNOC, "CLOSE_REQ OCRQ OCCN", "CDN XPRT_DOWN"),
])
def test_an_established_call_ends_with_a_cdn_unless_the_peer_or_the_tunnel_ended_it(
        machine: type[Machine], telling: str, silent: str) -> None:
    for names, action in ((telling, "send_cdn"), (silent, "clean_up")):
        for name in names.split():
            row = machine.TABLE[call.State.ESTABLISHED, call.Event[name]]
            assert row.action is not None and row.action.__name__ == action


def test_the_states_and_events_are_those_that_prol2tp_logs() -> None:
    assert {"IDLE", "WAITCTLREPLY", "WAITCTLCONN", "ESTABLISHED", "CLOSING"} <= {state.name for state in control.State}
    assert {event.name for event in control.Event} - {"SCCRQ", "CLOSED"} == {
        "OPEN_REQ", "SCCRQ_ACCEPT", "SCCRQ_DENY", "SCCRP_ACCEPT", "SCCRP_DENY", "LOSETIE", "SCCCN_ACCEPT", "SCCCN_DENY",
        "CLOSE_REQ", "STOPCCN", "XPRT_DOWN"}
