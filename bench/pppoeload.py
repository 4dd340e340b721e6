"""PPPoE hosts that make load: discovery (RFC 2516), then PPP as the calls of `lacload` do.

None of the suite's own code, so that it measures it from outside. One raw socket, a MAC address for each host.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

from bench.lacload import CALL_ASKED, CALL_CONNECTED, CALL_ENDED, CALL_UP, RETRY, Call, Load, Tunnel

DISCOVERY, SESSION = 0x8863, 0x8864
PADI, PADO, PADR, PADS, PADT = 0x09, 0x07, 0x19, 0x65, 0xA7
SERVICE_NAME, HOST_UNIQ, AC_COOKIE = 0x0101, 0x0103, 0x0104
ERRORS = (0x0201, 0x0202, 0x0203)
ETH_P_ALL, SOL_PACKET, PACKET_IGNORE_OUTGOING = 3, 263, 23
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BUFFER = 32 << 20
"""Octets: answers to all hosts at once must not be lost here."""
BROADCAST = b"\xff" * 6
HOST, STRANGER = b"\x02\x50", b"\x02\x51"
"""First octets of locally administered addresses; the number of the host is the rest."""
PADR_TRIES = 3
"""Then a host begins again with a PADI (RFC 2516 section 8)."""
PPP_TRIES = 10


def mac(number: int) -> bytes:
    return HOST + number.to_bytes(4, "big")


def tag(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


def read_tags(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        found[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def discovery(destination: bytes, source: bytes, code: int, body: bytes, session_id: int = 0) -> bytes:
    return destination + source + struct.pack("!HBBHH", DISCOVERY, 0x11, code, session_id, len(body)) + body


def raw_socket(interface: str) -> socket.socket:
    """All that comes in on an Ethernet interface, whoever it is for."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    made.bind((interface, ETH_P_ALL))
    return made


