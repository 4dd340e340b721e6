"""Which accounting records may be sent: one of each session, in order."""

from __future__ import annotations

import random

from prol2tp.spool.order import INTERIM, START, STOP, Order


def test_only_the_oldest_of_a_session_is_given_and_others_do_not_wait():
    order = Order()
    for record, session, kind in ((1, "a", START), (2, "a", INTERIM), (3, "b", START), (4, "a", STOP)):
        order.add(session, record, kind)
    assert order.ready == 2
    assert order.take(10) == [1, 3]
    assert order.take(10) == []
    order.remove([1])
    assert order.take(10) == [2]
    order.remove([2, 3])
    assert order.take(10) == [4]
    order.remove([4])
    assert (len(order), order.ready, order.taken) == (0, 0, 0)


def test_what_is_released_comes_again_before_its_followers():
    order = Order()
    order.add("a", 1, START)
    order.add("a", 2, STOP)
    order.add("b", 3, START)
    assert order.take(1) == [1]
    order.release([1, 2, 77])
    assert order.take(10) == [1, 3]


def test_an_interim_is_superseded_only_while_it_waits_as_the_last():
    order = Order()
    assert order.superseded("a") is None
    order.add("a", 1, START)
    assert order.superseded("a") is None
    order.add("a", 2, INTERIM)
    assert order.superseded("a") == 2
    order.take(1)
    order.remove([1])
    assert order.take(1) == [2]
    assert order.superseded("a") is None, "it may be at the server already"
    order.release([2])
    assert order.superseded("a") == 2
    order.add("a", 3, STOP)
    assert order.superseded("a") is None


def test_the_newest_record_of_a_kind_is_known():
    order = Order()
    for record, kind in ((1, START), (2, INTERIM), (3, STOP), (4, INTERIM)):
        order.add("a", record, kind)
    assert (order.last("a", INTERIM), order.last("a", START), order.last("b", START)) == (4, 1, None)
    order.remove([1, 2, 3, 4])
    assert order.last("a", INTERIM) is None


def test_any_sequence_keeps_each_session_in_order_and_loses_nothing():
    chance = random.Random(8)
    for _ in range(200):
        order, added, given, held, record = Order(), {}, {}, [], 0
        for _ in range(200):
            choice = chance.random()
            if choice < 0.5:
                record += 1
                session = f"s{chance.randrange(8)}"
                order.add(session, record, START)
                added.setdefault(session, []).append(record)
            elif choice < 0.7:
                held += order.take(chance.randrange(1, 5))
            elif held:
                one = held.pop(chance.randrange(len(held)))
                if chance.random() < 0.5:
                    order.release([one])
                else:
                    session = order._sessions[one]
                    order.remove([one])
                    given.setdefault(session, []).append(one)
            assert order.taken == len(held)
            assert len({order._sessions[one] for one in held}) == len(held)
        order.release(held)
        while batch := order.take(3):
            for one in batch:
                given.setdefault(order._sessions[one], []).append(one)
            order.remove(batch)
        assert given == added
        assert len(order) == 0
