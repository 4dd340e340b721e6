"""Interfaces that the kernel's PPP and L2TP make, in the place of TUNs. All of this belongs on the link thread."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from errno import EBUSY, EEXIST
from functools import partial

from prol2tp.dataplane.interface import IN_USE, SYSTEM, DataPathError, NetifSpec, SessionSpec
from prol2tp.dataplane.linux import pppdev
from prol2tp.dataplane.linux.channel import Channel, fields
from prol2tp.dataplane.linux.clamp import GROUP
from prol2tp.dataplane.linux.codecs import Codecs, Primer
from prol2tp.dataplane.linux.filters import source_check
from prol2tp.dataplane.linux.genl import PW_ETH, GenericSocket, Stats
from prol2tp.dataplane.linux.tunnels import KernelTunnel
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.prefixes import parse_prefix
from prol2tp.dataplane.rtlink import LinkRequests
from prol2tp.dataplane.tun import TUN


def link_stats(links: LinkRequests, head: int, ifindex: int) -> Stats:
    """Counters of an interface, with so many octets before each packet. Raises `OSError`."""
    rx, tx, rx_octets, tx_octets, rx_errors, tx_errors, _, _ = links.stats(ifindex)
    return Stats(tx, tx_octets + head * tx, tx_errors, rx, rx_octets + head * rx, rx_errors)


@dataclass(slots=True)
class Unit(TUN):
    """A PPP interface; `descriptor` is the unit's."""

    channel: Channel
    links: LinkRequests
    protocols: tuple[str, ...]
    """What may pass."""

    def pass_protocols(self, protocols: tuple[str, ...]) -> None:
        """Raises `OSError`."""
        pppdev.set_protocols(self.descriptor, protocols, self.protocols)
        self.protocols = protocols

    def measure(self) -> None:
        head = 2 + self.channel.extra  # the protocol field
        self.channel.measure(partial(link_stats, self.links, head), self.ifindex, self.descriptor)

    def leave(self) -> None:
        self.measure()
        self.channel.settle()
        with suppress(OSError):
            pppdev.disconnect(self.channel.descriptor)


def _refused(name: str, error: OSError) -> DataPathError:
    taken = error.errno in (EBUSY, EEXIST)
    return DataPathError(IN_USE if taken else SYSTEM, f"interface {name}: {error.strerror or error}")


def open_unit(links: LinkRequests, primer: Primer, channel: Channel, spec: NetifSpec, codecs: Codecs | None) -> Unit:
    """An interface on a channel. Raises `DataPathError`, and `Unfiltered` where the kernel has no pass filter."""
    group = GROUP if spec.mss_clamp else 0
    descriptor = -1
    try:
        name = spec.name
        if "%d" in name:
            descriptor, number = pppdev.open_unit()
            ifindex = links.index(f"ppp{number}")
            template, name = ("", f"ppp{number}") if name == "ppp%d" else (name, "")
            links.prepare(ifindex, spec.multicast, 0, spec.mtu, group, template)
        else:
            descriptor = pppdev.open_unused()
            links.new_ppp(descriptor, name, spec.mtu, group)
            number = pppdev.unit_number(descriptor)
            ifindex = links.index(name)
            links.prepare(ifindex, spec.multicast)
        if spec.mru > pppdev.DEFAULT_MRU:
            pppdev.set_mru(descriptor, spec.mru)
        pppdev.set_protocols(descriptor, spec.protocols)
        check_sources(descriptor, spec, spec.prefixes, spec.punt)
        if codecs is not None:
            restart(primer, channel, descriptor, number, codecs)
        pppdev.connect(channel.descriptor, number)
        return Unit(descriptor, name or links.name(ifindex), ifindex, channel, links, spec.protocols)
    except BaseException as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, OSError):
            raise _refused(spec.name, error) from None
        raise


def restart(primer: Primer, channel: Channel, descriptor: int, number: int, codecs: Codecs) -> list[bytes]:
    """Start the codecs of a unit that has no channel; the frames that this takes are not the user's. -> other frames
    that came out of the unit meanwhile. Raises `OSError`."""
    frames = primer.start(descriptor, number, codecs)
    sent, received = codecs.acknowledges()
    for at, own in ((0, sent), (2, [*received, *frames])):
        channel.handled[at] += len(own)
        channel.handled[at + 1] += sum(len(frame) + channel.extra for frame in own)
    return frames


