"""What carries a link: an L2TP session of prol2tpd, a PPPoE session or a tty of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from prol2tp.dataplane.interface import COUNTERS
from prol2tp.ppp.hdlc import ALL
from prol2tp.ppp.lcp import LCP
from prol2tp.pppoe.packets import mac_text
from prol2tp.radius.dictionary import Key

NO_MAPS = (ALL, ALL)
"""Maps of control characters before LCP says anything else."""
CONNECT_DELAY = 1.0
"""Seconds that an LNS may take until it is ready for a call that is up."""


@dataclass(slots=True)
class Carrier:
    """What all kinds have. `record` is the kind's section of `propppctl show`; its fields are those of the record of
    the same name in `control/commands/propppd.py`."""

    kind: ClassVar[str]
    lcp: ClassVar[Mapping[str, Any]] = {}
    """Fields of the core's settings that this kind decides, whatever the profile says."""
    lcp_defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields that it decides when the profile does not."""

    counted: ClassVar[bool] = False
    """`record` has figures of the data path."""

    id: str
    """Unique among the links."""
    port: int
    """Of the data path; 0: not there yet, and the link has not started."""
    ppp_profile: str
    user_name: str = ""
    interface_name: str = ""
    mtu: int = 0
    """Largest PPP payload that it carries; 0: it sets no limit."""
    log_level: str = ""

    @property
    def ours(self) -> bool:
        """An access concentrator of this host has begun with the peer: what it says was negotiated, was."""
        return False

    @property
    def subscriber(self) -> bool:
        """The peer has come to us."""
        return False

    @property
    def connect_delay(self) -> float:
        """Seconds that we wait for the peer's first frame, so that our own does not come too early for it."""
        return 0.0

    @property
    def peer(self) -> str:
        """Who is at the other end, for the log."""
        return ""

    @property
    def peer_host(self) -> str:
        """IP address of the L2TP peer; empty: none."""
        return str(getattr(self, "peer_address", "")).partition(" ")[0]

    @property
    def mac(self) -> str:
        """Of the other end of PPPoE, upper case with colons; empty: none."""
        found = getattr(self, "peer_mac", "")
        return mac_text(found) if isinstance(found, bytes) and found else str(found or "").upper()

    @property
    def underlay(self) -> str:
        """The IP address that frames are sent to, whose route must not lead into the link; empty: none."""
        return ""

    @property
    def numbers(self) -> tuple[int, int]:
        """Tunnel and session id, for names of interfaces."""
        return 0, 0

    def maps_to_tell(self, lcp: LCP) -> tuple[int, int] | None:
        """Maps of control characters (what the peer wants escaped, what it escapes) that its LAC has not been told
        yet; None: nobody needs to be."""
        return None

    def agreed(self, lcp: LCP) -> dict[str, int]:
        """What else the data path has to know when LCP is open: arguments of `port_modify`."""
        return {}

    def record(self, now: float, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        """`now`: the daemon's clock. `counters`: those of the port, where they are known."""
        raise NotImplementedError


@dataclass(slots=True)
class L2TPSession(Carrier):
    """A session of prol2tpd: what an `attach-row` says, without the secret."""

    kind: ClassVar[str] = "pppol2tp"

    tunnel_id: int = 0
    session_id: int = 0
    peer_tunnel_id: int = 0
    peer_session_id: int = 0
    lns: bool = False
    version: int = 2
    peer_address: str = ""
    local_address: str = ""
    calling_number: str = ""
    called_number: str = ""
    tunnel_name: str = ""
    session_name: str = ""
    host_name: str = ""
    peer_host_name: str = ""
    call_serial_number: int = 0
    tx_connect_speed: int = 0
    rx_connect_speed: int = 0
    maps: tuple[int, int] = NO_MAPS
    """Maps of control characters that the LAC has been told: what the peer wants escaped, what it escapes."""
    line: tuple[tuple[Key, bytes], ...] = ()
    """What the LAC says of the subscriber's line, as `radius.attributes.Port` has it."""

    def maps_to_tell(self, lcp: LCP) -> tuple[int, int] | None:
        maps = (lcp.peer_accm, lcp.accm)
        if not self.lns or maps == self.maps:
            return None
        self.maps = maps
        return maps

    @property
    def subscriber(self) -> bool:
        return self.lns

    @property
    def connect_delay(self) -> float:
        # an LNS is seldom ready when its call is up, and the first Configure-Request would be lost
        return 0.0 if self.lns else CONNECT_DELAY

    @property
    def peer(self) -> str:
        return self.calling_number or self.peer_address

    @property
    def underlay(self) -> str:
        return self.peer_address

    @property
    def numbers(self) -> tuple[int, int]:
        return self.tunnel_id, self.session_id

    def record(self, now: float, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _L2TP_RECORD}


@dataclass(slots=True)
class DialledCarrier(Carrier):
    """A line that we open ourselves."""

    failures: int = 0
    """Tries in a row without success."""
    redial_at: float = 0.0
    """When the next try begins; 0: none is planned."""

    def tries(self, now: float) -> dict[str, Any]:
        """Their part of `record`."""
        return {"failures": self.failures, "next_try": max(0.0, round(self.redial_at - now, 3))}


@dataclass(slots=True)
class PPPoESession(DialledCarrier):
    """A PPPoE session of ours, or one that is looked for."""

    kind: ClassVar[str] = "pppoe"
    # RFC 2516 section 7: these are not for Ethernet
    lcp: ClassVar[Mapping[str, Any]] = {"asyncmap": None, "accomp": False, "pcomp": False}

    interface: str = ""
    vlan: int = 0
    service_name: str = ""
    ac_name: str = ""
    session_id: int = 0
    peer_mac: bytes = b""
    interface_mtu: int = 0
    max_payload: int = 0
    """Largest PPP payload: 1492, or what PPP-Max-Payload has settled (RFC 4638)."""
    host: Any = field(default=None, repr=False)
    """The core of discovery (`pppoe.client.Host`), once it has begun."""

    @property
    def peer(self) -> str:
        return mac_text(self.peer_mac) if self.peer_mac else ""

    @property
    def numbers(self) -> tuple[int, int]:
        return 0, self.session_id

    def record(self, now: float, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in _PPPOE_RECORD}, "peer_mac": self.peer,
                "state": "IDLE" if self.host is None else self.host.state.name, **self.tries(now)}


