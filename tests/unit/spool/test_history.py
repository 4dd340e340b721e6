"""The history of what has ended: bounded, found by its keys, and there after a restart."""

import json
import os

import pytest
from twisted.internet.task import Clock

from prol2tp.spool import history as module
from prol2tp.spool.history import History


@pytest.fixture
def made(tmp_path):
    clock, said = Clock(), []
    histories = []

    def make(limit=100, path=tmp_path / "h.sqlite"):
        history = History(clock, said.append, limit)
        if path:
            history.open(str(path))
        histories.append(history)
        return history

    make.clock, make.said, make.path = clock, said, tmp_path / "h.sqlite"
    return make


def numbers(history, limit=1000, before=0, **match):
    texts, following = history.read(before, limit, 60_000, **match)
    return [json.loads(text)["n"] for text in texts], following


def fill(history, count, first=1):
    for n in range(first, first + count):
        history.add({"n": n}, kind="session" if n % 2 else "tunnel", tunnel=n % 5, session=n, peer=f"192.0.2.{n % 3}",
                    user=f"u{n % 4}")


def test_the_newest_are_given_first_page_by_page(made):
    history = made()
    fill(history, 10)
    first, following = numbers(history, 4)
    second, following = numbers(history, 4, following)
    fill(history, 5, 11)
    third, following = numbers(history, 4, following)
    assert (first, second, third, following) == ([10, 9, 8, 7], [6, 5, 4, 3], [2, 1], 0)


@pytest.mark.parametrize(("match", "found"), [
    ({"kind": "tunnel"}, [8, 6, 4, 2]), ({"user": "u1"}, [9, 5, 1]), ({"peer": "192.0.2.0"}, [9, 6, 3]),
    ({"tunnel": 2, "session": 7}, [7]), ({"user": "nobody"}, [])])
def test_they_are_found_by_their_keys(made, match, found):
    history = made()
    fill(history, 9)
    assert numbers(history, **match) == (found, 0)


def test_what_is_older_than_the_limit_is_removed(made, monkeypatch):
    monkeypatch.setattr(module, "SLACK", 10)
    history = made(limit=50)
    fill(history, 40)
    history.flush()
    fill(history, 40, 41)
    found, _ = numbers(history)
    assert found == list(range(80, 30, -1))
    history.limit = 0
    fill(history, 5, 81)
    assert numbers(history)[0] == found


def test_records_are_written_together_and_soon(made):
    history = made()
    fill(history, 3)
    assert history._database.execute("SELECT count(*) FROM record").fetchone() == (0,)
    made.clock.advance(module.WRITE_AFTER)
    assert history._database.execute("SELECT count(*) FROM record").fetchone() == (3,)
    fill(history, module.AT_ONCE, 4)
    assert history._database.execute("SELECT count(*) FROM record").fetchone() == (3 + module.AT_ONCE,)


def test_they_are_there_after_a_restart(made):
    history = made()
    fill(history, 3)
    history.close()
    again = made()
    fill(again, 1, 4)
    assert numbers(again)[0] == [4, 3, 2, 1] and not made.clock.getDelayedCalls()[1:]
    assert os.stat(made.path).st_mode & 0o777 == 0o600


def test_a_damaged_file_is_moved_aside_and_said(made):
    made.path.write_bytes(b"nonsense" * 1000)
    history = made()
    fill(history, 2)
    assert numbers(history)[0] == [2, 1]
    assert made.said[0].startswith(f"{made.path} is damaged (file is not a database): moved to {made.path}.damaged-")


def test_a_file_that_cannot_be_opened_costs_no_more_than_the_past(made, tmp_path):
    history = made(path=tmp_path / "no" / "h.sqlite")
    fill(history, 2)
    assert numbers(history)[0] == [2, 1]
    assert made.said[0].endswith("history is kept until the daemon ends")


def test_a_disk_that_takes_nothing_is_said_once(made):
    history = made()
    history._database.close()
    for _ in range(3):
        fill(history, 1)
        made.clock.advance(module.WRITE_AFTER)
    assert len(made.said) == 1


def test_a_page_has_no_more_octets_than_there_is_room_for(made):
    history = made()
    for n in range(10):
        history.add({"n": n, "text": "x" * 100}, kind="session")
    texts, following = history.read(0, 100, 400)
    assert len(texts) == 3 and numbers(history, 100, following)[0] == [6, 5, 4, 3, 2, 1, 0]


def test_text_that_is_no_unicode_is_kept_and_found(made):
    history = made()
    history.add({"n": 1, "user": "a\udcff"}, kind="session", user="a\udcff")
    assert numbers(history, user="a\udcff")[0] == [1]
