"""A netlink socket on the reactor: messages out in the order asked for, acks and replies as Deferreds.

The kernel carries out a route or address request inside `send`, so the answer is read at once, and many requests of
one reactor turn go out in one call.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger(namespace="netlink")

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800

HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_ERROR = Struct("=i")
_OK = _ERROR.pack(0)
_TLV = Struct("=HH")
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_F_ACK_TLVS = 0x200
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_RCVBUFFORCE = 33
_ATTR_TEXT = 1

WINDOW = 64
"""Requests in flight: their acks fit the receive buffer however small the system keeps it."""
RECEIVE_BUFFER = 1 << 20
_RECEIVE = 1 << 16
_KIND = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_SEQUENCES = 1 << 32


class NetlinkError(Exception):
    """The kernel refused a request. `errno` is its number, the text has its reason, and the kernel's own words
    where it gave any."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.errno = number
        self.text = text


def allow(failure: Any, *numbers: int) -> None:
    """Errback that passes over some errors of the kernel."""
    failure.trap(NetlinkError)
    if failure.value.errno not in numbers:
        raise failure.value


@implementer(IReadDescriptor)
class NetlinkSocket:
    """One NETLINK_ROUTE socket, in the network namespace of the thread that makes it.

    :param reactor: `IReactorFDSet` and `IReactorTime`.
    :param window: requests that go out in one call; the reactor waits until the kernel has carried them out.
    """

    def __init__(self, reactor: Any, window: int = WINDOW) -> None:
        self._reactor = reactor
        self._window = window
        self._socket = socket.socket(socket.AF_NETLINK, _KIND, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        for option in (_CAP_ACK, _EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0
        self._waiting: deque[tuple[int, bytes, Deferred[list[bytes]]]] = deque()
        self._sent: dict[int, tuple[Deferred[list[bytes]], list[bytes]]] = {}
        self._flush: Any = None
        self.requests = 0
        reactor.addReader(self)

    def request(self, kind: int, payload: bytes, flags: int = 0) -> Deferred[list[bytes]]:
        """Send a message.

        :param kind: message type (RTM_...).
        :param payload: what comes after the message's header.
        :param flags: beside NLM_F_REQUEST; NLM_F_DUMP for a dump, else an ack is asked for.
        :return: the messages that came back, with their headers; [] for a plain ack. Fails with `NetlinkError`.
        """
        answer: Deferred[list[bytes]] = Deferred()
        if self._socket.fileno() < 0:
            answer.errback(NetlinkError(errno.ESHUTDOWN, "the netlink socket is closed"))
            return answer
        self._sequence = self._sequence % (_SEQUENCES - 1) + 1
        flags |= NLM_F_REQUEST if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_REQUEST | NLM_F_ACK
        header = HEADER.pack(HEADER.size + len(payload), kind, flags, self._sequence, 0)
        self.requests += 1
        # the next message begins at a multiple of four
        self._waiting.append((self._sequence, header + payload + bytes(-len(payload) % 4), answer))
        if self._flush is None:
            self._flush = self._reactor.callLater(0, self._send)
        return answer

    def close(self) -> None:
        """Requests without an answer fail."""
        if self._socket.fileno() < 0:
            return
        self._reactor.removeReader(self)
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._socket.close()
        self._fail(NetlinkError(errno.ESHUTDOWN, "the netlink socket was closed"), everything=True)

    def _send(self) -> None:
        self._flush = None
        batch = []
        while self._waiting and len(self._sent) < self._window:
            sequence, data, answer = self._waiting.popleft()
            self._sent[sequence] = (answer, [])
            batch.append(data)
        if batch:
            try:
                self._socket.send(b"".join(batch))
            except OSError as error:
                self._fail(_system_error(error))
            self.doRead()
        self._continue()

    def _continue(self) -> None:
        if self._waiting and self._flush is None and len(self._sent) < self._window and self._socket.fileno() >= 0:
            self._flush = self._reactor.callLater(0, self._send)

    def _fail(self, error: NetlinkError, everything: bool = False) -> None:
        answers = [answer for answer, _ in self._sent.values()]
        self._sent.clear()
        if everything:
            answers += [answer for _, _, answer in self._waiting]
            self._waiting.clear()
        for answer in answers:
            answer.errback(error)

    def doRead(self) -> None:
        """Read until nothing is there or waited for; the window bounds how much that can be."""
        while self._socket.fileno() >= 0:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                # ENOBUFS: acks are lost, and with them what became of the requests in flight
                _log.warn("netlink: {error}", error=os.strerror(error.errno or 0))
                self._fail(_system_error(error))
                if error.errno != errno.ENOBUFS:
                    break
                continue
            self._read(data)
            if not self._sent:
                break  # that was the last answer: another read would find nothing
        self._continue()

    def _read(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at + HEADER.size <= end:
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
            if length < HEADER.size or at + length > end:
                break
            entry = self._sent.get(sequence)
            if entry is not None:
                answer, parts = entry
                if kind == _NLMSG_ERROR:
                    del self._sent[sequence]
                    self._ended(answer, parts, flags, data[at + HEADER.size:at + length])
                elif kind == _NLMSG_DONE:
                    del self._sent[sequence]
                    # a dump that failed in the middle says so here
                    self._ended(answer, parts, 0, data[at + HEADER.size:at + length] or _OK)
                else:
                    parts.append(data[at:at + length])
            at += (length + 3) & ~3

    def _ended(self, answer: Deferred[list[bytes]], parts: list[bytes], flags: int, payload: bytes) -> None:
        (code,) = _ERROR.unpack_from(payload)
        if code >= 0:
            answer.callback(parts)
            return
        text = os.strerror(-code)
        if flags & _F_ACK_TLVS and (words := _kernel_text(payload)):
            text = f"{text}: {words}"
        answer.errback(NetlinkError(-code, text))

    def fileno(self) -> int:
        return self._socket.fileno()

    def connectionLost(self, reason: Any) -> None:
        self.close()

    def logPrefix(self) -> str:
        return "netlink"


def _system_error(error: OSError) -> NetlinkError:
    return NetlinkError(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO))


def _kernel_text(payload: bytes) -> str:
    """The kernel's explanation (NLMSGERR_ATTR_MSG), after error number and capped header of the request."""
    at = _ERROR.size + HEADER.size
    while at + _TLV.size <= len(payload):
        length, kind = _TLV.unpack_from(payload, at)
        if length < _TLV.size:
            break
        if kind == _ATTR_TEXT:
            return payload[at + _TLV.size:at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""
