"""Which script an event runs, and what the script is told: the tables of prol2tp-scriptd(8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from prol2tp.control.commands import proacd, prol2tpd, propppd

DIRECTORY = "/etc/prol2tp"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The scripts' PATH."""


class Source(NamedTuple):
    """A daemon that has events. `key`: the fields of `data` that name the instance, which are the arguments after the
    name of the event."""

    daemon: str
    module: Any
    scripts: dict[str, str]
    """Names of events, each with the name of its script."""
    keys: tuple[tuple[str, ...], ...]
    """By the first word of the event's name, as in `_KINDS`."""


_KINDS = ("tunnel", "session", "link", "route")
SOURCES = (
    Source("prol2tpd", prol2tpd, {
        f"{kind}-{what}": f"{kind}-{what}"
        for kind in ("tunnel", "session") for what in ("created", "up", "down", "deleted")
    }, (("tunnel_id",), ("tunnel_id", "session_id"), (), ())),
    Source("propppd", propppd, {
        f"link-{what}": f"ppp-{what}" for what in ("created", "up", "down", "destroyed")
    }, ((), (), ("name",), ())),
    Source("proacd", proacd, {
        f"route-{what}": f"route-{what}" for what in ("created", "opened", "closed")
    }, ((), (), (), ("number",))),
)
BY_NAME = {source.daemon: source for source in SOURCES}
SCRIPTS = tuple(script for source in SOURCES for script in source.scripts.values())
"""All files that are looked for."""


class Variable(NamedTuple):
    """One variable of the environment. `field`: of the event's data; it is left out where the event has none."""

    name: str
    field: str
    help: str


VARIABLES = (
    Variable("TUNNEL_ID", "tunnel_id", "our id of the tunnel"),
    Variable("PEER_TUNNEL_ID", "peer_tunnel_id", "the peer's; 0: not known yet"),
    Variable("TUNNEL_NAME", "tunnel_name", "name of the tunnel; empty: none"),
    Variable("SESSION_ID", "session_id", "our id of the session"),
    Variable("PEER_SESSION_ID", "peer_session_id", "the peer's; 0: not known yet"),
    Variable("NAME", "name", "name of the session; of the tunnel in its own scripts; of a PPP link or route"),
    Variable("PROFILE", "profile", "tunnel or session profile, or profile of propppd.conf"),
    Variable("PW_PROFILE", "pseudowire_profile", "pseudowire profile"),
    Variable("PW_TYPE", "type", "ppp, eth or vlan; of a PPP link what carries it: pppol2tp, pppoe or tty"),
    Variable("VERSION", "version", "L2TP version, 2 or 3"),
    Variable("ENCAPSULATION", "encapsulation", "udp or ip"),
    Variable("LOCAL_ADDR", "local", "our address and port"),
    Variable("PEER_ADDR", "peer", "address and port of the peer"),
    Variable("PEER_HOST_NAME", "peer_host_name", "Host Name of the peer"),
    Variable("IFNAME", "interface", "network interface; empty: none yet"),
    Variable("USER_NAME", "user", "PPP user; empty: not known yet"),
    Variable("CALL_ID", "id", "what carries a PPP link: TUNNEL/SESSION of prol2tpd"),
    Variable("USER_ADDR", "address", "IPv4 address of the user"),
    Variable("ROUTE_NUMBER", "number", "number of the route"),
    Variable("SOURCE", "source", "source of the route, in words"),
    Variable("DESTINATION", "destination", "destination of the route, in words"),
    Variable("ENDED_BY", "by", "closed: source, destination or neither"),
    Variable("RESULT", "result", "down: result code of StopCCN or CDN"),
    Variable("ERROR", "error", "down: error code; 0: none"),
    Variable("MESSAGE", "message", "down: text of the side that ended it"),
    Variable("BY_PEER", "by_peer", "down: true where the peer ended it, else false"),
    Variable("CAUSE", "cause", "down: the word of RADIUS, as Lost Carrier"),
    Variable("REASON", "reason", "down: all of that in words, as in the log"),
)
"""From the data of the event."""
OWN_VARIABLES = (
    Variable("PROL2TP_EVENT", "", "the event, which is the name of the script"),
    Variable("PROL2TP_DAEMON", "", "the daemon that told it: prol2tpd, propppd or proacd"),
    Variable("PROL2TP_TIME", "", "when it happened, seconds since 1970"),
    Variable("PROL2TP_ATTEMPT", "", "1; more: the script was begun before, and prol2tp-scriptd or the system died"),
    Variable("PROL2TP_RUN_DIR", "", "the run directory: prol2tp(1) and propppctl(1) find the daemons by it"),
    Variable("PATH", "", "directories of commands"),
)
"""The same for every event, before those of its data."""


def key(source: Source, event: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """The instance that an event is about."""
    kind = event.partition("-")[0]
    fields = source.keys[_KINDS.index(kind)]
    return (kind, *(_text(data.get(field)) for field in fields))


def arguments(source: Source, event: str, data: Mapping[str, Any]) -> list[str]:
    """Of the script: the event's name, then the ids or the name of the instance."""
    return [source.scripts[event], *key(source, event, data)[1:]]


def environment(source: Source, event: str, time: float, data: Mapping[str, Any], attempt: int,
                run_dir: str) -> dict[str, str]:
    """All variables of the script; nothing else is in its environment."""
    own = (source.scripts[event], source.daemon, f"{time:.6f}", str(attempt), run_dir, PATH)
    variables = dict(zip((one.name for one in OWN_VARIABLES), own, strict=True))
    for one in VARIABLES:
        if one.field in data:
            variables[one.name] = _text(data[one.field])
    return variables


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # NUL ends a string in an environment
    return "" if value is None else str(value).replace("\0", "")
