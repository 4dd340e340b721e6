"""Records of the control channel as text: pure functions, the layouts that operators know.

Every function takes a record of `control/commands/*.py` and gives lines without line ends. Text that a peer chose
cannot break a line: control characters are shown as `\\xNN`. Missing text is `-` in lists and details.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

JSON = dict[str, Any]
_DIRECTION = (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What ends a line or turns the direction of writing."""
_CONTROL = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    **{code: f"\\u{code:04x}" for code in _DIRECTION},
}
_CONTROL_JSON = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTION)}


def clean(text: Any) -> str:
    """Text in one line."""
    return str(text).translate(_CONTROL)


def clean_json(text: str) -> str:
    """JSON with what a terminal would obey written as escapes, which is the same JSON."""
    return text.translate(_CONTROL_JSON)


def clock(seconds: float) -> str:
    """`HH:MM:SS`, the hours as many digits as they need."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def duration(seconds: float) -> str:
    """`H:MM:SS`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def host(address: str) -> str:
    """The address of `192.0.2.1:1701` or `[2001:db8::1]:1701`."""
    return clean(address.rpartition(":")[0].strip("[]") or "-")


def number(value: float) -> str:
    """A number of seconds: an integer where it is one."""
    return f"{value:g}"


class Columns:
    """A table that grows with its rows: widths only ever get larger, so pages can be printed as they come."""

    def __init__(self, *columns: tuple[str, str, int]) -> None:
        self._names = [name for name, _, _ in columns]
        self._aligns = [align for _, align, _ in columns]
        self._widths = [width for _, _, width in columns]

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """The lines of some rows; the last column is never padded."""
        rows = list(rows)
        if rows:
            self._widths = [
                max(width, *map(len, cells)) for width, cells in zip(self._widths, zip(*rows, strict=True), strict=True)
            ]
        *padded, _ = (f"{{:{align}{width}}}" for align, width in zip(self._aligns, self._widths, strict=True))
        line = " ".join([*padded, "{}"]).format
        return [line(*row) for row in rows]

    def pages(self, pages: Iterable[Iterable[Sequence[str]]]) -> Iterator[str]:
        """Heading and lines, page by page; the heading has the widths of the first page."""
        heading: list[Sequence[str]] = [self._names]
        for page in pages:
            yield from self.lines([*heading, *page])
            heading = []
        yield from self.lines(heading)



def event(record: JSON) -> str:
    """A line of `propppctl events`: time, name, and what is known as `key=value`, without what is empty."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["time"]))
    words = [f"{clean(key)}={_word(value)}" for key, value in record["data"].items() if value not in ("", None)]
    return " ".join([at, clean(record["event"]), *words])


def _word(value: Any) -> str:
    """In quotes where it would not be one word; what is in them cannot end them."""
    text = clean(value)
    return '"' + text.replace('"', r"\x22") + '"' if " " in text or '"' in text else text
