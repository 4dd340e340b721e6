"""Elements of the operator's nftables sets: which users are in which set, for rules of his own.

`ISets` is the contract, `LinuxSets` the real one over netlink (linux/netfilter/nf_tables.h), `MemorySets` the one for
tests. Everything fails with `net.netlink.NetlinkError`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from struct import Struct
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import Interface, implementer

from prol2tp.config.network import NftSet
from prol2tp.net.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkError
from prol2tp.net.rtnetlink import attribute, attributes

IPV4_ADDR, IPV6_ADDR, IFNAME = 7, 8, 41
"""Types of a set's key that users can be told apart by."""
USABLE = (IPV4_ADDR, IPV6_ADDR, IFNAME)
BATCH = 100
"""Elements of one transaction."""

_SUBSYSTEM = 10
_BEGIN, _END = 0x10, 0x11
_NEWSET, _GETSET, _NEWSETELEM, _DELSETELEM = (_SUBSYSTEM << 8 | number for number in (9, 10, 12, 14))
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_NAMES = {number: name for name, number in _FAMILIES.items()}
_SET_TABLE, _SET_NAME, _SET_FLAGS, _SET_KEY_TYPE = 1, 2, 3, 4
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ELEM, _ELEM_KEY, _ELEM_FLAGS, _DATA_VALUE = 1, 1, 3, 1
_NESTED = 0x8000
_INTERVAL, _INTERVAL_END = 0x4, 0x1
_HEADER = Struct("=IHHII")
_GENERAL = Struct("!BBH")
_U32 = Struct("!I")
_ERROR = Struct("=i")
_NLMSG_ERROR = 2
_RECEIVE = 1 << 16
_READS = 32
"""Of one turn of the reactor."""
_NETLINK_NETFILTER = 12
_GROUP = 7
"""NFNLGRP_NFTABLES."""
_SO_RCVBUFFORCE = 33
_KIND = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class Kind(NamedTuple):
    """What a set holds."""

    type: int
    interval: bool


class Element(NamedTuple):
    """A key of a set, or with `end` all from the key up to what is before `end`."""

    key: bytes
    end: bytes = b""


class ISets(Interface):
    """The sets of nftables of one network namespace."""

    def start():
        """Open what is needed. Raises `NetlinkError`."""

    def stop():
        """Close; elements stay."""

    def watch(made: Callable[[NftSet | None], None]):
        """Hear of sets that somebody makes, when a ruleset is loaded anew; None: some may have been made."""

    def kind(nft: NftSet):
        """-> Kind, at once. Raises `NetlinkError`: ENOENT when there is no such set."""

    def add(nft: NftSet, element: Element):
        """-> Deferred(None). An element that is there already is no error."""

    def delete(nft: NftSet, element: Element):
        """-> Deferred(None). ENOENT when it is not there."""


def elements(kind: Kind, device: str, networks: Iterable[str]) -> list[Element]:
    """What stands for a user in a set of this kind.

    :param device: his interface; empty: he has none of his own.
    :param networks: his addresses and networks as prefixes; a set without `flags interval` takes addresses only.
    """
    if kind.type == IFNAME:
        # wildcards are intervals of another form
        return [Element(device.encode().ljust(16, b"\0"))] if device and not kind.interval else []
    version = {IPV4_ADDR: 4, IPV6_ADDR: 6}.get(kind.type)
    found = [network for network in map(ip_network, networks) if network.version == version]
    if not kind.interval:
        return [Element(one.network_address.packed) for one in found if one.prefixlen == one.max_prefixlen]
    v4: list[IPv4Network] = [one for one in found if isinstance(one, IPv4Network)]
    v6: list[IPv6Network] = [one for one in found if isinstance(one, IPv6Network)]
    return [*map(_interval, collapse_addresses(v4)), *map(_interval, collapse_addresses(v6))]


def _interval(network: IPv4Network | IPv6Network) -> Element:
    size = network.max_prefixlen // 8
    after = int(network.broadcast_address) + 1
    # the end of the last network of all is that of the set
    return Element(network.network_address.packed, after.to_bytes(size + 1, "big")[1:] if after >> size * 8 == 0
                   else b"")


class _Waiting(NamedTuple):
    sequence: int
    message: bytes
    answer: Deferred[None]


