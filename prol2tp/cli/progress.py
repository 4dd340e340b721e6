"""What a command that takes long says of itself: one line on the terminal of its errors, gone when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

PATIENCE = 1.0
"""Seconds before there is anything to see."""
INTERVAL = 0.2
"""Seconds between two lines."""


class Progress:
    """The line of one command. `stream`: where it is written, None: nowhere; `printing`: what the command prints goes
    to a terminal too, where it is progress enough once it has begun."""

    def __init__(
        self, name: str, stream: TextIO | None, printing: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._stream = stream
        self._printing = printing
        self._clock = clock
        self._start = self._last = clock()
        self._rows = 0
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def waiting(self) -> None:
        """Time goes by."""
        now = self._clock()
        if self._stream is None or now - self._start < PATIENCE or (self._width and now - self._last < INTERVAL):
            return
        what = f"{self._rows} rows" if self._rows else "waiting for the answer"
        line = f"{self._name}: {what}, {now - self._start:.0f} s"
        self._stream.write(f"\r{line:<{self._width}}")
        self._stream.flush()
        self._width, self._last = len(line), now

    def counted(self, pages: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """The same pages, counting their rows."""
        for page in pages:
            self._rows += len(page)
            if self._printing:
                self.clear()
                self._stream = None
            self.waiting()
            yield page

    def clear(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()
            self._width = 0
