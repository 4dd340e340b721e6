"""The interfaces of Ethernet sessions: attached before the session is up, named, set up, joined to a bridge.

The interface goes with its port. What else hangs on it is the operator's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, inlineCallbacks

from prol2tp.config.template import has_placeholder, interface_name
from prol2tp.config.tunnels import ETHERNET_MTU
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd.records import SessionRecord
from prol2tp.dataplane.interface import IN_USE, SYSTEM, DataPathError, IDataPlane, Netif, NetifSpec
from prol2tp.net.linkwatch import IFF_RUNNING, IFF_UP, LinkWatch, flags_of
from prol2tp.net.netlink import NetlinkError

if TYPE_CHECKING:
    from prol2tp.dataplane.network import INetwork

DEFAULT_NAME = "l2tpeth%d"
HEADER = 18
"""Octets of an Ethernet header with a VLAN tag, which an interface's MTU does not count."""


class _Circuit(NamedTuple):
    record: SessionRecord
    ifindex: int
    foreign: bool
    """The interface is the host's own."""


class EthernetInterfaces:
    """One interface for each Ethernet session.

    :param network: an `INetwork`; started by the first session.
    :param changed: called when a session's interface went down or came up again.
    """

    def __init__(self, path: IDataPlane, network: INetwork, log: Log, reactor: Any,
                 changed: Callable[[SessionRecord, bool], None]) -> None:
        self._reactor = reactor
        self._path = path
        self._network: Any = network
        self._log = log
        self._watch: LinkWatch | None = None
        self._changed = changed
        self._by_port: dict[int, _Circuit] = {}
        self._by_index: dict[int, dict[int, None]] = {}
        """Ports by the interface they have."""

    def find(self, port: int) -> SessionRecord | None:
        """The session of a port that has an interface."""
        circuit = self._by_port.get(port)
        return None if circuit is None else circuit.record

    @inlineCallbacks
    def attach(self, port: int, record: SessionRecord) -> Any:
        """-> Deferred(Netif). Fails with `DataPathError`; the port is the caller's to delete."""
        if self._watch is None:
            yield self._network.start()
            self._watch = LinkWatch(self._reactor, self._link_changed, self._look_again)
        profile = record.profile
        name = interface_name(getattr(profile, "interface_name", "") or DEFAULT_NAME, "", record.tunnel.tunnel_id,
                              record.session_id)
        circuit = getattr(profile, "circuit", "")
        netif: Netif = yield self._attach(port, NetifSpec(circuit, "circuit") if circuit else NetifSpec(name))
        if not circuit:
            try:
                yield self._set_up(netif, profile)
            except NetlinkError as error:
                raise DataPathError(SYSTEM, f"interface {netif.name}: {error.text}") from None
        self._by_port[port] = _Circuit(record, netif.ifindex, bool(circuit))
        self._by_index.setdefault(netif.ifindex, {})[port] = None
        record.interface = netif.name
        if circuit:  # nobody tells how it was before
            self._link_changed(netif.ifindex, flags_of(netif.ifindex))
        return netif

    def _attach(self, port: int, spec: NetifSpec) -> Deferred[Netif]:
        done: Deferred[Netif] = self._path.netif_attach(port, spec)
        name = spec.name

        def taken(failure: Any) -> Any:
            failure.trap(DataPathError)
            if failure.value.code != IN_USE or has_placeholder(name):
                return failure
            raise DataPathError(IN_USE, f"there is an interface {name} already: give the session another name")

        return done.addErrback(taken)

    @inlineCallbacks
    def _set_up(self, netif: Netif, profile: Any) -> Any:
        master = None
        bridge = getattr(profile, "bridge", "")
        if bridge:
            try:
                master = socket.if_nametoindex(bridge)
            except OSError:
                raise DataPathError(SYSTEM, f"there is no bridge {bridge}") from None
        yield self._network.link_set(netif.ifindex, mtu=getattr(profile, "mtu", 0) or ETHERNET_MTU, master=master)
        yield self._network.link_set(netif.ifindex, up=True)

    def forget(self, port: int) -> None:
        """The port is about to be deleted."""
        circuit = self._by_port.pop(port, None)
        if circuit is not None:
            ports = self._by_index[circuit.ifindex]
            del ports[port]
            if not ports:
                del self._by_index[circuit.ifindex]

    def _link_changed(self, ifindex: int, flags: int | None) -> None:
        """The interface is the attachment circuit: ours when it is up, the host's when it has a cable too."""
        for port in list(self._by_index.get(ifindex, ())):
            circuit = self._by_port.get(port)
            if circuit is not None:
                wanted = IFF_UP | IFF_RUNNING if circuit.foreign else IFF_UP
                self._changed(circuit.record, flags is not None and flags & wanted == wanted)

    def _look_again(self) -> None:
        """More has changed at once than the kernel could tell."""
        for ifindex in list(self._by_index):
            self._link_changed(ifindex, flags_of(ifindex))

    def peer_circuit(self, record: SessionRecord, active: bool) -> None:
        """The peer's circuit is down, or up again: our interface loses its cable, so that the host knows."""
        circuit = self._by_port.get(record.port)
        if circuit is not None and not circuit.foreign:
            done = self._network.link_set(circuit.ifindex, carrier=active)
            done.addErrback(lambda failure: self._log.info("{interface}: {reason}", interface=record.interface,
                                                           reason=failure.getErrorMessage()))

    def stop(self) -> Deferred[Any] | None:
        self._by_port.clear()
        self._by_index.clear()
        if self._watch is None:
            return None
        self._watch.stop()
        self._watch = None
        stopped: Deferred[Any] = self._network.stop()
        return stopped
