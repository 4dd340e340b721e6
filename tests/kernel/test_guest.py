"""The guest that the other tests here run in is what they expect."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.kernel.features import FEATURES, missing
from tools.prepare import ROOT

pytestmark = pytest.mark.kernel()


def test_the_kernel_has_every_feature_that_a_test_can_ask_for() -> None:
    assert [name for name in FEATURES if name != "virtual_time" and missing(name)] == []


def test_ppp_can_be_opened() -> None:
    os.close(os.open("/dev/ppp", os.O_RDWR))


def test_temporary_directories_are_the_guests_own_and_the_project_is_there() -> None:
    mounts = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    assert [mounts.get(path) for path in ("/", "/tmp", "/run", "/dev/shm")] == ["overlay", *["tmpfs"] * 3]
    assert Path(__file__).is_relative_to(ROOT)


@pytest.mark.kernel("virtual_time", guests=("virtual",))
def test_an_hour_of_idle_time_passes_at_once() -> None:
    before = time.monotonic()
    time.sleep(3600)
    assert 3600 <= time.monotonic() - before < 3660
