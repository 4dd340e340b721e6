"""The quick way to read control messages: those of one peer are alike, AVP by AVP, and only their values differ.

A shape is the row of AVP headers of a body that was read the long way (`avp.read_avps`). The next body with the same
headers is taken apart by one `struct`, and nothing else is asked of them. What is unusual has no shape, or does not fit
it: hidden AVPs, doubles, values that are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from struct import Struct
from struct import error as struct_error
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.l2tp.avp import HEADER, HEADER_LENGTH, HIDDEN, LENGTH, RANDOM_VECTOR, Recognized
from prol2tp.l2tp.avptable import AVP, DIGEST, PLAIN

MOST = 256
"""Kinds and lengths of body for which shapes are known; then all is forgotten and learned anew."""
ALIKE = 4
"""Shapes of one kind and length."""
LEARN_EVERY = 8
"""Of so many bodies that were read the long way one is learned: for a peer that never repeats itself it is in vain."""

_PREFIX = 8
"""Octets of the Message Type AVP."""

Key = tuple[int, bytes]


class Shape:
    """How to read a body. `avps`: its AVPs in their order, None for one that is not recognized and may be left out.

    :param names: the fields of `message`; `flags` those that are False where they are absent, `nonzero` places of those
        that may not be 0.
    """

    __slots__ = ("_message", "_nonzero", "_unpack", "_headers", "_reads", "_rest", "_pick")

    def __init__(self, message: Callable[..., Any], names: tuple[str, ...], flags: tuple[str, ...],
                 nonzero: tuple[int, ...], headers: tuple[bytes, ...], avps: list[AVP | None]) -> None:
        self._message = message
        self._nonzero = nonzero
        self._headers = headers
        self._reads: list[tuple[int, Callable[[bytes], Any]]] = []
        octets, places = [f"!{_PREFIX}s0s"], {}
        for at, (header, avp) in enumerate(zip(headers[1:], avps, strict=True), 1):
            length = (HEADER.unpack(header)[0] & LENGTH) - HEADER_LENGTH
            octet = f"{length}s"
            if avp is not None and avp.format is not None:
                places[avp.field] = at * 2 + 1
                fixed = avp.format.fixed
                if avp.format is DIGEST and length:
                    pass  # was checked before this, and is no field of any message
                elif fixed is not None and fixed.size == length and avp.format in PLAIN:
                    octet = fixed.format[1:]
                else:
                    self._reads.append((at * 2 + 1, avp.format.read))
            octets.append(f"{HEADER_LENGTH}s{octet}")
        self._unpack = Struct("".join(octets)).unpack
        # what is absent stands behind what is there
        absent = [name for name in names if name not in places]
        self._rest = [False if name in flags else None for name in absent]
        places |= {name: 2 * len(headers) + at for at, name in enumerate(absent)}
        chosen = [places[name] for name in names]
        self._pick: Callable[[Any], tuple[Any, ...]] = (
            itemgetter(*chosen) if len(chosen) > 1 else lambda row: tuple(row[at] for at in chosen))

    def read(self, body: bytes) -> Any:
        """The message; None where another shape or the long way is needed."""
        values = self._unpack(body)
        if values[::2] != self._headers:
            return None
        row = [*values, *self._rest]
        try:
            for at, read in self._reads:
                row[at] = read(row[at])
        except (WireError, struct_error):
            return None
        arguments = self._pick(row)
        for place in self._nonzero:
            if not arguments[place]:
                return None
        return self._message(*arguments)


class Shapes:
    """Those that one codec has met."""

    __slots__ = ("_known", "_missed")

    def __init__(self) -> None:
        self._known: dict[Key, list[Shape]] = {}
        self._missed = 0

    def read(self, body: bytes) -> Any:
        """The message in the body, None where the long way must be gone."""
        for shape in self._known.get((len(body), body[6:_PREFIX]), ()):
            message = shape.read(body)
            if message is not None:
                return message
        return None

    def learn(self, body: bytes, layout: Any, by_field: dict[str, AVP], known: Recognized) -> None:
        """A body of this layout was read the long way."""
        self._missed += 1
        if self._missed % LEARN_EVERY:
            return
        headers, avps = [body[:_PREFIX]], []
        position = _PREFIX
        while position < len(body):
            header = body[position:position + HEADER_LENGTH]
            bits, vendor, attribute = HEADER.unpack(header)
            position += bits & LENGTH
            row = None if bits & known.reserved else known.vendors.get((vendor, attribute))
            avp = None if row is None else by_field[row[0]]
            if bits & HIDDEN or attribute == RANDOM_VECTOR or avp is not None and avp in avps:
                return
            headers.append(header)
            avps.append(avp)
        if len(self._known) >= MOST:
            self._known.clear()
        alike = self._known.setdefault((len(body), body[6:_PREFIX]), [])
        if len(alike) < ALIKE:
            alike.append(Shape(layout.message, layout.names, layout.flags, layout.nonzero, tuple(headers), avps))
