"""Actions that every tool has."""

from __future__ import annotations

from typing import Any

from prol2tp.cli import completion as scripts
from prol2tp.cli import format, reports
from prol2tp.cli.grammar import UsageError
from prol2tp.cli.program import Program
from prol2tp.control.commands.shared import PREVIEW_RELOAD, RELOAD


def reload(program: Program, values: dict[str, Any]) -> None:
    """`reload`: what has changed, or with `dry_run` what would."""
    if values.get("dry_run"):
        program.record(program.call(PREVIEW_RELOAD), reports.preview)
        return
    program.record(program.call(RELOAD), lambda answer: [format.clean(answer["summary"])])


def help(program: Program, values: dict[str, Any]) -> None:
    """`help`: all commands, or those that begin with the given words."""
    words = values.get("words", ())
    usage = program.grammar.usage(words) if words else program.help()
    if not usage:
        raise UsageError(f"no command begins with '{' '.join(words)}'")
    program.write(usage)


def completion(program: Program, values: dict[str, Any]) -> None:
    """`completion`: the script for a shell."""
    program.write(scripts.script(values["shell"], program.name, program.grammar).splitlines())
