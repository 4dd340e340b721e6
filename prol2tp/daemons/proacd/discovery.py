"""Discovery on the interfaces of the daemon: the shell of `AccessConcentrator`. Interfaces come and go."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.daemons.logs import Log
from prol2tp.daemons.proacd import settings as of_config
from prol2tp.daemons.proacd.sources import PPPoESource, allow_gone
from prol2tp.dataplane.interface import IDataPlane
from prol2tp.net.driver import Driver
from prol2tp.net.linkwatch import Link
from prol2tp.pppoe import outputs, tags
from prol2tp.pppoe.discovery import NO_ROUTE_IN_TIME, REPLACED, AccessConcentrator
from prol2tp.pppoe.outputs import SessionKey
from prol2tp.pppoe.packets import mac_text
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings

LOOK_DELAY = 0.05
"""Seconds from a change of any link until ours are looked at: changes come by the hundred."""
RETRY = 10.0
"""Seconds until an interface is tried again that is up and cannot be opened."""
_CAUSES = {REPLACED: "Port Preempted", NO_ROUTE_IN_TIME: "NAS Error"}
"""Of sessions that the core ends by itself."""

OpenEthernet = Callable[..., Any]
"""`(interface, receive, burst_done, lost, tagged)` -> a `net.ethernet.EthernetPort`; raises `OSError`, `ValueError`."""
Asked = Callable[[outputs.AskRoute, int], "PPPoESource | tuple[int, str] | None"]
"""Makes the source of a host's session and its route -> error tag and text where there is none; None: the host shall
ask again. The number is the data path's handle of the interface."""


class Place:
    """One interface that hosts are served on, whether it is there or not."""

    def __init__(self, discovery: Discovery, name: str, settings: InterfaceSettings) -> None:
        self.name = name
        self.settings = settings
        self.tagged = of_config.tagged(settings)
        self.port: Any = None
        """Our socket; None: the interface is not there, or down."""
        self.handle = 0
        """Of the data path; 0: it does not take session frames yet."""
        self.ifindex = 0
        self.mtu = 0
        self.trouble = ""
        """Why hosts are not served; empty: they are."""
        self._discovery = discovery
        self._plane: IDataPlane | None = None
        self._dropped = 0
        """Of sockets that are closed."""

    @property
    def frames_dropped(self) -> int:
        """Discovery frames that the kernel has dropped because too many waited."""
        return self._dropped + (self.port.dropped() if self.port is not None else 0)

    @property
    def serving(self) -> bool:
        return self.handle != 0

    def look(self, link: Link | None) -> None:
        """What the interface is like now; None: it is not there."""
        if link is None or not link.up:
            self.close("is down" if link is not None else "is not there")
            return
        if self.port is not None and (link.ifindex, link.address) != (self.ifindex, self.port.address):
            self.close("has another address" if link.ifindex == self.ifindex else "was made anew")
        if self.port is None:
            self._open(link)
        elif link.mtu != self.mtu:
            self.mtu = link.mtu
            if self.serving:
                self.configure(self.settings)

    def _open(self, link: Link) -> None:
        discovery = self._discovery
        if discovery.plane is None:
            return
        try:
            self.port = discovery.open_ethernet(self.name, discovery.receive, discovery.burst_done, self.lost,
                                                self.tagged)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            self._say(os.strerror(number) if number else str(error))
            discovery.look_soon(RETRY)
            return
        self.ifindex, self.mtu = link.ifindex, link.mtu
        discovery.by_ifindex[link.ifindex] = self
        discovery.missing.discard(self.name)
        plane = self._plane = discovery.plane
        port = self.port
        plane.ethernet_add(self.name, self.tagged, strays=True).addCallbacks(
            self._opened, self._refused, callbackArgs=(port, plane), errbackArgs=(port,))

    def _opened(self, handle: int, port: Any, plane: IDataPlane) -> None:
        if self.port is not port:
            plane.ethernet_delete(handle).addErrback(allow_gone)
            return
        self.handle = handle
        self._discovery.by_handle[handle] = self
        self.configure(self.settings)
        self.trouble = ""
        self._discovery.log.notice("interface {name}: serving hosts, address {mac}, mtu {mtu}", name=self.name,
                                   mac=mac_text(port.address), mtu=self.mtu)

    def _refused(self, failure: Failure, port: Any) -> None:
        if self.port is port:
            self.close(failure.getErrorMessage())
            self._discovery.look_soon(RETRY)

    def configure(self, settings: InterfaceSettings) -> None:
        """Other settings, or another MTU: sessions stay."""
        self.settings = settings
        if self.serving:
            discovery = self._discovery
            now = of_config.on_link(settings, self.port.address, self.mtu)
            discovery.driver.call(discovery.core.configure_interface, self.name, now)

    def lost(self) -> None:
        """The kernel says that the interface is down."""
        self.close("is down")
        self._discovery.look_soon()

    def close(self, why: str) -> None:
        """Hosts are not served any more; sessions end, and no PADT can pass."""
        self._say(why)
        port, self.port = self.port, None
        if port is None:
            return
        if self.serving:
            discovery = self._discovery
            with discovery.ending("Lost Carrier", f"interface {self.name} {why}"):
                discovery.driver.call(discovery.core.interface_down, self.name)
                discovery.driver.call(discovery.core.remove_interface, self.name)
        self._release(port)

    def remove(self, message: str) -> None:
        """It is no longer configured: hosts are told."""
        port, self.port = self.port, None
        if port is None:
            return
        if self.serving:
            discovery = self._discovery
            with discovery.ending("Admin Reset", message):
                discovery.driver.call(discovery.core.remove_interface, self.name, message=message)
        self._release(port)

    def _release(self, port: Any) -> None:
        port.close()
        self._dropped += port.dropped()
        discovery = self._discovery
        if discovery.by_ifindex.get(self.ifindex) is self:
            del discovery.by_ifindex[self.ifindex]
        discovery.missing.add(self.name)
        handle, self.handle = self.handle, 0
        plane, self._plane = self._plane, None
        if handle and plane is not None:
            discovery.by_handle.pop(handle, None)
            plane.ethernet_delete(handle).addErrback(allow_gone)

    def _say(self, why: str) -> None:
        if why != self.trouble:
            self.trouble = why
            self._discovery.log.warning("interface {name}: {why}", name=self.name, why=why)


