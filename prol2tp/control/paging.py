"""Pages of long lists: opaque cursors that stay good while rows come and go, and pages that fit into an AMP value."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from prol2tp.control.command import MAX_VALUE, Invalid, Rows, write_row

DEFAULT_LIMIT = 500
MAX_LIMIT = 5000


class Roll:
    """Keys in the order in which they came, each with a serial number that is never used again.

    A cursor is the serial number of the last key of a page, so a page costs its own length whatever came or went, and
    no state is kept for a reader. Adding and discarding cost O(log n); the holes of discarded keys are closed when they
    are more than half.
    """

    __slots__ = ("_serials", "_keys", "_serial_of", "_next")

    def __init__(self, keys: Iterable[Hashable] = ()) -> None:
        self._serials: list[int] = []
        self._keys: list[Any] = []
        self._serial_of: dict[Hashable, int] = {}
        self._next = 1
        for key in keys:
            self.add(key)

    def __len__(self) -> int:
        return len(self._serial_of)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._serial_of

    def __iter__(self) -> Iterator[Any]:
        return (key for _, key in self.after(0))

    def add(self, key: Hashable) -> None:
        """Put a key (not None) at the end; nothing happens when it is there already."""
        if key in self._serial_of:
            return
        self._serial_of[key] = self._next
        self._serials.append(self._next)
        self._keys.append(key)
        self._next += 1

    def discard(self, key: Hashable) -> None:
        """Take a key out, if it is there."""
        serial = self._serial_of.pop(key, None)
        if serial is None:
            return
        self._keys[bisect_left(self._serials, serial)] = None
        if len(self._keys) > 64 and len(self._keys) > 2 * len(self._serial_of):
            live = [(s, k) for s, k in zip(self._serials, self._keys, strict=True) if k is not None]
            self._serials = [s for s, _ in live]
            self._keys = [k for _, k in live]

    def after(self, serial: int) -> Iterator[tuple[int, Any]]:
        """(serial, key) of the keys after that serial number. The roll must not change meanwhile."""
        keys, serials = self._keys, self._serials
        for position in range(bisect_right(serials, serial), len(keys)):
            key = keys[position]
            if key is not None:
                yield serials[position], key


def _by_key(mapping: Mapping[int, Any] | Iterable[int], last: int, limit: int) -> Iterator[tuple[int, int]]:
    # one more than the page, to know whether this is the last
    keys = heapq.nsmallest(limit + 1, (key for key in mapping if key > last))
    return zip(keys, keys, strict=True)


def _number(cursor: str | None, floor: int) -> int:
    if not cursor:
        return floor
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 20:
        raise Invalid("cursor: not one of ours")
    return int(cursor)


def page(
    keys: Roll | Mapping[int, Any],
    cursor: str | None,
    limit: int | None,
    row: Callable[[Any], dict[str, Any] | None],
    room: int = MAX_VALUE,
) -> dict[str, Any]:
    """One page as the response of a list command: `{"rows": ..., "cursor": ...}`.

    `keys` is a `Roll`, or a mapping with integer keys from 0 up (then pages go by key, and each costs a walk over all
    keys: for small mappings). `row(key)` gives the record, or None for a key that is not to be listed. Raises `Invalid`
    for a bad cursor or limit.
    """
    if limit is None:
        limit = DEFAULT_LIMIT
    if not 0 < limit <= MAX_LIMIT:
        raise Invalid(f"limit: must be 1 to {MAX_LIMIT}")
    if isinstance(keys, Roll):
        entries: Iterator[tuple[int, Any]] = keys.after(_number(cursor, 0))
    else:
        entries = _by_key(keys, _number(cursor, -1), limit)
    rows: Rows = Rows()
    texts: list[bytes] = []
    room -= 2
    last = 0
    more = ""
    for walked, (serial, key) in enumerate(entries):
        if walked >= limit:
            more = str(last)
            break
        record = row(key)
        if record is not None:
            text = write_row(record)
            if len(text) + 1 > room:
                if not rows:
                    raise ValueError(f"a row of {len(text)} bytes does not fit into a page")
                more = str(last)
                break
            room -= len(text) + 1
            rows.append(record)
            texts.append(text)
        last = serial
    rows.encoded = b"[" + b",".join(texts) + b"]"
    return {"rows": rows, "cursor": more}


def texts_page(cursor: str | None, limit: int | None,
               read: Callable[[int, int, int], tuple[list[bytes], int]]) -> dict[str, Any]:
    """One page of rows that are JSON already. `read(before, most, room)` gives them, and where to go on, 0 at the end.
    Raises `Invalid` for a bad cursor or limit."""
    if limit is None:
        limit = DEFAULT_LIMIT
    if not 0 < limit <= MAX_LIMIT:
        raise Invalid(f"limit: must be 1 to {MAX_LIMIT}")
    texts, following = read(_number(cursor, 0), limit, MAX_VALUE - 2)
    rows: Rows = Rows()
    rows.encoded = b"[" + b",".join(texts) + b"]"
    return {"rows": rows, "cursor": str(following) if following else ""}


def batches(rows: Iterable[Any], room: int = MAX_VALUE) -> Iterator[Rows]:
    """Rows of a command cut into lists that each fit into one value. ValueError for a row that does not fit alone."""
    batch: Rows = Rows()
    texts: list[bytes] = []
    left = room - 2
    for row in rows:
        text = write_row(row)
        if len(text) + 1 > room - 2:
            raise ValueError(f"a row of {len(text)} bytes does not fit into a value")
        if len(text) + 1 > left:
            batch.encoded = b"[" + b",".join(texts) + b"]"
            yield batch
            batch, texts, left = Rows(), [], room - 2
        batch.append(row)
        texts.append(text)
        left -= len(text) + 1
    if batch:
        batch.encoded = b"[" + b",".join(texts) + b"]"
        yield batch
