"""The grammar of proacd.conf: tokens to the same tree of blocks as `blocks`, where white space, newlines and `;` mean
nothing.

Since no newline ends a statement, the tables say where one ends: a parameter has as many values as its row takes, and a
list goes on up to the next keyword of its block. A value that is written like a keyword stands in quotes.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import takewhile

from prol2tp.config.blocks import Block
from prol2tp.config.lexer import CLOSE, END, OPEN, STRING, WORD, Token, tokens
from prol2tp.config.parameter import INLINE, REQUIRED, BlockType, Given, Parameter, read_tree
from prol2tp.config.problems import Problems, right_name, shown

_ALIKE = 0.85
"""How much a word in a list looks like a keyword before it is taken for one that is mistyped."""
_LIKE_A_KEYWORD = re.compile(r"[A-Za-z_-]{3,40}")


def read_file(text: str, problems: Problems, file: BlockType) -> Given:
    """Parse and check a whole file. All faults go to `problems`."""
    return read_tree(_Reader(text, problems).read(file), problems, file)


class _Reader:
    __slots__ = ("_problems", "_text", "_tokens", "_position")

    def __init__(self, text: str, problems: Problems) -> None:
        self._problems = problems
        self._text = text
        self._tokens = [token for token in tokens(text, problems) if token[0] != END]
        self._position = 0

    def read(self, file: BlockType) -> Block:
        root = Block("", None, 0)
        while (token := self._peek()) is not None:
            if token[0] == CLOSE:
                self._problems.add(token[2], "this } closes no block", "remove it, or look for a missing { above")
                self._position += 1
            self._statements(root, file, frozenset())
        return root

    # statements

    def _statements(self, block: Block, kind: BlockType, outer: frozenset[str]) -> None:
        """All up to a closing brace, or where `outer` is given (parameters without braces) to a word of it."""
        keywords = kind.keywords
        while (token := self._peek()) is not None and token[0] != CLOSE:
            what, word, offset = token
            if what == WORD:
                inner = self._kind_of_block(kind)
                if inner is not None:
                    self._block(block, inner, keywords)
                elif word in kind.parameters:
                    self._statement(block, kind.parameters[word], keywords | outer)
                elif word in outer:
                    return
                else:
                    self._unknown(block, kind, keywords | outer)
                continue
            self._position += 1
            if what == OPEN:
                self._problems.add(offset, "a { that opens no block", _forms(kind))
                self._skip_block()
            elif what == STRING:
                self._problems.add(offset, "a string where a keyword is expected", _forms(kind))

    def _statement(self, block: Block, row: Parameter, keywords: frozenset[str]) -> None:
        statement = [self._tokens[self._position]]
        self._position += 1
        values = self._values(keywords, many=row.many)
        if not values and row.bare:
            values = [(WORD, row.bare, statement[0][2])]
        following = self._peek()
        if values and not row.many and following is not None and following[0] == STRING:
            self._problems.add(following[2], f"{row.name} takes one value", "put a text with spaces in quotes")
            values.clear()
            block.spoilt.add(row.name)
            self._values(keywords, many=True)
        if row.secret:
            self._hide(values)
        if values or row.name not in block.spoilt:
            block.add(statement + values)

    def _values(self, keywords: frozenset[str], *, many: bool) -> list[Token]:
        """The next values; a word that only a slip parts from a keyword ends a list."""
        values: list[Token] = []
        while (token := self._peek()) is not None and token[0] not in (OPEN, CLOSE):
            if token[0] == WORD and (token[1] in keywords or values and _mistyped(token[1], keywords)):
                break
            values.append(token)
            self._position += 1
            if not many:
                break
        return values

    def _hide(self, values: list[Token]) -> None:
        """What is secret may stand on another line than its keyword."""
        for _, _, offset in values:
            following = self._peek()
            end = following[2] if following is not None else len(self._text)
            line = self._text.find("\n", offset, end)
            span = self._text[offset : line if line >= 0 else end].rstrip()
            self._problems.hide(offset, offset + len(span))

    # blocks

    def _kind_of_block(self, kind: BlockType) -> BlockType | None:
        """The kind whose words stand here, the longest first."""
        if self._tokens[self._position][1] not in kind.first_words:
            return None
        ahead = self._tokens[self._position : self._position + 3]
        words = [token[1] for token in takewhile(lambda token: token[0] == WORD, ahead)]
        for count in range(len(words), 0, -1):
            found = kind.blocks.get(" ".join(words[:count]))
            if found is not None:
                return found
        return None

    def _block(self, around: Block, kind: BlockType, keywords: frozenset[str]) -> None:
        offset = self._tokens[self._position][2]
        self._position += kind.words.count(" ") + 1
        name = None
        token = self._peek()
        if token is not None and (token[0] == STRING or token[0] == WORD and kind.named):
            name = token[1]
            self._position += 1
        block = Block(kind.words, name, offset)
        around.blocks.append(block)
        token = self._peek()
        if token is not None and token[0] == OPEN:
            self._position += 1
            self._inside(block, kind)
        elif kind.braces == REQUIRED:
            around.blocks.pop()
            at = token[2] if token is not None else offset
            self._problems.add(at, f"{block.title()} has no {{", f"write: {kind.header()}")
            self._values(keywords, many=True)
        elif kind.braces == INLINE:
            self._statements(block, kind, keywords)

    def _inside(self, block: Block, kind: BlockType) -> None:
        self._statements(block, kind, frozenset())
        if self._peek() is None:
            line = self._problems.line(block.offset) if not self._problems.full else 0
            wrong = f"the block {block.title()} opened on line {line} is not closed"
            self._problems.add(block.offset, wrong, "add a }")
            return
        self._position += 1

    def _unknown(self, block: Block, kind: BlockType, keywords: frozenset[str]) -> None:
        """Words that the block does not have: a block when a brace follows, else a parameter."""
        first = self._tokens[self._position]
        self._position += 1
        values = self._values(keywords, many=True)
        token = self._peek()
        starts = [words for words in kind.blocks if words.split()[0] == first[1]]
        if token is not None and token[0] == OPEN:
            self._position += 1
            self._skip_block()
            words = [first[1], *(value[1] for value in values if value[0] == WORD)]
            names = [value[1] for value in values if value[0] == STRING]
            if not starts:
                block.blocks.append(Block(" ".join(words), names[0] if names else None, first[2]))
                return
        if starts:
            what = shown(values[0][1]) if values else "nothing"
            right = "known: " + ", ".join(starts)
            block.spoilt.add(first[1])
            self._problems.add(first[2], f"{first[1]} is followed by {what}, which is unknown here", right)
            return
        block.statements.append([first, *values])

    def _skip_block(self) -> None:
        """Past the closing brace of a block that is open."""
        depth = 1
        while depth and (token := self._peek()) is not None:
            depth += {OPEN: 1, CLOSE: -1}.get(token[0], 0)
            self._position += 1

    def _peek(self) -> Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None


def _mistyped(word: str, keywords: frozenset[str]) -> bool:
    # long lists are of addresses and numbers, and are not to be compared word by word
    return _LIKE_A_KEYWORD.fullmatch(word) is not None and bool(get_close_matches(word.lower(), keywords, 1, _ALIKE))


def _forms(kind: BlockType) -> str:
    return right_name("", kind.keywords, "keyword") if len(kind.keywords) <= 12 else "see the manual page"
