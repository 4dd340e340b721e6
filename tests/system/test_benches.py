"""The benches of the access concentrator with a few sessions: what they send comes through. Nothing is timed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.netns import run

pytestmark = pytest.mark.root

BENCH = Path(__file__).parent.parent.parent / "bench"


def test_packets_of_the_splice_bench_come_through_in_both_directions_and_sizes() -> None:
    said = run([sys.executable, BENCH / "splice", "--sessions", "2", "--rounds", "1", "--seconds", "0.1",
                "--only", "prol2tp"]).stdout  # fmt: skip
    rows = [line.split() for line in said.splitlines() if " prol2tp " in line]
    assert [(row[0], row[2]) for row in rows] == [("up", "64"), ("up", "1400"), ("down", "64"), ("down", "1400")], said
    assert all(int(row[3]) > 0 for row in rows), said
