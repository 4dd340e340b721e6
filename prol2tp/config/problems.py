"""What is wrong with a file: collected, bounded, and shown with line, column, source and caret.

Values of secrets are never shown, neither in a message nor in the source line under it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

MOST_PROBLEMS = 20
"""Problems of one file that are shown; the rest are counted."""

_WIDEST_LINE = 160
_MOST_CANDIDATES = 300
_SECRET = re.compile(
    r"""(?i)(?<![\w"])[\w-]*(?:secret|passw|pasw|psw|pwd)[\w-]*[ \t]+"""
    r"""(?P<value>(?:[^\s;{}"]|[ \t](?=[^\s;{}])|"(?:[^"\\\n]|\\[^\n])*(?:"|\\?$))+)"""
)


class Wrong(ValueError):
    """A value that its type refuses: what is wrong, and what would be right."""

    def __init__(self, wrong: str, right: str = "") -> None:
        super().__init__(f"{wrong}; {right}" if right else wrong)
        self.wrong = wrong
        self.right = right


@dataclass(slots=True)
class Problem:
    """One fault. Line and column count from 1. Without a file name it is a command's, and has no place."""

    filename: str
    line: int
    column: int
    text: str
    source: str
    """The line, with secrets hidden."""
    caret: int
    """Where in `source` the fault is, from 0."""

    @property
    def place_and_text(self) -> str:
        """In one line, without the source."""
        return f"{self.filename}:{self.line}:{self.column}: {self.text}" if self.filename else self.text

    def __str__(self) -> str:
        head = self.place_and_text
        if not self.filename or not self.source:
            return head
        indent = "".join("\t" if c == "\t" else " " for c in self.source[: self.caret])
        return f"{head}\n{self.source}\n{indent}^"


class ConfigError(Exception):
    """A file was refused whole. `problems` in the order of the file, `more` counts those not kept."""

    def __init__(self, problems: list[Problem], more: int = 0) -> None:
        super().__init__(problems, more)
        self.problems = problems
        self.more = more

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.more:
            lines.append(f"and {self.more} more")
        return "\n".join(lines)

    @property
    def first(self) -> str:
        """The first problem in one line, and how many more there are: for a log."""
        more = len(self.problems) - 1 + self.more
        return f"{self.problems[0].place_and_text} (and {more} more)" if more else self.problems[0].place_and_text


class Problems:
    """Collects the faults of one file."""

    def __init__(self, text: str, filename: str) -> None:
        self._text = text
        self._filename = shown(filename, 200)
        self._kept: list[tuple[int, str]] = []
        self._secrets: list[tuple[int, int]] = []
        self._count = 0
        self._line_starts: list[int] | None = None

    @property
    def full(self) -> bool:
        """No further problem would be shown: looking for suggestions is a waste."""
        return len(self._kept) >= MOST_PROBLEMS

    def add(self, offset: int, wrong: str, right: str = "") -> None:
        """A fault at `offset`: what is wrong, and what would be right."""
        self._count += 1
        if not self.full:
            self._kept.append((offset, f"{wrong}; {right}" if right else wrong))

    def hide(self, start: int, end: int) -> None:
        """Do not show this part of the text: it may be a secret, although no known name says so."""
        if not self.full:
            self._secrets.append((start, end))

    def line(self, offset: int) -> int:
        """The line, from 1, on which `offset` is."""
        if self._line_starts is None:
            self._line_starts = [0, *(match.end() for match in re.finditer("\n", self._text))]
        return bisect_right(self._line_starts, offset)

    def refuse(self) -> None:
        """Raise `ConfigError` if there was any problem."""
        if self._count:
            raise self.error()

    def error(self) -> ConfigError:
        kept = [self._problem(*entry) for entry in sorted(self._kept, key=lambda entry: entry[0])]
        return ConfigError(kept, self._count - len(kept))

    def _problem(self, offset: int, text: str) -> Problem:
        number = self.line(offset)
        assert self._line_starts is not None
        start = self._line_starts[number - 1]
        end = self._text.find("\n", start)
        source = self._text[start : end if end >= 0 else len(self._text)].rstrip("\r")
        column = offset - start
        length = len(source)
        secrets = [(first - start, min(last - start, length)) for first, last in self._secrets if start <= first]
        source, caret = _hidden(source, column, [span for span in secrets if span[0] < length])
        source, caret = _window(source, caret)
        return Problem(self._filename, number, column + 1, text, source, caret)


def _hidden(source: str, caret: int, secrets: list[tuple[int, int]]) -> tuple[str, int]:
    """The line with `***` for secrets, and where the caret goes."""
    spans = secrets + [match.span("value") for match in _SECRET.finditer(source)]
    shown_caret = caret
    pieces: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if end <= position:
            continue
        start = max(start, position)
        pieces += (source[position:start], "***")
        if caret >= end:
            shown_caret += 3 - (end - start)
        elif caret > start:
            shown_caret -= caret - start
        position = end
    pieces.append(source[position:])
    return "".join(pieces), shown_caret


def _window(source: str, caret: int) -> tuple[str, int]:
    """At most `_WIDEST_LINE` characters around the caret, all printable."""
    start = 0 if caret < _WIDEST_LINE - 20 else caret - _WIDEST_LINE // 2
    caret -= start
    source = source[start : start + _WIDEST_LINE]
    source = source[: max(len(source.rstrip()), caret + 1)]
    return "".join(c if c == "\t" or c.isprintable() else "?" for c in source), caret


def shown(text: str, most: int = 60) -> str:
    """`text` safe and short enough for a message."""
    text = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return text if len(text) <= most else text[:most] + "..."


def near(word: str, known: Iterable[str]) -> str:
    """The known name that `word` was probably meant to be, or an empty text. Bounded work."""
    if len(word) > 80:
        return ""
    candidates = [name for name in known if abs(len(name) - len(word)) <= 3]
    found = get_close_matches(word.lower(), candidates[:_MOST_CANDIDATES], 1, 0.6)
    return found[0] if found else ""


def right_name(word: str, known: Iterable[str], noun: str) -> str:
    """`did you mean X?`, or the list of what is known; where nothing is, the block to add."""
    names = list(known)
    close = near(word, names)
    if close:
        return f"did you mean {close}?"
    if not names:
        return f'add: {noun} "{shown(word)}" {{ ... }}'
    if len(names) > 12:
        return ""
    return "known: " + ", ".join(shown(name) for name in sorted(names))
