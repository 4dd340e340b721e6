"""The example `lns-radius` works as it stands, with FreeRADIUS configured by the snippets in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until
from tests.peers import RADIUSD, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "tshark")]

EXAMPLES = Path(__file__).resolve().parents[2] / "etc" / "examples"
LNS = EXAMPLES / "lns-radius"


def snippet(name: str) -> str:
    """For a configuration that braces are doubled in."""
    return (LNS / name).read_text().replace("{", "{{").replace("}", "}}")


def configuration() -> str:
    client = RADIUSD[RADIUSD.index("client localhost"):RADIUSD.index("server default")]
    text = RADIUSD.replace(client, snippet("freeradius-clients"))
    return text.replace("    preacct {{", f"    post-auth {{{{\n{snippet('freeradius-site')}    }}}}\n    preacct {{{{")


def test_a_newcomer_gets_a_user_online_by_the_example(world: World) -> None:
    host, aaa = world.namespaces["lns"], world.namespace("aaa")
    world.cable(host, aaa, ["10.98.0.1/24"], ["10.98.0.10/24"], device_one="eth1")
    FreeRADIUS(aaa, (LNS / "freeradius-users").read_text(), "10.98.0.10", configuration=configuration())
    lns = Suite(host, (LNS / "prol2tpd.conf").read_text(), (LNS / "propppd.conf").read_text())
    client = EXAMPLES / "lac-client"
    lac_tunnels = (client / "prol2tpd.conf").read_text()
    lac = Suite(world.namespaces["lac"], lac_tunnels, (client / "propppd.conf").read_text())
    (row,) = lns.wait_online(1)
    assert row["user"] == "u1@example.com"
    assert "peer ip: 10.5.1.50" in lns.tool("propppctl", "show", str(row["name"]))
    assert "192.0.2.0/24" in host.run("ip", "route").stdout
    (mine,) = lac.wait_online(1)
    world.namespaces["lac"].ping("10.5.1.1", interface=str(mine["interface"]))

    (told,) = re.findall(r"echo \S+ \| radclient .*", (LNS / "propppd.conf").read_text())
    aaa.run("sh", "-c", told)
    lns.processes["propppd"].wait_for("ended: Admin Reset .*, user u1@example.com")

    lac.stop()
    lac.configure("prol2tpd", lac_tunnels.replace("u1@", "u3@"))
    for daemon in ("propppd", "prol2tpd"):
        lac.start(daemon)
    refused = "user u3@example.com refused: rejected by RADIUS server r1"
    said = lns.processes["propppd"]
    wait_until(lambda: any(refused in line for line in said.lines), 30, "the user who did not pay is refused")
    assert lns.json("propppctl", "servers")[0]["alive"] is True
