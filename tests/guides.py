"""The pages under docs as tests read them: fenced blocks, the steps of a guide, and whether output is what they show.

A block begins with a line of three backticks, its language and a word. `conf PATH` quotes a file of the checkout, `sh
step` is to be done, and `text shows` is what the step before it shows, as soon as it does: its lines come in this
order, between others. `…` stands for anything with the blanks around it, a number of four digits and more for any
number, a time for any time, blanks for blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
_FENCE = re.compile(r"(?ms)^```(\w+)?(?: ([^\n]*))?\n(.*?)^```$")


@dataclass(slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    word: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(slots=True)
class Step:
    """What is to be done, and the lines that it shows then."""

    block: Block
    shows: list[str] = field(default_factory=list)


def blocks(page: Path) -> Iterator[Block]:
    """In the order of the page."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found[1] or "", found[2] or "", found[3])


def steps(page: Path) -> list[Step]:
    """In the order of the page."""
    made: list[Step] = []
    for block in blocks(page):
        if (block.language, block.word) == ("sh", "step"):
            made.append(Step(block))
        elif (block.language, block.word) == ("text", "shows"):
            made[-1].shows = block.text.splitlines()
    return made


def _pattern(line: str) -> str:
    made = []
    for part in re.findall(r"\s*…\s*|\d+:\d\d:\d\d|\d{4,}|\s+|.", line.strip()):
        if "…" in part:
            made.append(".*")
        elif part.isspace():
            made.append(r"\s+")
        elif ":" in part and len(part) > 1:
            made.append(r"\d+:\d\d:\d\d")
        else:
            made.append(r"\d+" if len(part) > 3 else re.escape(part))
    return "".join(made)


def missing(shows: list[str], output: str) -> str:
    """The first line that the output has not got after those before it, or nothing."""
    lines = iter(output.splitlines())
    for line in shows:
        pattern = re.compile(_pattern(line))
        if not any(pattern.fullmatch(one.strip()) for one in lines):
            return line
    return ""
