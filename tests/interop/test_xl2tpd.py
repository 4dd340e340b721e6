"""xl2tpd 1.3.18 as LAC and as LNS: the control connection and 20 calls in one tunnel.

Its pppd is replaced, so that no PPP frame is sent; sessions of ours have no ppp_profile and are not attached to PPP.
"""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.netns import Failed, World
from tests.peers import Xl2tpd

pytestmark = [pytest.mark.root, pytest.mark.interop("xl2tpd", "tshark")]

CALLS = 20
CHALLENGE = pytest.mark.parametrize("secret", ["", "s3cret"], ids=["no-challenge", "challenge"])


def lns_configuration(secret: str) -> str:
    protect = f'secret "{secret}"\n auth_mode challenge' if secret else ""
    return f"""
system {{
    hostname "lns"
    listen {LNS}:1701
    log_level info
}}
session profile "lac" {{ pseudowire_type ppp }}
tunnel profile "lac1" {{
    peer 10.99.0.0/24
    session_profile "lac"
    {protect}
}}
"""


def lac_configuration(secret: str, sessions: int) -> str:
    protect = f'secret "{secret}"\n auth_mode challenge' if secret else ""
    calls = "".join(f'    session "s{n}" {{ pseudowire_type ppp }}\n' for n in range(1, sessions + 1))
    return f"""
system {{
    hostname "lac"
    log_level info
}}
tunnel "one" {{
    peer {LNS}
    {protect}
{calls}}}
"""


@CHALLENGE
def test_xl2tpd_as_lac_brings_up_twenty_calls_in_one_tunnel_and_ends_them(world: World, secret: str) -> None:
    suite = Suite(world.namespaces["lns"], lns_configuration(secret))
    peer = Xl2tpd(
        world.namespaces["lac"], LAC, secret=secret, challenge=bool(secret), lns=LNS, lac_names=["one"]
    )
    tunnel = peer.dial("one", CALLS)

    sessions = suite.wait_established(CALLS)
    assert len(sessions) == CALLS
    (row,) = suite.tunnels()
    assert row["state"] == "ESTABLISHED"
    assert row["sessions"] == CALLS
    shown = suite.json("prol2tp", "show", "tunnel", "id", str(row["tunnel_id"]))
    assert shown["mode"] == "LNS"
    assert shown["peer_tunnel_id"] == tunnel
    assert shown["peer_vendor_name"]

    peer.command(f"d {tunnel}")
    suite.wait_gone()


@CHALLENGE
def test_our_lac_brings_up_twenty_calls_in_one_tunnel_to_xl2tpd(world: World, secret: str) -> None:
    peer = Xl2tpd(world.namespaces["lns"], LNS, secret=secret, challenge=bool(secret))
    suite = Suite(world.namespaces["lac"], lac_configuration(secret, CALLS))

    peer.process.wait_for(r"Call established with", 30, count=CALLS)
    sessions = suite.wait_established(CALLS)
    assert {row["name"] for row in sessions} == {f"s{n}" for n in range(1, CALLS + 1)}
    (row,) = suite.tunnels()
    assert row["name"] == "one"
    shown = suite.json("prol2tp", "show", "tunnel", "name", "one")
    assert shown["mode"] == "LAC"

    suite.tool("prol2tp", "destroy", "tunnel", "name", "one")
    peer.process.wait_for(r"Connection closed", 15)
    suite.wait_gone()


def test_a_wrong_secret_is_refused_by_our_lns(world: World) -> None:
    suite = Suite(world.namespaces["lns"], lns_configuration("right"))
    peer = Xl2tpd(world.namespaces["lac"], LAC, secret="wrong", challenge=False, lns=LNS, lac_names=["one"])
    with pytest.raises(Failed):
        peer.command("c one")
        peer.process.wait_for("Call established", 4)
    assert not suite.sessions()
    suite.wait_gone(40)
