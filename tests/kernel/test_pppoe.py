"""pppd with the kernel's PPPoE as client of our access concentrator, which takes it to an LNS by L2TP or serves it
itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.kernel.paths import PATHS, on
from tests.kernel.peers import PppoeClient
from tests.kernel.streams import stream
from tests.netns import World, wait_until
from tests.system.test_proacd import LAC_L2TP, LAC_PPP, LNS_L2TP, LNS_PPP, PAYLOAD, PROACD

pytestmark = [pytest.mark.root, pytest.mark.interop("ppp"), pytest.mark.kernel("pppoe", "ppp", "l2tp_ppp")]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        client, lac, lns = (made.namespace(name) for name in ("client", "lac", "lns"))
        made.cable(client, lac, ["10.98.0.1/24"], ["10.98.0.2/24"], device_two="access", mtu=PAYLOAD)
        made.cable(lac, lns, ["10.99.0.2/24"], ["10.99.0.1/24"], device_one="core", mtu=1600)
        yield made


@PATHS
def test_pppd_is_online_at_the_lns_through_our_access_concentrator(world: World, path: str) -> None:
    client, lns = world.namespaces["client"], world.namespaces["lns"]
    far = Suite(lns, on(path, LNS_L2TP), LNS_PPP)
    lac = Suite(world.namespaces["lac"], on(path, LAC_L2TP), LAC_PPP, proacd=PROACD)
    lac.processes["proacd"].wait_for("interface access: serving")
    peer = PppoeClient(client, service="static")
    (row,) = far.wait_online(1)
    assert row["user"] == "u1"
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    client.ping("10.5.0.1")
    client.ping("10.5.0.1", size=1464)
    stream(client, lns, "10.5.0.1")
    stream(lns, client, "10.5.0.100")
    peer.process.stop()
    wait_until(lambda: not far.sessions() and not lac.sessions(), 10, "no session is left")


@PATHS
def test_pppd_is_online_at_our_access_concentrator_itself(world: World, path: str) -> None:
    client, host = world.namespaces["client"], world.namespaces["lac"]
    lac = Suite(host, on(path, LAC_L2TP), LAC_PPP, proacd=PROACD)
    lac.processes["proacd"].wait_for("interface access: serving")
    peer = PppoeClient(client, service="local")
    (row,) = lac.wait_online(1)
    assert row["user"] == "u1"
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    client.ping("10.6.0.1")
    stream(client, host, "10.6.0.1")
    stream(host, client, "10.6.0.100")
    lac.tool("propppctl", "destroy", row["name"])
    peer.process.wait_for("Modem hangup|LCP terminated by peer", 15)
    wait_until(lambda: not lac.links(), 10, "no link is left")
