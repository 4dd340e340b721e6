"""Where routes begin: PPPoE sessions of ours, and L2TP sessions that prol2tpd offers (tunnel switching)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from prol2tp.dataplane.interface import DataPathError, IDataPlane, PPPoESpec
from prol2tp.pppoe.outputs import AskRoute, SessionKey
from prol2tp.pppoe.packets import mac_text, vids
from prol2tp.pppoe.tags import Line

if TYPE_CHECKING:
    from prol2tp.daemons.proacd.route import Route

EARLY_MAX = 8
"""Frames of a source that wait until somebody takes them."""
FF03 = b"\xff\x03"
"""PPP address and control, which L2TP carries and PPPoE does not."""


class SourceGone(Exception):
    """It went away while it was being opened."""


class Source:
    """One end of a route. PPP frames come from it and go to it here until its port is joined to another one.

    Subclasses set what describes it, and say how it is opened and closed.
    """

    kind = ""

    __slots__ = ("route", "port", "plane", "line", "calling_number", "called_number", "mtu", "interface", "proxy",
                 "gone", "_callback", "_early", "_onward")

    def __init__(self, plane: IDataPlane, line: Line | None, calling_number: str, called_number: str, mtu: int,
                 interface: str, port: int = 0) -> None:
        self.route: Route | None = None
        self.plane = plane
        self.port = port
        """Of the data path; 0: there is none yet."""
        self.line = line
        self.calling_number = calling_number
        self.called_number = called_number
        self.mtu = mtu
        """The largest PPP payload."""
        self.interface = interface
        """Of Ethernet; '' for L2TP."""
        self.proxy: dict[str, Any] | None = None
        """A proxy record that came with it (RFC 2661 section 4.4.5)."""
        self.gone = False
        self._callback: Callable[[bytes], None] | None = None
        self._early: list[bytes] = []
        self._onward = 0
        """The port that frames go on to which come here although the ports are joined."""

    @property
    def label(self) -> str:
        """For the log."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """For status."""
        raise NotImplementedError

    def open(self) -> Deferred[None]:
        """Fires when PPP frames may pass, both ways; asked for again, the same. Fails with `SourceGone` or
        `DataPathError`."""
        raise NotImplementedError

    def close(self, cause: str, message: str) -> bool:
        """End it; False: its end could not be told. Its port is taken away by `release`."""
        raise NotImplementedError

    def release(self) -> Deferred[tuple | None]:
        """Nothing passes any more -> the last counters of its port."""
        raise NotImplementedError

    # frames

    def frames(self, callback: Callable[[bytes], None] | None) -> None:
        """Who gets the PPP frames from now on, those first that have waited; None: a few wait. The source is open."""
        self._callback = callback
        if callback is None:
            return
        self.plane.port_receiver(self.port, self._received)
        early, self._early = self._early, []
        for frame in early:
            callback(frame)

    def send(self, frame: bytes) -> None:
        """A PPP frame to the other end of the source."""
        if self.port and not self.gone:
            self.plane.port_send(self.port, frame)

    def join(self, port: int) -> Deferred[None]:
        """Frames go to this port of another one's from now on, and its frames come here; what has waited goes
        first."""
        early, self._early = self._early, []
        received = self._callback is not None or bool(early)
        self._callback = None
        self._onward = port
        for frame in early:
            self._pass_on(frame)
        joined = self.plane.switch_add(self.port, port)
        # what is on its way here now must not be lost
        return joined.addCallback(self._joined) if received else joined

    def _joined(self, _: None) -> None:
        if not self.gone:
            self.plane.port_receiver(self.port, None)

    def hand_on(self) -> None:
        """Another daemon takes the frames."""
        self._callback = None
        self._early = []
        self.plane.port_receiver(self.port, None)

    def _received(self, frame: bytes) -> None:
        if self._onward:
            self._pass_on(frame)
        elif self._callback is not None:
            self._callback(frame)
        elif len(self._early) < EARLY_MAX:
            self._early.append(frame)

    def _pass_on(self, frame: bytes) -> None:
        self.plane.port_send(self._onward, frame if frame[:2] == FF03 else FF03 + frame)


class Concentrator(Protocol):
    """What a PPPoE source asks of the discovery shell."""

    def routed(self, key: SessionKey) -> None: ...

    def end(self, key: SessionKey, message: str) -> bool: ...


class PPPoESource(Source):
    """A session of the AccessConcentrator core. Its port is made at once; its host hears of the session (PADS) when the
    route asks for it by `open`.

    :param ethernet: handle of the interface in the data path.
    """

    kind = "pppoe"

    __slots__ = ("key", "vlans", "service_name", "advertised", "_concentrator", "_opened", "_adding")

    def __init__(self, asked: AskRoute, plane: IDataPlane, ethernet: int, concentrator: Concentrator) -> None:
        super().__init__(plane, asked.line, mac_text(asked.key.peer), asked.service_name, asked.max_payload,
                         asked.key.interface)
        self.key = asked.key
        self.vlans = asked.vlans
        self.service_name = asked.service_name
        self.advertised = asked.advertised
        self._concentrator = concentrator
        self._opened: Deferred[None] | None = None
        vlans = tuple((tag.tpid, tag.tci) for tag in asked.vlans)
        self._adding = plane.pppoe_add(PPPoESpec(ethernet, self.key.peer, self.key.session_id, vlans))
        self._adding.addCallback(self._added)

    @property
    def label(self) -> str:
        vlans = "".join(f" vlan {vid}" for vid in vids(self.vlans))
        return f"PPPoE session {self.key.session_id} of {self.calling_number} on {self.interface}{vlans}"

    def record(self) -> dict[str, Any]:
        line = self.line
        return {
            "kind": self.kind, "interface": self.interface, "session_id": self.key.session_id,
            "service_name": self.service_name, "advertised": self.advertised, "peer_mac": self.calling_number,
            "vlans": list(vids(self.vlans)), "mtu": self.mtu,
            "circuit_id": _text(line.circuit_id) if line is not None else "",
            "remote_id": _text(line.remote_id) if line is not None else "",
        }  # fmt: skip

    def _added(self, port: int) -> None:
        self.port = port
        if self.gone:
            self._delete().addErrback(allow_gone)

    def open(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        if self._opened is None:
            self._opened = Deferred()
            self._adding.addCallbacks(self._tell_host, self._opened.errback)
        self._opened.addCallbacks(waiting.callback, waiting.errback)
        return waiting

    def _tell_host(self, _: None) -> None:
        assert self._opened is not None
        if self.gone:
            self._opened.errback(SourceGone("the PPPoE session has ended"))
            return
        self._concentrator.routed(self.key)
        self._opened.callback(None)

    def close(self, cause: str, message: str) -> bool:
        return self._concentrator.end(self.key, message or cause)

    def release(self) -> Deferred[tuple | None]:
        if self.gone:
            return succeed(None)
        self.gone = True
        self._adding.addErrback(lambda _: None)
        return self._delete() if self.port else succeed(None)

    def _delete(self) -> Deferred[tuple | None]:
        return self.plane.port_delete(self.port)


class L2TPSource(Source):
    """A session of a tunnel that prol2tpd serves for us (LTS, RFC 2661 section 1.2). It is open already; its port is
    prol2tpd's.

    :param offer: the row of OfferCalls.
    :param closing: tells prol2tpd: `(id, cause, message)` -> whether it could be told.
    """

    kind = "l2tp"

    __slots__ = ("id", "offer", "_closing")

    def __init__(self, offer: dict[str, Any], plane: IDataPlane, closing: Callable[[str, str, str], bool]) -> None:
        line = offer.get("line")
        super().__init__(plane, Line.from_record(line) if line else None, str(offer.get("calling_number") or ""),
                         str(offer.get("called_number") or ""), int(offer.get("mtu") or 0), "", int(offer["port"]))
        self.id = str(offer["id"])
        self.proxy = offer.get("proxy") or None
        self.offer = offer
        self._closing = closing

    @property
    def label(self) -> str:
        return f"L2TP session {self.id}"

    def record(self) -> dict[str, Any]:
        row = self.offer
        return {
            "kind": self.kind, "tunnel_id": row.get("tunnel_id"), "session_id": row.get("session_id"),
            "peer_tunnel_id": row.get("peer_tunnel_id"), "peer_session_id": row.get("peer_session_id"),
            "tunnel_name": row.get("tunnel_name"), "tunnel_profile": row.get("tunnel_profile"),
            "peer_address": row.get("peer_address"), "calling_number": self.calling_number,
            "called_number": self.called_number,
        }  # fmt: skip

    def open(self) -> Deferred[None]:
        if self.gone:
            return fail(SourceGone("the L2TP session has ended"))
        return succeed(None)

    def lost(self, cause: str, message: str) -> None:
        """prol2tpd has it no longer."""
        if self.route is not None:
            self.route.routes.source_closed(self.route, cause, message)

    def close(self, cause: str, message: str) -> bool:
        return self._closing(self.id, cause, message)

    def release(self) -> Deferred[tuple | None]:
        if self.gone:
            return succeed(None)
        self.gone = True
        self.plane.switch_delete(self.port).addErrback(allow_gone)
        return self.plane.counters([self.port]).addCallback(lambda rows: rows.get(self.port))


def allow_gone(failure: Failure) -> None:
    """What is gone already is as good as deleted."""
    failure.trap(DataPathError)


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode("utf-8", "backslashreplace")
