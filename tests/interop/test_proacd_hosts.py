"""Foreign programs on both sides of proacd: the hosts of pppd's and rp-pppoe's packages look for it and dial, and
xl2tpd is the LNS behind it. tshark judges both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from prol2tp.pppoe.packets import PADS, PADT, write
from tests.daemons import Suite
from tests.interop.conftest import BAD, LAC, LNS, dissect
from tests.netns import Capture, Namespace, World, wait_until
from tests.peers import Xl2tpd
from tests.pppoe_station import Loop, Station

pytestmark = [pytest.mark.root, pytest.mark.interop("pppoe", "xl2tpd", "tshark")]

PROACD = f"""
system {{ ac_name "our ac" }}
route "gold" {{
    source pppoe {{ interface access service gold silver }}
    destination l2tp {{ peer {LNS} secret "s3cret" idle_timeout 1 }}
}}
route "hidden" {{
    source pppoe {{ interface access service "test" hidden }}
    destination l2tp {{ peer {LNS} secret "s3cret" idle_timeout 1 }}
}}
"""
ROOM = 30
"""Seconds for a program that asks again only after some."""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        client, lac, lns = (made.namespace(name) for name in ("client", "lac", "lns"))
        made.cable(client, lac, [], [], device_two="access")
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        yield made


def pppoe(client: Namespace, *words: str) -> str:
    return client.run("pppoe", "-I", "eth0", *words, seconds=ROOM).stdout


def test_programs_of_others_find_proacd_and_reach_xl2tpd_through_it(world: World) -> None:
    client, lac, lns = (world.namespaces[name] for name in ("client", "lac", "lns"))
    captures = [Capture(host, "eth0", world.path(f"{host.name}.pcap")) for host in (client, lns)]
    Xl2tpd(lns, LNS, secret="s3cret", challenge=True)
    near = Suite(lac, 'system { hostname "lac" }\n', proacd=PROACD)
    near.processes["proacd"].wait_for("interface access: serving")
    mac = lac.run("cat", "/sys/class/net/access/address").stdout.strip()

    for found in (pppoe(client, "-A"),
                  client.run("pppoe-discovery", "-I", "eth0", "-a", "1", "-t", "2", "-W", "00112233445566",
                             seconds=ROOM).stdout):
        assert "Access-Concentrator: our ac" in found and mac in found.lower()
        assert re.findall(r"Service-Name: (\S+)", found) == ["gold", "silver"]

    sessions = {}
    for words in (("-S", "silver"), ("-S", "test", "-C", "our ac"), ("-W", "a-host-uniq-of-many-octets")):
        session_id, _, address = pppoe(client, "-d", *words).strip().splitlines()[-1].partition(":")
        assert address == mac
        sessions[int(session_id)] = words
    near.wait_established(3)
    routes = {row["source"]["session_id"]: row for row in near.json("proac_info", "-r")}
    assert routes.keys() == sessions.keys()
    assert [routes[number]["source"]["service_name"] for number in sessions] == ["silver", "test", "gold"]
    assert [routes[number]["source"]["advertised"] for number in sessions] == [True, False, True]

    # somebody else on the segment ends nothing
    counters = near.json("proac_info", "-s")["pppoe"]
    thief = Station(loop := Loop(), client, "eth0")
    ours, other = bytes.fromhex(mac.replace(":", "")), b"\x02\0\0\0\0\x66"
    for number in sessions:
        thief.port.send(write(PADT(ours, other, (), number)))
        thief.port.send(write(PADS(ours, other, (), number, (b"gold",))))
    loop.close()
    wait_until(lambda: near.json("proac_info", "-s")["pppoe"]["invalid_padt_received"]
               == counters["invalid_padt_received"] + 3, 10, "the packets of another host")
    assert len(near.established()) == 3

    for number in sessions:
        pppoe(client, "-k", "-e", f"{number}:{mac}")
    near.wait_gone()
    after = near.json("proac_info", "-s")
    assert after["routing"]["closed_by_source"] == 3 and after["routes"] == 0
    assert after["pppoe"]["padt_received"] == 6 and after["pppoe"]["padt_sent"] == 0
    assert (after["pppoe"]["invalid_padi_received"], after["pppoe"]["invalid_padr_received"]) == (0, 0)
    for capture, what in zip(captures, ("pppoed", "l2tp"), strict=True):
        path = str(capture.stop())
        assert dissect(path, what), "nothing was captured"
        bad = dissect(path, BAD)
        assert not bad, "\n".join(bad[:20])
