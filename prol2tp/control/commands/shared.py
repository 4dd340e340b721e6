"""Commands that every daemon has, and the callback by which it tells its subscribers of events."""

from __future__ import annotations

from prol2tp.control.command import Argument, Command, Field, Record

SUBSCRIBE = Command(
    "Subscribe",
    (Argument("events", "json", True, "list of event names; left out: all"),),
    (),
    "From now on the daemon calls `Notify` on this connection. A second call replaces the first.",
)
UNSUBSCRIBE = Command("Unsubscribe", (), (), "No more `Notify`.")
RELOAD = Command(
    "Reload",
    (),
    (Argument("summary", "text", False, "one line: what changed"),),
    "Read the configuration file again, as SIGHUP does. `Refused` with `FILE:LINE:COLUMN: what is wrong` when it is"
    " bad; the running configuration then stays.",
)
NOTIFY = Command(
    "Notify",
    (
        Argument("events", "json", False, "list of `event` records, oldest first"),
        Argument("dropped", "integer", False, "events that this subscriber lost since the last call, being too slow"),
    ),
    (),
    "Events. The subscriber's answer makes room for the next call.",
)

LEVELS = ("critical", "error", "warning", "notice", "info", "debug")
"""Log levels, fewest messages first."""

EVENT = Record(
    "event",
    (
        Field("event", "text", "name: one of the daemon's EVENTS"),
        Field("time", "number", "seconds since 1970"),
        Field("data", "json", "object: ids, names and reason, by the event"),
    ),
    "One event.",
)
