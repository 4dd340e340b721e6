"""What a PPP link is told about itself: a plain record, filled by propppd from profile, user and create options.

Names and defaults follow pppd's where it has the option. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from prol2tp.ppp.eaptls import TLSEngine


@dataclass(slots=True)
class LinkSettings:
    # who proves itself to whom
    auth_methods: tuple[str, ...] = ("chap", "pap")
    """Methods that we may demand of the peer, best first, out of `PEER_METHODS` in link.py."""
    auth: bool = False
    """Demand that the peer authenticates itself; without success no network protocol comes up."""
    allow_methods: tuple[str, ...] = ("chap", "pap")
    """Methods by which we let ourselves be asked."""
    user: str = ""
    """Our name towards the peer."""
    password: str = ""
    """Our secret towards the peer."""
    name: str = ""
    """Our own name in a CHAP challenge (authenticator)."""
    eap_methods: tuple[str, ...] = ("mschapv2", "md5")
    """Methods inside EAP that we may demand of the peer, best first, out of `EAP_METHODS` in eappacket.py."""
    eap_allow_methods: tuple[str, ...] = ("mschapv2", "md5")
    """Methods inside EAP by which we let ourselves be asked, best first."""
    eap_passthrough: bool = False
    """As authenticator: the shell is asked who runs EAP for the user that the peer names: the methods here, or a server
    behind it, which gets the peer's packets and answers with its own (RFC 3579)."""
    tls: Callable[[bool], TLSEngine] | None = field(default=None, repr=False, compare=False)
    """Makes an engine for EAP-TLS; True: of the server, which the authenticator is. None: EAP-TLS is not spoken."""
    # LCP (RFC 1661)
    mru: int = 1500
    """What we ask for; option left out when 1500."""
    proxy_mru: int = 0
    """Largest MRU that is taken over from another end that has negotiated it: what is more than the path carries in one
    piece comes in fragments, which costs less than a second negotiation; 0: `mru`."""
    mtu: int = 1500
    """Largest we would send, whatever the peer's MRU."""
    asyncmap: int | None = None
    """ACCM to ask for; None: option left out (synchronous link, as L2TP is)."""
    magic: bool = True
    pcomp: bool = True
    accomp: bool = True
    identification: str = ""
    """What the peer is told about us when LCP is open (RFC 1570 section 2.1); empty: nothing."""
    refuse: tuple[str, ...] = ()
    """Options that the peer may not have, by pppd's words: 'mru', 'asyncmap', 'magic', 'pcomp', 'accomp'."""
    access: bool = False
    """An access concentrator's link: LCP and the peer's first step of authentication, then `Link.hand_over`. It answers
    no authentication itself, and no network protocol comes up."""
    passive: bool = False
    """Stay in Stopped after the first give-up and wait for the peer."""
    silent: bool = False
    """Do not send Configure-Request until the peer has."""
    restart_interval: float = 3.0
    max_configure: int = 10
    max_terminate: int = 2
    max_failure: int = 5
    lcp_echo_interval: float = 0.0
    lcp_echo_failures: int = 0
    lcp_echo_adaptive: bool = False
    """Send Echo-Request only when nothing was received since the last."""
    # authentication exchanges
    pap_restart: float = 3.0
    pap_max_requests: int = 10
    pap_timeout: float = 30.0
    """As authenticator: time to wait for the peer's request; 0: for ever."""
    chap_restart: float = 3.0
    chap_max_challenges: int = 10
    chap_interval: float = 0.0
    """Re-challenge; 0: never."""
    mschap_retries: int = 2
    """Times that the peer may try another password on one challenge, when the shell's refusal allows it."""
    eap_restart: float = 3.0
    eap_max_requests: int = 10
    """As authenticator: times that one Request is sent."""
    eap_timeout: float = 20.0
    """As peer: time to wait for the next Request or the verdict; 0: for ever."""
    eap_max_received: int = 20
    """As peer: most Requests that are answered."""
    # compression and encryption (RFC 1962, RFC 3078)
    codecs: tuple[str, ...] = ()
    """What the data path can do with packets, best first, out of `CODECS` in ccp.py; without any no CCP is spoken."""
    mppe_required: bool = False
    """No network protocol without encryption in both directions."""
    mppe_strengths: tuple[int, ...] = (128,)
    """Bits of keys that we let ourselves in for: 128, 56, 40."""
    mppe_stateful: bool = False
    """The peer may choose keys that depend on the packets before, which a line that loses packets breaks."""
    # network protocols
    ip: bool = True
    ipv6: bool = True
    local_ip: str = ""
    """Our IPv4 address; empty: take what the peer gives."""
    peer_ip: str = ""
    """The peer's address when no authentication answer gives one; empty: what it asks for is accepted unless auth."""
    accept_local: bool = False
    """Take the peer's Nak although local_ip is set."""
    accept_remote: bool = False
    """Take the peer's own idea although peer_ip is set."""
    dns: tuple[str, ...] = ()
    """Given to the peer on request (RFC 1877), two at most."""
    nbns: tuple[str, ...] = ()
    usepeerdns: bool = False
    """Ask the peer for DNS and NBNS addresses."""
    local_interface_id: int = 0
    """IPv6CP 64-bit identifier; 0: random."""
    peer_interface_id: int = 0
    # limits
    idle_timeout: float = 0.0
    session_timeout: float = 0.0
    time_remaining: float = 60.0
    """So long before session_timeout the peer is told of it (RFC 1570 section 2.2); 0: never."""
    auth_deadline: float = 60.0
    """From LCP up to authenticated, both directions; then the link is terminated."""
    extra: dict[str, str] = field(default_factory=dict)
    """Values of later parts (CCP, RADIUS); the core does not read it."""


@dataclass(slots=True)
class Grant:
    """What an authentication answer gives a link; None: as the settings of the link say."""

    user: str = ""
    """The name under which the user is known from now on (a server may rewrite it)."""
    local_ip: str | None = None
    peer_ip: str | None = None
    dns: tuple[str, ...] | None = None
    nbns: tuple[str, ...] | None = None
    peer_interface_id: int | None = None
    idle_timeout: float | None = None
    session_timeout: float | None = None
    mtu: int | None = None
    message: str = ""
    """Text for the peer in the Ack or Success."""
    authenticator_response: str = ""
    """MS-CHAPv2: `S=` and 40 hex digits, which prove to the peer that its password is known here."""
    mppe_send_key: bytes = field(default=b"", repr=False)
    """MPPE start key for what we send, when the answer has one (RFC 2548: MS-MPPE-Send-Key)."""
    mppe_receive_key: bytes = field(default=b"", repr=False)
    mppe_required: bool = False
    """The answer insists on encryption, as `LinkSettings.mppe_required`; it can never take that back."""
    mppe_strengths: tuple[int, ...] | None = None
    """What the answer allows of `LinkSettings.mppe_strengths`."""
    authorization: Any = None
    """For the shell, which reads it before the core does: what concerns the network around the link."""
