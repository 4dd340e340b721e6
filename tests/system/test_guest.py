"""tools/guest from outside: what it passes on, and that nothing is left of a guest however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.netns import wait_until
from tools.prepare import ROOT

pytestmark = pytest.mark.root

GUEST = [str(ROOT / "tools" / "guest"), "-m", "256"]


def guest(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GUEST, *words], cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=100)  # fmt: skip


def job_of(process: subprocess.Popen[bytes]) -> list[Path]:
    return list(Path("/var/tmp").glob(f"prol2tp-guest-{process.pid}-*"))


def processes_of(job: Path) -> list[str]:
    """Those that have the job's directory on their command line and are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(job).encode() in (path / "cmdline").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found


def test_a_command_sees_the_files_of_this_machine_changes_none_and_its_status_is_passed_on(
    tmp_path: Path,
) -> None:
    shared, private = tmp_path / "shared", ROOT / f"of-a-guest-{os.getpid()}"
    shared.mkdir()
    done = guest("-w", str(shared), f"test -e tools/guest && echo \"it's $PROL2TP_GUEST $PROL2TP_WORD\" && "
                 f"touch {private} {shared}/stays && exit 7", PROL2TP_WORD="and 'quoted' $(words)")  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "it's umldeb and 'quoted' $(words)\n")
    assert (shared / "stays").exists()
    assert not private.exists()


def test_a_command_that_takes_too_long_and_a_guest_that_dies_are_told_apart() -> None:
    late = guest("-t", "6", "sleep", "1000")
    assert late.returncode == 124
    assert "not ended within 6 s" in late.stderr
    dead = guest("echo c >/proc/sysrq-trigger; sleep 100")
    assert dead.returncode == 125
    assert "the guest died" in dead.stderr and "Kernel panic" in dead.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_a_guest_is_left_when_its_runner_is_ended(how: signal.Signals) -> None:
    process = subprocess.Popen([*GUEST, "echo up; sleep 1000"], cwd=ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (job,) = job_of(process)
    assert len(processes_of(job)) > 1
    process.send_signal(how)
    process.wait(20)
    process.stdout.close()
    wait_until(lambda: not processes_of(job), 10, "the guest's processes are gone")
    if how == signal.SIGKILL:  # nobody was left to remove it: the next run does
        assert guest("true").returncode == 0
    assert not job.exists()
