"""A configuration of proacd as text again: what `proacd -n` prints. Effective values, defaults too; secrets hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prol2tp.config.dynamic import CLIENT, DYNAMIC
from prol2tp.config.lexer import quoted
from prol2tp.config.parameter import BlockType, Parameter
from prol2tp.config.routes import (
    DESTINATION_PPP,
    DESTINATION_RADIUS,
    INTERFACE,
    PEER,
    PROFILE_L2TP,
    PROFILE_RADIUS,
    ROUTE,
    SERVER,
    SESSION,
    SOURCE_L2TP,
    SOURCE_PPPOE,
    SYSTEM,
    L2tpDestination,
    L2tpPeer,
    L2tpSource,
    PppoeSource,
    ProacdConfig,
    RadiusDestination,
    RadiusProfile,
    Route,
)
from prol2tp.config.types import Text

_NOT_GIVEN = (None, "", (), b"")


def written(config: ProacdConfig) -> str:
    """The file that says all that `config` says, but for secrets."""
    lines = list(_block("system {", _rows(SYSTEM, config.system)))
    for interface in config.interfaces.values():
        lines += ["", *_block(f"interface {quoted(interface.name)} {{", _rows(INTERFACE, interface))]
    for radius in config.radius.values():
        lines += ["", *_radius(radius)]
    for profile in config.l2tp.values():
        inner = (*_texts(PROFILE_L2TP, profile.tunnel), *_session(profile.session))
        lines += ["", *_block(f"profile l2tp {quoted(profile.name)} {{", (*_rows(PROFILE_L2TP, profile), *inner))]
    for route in config.routes.values():
        lines += ["", *_route(route)]
    return "\n".join([*lines, ""])


def _block(header: str, inner: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    yield header
    for line in inner:
        yield f"    {line}"
    yield "}"


def _rows(kind: BlockType, record: Any) -> Iterator[str]:
    """The parameters of a record; rows of other tables, for which it has no fields, are not among them."""
    for name, row in kind.parameters.items():
        value = getattr(record, name, None)
        if value not in _NOT_GIVEN and not isinstance(value, dict):
            yield f"{name} {row.show(value)}"


def _texts(kind: BlockType, texts: Mapping[str, Any]) -> Iterator[str]:
    """Parameters that are kept as text."""
    for name, value in texts.items():
        row = kind.parameters.get(name)
        if row is not None:
            yield f"{name} {'***' if row.secret else ' '.join(_words(row, value))}"


def _words(row: Parameter, value: Any) -> Iterator[str]:
    for word in [value] if isinstance(value, str) else value:
        yield quoted(word) if isinstance(row.type, Text) else word


def _session(texts: Mapping[str, Any]) -> Iterator[str]:
    if texts:
        yield from _block("session {", tuple(_texts(SESSION, texts)))


def _radius(profile: RadiusProfile) -> Iterator[str]:
    lines = list(_rows(PROFILE_RADIUS, profile))
    if not profile.accounting:
        lines.append("accounting off")
    for server in profile.servers.values():
        lines += _block(f"server {quoted(server.name)} {{", _rows(SERVER, server))
    if (dynamic := profile.dynamic) is not None:
        inner = list(_rows(DYNAMIC, dynamic))
        for client in dynamic.clients.values():
            inner += _block(f"client {quoted(client.name)} {{", _rows(CLIENT, client))
        lines += _block("dynamic_authorization {", tuple(inner))
    return _block(f"profile radius {quoted(profile.name)} {{", tuple(lines))


def _route(route: Route) -> Iterator[str]:
    lines = list(_rows(ROUTE, route))
    if isinstance(route.source, PppoeSource):
        lines += _block("source pppoe {", _rows(SOURCE_PPPOE, route.source))
    elif isinstance(route.source, L2tpSource):
        lines += _block("source l2tp {", _rows(SOURCE_L2TP, route.source))
    destination = route.destination
    if isinstance(destination, L2tpDestination):
        lines += _block("destination l2tp {", tuple(_l2tp(destination)))
    else:
        kind = DESTINATION_RADIUS if isinstance(destination, RadiusDestination) else DESTINATION_PPP
        lines += _block(f"{kind.words} {{", _rows(kind, destination))
    return _block(f"route {quoted(route.name)} {{", tuple(lines))


def _l2tp(destination: L2tpDestination) -> Iterator[str]:
    if destination.tunnel:
        yield f"tunnel {quoted(destination.tunnel)}"
        yield from _session(destination.session)
    for peer in destination.peers:
        yield from _block(f"peer {quoted(peer.name)} {{", tuple(_peer(peer)))


def _peer(peer: L2tpPeer) -> Iterator[str]:
    yield from _rows(PEER, peer)
    yield from _texts(PEER, {name: value for name, value in peer.tunnel.items() if name != "tunnel_profile"})
    yield from _session(peer.session)
