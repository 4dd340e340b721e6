"""A port whose frames the kernel carries: a PPP channel of /dev/ppp, in place of the carrier in user space."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR
from typing import Any

from twisted.python.failure import Failure

from prol2tp.dataplane.carrier2 import L2TPCarrier
from prol2tp.dataplane.carrier3 import L2TPv3Carrier
from prol2tp.dataplane.interface import SessionSpec
from prol2tp.dataplane.l2tpv3 import SUBLAYER_LENGTH
from prol2tp.dataplane.linux import pppdev
from prol2tp.dataplane.linux.genl import PW_PPP, GenericSocket, Stats
from prol2tp.dataplane.linux.sockets import (
    SO_LNSMODE,
    SO_RECVSEQ,
    SO_REORDERTO,
    SO_SENDSEQ,
    SOL_PPPOL2TP,
    open_pppoe,
    open_pppol2tp,
    session_stats,
)
from prol2tp.dataplane.linux.tunnels import KernelTunnel
from prol2tp.dataplane.ports import Carrier, Port, ppp_protocol
from prol2tp.dataplane.pppoe import PPPoECarrier

LARGEST = 65535
NETWORK_LAYER_END = 0x4000
COMPRESSED, CCP = 0x00FD, 0x80FD
_FF03 = b"\xff\x03"
_NUMBERS = 4
"""Octets of Ns and Nr."""


class Channel:
    """A `ports.Carrier`. `open` and `close` belong on the link thread.

    :param user: the carrier before; it is again when the port is closed.
    :ivar unit: descriptor of the unit on it, -1 without one: network-layer packets and CCP go there.
    """

    AGE_MAX = 40_000_000
    """Seconds; a unit without packets says that it is idle since before the system was started (2**32 ticks)."""

    __slots__ = ("port", "user", "tunnel", "pppox", "descriptor", "number", "unit", "bridged", "base", "zero", "errors",
                 "before", "idle", "dead", "handled", "cover", "made")

    def __init__(self, port: Port, user: Carrier, tunnel: KernelTunnel | None) -> None:
        self.port = port
        self.user = user
        self.tunnel = tunnel
        self.pppox: socket.socket
        self.descriptor = self.number = self.unit = -1
        self.bridged: Channel | None = None
        self.base = Stats()
        """What the kernel has counted, when it was last asked."""
        self.zero = Stats()
        """The same when it was joined."""
        self.errors = Stats()
        self.before = Total()
        """Of interfaces that it had before."""
        self.idle = -1
        """Seconds since the last network-layer packet of a unit."""
        self.handled = [0, 0, 0, 0]
        """Packets and octets sent, and received, that are both the port's own count and the kernel's."""
        self.dead = False
        self.cover: Cover | None = None
        self.made: Any = None
        """What was made on it as it was opened, until somebody takes it; or a Failure."""

    def take_made(self) -> Any:
        made, self.made = self.made, None
        return made

    # -- on the link thread --

    def open(self, requests: GenericSocket, spec: SessionSpec | None) -> None:
        """Raises `OSError`; nothing stays then."""
        user = self.user
        if isinstance(user, PPPoECarrier):
            self.pppox = open_pppoe(int.from_bytes(user.key[-2:], "big"), user.key[6:12], user.ethernet.interface)
        else:
            assert self.tunnel is not None and spec is not None
            self.tunnel.open(requests)
            self.pppox = self._open_l2tp(requests, self.tunnel, spec)
        try:
            self.descriptor, self.number = pppdev.open_channel(self.pppox.fileno())
        except OSError:
            self.pppox.close()
            raise

    @property
    def extra(self) -> int:
        """Octets that stand before the protocol field of a frame."""
        return len(_FF03) if isinstance(self.user, L2TPCarrier) else 0

    @staticmethod
    def _open_l2tp(requests: GenericSocket, kernel: KernelTunnel, spec: SessionSpec) -> socket.socket:
        tunnel = kernel.tunnel
        version = tunnel.spec.version
        ids = (tunnel.spec.tunnel_id, spec.session_id, tunnel.spec.peer_tunnel_id, spec.peer_session_id)
        if version == 3:
            requests.session_create(tunnel.spec.tunnel_id, spec.session_id, spec.peer_session_id,
                                    **fields(spec, pw_type=PW_PPP))
        try:
            pppox = open_pppol2tp(version, tunnel.socket_address, ids)
        except OSError:
            if version == 3:
                with suppress(OSError):
                    requests.session_delete(tunnel.spec.tunnel_id, spec.session_id)
            raise
        try:
            for option, value in ((SO_LNSMODE, spec.lns), (SO_RECVSEQ, spec.receive_sequence),
                                  (SO_SENDSEQ, spec.send_sequence),
                                  (SO_REORDERTO, reorder_milliseconds(spec))):
                if value:
                    pppox.setsockopt(SOL_PPPOL2TP, option, int(value))
        except OSError:
            pppox.close()
            raise
        return pppox

    def measure(self, link: Callable[[int], Stats] | None = None, ifindex: int = 0, unit: int = -1) -> None:
        """Ask the kernel for its counters: `link` for those of the unit's interface; `unit`: its descriptor. Of joined
        channels those of the L2TP session, less its header; of others only what went wrong, for all frames pass here.
        """
        with suppress(OSError):
            if link is not None:
                self.base = link(ifindex)
            elif self.bridged is not None:
                self._measure_bridged(self.bridged)
            if isinstance(self.user, L2TPCarrier):
                session = session_stats(self.pppox)
                # what it discards are errors too
                self.errors = Stats(0, 0, session.tx_errors, 0, 0, max(0, session.rx_errors - session.rx_discards),
                                    session.rx_out_of_sequence, session.rx_discards)
        if unit >= 0:
            with suppress(OSError):
                idle = pppdev.idle(unit)
                self.idle = idle if idle < self.AGE_MAX else -1

    def _measure_bridged(self, other: Channel) -> None:
        if isinstance(self.user, L2TPCarrier):
            now = _without_header(self.user, session_stats(self.pppox))
        elif isinstance(other.user, L2TPCarrier):
            there = _without_header(other.user, session_stats(other.pppox))
            ours = len(_FF03)  # which frames of PPPoE do not have
            now = Stats(there.rx_packets, there.rx_octets - ours * there.rx_packets, 0, there.tx_packets,
                        there.tx_octets - ours * there.tx_packets)
        else:
            return
        zero = self.zero
        self.base = Stats(now.tx_packets - zero.tx_packets, now.tx_octets - zero.tx_octets, 0,
                          now.rx_packets - zero.rx_packets, now.rx_octets - zero.rx_octets)

    def bridge(self, other: Channel) -> None:
        """The other channel's `bridge` comes next, or before. What was counted until now is the port's own."""
        self.bridged = other
        self.zero = Stats()
        self.measure()
        self.zero, self.base = self.base, Stats()

    def settle(self) -> None:
        """The interface, or the joining, is at its end: what it has counted is the port's."""
        self.before.add(self.base, self.handled)
        self.base = Stats()
        self.handled[:] = (0, 0, 0, 0)

    def shut(self) -> None:
        """Give the session back to the kernel."""
        os.close(self.descriptor)
        self.pppox.close()
        self.descriptor = -1

    # -- Carrier --

    def send(self, frame: bytes, traffic_class: int) -> bool:
        protocol, start = ppp_protocol(frame, 0, len(frame))
        frame = protocol.to_bytes(2, "big") + frame[start:]
        by_unit = self.unit >= 0 and (protocol < NETWORK_LAYER_END or protocol == CCP)
        try:
            os.write(self.unit if by_unit else self.descriptor, frame)
        except OSError:
            return False
        if by_unit or self.bridged is not None:
            self.handled[0] += 1
            self.handled[1] += len(frame) + self.extra
        return True

    def room(self) -> int:
        return self.user.room()

    def prefix(self, ppp: bytes) -> bytes | None:
        return None

    def changed(self) -> None:
        """There is no short way in this process."""

    def modify(self, send_sequence: bool | None, receive_sequence: bool | None, send_accm: int | None,
               receive_accm: int | None) -> None:
        for option, value in ((SO_SENDSEQ, send_sequence), (SO_RECVSEQ, receive_sequence)):
            if value is not None and isinstance(self.user, L2TPCarrier):
                with suppress(OSError):
                    self.pppox.setsockopt(SOL_PPPOL2TP, option, int(value))

    def close(self) -> None:
        self.uncover()
        self.user.close()

    # -- the packet socket of PPPoE sees the frames too --

    def hide(self) -> None:
        """What other sockets see of this session goes nowhere."""
        if isinstance(self.user, PPPoECarrier) and self.cover is None:
            self.cover = Cover(self.user)
            self.user.ethernet.carriers[self.user.key] = self.cover
            self.user.ethernet.own.discard(self.user.key)

    def uncover(self) -> None:
        if self.cover is not None and isinstance(self.user, PPPoECarrier):
            if self.user.ethernet.carriers.get(self.user.key) is self.cover:
                self.user.take()
            self.cover = None

    # -- counters --

    def add_to(self, counters: tuple, now: float) -> tuple:
        """A port's own counters with the kernel's."""
        errors = self.errors
        tx, tx_octets, tx_errors, rx, rx_octets, rx_errors, late, discards, last = counters
        total = Total()
        total.add(self.base, self.handled)
        idle = float(self.idle) if self.idle >= 0 and (total.tx_packets or total.rx_packets) else -1.0
        if idle < 0 or 0 <= last < idle:
            idle = last
        before = self.before
        return (tx + before.tx_packets + total.tx_packets, tx_octets + before.tx_octets + total.tx_octets,
                tx_errors + errors.tx_errors + before.tx_errors + total.tx_errors,
                rx + before.rx_packets + total.rx_packets, rx_octets + before.rx_octets + total.rx_octets,
                rx_errors + errors.rx_errors + before.rx_errors + total.rx_errors,
                late + errors.rx_out_of_sequence, discards + errors.rx_discards, idle)


