"""The accounting queue in the reactor: durable Deferreds, senders, full disks, kill -9."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, globalLogPublisher

from prol2tp.spool.file import SpoolFile
from prol2tp.spool.order import INTERIM, START, STOP
from prol2tp.spool.queue import AccountingQueue, QueueFailed

ROOT = Path(__file__).parents[2]
KILLS = 12


@pytest.fixture
def lines():
    """What the queue logs."""
    found: list[str] = []

    def observer(event: Any) -> None:
        if event.get("log_namespace") == "accounting" and event["log_level"] >= LogLevel.warn:
            found.append(event.get("text", str(event)))

    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


def bounded(deferred: Deferred[Any]) -> Deferred[Any]:
    return deferred.addTimeout(20, reactor)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("never")


def ensured(function):
    return pytest_twisted.ensureDeferred(function)


async def drained(queue: AccountingQueue) -> list[bytes]:
    found = []
    while records := await bounded(queue.take(100)):
        found += [record.payload for record in records]
        await bounded(queue.acknowledge(record.id for record in records))
    return found


@ensured
async def test_what_was_appended_is_given_in_order_and_is_gone_when_acknowledged(tmp_path):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    first = queue.append("a", START, b"start", 10.0)
    queue.append("b", START, b"other", 11.0)
    await bounded(queue.append("a", STOP, b"stop", 12.0))
    assert first.called
    status = queue.status
    assert (status.depth, status.ready, status.oldest_event_time, status.appended) == (3, 2, 10.0, 3)
    records = await bounded(queue.take(10))
    assert [record.payload for record in records] == [b"start", b"other"]
    assert b"start" not in repr(records[0]).encode()
    assert await bounded(queue.take(10)) == []
    queue.release([records[1].id])
    await bounded(queue.acknowledge([records[0].id]))
    assert await drained(queue) == [b"other", b"stop"]
    status = queue.status
    assert (status.depth, status.taken, status.oldest_event_time, status.acknowledged) == (0, 0, None, 3)
    await bounded(queue.stop())


@ensured
async def test_refused_records_go_aside_and_open_sessions_are_known_by_pages(tmp_path):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    early = queue.unfinished("", 5)
    await bounded(queue.start())
    assert await bounded(early) == []
    queue.append("a", START, b"bad", 1.0)
    queue.append("b", START, b"b", 2.0)
    await bounded(queue.append("a", INTERIM, b"good", 3.0))
    records = await bounded(queue.take(10))
    await bounded(queue.refuse([records[0].id]))
    queue.release([records[1].id])
    assert (queue.status.refused, queue.status.depth) == (1, 2)
    assert sorted(await drained(queue)) == [b"b", b"good"]
    assert await bounded(queue.unfinished("", 1)) == [("a", 3.0, b"good")]
    assert await bounded(queue.unfinished("a", 5)) == [("b", 2.0, b"b")]
    await bounded(queue.stop())
    for late in (queue.refuse([1]), queue.unfinished("", 5)):
        with pytest.raises(QueueFailed):
            await bounded(late)


@ensured
async def test_updates_reach_the_table_of_open_sessions_without_being_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("prol2tp.spool.file.FLUSH_AFTER", 0.05)
    monkeypatch.setattr("prol2tp.spool.file.FLUSHED_AT_ONCE", 10)
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    for number in range(95):
        queue.append(f"s{number}", START, b"start", 1.0)
        queue.append(f"s{number}", INTERIM, b"update", 2.0)
    await until(lambda: queue.status.depth == 190 and queue._file.flush_in() is None)
    found = queue._file._database.execute("SELECT count(*) FROM unfinished WHERE payload = ?", (b"update",)).fetchone()
    assert found == (95,)
    await bounded(queue.stop())


@ensured
async def test_a_restart_replays_what_no_server_has(tmp_path):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    queue.start()
    for number in range(5000):
        queue.append(f"s{number % 1000}", INTERIM if number >= 1000 else START, b"%d" % number, 1.0)
    await bounded(queue.stop())
    ready: list[int] = []
    again = AccountingQueue(str(tmp_path / "q"), reactor, lambda: ready.append(again.status.ready))
    await bounded(again.start())
    await until(lambda: ready == [1000])
    assert again.status.depth == 2000
    found = await drained(again)
    assert found[:1000] == [b"%d" % number for number in range(1000)]
    # an Interim stands where the one it replaced stood, and which those were depends on when the thread took them
    assert sorted(found[1000:]) == [b"%d" % number for number in range(4000, 5000)]
    await bounded(again.stop())


@ensured
async def test_interims_of_one_turn_are_one_record_and_all_hear_of_it(tmp_path):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    waiting = [queue.append("a", INTERIM, b"%d" % number, number) for number in range(50)]
    await bounded(queue.append("a", STOP, b"stop", 50))
    assert all(deferred.called for deferred in waiting)
    assert (queue.status.depth, queue.status.coalesced) == (2, 49)
    assert await drained(queue) == [b"49", b"stop"]
    await bounded(queue.stop())


@ensured
async def test_a_full_disk_is_said_once_and_retried_while_sending_goes_on(tmp_path, lines, monkeypatch):
    monkeypatch.setattr("prol2tp.spool.queue.RETRY_FIRST", 0.02)
    monkeypatch.setattr("prol2tp.spool.queue.RETRY_MOST", 0.04)
    troubles: list[str] = []
    queue = AccountingQueue(str(tmp_path / "q"), reactor, on_trouble=troubles.append)
    await bounded(queue.start())
    await bounded(queue.append("a", START, b"start", 1.0))
    queue._file._database.execute("PRAGMA max_page_count=3")
    waiting = [queue.append("b", START, bytes(20000), 2.0)]
    await until(lambda: bool(queue.status.trouble))
    for number in range(100):
        waiting.append(queue.append("a", INTERIM, b"%d" % number, 3.0))
    await deferLater(reactor, 0.3)
    assert len(lines) == 1 and "full" in lines[0] and "tried again" in lines[0]
    assert not any(deferred.called for deferred in waiting)
    assert (queue.status.unsaved, queue.status.depth) == (2, 3)
    records = await bounded(queue.take(10))
    assert [record.payload for record in records] == [b"start", bytes(20000)]
    acknowledged = queue.acknowledge([records[0].id])
    queue.release([records[1].id])
    (interim,) = [one for one in await bounded(queue.take(10)) if one.kind == INTERIM]
    queue.acknowledge([interim.id])
    waiting.append(queue.append("a", STOP, b"stop", 4.0))
    queue._file._database.execute("PRAGMA max_page_count=10000")
    await bounded(waiting[-1])
    assert acknowledged.called and all(deferred.called for deferred in waiting)
    assert len(lines) == 2 and "again" in lines[1]
    assert len(troubles) == 2 and "full" in troubles[0] and troubles[1] == ""
    assert (queue.status.unsaved, queue.status.trouble) == (0, "")
    assert queue.status.depth == 2
    await bounded(queue.stop())
    again = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(again.start())
    assert await drained(again) == [bytes(20000), b"stop"]
    await bounded(again.stop())


@ensured
async def test_a_queue_that_cannot_be_had_fails_and_keeps_nobody_waiting(tmp_path):
    holder = SpoolFile(str(tmp_path / "q"), print)
    holder.open()
    for path, reason in ((tmp_path / "q", "another process has it"), (tmp_path / "missing" / "q", "No such file")):
        queue = AccountingQueue(str(path), reactor)
        early = queue.append("a", START, b"", 1.0)
        with pytest.raises(QueueFailed, match=reason):
            await bounded(queue.start())
        for deferred in (early, queue.append("a", START, b"", 1.0), queue.acknowledge([1])):
            with pytest.raises(QueueFailed):
                await bounded(deferred)
        assert await bounded(queue.take(1)) == []
        await bounded(queue.stop())
    holder.close()


@ensured
async def test_what_the_disk_did_not_take_until_the_stop_is_said(tmp_path, lines):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    queue._file._database.execute("PRAGMA max_page_count=3")
    deferred = queue.append("a", START, bytes(20000), 1.0)
    await bounded(queue.stop())
    with pytest.raises(QueueFailed, match="full"):
        await bounded(deferred)
    assert "1 records lost" in lines[-1]


@ensured
async def test_records_that_cannot_be_saved_are_refused_at_once(tmp_path):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    for kind, event_time in ((99, 1.0), (START, float("nan"))):
        with pytest.raises(ValueError):
            queue.append("a", kind, b"", event_time)
    with pytest.raises(UnicodeError):
        queue.append("\ud800", START, b"", 1.0)
    with pytest.raises(ValueError):
        queue.acknowledge(["x"])


@ensured
async def test_a_file_that_goes_bad_while_in_use_is_replaced(tmp_path, lines):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    await bounded(queue.append("a", START, b"old", 1.0))
    write = queue._file.write

    def damaged(*words: Any) -> None:  # on the queue's thread, which may be reading while others would drop the table
        queue._file.write = write  # type: ignore[method-assign]
        queue._file._database.execute("DROP TABLE record")
        write(*words)

    queue._file.write = damaged  # type: ignore[method-assign]
    await bounded(queue.append("a", STOP, b"new", 1.0))
    assert await drained(queue) == [b"new"]
    assert len(lines) == 1 and "1 records were queued" in lines[0]
    await bounded(queue.stop())


@ensured
async def test_a_file_that_cannot_be_read_for_a_while_is_read_again_without_being_asked(tmp_path, lines, monkeypatch):
    monkeypatch.setattr("prol2tp.spool.queue.RETRY_FIRST", 0.02)
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    queue._retry_after = 0.02
    await bounded(queue.start())
    await bounded(queue.append("a", START, b"start", 1.0))
    read = queue._file.read

    def failing(records: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    queue._file.read = failing  # type: ignore[method-assign]
    assert await bounded(queue.take(5)) == []
    assert len(lines) == 1 and "disk I/O error" in lines[0]
    found: list[Any] = []
    queue.on_ready = lambda: queue.take(5).addCallback(found.extend)
    await deferLater(reactor, 0.1)
    assert not found and len(lines) == 1
    queue._file.read = read  # type: ignore[method-assign]
    await until(lambda: bool(found))
    queue.on_ready = None
    await bounded(queue.stop())


@ensured
async def test_a_fault_of_ours_in_the_thread_leaves_nobody_waiting(tmp_path, lines):
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    queue._file.write = None  # type: ignore[assignment]
    for deferred in (queue.append("a", START, b"", 1.0), queue.append("a", STOP, b"", 1.0)):
        with pytest.raises(QueueFailed, match="NoneType"):
            await bounded(deferred)
    with pytest.raises(QueueFailed):
        await bounded(queue.append("a", START, b"", 1.0))
    await bounded(queue.stop())
    assert "2 records lost" in lines[-1]


@pytest.mark.root
@ensured
async def test_a_disk_that_is_really_full_loses_nothing(tmp_path, lines):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", f"p2t{os.getpid()}", str(disk)], check=True)
    try:
        queue = AccountingQueue(str(disk / "q"), reactor)
        await bounded(queue.start())
        (disk / "other").write_bytes(bytes(256 * 1024))
        waiting = [queue.append(f"s{number}", START, b"%d" % number * 100, 1.0) for number in range(400)]
        for number in range(1000, 1020):
            waiting.append(queue.append("big", STOP, b"%d" % number + bytes(9000), 1.0))
        await until(lambda: bool(queue.status.trouble))
        assert len(lines) == 1 and "full" in lines[0]
        (disk / "other").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        for deferred in waiting:
            await bounded(deferred)
        assert len(await drained(queue)) == 420
        await bounded(queue.stop())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def run_and_kill(path: Path, run: int, chance: random.Random) -> list[tuple[str, ...]]:
    """What a queue said before SIGKILL came: while it opened the file, or later."""
    early = run % 4 == 3
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "spool_child.py"), str(path), f"r{run}"],
        stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    told = b"" if early else child.stdout.readline()
    killer = time.monotonic() + (chance.uniform(0.3, 0.8) if early else chance.uniform(0.0, 0.3))
    os.set_blocking(child.stdout.fileno(), False)
    while (left := killer - time.monotonic()) > 0:
        told += child.stdout.read() or b""
        time.sleep(min(left, 0.01))
    child.send_signal(signal.SIGKILL)
    child.wait()
    os.set_blocking(child.stdout.fileno(), True)
    told += child.stdout.read()
    child.stdout.close()
    return [tuple(line.split()) for line in told.decode().splitlines() if line.count(" ") == 3]


@ensured
async def test_kill_9_at_any_moment_loses_nothing_durable_and_keeps_the_order(tmp_path, lines):
    chance = random.Random(3)
    said: list[tuple[str, ...]] = []
    for run in range(KILLS):
        said += run_and_kill(tmp_path / "q", run, chance)
    queue = AccountingQueue(str(tmp_path / "q"), reactor)
    await bounded(queue.start())
    said += [("sent", *payload.decode().split()) for payload in await drained(queue)]
    opened = {session for session, _, _ in await bounded(queue.unfinished("", 100_000))}
    await bounded(queue.stop())
    assert lines == []
    saved: dict[str, set[tuple[int, int]]] = {}
    given: dict[str, list[tuple[int, int]]] = {}
    for word, session, sequence, kind in said:
        mark = (int(sequence), int(kind))
        if word == "saved":
            saved.setdefault(session, set()).add(mark)
        elif mark not in given.setdefault(session, []):
            given[session].append(mark)
    assert sum(map(len, saved.values())) > 500
    for session, marks in saved.items():
        got = given[session]
        assert got == sorted(got), "out of order"
        newest = max((mark for mark in got if mark[1] == INTERIM), default=(-1, 0))
        # a Stop may be on the disk although it was killed before it could say so
        assert (session in opened) == (STOP not in {kind for _, kind in got})
        for mark in marks:
            assert mark in got or (mark[1] == INTERIM and mark < newest), (session, mark)
