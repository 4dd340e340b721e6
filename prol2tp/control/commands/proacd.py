"""The commands of proacd, its records and its events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record, listing, table
from prol2tp.control.commands.propppd_status import ACCOUNTING_QUEUE, SERVER_ROW
from prol2tp.control.commands.shared import (
    CHANGE,
    COUNTERS_RECORD,
    ENDED,
    EVENT,
    HISTORY_HELP,
    NOTIFY,
    PREVIEW_RELOAD,
    RELOAD,
    SUBSCRIBE,
    TRACE,
    TRACE_LINE,
    TRACED,
    UNSUBSCRIBE,
)

SOCKET = "proacd.sock"
"""Name of the UNIX socket in the run directory."""

MAC_LISTS = ("allow", "deny")
TRACE_KINDS = ("discovery", "ppp", "route")

EXIT_CODES = (
    "OK",
    "Fatal error",
    "Option error",
    "No kernel support",
    "User request",
    "Connect failed",
    "Option 'pty' command failed",
    "Negotiation failed",
    "Peer failed to authenticate",
    "Idle timeout",
    "Connect time exceeded",
    "Peer dead",
    "Hangup",
    "Init failed",
    "Failed to authenticate with peer",
    "Other",
)
"""pppd's exit codes, in the order in which they are shown."""


def _counts(name: str, fields: tuple[tuple[str, str], ...], help: str) -> Record:
    return Record(name, tuple(Field(field, "integer", text) for field, text in fields), help)


