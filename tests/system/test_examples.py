"""The examples of an LNS with its client, and of a bridge between two sites, run as they stand in etc/examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

EXAMPLES = Path(__file__).resolve().parents[2] / "etc" / "examples"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def text(*names: str) -> str:
    return EXAMPLES.joinpath(*names).read_text()


def test_the_client_keeps_its_tunnel_to_the_lns_up(world: World) -> None:
    lac, lns = world.namespace("lac"), world.namespace("lns")
    world.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"])
    server = Suite(lns, text("lns", "prol2tpd.conf"), text("lns", "propppd.conf"))
    client = Suite(lac, text("lac-client", "prol2tpd.conf"), text("lac-client", "propppd.conf"))
    client.wait_online(1)
    (link,) = server.wait_online(1)
    assert link["user"] == "u1@example.com"
    lac.ping("10.5.1.1", interface="ppp0")
    assert f"dev {link['interface']}" in lns.run("ip", "route", "show").stdout
    server.tool("propppctl", "destroy", link["name"])
    wait_until(lambda: {row["name"] for row in server.online()} - {link["name"]}, 20, "the client has dialled again")
    assert "destroyed by management" in client.tool("prol2tp", "show", "history")


def test_a_bridge_of_two_sites_carries_ethernet(world: World) -> None:
    here, there = world.namespace("site1"), world.namespace("site2")
    world.cable(here, there, ["198.51.100.1/24"], ["198.51.100.2/24"])
    for host, address in ((here, "192.168.7.1/24"), (there, "192.168.7.2/24")):
        host.run("ip", "link", "add", "br0", "type", "bridge")
        host.run("ip", "link", "set", "br0", "up")
        host.run("ip", "address", "add", address, "dev", "br0")
    one = text("lcce", "prol2tpd.conf")
    ends = [Suite(here, one), Suite(there, one.replace("198.51.100.2", "198.51.100.1").replace("site1", "site2"))]
    for end in ends:
        assert end.wait_established(1)[0]["identifier"] == "office-lan"
    wait_until(lambda: "l2tpeth0" in here.run("bridge", "link", "show").stdout, 10, "l2tpeth0 is a port of br0")
    ping = ("ping", "-n", "-c", "1", "-W", "2", "192.168.7.2")
    wait_until(lambda: "1 received" in here.run(*ping, check=False).stdout, 20, "a ping through both bridges")
