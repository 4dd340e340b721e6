"""Three LNSs behind one access concentrator, of two preferences: one is dead, and one dies under its sessions."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from prol2tp.pppoe.client import Host
from prol2tp.pppoe.outputs import DiscoveryFailed, SessionClosed, SessionOpened, Transmit
from prol2tp.pppoe.settings import HostSettings
from tests.daemons import Suite
from tests.interop.test_freeradius import CONFIGURATION
from tests.netns import Namespace, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS
from tests.pppoe_station import Loop, Station

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius")]

SUBSCRIBERS = 200
LOCKOUT = 5
"""Seconds; more than a tunnel by the profile below takes to be given up: 1 of silence, 3 of HELLOs."""
PROACD = f"""
system {{ hostname "lac1" lockout_time {LOCKOUT} cookie_lifetime 60 }}
interface sub0 {{ padi_rate 0 }}
profile l2tp "quick" {{ hello_timeout 1 retry_timeout 0.2 max_retries 3 }}
profile radius "aaa" {{
    server 127.0.0.1 secret "{RADIUS_SECRET}"
    ask line password "line" l2tp_profile "quick"
}}
route "lines" {{ source pppoe {{ interface sub0 service any }} destination radius {{ profile "aaa" }} }}
"""
USERS = 'DEFAULT Cleartext-Password := "line"\n' + ",\n".join(
    f'    Tunnel-Type:{n} = L2TP, Tunnel-Server-Endpoint:{n} = "10.99.{n}.1", Tunnel-Password:{n} = "s3cret",\n'
    f'    Tunnel-Assignment-ID:{n} = "isp", Tunnel-Preference:{n} = {preference}'
    for n, preference in ((1, 10), (2, 10), (3, 20))) + "\n"
LNS = """
system {{ hostname "lns{n}"; listen 10.99.{n}.1:1701 }}
session profile "lac" {{ pseudowire_type ppp }}
tunnel profile "lac1" {{ peer 10.99.0.0/16; secret "s3cret"; session_profile "lac" }}
"""


class Subscribers(Station):
    """Many hosts on one interface, in a thread. One that loses its session dials again while `dialling`."""

    def __init__(self, host: Namespace, count: int) -> None:
        self.loop = Loop()
        super().__init__(self.loop, host, "eth0")
        settings = HostSettings(mac=self.port.address, timeout=2.0, max_timeout=4.0)
        now = time.monotonic()
        self.hosts = [Host("eth0", settings, os.urandom, now) for _ in range(count)]
        self.dialling = True
        self.up: set[Host] = set()
        self.closed = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        now = time.monotonic()
        for host in self.hosts:
            host.open(now)
        self.loop.pump(lambda: self._stopped, 300, "the end of the test")

    def _receive(self, frame: bytes, interface: str) -> None:
        now = time.monotonic()
        for host in self.hosts:
            host.receive(frame, now)
        self.drain()

    def tick(self) -> None:
        now = time.monotonic()
        for host in self.hosts:
            due = host.deadline()
            if due is not None and due <= now:
                host.timeout(now)
        self.drain()

    def drain(self) -> None:
        for host in getattr(self, "hosts", ()):
            while outputs := host.outputs():
                for output in outputs:
                    self._do(host, output)

    def _do(self, host: Host, output: object) -> None:
        if isinstance(output, Transmit):
            self.port.send(output.frame)
        elif isinstance(output, SessionOpened):
            self.up.add(host)
        elif isinstance(output, SessionClosed | DiscoveryFailed):
            self.up.discard(host)
            self.closed += 1
            if self.dialling:
                host.open(time.monotonic())

    def hang_up(self) -> None:
        """All end their sessions."""
        self.dialling = False
        for host in self.hosts:
            host.close(time.monotonic(), "good night")

    def stop(self) -> None:
        self._stopped = True
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_new_sessions_go_to_the_lns_that_lives_and_accounting_misses_none(world: World) -> None:
    client, lac = world.namespace("client"), world.namespace("lac")
    world.cable(client, lac, [], [], device_two="sub0")
    lnss = {n: world.namespace(f"lns{n}") for n in (1, 2, 3)}
    for n, host in lnss.items():
        world.cable(lac, host, [f"10.99.{n}.2/24"], [f"10.99.{n}.1/24"], device_one=f"lns{n}")
    lnss[1].run("ip", "link", "set", "eth0", "down")
    radius = FreeRADIUS(lac, USERS, configuration=CONFIGURATION)
    second, third = (Suite(lnss[n], LNS.format(n=n)) for n in (2, 3))
    near = Suite(lac, 'system { hostname "lac1"; log_level warning }\n', proacd=PROACD)

    subscribers = Subscribers(client, SUBSCRIBERS)
    try:
        wait_until(lambda: len(subscribers.up) == SUBSCRIBERS, 60, "all are up at the second", every=0.1)
        assert len(second.established()) == SUBSCRIBERS and not third.sessions()
        assert len(near.tunnels()) <= 2, "one tunnel for all, and perhaps a try at the dead one"

        lnss[2].run("ip", "link", "set", "eth0", "down")
        wait_until(lambda: subscribers.closed >= SUBSCRIBERS, 30, "all have heard that it is dead", every=0.05)
        wait_until(lambda: len(subscribers.up) == SUBSCRIBERS, 60, "all are up again", every=0.05)
        third.wait_established(SUBSCRIBERS)
        rows = {row["name"]: row for row in near.json("proac_info", "destinations")}
        assert rows["10.99.3.1"]["sessions"] == SUBSCRIBERS and rows["10.99.2.1"]["sessions"] == 0
        assert rows["10.99.1.1"]["opened"] == 0 and rows["10.99.1.1"]["failed"] >= 1
        assert near.json("proac_info", "-s")["radius"]["successes"] >= 2 * SUBSCRIBERS
        wait_until(lambda: told(radius)["Start"] == 2 * SUBSCRIBERS and told(radius)["Stop"] == SUBSCRIBERS, 30,
                   "every session has its Start, and those that ended their Stop", every=0.2)
        subscribers.hang_up()
        wait_until(lambda: told(radius)["Stop"] == 2 * SUBSCRIBERS, 30, "every session has its Stop", every=0.2)
    finally:
        subscribers.stop()
    records = [record for record in radius.records() if "Acct-Session-Id" in record]
    starts = {record["Acct-Session-Id"]: record for record in records if record["Acct-Status-Type"] == "Start"}
    stops = {record["Acct-Session-Id"]: record for record in records if record["Acct-Status-Type"] == "Stop"}
    assert len(starts) == 2 * SUBSCRIBERS and starts.keys() == stops.keys()
    served = Counter(record["Tunnel-Server-Endpoint:0"] for record in starts.values())
    assert served == {"10.99.2.1": SUBSCRIBERS, "10.99.3.1": SUBSCRIBERS}
    causes = Counter((record["Tunnel-Server-Endpoint:0"], record["Acct-Terminate-Cause"]) for record in stops.values())
    assert causes == {("10.99.2.1", "Lost-Carrier"): SUBSCRIBERS, ("10.99.3.1", "User-Request"): SUBSCRIBERS}


def test_sessions_of_a_daemon_that_was_killed_get_their_stop_and_the_lns_is_told(world: World) -> None:
    client, lac, lns = (world.namespace(name) for name in ("client", "lac", "lns2"))
    world.cable(client, lac, [], [], device_two="sub0")
    world.cable(lac, lns, ["10.99.2.2/24"], ["10.99.2.1/24"], device_one="lns2")
    radius = FreeRADIUS(lac, USERS, configuration=CONFIGURATION)
    second = Suite(lns, LNS.format(n=2))
    near = Suite(lac, 'system { hostname "lac1"; log_level warning }\n', proacd=PROACD)
    subscribers = Subscribers(client, 20)
    try:
        wait_until(lambda: len(subscribers.up) == 20, 60, "all are up", every=0.1)
        wait_until(lambda: told(radius)["Start"] == 20, 30, "every session has its Start", every=0.1)
        killed = near.processes.pop("proacd")
        killed.popen.kill()
        killed.popen.wait()
        near.start("proacd")
        wait_until(lambda: told(radius)["Stop"] == 20, 30, "every session has its Stop", every=0.1)
        wait_until(lambda: not second.sessions(), 30, "the LNS has no session any more", every=0.1)
        subscribers.dialling = False
    finally:
        subscribers.stop()
    records = [record for record in radius.records() if record["Acct-Status-Type"] == "Stop"]
    assert {record["Acct-Terminate-Cause"] for record in records} == {"NAS-Reboot"}
    assert {record["Tunnel-Server-Endpoint:0"] for record in records} == {"10.99.2.1"}
    assert all("Acct-Input-Octets" in record and int(record["Acct-Session-Time"]) < 60 for record in records)
    assert told(radius)["Accounting-On"] == 2


def told(radius: FreeRADIUS) -> Counter[str]:
    """Records by type, each session once."""
    return Counter(status for status, _ in {(record["Acct-Status-Type"], record.get("Acct-Session-Id"))
                                            for record in radius.records()})