ROUTING_COUNTS = _counts(
    "routing-counts",
    (
        ("routes_created", "sources that came"),
        ("route_create_failures", "of sources that could have no route: limits, no ids, draining"),
        ("license_denials", "0: there is no license"),
        ("routes_deleted", ""),
        ("route_delete_failures", "routes that the data path did not take away"),
        ("destination_open_failures", "each destination that was tried counts"),
        ("destination_close_failures", "destinations that could not be told of their end"),
        ("source_close_failures", "sources that could not be told of theirs"),
        ("closed_by_destination", ""),
        ("closed_by_source", ""),
    ),
    "Routes.",
)
PPPOE_COUNTS = _counts(
    "pppoe-counts",
    (
        ("padi_received", ""),
        ("invalid_padi_received", "of these"),
        ("pado_sent", ""),
        ("padr_received", ""),
        ("invalid_padr_received", "of these"),
        ("resent_padr_received", "of these, answered by the same PADS again"),
        ("pads_sent", "those that refuse too"),
        ("padt_received", ""),
        ("invalid_padt_received", "of these, those for no session of their sender too"),
        ("padt_sent", ""),
    ),
    "PPPoE discovery (RFC 2516).",
)
L2TP_COUNTS = _counts(
    "l2tp-counts",
    (
        ("tunnels_opened", "tunnels that a call came up in while none was up in it"),
        ("sessions_opened", ""),
        ("sessions_closed", ""),
        ("dns_failures", "names of LNSs that could not be resolved"),
    ),
    "Calls of prol2tpd.",
)
RADIUS_COUNTS = _counts(
    "access-counts",
    (
        ("successes", "Access-Accept"),
        ("failures", "Access-Reject, and requests that nobody could answer"),
        ("dns_failures", "names of servers that could not be resolved"),
        ("timeouts", "requests that a server did not answer in time"),
    ),
    "RADIUS requests about routes.",
)
PPPD_COUNTS = Record(
    "local-ppp-counts",
    (
        Field("started", "integer", "sessions that propppd has taken"),
        Field("terminated", "integer", "of these, sessions that have ended"),
        Field("exit_codes", "json", "object of integers: ends by pppd's exit codes, in words"),
    ),
    "Local PPP.",
)
STATUS_RECORD = Record(
    "status",
    (
        Field("version", "text", "of the daemon"),
        Field("ac_name", "text", "AC-Name tag"),
        Field("log_level", "text", "of the daemon, lower case"),
        Field("started_at", "number", "start of the daemon, seconds since 1970"),
        Field("config_file", "text", ""),
        Field("draining", "boolean", "nobody new is let in"),
        Field("routes", "integer", "routes that there are now"),
        Field("routing", "routing-counts"),
        Field("pppoe", "pppoe-counts"),
        Field("l2tp", "l2tp-counts"),
        Field("radius", "access-counts"),
        Field("pppd", "local-ppp-counts"),
        Field("discards", "json", "object of integers: why good discovery packets had no answer"),
        Field("frames_dropped", "integer", "discovery frames that the kernel dropped because too many waited for us"),
        Field("queue", "accounting-queue?", "null: nothing is accounted"),
    ),
    "The daemon as a whole (`proac_info -s`).",
)
SOURCE_RECORD = Record(
    "source",
    (
        Field("kind", "text", "`pppoe` or `l2tp`; fields of the other kind are empty or 0"),
        Field("interface", "text", "PPPoE: Ethernet interface"),
        Field("vlans", "json", "PPPoE: list of VLAN ids, outer first"),
        Field("peer_mac", "text", "PPPoE: the host, `08:00:27:64:4A:2B`"),
        Field("session_id", "integer", "PPPoE or L2TP session id"),
        Field("service_name", "text", "PPPoE: the service that the host got"),
        Field("advertised", "boolean", "PPPoE: it is in offers"),
        Field("mtu", "integer", "PPPoE: largest PPP payload, more than 1492 by RFC 4638"),
        Field("circuit_id", "text", "Agent-Circuit-Id of the line"),
        Field("remote_id", "text", "Agent-Remote-Id of the line"),
        Field("tunnel_id", "integer", "L2TP: our tunnel id"),
        Field("peer_tunnel_id", "integer", "L2TP: the LAC's"),
        Field("peer_session_id", "integer", "L2TP: the LAC's"),
        Field("tunnel_profile", "text", "L2TP: profile of prol2tpd.conf that serves the LAC"),
        Field("peer_address", "text", "L2TP: the LAC"),
        Field("calling_number", "text", ""),
        Field("called_number", "text", ""),
    ),
    "Where a route begins.",
)
DESTINATION_RECORD = Record(
    "destination",
    (
        Field("kind", "text", "`l2tp` or `ppp`; fields of the other kind are empty or 0"),
        Field("name", "text", "L2TP: the LNS, as `drain` names it"),
        Field("tunnel_id", "integer", "L2TP: our tunnel id; 0: not open yet"),
        Field("session_id", "integer", "L2TP: our session id"),
        Field("peer_tunnel_id", "integer", "L2TP: the LNS's"),
        Field("peer_session_id", "integer", "L2TP: the LNS's"),
        Field("peer", "text", "L2TP: address and port of the LNS"),
        Field("version", "integer", "L2TP: 2 or 3"),
        Field("ppp_profile", "text", "PPP: profile of propppd.conf"),
        Field("interface", "text", "PPP: network interface, once known"),
    ),
    "Where a route ends.",
)
ROUTE_RECORD = Record(
    "route",
    (
        Field("number", "integer", "unique while the route is there"),
        Field("name", "text", "of the `route` block"),
        Field("state", "text", "`choosing`, `opening`, `joined` or `closing`"),
        Field("created_at", "number", "seconds since 1970"),
        Field("user", "text", "once known"),
        Field("source", "source"),
        Field("destination", "destination?", "null: not known yet"),
    ),
    "One route (`proac_info -r`).",
)
HISTORY_ROW = Record(
    "history-row",
    (
        *ENDED,
        Field("number", "integer", "that the route had"),
        Field("name", "text", "of the `route` block"),
        Field("user", "text", "empty: never known"),
        Field("source", "source"),
        Field("destination", "destination?", "null: there was none, or the last one that was tried did not open"),
        Field("by", "text", "who has ended it: `source`, `destination`, or `neither`: the daemon or an operator"),
        Field("cause", "text", "why it ended: `User Request`, `Lost Carrier`, ..."),
        Field("acct_terminate_cause", "integer", "what accounting says (RFC 2866 section 5.10)"),
        Field("message", "text", "more about it, as in the log"),
        Field("last_state", "text", "state of the route when the end came"),
        Field("counters", "counters?", "of the source's port, received from the host or the LAC; null: not known"),
    ),
    "A route that has ended.",
)
INTERFACE_ROW = Record(
    "interface-row",
    (
        Field("name", "text", ""),
        Field("state", "text", "`up`, or why hosts are not served: `is down`, `is not there`, ..."),
        Field("mac", "text", "its address; empty: hosts are not served"),
        Field("mtu", "integer", "Ethernet payload; 0: not known"),
        Field("vlans", "words", "as in proacd.conf"),
        Field("services", "words", "service names that routes serve; hidden ones in parentheses, `*`: any other"),
        Field("sessions", "integer", ""),
        Field("max_sessions", "integer", "0: no limit"),
        Field("frames_dropped", "integer", "discovery frames that the kernel dropped because too many waited"),
    ),
    "An Ethernet interface that hosts are served on.",
)
DESTINATION_ROW = Record(
    "destination-row",
    (
        Field("name", "text", "the LNS"),
        Field("state", "text", "`up`, `draining`, `locked`, `due` (the next session tries it) or `trying`"),
        Field("seconds", "number", "until a lockout is over"),
        Field("sessions", "integer", "that are up"),
        Field("opened", "integer", "since the daemon started"),
        Field("failed", "integer", "times that its tunnel did not come up, or died"),
        Field("refused", "integer", "sessions that it did not take"),
        Field("reason", "text", "of the last failure"),
    ),
    "A destination, once it has been used.",
)
MAC_ROW = Record(
    "mac-row",
    (
        Field("interface", "text", "empty: all"),
        Field("list", "text", "`allow` or `deny`"),
        Field("mac", "text", "six octets, or three for all of a vendor"),
        Field("origin", "text", "`config` or `local`"),
    ),
    "An entry of the lists of hosts.",
)
TRACE_ROW = Record(
    "trace-row",
    (
        Field("time", "number", "seconds since 1970"),
        Field("kind", "text", "one of " + ", ".join(f"`{kind}`" for kind in TRACE_KINDS)),
        Field("interface", "text", ""),
        Field("mac", "text", ""),
        Field("route", "text", "name; empty: none yet"),
        Field("number", "integer", "of the route; 0: none yet"),
        Field("text", "text", "passwords and secrets left out"),
    ),
    "A line of trace.",
)
RECORDS = {
    record.name: record
    for record in (
        STATUS_RECORD, ROUTING_COUNTS, PPPOE_COUNTS, L2TP_COUNTS, RADIUS_COUNTS, PPPD_COUNTS, ACCOUNTING_QUEUE,
        SERVER_ROW,
        ROUTE_RECORD, SOURCE_RECORD, DESTINATION_RECORD, HISTORY_ROW, COUNTERS_RECORD, INTERFACE_ROW,
        DESTINATION_ROW, MAC_ROW, TRACE_ROW, TRACE_LINE, CHANGE,
        EVENT,
    )
}  # fmt: skip

