"""The metrics, as Prometheus names them: one table, from which come the exposition and docs/metrics.md.

A row takes its value from a record of a daemon by a path of names. Names follow Prometheus' conventions: a prefix for
the daemon, base units, `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

COUNTER, GAUGE, HISTOGRAM, SINCE = "counter", "gauge", "histogram", "since"


class Metric(NamedTuple):
    """`path`: names to go by in the record, parted by dots. `label`: the object there has a value for each value of the
    label. `kind` 'since' is a gauge: the time of `path`, as it is."""

    name: str
    kind: str
    help: str
    path: str
    label: str = ""


PROL2TPD: tuple[Metric, ...] = (
    Metric("prol2tp_start_time_seconds", SINCE, "Start of prol2tpd, seconds since 1970.", "started_at"),
    Metric("prol2tp_tunnels", GAUGE, "Tunnels, whatever their state.", "tunnels"),
    Metric("prol2tp_tunnels_up", GAUGE, "Tunnels that are established.", "tunnels_up"),
    Metric("prol2tp_sessions", GAUGE, "Sessions, whatever their state.", "sessions"),
    Metric("prol2tp_sessions_up", GAUGE, "Sessions that are established.", "sessions_up"),
    Metric("prol2tp_tunnel_setup_seconds", HISTOGRAM, "From the first message of a tunnel until it is up.",
           "setup.tunnels"),
    Metric("prol2tp_session_setup_seconds", HISTOGRAM, "From the first message of a session until it is up.",
           "setup.sessions"),
    Metric("prol2tp_tunnel_ends_total", COUNTER, "Tunnels that ended, by result and error code in words.",
           "ends.tunnels", "result"),
    Metric("prol2tp_session_ends_total", COUNTER, "Sessions that ended, by cause.", "ends.sessions", "cause"),
    Metric("prol2tp_control_total", COUNTER, "What the protocol has seen: messages, faults, timers.",
           "counters", "what"),
)
PROPPPD: tuple[Metric, ...] = (
    Metric("proppp_start_time_seconds", SINCE, "Start of propppd, seconds since 1970.", "started_at"),
    Metric("proppp_links", GAUGE, "PPP links, whatever their state.", "ppp.instances"),
    Metric("proppp_links_up", GAUGE, "PPP links with a network protocol up.", "links_up"),
    Metric("proppp_requests_total", COUNTER, "Links that were asked for and that were to go, and failures of these.",
           "ppp_requests", "what"),
    Metric("proppp_events_total", COUNTER, "Links created and destroyed, networks up and down.", "events", "event"),
    Metric("proppp_link_setup_seconds", HISTOGRAM, "From the beginning of a link to its first network protocol.",
           "setup"),
    Metric("proppp_link_ends_total", COUNTER, "Links that ended, by Acct-Terminate-Cause.", "ends", "cause"),
    Metric("proppp_radius_total", COUNTER, "RADIUS packets and requests, as in `propppctl status`.",
           "radius_counts", "what"),
    Metric("proppp_radius_in_progress", GAUGE, "RADIUS requests that wait for an answer.",
           "radius_in_progress", "kind"),
    Metric("proppp_accounting_queue_records", GAUGE, "Accounting records that no server has acknowledged.",
           "accounting_queue.depth"),
    Metric("proppp_accounting_queue_oldest_seconds", GAUGE, "Age of the oldest of these.", "accounting_queue.oldest"),
    Metric("proppp_accounting_queue_unsaved", GAUGE, "Of these, records in memory alone.",
           "accounting_queue.unsaved"),
    Metric("proppp_config_total", COUNTER, "Configuration files taken over, and refused.", "config", "what"),
)
SERVERS: tuple[Metric, ...] = (
    Metric("proppp_radius_server_up", GAUGE, "1: the server answers.", "alive"),
    Metric("proppp_radius_server_requests_total", COUNTER, "Requests sent to the server, without retransmissions.",
           "requests"),
    Metric("proppp_radius_server_answers_total", COUNTER, "Right answers of the server.", "answers"),
    Metric("proppp_radius_server_retransmits_total", COUNTER, "Retransmissions to the server.", "retransmits"),
    Metric("proppp_radius_server_timeouts_total", COUNTER, "Requests that the server did not answer in its time.",
           "timeouts"),
    Metric("proppp_radius_server_round_trip_seconds", HISTOGRAM, "Time to the server's answers.", "round_trips"),
)
"""Of each RADIUS server, with the labels `server` and `kind`."""
POOLS: tuple[Metric, ...] = (
    Metric("proppp_pool_size", GAUGE, "Addresses or prefixes of the pool.", "size"),
    Metric("proppp_pool_used", GAUGE, "Of these, in use.", "used"),
    Metric("proppp_pool_failures_total", COUNTER, "Times that the pool had none to give.", "failures"),
)
"""Of each pool, with the labels `pool` and `kind`."""
PROACD: tuple[Metric, ...] = (
    Metric("proac_start_time_seconds", SINCE, "Start of proacd, seconds since 1970.", "started_at"),
    Metric("proac_routes", GAUGE, "Routes that there are now.", "routes"),
    Metric("proac_routing_total", COUNTER, "Routes created, deleted, closed, failed.", "routing", "what"),
    Metric("proac_pppoe_total", COUNTER, "PPPoE discovery packets.", "pppoe", "what"),
    Metric("proac_pppoe_discards_total", COUNTER, "Good discovery packets that had no answer, by reason.", "discards",
           "reason"),
    Metric("proac_frames_dropped_total", COUNTER, "Discovery frames that the kernel dropped: too many waited.",
           "frames_dropped"),
    Metric("proac_l2tp_total", COUNTER, "Tunnels and sessions towards LNSs.", "l2tp", "what"),
    Metric("proac_radius_total", COUNTER, "RADIUS requests about routes.", "radius", "what"),
    Metric("proac_local_ppp_exits_total", COUNTER, "Local PPP sessions that ended, by exit code.", "pppd.exit_codes",
           "code"),
    Metric("proac_accounting_queue_records", GAUGE, "Accounting records that no server has acknowledged.",
           "queue.depth"),
    Metric("proac_accounting_queue_oldest_seconds", GAUGE, "Age of the oldest of these.", "queue.oldest"),
)
UP = Metric("prol2tp_daemon_up", GAUGE, "1: the daemon answered.", "")
"""Of each daemon, with the label `daemon`; a daemon that was never there has none."""


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """What stands there, or None."""
    found: Any = record
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


_IN_PROGRESS = {"auth_in_progress": "auth", "accounting_in_progress": "acct"}


def of_propppd(status: Mapping[str, Any]) -> dict[str, Any]:
    """The `status` record, with what the table wants from it in other words."""
    events, radius, ppp = (status.get(name) or {} for name in ("events", "radius", "ppp"))
    return {
        **status,
        "links_up": events.get("up", 0) - events.get("down", 0),
        "ppp_requests": {name: value for name, value in ppp.items() if name != "instances"},
        "radius_counts": {name: value for name, value in radius.items() if name not in _IN_PROGRESS},
        "radius_in_progress": {word: radius.get(name, 0) for name, word in _IN_PROGRESS.items()},
    }


def reference() -> Iterable[str]:
    """docs/metrics.md, the part with the tables."""
    parts = (("prol2tpd", (), PROL2TPD), ("propppd", (), PROPPPD), ("each RADIUS server of propppd", ("server", "kind"),
             SERVERS), ("each pool of propppd", ("pool", "kind"), POOLS), ("proacd", (), PROACD),
             ("all daemons", ("daemon",), (UP,)))
    for title, labels, metrics in parts:
        yield f"## Of {title}\n"
        yield "| metric | type | labels | meaning |\n| --- | --- | --- | --- |"
        for metric in metrics:
            words = ", ".join(f"`{label}`" for label in (*labels, *([metric.label] if metric.label else [])))
            yield f"| `{metric.name}` | {GAUGE if metric.kind == SINCE else metric.kind} | {words} | {metric.help} |"
        yield ""
