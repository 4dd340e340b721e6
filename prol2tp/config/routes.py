"""The tables of proacd.conf, and the records that they give. `proacd.load` fills them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prol2tp.config.access import (
    EVERY_VLAN,
    UNTAGGED,
    Debug,
    Delay,
    DelayOf,
    HostAddress,
    ServiceName,
    ServiceNames,
    VlanRange,
    Vlans,
)
from prol2tp.config.dynamic import DYNAMIC
from prol2tp.config.network import Device
from prol2tp.config.parameter import INLINE, OPTIONAL, BlockType, Parameter, parameters, row
from prol2tp.config.radius import Radius, RadiusServer
from prol2tp.config.tunnels import DAY, LOG_LEVELS, SESSION_PROFILE, TUNNEL_PROFILE
from prol2tp.config.types import Address, Boolean, Choice, File, Number, Password, Reference, Seconds, Text

LARGEST_ROUTE_ID = 65535

_NO_PROXY = "cannot be handed to an LNS"
AUTH_METHODS = Choice(("chap", "pap"), dict.fromkeys(("mschapv1", "mschapv2", "eap"), _NO_PROXY))
ASK = ("user", "realm", "line")
LINE_NAMES = ("circuit_id", "remote_id", "mac")
ACCOUNTING = ("off", "sessions", "links", "tunnels")


@dataclass(slots=True)
class System:
    """The daemon as a whole."""

    debug: tuple[str, ...] = row(
        Debug(), (), "What is logged in detail: a number, or categories with commas; without a value all.", bare="all"
    )
    log_file: str = row(File(), "", "File that messages go to; without it syslog.")
    log_level: str = row(Choice(LOG_LEVELS), "info", "Least important level that is logged.")
    hostname: str = row(Text(), "", "Our name for AC-Name and NAS-Identifier; without it the name of the machine.")
    ac_name: str = row(Text(), "", "AC-Name of PADO (RFC 2516); without it program, version and hostname.")
    max_sessions: int = row(Number(0, LARGEST_ROUTE_ID, "sessions"), 0, "Most routes at a time; 0: 65535.")
    cookie_lifetime: float = row(Seconds(1, 3600), 30.0, "Time from PADO to PADR for which an AC-Cookie is good.")
    route_timeout: float = row(
        Seconds(1, 600), 30.0, "Time for a destination to open; then the host is told that there is none."
    )
    pado_delay: tuple[Delay, ...] = row(
        DelayOf(), (), "With so many sessions a PADO waits so long; none: there is no PADO.", many=True, most=16
    )
    max_delayed: int = row(Number(0, 1_000_000, "hosts"), 1000, "PADOs that wait at a time; for more there is none.")
    lockout_time: float = row(
        Seconds(1, DAY), 60.0, "Time for which a destination that failed is left out; then one session tries it."
    )
    grace_timeout: float = row(
        Seconds(0, 3600), 30.0, "Time for which routes are held while prol2tpd or propppd is away."
    )
    stop_timeout: float = row(Seconds(0, 60), 5.0, "Longest time that ending all routes takes when the daemon stops.")
    drain: bool = row(Boolean(), False, "Let nobody new in; routes that are open live on.")
    history_size: int = row(Number(0, 10_000_000, "records"), 100_000, "Ended routes that are remembered; 0: none.")


@dataclass(slots=True)
class Interface:
    """An Ethernet interface on which hosts are served. The block `default` gives values for all others."""

    vlans: tuple[VlanRange, ...] = row(
        Vlans(), (UNTAGGED,), "VLANs that are served: ids, ranges, outer.inner, untagged, any."
    )
    mtu: int = row(Number(0, 9216, "octets"), 0, "Ethernet payload that the network carries; 0: MTU of the interface.")
    max_sessions: int = row(Number(0, LARGEST_ROUTE_ID, "sessions"), 0, "Most sessions on the interface; 0: no limit.")
    max_sessions_per_mac: int = row(
        Number(0, LARGEST_ROUTE_ID, "sessions"), 0, "Most sessions of one host; 0: no limit."
    )
    replace: bool = row(Boolean(), False, "A host at its limit gets a new session and loses its oldest one.")
    padi_rate: int = row(
        Number(0, 1_000_000, "packets"), 1000, "PADIs, and as many PADRs, answered per second; 0: no limit."
    )
    padi_burst: int = row(Number(1, 1_000_000, "packets"), 2000, "PADIs, and as many PADRs, answered at once.")
    allow_mac: tuple[bytes, ...] = row(
        HostAddress(), (), "Hosts that are served, and no others; without it all.", many=True, most=65536
    )
    deny_mac: tuple[bytes, ...] = row(HostAddress(), (), "Hosts that are not served.", many=True, most=65536)
    name: str = ""


def _without(rows: Mapping[str, Parameter], *names: str) -> dict[str, Parameter]:
    missing = set(names) - set(rows)
    assert not missing, missing
    return {name: row_ for name, row_ in rows.items() if name not in names}


TUNNEL_ROWS = _without(
    TUNNEL_PROFILE.parameters,
    "peer", "peer_hostname", "reply_port", "persist", "session_profile", "drain", "pseudowires",
)  # fmt: skip
"""Parameters of a tunnel in prol2tpd.conf that mean the same for one that proacd asks for."""
SESSION_ROWS = _without(
    SESSION_PROFILE.parameters,
    "pseudowire_type", "ppp_profile", "interface_name", "bridge", "circuit", "vlan_id", "interface_mtu",
    "pseudowire_profile", "user_name", "user_password", "remote_end_id", "call", "persist",
    "calling_number", "called_number", "minimum_bps", "maximum_bps",
)  # fmt: skip


@dataclass(slots=True)
class _OfTunnel:
    """What is said of tunnels beside `TUNNEL_ROWS`."""

    tunnel_profile: str = row(Text(255, "name"), "", "Tunnel profile of prol2tpd.conf from which unset values come.")


@dataclass(slots=True)
class _OfSession:
    """What is said of sessions beside `SESSION_ROWS`."""

    session_profile: str = row(Text(255, "name"), "", "Session profile of prol2tpd.conf from which unset values come.")


@dataclass(slots=True)
class L2tpProfile(_OfTunnel):
    """Parameters of tunnels and sessions. `tunnel` and `session`: as text, by name, as commands of prol2tpd take
    them."""

    name: str = ""
    tunnel: dict[str, Any] = field(default_factory=dict, repr=False)
    session: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class L2tpPeer(_OfTunnel):
    """One LNS. `tunnel` and `session`: effective parameters as text, `peer` among those of the tunnel."""

    preference: int = row(Number(0, 0xFFFFFF), 0, "The peers with the lowest are tried first.")
    weight: int = row(Number(1, 65535), 1, "Share of the sessions among peers of one preference.")
    name: str = ""
    address: Address = Address("", 0)
    tunnel: dict[str, Any] = field(default_factory=dict, repr=False)
    session: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class L2tpDestination(_OfTunnel):
    """Calls to an LNS: through a tunnel of prol2tpd.conf, or through tunnels to `peers`, in the order of the file."""

    tunnel: str = row(Text(255, "name"), "", "Tunnel of prol2tpd.conf that calls go through, instead of peers.")
    profile: str = row(Reference("profile l2tp"), "", "Profile from which unset values come.")
    peers: tuple[L2tpPeer, ...] = ()
    session: dict[str, Any] = field(default_factory=dict, repr=False)
    """Effective parameters as text, for calls through `tunnel`."""


@dataclass(slots=True)
class RadiusDestination:
    """Where RADIUS says."""

    profile: str = row(Reference("profile radius"), "", "Profile with the servers that are asked.", required=True)
    ppp_profile: str = row(
        Text(255, "name"), "", "Profile of propppd.conf for whom RADIUS names no tunnel; without it they are refused."
    )


@dataclass(slots=True)
class PppDestination:
    """Local PPP."""

    ppp_profile: str = row(Text(255, "name"), "", "Profile of propppd.conf for the users.", required=True)


@dataclass(slots=True)
class PppoeSource:
    """Sessions of PPPoE hosts."""

    interface: tuple[str, ...] = row(Device(), (), "Interfaces.", many=True, most=4096, required=True)
    service: tuple[ServiceName, ...] = row(
        ServiceNames(),
        (ServiceName(None, False),),
        "Service names that are served; hidden ones are not advertised; any: all that no other route has.",
    )
    vlan: tuple[VlanRange, ...] = row(
        Vlans(), (EVERY_VLAN,), "VLANs that the route is for, of those that the interface serves."
    )


@dataclass(slots=True)
class L2tpSource:
    """Sessions that LACs bring (RFC 2661 LTS)."""

    tunnel_profile: tuple[str, ...] = row(
        Text(255, "name"), (), "Tunnel profiles of prol2tpd.conf whose sessions take the route.",
        many=True, most=4096, required=True,
    )


Source = PppoeSource | L2tpSource
RouteDestination = L2tpDestination | RadiusDestination | PppDestination


@dataclass(slots=True)
class Route:
    """From where to where sessions go."""

    max_sessions: int = row(Number(0, LARGEST_ROUTE_ID, "sessions"), 0, "Most sessions on the route; 0: no limit.")
    drain: bool = row(Boolean(), False, "Let nobody new in by this route.")
    name: str = ""
    source: Source = field(default_factory=L2tpSource)
    destination: RouteDestination = field(default_factory=PppDestination)


@dataclass(slots=True)
class RadiusProfile(Radius):
    """RADIUS servers, what they are asked, and what holds where they say nothing."""

    ask: str = row(
        Choice(ASK), "user", "What is asked about: the user and his password, his realm, or the line he comes by."
    )
    auth_methods: tuple[str, ...] = row(
        AUTH_METHODS, ("chap", "pap"), "Methods that are demanded of the user, best first.", many=True, most=2
    )
    realm_delimiter: str = row(Text(1, "character"), "@", "What parts the user from his realm, from the right.")
    password: str = row(Password(), "", "Password of a realm or line towards the servers; without it its name.")
    line_name: tuple[str, ...] = row(
        Choice(LINE_NAMES), ("circuit_id", "mac"), "User-Name of a line: the first of these that is known.",
        many=True, most=3,
    )
    accounting: tuple[str, ...] = row(
        Choice(ACCOUNTING), ("sessions",), "What records are made of: sessions, links and tunnels of RFC 2867, or off.",
        many=True, most=3,
    )
    negotiation_timeout: float = row(
        Seconds(1, 600), 30.0, "Time for a user to say who he is, and for the servers to answer."
    )
    max_negotiations: int = row(
        Number(1, 65535, "sessions"), 1000,
        "Sessions that say who they are at a time. More hosts wait, and more calls of LACs are refused.",
    )
    l2tp_profile: str = row(Reference("profile l2tp"), "", "Tunnel and session parameters that servers do not give.")
    name: str = ""

    @property
    def accounts(self) -> bool:
        """There is something to tell, and a server to tell it."""
        return bool(self.accounting) and any(server.acct_port for server in self.servers.values())


@dataclass(slots=True)
class ProacdConfig:
    """A whole file. Maps are by name, in the order of the file."""

    system: System
    interfaces: dict[str, Interface]
    """All that routes name, with effective values; `default` too."""
    radius: dict[str, RadiusProfile]
    l2tp: dict[str, L2tpProfile]
    routes: dict[str, Route]

    def blocks(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """For `diff`."""
        yield "system", (), self.system
        for name, interface in self.interfaces.items():
            yield "interface", (name,), interface
        for name, radius in self.radius.items():
            yield "profile radius", (name,), radius
            for inner, server in radius.servers.items():
                yield "server", (name, inner), server
            if (dynamic := radius.dynamic) is not None:
                yield "dynamic_authorization", (name,), dynamic
                for inner, client in dynamic.clients.items():
                    yield "client", (name, inner), client
        for name, profile in self.l2tp.items():
            yield "profile l2tp", (name,), profile
        for name, route in self.routes.items():
            yield "route", (name,), route


_SERVER = parameters(RadiusServer)
SERVER = BlockType(
    "server",
    None,
    "A RADIUS server, with its address as name or in it.",
    braces=INLINE,
    also={**_SERVER, "address": replace(_SERVER["address"], required=False)},
)
SESSION = BlockType("session", _OfSession, "Parameters of sessions.", named=False, also=SESSION_ROWS)
PEER = BlockType("peer", L2tpPeer, "An LNS.", braces=OPTIONAL, blocks=(SESSION,), also=TUNNEL_ROWS)
SYSTEM = BlockType("system", System, "The daemon as a whole.", named=False)
INTERFACE = BlockType("interface", Interface, "An Ethernet interface on which hosts are served.")
PROFILE_RADIUS = BlockType(
    "profile radius", RadiusProfile, "RADIUS servers and what they are asked.", blocks=(SERVER, DYNAMIC)
)
PROFILE_L2TP = BlockType(
    "profile l2tp", L2tpProfile, "Parameters of tunnels and sessions.", blocks=(SESSION,), also=TUNNEL_ROWS
)
SOURCE_PPPOE = BlockType("source pppoe", PppoeSource, "Sessions of PPPoE hosts.", named=False)
SOURCE_L2TP = BlockType("source l2tp", L2tpSource, "Sessions that LACs bring.", named=False)
DESTINATION_L2TP = BlockType(
    "destination l2tp", L2tpDestination, "Calls to an LNS.", named=False, blocks=(PEER, SESSION), also=TUNNEL_ROWS
)
DESTINATION_RADIUS = BlockType("destination radius", RadiusDestination, "Where RADIUS says.", named=False)
DESTINATION_PPP = BlockType("destination ppp", PppDestination, "Local PPP.", named=False)
SOURCES = (SOURCE_PPPOE, SOURCE_L2TP)
DESTINATIONS = (DESTINATION_L2TP, DESTINATION_RADIUS, DESTINATION_PPP)
ROUTE = BlockType("route", Route, "From where to where sessions go.", blocks=(*SOURCES, *DESTINATIONS))
FILE = BlockType(
    "", None, "proacd.conf", named=False, blocks=(SYSTEM, INTERFACE, PROFILE_RADIUS, PROFILE_L2TP, ROUTE)
)
