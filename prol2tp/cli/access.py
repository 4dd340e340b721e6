"""Records of proacd as text: the two layouts of `proac_info` that operators know, and those of its lists."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from prol2tp.cli.format import JSON, Columns, clean, clock
from prol2tp.control.commands.proacd import EXIT_CODES

SECTIONS = (
    ("Routing", "routing", (
        ("Routes created", "routes_created"),
        ("Route create failures", "route_create_failures"),
        ("Insufficient license denials", "license_denials"),
        ("Routes deleted", "routes_deleted"),
        ("Route delete failures", "route_delete_failures"),
        ("Destination open failures", "destination_open_failures"),
        ("Destination close failures", "destination_close_failures"),
        ("Source close failures", "source_close_failures"),
        ("Routes closed by destination", "closed_by_destination"),
        ("Routes closed by source", "closed_by_source"),
    )),
    ("PPPoE", "pppoe", (
        ("PADI received", "padi_received"),
        ("Invalid PADI received", "invalid_padi_received"),
        ("PADO sent", "pado_sent"),
        ("PADR received", "padr_received"),
        ("Invalid PADR received", "invalid_padr_received"),
        ("Resent PADR received", "resent_padr_received"),
        ("PADS sent", "pads_sent"),
        ("PADT received", "padt_received"),
        ("Invalid PADT received", "invalid_padt_received"),
        ("PADT sent", "padt_sent"),
    )),
    ("L2TP", "l2tp", (
        ("Tunnels opened", "tunnels_opened"),
        ("Sessions opened", "sessions_opened"),
        ("Sessions closed", "sessions_closed"),
        ("DNS lookup failures", "dns_failures"),
    )),
    ("RADIUS", "radius", (
        ("Successful requests", "successes"),
        ("Failed requests", "failures"),
        ("DNS lookup failures", "dns_failures"),
        ("Server timeouts", "timeouts"),
    )),
    ("PPPD", "pppd", (
        ("Local pppd started", "started"),
        ("Local pppd terminated", "terminated"),
    )),
)  # fmt: skip
"""Title of a section, its record in `status`, and label and field of each counter."""

_MORE = " " * 17


def status(record: JSON) -> list[str]:
    """`proac_info -s`, the lines of the manual alone."""
    lines = []
    for title, name, counters in SECTIONS:
        lines += [f"{title}:", *(f"    {label}: {int(record[name][field])}" for label, field in counters)]
    codes = record["pppd"]["exit_codes"]
    return [*lines, "    Exit codes:", *(f"        {code}: {int(codes.get(code, 0))}" for code in EXIT_CODES)]


def details(record: JSON) -> list[str]:
    """What `proac_info -s -v` says besides."""
    lines = [
        "Daemon:",
        f"    Version: {clean(record['version'])}",
        f"    AC-Name: {clean(record['ac_name'])}",
        f"    Log level: {clean(record['log_level'])}",
        f"    Configuration: {clean(record['config_file'])}",
        f"    Routes: {record['routes']}{', nobody new is let in' if record['draining'] else ''}",
        "Discovery packets without an answer:",
        *(f"    {clean(name).replace('_', ' ')}: {count}" for name, count in record["discards"].items()),
    ]
    lines.append(f"    dropped by the kernel: {record['frames_dropped']}")
    queue = record["queue"]
    if queue is not None:
        oldest = clock(queue["oldest"])
        lines += ["Accounting queue:", f"    Records: {queue['depth']}, oldest {oldest}, unsaved {queue['unsaved']}"]
    return lines


def route(record: JSON, verbose: bool = False) -> list[str]:
    """`proac_info -r` of one route; what the manual does not have is only there where there is something to say."""
    source, *more = _SOURCES.get(record["source"]["kind"], _l2tp_source)(record["source"])
    destination, *rest = _destination(record["destination"], record["state"])
    if verbose:
        more += _line(record["source"])
        rest += _verbose(record)
    return [
        f"Route '{clean(record['name'])}' {record['number']}:",
        f"    Source     : {source}",
        *(_MORE + line for line in more),
        f"    Destination: {destination}",
        *(_MORE + line for line in rest),
    ]


def routes(pages: Iterable[list[JSON]], verbose: bool = False) -> Iterator[str]:
    """All routes, as they come."""
    for page in pages:
        for record in page:
            yield from route(record, verbose)


def _pppoe_source(source: JSON) -> list[str]:
    vlans = source["vlans"]
    tagged = f" vlan {'.'.join(str(int(vlan)) for vlan in vlans)}" if vlans else ""
    advertised = "advertised" if source["advertised"] else "not advertised"
    return [
        f"PPPoE interface {clean(source['interface'])}{tagged} session {source['session_id']}",
        f"service name '{clean(source['service_name'])}' ({advertised})",
        f"peer MAC {clean(source['peer_mac']).upper()}",
    ]


def _l2tp_source(source: JSON) -> list[str]:
    return [
        f"L2TP tunnel {source['tunnel_id']} session {source['session_id']}",
        f"tunnel profile '{clean(source['tunnel_profile'])}'",
        f"peer {clean(source['peer_address'])}",
    ]


_SOURCES = {"pppoe": _pppoe_source, "l2tp": _l2tp_source}


def _destination(destination: JSON | None, state: str) -> list[str]:
    if destination is None:
        return [f"none yet ({clean(state)})"]
    if destination["kind"] == "ppp":
        interface = f" interface {clean(destination['interface'])}" if destination["interface"] else ""
        return [f"PPP profile '{clean(destination['ppp_profile'])}'{interface}"]
    if not destination["tunnel_id"]:
        return [f"L2TP to {clean(destination['name'])} ({clean(state)})"]
    return [f"L2TP tunnel {destination['tunnel_id']} session {destination['session_id']}"]


def _line(source: JSON) -> list[str]:
    said: tuple[tuple[str, str], ...] = (("circuit id", "circuit_id"), ("remote id", "remote_id"))
    if source["kind"] == "l2tp":  # of PPPoE they are the host and the service
        said += (("calling number", "calling_number"), ("called number", "called_number"))
    lines = [f"{label} '{clean(source[field])}'" for label, field in said if source[field]]
    return [*lines, f"largest PPP payload {source['mtu']}"] if source["mtu"] else lines


def _verbose(record: JSON) -> list[str]:
    lines = []
    destination = record["destination"]
    if destination is not None and destination["kind"] == "l2tp" and destination["tunnel_id"]:
        lines += [
            f"LNS '{clean(destination['name'])}' {clean(destination['peer'])}",
            f"peer tunnel {destination['peer_tunnel_id']} session {destination['peer_session_id']}",
        ]
    if record["user"]:
        lines.append(f"user '{clean(record['user'])}'")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["created_at"]))
    return [*lines, f"{clean(record['state'])}, since {since}"]


# lists


def interfaces(pages: Iterable[list[JSON]]) -> Iterator[str]:
    """`proac_info interfaces`."""
    columns = Columns(("Interface", "<", 9), ("State", "<", 6), ("MAC", "<", 17), ("MTU", ">", 5),
                      ("Sessions", ">", 8), ("Limit", ">", 5), ("Dropped", ">", 7),
                      ("VLANs", "<", 8), ("Services", "<", 0))
    return columns.pages(
        [
            (clean(row["name"]), clean(row["state"]), clean(row["mac"]).upper() or "-", _number(row["mtu"]),
             str(row["sessions"]), _number(row["max_sessions"]), _number(row["frames_dropped"]),
             clean(",".join(row["vlans"])), clean(" ".join(row["services"])))
            for row in page
        ]
        for page in pages
    )  # fmt: skip


def destinations(pages: Iterable[list[JSON]]) -> Iterator[str]:
    """`proac_info destinations`."""
    columns = Columns(("Destination", "<", 15), ("State", "<", 8), ("Left", ">", 8), ("Sessions", ">", 8),
                      ("Opened", ">", 8), ("Failed", ">", 6), ("Refused", ">", 7), ("Reason", "<", 0))
    return columns.pages(
        [
            (clean(row["name"]), clean(row["state"]), clock(row["seconds"]) if row["seconds"] else "-",
             str(row["sessions"]), str(row["opened"]), str(row["failed"]), str(row["refused"]),
             clean(row["reason"]) or "-")
            for row in page
        ]
        for page in pages
    )  # fmt: skip


def macs(pages: Iterable[list[JSON]]) -> Iterator[str]:
    """`proac_info macs`."""
    columns = Columns(("Interface", "<", 9), ("List", "<", 5), ("MAC", "<", 17), ("Origin", "<", 0))
    return columns.pages(
        [
            (clean(row["interface"]) or "-", clean(row["list"]), clean(row["mac"]).upper(), clean(row["origin"]))
            for row in page
        ]
        for page in pages
    )


def trace(pages: Iterable[list[JSON]]) -> Iterator[str]:
    """`proac_info trace dump`: time, whom it is about, what happened."""
    for page in pages:
        for row in page:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["time"]))
            about: list[Any] = [row["interface"], row["mac"].upper()]
            if row["number"]:
                about.append(f"{row['route']}/{row['number']}")
            words = [f"{at}.{int(row['time'] * 1000) % 1000:03}", *(clean(word) for word in about if word)]
            yield f"{' '.join(words)} {clean(row['kind'])}: {clean(row['text'])}"


def _number(value: int) -> str:
    return str(value) if value else "-"