class Segment(Tunnel):
    """The interface, in the place of a tunnel: its calls are PPPoE sessions, by the numbers of their hosts. Hosts do
    not give up, and dial again when they are sent away before they are online."""

    service = b""

    def __init__(self, load: Load, sock: socket.socket, host_name: str, secret: bytes) -> None:
        super().__init__(load, sock, host_name, secret)
        self.established = True
        self.asked: dict[int, tuple[int, float, int, bytes]] = {}
        """Hosts in discovery: code, when it was sent, how often before, the frame."""
        self.padi = self.pado = self.refused = self.again = 0
        """Sent and received by hosts; PADS with an error; sent away before they were online."""
        self.strangers = 0
        """PADOs to those who only ask."""

    def open(self) -> None:
        """There is nothing to open."""

    def acknowledge(self) -> None:
        """There is nothing to acknowledge."""

    # discovery

    def start_call(self, number: int, name: bytes) -> Call:
        call = self.calls[number] = Call(number, number, name)
        call.state = CALL_ASKED
        call.asked_at = self.load.now
        self._discover(number, PADI, BROADCAST)
        # hosts do not wait for each other
        self.load.answered(self, call)
        return call

    def ask(self, count: int) -> None:
        """PADIs of so many strangers, who do nothing more."""
        for number in range(count):
            body = tag(SERVICE_NAME, self.service)
            self._out(discovery(BROADCAST, STRANGER + number.to_bytes(4, "big"), PADI, body))

    def _discover(self, number: int, code: int, destination: bytes, tags: bytes = b"") -> None:
        body = tag(SERVICE_NAME, self.service) + tag(HOST_UNIQ, struct.pack("!I", number)) + tags
        frame = discovery(destination, mac(number), code, body)
        self.asked[number] = (code, self.load.now, 0, frame)
        self.padi += code == PADI
        self._out(frame)

    def receive(self, data: bytes) -> None:
        ethertype = struct.unpack_from("!H", data, 12)[0]
        if ethertype == SESSION:
            self._session(data)
        elif ethertype == DISCOVERY:
            self._discovery(data)

    def _discovery(self, data: bytes) -> None:
        _, code, session_id, length = struct.unpack_from("!BBHH", data, 14)
        if data[:2] == STRANGER:
            self.strangers += code == PADO
            return
        number = int.from_bytes(data[2:6], "big")
        call = self.calls.get(number)
        if call is None:
            return
        if code == PADT and session_id == call.peer_session_id != 0:
            self._sent_away(call)
            return
        waiting = self.asked.get(number)
        if waiting is None:
            return
        tags = read_tags(data[20 : 20 + length])
        if code == PADO and waiting[0] == PADI:
            self.pado += 1
            cookie = tag(AC_COOKIE, tags[AC_COOKIE]) if AC_COOKIE in tags else b""
            self._discover(number, PADR, data[6:12], cookie)
        elif code == PADS and waiting[0] == PADR:
            if session_id == 0 or any(error in tags for error in ERRORS):
                self.refused += 1
                # asks again when its time is over
                self.asked[number] = (PADR, self.load.now, PADR_TRIES, waiting[3])
                return
            del self.asked[number]
            call.peer_session_id = session_id
            call.header = data[6:12] + mac(number) + struct.pack("!HBBH", SESSION, 0x11, 0, session_id)
            call.state = CALL_CONNECTED
            self.load.connected(self, call)

    def _sent_away(self, call: Call) -> None:
        if call.state == CALL_UP:
            self.calls.pop(call.number)
            self.load.ended(self, call)
            return
        self.again += 1
        asked_at = call.asked_at
        call.__init__(call.number, call.number, call.name)  # type: ignore[misc]
        call.asked_at = asked_at
        call.state = CALL_ASKED
        self._discover(call.number, PADI, BROADCAST)

    # PPP

    def _session(self, data: bytes) -> None:
        call = self.calls.get(int.from_bytes(data[2:6], "big"))
        _, _, session_id, length = struct.unpack_from("!BBHH", data, 14)
        if call is None or session_id != call.peer_session_id or call.state < CALL_CONNECTED or length < 6:
            return
        protocol = struct.unpack_from("!H", data, 20)[0]
        if protocol & 0xFF00 == 0:
            self.load.data_octets += len(data)
            return
        code, identifier, size = struct.unpack_from("!BBH", data, 22)
        self._control_frame(call, protocol, code, identifier, data[26 : 22 + size])

    def _lcp(self, call: Call, code: int, identifier: int, body: bytes) -> None:
        if code == 1 and call.lcp_ours and call.lcp_theirs:
            # the LNS begins anew with whom the LAC has negotiated already
            call.lcp_ours = call.lcp_theirs = call.authenticated = call.ipcp_ours = call.ipcp_theirs = False
            call.ppp_sent = 0.0
        super()._lcp(call, code, identifier, body)

    def ppp_send(self, call: Call, protocol: int, code: int, identifier: int, body: bytes = b"") -> None:
        frame = struct.pack("!HBBH", protocol, code, identifier, 4 + len(body)) + body
        self._out(call.header + struct.pack("!H", len(frame)) + frame)

    # the end

    def hang_up(self, call: Call) -> None:
        call.state = CALL_ENDED
        self.calls.pop(call.number, None)
        if call.header:
            self._out(discovery(call.header[:6], call.header[6:12], PADT, b"", call.peer_session_id))

    def stop(self) -> None:
        for call in list(self.calls.values()):
            self.hang_up(call)
        self.asked.clear()

    # time

    def timeout(self) -> None:
        now = self.load.now
        for number, (code, since, tries, frame) in list(self.asked.items()):
            if now - since <= RETRY * 2 ** min(tries, 3):
                continue
            self.retransmits += 1
            if code == PADR and tries >= PADR_TRIES:
                self._discover(number, PADI, BROADCAST)
                continue
            self.padi += code == PADI
            self.asked[number] = (code, now, tries + 1, frame)
            self._out(frame)
        for _, call in list(self.load.pending.values()):
            if call.ppp_retries > PPP_TRIES:
                self._out(discovery(call.header[:6], call.header[6:12], PADT, b"", call.peer_session_id))
                self._sent_away(call)

    def _out(self, datagram: bytes) -> None:
        while True:
            try:
                self.sock.send(datagram)
                return
            except BlockingIOError:
                select.select((), (self.sock,), ())


def hosts_on(sock: socket.socket, **options: Any) -> tuple[Load, Segment]:
    """PPPoE hosts on one interface: `make_calls(count)` of the load brings so many up. `options` as of `Load`."""
    load = Load([sock], make=Segment, per_tunnel=100_000, **options)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    (segment,) = load.tunnels.values()
    assert isinstance(segment, Segment)
    return load, segment
