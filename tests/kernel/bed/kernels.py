"""Kernels that guests can boot, each made once and kept in a cache outside the repository.

A directory of the cache is named by flavour, version of the Debian package and a digest of what else decides its
contents (`making.py`). It may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.bed.making import FLAVOURS, Recipe
from tools.prepare import Problem, quietly, say, step

UNUSED = 14 * 86400.0
"""Seconds after which another version of the same flavour is removed from the cache."""


@dataclass(frozen=True)
class Kernel:
    """A kernel in the cache."""

    flavour: str
    version: str
    directory: Path

    @property
    def image(self) -> Path:
        """What runs (user-mode Linux) or is booted (QEMU)."""
        return self.directory / FLAVOURS[self.flavour].image

    @property
    def modules(self) -> str:
        """Where its modules are; empty when it has none."""
        found = list((self.directory / "lib" / "modules").glob("*"))
        return str(found[0]) if found else ""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prol2tp" / "kernels"


def prepare(flavour: str) -> Kernel:
    """The kernel of this flavour, made first when the cache does not have it."""
    if flavour not in FLAVOURS:
        raise Problem(f"{flavour!r} is no kernel; there are {', '.join(FLAVOURS)}")
    recipe = FLAVOURS[flavour]
    digest = hashlib.sha256(recipe.digested()).hexdigest()[:10]
    package, version = _newest(flavour, recipe, digest)
    kernel = Kernel(flavour, version, cache() / f"{flavour}_{version}_{digest}")
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{flavour}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kernel.directory.exists():
            _make(recipe, package, kernel)
        os.utime(kernel.directory)
        for other in cache().glob(f"{flavour}_*"):
            if other != kernel.directory and time.time() - other.stat().st_mtime > UNUSED:
                shutil.rmtree(other, ignore_errors=True)
    return kernel


def _newest(flavour: str, recipe: Recipe, digest: str) -> tuple[str, str]:
    """Package and version that the package lists offer; without lists the newest that the cache has."""
    try:
        return recipe.package()
    except Problem:
        have = sorted(cache().glob(f"{flavour}_*_{digest}"), key=lambda path: path.stat().st_mtime)
        if have:
            return "", have[-1].name.split("_")[1]
    with step("package lists"):
        quietly(["apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300"], "package lists")
    return recipe.package()


def _make(recipe: Recipe, package: str, kernel: Kernel) -> None:
    work = Path(tempfile.mkdtemp(prefix="making-", dir=cache()))
    try:
        result = work / "result"
        result.mkdir()
        recipe.make(package, kernel.version, work, result)
        result.rename(kernel.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = sum(path.stat().st_size for path in kernel.directory.rglob("*") if path.is_file())
    say(f"kernel {kernel.flavour} {kernel.version}: {size >> 20} MB in {kernel.directory}")
