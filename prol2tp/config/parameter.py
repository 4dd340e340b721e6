"""Rows of parameters, types of blocks, and the check of a parsed file against them.

A row stands once, as the field of the record that it fills:

    hello_timeout: float = row(Seconds(0, 3600), 60.0, "Silence after which HELLO is sent; 0: never.")

Parser, checker, records, `diff` and the test of the man pages all take it from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from prol2tp.config.blocks import Block, Statement, parse
from prol2tp.config.lexer import STRING
from prol2tp.config.problems import ConfigError, Problems, Wrong, near, right_name, shown
from prol2tp.config.types import Reference, Type

REQUIRED, OPTIONAL, INLINE = "required", "optional", "inline"
"""Braces of a block where newlines mean nothing (`freeform`). `OPTIONAL`: a name alone is an empty block; `INLINE`: its
parameters may follow the name without braces."""

_KEY = "prol2tp.row"
_MOST_VALUES = 1024


@dataclass(slots=True)
class Parameter:
    """One row: what may stand in a block."""

    name: str
    type: Type
    default: Any
    help: str
    """One line."""
    many: bool
    """Takes several values; given twice, the values add up."""
    most: int
    """Largest number of values."""
    required: bool
    inherited: bool
    """A criterion or a required value is not taken from a profile: False."""
    bare: str
    """The value where none is written, in a file where newlines mean nothing; empty: one has to be."""

    @property
    def secret(self) -> bool:
        return self.type.secret

    def read(self, values: Sequence[tuple[str, bool]]) -> Any:
        """The value of the tokens, as (text, is it a string); raises `Wrong`."""
        if self.type.whole:
            return self.type.read_all(values)
        if self.many:
            return tuple([self.type.read(text, is_string) for text, is_string in values])
        return self.type.read(*values[0])

    def write(self, value: Any) -> str:
        """The value as it is written in a file."""
        if self.many and not self.type.whole:
            return " ".join(self.type.write(one) for one in value)
        return self.type.write(value)

    def default_text(self) -> str:
        """The default as it is written in a file; empty where it cannot be written and comes from elsewhere."""
        if self.default is None or self.default in ("", b"", ()):
            return ""
        text = self.write(self.default)
        if not self.many:
            try:
                self.type.read(text.strip('"'), False)
            except Wrong:
                return ""
        return text

    def show(self, value: Any) -> str:
        """The value for people: secrets hidden."""
        return "***" if self.secret else self.write(value)


def row(
    type: Type,
    default: Any,
    help: str,
    *,
    many: bool = False,
    most: int = _MOST_VALUES,
    required: bool = False,
    inherited: bool = True,
    bare: str = "",
) -> Any:
    """A dataclass field that is a parameter. Secrets stay out of the record's repr."""
    made = Parameter("", type, default, help, many or type.whole, most, required, inherited, bare)
    return field(default=default, repr=not type.secret, metadata={_KEY: made})


def parameters(record: type) -> dict[str, Parameter]:
    """The rows of a record, by name, in the order in which they are declared."""
    rows: dict[str, Parameter] = {}
    for one in fields(record):
        made = one.metadata.get(_KEY)
        if made is not None:
            made.name = one.name
            rows[one.name] = made
    return rows


class BlockType:
    """A kind of block: its words, whether it has a name, its parameters and the blocks in it."""

    __slots__ = ("words", "record", "named", "help", "blocks", "refused", "braces", "parameters", "references",
                 "first_words", "keywords")

    def __init__(
        self,
        words: str,
        record: type | None,
        help: str,
        *,
        named: bool = True,
        blocks: Sequence[BlockType] = (),
        refused: str = "",
        braces: str = REQUIRED,
        also: Mapping[str, Parameter] | None = None,
    ) -> None:
        self.words = words
        self.record = record
        self.named = named
        self.help = help
        self.blocks = {kind.words: kind for kind in blocks}
        self.refused = refused
        self.braces = braces
        self.parameters = {**(parameters(record) if record is not None else {}), **(also or {})}
        """Rows of the record, then those of `also`: rows of other tables, for which the record has no fields."""
        self.first_words = frozenset(words.split(" ")[0] for words in self.blocks)
        """Of the blocks in it."""
        self.keywords = self.first_words | frozenset(self.parameters)
        self.references = [
            (name, made, made.type.to) for name, made in self.parameters.items() if isinstance(made.type, Reference)
        ]
        """Parameters that name another block: name, row and type of that block."""

    def header(self) -> str:
        """How a block of this kind begins."""
        return f'{self.words} "name" {{' if self.named else f"{self.words} {{"

    def walk(self) -> Iterator[BlockType]:
        """This kind and all kinds inside it."""
        yield self
        for kind in self.blocks.values():
            yield from kind.walk()


