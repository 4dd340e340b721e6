"""proac_info(1): show and change what proacd does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from prol2tp.cli import access, everywhere, format, links, reports
from prol2tp.cli.completion import SHELLS
from prol2tp.cli.grammar import Form, Grammar, Word
from prol2tp.cli.program import Action, Program
from prol2tp.cli.program import main as run
from prol2tp.control.command import NotFound
from prol2tp.control.commands import proacd
from prol2tp.control.commands.shared import LEVELS

_WALKED = 5000
"""Routes that a page of a search walks over."""
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_FILTER = "[{interface INTERFACE | mac MAC | route ROUTE} ...]"

FORMS = (
    Form("status", "-s [-v]", "The counters of the daemon; -v: and what else it has to say."),
    Form("routes", "-r [ROUTE] [-v]", "All routes, or one of them; -v: with user, line, state and LNS."),
    Form("find", "find {user USER | mac MAC | line LINE}", "The routes of a user, a host or a line, as -r -v does."),
    Form("history", "history [WHO]", "What has ended and why, a line for each route, of all hosts or of one, newest"
                                      " first."),
    Form("interfaces", "interfaces", "A line for each Ethernet interface that hosts are served on."),
    Form("destinations", "destinations", "A line for each LNS that has been used, and whether it is."),
    Form("servers", "servers", "A line for each RADIUS server and what it does: authentication, accounting."),
    Form("close", "close {ROUTE | mac MAC}", "End a route, all routes of a name, or all of a host."),
    Form("drain", "drain [DESTINATION]", "Send no new sessions to an LNS, or let none in; those there are stay."),
    Form("undrain", "undrain [DESTINATION]", "Take that back."),
    Form("unlock", "unlock DESTINATION", "Use an LNS again that is locked out because it failed."),
    Form("macs", "macs [on INTERFACE]", "A line for each host that is let in or kept out."),
    Form("allow", "allow MAC [on INTERFACE]", "Let a host in; all that are not allowed are kept out from then on."),
    Form("deny", "deny MAC [on INTERFACE]", "Keep a host out."),
    Form("remove", "remove {allow | deny} MAC [on INTERFACE]", "Take back what allow or deny said."),
    Form("trace_on", f"trace on {_FILTER}", "Keep what happens from now on, of all or of these."),
    Form("trace_off", f"trace off {_FILTER}", "Keep it no longer."),
    Form("trace_dump", f"trace dump {_FILTER}", "Print what was kept."),
    Form("events", "events [EVENT ...]", "What happens, a line for each event, until interrupted."),
    Form("reload", "reload [--dry-run]", "Read the configuration file again, or say what that would do."),
    Form("set_log_level", "set log-level LEVEL", "Change the log level of the daemon."),
    Form("completion", "completion SHELL", "Print what completes commands in a shell."),
    Form("help", "help [WORD ...]", "The commands, or those that begin with these words."),
)
WORDS = {
    "-v": Word("verbose", "more", "flag"),
    "ROUTE": Word("route", "a route by its number, or all of the name of a route block"),
    "USER": Word("user", "a user's name, as RADIUS or propppd has it"),
    "WHO": Word("who", "a host by its MAC address, or a user by his name"),
    "LINE": Word("line", "Agent-Circuit-Id or Agent-Remote-Id of a subscriber's line"),
    "DESTINATION": Word("destination", "an LNS by its name in `destinations`"),
    "MAC": Word("mac", "MAC address of a host; of lists also the first three octets, for all of a vendor"),
    "INTERFACE": Word("interface", "an Ethernet interface"),
    "allow": Word("allow", "", "flag"),
    "deny": Word("deny", "", "flag"),
    "EVENT": Word("types", "only these: " + ", ".join(proacd.EVENTS), "list"),
    "--dry-run": Word("dry_run", "change nothing: list what would change, what would end and why", "flag"),
    "LEVEL": Word("level", ", ".join(LEVELS), "choice", LEVELS),
    "SHELL": Word("shell", ", ".join(SHELLS), "choice", SHELLS),
    "WORD": Word("words", "beginning of a command", "list"),
}
GRAMMAR = Grammar(FORMS, WORDS)


def _status(program: Program, values: dict[str, Any]) -> None:
    def text(record: dict[str, Any]) -> list[str]:
        return access.status(record) + (access.details(record) if values.get("verbose") else [])

    program.record(program.call(proacd.STATUS)["status"], text)


def _routes(program: Program, values: dict[str, Any]) -> None:
    name, verbose = values.get("route"), bool(values.get("verbose"))
    if name is not None and _is_number(name):
        try:
            found = program.call(proacd.SHOW_ROUTE, number=int(name))["route"]
        except NotFound:
            pass  # the name of a block may be a number too
        else:
            program.record(found, lambda record: access.route(record, verbose))
            return
    arguments = {} if name is None else {"name": name}
    text: Callable[[Iterable[list[Any]]], Iterator[str]] = partial(access.routes, verbose=verbose)
    if name is not None:
        text = _at_least_one(text, f"'{name}'")
    program.rows(proacd.LIST_ROUTES, text, **arguments)


def _find(program: Program, values: dict[str, Any]) -> None:
    (what,) = values.values()
    text = _at_least_one(partial(access.routes, verbose=True), f"of '{what}'")
    program.rows(proacd.LIST_ROUTES, text, limit=_WALKED, **values)


def _at_least_one(
    text: Callable[[Iterable[list[Any]]], Iterator[str]], which: str
) -> Callable[[Iterable[list[Any]]], Iterator[str]]:
    def lines(pages: Iterable[list[Any]]) -> Iterator[str]:
        nothing = True
        for line in text(pages):
            nothing = False
            yield line
        if nothing:
            raise NotFound(f"there is no route {which}")

    return lines


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _history(program: Program, values: dict[str, Any]) -> None:
    who = values.get("who")
    which = {} if who is None else {"mac" if _MAC.fullmatch(who) else "user": who}
    program.rows(proacd.LIST_HISTORY, reports.route_ends, **which)


def _interfaces(program: Program, values: dict[str, Any]) -> None:
    program.rows(proacd.LIST_INTERFACES, access.interfaces)


def _destinations(program: Program, values: dict[str, Any]) -> None:
    program.rows(proacd.LIST_DESTINATIONS, access.destinations)


def _servers(program: Program, values: dict[str, Any]) -> None:
    program.rows(proacd.SERVERS, links.servers)


def _close(program: Program, values: dict[str, Any]) -> None:
    name = values.pop("route", None)
    if name is not None:
        values = {"number": int(name)} if _is_number(name) else {"name": name}
    program.record(
        program.call(proacd.CLOSE_ROUTE, **values),
        lambda answer: [f"{answer['closed']} route{'s' if answer['closed'] != 1 else ''} closed"],
    )


def _drain(program: Program, values: dict[str, Any], on: bool = True) -> None:
    program.record(program.call(proacd.DRAIN, on=on, **values), lambda answer: [_drained(answer, on)])


def _drained(answer: dict[str, Any], on: bool) -> str:
    if not answer["known"]:
        # perhaps it has another name
        return "no session has been sent there yet"
    sessions = f"{answer['sessions']} session{'s' if answer['sessions'] != 1 else ''}"
    return f"{sessions} stay{'s' if answer['sessions'] == 1 else ''}" if on else f"{sessions} there"


def _unlock(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(proacd.UNLOCK, **values))


def _macs(program: Program, values: dict[str, Any]) -> None:
    program.rows(proacd.LIST_MACS, access.macs, **values)


def _add(program: Program, values: dict[str, Any], list: str) -> None:
    program.done(program.call(proacd.ADD_MAC, **{**_entry(values), "list": list}))


def _remove(program: Program, values: dict[str, Any]) -> None:
    which = "allow" if values.get("allow") else "deny"
    program.done(program.call(proacd.REMOVE_MAC, **{**_entry(values), "list": which}))


def _entry(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("mac", "interface") if name in values}


def _trace(program: Program, values: dict[str, Any], on: bool) -> None:
    program.done(program.call(proacd.SET_TRACE, on=on, **values))


def _trace_dump(program: Program, values: dict[str, Any]) -> None:
    program.rows(proacd.DUMP_TRACE, access.trace, **values)


def _events(program: Program, values: dict[str, Any]) -> int:
    return program.follow(values.get("types"), lambda data: True, format.event)


def _set_log_level(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(proacd.SET_LOG_LEVEL, **values))


ACTIONS: dict[str, Action] = {
    "status": _status,
    "routes": _routes,
    "find": _find,
    "history": _history,
    "interfaces": _interfaces,
    "destinations": _destinations,
    "servers": _servers,
    "close": _close,
    "drain": _drain,
    "undrain": partial(_drain, on=False),
    "unlock": _unlock,
    "macs": _macs,
    "allow": partial(_add, list="allow"),
    "deny": partial(_add, list="deny"),
    "remove": _remove,
    "trace_on": partial(_trace, on=True),
    "trace_off": partial(_trace, on=False),
    "trace_dump": _trace_dump,
    "events": _events,
    "reload": everywhere.reload,
    "set_log_level": _set_log_level,
    "completion": everywhere.completion,
    "help": everywhere.help,
}


def program() -> Program:
    """The tool."""
    return Program("proac_info", proacd.SOCKET, GRAMMAR, ACTIONS, "Show and change what proacd does.")


def main() -> int:
    """The console script."""
    return run(program())
