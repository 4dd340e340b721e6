"""One connection between a daemon and prol2tp-pathd: records in batches over SOCK_SEQPACKET, descriptors by SCM_RIGHTS.

What is sent in one turn of the reactor leaves at its end in few datagrams. Nothing blocks: what the other side does not
take is kept, and above `FRAMES_MAX` PPP frames are refused; requests and replies never are.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR, ENOBUFS
from struct import Struct
from time import monotonic
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from prol2tp.dataplane.records import BODY_MAX, FRAME, HEADER

BATCH = 2048
"""Octets after which a datagram is sent before the turn ends. Few, for the other side carries out a whole datagram
before packets and timers get their turn: some fifty requests."""
FRAMES_MAX = 4 << 20
"""Octets that may wait for the other side before frames are refused."""
READS = 4
"""Most datagrams read in one wake-up."""
SLICE = 0.004
"""Seconds of a turn of the reactor after which a wake-up reads no more of them."""
BUFFER = 4 << 20
DESCRIPTORS_MAX = 4
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32

_INT = Struct("=i")
_RIGHTS_SPACE = socket.CMSG_SPACE(DESCRIPTORS_MAX * _INT.size)


@implementer(IReadWriteDescriptor)
class Channel:
    """A connected socket.

    :param received: called with each datagram and its descriptors, which are then the callee's to close.
    :param lost: called once with a reason, when the other side has closed or failed; not after `close`.
    :param patient: read nothing while much waits for the other side. Only one of the two may be.
    """

    def __init__(self, reactor: Any, connection: socket.socket, received: Callable[[bytes, list[int]], None],
                 lost: Callable[[str], None], patient: bool = False) -> None:
        connection.setblocking(False)
        for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self._reactor = reactor
        self._socket = connection
        self._received = received
        self._lost = lost
        self._patient = patient
        self._paused = False
        self._held = False
        self._batch: list[bytes] = []
        self._batch_size = 0
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._waiting_size = 0
        self._buffer = bytearray(65536)
        self._flush_call: Any = None
        self.closed = False
        reactor.addReader(self)

    # -- out --

    def send(self, record: bytes) -> None:
        """Send with the batch of this turn."""
        if self.closed:
            return
        self._batch.append(record)
        self._batch_size += len(record)
        if self._batch_size >= BATCH:
            self._pack()
        if self._flush_call is None:
            self._flush_call = self._reactor.callLater(0, self._flush_turn)

    def send_frame(self, port: int, frame: bytes) -> bool:
        """Send a PPP frame; False: the other side is too slow, it was dropped."""
        if self._waiting_size > FRAMES_MAX or len(frame) > BODY_MAX:
            return False
        self.send(HEADER.pack(FRAME, 0, len(frame), port) + frame)
        return True

    def send_descriptor(self, record: bytes, descriptor: int) -> None:
        """Send a record with a descriptor, in a datagram of its own. The descriptor is closed here afterwards."""
        if self.closed:
            os.close(descriptor)
            return
        self._pack()
        self._waiting.append((record, descriptor))
        self._waiting_size += len(record)
        self.flush()

    @property
    def crowded(self) -> bool:
        """So much waits for the other side that no more should be asked for."""
        return self._waiting_size > FRAMES_MAX

    def flush(self) -> None:
        """Send what there is, as far as the socket takes it."""
        self._pack()
        waiting = self._waiting
        while waiting:
            datagram, descriptor = waiting[0]
            try:
                if descriptor < 0:
                    self._socket.send(datagram)
                else:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _INT.pack(descriptor))]
                    self._socket.sendmsg((datagram,), rights)
            except OSError as error:
                if error.errno in (EAGAIN, ENOBUFS):
                    self._reactor.addWriter(self)
                elif error.errno != EINTR:
                    self._fail(error.strerror or "write error")
                return
            waiting.popleft()
            self._waiting_size -= len(datagram)
            if descriptor >= 0:
                os.close(descriptor)
        self._reactor.removeWriter(self)
        if self._paused:
            self._paused = False
            self._resume()

    def _flush_turn(self) -> None:
        self._flush_call = None
        if not self.closed:
            self.flush()

    def _pack(self) -> None:
        """Make one datagram of the batch."""
        if not self._batch:
            return
        size = 0
        records: list[bytes] = []
        for record in self._batch:
            if size + len(record) > 0xFFFF:
                self._queue(b"".join(records))
                records, size = [], 0
            records.append(record)
            size += len(record)
        self._queue(b"".join(records))
        self._batch = []
        self._batch_size = 0

    def _queue(self, datagram: bytes) -> None:
        self._waiting.append((datagram, -1))
        self._waiting_size += len(datagram)

    # -- in --

    def doRead(self) -> None:
        end = self._reactor.seconds() + SLICE
        for reads in range(READS):
            if self.closed or self._held or (reads and monotonic() >= end):
                return
            if self._patient and self._waiting_size > 2 * FRAMES_MAX:
                self._paused = True
                self._reactor.removeReader(self)
                return
            try:
                size, ancillary, _, _ = self._socket.recvmsg_into((self._buffer,), _RIGHTS_SPACE,
                                                                  socket.MSG_CMSG_CLOEXEC)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    self._fail(error.strerror or "read error")
                return
            descriptors = [number[0] for level, kind, data in ancillary
                           if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                           for number in _INT.iter_unpack(data[:len(data) // _INT.size * _INT.size])]
            if not size:
                for descriptor in descriptors:
                    os.close(descriptor)
                self._fail("the other side has closed")
                return
            self._received(bytes(memoryview(self._buffer)[:size]), descriptors)
            if size < BATCH and not descriptors:
                return  # so ends what the other side sent in its turn: looking for more is mostly in vain

    def doWrite(self) -> None:
        self.flush()

    def pause(self) -> None:
        """Read no more until `resume`."""
        self._held = True
        self._reactor.removeReader(self)

    def resume(self) -> None:
        self._held = False
        self._resume()

    def _resume(self) -> None:
        if not (self.closed or self._held or self._paused):
            self._reactor.addReader(self)

    # -- the end --

    def close(self) -> None:
        """Send what can be sent at once, and close."""
        if self.closed:
            return
        self.flush()
        self._shut()

    def notice_end(self) -> None:
        """Be lost now if the other side has closed, whatever it had sent before."""
        if not self.closed:
            poll = select.poll()
            poll.register(self._socket, 0)
            if any(events & select.POLLHUP for _, events in poll.poll(0)):
                self._fail("the other side has closed")

    def _fail(self, reason: str) -> None:
        if not self.closed:
            self._shut()
            self._lost(reason)

    def _shut(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
        for _, descriptor in self._waiting:
            if descriptor >= 0:
                os.close(descriptor)
        self._waiting.clear()
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "path"

    def connectionLost(self, reason: Any) -> None:
        self._fail("the other side has closed")
