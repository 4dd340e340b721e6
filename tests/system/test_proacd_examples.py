"""The examples of the access concentrator, run as they stand in etc/examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import BIN, Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

EXAMPLES = Path(__file__).resolve().parents[2] / "etc" / "examples"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def text(*names: str) -> str:
    return EXAMPLES.joinpath(*names).read_text()


def test_pppoe_subscribers_reach_an_lns_of_the_file_and_proac_info_says_so(world: World) -> None:
    client, lac, lns = (world.namespace(name) for name in ("client", "lac", "lns"))
    world.cable(client, lac, ["10.97.0.1/24"], ["10.97.0.2/24"], device_two="eth1", mtu=1508)
    world.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"], device_one="core", mtu=1600)
    at_lns = Suite(lns, text("pppoe-static", "lns", "prol2tpd.conf"), text("pppoe-static", "lns", "propppd.conf"))
    at_lac = Suite(lac, text("pppoe-static", "lac", "prol2tpd.conf"),
                   proacd=text("pppoe-static", "lac", "proacd.conf"))
    at_lac.processes["proacd"].wait_for("interface eth1: serving")
    hosts = Suite(client, 'system { hostname "client" }', text("pppoe-static", "client", "propppd.conf"))
    words = re.findall(r"propppctl (create .*)", text("pppoe-static", "client", "propppd.conf"))[0].split()
    at_lac.tool("proac_info", "trace", "on", "interface", "eth1")
    hosts.tool("propppctl", *words)
    hosts.wait_online(1)
    assert at_lns.wait_online(1)[0]["user"] == "u1@example.com"
    client.ping("10.5.1.1", interface="ppp0")

    (session,) = at_lac.established()
    shown = at_lac.tool("proac_info", "-r").splitlines()
    mac = client.run("cat", "/sys/class/net/eth0/address").stdout.strip().upper()
    assert re.fullmatch(r"Route 'homes' \d+:", shown[0])
    assert re.fullmatch(r"    Source     : PPPoE interface eth1 session \d+", shown[1])
    assert shown[2:] == [
        "                 service name 'internet' (advertised)",
        f"                 peer MAC {mac}",
        f"    Destination: L2TP tunnel {session['tunnel_id']} session {session['session_id']}",
    ]
    number = shown[0].split()[-1].rstrip(":")
    assert at_lac.tool("proac_info", "-r", number).splitlines() == shown
    assert at_lac.tool("proac_info", "-r", "homes").splitlines() == shown
    counters = at_lac.tool("proac_info", "-s")
    for line in ("Routes created: 1", "PADS sent: 1", "Tunnels opened: 1", "Sessions opened: 1", "PADT sent: 0"):
        assert f"    {line}\n" in counters
    assert "receive PADI" in at_lac.tool("proac_info", "trace", "dump", "mac", mac)

    assert at_lac.tool("proac_info", "reload").strip() == "nothing changed"
    at_lac.configure("proacd", text("pppoe-static", "lac", "proacd.conf") + "route")
    refused = lac.run(BIN / "proac_info", "--run-dir", at_lac.run_dir, "reload", check=False)
    assert refused.returncode == 1
    assert re.fullmatch(r"proac_info: \S+/proacd\.conf:\d+:1: route has no {; .*\n", refused.stderr)
    assert at_lac.tool("proac_info", "-r").splitlines() == shown
    assert at_lac.tool("proac_info", "close", number).strip() == "1 route closed"
    wait_until(lambda: not at_lac.tool("proac_info", "-r"), 10, "no route is left", every=0.2)
    wait_until(lambda: not at_lns.sessions(), 10, "no session at the LNS", every=0.2)


def test_a_tunnel_switch_passes_sessions_of_a_lac_on(world: World) -> None:
    lac, switch, lns = (world.namespace(name) for name in ("lac", "switch", "lns"))
    world.cable(lac, switch, ["10.99.0.9/24"], ["10.99.0.1/24"], device_two="lacs")
    world.cable(switch, lns, ["10.98.0.9/24"], ["10.98.0.1/24"], device_one="core")
    at_lns = Suite(lns, text("tunnel-switch", "lns", "prol2tpd.conf"), text("tunnel-switch", "lns", "propppd.conf"))
    at_switch = Suite(switch, text("tunnel-switch", "switch", "prol2tpd.conf"),
                      proacd=text("tunnel-switch", "switch", "proacd.conf"))
    at_lac = Suite(lac, text("tunnel-switch", "lac", "prol2tpd.conf"), text("tunnel-switch", "lac", "propppd.conf"))
    at_lac.wait_online(1)
    assert at_lns.wait_online(1)[0]["user"] == "u1@example.com"
    lac.ping("10.5.1.1", interface="ppp0")
    (route,) = at_switch.json("proac_info", "-r")
    tunnels = {row["tunnel_id"]: row["session_id"] for row in at_switch.established()}
    assert len(tunnels) == 2
    for end in ("source", "destination"):
        assert tunnels[route[end]["tunnel_id"]] == route[end]["session_id"]
    assert route["source"]["tunnel_profile"] == "lacs" and route["destination"]["peer"] == "10.98.0.1:1701"
    at_switch.tool("proac_info", "close", "wholesale")
    at_switch.processes["proacd"].wait_for("administrative request")
