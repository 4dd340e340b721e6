"""Where routes lead: calls that prol2tpd opens, and links of propppd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.daemons.proacd.choice import Choice
from prol2tp.daemons.proacd.choice import Destination as Place
from prol2tp.daemons.proacd.route import Route, State
from prol2tp.daemons.proacd.sources import L2TPSource, PPPoESource
from prol2tp.ppp.proxy import for_ethernet
from prol2tp.pppoe.packets import mac_text, vids
from prol2tp.pppoe.tags import Line

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.exchange import Exchange

SPEED_UP, SPEED_DOWN = 0x81, 0x82
"""Actual-Data-Rate-Upstream and -Downstream in a line's numbers."""


class Destination:
    """One end of a route, at another daemon: it is asked for when it is made, and reports to the table of routes."""

    kind = ""

    __slots__ = ("id", "route", "up", "exchange")

    def __init__(self, id: str, route: Route, exchange: Exchange) -> None:
        self.id = id
        self.route = route
        self.exchange = exchange
        self.up = False

    @property
    def label(self) -> str:
        """For the log."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """For status."""
        raise NotImplementedError

    def row(self) -> dict[str, Any]:
        """What the other daemon is asked for."""
        raise NotImplementedError

    def close(self, cause: str, message: str) -> bool:
        """End it; False: its end could not be told."""
        self.ended(cause)
        return self.exchange.end(self.id, cause, message)

    def ended(self, cause: str) -> None:
        """It is no more: for the counters."""
        self.up = False


class Call(Destination):
    """A call of prol2tpd, over a tunnel of its configuration or one that calls share.

    :param tunnels: how many calls are up in each tunnel.
    """

    kind = "l2tp"

    __slots__ = ("place", "port", "tunnel_id", "session_id", "peer_tunnel_id", "peer_session_id", "peer", "version",
                 "interface_mtu", "local", "host_name", "peer_host_name", "call_serial_number", "_tunnels")

    def __init__(self, id: str, route: Route, place: Place, exchange: Exchange, tunnels: dict[int, int]) -> None:
        super().__init__(id, route, exchange)
        self.place = place
        self._tunnels = tunnels
        self.port = 0
        self.tunnel_id = self.session_id = self.peer_tunnel_id = self.peer_session_id = 0
        self.peer = ""
        self.version = 0
        self.interface_mtu = 0
        self.local = self.host_name = self.peer_host_name = ""
        """Our address, and the names of both ends of the tunnel."""
        self.call_serial_number = 0

    @property
    def label(self) -> str:
        if self.tunnel_id:
            return f"L2TP tunnel {self.tunnel_id} session {self.session_id} ({self.place.name})"
        return f"L2TP call to {self.place.name}"

    def record(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "name": self.place.name, "tunnel_id": self.tunnel_id, "session_id": self.session_id,
            "peer_tunnel_id": self.peer_tunnel_id, "peer_session_id": self.peer_session_id, "peer": self.peer,
            "version": self.version, "mtu": self.interface_mtu,
        }  # fmt: skip

    def row(self) -> dict[str, Any]:
        place, route = self.place, self.route
        tunnel = {"name": place.tunnel["name"]} if place.tunnel.keys() == {"name"} else {
            "key": place.key or place.name, "parameters": place.tunnel}
        source = {"source": route.source.id} if isinstance(route.source, L2TPSource) else {}
        return {
            "id": self.id, "tunnel": tunnel, "session": {"parameters": {**_session_of(route), **place.session}},
            **source, "line": _line_of(route.source.line), **_proxy_of(route),
        }  # fmt: skip

    def accepted(self) -> None:
        """What becomes of it comes by CallsChanged."""

    def opened(self, row: dict[str, Any]) -> None:
        """:param row: of CallsChanged."""
        self.up = True
        self.port = int(row["port"])
        tunnel = int(row["tunnel_id"])
        counters = self.route.routes.counters
        counters.sessions_opened += 1
        counters.tunnels_opened += tunnel not in self._tunnels
        self._tunnels[tunnel] = self._tunnels.get(tunnel, 0) + 1
        self.tunnel_id, self.session_id = tunnel, int(row["session_id"])
        self.peer_tunnel_id, self.peer_session_id = int(row["peer_tunnel_id"]), int(row["peer_session_id"])
        self.peer, self.version = str(row["peer"]), int(row["version"])
        self.interface_mtu = int(row["interface_mtu"])
        self.local, self.host_name = str(row["local"]), str(row["host_name"])
        self.peer_host_name = str(row["peer_host_name"])
        self.call_serial_number = int(row["call_serial_number"])
        self.route.routes.destination_opened(self.route, self)

    def closed(self, row: dict[str, Any]) -> None:
        """:param row: of CallsChanged."""
        self.route.routes.counters.l2tp_dns_failures += bool(row.get("dns"))
        self._over(str(row.get("cause") or "NAS Error"), str(row.get("message") or ""), not row.get("tunnel_up"))

    def lost(self, cause: str, message: str) -> None:
        """prol2tpd does not take it, or has it no longer."""
        self._over(cause, message, False)

    def _over(self, cause: str, message: str, dead: bool) -> None:
        was_up = self.up
        self.ended(cause)
        routes = self.route.routes
        report = routes.destination_closed if was_up else routes.destination_failed
        report(self.route, self, cause, message, dead)

    def ended(self, cause: str) -> None:
        if not self.up:
            return
        self.up = False
        self.route.routes.counters.sessions_closed += 1
        left = self._tunnels[self.tunnel_id] - 1
        if left:
            self._tunnels[self.tunnel_id] = left
        else:
            del self._tunnels[self.tunnel_id]


class LocalPPP(Destination):
    """A link of propppd, which has the source's port from then on."""

    kind = "ppp"

    __slots__ = ("ppp_profile", "interface", "again")

    def __init__(self, id: str, route: Route, choice: Choice, exchange: Exchange) -> None:
        super().__init__(id, route, exchange)
        self.ppp_profile = choice.ppp_profile
        self.interface = ""
        """Of the link, once it is up."""
        self.again = False
        """propppd has had it before: what was negotiated once is no longer true."""

    @property
    def label(self) -> str:
        return f"local PPP by profile {self.ppp_profile}"

    def record(self) -> dict[str, Any]:
        return {"kind": self.kind, "ppp_profile": self.ppp_profile, "link": self.id, "interface": self.interface}

    def row(self) -> dict[str, Any]:
        route, source = self.route, self.route.source
        row: dict[str, Any] = {}
        if isinstance(source, L2TPSource):
            row.update(source.offer)
        elif isinstance(source, PPPoESource):
            row.update(carrier="pppoe", interface=source.interface, peer_mac=mac_text(source.key.peer),
                       session_id=source.key.session_id, service_name=source.service_name, max_payload=source.mtu,
                       vlans=list(vids(source.vlans)), user_name="", user_password="")
        row.update(id=self.id, port=source.port, ppp_profile=self.ppp_profile, calling_number=source.calling_number,
                   called_number=source.called_number, line=_line_of(source.line),
                   **_proxy_of(route))
        if self.again:
            row["proxy"] = None
        return row

    def accepted(self) -> None:
        """propppd has begun PPP."""
        self.again = True
        if self.up or self.route.state is not State.OPENING:
            return
        self.up = True
        self.route.routes.counters.ppp_started += 1
        self.route.routes.destination_opened(self.route, self)

    def changed(self, row: dict[str, Any]) -> None:
        """:param row: of SessionsChanged, 'up'."""
        self.route.user = str(row.get("user") or self.route.user)
        self.interface = str(row.get("interface") or "")

    def lost(self, cause: str, message: str) -> None:
        """PPP has ended, or propppd does not take it."""
        was_up = self.up
        self.ended(cause)
        routes = self.route.routes
        if was_up:
            routes.destination_closed(self.route, self, cause, message)
        else:
            routes.destination_failed(self.route, self, cause, message)

    def ended(self, cause: str) -> None:
        if self.up:
            self.up = False
            counters = self.route.routes.counters
            counters.ppp_terminated += 1
            counters.ppp_causes[cause] = counters.ppp_causes.get(cause, 0) + 1


