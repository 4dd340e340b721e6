"""Links over ttys: the data path has the line, and says when it hangs up."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from prol2tp.daemons.propppd.carriers import TtyLine
from prol2tp.daemons.propppd.dials import Dial, Dials, NoLine, allow_gone
from prol2tp.dataplane.interface import DataPathError, TtySpec


class TtyDial(Dial):
    """One tty."""

    def __init__(self, dials: Dials, request: Any) -> None:
        super().__init__(dials, request)
        self._port = 0

    def carrier(self) -> TtyLine:
        request = self.request
        return TtyLine(request.device, 0, request.profile, device=request.device, speed=request.speed,
                       receive_all=request.receive_all)

    def prepare(self) -> Deferred[None]:
        request, life, plane = self.request, self.life, self.links.dataplane
        holder = self.links.by_id.get(request.device)
        if holder is not None and holder is not self.link:
            return fail(NoLine(f"{request.device} has a link, {holder.name}"))
        found = self.links.profiles.get(request.profile)
        if found is None:
            return fail(NoLine(f"there is no PPP profile {request.profile!r} in propppd.conf"))
        mru = int(request.options.get("mru", [found[0].mru])[0])
        spec = TtySpec(request.device, request.speed, request.crtscts, request.xonxoff, request.modem, request.escape,
                       mru)

        def opened(port: int) -> None:
            if self.life == life:
                self._port = port
            else:
                plane.port_delete(port).addErrback(allow_gone)

        def refused(failure: Failure) -> None:
            failure.trap(DataPathError)
            raise NoLine(failure.getErrorMessage())

        return plane.tty_add(spec).addCallbacks(opened, refused)

    def launch(self) -> None:
        assert self.link is not None
        self.links.carried(self.link, self._port)

    def release(self) -> None:
        port, self._port = self._port, 0
        if port:
            self.links.dataplane.port_delete(port).addErrback(allow_gone)
