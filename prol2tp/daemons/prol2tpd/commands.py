"""Responders of prol2tpd's control commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from prol2tp.config.problems import ConfigError
from prol2tp.config.prol2tpd import create_session, create_tunnel
from prol2tp.control.command import Invalid, NotFound, Refused
from prol2tp.control.paging import page
from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd.instances import ClientSession, ClientTunnel
from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord
from prol2tp.daemons.prol2tpd.shared import one_line
from prol2tp.daemons.prol2tpd.status import Status

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane


class Commands:
    """`table()` gives {command name: responder(connection, **arguments)}.

    :param reload: reads the file again; -> one line. Raises `Refused`.
    :param preview: what `reload` would do: the answer of PreviewReload. Raises `Refused`.
    """

    def __init__(self, plane: Plane, status: Status, reload: Any, preview: Any) -> None:
        self._plane = plane
        self._status = status
        self._reload = reload
        self._preview = preview

    def table(self) -> dict[str, Any]:
        return {
            "ShowSystem": lambda connection: {"system": self._status.system()},
            "ListTunnels": self.list_tunnels,
            "ShowTunnel": self.show_tunnel,
            "ListSessions": self.list_sessions,
            "ShowSession": self.show_session,
            "ShowTraffic": lambda connection, limit: self._status.traffic(limit),
            "CreateTunnel": self.create_tunnel,
            "DestroyTunnel": self.destroy_tunnel,
            "CreateSession": self.create_session,
            "DestroySession": self.destroy_session,
            "SetLogLevel": self.set_log_level,
            "Reload": lambda connection: {"summary": self._reload()},
            "PreviewReload": lambda connection: self._preview(),
        }

    # finding

    def _tunnel(self, tunnel_id: int | None, tunnel_name: str | None) -> TunnelRecord:
        plane = self._plane
        if (tunnel_id is None) == (tunnel_name is None):
            raise Invalid("give the tunnel's id or its name")
        if tunnel_id is not None:
            record = plane.tunnels.get(tunnel_id)
            if record is None or tunnel_id not in plane.endpoint.tunnels:
                raise NotFound(f"there is no tunnel {tunnel_id}")
            return record
        instance = self._instance(tunnel_name or "")
        record = plane.tunnels.get(instance.tunnel_id or 0)
        if record is None:
            raise NotFound(f'tunnel "{tunnel_name}" is not open: {instance.last_error or "not tried yet"}')
        return record

    def _instance(self, name: str) -> ClientTunnel:
        instance = self._plane.instances.get(name) or self._plane.shared.named(name)
        if instance is None:
            raise NotFound(f'there is no tunnel named "{name}"')
        return instance

    def _session(self, tunnel_id: int | None, tunnel_name: str | None, session_id: int | None,
                 session_name: str | None) -> SessionRecord:
        if (session_id is None) == (session_name is None):
            raise Invalid("give the session's id or its name")
        tunnel = self._tunnel(tunnel_id, tunnel_name)
        if session_name is not None:
            instance = tunnel.instance
            session = None if instance is None else instance.sessions.get(session_name) or instance.calls.get(
                session_name)
            if session is None:
                raise NotFound(f'tunnel {tunnel.tunnel_id} has no session named "{session_name}"')
            session_id = session.session_id
        record = tunnel.sessions.get(session_id or 0)
        if record is None:
            raise NotFound(f"tunnel {tunnel.tunnel_id} has no session {session_id or session_name}")
        return record

    # showing

    def list_tunnels(self, connection: Any, cursor: str | None = None, limit: int | None = None) -> dict[str, Any]:
        return page(self._plane.tunnel_roll, cursor, limit, self._status.tunnel_row)

    def show_tunnel(self, connection: Any, tunnel_id: int | None = None,
                    tunnel_name: str | None = None) -> dict[str, Any]:
        return {"tunnel": self._status.tunnel(self._tunnel(tunnel_id, tunnel_name))}

    def list_sessions(self, connection: Any, cursor: str | None = None, limit: int | None = None,
                      tunnel_id: int | None = None, tunnel_name: str | None = None) -> dict[str, Any]:
        if tunnel_id is None and tunnel_name is None:
            roll = self._plane.session_roll
        else:
            roll = self._tunnel(tunnel_id, tunnel_name).session_roll
        return page(roll, cursor, limit, self._status.session_row)

    def show_session(self, connection: Any, tunnel_id: int | None = None, tunnel_name: str | None = None,
                     session_id: int | None = None, session_name: str | None = None,
                     stats: bool | None = None) -> dict[str, Any] | Deferred:
        record = self._session(tunnel_id, tunnel_name, session_id, session_name)
        if not stats or not record.port:
            return {"session": self._status.session(record, None)}
        port = record.port

        def counted(counters: dict[int, tuple[int, ...]]) -> dict[str, Any]:
            if self._plane.find(record.tunnel.tunnel_id, record.session_id) is not record:
                raise NotFound("the session has just ended")
            return {"session": self._status.session(record, counters.get(port))}

        return self._plane.path.counters([port]).addCallback(counted)

    # changing

    def create_tunnel(self, connection: Any, parameters: Any) -> dict[str, Any] | Deferred:
        plane = self._plane
        values = _parameters(parameters)
        name = values.pop("name", "")
        if not name:
            raise Invalid("the tunnel needs a name")
        if plane.config.system.deny_local_tunnel_creates:
            raise Refused("deny_local_tunnel_creates is set")
        if name in plane.instances:
            raise Refused(f'there is a tunnel named "{name}" already')
        try:
            config = create_tunnel(plane.config, name, values)
        except ConfigError as error:
            raise Invalid(one_line(error)) from None
        instance = plane.start_instance(config, "local")
        return instance.first_try().addCallbacks(
            lambda tunnel_id: {"tunnel_id": tunnel_id, "name": name}, _not_started, errbackArgs=(instance,))

    def destroy_tunnel(self, connection: Any, tunnel_id: int | None = None,
                       tunnel_name: str | None = None) -> dict[str, Any]:
        if tunnel_name is not None and tunnel_id is None:
            self._instance(tunnel_name).close("administrative request")
            return {}
        record = self._tunnel(tunnel_id, tunnel_name)
        if record.instance is not None:
            record.instance.close("administrative request")
        else:
            self._plane.close_tunnel(record.tunnel_id, message="administrative request")
        return {}

    def create_session(self, connection: Any, parameters: Any, tunnel_id: int | None = None,
                       tunnel_name: str | None = None) -> dict[str, Any] | Deferred:
        values = _parameters(parameters)
        name = values.pop("name", "")
        if not name:
            raise Invalid("the session needs a name")
        tunnel = self._instance(tunnel_name) if tunnel_name is not None and tunnel_id is None else (
            self._tunnel(tunnel_id, tunnel_name).instance)
        if tunnel is None:
            raise Refused("the tunnel was opened by its peer: sessions are created in tunnels of our own")
        if name in tunnel.sessions:
            raise Refused(f'tunnel "{tunnel.name}" has a session named "{name}" already')
        try:
            config = create_session(self._plane.config, tunnel.config, name, values)
        except ConfigError as error:
            raise Invalid(one_line(error)) from None
        session: ClientSession = tunnel.add_session(config, "local")
        return session.first_try().addCallbacks(
            lambda session_id: {"tunnel_id": tunnel.tunnel_id or 0, "session_id": session_id, "name": name},
            _not_started, errbackArgs=(session,))

    def destroy_session(self, connection: Any, tunnel_id: int | None = None, tunnel_name: str | None = None,
                        session_id: int | None = None, session_name: str | None = None) -> dict[str, Any]:
        if session_name is not None and tunnel_name is not None and tunnel_id is None and session_id is None:
            instance = self._instance(tunnel_name)
            session = instance.sessions.get(session_name) or instance.calls.get(session_name)
            if session is None:
                raise NotFound(f'tunnel "{tunnel_name}" has no session named "{session_name}"')
            session.close("administrative request")
            return {}
        record = self._session(tunnel_id, tunnel_name, session_id, session_name)
        if record.instance is not None:
            record.instance.close("administrative request")
        else:
            self._plane.close_session(record.tunnel.tunnel_id, record.session_id, message="administrative request")
        return {}

    def set_log_level(self, connection: Any, scope: str, level: str, tunnel_id: int | None = None,
                      tunnel_name: str | None = None, session_id: int | None = None,
                      session_name: str | None = None) -> dict[str, Any]:
        plane = self._plane
        try:
            value = Level.named(level)
        except KeyError:
            raise Invalid(f'"{level}" is no log level') from None
        if scope == "system":
            plane.log.level = value
            plane.levels.retrace()
        elif scope == "tunnel":
            plane.levels.set(self._tunnel(tunnel_id, tunnel_name), value)
        elif scope == "session":
            plane.levels.set(self._session(tunnel_id, tunnel_name, session_id, session_name), value)
        else:
            raise Invalid(f'"{scope}" is no scope: system, tunnel or session')
        return {}


def _not_started(failure: Failure, instance: ClientTunnel | ClientSession) -> None:
    """Who is refused has nothing: no further tries, and the name is free."""
    instance.close("")
    error = failure.value
    raise Refused(error.strerror if isinstance(error, OSError) and error.strerror else str(error))


def _parameters(parameters: Any) -> dict[str, str]:
    if not isinstance(parameters, dict) or not all(
            isinstance(name, str) and isinstance(value, str) for name, value in parameters.items()):
        raise Invalid("parameters is an object of names and text")
    return dict(parameters)
