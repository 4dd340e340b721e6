"""What every test run shares: which tests this machine can run, and that CI runs all of them.

A test that needs root or a foreign peer is skipped on a machine without, with the reason. Where `CI` is `true`
a skipped test is a failure: nothing may go unseen there. Tests marked `kernel` are for guests (tools/test --kernel):
elsewhere they are deselected, there they fail when the guest's kernel lacks what they need.
"""

from __future__ import annotations

import os

import pytest

from prol2tp.daemons import base
from tests.kernel.features import GUEST, missing, runs_here
from tests.peers import version

# daemons of tests end in the test's own process, whose collector must go on to find what they leave
base.tune_garbage_collection = lambda: None

IN_CI = os.environ.get("CI") == "true"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tier too")
    parser.addoption("--share", metavar="K/N", default="1/1", help="run every Nth test, beginning with the Kth")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = config.getoption("--long")
    chosen = [item for item in items if (long or not item.get_closest_marker("long")) and runs_here(item)]
    number, shares = (int(word) for word in config.getoption("--share").split("/"))
    chosen = chosen[number - 1::shares]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    for item in items:
        if item.get_closest_marker("root") and os.geteuid():
            item.add_marker(pytest.mark.skip(reason="needs root"))
        for marker in item.iter_markers("interop"):
            for package in marker.args:
                if not version(package):
                    item.add_marker(pytest.mark.skip(reason=f"needs the Debian package {package}"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    lacking = [name for marker in item.iter_markers("kernel") for name in marker.args if missing(name)]
    if lacking:
        pytest.fail(f"the guest's kernel ({GUEST}) has no {', '.join(lacking)}", pytrace=False)


def pytest_make_parametrize_id(val: object) -> str | None:
    """An object that has no text of its own is named by its class: ids must be the same in every process."""
    return type(val).__name__.lower() if type(val).__repr__ is object.__repr__ else None


def pytest_report_header() -> str:
    packages = ("xl2tpd", "l2tpns", "freeradius", "dhcpcd-base", "pppoe", "tshark")
    return "peers: " + ", ".join(f"{package} {version(package) or 'none'}" for package in packages)


def pytest_terminal_summary(terminalreporter, exitstatus: int) -> None:  # type: ignore[no-untyped-def]
    skipped = terminalreporter.stats.get("skipped", [])
    if IN_CI and skipped:
        terminalreporter.write_sep("=", f"{len(skipped)} skipped: a failure in CI", red=True)
        for report in skipped:
            terminalreporter.write_line(f"SKIPPED {report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
