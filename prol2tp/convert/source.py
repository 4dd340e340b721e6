"""The files of xl2tpd and pppd, read into sections, words and rows; every piece knows its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple

from prol2tp.config.problems import shown

Span = tuple[int, int]
"""First and last of a row of IPv4 addresses, as numbers."""


class Refused(Exception):
    """A file that cannot be converted: where, what is wrong, what would be right."""


class File(NamedTuple):
    """A name for messages, and the text."""

    name: str
    text: str


class Place(NamedTuple):
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def refuse(self, wrong: str, right: str = "") -> Refused:
        return Refused(f"{self}: {wrong}; {right}" if right else f"{self}: {wrong}")


class Option(NamedTuple):
    """A line `name = value` of a section."""

    name: str
    value: str
    place: Place

    def boolean(self) -> bool:
        word = self.value.lower()
        if word in ("yes", "y", "true"):
            return True
        if word in ("no", "n", "false"):
            return False
        raise self.place.refuse(f"{self.name} is {shown(self.value)!r}", "write yes or no")

    def number(self, least: int = 0) -> int:
        if not (self.value.isascii() and self.value.isdigit() and len(self.value) < 10 and int(self.value) >= least):
            raise self.place.refuse(f"{self.name} is {shown(self.value)!r}", f"write a number from {least}")
        return int(self.value)


@dataclass(slots=True)
class Section:
    """A section: `kind` is global, lns or lac."""

    kind: str
    name: str
    place: Place
    options: list[Option] = field(default_factory=list)

    def last(self, name: str) -> Option | None:
        """What counts when an option is given several times."""
        found = [option for option in self.options if option.name == name]
        return found[-1] if found else None

    def all(self, *names: str) -> list[Option]:
        return [option for option in self.options if option.name in names]


KINDS = ("global", "lns", "lac")


def sections(file: File) -> list[Section]:
    """xl2tpd.conf: sections of one kind and name are one. Raises `Refused`."""
    found: list[Section] = []
    for number, raw in enumerate(file.text.split("\n"), 1):
        place = Place(file.name, number)
        line = raw.partition(";")[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            found.append(_section(line, place, found))
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise place.refuse(f"{shown(line)!r} is no option", "write: name = value")
        if not found:
            raise place.refuse("an option before the first section", "begin with [global], [lns NAME] or [lac NAME]")
        found[-1].options.append(Option(" ".join(name.split()).lower(), value.strip(), place))
    return list({id(section): section for section in found}.values())


def _section(line: str, place: Place, known: list[Section]) -> Section:
    inside, bracket, _ = line[1:].partition("]")
    if not bracket:
        raise place.refuse(f"{shown(line)!r} has no closing bracket", "write: [lns NAME]")
    kind, _, name = inside.strip().partition(" ")
    kind, name = kind.lower(), name.strip() or "default"
    if kind not in KINDS:
        raise place.refuse(f"[{shown(inside)}] is no section of xl2tpd", "write [global], [lns NAME] or [lac NAME]")
    for section in known:
        if section.kind == kind and section.name.lower() == name.lower():
            return section
    return Section(kind, name, place)


_QUOTED = r"""\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\."""
_WORD = re.compile(rf"""\s*(?:\#.*|((?:{_QUOTED}|[^\s"'\\#])(?:{_QUOTED}|[^\s"'\\])*)|(["'\\].*))""")
_PIECE = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\\(.)|([^"'\\]+)""")


def rows(file: File) -> Iterator[tuple[list[str], Place]]:
    """The lines of an option or secrets file of pppd, as words without quotes. Raises `Refused`."""
    for number, line in enumerate(file.text.split("\n"), 1):
        words: list[str] = []
        position, place = 0, Place(file.name, number)
        line = line.rstrip()
        while position < len(line):
            match = _WORD.match(line, position)
            if match is None or match[2]:
                raise place.refuse("a quote is not closed", "end it on its line")
            position = match.end()
            if match[1]:
                words.append("".join(_plain(piece) for piece in _PIECE.finditer(match[1])))
        if words:
            yield words, place


def _plain(piece: re.Match[str]) -> str:
    inside = next(text for text in piece.groups() if text is not None)
    return re.sub(r"\\(.)", r"\1", inside)


class Secret(NamedTuple):
    """A row of chap-secrets (who, towards whom, secret, addresses) or l2tp-secrets (us, them, secret)."""

    client: str
    server: str
    secret: str
    addresses: tuple[str, ...]
    place: Place


def secrets(file: File) -> list[Secret]:
    """Rows of a secrets file. Raises `Refused`, without what stands in the line."""
    found = []
    for words, place in rows(file):
        if len(words) < 3:
            raise place.refuse("a row of secrets has three words or more", 'write: client server "secret" [addresses]')
        found.append(Secret(words[0], words[1], words[2], tuple(words[3:]), place))
    return found


def span(option: Option) -> Span:
    """`address`, `first - last` or `first - last octet`. Names are not looked up here."""
    first, dash, last = (part.strip() for part in option.value.partition("-"))
    start = _address(first, option)
    if not dash:
        return start, start
    if 0 < last.count(".") < 3 or last.isdigit():
        last = ".".join([*first.split(".")[: 3 - last.count(".")], last])
    end = _address(last, option)
    if end < start:
        raise option.place.refuse(f"{option.name}: {shown(option.value)} ends before it begins", "first - last")
    return start, end


def _address(text: str, option: Option) -> int:
    try:
        return int(IPv4Address(text))
    except ValueError:
        raise option.place.refuse(
            f"{option.name}: {shown(text)!r} is no IPv4 address", "names are not looked up: write it") from None


def address(option: Option) -> str:
    return str(IPv4Address(_address(option.value, option)))


def spans(options: list[Option]) -> list[Span]:
    """What `x = range` and `no x = range` leave, in their order: sorted and disjoint."""
    left: list[Span] = []
    for option in options:
        one = span(option)
        left = without(left, [one])
        if not option.name.startswith("no "):
            left.append(one)
    return joined(left)


def without(whole: list[Span], taken: list[Span]) -> list[Span]:
    for first, last in taken:
        whole = [piece for start, end in whole
                 for piece in ((start, min(end, first - 1)), (max(start, last + 1), end)) if piece[0] <= piece[1]]
    return whole


def joined(pieces: list[Span]) -> list[Span]:
    """Sorted, those that touch made one."""
    result: list[Span] = []
    for start, end in sorted(pieces):
        if result and start <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result
