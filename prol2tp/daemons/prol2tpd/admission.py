"""Who may come in: tunnel profiles, limits, draining; and the settings that a tunnel or call then gets."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from prol2tp import __version__
from prol2tp.config.prol2tpd import circuit, match_tunnel_profile, session_settings, tunnel_settings
from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.daemons.prol2tpd.shared import ORIGIN
from prol2tp.l2tp.messages import OCRQ, vendor_name
from prol2tp.l2tp.outputs import AskSessionAdmission, AskTunnelAdmission
from prol2tp.l2tp.results import LOST_TIE
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from prol2tp.l2tp.version3 import LOST, tie

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.instances import ClientSession
    from prol2tp.daemons.prol2tpd.plane import Plane
    from prol2tp.daemons.prol2tpd.records import SessionRecord, TunnelRecord

NOT_AUTHORIZED = 4
"""StopCCN: requester is not authorized to establish a control channel."""
SHUTTING_DOWN = 6
GENERAL_ERROR = 2
NO_RESOURCES = 4
"""General error: insufficient resources now."""
CDN_LACK_OF_RESOURCES = 4
"""CDN: temporary lack of appropriate facilities."""
CDN_ADMINISTRATIVE = 3
CIRCUIT_TAKEN = object()
"""Instead of a profile: another session has the circuit."""


def default_vendor_name() -> str:
    """Vendor Name AVP in ProL2TP's form."""
    system = platform.uname()
    return vendor_name(__version__, system.system, system.release, system.machine)


