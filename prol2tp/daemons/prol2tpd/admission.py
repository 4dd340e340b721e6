"""Who may come in: tunnel profiles, limits, draining; and the settings that a tunnel or call then gets."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from prol2tp import __version__
from prol2tp.config.prol2tpd import match_tunnel_profile, session_settings, tunnel_settings
from prol2tp.daemons.logs import Level
from prol2tp.daemons.prol2tpd.addresses import text
from prol2tp.l2tp.messages import OCRQ, vendor_name
from prol2tp.l2tp.outputs import AskSessionAdmission, AskTunnelAdmission
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane
    from prol2tp.daemons.prol2tpd.records import TunnelRecord

NOT_AUTHORIZED = 4
"""StopCCN: requester is not authorized to establish a control channel."""
SHUTTING_DOWN = 6
GENERAL_ERROR = 2
NO_RESOURCES = 4
"""General error: insufficient resources now."""
CDN_LACK_OF_RESOURCES = 4
"""CDN: temporary lack of appropriate facilities."""
CDN_ADMINISTRATIVE = 3


def default_vendor_name() -> str:
    """Vendor Name AVP in ProL2TP's form."""
    system = platform.uname()
    return vendor_name(__version__, system.system, system.release, system.machine)


class Admission:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._vendor_name = default_vendor_name()
        self._host_name = platform.node() or "localhost"
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
        plane.set_level(record, own_level(profile))
        if profile.reply_port == "ephemeral":
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
        values["host_name"] = values["host_name"] or self._host_name
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
        if refusal is not None:
            plane.log.notice("session {key} refused: {why}", key=record.key, why=refusal[2])
            record.told = True
            plane.driver.call(plane.endpoint.session_refused, output.tunnel_id, output.session_id,
                              result=refusal[0], error=refusal[1], message=refusal[2])
            return
        record.profile = profile = getattr(around, "session", None)
        plane.driver.call(plane.endpoint.session_admitted, output.tunnel_id, output.session_id,
                          self._answer(profile, isinstance(output.message, OCRQ)))

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
