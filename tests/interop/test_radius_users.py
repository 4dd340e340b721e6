"""FreeRADIUS behind our LNS: it says who comes in, and which address he gets."""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LNS
from tests.interop.test_freeradius import CONFIGURATION
from tests.netns import World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "tshark")]

USERS = """\
u1@example.com Cleartext-Password := "pw1"
    Framed-IP-Address = 10.6.0.101,
    Framed-Route = "192.0.2.0/24 0.0.0.0 1",
    Session-Timeout = 3600,
    Reply-Message = "hello"

u2@example.com Cleartext-Password := "pw2"
    Framed-Pool = "gold"
"""


def lns_tunnels() -> str:
    return f"""
system {{
    hostname "lns"
    listen {LNS}:1701
}}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "lac1" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""


def lns_links(method: str) -> str:
    return f"""
profile "subscribers" {{
    auth true
    auth_methods {method}
    use_radius true
    local_ip 10.6.0.1
}}
ip_pool "gold" {{ range 10.7.0.1-10.7.0.9 }}
radius {{
    nas_identifier "lns"
    server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}"; require_message_authenticator true }}
}}
"""


def lac_tunnels(*users: tuple[str, str]) -> str:
    calls = "".join(
        f'    session "{name}" {{ pseudowire_type ppp; ppp_profile "client"; '
        f'user_name "{name}@example.com"; user_password "{password}" }}\n'
        for name, password in users
    )
    return f'system {{ hostname "lac" }}\ntunnel "one" {{\n    peer {LNS}\n{calls}}}\n'


def lac_links(method: str) -> str:
    return f'profile "client" {{ auth false; allow_methods {method} }}\n'


@pytest.mark.parametrize("method", ["pap", "chap", "mschapv2"])
def test_users_come_online_with_what_freeradius_gives_and_no_one_else(world: World, method: str) -> None:
    host = world.namespaces["lns"]
    FreeRADIUS(host, USERS, configuration=CONFIGURATION)
    lns = Suite(host, lns_tunnels(), lns_links(method))
    users = (("u1", "pw1"), ("u2", "pw2"), ("u3", "pw3"))
    lac = Suite(world.namespaces["lac"], lac_tunnels(*users), lac_links(method))
    rows = {str(row["user"]): row for row in lns.wait_online(2)}
    assert set(rows) == {"u1@example.com", "u2@example.com"}
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.6.0.1", interface=str(row["interface"]))
    shown = lns.tool("propppctl", "show", str(rows["u1@example.com"]["name"]))
    assert "peer ip: 10.6.0.101" in shown
    assert f"status: AUTH_{method.upper()}_ACK" in shown
    assert "peer ip: 10.7.0.1" in lns.tool("propppctl", "show", str(rows["u2@example.com"]["name"]))
    assert "192.0.2.0/24" in host.run("ip", "route").stdout

    said = lns.processes["propppd"]
    refused = "user u3@example.com refused: rejected by RADIUS server r1"
    wait_until(lambda: any(refused in line for line in said.lines), 20, "the unknown user is refused")
    counts = lns.json("propppctl", "status")["radius"]
    assert counts["access_accepts"] == 2
    assert counts["access_rejects"] >= 1
    assert not any(secret in line for line in said.lines for secret in (RADIUS_SECRET, "pw1", "pw2"))


def test_a_wrong_password_is_refused_and_leaves_nothing_behind(world: World) -> None:
    host = world.namespaces["lns"]
    FreeRADIUS(host, USERS, configuration=CONFIGURATION)
    lns = Suite(host, lns_tunnels(), lns_links("chap pap"))
    lac = Suite(world.namespaces["lac"], lac_tunnels(("u1", "wrong")), lac_links("chap pap"))
    refused = "user u1@example.com refused: rejected by RADIUS server r1"
    said = lns.processes["propppd"]
    wait_until(lambda: any(refused in line for line in said.lines), 20, "the user is refused")
    assert not lns.online() and not lac.online()
    assert host.interfaces() == {"lo", "eth0"}


def test_nobody_comes_in_while_no_server_answers(world: World) -> None:
    host = world.namespaces["lns"]
    links = lns_links("chap").replace("address 127.0.0.1", "address 127.0.0.1; timeout 0.1")
    lns = Suite(host, lns_tunnels(), links)
    Suite(world.namespaces["lac"], lac_tunnels(("u1", "pw1")), lac_links("chap"))
    said = lns.processes["propppd"]
    wait_until(lambda: any("server r1 does not answer" in line for line in said.lines), 20, "the server is missed")
    FreeRADIUS(host, USERS, configuration=CONFIGURATION)
    wait_until(lambda: any("server r1 answers again" in line for line in said.lines), 30, "the server is found")
    lns.wait_online(1, 60)


def test_a_user_who_is_online_stays_while_the_server_is_dead_and_he_is_challenged_again(world: World) -> None:
    host = world.namespaces["lns"]
    server = FreeRADIUS(host, USERS, configuration=CONFIGURATION)
    links = lns_links("mschapv2").replace("use_radius true", "use_radius true; chap_interval 2")
    links = links.replace('nas_identifier "lns"', 'nas_identifier "lns"; request_timeout 1')
    lns = Suite(host, lns_tunnels(), links.replace("address 127.0.0.1", "address 127.0.0.1; timeout 0.2"))
    lac = Suite(world.namespaces["lac"], lac_tunnels(("u1", "pw1")), lac_links("mschapv2"))
    (row,) = lns.wait_online(1)
    server.process.stop()
    said = lns.processes["propppd"]
    stays = "challenged again, and u1@example.com stays: no answer from RADIUS"
    wait_until(lambda: sum(stays in line for line in said.lines) >= 3, 40, "three challenges without an answer")
    (still,) = lns.online()
    assert (still["name"], still["user"]) == (row["name"], "u1@example.com")
    (theirs,) = lac.online()
    world.namespaces["lac"].ping("10.6.0.1", interface=str(theirs["interface"]))
    FreeRADIUS(host, USERS.replace('"pw1"', '"changed"'), configuration=CONFIGURATION)
    gone = "user u1@example.com refused: rejected by RADIUS server r1"
    wait_until(lambda: any(gone in line for line in said.lines), 40, "the server is there again and says no")
