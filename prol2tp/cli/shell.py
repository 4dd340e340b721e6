"""`prol2tp shell`: a prompt with completion and history, over the same grammar as the command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import Any

from prol2tp.cli.grammar import UsageError
from prol2tp.cli.program import DONE, USAGE, Program
from prol2tp.control.blocking import Unreachable
from prol2tp.control.command import ControlError

Lookup = Callable[[str, dict[str, Any]], Iterable[str]]
HISTORY = "~/.prol2tp_history"
HISTORY_LINES = 1000
_SECRET_WORDS = ("secret", "password")


class Shell:
    """The commands of one prompt; no terminal is needed to use it."""

    def __init__(self, program: Program, lookup: Lookup) -> None:
        self.program = program
        self._lookup = lookup
        self._matches: list[str] = []
        self.last_failure = DONE

    def carry_out(self, line: str) -> bool:
        """One line; False when it ends the shell. A failure prints its line and the shell goes on."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            self.last_failure = self.program.complain(str(error).lower(), USAGE)
            return True
        if not words:
            return True
        if words[0] in ("quit", "exit"):
            return False
        if words[0] == "shell":
            self.last_failure = self.program.complain("this is the shell already", USAGE)
            return True
        json = self.program.json
        try:
            rest = self.program.options(words)
            code = DONE if rest is None else self.program.carry_out(rest)
        except UsageError as error:
            code = self.program.complain(str(error), USAGE)
        self.program.json = json
        self.last_failure = code or self.last_failure
        return True

    def candidates(self, line: str, text: str) -> list[str]:
        """What may stand for `text`, the last word of `line`."""
        before = line[: len(line) - len(text)]
        try:
            words = [word for word in shlex.split(before) if word != "--json"]
        except ValueError:
            return []
        found = self.program.grammar.complete(words, text, self._known)
        return found + [word for word in ("quit", "exit") if not words and word.startswith(text)]

    def _known(self, key: str, values: dict[str, Any]) -> list[str]:
        # completion must never disturb the prompt
        self.program.quiet = True
        try:
            return [shlex.quote(value) for value in self._lookup(key, values)]
        except (Unreachable, ControlError, KeyError, TypeError, AttributeError):
            return []
        finally:
            self.program.quiet = False

    def complete(self, text: str, state: int) -> str | None:
        """readline's way to ask for the candidates, one at a time."""
        if state == 0:
            import readline

            self._matches = self.candidates(readline.get_line_buffer()[: readline.get_endidx()], text)
        return f"{self._matches[state]} " if state < len(self._matches) else None


def _history_start(shell: Shell) -> str:
    import readline

    path = os.path.expanduser(HISTORY)
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_completer_delims(" \t")
    readline.set_completer(shell.complete)
    readline.parse_and_bind("tab: complete")
    readline.set_auto_history(False)
    return path


def _history_end(path: str) -> None:
    import readline

    readline.set_history_length(HISTORY_LINES)
    with contextlib.suppress(OSError):
        # made first, so that it is never readable by others
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        readline.write_history_file(path)


def _remember(line: str) -> None:
    import readline

    if line.strip() and not any(word in line for word in _SECRET_WORDS):
        readline.add_history(line)


def shell(program: Program, lookup: Lookup) -> int:
    """Run until the end of the input or `quit`. From a terminal the exit code is 0, else that of the last failure."""
    self = Shell(program, lookup)
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if not self.carry_out(line):
                break
            sys.stdout.flush()
        return self.last_failure
    path = _history_start(self)
    try:
        while True:
            try:
                line = input(f"{program.name}> ")
                _remember(line)
                if not self.carry_out(line):
                    break
            except KeyboardInterrupt:
                print()
            except EOFError:
                print()
                break
    finally:
        _history_end(path)
    return DONE