class Unfiltered(Exception):
    """The kernel cannot check the sources of a peer's packets; the text says why."""


def check_sources(unit: int, spec: NetifSpec, prefixes: tuple[str, ...], punt: tuple[str, ...]) -> None:
    """Raises `Unfiltered`."""
    if not spec.source_check:
        return
    program = source_check([parse_prefix(text) for text in prefixes], "ra" in punt)
    if not program:
        raise Unfiltered(f"{len(prefixes)} prefixes are too many for the kernel's filter")
    try:
        pppdev.set_pass_filter(unit, program)
    except OSError:
        raise Unfiltered("this kernel has no filter for PPP (CONFIG_PPP_FILTER)") from None


@dataclass(slots=True)
class EthernetDevice(TUN):
    """An interface of l2tp_eth; there is no descriptor."""

    session: EthernetSession


class EthernetSession:
    """An Ethernet pseudowire of the kernel."""

    __slots__ = ("port", "tunnel", "spec", "stats", "ifindex", "seen", "moved_at")

    def __init__(self, port: Port, tunnel: KernelTunnel, spec: SessionSpec) -> None:
        self.port = port
        self.tunnel = tunnel
        self.spec = spec
        self.stats = Stats()
        self.ifindex = self.seen = 0
        self.moved_at = -1.0

    @property
    def ids(self) -> tuple[int, int]:
        """Tunnel and session, as the kernel knows them."""
        return self.tunnel.tunnel.spec.tunnel_id, self.spec.session_id

    def open(self, requests: GenericSocket, links: LinkRequests, spec: NetifSpec) -> EthernetDevice:
        """Raises `DataPathError`, `OSError` when the kernel does not take the session."""
        self.tunnel.open(requests)
        session = self.spec
        try:
            requests.session_create(
                *self.ids, session.peer_session_id,
                **fields(session, pw_type=PW_ETH, ifname=spec.name.encode() + b"\0"))
        except OSError as error:
            if _exists(spec.name):
                raise _refused(spec.name, error) from None
            raise
        try:
            name = requests.session_get(*self.ids)[0]
            ifindex = links.index(name)
            links.prepare(ifindex, spec.multicast)
        except OSError as error:
            self.close(requests)
            raise _refused(spec.name, error) from None
        self.ifindex = ifindex
        return EthernetDevice(-1, name, ifindex, self)

    def modify(self, requests: GenericSocket, spec: SessionSpec) -> None:
        """Numbers as the specification says now. Raises `OSError`."""
        known = fields(spec)
        requests.session_modify(*self.ids, send_seq=known["send_seq"], recv_seq=known["recv_seq"])

    def measure(self, requests: GenericSocket, links: LinkRequests, now: float) -> None:
        with suppress(OSError):
            session = requests.session_get(*self.ids)[1]
            self.stats = link_stats(links, 0, self.ifindex)
            self.stats.rx_errors = max(0, session.rx_errors - session.rx_discards)
            self.stats.rx_out_of_sequence, self.stats.rx_discards = session.rx_out_of_sequence, session.rx_discards
        packets = self.stats.tx_packets + self.stats.rx_packets
        if packets != self.seen:
            self.seen, self.moved_at = packets, now

    def close(self, requests: GenericSocket) -> None:
        with suppress(OSError):
            requests.session_delete(*self.ids)

    def add_to(self, counters: tuple, now: float) -> tuple:
        """As `Channel.add_to`."""
        stats = self.stats
        added = (stats.tx_packets, stats.tx_octets, stats.tx_errors, stats.rx_packets, stats.rx_octets,
                 stats.rx_errors, stats.rx_out_of_sequence, stats.rx_discards)
        last = counters[8]
        if self.moved_at >= 0:
            last = now - self.moved_at
        return (*(own + theirs for own, theirs in zip(counters, added, strict=False)), last)


def _exists(name: str) -> bool:
    try:
        return "%d" not in name and bool(socket.if_nametoindex(name))
    except OSError:
        return False
