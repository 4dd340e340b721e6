"""The example `pppoe-radius` works as it stands, with FreeRADIUS configured by the snippets in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until
from tests.peers import RADIUSD, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius")]

EXAMPLES = Path(__file__).resolve().parents[2] / "etc" / "examples"
EXAMPLE = EXAMPLES / "pppoe-radius"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def configuration() -> str:
    """Braces are doubled in it."""
    clients, site = (path.read_text().replace("{", "{{").replace("}", "}}") for path in (
        EXAMPLE / "radius" / "freeradius-clients", EXAMPLES / "lns-radius" / "freeradius-site"))
    known = RADIUSD[RADIUSD.index("client localhost"):RADIUSD.index("server default")]
    text = RADIUSD.replace(known, clients)
    return text.replace("    preacct {{", f"    post-auth {{{{\n{site}    }}}}\n    preacct {{{{")


def test_users_go_where_radius_says_or_become_local_ppp(world: World) -> None:
    client, lac, lns, aaa = (world.namespace(name) for name in ("client", "lac", "lns", "aaa"))
    world.cable(client, lac, [], [], device_two="eth1")
    world.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"], device_one="core")
    world.cable(lac, aaa, ["10.98.0.2/24"], ["10.98.0.10/24"], device_one="mgmt")
    radius = FreeRADIUS(aaa, (EXAMPLE / "radius" / "freeradius-users").read_text(), "10.98.0.10",
                        configuration=configuration())
    at_lns = Suite(lns, (EXAMPLE / "lns" / "prol2tpd.conf").read_text(), (EXAMPLE / "lns" / "propppd.conf").read_text())
    at_lac = Suite(lac, *((EXAMPLE / "lac" / f"{name}.conf").read_text() for name in ("prol2tpd", "propppd")),
                   proacd=(EXAMPLE / "lac" / "proacd.conf").read_text())
    at_lac.processes["proacd"].wait_for("interface eth1: serving")
    profiles = "".join(f'profile "{user}" {{ user "{user}@example.com"; password "pw{user[1]}"; ipv6 false }}\n'
                       for user in ("u1", "u2", "u3"))
    hosts = Suite(client, "", profiles)
    for user in ("u1", "u2", "u3"):
        hosts.tool("propppctl", "create", "pppoe", "interface", "eth0", "profile", user)
    hosts.wait_online(2)

    assert [row["user"] for row in at_lns.wait_online(1)] == ["u1@example.com"]
    (local,) = at_lac.wait_online(1)
    assert local["user"] == "u2@example.com"
    assert "peer ip: 10.6.1.50" in at_lac.tool("propppctl", "show", str(local["name"]))
    routes = {row["user"]: row for row in at_lac.json("proac_info", "-r")}
    assert routes["u1@example.com"]["destination"]["peer"] == "10.99.0.1:1701"
    assert routes["u2@example.com"]["destination"]["ppp_profile"] == "users"
    text = at_lac.tool("proac_info", "-r")
    assert text.count("Destination: L2TP tunnel ") == text.count("Destination: PPP profile 'users' interface ppp") == 1
    counters = at_lac.tool("proac_info", "-s")
    radius_of = dict(re.findall(r"    (Successful requests|Failed requests|Server timeouts): (\d+)", counters))
    assert int(radius_of["Successful requests"]) == 2 and int(radius_of["Failed requests"]) >= 1
    assert "    Local pppd started: 1\n" in counters
    states = {row["name"]: row["state"] for row in at_lac.json("proac_info", "destinations")}
    assert states == {"10.99.0.1": "up"}

    def started() -> set[str]:
        return {record["User-Name"] for record in radius.records() if record["Acct-Status-Type"] == "Start"
                and "User-Name" in record}

    wait_until(lambda: started() >= {"u1@example.com", "u2@example.com"}, 20, "both are accounted for", every=0.2)
