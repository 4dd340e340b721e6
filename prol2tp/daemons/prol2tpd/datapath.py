"""Opening and closing sessions in the data path as the core asks, and the sockets that tunnels use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from prol2tp.config.tunnels import ETHERNET, PSEUDOWIRE_TYPES
from prol2tp.daemons.logs import Log
from prol2tp.daemons.prol2tpd.ethernet import EthernetInterfaces
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.dataplane.interface import Address, DataPathError, IDataPlane, SessionSpec, TunnelSpec
from prol2tp.l2tp.outputs import CloseDataPath, ModifyDataPath, OpenDataPath
from prol2tp.net.driver import Driver
from prol2tp.net.udp import ControlPort, is_wildcard

PSEUDOWIRE_WORDS = {number: word for word, number in PSEUDOWIRE_TYPES.items()}


class ControlPorts:
    """The control ports of the daemon, found by the local address of a datagram."""

    def __init__(self) -> None:
        self._ports: dict[ControlPort, None] = {}
        self._exact: dict[Address, ControlPort] = {}
        self._wild: dict[tuple[bool, int], ControlPort] = {}

    def __iter__(self) -> Any:
        return iter(self._ports)

    def add(self, port: ControlPort) -> None:
        self._ports[port] = None
        host, number = port.listener.address
        if is_wildcard(host):
            self._wild[":" in host, number] = port
        else:
            self._exact[host, number] = port

    def remove(self, port: ControlPort) -> None:
        self._ports.pop(port, None)
        host, number = port.listener.address
        if self._exact.get((host, number)) is port:
            del self._exact[host, number]
        if self._wild.get((":" in host, number)) is port:
            del self._wild[":" in host, number]

    def find(self, local: Address) -> ControlPort | None:
        """The port that receives what is sent to `local`: the exact address wins over a wildcard."""
        return self._exact.get(local) or self._wild.get((":" in local[0], local[1]))


class SessionPaths:
    """Carries out OpenDataPath, ModifyDataPath and CloseDataPath.

    :param find: (tunnel id, session id) -> SessionRecord or None.
    """

    def __init__(self, path: IDataPlane, driver: Driver, find: Callable[[int, int], SessionRecord | None],
                 log: Log, ethernet: EthernetInterfaces) -> None:
        self.ethernet = ethernet
        self._path = path
        self._driver = driver
        self._find = find
        self._log = log

    def open(self, output: OpenDataPath) -> None:
        record = self._find(output.tunnel_id, output.session_id)
        if record is None:
            return
        tunnel = record.tunnel
        if tunnel.handle is not None:
            self._add_session(record, output)
        elif tunnel.waiting is not None:
            tunnel.waiting.append((record, output))
        else:
            tunnel.waiting = [(record, output)]
            self._add_tunnel(tunnel, output.peer_tunnel_id)

    def _add_tunnel(self, tunnel: TunnelRecord, peer_tunnel_id: int) -> None:
        core = self._driver.core.tunnels[tunnel.tunnel_id]  # type: ignore[attr-defined]
        if tunnel.port is None:
            self._tunnel_failed(Failure(DataPathError("not-found", "the tunnel's socket is gone")), tunnel)
            return
        profile = tunnel.profile
        spec = TunnelSpec(
            listener=tunnel.port.listener.id, local=core.local, peer=core.peer, tunnel_id=tunnel.tunnel_id,
            peer_tunnel_id=peer_tunnel_id, version=core.version.number, ifindex=core.ifindex,
            encapsulation="udp" if core.local[1] else "ip",
            udp_checksum=getattr(profile, "udp_checksums", True),
            tos=getattr(profile, "tos", 0),
            pmtu_discovery=getattr(profile, "pmtu_discovery", False))
        self._path.tunnel_add(spec).addCallbacks(self._tunnel_added, self._tunnel_failed,
                                                 callbackArgs=(tunnel,), errbackArgs=(tunnel,))

    def _tunnel_added(self, handle: int, tunnel: TunnelRecord) -> None:
        waiting, tunnel.waiting = tunnel.waiting or [], None
        tunnel.handle = handle
        if tunnel.forgotten is not None:
            self._tunnel_forgotten(tunnel)
            return
        for record, output in waiting:
            if not record.gone:
                self._add_session(record, output)

    def _tunnel_failed(self, failure: Failure, tunnel: TunnelRecord) -> None:
        waiting, tunnel.waiting = tunnel.waiting or [], None
        for record, _ in waiting:
            self._session_failed(failure, record)
        if tunnel.forgotten is not None:
            self._tunnel_forgotten(tunnel)

    def _add_session(self, record: SessionRecord, output: OpenDataPath) -> None:
        spec = SessionSpec(
            tunnel=record.tunnel.handle or 0, session_id=output.session_id, peer_session_id=output.peer_session_id,
            send_sequence=output.send_sequence, receive_sequence=output.receive_sequence,
            reorder_timeout=getattr(record.profile, "reorder_timeout", 0.0) or 0.0, lns=output.lns)
        if output.version == 3:
            spec.pseudowire = PSEUDOWIRE_WORDS[output.pseudowire]
            spec.vlan = getattr(record.profile, "vlan_id", 0) if spec.pseudowire == "vlan" else 0
            spec.cookie, spec.peer_cookie = output.cookie, output.peer_cookie
            spec.receive_sublayer, spec.send_sublayer = output.receive_sublayer, output.send_sublayer
        self._path.session_add(spec).addCallbacks(self._session_added, self._session_failed,
                                                  callbackArgs=(record, spec), errbackArgs=(record,))

    def _session_added(self, port: int, record: SessionRecord, spec: SessionSpec) -> None:
        if record.gone:
            self._delete(port)
            return
        record.port = port
        if spec.pseudowire in ETHERNET:
            self.ethernet.attach(port, record).addCallbacks(
                lambda _: self._opened(port, record, spec), self._not_attached, errbackArgs=(port, record))
        else:
            self._opened(port, record, spec)

    def _not_attached(self, failure: Failure, port: int, record: SessionRecord) -> None:
        """An Ethernet session without an interface is none."""
        if not record.gone:
            record.port = 0
            self._delete(port)
        self._session_failed(failure, record)

    def _opened(self, port: int, record: SessionRecord, spec: SessionSpec) -> None:
        if record.gone:
            return
        tunnel = self._driver.core.tunnels.get(record.tunnel.tunnel_id)  # type: ignore[attr-defined]
        session = tunnel.sessions.get(record.session_id) if tunnel is not None else None
        if session is not None and (session.send_sequence, session.receive_sequence) != (
                spec.send_sequence, spec.receive_sequence):
            # the peer's wish came while the port was being made
            self._sequence(port, session.send_sequence, session.receive_sequence)
        self._driver.call(self._driver.core.data_path_opened,  # type: ignore[attr-defined]
                          record.tunnel.tunnel_id, record.session_id)

    def _session_failed(self, failure: Failure, record: SessionRecord) -> None:
        if record.gone:
            return
        reason = failure.value.text if isinstance(failure.value, DataPathError) else repr(failure.value)
        self._log.error("session {key}: the data path refused it: {reason}", key=record.key, reason=reason)
        self._driver.call(self._driver.core.data_path_failed,  # type: ignore[attr-defined]
                          record.tunnel.tunnel_id, record.session_id, message="no data path")

    def modify(self, output: ModifyDataPath) -> None:
        record = self._find(output.tunnel_id, output.session_id)
        if record is not None and record.port:
            self._sequence(record.port, output.send_sequence, output.receive_sequence)

    def _sequence(self, port: int, send: bool, receive: bool) -> None:
        self._path.port_modify(port, send_sequence=send, receive_sequence=receive).addErrback(self._ignored)

    def close(self, output: CloseDataPath) -> None:
        record = self._find(output.tunnel_id, output.session_id)
        if record is None:
            return
        record.gone = True
        if record.port:
            port, record.port = record.port, 0
            record.final = self._delete(port)

    def _delete(self, port: int) -> Deferred:
        self.ethernet.forget(port)
        return self._path.port_delete(port).addErrback(self._ignored)

    def forget_tunnel(self, tunnel: TunnelRecord) -> Deferred:
        """Take the tunnel out of the data path; its sessions are gone already. -> Deferred(None) when that is done,
        and its socket may be closed. Called once, when the core has deleted the tunnel."""
        done = tunnel.forgotten = Deferred()
        if tunnel.waiting is None:  # else the data path is just making it
            self._tunnel_forgotten(tunnel)
        return done

    def _tunnel_forgotten(self, tunnel: TunnelRecord) -> None:
        done, handle = tunnel.forgotten, tunnel.handle
        assert done is not None
        tunnel.forgotten = tunnel.handle = None
        if handle is None:
            done.callback(None)
        else:
            self._path.tunnel_delete(handle).addErrback(self._ignored).chainDeferred(done)

    def _ignored(self, failure: Failure) -> None:
        """A deletion that fails because the thing is gone already is as good as done."""
        if not failure.check(DataPathError):
            self._log.error("data path: {reason}", reason=repr(failure.value))
