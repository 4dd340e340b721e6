"""Records of propppd as a whole: its status, RADIUS servers, pools."""

from __future__ import annotations

from prol2tp.control.command import Field, Record


def _counts(name: str, fields: tuple[tuple[str, str], ...], help: str) -> Record:
    return Record(name, tuple(Field(field, "integer", text) for field, text in fields), help)


PPP_COUNTS = _counts(
    "ppp-counts",
    (
        ("instances", "links that exist"),
        ("create_requests", "sessions that prol2tpd handed over, and `Create`"),
        ("create_failures", "of these, refused"),
        ("destroy_requests", "`Destroy`"),
        ("destroy_failures", "of these, for links that were not there"),
    ),
    "Links and requests.",
)
RADIUS_COUNTS = _counts(
    "radius-counts",
    (
        ("access_requests", "sent, without retransmissions; again for each server"),
        ("access_accepts", ""),
        ("access_rejects", ""),
        ("access_challenges", ""),
        ("accounting_starts", "as access_requests; again also when its servers were dead meanwhile"),
        ("accounting_stops", ""),
        ("accounting_updates", ""),
        ("accounting_responses", "those to Accounting-On and -Off too"),
        ("disconnect_requests", ""),
        ("disconnect_responses", ""),
        ("retransmits", "of both kinds, to all servers"),
        ("timeouts", "requests that no server answered in time; those of each server are in `server-row`"),
        ("auth_in_progress", ""),
        ("accounting_in_progress", ""),
        ("coa_requests", "verified; disconnect_requests too"),
        ("coa_responses", ""),
        ("dynamic_discards", "datagrams about Disconnect and CoA that were dropped: senders, secrets, time stamps"),
    ),
    "RADIUS; all 0 where it is not configured.",
)
ACCOUNTING_QUEUE = Record(
    "accounting-queue",
    (
        Field("depth", "integer", "records that no server has acknowledged"),
        Field("oldest", "number", "age of the oldest, seconds; 0: there is none"),
        Field("waiting", "integer", "of these, records whose servers do not answer at present"),
        Field("unsaved", "integer", "of these, records in memory alone, because the disk takes nothing"),
        Field("coalesced", "integer", "updates that gave way to newer ones before a server had them"),
        Field("refused", "integer", "records that cannot be sent and were put aside in the file"),
        Field("trouble", "text", "why the disk takes nothing; empty: it does"),
    ),
    "The accounting queue: what no server has yet.",
)
EVENT_COUNTS = _counts(
    "event-counts",
    (("created", ""), ("destroyed", ""), ("up", ""), ("down", "")),
    "Links created and destroyed, networks up and down.",
)
CONFIG_COUNTS = _counts(
    "config-counts",
    (("updates", "files taken over, the first one counted"), ("failures", "")),
    "Configuration files read.",
)
RATE_LIMITS_RECORD = Record(
    "rate-limits",
    (
        Field("links", "integer", "links that have one"),
        Field("failures", "integer", "limits that could not be set"),
        Field("kernel", "text", "what its traffic control can do"),
    ),
    "Rate limits of all links.",
)
FILTER_COUNTS = _counts(
    "filter-counts",
    (
        ("unknown", "Filter-Ids without a block `filter`, each time that a user came with one"),
        ("failures", "times that a set of nftables was missing or refused a user"),
    ),
    "Filters that did not do what they should.",
)
STATUS_RECORD = Record(
    "status",
    (
        Field("version", "text", "of the daemon"),
        Field("support", "text", "where help is found"),
        Field("license", "text", ""),
        Field("ppp", "ppp-counts"),
        Field("radius", "radius-counts"),
        Field("accounting_queue", "accounting-queue?", "null: nothing is accounted"),
        Field("events", "event-counts"),
        Field("config", "config-counts"),
        Field("log_level", "text", "of the daemon, lower case"),
        Field("started_at", "number", "start of the daemon, seconds since 1970"),
        Field("config_file", "text", ""),
        Field("filters", "filter-counts?", "null: no filter has failed"),
        Field("rate_limits", "rate-limits?", "null: no link has had one yet"),
        Field("setup", "json", "how long links took until their first network protocol: {bounds, counts, sum} in"
                               " seconds; `counts` has one more than `bounds`, for what took longer"),
        Field("ends", "json", "object: links that ended since the start, by Acct-Terminate-Cause"),
    ),
    "The daemon as a whole (`propppctl status`).",
)
SERVER_ROW = Record(
    "server-row",
    (
        Field("name", "text", "of the block `server`"),
        Field("kind", "text", "`auth` or `acct`: a server is alive or dead for each by itself"),
        Field("address", "address", "of a name without an address: the name, and port 0"),
        Field("alive", "boolean", ""),
        Field("state_seconds", "number", "since it is alive or dead"),
        Field("requests", "integer", "sent there, without retransmissions"),
        Field("answers", "integer", "that were right, those to Status-Server among them"),
        Field("retransmits", "integer", ""),
        Field("timeouts", "integer", "requests that it did not answer in its time"),
        Field("in_progress", "integer", "requests that wait for its answer"),
        Field("probes", "integer", "Status-Server requests, while it was dead"),
        Field("dropped", "integer", "answers with a wrong authenticator, or without Message-Authenticator"),
        Field("round_trips", "json", "time to its answers, from the first transmission to it: {bounds, counts,"
                                     " sum} as in `setup` of `status`"),
    ),
    "A line of `propppctl servers`.",
)
POOL_ROW = Record(
    "pool-row",
    (
        Field("name", "text", "of the block"),
        Field("kind", "text", "`ip_pool` or `ipv6_pool`"),
        Field("length", "integer", "of what is given out: 32 an IPv4 address, 128 an IPv6 address, else a prefix"),
        Field("size", "integer", "of the pool: used, reserved and free"),
        Field("used", "integer", "that links have"),
        Field("reserved", "integer", "fixed ones of users and profiles, which are given to nobody else"),
        Field("free", "integer", ""),
        Field("exhausted", "boolean", "it was used up, and has not one in twenty free again yet"),
        Field("failures", "integer", "times that it had none to give"),
        Field("next", "text", "pool that is asked then; empty: none"),
    ),
    "A line of `propppctl pools`.",
)
