"""What a PPP link asks of its shell, in the order in which to carry it out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SendFrame:
    """One PPP frame without HDLC flags, FCS or escapes: address and control field unless compressed, protocol,
    information."""

    frame: bytes


@dataclass(slots=True)
class AskAuthentication:
    """The peer has proved or claimed who it is. Answer `link.authenticated(grant, now)`,
    `link.refused(message, now)`, or for 'eap' also `link.eap_request(packet, now)` and, to the one with the Identity,
    `link.eap_local(now)`. While it is open no network protocol starts; repeated requests are not asked twice."""

    method: str
    """How the proof is checked: 'pap', 'chap', 'mschapv1', 'mschapv2', whether inside EAP or not; 'tls' is EAP-TLS
    whose certificate was verified; 'eap' is EAP that the shell hands on."""
    user: bytes
    identifier: int
    password: bytes = field(default=b"", repr=False)
    """PAP only."""
    challenge: bytes = b""
    """Ours; of MS-CHAPv2 the authenticator's challenge."""
    response: bytes = b""
    """The digest; of MS-CHAP the NT-Response, empty when the peer gives an LM-Response instead."""
    peer_challenge: bytes = b""
    """MS-CHAPv2 only."""
    flags: int = 0
    """Last octet of an MS-CHAP Response."""
    eap: bytes = b""
    """'eap' only: the peer's whole EAP Response. `user` is the Identity that it gave."""
    certificate: tuple[str, ...] = ()
    """'tls' only: the names in the peer's certificate. `user` is no more than what the peer calls itself."""
    renewal: bool = False
    """True for a re-challenge of a link that is already up: the grant is not applied again."""


@dataclass(slots=True)
class LinkOpened:
    """LCP is up: options of both directions are settled (link.mtu, link.peer_mru, ...)."""


@dataclass(slots=True)
class LinkAuthenticated:
    """Authentication of both directions is done or was not asked for; network protocols start after this."""

    user: str


@dataclass(slots=True)
class NetworkUp:
    """A network protocol is open: configure the interface. For 'ip': addresses as text, dns/nbns learnt from the
    peer. For 'ipv6': link-local addresses as text."""

    protocol: str
    """'ip' or 'ipv6'."""
    local: str
    peer: str
    dns: tuple[str, ...] = ()
    nbns: tuple[str, ...] = ()


@dataclass(slots=True)
class NetworkDown:
    protocol: str


@dataclass(slots=True)
class PeerSays:
    """What the peer tells people, as one printable line; of each kind at most once a minute (RFC 1570)."""

    kind: str
    """'identification' or 'time-remaining'."""
    text: str
    seconds: int = 0
    """'time-remaining' only: the peer ends the link then."""


@dataclass(slots=True)
class CompressionUp:
    """CCP is open: packets are compressed or encrypted from now on. For each direction the codec, as a word of
    `ccp.CODECS`, empty when there is none; the data of its option; and the start key when it is MPPE."""

    send: str
    receive: str
    send_option: bytes = b""
    receive_option: bytes = b""
    send_key: bytes = field(default=b"", repr=False)
    receive_key: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class CompressionDown:
    """Nothing is compressed any more; what was encrypted must not be sent otherwise."""


@dataclass(slots=True)
class CompressionReset:
    """The history of a direction starts anew: 'send' before the next packet, 'receive' with the next that comes."""

    direction: str


@dataclass(slots=True)
class LinkDown:
    """The link is finished for good; nothing follows. `cause` is a word of `link.CAUSES`, `message` for people."""

    cause: str
    message: str
    by_peer: bool


Output = (
    SendFrame
    | AskAuthentication
    | LinkOpened
    | LinkAuthenticated
    | PeerSays
    | CompressionUp
    | CompressionDown
    | CompressionReset
    | NetworkUp
    | NetworkDown
    | LinkDown
)
