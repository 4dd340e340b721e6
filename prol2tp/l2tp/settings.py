"""What a tunnel and a call are told about themselves: plain records, filled by the daemon from its configuration.

Times are seconds, rates bits per second. The records hold no behaviour, so that they can be written and read back.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TunnelSettings:
    """One control connection (RFC 2661 section 4.4.3 for the AVPs that these values become)."""

    host_name: str
    """Host Name AVP."""
    vendor_name: str = ""
    """Vendor Name AVP; left out when empty."""
    secret: bytes = field(default=b"", repr=False)
    """Shared secret for the tunnel challenge and for AVP hiding; empty: none."""
    challenge: bool = False
    """Send a Challenge and demand the right answer (section 5.1.1). A challenge of the peer is always answered
    when there is a secret."""
    hide_avps: bool = False
    """Hide the AVPs that may be hidden (section 4.3); never in SCCRQ."""
    use_tiebreaker: bool = True
    """Send a Tie Breaker AVP in SCCRQ (section 5.8 / 4.4.3)."""
    framing_caps: int = 3
    """Framing Capabilities: 1 synchronous, 2 asynchronous."""
    bearer_caps: int = 3
    """Bearer Capabilities: 1 digital, 2 analog; 0 leaves the AVP out."""
    firmware_revision: int = 0
    """Firmware Revision AVP; 0 leaves it out."""
    hello_timeout: float = 60.0
    """Silence after which HELLO is sent; 0: never."""
    retry_timeout: float = 1.0
    """First retransmission; doubles."""
    retry_cap: float = 8.0
    """Longest time between retransmissions (section 5.8: not under 8)."""
    max_retries: int = 5
    """Retransmissions of one message before the tunnel is given up."""
    rx_window_size: int = 10
    """Receive Window Size AVP that we send, 1..32768."""
    tx_window_size: int = 10
    """Upper bound on our own send window, whatever the peer offers."""
    establish_timeout: float = 120.0
    """Time from creation to ESTABLISHED."""
    idle_timeout: float = 0.0
    """Time without a session after which the tunnel is closed; 0: never."""
    max_sessions: int = 0
    """Most calls in this tunnel; 0: no limit but the id space."""
    # version 3 (RFC 3931)
    version: str = "l2tpv2"
    """`l2tpv2`, `l2tpv3`, or `auto`: as the peer can, version 3 if possible (RFC 3931 section 4.7.3)."""
    router_id: int = 0
    """Router ID AVP."""
    pseudowires: tuple[int, ...] = (7, 5, 4)
    """Pseudowire Capabilities List AVP, and the types that the peer may ask for."""
    digest_type: int = 0
    """Message Digest: 0 HMAC-MD5, 1 HMAC-SHA-1."""
    integrity: bool = False
    """Send a Message Digest also without a secret."""
    preferred_language: str = ""
    """Preferred Language AVP; left out when empty."""
    static: bool = False
    """No control connection: `tunnel_id` and `peer_tunnel_id` are given, and those of the sessions."""
    tunnel_id: int = 0
    peer_tunnel_id: int = 0
    profile_name: str = ""
    """Shown in status; means nothing to the protocol."""
    name: str = ""
    """Administrative name; empty for a tunnel that the network created."""


@dataclass(slots=True)
class AccessLine:
    """The subscriber's line, as a LAC tells it in ICRQ (RFC 5515); None: not known. Rates are bit/s, delays
    milliseconds."""

    agent_circuit_id: bytes | None = None
    agent_remote_id: bytes | None = None
    actual_data_rate_upstream: int | None = None
    actual_data_rate_downstream: int | None = None
    minimum_data_rate_upstream: int | None = None
    minimum_data_rate_downstream: int | None = None
    attainable_data_rate_upstream: int | None = None
    attainable_data_rate_downstream: int | None = None
    maximum_data_rate_upstream: int | None = None
    maximum_data_rate_downstream: int | None = None
    minimum_data_rate_upstream_low_power: int | None = None
    minimum_data_rate_downstream_low_power: int | None = None
    maximum_interleaving_delay_upstream: int | None = None
    actual_interleaving_delay_upstream: int | None = None
    maximum_interleaving_delay_downstream: int | None = None
    actual_interleaving_delay_downstream: int | None = None
    access_loop_encapsulation: bytes | None = None
    """Three octets: data link, encapsulation 1, encapsulation 2."""
    iwf_session: int | None = None


@dataclass(slots=True)
class SessionSettings:
    """One call. `outgoing_call` False: ICRQ from LAC to LNS; True: OCRQ from LNS to LAC."""

    outgoing_call: bool = False
    establish_timeout: float = 120.0
    sequencing_required: bool = False
    """Sequencing Required AVP (section 4.4.6)."""
    send_sequence: bool = False
    """Put Ns into our data messages even if the peer did not require it."""
    framing_type: int = 1
    """1 synchronous, 2 asynchronous."""
    bearer_type: int = 1
    """1 digital, 2 analog; 0 leaves the AVP out where it is optional."""
    minimum_bps: int = 0
    maximum_bps: int = 1_000_000_000
    tx_connect_speed: int = 1_000_000_000
    rx_connect_speed: int = 0
    """0 leaves the Rx Connect Speed AVP out (it equals Tx)."""
    calling_number: str = ""
    called_number: str = ""
    sub_address: str = ""
    private_group_id: bytes = b""
    physical_channel_id: int | None = None
    # proxy LCP and authentication (section 4.4.5), as a LAC hands them over in ICCN
    initial_received_lcp_confreq: bytes = b""
    last_sent_lcp_confreq: bytes = b""
    last_received_lcp_confreq: bytes = b""
    proxy_authen_type: int | None = None
    proxy_authen_name: bytes = b""
    proxy_authen_challenge: bytes = field(default=b"", repr=False)
    proxy_authen_id: int | None = None
    proxy_authen_response: bytes = field(default=b"", repr=False)
    # what the LNS may negotiate (RFC 3437), in ICCN and OCCN: LCP options, each as in a Configure-Request
    lcp_want_options: bytes = b""
    lcp_allow_options: bytes = b""
    # of the subscriber's line (RFC 5515), in ICRQ
    line: AccessLine | None = None
    call_serial_number: int = 0
    """Call Serial Number AVP of a call of ours; 0: the next one. A tunnel switch keeps that of the LAC."""
    speed_updates: bool = False
    """Send Connect Speed Update Enable: we are going to say when the speeds change."""
    # version 3 (RFC 3931 section 5.4.4)
    pseudowire: int = 7
    """Pseudowire Type AVP: 4 Ethernet VLAN, 5 Ethernet, 7 PPP."""
    remote_end_id: str = ""
    """Remote End ID AVP: the circuit that we want of the peer."""
    cookie_length: int = 0
    """Octets of the cookie that we assign: 0, 4 or 8."""
    l2_sublayer: bool = False
    """Ask for the Default L2-Specific Sublayer, which sequence numbers need."""
    data_sequencing: int = 0
    """Data Sequencing AVP, what we want numbered: 0 nothing, 1 what is not IP, 2 everything."""
    interface_mtu: int = 0
    """Interface Maximum Transmission Unit AVP (RFC 4667); 0 leaves it out."""
    circuit_active: bool = True
    """Circuit Status when the session is set up."""
    use_tiebreaker: bool = True
    """Session Tie Breaker AVP."""
    session_id: int = 0
    """Of a static session, as all that follows."""
    peer_session_id: int = 0
    cookie: bytes = field(default=b"", repr=False)
    peer_cookie: bytes = field(default=b"", repr=False)
    profile_name: str = ""
    pseudowire_profile_name: str = ""
    name: str = ""
