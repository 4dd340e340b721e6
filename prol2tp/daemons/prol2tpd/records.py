"""What the daemon knows of a tunnel and a session beyond the protocol core: data path, log level, PPP."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from prol2tp.control.paging import Roll
from prol2tp.daemons.logs import Level
from prol2tp.l2tp.session import Session
from prol2tp.l2tp.tunnel import Tunnel
from prol2tp.net.udp import ControlPort


class TunnelRecord:
    """One per tunnel of the core, from TunnelCreated to TunnelDeleted."""

    __slots__ = ("tunnel_id", "log_level", "port", "own_port", "handle", "waiting", "forgotten",
                 "profile", "instance", "sessions", "session_roll", "told", "up", "peer", "circuits", "core", "number",
                 "up_at", "announced")

    def __init__(self, tunnel_id: int, port: ControlPort | None, core: Tunnel) -> None:
        self.tunnel_id = tunnel_id
        self.core = core
        """The protocol's, which may have ended before we hear of it."""
        self.number = 0
        """Counts the tunnels of this run."""
        self.up_at = 0.0
        """When it came up, on the daemon's clock; 0: it has not."""
        self.log_level: Level | None = None
        """None: the system's."""
        self.port = port
        """Where its datagrams leave."""
        self.peer = ""
        """Its address, for the log: a tunnel whose peer is dead is gone from the core when that is known."""
        self.own_port = False
        """The port is this tunnel's alone and goes with it."""
        self.handle: int | None = None
        """Of the data path, once a session needed it."""
        self.waiting: list[Any] | None = None
        """Sessions to open when the handle comes; None: not asked yet."""
        self.forgotten: Deferred | None = None
        """Fires when the data path has let go of a tunnel that the core has deleted."""
        self.profile: Any = None
        self.instance: Any = None
        self.sessions: dict[int, SessionRecord] = {}
        self.session_roll = Roll()
        self.up = False
        self.circuits: tuple[Any, Any, dict[str, Any]] | None = None
        """The configuration, the profile around, and what serves each Remote End ID of it."""
        self.told = False
        """The log has the reason of its end already."""
        self.announced = False
        """The event of its creation was told."""

    @property
    def label(self) -> str:
        """For the log: id, and name where it has one."""
        return f'{self.tunnel_id} "{self.instance.name}"' if self.instance is not None else str(self.tunnel_id)


class SessionRecord:
    """One per session of the core, from SessionCreated to SessionDeleted."""

    __slots__ = ("tunnel", "session_id", "log_level", "profile", "instance", "port", "gone", "attached", "user",
                 "interface", "told", "claim", "core", "number", "up_at", "final", "taker", "accepted", "up",
                 "announced", "cause", "joined")

    def __init__(self, tunnel: TunnelRecord, session_id: int, core: Session | None) -> None:
        self.tunnel = tunnel
        self.session_id = session_id
        self.core = core
        """The protocol's; None: it ended before we heard of its beginning."""
        self.number = 0
        """Counts the sessions of this run."""
        self.up_at = 0.0
        """When it came up, on the daemon's clock; 0: it has not."""
        self.final: Deferred | None = None
        """Its last counters, once the data path was told to let go of it."""
        self.log_level: Level | None = None
        self.profile: Any = None
        self.instance: Any = None
        self.port = 0
        """Data path port; 0: none yet."""
        self.up = False
        self.gone = False
        """The core closed it while the data path was still opening it."""
        self.joined: SessionRecord | None = None
        """The other session of a tunnel switch."""
        self.taker: Any = None
        """Who has its frames, once it is up: the offers to proacd; None: propppd, if it has a `ppp_profile`."""
        self.attached = False
        """The taker was told, or is to be told, of it."""
        self.accepted = False
        """The taker has said that it takes it."""
        self.claim: tuple[str, dict[str, list[str]]] | None = None
        """PPP profile and options that a command of propppd gave a session without PPP."""
        self.cause = ""
        """Why those above have ended it; empty: they have not."""
        self.user = ""
        self.interface = ""
        self.told = False
        """The log has the reason of its end already."""
        self.announced = False
        """The event of its creation was told."""

    @property
    def label(self) -> str:
        """For the log: ids, and name where it has one."""
        return f'{self.key} "{self.instance.name}"' if self.instance is not None else self.key

    @property
    def key(self) -> str:
        """Its name between the daemons: TUNNEL/SESSION."""
        return f"{self.tunnel.tunnel_id}/{self.session_id}"
