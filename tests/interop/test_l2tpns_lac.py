"""l2tpns 2.4.1 as access concentrator in front of our LNS. It begins with our PPPoE client, LCP and CHAP, and then
hands nothing of it over: our LNS has to start anew with a peer whose LCP is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.interop.conftest import BAD, LAC, LNS, dissect
from tests.netns import Capture, World, wait_until
from tests.peers import FreeRADIUS, L2tpns, users_file

pytestmark = [pytest.mark.root, pytest.mark.interop("l2tpns", "freeradius", "tshark")]

SECRET = "s3cret"
PROL2TPD = f"""
system {{
    hostname "lns"
    listen {LNS}:1701
    log_level info
}}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "users" }}
tunnel profile "l2tpns" {{
    peer 10.99.0.0/24
    session_profile "lac"
    secret "{SECRET}"
    auth_mode challenge
}}
"""
PROPPPD = """
system {{ log_level info }}
profile "users" {{ auth true; auth_methods chap pap; local_ip 10.5.1.1; ip_pool "p"; ipv6 false; {proxy} }}
ip_pool "p" {{ range 10.5.1.100-10.5.1.199 }}
user "u1@example.com" {{ password "pw1" }}
"""
CLIENT = """
system { log_level info }
profile "dsl" { user "u1@example.com"; password "pw1"; mru 1492; ipv6 false; lcp_echo_interval 0 }
"""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        client, lac, lns = (made.namespace(name) for name in ("client", "lac", "lns"))
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        made.cable(client, lac, [], [], device_two="eth1")
        yield made


def concentrator(world: World) -> L2tpns:
    lac = world.namespaces["lac"]
    FreeRADIUS(lac, users_file([("nobody", "nothing", "")]))
    peer = L2tpns(lac, LAC, authtypes="chap,pap", settings=(
        'set pppoe_if_to_bind "eth1"', "set disable_lac_func no", f"set bind_address_remotelns {LAC}",
        f"setforward example.com {LNS} 1701 {SECRET}",
    ))
    peer.wait_ready()
    return peer


def dial(world: World, proxy: str) -> tuple[Suite, Suite, Capture]:
    lns = Suite(world.namespaces["lns"], PROL2TPD, PROPPPD.format(proxy=proxy))
    concentrator(world)
    capture = Capture(world.namespaces["lns"], "eth0", world.path("tunnel.pcap"))
    client = Suite(world.namespaces["client"], "", CLIENT)
    client.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", "dsl")
    return client, lns, capture


def test_a_user_of_l2tpns_is_negotiated_with_anew_and_is_online(world: World) -> None:
    client, lns, capture = dial(world, "proxy_lcp true; proxy_auth true")
    client.wait_online(1)
    (link,) = lns.wait_online(1)
    world.namespaces["client"].ping("10.5.1.1", interface="ppp0")
    world.namespaces["client"].ping("10.5.1.1", interface="ppp0", size=1464)
    shown = lns.json("propppctl", "show", str(link["name"]))
    assert shown["user"] == "u1@example.com" and shown["auth"]["done_local"] == ["chap"]
    assert not shown["lcp"]["proxied"] and not shown["auth"]["proxied"]
    assert shown["pppol2tp"]["lns"] and (shown["mtu"], shown["peer_mru"]) == (1460, 1492)
    client.tool("propppctl", "destroy", "session-1")
    wait_until(lambda: not lns.links(), 20, "no link is left", every=0.2)
    path = str(capture.stop())
    assert dissect(path, "l2tp.avp.message_type == 12") and not dissect(path, "l2tp.avp.proxy_authen_type")
    assert not dissect(path, BAD)
