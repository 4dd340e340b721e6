"""The guide for newcomers, done word by word in a fresh Debian that has booted in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guides import ROOT, Step, missing, steps

GUIDE = ROOT / "docs/guides/first-steps.md"
DEBIAN = ("systemd,systemd-sysv,dbus,python3,adduser,iproute2,iputils-ping,kmod,udev,procps,man-db,logrotate,nftables,"
          "curl")
ENVIRONMENT = {"HOME": "/root", "TERM": "dumb", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
SHOWN_WITHIN = 40.0


class Machine:
    """A Debian that has booted; commands are run in it as root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.console = root.parent / "console"
        with self.console.open("ab") as out:
            self._container = subprocess.Popen(
                ["systemd-nspawn", "-q", "-D", root, f"--machine=prol2tp-guide-{os.getpid()}", "--private-network",
                 "--register=no", "--keep-unit", "-b"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._wait_until_booted()

    def _wait_until_booted(self) -> None:
        pid = self._container.pid
        end = time.monotonic() + 90
        while time.monotonic() < end:
            self._first = Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
            if self._first and self.run("systemctl is-system-running --wait")[1].strip() in ("running", "degraded"):
                return
            time.sleep(0.5)
        raise AssertionError(self.console.read_text(errors="replace")[-3000:])

    def run(self, script: str, strict: bool = False) -> tuple[int, str]:
        """Exit status and output. What it leaves in the background goes on."""
        output = self.root.parent / "output"
        with output.open("wb") as out:
            words = ["nsenter", "-t", self._first, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "env", "-i",
                     *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "bash", *(["-e"] if strict else []),
                     "-c", script]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=120,
                                  check=False)
        return done.returncode, output.read_text(errors="replace")

    def close(self) -> None:
        self.run("systemctl poweroff")
        try:
            self._container.wait(60)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()


def do(machine: Machine, step: Step) -> None:
    """A step that shows something is repeated until it does: users dial meanwhile."""
    if not step.shows:
        status, output = machine.run(step.block.text, strict=True)
        assert status == 0, f"{step.block.place}: exit status {status}\n{output}"
        return
    end = time.monotonic() + SHOWN_WITHIN
    while True:
        _, output = machine.run(step.block.text)
        lacks = missing(step.shows, output)
        if not lacks:
            return
        assert time.monotonic() < end, f"{step.block.place}: not shown: {lacks}\n{output}"
        time.sleep(0.5)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    built = subprocess.run([ROOT / "tools/deb", "--output", tmp_path / "dist"], stdout=subprocess.PIPE, text=True,
                           check=True)
    debian = tmp_path / "debian"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={DEBIAN}", "bookworm", debian],
                   stdout=subprocess.DEVNULL, check=True)
    shutil.copy(built.stdout.strip(), debian / "root")
    made = Machine(debian)
    yield made
    made.close()


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container", "debootstrap")
def test_the_guide_for_newcomers_leads_where_it_says(machine: Machine) -> None:
    todo = steps(GUIDE)
    assert len(todo) > 20
    for step in todo:
        do(machine, step)
    _, left = machine.run("ls -d /opt/prol2tp /etc/prol2tp* /run/lac /var/lib/prol2tp 2>/dev/null; ip netns;"
                          " pgrep -fa 'sbin/pro'")
    assert left == ""
