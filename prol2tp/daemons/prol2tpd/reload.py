"""A new configuration taken over as a difference: what did not change is not touched.

Profiles and limits apply to tunnels and sessions that come after. An instance whose effective values changed is closed
and opened anew, unless only values changed that can be changed in place (log level, persistence).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from prol2tp.config.diff import ADDED, CHANGED, REMOVED, Change, describe, diff
from prol2tp.control.preview import AT_ONCE, DROPS, LATER, NOTHING, OPENS, RESTART, Effect
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.admission import own_level
from prol2tp.daemons.prol2tpd.instances import ClientTunnel

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane

IN_PLACE = frozenset({"log_level", "persist", "drain", "idle_timeout", "max_sessions", "tunnel_profile",
                      "session_profile", "pseudowire_profile"})
"""Parameters of an instance that do not end it. The names of profiles count by the values that they give."""


def apply(plane: Plane, new: Any) -> str:
    """Take `new` over. -> one line: what changed. The daemon's own log level is the caller's business."""
    changes = diff(plane.config, new)
    plane.config = new
    done: list[str] = []
    for change in changes:
        _APPLY.get(change.kind, _nothing)(plane, change)
        done.append(describe(change))
    done += _try_again(plane)
    _own_levels(plane)
    return "; ".join(done) if done else "nothing changed"


def _try_again(plane: Plane) -> list[str]:
    """Open what a command has destroyed, or what was tried only once."""
    done: list[str] = []
    if plane.config.system.deny_local_tunnel_creates:
        return done
    for name, config in plane.config.tunnels.items():
        tunnel = plane.instances.get(name)
        if tunnel is None:
            plane.start_instance(config)
            done.append(f'tunnel "{name}" opened again')
            continue
        for session in config.sessions.values():
            if tunnel.origin == "config" and not tunnel.stopped and session.name not in tunnel.sessions:
                tunnel.add_session(session, "config")
                done.append(f'session "{name}" "{session.name}" opened again')
    return done


def _own_levels(plane: Plane) -> None:
    """Levels that were set by command last until now."""
    for tunnel in plane.tunnels.values():
        if tunnel.log_level is not None:
            plane.levels.set(tunnel, own_level(tunnel.profile))
        for session in tunnel.sessions.values():
            if session.log_level is not None:
                instance = session.instance
                level = own_level(instance.config, instance.tunnel.config) if instance is not None else None
                plane.levels.set(session, level)


def _nothing(plane: Plane, change: Change) -> None:
    """Profiles are read when a request comes."""


def _system(plane: Plane, change: Change) -> None:
    system = plane.config.system
    if not {"listen", "listen_ip", "deny_remote_tunnel_creates"}.isdisjoint(change.parameters):
        _listen(plane, listening(system))
    if "propppd_grace_timeout" in change.parameters:
        plane.ppp.grace = system.propppd_grace_timeout
    if "proacd_grace_timeout" in change.parameters and plane.offers is not None:
        plane.offers.grace = plane.offers.calls.grace = system.proacd_grace_timeout
    plane.endpoint.limit_pending(system.max_pending_tunnels)
    if "data_path" in change.parameters:
        plane.log.warning("data_path: takes effect at the next start")


def listening(system: Any) -> list[tuple[str, int]]:
    """The addresses on which requests are received; port 0: protocol 115."""
    if system.deny_remote_tunnel_creates:
        return []
    return [(one.host, one.port) for one in system.listen] + [(host, 0) for host in system.listen_ip]


def _listen(plane: Plane, wanted: list[tuple[str, int]]) -> None:
    """Open new listening addresses; close those that are gone, unless tunnels still use them."""
    for port in list(plane.server_ports):
        if port.listener.address not in wanted:
            plane.server_ports.remove(port)
            users = sum(1 for record in plane.tunnels.values() if record.port is port)
            if users:
                plane.log.warning("{address} stays open for {count} tunnels until the next start",
                                  address=text(port.listener.address), count=users)
            else:
                plane.unlisten(port)
    have = {port.listener.address for port in plane.server_ports}
    for address in wanted:
        if address not in have:
            plane.serve(address).addErrback(_listen_failed, plane, address)


def _listen_failed(failure: Failure, plane: Plane, address: tuple[str, int]) -> None:
    plane.log.error("cannot listen on {address}: {why}", address=text(address), why=failure.getErrorMessage())


def _tunnel(plane: Plane, change: Change) -> None:
    name = change.name[0]
    old = plane.instances.get(name)
    config = plane.config.tunnels.get(name)
    effect = tunnel_effect(plane, plane.config, change).word
    if effect == AT_ONCE and old is not None:
        _in_place(plane, old, config)
        return
    if effect == DROPS and old is not None:
        old.close("removed from the configuration" if config is None else "its configuration changed")
    if effect in (DROPS, OPENS) and config is not None:
        plane.start_instance(config)


def _in_place(plane: Plane, instance: ClientTunnel, config: Any) -> None:
    instance.config = config
    record = plane.tunnels.get(instance.tunnel_id or 0)
    if record is not None:
        record.profile = config
        plane.levels.set(record, own_level(config))
        settings = plane.endpoint.tunnels[record.tunnel_id].settings
        settings.idle_timeout, settings.max_sessions = config.idle_timeout, config.max_sessions


def _session(plane: Plane, change: Change) -> None:
    tunnel_name, name = change.name
    effect = session_effect(plane, plane.config, change).word
    if effect == NOTHING:
        return
    tunnel = plane.instances[tunnel_name]
    config = plane.config.tunnels[tunnel_name].sessions.get(name) if tunnel_name in plane.config.tunnels else None
    session = tunnel.sessions.get(name)
    if effect == AT_ONCE and session is not None:
        session.config = config
        return
    if effect == DROPS and session is not None:
        session.close("removed from the configuration" if config is None else "its configuration changed")
        tunnel.sessions.pop(name, None)
    if config is not None:
        tunnel.add_session(config, "config")


_APPLY = {"system": _system, "tunnel": _tunnel, "session": _session}


# what it would do


def plan(plane: Plane, new: Any) -> Iterator[tuple[Change, Effect]]:
    """What `apply` would do, change by change; nothing is done. A session of a tunnel that ends or begins is not told
    by itself."""
    changes = diff(plane.config, new)
    tunnels = {change.name[0]: tunnel_effect(plane, new, change) for change in changes if change.kind == "tunnel"}
    for change in changes:
        if change.kind == "tunnel":
            yield change, tunnels[change.name[0]]
        elif change.kind != "session":
            yield change, _system_effect(plane, new, change) if change.kind == "system" else Effect(
                LATER, "for tunnels and sessions that come from then on")
        elif change.name[0] not in tunnels or tunnels[change.name[0]].word not in (DROPS, OPENS):
            yield change, session_effect(plane, new, change)
    if not new.system.deny_local_tunnel_creates:
        for name in new.tunnels:
            if name not in plane.instances and name not in tunnels:
                yield Change("tunnel", (name,), ADDED), Effect(OPENS, "a command has closed it, or it was tried once")


def tunnel_effect(plane: Plane, new: Any, change: Change) -> Effect:
    """What becomes of a tunnel of ours."""
    old = plane.instances.get(change.name[0])
    if change.action == REMOVED:
        if old is None or old.origin != "config":
            return Effect(NOTHING, "it is not open")
        return Effect(DROPS, "it is no longer in the file", _ending(old))
    if new.system.deny_local_tunnel_creates:
        return Effect(NOTHING, "deny_local_tunnel_creates")
    if old is None:
        return Effect(OPENS, "a new tunnel" if change.action == ADDED else "it is not open")
    if change.action == ADDED:
        return Effect(DROPS, "a tunnel that a command has opened has its name", _ending(old))
    if IN_PLACE.issuperset(change.parameters):
        return Effect(AT_ONCE, "it stays up")
    return Effect(DROPS, _because(change), _ending(old))


def session_effect(plane: Plane, new: Any, change: Change) -> Effect:
    """What becomes of a session of ours in a tunnel that stays."""
    tunnel_name, name = change.name
    tunnel = plane.instances.get(tunnel_name)
    if tunnel is None or tunnel.stopped:
        return Effect(NOTHING, "its tunnel is not open")
    session = tunnel.sessions.get(name)
    config = new.tunnels[tunnel_name].sessions.get(name) if tunnel_name in new.tunnels else None
    if session is None:
        return Effect(OPENS, "a new session") if config is not None else Effect(NOTHING, "it is not open")
    ending = [f'session {tunnel.tunnel_id}/{session.session_id} "{name}"'] if session.session_id is not None else []
    if config is None:
        return Effect(DROPS, "it is no longer in the file", ending)
    if session.config is config:
        return Effect(NOTHING, "its tunnel has just been started with it")
    if change.action == CHANGED and IN_PLACE.issuperset(change.parameters):
        return Effect(AT_ONCE, "it stays up")
    return Effect(DROPS, _because(change), ending)


def _because(change: Change) -> str:
    changed = ", ".join(name for name in change.parameters if name not in IN_PLACE)
    return f"{changed} cannot change while it is up: it is opened again" if changed else "it is opened again"


def _ending(instance: ClientTunnel) -> list[str]:
    record = instance.plane.tunnels.get(instance.tunnel_id or 0)
    if record is None:
        return []
    count = len(record.sessions)
    return [f"tunnel {record.label}" + (f" with {count} session{'s' if count > 1 else ''}" if count else "")]


def _system_effect(plane: Plane, new: Any, change: Change) -> Effect:
    if change.parameters == ("data_path",):
        return Effect(RESTART, "the data path is chosen at the start")
    wanted = listening(new.system)
    closing = [text(port.listener.address) for port in plane.server_ports if port.listener.address not in wanted]
    return Effect(AT_ONCE, f"closed for new requests: {', '.join(closing)}" if closing else "")
