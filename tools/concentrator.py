"""The demo of the access concentrator: PPPoE users who reach an LNS by a route of the file, or by what RADIUS says.

    client === PPPoE === lac === L2TP === lns
                          |
                       radius
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from prepare import Problem, need_packages, need_root, need_venv, say, step

HOSTS = ("client", "lac", "lns", "radius")
ACCESS = "enp0s8"
PPP_ADDRESS = "10.5.1.1"
USERS = (("u1", "static", 1492), ("u2", "dynamic", 1492), ("u3", "dynamic", 1500))
"""User, Service-Name, MTU."""

LAC_PROL2TPD = """\
system {
    hostname "lac"
    deny_remote_tunnel_creates true
}
"""
LAC_PROACD = """\
system { ac_name "lac-1" }

interface enp0s8 { mtu 1508 }

profile radius "aaa" {
    server 10.98.0.10 secret "testing123"
    nas_identifier "lac-1"
    ask user
    auth_methods chap pap
    accounting sessions
}

route "r1" {
    source pppoe { interface enp0s8 service "static" }
    destination l2tp { peer 10.99.0.1 secret "s3cret" }
}

route "r2" {
    source pppoe { interface enp0s8 service "dynamic" }
    destination radius { profile "aaa" }
}
"""
LNS_PROL2TPD = """\
system {
    hostname "lns"
    listen 10.99.0.1:1701
}
pseudowire profile "ppp" {
    pseudowire_type ppp
    ppp_profile "subscribers"
    mtu 1500
}
session profile "homes" { pseudowire_profile "ppp" }
tunnel profile "access" {
    peer 10.99.0.0/24
    secret "s3cret"
    session_profile "homes"
}
"""
LNS_PROPPPD = """\
profile "subscribers" {
    auth true
    auth_methods chap pap
    proxy_lcp true
    proxy_auth true
    local_ip 10.5.1.1
    ip_pool "pool1"
    mtu 1500
    mru 1500
}
ip_pool "pool1" { range 10.5.1.100-10.5.1.199 }
user "u1@example.com" { password "pw1" }
user "u2@example.com" { password "pw2" }
user "u3@example.com" { password "pw3" }
"""
CLIENT_PROPPPD = """\
profile "dsl" { auth false; mtu 1500; mru 1500 }
"""
RADIUS_USERS = "".join(f"""\
u{number}@example.com Cleartext-Password := "pw{number}"
    Tunnel-Type:1 = L2TP,
    Tunnel-Medium-Type:1 = IPv4,
    Tunnel-Server-Endpoint:1 = "10.99.0.1",
    Tunnel-Password:1 = "s3cret",
    Tunnel-Assignment-Id:1 = "example.com"

""" for number in (2, 3))
RADIUSD = """\
prefix = /usr
libdir = /usr/lib/freeradius
name = demo
raddbdir = {dir}
run_dir = {dir}
logdir = {dir}
modules {{
    pap {{ }}
    chap {{ }}
    files {{
        usersfile = {dir}/users
    }}
    detail {{
        filename = {dir}/detail
    }}
}}
client lac {{
    ipaddr = 10.98.0.2
    secret = testing123
    require_message_authenticator = yes
}}
server default {{
    listen {{
        type = auth
        ipaddr = 10.98.0.10
        port = 1812
    }}
    listen {{
        type = acct
        ipaddr = 10.98.0.10
        port = 1813
    }}
    authorize {{
        update reply {{
            Message-Authenticator = 0x00
        }}
        chap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
    }}
    accounting {{
        detail
    }}
}}
"""


def build(demo: Any, command: Any) -> None:
    """Namespaces, cables, files."""
    spaces = demo.namespaces
    demo.configure({
        "lac/prol2tpd.conf": LAC_PROL2TPD, "lac/proacd.conf": LAC_PROACD, "lns/prol2tpd.conf": LNS_PROL2TPD,
        "lns/propppd.conf": LNS_PROPPPD, "client/propppd.conf": CLIENT_PROPPPD,
        "radius/radiusd.conf": RADIUSD.format(dir=demo.directory / "radius"), "radius/users": RADIUS_USERS,
        "radius/dictionary": "$INCLUDE /usr/share/freeradius/dictionary\n",
    })
    # (host, device, address), twice; octets: 1508 are PPPoE with 1500 of PPP, 1600 have room for L2TP around it
    for one, two, mtu in ((("client", "eth0", ""), ("lac", ACCESS, ""), 1508),
                          (("lac", "core", "10.99.0.2/24"), ("lns", "eth0", "10.99.0.1/24"), 1600),
                          (("lac", "aaa", "10.98.0.2/24"), ("radius", "eth0", "10.98.0.10/24"), 1500)):
        command("ip", "link", "add", one[1], "netns", spaces[one[0]], "mtu", str(mtu), "type", "veth", "peer", "name",
                two[1], "mtu", str(mtu), "netns", spaces[two[0]])
        for host, device, address in (one, two):
            if address:
                command("ip", "-n", spaces[host], "addr", "add", address, "dev", device)
            command("ip", "-n", spaces[host], "link", "set", device, "up")


def start(demo: Any, bin_directory: Path) -> None:
    radius = demo.directory / "radius"
    with open(radius / "freeradius.log", "wb") as output:
        demo.processes.append(subprocess.Popen(
            ["ip", "netns", "exec", demo.namespaces["radius"], "freeradius", "-f", "-d", str(radius), "-l", "stdout"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"))
    demo.processes[-1].args = ("radius", "freeradius")
    for host, plugin, daemon in (("lns", "proppp", "propppd"), ("lns", "prol2tp", "prol2tpd"),
                                 ("lac", "prol2tp", "prol2tpd"), ("lac", "proac", "proacd"),
                                 ("client", "proppp", "propppd")):
        demo.start(host, plugin, daemon, bin_directory)
    sockets = [demo.directory / host / "run" / f"{daemon}.sock" for host, daemon in (
        ("lns", "propppd"), ("lns", "prol2tpd"), ("lac", "prol2tpd"), ("lac", "proacd"), ("client", "propppd"))]
    demo.wait(lambda: all(path.exists() for path in sockets)
              and "Ready to process" in (radius / "freeradius.log").read_text(errors="replace"),
              90, "the daemons' control sockets")  # fmt: skip


def dial(demo: Any, bin_directory: Path) -> None:
    """The users' PPPoE sessions, each as `propppctl create` is typed."""
    for user, service, mtu in USERS:
        words = (f"propppctl create pppoe interface eth0 service {service} profile dsl user {user}@example.com"
                 f" password pw{user[1:]} mtu {mtu} mru {mtu}")
        done = demo.tool(bin_directory, "client", words)
        if done.returncode:
            raise Problem(f"{words}: {done.stderr.strip()}\n{demo.logs()}")


