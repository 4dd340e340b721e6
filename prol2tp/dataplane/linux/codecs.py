"""Compression and encryption in the kernel's PPP, which begins when it sees a Configure-Ack of CCP pass.

Here CCP has agreed before there is an interface, or at least before this process hears of it. So a unit is put for a
moment on a channel whose other end is a socket of ours, where both Configure-Acks pass; then it goes back to its own.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from errno import ETIMEDOUT

from prol2tp.dataplane import l2tpv2
from prol2tp.dataplane.linux import pppdev
from prol2tp.dataplane.linux.genl import ENCAP_UDP, GenericSocket
from prol2tp.dataplane.linux.sockets import open_pppol2tp
from prol2tp.ppp.ccp import CODECS

_CCP = b"\x80\xfd"
_CONFIGURE_ACK = 2
_LOOPBACK = "127.0.0.1"
_FF03 = b"\xff\x03"
_WAIT = 1.0
"""Seconds for a frame over the loopback interface."""
KEY_LENGTH = 16
MPPE = "mppe"
_IDS = 0xFFFF

MODULES = {"deflate": "ppp_deflate", MPPE: "ppp_mppe"}
"""Codecs of the kernel, by the words of `ppp.ccp.CODECS`."""


@dataclass(slots=True)
class Codecs:
    """What CCP has agreed on, as `IDataPlane.port_compress`."""

    send: str = ""
    receive: str = ""
    send_option: bytes = b""
    receive_option: bytes = b""
    send_key: bytes = field(default=b"", repr=False)
    receive_key: bytes = field(default=b"", repr=False)

    def acknowledges(self) -> tuple[list[bytes], list[bytes]]:
        """Frames of the Configure-Acks that we send, and that we get: none where nothing is compressed."""
        return ([_acknowledge(_option(self.send, self.send_option))] if self.send else [],
                [_acknowledge(_option(self.receive, self.receive_option))] if self.receive else [])

    @property
    def encrypts(self) -> bool:
        return MPPE in (self.send, self.receive)


def _option(word: str, data: bytes) -> bytes:
    return bytes((CODECS[word], 2 + len(data))) + data


def _acknowledge(option: bytes) -> bytes:
    return _CCP + bytes((_CONFIGURE_ACK, 0)) + (4 + len(option)).to_bytes(2, "big") + option


class Primer:
    """Starts codecs of units. It blocks, and belongs on the link thread."""

    def __init__(self, requests: GenericSocket) -> None:
        self._requests = requests
        self._ours: socket.socket | None = None
        self._other: socket.socket | None = None
        self._pppox: socket.socket | None = None
        self._channel = -1
        self._tunnel_id = 0

    def close(self) -> None:
        if self._channel >= 0:
            os.close(self._channel)
            self._channel = -1
        for member in (self._pppox, self._ours, self._other):
            if member is not None:
                member.close()
        self._pppox = self._ours = self._other = None

    def _open(self) -> None:
        """A tunnel from the loopback address to itself."""
        if self._channel >= 0:
            return
        try:
            ours = self._ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            other = self._other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            ours.bind((_LOOPBACK, 0))
            other.bind((_LOOPBACK, 0))
            ours.connect(other.getsockname())
            other.connect(ours.getsockname())
            other.setblocking(False)
            self._tunnel_id = self._create(ours.fileno())
            self._pppox = open_pppol2tp(2, other.getsockname(), (self._tunnel_id, 1, self._tunnel_id, 1))
            self._channel = pppdev.open_channel(self._pppox.fileno())[0]
        except OSError:
            self.close()
            raise

    def _create(self, descriptor: int) -> int:
        error: OSError | None = None
        for _ in range(16):
            number = int.from_bytes(os.urandom(2), "big") % (_IDS - 1) + 1
            try:
                self._requests.tunnel_create(descriptor, 2, number, number, ENCAP_UDP != 0)
                return number
            except OSError as caught:
                error = caught  # somebody has this number
        assert error is not None
        raise error

    def start(self, unit: int, number: int, codecs: Codecs) -> list[bytes]:
        """Begin with a unit that has no channel. -> frames that came out of the unit meanwhile. Raises `OSError`."""
        self._open()
        pppdev.change_flags(unit, off=pppdev.CCP_OPEN | pppdev.CCP_UP | pppdev.MUST_COMP)
        pppdev.change_flags(unit, on=pppdev.CCP_OPEN)
        for word, data, key, transmit in ((codecs.send, codecs.send_option, codecs.send_key, True),
                                          (codecs.receive, codecs.receive_option, codecs.receive_key, False)):
            if word:
                secret = key[:KEY_LENGTH].ljust(KEY_LENGTH, b"\0") if word == MPPE else b""
                pppdev.set_codec(unit, _option(word, data) + secret, transmit)
        pppdev.connect(self._channel, number)
        try:
            frames = self._pass(unit, codecs)
        finally:
            pppdev.disconnect(self._channel)
        pppdev.change_flags(unit, on=pppdev.CCP_UP | (pppdev.MUST_COMP if codecs.encrypts else 0))
        return frames

    def _pass(self, unit: int, codecs: Codecs) -> list[bytes]:
        assert self._other is not None
        frames: list[bytes] = []
        sent, received = codecs.acknowledges()
        for frame in sent:
            os.write(unit, frame)
            with suppress(BlockingIOError):
                while True:
                    self._other.recv(2048)
        for expected in received:
            self._other.send(l2tpv2.plain(self._tunnel_id, 1) + _FF03 + expected)
            _await(unit, expected, frames)
        return frames


def _await(unit: int, expected: bytes, others: list[bytes]) -> None:
    """Read frames of a unit until the expected one has come. Raises `OSError`."""
    waiting = select.poll()
    waiting.register(unit, select.POLLIN)
    while waiting.poll(_WAIT * 1000):
        frame = os.read(unit, 65535)
        if frame == expected:
            return
        if not frame:
            break
        others.append(frame)
    raise TimeoutError(ETIMEDOUT, "no Configure-Ack over the loopback interface")


def stop_codecs(unit: int) -> None:
    """Packets pass as they are. Raises `OSError`."""
    pppdev.change_flags(unit, off=pppdev.CCP_OPEN | pppdev.CCP_UP | pppdev.MUST_COMP)
