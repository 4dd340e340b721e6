#!/usr/bin/env python3
"""A LAC that makes load: L2TPv2 calls alone, or calls with PPP users up to an IPv4 address.

Standard library only and none of the suite's own code, so that it measures it from outside, like any other LNS.
Plain non-blocking UDP sockets, one per tunnel; RFC 2661 windows are kept, lost messages are sent again.

    mode l2tp    ICRQ, ICRP, ICCN                              set up when the ICCN is acknowledged (in its own time:
                                                               what counts as latency is ICRQ to ICRP)
    mode ppp     the same, then LCP, PAP or CHAP, IPCP as a    set up when IPCP is open on both sides
                 client
"""

from __future__ import annotations

import argparse
import hashlib
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable

SCCRQ, SCCRP, SCCCN, STOPCCN, HELLO = 1, 2, 3, 4, 6
ICRQ, ICRP, ICCN, CDN = 10, 11, 12, 14
LCP, PAP, CHAP, IPCP, IPV6CP = 0xC021, 0xC023, 0xC223, 0x8021, 0x8057
CONF_REQ, CONF_ACK, CONF_NAK, CONF_REJ, TERM_REQ, TERM_ACK = 1, 2, 3, 4, 5, 6
PROTO_REJ, ECHO_REQ, ECHO_REPLY = 8, 9, 10
CHALLENGE, RESPONSE, SUCCESS, FAILURE = 1, 2, 3, 4
_PAP, _CHAP = b"\x03\x04\xc0\x23", b"\x03\x05\xc2\x23\x05"
RETRY = 1.0
PPP_RETRY = 3.0
MAX_RETRIES = 8

CALL_IDLE, CALL_ASKED, CALL_CONNECTED, CALL_UP, CALL_ENDED = range(5)


class LoadError(Exception):
    """The peer refused, or did not answer any more."""


def avp(kind: int, value: bytes, mandatory: bool = True) -> bytes:
    return struct.pack("!HHH", (0x8000 if mandatory else 0) | (6 + len(value)), 0, kind) + value


def message(kind: int, *avps: bytes) -> bytes:
    return avp(0, struct.pack("!H", kind)) + b"".join(avps)