def _without_header(carrier: L2TPCarrier, stats: Stats) -> Stats:
    """The kernel counts the header of L2TP too."""
    if isinstance(carrier, L2TPv3Carrier):
        tx = len(carrier.header) + (SUBLAYER_LENGTH if carrier.send_sublayer else 0)
        rx = carrier.start
    else:
        tx = len(carrier.header) + (_NUMBERS if carrier.send_sequence else 0)
        rx = len(carrier.header) + (_NUMBERS if carrier.sequence is not None else 0)
    return Stats(stats.tx_packets, stats.tx_octets - tx * stats.tx_packets, 0, stats.rx_packets,
                 stats.rx_octets - rx * stats.rx_packets)


class Total(Stats):
    """Sums of `Stats`."""

    __slots__ = ()

    def add(self, stats: Stats, handled: list[int]) -> None:
        """`handled`: packets and octets sent, and received, that were counted elsewhere."""
        self.tx_packets += max(0, stats.tx_packets - handled[0])
        self.tx_octets += max(0, stats.tx_octets - handled[1])
        self.rx_packets += max(0, stats.rx_packets - handled[2])
        self.rx_octets += max(0, stats.rx_octets - handled[3])
        self.tx_errors += stats.tx_errors
        self.rx_errors += stats.rx_errors


