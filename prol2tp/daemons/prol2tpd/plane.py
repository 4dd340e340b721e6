"""The control plane of prol2tpd: one L2TP endpoint, and what carries its outputs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.control.paging import Roll
from prol2tp.control.tracing import Tracers
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.prol2tpd import causes
from prol2tp.daemons.prol2tpd.addresses import router_id, text
from prol2tp.daemons.prol2tpd.admission import Admission, own_level
from prol2tp.daemons.prol2tpd.attach import ppp_profile
from prol2tp.daemons.prol2tpd.circuits import Circuits
from prol2tp.daemons.prol2tpd.datapath import ControlPorts, SessionPaths
from prol2tp.daemons.prol2tpd.ethernet import EthernetInterfaces
from prol2tp.daemons.prol2tpd.history import EndHistory
from prol2tp.daemons.prol2tpd.instances import ClientSession, ClientTunnel
from prol2tp.daemons.prol2tpd.levels import Levels
from prol2tp.daemons.prol2tpd.outcomes import Outcomes
from prol2tp.daemons.prol2tpd.passing import Passing
from prol2tp.daemons.prol2tpd.quota import Quota
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.daemons.prol2tpd.shared import SharedTunnels
from prol2tp.daemons.prol2tpd.tallies import Tallies
from prol2tp.daemons.prol2tpd.tracing import PlaneTracing
from prol2tp.daemons.traffic import Traffic
from prol2tp.dataplane.interface import Address, IDataPlane, Listener
from prol2tp.dataplane.network import LinuxNetwork
from prol2tp.l2tp import outputs
from prol2tp.l2tp.endpoint import Endpoint
from prol2tp.l2tp.session import State as SessionState
from prol2tp.net.deadlines import LazyTimer
from prol2tp.net.driver import Driver
from prol2tp.net.udp import ControlPort

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.calls import Call

_log = Logger(namespace="prol2tpd")

LOOK = 0.05
"""Seconds between looks whether the peers have acknowledged the end."""


class Plane:
    """Wires the endpoint to sockets, data path, propppd and configuration.

    :param ppp: the attachment to propppd: `session_up(record)`, `session_down(record, cause, message)`,
        `session_forgotten(record)`.
    """

    def __init__(self, config: Any, path: IDataPlane, ppp: Any, clock: IReactorTime, log: Log,
                 random_bytes: Callable[[int], bytes], reactor: Any = None,
                 make_port: Callable[..., ControlPort] = ControlPort, network: Any = None) -> None:
        self.config = config
        self.path = path
        self.ppp = ppp
        ppp.plane = self
        self.clock = clock
        self.log = log
        self.reactor = reactor if reactor is not None else clock
        self._make_port = make_port
        self.tunnels: dict[int, TunnelRecord] = {}
        self.tunnel_roll = Roll()
        self.session_roll = Roll()
        self.instances: dict[str, ClientTunnel] = {}
        self.shared = SharedTunnels(self)
        self.offers: Any = None
        """Sessions of peers that are offered to proacd (`offers.Offers`), once the control channel is there."""
        self.circuits = Circuits()
        self.ports = ControlPorts()
        self.server_ports: list[ControlPort] = []
        self._ip_waiting: dict[str, list[Deferred[ControlPort]]] = {}
        self.stopping = False
        self.events: Any = None
        """`control.events.Events` once the control channel is there."""
        self.history: EndHistory | None = None
        """Once there is one."""
        self._session_instance: ClientSession | None = None
        self.levels = Levels(self)
        self.passing = Passing(self)
        self.outcomes = Outcomes(self)
        self.endpoint = Endpoint(random_bytes, max_pending=config.system.max_pending_tunnels)
        self.driver = Driver(self.endpoint, {
            outputs.Transmit: self._transmit,
            outputs.AskTunnelAdmission: self._ask_tunnel,
            outputs.AskSessionAdmission: self._ask_session,
            outputs.OpenDataPath: self._open_path,
            outputs.ModifyDataPath: self._modify_path,
            outputs.CloseDataPath: self._close_path,
            **self.outcomes.table(),
        }, clock)
        self.ethernet = EthernetInterfaces(path, network or LinuxNetwork(self.reactor), log, self.reactor,
                                           self._own_circuit)
        self.paths = SessionPaths(path, self.driver, self.find, log, self.ethernet)
        self.admission = Admission(self)
        self.tallies = Tallies()
        self.traffic = Traffic(clock, self.session_roll, lambda record: record.port, path.counters,
                               lambda record: record.tunnel)
        self.faults = 0
        """Datagrams on which the core failed."""
        self.established = 0
        """Tunnels that are up."""
        self.told = Quota(clock, self._not_told)
        self.tracers = Tracers(self.levels.retrace)
        self.tracing = PlaneTracing(self, self.tracers)
        self._made = 0
        """Tunnels since the start."""
        self._sessions_made = 0
        self.levels.retrace()

    @property
    def session_count(self) -> int:
        return len(self.session_roll)

    # records

    def find(self, tunnel_id: int, session_id: int) -> SessionRecord | None:
        tunnel = self.tunnels.get(tunnel_id)
        return None if tunnel is None else tunnel.sessions.get(session_id)

    # sockets

    def add_port(self, listener: Listener) -> ControlPort:
        port = self._make_port(self.reactor, listener, self._received, self.driver.reschedule)
        self.ports.add(port)
        return port

    def serve(self, address: Address) -> Deferred:
        """Receive requests on this address; port 0: protocol 115. -> Deferred(ControlPort)"""

        def serving(port: ControlPort) -> ControlPort:
            self.server_ports.append(port)
            kind = "UDP socket {host}/{number}" if address[1] else "IP protocol 115 socket {host}"
            self.log.notice("lsnr: listening on IPv{version} " + kind,
                            version=6 if ":" in port.listener.address[0] else 4, host=port.listener.address[0],
                            number=port.listener.address[1])
            return port

        if not address[1]:
            return self.ip_port(address[0]).addCallback(serving)
        return self.path.listen(address).addCallback(self.add_port).addCallback(serving)

    def router_id(self) -> int:
        """As configured, or derived from an address of the host."""
        return self.config.system.router_id or router_id([port.listener.address for port in self.server_ports])

    def unlisten(self, port: ControlPort) -> None:
        self.ports.remove(port)
        port.close()
        self.path.unlisten(port.listener.id).addErrback(lambda failure: None)

    def _received(self, data: bytes, peer: Address, local: Address, ifindex: int) -> None:
        try:
            self.endpoint.receive(data, peer, local, ifindex, self.driver.now())
        except Exception:  # a fault of ours must not cost the socket, and with it every other peer
            self.faults += 1
            if self.told.take():
                _log.failure("datagram of {peer}", peer=text(peer))
        if self.tracers:
            self.tracing.received(data, peer, local)
        self.driver.drain()

    def _transmit(self, output: outputs.Transmit) -> None:
        port = self.ports.find(output.local)
        if self.tracers:
            self.tracing.transmitted(output.tunnel_id, output.data, output.peer, output.local)
        if port is not None:
            port.send(output.data, output.peer, output.local, output.ifindex)

    # the data path

    def _open_path(self, output: outputs.OpenDataPath) -> None:
        self.paths.open(output)

    def _modify_path(self, output: outputs.ModifyDataPath) -> None:
        self.paths.modify(output)

    def _close_path(self, output: outputs.CloseDataPath) -> None:
        self.paths.close(output)

    # admission

    def _ask_tunnel(self, output: outputs.AskTunnelAdmission) -> None:
        self.admission.tunnel(output)
        record = self.tunnels.get(output.tunnel_id)
        if record is not None:
            self.outcomes.announce(record)

    def _ask_session(self, output: outputs.AskSessionAdmission) -> None:
        self.admission.session(output)
        record = self.find(output.tunnel_id, output.session_id)
        if record is not None:
            self.outcomes.announce(record)

    # commands

    def ip_port(self, host: str) -> Deferred[ControlPort]:
        """The port of protocol 115 of an address, for all tunnels there."""
        port = self.ports.find((host, 0))
        if port is not None:
            return succeed(port)
        made: Deferred[ControlPort] = Deferred()
        waiting = self._ip_waiting.setdefault(host, [])
        waiting.append(made)
        if len(waiting) == 1:
            listening: Deferred[Listener] = self.path.listen((host, 0), "ip")
            listening.addCallback(self.add_port).addBoth(self._ip_made, host)
        return made

    def _ip_made(self, made: ControlPort | Failure, host: str) -> None:
        for one in self._ip_waiting.pop(host):
            if isinstance(made, Failure):
                one.errback(made)
            else:
                one.callback(made)

    def open_tunnel(self, instance: ClientTunnel, way: Listener | ControlPort, peer: Address) -> int:
        """Start the control connection of an instance from its own socket, which goes if that fails; or from a port
        that tunnels share.

        Raises `ValueError` and `LookupError`.
        """
        own = isinstance(way, Listener)
        port = self.add_port(way) if isinstance(way, Listener) else way
        try:
            settings = self.admission.tunnel_settings(instance.config)
            return self.driver.call(self._open_tunnel, settings, peer, port, own, instance)
        except Exception:
            if own:
                self.unlisten(port)
            raise

    def _open_tunnel(self, settings: Any, peer: Address, port: ControlPort, own: bool, instance: ClientTunnel,
                     now: float) -> int:
        local = port.listener.address
        if not own and instance.config.local is not None:
            local = (instance.config.local.host, local[1])  # a wildcard listener knows no address of its own
        tunnel_id = self.endpoint.open_tunnel(settings, peer, local, now)
        record = self.record(tunnel_id)
        record.port, record.own_port = port, own
        record.instance, record.profile = instance, instance.config
        self.levels.set(record, own_level(instance.config))
        instance.tunnel_id = tunnel_id
        return tunnel_id

    def open_session(self, instance: ClientSession | Call) -> int:
        tunnel_id = instance.tunnel.tunnel_id
        assert tunnel_id is not None
        return self.driver.call(self._open_session, tunnel_id, instance.settings(), instance)

    def _open_session(self, tunnel_id: int, settings: Any, instance: ClientSession | Call, now: float) -> int:
        session_id = self.endpoint.open_session(tunnel_id, settings, now)
        record = self.session_record(tunnel_id, session_id)
        record.instance, record.profile = instance, instance.config
        self.levels.set(record, own_level(instance.config, instance.tunnel.config))
        instance.session_id = session_id
        return session_id

    def close_tunnel(self, tunnel_id: int, result: int = 6, error: int = 0, message: str = "") -> None:
        self.driver.call(self.endpoint.close_tunnel, tunnel_id, result=result, error=error, message=message)

    def close_session(self, tunnel_id: int, session_id: int, result: int = 3, error: int = 0,
                      message: str = "") -> None:
        self.driver.call(self.endpoint.close_session, tunnel_id, session_id, result=result, error=error,
                         message=message)

    def start_instance(self, config: Any, origin: str = "config") -> ClientTunnel:
        instance = ClientTunnel(self, config, origin)
        self.instances[config.name] = instance
        instance.start()
        return instance

    def instance_finished(self, instance: ClientTunnel) -> None:
        if self.instances.get(instance.name) is instance:
            del self.instances[instance.name]

    def stop(self, patience: float) -> Deferred:
        """End all tunnels with StopCCN; -> Deferred(None) when all are acknowledged, or after `patience` seconds."""
        self.stopping = True
        for instance in (*self.instances.values(), *self.shared):
            instance.stop()
        for tunnel_id in list(self.tunnels):
            if tunnel_id in self.endpoint.tunnels:
                self.close_tunnel(tunnel_id, result=6, message="shutting down")
        done: Deferred = Deferred()
        end = self.clock.seconds() + patience

        def look(now: float) -> None:
            if now >= end or all(tunnel.channel.settled for tunnel in self.endpoint.tunnels.values()):
                done.callback(None)
            else:
                timer.want(now + LOOK)

        timer = LazyTimer(self.clock, look)
        look(self.clock.seconds())
        return done

    def ppp_closed(self, record: SessionRecord, cause: str, message: str) -> None:
        """PPP on a session is over: CDN with the reason."""
        record.cause = cause
        result, error = causes.result_of(cause)
        self.driver.call(self.endpoint.close_session, record.tunnel.tunnel_id, record.session_id, result=result,
                         error=error, message=message or cause, disconnect=causes.disconnect_of(cause))

    def sessions_up(self) -> Iterator[SessionRecord]:
        for tunnel in self.endpoint.tunnels.values():
            record = self.tunnels[tunnel.tunnel_id]
            for session in tunnel.sessions.values():
                if session.state is SessionState.ESTABLISHED:
                    yield record.sessions[session.session_id]

    def ppp_sessions(self) -> Iterator[SessionRecord]:
        """All sessions that are up and want PPP of propppd."""
        return (one for one in self.sessions_up() if one.taker is None and ppp_profile(one))

    # records of tunnels and sessions

    def record(self, tunnel_id: int) -> TunnelRecord:
        record = self.tunnels.get(tunnel_id)
        if record is None:
            core = self.endpoint.tunnels[tunnel_id]
            record = self.tunnels[tunnel_id] = TunnelRecord(tunnel_id, self.ports.find(core.local), core)
            record.peer = text(core.peer)
            self.tunnel_roll.add(record)
            self._made += 1
            record.number = self._made
        return record

    def session_record(self, tunnel_id: int, session_id: int) -> SessionRecord:
        tunnel = self.record(tunnel_id)
        record = tunnel.sessions.get(session_id)
        if record is None:
            core = tunnel.core.sessions.get(session_id)
            record = tunnel.sessions[session_id] = SessionRecord(tunnel, session_id, core)
            tunnel.session_roll.add(record)
            self.session_roll.add(record)
            self._sessions_made += 1
            record.number = self._sessions_made
        return record

    def _not_told(self, count: int) -> None:
        self.log.warning("{count} tunnel requests were not logged: too many at once", count=count)

    def _own_circuit(self, record: SessionRecord, active: bool) -> None:
        """The interface of an Ethernet session went down, or is up again."""
        tunnel = self.endpoint.tunnels.get(record.tunnel.tunnel_id)
        core = tunnel.sessions.get(record.session_id) if tunnel is not None else None
        if core is not None and core.pseudowire is not None and core.pseudowire.active != active:
            self.log.emit(Level.NOTICE, "session {session}: {interface} is {state}", own=self.levels.of(record),
                          session=record.label, interface=record.interface, state="up" if active else "down")
            self.driver.call(self.endpoint.set_circuit, record.tunnel.tunnel_id, record.session_id, active)

    def netif_gone(self, port: int, name: str) -> None:
        """Somebody else removed the interface of an Ethernet session."""
        record = self.ethernet.find(port)
        if record is not None:
            self.close_session(record.tunnel.tunnel_id, record.session_id, result=2, error=6,
                               message=f"interface {name} was removed by somebody else")

    def close(self) -> None:
        """Close every socket; the data path is stopped by its owner."""
        self.driver.stop()
        self.told.stop()
        self.traffic.stop()
        self.ethernet.stop()
        for port in list(self.ports):
            port.close()
