"""What the command line tools share: options, output, exit codes.

Exit codes: 0 done, 1 refused or not found, 2 usage, 3 the daemon cannot be reached; each failure with one
line on stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

from prol2tp import __version__
from prol2tp.cli.format import clean, clean_json
from prol2tp.cli.grammar import Grammar, UsageError, closest
from prol2tp.cli.progress import Progress
from prol2tp.control.blocking import TIMEOUT, Connection, Unreachable, run_directory
from prol2tp.control.command import Command, ControlError, Invalid

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


class Option(NamedTuple):
    """An option of a tool; `value` is what stands for its value in the help, empty for a switch."""

    name: str
    value: str
    help: str


OPTIONS = (
    Option("--run-dir", "DIR", "directory of the daemons' sockets (default: PROL2TP_RUN_DIR, or /run/prol2tp)"),
    Option("--json", "", "print JSON, as docs/control-protocol.md describes it"),
    Option("--version", "", "print the version and exit"),
    Option("--help", "", "print this and exit"),
)

Action = Callable[["Program", dict[str, Any]], int | None]
"""Carries out a command with the values of its words; an exit code, None for 0."""


class Program:
    """One run of a tool. `actions`: what carries out each action of the grammar."""

    def __init__(
        self,
        name: str,
        socket: str,
        grammar: Grammar,
        actions: dict[str, Action],
        summary: str,
        *,
        output: TextIO | None = None,
        errors: TextIO | None = None,
    ) -> None:
        self.name = name
        self.grammar = grammar
        self.json = False
        self.quiet = False
        """Never say that something takes long."""
        self._socket = socket
        self._actions = actions
        self._summary = summary
        self._run_dir: str | None = None
        self._output = output
        self._errors = errors

    # output

    def write(self, lines: Iterable[str]) -> None:
        """Print lines."""
        output = self._output or sys.stdout
        output.write("".join(f"{line}\n" for line in lines))

    def record(self, record: Any, text: Callable[[Any], Iterable[str]]) -> None:
        """Print a record, as JSON or by its layout."""
        if self.json:
            self.write([clean_json(json.dumps(record, indent=2, ensure_ascii=False))])
        else:
            self.write(text(record))

    def done(self, answer: dict[str, Any]) -> None:
        """It was carried out, and there is nothing to say; as JSON, the answer."""
        self.record(answer, lambda _: ())

    def rows(self, command: Command, text: Callable[[Iterable[list[Any]]], Iterator[str]], **arguments: Any) -> None:
        """Print a list page by page, as it comes."""
        with self.connect() as connection, self.progress() as progress:
            connection.waiting = progress.waiting
            pages = progress.counted(connection.pages(command, **arguments))
            output = self._output or sys.stdout
            if self.json:
                output.writelines(_json_rows(pages))
            else:
                output.writelines(f"{line}\n" for line in text(pages))

    def follow(self, events: list[str] | None, wanted: Callable[[dict[str, Any]], bool],
               text: Callable[[dict[str, Any]], str]) -> int:
        """Print events as they come, a line each, until interrupted. `events`: names, None for all; `wanted(data)`
        chooses among them. The exit code."""
        output = self._output or sys.stdout
        try:
            with self.connect() as connection:
                for notice in connection.notifications(events):
                    for record in notice["events"]:
                        if wanted(record["data"]):
                            line = json.dumps(record, ensure_ascii=False) if self.json else text(record)
                            output.write((clean_json(line) if self.json else line) + "\n")
                    output.flush()
                    if notice["dropped"]:
                        self.complain(f"too slow: {notice['dropped']} events were lost", DONE)
        except KeyboardInterrupt:
            pass
        return DONE

    # the daemon

    def connect(self, socket: str = "", timeout: float = TIMEOUT) -> Connection:
        """A connection to the daemon, or to another one. Raises `Unreachable`."""
        return Connection(os.path.join(run_directory(self._run_dir), socket or self._socket), timeout)

    def call(self, command: Command, socket: str = "", **arguments: Any) -> dict[str, Any]:
        """One command on a connection of its own, to the daemon or to another one."""
        with self.connect(socket) as connection, self.progress() as progress:
            connection.waiting = progress.waiting
            return connection.call(command, **arguments)

    def progress(self) -> Progress:
        """The line that says that it takes long, where somebody can see it."""
        errors, output = self._errors or sys.stderr, self._output or sys.stdout
        return Progress(self.name, errors if errors.isatty() and not self.quiet else None, output.isatty())

    # running

    def help(self) -> list[str]:
        """The text of --help."""
        return [
            f"usage: {self.name} [options] command",
            "",
            self._summary,
            "",
            "options:",
            *(f"  {(option.name + ' ' + option.value).strip():<14} {option.help}" for option in OPTIONS),
            "",
            "commands (keywords may be abbreviated):",
            *self.grammar.usage(),
            "",
            "where",
            *self.grammar.arguments(),
            "",
            "exit status: 0 done, 1 refused or not found, 2 usage, 3 daemon not reachable",
        ]

    def options(self, words: Sequence[str]) -> list[str] | None:
        """Take the options out of the words; None when one of them was all there is to do. Raises `UsageError`."""
        rest: list[str] = []
        iterator = iter(words)
        for word in iterator:
            if word == "--":
                return [*rest, *iterator]
            if not word.startswith("--"):
                rest.append(word)
                continue
            name, equals, value = word.partition("=")
            option = next((option for option in OPTIONS if option.name == name), None)
            if option is None and word in self.grammar.keywords():
                rest.append(word)
                continue
            if option is None:
                guess = closest(name, (option.name for option in OPTIONS))
                raise UsageError(f"no such option: {name}; " + (f"did you mean {guess}?" if guess else "see --help"))
            if equals and not option.value:
                raise UsageError(f"{name} wants no value")
            if option.value and not equals:
                value = next(iterator, "")
            if option.value and not value:
                raise UsageError(f"{name} wants {option.value}")
            if name == "--help":
                self.write(self.help())
                return None
            if name == "--version":
                self.write([f"{self.name} {__version__}"])
                return None
            if name == "--json":
                self.json = True
            else:
                self._run_dir = value
        return rest

    def run(self, words: Sequence[str]) -> int:
        """Carry out one command line; the exit code."""
        try:
            command = self.options(words)
            return DONE if command is None else self.carry_out(command)
        except UsageError as error:
            return self.complain(str(error), USAGE)

    def carry_out(self, words: Sequence[str]) -> int:
        """Carry out a command without options."""
        try:
            match = self.grammar.match(words)
            result = self._actions[match.action](self, match.values)
        except UsageError as error:
            return self.complain(str(error), USAGE)
        except Unreachable as error:
            return self.complain(str(error), UNREACHABLE)
        except Invalid as error:
            return self.complain(error.text, USAGE)
        except ControlError as error:
            return self.complain(error.text, FAILED)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            return self.complain(f"the daemon's answer is not understood: {type(error).__name__} {error}", FAILED)
        return result if isinstance(result, int) else DONE

    def complain(self, text: str, code: int) -> int:
        """One line on stderr."""
        errors = self._errors or sys.stderr
        errors.write(f"{self.name}: {clean(' '.join(text.split()))}\n")
        return code


def _json_rows(pages: Iterable[list[Any]]) -> Iterator[str]:
    separator = "[\n"
    for page in pages:
        for row in page:
            yield separator + clean_json(json.dumps(row, ensure_ascii=False))
            separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def open_streams() -> None:
    """Standard output and errors that take every text, and nothing where who started us has closed them."""
    # as other tools do, end silently when the reader of a pipe has had enough
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")


def main(program: Program) -> int:
    """Run a tool as a process."""
    open_streams()
    try:
        code = program.run(sys.argv[1:])
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return program.complain(f"cannot write: {error.strerror}", FAILED)
