"""radclient of FreeRADIUS ends and changes users of our LNS."""

from __future__ import annotations

import re
import signal

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LNS
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import lac_links, lac_tunnels, lns_tunnels
from tests.netns import Failed, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius-utils", "tshark")]

SECRET, WRONG = "f0r-us-alone", "n0t-that-0ne"
USERS = (("u1", "pw1"), ("u2", "pw2"))


def links(more: str = "") -> str:
    users = "".join(f'user "{name}@example.com" {{ password "{password}" }}\n' for name, password in USERS)
    return f"""
profile "subscribers" {{ auth true; auth_methods chap; local_ip 10.6.0.1; ip_pool "pool" }}
ip_pool "pool" {{ range 10.6.0.100-10.6.0.109 }}
{users}
radius {{
    nas_identifier "lns"
    dynamic_authorization {{
        {more}
        client "here" {{ network {LNS}; secret "{SECRET}" }}
        client "loop" {{ network 127.0.0.0/8; secret "{SECRET}"; require_message_authenticator true }}
    }}
}}
"""


@pytest.fixture
def suites(world: World) -> tuple[Suite, Suite]:
    lns = Suite(world.namespaces["lns"], lns_tunnels(), links())
    lac = Suite(world.namespaces["lac"], lac_tunnels(*USERS), lac_links("chap"))
    lns.wait_online(2)
    lac.wait_online(2)
    return lns, lac


def radclient(lns: Suite, kind: str, query: str, *, to: str = LNS, secret: str = SECRET, tries: int = 3) -> str:
    """What radclient says about its request and the answer."""
    path = lns.host.world.file("query", query.replace(", ", "\n") + "\n")
    words = ["radclient", "-x", "-r", str(tries), "-t", "2", "-f", path, f"{to}:3799", kind, secret]
    done = lns.host.run(*words, check=False)
    return done.stdout + done.stderr


def test_a_user_is_disconnected_and_the_other_stays(suites: tuple[Suite, Suite]) -> None:
    lns, lac = suites
    (row,) = [row for row in lns.online() if row["user"] == "u1@example.com"]
    said = radclient(lns, "disconnect", "User-Name=u1@example.com, NAS-Identifier=lns")
    assert "Received Disconnect-ACK" in said
    wait_until(lambda: str(row["name"]) not in [str(one["name"]) for one in lns.links()], 15, "the link is gone")
    assert "u2@example.com" in [one["user"] for one in lns.online()]
    line = f"Disconnect from {LNS}: {row['name']}, user u1@example.com: it ends"
    lns.processes["propppd"].wait_for(line)
    lns.processes["propppd"].wait_for(f"{row['name']}: ended: Admin Reset")
    said = radclient(lns, "disconnect", "Framed-IP-Address=10.6.0.99")
    assert "Received Disconnect-NAK" in said and "Error-Cause = Session-Context-Not-Found" in said
    said = radclient(lns, "disconnect", "User-Name=u2@example.com, NAS-Identifier=another")
    assert "Error-Cause = NAS-Identification-Mismatch" in said
    shown = lns.tool("propppctl", "status")
    assert "  disconnect requests: 3, responses: 3" in shown


def test_timeouts_change_while_a_user_is_online(suites: tuple[Suite, Suite]) -> None:
    lns, _ = suites
    said = radclient(lns, "coa", "User-Name=u1@example.com, Session-Timeout=2, Message-Authenticator=0x00",
                     to="127.0.0.1")
    assert "Received CoA-ACK" in said
    lns.processes["propppd"].wait_for("ended: Session Timeout .*, user u1@example.com")
    said = radclient(lns, "coa", "User-Name=u2@example.com, Framed-MTU=1200")
    assert "Received CoA-NAK" in said and "Error-Cause = Unsupported-Attribute" in said
    counts = lns.json("propppctl", "status")["radius"]
    assert (counts["coa_requests"], counts["coa_responses"], counts["disconnect_requests"]) == (2, 2, 0)


