"""prol2tp(1): show and change what prol2tpd does."""

from __future__ import annotations

from functools import partial
from typing import Any

from prol2tp.cli import everywhere, format, reports, tunnels
from prol2tp.cli.completion import SHELLS
from prol2tp.cli.grammar import Form, Grammar, Word
from prol2tp.cli.program import Action, Program
from prol2tp.cli.program import main as run
from prol2tp.control.blocking import Unreachable
from prol2tp.control.commands import prol2tpd, scriptd
from prol2tp.control.commands.shared import LEVELS

_TUNNEL = "tunnel {id TUNNEL_ID | name TUNNEL_NAME}"
_SESSION = f"session {{id SESSION_ID | name SESSION_NAME}} in {_TUNNEL}"

FORMS = (
    Form("show_system", "show system", "The daemon as a whole."),
    Form("show_tunnels", "show tunnels", "A line for each tunnel."),
    Form("show_tunnel", f"show {_TUNNEL}", "One tunnel."),
    Form("show_sessions", f"show sessions [in {_TUNNEL}]", "A line for each session, of all tunnels or of one."),
    Form("show_session", f"show {_SESSION} [stats]", "One session, with its counters if asked for."),
    Form(
        "show_history",
        "show history [{tunnel TUNNEL_ID | session SESSION_ID | peer PEER | user USER} ...]",
        "What has ended and why, a line for each tunnel and session, newest first.",
    ),
    Form("show_scripts", "show scripts", "The scripts that run at events, and what became of them."),
    Form(
        "create_tunnel",
        "create tunnel name NAME peer ADDRESS [PARAMETER VALUE ...]",
        "Make a tunnel, as a tunnel block of prol2tpd.conf does.",
    ),
    Form(
        "create_session",
        f"create session name NAME in {_TUNNEL} [PARAMETER VALUE ...]",
        "Make a session in a tunnel, as a session block of prol2tpd.conf does.",
    ),
    Form("destroy_tunnel", f"destroy {_TUNNEL}", "Close a tunnel and all its sessions."),
    Form("destroy_session", f"destroy {_SESSION}", "Close a session."),
    Form(
        "set_log_level",
        f"set log-level LEVEL [{_TUNNEL} | {_SESSION}]",
        "Change the log level of the daemon, of a tunnel or of a session.",
    ),
    Form(
        "trace",
        "trace {{tunnel TUNNEL_ID | session SESSION_ID | peer PEER | mac MAC | user USER} ...} [into FILE]",
        "Follow one line of business through all daemons, whatever their log levels, until interrupted.",
    ),
    Form("reload", "reload [--dry-run]", "Read the configuration file again, or say what that would do."),
    Form("top", "top [--once]", "Rates, the biggest tunnels and recent drops, again and again, or once."),
    Form("shell", "shell", "Take commands from a prompt, with completion and history."),
    Form("completion", "completion SHELL", "Print what completes commands in a shell."),
    Form("complete", "complete [WORD ...]", "What may stand for the last of these words, for completion."),
    Form("help", "help [WORD ...]", "The commands, or those that begin with these words."),
)
WORDS = {
    "TUNNEL_ID": Word("tunnel_id", "our id of a tunnel", "integer", values="daemon"),
    "TUNNEL_NAME": Word("tunnel_name", "administrative name of a tunnel", values="daemon"),
    "SESSION_ID": Word("session_id", "our id of a session", "integer", values="daemon"),
    "SESSION_NAME": Word("session_name", "administrative name of a session", values="daemon"),
    "PEER": Word("peer", "IP address of a peer"),
    "USER": Word("user", "PPP user"),
    "MAC": Word("mac", "MAC address of a PPPoE peer"),
    "FILE": Word("path", "pcapng file that gets the control packets", values="file"),
    "NAME": Word("name", "name of the new tunnel or session"),
    "ADDRESS": Word("peer", "address or host name of the peer, with a port if it is not 1701"),
    "PARAMETER": Word("parameters", "parameter of prol2tpd.conf(5)", "name"),
    "VALUE": Word("parameters", "its value; several in one word, separated by blanks", "value"),
    "stats": Word("stats", "with the counters of the data path", "flag"),
    "--dry-run": Word("dry_run", "change nothing: list what would change, what would end and why", "flag"),
    "--once": Word("once", "print one screen and end", "flag"),
    "LEVEL": Word("level", ", ".join(LEVELS), "choice", LEVELS),
    "SHELL": Word("shell", ", ".join(SHELLS), "choice", SHELLS),
    "WORD": Word("words", "beginning of a command", "list"),
}
GRAMMAR = Grammar(FORMS, WORDS)


def _show_system(program: Program, values: dict[str, Any]) -> None:
    program.record(program.call(prol2tpd.SHOW_SYSTEM)["system"], tunnels.system)


def _show_tunnels(program: Program, values: dict[str, Any]) -> None:
    program.rows(prol2tpd.LIST_TUNNELS, tunnels.tunnels)


def _show_tunnel(program: Program, values: dict[str, Any]) -> None:
    program.record(program.call(prol2tpd.SHOW_TUNNEL, **values)["tunnel"], tunnels.tunnel)


