"""propppctl(1): show and change what propppd does."""

from __future__ import annotations

from typing import Any

from prol2tp.cli import everywhere, format, links, reports
from prol2tp.cli.completion import SHELLS
from prol2tp.cli.grammar import Form, Grammar, Word
from prol2tp.cli.program import Action, Program
from prol2tp.cli.program import main as run
from prol2tp.control.commands import propppd
from prol2tp.control.commands.shared import LEVELS

FORMS = (
    Form("status", "status", "The daemon as a whole."),
    Form("pools", "pools", "A line for each pool of addresses or prefixes, and how much of it is free."),
    Form("servers", "servers", "A line for each RADIUS server and what it does: authentication, accounting."),
    Form("list", "list [FILTER]", "A line for each link, or for each that is up or down."),
    Form("find", "find LOGIN", "A line for each link of a user."),
    Form("show", "show NAME", "One link."),
    Form("history", "history [LOGIN]", "What has ended and why, a line for each link, of all users or of one, newest"
                                        " first."),
    Form("create", "create ARGUMENT [ARGUMENT ...]", "Make a link; its name is printed."),
    Form("destroy", "destroy NAME", "Terminate a link and remove it."),
    Form(
        "events",
        "events [{type EVENT | user USER | name LINK} ...]",
        "What happens, a line for each event, until interrupted.",
    ),
    Form("reload", "reload [--dry-run]", "Read the configuration file again, or say what that would do."),
    Form("set_log_level", "set log-level LEVEL [NAME]", "Change the log level of the daemon or of one link."),
    Form("completion", "completion SHELL", "Print what completes commands in a shell."),
    Form("help", "help [WORD ...]", "The commands, or those that begin with these words."),
)
WORDS = {
    "NAME": Word("name", "name of a link: session-N"),
    "LOGIN": Word("user", "authenticated user"),
    "FILTER": Word("filter", "up or down", "choice", ("up", "down")),
    "ARGUMENT": Word("arguments", "option of the new link in pppd's words, its value as the following word", "list"),
    "EVENT": Word("types", "only these: " + ", ".join(propppd.EVENTS), "list"),
    "USER": Word("users", "only events of links with this user", "list"),
    "LINK": Word("names", "only events of this link: session-N", "list"),
    "--dry-run": Word("dry_run", "change nothing: list what would change, what would end and why", "flag"),
    "LEVEL": Word("level", ", ".join(LEVELS), "choice", LEVELS),
    "SHELL": Word("shell", ", ".join(SHELLS), "choice", SHELLS),
    "WORD": Word("words", "beginning of a command", "list"),
}
GRAMMAR = Grammar(FORMS, WORDS)


def _status(program: Program, values: dict[str, Any]) -> None:
    program.record(program.call(propppd.STATUS)["status"], links.status)


def _pools(program: Program, values: dict[str, Any]) -> None:
    program.rows(propppd.POOLS, links.pools)


def _servers(program: Program, values: dict[str, Any]) -> None:
    program.rows(propppd.SERVERS, links.servers)


def _list(program: Program, values: dict[str, Any]) -> None:
    program.rows(propppd.LIST, links.links, **values)


def _find(program: Program, values: dict[str, Any]) -> None:
    rows = program.call(propppd.FIND, **values)["rows"]
    program.record(rows, lambda rows: links.links([rows]))


def _show(program: Program, values: dict[str, Any]) -> None:
    program.record(program.call(propppd.SHOW, **values)["link"], links.link)


def _history(program: Program, values: dict[str, Any]) -> None:
    program.rows(propppd.LIST_HISTORY, reports.link_ends, **values)


def _create(program: Program, values: dict[str, Any]) -> None:
    program.record(
        program.call(propppd.CREATE, words=values["arguments"]), lambda answer: [format.clean(answer["name"])]
    )


def _destroy(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(propppd.DESTROY, **values))


def _events(program: Program, values: dict[str, Any]) -> int:
    users, names = (frozenset(values.get(key, ())) for key in ("users", "names"))

    def wanted(data: dict[str, Any]) -> bool:
        return (not users or data.get("user") in users) and (not names or data.get("name") in names)

    return program.follow(values.get("types"), wanted, format.event)


def _set_log_level(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(propppd.SET_LOG_LEVEL, **values))


ACTIONS: dict[str, Action] = {
    "status": _status,
    "pools": _pools,
    "servers": _servers,
    "list": _list,
    "find": _find,
    "show": _show,
    "history": _history,
    "create": _create,
    "destroy": _destroy,
    "events": _events,
    "reload": everywhere.reload,
    "set_log_level": _set_log_level,
    "completion": everywhere.completion,
    "help": everywhere.help,
}


def program() -> Program:
    """The tool."""
    return Program("propppctl", propppd.SOCKET, GRAMMAR, ACTIONS, "Show and change what propppd does.")


def main() -> int:
    """The console script."""
    return run(program())
