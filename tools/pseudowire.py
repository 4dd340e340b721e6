"""The demo of L2TPv3: two LCCEs, an Ethernet pseudowire between their bridges, and a host behind each.

    host1 --- br0 (lcce1) === L2TPv3 over UDP === (lcce2) br0 --- host2
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from prepare import Problem, need_packages, need_root, need_venv, say, step

LCCES = ("lcce1", "lcce2")
HOSTS = ("host1", "host2")
ADDRESSES = {"lcce1": "10.99.1.1", "lcce2": "10.99.1.2", "host1": "192.168.50.1", "host2": "192.168.50.2"}
CIRCUIT = "demo-l2tpv3-eth-1"
PORT = 5001
OCTETS = 4 << 20

LCCE1 = """\
system { hostname "lcce1" }
tunnel "one" {
    peer 10.99.1.2
    version l2tpv3
    secret "s3cret"
    hide_avps true
    session "one" {
        pseudowire_type eth
        remote_end_id "demo-l2tpv3-eth-1"
        cookie_size 8
        data_sequencing all
        interface_name "l2tpeth0"
        bridge "br0"
    }
}
"""
LCCE2 = """\
system {
    hostname "lcce2"
    listen 10.99.1.2:1701
}
session profile "circuit" {
    remote_end_id "demo-l2tpv3-eth-1"
    pseudowire_type eth
    cookie_size 8
    data_sequencing all
    interface_name "l2tpeth0"
    bridge "br0"
}
tunnel profile "lcce1" {
    peer 10.99.1.0/24
    peer_hostname "lcce1"
    version l2tpv3
    secret "s3cret"
}
"""
RECEIVER = """\
import socket
listener = socket.create_server(("192.168.50.2", 5001))
print("ready", flush=True)
connection = listener.accept()[0]
total = 0
while data := connection.recv(1 << 16):
    total += len(data)