INTERFACE = Argument("interface", "text", True, "the Ethernet interface; left out: all")
MAC = Argument("mac", "text", True, "the host")
FILTER = (INTERFACE, MAC, Argument("route", "text", True, "name or number of a route"))
"""Left out: whatever it is."""

STATUS = Command(
    "Status", (), (Argument("status", "json", False, "`status` record"),), "What the daemon is and has done."
)
LIST_ROUTES = listing(
    "ListRoutes",
    "route",
    "All routes in the order in which they came, or those of one `route` block, a user, a host or a line. A page walks"
    " over `limit` routes, so it may be empty and not the last.",
    Argument("name", "text", True, "of the `route` block"),
    Argument("user", "text", True, "the user, as far as he is known"),
    MAC,
    Argument("line", "text", True, "Agent-Circuit-Id or Agent-Remote-Id"),
)
SHOW_ROUTE = Command(
    "ShowRoute",
    (Argument("number", "integer", False, "the route"),),
    (Argument("route", "json", False, "`route` record"),),
    "One route.",
)
CLOSE_ROUTE = Command(
    "CloseRoute",
    (
        Argument("number", "integer", True, "the route"),
        Argument("name", "text", True, "all routes of this `route` block"),
        MAC,
    ),
    (Argument("closed", "integer", False, "number of routes"),),
    "End a route, all of a name, or all of a host: both ends are told. Exactly one is given.",
)
LIST_HISTORY = listing(
    "ListHistory",
    "history-row",
    HISTORY_HELP,
    Argument("mac", "text", True, "of sessions of this host"),
    Argument("user", "text", True, "of sessions of this user"),
)
LIST_INTERFACES = listing("ListInterfaces", "interface-row", "The Ethernet interfaces that routes name.")
SERVERS = listing(
    "Servers", "server-row", "The RADIUS servers of all profiles and what they do; `name` is `PROFILE/SERVER`."
)
LIST_DESTINATIONS = listing("ListDestinations", "destination-row", "The LNSs that have been used, by name.")
DRAIN = Command(
    "Drain",
    (
        Argument("on", "boolean", False, "False: let new sessions there again"),
        Argument("destination", "text", True, "name as in `destination-row`; left out: the daemon, nobody is let in"),
    ),
    (
        Argument("known", "boolean", False, "False: no session has been sent to the destination since the start"),
        Argument("sessions", "integer", False, "that are up there, or in all, and stay"),
    ),
    "Send no new sessions to a destination, or let none in. Those that are up stay. Refused when nobody is let in by "
    "`drain` of the configuration, and that is to be taken back.",
)
UNLOCK = Command(
    "Unlock",
    (Argument("destination", "text", False, "name as in `destination-row`"),),
    (),
    "End the lockout of a destination that failed.",
)
LIST_MACS = listing("ListMacs", "mac-row", "Hosts that are let in or kept out.", INTERFACE)
_ENTRY = (
    Argument("list", "text", False, "`allow` or `deny`"),
    Argument("mac", "text", False, "six octets, or three for all of a vendor"),
    INTERFACE,
)
ADD_MAC = Command(
    "AddMac",
    _ENTRY,
    (),
    "Put a host on a list; kept in the state directory. With the first entry of `allow` all others are kept out."
    " Sessions that are up stay.",
)
REMOVE_MAC = Command("RemoveMac", _ENTRY, (), "Take off a list what `AddMac` has put there.")
SET_TRACE = Command(
    "SetTrace",
    (Argument("on", "boolean", False, ""), *FILTER),
    (),
    "Keep the last lines of what happens, of all or of what is given. Off without a filter: no trace, and it is empty.",
)
DUMP_TRACE = listing("DumpTrace", "trace-row", "What has been kept, oldest first.", *FILTER)
SET_LOG_LEVEL = Command(
    "SetLogLevel",
    (Argument("level", "text", False, "`critical`, `error`, `warning`, `notice`, `info` or `debug`"),),
    (),
    "Change the log level of the daemon until the next start or reload.",
)

COMMANDS = table(
    (
        STATUS,
        LIST_ROUTES,
        SHOW_ROUTE,
        CLOSE_ROUTE,
        LIST_HISTORY,
        LIST_INTERFACES,
        LIST_DESTINATIONS,
        SERVERS,
        DRAIN,
        UNLOCK,
        LIST_MACS,
        ADD_MAC,
        REMOVE_MAC,
        SET_TRACE,
        DUMP_TRACE,
        TRACE,
        SET_LOG_LEVEL,
        RELOAD,
        PREVIEW_RELOAD,
        SUBSCRIBE,
        UNSUBSCRIBE,
    )
)
"""What the daemon answers."""
CALLBACKS = table((NOTIFY, TRACED))
"""What the daemon calls on those connected to it."""
EVENTS = (
    "route-created",
    "route-opened",
    "route-closed",
    "server-dead",
    "server-alive",
    "accounting-trouble",
    "accounting-restored",
)
