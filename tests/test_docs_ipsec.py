"""The example of an LNS behind IPsec: its parts fit each other. tests/kernel/test_ipsec.py runs it."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from prol2tp.config import prol2tpd, propppd
from tests.netns import World

EXAMPLE = Path(__file__).resolve().parent.parent / "etc/examples/lns-ipsec"


def swanctl(text: str) -> dict[str, Any]:
    """Sections and `key = value` lines, with nothing else in between."""
    root: dict[str, Any] = {}
    stack = [root]
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"([\w.-]+) \{", line):
            assert match[1] not in stack[-1], number
            stack.append(stack[-1].setdefault(match[1], {}))
        elif line == "}":
            stack.pop()
            assert stack, number
        else:
            key, equals, value = line.partition(" = ")
            assert equals and re.fullmatch(r"\w+", key) and key not in stack[-1], number
            stack[-1][key] = value.strip('"')
    assert stack == [root]
    return root


def test_ipsec_protects_what_prol2tpd_listens_on() -> None:
    connection = swanctl((EXAMPLE / "strongswan-swanctl").read_text())["connections"]["l2tp"]
    child = connection["children"]["l2tp"]
    config = prol2tpd.load((EXAMPLE / "prol2tpd.conf").read_text(), "prol2tpd.conf")
    (listen,) = config.system.listen
    assert str(listen) == f"{connection['local_addrs']}:{child['local_ts'].partition('/')[2].rstrip(']')}"
    assert (child["mode"], connection["local"]["id"]) == ("transport", connection["local_addrs"])
    profile = prol2tpd.match_tunnel_profile(config, "198.51.100.7", "phone")
    assert profile is not None and profile.reply_port == "same"
    links = propppd.load((EXAMPLE / "propppd.conf").read_text(), "propppd.conf").profiles[profile.session.ppp_profile]
    assert links.auth and links.mtu < 1400


def test_nftables_keeps_out_the_same_port() -> None:
    rules = (EXAMPLE / "nftables").read_text()
    assert "udp dport 1701 meta ipsec missing drop" in rules


@pytest.mark.root
def test_nftables_drops_l2tp_that_did_not_come_through_ipsec() -> None:
    assert shutil.which("nft"), "nftables is not installed"
    with World() as world:
        host, lns = world.namespace("host"), world.namespace("lns")
        world.cable(host, lns, ["192.0.2.77/24"], ["192.0.2.1/24"])
        lns.run("nft", "-f", EXAMPLE / "nftables")
        with lns.socket() as l2tp, lns.socket() as other, host.socket() as sender:
            l2tp.bind(("192.0.2.1", 1701))
            other.bind(("192.0.2.1", 1702))
            other.settimeout(10)
            sender.sendto(b"in the clear", ("192.0.2.1", 1701))
            sender.sendto(b"after it", ("192.0.2.1", 1702))
            assert other.recv(100) == b"after it"
            with pytest.raises(BlockingIOError):
                l2tp.recv(100, socket.MSG_DONTWAIT)