def _show_sessions(program: Program, values: dict[str, Any]) -> None:
    program.rows(prol2tpd.LIST_SESSIONS, tunnels.sessions, **values)


def _show_session(program: Program, values: dict[str, Any]) -> None:
    program.record(program.call(prol2tpd.SHOW_SESSION, **values)["session"], tunnels.session)


def _show_history(program: Program, values: dict[str, Any]) -> None:
    program.rows(prol2tpd.LIST_HISTORY, reports.ends, **values)


def _show_scripts(program: Program, values: dict[str, Any]) -> None:
    try:
        answer = program.call(scriptd.SHOW_SCRIPTS, scriptd.SOCKET)
    except Unreachable as error:
        why = "prol2tp-scriptd does not run; prol2tpd starts it where there are scripts"
        raise Unreachable(f"{why} ({error})") from None
    program.record(answer["scripts"], reports.scripts)


def _create_tunnel(program: Program, values: dict[str, Any]) -> None:
    parameters = {"name": values["name"], "peer": values["peer"], **values.get("parameters", {})}
    program.record(
        program.call(prol2tpd.CREATE_TUNNEL, parameters=parameters),
        lambda answer: [f"Tunnel {answer['tunnel_id']} created"],
    )


def _create_session(program: Program, values: dict[str, Any]) -> None:
    parameters = {"name": values.pop("name"), **values.pop("parameters", {})}
    program.record(
        program.call(prol2tpd.CREATE_SESSION, parameters=parameters, **values),
        lambda answer: [f"Session {answer['session_id']} on tunnel {answer['tunnel_id']} created"],
    )


def _destroy_tunnel(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(prol2tpd.DESTROY_TUNNEL, **values))


def _destroy_session(program: Program, values: dict[str, Any]) -> None:
    program.done(program.call(prol2tpd.DESTROY_SESSION, **values))


def _set_log_level(program: Program, values: dict[str, Any]) -> None:
    session = "session_id" in values or "session_name" in values
    tunnel = "tunnel_id" in values or "tunnel_name" in values
    scope = "session" if session else "tunnel" if tunnel else "system"
    program.done(program.call(prol2tpd.SET_LOG_LEVEL, scope=scope, **values))


_SUBJECTS = {"tunnel_id": "tunnel", "session_id": "session", "peer": "peer", "mac": "mac", "user": "user"}


def _trace(program: Program, values: dict[str, Any]) -> int:
    from prol2tp.cli.trace import Follow

    subject = {_SUBJECTS[key]: value for key, value in values.items() if key in _SUBJECTS}
    if "mac" in subject:
        subject["mac"] = str(subject["mac"]).upper().replace("-", ":")
    return Follow(program, subject, values.get("path", "")).run()


def _complete(program: Program, values: dict[str, Any]) -> None:
    *words, text = values.get("words") or [""]
    known = partial(lookup, program)
    program.write(format.clean(word) for word in program.grammar.complete(words, text, known))


def _top(program: Program, values: dict[str, Any]) -> int:
    from prol2tp.cli import terminal

    return terminal.once(program) if values.get("once") else terminal.live(program)


def _shell(program: Program, values: dict[str, Any]) -> int:
    from prol2tp.cli.shell import shell

    return shell(program, lambda key, known: lookup(program, key, known))


ACTIONS: dict[str, Action] = {
    "show_system": _show_system,
    "show_tunnels": _show_tunnels,
    "show_tunnel": _show_tunnel,
    "show_sessions": _show_sessions,
    "show_session": _show_session,
    "show_history": _show_history,
    "show_scripts": _show_scripts,
    "create_tunnel": _create_tunnel,
    "create_session": _create_session,
    "destroy_tunnel": _destroy_tunnel,
    "destroy_session": _destroy_session,
    "set_log_level": _set_log_level,
    "trace": _trace,
    "reload": everywhere.reload,
    "top": _top,
    "shell": _shell,
    "completion": everywhere.completion,
    "complete": _complete,
    "help": everywhere.help,
}


def lookup(program: Program, key: str, known: dict[str, Any]) -> list[str]:
    """The ids and names that there are, for completion: the first page of them."""
    command = prol2tpd.LIST_TUNNELS if key in ("tunnel_id", "tunnel_name") else prol2tpd.LIST_SESSIONS
    field = {"tunnel_id": "tunnel_id", "tunnel_name": "name", "session_id": "session_id", "session_name": "name"}.get(
        key
    )
    if field is None:
        return []
    rows = program.call(command)["rows"]
    # the session is named before its tunnel: only tunnels that have it make sense
    session = {name: known[name] for name in ("session_id", "session_name") if name in known}
    if command is prol2tpd.LIST_TUNNELS and session:
        rows = program.call(prol2tpd.LIST_SESSIONS)["rows"]
        field = key
        rows = [row for row in rows if session in ({"session_id": row["session_id"]}, {"session_name": row["name"]})]
    return [str(row[field]) for row in rows if row[field] != ""]


def program() -> Program:
    """The tool."""
    return Program("prol2tp", prol2tpd.SOCKET, GRAMMAR, ACTIONS, "Show and change what prol2tpd does.")


def main() -> int:
    """The console script."""
    return run(program())
