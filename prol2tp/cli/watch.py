"""prol2tpwatch(1) and propppwatch(1): events of a daemon as they come, a line each."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TextIO

from prol2tp import __version__
from prol2tp.cli.format import clean, clean_json
from prol2tp.cli.program import DONE, FAILED, UNREACHABLE, USAGE, open_streams
from prol2tp.control.blocking import TIMEOUT, Connection, Unreachable, run_directory
from prol2tp.control.command import ControlError, Invalid
from prol2tp.control.commands import prol2tpd, propppd

QUOTE, QUOTED = "'", r"\x27"
FIRST_DELAY, LAST_DELAY = 0.2, 5.0
"""Seconds between tries with --reconnect."""


class Column(NamedTuple):
    """One value of a line. `on`: the last words of the events that have it; empty: all. `verbose`: with -v only."""

    name: str
    field: str
    on: frozenset[str] = frozenset()
    verbose: bool = False
    quoted: bool = False


def _on(words: str) -> frozenset[str]:
    return frozenset(words.split())


class Kind(NamedTuple):
    """Events of one kind: the first word of their lines and of their names, and their columns."""

    title: str
    prefix: str
    option: str
    words: tuple[str, ...]
    columns: tuple[Column, ...]


class Tool(NamedTuple):
    name: str
    module: Any
    kinds: tuple[Kind, ...]
    summary: str


_DOWN = _on("down")
_TUNNEL = Kind("TUNNEL", "tunnel", "t", ("created", "up", "down", "deleted"), (
    Column("handle", "handle"),
    Column("tid", "tunnel_id"),
    Column("peer_tid", "peer_tunnel_id", _on("up down")),
    Column("name", "name", _on("created"), quoted=True),
    Column("profile", "profile", _on("created"), quoted=True),
    Column("result", "result", _DOWN),
    Column("error", "error", _DOWN),
    Column("message", "message", _DOWN, quoted=True),
    Column("version", "version", verbose=True),
    Column("encap", "encapsulation", verbose=True),
    Column("peer", "peer", verbose=True),
))
_SESSION = Kind("SESSION", "session", "s", ("created", "up", "down", "deleted"), (
    Column("handle", "handle"),
    Column("tid", "tunnel_id"),
    Column("sid", "session_id"),
    Column("peer_tid", "peer_tunnel_id", _on("up down")),
    Column("peer_sid", "peer_session_id", _on("up down")),
    Column("name", "name", _on("created"), quoted=True),
    Column("profile", "profile", _on("created"), quoted=True),
    Column("pw_profile", "pseudowire_profile", _on("created"), quoted=True),
    Column("result", "result", _DOWN),
    Column("error", "error", _DOWN),
    Column("message", "message", _DOWN, quoted=True),
    Column("pw_type", "type", verbose=True),
    Column("interface", "interface", verbose=True, quoted=True),
))
_LINK = Kind("PPP", "link", "l", ("created", "up", "down", "destroyed"), (
    Column("name", "name"),
    Column("id", "id"),
    Column("profile", "profile", _on("created"), quoted=True),
    Column("user", "user", _on("up down destroyed"), quoted=True),
    Column("interface", "interface", _on("up down"), quoted=True),
    Column("address", "address", _on("up")),
    Column("cause", "cause", _on("down destroyed"), quoted=True),
    Column("message", "message", _on("down destroyed"), quoted=True),
    Column("type", "type", verbose=True),
))
PROL2TPWATCH = Tool("prol2tpwatch", prol2tpd, (_TUNNEL, _SESSION), "Print events of prol2tpd as they come.")
PROPPPWATCH = Tool("propppwatch", propppd, (_LINK,), "Print events of propppd as they come.")


def _text(value: Any) -> str:
    return "" if value is None else clean(value)


def line(kind: Kind, word: str, data: Mapping[str, Any], verbose: bool) -> str:
    """`SESSION UP: handle=3 tid=1 ...`."""
    words = [f"{kind.title} {word.upper()}:"]
    for column in kind.columns:
        if (word in column.on or not column.on) and (verbose or not column.verbose):
            value = _text(data.get(column.field))
            # a name that peers chose cannot end its quotes
            words.append(f"{column.name}='{value.replace(QUOTE, QUOTED)}'" if column.quoted
                         else f"{column.name}={value or '-'}")
    return " ".join(words)


def row(tool: Tool, kind: Kind, word: str, data: Mapping[str, Any], verbose: bool) -> list[str]:
    """The values of a line of CSV: kind, event, then the columns of all kinds of the tool, empty where an event has
    none."""
    names = columns(tool, verbose)
    own = {column.name: _text(data.get(column.field)) for column in kind.columns
           if (word in column.on or not column.on) and (verbose or not column.verbose)}
    return [kind.title, word.upper(), *(own.get(name, "") for name in names)]


def columns(tool: Tool, verbose: bool) -> list[str]:
    """The columns of CSV after kind and event."""
    names = {column.name: None for kind in tool.kinds for column in kind.columns if not column.verbose}
    if verbose:
        names |= {column.name: None for kind in tool.kinds for column in kind.columns if column.verbose}
    return list(names)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        more = "; see --help" if message.startswith("unrecognized") else ""
        sys.stderr.write(f"{self.prog}: {clean(message)}{more}\n")
        sys.exit(USAGE)


def _words(kind: Kind) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        words = [word for word in text.split(",") if word]
        unknown = [word for word in words if word not in kind.words and word != "none"]
        if unknown or not words:
            raise argparse.ArgumentTypeError(f"{text!r}: a list of {','.join(kind.words)}, or none")
        return words
    return read


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def parser(tool: Tool) -> argparse.ArgumentParser:
    """The options of a tool."""
    made = _Parser(prog=tool.name, description=tool.summary, allow_abbrev=False)
    add = made.add_argument
    add("-T", "--timeout", metavar="SECONDS", type=_seconds, help="exit after so long (default: never)")
    add("-n", "--max-events", metavar="COUNT", type=_count, help="exit after so many events (default: never)")
    add("-v", "--verbose", action="store_true", help="more about each")
    add("-p", "--timestamp", action="store_true", help="put the time before each line")
    add("-c", "--csv", action="store_true", help="print comma separated values")
    add("--json", action="store_true", help="print each event as a line of JSON, its `event` record")
    for kind in tool.kinds:
        add(f"-{kind.option}", f"--{kind.prefix}-events", metavar="EVENTS", type=_words(kind),
            help=f"{kind.prefix} events to print: comma list of {','.join(kind.words)}, or none (default: all)")
    add("-r", "--reconnect", action="store_true",
        help="when the daemon ends, wait for it to come back and go on, instead of exiting")
    add("--run-dir", metavar="DIR",
        help="directory of the daemons' sockets (default: PROL2TP_RUN_DIR, or /run/prol2tp)")
    add("--version", action="version", version=f"{tool.name} {__version__}", help="print the version and exit")
    return made


class Watch:
    """One run of a tool."""

    def __init__(self, tool: Tool, options: argparse.Namespace, output: TextIO, errors: TextIO,
                 monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._tool = tool
        self._options = options
        self._output = output
        self._errors = errors
        self._clock = monotonic
        self._sleep = sleep
        self._until = None if options.timeout is None else monotonic() + options.timeout
        self._left: int | None = options.max_events
        self._instance = ""
        self._sequence = 0
        self._kinds = {f"{kind.prefix}-{word}": (kind, word) for kind in tool.kinds for word in kind.words}
        self.names = [name for name, (kind, word) in self._kinds.items() if word in self._chosen(kind)]

    def _chosen(self, kind: Kind) -> Sequence[str]:
        given = getattr(self._options, f"{kind.prefix}_events")
        return kind.words if given is None else given

    def run(self) -> int:
        """Print until it is over. The exit code."""
        path = os.path.join(run_directory(self._options.run_dir), self._tool.module.SOCKET)
        delay, known = FIRST_DELAY, False
        while True:
            try:
                with Connection(path, self._patience()) as connection:
                    for notice in self._notices(connection):
                        delay, known = FIRST_DELAY, True
                        if not self._take(notice):
                            break
                return DONE
            except Unreachable as error:
                if not known:
                    return self._complain(str(error), UNREACHABLE)
                if not self._options.reconnect:
                    return DONE
            wait = delay if self._until is None else min(delay, self._until - self._clock())
            if wait <= 0:
                return DONE
            self._sleep(wait)
            delay = min(LAST_DELAY, delay * 2)

    def _patience(self) -> float:
        """Seconds that a daemon has to answer."""
        return TIMEOUT if self._until is None else min(TIMEOUT, max(self._until - self._clock(), 0.001))

    def _notices(self, connection: Connection) -> Iterator[dict[str, Any]]:
        instance, after = (self._instance, self._sequence) if self._instance else (None, None)
        return connection.notifications(self.names, instance, after, self._until)

    def _take(self, notice: dict[str, Any]) -> bool:
        """False: it was the last that is wanted."""
        if notice["instance"] and notice["instance"] != self._instance:
            self._instance, self._sequence = notice["instance"], notice.get("sequence", 0)
        if notice["dropped"]:
            self._complain(f"{notice['dropped']} events were lost", DONE)
        for event in notice["events"]:
            self._sequence = event["sequence"]
            self._print(event)
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    break
        self._output.flush()
        return self._left != 0

    def _print(self, event: dict[str, Any]) -> None:
        self._output.write(self.text(event) + "\n")

    def text(self, event: dict[str, Any]) -> str:
        """The line of an event."""
        options = self._options
        if options.json:
            return clean_json(json.dumps(event, ensure_ascii=False))
        kind, word = self._kinds[event["event"]]
        stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(event["time"])) if options.timestamp else ""
        if options.csv:
            values = row(self._tool, kind, word, event["data"], options.verbose)
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow([stamp, *values] if stamp else values)
            return text.getvalue()
        told = line(kind, word, event["data"], options.verbose)
        return f"{stamp} {told}" if stamp else told

    def _complain(self, text: str, code: int) -> int:
        self._errors.write(f"{self._tool.name}: {clean(' '.join(text.split()))}\n")
        return code


def run(tool: Tool, words: Sequence[str] | None = None) -> int:
    """A tool as a process."""
    open_streams()
    options = parser(tool).parse_args(words)
    watch = Watch(tool, options, sys.stdout, sys.stderr)
    try:
        return watch.run()
    except KeyboardInterrupt:
        return DONE
    except ControlError as error:
        sys.stderr.write(f"{tool.name}: {clean(error.text)}\n")
        return USAGE if isinstance(error, Invalid) else FAILED
    except (KeyError, TypeError, ValueError) as error:
        said = f"{type(error).__name__} {clean(error)}"
        sys.stderr.write(f"{tool.name}: what the daemon says is not understood: {said}\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(f"{tool.name}: cannot write: {error.strerror}\n")
        return FAILED


def prol2tpwatch() -> int:
    """Console script `prol2tpwatch`."""
    return run(PROL2TPWATCH)


def propppwatch() -> int:
    """Console script `propppwatch`."""
    return run(PROPPPWATCH)
