"""Records of the control channel from the daemon's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from prol2tp import __version__
from prol2tp.control.command import Record
from prol2tp.control.commands.proacd import (
    DESTINATION_RECORD,
    EXIT_CODES,
    L2TP_COUNTS,
    RADIUS_COUNTS,
    ROUTING_COUNTS,
    SOURCE_RECORD,
)
from prol2tp.ppp.causes import CAUSES
from prol2tp.pppoe.packets import mac_text

if TYPE_CHECKING:
    from prol2tp.daemons.logs import Level
    from prol2tp.daemons.proacd.concentrator import Concentrator
    from prol2tp.daemons.proacd.discovery import Place
    from prol2tp.daemons.proacd.route import Counters, Route

_BLANK: dict[str, Any] = {"text": "", "integer": 0, "boolean": False, "json": []}


def _blank(record: Record) -> dict[str, Any]:
    return {field.name: _BLANK[field.type] for field in record.fields}


_SOURCE, _DESTINATION = _blank(SOURCE_RECORD), _blank(DESTINATION_RECORD)
NO_RADIUS = dict.fromkeys((field.name for field in RADIUS_COUNTS.fields), 0)


def counts(counters: Counters) -> dict[str, Any]:
    """The sections of routing, L2TP and local PPP of `status`."""
    l2tp = {field.name: getattr(counters, field.name) for field in L2TP_COUNTS.fields if field.name != "dns_failures"}
    return {
        "routing": {field.name: getattr(counters, field.name) for field in ROUTING_COUNTS.fields},
        "l2tp": {**l2tp, "dns_failures": counters.l2tp_dns_failures},
        "pppd": {
            "started": counters.ppp_started,
            "terminated": counters.ppp_terminated,
            "exit_codes": exit_codes(counters.ppp_causes),
        },
    }


def exit_codes(causes: dict[str, int]) -> dict[str, int]:
    """Ends of local PPP by pppd's exit codes, from those by cause."""
    found = dict.fromkeys(EXIT_CODES, 0)
    for word, number in causes.items():
        cause = CAUSES.get(word)
        found[cause.exit_code if cause is not None and cause.exit_code in found else "Other"] += number
    return found


def ends(route: Route) -> dict[str, Any]:
    """Records of both ends of a route."""
    destination = route.destination
    said = {"calling_number": route.source.calling_number, "called_number": route.source.called_number}
    return {
        "source": _filled(_SOURCE, {**said, **route.source.record()}),
        "destination": None if destination is None else _filled(_DESTINATION, destination.record()),
    }


class Status:
    """The daemon as it is now.

    :param since_1970: a time of the reactor's clock as seconds since 1970.
    :param level: the log level in force.
    :param radius: the counters of RADIUS; queue: the record of the accounting queue, None: nothing is accounted.
    """

    def __init__(self, concentrator: Concentrator, config_file: str, since_1970: Callable[[float], float],
                 started_at: float, level: Callable[[], Level], radius: Callable[[], dict[str, int]] = NO_RADIUS.copy,
                 queue: Callable[[], dict[str, Any] | None] = lambda: None) -> None:
        self._parts = concentrator
        self._config_file = config_file
        self._since_1970 = since_1970
        self._started_at = started_at
        self._level = level
        self._radius = radius
        self._queue = queue

    def status(self) -> dict[str, Any]:
        parts = self._parts
        core = parts.discovery.core
        return {
            "version": __version__,
            "ac_name": parts.ac_name,
            "log_level": self._level().name.lower(),
            "started_at": round(self._started_at, 3),
            "config_file": self._config_file,
            "draining": parts.draining,
            "routes": len(parts.routes),
            **counts(parts.routes.counters),
            "pppoe": _numbers(core.counters),
            "radius": self._radius(),
            "discards": _numbers(core.discards),
            "frames_dropped": parts.discovery.frames_dropped,
            "queue": self._queue(),
        }

    def route(self, route: Route) -> dict[str, Any]:
        return {
            "number": route.number,
            "name": route.name,
            "state": route.state.value,
            "created_at": round(self._since_1970(route.created_at), 3),
            "user": route.user,
            **ends(route),
        }

    def interface(self, place: Place) -> dict[str, Any]:
        known = self._parts.discovery.core.interfaces.get(place.name)
        names, any_service = self._parts.index.services(place.name)
        services = [one.name or "" if one.advertised else f"({one.name})" for one in names]
        return {
            "name": place.name,
            "state": "up" if place.serving else place.trouble or "waits",
            "mac": mac_text(known.settings.mac) if known is not None else "",
            "mtu": known.settings.mtu if known is not None else 0,
            "vlans": [str(one) for one in self._parts.config.interfaces[place.name].vlans],
            "services": services + ["*"] * any_service,
            "sessions": len(known.sessions) if known is not None else 0,
            "max_sessions": place.settings.max_sessions,
            "frames_dropped": place.frames_dropped,
        }


def _numbers(record: Any) -> dict[str, int]:
    """A record of integers, in its order."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _filled(blank: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """All fields of the record and no others; those of the other kind, and what is not known, blank."""
    return {name: value if (found := record.get(name)) is None else found for name, value in blank.items()}
