"""The kernel's data path. Packets do not come into this process.

It is the user-space data path, of which the kernel takes what it can: a session when its port gets an interface of its
own or is joined, one with sequence numbers at once, since those begin at 0. Until then, and for what the kernel cannot
do, frames go the way they have in user space. A kernel tunnel is made on a socket of its own with its first session,
and control messages that arrive there are relayed like all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from prol2tp.dataplane.compression import CODECS as USER_CODECS
from prol2tp.dataplane.interface import (
    SYSTEM,
    UNSUPPORTED,
    DataPathError,
    IDataPlane,
    IPathEvents,
    NetifSpec,
)
from prol2tp.dataplane.links import Link, check_netif
from prol2tp.dataplane.linux import pppdev
from prol2tp.dataplane.linux.carrying import Carrying
from prol2tp.dataplane.linux.channel import Channel
from prol2tp.dataplane.linux.clamp import Clamp
from prol2tp.dataplane.linux.codecs import Codecs, stop_codecs
from prol2tp.dataplane.linux.events import EventSocket
from prol2tp.dataplane.linux.probe import Features
from prol2tp.dataplane.linux.punt import PuntSocket
from prol2tp.dataplane.linux.units import (
    EthernetDevice,
    EthernetSession,
    Unfiltered,
    Unit,
    check_sources,
    open_unit,
    restart,
)
from prol2tp.dataplane.netifs import failing
from prol2tp.dataplane.ports import Port
from prol2tp.dataplane.pseudowires import EthernetPort
from prol2tp.dataplane.tun import TUN

REPORT_INTERVAL = 1.0
"""Seconds between two reports of a port that packets cannot be read."""


@implementer(IDataPlane)
class KernelDataPlane(Carrying):
    """See the module docstring.

    :param features: what `probe` has found.
    """

    name = "kernel"
    group_max = 16
    """Those of PPP keep the kernel longer."""

    def __init__(self, reactor: Any, features: Features) -> None:
        super().__init__(reactor, features)
        self.codecs = features.codecs
        self.notes = tuple(f"the kernel has {limit}" for limit in features.limits)
        self.clamp: Clamp | None = None
        self._events: EventSocket | None = None
        self._punt: PuntSocket | None = None
        self._units: dict[int, Port] = {}
        """Ports by the index of their PPP interface."""
        self._codecs: dict[int, Codecs] = {}
        """What was agreed on for ports."""
        self._unreadable: dict[int, float] = {}
        self._told: set[str] = set()
        self._log = Logger()

    # -- begin and end --

    def start(self, events: IPathEvents) -> Deferred[None]:
        """Raises `OSError`."""
        if self._events is None:
            self.open_requests()
            self._events = EventSocket(self.requests.group, self._deleted)
            try:
                self.clamp = Clamp()
            except OSError as error:
                self.notes += (f"TCP's MSS is not lowered: the kernel has no nftables ({error.strerror})",)
        started = super().start(events)
        assert self._poller is not None
        self._poller.add(self._events.socket.fileno(), self._events.drain)
        return started

    def _stopped(self, _: object) -> Deferred[None] | None:
        for owner in (self._events, self._punt):
            if owner is not None and self._poller is not None:
                self._poller.remove(owner.socket.fileno())
                owner.close()
        self._events = self._punt = None
        stopped = super()._stopped(None)
        if stopped is not None:
            stopped.addCallback(lambda _: self.close_requests())
        if self.clamp is not None:
            self.clamp.close()
            self.clamp = None
        return stopped

    # -- interfaces --

    def open_for(self, port: Port, spec: NetifSpec) -> Deferred[TUN]:
        why = self._why_no_device(port, spec)
        if why:
            return self._in_user_space(port, spec, why)
        if isinstance(port, EthernetPort):
            return self._open_ethernet(port, spec)
        return self._open_unit(port, spec).addErrback(self._not_opened, port, spec)

    def _why_no_device(self, port: Port, spec: NetifSpec) -> str:
        """Why the kernel cannot make this interface; empty: it can."""
        if spec.mode != "own":
            return f"the kernel has no interfaces of mode {spec.mode}"
        if spec.clear_df:
            return "the kernel clears no DF bits"
        if port.up is not None or port.down is not None:
            return "its rate is the data path's"
        if not isinstance(port, EthernetPort) and spec.source_check and not self.features.source_check:
            return "this kernel has no filter for PPP (CONFIG_PPP_FILTER)"
        codecs = self._codecs.get(port.id)
        words = {codecs.send, codecs.receive} - {""} if codecs is not None else set()
        if not words <= set(self.codecs):
            return f"the kernel has no {', '.join(sorted(words))}"
        return self.why_not(port)

    def _in_user_space(self, port: Port, spec: NetifSpec, why: str) -> Deferred[TUN]:
        codecs = self._codecs.get(port.id)
        if codecs is not None and codecs.encrypts:
            return fail(DataPathError(UNSUPPORTED, f"MPPE is the kernel's, and {why}"))
        if why not in self._told:
            # once for each reason: it may be that of every user
            self._told.add(why)
            self._log.info("interface {name} is in user space: {why}", name=spec.name, why=why)
        return super().open_for(port, spec)

    def _open_unit(self, port: Port, spec: NetifSpec) -> Deferred[TUN]:
        codecs = self._codecs.get(port.id)

        def opened(channel: Channel) -> TUN:
            return open_unit(self.links_requests, self.primer, channel, spec, codecs)

        def carried(channel: Channel) -> Deferred[TUN]:
            if port.compression is not None and codecs is not None:
                port.compress(None, self.seconds())  # from here on the kernel's
            assert self._thread is not None
            return self._thread.call(opened, channel)

        if port.compression is not None:
            return self.carry(port).addCallback(carried)
        return self.carry_with(port, opened)

    def _not_opened(self, failure: Failure, port: Port, spec: NetifSpec) -> Any:
        """What the kernel cannot do is done here; what the operator got wrong is told."""
        error = failure.value
        if failure.check(Unfiltered, OSError):
            return self._in_user_space(port, spec, str(error))
        return failure

    def _open_ethernet(self, port: EthernetPort, spec: NetifSpec) -> Deferred[TUN]:
        session = EthernetSession(port, self.kernel_tunnel(port), self.current_spec(port))
        assert self._thread is not None
        opened = self._thread.call(session.open, self.requests, self.links_requests, spec)

        def made(device: EthernetDevice) -> TUN:
            self.watch_tunnel(session.tunnel)
            return device

        opened.addCallbacks(made, self._not_opened, errbackArgs=(port, spec))
        return opened  # type: ignore[return-value]

    def watch_link(self, link: Link) -> None:
        assert self._poller is not None
        tun: Any = link.tun
        if isinstance(tun, EthernetDevice):
            (port,) = link.ports
            self.sessions[tun.session.ids] = (tun.session, link)
            self.kernel[port.id] = tun.session
            self.refresh_filter(tun.session.tunnel.tunnel.listener)
        elif isinstance(tun, Unit):
            (port,) = link.ports
            channel = tun.channel
            channel.unit = tun.descriptor
            drain = self.drain_for(tun.descriptor, channel, lambda: self._unit_gone(link))
            self._poller.add(tun.descriptor, drain)
            self._units[tun.ifindex] = port
        else:
            super().watch_link(link)

    def _unit_gone(self, link: Link) -> None:
        assert self._poller is not None and link.tun is not None
        self._poller.remove(link.tun.descriptor)
        self.link_gone(link)

    def writer(self, link: Link) -> Callable[[bytes], object]:
        if isinstance(link.tun, (Unit, EthernetDevice)):
            return _not_ours
        return super().writer(link)

    def close_link(self, link: Link) -> Deferred[None]:
        tun: Any = link.tun
        assert self._thread is not None and self._poller is not None
        if isinstance(tun, EthernetDevice):
            session = tun.session
            self.sessions.pop(session.ids, None)
            return self._thread.call(self._close_ethernet, session).addErrback(_forget)
        if isinstance(tun, Unit):
            tun.channel.unit = -1
            self._units.pop(tun.ifindex, None)
        return super().close_link(link)

    def _close_ethernet(self, session: EthernetSession) -> None:
        session.measure(self.requests, self.links_requests, self.seconds())
        session.close(self.requests)

    def _deleted(self, tunnel_id: int, session_id: int) -> None:
        """Somebody has deleted a session of the kernel, or a tunnel."""
        if not session_id:
            self.kernel_tunnel_gone(tunnel_id)
        else:
            self.session_gone(tunnel_id, session_id)
        ids = [(tunnel_id, session_id)] if session_id else [ids for ids in self.sessions if ids[0] == tunnel_id]
        for one in ids:
            found = self.sessions.pop(one, None)
            if found is not None:
                self.link_gone(found[1])

    @failing
    def netif_modify(self, port: int, protocols: tuple[str, ...] | None = None,
                     prefixes: tuple[str, ...] | None = None, mtu: int | None = None,
                     punt: tuple[str, ...] | None = None) -> Deferred[None]:
        done = super().netif_modify(port, protocols, prefixes, mtu, punt)
        entry = self.ports.get(port)
        attachment: Any = entry.attachment if entry is not None else None
        unit = attachment.link.tun if attachment is not None else None
        if not isinstance(unit, Unit):
            return done
        spec = attachment.spec
        if prefixes is not None:
            spec = attachment.spec = replace(spec, prefixes=prefixes)
        if punt is not None:
            spec = attachment.spec = replace(spec, punt=punt)
            self._punts(punt)
        assert self._thread is not None
        filtered = prefixes is not None or punt is not None
        changed = self._thread.call(_change_unit, unit, protocols, spec if filtered else None)
        return changed.addErrback(_as_system_error)

    @failing
    def netif_attach(self, port: int, spec: NetifSpec) -> Any:
        check_netif(spec)
        self._punts(spec.punt)
        return super().netif_attach(port, spec)

    def _punts(self, words: tuple[str, ...]) -> None:
        if words and self._punt is None and self._poller is not None:
            try:
                self._punt = PuntSocket(self._units.get)
                self._poller.add(self._punt.socket.fileno(), self._punt.drain)
            except OSError as error:
                raise DataPathError(SYSTEM, f"a packet socket for IPv6: {error.strerror}") from None

    # -- compression --

    @failing
    def port_compress(self, port: int, send: str = "", receive: str = "", send_option: bytes = b"",
                      receive_option: bytes = b"", send_key: bytes = b"", receive_key: bytes = b"") -> Deferred[None]:
        entry = self.find_port(port)
        attachment: Any = entry.attachment
        unit = attachment.link.tun if attachment is not None else None
        codecs = Codecs(send, receive, send_option, receive_option, send_key, receive_key)
        if entry.peer is not None or isinstance(entry, EthernetPort) or (attachment and not isinstance(unit, Unit)):
            return super().port_compress(port, send, receive, send_option, receive_option, send_key, receive_key)
        unknown = {send, receive} - {"", *self.codecs}
        if unknown and (isinstance(unit, Unit) or codecs.encrypts):
            raise DataPathError(UNSUPPORTED, f"this kernel has no codec {', '.join(sorted(unknown))}")
        if not isinstance(unit, Unit):
            self._codecs[port] = codecs
            if codecs.encrypts or not {send, receive} <= {"", *USER_CODECS}:
                return succeed(None)  # there is nothing to compress before there is an interface
            return super().port_compress(port, send, receive, send_option, receive_option)
        if send or receive:
            self._codecs[port] = codecs
            return self._restart_codecs(entry, unit, codecs)
        self._codecs.pop(port, None)
        assert self._thread is not None
        return self._thread.call(stop_codecs, unit.descriptor).addErrback(_as_system_error)

    def _restart_codecs(self, port: Port, unit: Unit, codecs: Codecs) -> Deferred[None]:
        """The unit's frames are the link thread's meanwhile."""
        assert self._thread is not None and self._poller is not None
        self._poller.remove(unit.descriptor)
        restarted = self._thread.call(self._restart, unit, codecs)

        def done(result: list[bytes] | Failure) -> Failure | None:
            attachment: Any = port.attachment
            if attachment is not None and attachment.link.tun is unit and self._poller is not None:
                self.watch_link(attachment.link)
            if isinstance(result, Failure):
                return result
            for frame in result:
                port.receive(frame, self.seconds())
            return None

        return restarted.addBoth(done).addErrback(_as_system_error)

    def _restart(self, unit: Unit, codecs: Codecs) -> list[bytes]:
        pppdev.disconnect(unit.channel.descriptor)
        number = pppdev.unit_number(unit.descriptor)
        try:
            return restart(self.primer, unit.channel, unit.descriptor, number, codecs)
        finally:
            pppdev.connect(unit.channel.descriptor, number)

    def unreadable(self, port: Port, now: float) -> None:
        if now - self._unreadable.get(port.id, float("-inf")) >= REPORT_INTERVAL:
            self._unreadable[port.id] = now
            self.events.decompression_failed(port.id)

    # -- ports --

    @failing
    def port_modify(self, port: int, send_sequence: bool | None = None, receive_sequence: bool | None = None,
                    pcomp: bool | None = None, accomp: bool | None = None, send_accm: int | None = None,
                    receive_accm: int | None = None, rate_up: int | None = None,
                    rate_down: int | None = None) -> Deferred[None]:
        entry = self.find_port(port)
        attachment: Any = entry.attachment
        if (rate_up or rate_down) and attachment is not None and isinstance(attachment.link.tun, Unit):
            raise DataPathError(UNSUPPORTED, f"port {port} has an interface of the kernel: tc limits its rate")
        modified = super().port_modify(port, send_sequence, receive_sequence, pcomp, accomp, send_accm, receive_accm,
                                       rate_up, rate_down)
        session = self.kernel.get(port)
        if not isinstance(session, EthernetSession) or (send_sequence, receive_sequence) == (None, None):
            return modified
        assert self._thread is not None
        changed = self._thread.call(session.modify, self.requests, self.current_spec(entry))
        return changed.addErrback(_as_system_error)

    def port_delete(self, port: int) -> Deferred[tuple]:
        self._codecs.pop(port, None)
        self._unreadable.pop(port, None)
        return super().port_delete(port)


def _change_unit(unit: Unit, protocols: tuple[str, ...] | None, filtered: NetifSpec | None) -> None:
    if protocols is not None:
        unit.pass_protocols(protocols)
    if filtered is not None:
        check_sources(unit.descriptor, filtered, filtered.prefixes, filtered.punt)


def _not_ours(packet: bytes) -> None:
    """Nothing can be given to an interface of the kernel's but through its channel."""
    raise OSError


def _as_system_error(failure: Failure) -> Failure:
    if failure.check(OSError, Unfiltered):
        text = getattr(failure.value, "strerror", None) or str(failure.value)
        return Failure(DataPathError(SYSTEM, text))
    return failure


def _forget(_: Failure) -> None:
    """It is gone already."""
