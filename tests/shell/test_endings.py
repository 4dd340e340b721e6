"""Every way in which a tunnel, a session, a link and a route end: one record of history each, and the same words in
the log, in the event, in the script's environment and in accounting."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from prol2tp.config.proacd import load as load_routes
from prol2tp.config.prol2tpd import load
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd.accounting import acct_terminate_cause
from prol2tp.daemons.proacd.announce import Announcements
from prol2tp.daemons.proacd.history import RouteHistory
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.history import EndHistory
from prol2tp.daemons.propppd.history import LinkHistory
from prol2tp.daemons.scriptd.scripts import BY_NAME, environment
from prol2tp.ppp.causes import CAUSES
from prol2tp.radius.answer import Answer
from prol2tp.radius.outputs import Rejected
from prol2tp.spool.history import History
from tests.shell.proacd_world import CONFIG as ROUTES
from tests.shell.proacd_world import ProacdWorld
from tests.shell.test_prol2tpd import LAC, LNS
from tests.shell.test_prol2tpd import world as two_hosts  # noqa: F401
from tests.shell.test_propppd_accounting import AccountingWorld
from tests.shell.test_propppd_radius import TEXT


class Kept(Log):
    """Remembers its lines."""

    def __init__(self) -> None:
        super().__init__("test.endings", Level.INFO)
        self.lines: list[str] = []

    def emit(self, level: Level, text: str, /, own: Level | None = None, **values: Any) -> None:
        self.lines.append(text.format(**values))

    def ends(self) -> list[str]:
        return [line for line in self.lines if " down: " in line or "ended: " in line or ": ends: " in line]


def rows(page: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(page["rows"].encoded)
    return found


def told(daemon: str, event: str, data: dict[str, Any]) -> dict[str, str]:
    """What the script of an event is told."""
    return environment(BY_NAME[daemon], event, 0.0, data, 1, "/run")


# links of propppd


class Links(AccountingWorld):
    def __init__(self) -> None:
        super().__init__()
        self.history = LinkHistory(History(self.clock, lambda line: None))
        self.links.followers.add(self.history)
        self.kept = self.links.come_and_go = Kept()
        self.configure(TEXT.replace("use_radius true", "use_radius true; lcp_echo_interval 10; lcp_echo_failures 3"))
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.links.publish = lambda name, **data: None
        self.links.event = lambda name, link: self.published.append(  # type: ignore[method-assign]
            (name, {"cause": link.cause, "message": link.message, "name": link.name}))


class End(NamedTuple):
    name: str
    act: Callable[..., Any]
    """Of the world, and of what it has that is to end."""
    cause: str
    by: str = ""
    accept: dict[str, Any] = {}  # noqa: RUF012


def _silent(world: Links, client: Any, link: Any) -> None:
    world.far.port_receiver(client.port, None)


def _gone(world: Links, client: Any, link: Any) -> None:
    world.prol2tpd.lose()


def _detach(cause: str) -> Callable[..., Any]:
    return lambda world, client, link: world.attachments.detach(
        world.prol2tpd, [{"id": link.carrier.id, "cause": cause, "message": "", "counters": None}])


LINK_ENDS = (
    End("the peer's LCP Terminate", lambda world, client, link: client.driver.call(client.core.close), "Peer Request"),
    End("propppctl destroy", lambda world, client, link: world.commands()["Destroy"](None, name=link.name),
        "Admin Reset"),
    End("the peer's CDN", _detach("Lost Carrier"), "Lost Carrier"),
    End("a CDN that says why", _detach("Peer Request"), "Peer Request"),
    End("a peer that is silent", _silent, "Peer Dead"),
    End("the session's time", lambda *_: None, "Session Timeout", accept={"session_timeout": 30}),
    End("no traffic", lambda *_: None, "Idle Timeout", accept={"idle_timeout": 30}),
    End("the end of the daemon", lambda world, client, link: world.links.end_all("Admin Reboot", "propppd stops", 3.0),
        "Admin Reboot"),
    End("prol2tpd that does not come again", _gone, "Lost Carrier"),
    End("the data path that is gone", lambda world, client, link: world.links.path_lost("the data path is gone"),
        "NAS Error"),
)


@pytest.mark.parametrize("end", LINK_ENDS, ids=lambda end: end.name)
def test_a_link_ends_with_the_same_words_everywhere(end: End) -> None:
    made = Links()
    client, link = made.online(**end.accept)
    end.act(made, client, link)
    made.later(200)
    assert not made.links.by_number
    (row,) = rows(made.history.page(None, None, None))
    assert (row["cause"], row["user"]) == (end.cause, "r@example.com") and row["message"]
    assert row["acct_terminate_cause"] == CAUSES[end.cause].acct_terminate_cause
    (stop,) = (record for record in made.told if record.status == "Stop")
    assert stop.terminate_cause == row["acct_terminate_cause"]
    for name in ("link-down", "link-destroyed"):
        ((_, data),) = (event for event in made.published if event[0] == name)
        script = told("propppd", name, data)
        assert (script["CAUSE"], script["MESSAGE"]) == (row["cause"], row["message"])
    (line,) = made.kept.ends()
    assert f"ended: {row['cause']}" in line
    assert row["message"] in line or row["message"].lower() == row["cause"].lower()


def test_a_user_who_is_refused_leaves_a_record_and_no_accounting() -> None:
    made = Links()
    client, link = made.client("r@example.com", "pw", row={"lns": True})
    made.answer(Rejected(1, Answer(), "r1"))
    made.later(60)
    (row,) = rows(made.history.page(None, None, None))
    assert (row["cause"], row["last_state"], row["seconds_up"]) == ("Authentication Failed", "DEAD", 0.0)
    assert made.told == [] and [name for name, _ in made.published] == ["link-created", "link-destroyed"]
    assert made.published[-1][1]["cause"] == row["cause"]


# tunnels and sessions of prol2tpd


@pytest.fixture
def pair(two_hosts: Any) -> Any:  # noqa: F811
    world = two_hosts
    world.lns, world.lac = world.host(LNS), world.host(LAC)
    for host in (world.lns, world.lac):
        host.history = EndHistory(world.clock, History(world.clock, lambda line: None))
        host.plane.history = host.history
        host.published = []
        host.plane.events = Announced(host.published)
        host.plane.log = host.kept = Kept()
        host.plane.outcomes._log = host.kept
        host.start()
    world.run(2)
    return world


class Announced:
    def __init__(self, published: list[tuple[str, dict[str, Any]]]) -> None:
        self._published = published

    def publish(self, event: str, **data: Any) -> None:
        self._published.append((event, data))


def _cut(world: Any) -> None:
    for address in [one for one in world.wire.ports if one[0] == "10.99.0.1"]:
        del world.wire.ports[address]


def _reloaded(world: Any) -> None:
    reload.apply(world.lac.plane, load('system { hostname "lac" }', "t"))


def _first(host: Any) -> Any:
    return next(iter(next(iter(host.plane.tunnels.values())).sessions.values()))


def _path_failed(world: Any) -> None:
    record = _first(world.lac)
    plane = world.lac.plane
    plane.driver.call(plane.endpoint.data_path_failed, record.tunnel.tunnel_id, record.session_id,
                      message="the data path is gone")


def _of_tunnel(host: str, **result: Any) -> Callable[[Any], None]:
    def act(world: Any) -> None:
        plane = getattr(world, host).plane
        plane.close_tunnel(next(iter(plane.endpoint.tunnels)), **result)

    return act


def _ppp(cause: str) -> Callable[[Any], None]:
    return lambda world: world.lns.plane.ppp_closed(_first(world.lns), cause, "")


class L2TPEnd(NamedTuple):
    name: str
    act: Callable[[Any], Any]
    lns: str
    """Cause of a session at the LNS; and at the LAC; empty: it lives on."""
    lac: str
    tunnel: bool = False
    """The tunnel ends too."""


L2TP_ENDS = (
    L2TPEnd("prol2tp destroy session at the LAC",
            lambda world: world.lac.call("DestroySession", tunnel_name="one", session_name="u1"),
            "Lost Carrier", "Admin Reset"),
    L2TPEnd("CDN of the LNS",
            lambda world: world.lns.call("DestroySession", tunnel_id=_first(world.lns).tunnel.tunnel_id,
                                         session_id=_first(world.lns).session_id), "Admin Reset", "Lost Carrier"),
    L2TPEnd("StopCCN of the LNS", _of_tunnel("lns"), "Admin Reset", "Lost Carrier", True),
    L2TPEnd("StopCCN of the LAC", _of_tunnel("lac"), "Lost Carrier", "Admin Reset", True),
    L2TPEnd("a reload without the tunnel", _reloaded, "Lost Carrier", "Admin Reset", True),
    L2TPEnd("a peer that is silent", _cut, "Lost Carrier", "Lost Carrier", True),
    L2TPEnd("the end of the daemon", lambda world: world.lns.plane.stop(5), "Admin Reset", "Lost Carrier", True),
    L2TPEnd("a data path that breaks", _path_failed, "Lost Carrier", "Lost Carrier"),
    L2TPEnd("PPP that has ended by its user", _ppp("User Request"), "User Request", "NAS Request"),
    L2TPEnd("PPP whose peer hung up", _ppp("Peer Request"), "Peer Request", "Peer Request"),
    L2TPEnd("PPP that was refused", _ppp("Authentication Failed"), "Authentication Failed", "Authentication Failed"),
    L2TPEnd("PPP whose peer is dead", _ppp("Peer Dead"), "Peer Dead", "Peer Dead"),
    L2TPEnd("an operator at propppd", _ppp("Admin Reset"), "Admin Reset", "Admin Reset"),
)


@pytest.mark.parametrize("end", L2TP_ENDS, ids=lambda end: end.name)
def test_tunnels_and_sessions_end_with_the_same_words_everywhere(pair: Any, end: L2TPEnd) -> None:
    end.act(pair)
    pair.run(400 if "silent" in end.name else 2)
    for host, cause in ((pair.lns, end.lns), (pair.lac, end.lac)):
        asked = {"tunnel_id": None, "session_id": None, "peer": None, "user": None}
        found = rows(host.history.page(None, None, **asked))
        downs = [(name, data) for name, data in host.published if name in ("session-down", "tunnel-down")]
        assert len(found) == len(downs) and len(host.kept.ends()) == len(downs)
        sessions = [row for row in found if row["kind"] == "session"]
        tunnels = [row for row in found if row["kind"] == "tunnel"]
        assert bool(tunnels) is end.tunnel and {row["cause"] for row in sessions} == {cause}
        for row, (name, data), line in zip(reversed(found), downs, host.kept.ends(), strict=True):
            script = told("prol2tpd", name, data)
            assert (script["REASON"], script.get("CAUSE", "")) == (row["reason"], row["cause"])
            assert (script["BY_PEER"] == "true") is (row["by"] == "peer") and row["reason"]
            assert line.endswith(f" down: by {row['by']}: {row['reason']}")
        assert sum(row["cause"] == cause for row in sessions) == host.plane.tallies.ends()["sessions"][cause]


# routes of proacd


class Concentrated(ProacdWorld):
    def __init__(self) -> None:
        super().__init__()
        self.history = RouteHistory(self.clock, History(self.clock, lambda line: None))
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.parts.routes.followers += (
            self.history, Announcements(lambda event, **data: self.published.append((event, data))))
        self.kept = self.parts.routes._log = Kept()


def _call(world: Concentrated, **how: Any) -> None:
    (route,) = world.routes
    world.prol2tpd.close(route.destination.id, **how)


def _local(world: Concentrated, **how: Any) -> None:
    (route,) = world.routes
    world.propppd.change(route.destination.id, "closed", **how)


ROUTE_ENDS = (
    End("PADT of the host", lambda world, host: host.hang_up(), "Peer Request", "source"),
    End("CDN of the LNS", lambda world, host: _call(world, cause="Idle Timeout", message="nobody speaks"),
        "Idle Timeout", "destination"),
    End("StopCCN of the LNS", lambda world, host: _call(world, tunnel_up=False, message="tunnel down"),
        "Lost Carrier", "destination"),
    End("proac_info close", lambda world, host: world.routes[0].close("Admin Reset", "administrative request"),
        "Admin Reset", "neither"),
    End("a reload without the route",
        lambda world, host: world.parts.configure(load_routes(ROUTES.replace('route "static"', 'route "other"'), "t")),
        "Admin Reset", "neither"),
    End("a cable that is pulled", lambda world, host: world.cables["eth0"].lost(), "Lost Carrier", "source"),
    End("the data path that is gone", lambda world, host: world.parts.path_lost(), "NAS Error", "neither"),
    End("the end of the daemon", lambda world, host: world.parts.end_all("Admin Reboot", "proacd stops"),
        "Admin Reboot", "neither"),
    End("prol2tpd that has lost the call", lambda world, host: (world.prol2tpd.restart(), world.prol2tpd.connect()),
        "NAS Error", "destination"),
    End("prol2tpd that does not come again", lambda world, host: world.prol2tpd.restart(), "NAS Error", "destination"),
)


@pytest.mark.parametrize("end", ROUTE_ENDS, ids=lambda end: end.name)
def test_routes_end_with_the_same_words_everywhere(end: End) -> None:
    made = Concentrated()
    host = made.dialled()
    assert made.routes
    end.act(made, host)
    made.later(60)
    _same(made, end)


LOCAL_ENDS = (
    End("LCP Terminate of the host", lambda world, host: _local(world, cause="Peer Request"), "Peer Request",
        "destination"),
    End("a user who is refused", lambda world, host: _local(world, cause="Authentication Failed", message="no"),
        "Authentication Failed", "destination"),
    End("Disconnect of RADIUS at propppd", lambda world, host: _local(world, cause="Admin Reset", message="by RADIUS"),
        "Admin Reset", "destination"),
    End("the session's time", lambda world, host: _local(world, cause="Session Timeout"), "Session Timeout",
        "destination"),
    End("PADT of the host", lambda world, host: host.hang_up(), "Peer Request", "source"),
)


@pytest.mark.parametrize("end", LOCAL_ENDS, ids=lambda end: end.name)
def test_routes_to_local_ppp_end_with_the_same_words_everywhere(end: End) -> None:
    made = Concentrated()
    host = made.dialled("local")
    end.act(made, host)
    made.later(60)
    _same(made, end)


def _same(made: Concentrated, end: End) -> None:
    (row,) = rows(made.history.page(None, None, None, None))
    assert (row["cause"], row["by"], row["last_state"]) == (end.cause, end.by, "joined") and row["message"]
    assert row["acct_terminate_cause"] == acct_terminate_cause(end.cause) == CAUSES[end.cause].acct_terminate_cause
    ((_, data),) = (event for event in made.published if event[0] == "route-closed")
    script = told("proacd", "route-closed", data)
    assert (script["CAUSE"], script["MESSAGE"], script["ENDED_BY"]) == (row["cause"], row["message"], row["by"])
    (line,) = made.kept.ends()
    assert line.endswith(f"ends: {row['cause']}: {row['message']} (by {row['by']})")
