"""A walled garden without RADIUS for logins: local users, sets of nftables, and a CoA that lets a user out."""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LNS
from tests.interop.test_radclient import SECRET, radclient
from tests.interop.test_radius_networks import elements, listed, routes
from tests.interop.test_radius_users import lac_links, lac_tunnels, lns_tunnels
from tests.netns import World, wait_until

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius-utils", "tshark")]

LINKS = f"""
profile "subscribers" {{
    auth true
    auth_methods chap
    local_ip 10.6.0.1
    ip_pool "pool"
    filter "garden"
    second_login preempt
    table 99
}}
ip_pool "pool" {{ range 10.6.0.100; next "more" }}
ip_pool "more" {{ prefix 10.8.0.0/30 }}
filter "gold" {{ rate_limit 50M/500M }}
filter "garden" {{ nft_set "inet fw garden" "inet fw names"; rate_limit 1M }}
user "u1@example.com" {{
    password "pw1"
    table 0
    route 192.0.2.0/24 via 10.6.0.100 metric 5
    port_limit 1
}}
user "u2@example.com" {{ password "pw2"; filter "gold"; routes 198.51.100.0/24 }}
radius {{
    nas_identifier "lns"
    dynamic_authorization {{ client "here" {{ network {LNS}; secret "{SECRET}" }} }}
}}
"""
RULES = """
table inet fw {
    set garden { type ipv4_addr; flags interval; }
    set names { type ifname; }
    chain input { type filter hook input priority 0; ip saddr @garden icmp type echo-request drop; }
}
"""


def test_a_user_is_let_out_of_the_garden_while_he_is_online(world: World) -> None:
    host, lac = world.namespaces["lns"], world.namespaces["lac"]
    rules = world.file("rules.nft", RULES)
    host.run("nft", "-f", rules)
    lns = Suite(host, lns_tunnels(), LINKS)
    theirs = Suite(lac, lac_tunnels(("u1", "pw1"), ("u2", "pw2")), lac_links("chap"))
    names = {str(row["user"])[:2]: (str(row["interface"]), str(row["name"])) for row in lns.wait_online(2)}
    devices = {str(row["user"])[:2]: str(row["interface"]) for row in theirs.wait_online(2)}
    (one, name), (two, _) = names["u1"], names["u2"]
    first = lns.json("propppctl", "show", name)
    address = str(first["ipcp"]["peer"])

    garden = [address, "192.0.2.0/24"]
    shown = [one["prefix"]["addr"] + "/24" if isinstance(one, dict) else one for one in elements(host, "garden")]
    assert shown == garden and elements(host, "names") == [one]
    assert first["network"]["filters"] == ["garden"] and first["network"]["routes"] == [
        "192.0.2.0/24 via 10.6.0.100 metric 5"]
    assert routes(host, "route")["192.0.2.0/24"] == (one, "10.6.0.100", 5)
    assert routes(host, "route", "show", "table", "99")["198.51.100.0/24"] == (two, "", 0)
    assert {str(rule["table"]) for rule in listed(host, "rule") if rule.get("iif") == two} == {"99"}
    blocked = ("ping", "-c", "1", "-W", "1", "-I", devices["u1"], "10.6.0.1")
    assert lac.run(*blocked, check=False).returncode == 1
    lac.ping("10.6.0.1", interface=devices["u2"])

    # somebody loads his rules anew
    host.run("nft", "flush", "ruleset")
    host.run("nft", "-f", rules)
    wait_until(lambda: elements(host, "names") == [one], 10, "the set is filled again")
    wait_until(lambda: len(elements(host, "garden")) == 2, 10, "the other one too")
    # somebody empties one
    host.run("nft", "flush", "set", "inet", "fw", "names")
    assert elements(host, "names") == []
    lns.tool("propppctl", "reload")
    wait_until(lambda: elements(host, "names") == [one], 10, "the set is filled again")
    assert lac.run(*blocked, check=False).returncode == 1

    said = radclient(lns, "coa", "User-Name=u1@example.com, Filter-Id=gold, Framed-Route=\"203.0.113.0/24 0.0.0.0 7\"")
    assert "Received CoA-ACK" in said
    wait_until(lambda: elements(host, "garden") == elements(host, "names") == [], 10, "u1 is out of the garden")
    lac.ping("10.6.0.1", interface=devices["u1"])
    wait_until(lambda: routes(host, "route").get("203.0.113.0/24") == (one, "", 7), 10, "the new route")
    assert "192.0.2.0/24" not in routes(host, "route")
    assert lns.json("propppctl", "show", name)["rate"]["down"] == 500_000_000

    pools = {row["name"]: (row["used"], row["free"]) for row in lns.json("propppctl", "pools")}
    assert pools == {"pool": (1, 0), "more": (1, 1)}
    assert "more" in lns.tool("propppctl", "pools")
    theirs.stop()
    wait_until(lambda: not lns.online(), 15, "all are gone")
    wait_until(lambda: [row["used"] for row in lns.json("propppctl", "pools")] == [0, 0], 10, "the pools are whole")
    assert not [rule for rule in listed(host, "rule") if "iif" in rule]
