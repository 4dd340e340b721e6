"""Steps at the data path and the kernel, and what becomes of those that fail."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from prol2tp.daemons.logs import Log
from prol2tp.dataplane.interface import GONE, NOT_FOUND, DataPathError
from prol2tp.net.netlink import NetlinkError


def soft(step: Deferred[Any], log: Log | None = None, what: str = "") -> Deferred[Any]:
    """A step whose failure is logged, where that says something, and changes nothing else."""

    def failed(failure: Any) -> None:
        failure.trap(DataPathError, NetlinkError)
        if log is not None and getattr(failure.value, "code", "") not in (NOT_FOUND, GONE):
            log.warning("{what}: {reason}", what=what, reason=failure.value.text)

    return step.addErrback(failed)


async def together(*steps: Deferred[Any]) -> Any:
    """Wait for all; the first failure counts, after all are done."""
    first: Exception | None = None
    for step in steps:
        try:
            await step
        except (DataPathError, NetlinkError) as error:
            first = first or error
    if first is not None:
        raise first
