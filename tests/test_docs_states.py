"""docs/states.md shows the tables of the state machines as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prol2tp import states

PAGE = Path(__file__).resolve().parent.parent / "docs/states.md"


def test_the_page_is_what_the_tables_give() -> None:
    assert PAGE.read_text("utf-8") == states.page(), "run: python3 -m prol2tp.states docs/states.md"


@pytest.mark.parametrize("diagram", states.DIAGRAMS, ids=lambda one: one.title)
def test_a_diagram_has_every_cell_that_changes_the_state_and_no_other(diagram: states.Diagram) -> None:
    section = PAGE.read_text("utf-8").partition(f"\n## {diagram.title}\n")[2].partition("\n## ")[0]
    arrows = re.findall(r"(?m)^    (\w+) --> (\w+): (.+)$", section)
    found = {(old, event): new for old, new, events in arrows for event in events.split(", ")}
    expected = {(old.name, event.value if isinstance(event.value, str) else event.name): new.name
                for (old, event), new in diagram.cells.items() if new is not old}
    assert found == expected
    assert (PAGE.parent.parent / "prol2tp" / diagram.source).is_file()


def test_every_state_can_be_reached_and_left() -> None:
    for diagram in states.DIAGRAMS:
        first = next(iter(diagram.cells))[0]
        entered = {new for (old, _), new in diagram.cells.items() if new is not old} | {first}
        assert {old for old, _ in diagram.cells} <= entered, diagram.title
