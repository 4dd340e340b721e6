"""The tables of prol2tpd.conf, and the records that they give. `prol2tpd.load` fills them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prol2tp.config.matching import ProfileIndex
from prol2tp.config.parameter import BlockType, row
from prol2tp.config.template import Template
from prol2tp.config.types import (
    Address,
    Boolean,
    Choice,
    DsField,
    Endpoint,
    File,
    Flags,
    Ip,
    IPNetwork,
    Number,
    Octets,
    Password,
    Peers,
    Rate,
    Reference,
    Seconds,
    Speed,
    SpeedOf,
    Text,
)

LOG_LEVELS = ("critical", "error", "warning", "notice", "info", "debug")
"""Most important first."""

L2TP_PORT = 1701
DAY = 86400.0
PSEUDOWIRE_TYPES = {"ppp": 7, "eth": 5, "vlan": 4}
"""Our words and the numbers of Pseudowire Type (RFC 3931 section 5.4.4)."""
ETHERNET = ("eth", "vlan")
ETHERNET_MTU = 1500


@dataclass(slots=True)
class LogCategories:
    """A level for each kind of trace, whatever `log_level` is."""

    message: str = row(Choice(LOG_LEVELS), "", "Messages sent and received, at info; without it log_level.")
    avp: str = row(Choice(LOG_LEVELS), "", "The AVPs of messages, at debug; without it log_level.")
    fsm: str = row(Choice(LOG_LEVELS), "", "Events and states of machines, at debug; without it log_level.")
    transport: str = row(Choice(LOG_LEVELS), "", "Sequence numbers of control packets, at debug; without it log_level.")


@dataclass(slots=True)
class System:
    """The daemon as a whole."""

    hostname: str = row(Text(), "", "Host Name AVP; without it the name of the machine.")
    vendor_name: str = row(Text(), "", "Vendor Name AVP; without it program, version and kernel.")
    listen: tuple[Address, ...] = row(
        Endpoint(L2TP_PORT, names=False),
        (Address("0.0.0.0", L2TP_PORT), Address("::", L2TP_PORT)),
        "Local addresses and UDP ports on which requests are received.",
        many=True,
        most=64,
    )
    listen_ip: tuple[str, ...] = row(
        Ip(), (), "Local addresses on which L2TPv3 over IP (protocol 115) is received.", many=True, most=64
    )
    router_id: int = row(Number(0, 2**32 - 1), 0, "Router ID; 0: made from an address of the machine.")
    log_level: str = row(Choice(LOG_LEVELS), "notice", "Least important level that is logged.")
    max_tunnels: int = row(Number(0, 65535, "tunnels"), 0, "Most tunnels; 0: no limit but the identifiers.")
    max_sessions: int = row(Number(0, 2**31, "sessions"), 0, "Most sessions in all tunnels; 0: no limit.")
    max_pending_tunnels: int = row(
        Number(1, 65535, "tunnels"), 1000, "Most tunnels that peers have asked for and that are not up yet."
    )
    drain_tunnels: bool = row(Boolean(), False, "Accept no new tunnels and sessions; those that are up live on.")
    tunnel_establish_timeout: float = row(Seconds(1, DAY), 120.0, "Time for a tunnel to come up.")
    session_establish_timeout: float = row(Seconds(1, DAY), 120.0, "Time for a session to come up.")
    tunnel_persist_pend_timeout: float = row(
        Seconds(1, DAY), 60.0, "Longest wait between tries to bring a persistent tunnel up."
    )
    session_persist_pend_timeout: float = row(
        Seconds(1, DAY), 60.0, "Longest wait between tries to bring a persistent session up."
    )
    deny_local_tunnel_creates: bool = row(Boolean(), False, "Start no tunnels: be a server only.")
    deny_remote_tunnel_creates: bool = row(Boolean(), False, "Accept no tunnels: be a client only.")
    data_path: str = row(Choice(("auto", "kernel", "user")), "auto", "Which data path carries the sessions.")
    propppd_grace_timeout: float = row(
        Seconds(0, 3600), 30.0, "Time for which sessions are held while propppd is away."
    )
    proacd_grace_timeout: float = row(
        Seconds(0, 3600), 30.0, "Time for which calls and sessions of proacd are held while it is away."
    )
    scripts: str = row(
        Choice(("auto", "true", "false")),
        "auto",
        "Start prol2tp-scriptd, which runs scripts at events; auto: where script_dir has one.",
    )
    script_dir: str = row(File(), "/etc/prol2tp", "Directory of the scripts.")
    script_timeout: float = row(Seconds(1, DAY), 30.0, "Time that a script may take; then it is ended.")
    max_scripts: int = row(Number(1, 1000, "scripts"), 16, "Most scripts that run at once.")
    history_size: int = row(
        Number(0, 10_000_000, "records"), 100_000, "Ended tunnels and sessions that are remembered; 0: none."
    )
    log_categories: LogCategories = field(default_factory=LogCategories)


@dataclass(slots=True)
class TunnelParameters:
    """What a tunnel and a tunnel profile have in common."""

    local: Address | None = row(
        Endpoint(0, names=False), None, "Local address, and port, from which tunnels are started."
    )
    version: str = row(
        Choice(("l2tpv2", "l2tpv3", "auto")),
        "l2tpv2",
        "Protocol version; auto: the newest that both ends have.",
    )
    encap: str = row(Choice(("udp", "ip")), "udp", "Encapsulation; ip, which is protocol 115, is for L2TPv3 only.")
    hostname: str = row(Text(), "", "Host Name AVP; without it that of system.")
    secret: bytes = row(
        Octets(255, "text|hex:", secret=True), b"", "Shared secret for authentication and for hiding AVPs."
    )
    auth_mode: str = row(
        Choice(("none", "simple", "challenge")),
        "",
        "What the peer has to prove; without it challenge where there is a secret.",
    )
    hide_avps: bool = row(Boolean(), False, "Hide the AVPs that may be hidden; needs a secret.")
    use_tiebreaker: bool = row(Boolean(), True, "Send a Tie Breaker AVP.")
    framing_caps: int = row(
        Flags({"sync": 1, "async": 2, "none": 0}), 3, "Framing Capabilities AVP: sync, async or both; none."
    )
    bearer_caps: int = row(
        Flags({"digital": 1, "analog": 2, "none": 0}), 3, "Bearer Capabilities AVP; none leaves it out."
    )
    hello_timeout: float = row(Seconds(0, DAY), 60.0, "Silence after which HELLO is sent; 0: never.")
    retry_timeout: float = row(Seconds(0.1, 60), 1.0, "Time to the first retransmission; it doubles.")
    retry_cap: float = row(Seconds(1, 60), 8.0, "Longest time between retransmissions.")
    max_retries: int = row(Number(1, 100, "retries"), 5, "Retransmissions before the tunnel is given up.")
    digest_type: int = row(
        Choice({"md5": 0, "sha1": 1}), 0, "Message Digest of L2TPv3: HMAC-MD5 or HMAC-SHA-1; the peer's may be either."
    )
    integrity: bool = row(Boolean(), False, "Send a Message Digest of L2TPv3 also without a secret.")
    pseudowires: tuple[int, ...] = row(
        Choice(PSEUDOWIRE_TYPES),
        (7, 5, 4),
        "Pseudowire Capabilities List AVP of L2TPv3, and what the peer may ask for.",
        many=True,
        most=3,
    )
    preferred_language: str = row(Text(32), "", "Preferred Language AVP of L2TPv3 (RFC 3931 section 5.4.3).")
    rx_window_size: int = row(Number(1, 32768, "messages"), 10, "Receive Window Size AVP.")
    tx_window_size: int = row(
        Number(1, 32768, "messages"), 10, "Most unacknowledged messages, whatever the peer offers."
    )
    establish_timeout: float = row(
        Seconds(1, DAY), 0.0, "Time to come up; without it tunnel_establish_timeout of system."
    )
    idle_timeout: float = row(
        Seconds(0, 365 * DAY), 0.0, "Time without a session after which the tunnel is closed; 0: never."
    )
    max_sessions: int = row(Number(0, 65535, "sessions"), 0, "Most sessions in the tunnel; 0: no limit.")
    mtu: int = row(Number(68, 65535, "octets"), 1460, "MTU of the sessions in the tunnel.")
    udp_checksums: bool = row(Boolean(), True, "Send UDP checksums in data messages.")
    tos: int = row(DsField(), 0, "DS field of the packets that carry data messages; copy: that of the packet inside.")
    pmtu_discovery: bool = row(Boolean(), False, "Set the DF bit in the packets that carry data messages.")
    reply_port: str = row(
        Choice(("same", "ephemeral")),
        "same",
        "Port from which requests are answered: that on which they came, or one of the tunnel's own.",
    )
    persist: bool = row(Boolean(), True, "Start the tunnel again when it ends.")
    session_profile: str = row(Reference("session profile"), "default", "Session profile for sessions in the tunnel.")
    log_level: str = row(Choice(LOG_LEVELS), "", "Log level of the tunnel and its sessions; without it that of system.")
    drain: bool = row(Boolean(), False, "Accept no new tunnels by this profile, or sessions in this tunnel.")


@dataclass(slots=True)
class PseudowireParameters:
    """What a pseudowire profile, a session profile and a session have in common."""

    pseudowire_type: str = row(
        Choice(tuple(PSEUDOWIRE_TYPES)),
        "ppp",
        "What the session carries: PPP, Ethernet or tagged Ethernet of one VLAN; L2TPv2 has PPP only.",
    )
    ppp_profile: str = row(
        Text(255, "name"), "", "Profile in propppd.conf; without it the session is not attached to PPP."
    )
    mtu: int = row(Number(68, 65535, "octets"), 0, "MTU of the session; without it that of the tunnel.")
    interface_name: str = row(
        Template(),
        "",
        'Name or template of the interface; without it that of the PPP profile, of Ethernet "l2tpeth%d".',
    )
    bridge: str = row(Text(15), "", "Bridge that the interface of an Ethernet session joins.")
    circuit: str = row(
        Text(15), "", "Interface of this machine that is the circuit of an Ethernet session; without it one is made."
    )
    vlan_id: int = row(
        Number(0, 4094), 0, "VLAN of a session of type vlan; frames of the peer get this number; 0: any, unchanged."
    )
    cookie_size: int = row(
        Choice({"0": 0, "4": 4, "8": 8}), 0, "Octets of the random cookie that the peer has to put before every frame."
    )
    l2_sublayer: bool = row(Boolean(), False, "Ask for the Default L2-Specific Sublayer, which numbers need.")
    data_sequencing: int = row(
        Choice({"none": 0, "non_ip": 1, "all": 2}),
        0,
        "Frames that the peer is to number: none, what is not IP, or all.",
    )
    interface_mtu: int = row(
        Number(0, 65535, "octets"), 0, "MTU that both ends must agree on (RFC 4667); 0: it is not spoken of."
    )


@dataclass(slots=True)
class SessionParameters(PseudowireParameters):
    """What a session profile and a session have in common."""

    pseudowire_profile: str = row(
        Reference("pseudowire profile"), "default", "Pseudowire profile from which unset values come."
    )
    user_name: str = row(Text(), "", "Our user name towards the peer's PPP.")
    user_password: str = row(Password(), "", "Our password towards the peer's PPP.")
    remote_end_id: str = row(
        Text(255),
        "",
        "Remote End ID AVP: the circuit that is asked for; a session profile serves requests for it.",
    )
    call: str = row(Choice(("incoming", "outgoing")), "incoming", "Call that is placed: ICRQ as LAC, or OCRQ as LNS.")
    sequencing_required: bool = row(Boolean(), False, "Send the Sequencing Required AVP.")
    use_sequence_numbers: bool = row(Boolean(), False, "Number our data messages although the peer does not ask.")
    reorder_timeout: float = row(
        Seconds(0, 10), 0.0, "Time for which early data messages wait for a missing one; 0: none waits."
    )
    framing_type: int = row(Choice({"sync": 1, "async": 2}), 1, "Framing Type AVP.")
    bearer_type: int = row(
        Choice({"digital": 1, "analog": 2, "none": 0}),
        1,
        "Bearer Type AVP; none leaves it out where it may be.",
    )
    minimum_bps: int = row(Rate(), 0, "Minimum BPS AVP of an outgoing call, bits per second.")
    maximum_bps: int = row(Rate(), 1_000_000_000, "Maximum BPS AVP of an outgoing call, bits per second.")
    connect_speed: Speed = row(SpeedOf(), Speed(1_000_000_000, 0), "Tx and Rx Connect Speed AVPs, bits per second.")
    calling_number: str = row(Text(64), "", "Calling Number AVP.")
    called_number: str = row(Text(64), "", "Called Number AVP.")
    sub_address: str = row(Text(64), "", "Sub-Address AVP.")
    priv_group_id: bytes = row(Octets(255), b"", "Private Group ID AVP.")
    access_line: bool = row(
        Boolean(), False, "Send what proacd knows of the subscriber's line (RFC 5515); xl2tpd cannot bear it."
    )
    persist: bool = row(Boolean(), True, "Start the session again when it ends.")
    establish_timeout: float = row(
        Seconds(1, DAY), 0.0, "Time to come up; without it session_establish_timeout of system."
    )
    log_level: str = row(Choice(LOG_LEVELS), "", "Log level of the session; without it that of the tunnel.")


@dataclass(slots=True)
class PseudowireProfile(PseudowireParameters):
    name: str = ""


@dataclass(slots=True)
class SessionProfile(SessionParameters):
    """Values for sessions. As `TunnelProfile.session` and `Tunnel.session`: those of calls that the peer
    places."""

    name: str = ""


@dataclass(slots=True)
class Session(SessionParameters):
    """A session that this end starts."""

    session_profile: str = row(
        Reference("session profile"),
        "",
        "Session profile from which unset values come; without it that of the tunnel.",
    )
    session_id: int = row(Number(0, 2**32 - 1), 0, "Our id of a static session.")
    peer_session_id: int = row(Number(0, 2**32 - 1), 0, "The peer's id of a static session.")
    cookie: bytes = row(
        Octets(8, "hex:", secret=True), b"", "Cookie that the peer puts before its frames: none, 4 or 8 octets."
    )
    peer_cookie: bytes = row(Octets(8, "hex:", secret=True), b"", "Cookie that we put before ours.")
    name: str = ""


@dataclass(slots=True)
class TunnelProfile(TunnelParameters):
    """How requests of certain peers are served. `session`: effective values for their sessions."""

    peer: tuple[IPNetwork, ...] = row(
        Peers(),
        (),
        "Addresses of peers to which the profile applies: addresses, prefixes, or any.",
        many=True,
        inherited=False,
    )
    peer_hostname: tuple[str, ...] = row(
        Text(), (), "Host names that peers may give in SCCRQ; exact.", many=True, inherited=False
    )
    name: str = ""
    session: SessionProfile = field(default_factory=SessionProfile, repr=False, compare=False)
    given: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def matches_requests(self) -> bool:
        """A profile without criteria only serves to inherit from."""
        return bool(self.peer or self.peer_hostname)


@dataclass(slots=True)
class Tunnel(TunnelParameters):
    """A tunnel that this end starts. `session`: effective values for sessions that the peer starts in it."""

    peer: Address = row(
        Endpoint(L2TP_PORT, names=True),
        Address("", 0),
        "Address or name of the peer, and its port.",
        required=True,
        inherited=False,
    )
    tunnel_profile: str = row(Reference("tunnel profile"), "default", "Tunnel profile from which unset values come.")
    static: bool = row(
        Boolean(), False, "L2TPv3 without a control connection: both ends are told all ids, as `ip l2tp` does."
    )
    tunnel_id: int = row(Number(0, 2**32 - 1), 0, "Our id of a static tunnel.")
    peer_tunnel_id: int = row(Number(0, 2**32 - 1), 0, "The peer's id of a static tunnel.")
    name: str = ""
    sessions: dict[str, Session] = field(default_factory=dict, repr=False, compare=False)
    session: SessionProfile = field(default_factory=SessionProfile, repr=False, compare=False)
    given: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(slots=True)
class Prol2tpdConfig:
    """A whole file. Maps are by name, in the order of the file. The profiles `default` are always there."""

    system: System
    tunnel_profiles: dict[str, TunnelProfile]
    session_profiles: dict[str, SessionProfile]
    pseudowire_profiles: dict[str, PseudowireProfile]
    tunnels: dict[str, Tunnel]
    ends: dict[str, str] = field(repr=False, compare=False)
    """Session profiles by the Remote End ID that they serve."""
    given: dict[str, dict[str, dict[str, Any]]] = field(repr=False, compare=False)
    """Values as written, by kind and name of profile: what an instance made later inherits."""
    index: ProfileIndex = field(repr=False, compare=False)

    def blocks(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """For `diff`."""
        yield "system", (), self.system
        for kind, records in (
            ("pseudowire profile", self.pseudowire_profiles),
            ("session profile", self.session_profiles),
            ("tunnel profile", self.tunnel_profiles),
        ):
            for name, record in records.items():  # type: ignore[attr-defined]
                yield kind, (name,), record
        for name, tunnel in self.tunnels.items():
            yield "tunnel", (name,), tunnel
            for inner, session in tunnel.sessions.items():
                yield "session", (name, inner), session


SESSION = BlockType("session", Session, "A session that is started in this tunnel.")
TUNNEL = BlockType("tunnel", Tunnel, "A tunnel that is started.", blocks=(SESSION,))
TUNNEL_PROFILE = BlockType("tunnel profile", TunnelProfile, "How requests of certain peers are served.")
SESSION_PROFILE = BlockType("session profile", SessionProfile, "Values for sessions.")
PSEUDOWIRE_PROFILE = BlockType("pseudowire profile", PseudowireProfile, "What sessions carry, and to where.")
CATEGORIES = BlockType("log_categories", LogCategories, "Log levels by kind of trace.", named=False)
SYSTEM = BlockType("system", System, "The daemon as a whole.", named=False, blocks=(CATEGORIES,))
FILE = BlockType(
    "",
    None,
    "prol2tpd.conf",
    named=False,
    blocks=(SYSTEM, PSEUDOWIRE_PROFILE, SESSION_PROFILE, TUNNEL_PROFILE, TUNNEL),
)
