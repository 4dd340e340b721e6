"""What the two discovery cores are told."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(slots=True)
class Service:
    """A Service-Name that the access concentrator serves."""

    name: str
    advertised: bool = True
    """False: given only to hosts that ask for it by name."""
    vlans: Container[tuple[int, ...]] | None = None
    """VLAN ids, outer first, on which it is served; None: on all of the interface."""


@dataclass(slots=True)
class InterfaceSettings:
    """One Ethernet interface of the access concentrator."""

    mac: bytes
    """Its address, 6 octets."""
    services: tuple[Service, ...] = (Service(""),)
    """The first advertised one is given to hosts that ask for any."""
    any_service: bool = False
    """Serve every name that a host asks for."""
    any_service_vlans: Container[tuple[int, ...]] | None = None
    """Where that is so, as `Service.vlans`."""
    vlans: frozenset[tuple[int, ...]] | None = frozenset({()})
    """VLAN ids, outer first, that are served: () is untagged. None: all."""
    mtu: int = 1500
    """Octets of Ethernet payload, the real ones: the bound of PPP-Max-Payload is 8 less."""
    max_sessions: int = 0
    """0: no limit but that of ids."""
    max_sessions_per_mac: int = 0
    replace: bool = False
    """A host at its limit gets a new session and loses its oldest one, for hosts that restart without a PADT."""
    padi_burst: int = 2000
    """PADIs answered at once; more are dropped without an answer."""
    padi_rate: float = 1000.0
    """PADIs answered per second in the long run; 0: no limit. PADRs that want a new session have the same bounds, of
    their own: one good cookie must not ask for routes without end."""
    allow: frozenset[bytes] | None = None
    """Addresses served: 6 octets, or 3 for all of a vendor. None: all that `deny` does not name."""
    deny: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class ConcentratorSettings:
    """What holds for all interfaces. Times in seconds."""

    ac_name: str
    max_sessions: int = 0
    cookie_lifetime: float = 30.0
    """From PADO to the first PADR."""
    route_timeout: float = 30.0
    """Until the shell has answered `AskRoute`; then the host is refused."""
    delays: tuple[tuple[int, float | None], ...] = ()
    """(sessions, seconds), ascending: with so many sessions a PADO waits so long, that a less loaded access
    concentrator is first; None: no PADO."""
    max_delayed: int = 1000
    """PADOs that wait; for more there is none."""


@dataclass(slots=True)
class HostSettings:
    """One PPPoE session of ours. Times in seconds."""

    mac: bytes
    """Address of the interface."""
    service_name: str = ""
    """'': any."""
    ac_name: str = ""
    """'': any."""
    vlans: tuple[tuple[int, int], ...] = ()
    """(TPID, TCI) of each tag, outer first."""
    mtu: int = 1500
    """Octets of Ethernet payload; over 1500 PPP-Max-Payload is asked for, unless `max_payload` says how much."""
    max_payload: int | None = None
    """PPP-Max-Payload to ask for; 1492 and less: none."""
    timeout: float = 3.0
    """To the first retransmission; doubled each time (RFC 2516 section 8)."""
    max_timeout: float = 60.0
    padi_tries: int = 0
    """PADIs in all before `DiscoveryFailed`; 0: for ever."""
    host_uniq: bytes = b""
    """Host-Uniq of our packets; b"": random ones. Two sessions on one interface with the same one take each other's
    offers."""
    padr_tries: int = 3
    """PADRs to one access concentrator before going back to PADI."""