def pings(demo: Any, interface: str, mtu: int) -> dict[str, Any]:
    """Echoes of the largest packet, which may not be cut, through one user's session."""
    done = subprocess.run(["ip", "netns", "exec", demo.namespaces["client"], "ping", "-n", "-M", "do", "-c", "3", "-i",
                           "0.2", "-W", "2", "-s", str(mtu - 28), "-I", interface, PPP_ADDRESS],
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    received = re.search(r"(\d+) received", done.stdout)
    times = re.search(r"= [\d.]+/([\d.]+)/", done.stdout)
    return {"octets": mtu, "sent": 3, "received": int(received[1]) if received else 0,
            "average_ms": float(times[1]) if times else None, "output": done.stdout + done.stderr}  # fmt: skip


def show(demo: Any, bin_directory: Path, as_json: bool) -> dict[str, object]:
    """The status commands, as operators of both hosts would type them."""
    answers: dict[str, object] = {}
    for host, words in (("lac", "proac_info -s"), ("lac", "proac_info -r"), ("lac", "prol2tp show tunnels"),
                        ("lac", "prol2tp show sessions"), ("lns", "prol2tp show sessions"), ("lns", "propppctl list")):
        if as_json:
            answers[f"{host}: {words}"] = demo.ask(bin_directory, host, words)
            good = answers[f"{host}: {words}"] is not None
        else:
            done = demo.tool(bin_directory, host, words)
            print(f"\nroot@{host}:~# {words}\n{done.stdout}{done.stderr}", end="", flush=True)
            good = done.returncode == 0
        if not good:
            raise Problem(f"{words}: no answer\n{demo.logs()}")
    return answers


def run(demo: Any, options: argparse.Namespace, command: Any, rows: Any, up: Any) -> int:
    """The whole demo; `demo` has the namespaces' names and ends everything."""
    started = time.monotonic()
    need_root("the demo")
    need_packages(["iproute2", "iputils-ping", "freeradius"])
    demo.refuse_to_collide()
    bin_directory = need_venv()
    good = False
    try:
        with step(f"making the network namespaces {', '.join(demo.namespaces.values())}"):
            demo.make_namespaces()
            build(demo, command)
        with step("starting FreeRADIUS, and the daemons in lns, lac and client"):
            start(demo, bin_directory)

        def online(host: str) -> dict[str, dict[str, Any]]:
            return {row["user"]: row for row in rows(demo.ask(bin_directory, host, "propppctl list")) if up(row)}

        with step(f"bringing {len(USERS)} users up"):
            dial(demo, bin_directory)
            demo.wait(lambda: len(online("client")) == len(online("lns")) == len(USERS), 30, f"{len(USERS)} users up")
        clients = online("client")
        with step("pinging with the largest packets"):
            found = {user: pings(demo, clients[f"{user}@example.com"]["interface"], mtu) for user, _, mtu in USERS}
        good = all(ping["received"] == ping["sent"] for ping in found.values())
        if not options.json:
            for user, service, _ in USERS:
                ping = found[user]
                print(f"{user}, service {service}: {ping['received']} of 3 echoes of {ping['octets']} octets,"
                      f" average {ping['average_ms']} ms")
        answers = show(demo, bin_directory, options.json)
        if options.json:
            print(json.dumps({
                "ok": good, "seconds": round(time.monotonic() - started, 1), "users": list(online("lns").values()),
                "pings": {user: {key: value for key, value in ping.items() if key != "output"}
                          for user, ping in found.items()},
                "show": answers}, indent=2))  # fmt: skip
        if not good:
            raise Problem("\n".join(ping["output"] for ping in found.values()) + demo.logs())
        say(f"\n{len(USERS)} PPPoE users online at the LNS, large packets whole; "
            f"{time.monotonic() - started:.0f} s in all.")  # fmt: skip
        if options.keep:
            demo.keep(bin_directory)
    finally:
        demo.finish(good and options.keep)
    return 0
