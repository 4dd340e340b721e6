"""Incoming calls: the LAC asks with ICRQ (RFC 2661 section 7.4).

    LAIC   our LAC's side       IDLE -> WAITTUNNEL -> WAITREPLY -> [WAIT_DATAPATH] -> ESTABLISHED
    LNIC   our LNS's side       IDLE -> [WAIT_ADMIT] -> WAITCONNECT -> [WAIT_DATAPATH] -> ESTABLISHED

The tables have the RFC's rows in its order; IDLE is both before the first event and after the last.
"""

from __future__ import annotations

from typing import Any

from prol2tp.l2tp.context import Cause
from prol2tp.l2tp.messages import ICCN, ICRP
from prol2tp.l2tp.session import Event, Session, State
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.l2tp.table import table

IDLE, WAITTUNNEL, WAITREPLY, WAITCONNECT = State.IDLE, State.WAITTUNNEL, State.WAITREPLY, State.WAITCONNECT
ESTABLISHED, WAIT_ADMIT, WAIT_DATAPATH = State.ESTABLISHED, State.WAIT_ADMIT, State.WAIT_DATAPATH


class LAIC(Session):
    """Section 7.4.1: LAC incoming call."""

    __slots__ = ()

    NAME = "LAIC"
    lns = False
    outgoing_call = False
    origin = "local"
    EVENTS = {"ICRQ": Event.ICRQ, "ICRP": Event.ICRP_ACCEPT, "ICCN": Event.ICCN, "CDN": Event.CDN}
    DENIED = {ICRP.number: Event.ICRP_DENY}
    TUNNEL_OPENED = Event.TUNNEL_OPEN_IND
    PATH_FAILED = Event.ENDCALL_IND

    def judge(self, event: Event, message: Any) -> tuple[Event, Cause | None]:
        if event is Event.ICRP_ACCEPT and self.state is WAITREPLY:
            fault = self.wrong_peer_id(message.assigned_session_id) or self.tunnel.version.replied(self, message)
            return (Event.ICRP_DENY, fault) if fault else (event, None)
        return event, self.out_of_place(message)

    def send_icrq(self, message: Any, now: float) -> None:
        self.call_serial_number = self.settings.call_serial_number or self.tunnel.context.call_serial_number()
        self.tunnel.version.start(self)
        self.send(self.tunnel.version.icrq(self), now)

    def send_iccn(self, message: Any, now: float) -> None:
        self.peer_session_id = message.assigned_session_id
        self.tunnel.calls.named(self)
        self.open_data_path()
        self.send(self.tunnel.version.iccn(self), now)

    TABLE = table([
        # states, events, action, new state
        ((IDLE,), (Event.INCALL_IND, Event.OPEN_REQ), None, WAITTUNNEL),
        ((IDLE,), (Event.ICCN, Event.ICRP_ACCEPT, Event.ICRP_DENY, Event.CDN), None, IDLE),
        ((WAITTUNNEL,), (Event.ENDCALL_IND, Event.CLOSE_REQ), Session.clean_up, IDLE),
        ((WAITTUNNEL,), (Event.TUNNEL_OPEN_IND,), send_icrq, WAITREPLY),
        ((WAITREPLY,), (Event.ICRP_ACCEPT,), send_iccn, WAIT_DATAPATH),
        ((WAITREPLY,), (Event.ICRP_DENY,), Session.send_cdn, IDLE),
        ((WAITREPLY,), (Event.ICRQ, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((WAITREPLY,), (Event.CDN, Event.ICCN), Session.clean_up, IDLE),
        ((WAITREPLY,), (Event.CLOSE_REQ, Event.ENDCALL_IND), Session.send_cdn, IDLE),
        ((WAIT_DATAPATH,), (Event.DATAPATH_OPENED,), Session.report_up, ESTABLISHED),
        ((WAIT_DATAPATH, ESTABLISHED), (Event.CDN,), Session.clean_up, IDLE),
        ((WAIT_DATAPATH, ESTABLISHED), (Event.ICRQ, Event.ICRP_ACCEPT, Event.ICRP_DENY, Event.ICCN, Event.UNEXPECTED),
         Session.send_cdn, IDLE),
        ((WAIT_DATAPATH, ESTABLISHED), (Event.ENDCALL_IND, Event.CLOSE_REQ), Session.send_cdn, IDLE),
        ((WAITTUNNEL, WAITREPLY, WAIT_DATAPATH, ESTABLISHED), (Event.XPRT_DOWN,), Session.clean_up, IDLE),
    ])


class LNIC(Session):
    """Section 7.4.2: LNS incoming call."""

    __slots__ = ()

    NAME = "LNIC"
    lns = True
    outgoing_call = False
    origin = "net"
    EVENTS = {"ICRQ": Event.ICRQ, "ICRP": Event.ICRP, "ICCN": Event.ICCN_ACCEPT, "CDN": Event.CDN}
    DENIED = {ICCN.number: Event.ICCN_DENY}
    ADMITTED = Event.ICRQ_ACCEPT
    REFUSED = Event.ICRQ_DENY

    def judge(self, event: Event, message: Any) -> tuple[Event, Cause | None]:
        if event is Event.ICCN_ACCEPT and self.state is WAITCONNECT:
            fault = self.tunnel.version.confirmed(self, message)
            return (Event.ICCN_DENY, fault) if fault else (event, None)
        return event, self.out_of_place(message)

    def take_icrq(self, message: Any, now: float) -> None:
        self.peer_message = message
        self.tunnel.version.requested(self, message)
        self.peer_session_id = message.assigned_session_id
        self.call_serial_number = message.call_serial_number
        self.ask_admission(message, now)

    def send_icrp(self, settings: SessionSettings, now: float) -> None:
        self.settings = settings
        self.open_data_path()
        self.send(self.tunnel.version.icrp(self), now)

    def take_iccn(self, message: Any, now: float) -> None:
        self.connected_by(message, now)

    TABLE = table([
        # states, events, action, new state
        ((IDLE,), (Event.ICRQ,), take_icrq, WAIT_ADMIT),
        ((IDLE,), (Event.ICRP, Event.ICCN_ACCEPT, Event.ICCN_DENY, Event.CDN), None, IDLE),
        ((WAIT_ADMIT,), (Event.ICRQ_ACCEPT,), send_icrp, WAITCONNECT),
        ((WAIT_ADMIT,), (Event.ICRQ_DENY,), Session.send_cdn, IDLE),
        ((WAITCONNECT,), (Event.ICCN_ACCEPT,), take_iccn, WAIT_DATAPATH),
        ((WAITCONNECT,), (Event.ICCN_DENY,), Session.send_cdn, IDLE),
        ((WAITCONNECT,), (Event.DATAPATH_OPENED,), Session.path_opened, WAITCONNECT),
        ((WAIT_ADMIT,), (Event.ICRQ, Event.ICRP, Event.ICCN_ACCEPT, Event.ICCN_DENY, Event.UNEXPECTED),
         Session.send_cdn, IDLE),
        ((WAITCONNECT,), (Event.ICRQ, Event.ICRP, Event.UNEXPECTED), Session.send_cdn, IDLE),
        ((WAIT_DATAPATH,), (Event.DATAPATH_OPENED,), Session.report_up, ESTABLISHED),
        ((WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.DATAPATH_FAILED,), Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.CDN,), Session.clean_up, IDLE),
        ((WAIT_ADMIT, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.CLOSE_REQ,), Session.send_cdn, IDLE),
        ((WAIT_DATAPATH, ESTABLISHED), (Event.ICRQ, Event.ICRP, Event.ICCN_ACCEPT, Event.ICCN_DENY, Event.UNEXPECTED),
         Session.send_cdn, IDLE),
        ((WAIT_ADMIT, WAITCONNECT, WAIT_DATAPATH, ESTABLISHED), (Event.XPRT_DOWN,), Session.clean_up, IDLE),
    ])
