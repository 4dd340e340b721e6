"""The rtnetlink requests that every session needs (linux/rtnetlink.h, if_addr.h, if_link.h), as bytes without header.

pyroute2 takes 60 to 80 microseconds to encode one of these, this a few; what is rare is left to it (`network.py`).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from struct import Struct

AF_INET, AF_INET6 = 2, 10

RTM_GETLINK, RTM_SETLINK = 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
RTM_NEWRULE, RTM_DELRULE = 32, 33

TABLE_MAIN = 254
RTPROT_STATIC, RTN_UNICAST, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 4, 1, 0, 253

_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_AF_SPEC = 3, 4, 10, 18, 20, 26
_IFLA_CARRIER = 33
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_VRF_TABLE = 1, 2, 1
_IFLA_INET6_ADDR_GEN_MODE = 8
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_IFF_UP = 1
_IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 0x2, 0x200
_FRA_IIFNAME, _FRA_PRIORITY, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 3, 6, 14, 15
_FR_ACT_TO_TBL = 1
_RTNH_F_ONLINK = 4
RULE_PRIORITY = 10000
"""Of our rules: before the main table (32766), after VRFs (1000)."""

_ATTRIBUTE = Struct("=HH")
_LINK = Struct("=BxHiII")
_ADDRESS = Struct("=BBBBI")
_ROUTE = Struct("=BBBBBBBBI")
_U32 = Struct("=I")
_HEADER = 16
"""Octets of a message's header."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(ifindex: int, mtu: int | None = None, up: bool | None = None, link_local: bool | None = None,
         master: int | None = None, alias: str | None = None, carrier: bool | None = None) -> bytes:
    """RTM_SETLINK; None leaves a setting as it is."""
    parts = [_LINK.pack(0, 0, ifindex, _IFF_UP if up else 0, 0 if up is None else _IFF_UP)]
    if mtu is not None:
        parts.append(attribute(_IFLA_MTU, _U32.pack(mtu)))
    if master is not None:
        parts.append(attribute(_IFLA_MASTER, _U32.pack(master)))
    if carrier is not None:
        parts.append(attribute(_IFLA_CARRIER, b"\1" if carrier else b"\0"))
    if alias is not None:
        parts.append(attribute(_IFLA_IFALIAS, alias.encode()))
    if link_local is not None:
        mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, b"\0" if link_local else b"\1")
        parts.append(attribute(_IFLA_AF_SPEC, attribute(AF_INET6, mode)))
    return b"".join(parts)


def link_by_name(name: str) -> bytes:
    """RTM_GETLINK."""
    return _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0")


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Attributes of a message of the kernel, or nested ones, by kind; what is cut off is left out."""
    found: dict[int, bytes] = {}
    at = start
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size:at + length]
        at += (length + 3) & ~3
    return found


def vrf(message: bytes) -> tuple[int, int] | None:
    """Index and routing table of a VRF device, from the answer to RTM_GETLINK; None: it is another kind of device."""
    ifindex: int = _LINK.unpack_from(message, _HEADER)[2]
    info = attributes(attributes(message, _HEADER + _LINK.size).get(_IFLA_LINKINFO, b""))
    if info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0") != b"vrf":
        return None
    table = attributes(info.get(_IFLA_INFO_DATA, b"")).get(_IFLA_VRF_TABLE, b"")
    return (ifindex, int(_U32.unpack(table)[0])) if len(table) == _U32.size else None


def rule(device: str, table: int, ipv6: bool = False, defaults: bool = True) -> bytes:
    """RTM_NEWRULE and RTM_DELRULE: packets that come from a device look into a table first, without `defaults` not at
    its default routes."""
    suppressed = b"" if defaults else attribute(_FRA_SUPPRESS_PREFIXLEN, _U32.pack(0))
    return (_ROUTE.pack(AF_INET6 if ipv6 else AF_INET, 0, 0, 0, table if table < 256 else 0, 0, 0, _FR_ACT_TO_TBL, 0)
            + attribute(_FRA_IIFNAME, device.encode() + b"\0") + attribute(_FRA_PRIORITY, _U32.pack(RULE_PRIORITY))
            + suppressed + attribute(_FRA_TABLE, _U32.pack(table)))


def address(ifindex: int, local: str, peer: str = "", routed: bool = True) -> bytes:
    """RTM_NEWADDR and RTM_DELADDR. Addresses with or without a length; without `routed` the kernel makes no route to
    the peer. Raises `ValueError`."""
    ours, _, length = local.partition("/")
    ours_packed = ip_address(ours)
    theirs, theirs_packed = ours, ours_packed
    if peer:
        theirs, _, length = peer.partition("/")
        theirs_packed = ip_address(theirs)
    # two nodes only: nobody to ask whether an IPv6 address is free
    family, flags = (AF_INET, 0) if ours_packed.version == 4 else (AF_INET6, _IFA_F_NODAD)
    bits = int(length) if length else ours_packed.max_prefixlen
    parts = (_ADDRESS.pack(family, bits, flags, 0, ifindex) + attribute(_IFA_LOCAL, ours_packed.packed)
             + attribute(_IFA_ADDRESS, theirs_packed.packed))
    return parts if routed else parts + attribute(_IFA_FLAGS, _U32.pack(flags | _IFA_F_NOPREFIXROUTE))


def route(prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0, onlink: bool = False) -> bytes:
    """RTM_NEWROUTE and RTM_DELROUTE, unicast. `onlink`: the gateway is behind the interface, whatever routes there are.
    Raises `ValueError`."""
    network = ip_network(prefix, strict=False)
    family, scope = (AF_INET, RT_SCOPE_LINK) if network.version == 4 else (AF_INET6, RT_SCOPE_UNIVERSE)
    table = table or TABLE_MAIN
    parts = [
        _ROUTE.pack(family, network.prefixlen, 0, 0, table if table < 256 else 0, RTPROT_STATIC,
                    RT_SCOPE_UNIVERSE if via else scope, RTN_UNICAST, _RTNH_F_ONLINK if via and onlink else 0),
        attribute(_RTA_TABLE, _U32.pack(table)), attribute(_RTA_OIF, _U32.pack(ifindex)),
    ]
    if network.prefixlen:
        parts.append(attribute(_RTA_DST, network.network_address.packed))
    if via:
        parts.append(attribute(_RTA_GATEWAY, ip_address(via).packed))
    if metric:
        parts.append(attribute(_RTA_PRIORITY, _U32.pack(metric)))
    return b"".join(parts)
