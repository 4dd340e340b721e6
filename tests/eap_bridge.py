"""A subscriber whose EAP is that of wpa_supplicant: eapol_test's packets, carried over a PPP link in an L2TP session.

eapol_test sends its Responses to a RADIUS server, and that is what the bridge is for it; the Requests of the LNS are
its Challenges. Everything between is the real thing: L2TP, LCP and IPCP by cores, over a UDP socket in a namespace.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

from prol2tp.l2tp.endpoint import Endpoint
from prol2tp.l2tp.header import is_control, read_data, write_data
from prol2tp.l2tp.outputs import OpenDataPath, SessionUp, Transmit, TunnelUp
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.ppp import frame, outputs
from prol2tp.ppp.eap import EAP
from prol2tp.ppp.eappacket import FAILURE, IDENTITY, REQUEST, RESPONSE, SUCCESS
from prol2tp.ppp.link import Link
from prol2tp.ppp.lower import Signal
from prol2tp.ppp.settings import LinkSettings
from prol2tp.radius import packets
from tests.netns import Namespace, Process
from tests.polling import readable

SECRET = b"bridge"
PORT = 1899


class CarriedEAP(EAP):
    """The peer's half is somebody else: `wanted` holds the Request that waits for its Response."""

    __slots__ = ("wanted", "verdict", "seen")

    def __init__(self, lower: Any, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.wanted: bytes | None = None
        self.verdict = 0
        self.seen: list[bytes] = []

    def receive(self, information: bytes, now: float) -> None:
        code, _, data = frame.read_packet(information)
        if code == REQUEST:
            self.wanted = information
            self.seen.append(data[:1])
        else:
            self.verdict = code
            if code == SUCCESS:
                self.lower.signal(self, Signal.PROVED)

    def respond(self, packet: bytes) -> None:
        assert self.wanted is not None
        if packet[4] == IDENTITY:  # asked for by eapol_test itself, under an identifier of its own
            packet = packet[:1] + self.wanted[1:2] + packet[2:]
        self.wanted = None
        self.lower.send(frame.EAP, packet)


class Subscriber:
    """One L2TP session with one PPP link. `run` until the link is up or over."""

    def __init__(self, host: Namespace, lns: str, user: str) -> None:
        self.host = host
        self.sock = host.socket()
        self.sock.connect((lns, 1701))
        self.aaa = host.socket()
        self.aaa.bind(("127.0.0.1", PORT))
        for one in (self.sock, self.aaa):
            one.setblocking(False)
        local = self.sock.getsockname()
        self.endpoint = Endpoint(os.urandom)
        self.tunnel = self.endpoint.open_tunnel(
            TunnelSettings(host_name="lac"), (lns, 1701), (local[0], local[1]), time.monotonic()
        )
        self.path: OpenDataPath | None = None
        settings = LinkSettings(user=user, allow_methods=("eap",), auth_deadline=0.0, restart_interval=0.5)
        self.link = Link(settings, os.urandom)
        self.eap = self.link.eap = CarriedEAP(self.link._lower, self.link.settings)
        self.link._proofs = (self.link.pap, self.link.chap, self.eap)
        self.networks: dict[str, outputs.NetworkUp] = {}
        self.down: outputs.LinkDown | None = None
        self._asked: tuple[bytes, Any] | None = None
        self._state = 0

    def run(self, seconds: float = 30) -> None:
        self._until(lambda: bool(self.networks.get("ip")) or self.down is not None, seconds)

    def run_to_the_end(self, seconds: float = 10) -> None:
        """The LNS has ended the link: answer it."""
        self._until(lambda: self.down is not None, seconds)

    def _until(self, done: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            self._drain()
            readable([self.sock, self.aaa], 0.1)
            self._hear()
            now = time.monotonic()
            for core in (self.endpoint, self.link):
                when = core.deadline()
                if when is not None and when <= now:
                    core.timeout(now)  # type: ignore[union-attr]
        self._drain()

    def _hear(self) -> None:
        now = time.monotonic()
        try:
            while True:
                data = self.sock.recv(65536)
                if is_control(data):
                    peer, local = self.sock.getpeername(), self.sock.getsockname()
                    self.endpoint.receive(data, peer[:2], local[:2], 0, now)
                else:
                    header = read_data(data)
                    self.link.receive(data[header.start : header.end], now)
                self._drain()
        except BlockingIOError:
            pass
        try:
            while True:
                self._asked = self.aaa.recvfrom(65536)
                self._question()
        except BlockingIOError:
            pass

    def _drain(self) -> None:
        now = time.monotonic()
        for output in self.endpoint.outputs():
            if isinstance(output, Transmit):
                self.sock.send(output.data)
            elif isinstance(output, TunnelUp):
                self.endpoint.open_session(self.tunnel, SessionSettings(), now)
            elif isinstance(output, OpenDataPath):
                self.path = output
                self.endpoint.data_path_opened(output.tunnel_id, output.session_id, now)
                self._drain()
            elif isinstance(output, SessionUp):
                self.link.open(now)
        for said in self.link.outputs():
            if isinstance(said, outputs.SendFrame):
                assert self.path is not None
                self.sock.send(write_data(self.path.peer_tunnel_id, self.path.peer_session_id) + said.frame)
            elif isinstance(said, outputs.NetworkUp):
                self.networks[said.protocol] = said
            elif isinstance(said, outputs.LinkDown):
                self.down = said
        if self._asked is not None:
            self._answer()

    # the RADIUS server of eapol_test

    def _question(self) -> None:
        """A Response of eapol_test, when the LNS waits for one."""
        assert self._asked is not None
        if self.eap.wanted is not None:
            packet = packets.decode(self._asked[0], SECRET)
            message = b"".join(packet[79])
            assert message[0] == RESPONSE
            self.eap.respond(message)
            self._drain()

    def _answer(self) -> None:
        """The next Request of the LNS, or its verdict."""
        assert self._asked is not None
        data, peer = self._asked
        packet = packets.decode(data, SECRET)
        mine = b"".join(packet[79])
        if self.eap.verdict:
            code = packets.ACCESS_ACCEPT if self.eap.verdict == SUCCESS else packets.ACCESS_REJECT
            verdict = SUCCESS if self.eap.verdict == SUCCESS else FAILURE
            message = frame.packet(verdict, mine[1])
        elif self.eap.wanted is not None and self.eap.wanted[4] != IDENTITY and self.eap.wanted[1] != mine[1]:
            code, message = packets.ACCESS_CHALLENGE, self.eap.wanted
        elif self.eap.wanted is not None:
            self._question()
            return
        else:
            return
        self._asked = None
        self._state += 1
        rows = [(79, message[at : at + 253]) for at in range(0, len(message), 253)]
        rows.append((24, self._state.to_bytes(4, "big")))
        self.aaa.sendto(packets.reply(code, packet.id, data[4:20], SECRET, rows, sign=True), peer)

    def close(self) -> None:
        self.sock.close()
        self.aaa.close()


def eapol_test(host: Namespace, network: str) -> Process:
    """Its configuration is one `network` block of wpa_supplicant."""
    digest = hashlib.sha256(network.encode()).hexdigest()[:8]
    path = host.world.file(f"eapol-{digest}.conf", f"network={{\n    key_mgmt=WPA-EAP\n{network}}}\n")
    return host.spawn(
        "eapol_test", "-n", "-c", path, "-a", "127.0.0.1", "-p", str(PORT), "-s", SECRET.decode(), "-t", "20",
        name=f"{host.name}:eapol_test",
    )  # fmt: skip



