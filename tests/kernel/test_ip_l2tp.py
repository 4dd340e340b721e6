"""Static L2TPv3 sessions that `ip l2tp` made in the kernel, against ours: Ethernet over UDP and over IP, cookies of
both lengths, with and without the sublayer."""

from __future__ import annotations

import pytest

from tests.daemons import Suite
from tests.interop.conftest import LAC, LNS
from tests.kernel.paths import PATHS, on
from tests.kernel.streams import stream
from tests.netns import World

pytestmark = [pytest.mark.root, pytest.mark.kernel("l2tp", "l2tp_eth", "l2tp_ip")]

OURS = """
system {{ hostname "ours"; deny_remote_tunnel_creates true }}
tunnel "s" {{
    static true
    encap {encap}
    local {ours}
    peer {theirs}
    tunnel_id 3000; peer_tunnel_id 4000
    session "w" {{
        pseudowire_type eth; interface_name "eth-c1"
        session_id 30; peer_session_id 40
        {cookies}
        l2_sublayer {sublayer}
    }}
}}
"""
SHORT, LONG = "01020304", "1112131415161718"


def kernel_session(world: World, encap: str, cookie: str, peer_cookie: str, sublayer: str) -> None:
    host = world.namespaces["lac"]
    ports = "udp_sport 5000 udp_dport 5001" if encap == "udp" else ""
    host.run(*f"ip l2tp add tunnel tunnel_id 4000 peer_tunnel_id 3000 encap {encap} local {LAC} remote {LNS} "
             f"{ports}".split())  # fmt: skip
    cookies = f"cookie {cookie} peer_cookie {peer_cookie}" if cookie else ""
    host.run(*f"ip l2tp add session name eth-c1 tunnel_id 4000 session_id 40 peer_session_id 30 {cookies} "
             f"l2spec_type {sublayer}".split())  # fmt: skip


@pytest.mark.parametrize(
    ("path", "encap", "cookie", "peer_cookie", "sublayer"),
    [("kernel", "udp", SHORT, LONG, "none"), ("kernel", "ip", LONG, SHORT, "default"),
     ("user", "udp", LONG, SHORT, "default"), ("user", "ip", "", "", "none")],
)  # fmt: skip
def test_ethernet_passes_to_a_static_session_of_the_kernel(
    world: World, path: str, encap: str, cookie: str, peer_cookie: str, sublayer: str
) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    kernel_session(world, encap, cookie, peer_cookie, sublayer)
    port = (
        {"ours": f"{LNS}:5001", "theirs": f"{LAC}:5000"} if encap == "udp" else {"ours": LNS, "theirs": LAC}
    )
    # what one end puts before its frames the other end expects
    cookies = f"cookie hex:{cookie}; peer_cookie hex:{peer_cookie}" if cookie else ""
    text = OURS.format(encap=encap, cookies=cookies, sublayer=str(sublayer == "default").lower(), **port)
    ours = Suite(lns, on(path, text))
    ours.wait_established(1)
    for host, address in ((lac, "192.168.9.1/24"), (lns, "192.168.9.2/24")):
        host.address("eth-c1", address)
        host.run("ip", "link", "set", "eth-c1", "up")
    lac.ping("192.168.9.2")
    lac.ping("192.168.9.2", size=1400)
    stream(lac, lns, "192.168.9.2")
    stream(lns, lac, "192.168.9.1")


@PATHS
def test_frames_with_another_cookie_do_not_pass(world: World, path: str) -> None:
    lac, lns = world.namespaces["lac"], world.namespaces["lns"]
    kernel_session(world, "udp", LONG, LONG, "default")
    wrong = f"cookie hex:{LONG[:-2]}ff; peer_cookie hex:{LONG}"
    ours = Suite(lns, on(path, OURS.format(encap="udp", ours=f"{LNS}:5001", theirs=f"{LAC}:5000", cookies=wrong,
                                           sublayer="true")))  # fmt: skip
    ours.wait_established(1)
    for host, address in ((lac, "192.168.9.1/24"), (lns, "192.168.9.2/24")):
        host.address("eth-c1", address)
        host.run("ip", "link", "set", "eth-c1", "up")
    done = lac.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "192.168.9.2", check=False)
    assert " 0 received" in done.stdout
    assert int(lac.run("cat", "/sys/class/net/eth-c1/statistics/tx_packets").stdout) > 0
    words = ["prol2tp", "show", "session", "id", "30", "in", "tunnel", "id", "3000", "stats"]
    assert ours.json(*words)["stats"]["rx_packets"] == 0