connection.sendall(str(total).encode())
connection.close()
"""
SENDER = """\
import socket
connection = socket.create_connection(("192.168.50.2", 5001), timeout=30)
connection.sendall(bytes({octets}))
connection.shutdown(socket.SHUT_WR)
print(connection.recv(100).decode())
"""


def build(demo: Any, command: Any) -> None:
    """The namespaces: a cable between the LCCEs, a bridge in each, a host behind it."""
    demo.configure({"lcce1/prol2tpd.conf": LCCE1, "lcce2/prol2tpd.conf": LCCE2})
    spaces = demo.namespaces
    command("ip", "link", "add", "eth0", "netns", spaces["lcce1"], "type", "veth",
            "peer", "name", "eth0", "netns", spaces["lcce2"])
    for lcce, host in zip(LCCES, HOSTS, strict=True):
        command("ip", "-n", spaces[lcce], "addr", "add", f"{ADDRESSES[lcce]}/24", "dev", "eth0")
        command("ip", "-n", spaces[lcce], "link", "set", "eth0", "up")
        command("ip", "-n", spaces[lcce], "link", "add", "br0", "type", "bridge")
        command("ip", "-n", spaces[lcce], "link", "set", "br0", "up")
        command("ip", "link", "add", "eth0", "netns", spaces[host], "type", "veth",
                "peer", "name", "eth1", "netns", spaces[lcce])
        command("ip", "-n", spaces[lcce], "link", "set", "eth1", "master", "br0", "up")
        command("ip", "-n", spaces[host], "addr", "add", f"{ADDRESSES[host]}/24", "dev", "eth0")
        command("ip", "-n", spaces[host], "link", "set", "eth0", "up")


def established(demo: Any, bin_directory: Path, rows: Any) -> bool:
    for lcce in LCCES:
        sessions = rows(demo.ask(bin_directory, lcce, "prol2tp show sessions"))
        if not any(row["state"] == "ESTABLISHED" and row["interface"] for row in sessions):
            return False
    return True


def across(demo: Any) -> dict[str, Any]:
    """What passes between the hosts: echoes, what they learnt by ARP, and a TCP stream."""
    inside = ["ip", "netns", "exec"]
    ping = subprocess.run([*inside, demo.namespaces["host1"], "ping", "-n", "-c", "3", "-i", "0.2", "-W", "3",
                           ADDRESSES["host2"]], capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    received = re.search(r"(\d+) received", ping.stdout)
    learnt = subprocess.run(["ip", "-n", demo.namespaces["host1"], "neigh", "show", ADDRESSES["host2"]],
                            capture_output=True, text=True, check=False)  # fmt: skip
    receiver = subprocess.Popen([*inside, demo.namespaces["host2"], "python3", "-c", RECEIVER],
                                stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        started = time.monotonic()
        sender = subprocess.run([*inside, demo.namespaces["host1"], "python3", "-c", SENDER.format(octets=OCTETS)],
                                capture_output=True, text=True, check=False, timeout=120)  # fmt: skip
        seconds = time.monotonic() - started
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            receiver.wait(10)
        receiver.kill()
        receiver.wait()
    octets = sender.stdout.strip()
    return {"sent": 3, "received": int(received[1]) if received else 0, "neighbour": learnt.stdout.strip(),
            "octets": int(octets) if octets.isdigit() else 0, "seconds": round(seconds, 2),
            "output": ping.stdout + sender.stderr}  # fmt: skip


def show(demo: Any, bin_directory: Path, rows: Any, as_json: bool) -> dict[str, object]:
    """The status commands of lcce1, as an operator would type them."""
    session = next(iter(rows(demo.ask(bin_directory, "lcce1", "prol2tp show sessions"))), {})
    tunnel_id, session_id = session.get("tunnel_id"), session.get("session_id")
    answers: dict[str, object] = {}
    for words in ("prol2tp show tunnels", f"prol2tp show tunnel id {tunnel_id}", "prol2tp show sessions",
                  f"prol2tp show session id {session_id} in tunnel id {tunnel_id} stats"):  # fmt: skip
        if as_json:
            answers[words] = demo.ask(bin_directory, "lcce1", words)
        else:
            done = demo.tool(bin_directory, "lcce1", words)
            print(f"\nroot@lcce1:~# {words}\n{done.stdout}{done.stderr}", end="", flush=True)
            answers[words] = done.stdout if done.returncode == 0 else None
        if answers[words] is None:
            raise Problem(f"{words}: no answer\n{demo.logs()}")
    return answers


def run(demo: Any, options: argparse.Namespace, command: Any, rows: Any) -> int:
    """The whole demo; `demo` has the namespaces' names and ends everything."""
    started = time.monotonic()
    need_root("the demo")
    need_packages(["iproute2", "iputils-ping"])
    demo.refuse_to_collide()
    bin_directory = need_venv()
    good = False
    try:
        with step(f"making the network namespaces {', '.join(demo.namespaces.values())}"):
            demo.make_namespaces()
            build(demo, command)
        with step("starting prol2tpd in lcce1 and lcce2"):
            for lcce in reversed(LCCES):
                demo.start(lcce, "prol2tp", "prol2tpd", bin_directory)
            demo.wait(lambda: all((demo.directory / lcce / "run" / "prol2tpd.sock").exists() for lcce in LCCES),
                      90, "the daemons' control sockets")  # fmt: skip
        with step("bringing the pseudowire up"):
            demo.wait(lambda: established(demo, bin_directory, rows), 30, "an established session")
        with step("sending through it"):
            found = across(demo)
        good = found["received"] == 3 and found["octets"] == OCTETS and "lladdr" in found["neighbour"]
        if not options.json:
            say(f"host1# ping {ADDRESSES['host2']}: {found['received']} of 3 received; ARP: {found['neighbour']}")
            say(f"host1# TCP to host2: {found['octets']} of {OCTETS} octets in {found['seconds']} s")
        answers = show(demo, bin_directory, rows, options.json)
        if options.json:
            print(json.dumps({"ok": good, "seconds": round(time.monotonic() - started, 1), "across": found,
                              "show": answers}, indent=2))  # fmt: skip
        if not good:
            raise Problem(f"something did not pass: {found}\n{demo.logs()}")
        say(f"\n{CIRCUIT} carries ARP, echoes and TCP between two bridges; {time.monotonic() - started:.0f} s in all.")
        if options.keep:
            demo.keep(bin_directory)
    finally:
        demo.finish(good and options.keep)
    return 0
