"""proacd.conf: from text to effective records.

What a peer of a destination does not give comes from the destination, then from its profile. Parameters of tunnels and
sessions are only read here, and kept as text: prol2tpd gives what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prol2tp.config.dynamic import dynamic_of
from prol2tp.config.freeform import read_file
from prol2tp.config.parameter import BlockType, Given, Parameter, check_references
from prol2tp.config.problems import ConfigError, Problems, Wrong, shown
from prol2tp.config.radius import servers_of
from prol2tp.config.routes import (
    DESTINATIONS,
    FILE,
    SESSION,
    SESSION_ROWS,
    SOURCES,
    TUNNEL_ROWS,
    Interface,
    L2tpDestination,
    L2tpPeer,
    L2tpProfile,
    L2tpSource,
    PppDestination,
    PppoeSource,
    ProacdConfig,
    RadiusDestination,
    RadiusProfile,
    Route,
    RouteDestination,
    System,
)
from prol2tp.config.serving import check_overlaps
from prol2tp.config.tunnels import L2TP_PORT
from prol2tp.config.types import Address, Endpoint, Host, Text

__all__ = [
    "FILE",
    "ConfigError",
    "Interface",
    "L2tpDestination",
    "L2tpPeer",
    "L2tpProfile",
    "L2tpSource",
    "PppDestination",
    "PppoeSource",
    "ProacdConfig",
    "RadiusDestination",
    "RadiusProfile",
    "Route",
    "System",
    "load",
]

DEFAULT = "default"
_PEER = Endpoint(L2TP_PORT, names=True)
_HOST = Host()
_Values = Mapping[str, Any]


def load(text: str, filename: str) -> ProacdConfig:
    """Read a whole file. Raises `ConfigError` with all that is wrong with it."""
    problems = Problems(text, filename)
    file = read_file(text, problems, FILE)
    check_references(file, file.blocks, problems)
    system = System(**file.one("system"))
    _check_delays(file, system, problems)
    radius = {name: _radius(name, one, system, problems) for name, one in file.blocks["profile radius"].items()}
    _check_listening(file, radius, problems)
    l2tp = {name: _l2tp(name, one) for name, one in file.blocks["profile l2tp"].items()}
    routes: dict[str, Route] = {}
    for name, one in file.blocks["route"].items():
        route = _route(name, one, file, problems)
        if route is not None:
            routes[name] = route
    interfaces = _interfaces(file, routes, problems)
    check_overlaps(routes, interfaces, file, problems)
    if not file.blocks["route"] and (file.block.blocks or text.strip()):
        _check_empty(file, problems)
    problems.refuse()
    return ProacdConfig(system, interfaces, radius, l2tp, routes)


def _check_empty(file: Given, problems: Problems) -> None:
    """A file that says something about hosts, but lets none in, is a mistake."""
    named = [kind for kind in ("interface", "profile radius", "profile l2tp") if file.blocks[kind]]
    if named:
        wrong = f"there is {named[0]}, but no route"
        problems.add(next(iter(file.blocks[named[0]].values())).block.offset, wrong,
                     'add: route "name" { source ... destination ... }')


def _check_delays(file: Given, system: System, problems: Problems) -> None:
    counts = [delay.sessions for delay in system.pado_delay]
    if counts != sorted(set(counts)):
        file.blocks["system"][""].wrong(problems, "pado_delay", "the numbers of sessions do not ascend",
                                        "for example: pado_delay 0:0 1000:0.5 5000:none")


# profiles


def _radius(name: str, given: Given, system: System, problems: Problems) -> RadiusProfile:
    profile = RadiusProfile(name=name, **{"nas_identifier": system.hostname, **given.values})
    profile.servers = servers_of(given, problems)
    profile.dynamic = dynamic_of(given, problems)
    for inner, server in profile.servers.items():
        try:
            server.address = _HOST.read(server.address, False)
        except Wrong:
            one = given.blocks["server"][inner]
            one.wrong(problems, "address", f"{one.block.title()} has no address", "add: address ip, or name it so")
    if not any(server.auth_port for server in profile.servers.values()):
        given.wrong(problems, "server", f"{given.block.title()} has no server for authentication",
                    "add: server address secret password")
    for parameter in ("auth_methods", "line_name", "accounting"):
        values = getattr(profile, parameter)
        if len(set(values)) < len(values):
            given.wrong(problems, parameter, f"{parameter} names something twice", "name each once")
    if "off" in profile.accounting:
        if len(profile.accounting) > 1:
            given.wrong(problems, "accounting", "off stands alone", "take off out, or the others")
        profile.accounting = ()
    elif "accounting" in given.values and not profile.accounts:
        given.wrong(problems, "accounting", "no server does accounting", "give one of them an acct_port")
    return profile


def _check_listening(file: Given, profiles: Mapping[str, RadiusProfile], problems: Problems) -> None:
    """Requests to one address and port are for one profile."""
    taken: dict[tuple[str, int, str], str] = {}
    for name, profile in profiles.items():
        if (dynamic := profile.dynamic) is None:
            continue
        for address in dynamic.address:
            other = taken.setdefault((address, dynamic.port, dynamic.device), name)
            if other != name:
                given = file.blocks["profile radius"][name].blocks["dynamic_authorization"][""]
                wrong = f'profile radius "{shown(other)}" listens at {Address(address, dynamic.port)} too'
                given.wrong(problems, "port", wrong, "give one of them another port")
                break


def _l2tp(name: str, given: Given) -> L2tpProfile:
    own, tunnel = _split(given)
    return L2tpProfile(name=name, tunnel=_texts(TUNNEL_ROWS, own, tunnel), session=_session(given), **own)


# routes


def _route(name: str, given: Given, file: Given, problems: Problems) -> Route | None:
    source = _one_of(given, SOURCES, "source", problems)
    destination = _one_of(given, DESTINATIONS, "destination", problems)
    if source is None or destination is None:
        return None
    made = {"source pppoe": PppoeSource, "source l2tp": L2tpSource}[source.kind.words]
    return Route(
        name=name,
        source=made(**source.values),
        destination=_destination(destination, file, problems),
        **given.values,
    )


def _one_of(given: Given, kinds: tuple[BlockType, ...], noun: str, problems: Problems) -> Given | None:
    found = [given.blocks[kind.words][""] for kind in kinds if "" in given.blocks[kind.words]]
    if len(found) == 1:
        return found[0]
    if found:
        found[1].wrong(problems, "", f"{given.block.title()} has more than one {noun}", "make a route of each")
    elif noun not in given.block.spoilt and not given.block.holds(noun):
        words = " or ".join(f"{kind.words} {{ ... }}" for kind in kinds)
        given.wrong(problems, "", f"{given.block.title()} has no {noun}", f"add: {words}")
    return None


def _destination(given: Given, file: Given, problems: Problems) -> RouteDestination:
    if given.kind.words == "destination radius":
        return RadiusDestination(**given.values)
    if given.kind.words == "destination ppp":
        return PppDestination(**given.values)
    own, tunnel = _split(given)
    profile = file.blocks["profile l2tp"].get(own.get("profile", ""))
    inherited = [profile, given] if profile is not None else [given]
    made = L2tpDestination(session=_session(*inherited), **own)
    peers = given.blocks["peer"]
    made.peers = tuple(_peer(name, one, inherited, problems) for name, one in peers.items())
    if made.tunnel and (peers or tunnel):
        wrong = "parameters of tunnels are given for a tunnel that prol2tpd.conf has"
        given.wrong(problems, next(iter(tunnel), "tunnel"), wrong, "take out tunnel, or these and the peers")
    if not made.tunnel and not peers and "tunnel" not in given.block.spoilt:
        given.wrong(problems, "", f"{given.block.title()} says no LNS",
                    'add: peer address, or tunnel "name" of prol2tpd.conf')
    return made


def _peer(name: str, given: Given, inherited: list[Given], problems: Problems) -> L2tpPeer:
    layers = [*inherited, given]
    tunnel: dict[str, Any] = {}
    for layer in layers:
        tunnel.update({key: value for key, value in layer.values.items() if key in _OF_TUNNEL})
    own = {key: given.values[key] for key in ("preference", "weight") if key in given.values}
    peer = L2tpPeer(name=name, session=_session(*layers), **own)
    peer.tunnel_profile = tunnel.get("tunnel_profile", "")
    try:
        peer.address = _PEER.read(name, False)
    except Wrong as error:
        given.wrong(problems, "", f"peer: {error.wrong}", error.right)
    _check_tunnel(given, tunnel, problems)
    peer.tunnel = {"peer": str(peer.address), **_texts(TUNNEL_ROWS, {}, tunnel)}
    if peer.tunnel_profile:
        peer.tunnel["tunnel_profile"] = peer.tunnel_profile
    return peer


def _check_tunnel(given: Given, values: _Values, problems: Problems) -> None:
    if not values.get("secret") and not values.get("tunnel_profile"):
        for parameter in ("auth_mode", "hide_avps"):
            if values.get(parameter) in ("challenge", True):
                given.wrong(problems, parameter, f"{given.block.title()} has {parameter} but no secret",
                            'add: secret "text"')
    if values.get("encap") == "ip" and values.get("version", "l2tpv2") == "l2tpv2":
        given.wrong(problems, "encap", f"{given.block.title()} has encap ip, which L2TPv2 does not have",
                    "add: version l2tpv3")


# parameters of tunnels and sessions

_OF_TUNNEL = {*TUNNEL_ROWS, "tunnel_profile"}


def _split(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of a block's own table, and those of a tunnel."""
    own = {name: value for name, value in given.values.items() if name not in TUNNEL_ROWS}
    return own, {name: value for name, value in given.values.items() if name in TUNNEL_ROWS}


