"""The daemon's state as the records of the control protocol (`control/commands/prol2tpd.py`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prol2tp import __version__
from prol2tp.config.tunnels import ETHERNET
from prol2tp.daemons.base import COPYRIGHT
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.attach import ppp_profile
from prol2tp.daemons.prol2tpd.datapath import PSEUDOWIRE_WORDS
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.dataplane.interface import COUNTERS

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane


class Status:
    def __init__(self, plane: Plane, config_file: str) -> None:
        self._plane = plane
        self._config_file = config_file
        self._started_at = time.time()

    def _created_at(self, created: float) -> float:
        """Seconds since 1970 of a moment of the monotonic clock."""
        return time.time() - (self._plane.clock.seconds() - created)

    def system(self) -> dict[str, Any]:
        plane = self._plane
        system = plane.config.system
        counters = plane.endpoint.counters
        return {
            "version": __version__,
            "copyright": COPYRIGHT,
            "listen": [text(port.listener.address) for port in plane.server_ports],
            "hostname": system.hostname or plane.admission.host_name,
            "router_id": plane.router_id(),
            "log_level": plane.log.level.name.lower(),
            "tunnels": len(plane.endpoint.tunnels),
            "sessions": plane.session_count,
            "tunnels_up": plane.established,
            "sessions_up": plane.tallies.sessions_up,
            "setup": plane.tallies.setup(),
            "ends": plane.tallies.ends(),
            "data_path": plane.path.name,
            "data_path_notes": list(plane.path.notes),
            "started_at": self._started_at,
            "config_file": self._config_file,
            "counters": counters.as_dict() if hasattr(counters, "as_dict") else {
                name: getattr(counters, name) for name in counters.__slots__},
        }

    def tunnel_row(self, record: TunnelRecord) -> dict[str, Any]:
        core = self._plane.endpoint.tunnels[record.tunnel_id]
        return {
            "tunnel_id": record.tunnel_id,
            "name": core.settings.name if core.settings is not None else "",
            "origin": origin(record),
            "state": core.state.name,
            "state_seconds": self._plane.clock.seconds() - core.state_since,
            "peer": text(core.peer),
            "sessions": len(core.sessions),
        }

    def tunnel(self, record: TunnelRecord) -> dict[str, Any]:
        core = self._plane.endpoint.tunnels[record.tunnel_id]
        channel = core.channel
        level = record.log_level if record.log_level is not None else self._plane.log.level
        return {
            **self.tunnel_row(record),
            "local": text(core.local),
            "created_at": self._created_at(core.created_at),
            "mode": mode(core, core.version.number),
            "version": core.version.number,
            "encapsulation": "udp" if core.local[1] else "ip",
            "log_level": level.name.lower(),
            "ns": channel.ns,
            "nr": channel.nr,
            "cwnd": int(channel.cwnd),
            "ssthresh": int(channel.ssthresh),
            "tx_window": channel.tx_window,
            "profile": core.settings.profile_name if core.settings is not None else "",
            "peer_tunnel_id": core.peer_tunnel_id,
            "peer_host_name": core.peer_host_name,
            "peer_vendor_name": core.peer_vendor_name,
        }

    def session_row(self, record: SessionRecord) -> dict[str, Any]:
        plane = self._plane
        tunnel = plane.endpoint.tunnels[record.tunnel.tunnel_id]
        core = tunnel.sessions[record.session_id]
        settings = core.settings
        return {
            "tunnel_id": record.tunnel.tunnel_id,
            "session_id": record.session_id,
            "tunnel_name": tunnel.settings.name if tunnel.settings is not None else "",
            "name": settings.name if settings is not None else "",
            "type": PSEUDOWIRE_WORDS[core.pseudowire.type] if core.pseudowire is not None else "ppp",
            "origin": origin(record),
            "state": core.state.name,
            "state_seconds": plane.clock.seconds() - core.state_since,
            "identifier": identifier(record, core),
            "interface": record.interface,
        }

    def traffic(self, limit: int | None) -> dict[str, Any]:
        """The answer of ShowTraffic. Raises `Invalid`."""
        traffic = self._plane.traffic
        most = traffic.ask(limit)
        tunnels = self._plane.endpoint.tunnels
        # some may have ended since they were measured
        busy = [(self.tunnel_row(record), rates) for record, rates in traffic.groups if record.tunnel_id in tunnels]
        found = [(self.session_row(record), rates) for record, rates in traffic.busiest
                 if (tunnel := tunnels.get(record.tunnel.tunnel_id)) and record.session_id in tunnel.sessions]
        return {
            "traffic": traffic.record(),
            "tunnels": [{**{name: row[name] for name in ("tunnel_id", "name", "peer", "sessions")}, **rates.record()}
                        for row, rates in busy[:most]],
            "sessions": [{**{name: row[name] for name in ("tunnel_id", "session_id", "identifier", "interface")},
                          "peer": text(tunnels[row["tunnel_id"]].peer), **rates.record()}
                         for row, rates in found[:most]],
        }

    def session(self, record: SessionRecord, counters: tuple[int, ...] | None) -> dict[str, Any]:
        plane = self._plane
        tunnel = plane.endpoint.tunnels[record.tunnel.tunnel_id]
        core = tunnel.sessions[record.session_id]
        settings = core.settings
        message = core.peer_message
        level = record.log_level
        if level is None:
            level = record.tunnel.log_level
        if level is None:
            level = plane.log.level
        return {
            **self.session_row(record),
            "created_at": self._created_at(core.created_at),
            "mode": mode(core, tunnel.version.number),
            "call": "outgoing" if core.outgoing_call else "incoming",
            "log_level": level.name.lower(),
            "peer_tunnel_id": tunnel.peer_tunnel_id,
            "peer_session_id": core.peer_session_id,
            "profile": settings.profile_name if settings is not None else "",
            "pseudowire_profile": settings.pseudowire_profile_name if settings is not None else "",
            "ppp_profile": ppp_profile(record),
            "user": record.user,
            "calling_number": getattr(message, "calling_number", None) or (settings and settings.calling_number) or "",
            "called_number": getattr(message, "called_number", None) or (settings and settings.called_number) or "",
            "send_sequence": bool(core.send_sequence),
            "receive_sequence": bool(core.receive_sequence),
            "circuit": circuit(core),
            "stats": dict(zip(COUNTERS, counters, strict=False)) if counters is not None else None,
        }


def mode(core: Any, version: int) -> str:
    """Our side: version 3 knows no LAC and LNS but for PPP's sake."""
    if version == 3:
        return "LCCE"
    return "LNS" if core.lns else "LAC"


def identifier(record: SessionRecord, core: Any) -> str:
    """PPP's user, or the circuit of an Ethernet session."""
    wire = core.pseudowire
    if wire is not None and PSEUDOWIRE_WORDS[wire.type] in ETHERNET:
        return str(wire.remote_end_id)
    return record.user or getattr(record.profile, "user_name", "") or ""


def circuit(core: Any) -> dict[str, Any] | None:
    """What version 3 has agreed on; of cookies only the length."""
    wire = core.pseudowire
    if wire is None:
        return None
    return {
        "remote_end_id": wire.remote_end_id, "active": wire.active, "peer_active": wire.peer_active,
        "cookie_length": len(wire.cookie), "peer_cookie_length": len(wire.peer_cookie),
        "sublayer": wire.sublayer, "peer_sublayer": wire.peer_sublayer, "mtu": wire.mtu,
    }


def origin(record: TunnelRecord | SessionRecord) -> str:
    """'net', 'config' or 'local'."""
    return record.instance.origin if record.instance is not None else "net"
