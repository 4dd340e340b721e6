"""The commands of propppd, its records and its events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record, listing, table
from prol2tp.control.commands.propppd_status import (
    ACCOUNTING_QUEUE,
    CONFIG_COUNTS,
    EVENT_COUNTS,
    FILTER_COUNTS,
    POOL_ROW,
    PPP_COUNTS,
    RADIUS_COUNTS,
    RATE_LIMITS_RECORD,
    SERVER_ROW,
    STATUS_RECORD,
)
from prol2tp.control.commands.shared import (
    CHANGE,
    COUNTERS_RECORD,
    ENDED,
    EVENT,
    HISTORY_HELP,
    NOTIFY,
    PREVIEW_RELOAD,
    RATES,
    RELOAD,
    SUBSCRIBE,
    SUBSCRIBER,
    TRACE,
    TRACE_LINE,
    TRACED,
    TRAFFIC_HELP,
    TRAFFIC_LIMIT,
    TRAFFIC_RECORD,
    UNSUBSCRIBE,
)

SOCKET = "propppd.sock"
"""Name of the UNIX socket in the run directory."""

NAME = Argument("name", "text", False, "the link, by its name: `session-N`")


LINK_ROW = Record(
    "link-row",
    (
        Field("name", "text", "`session-N`"),
        Field("interface", "text", "network interface; empty: none yet"),
        Field("duration", "number", "seconds since the network came up; 0: it is not up"),
        Field("up", "boolean", "at least one network protocol is up"),
        Field("state", "text", "phase, as in `link`"),
        Field("user", "text", "authenticated user, or else our own name towards the peer; empty: neither"),
        Field("id", "text", "what carries it; L2TP: `TUNNEL/SESSION`, our ids; PPPoE: interface and name; tty: device"),
    ),
    "A line of `propppctl list`.",
)
AUTOMATON = (
    Field("want", "words", "options that we ask for"),
    Field("got", "words", "options that the peer granted us"),
    Field("allow", "words", "options that the peer may ask for"),
    Field("his", "words", "options that we granted the peer"),
    Field(
        "state",
        "text",
        "RFC 1661 section 4.2 in capitals: INITIAL STARTING CLOSED STOPPED CLOSING STOPPING"
        " REQSENT ACKRCVD ACKSENT OPENED",
    ),
    Field("timeout", "number", "restart timer, seconds"),
    Field("max_configure", "integer", "Max-Configure"),
    Field("max_terminate", "integer", "Max-Terminate"),
    Field("retransmits", "integer", "restart counter: requests left"),
    Field("naks", "integer", "Configure-Naks sent in this negotiation"),
    Field("naks_since_ack", "integer", "of these, since the last Configure-Ack"),
)
LCP_RECORD = Record(
    "lcp",
    (
        Field("echo_interval", "number", "seconds; 0: none sent"),
        Field("echo_failures", "integer", "echoes without answer that end the link; 0: any number"),
        Field("next_echo", "number", "seconds to the next Echo-Request; 0: none planned"),
        *AUTOMATON,
        Field("peer_identification", "text", "what the peer says that it is (RFC 1570), printable; empty: nothing"),
        Field("proxied", "boolean", "as an access concentrator has negotiated it (RFC 2661 section 4.4.5)"),
    ),
    "LCP. Option words: pap chap mschapv1 mschapv2 eap asyncmap magic mru pcomp accomp.",
)
CCP_RECORD = Record("ccp", AUTOMATON, "CCP. Option words: bsd deflate predictor1.")
IPCP_RECORD = Record(
    "ipcp",
    (*AUTOMATON, Field("local", "text", "our IPv4 address; empty: none"), Field("peer", "text", "the peer's")),
    "IPCP. Option words: negaddr reqaddr dns1 wins1 dns2 wins2 proxyarp.",
)
IPV6CP_RECORD = Record(
    "ipv6cp",
    (*AUTOMATON, Field("local", "text", "our link-local address; empty: none"), Field("peer", "text", "the peer's")),
    "IPv6CP. Option words: ifid.",
)
PAP_RECORD = Record(
    "pap",
    (
        Field("timeout", "number", "as authenticator: seconds to wait for a request"),
        Field("restart", "number", "seconds between our requests"),
        Field("our_state", "text", "as authenticatee: INITIAL CLOSED PENDING AUTHREQ OPEN BADAUTH"),
        Field("peer_state", "text", "as authenticator: INITIAL CLOSED PENDING LISTEN OPEN BADAUTH"),
    ),
    "PAP, both roles.",
)
CHAP_RECORD = Record(
    "chap",
    (
        Field("timeout", "number", "seconds between Challenges"),
        Field("rechallenge", "number", "seconds between re-challenges; 0: none"),
        Field("local_state", "words", "as authenticator: lowerup started timeout done failed"),
        Field("transmits", "integer", "Challenges sent in the current exchange"),
        Field("peer_state", "words", "as authenticatee: the same words"),
    ),
    "CHAP, both roles.",
)
EAP_SIDE = Record(
    "eap-side",
    (
        Field(
            "state",
            "text",
            "local: Closed Identify Method Asked Confirm Refused Open BadAuth; peer: Closed Listen Answered Done Open"
            " BadAuth",
        ),
        Field("requests", "integer"),
        Field("responses", "integer"),
        Field("timeout", "number", "seconds"),
        Field("max_requests", "integer"),
    ),
    "One role of EAP.",
)
EAP_RECORD = Record("eap", (Field("local", "eap-side"), Field("peer", "eap-side")), "EAP, both roles.")
RADIUS_RECORD = Record(
    "radius",
    (Field("status", "text", "`AUTH_CHAP_ACK`, ..."), Field("accounting_updates", "integer", "sent")),
    "RADIUS for one link.",
)
AUTH_RECORD = Record(
    "auth",
    (
        Field("remote_name", "text", "authenticated name of the peer"),
        Field("config_local", "words", "methods that the configuration lets us demand of the peer"),
        Field("config_peer", "words", "methods by which the configuration lets the peer ask us"),
        Field("done_local", "words", "methods carried out on the peer, we being the authenticator"),
        Field("done_peer", "words", "methods carried out on us, the peer being the authenticator"),
        Field("proxied", "boolean", "the peer gave its proof to an access concentrator, which handed it on"),
    ),
    "Authentication of both directions.",
)
L2TP_RECORD = Record(
    "pppol2tp",
    (
        Field("version", "integer", "L2TP version"),
        Field("lns", "boolean", "we are the LNS of the call"),
        Field("tunnel_id", "integer"),
        Field("session_id", "integer"),
        Field("peer_tunnel_id", "integer"),
        Field("peer_session_id", "integer"),
    ),
    "The L2TP session that carries the link.",
)
TRIES = (
    Field("failures", "integer", "tries in a row without success"),
    Field("next_try", "number", "seconds to the next one; 0: none is planned"),
)
PPPOE_RECORD = Record(
    "pppoe",
    (
        Field("interface", "text", "Ethernet interface"),
        Field("vlan", "integer", "VLAN id of our tags; 0: none"),
        Field("service_name", "text", "that we ask for, or have; empty: any"),
        Field("ac_name", "text", "access concentrator that we ask for, or have; empty: any"),
        Field("state", "text", "of discovery: IDLE PADI_SENT PADR_SENT SESSION; a subscriber's session: SESSION"),
        Field("session_id", "integer", "0: none yet"),
        Field("peer_mac", "text", "of the access concentrator, or of the subscriber; upper case with colons; empty:"
                                  " none yet"),
        Field("interface_mtu", "integer", "of the Ethernet interface; 0: not known"),
        Field("max_payload", "integer", "largest PPP payload: 1492, or what PPP-Max-Payload has settled (RFC 4638);"
                                        " 0: not known yet"),
        *TRIES,
    ),
    "The PPPoE session that carries the link.",
)
TTY_RECORD = Record(
    "tty",
    (
        Field("device", "text", ""),
        Field("speed", "integer", "bit/s; 0: as it was"),
        Field("send_accm", "integer", "control characters that we escape: bit N stands for character N (RFC 1662)"),
        Field("receive_accm", "integer", "control characters that are dropped where the peer has not escaped them"),
        Field("bad_frames", "integer", "frames with a wrong FCS, aborted, too long, or bad packets"),
        *TRIES,
    ),
    "The tty that carries the link.",
)
LINK_KINDS = {record.name: record for record in (L2TP_RECORD, PPPOE_RECORD, TTY_RECORD)}
"""What may carry a link, each with its record."""
IPV6_RECORD = Record(
    "ipv6",
    (
        Field("prefixes", "words", "prefixes of the link, announced in router advertisements"),
        Field("addresses", "words", "addresses that DHCPv6 may lease"),
        Field("delegated", "words", "prefixes that DHCPv6 may delegate"),
        Field("leased", "words", "of both, those that a client has now"),
        Field("dns", "words", "DNS servers that the peer is told"),
        Field("routes", "words", "routes that router advertisements tell of (RFC 4191)"),
        Field("solicitations", "integer", "router solicitations received"),
        Field("advertisements", "integer", "router advertisements sent"),
        Field("dhcpv6_received", "integer", "DHCPv6 messages received"),
        Field("dhcpv6_sent", "integer", "DHCPv6 messages sent"),
        Field("bad", "integer", "packets of the peer that could not be read, or are for nothing that we serve"),
    ),
    "What we give the peer by IPv6.",
)
NETWORK_RECORD = Record(
    "network",
    (
        Field("pool", "text", "pool of the IPv4 address; empty: none"),
        Field("routes", "words", "networks behind the user, as `192.0.2.0/24 via 10.0.0.1 metric 5`"),
        Field("filters", "words", "Filter-Ids"),
        Field("table", "integer", "routing table; 0: main"),
        Field("vrf", "text", "VRF device; empty: none"),
    ),
    "What a user has on the network beside his address.",
)
RATE_RECORD = Record(
    "rate",
    (
        Field("up", "integer", "bit/s from the user; 0: no limit"),
        Field("up_by", "text", "`tc`: traffic control of the interface; `path`: the data path; empty: nobody"),
        Field("down", "integer", "bit/s to the user"),
        Field("down_by", "text", "as up_by"),
    ),
    "Rate limits of a link.",
)
LINK_RECORD = Record(
    "link",
    (
        Field("name", "text", "`session-N`"),
        Field("interface", "text", "empty: none yet"),
        Field("created_at", "number", "seconds since 1970"),
        Field("type", "text", "`pppol2tp`, `pppoe` or `tty`"),
        Field("profile", "text", "profile of propppd.conf"),
        Field("user", "text", "as in `link-row`"),
        Field("up", "boolean", "at least one network protocol is up"),
        Field("debug", "integer", "syslog level: 7 debug, 6 info, 5 notice, 4 warning, 3 error, 2 critical"),
        Field("connect_delay", "integer", "milliseconds that we wait for the peer before we start"),
        Field("state", "text", "phase: DEAD ESTABLISH AUTHENTICATE NETWORK RUNNING TERMINATE"),
        Field("connect_seconds", "number", "seconds since the network came up"),
        Field("mtu", "integer", "largest packet that we send"),
        Field("peer_mru", "integer", "the peer's MRU"),
        Field("mtu_limits", "json", "object of what `mtu` is the least of: `profile`, `carrier` (what carries the link;"
                                    " 0: no limit), `user` (his MTU, or that of both before) and `peer`"),
        Field("run_count", "integer", "times that a frame or a timer came"),
        Field("lcp", "lcp"),
        Field("ccp", "ccp?", "null: not part of this link"),
        Field("ipcp", "ipcp?", "null: IPv4 is turned off"),
        Field("ipv6cp", "ipv6cp?", "null: IPv6 is turned off"),
        Field("pap", "pap"),
        Field("chap", "chap"),
        Field("eap", "eap?", "null: not part of this link"),
        Field("radius", "radius?", "null: no RADIUS"),
        Field("auth", "auth"),
        *(Field(kind, f"{kind}?", "null: something else carries the link") for kind in LINK_KINDS),
        Field("ipv6", "ipv6?", "null: there is nothing to give, or IPv6CP is not up"),
        Field("network", "network?", "null: nobody is online, or there is no more than a pool"),
        Field("rate", "rate?", "null: no rate limit"),
    ),
    "One link (`propppctl show`).",
)
ATTACH_ROW = Record(
    "attach-row",
    (
        Field("id", "text", "`TUNNEL/SESSION`, our ids; unique while it lives"),
        Field("port", "integer", "port of the data path"),
        Field("tunnel_id", "integer"),
        Field("session_id", "integer"),
        Field("peer_tunnel_id", "integer"),
        Field("peer_session_id", "integer"),
        Field("lns", "boolean", "we are the LNS of the call"),
        Field("version", "integer", "L2TP version"),
        Field("ppp_profile", "text", "profile of propppd.conf"),
        Field("user_name", "text", "our name towards the peer; empty: the profile's"),
        Field("user_password", "text", "our secret towards the peer; never logged"),
        Field("interface_name", "text", "wish; empty: the profile's"),
        Field("peer_address", "text", "of the L2TP peer"),
        Field("local_address", "text", "of ours"),
        Field("calling_number", "text"),
        Field("called_number", "text"),
        Field("tunnel_name", "text"),
        Field("session_name", "text"),
        Field("host_name", "text", "our name in the tunnel"),
        Field("peer_host_name", "text", "the peer's"),
        Field("call_serial_number", "integer", "of the call, the same at both ends"),
        Field("tx_connect_speed", "integer", "bit/s from the LAC to the subscriber; 0: not known"),
        Field("rx_connect_speed", "integer", "bit/s from the subscriber to the LAC; 0: not known, or the same"),
        Field("mtu", "integer", "largest PPP payload that the tunnel carries; 0: the profile's"),
        Field("log_level", "text", "empty: the daemon's"),
        Field("options", "json", "null, or an object: parameters of the profile that are otherwise for this link, each"
                                 " a list of text"),
        *SUBSCRIBER,
    ),
    "An L2TP session that wants a PPP link.",
)
ATTACH_PPPOE_ROW = Record(
    "attach-pppoe-row",
    (
        Field("id", "text", "the owner's own text; unique while it lives"),
        Field("carrier", "text", "`pppoe`"),
        Field("port", "integer", "port of the data path"),
        Field("ppp_profile", "text", "profile of propppd.conf"),
        Field("interface", "text", "Ethernet interface"),
        Field("vlans", "json", "null, or a list of VLAN ids, the outer one first"),
        Field("peer_mac", "text", "of the subscriber, upper case with colons"),
        Field("session_id", "integer", "PPPoE session id"),
        Field("service_name", "text", "that the subscriber has; empty: any"),
        Field("ac_name", "text", "our name as access concentrator"),
        Field("max_payload", "integer", "largest PPP payload (RFC 4638); 0: 1492"),
        Field("calling_number", "text", "Calling-Station-Id; empty: the MAC address"),
        Field("called_number", "text", "Called-Station-Id; empty: the service name"),
        Field("line", "json", "as in `attach-row`"),
        Field("proxy", "json", "as in `attach-row`; a record of a PPPoE session is always trusted"),
    ),
    "A subscriber's PPPoE session that wants a PPP link. Other fields of `attach-row` that mean something here: mtu,"
    " interface_name, log_level, options.",
)
DETACH_ROW = Record(
    "detach-row",
    (
        Field("id", "text", "as attached"),
        Field("cause", "text", "word of RFC 2866 section 5.10: `User Request`, `Lost Carrier`, ..."),
        Field("message", "text", "for people"),
        Field("counters", "counters?", "final counters, if known"),
    ),
    "A session whose L2TP call is gone.",
)
CHANGED_ROW = Record(
    "changed-row",
    (
        Field("id", "text", "as attached"),
        Field("state", "text", "`lcp`: LCP of a session whose LNS we are came up with other maps of control characters"
                               " than before; `up`: a network protocol came up; `closed`: the link is finished;"
                               " `released`: a claimed session got no link and is without PPP again"),
        Field("user", "text", "authenticated user; empty: none"),
        Field("interface", "text", "empty: none"),
        Field("cause", "text", "closed: why, as in `detach-row`"),
        Field("message", "text", "for people"),
        Field("send_accm", "integer", "lcp: control characters that the peer wants escaped (RFC 1662 section 7.1)"),
        Field("receive_accm", "integer", "lcp: those that the peer escapes"),
    ),
    "What became of an attached session.",
)
HISTORY_ROW = Record(
    "history-row",
    (
        *ENDED,
        Field("name", "text", "of the link: `session-N`; empty: the daemon was killed, and this is what accounting"
                              " knew"),
        Field("type", "text", "`pppol2tp`, `pppoe` or `tty`"),
        Field("id", "text", "of what carried it: `TUNNEL/SESSION` of prol2tpd for L2TP"),
        Field("profile", "text", "profile of propppd.conf; empty: the daemon was killed"),
        Field("user", "text", "empty: never known"),
        Field("peer", "text", "who was at the other end: calling number, address or MAC address; empty: not known"),
        Field("interface", "text", "empty: none"),
        Field("address", "text", "IPv4 address of the user; empty: none"),
        Field("delegated", "words", "IPv6 prefixes that were delegated"),
        Field("cause", "text", "why it ended: `User Request`, `Lost Carrier`, ..."),
        Field("acct_terminate_cause", "integer", "what accounting says (RFC 2866 section 5.10); 0: nothing"),
        Field("message", "text", "more about it, as in the log"),
        Field("last_state", "text", "phase that it was in when the end was done"),
        Field("authentication", "text", "what RADIUS said last, as `AUTH_CHAP_ACK`; empty: it was not asked"),
        Field("counters", "counters?", "null: not known"),
    ),
    "A link that has ended.",
)
BUSY_LINK_ROW = Record(
    "busy-link-row",
    (
        Field("name", "text", "of the link: `session-N`"),
        Field("type", "text", "`pppol2tp`, `pppoe` or `tty`"),
        Field("user", "text", "empty: not known yet"),
        Field("interface", "text", "empty: none"),
        Field("address", "text", "IPv4 address of the user; empty: none"),
        *RATES,
    ),
    "A link and what it moves.",
)
LINK_EVENT = Record(
    "link-event",
    (
        Field("name", "text", "of the link: `session-N`"),
        Field("id", "text", "of what carries it: `TUNNEL/SESSION` of prol2tpd for L2TP"),
        Field("type", "text", "`pppol2tp`, `pppoe` or `tty`"),
        Field("profile", "text", "profile of propppd.conf"),
        Field("user", "text", "empty: not known yet"),
        Field("interface", "text", "empty: none yet"),
        Field("address", "text", "IPv4 address of the user; empty: none yet"),
    ),
    "`data` of a link's event; `link-down` and `link-destroyed` have besides: `cause`, the word of RADIUS, and"
    " `message`.",
)
RECORDS = {
    record.name: record
    for record in (
        CHANGE,
        LINK_EVENT,
        HISTORY_ROW,
        TRAFFIC_RECORD,
        BUSY_LINK_ROW,
        TRACE_LINE,
        STATUS_RECORD,
        PPP_COUNTS,
        RADIUS_COUNTS,
        ACCOUNTING_QUEUE,
        RATE_LIMITS_RECORD,
        NETWORK_RECORD,
        RATE_RECORD,
        EVENT_COUNTS,
        FILTER_COUNTS,
        CONFIG_COUNTS,
        SERVER_ROW,
        POOL_ROW,
        LINK_ROW,
        LINK_RECORD,
        LCP_RECORD,
        CCP_RECORD,
        IPCP_RECORD,
        IPV6CP_RECORD,
        PAP_RECORD,
        CHAP_RECORD,
        EAP_RECORD,
        EAP_SIDE,
        RADIUS_RECORD,
        AUTH_RECORD,
        *LINK_KINDS.values(),
        IPV6_RECORD,
        ATTACH_ROW,
        ATTACH_PPPOE_ROW,
        DETACH_ROW,
        CHANGED_ROW,
        COUNTERS_RECORD,
        EVENT,
    )
}

STATUS = Command("Status", (), (Argument("status", "json", False, "`status` record"),), "What the daemon is and does.")
LIST = listing(
    "List",
    "link-row",
    "All links, or those that are up or down.",
    Argument("filter", "text", True, "`up` or `down`; left out: all"),
)
FIND = Command(
    "Find",
    (Argument("user", "text", False, "authenticated user"),),
    (Argument("rows", "json", False, "list of `link-row` records, the oldest first; at most 1000"),),
    "The links of a user.",
)
POOLS = listing("Pools", "pool-row", "The pools of addresses and prefixes.")
SERVERS = listing("Servers", "server-row", "The RADIUS servers and what they do.")
SHOW = Command("Show", (NAME,), (Argument("link", "json", False, "`link` record"),), "One link.")
CREATE = Command(
    "Create",
    (Argument("words", "json", False, "list of text: options in pppd's words, values as words of their own"),),
    (Argument("name", "text", False, "of the new link"),),
    "Make a link.",
)
DESTROY = Command("Destroy", (NAME,), (), "LCP Terminate-Request, then the link is removed.")
SHOW_TRAFFIC = Command(
    "ShowTraffic",
    (TRAFFIC_LIMIT,),
    (
        Argument("traffic", "json", False, "`traffic` record of all links"),
        Argument("links", "json", False, "list of `busy-link-row` records, the busiest first"),
    ),
    TRAFFIC_HELP,
)
LIST_HISTORY = listing(
    "ListHistory", "history-row", HISTORY_HELP, Argument("user", "text", True, "of links of this user")
)
SET_LOG_LEVEL = Command(
    "SetLogLevel",
    (
        Argument("level", "text", False, "`critical`, `error`, `warning`, `notice`, `info` or `debug`"),
        Argument("name", "text", True, "of one link; left out: the daemon"),
    ),
    (),
    "Change the log level until the next start or reload.",
)
ATTACH_SESSIONS = Command(
    "AttachSessions",
    (
        Argument("sessions", "json", False, "list of `attach-row` and `attach-pppoe-row` records"),
        Argument("owner", "text", True, "`prol2tpd` (when left out) or `proacd`; ids of each are its own"),
    ),
    (Argument("results", "json", False, "list, one entry a row: null, or the text of the refusal"),),
    "Start a PPP link on each of these sessions. An id with the port that it has already is kept as it is.",
)
DETACH_SESSIONS = Command(
    "DetachSessions",
    (
        Argument("sessions", "json", False, "list of `detach-row` records"),
        Argument("owner", "text", True, "as in `AttachSessions`"),
    ),
    (),
    "The L2TP sessions are gone; ids that are not known are passed over.",
)
SESSIONS_CHANGED = Command(
    "SessionsChanged",
    (Argument("sessions", "json", False, "list of `changed-row` records"),),
    (),
    "Called by propppd on the connection that attached the sessions.",
)
CLAIM_SESSION = Command(
    "ClaimSession",
    (
        Argument("tunnel_id", "integer", False, "our id"),
        Argument("session_id", "integer", False, "our id"),
        Argument("ppp_profile", "text", False, "profile of propppd.conf"),
        Argument("options", "json", False, "as in `attach-row`"),
    ),
    (Argument("row", "json", False, "`attach-row` record: from now on the session is attached"),),
    "Called by propppd to put PPP on a session that has none. `NotFound`, or `Refused` when it is not up or has PPP.",
)

COMMANDS = table(
    (
        STATUS,
        SERVERS,
        POOLS,
        LIST,
        FIND,
        SHOW,
        LIST_HISTORY,
        SHOW_TRAFFIC,
        TRACE,
        CREATE,
        DESTROY,
        SET_LOG_LEVEL,
        RELOAD,
        PREVIEW_RELOAD,
        SUBSCRIBE,
        UNSUBSCRIBE,
        ATTACH_SESSIONS,
        DETACH_SESSIONS,
    )
)
"""What the daemon answers."""
CALLBACKS = table((SESSIONS_CHANGED, CLAIM_SESSION, NOTIFY, TRACED))
"""What the daemon calls on those connected to it."""
EVENTS = (
    "link-created", "link-up", "link-down", "link-destroyed", "server-dead", "server-alive", "accounting-trouble",
    "accounting-restored", "pool-exhausted", "pool-relieved",
)
