"""PPP through rp-pppoe in user space, both ways: its session frames and its asynchronous framing against ours.

rp-pppoe's `pppoe` stands between a pty, on which it speaks the framing of RFC 1662, and a PPPoE session.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tty
from collections.abc import Iterator

import pytest

from tests.daemons import BIN, Suite
from tests.interop.conftest import BAD, dissect
from tests.netns import Capture, World, wait_until
from tests.pppoe_server import PPPoEServer

pytestmark = [pytest.mark.root, pytest.mark.interop("pppoe", "tshark")]

PPPD = """#!{python}
import os, signal, subprocess, sys, tty
words = sys.argv[1:]
master, slave = os.openpty()
tty.setraw(slave)
child = subprocess.Popen(words[words.index("pty") + 1], shell=True, stdin=master, stdout=master, start_new_session=True)
os.close(master)
signal.signal(signal.SIGTERM, lambda *_: os.killpg(child.pid, signal.SIGTERM))
subprocess.run(["{tool}", "--run-dir", "{run_dir}", "create", "tty", os.ttyname(slave), "local", "profile", "bras"])
child.wait()
"""
"""What pppoe-server takes for pppd: it gives the pty to the propppd of its host."""
BRAS = """
profile "bras" { auth true; auth_methods chap; local_ip 10.8.0.1; peer_ip 10.8.0.2; mru 1492; ipv6 false }
user "u1" { password "pw1" }
"""
CLIENT = 'profile "dsl" { user "u1"; password "pw1"; mru 1492; ipv6 false }'


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def check(capture: Capture) -> None:
    path = str(capture.stop())
    assert dissect(path, "pppoed") and dissect(path, "pppoes")
    bad = dissect(path, BAD)
    assert not bad, "\n".join(bad[:20])


def test_our_pppoe_link_reaches_our_tty_link_through_their_server(world: World) -> None:
    ours, theirs = world.namespace("ours"), world.namespace("theirs")
    world.cable(ours, theirs, [], [])
    capture = Capture(ours, "eth0", world.path("pppoe.pcap"))
    near, far = Suite(ours, "", CLIENT), Suite(theirs, "", BRAS)
    pppd = world.file("pppd", PPPD.format(python=sys.executable, tool=BIN / "propppctl", run_dir=far.run_dir), 0o755)
    server = theirs.spawn("pppoe-server", "-F", "-I", "eth0", "-C", "their ac", "-q", pppd)
    near.tool("propppctl", "create", "pppoe", "interface", "eth0", "ac", "their ac", "profile", "dsl")
    near.wait_online(1)
    far.wait_online(1)
    ours.ping("10.8.0.1", interface="ppp0")
    ours.ping("10.8.0.1", interface="ppp0", size=1464)
    record = near.json("propppctl", "show", "session-1")
    assert (record["pppoe"]["ac_name"], record["mtu"]) == ("their ac", 1492)
    line = far.json("propppctl", "show", "session-1")
    assert line["tty"]["device"].startswith("/dev/pts/") and line["tty"]["bad_frames"] == 0
    near.tool("propppctl", "destroy", "session-1")
    wait_until(lambda: not near.links() and not far.links(), 20, "no link is left", every=0.2)
    assert server.running()
    check(capture)


def test_our_tty_link_reaches_our_access_concentrator_through_their_client(world: World) -> None:
    ours, theirs = world.namespace("ours"), world.namespace("theirs")
    world.cable(ours, theirs, [], [])
    capture = Capture(ours, "eth0", world.path("pppoe.pcap"))
    server = PPPoEServer(ours, "eth0", {"u1": "pw1"}, asyncmap=None, accomp=False, pcomp=False)
    master, slave = os.openpty()
    tty.setraw(slave)
    client: subprocess.Popen[bytes] | None = None
    try:
        near = Suite(theirs, "", CLIENT)
        client = subprocess.Popen(theirs.argv("pppoe", "-I", "eth0", "-S", "gold"), stdin=master, stdout=master)
        near.tool("propppctl", "create", "tty", os.ttyname(slave), "local", "default-asyncmap", "noaccomp", "nopcomp",
                  "profile", "dsl")
        near.wait_online(1)
        theirs.ping("10.9.0.1", interface="ppp0")
        theirs.ping("10.9.0.1", interface="ppp0", size=1464)
        assert near.json("propppctl", "show", "session-1")["tty"]["send_accm"] == 0xFFFFFFFF
        assert max(server.pings) == 1492
        (key,) = server.links
        server.do(lambda: server.core.close_session(key, 0.0))
        client.wait(10)
        os.close(master)
        master = -1
        near.processes["propppd"].wait_for(r"ended: Lost Carrier \(hang-up\)")
    finally:
        server.stop()
        if client is not None and client.poll() is None:
            client.kill()
            client.wait()
        for descriptor in (master, slave):
            if descriptor >= 0:
                os.close(descriptor)
    check(capture)
