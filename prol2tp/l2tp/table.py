"""Tables of state machines, written as the RFC writes them: several states and events may share a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from prol2tp.common.fsm import Row


class Word(Enum):
    """A state or an event. Members are their own keys: the hash of `Enum` is a call in Python, five for every event."""

    __hash__ = object.__hash__


Table = dict[tuple[Enum, Enum], Row]


def table(rows: Iterable[tuple[tuple[Enum, ...], tuple[Enum, ...], Callable[..., None] | None, Enum]]) -> Table:
    """Single cells of rows (states, events, action, new state); no cell may be given twice."""
    cells: Table = {}
    for states, events, action, new in rows:
        for state in states:
            for event in events:
                assert (state, event) not in cells, (state, event)
                cells[state, event] = Row(action, new)
    return cells
