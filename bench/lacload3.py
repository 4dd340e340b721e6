"""The other end of L2TPv3 sessions for `lacload.Load`: an LCCE over UDP (RFC 3931) that asks for pseudowires.

Without a secret it sends no digests; with one every message has its HMAC-MD5, and those of the peer are checked. None
of the suite's own code is in it.
"""

from __future__ import annotations

import functools
import hmac
import os
import socket
import struct

from bench.lacload import (
    CALL_ASKED,
    CALL_CONNECTED,
    CALL_ENDED,
    CDN,
    ICCN,
    ICRP,
    ICRQ,
    SCCCN,
    SCCRP,
    SCCRQ,
    STOPCCN,
    Call,
    Load,
    LoadError,
    Tunnel,
    avp,
    message,
    read_avps,
)

ACK = 20
ETHERNET, PPP = 5, 7
_DIGEST = struct.pack("!HHHB", 0x8000 | 23, 0, 59, 0)
_AT = 12 + 8 + len(_DIGEST)
"""Where a digest stands in a message: behind the header and the Message Type."""
_ACTIVE = avp(71, b"\0\1")


def number(kind: int, value: int, mandatory: bool = True) -> bytes:
    return avp(kind, struct.pack("!I", value), mandatory)


class Tunnel3(Tunnel):
    """A control connection of version 3. `pseudowire`: the type of its sessions."""

    def __init__(self, load: Load, sock: socket.socket, host_name: str, secret: bytes, pseudowire: int = PPP) -> None:
        super().__init__(load, sock, host_name, secret)
        self.pseudowire = pseudowire
        self.tunnel_id = int.from_bytes(os.urandom(4), "big") | 1 << 31
        self.next_session_id = int.from_bytes(os.urandom(3), "big") << 8 | 1 << 31
        self.nonce = os.urandom(16) if secret else b""
        self.peer_nonce = b""
        self.ns_now = 0
        key = hmac.digest(secret, b"\2", "md5")
        self._hmac = functools.partial(hmac.digest, key, digest="md5")

    # control channel

    def _whole(self, body: bytes, kind: int) -> bytes:
        """The message with its header, and with its digest where there is a secret."""
        room = _DIGEST + bytes(16) if self.secret else b""
        data = struct.pack("!HHIHH", 0xC803, 12 + len(body) + len(room), self.peer_tunnel_id, self.ns_now, self.nr)
        data += body[:8] + room + body[8:]
        if not room:
            return data
        nonces = b"" if kind == SCCRQ else self.nonce + self.peer_nonce
        return data[:_AT] + self._hmac(nonces + data) + data[_AT + 16:]

    def _put(self, entry: list) -> None:
        self.ack_owed = False
        self.ns_now = entry[0]
        self._out(self._whole(entry[2], entry[6]))

    def acknowledge(self) -> None:
        if self.ack_owed:
            self.ack_owed = False
            self.ns_now = self.ns
            self._out(self._whole(message(ACK), ACK))

    def _check(self, data: bytes, kind: int) -> None:
        nonces = self.peer_nonce + self.nonce
        if kind == SCCRP:
            nonces = read_avps(data)[73] + self.nonce
        if self._hmac(nonces + data[:_AT] + bytes(16) + data[_AT + 16:]) != data[_AT:_AT + 16]:
            raise LoadError(f"the digest of a message of type {kind} is wrong")

    def receive(self, data: bytes) -> None:
        if not data[0] & 0x80:
            self.load.data_octets += len(data)
            return
        _, _, _, ns, nr = struct.unpack_from("!HHIHH", data)
        kind = struct.unpack_from("!H", data, 18)[0] if len(data) > 12 else ACK
        if self.secret:
            self._check(data, kind)
        self._acked(nr)
        if kind == ACK:
            return
        self.ack_owed = True
        if ns != self.nr:
            return
        self.nr = ns + 1 & 0xFFFF
        if kind == ICRP:
            avps = read_avps(data)
            self._icrp(struct.unpack("!I", avps[64])[0], avps)
        elif kind == SCCRP:
            self._sccrp(read_avps(data))
        elif kind == CDN:
            call = self.calls.pop(struct.unpack("!I", read_avps(data)[64])[0], None)
            if call is not None:
                self.load.ended(self, call)
        elif kind == STOPCCN:
            self.closed = True
            self.load.stopped(self, read_avps(data).get(1, b""))

    def open(self) -> None:
        nonce = [avp(73, self.nonce)] if self.secret else []
        self.send(0, message(
            SCCRQ, avp(7, self.host_name.encode()), number(60, 1), number(61, self.tunnel_id),
            avp(62, struct.pack("!HH", ETHERNET, PPP)), *nonce, avp(10, struct.pack("!H", 64)),
        ), SCCRQ)  # fmt: skip

    def _sccrp(self, avps: dict[int, bytes]) -> None:
        self.peer_tunnel_id = struct.unpack("!I", avps[61])[0]
        self.peer_nonce = avps.get(73, b"")
        self.window = struct.unpack("!H", avps[10])[0] if 10 in avps else 4
        self.send(0, message(SCCCN), SCCCN)
        self.established = True

    def start_call(self, number_: int, name: bytes) -> Call:
        call = Call(number_, self.next_session_id, name)
        self.next_session_id += 1
        self.calls[call.session_id] = call
        call.state = CALL_ASKED
        call.asked_at = self.load.now
        self.send(0, message(
            ICRQ, number(63, call.session_id), number(64, 0), number(15, number_, False),
            avp(68, struct.pack("!H", self.pseudowire)), avp(66, b"c%d" % number_), _ACTIVE,
        ), ICRQ, call)  # fmt: skip
        return call

    def _icrp(self, session_id: int, avps: dict[int, bytes]) -> None:
        call = self.calls.get(session_id)
        if call is None or call.state != CALL_ASKED:
            return
        call.peer_session_id = struct.unpack("!I", avps[63])[0]
        call.header = struct.pack("!HHI", 3, 0, call.peer_session_id)
        call.state = CALL_CONNECTED
        self.load.answered(self, call)
        self.send(0, message(
            ICCN, number(63, call.session_id), number(64, call.peer_session_id), _ACTIVE,
        ), ICCN, call)  # fmt: skip

    def hang_up(self, call: Call) -> None:
        call.state = CALL_ENDED
        self.calls.pop(call.session_id, None)
        self.send(0, message(
            CDN, avp(1, struct.pack("!H", 3)), number(63, call.session_id), number(64, call.peer_session_id),
        ), CDN, call)  # fmt: skip

    def stop(self) -> None:
        self.calls.clear()
        self.send(0, message(
            STOPCCN, avp(1, struct.pack("!H", 1)), number(61, self.tunnel_id),
        ), STOPCCN)  # fmt: skip
