"""Sessions by what names them in a Disconnect-Request or CoA-Request (RFC 5176 section 3), each attribute with a table
of its own.

A look-up costs what the rarest of the given values has sessions, and nothing that grows with the number of others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from prol2tp.radius.dynauth import Identification

FIELDS = (
    "user_name", "acct_session_id", "framed_ip_address", "framed_interface_id", "framed_ipv6_prefix",
    "framed_ipv6_address", "delegated_ipv6_prefix", "called_station_id", "calling_station_id", "nas_port",
    "nas_port_id", "chargeable_user_identity", "acct_multi_session_id",
)
"""Of `Identification`."""
_NOT_GIVEN = ("", b"", None)
NONE: tuple[Hashable, ...] = ()

Names = tuple[tuple[Hashable, ...], ...]
"""The values that a session has of each of `FIELDS`."""


class SessionIndex:
    """Of links, or routes: what has a `number`.

    :param names_of: the values that a session has.
    """

    __slots__ = ("_names_of", "_tables", "_names")

    def __init__(self, names_of: Callable[[Any], Names]) -> None:
        self._names_of = names_of
        self._tables: tuple[dict[Hashable, Any], ...] = tuple({} for _ in FIELDS)
        """Of each field value -> a session, or a dict of sessions as its keys where there are several."""
        self._names: dict[Any, Names] = {}

    def __len__(self) -> int:
        return len(self._names)

    def put(self, session: Any) -> None:
        """The session is there, or its names have changed."""
        names = self._names_of(session)
        before = self._names.get(session)
        if names == before:
            return
        self.drop(session)
        self._names[session] = names
        for table, values in zip(self._tables, names, strict=True):
            for value in values:
                _add(table, value, session)

    def drop(self, session: Any) -> None:
        names = self._names.pop(session, None)
        if names is None:
            return
        for table, values in zip(self._tables, names, strict=True):
            for value in values:
                _remove(table, value, session)

    def clear(self) -> None:
        self._names.clear()
        for table in self._tables:
            table.clear()

    def find(self, session: Identification) -> list[Any]:
        """All sessions that have all the values given, by their numbers."""
        found: list[Any] = []
        for name, table in zip(FIELDS, self._tables, strict=True):
            value = getattr(session, name)
            if value not in _NOT_GIVEN:
                sessions = table.get(value)
                if sessions is None:
                    return []
                found.append(sessions if type(sessions) is dict else {sessions: None})
        if not found:
            return []
        found.sort(key=len)
        rarest, others = found[0], found[1:]
        return sorted((session for session in rarest if all(session in other for other in others)),
                      key=lambda session: session.number)


def _add(table: dict[Hashable, Any], value: Hashable, session: Any) -> None:
    there = table.get(value)
    if there is None:
        table[value] = session
    elif type(there) is dict:
        there[session] = None
    else:
        table[value] = {there: None, session: None}


def _remove(table: dict[Hashable, Any], value: Hashable, session: Any) -> None:
    there = table.get(value)
    if there is session:
        del table[value]
    elif type(there) is dict:
        there.pop(session, None)
        if not there:
            del table[value]


def one(value: Any) -> tuple[Hashable, ...]:
    """The values of a field that has one at most."""
    return (value,) if value else NONE
