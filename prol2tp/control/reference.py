"""The reference part of docs/control-protocol.md, written from the declarations.

`python3 -m prol2tp.control.reference docs/control-protocol.md` rewrites what stands between the marks
`<!-- begin NAME -->` and `<!-- end NAME -->`; a test holds page and declarations equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from prol2tp.control.command import Argument, Command, Record
from prol2tp.control.commands import proacd, prol2tpd, propppd, scriptd


def _arguments(arguments: Iterable[Argument]) -> list[str]:
    return [
        f"| `{a.name}` | {a.type}{', optional' if a.optional else ''} | {a.help} |".replace("  |", " |")
        for a in arguments
    ]


def command_text(command: Command) -> str:
    """The section of one command."""
    lines = [f"#### {command.name}", "", command.help, ""]
    if command.rows:
        lines += [f"A list command: `rows` are `{command.rows}` records.", ""]
    for title, arguments in (("argument", command.arguments), ("response", command.response)):
        if arguments:
            lines += [f"| {title} | type | |", "| --- | --- | --- |", *_arguments(arguments), ""]
    return "\n".join(lines)


def record_text(record: Record) -> str:
    """The section of one record."""
    lines = [f"#### `{record.name}`", "", record.help, "", "| field | type | |", "| --- | --- | --- |"]
    lines += [f"| `{f.name}` | {f.type} | {f.help} |".replace("  |", " |") for f in record.fields]
    return "\n".join([*lines, ""])


def sections() -> dict[str, str]:
    """The generated parts of the page by the names in their marks."""
    parts = {}
    for name, module in (("prol2tpd", prol2tpd), ("propppd", propppd), ("proacd", proacd)):
        parts[f"{name} commands"] = "\n".join(map(command_text, module.COMMANDS.values()))
        parts[f"{name} callbacks"] = "\n".join(map(command_text, module.CALLBACKS.values()))
        parts[f"{name} records"] = "\n".join(map(record_text, module.RECORDS.values()))
        parts[f"{name} events"] = ", ".join(f"`{event}`" for event in module.EVENTS) + "\n"
    parts["scriptd commands"] = "\n".join(map(command_text, scriptd.COMMANDS.values()))
    parts["scriptd records"] = "\n".join(map(record_text, scriptd.RECORDS.values()))
    return parts


def rewritten(page: str) -> str:
    """The page with its generated parts as they should be. ValueError when a mark is missing."""
    for name, text in sections().items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, found, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise ValueError(f"the page has no part {name}")
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
