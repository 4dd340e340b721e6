"""xl2tpd and pppd, with the kernel's L2TP and PPP, as client of our LNS and as LNS of our client."""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.kernel.paths import PATHS, on
from tests.kernel.peers import Xl2tpd
from tests.kernel.streams import stream
from tests.netns import World, wait_until

pytestmark = [pytest.mark.root, pytest.mark.interop("xl2tpd", "ppp"), pytest.mark.kernel("l2tp_ppp", "ppp")]

USER = ("u1@example.com", "pw1")
SERVER = f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "lac1" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""
SUBSCRIBERS = f"""
profile "subscribers" {{ local_ip 10.5.1.1; ip_pool "pool1"; lcp_echo_interval 5; %s }}
ip_pool "pool1" {{ range 10.5.1.100-10.5.1.199 }}
user "{USER[0]}" {{ password "{USER[1]}" }}
"""
CLIENT = f"""
system {{ hostname "lac" }}
tunnel "one" {{ peer {LNS}
    session "u1" {{ ppp_profile "client"; user_name "{USER[0]}"; user_password "{USER[1]}" }} }}
"""
METHODS = pytest.mark.parametrize("method", ["chap", "mschapv2"])
REQUIRE = {"chap": "require-chap", "mschapv2": "require-mschap-v2"}


@PATHS
@METHODS
def test_pppd_as_client_is_online_through_xl2tpd_and_our_lns(world: World, method: str, path: str) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    ours = Suite(lns, on(path, SERVER), SUBSCRIBERS % f"auth true; auth_methods {method}")
    peer = Xl2tpd(lac, LAC, lns=LNS, options=["noauth", f"name {USER[0]}"], users=[USER])
    (row,) = ours.wait_online(1)
    assert row["user"] == USER[0]
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    lac.ping("10.5.1.1")
    lac.ping("10.5.1.1", size=1372)
    stream(lac, lns, "10.5.1.1")
    stream(lns, lac, "10.5.1.100")
    peer.process.stop()
    ours.wait_gone()
    wait_until(lambda: not ours.links(), 15, "the link is gone")


@PATHS
@METHODS
def test_our_client_is_online_through_xl2tpd_and_pppd(world: World, method: str, path: str) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    peer = Xl2tpd(lns, LNS, options=["auth", REQUIRE[method], "name lns"], users=[USER])
    ours = Suite(lac, on(path, CLIENT), f'profile "client" {{ auth false; allow_methods {method} }}')
    ours.wait_online(1)
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    lac.ping("10.7.0.1")
    stream(lac, lns, "10.7.0.1")
    stream(lns, lac, "10.7.0.10")
    ours.tool("prol2tp", "destroy", "tunnel", "name", "one")
    peer.process.wait_for("Connection closed", 15)
    wait_until(lambda: not peer.interfaces(), 15, "pppd has ended")
