"""A session of a static tunnel (`static`): both ends are told its ids and cookies."""

from __future__ import annotations

from typing import Any

from prol2tp.l2tp.pseudowire import Pseudowire
from prol2tp.l2tp.session import Event, Session, State
from prol2tp.l2tp.table import table


class StaticSession(Session):
    """Up as long as its data path is open."""

    __slots__ = ()

    NAME = "STATIC"
    lns = False
    outgoing_call = False
    origin = "local"
    EVENTS = {}
    TUNNEL_OPENED = Event.TUNNEL_OPEN_IND

    def begin(self, message: Any, now: float) -> None:
        settings = self.settings
        self.peer_session_id = settings.peer_session_id
        both = settings.l2_sublayer or settings.data_sequencing != 0
        self.pseudowire = Pseudowire(
            settings.pseudowire, settings.remote_end_id, settings.cookie, both, settings.data_sequencing, 0, True,
            settings.peer_cookie, both, settings.data_sequencing, 0, True,
        )
        self.tunnel.calls.named(self)
        self.open_data_path()

    TABLE = table([
        # states, events, action, new state
        ((State.IDLE,), (Event.OPEN_REQ,), None, State.WAITTUNNEL),
        ((State.WAITTUNNEL,), (Event.TUNNEL_OPEN_IND,), begin, State.WAIT_DATAPATH),
        ((State.WAIT_DATAPATH,), (Event.DATAPATH_OPENED,), Session.report_up, State.ESTABLISHED),
        ((State.WAITTUNNEL, State.WAIT_DATAPATH, State.ESTABLISHED),
         (Event.CLOSE_REQ, Event.XPRT_DOWN, Event.DATAPATH_FAILED), Session.clean_up,
         State.IDLE),
    ])
