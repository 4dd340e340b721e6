"""Durations and causes that are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prol2tp.common.tally import MOST_WORDS, OTHER, SECONDS, Histogram, Tally


@given(st.lists(st.floats(min_value=-1, max_value=100)))
def test_every_value_is_in_the_bucket_of_the_smallest_bound_that_holds_it(values):
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    record = histogram.record()
    for place, bound in enumerate(SECONDS):
        assert sum(record["counts"][: place + 1]) == sum(value <= bound for value in values)
    assert sum(record["counts"]) == len(values)
    assert abs(record["sum"] - sum(max(value, 0) for value in values)) < 1e-3


def test_words_without_end_take_a_bounded_place():
    tally = Tally()
    for number in range(1000):
        tally.add(f"cause {number}")
        tally.add("cause 1")
    record = tally.record()
    assert len(record) == MOST_WORDS + 1
    assert record["cause 1"] == 1001 and record[OTHER] == 1000 - MOST_WORDS and sum(record.values()) == 2000