def read_avps(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 12
    while at + 6 <= len(data):
        length, vendor, kind = struct.unpack_from("!HHH", data, at)
        length &= 0x3FF
        if length < 6:
            break
        if vendor == 0:
            found[kind] = data[at + 6 : at + length]
        at += length
    return found


class Call:
    """One call, and in mode ppp the client of it."""

    __slots__ = (
        "number", "session_id", "peer_session_id", "state", "asked_at", "header", "lcp_ours", "lcp_theirs",
        "authenticated", "ipcp_ours", "ipcp_theirs", "address", "ppp_sent", "ppp_retries", "identifier", "name",
    )  # fmt: skip

    def __init__(self, number: int, session_id: int, name: bytes) -> None:
        self.number = number
        self.session_id = session_id
        self.peer_session_id = 0
        self.state = CALL_IDLE
        self.asked_at = self.ppp_sent = 0.0
        self.header = b""
        self.lcp_ours = self.lcp_theirs = self.authenticated = self.ipcp_ours = self.ipcp_theirs = False
        self.address = b"\0\0\0\0"
        self.ppp_retries = 0
        self.identifier = 1
        self.name = name


class Tunnel:
    """One control connection and its calls."""

    def __init__(self, load: Load, sock: socket.socket, host_name: str, secret: bytes) -> None:
        self.load = load
        self.sock = sock
        self.host_name = host_name
        self.secret = secret
        self.tunnel_id = int.from_bytes(os.urandom(2), "big") or 1
        self.peer_tunnel_id = 0
        self.ns = self.nr = 0
        self.window = 4
        self.sent: deque[list] = deque()  # [ns, session id, body, time, retries, call, kind]
        self.waiting: deque[tuple] = deque()
        self.ack_owed = False
        self.established = self.closed = False
        self.calls: dict[int, Call] = {}
        self.next_session_id = 1
        self.retransmits = 0

    # control channel

    def send(self, session_id: int, body: bytes, kind: int, call: Call | None = None) -> None:
        if len(self.sent) < self.window:
            self._transmit([self.ns, session_id, body, self.load.now, 0, call, kind])
        else:
            self.waiting.append((session_id, body, kind, call))

    def _transmit(self, entry: list) -> None:
        self.ns = self.ns + 1 & 0xFFFF
        self.sent.append(entry)
        self._put(entry)

    def _put(self, entry: list) -> None:
        header = struct.pack(
            "!HHHHHH", 0xC802, 12 + len(entry[2]), self.peer_tunnel_id, entry[1], entry[0], self.nr
        )
        self.ack_owed = False
        self._out(header + entry[2])

    def _out(self, datagram: bytes) -> None:
        try:
            self.sock.send(datagram)
        except BlockingIOError:
            self.load.lost += 1
        except ConnectionRefusedError as error:
            raise LoadError("the peer's port is closed") from error

    def acknowledge(self) -> None:
        if self.ack_owed:
            self.ack_owed = False
            self._out(struct.pack("!HHHHHH", 0xC802, 12, self.peer_tunnel_id, 0, self.ns, self.nr))

    def _acked(self, nr: int) -> None:
        sent = self.sent
        while sent and nr - 1 - sent[0][0] & 0xFFFF < 0x8000:
            entry = sent.popleft()
            if entry[6] == ICCN:
                self.load.connected(self, entry[5])
        while self.waiting and len(sent) < self.window:
            session_id, body, kind, call = self.waiting.popleft()
            self._transmit([self.ns, session_id, body, self.load.now, 0, call, kind])

    def receive(self, data: bytes) -> None:
        flags = data[0]
        if not flags & 0x80:
            self._data(data)
            return
        _, _, _, session_id, ns, nr = struct.unpack_from("!HHHHHH", data)
        self._acked(nr)
        if len(data) <= 12:
            return
        self.ack_owed = True
        if ns != self.nr:
            return
        self.nr = ns + 1 & 0xFFFF
        kind = struct.unpack_from("!H", data, 18)[0]
        if kind == ICRP:
            self._icrp(session_id, read_avps(data))
        elif kind == SCCRP:
            self._sccrp(read_avps(data))
        elif kind == CDN:
            call = self.calls.pop(session_id, None)
            if call is not None:
                self.load.ended(self, call)
        elif kind == STOPCCN:
            self.closed = True
            self.load.stopped(self, read_avps(data).get(1, b""))

    def open(self) -> None:
        self.send(0, message(
            SCCRQ, avp(2, b"\x01\x00"), avp(3, struct.pack("!I", 3)), avp(7, self.host_name.encode()),
            avp(9, struct.pack("!H", self.tunnel_id)), avp(10, struct.pack("!H", 64)),
        ), SCCRQ)  # fmt: skip

    def _sccrp(self, avps: dict[int, bytes]) -> None:
        self.peer_tunnel_id = struct.unpack("!H", avps[9])[0]
        self.window = struct.unpack("!H", avps[10])[0] if 10 in avps else 4
        answer = []
        if 11 in avps:
            answer.append(avp(13, hashlib.md5(bytes([SCCCN]) + self.secret + avps[11]).digest()))
        self.send(0, message(SCCCN, *answer), SCCCN)
        self.established = True

    def start_call(self, number: int, name: bytes) -> Call:
        call = Call(number, self.next_session_id, name)
        self.next_session_id = self.next_session_id % 0xFFFF + 1
        self.calls[call.session_id] = call
        call.state = CALL_ASKED
        call.asked_at = self.load.now
        self.send(0, message(
            ICRQ, avp(14, struct.pack("!H", call.session_id)), avp(15, struct.pack("!I", number)),
        ), ICRQ, call)  # fmt: skip
        return call

    def _icrp(self, session_id: int, avps: dict[int, bytes]) -> None:
        call = self.calls.get(session_id)
        if call is None or call.state != CALL_ASKED:
            return
        call.peer_session_id = struct.unpack("!H", avps[14])[0]
        call.header = struct.pack("!HHHBB", 2, self.peer_tunnel_id, call.peer_session_id, 0xFF, 3)
        call.state = CALL_CONNECTED
        self.load.answered(self, call)
        self.send(call.peer_session_id, message(
            ICCN, avp(24, struct.pack("!I", 100_000_000)), avp(19, struct.pack("!I", 1)),
        ), ICCN, call)  # fmt: skip

    def hang_up(self, call: Call) -> None:
        call.state = CALL_ENDED
        self.calls.pop(call.session_id, None)
        self.send(call.peer_session_id, message(
            CDN, avp(1, struct.pack("!H", 3)), avp(14, struct.pack("!H", call.session_id)),
        ), CDN, call)  # fmt: skip

    def stop(self) -> None:
        self.calls.clear()
        self.send(0, message(
            STOPCCN, avp(9, struct.pack("!H", self.tunnel_id)), avp(1, struct.pack("!H", 1)),
        ), STOPCCN)  # fmt: skip

    def timeout(self) -> None:
        now = self.load.now
        if self.sent and not self.closed and now - self.sent[0][3] > RETRY * 2 ** min(self.sent[0][4], 3):
            entry = self.sent[0]
            entry[3] = now
            entry[4] += 1
            self.retransmits += 1
            if entry[4] > MAX_RETRIES:
                raise LoadError(f"no acknowledgement of message type {entry[6]} (Ns {entry[0]})")
            self._put(entry)

    # PPP client

    def ppp_send(self, call: Call, protocol: int, code: int, identifier: int, body: bytes = b"") -> None:
        self._out(call.header + struct.pack("!HBBH", protocol, code, identifier, 4 + len(body)) + body)

    def ppp_advance(self, call: Call) -> None:
        """Send the request that the client waits on; at its start and again when nothing came back."""
        call.ppp_sent = self.load.now
        if not call.lcp_ours:
            magic = struct.pack("!BBI", 5, 6, 0x51000000 | call.number)
            self.ppp_send(call, LCP, CONF_REQ, call.identifier, magic)
        elif not call.lcp_theirs or (self.load.chap and not call.authenticated):
            return
        elif not call.authenticated:
            name, password = call.name, self.load.password
            body = bytes([len(name)]) + name + bytes([len(password)]) + password
            self.ppp_send(call, PAP, CONF_REQ, call.identifier, body)
        elif not call.ipcp_ours:
            self.ppp_send(call, IPCP, CONF_REQ, call.identifier, b"\x03\x06" + call.address)

    def _data(self, data: bytes) -> None:
        flags, version = data[0], data[1]
        if version & 15 != 2:
            return
        at = 4 if flags & 0x40 else 2
        session_id = struct.unpack_from("!H", data, at + 2)[0]
        at += 4
        if flags & 0x08:
            at += 4
        if flags & 0x02:
            at += 2 + struct.unpack_from("!H", data, at)[0]
        call = self.calls.get(session_id)
        if call is None or not self.load.ppp or call.state < CALL_CONNECTED:
            self.load.data_octets += len(data)
            return
        if data[at : at + 2] == b"\xff\x03":
            at += 2
        protocol, code, identifier, length = struct.unpack_from("!HBBH", data, at)
        if protocol & 0xFF00 == 0x0000:  # IP packets of others
            self.load.data_octets += len(data)
            return
        self._control_frame(call, protocol, code, identifier, data[at + 6 : at + 2 + length])

    def _control_frame(self, call: Call, protocol: int, code: int, identifier: int, body: bytes) -> None:
        if protocol == LCP:
            self._lcp(call, code, identifier, body)
        elif protocol == PAP and code == CONF_ACK and not call.authenticated:
            call.authenticated = True
            self.ppp_advance(call)
        elif protocol == PAP and code == CONF_NAK:
            self.load.refused += 1
        elif protocol == CHAP:
            self._chap(call, code, identifier, body)
        elif protocol == IPCP:
            self._ipcp(call, code, identifier, body)
        elif code == CONF_REQ and protocol not in (PAP, CHAP):
            self.ppp_send(call, LCP, PROTO_REJ, identifier, struct.pack("!HBBH", protocol, code, identifier,
                                                                       4 + len(body)) + body)  # fmt: skip

    def _lcp(self, call: Call, code: int, identifier: int, body: bytes) -> None:
        if code == CONF_REQ:
            unwanted, wanted = (_PAP, _CHAP) if self.load.chap else (_CHAP, _PAP)
            if body.find(unwanted) >= 0:
                self.ppp_send(call, LCP, CONF_NAK, identifier, wanted)
                return
            self.ppp_send(call, LCP, CONF_ACK, identifier, body)
            call.lcp_theirs = True
            if call.lcp_ours or not call.ppp_sent:
                self.ppp_advance(call)
        elif code == CONF_ACK and not call.lcp_ours:
            call.lcp_ours = True
            self.ppp_advance(call)
        elif code == ECHO_REQ:
            self.ppp_send(call, LCP, ECHO_REPLY, identifier, struct.pack("!I", 0x51000000 | call.number) + body[4:])
        elif code == TERM_REQ:
            self.ppp_send(call, LCP, TERM_ACK, identifier)
            self.load.terminated += 1

    def _chap(self, call: Call, code: int, identifier: int, body: bytes) -> None:
        if code == CHALLENGE:
            call.ppp_sent = self.load.now
            digest = hashlib.md5(bytes([identifier]) + self.load.password + body[1 : 1 + body[0]]).digest()
            self.ppp_send(call, CHAP, RESPONSE, identifier, b"\x10" + digest + call.name)
        elif code == SUCCESS and not call.authenticated:
            call.authenticated = True
            self.ppp_advance(call)
        elif code == FAILURE:
            self.load.refused += 1

    def _ipcp(self, call: Call, code: int, identifier: int, body: bytes) -> None:
        if code == CONF_REQ:
            self.ppp_send(call, IPCP, CONF_ACK, identifier, body)
            call.ipcp_theirs = True
        elif code == CONF_NAK and body[:2] == b"\x03\x06":
            call.address = body[2:6]
            call.identifier = call.identifier + 1 & 0xFF
            self.ppp_advance(call)
        elif code == CONF_ACK:
            call.ipcp_ours = True
        if call.ipcp_ours and call.ipcp_theirs and call.state == CALL_CONNECTED:
            self.load.up(call)


class Load:
    """Makes calls when told to. `sockets` are connected to the LNS, one a tunnel; `names(number)` gives user names.

    `concurrency` calls are under way at a time, of them `per_tunnel` between ICRQ and ICRP in one tunnel. One is the
    default: l2tpns withholds its acknowledgements while a message of its own is on the way, so that two ICRPs and a
    full window make both ends wait for a retransmission.
    """

    def __init__(self, sockets: list[socket.socket], *, ppp: bool = False, secret: bytes = b"",
                 host_name: str = "load", names: Callable[[int], bytes] = lambda n: b"u%d@example.com" % n,
                 password: bytes = b"pw", chap: bool = False, concurrency: int = 32,
                 per_tunnel: int = 1, make: Callable[..., Tunnel] = Tunnel) -> None:  # fmt: skip
        self.ppp = ppp
        self.chap = chap
        self.names = names
        self.password = password
        self.concurrency = concurrency
        self.now = time.monotonic()
        self.lost = self.refused = self.terminated = self.dropped = self.data_octets = 0
        self.latencies: list[float] = []
        self.up_count = 0
        self.pending: dict[int, tuple[Tunnel, Call]] = {}
        self._number = 0
        self._free: deque[Tunnel] = deque()
        self._poll = select.epoll()
        self.tunnels: dict[int, Tunnel] = {}
        for sock in sockets:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.tunnels[sock.fileno()] = make(self, sock, host_name, secret)
            self._poll.register(sock.fileno(), select.EPOLLIN)
            self._free.extend([self.tunnels[sock.fileno()]] * per_tunnel)

    # what the tunnels report

    def answered(self, tunnel: Tunnel, call: Call) -> None:
        self._free.append(tunnel)
        if not self.ppp:
            self.latencies.append(self.now - call.asked_at)

    def connected(self, tunnel: Tunnel, call: Call) -> None:
        """The peer has the ICCN."""
        if call.state != CALL_CONNECTED:
            return
        if not self.ppp:
            self.up(call)
        elif not call.ppp_sent:
            tunnel.ppp_advance(call)

    def up(self, call: Call) -> None:
        call.state = CALL_UP
        self.up_count += 1
        if self.ppp:
            self.latencies.append(self.now - call.asked_at)
        self.pending.pop(call.number, None)

    def ended(self, tunnel: Tunnel, call: Call) -> None:
        if call.state == CALL_ASKED:
            self._free.append(tunnel)
        if call.state != CALL_UP:
            self.dropped += 1
        self.pending.pop(call.number, None)

    def stopped(self, tunnel: Tunnel, result: bytes) -> None:
        self.dropped += len(tunnel.calls)

    # driving

    def turn(self, wait: float) -> None:
        events = self._poll.poll(wait)
        self.now = time.monotonic()
        for fileno, _ in events:
            tunnel = self.tunnels[fileno]
            receive, recv = tunnel.receive, tunnel.sock.recv
            for _ in range(64):
                try:
                    data = recv(4096)
                except BlockingIOError:
                    break
                except ConnectionRefusedError as error:
                    raise LoadError("the peer's port is closed") from error
                receive(data)
            tunnel.acknowledge()

    def _until(self, done: Callable[[], bool], seconds: float, what: str, step: Callable[[], None] | None = None,
               ) -> None:  # fmt: skip
        self.now = time.monotonic()
        end = self.now + seconds
        checked = self.now
        while not done():
            if step:
                step()
            self.turn(0.05)
            if self.now - checked > 0.1:
                checked = self.now
                for tunnel in self.tunnels.values():
                    tunnel.timeout()
                self._ppp_timeouts()
                if self.now > end:
                    raise LoadError(f"{what}: not within {seconds:g} s")

    def _ppp_timeouts(self) -> None:
        if not self.ppp:
            return
        for tunnel, call in list(self.pending.values()):
            if call.ppp_sent and self.now - call.ppp_sent > PPP_RETRY:
                call.ppp_retries += 1
                tunnel.ppp_advance(call)
            elif call.state == CALL_CONNECTED and not call.ppp_sent and self.now - call.asked_at > PPP_RETRY:
                tunnel.ppp_advance(call)

    def open_tunnels(self, seconds: float = 20) -> None:
        self.now = time.monotonic()
        for tunnel in self.tunnels.values():
            tunnel.open()
        self._until(
            lambda: all(t.established and not t.sent or t.closed for t in self.tunnels.values()), seconds, "tunnels"
        )
        if any(t.closed for t in self.tunnels.values()):
            raise LoadError("a tunnel was refused")

    def make_calls(self, count: int, seconds: float = 600, first: int | None = None,
                   patience: float | None = None) -> float:
        """So many calls more, brought up; the time it took.

        :param patience: seconds without any progress after which those under way count as dropped. They are not part
            of the time.
        """
        if first is not None:
            self._number = first - 1
        goal = self.up_count + self.dropped + count
        started = 0
        ended, progress, waited = self.up_count + self.dropped, self.now, 0.0

        def step() -> None:
            nonlocal started, ended, progress, waited
            if self.up_count + self.dropped > ended:
                ended, progress = self.up_count + self.dropped, self.now
            elif patience is not None and self.now - progress > patience:
                waited += self.now - progress
                progress = self.now
                self._give_up()
            while started < count and self._free and len(self.pending) < self.concurrency:
                tunnel = self._free.popleft()
                self._number += 1
                started += 1
                call = tunnel.start_call(self._number, self.names(self._number))
                self.pending[call.number] = (tunnel, call)

        self.now = before = progress = time.monotonic()
        self._until(lambda: self.up_count + self.dropped >= goal, seconds, f"{count} calls", step)
        return time.monotonic() - before - waited

    def _give_up(self) -> None:
        """On all that are under way."""
        for tunnel, call in list(self.pending.values()):
            self.ended(tunnel, call)
            call.state = CALL_ENDED

    def serve(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Answer HELLO and echo requests for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.turn(0.05)
            for tunnel in self.tunnels.values():
                tunnel.timeout()

    def hang_up(self, seconds: float = 120) -> float:
        """End every call with a CDN of its own; the time it took."""
        before = time.monotonic()
        for tunnel in self.tunnels.values():
            for call in list(tunnel.calls.values()):
                tunnel.hang_up(call)
        self._until(lambda: not any(t.sent for t in self.tunnels.values() if not t.closed), seconds, "CDN")
        return time.monotonic() - before

    def stop(self, seconds: float = 60) -> float:
        """End every tunnel with a StopCCN; the time it took."""
        before = time.monotonic()
        for tunnel in self.tunnels.values():
            if not tunnel.closed:
                tunnel.stop()
        self._until(lambda: not any(t.sent for t in self.tunnels.values() if not t.closed), seconds, "StopCCN")
        self._poll.close()
        return time.monotonic() - before


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def connected(address: str, port: int = 1701, make: Callable[[], socket.socket] | None = None) -> socket.socket:
    sock = make() if make else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    return sock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("address")
    parser.add_argument("--port", type=int, default=1701)
    parser.add_argument("--mode", choices=("l2tp", "ppp"), default="l2tp")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--tunnels", type=int, default=8)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--host-name", default="load")
    parser.add_argument("--secret", default="")
    parser.add_argument("--password", default="pw")
    parser.add_argument("--chap", action="store_true", help="authenticate by CHAP instead of PAP")
    parser.add_argument("--hold", type=float, default=0, help="seconds to stay up")
    options = parser.parse_args()
    load = Load(
        [connected(options.address, options.port) for _ in range(options.tunnels)], ppp=options.mode == "ppp",
        secret=options.secret.encode(), host_name=options.host_name, password=options.password.encode(),
        chap=options.chap, concurrency=options.concurrency,
    )  # fmt: skip
    try:
        load.open_tunnels()
        took = load.make_calls(options.sessions)
        load.serve(options.hold)
        print(f"{load.up_count} up, {load.dropped} dropped, {load.up_count / took:.0f} sessions/s, "
              f"p50 {percentile(load.latencies, 0.5) * 1000:.1f} ms, "
              f"p99 {percentile(load.latencies, 0.99) * 1000:.1f} ms")  # fmt: skip
        load.hang_up()
        load.stop()
    except LoadError as error:
        print(f"lacload: {error}", file=sys.stderr)
        return 1
    return 0 if load.up_count == options.sessions else 1


if __name__ == "__main__":
    sys.exit(main())
