"""Tokens to a tree of blocks: `block-type "name" { parameter value ... ; nested blocks }`.

This stage knows the grammar and no block type. The opening brace may stand on the line after the header.
"""

from __future__ import annotations

from prol2tp.config.lexer import CLOSE, END, INVALID, OPEN, STRING, WORD, Token, tokens
from prol2tp.config.problems import Problems, shown

Statement = list[Token]
"""A parameter: its name, then its values."""


class Block:
    """One block as written. `statements` and `blocks` are in the order of the file."""

    __slots__ = ("type", "name", "offset", "statements", "blocks", "spoilt")

    def __init__(self, type: str, name: str | None, offset: int) -> None:
        self.type = type
        self.name = name
        self.offset = offset
        self.statements: list[Statement] = []
        self.blocks: list[Block] = []
        self.spoilt: set[str] = set()
        """Names of parameters that stand here but have been refused already."""

    def add(self, statement: Statement) -> None:
        for token in statement:
            if token[0] == INVALID:
                self.spoilt.add(statement[0][1])
                return
        self.statements.append(statement)

    def holds(self, word: str) -> bool:
        """A block that begins with this word stands in it, good or not."""
        return any(block.type.split(" ")[0] == word for block in self.blocks)

    def title(self) -> str:
        """Type and name, for messages."""
        type = shown(self.type)
        return type if self.name is None else f'{type} "{shown(self.name)}"'

    def place(self, parameter: str) -> int:
        """Offset of the first value of a parameter; of the block where it is not given."""
        for statement in self.statements:
            if statement[0][1] == parameter:
                return statement[1 if len(statement) > 1 else 0][2]
        return self.offset


def parse(text: str, problems: Problems) -> Block:
    """The whole file as one block without type and name."""
    block = root = Block("", None, 0)
    stack: list[Block] = []
    statement: Statement = []
    for token in tokens(text, problems):
        kind = token[0]
        if kind <= STRING:
            statement.append(token)
        elif kind == END:
            if statement:
                block.add(statement)
                statement = []
        elif kind == OPEN:
            inner = _opened(statement or _held(block, token[2], text), token[2], problems)
            statement = []
            block.blocks.append(inner)
            stack.append(block)
            block = inner
        elif kind == CLOSE:
            if statement:
                block.add(statement)
                statement = []
            if stack:
                block = stack.pop()
            else:
                problems.add(token[2], "this } closes no block", "remove it, or look for a missing { above")
    if statement:
        block.add(statement)
    while stack:
        wrong = "" if problems.full else f"opened on line {problems.line(block.offset)} is not closed"
        problems.add(block.offset, f"the block {block.title()} {wrong}", "add a }")
        block = stack.pop()
    return root


def _held(block: Block, offset: int, text: str) -> Statement:
    """The statement on the line before, when only a line end parts it from the brace at `offset`."""
    if not block.statements:
        return []
    start = block.statements[-1][-1][2]
    if block.blocks and block.blocks[-1].offset > start or ";" in text[start:offset]:
        return []
    return block.statements.pop()


def _opened(header: Statement, brace: int, problems: Problems) -> Block:
    if len(header) == 2 and header[0][0] == WORD and header[1][0] == STRING:  # fifty thousand users are of this form
        return Block(header[0][1], header[1][1], header[0][2])
    offset = header[0][2] if header else brace
    words = [token[1] for token in header if token[0] == WORD]
    strings = [token for token in header if token[0] == STRING]
    block = Block(" ".join(words), strings[0][1] if strings else None, offset)
    if any(token[0] == INVALID for token in header):
        block.type = ""
    elif not words:
        problems.add(offset, "a block without a type", 'write: block-type "name" {')
    elif len(strings) > 1 or strings and header[-1][0] != STRING:
        problems.add(strings[0][2], "a block has one name, right before the {", f'write: {shown(block.type)} "name" {{')
    return block
