"""TCP's MSS over interfaces of the kernel: an nftables table of ours lowers it to what the path takes.

One rule for each direction, by the interfaces' group, so that an interface costs nothing more. The table belongs to
our netlink socket and goes with it (Linux 5.12); where the kernel does not know owners, the next start replaces it.
"""

from __future__ import annotations

import os
import socket
from struct import Struct

GROUP = 0x4C54
"""Group of interfaces whose packets are looked at."""
TABLE = "prol2tp_mss"

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = (_SUBSYSTEM | number for number in (0, 2, 3, 6))
_F_REQUEST, _F_ACK, _F_CREATE, _F_APPEND = 0x01, 0x04, 0x400, 0x800
_NLMSG_ERROR = 2
_NESTED = 0x8000
_NFPROTO_INET = 1
_OWNER = 0x2
_FORWARD, _PRIORITY = 2, -150  # NF_INET_FORWARD, as the priority "mangle"
_L4PROTO, _IIFGROUP, _OIFGROUP = 16, 21, 22
_TCPMSS = 3
_HEADER, _GENERAL, _NLA = Struct("=IHHII"), Struct("!BBH"), Struct("=HH")
_U32, _INT, _ERROR = Struct("!I"), Struct("!i"), Struct("=i")


def _attribute(kind: int, value: bytes) -> bytes:
    return _NLA.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, _U32.pack(value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _expression(name: str, *parts: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *parts))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, 1), _number(2, key))


def _equal(value: bytes) -> bytes:
    return _expression("cmp", _number(1, 1), _number(2, 0), _nested(3, _attribute(1, value)))


def _rule(group_key: int) -> bytes:
    """TCP segments with SYN and without RST, through an interface of the group: MSS at most the path's."""
    return _nested(
        4, _meta(_L4PROTO), _equal(b"\x06"), _meta(group_key), _equal(Struct("=I").pack(GROUP)),
        _expression("payload", _number(1, 1), _number(2, 2), _number(3, 13), _number(4, 1)),
        _expression("bitwise", _number(1, 1), _number(2, 1), _number(3, 1), _nested(4, _attribute(1, b"\x06")),
                    _nested(5, _attribute(1, b"\0"))),
        _equal(b"\x02"),
        _expression("rt", _number(1, 1), _number(2, _TCPMSS)),
        _expression("byteorder", _number(1, 1), _number(2, 1), _number(3, 1), _number(4, 2), _number(5, 2)),
        _expression("exthdr", _attribute(2, b"\x02"), _number(3, 2), _number(4, 2), _number(6, 1), _number(7, 1)))


class Clamp:
    """The table; made with the object, gone with `close`. Raises `OSError` where the kernel has no nftables."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._sequence = 0
            try:
                self._transact([(_DELTABLE, 0, _text(1, TABLE))])
            except OSError:
                pass  # it is not there
            try:
                self._make(_OWNER)
            except OSError:
                self._make(0)
        except OSError:
            self._socket.close()
            raise

    def _make(self, flags: int) -> None:
        where = _text(1, TABLE)
        hook = _nested(4, _number(1, _FORWARD), _attribute(2, _INT.pack(_PRIORITY)))
        rules = [(_NEWRULE, _F_CREATE | _F_APPEND, where + _text(2, "forward") + _rule(key))
                 for key in (_IIFGROUP, _OIFGROUP)]
        self._transact([
            (_NEWTABLE, _F_CREATE, where + _number(2, flags)),
            (_NEWCHAIN, _F_CREATE, where + _text(3, "forward") + hook + _text(7, "filter")), *rules])

    def _transact(self, parts: list[tuple[int, int, bytes]]) -> None:
        """One transaction. Raises `OSError` with the first error."""
        general = _GENERAL.pack(_NFPROTO_INET, 0, 0)
        messages = [(_BATCH_BEGIN, 0, _GENERAL.pack(0, 0, 10)),
                    *((kind, flags | _F_ACK, general + body) for kind, flags, body in parts),
                    (_BATCH_END, 0, _GENERAL.pack(0, 0, 10))]
        data = b""
        awaited = set()
        for kind, flags, body in messages:
            self._sequence += 1
            if flags & _F_ACK:
                awaited.add(self._sequence)
            data += _HEADER.pack(_HEADER.size + len(body), kind, flags | _F_REQUEST, self._sequence, 0) + body
        self._socket.send(data)
        while awaited:
            answer = self._socket.recv(65536)
            at = 0
            while at + _HEADER.size <= len(answer):
                length, kind, _, sequence, _ = _HEADER.unpack_from(answer, at)
                code = -_ERROR.unpack_from(answer, at + _HEADER.size)[0] if kind == _NLMSG_ERROR else 0
                at += max(length + 3 & ~3, _HEADER.size)
                if sequence not in awaited:
                    continue
                awaited.discard(sequence)
                if code:
                    raise OSError(code, os.strerror(code))

    def close(self) -> None:
        try:
            self._transact([(_DELTABLE, 0, _text(1, TABLE))])
        except OSError:
            pass  # somebody else has removed it
        self._socket.close()
