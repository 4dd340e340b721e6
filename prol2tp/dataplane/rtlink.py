"""The few interface requests that the data path makes itself, as rtnetlink messages (linux/rtnetlink.h).

All block on the kernel's rtnl lock, so they belong on the link thread.
"""

from __future__ import annotations

import os
import socket
from errno import EAFNOSUPPORT
from fcntl import ioctl
from struct import Struct

RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETSTATS = 16, 17, 94
_NLMSG_ERROR = 2
_F_REQUEST, _F_ACK, _F_EXCL, _F_CREATE = 0x01, 0x04, 0x200, 0x400
_IFLA_IFNAME, _IFLA_MTU, _IFLA_TXQLEN, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_GROUP = 3, 4, 13, 18, 26, 27
_INFO_KIND, _INFO_DATA, _PPP_DEV_FD = 1, 2, 1
_IFLA_INET6_ADDR_GEN_MODE, _GEN_MODE_NONE = 8, 1
_IFF_MULTICAST = 0x1000
_NLA_F_NESTED = 0x8000

_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933

_IFREQ = Struct("=16si20x")
_NLMSG = Struct("=IHHII")
_IFINFO = Struct("=BxHiII")
_IFSTATS = Struct("=BxHII")
_STATS64 = Struct("=8Q")
_LINK_64 = 1
_NLA = Struct("=HH")
_INT = Struct("=i")


def _attribute(kind: int, value: bytes) -> bytes:
    return _NLA.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def _named(name: str) -> bytes:
    return _attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _sized(mtu: int, group: int) -> bytes:
    return _attribute(_IFLA_MTU, _INT.pack(mtu)) + _attribute(_IFLA_GROUP, _INT.pack(group))


class LinkRequests:
    """A blocking rtnetlink socket. Methods raise `OSError`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def index(self, name: str) -> int:
        """Of the interface of that name. In one system call, without a socket made for it."""
        request = bytearray(_IFREQ.pack(name.encode(), 0))
        ioctl(self._socket.fileno(), _SIOCGIFINDEX, request)
        return int(_IFREQ.unpack(request)[1])

    def name(self, ifindex: int) -> str:
        """Of the interface of that index."""
        request = bytearray(_IFREQ.pack(b"", ifindex))
        ioctl(self._socket.fileno(), _SIOCGIFNAME, request)
        name: bytes = _IFREQ.unpack(request)[0]
        return name.partition(b"\0")[0].decode()

    def prepare(self, ifindex: int, multicast: bool, queue_length: int = 0, mtu: int = 0, group: int = 0,
                name: str = "") -> None:
        """All that an interface is told before it is up. No link-local address made by the kernel: the address is
        IPv6CP's.

        :param queue_length: 0: the kernel's default. `mtu`, `group` 0: as it is.
        :param name: may have one %d; empty: as it is.
        """
        more = _attribute(_IFLA_TXQLEN, _INT.pack(queue_length)) if queue_length else b""
        more += _named(name) if name else b""
        more += _attribute(_IFLA_MTU, _INT.pack(mtu)) if mtu else b""
        more += _attribute(_IFLA_GROUP, _INT.pack(group)) if group else b""
        head = _IFINFO.pack(0, 0, ifindex, 0, 0 if multicast else _IFF_MULTICAST)
        inet6 = _attribute(socket.AF_INET6, _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_GEN_MODE_NONE,))))
        try:
            self._request(_RTM_NEWLINK, head, more + _attribute(_IFLA_AF_SPEC, inet6))
        except OSError as error:
            # a kernel without IPv6, or an MTU that is too small for it
            if error.errno != EAFNOSUPPORT and os.path.exists("/proc/net/if_inet6"):
                raise
            if more or not multicast:
                self._request(_RTM_NEWLINK, head, more)

    def set_group(self, ifindex: int, group: int) -> None:
        self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, ifindex, 0, 0), _attribute(_IFLA_GROUP, _INT.pack(group)))

    def delete_group(self, group: int) -> None:
        """All interfaces of a group in one go: one wait for the kernel's readers instead of one each."""
        self._request(_RTM_DELLINK, _IFINFO.pack(0, 0, 0, 0, 0), _attribute(_IFLA_GROUP, _INT.pack(group)))

    def new_ppp(self, descriptor: int, name: str, mtu: int, group: int) -> None:
        """An interface on an unused descriptor of /dev/ppp."""
        data = _attribute(_INFO_DATA, _attribute(_PPP_DEV_FD, _INT.pack(descriptor)))
        info = _attribute(_IFLA_LINKINFO, _attribute(_INFO_KIND, b"ppp\0") + data)
        self._request(_RTM_NEWLINK, _IFINFO.pack(0, 0, 0, 0, 0), _named(name) + _sized(mtu, group) + info,
                      _F_CREATE | _F_EXCL)

    def stats(self, ifindex: int) -> tuple[int, ...]:
        """Received and sent packets, received and sent octets, errors, drops, as in struct rtnl_link_stats64."""
        answer = self._request(_RTM_GETSTATS, _IFSTATS.pack(0, 0, ifindex, 1 << _LINK_64 - 1))
        return _STATS64.unpack_from(answer, _IFSTATS.size + _NLA.size)

    def _request(self, kind: int, body: bytes, attributes: bytes = b"", flags: int = 0) -> bytes:
        """-> body of the answer, if there is one before the acknowledgement."""
        self._sequence += 1
        payload = body + attributes
        head = _NLMSG.pack(_NLMSG.size + len(payload), kind, _F_REQUEST | _F_ACK | flags, self._sequence, 0)
        self._socket.send(head + payload)
        found = b""
        while True:
            answer = self._socket.recv(65536)
            at = 0
            while at + _NLMSG.size <= len(answer):
                length, answered, _, sequence, _ = _NLMSG.unpack_from(answer, at)
                body = answer[at + _NLMSG.size:at + length]
                at += max(length + 3 & ~3, _NLMSG.size)
                if sequence != self._sequence:
                    continue
                if answered != _NLMSG_ERROR:
                    found = body
                    continue
                code = -_INT.unpack_from(body)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return found
