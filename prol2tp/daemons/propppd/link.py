"""One link: a PPP core on a port of the data path, with its user, its address and its interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from prol2tp.config.propppd import Profile
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd import admission, login
from prol2tp.daemons.propppd.aaa import EapRequest
from prol2tp.daemons.propppd.addresses import Lease
from prol2tp.daemons.propppd.authorization import NOTHING
from prol2tp.daemons.propppd.carriers import Carrier
from prol2tp.daemons.propppd.netif import LinkInterface
from prol2tp.daemons.propppd.settings import NetworkSettings
from prol2tp.dataplane.interface import GONE, NOT_FOUND, DataPathError
from prol2tp.ppp import outputs
from prol2tp.ppp.causes import CAUSES
from prol2tp.ppp.dissect import masked
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import LinkSettings

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.ipv6 import LinkIPv6
    from prol2tp.daemons.propppd.links import Links

_log = Logger(namespace="propppd")

IPV6_HEADERS = (b"\xff\x03\x00\x57", b"\xff\x03\x57", b"\x00\x57", b"\x57")
"""Of PPP frames with an IPv6 packet (RFC 5072), with and without compressed fields."""


class Listener(Protocol):
    """Who has brought what carries a link."""

    def lcp_up(self, link: PPPLink) -> None:
        """LCP is open, perhaps again."""

    def link_up(self, link: PPPLink) -> None:
        """A network protocol is up."""

    def link_closed(self, link: PPPLink, user: str) -> None:
        """It is over: `link.cause`, `message`; its interface is still to be removed."""

    def link_gone(self, link: PPPLink) -> None:
        """Nothing is left of it."""


class PPPLink:
    """One link. It begins with `start`, when what carries it is there; it may be closed before."""

    __slots__ = ("links", "number", "carrier", "profile", "network", "core", "interface", "lease", "user",
                 "authorization", "created_at", "created_on", "up_since", "idle_timeout", "level", "listener",
                 "question", "cause", "message", "ended", "confirmed", "compressed", "seconds_up", "refusal",
                 "waiting", "started", "serial", "totals", "radius", "eap", "accounting", "ipv6", "proxy", "claimed",
                 "traces", "_draining", "__weakref__")

    def __init__(self, links: Links, number: int, carrier: Carrier, profile: Profile, network: NetworkSettings,
                 settings: LinkSettings, listener: Listener) -> None:
        self.links = links
        self.number = number
        self.carrier = carrier
        self.profile = profile
        self.network = network
        self.core = Link(settings, links.random_bytes)
        self.interface: LinkInterface | None = None
        self.lease: Lease | None = None
        self.user = ""
        self.authorization = NOTHING
        self.created_at = links.wall()
        self.created_on = links.clock.seconds()
        self.up_since = 0.0
        self.seconds_up = 0.0
        """Of the times that it was up before."""
        self.refusal = ""
        """Why the user was refused, for operators: he hears less."""
        """The log has the reason why the user was not let in."""
        self.idle_timeout: float = profile.idle_timeout
        self.level = Level.named(carrier.log_level) if carrier.log_level else None
        self.listener = listener
        self.question: outputs.AskAuthentication | None = None
        self.cause = ""
        self.message = ""
        self.ended = False
        self.confirmed = True
        """False while the daemon that attached it is away."""
        self.compressed = False
        """The data path sends compressed headers."""
        self.waiting = False
        """For the peer's first frame."""
        self.started = False
        self.serial = 0
        """Counts the links of the daemon; those of one line have one number and name."""
        self.totals: tuple[Any, ...] = ()
        """Final counters (`dataplane.interface.COUNTERS`), soon after the end."""
        self.radius = ""
        """What RADIUS said last, as `AUTH_CHAP_ACK`; empty: it was not asked."""
        self.eap: EapRequest | None = None
        """The last Request of a server that runs EAP for this link."""
        self.accounting: Any = None
        """Of the follower of that name."""
        self.ipv6: LinkIPv6 | None = None
        """Of the follower of that name; None while there is nothing to give."""
        self.proxy: ProxyRecord | None = None
        """What another end has negotiated, until the link starts."""
        self.claimed = ""
        """Who the peer says he is."""
        self.traces = False
        """Somebody follows it."""
        self._draining = False
        self.traced()

    @property
    def name(self) -> str:
        return f"session-{self.number}"

    @property
    def port(self) -> int:
        return self.carrier.port

    @property
    def mtu(self) -> int:
        return self.core.mtu

    @property
    def mru(self) -> int:
        """The largest that the peer may send."""
        return self.core.lcp.mru

    @property
    def up(self) -> bool:
        """At least one network protocol is up."""
        return self.up_since > 0

    @property
    def shown_user(self) -> str:
        return self.user or self.core.settings.user

    @property
    def user_at_end(self) -> str:
        """Who it was, or said to be when he was refused."""
        return self.shown_user or (self.claimed if self.refusal else "")

    @property
    def interface_name(self) -> str:
        return self.interface.netif.name if self.interface is not None and self.interface.netif is not None else ""

    def traced(self) -> None:
        """Let the core report to the log, or not, as the level says."""
        self.traces = bool(self.links.tracers) and self.links.tracers.wants(self.identity)
        wanted = self.traces or self.links.log.enabled(Level.DEBUG, self.level)
        self.core._lower.trace = self._trace if wanted else None

    @property
    def identity(self) -> dict[str, Any]:
        """For those who follow something."""
        tunnel, session = self.carrier.numbers
        return {"tunnel": tunnel, "session": session, "peer": self.carrier.peer_host, "mac": self.carrier.mac,
                "user": self.user or self.claimed or self.core.settings.user}

    def show(self, kind: str, text: str, frame: bytes = b"", direction: str = "") -> None:
        """To those who follow it."""
        self.links.tracers.tell(self, self.identity, self.name, kind, text, masked(frame), network="ppp",
                                direction=direction)

    def _trace(self, kind: str, text: str) -> None:
        if self.traces:
            self.show(kind, text)
        self.links.log.emit(Level.DEBUG, "{link}: {what}", self.level, link=self.name, what=text)

    def say(self, level: Level, text: str, **values: Any) -> None:
        """A log line about this link."""
        if self.traces:
            self.show("log", text.format(**values))
        self.links.log.emit(level, "{link}: " + text, self.level, link=self.name, **values)

    def tell_all(self, level: Level, text: str, **values: Any) -> None:
        """A log line about its coming and going."""
        if self.traces:
            self.show("log", text.format(**values))
        self.links.come_and_go.emit(level, "{link}: " + text + ", call {call}", self.level, link=self.name,
                                    call=self.carrier.id, **values)

    # the core's inputs

    @property
    def connect_delay(self) -> float:
        """Seconds that we wait for the peer's first frame."""
        return 0.0 if self.core.settings.silent else self.carrier.connect_delay

    def start(self) -> None:
        """The session is up: take its frames, start LCP."""
        self.started = True
        self.links.followers.tell("link_created", self)
        if self.proxy is not None:
            self._take_over()
        elif self.connect_delay:
            self.waiting = True
            self.links.deadlines.set(self, self.links.clock.seconds() + self.connect_delay)
        else:
            self.tell(self.core.open)
        try:
            self.links.dataplane.port_receiver(self.port, self.receive)
        except Exception:
            self.broken()

    def _take_over(self) -> None:
        """Go on where another end has stopped."""
        record, self.proxy = self.proxy, None
        self.tell(self.core.open, proxy=record)
        if self.core.proxy_refused and record is not None and record.last_sent_confreq is not None:
            self.say(Level.INFO, "LCP is negotiated anew: {why}", why=self.core.proxy_refused)

    def _begin(self) -> None:
        self.waiting = False
        self.tell(self.core.open)

    def receive(self, frame: bytes) -> None:
        """A PPP frame from the data path."""
        ipv6 = self.ipv6
        if ipv6 is not None and frame.startswith(IPV6_HEADERS):
            try:
                ipv6.receive(frame)
            except Exception:
                self.broken()
            return
        if self.waiting:
            self._begin()
        core = self.core
        if self.traces:
            self.show("packet", "", frame, "in")
        try:
            core.receive(frame, self.links.clock.seconds())
        except Exception:
            self.broken()
        self.drain()

    def expired(self, now: float) -> None:
        """The core's deadline has come."""
        if self.waiting:
            self._begin()
            return
        try:
            self.core.timeout(now)
        except Exception:
            self.broken()
        self.drain()

    def tell(self, method: Callable[..., Any], *arguments: Any, **words: Any) -> None:
        """Call a method of the core, then carry out what it puts out."""
        try:
            method(*arguments, now=self.links.clock.seconds(), **words)
        except Exception:
            self.broken()
        self.drain()

    def drain(self) -> None:
        """Carry out the core's outputs in order; within one of them the outer call goes on."""
        if self._draining:
            return
        self._draining = True
        core = self.core
        try:
            while found := core.outputs():
                for output in found:
                    if self.ended and type(output) is not outputs.SendFrame:
                        continue  # a fault has ended it meanwhile: nothing new is begun
                    try:
                        _ACTIONS[type(output)](self, output)
                    except Exception:
                        self.broken()
        finally:
            self._draining = False
        if not self.ended:
            self.links.deadlines.set(self, core.deadline())

    def broken(self, failure: Any = None) -> None:
        """A fault of ours costs this link and no other."""
        _log.failure("{link}: ended by a fault", failure=failure or Failure(), link=self.name)
        self.finish("NAS Error", "internal error")

    # the core's outputs

    def _send(self, output: outputs.SendFrame) -> None:
        if self.traces:
            self.show("packet", "", output.frame, "out")
        self.links.dataplane.port_send(self.carrier.port, output.frame)

    def _opened(self, output: outputs.LinkOpened) -> None:
        self.eap = None
        if self.core.proxied[0]:
            self.say(Level.INFO, "LCP is taken over as it was negotiated{proof}",
                     proof=", and the peer's proof" if self.core.proxied[1] else "")
        his = self.core.lcp.his
        pcomp, accomp = "pcomp" in his, "accomp" in his
        agreed = self.carrier.agreed(self.core.lcp)
        if pcomp or accomp or self.compressed or agreed:
            self.compressed = pcomp or accomp
            # that the peer allows it obliges nobody
            modified = self.links.dataplane.port_modify(self.port, pcomp=pcomp, accomp=accomp, **agreed)
            modified.addErrback(_forget)
        self.listener.lcp_up(self)

    def _peer_says(self, output: outputs.PeerSays) -> None:
        if output.kind == "identification":
            self.say(Level.INFO, "the peer is {said}", said=output.text)
        else:
            self.say(Level.NOTICE, "the peer ends the link in {seconds} s: {said}", seconds=output.seconds,
                     said=output.text or "-")

    def _authenticated(self, output: outputs.LinkAuthenticated) -> None:
        self.say(Level.INFO, "authenticated, user {user}", user=output.user or "-")

    def _compression_up(self, output: outputs.CompressionUp) -> None:
        done = self.links.dataplane.port_compress(
            self.port, output.send, output.receive, output.send_option, output.receive_option, output.send_key,
            output.receive_key)
        done.addErrback(self._not_compressed)
        self.say(Level.INFO, "packets are compressed: sent ones by {send}, received ones by {receive}",
                 send=output.send or "nothing", receive=output.receive or "nothing")

    def _compression_down(self, output: outputs.CompressionDown) -> None:
        self.links.dataplane.port_compress(self.port).addErrback(_forget)

    def _compression_reset(self, output: outputs.CompressionReset) -> None:
        # the other direction is the data path's own affair: packets follow the peer's Reset-Ack at once
        if output.direction == "send":
            self.links.dataplane.port_reset(self.port)

    def _not_compressed(self, failure: Any) -> None:
        failure.trap(DataPathError)
        if failure.value.code not in (GONE, NOT_FOUND):
            self.say(Level.ERROR, "compression: {reason}", reason=failure.value.text)
            self.close("NAS Error", "the data path cannot do what CCP has agreed on")

    def _network_up(self, output: outputs.NetworkUp) -> None:
        if self.interface is None:
            self.interface = LinkInterface(self.links.interfaces, self)
        self.interface.up(output)

    def _network_down(self, output: outputs.NetworkDown) -> None:
        if self.interface is not None:
            self.interface.down(output.protocol)
            self.links.followers.tell("protocol_down", self, output.protocol)
            if not self.interface.passing:
                self._went_down()

    def _link_down(self, output: outputs.LinkDown) -> None:
        self.finish(output.cause, output.message)

    def refresh(self) -> Deferred[None]:
        """What the link may have is not what it was. Fires when the network around it is changed."""
        if self.interface is not None and not self.ended:
            return self.interface.refresh()
        return succeed(None)

    # the interface's answers

    def network_ready(self, protocol: str) -> None:
        """Packets of the protocol can pass."""
        if self.ended:
            return
        network = self.interface.network(protocol) if self.interface is not None else None
        if network is not None:
            self.links.followers.tell("protocol_up", self, network)
        first = not self.up
        if first:
            self.up_since = self.links.clock.seconds()
            self.links.counts.up += 1
            self.links.idle.watch(self)
            self.tell_all(Level.NOTICE, "up, user {user}, address {address}, interface {interface}",
                          user=self.shown_user or "-", address=self._address(protocol), interface=self.interface_name)
            self.links.followers.tell("link_up", self)
            self.links.event("link-up", self)
            self.listener.link_up(self)
        # the first line has no IPv4 address where IPv6 was faster and the peer chooses
        level = Level.NOTICE if not first and protocol == "ip" and self.lease is None else Level.INFO
        self.say(level, "{protocol} is up, address {address}", protocol=protocol,
                 address=self._network_address(protocol))

    def _address(self, protocol: str) -> str:
        """Of the user, for the log: the one that was given out, else that of the protocol."""
        return self.lease.text if self.lease is not None else self._network_address(protocol)

    def _network_address(self, protocol: str) -> str:
        network = self.interface.network(protocol) if self.interface is not None else None
        if network is None:
            return "-"
        return network.peer if self.carrier.subscriber else network.local

    def network_failed(self, protocol: str, text: str) -> None:
        """The system would not have it: that protocol is closed, the other one stays."""
        if self.ended:
            return
        self.say(Level.ERROR, "{protocol}: {reason}", protocol=protocol, reason=text)
        self.tell(self.core.network_failed, protocol)

    def idle(self, seconds: float) -> None:
        """There was no traffic for so long."""
        if seconds >= self.idle_timeout:
            self.close("Idle Timeout", f"no traffic for {seconds:.0f} s")

    # the end

    def close(self, cause: str = "User Request", message: str = "") -> None:
        """LCP Terminate-Request; the end follows by itself, at the latest when the peer has not answered."""
        if not self.ended:
            if self.started:
                self.links.followers.tell("link_closing", self)
            self.tell(self.core.close, cause=cause, message=message)

    def lost(self, cause: str, message: str) -> None:
        """No frame can pass any more."""
        if self.ended:
            return
        if self.core.phase is not Phase.TERMINATE:
            # else the reason why it was ending is the true one
            self.cause, self.message = cause, message or _text_of(cause)
        self.tell(self.core.lower_down)
        self.finish(cause, message)

    def _went_down(self) -> None:
        if not self.up:
            return
        self.seconds_up += self.links.clock.seconds() - self.up_since
        self.up_since = 0.0
        ending = self.core._cause
        if ending is not None and not self.cause:
            # who hears of it wants to know why, and LinkDown comes later
            self.cause, self.message, _ = ending
        self.links.counts.down += 1
        self.links.idle.forget(self)
        self.links.followers.tell("link_down", self)
        self.links.event("link-down", self)

    def finish(self, cause: str, message: str) -> None:
        """The link is over: say so, and take its things away."""
        if self.ended:
            return
        self.ended = True
        self.waiting = False
        self.cause = self.cause or cause
        self.message = self.message or message or _text_of(self.cause)
        self.question = None
        links = self.links
        links.deadlines.set(self, None)
        if self.started:
            links.dataplane.port_receiver(self.port, None)
            self._went_down()
            links.followers.tell("link_ended", self)
        user = self.user_at_end
        admission.leave(links, self)
        told = self.refusal and not self.seconds_up
        why = f" ({self.message})" if self.message and self.message.lower() != self.cause.lower() else ""
        self.tell_all(Level.INFO if told else Level.NOTICE, "ended: {cause}{why}, user {user}, {seconds:.0f} s up",
                      cause=self.cause, why=why, user=user or "-", seconds=self.seconds_up)
        links.ended(self, user)


def _text_of(cause: str) -> str:
    """What a cause means, where nobody has said more."""
    return CAUSES[cause].text if cause in CAUSES else ""


def _forget(_: Any) -> None:
    return None


_ACTIONS: dict[type, Callable[[PPPLink, Any], None]] = {
    outputs.SendFrame: PPPLink._send,
    outputs.AskAuthentication: login.ask,
    outputs.LinkOpened: PPPLink._opened,
    outputs.LinkAuthenticated: PPPLink._authenticated,
    outputs.CompressionUp: PPPLink._compression_up,
    outputs.CompressionDown: PPPLink._compression_down,
    outputs.CompressionReset: PPPLink._compression_reset,
    outputs.PeerSays: PPPLink._peer_says,
    outputs.NetworkUp: PPPLink._network_up,
    outputs.NetworkDown: PPPLink._network_down,
    outputs.LinkDown: PPPLink._link_down,
}
