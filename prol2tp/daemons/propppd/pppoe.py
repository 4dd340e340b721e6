"""PPPoE links as a host: discovery on an Ethernet interface that links share, a session of the data path for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.carriers import PPPoESession
from prol2tp.daemons.propppd.dials import Dial, Dials, NoLine, allow_gone
from prol2tp.dataplane.interface import DataPathError, PPPoESpec
from prol2tp.net.driver import Driver
from prol2tp.pppoe import outputs
from prol2tp.pppoe.client import Host, State
from prol2tp.pppoe.packets import HEADER_LENGTH, PADT, PacketError, mac_text, read
from prol2tp.pppoe.settings import HostSettings

TPID = 0x8100
OVERHEAD = HEADER_LENGTH + 2
"""Octets of an Ethernet payload that are no PPP information field."""


class Access:
    """One Ethernet interface: our socket for discovery, the data path's for sessions. Frames find the dial that they
    are for by Host-Uniq, or by the access concentrator and the session id."""

    def __init__(self, dials: Dials, key: tuple[str, bool]) -> None:
        self.key = key
        self.users = 0
        self.handle = 0
        self.hosts: dict[bytes, list[PPPoEDial]] = {}
        self.sessions: dict[tuple[bytes, int], PPPoEDial] = {}
        self._dials = dials
        self._plane = dials.links.dataplane
        self._closed = False
        self._failure: Failure | None = None
        self._waiting: list[Deferred[None]] | None = []
        interface, tagged = key
        self.port = dials.open_ethernet(interface, self._receive, self._lost, tagged)
        self._plane.ethernet_add(interface, tagged).addCallbacks(self._opened, self._refused)

    @classmethod
    def take(cls, dials: Dials, interface: str, tagged: bool) -> Access:
        """The interface for one more user. Raises `OSError`."""
        key = (interface, tagged)
        access = dials.accesses.get(key)
        if access is None or access._plane is not dials.links.dataplane:
            access = dials.accesses[key] = cls(dials, key)
        access.users += 1
        return access

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            self._close()

    def _close(self) -> None:
        if self._dials.accesses.get(self.key) is self:
            del self._dials.accesses[self.key]
        if self._closed:
            return
        self._closed = True
        self.port.close()
        if self.handle:
            self._plane.ethernet_delete(self.handle).addErrback(allow_gone)

    def ready(self) -> Deferred[None]:
        """Fires when the data path takes session frames. Fails with `NoLine`."""
        if self._waiting is None:
            return succeed(None) if self._failure is None else fail(self._failure)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _opened(self, handle: int) -> None:
        self.handle = handle
        if self._closed:
            self._plane.ethernet_delete(handle).addErrback(allow_gone)
            self._refused(Failure(NoLine(f"interface {self.key[0]} is down")))
            return
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.callback(None)

    def _refused(self, failure: Failure) -> None:
        self._failure = Failure(NoLine(failure.getErrorMessage()))
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.errback(self._failure)

    def _receive(self, frame: bytes, interface: str) -> None:
        try:
            packet = read(frame)
        except PacketError:
            return
        if isinstance(packet, PADT):
            dial = self.sessions.get((packet.source, packet.session_id))
            if dial is not None:
                dial.receive(frame)
        elif packet.host_uniq:
            for dial in list(self.hosts.get(packet.host_uniq, ())):
                dial.receive(frame)

    def _lost(self) -> None:
        """The interface is down or gone: who dials again opens it anew."""
        self._close()
        interface = self.key[0]
        for dial in [*self.sessions.values(), *(dial for dials in self.hosts.values() for dial in dials)]:
            dial.lower_down(f"interface {interface} is down")


class PPPoEDial(Dial):
    """One PPPoE session of ours (RFC 2516), looked for anew in each life."""

    def __init__(self, dials: Dials, request: Any) -> None:
        super().__init__(dials, request)
        self._access: Access | None = None
        self._host: Host | None = None
        self._driver: Driver
        self._uniq = b""
        self._session: tuple[bytes, int] | None = None
        self._port = 0

    def carrier(self) -> PPPoESession:
        request = self.request
        return PPPoESession(f"{request.interface}/{self.name}", 0, request.profile, interface=request.interface,
                            vlan=request.vlan, service_name=request.service, ac_name=request.ac)

    def prepare(self) -> Deferred[None]:
        interface = self.request.interface
        try:
            access = self._access = Access.take(self.dials, interface, bool(self.request.vlan))
        except (OSError, ValueError) as error:
            text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            return fail(NoLine(f"interface {interface}: {text}"))

        def refused(failure: Failure) -> Failure:
            if self._access is access:
                self._access = None
                access.leave()
            return failure

        return access.ready().addErrback(refused)

    def launch(self) -> None:
        assert self._access is not None and self.link is not None
        links = self.links
        try:
            host = Host(self.request.interface, self._settings(), links.random_bytes, self.dials.clock.seconds(),
                        self._tracer())
        except ValueError as error:
            self.end("Lost Carrier", str(error))
            return
        self._host = host
        self._carrier().host = host
        self._driver = Driver(host, {
            outputs.Transmit: lambda output: self._send(output.frame),
            outputs.SessionOpened: self._opened,
            outputs.SessionClosed: self._closed,
            outputs.DiscoveryFailed: self._failed,
        }, self.dials.clock)
        self._driver.call(host.open)
        self._uniq = host.host_uniq
        if self._access is not None:
            self._access.hosts.setdefault(self._uniq, []).append(self)

    def _settings(self) -> HostSettings:
        assert self._access is not None and self.link is not None
        request, port, profile = self.request, self._access.port, self.link.profile
        room = port.mtu - OVERHEAD
        carrier = self._carrier()
        carrier.interface_mtu = port.mtu
        return HostSettings(
            port.address, request.service, request.ac, ((TPID, request.vlan),) if request.vlan else (), port.mtu,
            # more than this link can use is not asked for
            max_payload=min(room, max(profile.mtu, profile.mru)), timeout=float(request.padi_timeout),
            padi_tries=request.padi_attempts, host_uniq=request.host_uniq,
        )

    def _carrier(self) -> PPPoESession:
        assert self.link is not None
        carrier = self.link.carrier
        assert isinstance(carrier, PPPoESession)
        return carrier

    def _trace(self, interface: str, mac: bytes, text: str) -> None:
        if self.link is not None:
            self.link.say(Level.DEBUG, "{interface}: {what}", interface=interface, what=text)

    def _send(self, frame: bytes) -> None:
        if self._access is not None:
            self._access.port.send(frame)

    def receive(self, frame: bytes) -> None:
        """A discovery packet for this host."""
        if self._host is not None:
            self._host.trace = self._tracer()
            self._driver.call(self._host.receive, frame)

    def _tracer(self) -> Callable[[str, bytes, str], None] | None:
        level = None if self.link is None else self.link.level
        return self._trace if self.links.log.enabled(Level.DEBUG, level) else None

    def lower_down(self, message: str) -> None:
        """The interface is gone."""
        if self._host is not None:
            self._driver.call(self._host.lower_down)
        self.end("Lost Carrier", message)

    # what discovery says

    def _opened(self, output: outputs.SessionOpened) -> None:
        assert self._access is not None and self.link is not None
        access, carrier, key = self._access, self._carrier(), output.key
        self._session = (key.peer, key.session_id)
        access.sessions[self._session] = self
        carrier.peer_mac, carrier.session_id = key.peer, key.session_id
        carrier.service_name, carrier.ac_name = output.service_name, output.ac_name
        carrier.max_payload = output.max_payload
        carrier.mtu = min(output.max_payload, access.port.mtu - OVERHEAD)
        self.link.say(Level.INFO, "PPPoE session {id} of {peer} ({ac}) on {interface}, max payload {payload}",
                      id=key.session_id, peer=mac_text(key.peer), ac=output.ac_name, interface=key.interface,
                      payload=output.max_payload)
        vlans = tuple((tag.tpid, tag.tci) for tag in output.vlans)
        plane, life = self.links.dataplane, self.life
        added = plane.pppoe_add(PPPoESpec(access.handle, key.peer, key.session_id, vlans))
        added.addCallbacks(self._carried, self._not_carried, callbackArgs=(plane, life), errbackArgs=(life,))

    def _carried(self, port: int, plane: Any, life: int) -> None:
        if self.life != life or self.link is None:
            plane.port_delete(port).addErrback(allow_gone)
            return
        self._port = port
        self.links.carried(self.link, port)

    def _not_carried(self, failure: Failure, life: int) -> None:
        failure.trap(DataPathError)
        if self.life == life:
            self.end("NAS Error", failure.getErrorMessage())

    def _closed(self, output: outputs.SessionClosed) -> None:
        if output.by_peer:
            self.end("Peer Request", output.message or "the access concentrator has ended the PPPoE session")

    def _failed(self, output: outputs.DiscoveryFailed) -> None:
        self.end("Lost Carrier", output.message or "the access concentrator refuses")

    def release(self) -> None:
        access, host = self._access, self._host
        port, self._port = self._port, 0
        if port:
            self.links.dataplane.port_delete(port).addErrback(allow_gone)
        self._access = self._host = None
        if host is not None:
            self._driver.stop()
        if access is None:
            return
        if host is not None and host.state is not State.IDLE:
            # ends a session with a PADT; not by the driver, which may be at this host's outputs now
            host.close(self.dials.clock.seconds())
            for output in host.outputs():
                if isinstance(output, outputs.Transmit):
                    access.port.send(output.frame)
        if self._session is not None and access.sessions.get(self._session) is self:
            del access.sessions[self._session]
        self._session = None
        found = access.hosts.get(self._uniq, [])
        if self in found:
            found.remove(self)
            if not found:
                del access.hosts[self._uniq]
        access.leave()
