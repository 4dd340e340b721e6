"""The tables of propppd.conf, and the records that they give. `propppd.load` fills them.

Fields of a profile have the names of the PPP core's LinkSettings where they mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prol2tp.config.ipv6 import DomainName, IPv6Pool
from prol2tp.config.network import Device, Netmask, NftSet, NftSetOf, RateLimit, RateLimitOf, RouteOf, RouteTo
from prol2tp.config.parameter import BlockType, row
from prol2tp.config.radius import RADIUS, Radius
from prol2tp.config.template import Template
from prol2tp.config.tunnels import DAY, LOG_LEVELS
from prol2tp.config.types import (
    AddressRange,
    Boolean,
    Choice,
    File,
    Hexadecimal,
    InterfaceId,
    Ip,
    IPNetwork,
    Number,
    Password,
    Prefix,
    Range,
    Reference,
    Seconds,
    Text,
)

AUTH_METHODS = Choice(("chap", "pap", "mschapv2", "mschapv1", "eap"))
"""Authentication methods; `chap` is CHAP with MD5."""
EAP_METHODS = Choice(("mschapv2", "md5", "tls"))
"""Methods inside EAP that run here."""

SECOND_LOGINS = ("allow", "refuse", "preempt")
RATE_LIMIT_BY = ("auto", "tc", "path")
UNKNOWN_FILTERS = ("ignore", "refuse")
CODECS = Choice(
    ("none", "deflate", "predictor1"),
    {"bsd": "is not available: no data path has BSD-Compress", "mppe": "is encryption: see mppe_required"},
)
"""What packets can be compressed with."""

LOG_CATEGORIES = ("event", "main", "mgmt", "ppp", "radius")
YEAR = 365 * DAY


@dataclass(slots=True)
class LogCategories:
    """A level for each category; empty: that of system."""

    event: str = row(Choice(LOG_LEVELS), "", "Links that come and go.")
    main: str = row(Choice(LOG_LEVELS), "", "Start, stop and configuration.")
    mgmt: str = row(Choice(LOG_LEVELS), "", "Requests of management and of prol2tpd.")
    ppp: str = row(Choice(LOG_LEVELS), "", "PPP protocols.")
    radius: str = row(Choice(LOG_LEVELS), "", "RADIUS.")


@dataclass(slots=True)
class System:
    """The daemon as a whole."""

    log_level: str = row(Choice(LOG_LEVELS), "notice", "Least important level that is logged.")
    hostname: str = row(Text(), "", "Our name in CHAP challenges; without it the name of the machine.")
    max_links: int = row(Number(0, 2**31, "links"), 0, "Most PPP links; 0: no limit.")
    history_size: int = row(
        Number(0, 10_000_000, "records"), 100_000, "Ended links that are remembered; 0: none."
    )
    log_categories: LogCategories = field(default_factory=LogCategories)


@dataclass(slots=True)
class Profile:
    """What PPP links are told."""

    # authentication
    auth: bool = row(Boolean(), False, "Demand that the peer authenticates itself.")
    auth_methods: tuple[str, ...] = row(
        AUTH_METHODS,
        ("chap", "pap"),
        "Methods that may be demanded of the peer, best first.",
        many=True,
        most=8,
    )
    allow_methods: tuple[str, ...] = row(
        AUTH_METHODS,
        ("chap", "pap"),
        "Methods by which we authenticate ourselves when the peer demands it.",
        many=True,
        most=8,
    )
    refuse_methods: tuple[str, ...] = row(
        AUTH_METHODS,
        (),
        "Methods by which we never authenticate ourselves, whatever allow_methods says.",
        many=True,
        most=8,
    )
    eap_methods: tuple[str, ...] = row(
        EAP_METHODS,
        ("mschapv2", "md5"),
        "Methods inside EAP that may be demanded of the peer, best first.",
        many=True,
        most=4,
    )
    eap_allow_methods: tuple[str, ...] = row(
        EAP_METHODS,
        ("mschapv2", "md5"),
        "Methods inside EAP by which we authenticate ourselves, best first.",
        many=True,
        most=4,
    )
    proxy_lcp: bool = row(
        Boolean(),
        False,
        "Take over LCP as a LAC has negotiated it, where that fits this profile; else it is negotiated anew.",
    )
    proxy_auth: bool = row(
        Boolean(), False, "Let a user in by the proof that he has given to a LAC, when it is right; needs proxy_lcp."
    )
    tls_ca: str = row(File(), "", "Certificates of the authorities that we trust (EAP-TLS), in PEM form.")
    tls_certificate: str = row(File(), "", "Our own certificate, and those between it and its authority, in PEM form.")
    tls_key: str = row(File(), "", "The private key of our certificate, in PEM form, without a passphrase.")
    tls_crl: str = row(File(), "", "Revoked certificates, in PEM form; without it none is looked for.")
    tls_server_name: str = row(Text(), "", "Name that the certificate of a server must have; without it any.")
    tls_minimum: str = row(Choice(("1.2", "1.3")), "1.2", "Oldest version of TLS that is spoken.")
    use_radius: bool = row(Boolean(), False, "Ask RADIUS about users that are no local users.")
    user: str = row(Text(), "", "Our name towards the peer; a session of prol2tpd brings its own.")
    password: str = row(Password(), "", "Our password towards the peer.")
    name: str = row(Text(), "", "Our name in CHAP challenges; without it hostname of system.")
    auth_deadline: float = row(Seconds(0, 3600), 60.0, "Time from LCP up to authenticated; 0: no limit.")
    pap_restart: float = row(Seconds(0.1, 60), 3.0, "Time to the next PAP request.")
    pap_max_requests: int = row(Number(1, 255, "requests"), 10, "PAP requests before we give up.")
    pap_timeout: float = row(Seconds(0, 3600), 30.0, "Time to wait for the peer's PAP request; 0: for ever.")
    chap_restart: float = row(Seconds(0.1, 60), 3.0, "Time to the next CHAP challenge when none is answered.")
    chap_max_challenges: int = row(Number(1, 255, "challenges"), 10, "CHAP challenges before we give up.")
    chap_interval: float = row(Seconds(0, DAY), 0.0, "Time between challenges while the link is up; 0: none.")
    mschap_retries: int = row(
        Number(0, 10, "tries"), 2, "Further passwords that a peer may try after a wrong one, by MS-CHAP."
    )
    eap_restart: float = row(Seconds(0.1, 60), 3.0, "Time to the next EAP request when none is answered.")
    eap_max_requests: int = row(Number(1, 255, "requests"), 10, "Times that an EAP request is sent before we give up.")
    eap_timeout: float = row(Seconds(0, 3600), 20.0, "Time to wait for the peer's EAP request; 0: for ever.")
    eap_max_received: int = row(Number(1, 255, "requests"), 20, "EAP requests of the peer that are answered.")
    # LCP
    mru: int = row(Number(128, 16384, "octets"), 1500, "Maximum-Receive-Unit that we ask for.")
    mtu: int = row(Number(128, 16384, "octets"), 1500, "Largest packet that is sent, whatever the peer's MRU.")
    asyncmap: int | None = row(Hexadecimal(), None, "Async-Control-Character-Map that we ask for; without it none.")
    magic: bool = row(Boolean(), True, "Ask for a Magic-Number, which finds loops.")
    pcomp: bool = row(Boolean(), True, "Ask for Protocol-Field-Compression.")
    accomp: bool = row(Boolean(), True, "Ask for Address-and-Control-Field-Compression.")
    identification: str = row(Text(), "", "What the peer is told about us when LCP is open; without it nothing.")
    passive: bool = row(Boolean(), False, "Wait for the peer when it did not answer our requests.")
    silent: bool = row(Boolean(), False, "Send no Configure-Request before the peer did.")
    restart_interval: float = row(Seconds(0.1, 60), 3.0, "Restart timer of LCP and the network protocols.")
    max_configure: int = row(Number(1, 255, "requests"), 10, "Configure-Requests before we give up.")
    max_terminate: int = row(Number(1, 255, "requests"), 2, "Terminate-Requests before we give up.")
    max_failure: int = row(Number(1, 255, "naks"), 5, "Configure-Naks before options are rejected.")
    lcp_echo_interval: float = row(Seconds(0, 3600), 0.0, "Time between Echo-Requests; 0: none.")
    lcp_echo_failures: int = row(
        Number(0, 255, "requests"), 0, "Unanswered Echo-Requests after which the link is ended; 0: never."
    )
    lcp_echo_adaptive: bool = row(Boolean(), False, "Send Echo-Requests only when nothing was received.")
    # compression and encryption
    ccp: tuple[str, ...] = row(
        CODECS,
        (),
        "Compression that is asked for and allowed (CCP), best first; none, alone: no compression.",
        many=True,
        most=2,
    )
    mppe_required: bool = row(
        Boolean(), False, "End links that are not encrypted (MPPE). Only the kernel's data path can encrypt."
    )
    mppe_strengths: tuple[int, ...] = row(
        Choice({"128": 128, "56": 56, "40": 40}), (128,), "Bits of MPPE keys that we let ourselves in for.", many=True
    )
    mppe_stateful: bool = row(Boolean(), False, "Let the peer choose MPPE keys that depend on the packets before.")
    # network protocols
    ip: bool = row(Boolean(), True, "Run IPCP.")
    ipv6: bool = row(Boolean(), True, "Run IPv6CP.")
    local_ip: str = row(Ip(4), "", "Our IPv4 address; without it what the peer gives.")
    peer_ip: str = row(Ip(4), "", "The peer's IPv4 address when neither user nor pool gives one.")
    ip_pool: tuple[str, ...] = row(
        Reference("ip_pool"),
        (),
        "Pools from which peers get addresses; the next when one is used up.",
        many=True,
        most=64,
    )
    accept_local: bool = row(Boolean(), False, "Take our address from the peer although local_ip is given.")
    accept_remote: bool = row(Boolean(), False, "Take the peer's own idea of its address although we have one for it.")
    dns: tuple[str, ...] = row(Ip(4), (), "DNS servers that the peer is told.", many=True, most=2)
    nbns: tuple[str, ...] = row(Ip(4), (), "NetBIOS name servers that the peer is told.", many=True, most=2)
    usepeerdns: bool = row(Boolean(), False, "Ask the peer for DNS servers.")
    local_interface_id: int = row(InterfaceId(), 0, "Our IPv6 interface identifier; without it random.")
    peer_interface_id: int = row(
        InterfaceId(), 0, "The peer's IPv6 interface identifier; without it its own or random."
    )
    ipv6_pool: tuple[str, ...] = row(
        Reference("ipv6_pool"), (), "Pools for the prefix of the link, of length 64.", many=True, most=64
    )
    ipv6_address_pool: tuple[str, ...] = row(
        Reference("ipv6_pool"),
        (),
        "Pools for an address that DHCPv6 gives the peer, of length 128.",
        many=True,
        most=64,
    )
    delegated_pool: tuple[str, ...] = row(
        Reference("ipv6_pool"), (), "Pools for the prefix that DHCPv6 delegates to the peer.", many=True, most=64
    )
    ipv6_dns: tuple[str, ...] = row(Ip(6), (), "IPv6 DNS servers that the peer is told.", many=True, most=8)
    ipv6_domain: tuple[str, ...] = row(DomainName(), (), "DNS search list that the peer is told.", many=True, most=8)
    ipv6_valid_lifetime: float = row(
        Seconds(60, YEAR), 7200.0, "Time for which prefixes and addresses are valid when nothing is heard of us."
    )
    ipv6_preferred_lifetime: float = row(
        Seconds(60, YEAR), 3600.0, "Time for which they are preferred; DHCPv6 clients renew after half of it."
    )
    ra: bool = row(Boolean(), True, "Send router advertisements to peers that have something of IPv6 from us.")
    ra_interval: float = row(Seconds(4, 1800), 600.0, "Longest time between router advertisements; a third: shortest.")
    ra_lifetime: float = row(
        Seconds(0, 9000), 1800.0, "Time for which we are the peer's default router; 0: we are none."
    )
    ra_hop_limit: int = row(Number(0, 255, "hops"), 64, "Hop limit that hosts are told; 0: not said.")
    ra_mtu: bool = row(Boolean(), True, "Say the link's MTU in router advertisements.")
    dhcpv6: bool = row(Boolean(), True, "Answer DHCPv6 of peers that have something of IPv6 from us.")
    default_route: bool = row(Boolean(), False, "Add a default route through the link.")
    proxy_arp: bool = row(Boolean(), False, "Answer ARP for the peer's address on the local network.")
    table: int = row(Number(0, 2**32 - 1, "number"), 0, "Routing table for the addresses and routes of links; 0: main.")
    vrf: str = row(Device(), "", "VRF device that interfaces of links belong to.")
    # interface
    interface: str = row(Choice(("own", "shared")), "own", "An interface for each session, or one that sessions share.")
    interface_name: str = row(
        Template(), "", 'Name or template of the interface; without it "ppp%d", or "pppshared" when shared.'
    )
    mss_clamp: bool = row(Boolean(), True, "Lower the MSS of TCP connections to what the link carries.")
    clear_df: bool = row(Boolean(), False, "Ignore the DF bit of packets to the peer that are too large.")
    source_check: bool = row(Boolean(), True, "Drop packets of the peer with a source address that is not its own.")
    # accounting
    accounting: bool = row(
        Boolean(), False, "Tell RADIUS about all links, not only about those whose users RADIUS let in."
    )
    interim_interval: float | None = row(
        Seconds(0, DAY), None, "Time between Interim-Updates, whatever RADIUS or the user says; 0: none."
    )
    # limits
    idle_timeout: float = row(Seconds(0, YEAR), 0.0, "Time without traffic after which the link is ended; 0: never.")
    session_timeout: float = row(Seconds(0, YEAR), 0.0, "Time after which the link is ended; 0: never.")
    time_remaining: float = row(
        Seconds(0, DAY), 60.0, "Time before the end by session_timeout at which the peer is told; 0: never."
    )
    max_sessions: int = row(Number(0, 2**31, "links"), 0, "Most links with this profile; 0: no limit.")
    one_session_per_user: bool = row(Boolean(), False, "Refuse a user who is online already.")
    second_login: str = row(
        Choice(SECOND_LOGINS),
        "allow",
        "What becomes of a user who is online and logs in again: he comes in, or not, or ends the old link.",
    )
    port_limit: int = row(Number(0, 2**31, "links"), 0, "Links that a user may have at once; 0: no limit.")
    rate_limit: RateLimit | None = row(RateLimitOf(), None, "Rate limit, bit/s from and to the user.")
    filter: tuple[str, ...] = row(Reference("filter"), (), "Filters of users who have none of their own.",
                                  many=True, most=16)
    rate_limit_by: str = row(
        Choice(RATE_LIMIT_BY), "auto", "What holds users to their rate limits: traffic control, or the data path."
    )
    unknown_filter: str = row(
        Choice(UNKNOWN_FILTERS), "ignore", "A Filter-Id without a filter block does nothing, or keeps the user out."
    )
    profile_name: str = ""


@dataclass(slots=True)
class IpPool:
    """Addresses for peers."""

    range: tuple[Range, ...] = row(AddressRange(), (), "Addresses from first to last.", many=True)
    prefix: tuple[IPNetwork, ...] = row(Prefix(4), (), "All addresses of a network but its first and last.", many=True)
    next: str = row(Reference("ip_pool"), "", "Pool that is asked when this one is used up.")
    name: str = ""
    ranges: tuple[Range, ...] = field(default=(), compare=False)
    """Ranges and prefixes together: sorted, disjoint. Addresses of profiles and users may be among them; the
    allocator does not give those."""

    @property
    def size(self) -> int:
        return sum(int(one.last) - int(one.first) + 1 for one in self.ranges)


@dataclass(slots=True)
class User:
    """A local user. None: the profile's value."""

    password: str = row(Password(), "", "Password; without it the user comes in by certificate alone.")
    certificate: str = row(Text(), "", "Name in the user's certificate (EAP-TLS); without it the user's own name.")
    ip: str | None = row(Ip(4), None, "Fixed IPv4 address.")
    netmask: str = row(Netmask(), "", "Netmask of ip: the whole network is routed to the user.")
    ip_pool: tuple[str, ...] = row(
        Reference("ip_pool"), (), "Pools for the address; the next when one is used up.", many=True, most=64
    )
    dns: tuple[str, ...] | None = row(Ip(4), None, "DNS servers that the user is told.", many=True, most=2)
    nbns: tuple[str, ...] | None = row(Ip(4), None, "NetBIOS name servers that the user is told.", many=True, most=2)
    interface_id: int | None = row(InterfaceId(), None, "IPv6 interface identifier.")
    ipv6_prefix: tuple[IPNetwork, ...] = row(Prefix(6), (), "Prefixes that the link has.", many=True, most=8)
    ipv6_pool: str = row(Reference("ipv6_pool"), "", "Pool for the prefix of the link.")
    ipv6_address: tuple[str, ...] = row(Ip(6), (), "Addresses that DHCPv6 gives the user.", many=True, most=8)
    ipv6_address_pool: str = row(Reference("ipv6_pool"), "", "Pool for the address that DHCPv6 gives the user.")
    delegated_prefix: tuple[IPNetwork, ...] = row(
        Prefix(6), (), "Prefixes that DHCPv6 delegates to the user.", many=True, most=8
    )
    delegated_pool: str = row(Reference("ipv6_pool"), "", "Pool for the prefix that DHCPv6 delegates to the user.")
    ipv6_dns: tuple[str, ...] = row(Ip(6), (), "IPv6 DNS servers that the user is told.", many=True, most=8)
    routes: tuple[IPNetwork, ...] = row(Prefix(), (), "Networks behind the user.", many=True, most=64)
    route: tuple[RouteTo, ...] = row(
        RouteOf(), (), "Network behind the user, with a gateway there and a metric.", most=64
    )
    table: int | None = row(Number(0, 2**32 - 1, "number"), None, "Routing table for the user; 0: main.")
    vrf: str = row(Device(), "", "VRF device that the user's interface belongs to.")
    rate_limit: RateLimit | None = row(RateLimitOf(), None, "Rate limit, bit/s from and to the user.")
    filter: tuple[str, ...] = row(Reference("filter"), (), "Filters.", many=True, most=16)
    port_limit: int | None = row(Number(0, 2**31, "links"), None, "Links that the user may have at once; 0: no limit.")
    idle_timeout: float | None = row(
        Seconds(0, YEAR), None, "Time without traffic after which the link is ended; 0: never."
    )
    session_timeout: float | None = row(Seconds(0, YEAR), None, "Time after which the link is ended; 0: never.")
    interim_interval: float | None = row(Seconds(0, DAY), None, "Time between Interim-Updates of accounting; 0: none.")
    mtu: int | None = row(Number(128, 16384, "octets"), None, "Largest packet that is sent.")
    reply_message: str = row(Text(), "", "Text for the user when he has come in.")
    name: str = ""


