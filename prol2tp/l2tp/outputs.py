"""What the L2TP core asks of its shell, in the order in which to carry it out.

Requests are imperative (`Transmit`), facts are noun and state (`SessionUp`). An address is a tuple
`(text, port)`, the text as `inet_ntop` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prol2tp.l2tp.avptable import DisconnectCause

Address = tuple[str, int]


@dataclass(slots=True)
class Transmit:
    """Send one control datagram from `local` (the address that the peer talks to) to `peer`."""

    data: bytes
    peer: Address
    local: Address
    ifindex: int = 0
    tunnel_id: int = 0
    """Whose it is; 0: an answer to somebody who has no tunnel."""


@dataclass(slots=True)
class AskTunnelAdmission:
    """An SCCRQ came. Answer `endpoint.tunnel_admitted(tunnel_id, settings, now)` or `tunnel_refused(...)`."""

    tunnel_id: int
    peer: Address
    local: Address
    message: Any
    """The decoded SCCRQ: `message.host_name` and so on."""


@dataclass(slots=True)
class AskSessionAdmission:
    """An ICRQ or OCRQ came. Answer `endpoint.session_admitted(tunnel_id, session_id, settings, now)`
    or `session_refused(...)`."""

    tunnel_id: int
    session_id: int
    message: Any


@dataclass(slots=True)
class OpenDataPath:
    """Make the data path of a call: both session ids are known. Answer `data_path_opened(tunnel_id, session_id, now)`
    or `data_path_failed(...)`. Asked once per call, before the call is up, so that no early data message is lost."""

    tunnel_id: int
    session_id: int
    peer_tunnel_id: int
    peer_session_id: int
    send_sequence: bool
    receive_sequence: bool
    """Whether the peer will put Ns into its data messages (we drop what is late)."""
    lns: bool
    """True where we are the LNS of this call: the LNS decides about sequencing (section 5.4)."""
    version: int = 2
    """From here on of version 3 alone."""
    pseudowire: int = 7
    cookie: bytes = field(default=b"", repr=False)
    """Ours, which stands in what we receive; `peer_cookie` in what we send."""
    peer_cookie: bytes = field(default=b"", repr=False)
    receive_sublayer: bool = False
    """The Default L2-Specific Sublayer stands in what we receive; `send_sublayer`: in what we send."""
    send_sublayer: bool = False
    mtu: int = 0
    """Interface MTU that was agreed on; 0: none."""


@dataclass(slots=True)
class ModifyDataPath:
    """Sequencing of an open data path became known or changed (ICCN/OCCN)."""

    tunnel_id: int
    session_id: int
    send_sequence: bool
    receive_sequence: bool


@dataclass(slots=True)
class CloseDataPath:
    """Undo `OpenDataPath`."""

    tunnel_id: int
    session_id: int


@dataclass(slots=True)
class TunnelCreated:
    tunnel_id: int


@dataclass(slots=True)
class TunnelUp:
    tunnel_id: int


@dataclass(slots=True)
class TunnelDown:
    """The tunnel left ESTABLISHED or gave up before. `by_peer`: who ended it. Result, error: section 4.4.2."""

    tunnel_id: int
    result: int
    error: int
    message: str
    by_peer: bool


@dataclass(slots=True)
class TunnelDeleted:
    """The id is free again; the shell forgets the tunnel. Comes once, last, for every `TunnelCreated`."""

    tunnel_id: int


@dataclass(slots=True)
class SessionCreated:
    tunnel_id: int
    session_id: int


@dataclass(slots=True)
class SessionUp:
    tunnel_id: int
    session_id: int


@dataclass(slots=True)
class SessionDown:
    """The call ended or never came up. Result and error code: section 4.4.2 (CDN)."""

    tunnel_id: int
    session_id: int
    result: int
    error: int
    message: str
    by_peer: bool
    disconnect: DisconnectCause | None = None
    """Why PPP ended, if that was said (RFC 3145)."""


@dataclass(slots=True)
class SessionDeleted:
    tunnel_id: int
    session_id: int


@dataclass(slots=True)
class LinkInfoChanged:
    """SLI (section 6.14): the LNS tells the LAC the ACCM of the call, and what LCP came to (RFC 3437 section 2.3)."""

    tunnel_id: int
    session_id: int
    send_accm: int
    receive_accm: int
    last_sent: bytes = b""
    """Options of the last Configure-Request that the LNS has sent, and `last_received`; empty: it does not say."""
    last_received: bytes = b""


@dataclass(slots=True)
class WANErrors:
    """WEN (section 6.13): error counters that the LAC reports."""

    tunnel_id: int
    session_id: int
    counters: Any


@dataclass(slots=True)
class SpeedChanged:
    """CSUN (RFC 5515): the LAC tells the connect speeds of a call that is up, bit/s to and from the subscriber."""

    tunnel_id: int
    session_id: int
    tx: int
    rx: int


@dataclass(slots=True)
class CircuitChanged:
    """The peer's attachment circuit went up or down (RFC 3931 section 5.4.5)."""

    tunnel_id: int
    session_id: int
    active: bool


Output = (
    Transmit | AskTunnelAdmission | AskSessionAdmission | OpenDataPath | ModifyDataPath | CloseDataPath
    | TunnelCreated | TunnelUp | TunnelDown | TunnelDeleted
    | SessionCreated | SessionUp | SessionDown | SessionDeleted | LinkInfoChanged | WANErrors | SpeedChanged
    | CircuitChanged
)
