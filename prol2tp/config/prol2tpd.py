"""prol2tpd.conf: from text to effective records.

What an instance does not give comes from its session profile and pseudowire profile, then from its tunnel
profile, then from the profiles named `default`, then from the table. The settings records of the protocol are
filled from `tunnel_settings` and `session_settings`, whose keys are the field names there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prol2tp.config.matching import ProfileIndex
from prol2tp.config.parameter import BlockType, Given, check_references, read_file, read_values
from prol2tp.config.problems import ConfigError, Problems, right_name, shown
from prol2tp.config.tunnels import (
    ETHERNET,
    ETHERNET_MTU,
    FILE,
    LOG_LEVELS,
    PSEUDOWIRE_TYPES,
    SESSION,
    TUNNEL,
    LogCategories,
    Prol2tpdConfig,
    PseudowireProfile,
    Session,
    SessionProfile,
    System,
    Tunnel,
    TunnelProfile,
)
from prol2tp.config.types import Reference

__all__ = [
    "FILE",
    "LOG_LEVELS",
    "ConfigError",
    "Prol2tpdConfig",
    "PseudowireProfile",
    "Session",
    "SessionProfile",
    "System",
    "Tunnel",
    "TunnelProfile",
    "circuit",
    "create_session",
    "create_tunnel",
    "load",
    "match_tunnel_profile",
    "session_settings",
    "tunnel_settings",
]

DEFAULT = "default"
COOKIES = (0, 4, 8)
_PROFILES = ("pseudowire profile", "session profile", "tunnel profile")
_NOT_INHERITED = ("peer", "peer_hostname")
Values = Mapping[str, Any]


def load(text: str, filename: str) -> Prol2tpdConfig:
    """Read a whole file. Raises `ConfigError` with all that is wrong with it."""
    problems = Problems(text, filename)
    file = read_file(text, problems, FILE)
    check_references(file, file.blocks, problems)
    index = ProfileIndex()
    _index(file, index, problems)
    problems.refuse()
    given = {kind: {name: one.values for name, one in file.blocks[kind].items()} for kind in _PROFILES}
    for profiles in given.values():
        profiles.setdefault(DEFAULT, {})
    config = Prol2tpdConfig(_system(file), {}, {}, {}, {}, _ends(file, problems), given, index)
    _fill(config, file)
    _check_secrets(config, file, problems)
    _check_versions(config, file, problems)
    problems.refuse()
    return config


def _system(file: Given) -> System:
    given = file.blocks["system"].get("")
    if given is None:
        return System()
    return System(log_categories=LogCategories(**given.one("log_categories")), **given.values)


def _index(file: Given, index: ProfileIndex, problems: Problems) -> None:
    for name, profile in file.blocks["tunnel profile"].items():
        values = profile.values
        other = index.add(name, values.get("peer", ()), values.get("peer_hostname", ()))
        if other is not None:
            line = problems.line(file.blocks["tunnel profile"][other].block.offset)
            parameter = "peer" if "peer" in values else "peer_hostname"
            profile.wrong(
                problems,
                parameter,
                f'tunnel profile "{shown(name)}" applies to the same peers as "{shown(other)}"',
                f"that one is on line {line}; make one of them apply to fewer peers",
            )


def _ends(file: Given, problems: Problems) -> dict[str, str]:
    """Session profiles by their Remote End ID; two of one would leave it to chance."""
    found: dict[str, str] = {}
    for name, profile in file.blocks["session profile"].items():
        end = profile.values.get("remote_end_id")
        if not end:
            continue
        if end in found:
            wrong = f'session profile "{shown(found[end])}" has this Remote End ID too'
            profile.wrong(problems, "remote_end_id", wrong, "a circuit has one profile")
        found[end] = name
    return found


def _check_versions(config: Prol2tpdConfig, file: Given, problems: Problems) -> None:
    """What version 2 does not have."""
    for kind, records in (("tunnel profile", config.tunnel_profiles), ("tunnel", config.tunnels)):
        for name, record in records.items():  # type: ignore[attr-defined]
            block = file.blocks[kind].get(name)
            static = getattr(record, "static", False)
            if block is not None and record.encap == "ip" and record.version == "l2tpv2" and not static:
                block.wrong(problems, "encap", f"{block.block.title()} has encap ip, which L2TPv2 does not have",
                            "add: version l2tpv3")
    for name, tunnel in config.tunnels.items():
        block = file.blocks["tunnel"][name]
        for parameter, wrong, right in _tunnel_faults(tunnel):
            block.wrong(problems, parameter, f"{block.block.title()} {wrong}", right)
        for inner, session in tunnel.sessions.items():
            given = block.blocks["session"][inner]
            for parameter, wrong, right in _session_faults(tunnel, session):
                given.wrong(problems, parameter, f"{given.block.title()} {wrong}", right)


def _tunnel_faults(tunnel: Tunnel) -> Iterator[tuple[str, str, str]]:
    """Parameter, what is wrong, what is right. Of the peer of a static tunnel nothing can be asked."""
    if not tunnel.static:
        return
    missing = [name for name in ("tunnel_id", "peer_tunnel_id") if not getattr(tunnel, name)]
    if tunnel.local is None or (tunnel.encap == "udp" and not tunnel.local.port):
        missing.append("local")
    if missing:
        yield ("static", f"is static and lacks {', '.join(missing)}",
               "give both ids, and our own address with its UDP port")


def _session_faults(tunnel: Tunnel | TunnelProfile, session: Session) -> Iterator[tuple[str, str, str]]:
    """The same of a session that this end starts."""
    if not getattr(tunnel, "static", False):
        if session.pseudowire_type in ETHERNET and tunnel.version == "l2tpv2" and tunnel.encap != "ip":
            yield ("pseudowire_type", f"is of type {session.pseudowire_type}, and its tunnel of version l2tpv2",
                   "give the tunnel: version l2tpv3")
        return
    if not session.session_id or not session.peer_session_id:
        yield "session_id", "is static and lacks an id", "give session_id and peer_session_id"
    for name in ("cookie", "peer_cookie"):
        length = len(getattr(session, name))
        if length not in COOKIES:
            yield name, f"has a {name} of {length} octets", "none, 4 or 8"


def _fill(config: Prol2tpdConfig, file: Given) -> None:
    for name, values in config.given["pseudowire profile"].items():
        inherited = config.given["pseudowire profile"][DEFAULT]
        config.pseudowire_profiles[name] = PseudowireProfile(name=name, **{**inherited, **values})
    for name in config.given["session profile"]:
        config.session_profiles[name] = SessionProfile(name=name, **_session_values(config, name, {}, {}, None))
    for name, values in config.given["tunnel profile"].items():
        config.tunnel_profiles[name] = _tunnel_profile(config, name, values)
    for name, block in file.blocks["tunnel"].items():
        tunnel = config.tunnels[name] = _tunnel(config, name, block.values)
        for inner, session in block.blocks["session"].items():
            tunnel.sessions[inner] = _session(config, tunnel, inner, session.values)


def _check_secrets(config: Prol2tpdConfig, file: Given, problems: Problems) -> None:
    for kind, records in (("tunnel profile", config.tunnel_profiles), ("tunnel", config.tunnels)):
        for name, record in records.items():  # type: ignore[attr-defined]
            block = file.blocks[kind].get(name)
            if block is None or name == DEFAULT and kind == "tunnel profile" or record.secret:
                continue
            for parameter, needed in (
                ("auth_mode challenge", record.auth_mode == "challenge"),
                ("hide_avps true", record.hide_avps),
            ):
                if needed:
                    wrong = f"{block.block.title()} has {parameter} but no secret"
                    block.wrong(problems, parameter.split()[0], wrong, 'add: secret "text"')


def _tunnel_values(config: Prol2tpdConfig, explicit: Values) -> dict[str, Any]:
    """Effective values of a tunnel or tunnel profile, from what it and its profile give."""
    inherited = _inheritable(config.given["tunnel profile"][DEFAULT])
    values = {**inherited, **explicit}
    system = config.system
    values.setdefault("hostname", system.hostname)
    values.setdefault("log_level", system.log_level)
    values.setdefault("establish_timeout", system.tunnel_establish_timeout)
    if "auth_mode" not in values:
        values["auth_mode"] = "challenge" if values.get("secret") else "none"
    return values


def _inheritable(values: Values) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _NOT_INHERITED}


def _tunnel_profile(config: Prol2tpdConfig, name: str, given: Values) -> TunnelProfile:
    explicit = {} if name == DEFAULT else dict(given)
    profile = TunnelProfile(name=name, given=explicit, **_tunnel_values(config, given))
    profile.session = _peers_sessions(config, profile)
    return profile


def _tunnel(config: Prol2tpdConfig, name: str, given: Values) -> Tunnel:
    profile_name = given.get("tunnel_profile", DEFAULT)
    explicit = dict(given)
    if profile_name != DEFAULT:
        explicit = {**_inheritable(config.given["tunnel profile"][profile_name]), **given}
    tunnel = Tunnel(name=name, given=explicit, **_tunnel_values(config, explicit))
    tunnel.session = _peers_sessions(config, tunnel)
    return tunnel


def _peers_sessions(config: Prol2tpdConfig, tunnel: Tunnel | TunnelProfile) -> SessionProfile:
    name = tunnel.session_profile
    return SessionProfile(name=name, **_session_values(config, name, {}, tunnel.given, tunnel))


def _session(config: Prol2tpdConfig, tunnel: Tunnel | TunnelProfile, name: str, given: Values) -> Session:
    profile_name = given.get("session_profile", tunnel.session_profile)
    values = _session_values(config, profile_name, given, tunnel.given, tunnel)
    values["session_profile"] = profile_name
    return Session(name=name, **values)


def _session_values(
    config: Prol2tpdConfig,
    profile_name: str,
    own: Values,
    tunnel_given: Values,
    tunnel: Tunnel | TunnelProfile | None,
) -> dict[str, Any]:
    """Effective values of a session. `tunnel_given`: what the tunnel and its profile give, without
    defaults."""
    pseudowires, sessions = config.given["pseudowire profile"], config.given["session profile"]
    named = {**sessions[profile_name], **own}
    pseudowire = named.get("pseudowire_profile", sessions[DEFAULT].get("pseudowire_profile", DEFAULT))
    from_tunnel = {name: tunnel_given[name] for name in ("mtu", "log_level") if name in tunnel_given}
    values = {**pseudowires[DEFAULT], **sessions[DEFAULT]}
    values.update(from_tunnel)
    if pseudowire != DEFAULT:
        values.update(pseudowires[pseudowire])
    if profile_name != DEFAULT:
        values.update(sessions[profile_name])
    values.update(own)
    values["pseudowire_profile"] = pseudowire
    values.setdefault("establish_timeout", config.system.session_establish_timeout)
    if values.get("pseudowire_type") in ETHERNET:
        # the frames of a bridge are not to be cut to what fits the tunnel
        values.setdefault("mtu", ETHERNET_MTU)
    if tunnel is not None:
        values.setdefault("mtu", tunnel.mtu)
        values.setdefault("log_level", tunnel.log_level)
    return values


def circuit(config: Prol2tpdConfig, tunnel: Tunnel | TunnelProfile, remote_end_id: str) -> SessionProfile | None:
    """What serves a request of the peer in this tunnel for a circuit: the session profile with this Remote End ID."""
    name = config.ends.get(remote_end_id)
    if name is None:
        return None
    return SessionProfile(name=name, **_session_values(config, name, {}, tunnel.given, tunnel))


def match_tunnel_profile(config: Prol2tpdConfig, peer_ip: str, host_name: str) -> TunnelProfile | None:
    """The profile that serves a request of this peer, or None: refuse it. See `matching`."""
    name = config.index.find(peer_ip, host_name)
    return config.tunnel_profiles[name] if name is not None else None


def create_tunnel(config: Prol2tpdConfig, name: str, texts: Mapping[str, str | Sequence[str]]) -> Tunnel:
    """A tunnel asked for by command: parameters of a `tunnel` block, values as text. Raises `ConfigError`."""
    values = _command_values(config, TUNNEL, texts)
    if "peer" not in values:
        raise _refusal("peer is missing", "give peer and an address or a name")
    tunnel = _tunnel(config, name, values)
    if not tunnel.secret and (tunnel.auth_mode == "challenge" or tunnel.hide_avps):
        raise _refusal("the tunnel has no secret", "challenge and hide_avps need one")
    for _, wrong, right in _tunnel_faults(tunnel):
        raise _refusal(f"the tunnel {wrong}", right)
    return tunnel


def create_session(
    config: Prol2tpdConfig,
    tunnel: Tunnel | TunnelProfile,
    name: str,
    texts: Mapping[str, str | Sequence[str]],
) -> Session:
    """A session asked for by command, in a tunnel with these values. Raises `ConfigError`."""
    session = _session(config, tunnel, name, _command_values(config, SESSION, texts))
    for _, wrong, right in _session_faults(tunnel, session):
        raise _refusal(f"the session {wrong}", right)
    return session


def _command_values(
    config: Prol2tpdConfig, kind: BlockType, texts: Mapping[str, str | Sequence[str]]
) -> dict[str, Any]:
    values = read_values(kind, texts)
    for name, value in values.items():
        to = kind.parameters[name].type
        if isinstance(to, Reference) and value not in config.given[to.to]:
            raise _refusal(f'there is no {to.to} "{shown(value)}"', right_name(value, config.given[to.to], to.to))
    return values


def _refusal(wrong: str, right: str) -> ConfigError:
    problems = Problems("", "")
    problems.add(0, wrong, right)
    return problems.error()


def tunnel_settings(config: Prol2tpdConfig, tunnel: Tunnel | TunnelProfile) -> dict[str, Any]:
    """Keyword arguments of the protocol's TunnelSettings. `host_name` and `vendor_name` can be empty: the
    daemon's."""
    settings = {name: getattr(tunnel, name) for name in _SAME_IN_TUNNEL}
    settings["host_name"] = tunnel.hostname
    settings["vendor_name"] = config.system.vendor_name
    settings["challenge"] = tunnel.auth_mode == "challenge"
    if tunnel.encap == "ip":
        settings["version"] = "l2tpv3"
    if isinstance(tunnel, Tunnel) and tunnel.static:
        settings.update(static=True, version="l2tpv3", tunnel_id=tunnel.tunnel_id, peer_tunnel_id=tunnel.peer_tunnel_id)
    settings["profile_name"] = tunnel.tunnel_profile if isinstance(tunnel, Tunnel) else tunnel.name
    settings["name"] = tunnel.name if isinstance(tunnel, Tunnel) else ""
    return settings


