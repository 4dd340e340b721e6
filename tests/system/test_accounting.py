"""No accounting record is lost: 500 users, a server that is away for a minute, a propppd that is killed meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius")]

LNS, LAC = "10.99.0.1", "10.99.0.2"
USERS = 500
PINGERS = range(1, 9)
AWAY = 60.0
"""Seconds that the server for accounting is away."""
TUNNELS = f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "lac1" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""
LINKS = f"""
profile "subscribers" {{
    auth true
    auth_methods chap
    use_radius true
    ipv6 false
    local_ip 10.6.0.1
    ip_pool "users"
    interface shared
    interim_interval 15
}}
ip_pool "users" {{ prefix 10.6.0.0/16 }}
radius {{
    nas_identifier "lns"
    server "logins" {{ address 127.0.0.1; acct_port 0; secret "{RADIUS_SECRET}"; require_message_authenticator false }}
    server "records" {{ address 127.0.0.2; auth_port 0; secret "{RADIUS_SECRET}"; status_interval 1 }}
}}
"""
CLIENT = 'profile "client" { auth false; allow_methods chap; ipv6 false }\n'
Record = Mapping[str, str]


def calls() -> str:
    rows = "".join(
        f'session "u{n}" {{ pseudowire_type ppp; ppp_profile "client"; user_name "u{n}"; user_password "pw"; '
        f'interface_name "u{n}" }}\n' for n in range(1, USERS + 1))
    return f'system {{ hostname "lac" }}\ntunnel "one" {{ peer {LNS}\n{rows} }}\n'


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        yield made


def ping(world: World, size: int) -> None:
    """Five packets from each of some users, and their answers."""
    for n in PINGERS:
        words = ["ping", "-c", "5", "-i", "0.02", "-W", "5", "-s", str(size), "-I", f"u{n}", "10.6.0.1"]
        world.namespaces["lac"].run(*words)


def without_doubles(records: Sequence[Record]) -> dict[str, dict[str, list[Record]]]:
    """By session and status, doubles dropped as a server would: by Acct-Session-Id and Event-Timestamp."""
    sessions: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    seen = set()
    for record in records:
        status = record["Acct-Status-Type"]
        mark = record["Acct-Session-Id"], status, record["Event-Timestamp"]
        if mark not in seen and not status.startswith("Accounting-"):
            seen.add(mark)
            sessions[record["Acct-Session-Id"]][status].append(record)
    return sessions


def queue(lns: Suite) -> Mapping[str, float]:
    return lns.json("propppctl", "status")["accounting_queue"]


def octets(lns: Suite) -> dict[str, tuple[int, int]]:
    """What the data path has counted of each pinging user's port: from him, to him."""
    found = {}
    for row in lns.online():
        if row["user"] in {f"u{n}" for n in PINGERS}:
            tunnel, _, session = str(row["id"]).partition("/")
            words = ["session", "id", session, "in", "tunnel", "id", tunnel, "stats"]
            stats = lns.json("prol2tp", "show", *words)["stats"]
            found[str(row["user"])] = stats["rx_octets"], stats["tx_octets"]
    return found


def test_no_record_of_500_users_is_lost_while_the_server_is_away_and_propppd_is_killed(world: World) -> None:
    host = world.namespaces["lns"]
    users = "".join(f'u{n} Cleartext-Password := "pw"\n    Class = 0x{n:04x}\n' for n in range(1, USERS + 1))
    FreeRADIUS(host, users)
    server = FreeRADIUS(host, "", "127.0.0.2")
    lns = Suite(host, TUNNELS, LINKS)
    lac = Suite(world.namespaces["lac"], calls(), CLIENT)
    lns.wait_online(USERS, 120)
    lac.wait_online(USERS, 120)
    ping(world, 1000)

    server.stop()
    away = time.monotonic()
    victims = [str(row["name"]) for row in lns.online() if int(str(row["user"])[1:]) > USERS - 10]
    for name in victims:
        lns.tool("propppctl", "destroy", name)
    ping(world, 1000)
    wait_until(lambda: queue(lns)["waiting"] > USERS / 2, 30, "records wait for the server")
    lns.wait_online(USERS, 60)
    waiting = queue(lns)["depth"]
    first_run = lns.json("propppctl", "status")["events"]

    process = lns.processes.pop("propppd")
    os.kill(process.pid, signal.SIGKILL)
    process.popen.wait()
    # the data path goes on meanwhile, and all of it counts
    ping(world, 200)
    lns.start("propppd")
    lns.processes["propppd"].wait_for("sessions of a former run got their Stop", 60)
    lns.wait_online(USERS, 120)
    ping(world, 1000)
    assert queue(lns)["depth"] >= waiting + USERS, "the Stops of the first run, the Starts of the second"

    time.sleep(max(0.0, away + AWAY - time.monotonic()))
    server.start()
    wait_until(lambda: queue(lns)["depth"] == 0, 60, "all has been sent")
    counted = octets(lns)
    lac.stop()
    wait_until(lambda: not lns.online(), 30, "nobody is online")
    second_run = lns.json("propppctl", "status")["events"]
    lns.stop("propppd")

    records = server.records()
    sessions = without_doubles(records)
    of_nas = [record["Acct-Status-Type"] for record in records if record["Acct-Status-Type"].startswith("Accounting-")]
    assert list(dict.fromkeys(of_nas)) == ["Accounting-On", "Accounting-Off"] and len(of_nas) >= 3
    assert len(sessions) == first_run["up"] + second_run["up"] >= 2 * USERS
    wrong = {name: {status: len(found) for status, found in one.items()} for name, one in sessions.items()
             if len(one["Start"]) != 1 or len(one["Stop"]) != 1}
    assert wrong == {}

    of_user: dict[str, list[Record]] = defaultdict(list)
    causes: dict[str, int] = defaultdict(int)
    for one in sessions.values():
        start, stop = one["Start"][0], one["Stop"][0]
        assert all(stop[name] == start[name] for name in ("User-Name", "Class", "Framed-IP-Address", "NAS-Port-Id"))
        assert int(stop["Class"], 16) == int(stop["User-Name"][1:])
        updates = [int(update["Acct-Input-Octets"]) for update in one["Interim-Update"]]
        assert updates == sorted(updates) and int(stop["Acct-Input-Octets"]) >= max(updates, default=0)
        of_user[stop["User-Name"]].append(stop)
        causes[stop["Acct-Terminate-Cause"]] += 1
    assert len(of_user) == USERS and min(map(len, of_user.values())) >= 2
    assert causes["NAS-Reboot"] == first_run["up"] - first_run["down"] and causes["Admin-Reset"] == len(victims)
    assert sum(causes.values()) == len(sessions)

    for n in PINGERS:
        stops = of_user[f"u{n}"]
        assert len(stops) == 2
        for way, total in zip(("Input", "Output"), counted[f"u{n}"], strict=True):
            told = sum(int(stop[f"Acct-{way}-Octets"]) for stop in stops)
            # fifteen of 1028 octets, five of 228, with a PPP header of one to four; what is missing is LCP and CHAP
            assert 15 * 1029 + 5 * 229 <= told <= total + 200 and total - told < 600, (n, way, told, total)
