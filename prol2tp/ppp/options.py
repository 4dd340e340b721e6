"""Configuration Options: type(1) length(1) data, one after the other (RFC 1661 section 6).

Each protocol has one table of the options that it knows; all others are answered with Configure-Reject.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from prol2tp.common.wire import WireError


class Option(NamedTuple):
    """One row: what a Configuration Option is called, how long it is and what holds without it."""

    type: int
    name: str
    """The RFC's name."""
    flag: str
    """pppd's word for it in status output; '' where it has a word per value."""
    format: str
    """How a trace shows the data: 'number', 'hex', 'address', 'flag', 'octets'."""
    length: int
    """Octets of data."""
    more: bool
    """Whether data may be longer than `length`."""
    default: bytes
    """What holds when the option is not negotiated; '' where nothing does."""

    def fits(self, data: bytes) -> bool:
        return len(data) == self.length or (self.more and len(data) > self.length)


Table = dict[int, Option]


def table(*rows: tuple[int, str, str, str, int, bool, bytes]) -> Table:
    return {row[0]: Option(*row) for row in rows}


def read(data: bytes) -> list[tuple[int, bytes]]:
    """The options in order. Raises `WireError` when a length is below 2 or runs past the end."""
    options = []
    position = 0
    end = len(data)
    while position < end:
        if position + 2 > end:
            raise WireError("option without a length")
        length = data[position + 1]
        if length < 2 or position + length > end:
            raise WireError(f"option {data[position]} of length {length}, {end - position} octets left")
        options.append((data[position], data[position + 2 : position + length]))
        position += length
    return options


def write(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join([bytes((kind, len(data) + 2)) + data for kind, data in options])


def flags(rows: Table, kinds: Iterable[int]) -> tuple[str, ...]:
    """pppd's words for these options, in the order given."""
    return tuple(rows[kind].flag for kind in kinds if kind in rows and rows[kind].flag)


def describe(rows: Table, data: bytes) -> str:
    """Options as text for a trace: `<MRU 1492> <Magic-Number 0x1234abcd>`. Never raises."""
    try:
        options = read(data)
    except WireError as error:
        return f"<bad options: {error}>"
    return " ".join(f"<{_describe_one(rows.get(kind), kind, value)}>" for kind, value in options)


def _describe_one(option: Option | None, kind: int, data: bytes) -> str:
    if option is None:
        return f"option {kind} {data.hex()}".rstrip()
    if option.format == "address" and len(data) == 4:
        shown = "{}.{}.{}.{}".format(*data)
    elif option.format == "number":
        shown = str(int.from_bytes(data, "big"))
    elif option.format == "hex":
        shown = "0x" + data.hex()
    else:
        shown = data.hex()
    return f"{option.name} {shown}".rstrip()
