"""A subscriber whom a LAC has authenticated, switched on to an LNS that takes him by the proxy authentication: what is
said of him, and why he leaves, goes through the switch both ways."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from typing import Any

import pytest

from tests.concentrator import Concentrator
from tests.daemons import Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

SWITCH_L2TP = """
system { hostname "switch"; listen 10.98.0.2:1701 }
tunnel profile "lacs" { peer 10.98.0.0/24; secret "upstream" }
"""
SWITCH = """
route "switch" { source l2tp { tunnel_profile "lacs" }
                 destination l2tp { peer 10.99.0.1 secret "s3cret" hide_avps true session { access_line true } } }
"""
LNS_L2TP = """
system { hostname "lns"; listen 10.99.0.1:1701; log_level info }
pseudowire profile "ppp" { pseudowire_type ppp; ppp_profile "users" }
session profile "homes" { pseudowire_profile "ppp" }
tunnel profile "access" { peer 10.99.0.0/24; secret "s3cret"; session_profile "homes" }
"""
LNS_PPP = """
profile "users" { auth true; auth_methods chap; local_ip 10.5.0.1; ip_pool "pool"; ipv6 false
                  proxy_lcp true; proxy_auth true }
ip_pool "pool" { range 10.5.0.100-10.5.0.199 }
user "u1" { password "pw1" }
"""
CHALLENGE = bytes(range(16))
PROXY = {
    "initial_received_confreq": "010405d405061a2b3c4d", "last_received_confreq": "010405d405061a2b3c4d",
    "last_sent_confreq": "010405d40305c223050506a1b2c3d4", "authen_type": 2, "authen_name": b"u1".hex(),
    "authen_challenge": CHALLENGE.hex(), "authen_id": 5, "authen_response": md5(b"\x05pw1" + CHALLENGE).hexdigest(),
}


def row(id: str) -> dict[str, Any]:
    session = {"calling_number": "02:00:00:00:00:01", "called_number": "internet", "access_line": "true"}
    return {"id": id, "tunnel": {"key": "switch", "parameters": {"peer": "10.98.0.2", "secret": "upstream"}},
            "session": {"parameters": session}, "proxy": PROXY, "line": {"circuit_id": b"eth 1/2".hex()}}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_a_proxied_subscriber_is_known_behind_a_switch_and_leaves_with_his_reason(world: World) -> None:
    lac, switch, lns = (world.namespace(name) for name in ("lac", "switch", "lns"))
    world.cable(lac, switch, ["10.98.0.1/24"], ["10.98.0.2/24"])
    world.cable(switch, lns, ["10.99.0.2/24"], ["10.99.0.1/24"], device_one="core")
    there = Suite(lns, LNS_L2TP, LNS_PPP)
    between = Suite(switch, SWITCH_L2TP, proacd=SWITCH)
    between.processes["prol2tpd"].wait_for("connected to proacd")
    here = Suite(lac, 'system { hostname "lac" }')
    with Concentrator(here) as concentrator:
        assert concentrator.open(row("1.1"), row("2.1")) == [None, None]
        for id in ("1.1", "2.1"):
            concentrator.wait(id, "up")
        # no PPP frame has come from him: he is known by what the LAC said
        wait_until(lambda: [link["user"] for link in there.links()] == ["u1", "u1"], 15, "u1 at the LNS", every=0.2)
        sessions = there.established()
        assert len(sessions) == 2 and len(between.established()) == 4
        session = there.json("prol2tp", "show", "session", "id", str(sessions[0]["session_id"]), "in", "tunnel", "id",
                             str(sessions[0]["tunnel_id"]))
        assert (session["calling_number"], session["called_number"]) == ("02:00:00:00:00:01", "internet")
        there.tool("propppctl", "destroy", there.links()[0]["name"])
        wait_until(lambda: len(there.links()) == 1, 10, "one link less", every=0.2)
        ended = concentrator.first("closed")
        assert (ended["cause"], ended["by_peer"], ended["established"]) == ("Admin Reset", True, True)
        (left,) = {"1.1", "2.1"} - {ended["id"]}
        concentrator.end(left)
        wait_until(lambda: not there.links() and not between.sessions(), 10, "nothing is left", every=0.2)
        between.processes["proacd"].wait_for("ends: Peer Request")
