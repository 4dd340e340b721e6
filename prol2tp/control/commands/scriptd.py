"""The commands of prol2tp-scriptd and its records. It has no events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record, table

SOCKET = "scriptd.sock"
"""Name of the UNIX socket in the run directory."""

SCRIPT_ROW = Record(
    "script-row",
    (
        Field("script", "text", "file in the directory of scripts"),
        Field("there", "boolean", "there is such a file that can be run"),
        Field("run", "integer", "times that it ended, since the start of the daemon"),
        Field("failed", "integer", "of these: with a status that is not 0, or could not be started"),
        Field("timed_out", "integer", "of these: ended by force, being too late"),
        Field("running", "integer", "now"),
        Field("waiting", "integer", "events that it has still to be run for"),
        Field("suspect", "boolean", "it was too late and runs one at a time, until one ends in time"),
        Field("last_error", "text", "why it failed last; empty: it did not"),
    ),
    "One script.",
)
SCRIPTS_RECORD = Record(
    "scripts",
    (
        Field("version", "text", "of the daemon"),
        Field("directory", "text", "of the scripts"),
        Field("most", "integer", "scripts that run at once"),
        Field("timeout", "number", "seconds that a script may take"),
        Field("running", "integer", "scripts that run now"),
        Field("waiting", "integer", "events that wait for theirs, on disk"),
        Field("lost", "integer", "events that a daemon could not keep for us, since our start"),
        Field("connected", "words", "daemons whose events are heard now"),
        Field("scripts", "json", "list of `script-row` records"),
    ),
    "The daemon as a whole (`prol2tp show scripts`).",
)
RECORDS = {record.name: record for record in (SCRIPTS_RECORD, SCRIPT_ROW)}

SHOW_SCRIPTS = Command(
    "ShowScripts", (), (Argument("scripts", "json", False, "`scripts` record"),), "The scripts and what became of them."
)
COMMANDS = table((SHOW_SCRIPTS,))
"""What the daemon answers."""
CALLBACKS: dict[str, Command] = {}
EVENTS: tuple[str, ...] = ()
