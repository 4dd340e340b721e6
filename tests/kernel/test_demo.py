"""tools/demo with the kernel's data path."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.kernel.paths import PATHS
from tests.netns import run
from tools.prepare import ROOT

pytestmark = [pytest.mark.root, pytest.mark.kernel("l2tp", "l2tp_ppp", "l2tp_eth", "ppp")]


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    return run([ROOT / "tools" / "demo", "--suffix", f".k{os.getpid()}", *words], seconds=120)


@PATHS
def test_users_are_online_and_every_ping_comes_back(path: str) -> None:
    told = json.loads(demo("--json", "--data-path", path).stdout)
    assert told["ok"] is True
    assert [ping["received"] for ping in told["pings"].values()] == [3] * 3
    assert told["show"]["prol2tp show system"]["data_path"] == path


@PATHS
def test_ethernet_passes_between_two_bridges(path: str) -> None:
    told = json.loads(demo("--l2tpv3", "--json", "--data-path", path).stdout)
    assert told["ok"] is True
    assert told["across"]["received"] == 3
    assert "lladdr" in told["across"]["neighbour"]


@PATHS
def test_users_of_an_access_concentrator_are_online(path: str) -> None:
    told = json.loads(demo("--pppoe", "--json", "--data-path", path).stdout)
    assert told["ok"] is True
