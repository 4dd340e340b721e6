"""Links by what names a session (RFC 5176 section 3), each attribute with a table of its own.

A look-up costs what the rarest of the given values has links, and nothing that grows with the number of others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from prol2tp.daemons.propppd.accounting_records import addresses_of
from prol2tp.daemons.propppd.radius import port_of
from prol2tp.radius.dynauth import Identification

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink

FIELDS = (
    "user_name", "acct_session_id", "framed_ip_address", "framed_interface_id", "framed_ipv6_prefix",
    "framed_ipv6_address", "delegated_ipv6_prefix", "called_station_id", "calling_station_id", "nas_port",
    "nas_port_id", "chargeable_user_identity", "acct_multi_session_id",
)
"""Of `Identification`. Links have no Acct-Multi-Session-Id: a request with one fits none."""
_NOT_GIVEN = ("", b"", None)
_NONE: tuple[Hashable, ...] = ()

Names = tuple[tuple[Hashable, ...], ...]
"""The values that a link has of each of `FIELDS`."""


class SessionIndex:
    """:param session_id: the Acct-Session-Id of a link."""

    __slots__ = ("_session_id", "_tables", "_names")

    def __init__(self, session_id: Callable[[Any], str]) -> None:
        self._session_id = session_id
        self._tables: tuple[dict[Hashable, Any], ...] = tuple({} for _ in FIELDS)
        """Of each field value -> a link, or a dict of links as its keys where there are several."""
        self._names: dict[PPPLink, Names] = {}

    def __len__(self) -> int:
        return len(self._names)

    def put(self, link: PPPLink) -> None:
        """The link is there, or its names have changed."""
        names = self._names_of(link)
        before = self._names.get(link)
        if names == before:
            return
        self.drop(link)
        self._names[link] = names
        for table, values in zip(self._tables, names, strict=True):
            for value in values:
                _add(table, value, link)

    def drop(self, link: PPPLink) -> None:
        names = self._names.pop(link, None)
        if names is None:
            return
        for table, values in zip(self._tables, names, strict=True):
            for value in values:
                _remove(table, value, link)

    def clear(self) -> None:
        self._names.clear()
        for table in self._tables:
            table.clear()

    def find(self, session: Identification) -> list[PPPLink]:
        """All links that have all the values given, in the order in which they were made."""
        found: list[Any] = []
        for name, table in zip(FIELDS, self._tables, strict=True):
            value = getattr(session, name)
            if value not in _NOT_GIVEN:
                links = table.get(value)
                if links is None:
                    return []
                found.append(links if type(links) is dict else {links: None})
        if not found:
            return []
        found.sort(key=len)
        rarest, others = found[0], found[1:]
        return sorted((link for link in rarest if all(link in other for other in others)),
                      key=lambda link: link.number)

    def _names_of(self, link: PPPLink) -> Names:
        port, authorization, has = port_of(link), link.authorization, addresses_of(link)
        address = has.ip_address or (link.lease.text if link.lease is not None else "")
        return (
            _one(link.user), _one(self._session_id(link)), _one(address), _one(has.interface_id),
            _both(authorization.ipv6_prefixes, has.ipv6_prefixes),
            _both(authorization.ipv6_addresses, has.ipv6_addresses),
            _both(authorization.delegated_prefixes, has.delegated_ipv6_prefixes),
            _one(port.called_station_id), _one(port.calling_station_id), _one(port.nas_port),
            _one(port.nas_port_id), _one(authorization.chargeable_user_identity), _NONE,
        )


def _both(granted: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """What the user was granted, leased or not, and what he has got out of pools."""
    if not granted or granted == given:
        return given
    return tuple(dict.fromkeys(granted + given))


def _one(value: Any) -> tuple[Hashable, ...]:
    return (value,) if value else _NONE


def _add(table: dict[Hashable, Any], value: Hashable, link: PPPLink) -> None:
    there = table.get(value)
    if there is None:
        table[value] = link
    elif type(there) is dict:
        there[link] = None
    else:
        table[value] = {there: None, link: None}


def _remove(table: dict[Hashable, Any], value: Hashable, link: PPPLink) -> None:
    there = table.get(value)
    if there is link:
        del table[value]
    elif type(there) is dict:
        there.pop(link, None)
        if not there:
            del table[value]
