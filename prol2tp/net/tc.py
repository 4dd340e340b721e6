"""Traffic control requests (linux/rtnetlink.h, pkt_sched.h, pkt_cls.h) that shape one interface, as bytes without
header: an HTB class (sch_htb) with a queue below it, and what leads incoming packets to an IFB device for the same.

Rates are bit/s of IP packets, bursts and queues octets.
"""

from __future__ import annotations

from struct import Struct

from prol2tp.net.rtnetlink import attribute

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWQDISC, RTM_DELQDISC = 36, 37
RTM_NEWTCLASS = 40
RTM_NEWTFILTER = 44

ROOT, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_HTB_HANDLE, _HTB_CLASS, _LEAF_HANDLE, _INGRESS_HANDLE = 0x10000, 0x10001, 0x100000, 0xFFFF0000

SLOWEST = 1000
"""bit/s: below it a burst lasts longer than the kernel can count."""
BURST_TIME = 0.05
"""Seconds at the full rate that may follow each other at once after a pause."""
LEAST_BURST = 15_000
QUEUE_TIME = 0.2
"""Seconds at the full rate that wait in a queue of bytes; what comes then is dropped."""
LEAST_QUEUE = 30_000
_PACKET = 1500
FLOWS = 64
"""Of fq_codel: the kernel's 1024 would take 70 kB for each subscriber."""
_QUANTUM = 2000

_TC = Struct("=BxxxiIII")
_LINK = Struct("=BxHiII")
_RATE = Struct("=BBHhHI")
_HTB = Struct("=IIIII")
_HTB_GLOBAL = Struct("=IIIII")
_U32 = Struct("=I")
_U64 = Struct("=Q")
_U32_ALL = Struct("=BBBxHHhhI IIii")
_MIRRED = Struct("=IIiiiiI")

_TCA_KIND, _TCA_OPTIONS = 1, 2
_HTB_PARMS, _HTB_INIT, _HTB_RATE64, _HTB_CEIL64 = 1, 2, 6, 7
_FQ_TARGET, _FQ_LIMIT, _FQ_INTERVAL, _FQ_FLOWS, _FQ_MEMORY = 1, 2, 3, 5, 9
_U32_SEL, _U32_ACT, _U32_TERMINAL = 5, 7, 1
_ACT_KIND, _ACT_OPTIONS, _MIRRED_PARMS = 1, 2, 2
_ACT_STOLEN, _EGRESS_REDIRECT = 4, 1
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_GROUP, _IFLA_EXT_MASK = 3, 18, 27, 29
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES, _IFLA_INFO_KIND = 31, 32, 1
_SKIP_STATS = 8
_ETH_P_ALL = 0x0300
"""In network order, as the kernel wants it."""
_LINKLAYER_ETHERNET = 1
_NANOSECONDS_PER_TICK = 64


def burst(rate: int) -> int:
    """Octets that may follow each other at once."""
    return max(LEAST_BURST, int(rate / 8 * BURST_TIME))


def queue(rate: int) -> int:
    """Octets that may wait."""
    return max(LEAST_QUEUE, int(rate / 8 * QUEUE_TIME))


def _kind(name: str) -> bytes:
    return attribute(_TCA_KIND, name.encode() + b"\0")


def root(ifindex: int) -> bytes:
    """RTM_DELQDISC: shape the interface no more."""
    return _TC.pack(0, ifindex, 0, ROOT, 0)


def htb(ifindex: int) -> bytes:
    """RTM_NEWQDISC: the root, all of whose packets go to one class."""
    options = attribute(_HTB_INIT, _HTB_GLOBAL.pack(3, 10, _HTB_CLASS & 0xFFFF, 0, 0))
    return _TC.pack(0, ifindex, _HTB_HANDLE, ROOT, 0) + _kind("htb") + attribute(_TCA_OPTIONS, options)


