"""Two FreeRADIUS behind our LNS, the first of which falls into a black hole: who waits how often, and who counts what.

r1 is at a name (`localhost`, of which the source picks the IPv4 address), r2 at an IPv6 address. The black hole drops
their requests within the LNS's host without a word and counts them.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench.lacload import Load, connected
from prol2tp.control.blocking import Connection
from prol2tp.control.commands import propppd
from tests.daemons import Suite
from tests.interop.conftest import LNS
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import lac_tunnels
from tests.netns import Failed, Namespace, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "freeradius-utils", "tshark")]

PASSWORD = "pw"
USERS = f"""\
DEFAULT Cleartext-Password := "{PASSWORD}"
    Service-Type = Framed-User
"""
TUNNELS = f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "any" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""
LINKS = f"""
profile "subscribers" {{
    auth true; auth_methods chap eap; use_radius true; local_ip 10.6.0.1; ip_pool "p"; interface shared; ipv6 false
}}
ip_pool "p" {{ range 10.7.0.1-10.7.3.250 }}
radius {{
    nas_identifier "lns"
    server "r1" {{
        address localhost; source 127.0.0.1; secret "{RADIUS_SECRET}"; timeout 1; retries 1; status_interval 1
    }}
    server "r2" {{ address ::1; secret "{RADIUS_SECRET}"; timeout 1; priority 2 }}
}}
"""
AT_A_TIME = 16
PORTS = (1812, 1813)


class Hole:
    """Requests to the first server are dropped while it is open; `count` of them, by port."""

    def __init__(self, host: Namespace) -> None:
        self.host = host
        host.run("nft", "add", "table", "ip", "hole")
        host.run("nft", "add", "chain", "ip", "hole", "input", "{ type filter hook input priority 0; }")
        for port in PORTS:
            host.run("nft", "add", "counter", "ip", "hole", f"to{port}")

    def open(self) -> None:
        for port in PORTS:
            self.host.run("nft", "add", "rule", "ip", "hole", "input",
                          f"udp dport {port} counter name to{port} drop")

    def close(self) -> dict[int, int]:
        """Packets that were dropped, by port; Status-Server among them."""
        self.host.run("nft", "flush", "chain", "ip", "hole", "input")
        said = self.host.run("nft", "list", "counters", "table", "ip", "hole").stdout
        return {int(port): int(count) for port, count in re.findall(r"counter to(\d+) {\s+packets (\d+)", said)}


class Bed:
    """Our LNS with its two servers, and a LAC that makes calls."""

    def __init__(self, world: World) -> None:
        host = world.namespaces["lns"]
        self.one = FreeRADIUS(host, USERS, configuration=CONFIGURATION)
        self.two = FreeRADIUS(host, USERS, "::1", "::1/128", configuration=CONFIGURATION)
        self.hole = Hole(host)
        self.suite = Suite(host, TUNNELS, LINKS)
        wait_until(lambda: all(row["alive"] for row in self.servers().values()), 10, "the name of r1 is resolved")
        self.load = Load([connected(LNS, make=world.namespaces["lac"].socket)], ppp=True, chap=True,
                         password=PASSWORD.encode(), concurrency=AT_A_TIME)
        self.load.open_tunnels()

    def servers(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(row["name"], row["kind"]): row for row in self.suite.json("propppctl", "servers")}

    def counts(self) -> dict[str, int]:
        return self.suite.json("propppctl", "status")["radius"]

    def wait_stops(self, count: int) -> None:
        """Until so many Stops were sent and no accounting record waits any more."""

        def told() -> bool:
            status = self.suite.json("propppctl", "status")
            return status["radius"]["accounting_stops"] >= count and not status["accounting_queue"]["depth"]

        try:
            wait_until(told, 120, f"{count} Stops, and all records acknowledged", every=0.5)
        except Failed as failed:
            seen = (self.suite.tool("propppctl", word) for word in ("status", "servers", "list"))
            raise Failed("\n".join((str(failed), *seen))) from None

    def wait_accepted(self, wanted: tuple[int, int]) -> None:
        """Until each server has counted so many Access-Accepts."""

        def reached() -> bool:
            return tuple(server.statistics()["Access-Accepts"] for server in (self.one, self.two)) == wanted

        wait_until(reached, 20, f"{wanted} Access-Accepts of r1 and r2", every=0.5)

    def heard(self, text: str) -> None:
        wait_until(lambda: any(text in line for line in self.suite.processes["propppd"].lines), 30, text)


@pytest.fixture
def bed(world: World) -> Iterator[Bed]:
    made = Bed(world)
    yield made
    made.suite.stop()


def test_a_black_holed_server_delays_logins_once_and_is_used_again_when_it_answers(bed: Bed) -> None:
    bed.load.make_calls(20)
    bed.wait_accepted((20, 0))
    assert bed.counts()["retransmits"] == 0

    bed.hole.open()
    bed.load.make_calls(100)
    # at most those that were under way when it fell into the hole were sent there, each twice
    before = bed.servers()["r1", "auth"]
    assert before["alive"] is False
    assert before["requests"] <= 20 + AT_A_TIME and before["retransmits"] <= AT_A_TIME
    bed.wait_accepted((20, 100))
    assert bed.suite.processes["propppd"].output.count("server r1 does not answer (authentication)") == 1

    bed.load.make_calls(50)
    bed.wait_accepted((20, 150))
    after = bed.servers()["r1", "auth"]
    assert (after["requests"], after["retransmits"]) == (before["requests"], before["retransmits"])

    bed.hole.close()
    bed.heard("server r1 answers again (authentication)")
    bed.load.make_calls(20)
    bed.wait_accepted((40, 150))
    assert (bed.load.up_count, bed.load.dropped) == (190, 0)
    assert bed.counts()["timeouts"] == 0


def resume_when_asked_again(bed: Bed) -> threading.Thread:
    """r1 stands still until somebody has asked it twice."""
    process = bed.one.process.pid
    os.kill(process, signal.SIGSTOP)

    def asked_again(daemon: Connection) -> bool:
        rows = daemon.call(propppd.SERVERS, cursor="", limit=10)["rows"]
        return any(row["name"] == "r1" and row["kind"] == "auth" and row["retransmits"] for row in rows)

    def watch() -> None:
        # not by a command, whose start may take the second after which r1 counts as dead
        try:
            with Connection(str(bed.suite.run_dir / propppd.SOCKET)) as daemon:
                wait_until(lambda: asked_again(daemon), 20, "a retransmission", every=0.01)
        finally:
            os.kill(process, signal.SIGCONT)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_status_counts_what_freeradius_counts(bed: Bed, world: World) -> None:
    bed.load.make_calls(20)
    stranger = Load([connected(LNS, make=world.namespaces["lac"].socket)], ppp=True, chap=True, password=b"wrong")
    stranger.open_tunnels()
    stranger.make_calls(5)
    assert (stranger.up_count, stranger.dropped, stranger.refused) == (0, 5, 5)

    lac = Suite(world.namespaces["lac"], lac_tunnels(("eap", PASSWORD)),
                'profile "client" { auth false; allow_methods eap; eap_allow_methods md5 }')
    lac.wait_online(1)
    lac.stop()

    watching = resume_when_asked_again(bed)
    bed.load.make_calls(10)
    watching.join()
    bed.hole.open()
    bed.load.make_calls(30)
    dropped = bed.hole.close()
    bed.heard("server r1 answers again (authentication)")
    bed.load.make_calls(20)
    assert (bed.load.up_count, bed.load.dropped) == (80, 0)
    bed.load.hang_up()
    bed.wait_stops(81)

    status = bed.counts()
    assert (status["access_accepts"], status["access_rejects"], status["access_challenges"]) == (81, 5, 1)
    bed.wait_accepted((51, 30))
    found = [server.statistics() for server in (bed.one, bed.two)]
    for ours, theirs in (("access_accepts", "Access-Accepts"), ("access_rejects", "Access-Rejects"),
                         ("access_challenges", "Access-Challenges")):
        assert status[ours] == sum(one[theirs] for one in found), ours
    rows = bed.servers()
    for kind, requests, port in (("auth", "Access-Requests", 1812), ("acct", "Accounting-Requests", 1813)):
        first, second = rows["r1", kind], rows["r2", kind]
        lost = dropped[port]
        assert first["requests"] + first["retransmits"] + first["probes"] == found[0][requests] + lost, kind
        assert second["requests"] + second["retransmits"] + second["probes"] == found[1][requests], kind
    assert status["access_requests"] == rows["r1", "auth"]["requests"] + rows["r2", "auth"]["requests"]
    told = sum(status[f"accounting_{kind}"] for kind in ("starts", "stops", "updates"))
    # and Accounting-On
    assert told + 1 == rows["r1", "acct"]["requests"] + rows["r2", "acct"]["requests"]
    assert status["accounting_responses"] == 163 == sum(one["Accounting-Responses"] for one in found)
    assert status["retransmits"] == sum(row["retransmits"] for row in rows.values()) > 0
    assert found[0]["Auth-Duplicate-Requests"] > 0 and dropped[1812] > 0
    assert (status["timeouts"], status["auth_in_progress"], status["accounting_in_progress"]) == (0, 0, 0)
