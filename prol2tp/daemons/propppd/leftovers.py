"""What is set outside of interfaces, and stays when the daemon dies: written down beforehand, so that the next one can
take it away.

The file in the run directory is a journal of lines `+ENTRY` and `-ENTRY`, each entry a list in JSON; it is written anew
when most of it is out of date.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from prol2tp.config.network import NftSet
from prol2tp.daemons.logs import Log
from prol2tp.daemons.propppd.steps import soft
from prol2tp.dataplane.nftables import Element

FILE = "propppd.outside"
RULE, PROXY, HOST_ROUTE, ELEMENT = "rule", "proxy-arp", "host-route", "element"
SPARE = 1000
"""Lines that may be out of date, beside as many as count."""


class Leftovers:
    """The journal. Without `open` it is not kept."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._path = ""
        self._file = -1
        self._lines: dict[bytes, int] = {}
        """Entries that count, and how often each was put."""
        self._written = 0

    def open(self, run_dir: str) -> list[list[Any]]:
        """Start a new journal. -> entries of the one before, whose daemon has died."""
        self._path = os.path.join(run_dir, FILE)
        left = list(read(self._path))
        self._rewrite()
        return left

    def close(self) -> None:
        """A journal without entries is removed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if not self._lines:
                os.unlink(self._path)

    def put(self, *entry: Any) -> None:
        """About to be set. Several may set the same."""
        line = _line(entry)
        count = self._lines.get(line, 0)
        self._lines[line] = count + 1
        if not count:
            self._write(b"+" + line)

    def done(self, *entry: Any) -> None:
        """Taken away by one who has put it."""
        line = _line(entry)
        count = self._lines.get(line, 0)
        if count > 1:
            self._lines[line] = count - 1
        elif count:
            del self._lines[line]
            self._write(b"-" + line)

    def _write(self, line: bytes) -> None:
        if self._file < 0:
            return
        if self._written > 2 * len(self._lines) + SPARE:
            self._rewrite()
            return
        try:
            os.write(self._file, line)
            self._written += 1
        except OSError as error:
            self._lost(error)

    def _rewrite(self) -> None:
        new = self._path + ".new"
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with open(os.dup(file), "wb") as whole:
                whole.writelines(b"+" + line for line in self._lines)
            os.replace(new, self._path)
        except OSError as error:
            self._lost(error)
            return
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._written = len(self._lines)

    def _lost(self, error: OSError) -> None:
        self._log.error("{path}: {error}: what is set outside of interfaces would stay after a crash",
                        path=self._path, error=error.strerror)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _line(entry: tuple[Any, ...]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def read(path: str) -> Iterator[list[Any]]:
    """Entries of a journal that count. Its last line may be cut off."""
    lines: dict[bytes, None] = {}
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(b"+"):
                    lines[line[1:]] = None
                elif line.startswith(b"-"):
                    lines.pop(line[1:], None)
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, list) and entry and isinstance(entry[0], str) and entry[0] in _UNDO:
            yield entry


def _element(network: Any, sets: Any, family: str, table: str, name: str, key: str, end: str) -> Deferred[Any]:
    return sets.delete(NftSet(family, table, name), Element(bytes.fromhex(key), bytes.fromhex(end)))


_UNDO: dict[str, Callable[..., Deferred[Any]]] = {
    RULE: lambda network, sets, device, table, ipv6, defaults: network.rule_delete(device, table, ipv6, defaults),
    PROXY: lambda network, sets, address, ifindex: network.proxy_arp_delete(address, ifindex),
    HOST_ROUTE: lambda network, sets, prefix, ifindex, via: network.route_delete(prefix, ifindex, via),
    ELEMENT: _element,
}


def undo(entries: list[list[Any]], network: Any, sets: Any, log: Log) -> Deferred[Any]:
    """Take away what a daemon left; what is gone already is passed over."""
    steps = []
    for kind, *arguments in entries:
        try:
            steps.append(soft(_UNDO[kind](network, sets, *arguments)))
        except (TypeError, ValueError, KeyError):
            log.warning("{file}: an entry cannot be read: {kind}", file=FILE, kind=kind)
    if steps:
        log.notice("{count} settings of a daemon that died are taken away", count=len(steps))
    return DeferredList(steps)
