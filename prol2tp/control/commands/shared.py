"""Commands that every daemon has, and the callback by which it tells its subscribers of events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record

SUBSCRIBE = Command(
    "Subscribe",
    (
        Argument("events", "json", True, "list of event names; left out: all"),
        Argument("instance", "text", True, "run of the daemon that `after` belongs to; of another one all events"
                                           " that are kept are given"),
        Argument("after", "integer", True, "go on after the event with this sequence number; without `instance` and"
                                           " `after` only what happens from now on is given"),
        Argument("keeper", "text", True, "name of a subscriber for whom more events are kept, also while it is away"),
    ),
    (
        Argument("instance", "text", False, "this run of the daemon"),
        Argument("sequence", "integer", False, "sequence number of its last event; 0: none yet"),
    ),
    "From now on the daemon calls `Notify` on this connection. A second call on it replaces the names of the first and"
    " nothing else.",
)
UNSUBSCRIBE = Command("Unsubscribe", (), (), "No more `Notify`.")
RELOAD = Command(
    "Reload",
    (),
    (Argument("summary", "text", False, "one line: what changed"),),
    "Read the configuration file again, as SIGHUP does. `Refused` with `FILE:LINE:COLUMN: what is wrong` when it is"
    " bad; the running configuration then stays.",
)
PREVIEW_RELOAD = Command(
    "PreviewReload",
    (),
    (
        Argument("changes", "json", False, "list of `change` records, those that end something first; at most 300"),
        Argument("total", "integer", False, "number of changes"),
        Argument("drops", "integer", False, "number of changes that end something"),
    ),
    "Read the configuration file and say what `Reload` would do, and do nothing. `Refused` as `Reload`.",
)
CHANGE = Record(
    "change",
    (
        Field("kind", "text", "kind of block: `system`, `tunnel`, `user`, ..."),
        Field("name", "words", "its name; of a session the tunnel's before it; empty: a block without name"),
        Field("action", "text", "`added`, `removed` or `changed`"),
        Field("parameters", "words", "changed: names of the parameters whose effective value is another one"),
        Field("effect", "text", "`drops`: something that is up ends; `opens`: something is begun; `at once`; `later`:"
                                " for what comes from then on; `restart`: at the next start of the daemon; `nothing`"),
        Field("drops", "words", "what ends, by id and name"),
        Field("why", "text", "why it has that effect"),
    ),
    "What a reload would do about one block.",
)
NOTIFY = Command(
    "Notify",
    (
        Argument("events", "json", False, "list of `event` records, oldest first"),
        Argument("dropped", "integer", False, "events that this subscriber lost since the last call, being too slow or"
                                              " away too long"),
        Argument("instance", "text", True, "run of the daemon; in the first call after `Subscribe`"),
    ),
    (),
    "Events. The subscriber's answer makes room for the next call.",
)

LEVELS = ("critical", "error", "warning", "notice", "info", "debug")
"""Log levels, fewest messages first."""

EVENT = Record(
    "event",
    (
        Field("event", "text", "name: one of the daemon's EVENTS"),
        Field("sequence", "integer", "counts the events of this run of the daemon, from 1"),
        Field("time", "number", "seconds since 1970"),
        Field("data", "json", "object: ids, names and reason, by the event"),
    ),
    "One event.",
)
COUNTERS_RECORD = Record(
    "counters",
    tuple(
        Field(name, "integer", help)
        for name, help in (
            ("tx_packets", "to the L2TP peer"),
            ("tx_octets", "PPP frames without L2TP header"),
            ("tx_errors", ""),
            ("rx_packets", "from the L2TP peer"),
            ("rx_octets", ""),
            ("rx_errors", ""),
            ("rx_out_of_sequence", "came late or twice"),
            ("rx_discards", "of these, dropped"),
        )
    ),
    "Data path counters of a session.",
)
TRACE = Command(
    "Trace",
    (
        Argument("subject", "json", False, "object with one or more of: `tunnel`, `session` (our ids), `peer` (IP"
                                           " address), `mac` (upper case, with colons), `user`; all have to fit"),
        Argument("packets", "boolean", True, "with the octets of control packets; passwords of PAP are masked"),
    ),
    (),
    "From now on the daemon calls `Traced` on this connection, whatever its log level, until the connection ends. A"
    " second call replaces the first.",
)
TRACED = Command(
    "Traced",
    (
        Argument("lines", "json", False, "list of `trace-line` records, oldest first"),
        Argument("dropped", "integer", False, "lines that this tracer lost since the last call, being too slow"),
    ),
    (),
    "What happens. The answer makes room for the next call.",
)
TRACE_LINE = Record(
    "trace-line",
    (
        Field("time", "number", "seconds since 1970"),
        Field("who", "text", "tunnel, session or link that it is about"),
        Field("kind", "text", "`message`, `avp`, `fsm`, `transport`, `phase`, `packet`, `log` or `event`"),
        Field("text", "text", "empty: a packet alone; secrets and passwords are left out"),
        Field("packet", "text", "octets of the packet, hex; empty: none"),
        Field("network", "text", "of the packet: `udp` or `ip` (an L2TP message), `ppp` (a frame without"
                                 " HDLC)"),
        Field("direction", "text", "of the packet: `in` or `out`"),
        Field("local", "text", "of an L2TP message: our address and port"),
        Field("peer", "text", "and the peer's"),
    ),
    "A line of trace.",
)
ENDED = (
    Field("ended_at", "number", "seconds since 1970"),
    Field("created_at", "number", "seconds since 1970"),
    Field("seconds_up", "number", "0: it has never been up"),
)
"""How every record of history begins."""
RATES = (
    Field("rx_bits", "integer", "bit/s from the peer"),
    Field("tx_bits", "integer", "bit/s to the peer"),
    Field("rx_packets", "number", "packets a second from the peer"),
    Field("tx_packets", "number", "packets a second to the peer"),
)
"""How much something moves, as PPP frames or Ethernet frames without what is before them in the tunnel."""
TRAFFIC_RECORD = Record(
    "traffic",
    (
        Field("age", "number?", "seconds since that was measured; null: not yet, ask again in a second or two"),
        Field("took", "number", "seconds that the walk through all counters took"),
        Field("measured", "integer", "how many have been read twice, so that there is a rate"),
        *RATES,
    ),
    "What all of them move together.",
)
TRAFFIC_LIMIT = Argument("limit", "integer", True, "rows of a list, 1 to 100; left out: 20")
TRAFFIC_HELP = (
    "How much is moved, and who moves the most. Counters are read in a walk of 5000 a second, which goes on for 30"
    " seconds after each question; the answer is that of the last walk, never work in itself."
)
HISTORY_HELP = "What has ended, newest first: as much as `history_size` says, also of the time before the start."
SUBSCRIBER = (
    Field(
        "proxy",
        "json",
        "null, or an object with what is known of proxy LCP and authentication (RFC 2661 section 4.4.5), octets as hex:"
        " `initial_received_confreq`, `last_sent_confreq`, `last_received_confreq` (options only), `authen_type`"
        " (number), `authen_name`, `authen_challenge`, `authen_id` (number), `authen_response`",
    ),
    Field(
        "line",
        "json",
        "null, or an object with what is known of the subscriber's line (RFC 5515, RFC 4679): `circuit_id` and"
        " `remote_id` (hex), `numbers` (object: sub-option number as text to integer), `encapsulation` (hex)",
    ),
    Field("lcp_want", "text", "LCP Want Options (RFC 3437), hex; empty: none"),
    Field("lcp_allow", "text", "LCP Allow Options (RFC 3437), hex; empty: none"),
)
"""What a LAC says of a subscriber: fields of the records of calls and sessions."""
