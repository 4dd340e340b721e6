"""Watching a user come and go on whole daemons: trace, watch tools, history, what a reload would do."""

from __future__ import annotations

import json
import signal

import pytest
from scapy.utils import RawPcapNgReader

from tests.daemons import BIN, Suite
from tests.netns import World, wait_until
from tests.system.test_suite import CLIENT, LAC, LNS, SUBSCRIBERS, client, server

pytestmark = pytest.mark.root


def test_a_user_is_followed_watched_and_remembered():
    with World() as world:
        lac, lns = world.namespace("lac"), world.namespace("lns")
        world.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        ours = Suite(lns, server(), SUBSCRIBERS.format(extra=""))
        packets = world.path("lns", "trace.pcapng")
        options = ("--run-dir", ours.run_dir)
        trace = lns.spawn(BIN / "prol2tp", *options, "trace", "user", "u1@example.com", "into", packets)
        watch = lns.spawn(BIN / "prol2tpwatch", *options, "-v", "-t", "up,down")
        links = lns.spawn(BIN / "propppwatch", *options, "--json", "-n", "8")
        wait_until(packets.exists, 20, "the trace")
        theirs = Suite(lac, client(2), CLIENT.format(extra=""))
        ours.wait_online(2)
        (link,) = (row for row in ours.links() if row["user"] == "u1@example.com")
        theirs.configure("prol2tpd", client(1))
        told = theirs.tool("prol2tp", "reload", "--dry-run")
        assert 'ENDS        session "one" "u2" removed: it is no longer in the file' in told
        assert len(ours.online()) == 2
        ours.tool("propppctl", "destroy", link["name"])
        watch.wait_for("SESSION DOWN")
        trace.wait_for("session-deleted")

        def remembered() -> list[dict[str, object]]:
            return json.loads(ours.tool("propppctl", "--json", "history", "u1@example.com"))

        (end, *_) = wait_until(remembered, 10, "the history of the user")
        assert (end["cause"], end["acct_terminate_cause"], end["message"]) == (
            "Admin Reset", 6, "destroyed by management")
        assert end["counters"] and end["address"]
        sessions = ours.json("prol2tp", "show", "history", "user", "u1@example.com")
        assert sessions[0]["cause"] == "Admin Reset" and "destroyed by management" in sessions[0]["reason"]
        assert "destroyed by management" in ours.tool("prol2tp", "show", "history")
        text = trace.output
        assert "propppd session-" in text and "LCP Configure-Request" in text and "send CDN" in text
        assert "u2@example.com" not in text and "pw1" not in text
        trace.stop(signal.SIGINT)
        kinds = {meta.linktype for _, meta in RawPcapNgReader(str(packets))}
        assert kinds == {9, 101} and b"pw1" not in packets.read_bytes()
        assert "TUNNEL UP: handle=" in watch.output and "interface='ppp" in watch.output
        ours.stop("prol2tpd")
        wait_until(lambda: not watch.running(), 10, "the watch tool ends with its daemon")
        links.stop()
        assert '"link-created"' in links.output
        # it is there after a restart
        ours.start("prol2tpd")
        wait_until((ours.run_dir / "prol2tpd.sock").exists, 20, "prol2tpd again")
        kept = ours.json("prol2tp", "show", "history", "user", "u1@example.com")
        assert kept[-1] == sessions[-1]
