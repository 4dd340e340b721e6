"""The words of a command line tool: one table of forms, from which matching, help, errors and completion all come.

A form is written as its usage line: lower-case words are keywords, upper-case ones arguments (described in a second
table), `{a | b}` is a choice, `[a]` may be left out, `[a ...]` comes any number of times. Keywords may be abbreviated
as long as the whole line can only mean one form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class Form(NamedTuple):
    """One thing that the tool can do. `action`: the tool's name for it."""

    action: str
    syntax: str
    help: str


class Word(NamedTuple):
    """An argument. `key`: its name in the result. `kind`: 'text', 'integer', 'choice' (one of `choices`, which may be
    abbreviated), 'list' (may come again; the result is a list), 'name' and 'value' (a pair that goes into a dict), or
    'flag' (a keyword that is True in the result when it was said). `values`, for completion: 'daemon' (the tool's
    `complete` asks for them), 'file', or empty."""

    key: str
    help: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    values: str = ""


class Step(NamedTuple):
    """A state of the grammar as an automaton: where each keyword leads to, and where an argument does (None: there is
    none), with its names."""

    keywords: dict[str, int]
    argument: int | None
    arguments: tuple[str, ...]


class UsageError(Exception):
    """The words fit no form. The text is one line."""


class Match(NamedTuple):
    """What the words mean."""

    action: str
    values: dict[str, Any]


class _Edge(NamedTuple):
    token: str
    target: int


class _State:
    __slots__ = ("edges", "skips", "action")

    def __init__(self) -> None:
        self.edges: list[_Edge] = []
        self.skips: list[int] = []
        self.action = ""


class _Path(NamedTuple):
    """One way through the forms, so far."""

    state: int
    values: dict[str, Any]


_TOKENS = re.compile(r"\.\.\.|[][{}|]|[^][{}|\s]+")