def test_who_does_not_know_the_secret_or_the_address_gets_no_answer(suites: tuple[Suite, Suite]) -> None:
    lns, lac = suites
    said = radclient(lns, "disconnect", "User-Name=u1@example.com", secret=WRONG, tries=2)
    assert "Received" not in said
    said = radclient(lac, "disconnect", "User-Name=u1@example.com", tries=1)
    assert "Received" not in said
    # not signed, where that is demanded
    said = radclient(lns, "disconnect", "User-Name=u1@example.com", to="127.0.0.1", tries=1)
    assert "Received" not in said
    # a request that was recorded half an hour ago
    said = radclient(lns, "disconnect", 'User-Name=u1@example.com, Event-Timestamp="Jan 1 2020 00:00:00 UTC"', tries=1)
    assert "Received" not in said
    assert len(lns.online()) == 2
    assert lns.json("propppctl", "status")["radius"]["dynamic_discards"] == 5
    log = lns.processes["propppd"].output
    assert log.count("dropped: not signed with the secret of this client") == 1
    assert f"Disconnect or CoA from {LNS.rpartition('.')[0]}.2 dropped: it is not in the network of any client" in log
    assert "dropped: no Message-Authenticator" in log
    assert "dropped: Event-Timestamp is missing or too far from our clock" in log
    assert SECRET not in log and WRONG not in log


def test_a_reload_changes_who_may_ask(suites: tuple[Suite, Suite]) -> None:
    lns, _ = suites
    lns.configure("propppd", links("several_sessions refuse; address 127.0.0.1").replace(SECRET, WRONG))
    assert "dynamic_authorization: 1 changed, client: 2 changed" in lns.tool("propppctl", "reload")
    query = "NAS-Identifier=lns, NAS-IP-Address=127.0.0.1, Called-Station-Id=1, Message-Authenticator=0x00"
    said = radclient(lns, "disconnect", query, to="127.0.0.1", secret=WRONG)
    assert "Received Disconnect-NAK" in said
    said = radclient(lns, "disconnect", "User-Name=u1@example.com", tries=1)
    assert "Received" not in said
    broken = links().replace("network", "netwrok")
    lns.configure("propppd", broken)
    with pytest.raises(Failed, match="has no network"):
        lns.tool("propppctl", "reload")


def classes(lns: Suite, device: str) -> list[str]:
    """Rates of the HTB classes of a device, as tc(8) writes them."""
    shown = lns.host.run("tc", "class", "show", "dev", device).stdout
    return re.findall(r"^class htb .* rate (\S+) ceil", shown, re.M)


def test_rate_limits_are_set_changed_by_coa_and_go_with_the_user(world: World) -> None:
    limited = links().replace("auth true;", "auth true; rate_limit 4M/8M;") + 'filter "slow" { rate_limit 64k/128k }\n'
    lns = Suite(world.namespaces["lns"], lns_tunnels(), limited)
    lac = Suite(world.namespaces["lac"], lac_tunnels(*USERS), lac_links("chap"))
    lns.wait_online(2)
    rows = {str(row["user"]): str(row["interface"]) for row in lns.online()}
    device = rows["u1@example.com"]
    index = lns.host.run("cat", f"/sys/class/net/{device}/ifindex").stdout.strip()
    wait_until(lambda: f"pifb{index}" in lns.host.interfaces(), 10, "the ifb device")
    assert (classes(lns, device), classes(lns, f"pifb{index}")) == (["8Mbit"], ["4Mbit"])
    assert "Egress Redirect" in lns.host.run("tc", "filter", "show", "dev", device, "parent", "ffff:").stdout
    # packets pass both ways through what was set up
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.6.0.1", interface=str(row["interface"]))
    sent = lns.host.run("tc", "-s", "class", "show", "dev", f"pifb{index}").stdout
    assert int(re.search(r"Sent \d+ bytes (\d+) pkt", sent)[1]) >= 3  # type: ignore[index]

    said = radclient(lns, "coa", "User-Name=u1@example.com, WISPr-Bandwidth-Max-Down=32000000, Ascend-Data-Rate=512000")
    assert "Received CoA-ACK" in said, said
    # set when the answer comes, and the class is the same one
    assert (classes(lns, device), classes(lns, f"pifb{index}")) == (["32Mbit"], ["512Kbit"])
    (name,) = [row["name"] for row in lns.online() if row["user"] == "u1@example.com"]
    assert " rate:\n  up: 512k, by tc\n  down: 32M, by tc\n" in lns.tool("propppctl", "show", name)
    said = radclient(lns, "coa", "User-Name=u2@example.com, Filter-Id=slow")
    assert "Received CoA-ACK" in said, said
    assert classes(lns, rows["u2@example.com"]) == ["128Kbit"]
    status = lns.tool("propppctl", "status")
    assert "Rate limits:\n  links: 2, failures: 0\n  kernel: to users by htb and from users by htb" in status

    said = radclient(lns, "disconnect", "User-Name=u1@example.com")
    assert "Received Disconnect-ACK" in said, said
    wait_until(lambda: f"pifb{index}" not in lns.host.interfaces(), 20, "the ifb device goes with the user")

    # nothing is left of a daemon that was killed, once its successor is there
    lns.processes["propppd"].stop(signal.SIGKILL)
    assert any(one.startswith("pifb") for one in lns.host.interfaces())
    lac.stop()
    lns.start("propppd")
    wait_until(lambda: not any(one.startswith("pifb") for one in lns.host.interfaces()), 30, "the devices are gone")


