"""The example of an LNS behind IPsec, with strongSwan at both ends: ESP goes over the cable, and L2TP in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Suite
from tests.kernel.charon import Charon
from tests.kernel.paths import on
from tests.netns import Capture, World, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop("charon-systemd", "strongswan-swanctl", "tshark"),
    # of the guests it is this one that has ESP
    pytest.mark.kernel("l2tp_ppp", "ppp", guests=("umldeb",)),
]

EXAMPLE = Path(__file__).resolve().parents[2] / "etc/examples/lns-ipsec"
LNS, HOST = "192.0.2.1", "192.0.2.77"
CONNECTION = """\
connections {{
    lns {{
        version = {ike}
        remote_addrs = {lns}
        proposals = aes256-sha256-modp2048
        local {{ auth = psk }}
        remote {{
            auth = psk
            id = {lns}
        }}
        children {{
            l2tp {{
                mode = transport
                local_ts = dynamic[udp]
                remote_ts = dynamic[udp/1701]
                esp_proposals = aes256-sha256
            }}
        }}
    }}
}}
secrets {{
    ike-lns {{ secret = "change me" }}
}}
"""
CLIENT = f"""
system {{ hostname "phone" }}
tunnel "office" {{ peer {LNS}
    session "u1" {{ ppp_profile "client"; user_name "u1"; user_password "pw1" }} }}
"""
PPP = 'profile "client" { auth false; allow_methods mschapv2 }\n'
PROTOCOLS = ["-T", "fields", "-e", "_ws.col.Protocol"]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        host, lns = made.namespace("host"), made.namespace("lns")
        made.cable(host, lns, [f"{HOST}/24"], [f"{LNS}/24"])
        yield made


@pytest.mark.parametrize(("ike", "path"), [(1, "user"), (2, "kernel")])
def test_a_host_is_online_through_ipsec(world: World, tmp_path: Path, ike: int, path: str) -> None:
    host, lns = world.namespaces["host"], world.namespaces["lns"]
    # at its own end only: what has come as ESP is seen again after decryption
    captures = [Capture(end, "eth0", tmp_path / f"{end.name}.pcap", f"src host {address}")
                for end, address in ((host, HOST), (lns, LNS))]  # fmt: skip
    gateway = Charon(lns, EXAMPLE / "strongswan-swanctl")
    (tmp_path / "swanctl.conf").write_text(CONNECTION.format(ike=ike, lns=LNS))
    Charon(host, tmp_path / "swanctl.conf").swanctl("--initiate", "--child", "l2tp")
    ours = Suite(lns, on(path, (EXAMPLE / "prol2tpd.conf").read_text()), (EXAMPLE / "propppd.conf").read_text())
    Suite(host, on(path, CLIENT), PPP)
    (row,) = ours.wait_online(1)
    assert row["user"] == "u1"
    ping = host.run("ping", "-n", "-c", "3", "-i", "0.2", "-s", "1300", "10.6.0.1").stdout
    assert " 3 received" in ping
    for capture in captures:
        seen = run(["tshark", "-n", "-r", str(capture.stop()), "-Y", "ip", *PROTOCOLS]).stdout.split()
        assert set(seen) == {"ISAKMP", "ESP"} and seen.count("ESP") > 10
    assert f"IKEv{ike}" in gateway.swanctl("--list-sas") and "TRANSPORT" in gateway.swanctl("--list-sas")