def session_settings(session: Session | SessionProfile) -> dict[str, Any]:
    """Keyword arguments of the protocol's SessionSettings."""
    settings = {name: getattr(session, name) for name in _SAME_IN_SESSION}
    settings["outgoing_call"] = session.call == "outgoing"
    settings["pseudowire"] = PSEUDOWIRE_TYPES[session.pseudowire_type]
    settings["cookie_length"] = session.cookie_size
    if session.sequencing_required:
        settings["data_sequencing"] = 2
    settings["send_sequence"] = session.use_sequence_numbers
    settings["tx_connect_speed"], settings["rx_connect_speed"] = session.connect_speed
    settings["private_group_id"] = session.priv_group_id
    if isinstance(session, Session):
        for name in ("session_id", "peer_session_id", "cookie", "peer_cookie"):
            settings[name] = getattr(session, name)
    settings["profile_name"] = session.session_profile if isinstance(session, Session) else session.name
    settings["pseudowire_profile_name"] = session.pseudowire_profile
    settings["name"] = session.name if isinstance(session, Session) else ""
    return settings


_SAME_IN_TUNNEL = (
    "secret",
    "hide_avps",
    "use_tiebreaker",
    "framing_caps",
    "bearer_caps",
    "hello_timeout",
    "retry_timeout",
    "retry_cap",
    "max_retries",
    "rx_window_size",
    "tx_window_size",
    "establish_timeout",
    "idle_timeout",
    "max_sessions",
    "version",
    "digest_type",
    "integrity",
    "pseudowires",
    "preferred_language",
)
_SAME_IN_SESSION = (
    "establish_timeout",
    "sequencing_required",
    "framing_type",
    "bearer_type",
    "minimum_bps",
    "maximum_bps",
    "calling_number",
    "called_number",
    "sub_address",
    "remote_end_id",
    "l2_sublayer",
    "data_sequencing",
    "interface_mtu",
)