def test_users_of_a_shared_interface_are_limited_by_the_data_path(world: World) -> None:
    limited = links().replace("auth true;", "auth true; interface shared; rate_limit 4M/64k;")
    lns = Suite(world.namespaces["lns"], lns_tunnels(), limited)
    lac = Suite(world.namespaces["lac"], lac_tunnels(*USERS), lac_links("chap"))
    (name, *_) = [row["name"] for row in lns.wait_online(2) if row["user"] == "u1@example.com"]
    shown = lns.json("propppctl", "show", str(name))
    assert shown["rate"] == {"up": 4_000_000, "up_by": "path", "down": 64_000, "down_by": "path"}
    said = radclient(lns, "coa", "User-Name=u1@example.com, Mikrotik-Rate-Limit=1M/2M")
    assert "Received CoA-ACK" in said, said
    assert lns.json("propppctl", "show", str(name))["rate"]["down"] == 2_000_000
    assert not any(one.startswith("pifb") for one in lns.host.interfaces())
    lac.stop()
    lns.wait_gone()


ACCEPTED = """\
u1@example.com Cleartext-Password := "pw1"
    Mikrotik-Rate-Limit = "1M/2M",
    Class = 0x6f6c64,
    Framed-Route = "192.0.2.0/24 0.0.0.0 1"
"""


@pytest.mark.interop("freeradius", "freeradius-utils", "tshark")
def test_what_freeradius_gave_is_changed_by_radclient_and_told_in_accounting(world: World) -> None:
    host = world.namespaces["lns"]
    server = FreeRADIUS(host, ACCEPTED, configuration=CONFIGURATION)
    text = links().replace("auth true;", "auth true; use_radius true;", 1).replace('user "u1', 'user "nobody')
    text = text.replace("radius {", f'radius {{\n    server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}" }}')
    lns = Suite(host, lns_tunnels(), text)
    Suite(world.namespaces["lac"], lac_tunnels(USERS[0]), lac_links("chap"))
    (row,) = lns.wait_online(1)
    device = str(row["interface"])
    wait_until(lambda: classes(lns, device) == ["2Mbit"], 10, "the limit of the Access-Accept")
    wait_until(lambda: "Class = 0x6f6c64" in server.detail.read_text(), 20, "the Start")
    # the first one is that of Accounting-On
    session = re.findall(r'Acct-Session-Id = "(\S+)"', server.detail.read_text())[-1]

    query = (f"Acct-Session-Id={session}, NAS-Identifier=lns, Class=0x6e6577, Mikrotik-Rate-Limit=3M/4M, "
             "Framed-Route=198.51.100.0/24")
    said = radclient(lns, "coa", query)
    assert "Received CoA-ACK" in said, said
    assert classes(lns, device) == ["4Mbit"]
    routes = host.run("ip", "route").stdout
    assert f"198.51.100.0/24 dev {device}" in routes and "192.0.2.0/24" not in routes
    assert "Received Disconnect-ACK" in radclient(lns, "disconnect", f"Acct-Session-Id={session}")
    wait_until(lambda: "Acct-Terminate-Cause = Admin-Reset" in server.detail.read_text(), 20, "the Stop")
    records = server.detail.read_text().split("\n\n")
    (stop,) = [one for one in records if "Admin-Reset" in one]
    assert "Class = 0x6e6577" in stop and "0x6f6c64" not in stop