@dataclass(slots=True)
class PPPoEAccess(Carrier):
    """A PPPoE session of proacd: what an `attach-pppoe-row` says. The peer is the subscriber."""

    kind: ClassVar[str] = "pppoe"
    lcp: ClassVar[Mapping[str, Any]] = {**PPPoESession.lcp, "refuse": ("asyncmap",)}

    interface: str = ""
    vlans: tuple[int, ...] = ()
    """VLAN ids, the outer one first."""
    peer_mac: str = ""
    session_id: int = 0
    service_name: str = ""
    ac_name: str = ""
    max_payload: int = 0
    calling_number: str = ""
    called_number: str = ""
    line: tuple[tuple[Key, bytes], ...] = ()

    @property
    def ours(self) -> bool:
        return True

    @property
    def subscriber(self) -> bool:
        return True

    @property
    def peer(self) -> str:
        return self.peer_mac

    @property
    def numbers(self) -> tuple[int, int]:
        return 0, self.session_id

    def record(self, now: float, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in _ACCESS_RECORD}, "vlan": self.vlans[-1] if self.vlans else 0,
                "state": "SESSION", "interface_mtu": 0, "failures": 0, "next_try": 0}


@dataclass(slots=True)
class TtyLine(DialledCarrier):
    """A tty."""

    kind: ClassVar[str] = "tty"
    lcp_defaults: ClassVar[Mapping[str, Any]] = {"asyncmap": 0}
    counted: ClassVar[bool] = True

    device: str = ""
    speed: int = 0
    receive_all: bool = False
    """Drop no control characters that have come."""
    send_accm: int = ALL
    receive_accm: int = ALL

    @property
    def peer(self) -> str:
        return self.device

    def agreed(self, lcp: LCP) -> dict[str, int]:
        self.send_accm = lcp.peer_accm
        self.receive_accm = 0 if self.receive_all else lcp.accm
        return {"send_accm": self.send_accm, "receive_accm": self.receive_accm}

    def record(self, now: float, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        bad = counters[COUNTERS.index("rx_errors")] if counters else 0
        return {**{name: getattr(self, name) for name in _TTY_RECORD}, "bad_frames": bad, **self.tries(now)}


_PPPOE_RECORD = ("interface", "vlan", "service_name", "ac_name", "session_id", "interface_mtu", "max_payload")
_ACCESS_RECORD = ("interface", "service_name", "ac_name", "session_id", "peer_mac", "max_payload")
_TTY_RECORD = ("device", "speed", "send_accm", "receive_accm")
_L2TP_RECORD = ("version", "lns", "tunnel_id", "session_id", "peer_tunnel_id", "peer_session_id")
