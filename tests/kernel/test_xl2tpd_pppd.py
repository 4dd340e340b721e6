"""xl2tpd and pppd, with the kernel's L2TP and PPP, as client of our LNS and as LNS of our client."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.kernel.paths import on
from tests.kernel.peers import Xl2tpd
from tests.kernel.streams import stream
from tests.netns import Capture, World, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop("xl2tpd", "ppp"),
    pytest.mark.kernel("l2tp_ppp", "ppp", "ppp_mppe"),
]

USER = ("u1@example.com", "pw1")
SERVER = f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "lac1" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""
SUBSCRIBERS = f"""
profile "subscribers" {{ local_ip 10.5.1.1; ip_pool "pool1"; lcp_echo_interval 5; %s }}
ip_pool "pool1" {{ range 10.5.1.100-10.5.1.199 }}
user "{USER[0]}" {{ password "{USER[1]}" }}
"""
CLIENT = f"""
system {{ hostname "lac" }}
tunnel "one" {{ peer {LNS}
    session "u1" {{ ppp_profile "client"; user_name "{USER[0]}"; user_password "{USER[1]}" }} }}
"""
WAYS = pytest.mark.parametrize(
    ("path", "method", "mppe"),
    [("user", "chap", False), ("kernel", "chap", False), ("kernel", "mschapv2", True)],
)
REQUIRE = {"chap": "require-chap", "mschapv2": "require-mschap-v2"}
ENCRYPTED = ["require-mppe-128"]
WORDS = "nobody-may-read-"
"""16 octets that every echo carries again and again."""


def exchange(world: World, address: str, peer_address: str, captured: Path, mppe: bool) -> None:
    """Echoes and streams both ways, in the clear on the cable unless they are encrypted."""
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    capture = Capture(lns, "eth0", captured)
    words = [
        "ping",
        "-n",
        "-c",
        "3",
        "-i",
        "0.2",
        "-W",
        "3",
        "-s",
        "1300",
        "-p",
        WORDS.encode().hex(),
        address,
    ]
    assert " 3 received" in lac.run(*words, check=False).stdout
    seen = capture.stop().read_bytes()
    assert (WORDS.encode() in seen) is not mppe
    assert len(seen) > 6 * 1300
    stream(lac, lns, address)
    stream(lns, lac, peer_address)


@WAYS
def test_pppd_as_client_is_online_through_xl2tpd_and_our_lns(
    world: World, path: str, method: str, mppe: bool, tmp_path: Path
) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    wanted = f"auth true; auth_methods {method}; mppe_required {str(mppe).lower()}"
    ours = Suite(lns, on(path, SERVER), SUBSCRIBERS % wanted)
    options = ["noauth", f"name {USER[0]}", *(ENCRYPTED if mppe else [])]
    peer = Xl2tpd(lac, LAC, lns=LNS, options=options, users=[USER])
    (row,) = ours.wait_online(1)
    assert row["user"] == USER[0]
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    exchange(world, "10.5.1.1", "10.5.1.100", tmp_path / "cable.pcap", mppe)
    peer.process.stop()
    ours.wait_gone()
    wait_until(lambda: not ours.links(), 15, "the link is gone")


@WAYS
def test_our_client_is_online_through_xl2tpd_and_pppd(
    world: World, path: str, method: str, mppe: bool, tmp_path: Path
) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    options = ["auth", REQUIRE[method], "name lns", *(ENCRYPTED if mppe else [])]
    peer = Xl2tpd(lns, LNS, options=options, users=[USER])
    client = f'profile "client" {{ auth false; allow_methods {method}; mppe_required {str(mppe).lower()} }}'
    ours = Suite(lac, on(path, CLIENT), client)
    ours.wait_online(1)
    wait_until(peer.interfaces, 10, "pppd's interface has its address")
    exchange(world, "10.7.0.1", "10.7.0.10", tmp_path / "cable.pcap", mppe)
    ours.tool("prol2tp", "destroy", "tunnel", "name", "one")
    peer.process.wait_for("Connection closed", 15)
    wait_until(lambda: not peer.interfaces(), 15, "pppd has ended")


def test_users_come_back_after_the_data_path_was_killed(world: World) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    far = Suite(lns, on("kernel", SERVER), SUBSCRIBERS % "auth true; auth_methods chap; rate_limit 5M/10M")
    dialling = CLIENT.replace(f"peer {LNS}", f"peer {LNS}; hello_timeout 2; max_retries 2")
    near = Suite(lac, on("kernel", dialling), 'profile "client" { auth false }')
    far.wait_online(1)
    near.wait_online(1)
    before, tables = lns.interfaces(), lns.run("nft", "list", "tables").stdout
    (pathd,) = (pid for pid in lns.pids() if Path(f"/proc/{pid}/comm").read_text() == "prol2tp-pathd\n")
    os.kill(pathd, signal.SIGKILL)
    far.processes["propppd"].wait_for("all links end")
    far.wait_online(1, 60)
    near.wait_online(1)
    lac.ping("10.5.1.1")
    assert len(lns.run("ip", "l2tp", "show", "session").stdout.split("Session ")) == 2
    assert len(lns.interfaces()) == len(before)
    assert lns.run("nft", "list", "tables").stdout == tables
