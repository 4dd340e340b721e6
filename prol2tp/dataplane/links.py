"""An interface in the tables of a data path, and what may be asked of one."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from prol2tp.dataplane.interface import INVALID, DataPathError, NetifSpec
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.prefixes import PrefixTable, parse_prefix
from prol2tp.dataplane.punting import PUNTS
from prol2tp.dataplane.tun import TUN, check_name

PROTOCOLS = frozenset(("ip", "ipv6"))


class Link:
    """An interface: a port's own, or one shared by many. `tun` is None while it is being made."""

    __slots__ = ("name", "foreign", "tun", "table", "ports", "waiting", "leaving")

    def __init__(self, name: str, shared: bool, foreign: bool = False) -> None:
        self.name = name
        self.foreign = foreign
        """It is not ours: it stays when we leave it."""
        self.tun: TUN | None = None
        self.table: PrefixTable[Port] | None = PrefixTable() if shared else None
        self.ports: set[Port] = set()
        self.waiting: list[Deferred[None]] = []
        """Fired when it has been made."""
        self.leaving: list[Deferred[None]] = []
        """Fired when it is gone, where that was asked for before it was made."""


def check_netif(spec: NetifSpec) -> None:
    """Raises `DataPathError`."""
    check_name(spec.name)
    if spec.mode not in ("own", "shared", "circuit"):
        raise DataPathError(INVALID, f"interface mode {spec.mode!r} is none of own, shared and circuit")
    check_rules(spec.protocols, spec.prefixes, spec.mtu, spec.punt)


def check_rules(protocols: Iterable[str] | None, prefixes: Iterable[str] | None, mtu: int | None,
                punt: Iterable[str] | None) -> None:
    """Of a `NetifSpec`; None: not given. Raises `DataPathError`."""
    if mtu is not None and not 68 <= mtu <= 65535:
        raise DataPathError(INVALID, f"MTU {mtu} is not in 68 to 65535")
    unknown = set(protocols or ()) - PROTOCOLS
    if unknown:
        raise DataPathError(INVALID, f"unknown protocols: {', '.join(sorted(unknown))}")
    unknown = set(punt or ()).difference(PUNTS)
    if unknown:
        raise DataPathError(INVALID, f"unknown packets to punt: {', '.join(sorted(unknown))}")
    for text in prefixes or ():
        try:
            parse_prefix(text)
        except ValueError as error:
            raise DataPathError(INVALID, str(error)) from None
