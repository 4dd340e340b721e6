"""Text to tokens: words, quoted strings, braces and ends of statements.

A newline or `;` ends a statement. `#` at the start of a word begins a comment up to the end of the line. A
string is in double quotes on one line, with the escapes `\\"`, `\\\\`, `\\n` and `\\t`. A token is a plain
tuple `(kind, text, offset)`: files of fifty thousand blocks are read at once, so tokens have to be cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prol2tp.config.problems import Problems

Token = tuple[int, str, int]
"""Kind, text (of a string: without quotes and escapes), offset into the file's text."""

INVALID, WORD, STRING, OPEN, CLOSE, END = 0, 1, 2, 3, 4, 5
_UNCLOSED, _BAD = 6, 7

_TOKEN = re.compile(
    r"""[ \t\r]*(?:\#[^\n]*)?(?:
        ([^\s{};"\x00-\x1f\x7f\ud800-\udfff]+(?=[\s{};]|\Z))
      | "((?:[^"\\\n\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]|\\.)*)"(?=[\s{};\#]|\Z)
      | (\{)
      | (\})
      | ([\n;])
      | ("(?:[^"\\\n]|\\[^\n])*\\?(?=\n|\Z))
      | ([^\n])
      | \Z)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_REST_OF_WORD = re.compile(r"""[^\s{};]*""")
_REST_OF_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')


def tokens(text: str, problems: Problems) -> Iterator[Token]:
    """The tokens of a file. What is no token is reported to `problems`, and an `INVALID` stands in its place."""
    position = 1 if text.startswith("\ufeff") else 0
    end = len(text)
    next_token = _TOKEN.match
    while position < end:
        match = next_token(text, position)
        assert match is not None
        position = match.end()
        kind = match.lastindex
        if kind is None:
            continue
        offset = match.start(kind)
        value = match[kind]
        if kind == STRING:
            offset -= 1
            if "\\" in value:
                value = _unescaped(value, offset + 1, problems)
        elif kind == _UNCLOSED:
            problems.add(offset, 'this string has no closing "', "a string ends on the line on which it begins")
            kind = INVALID
        elif kind == _BAD:
            position = _report(text, offset, problems)
            kind = INVALID
        yield kind, value, offset


def _unescaped(value: str, offset: int, problems: Problems) -> str:
    def replace(match: re.Match[str]) -> str:
        letter = _ESCAPES.get(match[1])
        if letter is None:
            problems.add(offset + match.start(), "this escape is not known", r"known are \" \\ \n \t")
            return ""
        return letter

    return _ESCAPE.sub(replace, value)


def _report(text: str, offset: int, problems: Problems) -> int:
    """Say what is wrong with the characters at `offset`; returns where to go on."""
    if text[offset] == '"':
        whole = _REST_OF_STRING.match(text, offset)
        if whole is not None:
            after = whole.end()
            if after < len(text) and not text[after].isspace() and text[after] not in "{};#":
                problems.add(after, "a string is followed by text without a space", "put a space between two values")
            else:
                problems.add(offset, "this string has a control character in it", r"write a line end as \n")
            rest = _REST_OF_WORD.match(text, after)
            return rest.end() if rest is not None else after
    rest = _REST_OF_WORD.match(text, offset)
    end = max(rest.end() if rest is not None else 0, offset + 1)
    inside = text.find('"', offset, end)
    if inside > offset:
        problems.add(inside, "a quote inside a word", 'put the whole value in quotes, and write \\" for a quote in it')
    elif text[offset].isspace():
        problems.add(offset, "a white space character that means nothing here", "use an ordinary space")
    else:
        problems.add(offset, "this is no text", "a configuration file is UTF-8 text without control characters")
    return end


def quoted(text: str) -> str:
    """`text` as a string of the file."""
    for letter, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(letter, escape)
    return f'"{text}"'
