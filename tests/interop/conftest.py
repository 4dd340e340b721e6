"""Two hosts on one cable, `lac` 10.99.0.2 and `lns` 10.99.0.1, and a capture that tshark judges afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns import Capture, World, run

LNS, LAC = "10.99.0.1", "10.99.0.2"
# 8388608: PI_ERROR; tshark has no expert items of its own for what it merely cannot name
BAD = "_ws.malformed || _ws.expert.severity >= 8388608"


def dissect(path: str, display_filter: str, *options: str) -> list[str]:
    # L2TP's data messages are dissected as PPP only on request
    words = ["tshark", "-n", "-r", path, "-Y", display_filter, *options]
    return [line for line in run(words, seconds=120).stdout.splitlines() if line.strip()]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Taken down after the test, however it ends; captures are dissected first."""
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        capture = Capture(lns, "eth0", made.path("capture.pcap"))
        yield made
        path = str(capture.stop())
        if not getattr(request.node, "passed", False):
            return
        assert dissect(path, "l2tp"), "nothing was captured"
        bad = dissect(path, BAD)
        assert not bad, "\n".join(bad[:20])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows the last words of every process."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call":
        item.passed = report.passed  # type: ignore[attr-defined]
    made = getattr(item, "funcargs", {}).get("world")
    if report.when == "call" and report.failed and isinstance(made, World):
        report.sections.append(("processes", made.report()))