@dataclass(slots=True)
class Filter:
    """What a Filter-Id stands for."""

    rate_limit: RateLimit | None = row(RateLimitOf(), None, "Rate limit, bit/s from and to the user.")
    nft_set: tuple[NftSet, ...] = row(
        NftSetOf(), (), "Sets of nftables that the user's interface or address is in.", many=True, most=16
    )
    name: str = ""


@dataclass(slots=True)
class PropppdConfig:
    """A whole file. Maps are by name, in the order of the file. The profile `default` is always there."""

    system: System
    profiles: dict[str, Profile]
    pools: dict[str, IpPool]
    users: dict[str, User] = field(repr=False)
    radius: Radius = field(default_factory=Radius)
    filters: dict[str, Filter] = field(default_factory=dict)
    ipv6_pools: dict[str, IPv6Pool] = field(default_factory=dict)

    def blocks(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """For `diff`."""
        yield "system", (), self.system
        named: tuple[tuple[str, dict[str, Any]], ...] = (
            ("ip_pool", self.pools),
            ("ipv6_pool", self.ipv6_pools),
            ("filter", self.filters),
            ("profile", self.profiles),
            ("user", self.users),
        )
        for kind, records in named:
            for name, record in records.items():
                yield kind, (name,), record
        yield "radius", (), self.radius
        for name, server in self.radius.servers.items():
            yield "radius server", (name,), server
        if (dynamic := self.radius.dynamic) is not None:
            yield "dynamic_authorization", (), dynamic
            for name, client in dynamic.clients.items():
                yield "client", (name,), client


CATEGORIES = BlockType("log_categories", LogCategories, "Log levels by category.", named=False)
SYSTEM = BlockType("system", System, "The daemon as a whole.", named=False, blocks=(CATEGORIES,))
PROFILE = BlockType("profile", Profile, "What PPP links are told.")
IP_POOL = BlockType("ip_pool", IpPool, "Addresses for peers.")
IPV6_POOL = BlockType("ipv6_pool", IPv6Pool, "Prefixes, or addresses, for peers.")
FILTER = BlockType("filter", Filter, "What a Filter-Id stands for.")
USER = BlockType("user", User, "A local user.")
BLOCKS = (SYSTEM, PROFILE, IP_POOL, IPV6_POOL, FILTER, USER, RADIUS)
FILE = BlockType("", None, "propppd.conf", named=False, blocks=BLOCKS)
