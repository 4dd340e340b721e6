"""PPPoE on an Ethernet interface: whole frames in and out of an AF_PACKET socket, VLAN tags included.

The kernel takes the outer VLAN tag off a frame and tells it beside (PACKET_AUXDATA); it is put back here. Only a socket
for all ethertypes sees it: for others the kernel forgets the tag of a VLAN that has no interface. So that is what is
opened, with a filter that runs in the kernel, and no interface per VLAN is needed. Where no tags are wanted the socket
is one of its ethertype, which costs other traffic nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
from collections.abc import Callable
from errno import EAGAIN, EINTR, ENETDOWN, EWOULDBLOCK
from fcntl import ioctl
from struct import Struct
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

from prol2tp.pppoe.packets import DISCOVERY, TPIDS

BURST = 64
"""Frames read before timers and other descriptors get their turn."""

SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 6, 8, 23
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BUFFER = 8 << 20
"""Octets that wait in the kernel: all hosts of an access network dial together after it has failed, and the usual size
holds the PADIs of some three hundred."""
VLAN_VALID, VLAN_TPID_VALID = 0x10, 0x40
_AUXDATA = Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_STATISTICS = Struct("=II")  # tp_packets, tp_drops
_ANCILLARY = 64
_LARGEST = 16384
_TAG = Struct("!HH")
_SIOCGIFMTU = 0x8921
_IFREQ = Struct("16si20x")
_INSTRUCTION = Struct("=HBBI")  # code, jump if true, jump if false, constant
_LOAD_HALF, _LOAD_BYTE, _EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_PACKET_TYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_OTHER_HOST, _OUTGOING = 3, 4

Receive = Callable[[bytes, str], None]
"""`(frame, interface)`"""


class PacketSocket(Protocol):
    """The part of a socket that a port uses."""

    def fileno(self) -> int: ...

    def recvmsg(self, bufsize: int, ancbufsize: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]: ...

    def send(self, data: bytes, /) -> int: ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class System:
    """The real one; tests give a port another."""

    def open(self, interface: str, ethertype: int, tagged: bool) -> PacketSocket:
        """A socket for frames of this ethertype; with `tagged` also for those that carry it behind VLAN tags, and
        without not for those whose tag the kernel has dropped. Raises `OSError`."""
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        try:
            made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            with contextlib.suppress(OSError):  # the filter does it too, but only after a copy (Linux before 4.20)
                made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            attach_filter(made, program(ethertype, tagged))
            for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
                with contextlib.suppress(OSError):  # needs CAP_NET_ADMIN
                    made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            # bound last: a socket for everything would have taken frames until now
            made.bind((interface, ETH_P_ALL if tagged else ethertype))
        except OSError:
            made.close()
            raise
        return made

    def address(self, interface: str) -> bytes:
        """The interface's Ethernet address. Raises `OSError`."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asked:
            asked.bind((interface, 0))
            return bytes(asked.getsockname()[4])

    def mtu(self, interface: str) -> int:
        """Octets of Ethernet payload. Raises `OSError`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
            answer = ioctl(asked.fileno(), _SIOCGIFMTU, _IFREQ.pack(interface.encode(), 0))
            return int(_IFREQ.unpack(answer[: _IFREQ.size])[1])


@implementer(IReadDescriptor)
class EthernetPort:
    """Frames of one ethertype on one interface.

    :param receive: called for every frame.
    :param burst_done: called after each burst, for what is done once for many frames.
    :param lost: called when the interface has gone down or away; frames come again when it is up, unless it was
        removed.
    :param ethertype: 0x8863, or 0x8864 for session frames.
    :param tagged: take frames with VLAN tags too.
    """

    def __init__(self, reactor: IReactorFDSet, interface: str, receive: Receive,
                 burst_done: Callable[[], None] = lambda: None, lost: Callable[[], None] = lambda: None,
                 ethertype: int = DISCOVERY, tagged: bool = True, system: System | None = None) -> None:
        system = system or System()
        self.interface = interface
        self.address = system.address(interface)
        self.mtu = system.mtu(interface)
        self.received = 0
        self.receive_errors = 0
        self.send_errors = 0
        self._dropped = 0
        self._reactor = reactor
        self._receive = receive
        self._burst_done = burst_done
        self._lost = lost
        self._socket = system.open(interface, ethertype, tagged)
        self._open = True
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "pppoe"

    def connectionLost(self, reason: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._open:
            return
        self.dropped()
        self._open = False
        self._reactor.removeReader(self)
        self._socket.close()

    def dropped(self) -> int:
        """Frames that the kernel has dropped because too many waited, since the port was opened."""
        if self._open:
            with contextlib.suppress(OSError):
                # reading sets it back to nothing
                _, drops = _STATISTICS.unpack(self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, _STATISTICS.size))
                self._dropped += drops
        return self._dropped

    def doRead(self) -> None:
        read = self._socket.recvmsg
        try:
            for _ in range(BURST):
                data, ancillary, flags, sender = read(_LARGEST, _ANCILLARY)
                if flags & socket.MSG_TRUNC:
                    self.receive_errors += 1
                elif sender[0] == self.interface:  # another name: of an interface above this one
                    self.received += 1
                    self._receive(with_tag(data, ancillary), self.interface)
                if not self._open:
                    return
        except OSError as error:
            self._failed(error.errno)
        finally:
            self._burst_done()

    def _failed(self, number: int | None) -> None:
        if number in (EAGAIN, EWOULDBLOCK, EINTR):
            return
        if number == ENETDOWN:
            self._lost()
        else:
            self.receive_errors += 1

    def send(self, frame: bytes) -> None:
        """A frame that the kernel does not take is counted and lost, as on the wire."""
        if not self._open:
            return
        try:
            self._socket.send(frame)
        except OSError:
            self.send_errors += 1


def with_tag(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The frame as it was on the wire: with the tag that the kernel has taken off."""
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= _AUXDATA.size:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(value)
            if status & VLAN_VALID:
                tpid = tpid if status & VLAN_TPID_VALID else 0x8100
                return data[:12] + _TAG.pack(tpid, tci) + data[12:]
    return data