def _session_of(route: Route) -> dict[str, str]:
    """What the call says about where the user comes from, as parameters of a `session` block."""
    source = route.source
    given = {"calling_number": source.calling_number[:64], "called_number": source.called_number[:64]}
    numbers = source.line.numbers if source.line is not None else {}
    if isinstance(source, L2TPSource):
        row = source.offer
        given["sub_address"] = str(row.get("sub_address") or "")
        if group := str(row.get("private_group_id") or ""):
            given["priv_group_id"] = f"hex:{group}"
        up, down = int(row.get("rx_connect_speed") or 0), int(row.get("tx_connect_speed") or 0)
    else:
        up, down = numbers.get(SPEED_UP, 0), numbers.get(SPEED_DOWN, 0)
    if down:
        given["connect_speed"] = f"{down}:{up}" if up else str(down)
    return {name: value for name, value in given.items() if value}


def _proxy_of(route: Route) -> dict[str, Any]:
    """What the next end hears of LCP and authentication, and with it what the user's line cannot do (RFC 3437)."""
    source = route.source
    proxy = dict(route.proxy or {})
    want, allow = proxy.pop("want_options", ""), proxy.pop("allow_options", "")
    if isinstance(source, L2TPSource):
        offer = source.offer
        want, allow = want or offer.get("lcp_want") or "", allow or offer.get("lcp_allow") or ""
    elif not want:
        line = for_ethernet(source.mtu).to_record()
        want, allow = line["want_options"], line["allow_options"]
    return {"proxy": proxy or None, "lcp_want": want, "lcp_allow": allow}


def _line_of(line: Line | None) -> dict[str, Any] | None:
    return line.to_record() if line is not None else None
