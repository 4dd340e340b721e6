"""Layouts of what operators watch: scripts and their fate, what a reload would do. See `format.py`."""

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