def vids_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """The VLAN id of the tag that the kernel has taken off; () where there was none, or one that says a priority."""
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= _AUXDATA.size:
            status, _, _, _, _, tci, _ = _AUXDATA.unpack_from(value)
            if status & VLAN_VALID and tci & 0xFFF:
                return (tci & 0xFFF,)
    return ()


def program(ethertype: int, tagged: bool) -> bytes:
    """Classic BPF: the instructions that let through frames of this ethertype, with up to two tags still in them when
    `tagged`, and drop what this host sends. A frame in a VLAN without an interface is `PACKET_OTHERHOST` where the
    tag is dropped."""
    kinds = (_OUTGOING,) if tagged else (_OUTGOING, _OTHER_HOST)
    steps: list[tuple[int, int | str, int | str, int]] = [(_LOAD_BYTE, 0, 0, _PACKET_TYPE)]
    steps += [(_EQUAL, "drop", 0, kind) for kind in kinds]
    for offset in (12, 16, 20) if tagged else (12,):
        steps += [(_LOAD_HALF, 0, 0, offset), (_EQUAL, "take", 0, ethertype)]
        if tagged and offset < 20:
            # any tag leads on to the next offset, all else is dropped
            last = len(TPIDS) - 1
            steps += [
                (_EQUAL, last - number, 0 if number < last else "drop", tpid) for number, tpid in enumerate(TPIDS)
            ]
    ends = {"drop": len(steps), "take": len(steps) + 1}
    steps += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)]

    def jump(to: int | str, here: int) -> int:
        return ends[to] - here - 1 if isinstance(to, str) else to

    return b"".join([
        _INSTRUCTION.pack(code, jump(true, here), jump(false, here), constant)
        for here, (code, true, false, constant) in enumerate(steps)
    ])  # fmt: skip


def attach_filter(to: socket.socket, instructions: bytes) -> None:
    """Let a socket receive what a classic BPF program takes. Raises `OSError`."""
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    fprog = Struct("@HP").pack(len(instructions) // _INSTRUCTION.size, ctypes.addressof(kept))
    to.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
