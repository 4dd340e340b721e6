"""What events tell of a tunnel or a session: who and where it is, also when the protocol has forgotten it."""

from __future__ import annotations

from typing import Any

from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.datapath import PSEUDOWIRE_WORDS
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord


def tunnel(record: TunnelRecord) -> dict[str, Any]:
    """A `tunnel-event` record."""
    core = record.core
    settings = core.settings
    return {
        "handle": record.number,
        "tunnel_id": record.tunnel_id,
        "peer_tunnel_id": core.peer_tunnel_id,
        "name": settings.name if settings is not None else "",
        "profile": settings.profile_name if settings is not None else getattr(record.profile, "name", ""),
        "version": core.version.number,
        "encapsulation": "udp" if core.local[1] else "ip",
        "local": text(core.local),
        "peer": text(core.peer),
        "peer_host_name": core.peer_host_name,
    }


def session(record: SessionRecord) -> dict[str, Any]:
    """A `session-event` record."""
    above, core = record.tunnel.core, record.core
    settings = core.settings if core is not None else None
    wire = core.pseudowire if core is not None else None
    return {
        "handle": record.number,
        "tunnel_id": record.tunnel.tunnel_id,
        "session_id": record.session_id,
        "peer_tunnel_id": above.peer_tunnel_id,
        "peer_session_id": core.peer_session_id if core is not None else 0,
        "tunnel_name": above.settings.name if above.settings is not None else "",
        "name": settings.name if settings is not None else "",
        "profile": settings.profile_name if settings is not None else "",
        "pseudowire_profile": settings.pseudowire_profile_name if settings is not None else "",
        "type": PSEUDOWIRE_WORDS[wire.type] if wire is not None else "ppp",
        "interface": record.interface,
        "user": record.user,
        "local": text(above.local),
        "peer": text(above.peer),
    }
