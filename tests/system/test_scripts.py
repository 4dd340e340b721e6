"""prol2tp-scriptd as prol2tpd starts it: scripts run, it comes back when it is killed, and hears the last events."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

SCRIPT = '#!/bin/sh\necho "$1 $NAME" >> "$(dirname "$0")/ran"\n'


def test_prol2tpd_starts_the_daemon_of_scripts_and_starts_it_again_when_it_is_killed():
    with World() as world:
        host = world.namespace("one")
        scripts = world.path("scripts")
        scripts.mkdir(exist_ok=True)
        for what in ("created", "up", "down", "deleted"):
            script = scripts / f"tunnel-{what}"
            script.write_text(SCRIPT)
            script.chmod(0o755)
        suite = Suite(host, f'system {{ listen 127.0.0.1:1701; script_dir "{scripts}" }}\n')

        def ran() -> list[str]:
            path = scripts / "ran"
            return path.read_text().splitlines() if path.exists() else []

        def shown_now() -> dict:
            # none while it is started anew
            return json.loads(suite.tool("prol2tp", "show", "scripts", "--json", check=False) or
                              '{"connected": [], "most": 0}')

        suite.tool("prol2tp", "create", "tunnel", "name", "t1", "peer", "127.0.0.9", "persist", "false")
        wait_until(lambda: "tunnel-created t1" in ran(), 20, "the script of t1")
        killed = int((suite.run_dir / "prol2tp-scriptd.pid").read_text())
        os.kill(killed, signal.SIGKILL)
        suite.tool("prol2tp", "create", "tunnel", "name", "t2", "peer", "127.0.0.9", "persist", "false")
        wait_until(lambda: "tunnel-created t2" in ran(), 20, "the script of t2, after it was killed")
        shown = suite.json("prol2tp", "show", "scripts")
        assert shown["lost"] == 0 and "prol2tpd" in shown["connected"]
        child = int((suite.run_dir / "prol2tp-scriptd.pid").read_text())
        assert child != killed
        # more of them at once: another run of it
        configuration = f'system {{ listen 127.0.0.1:1701; script_dir "{scripts}"; max_scripts 3; script_timeout 7 }}\n'
        suite.configure("prol2tpd", configuration)
        suite.tool("prol2tp", "reload")
        wait_until(lambda: "prol2tpd" in shown_now()["connected"] and shown_now()["most"] == 3, 20, "the new limits")
        assert shown_now()["timeout"] == 7
        child = int((suite.run_dir / "prol2tp-scriptd.pid").read_text())
        suite.stop("prol2tpd")
        wait_until(lambda: "tunnel-down t1" in ran() and "tunnel-down t2" in ran(), 5, "the last events")
        assert sorted(ran()) == sorted(set(ran()))
        assert not os.path.exists(f"/proc/{child}")
