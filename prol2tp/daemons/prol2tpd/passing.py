"""What the ends of a call say of its line while it is up, passed on: from PPP to the LAC, and through a tunnel switch.

A switch (RFC 2661's LTS) has the LAC's session, of which it is the LNS, and a call to the next LNS, of which it is the
LAC. WEN and CSUN go on to the next LNS, SLI goes back to the LAC; CSURQ is answered by what the LAC has said last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.daemons.prol2tpd.records import SessionRecord
from prol2tp.l2tp import outputs, speeds
from prol2tp.l2tp.settings import SessionSettings

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane


class Passing:
    """Of one plane."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    # PPP here

    def negotiated(self, record: SessionRecord, send_accm: int, receive_accm: int) -> None:
        """LCP is open at propppd: a LAC with an asynchronous line has to know what to escape (section 4.4.6)."""
        if record.core is not None and record.core.lns:
            self._call(self._plane.endpoint.send_link_info, record, send_accm=send_accm, receive_accm=receive_accm)

    # a switch

    def prepare(self, source: SessionRecord | None, settings: SessionSettings) -> None:
        """What a call to the next LNS says that comes from the LAC's session."""
        if source is not None and source.core is not None:
            settings.call_serial_number = source.core.call_serial_number
            settings.speed_updates = bool(getattr(source.core.peer_message, "connect_speed_update_enable", False))

    def join(self, source: SessionRecord, call: SessionRecord) -> None:
        """The call of a LAC's session is up. What the LAC has said meanwhile goes first."""
        if source.core is None or self._plane.find(source.tunnel.tunnel_id, source.session_id) is not source:
            return  # it has ended meanwhile
        source.joined, call.joined = call, source
        if source.core.speeds is not None:
            self._speeds(source, call)

    def forget(self, record: SessionRecord) -> None:
        """A session is no more."""
        other, record.joined = record.joined, None
        if other is not None and other.joined is record:
            other.joined = None

    def link_info(self, record: SessionRecord, said: outputs.LinkInfoChanged) -> None:
        """SLI of the next LNS."""
        self._on(self._plane.endpoint.send_link_info, record, send_accm=said.send_accm, receive_accm=said.receive_accm,
                 last_sent=said.last_sent, last_received=said.last_received)

    def wan_errors(self, record: SessionRecord, said: outputs.WANErrors) -> None:
        """WEN of the LAC."""
        self._on(self._plane.endpoint.send_wan_errors, record, counters=said.counters)

    def speed_changed(self, record: SessionRecord) -> None:
        """CSUN of the LAC."""
        if record.joined is not None:
            self._speeds(record, record.joined)

    def _speeds(self, source: SessionRecord, call: SessionRecord) -> None:
        if source.core is not None and source.core.lns and call.core is not None:
            tx, rx = speeds.of(source.core)
            if call.core.settings.speed_updates:
                self._call(self._plane.endpoint.send_connect_speed, call, tx=tx, rx=rx)
            else:
                # the next LNS has not been told that it would hear, but may ask
                call.core.speeds = tx, rx

    def _on(self, say: Any, record: SessionRecord, **what: Any) -> None:
        if record.joined is not None:
            self._call(say, record.joined, **what)

    def _call(self, say: Any, to: SessionRecord, **what: Any) -> None:
        try:
            self._plane.driver.call(say, to.tunnel.tunnel_id, to.session_id, **what)
        except (ValueError, KeyError) as error:
            # it is about to end, or is not of the role that may say so
            self._plane.log.debug("session {session}: not passed on: {why}", session=to.key, why=str(error))