class _Ending:
    """Why sessions end that end inside the `with` block."""

    def __init__(self, discovery: Discovery, cause: str, message: str) -> None:
        self._discovery = discovery
        self._why = (cause, message)

    def __enter__(self) -> None:
        self._discovery.why = self._why

    def __exit__(self, *_: object) -> None:
        self._discovery.why = None


class Discovery:
    """All interfaces, and the sources of their sessions.

    :param open_ethernet: see `OpenEthernet`.
    :param link_of: what an interface is like now, None when it is not there.
    :param asked: see `Asked`.
    """

    def __init__(self, clock: IReactorTime, log: Log, settings: ConcentratorSettings,
                 random_bytes: Callable[[int], bytes], open_ethernet: OpenEthernet,
                 link_of: Callable[[str], Link | None], asked: Asked) -> None:
        self.log = log
        self.open_ethernet = open_ethernet
        self.core = AccessConcentrator(settings, random_bytes)
        self.driver = Driver(self.core, {
            outputs.Transmit: self._transmit,
            outputs.AskRoute: self._ask,
            outputs.SessionOpened: lambda output: None,
            outputs.SessionClosed: self._closed,
        }, clock)
        self.plane: IDataPlane | None = None
        self.places: dict[str, Place] = {}
        self.by_handle: dict[int, Place] = {}
        self.by_ifindex: dict[int, Place] = {}
        self.missing: set[str] = set()
        """Interfaces that are not open."""
        self._dropped = 0
        """Of interfaces that are no longer configured."""
        self.sources: dict[SessionKey, PPPoESource] = {}
        self.why: tuple[str, str] | None = None
        self._clock = clock
        self._link_of = link_of
        self._asked = asked
        self._look_call: Any = None
        self._to_look_at: set[str] | None = set()
        """None: all."""

    # configuration, the data path, interfaces

    def configure(self, settings: ConcentratorSettings, interfaces: Mapping[str, InterfaceSettings]) -> None:
        """Take over a configuration: interfaces that are no longer in it end, sessions on others stay."""
        self.core.configure(settings)
        for name in list(self.places):
            if name not in interfaces or of_config.tagged(interfaces[name]) != self.places[name].tagged:
                gone = self.places.pop(name)
                gone.remove("the interface is no longer configured so")
                self._dropped += gone.frames_dropped
                self.missing.discard(name)
        for name, one in interfaces.items():
            place = self.places.get(name)
            if place is None:
                self.places[name] = Place(self, name, one)
                self.missing.add(name)
            elif place.settings != one:
                place.configure(one)
        self.look()

    def use(self, plane: IDataPlane) -> None:
        """The data path is there: interfaces are opened."""
        self.plane = plane
        self.look()

    def path_lost(self) -> None:
        """Nothing passes any more. Routes have ended by now."""
        self.plane = None
        for place in self.places.values():
            place.close("the data path is gone")

    def link_changed(self, ifindex: int, flags: int | None = None) -> None:
        """Of `LinkWatch`: any interface of the host has changed; users come and go with one each."""
        place = self.by_ifindex.get(ifindex)
        names = self.missing if place is None else {place.name}
        if names:
            if self._to_look_at is not None:
                self._to_look_at |= names
            self._look_in(LOOK_DELAY)

    def look_soon(self, delay: float = LOOK_DELAY) -> None:
        """See what became of all of ours."""
        self._to_look_at = None
        self._look_in(delay)

    def _look_in(self, delay: float) -> None:
        waiting = self._look_call
        if waiting is not None and waiting.active():
            if waiting.getTime() <= self._clock.seconds() + delay:
                return
            waiting.cancel()
        self._look_call = self._clock.callLater(delay, self._look)

    def look(self) -> None:
        """As `look_soon`, now."""
        self._to_look_at = None
        self._look()

    def _look(self) -> None:
        if self._look_call is not None and self._look_call.active():
            self._look_call.cancel()
        self._look_call = None
        names, self._to_look_at = self._to_look_at, set()
        if self.plane is not None:
            for name in list(self.places) if names is None else names & self.places.keys():
                self.places[name].look(self._link_of(name))

    def ending(self, cause: str, message: str) -> _Ending:
        return _Ending(self, cause, message)

    def stop(self) -> None:
        """Close all; routes have ended by now."""
        for place in self.places.values():
            place.remove("")
        self.places.clear()
        self.driver.stop()
        if self._look_call is not None:
            self._look_call.cancel()
            self._look_call = None

    # frames

    @property
    def frames_dropped(self) -> int:
        """As of `Place`, of all."""
        return self._dropped + sum(place.frames_dropped for place in self.places.values())

    def receive(self, frame: bytes, interface: str) -> None:
        """A discovery frame."""
        self.core.receive(frame, interface, self._clock.seconds())
        self.driver.drain()

    def burst_done(self) -> None:
        """No more frames for now."""
        self.driver.reschedule()

    def stray(self, handle: int, frame: bytes) -> None:
        """A session frame for no session, from the data path."""
        place = self.by_handle.get(handle)
        if place is not None:
            self.driver.call(self.core.receive_stray, frame, place.name)

    def _transmit(self, output: outputs.Transmit) -> None:
        place = self.places.get(output.interface)
        if place is not None and place.port is not None:
            place.port.send(output.frame)

    # sessions

    def _ask(self, output: outputs.AskRoute) -> None:
        place = self.places.get(output.key.interface)
        if place is None or not place.serving:
            self.driver.call(self.core.refused, output.key, message="the interface is down")
            return
        try:
            answer = self._asked(output, place.handle)
        except Exception:
            # the host must not wait for a fault of ours
            self.driver.call(self.core.refused, output.key, message="internal error")
            raise
        if answer is None:
            self.driver.call(self.core.passed_over, output.key)
        elif isinstance(answer, tuple):
            error, message = answer
            self.driver.call(self.core.refused, output.key, error=error, message=message)

    def _closed(self, output: outputs.SessionClosed) -> None:
        source = self.sources.pop(output.key, None)
        if source is None or source.route is None:
            return
        if output.by_peer:
            # in RFC 3145's words it was the peer of PPP, not this end: the LNS hears so
            cause, message = "Peer Request", output.message or "the host has ended the session"
        else:
            cause, message = self.why or (_CAUSES.get(output.message, "NAS Error"), output.message)
        source.route.routes.source_closed(source.route, cause, message)

    def routed(self, key: SessionKey) -> None:
        """The host may send."""
        self.driver.call(self.core.routed, key)

    def end(self, key: SessionKey, message: str) -> bool:
        """PADT, or a refusal where the host does not know of its session yet."""
        self.sources.pop(key, None)
        place = self.core.interfaces.get(key.interface)
        session = place.sessions.get((key.peer, key.session_id)) if place is not None else None
        if session is None:
            return False
        if session.open:
            self.driver.call(self.core.close_session, key, message=message)
        else:
            self.driver.call(self.core.refused, key, error=tags.AC_SYSTEM_ERROR, message=message)
        return True
