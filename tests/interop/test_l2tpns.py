"""l2tpns 2.4.1 as LNS for our LAC and PPP client: users online through RADIUS, packets both ways.

What the client pings is an address of the LNS's own, behind its TUN interface.
"""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LNS
from tests.netns import World, wait_until
from tests.peers import FreeRADIUS, L2tpns, users_file

pytestmark = [pytest.mark.root, pytest.mark.interop("l2tpns", "freeradius", "tshark")]

INSIDE = "192.0.2.1"
PROPPPD = 'profile "client" { auth false }\n'


def lac_configuration(users: int, secret: str = "", password: str = "pw") -> str:
    protect = f'secret "{secret}"\n    auth_mode challenge' if secret else ""
    calls = "".join(
        f"""    session "u{n}" {{
        pseudowire_type ppp
        ppp_profile "client"
        user_name "u{n}@example.com"
        user_password "{password}{n}"
    }}
"""
        for n in range(1, users + 1)
    )
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


def foreign_lns(world: World, users: int, authtypes: str = "pap,chap", settings: tuple[str, ...] = ()) -> L2tpns:
    lns = world.namespaces["lns"]
    lns.address("lo", f"{INSIDE}/32")
    FreeRADIUS(lns, users_file((f"u{n}@example.com", f"pw{n}", f"10.6.0.{100 + n}") for n in range(1, users + 1)))
    peer = L2tpns(lns, LNS, authtypes=authtypes, settings=settings)
    peer.wait_ready()
    return peer


def ping_inside(world: World, interface: str, size: int = 56) -> None:
    lac = world.namespaces["lac"]
    lac.run("ip", "route", "replace", f"{INSIDE}/32", "dev", interface)
    lac.ping(INSIDE, interface=interface, size=size)


@pytest.mark.parametrize("method", ["pap", "chap"])
@pytest.mark.parametrize("secret", ["", "s3cret"], ids=["no-challenge", "challenge"])
def test_our_client_comes_online_at_l2tpns_and_pings(world: World, method: str, secret: str) -> None:
    foreign_lns(world, 1, method)
    suite = Suite(world.namespaces["lac"], lac_configuration(1, secret), PROPPPD)

    (link,) = suite.wait_online(1)
    addresses = world.namespaces["lac"].run("ip", "-4", "addr", "show", "dev", str(link["interface"])).stdout
    assert "10.6.0.101" in addresses
    ping_inside(world, str(link["interface"]))
    ping_inside(world, str(link["interface"]), size=1300)

    shown = suite.tool("propppctl", "show", str(link["name"]))
    assert "local ip: 10.6.0.101" in shown
    session = suite.sessions()[0]
    stats = suite.json(
        "prol2tp", "show", "session", "id", str(session["session_id"]), "in", "tunnel", "id",
        str(session["tunnel_id"]), "stats",
    )["stats"]  # fmt: skip
    assert stats["tx_packets"] >= 6
    assert stats["rx_packets"] >= 6


def test_twenty_users_share_one_tunnel_to_l2tpns(world: World) -> None:
    foreign_lns(world, 20)
    suite = Suite(world.namespaces["lac"], lac_configuration(20), PROPPPD)
    links = suite.wait_online(20, 60)
    assert len({row["interface"] for row in links}) == 20
    assert len(suite.tunnels()) == 1
    for link in links[::5]:
        ping_inside(world, str(link["interface"]))


def test_a_wrong_password_leaves_the_user_offline_and_nothing_behind(world: World) -> None:
    foreign_lns(world, 1)
    suite = Suite(world.namespaces["lac"], lac_configuration(1, password="wrong"), PROPPPD)
    wait_until(
        lambda: any("auth" in line.lower() for line in suite.processes["propppd"].lines), 20, "propppd tells of it"
    )
    assert not suite.online()
    suite.tool("prol2tp", "destroy", "tunnel", "name", "one")
    suite.wait_gone()
    assert world.namespaces["lac"].interfaces() == {"lo", "eth0"}


def test_a_destroyed_session_takes_its_interface_along(world: World) -> None:
    foreign_lns(world, 2)
    suite = Suite(world.namespaces["lac"], lac_configuration(2), PROPPPD)
    suite.wait_online(2)
    suite.tool("prol2tp", "destroy", "session", "name", "u1", "in", "tunnel", "name", "one")
    wait_until(lambda: len(suite.links()) == 1, 10, "one link less")
    (left,) = suite.online()
    ping_inside(world, str(left["interface"]))
    wait_until(
        lambda: world.namespaces["lac"].interfaces() == {"lo", "eth0", left["interface"]}, 10, "its interface is gone"
    )


def test_sigterm_closes_the_tunnel_and_leaves_no_interface(world: World) -> None:
    peer = foreign_lns(world, 2)
    suite = Suite(world.namespaces["lac"], lac_configuration(2), PROPPPD)
    suite.wait_online(2)
    suite.stop("prol2tpd")
    suite.stop("propppd")
    wait_until(lambda: "StopCCN" in peer.log_text() or "Stopped" in peer.log_text(), 10, "l2tpns got StopCCN")
    assert world.namespaces["lac"].interfaces() == {"lo", "eth0"}
