"""An Ethernet interface of the host as the circuit of a pseudowire: its frames, or those of one of its VLANs, go to the
peer, and the peer's go out of it. No bridge and no VLAN interface is needed; the host's own stack sees the frames too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR
from struct import Struct

from prol2tp.dataplane.interface import SYSTEM, DataPathError
from prol2tp.dataplane.pseudowires import LARGEST, EthernetPort
from prol2tp.dataplane.tun import TUN
from prol2tp.net.ethernet import (
    ETH_P_ALL,
    PACKET_AUXDATA,
    PACKET_IGNORE_OUTGOING,
    SOL_PACKET,
    attach_filter,
    with_tag,
)

PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1
BUFFER = 4 << 20
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
_MEMBERSHIP = Struct("=iHH8s")
_INSTRUCTION = Struct("=HBBI")
_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_PACKET_TYPE, _VLAN_TAG, _VLAN_TAG_PRESENT = 0xFFFFF004, 0xFFFFF02C, 0xFFFFF030
_OUTGOING = 4
_WHOLE = 0x40000
_ANCILLARY = 64


def program(tagged: bool, vlan: int) -> bytes:
    """The filter of the socket (classic BPF): what comes in, with a tag, of our VLAN."""
    step = _INSTRUCTION.pack
    steps = [step(_LOAD, 0, 0, _PACKET_TYPE), (_EQUAL, 1, _OUTGOING)]
    if tagged:
        steps += [step(_LOAD, 0, 0, _VLAN_TAG_PRESENT), (_EQUAL, 1, 0)]
    if vlan:
        steps += [step(_LOAD, 0, 0, _VLAN_TAG), step(_AND, 0, 0, 0xFFF), (_EQUAL, 0, vlan)]
    steps += [step(_RETURN, 0, 0, _WHOLE), step(_RETURN, 0, 0, 0)]
    last = len(steps) - 1
    done = []
    for at, one in enumerate(steps):
        if isinstance(one, bytes):
            done.append(one)
        else:
            code, drops_when_equal, value = one
            drop = last - at - 1
            done.append(step(code, drop if drops_when_equal else 0, 0 if drops_when_equal else drop, value))
    return b"".join(done)


class CircuitSocket(TUN):
    """Stands where a TAP would: frames are read from and written to its descriptor."""

    __slots__ = ("socket",)

    def __init__(self, interface: str, port: EthernetPort) -> None:
        """Raises `DataPathError`."""
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        try:
            ifindex = socket.if_nametoindex(interface)
            made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            with suppress(OSError):
                made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
                with suppress(OSError):
                    made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            attach_filter(made, program(port.tagged, port.vlan))
            made.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                            _MEMBERSHIP.pack(ifindex, PACKET_MR_PROMISC, 0, bytes(8)))
            made.bind((interface, ETH_P_ALL))
        except OSError as error:
            made.close()
            raise DataPathError(SYSTEM, f"interface {interface}: {os.strerror(error.errno or 0)}") from None
        super().__init__(made.fileno(), interface, ifindex)
        self.socket = made

    def close(self) -> None:
        self.socket.close()


def drain_circuit(circuit: CircuitSocket, port: EthernetPort, gone: Callable[[], None]
                  ) -> Callable[[int, float], None]:
    """The drain function of its socket."""
    recvmsg, forward, tagged = circuit.socket.recvmsg, port.forward, port.tagged

    def drain(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                frame, ancillary, _, _ = recvmsg(LARGEST, _ANCILLARY)
            except OSError as error:
                # down (ENETDOWN) is no end: frames come again when it is up
                if error.errno not in (EAGAIN, EINTR) and not _there(circuit):
                    gone()
                return
            forward(with_tag(frame, ancillary) if tagged or ancillary else frame, now)

    return drain


def _there(circuit: CircuitSocket) -> bool:
    try:
        return socket.if_nametoindex(circuit.name) == circuit.ifindex
    except OSError:
        return False
