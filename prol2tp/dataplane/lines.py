"""What our own data paths do with ports that are no L2TP sessions: PPPoE sessions and ttys.

A subclass brings the sockets and devices.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from prol2tp.common.bucket import Bucket
from prol2tp.dataplane import pppoe
from prol2tp.dataplane.asyncline import Line, TtyCarrier, check_tty
from prol2tp.dataplane.early import LARGEST, Early
from prol2tp.dataplane.interface import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    DataPathError,
    IPathEvents,
    PPPoESpec,
    TtySpec,
)
from prol2tp.dataplane.netifs import failing, together
from prol2tp.dataplane.ports import Losses, Port
from prol2tp.dataplane.tun import NAME_MAX

STRAY_BURST, STRAY_INTERVAL = 50, 0.02
"""Frames for no session that an interface reports at once, and seconds until one more may be."""


class Lines:
    """The part of a data path that has to do with PPPoE and ttys."""

    events: IPathEvents
    ports: dict[int, Port]
    losses: Losses
    early: Early
    ethernets: dict[int, Any]
    """By handle: `pppoe.Ethernet`."""
    interfaces_open: dict[tuple[str, bool], Any]
    """Those that can have further handles, by name and `tagged`."""
    bad_headers: int
    unknown_sessions: int

    # -- what a subclass brings --

    def open_ethernet(self, identifier: int, interface: str, tagged: bool) -> pppoe.Ethernet:
        """Raises `DataPathError`."""
        raise NotImplementedError

    def close_ethernet(self, ethernet: Any) -> None:
        raise NotImplementedError

    def open_tty(self, carrier: TtyCarrier, spec: TtySpec) -> Line:
        """What comes goes to `carrier.receive`, a hang-up to `carrier_lost`. Raises `DataPathError`."""
        raise NotImplementedError

    def pppoe_changed(self, carrier: pppoe.PPPoECarrier) -> None:
        """Its short ways must be worked out anew."""

    def seconds(self) -> float:
        raise NotImplementedError

    def next_id(self) -> int:
        raise NotImplementedError

    def port_delete(self, port: int) -> Deferred[tuple]:
        raise NotImplementedError

    # -- operations --

    @failing
    def ethernet_add(self, interface: str, tagged: bool = False, strays: bool = False) -> Deferred[int]:
        if not 0 < len(interface.encode()) <= NAME_MAX or "/" in interface or "\0" in interface:
            raise DataPathError(INVALID, f"{interface!r} cannot be an interface")
        identifier = self.next_id()
        entry = self.interfaces_open.get((interface, tagged))
        if entry is None or not entry.alive():
            entry = self.interfaces_open[interface, tagged] = self.open_ethernet(identifier, interface, tagged)
        entry.handles.add(identifier)
        if strays:
            entry.strays.add(identifier)
        self.ethernets[identifier] = entry
        return succeed(identifier)

    @failing
    def ethernet_delete(self, ethernet: int) -> Deferred[None]:
        entry = self._ethernet(ethernet)
        deleted: list[Deferred[Any]] = [self.port_delete(carrier.port.id) for carrier in list(entry.carriers.values())
                                        if carrier.handle == ethernet]
        del self.ethernets[ethernet]
        entry.handles.discard(ethernet)
        entry.strays.discard(ethernet)
        if not entry.handles:
            key = (entry.interface, entry.tagged)
            if self.interfaces_open.get(key) is entry:
                del self.interfaces_open[key]
            self.close_ethernet(entry)
        return together(deleted)

    @failing
    def pppoe_add(self, spec: PPPoESpec) -> Deferred[int]:
        ethernet = self._ethernet(spec.ethernet)
        pppoe.check_pppoe(spec, ethernet)
        key = pppoe.session_key(ethernet.address, spec.peer, spec.session_id)
        if key in ethernet.carriers:
            raise DataPathError(IN_USE, f"PPPoE session {spec.session_id} of {spec.peer.hex(':')} on interface "
                                        f"{ethernet.interface} is there already")
        port = Port(self.next_id(), self.losses)
        # such frames never have an address and control field
        port.accomp = True
        port.carrier = pppoe.PPPoECarrier(port, ethernet, spec, self.pppoe_changed)
        self.ports[port.id] = port
        port.prepare()
        now = self.seconds()
        for data, _ in self.early.take(ethernet.id, key, now):
            pppoe.receive(self, ethernet, data, now)
        return succeed(port.id)

    @failing
    def tty_add(self, spec: TtySpec) -> Deferred[int]:
        check_tty(spec)
        port = Port(self.next_id(), self.losses)
        carrier = TtyCarrier(port, spec)
        carrier.line = self.open_tty(carrier, spec)
        port.carrier = carrier
        self.ports[port.id] = port
        port.prepare()
        return succeed(port.id)

    # -- what subclasses and frames tell --

    def stray(self, ethernet: pppoe.Ethernet, key: bytes, data: bytes, again: bool, now: float) -> None:
        """A frame for no session of this interface. `again`: one came a while ago already."""
        if len(data) > LARGEST:
            return
        other = self.interfaces_open.get((ethernet.interface, not ethernet.tagged))
        if other is not None and key in other.carriers:
            return
        shared = other is not None or ethernet.handles != ethernet.strays
        if shared and not again:
            return  # it may be a session of another one, just coming up
        if ethernet.stray_bucket is None:
            ethernet.stray_bucket = Bucket(STRAY_BURST, STRAY_INTERVAL, now)
        if ethernet.stray_bucket.take(now):
            for handle in ethernet.strays:
                self.events.stray_frame(handle, data)

    def ethernet_lost(self, ethernet: pppoe.Ethernet, reason: str) -> None:
        """The interface is down or gone."""
        for carrier in list(ethernet.carriers.values()):
            self.carrier_lost(carrier.port, reason)

    def carrier_lost(self, port: pppoe.Taker, reason: str) -> None:
        """Nothing passes any more."""
        self.events.carrier_lost(port.id, reason)

    def _ethernet(self, identifier: int) -> Any:
        entry = self.ethernets.get(identifier)
        if entry is None:
            raise DataPathError(NOT_FOUND, f"there is no Ethernet interface {identifier}")
        return entry
