"""Words that every protocol uses."""

import random

import pytest

from prol2tp.common.deadlines import Deadlines
from prol2tp.common.ids import IdPool
from prol2tp.common.sequence import before, distance
from prol2tp.common.wire import Reader, WireError


def test_a_reader_never_reads_past_its_end():
    reader = Reader(b"\x01\x02\x03", 0, 2)
    assert reader.u16() == 0x0102
    with pytest.raises(WireError):
        reader.u8()


def test_ids_are_unique_and_never_zero_until_all_are_taken():
    pool = IdPool(8, random.Random(1).randbytes)
    assert sorted(pool.take() for _ in range(255)) == list(range(1, 256))
    with pytest.raises(LookupError):
        pool.take()
    pool.release(7)
    assert pool.take() == 7


def test_linear_ids_count_up():
    pool = IdPool(16, random.Random(1).randbytes, linear=True)
    assert [pool.take(), pool.take()] == [1, 2]


def test_sequence_numbers_compare_over_the_wrap():
    assert before(65535, 0) and not before(0, 65535) and not before(5, 5)
    assert distance(65534, 1) == 3


def test_deadlines_follow_a_plain_model_through_random_moves():
    source = random.Random(2)
    deadlines, model, now = Deadlines(), {}, 0.0
    for _ in range(5000):
        owner = source.randrange(40)
        when = source.choice([None, now + source.random() * 10])
        deadlines.set(owner, when)
        if when is None:
            model.pop(owner, None)
        else:
            model[owner] = when
        now += source.random() * 0.2
        expected = {o for o, w in model.items() if w <= now}
        got = deadlines.expired(now)
        assert set(got) == expected and len(got) == len(expected)
        for o in expected:
            del model[o]
        assert deadlines.next() == min(model.values(), default=None)


def test_deadlines_set_and_cleared_over_and_over_do_not_pile_up():
    deadlines = Deadlines()
    for round_number in range(1000):
        deadlines.set("owner", round_number + 1.0)
        deadlines.set("owner", None)
        deadlines.set("owner", round_number + 2.0)
        deadlines.expired(float(round_number))
    assert len(deadlines._heap) < 10


def test_owners_that_left_are_not_held_until_their_old_time():
    deadlines = Deadlines()
    for number in range(1000):
        deadlines.set(number, 86400.0)
        deadlines.set(number, None)
    assert len(deadlines._heap) < 200
