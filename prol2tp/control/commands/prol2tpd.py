"""The commands of prol2tpd, its records and its events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record, listing, table
from prol2tp.control.commands.propppd import ATTACH_ROW
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

SOCKET = "prol2tpd.sock"
"""Name of the UNIX socket in the run directory."""

TUNNEL_ID = Argument("tunnel_id", "integer", True, "the tunnel, by our id")
TUNNEL_NAME = Argument("tunnel_name", "text", True, "the tunnel, by its administrative name")
SESSION_ID = Argument("session_id", "integer", True, "the session, by our id")
SESSION_NAME = Argument("session_name", "text", True, "the session, by its administrative name")
TUNNEL = (TUNNEL_ID, TUNNEL_NAME)
"""Exactly one of the two is given; `Invalid` otherwise, `NotFound` when there is none."""
SESSION = (*TUNNEL, SESSION_ID, SESSION_NAME)
PARAMETERS = Argument(
    "parameters",
    "json",
    False,
    "object: names and values as in prol2tpd.conf, values as text; several values of one parameter separated by blanks",
)

SYSTEM_RECORD = Record(
    "system",
    (
        Field("version", "text", "of the daemon"),
        Field("copyright", "text", "line of the banner"),
        Field("listen", "words", "local addresses as `ADDRESS:PORT` or `[ADDRESS]:PORT`"),
        Field("hostname", "text", "Host Name AVP"),
        Field("router_id", "integer?", "L2TPv3 router id"),
        Field("log_level", "text", "of the daemon, lower case"),
        Field("tunnels", "integer", "number of tunnels, whatever their state"),
        Field("sessions", "integer", "number of sessions, whatever their state"),
        Field("tunnels_up", "integer", "of these, established"),
        Field("sessions_up", "integer", "of these, established"),
        Field("setup", "json", "how long tunnels and sessions took to come up: {tunnels, sessions}, each"
                               " {bounds, counts, sum} in seconds; `counts` has one more than `bounds`, for what"
                               " took longer"),
        Field("ends", "json", "why they ended, since the start: {tunnels: {result: number},"
                              " sessions: {cause: number}}"),
        Field("data_path", "text", "name of the data path in use: `kernel`, `user`, ...; empty: none"),
        Field("data_path_notes", "json", "list of sentences: what it cannot do, and why another was not taken"),
        Field("started_at", "number", "start of the daemon, seconds since 1970"),
        Field("config_file", "text", ""),
        Field("counters", "json", "object of integers: the endpoint's counters by name"),
    ),
    "The daemon as a whole (`show system`).",
)
TUNNEL_ROW = Record(
    "tunnel-row",
    (
        Field("tunnel_id", "integer", "our id"),
        Field("name", "text", "administrative name; empty: none"),
        Field(
            "origin",
            "text",
            "`net`: by a request of the peer, `config`: by the configuration file, `local`: by a command, `proacd`: for"
            " calls of proacd",
        ),
        Field(
            "state",
            "text",
            "state of the control connection, RFC 2661 section 7.2 in ProL2TP's words (`ESTABLISHED` is up)",
        ),
        Field("state_seconds", "number", "seconds since the state changed"),
        Field("peer", "address", "address and port of the peer"),
        Field("sessions", "integer", "number of sessions"),
    ),
    "A line of `show tunnels`.",
)
TUNNEL_RECORD = Record(
    "tunnel",
    (
        Field("tunnel_id", "integer", "our id"),
        Field("name", "text", "administrative name; empty: none"),
        Field("origin", "text", "as in `tunnel-row`"),
        Field("state", "text", "as in `tunnel-row`"),
        Field("state_seconds", "number", "seconds since the state changed"),
        Field("peer", "address", "address and port of the peer"),
        Field("sessions", "integer", "number of sessions"),
        Field("local", "address", "our address and port"),
        Field("created_at", "number", "seconds since 1970"),
        Field("mode", "text", "`LNS` or `LAC`: our side; `LCCE` in version 3"),
        Field("version", "integer", "L2TP version, 2 or 3"),
        Field("encapsulation", "text", "`udp` or `ip`"),
        Field("log_level", "text", "in force for this tunnel"),
        Field("ns", "integer", "transport: next Ns to send"),
        Field("nr", "integer", "transport: next Ns expected"),
        Field("cwnd", "integer", "transport: congestion window, messages"),
        Field("ssthresh", "integer", "transport: slow start threshold, messages"),
        Field("tx_window", "integer", "transport: send window, messages"),
        Field("profile", "text", "tunnel profile; empty: none"),
        Field("peer_tunnel_id", "integer", "0: not known yet"),
        Field("peer_host_name", "text", ""),
        Field("peer_vendor_name", "text", ""),
    ),
    "One tunnel (`show tunnel`).",
)
SESSION_ROW = Record(
    "session-row",
    (
        Field("tunnel_id", "integer", "our tunnel id"),
        Field("session_id", "integer", "our session id"),
        Field("tunnel_name", "text", "empty: none"),
        Field("name", "text", "empty: none"),
        Field("type", "text", "pseudowire type: `ppp`, `eth`, `vlan`"),
        Field("origin", "text", "`net`, `config`, `local` or `proacd`, as for a tunnel"),
        Field("state", "text", "state of the call in ProL2TP's words (`ESTABLISHED` is up)"),
        Field("state_seconds", "number", "seconds since the state changed"),
        Field("identifier", "text", "PPP: user name, once known; Ethernet: Remote End ID; else empty"),
        Field("interface", "text", "network interface, once known; else empty"),
    ),
    "A line of `show sessions`.",
)
CIRCUIT_RECORD = Record(
    "circuit",
    (
        Field("remote_end_id", "text", "of the request, whoever sent it"),
        Field("active", "boolean", "our attachment circuit is up"),
        Field("peer_active", "boolean", "the peer's is"),
        Field("cookie_length", "integer", "octets that the peer puts before its frames: 0, 4 or 8"),
        Field("peer_cookie_length", "integer", "octets that we put before ours"),
        Field("sublayer", "boolean", "the peer's frames have the Default L2-Specific Sublayer"),
        Field("peer_sublayer", "boolean", "ours have it"),
        Field("mtu", "integer", "interface MTU that was told to the peer; 0: none"),
    ),
    "A session of L2TPv3.",
)
SESSION_RECORD = Record(
    "session",
    (
        *SESSION_ROW.fields,
        Field("created_at", "number", "seconds since 1970"),
        Field("mode", "text", "`LNS` or `LAC`: our side of this call; `LCCE` in version 3"),
        Field("call", "text", "`incoming` or `outgoing`, as RFC 2661 has it"),
        Field("log_level", "text", "in force for this session"),
        Field("peer_tunnel_id", "integer", ""),
        Field("peer_session_id", "integer", "0: not known yet"),
        Field("profile", "text", "session profile; empty: none"),
        Field("pseudowire_profile", "text", "empty: none"),
        Field("ppp_profile", "text", "empty: none"),
        Field("user", "text", "PPP user name, once known"),
        Field("calling_number", "text", ""),
        Field("called_number", "text", ""),
        Field("send_sequence", "boolean", "our data messages carry Ns"),
        Field("receive_sequence", "boolean", "the peer's data messages carry Ns"),
        Field("circuit", "circuit?", "what L2TPv3 has agreed on; null in version 2"),
        Field("stats", "counters?", "null unless asked for, and when the data path is not open"),
    ),
    "One session (`show session`).",
)
TUNNEL_EVENT = Record(
    "tunnel-event",
    (
        Field("handle", "integer", "counts the tunnels of this run of the daemon"),
        Field("tunnel_id", "integer", "our id"),
        Field("peer_tunnel_id", "integer", "0: not known yet"),
        Field("name", "text", "administrative name; empty: none"),
        Field("profile", "text", "tunnel profile; empty: none"),
        Field("version", "integer", "L2TP version, 2 or 3"),
        Field("encapsulation", "text", "`udp` or `ip`"),
        Field("local", "address", "our address and port"),
        Field("peer", "address", "address and port of the peer"),
        Field("peer_host_name", "text", "empty: not known yet"),
    ),
    "`data` of a tunnel's event; those of `tunnel-down` besides: `down-event`.",
)
SESSION_EVENT = Record(
    "session-event",
    (
        Field("handle", "integer", "counts the sessions of this run of the daemon"),
        Field("tunnel_id", "integer", "our tunnel id"),
        Field("session_id", "integer", "our session id"),
        Field("peer_tunnel_id", "integer"),
        Field("peer_session_id", "integer", "0: not known yet"),
        Field("tunnel_name", "text", "empty: none"),
        Field("name", "text", "empty: none"),
        Field("profile", "text", "session profile; empty: none"),
        Field("pseudowire_profile", "text", "empty: none"),
        Field("type", "text", "pseudowire type: `ppp`, `eth`, `vlan`"),
        Field("interface", "text", "network interface, once known; else empty"),
        Field("user", "text", "PPP user name, once known; else empty"),
        Field("local", "address", "our address and port"),
        Field("peer", "address", "address and port of the peer"),
    ),
    "`data` of a session's event; those of `session-down` besides: `down-event`; of `circuit-changed`: `active`,"
    " whether the peer's circuit is up; of `speed-changed`: `tx` and `rx`, bit/s to and from the subscriber.",
)
DOWN_EVENT = Record(
    "down-event",
    (
        Field("result", "integer", "result code of StopCCN or CDN (RFC 2661 section 4.4.2)"),
        Field("error", "integer", "error code; 0: none"),
        Field("message", "text", "of the side that ended it"),
        Field("by_peer", "boolean", "the peer ended it"),
        Field("reason", "text", "all of that in words, as in the log"),
    ),
    "What `tunnel-down` and `session-down` tell besides; a session has `cause` too, the word of RADIUS (RFC 2866"
    " section 5.10).",
)
CALL_ROW = Record(
    "call-row",
    (
        Field("id", "text", "the caller's own name of the call, at most 64 printable characters without `/`"),
        Field(
            "tunnel",
            "json",
            "object: `name` of a tunnel of prol2tpd.conf; or `key`, at most 255 printable characters, and `parameters`,"
            " those of a `tunnel` block as text: calls with the same key and parameters share a tunnel",
        ),
        Field("session", "json", "object: `parameters`, those of a `session` block as text"),
        Field("source", "text", "id of an offered session that the call carries on: its Call Serial Number, WEN and"
                                " CSUN are passed on, SLI is passed back"),
        *SUBSCRIBER,
    ),
    "A call to open. What is left out is null or empty.",
)
CLOSE_ROW = Record(
    "close-row",
    (
        Field("id", "text", "as opened or offered"),
        Field("cause", "text", "word of RFC 2866 section 5.10, as in `detach-row`"),
        Field("message", "text", "for people"),
    ),
    "A call to end.",
)
CALL_CHANGED_ROW = Record(
    "call-changed-row",
    (
        Field("id", "text", "as opened or offered"),
        Field("state", "text", "`up` or `closed`"),
        Field("tunnel_id", "integer", "0 where the call has none"),
        Field("session_id", "integer", ""),
        Field("peer_tunnel_id", "integer", ""),
        Field("peer_session_id", "integer", ""),
        Field("peer", "text", "address and port of the peer; empty: not known"),
        Field("local", "text", "up: our address"),
        Field("host_name", "text", "up: our host name in the tunnel"),
        Field("peer_host_name", "text", "up: the peer's"),
        Field("call_serial_number", "integer", "up: of the call"),
        Field("port", "integer", "up: port of the data path"),
        Field("version", "integer", "L2TP version; 0: not known"),
        Field("interface_mtu", "integer", "largest PPP payload that the tunnel carries"),
        Field("tunnel_up", "boolean", "closed: the tunnel lives on; false: it did not come up, or ended with the call"),
        Field("dns", "boolean", "closed: the name of the peer could not be resolved"),
        Field("established", "boolean", "closed: the call had been up"),
        Field("by_peer", "boolean", "closed: the peer ended it"),
        Field("cause", "text", "closed: why, as in `close-row`"),
        Field("message", "text", "for people"),
        Field("result", "integer", "closed: result code of CDN, 0 where there was none"),
        Field("error", "integer", "closed: its error code"),
    ),
    "What became of a call.",
)
OFFER_ROW = Record(
    "offer-row",
    (
        *ATTACH_ROW.fields,
        Field("tunnel_profile", "text", "by which its tunnel is served"),
        Field("sub_address", "text", ""),
        Field("private_group_id", "text", "hex; empty: none"),
    ),
    "A session of a peer that is offered: as in `attach-row`, and what a call has that is opened for it.",
)
HISTORY_ROW = Record(
    "history-row",
    (
        *ENDED,
        Field("kind", "text", "`tunnel` or `session`"),
        Field("tunnel_id", "integer", "our id"),
        Field("session_id", "integer", "our id; 0 for a tunnel"),
        Field("peer_tunnel_id", "integer", "0: was never known"),
        Field("peer_session_id", "integer", "0: was never known, or a tunnel"),
        Field("tunnel_name", "text", "empty: none"),
        Field("name", "text", "of the session, or the tunnel; empty: none"),
        Field("profile", "text", "session or tunnel profile; empty: none"),
        Field("pseudowire_profile", "text", "empty: none, or a tunnel"),
        Field("type", "text", "pseudowire type; empty: a tunnel"),
        Field("interface", "text", "empty: none"),
        Field("user", "text", "PPP user; empty: none"),
        Field("local", "address", "our address and port"),
        Field("peer", "address", "address and port of the peer"),
        Field("by", "text", "who has ended it: `us` or `peer`"),
        Field("result", "integer", "result code of StopCCN or CDN"),
        Field("error", "integer", "error code; 0: none"),
        Field("message", "text", "of the side that ended it"),
        Field("reason", "text", "all of that in words, as in the log"),
        Field("cause", "text", "of a session: the word of RADIUS; empty: a tunnel"),
        Field("last_state", "text", "state that it was in when the end came"),
        Field("counters", "counters?", "of a session; null: a tunnel, or it had no data path"),
    ),
    "A tunnel or session that has ended.",
)
BUSY_TUNNEL_ROW = Record(
    "busy-tunnel-row",
    (
        Field("tunnel_id", "integer", "our id"),
        Field("name", "text", "administrative name; empty: none"),
        Field("peer", "address", "address and port of the peer"),
        Field("sessions", "integer", "number of sessions"),
        *RATES,
    ),
    "A tunnel and what its sessions move.",
)
BUSY_SESSION_ROW = Record(
    "busy-session-row",
    (
        Field("tunnel_id", "integer", "our id"),
        Field("session_id", "integer", "our id"),
        Field("identifier", "text", "as in `session-row`"),
        Field("interface", "text", "empty: none"),
        Field("peer", "address", "address and port of the peer"),
        *RATES,
    ),
    "A session and what it moves.",
)
RECORDS = {
    record.name: record
    for record in (SYSTEM_RECORD, TUNNEL_ROW, TUNNEL_RECORD, SESSION_ROW, SESSION_RECORD, COUNTERS_RECORD,
        CIRCUIT_RECORD, CALL_ROW, CLOSE_ROW, CALL_CHANGED_ROW, OFFER_ROW, CHANGE, EVENT, TUNNEL_EVENT, SESSION_EVENT,
        DOWN_EVENT, HISTORY_ROW, TRAFFIC_RECORD, BUSY_TUNNEL_ROW, BUSY_SESSION_ROW, TRACE_LINE)
}

SHOW_SYSTEM = Command(
    "ShowSystem", (), (Argument("system", "json", False, "`system` record"),), "What the daemon is and does."
)
LIST_TUNNELS = listing("ListTunnels", "tunnel-row", "All tunnels, in no promised order.")
SHOW_TUNNEL = Command("ShowTunnel", TUNNEL, (Argument("tunnel", "json", False, "`tunnel` record"),), "One tunnel.")
LIST_SESSIONS = listing("ListSessions", "session-row", "All sessions, or those of one tunnel.", *TUNNEL)
SHOW_SESSION = Command(
    "ShowSession",
    (*SESSION, Argument("stats", "boolean", True, "fill in the counters")),
    (Argument("session", "json", False, "`session` record"),),
    "One session.",
)
CREATE_TUNNEL = Command(
    "CreateTunnel",
    (PARAMETERS,),
    (Argument("tunnel_id", "integer", False, ""), Argument("name", "text", False, "")),
    "Make a tunnel as a `tunnel` block of the configuration would, with at least `name` and `peer`. Answered when the"
    " tunnel exists; it is up later.",
)
DESTROY_TUNNEL = Command(
    "DestroyTunnel", TUNNEL, (), "StopCCN, and for a tunnel of the configuration no new try until the next reload."
)
CREATE_SESSION = Command(
    "CreateSession",
    (*TUNNEL, PARAMETERS),
    (
        Argument("tunnel_id", "integer", False, ""),
        Argument("session_id", "integer", False, ""),
        Argument("name", "text", False, ""),
    ),
    "Make a session in a tunnel as a `session` block of the configuration would.",
)
DESTROY_SESSION = Command("DestroySession", SESSION, (), "CDN, and no new try until the next reload.")
LIST_HISTORY = listing(
    "ListHistory",
    "history-row",
    HISTORY_HELP,
    Argument("tunnel_id", "integer", True, "of this tunnel, and sessions in it"),
    Argument("session_id", "integer", True, "of sessions with this id"),
    Argument("peer", "text", True, "of this address, without port"),
    Argument("user", "text", True, "of sessions of this user"),
)
SHOW_TRAFFIC = Command(
    "ShowTraffic",
    (TRAFFIC_LIMIT,),
    (
        Argument("traffic", "json", False, "`traffic` record of all sessions"),
        Argument("tunnels", "json", False, "list of `busy-tunnel-row` records, the busiest first"),
        Argument("sessions", "json", False, "list of `busy-session-row` records, the busiest first"),
    ),
    TRAFFIC_HELP,
)
SET_LOG_LEVEL = Command(
    "SetLogLevel",
    (
        Argument("scope", "text", False, "`system`, `tunnel` or `session`"),
        Argument("level", "text", False, "`critical`, `error`, `warning`, `notice`, `info` or `debug`"),
        *SESSION,
    ),
    (),
    "Change the log level of the daemon, of one tunnel or of one session until the next start or reload.",
)

OPEN_CALLS = Command(
    "OpenCalls",
    (Argument("calls", "json", False, "list of `call-row` records"),),
    (Argument("results", "json", False, "list, one entry a row: null, or the text of the refusal"),),
    "Open calls as LAC, over tunnels of the configuration or tunnels that are made for them. What becomes of those that"
    " were not refused is told by `CallsChanged`. For the connection that has called `ServeCalls`.",
)
CLOSE_CALLS = Command(
    "CloseCalls",
    (Argument("calls", "json", False, "list of `close-row` records"),),
    (),
    "End calls that were opened or offered; ids that are not known are passed over. There is no `CallsChanged` about"
    " them any more.",
)
SERVE_CALLS = Command(
    "ServeCalls",
    (
        Argument("profiles", "json", False, "list of names of tunnel profiles: sessions of peers in their tunnels are"
                                            " offered on this connection, and not to propppd"),
        Argument("calls", "json", False, "ids of all calls, opened and offered, that the caller still has: all others"
                                         " are ended; null: all stay"),
        Argument("more", "boolean", True, "further ids come in another `ServeCalls`: nothing is ended or told yet"),
    ),
    (Argument("unknown", "json", False, "those of the ids that there are not any more"),),
    "Called first on a new connection: from now on it is the one that has the calls. `up` is told again of those in"
    " `calls` that were opened.",
)
CALLS_CHANGED = Command(
    "CallsChanged",
    (Argument("calls", "json", False, "list of `call-changed-row` records"),),
    (),
    "Called by prol2tpd on the connection that has called `ServeCalls`. There is one `closed` for each call that ends"
    " otherwise than by `CloseCalls`.",
)
OFFER_CALLS = Command(
    "OfferCalls",
    (Argument("calls", "json", False, "list of `offer-row` records"),),
    (Argument("results", "json", False, "list, one entry a row: null, or the text of the refusal, which ends the"
                                        " session"),),
    "Called by prol2tpd on the connection that has called `ServeCalls`: sessions of peers that are up.",
)

COMMANDS = table(
    (
        SHOW_SYSTEM,
        LIST_TUNNELS,
        SHOW_TUNNEL,
        LIST_SESSIONS,
        SHOW_SESSION,
        LIST_HISTORY,
        SHOW_TRAFFIC,
        TRACE,
        CREATE_TUNNEL,
        DESTROY_TUNNEL,
        CREATE_SESSION,
        DESTROY_SESSION,
        SET_LOG_LEVEL,
        RELOAD,
        PREVIEW_RELOAD,
        SUBSCRIBE,
        UNSUBSCRIBE,
        OPEN_CALLS,
        CLOSE_CALLS,
        SERVE_CALLS,
    )
)
"""What the daemon answers."""
CALLBACKS = table((NOTIFY, TRACED, CALLS_CHANGED, OFFER_CALLS))
"""What the daemon calls on those connected to it."""
EVENTS = (
    "tunnel-created",
    "tunnel-up",
    "tunnel-down",
    "tunnel-deleted",
    "session-created",
    "session-up",
    "session-down",
    "session-deleted",
    "circuit-changed",
    "speed-changed",
)
