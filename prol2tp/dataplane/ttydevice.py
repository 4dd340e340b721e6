"""A tty, opened, set up for PPP and given back as it was."""

from __future__ import annotations

import fcntl
import os
import termios
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR, EIO
from stat import S_ISCHR
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from prol2tp.dataplane.interface import IN_USE, INVALID, SYSTEM, DataPathError, TtySpec

READ_SIZE = 4096
READS = 4
QUEUE = 8192
"""Octets that may wait for the line before packets are dropped; control frames may up to `URGENT_QUEUE`."""
URGENT_QUEUE = 65536
SPEEDS = {int(name[1:]): value for name, value in vars(termios).items() if name[0] == "B" and name[1:].isdigit()}
"""termios constants by bit/s."""
del SPEEDS[0]


def _settings(old: list[Any], spec: TtySpec) -> list[Any]:
    """Terminal attributes for octets as they are."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = old
    iflag = termios.IGNBRK | termios.IGNPAR
    if spec.xonxoff:
        iflag |= termios.IXON | termios.IXOFF
    oflag = lflag = 0
    cflag &= ~(termios.CSIZE | termios.CSTOPB | termios.PARENB | termios.CLOCAL | termios.CRTSCTS)
    cflag |= termios.CS8 | termios.CREAD | termios.HUPCL
    if not spec.modem:
        cflag |= termios.CLOCAL
        cflag &= ~termios.HUPCL
    if spec.crtscts:
        cflag |= termios.CRTSCTS
    if spec.speed:
        ispeed = ospeed = SPEEDS[spec.speed]
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


def _open(spec: TtySpec) -> tuple[int, list[Any]]:
    """-> descriptor, and the attributes that it had. Raises `DataPathError`."""
    if spec.speed and spec.speed not in SPEEDS:
        raise DataPathError(INVALID, f"{spec.speed} is no speed of ttys; there are "
                                     f"{', '.join(map(str, sorted(SPEEDS)))}")
    try:
        descriptor = os.open(spec.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DataPathError(SYSTEM, f"{spec.device}: {error.strerror}") from None
    try:
        if not S_ISCHR(os.fstat(descriptor).st_mode) or not os.isatty(descriptor):
            raise DataPathError(INVALID, f"{spec.device} is no tty")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataPathError(IN_USE, f"{spec.device} is in use") from None
        old = termios.tcgetattr(descriptor)
        termios.tcsetattr(descriptor, termios.TCSANOW, _settings(old, spec))
        termios.tcflush(descriptor, termios.TCIOFLUSH)
    except (OSError, termios.error) as error:
        os.close(descriptor)
        raise DataPathError(SYSTEM, f"{spec.device}: {error.args[-1]}") from None
    except DataPathError:
        os.close(descriptor)
        raise
    return descriptor, old


@implementer(IReadWriteDescriptor)
class TtyDevice:
    """An `asyncline.Line`. Raises `DataPathError`.

    :param received: called with octets and the time.
    :param hung_up: called once with the reason when the line is gone.
    """

    def __init__(self, reactor: Any, spec: TtySpec, received: Callable[[bytes, float], None],
                 hung_up: Callable[[str], None]) -> None:
        self._descriptor, self._old = _open(spec)
        self._reactor = reactor
        self._received = received
        self._hung_up = hung_up
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._gone = False
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "tty"

    def connectionLost(self, reason: Any) -> None:
        self._hang_up("hang-up")

    def doRead(self) -> None:
        for _ in range(READS):
            if self._gone:
                return
            try:
                octets = os.read(self._descriptor, READ_SIZE)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    self._hang_up("hang-up" if error.errno == EIO else error.strerror or "read error")
                return
            if not octets:
                self._hang_up("hang-up")
                return
            self._received(octets, time.monotonic())

    def write(self, octets: bytes, urgent: bool) -> bool:
        if self._gone or self._size > (URGENT_QUEUE if urgent else QUEUE):
            return False
        if self._waiting:
            self._waiting.append(octets)
            self._size += len(octets)
            return True
        rest = self._write(octets)
        if rest:
            self._waiting.append(rest)
            self._size += len(rest)
            self._reactor.addWriter(self)
        return not self._gone

    def _write(self, octets: bytes) -> bytes:
        """-> what the line does not take now."""
        try:
            return octets[os.write(self._descriptor, octets):]
        except OSError as error:
            if error.errno in (EAGAIN, EINTR):
                return octets
            self._hang_up("hang-up" if error.errno == EIO else error.strerror or "write error")
            return b""

    def doWrite(self) -> None:
        waiting = self._waiting
        while waiting:
            first = waiting.popleft()
            rest = self._write(first)
            self._size -= len(first) - len(rest)
            if rest:
                waiting.appendleft(rest)
                return
        self._reactor.removeWriter(self)

    def _hang_up(self, reason: str) -> None:
        if not self._gone:
            self._silence()
            self._hung_up(reason)

    def _silence(self) -> None:
        self._gone = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._waiting.clear()
        self._size = 0

    def close(self) -> None:
        """Give the device back; what the line has not taken yet is lost."""
        if self._descriptor < 0:
            return
        if not self._gone:
            self._silence()
        with suppress(OSError, termios.error):
            # else the kernel waits with close until the line has taken it
            termios.tcflush(self._descriptor, termios.TCIOFLUSH)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._old)
        os.close(self._descriptor)
        self._descriptor = -1