@implementer(ISets)
class LinuxSets:
    """The namespace that the process is in. The kernel answers inside `send`, so nothing waits for the reactor; the
    elements of one turn are one transaction, and where that fails, one each.

    :param reactor: `IReactorTime` and `IReactorFDSet`.
    """

    name = "linux"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._socket: socket.socket | None = None
        self._sequence = 0
        self._waiting: list[_Waiting] = []
        self._flush: Any = None
        self._made: Callable[[NftSet | None], None] | None = None
        self._watch: _Watch | None = None
        self.transactions = 0

    def watch(self, made: Callable[[NftSet | None], None]) -> None:
        self._made = made

    def start(self) -> None:
        try:
            if self._made is not None:
                self._watch = _Watch(self._reactor, self._made)
            self._socket = socket.socket(socket.AF_NETLINK, _KIND, _NETLINK_NETFILTER)
            self._socket.bind((0, 0))
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 20)
            except OSError:
                pass  # the usual size does for a batch
        except OSError as error:
            raise _system_error(error) from None

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._socket is not None:
            self.flush()
            self._socket.close()
            self._socket = None

    def kind(self, nft: NftSet) -> Kind:
        payload = _general(nft) + _text(_SET_TABLE, nft.table) + _text(_SET_NAME, nft.name)
        sequence = self._next()
        replies = self._exchange(_message(_GETSET, sequence, payload, NLM_F_REQUEST))
        for number, kind, body in replies:
            if number != sequence:
                continue
            if kind == _NLMSG_ERROR:
                code = -_ERROR.unpack_from(body)[0]
                raise NetlinkError(code, f"set {nft}: {os.strerror(code)}")
            found = attributes(body, _GENERAL.size)
            flags = _number(found.get(_SET_FLAGS, b""))
            return Kind(_number(found.get(_SET_KEY_TYPE, b"")), bool(flags & _INTERVAL))
        raise NetlinkError(errno.EIO, f"set {nft}: no answer")

    def add(self, nft: NftSet, element: Element) -> Deferred[None]:
        return self._queue(_NEWSETELEM, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, nft, element)

    def delete(self, nft: NftSet, element: Element) -> Deferred[None]:
        return self._queue(_DELSETELEM, NLM_F_REQUEST | NLM_F_ACK, nft, element)

    def _queue(self, kind: int, flags: int, nft: NftSet, element: Element) -> Deferred[None]:
        answer: Deferred[None] = Deferred()
        sequence = self._next()
        self._waiting.append(_Waiting(sequence, _message(kind, sequence, _members(nft, element), flags), answer))
        if self._flush is None:
            self._flush = self._reactor.callLater(0, self.flush)
        return answer

    def flush(self) -> None:
        """Carry out what is waiting."""
        self._flush = None
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start:start + BATCH]
            errors = self._transaction(batch)
            if errors and len(batch) > 1:
                # one bad element undoes all others
                errors = {}
                for one in batch:
                    errors.update(self._transaction([one]))
            for one in batch:
                if one.sequence in errors:
                    one.answer.errback(errors[one.sequence])
                else:
                    one.answer.callback(None)

    def _transaction(self, batch: list[_Waiting]) -> dict[int, NetlinkError]:
        """-> errors by sequence number; empty: all of it is done."""
        self.transactions += 1
        frame = _GENERAL.pack(0, 0, _SUBSYSTEM)
        data = b"".join((_message(_BEGIN, self._next(), frame, NLM_F_REQUEST), *(one.message for one in batch),
                         _message(_END, self._next(), frame, NLM_F_REQUEST)))
        try:
            replies = self._exchange(data)
        except NetlinkError as error:
            return {one.sequence: error for one in batch}
        answered = {number: -_ERROR.unpack_from(body)[0] for number, kind, body in replies if kind == _NLMSG_ERROR}
        wrong = {number: code for number, code in answered.items() if code}
        for one in batch:
            if one.sequence not in answered and not wrong:
                wrong[one.sequence] = errno.EIO
        if len(batch) == 1 and wrong:
            # a fault of the whole transaction has the number of its frame
            wrong = {batch[0].sequence: next(iter(wrong.values()))}
        return {number: NetlinkError(code, os.strerror(code)) for number, code in wrong.items()}

    def _exchange(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Send, and read all that comes back: sequence number, type, and what follows the header."""
        if self._socket is None:
            raise NetlinkError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
        replies: list[tuple[int, int, bytes]] = []
        try:
            self._socket.send(data)
            while True:
                try:
                    received = self._socket.recv(_RECEIVE)
                except BlockingIOError:
                    return replies
                replies += _replies(received)
        except OSError as error:
            raise _system_error(error) from None

    def _next(self) -> int:
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        return self._sequence


@implementer(IReadDescriptor)
class _Watch:
    """Notifications of nftables, of which those about new sets are told."""

    def __init__(self, reactor: Any, made: Callable[[NftSet | None], None]) -> None:
        self._reactor = reactor
        self._made = made
        self._socket = socket.socket(socket.AF_NETLINK, _KIND, _NETLINK_NETFILTER)
        self._socket.bind((0, 1 << _GROUP - 1))
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "nftables"

    def connectionLost(self, reason: Any) -> None:
        self.close()

    def close(self) -> None:
        self._reactor.removeReader(self)
        self._socket.close()

    def doRead(self) -> None:
        made: dict[NftSet | None, None] = {}
        for _ in range(_READS):
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                made[None] = None
                continue
            for _, kind, body in _replies(data):
                if kind == _NEWSET and len(body) > _GENERAL.size and body[0] in _NAMES:
                    found = attributes(body, _GENERAL.size)
                    table, name = (found.get(key, b"").rstrip(b"\0").decode(errors="replace")
                                   for key in (_SET_TABLE, _SET_NAME))
                    made[NftSet(_NAMES[body[0]], table, name)] = None
        for nft in [None] if None in made else list(made):
            self._made(nft)


def _message(kind: int, sequence: int, payload: bytes, flags: int) -> bytes:
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def _general(nft: NftSet) -> bytes:
    return _GENERAL.pack(_FAMILIES[nft.family], 0, 0)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)


def _members(nft: NftSet, element: Element) -> bytes:
    keys = _nested(_ELEM, _nested(_ELEM_KEY, attribute(_DATA_VALUE, element.key)))
    if element.end:
        keys += _nested(_ELEM, _nested(_ELEM_KEY, attribute(_DATA_VALUE, element.end))
                        + attribute(_ELEM_FLAGS, _U32.pack(_INTERVAL_END)))
    return (_general(nft) + _text(_LIST_TABLE, nft.table) + _text(_LIST_SET, nft.name)
            + _nested(_LIST_ELEMENTS, keys))


def _replies(data: bytes) -> Iterable[tuple[int, int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield sequence, kind, data[at + _HEADER.size:at + length]
        at += (length + 3) & ~3


def _number(value: bytes) -> int:
    return int(_U32.unpack(value)[0]) if len(value) == _U32.size else 0


def _system_error(error: OSError) -> NetlinkError:
    return NetlinkError(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO))


@implementer(ISets)
class MemorySets:
    """Remembers what is in which set. `kinds`: the sets that there are."""

    name = "memory"

    def __init__(self) -> None:
        self.made: Callable[[NftSet | None], None] = lambda nft: None
        """What a test calls when it has made a set."""
        self.kinds: dict[str, Kind] = {}
        self.members: dict[str, set[Element]] = {}

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def watch(self, made: Callable[[NftSet | None], None]) -> None:
        self.made = made

    def kind(self, nft: NftSet) -> Kind:
        if str(nft) not in self.kinds:
            raise NetlinkError(errno.ENOENT, f"set {nft}: {os.strerror(errno.ENOENT)}")
        return self.kinds[str(nft)]

    def add(self, nft: NftSet, element: Element) -> Deferred[None]:
        return self._change(nft, lambda members: members.add(element))

    def delete(self, nft: NftSet, element: Element) -> Deferred[None]:
        return self._change(nft, lambda members: members.remove(element))

    def _change(self, nft: NftSet, change: Callable[[set[Element]], None]) -> Deferred[None]:
        if str(nft) not in self.kinds:
            return fail(NetlinkError(errno.ENOENT, os.strerror(errno.ENOENT)))
        try:
            change(self.members.setdefault(str(nft), set()))
        except KeyError:
            return fail(NetlinkError(errno.ENOENT, os.strerror(errno.ENOENT)))
        return succeed(None)
