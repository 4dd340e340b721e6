"""/dev/ppp: channels and units of the kernel's PPP (linux/ppp-ioctl.h).

A channel carries PPP frames over one session. A unit is an interface on a channel: what is no IP packet comes out of
its descriptor, and LCP and authentication out of the channel's. The requests share a lock with the making of
interfaces, so they belong on the link thread; reading and writing frames blocks nobody.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection
from fcntl import ioctl
from struct import Struct

DEVICE = "/dev/ppp"


def _code(direction: int, number: int, size: int = 4) -> int:
    return direction << 30 | size << 16 | ord("t") << 8 | number


_NONE, _WRITE, _READ = 0, 1, 2
GFLAGS, SFLAGS = _code(_READ, 90), _code(_WRITE, 89)
SMRU = _code(_WRITE, 82)
SCOMPRESS = _code(_WRITE, 77, 16)
SNPMODE = _code(_WRITE, 75, 8)
SPASS = _code(_WRITE, 71, 16)
GIDLE = _code(_READ, 63, 16)
NEWUNIT = _code(_READ | _WRITE, 62)
CONNECT = _code(_WRITE, 58)
DISCONN = _code(_NONE, 57, 0)
ATTCHAN = _code(_WRITE, 56)
GCHAN = _code(_READ, 55)
BRIDGECHAN = _code(_WRITE, 53)
UNBRIDGECHAN = _code(_NONE, 52, 0)
GUNIT = _code(_READ, 86)

CCP_OPEN, CCP_UP, MUST_COMP = 0x40, 0x80, 0x00400000
_SETTABLE = CCP_OPEN | CCP_UP | 0x4 | 0x8 | 0x20 | 0x200 | 0x400 | 0x800 | 0x4000 | MUST_COMP
NP_PASS, NP_DROP = 0, 1
DEFAULT_MRU = 1500
"""Of a new unit."""
PROTOCOLS = {"ip": 0x21, "ipv6": 0x57}

_INT = Struct("=i")
_PAIR = Struct("=ii")
_IDLE = Struct("=qq")
_OPTION = Struct("=QIi")
_FILTER = Struct("@HP")
_STEP_SIZE = 8


def _integer(descriptor: int, request: int, value: int = 0) -> int:
    answer = ioctl(descriptor, request, _INT.pack(value))
    return int(_INT.unpack(answer)[0])


def _open() -> int:
    return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def open_channel(pppox: int) -> tuple[int, int]:
    """-> descriptor and number of the channel of a PPPoX socket. Raises `OSError`."""
    number = _integer(pppox, GCHAN)
    descriptor = _open()
    try:
        _integer(descriptor, ATTCHAN, number)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, number


def open_unit() -> tuple[int, int]:
    """-> descriptor and number of a new unit, whose interface is named by its number. Raises `OSError`."""
    descriptor = _open()
    try:
        return descriptor, _integer(descriptor, NEWUNIT, -1)
    except OSError:
        os.close(descriptor)
        raise


def open_unused() -> int:
    """A descriptor that an interface can be made on."""
    return _open()


def unit_number(unit: int) -> int:
    return _integer(unit, GUNIT)


def connect(channel: int, number: int) -> None:
    """Put a channel under a unit."""
    _integer(channel, CONNECT, number)


def disconnect(channel: int) -> None:
    ioctl(channel, DISCONN)


def bridge(channel: int, other: int) -> None:
    """All frames of a channel go out of another one, by its number, and the other way round (Linux 5.12)."""
    _integer(channel, BRIDGECHAN, other)


def unbridge(channel: int) -> None:
    ioctl(channel, UNBRIDGECHAN)


def set_mru(unit: int, mru: int) -> None:
    _integer(unit, SMRU, mru)


def set_protocols(unit: int, protocols: Collection[str], before: Collection[str] = tuple(PROTOCOLS)) -> None:
    """What may pass, as `NetifSpec.protocols`. `before`: what may until now; on a new unit all."""
    for name, number in PROTOCOLS.items():
        if (name in protocols) != (name in before):
            ioctl(unit, SNPMODE, _PAIR.pack(number, NP_PASS if name in protocols else NP_DROP))


def set_pass_filter(unit: int, program: bytes) -> None:
    """A classic BPF program over PPP frames behind two octets, of which the first is 1 for what we send."""
    steps = ctypes.create_string_buffer(program, len(program) or 1)
    ioctl(unit, SPASS, _FILTER.pack(len(program) // _STEP_SIZE, ctypes.addressof(steps)))


def set_codec(unit: int, option: bytes, transmit: bool) -> None:
    """A codec by its whole CCP option, with the key behind it where it has one; it runs when CCP has agreed."""
    octets = ctypes.create_string_buffer(option, len(option))
    ioctl(unit, SCOMPRESS, _OPTION.pack(ctypes.addressof(octets), len(option), transmit))


def change_flags(unit: int, on: int = 0, off: int = 0) -> None:
    flags = _integer(unit, GFLAGS) & _SETTABLE
    _integer(unit, SFLAGS, (flags | on) & ~off)


def idle(unit: int) -> int:
    """Seconds since the last network-layer packet in either direction, or since the unit was made."""
    return int(min(_IDLE.unpack(ioctl(unit, GIDLE, bytes(_IDLE.size)))))
