"""Whether a value has the shape of its record: for the tests of whoever makes records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prol2tp.control.command import Record

_PLAIN = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "address": lambda value: isinstance(value, str) and value.rpartition(":")[2].isdigit(),
    "words": lambda value: isinstance(value, list | tuple) and all(isinstance(word, str) for word in value),
    "json": lambda value: True,
}


def problems(value: Any, record: Record, records: Mapping[str, Record]) -> list[str]:
    """What is wrong with `value` as that record; empty: nothing. `records`: where inner records are found."""
    if not isinstance(value, dict):
        return [f"{record.name}: is no object"]
    names = {field.name for field in record.fields}
    found = [f"{record.name}: {name} is not part of it" for name in value if name not in names]
    for field in record.fields:
        place = f"{record.name}: {field.name}"
        type = field.type.removesuffix("?")
        if field.name not in value:
            found.append(f"{place} is missing")
        elif value[field.name] is None:
            if type == field.type and type != "json":
                found.append(f"{place} is null")
        elif type not in _PLAIN:
            found += [f"{place}: {text}" for text in problems(value[field.name], records[type], records)]
        elif not _PLAIN[type](value[field.name]):
            found.append(f"{place} is no {type}: {value[field.name]!r}")
    return found