def htb_class(ifindex: int, rate: int) -> bytes:
    """RTM_NEWTCLASS: the class, new or changed."""
    octets = max(rate, SLOWEST) // 8
    spec = _RATE.pack(0, _LINKLAYER_ETHERNET, 0, 0, 0, min(octets, 0xFFFFFFFF))
    ticks = min(burst(rate) * 1_000_000_000 // octets // _NANOSECONDS_PER_TICK, 0xFFFFFFFF)
    options = attribute(_HTB_PARMS, spec + spec + _HTB.pack(ticks, ticks, _QUANTUM, 0, 0))
    if octets > 0xFFFFFFFF:
        options += attribute(_HTB_RATE64, _U64.pack(octets)) + attribute(_HTB_CEIL64, _U64.pack(octets))
    return _TC.pack(0, ifindex, _HTB_CLASS, _HTB_HANDLE, 0) + _kind("htb") + attribute(_TCA_OPTIONS, options)


def bfifo(ifindex: int, rate: int) -> bytes:
    """RTM_NEWQDISC: a queue of so many bytes below the class, new or changed."""
    return (_TC.pack(0, ifindex, _LEAF_HANDLE, _HTB_CLASS, 0) + _kind("bfifo")
            + attribute(_TCA_OPTIONS, _U32.pack(queue(rate))))


def fq_codel(ifindex: int, rate: int, new: bool) -> bytes:
    """RTM_NEWQDISC: fair queues with delay control (RFC 8290) below the class, new or changed. The target is never
    shorter than one packet and a half takes at this rate (RFC 8289 section 4.4)."""
    packet_time = int(_PACKET * 1.5 * 8 * 1_000_000 / max(rate, SLOWEST))
    target = max(5000, packet_time)
    options = attribute(_FQ_TARGET, _U32.pack(target)) + attribute(_FQ_INTERVAL, _U32.pack(max(100_000, target * 2)))
    if new:
        options += attribute(_FQ_FLOWS, _U32.pack(FLOWS)) + attribute(_FQ_LIMIT, _U32.pack(1000))
    options += attribute(_FQ_MEMORY, _U32.pack(max(queue(rate) * 4, 1 << 18)))
    return (_TC.pack(0, ifindex, _LEAF_HANDLE, _HTB_CLASS, 0) + _kind("fq_codel")
            + attribute(_TCA_OPTIONS, options))


def ingress(ifindex: int) -> bytes:
    """RTM_NEWQDISC and RTM_DELQDISC: where incoming packets can be led elsewhere."""
    return _TC.pack(0, ifindex, _INGRESS_HANDLE, INGRESS, 0) + _kind("ingress")


def redirect(ifindex: int, to: int) -> bytes:
    """RTM_NEWTFILTER: all that comes in goes through another device first."""
    everything = _U32_ALL.pack(_U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    parms = _MIRRED.pack(0, 0, _ACT_STOLEN, 0, 0, _EGRESS_REDIRECT, to)
    action = attribute(_ACT_KIND, b"mirred\0") + attribute(_ACT_OPTIONS, attribute(_MIRRED_PARMS, parms))
    options = attribute(_U32_SEL, everything) + attribute(_U32_ACT, attribute(1, action))
    return (_TC.pack(0, ifindex, 0, _INGRESS_HANDLE, 1 << 16 | _ETH_P_ALL) + _kind("u32")
            + attribute(_TCA_OPTIONS, options))


# devices


def device(kind: str, name: str, group: int) -> bytes:
    """RTM_NEWLINK: a virtual device (`ifb`, `dummy`), down."""
    return (_LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + attribute(_IFLA_GROUP, _U32.pack(group)) + attribute(_IFLA_NUM_TX_QUEUES, _U32.pack(1))
            + attribute(_IFLA_NUM_RX_QUEUES, _U32.pack(1))
            + attribute(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, kind.encode() + b"\0")))


def link_named(name: str) -> bytes:
    """RTM_GETLINK: one device."""
    return (_LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + attribute(_IFLA_EXT_MASK, _U32.pack(_SKIP_STATS)))


def ifindex_of(message: bytes) -> int:
    """The index in an RTM_NEWLINK with its header of 16 octets."""
    return int(_U32.unpack_from(message, 20)[0])


def to_group(ifindex: int, group: int) -> bytes:
    """RTM_SETLINK: put a device into a group."""
    return _LINK.pack(0, 0, ifindex, 0, 0) + attribute(_IFLA_GROUP, _U32.pack(group))


def of_group(group: int) -> bytes:
    """RTM_DELLINK: remove all devices of a group, which takes little longer than one."""
    return _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_GROUP, _U32.pack(group))
