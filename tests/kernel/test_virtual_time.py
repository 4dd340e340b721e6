"""Hours of whole daemons, ours against xl2tpd and pppd, in a guest whose clock jumps over idle time
(tools/test --virtual-time): hellos, echoes, interim records, retransmission and its end, redial."""

from __future__ import annotations

import itertools
import signal
import time

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.kernel.peers import Xl2tpd
from tests.kernel.test_xl2tpd_pppd import CLIENT, SERVER, USER
from tests.netns import World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS, users_file

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop("xl2tpd", "ppp", "freeradius"),
    pytest.mark.kernel("l2tp_ppp", "ppp", "virtual_time", guests=("virtual",)),
]

HOUR = 3600
HELLO, ECHO, INTERIM = 60, 30, 600
SUBSCRIBERS = f"""
profile "subscribers" {{
    auth true; auth_methods chap; use_radius true
    local_ip 10.5.1.1; ip_pool "pool1"; interim_interval {INTERIM}
    lcp_echo_interval {ECHO}; lcp_echo_failures 3
}}
ip_pool "pool1" {{ range 10.5.1.100-10.5.1.199 }}
radius {{ server "one" {{ address 127.0.0.1; secret "{RADIUS_SECRET}"; require_message_authenticator false }} }}
"""


def tunnel(suite: Suite) -> dict[str, int]:
    (row,) = suite.tunnels()
    return dict(suite.json("prol2tp", "show", "tunnel", "id", str(row["tunnel_id"])))


def packets(suite: Suite) -> int:
    """That came for the only session, requests and replies of its LCP among them."""
    (row,) = suite.sessions()
    words = ["id", str(row["session_id"]), "in", "tunnel", "id", str(row["tunnel_id"]), "stats"]
    return int(suite.json("prol2tp", "show", "session", *words)["stats"]["rx_packets"])


def test_a_subscriber_of_ours_stays_for_six_hours_is_missed_when_gone_and_comes_again(world: World) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    server = FreeRADIUS(lns, users_file([(*USER, "")]))
    ours = Suite(lns, SERVER, SUBSCRIBERS)
    peer = Xl2tpd(lac, LAC, lns=LNS, redial=True, users=[USER], options=[
        "noauth", f"name {USER[0]}", f"lcp-echo-interval {ECHO}", "lcp-echo-failure 3"])  # fmt: skip
    (first,) = ours.wait_online(1)
    (session,) = ours.sessions()
    before, packets_before = tunnel(ours), packets(ours)
    hours = 6
    time.sleep(hours * HOUR)

    (still,) = ours.online()
    assert (still["name"], still["user"]) == (first["name"], USER[0])
    assert ours.sessions()[0]["session_id"] == session["session_id"]
    after = tunnel(ours)
    # either side may have been the one to speak first after a silence
    exchanged = after["ns"] - before["ns"] + after["nr"] - before["nr"]
    assert exchanged >= hours * HOUR / HELLO * 0.9
    # a request of each side for every interval, and for ours a reply
    assert packets(ours) - packets_before >= 2 * hours * HOUR / ECHO * 0.9
    interim = [record for record in server.records() if record["Acct-Status-Type"] == "Interim-Update"]
    expected = hours * HOUR / INTERIM
    assert expected - 2 <= len(interim) <= expected + 2
    seconds = [int(record["Acct-Session-Time"]) for record in interim]
    assert all(
        abs(later - earlier - INTERIM) <= INTERIM / 10 for earlier, later in itertools.pairwise(seconds)
    )

    lac.run("ip", "link", "set", "eth0", "down")
    wait_until(lambda: not ours.online(), 4 * ECHO + 10, "the subscriber is missed", every=1)
    time.sleep(HOUR)
    assert not ours.sessions() and not ours.tunnels()
    (stop,) = [record for record in server.records() if record["Acct-Status-Type"] == "Stop"]
    assert stop["Acct-Terminate-Cause"] == "Lost-Carrier"
    lac.run("ip", "link", "set", "eth0", "up")
    ours.wait_online(1, 10 * 60)
    wait_until(peer.interfaces, 60, "pppd's interface has its address")
    lac.ping("10.5.1.1")


def test_our_client_stays_for_six_hours_gives_a_dead_lns_up_and_dials_again(world: World) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    peer = Xl2tpd(lns, LNS, users=[USER], options=[
        "auth", "require-chap", "name lns", f"lcp-echo-interval {ECHO}", "lcp-echo-failure 3"])  # fmt: skip
    ours = Suite(
        lac, CLIENT, f'profile "client" {{ auth false; lcp_echo_interval {ECHO}; lcp_echo_failures 3 }}'
    )
    ours.wait_online(1)
    (session,) = ours.sessions()
    before = tunnel(ours)
    time.sleep(6 * HOUR)
    assert len(ours.online()) == 1
    assert ours.sessions()[0]["session_id"] == session["session_id"]
    after = tunnel(ours)
    assert after["ns"] - before["ns"] + after["nr"] - before["nr"] >= 6 * HOUR / HELLO * 0.9

    peer.process.stop(signal.SIGKILL)
    wait_until(lambda: not ours.online(), 4 * ECHO + 10, "the LNS is missed", every=1)
    time.sleep(2 * HOUR)
    tries = ours.processes["prol2tpd"].output.count("next try in")
    # the wait doubles from one second to a minute, and each try takes its own retransmissions
    assert 2 * HOUR / 160 < tries < 2 * HOUR / 45
    again = Xl2tpd(lns, LNS, users=[USER], options=["auth", "require-chap", "name lns"])
    ours.wait_online(1, 5 * 60)
    wait_until(again.interfaces, 60, "pppd's interface has its address")
    lac.ping("10.7.0.1")
