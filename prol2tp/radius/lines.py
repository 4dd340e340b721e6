"""What is known of a subscriber's line (TR-101, RFC 4679), as attributes of requests. Both give the values the same
numbers, which makes the table short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prol2tp.radius.dictionary import ATTRIBUTES, BY_KEY, Key
from prol2tp.radius.values import LARGEST_VENDOR

DSL_FORUM = 3561
CIRCUIT_ID, REMOTE_ID = ATTRIBUTES["Agent-Circuit-Id"].key, ATTRIBUTES["Agent-Remote-Id"].key
ENCAPSULATION = ATTRIBUTES["Access-Loop-Encapsulation"].key
NUMBERS: dict[int, Key] = {
    row.key[1]: row.key
    for row in BY_KEY.values() if isinstance(row.key, tuple) and row.key[0] == DSL_FORUM and row.type == "integer"
}
"""By the number of the sub-tag of PPPoE (RFC 4679 section 3.3)."""
LARGEST_NUMBER = 0xFFFFFFFF


def line_attributes(record: Mapping[str, Any] | None) -> tuple[tuple[Key, bytes], ...]:
    """For `Port.line`. What the record says badly, and what has no attribute, is left out.

    :param record: a line record, as daemons give it each other: `circuit_id`, `remote_id` and `encapsulation` as
        hexadecimal text, `numbers` by sub-tag; None: nothing is known.
    """
    if not record:
        return ()
    found: list[tuple[Key, bytes]] = []
    for key, name in ((CIRCUIT_ID, "circuit_id"), (REMOTE_ID, "remote_id")):
        octets = _octets(record.get(name))
        if octets:
            found.append((key, octets[:LARGEST_VENDOR]))
    numbers = record.get("numbers")
    if isinstance(numbers, Mapping):
        for kind, number in numbers.items():
            row = NUMBERS.get(int(kind)) if str(kind).isdecimal() and len(str(kind)) <= 3 else None
            if row is not None and type(number) is int and 0 <= number <= LARGEST_NUMBER:
                found.append((row, number.to_bytes(4, "big")))
    encapsulation = _octets(record.get("encapsulation"))
    if len(encapsulation) == 3:
        found.append((ENCAPSULATION, encapsulation))
    return tuple(found)


def _octets(text: Any) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