class _Sink:
    """Stands for the port of a session whose frames somebody else takes."""

    __slots__ = ("id", "rx_errors")

    def __init__(self, identifier: int) -> None:
        self.id = identifier
        self.rx_errors = 0

    def receive(self, frame: bytes, now: float) -> None:
        pass


class Cover:
    """A `pppoe.Taker` in the place of a carrier. Frames have no short way past it."""

    __slots__ = ("port", "vids", "inbound", "onward", "handle")

    def __init__(self, carrier: PPPoECarrier) -> None:
        self.handle = carrier.handle
        self.port: Any = _Sink(carrier.port.id)
        self.vids = carrier.vids
        self.inbound: dict[bytes, Any] = {}
        self.onward: Any = None


def reorder_milliseconds(spec: SessionSpec) -> int:
    """With 0 the kernel would drop the next five packets after one that was lost, with 1 at most the next."""
    return max(1, round(spec.reorder_timeout * 1000))


def fields(spec: SessionSpec, **more: bytes | int) -> dict[str, Any]:
    """Of `GenericSocket.session_create`, by a session of version 3. The kernel's COOKIE is what it sends."""
    # a peer's kernel numbers its packets only as long as it gets numbered ones
    send = spec.send_sequence or (spec.receive_sequence and spec.send_sublayer)
    found: dict[str, Any] = {
        **more, "l2spec_type": int(spec.send_sublayer), "send_seq": int(send),
        "recv_seq": int(spec.receive_sequence), "recv_timeout": reorder_milliseconds(spec)}
    if spec.peer_cookie:
        found["cookie"] = spec.peer_cookie
    if spec.cookie:
        found["peer_cookie"] = spec.cookie
    return found


# -- on the link thread --


def open_with(channel: Channel, requests: GenericSocket, spec: SessionSpec | None,
              work: Callable[[Channel], object] | None) -> None:
    """As `Channel.open`; then `work`, and what comes of it is `Channel.made`."""
    channel.open(requests, spec)
    if work is not None:
        try:
            channel.made = work(channel)
        except Exception:
            channel.made = Failure()


def finish(channel: Channel) -> None:
    """Shut a channel whose last counters are wanted."""
    channel.measure()
    channel.shut()


def join(one: Channel, two: Channel) -> None:
    """Raises `OSError`."""
    one.bridge(two)
    two.bridge(one)
    try:
        pppdev.bridge(one.descriptor, two.number)
    except OSError:
        one.bridged = two.bridged = None
        raise


def part(one: Channel, two: Channel) -> None:
    """Undo `join`. Raises `OSError`."""
    if one.bridged is two:
        for channel in (one, two):
            channel.measure()
            channel.settle()
        one.bridged = two.bridged = None
        pppdev.unbridge(one.descriptor)


def drain(descriptor: int, channel: Channel, gone: Callable[[], None], unreadable: Callable[[Port, float], None]
          ) -> Callable[[int, float], None]:
    """The drain function of a channel's descriptor, or of its unit's. `gone`: it is dead."""
    read, port, handled = os.read, channel.port, channel.handled
    of_unit = descriptor == channel.unit
    head = _FF03 if isinstance(channel.user, L2TPCarrier) else b""

    def drain_frames(quota: int, now: float) -> None:
        for _ in range(quota):
            try:
                frame = read(descriptor, LARGEST)
            except OSError as error:
                if error.errno not in (EAGAIN, EINTR):
                    gone()
                return
            if not frame:
                gone()
                return
            if of_unit or channel.bridged is not None:
                handled[2] += 1
                handled[3] += len(head) + len(frame)
            if of_unit and frame[:2] == b"\x00\xfd":
                port.rx_errors += 1
                unreadable(port, now)
            else:
                port.receive(head + frame, now)

    return drain_frames


