"""Datagrams as fast as one core sends them: sendmmsg(2) through ctypes, nothing built while the clock runs."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Sequence

BATCH = 64


class _iovec(ctypes.Structure):  # noqa: N801 - the names of the system's headers
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class _msghdr(ctypes.Structure):  # noqa: N801
    _fields_ = [
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(_iovec)),
        ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]  # fmt: skip


class _mmsghdr(ctypes.Structure):  # noqa: N801
    _fields_ = [("hdr", _msghdr), ("len", ctypes.c_uint32)]


class Blast:
    """The same datagrams again and again through one socket; `targets` (address, port) where it is not connected."""

    def __init__(self, sock: socket.socket, datagrams: Sequence[bytes],
                 targets: Sequence[tuple[str, int]] = ()) -> None:  # fmt: skip
        # at least a full batch, so that one datagram is not one system call
        while len(datagrams) < BATCH:
            datagrams = [*datagrams, *datagrams]
            targets = [*targets, *targets]
        self.count = len(datagrams)
        self._descriptor = sock.fileno()
        self._buffers = [ctypes.create_string_buffer(datagram, len(datagram)) for datagram in datagrams]
        self._names = [ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H", port)
                                                   + socket.inet_aton(host) + bytes(8), 16)
                       for host, port in targets]  # fmt: skip
        self._iovecs = (_iovec * self.count)()
        self._messages = (_mmsghdr * self.count)()
        for at, buffer in enumerate(self._buffers):
            self._iovecs[at].base = ctypes.addressof(buffer)
            self._iovecs[at].len = len(datagrams[at])
            header = self._messages[at].hdr
            header.iov = ctypes.pointer(self._iovecs[at])
            header.iovlen = 1
            if targets:
                header.name = ctypes.addressof(self._names[at])
                header.namelen = 16
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg

    def run(self, seconds: float) -> int:
        """How many datagrams were sent."""
        sent = at = 0
        size = ctypes.sizeof(_mmsghdr)
        base = ctypes.addressof(self._messages)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            many = min(BATCH, self.count - at)
            done = self._sendmmsg(self._descriptor, ctypes.c_void_p(base + at * size), many, 0)
            if done < 0:
                error = ctypes.get_errno()
                if error in (11, 105):  # EAGAIN, ENOBUFS: the queue is full
                    time.sleep(0.0005)
                    continue
                raise OSError(error, os.strerror(error))
            sent += done
            at = (at + done) % self.count
        return sent


def ipv4_udp(source: bytes, destination: bytes, length: int) -> bytes:
    """An IPv4 packet of `length` octets with a UDP datagram without checksum in it."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 17, 0, source, destination)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", total ^ 0xFFFF) + header[12:]
    return header + struct.pack("!HHHH", 5000, 9, length - 20, 0) + bytes(length - 28)
