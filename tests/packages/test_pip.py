"""Wheel and sdist: what is in them, and what pip makes of them in a fresh virtual environment."""

from __future__ import annotations

import configparser
import email
import os
import signal
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from prol2tp import __version__
from tests.netns import World, run, wait_until

ROOT = Path(__file__).parents[2]
PLUGINS = ("prol2tp", "proppp", "proac", "prol2tp-path", "prol2tp-scriptd", "prol2tp-web")
NOT_IN_SDIST = (".ci/", ".containerignore", ".gitignore")
ADDED = ("PKG-INFO", "prol2tp.egg-info/")
pytestmark = pytest.mark.long


class Built(NamedTuple):
    """What `python -m build` has made."""

    source: set[str]
    """Files of the checkout."""
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Of a copy: a build writes into its tree."""
    copy, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).stdout
    names = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
        (copy / name).chmod((ROOT / name).stat().st_mode)
    run([sys.executable, "-m", "build", "--outdir", dist, copy], seconds=300)
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return Built(names, wheel, sdist)


def programs() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().split("\n")
    return [line.partition("=")[0].strip() for line in lines]


def test_the_sdist_is_the_whole_source(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert {name for name in names if not name.startswith(ADDED)} - {"setup.cfg"} \
        == {name for name in built.source if not name.startswith(NOT_IN_SDIST)} - {"setup.cfg"}


def test_the_wheel_has_the_package_its_plugins_and_shared_files_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        said = email.message_from_bytes(archive.read(metadata))
    prefix = metadata.partition(".dist-info")[0]
    data = f"{prefix}.data/data/share/"
    shared = {name[len(data):] for name in names if name.startswith(data)}
    code = {name for name in names if not name.startswith((f"{prefix}.data/", f"{prefix}.dist-info/"))}
    assert code == {name for name in built.source if name.startswith(("prol2tp/", "twisted/"))}
    manuals = {f"man/man{name[-1]}/{name[4:]}" for name in built.source if name.startswith("man/")}
    examples = {f"doc/prol2tp/example-configs/{name[13:]}" for name in built.source if name.startswith("etc/examples/")}
    completion = {name.split("/")[-1] for name in built.source if name.startswith("etc/completion/")}
    assert manuals | examples <= shared
    assert completion <= {name.split("/")[-1] for name in shared}
    assert shared - manuals - examples == {name for name in shared if name.startswith(
        ("bash-completion/completions/", "zsh/site-functions/", "doc/prol2tp/"))} - examples
    assert said["Name"] == "prol2tp" and said["Requires-Python"] == ">=3.10" and said["License-File"] == "LICENSE"
    assert (said["License-Expression"] or said["License"]) == "MIT"
    assert said.get_payload().startswith("# prol2tp\n") and said["Description-Content-Type"] == "text/markdown"
    assert {"eap", "metrics"} <= set(said.get_all("Provides-Extra"))


@pytest.fixture(params=["wheel", "sdist"])
def environment(request: pytest.FixtureRequest, built: Built, tmp_path: Path) -> Iterator[Path]:
    """A fresh virtual environment with the one or the other; says how large and how long."""
    package = getattr(built, request.param)
    started = time.monotonic()
    run([sys.executable, "-m", "venv", tmp_path / "venv"], seconds=120)
    made = time.monotonic()
    run([tmp_path / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", package], seconds=300)
    size = sum(path.lstat().st_size for path in (tmp_path / "venv").rglob("*"))
    print(f"{package.name}: {package.stat().st_size / 1e6:.1f} MB, virtual environment in {made - started:.0f} s, "
          f"installed with what it needs in {time.monotonic() - made:.0f} s, then {size / 1e6:.0f} MB")
    yield tmp_path / "venv"


@pytest.mark.root
def test_pip_installs_programs_plugins_and_documents_that_work_and_takes_them_away(environment: Path) -> None:
    programs_directory = environment / "bin"
    for program in programs():
        assert program in run([programs_directory / program, "--help"]).stdout
        assert __version__ in run([programs_directory / program, "--version"]).stdout.splitlines()[0], program
    listed = run([programs_directory / "twistd", "--help"]).stdout.split()
    assert set(PLUGINS) <= set(listed)
    share = environment / "share"
    assert "PROL2TPD(8)" in run(["mandoc", "-Tascii", share / "man/man8/prol2tpd.8"]).stdout
    serves(environment)
    run([programs_directory / "pip", "uninstall", "-q", "-y", "prol2tp"])
    left = [path for path in environment.rglob("*") if "prol2tp" in path.name or "propppd" in path.name]
    assert left == []
    assert not set(PLUGINS) & set(run([programs_directory / "twistd", "--help"]).stdout.split())


def serves(environment: Path) -> None:
    """prol2tpd and propppd of the example run, open their logs again, and end."""
    with World() as world:
        host = world.namespace("host")
        host.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
        example = environment / "share/doc/prol2tp/example-configs/lns-ipsec"
        directory = world.path("run", "x").parent
        env = {"PATH": f"{environment}/bin:{os.environ['PATH']}", "PROL2TP_RUN_DIR": str(directory),
               "PROL2TP_STATE_DIR": str(world.path("state", "x").parent)}
        daemons = {}
        for daemon in ("propppd", "prol2tpd"):
            log = directory / f"{daemon}.log"
            daemons[daemon] = host.spawn(daemon, "-f", "-c", example / f"{daemon}.conf", "-o", log, env=env)
            wait_until((directory / f"{daemon}.sock").exists, 30, f"{daemon} serves")
        wait_until(lambda: "connected to propppd" in (directory / "prol2tpd.log").read_text(), 20, "both are connected")
        assert "listening on: 192.0.2.1:1701" in host.run("prol2tp", "show", "system", env=env).stdout
        assert "ppp instance count: 0" in host.run("propppctl", "status", env=env).stdout
        for daemon, process in daemons.items():
            log = directory / f"{daemon}.log"
            log.rename(directory / "rotated")
            [pid] = [pid for pid in host.pids() if daemon == Path(f"/proc/{pid}/comm").read_text().strip()]
            os.kill(pid, signal.SIGUSR1)
            wait_until(log.exists, 10, f"{daemon} has opened its log again")
            assert process.stop() == -signal.SIGTERM  # twistd ends so
