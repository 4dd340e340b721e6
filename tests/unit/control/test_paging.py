"""Pages of long lists."""

import json
import random

import pytest

from prol2tp.control.command import MAX_VALUE, Invalid, write_value
from prol2tp.control.paging import MAX_LIMIT, Roll, batches, page


def row(key):
    return {"key": key}


def walk(keys, limit, between=lambda: None, row=row):
    found, cursor = [], ""
    while True:
        answer = page(keys, cursor, limit, row)
        found += [entry["key"] for entry in answer["rows"]]
        assert len(answer["rows"]) <= limit
        assert json.loads(write_value("json", answer["rows"])) == list(answer["rows"])
        cursor = answer["cursor"]
        if not cursor:
            return found
        between()


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 101])
@pytest.mark.parametrize("make", [Roll, dict.fromkeys])
def test_all_rows_come_once_and_the_last_page_has_no_cursor(count, make):
    assert walk(make(range(count)), 10) == list(range(count))


def test_a_roll_keeps_the_order_of_coming():
    roll = Roll("cab")
    roll.add("a")
    assert list(roll) == ["c", "a", "b"] and len(roll) == 3 and "a" in roll
    roll.discard("a")
    roll.discard("z")
    roll.add("a")
    assert list(roll) == ["c", "b", "a"]


@pytest.mark.parametrize("seed", range(30))
def test_rows_that_stay_are_listed_once_whatever_comes_and_goes(seed):
    chance = random.Random(seed)
    roll = Roll(range(300))
    staying = set(range(0, 300, 3))
    gone = [key for key in range(300) if key not in staying]
    chance.shuffle(gone)
    new = iter(range(1000, 1200))

    def between():
        for _ in range(chance.randrange(20)):
            if gone:
                roll.discard(gone.pop())
            roll.add(next(new, 1000))

    found = walk(roll, chance.randrange(1, 40) if seed else 1, between)
    assert len(found) == len(set(found))
    assert staying <= set(found)


def test_the_holes_of_discarded_keys_are_closed():
    roll = Roll()
    for key in range(100_000):
        roll.add(key)
        if key >= 10:
            roll.discard(key - 10)
    assert len(roll) == 10 and len(roll._keys) < 200


def test_a_page_costs_its_own_length():
    roll = Roll(range(100_000))
    asked = []
    cursor = page(roll, "", 50_00, row)["cursor"]
    page(roll, cursor, 10, lambda key: asked.append(key) or row(key))
    assert len(asked) == 10


def test_rows_that_are_gone_meanwhile_are_left_out():
    assert walk(Roll(range(10)), 3, row=lambda key: row(key) if key % 2 else None) == [1, 3, 5, 7, 9]


def test_long_rows_make_shorter_pages_and_none_is_lost():
    roll = Roll(range(100))
    sizes = []
    found, cursor = [], ""
    while True:
        answer = page(roll, cursor, 500, lambda key: {"key": key, "text": "x" * 5000})
        sizes.append(len(write_value("json", answer["rows"])))
        found += [entry["key"] for entry in answer["rows"]]
        cursor = answer["cursor"]
        if not cursor:
            break
    assert found == list(range(100))
    assert max(sizes) <= MAX_VALUE and max(sizes) > MAX_VALUE - 6000


def test_a_page_may_be_filled_to_the_last_byte():
    size = len(write_value("json", [{"key": "x"}, {"key": "x"}]))
    assert len(page(Roll([1, 2]), "", None, lambda key: {"key": "x"}, room=size + 1)["rows"]) == 2
    assert len(page(Roll([1, 2]), "", None, lambda key: {"key": "x"}, room=size - 1)["rows"]) == 1


def test_a_row_that_fits_no_page_is_an_error_and_no_endless_list():
    with pytest.raises(ValueError):
        page(Roll([1]), "", None, lambda key: {"key": "x" * 70000})


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1" * 30, "١", "1 "])
def test_a_cursor_that_is_not_ours_is_invalid(cursor):
    with pytest.raises(Invalid):
        page(Roll([1]), cursor, None, row)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
def test_a_limit_out_of_range_is_invalid(limit):
    with pytest.raises(Invalid):
        page(Roll([1]), "", limit, row)


def test_batches_each_fit_into_a_value_and_keep_all_rows():
    rows = [{"id": str(number), "text": "y" * (number % 3000)} for number in range(500)]
    lists = list(batches(rows))
    assert [entry for batch in lists for entry in batch] == rows and len(lists) > 2
    for batch in lists:
        assert len(write_value("json", batch)) <= MAX_VALUE
        assert json.loads(write_value("json", batch)) == list(batch)
    assert list(batches([])) == []
    with pytest.raises(ValueError):
        list(batches(["z" * MAX_VALUE]))
