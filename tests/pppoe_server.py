"""A PPPoE server of the cores alone, in a thread of its own: discovery, PPP and an answer to every ping."""

from __future__ import annotations

import os
import secrets
import struct
import threading
import time
from typing import Any

from prol2tp.dataplane.packets import checksum
from prol2tp.net.ethernet import EthernetPort
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import AskAuthentication, NetworkUp, SendFrame
from prol2tp.ppp.settings import Grant, LinkSettings
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, SessionClosed, SessionKey, SessionOpened, Transmit
from prol2tp.pppoe.packets import SESSION, PacketError, read_header, write_session
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings, Service
from tests.netns import Namespace
from tests.polling import readable
from tests.ppp_ends import users

IP = b"\x00\x21"


def echo_reply(packet: bytes) -> bytes:
    """The answer to an IPv4 echo request; empty for anything else."""
    start = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 1 or packet[start] != 8:
        return b""
    reply = bytearray(packet)
    reply[12:16], reply[16:20] = packet[16:20], packet[12:16]
    reply[start], reply[start + 2:start + 4] = 0, b"\0\0"
    struct.pack_into("!H", reply, start + 2, checksum(bytes(reply[start:])))
    return bytes(reply)


class PPPoEServer:
    """Subscribers have the names and passwords of `passwords`, and addresses from 10.9.0.100 on."""

    def __init__(self, host: Namespace, device: str, passwords: dict[str, str], tagged: bool = False,
                 **settings: Any) -> None:
        self.tagged = tagged
        self.settings = settings
        self.closed: list[SessionClosed] = []
        self.links: dict[SessionKey, Link] = {}
        self.networks: list[NetworkUp] = []
        self.pings: list[int] = []
        """Octets of each IP packet that was answered."""
        self.muted = False
        """Frames of sessions are not heard."""
        self._answer = users(**passwords)
        self._readers: list[Any] = []
        self._vlans: dict[SessionKey, Any] = {}
        self._todo: list[Any] = []
        self._wake, self._waker = os.pipe()
        with host.inside():
            self.discovery = EthernetPort(self, device, self._discovered, tagged=tagged)  # type: ignore[arg-type]
            self.sessions = EthernetPort(self, device, self._framed, ethertype=SESSION,  # type: ignore[arg-type]
                                         tagged=tagged)
        self.core = AccessConcentrator(ConcentratorSettings("bras1"), secrets.token_bytes)
        self.core.configure_interface(device, InterfaceSettings(
            self.discovery.address, (Service(""), Service("gold")), mtu=self.discovery.mtu,
            vlans=None if tagged else frozenset({()})), time.monotonic())
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # the reactor

    def addReader(self, reader: Any) -> None:
        self._readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self._readers.remove(reader)

    def _run(self) -> None:
        while not self._ended:
            ready = readable([*self._readers, self._wake], 0.05)
            for reader in ready:
                if reader == self._wake:
                    os.read(self._wake, 100)
                    while self._todo:
                        self._todo.pop(0)()
                else:
                    reader.doRead()
            self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        cores: list[Any] = [self.core, *self.links.values()]
        for core in cores:
            due = core.deadline()
            if due is not None and due <= now:
                core.timeout(now)
        self._drain()

    def do(self, action: Any) -> None:
        """Run something in the server's thread."""
        self._todo.append(action)
        os.write(self._waker, b"x")

    def stop(self) -> None:
        self._ended = True
        os.write(self._waker, b"x")
        self._thread.join(5)
        self.discovery.close()
        self.sessions.close()
        os.close(self._wake)
        os.close(self._waker)

    # frames in

    def _discovered(self, frame: bytes, interface: str) -> None:
        self.core.receive(frame, interface, time.monotonic())
        self._drain()

    def _framed(self, frame: bytes, interface: str) -> None:
        try:
            header = read_header(frame)
        except PacketError:
            return
        key = SessionKey(interface, header.source, header.session_id)
        link = self.links.get(key)
        if link is None or self.muted:
            return
        payload = frame[header.start:header.end]
        if payload[:2] == IP:
            reply = echo_reply(payload[2:])
            if reply:
                self.pings.append(len(reply))
                self._send(key, IP + reply)
            return
        link.receive(payload, time.monotonic())
        self._drain()

    # outputs

    def _drain(self) -> None:
        while found := self.core.outputs():
            for output in found:
                self._discovery_output(output)
        for key, link in list(self.links.items()):
            while heard := link.outputs():
                for one in heard:
                    self._link_output(key, link, one)

    def _discovery_output(self, output: Any) -> None:
        now = time.monotonic()
        if isinstance(output, Transmit):
            self.discovery.send(output.frame)
        elif isinstance(output, AskRoute):
            self.core.routed(output.key, now)
        elif isinstance(output, SessionOpened):
            number = 100 + len(self.links)
            settings = LinkSettings(**{
                "auth": True, "name": "bras1", "local_ip": "10.9.0.1", "peer_ip": f"10.9.0.{number}",
                "mru": output.max_payload, "mtu": output.max_payload, "dns": ("9.9.9.9",), **self.settings})
            self._vlans[output.key] = output.vlans
            link = self.links[output.key] = Link(settings, secrets.token_bytes)
            link.open(now)
        elif isinstance(output, SessionClosed):
            self.closed.append(output)
            self.links.pop(output.key, None)

    def _link_output(self, key: SessionKey, link: Link, output: Any) -> None:
        if isinstance(output, SendFrame):
            self._send(key, output.frame.removeprefix(b"\xff\x03"))
        elif isinstance(output, NetworkUp):
            self.networks.append(output)
        elif isinstance(output, AskAuthentication):
            answer = self._answer(output)
            if isinstance(answer, Grant):
                answer.peer_ip = None
                link.authenticated(answer, time.monotonic())
            else:
                link.refused(answer, time.monotonic())

    def _send(self, key: SessionKey, payload: bytes) -> None:
        frame = write_session(key.peer, self.sessions.address, self._vlans[key], key.session_id, payload)
        self.sessions.send(frame)
