"""Tables and lines that fit into the width of a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from prol2tp.cli.format import Columns

FREE = 12
"""Columns that the last cell of a line should have at the least."""


class Column(NamedTuple):
    """One of a table. `rank`: 0 stays, the highest is left out first where there is no room."""

    title: str
    align: str = "<"
    least: int = 0
    rank: int = 0


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Heading and lines, with those of the columns that fit; None: all. The last column is cut, never left out."""
    shown = list(range(len(columns)))
    if width is not None:
        widths = [max(column.least, len(column.title), *(len(row[at]) for row in rows), 0)
                  for at, column in enumerate(columns)]
        widths[-1] = min(widths[-1], FREE)
        for at in sorted(shown[:-1], key=lambda at: -columns[at].rank):
            if sum(widths[at] + 1 for at in shown) - 1 <= width or not columns[at].rank:
                break
            shown.remove(at)
    made = Columns(*(columns[at][:3] for at in shown))
    return list(made.pages([[[row[at] for at in shown] for row in rows]]))


def fit(text: str, width: int) -> str:
    """As much of the text as has room; a wide character takes two columns, one that combines with another none."""
    if text.isascii():
        return text[:width]
    used = 0
    for at, char in enumerate(text):
        used += 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used > width:
            return text[:at]
    return text
