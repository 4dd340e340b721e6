"""The accounting queue's file: what is in it after an error, a restart, damage."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest

from prol2tp.spool.file import FLUSH_AFTER, FRESH, ROWS_AT_ONCE, SpoolFile
from prol2tp.spool.order import ACCOUNTING_ON, INTERIM, START, STOP


def opened(path: Path) -> tuple[SpoolFile, list[str]]:
    lines: list[str] = []
    spool = SpoolFile(str(path), lines.append)
    spool.open()
    return spool, lines


def payloads(spool: SpoolFile) -> list[bytes]:
    found = []
    while taken := spool.order.take(100):
        found += [record.payload for record in spool.read(taken)]
        spool.write([], taken)
    return found


def test_records_come_back_in_order_after_a_restart(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.5, b"\0start"), ("b", START, 2.0, b"b"), ("a", STOP, 3.0, b"stop")], [])
    assert spool.oldest() == 1.5
    taken = spool.order.take(1)
    spool.close()
    again, lines = opened(tmp_path / "q")
    assert [record.payload for record in again.read(again.order.take(9))] == [b"\0start", b"b"]
    again.write([], taken)
    (stop,) = again.read(again.order.take(9))
    assert (stop.session, stop.kind, stop.event_time, stop.payload) == ("a", STOP, 3.0, b"stop")
    assert lines == []


def test_interims_that_wait_give_way_and_starts_and_stops_never_do(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 0, b"start")], [])
    for number in range(1000):
        spool.write([("a", INTERIM, number, b"%d" % number)], [])
    spool.write([("a", STOP, 1000, b"stop")], [])
    assert (len(spool.order), spool.coalesced) == (3, 999)
    assert payloads(spool) == [b"start", b"999", b"stop"]
    assert spool.oldest() is None


def test_a_write_that_fails_changes_neither_file_nor_order(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 0, b"start"), ("a", INTERIM, 1, b"i")], [])
    spool._database.execute("PRAGMA max_page_count=3")
    big = [("a", INTERIM, 2, bytes(9000)), ("b", START, 2, b"b")]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spool.write(big, [1])
    assert (len(spool.order), spool.coalesced) == (2, 0)
    spool._database.execute("PRAGMA max_page_count=1000")
    spool.write(big, [])
    assert payloads(spool) == [b"start", b"b", bytes(9000)]


def test_a_second_process_may_not_have_the_file(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 0, b"start")], [])
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        opened(tmp_path / "q")
    assert payloads(spool) == [b"start"]


def test_the_file_is_for_its_owner_only(tmp_path: Path):
    opened(tmp_path / "q")
    assert {os.stat(path).st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_damaged_file_is_moved_aside_with_one_line_and_a_new_one_begun(tmp_path: Path):
    path = tmp_path / "q"
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    for times in (1, 2):
        spool, lines = opened(path)
        assert len(lines) == 1 and "damaged" in lines[0] and str(path) in lines[0]
        spool.write([("a", START, 0, b"start")], [])
        assert payloads(spool) == [b"start"]
        spool.close()
        assert len([one for one in tmp_path.iterdir() if "damaged" in one.name]) == times
        path.write_bytes(b"again" * 1000)


def test_a_file_of_another_version_is_not_touched_but_moved(tmp_path: Path):
    path = tmp_path / "q"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE record (other)")
        other.execute("PRAGMA user_version=77")
    other.close()
    _, lines = opened(path)
    assert "version 77" in lines[0]


def test_any_damage_to_the_file_leaves_a_queue_that_works(tmp_path: Path):
    chance = random.Random(5)
    path = tmp_path / "q"
    spool, _ = opened(path)
    spool.write([(f"s{number}", START, number, bytes(300)) for number in range(500)], [])
    spool.close()
    whole = path.read_bytes()
    aside = 0
    for _ in range(60):
        octets = bytearray(whole)
        for _ in range(chance.choice((1, 10, 2000))):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        path.write_bytes(octets[: chance.choice((len(octets), chance.randrange(len(octets))))])
        spool, lines = opened(path)
        aside += bool(lines)
        assert len(lines) <= 1
        spool.write([("new", STOP, 1, b"new")], [])
        assert b"new" in payloads(spool)
        spool.close()
    assert aside > 20


def test_what_was_held_in_memory_is_saved_later_and_only_what_is_still_needed(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"start"), ("b", START, 2.0, b"b")], [])
    spool.hold([("a", INTERIM, 3.0, b"old"), ("c", START, 4.0, b"c")], [])
    spool.hold([("a", INTERIM, 5.0, b"new"), ("d", START, 5.0, b"d")], [])
    assert (len(spool.order), len(spool.held), spool.coalesced) == (5, 3, 1)
    taken = spool.read(spool.order.take(10))
    assert [record.payload for record in taken] == [b"start", b"b", b"c", b"d"]
    spool.hold([], [record.id for record in taken[:3]])
    spool.write([("d", STOP, 6.0, b"stop")], [])
    spool.close()
    again, _ = opened(tmp_path / "q")
    assert payloads(again) == [b"new", b"d", b"stop"]


def test_what_was_held_survives_the_replacement_of_a_damaged_file(tmp_path: Path):
    spool, lines = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"in the file")], [])
    spool.hold([("a", STOP, 2.0, b"held")], [])
    spool.set_aside(sqlite3.DatabaseError("malformed"))
    assert len(lines) == 1
    spool.write([("b", START, 3.0, b"new")], [])
    assert payloads(spool) == [b"held", b"new"]


def test_any_sequence_of_full_and_good_disks_and_restarts_keeps_every_start_and_stop_in_order(tmp_path: Path):
    chance = random.Random(11)
    for round_number in range(30):
        path = tmp_path / f"q{round_number}"
        spool, _ = opened(path)
        appended: dict[str, list[bytes]] = {}
        given: dict[str, list[bytes]] = {}
        taken: list = []

        def put(some: SpoolFile, good: bool, appends: list, acknowledged: list) -> None:
            (some.write if good else some.hold)(appends, acknowledged)

        for number in range(120):
            good = chance.random() < 0.6
            choice = chance.random()
            if choice < 0.5:
                session, kind = f"s{chance.randrange(5)}", chance.choice((START, INTERIM, STOP))
                payload = b"%d" % number
                if kind != INTERIM:
                    appended.setdefault(session, []).append(payload)
                put(spool, good, [(session, kind, 1.0, payload)], [])
            elif choice < 0.7:
                taken += spool.read(spool.order.take(3))
            elif choice < 0.9 and taken:
                record = taken.pop(chance.randrange(len(taken)))
                if record.kind != INTERIM:
                    given.setdefault(record.session, []).append(record.payload)
                put(spool, good, [], [record.id])
            elif choice < 0.95:
                spool.order.release(record.id for record in taken)
                taken = []
            else:
                spool.write([], [])
                spool.close()
                spool, lines = opened(path)
                taken = []
                assert lines == []
        spool.order.release(record.id for record in taken)
        while records := spool.read(spool.order.take(2)):
            for record in records:
                if record.kind != INTERIM:
                    given.setdefault(record.session, []).append(record.payload)
            put(spool, chance.random() < 0.5, [], [record.id for record in records])
        assert given == appended
        spool.write([], [])
        assert (spool.held, spool.unremoved, spool.oldest()) == ({}, set(), None)
        spool.close()


def unfinished(spool: SpoolFile) -> list[tuple[str, bytes]]:
    return [(session, payload) for session, _, payload in spool.unfinished("", 100)]


def test_the_last_word_of_a_session_is_kept_until_its_stop(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("b", START, 1.0, b"b"), ("a", START, 2.0, b"start"), ("c", START, 3.0, b"c")], [])
    spool.write([("a", INTERIM, 4.0, b"old"), ("a", INTERIM, 5.0, b"new"), ("nas", ACCOUNTING_ON, 6.0, b"on")], [])
    # acknowledged or not: it is about the session
    spool.write([], spool.order.take(9))
    spool.write([("b", STOP, 7.0, b"stop")], [])
    assert unfinished(spool) == [("a", b"new"), ("c", b"c")]
    spool.close()
    again, _ = opened(tmp_path / "q")
    assert again.unfinished("", 1) == [("a", 5.0, b"new")]
    assert again.unfinished("a", 9) == [("c", 3.0, b"c")]
    again.write([("a", STOP, 8.0, b""), ("c", STOP, 8.0, b""), ("c", START, 9.0, b"once more")], [])
    assert unfinished(again) == [("c", b"once more")]


def test_what_is_open_is_known_after_a_disk_that_took_nothing_even_when_a_server_has_all(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"a")], [])
    spool.hold([("a", STOP, 2.0, b"stop"), ("b", START, 2.0, b"b"), ("c", START, 2.0, b"c")], [])
    spool.hold([("c", STOP, 3.0, b"stop")], [])
    while taken := spool.order.take(9):
        spool.hold([], taken)
    assert (len(spool.order), spool.held) == (0, {})
    spool.write([], [])
    assert unfinished(spool) == [("b", b"b")]
    assert spool.oldest() is None


def test_a_write_that_fails_leaves_what_is_open_as_it_was(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"a")], [])
    spool._database.execute("PRAGMA max_page_count=4")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spool.write([("a", STOP, 2.0, bytes(30000))], [])
    assert unfinished(spool) == [("a", b"a")]


def test_interims_reach_the_table_of_open_sessions_in_rounds_by_session_and_in_slices(tmp_path: Path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("prol2tp.spool.file.time.monotonic", lambda: now)
    monkeypatch.setattr("prol2tp.spool.file.FLUSHED_AT_ONCE", 3)
    spool, _ = opened(tmp_path / "q")

    def kept() -> list[bytes]:
        return [row[0] for row in spool._database.execute("SELECT payload FROM unfinished ORDER BY session")]

    spool.write([(f"s{number}", START, 1.0, b"start") for number in range(8)], [])
    spool.write([(f"s{number}", INTERIM, 2.0, b"%d" % number) for number in reversed(range(8))], [])
    spool.write([], spool.order.take(99))
    spool.write([], spool.order.take(99))
    assert (len(spool.order), kept(), spool.flush_in()) == (0, [b"start"] * 8, FLUSH_AFTER)
    assert [payload for _, payload in unfinished(spool)] == [b"%d" % number for number in range(8)]
    now += FLUSH_AFTER
    assert spool.flush_in() == 0
    spool.write([("s1", STOP, 3.0, b"stop"), ("s2", INTERIM, 3.0, b"newer")], [])
    assert kept() == [b"0", b"2", *[b"start"] * 5]
    spool.write([("s4", STOP, 4.0, b"stop")], [])
    spool._database.execute("PRAGMA max_page_count=1")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spool.write([("x", START, 4.0, bytes(50000))], [])
    spool._database.execute("PRAGMA max_page_count=10000")
    spool.write([], [])
    assert kept() == [b"0", b"2", b"3", b"5", b"6", b"7"]
    assert spool.flush_in() == FLUSH_AFTER, "the newer one is for the next round"
    spool.finish()
    assert kept() == [b"0", b"newer", b"3", b"5", b"6", b"7"] and spool.flush_in() is None


def test_after_a_crash_an_update_that_no_server_has_is_the_last_word(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"a"), ("b", START, 1.0, b"b")], [])
    spool.write([("a", INTERIM, 2.0, b"waits"), ("b", INTERIM, 2.0, b"sent")], [])
    starts = spool.order.take(9)
    spool.write([], starts)
    spool.write([], [record.id for record in spool.read(spool.order.take(9)) if record.session == "b"])
    spool.close()
    again, _ = opened(tmp_path / "q")
    assert unfinished(again) == [("a", b"waits"), ("b", b"b")]


def test_refused_records_are_put_aside_and_their_sessions_go_on(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([("a", START, 1.0, b"bad"), ("a", STOP, 2.0, b"stop"), ("b", START, 3.0, b"b")], [])
    spool.hold([("c", START, 4.0, b"bad too")], [])
    first, second, third = spool.order.take(9)
    spool.hold([], [], [first])
    assert spool.refused == 0 and spool.order.take(9) == [], "the disk has to know it first"
    spool.write([], [second], [third])
    assert (spool.refused, payloads(spool)) == (2, [b"stop"])
    rows = spool._database.execute("SELECT session, kind, event_time, payload FROM refused ORDER BY id").fetchall()
    assert rows == [("a", START, 1.0, b"bad"), ("c", START, 4.0, b"bad too")]
    spool.close()
    again, _ = opened(tmp_path / "q")
    assert again.refused == 2 and len(again.order) == 0


def test_wrong_types_among_what_is_open_are_damage(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool._database.execute("INSERT INTO unfinished VALUES ('a', 1.0, 'text')")
    spool.close()
    _, lines = opened(tmp_path / "q")
    assert len(lines) == 1 and "wrong type" in lines[0]


def test_many_records_are_few_statements_and_are_the_same_read_from_memory_and_from_the_file(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    statements: list[str] = []
    spool._database.set_trace_callback(statements.append)
    count = 2 * ROWS_AT_ONCE + 3
    spool.write([(f"s{n}", START, float(n), b"%d" % n) for n in range(count)], [])
    spool._database.set_trace_callback(None)
    assert len(statements) == 2 + 2 * 3
    taken = spool.order.take(count)
    remembered = spool.read(taken)
    assert len(remembered) == count
    spool.write([], taken[::2], taken[1:3])
    spool.close()
    again, _ = opened(tmp_path / "q")
    left = again.order.take(count)
    assert again.read(left) == [one for one in remembered if one.id in taken[1::2] and one.id != taken[1]]
    assert (again.refused, len(again.unfinished("", count))) == (2, count)


def test_the_latest_records_alone_are_kept_in_memory(tmp_path: Path):
    spool, _ = opened(tmp_path / "q")
    spool.write([(f"s{n}", START, float(n), b"%d" % n) for n in range(FRESH + 10)], [])
    assert len(spool._fresh) == FRESH and 1 not in spool._fresh
    taken = spool.order.take(FRESH + 10)
    assert [record.payload for record in spool.read(taken)] == [b"%d" % n for n in range(FRESH + 10)]
    spool.write([], taken)
    assert not spool._fresh
