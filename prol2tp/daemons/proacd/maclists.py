"""Hosts that are let in or kept out by command, beside those of the configuration; kept over a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from prol2tp.config.access import HostAddress
from prol2tp.config.problems import Wrong
from prol2tp.control.command import Invalid, NotFound, Refused
from prol2tp.control.commands.proacd import MAC_LISTS
from prol2tp.daemons.logs import Log
from prol2tp.pppoe.settings import InterfaceSettings

FILE = "proacd-macs.json"
MOST = 65536
"""Entries in all."""
_ADDRESS = HostAddress()
_NOBODY: frozenset[bytes] = frozenset()
Entry = tuple[str, str, bytes]
"""Interface ('': all), list, address."""


def read_address(text: str) -> bytes:
    """Six octets, or three for all of a vendor. Raises `Invalid`."""
    try:
        return _ADDRESS.read(text, False)
    except Wrong as error:
        raise Invalid(f"mac: {error}") from None


def host_address(text: str) -> bytes:
    """Six octets. Raises `Invalid`, or `Refused` for a vendor's three."""
    address = read_address(text)
    if len(address) != 6:
        raise Refused("give the whole address of a host")
    return address


class MacLists:
    """Entries in the order in which they came.

    :param directory: the state directory; a file there that cannot be read is logged, and left as it is until an entry
        is added.
    """

    def __init__(self, directory: str, log: Log) -> None:
        self._path = os.path.join(directory, FILE)
        self._log = log
        self._entries: dict[Entry, None] = {}
        self._load()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def _load(self) -> None:
        try:
            with open(self._path, encoding="utf-8") as file:
                rows = json.load(file)
            self._entries = {_entry(row): None for row in rows[:MOST]}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, Invalid) as error:
            self._log.error("{path}: the lists of hosts cannot be read: {why}", path=self._path, why=str(error))

    def _save(self, entries: dict[Entry, None]) -> None:
        rows = [{"interface": interface, "list": which, "mac": mac.hex(":")} for interface, which, mac in entries]
        beside = f"{self._path}.new"
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
            with open(beside, "w", encoding="utf-8", opener=_private) as file:
                json.dump(rows, file, indent=0)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except OSError as error:
            raise Refused(f"cannot write {self._path}: {os.strerror(error.errno or 0)}") from None
        self._entries = entries

    def add(self, which: str, mac: bytes, interface: str) -> None:
        """Raises `Invalid`, or `Refused` when it cannot be kept."""
        _check(which)
        if len(self._entries) >= MOST:
            raise Refused(f"there are {MOST} entries already")
        if (interface, which, mac) not in self._entries:
            self._save({**self._entries, (interface, which, mac): None})

    def remove(self, which: str, mac: bytes, interface: str) -> None:
        """Raises `Invalid`, `NotFound`, or `Refused` when that cannot be kept."""
        _check(which)
        if (interface, which, mac) not in self._entries:
            where = f"of {interface}" if interface else "of all interfaces"
            raise NotFound(f"{mac.hex(':')} is not on the list {which} {where} by command")
        self._save({entry: None for entry in self._entries if entry != (interface, which, mac)})

    def merged(self, interfaces: Mapping[str, InterfaceSettings]) -> dict[str, InterfaceSettings]:
        """Settings with these entries beside those of the configuration."""
        if not self._entries:
            return dict(interfaces)
        lists: dict[tuple[str, str], set[bytes]] = {}
        for interface, which, mac in self._entries:
            lists.setdefault((interface, which), set()).add(mac)
        named = {key: frozenset(macs) for key, macs in lists.items()}
        return {name: self._with(name, settings, named) for name, settings in interfaces.items()}

    @staticmethod
    def _with(
        name: str, settings: InterfaceSettings, named: Mapping[tuple[str, str], frozenset[bytes]]
    ) -> InterfaceSettings:
        allow = _union(settings.allow or _NOBODY, named.get((name, "allow")), named.get(("", "allow")))
        deny = _union(settings.deny, named.get((name, "deny")), named.get(("", "deny")))
        return replace(settings, allow=allow or None, deny=deny)


def _union(known: frozenset[bytes], *others: frozenset[bytes] | None) -> frozenset[bytes]:
    """Where only one of them has members it is that one itself: many interfaces share long lists."""
    sets = [one for one in (known, *others) if one]
    return sets[0] if len(sets) == 1 else _NOBODY.union(*sets)


def _check(which: str) -> None:
    if which not in MAC_LISTS:
        raise Invalid(f"list: must be {' or '.join(MAC_LISTS)}")


def _entry(row: Any) -> Entry:
    _check(row["list"])
    return str(row["interface"]), row["list"], read_address(row["mac"])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
