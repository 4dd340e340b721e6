"""One PPP link: its phases (RFC 1661 section 3), and who speaks when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.ppp import authentication, compression, establishment, frame, networks, proxy, record
from prol2tp.ppp.auth import PEER_METHODS, Asking, Authentication, Method, Refusal
from prol2tp.ppp.automaton import Automaton, State
from prol2tp.ppp.causes import CAUSES
from prol2tp.ppp.ccp import CCP
from prol2tp.ppp.chap import CHAP
from prol2tp.ppp.eap import EAP
from prol2tp.ppp.ipcp import IPCP
from prol2tp.ppp.ipv6cp import IPV6CP
from prol2tp.ppp.lcp import LCP
from prol2tp.ppp.limits import FAR, Limits
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.mppe import Keys
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.outputs import LinkAuthenticated, LinkDown, Output
from prol2tp.ppp.pap import PAP
from prol2tp.ppp.phase import Phase, check
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import Grant, LinkSettings

__all__ = ["CAUSES", "PEER_METHODS", "Link", "Phase"]


class Link:
    """Starts in phase DEAD; `open` once, LinkDown ends it for good. A new life of the same session is a new Link.

    :param settings: what it is told about itself; never changed here.
    :param random_bytes: the random source, called with a length.
    :param trace: called with a kind ('fsm', 'packet', 'phase') and a text.
    """

    # fmt: off
    __slots__ = (
        "settings", "phase", "lcp", "ccp", "ipcp", "ipv6cp", "pap", "chap", "eap", "mtu", "peer_mru", "user",
        "auth_done", "run_count", "discards", "peer_message", "over", "mppe_keys", "proxied", "proxy_refused",
        "_lower", "_network", "_above", "_proofs", "_proxy", "_demanded", "_promised", "_asking", "_refused", "_cause",
        "_mtu_limit", "_limits", "_mppe_required", "_mppe_strengths",
    )
    # fmt: on

    def __init__(
        self,
        settings: LinkSettings,
        random_bytes: Callable[[int], bytes],
        trace: Callable[[str, str], None] | None = None,
    ) -> None:
        check(settings)
        self.settings = settings
        self.phase = Phase.DEAD
        self._lower = lower = Lower(random_bytes, trace)
        self.lcp = LCP(lower, settings)
        self.ccp = CCP(lower, settings) if settings.codecs else None
        self.ipcp = IPCP(lower, settings) if settings.ip else None
        self.ipv6cp = IPV6CP(lower, settings) if settings.ipv6 else None
        self.pap = PAP(lower, settings)
        self.chap = CHAP(lower, settings)
        self.eap: EAP | None = None
        """None until LCP has once agreed on it."""
        self.mtu = min(settings.mtu, frame.DEFAULT_MRU)
        self.peer_mru = frame.DEFAULT_MRU
        self.user = ""
        """The peer's name, once it is authenticated."""
        self.auth_done = ("", "")
        """Methods that succeeded: with us as the authenticator, with the peer as the authenticator."""
        self.run_count = 0
        """Times that a frame or a timer came."""
        self.discards = 0
        """Frames dropped: malformed, or not of this phase."""
        self.peer_message = ""
        """The last text with which the peer accepted us."""
        self.over = False
        """LinkDown was said, or another end has taken it over."""
        self.proxied = (False, False)
        """LCP, and the first step of authentication, are as somebody in front of us has negotiated them."""
        self.proxy_refused = ""
        """Why that was not taken over."""
        self.mppe_keys: Keys | None = None
        """MPPE start keys, when authentication gave any."""
        self._network = tuple(ncp for ncp in (self.ipcp, self.ipv6cp) if ncp is not None)
        self._above: tuple[Automaton, ...] = self._network if self.ccp is None else (self.ccp, *self._network)
        """What LCP carries."""
        self._proofs: tuple[Authentication, ...] = (self.pap, self.chap)
        self._proxy: ProxyRecord | None = None
        self._demanded: Method | None = None
        self._promised: Method | None = None
        self._asking = Asking()
        self._refused = ""
        """What the peer was told who may try again."""
        self._cause: tuple[str, str, bool] | None = None
        self._mtu_limit = settings.mtu
        self._limits = Limits(settings)
        self._mppe_required = settings.mppe_required
        self._mppe_strengths = settings.mppe_strengths

    @property
    def trace(self) -> Callable[[str, str], None] | None:
        """May be set and taken away at any time."""
        return self._lower.trace

    @trace.setter
    def trace(self, trace: Callable[[str, str], None] | None) -> None:
        self._lower.trace = trace

    @property
    def mtu_limit(self) -> int:
        """The largest that we would send, whatever the peer's MRU: of the settings and the user's grant."""
        return self._mtu_limit

    @property
    def asking(self) -> bool:
        """The answer to the question that is open is still of use: the link has not started anew since."""
        return self._asking.matters and self.phase in (Phase.AUTHENTICATE, Phase.NETWORK)

    # what the shell says

    def open(self, now: float, proxy: ProxyRecord | None = None) -> None:
        """The lower layer is up: start LCP.

        :param proxy: what a LAC has negotiated with the peer (RFC 2661 section 4.4.5): LCP is open at once when it fits
            the settings, else it is negotiated anew, and the first word is ours.
        """
        if self.phase is not Phase.DEAD or self.over:
            raise ValueError("this link was opened before")
        self._enter(Phase.ESTABLISH)
        establishment.start(self, proxy, now)
        self._settle(now)

    def hand_over(self, now: float) -> ProxyRecord | None:
        """Answer to AskAuthentication, or to LinkOpened, of a link with `settings.access`: another end takes over, and
        this link is silent from now on. None: the peer has started anew meanwhile, and so does the link. Raises
        `ValueError` for a link that has no such setting."""
        return proxy.hand_over(self)

    def receive(self, data: bytes, now: float) -> None:
        """One PPP frame without HDLC framing. Never raises for what is in it."""
        if self.phase is Phase.DEAD:
            return
        self.run_count += 1
        self.lcp.heard = True
        try:
            protocol, start = frame.read_header(data)
            information = data[start:]
            trace = self._lower.trace
            if trace is not None:
                from prol2tp.ppp.dissect import describe  # only traced links pay for it

                trace("packet", f"rcvd {describe(protocol, information)}")
            self._dispatch(protocol, information, now)
        except WireError as error:
            self.discards += 1
            if self._lower.trace is not None:
                self._lower.trace("packet", f"discarded: {error}")
        if self._lower.signals:
            self._settle(now)

    def _dispatch(self, protocol: int, information: bytes, now: float) -> None:
        if protocol == frame.LCP:
            self.lcp.receive(information, now)
        elif self.phase not in (Phase.AUTHENTICATE, Phase.NETWORK):
            raise WireError(f"{frame.protocol_name(protocol)} in phase {self.phase.name}")
        elif protocol == frame.PAP:
            self.pap.receive(information, now)
        elif protocol == frame.CHAP:
            self.chap.receive(information, now)
        elif protocol == frame.EAP and self.eap is not None:
            self.eap.receive(information, now)
        elif self.phase is Phase.AUTHENTICATE:  # RFC 1661 section 3.5
            if self.eap is not None and self._ncp(protocol) is not None:
                self.eap.network_heard()
            raise WireError(f"{frame.protocol_name(protocol)} before authentication is over")
        elif (ncp := self._ncp(protocol)) is not None:
            ncp.receive(information, now)
        elif self._ncp(protocol | 0x8000) is None:
            self.lcp.reject_protocol(protocol, information)
        else:
            raise WireError(f"{frame.protocol_name(protocol)} packet on the control path")

    def _ncp(self, protocol: int) -> Automaton | None:
        for ncp in self._above:
            if protocol == ncp.PROTOCOL:
                return ncp
        return None

    def authenticated(self, grant: Grant, now: float) -> None:
        """Answer to AskAuthentication: the peer is who it says. Raises `ValueError` for a grant that has no addresses
        where they belong."""
        if authentication.accepted(self, grant, now):
            self._settle(now)

    def refused(
        self, message: str, now: float, error: int = AUTHENTICATION_FAILURE, retry: bool = False
    ) -> None:
        """Answer to AskAuthentication: no. The peer is told, and the link ends, unless the peer may try again.

        :param error: of an MS-CHAP Failure (RFC 2759 section 6).
        :param retry: the user may try another password, as far as method and settings allow.
        """
        if authentication.refused(self, Refusal(message, error, retry), now):
            self._settle(now)

    def unanswered(self, now: float) -> None:
        """Answer to AskAuthentication of a renewal: nobody could be asked. The peer stays, and is challenged again when
        it is time. Raises `ValueError` when the open question is another one."""
        if authentication.unanswered(self, now):
            self._settle(now)

    def eap_request(self, packet: bytes, now: float, wait: float | None = None) -> None:
        """Answer to AskAuthentication of method 'eap': the next Request of the one who runs the method (RFC 3579).
        Raises `ValueError` when the open question is another one.

        :param wait: seconds until this Request is repeated, in place of eap_restart.
        """
        if authentication.relayed(self, packet, now, wait):
            self._settle(now)

    def eap_local(self, now: float) -> None:
        """Answer to AskAuthentication of method 'eap' with the Identity: the methods of the settings run here. Raises
        `ValueError` when the open question is another one."""
        if authentication.local(self, now):
            self._settle(now)

    def close(self, now: float, cause: str = "User Request", message: str = "") -> None:
        """End the link: Terminate-Request to the peer, then LinkDown. `cause` is a word of `CAUSES`."""
        if cause not in CAUSES:
            raise ValueError(f"no cause {cause!r}")
        self._terminate(cause, message, False, now)
        self._settle(now)

    def lower_down(self, now: float) -> None:
        """No more frames can pass: LinkDown at once."""
        if self.over:
            return
        self._ended("Lost Carrier", "", False)
        self.lcp.lower_down(now)
        self._settle(now)
        self._down()

    def limit_session(self, seconds: float, now: float) -> None:
        """The session may last so long from now on; 0: for ever."""
        if self.phase not in (Phase.DEAD, Phase.TERMINATE):
            self._limits.limit_session(seconds, now)
        else:
            self._limits.session_timeout = seconds

    def activity(self, idle_seconds: float, now: float) -> None:
        """How long ago the last packet of a user passed. Has to be said more often than idle_timeout."""
        if self.phase is Phase.NETWORK:
            self._limits.active(idle_seconds, now)
            self._expire(now)
            self._settle(now)

    def decompression_failed(self, now: float) -> None:
        """The data path cannot read what the peer has compressed: a Reset-Request, at most one a second while
        none is answered."""
        if self.ccp is not None and self.phase is Phase.NETWORK:
            self.ccp.request_reset(now)

    def network_failed(self, protocol: str, now: float) -> None:
        """'ip' or 'ipv6' could not be configured: it is closed, the rest stays."""
        ncp = {"ip": self.ipcp, "ipv6": self.ipv6cp}[protocol]
        if ncp is not None and self.phase is Phase.NETWORK:
            networks.close(self, ncp, "the interface could not be configured", now)
            self._settle(now)

    def outputs(self) -> list[Output]:
        """What happened since the last call, in order."""
        queue = self._lower.queue
        self._lower.queue = []
        return queue

    def deadline(self) -> float | None:
        """When `timeout` has to be called at the latest."""
        if self.phase is Phase.DEAD:
            return None
        when = self._limits.deadline()
        lcp = self.lcp.deadline()
        if lcp is not None and lcp < when:
            when = lcp
        for ncp in self._above:
            if ncp.restart_at is not None and ncp.restart_at < when:
                when = ncp.restart_at
        for method in self._proofs:
            if method.our_at is not None and method.our_at < when:
                when = method.our_at
            if method.peer_at is not None and method.peer_at < when:
                when = method.peer_at
        return None if when == FAR else when

    def timeout(self, now: float) -> None:
        """The deadline has come. Harmless when called early."""
        if self.phase is Phase.DEAD:
            return
        self.run_count += 1
        self.lcp.timeout(now)
        for method in self._proofs:
            method.timeout(now)
        for ncp in self._above:
            ncp.timeout(now)
        self._settle(now)
        self._expire(now)
        self._settle(now)

    def _expire(self, now: float) -> None:
        limits = self._limits
        over = limits.expired(now, self._demanded is not None and not self.auth_done[0])
        if over is not None:
            self._terminate(*over, False, now)
        elif (seconds := limits.warning(now)) is not None and self.lcp.state is State.OPENED:
            self.lcp.tell_remaining(seconds)

    # what the protocols say

    def _settle(self, now: float) -> None:
        """Take the signals of the protocols, and those that come of them."""
        signals = self._lower.signals
        while signals:
            source, signal, value = signals.pop(0)
            if signal is Signal.FAILED:
                cause, message, by_peer = value
                self._terminate(cause, message, by_peer, now)
            elif source is self.lcp:
                establishment.signal(self, signal, value, now)
            elif isinstance(source, Authentication):
                authentication.signal(self, source, signal, value, now)
            elif isinstance(source, CCP):
                compression.signal(self, source, signal, now)
            else:
                networks.signal(self, source, signal, now)

    def _assign(self, grant: Grant) -> None:
        for ncp in self._network:
            ncp.assign(grant)
        settings = self.settings
        self._limits.assign(grant)
        if grant.mppe_send_key and grant.mppe_receive_key:
            self.mppe_keys = Keys(grant.mppe_send_key, grant.mppe_receive_key)
        self._mppe_required = settings.mppe_required or grant.mppe_required
        allowed = settings.mppe_strengths if grant.mppe_strengths is None else grant.mppe_strengths
        self._mppe_strengths = tuple(bits for bits in settings.mppe_strengths if bits in allowed)
        self._mtu_limit = min(settings.mtu, grant.mtu or settings.mtu)
        self.mtu = min(self._mtu_limit, self.peer_mru)

    def _network_phase(self, now: float) -> None:
        """Enter it when both directions of authentication are done or were not asked for."""
        done_for_us, done_for_peer = self.auth_done
        if self.phase is not Phase.AUTHENTICATE or self.settings.access:
            return
        if (self._demanded and not done_for_us) or (self._promised and not done_for_peer):
            return
        self._limits.authenticated(now)
        self._enter(Phase.NETWORK)
        self._lower.queue.append(LinkAuthenticated(self.user))
        if not self._network:
            self._terminate("Negotiation Failed", "no network protocol is enabled", False, now)
        elif compression.start(self, now):
            networks.start(self, now)

    # the end

    def _ended(self, cause: str, message: str, by_peer: bool) -> None:
        """The first cause is the one that counts."""
        if self._cause is None:
            self._cause = (cause, message or CAUSES[cause].text, by_peer)

    def _terminate(self, cause: str, message: str, by_peer: bool, now: float) -> None:
        self._ended(cause, message, by_peer)
        self._limits.none()
        if self.phase is Phase.TERMINATE:
            return
        if self.phase is Phase.DEAD:
            self._down()
            return
        self.lcp.reason = (message or CAUSES[cause].text).encode()[:255]
        self._enter(Phase.TERMINATE)
        self.lcp.close(now)
        if self.lcp.state in (State.CLOSED, State.INITIAL):
            self._down()

    def _down(self) -> None:
        if self.over:
            return
        self.over = True
        self._enter(Phase.DEAD)
        for method in self._proofs:
            method.stop()
        self._lower.signals.clear()
        self._asking.forget()
        cause, message, by_peer = self._cause or ("Lost Carrier", "", False)
        self._lower.queue.append(LinkDown(cause, message, by_peer))

    def _silence(self) -> None:
        """Another end goes on from here."""
        self.over = True
        self._enter(Phase.DEAD)
        for method in self._proofs:
            method.stop()
        self._lower.signals.clear()
        self._asking = Asking()

    def to_record(self, now: float) -> dict[str, Any]:
        """The state of a link in phase NETWORK as JSON-able data, without secrets. Raises `ValueError` in others."""
        if self.phase is not Phase.NETWORK:
            raise ValueError(f"a link in phase {self.phase.name} is not saved")
        return record.to_record(self, now)

    @classmethod
    def from_record(
        cls,
        saved: dict[str, Any],
        settings: LinkSettings,
        random_bytes: Callable[[int], bytes],
        now: float,
        trace: Callable[[str, str], None] | None = None,
    ) -> Link:
        """The link that `to_record` was called on, with the same settings."""
        link = cls(settings, random_bytes, trace)
        record.restore(link, saved, now)
        link.phase = Phase.NETWORK
        return link

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            if self._lower.trace is not None:
                self._lower.trace("phase", f"{self.phase.name} -> {phase.name}")
            self.phase = phase
