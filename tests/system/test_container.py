"""What runs in a container: all daemons that have a configuration, until one ends."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.daemons import BIN
from tests.netns import World, run, wait_until

ROOT = Path(__file__).parents[2]
START = ROOT / "etc/container"


@pytest.mark.root
@pytest.mark.parametrize("end", ["told", "one ends"])
def test_all_daemons_start_and_end_together(end):
    with World() as world:
        host = world.namespace("host")
        world.file("prol2tpd.conf", "system { listen 127.0.0.1:1701 }\n")
        configuration = world.file("propppd.conf", 'profile "users" { auth true }\n').parent
        env = os.environ | {"PROL2TP_CONFIG_DIR": str(configuration), "PROL2TP_RUN_DIR": str(world.path("run")),
                            "PROL2TP_STATE_DIR": str(world.path("state")), "PATH": f"{BIN}:{os.environ['PATH']}"}
        container = host.spawn(START, env=env)
        container.wait_for("connected to propppd")
        said = [line.split(maxsplit=5)[5] for line in container.lines if line.count(" ") > 4]
        lines = ["ProL2TP V", "  (c) Copyright", "lsnr: listening on IPv4 UDP socket 127.0.0.1/1701",
                 "router_id is not given", "L2TPv3 router-id 2130706433"]
        # among those of the other daemons
        places = [next(place for place, line in enumerate(said) if line.startswith(start.strip())) for start in lines]
        assert places == sorted(places)
        assert "listening on: 127.0.0.1:1701" in host.run(BIN / "prol2tp", "show", "system", env=env).stdout
        if end == "told":
            container.stop(seconds=20)
        else:
            pid = int(world.path("run", "propppd.pid").read_text())
            os.kill(pid, 15)
            container.popen.wait(20)
        wait_until(lambda: not host.pids(), 10, "no process is left")


def test_without_a_configuration_it_says_what_is_missing(tmp_path):
    done = run([START], env={"PROL2TP_CONFIG_DIR": str(tmp_path), "PATH": os.environ["PATH"]}, check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"no configuration in {tmp_path}")


def test_the_container_file_copies_what_exists_and_starts_it():
    text = (ROOT / "Containerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.M):
        assert (ROOT / source).exists(), source
    assert re.search(r'COPY etc/container (\S+)/(\S+)\n(?s:.*)CMD \["\2"\]', text)