def _session(*layers: Given) -> dict[str, Any]:
    """Effective parameters of sessions as text, the last layer wins."""
    values: dict[str, Any] = {}
    for layer in layers:
        values.update(layer.one("session"))
    return _texts({**SESSION.parameters, **SESSION_ROWS}, {}, values)


def _texts(rows: Mapping[str, Parameter], own: _Values, values: _Values) -> dict[str, Any]:
    """Values as text, as `parameter.read_values` takes them: a list of texts where there are many."""
    texts: dict[str, Any] = {}
    for name, value in values.items():
        row = rows.get(name)
        if row is None:
            continue
        if isinstance(row.type, Text):
            texts[name] = list(value) if row.many else value
        elif row.many:
            texts[name] = row.write(value).split()
        else:
            texts[name] = row.write(value)
    return texts


# interfaces


def _interfaces(file: Given, routes: Mapping[str, Route], problems: Problems) -> dict[str, Interface]:
    given = file.blocks["interface"]
    used = {name for route in routes.values() for name in _names(route)}
    common = given[DEFAULT].values if DEFAULT in given else {}
    interfaces: dict[str, Interface] = {}
    for name in (DEFAULT, *(name for name in given if name != DEFAULT), *sorted(used - set(given))):
        values = {**common, **(given[name].values if name in given else {})}
        interfaces[name] = Interface(name=name, **values)
        if name in given and name != DEFAULT and name not in used and routes:
            wrong = f"{given[name].block.title()} is in no route"
            given[name].wrong(problems, "", wrong, f"add it to a source: interface {name}")
    return interfaces


def _names(route: Route) -> Iterator[str]:
    if isinstance(route.source, PppoeSource):
        yield from route.source.interface