class Admission:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._vendor_name = default_vendor_name()
        self.host_name = platform.node() or "localhost"
        self._config = plane.config
        self._answers: dict[tuple[int, bool], tuple[Any, SessionSettings]] = {}

    # tunnels

    def tunnel(self, output: AskTunnelAdmission) -> None:
        """Answer the core about an SCCRQ."""
        plane = self._plane
        system = plane.config.system
        refusal = self._tunnel_limit(system)
        profile = None
        if refusal is None:
            profile = match_tunnel_profile(plane.config, output.peer[0], output.message.host_name or "")
            if profile is None:
                refusal = (NOT_AUTHORIZED, 0, "no tunnel profile for this peer")
            elif profile.drain:
                refusal = (GENERAL_ERROR, NO_RESOURCES, "no new tunnels")
        if refusal is not None or profile is None:
            self._refuse(output, *(refusal or (NOT_AUTHORIZED, 0, "")))
            return
        record = plane.tunnels[output.tunnel_id]
        record.profile = profile
        plane.levels.set(record, own_level(profile))
        if profile.reply_port == "ephemeral" and output.local[1]:
            plane.path.listen((output.local[0], 0)).addCallbacks(
                self._reply_port, self._no_reply_port, callbackArgs=(output, profile, record), errbackArgs=(output,))
            return
        plane.driver.call(plane.endpoint.tunnel_admitted, output.tunnel_id, self.tunnel_settings(profile))

    def _tunnel_limit(self, system: Any) -> tuple[int, int, str] | None:
        plane = self._plane
        if plane.stopping:
            return SHUTTING_DOWN, 0, "shutting down"
        if system.deny_remote_tunnel_creates:
            return NOT_AUTHORIZED, 0, "this host only opens tunnels itself"
        if system.drain_tunnels:
            return GENERAL_ERROR, NO_RESOURCES, "no new tunnels"
        # only those that are up count: neither strangers nor what lingers after its end shall keep others out
        if system.max_tunnels and plane.established >= system.max_tunnels:
            return GENERAL_ERROR, NO_RESOURCES, "too many tunnels"
        return None

    def _refuse(self, output: AskTunnelAdmission, result: int, error: int, message: str) -> None:
        plane = self._plane
        record = plane.tunnels.get(output.tunnel_id)
        if record is not None and not record.told:
            plane.log.notice("tunnel {tid} refused: peer {peer} host {host}: {why}", tid=output.tunnel_id,
                             peer=text(output.peer), host=output.message.host_name, why=message)
            record.told = True
        plane.driver.call(plane.endpoint.tunnel_refused, output.tunnel_id, result=result, error=error,
                          message=message)

    def _reply_port(self, listener: Any, output: AskTunnelAdmission, profile: Any, record: TunnelRecord) -> None:
        plane = self._plane
        port = plane.add_port(listener)
        core = plane.endpoint.tunnels.get(output.tunnel_id)
        if core is None or plane.tunnels.get(output.tunnel_id) is not record:
            plane.unlisten(port)
            return
        record.port, record.own_port = port, True
        core.local = listener.address
        plane.driver.call(plane.endpoint.tunnel_admitted, output.tunnel_id, self.tunnel_settings(profile))

    def _no_reply_port(self, failure: Failure, output: AskTunnelAdmission) -> None:
        self._plane.log.error("tunnel {tid}: no port to answer from: {why}", tid=output.tunnel_id,
                              why=failure.getErrorMessage())
        self._refuse(output, GENERAL_ERROR, NO_RESOURCES, "no port")

    def tunnel_settings(self, config: Any) -> TunnelSettings:
        """From a tunnel profile or tunnel of the configuration."""
        values = tunnel_settings(self._plane.config, config)
        values["host_name"] = values["host_name"] or self.host_name
        values["router_id"] = self._plane.router_id()
        values["vendor_name"] = values["vendor_name"] or self._vendor_name
        return TunnelSettings(**values)

    # sessions

    def session(self, output: AskSessionAdmission) -> None:
        """Answer the core about an ICRQ or OCRQ."""
        plane = self._plane
        record = plane.find(output.tunnel_id, output.session_id)
        if record is None:
            return
        around = self._current_profile(record.tunnel)
        refusal = self._session_limit(around)
        if refusal is None and record.tunnel.instance is not None and record.tunnel.instance.origin == ORIGIN:
            refusal = CDN_ADMINISTRATIVE, 0, "the tunnel is for calls of proacd"
        if refusal is not None:
            plane.log.notice("session {key} refused: {why}", key=record.key, why=refusal[2])
            record.told = True
            plane.driver.call(plane.endpoint.session_refused, output.tunnel_id, output.session_id,
                              result=refusal[0], error=refusal[1], message=refusal[2])
            return
        record.profile = profile = self._profile(record, around, output)
        if profile is CIRCUIT_TAKEN:
            plane.driver.call(plane.endpoint.session_refused, output.tunnel_id, output.session_id,
                              result=LOST_TIE, message="there is a session for this circuit")
            return
        plane.driver.call(plane.endpoint.session_admitted, output.tunnel_id, output.session_id,
                          self._answer(profile, output.message.number == OCRQ.number))

    def _profile(self, record: SessionRecord, around: Any, output: AskSessionAdmission) -> Any:
        """What serves the call. Version 3 names a circuit: a session of ours for the same one, which gives way to this
        one, or a session profile that serves it."""
        end = getattr(output.message, "remote_end_id", "")
        if not end or around is None:
            return getattr(around, "session", None)
        tunnel = record.tunnel
        peer = self._plane.endpoint.tunnels[output.tunnel_id].peer[0]
        ours = self._plane.circuits.find(end, peer)
        if ours is not None:
            if ours.session_id is not None and not self._gives_way(ours, output.message):
                record.told = True
                return CIRCUIT_TAKEN
            record.instance = ours
            ours.taken_over(output.tunnel_id, record.session_id)
            self._plane.levels.set(record, own_level(ours.config, ours.tunnel.config))
            return ours.config
        config = self._plane.config
        if end not in config.ends:
            return around.session  # any number of ends may be asked for: nothing is kept of those
        if tunnel.circuits is None or tunnel.circuits[0] is not config or tunnel.circuits[1] is not around:
            tunnel.circuits = (config, around, {})
        known = tunnel.circuits[2]
        if end not in known:
            known[end] = circuit(config, around, end)
        return known[end]

    def _gives_way(self, ours: ClientSession, message: Any) -> bool:
        """Both ends ask for a circuit at once, each in a tunnel of its own: the lower Session Tie Breaker stands."""
        plane = self._plane
        tunnel = plane.endpoint.tunnels.get(ours.elsewhere or ours.tunnel.tunnel_id or 0)
        core = tunnel.sessions.get(ours.session_id or 0) if tunnel is not None else None
        if tunnel is None or core is None or core.state.name == "ESTABLISHED" or core.pseudowire is None:
            return False
        if tie(core, message)[0]:
            return False
        plane.close_session(tunnel.tunnel_id, core.session_id, result=LOST_TIE, message=LOST.message)
        return True

    def _current_profile(self, tunnel: TunnelRecord) -> Any:
        """The tunnel's profile as the configuration has it now; what was taken out of it stays as it was."""
        profile = tunnel.profile
        if tunnel.instance is None and profile is not None:
            profile = tunnel.profile = self._plane.config.tunnel_profiles.get(profile.name, profile)
        return profile

    def _session_limit(self, tunnel_profile: Any) -> tuple[int, int, str] | None:
        plane = self._plane
        system = plane.config.system
        if plane.stopping:
            return CDN_ADMINISTRATIVE, 0, "shutting down"
        if system.drain_tunnels or getattr(tunnel_profile, "drain", False):
            return CDN_LACK_OF_RESOURCES, 0, "no new sessions"
        if system.max_sessions and plane.session_count > system.max_sessions:
            return CDN_LACK_OF_RESOURCES, 0, "too many sessions"
        return None

    def _answer(self, profile: Any, outgoing_call: bool) -> SessionSettings:
        """Settings for calls of the peer: one record for all that have the same profile."""
        if self._config is not self._plane.config:
            self._config = self._plane.config
            self._answers.clear()
        key = id(profile), outgoing_call
        known = self._answers.get(key)
        if known is None:
            settings = self.session_settings(profile)
            settings.outgoing_call = outgoing_call
            known = self._answers[key] = profile, settings  # the profile is held, so its id stays its own
        return known[1]

    def session_settings(self, config: Any) -> SessionSettings:
        """From a session profile or session of the configuration; None gives the defaults."""
        if config is None:
            return SessionSettings(establish_timeout=self._plane.config.system.session_establish_timeout)
        return SessionSettings(**session_settings(config))


def own_level(config: Any, around: Any = None) -> Level | None:
    """The log level that a block asks for itself; None where it is only inherited from what is `around` it."""
    given = getattr(config, "given", None)
    if given is not None:
        return Level.named(given["log_level"]) if given.get("log_level") else None
    if around is not None and config.log_level != around.log_level:
        return Level.named(config.log_level)
    return None
