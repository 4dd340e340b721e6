"""Routes of proacd through random lives: hosts, calls, daemons and interfaces come and go in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prol2tp.config.proacd import load
from prol2tp.daemons.proacd.choice import Choice, Destination
from prol2tp.dataplane.interface import SYSTEM, DataPathError
from tests.shell.proacd_world import CONFIG, Host, ProacdWorld

CONFIGS = (
    CONFIG,
    CONFIG.replace("interface eth0 eth1 service", "interface eth0 service"),
    CONFIG.replace('tunnel "core"', 'tunnel "edge"').replace("192.0.2.2 { preference 2 }", "192.0.2.3"),
    CONFIG.replace("padi_rate 0", "padi_rate 0 max_sessions_per_mac 1 replace true"),
)  # fmt: skip
SERVICES = ("static", "named", "local", "radius")
LCP = bytes.fromhex("c021010100040000")
PLACES = [Destination(name, number, tunnel={"peer": name}, key=name)
          for number, name in enumerate(("192.0.2.1", "192.0.2.2"))]
CHOICES = (
    Choice("l2tp", PLACES), Choice("ppp", ppp_profile="users"), Choice("refused", message="no"),
    Choice("l2tp", PLACES, session_timeout=7),
)  # fmt: skip


class Lives:
    """What may happen; `pick` chooses among what there is."""

    def __init__(self) -> None:
        self.world = ProacdWorld()
        self.hosts: list[Host] = []
        self.offers = 0

    def pick(self, things: list, number: int) -> object:
        return things[number % len(things)] if things else None

    def dial(self, number: int) -> None:
        interface = "eth1" if number % 5 == 0 else "eth0"
        service = "static" if interface == "eth1" else SERVICES[number % 4]
        self.hosts.append(self.world.host(service, interface).dial())

    def dial_again(self, number: int) -> None:
        host = self.pick(self.hosts, number)
        if isinstance(host, Host):
            host.dial()

    def hang_up(self, number: int) -> None:
        host = self.pick([host for host in self.hosts if host.session_id], number)
        if isinstance(host, Host):
            host.hang_up()

    def frame(self, number: int) -> None:
        host = self.pick([host for host in self.hosts if host.session_id], number)
        if isinstance(host, Host):
            host.send(LCP)

    def choose(self, number: int) -> None:
        waiting = [number for number, one in self.world.asked.waiting.items() if not one.called]
        found = self.pick(waiting, number)
        if isinstance(found, int):
            self.world.asked.waiting[found].callback(CHOICES[number % len(CHOICES)])

    def open_source(self, number: int) -> None:
        route = self.pick([route for route in self.world.routes if route.name == "radius"], number)
        if route is not None:
            route.source.open().addCallbacks(  # type: ignore[attr-defined]
                lambda _: route.source.frames(lambda frame: None), lambda _: None)  # type: ignore[attr-defined]

    def end_call(self, number: int) -> None:
        id = self.pick(list(self.world.prol2tpd.rows), number)
        if isinstance(id, str) and self.world.prol2tpd.connected:
            self.world.prol2tpd.close(id, tunnel_up=number % 3 != 0, dns=number % 7 == 0)

    def end_link(self, number: int) -> None:
        id = self.pick(list(self.world.propppd.rows), number)
        if isinstance(id, str) and self.world.propppd.connected:
            self.world.propppd.change(id, "closed", cause="Idle Timeout")

    def offer(self, number: int) -> None:
        if self.world.prol2tpd.connected:
            self.offers += 1
            self.world.prol2tpd.offer(f"7/{self.offers}", tunnel_profile="lacs" if number % 4 else "others")

    def prol2tpd_is_slow(self, number: int) -> None:
        self.world.prol2tpd.auto = number % 2 == 0

    def prol2tpd_is_deaf(self, number: int) -> None:
        self.world.prol2tpd.dead = {"192.0.2.1"} if number % 2 else set()

    def prol2tpd_restarts(self, number: int) -> None:
        if self.world.prol2tpd.connected:
            self.world.prol2tpd.restart()

    def prol2tpd_is_cut_off(self, number: int) -> None:
        if self.world.prol2tpd.connected:
            self.world.prol2tpd.disconnect()

    def prol2tpd_comes(self, number: int) -> None:
        if not self.world.prol2tpd.connected:
            self.world.prol2tpd.connect()

    def propppd_goes(self, number: int) -> None:
        if self.world.propppd.connected:
            self.world.propppd.disconnect()
            if number % 2:
                self.world.propppd.rows.clear()

    def propppd_comes(self, number: int) -> None:
        if not self.world.propppd.connected:
            self.world.propppd.connect()

    def interface_down(self, number: int) -> None:
        self.world.set_link("eth1" if number % 2 else "eth0", up=False)

    def interface_up(self, number: int) -> None:
        self.world.set_link("eth1" if number % 2 else "eth0", up=True)

    def path_refuses(self, number: int) -> None:
        operation = ("pppoe_add", "switch_add", "ethernet_add")[number % 3]
        self.world.plane.refuse[operation] = DataPathError(SYSTEM, "no buffer space available")

    def path_dies(self, number: int) -> None:
        if self.world.parts.plane is None:
            return
        # prol2tpd ends its tunnels and begins anew with another data path, as we do
        if self.world.prol2tpd.connected:
            self.world.prol2tpd.disconnect()
        self.world.parts.path_lost()
        self.world.prol2tpd.forget_all()
        self.world.new_plane()

    def path_comes(self, number: int) -> None:
        if self.world.parts.plane is None:
            self.world.parts.use(self.world.plane)

    def reload(self, number: int) -> None:
        self.world.parts.configure(load(CONFIGS[number % len(CONFIGS)], "test.conf"))

    def operator_closes(self, number: int) -> None:
        route = self.pick(self.world.routes, number)
        if route is not None:
            route.close()  # type: ignore[attr-defined]

    def moment(self, number: int) -> None:
        self.world.clock.advance((0.0, 0.001, 0.002, 0.05)[number % 4])

    def time(self, number: int) -> None:
        self.world.later(number % 12)


DEEDS = [name for name in vars(Lives) if not name.startswith("_") and name != "pick"]
STEPS = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 99)), min_size=5, max_size=60)


@given(steps=STEPS)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_half_of_a_route_is_left_whatever_happens(steps: list[tuple[str, int]]) -> None:
    lives = Lives()
    world = lives.world
    for name, number in steps:
        getattr(lives, name)(number)
    # all are there again, and quiet
    world.plane.refuse.clear()
    lives.reload(0)
    lives.path_comes(0)
    lives.prol2tpd_comes(0)
    lives.propppd_comes(0)
    for number in (0, 1):
        lives.interface_up(number)
    world.later(40)
    world.check()
    claimed = {id for id in world.parts.calls.exchange.things}
    assert claimed == set(world.prol2tpd.rows), "prol2tpd has what proacd has"
    assert set(world.parts.attachments.exchange.things) == set(world.propppd.rows)
    assert {route.state.value for route in world.routes} <= {"joined", "choosing"}
    open_hosts = {(host.mac, host.session_id) for host in lives.hosts if host.session_id}
    sources = {(source.key.peer, source.key.session_id) for source in world.parts.discovery.sources.values()}
    # a host whose interface went down was not told: its next frame is answered with a PADT
    for host in lives.hosts:
        if (host.mac, host.session_id) in open_hosts - sources:
            host.send(LCP)
    world.settle()
    assert {(host.mac, host.session_id) for host in lives.hosts if host.session_id} <= sources
    done = world.parts.end_all("Admin Reboot", "the end")
    world.settle()
    assert done.called
    world.nothing_left()
    assert not world.prol2tpd.rows and not world.propppd.rows
    counters = world.parts.routes.counters
    assert counters.routes_created == counters.routes_deleted and counters.route_delete_failures == 0
    assert counters.ppp_started == counters.ppp_terminated == sum(counters.ppp_causes.values())
    assert counters.sessions_opened == counters.sessions_closed
    assert {route.cause != "" and route.state.value == "closed" for route in world.watcher.closed} <= {True}
    assert all(row["sessions"] == 0 for row in world.parts.balance.rows(world.clock.seconds()))
    world.parts.stop()
    assert not world.clock.getDelayedCalls()
