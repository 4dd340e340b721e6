"""Layouts of what operators watch: scripts and their fate, what a reload would do, why
things ended. See `format.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prol2tp.cli.format import JSON, Columns, clean, clock, host, number


def scripts(record: JSON) -> list[str]:
    """`prol2tp show scripts`: those that there are, and those that were."""
    connected = ", ".join(map(clean, record["connected"])) or "nobody"
    lines = [
        f"Scripts of {clean(record['directory'])}, at most {record['most']} at once,"
        f" {number(record['timeout'])} s each",
        f"  hearing {connected}; running: {record['running']}, waiting: {record['waiting']}, lost: {record['lost']}",
    ]
    table = Columns(("Script", "<", 15), ("Run", ">", 8), ("Failed", ">", 8), ("Late", ">", 8), ("Running", ">", 8),
                    ("Waiting", ">", 8), ("State", "", 0))
    rows = [row for row in record["scripts"] if row["there"] or row["run"] or row["running"] or row["waiting"]]
    lines += table.pages([[_script_cells(row) for row in rows]])
    failed = [row for row in rows if row["last_error"]]
    return lines + [f"  {clean(row['script'])}: last failure: {clean(row['last_error'])}" for row in failed]


def _script_cells(row: JSON) -> list[str]:
    state = "late: one at a time" if row["suspect"] else "ok" if row["there"] else "gone"
    counts = [str(row[name]) for name in ("run", "failed", "timed_out", "running", "waiting")]
    return [clean(row["script"]), *counts, state]


_EFFECTS = {"drops": "ENDS", "opens": "opens", "at once": "at once", "later": "later", "restart": "next start",
            "nothing": "nothing"}


def preview(answer: JSON) -> list[str]:
    """`reload --dry-run`: a line for each change, what would end first."""
    if not answer["total"]:
        return ["nothing changed"]
    lines = [line for change in answer["changes"] for line in _change_lines(change)]
    if answer["total"] > len(answer["changes"]):
        lines.append(f"... and {answer['total'] - len(answer['changes'])} more")
    return [*lines, f"changes: {answer['total']}, that end something: {answer['drops']}"]


def _change_lines(change: JSON) -> list[str]:
    what = " ".join([clean(change["kind"]), *(f'"{clean(name)}"' for name in change["name"]), clean(change["action"])])
    parameters = f" ({', '.join(map(clean, change['parameters']))})" if change["parameters"] else ""
    why = f": {clean(change['why'])}" if change["why"] else ""
    ends = [f"            {clean(name)} ends" for name in change["drops"]]
    return [f"{_EFFECTS.get(change['effect'], clean(change['effect'])):<11} {what}{parameters}{why}", *ends]


def ends(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`prol2tp show history`, from pages of `history-row` records: newest first."""
    table = Columns(("Ended", "<", 19), ("Ids", "<", 11), ("Name", "<", 4), ("Up", ">", 9), ("State", "<", 12),
                    ("Peer", "<", 15), ("User", "<", 4), ("By", "<", 4), ("Cause", "<", 12), ("Reason", "", 0))
    return table.pages([_end_cells(row) for row in page] for page in pages)


def _end_cells(row: JSON) -> list[str]:
    ids = f"{row['tunnel_id']}/{row['session_id']}" if row["kind"] == "session" else str(row["tunnel_id"])
    return [_when(row["ended_at"]), ids, clean(row["name"] or "-"), clock(row["seconds_up"]), clean(row["last_state"]),
            host(row["peer"]), clean(row["user"] or "-"), clean(row["by"]), clean(row["cause"] or "-"),
            clean(row["reason"])]


def link_ends(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`propppctl history`, from pages of `history-row` records: newest first."""
    table = Columns(("Ended", "<", 19), ("Name", "<", 10), ("User", "<", 16), ("Up", ">", 9), ("State", "<", 12),
                    ("Address", "<", 15), ("In", ">", 10), ("Out", ">", 10), ("Cause", "<", 12), ("Message", "", 0))
    return table.pages([_link_cells(row) for row in page] for page in pages)


def _link_cells(row: JSON) -> list[str]:
    return [_when(row["ended_at"]), clean(row["name"] or "-"), clean(row["user"] or "-"), clock(row["seconds_up"]),
            clean(row["last_state"]), clean(row["address"] or "-"), *_octets(row["counters"]), clean(row["cause"]),
            clean(row["message"] or "-")]


def route_ends(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`proac_info history`, from pages of `history-row` records: newest first."""
    table = Columns(("Ended", "<", 19), ("Host", "<", 17), ("Where", "<", 8), ("User", "<", 16), ("Up", ">", 9),
                    ("State", "<", 8), ("To", "<", 15), ("In", ">", 10), ("Out", ">", 10), ("By", "<", 11),
                    ("Cause", "<", 12), ("Message", "", 0))
    return table.pages([_route_cells(row) for row in page] for page in pages)


def _route_cells(row: JSON) -> list[str]:
    source, destination = row["source"], row["destination"]
    if source["kind"] == "pppoe":
        who = source["peer_mac"].upper()
        where = ".".join([source["interface"], *(str(vlan) for vlan in source["vlans"])])
    else:
        who, where = source["peer_address"], f"{source['tunnel_id']}/{source['session_id']}"
    if destination is None:
        to = "-"
    else:
        to = destination["name"] if destination["kind"] == "l2tp" else destination["interface"] or "local PPP"
    return [_when(row["ended_at"]), clean(who), clean(where), clean(row["user"] or "-"), clock(row["seconds_up"]),
            clean(row["last_state"]), clean(to), *_octets(row["counters"]), clean(row["by"]), clean(row["cause"]),
            clean(row["message"] or "-")]


def _octets(counters: JSON | None) -> list[str]:
    return [str(counters[name]) if counters else "-" for name in ("rx_octets", "tx_octets")]


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
