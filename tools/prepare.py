"""What tools/demo and tools/test have in common: Debian packages, the virtual environment, words on the way.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = "installed.json"
"""In a virtual environment: what it was made for."""
POLICY = Path("/usr/sbin/policy-rc.d")
# ip, nft and the daemons of other projects live in sbin, which not every PATH has
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


class Problem(Exception):
    """Something that the user has to know, in one line or a few."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, how long it has taken so far (on a terminal), and how long it took."""
    start = time.monotonic()
    done = threading.Event()
    terminal = sys.stderr.isatty()

    def tick() -> None:
        while not done.wait(1):
            print(f"\r{text} ... {time.monotonic() - start:.0f} s ", end="", file=sys.stderr, flush=True)

    if terminal:
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
        threading.Thread(target=tick, daemon=True).start()
    else:
        say(f"{text} ...")
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        done.set()
        start_of_line = "\r" if terminal else ""
        say(f"{start_of_line}{text} ... {outcome}, {time.monotonic() - start:.1f} s")


def quietly(
    words: Sequence[str | Path], what: str, env: Mapping[str, str] | None = None, directory: Path = ROOT
) -> None:
    """Run a command whose output matters only when it fails."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False, cwd=directory,
                          env={**os.environ, **(env or {})})  # fmt: skip
    if done.returncode:
        raise Problem(f"{what}: {' '.join(map(str, words))} failed ({done.returncode}):\n{done.stdout[-4000:]}")


def need_root(what: str) -> None:
    if os.geteuid():
        raise Problem(f"{what} makes network namespaces and so must run as root")


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Packages that bring a daemon must not start it; a policy that is there already is left alone."""
    if POLICY.exists() or POLICY.is_symlink():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def installed(packages: Sequence[str]) -> set[str]:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *packages],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return {line.split()[0] for line in done.stdout.splitlines() if line.split()[1:2] == ["ii"]}


def need_packages(packages: Sequence[str]) -> None:
    """Install what is missing of these Debian packages."""
    if not shutil.which("dpkg-query"):
        raise Problem(f"this is no Debian system; install by hand what these packages hold: {' '.join(packages)}")
    missing = [package for package in packages if package not in installed(packages)]
    if not missing:
        return
    if os.geteuid():
        raise Problem(f"missing: {' '.join(missing)}; run this as root, or apt-get install them")
    env = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold",
               "-o", "DPkg::Lock::Timeout=300", *missing]  # fmt: skip
    with step(f"installing {' '.join(missing)}"), no_services():
        try:
            quietly(install, "packages", env)
        except Problem:
            quietly(["apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300"], "package lists", env)
            quietly(install, "packages", env)


def _wanted(extras: set[str]) -> dict[str, object]:
    digest = hashlib.sha256()
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return {"digest": digest.hexdigest(), "extras": sorted(extras), "root": str(ROOT)}


def need_venv(*extras: str, venv: Path = VENV, python: str | Path = sys.executable) -> Path:
    """The virtual environment of `python` with the project (editable) and these extras; its bin directory.

    Installs only when the project's requirements have changed since, or an extra is new."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        stamp = json.loads((venv / STAMP).read_text())
        if (venv / "bin" / "python").exists():
            if set(extras) <= set(stamp["extras"]) and stamp == _wanted(set(stamp["extras"])):
                return venv / "bin"
            extras = tuple(sorted({*extras, *stamp["extras"]}))
    if sys.version_info < (3, 10):  # noqa: UP036
        raise Problem(f"Python 3.10 or later is needed, this is {sys.version.split()[0]}")
    if not (venv / "bin" / "pip").exists():
        if subprocess.run([python, "-c", "import ensurepip"], stderr=subprocess.DEVNULL, check=False).returncode:
            need_packages(["python3-venv"])
        with step("making the virtual environment"):
            quietly([python, "-m", "venv", "--clear", venv], "virtual environment")
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    with step("installing the Python packages"):
        quietly([venv / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check",
                 "--no-input", "-e", target], "Python packages")  # fmt: skip
        # Twisted's list of plugins, written once while nobody else reads it
        quietly([venv / "bin" / "twistd", "--version"], "twistd")
    (venv / STAMP).write_text(json.dumps(_wanted(set(extras))))
    return venv / "bin"
