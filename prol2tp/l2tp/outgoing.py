"""Outgoing calls: the LNS asks with OCRQ (RFC 2661 section 7.5).

    LAOC   our LAC's side       IDLE -> [WAIT_ADMIT] -> WAITCSANSWER -> ESTABLISHED
    LNOC   our LNS's side       IDLE -> WAITTUNNEL -> WAITREPLY -> WAITCONNECT -> [WAIT_DATAPATH] -> ESTABLISHED

The bearer of the LAC's side is its data path: it is up when the data path is open.
"""

from __future__ import annotations

from typing import Any

from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.messages import OCRP
from prol2tp.l2tp.session import Event, Session, State
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.l2tp.table import table

IDLE, WAITTUNNEL, WAITREPLY, WAITCONNECT = State.IDLE, State.WAITTUNNEL, State.WAITREPLY, State.WAITCONNECT
WAITCSANSWER, ESTABLISHED = State.WAITCSANSWER, State.ESTABLISHED
WAIT_ADMIT, WAIT_DATAPATH = State.WAIT_ADMIT, State.WAIT_DATAPATH


class LAOC(Session):
    """Section 7.5.1: LAC outgoing call."""

    __slots__ = ()

    NAME = "LAOC"
    lns = False
    outgoing_call = True
    origin = "net"
    EVENTS = {"OCRQ": Event.OCRQ, "OCRP": Event.OCRP, "OCCN": Event.OCCN, "CDN": Event.CDN}
    ADMITTED = Event.OCRQ_ACCEPT
    REFUSED = Event.OCRQ_DENY
    PATH_OPENED = Event.BEARER_UP
    PATH_FAILED = Event.BEARER_DOWN

    def take_ocrq(self, message: Any, now: float) -> None:
        self.peer_message = message
        self.tunnel.version.requested(self, message)
        self.peer_session_id = message.assigned_session_id
        self.call_serial_number = message.call_serial_number
        self.ask_admission(message, now)

    def send_ocrp(self, settings: SessionSettings, now: float) -> None:
        self.settings = settings
        self.open_data_path()
        self.send(self.tunnel.version.ocrp(self), now)

    def send_occn(self, message: Any, now: float) -> None:
        self.send(self.tunnel.version.occn(self), now)
        self.report_up(message, now)

    TABLE = table([
        # states, events, action, new state
        ((IDLE,), (Event.OCRQ,), take_ocrq, WAIT_ADMIT),
        ((IDLE,), (Event.OCRP, Event.OCCN, Event.CDN), None, IDLE),
        ((WAIT_ADMIT,), (Event.OCRQ_ACCEPT,), send_ocrp, WAITCSANSWER),
        ((WAIT_ADMIT,), (Event.OCRQ_DENY,), Session.send_cdn, IDLE),
        ((WAITCSANSWER,), (Event.BEARER_UP,), send_occn, ESTABLISHED),
        ((WAITCSANSWER,), (Event.BEARER_DOWN,), Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCSANSWER), (Event.OCRQ, Event.OCRP, Event.OCCN, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((ESTABLISHED,), (Event.OCRQ, Event.OCRP, Event.OCCN, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCSANSWER, ESTABLISHED), (Event.CDN,), Session.clean_up, IDLE),
        ((ESTABLISHED,), (Event.BEARER_DOWN,), Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCSANSWER, ESTABLISHED), (Event.CLOSE_REQ,), Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCSANSWER, ESTABLISHED), (Event.XPRT_DOWN,), Session.clean_up, IDLE),
    ])


class LNOC(Session):
    """Section 7.5.2: LNS outgoing call."""

    __slots__ = ()

    NAME = "LNOC"
    lns = True
    outgoing_call = True
    origin = "local"
    EVENTS = {"OCRQ": Event.OCRQ, "OCRP": Event.OCRP_ACCEPT, "OCCN": Event.OCCN, "CDN": Event.CDN}
    DENIED = {OCRP.number: Event.OCRP_DENY}
    TUNNEL_OPENED = Event.TUNNEL_OPEN

    def judge(self, event: Event, message: Any) -> tuple[Event, Cause | None]:
        expected = {WAITREPLY: Event.OCRP_ACCEPT, WAITCONNECT: Event.OCCN}.get(self.state)  # type: ignore[call-overload]
        if event is not expected:
            return event, self.out_of_place(message)
        if event is not Event.OCRP_ACCEPT:
            fault = self.tunnel.version.confirmed(self, message)
            return (Event.UNEXPECTED, fault) if fault else (event, None)
        fault = self.wrong_peer_id(message.assigned_session_id) or self.tunnel.version.replied(self, message)
        return (Event.OCRP_DENY, fault) if fault else (event, None)

    def send_ocrq(self, message: Any, now: float) -> None:
        self.call_serial_number = self.tunnel.context.call_serial_number()
        self.tunnel.version.start(self)
        self.send(self.tunnel.version.ocrq(self), now)

    def take_ocrp(self, message: Any, now: float) -> None:
        self.peer_session_id = message.assigned_session_id
        self.tunnel.calls.named(self)
        self.open_data_path()

    def take_occn(self, message: Any, now: float) -> None:
        self.connected_by(message, now)

    TABLE = table([
        # states, events, action, new state
        ((IDLE,), (Event.OPEN_REQ,), None, WAITTUNNEL),
        ((IDLE,), (Event.OCCN, Event.OCRP_ACCEPT, Event.OCRP_DENY, Event.CDN), None, IDLE),
        ((WAITTUNNEL,), (Event.TUNNEL_OPEN,), send_ocrq, WAITREPLY),
        ((WAITREPLY,), (Event.OCRP_ACCEPT,), take_ocrp, WAITCONNECT),
        ((WAITREPLY,), (Event.OCRP_DENY,), Session.send_cdn, IDLE),
        ((WAITREPLY,), (Event.OCCN, Event.OCRQ, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((WAITCONNECT,), (Event.OCCN,), take_occn, WAIT_DATAPATH),
        ((WAITCONNECT,), (Event.OCRQ, Event.OCRP_ACCEPT, Event.OCRP_DENY, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((WAITCONNECT,), (Event.DATAPATH_OPENED,), Session.path_opened, WAITCONNECT),
        ((WAIT_DATAPATH,), (Event.DATAPATH_OPENED,), Session.report_up, ESTABLISHED),
        ((WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.DATAPATH_FAILED,), Session.send_cdn, IDLE),
        ((WAITREPLY, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.CDN,), Session.clean_up, IDLE),
        ((WAIT_DATAPATH, ESTABLISHED), (Event.OCRQ, Event.OCRP_ACCEPT, Event.OCRP_DENY, Event.OCCN, Event.UNEXPECTED),
         Session.send_cdn, IDLE),
        ((WAITREPLY, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.CLOSE_REQ,), Session.send_cdn, IDLE),
        ((WAITTUNNEL,), (Event.CLOSE_REQ,), Session.clean_up, IDLE),
        ((WAITTUNNEL, WAITREPLY, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.XPRT_DOWN,), Session.clean_up, IDLE),
    ])
