"""The few interface requests that the data path makes itself, as rtnetlink messages (linux/rtnetlink.h).

All block on the kernel's rtnl lock, so they belong on the link thread.
"""

from __future__ import annotations

import os
import socket
from struct import Struct

RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_NLMSG_ERROR = 2
_F_REQUEST, _F_ACK = 0x01, 0x04
_IFLA_TXQLEN, _IFLA_AF_SPEC, _IFLA_GROUP = 13, 26, 27
_IFLA_INET6_ADDR_GEN_MODE, _GEN_MODE_NONE = 8, 1
_IFF_MULTICAST = 0x1000
_NLA_F_NESTED = 0x8000

_NLMSG = Struct("=IHHII")
_IFINFO = Struct("=BxHiII")
_NLA = Struct("=HH")
_INT = Struct("=i")


def _attribute(kind: int, value: bytes) -> bytes:
    return _NLA.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


class LinkRequests:
    """A blocking rtnetlink socket. Methods raise `OSError`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def prepare(self, ifindex: int, multicast: bool, queue_length: int) -> None:
        """No link-local address made by the kernel: the address is IPv6CP's. Kernels without IPv6 refuse that part."""
        inet6 = _attribute(socket.AF_INET6, _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_GEN_MODE_NONE,))))
        try:
            self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, ifindex, 0, 0), _attribute(_IFLA_AF_SPEC, inet6))
        except OSError:
            if os.path.exists("/proc/net/if_inet6"):
                raise
        if queue_length:
            self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, ifindex, 0, 0),
                          _attribute(_IFLA_TXQLEN, _INT.pack(queue_length)))
        if not multicast:
            self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, ifindex, 0, _IFF_MULTICAST))

    def set_group(self, ifindex: int, group: int) -> None:
        self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, ifindex, 0, 0), _attribute(_IFLA_GROUP, _INT.pack(group)))

    def delete_group(self, group: int) -> None:
        """All interfaces of a group in one go: one wait for the kernel's readers instead of one each."""
        self._request(_RTM_DELLINK, _IFINFO.pack(0, 0, 0, 0, 0), _attribute(_IFLA_GROUP, _INT.pack(group)))

    def _request(self, kind: int, body: bytes, attributes: bytes = b"") -> None:
        self._sequence += 1
        payload = body + attributes
        head = _NLMSG.pack(_NLMSG.size + len(payload), kind, _F_REQUEST | _F_ACK, self._sequence, 0)
        self._socket.send(head + payload)
        while True:
            answer = self._socket.recv(65536)
            _, answered, _, sequence, _ = _NLMSG.unpack_from(answer)
            if sequence != self._sequence or answered != _NLMSG_ERROR:
                continue
            code = -_INT.unpack_from(answer, _NLMSG.size)[0]
            if code:
                raise OSError(code, os.strerror(code))
            return
