"""Blocks of our files as they are written, with a comment where an option has no counterpart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prol2tp.config.lexer import quoted
from prol2tp.config.parameter import BlockType
from prol2tp.config.problems import Wrong
from prol2tp.config.types import Octets, Text
from prol2tp.convert.source import Place, Refused

WIDTH = 116


@dataclass(slots=True)
class Block:
    """One block. `put` checks values by the tables of `kind`, so that what is written is what is read."""

    kind: BlockType
    name: str = ""
    notes: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict, repr=False)
    raw: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """The values as they were given."""
    blocks: list[Block] = field(default_factory=list)
    about: str = ""
    """A comment above the block."""

    def put(self, parameter: str, values: Iterable[str] | str, place: Place | None = None) -> None:
        """Raises `Refused` at `place` for a value that the parameter cannot have."""
        row = self.kind.parameters[parameter]
        texts = [values] if isinstance(values, str) else list(values)
        is_text = isinstance(row.type, (Text, Octets))
        try:
            value = row.read([(text, is_text) for text in texts])
        except Wrong as error:
            where = f"{place}: " if place else ""
            raise Refused(f"{where}{parameter}: {error.wrong}; {error.right}") from None
        if len(texts) > row.most:
            raise Refused(f"{place}: {parameter} takes at most {row.most} values, {len(texts)} are needed")
        self.raw[parameter] = texts
        self.values[parameter] = " ".join(quoted(text) for text in texts) if is_text else row.write(value)

    def take(self, parameter: str) -> str:
        """The first value of a parameter, which it has no longer; empty without one."""
        self.values.pop(parameter, None)
        return self.raw.pop(parameter, [""])[0]

    def text(self, indent: str = "") -> list[str]:
        lines = comment(self.about, indent) if self.about else []
        title = f'{self.kind.words} {quoted(self.name)}' if self.name else self.kind.words
        lines.append(f"{indent}{title} {{")
        inner = indent + "    "
        lines += [f"{inner}{name} {value}" for name, value in self.values.items()]
        for note in self.notes:
            lines += comment(note, inner)
        for block in self.blocks:
            lines += block.text(inner)
        return [*lines, f"{indent}}}"]


def comment(text: str, indent: str = "") -> list[str]:
    """Lines of a comment, broken at spaces; nothing in it can end the comment."""
    words = "".join(c if c.isprintable() else "?" for c in text).split(" ")
    lines, line = [], f"{indent}#"
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and line.strip() != "#":
            lines.append(line)
            line = f"{indent}#"
        line += f" {word}"
    return [*lines, line]


def page(title: str, blocks: Iterable[Block]) -> str:
    """A whole file."""
    parts = ["\n".join(comment(title))]
    parts += ["\n".join(block.text()) for block in blocks if block.values or block.notes or block.blocks or block.name]
    return "\n\n".join(parts) + "\n"