class Given:
    """What one block of a file gives, read and checked: only what is written, no defaults."""

    __slots__ = ("block", "kind", "values", "blocks")

    def __init__(self, block: Block, kind: BlockType) -> None:
        self.block = block
        self.kind = kind
        self.values: dict[str, Any] = {}
        self.blocks: dict[str, dict[str, Given]] = {words: {} for words in kind.blocks}

    def one(self, words: str) -> dict[str, Any]:
        """Values of the unnamed block of this kind; empty when there is none."""
        found = self.blocks[words].get("")
        return found.values if found is not None else {}

    def wrong(self, problems: Problems, parameter: str, wrong: str, right: str = "") -> None:
        """Report a fault of a parameter's value, or of the block where it is not given."""
        problems.add(self.block.place(parameter), wrong, right)


def read_file(text: str, problems: Problems, file: BlockType) -> Given:
    """Parse and check a whole file. All faults go to `problems`."""
    return read_tree(parse(text, problems), problems, file)


def read_tree(root: Block, problems: Problems, file: BlockType) -> Given:
    """Check the blocks of a file that has been parsed."""
    return _read_block(root, file, problems, None)


def read_values(kind: BlockType, texts: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """Values of parameters given as text from elsewhere than a file (a command): a text, or a list of texts.

    Raises `ConfigError`, one problem for each fault.
    """
    values: dict[str, Any] = {}
    problems = Problems("", "")
    for name, given in texts.items():
        row_ = kind.parameters.get(name)
        if row_ is None:
            problems.add(0, f"unknown parameter {shown(name)}", right_name(name, kind.parameters, "parameter"))
            continue
        words = [given] if isinstance(given, str) else list(given)
        try:
            values[name] = _value(row_, [(str(word), False) for word in words])
        except Wrong as error:
            problems.add(0, f"{name}: {error.wrong}", error.right)
    problems.refuse()
    return values


def _read_block(block: Block, kind: BlockType, problems: Problems, parent: Block | None) -> Given:
    given = Given(block, kind)
    rows = kind.parameters
    values = given.values
    refused: set[str] = set()
    for statement in block.statements:
        name = statement[0][1]
        row_ = rows.get(name)
        if row_ is None or statement[0][0] == STRING:
            _unknown_parameter(statement, block, kind, problems)
            continue
        if name in values and not row_.many:
            problems.add(statement[0][2], f"{name} is given twice", f"first on line {problems.line(block.place(name))}")
            continue
        try:
            value = _value(row_, [(token[1], token[0] == STRING) for token in statement[1:]])
        except Wrong as error:
            problems.add(_where(row_, statement), f"{name}: {error.wrong}", error.right)
            refused.add(name)
            continue
        if name in values:
            value = _added(values[name], value)
            if isinstance(value, tuple) and len(value) > row_.most:
                problems.add(statement[0][2], f"{name} takes at most {row_.most} values in all")
                continue
        values[name] = value
    for inner in block.blocks:
        _read_inner(inner, given, problems)
    for row_ in rows.values():
        if row_.required and row_.name not in values and row_.name not in refused | block.spoilt:
            wrong = f"{block.title()} has no {row_.name}"
            problems.add(block.offset, wrong, f"add: {row_.name} {row_.type.metavar}")
    return given


def _value(row_: Parameter, values: Sequence[tuple[str, bool]]) -> Any:
    if not values:
        raise Wrong("a value is missing", f"write: {row_.name} {row_.type.metavar}")
    if len(values) > 1 and not row_.many:
        raise Wrong(f"takes one value, {len(values)} are given", "end it with ; or put a text with spaces in quotes")
    if len(values) > row_.most:
        raise Wrong(f"takes at most {row_.most} values, {len(values)} are given")
    return row_.read(values)


def _added(old: Any, new: Any) -> Any:
    return old | new if isinstance(old, int) else old + new


def _where(row_: Parameter, statement: Statement) -> int:
    """Offset of the value at fault: the first that its type refuses alone."""
    for token in statement[1:]:
        try:
            if row_.type.whole and token[1] != "any" or not row_.type.whole:
                row_.type.read(token[1], token[0] == STRING)
        except Wrong:
            return token[2]
    if len(statement) > 2 and not row_.many:
        return statement[2][2]
    return statement[1 if len(statement) > 1 else 0][2]


def _unknown_parameter(statement: Statement, block: Block, kind: BlockType, problems: Problems) -> None:
    kind_, name, offset = statement[0]
    if problems.full:
        problems.add(offset, "")
        return
    title = block.title() or "the file"
    if kind_ == STRING:
        problems.add(offset, "a string where a parameter's name is expected", "names of parameters have no quotes")
        return
    words = " ".join(token[1] for token in statement[:2])
    for header in (words, name):
        if header in kind.blocks:
            problems.add(offset, f"{header} is a block", f"write: {kind.blocks[header].header()}")
            return
    meant = near(name, kind.parameters)
    if len(statement) > 1 and (not meant or kind.parameters[meant].secret):
        problems.hide(statement[1][2], statement[-1][2] + len(statement[-1][1]) + 2)
    if not kind.parameters:
        right = f"parameters stand inside blocks: {', '.join(kind.blocks)}" if kind.blocks else ""
    elif inner := [one for one in kind.blocks.values() if name in one.parameters]:
        form = f"{name} {inner[0].parameters[name].type.metavar}"
        right = f"it stands in a block of its own: {inner[0].header()} {form} }}"
    else:
        right = right_name(name, kind.parameters, "parameter")
    problems.add(offset, f"unknown parameter {shown(name)} in {title}", right)


def _read_inner(block: Block, outer: Given, problems: Problems) -> None:
    kind = outer.kind.blocks.get(block.type)
    if kind is None:
        _unknown_block(block, outer, problems)
        return
    if kind.refused:
        problems.add(block.offset, f"{block.title()} {kind.refused}", "remove this block")
        return
    if kind.named and not block.name:
        problems.add(block.offset, f"this {kind.words} has no name", f"write: {kind.header()}")
        return
    if not kind.named and block.name is not None:
        problems.add(block.offset, f"{kind.words} takes no name", f"write: {kind.header()}")
        return
    name = block.name or ""
    if len(name) > 255 or not name.isprintable():
        problems.add(block.offset, f"the name of this {kind.words} is no good", "at most 255 printable characters")
        return
    known = outer.blocks[kind.words]
    if name in known:
        line = problems.line(known[name].block.offset)
        problems.add(block.offset, f"{block.title()} stands here twice", f"first on line {line}")
        return
    known[name] = _read_block(block, kind, problems, outer.block)


def _unknown_block(block: Block, outer: Given, problems: Problems) -> None:
    if problems.full or not block.type:  # without a type: reported by the parser
        problems.add(block.offset, "") if problems.full else None
        return
    inside = outer.block.title()
    kinds = outer.kind.blocks
    first, _, rest = block.type.rpartition(" ")
    if first in kinds and kinds[first].named and block.name is None:
        wrong, right = "the name of a block stands in quotes", f'write: {first} "{shown(rest)}" {{'
    elif block.type.split(" ")[0] in outer.kind.parameters:
        wrong, right = f"{shown(block.type.split(' ')[0])} is a parameter, no block", "remove the braces"
    elif not kinds and inside:
        wrong = f"no block may stand in {inside}"
        right = f"is a }} missing? {inside} was opened on line {problems.line(outer.block.offset)}"
    elif inside:
        line = problems.line(outer.block.offset)
        wrong = f"unknown block {shown(block.type)} in {inside}, opened on line {line}"
        right = right_name(block.type, kinds, "block") + "; is a } missing before it?"
    elif around := [kind.words for kind in kinds.values() if block.type in kind.blocks]:
        wrong, right = f"{block.type} stands inside {around[0]}", "move it there"
    else:
        wrong, right = f"unknown block {shown(block.type)}", right_name(block.type, kinds, "block")
    problems.add(block.offset, wrong, right)


def check_references(given: Given, names: dict[str, dict[str, Given]], problems: Problems) -> None:
    """Every `Reference` in a block and the blocks in it has to name a block that is there; a profile `default`
    always is."""
    for name, row_, to in given.kind.references:
        if name not in given.values:
            continue
        value, known = given.values[name], names[to]
        for one in value if row_.many else (value,):
            if one in known or one == "default" and to.endswith("profile"):
                continue
            right = "" if problems.full else right_name(one, known, to)
            given.wrong(problems, name, f'{name}: there is no {to} "{shown(one)}"', right)
    for kind, blocks in given.blocks.items():
        if any(inner.references for inner in given.kind.blocks[kind].walk()):
            for block in blocks.values():
                check_references(block, names, problems)


__all__ = [
    "BlockType",
    "ConfigError",
    "Given",
    "Parameter",
    "check_references",
    "parameters",
    "read_file",
    "read_values",
    "read_tree",
    "row",
]
