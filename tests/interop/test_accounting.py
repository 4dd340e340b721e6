"""What FreeRADIUS writes down about users of our LNS."""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import USERS, lac_links, lac_tunnels, lns_links, lns_tunnels
from tests.netns import World, wait_until
from tests.peers import FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "tshark")]


def of(records: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    return [record for record in records if record["Acct-Status-Type"] == kind]


def test_start_updates_and_stop_of_a_user_are_in_the_detail_file_with_true_octets(world: World) -> None:
    host = world.namespaces["lns"]
    more = "Class = 0x303138,\n    Framed-IPv6-Prefix = 2001:db8:1::/64,\n    Session-Timeout"
    users = USERS.replace("Session-Timeout", more, 1)
    radius = FreeRADIUS(host, users, configuration=CONFIGURATION)
    links = lns_links("chap").replace("use_radius true", "use_radius true; interim_interval 2")
    links = links.replace("address 127.0.0.1", "address 127.0.0.1; timeout 20")
    lns = Suite(host, lns_tunnels(), links)
    lac = Suite(world.namespaces["lac"], lac_tunnels(("u1", "pw1"), ("u2", "pw2")), lac_links("chap"))
    lns.wait_online(2)
    rows = {str(row["user"]): row for row in lac.wait_online(2)}
    interface = str(rows["u1@example.com"]["interface"])
    world.namespaces["lac"].run("ping", "-c", "4", "-i", "0.1", "-s", "1000", "-I", interface, "10.6.0.1")

    def told(kind: str, count: int) -> bool:
        return len(of(radius.records(), kind)) >= count

    wait_until(lambda: told("Interim-Update", 4), 20, "updates")
    lac.stop()
    wait_until(lambda: told("Stop", 2), 20, "stops")
    wait_until(lambda: lns.json("propppctl", "status")["accounting_queue"]["depth"] == 0, 20, "all is acknowledged")
    counts = lns.json("propppctl", "status")
    lns.stop("propppd")
    wait_until(lambda: told("Accounting-Off", 1), 20, "the end")

    records = radius.records()
    assert [len(of(records, kind)) for kind in ("Accounting-On", "Start", "Stop", "Accounting-Off")] == [1, 2, 2, 1]
    assert records[0]["Acct-Status-Type"] == "Accounting-On" and records[-1]["Acct-Status-Type"] == "Accounting-Off"
    starts = {record["User-Name"]: record for record in of(records, "Start")}
    stops = {record["User-Name"]: record for record in of(records, "Stop")}
    assert starts["u1@example.com"]["Framed-IP-Address"] == "10.6.0.101"
    assert starts["u1@example.com"]["Class"] == "0x303138"
    for user, stop in stops.items():
        for name in ("Acct-Session-Id", "Framed-IP-Address", "NAS-Port", "NAS-Port-Id"):
            assert stop[name] == starts[user][name]
        assert (stop["Acct-Terminate-Cause"], stop["Acct-Authentic"]) == ("User-Request", "RADIUS")
    # four packets of 1028 octets and a PPP header of one to four, and what IPCP and IPv6CP take
    for way in ("Input", "Output"):
        pinged, idle = (int(stops[f"u{user}@example.com"][f"Acct-{way}-Octets"]) for user in (1, 2))
        assert 4 * 1029 <= pinged <= 4 * 1032 + 400 and idle < 400, (way, pinged, idle)
        packets, others = (int(stops[f"u{user}@example.com"][f"Acct-{way}-Packets"]) for user in (1, 2))
        assert packets >= 4 and others < packets
    updates = of(records, "Interim-Update")
    assert stops["u1@example.com"]["Framed-IPv6-Prefix"] == "2001:db8:1::/64"
    assert "Framed-IPv6-Prefix" not in stops["u2@example.com"]
    assert stops["u1@example.com"]["Tunnel-Client-Auth-Id:0"] == "lac"
    assert int(stops["u1@example.com"]["Acct-Tunnel-Connection"]) > 0
    said = counts["radius"]
    assert (said["accounting_starts"], said["accounting_stops"]) == (2, 2)
    assert said["accounting_updates"] == len(updates) and said["accounting_responses"] == len(records) - 1
