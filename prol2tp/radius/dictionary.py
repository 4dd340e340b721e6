"""Attributes by name, from the dictionaries of the package (`dictionary.standard`, `dictionary.vendors`).

A key is what names an attribute in a packet: its number, or (vendor, number) within a Vendor-Specific attribute.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from pyrad.dictionary import Dictionary

FILES = ("dictionary.standard", "dictionary.vendors")

Key = int | tuple[int, int]


class Attribute(NamedTuple):
    """One line of a dictionary."""

    name: str
    key: Key
    type: str
    """The data type of RFC 2865 section 5 and RFC 3162, as dictionaries spell it."""
    tagged: bool
    """RFC 2868 section 3."""
    salted: bool
    """Encrypted with a salt: RFC 2868 section 3.5, RFC 2548 section 2.4.2."""


def _read() -> Dictionary:
    dictionary = Dictionary()
    for name in FILES:
        with (files("prol2tp.radius") / name).open() as file:
            dictionary.ReadDictionary(file)
    return dictionary


DICTIONARY = _read()


def _attribute(name: str) -> Attribute:
    row = DICTIONARY.attributes[name]
    key: Key = (DICTIONARY.vendors.GetForward(row.vendor), row.code) if row.vendor else row.code
    return Attribute(name, key, row.type, row.has_tag, row.encrypt == 2)


ATTRIBUTES: dict[str, Attribute] = {name: _attribute(name) for name in DICTIONARY.attributes}
BY_KEY: dict[Key, Attribute] = {row.key: row for row in ATTRIBUTES.values()}
VENDORS: frozenset[int] = frozenset(key[0] for key in BY_KEY if isinstance(key, tuple))


def key(name: str) -> Key:
    """The key of an attribute. Raises `KeyError` for one that no dictionary has."""
    return ATTRIBUTES[name].key


def named_values(name: str) -> dict[str, int]:
    """The names that an attribute of type integer has for its values."""
    values = DICTIONARY.attributes[name].values.forward
    return {word: int.from_bytes(octets, "big") for word, octets in values.items()}
