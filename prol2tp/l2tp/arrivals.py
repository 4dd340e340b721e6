"""What an endpoint hears: the tunnel for a datagram is found, or made of an SCCRQ.

A peer is address, port and id, never an address alone.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from prol2tp.common.wire import WireError
from prol2tp.l2tp import header3, messages, messages3, trace
from prol2tp.l2tp.context import Cause, Context
from prol2tp.l2tp.digest import DigestError
from prol2tp.l2tp.header import (
    CONTROL_LENGTH,
    VERSION_3,
    ControlHeader,
    UnsupportedVersion,
    is_control,
    read_control,
)
from prol2tp.l2tp.messages import SCCRQ, MessageError, StopCCN
from prol2tp.l2tp.outputs import Address
from prol2tp.l2tp.requests import Requests, refusal
from prol2tp.l2tp.settings import TunnelSettings
from prol2tp.l2tp.tunnel import Event, State, Tunnel, wrong_version
from prol2tp.l2tp.version2 import VERSION_2
from prol2tp.l2tp.version3 import L2TPV3, Offer, Version3

UNKNOWN = TunnelSettings(host_name="")
"""Stands for the settings of a tunnel that is not admitted yet."""
UNKNOWN_3 = TunnelSettings(host_name="", version=L2TPV3)
_ACK = messages3.ACK.number.to_bytes(2, "big")


def is_type(body: bytes, message: Any) -> bool:
    """Whether the body is that of a message, by its Message Type."""
    return int.from_bytes(body[6:8], "big") == message.number


def knows_secret(tunnel: Tunnel, whole: bytes) -> bool:
    """Whether a message has the digest that the tunnel demands; version 2 demands none."""
    try:
        tunnel.version.check(whole)
    except DigestError:
        return False
    return True


class Arrivals:
    """The part of `Endpoint` that the network speaks to."""

    context: Context
    tunnels: dict[int, Tunnel]
    _requests: Requests

    def _make(self, settings: TunnelSettings, peer: Address, local: Address, ifindex: int, lns: bool,
              now: float) -> Tunnel:
        raise NotImplementedError

    def _settle(self, tunnel: Tunnel, now: float) -> None:
        raise NotImplementedError

    def _transmit(self, data: bytes, peer: Address, local: Address, ifindex: int) -> None:
        raise NotImplementedError

    def _drop(self, tunnel: Tunnel, cause: Cause, now: float) -> None:
        raise NotImplementedError

    def receive(self, data: bytes, peer: Address, local: Address, ifindex: int, now: float) -> None:
        """One datagram. Data messages are only counted."""
        counters = self.context.counters
        counters.received += 1
        if not is_control(data):
            counters.data_messages += 1
            return
        try:
            if header3.version(data) == VERSION_3:
                header = header3.read_control_over_udp(data)
                decoder: Any = messages3
            else:
                header = read_control(data)
                decoder = messages
                if not local[1]:
                    raise UnsupportedVersion(VERSION_2.number)  # protocol 115 is version 3's
        except UnsupportedVersion:
            counters.bad_versions += 1
            return
        except WireError:
            counters.bad_headers += 1
            return
        message = data[:header.length]
        if header.tunnel_id == 0:
            self._receive_unaddressed(decoder, header, message, peer, local, ifindex, now)
            return
        tunnel = self.tunnels.get(header.tunnel_id)
        if tunnel is None or tunnel.static:
            counters.unknown_tunnels += 1
        elif decoder is not messages or tunnel.version is not VERSION_2:
            self._receive_checked(tunnel, decoder, header, message, peer, local, ifindex, now)
        else:
            self._receive_known(tunnel, header, data[CONTROL_LENGTH:header.length], peer, local, ifindex, now)

    def _receive_checked(self, tunnel: Tunnel, decoder: Any, header: ControlHeader, message: bytes, peer: Address,
                         local: Address, ifindex: int, now: float) -> None:
        """Version 3, or a tunnel that may become either: nothing is believed before the digest is right."""
        counters = self.context.counters
        version = tunnel.version
        if decoder is messages3 and isinstance(version, Offer) and tunnel.state is State.WAITCTLREPLY:
            version = version.taken_up(tunnel.settings)
        if (decoder is messages3) != (version.number == Version3.number):
            counters.bad_versions += 1
            return
        if tunnel.peer[0] != peer[0]:
            counters.wrong_sources += 1
            return
        try:
            version.check(message)
        except DigestError:
            counters.bad_digests += 1
            return
        body = message[CONTROL_LENGTH:]
        if body[6:8] == _ACK and decoder is messages3:
            body = b""
        if isinstance(tunnel.version, Offer) and not self._choose(tunnel, version, header, body):
            counters.bad_versions += 1
            return
        self._receive_known(tunnel, header, body, peer, local, ifindex, now)

    @staticmethod
    def _choose(tunnel: Tunnel, version: Any, header: ControlHeader, body: bytes) -> bool:
        """An answer to our offer of both versions: the one of its SCCRP is settled, if that can be the next message.
        False: no answer in version 3."""
        due = header.ns == tunnel.channel.nr
        if version is tunnel.version:
            if due and is_type(body, messages.SCCRP):
                tunnel.version = VERSION_2
            return True
        if due and (is_type(body, messages3.SCCRP) or is_type(body, messages3.StopCCN)):
            # the challenge was for version 2: here the digest has proved what it asks for
            tunnel.version, tunnel.challenge = version, None
            return True
        return not body

    def _receive_known(self, tunnel: Tunnel, header: ControlHeader, body: bytes, peer: Address, local: Address,
                       ifindex: int, now: float) -> None:
        counters = self.context.counters
        if tunnel.state is State.WAITCTLREPLY and tunnel.peer[0] == peer[0]:
            self._receive_answer(tunnel, header, body, peer, local, ifindex, now)
        elif tunnel.peer == peer:
            self._receive_for(tunnel, header, body, now)
        else:
            counters.wrong_sources += 1

    def _receive_for(self, tunnel: Tunnel, header: ControlHeader, body: bytes, now: float) -> None:
        if self.context.trace is not None:
            trace.packet(self.context.trace, "receive", tunnel.tunnel_id, header.session_id, header.ns, header.nr, body)
        tunnel.receive(header.ns, header.nr, header.session_id, body, now)
        self._settle(tunnel, now)

    def _receive_answer(self, tunnel: Tunnel, header: ControlHeader, body: bytes, peer: Address, local: Address,
                        ifindex: int, now: float) -> None:
        """The peer answers our SCCRQ from a port of its choice (section 8.1); its SCCRP or StopCCN settles which."""
        if self.context.trace is not None:
            trace.packet(self.context.trace, "receive", tunnel.tunnel_id, header.session_id, header.ns, header.nr, body)
        tunnel.receive(header.ns, header.nr, header.session_id, body, now)
        if tunnel.state is not State.WAITCTLREPLY:
            tunnel.peer, tunnel.local, tunnel.ifindex = peer, local, ifindex
        self._settle(tunnel, now)

    def _receive_unaddressed(self, decoder: Any, header: ControlHeader, whole: bytes, peer: Address, local: Address,
                             ifindex: int, now: float) -> None:
        """Tunnel id 0: an SCCRQ, or the StopCCN of a peer that does not know our id yet.

        :param decoder: the module of the version that it is in, `messages` or `messages3`.
        """
        counters = self.context.counters
        body = whole[CONTROL_LENGTH:]
        if not body:
            counters.unknown_tunnels += 1
            return
        version = Version3.number if decoder is messages3 else VERSION_2.number
        try:
            message = decoder.decode(body)
        except MessageError as error:
            counters.bad_requests += 1
            self._refuse_malformed(error, version, header, peer, local, ifindex)
            return
        known = self._requests.find(peer, getattr(message, "assigned_tunnel_id", 0), version)
        if message.number == StopCCN.number:
            self._stopped_unaddressed(known, header, whole, now)
            return
        if message.number != SCCRQ.number or header.session_id or header.ns:
            counters.unknown_tunnels += 1
            return
        if known is not None and not self._is_new(self.tunnels[known], header, whole, now):
            return
        self._requested(message, header, whole, version, peer, local, ifindex, now)

    def _stopped_unaddressed(self, known: int | None, header: ControlHeader, whole: bytes, now: float) -> None:
        """A StopCCN that names the peer's id instead of ours."""
        if known is None:
            self.context.counters.unknown_tunnels += 1
            return
        tunnel = self.tunnels[known]
        try:
            tunnel.version.check(whole)
        except DigestError:
            self.context.counters.bad_digests += 1
            return
        self._receive_for(tunnel, header, whole[CONTROL_LENGTH:], now)

    def _refuse_malformed(self, error: MessageError, version: int, header: ControlHeader, peer: Address,
                          local: Address, ifindex: int) -> None:
        if error.message_type == 1 and error.assigned_tunnel_id and header.ns == 0:
            cause = Cause(error.result, error.error, str(error))
            self._transmit(refusal(error.assigned_tunnel_id, cause, version), peer, local, ifindex)

    def _is_new(self, tunnel: Tunnel, header: ControlHeader, whole: bytes, now: float) -> bool:
        """Whether an SCCRQ that names a tunnel we have is a new request all the same: the peer has started anew."""
        if not tunnel.established and not knows_secret(tunnel, whole):
            self.context.counters.bad_digests += 1
            return False
        body = whole[CONTROL_LENGTH:]
        copy = tunnel.request_checksum == crc32(body)
        if not copy and not tunnel.established:
            self._drop(tunnel, Cause(1, 0, "the peer has started anew", True), now)
            return True
        self.context.counters.duplicate_requests += 1
        if tunnel.established and (not copy or now - tunnel.state_since > tunnel.channel.cycle()):
            # anybody could have sent this, so ask: the peer's new self will not answer a HELLO for the old tunnel
            tunnel.probe(now)
            self._settle(tunnel, now)
        elif not tunnel.stopped:
            self._receive_for(tunnel, header, body, now)
        return False

    def _requested(self, message: Any, header: ControlHeader, whole: bytes, version: int, peer: Address,
                   local: Address, ifindex: int, now: float) -> None:
        cause = wrong_version(message.protocol_version)
        if cause is not None:
            self.context.counters.bad_requests += 1
            self._transmit(refusal(message.assigned_tunnel_id, cause), peer, local, ifindex)
            return
        if not self._wins_tie(message, whole, peer, now):
            self.context.counters.lost_ties += 1
            return
        oldest = self._requests.room_for(peer, len(self.tunnels), now)
        if oldest is None:
            self.context.counters.pending_refused += 1
            return
        if oldest:
            self.context.counters.pending_evicted += 1
            self._drop(self.tunnels[oldest], Cause(2, 4, "too many tunnels are being set up"), now)
        unset = UNKNOWN_3 if version == Version3.number else UNKNOWN
        tunnel = self._make(unset, peer, local, ifindex, True, now)
        body = whole[CONTROL_LENGTH:]
        if version == Version3.number or getattr(message, "assigned_control_connection_id", None):
            tunnel.request_message = whole
        self._requests.add(tunnel, message.assigned_tunnel_id, now)
        # the SCCRQ passes through the channel too: it has a number, and is acknowledged
        tunnel.channel.receive(header.ns, header.nr, 0, body, now)
        tunnel.request_checksum = crc32(body)
        if self.context.trace is not None:
            trace.message(self.context.trace, "receive", message, tunnel.tunnel_id, 0)
        tunnel.handle(Event.SCCRQ, now, message)
        self._settle(tunnel, now)

    def _wins_tie(self, message: Any, whole: bytes, peer: Address, now: float) -> bool:
        """Both ends have sent an SCCRQ (section 4.4.3, Tie Breaker): the lower value wins, equal values lose both. Who
        does not know the secret of our tunnel of version 3 is not its other end."""
        theirs = message.tie_breaker
        wins = True
        for tunnel_id in self._requests.opening(peer[0]):
            tunnel = self.tunnels[tunnel_id]
            ours = tunnel.tie_breaker
            if ours is None and theirs is None or not knows_secret(tunnel, whole):
                continue
            if theirs is None or (ours is not None and ours <= theirs):
                wins = False
            if ours is None or (theirs is not None and theirs <= ours):
                self.context.counters.lost_ties += 1
                tunnel.handle(Event.LOSETIE, now, Cause(3, 0, "the peer won the tie"))
                self._settle(tunnel, now)
        return wins
