"""Layouts of what operators watch: scripts and their fate. As `format.py`, whose layouts are those of links."""

from __future__ import annotations

from prol2tp.cli.format import JSON, Columns, clean, number


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