class Grammar:
    """The forms of a tool, ready to match. `words`: the arguments by their names in the forms."""

    def __init__(self, forms: Iterable[Form], words: Mapping[str, Word]) -> None:
        self.forms = tuple(forms)
        self.words = words
        self._states: list[_State] = [_State()]
        for form in self.forms:
            tokens = _TOKENS.findall(form.syntax)
            end = self._sequence(tokens, 0, ())
            if tokens:
                raise ValueError(f"{form.syntax}: what does {tokens[0]!r} close?")
            self._states[end].action = form.action

    # forms to states

    def _new(self) -> int:
        self._states.append(_State())
        return len(self._states) - 1

    def _sequence(self, tokens: list[str], start: int, ends: tuple[str, ...]) -> int:
        at = start
        while tokens and tokens[0] not in ends:
            token = tokens.pop(0)
            if token == "...":
                self._states[at].skips.append(start)
            elif token in "{[":
                at = self._group(tokens, at, "}" if token == "{" else "]")
            elif token in "]}|":
                raise ValueError(f"what does {token!r} belong to?")
            else:
                if token.isupper() and token not in self.words:
                    raise ValueError(f"no such argument: {token}")
                target = self._new()
                self._states[at].edges.append(_Edge(token, target))
                at = target
        return at

    def _group(self, tokens: list[str], start: int, close: str) -> int:
        end = self._new()
        if close == "]":
            self._states[start].skips.append(end)
        while True:
            # a state of its own, so that `...` does not lead back into the other choices
            first = self._new()
            self._states[start].skips.append(first)
            last = self._sequence(tokens, first, ("|", close))
            self._states[last].skips.append(end)
            if not tokens:
                raise ValueError(f"{close!r} is missing")
            if tokens.pop(0) == close:
                return end

    # matching

    def _spread(self, paths: Iterable[_Path]) -> list[_Path]:
        found: dict[int, _Path] = {}
        todo = list(paths)
        while todo:
            path = todo.pop()
            if path.state not in found:
                found[path.state] = path
                todo += [_Path(state, path.values) for state in self._states[path.state].skips]
        return list(found.values())

    def _edges(self, paths: Iterable[_Path]) -> list[tuple[_Path, _Edge]]:
        return [(path, edge) for path in paths for edge in self._states[path.state].edges]

    def _step(self, paths: list[_Path], text: str) -> list[_Path]:
        """The paths after one more word: exact keywords before abbreviated ones before arguments."""
        exact: list[_Path] = []
        abbreviated: list[_Path] = []
        arguments: list[_Path] = []
        for path, edge in self._edges(paths):
            word = self.words.get(edge.token)
            if word is None or word.kind == "flag":
                values = path.values if word is None else {**path.values, word.key: True}
                if edge.token == text:
                    exact.append(_Path(edge.target, values))
                elif text and edge.token.startswith(text):
                    abbreviated.append(_Path(edge.target, values))
                continue
            value = _value(word, text)
            if value is not None:
                arguments.append(_Path(edge.target, _with(path.values, word, value)))
        return self._spread(exact or abbreviated or arguments)

    def _walk(self, words: Iterable[str]) -> list[_Path]:
        paths = self._spread([_Path(0, {})])
        before: list[str] = []
        for text in words:
            following = self._step(paths, text)
            if not following:
                valid = self._valid(paths)
                place = f" after '{' '.join(before)}'" if before else ""
                if not valid:
                    raise UsageError(f"'{text}' is too much{place}")
                guess = closest(text, (word for word in valid if not word.isupper()))
                guess = f"did you mean '{guess}'? " if guess else ""
                raise UsageError(f"'{text}' is not valid{place}; {guess}valid: {', '.join(valid)}")
            paths = following
            before.append(text)
        return paths

    def _valid(self, paths: Iterable[_Path]) -> list[str]:
        names: dict[str, None] = {}
        for _, edge in self._edges(paths):
            word = self.words.get(edge.token)
            names.update(dict.fromkeys(word.choices if word is not None and word.choices else (edge.token,)))
        return list(names)

    def match(self, words: Iterable[str]) -> Match:
        """What the words mean. Raises `UsageError`."""
        words = list(words)
        paths = self._walk(words)
        ends = {self._states[path.state].action: path for path in paths if self._states[path.state].action}
        if len(ends) == 1:
            ((action, path),) = ends.items()
            return Match(action, path.values)
        line = " ".join(words)
        if ends:
            forms = [form.syntax for form in self.forms if form.action in ends]
            raise UsageError(f"'{line}' is ambiguous: {'; '.join(forms)}")
        valid = ", ".join(self._valid(paths))
        raise UsageError(f"more is wanted after '{line}': {valid}" if line else f"what to do? valid: {valid}")

    def complete(
        self, words: Iterable[str], text: str, lookup: Callable[[str, dict[str, Any]], Iterable[str]] | None = None
    ) -> list[str]:
        """What may stand for the last, unfinished word `text` after `words`. `lookup(key, values)` knows the values
        that an argument may have."""
        try:
            paths = self._walk(words)
        except UsageError:
            return []
        found: dict[str, None] = {}
        for path, edge in self._edges(paths):
            word = self.words.get(edge.token)
            if word is None or word.kind == "flag":
                candidates: Iterable[str] = (edge.token,)
            elif word.choices:
                candidates = word.choices
            else:
                candidates = lookup(word.key, path.values) if lookup is not None else ()
            found.update(dict.fromkeys(candidate for candidate in candidates if candidate.startswith(text)))
        return list(found)

    def automaton(self) -> list[Step]:
        """What may follow what, for completion: the first step is the start. Abbreviations, and arguments that are
        told apart by their values, are left to who walks it."""
        start = self._closure({0})
        numbers = {start: 0}
        todo, steps = [start], []
        for states in todo:
            keywords: dict[str, set[int]] = {}
            arguments: dict[str, None] = {}
            targets: set[int] = set()
            for edge in (edge for state in sorted(states) for edge in self._states[state].edges):
                word = self.words.get(edge.token)
                if word is not None and word.kind != "flag" and not word.choices:
                    arguments[edge.token] = None
                    targets.add(edge.target)
                for name in word.choices if word is not None and word.choices else (edge.token,):
                    if edge.token not in arguments:
                        keywords.setdefault(name, set()).add(edge.target)
            following = [self._closure(found) for found in (*keywords.values(), *([targets] if targets else ()))]
            for found in following:
                if found not in numbers:
                    numbers[found] = len(numbers)
                    todo.append(found)
            argument = numbers[following[-1]] if targets else None
            steps.append(Step({name: numbers[to] for name, to in zip(keywords, following, strict=False)}, argument,
                              tuple(arguments)))
        return steps

    def _closure(self, states: set[int]) -> frozenset[int]:
        return frozenset(path.state for path in self._spread([_Path(state, {}) for state in states]))

    def usage(self, words: Iterable[str] = ()) -> list[str]:
        """Help: all forms, or those that begin with these keywords."""
        words = list(words)
        forms = [
            form
            for form in self.forms
            if all(a.startswith(b) for a, b in zip(form.syntax.split(), words, strict=False))
        ]
        lines = []
        for form in forms:
            lines += [f"  {form.syntax}", f"      {form.help}"]
        return lines

    def arguments(self) -> list[str]:
        """Help: what the arguments are."""
        return [f"  {name:<14} {word.help}" for name, word in self.words.items() if word.kind != "flag"]

    def keywords(self) -> set[str]:
        """All keywords of all forms, and the words of choices."""
        tokens = {edge.token for state in self._states for edge in state.edges}
        choices = {choice for word in self.words.values() for choice in word.choices}
        arguments = {name for name, word in self.words.items() if word.kind != "flag"}
        return (tokens - arguments) | choices


def closest(text: str, words: Iterable[str]) -> str:
    """What was meant, perhaps; empty: nothing comes near."""
    from difflib import get_close_matches

    return "".join(get_close_matches(text, list(words), 1))


def _value(word: Word, text: str) -> Any:
    if word.kind == "integer":
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
    if word.kind == "choice":
        if text in word.choices:
            return text
        found = [choice for choice in word.choices if text and choice.startswith(text)]
        return found[0] if len(found) == 1 else None
    return text


def _with(values: dict[str, Any], word: Word, value: Any) -> dict[str, Any]:
    if word.kind == "list":
        return {**values, word.key: [*values.get(word.key, ()), value]}
    if word.kind == "name":
        pairs = dict(values.get(word.key, {}))
        # said again: last, where its value is expected
        pairs.pop(value, None)
        return {**values, word.key: {**pairs, value: ""}}
    if word.kind == "value":
        pairs = dict(values[word.key])
        pairs[next(reversed(pairs))] = value
        return {**values, word.key: pairs}
    return {**values, word.key: value}
