"""What becomes of tunnels and sessions: the log, events, history and tallies, and those who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd import causes, facts
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.admission import CDN_ADMINISTRATIVE
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.l2tp import outputs
from prol2tp.l2tp.results import result_text
from prol2tp.l2tp.session import Session

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane


class Outcomes:
    """Carries out the outputs of the endpoint that say what is now."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._levels = plane.levels
        self._log = plane.log
        self._clock = plane.clock

    def table(self) -> dict[type, Callable[[Any], None]]:
        """By output, for the driver."""
        return {
            outputs.TunnelCreated: self._tunnel_created,
            outputs.TunnelUp: self._tunnel_up,
            outputs.TunnelDown: self._tunnel_down,
            outputs.TunnelDeleted: self._tunnel_deleted,
            outputs.SessionCreated: self._session_created,
            outputs.SessionUp: self._session_up,
            outputs.SessionDown: self._session_down,
            outputs.SessionDeleted: self._session_deleted,
            outputs.LinkInfoChanged: self._link_info,
            outputs.WANErrors: self._wan_errors,
            outputs.SpeedChanged: self._speed_changed,
            outputs.CircuitChanged: self._circuit_changed,
        }

    def announce(self, record: TunnelRecord | SessionRecord) -> None:
        """Tell that it was created, if nobody was told yet. What a peer asks for is told when its profile is known."""
        if record.announced:
            return
        record.announced = True
        if isinstance(record, TunnelRecord):
            self._tunnel_event("tunnel-created", record)
        else:
            self._session_event("session-created", record)

    def _tunnel_event(self, event: str, record: TunnelRecord, **more: Any) -> None:
        self.announce(record)
        if self._plane.tracers:
            self._plane.tracing.line("event", record.tunnel_id, 0, f"{event} {more.get('reason', '')}".rstrip())
        if self._plane.events is not None:
            self._plane.events.publish(event, **facts.tunnel(record), **more)

    def _session_event(self, event: str, record: SessionRecord, **more: Any) -> None:
        self.announce(record)
        if self._plane.tracers:
            self._plane.tracing.line("event", record.tunnel.tunnel_id, record.session_id,
                              f"{event} {more.get('reason', '')}".rstrip())
        if self._plane.events is not None:
            self._plane.events.publish(event, **facts.session(record), **more)

    def _tunnel_created(self, output: outputs.TunnelCreated) -> None:
        if output.tunnel_id in self._plane.endpoint.tunnels:
            record = self._plane.record(output.tunnel_id)
            # spoofed requests must not fill the log: what becomes of one too many is said only if it comes up
            record.told = record.instance is None and self._log.level < Level.INFO and not self._plane.told.take()
            self._log.emit(Level.INFO, "tunnel {tunnel} created: peer {peer}", own=record.log_level,
                           tunnel=record.label, peer=text(self._plane.endpoint.tunnels[output.tunnel_id].peer))
            if record.core.origin != "net":
                self.announce(record)

    def _tunnel_up(self, output: outputs.TunnelUp) -> None:
        record = self._plane.tunnels[output.tunnel_id]
        core = self._plane.endpoint.tunnels[output.tunnel_id]
        self._log.emit(Level.NOTICE, "tunnel {tunnel} up: peer {peer} host {host} id {ptid}", own=record.log_level,
                       tunnel=record.label, peer=text(core.peer), ptid=core.peer_tunnel_id, host=core.peer_host_name)
        self._tunnel_event("tunnel-up", record)
        record.up_at = self._clock.seconds()
        record.up, record.told = True, False
        self._plane.established += 1
        self._plane.tallies.tunnel_setup.observe(self._clock.seconds() - core.created_at)
        most = self._plane.config.system.max_tunnels
        if record.instance is not None:
            record.instance.up()
        elif most and self._plane.established > most:  # more than one was let in while there was room for one
            self._plane.close_tunnel(output.tunnel_id, result=2, error=4, message="too many tunnels")

    def _tunnel_down(self, output: outputs.TunnelDown) -> None:
        record = self._plane.tunnels.get(output.tunnel_id)
        if record is None:
            return
        if record.up:
            record.up = False
            self._plane.established -= 1
        self._plane.tallies.tunnel_ends.add(result_text("StopCCN", output.result, output.error))
        why = result_text("StopCCN", output.result, output.error, output.message)
        self._log.emit(Level.INFO if record.told else Level.NOTICE, "tunnel {tunnel} to {peer} down: {who}: {why}",
                       own=record.log_level, tunnel=record.label, peer=record.peer,
                       who="by peer" if output.by_peer else "by us", why=why)
        if self._plane.history is not None:
            self._plane.history.tunnel_down(record, output, why)
        self._tunnel_event("tunnel-down", record, result=output.result, error=output.error, message=output.message,
                           by_peer=output.by_peer, reason=why)
        if record.instance is not None:
            record.instance.last_error = why
            # the closed tunnel lingers to answer retransmissions; the next try need not wait for that
            instance, record.instance = record.instance, None
            instance.closed()

    def _tunnel_deleted(self, output: outputs.TunnelDeleted) -> None:
        record = self._plane.tunnels.pop(output.tunnel_id, None)
        if record is None:
            return
        self._log.emit(Level.INFO, "tunnel {tid} deleted", own=record.log_level, tid=output.tunnel_id)
        self._tunnel_event("tunnel-deleted", record)
        self._plane.tunnel_roll.discard(record)
        gone = self._plane.paths.forget_tunnel(record)
        if record.own_port and record.port is not None:
            port = record.port
            gone.addCallback(lambda result: self._plane.unlisten(port))
        if record.log_level is not None:
            self._levels.set(record, None)

    def _session_created(self, output: outputs.SessionCreated) -> None:
        record = self._plane.session_record(output.tunnel_id, output.session_id)
        if self._log.enabled(Level.INFO, self._levels.of(record)):
            self._log.emit(Level.INFO, "session {session} created", own=self._levels.of(record), session=record.label)
        if record.core is None or record.core.origin != "net":
            self.announce(record)

    def _session_up(self, output: outputs.SessionUp) -> None:
        record = self._plane.find(output.tunnel_id, output.session_id)
        tunnel = self._plane.endpoint.tunnels.get(output.tunnel_id)
        core = tunnel.sessions.get(output.session_id) if tunnel is not None else None
        if record is None or core is None:  # its end has come with its beginning, and is told next
            return
        if self._log.enabled(Level.NOTICE, self._levels.of(record)):
            self._say_up(record, core)
        record.up = True
        record.up_at = self._clock.seconds()
        self._plane.tallies.sessions_up += 1
        self._plane.tallies.session_setup.observe(self._clock.seconds() - core.created_at)
        self._session_event("session-up", record)
        if record.instance is not None:
            record.instance.came_up()
        if core.pseudowire is not None and not core.pseudowire.peer_active:
            self._plane.ethernet.peer_circuit(record, False)
        offers = self._plane.offers
        record.taker = offers if offers is not None and offers.wants(record) else None
        (record.taker or self._plane.ppp).session_up(record)

    def _say_up(self, record: SessionRecord, core: Session) -> None:
        request = core.peer_message
        numbers = [f"{word} {number}" for word, number in (
            ("calling", getattr(request, "calling_number", None)),
            ("called", getattr(request, "called_number", None))) if number]
        self._log.emit(Level.NOTICE, "session {session} up: {what}", own=self._levels.of(record), session=record.label,
                       what=", ".join([f"peer id {core.peer_session_id}", *numbers]))

    def _session_down(self, output: outputs.SessionDown) -> None:
        record = self._plane.find(output.tunnel_id, output.session_id)
        if record is None:
            return
        why = result_text("CDN", output.result, output.error, output.message)
        level = Level.INFO if record.told else Level.NOTICE
        if self._log.enabled(level, self._levels.of(record)):
            self._log.emit(level, "session {session} down: {who}: {why}", own=self._levels.of(record),
                           session=record.label, who="by peer" if output.by_peer else "by us", why=why)
        lost = output.by_peer or output.result != CDN_ADMINISTRATIVE
        cause = "" if output.by_peer else record.cause
        cause = cause or causes.cause_of(output.disconnect, lost)
        self._plane.tallies.session_ends.add(cause)
        if record.up:
            record.up = False
            self._plane.tallies.sessions_up -= 1
        if self._plane.history is not None:
            self._plane.history.session_down(record, output, cause, why, record.final)
        self._session_event("session-down", record, result=output.result, error=output.error, message=output.message,
                            by_peer=output.by_peer, cause=cause, reason=why)
        if record.instance is not None:
            record.instance.ended(output, cause, why)
        (record.taker or self._plane.ppp).session_down(record, cause, why)

    def _session_deleted(self, output: outputs.SessionDeleted) -> None:
        tunnel = self._plane.tunnels.get(output.tunnel_id)
        record = tunnel.sessions.pop(output.session_id, None) if tunnel is not None else None
        if tunnel is None or record is None:
            return
        self._session_event("session-deleted", record)
        tunnel.session_roll.discard(record)
        self._plane.session_roll.discard(record)
        if record.log_level is not None:
            self._levels.set(record, None)
        self._plane.passing.forget(record)
        (record.taker or self._plane.ppp).session_forgotten(record)
        if record.instance is not None:
            instance, record.instance = record.instance, None
            instance.closed()

    def _link_info(self, output: outputs.LinkInfoChanged) -> None:
        self._log.debug("session {tid}/{sid}: SLI send ACCM {send:08x} receive ACCM {receive:08x}",
                       tid=output.tunnel_id, sid=output.session_id, send=output.send_accm, receive=output.receive_accm)
        record = self._plane.find(output.tunnel_id, output.session_id)
        if record is not None:
            self._plane.passing.link_info(record, output)

    def _wan_errors(self, output: outputs.WANErrors) -> None:
        self._log.info("session {tid}/{sid}: WEN {counters}", tid=output.tunnel_id, sid=output.session_id,
                      counters=str(output.counters))
        record = self._plane.find(output.tunnel_id, output.session_id)
        if record is not None:
            self._plane.passing.wan_errors(record, output)

    def _speed_changed(self, output: outputs.SpeedChanged) -> None:
        record = self._plane.find(output.tunnel_id, output.session_id)
        if record is not None:
            self._log.emit(Level.INFO, "session {session}: CSUN: {tx} bit/s to the subscriber, {rx} bit/s from him",
                           own=self._levels.of(record), session=record.label, tx=output.tx, rx=output.rx)
            self._session_event("speed-changed", record, tx=output.tx, rx=output.rx)
            self._plane.passing.speed_changed(record)

    def _circuit_changed(self, output: outputs.CircuitChanged) -> None:
        record = self._plane.find(output.tunnel_id, output.session_id)
        if record is not None:
            self._log.emit(Level.NOTICE, "session {session}: the peer's circuit is {state}",
                           own=self._levels.of(record), session=record.label, state="up" if output.active else "down")
            self._plane.ethernet.peer_circuit(record, output.active)
            self._session_event("circuit-changed", record, active=output.active)
