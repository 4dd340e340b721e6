"""The data path of routes: the ports of source and destination become one, and are parted at the end."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from prol2tp.daemons.proacd.destinations import Call
from prol2tp.daemons.proacd.route import Route
from prol2tp.dataplane.interface import GONE, NOT_FOUND, DataPathError


def join(route: Route) -> Deferred[None]:
    """The host hears that there is a route, then frames pass. Local PPP has the source's port by then."""
    if not isinstance(route.destination, Call):
        return succeed(None)
    port = route.destination.port

    def opened(_: None) -> Deferred[None]:
        return route.source.join(port)

    # the host drops what reaches it before the PADS
    return route.source.open().addCallback(opened)


def part(route: Route) -> Deferred[tuple | None]:
    """Nothing passes any more -> the last counters of the source's port, None when nobody knows them."""
    return route.source.release().addErrback(_nobody_knows)


def _nobody_knows(failure: Failure) -> None:
    failure.trap(DataPathError)
    if failure.value.code not in (NOT_FOUND, GONE):
        failure.raiseException()
