"""Which data path a host gets: `data_path auto|kernel|user`."""

from __future__ import annotations

from typing import Any

from prol2tp.dataplane.interface import UNSUPPORTED, DataPathError
from prol2tp.dataplane.linux.plane import KernelDataPlane
from prol2tp.dataplane.linux.probe import Features, probe
from prol2tp.dataplane.userspace import UserspaceDataPlane

CHOICES = ("auto", "kernel", "user")


def choose(wanted: str, reactor: Any, split: bool = True) -> UserspaceDataPlane:
    """The kernel's where the kernel has it, else that in user space, whose `notes` then say why. Blocks for some
    milliseconds. Raises `DataPathError` where the kernel's is wanted and cannot be.

    :param split: as `UserspaceDataPlane`.
    """
    if wanted == "user":
        return UserspaceDataPlane(reactor, split)
    features = probe()
    if not features.reason:
        return KernelDataPlane(reactor, features)
    if wanted == "kernel":
        raise DataPathError(UNSUPPORTED, f"data_path kernel: {without(features)}; load the module, or use auto or "
                                         "user")
    plane = UserspaceDataPlane(reactor, split)
    plane.notes = (f"kernel: not taken, {without(features)}",)
    return plane


def without(features: Features) -> str:
    return f"the kernel has {features.reason}" if features.reason.startswith("no ") else \
        f"it could not be tried: {features.reason}"
