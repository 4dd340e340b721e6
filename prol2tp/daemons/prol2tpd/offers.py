"""Sessions of peers that proacd takes (tunnel switching, RFC 2661's LTS): those in tunnels of the profiles that it
serves.

They are offered as propppd is handed its own, and held as long while proacd is away. What was up before proacd said
that it serves the profile, and has no PPP, is offered then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.config.tunnels import PSEUDOWIRE_TYPES
from prol2tp.daemons.prol2tpd import avps
from prol2tp.daemons.prol2tpd.attach import Handed, attach_row, ppp_profile
from prol2tp.daemons.prol2tpd.records import SessionRecord

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.calls import Calls


class Offers(Handed):
    """Caller of OfferCalls. `plane` and `calls` are set when they are made."""

    DAEMON = "proacd"
    COMMAND, ARGUMENT = "OfferCalls", "calls"

    calls: Calls
    profiles: frozenset[str] = frozenset()
    """Names of the tunnel profiles that proacd serves."""

    def wants(self, record: SessionRecord) -> bool:
        """Whether a session that has just come up is to be offered: an incoming call of a peer that carries PPP."""
        profiles = self.profiles
        if not profiles or record.instance is not None:
            return False
        tunnel = self.plane.endpoint.tunnels[record.tunnel.tunnel_id]
        if tunnel.settings.profile_name not in profiles:
            return False
        core = tunnel.sessions[record.session_id]
        return core.lns and not core.outgoing_call and core.settings.pseudowire == PSEUDOWIRE_TYPES["ppp"]

    def session_up(self, record: SessionRecord) -> None:
        core = self.plane.endpoint.tunnels[record.tunnel.tunnel_id].sessions[record.session_id]
        record.user = avps.user(getattr(core.connect_message, "proxy_authen_name", None))
        super().session_up(record)

    def row(self, record: SessionRecord) -> dict[str, Any]:
        tunnel = self.plane.endpoint.tunnels[record.tunnel.tunnel_id]
        core = tunnel.sessions[record.session_id]
        group = getattr(core.connect_message, "private_group_id", None) or b""
        return {
            **attach_row(self.plane, record),
            "tunnel_profile": tunnel.settings.profile_name,
            "sub_address": getattr(core.peer_message, "sub_address", None) or "",
            "private_group_id": group.hex(),
        }

    def has(self, id: str) -> bool:
        record = self.by_key(id)
        return record is not None and record.taker is self and record.attached

    def withdraw(self, id: str) -> SessionRecord | None:
        """proacd ends a session: it is not told of any more."""
        record = self.by_key(id)
        if record is None or record.taker is not self:
            return None
        self.forget(record)
        return record

    # the connection

    def taken_over(self, connection: Any) -> None:
        """Another connection has the calls now; nothing is offered on it before it has said what it serves."""
        self.channel = None
        self.to_hand.clear()
        self.pending_since.clear()

    def serve(self, profiles: frozenset[str], known: set[str] | None) -> None:
        """Offer the sessions of these profiles that nobody has yet; end those that proacd had and does not know any
        more. `known`: ids of sessions that it has; None: it is as before."""
        self.profiles = profiles
        fresh = self.channel is None
        if fresh:
            self.connected(self.calls.connection)
        for record in self.plane.sessions_up():
            if record.taker is not self:
                if record.attached or ppp_profile(record) or not self.wants(record):
                    continue
                record.taker = self
            elif known is None and record.attached and (record.accepted or not fresh):
                continue
            elif known is not None and record.key in known:
                record.attached = record.accepted = True
                continue
            elif record.accepted:
                self.calls.end_later(record.key, "Lost Carrier", "proacd has forgotten the call")
                continue
            self.hand(record)

    def flush_now(self) -> None:
        # what has ended goes first: its id may come again in an offer
        self.calls.flush()
        super().flush_now()

    def gone(self, record: SessionRecord, cause: str, message: str) -> None:
        self.calls.offer_over(record, cause, message)

    def failed(self, record: SessionRecord, message: str) -> None:
        self.plane.ppp_closed(record, "Service Unavailable", message)

    def sessions(self) -> Any:
        return (record for record in self.plane.sessions_up() if record.taker is self)
