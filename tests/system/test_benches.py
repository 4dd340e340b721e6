"""The benches of the access concentrator with a few sessions: what they send comes through. Nothing is timed."""

from __future__ import annotations

import re
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


def test_hosts_of_the_storm_bench_all_come_up_and_strangers_are_answered() -> None:
    said = run([sys.executable, BENCH / "storm", "--clients", "3", "--padis", "20", "--seconds", "30",
                "--only", "static"]).stdout  # fmt: skip
    rows = [line for line in said.splitlines() if line.startswith("static, ")]
    assert len(rows) == 2 and all("  3 of 3  " in row for row in rows), said
    counted = re.search(r"static: (\d+) PADIs counted by the LAC, (\d+) PADOs", said)
    assert counted and int(counted[1]) == int(counted[2]) >= 26, said
